//! Secret votes: what `samizdat_cluster::secret` says, over the vault. Experimental.
//!
//! Everybody keeps what is said in a vote and comes to the same result. Whoever is a trustee of it deals, complains, agrees with the
//! others and opens when it is time to, by itself. Nothing of this is ever said in two ways: what we say is in the vault before it is
//! sent. Of a decision that has passed so, everybody who may vote says that it has, by itself.

mod agree;
mod confirm;
mod key;
mod show;
mod urn;

use rusqlite::{OptionalExtension, Row};
use samizdat_cluster::{
    Context, MemberId, MemberSecret, MotionId, Past, PastIn,
    ballot::{BadBallot, BallotIn, Choice},
    content::Body,
    limits::SAID_PER_MEMBER,
    motion::{Motion, MotionIn},
    secret::{Panel, ShareIn, StepIn, StepKind, TrusteeSecret},
};
use samizdat_core::Now;

pub use self::show::SecretVote;
use super::row::{ClusterRow, Standing, StateRow, ms};
use crate::{
    error::{ChatError, is_database},
    limits::{DECIDING_LIFETIMES, SECRET_SETTLE_MS, SHARES_OF_MEMBER_MAX, STEPS_UNKNOWN_MAX, WINDOW_EPOCHS},
    mls::GroupError,
    work::Work,
};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// In the column `kind` of what we say: a share, for one trustee alone.
const SHARE: u8 = 0;
/// In the same: our word that a decision has passed.
const CONFIRMATION: u8 = 1;

/// Its row, of what kind it is, for whom alone, and what we say.
type Unsaid = (i64, u8, Option<[u8; 32]>, Vec<u8>);

/// How far a secret vote has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Trustees make the key.
    Key,
    /// Members vote.
    Voting,
    /// Trustees open the sum.
    Opening,
    /// The result is there.
    Done,
    /// Too few trustees agreed on a key in time.
    NoKey,
    /// So few voted that the result would not count, or would show how.
    TooFew,
    /// Too few trustees opened the same ballots.
    NotOpened,
}

impl Phase {
    const ALL: [Self; 7] = [Self::Key, Self::Voting, Self::Opening, Self::Done, Self::NoKey, Self::TooFew, Self::NotOpened];

    fn number(self) -> u8 {
        Self::ALL.iter().position(|phase| *phase == self).and_then(|i| u8::try_from(i).ok()).unwrap_or_default()
    }

    fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::NotOpened)
    }
}

/// A secret vote as the vault has it.
struct Vote {
    panel: Panel,
    /// As a trustee: what our dealing is made of.
    seed: Option<TrusteeSecret>,
    /// What we want to vote, until there is a key.
    choice: Option<u8>,
    /// When we came to know of it, ms.
    began: u64,
    /// Before which it does not end, whatever the epoch, ms.
    least: u64,
    /// Since when we have of the other trustees what we can hope for, ms; 0: not yet.
    ready: u64,
    /// Since when nobody can vote any more, ms; 0: they can.
    over: u64,
    /// Since when everybody has voted who may, ms; 0: they have not.
    full: u64,
    /// Whether we said things in it that we have forgotten: we say no more, or we would say two things.
    silent: bool,
    phase: Phase,
}

impl Vote {
    fn id(&self) -> MotionId {
        self.panel.motion().id()
    }

    /// Whether nobody can vote any more: as many rollouts have passed as there are to vote, and half of the time that they take by the
    /// charter, since any member can hasten them. But the last quarter of the epochs of a decision is for what follows the vote.
    fn ends(&self, epoch: u64, now: u64) -> bool {
        let motion = self.panel.motion();
        let last = motion.closes().midpoint(motion.fields().until);
        epoch > motion.closes() && (now >= self.least || motion.decides_in_secret() && epoch > last)
    }

    /// From when on no ballot is waited for, if the motion is over.
    fn settled(&self) -> Option<u64> {
        (self.over > 0).then(|| self.over.saturating_add(SECRET_SETTLE_MS))
    }

    fn is_trustee(&self, member: &MemberId) -> bool {
        self.panel.trustees().contains(member)
    }

    /// Whether we do what a trustee does.
    fn is_ours(&self, row: &ClusterRow) -> bool {
        !self.silent && self.is_trustee(&row.member)
    }
}

impl Work<'_> {
    /// Begins to keep what is said in a vote, if a motion is voted on in secret. Who votes and who holds the key stays as it was in its
    /// state, whatever becomes of that.
    pub(crate) fn begin_vote(&mut self, row: &ClusterRow, at: &StateRow, motion: &Motion, now: Now) -> Result<(), ChatError> {
        let fields = motion.fields();
        let Some((roster, charter)) = at.past.at(fields.epoch).filter(|_| fields.secret) else { return Ok(()) };
        let then = Past::founded(roster.clone(), charter.clone()).waited(fields.epoch).ok_or(ChatError::Bug("past"))?;
        let context = Context { charter: charter.clone(), ..at.context.clone() };
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_vote(cluster, motion, context, past, until, began) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            (row.cluster, motion.id().0, context.encode(), then.encode(), ms(motion.closes()), ms(now.unix_ms)),
        )?;
        Ok(())
    }

    /// Votes, or notes what we want to vote until there is a key.
    pub(crate) fn vote_in_secret(
        &mut self,
        row: &ClusterRow,
        state: &StateRow,
        motion: &MotionId,
        choice: &Choice,
        now: Now,
    ) -> Result<(), ChatError> {
        let vote = self.secret_vote(row, motion)?.ok_or(ChatError::Bug("secret vote"))?;
        let option = match (choice, vote.panel.motion().decides_in_secret()) {
            (Choice::Decision(yes), true) => u8::from(!yes),
            (Choice::Options(order), false) => match order.as_slice() {
                [one] if usize::from(*one) < vote.panel.options() => *one,
                _ => return Err(ChatError::Refused(BadBallot::WrongChoice.to_string())),
            },
            _ => return Err(ChatError::Refused(BadBallot::WrongChoice.to_string())),
        };
        if !vote.panel.motion().electorate().contains(&row.member) {
            return Err(ChatError::Refused(BadBallot::NotEntitled.to_string()));
        }
        if self.has_said(row, motion, StepKind::Ballot)? {
            return Err(ChatError::Refused("you have voted: whoever votes twice proves to everybody that they cheated".into()));
        }
        if vote.silent {
            let why = "you were out of the cluster during this vote, and what you had said in it is forgotten here: you cannot vote again";
            return Err(ChatError::Refused(why.into()));
        }
        if vote.phase > Phase::Voting || vote.ends(state.epoch, now.unix_ms) {
            return Err(ChatError::Refused("the time to vote on this motion is over".into()));
        }
        self.conn.execute(
            "UPDATE cluster_vote SET choice = ?3, due = 0 WHERE cluster = ?1 AND motion = ?2",
            (row.cluster, motion.0, option),
        )?;
        self.touch(row.cluster);
        self.look_after_votes(row, state, now).map(|_| ())
    }

    /// What a member says in a vote, be its motion known or not: the two may come in any order. Each speaks for itself only, and has
    /// so much room that who says two things is proven to; but what somebody dealt or cast, a trustee may say again, once.
    pub(crate) fn take_step(&mut self, row: &ClusterRow, from: &MemberId, step: &StepIn, now: Now) -> Result<(), ChatError> {
        if row.standing == Standing::Removed {
            return Ok(());
        }
        let (motion, kind, author) = (step.claimed_motion(), step.kind(), step.claimed_author());
        let phase: Option<u8> = self
            .conn
            .prepare_cached("SELECT phase FROM cluster_vote WHERE cluster = ?1 AND motion = ?2")?
            .query_row((row.cluster, motion.0), |row| row.get(0))
            .optional()?;
        match phase.map(Phase::from_number) {
            Some(Phase::Done) if kind == StepKind::Ballot && author == *from => return self.take_late(row, step, now),
            Some(phase) if phase >= Phase::Done => return Ok(()),
            _ => {}
        }
        let teller = Some(*from).filter(|from| *from != author);
        // What trustees say to each other the others need not keep.
        if (teller.is_some() || kind == StepKind::Word && phase.is_some()) && !self.is_heard(row, from, step)? {
            return Ok(());
        }
        if !self.keep_step(row, teller.as_ref(), step, now)? {
            return Ok(());
        }
        if phase.is_none() {
            self.conn
                .prepare_cached(
                    "DELETE FROM cluster_vote_step WHERE number IN (SELECT number FROM cluster_vote_step s WHERE cluster = ?1 AND author = ?2
                     AND NOT EXISTS (SELECT 1 FROM cluster_vote v WHERE v.cluster = s.cluster AND v.motion = s.motion)
                     ORDER BY number DESC LIMIT -1 OFFSET ?3)",
                )?
                .execute((row.cluster, from.0, STEPS_UNKNOWN_MAX))?;
        }
        self.stir(row, &motion)
    }

    /// Whether it is for us as trustees, or said again by a trustee.
    fn is_heard(&self, row: &ClusterRow, from: &MemberId, step: &StepIn) -> Result<bool, ChatError> {
        let vote = self.secret_vote(row, &step.claimed_motion())?;
        Ok(vote.is_some_and(|vote| match step.kind() {
            StepKind::Word => vote.is_ours(row),
            StepKind::Dealing | StepKind::Ballot => vote.is_trustee(from),
            StepKind::Complaint | StepKind::Opening | StepKind::Decision => false,
        }))
    }

    /// Whether it is new, and there is room for it.
    fn keep_step(&self, row: &ClusterRow, teller: Option<&MemberId>, step: &StepIn, now: Now) -> Result<bool, ChatError> {
        let (motion, author, teller) = (step.claimed_motion().0, step.claimed_author().0, teller.map(|teller| teller.0));
        let most = if teller.is_some() { 1 } else { SAID_PER_MEMBER };
        let new = self
            .conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_vote_step(cluster, motion, kind, author, turn, teller, at, bytes) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                 WHERE (SELECT count(*) FROM cluster_vote_step WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 AND author = ?4 AND turn = ?5
                        AND teller IS ?6) < ?9",
            )?
            .execute((row.cluster, motion, step.kind().number(), author, step.turn(), teller, ms(now.unix_ms), step.encode(), most))?;
        Ok(new > 0)
    }

    /// A share that a trustee gave us alone; of the newest of each member some are kept. What it is a share of may come later.
    pub(crate) fn take_share(&mut self, row: &ClusterRow, from: &MemberId, share: &ShareIn) -> Result<(), ChatError> {
        if row.standing == Standing::Removed || !self.put_share(row, from, share)? {
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "DELETE FROM cluster_vote_share WHERE number IN (SELECT number FROM cluster_vote_share WHERE cluster = ?1 AND author = ?2
                 ORDER BY number DESC LIMIT -1 OFFSET ?3)",
            )?
            .execute((row.cluster, from.0, SHARES_OF_MEMBER_MAX))?;
        match self.awaits_share(row, from, share)? {
            Some(motion) => self.stir(row, &motion),
            None => Ok(()),
        }
    }

    /// The vote whose key is being made of what this is a share of, if we have heard of that.
    fn awaits_share(&self, row: &ClusterRow, from: &MemberId, share: &ShareIn) -> Result<Option<MotionId>, ChatError> {
        let dealt: Vec<([u8; 32], Vec<u8>)> = self
            .conn
            .prepare_cached(
                "SELECT motion, s.bytes FROM cluster_vote_step s JOIN cluster_vote v USING (cluster, motion)
                 WHERE s.cluster = ?1 AND s.author = ?2 AND s.kind = ?3 AND v.phase = ?4",
            )?
            .query_map((row.cluster, from.0, StepKind::Dealing.number(), Phase::Key.number()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        for (motion, bytes) in dealt {
            let (motion, dealing) = (MotionId(motion), StepIn::decode(StepKind::Dealing, &bytes));
            let (Some(vote), Ok(StepIn::Dealing(dealing))) = (self.secret_vote(row, &motion)?, dealing) else { continue };
            if dealing.verify(&vote.panel).is_ok_and(|dealing| dealing.id() == share.claimed_dealing()) {
                return Ok(Some(motion));
            }
        }
        Ok(None)
    }

    /// Whether it is new.
    fn put_share(&self, row: &ClusterRow, from: &MemberId, share: &ShareIn) -> Result<bool, ChatError> {
        let new = self
            .conn
            .prepare_cached("INSERT OR IGNORE INTO cluster_vote_share(cluster, author, dealing, bytes) VALUES(?1, ?2, ?3, ?4)")?
            .execute((row.cluster, from.0, share.claimed_dealing().0, share.encode()))?;
        Ok(new > 0)
    }

    /// Something of a vote is new.
    fn stir(&mut self, row: &ClusterRow, motion: &MotionId) -> Result<(), ChatError> {
        self.conn
            .prepare_cached("UPDATE cluster_vote SET due = 0 WHERE cluster = ?1 AND motion = ?2")?
            .execute((row.cluster, motion.0))?;
        self.touch(row.cluster);
        Ok(())
    }

    /// Does what is due in all votes; when something is due next, ms.
    pub(crate) fn look_after_votes(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<u64, ChatError> {
        let due: Vec<[u8; 32]> = self
            .conn
            .prepare_cached(
                "SELECT motion FROM cluster_vote WHERE cluster = ?1 AND phase < ?2 AND (due <= ?3 OR (over = 0 AND until < ?4)) ORDER BY motion",
            )?
            .query_map((row.cluster, Phase::Done.number(), ms(now.unix_ms), ms(state.epoch)), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for motion in due {
            let next = self.look_after_vote(row, state, &MotionId(motion), now)?;
            self.conn
                .execute("UPDATE cluster_vote SET due = ?3 WHERE cluster = ?1 AND motion = ?2", (row.cluster, motion, ms(next)))?;
        }
        self.say_in_votes(row, state, now)?;
        let next = "SELECT coalesce(min(due), ?3) FROM cluster_vote WHERE cluster = ?1 AND phase < ?2";
        Ok(self.conn.prepare_cached(next)?.query_row((row.cluster, Phase::Done.number(), i64::MAX), |row| row.get(0))?)
    }

    fn look_after_vote(&mut self, row: &ClusterRow, state: &StateRow, motion: &MotionId, now: Now) -> Result<u64, ChatError> {
        let Some(mut vote) = self.secret_vote(row, motion)? else { return Ok(u64::MAX) };
        if vote.over == 0 && vote.ends(state.epoch, now.unix_ms) {
            vote.over = now.unix_ms;
            self.conn.execute(
                "UPDATE cluster_vote SET over = ?3, choice = NULL WHERE cluster = ?1 AND motion = ?2",
                (row.cluster, motion.0, ms(now.unix_ms)),
            )?;
        }
        let end = Some(vote.least).filter(|at| vote.over == 0 && *at > now.unix_ms).unwrap_or(u64::MAX);
        let us = self.member_secret(row)?;
        let mut setup = self.setup(row, &vote)?;
        let next = match setup.key() {
            None if vote.over == 0 => self.make_key(row, &mut vote, &mut setup, &us, now)?.min(end),
            _ => end,
        };
        match (setup.key(), vote.settled()) {
            (Some(key), _) => Ok(self.look_after_urn(row, &mut vote, &setup, &key, &us, now)?.min(next)),
            (None, Some(settled)) if settled <= now.unix_ms => self.fail(row, &vote, Phase::NoKey),
            (None, Some(settled)) => Ok(next.min(settled)),
            (None, None) => Ok(next),
        }
    }

    /// A vote that we know; nothing if there is none, or its row is damaged.
    fn secret_vote(&self, row: &ClusterRow, motion: &MotionId) -> Result<Option<Vote>, ChatError> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT v.context, v.past, m.bytes, v.seed, v.choice, v.began, v.ready, v.over, v.full, v.silent, v.phase
                 FROM cluster_vote v JOIN cluster_motion m USING (cluster, motion) WHERE v.cluster = ?1 AND v.motion = ?2",
            )?
            .query_row((row.cluster, motion.0), |found| {
                let key = (row.cluster, *motion);
                let known = self.panels.take(&key);
                let vote = vote_row(found, known)?;
                // Beyond the bound it is verified again the next time.
                if let Some(vote) = &vote {
                    let _ = self.panels.put(key, vote.panel.clone());
                }
                Ok(vote)
            })
            .optional()?;
        Ok(found.flatten())
    }

    /// Says something in a vote: from now on we have said it, whatever happens.
    fn say_step(&mut self, row: &ClusterRow, vote: &Vote, step: &StepIn, now: Now) -> Result<(), ChatError> {
        let (kind, bytes) = (step.kind().number(), step.encode());
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_vote_step(cluster, motion, kind, author, turn, at, bytes, checked) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)",
            (row.cluster, vote.id().0, kind, row.member.0, step.turn(), ms(now.unix_ms), &bytes),
        )?;
        self.say_again_in_vote(row, &vote.id(), step)
    }

    /// Says what was dealt or cast before, once: whoever heard two other things of its author may lack it.
    fn say_again_in_vote(&self, row: &ClusterRow, motion: &MotionId, step: &StepIn) -> Result<(), ChatError> {
        self.conn.execute(
            "INSERT INTO cluster_vote_said(cluster, motion, kind, bytes) SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM cluster_vote_said WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 AND bytes = ?4)",
            (row.cluster, motion.0, step.kind().number(), step.encode()),
        )?;
        Ok(())
    }

    fn has_said(&self, row: &ClusterRow, motion: &MotionId, kind: StepKind) -> Result<bool, ChatError> {
        let sql =
            "SELECT 1 FROM cluster_vote_step WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 AND author = ?4 AND teller IS NULL";
        Ok(self.conn.prepare_cached(sql)?.exists((row.cluster, motion.0, kind.number(), row.member.0))?)
    }

    /// What members said in a vote, in the order in which it came; with the number of its row.
    fn steps(&self, row: &ClusterRow, vote: &Vote, kinds: &[StepKind]) -> Result<Vec<(i64, StepIn)>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT number, bytes FROM cluster_vote_step WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 ORDER BY number",
        )?;
        let mut steps = Vec::new();
        for kind in kinds {
            let rows = statement
                .query_map((row.cluster, vote.id().0, kind.number()), |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            for found in rows {
                let (number, bytes) = found?;
                steps.extend(StepIn::decode(*kind, &bytes).ok().map(|step| (number, step)));
            }
        }
        Ok(steps)
    }

    /// What does not count is forgotten.
    fn forget_step(&self, number: i64) -> Result<(), ChatError> {
        self.conn.prepare_cached("DELETE FROM cluster_vote_step WHERE number = ?1")?.execute([number])?;
        Ok(())
    }

    fn enter_phase(&mut self, row: &ClusterRow, vote: &Vote, phase: Phase) -> Result<(), ChatError> {
        if vote.phase < phase {
            self.conn.execute(
                "UPDATE cluster_vote SET phase = ?3 WHERE cluster = ?1 AND motion = ?2",
                (row.cluster, vote.id().0, phase.number()),
            )?;
            self.event(crate::chat::Event::Cluster(row.cluster));
        }
        Ok(())
    }

    /// Sends what we say in votes and have not sent, and what was sent on a branch that is left.
    fn say_in_votes(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Ok(()) };
        let waiting: Vec<Unsaid> = self
            .conn
            .prepare_cached(
                "SELECT number, kind, member, bytes FROM cluster_vote_said WHERE cluster = ?1 AND state IS NULL ORDER BY number",
            )?
            .query_map([row.cluster], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        for (number, kind, to, bytes) in waiting {
            let body = match to {
                None if kind == CONFIRMATION => BallotIn::decode(&bytes).ok().map(Body::Ballot),
                None => StepKind::of(kind).and_then(|kind| StepIn::decode(kind, &bytes).ok()).map(Body::Step),
                Some(to) => {
                    let groups = self.mls.groups(self.conn, self.rng);
                    match groups.encrypt_to(&cluster, &state.state, &row.member, &MemberId(to), &bytes) {
                        Err(GroupError::State(error)) if is_database(&error) => return Err(error.into()),
                        // A trustee who is no member any more.
                        sealed => sealed.ok().map(Body::Aside),
                    }
                }
            };
            if let Some(body) = body {
                self.send_message(row, &state.state, body, &DECIDING_LIFETIMES, now)?;
            }
            self.conn
                .prepare_cached("UPDATE cluster_vote_said SET state = ?2 WHERE number = ?1")?
                .execute((number, state.state.0))?;
        }
        self.conn
            .prepare_cached(
                "DELETE FROM cluster_vote_said WHERE cluster = ?1 AND motion IN
                 (SELECT motion FROM cluster_vote WHERE cluster = ?1 AND phase >= ?2 AND until + ?3 < ?4)",
            )?
            .execute((row.cluster, Phase::Done.number(), ms(WINDOW_EPOCHS), ms(state.epoch)))?;
        Ok(())
    }

    /// What we know of a vote that only trustees may know, and what nobody needs once it has ended.
    fn clear_vote(&self, row: &ClusterRow, vote: &Vote, dealings: &[[u8; 32]]) -> Result<(), ChatError> {
        let key = (row.cluster, vote.id().0);
        self.conn.execute("UPDATE cluster_vote SET seed = NULL, choice = NULL WHERE cluster = ?1 AND motion = ?2", key)?;
        self.conn
            .execute("DELETE FROM cluster_vote_said WHERE cluster = ?1 AND motion = ?2 AND kind = ?3", (key.0, key.1, SHARE))?;
        let mut share = self.conn.prepare_cached("DELETE FROM cluster_vote_share WHERE cluster = ?1 AND dealing = ?2")?;
        dealings.iter().try_for_each(|dealing| share.execute((row.cluster, dealing)).map(|_| ()))?;
        // Of what was never dealt in public nobody knows for which vote it was.
        self.conn.execute(
            "DELETE FROM cluster_vote_share WHERE cluster = ?1 AND NOT EXISTS
             (SELECT 1 FROM cluster_vote WHERE cluster = ?1 AND motion != ?2 AND phase < ?3)",
            (row.cluster, vote.id().0, Phase::Done.number()),
        )?;
        Ok(())
    }

    /// What we say in votes that have not ended is said again, and what we confirmed.
    pub(crate) fn say_votes_again(&self, row: &ClusterRow) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE cluster_vote_said SET state = NULL WHERE cluster = ?1 AND (kind = ?3 OR motion IN
             (SELECT motion FROM cluster_vote WHERE cluster = ?1 AND phase < ?2))",
            (row.cluster, Phase::Done.number(), CONFIRMATION),
        )?;
        Ok(())
    }

    /// We are in no vote of a cluster any more, and keep nothing that is secret. Should we come back we say nothing in those.
    pub(crate) fn forget_votes(&self, row: &ClusterRow) -> Result<(), ChatError> {
        self.conn.execute("UPDATE cluster_vote SET seed = NULL, choice = NULL, silent = 1 WHERE cluster = ?1", [row.cluster])?;
        for table in ["cluster_vote_share", "cluster_vote_step", "cluster_vote_said"] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE cluster = ?1"), [row.cluster])?;
        }
        Ok(())
    }

    pub(crate) fn member_secret(&mut self, row: &ClusterRow) -> Result<MemberSecret, ChatError> {
        let seed = self.mls.groups(self.conn, self.rng).signer(&row.member)?;
        Ok(MemberSecret::from_seed(*seed.seed()))
    }
}

/// `known`: its panel, if that has been verified.
fn vote_row(row: &Row<'_>, known: Option<Panel>) -> rusqlite::Result<Option<Vote>> {
    let (context, past, motion): (Vec<u8>, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let seed = row.get::<_, Option<[u8; 32]>>(3)?.map(TrusteeSecret::new);
    let (choice, began, ready, over, full) = (row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?);
    let (silent, phase) = (row.get(9)?, Phase::from_number(row.get(10)?));
    let found = || {
        let context = Context::decode(&context).ok()?;
        let hours = u64::from(context.charter.rollout_hours).saturating_mul(context.charter.motion_epochs.into());
        let panel = known.or_else(|| panel_of(&context, &past, &motion))?;
        let half = if panel.motion().decides_in_secret() { HOUR_MS / 4 } else { HOUR_MS / 2 };
        let least = u64::saturating_add(began, hours.saturating_mul(half));
        Some(Vote { panel, seed, choice, began, least, ready, over, full, silent, phase })
    };
    Ok(found())
}

fn panel_of(context: &Context, past: &[u8], motion: &[u8]) -> Option<Panel> {
    let motion = MotionIn::decode(motion).ok()?;
    let past = PastIn::decode(past).ok()?;
    let roster = past.claimed_roster().clone();
    let past = past.verify(motion.claimed().epoch, &roster, &context.charter).ok()?;
    let cluster = motion.claimed().cluster;
    Panel::of(motion.verify(&cluster, &past).ok()?, &context.salt).ok()
}
