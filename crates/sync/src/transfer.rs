//! Sending one peer what it lacks, in pieces small enough for memory and line.
//!
//! What is to be sent is kept as spans of the index, not as envelopes, so that a catch-up of a million takes no more room
//! than one of ten. A few hundred envelopes are under way at once; the acks of the peer let the next ones go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use samizdat_core::EnvelopeId;

use crate::codec::Frame;
use crate::limits::{FETCH_MAX, FILL_BYTES, FILL_COUNT_MAX, SPANS_MAX, UNACKED_BYTES_MAX, UNACKED_MAX};
use crate::tree::{Span, Tree};

/// A peer that acknowledges nothing for so long has stalled.
const STALL_MS: u64 = 60_000;

/// What one peer is still to be sent.
#[derive(Debug, Default)]
pub struct Transfer {
    spans: VecDeque<Span>,
    fetching: bool,
    unacked: BTreeMap<EnvelopeId, usize>,
    bytes: usize,
    progress_ms: u64,
}

impl Transfer {
    /// More to send, found by reconciliation. What does not fit is found again by the next one.
    pub fn add(&mut self, spans: impl IntoIterator<Item = Span>) {
        let room = SPANS_MAX.saturating_sub(self.spans.len());
        self.spans.extend(spans.into_iter().take(room));
    }

    /// More to send, before everything else: the peer asked for it.
    pub fn add_first(&mut self, spans: impl IntoIterator<Item = Span>) {
        let room = SPANS_MAX.saturating_sub(self.spans.len());
        spans.into_iter().take(room).for_each(|span| self.spans.push_front(span));
    }

    /// Ids to fetch now, if the peer keeps up.
    pub fn fetch(&mut self, tree: &Tree, now: u64) -> Option<Vec<EnvelopeId>> {
        if self.fetching || self.unacked.len() >= UNACKED_MAX || self.bytes >= UNACKED_BYTES_MAX {
            return None;
        }
        let mut ids = Vec::new();
        while let Some(span) = self.spans.front_mut()
            && ids.len() < FETCH_MAX
        {
            let room = FETCH_MAX.saturating_sub(ids.len());
            let entries = tree.entries(span, room);
            match entries.last() {
                Some(last) if entries.len() == room && last.next() < span.to => span.from = last.next(),
                _ => {
                    self.spans.pop_front();
                }
            }
            ids.extend(entries.iter().map(|e| e.id));
        }
        if ids.is_empty() {
            return None;
        }
        if self.unacked.is_empty() {
            self.progress_ms = now;
        }
        self.fetching = true;
        Some(ids)
    }

    /// The envelopes fetched, as frames.
    pub fn fetched(&mut self, envelopes: Vec<(EnvelopeId, Arc<[u8]>)>, now: u64) -> Vec<Frame> {
        self.fetching = false;
        let mut frames = Vec::new();
        let mut fill: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0_usize;
        for (id, envelope) in envelopes {
            if self.unacked.is_empty() {
                self.progress_ms = now;
            }
            if self.unacked.insert(id, envelope.len()).is_none() {
                self.bytes = self.bytes.saturating_add(envelope.len());
            }
            if !fill.is_empty() && (bytes.saturating_add(envelope.len()) > FILL_BYTES || fill.len() >= FILL_COUNT_MAX) {
                frames.push(Frame::Fill { envelopes: core::mem::take(&mut fill) });
                bytes = 0;
            }
            bytes = bytes.saturating_add(envelope.len());
            fill.push(envelope.to_vec());
        }
        if !fill.is_empty() {
            frames.push(Frame::Fill { envelopes: fill });
        }
        frames
    }

    /// The peer has stored one.
    pub fn delivered(&mut self, id: &EnvelopeId, now: u64) {
        if let Some(size) = self.unacked.remove(id) {
            self.bytes = self.bytes.saturating_sub(size);
            self.progress_ms = now;
        }
    }

    /// If nothing was acknowledged for too long: forgets what is under way, and says so.
    pub fn stalled(&mut self, now: u64) -> bool {
        let stalled = self.next_timeout().is_some_and(|at| at <= now);
        if stalled {
            *self = Self { fetching: self.fetching, ..Self::default() };
        }
        stalled
    }

    /// When to look at [`Self::stalled`].
    pub fn next_timeout(&self) -> Option<u64> {
        (!self.unacked.is_empty()).then(|| self.progress_ms.saturating_add(STALL_MS))
    }

    /// Whether anything is left to be done.
    pub fn is_idle(&self) -> bool {
        self.spans.is_empty() && self.unacked.is_empty() && !self.fetching
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::tree::{Bound, Entry};
    use samizdat_core::Hour;

    fn tree(count: u32) -> Tree {
        let mut tree = Tree::default();
        for n in 0..count {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            tree.insert(Entry::new(Hour(n / 100), EnvelopeId(id)));
        }
        tree
    }

    #[test]
    fn a_long_catch_up_goes_in_bounded_pieces() {
        let tree = tree(10_000);
        let mut transfer = Transfer::default();
        transfer.add([Span::ALL]);
        let (mut sent, mut open) = (0, VecDeque::new());
        loop {
            while let Some(ids) = transfer.fetch(&tree, 0) {
                assert!(ids.len() <= FETCH_MAX);
                let body: Arc<[u8]> = vec![7; 600].into();
                let frames = transfer.fetched(ids.iter().map(|id| (*id, Arc::clone(&body))).collect(), 0);
                assert!(frames.iter().all(|f| f.encode().len() < samizdat_core::limits::FRAME_MAX));
                sent += ids.len();
                open.extend(ids);
            }
            assert!(open.len() <= UNACKED_MAX + FETCH_MAX);
            let Some(id) = open.pop_front() else { break };
            transfer.delivered(&id, 0);
        }
        assert_eq!(sent, 10_000);
        assert!(transfer.is_idle());
    }

    #[test]
    fn large_envelopes_fill_the_window_by_bytes() {
        let tree = tree(1000);
        let mut transfer = Transfer::default();
        transfer.add([Span::ALL]);
        let body: Arc<[u8]> = vec![7; 65_000].into();
        let mut sent = 0;
        while let Some(ids) = transfer.fetch(&tree, 0) {
            sent += ids.len();
            transfer.fetched(ids.into_iter().map(|id| (id, Arc::clone(&body))).collect(), 0);
        }
        assert!(sent <= FETCH_MAX);
        assert!(!transfer.stalled(STALL_MS - 1) && transfer.stalled(STALL_MS));
        assert!(transfer.is_idle());
    }

    #[test]
    fn what_is_gone_from_the_log_is_skipped() {
        let tree = tree(3);
        let mut transfer = Transfer::default();
        transfer.add([Span { from: Bound::START, to: Bound::End }]);
        assert_eq!(transfer.fetch(&tree, 0).map(|ids| ids.len()), Some(3));
        assert!(transfer.fetched(Vec::new(), 0).is_empty());
        assert!(transfer.is_idle() && transfer.fetch(&tree, 0).is_none());
    }
}
