//! What travels on the one stream of a connection: `length: u32 big-endian, body`, the hello first.
//!
//! The hello is `version: u8, life: u64, turn: u64` (big-endian); what follows in its frame is for later versions.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::{FRAME_MAX, HELLO_MAX, READ_STEP};

/// Names the protocol in the TLS handshake; a change that old nodes cannot read gets a new number here.
pub(crate) const ALPN: &[u8] = b"samizdat/1";
/// First byte of the hello: what both ends may add without breaking the other.
const VERSION: u8 = 1;

/// When a node said hello, by its own reckoning. It tells a late duplicate from a fresh start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Drawn at random when a node starts.
    pub(crate) life: u64,
    /// Counts upward while it lives.
    pub(crate) turn: u64,
}

impl Ticket {
    /// Whether who gave this ticket had given up the connection for which he gave `earlier`.
    pub(crate) fn supersedes(self, earlier: Ticket) -> bool {
        self.life != earlier.life || self.turn > earlier.turn
    }
}

/// Why no further frame comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The peer ended its stream between two frames.
    #[error("the peer said goodbye")]
    Finished,
    /// Empty, longer than allowed, cut short, or no hello.
    #[error("the peer broke the framing")]
    Malformed,
    /// The body took too long.
    #[error("a frame took too long")]
    Stalled,
    /// The connection ended.
    #[error("the connection ended")]
    Lost,
}

pub(crate) async fn write_hello(send: &mut (impl AsyncWrite + Unpin), ticket: Ticket) -> Result<(), FrameError> {
    let mut hello = vec![VERSION];
    hello.extend_from_slice(&ticket.life.to_be_bytes());
    hello.extend_from_slice(&ticket.turn.to_be_bytes());
    write_frame(send, &hello).await
}

/// The caller bounds the time, as it does for the whole handshake.
pub(crate) async fn read_hello(recv: &mut (impl AsyncRead + Unpin)) -> Result<Ticket, FrameError> {
    let length = read_length(recv, HELLO_MAX).await?;
    let body = read_body(recv, length).await?;
    decode_hello(&body).ok_or(FrameError::Malformed)
}

pub(crate) async fn write_frame(send: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(body.len()).map_err(|_| FrameError::Malformed)?;
    send.write_all(&length.to_be_bytes()).await.map_err(|_| FrameError::Lost)?;
    send.write_all(body).await.map_err(|_| FrameError::Lost)
}

/// Waits for ever for a frame to begin, and at most `stall` for the rest of it.
pub(crate) async fn read_frame(recv: &mut (impl AsyncRead + Unpin), stall: Duration) -> Result<Vec<u8>, FrameError> {
    let length = read_length(recv, FRAME_MAX).await?;
    tokio::time::timeout(stall, read_body(recv, length)).await.map_err(|_| FrameError::Stalled)?
}

/// [`read_frame`] without a clock, for what is in memory already.
pub(crate) async fn read_frame_at_once(recv: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, FrameError> {
    let length = read_length(recv, FRAME_MAX).await?;
    read_body(recv, length).await
}

async fn read_length(recv: &mut (impl AsyncRead + Unpin), max: usize) -> Result<usize, FrameError> {
    let mut header = Vec::with_capacity(4);
    recv.take(4).read_to_end(&mut header).await.map_err(|_| FrameError::Lost)?;
    if header.is_empty() {
        return Err(FrameError::Finished);
    }
    let header = header.try_into().map_err(|_| FrameError::Malformed)?;
    match usize::try_from(u32::from_be_bytes(header)) {
        Ok(length) if (1..=max).contains(&length) => Ok(length),
        _ => Err(FrameError::Malformed),
    }
}

/// Memory follows what has arrived, not what was announced.
async fn read_body(recv: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::with_capacity(length.min(READ_STEP));
    let announced = u64::try_from(length).map_err(|_| FrameError::Malformed)?;
    recv.take(announced).read_to_end(&mut body).await.map_err(|_| FrameError::Lost)?;
    if body.len() < length { Err(FrameError::Malformed) } else { Ok(body) }
}

fn decode_hello(body: &[u8]) -> Option<Ticket> {
    let (version, rest) = body.split_first()?;
    let (life, rest) = rest.split_first_chunk()?;
    let (turn, _) = rest.split_first_chunk()?;
    (*version >= VERSION).then_some(Ticket { life: u64::from_be_bytes(*life), turn: u64::from_be_bytes(*turn) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_of_a_later_version_is_read() {
        let mut body = vec![9];
        body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 99, 99]);
        assert_eq!(decode_hello(&body), Some(Ticket { life: 1, turn: 2 }));
        assert_eq!(decode_hello(&body[..16]), None);
        body[0] = 0;
        assert_eq!(decode_hello(&body), None);
    }

    #[test]
    fn only_a_later_turn_or_another_life_supersedes() {
        let held = Ticket { life: 1, turn: 5 };
        assert!(!held.supersedes(held));
        assert!(!Ticket { life: 1, turn: 4 }.supersedes(held));
        assert!(Ticket { life: 1, turn: 6 }.supersedes(held));
        assert!(Ticket { life: 2, turn: 0 }.supersedes(held));
    }
}
