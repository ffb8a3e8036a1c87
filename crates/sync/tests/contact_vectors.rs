//! What a second implementation would check itself against: `vectors/contact.json`. `BLESS=1` writes it anew. Hashes are
//! computed here from docs/protocol/contact.md, not by the code under test.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use data_encoding::HEXLOWER;
use samizdat_core::{PeerId, session::SessionSecret};
use samizdat_sync::PeerAddr;
use samizdat_sync::contact::codec::{Frame, Place, Presence, Straight};
use samizdat_sync::contact::handshake::{Channel, Greeted, HelloIn};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const DAY: u32 = 20_833;

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// HMAC-SHA256 (RFC 2104) with a key of 32 bytes.
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mixed = |with: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ with).collect() };
    sha(&[&mixed(0x5c), &sha(&[&mixed(0x36), message])])
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Alice dials Bob, who is an epoch behind.
fn handshake() -> Value {
    let (new, old) = ([8; 32], [7; 32]);
    let channel = Channel { binding: [5; 32], dialler: PeerId([1; 32]), answerer: PeerId([2; 32]) };
    let greeted = Greeted::new(&[new, old].map(SessionSecret::new), channel, DAY, [3; 32], [[4; 16]; 4]);
    let tag = |secret| hmac(secret, &[&b"samizdat contact tag v1\0"[..], &DAY.to_be_bytes(), &[2; 32]].concat())[..16].to_vec();
    let hello = [vec![1], vec![3; 32], tag(&new), tag(&old), vec![4; 32]].concat();
    assert_eq!(greeted.hello()[..], hello);

    let read = HelloIn::decode(&hello).unwrap();
    assert_eq!(read.tags()[1][..], tag(&old));
    let (answered, answer) = read.answer(&SessionSecret::new(old), &channel, [6; 32]);
    let transcript = sha(&[b"samizdat contact transcript v1\0", &[5; 32], &[1; 32], &[2; 32], &[6; 32], &hello]);
    let proof = |label: &[u8]| hmac(&old, &[label, &transcript].concat()).to_vec();
    assert_eq!(answer[..], [vec![6; 32], proof(b"samizdat contact answerer v1\0")].concat());
    let last = greeted.finish(&answer).unwrap();
    assert_eq!(last[..], proof(b"samizdat contact dialler v1\0"));
    assert!(answered.finish(&last));
    json!({
        "secrets": [hex(&new), hex(&old)],
        "day": DAY,
        "binding": hex(&channel.binding),
        "dialler": hex(&channel.dialler.0),
        "answerer": hex(&channel.answerer.0),
        "hello": hex(&hello),
        "transcript": hex(&transcript),
        "answer": hex(&answer),
        "proof": hex(&last),
    })
}

fn presences() -> Vec<Value> {
    let place = |n: u8| Place { peer: PeerId([n; 32]), addr: PeerAddr(vec![4, 6, 203, 0, 113, n, 0x0f, 0xa1]) };
    let nowhere = Place { addr: PeerAddr::default(), ..place(1) };
    [
        ("through relays only", Presence { until_s: 1_800_000_000, relayed: place(1), direct: Straight::No }),
        ("straight, if you allow it too", Presence { until_s: 1_800_000_000, relayed: place(1), direct: Straight::Allowed }),
        ("and straight", Presence { until_s: 1_800_000_000, relayed: place(1), direct: Straight::To(place(2)) }),
        ("nowhere: no sessions", Presence::nowhere()),
        ("straight only", Presence { until_s: 0, relayed: nowhere, direct: Straight::To(place(2)) }),
    ]
    .map(|(what, presence)| {
        let bytes = presence.encode();
        assert_eq!(Presence::decode(&bytes).as_ref(), Ok(&presence));
        let place = |place: &Place| json!([hex(&place.peer.0), hex(&place.addr.0)]);
        json!({
            "what": what,
            "until": presence.until_s,
            "relayed": place(&presence.relayed),
            "direct": match &presence.direct {
                Straight::No => Value::Null,
                Straight::Allowed => json!([]),
                Straight::To(at) => place(at),
            },
            "bytes": hex(&bytes),
        })
    })
    .to_vec()
}

fn frames() -> Vec<Value> {
    [("envelope", Frame::Envelope(vec![1, 2, 3])), ("took", Frame::Took)]
        .map(|(what, frame)| {
            assert_eq!(Frame::decode(&frame.encode()), Some(frame.clone()));
            json!({ "what": what, "bytes": hex(&frame.encode()) })
        })
        .to_vec()
}

#[test]
fn the_vectors_are_what_the_code_makes_and_takes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/contact.json");
    let made = json!({ "handshake": handshake(), "presences": presences(), "frames": frames() });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(kept, made);
}
