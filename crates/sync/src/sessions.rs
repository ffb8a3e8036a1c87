//! When to reconcile, and with whom.
//!
//! Whoever dialled opens: at once, then every period, and soon again after differences were found. A node takes part in
//! one reconciliation at a time and waits until it has got what it lacked, or several neighbours would all send it the
//! same. Others who ask meanwhile are told that it is busy.

use std::collections::{BTreeMap, BTreeSet};

use samizdat_core::{EnvelopeId, PeerId};

use crate::codec::{End, Frame, Range};
use crate::draw::Draw;
use crate::index::Index;
use crate::reconcile::{Outcome, Session, SessionError, Step};
use crate::riblt::Sketch;
use crate::tree::{Entry, Span};

/// Time for each step of a reconciliation.
const STEP_MS: u64 = 15_000;
/// First wait after a peer was busy; it doubles each time.
const BUSY_MS: u64 = 1_000;
/// Longest such wait.
const BUSY_MAX_MS: u64 = 30_000;
/// First wait after differences were found; it doubles while they do not vanish.
const SOON_MS: u64 = 2_000;
/// Doublings of the period after catch-ups that brought nothing that could be kept.
const VAIN_MAX: u32 = 4;
/// Longest wait for the next envelope of a catch-up.
const FILL_MS: u64 = 15_000;
/// A catch-up may take so long,
const CATCH_UP_MS: u64 = 60_000;
/// and so much longer for each envelope that it brought.
const CATCH_UP_EACH_MS: u64 = 50;

/// All reconciliations of one node.
#[derive(Debug)]
pub struct Sessions {
    period_ms: u64,
    open: Option<Open>,
    catch_up: Option<CatchUp>,
    due: BTreeMap<PeerId, Due>,
}

#[derive(Debug)]
struct Open {
    peer: PeerId,
    session: Session,
    until_ms: u64,
    /// Watched envelopes that were held when it started and that the peer was not found to lack.
    watched: BTreeSet<Entry>,
    /// Envelopes that came before the peer said how many there will be.
    filled: u64,
    stored: u64,
}

#[derive(Debug)]
struct CatchUp {
    peer: PeerId,
    left: u64,
    stored: u64,
    started_ms: u64,
    stored_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at_ms: u64,
    busy: u32,
    found: u32,
    vain: u32,
}

/// What came out of a reconciliation step, to be done by the node.
#[derive(Debug)]
pub enum Event {
    /// Send a frame.
    Send(PeerId, Frame),
    /// The peer lacks these.
    Lacks(PeerId, Vec<Span>),
    /// The peer holds these of the watched ones.
    Holds(PeerId, Vec<EnvelopeId>),
    /// It is over.
    Done(PeerId, Outcome),
    /// The peer did not answer or not send in time.
    Stalled(PeerId),
    /// The peer broke the rules.
    Lied(PeerId),
    /// A catch-up is through, with so many new envelopes.
    CaughtUp(PeerId, u64),
}

impl Sessions {
    /// None yet.
    pub fn new(period_ms: u64) -> Self {
        Self { period_ms, open: None, catch_up: None, due: BTreeMap::new() }
    }

    /// A new neighbour.
    pub fn up(&mut self, peer: PeerId, dialed: bool, now: u64) {
        if dialed {
            self.due.insert(peer, Due { at_ms: now, busy: 0, found: 0, vain: 0 });
        }
    }

    /// A neighbour is gone.
    pub fn down(&mut self, peer: &PeerId, now: u64) -> Vec<Event> {
        self.due.remove(peer);
        self.open.take_if(|open| open.peer == *peer);
        let caught = self.catch_up.take_if(|c| c.peer == *peer).filter(|c| c.stored > 0);
        // Half a catch-up is worth comparing with the others too.
        caught.map(|c| self.finished(&c, now)).into_iter().collect()
    }

    /// Another peer's set changed, or ours: compare soon.
    pub fn hurry(&mut self, peer: &PeerId, now: u64, draw: &mut Draw) {
        if let Some(due) = self.due.get_mut(peer) {
            due.at_ms = due.at_ms.min(now.saturating_add(draw.around(SOON_MS / 2)));
        }
    }

    /// Starts what is due and gives up what takes too long.
    pub fn poll(&mut self, index: &Index, watched: BTreeSet<Entry>, now: u64, draw: &mut Draw) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(open) = self.open.take_if(|open| open.until_ms <= now) {
            self.reschedule(&open.peer, now, draw, None);
            events.push(Event::Send(open.peer, close(open.session.number(), End::Partial)));
            events.push(Event::Stalled(open.peer));
        }
        if let Some(late) = self.catch_up.take_if(|c| c.until() <= now) {
            events.push(self.finished(&late, now));
            // Some may have expired on the way.
            if late.left > late.stored {
                events.push(Event::Stalled(late.peer));
            }
        }
        if self.is_free() {
            let next = self.due.iter().filter(|(_, due)| due.at_ms <= now).min_by_key(|(_, due)| due.at_ms);
            if let Some(peer) = next.map(|(peer, _)| *peer) {
                let (mut session, frame) = Session::open(draw.number(), index, draw);
                session.count_sent(frame.encode().len());
                self.start(peer, session, watched, now);
                events.push(Event::Send(peer, frame));
            }
        }
        events
    }

    /// A peer opens a reconciliation; `watched` is what we hold and would like to know in other hands.
    pub fn accept(
        &mut self,
        peer: PeerId,
        opening: Opening,
        index: &Index,
        watched: BTreeSet<Entry>,
        now: u64,
        draw: &mut Draw,
    ) -> Vec<Event> {
        // One that it opened before is dead to it.
        self.open.take_if(|open| open.peer == peer);
        if !self.is_free() {
            return vec![Event::Send(peer, close(opening.session, End::Busy))];
        }
        let Opening { session, sketch, ranges, size } = opening;
        let (mut session, step) = Session::accept(session, &sketch, ranges, index, draw);
        session.count_sent(size);
        self.start(peer, session, watched, now);
        self.after(step, now, draw)
    }

    /// A later frame of a reconciliation; one that belongs to none is dropped, for it may be late.
    pub fn handle(&mut self, peer: PeerId, (frame, size): (Frame, usize), index: &Index, now: u64, draw: &mut Draw) -> Vec<Event> {
        let Some(open) = self.open.as_mut().filter(|o| o.peer == peer && Some(o.session.number()) == number(&frame)) else {
            return Vec::new();
        };
        open.until_ms = now.saturating_add(STEP_MS);
        match open.session.take(frame, size, index, draw) {
            Ok(step) => self.after(step, now, draw),
            Err(error) => {
                let mut events = vec![Event::Send(peer, close(open.session.number(), End::Partial))];
                if error != SessionError::Endless || !open.session.found_any() {
                    events.push(Event::Lied(peer));
                }
                self.open = None;
                self.reschedule(&peer, now, draw, None);
                events
            }
        }
    }

    /// Envelopes of a catch-up came in, stored or not.
    pub fn filled(&mut self, peer: &PeerId, count: u64) {
        if let Some(catch_up) = self.catch_up.as_mut().filter(|c| c.peer == *peer) {
            catch_up.left = catch_up.left.saturating_sub(count);
        }
        if let Some(open) = self.open.as_mut().filter(|o| o.peer == *peer) {
            open.filled = open.filled.saturating_add(count);
        }
    }

    /// An envelope of a catch-up was new. Tells how many were so far, if one is under way with this peer.
    pub fn stored(&mut self, peer: &PeerId, now: u64) -> Option<u64> {
        if let Some(open) = self.open.as_mut().filter(|o| o.peer == *peer) {
            open.stored = open.stored.saturating_add(1);
            return Some(open.stored);
        }
        let catch_up = self.catch_up.as_mut().filter(|c| c.peer == *peer)?;
        catch_up.stored = catch_up.stored.saturating_add(1);
        catch_up.stored_ms = now;
        Some(catch_up.stored)
    }

    /// An envelope of a catch-up is good but not kept.
    pub fn declined(&mut self, peer: &PeerId, now: u64) {
        if let Some(catch_up) = self.catch_up.as_mut().filter(|c| c.peer == *peer) {
            catch_up.stored_ms = now;
        }
    }

    /// Nothing of what this peer sent is waiting for verification.
    pub fn drained(&mut self, peer: &PeerId, now: u64) -> Option<Event> {
        let done = self.catch_up.take_if(|c| c.peer == *peer && c.left == 0)?;
        Some(self.finished(&done, now))
    }

    /// When to call [`Self::poll`].
    pub fn next_timeout(&self) -> Option<u64> {
        let open = self.open.as_ref().map(|o| o.until_ms);
        let catch_up = self.catch_up.as_ref().map(CatchUp::until);
        let due = self.due.values().map(|due| due.at_ms).filter(|_| self.is_free()).min();
        open.into_iter().chain(catch_up).chain(due).min()
    }

    fn is_free(&self) -> bool {
        self.open.is_none() && self.catch_up.is_none()
    }

    fn start(&mut self, peer: PeerId, session: Session, watched: BTreeSet<Entry>, now: u64) {
        self.open = Some(Open { peer, session, until_ms: now.saturating_add(STEP_MS), watched, filled: 0, stored: 0 });
    }

    fn after(&mut self, step: Step, now: u64, draw: &mut Draw) -> Vec<Event> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let peer = open.peer;
        let mut events = Vec::new();
        for frame in step.frames {
            open.session.count_sent(frame.encode().len());
            events.push(Event::Send(peer, frame));
        }
        open.watched.retain(|entry| !step.they_lack.iter().any(|span| span.contains(entry)));
        if !step.they_lack.is_empty() {
            events.push(Event::Lacks(peer, step.they_lack));
        }
        let Some(outcome) = step.end else { return events };
        if outcome.end == End::Complete && !open.watched.is_empty() {
            events.push(Event::Holds(peer, open.watched.iter().map(|e| e.id).collect()));
        }
        let (left, stored) = (outcome.receiving.saturating_sub(open.filled), open.stored);
        self.open = None;
        self.reschedule(&peer, now, draw, Some(&outcome));
        if left > 0 {
            self.catch_up = Some(CatchUp { peer, left, stored, started_ms: now, stored_ms: now });
        }
        if outcome.end != End::Busy {
            events.push(Event::Done(peer, outcome));
        }
        events
    }

    fn reschedule(&mut self, peer: &PeerId, now: u64, draw: &mut Draw, outcome: Option<&Outcome>) {
        let Some(due) = self.due.get_mut(peer) else { return };
        let doubled = |ms: u64, times: u32, max: u64| ms.saturating_mul(1 << times.min(16)).min(max);
        let wait = match outcome {
            Some(Outcome { end: End::Busy, .. }) => {
                due.busy = due.busy.saturating_add(1);
                doubled(BUSY_MS / 2, due.busy, BUSY_MAX_MS)
            }
            Some(Outcome { sending: 0, receiving: 0, end: End::Complete, .. }) => {
                (due.busy, due.found) = (0, 0);
                self.period_ms
            }
            Some(_) => {
                due.busy = 0;
                due.found = due.found.saturating_add(1);
                doubled(SOON_MS / 2, due.found, self.period_ms)
            }
            None => self.period_ms / 2,
        };
        due.at_ms = now.saturating_add(draw.around(wait));
    }

    /// The next comparison with this peer waits until what was found has settled.
    fn finished(&mut self, done: &CatchUp, now: u64) -> Event {
        if let Some(due) = self.due.get_mut(&done.peer) {
            // A node without room would fetch the same for nothing again and again.
            due.vain = if done.stored > 0 { 0 } else { due.vain.saturating_add(1) };
            let wait = if due.vain > 0 { self.period_ms.saturating_mul(1 << due.vain.min(VAIN_MAX)) } else { SOON_MS };
            due.at_ms = due.at_ms.max(now.saturating_add(wait));
        }
        Event::CaughtUp(done.peer, done.stored)
    }
}

impl CatchUp {
    fn until(&self) -> u64 {
        let whole = CATCH_UP_MS.saturating_add(self.stored.saturating_mul(CATCH_UP_EACH_MS));
        self.started_ms.saturating_add(whole).min(self.stored_ms.saturating_add(FILL_MS))
    }
}

/// The content of [`Frame::Open`] and its size in bytes.
#[derive(Debug)]
pub struct Opening {
    /// Number of the session.
    pub session: u32,
    /// Sketch of the other side.
    pub sketch: Sketch,
    /// Its ranges.
    pub ranges: Vec<Range>,
    /// Bytes of the frame.
    pub size: usize,
}

fn close(session: u32, end: End) -> Frame {
    Frame::Close { session, end, sending: 0 }
}

fn number(frame: &Frame) -> Option<u32> {
    match frame {
        Frame::Ranges { session, .. }
        | Frame::Symbols { session, .. }
        | Frame::More { session, .. }
        | Frame::Want { session, .. }
        | Frame::Close { session, .. } => Some(*session),
        _ => None,
    }
}
