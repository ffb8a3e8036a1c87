//! Ballots and openings of a secret vote, and what it comes to.

use std::collections::BTreeMap;

use samizdat_cluster::{
    MemberId, MemberSecret,
    secret::{
        BadOpening, BadWord, Key, SecretBallot, Setup, Share, StepIn, StepKind, Subject, TranscriptIn, TrusteeSecret, TwoBallots,
        Urn, Verdict,
    },
};
use samizdat_core::Now;

use super::{Phase, Vote};
use crate::{
    cluster::row::{ClusterRow, ms},
    error::ChatError,
    limits::{SECRET_OPENING_MS, SECRET_SETTLE_MS},
    work::Work,
};

impl Work<'_> {
    /// Votes if we want to, opens if it is time to, and looks whether there is a result; when something is due next, ms.
    pub(super) fn look_after_urn(
        &mut self,
        row: &ClusterRow,
        vote: &mut Vote,
        setup: &Setup,
        key: &Key,
        us: &MemberSecret,
        now: Now,
    ) -> Result<u64, ChatError> {
        self.enter_phase(row, vote, Phase::Voting)?;
        self.deal_again(row, vote, setup, key)?;
        self.check_ballots(row, vote, key)?;
        if let Some(choice) = vote.choice.filter(|_| vote.over == 0 && !vote.silent) {
            self.cast(row, vote, key, us, choice, now)?;
        }
        let heard = self.ballots_heard(row, vote)?;
        let settled = vote.settled();
        let is_settled = settled.is_some_and(|at| at <= now.unix_ms);
        if vote.full == 0 && !is_settled && heard.len() == vote.panel.motion().electorate().len() {
            vote.full = now.unix_ms;
            let full = "UPDATE cluster_vote SET full = ?3 WHERE cluster = ?1 AND motion = ?2";
            self.conn.execute(full, (row.cluster, vote.id().0, ms(vote.full)))?;
        }
        let closed = vote.full > 0 || is_settled;
        // Others may have heard of the end before.
        if !closed && self.steps(row, vote, &[StepKind::Opening])?.is_empty() {
            return Ok(settled.unwrap_or(u64::MAX));
        }
        let mut urn = self.urn(row, vote, key)?;
        let mut next = settled.filter(|at| *at > now.unix_ms).unwrap_or(u64::MAX);
        if closed {
            self.enter_phase(row, vote, Phase::Opening)?;
        }
        if closed && vote.is_ours(row) && urn.verdict().is_none() {
            next = next.min(self.agree_and_open(row, vote, setup, &mut urn, (us, &heard), now)?);
        }
        if let Some(verdict) = urn.verdict() {
            return self.conclude(row, vote, setup, &urn, &verdict);
        }
        let Some(settled) = settled.filter(|_| is_settled) else { return Ok(next) };
        // Of whom nobody has heard by now nobody has proposed a ballot.
        let in_time = heard.values().filter(|at| **at <= settled).count();
        let end = settled.saturating_add(SECRET_OPENING_MS);
        match urn.is_agreed() {
            false if in_time < urn.needed() => self.fail(row, vote, Phase::TooFew),
            _ if now.unix_ms < end => Ok(next.min(end)),
            _ => self.fail(row, vote, Phase::NotOpened),
        }
    }

    /// As a trustee: agrees with the others what is opened, and opens that; when the round ends, ms. Of the hour after the end of the
    /// motion, what came in the first third must be in it, and what came in the last is not proposed: in between, all have heard of it.
    fn agree_and_open(
        &mut self,
        row: &ClusterRow,
        vote: &Vote,
        setup: &Setup,
        urn: &mut Urn,
        (us, heard): (&MemberSecret, &BTreeMap<MemberId, u64>),
        now: Now,
    ) -> Result<u64, ChatError> {
        let mut next = u64::MAX;
        if !urn.is_agreed() {
            let third = SECRET_SETTLE_MS.checked_div(3).unwrap_or(0);
            let within = |thirds: u64| vote.over.saturating_add(third.saturating_mul(thirds));
            let came = |voter: &MemberId, thirds| heard.get(voter).is_some_and(|at| *at <= within(thirds));
            let proposes = |voter: &MemberId| vote.full > 0 || came(voter, 2);
            let demands = |voter: &MemberId| vote.over == 0 || came(voter, 1);
            let since = if vote.full > 0 { vote.full } else { vote.settled().unwrap_or(now.unix_ms) };
            let ours = (|| urn.proposal(proposes), |pick: &_| urn.takes(pick, demands), |pick: &_| urn.fits(pick));
            let (decision, round) = self.agree(row, vote, us, (Subject::Count, since), now, ours)?;
            next = round;
            if let Some(decision) = decision {
                urn.agree(decision).map_err(|_| ChatError::Bug("own decision"))?;
            }
        }
        if urn.is_agreed() {
            self.open_urn(row, vote, setup, urn, us, now)?;
            let doubled = urn.doubled().map(|ballot| StepIn::Ballot(ballot.unverified()));
            doubled.collect::<Vec<_>>().iter().try_for_each(|ballot| self.say_again_in_vote(row, &vote.id(), ballot))?;
        }
        Ok(next)
    }

    /// Verifies the ballots that have come since the last time.
    fn check_ballots(&self, row: &ClusterRow, vote: &Vote, key: &Key) -> Result<(), ChatError> {
        let unchecked: Vec<(i64, Vec<u8>)> = self
            .conn
            .prepare_cached(
                "SELECT number, bytes FROM cluster_vote_step WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 AND checked = 0",
            )?
            .query_map((row.cluster, vote.id().0, StepKind::Ballot.number()), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (number, bytes) in unchecked {
            match StepIn::decode(StepKind::Ballot, &bytes) {
                Ok(StepIn::Ballot(ballot)) if ballot.clone().verify(key).is_ok() => {
                    self.conn.execute("UPDATE cluster_vote_step SET checked = 1 WHERE number = ?1", [number])?;
                }
                _ => self.forget_step(number)?,
            }
        }
        Ok(())
    }

    /// Casts our ballot. What it says is forgotten with it: nobody finds it on this device.
    fn cast(&mut self, row: &ClusterRow, vote: &Vote, key: &Key, us: &MemberSecret, choice: u8, now: Now) -> Result<(), ChatError> {
        if !self.has_said(row, &vote.id(), StepKind::Ballot)? {
            let seed = self.secret();
            let ballot = SecretBallot::cast(key, us, choice.into(), &seed).map_err(|_| ChatError::Bug("own secret ballot"))?;
            self.say_step(row, vote, &StepIn::Ballot(ballot.unverified()), now)?;
        }
        self.conn
            .execute("UPDATE cluster_vote SET choice = NULL WHERE cluster = ?1 AND motion = ?2", (row.cluster, vote.id().0))?;
        Ok(())
    }

    /// Who has voted, by ballots that count.
    pub(super) fn voted(&self, row: &ClusterRow, vote: &Vote) -> Result<Vec<MemberId>, ChatError> {
        Ok(self.ballots_heard(row, vote)?.into_keys().collect())
    }

    /// The same, and since when we know, ms.
    fn ballots_heard(&self, row: &ClusterRow, vote: &Vote) -> Result<BTreeMap<MemberId, u64>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT author, min(at) FROM cluster_vote_step WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 AND checked = 1 GROUP BY author",
        )?;
        let key = (row.cluster, vote.id().0, StepKind::Ballot.number());
        let rows = statement.query_map(key, |row| Ok((MemberId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The ballots, what trustees agreed on, and what they opened. What names ballots that have not come may count once they have.
    fn urn(&self, row: &ClusterRow, vote: &Vote, key: &Key) -> Result<Urn, ChatError> {
        let mut urn = Urn::new(key.clone());
        for (number, step) in self.steps(row, vote, &[StepKind::Ballot, StepKind::Decision, StepKind::Opening])? {
            let counts = match step {
                StepIn::Ballot(ballot) => urn.add(ballot).is_ok(),
                StepIn::Decision(decision) if decision.claimed_subject() == Subject::Count => {
                    matches!(urn.agree(decision), Ok(_) | Err(BadWord::Unheard))
                }
                StepIn::Opening(opening) => matches!(urn.opened(opening), Ok(_) | Err(BadOpening::Unheard)),
                _ => true,
            };
            if !counts {
                self.forget_step(number)?;
            }
        }
        Ok(urn)
    }

    /// Opens what was agreed on, once; nothing if we lack shares.
    fn open_urn(
        &mut self,
        row: &ClusterRow,
        vote: &Vote,
        setup: &Setup,
        urn: &mut Urn,
        us: &MemberSecret,
        now: Now,
    ) -> Result<(), ChatError> {
        if self.has_said(row, &vote.id(), StepKind::Opening)? {
            return Ok(());
        }
        let shares: Vec<Share> = self.shares(row, vote, setup)?.into_values().flatten().collect();
        let (seed, drawn) = (self.secret(), self.secret());
        // Who came to know of the vote after the key was made has not dealt, and may hold shares.
        let ours = vote.seed.clone().unwrap_or_else(|| TrusteeSecret::new(drawn));
        if let Ok(opening) = urn.open(us, &ours, &shares, seed) {
            self.say_step(row, vote, &StepIn::Opening(opening.unverified()), now)?;
            urn.opened(opening.unverified()).map_err(|_| ChatError::Bug("own opening"))?;
        }
        Ok(())
    }

    /// There is a result: it is kept with all that proves it, and what was secret is forgotten.
    fn conclude(&mut self, row: &ClusterRow, vote: &Vote, setup: &Setup, urn: &Urn, verdict: &Verdict) -> Result<u64, ChatError> {
        let transcript = TranscriptIn::of(setup, urn).ok_or(ChatError::Bug("transcript of a secret vote"))?;
        let left_out: Vec<MemberId> = urn.left_out(verdict).copied().collect();
        let cheats = self.cheats(row, vote)?;
        let counts: Vec<u8> = verdict.counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        self.conn.execute(
            "UPDATE cluster_vote SET transcript = ?3, counts = ?4, voters = ?5, left_out = ?6 WHERE cluster = ?1 AND motion = ?2",
            (row.cluster, vote.id().0, transcript.encode(), counts, flat(&verdict.voters), flat(&left_out)),
        )?;
        self.touch(row.cluster);
        self.end(row, vote, Phase::Done, &cheats)
    }

    /// A second ballot, once the result is there, of somebody who was counted: both prove it, and whoever heard others only lacks the one
    /// that was counted.
    pub(super) fn take_late(&mut self, row: &ClusterRow, step: &StepIn, now: Now) -> Result<(), ChatError> {
        let (motion, author) = (step.claimed_motion(), step.claimed_author());
        let Some(vote) = self.secret_vote(row, &motion)? else { return Ok(()) };
        let sql = "SELECT transcript FROM cluster_vote WHERE cluster = ?1 AND motion = ?2";
        let told: Option<Vec<u8>> = self.conn.prepare_cached(sql)?.query_row((row.cluster, motion.0), |row| row.get(0))?;
        let Some(told) = told.and_then(|bytes| TranscriptIn::decode(&bytes).ok()) else { return Ok(()) };
        let Some(counted) = told.ballots().iter().find(|ballot| ballot.claimed_voter() == author) else { return Ok(()) };
        let StepIn::Ballot(late) = step else { return Ok(()) };
        if TwoBallots::new(counted.clone(), late.clone()).culprit().is_none() {
            return Ok(());
        }
        let counted = StepIn::Ballot(counted.clone());
        self.keep_step(row, None, &counted, now)?;
        self.keep_step(row, None, step, now)?;
        if vote.is_ours(row) {
            self.say_again_in_vote(row, &motion, &counted)?;
        }
        self.touch(row.cluster);
        Ok(())
    }

    /// Nothing comes of it.
    pub(super) fn fail(&mut self, row: &ClusterRow, vote: &Vote, why: Phase) -> Result<u64, ChatError> {
        let voted = self.voted(row, vote)?;
        self.conn.execute(
            "UPDATE cluster_vote SET voters = ?3 WHERE cluster = ?1 AND motion = ?2",
            (row.cluster, vote.id().0, flat(&voted)),
        )?;
        let cheats = self.cheats(row, vote)?;
        self.end(row, vote, why, &cheats)
    }

    /// What was said is forgotten, but for what proves that somebody cheated.
    fn end(&mut self, row: &ClusterRow, vote: &Vote, phase: Phase, cheats: &[MemberId]) -> Result<u64, ChatError> {
        let setup = self.setup(row, vote)?;
        let dealings: Vec<[u8; 32]> = setup.dealings().map(|dealing| dealing.id().0).collect();
        self.clear_vote(row, vote, &dealings)?;
        for (number, step) in self.steps(row, vote, &StepKind::ALL)? {
            if step.kind() != StepKind::Ballot || !cheats.contains(&step.claimed_author()) {
                self.forget_step(number)?;
            }
        }
        self.enter_phase(row, vote, phase)?;
        Ok(u64::MAX)
    }
}

fn flat(members: &[MemberId]) -> Vec<u8> {
    members.iter().flat_map(|member| member.0).collect()
}
