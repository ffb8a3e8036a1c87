//! Which change of a group is lawful: a function of the change and of the past of the state that it changes, of no clock and of
//! nobody's opinion, so that all members judge alike.

mod mandate;

use std::collections::BTreeSet;

use crate::{
    certificate::{BadCertificate, CertificateIn},
    charter::Charter,
    ids::{ClusterId, MemberId, MotionId},
    leave::{BadLeave, LeaveIn},
    motion::Admission,
    roster::{Past, Roster},
};

pub(crate) use mandate::Mandate;

/// The state that is changed.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// Roster, charter and epoch of the state, and of those before it.
    pub past: &'a Past,
    /// Motions that this branch has carried out.
    pub done: &'a BTreeSet<MotionId>,
}

/// What a Commit changes, as the group reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose Commit it is.
    pub committer: MemberId,
    /// Whom it adds.
    pub added: Vec<Admission>,
    /// Whom it removes. Who is added as well comes back after a time away, with fresh keys.
    pub removed: Vec<MemberId>,
    /// The charter that it sets.
    pub charter: Option<Charter>,
}

/// A lawful change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whether members decided it, or left; otherwise it is an ordinary change, of keys.
    pub certified: bool,
    /// Motions that it carries out.
    pub done: Vec<MotionId>,
    /// The past of the state that it makes, with its roster and charter.
    pub past: Past,
}

/// Why a change is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum Unlawful {
    /// A certificate that proves nothing here.
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    /// A statement that somebody leaves, which does not hold.
    #[error(transparent)]
    Leave(#[from] BadLeave),
    /// More than may be in one change.
    #[error("too much at once: leave some of it for the next change")]
    TooMany,
    /// One motion twice.
    #[error("the change has two certificates of one motion")]
    Twice,
    /// A motion again.
    #[error("the motion was carried out before")]
    AlreadyDone,
    /// A motion or a statement that changes nothing any more.
    #[error("nothing is left to do of a motion, or of a statement that somebody leaves")]
    WithoutEffect,
    /// Two motions that contradict each other.
    #[error("the change carries out two motions that contradict each other")]
    Contradiction,
    /// The committer is no member.
    #[error("the change was made by somebody who is no member")]
    CommitterNotMember,
    /// The committer would be out.
    #[error("the change removes whoever made it")]
    CommitterRemoved,
    /// Somebody twice.
    #[error("the change names somebody twice")]
    Repeated,
    /// Removes nobody's leaf.
    #[error("the change removes somebody who is no member")]
    RemovedNotMember,
    /// Adds a member who was not removed.
    #[error("the change adds somebody who is a member")]
    AddedMember,
    /// Adds without a motion.
    #[error("the change admits somebody without the consent of the members")]
    AddedWithoutConsent,
    /// Adds with other keys or another nickname than was voted on.
    #[error("the change admits somebody with other keys, or under another nickname, than the members consented to")]
    AddedOtherwise,
    /// Removes without a motion or a statement.
    #[error("the change removes somebody without the consent of the members")]
    RemovedWithoutConsent,
    /// Another charter than was voted on, or without a vote.
    #[error("the change sets another charter than the members consented to")]
    CharterWithoutConsent,
    /// A motion that is shown and not carried out.
    #[error("the change does not carry out all that its certificates say")]
    NotCarriedOut,
    /// More members than allowed.
    #[error("the cluster would have more members than its charter allows: change the charter first, or remove somebody")]
    OverCap,
}

/// Whether `change` is lawful.
///
/// # Errors
/// With the first reason why not.
pub fn judge(parent: &Parent<'_>, change: &Change, certificates: &[CertificateIn], leaves: &[LeaveIn]) -> Result<Judged, Unlawful> {
    check_people(parent.past.roster(), change)?;
    let mandate = Mandate::of(parent, certificates, leaves)?;
    check_added(parent.past.roster(), change, &mandate)?;
    check_removed(change, &mandate)?;
    check_charter(change, &mandate)?;
    let past = mandate.carried_out(parent.past)?;
    Ok(Judged { certified: !certificates.is_empty() || !leaves.is_empty(), done: mandate.done, past })
}

fn check_people(roster: &Roster, change: &Change) -> Result<(), Unlawful> {
    if !roster.contains(&change.committer) {
        return Err(Unlawful::CommitterNotMember);
    }
    if change.removed.contains(&change.committer) {
        return Err(Unlawful::CommitterRemoved);
    }
    let added: BTreeSet<&MemberId> = change.added.iter().map(|admission| &admission.member).collect();
    let removed: BTreeSet<&MemberId> = change.removed.iter().collect();
    if added.len() != change.added.len() || removed.len() != change.removed.len() {
        return Err(Unlawful::Repeated);
    }
    if !removed.iter().all(|member| roster.contains(member)) {
        return Err(Unlawful::RemovedNotMember);
    }
    let stays = |member: &&&MemberId| roster.contains(member) && !removed.contains(**member);
    if added.iter().any(|member| stays(&member)) { Err(Unlawful::AddedMember) } else { Ok(()) }
}

fn check_added(roster: &Roster, change: &Change, mandate: &Mandate) -> Result<(), Unlawful> {
    let admitted: Vec<&Admission> = change.added.iter().filter(|admission| !roster.contains(&admission.member)).collect();
    for admission in &admitted {
        let consent = mandate.admitted.get(&admission.member).ok_or(Unlawful::AddedWithoutConsent)?;
        if consent != *admission {
            return Err(Unlawful::AddedOtherwise);
        }
    }
    if admitted.len() == mandate.admitted.len() { Ok(()) } else { Err(Unlawful::NotCarriedOut) }
}

fn check_removed(change: &Change, mandate: &Mandate) -> Result<(), Unlawful> {
    let returns = |member: &MemberId| change.added.iter().any(|admission| admission.member == *member);
    let removed: Vec<&MemberId> = change.removed.iter().filter(|member| !returns(member)).collect();
    if !removed.iter().all(|member| mandate.removed.contains(member)) {
        return Err(Unlawful::RemovedWithoutConsent);
    }
    if removed.len() == mandate.removed.len() { Ok(()) } else { Err(Unlawful::NotCarriedOut) }
}

fn check_charter(change: &Change, mandate: &Mandate) -> Result<(), Unlawful> {
    match (&change.charter, &mandate.charter) {
        (None, Some(_)) => Err(Unlawful::NotCarriedOut),
        (set, consent) if set != consent => Err(Unlawful::CharterWithoutConsent),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
