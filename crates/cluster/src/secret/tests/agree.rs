//! Trustees agree, whatever some of them say and whenever it comes.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use super::*;
use crate::limits::{ROUND_DOUBLINGS, ROUND_MS, ROUNDS_MAX};

fn pick(id: u8) -> Pick {
    Pick { id: [id; 32], names: vec![id; 8] }
}

fn seats(panel: &Panel) -> Vec<MemberSecret> {
    panel.trustees().iter().map(|one| secret(who(one))).collect()
}

/// Trustees of whom the last `liars` say what they like, and what each of the others heard.
struct Room {
    panel: Panel,
    seats: Vec<MemberSecret>,
    honest: usize,
    talks: Vec<Talk>,
    rng: ChaCha20Rng,
    /// By whom it was not heard yet.
    under_way: Vec<(usize, WordIn)>,
}

impl Room {
    fn new(people: u8, seed: u64) -> Self {
        let panel = panel(motion(&circle(1..=people), 1, ask(99)));
        let (seats, honest) = (seats(&panel), panel.needed());
        let talks = vec![Talk::new(panel.clone(), Subject::Count); honest];
        Self { panel, seats, honest, talks, rng: ChaCha20Rng::seed_from_u64(seed), under_way: Vec::new() }
    }

    fn drawn(&mut self, below: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % below
    }

    /// An honest trustee says all that it has to say. Each would propose something else.
    fn speak(&mut self, who: usize, clock: u8) {
        let fresh = || Some(pick(u8::try_from(who).unwrap() % 3));
        while let Some(word) = self.talks[who].next(&self.seats[who], clock, fresh, |_| true) {
            let word = WordIn::decode(&word.unverified().encode()).unwrap();
            assert_eq!(self.talks[who].hear(word.clone()), Ok(Heard::New), "nobody says two things");
            (0..self.honest).filter(|to| *to != who).for_each(|to| self.under_way.push((to, word.clone())));
        }
    }

    /// A liar says something. What reaches one of the others reaches all, in any order.
    fn lie(&mut self) {
        let liars = self.seats.len() - self.honest;
        if liars == 0 {
            return;
        }
        let (liar, round, id) =
            (self.honest + self.drawn(liars), u8::try_from(self.drawn(6)).unwrap(), pick(u8::try_from(self.drawn(3)).unwrap()));
        let stage = [Stage::Propose, Stage::Back, Stage::Bind][self.drawn(3)];
        let word = WordIn::sign(&self.panel, &self.seats[liar], (Subject::Count, round, stage), &id);
        (0..self.honest).for_each(|to| self.under_way.push((to, word.clone())));
    }

    fn deliver(&mut self, at: usize) {
        let (to, word) = self.under_way.swap_remove(at);
        // Not of rounds that they do not lead.
        let _ = self.talks[to].hear(word);
    }

    /// What each of the honest ones knows to be decided.
    fn decided(&self) -> BTreeSet<[u8; 32]> {
        let told = self.talks.iter().zip(&self.seats).filter_map(|(talk, us)| talk.decision(&us.member(), |_| true));
        told.map(|told| told.verify(&self.panel, Subject::Count).unwrap().pick().id).collect()
    }
}

#[test]
fn trustees_who_hear_each_other_agree_in_the_first_round() {
    let mut room = Room::new(10, 0);
    for _ in 0..4 {
        (0..room.honest).for_each(|who| room.speak(who, 0));
        while !room.under_way.is_empty() {
            room.deliver(0);
        }
    }
    assert_eq!(room.decided(), [[0; 32]].into());
}

#[test]
fn who_leads_and_is_silent_costs_a_round() {
    let vote = dealt(10, ask(99));
    let mut talk = Talk::new(vote.panel.clone(), Subject::Key);
    let seats = seats(&vote.panel);
    let others = &seats[1..];
    let mut say = |clock: u8| {
        for us in others.iter().chain(others).chain(others) {
            while let Some(word) = talk.next(us, clock, || Some(pick(7)), |_| true) {
                talk.hear(word.unverified()).unwrap();
            }
        }
        talk.decision(&others[0].member(), |_| true)
    };
    assert_eq!((say(0), say(1).is_some()), (None, true));
}

/// Each keeps two of the three words of the liar, so one of them never saw that it backs what is backed.
#[test]
fn who_backs_three_things_counts_alike_for_all_who_hear_two_of_them() {
    let panel = panel(motion(&circle(1..=12), 1, ask(99)));
    let (seats, liar) = (seats(&panel), panel.needed());
    let back = |who: usize, id: u8| WordIn::sign(&panel, &seats[who], (Subject::Count, 0, Stage::Back), &pick(id));
    for heard in [[7, 8], [8, 9]] {
        let mut talk = Talk::new(panel.clone(), Subject::Count);
        let mut enough = |who: usize, id: u8| {
            talk.hear(back(who, id)).unwrap();
            talk.next(&seats[0], 0, || None, |_| true).is_some_and(|word| word.turn() == (0, Stage::Bind))
        };
        assert!((0..liar - 1).all(|who| !enough(who, 7)), "one more is needed");
        assert_eq!(heard.map(|id| enough(liar, id)).last(), Some(&true), "{heard:?}");
    }
}

#[test]
fn a_word_is_of_its_turn_and_a_decision_of_enough() {
    let vote = dealt(10, ask(99));
    let (panel, seats) = (&vote.panel, seats(&vote.panel));
    let say = |who: usize, round, stage| WordIn::sign(panel, &seats[who], (Subject::Key, round, stage), &pick(7));
    assert!(say(1, 1, Stage::Propose).verify(panel).is_ok() && say(1, 7, Stage::Propose).verify(panel).is_ok());
    assert_eq!(say(1, 0, Stage::Propose).verify(panel).unwrap_err(), BadWord::OutOfTurn);
    assert_eq!(say(1, ROUNDS_MAX, Stage::Back).verify(panel).unwrap_err(), BadWord::OutOfTurn);
    let stranger = (1..=10).find(|who| panel.place(&member(*who)).is_none()).unwrap();
    let strange = WordIn::sign(panel, &secret(stranger), (Subject::Key, 0, Stage::Back), &pick(7));
    assert_eq!(strange.verify(panel).unwrap_err(), BadWord::NotTrustee);
    let elsewhere = super::panel(motion(&vote.past, 1, ask(98)));
    assert_eq!(say(1, 0, Stage::Back).verify(&elsewhere).unwrap_err(), BadWord::Elsewhere);
    let mut forged = say(1, 0, Stage::Back).encode();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(WordIn::decode(&forged).unwrap().verify(panel).unwrap_err(), BadWord::Forged);

    let decided = vote.decided(Subject::Key, &pick(7));
    assert!(decided.clone().verify(panel, Subject::Key).is_ok());
    assert_eq!(decided.clone().verify(panel, Subject::Count).unwrap_err(), BadWord::Elsewhere);
    assert_eq!(decided.clone().fewer().verify(panel, Subject::Key).unwrap_err(), BadWord::TooFew);
    let mut forged = decided.encode();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(DecisionIn::decode(&forged).unwrap().verify(panel, Subject::Key).unwrap_err(), BadWord::Forged);
    // What is told with it may be something else: nobody takes that.
    let mut setup = vote.setup.clone();
    assert_eq!(setup.agree(decided), Err(BadWord::Unheard));
}

/// Twelve were asked; trustees of it, and what each says of the count.
fn twelve() -> (Panel, Vec<MemberSecret>, impl Fn(usize, u8, Stage, u8) -> WordIn) {
    let panel = panel(motion(&circle(1..=12), 1, ask(99)));
    let seats = seats(&panel);
    let (of, by) = (panel.clone(), seats.clone());
    (panel, seats, move |who, round, stage, id| WordIn::sign(&of, &by[who], (Subject::Count, round, stage), &pick(id)))
}

#[test]
fn what_is_said_of_the_key_is_not_heard_of_the_count() {
    let (panel, seats, say) = twelve();
    let mut talk = Talk::new(panel.clone(), Subject::Count);
    let of_the_key = WordIn::sign(&panel, &seats[1], (Subject::Key, 0, Stage::Back), &pick(7));
    assert_eq!(talk.hear(of_the_key), Err(BadWord::Elsewhere));
    assert_eq!(talk.hear(say(1, 0, Stage::Back, 7)), Ok(Heard::New));
    assert_eq!(talk.hear(say(1, 0, Stage::Back, 7)), Ok(Heard::Known));
}

/// One of them at least does not lie.
#[test]
fn who_is_behind_follows_one_more_than_may_lie() {
    let (panel, seats, say) = twelve();
    let (all, spare) = (seats.len(), panel.spare());
    let (us, leader) = (0, 5 % all);
    assert!(spare > 0 && leader != us);
    for shift in 0..all {
        let others: Vec<usize> = (0..all).map(|n| (n + shift) % all).filter(|who| ![us, leader].contains(who)).collect();
        let mut talk = Talk::new(panel.clone(), Subject::Count);
        let mut hear = |word: WordIn| {
            talk.hear(word).unwrap();
            talk.next(&seats[us], 1, || None, |_| true).map(|word| word.turn())
        };
        for who in others.iter().chain([&leader]) {
            hear(say(*who, 0, Stage::Back, u8::try_from(*who).unwrap()));
        }
        assert_eq!(hear(say(leader, 5, Stage::Propose, 7)), None);
        for who in &others[..spare - 1] {
            assert_eq!(hear(say(*who, 4, Stage::Bind, 8)), None, "{shift}");
            assert_eq!(hear(say(*who, 5, Stage::Bind, 9)), None, "{shift}");
        }
        assert_eq!(hear(say(others[spare - 1], 5, Stage::Bind, 9)), Some((5, Stage::Back)), "{shift}");
    }
}

#[test]
fn nobody_goes_back_to_a_round_before_the_one_in_which_it_spoke() {
    let (panel, seats, say) = twelve();
    let mut talk = Talk::new(panel, Subject::Count);
    for word in [say(3, 0, Stage::Back, 1), say(3, 3, Stage::Propose, 7), say(4, 5, Stage::Back, 9), say(0, 0, Stage::Propose, 2)] {
        talk.hear(word).unwrap();
    }
    let next = talk.next(&seats[3], 0, || None, |_| true).unwrap();
    assert_eq!(next.unverified(), say(3, 3, Stage::Back, 7));
}

/// Or two things could be decided.
#[test]
fn who_is_bound_backs_another_thing_only_after_enough_backed_that_later() {
    let (panel, seats, say) = twelve();
    let mut talk = Talk::new(panel.clone(), Subject::Count);
    let next = |talk: &Talk| talk.next(&seats[0], 5, || None, |_| true).map(|word| word.unverified());
    talk.hear(say(0, 1, Stage::Bind, 1)).unwrap();
    talk.hear(say(5, 5, Stage::Propose, 2)).unwrap();
    assert_eq!(next(&talk), None);
    for round in [1, 3] {
        assert_eq!(next(&talk), None);
        for who in 1..=panel.needed() {
            talk.hear(say(who, round, Stage::Back, 2)).unwrap();
        }
    }
    assert_eq!(next(&talk), Some(say(0, 5, Stage::Back, 2)));
    let mut same = Talk::new(panel, Subject::Count);
    same.hear(say(0, 1, Stage::Bind, 1)).unwrap();
    same.hear(say(5, 5, Stage::Propose, 1)).unwrap();
    assert_eq!(next(&same), Some(say(0, 5, Stage::Back, 1)));
}

#[test]
fn rounds_grow_up_to_hours() {
    assert_eq!((round_after(0), round_after(ROUND_MS - 1), round_after(ROUND_MS)), ((0, ROUND_MS), (0, 1), (1, 2 * ROUND_MS)));
    let longest = ROUND_MS << ROUND_DOUBLINGS;
    assert_eq!(round_after(longest * 2), (ROUND_DOUBLINGS + 1, longest - ROUND_MS));
    assert_eq!(round_after(u64::MAX), (ROUNDS_MAX - 1, u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// As many lie as can be done without, and whatever anybody says comes when it likes, or for long not at all; then messages come.
    #[test]
    fn whatever_liars_say_and_whenever_it_comes_one_thing_is_decided(seed in any::<u64>(), people in prop::sample::select(vec![5u8, 6, 9, 12])) {
        let mut room = Room::new(people, seed);
        for step in 0..400 {
            match room.drawn(8) {
                0 => room.lie(),
                1 | 2 => {
                    let (who, clock) = (room.drawn(room.honest), u8::try_from(room.drawn(5)).unwrap());
                    room.speak(who, clock);
                }
                _ if room.under_way.is_empty() => {}
                _ => {
                    let at = room.drawn(room.under_way.len());
                    room.deliver(at);
                }
            }
            prop_assert!(step % 20 > 0 || room.decided().len() <= 1);
        }
        for clock in 5..5 + u8::try_from(2 * room.seats.len()).unwrap() {
            for _ in 0..4 {
                (0..room.honest).for_each(|who| room.speak(who, clock));
                room.lie();
                while !room.under_way.is_empty() {
                    room.deliver(0);
                }
            }
        }
        prop_assert_eq!(room.decided().len(), 1);
    }
}
