//! Whether strangers can dial us. It is asked of others, never assumed: two nodes in two networks must have come through to
//! us from a socket that we never sent anything to, before we say so to anybody (after AutoNAT of libp2p, whose checker
//! dials only the address that the question came from, so that nobody can be made to knock at a third).

mod codec;

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use samizdat_core::record::{Prefix, RelayService, is_public};
use samizdat_core::{NodeRecord, Now, PeerId};

pub use codec::{CheckIn, CheckedIn};

use crate::codec::PeerAddr;
use crate::draw::Draw;
use crate::limits::{CHECKERS_MAX, EVIDENCE_MAX, WITNESSES};

/// An answer that takes longer counts as none.
const PATIENCE_MS: u64 = 20_000;
/// Between two questions while it is not known.
const UNDECIDED_MS: u64 = 60_000;
/// The same while some say that we are somewhere else than others do: somebody lies, or we have moved.
const DISPUTED_MS: u64 = 300_000;
/// Between two questions once it is: routers forget and addresses change.
const DECIDED_MS: u64 = 1_200_000;
/// How long an answer counts.
const EVIDENCE_MS: u64 = 3_600_000;

/// What to dial: the address that the question comes from, at these ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// UDP port of the endpoint.
    pub port: u16,
    /// The relay, if one runs here.
    pub relay: Option<RelayService>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Where the question came from.
    pub ip: IpAddr,
    /// The endpoint answered, and proved its key.
    pub endpoint: bool,
    /// The relay answered, with the right certificate.
    pub relay: bool,
}

/// Somebody who may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checker {
    /// A node by its record.
    Node(Arc<NodeRecord>),
    /// A neighbour. It dials from a socket of its own for this, so that it came through before says nothing.
    Neighbour(PeerId, PeerAddr),
}

/// What is to be done: somebody is to be asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Names the question.
    pub ticket: u64,
    /// Whom.
    pub checker: Checker,
    /// What.
    pub check: Check,
}

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Too few nodes are known that could be asked.
    Alone,
    /// Not enough have answered yet.
    Asking,
    /// Strangers come through.
    Reachable,
    /// They do not: a router or a firewall is in the way.
    Unreachable,
}

#[derive(Debug, Clone, Copy)]
struct Evidence {
    from: Prefix,
    checked: Checked,
    /// What runs here now was looked at, and not only an endpoint without its relay.
    relay_too: bool,
    at_ms: u64,
}

/// One node's view of itself from outside.
#[derive(Debug)]
pub struct Reach {
    draw: Draw,
    check: Check,
    checkers: BTreeMap<Prefix, Checker>,
    asked: BTreeMap<u64, (Prefix, u64)>,
    evidence: VecDeque<Evidence>,
    next_ms: u64,
    ticket: u64,
    out: VecDeque<Ask>,
}

impl Reach {
    /// A node that listens on `port`, UDP; where nothing listens it is 0, and nobody is asked. The seed must be secret.
    pub fn new(seed: [u8; 32], port: u16) -> Self {
        Self {
            draw: Draw::new(seed),
            check: Check { port, relay: None },
            checkers: BTreeMap::new(),
            asked: BTreeMap::new(),
            evidence: VecDeque::new(),
            next_ms: 0,
            ticket: 0,
            out: VecDeque::new(),
        }
    }

    /// Another port, or a relay that runs now or no longer: what was known of it counts no more.
    pub fn serve(&mut self, check: Check) {
        if self.check == check {
            return;
        }
        if self.check.port == check.port {
            self.evidence.iter_mut().for_each(|evidence| evidence.relay_too = false);
        } else {
            self.evidence.clear();
        }
        self.check = check;
        self.asked.clear();
        self.next_ms = 0;
    }

    /// A node that may be asked. One for each network is kept.
    pub fn offer(&mut self, node: &Arc<NodeRecord>) {
        if let Some(prefix) = node.prefix().filter(|_| !node.fields().addrs.is_empty()) {
            self.offer_in(prefix, Checker::Node(node.clone()));
        }
    }

    /// A neighbour that may be asked, and the address it is seen at.
    pub fn offer_neighbour(&mut self, peer: PeerId, addr: PeerAddr, ip: IpAddr) {
        if is_public(ip) {
            self.offer_in(Prefix::of(ip), Checker::Neighbour(peer, addr));
        }
    }

    fn offer_in(&mut self, prefix: Prefix, checker: Checker) {
        if self.checkers.len() < CHECKERS_MAX || self.checkers.contains_key(&prefix) {
            self.checkers.insert(prefix, checker);
        }
    }

    /// The answer to [`Ask`]; `None` if there will be none. A checker that does not answer is not asked again, unless too few
    /// would be left: then it may have been a bad moment. One that says what cannot be is never asked again.
    pub fn answered(&mut self, ticket: u64, checked: Option<Checked>, now: Now) {
        let Some((from, _)) = self.asked.remove(&ticket) else { return };
        let spoke = checked.is_some();
        let Some(checked) = checked.filter(|checked| is_public(checked.ip)) else {
            let soon = if spoke || self.checkers.len() > WITNESSES {
                self.checkers.remove(&from);
                0
            } else {
                PATIENCE_MS
            };
            self.next_ms = self.next_ms.min(now.mono_ms.saturating_add(soon));
            return;
        };
        self.evidence.retain(|evidence| evidence.from != from);
        self.evidence.push_back(Evidence { from, checked, relay_too: true, at_ms: now.mono_ms });
        while self.evidence.len() > EVIDENCE_MAX {
            self.evidence.pop_front();
        }
        if self.is_disputed() {
            self.next_ms = self.next_ms.min(now.mono_ms.saturating_add(DISPUTED_MS));
        }
    }

    /// Does what is due. Call it at [`Self::next_timeout`] and after the other calls.
    pub fn step(&mut self, now: Now) {
        let now_ms = now.mono_ms;
        let late: Vec<u64> =
            self.asked.iter().filter(|(_, (_, at))| at.saturating_add(PATIENCE_MS) <= now_ms).map(|(t, _)| *t).collect();
        late.into_iter().for_each(|ticket| self.answered(ticket, None, now));
        self.evidence.retain(|evidence| evidence.at_ms.saturating_add(EVIDENCE_MS) > now_ms);
        if now_ms < self.next_ms || self.checkers.len() < WITNESSES || self.check.port == 0 {
            return;
        }
        let decided = matches!(self.verdict(), Verdict::Reachable | Verdict::Unreachable) && self.relay_is_decided();
        let disputed = self.is_disputed();
        let wanted = if decided && !disputed { 1 } else { WITNESSES.saturating_sub(self.asked.len()) };
        let busy: BTreeSet<Prefix> = self.asked.values().map(|(prefix, _)| *prefix).collect();
        // Those that have not spoken come first, so that no two decide alone for ever.
        let spoke = |prefix: &Prefix| self.evidence.iter().any(|evidence| evidence.from == *prefix);
        let free = self.checkers.keys().filter(|prefix| !busy.contains(prefix)).copied();
        let mut free = self.draw.sample(free, CHECKERS_MAX);
        free.sort_by_key(spoke);
        for prefix in free.into_iter().take(wanted) {
            let Some(checker) = self.checkers.get(&prefix).cloned() else { continue };
            self.ticket = self.ticket.saturating_add(1);
            self.asked.insert(self.ticket, (prefix, now_ms));
            self.out.push_back(Ask { ticket: self.ticket, checker, check: self.check });
        }
        let wait_ms = match (decided, disputed) {
            (true, false) => DECIDED_MS,
            (true, true) => DISPUTED_MS,
            (false, _) => UNDECIDED_MS,
        };
        self.next_ms = now_ms.saturating_add(wait_ms);
    }

    /// Whom to ask, until `None`.
    pub fn poll(&mut self) -> Option<Ask> {
        self.out.pop_front()
    }

    /// When to call [`Self::step`], on the monotonic clock.
    pub fn next_timeout(&self) -> Option<u64> {
        let answers = self.asked.values().map(|(_, at)| at.saturating_add(PATIENCE_MS)).min();
        let question = (self.checkers.len() >= WITNESSES && self.check.port != 0).then_some(self.next_ms);
        answers.into_iter().chain(question).min()
    }

    /// Whether strangers can dial this node.
    pub fn verdict(&self) -> Verdict {
        let bad = self.evidence.iter().filter(|evidence| !evidence.checked.endpoint).count();
        if !self.addrs().is_empty() {
            Verdict::Reachable
        } else if bad >= WITNESSES {
            Verdict::Unreachable
        } else if self.checkers.len() < WITNESSES {
            Verdict::Alone
        } else {
            Verdict::Asking
        }
    }

    /// The addresses at which strangers came through; of IPv4 and IPv6 the one that more networks see us at than any other, for
    /// two that lie together could name anybody's.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        let seen = self.seen();
        let proven = |ip: &IpAddr| {
            let through = self.evidence.iter().filter(|evidence| evidence.checked.ip == *ip && evidence.checked.endpoint);
            through.count() >= WITNESSES
        };
        let first = |(ip, votes): &(&IpAddr, &usize)| {
            let rivals = seen.iter().filter(|(other, _)| other != ip && other.is_ipv4() == ip.is_ipv4());
            rivals.map(|(_, votes)| votes).max().is_none_or(|most| *votes > most)
        };
        seen.iter().filter(first).map(|(ip, _)| *ip).filter(proven).map(|ip| SocketAddr::new(ip, self.check.port)).collect()
    }

    /// Whether strangers came through to the relay that runs here.
    pub fn relay_is_reachable(&self) -> bool {
        self.check.relay.is_some() && self.relay_votes().0 >= WITNESSES
    }

    fn relay_is_decided(&self) -> bool {
        let (good, bad) = self.relay_votes();
        self.check.relay.is_none() || good >= WITNESSES || bad >= WITNESSES
    }

    /// At which address how many networks see us. One network has one voice: its last.
    fn seen(&self) -> BTreeMap<IpAddr, usize> {
        let mut seen: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for evidence in &self.evidence {
            let votes = seen.entry(evidence.checked.ip).or_default();
            *votes = votes.saturating_add(1);
        }
        seen
    }

    /// Whether there is more than one of a kind.
    fn is_disputed(&self) -> bool {
        let seen = self.seen();
        let v4 = seen.keys().filter(|ip| ip.is_ipv4()).count();
        v4 > 1 || seen.len().saturating_sub(v4) > 1
    }

    /// Networks that came through to the relay, and that did not.
    fn relay_votes(&self) -> (usize, usize) {
        let votes = self.evidence.iter().filter(|evidence| evidence.relay_too).map(|evidence| evidence.checked.relay);
        votes.fold((0, 0), |(good, bad): (usize, usize), vote| match vote {
            true => (good.saturating_add(1), bad),
            false => (good, bad.saturating_add(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

    use samizdat_core::record::{NodeFields, Roles};
    use samizdat_core::{NodeRecord, PeerSecret};

    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 1_800_000_000_000 + mono_ms }
    }

    fn node(n: u8) -> Arc<NodeRecord> {
        let addrs = vec![format!("198.51.{n}.1:4001").parse().unwrap()];
        let fields =
            NodeFields { issued: 1_800_000_000, lifetime_s: 3600, roles: Roles::default(), addrs, relay: None, via: vec![] };
        Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
    }

    fn reach(checkers: u8) -> Reach {
        let mut reach = Reach::new([7; 32], 4001);
        (1..=checkers).for_each(|n| reach.offer(&node(n)));
        reach
    }

    fn step(reach: &mut Reach, ms: u64) -> Vec<Ask> {
        reach.step(at(ms));
        std::iter::from_fn(|| reach.poll()).collect()
    }

    fn says(endpoint: bool, relay: bool) -> Option<Checked> {
        Some(Checked { ip: "203.0.113.5".parse().unwrap(), endpoint, relay })
    }

    #[test]
    fn two_networks_must_have_come_through() {
        let mut alice = reach(3);
        let asked = step(&mut alice, 0);
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0].checker, asked[1].checker);
        alice.answered(asked[0].ticket, says(true, false), at(10));
        assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Asking, vec![]));
        alice.answered(asked[1].ticket, says(true, false), at(20));
        assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Reachable, vec!["203.0.113.5:4001".parse().unwrap()]));
    }

    #[test]
    fn mallory_alone_proves_nothing_however_often_she_is_asked() {
        let mut alice = reach(1);
        assert_eq!(alice.verdict(), Verdict::Alone);
        assert!(step(&mut alice, 0).is_empty(), "one network is not enough to ask");
        // A second key in the same network is not another voice.
        alice.offer(&node(1));
        assert!(step(&mut alice, 1).is_empty());
    }

    #[test]
    fn neighbours_can_be_asked_before_anybody_has_a_record() {
        let mut alice = reach(0);
        for n in 1..=2u8 {
            alice.offer_neighbour(PeerId([n; 32]), PeerAddr(vec![n]), format!("198.51.{n}.1").parse().unwrap());
            alice.offer_neighbour(PeerId([n; 32]), PeerAddr(vec![n]), format!("10.0.{n}.1").parse().unwrap());
        }
        for ask in step(&mut alice, 0) {
            alice.answered(ask.ticket, says(true, false), at(1));
        }
        assert_eq!(alice.verdict(), Verdict::Reachable);
    }

    #[test]
    fn where_nothing_listens_nobody_is_asked() {
        let mut alice = Reach::new([7; 32], 0);
        (1..=3).for_each(|n| alice.offer(&node(n)));
        assert!(step(&mut alice, 0).is_empty());
        assert_eq!(alice.next_timeout(), None);
    }

    #[test]
    fn a_router_in_the_way_is_told() {
        let mut alice = reach(2);
        for ask in step(&mut alice, 0) {
            alice.answered(ask.ticket, says(false, false), at(5));
        }
        assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Unreachable, vec![]));
    }

    #[test]
    fn who_does_not_answer_is_replaced() {
        let mut alice = reach(3);
        let asked = step(&mut alice, 0);
        alice.answered(asked[0].ticket, says(true, false), at(5));
        assert_eq!(alice.next_timeout(), Some(PATIENCE_MS));
        let again = step(&mut alice, PATIENCE_MS);
        assert_eq!(again.len(), 2, "the silent one is gone, two others are there");
        assert!(again.iter().all(|ask| ask.checker != asked[1].checker));
        alice.answered(again[0].ticket, says(true, false), at(PATIENCE_MS + 1));
        assert_eq!(alice.verdict(), Verdict::Reachable);
    }

    #[test]
    fn the_last_two_are_asked_again_although_they_said_nothing() {
        let mut alice = reach(2);
        let asked = step(&mut alice, 0);
        asked.iter().for_each(|ask| alice.answered(ask.ticket, None, at(5)));
        assert_eq!((alice.verdict(), alice.next_timeout()), (Verdict::Asking, Some(5 + PATIENCE_MS)));
        for ask in step(&mut alice, 5 + PATIENCE_MS) {
            alice.answered(ask.ticket, says(true, false), at(6 + PATIENCE_MS));
        }
        assert_eq!(alice.verdict(), Verdict::Reachable);
    }

    #[test]
    fn a_relay_is_proven_by_itself_and_anew_when_it_changes() {
        let mut alice = reach(2);
        let relay = Some(RelayService { port: 443, discovery_port: 7842, certificate: [1; 32] });
        alice.serve(Check { port: 4001, relay });
        for ask in step(&mut alice, 0) {
            assert_eq!(ask.check.relay, relay);
            alice.answered(ask.ticket, says(true, true), at(1));
        }
        assert!(alice.relay_is_reachable());
        alice.serve(Check { port: 4001, relay: None });
        assert!(!alice.relay_is_reachable());
        assert_eq!(alice.verdict(), Verdict::Reachable, "the endpoint is where it was");
        alice.serve(Check { port: 4002, relay: None });
        assert_eq!(alice.verdict(), Verdict::Asking);
    }

    #[test]
    fn a_relay_switched_on_later_is_looked_at_soon_and_by_two() {
        let mut alice = reach(2);
        for ask in step(&mut alice, 0) {
            alice.answered(ask.ticket, says(true, false), at(1));
        }
        let relay = Some(RelayService { port: 443, discovery_port: 7842, certificate: [1; 32] });
        alice.serve(Check { port: 4001, relay });
        assert!(!alice.relay_is_reachable(), "nobody has looked at it");
        let asked = step(&mut alice, 2);
        assert_eq!(asked.len(), 2);
        for ask in asked {
            alice.answered(ask.ticket, says(true, true), at(3));
        }
        assert!(alice.relay_is_reachable());
        assert!(alice.next_timeout().unwrap() > UNDECIDED_MS - 10);
    }

    #[test]
    fn what_was_seen_long_ago_counts_no_more() {
        let mut alice = reach(2);
        for ask in step(&mut alice, 0) {
            alice.answered(ask.ticket, says(true, false), at(1));
        }
        assert_eq!(alice.verdict(), Verdict::Reachable);
        let due = alice.next_timeout().unwrap();
        assert!(due <= DECIDED_MS);
        let asked = step(&mut alice, DECIDED_MS);
        assert_eq!(asked.len(), 1, "it is looked at again, by one");
        step(&mut alice, EVIDENCE_MS + 1);
        assert_ne!(alice.verdict(), Verdict::Reachable);
    }

    #[test]
    fn two_who_lie_together_are_outvoted() {
        let mut alice = reach(6);
        let lie = |endpoint| Some(Checked { ip: "192.0.2.66".parse().unwrap(), endpoint, relay: false });
        for ask in step(&mut alice, 0) {
            alice.answered(ask.ticket, lie(true), at(1));
        }
        // Mallory has two networks, and both were asked first.
        assert_eq!(alice.addrs(), ["192.0.2.66:4001".parse().unwrap()]);
        let mut now = DECIDED_MS;
        for asked in [1, 2] {
            let ask = step(&mut alice, now);
            assert_eq!(ask.len(), asked);
            ask.into_iter().for_each(|ask| alice.answered(ask.ticket, says(true, false), at(now + 1)));
            now += DISPUTED_MS + 1;
        }
        assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Reachable, vec!["203.0.113.5:4001".parse().unwrap()]));
    }

    #[test]
    fn as_long_as_as_many_say_one_thing_as_another_nothing_is_claimed() {
        let mut alice = reach(4);
        let lie = Some(Checked { ip: "192.0.2.66".parse().unwrap(), endpoint: true, relay: false });
        for ms in [0, UNDECIDED_MS] {
            for (n, ask) in step(&mut alice, ms).into_iter().enumerate() {
                alice.answered(ask.ticket, if n == 0 { lie } else { says(true, false) }, at(ms + 1));
            }
        }
        assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Asking, vec![]));
        // Each kind of address is of its own.
        let six = Some(Checked { ip: "2001:db9::5".parse().unwrap(), endpoint: true, relay: false });
        for ask in step(&mut alice, 2 * UNDECIDED_MS) {
            alice.answered(ask.ticket, six, at(2 * UNDECIDED_MS + 1));
        }
        assert!(alice.addrs().contains(&"[2001:db9::5]:4001".parse().unwrap()));
    }

    #[test]
    fn a_lie_about_where_we_are_is_dropped() {
        let mut alice = reach(2);
        for ask in step(&mut alice, 0) {
            let ip = "192.168.1.1".parse().unwrap();
            alice.answered(ask.ticket, Some(Checked { ip, endpoint: true, relay: true }), at(1));
        }
        assert_eq!((alice.verdict(), alice.addrs()), (Verdict::Alone, vec![]));
    }
}
