//! What relays are called towards iroh: by names that say their address, which only this file can read, and nobody is asked for. A
//! resolver that knows nothing else makes sure that no name ever leaves this machine.
//!
//! Names have two more uses. iroh asks for one whenever it connects to a relay, so we hear when it does so again. And it connects
//! to one that is dead only when we answer: packets for a relay that refuses connections would stay in iroh's queue for ever, and
//! those for all other relays behind them (iroh 1.4), while those that wait for an answer are dropped.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use iroh::RelayUrl;
use iroh::dns::{BoxIter, DnsError, DnsResolver, Resolver, TxtRecordData};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::addr::canonical;
use crate::limits::{DEAD_RELAYS_MAX, RELAY_DEAD};

const SUFFIX: &str = ".relay.invalid";

/// A relay as iroh has it.
pub(crate) fn url(addr: SocketAddr) -> Option<RelayUrl> {
    let host = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => HEXLOWER.encode(&ip.octets()),
        IpAddr::V6(ip) => HEXLOWER.encode(&ip.octets()),
    };
    let port = addr.port();
    format!("https://{host}-{port}{SUFFIX}:{port}/").parse().ok()
}

/// Whose name [`url`] made.
pub(crate) fn addr_of(host: &str) -> Option<SocketAddr> {
    let (ip, port) = host.strip_suffix(SUFFIX)?.split_once('-')?;
    let octets = HEXLOWER.decode(ip.as_bytes()).ok()?;
    let ip: IpAddr = match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(octets).ok()?.into(),
    };
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

/// Which relay is reached there.
pub(crate) fn addr_of_url(url: &RelayUrl) -> Option<SocketAddr> {
    url.host_str().and_then(addr_of)
}

/// Resolves the names of this file and no others. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    dead: Arc<Mutex<BTreeMap<SocketAddr, Instant>>>,
    doubts: mpsc::Sender<Doubt>,
}

/// Why a relay may be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// iroh connects to it, perhaps not for the first time.
    Asked(SocketAddr),
    /// It was the one in use and iroh has lost it.
    Lost(SocketAddr),
    /// A connection that it carries has fallen silent.
    Silent(SocketAddr),
}

impl Names {
    /// Tells `doubts` of every relay that iroh connects to, as far as there is room.
    pub(crate) fn new(doubts: mpsc::Sender<Doubt>) -> Self {
        Self { dead: Arc::default(), doubts }
    }

    pub(crate) fn resolver(&self) -> DnsResolver {
        DnsResolver::custom(self.clone())
    }

    /// Somebody who is reached through this relay does not answer.
    pub(crate) fn doubt(&self, relay: SocketAddr) {
        // Who is about to look at another relay will look at this one, too, when it is asked for.
        let _ = self.doubts.try_send(Doubt::Silent(canonical(relay)));
    }

    /// For [`RELAY_DEAD`], nobody connects to this relay.
    pub(crate) fn bury(&self, relay: SocketAddr) {
        let mut dead = self.dead();
        if (dead.len() < DEAD_RELAYS_MAX || dead.contains_key(&relay))
            && let Some(until) = Instant::now().checked_add(RELAY_DEAD)
        {
            dead.insert(relay, until);
        }
    }

    /// It is alive after all.
    pub(crate) fn raise(&self, relay: SocketAddr) {
        self.dead().remove(&relay);
    }

    /// Whether it was dead when it was last looked at.
    pub(crate) fn was_dead(&self, relay: SocketAddr) -> bool {
        self.dead().contains_key(&relay)
    }

    /// Whether there is any such relay.
    pub(crate) fn any_dead(&self) -> bool {
        !self.dead().is_empty()
    }

    fn dead(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Instant>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address, unless iroh is to wait.
    fn answer<T: Send + 'static>(&self, host: &str, of: impl Fn(IpAddr) -> Option<T>) -> Answer<T> {
        let Some(relay) = addr_of(host) else { return answer(None) };
        let Some(known) = of(relay.ip()) else { return answer(None) };
        if self.dead().get(&relay).is_some_and(|until| Instant::now() < *until) {
            return Box::pin(std::future::pending());
        }
        // Who does not listen has not caught up with what he heard before.
        let _ = self.doubts.try_send(Doubt::Asked(canonical(relay)));
        answer(Some(known))
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<BoxIter<T>, DnsError>> + Send>>;

fn answer<T: Send + 'static>(known: Option<T>) -> Answer<T> {
    Box::pin(std::future::ready(Ok(Box::new(known.into_iter()) as BoxIter<T>)))
}

impl Resolver for Names {
    fn lookup_ipv4(&self, host: String) -> Answer<Ipv4Addr> {
        self.answer(&host, |ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None })
    }

    fn lookup_ipv6(&self, host: String) -> Answer<Ipv6Addr> {
        self.answer(&host, |ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None })
    }

    fn lookup_txt(&self, _host: String) -> Answer<TxtRecordData> {
        answer(None)
    }

    fn clear_cache(&self) {}

    fn reset(&self) -> Box<dyn Resolver> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn relay(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_means_its_address_and_nothing_else_is_resolved() {
        for addr in ["[2001:db8::7]:443", "203.0.113.7:4443"].map(relay) {
            assert_eq!(addr_of_url(&url(addr).unwrap()), Some(addr));
        }
        let zeros = format!("{}-1.invalid", "0".repeat(32));
        for host in ["example.org", "ab-1.relay.invalid", "203.0.113.7", ".relay.invalid", "cb007107.relay.invalid", &zeros] {
            assert_eq!(addr_of(host), None, "{host}");
        }
    }

    #[tokio::test]
    async fn who_asks_for_a_dead_relay_waits_and_for_a_live_one_is_heard() {
        let (sender, mut asked) = mpsc::channel(1);
        let names = Names::new(sender);
        let (alive, dead) = (relay("203.0.113.7:1"), relay("203.0.113.7:2"));
        names.bury(dead);
        assert!(names.was_dead(dead) && !names.was_dead(alive));
        let host = |addr| url(addr).unwrap().host_str().unwrap().to_owned();
        assert_eq!(names.lookup_ipv4(host(alive)).await.unwrap().collect::<Vec<_>>(), ["203.0.113.7".parse::<Ipv4Addr>().unwrap()]);
        assert_eq!(names.lookup_ipv6(host(alive)).await.unwrap().count(), 0);
        assert_eq!(asked.recv().await, Some(Doubt::Asked(alive)));
        assert!(tokio::time::timeout(Duration::ZERO, names.lookup_ipv4(host(dead))).await.is_err());
        // As if time had passed: it may be tried again.
        names.dead().insert(dead, Instant::now());
        assert_eq!(names.lookup_ipv4(host(dead)).await.unwrap().count(), 1);
        assert_eq!(asked.recv().await, Some(Doubt::Asked(dead)));
        names.raise(dead);
        assert!(!names.any_dead());
    }
}
