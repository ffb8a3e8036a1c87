//! The loop: everything that happens becomes an input of the engine, everything it wants is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use samizdat_api::Event;
use samizdat_chat::ChatError;
use samizdat_core::{EnvelopeId, Now, PeerId, PeerSecret};
use samizdat_engine::{Engine, Input, Output};
use samizdat_net::{ContactEvent, Contacts, Net, NetEvent, PeerAddr, RelayAt};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::sleep_until,
};
use tracing::{debug, warn};

use crate::{
    behind::Events,
    convert,
    http::Call,
    jobs::Jobs,
    limits::{BATCH, PEERS_MAX, RESULTS},
    meeting::Meeting,
    mine::Miner,
    mint::{Minted, Minter},
    net::Searches,
    places::Places,
    presence::Presence,
    requests::Ended,
    roles::Roles,
    rotation::Rotation,
};

/// Between two writings of the remembered peers.
const REMEMBER: Duration = Duration::from_secs(60);
/// Between two status events.
const STATUS: Duration = Duration::from_secs(1);
const PEERS: &str = "peers";

/// The clocks of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    start_ms: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), start_ms: unix_ms() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_ms: millis(self.start.elapsed()), unix_ms: unix_ms() }
    }

    /// A point of the monotonic clock as a claimed time, for people.
    pub(crate) fn unix_of(&self, mono_ms: u64) -> u64 {
        self.start_ms.saturating_add(mono_ms)
    }

    fn instant(&self, mono_ms: u64) -> tokio::time::Instant {
        // A year is as good as never and does not overflow.
        let after = Duration::from_millis(mono_ms.min(365 * 24 * 3_600_000));
        tokio::time::Instant::from_std(self.start.checked_add(after).unwrap_or(self.start))
    }
}

/// Peers of an earlier run.
pub(crate) struct Peers {
    pub(crate) remembered: Vec<(PeerId, Vec<u8>)>,
}

impl Peers {
    pub(crate) fn load(engine: &Engine) -> Result<Self, ChatError> {
        let bytes = engine.chat().kept(PEERS)?.unwrap_or_default();
        Ok(Self { remembered: Self::decode(&bytes) })
    }

    /// What comes after something malformed is lost; the peers that join us again tell of others.
    fn decode(bytes: &[u8]) -> Vec<(PeerId, Vec<u8>)> {
        let mut remembered = Vec::new();
        let mut rest = bytes;
        while let Some((id, after)) = rest.split_first_chunk::<32>() {
            let Some((length, after)) = after.split_first() else { break };
            let Some((addr, after)) = after.split_at_checked(usize::from(*length)) else { break };
            rest = after;
            if PeerAddr::decode(addr).is_ok() && remembered.len() < PEERS_MAX {
                remembered.push((PeerId(*id), addr.to_vec()));
            }
        }
        remembered
    }

    fn encode(peers: &[(PeerId, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (peer, addr) in peers.iter().take(PEERS_MAX) {
            let Ok(length) = u8::try_from(addr.len()) else { continue };
            bytes.extend_from_slice(&peer.0);
            bytes.push(length);
            bytes.extend_from_slice(addr);
        }
        bytes
    }
}

/// The engine and all that it is connected with.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) net: Net,
    pub(crate) contacts: Contacts,
    /// A relay leads to the endpoint for contacts.
    pub(crate) contacts_are_reached: bool,
    /// Relays to use besides those that are found.
    pub(crate) given: Vec<RelayAt>,
    pub(crate) clock: Clock,
    pub(crate) miner: Option<Miner>,
    events: broadcast::Sender<Event>,
    minter: Minter,
    minted: mpsc::Receiver<Minted>,
    pub(crate) results: mpsc::Sender<Minted>,
    pub(crate) status_due: bool,
    jobs: Jobs,
    pub(crate) stamps: BTreeMap<EnvelopeId, (u64, u64)>,
    pub(crate) presence: Presence,
    pub(crate) roles: Roles,
    pub(crate) searches: Searches,
    pub(crate) places: Places,
    pub(crate) rotation: Rotation,
    pub(crate) meeting: Meeting,
}

impl Node {
    pub(crate) fn new(
        engine: Engine,
        (net, contacts): (Net, Contacts),
        secret: PeerSecret,
        rotation: Rotation,
        clock: Clock,
        events: broadcast::Sender<Event>,
        meeting: Meeting,
    ) -> Self {
        let (results, minted) = mpsc::channel(RESULTS);
        let minter = Minter::new(results.clone());
        let (roles, places) = (Roles::load(engine.chat()), Places::load(engine.chat()));
        contacts.show_nearby(meeting.nearby.is_on());
        Self {
            engine,
            net,
            contacts,
            contacts_are_reached: false,
            given: Vec::new(),
            clock,
            miner: None,
            events,
            minter,
            minted,
            results,
            status_due: true,
            jobs: Jobs::default(),
            stamps: BTreeMap::new(),
            presence: Presence::new(secret),
            roles,
            searches: Searches::default(),
            places,
            rotation,
            meeting,
        }
    }

    /// Runs until `stop` or a request to end. What is in the vault and the log at that moment is complete.
    pub(crate) async fn run(
        mut self,
        mut net: mpsc::Receiver<NetEvent>,
        mut contacts: mpsc::Receiver<ContactEvent>,
        mut calls: mpsc::Receiver<Call>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut remember = tokio::time::interval(REMEMBER);
        let mut status = tokio::time::interval(STATUS);
        status.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.apply_consent().await;
        self.drain();
        loop {
            let timeout = self.clock.instant(self.engine.next_timeout());
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some((request, answer)) = calls.recv() => {
                    let now = self.clock.now();
                    let other = self.jobs.begin(request, answer, &mut self.engine, now);
                    if let Some((request, answer)) = other.and_then(|(request, answer)| self.search(request, answer)) {
                        let (result, ended) = self.answer(request, Events { net: &mut net, contacts: &mut contacts }).await;
                        // Whoever asked may have gone.
                        let _ = answer.send(result);
                        if ended == Ended::Yes {
                            break;
                        }
                    }
                }
                Some(minted) = self.minted.recv() => self.on_minted(minted),
                Some(news) = self.meeting.news.recv() => self.on_news(news),
                Some(event) = net.recv() => {
                    self.on_net(event);
                    for _ in 1..BATCH {
                        let Ok(event) = net.try_recv() else { break };
                        self.on_net(event);
                    }
                }
                Some(event) = contacts.recv() => {
                    self.on_contact(event);
                    for _ in 1..BATCH {
                        let Ok(event) = contacts.try_recv() else { break };
                        self.on_contact(event);
                    }
                }
                () = sleep_until(timeout) => self.engine.handle(Input::Timeout, self.clock.now()),
                _ = remember.tick() => self.remember(),
                _ = status.tick() => {
                    self.tell_status();
                    self.keep_found();
                    self.hear_of_relay();
                    self.retry_relay().await;
                    self.ask_places();
                    self.renew_record();
                    self.meet();
                    self.end_abandoned_mining();
                    self.rotate_when_due(&mut net).await;
                }
                () = std::future::ready(()), if self.jobs.any() => {}
            }
            self.jobs.step(&mut self.engine, self.clock.now());
            self.engine.commit(self.clock.now());
            self.drain();
        }
        self.minter.cancel();
        self.miner = None;
        self.remember();
        self.withdraw().await;
    }

    /// What the status says is no longer so.
    pub(crate) fn status_changed(&mut self) {
        self.status_due = true;
    }

    pub(crate) fn nobody_listens(&self) -> bool {
        self.events.receiver_count() == 0
    }

    /// Whether a relay is connected; the engine draws others when none is for long.
    pub(crate) fn hear_of_relay(&mut self) {
        let connected = self.contacts_are_reached || !self.net.reached_through().is_empty();
        let now = self.clock.now();
        self.engine.speak(self.net.families(), now);
        self.engine.relay_connected(connected, now);
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = self.clock.now();
        let input = match event {
            NetEvent::Connected { peer, addr, dialed } => {
                let ip = addr.sockets().next().map(|socket| socket.ip());
                Input::Connected { peer, addr: addr.as_bytes().to_vec(), dialed, ip }
            }
            NetEvent::Moved { addr } => {
                self.engine.set_addr(addr.as_bytes().to_vec());
                self.hear_of_relay();
                self.presence.hurry();
                self.status_due = true;
                return;
            }
            NetEvent::DialFailed { peer } => Input::DialFailed { peer },
            NetEvent::Disconnected { peer, reason } => {
                debug!(?reason, "a peer is gone");
                Input::Disconnected { peer }
            }
            NetEvent::Asked { token, peer, from, question } => Input::Asked { token, peer, from, question },
            NetEvent::Answered { ticket, from, answer } => Input::Answered { ticket, from, answer },
            NetEvent::AskFailed { ticket } => Input::AskFailed { ticket },
            NetEvent::Checked { token, endpoint, relay } => Input::Checked { token, endpoint, relay },
            NetEvent::Introduced { record, .. } => {
                record.into_iter().for_each(|record| self.introduced(*record));
                return;
            }
            NetEvent::Frame { peer, bytes } => Input::Frame { peer, bytes },
        };
        self.engine.handle(input, now);
    }

    fn on_minted(&mut self, minted: Minted) {
        let now = self.clock.now();
        match minted {
            Minted::Stamp { id, nonce } => {
                self.stamps.remove(&id);
                self.engine.handle(Input::Stamped { id, nonce }, now);
            }
            Minted::StampProgress { id, tries, expected, rate } => {
                self.stamps.insert(id, (tries, expected));
                if let Some(event) = convert::stamp_progress(self.engine.chat(), &id, tries, expected, rate) {
                    self.tell(event);
                }
            }
            Minted::NameProgress(mining) => self.tell(Event::Mining { mining }),
            Minted::Name { id, secret, label } => self.on_name(id, secret, label),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { peer, bytes } => {
                    if let Err(error) = self.net.send(peer, bytes) {
                        debug!(%error, "a frame was not sent");
                    }
                }
                Output::Dial { peer, addr } => {
                    if self.net.dial(peer, &addr).is_err() {
                        self.engine.handle(Input::DialFailed { peer }, self.clock.now());
                    }
                }
                Output::Hangup { peer } => self.net.hangup(peer),
                Output::Ask { ticket, whom, question } => {
                    if !self.ask(ticket, whom, question) {
                        self.engine.handle(Input::AskFailed { ticket }, self.clock.now());
                    }
                }
                Output::Reply { token, answer } => self.net.reply(token, answer),
                Output::Check { token, peer, at, relay } => self.net.check(token, peer, at, relay),
                Output::Found(found) => self.found(found),
                Output::Relays(_) => self.use_relays(),
                Output::Standing => {
                    self.use_relays();
                    self.presence.hurry();
                }
                Output::Probed { peer, answered } => self.on_probed(peer, answered),
                Output::ContactDial { dial, way, to } => self.dial_contact(dial, way, &to),
                Output::ContactSend { link, bytes } => {
                    if let Err(error) = self.contacts.send(link, bytes) {
                        debug!(%error, "a frame for a contact was not sent");
                    }
                }
                Output::ContactClose { link } => self.contacts.hangup(link),
                Output::ContactEndpoints { relayed, direct } => self.want_endpoints(relayed, direct),
                Output::Session { contact } => {
                    self.status_due = true;
                    let told = convert::event(&mut self.engine, samizdat_chat::Event::Contact(contact));
                    told.unwrap_or_default().into_iter().for_each(|event| self.tell(event));
                }
                Output::Mint { id, tries, urgent } => self.minter.start(id, tries, urgent),
                Output::CancelMint { .. } => self.minter.cancel(),
                Output::Peers(count) => {
                    self.status_due = true;
                    self.tell(Event::Peers { count: count as u64 });
                }
                Output::Chat(event) => {
                    self.status_due = true;
                    match convert::event(&mut self.engine, event) {
                        Ok(events) => events.into_iter().for_each(|event| self.tell(event)),
                        Err(error) => debug!(%error, "an event was not told"),
                    }
                }
            }
        }
    }

    fn tell_status(&mut self) {
        if std::mem::take(&mut self.status_due) && !self.nobody_listens() {
            match self.status() {
                Ok(status) => self.tell(Event::Status { status }),
                Err(error) => warn!(%error, "the status cannot be read"),
            }
        }
    }

    fn remember(&mut self) {
        let peers = Peers::encode(&self.engine.remembered());
        let now = self.clock.now();
        if let Err(error) = self.engine.command(now, |chat, _| chat.keep(PEERS, &peers)) {
            // The error may name a file.
            warn!("peers were not remembered");
            debug!(%error, "peers were not remembered");
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use proptest::{collection::vec, prelude::*};
    use samizdat_net::limits::ADDR_BYTES_MAX;

    use super::*;

    fn addr() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<std::net::SocketAddr>(), 0..9).prop_map(|sockets| PeerAddr::new(sockets).as_bytes().to_vec())
    }

    fn peers() -> impl Strategy<Value = Vec<(PeerId, Vec<u8>)>> {
        vec((any::<[u8; 32]>().prop_map(PeerId), addr()), 0..20)
    }

    #[test]
    fn no_more_peers_are_remembered_than_the_bound() {
        let many: Vec<_> = (0..PEERS_MAX + 9).map(|n| (PeerId([n.to_be_bytes()[7]; 32]), Vec::new())).collect();
        assert_eq!(Peers::decode(&Peers::encode(&many)), many[..PEERS_MAX]);
        let one = [&[1; 32][..], &[0]].concat();
        assert_eq!(Peers::decode(&one.repeat(PEERS_MAX + 9)).len(), PEERS_MAX);
    }

    proptest! {
        #[test]
        fn peers_are_remembered_as_they_were(peers in peers()) {
            prop_assert_eq!(Peers::decode(&Peers::encode(&peers)), peers);
        }

        /// A vault is ours, but a damaged or foreign one must not keep a node from starting.
        #[test]
        fn whatever_is_remembered_is_read_or_left_out(good in peers(), cut in any::<prop::sample::Index>(), noise in vec(any::<u8>(), 0..200)) {
            let good = Peers::encode(&good);
            let bytes = [&good[..cut.index(good.len() + 1)], &noise].concat();
            let read = Peers::decode(&bytes);
            prop_assert!(read.len() <= PEERS_MAX);
            prop_assert!(read.iter().all(|(_, addr)| addr.len() <= ADDR_BYTES_MAX && PeerAddr::decode(addr).is_ok()));
            prop_assert_eq!(Peers::decode(&Peers::encode(&read)), read);
        }
    }
}
