//! Which members have a text. Where the charter lets them, members say what has come to them: by what they write, which names what it
//! builds on, or else by an acknowledgement, so seldom that a large cluster is not full of them.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::Rng;
use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberId,
    bundle::Bundle,
    content::{Body, Mark, Nonce, mark},
    limits::MARKS,
};
use samizdat_core::Now;

use super::row::{ClusterRow, StateRow, ms};
use crate::{
    chat::{Chat, Event},
    content::ID_LEN,
    error::ChatError,
    frontier::Frontier,
    limits::{
        ACK_LIFETIME, ACK_PAUSE_MIN_MS, ACK_PAUSE_MS, ACK_SPREAD_MS, AHEAD_MAX, CLUSTER_ANCESTORS_MAX, DELIVERIES_KEPT,
        HEADS_AMONG, MISSED_PATIENCE_MS, MISSED_TIMES, MISSING_MAX, PARENTS_MAX, SAY_AGAIN_MS, UNMARKED_MAX,
    },
    timeline::{MessageId, State},
    work::Work,
};

/// A member who has a text of ours, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who.
    pub member: String,
    /// How they call themselves.
    pub nick: String,
    /// When we learned of it, ms since 1970.
    pub at: u64,
    /// When they said that they have read it, if they did.
    pub read: Option<u64>,
}

/// How far an id was found while looking for what a member has.
struct Found {
    message: i64,
    mine: bool,
    position: Option<i64>,
    author: String,
}

impl Chat {
    /// Which members have a text of ours, in the order in which they said so.
    pub fn receipts(&mut self, id: &MessageId) -> Result<Vec<Receipt>, ChatError> {
        self.transact(|work| work.receipts(id))
    }

    /// Whether the members of a cluster are told what we read from now on, where its charter lets members tell what has come.
    pub fn tell_read_in_cluster(&mut self, which: &str, receipts: bool) -> Result<i64, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            // What was read before is not told.
            let sql = "UPDATE cluster SET receipts = ?2, receipt_due = 0 WHERE cluster = ?1";
            work.conn.execute(sql, (row.cluster, receipts))?;
            work.event(Event::Cluster(row.cluster));
            Ok(row.cluster)
        })
    }
}

impl Work<'_> {
    fn receipts(&self, id: &MessageId) -> Result<Vec<Receipt>, ChatError> {
        let found: Option<(i64, Option<i64>, bool)> = self
            .conn
            .prepare_cached(
                "SELECT m.message, v.cluster, m.mine = 1 AND m.anonymous = 0 FROM message m JOIN conversation v USING (conversation) WHERE m.id = ?1",
            )?
            .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (message, cluster) = match found {
            Some((message, Some(cluster), true)) => (message, cluster),
            Some(_) => {
                return Err(ChatError::Refused(
                    "only of your own messages in a cluster, under your name, it is known who has them".into(),
                ));
            }
            None => return Err(ChatError::NotFound("there is no message with this id".into())),
        };
        let row = self.cluster_row(cluster)?;
        let mut statement =
            self.conn.prepare_cached("SELECT member, got, read FROM delivery WHERE message = ?1 ORDER BY got, member")?;
        let rows = statement.query_map([message], |row| Ok((MemberId(row.get(0)?), row.get(1)?, row.get(2)?)))?;
        let rows: Vec<(MemberId, u64, u64)> = rows.collect::<Result<_, _>>()?;
        let receipt = |(member, at, read): (MemberId, u64, u64)| {
            let read = Some(read).filter(|read| *read > 0);
            Ok(Receipt { member: member.to_string(), nick: self.nick(&row, &member)?, at, read })
        };
        rows.into_iter().map(receipt).collect()
    }

    /// A text of ours goes to members of a state: from now on it counts who has it, also from when it was said before.
    pub(crate) fn addressed(&mut self, id: &MessageId, to: &BTreeSet<MemberId>, state: &StateRow) -> Result<(), ChatError> {
        if !state.context.charter.delivery {
            return Ok(());
        }
        let has = "SELECT member FROM delivery WHERE message = (SELECT message FROM message WHERE id = ?1)";
        let has =
            self.conn.prepare_cached(has)?.query_map([id.0], |row| Ok(MemberId(row.get(0)?)))?.collect::<Result<Vec<_>, _>>()?;
        let gone = "DELETE FROM delivery WHERE message = (SELECT message FROM message WHERE id = ?1) AND member = ?2";
        let mut gone = self.conn.prepare_cached(gone)?;
        for member in has.iter().filter(|member| !to.contains(member)) {
            gone.execute((id.0, member.0))?;
        }
        let delivered = has.iter().filter(|member| to.contains(member)).count();
        self.conn.prepare_cached("UPDATE message SET delivered = ?4, addressed = ?2, epoch_sent = ?3 WHERE id = ?1")?.execute((
            id.0,
            to.len(),
            ms(state.epoch),
            delivered,
        ))?;
        if delivered > 0 {
            self.advance(id, State::Received)?;
        }
        // One more is counted, so one less is.
        let last: Option<i64> = self
            .conn
            .prepare_cached("SELECT message FROM message WHERE addressed > 0 ORDER BY message DESC LIMIT 1 OFFSET ?1")?
            .query_row([DELIVERIES_KEPT], |row| row.get(0))
            .optional()?;
        if let Some(last) = last {
            self.conn.prepare_cached("DELETE FROM delivery WHERE message <= ?1")?.execute([last])?;
            let uncount = "UPDATE message SET delivered = 0, addressed = 0 WHERE message <= ?1 AND addressed > 0";
            self.conn.prepare_cached(uncount)?.execute([last])?;
        }
        Ok(())
    }

    /// A text has come that its author wants to know of.
    pub(crate) fn note_arrival(&mut self, row: &ClusterRow, now: Now) -> Result<(), ChatError> {
        let Some(tip) = row.tip else { return Ok(()) };
        let Some(state) = self.shared_state(row.cluster, &tip)?.filter(|state| state.context.charter.delivery) else {
            return Ok(());
        };
        let (due, acked): (u64, u64) = self
            .conn
            .prepare_cached("SELECT ack_due, acked FROM cluster WHERE cluster = ?1")?
            .query_row([row.cluster], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if due > 0 {
            return Ok(());
        }
        let members = u64::try_from(state.members.len()).unwrap_or(u64::MAX);
        let pause = members.saturating_mul(ACK_PAUSE_MS).max(ACK_PAUSE_MIN_MS);
        let drawn = self.rng.next_u64().checked_rem(members.saturating_mul(ACK_SPREAD_MS)).unwrap_or(0);
        // A clock that was ahead must not keep us silent.
        let again = acked.min(now.unix_ms).saturating_add(pause);
        let again = if acked == 0 { 0 } else { again };
        let due = now.unix_ms.saturating_add(drawn).max(again);
        self.conn.prepare_cached("UPDATE cluster SET ack_due = ?2 WHERE cluster = ?1")?.execute((row.cluster, ms(due)))?;
        self.touched_cluster(row.cluster);
        Ok(())
    }

    /// Says what has come, if it is time to and nothing that we wrote has said it; when it is time.
    pub(crate) fn acknowledge_in_cluster(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<u64, ChatError> {
        let reads: bool = self
            .conn
            .prepare_cached("SELECT receipt_due = 1 AND ack_due = 0 FROM cluster WHERE cluster = ?1")?
            .query_row([row.cluster], |row| row.get(0))?;
        if reads {
            self.note_arrival(row, now)?;
        }
        let due: u64 = self
            .conn
            .prepare_cached("SELECT ack_due FROM cluster WHERE cluster = ?1")?
            .query_row([row.cluster], |row| row.get(0))?;
        if due == 0 || due > now.unix_ms {
            return Ok(if due == 0 { u64::MAX } else { due });
        }
        let (cover, reads): (bool, bool) =
            self.conn.query_row("SELECT cover, receipt_due FROM cluster WHERE cluster = ?1", [row.cluster], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        self.conn.execute("UPDATE cluster SET ack_due = 0, cover = 0, receipt_due = 0 WHERE cluster = ?1", [row.cluster])?;
        if !state.context.charter.delivery {
            return Ok(u64::MAX);
        }
        let conversation = self.cluster_conversation(row.cluster)?;
        let missing = self.tell_missing(conversation, now)?;
        let heads = self.unacknowledged(row, State::Received)?;
        let came = self.with_late(conversation, heads)?;
        let read = if reads { self.unacknowledged(row, State::Read)? } else { Vec::new() };
        // Who is told that all was read knows that it came.
        let mut said = Vec::new();
        if (cover || !came.is_empty()) && (came != read || read.is_empty()) {
            said.push((came, false));
        }
        if !read.is_empty() {
            said.push((read, true));
        }
        for (heads, read) in said {
            self.conn.execute("UPDATE cluster SET acked = ?2 WHERE cluster = ?1", (row.cluster, ms(now.unix_ms)))?;
            let marks = self.marks(row)?;
            let body = Body::Ack { heads, missing: missing.clone(), read, marks };
            self.send_message(row, &state.state, body, &[ACK_LIFETIME], now)?;
        }
        Ok(u64::MAX)
    }

    /// A person reads up to a place: if it is in a cluster whose members are to know, they are told in time, but nothing of what is
    /// for us alone.
    pub(crate) fn read_in_cluster(&mut self, conversation: i64, last: i64) -> Result<(), ChatError> {
        let cluster: Option<i64> = self
            .conn
            .prepare_cached(
                "UPDATE cluster SET receipt_due = 1 WHERE receipts = 1 AND cluster =
                 (SELECT cluster FROM conversation WHERE conversation = ?1)
                 AND EXISTS (SELECT 1 FROM message WHERE conversation = ?1 AND mine = 0 AND state = ?3 AND position <= ?2
                             AND aside IS NULL AND anonymous = 0)
                 RETURNING cluster",
            )?
            .query_row((conversation, last, State::Received.number()), |row| row.get(0))
            .optional()?;
        cluster.into_iter().for_each(|cluster| self.touched_cluster(cluster));
        Ok(())
    }

    /// Something is shown at last without what it builds on: that, too, has come.
    pub(crate) fn note_shown(&mut self, id: &MessageId, now: Now) -> Result<(), ChatError> {
        let cluster: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT v.cluster FROM message m JOIN conversation v USING (conversation)
                 WHERE m.id = ?1 AND m.position IS NOT NULL AND v.cluster IS NOT NULL",
            )?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        let row = cluster.map(|cluster| self.cluster_row(cluster)).transpose()?;
        row.map_or(Ok(()), |row| self.note_arrival(&row, now))
    }

    /// Somebody said something to one member, whichever. All say then what has come to them, or who it was for could be seen to.
    pub(crate) fn note_aside(&mut self, row: &ClusterRow, now: Now) -> Result<(), ChatError> {
        self.conn.execute("UPDATE cluster SET cover = 1 WHERE cluster = ?1", [row.cluster])?;
        self.note_arrival(row, now)
    }

    /// Marks of what came for us alone: first of what was marked least often.
    fn marks(&mut self, row: &ClusterRow) -> Result<[Mark; MARKS], ChatError> {
        let mut marks = [(); MARKS].map(|()| self.draw_id());
        let came: Vec<(i64, Nonce)> = self
            .conn
            .prepare_cached(
                "SELECT message, nonce FROM message WHERE conversation = ?1 AND unmarked > 0 AND nonce IS NOT NULL
                 ORDER BY unmarked DESC, message LIMIT ?2",
            )?
            .query_map((self.cluster_conversation(row.cluster)?, MARKS), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (place, (message, nonce)) in marks.iter_mut().zip(came) {
            *place = mark(&nonce, &row.member);
            self.conn.execute("UPDATE message SET unmarked = unmarked - 1 WHERE message = ?1", [message])?;
        }
        Ok(marks)
    }

    /// Whether a member marked what we said to it alone.
    pub(crate) fn take_marks(&mut self, row: &ClusterRow, from: &MemberId, marks: &[Mark], now: Now) -> Result<(), ChatError> {
        let said: Vec<(MessageId, i64, Nonce)> = self
            .conn
            .prepare_cached(
                "SELECT id, message, nonce FROM message WHERE conversation = ?1 AND delivered < addressed AND aside = ?2 AND mine = 1
                 AND nonce IS NOT NULL AND state NOT IN (0, 6, 7) ORDER BY message DESC LIMIT ?3",
            )?
            .query_map((self.cluster_conversation(row.cluster)?, from.0, UNMARKED_MAX), |row| {
                Ok((MessageId(row.get(0)?), row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let marked = said.into_iter().filter(|(_, _, nonce)| marks.contains(&mark(nonce, from)));
        marked.collect::<Vec<_>>().into_iter().try_for_each(|(id, message, _)| self.deliver(&id, message, from, now))
    }

    /// The newest texts of others that have come, or were read, on which nothing builds that can be seen; nothing that was read, too.
    fn unacknowledged(&self, row: &ClusterRow, least: State) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        let mut statement = self.conn.prepare_cached(
            "SELECT name FROM (SELECT coalesce(name, id) name FROM message WHERE conversation = ?1 AND position IS NOT NULL AND mine = 0
                               AND vouched IS NULL AND aside IS NULL AND anonymous = 0 AND state >= ?4 ORDER BY position DESC LIMIT ?3) m
             WHERE NOT EXISTS (SELECT 1 FROM parent p JOIN message c ON c.id = p.child
                               WHERE p.parent = m.name AND c.conversation = ?1 AND c.position IS NOT NULL
                               AND (c.mine = 0 AND c.state >= ?4 OR c.mine = 1 AND ?4 = ?5))
             LIMIT ?2",
        )?;
        let bounds = (conversation, PARENTS_MAX, HEADS_AMONG, least.number(), State::Received.number());
        let rows = statement.query_map(bounds, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A member says how far it has come, or has read.
    pub(crate) fn reached(
        &mut self,
        row: &ClusterRow,
        member: &MemberId,
        told: &Frontier,
        read: bool,
        now: Now,
    ) -> Result<(), ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        self.acknowledged(conversation, told, if read { State::Read } else { State::Received })?;
        self.has_up_to(row, member, told, read, now)?;
        self.misses(row, member, &told.missing, now)
    }

    /// A member has all up to a frontier, or has read it. What it wrote itself said that it has it when it came.
    fn has_up_to(&mut self, row: &ClusterRow, member: &MemberId, told: &Frontier, read: bool, now: Now) -> Result<(), ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        let open = self.open_to(row, conversation, member, read)?;
        // What builds on something is shown after it, so nothing of interest lies before the first of these.
        let Some(first) = open.values().min().copied() else { return Ok(()) };
        let author = member.to_string();
        let (mut seen, mut next) = told.walk();
        while let (Some(id), true) = (next.pop_front(), seen.len() < CLUSTER_ANCESTORS_MAX) {
            let Some(found) = self.find_in(conversation, &id)? else {
                self.is_ahead(conversation, member, &id, &told.missing)?;
                continue;
            };
            let ends = if found.mine {
                !open.contains_key(&found.message)
            } else {
                (!read && found.author == author) || found.position.is_some_and(|position| position < first)
            };
            if ends {
                continue;
            }
            if found.mine {
                self.deliver(&id, found.message, member, now)?;
                if read {
                    self.read_by(&id, found.message, member, now)?;
                }
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

    /// Texts of ours that went to a member and that it is not known to have, or to have read, with their places.
    fn open_to(&self, row: &ClusterRow, conversation: i64, member: &MemberId, read: bool) -> Result<BTreeMap<i64, i64>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT m.message, m.position FROM message m
             WHERE m.conversation = ?1 AND m.addressed > 0 AND (?4 = 1 OR m.delivered < m.addressed) AND m.position IS NOT NULL AND m.state NOT IN (0, 6, 7)
             AND m.aside IS NULL
             AND m.epoch_sent >= coalesce((SELECT since FROM cluster_member WHERE cluster = ?2 AND member = ?3), 0)
             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.message AND d.member = ?3
                             AND (?4 = 0 OR d.read > 0))",
        )?;
        let rows = statement.query_map((conversation, row.cluster, member.0, read), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn find_in(&self, conversation: i64, id: &MessageId) -> Result<Option<Found>, ChatError> {
        let sql = "SELECT message, mine, position, author FROM message WHERE id = ?1 AND conversation = ?2 AND aside IS NULL AND anonymous = 0";
        let found = self.conn.prepare_cached(sql)?.query_row((id.0, conversation), |row| {
            Ok(Found { message: row.get(0)?, mine: row.get(1)?, position: row.get(2)?, author: row.get(3)? })
        });
        Ok(found.optional()?)
    }

    fn deliver(&mut self, id: &MessageId, message: i64, member: &MemberId, now: Now) -> Result<(), ChatError> {
        let insert = "INSERT OR IGNORE INTO delivery(message, member, got) VALUES(?1, ?2, ?3)";
        if self.conn.prepare_cached(insert)?.execute((message, member.0, ms(now.unix_ms)))? == 0 {
            return Ok(());
        }
        self.conn.prepare_cached("UPDATE message SET delivered = delivered + 1 WHERE message = ?1")?.execute([message])?;
        self.advance(id, State::Received)?;
        self.event(Event::Message(*id));
        Ok(())
    }

    fn read_by(&mut self, id: &MessageId, message: i64, member: &MemberId, now: Now) -> Result<(), ChatError> {
        let sql = "UPDATE delivery SET read = ?3 WHERE message = ?1 AND member = ?2 AND read = 0";
        if self.conn.prepare_cached(sql)?.execute((message, member.0, ms(now.unix_ms)))? > 0 {
            self.advance(id, State::Read)?;
            self.event(Event::Message(*id));
        }
        Ok(())
    }

    /// A member has what has not come to us: what that builds on, we learn when it comes.
    fn is_ahead(&self, conversation: i64, member: &MemberId, text: &MessageId, missing: &[MessageId]) -> Result<(), ChatError> {
        let missing: Vec<u8> = missing.iter().flat_map(|id| id.0).collect();
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO cluster_ahead(conversation, member, text, missing) VALUES(?1, ?2, ?3, ?4)")?
            .execute((conversation, member.0, text.0, missing))?;
        self.conn
            .prepare_cached(
                "DELETE FROM cluster_ahead WHERE conversation = ?1 AND member = ?2 AND number NOT IN
                 (SELECT number FROM cluster_ahead WHERE conversation = ?1 AND member = ?2 ORDER BY number DESC LIMIT ?3)",
            )?
            .execute((conversation, member.0, AHEAD_MAX))?;
        Ok(())
    }

    /// A member lacks texts on which others build. If they are ours it is to have them, unless it says in time that they have come.
    fn misses(&mut self, row: &ClusterRow, member: &MemberId, missing: &[MessageId], now: Now) -> Result<(), ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        let waiting = "SELECT count(*) FROM cluster_missed WHERE cluster = ?1 AND member = ?2";
        let waiting: usize = self.conn.prepare_cached(waiting)?.query_row((row.cluster, member.0), |row| row.get(0))?;
        for id in missing.iter().take(MISSING_MAX.saturating_sub(waiting)) {
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO cluster_missed(cluster, message, member, due)
                     SELECT ?1, m.message, ?3, ?5 FROM message m WHERE m.id = ?2 AND m.conversation = ?4 AND m.mine = 1
                     AND m.nonce IS NOT NULL AND m.vouched IS NULL AND m.aside IS NULL AND m.anonymous = 0 AND m.state IN (3, 4, 5)
                     AND m.delivered < m.addressed AND m.at > ?6 AND m.missed < ?7
                     AND m.epoch_sent >= coalesce((SELECT since FROM cluster_member WHERE cluster = ?1 AND member = ?3), 0)
                     AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.message AND d.member = ?3)",
                )?
                .execute((
                    row.cluster,
                    id.0,
                    member.0,
                    conversation,
                    ms(now.unix_ms.saturating_add(MISSED_PATIENCE_MS)),
                    ms(now.unix_ms.saturating_sub(SAY_AGAIN_MS)),
                    MISSED_TIMES,
                ))?;
        }
        Ok(())
    }

    /// What members said they lack, and did not say has come since, is said again.
    pub(crate) fn say_missed(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let sql = "DELETE FROM cluster_missed WHERE cluster = ?1 AND due <= ?2 RETURNING message, member";
        let due: Vec<(i64, MemberId)> = self
            .conn
            .prepare_cached(sql)?
            .query_map((row.cluster, ms(now.unix_ms)), |row| Ok((row.get(0)?, MemberId(row.get(1)?))))?
            .collect::<Result<_, _>>()?;
        let mut again = self.conn.prepare_cached(
            "UPDATE message SET state = ?3, missed = missed + 1 WHERE message = ?1 AND state IN (3, 4, 5)
             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = ?1 AND d.member = ?2)",
        )?;
        for (message, member) in due.into_iter().filter(|(_, member)| state.roster().contains(member)) {
            again.execute((message, member.0, State::Waiting.number()))?;
        }
        Ok(())
    }

    /// A text has come that members may have had before us.
    pub(crate) fn caught_up(&mut self, row: &ClusterRow, text: &MessageId, now: Now) -> Result<(), ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        let ahead: Vec<(MemberId, Vec<u8>)> = self
            .conn
            .prepare_cached("DELETE FROM cluster_ahead WHERE conversation = ?1 AND text = ?2 RETURNING member, missing")?
            .query_map((conversation, text.0), |row| Ok((MemberId(row.get(0)?), row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        ahead.into_iter().try_for_each(|(member, missing)| {
            let (missing, _) = missing.as_chunks::<ID_LEN>();
            self.has_up_to(row, &member, &Frontier::new(&[text.0], missing), false, now)
        })
    }

    /// Whoever comes, or comes back, by a change was told nothing that was said before it.
    pub(crate) fn note_newcomers(&self, row: &ClusterRow, state: &StateRow, bundle: &Bundle) -> Result<(), ChatError> {
        let parent = state.parent.map(|parent| self.shared_state(row.cluster, &parent)).transpose()?.flatten();
        let back: BTreeSet<MemberId> = bundle.grounds.comebacks.iter().map(|back| back.claimed_member()).collect();
        let was_there = |member: &MemberId| parent.as_ref().is_some_and(|parent| parent.roster().contains(member));
        let came = state.members.iter().filter(|leaf| back.contains(&leaf.member) || !was_there(&leaf.member));
        let mut since = self.conn.prepare_cached("UPDATE cluster_member SET since = ?3 WHERE cluster = ?1 AND member = ?2")?;
        for leaf in came {
            since.execute((row.cluster, leaf.member.0, ms(state.epoch)))?;
        }
        Ok(())
    }
}
