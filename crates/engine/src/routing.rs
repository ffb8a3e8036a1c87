//! Finding nodes, and finding out whether we can be found: where the routing and the view from outside meet the bytes.

mod probe;

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_core::record::{Families, Prefix, RelayService};
use samizdat_core::{NodeRecord, Now, PeerId};
use samizdat_sync::PeerAddr;
use samizdat_sync::clocks::Clocks;
use samizdat_sync::reach::{Ask as ReachAsk, Check, CheckIn, Checked, CheckedIn, Checker, Reach, Verdict};
use samizdat_sync::relays::{Chosen, Relays};
use samizdat_sync::routing::{
    Answer, Config, Input as RouterInput, Key, LookupId, Output as RouterOutput, Question, Router, Ticket, Token,
    codec::{AnswerIn, QuestionIn, Verified},
};

use crate::engine::{Engine, Output};
use crate::limits::{ASKING_MAX, CHECKS_PER_MINUTE, INTRODUCTIONS};

const MINUTE_MS: u64 = 60_000;

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// A node by its record.
    Node(Arc<NodeRecord>),
    /// The same, at one of its addresses only.
    NodeAt(Arc<NodeRecord>, SocketAddr),
    /// A neighbour, at the address that the shell gave.
    Neighbour(PeerId, Vec<u8>),
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which search.
    pub lookup: LookupId,
    /// The record looked for.
    pub record: Option<Arc<NodeRecord>>,
    /// The closest nodes that answered.
    pub closest: Vec<Arc<NodeRecord>>,
    /// How many nodes one after the other led there.
    pub hops: u32,
    /// How many nodes were asked.
    pub asked: usize,
}

/// How this node is seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether strangers can dial it.
    pub verdict: Verdict,
    /// At which addresses.
    pub addrs: Vec<SocketAddr>,
    /// In which versions of IP they come through to its relay, too.
    pub relay_families: Families,
}

impl Default for Standing {
    fn default() -> Self {
        Self { verdict: Verdict::Alone, addrs: Vec::new(), relay_families: Families::default() }
    }
}

/// For what a question of ours was.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Routing(Ticket),
    Reach(u64),
    /// A neighbour shall say who it is.
    Introduction(PeerId),
    /// A node shall show that it lives.
    Probe(PeerId),
    /// Another one shall show that we would have heard the former.
    Control(PeerId),
}

/// Both machines, and what is under way.
#[derive(Debug)]
pub(crate) struct Routing {
    router: Router,
    reach: Reach,
    relays: Relays,
    clocks: Clocks,
    /// Whether the person agrees to relays.
    relays_allowed: bool,
    /// Contacts reach us through relays only, whether strangers can dial us or not.
    relays_needed: bool,
    /// Which versions of IP this machine speaks.
    families: Families,
    /// Searches for nodes that may be relays.
    walks: BTreeSet<LookupId>,
    rng: ChaCha20Rng,
    verified: Verified,
    asking: BTreeMap<u64, (Purpose, Option<Prefix>)>,
    probes: BTreeMap<PeerId, probe::Probe>,
    ticket: u64,
    /// Checks made for others in this minute.
    checks: (u64, usize),
    checking: BTreeMap<u64, IpAddr>,
    standing: Standing,
    record: Option<Arc<NodeRecord>>,
    out: VecDeque<Output>,
}

impl Routing {
    pub(crate) fn new(rng: &mut ChaCha20Rng, own: PeerId) -> Self {
        let mut seed = || {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            seed
        };
        Self {
            router: Router::new(Config::default(), seed(), own),
            reach: Reach::new(seed(), 0),
            relays: Relays::new(seed(), own),
            clocks: Clocks::default(),
            relays_allowed: true,
            relays_needed: false,
            families: Families::BOTH,
            walks: BTreeSet::new(),
            rng: ChaCha20Rng::from_seed(seed()),
            verified: Verified::default(),
            asking: BTreeMap::new(),
            probes: BTreeMap::new(),
            ticket: 0,
            checks: (0, 0),
            checking: BTreeMap::new(),
            standing: Standing::default(),
            record: None,
            out: VecDeque::new(),
        }
    }

    /// Another node from now on, at another position. Of the old one it keeps whom it knew, and nothing else.
    pub(crate) fn renew(&mut self, rng: &mut ChaCha20Rng, own: PeerId, now: Now) {
        let (known, families) = (self.router.nodes(now), self.families);
        let probes = std::mem::take(&mut self.probes);
        *self = Self {
            ticket: self.ticket,
            standing: self.standing.clone(),
            relays_allowed: self.relays_allowed,
            relays_needed: self.relays_needed,
            ..Self::new(rng, own)
        };
        self.speak(families, now);
        // The answers will not find us.
        probes.into_keys().for_each(|peer| self.probed(peer, None));
        known.iter().for_each(|record| self.learn(record, now));
        self.settle(now);
    }

    pub(crate) fn next_timeout(&self) -> u64 {
        let machines = [self.router.next_timeout(), self.reach.next_timeout(), self.relays.next_timeout()];
        machines.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Does what is due.
    pub(crate) fn step(&mut self, now: Now) {
        if self.router.next_timeout().is_some_and(|at| at <= now.mono_ms) {
            self.router.handle(RouterInput::Timeout, now);
        }
        self.settle(now);
    }

    /// Asks a neighbour who it is, unless somebody is known. One without an address hides behind a relay, as we may do: through
    /// what connects us it is asked whom it knows, near any position.
    pub(crate) fn meet(&mut self, peer: PeerId, addr: Vec<u8>, ip: Option<IpAddr>) {
        if let Some(ip) = ip {
            self.reach.offer_neighbour(peer, PeerAddr(addr.clone()), ip);
        }
        if self.is_lost() && self.may_ask() {
            let target = if addr.is_empty() { self.any_position() } else { Key::of(&peer) };
            let question = QuestionIn::of(None, &Question::Find { target }).encode();
            self.ask(Purpose::Introduction(peer), None, Whom::Neighbour(peer, addr), question);
        }
    }

    /// Whether nobody is known.
    pub(crate) fn is_lost(&self) -> bool {
        self.router.known() == 0
    }

    pub(crate) fn asked(&mut self, token: u64, peer: PeerId, from: Option<IpAddr>, question: &[u8], now: Now) {
        if let Ok(check) = CheckIn::decode(question) {
            self.check(token, peer, from, check.check(), now);
        } else if let Some((record, question)) =
            QuestionIn::decode(question).ok().and_then(|question| question.verify(&mut self.verified, unix_s(now)))
        {
            // A record speaks for its own node only.
            let record = record.filter(|record| record.peer() == peer);
            record.iter().for_each(|record| self.relays.offer(record));
            let from_prefix = from.map(Prefix::of);
            self.router.handle(RouterInput::Asked { token: Token(token), from: peer, from_prefix, record, question }, now);
        }
        // Whoever sends what is no question waits until the shell gives up.
        self.settle(now);
    }

    pub(crate) fn answered(&mut self, ticket: u64, from: Option<IpAddr>, answer: &[u8], now: Now) {
        let Some((purpose, prefix)) = self.asking.remove(&ticket) else { return };
        if !matches!(purpose, Purpose::Reach(_))
            && let (Some(from), Ok(answer)) = (from, AnswerIn::decode(answer))
        {
            self.clocks.heard(Prefix::of(from), answer.issued(), now);
        }
        match purpose {
            Purpose::Reach(asked) => {
                let checked = CheckedIn::decode(answer).ok().map(|checked| checked.checked());
                self.reach.answered(asked, from, checked, now);
            }
            Purpose::Routing(asked) => match AnswerIn::decode(answer) {
                Ok(answer) => {
                    let answer = answer.verify(&mut self.verified, unix_s(now));
                    let from_prefix = from.map(Prefix::of).or(prefix);
                    self.offer(&answer);
                    self.router.handle(RouterInput::Answered { ticket: asked, from_prefix, answer }, now);
                }
                Err(_) => self.router.handle(RouterInput::Failed { ticket: asked }, now),
            },
            Purpose::Probe(peer) => self.probed(peer, Some(AnswerIn::decode(answer).is_ok())),
            Purpose::Control(peer) => self.controlled(peer, from.filter(|_| AnswerIn::decode(answer).is_ok()), now),
            Purpose::Introduction(peer) => {
                if let Ok(answer) = AnswerIn::decode(answer)
                    && let Answer::Nodes { found, closer } = answer.verify(&mut self.verified, unix_s(now))
                {
                    let own = found.into_iter().filter(|record| record.peer() == peer);
                    own.chain(closer).for_each(|record| self.learn(&record, now));
                }
            }
        }
        self.settle(now);
    }

    pub(crate) fn ask_failed(&mut self, ticket: u64, connected: bool, now: Now) {
        match self.asking.remove(&ticket) {
            Some((Purpose::Routing(ticket), _)) => self.router.handle(RouterInput::Failed { ticket }, now),
            Some((Purpose::Reach(ticket), _)) => self.reach.answered(ticket, None, None, now),
            Some((Purpose::Probe(peer), _)) => self.probe_failed(peer, connected, now),
            Some((Purpose::Control(peer), _)) => self.controlled(peer, None, now),
            Some((Purpose::Introduction(_), _)) | None => {}
        }
        self.settle(now);
    }

    /// What a check for somebody else found out.
    pub(crate) fn checked(&mut self, token: u64, endpoint: bool, relay: bool) {
        if let Some(ip) = self.checking.remove(&token) {
            self.out.push_back(Output::Reply { token, answer: CheckedIn::of(Checked { ip, endpoint, relay }).encode() });
        }
    }

    /// What runs here, and on which ports: whether others come through to it is found out.
    pub(crate) fn serve(&mut self, port: u16, relay: Option<RelayService>, now: Now) {
        self.reach.serve(Check { port, relay });
        self.settle(now);
    }

    pub(crate) fn set_record(&mut self, record: Option<Arc<NodeRecord>>, now: Now) {
        self.record.clone_from(&record);
        let publishes = record.is_some();
        self.router.set_own(record, now);
        if publishes {
            self.router.publish(now);
        }
        self.settle(now);
    }

    pub(crate) fn learn(&mut self, record: &Arc<NodeRecord>, now: Now) {
        self.reach.offer(record);
        self.relays.offer(record);
        self.router.learn(record, now);
    }

    /// Relays may be used or not; only where strangers cannot dial us they are.
    pub(crate) fn allow_relays(&mut self, allowed: bool, now: Now) {
        self.relays_allowed = allowed;
        self.settle(now);
    }

    pub(crate) fn speak(&mut self, families: Families, now: Now) {
        if self.families != families {
            self.families = families;
            self.relays.speak(families);
            self.settle(now);
        }
    }

    pub(crate) fn need_relays(&mut self, needed: bool, now: Now) {
        self.relays_needed = needed;
        self.settle(now);
    }

    pub(crate) fn relay_connected(&mut self, connected: bool, now: Now) {
        self.relays.connected(connected, now);
        self.settle(now);
    }

    pub(crate) fn relays(&self) -> &Relays {
        &self.relays
    }

    pub(crate) fn lookup(&mut self, peer: &PeerId, now: Now) -> Option<LookupId> {
        let lookup = self.router.lookup(Key::of(peer), now);
        self.settle(now);
        lookup
    }

    pub(crate) fn nodes(&self, now: Now) -> Vec<Arc<NodeRecord>> {
        self.router.nodes(now)
    }

    pub(crate) fn stored(&self) -> usize {
        self.router.stored()
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    fn offer(&mut self, answer: &Answer) {
        if let Answer::Nodes { found, closer } = answer {
            closer.iter().for_each(|record| self.reach.offer(record));
            found.iter().chain(closer).for_each(|record| self.relays.offer(record));
        }
    }

    /// Somebody wants to know whether he can be dialled. Only where his question came from is dialled, so nobody can make us
    /// knock at a third.
    fn check(&mut self, token: u64, peer: PeerId, from: Option<IpAddr>, check: Check, now: Now) {
        if now.mono_ms.saturating_sub(self.checks.0) >= MINUTE_MS {
            self.checks = (now.mono_ms, 0);
        }
        let Some(ip) = from.filter(|_| self.checks.1 < CHECKS_PER_MINUTE && check.port != 0) else { return };
        self.checks.1 = self.checks.1.saturating_add(1);
        // Whoever gave up left his token behind.
        while self.checking.len() >= CHECKS_PER_MINUTE {
            self.checking.pop_first();
        }
        self.checking.insert(token, ip);
        let relay = check.relay.map(|relay| (SocketAddr::new(ip, relay.port), relay.certificate));
        self.out.push_back(Output::Check { token, peer, at: SocketAddr::new(ip, check.port), relay });
    }

    fn may_ask(&self) -> bool {
        self.asking.len() < ASKING_MAX
    }

    fn ask(&mut self, purpose: Purpose, prefix: Option<Prefix>, whom: Whom, question: Vec<u8>) {
        self.ticket = self.ticket.saturating_add(1);
        self.asking.insert(self.ticket, (purpose, prefix));
        self.out.push_back(Output::Ask { ticket: self.ticket, whom, question });
    }

    fn settle(&mut self, now: Now) {
        while let Some(output) = self.router.poll_output() {
            match output {
                RouterOutput::Ask { ticket, to, record, question } => {
                    if self.may_ask() {
                        let question = QuestionIn::of(record.as_deref(), &question).encode();
                        self.ask(Purpose::Routing(ticket), to.prefix(), Whom::Node(to), question);
                    } else {
                        self.router.handle(RouterInput::Failed { ticket }, now);
                    }
                }
                RouterOutput::Reply { token, answer } => {
                    self.out.push_back(Output::Reply { token: token.0, answer: AnswerIn::of(&answer).encode() });
                }
                RouterOutput::Refuse { .. } | RouterOutput::Published { .. } => {}
                RouterOutput::Found { lookup, .. } if self.walks.remove(&lookup) => {}
                RouterOutput::Found { lookup, record, closest, hops, asked } => {
                    self.out.push_back(Output::Found(Found { lookup, record, closest, hops, asked }));
                }
            }
        }
        self.reach.step(now);
        while let Some(ReachAsk { ticket, checker, check }) = self.reach.poll() {
            let whom = match checker {
                Checker::Node(node, addr) => Whom::NodeAt(node, addr),
                Checker::Neighbour(peer, addr) => Whom::Neighbour(peer, addr.0),
            };
            if self.may_ask() {
                self.ask(Purpose::Reach(ticket), None, whom, CheckIn::of(check).encode());
            } else {
                self.reach.answered(ticket, None, None, now);
            }
        }
        self.choose_relays(now);
        let standing =
            Standing { verdict: self.reach.verdict(), addrs: self.reach.addrs(), relay_families: self.reach.relay_families() };
        if standing != self.standing {
            self.standing = standing;
            self.out.push_back(Output::Standing);
        }
    }
}

impl Routing {
    fn any_position(&mut self) -> Key {
        let mut position = [0; 32];
        self.rng.fill_bytes(&mut position);
        Key::from_bytes(&position)
    }

    fn choose_relays(&mut self, now: Now) {
        let needed = self.relays_needed || self.reach.verdict() != Verdict::Reachable;
        self.relays.want(self.relays_allowed && needed, now);
        if self.relays.step(!self.is_lost(), now) {
            self.out.push_back(Output::Relays(self.relays.chosen().to_vec()));
        }
        if self.relays.poll_walk() {
            let position = self.any_position();
            self.walks.extend(self.router.lookup(position, now));
            // What this asks goes out now, and the search is no more than these questions.
            self.settle(now);
        }
    }
}

impl Engine {
    /// As long as no node is known, neighbours are asked again who they are: they may have found out meanwhile.
    pub(crate) fn look_for_nodes(&mut self) {
        if self.routing.is_lost() {
            let mut known: BTreeMap<PeerId, PeerAddr> = self.gossip.remembered().into_iter().collect();
            let neighbours: Vec<PeerId> = self.gossip.peers().map(|status| status.peer).take(INTRODUCTIONS).collect();
            for peer in neighbours {
                let addr = known.remove(&peer).map(|addr| addr.0).unwrap_or_default();
                self.routing.meet(peer, addr, None);
            }
        }
    }

    /// What runs here: the UDP port of the endpoint, and the relay.
    pub fn serve(&mut self, port: u16, relay: Option<RelayService>, now: Now) {
        self.routing.serve(port, relay, now);
    }

    /// What this node says of itself from now on, to be found by others.
    pub fn set_record(&mut self, record: Option<NodeRecord>, now: Now) {
        self.routing.set_record(record.map(Arc::new), now);
    }

    /// What [`Engine::set_record`] was given last.
    pub fn record(&self) -> Option<&Arc<NodeRecord>> {
        self.routing.record.as_ref()
    }

    /// Asks a node whether it lives, whatever the age of its record; [`Output::Probed`] follows.
    pub fn probe(&mut self, record: NodeRecord) {
        self.routing.probe(record);
    }

    /// A node that is known by its record, as from DNS: it can be asked, and perhaps become a neighbour at `addr`, which is the
    /// shell's encoding of where it is.
    pub fn learn_record(&mut self, record: NodeRecord, addr: Vec<u8>, now: Now) {
        let peer = record.peer();
        self.routing.learn(&Arc::new(record), now);
        self.routing.settle(now);
        self.learn(peer, addr, false, now);
    }

    /// Looks for the record of a node; [`Output::Found`] follows. `None` if too many searches are under way.
    pub fn lookup(&mut self, peer: &PeerId, now: Now) -> Option<LookupId> {
        self.routing.lookup(peer, now)
    }

    /// Nodes in the routing table, the closest first.
    pub fn nodes(&self, now: Now) -> Vec<Arc<NodeRecord>> {
        self.routing.nodes(now)
    }

    /// Whether relays may be used at all.
    pub fn allow_relays(&mut self, allowed: bool, now: Now) {
        self.routing.allow_relays(allowed, now);
    }

    /// Which versions of IP this machine speaks, for the choice of relays.
    pub fn speak(&mut self, families: Families, now: Now) {
        self.routing.speak(families, now);
    }

    /// Whether relays are needed even where strangers can dial this node: for contacts.
    pub fn need_relays(&mut self, needed: bool, now: Now) {
        self.routing.need_relays(needed, now);
    }

    /// Whether one of the relays of [`Output::Relays`] is connected.
    pub fn relay_connected(&mut self, connected: bool, now: Now) {
        self.routing.relay_connected(connected, now);
    }

    /// The relays that are chosen, and how many are known.
    pub fn relays(&self) -> (&[Chosen], usize) {
        (self.routing.relays().chosen(), self.routing.relays().known())
    }

    /// A node that something else than the routing named: a link, for instance.
    pub fn learn_node(&mut self, record: &Arc<NodeRecord>, now: Now) {
        self.routing.learn(record, now);
        self.routing.settle(now);
    }

    /// Where some relays of others serve HTTPS, drawn by chance.
    pub fn some_relays(&mut self, count: usize) -> Vec<SocketAddr> {
        self.routing.relays.some(count)
    }

    /// By how many seconds our clock is ahead of others', or behind if negative, where that is more than clocks may differ.
    pub fn clock_ahead_s(&self, now: Now) -> Option<i64> {
        self.routing.clocks.ahead_s(now)
    }

    /// Whether it is known to be right.
    pub(crate) fn clock_is_right(&self, now: Now) -> bool {
        self.routing.clocks.is_right(now)
    }

    /// Records that are kept for others.
    pub fn records_kept(&self) -> usize {
        self.routing.stored()
    }

    /// How this node is seen from outside.
    pub fn standing(&self) -> &Standing {
        self.routing.standing()
    }
}

fn unix_s(now: Now) -> u64 {
    now.unix_ms / 1000
}
