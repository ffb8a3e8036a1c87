//! What can go wrong when a person asks for something.

use samizdat_core::{link::LinkError, pad::TooLong};
use samizdat_store::StoreError;

use crate::mls::{GroupError, StateError, StorageError};

/// Why something asked for was not done. Nothing of it happened.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The words of the request are off.
    #[error("{0}")]
    Usage(String),
    /// A link or name has a mistake.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The text fits into no envelope.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// There is no such contact, message, request or conversation.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// The vault failed; the transaction was rolled back.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An invariant does not hold.
    #[error("internal error: {0}")]
    Bug(&'static str),
}

impl ChatError {
    /// Whether the vault itself fails, so that the next operation would fail as well.
    pub fn is_vault_failing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_of_the_disk())
    }
}

impl From<rusqlite::Error> for ChatError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            // The database works; a row that must be there is not.
            rusqlite::Error::QueryReturnedNoRows => Self::Bug("a row is missing"),
            error => Self::Store(error.into()),
        }
    }
}

impl From<StateError> for ChatError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Storage(StorageError::Sqlite(error)) => error.into(),
            error => Self::Refused(format!("the keys of this conversation cannot be used: {error}")),
        }
    }
}

impl From<GroupError> for ChatError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::State(error) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// Whether the fault is the database's, which may heal, and not of the bytes that were looked at.
pub(crate) fn is_database(error: &StateError) -> bool {
    matches!(error, StateError::Storage(StorageError::Sqlite(_)))
}
