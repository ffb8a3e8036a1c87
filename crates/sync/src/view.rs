//! Who to talk to: partial views of the network.
//!
//! After HyParView (Leitão, Pereira, Rodrigues 2007): a small active view of neighbours with open connections, and a
//! passive view of others to fall back on. It differs in four points. Walks end by a coin, so that no frame carries a hop
//! count. Peers are exchanged with neighbours only. A neighbour that we chose, that is trusted or that has been there for
//! long is never displaced by a stranger. And now and then a node tries a peer outside its neighbourhood, so that the two
//! halves of a healed partition find each other.

use std::collections::BTreeMap;

use samizdat_core::PeerId;

use crate::codec::{Frame, PeerAddr, PeerAt};
use crate::draw::Draw;
use crate::event::HangupReason;
use crate::limits::{
    ACTIVE_MAX, ACTIVE_TARGET, ADDR_MAX, DIALING_MAX, FAILURES_MAX, GREETING_MAX, PASSIVE_MAX, PROVEN_MAX, SAMPLE_SIZE,
    TRUSTED_MAX, WALKS_PER_MINUTE,
};

/// Time to answer a greeting.
const GREETING_MS: u64 = 15_000;
/// Time after which a dial counts as failed even if nobody said so.
const DIALING_MS: u64 = 45_000;
/// First wait after a failed dial; it doubles each time.
const BACKOFF_MS: u64 = 1_000;
/// Longest wait.
const BACKOFF_MAX_MS: u64 = 120_000;
/// Wait before knocking again where we were turned away.
const REFUSED_MS: u64 = 15_000;
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
    connected_ms: u64,
    shuffled_ms: Option<u64>,
    asked: bool,
    walks: u32,
    walks_ms: u64,
}

#[derive(Debug, Clone)]
struct Known {
    addr: PeerAddr,
    trusted: bool,
    /// A dial to this address once worked.
    proven: bool,
    /// It worked under the transport key of now. Whom a node met before is told to nobody: the set would name it again.
    met: bool,
    failures: u8,
    retry_ms: u64,
}

/// The views of one node.
#[derive(Debug)]
pub struct View {
    own: PeerId,
    own_addr: PeerAddr,
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
        self.known.values_mut().for_each(|known| known.met = false);
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
        self.remember(peer, addr.clone(), draw);
        if let Some(known) = self.known.get_mut(&peer)
            && trusted
            && (known.trusted || room)
        {
            *known = Known { trusted: true, addr, failures: 0, retry_ms: 0, ..known.clone() };
        }
        self.wake_ms = 0;
    }

    /// A connection stands.
    pub fn connected(&mut self, peer: PeerId, addr: PeerAddr, dialed: bool, now: u64, draw: &mut Draw) {
        self.drop_link(&peer);
        self.dialing.remove(&peer);
        self.wake_ms = 0;
        let greeting = self.links.values().filter(|link| link.since_ms.is_none()).count();
        if peer == self.own || greeting >= GREETING_MAX {
            self.acts.push(Act::Hangup(peer, HangupReason::Full));
            return;
        }
        self.remember(peer, addr, draw);
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
            let few = self.active().count();
            let greeting = match few {
                0 => Frame::Join { addr },
                few => Frame::Neighbor { urgent: few < ACTIVE_TARGET / 2, addr },
            };
            self.acts.push(Act::Send(peer, greeting));
        }
        let link = Link { since_ms: None, dialed, connected_ms: now, shuffled_ms: None, asked: false, walks: 0, walks_ms: now };
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
        match frame {
            Frame::Join { addr } if greeting && !link.dialed => {
                self.remember(peer, addr.clone(), draw);
                if self.admit(peer, true, now, draw) {
                    let others: Vec<PeerId> = self.active().map(|(p, _)| *p).filter(|p| *p != peer).collect();
                    for other in others {
                        self.acts.push(Act::Send(other, Frame::Walk { peer, addr: addr.clone() }));
                    }
                }
            }
            Frame::Neighbor { urgent, addr } if greeting && !link.dialed => {
                self.remember(peer, addr, draw);
                self.admit(peer, urgent, now, draw);
            }
            Frame::Welcome if greeting && link.dialed => {
                // Others may have come while we were dialling.
                if self.make_room(true, now, draw) {
                    self.activate(peer, now, draw);
                } else {
                    self.dismiss(peer, HangupReason::Full, now, draw);
                }
            }
            Frame::Disconnect { others } => {
                self.drop_link(&peer);
                others.into_iter().for_each(|(p, addr)| self.remember(p, addr, draw));
                self.acts.push(Act::Hangup(peer, HangupReason::Left));
                self.wait(&peer, now.saturating_add(draw.around(REFUSED_MS)));
                self.wake_ms = 0;
            }
            Frame::Walk { peer: newcomer, addr } if !greeting => {
                if self.may_walk(&peer, now) {
                    self.walk(peer, newcomer, addr, now, draw);
                }
            }
            Frame::Shuffle { peers } if !greeting => {
                if link.shuffled_ms.is_none_or(|at| at.saturating_add(SHUFFLE_LEAST_MS) <= now) {
                    let answer = self.sample(&peer, draw);
                    self.acts.push(Act::Send(peer, Frame::ShuffleReply { peers: answer }));
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.shuffled_ms = Some(now);
                    }
                    peers.into_iter().take(SAMPLE_SIZE).for_each(|(p, addr)| self.remember(p, addr, draw));
                    self.wake_ms = 0;
                }
            }
            Frame::ShuffleReply { peers } if !greeting => {
                if link.asked {
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.asked = false;
                    }
                    peers.into_iter().take(SAMPLE_SIZE).for_each(|(p, addr)| self.remember(p, addr, draw));
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

    /// Dials the trusted first and then others at random until there are neighbours enough.
    fn fill_up(&mut self, now: u64, draw: &mut Draw) {
        loop {
            let (trusted, others): (Vec<_>, Vec<_>) =
                self.idle().filter(|(_, k)| k.retry_ms <= now).map(|(p, k)| (*p, k.trusted)).partition(|(_, t)| *t);
            let pending = self.pending();
            let choice = if pending < ACTIVE_MAX && !trusted.is_empty() {
                draw.pick(trusted)
            } else if pending < ACTIVE_TARGET {
                draw.pick(others)
            } else {
                None
            };
            match choice {
                Some((peer, _)) if self.dialing.len() < DIALING_MAX => self.dial(peer, now),
                _ => return,
            }
        }
    }

    /// One step out of the neighbourhood, or one back if there is no room for it.
    fn explore(&mut self, now: u64, draw: &mut Draw) {
        if self.pending() >= ACTIVE_MAX {
            let spare: Vec<(PeerId, bool)> =
                self.active().filter(|(p, _)| !self.trusted(p)).map(|(p, link)| (*p, link.dialed)).collect();
            // Those who came to us go first, lest strangers crowd out the neighbours we chose.
            let came = draw.pick(spare.iter().filter(|(_, dialed)| !dialed));
            let victim = came.or(draw.pick(spare.iter())).map(|(p, _)| *p);
            victim.into_iter().for_each(|peer| self.dismiss(peer, HangupReason::Replaced, now, draw));
        } else if self.pending() >= ACTIVE_TARGET {
            let choice = draw.pick(self.idle().filter(|(_, k)| k.retry_ms <= now).map(|(p, _)| *p));
            choice.into_iter().for_each(|peer| self.dial(peer, now));
        }
    }

    /// Takes in a peer that came, if there is room or somebody to make room.
    fn admit(&mut self, peer: PeerId, urgent: bool, now: u64, draw: &mut Draw) -> bool {
        let pressing = self.trusted(&peer) || urgent && draw.percent(50);
        let room = self.make_room(pressing, now, draw);
        if room {
            self.acts.push(Act::Send(peer, Frame::Welcome));
            self.activate(peer, now, draw);
        } else {
            self.dismiss(peer, HangupReason::Full, now, draw);
        }
        room
    }

    /// Whether there is room for one more neighbour. If it is pressing, one of those who came lately has to go for it; the
    /// chosen, the trusted and those of long standing stay.
    fn make_room(&mut self, pressing: bool, now: u64, draw: &mut Draw) -> bool {
        if self.active().count() < ACTIVE_MAX {
            return true;
        }
        let young = |link: &Link| !link.dialed && link.since_ms.is_some_and(|s| s.saturating_add(SETTLED_MS) > now);
        let loose = self.active().filter(|(p, link)| young(link) && !self.trusted(p)).map(|(p, _)| *p);
        match draw.pick(loose).filter(|_| pressing) {
            Some(victim) => self.dismiss(victim, HangupReason::Replaced, now, draw),
            None => return false,
        }
        true
    }

    fn activate(&mut self, peer: PeerId, now: u64, draw: &mut Draw) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.since_ms = Some(now);
            self.acts.push(Act::Up(peer));
            if self.active().count() < ACTIVE_TARGET {
                self.shuffle(peer, draw);
            }
        }
        self.wake_ms = 0;
    }

    fn dismiss(&mut self, peer: PeerId, reason: HangupReason, now: u64, draw: &mut Draw) {
        self.drop_link(&peer);
        let others = self.sample(&peer, draw);
        self.acts.push(Act::Send(peer, Frame::Disconnect { others }));
        self.acts.push(Act::Hangup(peer, reason));
        self.wait(&peer, now.saturating_add(draw.around(REFUSED_MS)));
        self.wake_ms = 0;
    }

    fn walk(&mut self, from: PeerId, newcomer: PeerId, addr: PeerAddr, now: u64, draw: &mut Draw) {
        if newcomer == self.own || self.links.contains_key(&newcomer) || self.dialing.contains_key(&newcomer) {
            return;
        }
        self.remember(newcomer, addr.clone(), draw);
        let next = draw.pick(self.active().map(|(p, _)| *p).filter(|p| *p != from && *p != newcomer));
        match next {
            Some(next) if !draw.percent(WALK_ENDS) => self.acts.push(Act::Send(next, Frame::Walk { peer: newcomer, addr })),
            _ if self.pending() < ACTIVE_TARGET && self.dialing.len() < DIALING_MAX => self.dial(newcomer, now),
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
        let mut peers = self.sample(&peer, draw);
        peers.truncate(SAMPLE_SIZE.saturating_sub(1));
        peers.push((self.own, self.own_addr.clone()));
        if let Some(link) = self.links.get_mut(&peer) {
            link.asked = true;
            self.acts.push(Act::Send(peer, Frame::Shuffle { peers }));
        }
    }

    /// Some peers to tell another one: only those to whom a connection stands or once worked under this key.
    fn sample(&self, to: &PeerId, draw: &mut Draw) -> Vec<PeerAt> {
        let sound = |peer: &PeerId, known: &Known| {
            let active = self.links.get(peer).is_some_and(|link| link.since_ms.is_some());
            peer != to && !known.addr.0.is_empty() && (active || known.proven && known.met && known.failures == 0)
        };
        let sound = self.known.iter().filter(|(p, k)| sound(p, k)).map(|(p, k)| (*p, k.addr.clone()));
        draw.sample(sound, SAMPLE_SIZE)
    }

    /// Keeps a peer in mind; when there is no room, another unproven one goes, and the least reachable first.
    fn remember(&mut self, peer: PeerId, addr: PeerAddr, draw: &mut Draw) {
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
            let loose = |(peer, known): &(&PeerId, &Known)| {
                !known.proven && !known.trusted && !self.links.contains_key(peer) && !self.dialing.contains_key(peer)
            };
            let loose: Vec<(u8, PeerId)> = self.known.iter().filter(loose).map(|(p, k)| (k.failures, *p)).collect();
            let worst = loose.iter().map(|(failures, _)| *failures).max();
            let Some((_, victim)) = draw.pick(loose.into_iter().filter(|(f, _)| Some(*f) == worst)) else { return };
            self.known.remove(&victim);
        }
        self.known.insert(peer, Known { addr, trusted: false, proven: false, met: false, failures: 0, retry_ms: 0 });
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

    /// Neighbours and those who may become one by our own dialling.
    fn pending(&self) -> usize {
        let links = self.links.values().filter(|link| link.since_ms.is_some() || link.dialed).count();
        links.saturating_add(self.dialing.len())
    }

    fn next_wake(&self, now: u64) -> u64 {
        let greeting = self.links.values().filter(|link| link.since_ms.is_none());
        let greeting = greeting.map(|link| link.connected_ms.saturating_add(GREETING_MS));
        let room = self.dialing.len() < DIALING_MAX;
        let (trusted, any) = (room && self.pending() < ACTIVE_MAX, room && self.pending() < ACTIVE_TARGET);
        let retries = self.idle().filter(|(_, k)| any || trusted && k.trusted).map(|(_, k)| k.retry_ms);
        let periodic = [self.shuffle_ms, self.explore_ms].into_iter().filter(|_| !self.links.is_empty());
        let all = greeting.chain(retries).chain(periodic).chain(self.dialing.values().copied()).chain(self.tell_ms);
        all.min().unwrap_or(u64::MAX).max(now.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    fn id(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn addr(n: u8) -> PeerAddr {
        PeerAddr(vec![n])
    }

    /// Runs the view for so long; every dial fails at once. Returns the times of the dials.
    fn dials_in_vain(view: &mut View, draw: &mut Draw, until: u64) -> Vec<u64> {
        let (mut now, mut dials) = (1, Vec::new());
        while now < until {
            view.poll(now, draw);
            for act in view.take_acts() {
                if let Act::Dial(peer, _) = act {
                    dials.push(now);
                    view.dial_failed(peer, now, draw);
                }
            }
            match view.next_timeout() {
                Some(at) => now = now.max(at),
                None => break,
            }
        }
        dials
    }

    #[test]
    fn a_peer_that_cannot_be_reached_is_tried_ever_more_rarely_and_forgotten() {
        let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
        view.learn(id(1), addr(1), false, &mut draw);
        let dials = dials_in_vain(&mut view, &mut draw, 86_400_000);
        assert_eq!(dials.len(), usize::from(FAILURES_MAX));
        assert!(dials.windows(3).all(|w| w[2] - w[1] > (w[1] - w[0]) * 9 / 10));
        assert!(view.remembered().is_empty());
    }

    #[test]
    fn a_trusted_peer_is_tried_for_ever_and_at_once_when_named_again() {
        let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
        view.learn(id(1), addr(1), true, &mut draw);
        let dials = dials_in_vain(&mut view, &mut draw, 86_400_000);
        assert!(dials.len() > 500 && dials.windows(2).all(|w| w[1] - w[0] <= BACKOFF_MAX_MS * 5 / 4));
        view.learn(id(1), addr(2), true, &mut draw);
        view.poll(dials[dials.len() - 1] + 1, &mut draw);
        assert_eq!(view.take_acts(), [Act::Dial(id(1), addr(2))]);
    }

    #[test]
    fn a_lost_neighbour_is_replaced_from_the_passive_view() {
        let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
        (1..=20).for_each(|n| view.learn(id(n), addr(n), false, &mut draw));
        let mut now = 1;
        let mut settle = |view: &mut View, draw: &mut Draw| {
            for _ in 0..20 {
                now += 1_000;
                view.poll(now, draw);
                for act in view.take_acts() {
                    if let Act::Dial(peer, at) = act {
                        view.connected(peer, at, true, now, draw);
                        view.handle(peer, Frame::Welcome, now, draw);
                    }
                }
            }
            now
        };
        settle(&mut view, &mut draw);
        assert_eq!(view.active().count(), ACTIVE_TARGET);
        let first = *view.active().next().unwrap().0;
        let now = settle(&mut view, &mut draw);
        view.disconnected(first, now, &mut draw);
        settle(&mut view, &mut draw);
        assert_eq!(view.active().count(), ACTIVE_TARGET);
    }

    #[test]
    fn whoever_is_somewhere_else_now_is_dialled_there_at_once() {
        let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
        view.learn(id(1), addr(1), false, &mut draw);
        let dials = dials_in_vain(&mut view, &mut draw, 10_000);
        let now = dials[dials.len() - 1] + 1;
        view.learn(id(1), addr(1), false, &mut draw);
        view.poll(now, &mut draw);
        assert!(view.take_acts().is_empty(), "nothing new");
        view.learn(id(1), addr(2), false, &mut draw);
        view.poll(now + 1, &mut draw);
        assert_eq!(view.take_acts(), [Act::Dial(id(1), addr(2))]);
    }

    #[test]
    fn whoever_moves_tells_all_neighbours_and_they_tell_others() {
        let (mut alice, mut bob, mut draw) = (View::new(id(0), addr(0)), View::new(id(1), addr(1)), Draw::new([1; 32]));
        (1..=5).for_each(|n| {
            alice.connected(id(n), addr(n), true, 1, &mut draw);
            alice.handle(id(n), Frame::Welcome, 1, &mut draw);
        });
        bob.connected(id(0), addr(0), false, 1, &mut draw);
        bob.handle(id(0), Frame::Join { addr: addr(0) }, 1, &mut draw);
        alice.poll(40_000, &mut draw);
        alice.take_acts();
        alice.set_own_addr(addr(9));
        alice.poll(40_001, &mut draw);
        assert!(alice.take_acts().is_empty(), "whoever was told something just now would not listen");
        let at = alice.next_timeout().unwrap_or_default();
        assert!((45_001..50_000).contains(&at));
        alice.poll(at, &mut draw);
        let told = alice.take_acts();
        let shuffles = told.into_iter().filter_map(|act| match act {
            Act::Send(_, frame @ Frame::Shuffle { .. }) => Some(frame),
            _ => None,
        });
        let shuffles: Vec<Frame> = shuffles.collect();
        assert_eq!(shuffles.len(), 5);
        shuffles.into_iter().take(1).for_each(|frame| assert!(bob.handle(id(0), frame, at, &mut draw)));
        assert!(bob.remembered().contains(&(id(0), addr(9))));
        alice.set_own_addr(addr(9));
        alice.poll(at + 1, &mut draw);
        assert!(alice.take_acts().is_empty(), "nothing changed");
    }

    #[test]
    fn under_another_key_nobody_is_told_whom_the_old_one_met() {
        let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
        (1..=3).for_each(|n| {
            view.connected(id(n), addr(n), true, 1, &mut draw);
            view.handle(id(n), Frame::Welcome, 1, &mut draw);
        });
        view.disconnected(id(3), 2, &mut draw);
        assert_eq!(view.sample(&id(1), &mut draw).len(), 2, "the neighbour, and the one that was there");

        view.take_acts();
        view.renew(id(9), addr(9));
        let downs = view.take_acts();
        assert_eq!(downs, [Act::Down(id(1)), Act::Down(id(2))], "nothing is said to those of the old key");
        view.connected(id(1), addr(1), true, 10_000, &mut draw);
        view.handle(id(1), Frame::Welcome, 10_000, &mut draw);
        let joins = |act: &Act| matches!(act, Act::Send(_, Frame::Join { addr: told }) if *told == addr(9));
        assert!(view.take_acts().iter().any(joins));
        assert_eq!(view.sample(&id(1), &mut draw), []);
        assert_eq!(view.remembered().len(), 3, "but they are known, and dialled");
    }

    #[test]
    fn oneself_is_never_a_neighbour() {
        let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
        view.learn(id(0), addr(0), true, &mut draw);
        view.connected(id(0), addr(0), true, 1, &mut draw);
        view.poll(1, &mut draw);
        assert_eq!(view.take_acts(), [Act::Hangup(id(0), HangupReason::Full)]);
    }
}
