//! The outbox: what is finished but for its stamp, and what no other node is known to hold.

use rusqlite::OptionalExtension;
use samizdat_core::{Envelope, EnvelopeId, Hour, Kind, Now, Unstamped};
use samizdat_store::Log;

use crate::{
    chat::{Chat, Event, Job},
    contact::ContactRow,
    content::{Content, ID_LEN},
    error::ChatError,
    limits::{ACK_LIFETIME, PARENTS_MAX},
    timeline::{MessageId, State},
    work::Work,
};

/// States of a row.
pub(crate) const STAMPING: u8 = 0;
pub(crate) const STAMPED: u8 = 1;

impl Chat {
    /// The envelope that is to be stamped next. What its reader has already taken over a session comes last.
    pub fn job(&self) -> Result<Option<Job>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(
            "SELECT envelope, tries, background FROM outbox WHERE state = ?1 ORDER BY background, taken, number LIMIT 1",
        )?;
        Ok(statement
            .query_row([STAMPING], |row| {
                Ok(Job { id: EnvelopeId(row.get(0)?), tries: row.get(1)?, urgent: !row.get::<_, bool>(2)? })
            })
            .optional()?)
    }

    /// Puts a minted stamp on. `None`: it was cancelled meanwhile. The caller appends the envelope to the log durably and then calls
    /// [`Chat::logged`]; a crash between the two is healed by [`Chat::recover`].
    pub fn stamp(&self, id: &EnvelopeId, nonce: u64) -> Result<Option<Envelope>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached("SELECT bytes FROM outbox WHERE envelope = ?1 AND state = ?2")?;
        let bytes: Option<Vec<u8>> = statement.query_row((id.0, STAMPING), |row| row.get(0)).optional()?;
        Ok(bytes.and_then(|bytes| Unstamped::from_bytes(&bytes).ok()?.stamp(nonce).ok()))
    }

    /// Our envelope is in our log.
    pub fn logged(&mut self, id: &EnvelopeId) -> Result<(), ChatError> {
        self.transact(|work| {
            work.conn.execute("UPDATE outbox SET state = ?2 WHERE envelope = ?1", (id.0, STAMPED))?;
            work.carried(id, State::Stamped)
        })
    }

    /// Another node has stored our envelope.
    pub fn held(&mut self, id: &EnvelopeId) -> Result<(), ChatError> {
        self.transact(|work| {
            work.conn.execute("DELETE FROM outbox WHERE envelope = ?1 AND state = ?2", (id.0, STAMPED))?;
            work.conn.execute("UPDATE announced SET held = 1 WHERE envelope = ?1", [id.0])?;
            work.carried(id, State::Published)
        })
    }

    /// After a start: finishes what a crash interrupted, and says which envelopes no other node is known to hold.
    pub fn recover(&mut self, log: &Log) -> Result<Vec<EnvelopeId>, ChatError> {
        let interrupted = ids(self, STAMPING)?;
        for id in interrupted {
            if log.knows(&id)? {
                self.logged(&id)?;
            }
        }
        self.unpublished()
    }

    /// Our envelopes that no other node is known to hold.
    pub fn unpublished(&self) -> Result<Vec<EnvelopeId>, ChatError> {
        ids(self, STAMPED)
    }

    /// Our own envelopes that left the log unpublished: their messages have failed, what they acknowledged is not
    /// acknowledged.
    pub fn forgotten(&mut self, now: Hour) -> Result<(), ChatError> {
        self.dirty = true;
        self.transact(|work| {
            let over: Vec<([u8; 32], Option<i64>)> = work
                .conn
                .prepare_cached("SELECT envelope, conversation FROM outbox WHERE expires < ?1")?
                .query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            for (id, conversation) in over {
                work.conn.execute("DELETE FROM outbox WHERE envelope = ?1", [id])?;
                work.conn.execute(
                    "UPDATE conversation SET ack_due = 1, receipt_due = contact IN (SELECT contact FROM contact WHERE receipts = 1)
                     WHERE conversation = ?1",
                    [conversation],
                )?;
                work.carried(&EnvelopeId(id), State::Failed)?;
            }
            work.conn.execute("DELETE FROM sent WHERE expires < ?1", [now.0])?;
            Ok(())
        })
    }

    /// Conversations in which something waits for the keys of its reader, with their contacts.
    pub(crate) fn with_waiting(&self) -> Result<Vec<(i64, i64)>, ChatError> {
        // The state as the index has it: for a parameter SQLite compiles the statement anew each time.
        let mut statement = self.vault.conn().prepare_cached(
            "SELECT DISTINCT m.conversation, c.contact FROM message m JOIN conversation c USING (conversation)
             WHERE m.state = 0 AND c.contact IS NOT NULL",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Conversations in which something has come that nobody has acknowledged, or was read and is to be said so, with their
    /// contacts. While something of ours waits there for its stamp, that says as much, unless it was handed over before.
    pub(crate) fn with_ack_due(&self) -> Result<Vec<(i64, i64)>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(
            "SELECT conversation, contact FROM conversation c WHERE (ack_due = 1 OR receipt_due = 1) AND contact IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.conversation = c.conversation AND o.state = 0 AND o.handed = 0)",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn ids(chat: &Chat, state: u8) -> Result<Vec<EnvelopeId>, ChatError> {
    let mut statement = chat.vault.conn().prepare_cached("SELECT envelope FROM outbox WHERE state = ?1 ORDER BY number")?;
    let rows = statement.query_map([state], |row| Ok(EnvelopeId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Work<'_> {
    pub(crate) fn queue(&mut self, unstamped: &Unstamped, tries: u64, conversation: Option<i64>) -> Result<(), ChatError> {
        self.conn
            .prepare_cached(
                "INSERT INTO outbox(envelope, bytes, tries, bell, conversation, expires) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                unstamped.id().0,
                &unstamped.bytes()[..],
                tries,
                matches!(unstamped.fields().kind, Kind::Bell { .. }),
                conversation,
                unstamped.fields().expires().0,
            ))?;
        if let Some(conversation) = conversation {
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO sent(envelope, conversation, expires) VALUES(?1, ?2, ?3)")?
                .execute((unstamped.id().0, conversation, unstamped.fields().expires().0))?;
        }
        Ok(())
    }

    /// Encrypts what waits in one conversation, in the order in which it was written.
    pub(crate) fn encrypt_waiting(&mut self, conversation: i64, contact: i64, log: &Log, now: Now) -> Result<(), ChatError> {
        let Some(row) = self.contact_row(contact)?.filter(|row| row.state.agreed()) else { return Ok(()) };
        while let Some(message) = self.oldest_waiting(conversation)? {
            if !self.encrypt_one(&row, conversation, &message, log, now)? {
                break;
            }
        }
        Ok(())
    }

    /// Acknowledges what has come and, where they are to know, what was read, if we agreed to talk.
    pub(crate) fn acknowledge(&mut self, conversation: i64, contact: i64, log: &Log, now: Now) -> Result<(), ChatError> {
        let Some(row) = self.contact_row(contact)?.filter(|row| row.state.agreed()) else { return Ok(()) };
        let Some(pair) = self.pair_with(contact)? else { return Ok(()) };
        let (ack_due, receipt_due): (bool, bool) = self.conn.query_row(
            "SELECT ack_due, receipt_due FROM conversation WHERE conversation = ?1",
            [conversation],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        self.conn.execute("UPDATE conversation SET ack_due = 0, receipt_due = 0 WHERE conversation = ?1", [conversation])?;
        let heads = self.their_heads(conversation, State::Received)?;
        let read = if receipt_due { self.their_heads(conversation, State::Read)? } else { Vec::new() };
        let missing = self.tell_missing(conversation, now)?;
        let came = if ack_due { self.with_late(conversation, heads)? } else { heads };
        // Who is told that all was read knows that it came.
        if ack_due && !came.is_empty() && came != read {
            let ack = Content::Ack { heads: came, missing: missing.clone(), read: false };
            self.send_in(pair, &row, &ack, ACK_LIFETIME, log, now)?;
        }
        if !read.is_empty() {
            self.send_in(pair, &row, &Content::Ack { heads: read, missing, read: true }, ACK_LIFETIME, log, now)?;
        }
        Ok(())
    }

    /// Whether it could be encrypted.
    fn encrypt_one(
        &mut self,
        contact: &ContactRow,
        conversation: i64,
        id: &MessageId,
        log: &Log,
        now: Now,
    ) -> Result<bool, ChatError> {
        let (text, at, lifetime): (String, u64, u8) =
            self.conn.query_row("SELECT text, at, lifetime FROM message WHERE id = ?1", [id.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let parents = self.heads(conversation, PARENTS_MAX)?;
        let missing = self.tell_missing(conversation, now)?;
        let content = Content::Text { id: id.0, at, parents: parents.clone(), missing, text };
        let unstamped = match self.pair_with(contact.contact)? {
            Some(pair) => {
                self.rotate_if_due(pair, lifetime, conversation, now)?;
                self.send_in(pair, contact, &content, lifetime, log, now)?
            }
            None => match self.ring(contact, &content, lifetime, log, now)? {
                Some(unstamped) => unstamped,
                None => return Ok(false),
            },
        };
        self.set_parents(id, &parents)?;
        self.conn.execute(
            "UPDATE message SET state = ?2, envelope = ?3 WHERE id = ?1",
            (id.0, State::Stamping.number(), unstamped.id().0),
        )?;
        let late = !self.came_late(conversation)?.is_empty();
        self.conn.execute("UPDATE conversation SET ack_due = ?2 WHERE conversation = ?1", (conversation, late))?;
        self.event(Event::Message(*id));
        Ok(true)
    }

    /// The newest messages of the other side that have come as far as `state`.
    fn their_heads(&self, conversation: i64, state: State) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT coalesce(name, id) FROM message m WHERE conversation = ?1 AND mine = 0 AND state >= ?3 AND NOT EXISTS
             (SELECT 1 FROM parent p JOIN message c ON c.id = p.child
              WHERE p.parent = coalesce(m.name, m.id) AND c.conversation = ?1 AND c.mine = 0 AND c.state >= ?3)
             ORDER BY message DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((conversation, PARENTS_MAX, state.number()), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn oldest_waiting(&self, conversation: i64) -> Result<Option<MessageId>, ChatError> {
        let mut statement =
            self.conn.prepare_cached("SELECT id FROM message WHERE conversation = ?1 AND state = ?2 ORDER BY message LIMIT 1")?;
        Ok(statement.query_row((conversation, State::Waiting.number()), |row| Ok(MessageId(row.get(0)?))).optional()?)
    }

    /// Moves the messages that an envelope carries forward to `state`.
    pub(crate) fn carried(&mut self, id: &EnvelopeId, state: State) -> Result<(), ChatError> {
        let messages: Vec<MessageId> = self
            .conn
            .prepare_cached("SELECT id FROM message WHERE envelope = ?1 AND mine = 1")?
            .query_map([id.0], |row| Ok(MessageId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|id| self.advance(id, state))
    }
}
