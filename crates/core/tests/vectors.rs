//! What a second implementation would check itself against: `vectors/envelope.json` and `vectors/names.json`.
//! `BLESS=1` writes them anew. Hashes are computed here from docs/protocol/envelope.md, not by the code under test.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, missing_docs)]

use data_encoding::HEXLOWER;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use samizdat_core::{
    EnvelopeIn, Hour, IdentitySecret, Kind, Name, Reject, Unstamped,
    announce::Announcement,
    envelope::Envelope,
    identity::{NameError, grouped},
    link::{InviteLink, LinkError},
    pad::pad,
    seal::{ContactSecret, seal_bell},
    stamp::{self, Mint},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NOW: Hour = Hour(490_000);
const TOPIC: [u8; 16] = [0x77; 16];

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

fn person(n: u8) -> IdentitySecret {
    IdentitySecret::from_seed([n; 32])
}

fn nonce(unstamped: &Unstamped) -> u64 {
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap()
}

fn signed(author: u8, seq: u64, topic: Option<[u8; 16]>, lifetime: u8, body: Vec<u8>) -> Unstamped {
    Unstamped::sign(&person(author), seq, topic, NOW, lifetime, body).unwrap()
}

fn post(seq: u64, text: &[u8]) -> Unstamped {
    signed(1, seq, Some(TOPIC), 0, pad(text, 0).unwrap())
}

fn minted(unstamped: &Unstamped) -> Envelope {
    unstamped.clone().stamp(nonce(unstamped)).unwrap()
}

fn announcement(n: u8) -> Vec<u8> {
    let contact_key = ContactSecret::from_seed([n; 32]).contact_key();
    Announcement { contact_key, key_package: b"an MLS KeyPackage would be here".to_vec() }.encode().unwrap()
}

fn bell(to: u8, content: &[u8]) -> Vec<u8> {
    let key = ContactSecret::from_seed([to; 32]).contact_key();
    seal_bell(&key, content, &mut ChaCha20Rng::from_seed([3; 32])).unwrap()
}

/// Several of each kind, by name.
fn accepted() -> Vec<(&'static str, Unstamped)> {
    let sealed = |tag, lifetime, length| Unstamped::seal(Some(tag), NOW, lifetime, vec![0xa5; length]).unwrap();
    vec![
        ("first announcement", signed(1, 0, None, 0, announcement(1))),
        ("later announcement of another", signed(2, 23, None, 0, announcement(2))),
        ("post", post(1, b"hello")),
        ("post with a sequence number of two bytes", post(300, "h\u{e9}llo \u{1f44b}".as_bytes())),
        ("post with the largest sequence number", post(i64::MAX.unsigned_abs(), b"the last")),
        ("post of 1024 bytes for a day", signed(2, 24, Some([0; 16]), 1, pad(&[b'x'; 600], 0).unwrap())),
        ("bell", Unstamped::seal(None, NOW, 0, bell(1, b"ding")).unwrap()),
        ("bell to another", Unstamped::seal(None, Hour(NOW.0 + 2), 0, bell(2, b"dong")).unwrap()),
        ("sealed", sealed([0x42; 16], 0, 512)),
        ("sealed of 2048 bytes for a day", sealed([0; 16], 1, 2048)),
        ("sealed of 8192 bytes", sealed([0xff; 16], 0, 8192)),
    ]
}

fn envelope_vector(name: &str, unstamped: &Unstamped) -> Value {
    let envelope = minted(unstamped);
    let (fields, bytes) = (envelope.fields(), envelope.bytes());
    let signature = fields.kind.signed().map(|signed| signed.signature);
    // From the end: the stamp (10), the signature if there is one (66), the body and its head of three bytes.
    let tail = 10 + signature.map_or(0, |_| 66);
    let head = &bytes[..bytes.len() - tail - envelope.body().len() - 3];
    let body_hash = sha(&[envelope.body()]);
    let sign_hash = sha(&[b"samizdat sign v1\0", head, &body_hash]);
    let id = sha(&[b"samizdat id v1\0", head, &body_hash, signature.as_ref().map_or(&[], |s| &s[..])]);
    assert_eq!(id, envelope.id().0, "{name}");
    let nonce = &bytes[bytes.len() - 8..];
    let draw = &sha(&[b"szstamp", &id, nonce])[..8];
    assert!(u64::from_be_bytes(draw.try_into().unwrap()) <= u64::MAX / unstamped.price(), "{name}");
    let mut vector = json!({
        "name": name,
        "kind": fields.kind.number(),
        "hour": fields.hour.0,
        "lifetime": fields.lifetime,
        "head": hex(head),
        "body_sha256": hex(&body_hash),
        "id": hex(&id),
        "price": unstamped.price(),
        "nonce": hex(nonce),
        "stamp": hex(draw),
        "bytes": hex(bytes),
    });
    let more = match &fields.kind {
        Kind::Announcement(signed) => json!({ "author": hex(&signed.author.0), "seq": signed.seq }),
        Kind::Post(signed, topic) => json!({ "author": hex(&signed.author.0), "seq": signed.seq, "topic": hex(topic) }),
        Kind::Bell { bucket } => json!({ "bucket": bucket }),
        Kind::Sealed { bucket, tag } => json!({ "bucket": bucket, "tag": hex(tag) }),
    };
    vector.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if let Some(signature) = signature {
        vector["sign_sha256"] = hex(&sign_hash).into();
        vector["signature"] = hex(&signature).into();
    }
    vector
}

/// Two posts of one author at one position: the one with the lower id stays everywhere.
fn conflict_vector() -> Value {
    let pair = [minted(&post(7, b"yes")), minted(&post(7, b"no"))];
    let loser = pair.iter().max_by_key(|envelope| envelope.id()).unwrap();
    let kept = pair.iter().min_by_key(|envelope| envelope.id()).unwrap();
    let proof = loser.proof().unwrap();
    assert!(proof.holds(&person(1).key()));
    json!({
        "envelopes": pair.each_ref().map(|envelope| hex(envelope.bytes())),
        "kept": hex(&kept.id().0),
        "proof_of_the_other": {
            "id": hex(&loser.id().0),
            "head": hex(&proof.head),
            "body_sha256": hex(&proof.body_hash),
            "signature": hex(&proof.signature),
        },
    })
}

/// Bytes, the hour at which they come, and why they are not taken.
fn refused() -> Vec<(&'static str, Vec<u8>, Hour, &'static str)> {
    let good = minted(&post(1, b"hello")).bytes().to_vec();
    let sealed = minted(&Unstamped::seal(Some([0x42; 16]), NOW, 0, vec![0xa5; 512]).unwrap()).bytes().to_vec();
    let patched = |from: &[u8], at: usize, bytes: &[u8]| {
        let mut patched = from.to_vec();
        patched[at..at + bytes.len()].copy_from_slice(bytes);
        patched
    };
    let spliced = |from: &[u8], at: usize, gone: usize, bytes: &[u8]| [&from[..at], bytes, &from[at + gone..]].concat();
    let end = good.len();
    // Version 1, kind 2, hour 3 to 7, lifetime 8, author 9 to 42, sequence 43, topic 44 to 60, body from 61 on.
    let (forged_at, body_at) = (end - 74, 61);
    let forged = Unstamped::from_bytes(&patched(post(1, b"hello").bytes(), forged_at + 40, &[0])).unwrap();
    let forged_nonce = nonce(&forged).to_be_bytes();
    vec![
        ("nothing", Vec::new(), NOW, "malformed"),
        ("version 2", patched(&good, 1, &[2]), NOW, "unknown version"),
        ("kind 4", patched(&good, 2, &[4]), NOW, "malformed"),
        ("a post with the fields of a bell", patched(&good, 2, &[2]), NOW, "malformed"),
        ("hour in eight bytes", spliced(&good, 3, 1, &[0x1b, 0, 0, 0, 0]), NOW, "not canonical"),
        ("lifetime class 7", patched(&good, 8, &[7]), NOW, "a field is out of range"),
        ("sequence number 2^63", spliced(&good, 43, 1, &[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0]), NOW, "a field is out of range"),
        ("an announcement with a topic", patched(&good, 2, &[0]), NOW, "malformed"),
        ("a topic of 15 bytes", spliced(&good, 44, 2, &[0x4f]), NOW, "malformed"),
        ("a body of 511 bytes", spliced(&good, body_at, 4, &[0x59, 0x01, 0xff]), NOW, "the body is in no size class"),
        ("bucket 1", patched(&sealed, 9, &[1]), NOW, "a field is out of range"),
        ("a bell with a tag", patched(&sealed, 2, &[2]), NOW, "malformed"),
        ("stamp algorithm 2", patched(&good, end - 10, &[2]), NOW, "a field is out of range"),
        ("an array of indefinite length", [&[0x9f][..], &good[1..], &[0xff]].concat(), NOW, "malformed"),
        ("cut short", good[..end - 1].to_vec(), NOW, "malformed"),
        ("something follows", [&good[..], &[0]].concat(), NOW, "malformed"),
        ("three hours too early", good.clone(), Hour(NOW.0 - 3), "from the future"),
        ("nine hours later", good.clone(), Hour(NOW.0 + 9), "expired"),
        ("a stamp worth nothing", patched(&good, end - 8, &[0xff; 8]), NOW, "the stamp is too cheap"),
        ("a forged signature, stamped", patched(forged.bytes(), end - 8, &forged_nonce), NOW, "the signature does not verify"),
    ]
}

fn receive(bytes: &[u8], hour: Hour) -> Result<Envelope, Reject> {
    EnvelopeIn::decode(bytes)?.screen(hour)?.verify()
}

#[test]
fn the_committed_envelopes_hold() {
    let envelopes: Vec<Value> = accepted().iter().map(|(name, unstamped)| envelope_vector(name, unstamped)).collect();
    for vector in &envelopes {
        let bytes = HEXLOWER.decode(vector["bytes"].as_str().unwrap().as_bytes()).unwrap();
        assert!(receive(&bytes, NOW).is_ok(), "{vector}");
    }
    let mut refusals = Vec::new();
    for (why, bytes, hour, reason) in refused() {
        assert_eq!(receive(&bytes, hour).unwrap_err().to_string(), reason, "{why}");
        refusals.push(json!({ "why": why, "now_hour": hour.0, "reason": reason, "bytes": hex(&bytes) }));
    }
    let prices = [(600, 6), (600, 336), (8_300, 336), (65_792, 1344)]
        .map(|(length, hours)| json!({ "length": length, "hours": hours, "tries": stamp::price(length, hours) }));
    let people = [1, 2].map(|n| {
        let contact = ContactSecret::from_seed([n; 32]);
        json!({
            "identity_seed": hex(person(n).seed()),
            "identity_key": hex(&person(n).key().0),
            "contact_seed": hex(contact.seed()),
            "contact_key_sha256": hex(&sha(&[&contact.contact_key()])),
        })
    });
    let bells = [(1, "ding"), (2, "dong")].map(|(to, content)| {
        let body = bell(to, content.as_bytes());
        assert_eq!(ContactSecret::from_seed([to; 32]).open(&body).unwrap(), content.as_bytes());
        json!({ "contact_seed": hex(&[to; 32]), "content": hex(content.as_bytes()), "body": hex(&body) })
    });
    hold(
        "envelope",
        &json!({
            "about": "Envelopes, see docs/protocol/envelope.md. All arrive at now_hour unless they say otherwise.",
            "now_hour": NOW.0,
            "people": people,
            "accepted": envelopes,
            "conflict": conflict_vector(),
            "refused": refusals,
            "prices": prices,
            "bell_bodies": bells,
        }),
    );
}

#[test]
fn the_committed_names_hold() {
    let people: Vec<(IdentitySecret, Name)> = (1..=4).map(|n| (person(n), person(n).key().name())).collect();
    let names: Vec<Value> = people
        .iter()
        .map(|(secret, name)| {
            assert_eq!(name.0, sha(&[b"samizdat name v1\0", &secret.key().0])[..20]);
            let written = name.compact();
            json!({ "identity_key": hex(&secret.key().0), "hash": hex(&name.0), "name": written, "shown": grouped(&written) })
        })
        .collect();
    let name = people[0].1;
    let written = name.compact();
    let typed = [grouped(&written), grouped(&written).to_uppercase(), format!("  {} ", grouped(&written).replace('-', " "))];
    typed.iter().for_each(|typed| assert_eq!(typed.parse(), Ok(name)));
    let link = |secret, places: &[&str]| {
        let places = places.iter().map(|place| place.parse().unwrap()).collect();
        InviteLink { name, secret: Some(secret), places }
    };
    let both = link([7; 10], &["203.0.113.1:4001", "[2001:db8::1]:443"]);
    let links: Vec<Value> = [
        (format!("samizdat:{written}"), None, vec![]),
        (format!("samizdat:{written}/"), None, vec![]),
        (format!("SAMIZDAT:{}", grouped(&written)), None, vec![]),
        (link([7; 10], &[]).to_string(), Some([7; 10]), vec![]),
        (both.to_string(), Some([7; 10]), both.places),
        (link([7; 10], &["192.168.1.1:443"]).to_string(), Some([7; 10]), vec![]),
        (format!("{}/a-part-of-tomorrow", link([0; 10], &[])), Some([0; 10]), vec![]),
        (written.clone(), None, vec![]),
    ]
    .into_iter()
    .map(|(link, secret, places)| {
        let shown: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert_eq!(link.parse(), Ok(InviteLink { name, secret, places }));
        json!({ "link": link, "name": written, "secret": secret.map(|secret| hex(&secret)), "places": shown })
    })
    .collect();
    hold(
        "names",
        &json!({
            "about": "Names and invite links, see docs/protocol/envelope.md. Groups of four characters are counted from 1.",
            "names": names,
            "typed": { "name": written, "as": typed },
            "links": links,
            "mistakes": mistakes(&written),
        }),
    );
}

/// What people type wrongly, and where they are told that it is.
fn mistakes(written: &str) -> Vec<Value> {
    let letters: Vec<char> = written.chars().collect();
    let changed = |at: usize, to: char| letters.iter().enumerate().map(|(i, c)| if i == at { to } else { *c }).collect::<String>();
    let other = |at: usize| changed(at, if letters[at] == 'q' { 'z' } else { 'q' });
    let mut swapped = letters.clone();
    let twins = (8..37).find(|i| letters[*i] != letters[i + 1]).unwrap();
    swapped.swap(twins, twins + 1);
    let both = other(2).chars().enumerate().map(|(i, c)| if (20..23).contains(&i) { 'b' } else { c }).collect::<String>();
    let damaged = format!("samizdat:{written}/abcdefg");
    [
        ("one wrong letter", other(5)),
        ("one wrong letter in the checksum", other(37)),
        ("two neighbours swapped", swapped.into_iter().collect()),
        ("several mistakes", both),
        ("a letter that no name has", changed(9, '1')),
        ("one letter too few", letters[..37].iter().collect()),
        ("one letter too many", format!("{written}a")),
        ("nothing", String::new()),
        ("a link with a damaged secret", damaged),
    ]
    .into_iter()
    .map(|(why, typed)| match typed.parse::<InviteLink>().unwrap_err() {
        LinkError::Name(NameError::Group { group, text }) => {
            json!({ "why": why, "typed": typed, "mistake": "group", "group": group, "there": text })
        }
        LinkError::Name(NameError::Character(c, group)) => {
            json!({ "why": why, "typed": typed, "mistake": "character", "group": group, "there": c.to_string() })
        }
        LinkError::Name(NameError::Length(length)) => {
            json!({ "why": why, "typed": typed, "mistake": "length", "length": length })
        }
        LinkError::Name(NameError::Checksum) => json!({ "why": why, "typed": typed, "mistake": "checksum" }),
        LinkError::Secret => json!({ "why": why, "typed": typed, "mistake": "secret" }),
    })
    .collect()
}

fn hold(name: &str, vectors: &Value) {
    let path = format!("{}/../../vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let now = serde_json::to_string_pretty(vectors).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(now == committed, "{name} changed: if that is meant, run the tests once with BLESS=1");
}
