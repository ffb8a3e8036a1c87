//! Every file of fuzz/corpus goes through its decoder: none panics, those called `ok-…` are taken and those called `bad-…` refused.
//! `BLESS=1` writes the files that are made here anew; what a fuzzer found lies beside them under any other name.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use samizdat_chat::content::{Bell, Content, Post};
use samizdat_core::{
    EnvelopeId, Hour, IdentitySecret, Name, NodeRecord, PeerId, PeerSecret, Unstamped,
    announce::Announcement,
    limits::{ROOM_NAME_MAX, TEXT_MAX},
    link::InviteLink,
    pad::pad,
    record::{NodeFields, RelayService, Roles},
    seal::{ContactSecret, seal_bell},
    stamp::Mint,
};
use samizdat_sync::{
    Frame, PeerAddr,
    codec::{Claim, End, Range, WantedId},
    contact::{
        self,
        codec::{Place, Presence, Straight},
        handshake::{Greeted, HelloIn},
    },
    limits::{ADDR_MAX, CONTACT_TAGS},
    reach::{Check, CheckIn, Checked, CheckedIn},
    riblt::Sketch,
    routing::{
        Answer, Key, Question,
        codec::{AnswerIn, QuestionIn},
    },
    tree::{Bound, Entry},
};
use targets::TARGETS;

const HOUR: Hour = Hour(490_000);

/// Files of one target by name.
type Seeds = BTreeMap<String, Vec<u8>>;

#[test]
fn the_corpus_is_taken_and_refused_as_its_names_say() {
    let made: BTreeMap<&str, Seeds> = BTreeMap::from([
        ("announcement", announcements()),
        ("answer", answers()),
        ("bell", invitations()),
        ("check", checks()),
        ("checked", verdicts()),
        ("content", contents()),
        ("envelope", envelopes()),
        ("frame", frames()),
        ("gossip", meetings()),
        ("hello", hellos()),
        ("import", files()),
        ("link", links()),
        ("name", names()),
        ("padding", paddings()),
        ("post", posts()),
        ("presence", presences()),
        ("proof", proofs()),
        ("question", questions()),
        ("sealed", bells()),
        ("session", sessions()),
    ]);
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

/// Valid bytes, and what a careless or hostile hand makes of them.
fn with_damage(valid: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Seeds {
    let mut seeds = Seeds::new();
    for (name, bytes) in valid {
        seeds.insert(format!("bad-{name}-half"), bytes[..bytes.len() / 2].to_vec());
        seeds.insert(format!("bad-{name}-and-more"), [&bytes[..], &[0]].concat());
        seeds.insert(format!("ok-{name}"), bytes);
    }
    seeds.insert("bad-nothing".into(), Vec::new());
    seeds
}

/// CBOR that costs a careless decoder memory, stack or patience; after `head` comes a byte string.
fn evil_cbor(seeds: &mut Seeds, head: &[u8]) {
    let mut add = |name: &str, bytes: &[u8]| seeds.insert(format!("bad-{name}"), bytes.to_vec());
    add("endless-array", &[0x9f, 0x01, 0x01]);
    add("array-of-2-64", &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    add("bytes-of-2-32", &[head, &[0x5a, 0xff, 0xff, 0xff, 0xff]].concat());
    add("bytes-of-2-64", &[head, &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat());
    add("endless-bytes", &[head, &[0x5f, 0x41, 0x00, 0xff]].concat());
    add("nested-arrays", &[0x81; 900]);
    add("nested-tags", &[0xc6; 900]);
    add("not-an-array", &[0xa1, 0x01, 0x02]);
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([7; 32])
}

fn alice() -> IdentitySecret {
    IdentitySecret::from_seed([1; 32])
}

fn bytes(made: Unstamped) -> Vec<u8> {
    made.bytes().to_vec()
}

fn replaced(bytes: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = byte;
    bytes
}

fn envelopes() -> Seeds {
    let body = || pad(b"hello", 0).unwrap();
    let post = bytes(Unstamped::sign(&alice(), 1, Some([9; 16]), HOUR, 2, body()).unwrap());
    let sealed = bytes(Unstamped::seal(Some([4; 16]), HOUR, 2, body()).unwrap());
    // array, version, kind, hour (5 bytes), lifetime; then the author (34 bytes) or the bucket
    let (version, kind, hour, lifetime, rest) = (1, 2, 3, 8, 9);
    let mut seeds = with_damage([
        ("announcement", bytes(Unstamped::sign(&alice(), 0, None, HOUR, 6, body()).unwrap())),
        ("post", post.clone()),
        ("bell", bytes(Unstamped::seal(None, Hour(0), 0, body()).unwrap())),
        ("sealed", sealed.clone()),
        ("from-the-end-of-time", bytes(Unstamped::seal(None, Hour(u32::MAX), 6, body()).unwrap())),
        ("last-of-its-author", bytes(Unstamped::sign(&alice(), i64::MAX as u64, None, HOUR, 0, body()).unwrap())),
    ]);
    let long_hour = [&post[..hour], &[0x1b, 0, 0, 0, 0], &post[hour + 1..]].concat();
    let seq = rest + 34;
    let beyond_i64 = [&post[..seq], &[0x1b], &[0xff; 8], &post[seq + 1..]].concat();
    let class = sealed.len() - 10 - 512;
    let between_classes = [&sealed[..class - 2], &[0x01, 0xff], &sealed[class + 1..]].concat();
    for (name, bytes) in [
        ("version", replaced(&post, version, 2)),
        ("kind", replaced(&post, kind, 4)),
        ("kind-of-another-length", replaced(&post, kind, 3)),
        ("post-without-topic", replaced(&post, kind, 0)),
        ("lifetime", replaced(&post, lifetime, 7)),
        ("bucket", replaced(&sealed, rest, 1)),
        ("hour-in-more-bytes", long_hour),
        ("sequence-beyond-i64", beyond_i64),
        ("size-between-classes", between_classes),
        ("unknown-stamp", replaced(&sealed, sealed.len() - 10, 2)),
    ] {
        seeds.insert(format!("bad-{name}"), bytes);
    }
    evil_cbor(&mut seeds, &post[..rest]);
    seeds
}

fn files() -> Seeds {
    let unpaid = Unstamped::sign(&alice(), 1, Some([9; 16]), HOUR, 0, pad(b"hello", 0).unwrap()).unwrap();
    let mut mint = Mint::new(unpaid.id(), unpaid.price(), 0);
    let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
    let paid = unpaid.clone().stamp(nonce).unwrap();
    let file = |envelopes: &[&[u8]]| {
        let each = |envelope: &&[u8]| [&u32::try_from(envelope.len()).unwrap().to_be_bytes(), *envelope].concat();
        [b"samizdat log v1\n".to_vec(), envelopes.iter().flat_map(each).collect()].concat()
    };
    let two = file(&[paid.bytes(), paid.bytes()]);
    Seeds::from([
        ("ok-nothing-in-it".into(), file(&[])),
        ("ok-one".into(), file(&[paid.bytes()])),
        ("bad-unpaid".into(), file(&[unpaid.bytes(), paid.bytes()])),
        ("bad-noise".into(), file(&[&[0xff; 700], b"", paid.bytes()])),
        ("bad-length-of-2-32".into(), [&two[..16], &[0xff; 4], &two[20..]].concat()),
        ("bad-cut-in-an-envelope".into(), two[..two.len() - 1].to_vec()),
        ("bad-cut-in-a-length".into(), two[..18].to_vec()),
        ("bad-another-version".into(), replaced(&two, 14, b'2')),
        ("bad-nothing".into(), Vec::new()),
        ("ok-the-same-twice".into(), two),
    ])
}

fn announcements() -> Seeds {
    let made = |key_package: usize| {
        let contact_key = ContactSecret::from_seed([1; 32]).contact_key();
        Announcement { contact_key, key_package: vec![5; key_package] }.encode().unwrap()
    };
    // Padding hides the end: what is cut off or added is zeros, and refused by the envelope around it.
    let valid = made(2700);
    let mut seeds = Seeds::from([
        ("ok-empty-key-package".into(), made(0)),
        ("bad-cut".into(), valid[..1000].to_vec()),
        ("bad-key-package-too-long".into(), made(8193)),
        ("bad-version".into(), replaced(&valid, 5, 2)),
        ("bad-short-contact-key".into(), replaced(&valid, 8, 0xbf)),
        ("bad-nothing".into(), Vec::new()),
        ("bad-no-content".into(), vec![0; 512]),
        ("ok-usual".into(), valid),
    ]);
    let mut evil = Seeds::new();
    evil_cbor(&mut evil, &[0x83, 1]);
    seeds.extend(evil.into_iter().map(|(name, content)| (name, pad(&content, 0).unwrap())));
    seeds
}

fn bells() -> Seeds {
    let key = |seed| ContactSecret::from_seed([seed; 32]).contact_key();
    let seal = |key: &[u8], content: &[u8]| seal_bell(key, content, &mut rng()).unwrap();
    let mut seeds = with_damage([("empty", seal(&key(1), b"")), ("text", seal(&key(1), b"ding"))]);
    seeds.insert("bad-for-somebody-else".into(), seal(&key(2), b"ding"));
    seeds.insert("bad-all-ones".into(), vec![0xff; 2048]);
    seeds
}

fn invitations() -> Seeds {
    let bell = |secret| Bell { welcome: vec![3; 500], first: vec![4; 300], secret }.encode();
    let invited = bell(Some([5; 10]));
    let mut seeds = with_damage([("uninvited", bell(None)), ("invited", invited.clone())]);
    seeds.insert("bad-suite".into(), replaced(&invited, 3, 1));
    seeds.insert("bad-short-secret".into(), [&invited[..invited.len() - 11], &[0x49], &[5; 9]].concat());
    evil_cbor(&mut seeds, &invited[..4]);
    seeds
}

fn contents() -> Seeds {
    let text = |text: &str| {
        Content::Text { id: [1; 16], at: 1_764_000_000_000, parents: vec![[2; 16]; 4], missing: vec![[3; 16]], text: text.into() }
            .encode()
    };
    let message = text("hello");
    let ack = Content::Ack { heads: vec![[2; 16]], missing: vec![[3; 16]], read: true }.encode();
    let mut seeds = with_damage([("text", message.clone()), ("receipt", ack)]);
    seeds.insert("ok-a-type-of-tomorrow".into(), vec![0x83, 1, 0x18, 99]);
    seeds.insert("bad-text-too-long".into(), text(&"x".repeat(TEXT_MAX + 1)));
    seeds.insert("bad-half-a-letter".into(), replaced(&message, message.len() - 1, 0xe2));
    seeds.insert("bad-version".into(), replaced(&message, 1, 2));
    seeds.insert("bad-parents-of-2-64".into(), [&message[..29], &[0x9b], &[0xff; 8]].concat());
    evil_cbor(&mut seeds, &message[..3]);
    seeds
}

fn posts() -> Seeds {
    let post = |room: &str, text: &str| Post { room: room.into(), at: u64::MAX, text: text.into() }.encode();
    let mut seeds = with_damage([("lobby", post("lobby", "hello")), ("nameless", post("", ""))]);
    seeds.insert("bad-room-too-long".into(), post(&"x".repeat(ROOM_NAME_MAX + 1), ""));
    evil_cbor(&mut seeds, &[0x85, 1, 0]);
    seeds
}

fn names() -> Seeds {
    let name = alice().key().name().compact();
    Seeds::from([
        ("ok-compact".into(), name.clone().into()),
        ("ok-grouped".into(), samizdat_core::identity::grouped(&name).into()),
        ("ok-shouted".into(), name.to_uppercase().into()),
        ("ok-with-blanks".into(), format!("  {}\u{a0}{}\n", &name[..9], &name[9..]).into()),
        ("bad-one-letter".into(), name.replacen(&name[..1], if name.starts_with('q') { "r" } else { "q" }, 1).into()),
        ("bad-swapped".into(), [&name[..10], &name[11..12], &name[10..11], &name[12..]].concat().into()),
        ("bad-short".into(), name[1..].into()),
        ("bad-long".into(), format!("{name}a").into()),
        ("bad-digit".into(), name.replacen(&name[5..6], "1", 1).into()),
        ("bad-wide-letters".into(), "\u{ff41}".repeat(38).into()),
        ("bad-long-lower-case".into(), "\u{130}".repeat(38).into()),
        ("bad-endless".into(), "a".repeat(10_000).into()),
        ("bad-no-text".into(), vec![0xff, 0xfe]),
        ("bad-nothing".into(), Vec::new()),
    ])
}

fn links() -> Seeds {
    let name = Name([3; 20]);
    let plain = InviteLink { name, secret: None, places: vec![] }.to_string();
    let invite = InviteLink { name, secret: Some([8; 10]), places: vec![] }.to_string();
    Seeds::from([
        ("ok-bare-name".into(), name.compact().into()),
        ("ok-shouted".into(), invite.to_uppercase().into()),
        ("ok-with-a-later-part".into(), format!("{invite}/later").into()),
        ("ok-empty-secret".into(), format!("{plain}/").into()),
        ("bad-cut-secret".into(), invite[..invite.len() - 1].into()),
        ("bad-secret".into(), format!("{plain}/0000000000000000").into()),
        ("bad-scheme".into(), invite.replacen("samizdat", "http", 1).into()),
        ("bad-scheme-only".into(), "samizdat:".into()),
        ("bad-split-letter".into(), "samizda\u{20ac}:x".into()),
        ("bad-slashes".into(), "/".repeat(5000).into()),
        ("bad-nothing".into(), Vec::new()),
        ("ok-plain".into(), plain.into()),
        ("ok-invite".into(), invite.into()),
    ])
}

fn paddings() -> Seeds {
    let hello = pad(b"hello", 0).unwrap();
    Seeds::from([
        ("ok-no-content".into(), pad(b"", 0).unwrap()),
        ("ok-full".into(), pad(&[1; 508], 0).unwrap()),
        ("bad-length-beyond-the-end".into(), replaced(&hello, 2, 2)),
        ("bad-length-of-2-32".into(), [&[0xff; 4], &hello[4..]].concat()),
        ("bad-not-zeros".into(), replaced(&hello, 511, 1)),
        ("bad-no-length".into(), vec![0; 3]),
        ("bad-nothing".into(), Vec::new()),
        ("ok-hello".into(), hello),
    ])
}

fn frames() -> Seeds {
    let addr = || PeerAddr(vec![1; 19]);
    let peers = || vec![(PeerId([2; 32]), addr()), (PeerId([3; 32]), addr())];
    let entry = |n: u8| Entry { hour: HOUR, id: EnvelopeId([n; 32]) };
    let ranges = || vec![Range { upper: Bound::End, claim: Claim::Print { count: 3, print: [6; 16] } }];
    let valid = [
        ("join", Frame::Join { addr: addr() }),
        ("walk", Frame::Walk { peer: PeerId([2; 32]), addr: addr() }),
        ("neighbor", Frame::Neighbor { urgent: true, addr: addr() }),
        ("welcome", Frame::Welcome),
        ("disconnect", Frame::Disconnect { others: peers() }),
        ("shuffle", Frame::Shuffle { peers: peers() }),
        ("shuffle-reply", Frame::ShuffleReply { peers: Vec::new() }),
        ("push", Frame::Push { envelope: vec![1; 600] }),
        ("ihave", Frame::IHave { late: false, entries: vec![entry(1), entry(2)] }),
        ("ask", Frame::Ask { entries: vec![entry(1)] }),
        ("decline", Frame::Decline { ids: vec![EnvelopeId([2; 32])] }),
        ("ack", Frame::Ack { ids: vec![EnvelopeId([1; 32])] }),
        ("fill", Frame::Fill { envelopes: vec![vec![1; 600], vec![2; 600]] }),
        ("nudge", Frame::Nudge { root: [9; 16] }),
        ("open", Frame::Open { session: 1, sketch: Sketch::default(), ranges: ranges() }),
        ("ranges", Frame::Ranges { session: 1, estimate: 5, ranges: ranges() }),
        ("symbols", Frame::Symbols { session: 1, start: 0, symbols: Vec::new() }),
        ("more", Frame::More { session: 1, count: 100 }),
        ("want", Frame::Want { session: 1, wanted: vec![WantedId { hour: HOUR, start: [1; 8] }] }),
        ("close", Frame::Close { session: 1, end: End::Partial, sending: 7 }),
    ];
    let mut seeds = with_damage(valid.map(|(name, frame)| (name, frame.encode())));
    evil_cbor(&mut seeds, &[0x82, 16]);
    seeds.insert("bad-fill-of-2-64".into(), vec![0x82, 21, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    seeds
}

/// A record that holds when the targets verify it, or a long expired one.
fn record(n: u8, holds: bool) -> Arc<NodeRecord> {
    let addrs = vec![format!("203.0.113.{n}:4001").parse().unwrap()];
    let issued = if holds { 1_800_000_000 } else { 1_700_000_000 };
    let fields = NodeFields { issued, lifetime_s: 7200, roles: Roles::default(), addrs, relay: None, via: Vec::new() };
    Arc::new(NodeRecord::sign(&PeerSecret([n; 32]), fields).unwrap())
}

fn questions() -> Seeds {
    let find = || Question::Find { target: Key::of(&PeerId([2; 32])) };
    let asked = |own: Option<Arc<NodeRecord>>, question| QuestionIn::of(own.as_deref(), &question).encode();
    let mut seeds = with_damage([
        ("find", asked(Some(record(1, true)), find())),
        ("find-from-behind-a-router", asked(None, find())),
        ("find-with-an-expired-record", asked(Some(record(1, false)), find())),
        ("store", asked(None, Question::Store { record: record(1, true) })),
    ]);
    let plain = asked(None, find());
    seeds.insert("ok-find-with-no-record-at-all".into(), [&plain[..2], &[0x43, 1, 2, 3], &plain[3..]].concat());
    seeds.insert("bad-short-position".into(), [&plain[..3], &[0x58, 31], &[0; 31]].concat());
    seeds.insert("bad-type".into(), replaced(&plain, 1, 3));
    seeds.insert("bad-record-too-long".into(), [&plain[..2], &[0x59, 2, 1], &[0; 513], &plain[3..]].concat());
    evil_cbor(&mut seeds, &[0x83, 1]);
    seeds
}

fn answers() -> Seeds {
    let nodes = |found, closer| AnswerIn::of(&Answer::Nodes { found, closer }).encode();
    let closer = || vec![record(1, true), record(2, false), record(3, true)];
    let one = nodes(None, vec![record(1, true)]);
    let mut seeds = with_damage([
        ("nobody", nodes(None, Vec::new())),
        ("found", nodes(Some(record(1, true)), closer())),
        ("closer", nodes(None, closer())),
        ("stored", AnswerIn::of(&Answer::Stored(true)).encode()),
    ]);
    seeds.insert("ok-bent-signature".into(), replaced(&one, one.len() - 1, one[one.len() - 1] ^ 1));
    seeds.insert("bad-21-nodes".into(), [&[0x83, 1, 0xf6, 0x95][..], &[0x40; 21]].concat());
    seeds.insert("bad-nodes-of-2-64".into(), [&[0x83, 1, 0xf6, 0x9b][..], &[0xff; 8]].concat());
    evil_cbor(&mut seeds, &[0x83, 1]);
    seeds
}

fn checks() -> Seeds {
    let check = |relay| CheckIn::of(Check { port: 4001, relay }).encode();
    let plain = check(None);
    let relay = check(Some(RelayService { port: 443, discovery_port: 7842, certificate: [7; 32] }));
    let mut seeds = with_damage([("endpoint", plain.clone()), ("relay-too", relay.clone())]);
    seeds.insert("bad-type".into(), replaced(&plain, 1, 2));
    seeds.insert("bad-port-in-more-bytes".into(), [&plain[..2], &[0x1a, 0, 0], &plain[3..]].concat());
    seeds.insert("bad-short-certificate".into(), [&relay[..relay.len() - 34], &[0x58, 31], &[7; 31]].concat());
    evil_cbor(&mut seeds, &relay[..relay.len() - 34]);
    seeds
}

fn verdicts() -> Seeds {
    let checked = |ip: &str| CheckedIn::of(Checked { ip: ip.parse().unwrap(), endpoint: true, relay: false }).encode();
    let v4 = checked("203.0.113.7");
    let mut seeds = with_damage([("v4", v4.clone()), ("v6", checked("2001:db8::7"))]);
    seeds.insert("bad-address-of-five-bytes".into(), [&v4[..2], &[0x45, 1, 2, 3, 4, 5], &v4[7..]].concat());
    seeds.insert("bad-neither-yes-nor-no".into(), replaced(&v4, v4.len() - 1, 0xf6));
    evil_cbor(&mut seeds, &v4[..2]);
    seeds
}

/// Alice dials Bob, as the targets see it: what she says, what he answers, what she proves.
fn handshake() -> [Vec<u8>; 3] {
    let (channel, secret) = targets::channel();
    let greeted = Greeted::new(std::slice::from_ref(&secret), channel, 20_833, [3; 32], [[4; 16]; CONTACT_TAGS]);
    let (_, answer) = HelloIn::decode(greeted.hello()).unwrap().answer(&secret, &channel, [6; 32]);
    [greeted.hello().to_vec(), answer.to_vec(), greeted.finish(&answer).unwrap().to_vec()]
}

fn hellos() -> Seeds {
    let [hello, ..] = handshake();
    let mut seeds = with_damage([("usual", hello.clone())]);
    seeds.insert("ok-noise".into(), [&hello[..1], &[0xff].repeat(hello.len() - 1)].concat());
    seeds.insert("bad-version".into(), replaced(&hello, 0, 2));
    seeds
}

fn proofs() -> Seeds {
    let [_, answer, proof] = handshake();
    let mut seeds = with_damage([("answer", answer.clone()), ("proof", proof.clone())]);
    seeds.insert("bad-proof-sent-back".into(), [&answer[..32], &proof[..]].concat());
    seeds.insert("bad-answer-without-its-nonce".into(), answer[32..].to_vec());
    seeds.insert("bad-bent-answer".into(), replaced(&answer, 0, 7));
    seeds.insert("bad-noise".into(), vec![0xff; answer.len()]);
    seeds
}

fn presences() -> Seeds {
    let place = |length: usize| Place { peer: PeerId([1; 32]), addr: PeerAddr(vec![4; length]) };
    let presence = |relayed: usize, direct| Presence { until_s: 1_800_000_000, relayed: place(relayed), direct }.encode();
    let plain = presence(8, Straight::No);
    let mut seeds = with_damage([
        ("relayed", plain.clone()),
        ("allowed", presence(8, Straight::Allowed)),
        ("direct", presence(0, Straight::To(place(16)))),
        ("longest", presence(ADDR_MAX, Straight::To(place(ADDR_MAX)))),
    ]);
    seeds.insert("bad-address-too-long".into(), presence(ADDR_MAX + 1, Straight::No));
    seeds.insert("bad-version".into(), replaced(&plain, 1, 2));
    seeds.insert("bad-direct-to-half-a-place".into(), [&plain[..plain.len() - 1], &[0x81, 0x40]].concat());
    evil_cbor(&mut seeds, &plain[..8]);
    seeds
}

fn sessions() -> Seeds {
    use contact::codec::Frame;
    let envelope = |length: usize| Frame::Envelope(vec![9; length]).encode();
    Seeds::from([
        ("ok-envelope".into(), envelope(700)),
        ("ok-empty-envelope".into(), envelope(0)),
        ("ok-took-and-more".into(), [Frame::Took.encode(), vec![1]].concat()),
        ("ok-a-type-of-tomorrow".into(), vec![200, 1, 2, 3]),
        ("ok-took".into(), Frame::Took.encode()),
        ("bad-nothing".into(), Vec::new()),
    ])
}

/// Steps of the target `gossip`: who, what, and the bytes that follow.
fn script(steps: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let step = |(peer, what, body): &(u8, u8, Vec<u8>)| {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[what << 2 | peer, high, low], &body[..]].concat()
    };
    steps.iter().flat_map(step).collect()
}

fn meetings() -> Seeds {
    let connected = |peer: u8| (peer, 0, vec![1; 19]);
    let disconnected = |peer: u8| (peer, 1, Vec::new());
    let junk = |peer: u8| (peer, 2, Vec::new());
    let later = |seconds: usize| (0, 3, vec![0; (seconds * 1000) >> 6]);
    let says = |peer: u8, frame: Frame| (peer, 4, frame.encode());
    let addr = || PeerAddr(vec![1; 19]);
    let print = |count| vec![Range { upper: Bound::End, claim: Claim::Print { count, print: [6; 16] } }];
    let open = |count| says(1, Frame::Open { session: 1, sketch: Sketch::default(), ranges: print(count) });
    let all = || {
        let entry = |id| Entry { hour: Hour(490_000 + u32::from(id)), id: EnvelopeId([id; 32]) };
        vec![Range { upper: Bound::End, claim: Claim::All((0..20).map(entry).collect()) }]
    };
    let wanted = || (0..50).map(|id| WantedId { hour: Hour(490_000 + u32::from(id)), start: [id; 8] }).collect();
    let push = || says(1, Frame::Push { envelope: vec![5; 200] });
    let ask = || says(1, Frame::Ask { entries: vec![Entry { hour: Hour(490_000), id: EnvelopeId([5; 32]) }] });
    let met = || vec![connected(1), says(1, Frame::Join { addr: addr() }), says(1, Frame::Welcome), later(1)];
    let and = |steps: Vec<(u8, u8, Vec<u8>)>| script(&[met(), steps].concat());
    Seeds::from([
        ("ok-nobody-comes".into(), script(&[later(1), later(100)])),
        (
            "ok-a-second-neighbour".into(),
            and(vec![connected(2), says(2, Frame::Neighbor { urgent: true, addr: addr() }), later(2)]),
        ),
        ("ok-an-envelope-twice".into(), and(vec![push(), push(), ask(), later(2)])),
        ("ok-comes-and-goes".into(), and(vec![disconnected(1), connected(1), connected(1), disconnected(1), disconnected(1)])),
        ("ok-lists-all".into(), and(vec![open(3), says(1, Frame::Ranges { session: 1, estimate: 80, ranges: all() })])),
        ("ok-wants".into(), and(vec![open(9), says(1, Frame::Want { session: 1, wanted: wanted() }), later(1)])),
        (
            "ok-closes".into(),
            and(vec![open(9), says(1, Frame::Close { session: 1, end: End::Complete, sending: u64::MAX }), later(9)]),
        ),
        ("ok-wants-endless-symbols".into(), and(vec![open(u64::MAX), says(1, Frame::More { session: 1, count: u32::MAX })])),
        ("bad-silent".into(), script(&[connected(1), later(60), later(60)])),
        ("bad-junk".into(), and(vec![junk(1); 40])),
        ("bad-noise".into(), and(vec![(1, 4, vec![0xff; 40]); 40])),
    ])
}
