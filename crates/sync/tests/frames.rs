//! The frames on the wire: one encoding each, strict and bounded decoding, and the committed vectors.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::disallowed_methods, missing_docs)]

use data_encoding::HEXLOWER;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use samizdat_core::limits::{ENVELOPE_MAX, FRAME_MAX};
use samizdat_core::{EnvelopeId, Hour, Now, PeerId};
use samizdat_sync::codec::{Claim, End, Range, WantedId};
use samizdat_sync::draw::Draw;
use samizdat_sync::index::Index;
use samizdat_sync::limits::{ADDR_MAX, SAMPLE_MAX};
use samizdat_sync::networks::Network;
use samizdat_sync::ranges;
use samizdat_sync::riblt::{Sketch, Symbol};
use samizdat_sync::tree::{Bound, Entry};
use samizdat_sync::{Config, Frame, FrameError, Gossip, Input, Output, PeerAddr};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn entry(n: u64) -> Entry {
    Entry::new(Hour(490_000 + n as u32 / 8), EnvelopeId(Sha256::digest(n.to_le_bytes()).into()))
}

fn index() -> Index {
    let mut index = Index::default();
    index.load((0..40).map(entry));
    index
}

/// One frame of every type, with its name.
fn examples() -> Vec<(&'static str, Frame)> {
    let addr = || PeerAddr(b"somewhere".to_vec());
    let peers = || vec![(PeerId([1; 32]), addr()), (PeerId([2; 32]), PeerAddr::default())];
    let index = index();
    let sorted = index.tree().entries(&samizdat_sync::tree::Span::ALL, 3);
    let symbols: Vec<Symbol> = index.prefix().snapshot().iter().take(3).copied().collect();
    let print = Claim::Print { count: 40, print: index.root() };
    let mixed = vec![
        Range { upper: Bound::At(Entry { hour: Hour(490_000), ..Entry::MIN }), claim: Claim::Same },
        Range { upper: Bound::At(entry(9)), claim: Claim::All(sorted.clone()) },
        Range { upper: Bound::End, claim: Claim::Print { count: 24, print: [7; 16] } },
    ];
    let sketch = index.prefix().sketch().clone();
    vec![
        ("join", Frame::Join { addr: addr() }),
        ("walk", Frame::Walk { peer: PeerId([9; 32]), addr: addr() }),
        ("neighbor", Frame::Neighbor { urgent: true, addr: addr() }),
        ("welcome", Frame::Welcome),
        ("disconnect", Frame::Disconnect { others: peers() }),
        ("shuffle", Frame::Shuffle { peers: peers() }),
        ("shuffle reply", Frame::ShuffleReply { peers: Vec::new() }),
        ("push", Frame::Push { envelope: vec![1, 2, 3] }),
        ("i have", Frame::IHave { late: false, entries: vec![entry(1), entry(2)] }),
        ("ask", Frame::Ask { entries: vec![entry(2)] }),
        ("decline", Frame::Decline { ids: vec![entry(3).id] }),
        ("ack", Frame::Ack { ids: vec![entry(1).id] }),
        ("fill", Frame::Fill { envelopes: vec![vec![1, 2], vec![3]] }),
        ("nudge", Frame::Nudge { root: index.root() }),
        ("open", Frame::Open { session: 77, sketch, ranges: vec![Range { upper: Bound::End, claim: print }] }),
        ("ranges", Frame::Ranges { session: 77, estimate: 300, ranges: mixed }),
        ("symbols", Frame::Symbols { session: 77, start: 0, symbols }),
        ("more", Frame::More { session: 77, count: 500 }),
        ("want", Frame::Want { session: 77, wanted: vec![WantedId { hour: Hour(490_001), start: [5; 8] }] }),
        ("close", Frame::Close { session: 77, end: End::Complete, sending: 12 }),
    ]
}

/// The same as a second implementation would check it: frames, and what is computed from a set.
fn vectors() -> Value {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let frames: Vec<Value> =
        examples().iter().map(|(name, frame)| json!({ "name": name, "bytes": hex(&frame.encode()) })).collect();
    let invalid: Vec<Value> = invalid()
        .iter()
        .map(|(why, bytes, error)| json!({ "why": why, "bytes": hex(bytes), "error": error.to_string() }))
        .collect();
    let index = index();
    let set: Vec<Value> = (0..40).map(entry).map(|e| json!({ "hour": e.hour.0, "id": hex(&e.id.0) })).collect();
    let symbols: Vec<String> = index.prefix().snapshot().iter().take(64).map(|s| hex(&s.to_bytes())).collect();
    let last = index.prefix().snapshot().last().map(|s| hex(&s.to_bytes()));
    json!({
        "about": "Frames between two nodes, see docs/protocol/sync.md. The set: the id of n is SHA-256 of n as 8 bytes, little-endian.",
        "frames": frames,
        "invalid": invalid,
        "set": {
            "entries": set,
            "fingerprint": hex(&index.root()),
            "sketch": hex(&index.prefix().sketch().to_bytes()),
            "first_symbols": symbols,
            "symbol_21999": last,
        },
    })
}

/// Bytes that must be refused, and with which error.
fn invalid() -> Vec<(&'static str, Vec<u8>, FrameError)> {
    let range = |upper: &[u8]| [&[0x84, 0x18, 33, 0, 0, 0x81][..], upper].concat();
    vec![
        ("nothing", vec![], FrameError::Malformed),
        ("no array", vec![0x04], FrameError::Malformed),
        ("unknown type", vec![0x81, 0x18, 200], FrameError::UnknownType(200)),
        ("too many fields", vec![0x82, 0x04, 0x00], FrameError::Malformed),
        ("something follows", vec![0x81, 0x04, 0x00], FrameError::NotCanonical),
        ("type in two bytes", vec![0x81, 0x18, 4], FrameError::NotCanonical),
        ("array of indefinite length", vec![0x9f, 0x04, 0xff], FrameError::NotCanonical),
        ("string longer than the frame", vec![0x82, 0x10, 0x5a, 0xff, 0xff, 0xff, 0xff], FrameError::Malformed),
        ("list longer than the frame", vec![0x82, 0x15, 0x9a, 0xff, 0xff, 0xff, 0xff], FrameError::OverBound),
        ("entries cut short", vec![0x83, 0x11, 0xf4, 0x41, 0x00], FrameError::Malformed),
        ("ranges without an end", range(&[0x82, 0x01, 0x40]), FrameError::Malformed),
        ("an empty range", range(&[0x82, 0x00, 0x40]), FrameError::Malformed),
        (
            "a bound with trailing zero",
            [&[0x84, 0x18, 33, 0, 0, 0x82, 0x82, 0x01, 0x41, 0x00][..], &[0x82, 0xf6, 0x40]].concat(),
            FrameError::NotCanonical,
        ),
        ("an end with a prefix", range(&[0x82, 0xf6, 0x41, 0x01]), FrameError::NotCanonical),
        ("no ranges", vec![0x84, 0x18, 33, 0, 0, 0x80], FrameError::Malformed),
        ("unknown way to close", vec![0x84, 0x18, 37, 0, 3, 0], FrameError::Malformed),
    ]
}

#[test]
fn the_committed_vectors_hold() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/sync.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var("BLESS").is_ok() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).expect("vectors/sync.json is committed");
    assert!(now == committed, "frames changed: if that is meant, run the tests once with BLESS=1");
}

#[test]
fn every_frame_survives_the_wire() {
    for (name, frame) in examples() {
        let bytes = frame.encode();
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame), "{name}");
        for cut in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    for (why, bytes, error) in invalid() {
        assert_eq!(Frame::decode(&bytes), Err(error), "{why}");
    }
    assert_eq!(Frame::decode(&vec![0; FRAME_MAX + 1]), Err(FrameError::TooLong));
    let over = |frame: Frame| assert_eq!(Frame::decode(&frame.encode()), Err(FrameError::OverBound));
    over(Frame::Join { addr: PeerAddr(vec![0; ADDR_MAX + 1]) });
    over(Frame::Shuffle { peers: vec![(PeerId([0; 32]), PeerAddr::default()); SAMPLE_MAX + 1] });
    over(Frame::Push { envelope: vec![0; ENVELOPE_MAX + 1] });
    over(Frame::IHave { late: false, entries: vec![Entry::MIN; 4097] });
    over(Frame::Ack { ids: vec![EnvelopeId([0; 32]); 4097] });
}

#[test]
fn the_largest_frames_fit() {
    let many = |count: u64| (0..count).map(entry).collect::<Vec<_>>();
    let claim = |n: u64| if n.is_multiple_of(2) { Claim::Print { count: u64::MAX, print: [1; 16] } } else { Claim::Same };
    let mut ranges: Vec<Range> = Vec::new();
    let mut sorted = many(2047);
    sorted.sort();
    ranges.extend(sorted.iter().enumerate().map(|(n, e)| Range { upper: Bound::At(*e), claim: claim(n as u64) }));
    ranges.push(Range { upper: Bound::End, claim: Claim::All(Vec::new()) });
    let largest = [
        Frame::IHave { late: true, entries: many(4096) },
        Frame::Symbols { session: 1, start: 0, symbols: vec![Symbol::from_bytes(&[1; 44]); 4096] },
        Frame::Ranges { session: 1, estimate: 1, ranges },
    ];
    for frame in largest {
        let bytes = frame.encode();
        assert!(bytes.len() <= FRAME_MAX, "{}", bytes.len());
        assert!(Frame::decode(&bytes).is_ok());
    }
}

#[test]
fn a_set_is_described_in_ranges_that_decode() {
    let index = index();
    let mut draw = Draw::new([1; 32]);
    for ranges in [ranges::opening(index.tree(), &mut draw), ranges::whole(index.tree(), &mut draw)] {
        let frame = Frame::Ranges { session: 1, estimate: 0, ranges };
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    (any::<u32>(), any::<[u8; 32]>()).prop_map(|(hour, id)| Entry::new(Hour(hour), EnvelopeId(id)))
}

fn any_addr() -> impl Strategy<Value = PeerAddr> {
    vec(any::<u8>(), 0..=ADDR_MAX).prop_map(PeerAddr)
}

fn any_peers() -> impl Strategy<Value = Vec<(PeerId, PeerAddr)>> {
    vec((any::<[u8; 32]>().prop_map(PeerId), any_addr()), 0..=SAMPLE_MAX)
}

fn any_ranges() -> impl Strategy<Value = Vec<Range>> {
    let claims = prop_oneof![
        Just(Claim::Same),
        Just(Claim::All(Vec::new())),
        (any::<u64>(), any::<[u8; 16]>()).prop_map(|(count, print)| Claim::Print { count, print }),
    ];
    (btree_set((any_entry(), 0_usize..33), 0..20), vec(claims, 21)).prop_map(|(uppers, claims)| {
        // Bounds as they occur: the start of an id, then zeros.
        let uppers: std::collections::BTreeSet<Entry> = uppers
            .into_iter()
            .map(|(mut e, keep)| {
                e.id.0[keep..].fill(0);
                e
            })
            .filter(|e| *e > Entry::MIN)
            .collect();
        let mut ranges: Vec<Range> = Vec::new();
        let mut claims = claims.into_iter();
        for upper in uppers.into_iter().map(Bound::At).chain([Bound::End]) {
            ranges.push(Range { upper, claim: claims.next().unwrap_or(Claim::Same) });
        }
        ranges
    })
}

fn symbol(id: &[u8; 32], rest: &[u8; 12]) -> Symbol {
    let mut bytes = [0; 44];
    bytes[..32].copy_from_slice(id);
    bytes[32..].copy_from_slice(rest);
    Symbol::from_bytes(&bytes)
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let entries = || vec(any_entry(), 0..50);
    prop_oneof![
        any_addr().prop_map(|addr| Frame::Join { addr }),
        (any::<[u8; 32]>(), any_addr()).prop_map(|(peer, addr)| Frame::Walk { peer: PeerId(peer), addr }),
        (any::<bool>(), any_addr()).prop_map(|(urgent, addr)| Frame::Neighbor { urgent, addr }),
        any_peers().prop_map(|others| Frame::Disconnect { others }),
        any_peers().prop_map(|peers| Frame::Shuffle { peers }),
        any_peers().prop_map(|peers| Frame::ShuffleReply { peers }),
        vec(any::<u8>(), 0..500).prop_map(|envelope| Frame::Push { envelope }),
        (any::<bool>(), entries()).prop_map(|(late, entries)| Frame::IHave { late, entries }),
        entries().prop_map(|entries| Frame::Ask { entries }),
        entries().prop_map(|entries| Frame::Decline { ids: entries.into_iter().map(|e| e.id).collect() }),
        entries().prop_map(|entries| Frame::Ack { ids: entries.into_iter().map(|e| e.id).collect() }),
        vec(vec(any::<u8>(), 0..99), 0..9).prop_map(|envelopes| Frame::Fill { envelopes }),
        (any::<u32>(), any_ranges()).prop_map(|(session, ranges)| Frame::Open { session, sketch: Sketch::default(), ranges }),
        (any::<u32>(), any::<u64>(), any_ranges()).prop_map(|(session, estimate, ranges)| Frame::Ranges {
            session,
            estimate,
            ranges
        }),
        (any::<u32>(), any::<u32>(), vec(any::<([u8; 32], [u8; 12])>(), 0..20)).prop_map(|(session, start, symbols)| {
            let symbols = symbols.iter().map(|(id, rest)| symbol(id, rest)).collect();
            Frame::Symbols { session, start, symbols }
        }),
        (any::<u32>(), any::<u32>()).prop_map(|(session, count)| Frame::More { session, count }),
        (any::<u32>(), any::<u64>()).prop_map(|(session, sending)| Frame::Close { session, end: End::Partial, sending }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_undoes_encoding(frame in any_frame()) {
        prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn any_bytes_are_refused_or_are_the_encoding_of_what_they_mean(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }

    #[test]
    fn a_damaged_frame_is_refused_or_means_something_else(frame in any_frame(), at: prop::sample::Index, flip in 1_u8..) {
        let mut bytes = frame.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Frame::decode(&bytes) {
            prop_assert_ne!(other, frame);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_frames_upsets_a_node(frames in vec((0_u8..4, any_frame()), 0..60), dialed: bool) {
        let mut node = Gossip::new(Config::default(), [1; 32], PeerId([200; 32]), PeerAddr::default());
        node.load((0..500).map(|n| (entry(n).hour, entry(n).id)));
        let mut now = Now { mono_ms: 5, unix_ms: 0 };
        for (from, frame) in frames {
            let peer = PeerId([from; 32]);
            if !node.peers().any(|p| p.peer == peer) {
                node.handle(Input::Connected { peer, addr: PeerAddr(vec![from]), dialed, network: Network::Hidden }, now);
                let greeting = if dialed { Frame::Welcome } else { Frame::Join { addr: PeerAddr(vec![from]) } };
                node.handle(Input::Frame { peer, bytes: greeting.encode() }, now);
            }
            node.handle(Input::Frame { peer, bytes: frame.encode() }, now);
            while let Some(output) = node.poll_output() {
                if let Output::Send { bytes, .. } = output {
                    prop_assert!(Frame::decode(&bytes).is_ok());
                }
            }
            prop_assert!(node.next_timeout().is_none_or(|at| at > now.mono_ms));
            now.mono_ms += 700;
            node.handle(Input::Timeout, now);
        }
    }
}
