//! One of two who talk: see [`samizdat_netlab::talk`]. What is said survives links, as each repeats what was not acknowledged.
//!
//! A frame is a kind and its numbers, big-endian: 1 a word (its number, how many there will be), 2 how many words were heard in
//! order; or 3 and where the speaker can be dialled.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use anyhow::Result;
use samizdat_core::PeerId;
use samizdat_net::{Limits, NetEvent, PathKind, PeerAddr};
use samizdat_netlab::{
    RelayContact,
    limits::{UNSAID_MAX, WORDS_AT_END},
    talk::{Report, Told},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep_until},
};

use crate::node::{Node, peer, ready, via};

const PACE: Duration = Duration::from_millis(20);
/// As the gossip waits after a link has ended.
const REDIAL: Duration = Duration::from_secs(1);
/// Words heard before it is told by what path they come.
const SETTLED: u64 = 20;

const WORD: u8 = 1;
const HEARD: u8 = 2;
const ADDRESS: u8 = 3;
/// How many words there will be, as long as nobody knows.
const OPEN: u64 = u64::MAX;

/// Talks until it is killed; comes to an end on SIGUSR1.
pub(crate) async fn talk(relays: &[RelayContact], to: Option<&str>) -> Result<()> {
    let mut node = Node::bind(relays, Limits::default()).await?;
    let mut end = signal(SignalKind::user_defined1())?;
    ready(&node.contact())?;
    let mut talker = Talker::new(&node, Instant::now());
    if let Some(to) = to {
        let vias: Vec<_> = relays.iter().map(via).collect();
        talker.other = Some((peer(to)?, PeerAddr::with_relays([], &vias)));
        talker.dial();
    }
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let redial = talker.redial;
        tokio::select! {
            Some(event) = node.events.recv() => {
                let told = match event {
                    NetEvent::Connected { .. } => Some(Told::Linked),
                    NetEvent::Disconnected { .. } => Some(Told::Ended),
                    NetEvent::DialFailed { .. } => Some(Told::Failed),
                    _ => None,
                };
                if let Some(told) = told {
                    println!("{}", serde_json::to_string(&told)?);
                }
                talker.happened(event);
            }
            _ = end.recv() => talker.words = talker.words.min(talker.report.said.saturating_add(WORDS_AT_END)),
            () = async { sleep_until(redial.unwrap_or_else(Instant::now).into()).await }, if redial.is_some() => {
                talker.redial = None;
                talker.dial();
            }
            _ = pace.tick() => talker.say_next(),
        }
        talker.tell()?;
    }
}

struct Talker {
    net: samizdat_net::Net,
    begun: Instant,
    /// Who, and where he can be dialled as far as we know.
    other: Option<(PeerId, PeerAddr)>,
    linked: bool,
    redial: Option<Instant>,
    /// How many words there will be, and how many of the other.
    words: u64,
    his_words: u64,
    unheard: VecDeque<u64>,
    /// Words that did not come though later ones did: over a new link, a word may overtake those that are repeated.
    missing: BTreeSet<u64>,
    last_heard: Option<Instant>,
    path: Option<PathKind>,
    report: Report,
    reported: bool,
}

impl Talker {
    fn new(node: &Node, begun: Instant) -> Self {
        let report = Report {
            said: 0,
            heard: 0,
            lost: 0,
            repeated: 0,
            superfluous: 0,
            longest_gap_ms: 0.0,
            links_lost: 0,
            tasks: (0, 0),
            log: Vec::new(),
        };
        Self {
            net: node.net.clone(),
            begun,
            other: None,
            linked: false,
            redial: None,
            words: OPEN,
            his_words: OPEN,
            unheard: VecDeque::new(),
            missing: BTreeSet::new(),
            last_heard: None,
            path: None,
            report,
            reported: false,
        }
    }

    fn happened(&mut self, event: NetEvent) {
        match event {
            NetEvent::Connected { peer, dialed, .. } => {
                self.log(format!("connected, {}", if dialed { "by us" } else { "by him" }));
                let addr = self.other.take().filter(|(other, _)| *other == peer).map(|(_, addr)| addr);
                self.other = Some((peer, addr.unwrap_or_else(|| PeerAddr::new([]))));
                (self.linked, self.redial) = (true, None);
                self.tell_address();
                self.report.repeated = self.report.repeated.saturating_add(self.unheard.len().try_into().unwrap_or(u64::MAX));
                for number in self.unheard.clone() {
                    self.say(number);
                }
            }
            NetEvent::Disconnected { reason, .. } => {
                self.log(format!("link ended: {reason:?}"));
                self.report.links_lost = self.report.links_lost.saturating_add(1);
                (self.linked, self.path) = (false, None);
                self.redial = Instant::now().checked_add(REDIAL);
            }
            NetEvent::DialFailed { .. } => {
                self.log("a dial came to nothing".to_owned());
                self.redial = Instant::now().checked_add(REDIAL);
            }
            NetEvent::Moved { addr } => {
                self.log(format!("reached at {} addresses, through {} relays", addr.sockets().count(), addr.relays().count()));
                self.tell_address();
            }
            NetEvent::Frame { bytes, .. } => self.heard(&bytes),
            _ => {}
        }
    }

    fn heard(&mut self, frame: &[u8]) {
        match frame.split_first() {
            Some((&WORD, numbers)) => {
                let Some((number, words)) = two(numbers) else { return };
                self.his_words = words;
                let next = self.report.heard.saturating_add(self.report.lost);
                if number < next && !self.missing.remove(&number) {
                    self.report.superfluous = self.report.superfluous.saturating_add(1);
                } else {
                    self.missing.extend(next..number);
                    self.report.lost = self.missing.len().try_into().unwrap_or(u64::MAX);
                    self.report.heard = self.report.heard.saturating_add(1);
                    let now = Instant::now();
                    let gap = self.last_heard.replace(now).map_or(0.0, |last| now.duration_since(last).as_secs_f64() * 1e3);
                    self.report.longest_gap_ms = self.report.longest_gap_ms.max(gap);
                }
                // All before it was heard.
                let heard = self.missing.first().copied().unwrap_or(self.report.heard);
                self.send([&[HEARD][..], &heard.to_be_bytes()].concat());
            }
            Some((&HEARD, number)) => {
                let Some(heard) = number.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) else { return };
                while self.unheard.front().is_some_and(|number| *number < heard) {
                    self.unheard.pop_front();
                }
            }
            Some((&ADDRESS, addr)) => {
                if let (Ok(addr), Some((_, known))) = (PeerAddr::decode(addr), &mut self.other) {
                    *known = addr;
                }
            }
            _ => {}
        }
    }

    fn say_next(&mut self) {
        // Nothing is said before there is somebody.
        if self.other.is_some() && self.report.said < self.words && self.unheard.len() < UNSAID_MAX {
            let number = self.report.said;
            self.report.said = number.saturating_add(1);
            self.unheard.push_back(number);
            self.say(number);
        }
    }

    fn say(&self, number: u64) {
        self.send([&[WORD][..], &number.to_be_bytes(), &self.words.to_be_bytes()].concat());
    }

    fn tell_address(&self) {
        self.send([&[ADDRESS][..], self.net.local_addr().as_bytes()].concat());
    }

    fn send(&self, frame: Vec<u8>) {
        if let Some((other, _)) = self.other.as_ref().filter(|_| self.linked) {
            // It is repeated when the link has ended.
            let _ = self.net.send(*other, frame);
        }
    }

    fn dial(&mut self) {
        if let Some((other, addr)) = &self.other
            && let Err(error) = self.net.dial(*other, addr.as_bytes())
        {
            self.log(format!("cannot dial: {error}"));
            self.redial = Instant::now().checked_add(REDIAL);
        }
    }

    /// Prints what is new.
    fn tell(&mut self) -> Result<()> {
        if self.report.heard < SETTLED {
            return Ok(());
        }
        let path = self.net.paths().first().map(|path| path.kind);
        if let Some(path) = path.filter(|path| self.path != Some(*path)) {
            if self.report.tasks.0 == 0 {
                self.report.tasks.0 = tasks();
            }
            let name = format!("{path:?}").to_lowercase();
            self.log(name.clone());
            println!("{}", serde_json::to_string(&Told::Path(name))?);
            self.path = Some(path);
        }
        let all_said = self.report.said == self.words && self.unheard.is_empty();
        let all_heard = self.report.heard.saturating_add(self.report.lost) == self.his_words;
        if all_said && all_heard && !self.reported {
            self.report.tasks.1 = tasks();
            println!("{}", serde_json::to_string(&Told::Done(self.report.clone()))?);
            self.reported = true;
        }
        Ok(())
    }

    fn log(&mut self, what: String) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report.log.push((ms, what));
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn two(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.split_first_chunk()?;
    let (second, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*second)))
}
