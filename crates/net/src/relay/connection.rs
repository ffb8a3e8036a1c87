//! One connection to our relay on its way from TCP to the protocol of iroh. What it sends is read no faster than the quotas of
//! its peer and its network allow; then TCP slows the sender down.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use hyper::body::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use iroh_relay::http::{CLIENT_AUTH_HEADER, ProtocolVersion};
use iroh_relay::protos::handshake;
use iroh_relay::protos::streams::StreamError;
use iroh_relay::server::client::Config;
use iroh_relay::server::clients::Clients;
use iroh_relay::server::streams::RelayedStream;
use iroh_relay::server::{ClientRequest, DynAccessControl, Metrics};
use iroh_relay::{ExportKeyingMaterial, KeyCache};
use n0_future::{Sink, Stream};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_websockets::{Limits, Message, Payload, ServerBuilder, WebSocketStream};

use super::places::{Door, Places};
use super::quota::Sender;
use crate::limits::RELAY_MESSAGE_MAX;

/// RFC 6455, section 1.3.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What all connections of one relay share.
#[derive(Debug, Clone)]
pub(crate) struct Relaying {
    pub(crate) clients: Clients,
    pub(crate) keys: KeyCache,
    pub(crate) metrics: Arc<Metrics>,
}

/// A request to be relayed that hyper has answered with 101.
pub(crate) struct Asked {
    version: ProtocolVersion,
    request: Parts,
    upgrade: OnUpgrade,
}

/// The answer to a request to be relayed, and what goes on after it; `None` when it asks for something else.
pub(crate) fn answer<B>(mut request: http::Request<B>) -> Option<(HeaderMap, Asked)> {
    let headers = request.headers();
    let is = |name, value: &[u8]| headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value));
    if request.method() != http::Method::GET || !is(UPGRADE, b"websocket") || !is(SEC_WEBSOCKET_VERSION, b"13") {
        return None;
    }
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let version = offered.split(',').filter_map(|name| ProtocolVersion::match_from_str(name.trim())).max()?;
    let proof = Sha1::new().chain_update(headers.get(SEC_WEBSOCKET_KEY)?).chain_update(ACCEPT_SUFFIX).finalize();
    let accept = HeaderValue::from_str(&data_encoding::BASE64.encode(&proof)).ok()?;
    let answer = [
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (SEC_WEBSOCKET_ACCEPT, accept),
        (SEC_WEBSOCKET_PROTOCOL, version.to_header_value()),
    ];
    let upgrade = hyper::upgrade::on(&mut request);
    let (request, _) = request.into_parts();
    Some((answer.into_iter().collect(), Asked { version, request, upgrade }))
}

impl Asked {
    /// Finds out who is there and, if there is a place, hands the connection over to the relay.
    pub(crate) async fn begin(self, relaying: &Relaying, door: Door) -> Option<()> {
        let parts = self.upgrade.await.ok()?.downcast::<TokioIo<TlsStream<Metered>>>().ok()?;
        // Who speaks before being asked does not speak this protocol.
        if !parts.read_buf.is_empty() {
            return None;
        }
        let limits = Limits::default().max_payload_len(Some(RELAY_MESSAGE_MAX));
        let mut messages = Messages(ServerBuilder::new().limits(limits).serve(parts.io.into_inner()));
        let proof = self.request.headers.get(CLIENT_AUTH_HEADER).cloned();
        let proven = handshake::serverside(&mut messages, proof).await.ok()?;
        messages.0.get_mut().get_mut().0.is_of(*proven.client_key.as_bytes());
        let request = ClientRequest::new(proven.client_key, self.version, self.request);
        let door: Arc<dyn DynAccessControl> = Arc::new(door);
        let guard = proven.authorize_with(&request, &door, &mut messages).await.ok()?;
        let stream = RelayedStream::new(messages, relaying.keys.clone());
        relaying.clients.register(Config::new(guard, stream, self.version), relaying.metrics.clone());
        Some(())
    }
}

/// A TCP connection that is read no faster than its sender may send.
pub(crate) struct Metered {
    stream: TcpStream,
    places: Arc<Places>,
    sender: Sender,
    /// Nothing is read until then.
    asleep: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    /// Whose network owes something waits from the first byte on: nobody gains by coming again.
    pub(crate) fn new(stream: TcpStream, places: Arc<Places>, sender: Sender) -> Self {
        let mut metered = Self { stream, places, sender, asleep: None };
        metered.spend(0);
        metered
    }

    /// From now on it is known whose bytes these are.
    fn is_of(&mut self, peer: [u8; 32]) {
        self.sender.peer = Some(peer);
        self.spend(0);
    }

    fn spend(&mut self, bytes: usize) {
        let wait = self.places.spend(self.sender, bytes);
        let until = Instant::now().checked_add(wait).filter(|_| !wait.is_zero());
        self.asleep = until.map(|until| Box::pin(sleep_until(until)));
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(asleep) = &mut this.asleep {
            ready!(asleep.as_mut().poll(cx));
            this.asleep = None;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.spend(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The binary messages of a WebSocket: what the relay protocol is spoken in.
struct Messages(WebSocketStream<TlsStream<Metered>>);

impl ExportKeyingMaterial for Messages {
    fn export_keying_material<T: AsMut<[u8]>>(&self, output: T, label: &[u8], context: Option<&[u8]>) -> Option<T> {
        self.0.get_ref().get_ref().1.export_keying_material(output, label, context).ok()
    }
}

impl Stream for Messages {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(message)) if message.is_close() => return Poll::Ready(None),
                Some(Ok(message)) if message.is_binary() => return Poll::Ready(Some(Ok(message.into_payload().into()))),
                // Pings are answered below us; text is no part of the protocol.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(StreamError::from_std(error)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Sink<Bytes> for Messages {
    type Error = StreamError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(StreamError::from_std)
    }

    fn start_send(mut self: Pin<&mut Self>, bytes: Bytes) -> Result<(), StreamError> {
        Pin::new(&mut self.0).start_send(Message::binary(Payload::from(bytes))).map_err(StreamError::from_std)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(StreamError::from_std)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(StreamError::from_std)
    }
}
