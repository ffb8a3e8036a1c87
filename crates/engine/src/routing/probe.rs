//! Whether a node lives whose place in DNS could be taken. That it does not answer may be our own fault: a line can be half
//! broken, with DNS and neighbours behind relays alive and UDP dead. So silence counts only after somebody else has answered at
//! an address of his own, in each version of IP in which the silent one is served, we speak, and anybody else is known. In one at
//! least: else a node of both versions could never be replaced where it is the only one with an address in one of them.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;
use std::sync::Arc;

use rand_core::Rng;
use samizdat_core::record::{Families, is_public};
use samizdat_core::{NodeRecord, Now, PeerId};
use samizdat_sync::routing::{Key, Question, codec::QuestionIn};

use super::{Purpose, Routing, Whom};
use crate::engine::Output;
use crate::limits::CONTROLS_MAX;

/// One node that is being asked.
#[derive(Debug)]
pub(super) struct Probe {
    record: Arc<NodeRecord>,
    /// Whom else we asked since, to see whether our line works, and whether over IPv6. Who is silent may be forgotten meanwhile.
    controls: BTreeSet<(PeerId, bool)>,
    /// In which versions of IP it does.
    works: Families,
    /// Asked in vain one after another.
    silent: usize,
}

impl Routing {
    /// Asks a node, whatever the age of its record, so that it shows that it lives.
    pub(crate) fn probe(&mut self, record: NodeRecord) {
        let peer = record.peer();
        if !self.may_ask() {
            return self.probed(peer, None);
        }
        let record = Arc::new(record);
        let probe = Probe { record: record.clone(), controls: BTreeSet::new(), works: Families::default(), silent: 0 };
        self.probes.insert(peer, probe);
        self.ask(Purpose::Probe(peer), None, Whom::Node(record), about(&peer));
    }

    pub(super) fn probed(&mut self, peer: PeerId, answered: Option<bool>) {
        self.probes.remove(&peer);
        self.out.push_back(Output::Probed { peer, answered });
    }

    /// It did not answer; `connected` says whether anybody is connected to us at all.
    pub(super) fn probe_failed(&mut self, peer: PeerId, connected: bool, now: Now) {
        // Whoever is connected to nobody may have lost its own network.
        if connected { self.control(peer, now) } else { self.probed(peer, None) }
    }

    /// Somebody else was asked, and answered from there, or not.
    pub(super) fn controlled(&mut self, peer: PeerId, from: Option<IpAddr>, now: Now) {
        let Some(probe) = self.probes.get_mut(&peer) else { return };
        match from.filter(|ip| is_public(*ip)).map(|ip| Families::of([ip])) {
            Some(Families { v4, v6 }) => {
                probe.works = Families { v4: probe.works.v4 || v4, v6: probe.works.v6 || v6 };
                probe.silent = 0;
            }
            None => probe.silent = probe.silent.saturating_add(1),
        }
        self.control(peer, now);
    }

    /// Asks one more, unless it is known what the silence means.
    fn control(&mut self, peer: PeerId, now: Now) {
        let known = self.router.nodes(now);
        let may_ask = self.may_ask();
        let Some(probe) = self.probes.get_mut(&peer) else { return };
        let served = Families::of(probe.record.fields().addrs.iter().map(SocketAddr::ip));
        let others = || known.iter().filter(|record| record.peer() != peer);
        let has = Families::of(others().flat_map(|record| &record.fields().addrs).map(SocketAddr::ip));
        let judged = Families { v4: self.families.v4 && served.v4, v6: self.families.v6 && served.v6 };
        let tried = |over_v6: bool| probe.controls.iter().any(|(_, asked)| *asked == over_v6);
        let v4 = judged.v4 && (has.v4 || tried(false)) && !probe.works.v4;
        let v6 = judged.v6 && (has.v6 || tried(true)) && !probe.works.v6;
        if !v4 && !v6 {
            // A node that is served only where we do not speak, or where nobody else is known, is nobody's to judge from here.
            let shown = judged.v4 && probe.works.v4 || judged.v6 && probe.works.v6;
            return self.probed(peer, shown.then_some(false));
        }
        let at = |record: &Arc<NodeRecord>| {
            let addr = record.fields().addrs.iter().copied().find(|addr| if v4 { addr.is_ipv4() } else { addr.is_ipv6() })?;
            Some((record.clone(), addr))
        };
        let others: Vec<_> = others().filter(|record| !probe.controls.contains(&(record.peer(), !v4))).filter_map(at).collect();
        let any = u64::try_from(others.len()).ok().and_then(|count| self.rng.next_u64().checked_rem(count));
        let control = any.and_then(|any| others.into_iter().nth(usize::try_from(any).ok()?));
        match control.filter(|_| may_ask && probe.silent < CONTROLS_MAX) {
            Some((record, addr)) => {
                let control = record.peer();
                probe.controls.insert((control, !v4));
                self.ask(Purpose::Control(peer), None, Whom::NodeAt(record, addr), about(&control));
            }
            None => self.probed(peer, None),
        }
    }
}

/// A question that every node answers.
fn about(peer: &PeerId) -> Vec<u8> {
    QuestionIn::of(None, &Question::Find { target: Key::of(peer) }).encode()
}
