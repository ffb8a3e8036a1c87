//! Sessions of contacts between whole nodes in the laboratory (Linux, root), when what carries them goes away.
//! `cargo bench -p samizdat --bench contacts -- rehome 20`: the relay of a session dies while one talks to the other.
//! `cargo bench -p samizdat --bench contacts -- flap 100`: the network of one of two goes down and up, and both go on talking.
#![allow(missing_docs, clippy::disallowed_methods, unreachable_pub)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/lab_node/mod.rs"]
mod lab_node;

use std::{
    collections::BTreeMap,
    env,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use lab_node::{Node, PATIENCE, befriend, public};
use samizdat_netlab::{Kind, Lab, Plan, permitted};
use serde_json::Value;

/// Between two words.
const PACE: Duration = Duration::from_millis(150);
/// Words before something goes away, at least.
const WORDS_BEFORE: usize = 5;
/// Words that came over a session since, until a trial is over.
const WORDS_AFTER: usize = 10;
const GOAL_MS: f64 = 5000.0;
/// Outages of a network, one after the other.
const OUTAGES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];
/// What a network is up for in between.
const UP: Duration = Duration::from_secs(1);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let count = |n: usize| arguments.get(1).map_or(n, |count| count.parse().unwrap());
    if !permitted("sessions of contacts are measured") {
        return;
    }
    match arguments.first().map(String::as_str) {
        None => {
            rehome(3);
            flap(6);
        }
        Some("rehome") => rehome(count(20)),
        Some("flap") => flap(count(100)),
        Some(other) => panic!("{other} is not measured here: rehome or flap"),
    }
}

/// A word that came, and how.
struct Came {
    at: Instant,
    word: usize,
    by_session: bool,
}

struct Death {
    /// Longest time between two words that came over the session before, ms.
    before: f64,
    /// The same since then, ms.
    gap: f64,
    /// Words.
    said: usize,
    /// Those that never came, or twice.
    lost: usize,
}

fn rehome(trials: usize) {
    let mut gaps = Vec::new();
    let mut lost = 0;
    for trial in 1..=trials {
        let Death { before, gap, said: of, lost: missing } = death();
        println!("trial {trial}: {gap:.0} ms without a session (longest before: {before:.0} ms), {missing} of {of} words lost");
        gaps.push(gap);
        lost += missing;
    }
    gaps.sort_by(f64::total_cmp);
    let (middle, worst) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    let within = gaps.iter().filter(|gap| **gap < GOAL_MS).count();
    println!(
        "death of the relay of a session: median {middle:.0} ms, worst {worst:.0} ms, {within} of {trials} under 5 s, {lost} words lost"
    );
    let reached = within == trials && lost == 0;
    println!(
        "{{\"figure\":\"contact_rehome_ms\",\"value\":{worst:.0},\"goal\":\"< {GOAL_MS}\",\"lost\":{lost},\"reached\":{reached}}}"
    );
}

/// Two behind symmetric NATs have a session, and know two relays. Contacts are met through another one than strangers: that dies.
fn death() -> Death {
    let lab = Plan::new().hosts(3).peer(Kind::Sym).peer(Kind::Sym).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    [&carol, &dave].iter().for_each(|node| node.relay());
    let joins = [carol.join.as_str(), &dave.join, &erin.join];
    let bob = Node::joining(lab.peer(1).unwrap().station(), &joins);
    let alice = Node::joining(lab.peer(0).unwrap().station(), &joins);
    let used = |node: &Node<'_>| {
        let found = node.until(&["node", "relays"], |relays| relays["through"][0].is_string());
        found["through"][0].as_str().unwrap().to_owned()
    };
    let of_strangers = used(&bob);
    used(&alice);
    befriend(&alice, &bob);
    alice.row(&["contact", "session", "bob", "relayed"]);
    bob.row(&["contact", "session", &alice.name, "relayed"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("relayed"));
    alice.says("bob", "hello");

    let at = |node: &Node<'_>| format!("{}:4001", node.station.address().unwrap());
    let dies = if at(&carol) == of_strangers { dave } else { carol };
    let heard = hears(&bob, &alice.name);
    let mut came: Vec<Came> = Vec::new();
    let (mut said, mut dies, mut died) = (0, Some(dies), None);
    loop {
        alice.row(&["send", "bob", &said.to_string(), "--days", "1"]);
        said += 1;
        let next = Instant::now() + PACE;
        while let Ok(word) = heard.recv_timeout(next.saturating_duration_since(Instant::now())) {
            came.push(word);
        }
        let by_session = |since: Option<Instant>| came.iter().filter(|word| word.by_session && Some(word.at) > since).count();
        match died {
            None if by_session(None) >= WORDS_BEFORE => {
                drop(dies.take());
                died = Some(Instant::now());
            }
            // What was under way came in a moment; a session that goes on through the other relay takes longer.
            Some(_) if by_session(died) >= WORDS_AFTER => break,
            _ => {}
        }
    }
    let died = died.unwrap();
    alice.says("bob", "the end");
    let lost = missing(&heard, &mut came, said);
    let by_session: Vec<Instant> = came.iter().filter(|word| word.by_session).map(|word| word.at).collect();
    let longest = |after: bool| {
        let gaps = by_session.windows(2).filter(|pair| (pair[1] > died) == after).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default().as_secs_f64() * 1e3
    };
    Death { before: longest(false), gap: longest(true), said, lost }
}

/// Of `said` words those that do not come, or come twice, after what `came` already.
fn missing(heard: &Receiver<Came>, came: &mut Vec<Came>, said: usize) -> usize {
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    while came.len() < said
        && let Ok(word) = heard.recv_timeout(PATIENCE)
    {
        came.push(word);
    }
    came.extend(heard.try_iter());
    came.iter().for_each(|word| *times.entry(word.word).or_default() += 1);
    (0..said).filter(|word| times.get(word) != Some(&1)).count()
}

/// What comes to `node` from `who`, with the moment at which it is told of it.
fn hears(node: &Node<'_>, who: &str) -> Receiver<Came> {
    let process = node.starts(&["read", who, "--follow"]);
    let (came, heard) = channel();
    thread::spawn(move || {
        while let Ok(message) = process.json::<Value>(PATIENCE) {
            let word = message["text"].as_str().filter(|_| message["mine"] == false).and_then(|text| text.parse().ok());
            let by_session = message["path"] == "direct";
            if let Some(word) = word
                && came.send(Came { at: Instant::now(), word, by_session }).is_err()
            {
                return;
            }
        }
    });
    heard
}

fn flap(times: usize) {
    let lab = Plan::new().hosts(3).peer(Kind::Port).peer(Kind::Port).build().unwrap();
    let [carol, dave, erin] = public(&lab);
    carol.relay();
    let joins = [carol.join.as_str(), &dave.join, &erin.join];
    let bob = Node::joining(lab.peer(1).unwrap().station(), &joins);
    let alice = Node::joining(lab.peer(0).unwrap().station(), &joins);
    befriend(&alice, &bob);
    alice.row(&["contact", "session", "bob", "direct"]);
    bob.row(&["contact", "session", &alice.name, "direct"]);
    [&alice, &bob].iter().for_each(|node| node.in_session("direct"));
    let resident = || [&alice, &bob].map(|node| node.process.resident_kib().unwrap());
    let before = resident();
    let heard = [hears(&bob, &alice.name), hears(&alice, "bob")];
    for (turn, outage) in (0..times).zip(OUTAGES.iter().cycle()) {
        goes_down_and_up(&lab, turn, *outage, || {
            alice.row(&["send", "bob", &turn.to_string(), "--days", "1"]);
            bob.row(&["send", &alice.name, &turn.to_string(), "--days", "1"]);
        });
    }
    let up = Instant::now();
    [&alice, &bob].iter().for_each(|node| node.in_session("direct"));
    let back = up.elapsed();
    alice.says("bob", "the end");
    bob.says(&alice.name, "the end");
    let lost: usize = heard.iter().map(|heard| missing(heard, &mut Vec::new(), times)).sum();
    let after = resident();
    println!(
        "{times} times down and up: {lost} of {} words lost, direct again {:.1} s after the last; memory {:?} MiB before, {:?} after",
        2 * times,
        back.as_secs_f64(),
        before.map(|kib| kib / 1024),
        after.map(|kib| kib / 1024),
    );
    println!("{{\"figure\":\"contact_flap_lost\",\"value\":{lost},\"goal\":\"0\",\"reached\":{}}}", lost == 0);
}

/// By turns the router's link is cut, which nobody is told, and the plug is pulled, which the kernel sees. Meanwhile both talk.
fn goes_down_and_up(lab: &Lab, turn: usize, outage: Duration, talk: impl Fn()) {
    let link = lab.peer(0).unwrap().station().link();
    let cut = turn.is_multiple_of(2);
    if cut {
        lab.set_up(link, false).unwrap()
    } else {
        lab.unplug(0).unwrap()
    }
    let down = Instant::now();
    talk();
    thread::sleep(outage.saturating_sub(down.elapsed()));
    if cut {
        lab.set_up(link, true).unwrap()
    } else {
        lab.plug(0).unwrap()
    }
    thread::sleep(UP);
}
