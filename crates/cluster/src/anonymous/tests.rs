#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use super::*;
use crate::people::{CLUSTER, member, roster, secret};
use proptest::prelude::*;

const EPOCH: u64 = 7;

fn secrets(who: u8) -> SlotSecrets {
    SlotSecrets::new([who; 32], CLUSTER, EPOCH)
}

fn published(who: u8) -> SlotsIn {
    secrets(who).publish(&secret(who)).unverified()
}

/// Of a circle of so many, who all published.
fn pool(count: u8) -> Pool {
    let mut pool = Pool::new(CLUSTER, EPOCH, roster(1..=count));
    (1..=count).for_each(|who| assert_eq!(pool.add(published(who)), Ok(Published::New)));
    pool
}

fn post(text: &str) -> Post {
    Post { to: None, body: text.into() }
}

fn write(pool: &Pool, who: u8, slot: u8, text: &str) -> Anonymous {
    secrets(who).write(pool, slot, post(text), [who; 32]).unwrap()
}

#[test]
fn everybody_can_tell_that_a_member_wrote_and_nobody_which() {
    let pool = pool(5);
    let messages: Vec<Anonymous> = (1..=5).map(|who| write(&pool, who, 0, "the treasurer lies")).collect();
    for message in &messages {
        let received = AnonymousIn::decode(&message.unverified().encode()).unwrap();
        assert_eq!(received.verify(&pool).as_ref(), Ok(message));
        assert_eq!((message.post(), message.hides_among()), (&post("the treasurer lies"), 5));
    }
    // The same words by whomever: all that is said is the same, and what differs is as random.
    assert!(messages.iter().all(|message| message.id() == messages[0].id()));
    let images: BTreeSet<[u8; 32]> = messages.iter().map(Anonymous::image).collect();
    let keys: BTreeSet<[u8; 32]> = (1..=5).flat_map(|who| (0..4).map(move |slot| ring::key(&secrets(who).secret(slot)))).collect();
    assert!(images.len() == 5 && images.is_disjoint(&keys));
}

#[test]
fn a_member_writes_as_often_as_it_has_slots() {
    let (pool, mut spent) = (pool(4), Spent::default());
    let all = (0..4).map(|slot| write(&pool, 2, slot, "I disagree"));
    assert!(all.map(|message| spent.add(&message)).all(|counted| counted == Counted::New));
    let again = secrets(2).write(&pool, 4, post("I disagree"), [0; 32]);
    assert_eq!(again.unwrap_err(), CannotWrite::NoSuchSlot);
    // By a slot that is used up, whatever is said and however it is signed.
    let (one, other) = (write(&pool, 2, 1, "and another thing"), write(&pool, 2, 1, "and one more"));
    let counts = [&one, &other].map(|message| spent.add(message));
    assert!(!counts.contains(&Counted::New), "{counts:?}");
    assert_eq!(spent.len(), 4);
    assert_eq!(spent.add(&write(&pool, 3, 1, "so do I")), Counted::New, "the slots of others are others");
}

#[test]
fn of_two_by_one_slot_all_count_the_same_one() {
    let pool = pool(3);
    let (mut low, mut high) = (write(&pool, 1, 0, "yes"), write(&pool, 1, 0, "no"));
    if low.id() > high.id() {
        std::mem::swap(&mut low, &mut high);
    }
    let (mut one, mut other) = (Spent::default(), Spent::default());
    assert_eq!([one.add(&low), one.add(&high), one.add(&low)], [Counted::New, Counted::Refused, Counted::Known]);
    assert_eq!([other.add(&high), other.add(&low)], [Counted::New, Counted::Instead { of: high.id() }]);
    assert_eq!(one, other);
    let mut kept = Spent::default();
    kept.recall(high.epoch(), high.image(), high.id());
    assert_eq!([kept.add(&high), kept.add(&low)], [Counted::Known, Counted::Instead { of: high.id() }]);
    assert_eq!(kept, one, "whoever was restarted counts on");
    one.forget_before(EPOCH);
    assert!(!one.is_empty());
    one.forget_before(EPOCH + 1);
    assert!(one.is_empty());
}

#[test]
fn another_epoch_has_other_keys_and_other_images() {
    let later = SlotSecrets::new([9; 32], CLUSTER, EPOCH + 1);
    let keys = |secrets: &SlotSecrets| (0..4).map(|slot| ring::key(&secrets.secret(slot))).collect::<BTreeSet<_>>();
    assert!(keys(&later).is_disjoint(&keys(&secrets(9))), "even of the same seed");
    let elsewhere = SlotSecrets::new([9; 32], crate::ids::ClusterId([1; 32]), EPOCH);
    assert!(keys(&elsewhere).is_disjoint(&keys(&secrets(9))));
    let mut pool = pool(3);
    assert_eq!(pool.add(later.publish(&secret(3)).unverified()), Err(BadSlots::Elsewhere));
    let message = write(&pool, 1, 0, "hello").unverified();
    assert_eq!(message.clone().verify(&Pool::new(CLUSTER, EPOCH + 1, roster(1..=3))), Err(BadAnonymous::OtherEpoch));
    assert_eq!(message.verify(&Pool::new(CLUSTER, EPOCH, roster(1..=3))), Err(BadAnonymous::Unheard(3)));
}

#[test]
fn mallory_who_is_no_member_writes_nothing() {
    let mut pool = pool(3);
    assert_eq!(pool.add(published(9)), Err(BadSlots::NotMember));
    assert_eq!(secrets(9).write(&pool, 0, post("hello"), [1; 32]).unwrap_err(), CannotWrite::NotPublished);
    // As if it were by alice.
    let stolen = SlotsIn { member: member(1), ..published(9) };
    assert_eq!(pool.add_raw(stolen), Err(BadSlots::Forged));
    // Signed among others than it says.
    let strangers = pool_of([1, 2, 9]);
    let message = secrets(9).write(&strangers, 0, post("hello"), [1; 32]).unwrap().unverified();
    assert!(matches!(message.clone().verify(&pool), Err(BadAnonymous::Unheard(1))));
    let mut posing = message;
    posing.said.ring = pool.choose(&pool.owner(0, &ring::key(&secrets(1).secret(0))).unwrap(), &[0; 32]);
    assert_eq!(posing.verify(&pool), Err(BadAnonymous::Forged));
}

fn pool_of(people: [u8; 3]) -> Pool {
    let mut pool = Pool::new(CLUSTER, EPOCH, roster(people));
    people.iter().for_each(|who| assert_eq!(pool.add(published(*who)), Ok(Published::New)));
    pool
}

impl Pool {
    fn add_raw(&mut self, slots: SlotsIn) -> Result<Published, BadSlots> {
        self.add(SlotsIn::decode(&slots.encode()).unwrap())
    }
}

#[test]
fn who_publishes_twice_is_named_and_hides_nobody() {
    let mut pool = pool(4);
    let before = write(&pool, 1, 0, "before").unverified();
    let more = SlotSecrets::new([99; 32], CLUSTER, EPOCH);
    let Ok(Published::Cheat(proof)) = pool.add(more.publish(&secret(4)).unverified()) else { panic!("a cheat") };
    assert_eq!(proof.culprit(), Some((member(4), CLUSTER, EPOCH)));
    assert_eq!(TwoSets::decode(&proof.encode()), Ok(*proof.clone()));
    let mut forged = proof.clone();
    forged.second.signature[0] ^= 1;
    assert_eq!(forged.culprit(), None);
    assert_eq!(TwoSets { second: proof.first.clone(), ..*proof.clone() }.culprit(), None);
    assert_eq!(TwoSets { second: published(3), ..*proof }.culprit(), None);
    assert_eq!(pool.hides_among(), 3);
    assert_eq!(write(&pool, 1, 1, "after").hides_among(), 3);
    assert_eq!(secrets(4).write(&pool, 0, post("hello"), [0; 32]).unwrap_err(), CannotWrite::NotPublished);
    // Nobody can make what others wrote unreadable by cheating afterwards.
    assert!(before.verify(&pool).is_ok());
    let third = SlotSecrets::new([98; 32], CLUSTER, EPOCH).publish(&secret(4));
    assert_eq!(pool.add(third.unverified()), Ok(Published::TooMany));
    assert_eq!(pool.add(published(4)), Ok(Published::Known));
}

#[test]
fn both_sets_of_one_member_are_no_crowd() {
    let mut pool = pool(3);
    let more = SlotSecrets::new([99; 32], CLUSTER, EPOCH);
    pool.add(more.publish(&secret(3)).unverified()).unwrap();
    let sets: Vec<SlotsId> = [published(1), published(3)]
        .map(|slots| slots.verify(&CLUSTER, EPOCH, pool.roster()).unwrap().id())
        .into_iter()
        .chain([more.publish(&secret(3)).id()])
        .collect();
    let mut message = write(&pool_of([1, 2, 3]), 1, 0, "hello").unverified();
    message.said.ring = sets;
    message.said.ring.sort();
    assert_eq!(message.verify(&pool), Err(BadAnonymous::Doubled));
}

#[test]
fn two_alone_cannot_hide() {
    let mut pool = Pool::new(CLUSTER, EPOCH, roster(1..=4));
    (1..=2).for_each(|who| assert_eq!(pool.add(published(who)), Ok(Published::New)));
    assert_eq!(secrets(1).write(&pool, 0, post("hello"), [0; 32]).unwrap_err(), CannotWrite::TooFew);
    let mut small = write(&pool_of([1, 2, 3]), 1, 0, "hello").unverified();
    small.said.ring.pop();
    small.signature.proof.truncate(32 * 4);
    assert_eq!(AnonymousIn::decode(&small.encode()), Err(Malformed));
}

#[test]
fn keys_that_are_verified_elsewhere_do_not_count_here() {
    let here = published(3).verify(&CLUSTER, EPOCH, &roster(1..=3)).unwrap();
    let put = |mut pool: Pool| pool.add_verified(here.clone());
    assert_eq!(put(Pool::new(CLUSTER, EPOCH, roster(1..=3))), Ok(Published::New));
    assert_eq!(put(Pool::new(CLUSTER, EPOCH, roster(1..=2))), Err(BadSlots::NotMember));
    assert_eq!(put(Pool::new(CLUSTER, EPOCH + 1, roster(1..=3))), Err(BadSlots::Elsewhere));
}

#[test]
fn keys_are_points_of_the_right_group_and_none_is_there_twice() {
    let mut pool = Pool::new(CLUSTER, EPOCH, roster(1..=3));
    let mut with = |key: [u8; 32]| {
        let mut slots = published(1);
        slots.keys[32..64].copy_from_slice(&key);
        slots.signature = secret(1).sign(&slots.signed());
        pool.add_raw(slots)
    };
    let mut neutral = [0; 32];
    neutral[0] = 1;
    // A point of order two, a point that is written in two ways, no point.
    let mut two = [0xff; 32];
    (two[0], two[31]) = (0xec, 0x7f);
    let mut unreduced = [0xff; 32];
    (unreduced[0], unreduced[31]) = (0xee, 0x7f);
    for bad in [neutral, two, unreduced, [2; 32], ring::key(&secrets(1).secret(0))] {
        assert_eq!(with(bad), Err(BadSlots::NotKeys), "{bad:?}");
    }
    assert_eq!(with(ring::key(&secrets(2).secret(1))), Ok(Published::New));
    // Who says the keys of others for its own gains nothing, and takes nothing from them.
    [2, 3].into_iter().for_each(|who| assert_eq!(pool.add(published(who)), Ok(Published::New)));
    let message = write(&pool, 2, 1, "still here");
    assert!(message.unverified().verify(&pool).is_ok());
}

#[test]
fn what_is_for_one_member_is_for_a_member() {
    let pool = pool(3);
    let to = |who| Post { to: Some(member(who)), body: vec![1; 40] };
    let message = secrets(1).write(&pool, 0, to(2), [0; 32]).unwrap();
    let received = AnonymousIn::decode(&message.unverified().encode()).unwrap();
    assert_eq!(received.verify(&pool).unwrap().post(), &to(2));
    assert_eq!(secrets(1).write(&pool, 0, to(9), [0; 32]).unwrap_err(), CannotWrite::Unsendable);
    let mut turned = message.unverified();
    turned.said.post.to = Some(member(9));
    assert_eq!(turned.verify(&pool), Err(BadAnonymous::NoSuchMember));
    let long = Post { to: None, body: vec![0; ANONYMOUS_BODY_MAX + 1] };
    assert_eq!(secrets(1).write(&pool, 0, long, [0; 32]).unwrap_err(), CannotWrite::Unsendable);
}

#[test]
fn the_longest_message_among_the_most_members_can_be_read() {
    let everybody = u8::MAX;
    let pool = pool(everybody);
    assert_eq!(pool.hides_among(), RING_MAX);
    let longest = Post { to: Some(member(2)), body: vec![0xff; ANONYMOUS_BODY_MAX] };
    let message = secrets(1).write(&pool, 0, longest, [0; 32]).unwrap();
    assert_eq!(message.hides_among(), RING_MAX);
    let bytes = message.unverified().encode();
    assert!(AnonymousIn::decode(&bytes).unwrap().verify(&pool).is_ok());
}

#[test]
fn nothing_of_secrets_and_words_is_shown() {
    let message = write(&pool(3), 1, 0, "between us");
    assert_eq!(format!("{:?}", secrets(1)), "SlotSecrets(..)");
    assert_eq!(format!("{message:?}"), "verified 10 bytes to None by one of 3 at 7");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
        let _ = (AnonymousIn::decode(&junk), SlotsIn::decode(&junk), TwoSets::decode(&junk));
        let pool = pool(3);
        let good = write(&pool, 2, 3, "hello").unverified();
        let mut like = good.encode();
        let place = at.index(like.len());
        like[place] = byte;
        if let Ok(message) = AnonymousIn::decode(&like) {
            prop_assert_eq!(message.encode(), like);
            // Whatever was changed, it is noticed.
            prop_assert!(message == good || message.verify(&pool).is_err());
        }
        let good = published(1);
        let mut like = good.encode();
        let place = at.index(like.len());
        like[place] = byte;
        if let Ok(slots) = SlotsIn::decode(&like) {
            prop_assert_eq!(slots.encode(), like);
            prop_assert!(slots == good || slots.verify(&CLUSTER, EPOCH, pool.roster()).is_err());
        }
    }

    /// Whatever is written by whom in which order: as many messages count as slots were used, and the same ones for all.
    #[test]
    fn all_count_the_same_messages(said in prop::collection::vec((1..=3u8, 0..4u8, 0..2u8), 1..8), order in any::<u64>()) {
        let pool = pool(3);
        let messages: Vec<Anonymous> = said.iter().map(|(who, slot, text)| write(&pool, *who, *slot, &text.to_string())).collect();
        let mut shuffled: Vec<&Anonymous> = messages.iter().collect();
        shuffled.sort_by_cached_key(|message| Sha256::digest([&order.to_be_bytes()[..], &message.id()].concat()).to_vec());
        let (mut one, mut other) = (Spent::default(), Spent::default());
        messages.iter().for_each(|message| { one.add(message); });
        shuffled.into_iter().for_each(|message| { other.add(message); });
        let slots: BTreeSet<(u8, u8)> = said.iter().map(|(who, slot, _)| (*who, *slot)).collect();
        prop_assert_eq!(one.len(), slots.len());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn keys_published_in_whatever_order_make_one_pool(order in Just((1..=5u8).collect::<Vec<_>>()).prop_shuffle()) {
        let mut shuffled = Pool::new(CLUSTER, EPOCH, roster(1..=5));
        order.into_iter().for_each(|who| { shuffled.add(published(who)).unwrap(); });
        let (pool, ours) = (pool(5), published(1).verify(&CLUSTER, EPOCH, shuffled.roster()).unwrap().id());
        prop_assert_eq!(pool.choose(&ours, &[1; 32]), shuffled.choose(&ours, &[1; 32]));
    }
}
