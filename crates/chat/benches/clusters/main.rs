//! What a cluster of 200 costs: following a Commit against the bare MLS library, a rollout on the wire against the scheme of
//! which one leader sends all keys to each member, messages per second and core, and what a kept state takes. Processor time of
//! the thread, medians of interleaved rounds. Proof of work is found beforehand and not counted.
//! `cargo bench -p samizdat-chat`.
#![allow(missing_docs, clippy::disallowed_methods, unreachable_pub)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod bare;
mod cluster;
mod post;
mod secret;
mod wire;

use std::collections::BTreeMap;

use cluster::{Circle, MEMBERS, NAME};
use openmls::prelude::MlsGroup;
use post::{CHANGE, MESSAGE, UPDATE};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustix::time::{ClockId, clock_gettime};
use samizdat_chat::mls::{Committed, Snapshot};
use samizdat_cluster::{
    Grounds,
    bundle::Bundle,
    content::{Body, Message, Text},
};
use samizdat_core::Now;
use wire::COPIES;

pub const NOW: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
const ROUNDS: usize = 5;
const MESSAGES: usize = 200;
/// Messages of which each is alone.
const ALONE: usize = 20;

/// From its envelopes to the state that it leads to, if they come together; the rest, which chooses that; and the bare library.
const PLAIN: [&str; 3] = ["Commit: read", "Commit: chosen", "Commit: bare library"];
const ROLLOUT: [&str; 3] = ["rollout: read", "rollout: chosen", "rollout: bare library"];

/// Samples by what they are of; one per round.
#[derive(Default)]
pub struct Samples(BTreeMap<&'static str, Vec<f64>>);

impl Samples {
    /// Processor time for each of `count`, microseconds.
    fn take<T>(&mut self, name: &'static str, count: usize, work: impl FnOnce() -> T) -> T {
        let (took, result) = timed(work);
        self.put(name, count, took);
        result
    }

    /// The same, measured elsewhere.
    fn put(&mut self, name: &'static str, count: usize, took: f64) {
        self.0.entry(name).or_default().push(took / count as f64);
    }

    fn median(&self, name: &str) -> f64 {
        median(&self.0[name])
    }

    /// Median over the rounds of what we do to what the library does. What disturbs the machine disturbs both of a round.
    fn ratio(&self, [read, chosen, bare]: [&str; 3]) -> f64 {
        let of = |round: usize| (self.0[read][round] + self.0[chosen][round]) / self.0[bare][round];
        median(&(0..ROUNDS).map(of).collect::<Vec<_>>())
    }
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha20Rng::from_seed([8; 32]);
    eprintln!("a cluster of {MEMBERS} is made");
    let mut circle = Circle::new(dir.path());
    let mut samples = Samples::default();
    // One after the other, as days go by, each by somebody else.
    let (mut tip, mut group) = (circle.at.clone(), circle.bare.reopen());
    for round in 0..ROUNDS {
        eprintln!("messages and Commits, round {} of {ROUNDS}", round + 1);
        say(&mut circle, &mut samples, round);
        hear(&mut circle, &mut samples, &mut rng);
        let what = (&tip, 1 + round, &[][..]);
        let (_, committed) = change(&mut circle, &mut samples, PLAIN, what, &mut group, &mut rng);
        circle.crowd[2 + round..=ROUNDS].iter_mut().for_each(|member| member.follow(&tip, &committed.commit));
        tip = committed.snapshot;
    }
    // All that begin in one state, as if several led at once.
    let (mut ours, mut update, at) = (0, 0, circle.at.clone());
    let updates = propose(&mut circle, &mut samples, &mut update, &mut rng);
    for round in 0..ROUNDS {
        eprintln!("rollouts, round {} of {ROUNDS}", round + 1);
        let mut group = circle.bare.reopen();
        let what = (&at, 1 + ROUNDS + round, &updates[..]);
        ours = change(&mut circle, &mut samples, ROLLOUT, what, &mut group, &mut rng).0;
    }
    eprintln!("a secret vote");
    secret::vote(&mut circle, &mut samples, &mut rng);
    ours += (MEMBERS - 1) * update;
    println!("a group of {MEMBERS} in memory: about {:.0} B", in_memory(&circle));
    tell(&samples, (ours * COPIES, wire::naive(&mut rng)), &dir.path().join("bob"));
}

/// Alice writes, as fast as she can, before the node comes to send: what one person says and what the node does with it.
fn say(circle: &mut Circle, samples: &mut Samples, round: usize) {
    let alice = &mut circle.alice;
    samples.take("write", MESSAGES, || {
        for n in 0..MESSAGES {
            alice.chat.write_in_cluster(NAME, &format!("message {n} of round {round}"), 0, NOW).unwrap();
        }
    });
    samples.take("encrypt, wrap, store", MESSAGES, || alice.chat.work(&alice.log, NOW).unwrap());
    let (mut alone, mut bare) = (0.0, 0.0);
    for n in 0..ALONE {
        alice.chat.write_in_cluster(NAME, "one more", 0, NOW).unwrap();
        alone += timed(|| alice.chat.work(&alice.log, NOW).unwrap()).0;
        bare += timed(|| alice.chat.keep("bench", &n.to_be_bytes()).unwrap()).0;
    }
    samples.put("encrypt, wrap, store, one alone", ALONE, alone);
    samples.put("a transaction with one row", ALONE, bare);
    while alice.chat.poll_event().is_some() {}
}

/// Bob reads what one of the crowd said.
fn hear(circle: &mut Circle, samples: &mut Samples, rng: &mut ChaCha20Rng) {
    let at = circle.at.clone();
    let member = &mut circle.crowd[0];
    let leaf = member.leaf(&at);
    let sealed = (0..MESSAGES).flat_map(|_| {
        let counter = member.counter();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&counter.to_be_bytes());
        let text = Text {
            nonce,
            at: NOW.unix_ms,
            parents: Vec::new(),
            missing: Vec::new(),
            mentions: Vec::new(),
            text: format!("message {counter}"),
        };
        let message = member.say(&at, &Message { turn: NOW.unix_ms + counter, body: Body::Text(text) }.encode());
        post::seal(&at.secret, leaf, counter, MESSAGE, &message, rng)
    });
    let envelopes = post::stamped(sealed.collect());
    circle.bob.log(&envelopes);
    samples.take("open, decrypt, store", MESSAGES, || circle.bob.read(&envelopes));
}

/// Most propose fresh keys; `size` is what one such proposal takes on the wire.
fn propose(circle: &mut Circle, samples: &mut Samples, size: &mut usize, rng: &mut ChaCha20Rng) -> Vec<Vec<u8>> {
    let at = circle.at.clone();
    let (mut updates, mut sealed) = (Vec::new(), Vec::new());
    for member in &mut circle.crowd[1 + 2 * ROUNDS..] {
        let update = member.propose(&at);
        sealed.extend(post::seal(&at.secret, member.leaf(&at), member.counter(), UPDATE, &update, rng));
        updates.push(update);
    }
    *size = wire::bytes(&sealed[..1]);
    let envelopes = post::stamped(sealed);
    circle.bob.log(&envelopes);
    samples.take("take a proposal", envelopes.len(), || circle.bob.read(&envelopes));
    updates
}

/// One of the crowd ends a state; Bob follows, and so does the bare library. What it took on the wire, and what it leads to.
fn change(
    circle: &mut Circle,
    samples: &mut Samples,
    [read, chosen, bare]: [&'static str; 3],
    (at, by, updates): (&Snapshot, usize, &[Vec<u8>]),
    group: &mut MlsGroup,
    rng: &mut ChaCha20Rng,
) -> (usize, Committed) {
    let member = &mut circle.crowd[by];
    let committed = member.commit(at, updates);
    let bundle = Bundle { commit: committed.commit.clone(), grounds: Grounds::default() };
    let sealed = post::seal(&at.secret, member.leaf(at), 0, CHANGE, &bundle.encode(), rng);
    let size = wire::bytes(&sealed);
    let envelopes = post::stamped(sealed);
    circle.bob.log(&envelopes);
    samples.take(bare, 1, || circle.bare.follow(group, updates, &committed.commit));
    samples.take(read, 1, || circle.bob.take(&envelopes));
    samples.take(chosen, 1, || circle.bob.work());
    (size, committed)
}

fn tell(samples: &Samples, (ours, naive): (usize, usize), bob: &std::path::Path) {
    println!("processor time, median of {ROUNDS} rounds, cluster of {MEMBERS}");
    for name in samples.0.keys() {
        println!("{name:<32} {:>10.1} us", samples.median(name));
    }
    println!("rollout {ours} B on the wire, naive scheme {naive} B published once, {} B as often as ours", naive * COPIES);
    cluster::tell_sizes(bob);
    let sent = samples.median("write") + samples.median("encrypt, wrap, store");
    figure_line("commit_to_bare", samples.ratio(PLAIN), "<=", 1.3);
    figure_line("rollout_to_bare", samples.ratio(ROLLOUT), "<=", 1.3);
    figure_line("naive_to_rollout", (naive * COPIES) as f64 / ours as f64, ">=", 50.0);
    figure_line("sent_per_s", 1e6 / samples.median("encrypt, wrap, store"), ">=", 2000.0);
    let alone = samples.median("encrypt, wrap, store, one alone");
    figure_line("sent_alone_per_s", 1e6 / alone, ">=", f64::NEG_INFINITY);
    figure_line("sent_alone_to_bare_transaction", alone / samples.median("a transaction with one row"), "<=", f64::INFINITY);
    figure_line("written_and_sent_per_s", 1e6 / sent, ">=", 2000.0);
    figure_line("read_per_s", 1e6 / samples.median("open, decrypt, store"), ">=", f64::NEG_INFINITY);
}

/// What a group in memory takes, bytes, from what many take.
fn in_memory(circle: &Circle) -> f64 {
    const MANY: usize = 32;
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
    };
    let _warm = [circle.bare.reopen(), circle.bare.reopen()];
    let before = resident();
    let groups: Vec<_> = (0..MANY).map(|_| circle.bare.reopen()).collect();
    (resident() - before) / groups.len() as f64
}

/// Processor time of this thread, microseconds.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Microseconds that something took.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = cpu_us();
    let result = work();
    (cpu_us() - start, result)
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn figure_line(name: &str, figure: f64, sense: &str, goal: f64) {
    let reached = if sense == ">=" { figure >= goal } else { figure <= goal };
    let goal = if goal.is_finite() { format!(",\"goal\":\"{sense} {goal}\",\"reached\":{reached}") } else { String::new() };
    println!("{{\"figure\":\"{name}\",\"value\":{figure:.3}{goal}}}");
}
