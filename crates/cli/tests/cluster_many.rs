//! Clusters that come together and go apart, and what one member tells another aside, with real processes.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod nest;
mod people;

use nest::{NEST, agree, agree_in, cluster_of, decided, let_in, motion, motion_in, nest_of, nicks, reads, reads_in, show};
use people::{Person, eventually};
use serde_json::{Value, json};

const CLUB: &str = "club";

/// How somebody stands with the cluster of that name, if there is one.
fn standing(person: &Person, cluster: &str) -> Option<String> {
    let listed = person.rows(&["cluster", "list"]);
    listed.iter().find(|row| row["name"] == cluster).map(|row| row["standing"].as_str().unwrap().to_owned())
}

fn state_of(person: &Person, id: &str) -> Value {
    person.json(&["motion", "show", CLUB, id])["state"].clone()
}

fn texts(person: &Person) -> Vec<String> {
    person.rows(&["read"]).iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

fn all(people: &[Person]) -> Vec<&Person> {
    people.iter().collect()
}

#[test]
fn a_club_comes_into_the_nest_by_motions_in_both() {
    let nest = nest_of(&["alice", "bob"]);
    let club = cluster_of(CLUB, &["carol", "dave", "erin"], &[], &[&nest[0].join]);
    let ([alice, bob], [carol, dave, erin]) = (&nest[..], &club[..]) else { panic!() };

    // A link for one is none for a whole cluster.
    let link = |more: &[&str]| {
        let row = alice.json(&[&["cluster", "invite", NEST], more].concat());
        row["link"].as_str().unwrap().to_owned()
    };
    assert_eq!(carol.code(&["motion", "open", CLUB, "merge", &link(&[]), NEST]), 2);
    let link = link(&["--merge", "--label", "the club"]);
    assert_eq!(alice.code(&["motion", "open", NEST, "take-in", CLUB]), 3, "nobody has come");

    // The club decides; Erin is against it.
    let leave_for = carol.json(&["motion", "open", CLUB, "merge", &link, NEST]);
    assert_eq!((&leave_for["kind"], &leave_for["state"], &leave_for["needed"]), (&"merge".into(), &"open".into(), &2.into()));
    let (id, subject) = (leave_for["motion"].as_str().unwrap(), leave_for["subject"].as_str().unwrap());
    for (person, said) in [(erin, "no"), (dave, "yes")] {
        motion_in(CLUB, person, "merge", subject);
        assert_eq!([carol, dave].map(|person| standing(person, NEST)), [None, None], "nobody goes before it has passed");
        person.run(&["vote", id, said]);
    }
    eventually("all to know", || club.iter().all(|person| state_of(person, id) == "passed").then_some(()));
    for person in [carol, dave] {
        eventually("those who said yes to ask", || (standing(person, NEST).as_deref() == Some("asking")).then_some(()));
    }

    // The nest sees with whom they come, and decides on all of them at once.
    for person in [alice, bob] {
        let asking = eventually("both", || Some(person.rows(&["cluster", "requests", NEST])).filter(|rows| rows.len() == 2));
        assert!(asking.iter().all(|row| row["from"] == CLUB && ["carol", "dave"].contains(&row["nick"].as_str().unwrap())));
        assert!(person.rows(&["motion", "list", NEST]).iter().all(|row| row["state"] != "open"), "none of them by itself");
    }
    let take_in = alice.json(&["motion", "open", NEST, "take-in", CLUB]);
    let guests = take_in["subject"].as_str().unwrap();
    assert!(["club: carol, dave", "club: dave, carol"].contains(&guests), "{guests}");
    assert_eq!((&take_in["kind"], &take_in["needed"]), (&"take_in".into(), &2.into()));
    let id = motion(bob, "take_in", guests);
    assert_eq!(nicks(&show(bob)), ["alice", "bob"], "one of two is no majority");
    bob.run(&["vote", &id, "yes"]);
    let here = [alice, bob, carol, dave];
    agree(&here, &["alice", "bob", "carol", "dave"]);
    for person in here {
        assert_eq!(decided(person), ["admit bob".to_owned(), format!("take_in {guests}")]);
        assert!(person.rows(&["cluster", "requests", NEST]).is_empty());
    }

    // Who did not want to come stays, and so does the club.
    assert_eq!(standing(erin, NEST), None);
    carol.run(&["cluster", "say", NEST, "here we are", "--days", "1"]);
    erin.run(&["cluster", "say", CLUB, "and here am I", "--days", "1"]);
    for person in [alice, bob, dave] {
        reads(person, "carol", "here we are");
    }
    for person in [carol, dave] {
        reads_in(CLUB, person, "erin", "and here am I");
    }
    agree_in(CLUB, &all(&club), &["carol", "dave", "erin"]);
    assert!(!texts(erin).contains(&"here we are".into()) && !texts(alice).contains(&"and here am I".into()));
}

/// Who was asked by one member to come along into another cluster, and does; the others learn nothing of it.
fn come_along(gone: &Value, asker: &str, who: &Person, nick: &str) {
    let (link, name) = (gone["link"].as_str().unwrap(), gone["cluster"]["name"].as_str().unwrap());
    let row = eventually("what only they were asked", || {
        let rows = who.rows(&["read", NEST]);
        rows.into_iter().find(|row| row["text"].as_str().unwrap().contains(link))
    });
    assert_eq!((&row["from_petname"], &row["to_member"]), (&asker.into(), &nick.into()));
    let text = row["text"].as_str().unwrap();
    assert!(text.contains(&format!("\"{name}\"")), "{text}");
    // The text ends in the command that is to be run.
    let (_, command) = text.split_once("samizdat ").unwrap();
    let command: Vec<&str> = command.split_whitespace().chain(["--nick", nick]).collect();
    who.run(&command);
}

#[test]
fn a_minority_starts_again_without_the_others_by_one_command() {
    let names = ["alice", "bob", "mallory", "marvin", "mona"];
    let people = cluster_of(NEST, &names, &["--cap", "7", "--rollout", "12h"], &[]);
    let ((few, others), [alice, bob, ..]) = (people.split_at(2), &people[..]) else { panic!() };
    let before = show(alice);

    let without = ["--without", "mallory", "--without", "marvin", "--without", "mona"];
    let gone = alice.json(&[&["cluster", "reboot", NEST][..], &without].concat());
    assert_eq!((&gone["cluster"]["name"], &gone["asked"]), (&"nest 2".into(), &json!(["bob"])));
    come_along(&gone, "alice", bob, "bob");
    agree_in("nest 2", &all(few), &["alice", "bob"]);
    let rules = |cluster: &str| bob.json(&["cluster", "charter", cluster]);
    let (old, mut new) = (rules(NEST), rules("nest 2"));
    assert_eq!((&new["name"], &new["cap"]), (&"nest 2".into(), &7.into()));
    new["name"] = NEST.into();
    assert_eq!(new, old, "the rules are the same");
    assert_ne!(alice.json(&["cluster", "show", "nest 2"])["id"], before["id"]);

    // What they were in stays as it is, and nobody is told there.
    agree(&all(&people), &names);
    assert_eq!(show(alice)["state"], before["state"]);
    bob.run(&["cluster", "say", "nest 2", "among ourselves", "--days", "1"]);
    reads_in("nest 2", alice, "bob", "among ourselves");
    bob.run(&["cluster", "say", NEST, "farewell", "--days", "1"]);
    for person in others {
        reads(person, "bob", "farewell");
        assert_eq!((texts(person), standing(person, "nest 2")), (vec!["farewell".to_owned()], None));
    }
    for person in few {
        assert_eq!(person.json(&["cluster", "leave", NEST])["standing"], "left");
    }
    agree(&all(others), &names[2..]);
    let mut last = decided(&others[0]).split_off(4);
    last.sort();
    assert_eq!(last.join(", "), "leave alice, leave bob");
    agree_in("nest 2", &all(few), &["alice", "bob"]);
}

#[test]
fn a_cluster_splits_and_they_leave() {
    let names = ["alice", "bob", "carol", "dave"];
    let people = nest_of(&names);
    let (stay, go) = people.split_at(2);
    assert_eq!(go[0].code(&["cluster", "split", NEST, "--with", "mallory"]), 3);
    let gone = go[0].json(&["cluster", "split", NEST, "--with", "dave", "--name", "den"]);
    assert_eq!((&gone["cluster"]["name"], &gone["asked"]), (&"den".into(), &json!(["dave"])));
    come_along(&gone, "carol", &go[1], "dave");
    agree_in("den", &all(go), &["carol", "dave"]);
    agree(&all(&people), &names);
    for person in go {
        person.run(&["cluster", "leave", NEST]);
    }
    agree(&all(stay), &names[..2]);
    go[1].run(&["cluster", "say", "den", "cosy", "--days", "1"]);
    reads_in("den", &go[0], "dave", "cosy");
    stay[1].run(&["cluster", "say", NEST, "roomy", "--days", "1"]);
    reads(&stay[0], "bob", "roomy");
    for person in stay {
        assert_eq!((texts(person), standing(person, "den")), (vec!["roomy".to_owned()], None));
        let mut last = decided(person).split_off(3);
        last.sort();
        assert_eq!(last.join(", "), "leave carol, leave dave");
    }
    assert!(go.iter().all(|person| !texts(person).contains(&"roomy".into())), "who has left reads no more");
}

#[test]
fn what_is_said_to_one_member_only_that_one_reads() {
    let mut people = cluster_of(NEST, &["alice", "bob", "carol"], &["--history", "all"], &[]);
    let [alice, bob, carol] = &people[..] else { panic!() };
    let aside =
        alice.json(&["cluster", "say", NEST, "to you", "--to", "bob", "--days", "1", "--wait", "received", "--timeout", "600"]);
    assert_eq!((&aside["to_member"], &aside["mine"], &aside["state"]), (&"bob".into(), &true.into(), &"received".into()));
    let has_it = alice.rows(&["cluster", "delivery", aside["id"].as_str().unwrap()]);
    assert_eq!(has_it.iter().map(|row| row["nick"].as_str().unwrap()).collect::<Vec<_>>(), ["bob"]);
    let row = reads(bob, "alice", "to you");
    assert_eq!((&row["to_member"], &row["mine"], &row["id"]), (&"bob".into(), &false.into(), &aside["id"]));

    // Bob answers aside, by the beginning of her id.
    let her: String = show(alice)["member"].as_str().unwrap().chars().take(8).collect();
    bob.run(&["cluster", "say", NEST, "what?", "--to", &her, "--days", "1"]);
    assert_eq!(reads(alice, "bob", "what?")["to_member"], "alice");

    // What comes after does not wait for what Carol cannot have; nor is a newcomer told of that, who is told all else.
    bob.run(&["cluster", "say", NEST, "to all", "--days", "1"]);
    let row = reads(carol, "bob", "to all");
    assert_eq!(row["to_member"], Value::Null);
    assert_eq!(texts(carol), ["to all"]);
    for (wrong, code) in [("alice", 2), ("mallory", 3)] {
        assert_eq!(alice.code(&["cluster", "say", NEST, "hm", "--to", wrong]), code);
    }
    let_in(NEST, &mut people, "dave");
    reads(&people[3], "bob", "to all");
    assert_eq!((texts(&people[3]), texts(&people[2])), (vec!["to all".to_owned()], vec!["to all".to_owned()]));
    assert_eq!(
        [0, 1].map(|who| texts(&people[who])),
        [["to you", "what?", "to all"]; 2].map(|all| all.map(str::to_owned).to_vec())
    );
}
