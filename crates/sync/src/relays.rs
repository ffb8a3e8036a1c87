//! Which relays we are reached through, where strangers cannot dial us: a few, in different networks, drawn at random from those
//! that records name, kept as long as they work. Chosen by delay, as iroh would, they would tell roughly where we are; chosen
//! by whoever answers first, they would be the ones of whoever wants to see us.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samizdat_core::record::{CERTIFICATE_HASH_LEN, Prefix, Role};
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
    pub addr: SocketAddr,
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
        let Some(prefix) = relay_of(record).map(|relay| Prefix::of(relay.addr.ip())).filter(|_| peer != self.own) else { return };
        let alike = self.known.values().filter(|held| prefix_of(held) == Some(prefix)).count();
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
        // A relay says elsewhere or nowhere now.
        let known = &self.known;
        self.chosen.retain(|chosen| known.get(&chosen.peer).and_then(relay_of).as_ref() == Some(chosen));
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

    /// Some that are known, in different networks, whether we use them or not.
    pub fn some(&mut self, count: usize) -> Vec<SocketAddr> {
        let known: Vec<Chosen> = self.known.values().filter_map(relay_of).collect();
        let mut networks = BTreeSet::new();
        let mut some = self.draw.sample(known, RELAYS_KNOWN_MAX);
        some.retain(|relay| networks.insert(Prefix::of(relay.addr.ip())));
        some.into_iter().map(|relay| relay.addr).take(count).collect()
    }

    /// How many are known.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    fn is_chosen(&self, peer: &PeerId) -> bool {
        self.chosen.iter().any(|chosen| chosen.peer == *peer)
    }

    fn fill(&mut self) {
        let mut taken: BTreeSet<Prefix> = self.chosen.iter().map(|chosen| Prefix::of(chosen.addr.ip())).collect();
        let free: Vec<Chosen> =
            self.known.values().filter(|record| !self.failed.contains(&record.peer())).filter_map(relay_of).collect();
        for relay in self.draw.sample(free, RELAYS_KNOWN_MAX) {
            if self.chosen.len() < RELAYS_CHOSEN && taken.insert(Prefix::of(relay.addr.ip())) {
                self.chosen.push(relay);
            }
        }
    }
}

/// The relay that a record names, at the first of its addresses; IPv4 before IPv6, which fewer have.
fn relay_of(record: &Arc<NodeRecord>) -> Option<Chosen> {
    let fields = record.fields();
    let relay = fields.relay.filter(|_| fields.roles.has(Role::Relay))?;
    let addr = fields.addrs.iter().min_by_key(|addr| addr.is_ipv6())?;
    let addr = SocketAddr::new(addr.ip(), relay.port);
    Some(Chosen { peer: record.peer(), addr, discovery_port: relay.discovery_port, certificate: relay.certificate })
}

fn prefix_of(record: &Arc<NodeRecord>) -> Option<Prefix> {
    relay_of(record).map(|relay| Prefix::of(relay.addr.ip()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

    use samizdat_core::PeerSecret;
    use samizdat_core::record::{NodeFields, RECORD_LIFETIME_S, RelayService, Roles};

    use super::*;

    const START_S: u64 = 1_800_000_000;

    fn at(ms: u64) -> Now {
        Now { mono_ms: ms, unix_ms: START_S * 1000 + ms }
    }

    fn record(n: u8, ip: &str, relay: bool, issued: u64) -> Arc<NodeRecord> {
        let service = RelayService { port: 443, discovery_port: 7842, certificate: [n; 32] };
        let fields = NodeFields {
            issued,
            lifetime_s: RECORD_LIFETIME_S,
            roles: if relay { Roles::default().with(Role::Relay) } else { Roles::default() },
            addrs: vec![format!("{ip}:4001").parse().unwrap()],
            relay: relay.then_some(service),
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
        let prefixes: BTreeSet<Prefix> = alice.chosen().iter().map(|relay| Prefix::of(relay.addr.ip())).collect();
        assert_eq!((alice.chosen().len(), prefixes.len()), (RELAYS_CHOSEN, RELAYS_CHOSEN));
        assert!(!alice.step(true, at(1)), "what works is kept");
        alice.want(false, at(2));
        assert!(alice.step(true, at(2)) && alice.chosen().is_empty());
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
