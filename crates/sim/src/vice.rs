//! What malicious nodes do. Behind each is an honest engine, so that they take part well enough to do harm; what it wants
//! to send goes through here.

use samizdat_core::{EnvelopeId, Hour};
use samizdat_sync::{Frame, draw::Draw, limits::FILL_COUNT_MAX, tree::Entry};

/// Frame types of docs/protocol/sync.md.
const PUSH: u8 = 16;
const FILL: u8 = 21;
const RECONCILIATION: std::ops::RangeInclusive<u8> = 32..=37;
const FLOOD_ENTRIES: usize = 256;

/// One way to be malicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vice {
    /// Passes no envelope on, but announces them all.
    Swallow,
    /// Replaces every second envelope that it passes on by noise.
    Junk,
    /// Flips bytes in what it says about its set.
    Lie,
    /// Announces envelopes that do not exist with everything it sends.
    Flood,
}

impl Vice {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Swallow, Self::Junk, Self::Lie, Self::Flood];

    /// What is sent instead of `frame`.
    pub(crate) fn pervert(self, frame: Vec<u8>, hour: Hour, draw: &mut Draw) -> Vec<Vec<u8>> {
        let kind = kind(&frame);
        match self {
            Self::Swallow if matches!(kind, PUSH | FILL) => Vec::new(),
            Self::Junk if kind == PUSH && draw.percent(50) => vec![Frame::Push { envelope: noise(draw, frame.len()) }.encode()],
            Self::Junk if kind == FILL && draw.percent(50) => {
                let count = usize::try_from(draw.below(8)).unwrap_or(0).min(FILL_COUNT_MAX);
                vec![Frame::Fill { envelopes: (0..count).map(|_| noise(draw, 600)).collect() }.encode()]
            }
            Self::Lie if RECONCILIATION.contains(&kind) => vec![flip(frame, draw)],
            Self::Flood => {
                let mut made: Vec<Entry> = (0..FLOOD_ENTRIES).map(|_| Entry::new(hour, EnvelopeId(random(draw)))).collect();
                made.sort();
                vec![frame, Frame::IHave { late: false, entries: made }.encode()]
            }
            Self::Swallow | Self::Junk | Self::Lie => vec![frame],
        }
    }
}

/// The type of a frame: the second byte, or the third if it is 24 or more.
pub(crate) fn kind(frame: &[u8]) -> u8 {
    match frame {
        [_, 0x18, kind, ..] | [_, kind, ..] => *kind,
        _ => 0,
    }
}

fn flip(mut frame: Vec<u8>, draw: &mut Draw) -> Vec<u8> {
    // The head stays, so that the lie is about the content.
    const HEAD: u64 = 8;
    let at = HEAD.saturating_add(draw.below((frame.len() as u64).saturating_sub(HEAD)));
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| frame.get_mut(at)) {
        *byte ^= 1 << draw.below(8);
    }
    frame
}

fn noise(draw: &mut Draw, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| draw.number().to_be_bytes()).flatten().take(length).collect()
}

fn random(draw: &mut Draw) -> [u8; 32] {
    noise(draw, 32).try_into().unwrap_or([0; 32])
}
