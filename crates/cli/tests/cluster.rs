//! A cluster with real processes, from its founding to the first who is put out.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod nest;
mod people;

use nest::{NEST, agree, ask, decided, motion, nicks, reads, show};
use people::{Person, eventually};
use serde_json::Value;

#[test]
fn they_found_let_in_talk_put_out_and_can_prove_it() {
    let alice = Person::new("alice").start(&[]);
    let (bob, carol) = (Person::new("bob").start(&[&alice.join]), Person::new("carol").start(&[&alice.join]));
    let founded = alice.json(&["cluster", "found", NEST, "--nick", "alice", "--cap", "5"]);
    assert_eq!((&founded["cluster"], &founded["standing"]), (&"1".into(), &"member".into()));
    assert_eq!(alice.json(&["cluster", "charter", NEST])["cap"], 5);

    // Who is alone lets in whom she invited: Bob hears the words on the phone.
    let invite = alice.json(&["cluster", "invite", NEST, "--passphrase"]);
    let heard = invite["passphrase"].as_str().unwrap().to_uppercase();
    assert_eq!(bob.json_given(&["cluster", "join", "--passphrase", "--nick", "bob"], &heard)["standing"], "asking");
    agree(&[&alice, &bob], &["alice", "bob"]);

    // From then on two must agree; what Carol writes before goes out once she is in.
    ask(&alice, &carol, "carol");
    carol.run(&["cluster", "say", "1", "let me in", "--days", "1"]);
    let admission = motion(&bob, "admit", "carol");
    assert_eq!(nicks(&show(&bob)), ["alice", "bob"], "one of two is no majority");
    eventually("Carol's words", || bob.rows(&["cluster", "requests", NEST]).into_iter().find(|row| row["words"] == "It's me"));
    let short: String = admission.chars().take(8).collect();
    eventually("Alice's yes", || (bob.json(&["motion", "show", NEST, &admission])["yes"] == 1).then_some(()));
    let voted = bob.json(&["vote", &short, "yes"]);
    assert_eq!((&voted["ours"], &voted["yes"]), (&"yes".into(), &2.into()));
    assert_eq!(bob.code(&["vote", &admission, "no"]), 4, "nobody votes twice");
    let all = [&alice, &bob, &carol];
    agree(&all, &["alice", "bob", "carol"]);
    reads(&alice, "carol", "let me in");

    let sent = bob.json(&["cluster", "say", NEST, "welcome, carol", "--days", "1", "--wait", "published"]);
    assert_eq!(sent["state"], "published");
    reads(&carol, "bob", "welcome, carol");
    reads(&alice, "bob", "welcome, carol");
    let listed = carol.rows(&["read"]);
    assert!(listed.iter().any(|row| row["text"] == "welcome, carol"), "it is among everything else: {listed:?}");

    // One of them says something, and the others do not learn which.
    let unsigned = ["cluster", "say", NEST, "the treasurer lies", "--anonymous", "--days", "1"];
    eventually("keys of all three", || (carol.code(&unsigned) == 0).then_some(()));
    for person in [&alice, &bob] {
        let row =
            eventually("the message", || person.rows(&["read", NEST]).into_iter().find(|row| row["text"] == "the treasurer lies"));
        assert_eq!((&row["from"], &row["from_petname"], &row["anonymous"]["ring"]), (&"".into(), &Value::Null, &3.into()));
    }
    let secret = ["cluster", "say", NEST, "for bob alone", "--anonymous", "--to", "bob", "--days", "1"];
    assert_eq!(
        carol.json(&secret)["anonymous"]["label"].as_str().unwrap().split(';').next(),
        Some("No single member can tell which of them wrote it")
    );
    eventually("the message to Bob", || bob.rows(&["read", NEST]).into_iter().find(|row| row["text"] == "for bob alone"));
    assert!(!alice.rows(&["read", NEST]).iter().any(|row| row["text"] == "for bob alone"));
    assert_eq!(carol.code(&["cluster", "say", NEST, "now", "--anonymous", "--wait", "received"]), 2);

    // A question binds nobody.
    let asked = carol.json(&["motion", "open", NEST, "question", "Tea?", "--option", "yes, please", "--option", "no"]);
    let asked = asked["motion"].as_str().unwrap();
    motion(&alice, "question", "Tea?");
    alice.run(&["vote", asked, "1"]);
    eventually("the vote", || (carol.json(&["motion", "show", NEST, asked])["options"][0]["first"] == 1).then_some(()));

    // Bob has no vote in his own case.
    let expulsion = alice.json(&["motion", "open", NEST, "expel", "bob"])["motion"].as_str().unwrap().to_owned();
    motion(&carol, "expel", "bob");
    motion(&bob, "expel", "bob");
    assert_eq!(bob.code(&["vote", &expulsion, "no"]), 4);
    carol.run(&["vote", &expulsion, "yes"]);
    agree(&[&alice, &carol], &["alice", "carol"]);
    eventually("the end of Bob's membership", || (bob.rows(&["cluster", "list"])[0]["standing"] == "removed").then_some(()));
    assert_eq!(bob.code(&["cluster", "say", NEST, "still here?"]), 4);

    // Everybody can verify all that was decided, also before they came.
    let all = ["admit bob", "admit carol", "expel bob"];
    assert_eq!((decided(&alice), decided(&carol)), (all.map(str::to_owned).into(), all.map(str::to_owned).into()));

    // Carol leaves, whether Alice likes it or not.
    assert_eq!(carol.json(&["cluster", "leave", NEST])["standing"], "left");
    agree(&[&alice], &["alice"]);
    assert_eq!(decided(&alice).last().map(String::as_str), Some("leave carol"));
    assert_eq!(decided(&carol), all, "what she saw, she can still prove");
    bob.run(&["cluster", "audit", NEST]);
}
