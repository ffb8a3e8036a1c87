//! What certificates and statements demand together of one change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Parent, Unlawful};
use crate::{
    certificate::CertificateIn,
    charter::Charter,
    comeback::ComebackIn,
    done::Done,
    grounds::Grounds,
    ids::{ClusterId, MemberId, MotionId},
    leave::LeaveIn,
    merge::GuestIn,
    motion::{Admission, Kind, Motion},
    roster::{Past, Roster},
};

/// What members decided, and who leaves or comes back.
///
/// Whoever makes a change tries one thing after another: what does not go together with what is there already leaves everything as it
/// was, and waits for the next change.
#[derive(Debug, Clone)]
pub struct Mandate<'a> {
    cluster: ClusterId,
    past: &'a Past,
    before: &'a Done,
    demands: Demands,
}

#[derive(Debug, Clone, Default)]
struct Demands {
    grounds: Grounds,
    admitted: BTreeMap<MemberId, Admission>,
    removed: BTreeSet<MemberId>,
    /// With turn and KeyPackage.
    back: BTreeMap<MemberId, (u64, [u8; 32])>,
    charter: Option<Charter>,
    /// With the last epoch of each.
    motions: BTreeMap<MotionId, u64>,
}

impl<'a> Mandate<'a> {
    /// For a change of keys only.
    pub fn new(parent: &Parent<'a>) -> Self {
        Self { cluster: parent.cluster, past: parent.past, before: parent.done, demands: Demands::default() }
    }

    /// Somebody leaves.
    ///
    /// # Errors
    /// If nobody does by this, or that does not go together with what is there.
    pub fn leave(&mut self, leave: &LeaveIn) -> Result<(), Unlawful> {
        self.attempt(|tried| tried.take_leave(leave))
    }

    /// Somebody comes back.
    ///
    /// # Errors
    /// If nobody does by this, or that does not go together with what is there.
    pub fn come_back(&mut self, comeback: &ComebackIn) -> Result<(), Unlawful> {
        self.attempt(|tried| tried.take_comeback(comeback))
    }

    /// Members decided something.
    ///
    /// # Errors
    /// If they did not by this, or that does not go together with what is there.
    pub fn decide(&mut self, certificate: &CertificateIn) -> Result<(), Unlawful> {
        self.attempt(|tried| tried.take_certificate(certificate))
    }

    /// What it rests on.
    pub fn grounds(&self) -> &Grounds {
        &self.demands.grounds
    }

    /// Whom it admits.
    pub fn admitted(&self) -> impl Iterator<Item = &Admission> {
        self.demands.admitted.values()
    }

    /// Whom it removes who does not come back.
    pub fn removed(&self) -> &BTreeSet<MemberId> {
        &self.demands.removed
    }

    /// Who comes back, with the hash of the KeyPackage.
    pub fn back(&self) -> impl Iterator<Item = (&MemberId, &[u8; 32])> {
        self.demands.back.iter().map(|(member, (_, key_package))| (member, key_package))
    }

    /// The charter that it sets.
    pub fn charter(&self) -> Option<&Charter> {
        self.demands.charter.as_ref()
    }

    /// All grounds at once, of which one that does not hold spoils the rest.
    pub(crate) fn of(parent: &Parent<'a>, grounds: &Grounds) -> Result<Self, Unlawful> {
        if grounds.are_too_many() {
            return Err(Unlawful::TooMany);
        }
        let mut mandate = Self::new(parent);
        grounds.leaves.iter().try_for_each(|leave| mandate.take_leave(leave))?;
        grounds.comebacks.iter().try_for_each(|comeback| mandate.take_comeback(comeback))?;
        grounds.certificates.iter().try_for_each(|certificate| mandate.take_certificate(certificate))?;
        mandate.check()?;
        Ok(mandate)
    }

    pub(crate) fn consent_to_admit(&self, member: &MemberId) -> Option<&Admission> {
        self.demands.admitted.get(member)
    }

    pub(crate) fn consent_to_back(&self, member: &MemberId) -> Option<&[u8; 32]> {
        self.demands.back.get(member).map(|(_, key_package)| key_package)
    }

    /// Past of the child, and what its branch has carried out.
    ///
    /// # Errors
    /// If there would be too many members.
    pub fn carried_out(&self) -> Result<(Past, Done), Unlawful> {
        let demands = &self.demands;
        let charter = demands.charter.as_ref().unwrap_or(self.past.charter());
        let stay = self.past.roster().without(|member| demands.removed.contains(member));
        let roster = stay.with(demands.admitted.keys().copied());
        if roster.len() > charter.cap.into() {
            return Err(Unlawful::OverCap);
        }
        let past = self.past.after(roster, charter.clone());
        let back = demands.back.iter().map(|(member, (turn, _))| (*member, *turn));
        let done = self.before.with(&demands.motions, back).at(past.epoch(), past.roster());
        Ok((past, done))
    }

    fn attempt(&mut self, change: impl FnOnce(&mut Self) -> Result<(), Unlawful>) -> Result<(), Unlawful> {
        let mut tried = self.clone();
        change(&mut tried)?;
        tried.check()?;
        tried.carried_out()?;
        *self = tried;
        Ok(())
    }

    fn check(&self) -> Result<(), Unlawful> {
        if self.demands.grounds.are_too_many() {
            return Err(Unlawful::TooMany);
        }
        let both = self.demands.back.keys().any(|member| self.demands.removed.contains(member));
        if both { Err(Unlawful::Contradiction) } else { Ok(()) }
    }

    fn take_leave(&mut self, leave: &LeaveIn) -> Result<(), Unlawful> {
        let member = leave.verify(&self.cluster)?.member();
        if !self.past.roster().contains(&member) || !self.demands.removed.insert(member) {
            return Err(Unlawful::WithoutEffect);
        }
        self.demands.grounds.leaves.push(leave.clone());
        Ok(())
    }

    fn take_comeback(&mut self, comeback: &ComebackIn) -> Result<(), Unlawful> {
        let back = comeback.verify(&self.cluster)?;
        if self.before.is_back(&back.member(), back.turn()) {
            return Err(Unlawful::AlreadyDone);
        }
        if !self.past.roster().contains(&back.member()) {
            return Err(Unlawful::WithoutEffect);
        }
        if self.demands.back.insert(back.member(), (back.turn(), back.key_package())).is_some() {
            return Err(Unlawful::Twice);
        }
        self.demands.grounds.comebacks.push(comeback.clone());
        Ok(())
    }

    fn take_certificate(&mut self, certificate: &CertificateIn) -> Result<(), Unlawful> {
        let verified = certificate.verify(&self.cluster, self.past)?;
        self.demands.note(verified.motion(), self.before)?;
        self.demands.take(&verified.motion().fields().kind, self.past.roster())?;
        self.demands.grounds.certificates.push(certificate.clone());
        Ok(())
    }
}

impl Demands {
    fn note(&mut self, motion: &Motion, before: &Done) -> Result<(), Unlawful> {
        if before.has(&motion.id()) {
            return Err(Unlawful::AlreadyDone);
        }
        match self.motions.insert(motion.id(), motion.fields().until) {
            Some(_) => Err(Unlawful::Twice),
            None => Ok(()),
        }
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
            Kind::TakeIn { guests, .. } => self.take_in(guests, roster),
            // Their certificates do not verify.
            Kind::Question { .. } | Kind::Merge(_) => Err(Unlawful::WithoutEffect),
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

    /// Those of them who are not there yet.
    fn take_in(&mut self, guests: &[GuestIn], roster: &Roster) -> Result<(), Unlawful> {
        let mut missing = guests.iter().map(GuestIn::claimed).filter(|admission| !roster.contains(&admission.member)).peekable();
        missing.peek().ok_or(Unlawful::WithoutEffect)?;
        missing.try_for_each(|admission| self.admit(admission, roster))
    }

    /// Those of them who are still there.
    fn remove(&mut self, members: &[MemberId], roster: &Roster) -> Result<(), Unlawful> {
        let before = members.iter().filter(|member| roster.contains(member));
        self.removed.extend(before.clone());
        if before.count() > 0 { Ok(()) } else { Err(Unlawful::WithoutEffect) }
    }
}
