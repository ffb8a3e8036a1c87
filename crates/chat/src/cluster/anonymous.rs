//! What is said in a cluster by somebody of whom it is known only that it is one of many members. Nothing else that its author sends
//! names it: nothing builds on it, nobody acknowledges it, its author stands where it stood, and it is sent once.

use rand_core::Rng;
use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberId, StateId,
    anonymous::{Anonymous, AnonymousIn, CannotWrite, Counted, Pool, Post, SlotsId, Spent},
    aside::Aside,
    limits::{ANONYMOUS_SLOTS, RING_MIN},
    rollout::Timing,
};
use samizdat_core::{EnvelopeId, Hour, Now};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    govern::find_member,
    row::{ClusterRow, Standing, StateRow, ms},
};
use crate::{
    chat::{Chat, Event},
    content::plausible_time,
    error::{ChatError, is_database},
    ingest::Letter,
    limits::{HEARD_AT_ONCE, UNHEARD_MAX, WAITING_HOURS},
    mls::GroupError,
    outbox::STAMPING,
    query::Message,
    timeline::{MessageId, NewRow, State, check_text},
    work::Work,
};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// What waits for keys: its state, the envelope that brought it and the hour of that, and its bytes.
type Waiting = ([u8; 16], [u8; 32], u32, Vec<u8>);

impl Chat {
    /// Writes to a cluster, or to one member of it, so that its members learn that one of them did and not which.
    pub fn write_anonymously(
        &mut self,
        which: &str,
        who: Option<&str>,
        text: &str,
        lifetime: u8,
        now: Now,
    ) -> Result<Message, ChatError> {
        self.dirty = true;
        let id = self.transact(|work| work.write_anonymously(which, who, text, lifetime, now))?;
        self.message(&id)
    }
}

impl Work<'_> {
    /// That a key is used, and the only bytes that it ever signs, last together or not at all.
    fn write_anonymously(
        &mut self,
        which: &str,
        who: Option<&str>,
        text: &str,
        lifetime: u8,
        now: Now,
    ) -> Result<MessageId, ChatError> {
        check_text(text)?;
        let row = self.find_cluster(which)?;
        let (_, tip) = row.place()?;
        let at = self.shared_state(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        let to = who.map(|who| find_member(&at, who)).transpose()?;
        if to == Some(row.member) {
            return Err(ChatError::Usage("that is you: name another member".into()));
        }
        let nonce = self.draw_id();
        // The envelope says as much; by what a clock shows beyond that, its owner could be known.
        let aside = Aside { nonce, at: whole_hour(now.unix_ms), text: text.to_owned(), claim: None }.encode();
        let body = match &to {
            Some(to) => self.seal_for(&row, &at, to, &aside)?,
            None => aside,
        };
        let message = self.sign_anonymously(&row, &at, Post { to, body }, now)?;
        let bytes = message.unverified().encode();
        let new = NewRow {
            id: name(&message.id()),
            conversation: self.cluster_conversation(row.cluster)?,
            lifetime,
            aside: to.map(|to| to.0),
            ..NewRow::ours(text, now)
        };
        self.spend(&row, &message, &bytes)?;
        let id = self.insert(&new, now)?.ok_or(ChatError::Bug("an anonymous message twice"))?;
        let envelope = self.publish_as_nobody(&at, &bytes, lifetime, now)?;
        self.conn
            .prepare_cached("UPDATE message SET state = ?2, envelope = ?3, state_sent = ?4, anonymous = ?5 WHERE id = ?1")?
            .execute((id.0, State::Stamping.number(), envelope.0, tip.0, message.hides_among()))?;
        self.show(&id)?;
        Ok(id)
    }

    /// Signs by one of our keys that are left, whichever, which is used up by that.
    fn sign_anonymously(&mut self, row: &ClusterRow, at: &StateRow, post: Post, now: Now) -> Result<Anonymous, ChatError> {
        let refused = |why: CannotWrite| ChatError::Refused(why.to_string());
        let pool = self.pool(row, at, None)?;
        if pool.hides_among() < RING_MIN {
            return Err(refused(CannotWrite::TooFew));
        }
        if self.slots_are_due(row, &at.state)? {
            return Err(refused(CannotWrite::NotPublished));
        }
        let own = self.own_slots(row, at.epoch)?.ok_or(refused(CannotWrite::NotPublished))?;
        let mut left = own.left();
        while !left.is_empty() {
            let drawn = usize::try_from(self.rng.next_u32()).unwrap_or(0).checked_rem(left.len()).unwrap_or(0);
            let slot = left.swap_remove(drawn);
            let seed = Zeroizing::new(self.secret());
            let message = own.secrets.write(&pool, slot, post.clone(), *seed).map_err(refused)?;
            self.use_slot(row, at.epoch, slot)?;
            // A vault from a backup does not know what it wrote since.
            if self.spent_by(row, at.epoch, &message.image())?.is_none() {
                return Ok(message);
            }
        }
        Err(ChatError::Refused(used_up(at, now)))
    }

    fn seal_for(&mut self, row: &ClusterRow, at: &StateRow, to: &MemberId, aside: &[u8]) -> Result<Vec<u8>, ChatError> {
        let cluster = row.id.ok_or(ChatError::Bug("cluster without id"))?;
        Ok(self.mls.groups(self.conn, self.rng).seal_to(&cluster, &at.state, to, aside)?)
    }

    /// What lies under a tag that is nobody's.
    pub(crate) fn take_anonymous(
        &mut self,
        cluster: i64,
        state: &StateId,
        bytes: &[u8],
        letter: &Letter<'_>,
        now: Now,
    ) -> Result<(), ChatError> {
        let row = self.cluster_row(cluster)?;
        if row.id.is_none() || row.standing == Standing::Left || self.is_known(&row, bytes)? {
            return Ok(());
        }
        let Some(at) = self.shared_state(cluster, state)? else { return Ok(()) };
        let Ok(message) = AnonymousIn::decode(bytes) else { return Ok(()) };
        if message.claimed_epoch() != at.epoch {
            return Ok(());
        }
        // Before anything is computed: rings can be invented.
        if let Some(lacking) = self.lacking(&row, &at, message.claimed_ring())? {
            return self.keep_unheard(&row, &at, bytes, &lacking, letter);
        }
        let pool: Pool = self.pool(&row, &at, Some(message.claimed_ring()))?;
        match message.verify(&pool) {
            Ok(message) => self.count_anonymous(&row, &at, &message, bytes, letter, now),
            Err(_) => Ok(()),
        }
    }

    /// Of several messages by one key one is shown, the same for all whatever came first.
    fn count_anonymous(
        &mut self,
        row: &ClusterRow,
        at: &StateRow,
        message: &Anonymous,
        bytes: &[u8],
        letter: &Letter<'_>,
        now: Now,
    ) -> Result<(), ChatError> {
        let mut spent = Spent::default();
        if let Some(known) = self.spent_by(row, at.epoch, &message.image())? {
            spent.recall(at.epoch, message.image(), known);
        }
        let counted = spent.add(message);
        if matches!(counted, Counted::Known | Counted::Refused) {
            return Ok(());
        }
        self.spend(row, message, bytes)?;
        if let Counted::Instead { of } = counted {
            self.retract(row, &of)?;
        }
        let post = message.post();
        let aside = match &post.to {
            None => Some(post.body.clone()),
            Some(to) if *to == row.member => self.open_for_us(row, at, &post.body)?,
            Some(_) => None,
        };
        let Some(aside) = aside.and_then(|bytes| Aside::decode(&bytes).ok()) else { return Ok(()) };
        let hour = whole_hour(plausible_time(aside.at, letter.hour, WAITING_HOURS));
        let new = NewRow {
            id: name(&message.id()),
            conversation: self.cluster_conversation(row.cluster)?,
            author: "",
            mine: false,
            text: &aside.text,
            // Of the hour that it says, as much as has passed.
            at: hour.saturating_add(HOUR_MS.saturating_sub(1)).min(now.unix_ms.max(hour)),
            lifetime: 0,
            state: State::Received,
            envelope: Some(letter.id),
            vouched: None,
            aside: post.to.map(|to| to.0),
            nonce: None,
        };
        if let Some(id) = self.insert(&new, now)? {
            let ring = "UPDATE message SET anonymous = ?2 WHERE id = ?1";
            self.conn.prepare_cached(ring)?.execute((id.0, message.hides_among()))?;
            self.show(&id)?;
        }
        Ok(())
    }

    fn open_for_us(&mut self, row: &ClusterRow, at: &StateRow, sealed: &[u8]) -> Result<Option<Vec<u8>>, ChatError> {
        let cluster = row.id.ok_or(ChatError::Bug("cluster without id"))?;
        match self.mls.groups(self.conn, self.rng).open_to_us(&cluster, &at.state, sealed) {
            Ok(aside) => Ok(Some(aside)),
            Err(GroupError::State(error)) if is_database(&error) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Takes back what does not count any more, unless another key says the same.
    fn retract(&mut self, row: &ClusterRow, id: &[u8; 32]) -> Result<(), ChatError> {
        let said = "SELECT 1 FROM cluster_spent WHERE cluster = ?1 AND id = ?2";
        if self.conn.prepare_cached(said)?.exists((row.cluster, id))? {
            return Ok(());
        }
        let (conversation, message) = (self.cluster_conversation(row.cluster)?, name(id));
        let gone = self.conn.execute(
            "DELETE FROM message WHERE id = ?1 AND conversation = ?2 AND anonymous > 0 AND mine = 0",
            (message.0, conversation),
        )?;
        // Ours, if we wrote another one before a backup was restored.
        let failed = self.conn.execute(
            "UPDATE message SET state = ?3 WHERE id = ?1 AND conversation = ?2 AND anonymous > 0",
            (message.0, conversation, State::Failed.number()),
        )?;
        if gone.saturating_add(failed) > 0 {
            self.event(Event::Message(message));
        }
        Ok(())
    }

    /// Which message used a key of an epoch.
    fn spent_by(&self, row: &ClusterRow, epoch: u64, image: &[u8; 32]) -> Result<Option<[u8; 32]>, ChatError> {
        let sql = "SELECT id FROM cluster_spent WHERE cluster = ?1 AND epoch = ?2 AND image = ?3";
        Ok(self.conn.prepare_cached(sql)?.query_row((row.cluster, ms(epoch), image), |row| row.get(0)).optional()?)
    }

    fn spend(&self, row: &ClusterRow, message: &Anonymous, bytes: &[u8]) -> Result<(), ChatError> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO cluster_spent(cluster, epoch, image, id, digest) VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute((row.cluster, ms(message.epoch()), message.image(), message.id(), digest(bytes)))?;
        Ok(())
    }

    /// Whether these very bytes count, or wait: the log may bring them again.
    fn is_known(&self, row: &ClusterRow, bytes: &[u8]) -> Result<bool, ChatError> {
        let sql = "SELECT 1 FROM cluster_spent WHERE cluster = ?1 AND digest = ?2
                   UNION ALL SELECT 1 FROM cluster_unheard WHERE cluster = ?1 AND digest = ?2";
        Ok(self.conn.prepare_cached(sql)?.exists((row.cluster, digest(bytes)))?)
    }

    /// The first of a ring whose keys have not come.
    fn lacking(&self, row: &ClusterRow, at: &StateRow, ring: &[SlotsId]) -> Result<Option<SlotsId>, ChatError> {
        let mut known = self.conn.prepare_cached("SELECT 1 FROM cluster_slots WHERE cluster = ?1 AND epoch = ?2 AND id = ?3")?;
        for id in ring {
            if !known.exists((row.cluster, ms(at.epoch), id.0))? {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    /// It hides among members whose keys have not come: it waits for those it lacks first. Beyond [`UNHEARD_MAX`] the oldest go.
    fn keep_unheard(
        &self,
        row: &ClusterRow,
        at: &StateRow,
        bytes: &[u8],
        lacking: &SlotsId,
        letter: &Letter<'_>,
    ) -> Result<(), ChatError> {
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_unheard(cluster, state, epoch, envelope, hour, digest, lacking, bytes)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((row.cluster, at.state.0, ms(at.epoch), letter.id.0, letter.hour.0, digest(bytes), lacking.0, bytes))?;
        self.conn
            .prepare_cached(
                "DELETE FROM cluster_unheard WHERE cluster = ?1 AND number NOT IN
                 (SELECT number FROM cluster_unheard WHERE cluster = ?1 ORDER BY number DESC LIMIT ?2)",
            )?
            .execute((row.cluster, UNHEARD_MAX))?;
        Ok(())
    }

    /// Keys have come: what waits for them is tried again.
    pub(crate) fn heard_slots(&mut self, row: &ClusterRow, epoch: u64, id: &SlotsId) -> Result<(), ChatError> {
        let due = "UPDATE cluster_unheard SET due = 1 WHERE cluster = ?1 AND epoch = ?2 AND lacking = ?3";
        if self.conn.prepare_cached(due)?.execute((row.cluster, ms(epoch), id.0))? > 0 {
            self.touched_cluster(row.cluster);
        }
        Ok(())
    }

    /// Tries again what waits for keys that have come, a few at a time: each costs as much as all of its ring.
    pub(crate) fn hear_again(&mut self, row: &ClusterRow, now: Now) -> Result<(), ChatError> {
        let due: Vec<Waiting> = self
            .conn
            .prepare_cached(
                "DELETE FROM cluster_unheard WHERE number IN
                 (SELECT number FROM cluster_unheard WHERE cluster = ?1 AND due = 1 ORDER BY number LIMIT ?2)
                 RETURNING state, envelope, hour, bytes",
            )?
            .query_map((row.cluster, HEARD_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        if due.len() == HEARD_AT_ONCE {
            self.touched_cluster(row.cluster);
        }
        for (state, envelope, hour, bytes) in due {
            let letter = Letter { id: EnvelopeId(envelope), hour: Hour(hour), body: &[], from: None };
            self.take_anonymous(row.cluster, &StateId(state), &bytes, &letter, now)?;
        }
        Ok(())
    }

    /// What we said without our name in a state that is left is not said again by itself: the moment would tell who comes from there.
    /// Nor does it go out after that, if it has not: its author learns that not all can have it.
    pub(crate) fn left_unsaid(&mut self, row: &ClusterRow, left: &StateId) -> Result<(), ChatError> {
        let failed: Vec<MessageId> = self
            .conn
            .prepare_cached(
                "UPDATE message SET state = ?3 WHERE conversation = ?1 AND mine = 1 AND anonymous > 0 AND state_sent = ?2
                 AND state IN (1, 2, 3) RETURNING id",
            )?
            .query_map((self.cluster_conversation(row.cluster)?, left.0, State::Failed.number()), |row| Ok(MessageId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        for id in failed {
            self.conn
                .prepare_cached("DELETE FROM outbox WHERE state = ?2 AND envelope = (SELECT envelope FROM message WHERE id = ?1)")?
                .execute((id.0, STAMPING))?;
            self.event(Event::Message(id));
        }
        Ok(())
    }

    /// Whether what lies in an envelope of ours hides that it is ours: then it does not go out any more, and has failed.
    pub(crate) fn gives_up_as_nobody(&mut self, envelope: &EnvelopeId) -> Result<bool, ChatError> {
        let failed: Option<MessageId> = self
            .conn
            .prepare_cached("UPDATE message SET state = ?2 WHERE envelope = ?1 AND mine = 1 AND anonymous > 0 RETURNING id")?
            .query_row((envelope.0, State::Failed.number()), |row| Ok(MessageId(row.get(0)?)))
            .optional()?;
        let Some(id) = failed else { return Ok(false) };
        self.conn.execute("DELETE FROM outbox WHERE envelope = ?1", [envelope.0])?;
        self.event(Event::Message(id));
        Ok(true)
    }
}

/// The beginning of the name that all know it by.
fn name(id: &[u8; 32]) -> MessageId {
    MessageId(core::array::from_fn(|i| id.get(i).copied().unwrap_or_default()))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn whole_hour(ms: u64) -> u64 {
    ms.saturating_sub(ms.checked_rem(HOUR_MS).unwrap_or(0))
}

fn used_up(at: &StateRow, now: Now) -> String {
    let due = Timing::new(at.began, &at.context.charter, 0).commit_due();
    let when = match due.saturating_sub(now.unix_ms).div_ceil(HOUR_MS) {
        0 | 1 => "within the hour".to_owned(),
        hours => format!("in about {hours} hours"),
    };
    format!(
        "you have written {ANONYMOUS_SLOTS} anonymous messages since the last rollout of keys, which is all: there are new ones with the next, {when}"
    )
}
