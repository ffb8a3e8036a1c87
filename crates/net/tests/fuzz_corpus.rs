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

#[path = "../../../fuzz/src/net.rs"]
mod targets;

use std::{collections::BTreeMap, fs, path::PathBuf};

use proptest::prelude::*;
use samizdat_core::PeerId;
use samizdat_net::{PeerAddr, format_join, lan::hello::HelloIn, limits::FRAME_MAX, script::Script};
use targets::TARGETS;

/// Files of one target by name.
type Seeds = BTreeMap<String, Vec<u8>>;

#[test]
fn the_corpus_is_taken_and_refused_as_its_names_say() {
    let made: BTreeMap<&str, Seeds> =
        BTreeMap::from([("address", addresses()), ("join", joins()), ("lan", packets()), ("stream", streams())]);
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
        assert!(
            !ours.is_empty() && ours == made[target],
            "{target}: not the bytes of this version; a change of the protocol? BLESS=1"
        );
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

fn sockets(list: &[&str]) -> PeerAddr {
    PeerAddr::new(list.iter().map(|socket| socket.parse().unwrap()))
}

fn addresses() -> Seeds {
    let both = sockets(&["10.0.0.1:4001", "[2001:db8::1]:4001"]).as_bytes().to_vec();
    let one = &both[..8];
    Seeds::from([
        ("ok-none".into(), Vec::new()),
        ("ok-one".into(), one.to_vec()),
        ("ok-the-same-often".into(), one.repeat(32)),
        ("ok-kind-of-the-future".into(), [&[200, 3, 1, 2, 3], one].concat()),
        ("ok-empty-kind-of-the-future".into(), vec![200, 0]),
        (
            "ok-nobody-listens-there".into(),
            [&[4, 6, 0, 0, 0, 0, 0, 80], &[4, 6, 224, 0, 0, 1, 0, 80], &[4, 6, 10, 0, 0, 1, 0, 0][..]].concat(),
        ),
        ("ok-nobody-in-ipv6-clothing".into(), [&[6, 18], &[0; 10][..], &[0xff, 0xff, 0, 0, 0, 0, 0, 80]].concat()),
        ("bad-half".into(), both[..both.len() / 2].to_vec()),
        ("bad-and-more".into(), [&both[..], &[4]].concat()),
        ("bad-length-beyond-the-end".into(), vec![200, 255, 1]),
        ("bad-short-ipv4".into(), vec![4, 5, 10, 0, 0, 1, 0]),
        ("bad-long-ipv4".into(), vec![4, 7, 10, 0, 0, 1, 0, 80, 0]),
        ("bad-ipv4-called-ipv6".into(), vec![6, 6, 10, 0, 0, 1, 0, 80]),
        ("bad-too-long".into(), one.repeat(33)),
        ("ok-both".into(), both),
    ])
}

fn joins() -> Seeds {
    let peer = PeerId(*iroh::SecretKey::from_bytes(&[7; 32]).public().as_bytes());
    let join = |list: &str| format!("{}{list}", format_join(&peer, &PeerAddr::new([])));
    let lan = join("192.168.1.7:4001");
    Seeds::from([
        ("ok-both-families".into(), join("192.168.1.7:4001,[2001:db8::1]:4001").into()),
        ("ok-shouted".into(), lan.to_uppercase().into()),
        ("ok-with-blanks".into(), format!("  {}\n", join("192.168.1.7:4001 , 127.0.0.1:1")).into()),
        ("ok-the-same-twice".into(), join("10.0.0.1:1,10.0.0.1:1").into()),
        ("ok-in-ipv6-clothing".into(), join("[::ffff:10.0.0.1]:1").into()),
        ("ok-with-a-scope".into(), join("[fe80::1%3]:1").into()),
        ("bad-nobody-in-ipv6-clothing".into(), join("[::ffff:0.0.0.0]:1").into()),
        ("bad-nobody-listens-there".into(), join("0.0.0.0:1").into()),
        ("bad-port".into(), join("10.0.0.1:65536").into()),
        ("bad-no-port".into(), join("10.0.0.1").into()),
        ("bad-no-address".into(), join("").into()),
        ("bad-host-name".into(), join("example.org:80").into()),
        ("bad-too-many".into(), join(&["10.0.0.1:1"; 9].join(",")).into()),
        ("bad-endless".into(), join(&",".repeat(10_000)).into()),
        ("bad-short-peer".into(), lan[1..].into()),
        ("bad-peer".into(), format!("{}@10.0.0.1:1", "1".repeat(52)).into()),
        ("bad-wide-letters".into(), format!("{}@10.0.0.1:1", "\u{e9}".repeat(26)).into()),
        ("bad-trailing-bits".into(), format!("{}@10.0.0.1:1", "7".repeat(52)).into()),
        ("bad-no-text".into(), vec![0xff, 0xfe]),
        ("bad-nothing".into(), Vec::new()),
        ("ok-lan".into(), lan.into()),
    ])
}

fn packets() -> Seeds {
    let hello = |port| HelloIn { peer: PeerId([7; 32]), port }.encode();
    let usual = hello(4001);
    let replaced = |at: usize, byte: u8| {
        let mut bytes = usual.clone();
        bytes[at] = byte;
        bytes
    };
    Seeds::from([
        ("ok-usual".into(), usual.clone()),
        ("ok-last-port".into(), hello(u16::MAX)),
        ("bad-no-port".into(), hello(0)),
        ("bad-of-somebody-else".into(), replaced(0, b'S')),
        ("bad-version".into(), replaced(8, 2)),
        ("bad-half".into(), usual[..usual.len() / 2].to_vec()),
        ("bad-and-more".into(), [&usual[..], &[0]].concat()),
        ("bad-tag-only".into(), usual[..9].to_vec()),
        ("bad-long".into(), vec![0xff; 1_472]),
        ("bad-nothing".into(), Vec::new()),
    ])
}

fn streams() -> Seeds {
    let say = |frames: &[&[u8]]| {
        Script { life: 1, turn: u64::MAX, frames: frames.iter().map(|f| f.to_vec()).collect(), whole: true }.write().unwrap()
    };
    let hello = say(&[]);
    let two = say(&[b"a", b"frame"]);
    let after = |rest: &[u8]| [&hello[..], rest].concat();
    let later = |length: u8| [&[0, 0, 0, length, 9], &[7; 255][..usize::from(length) - 1]].concat();
    Seeds::from([
        ("ok-hello-of-tomorrow".into(), [later(64), two[hello.len()..].to_vec()].concat()),
        ("bad-hello-too-long".into(), later(65)),
        ("bad-hello-too-short".into(), later(16)),
        ("bad-hello-of-yesterday".into(), [&[0, 0, 0, 17, 0], &[7; 16][..]].concat()),
        ("bad-hello-of-2-32".into(), vec![0xff; 64]),
        ("bad-half-a-hello".into(), hello[..hello.len() / 2].to_vec()),
        ("bad-empty-frame".into(), after(&[0; 4])),
        ("bad-frame-too-long".into(), after(&u32::try_from(FRAME_MAX + 1).unwrap().to_be_bytes())),
        ("bad-frame-of-2-32".into(), after(&[0xff; 40])),
        ("bad-long-frame-that-never-comes".into(), after(&u32::try_from(FRAME_MAX).unwrap().to_be_bytes())),
        ("bad-cut-in-a-length".into(), after(&[0, 0, 0])),
        ("bad-cut-in-a-frame".into(), two[..two.len() - 1].to_vec()),
        ("bad-nothing".into(), Vec::new()),
        ("ok-two-frames".into(), two),
        ("ok-hello".into(), hello),
    ])
}

/// A corpus is small; the same must hold for anything.
fn holds_for_anything(bytes: &[u8]) {
    TARGETS.iter().for_each(|(_, run)| {
        run(bytes);
    });
}

proptest! {
    #[test]
    fn whatever_a_stranger_sends_is_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        holds_for_anything(&bytes);
        let hello = Script { life: 1, turn: 2, frames: Vec::new(), whole: true }.write().unwrap();
        targets::stream(&[hello, bytes].concat());
    }

    /// Bytes that are like the good ones, but for one or two.
    #[test]
    fn whatever_is_changed_in_good_bytes_is_taken_or_refused(which in any::<prop::sample::Index>(), changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..3)) {
        let all: Vec<Vec<u8>> = [addresses(), joins(), packets(), streams()].into_iter().flat_map(BTreeMap::into_values).collect();
        let mut bytes = which.get(&all).clone();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        holds_for_anything(&bytes);
    }

    #[test]
    fn what_a_node_says_is_read_as_it_was_said(life in any::<u64>(), turn in any::<u64>(), frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5)) {
        let said = Script { life, turn, frames, whole: true };
        prop_assert_eq!(Script::read(&said.write().unwrap()), Some(said));
    }
}
