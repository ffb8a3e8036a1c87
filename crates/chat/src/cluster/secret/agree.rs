//! What trustees say to each other so that all agree.

use samizdat_cluster::{
    MemberSecret,
    secret::{Decision, DecisionIn, Pick, StepIn, StepKind, Subject, Talk, round_after},
};
use samizdat_core::Now;

use super::Vote;
use crate::{cluster::row::ClusterRow, error::ChatError, work::Work};

impl Work<'_> {
    /// Says what is for us to say as a trustee on one subject, of which the first round began at `since`, ms; what was decided by that,
    /// if anything, and when the round ends, ms. `fresh` is what we would propose, `takes` what we can take, `fits` what is what it says.
    pub(super) fn agree(
        &mut self,
        row: &ClusterRow,
        vote: &Vote,
        us: &MemberSecret,
        (subject, since): (Subject, u64),
        now: Now,
        (fresh, takes, fits): (impl Fn() -> Option<Pick>, impl Fn(&Pick) -> bool, impl Fn(&Pick) -> bool),
    ) -> Result<(Option<DecisionIn>, u64), ChatError> {
        let mut talk = Talk::new(vote.panel.clone(), subject);
        for (number, step) in self.steps(row, vote, &[StepKind::Word])? {
            match step {
                StepIn::Word(word) if word.claimed_subject() != subject => {}
                StepIn::Word(word) if talk.hear(word.clone()).is_ok() => {}
                _ => self.forget_step(number)?,
            }
        }
        let (round, left) = round_after(now.unix_ms.saturating_sub(since));
        while let Some(word) = talk.next(us, round, &fresh, &takes) {
            self.say_step(row, vote, &StepIn::Word(word.unverified()), now)?;
            talk.hear(word.unverified()).map_err(|_| ChatError::Bug("own word"))?;
        }
        let decision = talk.decision(&row.member, fits).and_then(|told| told.verify(&vote.panel, subject).ok());
        let decision = decision.as_ref().map(Decision::unverified);
        if let Some(decision) = &decision {
            self.say_step(row, vote, &StepIn::Decision(decision.clone()), now)?;
        }
        Ok((decision, now.unix_ms.saturating_add(left)))
    }
}
