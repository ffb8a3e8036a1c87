//! OpenMLS state as rows of our own database.
//!
//! One key-value table holds everything, so that MLS state and the caller's rows change in one transaction. A
//! *namespace* is one epoch state of one group (or the private halves of announced KeyPackages): copying it is a
//! snapshot, deleting it forgets all its keys.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    codec::{self, CodecError},
    error::StateError,
    tree,
};

/// The table of this module. `value` is secret: it belongs into the vault, with `PRAGMA secure_delete` on.
pub const MLS_SCHEMA: &str = "CREATE TABLE mls_state (
    namespace BLOB NOT NULL,
    label INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (namespace, label, key)
) STRICT, WITHOUT ROWID";

/// Why MLS state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value cannot be decoded: a damaged database, or one of another version of the MLS library.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Whether there is anything in `namespace`.
pub(super) fn has_namespace(conn: &Connection, namespace: &[u8]) -> Result<bool, StorageError> {
    Ok(conn.prepare_cached("SELECT 1 FROM mls_state WHERE namespace = ?1")?.exists([namespace])?)
}

/// Forgets every row of `namespace`.
pub fn delete_namespace(conn: &Connection, namespace: &[u8]) -> Result<(), StorageError> {
    conn.prepare_cached("DELETE FROM mls_state WHERE namespace = ?1")?.execute([namespace])?;
    Ok(())
}

/// All or nothing, inside whatever transaction the caller has.
pub(super) fn atomically<T, E: From<StateError>>(conn: &Connection, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let run = |sql| conn.execute_batch(sql).map_err(StateError::from);
    run("SAVEPOINT mls")?;
    let result = work();
    run(if result.is_ok() { "RELEASE mls" } else { "ROLLBACK TO mls; RELEASE mls" })?;
    result
}

/// What a row is about. The numbers are in databases: never reuse one.
#[derive(Clone, Copy, Debug)]
#[repr(i64)]
pub(super) enum Label {
    JoinConfig = 1,
    Tree = 2,
    Context = 3,
    InterimTranscriptHash = 4,
    ConfirmationTag = 5,
    GroupState = 6,
    MessageSecrets = 7,
    ResumptionPsks = 8,
    OwnLeafIndex = 9,
    EpochSecrets = 10,
    OwnLeafNodes = 11,
    Proposals = 12,
    SignatureKeyPair = 13,
    EncryptionKeyPair = 14,
    EpochKeyPairs = 15,
    KeyPackage = 16,
    Psk = 17,
    /// Ours: the seed of the leaf's signing key.
    LeafSeed = 64,
    /// Ours: the two identities of a pair, our own first.
    Members = 65,
    /// Ours: a Commit of ours ended this state once.
    Committed = 66,
    /// Ours: the base by which the tree of this state is written.
    TreeBase = 67,
    /// Ours: the hashes of the pieces of a base.
    TreeDigests = 68,
    /// Ours: a state whose tree is written by this base.
    TreeUse = 69,
}

impl Label {
    /// Whether all views of a state have the same.
    fn is_shared(self) -> bool {
        !matches!(self, Self::MessageSecrets | Self::Proposals | Self::OwnLeafNodes | Self::Committed)
    }
}

/// The rows of one namespace, or a copy of them that nobody else sees.
#[derive(Clone, Copy)]
pub(super) enum Storage<'a> {
    /// In the table.
    Table { conn: &'a Connection, namespace: &'a [u8] },
    /// In the table; what is not there and the same for all views is in `base`. That the secrets of messages changed is only noted:
    /// whoever holds the group writes them later.
    Later { conn: &'a Connection, namespace: &'a [u8], base: &'a [u8], unsaved: &'a Cell<bool> },
    /// In memory.
    Copy(&'a Copied),
}

/// The rows of a namespace in memory: what is tried on them leaves no trace until it is kept.
#[derive(Default)]
pub(super) struct Copied {
    rows: RefCell<BTreeMap<RowKey, Zeroizing<Vec<u8>>>>,
    /// Rows of [`Label::Proposals`], not encoded: one is added after the other, and each would be a copy of all.
    proposals: RefCell<BTreeMap<Vec<u8>, Items>>,
    /// By which the tree of the state that was copied is written.
    base: Option<tree::Base>,
    /// Whether the secrets of messages are taken. Before, the library would write them at each step, and each would be written over.
    final_secrets: Cell<bool>,
}

type RowKey = (i64, Vec<u8>);

const WRITTEN_BY_COMMITS: [Label; 2] = [Label::Tree, Label::MessageSecrets];

impl Copied {
    pub(super) fn load(conn: &Connection, namespace: &[u8]) -> Result<Self, StorageError> {
        Self::load_where(conn, namespace, "SELECT label, key, value FROM mls_state WHERE namespace = ?1")
    }

    /// What a group needs that is in memory: without the rows, most of the bytes, that each Commit writes anew.
    pub(super) fn load_beside(conn: &Connection, namespace: &[u8]) -> Result<Self, StorageError> {
        let [tree, secrets] = WRITTEN_BY_COMMITS.map(|label| label as i64);
        let sql = format!("SELECT label, key, value FROM mls_state WHERE namespace = ?1 AND label NOT IN ({tree}, {secrets})");
        Self::load_where(conn, namespace, &sql)
    }

    fn load_where(conn: &Connection, namespace: &[u8], sql: &str) -> Result<Self, StorageError> {
        let mut statement = conn.prepare_cached(sql)?;
        let rows = statement.query_map([namespace], |row| Ok(((row.get(0)?, row.get(1)?), Zeroizing::new(row.get(2)?))))?;
        let mut rows = rows.collect::<Result<BTreeMap<RowKey, Zeroizing<Vec<u8>>>, _>>()?;
        let base = rows.remove(&(Label::TreeBase as i64, Vec::new())).and_then(|base| base.as_slice().try_into().ok());
        for (_, value) in rows.iter_mut().filter(|((label, _), _)| *label == Label::Tree as i64) {
            if let Some(whole) = tree::whole(conn, value)? {
                *value = Zeroizing::new(whole);
            }
        }
        let copied = Self { rows: RefCell::new(rows), base, ..Self::default() };
        copied.rows.borrow_mut().retain(|(label, key), value| {
            let items = (*label == Label::Proposals as i64).then(|| codec::decode(value).ok()).flatten();
            let is_row = items.is_none();
            items.map(|items| copied.proposals.borrow_mut().insert(key.clone(), items));
            is_row
        });
        Ok(copied)
    }

    /// Writes what has a label that is `wanted` to the namespace `to`, where nothing of it is. Proposals are not for another state.
    pub(super) fn keep(&self, conn: &Connection, to: &[u8], wanted: impl Fn(i64) -> bool) -> Result<(), StorageError> {
        let mut insert = conn.prepare_cached("INSERT INTO mls_state VALUES (?1, ?2, ?3, ?4)")?;
        for ((label, key), value) in self.rows.borrow().iter().filter(|((label, _), _)| wanted(*label)) {
            if *label == Label::Tree as i64 {
                tree::keep(conn, to, key, value, self.base.as_ref())?;
            } else {
                insert.execute(params![to, label, key, **value])?;
            }
        }
        Ok(())
    }

    /// From now on the secrets of messages are taken.
    pub(super) fn take_secrets(&self) {
        self.final_secrets.set(true);
    }

    /// Whether it has all that a state is kept with.
    pub(super) fn is_whole(&self) -> bool {
        WRITTEN_BY_COMMITS.iter().all(|wanted| self.rows.borrow().keys().any(|(label, _)| *label == *wanted as i64))
    }

    pub(super) fn leave_out(&self, label: Label) {
        self.rows.borrow_mut().retain(|(of, _), _| *of != label as i64);
    }

    pub(super) fn storage(&self) -> Storage<'_> {
        Storage::Copy(self)
    }
}

impl<'a> Storage<'a> {
    pub(super) fn new(conn: &'a Connection, namespace: &'a [u8]) -> Self {
        Self::Table { conn, namespace }
    }

    pub(super) fn put<K: Serialize, T: Serialize>(&self, label: Label, key: &K, value: &T) -> Result<(), StorageError> {
        if let (Self::Later { unsaved, .. }, Label::MessageSecrets) = (self, label) {
            unsaved.set(true);
            return Ok(());
        }
        if let (Self::Copy(copied), Label::MessageSecrets) = (self, label)
            && !copied.final_secrets.get()
        {
            return Ok(());
        }
        self.put_bytes(label, &codec::encode(key)?, codec::encode(value)?)
    }

    pub(super) fn get<K: Serialize, T: DeserializeOwned>(&self, label: Label, key: &K) -> Result<Option<T>, StorageError> {
        let key = codec::encode(key)?;
        match self {
            Self::Table { conn, namespace } => read(conn, namespace, label, &key),
            Self::Later { conn, namespace, base, .. } => match read(conn, namespace, label, &key)? {
                None if label.is_shared() => read(conn, base, label, &key),
                found => Ok(found),
            },
            Self::Copy(copied) => {
                let rows = copied.rows.borrow();
                Ok(rows.get(&(label as i64, key.to_vec())).map(|value| codec::decode(value)).transpose()?)
            }
        }
    }

    pub(super) fn remove<K: Serialize>(&self, label: Label, key: &K) -> Result<(), StorageError> {
        let key = codec::encode(key)?;
        match self {
            Self::Table { conn, namespace } | Self::Later { conn, namespace, .. } => {
                conn.prepare_cached("DELETE FROM mls_state WHERE namespace = ?1 AND label = ?2 AND key = ?3")?.execute(params![
                    namespace,
                    label as i64,
                    *key
                ])?;
            }
            Self::Copy(copied) => {
                copied.rows.borrow_mut().remove(&(label as i64, key.to_vec()));
                if matches!(label, Label::Proposals) {
                    copied.proposals.borrow_mut().remove(&*key);
                }
            }
        }
        Ok(())
    }

    fn put_bytes(&self, label: Label, key: &[u8], value: Zeroizing<Vec<u8>>) -> Result<(), StorageError> {
        match self {
            Self::Table { conn, namespace } | Self::Later { conn, namespace, .. } => {
                conn.prepare_cached(
                    "INSERT INTO mls_state VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET value = excluded.value",
                )?
                .execute(params![namespace, label as i64, key, *value])?;
            }
            Self::Copy(copied) => {
                copied.rows.borrow_mut().insert((label as i64, key.to_vec()), value);
            }
        }
        Ok(())
    }

    /// A list is one row of separately encoded items (public ones): the trait gives us an item to append, not the list.
    fn items<K: Serialize>(&self, label: Label, key: &K) -> Result<Items, StorageError> {
        if let (Self::Copy(copied), Label::Proposals) = (self, label) {
            return Ok(copied.proposals.borrow().get(&*codec::encode(key)?).cloned().unwrap_or_default());
        }
        Ok(self.get(label, key)?.unwrap_or_default())
    }
}

type Items = Vec<Vec<u8>>;

fn read<T: DeserializeOwned>(conn: &Connection, namespace: &[u8], label: Label, key: &[u8]) -> Result<Option<T>, StorageError> {
    conn.prepare_cached("SELECT value FROM mls_state WHERE namespace = ?1 AND label = ?2 AND key = ?3")?
        .query_row(params![namespace, label as i64, key], |row| {
            let value = row.get_ref(0)?.as_blob()?;
            let whole = if matches!(label, Label::Tree) { tree::whole(conn, value) } else { Ok(None) };
            // Decoded in place, so that no copy of the secret is left behind.
            Ok(whole.and_then(|whole| Ok(codec::decode(whole.as_deref().unwrap_or(value))?)))
        })
        .optional()?
        .transpose()
}

/// One row per group and kind: a setter, a getter and a deleter each.
macro_rules! group_rows {
    ($($label:ident($entity:ident): $write:ident, $read:ident, $delete:ident;)*) => {$(
        fn $write<G: traits::GroupId<CURRENT_VERSION>, T: traits::$entity<CURRENT_VERSION>>(
            &self,
            group: &G,
            value: &T,
        ) -> Result<(), StorageError> {
            self.put(Label::$label, group, value)
        }

        fn $read<G: traits::GroupId<CURRENT_VERSION>, T: traits::$entity<CURRENT_VERSION>>(
            &self,
            group: &G,
        ) -> Result<Option<T>, StorageError> {
            self.get(Label::$label, group)
        }

        fn $delete<G: traits::GroupId<CURRENT_VERSION>>(&self, group: &G) -> Result<(), StorageError> {
            self.remove(Label::$label, group)
        }
    )*};
}

/// The same for objects that are found by a key of their own.
macro_rules! keyed_rows {
    ($($label:ident($key:ident => $entity:ident): $write:ident, $delete:ident;)*) => {$(
        fn $write<K: traits::$key<CURRENT_VERSION>, T: traits::$entity<CURRENT_VERSION>>(
            &self,
            key: &K,
            value: &T,
        ) -> Result<(), StorageError> {
            self.put(Label::$label, key, value)
        }

        fn $delete<K: traits::$key<CURRENT_VERSION>>(&self, key: &K) -> Result<(), StorageError> {
            self.remove(Label::$label, key)
        }
    )*};
}

impl StorageProvider<CURRENT_VERSION> for Storage<'_> {
    type Error = StorageError;

    group_rows! {
        JoinConfig(MlsGroupJoinConfig): write_mls_join_config, mls_group_join_config, delete_group_config;
        Tree(TreeSync): write_tree, tree, delete_tree;
        Context(GroupContext): write_context, group_context, delete_context;
        InterimTranscriptHash(InterimTranscriptHash):
            write_interim_transcript_hash, interim_transcript_hash, delete_interim_transcript_hash;
        ConfirmationTag(ConfirmationTag): write_confirmation_tag, confirmation_tag, delete_confirmation_tag;
        MessageSecrets(MessageSecrets): write_message_secrets, message_secrets, delete_message_secrets;
        ResumptionPsks(ResumptionPskStore):
            write_resumption_psk_store, resumption_psk_store, delete_all_resumption_psk_secrets;
        OwnLeafIndex(LeafNodeIndex): write_own_leaf_index, own_leaf_index, delete_own_leaf_index;
        EpochSecrets(GroupEpochSecrets): write_group_epoch_secrets, group_epoch_secrets, delete_group_epoch_secrets;
    }

    keyed_rows! {
        SignatureKeyPair(SignaturePublicKey => SignatureKeyPair): write_signature_key_pair, delete_signature_key_pair;
        EncryptionKeyPair(EncryptionKey => HpkeKeyPair): write_encryption_key_pair, delete_encryption_key_pair;
        KeyPackage(HashReference => KeyPackage): write_key_package, delete_key_package;
        Psk(PskId => PskBundle): write_psk, delete_psk;
    }

    fn signature_key_pair<K: traits::SignaturePublicKey<CURRENT_VERSION>, T: traits::SignatureKeyPair<CURRENT_VERSION>>(
        &self,
        key: &K,
    ) -> Result<Option<T>, StorageError> {
        self.get(Label::SignatureKeyPair, key)
    }

    fn encryption_key_pair<T: traits::HpkeKeyPair<CURRENT_VERSION>, K: traits::EncryptionKey<CURRENT_VERSION>>(
        &self,
        key: &K,
    ) -> Result<Option<T>, StorageError> {
        self.get(Label::EncryptionKeyPair, key)
    }

    fn key_package<K: traits::HashReference<CURRENT_VERSION>, T: traits::KeyPackage<CURRENT_VERSION>>(
        &self,
        key: &K,
    ) -> Result<Option<T>, StorageError> {
        self.get(Label::KeyPackage, key)
    }

    fn psk<T: traits::PskBundle<CURRENT_VERSION>, K: traits::PskId<CURRENT_VERSION>>(
        &self,
        key: &K,
    ) -> Result<Option<T>, StorageError> {
        self.get(Label::Psk, key)
    }

    fn write_group_state<T: traits::GroupState<CURRENT_VERSION>, G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &G,
        value: &T,
    ) -> Result<(), StorageError> {
        self.put(Label::GroupState, group, value)
    }

    fn group_state<T: traits::GroupState<CURRENT_VERSION>, G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<Option<T>, StorageError> {
        self.get(Label::GroupState, group)
    }

    fn delete_group_state<G: traits::GroupId<CURRENT_VERSION>>(&self, group: &G) -> Result<(), StorageError> {
        self.remove(Label::GroupState, group)
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        T: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf: u32,
        pairs: &[T],
    ) -> Result<(), StorageError> {
        self.put(Label::EpochKeyPairs, &(group, epoch, leaf), &pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        T: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf: u32,
    ) -> Result<Vec<T>, StorageError> {
        Ok(self.get(Label::EpochKeyPairs, &(group, epoch, leaf))?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<CURRENT_VERSION>, E: traits::EpochKey<CURRENT_VERSION>>(
        &self,
        group: &G,
        epoch: &E,
        leaf: u32,
    ) -> Result<(), StorageError> {
        self.remove(Label::EpochKeyPairs, &(group, epoch, leaf))
    }

    fn append_own_leaf_node<G: traits::GroupId<CURRENT_VERSION>, T: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group: &G,
        leaf: &T,
    ) -> Result<(), StorageError> {
        let mut items = self.items(Label::OwnLeafNodes, group)?;
        items.push(codec::encode(leaf)?.to_vec());
        self.put(Label::OwnLeafNodes, group, &items)
    }

    fn own_leaf_nodes<G: traits::GroupId<CURRENT_VERSION>, T: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<Vec<T>, StorageError> {
        let items = self.items(Label::OwnLeafNodes, group)?;
        Ok(items.iter().map(|item| codec::decode(item)).collect::<Result<_, _>>()?)
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<CURRENT_VERSION>>(&self, group: &G) -> Result<(), StorageError> {
        self.remove(Label::OwnLeafNodes, group)
    }

    // Proposals: references and proposals take turns in one list, which keeps their order.

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        T: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        reference: &R,
        proposal: &T,
    ) -> Result<(), StorageError> {
        let pair = [codec::encode(reference)?.to_vec(), codec::encode(proposal)?.to_vec()];
        if let Self::Copy(copied) = self {
            let mut proposals = copied.proposals.borrow_mut();
            let items = proposals.entry(codec::encode(group)?.to_vec()).or_default();
            if !items.iter().step_by(2).any(|queued| pair.first() == Some(queued)) {
                items.extend(pair);
            }
            return Ok(());
        }
        self.remove_proposal(group, reference)?;
        let mut items = self.items(Label::Proposals, group)?;
        items.extend(pair);
        self.put(Label::Proposals, group, &items)
    }

    fn queued_proposal_refs<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<Vec<R>, StorageError> {
        let items = self.items(Label::Proposals, group)?;
        Ok(items.iter().step_by(2).map(|item| codec::decode(item)).collect::<Result<_, _>>()?)
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        T: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
    ) -> Result<Vec<(R, T)>, StorageError> {
        let items = self.items(Label::Proposals, group)?;
        let proposals = items.iter().skip(1).step_by(2).map(|item| codec::decode(item));
        let proposals = proposals.collect::<Result<Vec<T>, _>>()?;
        Ok(self.queued_proposal_refs(group)?.into_iter().zip(proposals).collect())
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group: &G,
        reference: &R,
    ) -> Result<(), StorageError> {
        let reference = codec::encode(reference)?.to_vec();
        let mut kept = self.items(Label::Proposals, group)?.chunks(2).map(<[_]>::to_vec).collect::<Vec<_>>();
        kept.retain(|pair| pair.first() != Some(&reference));
        if let Self::Copy(copied) = self {
            copied.proposals.borrow_mut().insert(codec::encode(group)?.to_vec(), kept.concat());
            return Ok(());
        }
        self.put(Label::Proposals, group, &kept.concat())
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<(), StorageError> {
        self.remove(Label::Proposals, group)
    }
}

#[cfg(test)]
mod tests {
    use openmls::prelude::{GroupId, LeafNodeParameters, MlsGroup, hash_ref::ProposalRef};
    use openmls_libcrux_crypto::CryptoProvider;
    use openmls_traits::OpenMlsProvider;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use samizdat_core::identity::IdentitySecret;

    use super::*;
    use crate::mls::{
        CIPHERSUITE,
        crypto::Crypto,
        keys::LeafSigner,
        provider::{Provider, Rand},
    };

    /// Runs `work` on a database of its own; it opens namespaces as it likes.
    fn with_database(work: impl Fn(&Connection, &dyn for<'n> Fn(&'n [u8], &dyn Fn(&Provider<'_, '_>)))) {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MLS_SCHEMA).unwrap();
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (libcrux, rand) = (CryptoProvider::new().unwrap(), Rand::new(&mut rng));
        work(&conn, &|namespace, inner| {
            inner(&Provider { crypto: Crypto { libcrux: &libcrux, rand: &rand }, storage: Storage::new(&conn, namespace) });
        });
    }

    fn found(provider: &Provider<'_, '_>) -> (MlsGroup, LeafSigner) {
        let signer = LeafSigner::generate(provider.rand()).unwrap();
        let credential = signer.credential(&IdentitySecret::from_seed([1; 32]));
        let group = MlsGroup::builder().with_group_id(id()).ciphersuite(CIPHERSUITE).build(provider, &signer, credential).unwrap();
        signer.store(&provider.storage, &[]).unwrap();
        (group, signer)
    }

    fn id() -> GroupId {
        GroupId::from_slice(b"a group")
    }

    fn reopen(provider: &Provider<'_, '_>) -> MlsGroup {
        MlsGroup::load(&provider.storage, &id()).unwrap().unwrap()
    }

    fn advance(provider: &Provider<'_, '_>) {
        let mut group = reopen(provider);
        let signer = LeafSigner::load(&provider.storage, &[]).unwrap().unwrap();
        group.self_update(provider, &signer, LeafNodeParameters::default()).unwrap();
        group.merge_pending_commit(provider).unwrap();
    }

    #[test]
    fn a_copied_namespace_goes_its_own_way() {
        with_database(|conn, open| {
            open(b"one", &|one| {
                found(one);
                advance(one);
            });
            Copied::load(conn, b"one").unwrap().keep(conn, b"two", |_| true).unwrap();
            open(b"one", &advance);
            open(b"two", &|two| assert_eq!(reopen(two).epoch().as_u64(), 1));
            open(b"two", &advance);
            open(b"one", &|one| {
                open(b"two", &|two| {
                    let (one, two) = (reopen(one), reopen(two));
                    assert_eq!(one.epoch(), two.epoch());
                    assert_ne!(one.confirmation_tag(), two.confirmation_tag(), "a fork");
                });
            });
            delete_namespace(conn, b"one").unwrap();
            open(b"one", &|one| assert!(MlsGroup::load(&one.storage, &id()).unwrap().is_none()));
            open(b"two", &|two| assert_eq!(reopen(two).epoch().as_u64(), 2));
            assert!(Copied::load(conn, b"two").unwrap().keep(conn, b"two", |_| true).is_err(), "only into an empty namespace");
        });
    }

    #[test]
    fn a_pending_commit_and_queued_proposals_survive() {
        with_database(|_, open| {
            open(b"one", &|one| {
                let (mut group, signer) = found(one);
                let (_, first) = group.propose_self_update(one, &signer, LeafNodeParameters::default()).unwrap();
                let (_, second) = group.propose_self_update(one, &signer, LeafNodeParameters::default()).unwrap();
                assert_eq!(reopen(one).pending_proposals().count(), 2);
                let mut group = reopen(one);
                group.remove_pending_proposal(&one.storage, &first).unwrap();
                let left: Vec<ProposalRef> = one.storage.queued_proposal_refs(&id()).unwrap();
                assert_eq!(left, [second]);
                let mut group = reopen(one);
                assert_eq!(group.pending_proposals().count(), 1);
                group.clear_pending_proposals(&one.storage).unwrap();
                assert_eq!(reopen(one).pending_proposals().count(), 0);

                group.self_update(one, &signer, LeafNodeParameters::default()).unwrap();
                let mut group = reopen(one);
                assert!(group.pending_commit().is_some());
                group.merge_pending_commit(one).unwrap();
                assert_eq!(reopen(one).epoch().as_u64(), 1);
            });
        });
    }

    #[test]
    fn a_deleted_group_leaves_only_our_own_row() {
        with_database(|conn, open| {
            open(b"one", &|one| {
                found(one);
                advance(one);
                reopen(one).delete(&one.storage).unwrap();
            });
            let labels: Vec<i64> = conn
                .prepare("SELECT label FROM mls_state")
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(labels, [Label::LeafSeed as i64]);
        });
    }
}
