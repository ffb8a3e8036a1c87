//! A cluster of real nodes that are killed, or whose disk is full, while it changes.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod nest;
mod people;

use std::fs;

use nest::{NEST, agree, all_can_prove_it, ask, motion, nicks, reads_each_once, show};
use people::{Moments, Person, done_though_killed, eventually, fill};

/// Rounds; in each of them the rules are changed and all members are killed once.
const ROUNDS: u32 = 6;
/// The disk of somebody who has little.
const SMALL: &str = "24m";

/// Alice, who founded it, Bob and Carol.
fn three(alice: Person) -> [Person; 3] {
    let alice = alice.start(&[]);
    let (bob, carol) = (Person::new("bob").start(&[&alice.join]), Person::new("carol").start(&[&alice.join]));
    alice.run(&["cluster", "found", NEST, "--nick", "alice"]);
    ask(&alice, &bob, "bob");
    agree(&[&alice, &bob], &["alice", "bob"]);
    ask(&alice, &carol, "carol");
    [alice, bob, carol]
}

#[test]
fn members_who_are_killed_while_they_vote_and_change_end_in_one_state() {
    let mut people = three(Person::new("alice"));
    let [alice, bob, carol] = &people;
    bob.run(&["vote", &motion(bob, "admit", "carol"), "yes"]);
    agree(&[alice, bob, carol], &["alice", "bob", "carol"]);
    let joins = [alice.join.clone(), bob.join.clone()];

    let mut moments = Moments(7);
    let mut taken = Vec::new();
    for round in 0..ROUNDS {
        let by = round as usize % people.len();
        let cap = (10 + round).to_string();
        let opened = people[by].json(&["motion", "open", NEST, "charter", "--cap", &cap])["motion"].as_str().unwrap().to_owned();
        for victim in 0..people.len() {
            let text = format!("{round}.{victim}");
            let who = &people[(victim + 1) % people.len()];
            let (what, is_text) = if victim == 0 {
                (vec!["cluster", "say", NEST, &text, "--days", "1"], true)
            } else {
                (vec!["vote", &opened, "yes"], false)
            };
            if done_though_killed(who, &people[victim], &what, &mut moments) && is_text {
                taken.push(text.clone());
            }
            let others: Vec<&str> = joins.iter().map(String::as_str).collect();
            people[victim].revive(&others);
        }
        // Whoever had not heard of it, or whose vote was cut off.
        for person in &people {
            eventually("the vote of all that is needed", || {
                let row = person.rows(&["motion", "list", NEST]).into_iter().find(|row| row["motion"] == opened.as_str())?;
                if row["state"] == "open" && row["ours"].is_null() {
                    person.code(&["vote", &opened, "yes"]);
                }
                (row["state"] == "passed" || !row["ours"].is_null()).then_some(())
            });
        }
        eventually("the change", || {
            people.iter().all(|person| person.json(&["cluster", "charter", NEST])["cap"] == 10 + round).then_some(())
        });
    }

    let all: Vec<&Person> = people.iter().collect();
    agree(&all, &["alice", "bob", "carol"]);
    assert!(!taken.is_empty());
    all.iter().for_each(|person| reads_each_once(person, &taken));
    all_can_prove_it(&all);
}

#[test]
fn a_full_disk_while_the_cluster_changes_loses_nothing() {
    let Some(alice) = Person::on_a_small_disk("alice", SMALL) else { return };
    let [alice, bob, carol] = three(alice);
    let admission = motion(&bob, "admit", "carol");
    let junk = alice.home().parent().unwrap().join("junk");
    fill(&junk);

    // Bob's vote decides it: one of them makes the Commit, the other has to follow.
    bob.run(&["vote", &admission, "yes"]);
    bob.run(&["cluster", "say", NEST, "do you get this?", "--days", "1"]);
    eventually("the node to have no room for what Bob did", || {
        let status = alice.json(&["status"]);
        (status["drops"]["disk"].as_u64()? > 0).then_some(())
    });
    assert_eq!(nicks(&show(&alice)), ["alice", "bob"], "what cannot be written has not happened");

    fs::remove_file(junk).unwrap();
    let all = [&alice, &bob, &carol];
    agree(&all, &["alice", "bob", "carol"]);
    alice.run(&["cluster", "say", NEST, "now I do", "--days", "1"]);
    reads_each_once(&alice, &["do you get this?".into(), "now I do".into()]);
    reads_each_once(&bob, &["do you get this?".into(), "now I do".into()]);
    reads_each_once(&carol, &["now I do".into()]);
    all_can_prove_it(&all);
}
