//! Groups of two and of many on OpenMLS (RFC 9420), in our own database.
//!
//! A direct chat is an MLS group of two ([`Pairs`]), a cluster one of many ([`Groups`]). All that goes over the wire is bytes, all that is kept is rows of
//! [`MLS_SCHEMA`], and no type of the library leaves this folder, so that an upgrade touches nothing else.
//!
//! * [`Mls`] holds the cryptography, once per process. [`Mls::pairs`] joins it with an open transaction and a source of
//!   randomness for one piece of work.
//! * Every operation is atomic by a savepoint: when it fails, the database is as before. What it did becomes lasting
//!   only with the caller's transaction, so **publish what [`Pairs::encrypt`] or [`Pairs::rotate`] returned only after
//!   the commit**: after a rollback the same message key is used again.
//! * The suite is pinned in one place, [`SUITE`]. Its code point is a draft, so it may have to be renumbered: whoever
//!   writes a group header puts that number into it, and a change is a new group.

use openmls::prelude::Ciphersuite;

mod aside;
mod codec;
mod credential;
mod crypto;
mod error;
mod group;
mod keys;
pub mod limits;
mod member;
mod pair;
mod provider;
mod storage;
mod tree;
mod unique;
mod unit;
#[cfg(feature = "watch")]
pub mod watch;

pub use codec::CodecError;
pub use credential::{CredentialError, verify_leaf};
pub use error::{CreateError, DecryptError, GroupError, JoinError, KeyPackageError, RotateError, StateError};
pub use group::{Changed, Committed, Groups, Leaf, Made, Plan, Processed, Said, Snapshot};
pub use keys::{Inspected, KeyPackage, KeyPackageHash};
pub use member::{InspectedMember, MemberKeys};
pub use pair::{Created, Decrypted, Exported, Joined, Mls, PairId, Pairs};
pub use storage::{MLS_SCHEMA, StorageError, delete_namespace};
pub use unique::{OwnKeys, Taken};
pub(crate) use unit::{Finished, Ready, Unit};

/// Code point of the only suite: X-Wing (X25519 and ML-KEM-768), ChaCha20-Poly1305, SHA-256, Ed25519.
pub const SUITE: u16 = 0x004D;

const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;
const _: () = assert!(CIPHERSUITE as u16 == SUITE);
