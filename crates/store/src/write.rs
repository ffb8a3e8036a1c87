//! How a transaction that writes begins.

use std::{path::PathBuf, time::Duration};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::StoreError;

/// How long another program that holds the file is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Begins a transaction that may write. At once for writing: one that has read is not let wait by SQLite. Whoever waits
/// does nothing else, so a program that did not let go (`held`) is not waited for again until it did.
pub(crate) fn begin<'a>(conn: &'a mut Connection, held: &mut bool) -> Result<Transaction<'a>, StoreError> {
    conn.busy_timeout(if *held { Duration::ZERO } else { PATIENCE })?;
    let path = conn.path().map(PathBuf::from);
    let begun = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| match error.into() {
        StoreError::Held(_) => StoreError::Held(path),
        error => error,
    });
    *held = matches!(begun, Err(StoreError::Held(_)));
    begun
}
