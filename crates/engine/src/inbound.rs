//! The one door into the log. Tests come in the order of their cost, so that junk is cheap for us and dear for its sender.

use std::collections::BTreeSet;

use samizdat_chat::ChatError;
use samizdat_core::{
    Envelope, EnvelopeId, EnvelopeIn, Hour, Now, PeerId, Reject,
    envelope::{Stamped, verify_batch},
    limits::SIGNATURE_BATCH,
};
use samizdat_store::{Appended, StoreError};
use samizdat_sync::Input as GossipInput;

use crate::engine::Engine;

/// Bytes that somebody gave us as an envelope.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Who; `None` for a file.
    pub(crate) peer: Option<PeerId>,
    pub(crate) bytes: Vec<u8>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Stored now.
    pub new: u64,
    /// Stored already.
    pub duplicate: u64,
    /// Not acceptable.
    pub refused: u64,
}

impl Engine {
    /// Takes what is good of a batch into the log, in one transaction, and tells everybody concerned.
    pub(crate) fn admit(&mut self, candidates: Vec<Candidate>, now: Now) -> (Admitted, Result<(), StoreError>) {
        let mut admitted = Admitted::default();
        let mut paid = Vec::with_capacity(candidates.len());
        let mut seen = BTreeSet::new();
        let mut again = Vec::new();
        for Candidate { peer, bytes } in &candidates {
            let peer = *peer;
            let screened = EnvelopeIn::decode(bytes).map_err(Reject::from).and_then(|envelope| envelope.screen(now.hour()));
            match screened {
                Err(reject) => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.refuse(peer, bytes, &reject, now);
                }
                Ok(stamped) if self.gossip.contains(stamped.hour(), &stamped.id()) => {
                    self.duplicate(peer, stamped.id(), &mut admitted, now);
                }
                Ok(stamped) if !seen.insert(stamped.id()) => again.push((peer, stamped.hour(), stamped.id())),
                // A log that cannot answer is asked again by the append.
                Ok(stamped) if self.log.lost(&stamped.id()).unwrap_or(false) => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.decline(peer, stamped.id(), now);
                }
                Ok(stamped) if !self.log.has_room_for(stamped.worth()) => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.drops.budget = self.drops.budget.saturating_add(1);
                    self.decline(peer, stamped.id(), now);
                }
                Ok(stamped) => paid.push((peer, stamped)),
            }
        }
        let verified = self.verify(paid, &mut admitted, now);
        let appended = self.append(verified, &mut admitted, now);
        // Twice in one batch: what is said of the second depends on what became of the first.
        for (peer, hour, id) in again {
            if self.gossip.contains(hour, &id) {
                self.duplicate(peer, id, &mut admitted, now);
            } else {
                self.decline(peer, id, now);
            }
        }
        (admitted, appended)
    }

    fn verify(
        &mut self,
        paid: Vec<(Option<PeerId>, Stamped<'_>)>,
        admitted: &mut Admitted,
        now: Now,
    ) -> Vec<(Option<PeerId>, Envelope)> {
        let mut verified = Vec::with_capacity(paid.len());
        let mut paid = paid.into_iter().peekable();
        while paid.peek().is_some() {
            let (peers, batch): (Vec<_>, Vec<_>) = paid.by_ref().take(SIGNATURE_BATCH).unzip();
            for (peer, result) in peers.into_iter().zip(verify_batch(batch, &mut self.rng)) {
                match result {
                    Ok(envelope) => verified.push((peer, envelope)),
                    Err(reject) => {
                        admitted.refused = admitted.refused.saturating_add(1);
                        self.refuse(peer, &[], &reject, now);
                    }
                }
            }
        }
        verified
    }

    fn append(&mut self, verified: Vec<(Option<PeerId>, Envelope)>, admitted: &mut Admitted, now: Now) -> Result<(), StoreError> {
        if verified.is_empty() {
            return Ok(());
        }
        let (peers, envelopes): (Vec<_>, Vec<_>) = verified.into_iter().unzip();
        let outcomes = match self.log.append(&envelopes) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // Rolled back. The peers are not to blame, and reconciliation brings it again.
                let count = u64::try_from(envelopes.len()).unwrap_or(u64::MAX);
                self.drops.disk = self.drops.disk.saturating_add(count);
                for (peer, envelope) in peers.into_iter().zip(&envelopes) {
                    self.decline(peer, envelope.id(), now);
                }
                return Err(error);
            }
        };
        let mut unread = Vec::new();
        for ((peer, envelope), outcome) in peers.into_iter().zip(&envelopes).zip(outcomes) {
            match outcome {
                Appended::New => {
                    admitted.new = admitted.new.saturating_add(1);
                    self.accepted(peer, envelope, now);
                    unread.push(envelope);
                }
                Appended::Replaced { hour, id } => {
                    admitted.new = admitted.new.saturating_add(1);
                    // It may be one of those that are not read yet.
                    self.hand_to_chat(std::mem::take(&mut unread), now);
                    self.replaced(hour, id, now);
                    self.accepted(peer, envelope, now);
                    unread.push(envelope);
                }
                Appended::Lost => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.drops.conflict = self.drops.conflict.saturating_add(1);
                    self.decline(peer, envelope.id(), now);
                }
                Appended::Duplicate => {
                    admitted.duplicate = admitted.duplicate.saturating_add(1);
                    self.answer(peer, |peer| GossipInput::Duplicate { peer, id: envelope.id() }, now);
                }
            }
        }
        self.hand_to_chat(unread, now);
        if let (false, Ok(row)) = (self.behind, self.log.last_row()) {
            self.chat.read_up_to(row);
        }
        Ok(())
    }

    /// The loser of a conflict went: it leaves the index and the screen.
    pub(crate) fn replaced(&mut self, hour: Hour, id: EnvelopeId, now: Now) {
        self.drops.conflict = self.drops.conflict.saturating_add(1);
        self.feed(GossipInput::Removed { hour, id }, now);
        let forgotten = self.chat.replaced(&id);
        self.note(&forgotten);
    }

    fn accepted(&mut self, from: Option<PeerId>, envelope: &Envelope, now: Now) {
        let stored = GossipInput::Stored { hour: envelope.fields().hour, id: envelope.id(), bytes: envelope.bytes().clone(), from };
        self.feed(stored, now);
    }

    fn hand_to_chat(&mut self, envelopes: Vec<&Envelope>, now: Now) {
        if !self.behind {
            let read = self.chat.ingest_all(envelopes.into_iter(), &self.log, now);
            self.note(&read);
        }
    }

    /// A failing vault stops reading; the upkeep goes on from where it stopped. Whatever else an envelope does to us
    /// concerns that envelope alone.
    pub(crate) fn note<T>(&mut self, result: &Result<T, ChatError>) {
        if let Err(ChatError::Store(error)) = result {
            self.behind |= error.is_of_the_disk();
        }
    }

    fn refuse(&mut self, peer: Option<PeerId>, bytes: &[u8], reject: &Reject, now: Now) {
        self.drops.count(reject);
        match reject {
            // Clocks differ: that is nobody's fault.
            Reject::Expired | Reject::Future => {
                if let Ok(envelope) = EnvelopeIn::decode(bytes) {
                    self.decline(peer, envelope.id(), now);
                }
            }
            Reject::Decode(_) | Reject::Stamp | Reject::Signature => self.answer(peer, |peer| GossipInput::Junk { peer }, now),
        }
    }

    fn duplicate(&mut self, peer: Option<PeerId>, id: EnvelopeId, admitted: &mut Admitted, now: Now) {
        admitted.duplicate = admitted.duplicate.saturating_add(1);
        self.drops.duplicate = self.drops.duplicate.saturating_add(1);
        self.answer(peer, |peer| GossipInput::Duplicate { peer, id }, now);
    }

    /// Good, but not kept: the peer must not count on us.
    fn decline(&mut self, peer: Option<PeerId>, id: EnvelopeId, now: Now) {
        self.answer(peer, |peer| GossipInput::Declined { peer, id }, now);
    }

    fn answer(&mut self, peer: Option<PeerId>, what: impl FnOnce(PeerId) -> GossipInput, now: Now) {
        if let Some(peer) = peer {
            self.feed(what(peer), now);
        }
    }
}
