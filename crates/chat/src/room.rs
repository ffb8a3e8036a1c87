//! Public rooms: whoever knows the name reads, whoever posts signs.

use rusqlite::OptionalExtension;
use samizdat_core::{
    Envelope, EnvelopeId, Kind, Now, Unstamped,
    envelope::TOPIC_LEN,
    limits::ROOM_NAME_MAX,
    pad::{pad, unpad},
};
use samizdat_store::Log;
use sha2::{Digest, Sha256};

use crate::{
    chat::Event,
    content::{ID_LEN, Post, plausible_time},
    error::ChatError,
    timeline::{MessageId, NewRow, State, check_text},
    work::Work,
};

/// The room that everybody is in from the start.
pub(crate) const LOBBY: &str = "lobby";
const TOPIC_DOMAIN: &[u8] = b"samizdat room v1\0";
/// Posts read at once when a room is joined.
const CATCH_UP: u32 = 1000;

/// The hash under which the posts of a room lie.
pub(crate) fn topic(room: &str) -> [u8; TOPIC_LEN] {
    let digest = Sha256::new().chain_update(TOPIC_DOMAIN).chain_update(room).finalize();
    let mut topic = [0; TOPIC_LEN];
    topic.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    topic
}

/// One spelling for each room.
pub(crate) fn room_name(room: &str) -> Result<String, ChatError> {
    let name = room.trim().trim_start_matches('#').to_lowercase();
    if name.is_empty() || name.len() > ROOM_NAME_MAX || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(ChatError::Usage(format!("the name of a room has 1 to {ROOM_NAME_MAX} bytes and no spaces")));
    }
    Ok(name)
}

impl Work<'_> {
    pub(crate) fn join_room(&mut self, room: &str) -> Result<i64, ChatError> {
        let name = room_name(room)?;
        self.conn.execute("INSERT INTO room(name, topic) VALUES(?1, ?2) ON CONFLICT DO NOTHING", (&name, topic(&name)))?;
        let room: i64 = self.conn.query_row("SELECT room FROM room WHERE name = ?1", [&name], |row| row.get(0))?;
        self.conn.execute("INSERT INTO conversation(room) VALUES(?1) ON CONFLICT DO NOTHING", [room])?;
        Ok(room)
    }

    /// Reads the posts that came before the room was joined.
    pub(crate) fn catch_up_room(&mut self, room: i64, log: &Log, now: Now) -> Result<(), ChatError> {
        let topic: [u8; TOPIC_LEN] = self.conn.query_row("SELECT topic FROM room WHERE room = ?1", [room], |row| row.get(0))?;
        let mut after = 0;
        loop {
            let posts = log.by_room(&topic, after, CATCH_UP)?;
            let Some(last) = posts.last() else { return Ok(()) };
            after = last.row;
            for envelope in posts.iter().filter_map(samizdat_store::log::Stored::envelope) {
                self.read_post(&envelope, now)?;
            }
        }
    }

    pub(crate) fn post(&mut self, room: &str, text: &str, lifetime: u8, now: Now) -> Result<MessageId, ChatError> {
        check_text(text)?;
        let name = room_name(room)?;
        self.join_room(&name)?;
        let identity = self.default_identity()?;
        let us = self.identity_secret(identity)?;
        let body = pad(&Post { room: name.clone(), at: now.unix_ms, text: text.to_owned() }.encode(), 0)?;
        let seq = self.next_seq(identity)?;
        let unstamped =
            Unstamped::sign(&us, seq, Some(topic(&name)), now.hour(), lifetime, body).map_err(|_| ChatError::Bug("post"))?;
        let conversation = self.room_conversation(&topic(&name))?.ok_or(ChatError::Bug("room"))?;
        let id = post_id(&unstamped.id());
        let author = us.key().name().compact();
        let envelope = Some(unstamped.id());
        self.insert(
            &NewRow {
                id,
                conversation,
                author: &author,
                mine: true,
                text,
                at: now.unix_ms,
                lifetime,
                state: State::Stamping,
                envelope,
                vouched: None,
                aside: None,
                nonce: None,
            },
            now,
        )?;
        self.queue(&unstamped, unstamped.price(), None)?;
        self.show(&id)?;
        Ok(id)
    }

    /// A post from the log; one of a room that we are not in leaves no trace.
    pub(crate) fn read_post(&mut self, envelope: &Envelope, now: Now) -> Result<(), ChatError> {
        let Kind::Post(signed, post_topic) = &envelope.fields().kind else { return Ok(()) };
        let Some(conversation) = self.room_conversation(post_topic)? else { return Ok(()) };
        let Some(post) = unpad(envelope.body()).ok().and_then(|content| Post::decode(content).ok()) else { return Ok(()) };
        if topic(&post.room) != *post_topic {
            return Ok(());
        }
        let author = signed.author.name();
        let mine = self.is_own_name(&author)?;
        let state = if mine { State::Published } else { State::Received };
        let id = post_id(&envelope.id());
        // It may be kept under another id.
        let mut kept = self.conn.prepare_cached("SELECT 1 FROM message WHERE envelope = ?1 AND conversation = ?2")?;
        if kept.exists((envelope.id().0, conversation))? {
            return Ok(());
        }
        // Nothing waits in the outbox for a room.
        let at = plausible_time(post.at, envelope.fields().hour, 0);
        let envelope = Some(envelope.id());
        if let Some(id) = self.insert(
            &NewRow {
                id,
                conversation,
                author: &author.compact(),
                mine,
                text: &post.text,
                at,
                lifetime: 0,
                state,
                envelope,
                vouched: None,
                aside: None,
                nonce: None,
            },
            now,
        )? {
            self.show(&id)?;
        }
        Ok(())
    }

    /// A post lost a conflict: its author had signed another for the same position, which everybody shows instead.
    pub(crate) fn forget_post(&mut self, id: &EnvelopeId) -> Result<(), ChatError> {
        let mut delete = self.conn.prepare_cached("DELETE FROM message WHERE envelope = ?1 AND mine = 0 RETURNING id")?;
        if let Some(id) = delete.query_row([id.0], |row| Ok(MessageId(row.get(0)?))).optional()? {
            self.event(Event::Message(id));
        }
        Ok(())
    }

    fn room_conversation(&self, topic: &[u8; TOPIC_LEN]) -> Result<Option<i64>, ChatError> {
        let mut statement =
            self.conn.prepare_cached("SELECT conversation FROM room JOIN conversation USING (room) WHERE topic = ?1")?;
        Ok(statement.query_row([topic], |row| row.get(0)).optional()?)
    }
}

fn post_id(envelope: &EnvelopeId) -> MessageId {
    let mut id = [0; ID_LEN];
    id.iter_mut().zip(envelope.0).for_each(|(to, from)| *to = from);
    MessageId(id)
}
