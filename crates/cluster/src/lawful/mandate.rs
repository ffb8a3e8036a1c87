//! What certificates and statements demand together of one change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Parent, Unlawful};
use crate::{
    certificate::CertificateIn,
    charter::Charter,
    ids::{MemberId, MotionId},
    leave::LeaveIn,
    limits::{CERTIFICATES_MAX, LEAVES_MAX},
    motion::{Admission, Kind},
    roster::{Past, Roster},
};

/// What members decided, and who leaves.
#[derive(Debug, Default)]
pub(crate) struct Mandate {
    pub(crate) admitted: BTreeMap<MemberId, Admission>,
    pub(crate) removed: BTreeSet<MemberId>,
    pub(crate) charter: Option<Charter>,
    pub(crate) done: Vec<MotionId>,
}

impl Mandate {
    /// Verifies everything; each has an effect, none contradicts another.
    pub(crate) fn of(parent: &Parent<'_>, certificates: &[CertificateIn], leaves: &[LeaveIn]) -> Result<Self, Unlawful> {
        if certificates.len() > CERTIFICATES_MAX || leaves.len() > LEAVES_MAX {
            return Err(Unlawful::TooMany);
        }
        let mut mandate = Self::default();
        let roster = parent.past.roster();
        for leave in leaves {
            mandate.leave(leave.verify(&parent.cluster)?.member(), roster)?;
        }
        for certificate in certificates {
            let certificate = certificate.verify(&parent.cluster, parent.past)?;
            let motion = certificate.motion();
            mandate.note(motion.id(), parent.done)?;
            mandate.take(&motion.fields().kind, roster)?;
        }
        Ok(mandate)
    }

    /// The past of the child.
    pub(crate) fn carried_out(&self, past: &Past) -> Result<Past, Unlawful> {
        let charter = self.charter.as_ref().unwrap_or(past.charter());
        let roster = past.roster().without(|member| self.removed.contains(member)).with(self.admitted.keys().copied());
        if roster.len() > charter.cap.into() {
            return Err(Unlawful::OverCap);
        }
        Ok(past.after(roster, charter.clone()))
    }

    fn leave(&mut self, member: MemberId, roster: &Roster) -> Result<(), Unlawful> {
        let leaves = roster.contains(&member) && self.removed.insert(member);
        if leaves { Ok(()) } else { Err(Unlawful::WithoutEffect) }
    }

    fn note(&mut self, motion: MotionId, done: &BTreeSet<MotionId>) -> Result<(), Unlawful> {
        if self.done.contains(&motion) {
            return Err(Unlawful::Twice);
        }
        if done.contains(&motion) {
            return Err(Unlawful::AlreadyDone);
        }
        self.done.push(motion);
        Ok(())
    }

    /// Two motions may agree in what they want; both are then carried out.
    fn take(&mut self, kind: &Kind, roster: &Roster) -> Result<(), Unlawful> {
        match kind {
            Kind::Admit(admission) => self.admit(admission, roster),
            Kind::Expel { member } => self.remove(core::slice::from_ref(member), roster),
            Kind::Silent { members } => self.remove(members, roster),
            Kind::Charter(charter) => match &self.charter {
                Some(other) if other != charter => Err(Unlawful::Contradiction),
                _ => {
                    self.charter = Some(charter.clone());
                    Ok(())
                }
            },
            // Its certificate does not verify.
            Kind::Question { .. } => Err(Unlawful::WithoutEffect),
        }
    }

    fn admit(&mut self, admission: &Admission, roster: &Roster) -> Result<(), Unlawful> {
        if roster.contains(&admission.member) {
            return Err(Unlawful::WithoutEffect);
        }
        match self.admitted.insert(admission.member, admission.clone()) {
            Some(other) if other != *admission => Err(Unlawful::Contradiction),
            _ => Ok(()),
        }
    }

    /// Those of them who are still there.
    fn remove(&mut self, members: &[MemberId], roster: &Roster) -> Result<(), Unlawful> {
        let before = members.iter().filter(|member| roster.contains(member));
        self.removed.extend(before.clone());
        if before.count() > 0 { Ok(()) } else { Err(Unlawful::WithoutEffect) }
    }
}
