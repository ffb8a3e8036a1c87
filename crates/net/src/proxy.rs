//! Everything through a SOCKS5 proxy (RFC 1928), Tor's for instance. It carries TCP only: relays are reached through it, and
//! whatever needs UDP does not exist. No name is ever asked for: relays are addresses, and so is the proxy.

mod bridge;
mod socks;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

pub(crate) use bridge::Bridge;

use crate::limits::PROXY_LOGIN_MAX;

const SCHEME: &str = "socks5://";

/// A SOCKS5 proxy, and what it wants to hear.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    at: SocketAddr,
    login: Option<Login>,
}

/// User name and password (RFC 1929), each of 1 to 255 bytes.
#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

/// Why a text names no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Another kind of proxy, or none.
    #[error("a proxy looks like socks5://127.0.0.1:9050, or socks5://USER:PASSWORD@127.0.0.1:9050; other kinds cannot be used")]
    Form,
    /// A name, or no port.
    #[error("say where the proxy is by an IP address or localhost, and a port: to look up a name would tell others of it")]
    Address,
    /// Too short or too long.
    #[error("user and password of a proxy have 1 to {PROXY_LOGIN_MAX} bytes each")]
    Login,
}

impl Proxy {
    /// How to say it again, with the password.
    pub fn to_url(&self) -> Zeroizing<String> {
        Zeroizing::new(match &self.login {
            Some(login) => format!("{SCHEME}{}:{}@{}", *login.user, *login.password, self.at),
            None => self.to_string(),
        })
    }

    /// What is said to the proxy. Where nobody asked for a login it is drawn afresh: Tor takes different ones different ways,
    /// so that nobody sees that they are of one person; others do not look at it.
    fn login(&self) -> Result<Login, getrandom::Error> {
        if let Some(login) = &self.login {
            return Ok(login.clone());
        }
        let mut random = [0; 20];
        getrandom::fill(&mut random)?;
        let text = Zeroizing::new(BASE32_NOPAD.encode(&random));
        Ok(Login { user: text.clone(), password: text })
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(ProxyError::Form)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, at) = match rest.rsplit_once('@') {
            Some((login, at)) => (Some(login), at),
            None => (None, rest),
        };
        let at = match at.strip_prefix("localhost:") {
            Some(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().map_err(|_| ProxyError::Address)?),
            None => at.parse().map_err(|_| ProxyError::Address)?,
        };
        if at.port() == 0 || at.ip().is_unspecified() || at.ip().is_multicast() {
            return Err(ProxyError::Address);
        }
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').ok_or(ProxyError::Login)?;
            let fits = |part: &str| (1..=PROXY_LOGIN_MAX).contains(&part.len());
            let login = Login { user: Zeroizing::new(user.into()), password: Zeroizing::new(password.into()) };
            if fits(user) && fits(password) { Ok(login) } else { Err(ProxyError::Login) }
        });
        Ok(Self { at, login: login.transpose()? })
    }
}

/// Without the login, for people to see.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.at)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_proxy_is_read_and_said_again_but_shown_without_its_login() {
        let plain: Proxy = "socks5://127.0.0.1:9050".parse().unwrap();
        assert_eq!((plain.to_string(), plain.to_url().as_str()), ("socks5://127.0.0.1:9050".into(), "socks5://127.0.0.1:9050"));
        assert_eq!("socks5://localhost:9050/".parse(), Ok(plain));
        let with: Proxy = "socks5://alice:s@cr:et@[::1]:1080".parse().unwrap();
        assert_eq!(with.to_url().as_str(), "socks5://alice:s@cr:et@[::1]:1080");
        assert_eq!((with.to_string().as_str(), format!("{with:?}").as_str()), ("socks5://[::1]:1080", "Proxy(..)"));
    }

    #[test]
    fn what_is_no_proxy_is_told_by_what_is_wrong_with_it() {
        let long = format!("socks5://{}:x@127.0.0.1:1", "u".repeat(256));
        for (text, error) in [
            ("http://127.0.0.1:8080", ProxyError::Form),
            ("127.0.0.1:9050", ProxyError::Form),
            ("", ProxyError::Form),
            ("socks5://tor.example:9050", ProxyError::Address),
            ("socks5://127.0.0.1", ProxyError::Address),
            ("socks5://127.0.0.1:0", ProxyError::Address),
            ("socks5://0.0.0.0:9050", ProxyError::Address),
            ("socks5://alice@127.0.0.1:9050", ProxyError::Login),
            ("socks5://:x@127.0.0.1:9050", ProxyError::Login),
            (&long, ProxyError::Login),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn a_login_that_nobody_asked_for_is_another_each_time() {
        let plain: Proxy = "socks5://127.0.0.1:9050".parse().unwrap();
        assert!(plain.login().unwrap() != plain.login().unwrap());
        let with: Proxy = "socks5://a:b@127.0.0.1:9050".parse().unwrap();
        assert!(with.login().unwrap() == with.login().unwrap());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(socks5://)?\\PC{0,80}") {
            if let Ok(proxy) = text.parse::<Proxy>() {
                prop_assert_eq!(proxy.to_url().parse::<Proxy>(), Ok(proxy));
            }
        }
    }
}
