//! Certificates: a motion with the yes of enough members. It goes with the change that it allows, and proves itself to anybody who
//! knows the members of then.

use core::fmt;

use minicbor::Decoder;

use crate::{
    ballot::{Choice, is_yes, read_votes, write_votes},
    cbor::{Malformed, Out, Wire, Written, from_bytes, to_bytes, versioned},
    ids::{ClusterId, MemberId},
    limits::{CAP_MAX, CERTIFICATE_MAX},
    motion::{BadMotion, Kind, Motion, MotionIn},
    roster::{Past, Roster},
    tally::Tally,
};

const VERSION: u8 = 1;

/// A certificate as received.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateIn {
    motion: MotionIn,
    yes: Vec<(MemberId, [u8; 64])>,
}

/// A motion that passed, and may change the state whose past was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    motion: Motion,
    voters: Vec<MemberId>,
}

/// Why a certificate proves nothing here.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadCertificate {
    /// The motion was not in order.
    #[error(transparent)]
    Motion(#[from] BadMotion),
    /// Its time is over.
    #[error("the motion has outlived itself: open it again")]
    Outlived,
    /// A question decides nothing, and who goes into another cluster is decided there.
    #[error("nothing that can be done here follows from this motion")]
    NoConsequence,
    /// A voter twice, or not in order.
    #[error("the ballots of the certificate are not in order, or one of them is there twice")]
    Unsorted,
    /// A voter who may not vote.
    #[error("the certificate has the ballot of somebody who had no vote on its motion")]
    NotEntitled,
    /// Too few.
    #[error("the certificate has too few ballots")]
    NoQuorum,
    /// A signature that is none.
    #[error("a ballot of the certificate is not signed by the member whose it says it is")]
    Forged,
}

impl CertificateIn {
    /// Of a motion that has passed: with the ballots of as many as were needed, and of no more.
    pub fn of(tally: &Tally) -> Option<Self> {
        let yes = tally.ballots().filter(|ballot| *ballot.choice() == Choice::Decision(true));
        let yes = yes.take(tally.motion().needed()).map(|ballot| (ballot.voter(), *ballot.signature())).collect();
        tally.has_passed().then(|| Self { motion: tally.motion().unverified(), yes })
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, CERTIFICATE_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// What it says to have passed.
    pub fn motion(&self) -> &MotionIn {
        &self.motion
    }

    /// The only door to a [`Certificate`]: whether the state at the end of `past` may be changed by it.
    ///
    /// # Errors
    /// With the first reason why not.
    pub fn verify(&self, cluster: &ClusterId, past: &Past) -> Result<Certificate, BadCertificate> {
        let motion = self.motion.clone().verify(cluster, past)?;
        if past.epoch() > motion.fields().until {
            return Err(BadCertificate::Outlived);
        }
        if matches!(motion.fields().kind, Kind::Question { .. } | Kind::Merge(_)) {
            return Err(BadCertificate::NoConsequence);
        }
        if !self.yes.windows(2).all(|pair| pair.first().map(|(voter, _)| voter) < pair.last().map(|(voter, _)| voter)) {
            return Err(BadCertificate::Unsorted);
        }
        if !self.yes.iter().all(|(voter, _)| motion.electorate().contains(voter)) {
            return Err(BadCertificate::NotEntitled);
        }
        if self.yes.len() < motion.needed() {
            return Err(BadCertificate::NoQuorum);
        }
        if !self.yes.iter().all(|(voter, signature)| is_yes(&motion.id(), voter, signature)) {
            return Err(BadCertificate::Forged);
        }
        Ok(Certificate { motion, voters: self.yes.iter().map(|(voter, _)| *voter).collect() })
    }

    /// Whether it shows to `member`, who knows nothing of the time when it was decided, that it was put out: more than half of the others
    /// in `roster`, whom it knew, signed that. Nobody changes a state by this.
    pub fn shows_out(&self, cluster: &ClusterId, member: &MemberId, roster: &Roster) -> bool {
        let motion = self.motion.claimed();
        let others = roster.without(|other| other == member);
        let signed = |other: &&MemberId| {
            let found = self.yes.iter().find(|(voter, _)| voter == *other);
            found.is_some_and(|(voter, signature)| is_yes(&motion.id(), voter, signature))
        };
        let votes = others.iter().filter(signed).count();
        motion.cluster == *cluster && motion.puts_out(member) && votes.saturating_mul(2) > others.len()
    }
}

impl Certificate {
    /// What has passed.
    pub fn motion(&self) -> &Motion {
        &self.motion
    }

    /// By whose yes.
    pub fn voters(&self) -> &[MemberId] {
        &self.voters
    }
}

impl Wire for CertificateIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(3)?.u8(VERSION)?;
        self.motion.write(e)?;
        write_votes(e, &self.yes)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 3, VERSION)?;
        let motion = MotionIn::read(d)?;
        let yes = read_votes(d, CAP_MAX.into())?;
        Some(Self { motion, yes })
    }
}

impl fmt::Debug for CertificateIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ballots for {:?}", self.yes.len(), self.motion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ballot::{BadBallot, Ballot, BallotIn},
        charter::{Charter, Quorum},
        motion::Method,
        people::{
            CLUSTER, admit, certificate, circle, expel, fields, id, member, motion, question, roster, secret, secret_motion, vote,
        },
        tally::Outcome,
    };
    use proptest::prelude::*;

    fn good() -> (Past, CertificateIn) {
        let past = circle(1..=5);
        let certificate = certificate(&past, 1, expel(5), 1..=4);
        (past, certificate)
    }

    fn verdict(certificate: &CertificateIn, past: &Past) -> Result<(), BadCertificate> {
        certificate.verify(&CLUSTER, past).map(|_| ())
    }

    #[test]
    fn a_passed_motion_proves_itself_as_long_as_it_lives() {
        let (mut past, certificate) = good();
        assert_eq!(CertificateIn::decode(&certificate.encode()), Ok(certificate.clone()));
        let verified = certificate.verify(&CLUSTER, &past).unwrap();
        assert_eq!((verified.motion().id(), verified.voters().len()), (id(&certificate), 3));
        for epoch in 1..=5 {
            past = past.after(roster(2..=6), past.charter().clone());
            let expected = if epoch <= 4 { Ok(()) } else { Err(BadCertificate::Outlived) };
            assert_eq!(verdict(&certificate, &past), expected, "the members of then decided: epoch {epoch}");
        }
    }

    #[test]
    fn who_is_put_out_believes_more_than_half_of_the_others_it_knew() {
        let past = circle(1..=5);
        let out = certificate(&past, 1, expel(5), 1..=4);
        let shows = |certificate: &CertificateIn, knew: &[u8]| {
            certificate.shows_out(&CLUSTER, &member(5), &Roster::of(knew.iter().map(|who| member(*who))))
        };
        assert_eq!(out.yes.len(), 3, "of 1 to 4");
        assert!(shows(&out, &[1, 2, 3, 4, 5]) && shows(&out, &[1, 2, 3, 4, 5, 6]) && shows(&out, &[1, 2, 3]));
        let voters: Vec<u8> = (1..=4).filter(|who| out.yes.iter().any(|(voter, _)| *voter == member(*who))).collect();
        assert!(!shows(&out, &[voters[0], 5, 6, 7]), "one of three");
        assert!(!shows(&out, &[voters[0], voters[1], 5, 6, 7]), "half");
        assert!(!shows(&out, &[5]) && !shows(&out, &[]), "nobody whom it knew");
        let change = |change: &dyn Fn(&mut CertificateIn)| {
            let mut changed = out.clone();
            change(&mut changed);
            shows(&changed, &[1, 2, 3, 4, 5])
        };
        assert!(change(&|_| ()));
        assert!(!change(&|c| c.yes.truncate(2)) && !change(&|c| c.yes[0].1[0] ^= 1));
        assert!(!change(&|c| c.yes = vec![c.yes[0]; 3]), "one voter, three times");
        assert!(!shows(&certificate(&past, 1, expel(4), [1, 2, 3, 5]), &[1, 2, 3, 4, 5]), "it is another who is put out");
        let elsewhere = ClusterId([9; 32]);
        assert!(!out.shows_out(&elsewhere, &member(5), &roster(1..=5)));
    }

    #[test]
    fn what_a_certificate_lacks_is_told_apart() {
        let (past, good) = good();
        let change = |change: &dyn Fn(&mut CertificateIn)| {
            let mut changed = good.clone();
            change(&mut changed);
            verdict(&changed, &past)
        };
        let yes = |who: u8| (member(who), *vote(&motion(&past, 1, expel(5)), who, Choice::Decision(true)).signature());
        let subject = || (member(5), secret(5).sign(b"expel me"));
        let sorted = |mut yes: Vec<(MemberId, [u8; 64])>| {
            yes.sort();
            yes
        };
        assert_eq!(change(&|_| ()), Ok(()));
        assert_eq!(change(&|c| c.yes.truncate(2)), Err(BadCertificate::NoQuorum));
        assert_eq!(change(&|c| c.yes.clear()), Err(BadCertificate::NoQuorum));
        assert_eq!(change(&|c| c.yes.reverse()), Err(BadCertificate::Unsorted));
        assert_eq!(change(&|c| c.yes = vec![c.yes[0]; 3]), Err(BadCertificate::Unsorted));
        assert_eq!(change(&|c| c.yes = sorted(vec![yes(1), yes(2), subject()])), Err(BadCertificate::NotEntitled));
        assert_eq!(change(&|c| c.yes[1].1[0] ^= 1), Err(BadCertificate::Forged));
        let foreign = good.verify(&ClusterId([8; 32]), &past);
        assert_eq!(foreign, Err(BadCertificate::Motion(BadMotion::ForeignCluster)));
        let elsewhere = circle(1..=6);
        assert_eq!(verdict(&good, &elsewhere), Err(BadCertificate::Motion(BadMotion::UnknownRoster)));
    }

    /// That it has passed, they say under their names, and how they voted nobody.
    #[test]
    fn what_was_decided_in_secret_is_certified_by_those_who_confirm_it() {
        let past = circle(1..=5);
        let decided = secret_motion(&past, 1, expel(5));
        let mut tally = Tally::new(decided.clone());
        for who in 1..=2 {
            tally.add(Ballot::confirm(&decided, &secret(who)).unwrap());
        }
        assert_eq!((tally.has_passed(), CertificateIn::of(&tally)), (false, None));
        tally.add(Ballot::confirm(&decided, &secret(3)).unwrap());
        let certificate = CertificateIn::of(&tally).unwrap();
        assert_eq!((verdict(&certificate, &past), tally.outcome(past.epoch(), false)), (Ok(()), Outcome::Passed));
        let knew = roster(1..=5);
        assert!(certificate.shows_out(&CLUSTER, &member(5), &knew));
        let mut openly = certificate.clone();
        openly.motion = motion(&past, 1, expel(5)).unverified();
        assert_eq!(verdict(&openly, &past), Err(BadCertificate::Forged), "a yes to the same, moved openly");
        // Nobody says by mistake how they vote, nor confirms what is no secret decision.
        for choice in [true, false].map(Choice::Decision) {
            assert_eq!(Ballot::cast(&decided, &secret(1), choice), Err(BadBallot::NotSecret));
        }
        let nothing = |motion: &Motion| Ballot::confirm(motion, &secret(1)).unwrap_err();
        assert_eq!(nothing(&motion(&past, 1, expel(5))), BadBallot::NothingToConfirm);
        assert_eq!(nothing(&secret_motion(&past, 1, question(Method::Plurality))), BadBallot::NothingToConfirm);
        assert_eq!(Ballot::confirm(&decided, &secret(5)), Err(BadBallot::NotEntitled), "in one's own case");
        assert_eq!(Ballot::confirm(&decided, &secret(6)), Err(BadBallot::NotEntitled));
        // A no that somebody signs all the same is none.
        let no = vote(&motion(&past, 1, expel(5)), 1, Choice::Decision(false)).unverified();
        let mut bytes = no.encode();
        let at = bytes.windows(32).position(|part| part == no.claimed_motion().0).unwrap();
        bytes[at..at + 32].copy_from_slice(&decided.id().0);
        assert_eq!(BallotIn::decode(&bytes).unwrap().verify(&decided), Err(BadBallot::NotSecret));
    }

    #[test]
    fn half_of_the_time_of_a_secret_decision_is_for_what_follows_the_vote() {
        let past = circle(1..=5).waited(7).unwrap();
        let closes = |motion: Motion| (motion.closes(), motion.fields().until);
        assert_eq!(closes(motion(&past, 1, expel(5))), (11, 11));
        assert_eq!(closes(secret_motion(&past, 1, question(Method::Plurality))), (11, 11));
        assert_eq!(closes(secret_motion(&past, 1, expel(5))), (9, 11));
    }

    #[test]
    fn a_no_is_no_yes() {
        let (past, mut certificate) = good();
        let motion = motion(&past, 1, expel(5));
        certificate.yes = (1..=4).map(|who| (member(who), *vote(&motion, who, Choice::Decision(false)).signature())).collect();
        certificate.yes.sort();
        assert_eq!(verdict(&certificate, &past), Err(BadCertificate::Forged));
    }

    #[test]
    fn ballots_of_another_motion_do_not_count() {
        let (past, mut certificate) = good();
        certificate.motion = MotionIn::new(fields(&past, 1, expel(4))).unwrap();
        assert!(verdict(&certificate, &past).is_err());
        certificate.motion = MotionIn::new(fields(&past, 2, expel(5))).unwrap();
        assert_eq!(verdict(&certificate, &past), Err(BadCertificate::Forged));
    }

    #[test]
    fn an_answer_has_no_consequence_and_no_certificate() {
        let past = circle(1..=3);
        let motion = motion(&past, 1, question(Method::Plurality));
        let mut tally = Tally::new(motion.clone());
        (1..=3).for_each(|who| {
            tally.add(vote(&motion, who, Choice::Options(vec![0])));
        });
        assert_eq!(CertificateIn::of(&tally), None);
        let invented = CertificateIn { motion: motion.unverified(), yes: Vec::new() };
        assert_eq!(verdict(&invented, &past), Err(BadCertificate::NoConsequence));
    }

    #[test]
    fn the_charter_of_then_says_how_many_are_needed() {
        let strict = Charter { quorum: Quorum::TwoThirds, ..Charter::new("circle").unwrap() };
        let past = Past::founded(roster(1..=6), strict);
        let motion = motion(&past, 1, admit(9));
        let mut tally = Tally::new(motion.clone());
        (1..=4).for_each(|who| {
            tally.add(vote(&motion, who, Choice::Decision(true)));
        });
        assert_eq!(CertificateIn::of(&tally), None);
        tally.add(vote(&motion, 5, Choice::Decision(true)));
        assert_eq!(
            verdict(&CertificateIn::of(&tally).unwrap(), &past.after(roster(1..=6), Charter::new("circle").unwrap())),
            Ok(())
        );
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = CertificateIn::decode(&junk);
            let (past, good) = good();
            let mut like = good.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(certificate) = CertificateIn::decode(&like) {
                prop_assert_eq!(certificate.encode(), like);
                // Whatever was changed, it is noticed.
                prop_assert!(certificate == good || verdict(&certificate, &past).is_err());
            }
        }
    }
}
