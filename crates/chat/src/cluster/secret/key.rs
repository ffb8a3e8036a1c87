//! The key of a secret vote: what trustees say until there is one.

use std::collections::BTreeMap;

use samizdat_cluster::{
    MemberSecret,
    limits::SLOT_MS,
    secret::{Complaint, DealingId, Setup, Share, ShareIn, StepIn, StepKind, TrusteeSecret},
};

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
        for (number, step) in self.steps(row, vote, &[StepKind::Dealing, StepKind::Complaint, StepKind::Accept])? {
            let counts = match step {
                StepIn::Dealing(dealing) => setup.deal(dealing).is_ok(),
                StepIn::Complaint(complaint) => setup.complain(complaint).is_ok(),
                StepIn::Accept(accept) => setup.accept(accept).is_ok(),
                StepIn::Ballot(_) | StepIn::Opening(_) => false,
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
        now: u64,
    ) -> Result<u64, ChatError> {
        let Some(place) = vote.place(&row.member) else { return Ok(u64::MAX) };
        if vote.seed.is_none() {
            self.deal(row, vote, setup, us)?;
        }
        if self.has_said(row, &vote.id(), StepKind::Accept)? {
            return Ok(u64::MAX);
        }
        let shares = self.shares(row, vote, setup)?;
        let all = setup.awaited().next().is_none() && setup.dealings().all(|dealing| shares.contains_key(&dealing.id()));
        let patience = vote.began.saturating_add(SECRET_DEALING_MS);
        if vote.ready == 0 {
            if !all && now < patience {
                return Ok(patience);
            }
            self.complain(row, vote, setup, &shares, us)?;
            vote.ready = now;
            self.conn.execute(
                "UPDATE cluster_vote SET ready = ?3 WHERE cluster = ?1 AND motion = ?2",
                (row.cluster, vote.id().0, ms(now)),
            )?;
        }
        // One after the other, so that each can take what those before it took.
        let turn = vote.ready.saturating_add(SECRET_COMPLAINTS_MS).saturating_add(place.saturating_mul(SLOT_MS));
        if now < turn {
            return Ok(turn);
        }
        let held: Vec<Share> = shares.into_values().flatten().collect();
        if let Ok(accept) = setup.say(&held, us) {
            self.say_step(row, vote, &StepIn::Accept(accept.unverified()))?;
            setup.accept(accept.unverified()).map_err(|_| ChatError::Bug("own acceptance"))?;
        }
        // Too few have dealt: whatever comes calls us again.
        Ok(u64::MAX)
    }

    /// Deals, once for each vote: what it is made of is kept with it.
    fn deal(&mut self, row: &ClusterRow, vote: &mut Vote, setup: &mut Setup, us: &MemberSecret) -> Result<(), ChatError> {
        let seed = self.secret();
        self.conn
            .execute("UPDATE cluster_vote SET seed = ?3 WHERE cluster = ?1 AND motion = ?2", (row.cluster, vote.id().0, seed))?;
        let ours = TrusteeSecret::new(seed);
        let (dealing, shares) = ours.deal(&vote.panel, us).map_err(|_| ChatError::Bug("own dealing"))?;
        setup.deal(dealing.unverified()).map_err(|_| ChatError::Bug("own dealing"))?;
        self.say_step(row, vote, &StepIn::Dealing(dealing.unverified()))?;
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
        shares: &Shares,
        us: &MemberSecret,
    ) -> Result<(), ChatError> {
        let lacking = |id: &DealingId| !shares.get(id).is_some_and(Option::is_some);
        let about: Vec<DealingId> = setup.dealings().map(|dealing| dealing.id()).filter(lacking).collect();
        if about.is_empty() {
            return Ok(());
        }
        if let Ok(complaint) = Complaint::sign(&vote.panel, us, about) {
            self.say_step(row, vote, &StepIn::Complaint(complaint.unverified()))?;
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
