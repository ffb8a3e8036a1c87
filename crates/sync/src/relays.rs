//! Which relays we are reached through, where strangers cannot dial us: a few, in different networks, drawn at random from those
//! that records name, kept as long as they work. Chosen by delay, as iroh would, they would tell roughly where we are; chosen
//! by whoever answers first, they would be the ones of whoever wants to see us.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samizdat_core::record::{CERTIFICATE_HASH_LEN, Dual, Families, Prefix};
use samizdat_core::{NodeRecord, Now, PeerId};

use crate::draw::Draw;
use crate::limits::{RELAYS_CHOSEN, RELAYS_KNOWN_MAX, RELAYS_PER_PREFIX};

/// So long none of the chosen may work before others are drawn: each of them had its turn.
const LOST_MS: u64 = 30_000;
/// Between two searches for nodes that may be relays; the pause doubles while they find none.
const WALK_MS: u64 = 15_000;
const WALK_MS_MAX: u64 = 600_000;

/// A relay that we may be reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chosen {
    /// Whose it is.
    pub peer: PeerId,
    /// Where its HTTPS listens.
    pub at: Dual,
    /// UDP port at which it tells who asks their address.
    pub discovery_port: u16,
    /// SHA-256 of its certificate (DER).
    pub certificate: [u8; CERTIFICATE_HASH_LEN],
}

/// One node's relays.
#[derive(Debug)]
pub struct Relays {
    draw: Draw,
    own: PeerId,
    /// What this machine speaks: a relay without any of it is none for us.
    speaks: Families,
    known: BTreeMap<PeerId, Arc<NodeRecord>>,
    chosen: Vec<Chosen>,
    /// Those that did not work, until all others were tried.
    failed: BTreeSet<PeerId>,
    wanted: bool,
    lost_since: Option<u64>,
    walk_at: u64,
    walk_pause: u64,
    walks: bool,
}

impl Relays {
    /// Of a node with this key. The seed must be secret.
    pub fn new(seed: [u8; 32], own: PeerId) -> Self {
        Self {
            draw: Draw::new(seed),
            own,
            speaks: Families::BOTH,
            known: BTreeMap::new(),
            chosen: Vec::new(),
            failed: BTreeSet::new(),
            wanted: false,
            lost_since: None,
            walk_at: 0,
            walk_pause: WALK_MS,
            walks: false,
        }
    }

    /// A record that somebody told; it may name a relay.
    pub fn offer(&mut self, record: &Arc<NodeRecord>) {
        let peer = record.peer();
        if let Some(held) = self.known.get_mut(&peer) {
            if record.supersedes(held) {
                *held = record.clone();
            }
            return;
        }
        let Some(relay) = relay_of(record).filter(|_| peer != self.own) else { return };
        let near = |held: &Chosen| held.at.prefixes().any(|theirs| relay.at.prefixes().any(|prefix| prefix == theirs));
        let alike = self.known.values().filter_map(relay_of).filter(near).count();
        if alike >= RELAYS_PER_PREFIX {
            return;
        }
        if self.known.len() >= RELAYS_KNOWN_MAX {
            // Any of them but those in use, so that nobody can push others out by talking more.
            let free = self.known.keys().filter(|known| !self.is_chosen(known)).copied();
            let free: Vec<PeerId> = free.collect();
            if !self.draw.percent(50) {
                return;
            }
            let Some(out) = self.draw.pick(free) else { return };
            self.known.remove(&out);
        }
        self.known.insert(peer, record.clone());
    }

    /// Which versions of IP this machine speaks. Relays may be known before that is.
    pub fn speak(&mut self, families: Families) {
        self.speaks = families;
    }

    /// Whether relays are needed and not refused.
    pub fn want(&mut self, wanted: bool, now: Now) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.lost_since = wanted.then_some(now.mono_ms);
            self.walk_at = now.mono_ms;
            self.walk_pause = WALK_MS;
        }
    }

    /// Whether one of the chosen is connected.
    pub fn connected(&mut self, connected: bool, now: Now) {
        if connected {
            self.lost_since = None;
        } else if self.wanted {
            self.lost_since.get_or_insert(now.mono_ms);
        }
    }

    /// Does what is due. Whether the choice changed. Somebody must be known (`not_lost`) before nodes can be looked for.
    pub fn step(&mut self, not_lost: bool, now: Now) -> bool {
        let now_ms = now.mono_ms;
        let unix_s = now.unix_ms / 1000;
        self.known.retain(|_, record| record.holds(unix_s) && relay_of(record).is_some());
        let before = self.chosen.clone();
        let known = &self.known;
        self.failed.retain(|peer| known.contains_key(peer));
        if !self.wanted {
            self.chosen.clear();
            return before != self.chosen;
        }
        // A relay says elsewhere or nowhere now, or we are where another version of IP is spoken.
        let (known, speaks) = (&self.known, self.speaks);
        self.chosen.retain(|chosen| known.get(&chosen.peer).and_then(relay_of).as_ref() == Some(chosen) && is_for(chosen, speaks));
        if self.lost_since.is_some_and(|since| since.saturating_add(LOST_MS) <= now_ms) && !self.chosen.is_empty() {
            self.failed.extend(self.chosen.drain(..).map(|chosen| chosen.peer));
            self.lost_since = Some(now_ms);
        }
        self.fill();
        if self.chosen.is_empty() && !self.failed.is_empty() {
            self.failed.clear();
            self.fill();
        }
        if self.chosen.len() < RELAYS_CHOSEN && self.walk_at <= now_ms {
            self.walk_at = now_ms.saturating_add(self.draw.around(self.walk_pause));
            self.walks = not_lost;
            if not_lost {
                self.walk_pause = self.walk_pause.saturating_mul(2).min(WALK_MS_MAX);
            }
        }
        before != self.chosen
    }

    /// Whether nodes are to be looked for around a random position, among which may be relays.
    pub fn poll_walk(&mut self) -> bool {
        std::mem::take(&mut self.walks)
    }

    /// When to call [`Self::step`], on the monotonic clock.
    pub fn next_timeout(&self) -> Option<u64> {
        if !self.wanted {
            return None;
        }
        let lost = self.lost_since.filter(|_| !self.chosen.is_empty()).map(|since| since.saturating_add(LOST_MS));
        let walk = (self.chosen.len() < RELAYS_CHOSEN).then_some(self.walk_at);
        lost.into_iter().chain(walk).min()
    }

    /// The relays to use, the first that works.
    pub fn chosen(&self) -> &[Chosen] {
        &self.chosen
    }

    /// Where some are that are known, in different networks, whether we use them or not; of IPv4 and of IPv6 by turns, for whoever
    /// is told may speak one of them only.
    pub fn some(&mut self, count: usize) -> Vec<SocketAddr> {
        let known: Vec<Chosen> = self.known.values().filter_map(relay_of).collect();
        let known = self.draw.sample(known, RELAYS_KNOWN_MAX);
        let mut networks = BTreeSet::new();
        let mut some: Vec<SocketAddr> = Vec::new();
        while some.len() < count {
            let v6_next = some.last().is_some_and(SocketAddr::is_ipv4);
            let free = known.iter().filter(|relay| relay.at.prefixes().all(|prefix| !networks.contains(&prefix)));
            let free: Vec<SocketAddr> = free.flat_map(|relay| relay.at.iter()).collect();
            let next = free.iter().find(|addr| addr.is_ipv6() == v6_next).or(free.first()).copied();
            let Some(next) = next else { break };
            networks.extend(known.iter().filter(|relay| relay.at.has(next)).flat_map(|relay| relay.at.prefixes()));
            some.push(next);
        }
        // Who has only those of one network has the other address of it as well.
        let missing =
            known.iter().flat_map(|relay| relay.at.iter()).find(|addr| some.iter().all(|a| a.is_ipv4() != addr.is_ipv4()));
        some.extend(missing.filter(|_| some.len() < count));
        some
    }

    /// How many are known.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    fn is_chosen(&self, peer: &PeerId) -> bool {
        self.chosen.iter().any(|chosen| chosen.peer == *peer)
    }

    fn fill(&mut self) {
        let mut taken: BTreeSet<Prefix> = self.chosen.iter().flat_map(|chosen| chosen.at.prefixes()).collect();
        let free = self.known.values().filter(|record| !self.failed.contains(&record.peer())).filter_map(relay_of);
        let free: Vec<Chosen> = free.filter(|relay| is_for(relay, self.speaks)).collect();
        for relay in self.draw.sample(free, RELAYS_KNOWN_MAX) {
            if self.chosen.len() < RELAYS_CHOSEN && relay.at.prefixes().all(|prefix| !taken.contains(&prefix)) {
                taken.extend(relay.at.prefixes());
                self.chosen.push(relay);
            }
        }
    }
}

/// The relay that a record names.
fn relay_of(record: &Arc<NodeRecord>) -> Option<Chosen> {
    let fields = record.fields();
    let service = fields.relay?.service;
    let at = fields.relay_at()?;
    Some(Chosen { peer: record.peer(), at, discovery_port: service.discovery_port, certificate: service.certificate })
}

/// Whether somebody who speaks this can use it.
fn is_for(relay: &Chosen, speaks: Families) -> bool {
    relay.at.iter().any(|addr| speaks.has(addr.ip()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

    use samizdat_core::PeerSecret;
    use samizdat_core::record::{NodeFields, RECORD_LIFETIME_S, RelayOffer, RelayService, Role, Roles};

    use super::*;

    const START_S: u64 = 1_800_000_000;

    fn at(ms: u64) -> Now {
        Now { mono_ms: ms, unix_ms: START_S * 1000 + ms }
    }

    /// `ips` are separated by blanks.
    fn record(n: u8, ips: &str, relay: bool, issued: u64) -> Arc<NodeRecord> {
        let service = RelayService { port: 443, discovery_port: 7842, certificate: [n; 32] };
        let addrs: Vec<SocketAddr> = ips.split(' ').map(|ip| format!("{ip}:4001").parse().unwrap()).collect();
        let fields = NodeFields {
            issued,
            lifetime_s: RECORD_LIFETIME_S,
            roles: if relay { Roles::default().with(Role::Relay) } else { Roles::default() },
            relay: relay.then(|| RelayOffer::on(service, &addrs)),
            addrs,
            via: vec![],
        };
        Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
    }

    fn relays(count: u8) -> Relays {
        let mut relays = Relays::new([7; 32], PeerId([0; 32]));
        (1..=count).for_each(|n| relays.offer(&record(n, &format!("198.51.{n}.1"), true, START_S)));
        relays
    }

    #[test]
    fn a_few_are_chosen_once_they_are_wanted_and_none_twice_of_one_network() {
        let mut alice = relays(9);
        alice.offer(&record(20, "198.51.1.2", true, START_S));
        assert!(!alice.step(true, at(0)) && alice.chosen().is_empty());
        alice.want(true, at(0));
        assert!(alice.step(true, at(0)));
        let prefixes: BTreeSet<Prefix> = alice.chosen().iter().flat_map(|relay| relay.at.prefixes()).collect();
        assert_eq!((alice.chosen().len(), prefixes.len()), (RELAYS_CHOSEN, RELAYS_CHOSEN));
        assert!(!alice.step(true, at(1)), "what works is kept");
        alice.want(false, at(2));
        assert!(alice.step(true, at(2)) && alice.chosen().is_empty());
    }

    #[test]
    fn a_stranger_who_announces_roles_of_later_versions_gets_nothing_for_it() {
        let announce = |n: u8, relay: bool, bits: u32| {
            let before = record(n, &format!("198.51.{n}.1"), relay, START_S);
            let roles = Roles::from_bits(before.fields().roles.bits() | bits);
            let fields = NodeFields { roles, ..before.fields().clone() };
            Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
        };
        let all = Role::ALL.into_iter().fold(Roles::default(), Roles::with).bits() | 1 << 20;
        let later = all & !Roles::default().with(Role::Relay).bits();
        let mut alice = relays(0);
        alice.offer(&announce(9, false, later));
        assert_eq!(alice.known(), 0, "no relay runs there");
        alice.offer(&announce(8, true, later));
        assert_eq!((alice.known(), alice.some(3).len()), (1, 1), "here one does, and it counts as any other");
    }

    #[test]
    fn who_speaks_one_version_of_ip_chooses_none_that_speak_the_other() {
        let mut alice = relays(2);
        alice.offer(&record(10, "[2001:db8:10::1]", true, START_S));
        alice.offer(&record(11, "198.51.11.1 [2001:db8:11::1]", true, START_S));
        alice.want(true, at(0));
        let chosen = |alice: &Relays| -> BTreeSet<u8> { alice.chosen().iter().map(|relay| relay.certificate[0]).collect() };
        for (v4, v6, expected) in [(false, true, vec![10, 11]), (true, false, vec![1, 2, 11]), (true, true, vec![1, 2, 10, 11])] {
            alice.speak(Families { v4, v6 });
            assert!(alice.step(true, at(1)));
            assert_eq!(chosen(&alice), expected.into_iter().collect());
        }
        let dual = alice.chosen().iter().find(|relay| relay.certificate[0] == 11).unwrap();
        assert_eq!(dual.at.to_string(), "198.51.11.1:443+[2001:db8:11::1]:443");
    }

    #[test]
    fn a_relay_in_two_networks_is_one_of_each() {
        let mut alice = relays(1);
        alice.offer(&record(10, "198.51.1.2 [2001:db8:11::1]", true, START_S));
        alice.offer(&record(11, "198.51.11.1 [2001:db8:11::1]", true, START_S));
        alice.want(true, at(0));
        alice.step(true, at(0));
        assert!(alice.chosen().len() == 2 || alice.chosen()[0].certificate[0] == 10, "the one in between excludes both others");
        alice.offer(&record(12, "198.51.1.3", true, START_S));
        assert_eq!(alice.known(), 3, "two of one network are known, whatever else they speak");
    }

    #[test]
    fn places_for_others_are_of_both_versions_of_ip_if_there_are_such() {
        let mut alice = relays(4);
        assert_eq!(alice.some(3).len(), 3);
        alice.offer(&record(10, "[2001:db8:10::1]", true, START_S));
        alice.offer(&record(11, "[2001:db8:11::1]", true, START_S));
        for _ in 0..20 {
            let some: Vec<bool> = alice.some(3).iter().map(SocketAddr::is_ipv6).collect();
            assert_eq!(some, [false, true, false]);
        }
        assert_eq!(alice.some(9).len(), 6);
        let mut bob = relays(0);
        (1..4).for_each(|n| bob.offer(&record(n, &format!("198.51.{n}.1 [2001:db8:{n}::1]"), true, START_S)));
        assert_eq!(bob.some(9).iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(), [false, true, false], "one address of each");
        let mut carol = relays(0);
        carol.offer(&record(1, "198.51.1.1 [2001:db8:1::1]", true, START_S));
        assert_eq!(carol.some(3).iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(), [false, true], "it is all she knows");
    }

    #[test]
    fn nodes_without_the_role_and_we_ourselves_are_none() {
        let mut alice = Relays::new([7; 32], PeerSecret([2; 32]).peer());
        alice.offer(&record(1, "198.51.1.1", false, START_S));
        alice.offer(&record(2, "198.51.2.1", true, START_S));
        assert_eq!(alice.known(), 0);
    }

    #[test]
    fn mallory_has_two_voices_in_each_of_her_networks_and_no_more_memory_than_the_bound() {
        let mut alice = relays(3);
        for n in 100..200 {
            alice.offer(&record(n, &format!("203.0.113.{n}"), true, START_S));
        }
        assert_eq!(alice.known(), 3 + RELAYS_PER_PREFIX);
        for n in 4..=250 {
            alice.offer(&record(n, &format!("[2001:db8:{n:x}::1]"), true, START_S));
        }
        assert!(alice.known() <= RELAYS_KNOWN_MAX);
    }

    #[test]
    fn when_none_works_others_are_drawn_and_the_first_again_at_last() {
        let mut alice = relays(5);
        alice.want(true, at(0));
        alice.step(true, at(0));
        let first = alice.chosen().to_vec();
        alice.connected(true, at(10));
        assert!(!alice.step(true, at(LOST_MS)));
        alice.connected(false, at(LOST_MS));
        assert_eq!(alice.next_timeout().map(|ms| ms >= LOST_MS), Some(true));
        assert!(alice.step(true, at(2 * LOST_MS)));
        let second = alice.chosen().to_vec();
        assert!(second.iter().all(|relay| !first.contains(relay)) && second.len() == 5 - RELAYS_CHOSEN);
        assert!(alice.step(true, at(3 * LOST_MS)));
        assert_eq!(alice.chosen().len(), RELAYS_CHOSEN, "whoever failed gets another chance when nobody is left");
    }

    #[test]
    fn a_relay_that_withdraws_or_moves_is_replaced() {
        let mut alice = relays(6);
        alice.want(true, at(0));
        alice.step(true, at(0));
        let [gone, moved] = [alice.chosen()[0], alice.chosen()[1]];
        let secret = |relay: &Chosen| (1..=6).find(|n| PeerSecret([*n; 32]).peer() == relay.peer).unwrap();
        alice.offer(&record(secret(&gone), "198.51.77.1", false, START_S + 1));
        alice.offer(&record(secret(&moved), "198.51.78.1", true, START_S + 1));
        assert!(alice.step(true, at(1000)));
        assert_eq!(alice.chosen().len(), RELAYS_CHOSEN);
        assert!(!alice.chosen().contains(&gone) && !alice.chosen().contains(&moved));
        // An older record changes nothing.
        alice.offer(&record(secret(&gone), "198.51.79.1", true, START_S));
        assert!(!alice.step(true, at(1001)));
    }

    #[test]
    fn while_there_are_too_few_nodes_are_looked_for_less_and_less_often() {
        let mut alice = relays(1);
        alice.want(true, at(0));
        let mut walks = Vec::new();
        let mut ms = 0;
        while ms < 3_600_000 {
            alice.step(true, at(ms));
            if alice.poll_walk() {
                walks.push(ms);
            }
            let next = alice.next_timeout().unwrap().max(ms + 1);
            alice.connected(true, at(ms));
            ms = next;
        }
        assert!((6..=12).contains(&walks.len()), "{walks:?}");
        (2..9).for_each(|n| alice.offer(&record(n, &format!("198.51.{n}.1"), true, START_S)));
        alice.step(true, at(ms));
        assert!(!alice.poll_walk() && alice.next_timeout().is_none());
    }

    #[test]
    fn relays_that_never_work_and_are_replaced_for_ever_fill_no_memory() {
        let mut alice = Relays::new([7; 32], PeerId([0; 32]));
        alice.want(true, at(0));
        let mut failed = 0;
        for round in 1..=40u8 {
            let ms = u64::from(round) * 2 * 3_600_000;
            for n in (1..=200).filter(|n| n % 40 == round % 40) {
                alice.offer(&record(n, &format!("[2001:db8:{n:x}::1]"), true, START_S + ms / 1000));
            }
            alice.step(true, at(ms));
            alice.step(true, at(ms + LOST_MS));
            failed = failed.max(alice.failed.len());
        }
        assert!((1..16).contains(&failed), "{failed}");
    }

    #[test]
    fn what_expired_is_used_no_more() {
        let mut alice = relays(4);
        alice.want(true, at(0));
        alice.step(true, at(0));
        assert!(alice.step(true, at(8 * 3_600_000)));
        assert_eq!((alice.chosen().len(), alice.known()), (0, 0));
    }
}
