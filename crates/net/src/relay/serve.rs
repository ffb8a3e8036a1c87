//! The accept loop: TLS, a few lines of HTTP, then the relay of iroh takes the connection over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use iroh_relay::KeyCache;
use iroh_relay::http::{RELAY_PATH, RELAY_PROBE_PATH};
use iroh_relay::server::Metrics;
use iroh_relay::server::clients::Clients;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::connection::{Asked, Metered, Relaying, answer as relayed};
use super::introduce::RECORD_PATH;
use super::places::{Door, Places};
use super::quota::Sender;
use crate::admission::Origin;
use crate::limits::{ACCEPT_PAUSE, RELAY_KEYS_MAX};

/// Serves until it is aborted; what it began ends with [`Places::close`].
pub(crate) async fn run(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    places: Arc<Places>,
    record: watch::Receiver<Vec<u8>>,
) {
    let relaying =
        Relaying { clients: Clients::default(), keys: KeyCache::new(RELAY_KEYS_MAX), metrics: Arc::new(Metrics::default()) };
    tokio::spawn(end_with(relaying.clients.clone(), places.clone()));
    let tls = TlsAcceptor::from(tls);
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file handles, most likely.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Some(number) = places.enter(from) {
            let served = Served { tls: tls.clone(), relaying: relaying.clone(), record: record.clone() };
            tokio::spawn(connection(stream, from, served, places.clone(), number));
        }
    }
}

/// Ends every relayed connection when the relay is switched off.
async fn end_with(clients: Clients, places: Arc<Places>) {
    let mut closed = places.closed();
    drop(places);
    let _ = closed.wait_for(|closed| *closed).await;
    clients.shutdown().await;
}

/// What a connection may ask for.
struct Served {
    tls: TlsAcceptor,
    relaying: Relaying,
    /// The node's own record; empty while it has none.
    record: watch::Receiver<Vec<u8>>,
}

async fn connection(stream: TcpStream, from: SocketAddr, given: Served, places: Arc<Places>, number: u64) {
    let mut closed = places.closed();
    let within = places.limits().handshake;
    let asked = Mutex::new(None);
    let served = async {
        // Small packets of a conversation must not wait for each other.
        let _ = stream.set_nodelay(true);
        let sender = Sender { origin: Origin::of(Some(from)), peer: None };
        let stream = given.tls.accept(Metered::new(stream, places.clone(), sender)).await.ok()?;
        let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&given, request, &asked))));
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(TokioIo::new(stream), answer).with_upgrades().await.ok()?;
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        match asked {
            Some(asked) => asked.begin(&given.relaying, Door { places: places.clone(), number }).await,
            None => Some(()),
        }
    };
    tokio::select! {
        served = timeout(within, served) => debug!(ipv6 = from.is_ipv6(), ok = matches!(served, Ok(Some(()))), "a connection to the relay"),
        _ = closed.wait_for(|closed| *closed) => {}
    }
    places.leave(number);
    if *places.closed().borrow() {
        // It may have come in while the others were let go.
        given.relaying.clients.shutdown().await;
    }
}

fn answer(given: &Served, request: Request<Incoming>, asked: &Mutex<Option<Asked>>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        RELAY_PATH => match relayed(request) {
            Some((headers, goes_on)) => {
                *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(goes_on);
                with(StatusCode::SWITCHING_PROTOCOLS, headers, Bytes::new())
            }
            None => plain(StatusCode::BAD_REQUEST),
        },
        RELAY_PROBE_PATH => plain(StatusCode::OK),
        RECORD_PATH => match given.record.borrow().as_slice() {
            [] => plain(StatusCode::NOT_FOUND),
            record => with(StatusCode::OK, HeaderMap::new(), Bytes::copy_from_slice(record)),
        },
        _ => plain(StatusCode::NOT_FOUND),
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    with(status, HeaderMap::new(), Bytes::new())
}

fn with(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
