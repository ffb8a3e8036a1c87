//! The one door into the log. Tests come in the order of their cost, so that junk is cheap for us and dear for its sender.

use std::collections::BTreeSet;

use samizdat_chat::ChatError;
use samizdat_core::{
    Envelope, EnvelopeIn, Now, PeerId, Reject,
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
    pub(crate) fn admit(&mut self, candidates: Vec<Candidate>, now: Now) -> Admitted {
        let mut admitted = Admitted::default();
        let mut paid = Vec::with_capacity(candidates.len());
        let mut seen = BTreeSet::new();
        for Candidate { peer, bytes } in candidates {
            let screened = EnvelopeIn::decode(&bytes).map_err(Reject::from).and_then(|envelope| envelope.screen(now.hour()));
            match screened {
                Err(reject) => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.refuse(peer, &bytes, &reject, now);
                }
                // A log that cannot answer is asked again by the append.
                Ok(stamped) if !seen.insert(stamped.id()) || self.log.knows(&stamped.id()).unwrap_or(false) => {
                    admitted.duplicate = admitted.duplicate.saturating_add(1);
                    self.duplicate(peer, &stamped, now);
                }
                Ok(stamped) if !self.log.has_room_for(stamped.worth()) => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.drops.budget = self.drops.budget.saturating_add(1);
                    self.answer_duplicate(peer, stamped.id(), now);
                }
                Ok(stamped) => paid.push((peer, stamped)),
            }
        }
        let verified = self.verify(paid, &mut admitted, now);
        self.append(verified, &mut admitted, now);
        admitted
    }

    fn verify(
        &mut self,
        paid: Vec<(Option<PeerId>, Stamped)>,
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

    fn append(&mut self, verified: Vec<(Option<PeerId>, Envelope)>, admitted: &mut Admitted, now: Now) {
        if verified.is_empty() {
            return;
        }
        let (peers, envelopes): (Vec<_>, Vec<_>) = verified.into_iter().unzip();
        let Ok(outcomes) = self.log.append(&envelopes) else {
            // Rolled back. To the peers it is as if we had it: they are not to blame, and reconciliation brings it again.
            let count = u64::try_from(envelopes.len()).unwrap_or(u64::MAX);
            self.drops.disk = self.drops.disk.saturating_add(count);
            for (peer, envelope) in peers.into_iter().zip(&envelopes) {
                self.answer_duplicate(peer, envelope.id(), now);
            }
            return;
        };
        for ((peer, envelope), outcome) in peers.into_iter().zip(&envelopes).zip(outcomes) {
            match outcome {
                Appended::New => {
                    admitted.new = admitted.new.saturating_add(1);
                    self.accepted(peer, envelope, now);
                }
                Appended::Replaced { hour, id } => {
                    admitted.new = admitted.new.saturating_add(1);
                    self.drops.conflict = self.drops.conflict.saturating_add(1);
                    self.feed(GossipInput::Removed { hour, id }, now);
                    let forgotten = self.chat.replaced(&id);
                    self.note(&forgotten);
                    self.accepted(peer, envelope, now);
                }
                Appended::Lost => {
                    admitted.refused = admitted.refused.saturating_add(1);
                    self.drops.conflict = self.drops.conflict.saturating_add(1);
                    self.answer_duplicate(peer, envelope.id(), now);
                }
                Appended::Duplicate => {
                    admitted.duplicate = admitted.duplicate.saturating_add(1);
                    self.answer_duplicate(peer, envelope.id(), now);
                }
            }
        }
        if let (false, Ok(row)) = (self.behind, self.log.last_row()) {
            self.chat.read_up_to(row);
        }
    }

    fn accepted(&mut self, from: Option<PeerId>, envelope: &Envelope, now: Now) {
        let stored = GossipInput::Stored { hour: envelope.fields().hour, id: envelope.id(), bytes: envelope.bytes().clone(), from };
        self.feed(stored, now);
        if !self.behind {
            let read = self.chat.ingest(envelope, &self.log, now);
            self.note(&read);
        }
    }

    /// A failing vault stops reading; the upkeep goes on from where it stopped. Whatever else an envelope does to us
    /// concerns that envelope alone.
    pub(crate) fn note<T>(&mut self, result: &Result<T, ChatError>) {
        if let Err(ChatError::Store(StoreError::Full | StoreError::Corrupt)) = result {
            self.behind = true;
        }
    }

    fn refuse(&mut self, peer: Option<PeerId>, bytes: &[u8], reject: &Reject, now: Now) {
        self.drops.count(reject);
        let Some(peer) = peer else { return };
        match reject {
            // Clocks differ: neither is anybody's fault.
            Reject::Expired | Reject::Future => {
                let id = EnvelopeIn::decode(bytes).map(|envelope| envelope.id());
                if let Ok(id) = id {
                    self.feed(GossipInput::Duplicate { peer, id }, now);
                }
            }
            Reject::Decode(_) | Reject::Stamp | Reject::Signature => self.feed(GossipInput::Junk { peer }, now),
        }
    }

    fn duplicate(&mut self, peer: Option<PeerId>, stamped: &Stamped, now: Now) {
        self.drops.duplicate = self.drops.duplicate.saturating_add(1);
        self.answer_duplicate(peer, stamped.id(), now);
    }

    fn answer_duplicate(&mut self, peer: Option<PeerId>, id: samizdat_core::EnvelopeId, now: Now) {
        if let Some(peer) = peer {
            self.feed(GossipInput::Duplicate { peer, id }, now);
        }
    }
}
