//! When to tell the local network, whom to answer, whom to believe to be near. A machine: it reads no clock and owns no socket.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_core::PeerId;

use super::Near;
use super::hello::{GROUP_V4, GROUP_V6, HelloIn, PORT};
use crate::limits::{LAN_EVERY_MS, LAN_PER_MINUTE, LAN_PER_SOURCE, LAN_SOURCES_MAX};

const MINUTE_MS: u64 = 60_000;

/// An address of this machine in a local network, and the port there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Post {
    /// Who is near to it.
    pub reach: Reach,
    /// Where our endpoint listens.
    pub port: u16,
}

/// Whose packets can come from the same link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Addresses of the same network.
    V4 {
        /// Ours.
        ip: Ipv4Addr,
        /// Bits of the network.
        prefix: u8,
    },
    /// The same in IPv6.
    V6 {
        /// Ours.
        ip: Ipv6Addr,
        /// Bits of the network.
        prefix: u8,
        /// The number of the interface.
        scope: u32,
    },
}

impl Reach {
    /// Our address there.
    pub(crate) fn ip(&self) -> IpAddr {
        match self {
            Self::V4 { ip, .. } => (*ip).into(),
            Self::V6 { ip, .. } => (*ip).into(),
        }
    }

    /// Where to call those who are near.
    pub(crate) fn group(&self) -> SocketAddr {
        match self {
            Self::V4 { .. } => SocketAddr::new(GROUP_V4.into(), PORT),
            Self::V6 { scope, .. } => SocketAddrV6::new(GROUP_V6, PORT, 0, *scope).into(),
        }
    }

    /// Whether one post is enough for both. IPv4 networks are each told from their own address.
    pub(crate) fn is_the_network_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::V6 { scope, .. }, Self::V6 { ip, scope: there, .. }) => {
                scope == there && self.covers(&SocketAddr::new((*ip).into(), 0))
            }
            _ => self == other,
        }
    }

    fn covers(&self, from: &SocketAddr) -> bool {
        match (self, from) {
            (Self::V4 { ip, prefix }, SocketAddr::V4(from)) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub((*prefix).into())).unwrap_or(0);
                *prefix > 0 && (ip.to_bits() ^ from.ip().to_bits()) & mask == 0
            }
            (Self::V6 { ip, prefix, .. }, SocketAddr::V6(from)) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub((*prefix).into())).unwrap_or(0);
                *prefix > 0 && (ip.to_bits() ^ from.ip().to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Send a packet.
    Send {
        /// From where.
        post: Post,
        /// To whom; to the group if nobody.
        to: Option<SocketAddr>,
        /// What.
        bytes: Vec<u8>,
    },
    /// Somebody is near.
    Met(Near),
}

/// Discovery of one node.
#[derive(Debug)]
pub struct Machine {
    own: PeerId,
    rng: ChaCha8Rng,
    posts: Vec<Post>,
    next_ms: u64,
    minute_ms: u64,
    /// Packets of this minute that were looked at, by their source.
    heard: BTreeMap<IpAddr, u32>,
    out: VecDeque<Act>,
}

impl Machine {
    /// Says nothing until it is told where it is.
    pub fn new(own: PeerId, seed: [u8; 32]) -> Self {
        Self {
            own,
            rng: ChaCha8Rng::from_seed(seed),
            posts: Vec::new(),
            next_ms: u64::MAX,
            minute_ms: 0,
            heard: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// This machine is there now.
    pub fn moved(&mut self, posts: Vec<Post>, now_ms: u64) {
        self.posts = posts;
        self.call(now_ms);
    }

    /// When [`Machine::tick`] wants to be called.
    pub fn next_timeout(&self) -> u64 {
        self.next_ms
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) {
        if self.next_ms <= now_ms {
            self.call(now_ms);
        }
    }

    /// A packet came; `asks` if it was for all.
    pub fn heard(&mut self, from: SocketAddr, asks: bool, bytes: &[u8], now_ms: u64) {
        let Some(post) = self.posts.iter().find(|post| post.reach.covers(&from)).copied() else { return };
        if !self.may_hear(from.ip(), now_ms) {
            return;
        }
        let Some(hello) = HelloIn::decode(bytes).ok().filter(|hello| hello.peer != self.own) else { return };
        let mut at = from;
        at.set_port(hello.port);
        self.out.push_back(Act::Met(Near { peer: hello.peer, at }));
        if asks {
            self.say(post, Some(from));
        }
    }

    /// What is to be done, until nothing is.
    pub fn poll(&mut self) -> Option<Act> {
        self.out.pop_front()
    }

    fn call(&mut self, now_ms: u64) {
        for post in self.posts.clone() {
            self.say(post, None);
        }
        // From three quarters to five, so that those who started together do not speak together for ever.
        let spread = self.rng.next_u64().checked_rem(LAN_EVERY_MS / 2).unwrap_or(0);
        self.next_ms = now_ms.saturating_add(LAN_EVERY_MS / 4 * 3).saturating_add(spread);
    }

    fn say(&mut self, post: Post, to: Option<SocketAddr>) {
        let bytes = HelloIn { peer: self.own, port: post.port }.encode();
        self.out.push_back(Act::Send { post, to, bytes });
    }

    /// So many packets in a minute, of one and of all.
    fn may_hear(&mut self, from: IpAddr, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.minute_ms) >= MINUTE_MS {
            self.minute_ms = now_ms;
            self.heard.clear();
        }
        let all = self.heard.values().fold(0_u32, |sum, n| sum.saturating_add(*n));
        let room = self.heard.len() < LAN_SOURCES_MAX || self.heard.contains_key(&from);
        if all >= LAN_PER_MINUTE || !room {
            return false;
        }
        let of_this = self.heard.entry(from).or_insert(0);
        // What was not looked at does not count: one who shouts must not drown the others.
        let may = *of_this < LAN_PER_SOURCE;
        *of_this = of_this.saturating_add(may.into());
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: PeerId = PeerId([1; 32]);
    const BOB: PeerId = PeerId([2; 32]);

    fn post() -> Post {
        Post { reach: Reach::V4 { ip: Ipv4Addr::new(192, 168, 1, 10), prefix: 24 }, port: 4001 }
    }

    fn alice() -> Machine {
        let mut machine = Machine::new(ALICE, [1; 32]);
        machine.moved(vec![post()], 0);
        machine
    }

    fn hello(peer: PeerId) -> Vec<u8> {
        HelloIn { peer, port: 5001 }.encode()
    }

    fn acts(machine: &mut Machine) -> Vec<Act> {
        std::iter::from_fn(|| machine.poll()).collect()
    }

    #[test]
    fn alice_tells_her_network_at_once_when_it_changes_and_then_about_twice_a_minute() {
        let mut machine = alice();
        let bytes = HelloIn { peer: ALICE, port: 4001 }.encode();
        assert_eq!(acts(&mut machine), [Act::Send { post: post(), to: None, bytes }]);
        let mut now = 0;
        for _ in 0..100 {
            let next = machine.next_timeout();
            assert!((LAN_EVERY_MS / 4 * 3..LAN_EVERY_MS / 4 * 5).contains(&(next - now)));
            now = next;
            machine.tick(now - 1);
            assert_eq!(acts(&mut machine), []);
            machine.tick(now);
            assert_eq!(acts(&mut machine).len(), 1);
        }
        machine.moved(vec![], now);
        assert_eq!(acts(&mut machine), []);
    }

    #[test]
    fn who_calls_is_answered_and_who_answers_is_not() {
        let mut machine = alice();
        acts(&mut machine);
        let from: SocketAddr = "192.168.1.20:60000".parse().unwrap();
        let met = Act::Met(Near { peer: BOB, at: "192.168.1.20:5001".parse().unwrap() });
        machine.heard(from, true, &hello(BOB), 1);
        let bytes = HelloIn { peer: ALICE, port: 4001 }.encode();
        assert_eq!(acts(&mut machine), [met.clone(), Act::Send { post: post(), to: Some(from), bytes }]);
        machine.heard(from, false, &hello(BOB), 2);
        assert_eq!(acts(&mut machine), [met]);
    }

    #[test]
    fn whoever_is_not_of_the_network_is_not_heard_nor_oneself_nor_junk() {
        let mut machine = alice();
        acts(&mut machine);
        for far in ["192.168.2.20:6", "203.0.113.1:6", "[fe80::1%3]:6", "[2001:db8::1]:6"] {
            machine.heard(far.parse().unwrap(), true, &hello(BOB), 1);
        }
        machine.heard("192.168.1.10:6".parse().unwrap(), true, &hello(ALICE), 1);
        machine.heard("192.168.1.11:6".parse().unwrap(), true, b"junk", 1);
        assert_eq!(acts(&mut machine), []);
    }

    #[test]
    fn in_ipv6_whoever_has_the_same_prefix_is_near() {
        let mut machine = Machine::new(ALICE, [1; 32]);
        let post = Post { reach: Reach::V6 { ip: "fd00::a".parse().unwrap(), prefix: 64, scope: 3 }, port: 4001 };
        machine.moved(vec![post], 0);
        acts(&mut machine);
        machine.heard("[fd00:0:0:1::b]:6".parse().unwrap(), true, &hello(BOB), 1);
        machine.heard("[fe80::b%3]:6".parse().unwrap(), true, &hello(BOB), 1);
        assert_eq!(acts(&mut machine), []);
        machine.heard("[fd00::b]:6".parse().unwrap(), false, &hello(BOB), 1);
        assert_eq!(acts(&mut machine), [Act::Met(Near { peer: BOB, at: "[fd00::b]:5001".parse().unwrap() })]);
        let also = |ip: &str, scope| post.reach.is_the_network_of(&Reach::V6 { ip: ip.parse().unwrap(), prefix: 64, scope });
        assert!(also("fd00::c", 3) && !also("fd00::c", 4) && !also("fd00:0:0:1::c", 3));
    }

    #[test]
    fn mallory_who_shouts_is_heard_a_few_times_a_minute_and_does_not_drown_the_others() {
        let mut machine = alice();
        acts(&mut machine);
        let met = |machine: &mut Machine| acts(machine).iter().filter(|act| matches!(act, Act::Met(_))).count();
        for n in 0..=255 {
            machine.heard("192.168.1.66:6".parse().unwrap(), true, &hello(PeerId([n; 32])), 5);
        }
        assert!(met(&mut machine) <= LAN_PER_SOURCE as usize);
        machine.heard("192.168.1.20:6".parse().unwrap(), true, &hello(BOB), 6);
        assert_eq!(met(&mut machine), 1);
        // With many addresses she is heard more often, and no more than all together may be.
        for n in 0..10_000_u32 {
            let from = format!("192.168.1.{}:6", n % 254 + 1).parse().unwrap();
            machine.heard(from, true, &hello(BOB), 7);
        }
        assert!(met(&mut machine) <= LAN_PER_MINUTE as usize);
        assert!(machine.heard.len() <= LAN_SOURCES_MAX);
        machine.heard("192.168.1.20:6".parse().unwrap(), true, &hello(BOB), MINUTE_MS + 7);
        assert_eq!(met(&mut machine), 1);
    }

    #[test]
    fn a_network_of_no_bits_covers_nobody() {
        let reach = Reach::V4 { ip: Ipv4Addr::new(10, 0, 0, 1), prefix: 0 };
        assert!(!reach.covers(&"10.0.0.2:6".parse().unwrap()));
        let reach = Reach::V4 { ip: Ipv4Addr::new(10, 0, 0, 1), prefix: 32 };
        assert!(reach.covers(&"10.0.0.1:6".parse().unwrap()) && !reach.covers(&"10.0.0.2:6".parse().unwrap()));
    }
}
