//! Envelopes of clusters that come without a stamp, past the log: nobody else is to see them, so nobody need be paid.

use samizdat_core::{EnvelopeIn, Kind, Now, seal::TAG_LEN};

use crate::{
    chat::{Chat, unless_the_vault_fails},
    error::ChatError,
    ingest::Letter,
};

impl Chat {
    /// Whether something of a cluster is expected under a tag.
    pub fn expects_in_clusters(&self, tag: &[u8; TAG_LEN]) -> bool {
        self.cluster_tags.contains_key(tag)
    }

    /// Reads an envelope that was handed over, if something of a cluster is expected under its tag. What that lets us expect
    /// is not looked for: whoever hands over does it again.
    pub fn take_in_clusters(&mut self, bytes: &[u8], now: Now) -> Result<bool, ChatError> {
        let Ok(Ok(handed)) = EnvelopeIn::decode(bytes).map(|envelope| envelope.hand_over(now.hour())) else { return Ok(false) };
        let Kind::Sealed { tag, .. } = handed.fields().kind else { return Ok(false) };
        let Some(expected) = self.cluster_tags.get(&tag).copied() else { return Ok(false) };
        let letter = Letter { id: handed.id(), hour: handed.fields().hour, body: handed.body(), from: None };
        self.transact(|work| work.open_in_cluster(&letter, tag, &expected, now)).or_else(unless_the_vault_fails)?;
        self.dirty = true;
        Ok(true)
    }
}
