//! kill -9 of each process at random moments loses nothing and doubles nothing.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use std::collections::BTreeMap;

use people::{Moments, Person, done_though_killed, eventually};

/// Rounds; in each of them all three nodes are killed once.
const ROUNDS: u32 = 50;

#[test]
fn killing_every_process_fifty_times_loses_and_doubles_nothing() {
    let mut carol = Person::new("carol").start(&[]);
    let join = carol.join.clone();
    let mut alice = Person::new("alice").start(&[&join]);
    let mut bob = Person::new("bob").start(&[&join]);
    bob.wait_announced();
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    alice.run(&["send", "bob", "first", "--days", "1"]);
    eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    bob.run(&["contact", "accept", &alice.name]);
    let alice_name = alice.name.clone();

    let mut moments = Moments(42);
    // Texts that the node took, by who wrote them; of the others we only know that they must not come twice.
    let mut taken: [Vec<String>; 2] = [vec!["first".into()], Vec::new()];
    for round in 0..ROUNDS {
        for victim in 0..3 {
            let writer = usize::from(moments.next(2) == 1);
            let text = format!("{}{round}.{victim}", if writer == 0 { "a" } else { "b" });
            let (who, to) = if writer == 0 { (&alice, "bob") } else { (&bob, alice_name.as_str()) };
            let node = [&alice, &bob, &carol][victim];
            let sent = done_though_killed(who, node, &["send", to, &text, "--days", "1"], &mut moments);
            if sent {
                taken[writer].push(text);
            }
            match victim {
                0 => alice.revive(&[&join]),
                1 => bob.revive(&[&join]),
                _ => carol.revive(&[]),
            }
        }
    }

    for (reader, writer_texts, from) in [(&bob, &taken[0], alice_name.as_str()), (&alice, &taken[1], "bob")] {
        let texts = || -> BTreeMap<String, usize> {
            let mut counts = BTreeMap::new();
            for row in reader.read_all(from) {
                *counts.entry(row["text"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            counts
        };
        let counts = eventually("everything to arrive", || {
            let counts = texts();
            writer_texts.iter().all(|text| counts.contains_key(text)).then_some(counts)
        });
        let doubled: Vec<&String> = counts.iter().filter(|(_, count)| **count > 1).map(|(text, _)| text).collect();
        assert!(doubled.is_empty(), "doubled: {doubled:?}");
    }
    assert!(taken[0].len() + taken[1].len() > ROUNDS as usize, "most messages were taken: {}", taken[0].len() + taken[1].len());
}
