//! After our clock was ahead: what we wrote then is from the future, and nobody takes it. It is dated anew, and stamped again.

use samizdat_core::{
    EnvelopeId, Hour, Kind, Unstamped,
    limits::{InTime, in_time},
};

use crate::{
    chat::{Chat, Event},
    error::ChatError,
    outbox::STAMPING,
    timeline::{MessageId, State},
};

impl Chat {
    /// Dates anew what is sealed, no other node is known to hold, and is from the future; returns the ids that it had. Neither tag
    /// nor body know of the hour, so nothing is encrypted anew, and who has read the one finds the tag of the other used. What is
    /// signed stays as it is: two of one position would accuse their author. Nor is dated anew what hides who wrote it, since inside it
    /// names the hour of a clock that was wrong: that fails.
    pub fn redate(&mut self, now: Hour) -> Result<Vec<EnvelopeId>, ChatError> {
        self.transact(|work| {
            let rows: Vec<(i64, Vec<u8>)> = work
                .conn
                .prepare_cached("SELECT number, bytes FROM outbox WHERE expires > ?1 ORDER BY number")?
                .query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let mut redated = Vec::new();
            for (number, bytes) in rows {
                let Ok(old) = Unstamped::from_bytes(&bytes) else { continue };
                let fields = old.fields();
                let tag = match fields.kind {
                    Kind::Sealed { tag, .. } => Some(tag),
                    Kind::Bell { .. } => None,
                    Kind::Announcement(_) | Kind::Post(..) => continue,
                };
                if in_time(fields.hour, fields.lifetime_hours(), now) != InTime::Future {
                    continue;
                }
                if work.gives_up_as_nobody(&old.id())? {
                    redated.push(old.id());
                    continue;
                }
                let Ok(new) = Unstamped::seal(tag, now, fields.lifetime, old.body().to_vec()) else { continue };
                let (before, after, expires) = (old.id(), new.id(), new.fields().expires().0);
                work.conn.execute(
                    "UPDATE outbox SET envelope = ?2, bytes = ?3, state = ?4, expires = ?5, taken = 0 WHERE number = ?1",
                    (number, after.0, &new.bytes()[..], STAMPING, expires),
                )?;
                // The old one stays known as ours, should it come from somebody whose clock was ahead as well.
                work.conn.execute(
                    "INSERT OR IGNORE INTO sent SELECT ?2, conversation, ?3 FROM sent WHERE envelope = ?1",
                    (before.0, after.0, expires),
                )?;
                let messages: Vec<MessageId> = work
                    .conn
                    .prepare_cached("UPDATE message SET envelope = ?2, state = min(state, ?3), direct = 0 WHERE envelope = ?1 AND mine = 1 AND state < ?4
                         RETURNING id",)?
                    .query_map((before.0, after.0, State::Stamping.number(), State::Received.number()), |row| Ok(MessageId(row.get(0)?)))?
                    .collect::<Result<_, _>>()?;
                messages.into_iter().for_each(|id| work.event(Event::Message(id)));
                redated.push(before);
            }
            Ok(redated)
        })
    }
}
