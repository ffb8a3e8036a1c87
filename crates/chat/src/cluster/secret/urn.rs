//! Ballots and openings of a secret vote, and what it comes to.

use samizdat_cluster::{
    MemberId, MemberSecret,
    limits::SLOT_MS,
    secret::{BadOpening, Key, SecretBallot, Setup, Share, StepIn, StepKind, TranscriptIn, TrusteeSecret, Urn, Verdict},
};

use super::{Phase, Vote};
use crate::{cluster::row::ClusterRow, error::ChatError, limits::SECRET_OPENING_MS, work::Work};

impl Work<'_> {
    /// Votes if we want to, opens if it is time to, and looks whether there is a result; when something is due next, ms.
    pub(super) fn look_after_urn(
        &mut self,
        row: &ClusterRow,
        vote: &Vote,
        setup: &Setup,
        key: &Key,
        us: &MemberSecret,
        now: u64,
    ) -> Result<u64, ChatError> {
        self.enter_phase(row, vote, Phase::Voting)?;
        self.check_ballots(row, vote, key)?;
        if let Some(choice) = vote.choice.filter(|_| vote.over == 0) {
            self.cast(row, vote, key, us, choice)?;
        }
        let voted = self.voted(row, vote)?;
        let (full, settled) = (voted.len() == vote.panel.motion().electorate().len(), vote.settled());
        let is_settled = settled.is_some_and(|at| at <= now);
        // Whatever trustees open earlier: ballots are awaited.
        if !full && !is_settled {
            return Ok(settled.unwrap_or(u64::MAX));
        }
        self.enter_phase(row, vote, Phase::Opening)?;
        let mut urn = self.urn(row, vote, key)?;
        for (number, step) in self.steps(row, vote, &[StepKind::Opening])? {
            let StepIn::Opening(opening) = step else { continue };
            match urn.opened(opening) {
                // It may count once the ballots have come.
                Ok(_) | Err(BadOpening::Unheard) => {}
                Err(_) => self.forget_step(number)?,
            }
        }
        let mut next = settled.unwrap_or(u64::MAX);
        if let Some(place) = vote.place(&row.member).filter(|_| urn.verdict().is_none()) {
            // When everybody has voted all open the same; or else one after the other.
            let turn = if full { 0 } else { next.saturating_add(place.saturating_mul(SLOT_MS)) };
            if turn <= now {
                self.open_urn(row, vote, setup, &mut urn, us)?;
            } else {
                next = turn;
            }
        }
        if let Some(verdict) = urn.verdict() {
            return self.conclude(row, vote, setup, &urn, &verdict);
        }
        match settled {
            Some(_) if is_settled && voted.len() < urn.needed() => self.fail(row, vote, Phase::TooFew),
            Some(settled) => {
                let end = settled.saturating_add(SECRET_OPENING_MS);
                if end <= now { self.fail(row, vote, Phase::NotOpened) } else { Ok(if next > now { next } else { end }) }
            }
            None => Ok(next),
        }
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
    fn cast(&mut self, row: &ClusterRow, vote: &Vote, key: &Key, us: &MemberSecret, choice: u8) -> Result<(), ChatError> {
        if !self.has_said(row, &vote.id(), StepKind::Ballot)? {
            let seed = self.secret();
            let ballot = SecretBallot::cast(key, us, choice.into(), &seed).map_err(|_| ChatError::Bug("own secret ballot"))?;
            self.say_step(row, vote, &StepIn::Ballot(ballot.unverified()))?;
        }
        self.conn
            .execute("UPDATE cluster_vote SET choice = NULL WHERE cluster = ?1 AND motion = ?2", (row.cluster, vote.id().0))?;
        Ok(())
    }

    /// Who has voted, by ballots that count.
    pub(super) fn voted(&self, row: &ClusterRow, vote: &Vote) -> Result<Vec<MemberId>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT DISTINCT author FROM cluster_vote_step WHERE cluster = ?1 AND motion = ?2 AND kind = ?3 AND checked = 1 ORDER BY author",
        )?;
        let rows = statement.query_map((row.cluster, vote.id().0, StepKind::Ballot.number()), |row| Ok(MemberId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn urn(&self, row: &ClusterRow, vote: &Vote, key: &Key) -> Result<Urn, ChatError> {
        let mut urn = Urn::new(key.clone());
        for (number, step) in self.steps(row, vote, &[StepKind::Ballot])? {
            let StepIn::Ballot(ballot) = step else { continue };
            if urn.add(ballot).is_err() {
                self.forget_step(number)?;
            }
        }
        Ok(urn)
    }

    /// Opens what is in the urn, once; nothing if there is too little in it, or we lack shares.
    fn open_urn(
        &mut self,
        row: &ClusterRow,
        vote: &Vote,
        setup: &Setup,
        urn: &mut Urn,
        us: &MemberSecret,
    ) -> Result<(), ChatError> {
        if self.has_said(row, &vote.id(), StepKind::Opening)? {
            return Ok(());
        }
        let shares: Vec<Share> = self.shares(row, vote, setup)?.into_values().flatten().collect();
        let (seed, drawn) = (self.secret(), self.secret());
        // Who came to know of the vote after the key was made has not dealt, and may hold shares.
        let ours = vote.seed.clone().unwrap_or_else(|| TrusteeSecret::new(drawn));
        if let Ok(opening) = urn.open(us, &ours, &shares, seed) {
            self.say_step(row, vote, &StepIn::Opening(opening.unverified()))?;
            urn.opened(opening.unverified()).map_err(|_| ChatError::Bug("own opening"))?;
        }
        Ok(())
    }

    /// There is a result: it is kept with all that proves it, and what was secret is forgotten.
    fn conclude(&mut self, row: &ClusterRow, vote: &Vote, setup: &Setup, urn: &Urn, verdict: &Verdict) -> Result<u64, ChatError> {
        let transcript = TranscriptIn::of(setup, urn).ok_or(ChatError::Bug("transcript of a secret vote"))?;
        let left_out: Vec<MemberId> = urn.left_out(verdict).copied().collect();
        let cheats: Vec<MemberId> = urn.cheats().filter_map(|proof| Some(proof.culprit()?.0)).collect();
        let counts: Vec<u8> = verdict.counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        self.conn.execute(
            "UPDATE cluster_vote SET transcript = ?3, counts = ?4, answered = ?5, voters = ?6, left_out = ?7 WHERE cluster = ?1 AND motion = ?2",
            (row.cluster, vote.id().0, transcript.encode(), counts, verdict.passed, flat(&verdict.voters), flat(&left_out)),
        )?;
        self.end(row, vote, Phase::Done, &cheats)
    }

    /// Nothing comes of it.
    pub(super) fn fail(&mut self, row: &ClusterRow, vote: &Vote, why: Phase) -> Result<u64, ChatError> {
        let voted = self.voted(row, vote)?;
        self.conn.execute(
            "UPDATE cluster_vote SET voters = ?3 WHERE cluster = ?1 AND motion = ?2",
            (row.cluster, vote.id().0, flat(&voted)),
        )?;
        self.end(row, vote, why, &[])
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
