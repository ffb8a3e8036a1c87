//! Groups in memory, for one unit of work.
//!
//! Decoding a group of 200 takes longer than encrypting a message, and writing its secrets as long again. So a unit of work holds
//! the groups it uses, and writes what became of their secrets once: [`Unit::finish`], before its transaction is committed, so that
//! no message is ever durable without the step of the ratchet that it took. Of handshake views only what
//! is as fresh as the vault is held: a Commit is tried on it once, and becomes the view of the state that follows, or is dropped.

use std::{collections::BTreeMap, ops::Deref};

use openmls::group::{DeletePastEpochSecretsError, MlsGroup, PastEpochDeletion};
use rand_core::CryptoRng;
use rusqlite::Connection;

use super::{
    crypto::Crypto,
    error::StateError,
    group::Groups,
    limits::GROUPS_HELD,
    pair::Mls,
    provider::{Provider, Rand},
    storage::Storage,
};
use crate::shelf::{Hands, Shelf};

/// A group as it is in memory.
pub(super) struct Held {
    pub(super) group: MlsGroup,
    /// Its secrets in the database are older.
    pub(super) unsaved: bool,
}

/// Groups that are ready between units of work.
pub(crate) struct Ready(Shelf<Vec<u8>, Held>);

/// What a finished unit gives to [`Ready::keep`] after its commit.
pub(crate) struct Finished(BTreeMap<Vec<u8>, Held>);

/// The cryptography, for one transaction.
pub(crate) struct Unit<'a> {
    mls: &'a Mls,
    held: Hands<'a, Vec<u8>, Held>,
}

impl Default for Ready {
    fn default() -> Self {
        Self(Shelf::new(GROUPS_HELD))
    }
}

impl core::fmt::Debug for Ready {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ready")
    }
}

impl Ready {
    /// The transaction of the unit is committed.
    pub(crate) fn keep(&mut self, finished: Finished) {
        self.0.keep(finished.0);
    }
}

impl<'a> Unit<'a> {
    pub(crate) fn new(mls: &'a Mls, ready: &'a Ready) -> Self {
        Self { mls, held: ready.0.hands() }
    }

    /// The states of all clusters, as [`Mls::groups`] gives them, but what is done to their secrets is written by [`Unit::finish`].
    pub(crate) fn groups<'s>(&'s self, conn: &'s Connection, rng: &'s mut (dyn CryptoRng + Send)) -> Groups<'s> {
        Groups::new(self.mls.libcrux(), conn, Rand::new(rng), Some(&self.held))
    }

    /// Writes what became of the secrets. Without this nothing of the unit may be committed.
    pub(crate) fn finish(self, conn: &Connection, rng: &mut (dyn CryptoRng + Send)) -> Result<Finished, StateError> {
        let rand = Rand::new(rng);
        let mut taken = self.held.into_taken();
        for (namespace, held) in &mut taken {
            let crypto = Crypto { libcrux: self.mls.libcrux(), rand: &rand };
            held.save(&Provider { crypto, storage: Storage::new(conn, namespace) })?;
        }
        Ok(Finished(taken))
    }
}

impl Deref for Unit<'_> {
    type Target = Mls;

    fn deref(&self) -> &Mls {
        self.mls
    }
}

impl Held {
    /// Makes the library write the secrets. It has no call for just that; there are no past epochs to delete.
    pub(super) fn save(&mut self, provider: &Provider<'_, '_>) -> Result<(), StateError> {
        if std::mem::take(&mut self.unsaved) {
            let written = self.group.delete_past_epoch_secrets(provider, PastEpochDeletion::delete_all());
            written.map_err(|DeletePastEpochSecretsError::StorageError(error)| StateError::from(error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use samizdat_cluster::{ClusterId, MemberId, StateId};

    use super::*;
    use crate::mls::{GroupError, MLS_SCHEMA, Plan, storage::Label};

    const CLUSTER: ClusterId = ClusterId([7; 32]);

    struct Person {
        conn: Connection,
        mls: Mls,
        rng: ChaCha20Rng,
        ready: Ready,
        member: MemberId,
    }

    impl Person {
        fn new(seed: u8) -> (Self, Vec<u8>) {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(MLS_SCHEMA).unwrap();
            let (mls, mut rng) = (Mls::new().unwrap(), ChaCha20Rng::from_seed([seed; 32]));
            let keys = mls.groups(&conn, &mut rng).make_keys("somebody").unwrap();
            (Self { conn, mls, rng, ready: Ready::default(), member: keys.member }, keys.bytes)
        }

        /// One transaction, which lasts or is rolled back.
        fn transact<T>(&mut self, lasts: bool, work: impl FnOnce(&Groups<'_>) -> T) -> T {
            let tx = self.conn.transaction().unwrap();
            let unit = Unit::new(&self.mls, &self.ready);
            let result = work(&unit.groups(&tx, &mut self.rng));
            let finished = unit.finish(&tx, &mut self.rng).unwrap();
            if lasts {
                tx.commit().unwrap();
                self.ready.keep(finished);
            }
            result
        }

        fn say(&mut self, lasts: bool, state: &StateId, text: &str) -> Vec<u8> {
            let us = self.member;
            self.transact(lasts, |groups| groups.encrypt(&CLUSTER, state, &us, text.as_bytes()).unwrap())
        }

        fn hear(&mut self, lasts: bool, state: &StateId, message: &[u8]) -> Result<Vec<u8>, GroupError> {
            self.transact(lasts, |groups| groups.decrypt(&CLUSTER, state, message).map(|said| said.plaintext))
        }

        /// As after a crash.
        fn restart(&mut self) {
            self.ready = Ready::default();
        }

        fn secrets(&self) -> Vec<Vec<u8>> {
            let mut rows = self.conn.prepare("SELECT value FROM mls_state WHERE label = ?1 ORDER BY namespace").unwrap();
            rows.query_map([Label::MessageSecrets as i64], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        }
    }

    fn two() -> (Person, Person, StateId) {
        let ((mut alice, own), (mut bob, key_package)) = (Person::new(1), Person::new(2));
        let us = alice.member;
        let keys = crate::mls::MemberKeys { member: us, bytes: own, hash: crate::mls::KeyPackageHash([0; 32]) };
        let plan = Plan { add: vec![key_package], ..Plan::default() };
        let committed = alice.transact(true, |groups| {
            let founded = groups.found(&CLUSTER, &keys, "somebody", b"charter").unwrap();
            groups.commit(&CLUSTER, &founded.state, &us, &plan).unwrap()
        });
        let they = bob.member;
        bob.transact(true, |groups| groups.join(&CLUSTER, &they, &committed.welcome.unwrap()).unwrap());
        (alice, bob, committed.snapshot.state)
    }

    #[test]
    fn a_key_is_spent_when_its_message_lasts_and_never_twice() {
        let (mut alice, mut bob, state) = two();
        for n in 0..6 {
            let text = format!("message {n}");
            // What was rolled back never leaves, and leaves no trace.
            let before = alice.secrets();
            alice.say(false, &state, "never sent");
            assert_eq!(alice.secrets(), before);
            let message = alice.say(true, &state, &text);
            assert_ne!(alice.secrets(), before, "written with the message");
            assert_eq!(bob.hear(false, &state, &message).unwrap(), text.as_bytes());
            assert_eq!(bob.hear(true, &state, &message).unwrap(), text.as_bytes(), "the first time was rolled back");
            assert!(matches!(bob.hear(true, &state, &message), Err(GroupError::Spent)));
            if n % 2 == 0 {
                alice.restart();
                bob.restart();
                assert!(matches!(bob.hear(true, &state, &message), Err(GroupError::Spent)));
            }
        }
    }

    #[test]
    fn many_messages_of_one_unit_are_written_once_and_all_can_be_read() {
        let (mut alice, mut bob, state) = two();
        let us = alice.member;
        let messages: Vec<Vec<u8>> =
            alice.transact(true, |groups| (0..20).map(|n| groups.encrypt(&CLUSTER, &state, &us, &[n]).unwrap()).collect());
        alice.restart();
        let last = alice.say(true, &state, "last");
        assert_eq!(bob.hear(true, &state, &last).unwrap(), b"last");
        let heard = bob.transact(true, |groups| {
            messages.iter().rev().map(|message| groups.decrypt(&CLUSTER, &state, message).unwrap().plaintext).collect::<Vec<_>>()
        });
        assert_eq!(heard, (0..20).rev().map(|n| vec![n]).collect::<Vec<_>>());
    }

    #[test]
    fn a_forgotten_state_is_gone_from_memory_too() {
        let (mut alice, _, state) = two();
        alice.say(true, &state, "in memory");
        alice.transact(true, |groups| groups.forget(&CLUSTER, &state).unwrap());
        let us = alice.member;
        let said = alice.transact(true, |groups| groups.encrypt(&CLUSTER, &state, &us, b"from nowhere"));
        assert!(said.is_err(), "{said:?}");
        assert!(alice.secrets().len() < 4, "only what it was founded with is left");
    }
}
