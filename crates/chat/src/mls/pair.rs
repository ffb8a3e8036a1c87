//! A group of two: found it, join it, talk in it, refresh its keys.
//!
//! **Rotation without forks.** Epoch `e` may be ended only by the member of rank `e mod 2`, the ranks being the order of
//! the two identity keys. So two Commits for one epoch cannot exist, and nobody can be more than one epoch ahead of the
//! other. The price: a Commit that never arrives stops rotation, so its author keeps its bytes and sends them again
//! until something of the new epoch comes back.

use core::fmt;

use openmls::{
    framing::errors::MessageDecryptionError,
    group::{
        GroupContext, GroupId, MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProcessMessageError,
        ProcessedWelcome, StagedCommit, StagedWelcome, ValidationError, WelcomeError,
    },
    prelude::{
        MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent, SenderRatchetConfiguration, Welcome, tls_codec::DeserializeBytes,
    },
};
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::{OpenMlsProvider, random::OpenMlsRand, storage::StorageProvider};
use rand_core::CryptoRng;
use rusqlite::Connection;
use samizdat_core::identity::{IdentityKey, IdentitySecret};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    CIPHERSUITE,
    credential::verify_leaf,
    crypto::Crypto,
    error::{CreateError, DecryptError, JoinError, KeyPackageError, RotateError, StateError},
    group::Groups,
    keys::{self, Inspected, KeyPackage, KeyPackageHash, LeafSigner},
    limits::{MAX_CIPHERTEXT, MAX_FORWARD, MAX_WELCOME, OUT_OF_ORDER, PAST_EPOCHS},
    member::{self, InspectedMember},
    provider::{Provider, Rand},
    storage::{Label, Storage, StorageError, atomically, delete_namespace},
};

const OUTER_LABEL: &str = "samizdat outer v1";
/// Whoever is invited into a new pair enters it here: founding it is epoch 0, the Commit that adds the other ends that.
const FIRST_EPOCH: u64 = 1;
const SESSION_LABEL: &str = "samizdat session v1";

/// The cryptography. Holds no state of any conversation; one per process is enough.
pub struct Mls {
    libcrux: CryptoProvider,
}

impl Mls {
    /// Fails when the operating system has no randomness to give.
    pub fn new() -> Result<Self, StateError> {
        let libcrux = CryptoProvider::new().map_err(StateError::library)?;
        Ok(Self { libcrux })
    }

    /// Checks a KeyPackage from an announcement: form, suite, signatures and credential. How fresh it is, the
    /// announcement says.
    pub fn inspect_key_package(&self, bytes: &[u8]) -> Result<Inspected, KeyPackageError> {
        Ok(keys::verify(bytes, &self.libcrux)?.1)
    }

    /// Opens the states of all clusters in the database behind `conn` for one piece of work.
    pub fn groups<'a>(&'a self, conn: &'a Connection, rng: &'a mut (dyn CryptoRng + Send)) -> Groups<'a> {
        Groups::new(&self.libcrux, conn, Rand::new(rng), None)
    }

    pub(super) fn libcrux(&self) -> &CryptoProvider {
        &self.libcrux
    }

    /// Checks a KeyPackage by which somebody asks to become a member: form, suite, signatures, nickname.
    pub fn inspect_member(&self, bytes: &[u8]) -> Result<InspectedMember, KeyPackageError> {
        Ok(member::verify(bytes, &self.libcrux)?.1)
    }

    /// Opens the pairs in the database behind `conn` (a `&*transaction` is one) for one piece of work.
    pub fn pairs<'a>(&'a self, conn: &'a Connection, rng: &'a mut (dyn CryptoRng + Send)) -> Pairs<'a> {
        Pairs { libcrux: &self.libcrux, conn, rand: Rand::new(rng) }
    }
}

impl fmt::Debug for Mls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mls")
    }
}

/// Names one pair: its MLS group id, random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairId(pub [u8; 16]);

impl PairId {
    fn group(&self) -> GroupId {
        GroupId::from_slice(&self.0)
    }

    fn namespace(&self) -> Vec<u8> {
        [b"pair".as_slice(), &self.0].concat()
    }
}

impl fmt::Debug for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairId(..)")
    }
}

/// A pair that we founded.
#[derive(Debug, Clone)]
pub struct Created {
    /// The new pair, in its epoch 1.
    pub pair: PairId,
    /// For the other member, about 4 KiB; nothing else is needed to join.
    pub welcome: Vec<u8>,
    /// The other member.
    pub peer: IdentityKey,
    /// Which of the other's KeyPackages was used.
    pub key_package: KeyPackageHash,
}

/// A pair that somebody else founded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The pair.
    pub pair: PairId,
    /// Who founded it.
    pub peer: IdentityKey,
    /// Which of our KeyPackages was used.
    pub key_package: KeyPackageHash,
}

/// What was inside a ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decrypted {
    /// A message.
    Application {
        /// The other member, proven by its leaf's signature.
        sender: IdentityKey,
        /// The epoch it was written in: the current one or one of the last [`PAST_EPOCHS`].
        epoch: u64,
        /// What the other side encrypted.
        plaintext: Vec<u8>,
    },
    /// The other member refreshed the keys.
    EpochChanged {
        /// The epoch that began.
        epoch: u64,
    },
}

/// A secret both members can derive in one epoch, and nobody else.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Exported {
    /// The epoch.
    pub epoch: u64,
    /// The secret.
    pub secret: [u8; 32],
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// All pairs of a database, with what it takes to work on them.
pub struct Pairs<'a> {
    libcrux: &'a CryptoProvider,
    conn: &'a Connection,
    rand: Rand<'a>,
}

impl<'a> Pairs<'a> {
    /// Makes a KeyPackage to announce. It is a last-resort one: any number of people may use it, until it is forgotten.
    /// Replace it weekly and forget it two weeks after that: whoever steals the device can read the first messages of
    /// those who used a KeyPackage that is still there.
    pub fn make_key_package(&self, us: &IdentitySecret) -> Result<KeyPackage, StateError> {
        let namespace = keys::key_namespace(&us.key());
        self.atomically(|| keys::make(&self.provider(&namespace), us))
    }

    /// Forgets the private halves of a KeyPackage. Pairs that began with it go on.
    pub fn forget_key_package(&self, us: &IdentityKey, hash: &KeyPackageHash) -> Result<(), StateError> {
        let namespace = keys::key_namespace(us);
        self.atomically(|| Ok(keys::forget(&self.storage(&namespace), hash)?))
    }

    /// Founds a pair with the owner of `key_package`, who need not be there.
    pub fn create(&self, us: &IdentitySecret, key_package: &[u8]) -> Result<Created, CreateError> {
        let (package, Inspected { hash, identity: peer }) = keys::verify(key_package, self.libcrux)?;
        if peer == us.key() {
            return Err(CreateError::Oneself);
        }
        let pair = PairId(self.rand.random_array().map_err(StateError::library)?);
        let namespace = pair.namespace();
        self.atomically(|| {
            let provider = self.provider(&namespace);
            let signer = LeafSigner::generate(&self.rand)?;
            signer.store(&provider.storage, &[])?;
            Members { us: us.key(), peer }.store(&provider.storage)?;
            let mut group = MlsGroup::builder()
                .with_group_id(pair.group())
                .ciphersuite(CIPHERSUITE)
                .with_capabilities(keys::capabilities())
                .lifetime(keys::unlimited())
                .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
                .use_ratchet_tree_extension(true)
                .sender_ratchet_configuration(ratchet())
                .max_past_epochs(PAST_EPOCHS)
                .build(&provider, &signer, signer.credential(us))
                .map_err(StateError::library)?;
            // The Commit is for members, and there is none but us: the Welcome says it all.
            let (_, welcome, _) = group.add_members_without_update(&provider, &signer, &[package]).map_err(StateError::library)?;
            group.merge_pending_commit(&provider).map_err(StateError::library)?;
            let welcome = welcome.to_bytes().map_err(StateError::library)?;
            Ok(Created { pair, welcome, peer, key_package: hash })
        })
    }

    /// Joins the pair that `welcome` is for, as `us` and as nobody else.
    pub fn join(&self, us: &IdentityKey, welcome: &[u8]) -> Result<Joined, JoinError> {
        let welcome = parse_welcome(welcome).ok_or(JoinError::Malformed)?;
        if welcome.ciphersuite() != CIPHERSUITE {
            return Err(JoinError::Suite);
        }
        self.atomically(|| {
            let keys_at = keys::key_namespace(us);
            let keys = self.provider(&keys_at);
            let processed = ProcessedWelcome::new_from_welcome(&keys, &join_config(), welcome).map_err(join_error)?;
            if !processed.psks().is_empty() {
                return Err(JoinError::Demands);
            }
            let hash = processed.own_key_package().and_then(|own| keys::hash(own, self.libcrux));
            let hash = hash.ok_or(JoinError::NoKeyPackage)?;
            let signer = LeafSigner::load(&keys.storage, &hash.0)?.ok_or(JoinError::NoKeyPackage)?;
            // The founder chooses it, and a huge one could not be counted on from, nor kept in a row.
            if processed.unverified_group_info().epoch().as_u64() != FIRST_EPOCH {
                return Err(JoinError::Epoch);
            }
            let id = processed.unverified_group_info().group_id().as_slice().try_into();
            let pair = PairId(id.map_err(|_| JoinError::Malformed)?);

            let namespace = pair.namespace();
            let provider = self.provider(&namespace);
            let staged = processed.into_staged_welcome(&provider, None).map_err(join_error)?;
            let peer = check_members(&staged, us)?;
            staged.into_group(&provider).map_err(join_error)?;
            signer.store(&provider.storage, &[])?;
            Members { us: *us, peer }.store(&provider.storage)?;
            Ok(Joined { pair, peer, key_package: hash })
        })
    }

    /// Encrypts for the other member: a PrivateMessage, 146 bytes longer than `plaintext`. Pad before, and publish only
    /// after the transaction is committed.
    pub fn encrypt(&self, pair: &PairId, plaintext: &[u8]) -> Result<Vec<u8>, StateError> {
        let namespace = pair.namespace();
        self.atomically(|| {
            let provider = self.provider(&namespace);
            let mut group = load(&provider.storage, pair)?;
            let signer = signer(&provider.storage)?;
            let message = group.create_message(&provider, &signer, plaintext).map_err(StateError::library)?;
            message.to_bytes().map_err(StateError::library)
        })
    }

    /// Reads what the other member sent, be it a message or a Commit. The key of a message is gone with the commit of
    /// the transaction.
    pub fn decrypt(&self, pair: &PairId, ciphertext: &[u8]) -> Result<Decrypted, DecryptError> {
        if ciphertext.len() > MAX_CIPHERTEXT {
            return Err(DecryptError::Malformed);
        }
        let message = MlsMessageIn::tls_deserialize_exact_bytes(ciphertext).map_err(|_| DecryptError::Malformed)?;
        let MlsMessageBodyIn::PrivateMessage(message) = message.extract() else {
            return Err(DecryptError::Malformed);
        };
        if *message.group_id() != pair.group() {
            return Err(DecryptError::OtherGroup);
        }
        let namespace = pair.namespace();
        self.atomically(|| {
            let provider = self.provider(&namespace);
            let mut group = load(&provider.storage, pair)?;
            let (current, epoch) = (group.epoch().as_u64(), message.epoch().as_u64());
            if epoch > current {
                return Err(DecryptError::FutureEpoch(epoch));
            }
            if epoch.saturating_add(PAST_EPOCHS as u64) < current {
                return Err(DecryptError::PastEpoch(epoch));
            }
            let members = Members::load(&provider.storage)?;
            let processed = group.process_message(&provider, message).map_err(|e| decrypt_error(e, epoch))?;
            // The sender is a member and not us, so it is the other one.
            match processed.into_content() {
                ProcessedMessageContent::ApplicationMessage(message) => {
                    Ok(Decrypted::Application { sender: members.peer, epoch, plaintext: message.into_bytes() })
                }
                ProcessedMessageContent::StagedCommitMessage(commit) => {
                    if members.is_our_turn(current) {
                        return Err(DecryptError::OutOfTurn);
                    }
                    check_rotation(&commit, &members.peer)?;
                    group.merge_staged_commit(&provider, *commit).map_err(StateError::library)?;
                    Ok(Decrypted::EpochChanged { epoch: group.epoch().as_u64() })
                }
                ProcessedMessageContent::OwnPrivateMessage | ProcessedMessageContent::OwnPendingCommit => Err(DecryptError::Own),
                ProcessedMessageContent::ProposalMessage(_) | ProcessedMessageContent::ExternalJoinProposalMessage(_) => {
                    Err(DecryptError::Forbidden)
                }
            }
        })
    }

    /// Whether it is our turn to rotate.
    pub fn may_rotate(&self, pair: &PairId) -> Result<bool, StateError> {
        let namespace = pair.namespace();
        let members = Members::load(&self.storage(&namespace))?;
        Ok(members.is_our_turn(self.epoch(pair)?))
    }

    /// Refreshes our keys and begins the next epoch at once. Returns the Commit for the other member, about 4 KiB;
    /// until something of the new epoch comes back, keep it and send it again.
    pub fn rotate(&self, pair: &PairId) -> Result<Vec<u8>, RotateError> {
        if !self.may_rotate(pair)? {
            return Err(RotateError::OutOfTurn);
        }
        let namespace = pair.namespace();
        self.atomically(|| {
            let provider = self.provider(&namespace);
            let mut group = load(&provider.storage, pair)?;
            let signer = signer(&provider.storage)?;
            let commit = group
                .commit_builder()
                .force_self_update(true)
                .load_psks(&provider.storage)
                .map_err(StateError::library)?
                .create_group_info(false)
                .build(provider.rand(), provider.crypto(), &signer, |_| false)
                .map_err(StateError::library)?
                .stage_commit(&provider)
                .map_err(StateError::library)?
                .into_commit();
            group.merge_pending_commit(&provider).map_err(StateError::library)?;
            Ok(commit.to_bytes().map_err(StateError::library)?)
        })
    }

    /// The current epoch.
    pub fn epoch(&self, pair: &PairId) -> Result<u64, StateError> {
        let namespace = pair.namespace();
        let context: Option<GroupContext> = self.storage(&namespace).group_context(&pair.group())?;
        Ok(context.ok_or(StateError::UnknownPair)?.epoch().as_u64())
    }

    /// The other member.
    pub fn peer(&self, pair: &PairId) -> Result<IdentityKey, StateError> {
        let namespace = pair.namespace();
        Ok(Members::load(&self.storage(&namespace))?.peer)
    }

    /// The secret of the current epoch for the outer envelope (tags and AEAD). Whoever wants to recognise late messages
    /// keeps those of past epochs.
    pub fn outer(&self, pair: &PairId) -> Result<Exported, StateError> {
        self.export(pair, OUTER_LABEL)
    }

    /// The secret of the current epoch that keys the handshake of a contact session.
    pub fn session(&self, pair: &PairId) -> Result<Exported, StateError> {
        self.export(pair, SESSION_LABEL)
    }

    /// Forgets a pair with all its keys.
    pub fn delete(&self, pair: &PairId) -> Result<(), StateError> {
        Ok(delete_namespace(self.conn, &pair.namespace())?)
    }

    fn export(&self, pair: &PairId, label: &str) -> Result<Exported, StateError> {
        let namespace = pair.namespace();
        let group = load(&self.storage(&namespace), pair)?;
        let mut bytes = group.export_secret(self.libcrux, label, &[], 32).map_err(StateError::library)?;
        let secret = bytes.as_slice().try_into().map_err(|_| StateError::library("wrong length of a secret"))?;
        bytes.zeroize();
        Ok(Exported { epoch: group.epoch().as_u64(), secret })
    }

    fn storage<'s>(&'s self, namespace: &'s [u8]) -> Storage<'s> {
        Storage::new(self.conn, namespace)
    }

    fn provider<'s>(&'s self, namespace: &'s [u8]) -> Provider<'s, 'a> {
        Provider { crypto: Crypto { libcrux: self.libcrux, rand: &self.rand }, storage: self.storage(namespace) }
    }

    fn atomically<T, E: From<StateError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        atomically(self.conn, work)
    }
}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pairs")
    }
}

struct Members {
    us: IdentityKey,
    peer: IdentityKey,
}

impl Members {
    fn store(&self, storage: &Storage<'_>) -> Result<(), StateError> {
        Ok(storage.put(Label::Members, &(), &[self.us.0, self.peer.0])?)
    }

    fn load(storage: &Storage<'_>) -> Result<Self, StateError> {
        let members: Option<[[u8; 32]; 2]> = storage.get(Label::Members, &())?;
        let [us, peer] = members.ok_or(StateError::UnknownPair)?.map(IdentityKey);
        Ok(Self { us, peer })
    }

    fn is_our_turn(&self, epoch: u64) -> bool {
        let our_rank = u64::from(self.us > self.peer);
        epoch % 2 == our_rank
    }
}

fn load(storage: &Storage<'_>, pair: &PairId) -> Result<MlsGroup, StateError> {
    MlsGroup::load(storage, &pair.group())?.ok_or(StateError::UnknownPair)
}

fn signer(storage: &Storage<'_>) -> Result<LeafSigner, StateError> {
    LeafSigner::load(storage, &[])?.ok_or(StateError::UnknownPair)
}

pub(super) fn ratchet() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(OUT_OF_ORDER, MAX_FORWARD)
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(ratchet())
        .max_past_epochs(PAST_EPOCHS)
        .build()
}

fn parse_welcome(bytes: &[u8]) -> Option<Welcome> {
    if bytes.len() > MAX_WELCOME {
        return None;
    }
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?.extract() {
        MlsMessageBodyIn::Welcome(welcome) => Some(welcome),
        _ => None,
    }
}

/// Exactly two members, whose leaves belong to two identities, of which we are one. Returns the other.
fn check_members(staged: &StagedWelcome, us: &IdentityKey) -> Result<IdentityKey, JoinError> {
    if staged.group_context().extensions().iter().next().is_some() {
        return Err(JoinError::Demands);
    }
    let mut members = staged.members();
    let (Some(first), Some(second), None) = (members.next(), members.next(), members.next()) else {
        return Err(JoinError::NotAPair(staged.members().count()));
    };
    let (own, other) = if first.index == staged.own_leaf_index() { (first, second) } else { (second, first) };
    let own = verify_leaf(own.credential.serialized_content(), &own.signature_key)?;
    let peer = verify_leaf(other.credential.serialized_content(), &other.signature_key)?;
    if own != *us || peer == *us { Err(JoinError::Members) } else { Ok(peer) }
}

/// A Commit may refresh the keys of its sender, and nothing else.
fn check_rotation(commit: &StagedCommit, peer: &IdentityKey) -> Result<(), DecryptError> {
    if commit.queued_proposals().next().is_some() {
        return Err(DecryptError::Forbidden);
    }
    let leaf = commit.update_path_leaf_node().ok_or(DecryptError::Forbidden)?;
    let owner = verify_leaf(leaf.credential().serialized_content(), leaf.signature_key().as_slice())?;
    if owner == *peer { Ok(()) } else { Err(DecryptError::Forbidden) }
}

fn join_error(error: WelcomeError<StorageError>) -> JoinError {
    match error {
        WelcomeError::NoMatchingKeyPackage | WelcomeError::JoinerSecretNotFound => JoinError::NoKeyPackage,
        WelcomeError::GroupAlreadyExists => JoinError::Known,
        WelcomeError::StorageError(error) => JoinError::State(error.into()),
        error => JoinError::Invalid(error.into()),
    }
}

fn decrypt_error(error: ProcessMessageError<StorageError>, epoch: u64) -> DecryptError {
    match error {
        ProcessMessageError::StorageError(error) => DecryptError::State(error.into()),
        ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(
            MessageDecryptionError::SecretTreeError(_) | MessageDecryptionError::GenerationOutOfBound,
        )) => DecryptError::Spent,
        ProcessMessageError::ValidationError(ValidationError::NoPastEpochData | ValidationError::WrongEpoch) => {
            DecryptError::PastEpoch(epoch)
        }
        error => DecryptError::Invalid(error.into()),
    }
}
