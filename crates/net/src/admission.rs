//! Who may come in: counts of connections that others opened to us, in total and by where they come from.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;

/// Counts inbound connections. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    inbound: usize,
    handshakes: usize,
    by_origin: BTreeMap<Origin, usize>,
}

/// A neighbourhood that one party is likely to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Loopback,
    /// IPv4 /24.
    V4([u8; 3]),
    /// IPv6 /48.
    V6([u8; 6]),
    /// Through something that hides the address.
    Hidden,
}

/// A place inside. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Gate,
    origin: Origin,
    shaking: bool,
}

impl Gate {
    /// A place for a stranger who comes from `socket`, or `None` when a bound is reached.
    pub(crate) fn admit(&self, socket: Option<SocketAddr>, limits: &Limits) -> Option<Admission> {
        let origin = Origin::of(socket);
        let mut counts = self.counts();
        let from_there = counts.by_origin.get(&origin).copied().unwrap_or(0);
        let allowed_there = match origin {
            Origin::Loopback => limits.inbound_loopback,
            _ => limits.inbound_per_prefix,
        };
        if counts.inbound >= limits.inbound || counts.handshakes >= limits.handshakes || from_there >= allowed_there {
            return None;
        }
        counts.inbound = counts.inbound.saturating_add(1);
        counts.handshakes = counts.handshakes.saturating_add(1);
        counts.by_origin.insert(origin, from_there.saturating_add(1));
        Some(Admission { gate: self.clone(), origin, shaking: true })
    }

    /// How many have a place and have not said hello yet.
    pub(crate) fn handshakes(&self) -> usize {
        self.counts().handshakes
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// The stranger said hello.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.shaking) {
            let mut counts = self.gate.counts();
            counts.handshakes = counts.handshakes.saturating_sub(1);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.settle();
        let mut counts = self.gate.counts();
        counts.inbound = counts.inbound.saturating_sub(1);
        if let Some(left) = counts.by_origin.get_mut(&self.origin) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                counts.by_origin.remove(&self.origin);
            }
        }
    }
}

impl Origin {
    pub(crate) fn of(socket: Option<SocketAddr>) -> Self {
        match socket.map(|s| s.ip().to_canonical()) {
            None => Self::Hidden,
            Some(ip) if ip.is_loopback() => Self::Loopback,
            Some(IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits =
        || Limits { inbound: 5, inbound_per_prefix: 2, inbound_loopback: 4, handshakes: 3, ..Limits::default() };

    fn from(gate: &Gate, ip: &str) -> Option<Admission> {
        gate.admit(Some(SocketAddr::new(ip.parse().unwrap(), 1)), &LIMITS())
    }

    #[test]
    fn a_neighbourhood_gets_its_share_only() {
        let gate = Gate::default();
        let mut inside: Vec<_> = ["192.0.2.1", "192.0.2.2"].map(|ip| from(&gate, ip).unwrap()).into();
        assert!(from(&gate, "192.0.2.3").is_none());
        assert!(from(&gate, "::ffff:192.0.2.3").is_none(), "the same neighbourhood in IPv6 clothing");
        inside.push(from(&gate, "192.0.3.1").unwrap());
        inside.remove(0);
        assert!(from(&gate, "192.0.2.3").is_some());
    }

    #[test]
    fn ipv6_is_counted_by_48_bits() {
        let gate = Gate::default();
        let _inside = ["2001:db8:1:1::1", "2001:db8:1:2::1"].map(|ip| from(&gate, ip).unwrap());
        assert!(from(&gate, "2001:db8:1:3::1").is_none());
        assert!(from(&gate, "2001:db8:2:1::1").is_some());
    }

    #[test]
    fn silent_strangers_block_only_until_they_go() {
        let gate = Gate::default();
        let mut inside: Vec<_> = (0..3).map(|_| from(&gate, "127.0.0.1").unwrap()).collect();
        assert!(from(&gate, "127.0.0.1").is_none(), "three handshakes at most");
        inside.iter_mut().for_each(Admission::settle);
        inside.push(from(&gate, "127.0.0.1").unwrap());
        assert!(from(&gate, "127.0.0.1").is_none(), "four from this machine at most");
        drop(inside);
        assert_eq!(gate.handshakes(), 0);
        assert!(gate.counts().by_origin.is_empty());
    }
}
