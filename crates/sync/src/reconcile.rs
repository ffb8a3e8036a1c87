//! Finding what two nodes lack of each other's sets.
//!
//! The one who opens describes its set in a few ranges and a sketch. Ranges that differ are split until they can be
//! listed, which is cheapest when the differences lie together, as after an absence. When the sketch shows that they are
//! scattered, the one who notices sends coded symbols instead (see [`crate::riblt`]) until the other can decode them; if
//! that fails, ranges take over. Whoever learns what the other lacks sends it; whoever learns what itself lacks asks by
//! [`Frame::Want`]. A reconciliation never walks over the set.
//!
//! Sets may change meanwhile; what is missed then is found by the next reconciliation.

use std::sync::Arc;

use thiserror::Error;

use crate::codec::{End, Frame, Range, WantedId};
use crate::draw::Draw;
use crate::index::Index;
use crate::limits::{IDS_PER_FRAME, RIBLT_PREFIX, SESSION_BYTES_MAX, SESSION_FRAMES_MAX, SYMBOLS_PER_FRAME};
use crate::ranges::{self, Compared};
use crate::riblt::{DecodeError, Decoder, Sketch, Symbol};
use crate::tree::{Bound, Entry, Span, Tree};

/// One reconciliation with one peer, seen from one side.
#[derive(Debug)]
pub struct Session {
    number: u32,
    phase: Phase,
    frames: u32,
    bytes: usize,
    sending: u64,
    wanting: u64,
    closed: bool,
}

#[derive(Debug)]
enum Phase {
    Ranges,
    Sending { symbols: Arc<Vec<Symbol>>, next: usize },
    Decoding(Decoder),
}

/// What one frame led to.
#[derive(Debug, Default)]
pub struct Step {
    /// Frames to send, in order.
    pub frames: Vec<Frame>,
    /// What the peer lacks: to be sent to it.
    pub they_lack: Vec<Span>,
    /// What we lack, as far as it is known by name; it has been asked for.
    pub we_lack: Vec<Entry>,
    /// Set once: both sides are through.
    pub end: Option<Outcome>,
}

/// How a reconciliation ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Outcome {
    /// How it ended for the peer: after `Complete` the peer holds everything that it was not found to lack.
    pub end: End,
    /// Envelopes that we are going to send.
    pub sending: u64,
    /// Envelopes that the peer said it is going to send.
    pub receiving: u64,
    /// Frames received.
    pub frames: u32,
    /// Bytes received and sent.
    pub bytes: usize,
}

/// Why a reconciliation was given up.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum SessionError {
    /// The frame does not belong here.
    #[error("frame out of turn")]
    OutOfTurn,
    /// Symbols that no set has.
    #[error("symbols of no set")]
    Symbols,
    /// More frames or bytes than a reconciliation may take.
    #[error("reconciliation without end")]
    Endless,
}

impl Session {
    /// Starts a reconciliation.
    pub fn open(number: u32, index: &Index, draw: &mut Draw) -> (Self, Frame) {
        let ranges = ranges::opening(index.tree(), draw);
        let frame = Frame::Open { session: number, sketch: index.prefix().sketch().clone(), ranges };
        (Self::new(number), frame)
    }

    /// Answers the opening frame of a peer.
    pub fn accept(number: u32, sketch: &Sketch, ranges: Vec<Range>, index: &Index, draw: &mut Draw) -> (Self, Step) {
        let mut session = Self::new(number);
        let estimate = index.prefix().sketch().distance(sketch).max(1);
        let step = session.compare(estimate, ranges, index, draw);
        (session, step)
    }

    /// Takes the next frame, `size` bytes long. After an error the session is over.
    pub fn take(&mut self, frame: Frame, size: usize, index: &Index, draw: &mut Draw) -> Result<Step, SessionError> {
        self.frames = self.frames.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        if self.frames > SESSION_FRAMES_MAX || self.bytes > SESSION_BYTES_MAX {
            return Err(SessionError::Endless);
        }
        match (frame, &mut self.phase) {
            (Frame::Close { end, sending, .. }, _) => {
                let mut step = Step::default();
                // A busy peer has no session that waits for an answer.
                if !self.closed && end != End::Busy {
                    self.close(End::Complete, &mut step);
                }
                step.end = Some(Outcome { end, sending: self.sending, receiving: sending, frames: self.frames, bytes: self.bytes });
                Ok(step)
            }
            (_, _) if self.closed => Err(SessionError::OutOfTurn),
            (Frame::Want { wanted, .. }, _) => {
                let they_lack = wanted.iter().filter_map(|w| named(index.tree(), w)).map(Span::one).collect();
                let step = Step { they_lack, ..Step::default() };
                self.sending = self.sending.saturating_add(step.they_lack.len() as u64);
                Ok(step)
            }
            (Frame::Ranges { estimate, ranges, .. }, Phase::Ranges) => Ok(self.compare(estimate, ranges, index, draw)),
            (Frame::Ranges { ranges, .. }, Phase::Sending { .. }) => {
                self.phase = Phase::Ranges;
                Ok(self.compare(0, ranges, index, draw))
            }
            (Frame::Symbols { start: 0, symbols, .. }, Phase::Ranges) => {
                self.phase = Phase::Decoding(Decoder::new(index.prefix().snapshot()));
                self.decode(symbols, index, draw)
            }
            (Frame::Symbols { start, symbols, .. }, Phase::Decoding(decoder)) if start as usize == decoder.taken() => {
                self.decode(symbols, index, draw)
            }
            (Frame::More { count, .. }, Phase::Sending { .. }) => {
                let mut step = Step::default();
                self.send_symbols(count as usize, &mut step);
                Ok(step)
            }
            _ => Err(SessionError::OutOfTurn),
        }
    }

    /// Number that all frames of this session carry.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether any difference was found so far.
    pub fn found_any(&self) -> bool {
        self.sending > 0 || self.wanting > 0
    }

    /// Counts bytes sent, for the figures.
    pub fn count_sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn new(number: u32) -> Self {
        Self { number, phase: Phase::Ranges, frames: 0, bytes: 0, sending: 0, wanting: 0, closed: false }
    }

    fn compare(&mut self, estimate: u64, ranges: Vec<Range>, index: &Index, draw: &mut Draw) -> Step {
        let mut step = Step::default();
        let compared = ranges::compare(index.tree(), ranges);
        if estimate > 0
            && let Some(first) = symbols_pay(&compared, estimate, index.len())
        {
            self.phase = Phase::Sending { symbols: index.prefix().snapshot(), next: 0 };
            self.send_symbols(first, &mut step);
            return step;
        }
        let answer = ranges::answer(index.tree(), compared, draw);
        let held: u64 = answer.they_lack.iter().map(|span| index.tree().summary(span).count).fold(0, u64::saturating_add);
        self.sending = self.sending.saturating_add(held);
        self.want(&answer.we_lack, &mut step);
        step.they_lack = answer.they_lack;
        step.we_lack = answer.we_lack;
        match answer.ranges {
            Some(ranges) => {
                let estimate = if answer.settled { 0 } else { estimate };
                step.frames.push(Frame::Ranges { session: self.number, estimate, ranges });
            }
            None => self.close(End::Complete, &mut step),
        }
        step
    }

    fn send_symbols(&mut self, count: usize, step: &mut Step) {
        let Phase::Sending { symbols, next } = &mut self.phase else { return };
        let chunk: Vec<Symbol> = symbols.iter().skip(*next).take(count.min(SYMBOLS_PER_FRAME)).copied().collect();
        let start = u32::try_from(*next).unwrap_or(u32::MAX);
        *next = next.saturating_add(chunk.len());
        step.frames.push(Frame::Symbols { session: self.number, start, symbols: chunk });
    }

    fn decode(&mut self, symbols: Vec<Symbol>, index: &Index, draw: &mut Draw) -> Result<Step, SessionError> {
        let Phase::Decoding(decoder) = &mut self.phase else { return Err(SessionError::OutOfTurn) };
        let mut step = Step::default();
        if symbols.is_empty() {
            return Err(SessionError::Symbols);
        }
        match decoder.add(symbols) {
            Ok(()) => {}
            Err(DecodeError::Contradiction | DecodeError::TooMany) => return Err(SessionError::Symbols),
        }
        if let Some(difference) = decoder.difference() {
            let (ours, theirs): (Vec<Entry>, Vec<Entry>) = difference.iter().partition(|e| index.tree().contains(e));
            self.sending = self.sending.saturating_add(ours.len() as u64);
            self.want(&theirs, &mut step);
            step.they_lack = ours.into_iter().map(Span::one).collect();
            step.we_lack = theirs;
            self.close(End::Complete, &mut step);
        } else if decoder.taken() >= RIBLT_PREFIX {
            self.phase = Phase::Ranges;
            let ranges = ranges::whole(index.tree(), draw);
            step.frames.push(Frame::Ranges { session: self.number, estimate: 0, ranges });
        } else {
            let left = RIBLT_PREFIX.saturating_sub(decoder.taken());
            let count = decoder.wanted().min(SYMBOLS_PER_FRAME).min(left);
            step.frames.push(Frame::More { session: self.number, count: u32::try_from(count).unwrap_or(1) });
        }
        Ok(step)
    }

    fn want(&mut self, lacking: &[Entry], step: &mut Step) {
        self.wanting = self.wanting.saturating_add(lacking.len() as u64);
        for chunk in lacking.chunks(IDS_PER_FRAME) {
            let wanted = chunk.iter().map(|e| WantedId { hour: e.hour, start: start_of(&e.id.0) }).collect();
            step.frames.push(Frame::Want { session: self.number, wanted });
        }
    }

    fn close(&mut self, end: End, step: &mut Step) {
        self.closed = true;
        step.frames.push(Frame::Close { session: self.number, end, sending: self.sending });
    }
}

/// Symbols to send at first, if symbols are likely to cost less than going on with ranges. Costs in bytes: a symbol and a
/// third per difference and asking for half of them; 28 for a range; 36 for a listed entry.
fn symbols_pay(compared: &[Compared], estimate: u64, held: u64) -> Option<usize> {
    let mismatches: Vec<(u64, u64)> = compared.iter().filter_map(Compared::mismatch).collect();
    // Where one side has nothing, the ranges have already settled it.
    let (settled, open): (Vec<_>, Vec<_>) =
        mismatches.iter().map(|(a, b)| (*a.min(b), *a.max(b))).partition(|(fewer, _)| *fewer == 0);
    let population = open.iter().map(|(_, size)| *size).fold(0, u64::saturating_add);
    let scattered = settled.iter().map(|(_, size)| *size).fold(estimate, u64::saturating_sub);
    let mut by_ranges = 0_u64;
    let mut one_level = 0_u64;
    for (_, size) in open {
        let inside = scattered.saturating_mul(size).checked_div(population).unwrap_or(0).max(1);
        let levels = u64::from((size / LISTED_PARENT).checked_ilog2().unwrap_or(0) / 4).saturating_add(1);
        let apart = inside.saturating_mul(levels.saturating_mul(SPLIT_COST).saturating_add(LIST_COST));
        by_ranges = by_ranges.saturating_add(apart.min(size.saturating_mul(36)));
        one_level = one_level.saturating_add(SPLIT_COST);
    }
    let first = estimate.saturating_mul(6) / 5;
    let by_symbols = estimate.saturating_mul(64).saturating_add(400);
    let few_ranges = by_ranges <= by_symbols;
    let worth_a_look = population <= held / 2 && one_level.saturating_mul(8) <= by_symbols;
    let too_many = estimate.saturating_mul(3) / 2 > RIBLT_PREFIX as u64;
    if few_ranges || worth_a_look || too_many {
        return None;
    }
    Some(usize::try_from(first).unwrap_or(RIBLT_PREFIX).saturating_add(16))
}

/// Ranges above this many entries are split once more, by 16.
const LISTED_PARENT: u64 = 32;
/// Bytes of sixteen ranges.
const SPLIT_COST: u64 = 450;
/// Bytes of a list of half the length allowed.
const LIST_COST: u64 = 580;

fn start_of(id: &[u8; 32]) -> [u8; 8] {
    id.first_chunk().copied().unwrap_or_default()
}

fn named(tree: &Tree, wanted: &WantedId) -> Option<Entry> {
    let mut from = Entry { hour: wanted.hour, ..Entry::MIN };
    from.id.0.iter_mut().zip(wanted.start).for_each(|(to, start)| *to = start);
    let found = tree.entries(&Span { from: Bound::At(from), to: Bound::End }, 1);
    found.first().copied().filter(|e| e.hour == wanted.hour && start_of(&e.id.0) == wanted.start)
}
