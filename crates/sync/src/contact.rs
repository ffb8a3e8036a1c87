//! Sessions with contacts: who is dialled when, who proves to be whom, which of two connections stays.
//!
//! A pure machine over links that the shell numbers. It knows contacts by a number and by secrets that both sides hold,
//! never by name. [`Input`]s and the time go in, [`Output`]s come out; the messages are in [`handshake`] and [`codec`].
//!
//! A stranger learns nothing: to whatever it says first it gets the same number of bytes at once, computed in the same
//! way, and whatever goes wrong after that, its link stays silent until the time for handshakes is over. `cargo bench -p samizdat-sync
//! --bench stranger` measures it.

mod book;
pub mod codec;
pub mod handshake;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_core::{
    Now, PeerId,
    session::{BINDING_LEN, NONCE_LEN, SessionSecret, day},
};

use crate::limits::{CONTACT_HANDSHAKE_MS, CONTACT_LINKS_MAX, CONTACT_TAGS, CONTACT_WINDOW};
use book::{Book, Own};
use codec::{Frame, Place, Presence};
use handshake::{Answered, Channel, Greeted, HelloIn};

/// Names a contact towards whoever drives this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who(pub i64);

/// Which of the own endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// The one that is reached through relays only and shows no address.
    Relayed,
    /// The one that shows addresses to whoever knows its key.
    Direct,
}

/// Somebody with whom sessions are wanted.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Who.
    pub who: Who,
    /// What both hold, the newest first.
    pub secrets: Vec<SessionSecret>,
    /// Whether both allow a direct connection.
    pub direct: bool,
    /// Where they said that they are.
    pub presence: Option<Presence>,
}

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Input {
    /// A connection stands and both keys are proven.
    Opened {
        /// Names it from now on.
        link: u64,
        /// The [`Output::Dial`] that led to it; none if they dialled.
        dial: Option<u64>,
        /// At which of our endpoints.
        way: Way,
        /// The other endpoint.
        peer: PeerId,
        /// What its TLS exports.
        binding: [u8; BINDING_LEN],
    },
    /// A dial came to nothing.
    DialFailed {
        /// Which.
        dial: u64,
    },
    /// A whole frame came.
    Frame {
        /// On which link.
        link: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// An [`Output::Envelope`] of this link was read, and what it said is kept: now it may be acknowledged.
    Kept {
        /// On which link.
        link: u64,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        link: u64,
    },
    /// The time of [`Contacts::next_timeout`] has come.
    Timeout,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect.
    Dial {
        /// Names this dial.
        dial: u64,
        /// From which of our endpoints.
        way: Way,
        /// Where to.
        to: Place,
    },
    /// Send a frame.
    Send {
        /// On which link.
        link: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Send what is queued and end a connection.
    Close {
        /// Which.
        link: u64,
    },
    /// A session with a contact begins.
    Up(Who),
    /// It goes on over another connection.
    Switched(Who),
    /// There is none any more.
    Down(Who),
    /// A contact handed over an envelope. It is not acknowledged before [`Input::Kept`]: what a crash takes comes again.
    Envelope {
        /// Who.
        who: Who,
        /// On which link.
        link: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A contact took an envelope of ours.
    Took {
        /// Who.
        who: Who,
        /// What.
        bytes: Vec<u8>,
    },
}

/// An open session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// With whom.
    pub who: Who,
    /// The link that carries it.
    pub link: u64,
    /// The other endpoint.
    pub peer: PeerId,
    /// Since when, on the monotonic clock.
    pub since_ms: u64,
}

/// One connection.
#[derive(Debug)]
struct Link {
    way: Way,
    peer: PeerId,
    own: PeerId,
    /// Whom we dialled; none if they dialled.
    dialled: Option<Who>,
    channel: Channel,
    since_ms: u64,
    stage: Stage,
    /// Envelopes that came on it and are not kept yet.
    unkept: usize,
}

#[derive(Debug)]
enum Stage {
    /// They dialled and will say hello.
    Fresh,
    /// We answered; who it is, if a tag was known, they have to prove.
    Answered(Answered, Option<Who>),
    /// We said hello.
    Greeted(Greeted),
    /// It came to nothing, and is waited out.
    Silent,
    /// A session, or one that another link has superseded.
    Open(Who),
}

/// The machine.
#[derive(Debug)]
pub struct Contacts {
    rng: ChaCha20Rng,
    /// In place of a secret that is not known.
    decoy: SessionSecret,
    own: Own,
    book: Book,
    links: BTreeMap<u64, Link>,
    dials: BTreeMap<u64, Who>,
    last_dial: u64,
    now: Now,
    out: VecDeque<Output>,
}

impl Contacts {
    /// Nobody is known at first.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let decoy = SessionSecret::new(draw(&mut rng));
        Self {
            rng,
            decoy,
            own: Own::default(),
            book: Book::default(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            last_dial: 0,
            now: Now::default(),
            out: VecDeque::new(),
        }
    }

    /// These are all with whom sessions are wanted from now on.
    pub fn set_contacts(&mut self, contacts: Vec<Contact>, now: Now) {
        let withdrawn = self.book.replace(contacts, &mut self.rng, now);
        let unwanted = |link: &Link| matches!(link.stage, Stage::Open(who) if !self.book.allows(who, link.way));
        let unwanted: Vec<u64> = self.links.iter().filter(|(_, link)| unwanted(link)).map(|(id, _)| *id).collect();
        for link in unwanted {
            self.out.push_back(Output::Close { link });
            self.gone(link, now);
        }
        self.out.extend(withdrawn.into_iter().map(Output::Down));
        self.step(now);
    }

    /// One of our endpoints is there, under this key, or is not any more.
    pub fn set_own(&mut self, way: Way, own: Option<PeerId>, now: Now) {
        if self.own.get(way) == own {
            return;
        }
        self.own.set(way, own);
        self.book.forget_tags();
        let lost: Vec<u64> =
            self.links.iter().filter(|(_, link)| link.way == way && Some(link.own) != own).map(|(id, _)| *id).collect();
        for link in lost {
            self.out.push_back(Output::Close { link });
            self.gone(link, now);
        }
        self.book.hurry(&mut self.rng, now);
        self.step(now);
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Opened { link, dial, way, peer, binding } => self.opened(link, dial, way, peer, binding, now),
            Input::DialFailed { dial } => {
                if let Some(who) = self.dials.remove(&dial) {
                    self.book.failed(who, &mut self.rng, now);
                }
            }
            Input::Frame { link, bytes } => self.frame(link, &bytes, now),
            Input::Kept { link } => self.kept(link),
            Input::Closed { link } => self.gone(link, now),
            Input::Timeout => {}
        }
        self.step(now);
    }

    /// What is to be done, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call with [`Input::Timeout`], on the monotonic clock, milliseconds.
    pub fn next_timeout(&self) -> Option<u64> {
        let over = self.links.values().filter(|link| !matches!(link.stage, Stage::Open(_))).map(Link::over_ms);
        over.chain(self.book.next_dial(&self.own, self.now)).chain(self.book.next_tags(self.now)).min()
    }

    /// Envelopes that may be sent to a contact now; none without a session.
    pub fn room(&self, who: Who) -> usize {
        self.book.session(who).map_or(0, |(_, unanswered)| CONTACT_WINDOW.saturating_sub(unanswered))
    }

    /// Hands an envelope over, if there is [`Contacts::room`].
    pub fn send(&mut self, who: Who, envelope: Vec<u8>) -> bool {
        let Some((link, _)) = self.book.session(who).filter(|_| self.room(who) > 0) else { return false };
        self.out.push_back(Output::Send { link, bytes: Frame::Envelope(envelope.clone()).encode() });
        self.book.sent(who, envelope);
        true
    }

    /// Whether a contact would hear on this link that an envelope of it is kept.
    pub fn is_open(&self, link: u64) -> bool {
        self.links.get(&link).is_some_and(|link| matches!(link.stage, Stage::Open(_)))
    }

    /// Open sessions.
    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        self.book.sessions().filter_map(|(who, link)| {
            let of = self.links.get(&link)?;
            Some(Session { who, link, peer: of.peer, since_ms: of.since_ms })
        })
    }

    fn opened(&mut self, id: u64, dial: Option<u64>, way: Way, peer: PeerId, binding: [u8; BINDING_LEN], now: Now) {
        let dialled = dial.and_then(|dial| self.dials.remove(&dial));
        let own = self.own.get(way).filter(|_| self.links.len() < CONTACT_LINKS_MAX && dial.is_some() == dialled.is_some());
        let Some(own) = own else {
            self.out.push_back(Output::Close { link: id });
            if let Some(who) = dialled {
                self.book.failed(who, &mut self.rng, now);
            }
            return;
        };
        let (dialler, answerer) = if dialled.is_some() { (own, peer) } else { (peer, own) };
        let channel = Channel { binding, dialler, answerer };
        let stage = match dialled {
            None => Stage::Fresh,
            Some(who) => {
                let noise = [(); CONTACT_TAGS].map(|()| draw(&mut self.rng));
                let greeted = Greeted::new(self.book.secrets(who), channel, day(now.unix_ms), draw(&mut self.rng), noise);
                self.out.push_back(Output::Send { link: id, bytes: greeted.hello().to_vec() });
                Stage::Greeted(greeted)
            }
        };
        self.links.insert(id, Link { way, peer, own, dialled, channel, since_ms: now.mono_ms, stage, unkept: 0 });
    }

    fn frame(&mut self, id: u64, bytes: &[u8], now: Now) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match std::mem::replace(&mut link.stage, Stage::Silent) {
            Stage::Fresh => {
                let Some(hello) = HelloIn::decode(bytes) else { return };
                let found = self.book.find(hello.tags(), link.way);
                let (secret, who) = found.map_or((&self.decoy, None), |(secret, who)| (secret, Some(who)));
                let nonce: [u8; NONCE_LEN] = draw(&mut self.rng);
                let (answered, answer) = hello.answer(secret, &link.channel, nonce);
                link.stage = Stage::Answered(answered, who);
                self.out.push_back(Output::Send { link: id, bytes: answer.to_vec() });
            }
            Stage::Answered(answered, who) => {
                if let (true, Some(who)) = (answered.finish(bytes), who) {
                    self.proven(id, who, now);
                }
            }
            Stage::Greeted(greeted) => {
                if let (Some(proof), Some(who)) = (greeted.finish(bytes), link.dialled) {
                    self.out.push_back(Output::Send { link: id, bytes: proof.to_vec() });
                    self.proven(id, who, now);
                }
            }
            Stage::Silent => {}
            Stage::Open(who) => {
                link.stage = Stage::Open(who);
                match Frame::decode(bytes) {
                    Some(Frame::Envelope(_)) if link.unkept >= CONTACT_WINDOW => {
                        // Nobody who counts says more at a time.
                        self.out.push_back(Output::Close { link: id });
                        self.gone(id, now);
                    }
                    Some(Frame::Envelope(bytes)) => {
                        link.unkept = link.unkept.saturating_add(1);
                        self.out.push_back(Output::Envelope { who, link: id, bytes });
                    }
                    Some(Frame::Took) => {
                        self.out.extend(self.book.took(who, id).map(|bytes| Output::Took { who, bytes }));
                    }
                    Some(Frame::Unknown) | None => {}
                }
            }
        }
    }

    fn kept(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.unkept > 0) else { return };
        link.unkept = link.unkept.saturating_sub(1);
        self.out.push_back(Output::Send { link: id, bytes: Frame::Took.encode() });
    }

    /// The other side of a link is a contact. Of two links with it one stays, on both sides the same.
    fn proven(&mut self, id: u64, who: Who, now: Now) {
        let Some(way) = self.links.get(&id).map(|link| link.way).filter(|way| self.book.allows(who, *way)) else { return };
        let held = self.book.session(who).map(|(held, _)| held);
        let stays = match (self.links.get(&id), held.and_then(|held| self.links.get(&held))) {
            (Some(new), Some(old)) => new.stays_beside(old),
            _ => true,
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.stage = Stage::Open(who);
            link.since_ms = now.mono_ms;
        }
        let over = if stays { held } else { Some(id) };
        if stays {
            let again = self.book.open(who, id, way);
            let frames = again.into_iter().map(|envelope| Output::Send { link: id, bytes: Frame::Envelope(envelope).encode() });
            self.out.extend(frames);
            self.out.push_back(if held.is_none() { Output::Up(who) } else { Output::Switched(who) });
        } else {
            self.book.dial_over(who);
        }
        if let Some(link) = over {
            self.links.remove(&link);
            self.out.push_back(Output::Close { link });
        }
    }

    /// Forgets a link, and the session that it carried.
    fn gone(&mut self, id: u64, now: Now) {
        let Some(link) = self.links.remove(&id) else { return };
        match link.stage {
            Stage::Open(who) => {
                if self.book.close(who, id, &mut self.rng, now) {
                    self.out.push_back(Output::Down(who));
                }
            }
            _ => {
                if let Some(who) = link.dialled {
                    self.book.failed(who, &mut self.rng, now);
                }
            }
        }
    }

    /// Waits out what came to nothing, and dials whom it is time to dial.
    fn step(&mut self, now: Now) {
        self.now = now;
        self.book.prepare(&self.own, now);
        let over = |link: &Link| !matches!(link.stage, Stage::Open(_)) && link.over_ms() <= now.mono_ms;
        let over: Vec<u64> = self.links.iter().filter(|(_, link)| over(link)).map(|(id, _)| *id).collect();
        for link in over {
            self.out.push_back(Output::Close { link });
            self.gone(link, now);
        }
        while let Some((who, way, to)) = self.book.dial(&self.own, now) {
            self.last_dial = self.last_dial.saturating_add(1);
            self.dials.insert(self.last_dial, who);
            self.out.push_back(Output::Dial { dial: self.last_dial, way, to });
        }
    }
}

impl Link {
    fn over_ms(&self) -> u64 {
        self.since_ms.saturating_add(CONTACT_HANDSHAKE_MS)
    }

    /// Whether this one takes the place of `old`, which came first here and perhaps second there.
    fn stays_beside(&self, old: &Link) -> bool {
        if self.way != old.way {
            return self.way == Way::Direct;
        }
        // One of the endpoints is another, since its node was started again: the old link is dead.
        if self.peer != old.peer || self.own != old.own || self.dialled.is_some() == old.dialled.is_some() {
            return true;
        }
        // Both dialled at once: the one of the lower key stays.
        self.dialled.is_some() == (self.own < self.peer)
    }
}

fn draw<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}
