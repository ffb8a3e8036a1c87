//! Figures of reconciliation, all in one run: bytes and round trips, and processor time as ratios.
//! `cargo bench -p samizdat-sync`
#![allow(missing_docs, clippy::disallowed_methods)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Instant;

use samizdat_core::{EnvelopeId, Hour};
use samizdat_sync::codec::Frame;
use samizdat_sync::draw::Draw;
use samizdat_sync::index::Index;
use samizdat_sync::reconcile::Session;
use samizdat_sync::tree::Entry;
use sha2::{Digest, Sha256};

/// A thousandth of the set per hour.
fn entry(n: u64, size: u64) -> Entry {
    let id: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
    Entry::new(Hour(490_000 + u32::try_from(n * 1000 / size).unwrap()), EnvelopeId(id))
}

fn index(size: u64, keep: impl Fn(u64) -> bool) -> Index {
    let mut index = Index::default();
    index.load((0..size).filter(|n| keep(*n)).map(|n| entry(n, size)));
    index
}

struct Run {
    bytes: usize,
    flights: usize,
    found: u64,
    micros: f64,
}

fn reconcile(a: &Index, b: &Index, seed: u8) -> Run {
    let mut draw = Draw::new([seed; 32]);
    let start = Instant::now();
    let (mut left, open) = Session::open(1, a, &mut draw);
    let bytes = open.encode();
    let mut run = Run { bytes: bytes.len(), flights: 1, found: 0, micros: 0.0 };
    let Frame::Open { session, sketch, ranges } = Frame::decode(&bytes).unwrap() else { panic!() };
    let (mut right, step) = Session::accept(session, &sketch, ranges, b, &mut draw);
    let mut frames = step.frames;
    let mut to_left = true;
    let mut done = 0;
    while !frames.is_empty() {
        run.flights += 1;
        let mut answers = Vec::new();
        for frame in frames {
            let bytes = frame.encode();
            run.bytes += bytes.len();
            let (side, set) = if to_left { (&mut left, a) } else { (&mut right, b) };
            let step = side.take(Frame::decode(&bytes).unwrap(), bytes.len(), set, &mut draw).unwrap();
            answers.extend(step.frames);
            if let Some(end) = step.end {
                done += 1;
                run.found += end.sending;
            }
        }
        frames = answers;
        to_left = !to_left;
    }
    assert_eq!(done, 2);
    run.micros = start.elapsed().as_secs_f64() * 1e6;
    run
}

/// The shortest of several runs: what else runs on the machine only ever makes them longer.
fn shortest(mut run: impl FnMut(u8) -> f64) -> f64 {
    (0..15).map(&mut run).fold(f64::INFINITY, f64::min)
}

fn main() {
    // First, while nothing that was freed is used again.
    let before = resident();
    let mut index_of_a_million = Index::default();
    (0..1_000_000).for_each(|n| assert!(index_of_a_million.insert(entry(n, 1_000_000))));
    println!("memory of 1,000,000 inserted one by one: {} bytes each", (resident() - before) / 1_000_000);
    drop(index_of_a_million);
    println!("{:<44}{:>10}{:>8}{:>8}{:>10}{:>10}", "case", "bytes", "per d", "trips", "found", "us");
    let mut cpu = std::collections::BTreeMap::new();
    for size in [10_000_u64, 100_000, 1_000_000] {
        let whole = index(size, |_| true);
        let cases: [(&str, u64, Index, Index); 6] = [
            ("nothing", 0, whole.clone(), whole.clone()),
            ("1000 newest, opener lacks", 1000, index(size, |n| n < size - 1000), whole.clone()),
            ("1000 newest, other lacks", 1000, whole.clone(), index(size, |n| n < size - 1000)),
            (
                "1000 newest, half each",
                1000,
                index(size, |n| n < size - 1000 || n % 2 == 0),
                index(size, |n| n < size - 1000 || n % 2 == 1),
            ),
            (
                "1000 scattered, half each",
                1000,
                index(size, |n| n % (size / 1000) != 0 || n / (size / 1000) % 2 == 0),
                index(size, |n| n % (size / 1000) != 0 || n / (size / 1000) % 2 == 1),
            ),
            ("10 scattered, opener lacks", 10, index(size, |n| n % (size / 10) != 7), whole.clone()),
        ];
        for (name, d, a, b) in &cases {
            let micros = shortest(|seed| reconcile(a, b, seed).micros);
            let runs: Vec<Run> = (0..9).map(|seed| reconcile(a, b, seed)).collect();
            let bytes = runs.iter().map(|r| r.bytes).max().unwrap();
            let flights = runs.iter().map(|r| r.flights).max().unwrap();
            let per = if *d == 0 { 0.0 } else { bytes as f64 / *d as f64 };
            println!("{:<44}{bytes:>10}{per:>8.1}{:>8}{:>10}{micros:>10.0}", format!("{size}: {name}"), flights / 2, runs[0].found);
            assert!(runs.iter().all(|r| r.found == *d));
            cpu.insert((*name, size), micros);
        }
    }
    for name in ["nothing", "1000 newest, half each", "1000 scattered, half each"] {
        println!("processor time at 1,000,000 / at 10,000, {name}: {:.2}", cpu[&(name, 1_000_000)] / cpu[&(name, 10_000)]);
    }
    let entries: Vec<Entry> = (0..100_000).map(|n| entry(n, 100_000)).collect();
    let start = processor_ms();
    for _ in 0..20 {
        let mut index = Index::default();
        index.load(entries.iter().copied());
    }
    let load = (processor_ms() - start) / 20.0;
    println!("load of 100,000: {load:.1} ms of processor time");
    let start = processor_ms();
    for _ in 0..5 {
        let mut index = Index::default();
        entries.iter().for_each(|e| assert!(index.insert(*e)));
    }
    println!("insert one by one: {:.2} us of processor time each", (processor_ms() - start) / 500.0);
}

/// Processor time of this process; ticks of 10 ms, so only for long work. 0 where the system does not tell.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    stat.and_then(|s| s.split(' ').nth(13)?.parse::<f64>().ok()).map_or(0.0, |ticks| ticks * 10.0)
}

/// Resident memory of this process, bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|s| s.split(' ').nth(1)?.parse::<u64>().ok()).map_or(0, |pages| pages * 4096)
}
