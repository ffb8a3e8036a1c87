//! From the log to the timeline. Reading an envelope twice changes nothing, so a crash may repeat a part.

use std::collections::VecDeque;

use samizdat_core::{Envelope, EnvelopeId, Kind, Now};
use samizdat_store::Log;

use crate::{
    chat::{Chat, Event, Expected},
    contact::ContactState,
    error::ChatError,
    pairing::Heard,
    timeline::{Incoming, Read},
    work::Work,
};

/// Rows of the log read at once.
const BATCH: u32 = 256;
/// Envelopes looked at under one tag: whoever copies a tag pays a stamp for each copy.
const COPIES_MAX: u32 = 16;

impl Chat {
    /// Reads what the log holds beyond what was read before.
    pub fn catch_up(&mut self, log: &Log, now: Now) -> Result<(), ChatError> {
        loop {
            let stored = log.after(self.cursor, BATCH)?;
            if stored.is_empty() {
                return self.save_cursor();
            }
            for stored in stored {
                if let Some(envelope) = stored.envelope() {
                    self.ingest(&envelope, log, now)?;
                }
                self.cursor = stored.row;
            }
        }
    }

    /// Tells that everything in the log up to `row` has been given to [`Chat::ingest`].
    pub fn read_up_to(&mut self, row: i64) {
        self.cursor = self.cursor.max(row);
    }

    /// Looks at one envelope of the log. Most concern others and cost one lookup.
    pub fn ingest(&mut self, envelope: &Envelope, log: &Log, now: Now) -> Result<(), ChatError> {
        let mut next = VecDeque::from([envelope.clone()]);
        while let Some(envelope) = next.pop_front() {
            match &envelope.fields().kind {
                Kind::Announcement(signed) => {
                    let name = signed.author.name().compact();
                    let waiting = self.vault.conn().prepare_cached("SELECT 1 FROM contact WHERE name = ?1")?.exists([name])?;
                    self.dirty |= waiting;
                    continue;
                }
                Kind::Post(..) => {
                    self.transact(|work| work.read_post(&envelope, now))?;
                    continue;
                }
                Kind::Bell { .. } => {
                    if self.hear(&envelope, now)? {
                        next.extend(find(log, &std::mem::take(&mut self.fresh))?);
                    }
                }
                Kind::Sealed { tag, .. } => {
                    let Some(expected) = self.expected.get(tag).copied() else { continue };
                    if self.receive(&envelope, *tag, &expected, now)? {
                        next.extend(find(log, &std::mem::take(&mut self.fresh))?);
                    }
                }
            }
            self.dirty = true;
        }
        Ok(())
    }

    /// A post was replaced by another of the same author and position.
    pub fn replaced(&mut self, id: &EnvelopeId) -> Result<(), ChatError> {
        self.transact(|work| work.forget_post(id))
    }

    /// Whether it was for us.
    fn hear(&mut self, envelope: &Envelope, now: Now) -> Result<bool, ChatError> {
        // What turns out to be of no use must leave nothing: the keys of a pair that nobody wanted, for one.
        self.transact_if(|work| {
            let heard = work.hear_bell(envelope, now)?;
            Ok((heard == Heard::Pair, heard == Heard::Pair))
        })
    }

    /// Whether it was what had been expected.
    fn receive(&mut self, envelope: &Envelope, tag: [u8; 16], expected: &Expected, now: Now) -> Result<bool, ChatError> {
        self.transact_if(|work| {
            let opened = work.open_expected(envelope, tag, expected, now)?;
            Ok((opened, opened))
        })
    }

    /// A transaction that lasts only if `f` says so.
    fn transact_if<T>(&mut self, f: impl FnOnce(&mut Work<'_>) -> Result<(bool, T), ChatError>) -> Result<T, ChatError> {
        let mut refused = None;
        let done = self.transact(|work| {
            let (keep, result) = f(work)?;
            if keep {
                return Ok(Some(result));
            }
            refused = Some(result);
            Err(ChatError::Bug("rolled back on purpose"))
        });
        match (done, refused) {
            (_, Some(result)) => Ok(result),
            (Ok(Some(result)), None) => Ok(result),
            (Ok(None), None) => Err(ChatError::Bug("transaction without result")),
            (Err(error), None) => Err(error),
        }
    }
}

impl Work<'_> {
    /// Whether the envelope under an expected tag was what was expected. Somebody may have copied the tag: then not, and
    /// the right one may still come.
    fn open_expected(&mut self, envelope: &Envelope, tag: [u8; 16], expected: &Expected, now: Now) -> Result<bool, ChatError> {
        let Some((contact, our_rank)) = self.pair_contact(&expected.pair)? else { return Ok(false) };
        if contact.state == ContactState::Blocked {
            return Ok(false);
        }
        let Some(inner) = self.open_outer(expected, our_rank, envelope.body())? else { return Ok(false) };
        let conversation = self.conversation_with(contact.contact)?;
        let hour = envelope.fields().hour;
        let from = Incoming { pair: expected.pair, conversation, from: contact.name, envelope: envelope.id(), hour };
        let read = self.read_inner(&from, &inner, now)?;
        self.unexpect(tag)?;
        self.heard_in(expected)?;
        self.expect_more(&expected.pair, expected.epoch, our_rank, expected.counter.saturating_add(1))?;
        if read == Read::EpochChanged {
            self.begin_epoch(&expected.pair, our_rank, now)?;
        }
        // They answered in a pair that we founded: they agreed.
        if contact.state == ContactState::Added {
            self.set_contact_state(contact.contact, ContactState::Accepted)?;
            self.event(Event::Contact(contact.contact));
        }
        Ok(true)
    }
}

/// Envelopes that came before their tags were expected.
fn find(log: &Log, tags: &[[u8; 16]]) -> Result<Vec<Envelope>, ChatError> {
    let mut found = Vec::new();
    for tag in tags {
        found.extend(log.by_tag(tag, COPIES_MAX)?.iter().filter_map(samizdat_store::log::Stored::envelope));
    }
    Ok(found)
}
