//! Vaults of every earlier version, with rows in all their tables, open in this one, and what is in them can be read.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use std::path::Path;

use nest::{NEST, charter, let_in, mingle, say};
use people::{LIFETIME, Person, carry};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rusqlite::{Connection, params_from_iter, types::Value};
use samizdat_chat::{Chat, Filter, Proposal, Standing};
use samizdat_cluster::motion::Method;
use samizdat_store::Vault;

fn vault(home: &Path, steps: &[&str]) -> Vault {
    Vault::open(home, None, steps, &mut ChaCha20Rng::from_seed([9; 32])).unwrap()
}

/// Alice talks with dave, and is in a cluster with bob and carol, of whom one asks something and one is asked to be let in.
fn rich(home: &Path) {
    let (mut alice, mut dave) = (Person::new(1), Person::new(4));
    alice.chat = Chat::open(vault(home, Chat::MIGRATIONS), [1; 32]).unwrap();
    alice.settle();
    let link = dave.link();
    carry(&dave, &mut alice);
    alice.chat.add_contact(&link, Some("dave")).unwrap();
    alice.write("dave", "hello dave");
    people::meet(&mut alice, &mut dave);
    let now = alice.now;
    alice.chat.found_cluster(&charter(), "alice", now).unwrap();
    alice.settle();
    let mut people = vec![alice];
    for (seed, nick) in [(2, "bob"), (3, "carol")] {
        let mut newcomer = Person::new(seed);
        newcomer.now = people[0].now;
        people.push(newcomer);
        let_in(&mut people, nick);
    }
    say(&mut people[0], "to all");
    say(&mut people[1], "@alice: hello");
    let (now, options) = (people[0].now, ["tea".to_owned(), "coffee".to_owned()]);
    let question = Proposal::Question { text: "What?", options: &options, method: Method::Plurality };
    people[1].chat.open_motion(NEST, &question, now).unwrap();
    people[1].chat.open_secret_motion(NEST, &question, now).unwrap();
    people[1].chat.write_to_member(NEST, "alice", "to you", LIFETIME, now).unwrap();
    people[0].chat.invite_to_cluster(NEST, "poster", 28, now).unwrap();
    mingle(&mut people);
    assert_eq!(texts(&mut people[0].chat), TEXTS);
}

const TEXTS: [&str; 4] = ["hello dave", "to all", "@alice: hello", "to you"];

fn texts(alice: &mut Chat) -> Vec<String> {
    alice.messages(&Filter::default()).unwrap().into_iter().map(|message| message.text).collect()
}

fn tables(conn: &Connection) -> Vec<String> {
    let mut all =
        conn.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").unwrap();
    all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Name, type, and whether something must be put there.
fn columns(conn: &Connection, table: &str) -> Vec<(String, String, bool)> {
    let mut all = conn.prepare("SELECT name, type, \"notnull\" AND dflt_value IS NULL FROM pragma_table_info(?1)").unwrap();
    all.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

fn count(conn: &Connection, table: &str) -> u32 {
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Something that fits a column of which today's vault says nothing.
fn anything(kind: &str) -> &'static str {
    match kind {
        "BLOB" => "randomblob(32)",
        "TEXT" => "'x'",
        _ => "1",
    }
}

/// Puts what is in today's vault into an older one, as far as that has the tables, and a row of anything into those that are empty.
fn fill(old: &Connection, today: &Connection) -> Vec<String> {
    old.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let mut of_anything = Vec::new();
    for table in tables(old) {
        old.execute(&format!("DELETE FROM {table}"), []).unwrap();
        let known: Vec<String> = columns(today, &table).into_iter().map(|(name, ..)| name).collect();
        let (both, rest): (Vec<_>, Vec<_>) = columns(old, &table).into_iter().partition(|(name, ..)| known.contains(name));
        let must: Vec<_> = rest.into_iter().filter(|(.., must)| *must).collect();
        let names: Vec<&str> = both.iter().chain(&must).map(|(name, ..)| name.as_str()).collect();
        let slots = both.iter().map(|_| "?").chain(must.iter().map(|(_, kind, _)| anything(kind)));
        let insert =
            format!("INSERT OR IGNORE INTO {table}({}) VALUES({})", names.join(", "), slots.collect::<Vec<_>>().join(", "));
        if !both.is_empty() {
            let shown: Vec<&str> = both.iter().map(|(name, ..)| name.as_str()).collect();
            let mut rows = today.prepare(&format!("SELECT {} FROM {table}", shown.join(", "))).unwrap();
            let rows = rows.query_map([], |row| (0..shown.len()).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>()).unwrap();
            for row in rows {
                old.execute(&insert, params_from_iter(row.unwrap())).unwrap();
            }
        }
        if count(old, &table) == 0 {
            let all = columns(old, &table);
            let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
            let values: Vec<&str> = all.iter().map(|(_, kind, _)| anything(kind)).collect();
            old.execute(&format!("INSERT INTO {table}({}) VALUES({})", names.join(", "), values.join(", ")), []).unwrap();
            of_anything.push(table);
        }
    }
    of_anything
}

#[test]
fn a_vault_of_every_earlier_version_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    rich(home.path());
    let today = vault(home.path(), Chat::MIGRATIONS);
    let clusters = Chat::MIGRATIONS.iter().position(|step| step.contains("CREATE TABLE cluster(")).unwrap();
    for version in 1..=Chat::MIGRATIONS.len() {
        let home = tempfile::tempdir().unwrap();
        let old = vault(home.path(), &Chat::MIGRATIONS[..version]);
        let of_anything = fill(old.conn(), today.conn());
        assert!(tables(old.conn()).iter().all(|table| count(old.conn(), table) > 0));
        drop(old);
        let migrated = vault(home.path(), Chat::MIGRATIONS);
        assert_eq!(tables(migrated.conn()), tables(today.conn()), "{version}");
        for table in of_anything {
            migrated.conn().execute(&format!("DELETE FROM {table}"), []).unwrap_or_default();
        }
        let mut alice = Chat::open(migrated, [5; 32]).unwrap();
        // The first steps have no messages, then no clusters.
        if version > clusters {
            assert_eq!(texts(&mut alice), TEXTS, "{version}");
            let nest = alice.cluster(NEST).unwrap();
            assert_eq!((nest.standing, nest.members.len()), (Standing::Member, 3), "{version}");
            assert_eq!(alice.motions(NEST).unwrap().iter().filter(|motion| motion.kind == "question").count(), 2, "{version}");
            assert_eq!(alice.audit_cluster(NEST).unwrap().decided.len(), 2, "{version}");
            let now = Person::new(1).now;
            alice.write_in_cluster(NEST, "still here", LIFETIME, now).unwrap();
        } else if version > 1 {
            assert_eq!(texts(&mut alice)[0], TEXTS[0], "{version}");
            assert_eq!(alice.contacts().unwrap()[0].petname.as_deref(), Some("dave"), "{version}");
        }
    }
}
