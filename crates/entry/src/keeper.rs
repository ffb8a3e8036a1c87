//! Whether and when a node writes to a domain. A machine: it reads no clock, owns no socket and decides nothing by chance but
//! the moments at which it looks.
//!
//! A node without an entry takes one where there is room, or the place of a dead one. Of many who try at once one wins: every
//! change holds only if all entries are still what was seen ([`Swap`]). A node that has an entry keeps it fresh.
//!
//! It is for a node that others have dialled: whoever cannot be reached would hold a place for nothing, and whoever cannot reach
//! others would take theirs for dead.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_core::{NodeRecord, Now, PeerId};

use crate::{
    limits::{
        DOUBT_EVERY_MS, ENTRIES_MAX, FAILURE_WAIT_MAX_MS, FAILURE_WAIT_MS, LOOK_EVERY_MS, PROBE_FAILURES, PROBE_SPAN_MS,
        RACE_WAIT_MS, STOP_TRIES, TXT_READ_MAX,
    },
    publish::{PublishError, Swap, Swapped},
    text::{Slot, Txt},
};

/// What a keeper is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// What this node says of itself now. To be told again long before it expires, and when an address changes.
    Own(NodeRecord),
    /// The answer to [`Output::Look`].
    Looked(Result<Vec<Txt>, PublishError>),
    /// The answer to [`Output::Swap`].
    Swapped(Result<Swapped, PublishError>),
    /// The answer to [`Output::Probe`].
    Probed {
        /// Whose record it was.
        peer: PeerId,
        /// Whether that node answered, under that key; `None` if it could not be asked, or nothing shows that our own line works.
        answered: Option<bool>,
    },
    /// This node is to be no entry point any more.
    Stop,
}

/// What a keeper wants. Each look, swap and probe is answered once, in bounded time, by an [`Input`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Read the entries, from where they are written.
    Look,
    /// Change them.
    Swap(Swap),
    /// Dial the node of this record, which may have expired.
    Probe(NodeRecord),
    /// Tell the operator.
    Say(Said),
    /// Nothing more comes.
    Stopped,
}

/// What an operator wants to know. Each is said when it begins, not again and again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// This node has an entry now.
    Published,
    /// It has the place of this node, which is dead.
    TookOver(PeerId),
    /// The entry is gone.
    Withdrawn,
    /// It could not be taken away before the node stopped; it expires.
    NotWithdrawn,
    /// The domain cannot be read or changed.
    Trouble(PublishError),
    /// There are far more TXT records than a domain of ours has: nothing is changed.
    Crowded,
    /// This node has no record that holds by its clock.
    NoRecord,
    /// A node may be dead whose place this one would take: it cannot be told from here.
    Unsure,
    /// What was said before is over.
    Well,
}

/// Keeps the entry of one node in one domain.
#[derive(Debug)]
pub struct Keeper {
    /// Entries that the domain has.
    slots: usize,
    rng: ChaCha8Rng,
    own: Option<NodeRecord>,
    /// The key that this node had before; what stands under it is ours as well.
    former: Option<PeerId>,
    doing: Doing,
    /// Whether our entry stood in the domain when we last knew.
    listed: bool,
    suspects: BTreeMap<PeerId, Suspect>,
    /// Failures, or lost races, since the last success.
    failures: u32,
    races: u32,
    trouble: Option<Said>,
    /// Whether [`Said::Unsure`] was said last.
    unsure: bool,
    stopping: bool,
    stop_tries: u32,
    out: VecDeque<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Waiting { look_at_ms: u64 },
    Looking,
    Swapping { adds: bool, replaces: Option<PeerId> },
    Stopped,
}

/// A node that is being asked whether it lives.
#[derive(Debug, Default)]
struct Suspect {
    asked: bool,
    /// Whether the last probe said nothing.
    unsure: bool,
    failures: u32,
    first_failure_ms: u64,
}

/// A domain's TXT records, sorted by what they are to us.
#[derive(Default)]
struct Listing {
    ours: Vec<(Txt, NodeRecord)>,
    junk: Vec<Txt>,
    others: Vec<(Txt, NodeRecord)>,
}

impl Keeper {
    /// A keeper for a domain that has `slots` entries.
    pub fn new(slots: usize, seed: [u8; 32], now: Now) -> Self {
        let mut keeper = Self {
            slots: slots.clamp(1, ENTRIES_MAX),
            rng: ChaCha8Rng::from_seed(seed),
            own: None,
            former: None,
            doing: Doing::Looking,
            listed: false,
            suspects: BTreeMap::new(),
            failures: 0,
            races: 0,
            trouble: None,
            unsure: false,
            stopping: false,
            stop_tries: 0,
            out: VecDeque::new(),
        };
        keeper.wait(RACE_WAIT_MS, now);
        keeper
    }

    /// When [`Keeper::tick`] wants to be called, on the monotonic clock.
    pub fn next_timeout(&self) -> Option<u64> {
        match self.doing {
            Doing::Waiting { look_at_ms } => Some(look_at_ms),
            _ => None,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        if self.next_timeout().is_some_and(|at| at <= now.mono_ms) {
            self.look();
        }
    }

    /// What it wants next. To be asked until there is nothing.
    pub fn output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Something has happened.
    pub fn input(&mut self, input: Input, now: Now) {
        match (input, self.doing) {
            (_, Doing::Stopped) => {}
            (Input::Own(record), _) => self.own(record, now),
            (Input::Looked(Ok(txts)), Doing::Looking) => self.decide(&txts, now),
            (Input::Looked(Err(error)), Doing::Looking) => self.fail(Said::Trouble(error), now),
            (Input::Swapped(Ok(Swapped::Done)), Doing::Swapping { adds, replaces }) => self.done(adds, replaces, now),
            (Input::Swapped(Ok(Swapped::Raced)), Doing::Swapping { .. }) => self.lost(now),
            (Input::Swapped(Err(error)), Doing::Swapping { .. }) => self.fail(Said::Trouble(error), now),
            (Input::Probed { peer, answered }, _) => self.probed(peer, answered, now),
            (Input::Stop, doing) => {
                self.stopping = true;
                if matches!(doing, Doing::Waiting { .. }) {
                    self.look();
                }
            }
            // Answers to nothing.
            (Input::Looked(_) | Input::Swapped(_), _) => {}
        }
    }

    fn own(&mut self, record: NodeRecord, now: Now) {
        let missing = self.trouble == Some(Said::NoRecord);
        let changed = self.own.as_ref().is_none_or(|before| !says_the_same(before, &record));
        if let Some(before) = self.own.replace(record.clone()).filter(|before| before.peer() != record.peer()) {
            self.former = Some(before.peer());
        }
        // Not while the domain is in trouble: that has its own pace.
        if let Doing::Waiting { look_at_ms } = self.doing
            && (missing || changed && self.trouble.is_none())
        {
            let soon = now.mono_ms.saturating_add(self.jitter(RACE_WAIT_MS));
            self.doing = Doing::Waiting { look_at_ms: look_at_ms.min(soon) };
        }
    }

    fn decide(&mut self, txts: &[Txt], now: Now) {
        let unix_s = now.unix_ms / 1000;
        if txts.len() > TXT_READ_MAX {
            return self.fail(Said::Crowded, now);
        }
        let listing = self.sort(txts, unix_s);
        self.suspects.retain(|peer, _| listing.others.iter().any(|(_, record)| record.peer() == *peer));
        self.say_whether_sure();
        self.listed = !listing.ours.is_empty();
        let ours = || listing.ours.iter().map(|(txt, _)| txt.clone()).collect();
        if self.stopping {
            return if self.listed { self.swap(txts, ours(), None, None) } else { self.stop(None) };
        }
        let Some(own) = self.own.clone().filter(|own| own.holds(unix_s)) else {
            return self.fail(Said::NoRecord, now);
        };
        if let Some((_, newest)) = listing.ours.iter().reduce(|a, b| if b.1.supersedes(&a.1) { b } else { a }) {
            let worn = newest.peer() != own.peer() || !newest.holds(unix_s) || own.supersedes(newest) && due(newest, &own, unix_s);
            if worn || listing.ours.len() > 1 {
                return self.swap(txts, ours(), Some(own), None);
            }
        } else if listing.others.len() < self.slots {
            return self.swap(txts, listing.junk, Some(own), None);
        } else if let Some((txt, dead)) = listing.others.iter().find(|(_, record)| self.is_dead(record, now)) {
            let gone = listing.junk.iter().chain([txt]).cloned().collect();
            return self.swap(txts, gone, Some(own), Some(dead.peer()));
        } else {
            for (_, record) in listing.others.iter().take(ENTRIES_MAX) {
                let suspect = self.suspects.entry(record.peer()).or_default();
                if !core::mem::replace(&mut suspect.asked, true) {
                    self.out.push_back(Output::Probe(record.clone()));
                }
            }
        }
        self.well();
        self.wait(LOOK_EVERY_MS, now);
    }

    fn sort(&self, txts: &[Txt], unix_s: u64) -> Listing {
        let mut listing = Listing::default();
        let own = self.own.as_ref().map(NodeRecord::peer);
        for txt in txts {
            match txt.read(unix_s) {
                Slot::Foreign => {}
                Slot::Junk => listing.junk.push(txt.clone()),
                Slot::Lapsed(record) | Slot::Holds(record) => {
                    let ours = Some(record.peer()) == own || Some(record.peer()) == self.former;
                    if ours { &mut listing.ours } else { &mut listing.others }.push((txt.clone(), record));
                }
            }
        }
        listing
    }

    /// A record that looks expired is no reason alone: our clock may be wrong. A node that does not answer must have been asked
    /// for a while: its network, or ours, may have had a bad moment.
    fn is_dead(&self, record: &NodeRecord, now: Now) -> bool {
        let Some(suspect) = self.suspects.get(&record.peer()) else { return false };
        let silent_ms = now.mono_ms.saturating_sub(suspect.first_failure_ms);
        let lapsed = !record.holds(now.unix_ms / 1000);
        suspect.failures >= PROBE_FAILURES && silent_ms >= PROBE_SPAN_MS || lapsed && suspect.failures > 0
    }

    fn probed(&mut self, peer: PeerId, answered: Option<bool>, now: Now) {
        let Some(suspect) = self.suspects.get_mut(&peer) else { return };
        (suspect.asked, suspect.unsure) = (false, answered.is_none());
        match answered {
            Some(true) => suspect.failures = 0,
            Some(false) => {
                if suspect.failures == 0 {
                    suspect.first_failure_ms = now.mono_ms;
                }
                suspect.failures = suspect.failures.saturating_add(1);
            }
            None => {}
        }
        self.say_whether_sure();
        if let (Doing::Waiting { look_at_ms }, Some(false) | None) = (self.doing, answered) {
            // It is asked again soon, and replaced soon if it is dead.
            let soon = now.mono_ms.saturating_add(self.jitter(DOUBT_EVERY_MS));
            self.doing = Doing::Waiting { look_at_ms: look_at_ms.min(soon) };
        }
    }

    fn say_whether_sure(&mut self) {
        let unsure = self.suspects.values().any(|suspect| suspect.unsure);
        if unsure != core::mem::replace(&mut self.unsure, unsure) {
            self.out.push_back(Output::Say(if unsure { Said::Unsure } else { Said::Well }));
        }
    }

    fn look(&mut self) {
        self.doing = Doing::Looking;
        self.out.push_back(Output::Look);
    }

    fn swap(&mut self, seen: &[Txt], remove: Vec<Txt>, add: Option<NodeRecord>, replaces: Option<PeerId>) {
        self.doing = Doing::Swapping { adds: add.is_some(), replaces };
        self.out.push_back(Output::Swap(Swap { seen: seen.to_vec(), remove, add }));
    }

    fn done(&mut self, adds: bool, replaces: Option<PeerId>, now: Now) {
        self.well();
        if !adds {
            return self.stop(Some(Said::Withdrawn));
        }
        self.suspects.clear();
        self.unsure = false;
        if let Some(dead) = replaces {
            self.out.push_back(Output::Say(Said::TookOver(dead)));
        } else if !self.listed {
            self.out.push_back(Output::Say(Said::Published));
        }
        self.listed = true;
        if self.stopping {
            return self.look();
        }
        self.wait(LOOK_EVERY_MS, now);
    }

    /// Somebody else was quicker.
    fn lost(&mut self, now: Now) {
        self.races = self.races.saturating_add(1);
        if !self.give_up() {
            self.wait(RACE_WAIT_MS.saturating_mul(1 << self.races.min(8)).min(LOOK_EVERY_MS), now);
        }
    }

    fn fail(&mut self, said: Said, now: Now) {
        if self.trouble.as_ref() != Some(&said) {
            self.out.push_back(Output::Say(said.clone()));
        }
        let hopeless = matches!(&said, Said::Trouble(error) if error.needs_a_person());
        self.trouble = Some(said);
        if !self.give_up() {
            let wait = FAILURE_WAIT_MS.saturating_mul(1 << self.failures.min(8));
            self.failures = self.failures.saturating_add(1);
            self.wait(if hopeless { FAILURE_WAIT_MAX_MS } else { wait.min(FAILURE_WAIT_MAX_MS) }, now);
        }
    }

    /// A node that is to stop does not wait for ever.
    fn give_up(&mut self) -> bool {
        if self.stopping {
            self.stop_tries = self.stop_tries.saturating_add(1);
            if self.stop_tries >= STOP_TRIES {
                self.stop(self.listed.then_some(Said::NotWithdrawn));
                return true;
            }
        }
        false
    }

    fn stop(&mut self, said: Option<Said>) {
        self.doing = Doing::Stopped;
        self.out.extend(said.map(Output::Say));
        self.out.push_back(Output::Stopped);
    }

    fn well(&mut self) {
        self.failures = 0;
        self.races = 0;
        if self.trouble.take().is_some() {
            // Whoever cannot be judged is said again.
            self.unsure = false;
            self.out.push_back(Output::Say(Said::Well));
        }
    }

    fn wait(&mut self, about_ms: u64, now: Now) {
        let about_ms = if self.stopping { about_ms.min(RACE_WAIT_MS) } else { about_ms };
        let look_at_ms = now.mono_ms.saturating_add(self.jitter(about_ms));
        self.doing = Doing::Waiting { look_at_ms };
    }

    /// From half of it to one and a half, so that nodes that saw the same do not act at the same moment.
    fn jitter(&mut self, about_ms: u64) -> u64 {
        let spread = self.rng.next_u64().checked_rem(about_ms.saturating_add(1)).unwrap_or(0);
        (about_ms / 2).saturating_add(spread)
    }
}

/// Whether it is time to write `own` where `listed` stands.
fn due(listed: &NodeRecord, own: &NodeRecord, unix_s: u64) -> bool {
    let half = listed.fields().issued.saturating_add(u64::from(listed.fields().lifetime_s) / 2);
    unix_s >= half || !says_the_same(listed, own)
}

/// Of one node, apart from the time.
fn says_the_same(a: &NodeRecord, b: &NodeRecord) -> bool {
    let (a_says, b_says) = (a.fields(), b.fields());
    let of = |record: &NodeRecord| (record.peer(), record.fields().roles);
    of(a) == of(b) && a_says.addrs == b_says.addrs && a_says.relay == b_says.relay && a_says.via == b_says.via
}

#[cfg(test)]
mod tests;
