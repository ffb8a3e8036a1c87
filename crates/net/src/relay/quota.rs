//! How many bytes a second those who use a relay may send. A machine without a clock: time is an argument.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::admission::Origin;
use crate::limits::{QUOTAS_MAX, RelayLimits};

const SECOND_US: u64 = 1_000_000;

/// Who is behind some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender {
    /// The network that they come from.
    pub(crate) origin: Origin,
    /// The transport key, once it is proven.
    pub(crate) peer: Option<[u8; 32]>,
}

/// What everybody has sent lately. It outlives connections, so nobody gains by coming again.
#[derive(Debug)]
pub(crate) struct Quotas {
    peers: Ledger<[u8; 32]>,
    origins: Ledger<Origin>,
}

impl Quotas {
    pub(crate) fn new(limits: &RelayLimits) -> Self {
        Self {
            peers: Ledger::new(limits.bytes_per_second, limits.burst_bytes),
            origins: Ledger::new(limits.prefix_bytes_per_second, limits.prefix_burst_bytes),
        }
    }

    /// Takes note of bytes that were read, and says for how long nothing more may be read from there, microseconds.
    pub(crate) fn spend(&mut self, sender: Sender, bytes: usize, now_us: u64) -> u64 {
        let all_of_them = self.origins.spend(sender.origin, bytes, now_us);
        let alone = sender.peer.map_or(0, |peer| self.peers.spend(peer, bytes, now_us));
        all_of_them.max(alone)
    }
}

/// One account for each sender: what was sent is paid for by time that passes.
#[derive(Debug)]
struct Ledger<K> {
    per_second: NonZeroU32,
    /// Time that may be owed: the bytes that may be sent at once.
    credit_us: u64,
    /// When everything is paid for. Who is not named owes nothing.
    paid_us: BTreeMap<K, u64>,
}

impl<K: Ord> Ledger<K> {
    fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let mut ledger = Self { per_second, credit_us: 0, paid_us: BTreeMap::new() };
        ledger.credit_us = ledger.worth(burst.get().into());
        ledger
    }

    fn spend(&mut self, who: K, bytes: usize, now_us: u64) -> u64 {
        let worth = self.worth(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.paid_us.len() >= QUOTAS_MAX && !self.paid_us.contains_key(&who) {
            self.paid_us.retain(|_, paid| *paid > now_us);
            if self.paid_us.len() >= QUOTAS_MAX {
                // No account for this one, so no credit either.
                return worth;
            }
        }
        let paid = self.paid_us.entry(who).or_insert(now_us);
        *paid = (*paid).max(now_us).saturating_add(worth);
        paid.saturating_sub(now_us).saturating_sub(self.credit_us)
    }

    /// The time that pays for so many bytes.
    fn worth(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(SECOND_US).checked_div(self.per_second.get().into()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1024;
    const MALLORY: [u8; 32] = [9; 32];

    fn origin(ip: &str) -> Origin {
        Origin::of(Some(std::net::SocketAddr::new(ip.parse().unwrap(), 1)))
    }

    fn sender(peer: [u8; 32], ip: &str) -> Sender {
        Sender { origin: origin(ip), peer: Some(peer) }
    }

    fn kib(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n * 1024).unwrap()
    }

    /// A peer may send 10 KiB a second and 20 at once, a network 100 and 200.
    fn quotas() -> Quotas {
        Quotas::new(&RelayLimits {
            bytes_per_second: kib(10),
            burst_bytes: kib(20),
            prefix_bytes_per_second: kib(100),
            prefix_burst_bytes: kib(200),
            ..RelayLimits::default()
        })
    }

    #[test]
    fn a_peer_is_slowed_once_its_burst_is_spent_and_nobody_else_is() {
        let mut quotas = quotas();
        let mallory = sender(MALLORY, "192.0.2.1");
        assert_eq!(quotas.spend(mallory, 20 * KIB, 0), 0, "the burst");
        assert_eq!(quotas.spend(mallory, 10 * KIB, 0), SECOND_US);
        assert_eq!(quotas.spend(mallory, 10 * KIB, SECOND_US), SECOND_US, "she kept her debt");
        assert_eq!(quotas.spend(sender([1; 32], "192.0.2.1"), 20 * KIB, SECOND_US), 0, "Alice is a neighbour of hers");
        assert_eq!(quotas.spend(mallory, 20 * KIB, 60 * SECOND_US), 0, "and when she was quiet she may again");
    }

    #[test]
    fn coming_again_or_from_elsewhere_gains_a_peer_nothing() {
        let mut quotas = quotas();
        quotas.spend(sender(MALLORY, "192.0.2.1"), 20 * KIB, 0);
        assert_eq!(quotas.spend(sender(MALLORY, "198.51.100.1"), 10 * KIB, 0), SECOND_US);
    }

    #[test]
    fn a_thousand_keys_of_one_network_share_what_the_network_has() {
        let mut quotas = quotas();
        let mut key = |n: usize, now| {
            let mut peer = MALLORY;
            peer[..8].copy_from_slice(&n.to_be_bytes());
            quotas.spend(sender(peer, &format!("192.0.2.{}", n % 256)), KIB, now)
        };
        assert_eq!((0..200).map(|n| key(n, 0)).max(), Some(0), "the burst of the network");
        assert_eq!(key(200, 0), SECOND_US / 100);
        assert_eq!((201..1000).map(|n| key(n, 0)).max(), Some(SECOND_US * 8), "800 KiB at 100 a second");
        assert_eq!(quotas.spend(sender([1; 32], "192.0.3.1"), 20 * KIB, 0), 0, "Alice comes from another one");
    }

    #[test]
    fn who_has_not_proven_a_key_counts_for_the_network() {
        let mut quotas = quotas();
        let unknown = Sender { origin: origin("2001:db8:1:2::1"), peer: None };
        quotas.spend(unknown, 200 * KIB, 0);
        assert_eq!(quotas.spend(Sender { origin: origin("2001:db8:1:3::1"), ..unknown }, 100 * KIB, 0), SECOND_US);
    }

    #[test]
    fn accounts_are_bounded_and_who_finds_none_has_no_burst() {
        let mut ledger = Ledger::new(kib(1), kib(1));
        (0..QUOTAS_MAX).for_each(|n| assert_eq!(ledger.spend(n, KIB, 0), 0));
        assert_eq!(ledger.spend(QUOTAS_MAX, KIB, 0), SECOND_US);
        assert_eq!(ledger.paid_us.len(), QUOTAS_MAX);
        assert_eq!(ledger.spend(QUOTAS_MAX, KIB, SECOND_US), 0, "those who owe nothing any more make room");
        assert_eq!(ledger.paid_us.len(), 1);
    }

    proptest! {
        /// Whoever waits as told has never sent more than the burst, what time has brought, and the last piece.
        #[test]
        fn no_way_of_sending_beats_the_quota(pieces in prop::collection::vec((1..64 * KIB, 0..3 * SECOND_US), 1..60)) {
            let mut quotas = quotas();
            let (mut now, mut sent) = (0, 0);
            for (bytes, idle) in pieces {
                let before = sent;
                sent += bytes as u64;
                let wait = quotas.spend(sender(MALLORY, "192.0.2.1"), bytes, now);
                prop_assert!(before <= 20 * 1024 + now * 10 * 1024 / SECOND_US + 60, "{before} bytes before {now}");
                now += wait.max(idle);
            }
        }
    }
}
