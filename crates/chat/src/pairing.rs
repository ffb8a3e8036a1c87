//! From a contact to a pair that both can encrypt in: bells, simultaneous first contact, epochs and their tags.

use rusqlite::OptionalExtension;
use samizdat_core::{
    Envelope, IdentityKey, Name, Now, Unstamped,
    announce::Announcement,
    limits::LIFETIMES,
    seal::{OuterSecret, SealError, TAG_LEN, seal_bell},
};
use samizdat_store::Log;
use sha2::{Digest, Sha256};

use crate::{
    chat::{Event, Expected},
    contact::{ContactRow, ContactState},
    content::{Bell, Content},
    error::{ChatError, is_database},
    limits::{EPOCHS_KEPT, LOOK_BEHIND, PAIRS_MAX, REQUESTS_MAX, ROTATE_HOURS, ROTATE_MESSAGES, TAG_WINDOW, UNINVITED_LIFETIME},
    mls::{CreateError, Created, JoinError, PairId},
    timeline::{Incoming, Read},
    work::Work,
};

const FOUNDER_DOMAIN: &[u8] = b"samizdat founder v1\0";

/// A pair and where we are in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairRow {
    pub(crate) pair: PairId,
    our_rank: u8,
}

impl Work<'_> {
    /// The pair in which we write to a contact. When both founded one, both choose that of the same founder.
    pub(crate) fn pair_with(&self, contact: i64) -> Result<Option<PairRow>, ChatError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT pair, our_rank FROM pair WHERE contact = ?1 ORDER BY founder_rank, number DESC LIMIT 1")?;
        Ok(statement.query_row([contact], |row| Ok(PairRow { pair: PairId(row.get(0)?), our_rank: row.get(1)? })).optional()?)
    }

    /// The contact whose pair it is, and our rank in it.
    pub(crate) fn pair_contact(&self, pair: &PairId) -> Result<Option<(ContactRow, u8)>, ChatError> {
        let found: Option<(i64, u8)> = self
            .conn
            .prepare_cached("SELECT contact, our_rank FROM pair WHERE pair = ?1")?
            .query_row([pair.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((contact, rank)) = found else { return Ok(None) };
        Ok(self.contact_row(contact)?.map(|row| (row, rank)))
    }

    /// Founds a pair with a contact whose announcement the log holds, and puts the bell with `first` into the outbox.
    /// `None`: their keys are not known yet.
    pub(crate) fn ring(
        &mut self,
        contact: &ContactRow,
        first: &Content,
        lifetime: u8,
        log: &Log,
        now: Now,
    ) -> Result<Option<Unstamped>, ChatError> {
        let Some(announced) = log.announcement(&contact.name)?.and_then(|stored| stored.envelope()) else { return Ok(None) };
        let Some(signed) = announced.fields().kind.signed() else { return Ok(None) };
        let Ok(announcement) = Announcement::decode(announced.body()) else { return Ok(None) };
        if self.mls.inspect_key_package(&announcement.key_package).map(|found| found.identity).ok() != Some(signed.author) {
            return Ok(None);
        }
        let us = self.identity_secret(contact.identity)?;
        let Created { pair, welcome, peer, .. } = match self.mls.pairs(self.conn, self.rng).create(&us, &announcement.key_package) {
            Ok(created) => created,
            Err(CreateError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        self.add_pair(pair, contact.contact, &us.key(), &peer, &us.key(), now)?;
        let first = self.mls.pairs(self.conn, self.rng).encrypt(&pair, &first.encode())?;
        let content = Bell { welcome, first, secret: contact.secret }.encode();
        // As an error, so that nothing stays of a pair that they could never enter.
        let bell = self
            .queue_bell(contact, &announcement.contact_key, &content, lifetime, now)?
            .ok_or_else(|| ChatError::Refused("the keys that they announced cannot be used".into()))?;
        let epoch = self.mls.pairs(self.conn, self.rng).epoch(&pair)?;
        self.keep_entry(&pair, epoch, &content, &bell)?;
        Ok(Some(bell))
    }

    fn queue_bell(
        &mut self,
        contact: &ContactRow,
        key: &[u8],
        content: &[u8],
        lifetime: u8,
        now: Now,
    ) -> Result<Option<Unstamped>, ChatError> {
        let body = match seal_bell(key, content, self.rng) {
            Ok(body) => body,
            Err(SealError::TooLong(error)) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let lifetime = if contact.secret.is_some() { lifetime } else { UNINVITED_LIFETIME };
        let unstamped = Unstamped::seal(None, now.hour(), lifetime, body).map_err(|_| ChatError::Bug("bell"))?;
        let conversation = self.conversation_with(contact.contact)?;
        self.queue(&unstamped, unstamped.price(), Some(conversation))?;
        Ok(Some(unstamped))
    }

    /// Sends again what the other side needs to enter our epoch, if it might expire before a message of `lifetime` and
    /// nothing of the epoch has come back. Who was away for long would otherwise find messages without their key.
    fn renew_entry(&mut self, row: PairRow, contact: &ContactRow, lifetime: u8, log: &Log, now: Now) -> Result<(), ChatError> {
        let epoch = self.mls.pairs(self.conn, self.rng).epoch(&row.pair)?;
        let until = now.hour().0.saturating_add(LIFETIMES.get(usize::from(lifetime)).copied().unwrap_or_default());
        let entry: Option<Vec<u8>> = self
            .conn
            .query_row(
                "SELECT entry FROM epoch WHERE pair = ?1 AND epoch = ?2 AND entry IS NOT NULL AND entry_expires < ?3",
                (row.pair.0, epoch, until),
                |row| row.get(0),
            )
            .optional()?;
        let Some(entry) = entry else { return Ok(()) };
        let conversation = self.conversation_with(contact.contact)?;
        // A longer life than the message's, or the next hour's message would need it again.
        let longer = lifetime.saturating_add(1);
        let lifetime = if usize::from(longer) < LIFETIMES.len() { longer } else { lifetime };
        let sent = if Bell::decode(&entry).is_ok() {
            let Some(announced) = log.announcement(&contact.name)?.and_then(|stored| stored.envelope()) else { return Ok(()) };
            let Ok(announcement) = Announcement::decode(announced.body()) else { return Ok(()) };
            self.queue_bell(contact, &announcement.contact_key, &entry, lifetime, now)?
        } else {
            Some(self.seal_outer(row, epoch.saturating_sub(1), &entry, lifetime, conversation, now)?)
        };
        match sent {
            Some(sent) => self.keep_entry(&row.pair, epoch, &entry, &sent),
            None => Ok(()),
        }
    }

    fn keep_entry(&mut self, pair: &PairId, epoch: u64, entry: &[u8], sent: &Unstamped) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE epoch SET entry = ?3, entry_expires = ?4 WHERE pair = ?1 AND epoch = ?2",
            (pair.0, epoch, entry, sent.fields().expires().0),
        )?;
        Ok(())
    }

    /// The other side is in this epoch: nobody needs what leads into it any more.
    pub(crate) fn heard_in(&mut self, expected: &Expected) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE epoch SET received = received + 1, entry = NULL WHERE pair = ?1 AND epoch = ?2",
            (expected.pair.0, expected.epoch),
        )?;
        Ok(())
    }

    /// Encrypts in a pair and puts the envelope into the outbox.
    pub(crate) fn send_in(
        &mut self,
        row: PairRow,
        contact: &ContactRow,
        content: &Content,
        lifetime: u8,
        log: &Log,
        now: Now,
    ) -> Result<Unstamped, ChatError> {
        self.renew_entry(row, contact, lifetime, log, now)?;
        let conversation = self.conversation_with(contact.contact)?;
        let epoch = self.mls.pairs(self.conn, self.rng).epoch(&row.pair)?;
        let inner = self.mls.pairs(self.conn, self.rng).encrypt(&row.pair, &content.encode())?;
        self.seal_outer(row, epoch, &inner, lifetime, conversation, now)
    }

    /// Refreshes the keys when it is our turn and the epoch is old enough.
    pub(crate) fn rotate_if_due(&mut self, row: PairRow, lifetime: u8, conversation: i64, now: Now) -> Result<(), ChatError> {
        let pairs = self.mls.pairs(self.conn, self.rng);
        let epoch = pairs.epoch(&row.pair)?;
        if !pairs.may_rotate(&row.pair)? {
            return Ok(());
        }
        let due: Option<bool> = self
            .conn
            .query_row(
                "SELECT received > 0 AND (sent + received >= ?3 OR ?4 >= hour + ?5) FROM epoch WHERE pair = ?1 AND epoch = ?2",
                (row.pair.0, epoch, ROTATE_MESSAGES, now.hour().0, ROTATE_HOURS),
                |row| row.get(0),
            )
            .optional()?;
        if due != Some(true) {
            return Ok(());
        }
        let commit = match self.mls.pairs(self.conn, self.rng).rotate(&row.pair) {
            Ok(commit) => commit,
            Err(crate::mls::RotateError::OutOfTurn) => return Ok(()),
            Err(crate::mls::RotateError::State(error)) => return Err(error.into()),
        };
        let sent = self.seal_outer(row, epoch, &commit, lifetime, conversation, now)?;
        self.begin_epoch(&row.pair, row.our_rank, now)?;
        self.keep_entry(&row.pair, epoch.saturating_add(1), &commit, &sent)
    }

    fn seal_outer(
        &mut self,
        row: PairRow,
        epoch: u64,
        inner: &[u8],
        lifetime: u8,
        conversation: i64,
        now: Now,
    ) -> Result<Unstamped, ChatError> {
        let (secret, counter): ([u8; 32], u64) = self.conn.query_row(
            "UPDATE epoch SET sent = sent + 1 WHERE pair = ?1 AND epoch = ?2 RETURNING secret, sent - 1",
            (row.pair.0, epoch),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let secret = OuterSecret::new(secret);
        let body = match secret.seal(row.our_rank, counter, inner) {
            Ok(body) => body,
            Err(SealError::TooLong(error)) => return Err(error.into()),
            Err(_) => return Err(ChatError::Bug("outer layer")),
        };
        let tag = secret.tag(row.our_rank, counter);
        let unstamped = Unstamped::seal(Some(tag), now.hour(), lifetime, body).map_err(|_| ChatError::Bug("sealed envelope"))?;
        self.queue(&unstamped, unstamped.price(), Some(conversation))?;
        Ok(unstamped)
    }

    /// A bell from the log. Most are for others; one that is not for us costs a decryption and leaves no trace.
    pub(crate) fn hear_bell(&mut self, envelope: &Envelope, now: Now) -> Result<Heard, ChatError> {
        let mut opened = None;
        for keys in self.announced_keys()? {
            if let Ok(content) = keys.secret.open(envelope.body()) {
                opened = Some((keys.identity, content));
                break;
            }
        }
        let Some((identity, content)) = opened else { return Ok(Heard::NotForUs) };
        let Ok(bell) = Bell::decode(&content) else { return Ok(Heard::Dropped("malformed bell")) };
        let invited = self.is_invite(identity, &bell)?;
        let us = self.identity_secret(identity)?.key();
        let joined = match self.mls.pairs(self.conn, self.rng).join(&us, &bell.welcome) {
            Ok(joined) => joined,
            Err(JoinError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(Heard::Dropped("bell that cannot be joined")),
        };
        if self.conn.prepare_cached("SELECT 1 FROM forgotten_pair WHERE pair = ?1")?.exists([joined.pair.0])? {
            return Ok(Heard::Dropped("bell of a pair that was forgotten"));
        }
        // The id covers the lifetime and every node demands its price, so no relay can make the bell a cheaper one.
        let dear = envelope.fields().lifetime >= UNINVITED_LIFETIME;
        let contact = match self.admit(identity, &joined.peer.name(), invited, dear, now)? {
            Ok(contact) => contact,
            Err(why) => return Ok(Heard::Dropped(why)),
        };
        self.add_pair(joined.pair, contact, &us, &joined.peer, &joined.peer, now)?;
        let conversation = self.conversation_with(contact)?;
        let (from, hour) = (joined.peer.name(), envelope.fields().hour);
        let incoming = Incoming { pair: joined.pair, conversation, from, envelope: envelope.id(), hour };
        // A Commit in place of a message would leave us in an epoch that we do not know.
        match self.read_inner(&incoming, &bell.first, now)? {
            Read::Message => {}
            Read::EpochChanged | Read::Dropped(_) => return Ok(Heard::Dropped("bell without a first message")),
        }
        self.forget_surplus_pairs(contact, now)?;
        Ok(Heard::Pair)
    }

    /// The contact whose bell may come in, or why it may not.
    pub(crate) fn admit(
        &mut self,
        identity: i64,
        name: &Name,
        invited: bool,
        dear: bool,
        now: Now,
    ) -> Result<Result<i64, &'static str>, ChatError> {
        let known = self.contact_of(identity, name)?;
        let state = known.as_ref().map(|row| row.state);
        let contact = match (known, state) {
            (_, Some(ContactState::Blocked)) => return Ok(Err("bell of a blocked contact")),
            (Some(row), Some(ContactState::Added | ContactState::Accepted)) => return Ok(Ok(row.contact)),
            _ if !invited && !dear => return Ok(Err("bell to a closed inbox")),
            (Some(row), _) => row.contact,
            (None, _) => {
                self.conn.execute(
                    "INSERT INTO contact(identity, name, state) VALUES(?1, ?2, ?3)",
                    (identity, name.compact(), ContactState::Declined.number()),
                )?;
                self.conn.last_insert_rowid()
            }
        };
        self.open_request(contact, invited, now)?;
        Ok(Ok(contact))
    }

    /// Makes the current epoch of a pair known: its secret, and the tags of the other's first messages.
    pub(crate) fn begin_epoch(&mut self, pair: &PairId, our_rank: u8, now: Now) -> Result<(), ChatError> {
        let outer = self.mls.pairs(self.conn, self.rng).outer(pair)?;
        self.conn.execute(
            "INSERT INTO epoch(pair, epoch, secret, hour) VALUES(?1, ?2, ?3, ?4)",
            (pair.0, outer.epoch, outer.secret, now.hour().0),
        )?;
        self.expect_more(pair, outer.epoch, our_rank, 0)?;
        self.sessions_changed();
        let over = outer.epoch.saturating_sub(EPOCHS_KEPT);
        let old: Vec<[u8; TAG_LEN]> = self
            .conn
            .prepare_cached("SELECT tag FROM expected WHERE pair = ?1 AND epoch < ?2")?
            .query_map((pair.0, over), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for tag in old {
            self.unexpect(tag)?;
        }
        self.conn.execute("DELETE FROM epoch WHERE pair = ?1 AND epoch < ?2", (pair.0, over))?;
        Ok(())
    }

    /// Keeps [`TAG_WINDOW`] tags expected beyond message `counter` of the other side.
    pub(crate) fn expect_more(&mut self, pair: &PairId, epoch: u64, our_rank: u8, counter: u64) -> Result<(), ChatError> {
        let (secret, from): ([u8; 32], u64) = self.conn.query_row(
            "SELECT secret, expected_to FROM epoch WHERE pair = ?1 AND epoch = ?2",
            (pair.0, epoch),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let secret = OuterSecret::new(secret);
        let to = counter.saturating_add(TAG_WINDOW);
        for counter in from.max(counter.saturating_sub(LOOK_BEHIND))..to {
            self.expect(secret.tag(other(our_rank), counter), Expected { pair: *pair, epoch, counter })?;
        }
        if to > from {
            self.conn.execute("UPDATE epoch SET expected_to = ?3 WHERE pair = ?1 AND epoch = ?2", (pair.0, epoch, to))?;
        }
        Ok(())
    }

    /// Opens the outer layer of a message that was expected.
    pub(crate) fn open_outer(&mut self, expected: &Expected, our_rank: u8, body: &[u8]) -> Result<Option<Vec<u8>>, ChatError> {
        let secret: Option<[u8; 32]> = self
            .conn
            .query_row("SELECT secret FROM epoch WHERE pair = ?1 AND epoch = ?2", (expected.pair.0, expected.epoch), |row| {
                row.get(0)
            })
            .optional()?;
        Ok(secret.and_then(|secret| OuterSecret::new(secret).open(other(our_rank), expected.counter, body).ok()))
    }

    fn add_pair(
        &mut self,
        pair: PairId,
        contact: i64,
        us: &IdentityKey,
        peer: &IdentityKey,
        founder: &IdentityKey,
        now: Now,
    ) -> Result<(), ChatError> {
        let our_rank = u8::from(us.0 > peer.0);
        let number: i64 = self.conn.query_row("SELECT coalesce(max(number), 0) + 1 FROM pair", [], |row| row.get(0))?;
        self.conn.execute(
            "INSERT INTO pair(pair, contact, founder_rank, our_rank, number) VALUES(?1, ?2, ?3, ?4, ?5)",
            (pair.0, contact, founder_rank(us, peer, founder), our_rank, number),
        )?;
        self.begin_epoch(&pair, our_rank, now)
    }

    fn is_invite(&self, identity: i64, bell: &Bell) -> Result<bool, ChatError> {
        let Some(secret) = bell.secret else { return Ok(false) };
        Ok(self.conn.prepare_cached("SELECT 1 FROM invite WHERE identity = ?1 AND secret = ?2")?.exists((identity, secret))?)
    }

    /// A request opens, or says more. Of too many the oldest goes; those with an invite link are counted for themselves, so
    /// that a crowd of strangers displaces none of them.
    fn open_request(&mut self, contact: i64, invited: bool, now: Now) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE contact SET state = ?2, invited = ?3, asked_at = ?4 WHERE contact = ?1",
            (contact, ContactState::Requested.number(), invited, now.unix_ms),
        )?;
        let surplus: Vec<i64> = self
            .conn
            .prepare_cached(
                "SELECT contact FROM contact WHERE state = ?1 AND invited = ?2 AND contact <> ?3
                 ORDER BY asked_at DESC, contact DESC LIMIT -1 OFFSET ?4",
            )?
            .query_map((ContactState::Requested.number(), invited, contact, REQUESTS_MAX.saturating_sub(1)), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        surplus.into_iter().try_for_each(|contact| self.forget_request(contact))?;
        self.event(Event::Request(contact));
        Ok(())
    }

    /// Forgets a request as if it had never come. We never agreed, so nothing of ours is in it.
    fn forget_request(&mut self, contact: i64) -> Result<(), ChatError> {
        let pairs: Vec<PairId> = self
            .conn
            .prepare_cached("SELECT pair FROM pair WHERE contact = ?1")?
            .query_map([contact], |row| Ok(PairId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        pairs.iter().try_for_each(|pair| self.forget_pair(pair))?;
        let messages = "(SELECT id FROM message JOIN conversation USING (conversation) WHERE contact = ?1)";
        self.conn.execute(&format!("DELETE FROM parent WHERE child IN {messages}"), [contact])?;
        self.conn.execute(&format!("DELETE FROM message WHERE id IN {messages}"), [contact])?;
        let missing = "DELETE FROM missing WHERE conversation IN (SELECT conversation FROM conversation WHERE contact = ?1)";
        self.conn.execute(missing, [contact])?;
        self.conn.execute("DELETE FROM conversation WHERE contact = ?1", [contact])?;
        self.conn.execute("DELETE FROM presence WHERE contact = ?1", [contact])?;
        self.conn.execute("DELETE FROM contact WHERE contact = ?1", [contact])?;
        Ok(())
    }

    /// Keeps the pair that we write in, and the newest of the others. Their bells are remembered, or hearing one again would
    /// bring its pair back as the newest.
    fn forget_surplus_pairs(&mut self, contact: i64, now: Now) -> Result<(), ChatError> {
        let Some(used) = self.pair_with(contact)? else { return Ok(()) };
        let surplus: Vec<PairId> = self
            .conn
            .prepare_cached("SELECT pair FROM pair WHERE contact = ?1 AND pair <> ?2 ORDER BY number DESC LIMIT -1 OFFSET ?3")?
            .query_map((contact, used.pair.0, PAIRS_MAX.saturating_sub(1)), |row| Ok(PairId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        for pair in surplus {
            self.forget_pair(&pair)?;
            self.conn.execute("INSERT INTO forgotten_pair(pair, hour) VALUES(?1, ?2)", (pair.0, now.hour().0))?;
        }
        Ok(())
    }

    /// Forgets a pair with all its keys; what was read in it stays.
    fn forget_pair(&mut self, pair: &PairId) -> Result<(), ChatError> {
        let tags: Vec<[u8; TAG_LEN]> = self
            .conn
            .prepare_cached("SELECT tag FROM expected WHERE pair = ?1")?
            .query_map([pair.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        tags.into_iter().try_for_each(|tag| self.unexpect(tag))?;
        self.conn.execute("DELETE FROM epoch WHERE pair = ?1", [pair.0])?;
        self.conn.execute("DELETE FROM pair WHERE pair = ?1", [pair.0])?;
        Ok(self.mls.pairs(self.conn, self.rng).delete(pair)?)
    }
}

/// What a bell was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Sealed to somebody else.
    NotForUs,
    /// For us, and of no use.
    Dropped(&'static str),
    /// The beginning of a pair.
    Pair,
}

/// Of two pairs that both sides founded at once, that of the founder with the lower hash goes on. Fixed by the two keys,
/// so nobody can grind it after having chosen an identity.
fn founder_rank(us: &IdentityKey, peer: &IdentityKey, founder: &IdentityKey) -> [u8; 32] {
    let (low, high) = if us.0 < peer.0 { (us, peer) } else { (peer, us) };
    Sha256::new().chain_update(FOUNDER_DOMAIN).chain_update(low.0).chain_update(high.0).chain_update(founder.0).finalize().into()
}

/// The rank of the other member.
pub(crate) fn other(rank: u8) -> u8 {
    u8::from(rank == 0)
}
