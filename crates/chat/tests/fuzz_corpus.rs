//! What MLS reads of clusters: the files of fuzz/corpus go through it, none panics, those called `ok-…` are taken and those called
//! `bad-…` refused. `BLESS=1` writes the files that are made here anew; what a fuzzer found lies beside them under any other name.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs
)]

#[path = "../../../fuzz/src/group.rs"]
mod group;

use std::{collections::BTreeMap, fs, path::PathBuf};

use group::World;

/// Files by name.
type Seeds = BTreeMap<String, Vec<u8>>;

/// What the others of the group send, and what a hostile hand makes of it. MLS encrypts to the parts of a tree on several threads, which
/// draw from one generator: the same bytes come of it on one thread only.
fn seeds() -> Seeds {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(seeds_on_one_thread)
}

fn seeds_on_one_thread() -> Seeds {
    let mut seeds = Seeds::from([("bad-empty".into(), Vec::new())]);
    for (name, bytes) in World::new().unwrap().messages().unwrap() {
        let bent = |at: usize| {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            bent
        };
        seeds.insert(format!("bad-{name}-bent"), bent(bytes.len() / 2));
        seeds.insert(format!("bad-{name}-bent-at-the-end"), bent(bytes.len() - 1));
        seeds.insert(format!("bad-{name}-cut"), bytes[..bytes.len() - 1].to_vec());
        seeds.insert(format!("bad-{name}-longer"), [&bytes[..], &[0]].concat());
        seeds.insert(format!("ok-{name}"), bytes);
    }
    seeds
}

#[test]
fn the_corpus_is_taken_and_refused_as_its_names_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/cluster_group");
    let made = seeds();
    let is_made_here = |name: &str| name.starts_with("ok-") || name.starts_with("bad-");
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            if is_made_here(&entry.file_name().into_string().unwrap()) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        made.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 makes it", folder.display()));
    let entry = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let files: Seeds = entries.map(|found| entry(found.unwrap())).collect();
    let ours: Seeds = files.iter().filter(|(name, _)| is_made_here(name)).map(|(n, b)| (n.clone(), b.clone())).collect();
    assert!(ours == made, "not the bytes of this version; a change of MLS? BLESS=1");
    for (name, bytes) in files {
        let taken = group::group(&bytes);
        assert!(!is_made_here(&name) || taken == name.starts_with("ok-"), "{name}: taken = {taken}");
        assert_eq!(group::group(&bytes), taken, "{name}: nothing of it stayed");
    }
}
