//! Whether a node holds its bounds and serves those it knows while strangers flood it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Program, Running},
    lab::{Lab, Plan, Station},
    limits::{CROWD_NETWORKS, FLOOD_KIB_MORE, PATIENCE},
    nat::Kind,
};

/// Where the node listens.
const PORT: u16 = 4001;

/// What the strangers saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Strangers {
    /// How many came.
    pub came: u64,
    /// Of these, how many were let in, for a while at least.
    pub let_in: u64,
}

/// What the node saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    /// Connections that it had at the same time, at most.
    pub most: u64,
    /// All that it ever had.
    pub all: u64,
}

/// When a friend was connected, and what he saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Visit {
    /// From his first dial.
    pub connected_ms: f64,
    /// Dials that came to nothing.
    pub failed: u64,
    /// Answers, one each 50 ms when all is well.
    pub answers: u64,
    /// Longest time between two of them.
    pub longest_gap_ms: f64,
    /// Links that ended.
    pub links_lost: u64,
}

/// How it went.
#[derive(Debug, Serialize)]
pub struct Flood {
    /// What the strangers saw.
    pub strangers: Strangers,
    /// What the node saw.
    pub served: Served,
    /// Memory of the node in KiB: before, when the last stranger had gone, and the most it ever was.
    pub resident_kib: [u64; 3],
    /// A friend who was there before.
    pub before: Visit,
    /// One who came when the flood was at its height.
    pub during: Visit,
}

impl Flood {
    /// Nobody who is known was left alone, and no bound was passed: `inbound` is the node's.
    pub fn passed(&self, inbound: u64) -> bool {
        let [before, _, peak] = self.resident_kib;
        // The two friends came from outside as well.
        let bounded = self.served.most <= inbound && peak <= before.saturating_add(FLOOD_KIB_MORE);
        bounded && self.before.links_lost == 0 && self.during.answers > 0
    }

    /// A few lines for people.
    pub fn text(&self) -> String {
        let [before, after, peak] = self.resident_kib.map(|kib| kib / 1024);
        format!(
            "{} strangers came, {} were let in, {} connections at the same time at most\n\
             memory: {before} MiB before, {peak} MiB at most, {after} MiB after\n\
             a friend who was there: {} answers, longest gap {:.0} ms, {} links lost\n\
             a friend who came meanwhile: connected after {:.0} ms and {} failed dials, {} answers, longest gap {:.0} ms\n",
            self.strangers.came,
            self.strangers.let_in,
            self.served.most,
            self.before.answers,
            self.before.longest_gap_ms,
            self.before.links_lost,
            self.during.connected_ms,
            self.during.failed,
            self.during.answers,
            self.during.longest_gap_ms,
        )
    }
}

/// Floods a node on a public host with `strangers` from many networks. Friends are behind routers.
pub fn flood(program: &Program, strangers: usize) -> Result<Flood> {
    let lab = Plan::new().hosts(2).peer(Kind::Port).peer(Kind::Port).build()?;
    let networks = lab.crowd(1, CROWD_NETWORKS)?;
    let node = program.start(lab.host(0)?, &["serve", "--port", &PORT.to_string()])?;
    let at = SocketAddr::new(lab.host(0)?.address()?, PORT).to_string();
    let before = visit(program, &lab, 0, &node, &at)?;
    // Ready when he is connected.
    let resident_before = node.process.resident_kib()?;

    let crowd = crowd(program, lab.host(1)?, &networks, (&node.contact, &at), strangers)?;
    let during = visit(program, &lab, 1, &node, &at)?;
    let strangers = crowd.process.json(PATIENCE.saturating_mul(10))?;

    let resident_after = node.process.resident_kib()?;
    let [before, during] = [before, during].map(|visit| ended::<Visit>(&visit));
    let served = ended(&node)?;
    let peak = node.process.most_resident_kib()?;
    Ok(Flood { strangers, served, resident_kib: [resident_before, resident_after, peak], before: before?, during: during? })
}

/// So many strangers on `station`, from these addresses in turn, who visit the node with this key there; once the first of them was
/// turned away. At the end it prints [`Strangers`].
pub fn crowd(program: &Program, station: &Station, from: &[Ipv4Addr], (key, at): (&str, &str), count: usize) -> Result<Running> {
    let (count, from) = (count.to_string(), from.iter().map(ToString::to_string).collect::<Vec<_>>());
    let mut arguments = vec!["strangers", key, "--at", at, "--count", &count];
    arguments.extend(from.iter().flat_map(|from| ["--from", from]));
    program.start(station, &arguments)
}

fn visit(program: &Program, lab: &Lab, k: usize, node: &Running, at: &str) -> Result<Running> {
    program.start(lab.peer(k)?.station(), &["visit", &node.contact, "--at", at])
}

/// What it says when it is told to come to an end.
fn ended<T: serde::de::DeserializeOwned>(running: &Running) -> Result<T> {
    running.process.signal(rustix::process::Signal::USR1)?;
    running.process.json(PATIENCE)
}
