//! What can go wrong, by operation.

use super::{codec::CodecError, credential::CredentialError, storage::StorageError};

/// An error of the MLS library, for people who look for a cause; nothing to decide upon.
pub(super) type Library = Box<dyn std::error::Error + Send + Sync>;

/// Our own state is unusable, or the library refused what should have worked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No such pair.
    #[error("there is no such conversation")]
    UnknownPair,
    /// The database, or what is in it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The library refused.
    #[error("the MLS library refused: {0}")]
    Library(#[source] Library),
}

impl StateError {
    pub(super) fn library(error: impl Into<Library>) -> Self {
        Self::Library(error.into())
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<CodecError> for StateError {
    fn from(error: CodecError) -> Self {
        Self::Storage(error.into())
    }
}

/// Why a KeyPackage of somebody else is not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeyPackageError {
    /// Not a KeyPackage, or a longer one than anybody needs.
    #[error("the announced key is malformed")]
    Malformed,
    /// Another suite than ours.
    #[error("the announced key belongs to another suite")]
    Suite,
    /// A signature in it does not verify, or it asks for what we do not support.
    #[error("the announced key is invalid: {0}")]
    Invalid(#[source] Library),
    /// Its leaf does not belong to the identity it names.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// Why a pair could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The other's KeyPackage is not usable.
    #[error(transparent)]
    KeyPackage(#[from] KeyPackageError),
    /// The KeyPackage is our own.
    #[error("a conversation needs somebody else")]
    Oneself,
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a Welcome was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Not a Welcome, or a longer one than two members need.
    #[error("the invitation is malformed")]
    Malformed,
    /// Another suite than ours.
    #[error("the invitation belongs to another suite")]
    Suite,
    /// For none of the keys that this identity still has: it is for somebody else, or too old.
    #[error("the invitation is for a key that this identity does not have")]
    NoKeyPackage,
    /// We have this group already.
    #[error("this invitation was accepted before")]
    Known,
    /// Not a plain group of two: how many members it has.
    #[error("the invitation is not for a conversation of two (it has {0} members)")]
    NotAPair(usize),
    /// Not for the epoch in which a pair begins.
    #[error("the invitation is not for a new conversation")]
    Epoch,
    /// The group demands extensions or outside secrets that a pair has no use for.
    #[error("the invitation demands what a conversation of two does not have")]
    Demands,
    /// A member's leaf does not belong to the identity it names.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Both members are the same identity, or our leaf names another one.
    #[error("the invitation misnames its members")]
    Members,
    /// A signature, key or tag in it is wrong.
    #[error("the invitation is invalid: {0}")]
    Invalid(#[source] Library),
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a ciphertext was not read. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// Not an MLS PrivateMessage, or too long.
    #[error("the message is malformed")]
    Malformed,
    /// Of another group.
    #[error("the message belongs to another conversation")]
    OtherGroup,
    /// We wrote it ourselves.
    #[error("the message is our own")]
    Own,
    /// Of an epoch whose Commit has not arrived: keep it and try again after the next
    /// [`Decrypted::EpochChanged`](super::Decrypted).
    #[error("the message is of epoch {0}, which has not begun here")]
    FutureEpoch(u64),
    /// Of an epoch whose keys are gone, or a Commit for an epoch that is over.
    #[error("the message is of epoch {0}, which is over")]
    PastEpoch(u64),
    /// Its key was used (a replay), fell out of the window, or lies beyond it.
    #[error("the key of this message was used before or is out of reach")]
    Spent,
    /// A Commit by the member whose turn it is not.
    #[error("the other side changed the key out of turn")]
    OutOfTurn,
    /// A proposal, or a Commit that does more than refresh its sender's keys.
    #[error("the other side tried to change the conversation's members or rules")]
    Forbidden,
    /// The new leaf of the committer does not belong to the same identity.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Forged or damaged.
    #[error("the message is forged or damaged: {0}")]
    Invalid(#[source] Library),
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why the keys were not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The other member commits this epoch.
    #[error("it is the other side's turn to change the key")]
    OutOfTurn,
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why something of a cluster was not done or not read. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Not what it should be, or longer than anybody needs.
    #[error("the message is malformed")]
    Malformed,
    /// Of another cluster or another state.
    #[error("the message belongs to another state of the cluster, or to another cluster")]
    Elsewhere,
    /// We wrote it ourselves.
    #[error("the message is our own")]
    Own,
    /// It names a proposal that has not come yet.
    #[error("the change builds on a proposal that has not arrived")]
    MissingProposal,
    /// Its key was used (a replay), fell out of the window, or lies beyond it.
    #[error("the key of this message was used before or is out of reach")]
    Spent,
    /// It does what no member may do, whatever was voted for.
    #[error("a member tried what nobody may: {0}")]
    Forbidden(&'static str),
    /// We have ended this state once: a second Commit would be lying to somebody.
    #[error("this state was ended by us before")]
    Committed,
    /// For none of our keys.
    #[error("the invitation is for a key that we do not have")]
    NoKeyPackage,
    /// Somebody who is to be removed, or asks for something, is no member.
    #[error("there is no such member")]
    NoMember,
    /// The KeyPackage of somebody who is to be added is not usable.
    #[error(transparent)]
    KeyPackage(#[from] KeyPackageError),
    /// A signature, key or tag in it is wrong.
    #[error("the message is forged or damaged: {0}")]
    Invalid(#[source] Library),
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<StorageError> for GroupError {
    fn from(error: StorageError) -> Self {
        Self::State(error.into())
    }
}

impl GroupError {
    pub(super) fn library(error: impl Into<Library>) -> Self {
        Self::State(StateError::library(error))
    }
}
