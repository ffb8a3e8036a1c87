//! One open connection: a bounded queue out, frames in, and a single reason for its end.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};

use iroh::TransportAddr;
use iroh::endpoint::{Connection, LocalTransportAddr, RecvStream, SendStream, Side, VarInt};
use samizdat_core::PeerId;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::addr::PeerAddr;
use crate::frame::{self, FrameError, Ticket};
use crate::limits::{
    FRAME_MAX, Limits, MOVE_MEMORY, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX, RELAY_DOUBT, RELAY_LISTEN, RELAY_SILENCE, REPLACED_GRACE,
};
use crate::path::{PathInfo, PathKind};
use crate::relay::{Names, addr_of_url};
use crate::silence::{Counts, Silence};
use crate::{DisconnectReason, SendError};

/// What the table and the tasks share about a connection.
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    pub(crate) connection: Connection,
    /// The peer's, from its hello.
    pub(crate) ticket: OnceLock<Ticket>,
    state: watch::Sender<State>,
    /// From which address of ours packets went last, without a relay, and when that was seen.
    last_from: Mutex<Option<(IpAddr, Instant)>>,
    queue: Mutex<Queue>,
    queued: Notify,
    /// Whom to tell that a relay is silent, if anybody looks at relays.
    names: Option<Names>,
}

/// The stream of a link whose hellos are exchanged.
pub(crate) struct Streams {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Claimed, the hellos are not complete.
    Opening,
    /// `Connected` is told.
    Open,
    /// `Disconnected` is or will be told.
    Ended(DisconnectReason),
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Link {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            peer: PeerId(*connection.remote_id().as_bytes()),
            connection,
            ticket: OnceLock::new(),
            state: watch::Sender::new(State::Opening),
            last_from: Mutex::default(),
            queue: Mutex::default(),
            queued: Notify::new(),
            names: None,
        }
    }

    /// Whose relay is looked at when it is silent.
    pub(crate) fn doubting(self, names: Names) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Whether this node opened the connection.
    pub(crate) fn dialed(&self) -> bool {
        self.connection.side() == Side::Client
    }

    /// Whether the peer said hello here only after it had given up `held`.
    pub(crate) fn supersedes(&self, held: &Link) -> bool {
        matches!((self.ticket.get(), held.ticket.get()), (Some(new), Some(old)) if new.supersedes(*old))
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.state.borrow() == State::Open
    }

    /// Over, or about to find out.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(*self.state.borrow(), State::Ended(_)) || self.connection.close_reason().is_some()
    }

    pub(crate) fn set_open(&self) {
        self.state.send_if_modified(|state| match state {
            State::Opening => {
                *state = State::Open;
                true
            }
            _ => false,
        });
    }

    /// Ends the link; the first reason counts.
    pub(crate) fn end(&self, reason: DisconnectReason) {
        self.state.send_if_modified(|state| match state {
            State::Ended(_) => false,
            _ => {
                *state = State::Ended(reason);
                true
            }
        });
        self.queued.notify_one();
    }

    /// Queues a frame, or ends the link when the peer does not keep up.
    pub(crate) fn push(&self, frame: Vec<u8>) -> Result<(), SendError> {
        if frame.is_empty() || frame.len() > FRAME_MAX {
            return Err(SendError::Size);
        }
        if !self.is_open() {
            return Err(SendError::NotConnected);
        }
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = queue.bytes.saturating_add(frame.len());
            if bytes <= QUEUE_BYTES_MAX && queue.frames.len() < QUEUE_FRAMES_MAX {
                queue.bytes = bytes;
                queue.frames.push_back(frame);
                self.queued.notify_one();
                return Ok(());
            }
        }
        self.end(DisconnectReason::Stalled);
        Err(SendError::Stalled)
    }

    /// Carries frames until the link ends, then closes the connection and says why it ended.
    /// `came` makes of a frame what the owner is told.
    pub(crate) async fn run<E>(
        &self,
        streams: Streams,
        events: &mpsc::Sender<E>,
        came: impl Fn(Vec<u8>) -> E,
        limits: &Limits,
    ) -> DisconnectReason {
        let mut reader = std::pin::pin!(self.read(streams.recv, events, came, limits));
        let mut writer = std::pin::pin!(self.write(streams.send, limits));
        let reason = tokio::select! {
            // A wish of this node comes first: once the writer says goodbye, the reader soon reports the peer's.
            biased;
            reason = self.ended() => match reason {
                // The writer sees the wish, sends what is queued and says goodbye.
                DisconnectReason::HungUp => {
                    let _ = timeout(limits.linger, writer).await;
                    reason
                }
                // If the peer said goodbye before it came again, its last frames are here already.
                DisconnectReason::Replaced => timeout(REPLACED_GRACE, reader).await.unwrap_or(reason),
                _ => reason,
            },
            reason = &mut reader => reason,
            reason = &mut writer => reason,
            () = self.fallen_silent() => DisconnectReason::Lost,
        };
        self.end(reason);
        self.connection.close(close_code(reason), b"");
        reason
    }

    /// Where the peer is now, if any path is open.
    pub(crate) fn path(&self) -> Option<PathInfo> {
        let (remote, rtt) = self.selected(|path| (path.remote_addr().clone(), path.rtt()))?;
        let rtt_ms = u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX);
        Some(PathInfo { peer: self.peer, kind: PathKind::of(&remote), rtt_ms, dialed: self.dialed() })
    }

    /// Where its packets go now.
    pub(crate) fn way(&self) -> Option<TransportAddr> {
        self.selected(|path| path.remote_addr().clone())
    }

    /// The relay that carries the connection now, if one does.
    pub(crate) fn relay(&self) -> Option<SocketAddr> {
        match self.way()? {
            TransportAddr::Relay(url) => addr_of_url(&url),
            _ => None,
        }
    }

    /// The address the peer is seen at; empty when a relay hides it.
    pub(crate) fn remote_addr(&self) -> PeerAddr {
        let remote = self.way();
        PeerAddr::new(remote.and_then(|addr| match addr {
            TransportAddr::Ip(socket) => Some(socket),
            _ => None,
        }))
    }

    fn selected<T>(&self, of: impl Fn(&iroh::endpoint::Path<'_>) -> T) -> Option<T> {
        let paths = self.connection.paths();
        let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
        Some(of(&path))
    }

    async fn ended(&self) -> DisconnectReason {
        let mut state = self.state.subscribe();
        loop {
            if let State::Ended(reason) = *state.borrow_and_update() {
                return reason;
            }
            // The sender lives in `self`, so this cannot fail while we wait.
            if state.changed().await.is_err() {
                return DisconnectReason::Lost;
            }
        }
    }

    /// Whether packets went out from an address lately that is not among `own` any more. The connection would heal by another path,
    /// but what was under way when the address went is sent again only many seconds later (iroh 1.4): a new one is faster.
    pub(crate) fn has_moved(&self, own: &BTreeSet<IpAddr>) -> bool {
        let last = *self.last_from.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|(from, when)| !from.is_loopback() && !own.contains(&from) && when.elapsed() < MOVE_MEMORY)
    }

    /// Returns when a relay carries the connection and nothing comes back any more. Other paths heal by themselves.
    async fn fallen_silent(&self) {
        let mut look = interval(RELAY_LISTEN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silence = Silence::default();
        let mut doubted = false;
        loop {
            let now = look.tick().await;
            if let Some(from) = self.selected(|path| local_ip(path.local_addr())).flatten() {
                *self.last_from.lock().unwrap_or_else(PoisonError::into_inner) = Some((from, now));
            }
            let counts = self.selected(|path| path.is_relay().then(|| Counts::of(path.id(), &path.stats()))).flatten();
            let lasts = silence.lasts(now, counts);
            if lasts >= RELAY_SILENCE {
                return;
            }
            let doubts = lasts >= RELAY_DOUBT;
            // Once in each silence. It may as well be the peer who is silent.
            if let (true, false, Some(names), Some(relay)) = (doubts, doubted, &self.names, self.relay()) {
                names.doubt(relay);
            }
            doubted = doubts;
        }
    }

    /// Hands frames over one by one; while the receiver is full, nothing is read and QUIC holds the peer back.
    async fn read<E>(
        &self,
        mut recv: RecvStream,
        events: &mpsc::Sender<E>,
        came: impl Fn(Vec<u8>) -> E,
        limits: &Limits,
    ) -> DisconnectReason {
        loop {
            match frame::read_frame(&mut recv, limits.stall).await {
                Ok(bytes) => {
                    if events.send(came(bytes)).await.is_err() {
                        return DisconnectReason::HungUp;
                    }
                }
                Err(error) => return self.reason_of(error),
            }
        }
    }

    /// Sends what is queued; after a hangup, to the last frame and a goodbye.
    async fn write(&self, mut send: SendStream, limits: &Limits) -> DisconnectReason {
        while let Some(frame) = self.next_queued().await {
            match timeout(limits.stall, frame::write_frame(&mut send, &frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return self.reason_of(error),
                Err(_) => return DisconnectReason::Stalled,
            }
        }
        let _ = send.finish();
        let _ = send.stopped().await;
        DisconnectReason::HungUp
    }

    /// `None` after the last frame before a hangup. Never returns when the link ended otherwise.
    async fn next_queued(&self) -> Option<Vec<u8>> {
        loop {
            let state = *self.state.borrow();
            if !matches!(state, State::Ended(reason) if reason != DisconnectReason::HungUp) {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(frame) = queue.frames.pop_front() {
                    queue.bytes = queue.bytes.saturating_sub(frame.len());
                    return Some(frame);
                }
                if state != State::Open {
                    return None;
                }
            }
            self.queued.notified().await;
        }
    }

    fn reason_of(&self, error: FrameError) -> DisconnectReason {
        match error {
            FrameError::Finished => DisconnectReason::Closed,
            FrameError::Malformed => DisconnectReason::Misbehaved,
            FrameError::Stalled => DisconnectReason::Stalled,
            FrameError::Lost => match self.connection.close_reason() {
                Some(iroh::endpoint::ConnectionError::ApplicationClosed(_)) => DisconnectReason::Closed,
                _ => DisconnectReason::Lost,
            },
        }
    }
}

/// The peer already has a connection to us; the one that says this is superfluous.
pub(crate) const DUPLICATE: VarInt = VarInt::from_u32(1);

fn local_ip(addr: &LocalTransportAddr) -> Option<IpAddr> {
    if let LocalTransportAddr::Ip(ip) = addr { ip.map(|ip| ip.to_canonical()) } else { None }
}

fn close_code(reason: DisconnectReason) -> VarInt {
    VarInt::from_u32(match reason {
        DisconnectReason::HungUp | DisconnectReason::Closed | DisconnectReason::Lost => 0,
        DisconnectReason::Replaced => 1,
        DisconnectReason::Stalled => 2,
        DisconnectReason::Misbehaved => 3,
    })
}
