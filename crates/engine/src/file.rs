//! The log as a file, for a stick or another node: `samizdat log v1\n`, then for each envelope its length (u32 BE) and
//! its bytes. What is in it comes in through the same door as everything else.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::Arc,
};

use samizdat_core::{EnvelopeId, Now, limits::ENVELOPE_MAX};
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

/// An import under way. A step is short; whoever has other things to do, does them in between.
#[derive(Debug)]
pub struct Import<R> {
    from: R,
    total: Admitted,
}

impl<R: Read> Import<R> {
    /// Looks at the beginning of the file only.
    pub fn new(mut from: R) -> Result<Self, FileError> {
        let mut magic = [0; MAGIC.len()];
        if from.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(FileError::NotALog);
        }
        Ok(Self { from, total: Admitted::default() })
    }

    /// Takes in the next envelopes; what it came to when all are.
    pub fn step(&mut self, engine: &mut Engine, now: Now) -> Result<Option<Imported>, FileError> {
        let mut batch = Vec::new();
        let more = read_batch(&mut self.from, &mut batch);
        let (admitted, appended) = engine.admit(batch, now);
        engine.commit(now);
        appended?;
        self.total.new = self.total.new.saturating_add(admitted.new);
        self.total.duplicate = self.total.duplicate.saturating_add(admitted.duplicate);
        self.total.refused = self.total.refused.saturating_add(admitted.refused);
        match more {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(self.total)),
            Err(_) => Err(FileError::Truncated(self.total)),
        }
    }
}

/// An export under way, in short steps.
#[derive(Debug)]
pub struct Export<W> {
    to: W,
    row: i64,
    /// Only these, those that are left; otherwise all.
    only: Option<VecDeque<EnvelopeId>>,
    count: u64,
}

impl<W: Write> Export<W> {
    /// Writes the beginning of the file only. All envelopes follow, or only those of `only` that the log holds.
    pub fn new(mut to: W, only: Option<Vec<EnvelopeId>>) -> Result<Self, FileError> {
        to.write_all(MAGIC)?;
        Ok(Self { to, row: 0, only: only.map(VecDeque::from), count: 0 })
    }

    /// Writes the next envelopes; how many there were when all are.
    pub fn step(&mut self, engine: &Engine) -> Result<Option<u64>, FileError> {
        let Some(batch) = self.next_batch(engine)? else {
            self.to.flush()?;
            return Ok(Some(self.count));
        };
        for bytes in &batch {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.to.write_all(&length.to_be_bytes())?;
            self.to.write_all(bytes)?;
            self.count = self.count.saturating_add(1);
        }
        Ok(None)
    }

    fn next_batch(&mut self, engine: &Engine) -> Result<Option<Vec<Arc<[u8]>>>, StoreError> {
        let Some(only) = &mut self.only else {
            let batch = engine.log.after(self.row, BATCH)?;
            let Some(last) = batch.last() else { return Ok(None) };
            self.row = last.row;
            return Ok(Some(batch.into_iter().map(|stored| stored.bytes).collect()));
        };
        let count = only.len().min(BATCH as usize);
        let ids: Vec<EnvelopeId> = only.drain(..count).collect();
        Ok(if ids.is_empty() { None } else { Some(engine.log.get(&ids)?.into_iter().flatten().collect()) })
    }
}

/// A test of everything in the log under way, in short steps.
#[derive(Debug, Default)]
pub struct Verification {
    row: i64,
    checked: u64,
    bad: Vec<EnvelopeId>,
}

impl Verification {
    /// Tests the next envelopes; when all are, how many they were and which are damaged.
    pub fn step(&mut self, engine: &Engine) -> Result<Option<(u64, Vec<EnvelopeId>)>, StoreError> {
        let batch = engine.log.after(self.row, BATCH)?;
        let Some(last) = batch.last() else { return Ok(Some((self.checked, std::mem::take(&mut self.bad)))) };
        self.row = last.row;
        for stored in &batch {
            self.checked = self.checked.saturating_add(1);
            if stored.envelope().is_none_or(|envelope| envelope.id() != stored.id) {
                self.bad.push(stored.id);
            }
        }
        Ok(None)
    }
}

impl Engine {
    /// Writes everything that is held; how many envelopes.
    pub fn export(&self, to: &mut impl Write) -> Result<u64, FileError> {
        let mut export = Export::new(to, None)?;
        loop {
            if let Some(count) = export.step(self)? {
                return Ok(count);
            }
        }
    }

    /// Takes in what [`Engine::export`] wrote, wherever.
    pub fn import(&mut self, from: &mut impl Read, now: Now) -> Result<Imported, FileError> {
        let mut import = Import::new(from)?;
        loop {
            if let Some(imported) = import.step(self, now)? {
                return Ok(imported);
            }
        }
    }

    /// Tests every envelope in the log again; how many, and which are damaged.
    pub fn verify_log(&self) -> Result<(u64, Vec<EnvelopeId>), StoreError> {
        let mut verification = Verification::default();
        loop {
            if let Some(result) = verification.step(self)? {
                return Ok(result);
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
