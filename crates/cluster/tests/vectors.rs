//! What a second implementation would check itself against: `vectors/cluster.json`. `BLESS=1` writes it anew.
//! Hashes and signed bytes are put together here from docs/protocol/cluster.md, not by the code under test.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use samizdat_cluster::{
    Charter, ClusterId, Context, Done, Grounds, MemberId, MemberSecret, Past, Roster, StateId,
    anonymous::SlotSecrets,
    aside::Aside,
    audit::Decision,
    ballot::{Ballot, Choice},
    bundle::Bundle,
    certificate::CertificateIn,
    claim::ClaimIn,
    comeback::{Comeback, ComebackIn},
    content::{Body, Memory, Message, Text, mark},
    door::{self, DoorSecret, Invite},
    ids::rank,
    lawful::{Change, Parent, judge},
    leave::Leave,
    link::{ClusterLink, LINK_LEN, MergeLink, OpenDoor},
    merge::{ConsentIn, Guest, GuestIn, Merge},
    minutes::{End, Minutes, MinutesHash},
    motion::{Admission, Kind, Method, Motion, MotionFields, MotionIn},
    parts,
    phrase::Phrase,
    request::{Answer, Purpose, Request},
    tally::Tally,
    unlisted::{self, Unlisted},
};
use samizdat_core::{
    Hour, IdentityKey, IdentitySecret,
    seal::{self, StateSecret, door::DoorKey},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CLUSTER: ClusterId = ClusterId([7; 32]);

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

fn secret(who: u8) -> MemberSecret {
    MemberSecret::from_seed([who; 32])
}

fn past() -> Past {
    Past::founded(Roster::of((1..=3).map(|who| secret(who).member())), Charter::new("reading circle").unwrap())
}

fn kinds() -> Vec<(&'static str, Kind)> {
    let mut silent: Vec<MemberId> = [2, 3].map(|who| secret(who).member()).into();
    silent.sort();
    let admission = Admission { member: secret(4).member(), key_package: [4; 32], nick: "dora".into() };
    let options: Vec<String> = ["tea", "coffee"].map(str::to_owned).into();
    let charter = Charter { cap: 100, ..Charter::new("reading circle").unwrap() };
    vec![
        ("admit", Kind::Admit(admission)),
        ("expel", Kind::Expel { member: secret(3).member() }),
        ("silent", Kind::Silent { members: silent }),
        ("charter", Kind::Charter(charter)),
        ("plurality", Kind::Question { text: "What shall we drink?".into(), options: options.clone(), method: Method::Plurality }),
        ("preference", Kind::Question { text: "What shall we drink?".into(), options, method: Method::Preference }),
        ("merge", merge(ClusterId([8; 32]), "reading circle")),
        ("take in", Kind::TakeIn { consent: Box::new(consent()), guests: vec![guest()] }),
    ]
}

fn merge(into: ClusterId, from: &str) -> Kind {
    Kind::Merge(Merge { into, link: ClusterLink([9; LINK_LEN]), name: "the other".into(), from: from.into() })
}

/// A cluster of 6, 7 and 8 agreed to go into the one of 1, 2 and 3.
fn consent() -> ConsentIn {
    let (other, name) = (ClusterId([8; 32]), "chess club");
    let past = Past::founded(Roster::of((6..=8).map(|who| secret(who).member())), Charter::new(name).unwrap());
    let (proposer, roster) = (secret(6).member(), past.roster().hash());
    let fields = MotionFields {
        cluster: other,
        epoch: 0,
        roster,
        until: 8,
        proposer,
        nonce: [7; 16],
        secret: false,
        kind: merge(CLUSTER, name),
    };
    let motion = MotionIn::new(fields).unwrap().verify(&other, &past).unwrap();
    let mut tally = Tally::new(motion.clone());
    for who in 6..=8 {
        tally.add(Ballot::cast(&motion, &secret(who), Choice::Decision(true)).unwrap());
    }
    ConsentIn::of(&tally).unwrap()
}

/// 6 will be 9.
fn guest() -> GuestIn {
    let admission = Admission { member: secret(9).member(), key_package: hash(&[&[2; 8]]), nick: "frank".into() };
    let (motion, guest) = (consent().motion(), Guest::sign(&consent(), &secret(6), admission.clone()));
    let said = [&b"samizdat guest v1\0"[..], &motion.0, &admission.member.0, &admission.key_package, b"frank"].concat();
    let bytes = guest.unverified().encode();
    let signature = bytes.last_chunk().unwrap();
    assert_eq!(IdentityKey(secret(6).member().0).verify(&said, signature), Ok(()));
    guest.unverified()
}

fn motion(kind: Kind) -> Motion {
    moved(kind, false)
}

fn moved(kind: Kind, secret_vote: bool) -> Motion {
    let (cluster, proposer, roster) = (CLUSTER, secret(1).member(), past().roster().hash());
    MotionIn::new(MotionFields { cluster, epoch: 0, roster, until: 8, proposer, nonce: [5; 16], secret: secret_vote, kind })
        .unwrap()
        .verify(&CLUSTER, &past())
        .unwrap()
}

fn certificate(kind: Kind) -> CertificateIn {
    let motion = motion(kind);
    let mut tally = Tally::new(motion.clone());
    for who in (1..=3).filter(|who| motion.electorate().contains(&secret(*who).member())) {
        tally.add(Ballot::cast(&motion, &secret(who), Choice::Decision(true)).unwrap());
    }
    CertificateIn::of(&tally).unwrap()
}

fn names() -> Value {
    let roster: Vec<u8> = past().roster().iter().flat_map(|member| member.0).collect();
    assert_eq!(past().roster().hash(), hash(&[b"samizdat roster v1\0", &roster]));
    assert_eq!(past().charter().hash(), hash(&[b"samizdat charter v1\0", &past().charter().encode()]));
    let state = StateId::of(&[1; 32]);
    assert_eq!(state.0, hash(&[b"samizdat state v1\0", &[1; 32]])[..16]);
    let rank = rank(&[2; 32], 258, &secret(1).member());
    assert_eq!(rank, hash(&[b"samizdat rank v1\0", &[2; 32], &258u64.to_be_bytes(), &secret(1).member().0]));
    json!({
        "member_seed": hex(&[1; 32]), "member": hex(&secret(1).member().0), "member_text": secret(1).member().to_string(),
        "charter": hex(&past().charter().encode()), "charter_hash": hex(&past().charter().hash()),
        "roster": past().roster().iter().map(|member| hex(&member.0)).collect::<Vec<_>>(), "roster_hash": hex(&past().roster().hash()),
        "past": hex(&past().encode()),
        "confirmation_tag": hex(&[1; 32]), "state": hex(&state.0),
        "salt": hex(&[2; 32]), "epoch": 258, "rank": hex(&rank),
    })
}

fn motions() -> Vec<Value> {
    let one = |(what, kind): (&str, Kind)| {
        let motion = moved(kind, what == "secret");
        let bytes = motion.unverified().encode();
        assert_eq!(motion.id().0, hash(&[b"samizdat motion v1\0", &bytes]));
        let voters: Vec<String> = motion.electorate().iter().map(|member| hex(&member.0)).collect();
        json!({ "what": what, "motion": hex(&bytes), "id": hex(&motion.id().0), "voters": voters, "needed": motion.needed() })
    };
    let in_secret = ("secret", kinds().remove(4).1);
    kinds().into_iter().chain([in_secret]).map(one).collect()
}

fn ballots() -> Vec<Value> {
    let (admit, question) = (motion(kinds().remove(0).1), motion(kinds().remove(5).1));
    let one = |(motion, choice, encoded): (&Motion, Choice, &[u8])| {
        let ballot = Ballot::cast(motion, &secret(1), choice).unwrap();
        let signed = [b"samizdat ballot v1\0", &motion.id().0[..], encoded].concat();
        assert_eq!(IdentityKey(ballot.voter().0).verify(&signed, ballot.signature()), Ok(()));
        json!({ "signed": hex(&signed), "ballot": hex(&ballot.unverified().encode()) })
    };
    let yes = (&admit, Choice::Decision(true), &[0xf5][..]);
    let no = (&admit, Choice::Decision(false), &[0xf4][..]);
    [yes, no, (&question, Choice::Options(vec![1, 0]), &[0x82, 1, 0])].into_iter().map(one).collect()
}

fn comeback() -> ComebackIn {
    Comeback::sign(CLUSTER, &secret(1), 1_800_000_000_002, hash(&[&[2; 8]])).unverified()
}

/// What a branch has carried out that admitted one and let another come back.
fn done() -> Done {
    let grounds =
        Grounds { certificates: vec![certificate(kinds().remove(0).1)], comebacks: vec![comeback()], ..Grounds::default() };
    let added = [(4, [4; 32], "dora"), (1, hash(&[&[2; 8]]), "alice")];
    let added = added.map(|(who, key_package, nick)| Admission { member: secret(who).member(), key_package, nick: nick.into() });
    let removed = vec![secret(1).member()];
    let change = Change { committer: secret(2).member(), added: added.into(), removed, charter: None };
    judge(&Parent { cluster: CLUSTER, past: &past(), done: &Done::default() }, &change, &grounds).unwrap().done
}

fn statements() -> Value {
    let certificate = certificate(kinds().remove(1).1);
    let leave = Leave::sign(CLUSTER, &secret(2)).unverified();
    let comeback = comeback();
    let grounds =
        Grounds { certificates: vec![certificate.clone()], leaves: vec![leave.clone()], comebacks: vec![comeback.clone()] };
    let bundle = Bundle { commit: vec![9; 8], grounds };
    // An array of three in place of one of five that begins with the version and a string of eight.
    let written = [&[0x83], &bundle.encode()[11..]].concat();
    let grounds_hash = hash(&[b"samizdat grounds v1\0", &written]);
    assert_eq!(bundle.grounds.hash(), grounds_hash);
    let asks = comeback.verify(&CLUSTER).unwrap();
    let unlisted = Unlisted::sign(CLUSTER, &secret(2), &asks);
    let counter = unlisted::counter(&unlisted.author());
    assert!(
        certificate.verify(&CLUSTER, &past()).is_ok()
            && leave.verify(&CLUSTER).is_ok()
            && unlisted.unverified().verify(&CLUSTER).is_ok()
    );
    json!({ "cluster": hex(&CLUSTER.0), "certificate": hex(&certificate.encode()), "leave": hex(&leave.encode()), "comeback": hex(&comeback.encode()), "unlisted": hex(&unlisted.unverified().encode()), "unlisted_counter": counter, "bundle": hex(&bundle.encode()), "grounds_hash": hex(&grounds_hash), "minutes": minutes() })
}

/// Of a cluster that three founded together, which no program does, so that there is a decision.
fn minutes() -> Value {
    let salt = [2; 32];
    let founded = MinutesHash::founded(&CLUSTER, &salt, &past());
    assert_eq!(founded.0, hash(&[b"samizdat founding v1\0", &CLUSTER.0, &salt, &past().encode()]));
    let before = Context { salt, charter: past().charter().clone(), minutes: founded };
    let grounds = Grounds { certificates: vec![certificate(kinds().remove(1).1)], ..Grounds::default() };
    let context = before.after(0, &grounds, None).unwrap();
    assert_eq!(context.minutes.0, hash(&[b"samizdat minutes v1\0", &founded.0, &0_u64.to_be_bytes(), &grounds.hash()]));
    let mut minutes = Minutes::from(&before, past(), Done::default());
    minutes.add(Decision { epoch: 0, grounds });
    let mut replay = minutes.begin(CLUSTER);
    minutes.decisions().iter().try_for_each(|decision| replay.decide(decision)).unwrap();
    let end = End { cluster: CLUSTER, epoch: 1, roster: replay.past().roster(), context: &context };
    assert!(minutes.are_whole(&CLUSTER) && minutes.clone().unverified().verify(&end).is_ok());
    let state = StateSecret::new([8; 32]);
    // What is sealed is different every time; this opens.
    let sealed = state.enclose(b"minutes", &mut ChaCha20Rng::from_seed([7; 32])).unwrap();
    assert_eq!(state.disclose(&sealed).unwrap(), b"minutes");
    json!({
        "salt": hex(&salt), "founded": hex(&founded.0), "context": hex(&context.encode()), "epoch": 1, "bytes": hex(&minutes.encode()),
        "without_the_oldest": hex(&Minutes::from(&context, replay.past().clone(), done()).encode()),
        "secret": hex(state.bytes()), "sealed": hex(&sealed), "opened": hex(b"minutes"),
    })
}

fn invite() -> Invite {
    Invite { open: OpenDoor::new(&[9; 20], DoorKey([8; 32])), label: "the book fair".into(), expires: 500_000 }
}

fn messages() -> Vec<Value> {
    let (member, identity) = (secret(1).member(), IdentitySecret::from_seed([40; 32]));
    let written = Text {
        nonce: [1; 16],
        at: 1_800_000_000_000,
        parents: vec![[2; 16]],
        missing: vec![[3; 16]],
        mentions: vec![member],
        text: "hello".into(),
    };
    let motion = motion(kinds().remove(0).1);
    let ballot = Ballot::cast(&motion, &secret(2), Choice::Decision(true)).unwrap();
    let told = Memory { author: member, nonce: [1; 16], at: 0, text: "hello".into() };
    assert_eq!(written.id(&member), hash(&[b"samizdat text v1\0", &member.0, &[1; 16], b"hello"])[..16]);
    assert_eq!(told.id(), written.id(&member));
    assert_eq!(mark(&[1; 16], &member), hash(&[b"samizdat mark v1\0", &[1; 16], &member.0])[..16]);
    let bodies = [
        ("here", Body::Here),
        ("text", Body::Text(written)),
        (
            "acknowledgement",
            Body::Ack {
                heads: vec![[1; 16]],
                missing: vec![[3; 16]],
                read: true,
                marks: [mark(&[1; 16], &member), [9; 16], [9; 16], [9; 16]],
            },
        ),
        ("motion", Body::Motion(motion.unverified())),
        ("ballot", Body::Ballot(ballot.unverified())),
        ("leave", Body::Leave(Leave::sign(CLUSTER, &secret(2)).unverified())),
        ("invite", Body::Invite(invite())),
        ("doors", Body::Doors(vec![(member, invite())])),
        ("claim", Body::Claim(ClaimIn::sign(&identity, &CLUSTER, &member, None))),
        ("history", Body::History(vec![Memory { author: member, nonce: [1; 16], at: 1_700_000_000_000, text: "long ago".into() }])),
        ("aside", Body::Aside(vec![7; 8])),
        ("slots", Body::Slots(SlotSecrets::new([6; 32], CLUSTER, 258).publish(&secret(1)).unverified())),
    ];
    let one = |(what, body)| json!({ "what": what, "message": hex(&Message { turn: 1_800_000_000_001, body }.encode()) });
    bodies.into_iter().map(one).collect()
}

/// What is encrypted for one member.
fn aside() -> Value {
    let aside = Aside { nonce: [1; 16], at: 1_800_000_000_000, text: "between us".into(), claim: None };
    let (author, to, identity) = (secret(1).member(), secret(2).member(), IdentitySecret::from_seed([40; 32]));
    let claim = ClaimIn::sign(&identity, &CLUSTER, &author, Some(&to));
    let id = aside.id(&author);
    assert_eq!(id, hash(&[b"samizdat aside v1\0", &secret(1).member().0, &[1; 16], b"between us"])[..16]);
    json!({ "author": hex(&secret(1).member().0), "id": hex(&id), "nonce": hex(&aside.nonce), "at": aside.at, "text": aside.text, "bytes": hex(&aside.encode()), "with_claim": hex(&Aside { claim: Some(claim), ..aside }.encode()), "to": hex(&to.0) })
}

fn doors() -> Value {
    let key = DoorKey([8; 32]);
    let OpenDoor { link, .. } = OpenDoor::new(&[9; 20], key.clone());
    assert_eq!(link.0, *[&[9; 20], key.public().as_slice()].concat());
    assert_eq!(link.door().0, hash(&[b"samizdat door v2\0", &link.0]));
    // What is sealed is different every time; this opens.
    let sealed = seal::door::seal(&link.key(), &link.door().0, b"let me in", &mut ChaCha20Rng::from_seed([7; 32])).unwrap();
    assert_eq!(key.open(&link.door().0, &sealed).unwrap(), b"let me in");
    let join = Purpose::Join { nick: "dora".into(), words: "We met at the fair.".into() };
    let request = |purpose| Request { reply: DoorSecret([1; 32]), key_package: vec![2; 8], purpose };
    let come = Purpose::Merge { consent: Box::new(consent()), guest: guest() };
    let answer = Answer { cluster: CLUSTER, welcome: vec![3; 8], door: DoorSecret([4; 32]), minutes: vec![5; 8] };
    let days = door::days(Hour(500_000));
    json!({
        "link": link.to_string(), "merge_link": MergeLink { link: link.clone(), cluster: CLUSTER }.to_string(), "door": hex(&link.door().0),
        "key": hex(&key.0), "sealed": hex(&sealed), "opened": hex(b"let me in"),
        "merge": hex(&request(come).encode()),
        "join": hex(&request(join).encode()), "return": hex(&request(Purpose::Return(comeback())).encode()), "answer": hex(&answer.encode()),
        "hour": 500_000, "first_day": days.start(), "last_day": days.end(), "first_counter": door::counter(*days.start(), 0),
    })
}

fn phrases() -> Vec<Value> {
    let words: Vec<&str> = include_str!("../src/phrase/words.txt").lines().collect();
    let one = |(seed, count): ([u8; 32], usize)| {
        let phrase = Phrase::draw(count, &seed).unwrap();
        let drawn: Vec<u16> = seed.chunks(2).take(count).map(|pair| u16::from_be_bytes([pair[0], pair[1]]) >> 6).collect();
        let spelled: Vec<u8> = drawn.iter().flat_map(|number| number.to_be_bytes()).collect();
        let check = hash(&[b"samizdat phrase v1\0", &spelled]);
        let number = |place: usize| usize::from(drawn[place] * 2 + u16::from(check[place / 8] >> (7 - place % 8) & 1));
        let text: Vec<&str> = (0..count).map(|place| words[number(place)]).collect();
        assert_eq!(*phrase.text(), text.join(" "));
        let open = phrase.door().unwrap();
        let params = Params::new(65_536, 3, 1, Some(52)).unwrap();
        let mut stretched = [0; 52];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(text.join(" ").as_bytes(), b"samizdat cluster phrase v2", &mut stretched).unwrap();
        assert_eq!((&open.link.0[..20], &open.key.0[..]), stretched.split_at(20));
        let (link, door) = (open.link.to_string(), open.link.door());
        json!({ "seed": hex(&seed), "passphrase": *phrase.text(), "link": link, "key": hex(&open.key.0), "door": hex(&door.0) })
    };
    let counting: [u8; 32] = core::array::from_fn(|i| u8::try_from(i * 7).unwrap());
    [([0; 32], 8), ([255; 32], 8), (counting, 12)].into_iter().map(one).collect()
}

fn cut() -> Value {
    let payload: Vec<u8> = (0..=255).collect();
    let parts = parts::cut(&payload).unwrap();
    let long = parts::cut(&[1; 64_000]).unwrap();
    let object = |part: &[u8]| parts::Part::decode(part).unwrap().object();
    assert_eq!(object(&parts[0]), hash(&[b"samizdat parts v1\0", &payload])[..16]);
    json!({ "payload": hex(&payload), "part": hex(&parts[0]), "last_of_64000_bytes_1": hex(&long[1]) })
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/cluster.json");
    let made = json!({
        "names": names(), "motions": motions(), "ballots": ballots(), "statements": statements(), "messages": messages(),
        "aside": aside(), "doors": doors(), "passphrases": phrases(), "parts": cut(),
    });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    assert!(kept == made, "vectors/cluster.json is not what this version makes; a change of the protocol? BLESS=1");
}
