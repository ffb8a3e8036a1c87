//! What a second implementation would check itself against: `vectors/cluster-secret.json`. `BLESS=1` writes it anew.
//! Hashes and signed bytes are put together here from docs/protocol/cluster-secret.md, not by the code under test.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

#[path = "../../../fuzz/src/secret.rs"]
#[allow(dead_code, unreachable_pub)]
mod votes;

use data_encoding::HEXLOWER;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use samizdat_cluster::{
    Charter, ClusterId, MemberId, MemberSecret, Past, Roster,
    anonymous::{Anonymous, AnonymousIn, Pool, Post, SlotSecrets, Slots},
    ballot::Ballot,
    certificate::CertificateIn,
    content::{Body, Message},
    motion::{Kind, MotionFields, MotionIn},
    secret::{Complaint, Key, Panel, SecretBallot, Stage, StepIn, Subject, TranscriptIn, WordIn},
    tally::Tally,
};
use samizdat_core::{IdentityKey, seal::StateSecret};
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
    let outer = outer(&slots(2).0.write(&pool, 0, Post { to: None, body: b"hello".into() }, [5; 32]).unwrap());
    json!({ "cluster": hex(&CLUSTER.0), "epoch": EPOCH, "published": published(), "messages": messages, "outer": outer })
}

/// How it travels: a piece of kind 6 under a tag of no leaf.
fn outer(message: &Anonymous) -> Value {
    let (state, bytes) = (StateSecret::new([8; 32]), message.unverified().encode());
    let length = u16::try_from(bytes.len()).unwrap();
    let piece = [&[0x83, 1, 6, 0x59][..], &length.to_be_bytes(), &bytes].concat();
    let body = state.seal(u32::MAX, 77, &piece, &mut ChaCha20Rng::from_seed([7; 32])).unwrap();
    assert_eq!(state.open(u32::MAX, 77, &body).unwrap(), piece);
    let tag = state.tag(u32::MAX, 77);
    json!({ "exported": hex(&[8; 32]), "leaf": u32::MAX, "counter": 77, "tag": hex(&tag), "piece": hex(&piece), "body": hex(&body) })
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

/// Strings of bytes in an array of CBOR in which no length needs more than two bytes, after the version.
fn strings(mut bytes: &[u8]) -> Vec<&[u8]> {
    bytes = &bytes[2..];
    let mut found = Vec::new();
    while let [kind, rest @ ..] = bytes {
        let (length, rest) = match kind {
            0x40..=0x57 => (usize::from(kind - 0x40), rest),
            0x58 => (usize::from(rest[0]), &rest[1..]),
            _ => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
        };
        found.push(&rest[..length]);
        bytes = &rest[length..];
    }
    found
}

/// What is signed: a domain and the strings in these places. The last string is the signature by `author`.
fn signed(bytes: &[u8], author: &MemberId, domain: &[u8], places: &[usize]) -> Vec<u8> {
    let strings = strings(bytes);
    let said: Vec<u8> = places.iter().flat_map(|place| strings[*place]).copied().collect();
    let said = [domain, &said].concat();
    let signature = strings.last().unwrap().first_chunk().unwrap();
    assert_eq!(IdentityKey(author.0).verify(&said, signature), Ok(()));
    said
}

/// As `votes` had it.
fn vote_of(key: &Key, voter: &MemberId) -> SecretBallot {
    let who = (1..=6).find(|who| secret(*who).member() == *voter).unwrap();
    SecretBallot::cast(key, &secret(who), usize::from(who > 4), &[who; 32]).unwrap()
}

fn secret_vote() -> Value {
    let vote = votes::vote().unwrap();
    let (mut urn, panel) = (vote.urn.clone(), vote.setup.panel());
    let ((us, ours, shares), key) = (&vote.trustees[0], vote.urn.key().clone());
    let (motion, member) = (panel.motion().id().0, us.member());
    let (dealing, sent) = ours.deal(panel, us).unwrap();
    let said = signed(&dealing.unverified().encode(), &member, b"samizdat dealing v1\0", &[0, 2, 3]);
    assert_eq!(dealing.id().0, hash(&[&said, &member.0]));
    let complaint = Complaint::sign(panel, us, [shares[1].dealing()]).unwrap();
    signed(&complaint.unverified().encode(), &member, b"samizdat complaint v1\0", &[0, 2]);
    let pick = vote.setup.proposal(shares).unwrap();
    assert_eq!((key.id().0, pick.id), (pick.id, hash(&[b"samizdat key v1\0", &motion, &pick.names])));
    let (words, decision) = votes::agreed(panel, &vote.trustees, Subject::Key, &pick).unwrap();
    // Array of eight, version, motion, trustee; subject, round and stage; id and names; signature.
    let said = |word: &WordIn| -> Vec<u8> {
        let (bytes, (round, stage)) = (word.encode(), word.claimed_turn());
        let names = if stage == Stage::Propose { &pick.names[..] } else { &[] };
        let said = [&b"samizdat trustee v2\0"[..], &motion, &[0, round, stage as u8], &pick.id, names].concat();
        let by = IdentityKey(word.claimed_trustee().0);
        assert_eq!(by.verify(&said, bytes.last_chunk().unwrap()), Ok(()));
        assert_eq!(bytes[2 + 34 + 34..][..3], [0, round, stage as u8]);
        bytes
    };
    let words: Vec<Vec<u8>> = words.iter().map(said).collect();
    let word = WordIn::decode(&words[0]).unwrap();
    let ballot = vote_of(&key, &secret(1).member());
    let said = signed(&ballot.unverified().encode(), &ballot.voter(), b"samizdat secret ballot v1\0", &[0, 1, 3, 4, 5]);
    assert_eq!(ballot.id().0, hash(&[&said, &ballot.voter().0]));
    for (member, ours, shares) in &vote.trustees {
        let opening = urn.open(member, ours, shares, [9; 32]).unwrap();
        urn.opened(opening.unverified()).unwrap();
    }
    let opening = urn.open(us, ours, shares, [9; 32]).unwrap();
    signed(&opening.unverified().encode(), &member, b"samizdat opening v1\0", &[0, 1, 2, 4]);
    let told = TranscriptIn::of(&vote.setup, &urn).unwrap();
    let verdict = told.verify(&CLUSTER, &vote.past, &[2; 32]).unwrap();
    assert_eq!((&verdict.counts[..], verdict.passed), (&[4, 2][..], true));
    let steps = [
        StepIn::Dealing(dealing.unverified()),
        StepIn::Complaint(complaint.unverified()),
        StepIn::Word(word),
        StepIn::Ballot(ballot.unverified()),
        StepIn::Opening(opening.unverified()),
        StepIn::Decision(decision.clone()),
    ];
    let messages: Vec<Value> = (12..).zip(steps).map(|(number, step)| message(number, step)).collect();
    let ids: Vec<u8> = verdict.voters.iter().flat_map(|voter| vote_of(&key, voter).id().0).collect();
    assert_eq!(opening.count().0, hash(&[b"samizdat count v1\0", &key.id().0, &ids]));
    json!({
        "cluster": hex(&CLUSTER.0), "salt": hex(&[2; 32]), "past": hex(&vote.past.encode()),
        "motion": hex(&panel.motion().unverified().encode()), "needed": panel.needed(),
        "trustees": panel.trustees().iter().map(|one| hex(&one.0)).collect::<Vec<_>>(),
        "dealing": hex(&dealing.unverified().encode()), "dealing_id": hex(&dealing.id().0), "share": hex(&sent[0].1.encode()),
        "complaint": hex(&complaint.unverified().encode()), "words": words.iter().map(|word| hex(word)).collect::<Vec<_>>(), "word": hex(&words[0]), "decision": hex(&decision.encode()), "key": hex(&key.id().0),
        "ballot": hex(&ballot.unverified().encode()), "ballot_id": hex(&ballot.id().0), "opening": hex(&opening.unverified().encode()),
        "transcript": hex(&told.encode()), "counts": verdict.counts, "messages": messages,
    })
}

/// To put the sixth of six out: moved in secret, and confirmed by three of the five who may vote.
fn secret_decision() -> Value {
    let past = Past::founded(Roster::of((1..=6).map(|who| secret(who).member())), Charter::new("reading circle").unwrap());
    let (roster, kind) = (past.roster().hash(), Kind::Expel { member: secret(6).member() });
    let proposer = secret(1).member();
    let fields = MotionFields { cluster: CLUSTER, epoch: 0, roster, until: 7, proposer, nonce: [6; 16], secret: true, kind };
    let motion = MotionIn::new(fields).unwrap().verify(&CLUSTER, &past).unwrap();
    let panel = Panel::of(motion.clone(), &[2; 32]).unwrap();
    assert_eq!((panel.options(), panel.needed(), motion.needed(), motion.closes()), (2, 3, 3, 3));
    let mut tally = Tally::new(motion.clone());
    let confirmed = |who| {
        let ballot = Ballot::confirm(&motion, &secret(who)).unwrap();
        // A yes is `true` of CBOR.
        let said = [&b"samizdat ballot v1\0"[..], &motion.id().0, &[0xf5]].concat();
        assert_eq!(IdentityKey(ballot.voter().0).verify(&said, ballot.signature()), Ok(()));
        tally.add(ballot.clone());
        hex(&ballot.unverified().encode())
    };
    let confirmations: Vec<String> = (1..=3).map(confirmed).collect();
    let certificate = CertificateIn::of(&tally).unwrap();
    assert!(certificate.verify(&CLUSTER, &past).is_ok());
    json!({
        "cluster": hex(&CLUSTER.0), "salt": hex(&[2; 32]), "past": hex(&past.encode()), "motion": hex(&motion.unverified().encode()),
        "closes": motion.closes(), "trustees": panel.trustees().iter().map(|one| hex(&one.0)).collect::<Vec<_>>(),
        "confirmations": confirmations, "certificate": hex(&certificate.encode()),
    })
}

/// As it lies inside the encryption of the group: an array of four, the version, the type, and the turn.
fn message(number: u8, step: StepIn) -> Value {
    assert_eq!(StepIn::decode(step.kind(), &step.encode()).as_ref(), Ok(&step));
    let message = Message { turn: 7, body: Body::Step(step.clone()) }.encode();
    assert_eq!(message, [&[0x84, 2, number, 7][..], &step.encode()].concat());
    json!({ "type": number, "message": hex(&message) })
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/cluster-secret.json");
    let made = json!({ "anonymous": anonymous(), "secret": secret_vote(), "decision": secret_decision() });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    assert!(kept == made, "vectors/cluster-secret.json is not what this version makes; a change of the protocol? BLESS=1");
}
