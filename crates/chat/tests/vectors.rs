//! What a second implementation would check itself against: `vectors/conversation.json`. `BLESS=1` writes it anew.
//! Hashes are computed here from docs/protocol/conversation.md, not by the code under test. MLS has vectors of its own
//! (RFC 9420, appendix); what it draws at random is not in here.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, missing_docs)]

use samizdat_chat::{
    Chat,
    content::{Bell, Content, Post},
    mls::{SUITE, verify_leaf},
};
use samizdat_core::{EnvelopeId, IdentitySecret, Kind, Now, pad::unpad, seal::OuterSecret, stamp::Mint};
use samizdat_store::Vault;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// HMAC-SHA256 (RFC 2104) with a key of 32 bytes.
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mixed = |with: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ with).collect() };
    sha(&[&mixed(0x5c), &sha(&[&mixed(0x36), message])])
}

fn ids(ids: &[[u8; 16]]) -> Vec<String> {
    ids.iter().map(|id| hex(id)).collect()
}

fn contents() -> Vec<Value> {
    let parents = vec![[1; 16], [2; 16]];
    let contents = [
        (
            "text",
            Content::Text { id: [9; 16], at: 1_800_000_000_000, parents: Vec::new(), missing: Vec::new(), text: "hello".into() },
        ),
        (
            "text with parents, not in English",
            Content::Text {
                id: [10; 16],
                at: 0,
                parents: parents.clone(),
                missing: vec![[4; 16]],
                text: "\u{17e}lu\u{165}ou\u{10d}k\u{fd} k\u{16f}\u{148}".into(),
            },
        ),
        (
            "text with nothing in it",
            Content::Text { id: [0; 16], at: u64::MAX, parents: vec![[3; 16]; 8], missing: vec![[5; 16]; 8], text: String::new() },
        ),
        ("acknowledgement", Content::Ack { heads: parents, missing: vec![[6; 16]], read: false }),
        ("acknowledgement that it was read", Content::Ack { heads: vec![[7; 16]], missing: Vec::new(), read: true }),
        ("presence", Content::Presence { at: 1_800_000_000_000, place: b"a place".to_vec() }),
    ];
    let known = contents.map(|(name, content)| {
        let bytes = content.encode();
        assert_eq!(Content::decode(&bytes).as_ref(), Ok(&content), "{name}");
        let says = match &content {
            Content::Text { id, at, parents, missing, text } => {
                json!({ "id": hex(id), "at": at, "parents": ids(parents), "missing": ids(missing), "text": text })
            }
            Content::Ack { heads, missing, read } => json!({ "heads": ids(heads), "missing": ids(missing), "read": read }),
            Content::Presence { at, place } => json!({ "at": at, "place": hex(place) }),
            Content::Unknown => panic!("not in here"),
        };
        json!({ "name": name, "bytes": hex(&bytes), "says": says })
    });
    let tomorrow = [0x83, 1, 0x18, 99, 0];
    assert_eq!(Content::decode(&tomorrow), Ok(Content::Unknown));
    known.into_iter().chain([json!({ "name": "a type of tomorrow, ignored", "bytes": hex(&tomorrow), "says": null })]).collect()
}

fn refused() -> Vec<Value> {
    let ack = Content::Ack { heads: vec![[1; 16]], missing: Vec::new(), read: true }.encode();
    let cases = [
        ("nothing", Vec::new()),
        ("version 2", [&[ack[0], 2], &ack[2..]].concat()),
        ("a text of four elements", [&[ack[0], 1, 0], &ack[3..]].concat()),
        ("nine heads", Content::Ack { heads: vec![[1; 16]; 9], missing: Vec::new(), read: true }.encode()),
        ("nine missing", Content::Ack { heads: Vec::new(), missing: vec![[1; 16]; 9], read: true }.encode()),
        ("a head of 15 bytes", [&ack[..4], &[0x4f], &ack[6..]].concat()),
        ("a place of 769 bytes", Content::Presence { at: 0, place: vec![0; 769] }.encode()),
        ("cut short", ack[..ack.len() - 1].to_vec()),
        ("something follows", [&ack[..], &[0]].concat()),
    ];
    cases
        .map(|(why, bytes)| {
            assert!(Content::decode(&bytes).is_err(), "{why}");
            json!({ "why": why, "bytes": hex(&bytes) })
        })
        .to_vec()
}

fn bells() -> Vec<Value> {
    let bells = [
        ("by name", Bell { welcome: b"a Welcome".to_vec(), first: b"a PrivateMessage".to_vec(), secret: None }),
        ("by link", Bell { welcome: b"a Welcome".to_vec(), first: b"a PrivateMessage".to_vec(), secret: Some([7; 10]) }),
    ];
    bells
        .map(|(name, bell)| {
            assert_eq!(Bell::decode(&bell.encode()).as_ref(), Ok(&bell));
            json!({
                "name": name,
                "suite": SUITE,
                "welcome": hex(&bell.welcome),
                "first": hex(&bell.first),
                "secret": bell.secret.map(|secret| hex(&secret)),
                "bytes": hex(&bell.encode()),
            })
        })
        .to_vec()
}

fn outer() -> Vec<Value> {
    let content = Content::Ack { heads: vec![[1; 16]], missing: Vec::new(), read: false }.encode();
    [([8; 32], 0, 0), ([8; 32], 1, 0), ([8; 32], 0, 7), ([0xee; 32], 1, u64::from(u32::MAX) + 1)]
        .map(|(exported, rank, counter): ([u8; 32], u8, u64)| {
            let secret = OuterSecret::new(exported);
            let place = [&[rank][..], &counter.to_be_bytes()].concat();
            let tag = &hmac(&exported, &[b"samizdat tag v1\0", &place[..]].concat())[..16];
            assert_eq!(secret.tag(rank, counter), tag);
            let body = secret.seal(rank, counter, &content).unwrap();
            assert_eq!(secret.open(rank, counter, &body).unwrap(), content);
            json!({
                "exported": hex(&exported),
                "rank": rank,
                "counter": counter,
                "tag": hex(tag),
                "key": hex(&hmac(&exported, &[b"samizdat key v1\0", &place[..]].concat())),
                "message": hex(&content),
                "body": hex(&body),
            })
        })
        .to_vec()
}

/// The posts come from a real [`Chat`], whose topics and bodies must be what the document says.
fn rooms() -> Vec<Value> {
    let now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
    [("lobby", "lobby"), ("#Prague", "prague"), ("\u{c9}criture", "\u{e9}criture")]
        .map(|(typed, room)| {
            let mut chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [1; 32]).unwrap();
            chat.post(typed, "hello", 0, now).unwrap();
            let job = chat.job().unwrap().unwrap();
            let envelope = chat.stamp(&job.id, mint(&job.id, job.tries)).unwrap().unwrap();
            let topic = &sha(&[b"samizdat room v1\0", room.as_bytes()])[..16];
            assert!(matches!(envelope.fields().kind, Kind::Post(_, found) if found == topic));
            let content = unpad(envelope.body()).unwrap();
            let post = Post { room: room.into(), at: now.unix_ms, text: "hello".into() };
            assert_eq!(Post::decode(content), Ok(post));
            json!({ "typed": typed, "room": room, "topic": hex(topic), "at": now.unix_ms, "text": "hello", "content": hex(content) })
        })
        .to_vec()
}

/// Finds a stamp.
fn mint(id: &EnvelopeId, tries: u64) -> u64 {
    let mut mint = Mint::new(*id, tries, 0);
    std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap()
}

fn credentials() -> Vec<Value> {
    [1, 2]
        .map(|n: u8| {
            let secret = IdentitySecret::from_seed([n; 32]);
            let leaf = [n + 100; 32];
            let signature = secret.sign(&[&b"samizdat leaf v1\0"[..], &leaf].concat());
            // An array of 3: the version, a byte string of 32, one of 64.
            let credential = [&[0x83, 1, 0x58, 32][..], &secret.key().0, &[0x58, 64], &signature].concat();
            assert_eq!(verify_leaf(&credential, &leaf), Ok(secret.key()));
            json!({
                "identity_seed": hex(secret.seed()),
                "identity_key": hex(&secret.key().0),
                "leaf_key": hex(&leaf),
                "credential": hex(&credential),
            })
        })
        .to_vec()
}

#[test]
fn the_committed_vectors_hold() {
    let vectors = json!({
        "about": "What lies inside envelopes, see docs/protocol/conversation.md. Welcome and PrivateMessage stand for what MLS makes.",
        "contents": contents(),
        "refused_contents": refused(),
        "bells": bells(),
        "outer": outer(),
        "rooms": rooms(),
        "credentials": credentials(),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/conversation.json");
    let now = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(now == committed, "conversations changed: if that is meant, run the tests once with BLESS=1");
}
