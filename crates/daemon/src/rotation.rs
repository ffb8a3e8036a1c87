//! The transport key changes, at every start and once a day, so that whoever meets a node twice need not know it again. Which
//! nodes keep theirs for a week, and why, is in docs/adr/0010-rotation.md.

use std::{io, net::SocketAddr, time::Duration};

use samizdat_chat::Chat;
use samizdat_core::PeerSecret;
use samizdat_net::{Config, Limits, Net, NetEvent, Proxy};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, warn};
use zeroize::Zeroizing;

use crate::{
    limits::{BIND_PAUSE, BIND_TRIES},
    nearby::Nearby,
    node::Node,
    presence::Presence,
    run::StartError,
};

const TRANSPORT_KEY: &str = "transport key";
/// How long a key serves, give or take an eighth.
const TERM: Duration = Duration::from_secs(24 * 3600);
/// The same where others are told at which address the node is.
const SETTLED_TERM: Duration = Duration::from_secs(7 * 24 * 3600);

/// A key, and until when it serves.
pub(crate) struct Term {
    pub(crate) secret: Zeroizing<[u8; 32]>,
    until_ms: u64,
}

/// When the next key is due, and with what.
pub(crate) struct Rotation {
    /// Others are told at which address this node is.
    pub(crate) settled: bool,
    /// Its owner asked for that address.
    pub(crate) asked: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) every: Option<Duration>,
    pub(crate) proxy: Option<Proxy>,
    until_ms: u64,
    /// For whoever ends the node.
    current: watch::Sender<Net>,
}

impl Term {
    /// The key that was kept, if this node keeps one and it serves still; otherwise a fresh one.
    pub(crate) fn begin(chat: &mut Chat, settled: bool, every: Option<Duration>, now_ms: u64) -> Result<Self, StartError> {
        let kept = if settled { chat.kept(TRANSPORT_KEY)?.map(Zeroizing::new) } else { None };
        let kept =
            kept.and_then(|bytes| Self::decode(&bytes)).filter(|term| !is_over(term.until_ms, length(settled, every), now_ms));
        let term = kept.map_or_else(|| Self::draw(length(settled, every), now_ms), Ok)?;
        term.keep(chat, settled)?;
        Ok(term)
    }

    fn draw(length_ms: u64, now_ms: u64) -> Result<Self, StartError> {
        let failed = |e: getrandom::Error| StartError::System(io::Error::other(e.to_string()));
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(failed)?;
        Ok(Self { secret, until_ms: now_ms.saturating_add(around(length_ms, getrandom::u64().map_err(failed)?)) })
    }

    /// A key that serves for one run leaves no trace, and neither does the one before it.
    fn keep(&self, chat: &mut Chat, settled: bool) -> Result<(), StartError> {
        let bytes = if settled { self.encode() } else { Zeroizing::default() };
        Ok(chat.keep(TRANSPORT_KEY, &bytes)?)
    }

    /// The key (32 bytes), the end of its term in milliseconds (8, big-endian).
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.secret.as_slice(), &self.until_ms.to_be_bytes()].concat())
    }

    /// What an earlier version kept was the key alone, and is none of ours.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (secret, until) = bytes.split_first_chunk::<32>()?;
        Some(Self { secret: Zeroizing::new(*secret), until_ms: u64::from_be_bytes(until.try_into().ok()?) })
    }
}

impl Rotation {
    pub(crate) fn new(
        term: &Term,
        (settled, asked): (bool, bool),
        every: Option<Duration>,
        listen: SocketAddr,
        proxy: Option<Proxy>,
        net: Net,
    ) -> (Self, watch::Receiver<Net>) {
        let (current, now) = watch::channel(net);
        (Self { settled, asked, listen, every, proxy, until_ms: term.until_ms, current }, now)
    }
}

/// What a node is bound with; `settled` ones have asked for their port.
pub(crate) fn config(secret: &[u8; 32], listen: SocketAddr, any_port: bool, proxy: Option<Proxy>) -> Config {
    Config { secret: *secret, listen, any_port, relays: true, proxy, limits: Limits::default() }
}

impl Node {
    /// Goes on under another key when the term of this one is over: leaves, comes again on another endpoint, and meets the
    /// others as somebody they do not know. For the second that it takes nobody is connected; what was under way is asked
    /// for and told anew, as after any loss of a connection.
    pub(crate) async fn rotate_when_due(&mut self, events: &mut mpsc::Receiver<NetEvent>) {
        let length_ms = length(self.rotation.settled, self.rotation.every);
        let now_ms = self.clock.now().unix_ms;
        if !is_over(self.rotation.until_ms, length_ms, now_ms) {
            return;
        }
        self.change_endpoint(events).await;
    }

    /// The same at once.
    pub(crate) async fn change_endpoint(&mut self, events: &mut mpsc::Receiver<NetEvent>) {
        // Until another endpoint is there, it is due.
        self.rotation.until_ms = 0;
        let length_ms = length(self.rotation.settled, self.rotation.every);
        let Ok(term) = Term::draw(length_ms, self.clock.now().unix_ms) else { return };
        self.leave(events).await;
        // The last tasks of the old endpoint hold its port for a moment. If somebody else does, the next tick tries again.
        for _ in 0..BIND_TRIES {
            match Net::bind(config(&term.secret, self.rotation.listen, false, self.rotation.proxy.clone())).await {
                Ok((net, fresh)) => {
                    *events = fresh;
                    return self.appear(term, net).await;
                }
                Err(error) => debug!(%error, "no endpoint yet"),
            }
            sleep(BIND_PAUSE).await;
        }
    }

    /// Others are told from now on at which address this node is, because it has a role there, or no longer. The key that it has
    /// is kept for as long as that of others at known addresses.
    pub(crate) fn settle(&mut self) {
        let settled = self.rotation.asked || self.roles.wants_relay() || self.meeting.keeping.is_wanted();
        if settled == self.rotation.settled {
            return;
        }
        self.rotation.settled = settled;
        self.rotation.listen.set_port(if settled { self.net.port() } else { 0 });
        let until_ms = self.clock.now().unix_ms.saturating_add(length(settled, self.rotation.every));
        self.rotation.until_ms = until_ms;
        let (term, now) = (Term { secret: self.presence.secret(), until_ms }, self.clock.now());
        if !matches!(self.engine.command(now, |chat, _| Ok(term.keep(chat, settled))), Ok(Ok(()))) {
            warn!("the transport key was not kept: the next start begins with another");
        }
    }

    /// Says goodbye to everybody. What the old endpoint still tells is nobody's business any more.
    pub(crate) async fn leave(&mut self, events: &mut mpsc::Receiver<NetEvent>) {
        let net = self.net.clone();
        let mut closed = std::pin::pin!(net.close());
        loop {
            tokio::select! {
                () = &mut closed => return,
                Some(_) = events.recv() => {}
            }
        }
    }

    async fn appear(&mut self, term: Term, net: Net) {
        let now = self.clock.now();
        let kept = self.engine.command(now, |chat, _| Ok(term.keep(chat, self.rotation.settled)));
        if !matches!(kept, Ok(Ok(()))) {
            warn!("the transport key was not kept: the next start begins with another");
        }
        self.engine.renew(net.peer_id(), net.local_addr().as_bytes().to_vec(), now);
        self.presence = Presence::new(PeerSecret(*term.secret));
        self.rotation.until_ms = term.until_ms;
        self.rotation.current.send_replace(net.clone());
        self.net = net;
        self.end_searches();
        let lan = Nearby::kept(&self.engine).ok().flatten();
        self.meeting.nearby.renew(lan, &self.net, &self.meeting.tell);
        self.contacts.show_nearby(self.meeting.nearby.is_on());
        self.apply_consent().await;
        self.status_changed();
        debug!("another transport key");
    }
}

fn length(settled: bool, every: Option<Duration>) -> u64 {
    let length = every.unwrap_or(if settled { SETTLED_TERM } else { TERM });
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Seven to nine eighths, so that nobody knows the moment.
fn around(length_ms: u64, noise: u64) -> u64 {
    let eighth = length_ms / 8;
    let spread = noise.checked_rem(eighth.saturating_mul(2).saturating_add(1)).unwrap_or(0);
    length_ms.saturating_sub(eighth).saturating_add(spread)
}

/// Also when the end is further away than any term is long: then the clock is wrong, or was.
fn is_over(until_ms: u64, length_ms: u64, now_ms: u64) -> bool {
    until_ms <= now_ms || until_ms.saturating_sub(now_ms) > length_ms.saturating_add(length_ms / 8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]

    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use samizdat_store::Vault;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const DAY: u64 = 24 * 3_600_000;

    fn chat(dir: &std::path::Path) -> Chat {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        Chat::open(Vault::open(dir, None, Chat::MIGRATIONS, &mut rng).unwrap(), [2; 32]).unwrap()
    }

    #[test]
    fn at_home_every_start_has_a_key_of_its_own_and_none_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut chat = chat(dir.path());
        let first = Term::begin(&mut chat, false, None, NOW).unwrap();
        let second = Term::begin(&mut chat, false, None, NOW).unwrap();
        assert_ne!(first.secret, second.secret);
        assert!(chat.kept(TRANSPORT_KEY).unwrap().unwrap().is_empty());
    }

    #[test]
    fn at_a_known_address_the_key_serves_for_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let mut chat = chat(dir.path());
        let first = Term::begin(&mut chat, true, None, NOW).unwrap();
        assert_eq!(Term::begin(&mut chat, true, None, NOW + 6 * DAY).unwrap().secret, first.secret);
        let later = Term::begin(&mut chat, true, None, NOW + 8 * DAY).unwrap();
        assert_ne!(later.secret, first.secret);
        // A clock that was years ahead must not keep a key for years.
        assert_ne!(Term::begin(&mut chat, true, None, NOW - 400 * DAY).unwrap().secret, later.secret);
    }

    #[test]
    fn whoever_is_found_at_an_address_no_longer_forgets_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut chat = chat(dir.path());
        let settled = Term::begin(&mut chat, true, None, NOW).unwrap();
        Term::begin(&mut chat, false, None, NOW).unwrap();
        assert_ne!(Term::begin(&mut chat, true, None, NOW).unwrap().secret, settled.secret);
    }

    proptest! {
        #[test]
        fn a_term_ends_within_an_eighth_of_its_length(length in 1_000..10 * DAY, noise: u64) {
            let until = NOW + around(length, noise);
            prop_assert!(!is_over(until, length, NOW));
            prop_assert!(is_over(until, length, NOW + length + length / 8));
            prop_assert!(!is_over(until, length, NOW + length / 2));
        }

        #[test]
        fn what_is_kept_is_read_or_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let read = Term::decode(&bytes);
            prop_assert_eq!(read.is_some(), bytes.len() == 40);
            prop_assert!(read.is_none_or(|term| *term.encode() == bytes));
        }
    }
}
