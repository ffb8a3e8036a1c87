//! What members and those outside sent.

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    StateId,
    bundle::Bundle,
    content::{Body, Message},
};
use samizdat_core::Now;
use sha2::{Digest, Sha256};

use super::{
    outer::{ClusterTag, Kind, NOBODY, Source},
    row::Standing,
};
use crate::{
    chat::Event,
    error::{ChatError, is_database},
    frontier::Frontier,
    ingest::Letter,
    limits::PENDING_MAX,
    mls::GroupError,
    work::Work,
};

impl Work<'_> {
    /// Something under an expected tag. Any member can put something under the tags of any other, so a tag stays expected until
    /// what lies there is proven to be its owner's.
    pub(crate) fn open_in_cluster(
        &mut self,
        letter: &Letter<'_>,
        tag: [u8; 16],
        expected: &ClusterTag,
        now: Now,
    ) -> Result<(), ChatError> {
        let Some((kind, bytes)) = self.open_piece(expected, letter.body)? else { return Ok(()) };
        if let Source::State(state, NOBODY) = expected.source {
            let anonymous = kind == Kind::Anonymous;
            return if anonymous { self.take_anonymous(expected.cluster, &state, &bytes, letter, now) } else { Ok(()) };
        }
        if let Source::State(state, leaf) = expected.source {
            self.expect_from_leaf(expected.cluster, &state, leaf, expected.counter.saturating_add(1))?;
        }
        let whole = if kind == Kind::Part { self.take_part(expected, &bytes)? } else { Some((kind, bytes)) };
        let Some((kind, bytes)) = whole else { return Ok(()) };
        match (expected.source, kind) {
            (Source::State(state, leaf), Kind::Message) => {
                if self.take_message(expected.cluster, &state, leaf, &bytes, letter, now)? {
                    self.seen_in_cluster(tag, expected)?;
                }
                Ok(())
            }
            (Source::State(state, leaf), Kind::Change | Kind::Update) => {
                self.take_handshake(expected.cluster, &state, leaf, kind, &bytes)
            }
            (Source::Door(door), Kind::Request) => self.take_request(expected.cluster, door, &bytes, letter.hour, now),
            (Source::Reply, Kind::Answer) => self.take_answer(expected.cluster, &bytes, now),
            _ => Ok(()),
        }
    }

    /// A Commit or a proposal waits until it can be followed.
    pub(super) fn take_handshake(
        &mut self,
        cluster: i64,
        state: &StateId,
        leaf: u32,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<(), ChatError> {
        let written = if kind == Kind::Change { &[] } else { bytes };
        let number: Option<i64> = self
            .conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_pending(cluster, state, leaf, kind, digest, bytes) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
                 RETURNING number",
            )?
            .query_row((cluster, state.0, leaf, kind.number(), <[u8; 32]>::from(Sha256::digest(bytes)), written), |row| row.get(0))
            .optional()?;
        if let Some(number) = number.filter(|_| kind == Kind::Change) {
            self.gather_change(number, bytes);
        }
        self.drop_foreign(cluster, state, leaf)?;
        self.conn
            .prepare_cached(
                "DELETE FROM cluster_pending WHERE cluster = ?1 AND state = ?2 AND leaf = ?3 AND settled = 0 AND number NOT IN
                 (SELECT number FROM cluster_pending WHERE cluster = ?1 AND state = ?2 AND leaf = ?3 AND settled = 0
                  ORDER BY number DESC LIMIT ?4)",
            )?
            .execute((cluster, state.0, leaf, PENDING_MAX))?;
        if kind == Kind::Change {
            self.changed.insert(cluster);
        }
        self.touch(cluster);
        Ok(())
    }

    /// Where more waits under the tags of a leaf than may, what is shown not to be its owner's goes first: or whoever puts junk there
    /// would push out what its owner sent.
    fn drop_foreign(&mut self, cluster: i64, state: &StateId, leaf: u32) -> Result<(), ChatError> {
        let count = "SELECT count(*) FROM cluster_pending WHERE cluster = ?1 AND state = ?2 AND leaf = ?3 AND settled = 0";
        let waiting: u32 = self.conn.prepare_cached(count)?.query_row((cluster, state.0, leaf), |row| row.get(0))?;
        let at = self.shared_state(cluster, state)?.filter(|_| waiting > PENDING_MAX);
        let (Some(id), Some(at)) = (self.cluster_row(cluster)?.id, at) else { return Ok(()) };
        let waiting: Vec<(i64, u8, Vec<u8>)> = self
            .conn
            .prepare_cached(
                "SELECT number, kind, bytes FROM cluster_pending WHERE cluster = ?1 AND state = ?2 AND leaf = ?3 AND settled = 0",
            )?
            .query_map((cluster, state.0, leaf), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (number, kind, bytes) in waiting {
            let bytes = self.gathered_change(number).cloned().unwrap_or(bytes);
            let commit =
                if kind == Kind::Change.number() { Bundle::decode(&bytes).ok().map(|bundle| bundle.commit) } else { Some(bytes) };
            let sender = commit.map(|bytes| self.mls.groups(self.conn, self.rng).handshake_of(&id, state, &bytes));
            let is_theirs = match sender {
                Some(Ok(sender)) => at.leaf(leaf).is_some_and(|owner| owner.member == sender),
                // Whose it is will be seen once it can be followed.
                Some(Err(GroupError::MissingProposal)) => true,
                Some(Err(GroupError::State(error))) if is_database(&error) => return Err(error.into()),
                Some(Err(_)) | None => false,
            };
            if !is_theirs {
                self.conn.execute("DELETE FROM cluster_pending WHERE number = ?1", [number])?;
            }
        }
        Ok(())
    }

    /// Whether it was a message of the member at `leaf`.
    fn take_message(
        &mut self,
        cluster: i64,
        state: &StateId,
        leaf: u32,
        ciphertext: &[u8],
        letter: &Letter<'_>,
        now: Now,
    ) -> Result<bool, ChatError> {
        let row = self.cluster_row(cluster)?;
        let Some(id) = row.id.filter(|_| row.standing != Standing::Left) else { return Ok(false) };
        let Some(at) = self.shared_state(cluster, state)? else { return Ok(false) };
        let said = match self.mls.groups(self.conn, self.rng).decrypt(&id, state, ciphertext) {
            Ok(said) => said,
            Err(GroupError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        // Somebody may have put what one member wrote under the tags of another. It counts, or it would be lost: its key is gone.
        let owned = at.leaf(leaf).is_some_and(|owner| owner.member == said.member);
        let Ok(Message { turn, body }) = Message::decode(&said.plaintext) else { return Ok(owned) };
        self.stand(cluster, &said.member, turn, state, now)?;
        if row.tip != Some(*state) {
            self.touch(cluster);
        }
        match body {
            Body::Text(text) => self.take_text(&row, &said.member, &text, letter, now)?,
            Body::Here | Body::Unknown => {}
            Body::Ack { heads, missing, read, marks } => {
                self.take_marks(&row, &said.member, &marks, now)?;
                self.reached(&row, &said.member, &Frontier::new(&heads, &missing), read, now)?;
            }
            Body::Aside(sealed) => {
                self.take_aside(&row, &at, &said.member, &sealed, letter, now)?;
                self.note_aside(&row, now)?;
            }
            Body::Slots(slots) => self.take_slots(&row, &at, &slots)?,
            Body::Claim(claim) => self.take_claim(&row, &said.member, &claim, None)?,
            Body::History(memories) => self.remember(&row, &said.member, &memories, letter, now)?,
            // Nobody moves in the name of another: the words, and the bounds, are those of whoever sent it.
            Body::Motion(motion) if motion.claimed().proposer == said.member => self.take_motion(&row, &at, &motion, now)?,
            Body::Motion(_) => {}
            Body::Ballot(ballot) => self.take_ballot(&row, &ballot)?,
            Body::Step(step) => self.take_step(&row, &said.member, &step, now)?,
            Body::Leave(leave) => self.take_leave(&row, &leave, now)?,
            Body::Invite(invite) => {
                self.take_invite(&row, &at, &said.member, &invite, now)?;
            }
            Body::Doors(doors) => self.take_doors(&row, &at, &doors, now)?,
        }
        Ok(owned)
    }

    /// The cluster is to be looked after, and whoever looks at it is to look again.
    pub(crate) fn touch(&mut self, cluster: i64) {
        self.touched_cluster(cluster);
        self.event(Event::Cluster(cluster));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::tests::two_in;

    #[test]
    fn junk_under_the_tags_of_a_member_does_not_push_out_what_that_one_sent() {
        let (mut alice, mut bob, _, _) = two_in(&["nest"]);
        let proposal = bob
            .transact(|work| {
                let row = work.find_cluster("nest")?;
                let (id, tip) = row.place()?;
                Ok(work.mls.groups(work.conn, work.rng).propose_update(&id, &tip, &row.member)?)
            })
            .unwrap();
        let waiting = alice
            .transact(|work| {
                let row = work.find_cluster("nest")?;
                let (_, tip) = row.place()?;
                let state = work.state_row(row.cluster, &tip)?.unwrap();
                let leaf = state.members.iter().find(|leaf| leaf.member != row.member).unwrap().leaf;
                work.take_handshake(row.cluster, &tip, leaf, Kind::Update, &proposal)?;
                for junk in 0..100 {
                    let kind = if junk % 2 == 0 { Kind::Update } else { Kind::Change };
                    work.take_handshake(row.cluster, &tip, leaf, kind, &[junk; 64])?;
                }
                let bytes = work.updates(row.cluster, &tip)?;
                let all: u32 =
                    work.conn.query_row("SELECT count(*) FROM cluster_pending WHERE settled = 0", [], |row| row.get(0))?;
                assert!(all <= PENDING_MAX, "{all}");
                Ok(bytes)
            })
            .unwrap();
        assert!(waiting.contains(&proposal));
    }
}
