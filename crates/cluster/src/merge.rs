//! Two clusters become one: what shows the members of one that those of the other agreed to come, and who of them comes.
//!
//! Whoever is in the one does not know who is a member of the other. So the consent brings the roster that its motion names by hash,
//! and each who comes is vouched for by a member of that roster: by itself, under the key that it had there.

use core::fmt;
use std::collections::BTreeSet;

use minicbor::Decoder;

use crate::{
    ballot::{Choice, is_yes, read_votes, write_votes},
    cbor::{Malformed, Out, Wire, Written, array, exact, from_bytes, is_line, list, text, to_bytes, versioned},
    charter::Quorum,
    door::DoorSecret,
    ids::{ClusterId, MemberId, MemberSecret, MotionId},
    limits::{CONSENT_MAX, GUEST_MAX, GUESTS_MAX, MERGING_MAX, NAME_MAX},
    link::ClusterLink,
    motion::{Admission, Kind, MotionFields},
    roster::Roster,
    tally::Tally,
};

const VERSION: u8 = 1;

/// What a cluster moves that would go into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// Into which.
    pub into: ClusterId,
    /// By which of its doors.
    pub link: ClusterLink,
    /// What that one is called, by what the proposer says.
    pub name: String,
    /// What this one is called.
    pub from: String,
}

/// That a cluster agreed to go into another, as received: its motion, with the roster itself in place of the hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentIn {
    fields: MotionFields,
    merge: Merge,
    roster: Roster,
    yes: Vec<(MemberId, [u8; 64])>,
}

/// A cluster agreed to go into this one. There is no other way to it than [`ConsentIn::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Consent(ConsentIn);

/// Somebody who comes with a cluster, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestIn {
    admission: Admission,
    of: MemberId,
    signature: [u8; 64],
}

/// Somebody who comes with a cluster, and was a member of it. There is no other way to it than [`GuestIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest(GuestIn);

/// Why a cluster did not agree.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadConsent {
    /// Into another.
    #[error("the other cluster agreed to go into another cluster than this")]
    Elsewhere,
    /// A ballot twice, or not in order.
    #[error("the ballots of the other cluster are not in order, or one of them is there twice")]
    Unsorted,
    /// Somebody who was no member.
    #[error("somebody moved or voted in the other cluster who was no member of it")]
    NotEntitled,
    /// Not even half of them.
    #[error("fewer than a majority of the other cluster agreed")]
    NoQuorum,
    /// A signature that is none.
    #[error("a ballot of the other cluster is not signed by the member whose it says it is")]
    Forged,
    /// Whoever comes was no member there, or did not say so.
    #[error("somebody would come with the other cluster who is not shown to be a member of it")]
    Stranger,
    /// A member of the other cluster twice.
    #[error("a member of the other cluster would come twice")]
    Twice,
}

impl ConsentIn {
    /// Of a motion that has passed in a cluster of ours: with the ballots of as many as were needed.
    pub fn of(tally: &Tally) -> Option<Self> {
        let fields = tally.motion().fields();
        let Kind::Merge(merge) = &fields.kind else { return None };
        // Nobody is a subject of it, so all members of then may vote.
        let roster = tally.motion().electorate().clone();
        let yes = tally.ballots().filter(|ballot| *ballot.choice() == Choice::Decision(true));
        let yes = yes.take(tally.motion().needed()).map(|ballot| (ballot.voter(), *ballot.signature())).collect();
        let consent = Self { fields: fields.clone(), merge: merge.clone(), roster, yes };
        // As others read it, who take no larger one.
        tally.has_passed().then(|| Self::decode(&consent.encode()).ok())?
    }

    /// Reads a consent.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, CONSENT_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// What the other cluster is said to have moved.
    pub fn claimed(&self) -> &Merge {
        &self.merge
    }

    /// The motion by which it is said to have agreed.
    pub fn motion(&self) -> MotionId {
        self.fields.id()
    }

    /// The only door to a [`Consent`]: whether a majority of the roster that it brings agreed to go into `into`. What the charter
    /// there asks beyond that only its members know; and whether that roster is the cluster that it says, whoever votes on taking
    /// it in must know.
    ///
    /// # Errors
    /// With the first reason why not.
    pub fn verify(&self, into: &ClusterId) -> Result<Consent, BadConsent> {
        if self.merge.into != *into || self.fields.cluster == *into {
            return Err(BadConsent::Elsewhere);
        }
        if !self.yes.windows(2).all(|pair| pair.first().map(|(voter, _)| voter) < pair.last().map(|(voter, _)| voter)) {
            return Err(BadConsent::Unsorted);
        }
        let is_member = |member: &MemberId| self.roster.contains(member);
        if !is_member(&self.fields.proposer) || !self.yes.iter().all(|(voter, _)| is_member(voter)) {
            return Err(BadConsent::NotEntitled);
        }
        if self.yes.len() < Quorum::Majority.needed(self.roster.len()) {
            return Err(BadConsent::NoQuorum);
        }
        let motion = self.motion();
        if !self.yes.iter().all(|(voter, signature)| is_yes(&motion, voter, signature)) {
            return Err(BadConsent::Forged);
        }
        Ok(Consent(self.clone()))
    }
}

impl Consent {
    /// The motion by which it agreed.
    pub fn motion(&self) -> MotionId {
        self.0.motion()
    }

    /// The door by which its members come.
    pub fn door(&self) -> DoorSecret {
        self.0.merge.link.door()
    }

    /// Whether all of `guests` were members of the other cluster, each once.
    ///
    /// # Errors
    /// With the first reason why not.
    pub fn check_guests(&self, guests: &[GuestIn]) -> Result<(), BadConsent> {
        let mut seen = BTreeSet::new();
        guests.iter().try_for_each(|guest| {
            let of = guest.verify(self)?.of();
            if seen.insert(of) { Ok(()) } else { Err(BadConsent::Twice) }
        })
    }
}

impl Guest {
    /// For ourselves: as a member of the other cluster, whose `secret` this is, says who it will be in this one.
    pub fn sign(consent: &ConsentIn, secret: &MemberSecret, admission: Admission) -> Self {
        let signature = secret.sign(&signed(&consent.motion(), &admission));
        Self(GuestIn { admission, of: secret.member(), signature })
    }

    /// Who it was in the other cluster.
    pub fn of(&self) -> MemberId {
        self.0.of
    }

    /// Who it will be in this one.
    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// As received.
    pub fn unverified(&self) -> GuestIn {
        self.0.clone()
    }
}

impl GuestIn {
    /// Reads a guest.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, GUEST_MAX)
    }

    /// To be kept.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Who it says it will be.
    pub fn claimed(&self) -> &Admission {
        &self.admission
    }

    /// The only door to a [`Guest`].
    ///
    /// # Errors
    /// If it was no member of the cluster that agreed, or did not sign.
    pub fn verify(&self, consent: &Consent) -> Result<Guest, BadConsent> {
        let signed = signed(&consent.motion(), &self.admission);
        if !consent.0.roster.contains(&self.of) || self.of.verify(&signed, &self.signature).is_err() {
            return Err(BadConsent::Stranger);
        }
        Ok(Guest(self.clone()))
    }
}

fn signed(motion: &MotionId, admission: &Admission) -> Vec<u8> {
    [&b"samizdat guest v1\0"[..], &motion.0, &admission.member.0, &admission.key_package, admission.nick.as_bytes()].concat()
}

/// Guests of one motion: by key, none twice, not nobody.
pub(crate) fn read_guests(d: &mut Decoder<'_>) -> Option<Vec<GuestIn>> {
    let guests = list(d, GUESTS_MAX, GuestIn::read)?;
    let ascend = guests.windows(2).all(|pair| pair.first().map(|g| g.admission.member) < pair.last().map(|g| g.admission.member));
    (!guests.is_empty() && ascend).then_some(guests)
}

impl Wire for Merge {
    fn write(&self, e: &mut Out) -> Written {
        self.into.write(e)?;
        e.bytes(&self.link.0)?.str(&self.name)?.str(&self.from)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let line = |d: &mut Decoder<'_>| text(d, NAME_MAX).filter(|name| is_line(name, NAME_MAX));
        Some(Self { into: ClusterId::read(d)?, link: ClusterLink(exact(d)?), name: line(d)?, from: line(d)? })
    }
}

impl Wire for ConsentIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(9)?.u8(VERSION)?;
        self.fields.cluster.write(e)?;
        e.u64(self.fields.epoch)?;
        self.roster.write(e)?;
        e.u64(self.fields.until)?;
        self.fields.proposer.write(e)?;
        e.bytes(&self.fields.nonce)?.array(4)?;
        self.merge.write(e)?;
        write_votes(e, &self.yes)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 9, VERSION)?;
        let (cluster, epoch) = (ClusterId::read(d)?, d.u64().ok()?);
        let roster = Roster::read(d).filter(|roster| roster.len() <= MERGING_MAX)?;
        let (until, proposer, nonce) = (d.u64().ok()?, MemberId::read(d)?, exact(d)?);
        array(d, 4)?;
        let merge = Merge::read(d)?;
        let yes = read_votes(d, MERGING_MAX)?;
        let kind = Kind::Merge(merge.clone());
        let fields = MotionFields { cluster, epoch, roster: roster.hash(), until, proposer, nonce, secret: false, kind };
        Some(Self { fields, merge, roster, yes })
    }
}

impl Wire for GuestIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(5)?;
        self.admission.write(e)?;
        self.of.write(e)?;
        e.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 5)?;
        Some(Self { admission: Admission::read(d)?, of: MemberId::read(d)?, signature: exact(d)? })
    }
}

impl fmt::Debug for ConsentIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in {:?} for {:?}", self.yes.len(), self.roster.len(), self.fields.cluster, self.merge)
    }
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for GuestIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.admission, self.of)
    }
}

#[cfg(test)]
mod tests;
