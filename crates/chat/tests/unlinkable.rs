//! Two memberships of one person have nothing in common, neither in what is stored of them nor in what the members see.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

mod nest;
mod people;

use std::collections::BTreeSet;

use nest::mingle;
use people::{LIFETIME, Person};
use rusqlite::types::ValueRef;
use samizdat_chat::{Proposal, Standing};
use samizdat_cluster::{Charter, motion::Method};

/// Length of what is compared, bytes. Among a million places two agree by chance once in 10^7 runs.
const LONG: usize = 8;

type Pieces = BTreeSet<[u8; LONG]>;

fn pieces(all: &[Vec<u8>]) -> Pieces {
    all.iter().flat_map(|bytes| bytes.windows(LONG)).map(|piece| piece.try_into().unwrap()).collect()
}

/// All that a row holds.
fn blobs(person: &Person, sql: &str) -> Vec<Vec<u8>> {
    let mut statement = person.chat.vault().conn().prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut blobs = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        blobs.extend((0..columns).filter_map(|column| match row.get_ref(column).unwrap() {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Some(bytes.to_vec()),
            _ => None,
        }));
    }
    blobs
}

/// All that a member knows of a cluster: members, trees, motions, ballots, texts, requests, tags.
fn seen(person: &Person, cluster: i64) -> Pieces {
    let with = "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'cluster'";
    let tables = blobs(person, with).into_iter().map(|name| String::from_utf8(name).unwrap());
    let mut all: Vec<Vec<u8>> =
        tables.flat_map(|table| blobs(person, &format!("SELECT * FROM {table} WHERE cluster = {cluster}"))).collect();
    let said = "SELECT m.* FROM message m JOIN conversation c USING (conversation) WHERE c.cluster =";
    all.extend(blobs(person, &format!("{said} {cluster}")));
    pieces(&all)
}

/// Trees, and what else the MLS library keeps, where keys are lists of numbers: without the mark that CBOR sets before those from 24 on.
fn kept(person: &Person) -> Vec<Vec<u8>> {
    let mut values = blobs(person, "SELECT value FROM mls_state ORDER BY namespace, label, key");
    values.iter_mut().for_each(|value| value.retain(|byte| *byte != 0x18));
    values
}

/// What is stored of one membership, and what mallory, who founded the cluster, knows of it.
fn member_of(mut mallory: Person, mut person: Person, cluster: &str, nick: &str, claims: bool) -> (Person, Person, Pieces, Pieces) {
    let before: BTreeSet<Vec<u8>> = kept(&mallory).into_iter().collect();
    let number = mallory.chat.found_cluster(&Charter::new(cluster).unwrap(), "mallory", mallory.now).unwrap();
    let link = mallory.chat.invite_to_cluster(cluster, "", 7, mallory.now).unwrap();
    person.now = mallory.now;
    let has = person.log.last_row().unwrap();
    person.chat.join_cluster(&link, nick, "hello", person.now).unwrap();
    let mut both = [mallory, person];
    mingle(&mut both);
    let now = both[1].now;
    assert_eq!(both[1].chat.cluster(cluster).unwrap().standing, Standing::Member);
    both[1].chat.write_in_cluster(cluster, "here I am", LIFETIME, now).unwrap();
    both[1].chat.write_to_member(cluster, "mallory", "only you", LIFETIME, now).unwrap();
    let options = ["here".to_owned(), "there".to_owned()];
    let question = Proposal::Question { text: "Where?", options: &options, method: Method::Plurality };
    both[1].chat.open_motion(cluster, &question, now).unwrap();
    if claims {
        both[1].chat.claim_in_cluster(cluster, now).unwrap();
    }
    mingle(&mut both);
    let [mallory, person] = both;
    assert!(mallory.texts().ends_with(&["here I am".to_owned(), "only you".to_owned()]));
    let stored: Vec<Vec<u8>> = person.log.after(has, 10_000).unwrap().iter().map(|stored| stored.bytes.to_vec()).collect();
    let new: Vec<Vec<u8>> = kept(&mallory).into_iter().filter(|value| !before.contains(value)).collect();
    assert!(stored.len() > 8 && new.len() > 8);
    let known = seen(&mallory, number).union(&pieces(&new)).copied().collect();
    (mallory, person, pieces(&stored), known)
}

/// What two have in common, and a third, of another person, has no longer part of: so that it is of no format and of no founder.
fn common(one: &Pieces, other: &Pieces, third: &Pieces) -> Vec<[u8; LONG]> {
    let parts: BTreeSet<&[u8]> = third.iter().flat_map(|piece| piece.windows(5)).collect();
    one.intersection(other).filter(|piece| !piece.windows(5).any(|part| parts.contains(part))).copied().collect()
}

#[test]
fn who_is_in_two_clusters_shows_in_neither_what_is_found_in_the_other() {
    let [mallory, bob, carol] = [1, 2, 3].map(Person::new);
    let (mallory, bob, first, seen_first) = member_of(mallory, bob, "nest", "bob", false);
    let (mallory, _, third, seen_third) = member_of(mallory, carol, "club", "carol", false);
    let (mallory, bob, second, seen_second) = member_of(mallory, bob, "cafe", "robin", false);
    assert_eq!(common(&first, &second, &third), Vec::<[u8; LONG]>::new(), "by what is stored");
    assert_eq!(common(&seen_first, &seen_second, &seen_third), Vec::<[u8; LONG]>::new(), "by what mallory knows");

    // Who says in both who they are is known in both, which shows that what is in common would be found.
    let (mallory, bob, _, told) = member_of(mallory, bob, "pub", "rob", true);
    let (_, _, _, told_again) = member_of(mallory, bob, "quay", "bobby", true);
    assert!(!common(&told, &told_again, &seen_third).is_empty());
}
