//! Who asks to be let in is, at last.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, mingle, nest, pass, swap};
use people::Person;
use samizdat_chat::{Proposal, Standing};
use samizdat_cluster::{Charter, tally::Outcome};

const HOUR: u64 = 3_600_000;
const WEEK: u64 = 7 * 24 * HOUR;

fn standing(person: &mut Person) -> Standing {
    person.chat.clusters().unwrap()[0].standing
}

fn asks(person: &mut Person) -> usize {
    person.chat.cluster_requests(NEST).unwrap().len()
}

fn outcomes(person: &mut Person) -> Vec<Outcome> {
    let motions = person.chat.motions(NEST).unwrap();
    motions.into_iter().filter(|motion| motion.subject == "dave" && motion.kind == "admit").map(|motion| motion.state).collect()
}

fn moves_for_dave(person: &mut Person) -> String {
    person.chat.open_motion(NEST, &Proposal::Admit("dave"), person.now).unwrap().1.to_string()
}

#[test]
fn dave_asks_every_week_and_is_let_in_though_who_invited_him_is_gone_and_one_motion_for_him_expired() {
    let mut people = nest(&Charter { motion_epochs: 1, ..charter() }, &["alice", "bob", "carol"]);
    let now = people[0].now;
    let link = people[0].chat.invite_to_cluster(NEST, "for dave", 56, now).unwrap();
    people[0].settle();
    swap(&mut people);
    people.remove(0);
    let mut dave = Person::new(9);
    dave.now = now;
    dave.chat.join_cluster(&link, "dave", "It is me.", now).unwrap();
    dave.settle();
    // Nobody is there to hear it.
    for week in 1..=2 {
        dave.now.unix_ms += WEEK - HOUR;
        assert_eq!(dave.settle().len(), 0, "{week}");
        dave.now.unix_ms += HOUR;
        assert!(!dave.settle().is_empty(), "{week}");
    }
    let heard = dave.envelopes();
    let gone = dave.now.unix_ms - now.unix_ms;
    pass(&mut people, gone);
    people.iter_mut().for_each(|member| heard.iter().for_each(|envelope| member.receive(envelope)));
    mingle(&mut people);
    assert_eq!([asks(&mut people[0]), asks(&mut people[1])], [1, 1], "once, however often he asked");
    assert!(outcomes(&mut people[0]).is_empty(), "nobody moves who did not invite him");

    // Bob moves, and carol does not vote in time.
    moves_for_dave(&mut people[0]);
    (0..2).for_each(|_| {
        pass(&mut people, 26 * HOUR);
        mingle(&mut people);
    });
    assert_eq!(outcomes(&mut people[1]), [Outcome::Expired]);
    assert_eq!((asks(&mut people[1]), standing(&mut dave)), (1, Standing::Asking), "who was not let in still asks");
    let motion = moves_for_dave(&mut people[1]);
    mingle(&mut people);
    let now = people[0].now;
    people[0].chat.vote(&motion, "yes", now).unwrap();
    mingle(&mut people);
    dave.now = people[0].now;
    people.push(dave);
    mingle(&mut people);
    assert_eq!(people.iter_mut().map(standing).collect::<Vec<_>>(), [Standing::Member; 3]);
}
