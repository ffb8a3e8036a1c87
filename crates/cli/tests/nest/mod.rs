//! A cluster of real nodes, as the command line shows it.
#![allow(dead_code)] // Each test uses a part.

use serde_json::Value;

use crate::people::{Person, eventually};

pub(crate) const NEST: &str = "nest";

pub(crate) fn show(person: &Person) -> Value {
    person.json(&["cluster", "show", NEST])
}

pub(crate) fn nicks(view: &Value) -> Vec<&str> {
    view["members"].as_array().unwrap().iter().map(|member| member["nick"].as_str().unwrap()).collect()
}

/// Until all of them are in one state with these members, and nobody else.
pub(crate) fn agree(people: &[&Person], members: &[&str]) {
    eventually("one state", || {
        let views: Vec<Value> =
            people.iter().filter(|person| person.code(&["cluster", "show", NEST]) == 0).map(|person| show(person)).collect();
        let same = views.windows(2).all(|pair| pair[0]["state"] == pair[1]["state"]);
        (views.len() == people.len() && same && views.iter().all(|view| nicks(view) == members)).then_some(())
    });
}

/// The open motion of this kind about this subject, as soon as it is there.
pub(crate) fn motion(person: &Person, kind: &str, subject: &str) -> String {
    eventually("the motion", || {
        let rows = person.rows(&["motion", "list", NEST]);
        let found = rows.iter().find(|row| row["kind"] == kind && row["subject"] == subject && row["state"] == "open");
        found.map(|row| row["motion"].as_str().unwrap().to_owned())
    })
}

pub(crate) fn ask(inviter: &Person, who: &Person, nick: &str) {
    let invite = inviter.json(&["cluster", "invite", NEST, "--label", nick]);
    let joined = who.json(&["cluster", "join", invite["link"].as_str().unwrap(), "--nick", nick, "--words", "It's me"]);
    assert_eq!(joined["standing"], "asking");
}

pub(crate) fn reads(person: &Person, from: &str, text: &str) {
    eventually("the message", || {
        person.rows(&["read", NEST]).into_iter().find(|row| row["text"] == text && row["from_petname"] == from)
    });
}
