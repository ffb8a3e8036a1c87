//! The product's main job with real processes, real sockets and real files.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use std::collections::BTreeSet;

use people::{Person, contains, eventually};

/// Short-lived, so that stamps take a fraction of a second.
const CHEAP: [&str; 2] = ["--days", "1"];

#[test]
fn the_first_message_reaches_bob_through_carol_after_alice_has_left() {
    let carol = Person::new("carol").start(&[]);
    let mut bob = Person::new("bob").start(&[&carol.join]);
    bob.wait_announced();
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with("samizdat:") && link.len() < 120, "{link}");
    bob.stop();

    let mut alice = Person::new("alice").start(&[&carol.join]);
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    let text = "Meet me at the old bridge.";
    let mut send = vec!["send", "bob", text, "--wait", "published"];
    send.extend(CHEAP);
    let sent = alice.json(&send);
    assert_eq!(sent["state"], "published");
    alice.stop();

    bob.restart(&[&carol.join]);
    let request = eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    assert_eq!((request["text"].as_str(), request["name"].as_str()), (Some(text), Some(alice.name.as_str())));
    bob.run(&["contact", "accept", request["id"].as_str().unwrap()]);
    let rows = bob.rows(&["read", &alice.name]);
    assert_eq!((rows.len(), &rows[0]["text"], &rows[0]["id"]), (1, &text.into(), &sent["id"]));

    // What Carol keeps for them.
    bob.stop();
    let mut carol = carol;
    carol.stop();
    for file in ["log.sqlite", "log.sqlite-wal"] {
        let bytes = std::fs::read(carol.home().join(file)).unwrap_or_default();
        assert!(!contains(&bytes, "old bridge"), "{file} shows the text");
    }
    let shown =
        look(&carol, "SELECT Kind, coalesce(\"From\", '-'), \"To\", hex(Content) FROM message WHERE Kind IN ('bell', 'sealed')");
    assert!(shown.lines().count() >= 1, "{shown}");
    let announced = look(&carol, "SELECT hex(Content) FROM message WHERE Kind = 'announcement'");
    for person in [&alice, &bob] {
        let hash = hex(&name_hash(&person.name));
        let key = look(person, &format!("SELECT hex(key) FROM author WHERE name = '{}'", person.name)).trim().to_owned();
        assert_eq!(key.len(), 64);
        let traces: Vec<String> = [&hash, &key]
            .into_iter()
            .flat_map(|raw| [raw.clone(), hex(raw.as_bytes()), hex(raw.to_lowercase().as_bytes())])
            .chain([hex(person.name.as_bytes())])
            .collect();
        // An announcement is there to show its author: what would be found, is.
        assert!(person.name != bob.name || announced.contains(&key));
        for line in shown.lines() {
            assert!(line.starts_with("bell|-|") || line.starts_with("sealed|-|"), "no author: {line}");
            assert!(traces.iter().all(|trace| !line.contains(trace)), "{} is in {line}", person.name);
        }
    }
}

#[test]
fn on_a_stick_a_conversation_goes_both_ways_without_any_network() {
    let (alice, bob) = (Person::new("alice").start(&[]), Person::new("bob").start(&[]));
    for person in [&alice, &bob] {
        eventually("the announcement to be stamped", || {
            (person.json(&["status"])["identities"][0]["announced"] == "stamped").then_some(())
        });
    }
    let carry = |from: &Person, to: &Person, options: &[&str]| {
        let stick = from.home().parent().unwrap().join("stick");
        let stick = stick.to_str().unwrap();
        from.run(&[&["log", "export", stick][..], options].concat());
        to.json(&["log", "import", stick])
    };
    assert_eq!(carry(&bob, &alice, &[])["new"], 1, "Bob's keys");
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    alice.run(&["post", "to all", "--days", "1"]);
    alice.run(&["send", "bob", "by stick", "--days", "1"]);
    let is_stamped = |who: &Person, with: &str, text: &str| {
        eventually("the stamp", || {
            who.rows(&["read", with]).into_iter().find(|row| row["text"] == text && row["state"] == "stamped")
        })
    };
    is_stamped(&alice, "bob", "by stick");
    assert_eq!(carry(&alice, &bob, &["--for", "bob"])["new"], 2, "Alice's keys and her request, and not what she said to all");
    let request = eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    assert_eq!((&request["text"], &request["name"]), (&"by stick".into(), &alice.name.as_str().into()));
    bob.run(&["contact", "accept", &alice.name]);
    bob.run(&["send", &alice.name, "and back", "--days", "1"]);
    is_stamped(&bob, &alice.name, "and back");
    carry(&bob, &alice, &["--for", &alice.name]);
    eventually("the answer", || alice.rows(&["read", "bob"]).into_iter().find(|row| row["text"] == "and back"));

    // A room's posts, and nobody's conversations.
    eventually("the stamp of the post", || {
        alice.rows(&["read", "--room", "lobby"]).into_iter().find(|row| row["text"] == "to all" && row["state"] == "stamped")
    });
    assert_eq!(carry(&alice, &bob, &["--room", "lobby"])["new"], 1);
    assert_eq!(alice.code(&["log", "export", "stick", "--for", "nobody"]), 3);
}

/// The log of somebody as a person would look at it, with the tool that everybody has.
fn look(whose: &Person, query: &str) -> String {
    let log = whose.home().join("log.sqlite");
    let output = std::process::Command::new("sqlite3").arg(log).arg(query).output().expect("the sqlite3 tool");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// The 20 bytes that a name is written for: 32 characters of base32 (RFC 4648) before its checksum.
fn name_hash(name: &str) -> Vec<u8> {
    let symbols = name.bytes().take(32).map(|c| u64::from(if c.is_ascii_digit() { c - b'2' + 26 } else { c - b'a' }));
    let symbols: Vec<u64> = symbols.collect();
    symbols.chunks(8).flat_map(|eight| eight.iter().fold(0, |all, five| all << 5 | five).to_be_bytes()[3..].to_vec()).collect()
}

#[test]
fn a_name_is_read_back_to_its_hash() {
    assert_eq!(name_hash("mzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytb"), b"foobafoobafoobafooba");
}

#[test]
fn they_talk_and_learn_what_has_arrived() {
    let carol = Person::new("carol").start(&[]);
    let (alice, bob) = (Person::new("alice").start(&[&carol.join]), Person::new("bob").start(&[&carol.join]));
    bob.wait_announced();
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    let first = alice.json(&["send", "bob", "hello", "--days", "1"]);
    eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    bob.run(&["contact", "accept", &alice.name]);
    let answer = bob.json(&["send", &alice.name, "hello alice", "--days", "1", "--wait", "received"]);
    assert_eq!(answer["state"], "received");
    let rows = alice.rows(&["read", "bob"]);
    assert_eq!(rows.iter().map(|r| r["text"].as_str().unwrap()).collect::<Vec<_>>(), ["hello", "hello alice"]);
    assert_eq!((&rows[0]["id"], rows[0]["state"].as_str()), (&first["id"], Some("received")));
    let after = alice.rows(&["read", "bob", "--since", first["id"].as_str().unwrap()]);
    assert_eq!(after.len(), 1);

    bob.run(&["post", "good morning", "--days", "1"]);
    eventually("the post", || alice.rows(&["read", "--room", "lobby"]).into_iter().find(|row| row["text"] == "good morning"));
    let status = carol.json(&["status"]);
    assert_eq!(status["peers"].as_array().unwrap().len(), 2);
}

/// The part of a join line that is the transport key.
fn key(join: &str) -> &str {
    join.split('@').next().unwrap()
}

#[test]
fn they_change_their_transport_keys_all_the_time_and_lose_nothing() {
    let carol = Person::new("carol").start(&[]);
    let [mut alice, mut bob] = ["alice", "bob"].map(Person::new);
    (alice.told, bob.told) = (&["--rotate-every", "5"], &["--rotate-every", "7"]);
    let (alice, bob) = (alice.start(&[&carol.join]), bob.start(&[&carol.join]));
    bob.wait_announced();
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    alice.run(&["send", "bob", "first", "--days", "1"]);
    eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    bob.run(&["contact", "accept", &alice.name]);

    let mut keys = [&alice, &bob].map(|person| BTreeSet::from([key(&person.join).to_owned()]));
    let mut written = vec!["first".to_owned()];
    while keys.iter().any(|keys| keys.len() < 4) {
        let text = format!("message {}", written.len());
        alice.run(&["send", "bob", &text, "--days", "1"]);
        bob.run(&["send", &alice.name, &text, "--days", "1"]);
        written.push(text);
        for (keys, person) in keys.iter_mut().zip([&alice, &bob]) {
            let join = person.json(&["status"])["join"].as_str().unwrap().to_owned();
            if join.is_empty() {
                // Just now it has no key at all.
                continue;
            }
            assert_eq!(join.split('@').next_back(), person.join.split('@').next_back(), "who asked for an address keeps it");
            keys.insert(key(&join).to_owned());
        }
    }
    // Everything comes, once, in the order in which it was written.
    for (reader, from, lacks) in [(&bob, alice.name.as_str(), None), (&alice, "bob", Some("first"))] {
        let expected: Vec<&str> = written.iter().map(String::as_str).filter(|text| Some(*text) != lacks).collect();
        let mut seen = 0;
        eventually("all messages", || {
            let rows = reader.read_all(from);
            let theirs = rows.iter().filter(|row| row["mine"] == false).map(|row| row["text"].as_str().unwrap());
            let theirs = theirs.collect::<Vec<_>>();
            if theirs != expected && theirs.len() != seen {
                seen = theirs.len();
                let lacking: Vec<_> = expected.iter().filter(|text| !theirs.contains(text)).collect();
                let states: Vec<_> = rows.iter().filter(|row| row["mine"] == true).map(|row| row["state"].to_string()).collect();
                eprintln!("{from} wrote {}; {lacking:?} have not come; own: {states:?}", expected.len());
            }
            (theirs == expected).then_some(())
        });
    }
    // At the moment of a change the new key may be there before the goodbye of the old one.
    eventually("the goodbyes of the old keys", || (carol.json(&["status"])["peers"].as_array().unwrap().len() <= 2).then_some(()));
}

#[test]
fn at_home_every_start_has_another_key_and_at_an_address_the_same() {
    let mut alice = Person::new("alice").start(&[]);
    let (key_before, name) = (key(&alice.join).to_owned(), alice.name.clone());
    alice.stop();
    alice.restart(&[]);
    assert_eq!(key(&alice.join), key_before);
    alice.stop();
    let joins = [(); 2].map(|()| {
        let join = alice.start_at_home();
        assert_eq!(alice.name, name);
        alice.stop();
        join
    });
    assert!(key(&joins[0]) != key_before && key(&joins[0]) != key(&joins[1]));
}

#[test]
fn a_proxy_is_kept_until_it_is_off_and_never_leaves_a_port_open() {
    let mut alice = Person::new("alice");
    let (code, error) = alice.up_fails(&["--proxy", "http://127.0.0.1:8080"]);
    assert!(code == 2 && error.contains("socks5://"), "{error}");
    let (code, error) = alice.up_fails(&["--proxy", "socks5://127.0.0.1:9", "--listen", "127.0.0.1:0"]);
    assert!(code == 2 && error.contains("--listen"), "{error}");

    alice.told = &["--proxy", "socks5://me:secret@127.0.0.1:9"];
    assert_eq!(alice.start_at_home(), "", "there is no way to join her");
    let reach = alice.json(&["status"])["reach"]["why"].as_str().unwrap().to_owned();
    assert!(reach.contains("proxy") && !reach.contains("secret"), "{reach}");
    alice.stop();
    alice.told = &[];
    assert_eq!(alice.start_at_home(), "", "still behind it");
    alice.stop();
    alice.told = &["--proxy", "off"];
    assert_ne!(alice.start_at_home(), "");
    alice.stop();
}

#[test]
fn a_proxy_is_said_while_the_node_runs_and_nothing_of_its_own_is_left() {
    let mut alice = Person::new("alice");
    assert_ne!(alice.start_at_home(), "");
    assert!(alice.udp_sockets() > 0 && alice.json(&["node", "proxy"])["at"].is_null());
    let said = alice.json(&["node", "proxy", "socks5://me:secret@127.0.0.1:9"]);
    assert_eq!(said["at"], "socks5://127.0.0.1:9");
    assert_eq!((alice.udp_sockets(), alice.json(&["status"])["join"].as_str()), (0, Some("")));
    for refused in [&["node", "lan", "on"][..], &["node", "role", "relay", "on"]] {
        assert_eq!(alice.code(refused), 4, "{refused:?}");
    }
    assert_eq!(alice.code(&["node", "proxy", "http://127.0.0.1:8080"]), 2);
    alice.stop();
    assert_eq!(alice.start_at_home(), "", "still behind it");
    assert_eq!(alice.udp_sockets(), 0);
    assert!(alice.json(&["node", "proxy", "off"])["at"].is_null());
    assert!(alice.udp_sockets() > 0 && alice.json(&["status"])["join"] != "");
    alice.stop();
    assert_ne!(alice.start_at_home(), "", "off for good");
    alice.stop();
}

#[test]
fn the_log_travels_as_a_file() {
    let mut alice = Person::new("alice").start(&[]);
    alice.run(&["post", "carried by hand", "--days", "1"]);
    eventually("the stamp", || (alice.json(&["log", "stats"])["by_kind"]["post"] == 1).then_some(()));
    let file = alice.home().join("slice");
    alice.run(&["log", "export", file.to_str().unwrap()]);
    let bob = Person::new("bob").start(&[]);
    let imported = bob.json(&["log", "import", file.to_str().unwrap()]);
    assert!(imported["new"].as_u64().unwrap() >= 1);
    assert_eq!(bob.json(&["log", "import", file.to_str().unwrap()])["new"], 0);
    assert!(bob.rows(&["read", "--room", "lobby"]).iter().any(|row| row["text"] == "carried by hand"));
    assert_eq!(bob.json(&["log", "verify"])["bad"], serde_json::json!([]));
    std::fs::write(&file, b"no log").unwrap();
    assert_eq!(bob.code(&["log", "import", file.to_str().unwrap()]), 4);
    alice.stop();
    assert_eq!(alice.code(&["status"]), 5);
}

#[test]
fn two_nodes_cannot_share_a_home_and_a_damaged_one_is_told() {
    let mut alice = Person::new("alice").start(&[]);
    let (code, error) = alice.up_fails(&[]);
    assert_eq!(code, 4);
    assert!(error.contains("in use"), "{error}");
    alice.stop();
    std::fs::write(alice.home().join("log.sqlite"), vec![7; 8192]).unwrap();
    let _ = std::fs::remove_file(alice.home().join("log.sqlite-wal"));
    let (code, error) = alice.up_fails(&[]);
    assert_eq!(code, 4);
    assert!(error.contains("damaged"), "{error}");
    let (code, error) = Person::new("bob").up_fails(&["--join", "nonsense"]);
    assert_eq!(code, 2, "{error}");
}

#[test]
fn a_passphrase_locks_the_vault() {
    let mut alice = Person::new("alice");
    alice.passphrase = Some("correct horse".into());
    let mut alice = alice.start(&[]);
    let name = alice.name.clone();
    assert_eq!(alice.json(&["status"])["vault"], "passphrase");
    alice.stop();
    alice.passphrase = Some("wrong".into());
    let (code, error) = alice.up_fails(&[]);
    assert_eq!(code, 4);
    assert!(error.contains("passphrase"), "{error}");
    alice.passphrase = Some("correct horse".into());
    assert_eq!(alice.json(&["passphrase", "--remove"])["vault"], "key file");
    alice.passphrase = None;
    alice.restart(&[]);
    assert_eq!(alice.name, name);
    assert_eq!(alice.code(&["passphrase", "--remove"]), 4, "a running node keeps its vault");
}

#[test]
fn a_name_is_mined_and_can_be_listed() {
    let alice = Person::new("alice").start(&[]);
    let mined = alice.json(&["id", "mine", "--prefix", "a"]);
    assert!(mined["name"].as_str().unwrap().starts_with('a'));
    assert_eq!(alice.rows(&["id", "list"]).len(), 2);
    assert_eq!(alice.code(&["id", "mine", "--prefix", "a1"]), 2);
}

#[test]
fn a_search_whose_command_was_killed_ends_by_itself() {
    let alice = Person::new("alice").start(&[]);
    let mut abandoned = alice.spawn(&["id", "mine", "--prefix", "alicealice"]);
    eventually("the search to begin", || {
        // The question may have come first, which is a search, too.
        if abandoned.try_wait().unwrap().is_some() {
            abandoned = alice.spawn(&["id", "mine", "--prefix", "alicealice"]);
        }
        (alice.code(&["id", "mine", "--prefix", "a"]) == 4).then_some(())
    });
    // As a power cut would: nobody says goodbye.
    abandoned.kill().unwrap();
    abandoned.wait().unwrap();
    eventually("the search to end", || (alice.code(&["id", "mine", "--prefix", "a"]) == 0).then_some(()));
}

#[test]
fn a_node_that_is_killed_while_somebody_waits_counts_as_none() {
    let alice = Person::new("alice").start(&[]);
    let waits = alice.spawn(&["post", "hello", "--wait", "published", "--timeout", "600"]);
    eventually("the post to be taken", || (alice.rows(&["read", "--room", "lobby"]).len() == 1).then_some(()));
    alice.kill_now();
    let out = waits.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(5), "{}", String::from_utf8_lossy(&out.stderr));
}
