//! What two nodes that talk to each other report: whether all that was said arrived, once, and how long nothing did.

use anyhow::{Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Program, Running},
    lab::Station,
    limits::PATIENCE,
    process::Process,
};

/// What a talker prints after it is ready.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// There is a link.
    Linked,
    /// It ended.
    Ended,
    /// A dial came to nothing.
    Failed,
    /// Words arrive over a link, and by what kind of path they do from now on.
    Path(String),
    /// It was told to come to an end, and all is said and heard.
    Done(Report),
}

/// How a conversation went, as one of both saw it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Words of ours; all were acknowledged.
    pub said: u64,
    /// Words of the other, each once.
    pub heard: u64,
    /// Words that never came although later ones did.
    pub lost: u64,
    /// Words that were sent again because nobody had acknowledged them when a link had ended.
    pub repeated: u64,
    /// Words that had arrived before; they were told by their numbers and not taken twice.
    pub superfluous: u64,
    /// Longest time between two words that arrived.
    pub longest_gap_ms: f64,
    /// Links that ended.
    pub links_lost: u64,
    /// Tasks of the runtime when words began to arrive, and at the end.
    pub tasks: (usize, usize),
    /// What happened when, in milliseconds since it began.
    pub log: Vec<(u64, String)>,
}

/// A process that says a numbered word every 20 ms to one other, repeats after a new link what was not acknowledged, and dials again
/// a second after a link or a dial came to nothing, as the gossip of our nodes does.
pub struct Talker(Running);

impl Talker {
    /// Starts one that is reached through the first of `relays`, and that dials `to` if there is one.
    pub fn start(program: &Program, station: &Station, relays: &[&Running], to: Option<&Talker>) -> Result<Self> {
        let mut arguments = vec!["talk"];
        for relay in relays {
            arguments.extend(["--relay", &relay.contact]);
        }
        arguments.extend(to.iter().flat_map(|to| ["--to", &to.0.contact]));
        Ok(Self(program.start(station, &arguments)?))
    }

    /// Waits until words arrive by such a path.
    pub fn hears_by(&self, path: &str) -> Result<()> {
        self.tells(&|told| matches!(told, Told::Path(now) if now == path))
    }

    /// Waits until it tells such a thing.
    pub fn tells(&self, wanted: &dyn Fn(&Told) -> bool) -> Result<()> {
        loop {
            match self.0.process.json(PATIENCE)? {
                told if wanted(&told) => return Ok(()),
                Told::Done(_) => bail!("the conversation is over"),
                _ => {}
            }
        }
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.0.process
    }

    /// Tells it to come to an end, some words from now.
    pub fn end(&self) -> Result<()> {
        self.0.process.signal(Signal::USR1)
    }

    /// Waits until all that both said has arrived.
    pub fn report(&self) -> Result<Report> {
        loop {
            if let Told::Done(report) = self.0.process.json(PATIENCE)? {
                return Ok(report);
            }
        }
    }

    /// Memory that it holds now, in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        self.0.process.resident_kib()
    }
}
