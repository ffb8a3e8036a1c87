//! What lies in the envelopes of a cluster: sealed under one-time tags of a state, of a door, or of an answer.
//!
//! Inside is `[1, kind, bytes]`; what is too large for one envelope travels as parts, which make the same when put together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minicbor::{Decoder, Encoder};
use rusqlite::{OptionalExtension, Row};
use samizdat_cluster::{
    StateId, door,
    limits::{ANONYMOUS_MAX, DOOR_SLOTS, PART_MAX, PART_OVERHEAD, RING_MIN},
    parts,
};
use samizdat_core::{
    EnvelopeId, Now, Unstamped,
    seal::{StateSecret, TAG_LEN},
};

use super::row::{ClusterRow, StateRow};
use crate::{
    error::ChatError,
    limits::{ANONYMOUS_TAGS, CLUSTER_TAG_WINDOW, DECIDING_LIFETIMES},
    work::{StateKey, Work},
};

const VERSION: u8 = 1;
/// Whoever is outside.
const OUTSIDE: u32 = 0;
/// Whoever answers.
const INSIDE: u32 = 1;
/// The leaf under whose tags lies what does not tell which member sent it.
pub(crate) const NOBODY: u32 = u32::MAX;
const _: () = assert!(ANONYMOUS_MAX + PART_OVERHEAD <= PART_MAX, "one envelope: parts would have to be told apart");

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of a member, encrypted by the group.
    Message,
    /// A proposal of a member to refresh its keys.
    Update,
    /// A Commit with what makes it lawful.
    Change,
    /// What somebody outside asks.
    Request,
    /// What they are answered.
    Answer,
    /// A part of something.
    Part,
    /// A message of some member.
    Anonymous,
}

impl Kind {
    const ALL: [Self; 7] = [Self::Message, Self::Update, Self::Change, Self::Request, Self::Answer, Self::Part, Self::Anonymous];

    pub(crate) fn number(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).and_then(|i| u8::try_from(i).ok()).unwrap_or_default()
    }
}

/// Where a one-time tag comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The member at a leaf of a state, or [`NOBODY`].
    State(StateId, u32),
    /// Whoever comes by a door.
    Door(i64),
    /// Whoever answers what we asked.
    Reply,
}

/// What is expected under a tag of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterTag {
    pub(crate) cluster: i64,
    pub(crate) source: Source,
    pub(crate) counter: u64,
}

impl ClusterTag {
    /// The state whose member it belongs to.
    pub(crate) fn state(&self) -> Option<StateKey> {
        match self.source {
            Source::State(state, _) => Some((self.cluster, state)),
            Source::Door(_) | Source::Reply => None,
        }
    }
}

/// What is expected, by tag: thousands for each state, so what is fastest to fill.
pub(crate) type ClusterTags = HashMap<[u8; TAG_LEN], ClusterTag>;

/// How long the copies of something live: the first is for those who are there now, and cheap; the others follow when nothing
/// more urgent is to be stamped.
pub(crate) type Lifetimes<'a> = &'a [u8];

impl Work<'_> {
    /// Seals something for the members of a state and puts it into the outbox. The last envelope is returned.
    pub(crate) fn publish(
        &mut self,
        row: &ClusterRow,
        state: &StateId,
        kind: Kind,
        bytes: &[u8],
        lifetimes: Lifetimes<'_>,
        now: Now,
    ) -> Result<EnvelopeId, ChatError> {
        let at = self.shared_state(row.cluster, state)?.ok_or(ChatError::Bug("state of a cluster"))?;
        let leaf = at.own_leaf.ok_or(ChatError::Bug("a state without us"))?;
        let pieces = pieces(kind, bytes)?;
        let first: i64 = self
            .conn
            .prepare_cached(
                "INSERT INTO cluster_reach(cluster, state, leaf, expected_to) VALUES(?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET expected_to = expected_to + excluded.expected_to RETURNING expected_to - ?4",
            )?
            .query_row((row.cluster, state.0, leaf, i64::try_from(pieces.len()).unwrap_or(i64::MAX)), |row| row.get(0))?;
        let conversation = self.cluster_conversation(row.cluster)?;
        self.seal_pieces(&at.secret, leaf, first.unsigned_abs(), &pieces, lifetimes, Some(conversation), now)
    }

    /// Seals a message of some member for the members of a state. Its tag is drawn from all that there are: which of them are taken,
    /// each member knows differently well. It is not noted that we sent it, so that no slice of our log tells.
    pub(crate) fn publish_as_nobody(
        &mut self,
        at: &StateRow,
        bytes: &[u8],
        lifetime: u8,
        now: Now,
    ) -> Result<EnvelopeId, ChatError> {
        let counter = rand_core::Rng::next_u64(self.rng).checked_rem(ANONYMOUS_TAGS).unwrap_or(0);
        let pieces = pieces(Kind::Anonymous, bytes)?;
        self.seal_pieces(&at.secret, NOBODY, counter, &pieces, &[lifetime], None, now)
    }

    /// Puts a request under a door, in one of the slots of today.
    pub(crate) fn knock(&mut self, door: [u8; 32], bytes: &[u8], now: Now) -> Result<(), ChatError> {
        let drawn = rand_core::Rng::next_u32(self.rng).checked_rem(DOOR_SLOTS.into()).unwrap_or(0);
        let slot = u8::try_from(drawn).unwrap_or(0);
        let counter = door::counter(door::day(now.hour()), slot).ok_or(ChatError::Bug("slot of a door"))?;
        let pieces = pieces(Kind::Request, bytes)?;
        self.seal_pieces(&StateSecret::new(door), OUTSIDE, counter, &pieces, &DECIDING_LIFETIMES, None, now)?;
        Ok(())
    }

    /// Answers somebody who asked by a door, from that tag on.
    pub(crate) fn answer_request(
        &mut self,
        reply: [u8; 32],
        first: u64,
        bytes: &[u8],
        lifetimes: Lifetimes<'_>,
        now: Now,
    ) -> Result<(), ChatError> {
        let pieces = pieces(Kind::Answer, bytes)?;
        self.seal_pieces(&StateSecret::new(reply), INSIDE, first, &pieces, lifetimes, None, now)?;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn seal_pieces(
        &mut self,
        secret: &StateSecret,
        leaf: u32,
        first: u64,
        pieces: &[Vec<u8>],
        lifetimes: Lifetimes<'_>,
        conversation: Option<i64>,
        now: Now,
    ) -> Result<EnvelopeId, ChatError> {
        let mut last = None;
        for (piece, counter) in pieces.iter().zip(first..) {
            let body = secret.seal(leaf, counter, piece, self.rng).map_err(|_| ChatError::Bug("piece of a cluster"))?;
            for (lifetime, copy) in lifetimes.iter().zip(0u32..) {
                let tag = secret.tag(leaf, counter);
                let unstamped = Unstamped::seal(Some(tag), now.hour(), *lifetime, body.clone());
                let unstamped = unstamped.map_err(|_| ChatError::Bug("sealed envelope"))?;
                self.queue(&unstamped, unstamped.price(), conversation)?;
                if copy > 0 {
                    self.conn
                        .prepare_cached("UPDATE outbox SET background = 1 WHERE envelope = ?1")?
                        .execute([unstamped.id().0])?;
                } else {
                    last = Some(unstamped.id());
                }
            }
        }
        last.ok_or(ChatError::Bug("nothing to seal"))
    }

    /// Opens what lies under a tag of a state, a door or an answer.
    pub(crate) fn open_piece(&self, tag: &ClusterTag, body: &[u8]) -> Result<Option<(Kind, Vec<u8>)>, ChatError> {
        let (secret, leaf) = match tag.source {
            Source::State(state, leaf) => (self.shared_state(tag.cluster, &state)?.map(|state| *state.secret.bytes()), leaf),
            Source::Door(door) => (
                self.conn
                    .query_row("SELECT secret FROM cluster_door WHERE door = ?1", [door], |row| row.get::<_, [u8; 32]>(0))
                    .optional()?,
                OUTSIDE,
            ),
            Source::Reply => (
                self.conn
                    .query_row("SELECT reply FROM cluster WHERE cluster = ?1", [tag.cluster], |row| {
                        row.get::<_, Option<[u8; 32]>>(0)
                    })
                    .optional()?
                    .flatten(),
                INSIDE,
            ),
        };
        let opened = secret.and_then(|secret| StateSecret::new(secret).open(leaf, tag.counter, body).ok());
        Ok(opened.and_then(|piece| decode(&piece)))
    }

    /// Keeps tags expected beyond message `counter` of the member at `leaf`.
    pub(crate) fn expect_from_leaf(&mut self, cluster: i64, state: &StateId, leaf: u32, counter: u64) -> Result<(), ChatError> {
        let at = self.shared_state(cluster, state)?.ok_or(ChatError::Bug("state of a cluster"))?;
        let from: Option<u64> = self
            .conn
            .prepare_cached("SELECT expected_to FROM cluster_reach WHERE cluster = ?1 AND state = ?2 AND leaf = ?3")?
            .query_row((cluster, state.0, leaf), |row| row.get(0))
            .optional()?;
        let (from, to) = (from.unwrap_or(CLUSTER_TAG_WINDOW), counter.saturating_add(CLUSTER_TAG_WINDOW));
        if to > from {
            self.expect_in_state(cluster, &at, leaf, from..to)?;
            self.unlooked()?;
            self.conn
                .prepare_cached(
                    "INSERT INTO cluster_reach(cluster, state, leaf, expected_to) VALUES(?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET expected_to = excluded.expected_to",
                )?
                .execute((cluster, state.0, leaf, to))?;
        }
        Ok(())
    }

    /// Expects what the members of a state that is entered will say.
    pub(crate) fn expect_from_all(&mut self, cluster: i64, state: &StateRow) -> Result<(), ChatError> {
        let Some(own) = state.own_leaf else { return Ok(()) };
        let others = state.members.iter().filter(|leaf| leaf.leaf != own);
        others.into_iter().try_for_each(|leaf| self.expect_in_state(cluster, state, leaf.leaf, 0..CLUSTER_TAG_WINDOW))?;
        self.expect_from_nobody(cluster, state)?;
        self.unlooked()
    }

    /// The tags of states are in no table: they follow from how far each leaf is expected, and what was seen of it. After a start
    /// they are computed anew.
    pub(crate) fn expect_again(&mut self) -> Result<(), ChatError> {
        let states: Vec<(i64, [u8; 16])> = self
            .conn
            .prepare_cached("SELECT cluster, state FROM cluster_state WHERE own_leaf IS NOT NULL")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (cluster, state) in states {
            // One that is damaged does not keep the others from being heard.
            let Ok(Some(at)) = self.shared_state(cluster, &StateId(state)) else { continue };
            let reach: BTreeMap<u32, u64> = self
                .conn
                .prepare_cached("SELECT leaf, expected_to FROM cluster_reach WHERE cluster = ?1 AND state = ?2")?
                .query_map((cluster, state), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let seen: BTreeSet<(u32, u64)> = self
                .conn
                .prepare_cached("SELECT leaf, counter FROM cluster_seen WHERE cluster = ?1 AND state = ?2")?
                .query_map((cluster, state), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            for leaf in at.members.iter().map(|leaf| leaf.leaf).filter(|leaf| Some(*leaf) != at.own_leaf) {
                let to = reach.get(&leaf).copied().unwrap_or(CLUSTER_TAG_WINDOW);
                let unseen = (0..to).filter(|counter| !seen.contains(&(leaf, *counter)));
                self.expect_in_state(cluster, &at, leaf, unseen)?;
            }
            self.expect_from_nobody(cluster, &at)?;
        }
        Ok(())
    }

    /// Expects what does not tell who sent it; our own comes by, too. Several may lie under one tag.
    fn expect_from_nobody(&mut self, cluster: i64, state: &StateRow) -> Result<(), ChatError> {
        if state.members.len() < RING_MIN {
            return Ok(());
        }
        self.expect_in_state(cluster, state, NOBODY, 0..ANONYMOUS_TAGS)
    }

    fn expect_in_state(
        &mut self,
        cluster: i64,
        state: &StateRow,
        leaf: u32,
        counters: impl Iterator<Item = u64>,
    ) -> Result<(), ChatError> {
        let source = Source::State(state.state, leaf);
        let tag = state.secret.tags(leaf);
        counters.for_each(|counter| self.expected_in_cluster(tag(counter), ClusterTag { cluster, source, counter }));
        Ok(())
    }

    /// What lay under a tag is proven to be its owner's: nothing more is expected there.
    pub(crate) fn seen_in_cluster(&mut self, tag: [u8; TAG_LEN], expected: &ClusterTag) -> Result<(), ChatError> {
        let Source::State(state, leaf) = expected.source else { return self.unexpect_in_cluster(tag) };
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO cluster_seen(cluster, state, leaf, counter) VALUES(?1, ?2, ?3, ?4)")?
            .execute((expected.cluster, state.0, leaf, ms_of(expected.counter)))?;
        self.unexpected_in_cluster(tag);
        Ok(())
    }

    /// Watches a door on the days on which an envelope may be under way, and forgets days that are over.
    pub(crate) fn watch_door(&mut self, cluster: i64, door: i64, now: Now) -> Result<(), ChatError> {
        let (secret, watched): ([u8; 32], u32) =
            self.conn.query_row("SELECT secret, watched FROM cluster_door WHERE door = ?1", [door], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let (days, secret) = (door::days(now.hour()), StateSecret::new(secret));
        for day in (*days.start()).max(watched.saturating_add(1))..=*days.end() {
            for counter in door::counters(day) {
                let tag = ClusterTag { cluster, source: Source::Door(door), counter };
                self.expect_in_cluster(secret.tag(OUTSIDE, counter), tag)?;
            }
        }
        self.conn.execute("UPDATE cluster_door SET watched = max(watched, ?2) WHERE door = ?1", (door, days.end()))?;
        let over = door::counter(*days.start(), 0).unwrap_or(0);
        let old = self.tags_where("cluster = ?1 AND source = 1 AND leaf = ?2 AND counter < ?3", (cluster, door, ms_of(over)))?;
        old.into_iter().try_for_each(|tag| self.unexpect_in_cluster(tag))
    }

    /// Expects the answer to what we asked.
    pub(crate) fn expect_reply(
        &mut self,
        cluster: i64,
        reply: [u8; 32],
        mut counters: impl Iterator<Item = u64>,
    ) -> Result<(), ChatError> {
        let secret = StateSecret::new(reply);
        counters.try_for_each(|counter| {
            self.expect_in_cluster(secret.tag(INSIDE, counter), ClusterTag { cluster, source: Source::Reply, counter })
        })
    }

    pub(crate) fn tags_where(&self, condition: &str, values: impl rusqlite::Params) -> Result<Vec<[u8; TAG_LEN]>, ChatError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT tag FROM cluster_tag WHERE {condition}"))?;
        let rows = statement.query_map(values, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Expects something from outside a state: of that the table knows.
    fn expect_in_cluster(&mut self, tag: [u8; TAG_LEN], expected: ClusterTag) -> Result<(), ChatError> {
        let (source, door): (u8, i64) = match &expected.source {
            Source::State(..) => return Err(ChatError::Bug("a tag of a state")),
            Source::Door(door) => (1, *door),
            Source::Reply => (2, 0),
        };
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_tag(tag, cluster, source, state, leaf, counter) VALUES(?1, ?2, ?3, x'', ?4, ?5)",
            )?
            .execute((tag, expected.cluster, source, door, ms_of(expected.counter)))?;
        self.expected_in_cluster(tag, expected);
        Ok(())
    }

    pub(crate) fn unexpect_in_cluster(&mut self, tag: [u8; TAG_LEN]) -> Result<(), ChatError> {
        self.conn.prepare_cached("DELETE FROM cluster_tag WHERE tag = ?1")?.execute([tag])?;
        self.unexpected_in_cluster(tag);
        Ok(())
    }
}

fn ms_of(number: u64) -> i64 {
    super::row::ms(number)
}

pub(super) fn source_key(source: &Source) -> Vec<u8> {
    match source {
        Source::State(state, leaf) => [&[0][..], &state.0, &leaf.to_be_bytes()].concat(),
        Source::Door(door) => [&[1][..], &door.to_be_bytes()].concat(),
        Source::Reply => vec![2],
    }
}

/// A row of the table of tags: those of doors and answers.
pub(crate) fn tag_row(row: &Row<'_>) -> rusqlite::Result<([u8; TAG_LEN], ClusterTag)> {
    let (source, door): (u8, i64) = (row.get(2)?, row.get(3)?);
    let source = if source == 1 { Source::Door(door) } else { Source::Reply };
    Ok((row.get(0)?, ClusterTag { cluster: row.get(1)?, source, counter: row.get(4)? }))
}

/// Of what the table is read by [`tag_row`].
pub(crate) const TAG: &str = "tag, cluster, source, leaf, counter";

pub(super) fn encode(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = e.array(3).and_then(|e| e.u8(VERSION)?.u8(kind.number())?.bytes(bytes));
    e.into_writer()
}

pub(super) fn decode(bytes: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let mut d = Decoder::new(bytes);
    if d.array().ok()? != Some(3) || d.u8().ok()? != VERSION {
        return None;
    }
    let kind = Kind::ALL.get(usize::from(d.u8().ok()?)).copied()?;
    let content = d.bytes().ok()?.to_vec();
    (encode(kind, &content) == bytes).then_some((kind, content))
}

fn pieces(kind: Kind, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ChatError> {
    let whole = encode(kind, bytes);
    if whole.len() <= PART_MAX {
        return Ok(vec![whole]);
    }
    let parts = parts::cut(&whole).map_err(|error| ChatError::Refused(error.to_string()))?;
    Ok(parts.iter().map(|part| encode(Kind::Part, part)).collect())
}
