//! No member here: what each member says for itself to somebody who asks to be let back in where nobody knows anything that shows it
//! that it is out. It was let in on a branch that all others left, so nothing ever put it out where they stand.

use core::fmt;

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, to_bytes, versioned},
    comeback::Comeback,
    ids::{ClusterId, MemberId, MemberSecret},
    limits::UNLISTED_MAX,
    roster::Roster,
};

const VERSION: u8 = 1;

/// A statement that somebody is no member where its author stands, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct UnlistedIn {
    cluster: ClusterId,
    author: MemberId,
    member: MemberId,
    turn: u64,
    signature: [u8; 64],
}

/// Somebody is no member where the author stands. There is no other way to this than [`UnlistedIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted(UnlistedIn);

/// Why nothing is said.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadUnlisted {
    /// About another cluster.
    #[error("the statement is about another cluster")]
    ForeignCluster,
    /// Somebody else said so.
    #[error("the statement is not signed by the member who is said to make it")]
    Forged,
}

impl Unlisted {
    /// By ourselves, about who made that statement. It answers the turn of that one, so it says nothing of what comes after.
    pub fn sign(cluster: ClusterId, secret: &MemberSecret, asks: &Comeback) -> Self {
        let (author, member, turn) = (secret.member(), asks.member(), asks.turn());
        let signature = secret.sign(&signed(&cluster, &author, &member, turn));
        Self(UnlistedIn { cluster, author, member, turn, signature })
    }

    /// Who says so.
    pub fn author(&self) -> MemberId {
        self.0.author
    }

    /// Who is no member.
    pub fn member(&self) -> MemberId {
        self.0.member
    }

    /// Of the statement that is answered.
    pub fn turn(&self) -> u64 {
        self.0.turn
    }

    /// As received.
    pub fn unverified(&self) -> UnlistedIn {
        self.0.clone()
    }
}

impl UnlistedIn {
    /// Reads a statement.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, UNLISTED_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// The only door to an [`Unlisted`].
    ///
    /// # Errors
    /// If it is about another cluster, or somebody else's.
    pub fn verify(&self, cluster: &ClusterId) -> Result<Unlisted, BadUnlisted> {
        if self.cluster != *cluster {
            return Err(BadUnlisted::ForeignCluster);
        }
        let signed = signed(cluster, &self.author, &self.member, self.turn);
        self.author.verify(&signed, &self.signature).map_err(|_| BadUnlisted::Forged)?;
        Ok(Unlisted(self.clone()))
    }
}

/// Whether those who say so are enough for `member`, which knows `roster`: more than half of the others. With fewer it could be one
/// part of two that says so, or a few who lie.
pub fn enough(member: &MemberId, roster: &Roster, said: impl Fn(&MemberId) -> bool) -> bool {
    let others = roster.without(|other| other == member);
    others.iter().filter(|other| said(other)).count().saturating_mul(2) > others.len()
}

/// Where in the tags of an answer the statement of a member lies. If all lay under one, everybody could count the members.
pub fn counter(author: &MemberId) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(author.0).for_each(|(to, from)| *to = from);
    u64::from_be_bytes(first) >> 1
}

fn signed(cluster: &ClusterId, author: &MemberId, member: &MemberId, turn: u64) -> Vec<u8> {
    [&b"samizdat unlisted v1\0"[..], &cluster.0, &author.0, &member.0, &turn.to_be_bytes()].concat()
}

impl Wire for UnlistedIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?;
        self.cluster.write(e)?;
        self.author.write(e)?;
        self.member.write(e)?;
        e.u64(self.turn)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        let (cluster, author, member) = (ClusterId::read(d)?, MemberId::read(d)?, MemberId::read(d)?);
        Some(Self { cluster, author, member, turn: d.u64().ok()?, signature: exact(d)? })
    }
}

impl fmt::Debug for UnlistedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no member for {:?}", self.member, self.author)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{CLUSTER, member, roster, secret};
    use proptest::prelude::*;

    /// What 2 says about 1.
    fn good() -> UnlistedIn {
        Unlisted::sign(CLUSTER, &secret(2), &Comeback::sign(CLUSTER, &secret(1), 5, [9; 32])).unverified()
    }

    #[test]
    fn nobody_says_it_for_another_or_about_another_or_later() {
        let said = good();
        assert_eq!(UnlistedIn::decode(&said.encode()), Ok(said.clone()));
        let verified = said.verify(&CLUSTER).unwrap();
        assert_eq!((verified.author(), verified.member(), verified.turn()), (member(2), member(1), 5));
        let elsewhere = ClusterId([8; 32]);
        assert_eq!(said.verify(&elsewhere), Err(BadUnlisted::ForeignCluster));
        assert_eq!(UnlistedIn { cluster: elsewhere, ..said.clone() }.verify(&elsewhere), Err(BadUnlisted::Forged));
        assert_eq!(UnlistedIn { author: member(3), ..said.clone() }.verify(&CLUSTER), Err(BadUnlisted::Forged));
        assert_eq!(UnlistedIn { member: member(3), ..said.clone() }.verify(&CLUSTER), Err(BadUnlisted::Forged));
        assert_eq!(UnlistedIn { turn: 6, ..said }.verify(&CLUSTER), Err(BadUnlisted::Forged));
    }

    #[test]
    fn each_member_has_a_tag_of_its_own_to_answer_under() {
        let id: [u8; 32] = core::array::from_fn(|at| u8::try_from(at).unwrap() + 0x80);
        assert_eq!(counter(&MemberId(id)), 0x8081_8283_8485_8687 >> 1);
    }

    #[test]
    fn more_than_half_of_the_others_are_enough() {
        let told = |of: u8, by: &[u8]| enough(&member(1), &roster(1..=of), |other| by.iter().any(|who| member(*who) == *other));
        assert!(told(5, &[2, 3, 4]) && !told(5, &[2, 3]), "three of four, and half of four");
        assert!(told(6, &[2, 3, 4]) && !told(6, &[2, 3]), "three and two of five");
        assert!(!told(5, &[1, 2, 3]), "its own does not count");
        assert!(!told(5, &[2, 3, 8, 9]), "nor do those whom it does not know");
        assert!(!told(1, &[]) && !told(1, &[1]), "who is alone asks nobody");
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = UnlistedIn::decode(&junk);
            let good = good();
            let mut like = good.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(said) = UnlistedIn::decode(&like) {
                prop_assert_eq!(said.encode(), like);
                prop_assert!(said == good || said.verify(&CLUSTER).is_err());
            }
        }
    }
}
