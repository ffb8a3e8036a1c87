//! Whether two nodes that talk live through a network that goes up and down, with nothing lost and nothing piling up.

use anyhow::Result;
use serde::Serialize;

use crate::{
    engine::{Engine, Program},
    lab::Plan,
    limits::{FLAP_PACKETS, KIB_MORE, TASKS_MORE},
    nat::Kind,
    talk::{Report, Talker},
};

/// How it went.
#[derive(Debug, Serialize)]
pub struct Flap {
    /// How often the network went down and up.
    pub times: usize,
    /// What the one whose network it was saw, and the other.
    pub reports: [Report; 2],
    /// Memory of both in KiB, before.
    pub before_kib: [u64; 2],
    /// Afterwards.
    pub after_kib: [u64; 2],
}

impl Flap {
    /// Nothing was lost, and neither tasks nor memory pile up.
    pub fn passed(&self) -> bool {
        let tasks = |report: &Report| report.tasks.1 <= report.tasks.0.saturating_add(TASKS_MORE);
        let memory = self.before_kib.iter().zip(&self.after_kib).all(|(before, after)| *after <= before.saturating_add(KIB_MORE));
        memory && self.reports.iter().all(|report| report.lost == 0 && tasks(report))
    }

    /// A few lines for people.
    pub fn text(&self) -> String {
        let mut text = format!("{} times down and up\n", self.times);
        for (((report, before), after), who) in
            self.reports.iter().zip(self.before_kib).zip(self.after_kib).zip(["the one it happened to", "the other"])
        {
            text.push_str(&format!(
                "{who}: {} words said, {} heard, {} lost, {} links ended, longest gap {:.0} ms; tasks {} -> {}, memory {} -> {} KiB\n",
                report.said,
                report.heard,
                report.lost,
                report.links_lost,
                report.longest_gap_ms,
                report.tasks.0,
                report.tasks.1,
                before,
                after,
            ));
        }
        text
    }
}

/// Two talk directly, and the network of one goes down and up: by turns its router's link is cut, which nobody is told, and its own
/// plug is pulled, which its kernel sees. What the other one sends is the clock: so many packets of his and it is up again, so many
/// more and it goes down. As he sends less to who does not answer, outages last from a fifth of a second to some seconds.
pub fn flap(program: &Program, times: usize) -> Result<Flap> {
    let lab = Plan::new().hosts(2).peer(Kind::Port).peer(Kind::Port).build()?;
    let relays = (program.relay(lab.host(0)?)?, program.relay(lab.host(1)?)?);
    let bob = Talker::start(program, lab.peer(1)?.station(), &[&relays.0, &relays.1], None)?;
    let alice = Talker::start(program, lab.peer(0)?.station(), &[&relays.0, &relays.1], Some(&bob))?;
    let both = [&alice, &bob];
    both.iter().try_for_each(|talker| talker.hears_by("direct"))?;
    let resident = || -> Result<[u64; 2]> { Ok([alice.resident_kib()?, bob.resident_kib()?]) };
    let before_kib = resident()?;
    let (here, there) = (lab.peer(0)?.station(), lab.peer(1)?.station());
    let pass = || {
        (0..FLAP_PACKETS).try_for_each(|_| {
            lab.forget_destinations(there);
            lab.await_destination(there, |_| true).map(drop)
        })
    };
    for turn in 0..times {
        if turn % 2 == 0 {
            lab.set_up(here.link(), false)?;
            pass()?;
            lab.set_up(here.link(), true)?;
        } else {
            lab.unplug(0)?;
            pass()?;
            lab.plug(0)?;
        }
        pass()?;
    }
    both.iter().try_for_each(|talker| talker.end())?;
    let reports = [alice.report()?, bob.report()?];
    Ok(Flap { times, reports, before_kib, after_kib: resident()? })
}
