//! What people can see, as plain rows.

use rusqlite::{Connection, OptionalExtension, Row};
use samizdat_core::Name;
use samizdat_store::Log;

use crate::{
    announce::Announced,
    chat::Chat,
    contact::ContactState,
    error::ChatError,
    limits::{QUERY_DEFAULT, QUERY_MAX},
    outbox::STAMPING,
    session::SessionChoice,
    timeline::{MessageId, State},
};

/// An identity of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name, written.
    pub name: String,
    /// What we call it.
    pub label: Option<String>,
    /// Whether new contacts meet this one.
    pub default: bool,
    /// How far its announcement is.
    pub announced: Announced,
}

/// Somebody we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its number.
    pub contact: i64,
    /// Their name, written.
    pub name: String,
    /// What we call them.
    pub petname: Option<String>,
    /// How we stand with them.
    pub state: ContactState,
    /// Whether we can encrypt to them, or have seen the keys to.
    pub known: bool,
    /// Whether they are told what we have read.
    pub receipts: bool,
    /// Whether there are sessions with them.
    pub session: SessionChoice,
}

/// Somebody who asks to be a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Number of the contact.
    pub id: i64,
    /// Their name, written.
    pub name: String,
    /// What they wrote first.
    pub text: String,
    /// When it came, milliseconds.
    pub at: u64,
    /// Whether they used one of our invite links.
    pub invited: bool,
    /// How we stand with them by now.
    pub state: ContactState,
}

/// A message as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: i64,
    /// Name of its author, written; in a cluster, the member.
    pub from: String,
    /// What we call its author; in a cluster, what they call themselves.
    pub petname: Option<String>,
    /// Whether it is ours.
    pub mine: bool,
    /// What it says.
    pub text: String,
    /// When it was written, by its author's clock, milliseconds.
    pub at: u64,
    /// How far it has come.
    pub state: State,
    /// Whether it went over a session with the contact.
    pub direct: bool,
    /// Who told us of it, if not its author: a member of the cluster, as that one calls itself.
    pub vouched: Option<String>,
    /// In a cluster, how many of the members to whom we wrote it have it.
    pub delivery: Option<Delivery>,
    /// In a cluster, what the only member calls itself who can read it.
    pub to: Option<String>,
    /// In a cluster, among how many members its author hides, if it is not known who wrote it.
    pub anonymous: Option<u32>,
    /// Whether it calls us by our nickname in the cluster.
    pub calls: bool,
    /// Whether the contact request that it belongs to is still open.
    pub request: bool,
    /// The envelope that waits for its stamp, if one does.
    pub stamping: Option<samizdat_core::EnvelopeId>,
}

/// How many have a message of ours in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// So many members have said that they do.
    pub to: u32,
    /// To so many it went.
    pub of: u32,
}

/// With whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationKind {
    /// With one contact.
    Direct,
    /// A public room.
    Room,
    /// A cluster.
    Cluster,
}

/// A line of the list of conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its number.
    pub id: i64,
    /// With whom.
    pub kind: ConversationKind,
    /// Name of the contact, the room or the cluster, written.
    pub who: String,
    /// What we call it.
    pub petname: Option<String>,
    /// How we stand with the contact; `Accepted` otherwise.
    pub state: ContactState,
    /// Whether there are sessions with the contact; `Off` otherwise.
    pub session: SessionChoice,
    /// Newest message.
    pub last: Option<Message>,
    /// Messages that were not read.
    pub unread: u64,
}

/// A room that we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// Messages that were not read.
    pub unread: u64,
    /// Authors in it, written.
    pub authors: Vec<String>,
}

/// Our envelopes by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounts {
    /// Messages whose reader's keys are not known.
    pub waiting: u64,
    /// Envelopes without a stamp yet.
    pub stamping: u64,
    /// Envelopes that no other node is known to hold.
    pub stamped: u64,
}

/// Which messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Only of this conversation.
    pub conversation: Option<i64>,
    /// Only after this message, in the order in which they were shown: the oldest of them, so that one can go on.
    pub since: Option<&'a MessageId>,
    /// Only before this message.
    pub before: Option<&'a MessageId>,
    /// So many: the newest, but with `since` the oldest.
    pub limit: Option<u32>,
}

const MESSAGE: &str = "SELECT m.id, m.conversation, m.author, coalesce(c.petname, n.nick), m.mine, m.text, m.at, m.state,
    (SELECT k.state = 1 FROM conversation v JOIN contact k USING (contact) WHERE v.conversation = m.conversation),
    CASE WHEN m.state = 1 THEN m.envelope END, m.direct, m.calls,
    CASE WHEN m.vouched IS NULL THEN NULL ELSE coalesce((SELECT min(t.nick) FROM cluster_member t WHERE t.author = m.vouched), m.vouched) END,
    m.delivered, m.addressed, m.anonymous,
    (SELECT t.nick FROM cluster_member t WHERE t.member = m.aside
     AND t.cluster = (SELECT w.cluster FROM conversation w WHERE w.conversation = m.conversation))
    FROM message m LEFT JOIN contact c ON c.name = m.author AND c.identity = (SELECT min(identity) FROM identity)
    LEFT JOIN cluster_member n ON n.author = m.author
    AND n.cluster = (SELECT w.cluster FROM conversation w WHERE w.conversation = m.conversation)";

pub(crate) fn messages(conn: &Connection, filter: &Filter<'_>) -> Result<Vec<Message>, ChatError> {
    let since = filter.since.map(|id| position(conn, id)).transpose()?.unwrap_or(0);
    let before = filter.before.map(|id| position(conn, id)).transpose()?.unwrap_or(i64::MAX);
    let limit = filter.limit.unwrap_or(QUERY_DEFAULT).clamp(1, QUERY_MAX);
    // After a message the oldest come first: whoever asks again with the last one misses nothing.
    let order = if filter.since.is_some() { "ASC" } else { "DESC" };
    let mut statement = conn.prepare_cached(&format!(
        "{MESSAGE} WHERE m.position > ?1 AND m.position < ?2 AND (?3 IS NULL OR m.conversation = ?3)
         AND NOT EXISTS (SELECT 1 FROM conversation v JOIN contact k USING (contact) WHERE v.conversation = m.conversation AND k.state >= 3 AND ?3 IS NULL)
         ORDER BY m.position {order} LIMIT ?4"
    ))?;
    let rows = statement.query_map((since, before, filter.conversation, limit), message)?;
    let mut messages: Vec<Message> = rows.collect::<Result<_, _>>()?;
    if filter.since.is_none() {
        messages.reverse();
    }
    Ok(messages)
}

/// The place of a message in what people see.
fn position(conn: &Connection, id: &MessageId) -> Result<i64, ChatError> {
    conn.query_row("SELECT position FROM message WHERE id = ?1 AND position IS NOT NULL", [id.0], |row| row.get(0))
        .optional()?
        .ok_or_else(|| ChatError::NotFound("there is no message with this id".into()))
}

impl Chat {
    /// One message.
    pub fn message(&self, id: &MessageId) -> Result<Message, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(&format!("{MESSAGE} WHERE m.id = ?1"))?;
        statement
            .query_row([id.0], message)
            .optional()?
            .ok_or_else(|| ChatError::NotFound("there is no message with this id".into()))
    }

    /// Our identities, the default one first.
    pub fn identities(&self) -> Result<Vec<Identity>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(
            "SELECT i.name, i.label, a.held, o.state FROM identity i
             LEFT JOIN announced a ON a.announced = (SELECT max(n.announced) FROM announced n WHERE n.identity = i.identity)
             LEFT JOIN outbox o ON o.envelope = a.envelope ORDER BY i.identity",
        )?;
        let rows = statement.query_map([], |row| {
            let held: Option<bool> = row.get(2)?;
            let in_outbox: Option<u8> = row.get(3)?;
            let announced = match (held, in_outbox) {
                (Some(true), _) => Announced::Published,
                (_, Some(STAMPING)) => Announced::Stamping,
                (_, Some(_)) => Announced::Stamped,
                // Also when it expired before any node took it.
                (_, None) => Announced::Waiting,
            };
            Ok(Identity { name: row.get(0)?, label: row.get(1)?, default: false, announced })
        })?;
        let mut identities: Vec<Identity> = rows.collect::<Result<_, _>>()?;
        identities.iter_mut().take(1).for_each(|identity| identity.default = true);
        Ok(identities)
    }

    /// One contact by number.
    pub fn contact(&self, contact: i64) -> Result<Contact, ChatError> {
        self.contacts_where("contact = ?1", contact)?.pop().ok_or_else(|| ChatError::NotFound("there is no such contact".into()))
    }

    /// Everybody whom we added, accepted or blocked.
    pub fn contacts(&self) -> Result<Vec<Contact>, ChatError> {
        self.contacts_where("state IN (0, 2, 4) AND ?1 = ?1", 0)
    }

    /// Who asks.
    pub fn requests(&self) -> Result<Vec<Request>, ChatError> {
        self.requests_where("k.state = 1 AND ?1 = ?1", 0)
    }

    /// One request by the number of its contact, answered or not.
    pub fn request(&self, contact: i64) -> Result<Request, ChatError> {
        self.requests_where("k.contact = ?1", contact)?
            .pop()
            .ok_or_else(|| ChatError::NotFound("there is no such contact request".into()))
    }

    /// The number of a contact by petname, name or link.
    pub fn find_contact(&mut self, who: &str) -> Result<i64, ChatError> {
        self.transact(|work| Ok(work.find_contact(who)?.contact))
    }

    /// The conversation with a contact, by petname, name or link.
    pub fn find_conversation(&mut self, who: &str) -> Result<i64, ChatError> {
        self.transact(|work| {
            let contact = work.find_contact(who)?.contact;
            work.conversation_with(contact)
        })
    }

    /// The conversation of a room that we are in.
    pub fn find_room(&self, room: &str) -> Result<i64, ChatError> {
        let name = crate::room::room_name(room)?;
        self.vault
            .conn()
            .query_row("SELECT conversation FROM conversation JOIN room USING (room) WHERE name = ?1", [&name], |row| row.get(0))
            .optional()?
            .ok_or_else(|| {
                ChatError::NotFound(format!("you are not in the room \"{name}\": post something in it, or join it in the UI"))
            })
    }

    /// Conversations, newest first. Those that we declined or blocked are left out.
    pub fn conversations(&self) -> Result<Vec<Conversation>, ChatError> {
        self.conversations_where("(k.state IS NULL OR k.state < 3) AND ?1 = ?1", 0)
    }

    /// One conversation by number; `None` if it is one of those that are left out.
    pub fn conversation(&self, conversation: i64) -> Result<Option<Conversation>, ChatError> {
        Ok(self.conversations_where("(k.state IS NULL OR k.state < 3) AND v.conversation = ?1", conversation)?.pop())
    }

    fn conversations_where(&self, condition: &str, value: i64) -> Result<Vec<Conversation>, ChatError> {
        let conn = self.vault.conn();
        let mut statement = conn.prepare_cached(&format!(
            "SELECT v.conversation, k.name, k.petname, k.state, r.name,
                    (SELECT count(*) FROM message m WHERE m.conversation = v.conversation AND m.mine = 0 AND m.position > v.read_position),
                    k.session, u.name
             FROM conversation v LEFT JOIN contact k USING (contact) LEFT JOIN room r USING (room) LEFT JOIN cluster u USING (cluster)
             WHERE {condition} ORDER BY v.last_position DESC, v.conversation"
        ))?;
        let rows = statement.query_map([value], |row| {
            let (who, room, cluster): (Option<String>, Option<String>, Option<String>) = (row.get(1)?, row.get(4)?, row.get(7)?);
            let kind = match (&room, &cluster) {
                (Some(_), _) => ConversationKind::Room,
                (None, Some(_)) => ConversationKind::Cluster,
                (None, None) => ConversationKind::Direct,
            };
            let (state, session): (Option<u8>, Option<u8>) = (row.get(3)?, row.get(6)?);
            Ok(Conversation {
                id: row.get(0)?,
                kind,
                who: room.or(cluster).or(who).unwrap_or_default(),
                petname: row.get(2)?,
                state: state.map_or(ContactState::Accepted, ContactState::from_number),
                session: session.map_or(SessionChoice::Off, SessionChoice::from_number),
                last: None,
                unread: row.get(5)?,
            })
        })?;
        let mut conversations: Vec<Conversation> = rows.collect::<Result<_, _>>()?;
        for conversation in &mut conversations {
            conversation.last =
                messages(conn, &Filter { conversation: Some(conversation.id), limit: Some(1), ..Filter::default() })?.pop();
        }
        Ok(conversations)
    }

    /// One room by number.
    pub fn room(&self, room: i64) -> Result<Room, ChatError> {
        let name: String = self.vault.conn().query_row("SELECT name FROM room WHERE room = ?1", [room], |row| row.get(0))?;
        self.rooms()?.into_iter().find(|r| r.name == name).ok_or(ChatError::Bug("room"))
    }

    /// The rooms that we are in.
    pub fn rooms(&self) -> Result<Vec<Room>, ChatError> {
        let conn = self.vault.conn();
        let mut statement = conn.prepare_cached(
            "SELECT r.name, (SELECT count(*) FROM message m WHERE m.conversation = v.conversation AND m.mine = 0 AND m.position > v.read_position),
             v.conversation FROM room r JOIN conversation v USING (room) ORDER BY r.room",
        )?;
        let mut authors = conn.prepare_cached("SELECT DISTINCT author FROM message WHERE conversation = ?1 LIMIT 1000")?;
        let mut rooms = Vec::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let authors = authors.query_map([row.get::<_, i64>(2)?], |row| row.get(0))?.collect::<Result<_, _>>()?;
            rooms.push(Room { name: row.get(0)?, unread: row.get(1)?, authors });
        }
        Ok(rooms)
    }

    /// Our envelopes by state.
    pub fn outbox(&self) -> Result<OutboxCounts, ChatError> {
        let conn = self.vault.conn();
        let count = |sql: &str| conn.query_row(sql, [], |row| row.get(0));
        Ok(OutboxCounts {
            waiting: count("SELECT count(*) FROM message WHERE state = 0")?,
            stamping: count("SELECT count(*) FROM outbox WHERE state = 0")?,
            stamped: count("SELECT count(*) FROM outbox WHERE state = 1")?,
        })
    }

    /// Messages that an envelope of ours carries, for showing the progress of its stamp.
    pub fn carried_by(&self, id: &samizdat_core::EnvelopeId) -> Result<Option<MessageId>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached("SELECT id FROM message WHERE envelope = ?1 AND mine = 1 LIMIT 1")?;
        Ok(statement.query_row([id.0], |row| Ok(MessageId(row.get(0)?))).optional()?)
    }

    /// Whether the log has an announcement of a contact.
    pub fn is_announced(&self, name: &str, log: &Log) -> Result<bool, ChatError> {
        let Ok(name) = name.parse::<Name>() else { return Ok(false) };
        Ok(log.announcement(&name)?.is_some())
    }

    fn contacts_where(&self, condition: &str, value: i64) -> Result<Vec<Contact>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(&format!(
            "SELECT name, petname, state, EXISTS (SELECT 1 FROM pair p WHERE p.contact = k.contact), receipts, session, contact FROM contact k WHERE {condition} ORDER BY contact"
        ))?;
        let rows = statement.query_map([value], |row| {
            Ok(Contact {
                contact: row.get(6)?,
                name: row.get(0)?,
                petname: row.get(1)?,
                state: ContactState::from_number(row.get(2)?),
                known: row.get(3)?,
                receipts: row.get(4)?,
                session: SessionChoice::from_number(row.get(5)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn requests_where(&self, condition: &str, value: i64) -> Result<Vec<Request>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(&format!(
            "SELECT k.contact, k.name, coalesce((SELECT m.text FROM message m JOIN conversation v USING (conversation)
             WHERE v.contact = k.contact AND m.mine = 0 ORDER BY m.message DESC LIMIT 1), ''), k.asked_at, k.invited, k.state
             FROM contact k WHERE {condition} ORDER BY k.asked_at"
        ))?;
        let rows = statement.query_map([value], |row| {
            Ok(Request {
                id: row.get(0)?,
                name: row.get(1)?,
                text: row.get(2)?,
                at: row.get(3)?,
                invited: row.get(4)?,
                state: ContactState::from_number(row.get(5)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let request: Option<bool> = row.get(8)?;
    let stamping: Option<[u8; 32]> = row.get(9)?;
    let (of, ring) = (row.get(14)?, row.get(15)?);
    Ok(Message {
        id: MessageId(row.get(0)?),
        conversation: row.get(1)?,
        from: row.get(2)?,
        petname: row.get(3)?,
        mine: row.get(4)?,
        text: row.get(5)?,
        at: row.get(6)?,
        state: State::from_number(row.get(7)?),
        direct: row.get(10)?,
        calls: row.get(11)?,
        vouched: row.get(12)?,
        to: row.get(16)?,
        delivery: if of > 0 { Some(Delivery { to: row.get(13)?, of }) } else { None },
        anonymous: (ring > 0).then_some(ring),
        request: request.unwrap_or(false),
        stamping: stamping.map(samizdat_core::EnvelopeId),
    })
}
