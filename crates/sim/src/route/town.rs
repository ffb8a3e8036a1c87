//! All routers under one clock.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use samizdat_core::{
    NodeRecord, Now, PeerId, PeerSecret,
    limits::RECORD_LIFETIME_MAX_S,
    record::{NodeFields, Roles, Via},
};
use samizdat_sync::{
    draw::Draw,
    limits::LOOKUP_MS_MAX,
    routing::{Answer, Input, Key, LookupId, Output, Question, Router, Ticket, Token},
};
use sha2::{Digest, Sha256};

use super::{
    bytes::{answer_len, question_len},
    crowd::{Crowd, Vice},
    plan::Plan,
    report::{Hops, RouteReport},
};
use crate::{
    limits::{ROUTE_DELAY_MS, ROUTE_LOOKUPS_MS, ROUTE_RAMP_MS, ROUTE_RENEW_MS, UNIX_START_MS},
    queue::Queue,
    report::Latency,
    scenario::ScenarioError,
};

const HOUR_MS: u64 = 3_600_000;
/// Random nodes looked at to find one that is wanted.
const TRIES: usize = 1_000;

#[derive(Debug)]
enum Event {
    Birth,
    /// One dies, another is born.
    Generation,
    Renew(u32),
    Wake(u32),
    Asked {
        to: u32,
        from: u32,
        ticket: Ticket,
        record: Option<Arc<NodeRecord>>,
        question: Question,
    },
    Answered {
        to: u32,
        from: u32,
        ticket: Ticket,
        answer: Answer,
    },
    Lookup,
}

#[derive(Debug)]
struct Node {
    secret: PeerSecret,
    router: Router,
    record: Arc<NodeRecord>,
    hidden: bool,
    vice: Option<Vice>,
    published: bool,
    wake_ms: u64,
    /// Where it stands among the living.
    at: usize,
}

#[derive(Debug)]
struct Search {
    target: u32,
    sought: Arc<NodeRecord>,
    started_ms: u64,
}

/// Counts since the measuring began.
#[derive(Debug, Default)]
struct Tally {
    questions: u64,
    bytes: u64,
    published: u64,
    keepers: u64,
    refused: u64,
}

/// What became of the measured lookups.
#[derive(Debug, Default)]
struct Fate {
    over: usize,
    found: usize,
    stale: usize,
    asked: usize,
    hops: Vec<Option<u64>>,
    times: Vec<Option<u64>>,
}

struct Town<'a> {
    plan: &'a Plan,
    now_ms: u64,
    draw: Draw,
    queue: Queue<Event>,
    /// The dead leave a gap.
    nodes: Vec<Option<Box<Node>>>,
    numbers: HashMap<PeerId, u32>,
    living: Vec<u32>,
    crowd: Crowd,
    searches: BTreeMap<(u32, LookupId), Search>,
    tally: Tally,
    fate: Fate,
    trace: Sha256,
}

/// Lets a network live and looks for nodes in it.
///
/// # Errors
/// If the numbers of the plan make no sense.
pub fn route(plan: &Plan) -> Result<RouteReport, ScenarioError> {
    plan.check()?;
    let mut seed = [0x72; 32];
    seed.iter_mut().zip(plan.seed.to_be_bytes()).for_each(|(to, from)| *to = from);
    let town = Town {
        plan,
        now_ms: 0,
        draw: Draw::new(seed),
        queue: Queue::new(),
        nodes: Vec::new(),
        numbers: HashMap::new(),
        living: Vec::new(),
        crowd: Crowd::default(),
        searches: BTreeMap::new(),
        tally: Tally::default(),
        fate: Fate::default(),
        trace: Sha256::new(),
    };
    Ok(town.live())
}

impl Town<'_> {
    fn live(mut self) -> RouteReport {
        let count = self.plan.nodes as u64;
        for n in 0..count {
            let at = ROUTE_RAMP_MS.saturating_mul(n).checked_div(count).unwrap_or(0);
            self.queue.push(at, Event::Birth);
        }
        if self.pause_ms() > 0 {
            self.queue.push(ROUTE_RAMP_MS, Event::Generation);
        }
        let begin = ROUTE_RAMP_MS.saturating_add((self.plan.hours * HOUR_MS as f64) as u64);
        let measured = begin.saturating_sub(HOUR_MS).max(ROUTE_RAMP_MS);
        self.run(measured);
        // What is counted is what a network costs in which nobody looks for anybody.
        self.tally = Tally::default();
        self.run(begin);
        let hours = begin.saturating_sub(measured) as f64 / HOUR_MS as f64;
        let tally = core::mem::take(&mut self.tally);
        let lookups = self.plan.lookups as u64;
        for n in 0..lookups {
            let at = ROUTE_LOOKUPS_MS.saturating_mul(n).checked_div(lookups).unwrap_or(0);
            self.queue.push(begin.saturating_add(at), Event::Lookup);
        }
        self.run(begin.saturating_add(ROUTE_LOOKUPS_MS).saturating_add(LOOKUP_MS_MAX));
        self.report(&tally, hours)
    }

    fn run(&mut self, end: u64) {
        while let Some((at, event)) = self.queue.pop_until(end) {
            self.now_ms = at;
            self.happen(event);
        }
        self.now_ms = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Birth => self.birth(),
            Event::Generation => {
                self.death();
                self.birth();
                let next = self.draw.below(self.pause_ms().saturating_mul(2)).max(1);
                self.queue.push(self.now_ms.saturating_add(next), Event::Generation);
            }
            Event::Renew(number) => self.renew(number),
            Event::Wake(number) => {
                let now = self.now();
                // An earlier one may have come since this one was ordered.
                let now_ms = self.now_ms;
                if let Some(node) = self.node(number).filter(|node| node.wake_ms == now_ms) {
                    node.wake_ms = u64::MAX;
                    node.router.handle(Input::Timeout, now);
                    self.drain(number, None);
                }
            }
            Event::Asked { to, from, ticket, record, question } => self.asked(to, (from, ticket), record, question),
            Event::Answered { to, from, ticket, answer } => {
                let prefix = self.node(from).and_then(|node| node.record.prefix());
                let now = self.now();
                if let Some(node) = self.node(to) {
                    node.router.handle(Input::Answered { ticket, from_prefix: prefix, answer }, now);
                    self.drain(to, None);
                }
            }
            Event::Lookup => self.lookup(),
        }
    }

    /// Mean time from one death to the next; 0 if nobody dies.
    fn pause_ms(&self) -> u64 {
        let deaths = self.plan.nodes as f64 * self.plan.churn / 100.0;
        if deaths > 0.0 { ((HOUR_MS as f64 / deaths) as u64).max(1) } else { 0 }
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, unix_ms: UNIX_START_MS.saturating_add(self.now_ms) }
    }

    fn node(&mut self, number: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(number).ok()?)?.as_deref_mut()
    }

    fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|bytes| *bytes = self.draw.word().to_be_bytes());
        bytes
    }

    fn note(&mut self, what: u8, number: u32, more: u64) {
        self.trace.update([what]);
        self.trace.update(number.to_be_bytes());
        self.trace.update([self.now_ms.to_be_bytes(), more.to_be_bytes()].concat());
    }

    /// A living node that passes.
    fn somebody(&mut self, passes: impl Fn(&Node) -> bool) -> Option<u32> {
        for _ in 0..TRIES {
            let at = usize::try_from(self.draw.below(self.living.len() as u64)).ok()?;
            let number = *self.living.get(at)?;
            if self.node(number).is_some_and(|node| passes(node)) {
                return Some(number);
            }
        }
        None
    }

    fn percent(&mut self, chance: f64) -> bool {
        self.draw.below(1_000_000) < (chance * 10_000.0) as u64
    }

    fn birth(&mut self) {
        let Ok(number) = u32::try_from(self.nodes.len()) else { return };
        let plan = self.plan;
        let vice = if !self.living.is_empty() && self.percent(plan.byzantine) { self.draw.pick(Vice::ALL) } else { None };
        let hidden = vice.is_none() && !self.living.is_empty() && self.percent(plan.hidden);
        let secret = PeerSecret(self.random());
        let Some(record) = say(&secret, number, hidden, self.now()) else { return };
        let mut router = Router::new(plan.config(), self.random(), record.peer());
        router.set_own(Some(Arc::clone(&record)), self.now());
        router.publish(self.now());
        for n in 0..plan.known {
            let by = self.somebody(|node| !node.hidden && (n > 0 || node.vice.is_none()));
            let by = by.and_then(|by| self.node(by)).map(|node| Arc::clone(&node.record));
            by.iter().for_each(|by| router.learn(by, self.now()));
        }
        if vice.is_some() {
            self.crowd.add(&record);
        }
        self.note(b'b', number, 0);
        self.numbers.insert(record.peer(), number);
        let at = self.living.len();
        self.living.push(number);
        let node = Node { secret, router, record, hidden, vice, published: false, wake_ms: u64::MAX, at };
        self.nodes.push(Some(Box::new(node)));
        let renew = self.draw.around(ROUTE_RENEW_MS);
        self.queue.push(self.now_ms.saturating_add(renew), Event::Renew(number));
        self.drain(number, None);
    }

    fn death(&mut self) {
        let Some(number) = self.somebody(|_| true) else { return };
        let Some(node) = usize::try_from(number).ok().and_then(|at| self.nodes.get_mut(at)).and_then(Option::take) else { return };
        self.living.swap_remove(node.at);
        if let Some(moved) = self.living.get(node.at).copied()
            && let Some(moved) = self.node(moved)
        {
            moved.at = node.at;
        }
        self.numbers.remove(&node.record.peer());
        if node.vice.is_some() {
            self.crowd.remove(&node.record);
        }
        self.note(b'd', number, 0);
    }

    /// A node signs a new record before the old one lapses.
    fn renew(&mut self, number: u32) {
        let now = self.now();
        let renewed = self.node(number).and_then(|node| {
            let record = say(&node.secret, number, node.hidden, now)?;
            node.record = Arc::clone(&record);
            node.router.set_own(Some(Arc::clone(&record)), now);
            Some((record, node.vice.is_some()))
        });
        let Some((record, malicious)) = renewed else { return };
        if malicious {
            self.crowd.add(&record);
        }
        let renew = self.draw.around(ROUTE_RENEW_MS);
        self.queue.push(self.now_ms.saturating_add(renew), Event::Renew(number));
        self.drain(number, None);
    }

    fn asked(&mut self, to: u32, by: (u32, Ticket), record: Option<Arc<NodeRecord>>, question: Question) {
        let from = by.0;
        let Some((asker, prefix)) = self.node(from).map(|node| (node.record.peer(), node.record.prefix())) else { return };
        let (now, k) = (self.now(), self.plan.k);
        let Some(node) = self.node(to) else { return };
        let lie = node.vice.and_then(|vice| match &question {
            Question::Find { target } if *target == Key::at(&node.record) => None,
            Question::Find { target } => Some((vice, *target)),
            Question::Store { .. } => None,
        });
        if let Some((vice, target)) = lie {
            if let Some(answer) = self.crowd.answer(vice, target, k) {
                self.reply(to, by, answer);
            }
        } else if node.vice.is_some() && matches!(question, Question::Store { .. }) {
            self.reply(to, by, Answer::Stored(true));
        } else {
            let input = Input::Asked { token: Token(0), from: asker, from_prefix: prefix, record, question };
            node.router.handle(input, now);
            self.drain(to, Some(by));
        }
    }

    fn reply(&mut self, from: u32, (to, ticket): (u32, Ticket), answer: Answer) {
        if self.node(from).is_some_and(|node| node.vice.is_none()) {
            self.tally.bytes = self.tally.bytes.saturating_add(answer_len(&answer));
        }
        self.send(Event::Answered { to, from, ticket, answer });
    }

    fn send(&mut self, event: Event) {
        let (least, most) = ROUTE_DELAY_MS;
        let delay = least.saturating_add(self.draw.below(most.saturating_sub(least)));
        self.queue.push(self.now_ms.saturating_add(delay), event);
    }

    /// Carries out what a node wants done; `by` asked the question that it is answering.
    fn drain(&mut self, number: u32, by: Option<(u32, Ticket)>) {
        while let Some(output) = self.node(number).and_then(|node| node.router.poll_output()) {
            match output {
                Output::Ask { ticket, to, record, question } => {
                    if self.node(number).is_some_and(|node| node.vice.is_none()) {
                        self.tally.questions = self.tally.questions.saturating_add(1);
                        self.tally.bytes = self.tally.bytes.saturating_add(question_len(record.as_deref(), &question));
                    }
                    // The dead do not answer.
                    if let Some(to) = self.numbers.get(&to.peer()).copied() {
                        self.send(Event::Asked { to, from: number, ticket, record, question });
                    }
                }
                Output::Reply { answer, .. } => by.into_iter().for_each(|by| self.reply(number, by, answer.clone())),
                Output::Refuse { .. } => self.tally.refused = self.tally.refused.saturating_add(1),
                Output::Published { stored } => {
                    self.note(b'p', number, stored as u64);
                    self.tally.published = self.tally.published.saturating_add(1);
                    self.tally.keepers = self.tally.keepers.saturating_add(stored as u64);
                    if let Some(node) = self.node(number) {
                        node.published |= stored > 0;
                    }
                }
                Output::Found { lookup, record, hops, asked, .. } => self.found((number, lookup), record, hops, asked),
            }
        }
        let now_ms = self.now_ms;
        let Some(node) = self.node(number) else { return };
        if let Some(at) = node.router.next_timeout().map(|at| at.max(now_ms.saturating_add(1))).filter(|at| *at < node.wake_ms) {
            node.wake_ms = at;
            self.queue.push(at, Event::Wake(number));
        }
    }

    fn lookup(&mut self) {
        let sound = |node: &Node| node.vice.is_none() && node.published;
        let Some((alice, bob)) = self.somebody(sound).zip(self.somebody(sound)) else { return };
        let Some(sought) = self.node(bob).map(|node| Arc::clone(&node.record)).filter(|_| alice != bob) else { return };
        let now = self.now();
        let target = Key::at(&sought);
        let Some(id) = self.node(alice).and_then(|node| node.router.lookup(target, now)) else { return };
        self.searches.insert((alice, id), Search { target: bob, sought, started_ms: self.now_ms });
        self.drain(alice, None);
    }

    fn found(&mut self, which: (u32, LookupId), record: Option<Arc<NodeRecord>>, hops: u32, asked: usize) {
        let Some(search) = self.searches.remove(&which) else { return };
        self.note(b'f', which.0, record.as_ref().map_or(0, |record| record.fields().issued));
        // Who died meanwhile need not be found.
        let Some(live) = self.node(search.target).map(|node| Arc::clone(&node.record)) else { return };
        let good = record.as_ref().is_some_and(|record| *record == live || *record == search.sought);
        let took = self.now_ms.saturating_sub(search.started_ms);
        let fate = &mut self.fate;
        fate.over = fate.over.saturating_add(1);
        fate.found = fate.found.saturating_add(usize::from(good));
        fate.stale = fate.stale.saturating_add(usize::from(record.is_some() && !good));
        fate.asked = fate.asked.saturating_add(asked);
        fate.hops.extend(record.is_some().then_some(Some(u64::from(hops))));
        fate.times.extend(record.is_some().then_some(Some(took)));
    }

    fn report(mut self, tally: &Tally, hours: f64) -> RouteReport {
        let fate = core::mem::take(&mut self.fate);
        let now = self.now();
        let living: Vec<&Node> = self.nodes.iter().flatten().map(|node| &**node).collect();
        let honest: Vec<&Node> = living.iter().copied().filter(|node| node.vice.is_none()).collect();
        let servers = || honest.iter().filter(|node| !node.hidden);
        let mean = |sum: usize, of: usize| sum as f64 / of.max(1) as f64;
        let sum = |count: &dyn Fn(&Node) -> usize| honest.iter().map(|node| count(node)).sum::<usize>();
        let (mut entries, mut dead, mut bad) = (0_usize, 0_usize, 0_usize);
        for known in honest.iter().flat_map(|node| node.router.nodes(now)) {
            let number = self.numbers.get(&known.peer()).and_then(|number| usize::try_from(*number).ok());
            let node = number.and_then(|number| self.nodes.get(number)?.as_ref());
            entries = entries.saturating_add(1);
            dead = dead.saturating_add(usize::from(node.is_none()));
            bad = bad.saturating_add(usize::from(node.is_some_and(|node| node.vice.is_some())));
        }
        let spread = Latency::of(fate.hops);
        let each = honest.len() as f64 * hours;
        let hourly = |count: u64| if each > 0.0 { count as f64 / each } else { 0.0 };
        RouteReport {
            seed: self.plan.seed,
            nodes: living.len(),
            byzantine: living.len().saturating_sub(honest.len()),
            hidden: honest.iter().filter(|node| node.hidden).count(),
            churn: self.plan.churn,
            k: self.plan.k,
            alpha: self.plan.alpha,
            paths: self.plan.paths,
            lookups: fate.over,
            lookup_success: mean(fate.found, fate.over),
            lookup_stale: mean(fate.stale, fate.over),
            hops: Hops { p50: spread.p50, p95: spread.p95, max: spread.max },
            latency_ms: Latency::of(fate.times),
            questions_per_lookup: mean(fate.asked, fate.over),
            entries_mean: mean(sum(&|node| node.router.known()), honest.len()),
            entries_max: honest.iter().map(|node| node.router.known()).max().unwrap_or(0),
            entries_goal: 20.0 * (living.len() as f64).log2(),
            entries_dead: mean(dead, entries),
            entries_byzantine: mean(bad, entries),
            stored_mean: mean(sum(&|node| node.router.stored()), servers().count()),
            stored_max: servers().map(|node| node.router.stored()).max().unwrap_or(0),
            keepers_mean: tally.keepers as f64 / (tally.published.max(1)) as f64,
            questions_per_node_hour: hourly(tally.questions),
            bytes_per_node_hour: hourly(tally.bytes),
            refused: tally.refused,
            virtual_ms: self.now_ms,
            trace_hash: self.trace.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// What a node says of itself. Each is in a network of its own: diversity stops nobody here, the malicious neither.
fn say(secret: &PeerSecret, number: u32, hidden: bool, now: Now) -> Option<Arc<NodeRecord>> {
    let [_, a, b, c] = number.to_be_bytes();
    let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a.saturating_add(20), b, c, 1)), 4001);
    let via = if hidden { vec![Via { at: addr.into(), certificate: [1; 32] }] } else { Vec::new() };
    let addrs = if hidden { Vec::new() } else { vec![addr] };
    let issued = now.unix_ms / 1000;
    let fields = NodeFields { issued, lifetime_s: RECORD_LIFETIME_MAX_S, roles: Roles::default(), addrs, relay: None, via };
    NodeRecord::sign(secret, fields).ok().map(Arc::new)
}
