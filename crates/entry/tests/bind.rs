//! Publishing to a real name server and finding there what was published.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

mod named;

use std::{net::UdpSocket, time::SystemTime};

use data_encoding::BASE64URL_NOPAD;
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use named::{Named, ZONE, keygen};
use samizdat_core::{
    NodeRecord, Now, PeerId, PeerSecret,
    record::{NodeFields, Via},
};
use samizdat_entry::{
    Found, Hint, Input, Keeper, NameServers, Output, PublishError, Publisher, Rfc2136, Said, Swap, Swapped, TsigKey, Txt,
    limits::{CHECK_INTERVAL_MS, ENTRIES_MAX},
    lookup,
    lookup::LookupError,
};

const DOMAIN: &str = "entry.samizdat.test";
const RACES: u64 = 200;

fn now() -> Now {
    let unix_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    Now { mono_ms: 0, unix_ms: unix_ms.try_into().unwrap() }
}

/// A record of somebody, `age_s` old.
fn record(secret: u8, age_s: u64) -> NodeRecord {
    let fields = NodeFields {
        issued: now().unix_ms / 1000 - age_s,
        lifetime_s: 7200,
        roles: Default::default(),
        addrs: vec![format!("203.0.113.{secret}:4001").parse().unwrap()],
        relay: None,
        via: (1..=3).map(|i| Via { at: format!("198.51.100.{i}:443").parse().unwrap(), certificate: [i; 32] }).collect(),
    };
    NodeRecord::sign(&PeerSecret([secret; 32]), fields).unwrap()
}

fn adding(record: &NodeRecord, seen: Vec<Txt>) -> Swap {
    Swap { seen, remove: Vec::new(), add: Some(record.clone()) }
}

async fn find(named: &Named, domain: &str) -> Result<Found, LookupError> {
    lookup(domain, &NameServers::Given(vec![named.addr]), now()).await
}

/// As it stands in a zone file.
fn in_zone_file(name: &str, bytes: &[u8]) -> String {
    let txt = format!("v=samizdat1 {}", BASE64URL_NOPAD.encode(bytes));
    let strings: Vec<String> = txt.as_bytes().chunks(200).map(|part| format!("\"{}\"", str::from_utf8(part).unwrap())).collect();
    format!("{name} TXT {}\n", strings.join(" "))
}

#[tokio::test]
async fn alice_publishes_changes_and_withdraws_and_bob_finds_her() {
    let named = Named::start("");
    let publisher = named.publisher(DOMAIN);
    assert_eq!(publisher.look().await, Ok(vec![]));
    assert_eq!(find(&named, DOMAIN).await, Ok(Found::default()));
    let [old, new] = [60, 0].map(|age| record(1, age));
    assert_eq!(publisher.swap(&adding(&old, vec![]), now()).await, Ok(Swapped::Done));
    assert_eq!(find(&named, DOMAIN).await.unwrap().records, std::slice::from_ref(&old));
    // Who has not seen it cannot write beside it.
    assert_eq!(publisher.swap(&adding(&record(2, 0), vec![]), now()).await, Ok(Swapped::Raced));
    let seen = publisher.look().await.unwrap();
    assert_eq!(seen, [Txt::of(&old)]);
    let change = Swap { remove: seen.clone(), ..adding(&new, seen) };
    assert_eq!(publisher.swap(&change, now()).await, Ok(Swapped::Done));
    assert_eq!(publisher.swap(&change, now()).await, Ok(Swapped::Raced));
    assert_eq!(find(&named, &format!("{}.", DOMAIN.to_uppercase())).await.unwrap().records, [new]);
    let seen = publisher.look().await.unwrap();
    assert_eq!(named.publisher(&DOMAIN.to_uppercase()).look().await, Ok(seen.clone()));
    let withdraw = Swap { remove: seen.clone(), seen, add: None };
    assert_eq!(publisher.swap(&withdraw, now()).await, Ok(Swapped::Done));
    assert_eq!(publisher.look().await, Ok(vec![]));
}

#[tokio::test]
async fn each_refusal_of_a_name_server_is_a_sentence() {
    let named = Named::start("");
    let swap = adding(&record(1, 0), vec![]);
    for name in ["node-key", "another-key"] {
        let stranger = named.publisher_with(DOMAIN, TsigKey::read(&keygen(name)).unwrap());
        let error = stranger.swap(&swap, now()).await.unwrap_err();
        assert_eq!(error.to_string(), "the name server does not accept this key");
    }
    let late = Now { unix_ms: now().unix_ms + 3_600_000, ..now() };
    assert_eq!(named.publisher(DOMAIN).swap(&swap, late).await, Err(PublishError::Clock));
    let outside = named.publisher(&format!("other.{ZONE}"));
    assert_eq!(outside.swap(&swap, now()).await, Err(PublishError::Refused));
    let elsewhere = named.publisher("example.org");
    assert_eq!(elsewhere.look().await, Err(PublishError::NotOurs));
    assert_eq!(elsewhere.swap(&swap, now()).await, Err(PublishError::NotOurs));
    assert_eq!(named.publisher(DOMAIN).look().await, Ok(vec![]), "nothing of this was written");
    let publisher = named.publisher(DOMAIN);
    let addr = named.addr;
    drop(named);
    assert_eq!(publisher.look().await, Err(PublishError::Unanswered));
    assert_eq!(lookup(DOMAIN, &NameServers::Given(vec![addr]), now()).await, Err(LookupError::Unanswered));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_bob_and_carol_who_take_the_place_of_a_dead_node_exactly_one_wins() {
    let named = Named::start("");
    let [bob, carol] = [named.publisher(DOMAIN), named.publisher(DOMAIN)];
    assert_eq!(bob.swap(&adding(&record(9, 0), vec![]), now()).await, Ok(Swapped::Done));
    let mut wins = [0; 2];
    for race in 0..RACES {
        let mine = [1, 2].map(|who| record(who, RACES - race));
        let (bob_saw, carol_saw) = tokio::join!(bob.look(), carol.look());
        let [bobs, carols] = [(bob_saw, &mine[0]), (carol_saw, &mine[1])].map(|(seen, record)| {
            let seen = seen.unwrap();
            Swap { remove: seen.clone(), ..adding(record, seen) }
        });
        let outcome = tokio::join!(bob.swap(&bobs, now()), carol.swap(&carols, now()));
        let winner = match outcome {
            (Ok(Swapped::Done), Ok(Swapped::Raced)) => 0,
            (Ok(Swapped::Raced), Ok(Swapped::Done)) => 1,
            other => panic!("race {race}: {other:?}"),
        };
        wins[winner] += 1;
        assert_eq!(bob.look().await, Ok(vec![Txt::of(&mine[winner])]), "race {race}");
    }
    assert_eq!(wins.iter().sum::<u64>(), RACES);
}

#[tokio::test]
async fn a_full_domain_is_longer_than_a_datagram_and_comes_over_tcp() {
    let named = Named::start("");
    let publisher = named.publisher(DOMAIN);
    let full = u8::try_from(ENTRIES_MAX).unwrap();
    for who in 1..=full {
        let seen = publisher.look().await.unwrap();
        assert_eq!(publisher.swap(&adding(&record(who, 0), seen), now()).await, Ok(Swapped::Done));
    }
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(format!("_samizdat.{DOMAIN}.")).unwrap(), RecordType::TXT));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&question.to_vec().unwrap(), named.addr).unwrap();
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).unwrap();
    assert!(Message::from_vec(&answer[..length]).unwrap().truncation, "it fits into a datagram");
    let found = find(&named, DOMAIN).await.unwrap();
    assert_eq!((found.records.len(), found.dropped), (ENTRIES_MAX, 0));
}

#[tokio::test]
async fn what_strangers_wrote_into_a_zone_is_dropped_and_a_bare_domain_gives_hints() {
    let alice = record(1, 0);
    let mut forged = record(2, 0).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let day = 86_400;
    let zone: String = [alice.bytes(), &forged, record(3, day).bytes(), b"junk"]
        .map(|bytes| in_zone_file("_samizdat.mixed", bytes))
        .into_iter()
        .chain(["_samizdat.mixed TXT \"v=spf1 -all\"\nmixed A 203.0.113.1\n".to_owned()])
        .chain(["bare A 203.0.113.9\nbare A 192.168.1.1\nbare AAAA 2001:db8::9\nbare AAAA ::1\n".to_owned()])
        .chain(["only AAAA 2001:db8::9\nalias CNAME bare\n".to_owned()])
        .collect();
    let named = Named::start(&zone);
    let mixed = find(&named, &format!("mixed.{ZONE}")).await.unwrap();
    assert_eq!(mixed, Found { records: vec![alice], hints: vec![], dropped: 3 });
    let hints = |ips: &[&str]| ips.iter().map(|ip| Hint::Address(ip.parse().unwrap())).collect::<Vec<_>>();
    for domain in ["bare", "alias"] {
        let bare = find(&named, &format!("{domain}.{ZONE}")).await.unwrap();
        assert_eq!((bare.records.len(), bare.hints), (0, hints(&["203.0.113.9", "2001:db8::9"])), "{domain}");
    }
    assert_eq!(find(&named, &format!("only.{ZONE}")).await.unwrap().hints, hints(&["2001:db8::9"]));
    assert_eq!(find(&named, &format!("nobody.{ZONE}")).await, Ok(Found::default()));
    assert_eq!(find(&named, "example.org").await, Err(LookupError::Failed));
    assert!(matches!(find(&named, "no domain").await, Err(LookupError::Domain(_))));
    assert_eq!(lookup("example.org", &NameServers::Given(vec![]), now()).await, Err(LookupError::NoServer));
}

#[tokio::test]
async fn nothing_is_remembered_from_one_lookup_to_the_next_and_a_silent_server_is_not_waited_for() {
    let named = Named::start("");
    let publisher = named.publisher(DOMAIN);
    // It takes questions and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = NameServers::Given(vec![silent.local_addr().unwrap(), named.addr]);
    assert_eq!(lookup(DOMAIN, &servers, now()).await, Ok(Found::default()));
    assert_eq!(publisher.swap(&adding(&record(1, 0), vec![]), now()).await, Ok(Swapped::Done));
    assert_eq!(lookup(DOMAIN, &servers, now()).await.unwrap().records.len(), 1);
}

/// Does what a keeper wants, at once, until it waits; says what it said. Node 9 does not answer.
async fn drive(keeper: &mut Keeper, publisher: &Rfc2136, now: Now) -> Vec<Said> {
    drive_beside(keeper, publisher, now, |who| Some(who != peer(9))).await
}

/// The same where each node answers, or not, or cannot be asked, as `answers` says.
async fn drive_beside(keeper: &mut Keeper, publisher: &Rfc2136, now: Now, answers: impl Fn(PeerId) -> Option<bool>) -> Vec<Said> {
    let mut said = Vec::new();
    keeper.tick(now);
    while let Some(output) = keeper.output() {
        let input = match output {
            Output::Look => Input::Looked(publisher.look().await),
            Output::Swap(swap) => Input::Swapped(publisher.swap(&swap, now).await),
            Output::Probe(record) => Input::Probed { peer: record.peer(), answered: answers(record.peer()) },
            Output::Say(what) => {
                said.push(what);
                continue;
            }
            Output::Stopped => break,
        };
        keeper.input(input, now);
    }
    said
}

fn peer(secret: u8) -> PeerId {
    PeerSecret([secret; 32]).peer()
}

#[tokio::test]
async fn the_machine_of_bob_takes_the_place_of_a_dead_node_and_carol_gets_it_when_he_leaves() {
    let named = Named::start("");
    let publisher = named.publisher(DOMAIN);
    assert_eq!(publisher.swap(&adding(&record(9, 0), vec![]), now()).await, Ok(Swapped::Done));
    let mut keepers = [1, 2].map(|who| {
        let mut keeper = Keeper::new(1, [who; 32], now());
        keeper.input(Input::Own(record(who, 0)), now());
        keeper
    });
    let (mut told, mut winner) = (Vec::new(), 0);
    while told.is_empty() {
        let who = usize::from(keepers[1].next_timeout() < keepers[0].next_timeout());
        let at = Now { mono_ms: keepers[who].next_timeout().unwrap(), ..now() };
        assert!(at.mono_ms < 60 * 60_000, "nobody takes the place");
        told = drive(&mut keepers[who], &publisher, at).await;
        winner = who;
    }
    assert_eq!(told, [Said::TookOver(peer(9))]);
    let peers = async || find(&named, DOMAIN).await.unwrap().records.iter().map(NodeRecord::peer).collect::<Vec<_>>();
    let of = [peer(1), peer(2)];
    assert_eq!(peers().await, [of[winner]]);
    let at = Now { mono_ms: 60 * 60_000, ..now() };
    keepers[winner].input(Input::Stop, at);
    assert_eq!(drive(&mut keepers[winner], &publisher, at).await, [Said::Withdrawn]);
    assert_eq!(drive(&mut keepers[1 - winner], &publisher, at).await, [Said::Published]);
    assert_eq!(peers().await, [of[1 - winner]]);
}

/// Bob, who waits for the one place of the domain, in which Alice stands. She is killed at this time, or never: then he only hears
/// nobody. When he has taken her place, within two hours.
async fn takes_over(named: &Named, seed: u8, killed_ms: Option<u64>) -> Option<u64> {
    let (alice, bob) = (record(9, 0), record(1, 0));
    let publisher = named.publisher(DOMAIN);
    let seen = publisher.look().await.unwrap();
    assert_eq!(publisher.swap(&Swap { remove: seen.clone(), ..adding(&alice, seen) }, now()).await, Ok(Swapped::Done));
    let mut keeper = Keeper::new(1, [seed; 32], now());
    keeper.input(Input::Own(bob), now());
    while let Some(at_ms) = keeper.next_timeout().filter(|at_ms| *at_ms < 2 * 3_600_000) {
        let at = Now { mono_ms: at_ms, ..now() };
        let answers = |_| killed_ms.map(|killed_ms| at_ms < killed_ms);
        let said = drive_beside(&mut keeper, &publisher, at, answers).await;
        if said.contains(&Said::TookOver(peer(9))) {
            assert_eq!(find(named, DOMAIN).await.unwrap().records.iter().map(NodeRecord::peer).collect::<Vec<_>>(), [peer(1)]);
            return Some(at_ms);
        }
        assert_eq!(find(named, DOMAIN).await.unwrap().records, std::slice::from_ref(&alice));
    }
    None
}

#[tokio::test]
async fn the_place_of_a_node_that_is_killed_is_another_s_within_one_check_interval_whenever_that_happens() {
    let named = Named::start("");
    for seed in 0..20 {
        let killed_ms = 600_000 + u64::from(seed) * 37_000;
        let taken_ms = takes_over(&named, seed, Some(killed_ms)).await.unwrap();
        assert!(taken_ms > killed_ms && taken_ms - killed_ms <= CHECK_INTERVAL_MS, "seed {seed}: {} ms", taken_ms - killed_ms);
    }
}

#[tokio::test]
async fn who_cannot_ask_by_the_way_others_are_served_takes_nobody_s_place() {
    let named = Named::start("");
    assert_eq!(takes_over(&named, 1, None).await, None);
}
