//! The files of fuzz/corpus that are for this crate go through its decoders: none panics, those called `ok-…` are taken and those
//! called `bad-…` refused. `BLESS=1` writes the files that are made here, most from `vectors/cluster.json`, anew; what a fuzzer found
//! lies beside them under any other name.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../../../fuzz/src/secret.rs"]
mod secret;
#[path = "../../../fuzz/src/cluster.rs"]
mod targets;

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde_json::Value;
use targets::Target;

/// Files of one target by name.
type Seeds = BTreeMap<String, Vec<u8>>;

fn all_targets() -> impl Iterator<Item = Target> {
    targets::TARGETS.into_iter().chain(secret::TARGETS)
}

#[test]
fn the_corpus_is_taken_and_refused_as_its_names_say() {
    let made = seeds();
    for (target, run) in all_targets() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        if std::env::var_os("BLESS").is_some() {
            bless(&folder, &made[target]);
        }
        let files: Seeds = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 makes it", folder.display()))
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        let ours: Seeds = files.iter().filter(|(name, _)| is_made_here(name)).map(|(n, b)| (n.clone(), b.clone())).collect();
        assert!(ours == made[target], "{target}: not the bytes of this version; a change of the protocol? BLESS=1");
        for (name, bytes) in files {
            let taken = run(&bytes);
            assert!(!is_made_here(&name) || taken == name.starts_with("ok-"), "{target}/{name}: taken = {taken}");
        }
    }
}

fn is_made_here(name: &str) -> bool {
    name.starts_with("ok-") || name.starts_with("bad-")
}

fn bless(folder: &Path, seeds: &Seeds) {
    fs::create_dir_all(folder).unwrap();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if is_made_here(&entry.file_name().into_string().unwrap()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    seeds.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

fn vectors(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn seeds() -> BTreeMap<&'static str, Seeds> {
    let (vectors, secret) = (vectors("cluster.json"), vectors("cluster-secret.json"));
    let hex = |value: &Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let of = |pointer: &str| hex(vectors.pointer(pointer).unwrap());
    let messages = vectors["messages"].as_array().unwrap();
    let messages = messages.iter().map(|one| (one["what"].as_str().unwrap().replace(' ', "-"), hex(&one["message"])));
    let one = |name: &str, bytes: Vec<u8>| Seeds::from([(name.to_owned(), bytes)]);
    let (yes, no) = (of("/ballots/0/ballot"), of("/ballots/1/ballot"));
    let link = vectors["doors"]["link"].as_str().unwrap().to_owned();
    let merge_link = vectors["doors"]["merge_link"].as_str().unwrap().to_owned();
    let asked = ["join", "return", "merge"].map(|what| (what.to_owned(), of(&format!("/doors/{what}"))));
    let shown = ["leave", "certificate", "unlisted"].into_iter().map(|what| (what.to_owned(), of(&format!("/statements/{what}"))));
    let parts = Seeds::from([("only".into(), of("/parts/part")), ("last".into(), of("/parts/last_of_64000_bytes_1"))]);
    let of_secret = |pointer: &str| hex(secret.pointer(pointer).unwrap());
    let steps = secret["secret"]["messages"].as_array().unwrap();
    let steps = steps.iter().map(|one| (format!("step-{}", one["type"]), hex(&one["message"])));
    let anonymous = ["all", "one"].into_iter().zip(0..);
    let anonymous = anonymous.map(|(to, n)| (format!("to-{to}"), of_secret(&format!("/anonymous/messages/{n}/message"))));
    BTreeMap::from([
        ("cluster_anonymous", damaged(anonymous.collect())),
        ("cluster_complaint", damaged(one("complaint", of_secret("/secret/complaint")))),
        ("cluster_dealing", damaged(one("dealing", of_secret("/secret/dealing")))),
        ("cluster_decision", damaged(one("decision", of_secret("/secret/decision")))),
        ("cluster_word", damaged(one("word", of_secret("/secret/word")))),
        ("cluster_opening", damaged(one("opening", of_secret("/secret/opening")))),
        ("cluster_secret_ballot", damaged(one("ballot", of_secret("/secret/ballot")))),
        ("cluster_share", damaged(one("share", of_secret("/secret/share")))),
        ("cluster_transcript", damaged(one("transcript", of_secret("/secret/transcript")))),
        ("cluster_slots", damaged(one("slots", of_secret("/anonymous/published/0/slots")))),
        (
            "cluster_aside",
            damaged(one("aside", of("/aside/bytes")).into_iter().chain(one("claim", of("/aside/with_claim"))).collect()),
        ),
        ("cluster_sealed", damaged(one("sealed", of("/doors/sealed")))),
        ("cluster_answer", damaged(one("answer", of("/doors/answer")))),
        ("cluster_context", damaged(one("context", of("/statements/minutes/context")))),
        ("cluster_minutes", damaged(one("minutes", of("/statements/minutes/bytes")))),
        ("cluster_bundle", damaged(one("bundle", of("/statements/bundle")))),
        ("cluster_charter", damaged(one("charter", of("/names/charter")))),
        ("cluster_message", damaged(messages.chain(steps).collect())),
        ("cluster_out", damaged(shown.collect())),
        ("cluster_part", damaged(parts)),
        ("cluster_request", damaged(Seeds::from(asked))),
        (
            "cluster_proof",
            Seeds::from([
                ("ok-yes-and-no".into(), [&[0x82][..], &yes, &no].concat()),
                ("bad-yes-twice".into(), [&[0x82][..], &yes, &yes].concat()),
                ("bad-yes-alone".into(), [&[0x81][..], &yes].concat()),
            ]),
        ),
        (
            "cluster_link",
            Seeds::from([
                ("ok-link".into(), link.clone().into_bytes()),
                ("ok-shouted".into(), link.to_uppercase().into_bytes()),
                ("bad-half".into(), link[..link.len() - 8].into()),
                ("bad-name".into(), b"samizdat:abcd".to_vec()),
                ("bad-no-text".into(), vec![0xff; 60]),
            ]),
        ),
        (
            "cluster_merge_link",
            Seeds::from([
                ("ok-link".into(), merge_link.clone().into_bytes()),
                ("ok-shouted".into(), merge_link.to_uppercase().into_bytes()),
                ("bad-half".into(), merge_link[..merge_link.len() - 8].into()),
                ("bad-without-its-cluster".into(), link.clone().into_bytes()),
            ]),
        ),
        (
            "cluster_branches",
            Seeds::from([
                ("ok-line".into(), vec![2, 0, 0, 0, 0, 8, 0, 1, 0, 16, 8, 2, 1, 16, 1, 0]),
                ("ok-fork".into(), vec![2, 0, 0, 0, 0, 8, 0, 1, 4, 9, 0, 2, 0, 16, 9, 2, 1, 8, 1, 0, 1, 8, 1, 1]),
                ("ok-circle".into(), vec![0, 8, 9, 1, 0, 9, 8, 1, 0, 7, 7, 1]),
                ("bad-nobody".into(), vec![1, 16, 1, 0]),
                ("bad-nothing".into(), Vec::new()),
            ]),
        ),
    ])
}

/// As they are, cut, and with something after the end.
fn damaged(good: Seeds) -> Seeds {
    let all = good.into_iter().flat_map(|(name, bytes)| {
        let (cut, more) = (bytes[..bytes.len() - 1].to_vec(), [&bytes[..], &[0]].concat());
        [(format!("ok-{name}"), bytes), (format!("bad-{name}-cut"), cut), (format!("bad-{name}-and-more"), more)]
    });
    all.collect()
}

/// A corpus is small; the same must hold for anything.
fn holds_for_anything(bytes: &[u8]) {
    all_targets().for_each(|(_, run)| {
        run(bytes);
    });
}

proptest! {
    #[test]
    fn whatever_comes_is_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        holds_for_anything(&bytes);
    }

    /// Bytes that are like the good ones, but for one or two.
    #[test]
    fn whatever_is_changed_in_good_bytes_is_taken_or_refused(which in any::<prop::sample::Index>(), changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..3)) {
        let all: Vec<Vec<u8>> = seeds().into_values().flat_map(BTreeMap::into_values).collect();
        let mut bytes = which.get(&all).clone();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        holds_for_anything(&bytes);
    }
}
