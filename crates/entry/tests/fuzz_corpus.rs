//! The files of fuzz/corpus that are for this crate go through its decoders: none panics, those called `ok-…` are taken and those
//! called `bad-…` refused. `BLESS=1` writes the files that are made here anew; what a fuzzer found lies beside them under any
//! other name.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../../../fuzz/src/entry.rs"]
mod targets;

use std::{collections::BTreeMap, fs, path::PathBuf};

use proptest::prelude::*;
use samizdat_core::{
    NodeRecord, PeerSecret,
    record::{NodeFields, RelayOffer, RelayService, Role, Roles, Via},
};
use samizdat_entry::Txt;
use targets::{NOW, TARGETS};

/// Files of one target by name.
type Seeds = BTreeMap<String, Vec<u8>>;

#[test]
fn the_corpus_is_taken_and_refused_as_its_names_say() {
    let made: BTreeMap<&str, Seeds> = BTreeMap::from([("txt", entries())]);
    for (target, run) in TARGETS {
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
        assert!(ours == made[target], "{target}: the bytes are not those of this version; a change of the protocol? BLESS=1");
        for (name, bytes) in files {
            let taken = run(&bytes);
            assert!(taken != name.starts_with("bad-") || !is_made_here(&name), "{target}/{name}: taken = {taken}");
        }
    }
}

fn is_made_here(name: &str) -> bool {
    name.starts_with("ok-") || name.starts_with("bad-")
}

fn bless(folder: &PathBuf, seeds: &Seeds) {
    fs::create_dir_all(folder).unwrap();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if is_made_here(&entry.file_name().into_string().unwrap()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    seeds.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

fn record(issued: u64, full: bool) -> NodeRecord {
    let roles = Roles::default().with(Role::Entry);
    let addrs = ["203.0.113.7:4001", "[2001:db8::7]:4001"].map(|addr| addr.parse().unwrap()).to_vec();
    let via = Via { at: "[2001:db8::9]:8443".parse().unwrap(), certificate: [9; 32] };
    let fields = NodeFields {
        issued,
        lifetime_s: 7200,
        roles: if full { roles.with(Role::Relay) } else { roles },
        relay: full.then(|| RelayOffer::on(RelayService { port: 443, discovery_port: 7842, certificate: [7; 32] }, &addrs)),
        addrs,
        via: if full { vec![via] } else { Vec::new() },
    };
    NodeRecord::sign(&PeerSecret([1; 32]), fields).unwrap()
}

/// Strings as DNS carries them.
fn carried<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    strings.into_iter().flat_map(|string| [&[u8::try_from(string.len()).unwrap()], string].concat()).collect()
}

fn entry(issued: u64, full: bool) -> Vec<u8> {
    carried(Txt::of(&record(issued, full)).strings())
}

fn entries() -> Seeds {
    let usual = Txt::of(&record(NOW, false)).strings().flatten().copied().collect::<Vec<u8>>();
    let bent = |at: usize| {
        let mut text = usual.clone();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        carried(text.chunks(255))
    };
    let text = |text: &[u8]| carried(text.chunks(255));
    Seeds::from([
        ("ok-short".into(), entry(NOW, false)),
        ("ok-full".into(), entry(NOW, true)),
        ("ok-cut-otherwise".into(), carried(usual.chunks(7))),
        ("ok-with-empty-strings".into(), [&[0, 0], &text(&usual)[..], &[0]].concat()),
        ("bad-expired".into(), entry(NOW - 86_400, false)),
        ("bad-from-the-future".into(), entry(NOW + 86_400, false)),
        ("bad-bent-signature".into(), bent(usual.len() - 9)),
        ("bad-bent-address".into(), bent(90)),
        ("bad-version".into(), bent(10)),
        ("bad-half".into(), text(&usual[..usual.len() / 2])),
        ("bad-and-more".into(), text(&[&usual[..], b"AAAA"].concat())),
        ("bad-padding".into(), text(&[&usual[..], b"="].concat())),
        ("bad-prefix-only".into(), text(b"v=samizdat1 ")),
        ("bad-no-base64".into(), text(b"v=samizdat1 \xff\xfe \0")),
        ("bad-endless".into(), text(&[&usual[..12], &[b'A'; 4_000]].concat())),
        ("bad-of-somebody-else".into(), text(b"v=spf1 -all")),
        ("bad-length-beyond-the-end".into(), [&[255], &usual[..20]].concat()),
        ("bad-nothing".into(), Vec::new()),
    ])
}

proptest! {
    #[test]
    fn whatever_a_domain_says_is_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600), ours in any::<bool>()) {
        let bytes = if ours { carried([&b"v=samizdat1 "[..], &bytes[..bytes.len().min(255)]]) } else { bytes };
        targets::txt(&bytes);
    }

    /// Bytes that are like the good ones, but for one or two.
    #[test]
    fn whatever_is_changed_in_good_bytes_is_taken_or_refused(which in any::<prop::sample::Index>(), changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..3)) {
        let mut bytes = which.get(&entries().into_values().collect::<Vec<_>>()).clone();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        targets::txt(&bytes);
    }
}
