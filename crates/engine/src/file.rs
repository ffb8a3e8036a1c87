//! The log as a file, for a stick or another node: `samizdat log v1\n`, then for each envelope its length (u32 BE) and
//! its bytes. What is in it comes in through the same door as everything else.

use std::io::{self, Read, Write};

use samizdat_core::{Now, limits::ENVELOPE_MAX};
use samizdat_store::StoreError;

use crate::{
    engine::Engine,
    inbound::{Admitted, Candidate},
};

const MAGIC: &[u8; 16] = b"samizdat log v1\n";
/// Envelopes handled at once.
const BATCH: u32 = 1024;

/// What an import did.
pub type Imported = Admitted;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file.
    #[error("cannot read or write the file: {0}")]
    Io(#[from] io::Error),
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not made by an export.
    #[error("this is not a file of exported envelopes: choose one that `samizdat log export` made")]
    NotALog,
    /// Cut off in the middle.
    #[error("the file ends in the middle of an envelope; {0:?} were taken before")]
    Truncated(Admitted),
}

impl Engine {
    /// Writes everything that is held; how many envelopes.
    pub fn export(&self, to: &mut impl Write) -> Result<u64, FileError> {
        to.write_all(MAGIC)?;
        let (mut row, mut count) = (0, 0u64);
        loop {
            let batch = self.log.after(row, BATCH)?;
            let Some(last) = batch.last() else {
                to.flush()?;
                return Ok(count);
            };
            row = last.row;
            for stored in &batch {
                let length = u32::try_from(stored.bytes.len()).unwrap_or(u32::MAX);
                to.write_all(&length.to_be_bytes())?;
                to.write_all(&stored.bytes)?;
                count = count.saturating_add(1);
            }
        }
    }

    /// Takes in what [`Engine::export`] wrote, wherever.
    pub fn import(&mut self, from: &mut impl Read, now: Now) -> Result<Imported, FileError> {
        let mut magic = [0; MAGIC.len()];
        if from.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(FileError::NotALog);
        }
        let mut total = Admitted::default();
        loop {
            let mut batch = Vec::new();
            let more = read_batch(from, &mut batch);
            let admitted = self.admit(batch, now);
            self.commit(now);
            total.new = total.new.saturating_add(admitted.new);
            total.duplicate = total.duplicate.saturating_add(admitted.duplicate);
            total.refused = total.refused.saturating_add(admitted.refused);
            match more {
                Ok(true) => {}
                Ok(false) => return Ok(total),
                Err(_) => return Err(FileError::Truncated(total)),
            }
        }
    }

    /// Tests every envelope in the log again; how many, and which are damaged.
    pub fn verify_log(&self) -> Result<(u64, Vec<samizdat_core::EnvelopeId>), StoreError> {
        let (mut row, mut checked, mut bad) = (0, 0u64, Vec::new());
        loop {
            let batch = self.log.after(row, BATCH)?;
            let Some(last) = batch.last() else { return Ok((checked, bad)) };
            row = last.row;
            for stored in &batch {
                checked = checked.saturating_add(1);
                if stored.envelope().is_none_or(|envelope| envelope.id() != stored.id) {
                    bad.push(stored.id);
                }
            }
        }
    }
}

/// Whether there may be more.
fn read_batch(from: &mut impl Read, batch: &mut Vec<Candidate>) -> io::Result<bool> {
    for _ in 0..BATCH {
        let mut length = [0; 4];
        let (head, rest) = length.split_at_mut(1);
        if from.read(head)? == 0 {
            return Ok(false);
        }
        from.read_exact(rest)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ENVELOPE_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        batch.push(Candidate { peer: None, bytes });
    }
    Ok(true)
}
