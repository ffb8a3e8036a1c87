#![allow(clippy::arithmetic_side_effects)]

mod agree;
mod key;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    Past,
    ballot::{BadBallot, Ballot, Choice},
    ids::{MemberId, MemberSecret},
    limits::TRUSTEES_MAX,
    link::{ClusterLink, LINK_LEN},
    merge::Merge,
    motion::{BadMotion, Kind, Method, Motion, MotionFields, MotionIn},
    people::{CLUSTER, OTHER, admit, circle, expel, fields, member, question, secret},
};

const SALT: [u8; 32] = [2; 32];

/// A vote among so many, in which everybody does what is asked.
struct Vote {
    past: Past,
    panel: Panel,
    setup: Setup,
    trustees: Vec<Trustee>,
}

struct Trustee {
    who: u8,
    ours: TrusteeSecret,
    shares: Vec<Share>,
}

impl Trustee {
    fn secret(&self) -> MemberSecret {
        secret(self.who)
    }
}

/// A question of two answers, which is not another one.
fn ask(number: u8) -> Kind {
    let options = ["yes", "no"].map(str::to_owned).into();
    Kind::Question { text: format!("Is it {number}?"), options, method: Method::Plurality }
}

fn moved(past: &Past, proposer: u8, kind: Kind) -> Result<Motion, BadMotion> {
    MotionIn::new(MotionFields { secret: true, ..fields(past, proposer, kind) }).unwrap().verify(&CLUSTER, past)
}

fn motion(past: &Past, proposer: u8, kind: Kind) -> Motion {
    moved(past, proposer, kind).unwrap()
}

fn panel(motion: Motion) -> Panel {
    Panel::of(motion, &SALT).unwrap()
}

fn who(id: &MemberId) -> u8 {
    (1..=u8::MAX).find(|who| member(*who) == *id).unwrap()
}

/// All dealings were made, all shares came.
fn dealt(people: u8, kind: Kind) -> Vote {
    let past = circle(1..=people);
    let motion = motion(&past, 1, kind);
    dealt_on(past, motion)
}

fn dealt_on(past: Past, motion: Motion) -> Vote {
    let panel = panel(motion);
    let mut setup = Setup::new(panel.clone());
    let seats: Vec<u8> = panel.trustees().iter().map(who).collect();
    let mut trustees: Vec<Trustee> =
        seats.iter().map(|who| Trustee { who: *who, ours: TrusteeSecret::new([*who; 32]), shares: Vec::new() }).collect();
    for dealer in seats {
        let (dealing, shares) = TrusteeSecret::new([dealer; 32]).deal(&panel, &secret(dealer)).unwrap();
        assert_eq!(setup.deal(DealingIn::decode(&dealing.unverified().encode()).unwrap()), Ok(Heard::New));
        for (trustee, (to, share)) in trustees.iter_mut().zip(shares) {
            assert_eq!(to, member(trustee.who));
            let share = ShareIn::decode(&share.encode()).unwrap();
            trustee.shares.push(share.verify(&dealing, &panel, &to).unwrap());
        }
    }
    Vote { past, panel, setup, trustees }
}

/// As many trustees as are needed agreed on the key.
fn ready(people: u8, kind: Kind) -> Vote {
    let past = circle(1..=people);
    let motion = motion(&past, 1, kind);
    ready_on(past, motion)
}

fn ready_on(past: Past, motion: Motion) -> Vote {
    let mut vote = dealt_on(past, motion);
    let pick = vote.setup.proposal(&vote.trustees[0].shares).unwrap();
    let decided = vote.decided(Subject::Key, &pick);
    assert_eq!(vote.setup.agree(DecisionIn::decode(&decided.encode()).unwrap()), Ok(Heard::New));
    vote
}

impl Vote {
    fn setup_dealing_of(&self, trustee: usize) -> DealingId {
        let (dealing, _) = self.trustees[trustee].ours.deal(&self.panel, &self.trustees[trustee].secret()).unwrap();
        dealing.id()
    }

    fn urn(&self) -> Urn {
        Urn::new(self.setup.key().unwrap())
    }

    /// All trustees back and bind themselves to what the first one proposes.
    fn decided(&self, subject: Subject, pick: &Pick) -> DecisionIn {
        let mut talk = Talk::new(self.panel.clone(), subject);
        for trustee in self.trustees.iter().chain(&self.trustees) {
            while let Some(word) = talk.next(&trustee.secret(), 0, || Some(pick.clone()), |known| known == pick) {
                assert_eq!(talk.hear(WordIn::decode(&word.unverified().encode()).unwrap()), Ok(Heard::New));
            }
        }
        talk.decision(&member(self.trustees[0].who), |known| known == pick).unwrap()
    }

    /// All that is in the urn is to be opened.
    fn close(&self, urn: &mut Urn) {
        if !urn.is_agreed() {
            let decided = self.decided(Subject::Count, &urn.proposal(|_| true).unwrap());
            assert_eq!(urn.agree(DecisionIn::decode(&decided.encode()).unwrap()), Ok(Heard::New));
        }
    }

    fn open(&self, urn: &mut Urn, trustees: std::ops::Range<usize>) {
        self.close(urn);
        for trustee in &self.trustees[trustees] {
            let opening = urn.open(&trustee.secret(), &trustee.ours, &trustee.shares, [9; 32]).unwrap();
            assert_eq!(urn.opened(OpeningIn::decode(&opening.unverified().encode()).unwrap()), Ok(Heard::New));
        }
    }
}

fn cast(urn: &mut Urn, who: u8, option: usize) -> Result<Heard, BadSecretBallot> {
    let ballot = SecretBallot::cast(urn.key(), &secret(who), option, &[who; 32]).unwrap();
    urn.add(SecretBallotIn::decode(&ballot.unverified().encode()).unwrap())
}

/// A vote at the end of a past, of which two said the first and one the second; nothing where they may not.
pub(crate) fn opened(past: Past) -> Option<TranscriptIn> {
    let vote = ready_on(past.clone(), moved(&past, 1, ask(1)).ok()?);
    let mut urn = vote.urn();
    for who in 1..=3 {
        cast(&mut urn, who, usize::from(who > 2)).unwrap();
    }
    vote.open(&mut urn, 0..vote.panel.needed());
    TranscriptIn::of(&vote.setup, &urn)
}

fn all_yes(urn: &mut Urn, people: std::ops::RangeInclusive<u8>) {
    for who in people {
        cast(urn, who, 0).unwrap();
    }
}

#[test]
fn everybody_learns_the_result_and_nobody_a_ballot() {
    let vote = ready(5, ask(9));
    let mut urn = vote.urn();
    for (who, option) in [(1, 0), (2, 1), (3, 0), (4, 0)] {
        assert_eq!(cast(&mut urn, who, option), Ok(Heard::New));
    }
    assert!(!urn.is_full());
    assert_eq!(cast(&mut urn, 5, 1), Ok(Heard::New));
    assert!(urn.is_full() && urn.verdict().is_none());
    let needed = vote.panel.needed();
    vote.open(&mut urn, 0..needed - 1);
    assert_eq!(urn.verdict(), None, "one trustee too few learn nothing");
    vote.open(&mut urn, needed - 1..needed);
    let verdict = urn.verdict().unwrap();
    assert_eq!((&verdict.counts[..], verdict.voters.len(), verdict.passed), (&[3, 2][..], 5, true));
    assert_eq!(urn.left_out(&verdict).count(), 0);
    // Whoever was not there.
    let told = TranscriptIn::decode(&TranscriptIn::of(&vote.setup, &urn).unwrap().encode()).unwrap();
    assert_eq!(told.verify(&CLUSTER, &vote.past, &SALT), Ok(verdict));
}

/// Of five, so that three must say yes.
#[test]
fn a_decision_passes_by_those_who_say_yes_and_not_by_those_who_vote() {
    for (no, passed) in [(1, true), (2, true), (3, false)] {
        let vote = ready(5, admit(9));
        let mut urn = vote.urn();
        for who in 1..=5 {
            cast(&mut urn, who, usize::from(who <= no)).unwrap();
        }
        vote.open(&mut urn, 0..vote.panel.needed());
        let verdict = urn.verdict().unwrap();
        let no = u64::from(no);
        assert_eq!((&verdict.counts[..], verdict.passed), (&[5 - no, no][..], passed));
    }
}

#[test]
fn what_cannot_be_secret_is_not() {
    let of = |people: u8, kind| moved(&circle(1..=people), 1, kind).map(|motion| panel(motion).options());
    assert_eq!(of(5, question(Method::Preference)), Err(NotSecret::Preference.into()));
    assert_eq!(of(5, question(Method::Plurality)), Ok(5));
    assert_eq!((of(2, ask(9)), of(2, admit(9))), (Err(NotSecret::TooFew.into()), Err(NotSecret::TooFew.into())));
    assert_eq!((of(3, ask(9)), of(3, admit(9))), (Ok(2), Ok(2)));
    assert_eq!((of(3, expel(3)), of(4, expel(4))), (Err(NotSecret::TooFew.into()), Ok(2)), "the subject does not vote");
    let away = Merge { into: OTHER, link: ClusterLink([5; LINK_LEN]), name: "square".into(), from: "circle".into() };
    assert_eq!(of(5, Kind::Merge(away)), Err(NotSecret::Merge.into()));
    let open = crate::people::motion(&circle(1..=5), 1, ask(9));
    assert_eq!(Panel::of(open, &SALT), Err(NotSecret::Open));
    let shown = Ballot::cast(&motion(&circle(1..=5), 1, ask(9)), &secret(1), Choice::Options(vec![0]));
    assert_eq!(shown, Err(BadBallot::NotSecret), "nobody shows how they vote by mistake");
    // Two ballots alone are never opened, by whomever.
    let vote = ready(4, ask(9));
    let mut urn = vote.urn();
    cast(&mut urn, 1, 0).unwrap();
    cast(&mut urn, 2, 1).unwrap();
    assert_eq!(urn.proposal(|_| true), None);
    let trustee = &vote.trustees[0];
    let open = |urn: &Urn| urn.open(&trustee.secret(), &trustee.ours, &trustee.shares, [0; 32]).map(|_| ());
    assert_eq!(open(&urn), Err(CannotOpen::NotAgreed));
    // Not if all trustees agreed to.
    cast(&mut urn, 3, 0).unwrap();
    let names = urn.proposal(|_| true).unwrap().names;
    let two = urn.picked_by(&names[..16]);
    assert!(!urn.takes(&two, |_| false));
    assert_eq!(urn.agree(vote.decided(Subject::Count, &two)), Ok(Heard::New));
    assert_eq!(open(&urn), Err(CannotOpen::TooFew));
}

#[test]
fn of_several_answers_each_is_counted() {
    let vote = ready(7, question(Method::Plurality));
    let mut urn = vote.urn();
    for (who, option) in [(1, 4), (2, 4), (4, 0), (6, 2), (7, 4)] {
        cast(&mut urn, who, option).unwrap();
    }
    let none = SecretBallot::cast(urn.key(), &secret(3), 5, &[0; 32]);
    assert_eq!(none.unwrap_err(), BadSecretBallot::NoSuchOption);
    vote.open(&mut urn, 0..vote.panel.needed());
    let verdict = urn.verdict().unwrap();
    assert_eq!((&verdict.counts[..], verdict.passed), (&[1, 0, 1, 0, 3][..], true));
    assert_eq!(verdict.voters.iter().map(who).collect::<BTreeSet<u8>>(), [1, 2, 4, 6, 7].into());
}

#[test]
fn fewer_answers_than_the_charter_needs_are_not_opened() {
    let vote = ready(7, ask(9));
    let mut urn = vote.urn();
    all_yes(&mut urn, 1..=3);
    let trustee = &vote.trustees[0];
    let open = |urn: &Urn| urn.open(&trustee.secret(), &trustee.ours, &trustee.shares, [0; 32]);
    assert_eq!((urn.needed(), urn.proposal(|_| true)), (4, None));
    cast(&mut urn, 4, 1).unwrap();
    vote.close(&mut urn);
    let fewer = open(&urn).unwrap().unverified().resized(3, 2).signed_by(&trustee.secret());
    assert_eq!(urn.opened(fewer), Err(BadOpening::TooFew), "nor does anybody take what a liar opens");
    vote.open(&mut urn, 0..vote.panel.needed());
    assert_eq!(urn.verdict().map(|verdict| (verdict.counts, verdict.passed)), Some((vec![3, 1], true)));
}

#[test]
fn a_ballot_is_its_voters_own() {
    let vote = ready(6, ask(9));
    let mut urn = vote.urn();
    let alice = SecretBallot::cast(urn.key(), &secret(1), 0, &[1; 32]).unwrap().unverified();
    let copied = alice.clone().signed_by(&secret(2));
    assert_eq!(urn.add(copied).unwrap_err(), BadSecretBallot::Unproven);
    // Nor under the key of a vote that somebody else made.
    let other = ready(6, ask(8)).urn();
    assert_eq!(alice.clone().verify(other.key()).unwrap_err(), BadSecretBallot::OtherKey);
    assert_eq!(alice.clone().signed_by(&secret(7)).verify(urn.key()).unwrap_err(), BadSecretBallot::NotEntitled);
    assert!(SecretBallot::cast(urn.key(), &secret(9), 0, &[1; 32]).is_err());
    let mut forged = alice.encode();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(SecretBallotIn::decode(&forged).unwrap().verify(urn.key()).unwrap_err(), BadSecretBallot::Forged);
    assert_eq!(urn.add(alice.clone()), Ok(Heard::New));
    assert_eq!(urn.add(alice), Ok(Heard::Known));
}

#[test]
fn ballots_and_openings_of_another_size_prove_nothing() {
    let (vote, trustee) = (ready(4, ask(9)), secret(1));
    let mut urn = vote.urn();
    let ballot = SecretBallot::cast(urn.key(), &trustee, 0, &[1; 32]).unwrap();
    for (piece, more) in [(0, -64), (0, -128), (0, 64), (0, 1), (1, -32), (1, -160), (1, 32), (2, -32), (2, -64), (2, -1)] {
        let resized = ballot.unverified().resized(piece, more).signed_by(&trustee);
        let received = SecretBallotIn::decode(&resized.encode()).unwrap();
        assert_eq!(received.verify(urn.key()).unwrap_err(), BadSecretBallot::Unproven, "{piece} {more}");
    }
    all_yes(&mut urn, 1..=4);
    vote.close(&mut urn);
    let trustee = &vote.trustees[0];
    let opening = urn.open(&trustee.secret(), &trustee.ours, &trustee.shares, [5; 32]).unwrap().unverified();
    for (ballots, shares, why) in [
        (0, 0, BadOpening::Unproven),
        (0, 1, BadOpening::Unproven),
        (0, 3, BadOpening::Unproven),
        (3, 2, BadOpening::Unheard),
        (2, 2, BadOpening::TooFew),
    ] {
        let resized = opening.clone().resized(if ballots == 0 { 4 } else { ballots }, shares).signed_by(&trustee.secret());
        let received = OpeningIn::decode(&resized.encode()).unwrap();
        assert_eq!(received.verify(&urn).unwrap_err(), why, "{ballots} {shares}");
    }
}

#[test]
fn a_copied_ballot_is_refused_even_if_it_is_moved_to_the_copiers_key() {
    let vote = ready(4, ask(9));
    let key = vote.setup.key().unwrap();
    let alice = SecretBallot::cast(&key, &secret(1), 0, &[1; 32]).unwrap();
    let moved = alice.moved(&key, &secret(2));
    assert_eq!(moved.verify(&key).unwrap_err(), BadSecretBallot::Unproven);
}

#[test]
fn whoever_votes_twice_is_in_no_proposal_and_is_named() {
    let vote = ready(5, ask(9));
    let (mut one, mut other) = (vote.urn(), vote.urn());
    let twice = [0, 1].map(|option| SecretBallot::cast(one.key(), &secret(1), option, &[1; 32]).unwrap().unverified());
    let [first, second] = &twice;
    assert_eq!((one.add(first.clone()), one.add(second.clone())), (Ok(Heard::New), Ok(Heard::Cheat)));
    assert_eq!((other.add(second.clone()), other.add(first.clone())), (Ok(Heard::New), Ok(Heard::Cheat)));
    for urn in [&mut one, &mut other] {
        all_yes(urn, 2..=5);
    }
    let proofs: Vec<TwoBallots> = one.cheats().collect();
    assert_eq!(proofs.iter().map(TwoBallots::culprit).collect::<Vec<_>>(), [Some((member(1), vote.panel.id()))]);
    assert_eq!(TwoBallots::decode(&proofs[0].encode()).as_ref(), Ok(&proofs[0]));
    assert!(other.cheats().eq(proofs));
    let honest = SecretBallot::cast(one.key(), &secret(2), 0, &[2; 32]).unwrap();
    assert_eq!(TwoBallots::of(&honest, &honest).culprit(), None);
    let voted = one.ballots().next().unwrap().clone();
    assert_eq!(TwoBallots::of(&honest, &voted).culprit(), None);
    vote.open(&mut one, 0..vote.panel.needed());
    vote.open(&mut other, 0..vote.panel.needed());
    assert_eq!(one.verdict(), other.verdict());
    assert_eq!(one.verdict().unwrap().counts, [4, 0]);
    assert_eq!(one.left_out(&one.verdict().unwrap()).collect::<Vec<_>>(), [&member(1)]);
}

#[test]
fn an_opening_is_of_ballots_that_are_known_and_right() {
    let vote = ready(6, ask(9));
    let (mut urn, mut behind) = (vote.urn(), vote.urn());
    all_yes(&mut urn, 1..=4);
    all_yes(&mut behind, 1..=3);
    vote.close(&mut urn);
    let trustee = |n: usize| &vote.trustees[n];
    let opening =
        |n: usize, urn: &Urn| urn.open(&trustee(n).secret(), &trustee(n).ours, &trustee(n).shares, [5; 32]).unwrap().unverified();
    let good = opening(0, &urn);
    assert_eq!(behind.opened(good.clone()).unwrap_err(), BadOpening::Unheard);
    // Who is behind takes it once it has the ballots, and opens the same.
    cast(&mut behind, 4, 0).unwrap();
    assert_eq!(behind.opened(good.clone()), Ok(Heard::New));
    assert_eq!(behind.opened(good.clone()), Ok(Heard::Known));
    // Of another trustee it is not right.
    assert_eq!(good.clone().signed_by(&trustee(1).secret()).verify(&urn).unwrap_err(), BadOpening::Unproven);
    let stranger = (1..=6).find(|who| vote.panel.place(&member(*who)).is_none()).unwrap();
    assert_eq!(good.clone().signed_by(&secret(stranger)).verify(&urn).unwrap_err(), BadOpening::NotTrustee);
    assert_eq!(good.clone().verify(&ready(6, ask(8)).urn()).unwrap_err(), BadOpening::OtherMotion);
    let mut forged = good.encode();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(OpeningIn::decode(&forged).unwrap().verify(&urn).unwrap_err(), BadOpening::Forged);
    // Without all shares nothing is opened, and by nobody who is no trustee.
    let short = urn.open(&trustee(1).secret(), &trustee(1).ours, &trustee(1).shares[1..], [5; 32]);
    assert_eq!(short.unwrap_err(), CannotOpen::NoKey);
    assert_eq!(urn.open(&secret(stranger), &trustee(1).ours, &trustee(1).shares, [5; 32]).unwrap_err(), CannotOpen::NoKey);
}

#[test]
fn one_urn_is_opened_even_if_a_ballot_comes_late() {
    let vote = ready(6, ask(9));
    let (mut first, mut late) = (vote.urn(), vote.urn());
    all_yes(&mut first, 1..=4);
    all_yes(&mut late, 1..=5);
    let (four, five) = (first.proposal(|_| true).unwrap(), late.proposal(|_| true).unwrap());
    // What is not known is not taken; nor what lacks somebody who voted in time; but what lacks somebody who did not.
    assert_eq!((first.takes(&five, |_| false), late.takes(&four, |voter| who(voter) < 6)), (false, false));
    assert!(late.takes(&four, |voter| who(voter) < 5) && late.takes(&five, |_| false));
    assert_eq!(late.proposal(|voter| who(voter) < 5), Some(four.clone()), "nor is it proposed");
    let decided = vote.decided(Subject::Count, &five);
    assert_eq!(first.agree(decided.clone()), Err(BadWord::Unheard));
    cast(&mut first, 5, 0).unwrap();
    // Whoever thinks otherwise opens what was agreed on.
    for urn in [&mut first, &mut late] {
        assert_eq!(urn.agree(decided.clone()), Ok(Heard::New));
        assert_eq!(urn.agree(decided.clone()), Ok(Heard::Known));
        vote.open(urn, 0..vote.panel.needed());
        assert_eq!(urn.verdict().map(|verdict| verdict.counts), Some(vec![5, 0]));
    }
    let again = late.open(&vote.trustees[1].secret(), &vote.trustees[1].ours, &vote.trustees[1].shares, [8; 32]).unwrap();
    assert_eq!(late.opened(again.unverified()), Ok(Heard::Known), "a trustee opens once");
}

/// Of three ballots some heard two and some another two: what was agreed on they are told again.
#[test]
fn a_ballot_that_counts_is_told_to_those_who_heard_two_others() {
    let vote = ready(6, ask(9));
    let (mut early, mut behind) = (vote.urn(), vote.urn());
    for urn in [&mut early, &mut behind] {
        all_yes(urn, 2..=6);
    }
    let ballot = |seed: u8| SecretBallot::cast(early.key(), &secret(1), 1, &[seed; 32]).unwrap().unverified();
    let [one, two, three] = [1, 2, 3].map(ballot);
    early.add(one.clone()).unwrap();
    let pick = early.proposal(|_| true).unwrap();
    behind.add(two.clone()).unwrap();
    assert!(!behind.takes(&pick, |_| true));
    behind.add(three).unwrap();
    early.agree(vote.decided(Subject::Count, &pick)).unwrap();
    assert_eq!(early.doubled().count(), 0);
    early.add(two).unwrap();
    let told: Vec<_> = early.doubled().map(|ballot| ballot.unverified()).collect();
    assert_eq!(told, std::slice::from_ref(&one));
    assert_eq!(behind.agree(vote.decided(Subject::Count, &pick)), Err(BadWord::Unheard));
    assert_eq!(behind.add(one), Ok(Heard::Cheat));
    assert_eq!(behind.agree(vote.decided(Subject::Count, &pick)), Ok(Heard::New));
    vote.open(&mut early, 0..vote.panel.needed());
    vote.open(&mut behind, 0..vote.panel.needed());
    assert_eq!(early.verdict(), behind.verdict());
    assert_eq!(early.verdict().unwrap().counts, [5, 1]);
}

#[test]
fn each_voter_is_counted_once_and_in_order() {
    let vote = ready(6, ask(9));
    let mut urn = vote.urn();
    all_yes(&mut urn, 1..=4);
    let names = urn.proposal(|_| true).unwrap().names.as_chunks::<8>().0.to_vec();
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|at: usize| names[at]);
    assert!(urn.find(&[first, second, third, fourth]).is_some() && urn.find(&[first, third]).is_some());
    for wrong in [vec![first, first, second, third], vec![first, second, second], vec![second, first], vec![first, third, second]] {
        assert!(urn.find(&wrong).is_none());
    }
    let again = SecretBallot::cast(urn.key(), &secret(1), 1, &[11; 32]).unwrap();
    urn.add(again.unverified()).unwrap();
    let of_one: Vec<[u8; 8]> =
        urn.ballots().filter(|ballot| ballot.voter() == member(1)).map(|ballot| *ballot.id().0.first_chunk().unwrap()).collect();
    assert!(of_one.len() == 2 && urn.find(&of_one).is_none());
    assert!(urn.find(&[of_one[1], of_one[0]]).is_none());
}

#[test]
fn nothing_is_opened_without_somebody_who_is_waited_for() {
    let vote = ready(6, ask(9));
    let mut urn = vote.urn();
    all_yes(&mut urn, 1..=4);
    let four = urn.proposal(|_| true).unwrap();
    assert!(urn.takes(&four, |voter| who(voter) < 5) && !urn.takes(&four, |voter| who(voter) < 6), "5 has not voted yet");
}

/// Two results tell the ballots by which they differ.
#[test]
fn a_trustee_who_opened_opens_nothing_else_whatever_is_said_to_be_decided() {
    let vote = ready(6, ask(9));
    let mut before = vote.urn();
    all_yes(&mut before, 1..=5);
    let [five, four] = [6, 5].map(|most| before.proposal(|voter| who(voter) < most).unwrap());
    let mut anew = before.clone();
    before.agree(vote.decided(Subject::Count, &five)).unwrap();
    anew.agree(vote.decided(Subject::Count, &four)).unwrap();
    let us = &vote.trustees[0];
    let first = before.open(&us.secret(), &us.ours, &us.shares, [1; 32]).unwrap();
    assert_ne!(anew.open(&us.secret(), &us.ours, &us.shares, [1; 32]).unwrap().count(), first.count());
    assert_eq!(anew.opened(first.unverified()), Ok(Heard::New));
    assert_eq!(anew.open(&us.secret(), &us.ours, &us.shares, [2; 32]).unwrap().unverified().encode(), first.unverified().encode());
}

/// And a liar fills no memory.
#[test]
fn of_one_result_all_learn_and_of_each_trustee_two_openings_are_kept() {
    let vote = ready(7, ask(9));
    let mut urn = vote.urn();
    all_yes(&mut urn, 1..=7);
    let counts: Vec<Urn> = [8, 7, 6]
        .into_iter()
        .map(|most| {
            let mut other = urn.clone();
            other.agree(vote.decided(Subject::Count, &urn.proposal(|voter| who(voter) < most).unwrap())).unwrap();
            other
        })
        .collect();
    for trustee in &vote.trustees {
        let opened = |of: &Urn| of.open(&trustee.secret(), &trustee.ours, &trustee.shares, [9; 32]).unwrap().unverified();
        let heard = counts.iter().map(|of| urn.opened(opened(of)).unwrap()).collect::<Vec<_>>();
        assert_eq!(heard, [Heard::New, Heard::Cheat, Heard::Cheat]);
    }
    assert_eq!(urn.openings().count(), 2 * vote.trustees.len());
    let verdict = urn.verdict().unwrap();
    let told = TranscriptIn::of(&vote.setup, &urn).unwrap();
    assert_eq!(told.verify(&CLUSTER, &vote.past, &SALT), Ok(verdict));
}

#[test]
fn kinds_of_steps_have_numbers_of_their_own() {
    assert!(StepKind::ALL.into_iter().all(|kind| StepKind::of(kind.number()) == Some(kind)));
    assert_eq!((StepKind::of(11), StepKind::of(18)), (None, None));
}

#[test]
fn a_transcript_proves_what_it_says_or_nothing() {
    let vote = ready(5, ask(9));
    let mut urn = vote.urn();
    all_yes(&mut urn, 1..=5);
    assert!(TranscriptIn::of(&vote.setup, &urn).is_none(), "not opened");
    vote.open(&mut urn, 0..3);
    let good = TranscriptIn::of(&vote.setup, &urn).unwrap();
    let verify = |told: &TranscriptIn| told.verify(&CLUSTER, &vote.past, &SALT);
    assert!(verify(&good).is_ok_and(|verdict| verdict.passed));
    let lacks = |part: usize| {
        let mut less = good.clone();
        less.drop_one(part);
        verify(&less).unwrap_err()
    };
    assert_eq!(lacks(0), BadTranscript::NoKey);
    assert_eq!(lacks(1), BadTranscript::Opening(BadOpening::Unheard));
    assert_eq!(lacks(2), BadTranscript::NotOpened);
    assert!(matches!(good.verify(&CLUSTER, &circle(1..=6), &SALT), Err(BadTranscript::Motion(_))));
    // Other trustees are drawn.
    let elsewhere = (0..=u8::MAX).map(|salt| good.verify(&CLUSTER, &vote.past, &[salt; 32])).filter(Result::is_err).count();
    assert!(elsewhere > 100, "{elsewhere}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is said by whomever comes out, whichever trustees open it.
    #[test]
    fn the_result_is_the_sum_of_what_was_said(said in prop::collection::vec(0..5usize, 4..8), skip in any::<prop::sample::Index>()) {
        let vote = ready(7, question(Method::Plurality));
        let mut urn = vote.urn();
        for (who, option) in (1..).zip(&said) {
            cast(&mut urn, who, *option).unwrap();
        }
        let (skip, needed) = (skip.index(vote.trustees.len()), vote.panel.needed());
        vote.close(&mut urn);
        let open: Vec<&Trustee> = vote.trustees.iter().enumerate().filter(|(n, _)| *n != skip || needed == vote.trustees.len()).map(|(_, one)| one).collect();
        for trustee in open {
            let opening = urn.open(&trustee.secret(), &trustee.ours, &trustee.shares, [1; 32]).unwrap();
            urn.opened(opening.unverified()).unwrap();
        }
        let count = |option: usize| said.iter().filter(|one| **one == option).count() as u64;
        prop_assert_eq!(urn.verdict().unwrap().counts, (0..5).map(count).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_taken_is_written_as_it_came(which in 0..6usize, at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
        let _ = (ComplaintIn::decode(&junk), DealingIn::decode(&junk), WordIn::decode(&junk), DecisionIn::decode(&junk), SecretBallotIn::decode(&junk), OpeningIn::decode(&junk));
        let _ = (ShareIn::decode(&junk), TranscriptIn::decode(&junk), TwoBallots::decode(&junk));
        let vote = ready(3, ask(9));
        let mut urn = vote.urn();
        all_yes(&mut urn, 1..=3);
        vote.open(&mut urn, 0..2);
        let dealing = vote.setup.dealing(&vote.trustees[0].shares[0].dealing()).unwrap().clone();
        let pick = vote.setup.proposal(&vote.trustees[0].shares).unwrap();
        let good = [
            dealing.unverified().encode(),
            WordIn::sign(&vote.panel, &vote.trustees[0].secret(), (Subject::Key, 0, Stage::Propose), &pick).encode(),
            urn.ballots().next().unwrap().unverified().encode(),
            urn.openings().next().unwrap().unverified().encode(),
            vote.trustees[0].shares[0].unverified().encode(),
            vote.decided(Subject::Key, &pick).encode(),
        ][which].clone();
        let mut like = good.clone();
        let at = at.index(like.len());
        like[at] = byte;
        // Whatever was changed, it is noticed.
        let (again, counts) = match which {
            0 => (DealingIn::decode(&like).map(|it| it.encode()), DealingIn::decode(&like).is_ok_and(|it| it.verify(&vote.panel).is_ok())),
            1 => (WordIn::decode(&like).map(|it| it.encode()), WordIn::decode(&like).is_ok_and(|it| it.verify(&vote.panel).is_ok())),
            // Who tells it, and of what it is made, is not signed: that shows when it is taken.
            5 => (DecisionIn::decode(&like).map(|it| it.encode()), DecisionIn::decode(&like).is_ok_and(|it| it.claimed_teller() == vote.decided(Subject::Key, &pick).claimed_teller() && vote.setup.clone().agree(it).is_ok())),
            2 => (SecretBallotIn::decode(&like).map(|it| it.encode()), SecretBallotIn::decode(&like).is_ok_and(|it| it.verify(urn.key()).is_ok())),
            3 => (OpeningIn::decode(&like).map(|it| it.encode()), OpeningIn::decode(&like).is_ok_and(|it| it.verify(&urn).is_ok())),
            _ => (ShareIn::decode(&like).map(|it| it.encode()), ShareIn::decode(&like).is_ok_and(|it| it.verify(&dealing, &vote.panel, &member(vote.trustees[0].who)).is_ok())),
        };
        prop_assert!(again.is_err() || again == Ok(like.clone()));
        prop_assert!(!counts || like == good);
    }
}
