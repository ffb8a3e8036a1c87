//! What relays are called towards iroh. Normally by their address. But iroh-relay 1.4 cannot make a TLS name of an IPv6
//! address in brackets, so those get a name that only this file can read, and nobody is asked for: a resolver that knows
//! nothing else also makes sure that no name ever leaves this machine.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use data_encoding::HEXLOWER;
use iroh::RelayUrl;
use iroh::dns::{BoxIter, DnsError, DnsResolver, Resolver, TxtRecordData};

const SUFFIX: &str = ".relay.invalid";

/// The address of a relay as iroh has it.
pub(crate) fn url(addr: SocketAddr) -> Option<RelayUrl> {
    let host = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{}{SUFFIX}", HEXLOWER.encode(&ip.octets())),
    };
    format!("https://{host}:{}/", addr.port()).parse().ok()
}

/// Whose name [`url`] made.
pub(crate) fn ip_of(host: &str) -> Option<IpAddr> {
    let octets = HEXLOWER.decode(host.strip_suffix(SUFFIX)?.as_bytes()).ok()?;
    Some(<[u8; 16]>::try_from(octets).ok()?.into())
}

/// Resolves the names of this file and no others.
pub(crate) fn resolver() -> DnsResolver {
    DnsResolver::custom(Names)
}

#[derive(Debug, Clone, Copy)]
struct Names;

type Answer<T> = Pin<Box<dyn Future<Output = Result<BoxIter<T>, DnsError>> + Send>>;

fn answer<T: Send + 'static>(known: Option<T>) -> Answer<T> {
    Box::pin(std::future::ready(Ok(Box::new(known.into_iter()) as BoxIter<T>)))
}

impl Resolver for Names {
    fn lookup_ipv4(&self, _host: String) -> Answer<Ipv4Addr> {
        answer(None)
    }

    fn lookup_ipv6(&self, host: String) -> Answer<Ipv6Addr> {
        answer(ip_of(&host).and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }))
    }

    fn lookup_txt(&self, _host: String) -> Answer<TxtRecordData> {
        answer(None)
    }

    fn clear_cache(&self) {}

    fn reset(&self) -> Box<dyn Resolver> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_its_address_and_nothing_else_is_resolved() {
        let v6: SocketAddr = "[2001:db8::7]:443".parse().unwrap();
        let url_of_v6 = url(v6).unwrap();
        assert_eq!(ip_of(url_of_v6.host_str().unwrap()), Some(v6.ip()));
        assert_eq!(url("203.0.113.7:443".parse().unwrap()).unwrap().host_str(), Some("203.0.113.7"));
        for host in ["example.org", "ab.relay.invalid", "203.0.113.7", ".relay.invalid", &format!("{}.invalid", "0".repeat(32))] {
            assert_eq!(ip_of(host), None, "{host}");
        }
    }
}
