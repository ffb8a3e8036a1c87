//! What newcomers are told of the time before they came, as far as the charter says. Whoever lets them in vouches for it: a signature
//! of each author over each text would prove to anybody what was said here.

use samizdat_cluster::{
    MemberId,
    charter::History,
    content::{Body, Memory},
    limits::MEMORIES_MAX,
};
use samizdat_core::Now;

use super::row::{ClusterRow, StateRow};
use crate::{
    content::plausible_time,
    error::ChatError,
    ingest::Letter,
    limits::{HISTORY_PATIENCE_MS, HISTORY_PIECE, HISTORY_PIECES, MESSAGE_LIFETIME, WAITING_HOURS},
    timeline::{MessageId, NewRow, State},
    work::Work,
};

/// What surrounds a text among the memories, at most, bytes.
const AROUND: usize = 80;

impl Work<'_> {
    /// Tells those who came by a Commit of ours what the charter gives them.
    pub(crate) fn tell_history(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let most = match state.context.charter.history {
            History::None => return Ok(()),
            History::Last(most) => usize::try_from(most).unwrap_or(usize::MAX),
            History::All => usize::MAX,
        };
        let pieces = pieces(self.memories(row, most.min(MEMORIES_MAX.saturating_mul(HISTORY_PIECES)))?);
        pieces.into_iter().try_for_each(|memories| {
            self.send_message(row, &state.state, Body::History(memories), &[MESSAGE_LIFETIME], now).map(|_| ())
        })
    }

    /// The newest texts that all have, the newest first.
    fn memories(&self, row: &ClusterRow, most: usize) -> Result<Vec<Memory>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT author, nonce, at, text FROM message WHERE conversation = ?1 AND position IS NOT NULL AND state NOT IN (0, 6, 7)
             AND aside IS NULL AND nonce IS NOT NULL ORDER BY position DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((self.cluster_conversation(row.cluster)?, most), |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        let mut memories = Vec::new();
        for found in rows {
            let (author, nonce, at, text) = found?;
            memories.extend(author.parse().ok().map(|author: MemberId| Memory { author, nonce, at, text }));
        }
        Ok(memories)
    }

    /// Whether others let us in, or back in, not long ago.
    pub(crate) fn is_new_here(&self, row: &ClusterRow, now: Now) -> Result<bool, ChatError> {
        let joined = self.joined_at(row)?;
        Ok((joined..=joined.saturating_add(HISTORY_PATIENCE_MS)).contains(&now.unix_ms))
    }

    pub(super) fn joined_at(&self, row: &ClusterRow) -> Result<u64, ChatError> {
        Ok(self.conn.query_row("SELECT joined_at FROM cluster WHERE cluster = ?1", [row.cluster], |row| row.get(0))?)
    }

    /// What somebody tells us of the time before we came. Who was there needs nobody to tell.
    pub(crate) fn remember(
        &mut self,
        row: &ClusterRow,
        from: &MemberId,
        memories: &[Memory],
        letter: &Letter<'_>,
        now: Now,
    ) -> Result<(), ChatError> {
        if !self.is_new_here(row, now)? {
            return Ok(());
        }
        let joined = self.joined_at(row)?;
        let conversation = self.cluster_conversation(row.cluster)?;
        let from = from.to_string();
        for memory in memories.iter().filter(|memory| memory.at < joined) {
            let new = NewRow {
                id: MessageId(memory.id()),
                conversation,
                author: &memory.author.to_string(),
                mine: memory.author == row.member,
                text: &memory.text,
                at: plausible_time(memory.at, letter.hour, WAITING_HOURS).min(joined),
                lifetime: 0,
                state: State::Received,
                envelope: None,
                vouched: Some(&from),
                aside: None,
                nonce: Some(memory.nonce),
            };
            if let Some(id) = self.insert(&new, now)? {
                self.show(&id)?;
            }
        }
        Ok(())
    }
}

/// As few messages as the texts need, the oldest first; what does not fit is the oldest.
fn pieces(newest_first: Vec<Memory>) -> Vec<Vec<Memory>> {
    let mut pieces: Vec<Vec<Memory>> = Vec::new();
    let mut room = 0;
    for memory in newest_first {
        let size = memory.text.len().saturating_add(AROUND);
        let full = pieces.last().is_none_or(|piece| piece.len() >= MEMORIES_MAX) || size > room;
        if full {
            if pieces.len() >= HISTORY_PIECES {
                break;
            }
            pieces.push(Vec::new());
            room = HISTORY_PIECE;
        }
        room = room.saturating_sub(size);
        pieces.last_mut().into_iter().for_each(|piece| piece.push(memory.clone()));
    }
    pieces.iter_mut().for_each(|piece| piece.reverse());
    pieces.reverse();
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    fn memory(number: u64, length: usize) -> Memory {
        Memory { author: MemberId([1; 32]), nonce: [1; 16], at: number, text: "x".repeat(length) }
    }

    #[test]
    fn the_newest_that_fits_is_told_the_oldest_first() {
        assert!(pieces(Vec::new()).is_empty());
        let few = pieces((0..5).rev().map(|number| memory(number, 10)).collect());
        assert_eq!(few.concat().iter().map(|memory| memory.at).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(few.len(), 1);
        let many = pieces((0..100_000).rev().map(|number| memory(number, 0)).collect());
        assert_eq!((many.len(), many.concat().last().unwrap().at), (HISTORY_PIECES, 99_999));
        assert!(many.concat().is_sorted_by_key(|memory| memory.at) && many.iter().all(|piece| piece.len() <= MEMORIES_MAX));
        let large = pieces((0..50).rev().map(|number| memory(number, 16_000)).collect());
        assert!(large.len() == HISTORY_PIECES && large.iter().all(|piece| piece.len() == 2));
    }
}
