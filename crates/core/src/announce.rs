//! The body of an announcement: how a name can be contacted.

use minicbor::{Decoder, Encoder};

use crate::{
    limits::KEY_PACKAGE_MAX,
    pad::{TooLong, pad, unpad},
    seal::CONTACT_KEY_LEN,
};

const VERSION: u8 = 1;

/// Keys that a name announces. The envelope around it is signed by the identity key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// X-Wing key for bells, [`CONTACT_KEY_LEN`] bytes.
    pub contact_key: Vec<u8>,
    /// A last-resort MLS KeyPackage, at most [`KEY_PACKAGE_MAX`] bytes.
    pub key_package: Vec<u8>,
}

/// A body that is no announcement.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("malformed announcement")]
pub struct BadAnnouncement;

impl Announcement {
    /// The padded body.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut e = Encoder::new(Vec::new());
        // Writing into a Vec cannot fail.
        let _ = e
            .array(3)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(&self.contact_key))
            .and_then(|e| e.bytes(&self.key_package))
            .map(|_| ());
        pad(&e.into_writer(), 0)
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Self, BadAnnouncement> {
        let content = unpad(body).map_err(|_| BadAnnouncement)?;
        let mut d = Decoder::new(content);
        let mut read = || {
            if d.array().ok()? != Some(3) || d.u8().ok()? != VERSION {
                return None;
            }
            let contact_key = d.bytes().ok().filter(|key| key.len() == CONTACT_KEY_LEN)?.to_vec();
            let key_package = d.bytes().ok().filter(|package| package.len() <= KEY_PACKAGE_MAX)?.to_vec();
            (d.position() == content.len()).then_some(Self { contact_key, key_package })
        };
        read().ok_or(BadAnnouncement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_announcement_survives(key_package in prop::collection::vec(any::<u8>(), 0..3000)) {
            let made = Announcement { contact_key: vec![7; CONTACT_KEY_LEN], key_package };
            prop_assert_eq!(Announcement::decode(&made.encode().unwrap()), Ok(made));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Announcement::decode(&bytes);
        }
    }
}
