//! Messages in causal order, each once, and how far each of ours has come.

use std::collections::VecDeque;

use rand_core::Rng;
use rusqlite::OptionalExtension;
use samizdat_core::{EnvelopeId, Hour, Name, Now, limits::TEXT_MAX};
use sha2::{Digest, Sha256};

use crate::{
    chat::Event,
    contact::ContactState,
    content::{Content, ID_LEN, plausible_time},
    error::{ChatError, is_database},
    frontier::Frontier,
    limits::{ANCESTORS_MAX, HEADS_AMONG, OUTBOX_MAX, PARENT_PATIENCE_MS, WAITING_HOURS},
    mls::{DecryptError, Decrypted, PairId},
    work::Work,
};

/// Separates these digests from all others.
const ID_DOMAIN: &[u8] = b"samizdat message id v1\0";

/// Names one message; hex when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; ID_LEN]);

/// How far a message has come. Only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The keys of its reader are not known yet.
    Waiting,
    /// Encrypted; its stamp is being made.
    Stamping,
    /// In our log.
    Stamped,
    /// Another node has stored it.
    Published,
    /// The reader's node has it; for messages of others: we have it.
    Received,
    /// A person has read it.
    Read,
    /// Taken back before it was stamped.
    Cancelled,
    /// Its lifetime ended before any other node took it.
    Failed,
}

impl State {
    const ALL: [Self; 8] =
        [Self::Waiting, Self::Stamping, Self::Stamped, Self::Published, Self::Received, Self::Read, Self::Cancelled, Self::Failed];

    pub(crate) fn number(self) -> u8 {
        Self::ALL.iter().position(|state| *state == self).and_then(|i| u8::try_from(i).ok()).unwrap_or_default()
    }

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Failed)
    }
}

/// Where something that was decrypted came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming {
    pub(crate) pair: PairId,
    pub(crate) conversation: i64,
    pub(crate) from: Name,
    pub(crate) envelope: EnvelopeId,
    /// The hour that the envelope claims.
    pub(crate) hour: Hour,
}

/// A message on its way into the table.
pub(crate) struct NewRow<'a> {
    pub(crate) id: MessageId,
    pub(crate) conversation: i64,
    /// The name of who wrote it, or in clusters the id of the member.
    pub(crate) author: &'a str,
    pub(crate) mine: bool,
    pub(crate) text: &'a str,
    pub(crate) at: u64,
    pub(crate) lifetime: u8,
    pub(crate) state: State,
    pub(crate) envelope: Option<EnvelopeId>,
    /// Who says that the author wrote it, if not the author.
    pub(crate) vouched: Option<&'a str>,
    /// The only member of the cluster who can read it.
    pub(crate) aside: Option<[u8; 32]>,
    /// In clusters, what its name follows from.
    pub(crate) nonce: Option<[u8; ID_LEN]>,
}

impl<'a> NewRow<'a> {
    /// A text of ours that waits; in which conversation, under which id and by which of our names is left to say.
    pub(crate) fn ours(text: &'a str, now: Now) -> Self {
        Self {
            id: MessageId([0; ID_LEN]),
            conversation: 0,
            author: "",
            mine: true,
            text,
            at: now.unix_ms,
            lifetime: 0,
            state: State::Waiting,
            envelope: None,
            vouched: None,
            aside: None,
            nonce: None,
        }
    }
}

impl Work<'_> {
    /// A message of ours to a contact. It can be seen at once and is encrypted as soon as that is possible.
    pub(crate) fn write(&mut self, who: &str, text: &str, lifetime: u8, now: Now) -> Result<MessageId, ChatError> {
        check_text(text)?;
        let row = match self.find_contact(who) {
            Ok(row) => row,
            Err(ChatError::NotFound(_)) if who.parse::<samizdat_core::link::InviteLink>().is_ok() => {
                let contact = self.add_contact(who, None)?;
                self.contact_row(contact)?.ok_or(ChatError::Bug("contact"))?
            }
            Err(error) => return Err(error),
        };
        match row.state {
            ContactState::Blocked => return Err(ChatError::Refused("you have blocked this contact: unblock it first".into())),
            // Answering is agreeing.
            ContactState::Requested | ContactState::Declined => self.set_contact_state(row.contact, ContactState::Accepted)?,
            ContactState::Added | ContactState::Accepted => {}
        }
        let conversation = self.conversation_with(row.contact)?;
        let author = self.identity_secret(row.identity)?.key().name().compact();
        let id = MessageId(self.draw_id());
        let new = NewRow { id, conversation, author: &author, lifetime, nonce: None, aside: None, ..NewRow::ours(text, now) };
        self.leave_to_be_sent(&new, now)
    }

    pub(crate) fn draw_id(&mut self) -> [u8; ID_LEN] {
        let mut id = [0; ID_LEN];
        self.rng.fill_bytes(&mut id);
        id
    }

    /// A text of ours, to be seen at once and encrypted as soon as that is possible.
    pub(crate) fn leave_to_be_sent(&mut self, new: &NewRow<'_>, now: Now) -> Result<MessageId, ChatError> {
        let unsent = "SELECT count(*) FROM message WHERE state = 0";
        let unsent: u32 = self.conn.prepare_cached(unsent)?.query_row([], |row| row.get(0))?;
        if unsent >= OUTBOX_MAX {
            return Err(ChatError::Refused("too many messages wait to be sent: connect to the network first".into()));
        }
        self.insert(new, now)?;
        self.show(&new.id)?;
        Ok(new.id)
    }

    pub(crate) fn cancel(&mut self, id: &MessageId) -> Result<(), ChatError> {
        let found: Option<(u8, bool, Option<[u8; 32]>)> = self
            .conn
            .query_row("SELECT state, mine, envelope FROM message WHERE id = ?1", [id.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((state, true, envelope)) = found else {
            return Err(ChatError::NotFound("there is no such message of yours".into()));
        };
        let state = State::from_number(state);
        if state > State::Stamping {
            return Err(ChatError::Refused("it is too late: the message has left this node".into()));
        }
        if self.conn.prepare_cached("SELECT 1 FROM parent WHERE parent = ?1")?.exists([id.0])? {
            return Err(ChatError::Refused("a later message builds on this one: cancel that first".into()));
        }
        if let Some(envelope) = envelope {
            let (carries_invitation, handed): (bool, bool) = self
                .conn
                .query_row("SELECT bell, handed FROM outbox WHERE envelope = ?1", [envelope], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .unwrap_or_default();
            if handed {
                return Err(ChatError::Refused("it is too late: the message has left this node".into()));
            }
            if carries_invitation {
                return Err(ChatError::Refused(
                    "the first message carries the invitation: it cannot be taken back any more".into(),
                ));
            }
            self.conn.execute("DELETE FROM outbox WHERE envelope = ?1 AND state = 0", [envelope])?;
            self.never_left(id)?;
        }
        self.conn.execute("UPDATE message SET state = ?2 WHERE id = ?1", (id.0, State::Cancelled.number()))?;
        self.event(Event::Message(*id));
        Ok(())
    }

    /// Up to a message, or all that can be seen. What was read once stays read.
    pub(crate) fn mark_read(&mut self, conversation: i64, up_to: Option<&MessageId>) -> Result<(), ChatError> {
        let last: Option<i64> = match up_to {
            None => self
                .conn
                .query_row("SELECT last_position FROM conversation WHERE conversation = ?1", [conversation], |row| row.get(0))
                .optional()?,
            Some(id) => self
                .conn
                .query_row(
                    "SELECT position FROM message WHERE id = ?1 AND conversation = ?2 AND position IS NOT NULL",
                    (id.0, conversation),
                    |row| row.get(0),
                )
                .optional()?,
        };
        let last = last.ok_or_else(|| ChatError::NotFound("there is no such conversation, or no such message in it".into()))?;
        self.conn.execute(
            "UPDATE conversation SET read_position = max(read_position, ?2) WHERE conversation = ?1",
            (conversation, last),
        )?;
        self.read_in_cluster(conversation, last)?;
        let newly = self.conn.execute(
            "UPDATE message SET state = ?2 WHERE conversation = ?1 AND mine = 0 AND state = ?3 AND position <= ?4",
            (conversation, State::Read.number(), State::Received.number(), last),
        )?;
        if newly > 0 {
            self.conn.execute(
                "UPDATE conversation SET receipt_due = 1 WHERE conversation = ?1
                 AND contact IN (SELECT contact FROM contact WHERE receipts = 1)",
                [conversation],
            )?;
        }
        Ok(())
    }

    /// What the other side encrypted. Nothing of a message that does not decrypt remains.
    pub(crate) fn read_inner(&mut self, from: &Incoming, ciphertext: &[u8], now: Now) -> Result<Read, ChatError> {
        let plaintext = match self.mls.pairs(self.conn, self.rng).decrypt(&from.pair, ciphertext) {
            Ok(Decrypted::Application { plaintext, .. }) => plaintext,
            Ok(Decrypted::EpochChanged { .. }) => return Ok(Read::EpochChanged),
            Err(DecryptError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(Read::Dropped("message that does not decrypt")),
        };
        match Content::decode(&plaintext) {
            Ok(Content::Text { id, at, parents, missing, text }) => {
                let new = NewRow {
                    id: MessageId(id),
                    conversation: from.conversation,
                    author: &from.from.compact(),
                    mine: false,
                    text: &text,
                    at: plausible_time(at, from.hour, WAITING_HOURS),
                    lifetime: 0,
                    state: State::Received,
                    envelope: Some(from.envelope),
                    vouched: None,
                    aside: None,
                    nonce: None,
                };
                self.acknowledged(from.conversation, &Frontier::new(&parents, &missing), State::Received)?;
                if let Some(id) = self.insert(&new, now)? {
                    self.set_parents(&id, &parents)?;
                    self.note_missing(from.conversation, &id, &parents, now)?;
                    self.conn.execute("UPDATE conversation SET ack_due = 1 WHERE conversation = ?1", [from.conversation])?;
                    self.show_when_complete(id)?;
                }
                Ok(Read::Message)
            }
            Ok(Content::Ack { heads, missing, read }) => {
                let state = if read { State::Read } else { State::Received };
                self.acknowledged(from.conversation, &Frontier::new(&heads, &missing), state)?;
                Ok(Read::Message)
            }
            Ok(Content::Presence { at, place }) => {
                self.told_place(&from.pair, plausible_time(at, from.hour, 0), &place)?;
                Ok(Read::Message)
            }
            Ok(Content::Unknown) => Ok(Read::Message),
            Err(_) => Ok(Read::Dropped("malformed content")),
        }
    }

    /// The id under which it is kept, if it says something new. A contact chooses the ids of its messages, and somebody may say the
    /// same in two clusters: then it is kept under another id, and told as if it were not, so that nobody learns that both are here.
    pub(crate) fn insert(&mut self, new: &NewRow<'_>, now: Now) -> Result<Option<MessageId>, ChatError> {
        let mut id = new.id;
        while !self.insert_as(&id, new, now)? {
            let vouched: Option<bool> = self
                .conn
                .prepare_cached(
                    "SELECT vouched IS NOT NULL FROM message WHERE id = ?1 AND conversation = ?2 AND author = ?3 AND aside IS ?4",
                )?
                .query_row((id.0, new.conversation, new.author, new.aside), |row| row.get(0))
                .optional()?;
            match vouched {
                None => id = id_instead_of(&id, new),
                // What others tell that somebody wrote gives way to what they wrote.
                Some(true) if new.vouched.is_none() && new.aside.is_none() => {
                    self.conn.execute(
                        "UPDATE message SET text = ?2, at = ?3, envelope = ?4, vouched = NULL WHERE id = ?1",
                        (id.0, new.text, i64::try_from(new.at).unwrap_or(i64::MAX), new.envelope.map(|id| id.0)),
                    )?;
                    return Ok(Some(id));
                }
                Some(_) => return Ok(None),
            }
        }
        if id != new.id {
            self.conn.prepare_cached("UPDATE message SET name = ?2 WHERE id = ?1")?.execute((id.0, new.id.0))?;
        }
        Ok(Some(id))
    }

    fn insert_as(&mut self, id: &MessageId, new: &NewRow<'_>, now: Now) -> Result<bool, ChatError> {
        let inserted = self
            .conn
            .prepare_cached(
                "INSERT INTO message(id, conversation, author, mine, text, at, lifetime, state, arrived, envelope, vouched, aside, nonce)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT(id) DO NOTHING",
            )?
            .execute((
                id.0,
                new.conversation,
                new.author,
                new.mine,
                new.text,
                i64::try_from(new.at).unwrap_or(i64::MAX),
                new.lifetime,
                new.state.number(),
                i64::try_from(now.unix_ms).unwrap_or(i64::MAX),
                new.envelope.map(|id| id.0),
                new.vouched,
                new.aside,
                new.nonce,
            ))?;
        Ok(inserted == 1)
    }

    pub(crate) fn set_parents(&mut self, child: &MessageId, parents: &[[u8; ID_LEN]]) -> Result<(), ChatError> {
        let mut insert = self.conn.prepare_cached("INSERT OR IGNORE INTO parent(child, parent) VALUES(?1, ?2)")?;
        parents.iter().try_for_each(|parent| insert.execute((child.0, parent)).map(|_| ()))?;
        Ok(())
    }

    /// The newest messages that can be seen and have left (or come), for the next one to build on. On what something builds is
    /// noted, or each message would look at all of the newest anew.
    pub(crate) fn heads(&self, conversation: i64, limit: usize) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT message, coalesce(name, id), EXISTS (SELECT 1 FROM parent p JOIN message c ON c.id = p.child
                                                         WHERE p.parent = coalesce(m.name, m.id) AND c.conversation = ?1)
             FROM message m WHERE conversation = ?1 AND built = 0 AND aside IS NULL AND vouched IS NULL AND anonymous = 0
             AND state NOT IN (0, 6, 7) AND position >= coalesce(
                (SELECT position FROM message WHERE conversation = ?1 AND position IS NOT NULL ORDER BY position DESC LIMIT 1 OFFSET ?2), 0)
             ORDER BY position DESC",
        )?;
        let mut rows = statement.query((conversation, HEADS_AMONG.saturating_sub(1)))?;
        let (mut heads, mut built) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            match row.get(2)? {
                true => built.push(row.get::<_, i64>(0)?),
                false => heads.push(row.get(1)?),
            }
            if heads.len() >= limit {
                break;
            }
        }
        drop(rows);
        let mut note = self.conn.prepare_cached("UPDATE message SET built = 1 WHERE message = ?1")?;
        built.into_iter().try_for_each(|message| note.execute([message]).map(|_| ()))?;
        Ok(heads)
    }

    /// Gives a message its place in what people see: behind all, and behind what was read, which may be gone since.
    pub(crate) fn show(&mut self, id: &MessageId) -> Result<(), ChatError> {
        self.conn.prepare_cached(
            "UPDATE message SET position = 1 + max((SELECT coalesce(max(position), 0) FROM message),
                                                   (SELECT coalesce(max(read_position), 0) FROM conversation)) WHERE id = ?1 AND position IS NULL",
        )?.execute([id.0])?;
        self.conn.prepare_cached(
            "UPDATE conversation SET last_position = m.position FROM message m WHERE m.id = ?1 AND conversation.conversation = m.conversation",
        )?.execute([id.0])?;
        self.event(Event::Message(*id));
        Ok(())
    }

    /// Shows a message once its parents are shown, and then what waited for it. What is in other conversations counts for nothing: by
    /// what somebody sees of us there, they would learn that both are ours. Nor does what only some can read, or nobody signed: whoever
    /// named it would see by our haste that we have it, and so that we wrote it.
    pub(crate) fn show_when_complete(&mut self, id: MessageId) -> Result<(), ChatError> {
        let mut next = VecDeque::from([id]);
        while let Some(id) = next.pop_front() {
            let incomplete = self
                .conn
                .prepare_cached(
                    "SELECT 1 FROM message c JOIN parent p ON p.child = c.id WHERE c.id = ?1
                     AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = p.parent AND m.name IS NULL AND m.aside IS NULL
                                     AND m.anonymous = 0 AND m.conversation = c.conversation AND m.position IS NOT NULL)
                     AND NOT EXISTS (SELECT 1 FROM message m WHERE m.name = p.parent AND m.aside IS NULL AND m.anonymous = 0
                                     AND m.conversation = c.conversation AND m.position IS NOT NULL)",
                )?
                .exists([id.0])?;
            let hidden = self.conn.prepare_cached("SELECT 1 FROM message WHERE id = ?1 AND position IS NULL")?.exists([id.0])?;
            if incomplete || !hidden {
                continue;
            }
            self.show(&id)?;
            next.extend(self.children(&id)?);
        }
        Ok(())
    }

    /// What builds on a message in its conversation.
    fn children(&self, id: &MessageId) -> Result<Vec<MessageId>, ChatError> {
        let mut children = self.conn.prepare_cached(
            "SELECT c.id FROM message m JOIN parent p ON p.parent = coalesce(m.name, m.id)
             JOIN message c ON c.id = p.child AND c.conversation = m.conversation WHERE m.id = ?1 AND m.aside IS NULL AND m.anonymous = 0",
        )?;
        Ok(children.query_map([id.0], |row| Ok(MessageId(row.get(0)?)))?.collect::<Result<_, _>>()?)
    }

    /// Shows what has waited too long for a parent: it may have expired before it reached us.
    pub(crate) fn give_up_on_parents(&mut self, now: Now) -> Result<(), ChatError> {
        for id in self.hidden_since(now.unix_ms.saturating_sub(PARENT_PATIENCE_MS))? {
            self.conn
                .prepare_cached(
                    "DELETE FROM parent WHERE child = ?1 AND NOT EXISTS
                     (SELECT 1 FROM message c JOIN message m ON m.conversation = c.conversation
                      WHERE c.id = ?1 AND m.aside IS NULL AND m.anonymous = 0
                      AND (m.id = parent.parent AND m.name IS NULL OR m.name = parent.parent))",
                )?
                .execute([id.0])?;
            self.show_when_complete(id)?;
            self.note_shown(&id, now)?;
        }
        // What builds on itself, by way of others or not, would wait for ever.
        for id in self.hidden_since(now.unix_ms.saturating_sub(PARENT_PATIENCE_MS.saturating_mul(2)))? {
            self.show(&id)?;
            self.children(&id)?.into_iter().try_for_each(|child| self.show_when_complete(child))?;
        }
        Ok(())
    }

    fn hidden_since(&self, arrived: u64) -> Result<Vec<MessageId>, ChatError> {
        let sql = "SELECT id FROM message WHERE position IS NULL AND arrived < ?1 ORDER BY message";
        let mut hidden = self.conn.prepare_cached(sql)?;
        Ok(hidden.query_map([arrived], |row| Ok(MessageId(row.get(0)?)))?.collect::<Result<_, _>>()?)
    }

    /// The other side has all up to a frontier.
    pub(crate) fn acknowledged(&mut self, conversation: i64, told: &Frontier, state: State) -> Result<(), ChatError> {
        let (mut seen, mut next) = told.walk();
        while let (Some(id), true) = (next.pop_front(), seen.len() < ANCESTORS_MAX) {
            let found: Option<(bool, u8)> = self
                .conn
                .prepare_cached(
                    "SELECT mine, state FROM message WHERE id = ?1 AND conversation = ?2 AND aside IS NULL AND anonymous = 0",
                )?
                .query_row((id.0, conversation), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match found {
                None => continue,
                Some((true, number)) if State::from_number(number) >= state => continue,
                Some((true, _)) => self.advance(&id, state)?,
                // When it came, it told that they have what it builds on.
                Some((false, _)) if state == State::Received => continue,
                Some((false, _)) => {}
            }
            if !told.goes_back() {
                continue;
            }
            let mut parents = self.conn.prepare_cached("SELECT parent FROM parent WHERE child = ?1")?;
            for parent in parents.query_map([id.0], |row| Ok(MessageId(row.get(0)?)))? {
                let parent = parent?;
                if seen.insert(parent) {
                    next.push_back(parent);
                }
            }
        }
        Ok(())
    }

    /// Moves one of our messages forward; backward moves and those of cancelled messages do nothing.
    pub(crate) fn advance(&mut self, id: &MessageId, state: State) -> Result<(), ChatError> {
        let last = if state == State::Failed { State::Stamped } else { State::Read };
        let changed = self
            .conn
            .prepare_cached("UPDATE message SET state = ?2 WHERE id = ?1 AND state < ?2 AND state <= ?3")?
            .execute((id.0, state.number(), last.number()))?;
        if changed == 1 {
            if state == State::Failed {
                self.never_left(id)?;
            }
            self.event(Event::Message(*id));
        }
        Ok(())
    }

    /// What it built on, and so acknowledged, nobody learns from it: that is for the next one to say.
    fn never_left(&mut self, id: &MessageId) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE message SET built = 0 WHERE conversation = (SELECT conversation FROM message WHERE id = ?1)
             AND (id IN (SELECT parent FROM parent WHERE child = ?1) OR name IN (SELECT parent FROM parent WHERE child = ?1))",
            [id.0],
        )?;
        self.conn.execute("DELETE FROM parent WHERE child = ?1", [id.0])?;
        self.conn.execute(
            "UPDATE conversation SET ack_due = 1 WHERE conversation = (SELECT conversation FROM message WHERE id = ?1)",
            [id.0],
        )?;
        Ok(())
    }
}

/// The same for everybody who comes here by the same way, so that what comes twice is known.
fn id_instead_of(taken: &MessageId, new: &NewRow<'_>) -> MessageId {
    let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(taken.0).chain_update(new.conversation.to_le_bytes());
    let digest = digest.chain_update(new.author).finalize();
    MessageId(std::array::from_fn(|i| digest.get(i).copied().unwrap_or_default()))
}

/// What a ciphertext was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Something for the timeline, or nothing to do.
    Message,
    /// The other side refreshed the keys.
    EpochChanged,
    /// Of no use.
    Dropped(&'static str),
}

pub(crate) fn check_text(text: &str) -> Result<(), ChatError> {
    if text.trim().is_empty() {
        return Err(ChatError::Usage("an empty message says nothing: write something".into()));
    }
    if text.len() > TEXT_MAX {
        return Err(ChatError::Usage(format!(
            "a message holds at most {TEXT_MAX} bytes, this has {}: send it in parts",
            text.len()
        )));
    }
    Ok(())
}
