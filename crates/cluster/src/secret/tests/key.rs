//! Making the key.

use elastic_elgamal::group::{Ristretto, ScalarOps};
use sha2::{Digest, Sha256, Sha512};

use super::*;

#[test]
fn trustees_are_drawn_by_rank_and_more_than_two_thirds_are_needed() {
    let numbers = |voters: u8| {
        let panel = panel(motion(&circle(1..=voters), 1, ask(254)));
        assert!(panel.trustees().iter().all(|one| panel.electorate().contains(one)));
        (panel.trustees().len(), panel.needed())
    };
    let known: Vec<(usize, usize)> = [3, 4, 5, 6, 10, 20, 39, 40, 253].map(numbers).into();
    assert_eq!(known, [(2, 2), (3, 3), (3, 3), (4, 3), (6, 5), (11, 8), (20, 14), (21, 15), (TRUSTEES_MAX, 15)]);
    let past = circle(1..=9);
    let (one, other) = (panel(motion(&past, 1, ask(20))), panel(motion(&past, 2, ask(21))));
    assert_eq!(one.trustees(), other.trustees(), "nobody can draw by wording a motion");
    assert_ne!(Panel::of(one.motion().clone(), &[3; 32]).unwrap().trustees(), one.trustees());
}

#[test]
fn a_trustee_who_deals_badly_is_left_out() {
    let mut vote = dealt(10, ask(99));
    // The last one gave the first one a share of something else.
    let (mallory, alice) = (vote.trustees.len() - 1, 0);
    let liar = vote.trustees[mallory].who;
    let (dealing, _) = vote.trustees[mallory].ours.deal(&vote.panel, &secret(liar)).unwrap();
    let (_, wrong) = TrusteeSecret::new([77; 32]).deal(&vote.panel, &secret(liar)).unwrap();
    let us = member(vote.trustees[alice].who);
    let mut share = wrong[alice].1.clone();
    assert_eq!(share.clone().verify(&dealing, &vote.panel, &us).unwrap_err(), BadShare::Elsewhere);
    share.relabel(dealing.id());
    assert_eq!(share.clone().verify(&dealing, &vote.panel, &us).unwrap_err(), BadShare::Wrong);
    assert_eq!(share.verify(&dealing, &vote.panel, &member(99)).unwrap_err(), BadShare::Elsewhere);
    vote.trustees[alice].shares.retain(|share| share.dealing() != dealing.id());
    let pick = vote.setup.proposal(&vote.trustees[alice].shares).unwrap();
    assert!(!pick.names.as_chunks().0.contains(&dealing.id().0));
    assert!(vote.trustees.iter().all(|trustee| vote.setup.takes(&pick, &trustee.shares)), "the others take what the first can");
    assert!(!vote.setup.takes(&pick, &vote.trustees[1].shares[1..]), "who lacks a share does not");
    vote.setup.agree(vote.decided(Subject::Key, &pick)).unwrap();
    let mut urn = vote.urn();
    assert_eq!(urn.key().dealings().len(), 5);
    all_yes(&mut urn, 1..=10);
    // It can still help to open.
    vote.open(&mut urn, 1..6);
    assert_eq!(urn.verdict().map(|verdict| verdict.counts), Some(vec![10, 0]));
}

#[test]
fn of_whom_one_complains_none_takes() {
    let mut vote = dealt(10, ask(99));
    let spare = vote.panel.spare();
    assert_eq!(spare, 1);
    // The first one has nothing to complain of, and does not know; the last one was dealt badly by the second.
    let (first, last) = (&vote.trustees[0], &vote.trustees[5]);
    let bad = vote.setup_dealing_of(1);
    let complaint = Complaint::sign(&vote.panel, &last.secret(), [bad]).unwrap();
    let received = ComplaintIn::decode(&complaint.unverified().encode()).unwrap();
    assert_eq!(vote.setup.complain(received.clone()), Ok(Heard::New));
    assert_eq!(vote.setup.complain(received.clone()), Ok(Heard::Known));
    let another = Complaint::sign(&vote.panel, &last.secret(), [vote.setup_dealing_of(2)]).unwrap();
    assert_eq!(vote.setup.complain(another.unverified()), Ok(Heard::Cheat), "one each");
    let proposed = vote.setup.proposal(&first.shares).unwrap();
    let names = |pick: &Pick| pick.names.as_chunks::<32>().0.to_vec();
    assert!(names(&proposed).len() == 5 && !names(&proposed).contains(&bad.0));
    // What mallory proposes nevertheless others do not take.
    let unheard = dealt(10, ask(99)).setup;
    let mallory = unheard.proposal(&first.shares).unwrap();
    assert!(names(&mallory).contains(&bad.0));
    let third = &vote.trustees[3];
    assert_eq!((vote.setup.takes(&mallory, &third.shares), vote.setup.takes(&proposed, &third.shares)), (false, true));
    assert!(unheard.takes(&mallory, &third.shares) && unheard.takes(&proposed, &third.shares));
    let wrong = Pick { id: proposed.id, names: mallory.names };
    assert!(!unheard.takes(&wrong, &third.shares), "the names are not those of the id");
    // Complaints cannot leave too few.
    let two = Complaint::sign(&vote.panel, &first.secret(), [bad, vote.setup_dealing_of(2)]);
    assert_eq!(two.unwrap_err(), BadComplaint::TooMany);
    for (by, of) in [(0, 2), (1, 3), (2, 4)] {
        let more = Complaint::sign(&vote.panel, &vote.trustees[by].secret(), [vote.setup_dealing_of(of)]).unwrap();
        vote.setup.complain(more.unverified()).unwrap();
    }
    let fewest = vote.setup.proposal(&third.shares).unwrap();
    assert_eq!(names(&fewest).len(), vote.panel.needed());
    assert!(vote.setup.takes(&fewest, &first.shares), "with some that are disputed, since there are too few others");
    // Whose complaints are heard.
    let stranger = (1..=10).find(|who| vote.panel.place(&member(*who)).is_none()).unwrap();
    assert_eq!(Complaint::sign(&vote.panel, &secret(stranger), [bad]).unwrap_err(), BadComplaint::NotTrustee);
    assert_eq!(received.clone().verify(&panel(motion(&vote.past, 1, ask(98)))).unwrap_err(), BadComplaint::OtherMotion);
    let mut forged = received.encode();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(ComplaintIn::decode(&forged).unwrap().verify(&vote.panel).unwrap_err(), BadComplaint::Forged);
}

#[test]
fn too_few_dealings_make_no_key() {
    let vote = dealt(10, ask(99));
    let us = &vote.trustees[0];
    let few = &us.shares[..vote.panel.needed() - 1];
    assert_eq!(vote.setup.proposal(few), None);
    let all = vote.setup.proposal(&us.shares).unwrap();
    let short = vote.setup.picked_by(&all.names[..32 * few.len()]);
    assert!(vote.setup.takes(&all, &us.shares) && !vote.setup.takes(&short, &us.shares));
    assert_eq!((vote.setup.awaited().count(), vote.setup.key().is_none()), (0, true));
}

#[test]
fn a_dealing_that_comes_again_is_known_and_of_two_by_one_trustee_no_key_is_made() {
    let mut vote = dealt(10, ask(99));
    let [first, second] = [0, 1].map(|at: usize| vote.setup_dealing_of(at));
    let again = vote.setup.dealing(&first).unwrap().unverified();
    assert_eq!(vote.setup.deal(again), Ok(Heard::Known));
    assert_eq!(vote.setup.dealings().count(), vote.trustees.len());
    let (other, _) = TrusteeSecret::new([77; 32]).deal(&vote.panel, &vote.trustees[0].secret()).unwrap();
    assert_eq!(vote.setup.deal(other.unverified()), Ok(Heard::Cheat));
    // Trustees who lie may agree on both.
    let key_of = |vote: &Vote, ids: &[DealingId]| {
        let mut ids: Vec<[u8; 32]> = ids.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        let pick = vote.setup.picked_by(&ids.concat());
        let mut setup = vote.setup.clone();
        assert_eq!(setup.agree(vote.decided(Subject::Key, &pick)), Ok(Heard::New));
        assert_eq!(setup.agree(vote.decided(Subject::Key, &pick)), Ok(Heard::Known));
        setup.key()
    };
    assert!(key_of(&vote, &[first, second]).is_some());
    assert!(key_of(&vote, &[first, other.id(), second]).is_none());
}

#[test]
fn what_is_disputed_is_taken_only_with_all_that_is_not() {
    let mut vote = dealt(10, ask(99));
    let us = &vote.trustees[0];
    let bad = vote.setup_dealing_of(1);
    let good: Vec<DealingId> = [0, 2, 3, 4, 5].map(|at| vote.setup_dealing_of(at)).into();
    assert_eq!(good.len(), vote.panel.needed());
    let complaint = Complaint::sign(&vote.panel, &vote.trustees[5].secret(), [bad]).unwrap();
    vote.setup.complain(complaint.unverified()).unwrap();
    let of = |ids: Vec<&DealingId>| {
        let mut ids: Vec<[u8; 32]> = ids.into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        vote.setup.picked_by(&ids.concat())
    };
    let instead = of(good[1..].iter().chain([&bad]).collect());
    assert!(vote.setup.takes(&of(good.iter().collect()), &us.shares) && !vote.setup.takes(&instead, &us.shares));
}

type Scalar = <Ristretto as ScalarOps>::Scalar;

/// Another signature by the same trustee under the same word, as RFC 8032 makes them but for the nonce, which is any.
fn signed_anew(word: &WordIn, panel: &Panel, pick: &Pick, who: u8) -> WordIn {
    let scalar = |seed: u8| {
        let mut half: [u8; 32] = Sha512::digest([seed; 32])[..32].try_into().unwrap();
        half[0] &= 248;
        half[31] = half[31] & 63 | 64;
        Scalar::from_bytes_mod_order(half)
    };
    let nonce = 250;
    let digest = Sha512::new().chain_update(member(nonce).0).chain_update(member(who).0).chain_update(b"samizdat trustee v2\0");
    let digest = digest.chain_update(panel.id().0).chain_update([0, 0, 2]).chain_update(pick.id).finalize();
    let proof = scalar(nonce) + Scalar::from_bytes_mod_order_wide(&digest.into()) * scalar(who);
    let mut bytes = word.encode();
    let at = bytes.len() - 64;
    bytes[at..].copy_from_slice(&[member(nonce).0, proof.to_bytes()].concat());
    WordIn::decode(&bytes).unwrap()
}

#[test]
fn a_trustee_who_signs_one_word_twice_counts_once() {
    let vote = dealt(3, ask(9));
    let (mallory, bob) = (&vote.trustees[0], &vote.trustees[1]);
    let pick = vote.setup.proposal(&mallory.shares).unwrap();
    let bind = |trustee: &Trustee, stage| WordIn::sign(&vote.panel, &trustee.secret(), (Subject::Key, 0, stage), &pick);
    let said = bind(mallory, Stage::Bind);
    let again = signed_anew(&said, &vote.panel, &pick, mallory.who);
    assert!(again.clone().verify(&vote.panel).is_ok_and(|again| again.unverified() != said), "both are signed by mallory");
    let mut talk = Talk::new(vote.panel.clone(), Subject::Key);
    assert_eq!((talk.hear(bind(mallory, Stage::Propose)), talk.hear(said)), (Ok(Heard::New), Ok(Heard::New)));
    assert_eq!(talk.hear(again), Ok(Heard::Known));
    let decided = |talk: &Talk| talk.decision(&member(bob.who), |_| true);
    assert!(decided(&talk).is_none(), "of two who are needed one is bound");
    assert_eq!(talk.hear(bind(bob, Stage::Bind)), Ok(Heard::New));
    assert!(decided(&talk).is_some());
}

#[test]
fn a_dealing_is_by_a_trustee_who_knows_its_secret() {
    let mut vote = dealt(10, ask(99));
    let deal = |who: u8, by: u8| {
        let (dealing, _) = TrusteeSecret::new([by; 32]).deal(&vote.panel, &secret(by)).unwrap();
        dealing.unverified().signed_by(&secret(who))
    };
    let (alice, bob) = (vote.trustees[0].who, vote.trustees[1].who);
    let stranger = (1..=10).find(|who| vote.panel.place(&member(*who)).is_none()).unwrap();
    let copied = deal(bob, alice);
    assert_eq!(deal(stranger, alice).verify(&vote.panel).unwrap_err(), BadDealing::NotTrustee);
    let other = panel(motion(&vote.past, 1, ask(98)));
    assert_eq!(copied.clone().verify(&other).unwrap_err(), BadDealing::OtherMotion);
    let mut forged = copied.clone().encode();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(DealingIn::decode(&forged).unwrap().verify(&vote.panel).unwrap_err(), BadDealing::Forged);
    // Bob says what alice said. It is proven, but he has no shares to give; and he has dealt before.
    assert_eq!(vote.setup.deal(copied), Ok(Heard::Cheat));
    // Who dealt twice is in no key.
    let us = &vote.trustees[2];
    let pick = vote.setup.proposal(&us.shares).unwrap();
    assert_eq!(pick.names.len(), 32 * (vote.trustees.len() - 1));
    // But somebody may have agreed to it before: who heard others first is told it again.
    let before = dealt(10, ask(99));
    let mut setup = vote.setup.clone();
    setup.agree(before.decided(Subject::Key, &before.setup.proposal(&us.shares).unwrap())).unwrap();
    let again: Vec<MemberId> = setup.doubled(&setup.key().unwrap()).map(|dealing| dealing.trustee()).collect();
    assert_eq!(again, [member(bob)]);
}

#[test]
fn nothing_of_secrets_is_shown() {
    let vote = dealt(3, ask(9));
    let shown = format!("{:?} {:?}", vote.trustees[0].ours, vote.trustees[0].shares[0]);
    assert!(shown.starts_with("TrusteeSecret(..) verified a share for member:"), "{shown}");
}

#[test]
fn a_dealing_of_another_size_proves_nothing() {
    let vote = dealt(10, ask(99));
    let trustee = vote.trustees[0].secret();
    let (dealing, _) = vote.trustees[0].ours.deal(&vote.panel, &trustee).unwrap();
    for (polynomial, proof) in [(-1, 0), (0, -1), (-1, -1), (1, 0), (0, 1), (1, 1), (-5, -6)] {
        let resized = dealing.unverified().resized(polynomial, proof).signed_by(&trustee);
        let received = DealingIn::decode(&resized.encode()).unwrap();
        assert_eq!(received.verify(&vote.panel).unwrap_err(), BadDealing::Unproven, "{polynomial} {proof}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever comes first: the same key, and the same result.
    #[test]
    fn all_come_to_the_same_in_whatever_order_they_hear(order in any::<u64>()) {
        let vote = ready(5, ask(9));
        let mut urn = vote.urn();
        all_yes(&mut urn, 1..=4);
        cast(&mut urn, 5, 1).unwrap();
        vote.open(&mut urn, 0..3);
        let shuffled = |mut messages: Vec<Vec<u8>>| {
            messages.sort_by_cached_key(|bytes| <[u8; 32]>::from(Sha256::digest([&order.to_be_bytes()[..], bytes].concat())));
            messages
        };
        let dealings = vote.trustees[0].shares.iter().map(|share| vote.setup.dealing(&share.dealing()).unwrap().unverified().encode());
        let decided = vote.decided(Subject::Key, &vote.setup.proposal(&vote.trustees[0].shares).unwrap());
        let mut setup = Setup::new(vote.panel.clone());
        for message in shuffled(dealings.chain([decided.encode()]).collect()) {
            if let Ok(dealing) = DealingIn::decode(&message) {
                prop_assert_eq!(setup.deal(dealing), Ok(Heard::New));
            } else {
                prop_assert_eq!(setup.agree(DecisionIn::decode(&message).unwrap()), Ok(Heard::New));
            }
        }
        let key = setup.key().unwrap();
        prop_assert_eq!(key.id(), urn.key().id());
        let mut other = Urn::new(key);
        for ballot in shuffled(urn.ballots().map(|one| one.unverified().encode()).collect()) {
            prop_assert_eq!(other.add(SecretBallotIn::decode(&ballot).unwrap()), Ok(Heard::New));
        }
        for opening in shuffled(urn.openings().map(|one| one.unverified().encode()).collect()) {
            prop_assert_eq!(other.opened(OpeningIn::decode(&opening).unwrap()), Ok(Heard::New));
        }
        prop_assert_eq!(other.verdict(), urn.verdict());
        prop_assert_eq!(other.verdict().unwrap().counts, vec![4, 1]);
    }
}
