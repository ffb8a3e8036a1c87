//! Which change of a group is lawful: a function of the change and of the past of the state that it changes, of no clock and of
//! nobody's opinion, so that all members judge alike.

mod mandate;

use std::collections::BTreeSet;

use crate::{
    certificate::BadCertificate,
    charter::Charter,
    comeback::BadComeback,
    done::Done,
    grounds::Grounds,
    ids::{ClusterId, MemberId},
    leave::BadLeave,
    motion::Admission,
    roster::{Past, Roster},
};

pub use mandate::Mandate;

/// The state that is changed.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// Roster, charter and epoch of the state, and of those before it.
    pub past: &'a Past,
    /// What this branch has carried out.
    pub done: &'a Done,
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
    /// The charter that it sets; it may be the present one.
    pub charter: Option<Charter>,
}

/// A lawful change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whether it rests on anything; otherwise it is an ordinary change, of keys.
    pub certified: bool,
    /// What the branch has carried out then.
    pub done: Done,
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
    /// A statement that somebody comes back, which does not hold.
    #[error(transparent)]
    Comeback(#[from] BadComeback),
    /// More than may be in one change.
    #[error("too much at once: leave some of it for the next change")]
    TooMany,
    /// One motion or one member's statement twice.
    #[error("the change has two certificates of one motion, or two statements of one member")]
    Twice,
    /// A motion or a statement again.
    #[error("a motion, or a statement that somebody comes back, was carried out before")]
    AlreadyDone,
    /// A motion or a statement that changes nothing any more.
    #[error("nothing is left to do of a motion, or of a statement that somebody leaves or comes back")]
    WithoutEffect,
    /// Two motions that contradict each other, or whoever comes back.
    #[error("the change carries out motions or statements that contradict each other")]
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
    /// Exchanges a member for itself though it did not ask.
    #[error("the change gives a member other keys than that member asked for")]
    BackOtherwise,
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
pub fn judge(parent: &Parent<'_>, change: &Change, grounds: &Grounds) -> Result<Judged, Unlawful> {
    check_people(parent.past.roster(), change)?;
    let mandate = Mandate::of(parent, grounds)?;
    check_added(parent.past.roster(), change, &mandate)?;
    check_removed(change, &mandate)?;
    check_charter(parent.past.charter(), change, &mandate)?;
    let (past, done) = mandate.carried_out()?;
    Ok(Judged { certified: !grounds.is_empty(), done, past })
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

fn check_added(roster: &Roster, change: &Change, mandate: &Mandate<'_>) -> Result<(), Unlawful> {
    let (back, admitted): (Vec<&Admission>, Vec<_>) = change.added.iter().partition(|admission| roster.contains(&admission.member));
    for admission in &admitted {
        let consent = mandate.consent_to_admit(&admission.member).ok_or(Unlawful::AddedWithoutConsent)?;
        if consent != *admission {
            return Err(Unlawful::AddedOtherwise);
        }
    }
    if !back.iter().all(|admission| mandate.consent_to_back(&admission.member) == Some(&admission.key_package)) {
        return Err(Unlawful::BackOtherwise);
    }
    let all = admitted.len() == mandate.admitted().count() && back.len() == mandate.back().count();
    if all { Ok(()) } else { Err(Unlawful::NotCarriedOut) }
}

fn check_removed(change: &Change, mandate: &Mandate<'_>) -> Result<(), Unlawful> {
    let returns = |member: &MemberId| change.added.iter().any(|admission| admission.member == *member);
    let removed: Vec<&MemberId> = change.removed.iter().filter(|member| !returns(member)).collect();
    if !removed.iter().all(|member| mandate.removed().contains(member)) {
        return Err(Unlawful::RemovedWithoutConsent);
    }
    if removed.len() == mandate.removed().len() { Ok(()) } else { Err(Unlawful::NotCarriedOut) }
}

fn check_charter(present: &Charter, change: &Change, mandate: &Mandate<'_>) -> Result<(), Unlawful> {
    match (&change.charter, mandate.charter()) {
        (None, Some(_)) => Err(Unlawful::NotCarriedOut),
        (Some(set), consent) if set != consent.unwrap_or(present) => Err(Unlawful::CharterWithoutConsent),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
