//! Sessions with contacts: where the machine that holds them, the conversations and the shell meet.
//!
//! What a conversation puts into the outbox goes over an open session at once, before it has a stamp, and to everybody by the
//! log all the same: the log stays what messages can be relied on for.

mod coming;
mod telling;
mod term;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_chat::SessionContact;
use samizdat_core::{Now, PeerId};
use samizdat_sync::contact::{
    Contact, Contacts, Input as ContactInput, Output as ContactOutput, Way, Who,
    codec::{Place, Presence, Straight},
};
use samizdat_sync::limits::PRESENCE_HOLDS_S;

use crate::engine::{Engine, Output};
use crate::limits::{TELL_ALLOWED_MS, TELL_SETTLE_MS};
use coming::{Came, Coming};
use telling::{Told, leads_nowhere};
use term::Term;

/// An open session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Number of the contact.
    pub contact: i64,
    /// The shell's connection that carries it.
    pub link: u64,
    /// The endpoint of the contact.
    pub peer: PeerId,
    /// Since when, on the monotonic clock.
    pub since_ms: u64,
}

/// How it is with sessions with a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// We want none.
    Off,
    /// We want them. They are not there, or have not said that they want them.
    Waiting,
    /// We want them, and they said that they do not.
    Declined,
    /// There is one now.
    Open,
}

/// The machine, and what goes in and out of it.
#[derive(Debug)]
pub(crate) struct Sessions {
    rng: ChaCha20Rng,
    machine: Contacts,
    /// Whether the contacts are to be read again.
    stale: bool,
    chosen: BTreeMap<Who, Chosen>,
    /// With whom we want none any more, which they are to be told.
    left: Vec<Who>,
    /// Our endpoints, and when they were last another.
    own: BTreeMap<Way, Place>,
    moved_ms: u64,
    /// Which endpoints they are: others after their term.
    term: Term,
    /// How often somebody may not have our addresses any more, whereupon another endpoint shows them.
    let_go: u64,
    wanted: Wanted,
    told: BTreeMap<Who, Told>,
    /// Up to which number of the outbox a contact was handed what is there.
    handed: BTreeMap<Who, i64>,
    coming: Coming,
    taken: Vec<Vec<u8>>,
    now: Now,
    out: VecDeque<Output>,
}

/// Numbers of the endpoints that there are to be: the relayed one, and the one that shows addresses.
type Wanted = (Option<u64>, Option<u64>);

/// Whether we allow a direct connection, and what the contact said last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen {
    ours: bool,
    presence: Option<Presence>,
}

impl Chosen {
    fn both(&self) -> bool {
        self.ours && self.presence.as_ref().is_some_and(|presence| presence.direct != Straight::No)
    }

    fn declines(&self) -> bool {
        self.presence.as_ref().is_some_and(Presence::is_nowhere)
    }
}

impl Sessions {
    pub(crate) fn new(rng: &mut ChaCha20Rng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let mut rng = ChaCha20Rng::from_seed(seed);
        rng.set_stream(1);
        Self {
            rng,
            machine: Contacts::new(seed),
            stale: false,
            chosen: BTreeMap::new(),
            left: Vec::new(),
            own: BTreeMap::new(),
            moved_ms: 0,
            term: Term::default(),
            let_go: 0,
            wanted: Wanted::default(),
            told: BTreeMap::new(),
            handed: BTreeMap::new(),
            coming: Coming::default(),
            taken: Vec::new(),
            now: Now::default(),
            out: VecDeque::new(),
        }
    }

    pub(crate) fn handle(&mut self, input: ContactInput, now: Now) {
        if let ContactInput::Closed { link } = &input {
            self.coming.let_go(|gone| gone == *link);
        }
        self.machine.handle(input, now);
        self.drain();
    }

    pub(crate) fn next_timeout(&self) -> u64 {
        let tell = self.chosen.keys().filter_map(|who| self.tell_at(*who)).min();
        let ends = self.wanted.0.is_some().then(|| self.term.ends_at(self.now));
        self.machine.next_timeout().into_iter().chain(tell).chain(self.coming.next_timeout()).chain(ends).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                ContactOutput::Dial { dial, way, to } => self.out.push_back(Output::ContactDial { dial, way, to }),
                ContactOutput::Send { link, bytes } => self.out.push_back(Output::ContactSend { link, bytes }),
                ContactOutput::Close { link } => self.close(link),
                ContactOutput::Up(who) => {
                    self.handed.remove(&who);
                    self.told.entry(who).or_default().met();
                    self.out.push_back(Output::Session { contact: who.0 });
                }
                ContactOutput::Switched(who) | ContactOutput::Down(who) => self.out.push_back(Output::Session { contact: who.0 }),
                ContactOutput::Envelope { who, link, bytes } => {
                    if !self.coming.push(Came { who, link, bytes }) {
                        self.machine.handle(ContactInput::Closed { link }, self.now);
                        self.close(link);
                    }
                }
                ContactOutput::Took { bytes, .. } => self.taken.push(bytes),
            }
        }
    }

    fn close(&mut self, link: u64) {
        self.coming.let_go(|gone| gone == link);
        self.out.push_back(Output::ContactClose { link });
    }

    fn choose(&mut self, contacts: Vec<SessionContact>, now: Now) {
        let contacts: Vec<(SessionContact, Option<Presence>)> = contacts
            .into_iter()
            .map(|contact| {
                let presence = contact.place.as_deref().and_then(|place| Presence::decode(place).ok());
                (contact, presence)
            })
            .collect();
        let choice = |(contact, presence): &(SessionContact, Option<Presence>)| {
            (Who(contact.contact), Chosen { ours: contact.direct, presence: presence.clone() })
        };
        let chosen: BTreeMap<Who, Chosen> = contacts.iter().map(choice).collect();
        let direct =
            |of: &BTreeMap<Who, Chosen>| -> BTreeSet<Who> { of.iter().filter(|(_, of)| of.both()).map(|(who, _)| *who).collect() };
        let (before, after) = (direct(&self.chosen), direct(&chosen));
        if !before.is_subset(&after) {
            self.let_go = self.let_go.saturating_add(1);
        }
        self.left.extend(self.chosen.keys().filter(|who| !chosen.contains_key(who)));
        self.left.retain(|who| !chosen.contains_key(who));
        self.told.retain(|who, _| chosen.contains_key(who));
        self.handed.retain(|who, _| chosen.contains_key(who));
        self.want(!chosen.is_empty(), !after.is_empty(), now);
        for (who, told) in &mut self.told {
            let (before, after) = (self.chosen.get(who), chosen.get(who));
            if before.map(|of| of.ours) != after.map(|of| of.ours) {
                told.hurry(now);
            }
            let both = |of: Option<&Chosen>| of.is_some_and(Chosen::both);
            if both(after) && !both(before) {
                told.answer(now);
            }
            if before.map(|of| &of.presence) != after.map(|of| &of.presence) {
                told.heard();
            }
        }
        let declines = |of: Option<&Chosen>| of.is_some_and(Chosen::declines);
        let turned = chosen.keys().filter(|who| declines(chosen.get(who)) != declines(self.chosen.get(who)));
        self.out.extend(turned.map(|who| Output::Session { contact: who.0 }));
        let contact = |(contact, presence): (SessionContact, Option<Presence>)| {
            let who = Who(contact.contact);
            Contact { who, secrets: contact.secrets, direct: chosen.get(&who).is_some_and(Chosen::both), presence }
        };
        self.machine.set_contacts(contacts.into_iter().map(contact).collect(), now);
        self.chosen = chosen;
        self.drain();
    }

    /// Says which endpoints there are to be, if that has changed.
    fn want(&mut self, relayed: bool, direct: bool, now: Now) {
        if relayed && (self.wanted.0.is_none() || self.term.is_over(now)) {
            self.term.begin(self.rng.next_u64(), now);
        }
        let number = self.term.number();
        let wanted = (relayed.then_some(number), direct.then_some(number.saturating_add(self.let_go)));
        if wanted != self.wanted {
            self.wanted = wanted;
            self.moved_ms = now.mono_ms;
            self.out.push_back(Output::ContactEndpoints { relayed: wanted.0, direct: wanted.1 });
        }
    }

    /// What a contact may know of where we are; nothing while nobody could reach us, but that we allow a direct connection, or do no
    /// longer: without a relay neither would learn that of the other.
    fn place_for(&self, who: Who) -> Option<Presence> {
        let reached = |place: &&Place| !place.addr.0.is_empty();
        let relayed = self.own.get(&Way::Relayed)?;
        // Whoever wants no sessions is told again once they do.
        let chosen = self.chosen.get(&who).filter(|chosen| !chosen.declines())?;
        let direct = match self.own.get(&Way::Direct).filter(reached) {
            Some(place) if chosen.both() => Straight::To(place.clone()),
            _ if chosen.ours => Straight::Allowed,
            _ => Straight::No,
        };
        let place = Presence { until_s: 0, relayed: relayed.clone(), direct };
        let told = self.told.get(&who);
        let news = || match place.direct {
            Straight::No => told.is_some_and(|told| told.withdraws(&place)),
            _ => told.is_none_or(|told| told.lacks(&place)),
        };
        (!leads_nowhere(&place) || news()).then_some(place)
    }

    /// When a contact is to be told where we are, if there is anything to tell.
    fn tell_at(&self, who: Who) -> Option<u64> {
        let place = self.place_for(who)?;
        // Endpoints find their addresses one after the other, and the direct one may be about to find its relay.
        let comes = place.direct == Straight::Allowed && self.chosen.get(&who).is_some_and(Chosen::both);
        let settle = if comes || leads_nowhere(&place) { TELL_ALLOWED_MS } else { TELL_SETTLE_MS };
        let settled = self.moved_ms.saturating_add(settle);
        Some(self.told.get(&who).map_or(0, |told| told.due_at(&place, self.now)).max(settled))
    }
}

impl Engine {
    /// Open sessions with contacts.
    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        let of = |session: samizdat_sync::contact::Session| Session {
            contact: session.who.0,
            link: session.link,
            peer: session.peer,
            since_ms: session.since_ms,
        };
        self.sessions.machine.sessions().map(of)
    }

    /// One of our endpoints for contacts is there, or there under another address, or gone.
    pub fn set_contact_endpoint(&mut self, way: Way, place: Option<Place>, now: Now) {
        let sessions = &mut self.sessions;
        sessions.machine.set_own(way, place.as_ref().map(|place| place.peer), now);
        match place {
            Some(place) => {
                if sessions.own.get(&way) != Some(&place) {
                    sessions.moved_ms = now.mono_ms;
                    sessions.own.insert(way, place);
                }
            }
            None => {
                sessions.own.remove(&way);
            }
        }
        sessions.drain();
    }

    /// How it is with sessions with a contact.
    pub fn session_state(&self, contact: i64) -> SessionState {
        let who = Who(contact);
        match self.sessions.chosen.get(&who) {
            None => SessionState::Off,
            Some(_) if self.sessions.machine.sessions().any(|session| session.who == who) => SessionState::Open,
            Some(chosen) if chosen.declines() => SessionState::Declined,
            Some(_) => SessionState::Waiting,
        }
    }

    /// Reads what contacts handed over, follows what the person chose, and tells contacts where we are.
    pub(crate) fn meet_contacts(&mut self, now: Now) {
        self.sessions.now = now;
        self.keep_what_came(now);
        for bytes in std::mem::take(&mut self.sessions.taken) {
            let taken = self.chat.taken(&bytes);
            self.note(&taken);
        }
        self.sessions.stale |= self.chat.take_sessions_changed();
        if self.sessions.stale {
            let contacts = self.chat.session_contacts();
            self.note(&contacts);
            if let Ok(contacts) = contacts {
                self.sessions.stale = false;
                self.sessions.choose(contacts, now);
            }
        }
        let (relayed, direct) = self.sessions.wanted;
        self.sessions.want(relayed.is_some(), direct.is_some(), now);
        for who in std::mem::take(&mut self.sessions.left) {
            let told = self.chat.tell_place(who.0, &Presence::nowhere().encode(), &self.log, now);
            self.note(&told);
        }
        let chosen: Vec<Who> = self.sessions.chosen.keys().copied().collect();
        for who in chosen {
            if self.sessions.tell_at(who).is_some_and(|at| at <= now.mono_ms) {
                self.tell(who, now);
            }
        }
    }

    /// Reads what contacts handed over, and acknowledges what is kept. What the disk does not take is tried again, or comes again on
    /// another connection.
    fn keep_what_came(&mut self, now: Now) {
        let mut coming = std::mem::take(&mut self.sessions.coming);
        coming.read(now, |came| {
            let taken = self.chat.take(came.who.0, &came.bytes, &self.log, now);
            self.note(&taken);
            let reads = !taken.is_err_and(|error| error.is_vault_failing());
            if reads {
                self.sessions.machine.handle(ContactInput::Kept { link: came.link }, now);
            }
            reads
        });
        coming.let_go(|link| !self.sessions.machine.is_open(link));
        self.sessions.coming = coming;
        self.sessions.drain();
    }

    /// Hands what the outbox holds to the contacts that are there. What does not get through is in the log.
    pub(crate) fn hand_over(&mut self) {
        let open: Vec<Who> = self.sessions.machine.sessions().map(|session| session.who).collect();
        for who in open {
            let after = self.sessions.handed.get(&who).copied().unwrap_or_default();
            let room = self.sessions.machine.room(who);
            let rows = if room > 0 { self.chat.hand_over(who.0, after, room) } else { Ok(Vec::new()) };
            self.note(&rows);
            for (number, bytes) in rows.unwrap_or_default() {
                if self.sessions.machine.send(who, bytes) {
                    self.sessions.handed.insert(who, number);
                }
            }
        }
        self.sessions.drain();
    }

    fn tell(&mut self, who: Who, now: Now) {
        let Some(place) = self.sessions.place_for(who) else { return };
        let until_s = (now.unix_ms / 1000).saturating_add(PRESENCE_HOLDS_S);
        let bytes = Presence { until_s, ..place.clone() }.encode();
        let done = self.chat.tell_place(who.0, &bytes, &self.log, now);
        self.note(&done);
        let noise = self.sessions.rng.next_u64();
        self.sessions.told.entry(who).or_default().tried(done.is_ok().then_some(place), noise, now);
    }
}
