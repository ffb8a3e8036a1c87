//! Trouble with the disk under a running node: it is told, nothing is lost or doubled, and things go on by themselves.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use std::{collections::BTreeMap, fs, path::PathBuf};

use people::{Person, eventually, fill};
use rusqlite::Connection;
use serde_json::Value;

/// The disk of somebody who has little: an empty home and the write-ahead logs of both databases fit on it.
const SMALL: &str = "16m";
/// Messages until a full disk must have been noticed.
const MANY: u32 = 1000;

/// Alice, with Bob, who is her only peer; each has a message of the other, so that neither has anything to set up.
fn acquainted(alice: Person) -> (Person, Person) {
    let bob = Person::new("bob").start(&[]);
    let alice = alice.start(&[&bob.join]);
    bob.wait_announced();
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    alice.run(&["send", "bob", "hello bob", "--days", "1"]);
    eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    bob.run(&["contact", "accept", &alice.name]);
    bob.run(&["contact", "rename", &alice.name, "alice"]);
    say(&bob, "alice", "hello alice", &["--wait", "received"]).unwrap();
    (alice, bob)
}

/// One message: its state, or the exit code and the sentence.
fn say(from: &Person, to: &str, text: &str, more: &[&str]) -> Result<String, (i32, String)> {
    let mut arguments = vec!["send", to, text, "--days", "1"];
    arguments.extend(more);
    let output = from.spawn(&arguments).wait_with_output().unwrap();
    let told = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    if output.status.success() {
        return Ok(told(&output.stdout)["state"].as_str().unwrap().to_owned());
    }
    let sentence = told(&output.stderr)["error"]["message"].as_str().unwrap_or_default().to_owned();
    Err((output.status.code().unwrap(), sentence))
}

/// Waits until `reader` has all of `texts`; none must be there twice, and nothing else of `who` but the greeting.
fn reads_each_once(reader: &Person, who: &str, texts: &[String]) {
    let read = || -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in reader.read_all(who).into_iter().filter(|row| row["mine"] == false) {
            *counts.entry(row["text"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    };
    let counts = eventually("everything to arrive", || Some(read()).filter(|counts| texts.iter().all(|t| counts.contains_key(t))));
    let others: Vec<_> = counts.iter().filter(|(text, count)| **count != 1 || !texts.contains(text)).collect();
    assert!(others.iter().all(|(text, count)| text.starts_with("hello ") && **count == 1), "doubled, or refused: {others:?}");
}

#[test]
fn a_full_disk_refuses_messages_and_goes_on_when_there_is_space() {
    let Some(alice) = Person::on_a_small_disk("alice", SMALL) else { return };
    let (alice, bob) = acquainted(alice);
    let junk = alice.home().parent().unwrap().join("junk");
    fill(&junk);

    let mut taken = Vec::new();
    let refused = (0..MANY).find_map(|n| {
        let text = format!("into the full {n}");
        match say(&alice, "bob", &text, &[]) {
            Ok(_) => {
                taken.push(text);
                None
            }
            Err(told) => Some((text, told)),
        }
    });
    let (refused, (code, sentence)) = refused.unwrap_or_else(|| panic!("{MANY} messages were taken by a full disk"));
    assert_eq!(code, 4, "{sentence}");
    assert!(sentence.starts_with("the disk is full: "), "{sentence}");
    say(&bob, "alice", "do you get this?", &[]).unwrap();
    eventually("the node to have no room for what Bob wrote", || {
        let status = alice.json(&["status"]);
        (status["drops"]["disk"].as_u64()? > 0).then_some(())
    });

    fs::remove_file(junk).unwrap();
    assert_eq!(say(&alice, "bob", &refused, &["--wait", "received", "--timeout", "600"]).unwrap(), "received");
    taken.push(refused);
    reads_each_once(&bob, "alice", &taken);
    reads_each_once(&alice, "bob", &["do you get this?".into()]);
}

/// Somebody who has a database of a node open and does not let go.
fn hold(path: &PathBuf, key: Option<&[u8]>) -> Connection {
    let program = Connection::open(path).unwrap();
    if let Some(key) = key {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        program.execute_batch(&format!("PRAGMA key = \"x'{hex}'\"")).unwrap();
    }
    program.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    program.execute_batch("BEGIN EXCLUSIVE").unwrap();
    program
}

#[test]
fn a_vault_that_another_program_holds_refuses_messages_and_goes_on_after_it() {
    let (alice, bob) = acquainted(Person::new("alice"));
    let vault = alice.home().join("vault.sqlite");
    // `[1, key]` in CBOR.
    let key = fs::read(alice.home().join("vault.key")).unwrap();
    let program = hold(&vault, Some(&key[4..36]));

    let (code, sentence) = say(&alice, "bob", "may I?", &[]).unwrap_err();
    assert_eq!(code, 4, "{sentence}");
    assert!(sentence.starts_with(&format!("another program holds the database at {}: close it", vault.display())), "{sentence}");
    assert_eq!(alice.code(&["status"]), 0);
    assert_eq!(say(&bob, "alice", "are you there?", &["--wait", "published"]).unwrap(), "published");
    assert_eq!(say(&alice, "bob", "may I now?", &[]).unwrap_err().0, 4);

    drop(program);
    assert_eq!(say(&alice, "bob", "may I?", &["--wait", "received", "--timeout", "600"]).unwrap(), "received");
    reads_each_once(&bob, "alice", &["may I?".into()]);
    reads_each_once(&alice, "bob", &["are you there?".into()]);
}

#[test]
fn a_log_that_another_program_holds_delays_messages_until_after_it() {
    let (alice, bob) = acquainted(Person::new("alice"));
    let program = hold(&alice.home().join("log.sqlite"), None);

    // The vault has it; what waits is its way out.
    let taken = say(&alice, "bob", "on its way", &[]).unwrap();
    assert!(["waiting", "stamping"].contains(&taken.as_str()), "{taken}");
    say(&bob, "alice", "are you there?", &[]).unwrap();
    eventually("the node to be unable to write down what Bob wrote", || {
        let status = alice.json(&["status"]);
        (status["drops"]["disk"].as_u64()? > 0).then_some(())
    });
    assert!(bob.rows(&["read", "alice"]).iter().all(|row| row["text"] != "on its way"));

    drop(program);
    assert_eq!(say(&alice, "bob", "on its way, too", &["--wait", "received", "--timeout", "600"]).unwrap(), "received");
    reads_each_once(&bob, "alice", &["on its way".into(), "on its way, too".into()]);
    reads_each_once(&alice, "bob", &["are you there?".into()]);
}
