//! Who to talk to: partial views of the network.
//!
//! After HyParView (Leitão, Pereira, Rodrigues 2007): a small active view of neighbours with open connections, and a
//! passive view of others to fall back on. It differs in four points. Walks end by a coin, so that no frame carries a hop
//! count. Peers are exchanged with neighbours only. A neighbour that we chose, that is trusted or that has been there for
//! long is never displaced by a stranger. And now and then a node tries a peer outside its neighbourhood, so that the two
//! halves of a healed partition find each other.
//!
//! Keys are cheap and networks are not, so nobody surrounds a node out of one network. Those who came from one count only up
//! to its share ([`Network`]), and all who came only so far that some are left whom the node chose itself. More are let in as
//! long as there is room, so that nobody is turned away who does no harm; they are the first to go.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use samizdat_core::PeerId;

use crate::codec::{Frame, PeerAddr, PeerAt};
use crate::draw::Draw;
use crate::event::HangupReason;
use crate::limits::{
    ACTIVE_MAX, ACTIVE_TARGET, ADDR_MAX, CHOSEN_MIN, DIALING_MAX, FAILURES_MAX, GREETING_MAX, KNOWN_PER_NETWORK, PASSIVE_MAX,
    PROVEN_MAX, SAMPLE_SIZE, TRUSTED_MAX, WALKS_PER_MINUTE,
};
use crate::networks::{Network, Networks};

/// Time to answer a greeting.
const GREETING_MS: u64 = 15_000;
/// Time after which a dial counts as failed even if nobody said so.
const DIALING_MS: u64 = 45_000;
/// First wait after a failed dial; it doubles each time.
const BACKOFF_MS: u64 = 1_000;
/// Longest wait.
const BACKOFF_MAX_MS: u64 = 120_000;
/// Wait before knocking again where we were turned away; it doubles each time.
const REFUSED_MS: u64 = 15_000;
/// Longest such wait.
const REFUSED_MAX_MS: u64 = 240_000;
/// Time between exchanges of known peers.
const SHUFFLE_MS: u64 = 30_000;
/// Shortest time between two exchanges that one neighbour may ask for.
const SHUFFLE_LEAST_MS: u64 = 5_000;
/// Time between steps outside the neighbourhood.
const EXPLORE_MS: u64 = 120_000;
/// A neighbour that stayed so long is not displaced any more.
const SETTLED_MS: u64 = 600_000;
/// Chance that a walk ends at a node, in a hundred.
const WALK_ENDS: u64 = 30;

/// What the view wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Send a frame.
    Send(PeerId, Frame),
    /// Connect.
    Dial(PeerId, PeerAddr),
    /// Close the connection.
    Hangup(PeerId, HangupReason),
    /// The peer is a neighbour now.
    Up(PeerId),
    /// It no longer is.
    Down(PeerId),
}

/// A connection.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Neighbour since; `None` while greeting.
    pub since_ms: Option<u64>,
    /// Whether we dialled.
    pub dialed: bool,
    /// In whose network the other end is, as the connection shows it.
    network: Network,
    connected_ms: u64,
    shuffled_ms: Option<u64>,
    asked: bool,
    walks: u32,
    walks_ms: u64,
}

/// Who named a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// The person, or the memory of this node.
    Us,
    /// A neighbour that we chose.
    Chosen(PeerId),
    /// Somebody who came from that network.
    Came(Network),
}

#[derive(Debug, Clone)]
struct Known {
    addr: PeerAddr,
    trusted: bool,
    /// A dial to this address once worked.
    proven: bool,
    /// It worked under the transport key of now. Whom a node met before is told to nobody: the set would name it again.
    met: bool,
    /// Who named it first.
    told: Teller,
    /// Where it was when a connection stood, which counts more than where it is said to be.
    seen: Option<Network>,
    failures: u8,
    /// How often it turned us away in a row.
    refusals: u8,
    retry_ms: u64,
}

/// The views of one node.
#[derive(Debug)]
pub struct View {
    own: PeerId,
    own_addr: PeerAddr,
    networks: Networks,
    links: BTreeMap<PeerId, Link>,
    dialing: BTreeMap<PeerId, u64>,
    known: BTreeMap<PeerId, Known>,
    shuffle_ms: u64,
    explore_ms: u64,
    wake_ms: u64,
    /// Our address is another one.
    moved: bool,
    /// When all neighbours are told of it.
    tell_ms: Option<u64>,
    acts: Vec<Act>,
}

impl View {
    /// A node that knows nobody.
    pub fn new(own: PeerId, own_addr: PeerAddr) -> Self {
        Self {
            own,
            own_addr,
            networks: Networks::default(),
            links: BTreeMap::new(),
            dialing: BTreeMap::new(),
            known: BTreeMap::new(),
            shuffle_ms: 0,
            explore_ms: 0,
            wake_ms: u64::MAX,
            moved: false,
            tell_ms: None,
            acts: Vec::new(),
        }
    }

    /// How the networks are read out of addresses.
    pub fn read_networks(&mut self, networks: Networks) {
        self.networks = networks;
    }

    /// The address to tell. All neighbours hear of a new one soon: by the old one nobody new may find us.
    pub fn set_own_addr(&mut self, addr: PeerAddr) {
        if self.own_addr != addr {
            self.own_addr = addr;
            self.moved = true;
            self.wake_ms = 0;
        }
    }

    /// From now on this node has another key and address. The connections of the old one are gone; those known are not.
    pub fn renew(&mut self, own: PeerId, addr: PeerAddr) {
        (self.own, self.own_addr) = (own, addr);
        let links: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in links {
            self.drop_link(&peer);
        }
        self.dialing.clear();
        self.known.remove(&own);
        // Who turned the old key away has not turned this one away.
        self.known.values_mut().for_each(|known| (known.met, known.refusals, known.retry_ms) = (false, 0, 0));
        (self.moved, self.tell_ms) = (false, None);
        (self.shuffle_ms, self.explore_ms, self.wake_ms) = (0, 0, 0);
    }

    /// What is to be done since the last call.
    pub fn take_acts(&mut self) -> Vec<Act> {
        core::mem::take(&mut self.acts)
    }

    /// When to call [`Self::poll`].
    pub fn next_timeout(&self) -> Option<u64> {
        (self.wake_ms < u64::MAX).then_some(self.wake_ms)
    }

    /// Neighbours.
    pub fn active(&self) -> impl Iterator<Item = (&PeerId, &Link)> {
        self.links.iter().filter(|(_, link)| link.since_ms.is_some())
    }

    /// The connection to a peer.
    pub fn link(&self, peer: &PeerId) -> Option<&Link> {
        self.links.get(peer)
    }

    /// Peers worth remembering over a restart, the proven ones first.
    pub fn remembered(&self) -> Vec<PeerAt> {
        let (mut first, rest): (Vec<_>, Vec<_>) =
            self.known.iter().filter(|(_, k)| !k.addr.0.is_empty()).partition(|(_, k)| k.proven || k.trusted);
        first.extend(rest);
        first.into_iter().map(|(peer, known)| (*peer, known.addr.clone())).collect()
    }

    /// A peer that the person or the node's memory names. Learning a trusted peer again makes it due at once.
    pub fn learn(&mut self, peer: PeerId, addr: PeerAddr, trusted: bool, draw: &mut Draw) {
        let room = self.known.values().filter(|k| k.trusted).count() < TRUSTED_MAX;
        self.remember(peer, addr.clone(), Teller::Us, draw);
        if let Some(known) = self.known.get_mut(&peer)
            && trusted
            && (known.trusted || room)
        {
            *known = Known { trusted: true, addr, failures: 0, retry_ms: 0, ..known.clone() };
        }
        self.wake_ms = 0;
    }

    /// A connection stands.
    pub fn connected(&mut self, peer: PeerId, addr: PeerAddr, dialed: bool, network: Network, now: u64, draw: &mut Draw) {
        self.drop_link(&peer);
        self.dialing.remove(&peer);
        self.wake_ms = 0;
        if peer == self.own {
            self.acts.push(Act::Hangup(peer, HangupReason::Full));
            return;
        }
        let greeting = self.links.values().filter(|link| link.since_ms.is_none() && link.dialed == dialed).count();
        if greeting >= GREETING_MAX
            && let Some(silent) = self.most_silent(dialed)
        {
            self.drop_link(&silent);
            self.acts.push(Act::Hangup(silent, HangupReason::Silent));
        }
        self.remember(peer, addr, if dialed { Teller::Us } else { Teller::Came(network) }, draw);
        if let Some(known) = self.known.get_mut(&peer) {
            known.seen = Some(network);
        }
        if dialed {
            let proven = self.known.values().filter(|k| k.proven).count();
            let unused = self.known.iter().filter(|(p, k)| k.proven && !self.links.contains_key(p)).map(|(p, _)| *p);
            if proven >= PROVEN_MAX
                && let Some(old) = draw.pick(unused).and_then(|old| self.known.get_mut(&old))
            {
                old.proven = false;
            }
            if let Some(known) = self.known.get_mut(&peer) {
                (known.proven, known.met) = (true, true);
                known.failures = 0;
            }
            let addr = self.own_addr.clone();
            let greeting = match self.active().count() {
                0 => Frame::Join { addr },
                _ => Frame::Neighbor { urgent: self.chosen() < CHOSEN_MIN, addr },
            };
            self.say(peer, network, greeting);
        }
        let (since_ms, shuffled_ms) = (None, None);
        let link = Link { since_ms, dialed, network, connected_ms: now, shuffled_ms, asked: false, walks: 0, walks_ms: now };
        self.links.insert(peer, link);
    }

    /// A dial failed.
    pub fn dial_failed(&mut self, peer: PeerId, now: u64, draw: &mut Draw) {
        if self.dialing.remove(&peer).is_some() {
            self.failed(&peer, now, draw);
        }
    }

    /// A connection broke.
    pub fn disconnected(&mut self, peer: PeerId, now: u64, draw: &mut Draw) {
        match self.drop_link(&peer) {
            Some(link) if link.since_ms.is_some() => self.wait(&peer, now.saturating_add(draw.around(BACKOFF_MS))),
            Some(link) if link.dialed => self.failed(&peer, now, draw),
            _ => {}
        }
        self.wake_ms = 0;
    }

    /// Gives a neighbour up and leaves it alone until then.
    pub fn banish(&mut self, peer: PeerId, until: u64) {
        self.drop_link(&peer);
        self.wait(&peer, until);
        self.acts.push(Act::Hangup(peer, HangupReason::Misbehaved));
        self.wake_ms = 0;
    }

    /// Takes a frame about membership; false if it was none or out of turn.
    pub fn handle(&mut self, peer: PeerId, frame: Frame, now: u64, draw: &mut Draw) -> bool {
        let Some(link) = self.links.get(&peer).copied() else { return false };
        let greeting = link.since_ms.is_none();
        let told = if self.chose(&peer, &link) { Teller::Chosen(peer) } else { Teller::Came(link.network) };
        match self.networks.pass_frame(frame, link.network) {
            Frame::Join { addr } if greeting && !link.dialed => {
                self.remember(peer, addr.clone(), told, draw);
                if self.admit(peer, true, now, draw) {
                    let others: Vec<(PeerId, Network)> =
                        self.active().filter(|(p, _)| **p != peer).map(|(p, link)| (*p, link.network)).collect();
                    for (other, network) in others {
                        self.say(other, network, Frame::Walk { peer, addr: addr.clone() });
                    }
                }
            }
            Frame::Neighbor { urgent, addr } if greeting && !link.dialed => {
                self.remember(peer, addr, told, draw);
                self.admit(peer, urgent, now, draw);
            }
            Frame::Welcome if greeting && link.dialed => {
                // Others may have come while we were dialling.
                if self.make_room(&peer, true, now, draw) {
                    self.activate(peer, now, draw);
                } else {
                    self.dismiss(peer, HangupReason::Full, now, draw);
                }
            }
            Frame::Disconnect { others } => {
                self.drop_link(&peer);
                others.into_iter().for_each(|(p, addr)| self.remember(p, addr, told, draw));
                self.acts.push(Act::Hangup(peer, HangupReason::Left));
                self.refused(&peer, now, draw);
                self.wake_ms = 0;
            }
            Frame::Walk { peer: newcomer, addr } if !greeting => {
                if self.may_walk(&peer, now) {
                    self.walk(peer, (newcomer, addr), told, now, draw);
                }
            }
            Frame::Shuffle { peers } if !greeting => {
                if link.shuffled_ms.is_none_or(|at| at.saturating_add(SHUFFLE_LEAST_MS) <= now) {
                    let answer = self.sample(&peer, link.network, draw);
                    self.say(peer, link.network, Frame::ShuffleReply { peers: answer });
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.shuffled_ms = Some(now);
                    }
                    peers.into_iter().take(SAMPLE_SIZE).for_each(|(p, addr)| self.remember(p, addr, told, draw));
                    self.wake_ms = 0;
                }
            }
            Frame::ShuffleReply { peers } if !greeting => {
                if link.asked {
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.asked = false;
                    }
                    peers.into_iter().take(SAMPLE_SIZE).for_each(|(p, addr)| self.remember(p, addr, told, draw));
                    self.wake_ms = 0;
                }
            }
            _ => return false,
        }
        true
    }

    /// Does what is due: late greetings, new dials, exchanges, a look around.
    pub fn poll(&mut self, now: u64, draw: &mut Draw) {
        if now < self.wake_ms {
            return;
        }
        let late: Vec<PeerId> = self.dialing.iter().filter(|(_, until)| **until <= now).map(|(p, _)| *p).collect();
        late.into_iter().for_each(|peer| self.dial_failed(peer, now, draw));
        let silent = |link: &Link| link.since_ms.is_none() && link.connected_ms.saturating_add(GREETING_MS) <= now;
        let silent: Vec<PeerId> = self.links.iter().filter(|(_, link)| silent(link)).map(|(p, _)| *p).collect();
        for peer in silent {
            self.drop_link(&peer);
            self.failed(&peer, now, draw);
            self.acts.push(Act::Hangup(peer, HangupReason::Silent));
        }
        if std::mem::take(&mut self.moved) {
            // Those whom we told something just now would not listen.
            self.tell_ms = Some(now.saturating_add(SHUFFLE_LEAST_MS.saturating_mul(5) / 4));
        }
        if self.tell_ms.is_some_and(|at| at <= now) {
            self.tell_ms = None;
            let all: Vec<PeerId> = self.active().map(|(p, _)| *p).collect();
            all.into_iter().for_each(|peer| self.shuffle(peer, draw));
        }
        if self.shuffle_ms <= now {
            self.shuffle_ms = now.saturating_add(draw.around(SHUFFLE_MS));
            let neighbour = draw.pick(self.active().map(|(p, _)| *p));
            neighbour.into_iter().for_each(|peer| self.shuffle(peer, draw));
        }
        if self.explore_ms <= now {
            // Not at the first call: a node that starts has other worries.
            if self.explore_ms > 0 {
                self.explore(now, draw);
            }
            self.explore_ms = now.saturating_add(draw.around(EXPLORE_MS));
        }
        self.fill_up(now, draw);
        self.wake_ms = self.next_wake(now);
    }

    /// Dials the trusted first until there is no room, and then others until there are neighbours enough: by chance among those
    /// in whose networks there are the fewest.
    fn fill_up(&mut self, now: u64, draw: &mut Draw) {
        loop {
            let (trusted, others): (Vec<_>, Vec<_>) = self.idle().filter(|(_, k)| k.retry_ms <= now).partition(|(_, k)| k.trusted);
            let choice = if self.pending() < ACTIVE_MAX && !trusted.is_empty() {
                draw.pick(trusted.into_iter().map(|(p, _)| *p))
            } else if self.wants_more() {
                let others: Vec<_> = others.into_iter().map(|(p, k)| (self.crowd(k), *p)).collect();
                let least = others.iter().map(|(crowd, _)| *crowd).min();
                draw.pick(others.into_iter().filter(|(crowd, _)| Some(*crowd) == least).map(|(_, p)| p))
            } else {
                None
            };
            match choice {
                Some(peer) if self.dialing.len() < DIALING_MAX => self.dial(peer, now),
                _ => return,
            }
        }
    }

    /// One step out of the neighbourhood, or one back if there is no room for it.
    fn explore(&mut self, now: u64, draw: &mut Draw) {
        if self.pending() >= ACTIVE_MAX {
            // Those who came to us go first, lest strangers crowd out the neighbours we chose.
            let victim = self.last_of_the_most(|_| true);
            let victim = victim.or_else(|| draw.pick(self.active().map(|(p, _)| *p).filter(|p| !self.trusted(p))));
            victim.into_iter().for_each(|peer| self.dismiss(peer, HangupReason::Replaced, now, draw));
        } else if self.dialing.len() < DIALING_MAX {
            let choice = draw.pick(self.idle().filter(|(_, k)| k.retry_ms <= now).map(|(p, _)| *p));
            choice.into_iter().for_each(|peer| self.dial(peer, now));
        }
    }

    /// Takes in a peer that came, if there is room or somebody to make room.
    fn admit(&mut self, peer: PeerId, urgent: bool, now: u64, draw: &mut Draw) -> bool {
        let pressing = self.trusted(&peer) || urgent && draw.percent(50);
        let room = self.make_room(&peer, pressing, now, draw);
        if room {
            self.acts.push(Act::Send(peer, Frame::Welcome));
            self.activate(peer, now, draw);
        } else {
            self.dismiss(peer, HangupReason::Full, now, draw);
        }
        room
    }

    /// Whether there is room for one more neighbour. If there is none, somebody who came has to go for it, the last of the
    /// network that has the most: one beyond the share of his network, or, if it is pressing, one who came lately. The chosen,
    /// the trusted and those of long standing stay; only as long as we chose too few of the neighbours they go, too. For one
    /// whose own network has its share nobody of another goes.
    fn make_room(&mut self, peer: &PeerId, pressing: bool, now: u64, draw: &mut Draw) -> bool {
        if self.active().count() < ACTIVE_MAX {
            return true;
        }
        let Some(newcomer) = self.links.get(peer) else { return false };
        let young = |link: &Link| pressing && link.since_ms.is_some_and(|since| since.saturating_add(SETTLED_MS) > now);
        let victim = if !self.chose(peer, newcomer) && self.came_from(newcomer.network) >= newcomer.network.share() {
            self.last_of_the_most(|link| young(link) && link.network == newcomer.network)
        } else {
            let few = self.chose(peer, newcomer) && self.chosen() < CHOSEN_MIN;
            self.last_of_the_most(|link| few || young(link) || self.surplus(link.network) > 0)
        };
        if let Some(victim) = victim {
            self.dismiss(victim, HangupReason::Replaced, now, draw);
        }
        victim.is_some()
    }

    /// Neighbours that came to us by themselves.
    fn came(&self) -> impl Iterator<Item = (&PeerId, &Link)> {
        self.active().filter(|(p, link)| !self.chose(p, link))
    }

    fn came_from(&self, network: Network) -> usize {
        self.came().filter(|(_, link)| link.network == network).count()
    }

    /// How many came from there beyond its share.
    fn surplus(&self, network: Network) -> usize {
        self.came_from(network).saturating_sub(network.share())
    }

    /// Of those who came and may go, the last one of the network that exceeds its share most. Whoever was here before a flood
    /// stays, and who floods displaces his own.
    fn last_of_the_most(&self, may_go: impl Fn(&Link) -> bool) -> Option<PeerId> {
        let loose = self.came().filter(|(_, link)| may_go(link));
        loose.max_by_key(|(_, link)| (self.surplus(link.network), link.since_ms)).map(|(p, _)| *p)
    }

    /// Of those who have not greeted, the one that had the most time for it in the network that has the most of them.
    fn most_silent(&self, dialed: bool) -> Option<PeerId> {
        let silent = || self.links.iter().filter(|(_, link)| link.since_ms.is_none() && link.dialed == dialed);
        let beside = |network: Network| silent().filter(|(_, link)| link.network == network).count();
        silent().max_by_key(|(_, link)| (beside(link.network), Reverse(link.connected_ms))).map(|(p, _)| *p)
    }

    fn activate(&mut self, peer: PeerId, now: u64, draw: &mut Draw) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.since_ms = Some(now);
            if let Some(known) = self.known.get_mut(&peer) {
                known.refusals = 0;
            }
            self.acts.push(Act::Up(peer));
            if self.active().count() < ACTIVE_TARGET {
                self.shuffle(peer, draw);
            }
        }
        self.wake_ms = 0;
    }

    fn dismiss(&mut self, peer: PeerId, reason: HangupReason, now: u64, draw: &mut Draw) {
        let network = self.drop_link(&peer).map_or(Network::Hidden, |link| link.network);
        let others = self.sample(&peer, network, draw);
        self.say(peer, network, Frame::Disconnect { others });
        self.acts.push(Act::Hangup(peer, reason));
        self.wait(&peer, now.saturating_add(draw.around(REFUSED_MS)));
        self.wake_ms = 0;
    }

    fn walk(&mut self, from: PeerId, (newcomer, addr): PeerAt, told: Teller, now: u64, draw: &mut Draw) {
        let known = newcomer == self.own || self.links.contains_key(&newcomer) || self.dialing.contains_key(&newcomer);
        if known || addr.0.is_empty() {
            return;
        }
        self.remember(newcomer, addr.clone(), told, draw);
        let others = self.active().filter(|(p, _)| **p != from && **p != newcomer).map(|(p, link)| (*p, link.network));
        let next = draw.pick(others);
        match next {
            Some((next, network)) if !draw.percent(WALK_ENDS) => self.say(next, network, Frame::Walk { peer: newcomer, addr }),
            // Whose network has its share waits until nobody else is known.
            _ if self.wants_more()
                && self.dialing.len() < DIALING_MAX
                && self.known.get(&newcomer).is_some_and(|k| self.crowd(k) == 0) =>
            {
                self.dial(newcomer, now)
            }
            _ => {}
        }
        self.wake_ms = 0;
    }

    fn may_walk(&mut self, peer: &PeerId, now: u64) -> bool {
        let Some(link) = self.links.get_mut(peer) else { return false };
        if link.walks_ms.saturating_add(60_000) <= now {
            (link.walks_ms, link.walks) = (now, 0);
        }
        link.walks = link.walks.saturating_add(1);
        link.walks <= WALKS_PER_MINUTE
    }

    fn shuffle(&mut self, peer: PeerId, draw: &mut Draw) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.asked = true;
        let network = link.network;
        let mut peers = self.sample(&peer, network, draw);
        peers.truncate(SAMPLE_SIZE.saturating_sub(1));
        peers.push((self.own, self.own_addr.clone()));
        self.say(peer, network, Frame::Shuffle { peers });
    }

    /// Sends a frame to a peer who is there.
    fn say(&mut self, peer: PeerId, network: Network, frame: Frame) {
        self.acts.push(Act::Send(peer, self.networks.pass_frame(frame, network)));
    }

    /// Some peers to tell another one who is there: only those to whom a connection stands or once worked under this key.
    fn sample(&self, to: &PeerId, network: Network, draw: &mut Draw) -> Vec<PeerAt> {
        let sound = |peer: &PeerId, known: &Known| {
            let active = self.links.get(peer).is_some_and(|link| link.since_ms.is_some());
            peer != to && (active || known.proven && known.met && known.failures == 0)
        };
        let sound = self.known.iter().filter(|(p, k)| sound(p, k)).map(|(p, k)| (*p, self.networks.pass(&k.addr, network)));
        draw.sample(sound.filter(|(_, addr)| !addr.0.is_empty()), SAMPLE_SIZE)
    }

    /// Keeps a peer in mind; when there is no room, another unproven one goes.
    fn remember(&mut self, peer: PeerId, addr: PeerAddr, told: Teller, draw: &mut Draw) {
        if peer == self.own || addr.0.len() > ADDR_MAX {
            return;
        }
        if let Some(known) = self.known.get_mut(&peer) {
            let broken = !known.proven || known.failures > 0 || self.links.contains_key(&peer);
            if broken && !known.trusted && !addr.0.is_empty() && known.addr != addr {
                // Whoever could not be reached there may be reached here, and need not wait. The failures count on.
                (known.addr, known.retry_ms) = (addr, 0);
            }
            return;
        }
        if self.known.len() >= PASSIVE_MAX.saturating_add(ACTIVE_MAX) {
            let Some(victim) = self.least(draw) else { return };
            self.known.remove(&victim);
        }
        let (trusted, proven, met, seen) = (false, false, false, None);
        let known = Known { addr, trusted, proven, met, told, seen, failures: 0, refusals: 0, retry_ms: 0 };
        self.known.insert(peer, known);
    }

    /// One of those that nothing speaks for: of the most that one network named, or that are said to be in one, if those are too
    /// many; then the least reachable.
    fn least(&self, draw: &mut Draw) -> Option<PeerId> {
        let loose = |(peer, known): &(&PeerId, &Known)| {
            !known.proven && !known.trusted && !self.links.contains_key(peer) && !self.dialing.contains_key(peer)
        };
        let loose: Vec<(PeerId, &Known, Vec<Network>)> =
            self.known.iter().filter(loose).map(|(peer, known)| (*peer, known, self.networks_of(known))).collect();
        let company = |known: &Known, networks: &[Network]| {
            let named = loose.iter().filter(|(_, other, _)| known.told != Teller::Us && other.told == known.told).count();
            let within = |network: &Network| loose.iter().filter(|(.., others)| others.contains(network)).count();
            let far = networks.iter().filter(|network| matches!(network, Network::Far(_)));
            let company = far.map(within).max().unwrap_or(0).max(named);
            if company > KNOWN_PER_NETWORK { company } else { 0 }
        };
        let ranks: Vec<_> =
            loose.iter().map(|(peer, known, networks)| ((company(known, networks), known.failures), *peer)).collect();
        let worst = ranks.iter().map(|(rank, _)| *rank).max();
        draw.pick(ranks.into_iter().filter(|(rank, _)| Some(*rank) == worst)).map(|(_, victim)| victim)
    }

    /// Where a peer was seen, or else where it is said to be.
    fn networks_of(&self, known: &Known) -> Vec<Network> {
        known.seen.map_or_else(|| self.networks.of(&known.addr), |seen| vec![seen])
    }

    /// How often the neighbours, and those who may become some by our dialling, fill the share of a network where this one is.
    fn crowd(&self, known: &Known) -> usize {
        let dialing: Vec<Network> =
            self.dialing.keys().filter_map(|peer| self.known.get(peer)).flat_map(|k| self.networks_of(k)).collect();
        let linked = |network: Network| self.pending_links().filter(|(_, link)| link.network == network).count();
        let fills = |network: Network| {
            let count = linked(network).saturating_add(dialing.iter().filter(|other| **other == network).count());
            count.checked_div(network.share()).unwrap_or(0)
        };
        self.networks_of(known).into_iter().map(fills).max().unwrap_or(0)
    }

    fn dial(&mut self, peer: PeerId, now: u64) {
        if let Some(known) = self.known.get(&peer) {
            self.dialing.insert(peer, now.saturating_add(DIALING_MS));
            self.acts.push(Act::Dial(peer, known.addr.clone()));
        }
    }

    fn failed(&mut self, peer: &PeerId, now: u64, draw: &mut Draw) {
        self.wake_ms = 0;
        let Some(known) = self.known.get_mut(peer) else { return };
        let wait = BACKOFF_MS.saturating_mul(1 << known.failures.min(7)).min(BACKOFF_MAX_MS);
        known.retry_ms = now.saturating_add(draw.around(wait));
        known.failures = known.failures.saturating_add(1);
        if known.failures >= FAILURES_MAX && !known.trusted {
            self.known.remove(peer);
        }
    }

    /// It turned us away: we ask it ever more rarely.
    fn refused(&mut self, peer: &PeerId, now: u64, draw: &mut Draw) {
        let Some(known) = self.known.get_mut(peer) else { return };
        let wait = REFUSED_MS.saturating_mul(1 << known.refusals.min(4)).min(REFUSED_MAX_MS);
        known.refusals = known.refusals.saturating_add(1);
        self.wait(peer, now.saturating_add(draw.around(wait)));
    }

    fn wait(&mut self, peer: &PeerId, until: u64) {
        if let Some(known) = self.known.get_mut(peer) {
            known.retry_ms = known.retry_ms.max(until);
        }
    }

    fn drop_link(&mut self, peer: &PeerId) -> Option<Link> {
        let link = self.links.remove(peer)?;
        if link.since_ms.is_some() {
            self.acts.push(Act::Down(*peer));
        }
        Some(link)
    }

    fn trusted(&self, peer: &PeerId) -> bool {
        self.known.get(peer).is_some_and(|k| k.trusted)
    }

    /// Known peers that are neither connected nor being dialled, and can be.
    fn idle(&self) -> impl Iterator<Item = (&PeerId, &Known)> {
        let busy = |p: &PeerId| self.links.contains_key(p) || self.dialing.contains_key(p);
        self.known.iter().filter(move |(p, k)| !busy(p) && !k.addr.0.is_empty())
    }

    /// Whether we chose a neighbour, or the person did; the others came by themselves.
    fn chose(&self, peer: &PeerId, link: &Link) -> bool {
        link.dialed || self.trusted(peer)
    }

    /// Neighbours that we chose.
    fn chosen(&self) -> usize {
        self.active().filter(|(p, link)| self.chose(p, link)).count()
    }

    /// Neighbours that count as such: of those who came, no more of a network than its share, and not all.
    fn counted(&self) -> usize {
        let networks: BTreeSet<Network> = self.came().map(|(_, link)| link.network).collect();
        let came = networks.into_iter().map(|network| self.came_from(network).min(network.share()));
        let came: usize = came.fold(0, usize::saturating_add).min(ACTIVE_TARGET.saturating_sub(CHOSEN_MIN));
        self.chosen().saturating_add(came)
    }

    /// Whether there are too few neighbours, with those who may become one by our own dialling.
    fn wants_more(&self) -> bool {
        let open = self.pending().saturating_sub(self.active().count());
        self.counted().saturating_add(open) < ACTIVE_TARGET
    }

    fn pending_links(&self) -> impl Iterator<Item = (&PeerId, &Link)> {
        self.links.iter().filter(|(_, link)| link.since_ms.is_some() || link.dialed)
    }

    /// Neighbours and those who may become one by our own dialling.
    fn pending(&self) -> usize {
        self.pending_links().count().saturating_add(self.dialing.len())
    }

    fn next_wake(&self, now: u64) -> u64 {
        let greeting = self.links.values().filter(|link| link.since_ms.is_none());
        let greeting = greeting.map(|link| link.connected_ms.saturating_add(GREETING_MS));
        let room = self.dialing.len() < DIALING_MAX;
        let (trusted, any) = (room && self.pending() < ACTIVE_MAX, room && self.wants_more());
        let retries = self.idle().filter(|(_, k)| any || trusted && k.trusted).map(|(_, k)| k.retry_ms);
        let periodic = [self.shuffle_ms, self.explore_ms].into_iter().filter(|_| !self.links.is_empty());
        let all = greeting.chain(retries).chain(periodic).chain(self.dialing.values().copied()).chain(self.tell_ms);
        all.min().unwrap_or(u64::MAX).max(now.saturating_add(1))
    }
}
