//! Whether strangers can dial us. It is asked of others, never assumed: two nodes in two networks must have come through to
//! us from a socket that we never sent anything to, before we say so to anybody (after AutoNAT of libp2p, whose checker
//! dials only the address that the question came from, so that nobody can be made to knock at a third). IPv4 and IPv6 are found
//! out about each for itself, and so is the relay in each of them: a router may let one through and not the other.

mod codec;

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use samizdat_core::record::{Families, Prefix, RelayService, is_public};
use samizdat_core::{NodeRecord, Now, PeerId};

pub use codec::{CheckIn, CheckedIn};

use crate::codec::PeerAddr;
use crate::draw::Draw;
use crate::limits::{CHECKERS_MAX, EVIDENCE_MAX, WITNESSES};

/// An answer that takes longer counts as none.
const PATIENCE_MS: u64 = 20_000;
/// Between two questions while it is not known.
const UNDECIDED_MS: u64 = 60_000;
/// The same while some say that we are somewhere else than others do: somebody lies, or we have moved.
const DISPUTED_MS: u64 = 300_000;
/// Between two questions once it is: routers forget and addresses change.
const DECIDED_MS: u64 = 1_200_000;
/// How long an answer counts.
const EVIDENCE_MS: u64 = 3_600_000;
/// So many that were asked one after another say nothing before the pauses grow: then we do not speak this version of IP at all,
/// most likely.
const SILENT_MAX: u32 = 4;

/// What to dial: the address that the question comes from, at these ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// UDP port of the endpoint.
    pub port: u16,
    /// The relay, if one runs here.
    pub relay: Option<RelayService>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Where the question came from.
    pub ip: IpAddr,
    /// The endpoint answered, and proved its key.
    pub endpoint: bool,
    /// The relay answered, with the right certificate.
    pub relay: bool,
}

/// Somebody who may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checker {
    /// A node by its record, at one of its addresses.
    Node(Arc<NodeRecord>, SocketAddr),
    /// A neighbour. It dials from a socket of its own for this, so that it came through before says nothing.
    Neighbour(PeerId, PeerAddr),
}

/// What is to be done: somebody is to be asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Names the question.
    pub ticket: u64,
    /// Whom.
    pub checker: Checker,
    /// What.
    pub check: Check,
}

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Too few nodes are known that could be asked.
    Alone,
    /// Not enough have answered yet.
    Asking,
    /// Strangers come through.
    Reachable,
    /// They do not: a router or a firewall is in the way.
    Unreachable,
}

#[derive(Debug, Clone, Copy)]
struct Evidence {
    from: Prefix,
    checked: Checked,
    /// What runs here now was looked at, and not only an endpoint without its relay.
    relay_too: bool,
    at_ms: u64,
}

/// What is known of one version of IP.
#[derive(Debug, Default)]
struct Side {
    checkers: BTreeMap<Prefix, Checker>,
    evidence: VecDeque<Evidence>,
    next_ms: u64,
    /// Questions that were not answered since one was.
    silent: u32,
}

/// One node's view of itself from outside.
#[derive(Debug)]
pub struct Reach {
    draw: Draw,
    check: Check,
    v4: Side,
    v6: Side,
    asked: BTreeMap<u64, (Prefix, u64)>,
    ticket: u64,
    out: VecDeque<Ask>,
}

impl Reach {
    /// A node that listens on `port`, UDP; where nothing listens it is 0, and nobody is asked. The seed must be secret.
    pub fn new(seed: [u8; 32], port: u16) -> Self {
        Self {
            draw: Draw::new(seed),
            check: Check { port, relay: None },
            v4: Side::default(),
            v6: Side::default(),
            asked: BTreeMap::new(),
            ticket: 0,
            out: VecDeque::new(),
        }
    }

    /// Another port, or a relay that runs now or no longer: what was known of it counts no more.
    pub fn serve(&mut self, check: Check) {
        if self.check == check {
            return;
        }
        for side in [&mut self.v4, &mut self.v6] {
            if self.check.port == check.port {
                side.evidence.iter_mut().for_each(|evidence| evidence.relay_too = false);
            } else {
                side.evidence.clear();
            }
            (side.next_ms, side.silent) = (0, 0);
        }
        self.check = check;
        self.asked.clear();
    }

    /// A node that may be asked, at its first address of each kind. One for each network is kept.
    pub fn offer(&mut self, node: &Arc<NodeRecord>) {
        let addrs = &node.fields().addrs;
        for addr in [addrs.iter().find(|addr| addr.is_ipv4()), addrs.iter().find(|addr| addr.is_ipv6())].into_iter().flatten() {
            let prefix = Prefix::of(addr.ip());
            self.side(prefix).offer(prefix, Checker::Node(node.clone(), *addr));
        }
    }

    /// A neighbour that may be asked, and the address it is seen at.
    pub fn offer_neighbour(&mut self, peer: PeerId, addr: PeerAddr, ip: IpAddr) {
        if is_public(ip) {
            let prefix = Prefix::of(ip);
            let side = self.side(prefix);
            side.offer(prefix, Checker::Neighbour(peer, addr));
            // This version of IP works, then.
            if std::mem::take(&mut side.silent) > SILENT_MAX {
                side.next_ms = 0;
            }
        }
    }

    /// The answer to [`Ask`], and where it came from if that is known; `None` if there will be none. A checker that does not answer
    /// is not asked again, unless too few would be left: then it may have been a bad moment. One that says what cannot be is never
    /// asked again.
    pub fn answered(&mut self, ticket: u64, from: Option<IpAddr>, checked: Option<Checked>, now: Now) {
        let Some((asked, _)) = self.asked.remove(&ticket) else { return };
        let spoke = checked.is_some();
        let checker = self.side(asked).checkers.get(&asked).cloned();
        let voice = |checked: Checked| Some((voice_of(&checked, from, asked, checker.as_ref())?, checked));
        let Some((voice, checked)) = checked.filter(|checked| is_public(checked.ip)).and_then(voice) else {
            return self.side(asked).said_nothing(asked, spoke, now.mono_ms);
        };
        let disputed = {
            let side = self.side(voice);
            side.silent = 0;
            side.evidence.retain(|evidence| evidence.from != voice);
            side.evidence.push_back(Evidence { from: voice, checked, relay_too: true, at_ms: now.mono_ms });
            while side.evidence.len() > EVIDENCE_MAX {
                side.evidence.pop_front();
            }
            side.is_disputed()
        };
        if disputed {
            let side = self.side(voice);
            side.next_ms = side.next_ms.min(now.mono_ms.saturating_add(DISPUTED_MS));
        }
        if voice != asked {
            // A link to it that stands went another way. For the network where it was wanted it has no voice.
            self.side(asked).said_nothing(asked, false, now.mono_ms);
        }
    }

    /// Does what is due. Call it at [`Self::next_timeout`] and after the other calls.
    pub fn step(&mut self, now: Now) {
        let now_ms = now.mono_ms;
        let late: Vec<u64> =
            self.asked.iter().filter(|(_, (_, at))| at.saturating_add(PATIENCE_MS) <= now_ms).map(|(t, _)| *t).collect();
        late.into_iter().for_each(|ticket| self.answered(ticket, None, None, now));
        let busy: BTreeSet<Prefix> = self.asked.values().map(|(prefix, _)| *prefix).collect();
        for side in [&mut self.v4, &mut self.v6] {
            side.evidence.retain(|evidence| evidence.at_ms.saturating_add(EVIDENCE_MS) > now_ms);
            if now_ms < side.next_ms || !side.may_ask(&self.check) {
                continue;
            }
            for (prefix, checker) in side.whom(&self.check, &busy, &mut self.draw) {
                self.ticket = self.ticket.saturating_add(1);
                self.asked.insert(self.ticket, (prefix, now_ms));
                self.out.push_back(Ask { ticket: self.ticket, checker, check: self.check });
            }
            side.next_ms = now_ms.saturating_add(side.pause(&self.check));
        }
    }

    /// Whom to ask, until `None`.
    pub fn poll(&mut self) -> Option<Ask> {
        self.out.pop_front()
    }

    /// When to call [`Self::step`], on the monotonic clock.
    pub fn next_timeout(&self) -> Option<u64> {
        let answers = self.asked.values().map(|(_, at)| at.saturating_add(PATIENCE_MS)).min();
        let questions = self.sides().into_iter().filter(|side| side.may_ask(&self.check)).map(|side| side.next_ms);
        answers.into_iter().chain(questions).min()
    }

    /// Whether strangers can dial this node.
    pub fn verdict(&self) -> Verdict {
        if !self.addrs().is_empty() {
            Verdict::Reachable
        } else if self.sides().iter().any(|side| side.bad() >= WITNESSES) {
            Verdict::Unreachable
        } else if self.sides().iter().all(|side| side.checkers.len() < WITNESSES) {
            Verdict::Alone
        } else {
            Verdict::Asking
        }
    }

    /// The addresses at which strangers came through, one of IPv4 and one of IPv6 at most.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        let ips = self.sides().into_iter().filter_map(Side::proven);
        ips.map(|ip| SocketAddr::new(ip, self.check.port)).collect()
    }

    /// In which versions of IP strangers came through to the relay that runs here, at the address of [`Self::addrs`].
    pub fn relay_families(&self) -> Families {
        let sides = self.sides().into_iter().filter(|_| self.check.relay.is_some());
        Families::of(sides.filter_map(Side::relay_proven))
    }

    fn sides(&self) -> [&Side; 2] {
        [&self.v4, &self.v6]
    }

    fn side(&mut self, prefix: Prefix) -> &mut Side {
        match prefix {
            Prefix::V4(_) => &mut self.v4,
            Prefix::V6(_) => &mut self.v6,
        }
    }
}

/// Which network speaks here, in the version of IP that it speaks of: that in which the checker was reached, for what its record
/// says of other addresses anybody can write. Of a neighbour that answers through a relay it is where it was seen before.
fn voice_of(checked: &Checked, from: Option<IpAddr>, asked: Prefix, checker: Option<&Checker>) -> Option<Prefix> {
    let voice = match (from, checker) {
        (Some(ip), _) => is_public(ip).then(|| Prefix::of(ip)),
        (None, Some(Checker::Neighbour(..))) => Some(asked),
        (None, _) => None,
    };
    voice.filter(|voice| matches!(voice, Prefix::V4(_)) == checked.ip.to_canonical().is_ipv4())
}

impl Side {
    fn offer(&mut self, prefix: Prefix, checker: Checker) {
        if self.checkers.len() < CHECKERS_MAX || self.checkers.contains_key(&prefix) {
            self.checkers.insert(prefix, checker);
        }
    }

    /// Nothing, or nothing that could be.
    fn said_nothing(&mut self, who: Prefix, spoke: bool, now_ms: u64) {
        self.silent = self.silent.saturating_add(1);
        let goes = spoke || self.checkers.len() > WITNESSES;
        if goes {
            self.checkers.remove(&who);
        }
        let soon = if goes && self.silent <= SILENT_MAX { 0 } else { self.silence_ms() };
        self.next_ms = self.next_ms.min(now_ms.saturating_add(soon));
    }

    /// How long to wait while nobody answers, twice as long with each question from the fifth on.
    fn silence_ms(&self) -> u64 {
        let twice = self.silent.saturating_sub(SILENT_MAX).min(16);
        PATIENCE_MS.saturating_mul(1 << twice).min(DECIDED_MS)
    }

    fn may_ask(&self, check: &Check) -> bool {
        self.checkers.len() >= WITNESSES && check.port != 0
    }

    /// Whom to ask now.
    fn whom(&self, check: &Check, busy: &BTreeSet<Prefix>, draw: &mut Draw) -> Vec<(Prefix, Checker)> {
        let asked = busy.iter().filter(|prefix| self.checkers.contains_key(prefix)).count();
        let wanted = if self.is_decided(check) && !self.is_disputed() { 1 } else { WITNESSES.saturating_sub(asked) };
        // Those that have not spoken come first, so that no two decide alone for ever.
        let spoke = |prefix: &Prefix| self.evidence.iter().any(|evidence| evidence.from == *prefix);
        let free = self.checkers.keys().filter(|prefix| !busy.contains(prefix)).copied();
        let mut free = draw.sample(free, CHECKERS_MAX);
        free.sort_by_key(spoke);
        free.into_iter().take(wanted).filter_map(|prefix| Some((prefix, self.checkers.get(&prefix)?.clone()))).collect()
    }

    /// Until somebody is asked again.
    fn pause(&self, check: &Check) -> u64 {
        match (self.is_decided(check), self.is_disputed()) {
            (true, false) => DECIDED_MS,
            (true, true) => DISPUTED_MS,
            (false, _) => UNDECIDED_MS.max(self.silence_ms()),
        }
    }

    fn is_decided(&self, check: &Check) -> bool {
        let (good, bad) = self.relay_votes(None);
        let relay = check.relay.is_none() || good >= WITNESSES || bad >= WITNESSES;
        relay && (self.proven().is_some() || self.bad() >= WITNESSES)
    }

    /// Networks that did not come through.
    fn bad(&self) -> usize {
        self.evidence.iter().filter(|evidence| !evidence.checked.endpoint).count()
    }

    /// Where strangers came through: only where more networks see us than anywhere else, for two that lie together could name
    /// anybody's address.
    fn proven(&self) -> Option<IpAddr> {
        let seen = self.seen();
        let most = seen.values().max()?;
        let mut first = seen.iter().filter(|(_, votes)| *votes == most).map(|(ip, _)| *ip);
        let ip = first.next().filter(|_| first.next().is_none())?;
        let through = self.evidence.iter().filter(|evidence| evidence.checked.ip == ip && evidence.checked.endpoint);
        (through.count() >= WITNESSES).then_some(ip)
    }

    /// The same, if they came through to the relay there, too.
    fn relay_proven(&self) -> Option<IpAddr> {
        self.proven().filter(|ip| self.relay_votes(Some(*ip)).0 >= WITNESSES)
    }

    /// At which address how many networks see us. One network has one voice: its last.
    fn seen(&self) -> BTreeMap<IpAddr, usize> {
        let mut seen: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for evidence in &self.evidence {
            let votes = seen.entry(evidence.checked.ip).or_default();
            *votes = votes.saturating_add(1);
        }
        seen
    }

    fn is_disputed(&self) -> bool {
        self.seen().len() > 1
    }

    /// Networks that came through to the relay, and that did not; at this address, or at any.
    fn relay_votes(&self, at: Option<IpAddr>) -> (usize, usize) {
        let votes = self.evidence.iter().filter(|evidence| evidence.relay_too && at.is_none_or(|ip| evidence.checked.ip == ip));
        votes.fold((0, 0), |(good, bad): (usize, usize), vote| match vote.checked.relay {
            true => (good.saturating_add(1), bad),
            false => (good, bad.saturating_add(1)),
        })
    }
}

#[cfg(test)]
mod tests;
