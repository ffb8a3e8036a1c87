//! A cluster of several people, and time that passes for all of them.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex},
};

use samizdat_chat::{Filter, Message, Standing};
use samizdat_cluster::{Charter, tally::Outcome};
use samizdat_core::Envelope;

use crate::people::{LIFETIME, Person};

pub const NEST: &str = "nest";

pub fn charter() -> Charter {
    Charter::new(NEST).unwrap()
}

/// Those that some test has made, by their rules and names.
type Nests = BTreeMap<(Vec<u8>, Vec<String>), Vec<Person>>;
static NESTS: LazyLock<Mutex<Nests>> = LazyLock::new(Mutex::default);

/// The first one founded it, the others were let in one after the other. Two tests have the same people, who do not know of each other.
pub fn nest(charter: &Charter, names: &[&str]) -> Vec<Person> {
    nest_in(&mut NESTS.lock().unwrap(), charter, names)
}

fn nest_in(nests: &mut Nests, charter: &Charter, names: &[&str]) -> Vec<Person> {
    let key = (charter.encode(), names.iter().map(ToString::to_string).collect());
    // A copy for the first, too, as of everybody.
    let again = |people: &Vec<Person>| people.iter().map(Person::again).collect();
    if let Some(people) = nests.get(&key) {
        return again(people);
    }
    let (name, before) = names.split_last().unwrap();
    let mut people = if before.is_empty() { Vec::new() } else { nest_in(nests, charter, before) };
    let mut person = Person::new(u8::try_from(names.len()).unwrap());
    if let Some(now) = people.first().map(|alice| alice.now) {
        person.now = now;
        people.push(person);
        let_in(&mut people, name);
    } else {
        person.chat.found_cluster(charter, name, person.now).unwrap();
        person.settle();
        people.push(person);
    }
    let copies = again(&people);
    nests.insert(key, people);
    copies
}

/// One of the first, each of whom may have a few doors, invites the last one, and all vote for it.
pub fn let_in(people: &mut [Person], name: &str) {
    let (now, by) = (people[0].now, (people.len() - 2) / 4);
    let link = people[by].chat.invite_to_cluster(NEST, "", 7, now).unwrap();
    let newcomer = people.last_mut().unwrap();
    newcomer.chat.join_cluster(&link, name, "hello", now).unwrap();
    mingle(people);
    vote_all(people);
    mingle(people);
    assert_eq!(people.last_mut().unwrap().chat.cluster(NEST).unwrap().standing, Standing::Member, "{name}");
}

/// Everybody says yes to whatever is open.
pub fn vote_all(people: &mut [Person]) {
    for person in people {
        let Ok(motions) = person.chat.motions(NEST) else { continue };
        for motion in motions.iter().filter(|motion| motion.state == Outcome::Open && motion.ours.is_none()) {
            let _ = person.chat.vote(&motion.motion, "yes", person.now);
        }
    }
}

pub fn pass(people: &mut [Person], ms: u64) {
    for person in people {
        person.now.unix_ms += ms;
        person.now.mono_ms += ms;
    }
}

/// Everybody learns what everybody has, and what is said to that. Two minutes pass.
pub fn mingle(people: &mut [Person]) {
    swap(people);
    for _ in 0..8 {
        pass(people, 15_000);
        let made: Vec<Vec<Envelope>> = people.iter_mut().map(made).collect();
        hand_out(people, &made);
    }
}

fn made(person: &mut Person) -> Vec<Envelope> {
    let ids = person.settle();
    ids.iter().map(|id| person.log.find(id).unwrap().unwrap().envelope().unwrap()).collect()
}

/// Everybody learns what everybody has.
pub fn swap(people: &mut [Person]) {
    let all: Vec<Vec<Envelope>> = people.iter().map(Person::envelopes).collect();
    hand_out(people, &all);
}

fn hand_out(people: &mut [Person], envelopes: &[Vec<Envelope>]) {
    for (from, envelopes) in envelopes.iter().enumerate() {
        for (_, person) in people.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            envelopes.iter().for_each(|envelope| person.receive(envelope));
        }
    }
}

pub fn say(person: &mut Person, text: &str) -> Message {
    person.chat.write_in_cluster(NEST, text, LIFETIME, person.now).unwrap()
}

pub fn texts(person: &Person) -> Vec<String> {
    person.chat.messages(&Filter::default()).unwrap().into_iter().map(|message| message.text).collect()
}
