#![allow(clippy::arithmetic_side_effects)]

use proptest::prelude::*;
use samizdat_core::{PeerSecret, limits::RECORD_LIFETIME_MAX_S, limits::RECORD_MAX, record::NodeFields};

use super::*;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn record(secret: u8, issued: u64) -> NodeRecord {
    let fields = NodeFields {
        issued,
        lifetime_s: RECORD_LIFETIME_MAX_S,
        roles: Default::default(),
        addrs: vec!["203.0.113.7:4001".parse().unwrap()],
        relay: None,
        via: Vec::new(),
    };
    NodeRecord::sign(&PeerSecret([secret; 32]), fields).unwrap()
}

fn text(text: &str) -> Txt {
    Txt::from_strings(text.as_bytes().chunks(TXT_STRING_MAX))
}

#[test]
fn a_record_survives_however_its_text_is_cut() {
    let record = record(1, NOW);
    let txt = Txt::of(&record);
    assert!(txt.strings().all(|string| string.len() <= TXT_STRING_MAX));
    assert_eq!(txt.read(NOW), Slot::Holds(record.clone()));
    let whole: Vec<u8> = txt.strings().flatten().copied().collect();
    let cut = Txt::from_strings(whole.chunks(5));
    assert_eq!(cut.read(NOW), Slot::Holds(record));
    assert_ne!(cut, txt, "what is compared on the name server is the cut as well");
}

#[test]
fn what_mallory_writes_into_the_zone_is_dropped_and_counted() {
    let alice = Txt::of(&record(1, NOW));
    let forged = {
        let mut bytes = record(2, NOW).bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        text(&format!("v=samizdat1 {}", BASE64URL_NOPAD.encode(&bytes)))
    };
    let junk = ["v=samizdat1 ", "v=samizdat1 !!", "v=samizdat1 AAAA"].map(text);
    let long = text(&format!("v=samizdat1 {}", "A".repeat(ENCODED_MAX + 1)));
    let old = Txt::of(&record(3, NOW - DAY));
    let foreign = ["v=spf1 -all", "v=samizdat2 AAAA", "v=samizdat1", ""].map(text);
    let zone: Vec<Txt> = junk.into_iter().chain(foreign).chain([forged, long, old, alice]).collect();
    let found = select(&zone, NOW);
    assert_eq!(found.records, [record(1, NOW)]);
    assert_eq!(found.dropped, 6);
}

#[test]
fn of_two_records_of_alice_the_later_one_counts() {
    let [early, late] = [NOW - 60, NOW].map(|issued| record(1, issued));
    for zone in [[&early, &late], [&late, &early]] {
        let found = select(&zone.map(Txt::of), NOW);
        assert_eq!((found.records.as_slice(), found.dropped), ([late.clone()].as_slice(), 1));
    }
}

#[test]
fn a_thousand_entries_are_no_more_than_the_bound() {
    let entries: Vec<Txt> = (1..=250).map(|i| Txt::of(&record(i, NOW))).collect();
    let found = select(&entries, NOW);
    assert_eq!((found.records.len(), found.dropped), (ENTRIES_MAX, TXT_READ_MAX - ENTRIES_MAX));
}

#[test]
fn whose_entry_has_lapsed_is_still_known() {
    let alice = record(1, NOW);
    for now in [NOW + DAY, NOW - DAY] {
        assert_eq!(Txt::of(&alice).read(now), Slot::Lapsed(alice.clone()));
    }
}

#[test]
fn the_longest_record_fits_the_bound() {
    assert_eq!(BASE64URL_NOPAD.encode(&[0; RECORD_MAX]).len(), ENCODED_MAX);
}

proptest! {
    #[test]
    fn strings_of_strangers_are_read_without_harm(strings: Vec<Vec<u8>>, entry: bool, now: u64) {
        let head = entry.then(|| PREFIX.to_vec());
        let txt = Txt::from_strings(head.iter().chain(&strings).map(Vec::as_slice));
        prop_assert!(matches!(txt.read(now), Slot::Foreign | Slot::Junk));
    }
}
