//! Durable state in SQLite: the log that is replicated, and the vault that never leaves this machine.
//!
//! The log takes verified envelopes only ([`samizdat_core::Envelope`]); there is no way to append bytes. It is an ordinary
//! SQLite file that a person can open with `sqlite3`. The vault is encrypted as a whole (SQLCipher).

pub mod home;
pub mod limits;
pub mod log;
pub mod migrate;
pub mod vault;
mod write;

pub use home::Home;
pub use log::{Appended, Log};
pub use rusqlite;
pub use vault::Vault;

use std::path::PathBuf;

/// Why a database cannot be opened. Shown to people.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works with it.
    #[error("{0} is in use by another program: stop the other node, or choose another --home")]
    InUse(PathBuf),
    /// Not readable as a database.
    #[error(
        "{0} is damaged: move it away and start again (the network still has what others wrote; a lost vault is a lost identity)"
    )]
    Corrupt(PathBuf),
    /// Written by a later version.
    #[error("{path} was written by a newer samizdat (layout {found}, this program knows {known}): update the program")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Layout in the file.
        found: usize,
        /// Newest layout that this program knows.
        known: usize,
    },
    /// The vault has a passphrase and none was given.
    #[error("the vault is locked with a passphrase: give it with SAMIZDAT_PASSPHRASE or --passphrase-file")]
    NeedsPassphrase,
    /// The passphrase does not open the vault.
    #[error("this passphrase does not open the vault: try again")]
    WrongPassphrase,
    /// Files cannot be created or read.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database says something else.
    #[error("cannot open {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// Why something was not stored. The transaction was rolled back: nothing of it is there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space left.
    #[error("the disk is full: free some space; nothing was lost and writing goes on by itself")]
    Full,
    /// Another program holds the file, for longer than we wait.
    #[error(
        "another program holds the database{}: close it; nothing was lost and writing goes on by itself",
        .0.as_deref().map(|path| format!(" at {}", path.display())).unwrap_or_default()
    )]
    Held(Option<PathBuf>),
    /// The file was damaged while open.
    #[error("the database is damaged: stop the node and run `samizdat log verify`")]
    Corrupt,
    /// Anything else from SQLite.
    #[error("database: {0}")]
    Database(rusqlite::Error),
}

impl StoreError {
    /// Whether the disk or the system is the trouble, and not what was to be written: later it may work.
    pub fn is_of_the_disk(&self) -> bool {
        use rusqlite::ErrorCode::*;
        match self {
            Self::Full | Self::Held(_) | Self::Corrupt => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    SystemIoFailure
                        | DatabaseLocked
                        | OutOfMemory
                        | ReadOnly
                        | CannotOpen
                        | PermissionDenied
                        | FileLockingProtocolFailed
                )
            ),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::DatabaseBusy) => Self::Held(None),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Self::Corrupt,
            _ => Self::Database(error),
        }
    }
}

impl OpenError {
    fn database(path: &std::path::Path, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::InUse(path.into()),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Self::Corrupt(path.into()),
            _ => Self::Database { path: path.into(), source },
        }
    }

    fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.into(), source }
    }
}
