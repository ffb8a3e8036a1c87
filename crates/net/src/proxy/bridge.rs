//! Between iroh, which knows HTTP proxies (CONNECT), and a SOCKS5 proxy: a listener on the loopback interface that only this
//! process can use, because only it knows the password.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, BASE64};
use http::header::PROXY_AUTHORIZATION;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::debug;
use zeroize::Zeroizing;

use super::{Login, Proxy, socks};
use crate::limits::{ACCEPT_PAUSE, PROXY_CONNECTIONS_MAX, PROXY_PATIENCE};
use crate::relay::addr_of;

const USER: &str = "samizdat";

/// A listener that does not listen yet.
pub(crate) struct Bridge {
    listener: TcpListener,
    password: Zeroizing<String>,
    to: Arc<To>,
}

/// Where it leads.
struct To {
    proxy: Proxy,
    login: Login,
    /// What whoever comes must say.
    authorization: Zeroizing<String>,
}

impl Bridge {
    /// Binds a port. One bridge is one login, so one way through Tor.
    pub(crate) async fn open(proxy: Proxy) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut random = Zeroizing::new([0; 20]);
        getrandom::fill(random.as_mut_slice()).map_err(io::Error::other)?;
        let password = Zeroizing::new(BASE32_NOPAD.encode(random.as_slice()));
        let login = proxy.login().map_err(io::Error::other)?;
        let authorization = Zeroizing::new(format!("Basic {}", BASE64.encode(format!("{USER}:{}", *password).as_bytes())));
        Ok(Self { listener, password, to: Arc::new(To { proxy, login, authorization }) })
    }

    /// What iroh is told.
    pub(crate) fn url(&self) -> io::Result<Zeroizing<String>> {
        Ok(Zeroizing::new(format!("http://{USER}:{}@{}/", *self.password, self.listener.local_addr()?)))
    }

    /// Serves until `end`.
    pub(crate) async fn run(self, end: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(PROXY_CONNECTIONS_MAX));
        tokio::select! {
            () = end => {}
            () = self.serve(places) => {}
        }
    }

    async fn serve(self, places: Arc<Semaphore>) {
        while let Ok(place) = places.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, self.to.clone(), place))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn connection(stream: TcpStream, to: Arc<To>, place: OwnedSemaphorePermit) {
    let place = Arc::new(place);
    let answer = service_fn(|request| {
        let (to, place) = (to.clone(), place.clone());
        async move { Ok::<_, Infallible>(answer(request, &to, place).await) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).with_upgrades();
    // The head of a request and the way through the proxy; what is carried then has all the time it wants.
    let _ = timeout(PROXY_PATIENCE.saturating_mul(2), served).await;
}

async fn answer(request: Request<Incoming>, to: &To, place: Arc<OwnedSemaphorePermit>) -> Response<Empty<Bytes>> {
    let said = request.headers().get(PROXY_AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    if !same(said, to.authorization.as_bytes()) {
        return status(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    }
    let target = request.uri().authority().and_then(address);
    let Some(target) = target.filter(|_| request.method() == Method::CONNECT) else { return status(StatusCode::FORBIDDEN) };
    match timeout(PROXY_PATIENCE, connect(to, target)).await {
        Ok(Ok(mut far)) => {
            tokio::spawn(async move {
                if let Ok(near) = hyper::upgrade::on(request).await {
                    let _ = copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
                }
                drop(place);
            });
            status(StatusCode::OK)
        }
        Ok(Err(error)) => {
            debug!(%error, "no way through the proxy");
            status(StatusCode::BAD_GATEWAY)
        }
        Err(_) => status(StatusCode::GATEWAY_TIMEOUT),
    }
}

async fn connect(to: &To, target: SocketAddr) -> Result<TcpStream, socks::SocksError> {
    let mut stream = TcpStream::connect(to.proxy.at).await?;
    stream.set_nodelay(true)?;
    socks::ask(&mut stream, &to.login, to.proxy.login.is_some(), target).await?;
    Ok(stream)
}

/// Relays are addresses, or the names that `relay::names` makes of them. The proxy is not asked for any other name.
fn address(authority: &Authority) -> Option<SocketAddr> {
    let host = authority.host();
    let ip = addr_of(host).map(|relay| relay.ip()).or_else(|| host.trim_matches(['[', ']']).parse().ok())?;
    Some(SocketAddr::new(ip, authority.port_u16()?))
}

/// In a time that does not tell how much of it is right.
fn same(said: &[u8], expected: &[u8]) -> bool {
    said.len() == expected.len() && said.iter().zip(expected).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn status(code: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a bridge answers to this request, where its proxy takes connections and says nothing.
    async fn answer_to(request: impl Fn(&str) -> String) -> String {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bridge = Bridge::open(format!("socks5://{}", proxy.local_addr().unwrap()).parse().unwrap()).await.unwrap();
        let at = bridge.listener.local_addr().unwrap();
        let authorization = bridge.to.authorization.to_string();
        tokio::spawn(bridge.run(std::future::pending()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = proxy.accept().await {
                let _ = stream.write_all(&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
            }
        });
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request(&authorization).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_does_not_know_the_password_gets_nowhere() {
        let to = "203.0.113.7:443";
        let ask = |with: String| answer_to(move |_| format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{with}\r\n"));
        assert_eq!(ask(String::new()).await, "HTTP/1.1 407");
        assert_eq!(ask("Proxy-Authorization: Basic c2FtaXpkYXQ6\r\n".into()).await, "HTTP/1.1 407");
        let right = answer_to(|right| format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: {right}\r\n\r\n"));
        assert_eq!(right.await, "HTTP/1.1 502", "the proxy was asked, and said no");
    }

    #[tokio::test]
    async fn no_name_and_no_other_request_goes_to_the_proxy() {
        for line in ["CONNECT example.org:443", "CONNECT 203.0.113.7", "GET http://203.0.113.7:443/", "GET /"] {
            let answer = answer_to(|right| format!("{line} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {right}\r\n\r\n")).await;
            assert!(["HTTP/1.1 403", "HTTP/1.1 400"].contains(&answer.as_str()), "{line}: {answer}");
        }
    }

    #[test]
    fn relays_are_addresses_whatever_they_are_called() {
        let of = |text: &str| address(&text.parse().unwrap()).map(|at| at.to_string());
        assert_eq!(of("203.0.113.7:443").as_deref(), Some("203.0.113.7:443"));
        assert_eq!(of("[2001:db8::7]:443").as_deref(), Some("[2001:db8::7]:443"));
        let url = crate::relay::url("[2001:db8::7]:443".parse().unwrap()).unwrap();
        assert_eq!(of(&format!("{}:443", url.host_str().unwrap())).as_deref(), Some("[2001:db8::7]:443"));
        assert_eq!(of("example.org:443"), None);
    }
}
