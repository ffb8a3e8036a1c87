//! A cluster of real nodes, as the command line shows it.
#![allow(dead_code)] // Each test uses a part.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::people::{Person, eventually};

pub(crate) const NEST: &str = "nest";

pub(crate) fn show(person: &Person) -> Value {
    person.json(&["cluster", "show", NEST])
}

/// People with nodes of their own. The first one founds the cluster, and the others are let in one after the other.
pub(crate) fn nest_of(names: &[&str]) -> Vec<Person> {
    cluster_of(NEST, names, &[], &[])
}

/// The same for a cluster by rules of its own, of people who join these nodes first.
pub(crate) fn cluster_of(cluster: &str, names: &[&str], rules: &[&str], joins: &[&str]) -> Vec<Person> {
    let founder = Person::new(names[0]).start(joins);
    founder.run(&[&["cluster", "found", cluster, "--nick", names[0]], rules].concat());
    let mut people = vec![founder];
    names[1..].iter().for_each(|name| let_in(cluster, &mut people, name));
    let all: Vec<&Person> = people.iter().collect();
    agree_in(cluster, &all, names);
    people
}

/// Somebody comes by a link of one of them, and as many as are needed say yes.
pub(crate) fn let_in(cluster: &str, people: &mut Vec<Person>, name: &str) {
    let newcomer = Person::new(name).start(&[&people[0].join]);
    // Each of the first may have a few links open.
    let by = (people.len() - 1) / 4;
    ask_in(cluster, &people[by], &newcomer, name);
    // Who invited has said yes, and more than half must.
    for (_, member) in people.iter().enumerate().filter(|(member, _)| *member != by).take(people.len() / 2) {
        member.run(&["vote", &motion_in(cluster, member, "admit", name), "yes"]);
    }
    people.push(newcomer);
    eventually("all to see that", || {
        people.iter().all(|person| view_in(cluster, person).is_some_and(|view| nicks(&view).contains(&name))).then_some(())
    });
}

pub(crate) fn nicks(view: &Value) -> Vec<&str> {
    view["members"].as_array().unwrap().iter().map(|member| member["nick"].as_str().unwrap()).collect()
}

/// Nothing before one is let in.
fn view_in(cluster: &str, person: &Person) -> Option<Value> {
    (person.code(&["cluster", "show", cluster]) == 0).then(|| person.json(&["cluster", "show", cluster]))
}

/// Until all of them are in one state with these members, and nobody else.
pub(crate) fn agree(people: &[&Person], members: &[&str]) {
    agree_in(NEST, people, members);
}

pub(crate) fn agree_in(cluster: &str, people: &[&Person], members: &[&str]) {
    eventually("one state", || {
        let views: Vec<Value> = people.iter().filter_map(|person| view_in(cluster, person)).collect();
        let same = views.windows(2).all(|pair| pair[0]["state"] == pair[1]["state"]);
        (views.len() == people.len() && same && views.iter().all(|view| nicks(view) == members)).then_some(())
    });
}

/// The open motion of this kind about this subject, as soon as it is there.
pub(crate) fn motion(person: &Person, kind: &str, subject: &str) -> String {
    motion_in(NEST, person, kind, subject)
}

pub(crate) fn motion_in(cluster: &str, person: &Person, kind: &str, subject: &str) -> String {
    eventually("the motion", || {
        let rows = person.rows(&["motion", "list", cluster]);
        let found = rows.iter().find(|row| row["kind"] == kind && row["subject"] == subject && row["state"] == "open");
        found.map(|row| row["motion"].as_str().unwrap().to_owned())
    })
}

pub(crate) fn ask(inviter: &Person, who: &Person, nick: &str) {
    ask_in(NEST, inviter, who, nick);
}

fn ask_in(cluster: &str, inviter: &Person, who: &Person, nick: &str) {
    let invite = inviter.json(&["cluster", "invite", cluster, "--label", nick]);
    let joined = who.json(&["cluster", "join", invite["link"].as_str().unwrap(), "--nick", nick, "--words", "It's me"]);
    assert_eq!(joined["standing"], "asking");
}

/// Waits for a text in the cluster; its row.
pub(crate) fn reads(person: &Person, from: &str, text: &str) -> Value {
    reads_in(NEST, person, from, text)
}

pub(crate) fn reads_in(cluster: &str, person: &Person, from: &str, text: &str) -> Value {
    eventually("the message", || {
        person.rows(&["read", cluster]).into_iter().find(|row| row["text"] == text && row["from_petname"] == from)
    })
}

/// Waits until `reader` has all of `texts`; none is there twice.
pub(crate) fn reads_each_once(reader: &Person, texts: &[String]) {
    let read = || -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in reader.read_all(NEST) {
            *counts.entry(row["text"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    };
    let counts = eventually("everything to arrive", || Some(read()).filter(|counts| texts.iter().all(|t| counts.contains_key(t))));
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
}

pub(crate) fn all_can_prove_it(people: &[&Person]) {
    people.iter().for_each(|person| drop(decided(person)));
}

/// What was decided since the founding, as far as this member can prove it: all of it, or this fails.
pub(crate) fn decided(person: &Person) -> Vec<String> {
    let rows = person.rows(&["cluster", "audit", NEST]);
    rows.iter().flat_map(|row| row["what"].as_array().unwrap()).map(|what| what.as_str().unwrap().to_owned()).collect()
}
