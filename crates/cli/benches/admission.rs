//! How long it takes from the vote that decides until somebody is a member: ten people with real nodes on one machine, an eleventh
//! who asks to be let in, and everybody online. Nine are let in on the way, each by more votes than the one before; whoever is the
//! eleventh leaves again.
//! `cargo bench -p samizdat --bench admission`.
#![allow(missing_docs, clippy::disallowed_methods, unreachable_pub)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

#[path = "../tests/people/mod.rs"]
mod people;

use std::{
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use people::{Person, eventually};
use samizdat_api::{Client, Event, cluster::Standing};
use serde_json::Value;

const NEST: &str = "nest";
/// Who vote on the newcomers that are counted.
const MEMBERS: usize = 10;
const COUNTED: usize = 7;
const GOAL_MS: f64 = 2000.0;
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    let alice = Person::new("alice").start(&[]);
    alice.run(&["cluster", "found", NEST, "--nick", "alice", "--cap", "50"]);
    // One for all who stay: a cluster has few.
    let link = invite(&alice);
    let mut people = vec![alice];
    while people.len() < MEMBERS {
        let (newcomer, took) = admit(&people, &link);
        println!("{:>2} members: {took:>8.1} ms", people.len());
        people.push(newcomer);
        agree(&people, people.len());
    }
    let mut counted = Vec::new();
    for _ in 0..COUNTED {
        // When somebody leaves the links close that they knew.
        let (newcomer, took) = admit(&people, &invite(&people[0]));
        println!("{MEMBERS} members: {took:>8.1} ms, counted");
        counted.push(took);
        agree(&people, MEMBERS + 1);
        newcomer.run(&["cluster", "leave", NEST]);
        agree(&people, MEMBERS);
    }
    let (value, worst) = (median(&counted), counted.iter().copied().fold(0.0, f64::max));
    println!("from the vote that decides until the newcomer is a member: median {value:.1} ms, worst {worst:.1} ms");
    let reached = value < GOAL_MS;
    println!("{{\"figure\":\"vote_to_admitted_ms\",\"value\":{value:.1},\"goal\":\"< {GOAL_MS}\",\"reached\":{reached}}}");
}

fn invite(person: &Person) -> String {
    person.json(&["cluster", "invite", NEST])["link"].as_str().unwrap().to_owned()
}

/// Somebody asks, as many vote as it takes; the newcomer, and the time from the last vote until they are a member, ms.
fn admit(people: &[Person], link: &str) -> (Person, f64) {
    let newcomer = Person::new("newcomer").start(&[&people[0].join]);
    let heard = standings(&newcomer);
    let before = people[0].rows(&["motion", "list", NEST]).len();
    newcomer.run(&["cluster", "join", link, "--nick", "newcomer"]);
    // The oldest are first; that of the newcomer is opened by the node of whoever invited.
    let motion = eventually("the motion", || {
        let rows = people[0].rows(&["motion", "list", NEST]);
        rows.get(before).map(|row| row["motion"].as_str().unwrap().to_owned())
    });
    let show = |person: &Person| person.json(&["motion", "show", NEST, &motion]);
    let needed = show(&people[0])["needed"].as_u64().unwrap();
    let mut decided = Instant::now();
    // Whoever invited has said yes.
    for (voter, cast) in people[1..].iter().zip(1..needed) {
        eventually("the motion at a voter", || (voter.code(&["motion", "show", NEST, &motion]) == 0).then_some(()));
        if cast + 1 == needed {
            people.iter().for_each(|person| eventually("the votes", || (show(person)["yes"] == cast).then_some(())));
        }
        decided = Instant::now();
        voter.run(&["vote", &motion, "yes"]);
    }
    let mut said = std::iter::repeat_with(|| heard.recv_timeout(PATIENCE).expect("what the newcomer's node says"));
    let (at, _) = said.find(|(_, standing)| *standing == Standing::Member).unwrap();
    (newcomer, at.saturating_duration_since(decided).as_secs_f64() * 1e3)
}

/// How somebody stands with a cluster, with the moment at which their node said so.
fn standings(person: &Person) -> Receiver<(Instant, Standing)> {
    let mut events = Client::connect(&person.home()).unwrap().events().unwrap();
    let (said, heard) = channel();
    thread::spawn(move || {
        while let Ok(event) = events.next() {
            if let Event::Cluster { cluster } = event
                && said.send((Instant::now(), cluster.standing)).is_err()
            {
                return;
            }
        }
    });
    heard
}

/// Until all of them are in one state with so many members.
fn agree(people: &[Person], size: usize) {
    eventually("one state", || {
        let views: Vec<Value> = people.iter().map(|person| person.json(&["cluster", "show", "1"])).collect();
        let same = views.windows(2).all(|pair| pair[0]["state"] == pair[1]["state"]);
        (same && views.iter().all(|view| view["size"] == size)).then_some(())
    });
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
