//! What it costs to take envelopes in: the engine's real way against the sum of its parts, measured in the same run, and
//! what junk costs. Processor time of the thread, medians of interleaved rounds; every round has a new log on disk.
//! `cargo bench -p samizdat-engine`; the first run finds stamps for some minutes and keeps them in the target folder.
#![allow(missing_docs, clippy::disallowed_methods, unreachable_pub)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod material;
mod startup;

use std::{collections::BTreeMap, path::Path, time::Instant};

use material::Material;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustix::time::{ClockId, clock_gettime};
use samizdat_chat::Chat;
use samizdat_core::{
    EnvelopeIn, Now, PeerId,
    envelope::{Stamped, verify_batch},
    limits::SIGNATURE_BATCH,
};
use samizdat_engine::{Engine, Input};
use samizdat_store::{Log, Vault};
use samizdat_sync::{Frame, PeerAddr, index::Index, tree::Entry};

pub const NOW: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
const ROUNDS: usize = 15;
/// As the engine takes them from a file.
const BATCH: usize = 1024;
/// The steps of taking an envelope in.
const PARTS: [&str; 6] = ["decode", "stamp", "lookup", "signature", "append", "index"];
const PEER: PeerId = PeerId([7; 32]);

/// Processor time of this thread, microseconds.
pub fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Samples by what they are of; one per round.
#[derive(Default)]
struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    /// Processor time for each of `count`, microseconds.
    fn take<T>(&mut self, name: &str, count: usize, work: impl FnOnce() -> T) -> T {
        let start = cpu_us();
        let result = work();
        self.0.entry(name.into()).or_default().push((cpu_us() - start) / count as f64);
        result
    }

    fn median(&self, name: &str) -> f64 {
        median(&self.0[name])
    }

    /// Median over the rounds of the one sum in parts of the other. What disturbs the machine disturbs both of a round.
    fn ratio(&self, of: &[String], to: &[String]) -> f64 {
        let sum = |names: &[String], round: usize| names.iter().map(|name| self.0[name][round]).sum::<f64>();
        median(&(0..ROUNDS).map(|round| sum(of, round) / sum(to, round)).collect::<Vec<_>>())
    }
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let material = Material::load();
    let mut samples = Samples::default();
    let mut wall = Vec::new();
    for round in 0..ROUNDS {
        wall.push(whole(&mut samples, &material));
        parts(&mut samples, &material.posts, "signed");
        parts(&mut samples, &material.sealed, "sealed");
        eprintln!("round {} of {ROUNDS}", round + 1);
    }
    tell(&samples, median(&wall), material.posts.len());
    startup::measure();
}

/// The engine's own way, and junk of all sorts. Returns the time on the wall of the signed ones, each.
fn whole(samples: &mut Samples, material: &Material) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    let wall = Instant::now();
    import(samples, &mut engine, "ingest signed", &material.posts, (material.posts.len(), 0, 0));
    let wall = wall.elapsed().as_secs_f64() * 1e6 / material.posts.len() as f64;
    import(samples, &mut engine, "ingest sealed", &material.sealed, (material.sealed.len(), 0, 0));
    import(samples, &mut engine, "duplicates", &material.posts, (0, material.posts.len(), 0));
    import(samples, &mut engine, "bad stamps", &material.unpaid, (0, 0, material.unpaid.len()));
    import(samples, &mut engine, "bad signatures", &material.forged, (0, 0, material.forged.len()));

    let dir = tempfile::tempdir().unwrap();
    let mut engine = self::engine(dir.path());
    engine.handle(Input::Connected { peer: PEER, addr: Vec::new(), dialed: false, ip: None }, NOW);
    engine.handle(Input::Frame { peer: PEER, bytes: Frame::Join { addr: PeerAddr::default() }.encode() }, NOW);
    let frames: Vec<Vec<u8>> = material.posts.iter().map(|bytes| Frame::Push { envelope: bytes.clone() }.encode()).collect();
    samples.take("pushed signed", frames.len(), || {
        for batch in frames.chunks(BATCH) {
            batch.iter().for_each(|bytes| engine.handle(Input::Frame { peer: PEER, bytes: bytes.clone() }, NOW));
            engine.commit(NOW);
            while engine.poll_output().is_some() {}
        }
    });
    assert_eq!(engine.held(), frames.len());
    wall
}

fn engine(dir: &Path) -> Engine {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let chat = Chat::open(Vault::open(dir, None, Chat::MIGRATIONS, &mut rng).unwrap(), [2; 32]).unwrap();
    let log = Log::open(&dir.join("log.sqlite"), 1 << 40).unwrap();
    Engine::new(log, chat, [3; 32], PeerId([4; 32]), Vec::new(), NOW).unwrap()
}

fn import(
    samples: &mut Samples,
    engine: &mut Engine,
    name: &str,
    envelopes: &[Vec<u8>],
    (new, duplicate, refused): (usize, usize, usize),
) {
    let file = material::file(envelopes);
    let done = samples.take(name, envelopes.len(), || engine.import(&mut &file[..], NOW).unwrap());
    assert_eq!((done.new, done.duplicate, done.refused), (new as u64, duplicate as u64, refused as u64), "{name}");
}

/// Each step alone, over the same envelopes and a log of its own.
fn parts(samples: &mut Samples, envelopes: &[Vec<u8>], kind: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(&dir.path().join("log.sqlite"), 1 << 40).unwrap();
    let mut index = Index::default();
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let mut sums = [0.0; PARTS.len()];
    // The log grows between batches, as it does in the engine.
    for batch in envelopes.chunks(BATCH) {
        let mut before = cpu_us();
        let mut took = |part: usize| {
            let now = cpu_us();
            sums[part] += now - before;
            before = now;
        };
        let decoded: Vec<EnvelopeIn> = batch.iter().map(|bytes| EnvelopeIn::decode(bytes).unwrap()).collect();
        took(0);
        let paid: Vec<Stamped> = decoded.into_iter().map(|envelope| envelope.screen(NOW.hour()).unwrap()).collect();
        took(1);
        assert!(paid.iter().all(|s| !index.contains(s.hour(), &s.id()) && !log.lost(&s.id()).unwrap()));
        took(2);
        let mut verified = Vec::with_capacity(paid.len());
        let mut paid = paid.into_iter().peekable();
        while paid.peek().is_some() {
            let some: Vec<Stamped> = paid.by_ref().take(SIGNATURE_BATCH).collect();
            verified.extend(verify_batch(some, &mut rng).into_iter().map(Result::unwrap));
        }
        took(3);
        log.append(&verified).unwrap();
        took(4);
        for envelope in &verified {
            index.insert(Entry::new(envelope.fields().hour, envelope.id()));
        }
        took(5);
    }
    for (part, us) in PARTS.into_iter().zip(sums) {
        samples.0.entry(format!("{kind}: {part}")).or_default().push(us / envelopes.len() as f64);
    }
}

fn tell(samples: &Samples, wall_us: f64, count: usize) {
    println!("processor time for each envelope, median of {ROUNDS} rounds of {count}");
    for name in samples.0.keys() {
        println!("{name:<20} {:>9.2} us", samples.median(name));
    }
    println!("ingest signed, wall  {wall_us:>9.2} us");
    let (signed, sealed) = (samples.median("ingest signed"), samples.median("ingest sealed"));
    println!("{{\"signed_per_s\":{:.0},\"sealed_per_s\":{:.0}}}", 1e6 / signed, 1e6 / sealed);
    let parts = |kind| PARTS.map(|part| format!("{kind}: {part}"));
    let (signed_parts, sealed_parts) = (parts("signed"), parts("sealed"));
    let one = |name: &str| [name.to_owned()];
    let figures = [
        ("signed_to_parts", samples.ratio(&signed_parts, &one("ingest signed")), ">=", 0.80),
        ("sealed_to_parts", samples.ratio(&sealed_parts, &one("ingest sealed")), ">=", 0.80),
        ("pushed_to_parts", samples.ratio(&signed_parts, &one("pushed signed")), ">=", 0.80),
        ("sealed_to_signed", samples.ratio(&one("ingest signed"), &one("ingest sealed")), ">=", 3.0),
        ("duplicate_to_new", samples.ratio(&one("duplicates"), &one("ingest signed")), "<=", 0.12),
        ("bad_stamp_to_new", samples.ratio(&one("bad stamps"), &one("ingest signed")), "<=", 0.03),
        ("bad_signature_to_new", samples.ratio(&one("bad signatures"), &one("ingest signed")), "<=", f64::INFINITY),
    ];
    figures.into_iter().for_each(|(name, figure, sense, goal)| figure_line(name, figure, sense, goal));
}

pub fn figure_line(name: &str, figure: f64, sense: &str, goal: f64) {
    let reached = if sense == ">=" { figure >= goal } else { figure <= goal };
    let goal = if goal.is_finite() { format!(",\"goal\":\"{sense} {goal}\",\"reached\":{reached}") } else { String::new() };
    println!("{{\"figure\":\"{name}\",\"value\":{figure:.3}{goal}}}");
}
