//! Contacts and contact requests.

use rusqlite::{OptionalExtension, Row};
use samizdat_core::{
    Name,
    link::{InviteLink, SECRET_LEN},
};

use crate::{
    chat::Event,
    error::ChatError,
    limits::INVITES_MAX,
    session::SessionChoice,
    work::{Work, short_label},
};

/// How we stand with somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactState {
    /// We added them; what they write is welcome.
    Added,
    /// They wrote first and wait for an answer.
    Requested,
    /// They asked and we agreed.
    Accepted,
    /// They asked and we did not agree; they may ask again.
    Declined,
    /// We do not want to hear from them.
    Blocked,
}

impl ContactState {
    const ALL: [Self; 5] = [Self::Added, Self::Requested, Self::Accepted, Self::Declined, Self::Blocked];

    pub(crate) fn number(self) -> u8 {
        Self::ALL.iter().position(|state| *state == self).and_then(|i| u8::try_from(i).ok()).unwrap_or_default()
    }

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Blocked)
    }

    /// Whether we agreed to talk.
    pub fn agreed(self) -> bool {
        matches!(self, Self::Added | Self::Accepted)
    }
}

/// An answer to a contact request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// We can write to each other.
    Accept,
    /// Not now; they are not told.
    Decline,
    /// Never; they are not told.
    Block,
}

/// What is to change about a contact; what is absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContactEdit<'a> {
    /// What we call them.
    pub petname: Option<&'a str>,
    /// Whether we do not want to hear from them.
    pub blocked: Option<bool>,
    /// Whether they are told what we have read.
    pub receipts: Option<bool>,
    /// Whether there are sessions with them.
    pub session: Option<SessionChoice>,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct ContactRow {
    pub(crate) contact: i64,
    pub(crate) identity: i64,
    pub(crate) name: Name,
    pub(crate) state: ContactState,
    pub(crate) secret: Option<[u8; SECRET_LEN]>,
    /// Whether they ever asked to be a contact.
    pub(crate) asked: bool,
}

const COLUMNS: &str = "contact, identity, name, state, secret, asked_at > 0";

impl Work<'_> {
    pub(crate) fn invite(&mut self) -> Result<InviteLink, ChatError> {
        let identity = self.default_identity()?;
        let mut secret = [0; SECRET_LEN];
        rand_core::Rng::fill_bytes(self.rng, &mut secret);
        self.conn.execute("INSERT INTO invite(identity, secret) VALUES(?1, ?2)", (identity, secret))?;
        self.conn.execute(
            "DELETE FROM invite WHERE identity = ?1 AND invite NOT IN (SELECT invite FROM invite WHERE identity = ?1 ORDER BY invite DESC LIMIT ?2)",
            (identity, INVITES_MAX),
        )?;
        Ok(InviteLink { name: self.identity_secret(identity)?.key().name(), secret: Some(secret), places: Vec::new() })
    }

    pub(crate) fn add_contact(&mut self, who: &str, petname: Option<&str>) -> Result<i64, ChatError> {
        let link: InviteLink = who.parse()?;
        let petname = petname.map(short_label).transpose()?;
        if self.is_own_name(&link.name)? {
            return Err(ChatError::Refused("this is your own name: send your invite link to somebody else".into()));
        }
        if let Some(petname) = petname {
            self.refuse_taken_petname(petname, &link.name)?;
        }
        let identity = self.default_identity()?;
        let contact = match self.contact_by_name(&link.name)? {
            None => {
                self.conn.execute(
                    "INSERT INTO contact(identity, name, petname, state, secret) VALUES(?1, ?2, ?3, ?4, ?5)",
                    (identity, link.name.compact(), petname, ContactState::Added.number(), link.secret),
                )?;
                self.conn.last_insert_rowid()
            }
            Some(row) => {
                let state = match row.state {
                    ContactState::Blocked => {
                        return Err(ChatError::Refused("you have blocked this contact: unblock it first".into()));
                    }
                    ContactState::Requested | ContactState::Declined => ContactState::Accepted,
                    state => state,
                };
                self.conn.execute(
                    "UPDATE contact SET petname = coalesce(?2, petname), state = ?3, secret = coalesce(?4, secret) WHERE contact = ?1",
                    (row.contact, petname, state.number(), link.secret),
                )?;
                row.contact
            }
        };
        let conversation = self.conversation_with(contact)?;
        self.conn.execute("UPDATE conversation SET ack_due = 1 WHERE conversation = ?1 AND last_position > 0", [conversation])?;
        self.event(Event::Contact(contact));
        Ok(contact)
    }

    pub(crate) fn edit_contact(&mut self, who: &str, edit: &ContactEdit<'_>) -> Result<i64, ChatError> {
        let ContactEdit { petname, blocked, receipts, session } = *edit;
        let row = self.find_contact(who)?;
        if blocked == Some(false) && row.state == ContactState::Blocked {
            self.look_again(row.contact)?;
        }
        if let Some(petname) = petname {
            let petname = short_label(petname)?;
            self.refuse_taken_petname(petname, &row.name)?;
            self.conn.execute("UPDATE contact SET petname = ?2 WHERE contact = ?1", (row.contact, petname))?;
        }
        if let Some(receipts) = receipts {
            self.conn.execute("UPDATE contact SET receipts = ?2 WHERE contact = ?1", (row.contact, receipts))?;
            // What was read before is nobody's business, nor is what was read when they may not know any more.
            self.conn.execute("UPDATE conversation SET receipt_due = 0 WHERE contact = ?1", [row.contact])?;
        }
        if let Some(session) = session {
            self.choose_session(row.contact, session)?;
        }
        match (blocked, row.state) {
            (Some(true), _) => self.block(row.contact)?,
            (Some(false), ContactState::Blocked) => self.unblock(row.contact)?,
            _ => self.event(Event::Contact(row.contact)),
        }
        Ok(row.contact)
    }

    pub(crate) fn answer(&mut self, which: &str, answer: Answer) -> Result<i64, ChatError> {
        let by_number = which.parse::<i64>().ok().map(|contact| self.contact_row(contact)).transpose()?.flatten();
        let row = match by_number {
            Some(row) => row,
            None => self.find_contact(which)?,
        };
        match (answer, row.state) {
            (Answer::Block, _) => self.block(row.contact)?,
            (_, ContactState::Blocked) => return Err(ChatError::Refused("you have blocked this contact: unblock it first".into())),
            (Answer::Accept, ContactState::Requested | ContactState::Declined) => {
                self.set_contact_state(row.contact, ContactState::Accepted)?;
                let conversation = self.conversation_with(row.contact)?;
                self.conn.execute("UPDATE conversation SET ack_due = 1 WHERE conversation = ?1", [conversation])?;
            }
            (Answer::Decline, ContactState::Requested) => self.set_contact_state(row.contact, ContactState::Declined)?,
            (Answer::Accept, ContactState::Accepted) if row.asked => {}
            (Answer::Accept | Answer::Decline, _) => {
                return Err(ChatError::NotFound("there is no open contact request of theirs".into()));
            }
        }
        Ok(row.contact)
    }

    /// By petname, name or link.
    pub(crate) fn find_contact(&self, who: &str) -> Result<ContactRow, ChatError> {
        let by_petname = self
            .conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM contact WHERE petname = ?1"))?
            .query_row([who.trim()], contact_row)
            .optional()?;
        if let Some(row) = by_petname {
            return Ok(row);
        }
        let unknown = || ChatError::NotFound("there is no contact of this name: add it with `samizdat contact add`".into());
        match who.parse::<InviteLink>() {
            Ok(link) => self.contact_by_name(&link.name)?.ok_or_else(unknown),
            // Something that looks like a name deserves to be told where its mistake is.
            Err(error) if who.trim().len() >= 30 => Err(error.into()),
            Err(_) => Err(unknown()),
        }
    }

    pub(crate) fn contact_by_name(&self, name: &Name) -> Result<Option<ContactRow>, ChatError> {
        let identity = self.default_identity()?;
        let mut statement = self
            .conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM contact WHERE name = ?1 ORDER BY identity = ?2 DESC LIMIT 1"))?;
        Ok(statement.query_row((name.compact(), identity), contact_row).optional()?)
    }

    pub(crate) fn contact_of(&self, identity: i64, name: &Name) -> Result<Option<ContactRow>, ChatError> {
        let mut statement =
            self.conn.prepare_cached(&format!("SELECT {COLUMNS} FROM contact WHERE identity = ?1 AND name = ?2"))?;
        Ok(statement.query_row((identity, name.compact()), contact_row).optional()?)
    }

    pub(crate) fn contact_row(&self, contact: i64) -> Result<Option<ContactRow>, ChatError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT {COLUMNS} FROM contact WHERE contact = ?1"))?;
        Ok(statement.query_row([contact], contact_row).optional()?)
    }

    pub(crate) fn set_contact_state(&mut self, contact: i64, state: ContactState) -> Result<(), ChatError> {
        self.conn.execute("UPDATE contact SET state = ?2 WHERE contact = ?1", (contact, state.number()))?;
        self.sessions_changed();
        self.event(Event::Contact(contact));
        Ok(())
    }

    fn block(&mut self, contact: i64) -> Result<(), ChatError> {
        self.conn.execute(
            "UPDATE contact SET before_block = state, state = ?2 WHERE contact = ?1 AND state <> ?2",
            (contact, ContactState::Blocked.number()),
        )?;
        self.sessions_changed();
        self.event(Event::Contact(contact));
        Ok(())
    }

    /// Back to how we stood before: unblocking alone agrees to nothing.
    fn unblock(&mut self, contact: i64) -> Result<(), ChatError> {
        let before: Option<u8> =
            self.conn.query_row("SELECT before_block FROM contact WHERE contact = ?1", [contact], |row| row.get(0))?;
        let state = before.map_or(ContactState::Declined, ContactState::from_number);
        self.set_contact_state(contact, state)?;
        if state == ContactState::Requested {
            self.event(Event::Request(contact));
        }
        Ok(())
    }

    pub(crate) fn conversation_with(&self, contact: i64) -> Result<i64, ChatError> {
        self.conn.prepare_cached("INSERT INTO conversation(contact) VALUES(?1) ON CONFLICT DO NOTHING")?.execute([contact])?;
        let mut find = self.conn.prepare_cached("SELECT conversation FROM conversation WHERE contact = ?1")?;
        Ok(find.query_row([contact], |row| row.get(0))?)
    }

    fn refuse_taken_petname(&self, petname: &str, name: &Name) -> Result<(), ChatError> {
        let taken = self
            .conn
            .prepare_cached("SELECT 1 FROM contact WHERE petname = ?1 AND name <> ?2")?
            .exists((petname, name.compact()))?;
        if taken {
            return Err(ChatError::Refused(format!("another contact is called \"{petname}\" already: choose another petname")));
        }
        Ok(())
    }
}

fn contact_row(row: &Row<'_>) -> rusqlite::Result<ContactRow> {
    let name: String = row.get(2)?;
    let name = name.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(e)))?;
    Ok(ContactRow {
        contact: row.get(0)?,
        identity: row.get(1)?,
        name,
        state: ContactState::from_number(row.get(3)?),
        secret: row.get(4)?,
        asked: row.get(5)?,
    })
}
