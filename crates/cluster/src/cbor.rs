//! Deterministic CBOR, and one encoding for one meaning: what does not come out again as it went in is refused.

use minicbor::{Decoder, Encoder};

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("these bytes of a cluster cannot be read: they are damaged, or of a later version")]
pub struct Malformed;

pub(crate) type Out = Encoder<Vec<u8>>;
pub(crate) type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

/// What has an encoding.
pub(crate) trait Wire: Sized {
    fn write(&self, e: &mut Out) -> Written;
    fn read(d: &mut Decoder<'_>) -> Option<Self>;
}

pub(crate) fn to_bytes(value: &impl Wire) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = value.write(&mut e);
    e.into_writer()
}

pub(crate) fn from_bytes<T: Wire>(bytes: &[u8], most: usize) -> Result<T, Malformed> {
    if bytes.len() > most {
        return Err(Malformed);
    }
    let value = T::read(&mut Decoder::new(bytes)).ok_or(Malformed)?;
    if to_bytes(&value) == bytes { Ok(value) } else { Err(Malformed) }
}

pub(crate) fn write_list<T>(e: &mut Out, items: &[T], mut one: impl FnMut(&mut Out, &T) -> Written) -> Written {
    e.array(items.len() as u64)?;
    items.iter().try_for_each(|item| one(e, item))
}

/// An array of exactly so many elements.
pub(crate) fn array(d: &mut Decoder<'_>, elements: u64) -> Option<()> {
    (d.array().ok()? == Some(elements)).then_some(())
}

/// The beginning of an array of so many elements, of which the first is a version.
pub(crate) fn versioned(d: &mut Decoder<'_>, elements: u64, version: u8) -> Option<()> {
    array(d, elements)?;
    (d.u8().ok()? == version).then_some(())
}

pub(crate) fn exact<const N: usize>(d: &mut Decoder<'_>) -> Option<[u8; N]> {
    d.bytes().ok()?.try_into().ok()
}

pub(crate) fn blob(d: &mut Decoder<'_>, most: usize) -> Option<Vec<u8>> {
    d.bytes().ok().filter(|bytes| bytes.len() <= most).map(<[u8]>::to_vec)
}

pub(crate) fn text(d: &mut Decoder<'_>, most: usize) -> Option<String> {
    d.str().ok().filter(|text| text.len() <= most).map(str::to_owned)
}

pub(crate) fn list<T>(d: &mut Decoder<'_>, most: usize, one: impl Fn(&mut Decoder<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = d.array().ok()?.filter(|count| *count <= most as u64)?;
    (0..count).map(|_| one(d)).collect()
}

/// One line that people read: not empty, and without characters that move the cursor.
pub(crate) fn is_line(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

pub(crate) fn ascends<T: Ord>(items: &[T]) -> bool {
    items.windows(2).all(|pair| pair.first() < pair.last())
}
