//! What is done with what a domain says, as in `targets.rs`. `true` means that it was taken.
//!
//! `cargo test` calls this for the files of `corpus/` by way of `crates/entry/tests/fuzz_corpus.rs`, which includes this very file.

use samizdat_entry::{
    limits::TXT_STRING_MAX,
    text::{Slot, Txt, select},
};

/// A target by its name, which is also the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 1] = [("txt", txt)];

/// When records of a domain are verified here.
pub const NOW: u64 = 1_800_000_000;

/// A TXT record as it stands in an answer: strings, each behind a byte that says how long it is. `false` when it is no entry.
pub fn txt(bytes: &[u8]) -> bool {
    let mut strings = Vec::new();
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first() {
        let (string, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        strings.push(string);
        rest = tail;
    }
    let txt = Txt::from_strings(strings.iter().copied());
    assert!(txt.strings().eq(strings.iter().copied()), "it is kept as it stands there");
    let slot = txt.read(NOW);
    assert_eq!(slot == Slot::Foreign, !txt.claims_entry());
    let found = select([&txt, &txt], NOW);
    match slot {
        Slot::Foreign => assert_eq!((found.records.len(), found.dropped), (0, 0)),
        Slot::Junk | Slot::Lapsed(_) => assert_eq!((found.records.len(), found.dropped), (0, 2)),
        Slot::Holds(record) => {
            let ours = Txt::of(&record);
            assert!(ours.strings().all(|string| string.len() <= TXT_STRING_MAX));
            assert_eq!(
                ours.strings().flatten().collect::<Vec<_>>(),
                txt.strings().flatten().collect::<Vec<_>>(),
                "one text for a record"
            );
            assert_eq!((found.records, found.dropped), (vec![record], 1));
            return true;
        }
    }
    false
}
