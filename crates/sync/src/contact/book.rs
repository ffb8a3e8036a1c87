//! The contacts of [`super::Contacts`]: how they are recognised, when each is dialled, what is on its way to each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use samizdat_core::{
    Now, PeerId,
    limits::CLOCK_SLACK_HOURS,
    seal::TAG_LEN,
    session::{SessionSecret, day, day_left},
};

use super::{Contact, Way, Who, codec::Place};
use crate::limits::{
    CONTACT_JITTER_MS, CONTACT_REDIAL_MS, CONTACT_REDIAL_MS_MAX, CONTACT_SECRETS_MAX, CONTACTS_MAX, PRESENCE_HOLDS_S,
};

const SLACK_MS: u64 = CLOCK_SLACK_HOURS as u64 * 3_600_000;

/// Our endpoints.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    relayed: Option<PeerId>,
    direct: Option<PeerId>,
}

impl Own {
    pub(super) fn get(&self, way: Way) -> Option<PeerId> {
        match way {
            Way::Relayed => self.relayed,
            Way::Direct => self.direct,
        }
    }

    pub(super) fn set(&mut self, way: Way, own: Option<PeerId>) {
        match way {
            Way::Relayed => self.relayed = own,
            Way::Direct => self.direct = own,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    known: BTreeMap<Who, Known>,
    tags: Option<Tags>,
}

/// What a dialler calls whose secret, on the days that it may be.
#[derive(Debug)]
struct Tags {
    days: BTreeSet<u32>,
    whose: BTreeMap<(Way, [u8; TAG_LEN]), (SessionSecret, Who)>,
}

#[derive(Debug)]
struct Known {
    contact: Contact,
    session: Option<Open>,
    dialing: bool,
    failures: u32,
    next_dial_ms: u64,
}

/// The link of a session, its way, and what was sent on it and not answered.
#[derive(Debug)]
struct Open {
    link: u64,
    way: Way,
    unanswered: VecDeque<Vec<u8>>,
}

impl Book {
    /// Whose sessions end by that.
    pub(super) fn replace(&mut self, contacts: Vec<Contact>, rng: &mut ChaCha20Rng, now: Now) -> Vec<Who> {
        self.tags = None;
        let mut before = std::mem::take(&mut self.known);
        for mut contact in contacts.into_iter().take(CONTACTS_MAX) {
            contact.secrets.truncate(CONTACT_SECRETS_MAX);
            let mut known = before.remove(&contact.who).unwrap_or_else(|| Known::new(contact.clone()));
            if known.contact.presence != contact.presence || known.contact.direct != contact.direct || known.failures == 0 {
                known.hurry(rng, now);
            }
            known.contact = contact;
            self.known.insert(known.contact.who, known);
        }
        before.into_values().filter(|known| known.session.is_some()).map(|known| known.contact.who).collect()
    }

    pub(super) fn forget_tags(&mut self) {
        self.tags = None;
    }

    /// Dials everybody anew, whatever failed before.
    pub(super) fn hurry(&mut self, rng: &mut ChaCha20Rng, now: Now) {
        self.known.values_mut().for_each(|known| known.hurry(rng, now));
    }

    pub(super) fn secrets(&self, who: Who) -> &[SessionSecret] {
        self.known.get(&who).map_or(&[], |known| &known.contact.secrets)
    }

    pub(super) fn allows(&self, who: Who, way: Way) -> bool {
        self.known.get(&who).is_some_and(|known| way == Way::Relayed || known.contact.direct)
    }

    /// Whose secret the first tag that we know belongs to. One lookup for each tag, however many contacts there are.
    pub(super) fn find(&self, tags: &[[u8; TAG_LEN]], way: Way) -> Option<(&SessionSecret, Who)> {
        let whose = &self.tags.as_ref()?.whose;
        let (secret, who) = tags.iter().find_map(|tag| whose.get(&(way, *tag)))?;
        Some((secret, *who))
    }

    /// Has the tags at hand that diallers may call now. Made while a stranger waits they would tell him how many contacts there are.
    pub(super) fn prepare(&mut self, own: &Own, now: Now) {
        let days = BTreeSet::from([day(now.unix_ms.saturating_sub(SLACK_MS)), day(now.unix_ms.saturating_add(SLACK_MS))]);
        if self.tags.as_ref().is_none_or(|table| table.days != days) {
            self.tags = Some(self.tags_of(days, own));
        }
    }

    /// When there are others, on the monotonic clock, ms; none where nobody is known.
    pub(super) fn next_tags(&self, now: Now) -> Option<u64> {
        let left = day_left(now.unix_ms.saturating_sub(SLACK_MS)).min(day_left(now.unix_ms.saturating_add(SLACK_MS)));
        (!self.known.is_empty()).then(|| now.mono_ms.saturating_add(left))
    }

    #[cfg(test)]
    pub(super) fn tags_are_ready(&self) -> bool {
        self.tags.is_some()
    }

    fn tags_of(&self, days: BTreeSet<u32>, own: &Own) -> Tags {
        let mut whose = BTreeMap::new();
        for (way, own) in [Way::Relayed, Way::Direct].into_iter().filter_map(|way| Some((way, own.get(way)?))) {
            for Known { contact, .. } in self.known.values().filter(|known| way == Way::Relayed || known.contact.direct) {
                for secret in &contact.secrets {
                    whose.extend(days.iter().map(|day| ((way, secret.tag(*day, &own)), (secret.clone(), contact.who))));
                }
            }
        }
        Tags { days, whose }
    }

    /// The link of a session, and how many envelopes are on their way.
    pub(super) fn session(&self, who: Who) -> Option<(u64, usize)> {
        let open = self.known.get(&who)?.session.as_ref()?;
        Some((open.link, open.unanswered.len()))
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = (Who, u64)> {
        self.known.iter().filter_map(|(who, known)| Some((*who, known.session.as_ref()?.link)))
    }

    /// From now on this link carries the session. What was on its way on another is to be sent again.
    pub(super) fn open(&mut self, who: Who, link: u64, way: Way) -> Vec<Vec<u8>> {
        let Some(known) = self.known.get_mut(&who) else { return Vec::new() };
        known.dialing = false;
        known.failures = 0;
        let unanswered = known.session.take().map(|open| open.unanswered).unwrap_or_default();
        let again = unanswered.iter().cloned().collect();
        known.session = Some(Open { link, way, unanswered });
        again
    }

    /// A dial is over, but led to nothing new.
    pub(super) fn dial_over(&mut self, who: Who) {
        if let Some(known) = self.known.get_mut(&who) {
            known.dialing = false;
        }
    }

    /// Whether the session of that contact is over with this link.
    pub(super) fn close(&mut self, who: Who, link: u64, rng: &mut ChaCha20Rng, now: Now) -> bool {
        let Some(known) = self.known.get_mut(&who) else { return false };
        let over = known.session.take_if(|open| open.link == link).is_some();
        if over {
            known.hurry(rng, now);
        }
        over
    }

    pub(super) fn sent(&mut self, who: Who, envelope: Vec<u8>) {
        if let Some(open) = self.known.get_mut(&who).and_then(|known| known.session.as_mut()) {
            open.unanswered.push_back(envelope);
        }
    }

    /// The envelope that was taken: they are in the order in which they were sent.
    pub(super) fn took(&mut self, who: Who, link: u64) -> Option<Vec<u8>> {
        let open = self.known.get_mut(&who).and_then(|known| known.session.as_mut());
        open.filter(|open| open.link == link)?.unanswered.pop_front()
    }

    pub(super) fn failed(&mut self, who: Who, rng: &mut ChaCha20Rng, now: Now) {
        let Some(known) = self.known.get_mut(&who) else { return };
        known.dialing = false;
        let wait = CONTACT_REDIAL_MS.checked_shl(known.failures).unwrap_or(u64::MAX).min(CONTACT_REDIAL_MS_MAX);
        known.failures = known.failures.saturating_add(1).min(u32::BITS);
        known.next_dial_ms = now.mono_ms.saturating_add(wait).saturating_add(jitter(rng));
    }

    /// Somebody whom it is time to dial.
    pub(super) fn dial(&mut self, own: &Own, now: Now) -> Option<(Who, Way, Place)> {
        let due = |known: &Known| known.next_dial_ms <= now.mono_ms && known.target(own, now).is_some();
        let known = self.known.values_mut().find(|known| due(known))?;
        let (way, to) = known.target(own, now)?;
        let to = to.clone();
        known.dialing = true;
        Some((known.contact.who, way, to))
    }

    pub(super) fn next_dial(&self, own: &Own, now: Now) -> Option<u64> {
        self.known.values().filter(|known| known.target(own, now).is_some()).map(|known| known.next_dial_ms).min()
    }
}

impl Known {
    fn new(contact: Contact) -> Self {
        Self { contact, session: None, dialing: false, failures: 0, next_dial_ms: 0 }
    }

    fn hurry(&mut self, rng: &mut ChaCha20Rng, now: Now) {
        self.failures = 0;
        self.next_dial_ms = now.mono_ms.saturating_add(jitter(rng));
    }

    /// Where to dial, if there is something to gain: a session, or a direct one in place of a relayed one.
    fn target(&self, own: &Own, now: Now) -> Option<(Way, &Place)> {
        if self.dialing || self.contact.secrets.is_empty() {
            return None;
        }
        let now_s = now.unix_ms / 1000;
        let latest_s = now_s.saturating_add(PRESENCE_HOLDS_S).saturating_add(SLACK_MS / 1000);
        let holds = |until_s: u64| now_s < until_s && until_s <= latest_s;
        let presence = self.contact.presence.as_ref().filter(|presence| holds(presence.until_s))?;
        let direct = presence.direct.place().filter(|_| self.contact.direct && own.direct.is_some());
        let direct = direct.map(|place| (Way::Direct, place));
        let relayed = own.relayed.map(|_| (Way::Relayed, &presence.relayed)).filter(|(_, place)| !place.addr.0.is_empty());
        match self.session.as_ref().map(|open| open.way) {
            Some(Way::Direct) => None,
            Some(Way::Relayed) => direct,
            // Where the direct way fails, the other gets its turn.
            None if self.failures.is_multiple_of(2) => direct.or(relayed),
            None => relayed.or(direct),
        }
    }
}

fn jitter(rng: &mut ChaCha20Rng) -> u64 {
    rng.next_u64() % CONTACT_JITTER_MS
}
