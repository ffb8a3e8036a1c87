//! The accept loop: TLS, a few lines of HTTP, then the relay of iroh takes the connection over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use iroh_relay::KeyCache;
use iroh_relay::http::{RELAY_PATH, RELAY_PROBE_PATH};
use iroh_relay::server::http_server::{BytesBody, Handlers, RelayServiceWithNotify};
use iroh_relay::server::streams::MaybeTlsStream;
use iroh_relay::server::{ClientRateLimit, Metrics, RelayService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::introduce::RECORD_PATH;
use super::places::{Door, PLACE_HEADER, Places};
use crate::limits::{ACCEPT_PAUSE, RELAY_KEYS_MAX};

/// Serves until it is aborted; what it began ends with [`Places::close`].
pub(crate) async fn run(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    places: Arc<Places>,
    record: watch::Receiver<Vec<u8>>,
) {
    let mut rate = ClientRateLimit::new(places.limits().bytes_per_second);
    rate.max_burst_bytes = Some(places.limits().burst_bytes);
    let relay = RelayService::new(
        Handlers::default(),
        HeaderMap::new(),
        Some(rate),
        KeyCache::new(RELAY_KEYS_MAX),
        Arc::new(Door(places.clone())),
        Arc::new(Metrics::default()),
    );
    tokio::spawn(end_with(relay.clone(), places.clone()));
    let tls = TlsAcceptor::from(tls);
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file handles, most likely.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Some(number) = places.enter(from) {
            let served = Served { tls: tls.clone(), relay: relay.clone(), record: record.clone() };
            tokio::spawn(connection(stream, from, served, places.clone(), number));
        }
    }
}

/// Ends every relayed connection when the relay is switched off.
async fn end_with(relay: RelayService, places: Arc<Places>) {
    let mut closed = places.closed();
    drop(places);
    let _ = closed.wait_for(|closed| *closed).await;
    relay.shutdown().await;
}

/// What a connection may ask for.
struct Served {
    tls: TlsAcceptor,
    relay: RelayService,
    /// The node's own record; empty while it has none.
    record: watch::Receiver<Vec<u8>>,
}

async fn connection(stream: TcpStream, from: SocketAddr, given: Served, places: Arc<Places>, number: u64) {
    let mut closed = places.closed();
    let within = places.limits().handshake;
    let established = Arc::new(Notify::new());
    let asked = AtomicBool::new(false);
    let served = async {
        let mut established_now = std::pin::pin!(established.notified());
        established_now.as_mut().enable();
        // Small packets of a conversation must not wait for each other.
        let _ = stream.set_nodelay(true);
        let stream = given.tls.accept(stream).await.ok()?;
        let answer = service_fn(|request| {
            asked.fetch_or(request.uri().path() == RELAY_PATH, Ordering::Relaxed);
            std::future::ready(Ok::<_, Infallible>(answer(&given, request, number, &established)))
        });
        let io = TokioIo::new(MaybeTlsStream::Tls(stream));
        hyper::server::conn::http1::Builder::new().serve_connection(io, answer).with_upgrades().await.ok()?;
        // The relay has the connection, and takes its place over once it knows who is there.
        if asked.load(Ordering::Relaxed) {
            established_now.await;
        }
        Some(())
    };
    tokio::select! {
        served = timeout(within, served) => debug!(ipv6 = from.is_ipv6(), ok = matches!(served, Ok(Some(()))), "a connection to the relay"),
        _ = closed.wait_for(|closed| *closed) => {}
    }
    places.leave(number);
}

fn answer(given: &Served, mut request: Request<Incoming>, number: u64, established: &Arc<Notify>) -> Response<BytesBody> {
    match request.uri().path() {
        RELAY_PATH => {
            request.headers_mut().insert(PLACE_HEADER, HeaderValue::from(number));
            let service = RelayServiceWithNotify::new(given.relay.clone(), established.clone());
            // The answer is ready at once: the upgrade goes on in a task of its own.
            service.call(request).into_inner().unwrap_or_else(|_| plain(StatusCode::BAD_REQUEST))
        }
        RELAY_PROBE_PATH => plain(StatusCode::OK),
        RECORD_PATH => match given.record.borrow().as_slice() {
            [] => plain(StatusCode::NOT_FOUND),
            record => with(StatusCode::OK, Bytes::copy_from_slice(record)),
        },
        _ => plain(StatusCode::NOT_FOUND),
    }
}

fn plain(status: StatusCode) -> Response<BytesBody> {
    with(status, Bytes::new())
}

fn with(status: StatusCode, bytes: Bytes) -> Response<BytesBody> {
    let body: BytesBody = Box::new(Full::new(bytes));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
