//! Members are killed with kill -9 while somebody is put out, while somebody leaves, and while they vote in secret.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod nest;
mod people;

use nest::{NEST, agree, all_can_prove_it, decided, motion, nest_of, reads_each_once, show};
use people::{Moments, Person, done_though_killed, done_though_killed_within, eventually};
use serde_json::Value;

/// How often members are killed at most while one stage of a secret vote goes on: then it must come to its end by itself.
const KILLS: u32 = 60;
/// So many of these at once, the others over the time that it takes.
const KILLS_AT_ONCE: u32 = 12;

/// A cluster that is killed at drawn moments.
struct Nest {
    people: Vec<Person>,
    joins: [String; 2],
    moments: Moments,
    /// Texts that a node took: everybody who stays must read them.
    taken: Vec<String>,
    said: u32,
}

impl Nest {
    fn of(names: &[&str], seed: u64) -> Self {
        let people = nest_of(names);
        let joins = [people[0].join.clone(), people[1].join.clone()];
        Self { people, joins, moments: Moments(seed), taken: Vec::new(), said: 0 }
    }

    fn first(&self, count: usize) -> Vec<&Person> {
        self.people[..count].iter().collect()
    }

    fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.moments.next(count as u64)).unwrap()
    }

    /// Whether it was done although that one was killed meanwhile, who is there again.
    fn killing(&mut self, victim: usize, who: usize, arguments: &[&str]) -> bool {
        let done = done_though_killed(&self.people[who], &self.people[victim], arguments, &mut self.moments);
        self.revive(victim);
        done
    }

    /// One of the first says something while that one is killed.
    fn killing_while_one_speaks(&mut self, victim: usize, speakers: usize) {
        let (who, text) = (self.one_of(speakers), format!("text {}", self.said));
        self.said += 1;
        if self.killing(victim, who, &["cluster", "say", NEST, &text, "--days", "1"]) {
            self.taken.push(text);
        }
    }

    /// The same, and waits some seconds for all to have it, in which that one is killed. What its own node shows afterwards was taken.
    fn killing_while_one_waits(&mut self, victim: usize) {
        let (who, text) = (self.one_of(self.people.len()), format!("text {}", self.said));
        self.said += 1;
        let waits = ["cluster", "say", NEST, &text, "--days", "1", "--wait", "received", "--timeout", "2"];
        done_though_killed_within(2000, &self.people[who], &self.people[victim], &waits, &mut self.moments);
        self.revive(victim);
        if texts(&self.people[who]).contains(&text) {
            self.taken.push(text);
        }
    }

    fn revive(&mut self, victim: usize) {
        let joins = self.joins.each_ref().map(String::as_str);
        self.people[victim].revive(&joins);
    }

    /// What everybody must have come to in the end: the first of them are members, by these decisions.
    fn ends_with(&self, names: &[&str], last: &[&str]) {
        let staying = self.first(names.len());
        agree(&staying, names);
        assert!(!self.taken.is_empty());
        staying.iter().for_each(|person| reads_each_once(person, &self.taken));
        all_can_prove_it(&staying);
        for person in staying {
            let all = decided(person);
            assert_eq!(all[all.len() - last.len()..], *last, "each of it once, and in this order: {all:?}");
        }
    }
}

fn row_of(person: &Person, kind: &str, subject: &str) -> Option<Value> {
    person.rows(&["motion", "list", NEST]).into_iter().find(|row| row["kind"] == kind && row["subject"] == subject)
}

fn texts(person: &Person) -> Vec<String> {
    person.read_all(NEST).iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn who_is_put_out_while_members_are_killed_is_out_for_all() {
    let names = ["alice", "bob", "carol", "dave", "erin"];
    let mut nest = Nest::of(&names, 11);
    for (out, name) in [(4, "erin"), (3, "dave")] {
        let mover = nest.one_of(out);
        // A motion that was cut off is there or is not.
        let expel = ["motion", "open", NEST, "expel", name];
        let moved = nest.killing(mover, mover, &expel);
        if row_of(&nest.people[mover], "expel", name).is_none() {
            assert!(!moved, "a motion that was taken is kept");
            nest.people[mover].run(&expel);
        }
        for victim in (0..=out).rev() {
            let who = nest.one_of(out);
            // Who has not heard of it yet votes later.
            if let Some(row) = row_of(&nest.people[who], "expel", name) {
                let voted = nest.killing(victim, who, &["vote", row["motion"].as_str().unwrap(), "yes"]);
                assert!(
                    !voted || row_of(&nest.people[who], "expel", name).unwrap()["ours"] == "yes",
                    "a vote that was taken is kept"
                );
            }
            nest.killing_while_one_speaks(victim, out);
        }
        // Whoever had not heard of it, or whose vote was cut off.
        for person in nest.first(out) {
            eventually("the vote of all that is needed", || {
                let row = row_of(person, "expel", name)?;
                if row["state"] == "open" && row["ours"].is_null() {
                    person.code(&["vote", row["motion"].as_str().unwrap(), "yes"]);
                }
                (row["state"] == "passed" || !row["ours"].is_null()).then_some(())
            });
        }
        agree(&nest.first(out), &names[..out]);
        eventually("who is out to learn that", || (show(&nest.people[out])["standing"] == "removed").then_some(()));
        // Once more, when there are keys that the one who is out does not have.
        let without = format!("without {name}");
        nest.people[mover].run(&["cluster", "say", NEST, &without, "--days", "1"]);
        nest.taken.push(without);
    }
    nest.ends_with(&names[..3], &["expel erin", "expel dave"]);
    let (dave, erin) = (texts(&nest.people[3]), texts(&nest.people[4]));
    assert!(!erin.iter().chain(&dave).any(|text| text == "without dave") && !erin.contains(&"without erin".into()));
    assert!(dave.contains(&"without erin".into()), "while he was a member he read what members do");
    assert_eq!(nest.people[3].code(&["cluster", "say", NEST, "let me back"]), 4);
}

#[test]
fn who_leaves_while_members_are_killed_is_gone_for_all() {
    let names = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let mut nest = Nest::of(&names, 12);
    for (leaver, name) in [(5, "frank"), (4, "erin"), (3, "dave")] {
        let farewell = format!("farewell from {name}");
        nest.people[leaver].run(&["cluster", "say", NEST, &farewell, "--days", "1"]);
        nest.taken.push(farewell);
        // Mostly it is the one who leaves: what was written of it must be enough to go on.
        let victim = if leaver == 4 { nest.one_of(leaver) } else { leaver };
        let done = nest.killing(victim, leaver, &["cluster", "leave", NEST]);
        if show(&nest.people[leaver])["standing"] == "member" {
            assert!(!done, "who has left has left");
            nest.people[leaver].run(&["cluster", "leave", NEST]);
        }
        for victim in (0..=leaver).rev() {
            nest.killing_while_one_speaks(victim, leaver);
        }
        agree(&nest.first(leaver), &names[..leaver]);
        assert_eq!(show(&nest.people[leaver])["standing"], "left");
    }
    nest.ends_with(&names[..3], &["leave frank", "leave erin", "leave dave"]);
    for leaver in 3..6 {
        assert_eq!(nest.people[leaver].code(&["cluster", "say", NEST, "I was wrong"]), 4);
        all_can_prove_it(&[&nest.people[leaver]]);
    }
}

impl Nest {
    /// Members are killed one after the other until all see the motion as far as this, or so often that it must come by itself.
    fn killing_until(&mut self, what: &str, is_there: impl Fn(&Value) -> bool) {
        let all_there =
            |people: &[Person]| people.iter().all(|person| row_of(person, "question", "What?").is_some_and(|row| is_there(&row)));
        for kill in 0..KILLS {
            if all_there(&self.people) {
                return;
            }
            let victim = self.one_of(self.people.len());
            if kill < KILLS_AT_ONCE {
                self.killing_while_one_speaks(victim, self.people.len());
            } else {
                self.killing_while_one_waits(victim);
            }
        }
        eventually(what, || all_there(&self.people).then_some(()));
    }

    /// Says it, however often the node is killed with it.
    fn vote(&mut self, who: usize, option: &str) {
        let id = motion(&self.people[who], "question", "What?");
        let done = self.killing(who, who, &["vote", &id, option]);
        if row_of(&self.people[who], "question", "What?").unwrap()["ours"].is_null() {
            assert!(!done, "a vote that was taken is kept");
            self.people[who].run(&["vote", &id, option]);
        }
    }
}

/// The whole of it: where everybody votes, nobody waits for the hour after the end. It takes a minute and some seconds, since
/// trustees wait so long for complaints before they make the key.
#[test]
fn a_secret_vote_is_counted_right_though_all_are_killed_again_and_again() {
    let names = ["alice", "bob", "carol"];
    let mut nest = Nest::of(&names, 13);
    let open = ["motion", "open", NEST, "question", "What?", "--option", "tea", "--option", "coffee", "--secret"];
    let opened = nest.killing(0, 0, &open);
    if row_of(&nest.people[0], "question", "What?").is_none() {
        assert!(!opened, "a motion that was taken is kept");
        nest.people[0].run(&open);
    }
    // Before there is a key a vote waits, here through many deaths.
    nest.vote(0, "1");
    assert_eq!(row_of(&nest.people[0], "question", "What?").unwrap()["ours"], "1");
    nest.killing_until("the key, and Alice's vote", |row| row["phase"] == "voting" && row["voted"] == serde_json::json!(["alice"]));
    nest.vote(1, "2");
    for row in nest.people.iter().map(|person| row_of(person, "question", "What?").unwrap()) {
        assert_eq!(
            (&row["options"][0]["first"], &row["options"][1]["first"]),
            (&0.into(), &0.into()),
            "nobody sees how they stand"
        );
    }
    nest.vote(2, "1");
    nest.killing_until("the result", |row| row["phase"] == "done");
    for person in &nest.people {
        let row = row_of(person, "question", "What?").unwrap();
        assert_eq!((&row["state"], &row["ours"], &row["why"]), (&"passed".into(), &"secret".into(), &Value::Null));
        assert_eq!((&row["voted"], &row["left_out"]), (&serde_json::json!(names), &serde_json::json!([])));
        assert_eq!((&row["options"][0]["first"], &row["options"][1]["first"]), (&2.into(), &1.into()));
    }
    nest.ends_with(&names, &["answer What?: tea 2, coffee 1"]);
}
