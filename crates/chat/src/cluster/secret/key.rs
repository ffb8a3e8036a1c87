//! The key of a secret vote: what trustees say until there is one.

use std::collections::BTreeMap;

use samizdat_cluster::{
    MemberSecret,
    secret::{Complaint, DealingId, Key, Setup, Share, ShareIn, StepIn, StepKind, Subject, TrusteeSecret},
};
use samizdat_core::Now;

use super::{SHARE, Vote};
use crate::{
    cluster::row::{ClusterRow, ms},
    error::ChatError,
    limits::{SECRET_COMPLAINTS_MS, SECRET_DEALING_MS},
    work::Work,
};

/// The share that came of each dealing; nothing: one that does not fit.
type Shares = BTreeMap<DealingId, Option<Share>>;

impl Work<'_> {
    /// What was said of the key so far.
    pub(super) fn setup(&self, row: &ClusterRow, vote: &Vote) -> Result<Setup, ChatError> {
        let mut setup = Setup::new(vote.panel.clone());
        for (number, step) in self.steps(row, vote, &[StepKind::Dealing, StepKind::Complaint, StepKind::Decision])? {
            let counts = match step {
                StepIn::Dealing(dealing) => setup.deal(dealing).is_ok(),
                StepIn::Complaint(complaint) => setup.complain(complaint).is_ok(),
                StepIn::Decision(decision) => decision.claimed_subject() != Subject::Key || setup.agree(decision).is_ok(),
                StepIn::Word(_) | StepIn::Ballot(_) | StepIn::Opening(_) => false,
            };
            if !counts {
                self.forget_step(number)?;
            }
        }
        Ok(setup)
    }

    /// Does what is for us to do as a trustee; when something is due next, ms.
    pub(super) fn make_key(
        &mut self,
        row: &ClusterRow,
        vote: &mut Vote,
        setup: &mut Setup,
        us: &MemberSecret,
        now: Now,
    ) -> Result<u64, ChatError> {
        if !vote.is_ours(row) {
            return Ok(u64::MAX);
        }
        if vote.seed.is_none() {
            self.deal(row, vote, setup, us, now)?;
        }
        let shares = self.shares(row, vote, setup)?;
        let all = setup.awaited().next().is_none() && setup.dealings().all(|dealing| shares.contains_key(&dealing.id()));
        let patience = vote.began.saturating_add(SECRET_DEALING_MS);
        if vote.ready == 0 {
            if !all && now.unix_ms < patience {
                return Ok(patience);
            }
            self.complain(row, vote, setup, (&shares, us), now)?;
            vote.ready = now.unix_ms;
            self.conn.execute(
                "UPDATE cluster_vote SET ready = ?3 WHERE cluster = ?1 AND motion = ?2",
                (row.cluster, vote.id().0, ms(now.unix_ms)),
            )?;
        }
        let complained = vote.ready.saturating_add(SECRET_COMPLAINTS_MS);
        if now.unix_ms < complained {
            return Ok(complained);
        }
        let held: Vec<Share> = shares.into_values().flatten().collect();
        let ours = (|| setup.proposal(&held), |pick: &_| setup.takes(pick, &held), |pick: &_| setup.fits(pick));
        let (decision, next) = self.agree(row, vote, us, (Subject::Key, complained), now, ours)?;
        if let Some(decision) = decision {
            setup.agree(decision).map_err(|_| ChatError::Bug("own decision"))?;
        }
        Ok(next)
    }

    /// What was dealt for the key and whoever heard others of its dealer may lack is said again.
    pub(super) fn deal_again(&self, row: &ClusterRow, vote: &Vote, setup: &Setup, key: &Key) -> Result<(), ChatError> {
        if !vote.is_ours(row) {
            return Ok(());
        }
        let mut doubled = setup.doubled(key);
        doubled.try_for_each(|dealing| self.say_again_in_vote(row, &vote.id(), &StepIn::Dealing(dealing.unverified())))
    }

    /// Deals, once for each vote: what it is made of is kept with it.
    fn deal(&mut self, row: &ClusterRow, vote: &mut Vote, setup: &mut Setup, us: &MemberSecret, now: Now) -> Result<(), ChatError> {
        let seed = self.secret();
        self.conn
            .execute("UPDATE cluster_vote SET seed = ?3 WHERE cluster = ?1 AND motion = ?2", (row.cluster, vote.id().0, seed))?;
        let ours = TrusteeSecret::new(seed);
        let (dealing, shares) = ours.deal(&vote.panel, us).map_err(|_| ChatError::Bug("own dealing"))?;
        setup.deal(dealing.unverified()).map_err(|_| ChatError::Bug("own dealing"))?;
        self.say_step(row, vote, &StepIn::Dealing(dealing.unverified()), now)?;
        for (to, share) in shares {
            if to == row.member {
                self.put_share(row, &to, &share)?;
            } else {
                self.conn.execute(
                    "INSERT INTO cluster_vote_said(cluster, motion, kind, member, bytes) VALUES(?1, ?2, ?3, ?4, ?5)",
                    (row.cluster, vote.id().0, SHARE, to.0, share.encode()),
                )?;
            }
        }
        vote.seed = Some(ours);
        Ok(())
    }

    /// Complains of those whose share has not come or does not fit, if they can be done without.
    fn complain(
        &mut self,
        row: &ClusterRow,
        vote: &Vote,
        setup: &mut Setup,
        (shares, us): (&Shares, &MemberSecret),
        now: Now,
    ) -> Result<(), ChatError> {
        let lacking = |id: &DealingId| !shares.get(id).is_some_and(Option::is_some);
        let about: Vec<DealingId> = setup.dealings().map(|dealing| dealing.id()).filter(lacking).collect();
        if about.is_empty() {
            return Ok(());
        }
        if let Ok(complaint) = Complaint::sign(&vote.panel, us, about) {
            self.say_step(row, vote, &StepIn::Complaint(complaint.unverified()), now)?;
            setup.complain(complaint.unverified()).map_err(|_| ChatError::Bug("own complaint"))?;
        }
        Ok(())
    }

    /// The shares that we were given, each by whoever dealt.
    pub(super) fn shares(&self, row: &ClusterRow, vote: &Vote, setup: &Setup) -> Result<Shares, ChatError> {
        let mut statement =
            self.conn.prepare_cached("SELECT bytes FROM cluster_vote_share WHERE cluster = ?1 AND author = ?2 AND dealing = ?3")?;
        let mut shares = Shares::new();
        for dealing in setup.dealings() {
            let rows = statement.query_map((row.cluster, dealing.trustee().0, dealing.id().0), |row| row.get::<_, Vec<u8>>(0))?;
            for bytes in rows {
                let share = ShareIn::decode(&bytes?).ok();
                let share = share.and_then(|share| share.verify(dealing, &vote.panel, &row.member).ok());
                shares.insert(dealing.id(), share);
            }
        }
        Ok(shares)
    }
}
