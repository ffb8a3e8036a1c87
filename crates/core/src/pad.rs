//! Padding into size classes: `length u32 BE | content | zeros`.

use crate::limits::SIZE_CLASSES;

const PREFIX: usize = 4;

/// Content longer than the largest class.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("too long: at most {max} bytes fit into one envelope, this has {length}")]
pub struct TooLong {
    /// Length of the content, bytes.
    pub length: usize,
    /// What would fit, bytes.
    pub max: usize,
}

/// Padding that is not canonical.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the padding is not canonical")]
pub struct BadPadding;

/// Pads `content` so that it fills the smallest size class together with `overhead` bytes that encryption will add.
pub fn pad(content: &[u8], overhead: usize) -> Result<Vec<u8>, TooLong> {
    let needed = content.len().saturating_add(PREFIX).saturating_add(overhead);
    let too_long = || TooLong {
        length: content.len(),
        max: SIZE_CLASSES.last().copied().unwrap_or_default().saturating_sub(PREFIX).saturating_sub(overhead),
    };
    let class = SIZE_CLASSES.into_iter().find(|class| *class >= needed).ok_or_else(too_long)?;
    let length = u32::try_from(content.len()).map_err(|_| too_long())?;
    let mut padded = Vec::with_capacity(class);
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(class.saturating_sub(overhead), 0);
    Ok(padded)
}

/// The content of what [`pad`] made.
pub fn unpad(padded: &[u8]) -> Result<&[u8], BadPadding> {
    let (prefix, rest) = padded.split_first_chunk::<PREFIX>().ok_or(BadPadding)?;
    let length = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| BadPadding)?;
    let (content, zeros) = rest.split_at_checked(length).ok_or(BadPadding)?;
    if zeros.iter().any(|b| *b != 0) { Err(BadPadding) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn content_survives_and_the_length_is_a_class(content in prop::collection::vec(any::<u8>(), 0..5000), overhead in 0usize..64) {
            let padded = pad(&content, overhead).unwrap();
            prop_assert!(SIZE_CLASSES.contains(&(padded.len() + overhead)));
            prop_assert_eq!(unpad(&padded).unwrap(), &content[..]);
        }

        #[test]
        fn any_bytes_unpad_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = unpad(&bytes);
        }
    }

    #[test]
    fn what_fits_nowhere_is_refused() {
        assert_eq!(pad(&vec![0; 65_533], 0), Err(TooLong { length: 65_533, max: 65_532 }));
    }

    #[test]
    fn padding_must_be_zeros() {
        let mut padded = pad(b"hi", 0).unwrap();
        padded[100] = 1;
        assert_eq!(unpad(&padded), Err(BadPadding));
    }
}
