//! Sessions with contacts, as far as conversations have a part in them: with whom, keyed by what, where the other is, and
//! what is handed over on them. Where that is means nothing here: bytes for whoever drives this.

use rusqlite::OptionalExtension;
use samizdat_core::{EnvelopeId, EnvelopeIn, Kind, Now, Unstamped, session::SessionSecret};
use samizdat_store::Log;

use crate::{
    chat::{Chat, Event, unless_the_vault_fails},
    contact::ContactState,
    content::Content,
    error::ChatError,
    ingest::Letter,
    limits::{PRESENCE_LIFETIME, SESSIONS_MAX},
    mls::PairId,
    timeline::MessageId,
    work::Work,
};

/// Whether there are sessions with a contact, and what they may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionChoice {
    /// None.
    #[default]
    Off,
    /// Through relays only: the contact learns when we are there.
    Relayed,
    /// Straight, where they allow it too: the contact learns our internet address.
    Direct,
}

impl SessionChoice {
    const ALL: [Self; 3] = [Self::Off, Self::Relayed, Self::Direct];

    pub(crate) fn number(self) -> u8 {
        Self::ALL.iter().position(|choice| *choice == self).and_then(|i| u8::try_from(i).ok()).unwrap_or_default()
    }

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }
}

/// A contact with whom we want sessions.
#[derive(Debug, Clone)]
pub struct SessionContact {
    /// Its number.
    pub contact: i64,
    /// Whether it may have our addresses.
    pub direct: bool,
    /// What both hold: of the pair that we write in, the current epoch first.
    pub secrets: Vec<SessionSecret>,
    /// What it told last of where it is.
    pub place: Option<Vec<u8>>,
}

impl Chat {
    /// Whether [`Chat::session_contacts`] may have changed since this was asked last.
    pub fn take_sessions_changed(&mut self) -> bool {
        std::mem::take(&mut self.sessions_changed)
    }

    /// With whom we want sessions now: contacts who agreed, where the person chose so.
    pub fn session_contacts(&mut self) -> Result<Vec<SessionContact>, ChatError> {
        let chosen: Vec<(i64, u8)> = self
            .vault
            .conn()
            .prepare_cached("SELECT contact, session FROM contact WHERE session > 0 AND state = ?1 ORDER BY contact LIMIT ?2")?
            .query_map((ContactState::Accepted.number(), SESSIONS_MAX), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut contacts = Vec::with_capacity(chosen.len());
        for (contact, choice) in chosen {
            // One whose keys are damaged does not keep the others out.
            let secrets = self.transact(|work| work.session_secrets(contact)).or_else(unless_the_vault_fails)?;
            let mut told = self.vault.conn().prepare_cached("SELECT place FROM presence WHERE contact = ?1")?;
            let place = told.query_row([contact], |row| row.get(0)).optional()?;
            let direct = SessionChoice::from_number(choice) == SessionChoice::Direct;
            contacts.push(SessionContact { contact, direct, secrets, place });
        }
        Ok(contacts)
    }

    /// Tells a contact with whom we want sessions where we are. It is no message: nobody sees it, nobody acknowledges it.
    pub fn tell_place(&mut self, contact: i64, place: &[u8], log: &Log, now: Now) -> Result<(), ChatError> {
        self.transact(|work| {
            let Some(row) = work.contact_row(contact)?.filter(|row| row.state == ContactState::Accepted) else { return Ok(()) };
            let Some(pair) = work.pair_with(contact)? else { return Ok(()) };
            let content = Content::Presence { at: now.unix_ms, place: place.to_vec() };
            work.send_in(pair, &row, &content, PRESENCE_LIFETIME, log, now).map(|_| ())
        })
    }

    /// Envelopes to a contact after the one numbered `after`, which no other node is known to hold, to hand over now; with
    /// their numbers, which grow. What was handed over cannot be taken back.
    pub fn hand_over(&mut self, contact: i64, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u8>)>, ChatError> {
        let found: Vec<(i64, Vec<u8>)> = self
            .vault
            .conn()
            .prepare_cached(
                "SELECT number, bytes FROM outbox WHERE number > ?2 AND bell = 0
                 AND conversation = (SELECT conversation FROM conversation WHERE contact = ?1) ORDER BY number LIMIT ?3",
            )?
            .query_map((contact, after, limit), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if !found.is_empty() {
            self.transact(|work| {
                let mut mark = work.conn.prepare_cached("UPDATE outbox SET handed = 1 WHERE number = ?1")?;
                found.iter().try_for_each(|(number, _)| mark.execute([number]).map(|_| ()))?;
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// A contact took what was handed over: [`Chat::hand_over`] gave these bytes.
    pub fn taken(&mut self, bytes: &[u8]) -> Result<(), ChatError> {
        let Ok(unstamped) = Unstamped::from_bytes(bytes) else { return Ok(()) };
        self.transact(|work| {
            let id = unstamped.id();
            work.conn.execute("UPDATE outbox SET taken = 1 WHERE envelope = ?1", [id.0])?;
            work.went_direct(&id)
        })
    }

    /// Reads an envelope that a contact handed over, which need not be stamped. What nobody expects from that contact is
    /// nothing to us. The log takes its copy when it comes with a stamp, and nothing happens then.
    pub fn take(&mut self, contact: i64, bytes: &[u8], log: &Log, now: Now) -> Result<bool, ChatError> {
        let Ok(Ok(handed)) = EnvelopeIn::decode(bytes).map(|envelope| envelope.hand_over(now.hour())) else { return Ok(false) };
        let Kind::Sealed { tag, .. } = handed.fields().kind else { return Ok(false) };
        let Some(expected) = self.expected.get(&tag).copied() else { return Ok(false) };
        let letter = Letter { id: handed.id(), hour: handed.fields().hour, body: handed.body(), from: Some(contact) };
        let taken = self.receive(&letter, tag, &expected, now)?;
        self.dirty = true;
        self.look(log, now)?;
        Ok(taken)
    }
}

impl Work<'_> {
    fn session_secrets(&mut self, contact: i64) -> Result<Vec<SessionSecret>, ChatError> {
        let without: Vec<PairId> = self
            .conn
            .prepare_cached(
                "SELECT pair FROM epoch e JOIN pair USING (pair) WHERE contact = ?1 AND session IS NULL
                 AND epoch = (SELECT max(epoch) FROM epoch l WHERE l.pair = e.pair)",
            )?
            .query_map([contact], |row| Ok(PairId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        for pair in without {
            let exported = self.mls.pairs(self.conn, self.rng).session(&pair)?;
            self.conn.execute(
                "UPDATE epoch SET session = ?3 WHERE pair = ?1 AND epoch = ?2",
                (pair.0, exported.epoch, exported.secret),
            )?;
        }
        let mut statement = self.conn.prepare_cached(
            "SELECT session FROM epoch JOIN pair USING (pair) WHERE contact = ?1 AND session IS NOT NULL
             ORDER BY founder_rank, number DESC, epoch DESC",
        )?;
        let rows = statement.query_map([contact], |row| Ok(SessionSecret::new(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The message in this envelope, if there is one, went over a session.
    pub(crate) fn went_direct(&mut self, envelope: &EnvelopeId) -> Result<(), ChatError> {
        let message: Option<MessageId> = self
            .conn
            .prepare_cached("UPDATE message SET direct = 1 WHERE envelope = ?1 AND direct = 0 RETURNING id")?
            .query_row([envelope.0], |row| Ok(MessageId(row.get(0)?)))
            .optional()?;
        message.into_iter().for_each(|id| self.event(Event::Message(id)));
        Ok(())
    }

    /// Without sessions nobody needs what keys them.
    pub(crate) fn choose_session(&mut self, contact: i64, choice: SessionChoice) -> Result<(), ChatError> {
        self.conn.execute("UPDATE contact SET session = ?2 WHERE contact = ?1", (contact, choice.number()))?;
        if choice == SessionChoice::Off {
            self.conn
                .execute("UPDATE epoch SET session = NULL WHERE pair IN (SELECT pair FROM pair WHERE contact = ?1)", [contact])?;
        }
        self.sessions_changed();
        Ok(())
    }

    /// A contact told where it is. What it told later counts, whichever comes first.
    pub(crate) fn told_place(&mut self, pair: &PairId, at: u64, place: &[u8]) -> Result<(), ChatError> {
        let Some((row, _)) = self.pair_contact(pair)?.filter(|(row, _)| row.state.agreed()) else { return Ok(()) };
        self.conn.execute(
            "INSERT INTO presence(contact, at, place) VALUES(?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET at = excluded.at, place = excluded.place WHERE excluded.at >= at",
            (row.contact, i64::try_from(at).unwrap_or(i64::MAX), place),
        )?;
        self.sessions_changed();
        Ok(())
    }
}
