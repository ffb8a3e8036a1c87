//! What a second implementation would check itself against: `vectors/cluster-secret.json`. `BLESS=1` writes it anew.
//! Hashes and signed bytes are put together here from docs/protocol/cluster-secret.md, not by the code under test.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

use data_encoding::HEXLOWER;
use samizdat_cluster::{
    ClusterId, MemberSecret, Roster,
    anonymous::{Anonymous, AnonymousIn, Pool, Post, SlotSecrets, Slots},
};
use samizdat_core::IdentityKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CLUSTER: ClusterId = ClusterId([7; 32]);
const EPOCH: u64 = 258;

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

fn secret(who: u8) -> MemberSecret {
    MemberSecret::from_seed([who; 32])
}

fn roster() -> Roster {
    Roster::of((1..=3).map(|who| secret(who).member()))
}

fn slots(who: u8) -> (SlotSecrets, Slots) {
    let secrets = SlotSecrets::new([who + 100; 32], CLUSTER, EPOCH);
    let slots = secrets.publish(&secret(who));
    (secrets, slots)
}

fn pool() -> Pool {
    let mut pool = Pool::new(CLUSTER, EPOCH, roster());
    (1..=3).for_each(|who| drop(pool.add(slots(who).1.unverified()).unwrap()));
    pool
}

fn published() -> Vec<Value> {
    let one = |who: u8| {
        let (_, slots) = slots(who);
        let bytes = slots.unverified().encode();
        let (keys, signature) = (&bytes[bytes.len() - 64 - 2 - 128..][..128], bytes.last_chunk().unwrap());
        let signed = [&b"samizdat slots v1\0"[..], &CLUSTER.0, &EPOCH.to_be_bytes(), keys].concat();
        assert_eq!(IdentityKey(slots.member().0).verify(&signed, signature), Ok(()));
        assert_eq!(slots.id().0, hash(&[&signed, &slots.member().0])[..8]);
        json!({ "member": hex(&slots.member().0), "slots": hex(&bytes), "id": hex(&slots.id().0) })
    };
    (1..=3).map(one).collect()
}

fn anonymous() -> Value {
    let pool = pool();
    let one = |(slot, post): (u8, Post)| {
        let message = slots(2).0.write(&pool, slot, post, [5; 32]).unwrap();
        let bytes = message.unverified().encode();
        assert_eq!(AnonymousIn::decode(&bytes).unwrap().verify(&pool).as_ref(), Ok(&message));
        // Array of four; what is signed; image and blinded commitment; and of three, five times 32 bytes.
        let said = &bytes[1..bytes.len() - 2 * 34 - 162];
        assert_eq!(message.id(), hash(&[b"samizdat anonymous v1\0", &CLUSTER.0, said]));
        json!({ "slot": slot, "said": hex(said), "id": hex(&message.id()), "message": hex(&bytes) })
    };
    let to_one = Post { to: Some(secret(3).member()), body: vec![8; 40] };
    let messages: Vec<Value> = [(1, Post { to: None, body: b"hello".into() }), (3, to_one)].into_iter().map(one).collect();
    json!({ "cluster": hex(&CLUSTER.0), "epoch": EPOCH, "published": published(), "messages": messages })
}

#[test]
fn an_image_shows_the_slot_and_nothing_else() {
    let pool = pool();
    let write = |who: u8, slot, body: &[u8], seed| -> Anonymous {
        slots(who).0.write(&pool, slot, Post { to: None, body: body.into() }, [seed; 32]).unwrap()
    };
    let image = |message: Anonymous| {
        let bytes = message.unverified().encode();
        bytes[bytes.len() - 2 * 34 - 162 + 2..][..32].to_vec()
    };
    let first = image(write(2, 1, b"one", 1));
    assert_eq!(first, image(write(2, 1, b"another", 2)));
    assert_ne!(first, image(write(2, 2, b"one", 1)));
    assert_ne!(first, image(write(3, 1, b"one", 1)));
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/cluster-secret.json");
    let made = json!({ "anonymous": anonymous() });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    assert!(kept == made, "vectors/cluster-secret.json is not what this version makes; a change of the protocol? BLESS=1");
}
