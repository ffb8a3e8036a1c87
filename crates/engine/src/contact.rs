//! Sessions with contacts: where the machine that holds them, the conversations and the shell meet.
//!
//! What a conversation puts into the outbox goes over an open session at once, before it has a stamp, and to everybody by the
//! log all the same: the log stays what messages can be relied on for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use samizdat_chat::SessionContact;
use samizdat_core::{Now, PeerId};
use samizdat_sync::contact::{
    Contact, Contacts, Input as ContactInput, Output as ContactOutput, Way, Who,
    codec::{Place, Presence, Straight},
};
use samizdat_sync::limits::PRESENCE_HOLDS_S;

use crate::engine::{Engine, Output};
use crate::limits::{TELL_GAP_MS, TELL_GAP_MS_MAX, TELL_SETTLE_MS};

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

/// The machine, and what goes in and out of it.
#[derive(Debug)]
pub(crate) struct Sessions {
    machine: Contacts,
    /// Whether the contacts are to be read again.
    stale: bool,
    chosen: BTreeMap<Who, Chosen>,
    /// Our endpoints, and when they were last another.
    own: BTreeMap<Way, Place>,
    moved_ms: u64,
    /// Which endpoint shows our addresses: another one as soon as somebody may not have them any more.
    direct: u64,
    wanted: (bool, Option<u64>),
    told: BTreeMap<Who, Told>,
    /// Up to which number of the outbox a contact was handed what is there.
    handed: BTreeMap<Who, i64>,
    came: Vec<(Who, Vec<u8>)>,
    out: VecDeque<Output>,
}

/// Who allows a direct connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    ours: bool,
    theirs: bool,
}

impl Chosen {
    fn both(self) -> bool {
        self.ours && self.theirs
    }
}

/// What a contact was told of where we are, and when it may be told again.
#[derive(Debug, Default)]
struct Told {
    said: Option<Presence>,
    next_ms: u64,
    gap_ms: u64,
}

impl Sessions {
    pub(crate) fn new(rng: &mut ChaCha20Rng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self {
            machine: Contacts::new(seed),
            stale: false,
            chosen: BTreeMap::new(),
            own: BTreeMap::new(),
            moved_ms: 0,
            direct: 0,
            wanted: (false, None),
            told: BTreeMap::new(),
            handed: BTreeMap::new(),
            came: Vec::new(),
            out: VecDeque::new(),
        }
    }

    pub(crate) fn handle(&mut self, input: ContactInput, now: Now) {
        self.machine.handle(input, now);
        self.drain();
    }

    pub(crate) fn next_timeout(&self) -> u64 {
        let tell = self.chosen.keys().filter(|who| self.is_news(**who)).map(|who| self.may_tell_at(*who)).min();
        self.machine.next_timeout().into_iter().chain(tell).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                ContactOutput::Dial { dial, way, to } => self.out.push_back(Output::ContactDial { dial, way, to }),
                ContactOutput::Send { link, bytes } => self.out.push_back(Output::ContactSend { link, bytes }),
                ContactOutput::Close { link } => self.out.push_back(Output::ContactClose { link }),
                ContactOutput::Up(who) => {
                    self.handed.remove(&who);
                    // They hear what we tell.
                    if let Some(told) = self.told.get_mut(&who) {
                        told.gap_ms = TELL_GAP_MS;
                    }
                    self.out.push_back(Output::Session { contact: who.0 });
                }
                ContactOutput::Switched(who) | ContactOutput::Down(who) => self.out.push_back(Output::Session { contact: who.0 }),
                ContactOutput::Envelope { who, bytes } => self.came.push((who, bytes)),
            }
        }
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
            let theirs = presence.as_ref().is_some_and(|presence| presence.direct != Straight::No);
            (Who(contact.contact), Chosen { ours: contact.direct, theirs })
        };
        let chosen: BTreeMap<Who, Chosen> = contacts.iter().map(choice).collect();
        let direct =
            |of: &BTreeMap<Who, Chosen>| -> BTreeSet<Who> { of.iter().filter(|(_, of)| of.both()).map(|(who, _)| *who).collect() };
        let (before, after) = (direct(&self.chosen), direct(&chosen));
        if !before.is_subset(&after) {
            self.direct = self.direct.saturating_add(1);
        }
        self.told.retain(|who, _| chosen.contains_key(who));
        self.handed.retain(|who, _| chosen.contains_key(who));
        let wanted = (!chosen.is_empty(), (!after.is_empty()).then_some(self.direct));
        if wanted != self.wanted {
            self.wanted = wanted;
            self.moved_ms = now.mono_ms;
            self.out.push_back(Output::ContactEndpoints { relayed: wanted.0, direct: wanted.1 });
        }
        // What the person changed is told without delay.
        for (who, told) in &mut self.told {
            if chosen.get(who).map(|of| of.ours) != self.chosen.get(who).map(|of| of.ours) {
                told.next_ms = now.mono_ms;
            }
        }
        let contact = |(contact, presence): (SessionContact, Option<Presence>)| {
            let who = Who(contact.contact);
            Contact { who, secrets: contact.secrets, direct: chosen.get(&who).is_some_and(|of| of.both()), presence }
        };
        self.machine.set_contacts(contacts.into_iter().map(contact).collect(), now);
        self.chosen = chosen;
        self.drain();
    }

    /// What a contact may know of where we are; nothing while nobody could reach us.
    fn place_for(&self, who: Who) -> Option<Presence> {
        let reached = |place: &&Place| !place.addr.0.is_empty();
        let relayed = self.own.get(&Way::Relayed)?;
        let chosen = self.chosen.get(&who)?;
        let direct = match self.own.get(&Way::Direct).filter(reached) {
            Some(place) if chosen.both() => Straight::To(place.clone()),
            _ if chosen.ours => Straight::Allowed,
            _ => Straight::No,
        };
        let known = reached(&relayed) || direct.place().is_some();
        known.then(|| Presence { until_s: 0, relayed: relayed.clone(), direct })
    }

    fn is_news(&self, who: Who) -> bool {
        let place = self.place_for(who);
        place.is_some() && self.told.get(&who).is_none_or(|told| told.said != place)
    }

    fn may_tell_at(&self, who: Who) -> u64 {
        let next = self.told.get(&who).map_or(0, |told| told.next_ms);
        // Endpoints find their addresses one after the other.
        next.max(self.moved_ms.saturating_add(TELL_SETTLE_MS))
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

    /// Reads what contacts handed over, follows what the person chose, and tells contacts where we are.
    pub(crate) fn meet_contacts(&mut self, now: Now) {
        for (who, bytes) in std::mem::take(&mut self.sessions.came) {
            let taken = self.chat.take(who.0, &bytes, &self.log, now);
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
        let due: Vec<Who> = self.sessions.chosen.keys().copied().collect();
        for who in due {
            if self.sessions.is_news(who) && self.sessions.may_tell_at(who) <= now.mono_ms {
                self.tell(who, now);
            }
        }
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
        let told = self.sessions.told.entry(who).or_default();
        let gap = told.gap_ms.max(TELL_GAP_MS);
        told.next_ms = now.mono_ms.saturating_add(gap);
        told.gap_ms = gap.saturating_mul(2).min(TELL_GAP_MS_MAX);
        if done.is_ok() {
            told.said = Some(place);
        }
    }
}
