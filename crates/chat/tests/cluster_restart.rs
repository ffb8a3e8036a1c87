//! What is expected of a cluster after a start: the same as before, whenever the process died.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use std::path::Path;

use people::{LIFETIME, Person, carry};
use rand_core::SeedableRng;
use samizdat_chat::{Chat, Filter, Standing};
use samizdat_cluster::Charter;
use samizdat_core::Envelope;
use samizdat_store::{Log, Vault};

const NEST: &str = "nest";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn open(home: &Path) -> Chat {
    let vault = Vault::open(home, None, Chat::MIGRATIONS, &mut rand_chacha::ChaCha20Rng::from_seed([9; 32])).unwrap();
    Chat::open(vault, [2; 32]).unwrap()
}

fn pass(people: &mut [&mut Person], ms: u64) {
    for person in people {
        person.now.unix_ms += ms;
        person.now.mono_ms += ms;
    }
}

/// Alice founded it and let Bob in, whose vault is in `home`.
fn two(home: &Path) -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    bob.chat = open(home);
    bob.settle();
    alice.chat.found_cluster(&Charter::new(NEST).unwrap(), "alice", alice.now).unwrap();
    alice.settle();
    let link = alice.chat.invite_to_cluster(NEST, "", 7, alice.now).unwrap();
    bob.chat.join_cluster(&link, "bob", "", bob.now).unwrap();
    for _ in 0..8 {
        alice.settle();
        bob.settle();
        carry(&alice, &mut bob);
        carry(&bob, &mut alice);
        pass(&mut [&mut alice, &mut bob], 15_000);
    }
    assert_eq!(bob.chat.cluster(NEST).unwrap().standing, Standing::Member);
    (alice, bob)
}

fn says(alice: &mut Person, texts: impl Iterator<Item = u32>) -> Vec<Envelope> {
    for text in texts {
        alice.chat.write_in_cluster(NEST, &text.to_string(), LIFETIME, alice.now).unwrap();
    }
    let made = alice.settle();
    made.iter().map(|id| alice.log.find(id).unwrap().unwrap().envelope().unwrap()).collect()
}

fn heard(bob: &Person) -> Vec<u32> {
    let messages = bob.chat.messages(&Filter::default()).unwrap();
    let mut numbers: Vec<u32> = messages.iter().filter_map(|message| message.text.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn after_a_start_all_is_expected_that_was_and_nothing_twice() {
    let home = tempfile::tempdir().unwrap();
    let (mut alice, mut bob) = two(home.path());
    // More than is expected ahead.
    let said = says(&mut alice, 0..40);
    said[..3].iter().for_each(|envelope| bob.receive(envelope));
    bob.chat = open(home.path());
    said[3..].iter().rev().for_each(|envelope| bob.receive(envelope));
    bob.settle();
    assert_eq!(heard(&bob), (0..40).collect::<Vec<_>>());

    bob.chat = open(home.path());
    let before = bob.chat.messages(&Filter::default()).unwrap().len();
    let again = says(&mut alice, 40..42);
    said.iter().chain(&again).for_each(|envelope| bob.chat.ingest(envelope, &bob.log, bob.now).unwrap());
    assert_eq!(heard(&bob), (0..42).collect::<Vec<_>>());
    assert_eq!(bob.chat.messages(&Filter::default()).unwrap().len(), before + 2);
}

#[test]
fn a_crash_between_a_new_state_and_the_look_into_the_log_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (mut alice, mut bob) = two(home.path());
    bob.chat.tick(bob.now).unwrap();
    let state = bob.chat.cluster(NEST).unwrap().state;
    // Alice refreshes the keys, and says something with them.
    pass(&mut [&mut alice, &mut bob], DAY_MS + 60_000);
    let known = alice.envelopes().len();
    alice.settle();
    says(&mut alice, 0..3);
    assert_ne!(alice.chat.cluster(NEST).unwrap().state, state);
    let new = alice.envelopes().split_off(known);
    bob.log.append(&new).unwrap();
    // Nothing is found: as if the process had died right after the transaction.
    let empty = Log::in_memory(1 << 20).unwrap();
    new.iter().for_each(|envelope| bob.chat.ingest(envelope, &empty, bob.now).unwrap());
    bob.chat.work(&empty, bob.now).unwrap();
    assert_eq!(bob.chat.cluster(NEST).unwrap().state, alice.chat.cluster(NEST).unwrap().state);
    bob.chat = open(home.path());
    bob.chat.catch_up(&bob.log, bob.now).unwrap();
    assert_eq!(heard(&bob), [0, 1, 2]);
}

#[test]
fn a_vault_in_which_every_tag_had_a_row_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let rng = || rand_chacha::ChaCha20Rng::from_seed([9; 32]);
    let before = Chat::MIGRATIONS.iter().position(|step| step.contains("CREATE TABLE cluster_seen")).unwrap();
    {
        let vault = Vault::open(home.path(), None, &Chat::MIGRATIONS[..before], &mut rng()).unwrap();
        let of_the_state = (0..18).filter(|counter| ![0, 2].contains(counter)).map(|counter| {
            format!("INSERT INTO cluster_tag(tag, cluster, source, state, leaf, counter) VALUES(x'aa{counter:02}', 1, 0, x'05', 3, {counter});")
        });
        let rows = "INSERT INTO cluster(cluster, member, nick, name, standing) VALUES(1, x'01', 'bob', 'nest', 1);
            INSERT INTO cluster_state(cluster, state, epoch, certified, members, context, past, done, secret, own_leaf, sent, began)
                VALUES(1, x'05', 1, 0, x'', x'', x'', x'', x'', 7, 4, 0);
            INSERT INTO cluster_reach VALUES(1, x'05', 3, 18);
            INSERT INTO cluster_tag(tag, cluster, source, state, leaf, counter, unlooked) VALUES(x'bb', 1, 1, x'', 9, 0, 0);
            INSERT INTO cluster_pending(cluster, state, leaf, kind, bytes, settled) VALUES(1, x'05', 3, 2, x'cc', 1);";
        vault.conn().execute_batch(&of_the_state.chain([rows.to_owned()]).collect::<String>()).unwrap();
    }
    let vault = Vault::open(home.path(), None, Chat::MIGRATIONS, &mut rng()).unwrap();
    let numbers = |sql: &str| -> Vec<i64> {
        let mut statement = vault.conn().prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(numbers("SELECT counter FROM cluster_seen WHERE cluster = 1 AND leaf = 3 ORDER BY counter"), [0, 2]);
    assert_eq!(numbers("SELECT unlooked FROM cluster_tag"), [1], "those of doors stay, and are looked for once more");
    assert_eq!(numbers("SELECT expected_to FROM cluster_reach ORDER BY leaf"), [18, 4], "what we sent is counted there");
    assert_eq!(numbers("SELECT settled FROM cluster_pending WHERE bytes = x'cc'"), [1]);
}
