//! What is said in a cluster to one member only. The others see who says something to whom, and no more.

use samizdat_cluster::{
    MemberId, StateId,
    aside::Aside,
    content::{Body, Nonce},
    secret::ShareIn,
};
use samizdat_core::Now;

use super::{
    govern::find_member,
    row::{ClusterRow, StateRow},
};
use crate::{
    chat::{Chat, Event},
    content::plausible_time,
    error::{ChatError, is_database},
    ingest::Letter,
    limits::{MARK_TIMES, WAITING_HOURS},
    mls::GroupError,
    query::Message,
    timeline::{MessageId, NewRow, State, check_text},
    work::Work,
};

/// An aside of ours that waits.
pub(crate) struct Waiting {
    pub(crate) id: MessageId,
    pub(crate) nonce: Nonce,
    pub(crate) to: MemberId,
    pub(crate) text: String,
    pub(crate) at: u64,
    pub(crate) lifetime: u8,
    /// Whether it says which name is behind us.
    pub(crate) claims: bool,
}

impl Chat {
    /// Writes to one member of a cluster, by nickname or the beginning of its id.
    pub fn write_to_member(&mut self, which: &str, who: &str, text: &str, lifetime: u8, now: Now) -> Result<Message, ChatError> {
        self.dirty = true;
        let id = self.transact(|work| {
            let row = work.find_cluster(which)?;
            let (_, tip) = row.place()?;
            let state = work.state_row(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
            let to = find_member(&state, who)?;
            work.write_to_member(&row, &to, text, lifetime, now)
        })?;
        self.message(&id)
    }
}

impl Work<'_> {
    pub(crate) fn write_to_member(
        &mut self,
        row: &ClusterRow,
        to: &MemberId,
        text: &str,
        lifetime: u8,
        now: Now,
    ) -> Result<MessageId, ChatError> {
        check_text(text)?;
        if *to == row.member {
            return Err(ChatError::Usage("that is you: name another member".into()));
        }
        self.leave_to_cluster(row, text, Some(*to), lifetime, now)
    }

    /// Encrypts an aside in the state that we follow. It fails for whoever is no member any more, or has keys that cannot be used.
    pub(crate) fn encrypt_aside(&mut self, row: &ClusterRow, tip: &StateId, waiting: Waiting, now: Now) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Err(ChatError::Bug("cluster without id")) };
        let Waiting { id, nonce, to, text, at, lifetime, claims } = waiting;
        let claim = claims.then(|| self.claim_for(row, &to)).transpose()?;
        let plaintext = Aside { nonce, at, text, claim }.encode();
        let sealed = match self.mls.groups(self.conn, self.rng).encrypt_to(&cluster, tip, &row.member, &to, &plaintext) {
            // Nothing that is wrong with one text keeps others from leaving.
            Err(error) if !matches!(&error, GroupError::State(state) if is_database(state)) => {
                self.conn.execute("UPDATE message SET state = ?2 WHERE id = ?1", (id.0, State::Failed.number()))?;
                self.event(Event::Message(id));
                return Ok(());
            }
            sealed => sealed?,
        };
        let envelope = self.send_message(row, tip, Body::Aside(sealed), &[lifetime], now)?;
        self.conn.prepare_cached("UPDATE message SET state = ?2, envelope = ?3, state_sent = ?4 WHERE id = ?1")?.execute((
            id.0,
            State::Stamping.number(),
            envelope.0,
            tip.0,
        ))?;
        let state = self.shared_state(row.cluster, tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        self.addressed(&id, &[to].into(), &state)?;
        self.event(Event::Message(id));
        Ok(())
    }

    /// What a member says to one of us. Whoever sent it to all must be who sealed it, or one could repeat what another said.
    pub(crate) fn take_aside(
        &mut self,
        row: &ClusterRow,
        at: &StateRow,
        from: &MemberId,
        sealed: &[u8],
        letter: &Letter<'_>,
        now: Now,
    ) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Ok(()) };
        let said = match self.mls.groups(self.conn, self.rng).decrypt_to_us(&cluster, &at.state, sealed) {
            Ok(said) => said,
            Err(GroupError::State(error)) if is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        if said.member != *from {
            return Ok(());
        }
        if let Ok(share) = ShareIn::decode(&said.plaintext) {
            return self.take_share(row, from, &share);
        }
        let Ok(aside) = Aside::decode(&said.plaintext) else { return Ok(()) };
        if let Some(claim) = &aside.claim {
            self.take_claim(row, from, claim, Some(&row.member))?;
        }
        let new = NewRow {
            id: MessageId(aside.id(from)),
            conversation: self.cluster_conversation(row.cluster)?,
            author: &from.to_string(),
            mine: false,
            text: &aside.text,
            at: plausible_time(aside.at, letter.hour, WAITING_HOURS),
            lifetime: 0,
            state: State::Received,
            envelope: Some(letter.id),
            vouched: None,
            aside: Some(row.member.0),
            nonce: Some(aside.nonce),
        };
        if let Some(id) = self.insert(&new, now)? {
            self.show(&id)?;
        }
        // Also of what came before: whoever says it again has not heard that it did.
        self.conn.execute(
            "UPDATE message SET unmarked = ?4 WHERE conversation = ?1 AND author = ?2 AND nonce = ?3 AND mine = 0 AND aside IS NOT NULL",
            (new.conversation, new.author, aside.nonce, MARK_TIMES),
        )?;
        Ok(())
    }
}
