//! Payloads larger than an envelope, cut in parts. Each part names the whole by its hash, so that nobody can slip one in.

use core::fmt;
use std::collections::BTreeMap;

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    cbor::{Malformed, Out, Wire, Written, blob, exact, from_bytes, to_bytes, versioned},
    limits::{PART_MAX, PART_OVERHEAD, PARTS_BYTES_MAX, PARTS_COUNT_MAX, PAYLOAD_MAX, PAYLOADS_PER_SENDER},
};

const VERSION: u8 = 1;
const BYTES_MAX: usize = PART_MAX.saturating_sub(PART_OVERHEAD);
/// Parts of one payload.
const COUNT_MAX: usize = PAYLOAD_MAX.div_ceil(BYTES_MAX);

type ObjectId = [u8; 16];

/// One part as received. All parts of a payload but the last are of one length, that of the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    object: ObjectId,
    index: u16,
    count: u16,
    bytes: Vec<u8>,
}

/// A payload that is too large to be sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("this is too large to be sent: {0} bytes, and {PAYLOAD_MAX} at most")]
pub struct TooLarge(pub usize);

/// Why a part is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadPart {
    /// It contradicts another part of the same payload and sender.
    #[error("the part does not fit the others of its payload")]
    Contradiction,
    /// All parts are there, and they are not what their name says.
    #[error("the parts make another payload than they name")]
    WrongHash,
}

/// Cuts a payload in encoded parts, in order.
///
/// # Errors
/// If it is too large.
pub fn cut(payload: &[u8]) -> Result<Vec<Vec<u8>>, TooLarge> {
    if payload.len() > PAYLOAD_MAX {
        return Err(TooLarge(payload.len()));
    }
    let object = object_id(payload);
    let chunks: Vec<&[u8]> = if payload.is_empty() { vec![payload] } else { payload.chunks(BYTES_MAX).collect() };
    let count = u16::try_from(chunks.len()).map_err(|_| TooLarge(payload.len()))?;
    Ok((0..count).zip(chunks).map(|(index, bytes)| to_bytes(&Part { object, index, count, bytes: bytes.to_vec() })).collect())
}

fn object_id(payload: &[u8]) -> ObjectId {
    let digest = Sha256::new().chain_update(b"samizdat parts v1\0").chain_update(payload).finalize();
    let mut id = [0; 16];
    id.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    id
}

impl Part {
    /// Reads a part.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, PART_MAX)
    }

    /// As it was sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Names the payload.
    pub fn object(&self) -> [u8; 16] {
        self.object
    }

    /// Which part it is, from 0, and of how many.
    pub fn place(&self) -> (u16, u16) {
        (self.index, self.count)
    }

    fn is_last(&self) -> bool {
        self.index.saturating_add(1) == self.count
    }
}

/// Unfinished payloads, by who sends them (`S`): nobody's parts push those of others out before it has used up its own share.
#[derive(Debug, Clone)]
pub struct Parts<S: Ord + Clone> {
    objects: BTreeMap<(S, ObjectId), Object>,
    /// Counts objects, for their age.
    begun: u64,
}

#[derive(Debug, Clone)]
struct Object {
    age: u64,
    count: u16,
    parts: BTreeMap<u16, Vec<u8>>,
    bytes: usize,
}

impl<S: Ord + Clone> Default for Parts<S> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), begun: 0 }
    }
}

impl<S: Ord + Clone> Parts<S> {
    /// Takes a part and returns the payload if it was the last one that was missing.
    ///
    /// # Errors
    /// If it does not fit; the payload is dropped if its parts are not what they should be.
    pub fn add(&mut self, sender: S, part: Part) -> Result<Option<Vec<u8>>, BadPart> {
        let key = (sender, part.object);
        self.make_room(&key, part.bytes.len());
        let (begun, count) = (self.begun, part.count);
        let object =
            self.objects.entry(key.clone()).or_insert_with(|| Object { age: begun, count, parts: BTreeMap::new(), bytes: 0 });
        self.begun = begun.saturating_add(1);
        object.add(part)?;
        if object.parts.len() < object.count.into() {
            return Ok(None);
        }
        let parts = self.objects.remove(&key).map(|object| object.parts).unwrap_or_default();
        let payload = parts.into_values().collect::<Vec<_>>().concat();
        if object_id(&payload) == key.1 { Ok(Some(payload)) } else { Err(BadPart::WrongHash) }
    }

    /// How many payloads are unfinished.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether none is unfinished.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn make_room(&mut self, key: &(S, ObjectId), bytes: usize) {
        let others =
            |objects: &BTreeMap<(S, ObjectId), Object>| objects.keys().filter(|other| other.0 == key.0 && other.1 != key.1).count();
        while others(&self.objects) >= PAYLOADS_PER_SENDER {
            self.drop_oldest(|other| other.0 == key.0 && other != key);
        }
        while self.bytes().saturating_add(bytes) > PARTS_BYTES_MAX || self.count() >= PARTS_COUNT_MAX {
            if !self.drop_oldest(|_| true) {
                return;
            }
        }
    }

    fn drop_oldest(&mut self, of: impl Fn(&(S, ObjectId)) -> bool) -> bool {
        let oldest =
            self.objects.iter().filter(|(key, _)| of(key)).min_by_key(|(_, object)| object.age).map(|(key, _)| key.clone());
        oldest.is_some_and(|oldest| self.objects.remove(&oldest).is_some())
    }

    fn bytes(&self) -> usize {
        self.objects.values().map(|object| object.bytes).sum()
    }

    fn count(&self) -> usize {
        self.objects.values().map(|object| object.parts.len()).sum()
    }
}

impl Object {
    fn add(&mut self, part: Part) -> Result<(), BadPart> {
        if part.count != self.count || self.parts.get(&part.index).is_some_and(|known| *known != part.bytes) {
            return Err(BadPart::Contradiction);
        }
        let length = part.bytes.len();
        if self.parts.insert(part.index, part.bytes).is_none() {
            self.bytes = self.bytes.saturating_add(length);
        }
        Ok(())
    }
}

impl Wire for Part {
    fn write(&self, e: &mut Out) -> Written {
        e.array(5)?.u8(VERSION)?.bytes(&self.object)?.u16(self.index)?.u16(self.count)?.bytes(&self.bytes)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 5, VERSION)?;
        let part = Self { object: exact(d)?, index: d.u16().ok()?, count: d.u16().ok()?, bytes: blob(d, BYTES_MAX)? };
        let bounded = part.index < part.count && usize::from(part.count) <= COUNT_MAX;
        // Only the last part is shorter than a whole one.
        (bounded && (part.is_last() || part.bytes.len() == BYTES_MAX)).then_some(part)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part {} of {}, {} bytes", self.index, self.count, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn payload(length: usize, seed: u8) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8 ^ seed).collect()
    }

    fn parts(length: usize, seed: u8) -> Vec<Part> {
        cut(&payload(length, seed)).unwrap().iter().map(|bytes| Part::decode(bytes).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
        #[test]
        fn parts_make_the_whole_in_any_order_and_however_often(length in 0..5 * BYTES_MAX, order in any::<prop::sample::Index>()) {
            let mut all = parts(length, 7);
            let turn = order.index(all.len());
            all.rotate_left(turn);
            let mut together = Parts::default();
            let (last, before) = all.split_last().unwrap();
            for part in before.iter().chain(before) {
                prop_assert_eq!(together.add((), part.clone()), Ok(None));
            }
            prop_assert_eq!(together.add((), last.clone()), Ok(Some(payload(length, 7))));
            prop_assert!(together.is_empty());
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            let _ = Part::decode(&bytes);
        }
    }

    #[test]
    fn every_part_fits_and_is_written_as_it_came() {
        for bytes in cut(&payload(3 * BYTES_MAX, 1)).unwrap() {
            assert!(bytes.len() <= PART_MAX && bytes.len() > PART_MAX - PART_OVERHEAD);
            assert_eq!(Part::decode(&bytes).unwrap().encode(), bytes);
        }
        assert!(cut(&payload(PAYLOAD_MAX, 1)).is_ok());
        assert_eq!(cut(&payload(PAYLOAD_MAX + 1, 1)), Err(TooLarge(PAYLOAD_MAX + 1)));
        assert_eq!(cut(&[]).unwrap().len(), 1);
    }

    #[test]
    fn parts_out_of_bounds_are_none() {
        let good = parts(2 * BYTES_MAX, 1).remove(0);
        let wrong = [
            Part { index: 2, ..good.clone() },
            Part { count: 0, ..good.clone() },
            Part { count: COUNT_MAX as u16 + 1, ..good.clone() },
            Part { bytes: vec![0; BYTES_MAX - 1], ..good.clone() },
        ];
        for part in wrong {
            assert_eq!(Part::decode(&part.encode()), Err(Malformed));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let all = parts(2 * BYTES_MAX, 1);
        let mut together = Parts::default();
        assert_eq!(together.add('m', all[0].clone()), Ok(None));
        let other = Part { bytes: vec![0; BYTES_MAX], ..all[0].clone() };
        assert_eq!(together.add('m', other), Err(BadPart::Contradiction));
        assert_eq!(together.add('m', Part { index: 2, count: 3, ..all[1].clone() }), Err(BadPart::Contradiction));
        let junk = Part { bytes: vec![0; BYTES_MAX], ..all[1].clone() };
        assert_eq!(together.add('m', junk.clone()), Err(BadPart::WrongHash));
        assert_eq!(together.add('m', junk), Ok(None), "and the payload begins anew");
    }

    #[test]
    fn nobody_spoils_what_another_sends() {
        let all = parts(2 * BYTES_MAX, 1);
        let mut together = Parts::default();
        assert_eq!(together.add('a', all[0].clone()), Ok(None));
        assert_eq!(together.add('m', Part { bytes: vec![0; BYTES_MAX], ..all[0].clone() }), Ok(None));
        for seed in 10..30 {
            assert_eq!(together.add('m', parts(2 * BYTES_MAX, seed).remove(0)), Ok(None));
        }
        assert_eq!(together.len(), 1 + PAYLOADS_PER_SENDER);
        assert_eq!(together.add('a', all[1].clone()), Ok(Some(payload(2 * BYTES_MAX, 1))));
    }

    #[test]
    fn many_senders_fill_no_memory() {
        let mut together = Parts::default();
        let most = PARTS_BYTES_MAX / BYTES_MAX;
        for sender in 0..most + 10 {
            assert_eq!(together.add(sender, parts(2 * BYTES_MAX, 1).remove(0)), Ok(None));
        }
        assert!(together.bytes() <= PARTS_BYTES_MAX && together.len() == most);
        let empty = |sender: usize| Part { object: [9; 16], index: 1, count: 2, bytes: vec![sender as u8; 1] };
        let mut together = Parts::default();
        (0..PARTS_COUNT_MAX + 10).for_each(|sender| {
            let _ = together.add(sender, empty(sender));
        });
        assert_eq!(together.len(), PARTS_COUNT_MAX);
    }
}
