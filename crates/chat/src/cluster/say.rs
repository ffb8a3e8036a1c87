//! Messages in clusters: the same timeline as everywhere.

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberId, StateId,
    content::{Audience, Body, Nonce, Text, text_id},
    limits::MENTIONS_MAX,
};
use samizdat_core::Now;

use super::{
    aside::Waiting,
    row::{ClusterRow, Standing},
};
use crate::{
    chat::{Chat, Event},
    content::{ID_LEN, plausible_time},
    error::ChatError,
    frontier::Frontier,
    ingest::Letter,
    limits::{PARENTS_MAX, WAITING_HOURS},
    query::Message,
    timeline::{MessageId, NewRow, State, check_text},
    work::Work,
};

/// Id and nonce, text, when it was written, lifetime, whether it was sent before, and for whom alone it is.
type Waits = ((MessageId, Nonce), String, u64, u8, bool, Option<[u8; 32]>, bool);

impl Chat {
    /// Writes to a cluster. Whoever has only asked to be let in may write, too: it goes out once they are in.
    pub fn write_in_cluster(&mut self, which: &str, text: &str, lifetime: u8, now: Now) -> Result<Message, ChatError> {
        self.dirty = true;
        let id = self.transact(|work| work.write_in_cluster(which, text, lifetime, now))?;
        self.message(&id)
    }

    /// The conversation of a cluster.
    pub fn find_cluster_conversation(&mut self, which: &str) -> Result<i64, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            work.cluster_conversation(row.cluster)
        })
    }
}

impl Work<'_> {
    fn write_in_cluster(&mut self, which: &str, text: &str, lifetime: u8, now: Now) -> Result<MessageId, ChatError> {
        check_text(text)?;
        let row = self.find_cluster(which)?;
        if row.standing != Standing::Asking {
            row.place()?;
        }
        self.leave_to_cluster(&row, text, None, lifetime, now)
    }

    /// A text of ours for all members, or for one.
    pub(crate) fn leave_to_cluster(
        &mut self,
        row: &ClusterRow,
        text: &str,
        to: Option<MemberId>,
        lifetime: u8,
        now: Now,
    ) -> Result<MessageId, ChatError> {
        let (nonce, audience) = (self.draw_id(), to.map_or(Audience::All, |_| Audience::One));
        let id = self.leave_to_be_sent(
            &NewRow {
                id: MessageId(text_id(&row.member, audience, &nonce, text)),
                conversation: self.cluster_conversation(row.cluster)?,
                author: &row.member.to_string(),
                lifetime,
                aside: to.map(|to| to.0),
                nonce: Some(nonce),
                ..NewRow::ours(text, now)
            },
            now,
        )?;
        self.spoke_in_cluster(row.cluster);
        Ok(id)
    }

    /// Encrypts what waits where nothing else is to be done: to look after a cluster takes ten times as long.
    pub(crate) fn speak(&mut self, cluster: i64, now: Now) -> Result<(), ChatError> {
        let row = self.cluster_row(cluster)?;
        match row.tip.filter(|_| row.standing == Standing::Member) {
            Some(tip) => self.encrypt_in_cluster(&row, &tip, now),
            None => Ok(()),
        }
    }

    /// Encrypts what waits, in the order in which it was written. What was sent on a branch that nobody follows waits again, and
    /// keeps what it builds on.
    pub(crate) fn encrypt_in_cluster(&mut self, row: &ClusterRow, tip: &StateId, now: Now) -> Result<(), ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        let waiting: Vec<Waits> = self
            .conn
            .prepare_cached(
                "SELECT id, nonce, text, at, lifetime, state_sent IS NOT NULL, aside, claims FROM message
                 WHERE conversation = ?1 AND state = 0 AND nonce IS NOT NULL ORDER BY message",
            )?
            .query_map([conversation], |row| {
                let name = (MessageId(row.get(0)?), row.get(1)?);
                Ok((name, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
            })?
            .collect::<Result<_, _>>()?;
        let state = self.shared_state(row.cluster, tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        let mut before: Option<MessageId> = None;
        for ((id, nonce), text, at, lifetime, again, aside, claims) in waiting {
            if let Some(to) = aside {
                self.encrypt_aside(row, tip, Waiting { id, nonce, to: MemberId(to), text, at, lifetime, claims }, now)?;
                continue;
            }
            let parents = match before.take() {
                _ if again => self.parents_of(&id)?,
                // What builds on all there is, is all that the next builds on.
                Some(before) => vec![before.0],
                None => self.heads(conversation, PARENTS_MAX)?,
            };
            before = Some(id).filter(|_| !again && parents.len() < PARENTS_MAX);
            let mentions = self.mentions(row, tip, &text)?;
            let missing = self.tell_missing(conversation, now)?;
            let body = Body::Text(Text { nonce, at, parents: parents.clone(), missing, mentions, text });
            let envelope = self.send_message(row, tip, body, &[lifetime], now)?;
            self.set_parents(&id, &parents)?;
            self.conn.prepare_cached("UPDATE message SET state = ?2, envelope = ?3, state_sent = ?4 WHERE id = ?1")?.execute((
                id.0,
                State::Stamping.number(),
                envelope.0,
                tip.0,
            ))?;
            let others = state.roster().iter().copied().filter(|member| *member != row.member).collect();
            self.addressed(&id, &others, &state)?;
            self.event(Event::Message(id));
        }
        Ok(())
    }

    pub(crate) fn take_text(
        &mut self,
        row: &ClusterRow,
        from: &MemberId,
        text: &Text,
        letter: &Letter<'_>,
        now: Now,
    ) -> Result<(), ChatError> {
        let conversation = self.cluster_conversation(row.cluster)?;
        self.reached(row, from, &Frontier::new(&text.parents, &text.missing), false, now)?;
        let new = NewRow {
            id: MessageId(text.id(from)),
            conversation,
            author: &from.to_string(),
            mine: false,
            text: &text.text,
            at: plausible_time(text.at, letter.hour, WAITING_HOURS),
            lifetime: 0,
            state: State::Received,
            envelope: Some(letter.id),
            vouched: None,
            aside: None,
            nonce: Some(text.nonce),
        };
        if let Some(id) = self.insert(&new, now)? {
            self.set_parents(&id, &text.parents)?;
            self.note_missing(conversation, &id, &text.parents, now)?;
            if text.mentions.contains(&row.member) {
                self.conn.execute("UPDATE message SET calls = 1 WHERE id = ?1", [id.0])?;
            }
            // A newcomer will never have what was written before.
            if self.is_new_here(row, now)? {
                self.show(&id)?
            } else {
                self.show_when_complete(id)?
            }
            self.caught_up(row, &id, now)?;
            self.note_arrival(row, now)?;
        }
        Ok(())
    }

    /// The members whose nicknames stand behind an @ in a text.
    fn mentions(&self, row: &ClusterRow, tip: &StateId, text: &str) -> Result<Vec<MemberId>, ChatError> {
        if !text.contains('@') {
            return Ok(Vec::new());
        }
        let state = self.state_row(row.cluster, tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        let called = state.members.iter().filter(|leaf| is_called(&leaf.nick, text));
        Ok(called.map(|leaf| leaf.member).take(MENTIONS_MAX).collect())
    }

    pub(crate) fn cluster_conversation(&self, cluster: i64) -> Result<i64, ChatError> {
        let sql = "SELECT conversation FROM conversation WHERE cluster = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([cluster], |row| row.get(0)).optional()?;
        found.ok_or(ChatError::Bug("conversation of a cluster"))
    }

    fn parents_of(&self, id: &MessageId) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let mut statement = self.conn.prepare_cached("SELECT parent FROM parent WHERE child = ?1 LIMIT ?2")?;
        let rows = statement.query_map((id.0, PARENTS_MAX), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Whether `@nick` stands in a text, and no longer word.
fn is_called(nick: &str, text: &str) -> bool {
    text.match_indices('@').any(|(at, sign)| {
        let rest = text.get(at.saturating_add(sign.len())..).and_then(|rest| rest.strip_prefix(nick));
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::is_called;

    #[test]
    fn whoever_stands_behind_an_at_is_called() {
        assert!(is_called("bob", "@bob") && is_called("bob", "well, @bob: come!") && is_called("Mary Ann", "ask @Mary Ann"));
        assert!(!is_called("bob", "bob") && !is_called("bob", "@bobby") && !is_called("bob", "@Bob") && !is_called("bob", "@"));
        assert!(is_called("ünal", "@@ünal") && !is_called("bob", "me@bob_s.example"));
    }
}
