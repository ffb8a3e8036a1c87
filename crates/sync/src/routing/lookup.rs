//! One search for a position, on several paths that share no node.
//!
//! All paths know the same candidates by their distance, each with the paths that heard of it; a node is asked by one path
//! only. Whoever lies on one path leads only that one astray.

use std::collections::BTreeMap;
use std::sync::Arc;

use samizdat_core::{NodeRecord, PeerId, record::Prefix};

use super::key::{Distance, Key};
use super::router::Config;
use crate::limits::{ANSWER_PER_PREFIX, LOOKUP_ASKED_MAX, LOOKUP_KNOWN_MAX, LOOKUP_MS_MAX, PATHS_MAX, REFRESH_ASKED_MAX};

/// How long the other paths may go on when one has found what was looked for.
const AGREE_MS: u64 = 1_500;

/// What a search is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// The record of the node at the position.
    Record,
    /// Everybody close to it.
    Closest,
    /// Some in that region.
    Some,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    /// By this path; `false` once it takes long, and then nobody waits for it.
    Asked(usize, bool),
    Answered,
    Failed,
}

#[derive(Debug)]
struct Candidate {
    record: Arc<NodeRecord>,
    state: State,
    hops: u32,
    /// A bit for each path that heard of it.
    paths: u8,
}

#[derive(Debug, Default)]
struct Path {
    asked: usize,
    /// Whether it ever had anybody to ask.
    fed: bool,
    /// Whether somebody had a record for it; only the node itself may have a newer one.
    found: bool,
    ended: bool,
}

/// What a search came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) record: Option<Arc<NodeRecord>>,
    pub(crate) closest: Vec<Arc<NodeRecord>>,
    pub(crate) hops: u32,
    pub(crate) asked: usize,
}

/// One search.
#[derive(Debug)]
pub(crate) struct Lookup {
    own: Key,
    target: Key,
    wanted: Wanted,
    k: usize,
    /// Questions under way on one path.
    width: usize,
    paths: Vec<Path>,
    known: BTreeMap<Distance, Candidate>,
    started_ms: u64,
    found: Option<(Arc<NodeRecord>, u32, u64)>,
}

enum Step {
    Ask(Distance),
    Wait,
    End,
}

impl Lookup {
    /// A search that starts at the closest that we know.
    pub(crate) fn new(own: Key, target: Key, wanted: Wanted, config: &Config, start: &[Arc<NodeRecord>], now: u64) -> Self {
        let count = config.paths.clamp(1, PATHS_MAX);
        let width = config.alpha.checked_div(count).unwrap_or(1).max(1);
        let paths = (0..count).map(|_| Path::default()).collect();
        let (known, found) = (BTreeMap::new(), None);
        let mut lookup = Self { own, target, wanted, k: config.k, width, paths, known, started_ms: now, found };
        let all: Vec<usize> = (0..count).collect();
        lookup.feed(start, &all, 1);
        lookup
    }

    pub(crate) fn target(&self) -> Key {
        self.target
    }

    /// Whom to ask now, and which path does.
    pub(crate) fn next(&mut self) -> Option<Arc<NodeRecord>> {
        for at in 0..self.paths.len() {
            let step = self.step(at);
            let Some(path) = self.paths.get_mut(at) else { continue };
            match step {
                Step::Wait => {}
                Step::End => path.ended = true,
                Step::Ask(distance) => {
                    path.asked = path.asked.saturating_add(1);
                    let candidate = self.known.get_mut(&distance)?;
                    candidate.state = State::Asked(at, true);
                    return Some(Arc::clone(&candidate.record));
                }
            }
        }
        None
    }

    fn step(&self, at: usize) -> Step {
        let Some(path) = self.paths.get(at).filter(|path| path.fed && !path.ended) else { return Step::Wait };
        let waiting = self.known.values().filter(|candidate| candidate.state == State::Asked(at, true)).count();
        let most = if self.wanted == Wanted::Some { REFRESH_ASKED_MAX } else { LOOKUP_ASKED_MAX };
        if path.asked >= most || path.found && self.wanted == Wanted::Record {
            let itself = self.known.first_key_value().filter(|(distance, _)| path.found && distance.is_zero());
            return match itself {
                Some((distance, Candidate { state: State::New, .. })) => Step::Ask(*distance),
                Some((_, Candidate { state: State::Asked(_, true), .. })) => Step::Wait,
                _ if waiting > 0 => Step::Wait,
                _ => Step::End,
            };
        }
        let mut pending = waiting > 0;
        // A record may be at hand though those who seem closest say nothing of it: they may all be accomplices.
        let window = if self.wanted == Wanted::Record { usize::MAX } else { self.k };
        for (distance, candidate) in self.near(at).take(window) {
            match candidate.state {
                State::New if waiting < self.width => return Step::Ask(*distance),
                State::New | State::Asked(_, true) => pending = true,
                _ => {}
            }
        }
        if pending { Step::Wait } else { Step::End }
    }

    /// Those a path heard of and that are not given up, the closest first.
    fn near(&self, at: usize) -> impl Iterator<Item = (&Distance, &Candidate)> {
        let bit = bit(at);
        let alive = |candidate: &Candidate| !matches!(candidate.state, State::Failed | State::Asked(_, false));
        self.known.iter().filter(move |(_, candidate)| candidate.paths & bit != 0 && alive(candidate))
    }

    /// An answer. Only what can lead further is kept of it.
    pub(crate) fn answered(&mut self, by: &PeerId, found: Option<Arc<NodeRecord>>, closer: &[Arc<NodeRecord>], now: u64) {
        let from = Key::of(by).distance(self.target);
        let Some(candidate) = self.known.get_mut(&from) else { return };
        let State::Asked(at, _) = candidate.state else { return };
        candidate.state = State::Answered;
        let hops = candidate.hops;
        if let Some(record) = found.filter(|record| Key::at(record) == self.target) {
            self.take(&record, hops, now);
            if record.peer() == *by && self.wanted == Wanted::Record {
                // What a node says of itself is the end of it.
                self.paths.iter_mut().for_each(|path| path.ended = true);
            }
            if !record.fields().addrs.is_empty() {
                self.feed(&[record], &[at], hops.saturating_add(1));
            }
            if let Some(path) = self.paths.get_mut(at) {
                path.found = true;
            }
        }
        // Neither closer than who tells of it nor among the closest so far: it leads nowhere.
        let limit = self.near(at).nth(self.k.saturating_sub(1)).map(|(distance, _)| *distance.max(&from));
        let mut kept: Vec<Arc<NodeRecord>> = Vec::new();
        let mut prefixes: Vec<Option<Prefix>> = Vec::new();
        for record in closer.iter().take(self.k).filter(|record| !record.fields().addrs.is_empty()) {
            let distance = Key::at(record).distance(self.target);
            let prefix = record.prefix();
            let beside = prefixes.iter().filter(|other| **other == prefix).count();
            if limit.is_none_or(|limit| distance <= limit) && beside < ANSWER_PER_PREFIX {
                prefixes.push(prefix);
                kept.push(Arc::clone(record));
            }
        }
        let hungry = self.paths.iter().enumerate().filter(|(_, path)| !path.fed).map(|(hungry, _)| hungry);
        let eaters: Vec<usize> = core::iter::once(at).chain(hungry).collect();
        self.feed(&kept, &eaters, hops.saturating_add(1));
    }

    /// The newest record counts, whoever had it.
    fn take(&mut self, record: &Arc<NodeRecord>, hops: u32, now: u64) {
        match &mut self.found {
            None => self.found = Some((Arc::clone(record), hops, now)),
            Some((found, ..)) if record.supersedes(found) => *found = Arc::clone(record),
            Some(_) => {}
        }
    }

    /// Gives the paths somebody to ask, in turn.
    fn feed(&mut self, records: &[Arc<NodeRecord>], paths: &[usize], hops: u32) {
        for (record, at) in records.iter().zip(paths.iter().cycle()) {
            let key = Key::at(record);
            let distance = key.distance(self.target);
            if key == self.own || self.known.len() >= LOOKUP_KNOWN_MAX && !self.known.contains_key(&distance) {
                continue;
            }
            let unknown = || Candidate { record: Arc::clone(record), state: State::New, hops, paths: 0 };
            let candidate = self.known.entry(distance).or_insert_with(unknown);
            candidate.paths |= bit(*at);
            if let Some(path) = self.paths.get_mut(*at) {
                path.fed = true;
            }
        }
    }

    /// A question takes long: nobody waits for it any more, but its answer still counts.
    pub(crate) fn stalled(&mut self, peer: &PeerId) {
        if let Some(candidate) = self.known.get_mut(&Key::of(peer).distance(self.target))
            && let State::Asked(at, _) = candidate.state
        {
            candidate.state = State::Asked(at, false);
        }
    }

    /// No answer comes.
    pub(crate) fn failed(&mut self, peer: &PeerId) {
        if let Some(candidate) = self.known.get_mut(&Key::of(peer).distance(self.target)) {
            candidate.state = State::Failed;
        }
    }

    /// Whether it is over: all paths agree or ended, or it has taken long enough. To be asked after [`Self::next`].
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.paths.iter().all(|path| path.ended || !path.fed) || self.deadline() <= now
    }

    /// When it is over at the latest.
    pub(crate) fn deadline(&self) -> u64 {
        let agree = self.found.as_ref().filter(|_| self.wanted == Wanted::Record);
        let agree = agree.map_or(u64::MAX, |(_, _, at)| at.saturating_add(AGREE_MS));
        self.started_ms.saturating_add(LOOKUP_MS_MAX).min(agree)
    }

    /// What it came to.
    pub(crate) fn outcome(self) -> Outcome {
        let answered = || self.known.values().filter(|candidate| candidate.state == State::Answered).take(self.k);
        let closest: Vec<_> = answered().map(|candidate| Arc::clone(&candidate.record)).collect();
        let reached = answered().map(|candidate| candidate.hops).max().unwrap_or(0);
        let asked = self.paths.iter().map(|path| path.asked).sum();
        let (record, hops) = self.found.as_ref().map_or((None, reached), |(record, hops, _)| (Some(Arc::clone(record)), *hops));
        Outcome { record, closest, hops, asked }
    }
}

fn bit(path: usize) -> u8 {
    u32::try_from(path).ok().and_then(|path| 1_u8.checked_shl(path)).unwrap_or(0)
}
