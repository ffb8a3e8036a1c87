//! All that one peer says on a connection, read and written in memory by the very code that does so on the network. For
//! fuzz targets and tests.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::{
    frame::{FrameError, Ticket, read_frame_at_once, read_hello, write_frame, write_hello},
    limits::FRAME_MAX,
};

/// A hello and the frames after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// From the hello: drawn at random when a node starts.
    pub life: u64,
    /// From the hello: counts upward while the node lives.
    pub turn: u64,
    /// Bodies of frames.
    pub frames: Vec<Vec<u8>>,
    /// Whether the peer said goodbye after a whole frame; otherwise it broke the framing.
    pub whole: bool,
}

impl Script {
    /// What is taken of a peer's bytes; `None` when they begin with no hello.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let Ticket { life, turn } = at_once(read_hello(&mut bytes))?;
        let mut frames = Vec::new();
        let whole = loop {
            match at_once(async { Ok(read_frame_at_once(&mut bytes).await) })? {
                Ok(frame) => frames.push(frame),
                Err(error) => break error == FrameError::Finished,
            }
        };
        Some(Self { life, turn, frames, whole })
    }

    /// The bytes for it; `None` when a frame is none.
    pub fn write(&self) -> Option<Vec<u8>> {
        if self.frames.iter().any(|frame| frame.is_empty() || frame.len() > FRAME_MAX) {
            return None;
        }
        let mut bytes = Vec::new();
        at_once(write_hello(&mut bytes, Ticket { life: self.life, turn: self.turn }))?;
        for frame in &self.frames {
            at_once(write_frame(&mut bytes, frame))?;
        }
        Some(bytes)
    }
}

/// What is in memory is there at once.
fn at_once<T>(task: impl Future<Output = Result<T, FrameError>>) -> Option<T> {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.ok(),
        Poll::Pending => None,
    }
}
