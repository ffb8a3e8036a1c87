//! The bytes of questions and answers, in deterministic CBOR as in [`crate::codec`]; docs/protocol/routing.md.
//!
//! What was received ends in `In`. Its records become records only by [`QuestionIn::verify`] and [`AnswerIn::verify`].

use core::convert::Infallible;
use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use samizdat_core::limits::RECORD_MAX;
use samizdat_core::{NodeRecord, NodeRecordIn};
use sha2::{Digest, Sha256};

use super::event::{Answer, Question};
use super::key::Key;
use crate::codec::FrameError;
use crate::limits::{ANSWER_MAX, CLOSER_MAX, QUESTION_MAX, VERIFIED_MAX};

/// Bytes where a record is expected, at most [`RECORD_MAX`]; perhaps not even the shape of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordBytes(Vec<u8>);

/// A question as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuestionIn {
    record: Option<RecordBytes>,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Find(Key),
    Store(RecordBytes),
}

/// An answer as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnswerIn {
    /// To a find: the record at the position, and those close to it.
    Nodes(Option<RecordBytes>, Vec<RecordBytes>),
    /// To a store.
    Stored(bool),
}

impl QuestionIn {
    /// A question to send, with the record of the asker if it can be dialled.
    pub fn of(record: Option<&NodeRecord>, question: &Question) -> Self {
        let what = match question {
            Question::Find { target } => What::Find(*target),
            Question::Store { record } => What::Store(RecordBytes::of(record)),
        };
        Self { record: record.map(RecordBytes::of), what }
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    /// Reads a question.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        canonical(bytes, QUESTION_MAX, Self::read, Self::encode)
    }

    /// What is asked, and the record of the asker. `None` if it is to store what is no record now; the record of the asker is
    /// left out if it is none.
    pub fn verify(self, verified: &mut Verified, unix_s: u64) -> Option<(Option<Arc<NodeRecord>>, Question)> {
        let question = match self.what {
            What::Find(target) => Question::Find { target },
            What::Store(record) => Question::Store { record: verified.verify(&record, unix_s)? },
        };
        Some((self.record.and_then(|record| verified.verify(&record, unix_s)), question))
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        let kind = if matches!(self.what, What::Find(_)) { 1 } else { 2 };
        e.array(3)?.u8(kind)?;
        write_record(e, self.record.as_ref())?;
        match &self.what {
            What::Find(target) => e.bytes(&target.to_bytes())?.ok(),
            What::Store(record) => e.bytes(&record.0)?.ok(),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        let fields = d.array()?.ok_or(FrameError::NotCanonical)?;
        let kind = d.u8()?;
        match (kind, fields) {
            (1, 3) => {
                let record = read_record(d)?;
                let target = d.bytes()?.try_into().map_err(|_| FrameError::Malformed)?;
                Ok(Self { record, what: What::Find(Key::from_bytes(target)) })
            }
            (2, 3) => Ok(Self { record: read_record(d)?, what: What::Store(RecordBytes::read(d)?) }),
            (1 | 2, _) => Err(FrameError::Malformed),
            (other, _) => Err(FrameError::UnknownType(other)),
        }
    }
}

impl AnswerIn {
    /// An answer to send.
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Nodes { found, closer } => Self::Nodes(
                found.as_ref().map(|record| RecordBytes::of(record)),
                closer.iter().take(CLOSER_MAX).map(|record| RecordBytes::of(record)).collect(),
            ),
            Answer::Stored(kept) => Self::Stored(*kept),
        }
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    /// Reads an answer; never allocates more than a small multiple of the input.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        canonical(bytes, ANSWER_MAX, Self::read, Self::encode)
    }

    /// When the records in it say that they were issued, seconds since 1970, whether they hold now or not.
    pub fn issued(&self) -> Vec<u64> {
        let Self::Nodes(found, closer) = self else { return Vec::new() };
        let records = found.iter().chain(closer).filter_map(|record| NodeRecordIn::decode(&record.0).ok());
        records.map(|record| record.claimed_issued()).collect()
    }

    /// What is answered, without what is no record now.
    pub fn verify(self, verified: &mut Verified, unix_s: u64) -> Answer {
        match self {
            Self::Nodes(found, closer) => Answer::Nodes {
                found: found.and_then(|record| verified.verify(&record, unix_s)),
                closer: closer.iter().filter_map(|record| verified.verify(record, unix_s)).collect(),
            },
            Self::Stored(kept) => Answer::Stored(kept),
        }
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        match self {
            Self::Nodes(found, closer) => {
                e.array(3)?.u8(1)?;
                write_record(e, found.as_ref())?;
                e.array(closer.len() as u64)?;
                closer.iter().try_for_each(|record| e.bytes(&record.0)?.ok())
            }
            Self::Stored(kept) => e.array(2)?.u8(2)?.bool(*kept)?.ok(),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        let fields = d.array()?.ok_or(FrameError::NotCanonical)?;
        let kind = d.u8()?;
        match (kind, fields) {
            (1, 3) => {
                let found = read_record(d)?;
                let count = d.array()?.ok_or(FrameError::NotCanonical)?;
                let count = usize::try_from(count).ok().filter(|count| *count <= CLOSER_MAX).ok_or(FrameError::OverBound)?;
                let closer = (0..count).map(|_| RecordBytes::read(d)).collect::<Result<_, _>>()?;
                Ok(Self::Nodes(found, closer))
            }
            (2, 2) => Ok(Self::Stored(d.bool()?)),
            (1 | 2, _) => Err(FrameError::Malformed),
            (other, _) => Err(FrameError::UnknownType(other)),
        }
    }
}

impl RecordBytes {
    fn of(record: &NodeRecord) -> Self {
        Self(record.bytes().to_vec())
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        let bytes = d.bytes()?;
        if bytes.len() <= RECORD_MAX { Ok(Self(bytes.to_vec())) } else { Err(FrameError::OverBound) }
    }
}

/// Records that were verified lately: the same ones come again and again, and each is kept but once.
#[derive(Debug, Default)]
pub struct Verified {
    known: BTreeMap<[u8; 32], (Arc<NodeRecord>, u64)>,
    /// By the time of their last use.
    used: BTreeMap<u64, [u8; 32]>,
    serial: u64,
}

impl Verified {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A record that holds at `unix_s`, if these bytes are one.
    pub fn verify(&mut self, bytes: &RecordBytes, unix_s: u64) -> Option<Arc<NodeRecord>> {
        let hash: [u8; 32] = Sha256::digest(&bytes.0).into();
        let record = match self.known.get(&hash) {
            Some((record, used)) => {
                self.used.remove(used);
                Arc::clone(record)
            }
            None => Arc::new(NodeRecordIn::decode(&bytes.0).and_then(|record| record.verify(unix_s)).ok()?),
        };
        if !record.holds(unix_s) {
            self.known.remove(&hash);
            return None;
        }
        self.serial = self.serial.saturating_add(1);
        self.used.insert(self.serial, hash);
        self.known.insert(hash, (Arc::clone(&record), self.serial));
        if self.known.len() > VERIFIED_MAX
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.known.remove(&oldest);
        }
        Some(record)
    }
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

fn canonical<T>(
    bytes: &[u8],
    most: usize,
    read: impl Fn(&mut Decoder<'_>) -> Result<T, FrameError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Result<T, FrameError> {
    if bytes.len() > most {
        return Err(FrameError::TooLong);
    }
    let message = read(&mut Decoder::new(bytes))?;
    if encode(&message) == bytes { Ok(message) } else { Err(FrameError::NotCanonical) }
}

fn write_record(e: &mut Encoder<Vec<u8>>, record: Option<&RecordBytes>) -> Written {
    match record {
        Some(record) => e.bytes(&record.0)?.ok(),
        None => e.null()?.ok(),
    }
}

fn read_record(d: &mut Decoder<'_>) -> Result<Option<RecordBytes>, FrameError> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    RecordBytes::read(d).map(Some)
}
