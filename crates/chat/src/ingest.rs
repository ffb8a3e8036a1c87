//! From the log to the timeline. Reading an envelope twice changes nothing, so a crash may repeat a part.

use samizdat_core::{
    Envelope, EnvelopeId, Hour, Kind, Now,
    seal::{OuterSecret, TAG_LEN},
};
use samizdat_store::{Log, log::Stored};

use crate::{
    chat::{Chat, Event, Expected, unless_the_vault_fails},
    cluster::ClusterTag,
    contact::ContactState,
    error::ChatError,
    limits::{LETTERS_TOGETHER, LOOK_AHEAD, LOOK_AHEAD_WINDOWS, TAG_WINDOW},
    mls::PairId,
    pairing::{Heard, other},
    timeline::{Incoming, Read},
    work::Work,
};

/// Rows of the log read at once.
const BATCH: u32 = 256;
/// Envelopes under one tag read at once. There is more than one when somebody copied the tag.
const COPIES: u32 = 16;

/// So many tags are asked for together.
const MANY: usize = 16;

/// An epoch whose tags can be computed.
struct ReadableEpoch {
    pair: PairId,
    epoch: u64,
    secret: OuterSecret,
    our_rank: u8,
    expected_to: u64,
}

/// A sealed envelope, from the log or handed over.
pub(crate) struct Letter<'a> {
    pub(crate) id: EnvelopeId,
    pub(crate) hour: Hour,
    pub(crate) body: &'a [u8],
    /// The contact who handed it over; nobody knows who brought what is in the log.
    pub(crate) from: Option<i64>,
}

impl<'a> From<&'a Envelope> for Letter<'a> {
    fn from(envelope: &'a Envelope) -> Self {
        Self { id: envelope.id(), hour: envelope.fields().hour, body: envelope.body(), from: None }
    }
}

impl Chat {
    /// Reads what the log holds beyond what was read before.
    pub fn catch_up(&mut self, log: &Log, now: Now) -> Result<(), ChatError> {
        loop {
            let stored = log.after(self.cursor, BATCH)?;
            if stored.is_empty() {
                self.look(log, now)?;
                return self.save_cursor();
            }
            let envelopes: Vec<Envelope> = stored.iter().filter_map(Stored::envelope).collect();
            // Where the vault fails all of it is read again: reading an envelope twice changes nothing.
            self.ingest_all(envelopes.iter(), log, now)?;
            self.cursor = stored.last().map_or(self.cursor, |stored| stored.row);
        }
    }

    /// Tells that everything in the log up to `row` has been given to [`Chat::ingest`].
    pub fn read_up_to(&mut self, row: i64) {
        self.cursor = self.cursor.max(row);
    }

    /// Looks at envelopes that are in the log, in their order. Several that are for our clusters share a transaction: a Commit of a
    /// large one comes in many parts. What one envelope does to us concerns it alone: only a failing vault ends it.
    pub fn ingest_all<'e>(&mut self, envelopes: impl Iterator<Item = &'e Envelope>, log: &Log, now: Now) -> Result<(), ChatError> {
        let mut envelopes = envelopes.peekable();
        while let Some(first) = envelopes.next() {
            let Some(letter) = self.for_a_cluster(first) else {
                self.ingest(first, log, now).or_else(unless_the_vault_fails)?;
                continue;
            };
            let mut together = vec![letter];
            while together.len() < LETTERS_TOGETHER
                && let Some(next) = envelopes.peek().copied()
            {
                match self.for_a_cluster(next) {
                    // Whether a copy is still expected, the one before it tells.
                    Some((_, tag, _)) if together.iter().any(|(_, before, _)| *before == tag) => break,
                    Some(letter) => together.push(letter),
                    None if self.is_for_others(next) => {}
                    None => break,
                }
                envelopes.next();
            }
            self.receive_together(&together, now)?;
            self.look(log, now).or_else(unless_the_vault_fails)?;
        }
        Ok(())
    }

    /// All in one transaction, with what follows from the changes among them. If anything of it fails, each in its own, and what
    /// follows is seen later.
    fn receive_together(&mut self, letters: &[(Letter<'_>, [u8; TAG_LEN], ClusterTag)], now: Now) -> Result<(), ChatError> {
        self.dirty = true;
        let together = self.transact(|work| {
            letters.iter().try_for_each(|(letter, tag, expected)| work.open_in_cluster(letter, *tag, expected, now))?;
            work.follow_what_came(now)
        });
        match together {
            Err(error) if !error.is_vault_failing() => letters.iter().try_for_each(|(letter, tag, expected)| {
                self.receive_in_cluster(letter, *tag, expected, now).or_else(unless_the_vault_fails)
            }),
            together => together,
        }
    }

    /// What lies under an expected tag of a cluster.
    fn for_a_cluster<'e>(&self, envelope: &'e Envelope) -> Option<(Letter<'e>, [u8; TAG_LEN], ClusterTag)> {
        let Kind::Sealed { tag, .. } = &envelope.fields().kind else { return None };
        let expected = self.cluster_tags.get(tag).filter(|_| !self.expected.contains_key(tag))?;
        Some((envelope.into(), *tag, *expected))
    }

    /// Under a tag that nobody expects. If one does once what came before is read, the log is looked at for it then.
    fn is_for_others(&self, envelope: &Envelope) -> bool {
        let Kind::Sealed { tag, .. } = &envelope.fields().kind else { return false };
        !self.expected.contains_key(tag) && !self.cluster_tags.contains_key(tag)
    }

    /// Looks at one envelope of the log. Most concern others and cost one lookup.
    pub fn ingest(&mut self, envelope: &Envelope, log: &Log, now: Now) -> Result<(), ChatError> {
        match &envelope.fields().kind {
            Kind::Announcement(signed) => {
                let name = signed.author.name().compact();
                let waiting = self.vault.conn().prepare_cached("SELECT 1 FROM contact WHERE name = ?1")?.exists([name])?;
                self.dirty |= waiting;
                return Ok(());
            }
            Kind::Post(..) => return self.transact(|work| work.read_post(envelope, now)),
            Kind::Bell { .. } => {
                self.hear(envelope, now)?;
            }
            Kind::Sealed { tag, .. } => {
                if let Some(expected) = self.expected.get(tag).copied() {
                    self.receive(&envelope.into(), *tag, &expected, now)?;
                } else if let Some(expected) = self.cluster_tags.get(tag).copied() {
                    self.receive_in_cluster(&envelope.into(), *tag, &expected, now)?;
                } else {
                    return Ok(());
                }
            }
        }
        self.dirty = true;
        self.look(log, now)
    }

    /// Looks in the log for what came before its tag was expected. A tag stays in `fresh` until that is done, so that a failing
    /// disk loses nothing.
    pub(crate) fn look(&mut self, log: &Log, now: Now) -> Result<(), ChatError> {
        while let Some(tag) = self.fresh.front().copied() {
            self.look_under(tag, log, now)?;
            self.fresh.pop_front();
        }
        // Of a state that was just entered there are thousands, and under most lies nothing.
        if self.cluster_fresh.len() > MANY {
            let there = log.tags_there(self.cluster_fresh.iter())?;
            self.cluster_fresh.retain(|tag| there.contains(tag));
        }
        while let Some(tag) = self.cluster_fresh.front().copied() {
            self.look_under_in_cluster(tag, log, now)?;
            self.cluster_fresh.pop_front();
        }
        Ok(())
    }

    /// Reads all that lies under a tag of a cluster: several can ask by one door, and answer one request.
    fn look_under_in_cluster(&mut self, tag: [u8; 16], log: &Log, now: Now) -> Result<(), ChatError> {
        let mut after = 0;
        loop {
            let copies = log.by_tag(&tag, after, COPIES)?;
            let Some(last) = copies.last() else { return Ok(()) };
            after = last.row;
            for envelope in copies.iter().filter_map(Stored::envelope) {
                let Some(expected) = self.cluster_tags.get(&tag).copied() else { return Ok(()) };
                self.dirty = true;
                self.receive_in_cluster(&Letter::from(&envelope), tag, &expected, now).or_else(unless_the_vault_fails)?;
            }
        }
    }

    /// Something under an expected tag of a cluster. What cannot be opened was put there by somebody who copied the tag.
    fn receive_in_cluster(&mut self, letter: &Letter<'_>, tag: [u8; 16], expected: &ClusterTag, now: Now) -> Result<(), ChatError> {
        self.transact(|work| work.open_in_cluster(letter, tag, expected, now))
    }

    /// Reads the one among the envelopes under a tag that is right. All are tried: a copy costs us microseconds, and whoever
    /// made it a stamp.
    fn look_under(&mut self, tag: [u8; 16], log: &Log, now: Now) -> Result<(), ChatError> {
        let mut after = 0;
        loop {
            let copies = log.by_tag(&tag, after, COPIES)?;
            let Some(last) = copies.last() else { return Ok(()) };
            after = last.row;
            for envelope in copies.iter().filter_map(Stored::envelope) {
                let Some(expected) = self.expected.get(&tag).copied() else { return Ok(()) };
                self.dirty = true;
                if self.receive(&Letter::from(&envelope), tag, &expected, now).or_else(unless_the_vault_fails)? {
                    return Ok(());
                }
            }
        }
    }

    /// Searches the log for messages so far ahead that their tags are not expected: what lay between may have expired while we
    /// were away, or was taken back. A part of them each time, the nearest first; whether something was found.
    pub(crate) fn look_ahead(&mut self, log: &Log) -> Result<bool, ChatError> {
        let epochs = self.readable_epochs()?;
        let steps = (0..LOOK_AHEAD / TAG_WINDOW).map(|step| step.saturating_mul(TAG_WINDOW));
        let windows = steps.flat_map(|ahead| epochs.iter().map(move |epoch| (epoch, ahead)));
        let mut looked = 0usize;
        for (epoch, ahead) in windows.skip(self.looked_ahead).take(LOOK_AHEAD_WINDOWS) {
            let mut found = Vec::new();
            let from = epoch.expected_to.saturating_add(ahead);
            for counter in from..from.saturating_add(TAG_WINDOW) {
                let tag = epoch.secret.tag(other(epoch.our_rank), counter);
                if !self.expected.contains_key(&tag) && !log.by_tag(&tag, 0, 1)?.is_empty() {
                    found.push((tag, Expected { pair: epoch.pair, epoch: epoch.epoch, counter }));
                }
            }
            if !found.is_empty() {
                // Read before the search goes on: keys that later messages skip last only so long.
                self.transact(|work| found.into_iter().try_for_each(|(tag, expected)| work.expect(tag, expected)))?;
                self.looked_ahead = 0;
                return Ok(true);
            }
            looked = looked.saturating_add(1);
        }
        self.looked_ahead = if looked < LOOK_AHEAD_WINDOWS { 0 } else { self.looked_ahead.saturating_add(looked) };
        Ok(false)
    }

    /// The epochs in which somebody whom we read may still write.
    fn readable_epochs(&self) -> Result<Vec<ReadableEpoch>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(
            "SELECT pair, epoch, epoch.secret, our_rank, expected_to FROM epoch JOIN pair USING (pair) JOIN contact USING (contact)
             WHERE state <> ?1 ORDER BY pair, epoch",
        )?;
        let rows = statement.query_map([ContactState::Blocked.number()], |row| {
            Ok(ReadableEpoch {
                pair: PairId(row.get(0)?),
                epoch: row.get(1)?,
                secret: OuterSecret::new(row.get(2)?),
                our_rank: row.get(3)?,
                expected_to: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
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
    pub(crate) fn receive(&mut self, letter: &Letter<'_>, tag: [u8; 16], expected: &Expected, now: Now) -> Result<bool, ChatError> {
        self.transact_if(|work| {
            let opened = work.open_expected(letter, tag, expected, now)?;
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
    /// Whether the letter under an expected tag was what was expected. Somebody may have copied the tag: then not, and
    /// the right one may still come.
    fn open_expected(&mut self, letter: &Letter<'_>, tag: [u8; 16], expected: &Expected, now: Now) -> Result<bool, ChatError> {
        let Some((contact, our_rank)) = self.pair_contact(&expected.pair)? else { return Ok(false) };
        if contact.state == ContactState::Blocked || letter.from.is_some_and(|from| from != contact.contact) {
            return Ok(false);
        }
        let Some(inner) = self.open_outer(expected, our_rank, letter.body)? else { return Ok(false) };
        let conversation = self.conversation_with(contact.contact)?;
        let from = Incoming { pair: expected.pair, conversation, from: contact.name, envelope: letter.id, hour: letter.hour };
        let read = self.read_inner(&from, &inner, now)?;
        if letter.from.is_some() {
            self.went_direct(&letter.id)?;
        }
        self.heard_in(expected)?;
        self.expect_more(&expected.pair, expected.epoch, our_rank, expected.counter.saturating_add(1))?;
        // Only now: a tag that was found far ahead is among the new ones.
        self.unexpect(tag)?;
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

#[cfg(test)]
mod tests {
    use samizdat_core::Unstamped;

    use super::*;
    use crate::{
        Filter,
        limits::STATES_HELD,
        shelf::Shelf,
        tests::{mint, stamp, two_in},
    };

    /// Bob writes to a cluster; the envelope.
    fn says(bob: &mut Chat, cluster: &str, text: &str, log: &Log, now: Now) -> Envelope {
        bob.write_in_cluster(cluster, text, 0, now).unwrap();
        bob.work(log, now).unwrap();
        let [said] = stamp(bob).try_into().unwrap();
        said
    }

    fn texts(who: &Chat) -> Vec<String> {
        let mut messages = who.messages(&Filter { limit: Some(100), ..Filter::default() }).unwrap();
        messages.retain(|message| message.text.contains("hello"));
        messages.into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn an_envelope_that_cannot_be_read_keeps_back_none_that_came_with_it() {
        let (mut alice, mut bob, log, now) = two_in(&["nest", "den"]);
        let said = [("nest", "hello"), ("den", "hello, den"), ("nest", "hello again")];
        let said = said.map(|(cluster, text)| says(&mut bob, cluster, text, &log, now));
        let damage = "UPDATE cluster_state SET members = x'00' WHERE cluster = (SELECT cluster FROM cluster WHERE name = 'den')";
        assert!(alice.vault.conn().execute(damage, []).unwrap() > 0);
        alice.states = Shelf::new(STATES_HELD);
        alice.ingest_all(said.iter(), &log, now).unwrap();
        assert_eq!(texts(&alice), ["hello", "hello again"]);
        alice.ingest_all(said.iter(), &log, now).unwrap();
        assert_eq!(texts(&alice), ["hello", "hello again"]);
    }

    #[test]
    fn junk_under_a_copied_tag_keeps_nobody_from_being_read_who_comes_with_it() {
        let (mut alice, mut bob, log, now) = two_in(&["nest", "den"]);
        let said = [("nest", "hello"), ("den", "hello, den")].map(|(cluster, text)| says(&mut bob, cluster, text, &log, now));
        let junk = |envelope: &Envelope, tag: Option<[u8; TAG_LEN]>| {
            let Kind::Sealed { tag: copied, .. } = envelope.fields().kind else { panic!("sealed") };
            let body = vec![7; envelope.body().len()];
            let junk = Unstamped::seal(Some(tag.unwrap_or(copied)), now.hour(), 0, body).unwrap();
            let nonce = mint(&junk);
            junk.stamp(nonce).unwrap()
        };
        let [hello, den] = &said;
        let (before, others, after) = (junk(hello, None), junk(hello, Some([9; TAG_LEN])), junk(den, None));
        alice.ingest_all([&before, &others, hello, den, &after, hello].into_iter(), &log, now).unwrap();
        assert_eq!(texts(&alice), ["hello", "hello, den"]);
    }

    /// Alice ends a state of each cluster, a day later.
    fn changes(alice: &mut Chat, log: &Log, now: &mut Now) -> Vec<Envelope> {
        now.unix_ms = now.unix_ms.saturating_add(25 * 60 * 60 * 1000);
        alice.work(log, *now).unwrap();
        stamp(alice)
    }

    /// States that are kept, and changes that wait.
    fn states(who: &Chat) -> (u32, u32) {
        let sql =
            "SELECT (SELECT count(*) FROM cluster_state), (SELECT count(*) FROM cluster_pending WHERE kind = 2 AND settled = 0)";
        who.vault.conn().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    #[test]
    fn a_change_is_followed_in_the_transaction_that_brought_it() {
        let (mut alice, mut bob, log, mut now) = two_in(&["nest", "den"]);
        let (before, _) = states(&bob);
        bob.ingest_all(changes(&mut alice, &log, &mut now).iter(), &log, now).unwrap();
        assert_eq!(states(&bob), (before.saturating_add(2), 0));
        bob.work(&log, now).unwrap();
        for name in ["nest", "den"] {
            let [ours, theirs] = [&mut bob, &mut alice].map(|who| who.cluster(name).unwrap().epoch);
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_change_that_cannot_be_followed_when_it_comes_is_followed_later() {
        let (mut alice, mut bob, log, mut now) = two_in(&["nest", "den"]);
        let (before, _) = states(&bob);
        let fail = "CREATE TEMP TRIGGER fails BEFORE INSERT ON cluster_state BEGIN SELECT RAISE(ABORT, 'not now'); END";
        bob.vault.conn().execute_batch(fail).unwrap();
        bob.ingest_all(changes(&mut alice, &log, &mut now).iter(), &log, now).unwrap();
        assert_eq!(states(&bob), (before, 2), "nothing is lost");
        bob.vault.conn().execute_batch("DROP TRIGGER fails").unwrap();
        bob.work(&log, now).unwrap();
        assert_eq!(states(&bob), (before.saturating_add(2), 0));
    }
}
