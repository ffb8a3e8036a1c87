//! From the outbox to the network: one stamp at a time, then the log, then the neighbours.

use samizdat_chat::ChatError;
use samizdat_core::{EnvelopeId, Now};
use samizdat_store::Appended;
use samizdat_sync::Input as GossipInput;

use crate::engine::{Engine, Output};

/// What is due at once is due so much later, so that a mistake cannot keep a core busy.
const SOON_MS: u64 = 20;

impl Engine {
    /// Lets out what can go, and asks for the next stamp.
    pub(crate) fn send_out(&mut self, now: Now) {
        let worked = self.chat.work(&self.log, now);
        self.note(&worked);
        let until = self.chat.next_due().map(|due| due.saturating_sub(now.unix_ms).max(SOON_MS));
        self.chat_due = until.map_or(u64::MAX, |until| now.mono_ms.saturating_add(until));
        let Ok(job) = self.chat.job() else { return };
        let wanted = job.map(|job| job.id);
        if let Some(minting) = self.minting
            && wanted != Some(minting)
        {
            self.minting = None;
            self.out.push_back(Output::CancelMint { id: minting });
        }
        if let (Some(job), None, None) = (job, self.minting, self.stamped) {
            self.minting = Some(job.id);
            self.out.push_back(Output::Mint { id: job.id, tries: job.tries, urgent: job.urgent });
        }
    }

    /// A stamp was found. When it cannot be written down now, the upkeep tries again.
    pub(crate) fn stamped(&mut self, id: EnvelopeId, nonce: u64, now: Now) {
        if self.minting != Some(id) && self.stamped != Some((id, nonce)) {
            return;
        }
        self.minting = None;
        self.stamped = self.publish(id, nonce, now).is_err().then_some((id, nonce));
    }

    /// Another node holds these.
    pub(crate) fn published(&mut self, ids: &[EnvelopeId]) {
        for id in ids {
            match self.chat.held(id) {
                Ok(()) => self.gossip.unwatch(id),
                Err(error) => self.note::<()>(&Err(error)),
            }
        }
    }

    /// Our clock was ahead, and is right now: what it made us write in the future is stamped again.
    pub(crate) fn redate(&mut self, now: Now) {
        let redated = self.chat.redate(now.hour());
        self.note(&redated);
        redated.iter().flatten().for_each(|id| self.gossip.unwatch(id));
    }

    /// After a start: what no other node is known to hold is watched for.
    pub(crate) fn watch_unpublished(&mut self) -> Result<(), ChatError> {
        for id in self.chat.recover(&self.log)? {
            if let Some(envelope) = self.log.find(&id)?.and_then(|stored| stored.envelope()) {
                self.gossip.watch(envelope.fields().hour, id);
            }
        }
        Ok(())
    }

    fn publish(&mut self, id: EnvelopeId, nonce: u64, now: Now) -> Result<(), ChatError> {
        // Cancelled meanwhile, or a wrong stamp: the outbox decides what is next.
        let Some(envelope) = self.chat.stamp(&id, nonce)? else { return Ok(()) };
        let outcomes = self.log.append(std::slice::from_ref(&envelope))?;
        self.chat.logged(&id)?;
        match outcomes.first() {
            // A home from a backup counts its posts anew: another post of ours lies at this position.
            Some(Appended::Lost) => return Ok(()),
            Some(Appended::Replaced { hour, id }) => self.replaced(*hour, *id, now),
            Some(Appended::New | Appended::Duplicate) | None => {}
        }
        let hour = envelope.fields().hour;
        self.gossip.watch(hour, id);
        self.feed(GossipInput::Stored { hour, id, bytes: envelope.bytes().clone(), from: None }, now);
        Ok(())
    }
}
