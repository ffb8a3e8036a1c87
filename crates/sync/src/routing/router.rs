//! The composed machine: table, stored records and searches meet only here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use samizdat_core::{NodeRecord, Now, PeerId, record::Prefix};

use super::askers::Askers;
use super::event::{Answer, Input, LookupId, Output, Question, Ticket, Token};
use super::key::Key;
use super::lookup::{Lookup, Outcome, Wanted};
use super::records::Records;
use super::table::{Place, Table};
use crate::draw::Draw;
use crate::limits::{
    CLOSER_MAX, HEARD_MAX, LOOKUPS_MAX, OFFLINE_FAILURES, PINGS_MAX, PINGS_WAITING_MAX, QUESTIONS_MAX, SEEDS_MAX, STORE_SLACK,
    STRANGERS_MAX,
};

/// After so long a search does not wait for an answer any more.
const PATIENCE_MS: u64 = 1_000;
/// After so long no answer counts any more.
const ANSWER_MS: u64 = 5_000;
/// Between two looks at what has grown old.
const UPKEEP_MS: u64 = 300_000;
/// Between two tries as long as nobody is known, or nobody keeps our record.
const RETRY_MS: u64 = 30_000;
/// Between two searches for our own neighbourhood, in which our record is given to it. The shell renews the record more often.
const OWN_MS: u64 = 4_800_000;
/// The same after joining; it doubles each time, for whoever we joined by may have been new as well.
const YOUNG_MS: u64 = 300_000;
/// Nodes asked for a new record at a time.
const LAPSED_AT_ONCE: usize = 8;

/// What may differ between nodes and networks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Nodes in a bucket, in an answer, and keepers of a record.
    pub k: usize,
    /// Questions of one search under way.
    pub alpha: usize,
    /// Disjoint paths of one search.
    pub paths: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { k: 16, alpha: 3, paths: 3 }
    }
}

#[derive(Debug)]
struct Pending {
    to: Arc<NodeRecord>,
    purpose: Purpose,
    asked_ms: u64,
    stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Ping,
    Store,
    Search(LookupId),
}

/// Whose search it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Asked,
    Own,
    Refresh,
}

/// Our record on its way to its keepers.
#[derive(Debug, Default)]
struct Publication {
    waiting: usize,
    stored: usize,
}

/// One node's part in finding others. After every call that takes `now`, drain [`Self::poll_output`].
#[derive(Debug)]
pub struct Router {
    config: Config,
    draw: Draw,
    own: PeerId,
    key: Key,
    record: Option<Arc<NodeRecord>>,
    table: Table,
    records: Records,
    askers: Askers,
    questions: BTreeMap<Ticket, Pending>,
    lookups: BTreeMap<LookupId, (Job, Lookup)>,
    publication: Option<Publication>,
    publishing: bool,
    pings: VecDeque<Arc<NodeRecord>>,
    /// Asked since the last upkeep whether they live, without having a place.
    strangers: BTreeSet<PeerId>,
    seeds: Vec<Arc<NodeRecord>>,
    /// Questions in a row without an answer.
    failures: u32,
    serial: u64,
    joined: bool,
    upkeep_ms: u64,
    own_ms: u64,
    pause_ms: u64,
    out: VecDeque<Output>,
}

impl Router {
    /// A node that knows nobody. The seed must be secret.
    pub fn new(config: Config, seed: [u8; 32], own: PeerId) -> Self {
        let key = Key::of(&own);
        let config = Config { k: config.k.clamp(1, CLOSER_MAX), ..config };
        Self {
            table: Table::new(key, config.k),
            config,
            draw: Draw::new(seed),
            own,
            key,
            record: None,
            records: Records::new(key),
            askers: Askers::default(),
            questions: BTreeMap::new(),
            lookups: BTreeMap::new(),
            publication: None,
            publishing: false,
            pings: VecDeque::new(),
            strangers: BTreeSet::new(),
            seeds: Vec::new(),
            failures: 0,
            serial: 0,
            joined: false,
            upkeep_ms: u64::MAX,
            own_ms: u64::MAX,
            pause_ms: YOUNG_MS,
            out: VecDeque::new(),
        }
    }

    /// What this node says of itself from now on. Without a record that names an address it enters no table.
    pub fn set_own(&mut self, record: Option<Arc<NodeRecord>>, now: Now) {
        let record = record.filter(|record| record.peer() == self.own);
        let changed = record.as_ref().map(|record| record.bytes()) != self.record.as_ref().map(|record| record.bytes());
        self.record = record;
        if changed && self.publishing && self.joined {
            self.own_ms = now.mono_ms;
        }
        self.settle(now);
    }

    /// Gives the own record to the nodes closest to us, from now on whenever it changes, and again before it expires.
    pub fn publish(&mut self, now: Now) {
        self.publishing = true;
        if self.joined {
            self.own_ms = now.mono_ms;
        }
        self.settle(now);
    }

    /// A node to begin with: remembered, or named by a link, by DNS, by the local network.
    pub fn learn(&mut self, record: &Arc<NodeRecord>, now: Now) {
        if record.peer() != self.own && !record.fields().addrs.is_empty() {
            self.seeds.retain(|seed| seed.peer() != record.peer());
            if self.seeds.len() >= SEEDS_MAX {
                self.seeds.remove(0);
            }
            self.seeds.push(Arc::clone(record));
            self.upkeep_ms = self.upkeep_ms.min(now.mono_ms.saturating_add(RETRY_MS));
            self.ping(record);
        }
        self.settle(now);
    }

    /// Looks for the node at this position, and for those closest to it. `None` if too many searches are under way.
    pub fn lookup(&mut self, target: Key, now: Now) -> Option<LookupId> {
        let id = (self.lookups.len() < LOOKUPS_MAX).then(|| self.search(Job::Asked, target, Wanted::Record, now));
        self.settle(now);
        id
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Asked { token, from, from_prefix, record, question } => {
                self.asked(token, from, from_prefix, record.as_ref(), question, now);
            }
            Input::Answered { ticket, from_prefix, answer } => self.answered(ticket, from_prefix, answer, now),
            Input::Failed { ticket } => self.failed(ticket),
            Input::Timeout => {}
        }
        self.settle(now);
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call with [`Input::Timeout`], on the monotonic clock.
    pub fn next_timeout(&self) -> Option<u64> {
        let due = |pending: &Pending| pending.asked_ms.saturating_add(if pending.stalled { ANSWER_MS } else { PATIENCE_MS });
        let questions = self.questions.values().map(due);
        let lookups = self.lookups.values().map(|(_, lookup)| lookup.deadline());
        let own = if self.may_publish() { self.own_ms } else { u64::MAX };
        questions.chain(lookups).chain([self.upkeep_ms, own]).min().filter(|at| *at < u64::MAX)
    }

    /// Nodes in the table, to be remembered over a restart, the closest first.
    pub fn nodes(&self, now: Now) -> Vec<Arc<NodeRecord>> {
        self.table.closest(self.key, usize::MAX, unix_s(now), None)
    }

    /// How many nodes are in the table.
    pub fn known(&self) -> usize {
        self.table.len()
    }

    /// How many records are kept for others.
    pub fn stored(&self) -> usize {
        self.records.len()
    }

    /// The record of a node as far as it is known here.
    pub fn recall(&self, position: Key, now: Now) -> Option<&Arc<NodeRecord>> {
        let known = self.table.get(position).map(|entry| &entry.record).filter(|record| record.holds(unix_s(now)));
        let both = known.into_iter().chain(self.records.get(position, now));
        both.reduce(|one, other| if other.supersedes(one) { other } else { one })
    }

    fn asked(
        &mut self,
        token: Token,
        from: PeerId,
        prefix: Option<Prefix>,
        record: Option<&Arc<NodeRecord>>,
        question: Question,
        now: Now,
    ) {
        if !self.askers.may(from, prefix, now.mono_ms) {
            self.out.push_back(Output::Refuse { token });
            return;
        }
        let answer = match question {
            // Whether we live is all that is asked.
            Question::Find { target } if target == self.key => Answer::Nodes { found: self.record.clone(), closer: Vec::new() },
            // Of a node that can be dialled the table has a record, too, but that node knows a newer one.
            Question::Find { target } => Answer::Nodes {
                found: self.records.get(target, now).cloned(),
                closer: self.table.closest(target, self.config.k, unix_s(now), Some(&from)),
            },
            Question::Store { record } => {
                let near = is_near(&self.table, Key::of(&from), &self.config);
                Answer::Stored(record.peer() == from && near && self.records.store(&record, now))
            }
        };
        self.out.push_back(Output::Reply { token, answer });
        if let Some(record) = record.filter(|record| record.peer() == from && record.holds(unix_s(now))) {
            self.met(record, prefix, now);
        }
    }

    /// Somebody who says that it can be dialled asked us something. It gets a place only if it answers, too.
    fn met(&mut self, record: &Arc<NodeRecord>, prefix: Option<Prefix>, now: Now) {
        match self.table.place(record, prefix.or(record.prefix()), now.mono_ms) {
            Place::Known => self.table.seen(record, now.mono_ms),
            Place::Room => self.ping_stranger(record),
            Place::Full(oldest) => {
                self.table.wait(record);
                oldest.iter().for_each(|oldest| self.ping(oldest));
            }
            Place::Never => {}
        }
    }

    /// Somebody told us of a node. Whether there is room for it.
    fn heard(&mut self, record: &Arc<NodeRecord>, now: Now) -> bool {
        match self.table.place(record, record.prefix(), now.mono_ms) {
            Place::Known => self.table.renew(record),
            Place::Room => return true,
            Place::Full(_) | Place::Never => {}
        }
        false
    }

    /// Whoever they are, each is asked once in a while: nobody sends us against others.
    fn ping_stranger(&mut self, record: &Arc<NodeRecord>) {
        if self.strangers.len() < STRANGERS_MAX && self.strangers.insert(record.peer()) {
            self.ping(record);
        }
    }

    fn ping(&mut self, record: &Arc<NodeRecord>) {
        let waits = self.pings.iter().any(|other| other.peer() == record.peer());
        if !waits && self.pings.len() < PINGS_WAITING_MAX && !self.is_asking(&record.peer()) {
            self.pings.push_back(Arc::clone(record));
        }
    }

    fn is_asking(&self, peer: &PeerId) -> bool {
        self.questions.values().any(|pending| pending.to.peer() == *peer)
    }

    fn answered(&mut self, ticket: Ticket, prefix: Option<Prefix>, answer: Answer, now: Now) {
        let Some(pending) = self.questions.remove(&ticket) else { return };
        match (pending.purpose, answer) {
            (Purpose::Store, Answer::Stored(kept)) => {
                self.failures = 0;
                self.table.answered(&pending.to, prefix.or(pending.to.prefix()), now.mono_ms);
                self.kept(kept);
            }
            (Purpose::Ping, Answer::Nodes { found, closer }) => self.told(&pending.to, None, prefix, found, closer, now),
            (Purpose::Search(id), Answer::Nodes { found, closer }) => {
                self.told(&pending.to, Some(id), prefix, found, closer, now);
            }
            // An answer to something else is none.
            _ => self.unanswered(&pending),
        }
    }

    fn told(
        &mut self,
        by: &Arc<NodeRecord>,
        id: Option<LookupId>,
        prefix: Option<Prefix>,
        found: Option<Arc<NodeRecord>>,
        closer: Vec<Arc<NodeRecord>>,
        now: Now,
    ) {
        self.failures = 0;
        let found = found.filter(|record| record.holds(unix_s(now)));
        let holds = |record: &Arc<NodeRecord>| record.holds(unix_s(now)) && record.peer() != self.own;
        let closer: Vec<_> = closer.into_iter().filter(holds).take(self.config.k).collect();
        let newer = found.as_ref().filter(|record| record.peer() == by.peer() && record.supersedes(by));
        let newer = newer.filter(|record| !record.fields().addrs.is_empty()).unwrap_or(by);
        self.table.answered(newer, prefix.or(newer.prefix()), now.mono_ms);
        if !self.joined && self.table.len() > 0 {
            (self.joined, self.own_ms, self.pause_ms) = (true, now.mono_ms, YOUNG_MS);
        }
        // One answer fills no bucket: who lies would fill it with accomplices.
        let mut strangers = self.draw.sample(&closer, closer.len());
        strangers.retain(|record| self.heard(record, now));
        strangers.iter().take(HEARD_MAX).for_each(|record| self.ping_stranger(record));
        if let Some((_, lookup)) = id.and_then(|id| self.lookups.get_mut(&id)) {
            lookup.answered(&by.peer(), found, &closer, now.mono_ms);
        }
    }

    fn failed(&mut self, ticket: Ticket) {
        if let Some(pending) = self.questions.remove(&ticket) {
            self.unanswered(&pending);
        }
    }

    fn unanswered(&mut self, pending: &Pending) {
        self.failures = self.failures.saturating_add(1);
        let peer = pending.to.peer();
        if self.failures <= OFFLINE_FAILURES
            && let Some(next) = self.table.failed(&peer)
        {
            self.ping(&next);
        }
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Store => self.kept(false),
            Purpose::Search(id) => {
                if let Some((_, lookup)) = self.lookups.get_mut(&id) {
                    lookup.failed(&peer);
                }
            }
        }
    }

    /// One of those to whom our record was given keeps it or not.
    fn kept(&mut self, kept: bool) {
        if let Some(publication) = &mut self.publication {
            publication.waiting = publication.waiting.saturating_sub(1);
            publication.stored = publication.stored.saturating_add(usize::from(kept));
        }
    }

    fn search(&mut self, job: Job, target: Key, wanted: Wanted, now: Now) -> LookupId {
        self.serial = self.serial.saturating_add(1);
        let id = LookupId(self.serial);
        let start = self.table.closest(target, self.config.k, unix_s(now), None);
        self.table.looked(target, now.mono_ms);
        self.lookups.insert(id, (job, Lookup::new(self.key, target, wanted, &self.config, &start, now.mono_ms)));
        id
    }

    fn ask(&mut self, to: Arc<NodeRecord>, question: Question, purpose: Purpose, now: Now) {
        self.serial = self.serial.saturating_add(1);
        let ticket = Ticket(self.serial);
        let record = self.record.clone().filter(|record| !record.fields().addrs.is_empty());
        self.questions.insert(ticket, Pending { to: Arc::clone(&to), purpose, asked_ms: now.mono_ms, stalled: false });
        self.out.push_back(Output::Ask { ticket, to, record, question });
    }

    /// Does what is due and what has become possible.
    fn settle(&mut self, now: Now) {
        self.overdue(now);
        if self.upkeep_ms <= now.mono_ms {
            self.upkeep(now);
        }
        if self.own_ms <= now.mono_ms && self.may_publish() {
            self.own_ms = now.mono_ms.saturating_add(self.draw.around(self.pause_ms));
            self.pause_ms = self.pause_ms.saturating_mul(2).min(OWN_MS);
            self.search(Job::Own, self.key, Wanted::Closest, now);
        }
        while self.advance(now) {}
        if self.publication.as_ref().is_some_and(|publication| publication.waiting == 0) {
            let stored = self.publication.take().map_or(0, |publication| publication.stored);
            if stored == 0 {
                self.own_ms = self.own_ms.min(now.mono_ms.saturating_add(RETRY_MS));
            }
            self.out.push_back(Output::Published { stored });
        }
        let asking = self.questions.values().filter(|pending| pending.purpose == Purpose::Ping).count();
        for _ in asking..PINGS_MAX {
            let Some(to) = self.pings.pop_front() else { break };
            let target = Key::at(&to);
            self.ask(to, Question::Find { target }, Purpose::Ping, now);
        }
    }

    /// Whether the search for our own neighbourhood may begin: one after the other.
    fn may_publish(&self) -> bool {
        self.joined && self.publication.is_none() && self.lookups.values().all(|(job, _)| *job != Job::Own)
    }

    fn overdue(&mut self, now: Now) {
        let since = |pending: &Pending| now.mono_ms.saturating_sub(pending.asked_ms);
        let late: Vec<Ticket> =
            self.questions.iter().filter(|(_, pending)| since(pending) >= ANSWER_MS).map(|(ticket, _)| *ticket).collect();
        late.into_iter().for_each(|ticket| self.failed(ticket));
        for pending in self.questions.values_mut().filter(|pending| !pending.stalled && since(pending) >= PATIENCE_MS) {
            pending.stalled = true;
            if let Purpose::Search(id) = pending.purpose
                && let Some((_, lookup)) = self.lookups.get_mut(&id)
            {
                lookup.stalled(&pending.to.peer());
            }
        }
    }

    /// Moves all searches on. `true` if one of them ended, for others may follow from it.
    fn advance(&mut self, now: Now) -> bool {
        let ids: Vec<LookupId> = self.lookups.keys().copied().collect();
        let mut ended = false;
        for id in ids {
            let Some((_, lookup)) = self.lookups.get_mut(&id) else { continue };
            let target = lookup.target();
            let mut to_ask = Vec::new();
            while self.questions.len().saturating_add(to_ask.len()) < QUESTIONS_MAX
                && let Some(to) = lookup.next()
            {
                to_ask.push(to);
            }
            if lookup.is_over(now.mono_ms)
                && let Some((job, lookup)) = self.lookups.remove(&id)
            {
                self.over(id, job, lookup.outcome(), now);
                ended = true;
            }
            to_ask.into_iter().for_each(|to| self.ask(to, Question::Find { target }, Purpose::Search(id), now));
        }
        ended
    }

    fn over(&mut self, id: LookupId, job: Job, outcome: Outcome, now: Now) {
        let Outcome { record, closest, hops, asked } = outcome;
        if job == Job::Asked {
            self.out.push_back(Output::Found { lookup: id, record, closest, hops, asked });
            return;
        }
        if job == Job::Own
            && let Some(record) = self.record.clone().filter(|_| self.publishing)
        {
            self.publication = Some(Publication { waiting: closest.len(), stored: 0 });
            for to in closest {
                self.ask(to, Question::Store { record: Arc::clone(&record) }, Purpose::Store, now);
            }
        }
        self.refresh(now);
    }

    /// One bucket after the other.
    fn refresh(&mut self, now: Now) {
        if self.lookups.values().all(|(job, _)| *job == Job::Asked)
            && let Some(target) = self.table.to_refresh(now.mono_ms, &mut self.draw)
        {
            self.search(Job::Refresh, target, Wanted::Some, now);
        }
    }

    fn upkeep(&mut self, now: Now) {
        self.strangers.clear();
        self.records.retain(now, |position| is_near(&self.table, position, &self.config));
        self.seeds.retain(|seed| seed.holds(unix_s(now)));
        let lapsed = self.table.expire(unix_s(now), LAPSED_AT_ONCE);
        lapsed.iter().for_each(|record| self.ping(record));
        let pause = if self.table.len() == 0 {
            self.joined = false;
            let seeds = self.seeds.clone();
            seeds.iter().for_each(|seed| self.ping(seed));
            RETRY_MS
        } else {
            self.refresh(now);
            UPKEEP_MS
        };
        self.upkeep_ms = now.mono_ms.saturating_add(self.draw.around(pause));
    }
}

/// Whether we are among those closest to a position, as far as we know.
fn is_near(table: &Table, position: Key, config: &Config) -> bool {
    table.closer_than_own(position) < config.k.saturating_add(STORE_SLACK)
}

fn unix_s(now: Now) -> u64 {
    now.unix_ms / 1000
}
