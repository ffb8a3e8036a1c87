//! Which envelopes somebody needs who is reached by hand only: those of one conversation, for a stick instead of the network.

use samizdat_core::EnvelopeId;

use crate::{chat::Chat, error::ChatError};

impl Chat {
    /// Of a direct conversation: our announcements, and all that we sent in it and that may still live, contact requests and changes
    /// of keys among it. Of a room: its posts. What has no stamp yet is not in the log and cannot be carried.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn bundle(&self, conversation: i64) -> Result<Vec<EnvelopeId>, ChatError> {
        let mut statement = self.vault.conn().prepare_cached(
            "SELECT envelope FROM announced WHERE identity IN
                 (SELECT k.identity FROM contact k JOIN conversation c ON c.contact = k.contact WHERE c.conversation = ?1)
             UNION ALL SELECT envelope FROM sent WHERE conversation = ?1
             UNION ALL SELECT m.envelope FROM message m JOIN conversation c ON c.conversation = m.conversation
                 WHERE m.conversation = ?1 AND c.room IS NOT NULL AND m.envelope IS NOT NULL",
        )?;
        let rows = statement.query_map([conversation], |row| Ok(EnvelopeId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
