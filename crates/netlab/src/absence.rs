//! Somebody is away for a while: his network is, while all goes through a relay, or he himself stops in the middle of punching a hole.
//! The other gives the link up in time, and when he is back all goes on, with nothing lost and nothing piling up.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::{
    engine::{Engine, Program},
    lab::Plan,
    limits::{BACK_MAX, FAILED_DIALS, GIVEN_UP_MAX, TASKS_MORE},
    nat::Kind,
    talk::{Report, Talker, Told},
};

/// What is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Away {
    /// The network of one, whose plug is pulled.
    Network,
    /// One of both, who stops as soon as his first packet towards the other's router has left.
    Puncher,
}

/// How it went.
#[derive(Debug, Serialize)]
pub struct Absence {
    /// What was away.
    pub away: Away,
    /// From its beginning until the other gave the link up.
    pub given_up_ms: f64,
    /// How long it lasted.
    pub lasted_ms: f64,
    /// From its end until there was a link again.
    pub back_ms: f64,
    /// What the one who was away saw, and the other.
    pub reports: [Report; 2],
}

impl Absence {
    /// Given up and back in time, nothing lost, no tasks left over.
    pub fn passed(&self) -> bool {
        let tasks = |report: &Report| report.tasks.1 <= report.tasks.0.saturating_add(TASKS_MORE);
        let in_time = self.given_up_ms < GIVEN_UP_MAX.as_secs_f64() * 1e3 && self.back_ms < BACK_MAX.as_secs_f64() * 1e3;
        in_time && self.reports.iter().all(|report| report.lost == 0 && tasks(report))
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let tasks = self.reports.each_ref().map(|report| format!("{} -> {}", report.tasks.0, report.tasks.1)).join(", ");
        format!(
            "{:?} away for {:.0} ms: the other gave up after {:.0} ms, back {:.0} ms after its end; {} words lost; tasks {tasks}",
            self.away,
            self.lasted_ms,
            self.given_up_ms,
            self.back_ms,
            self.reports.iter().map(|report| report.lost).fold(0, u64::saturating_add),
        )
    }
}

/// Alice is away until Bob has given up the link, and, if it is her network, has dialled her in vain some times.
pub fn absence(program: &Program, away: Away) -> Result<Absence> {
    let kind = if away == Away::Network { Kind::Sym } else { Kind::Port };
    let lab = Plan::new().hosts(2).peer(kind).peer(kind).build()?;
    let relays = (program.relay(lab.host(0)?)?, program.relay(lab.host(1)?)?);
    let relays = [&relays.0, &relays.1];
    let bob = Talker::start(program, lab.peer(1)?.station(), &relays, None)?;
    let alice = Talker::start(program, lab.peer(0)?.station(), &relays, Some(&bob))?;
    let begun = match away {
        Away::Network => {
            [&alice, &bob].iter().try_for_each(|talker| talker.hears_by("relayed"))?;
            let begun = Instant::now();
            lab.unplug(0)?;
            begun
        }
        Away::Puncher => {
            bob.tells(&|told| matches!(told, Told::Linked))?;
            let router = lab.peer(1)?.outside;
            lab.await_destination(lab.peer(0)?.station(), |to| Some(to.address) == router.map(Into::into))?;
            let begun = Instant::now();
            alice.process().freeze()?;
            begun
        }
    };
    bob.tells(&|told| matches!(told, Told::Ended))?;
    let given_up_ms = begun.elapsed().as_secs_f64() * 1e3;
    match away {
        Away::Network => {
            (0..FAILED_DIALS).try_for_each(|_| bob.tells(&|told| matches!(told, Told::Failed)))?;
            lab.plug(0)?;
        }
        // She may have stopped before she told him where she is.
        Away::Puncher => alice.process().thaw()?,
    }
    let (lasted_ms, ended) = (begun.elapsed().as_secs_f64() * 1e3, Instant::now());
    bob.tells(&|told| matches!(told, Told::Linked))?;
    let back_ms = ended.elapsed().as_secs_f64() * 1e3;
    [&alice, &bob].iter().try_for_each(|talker| talker.end())?;
    Ok(Absence { away, given_up_ms, lasted_ms, back_ms, reports: [alice.report()?, bob.report()?] })
}
