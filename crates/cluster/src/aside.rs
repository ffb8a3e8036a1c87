//! What a member says to one other member: inside what is encrypted for that one alone.

use minicbor::Decoder;
use samizdat_core::limits::TEXT_MAX;

use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, text, to_bytes, versioned},
    content::{Audience, Nonce, TextId, text_id},
    ids::MemberId,
    limits::ASIDE_MAX,
};

const VERSION: u8 = 1;

/// Something written for one member.
#[derive(Clone, PartialEq, Eq)]
pub struct Aside {
    /// What its name follows from; the same never counts twice.
    pub nonce: Nonce,
    /// When it was written by its author's clock, milliseconds.
    pub at: u64,
    /// What it says.
    pub text: String,
}

impl core::fmt::Debug for Aside {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Aside(..)")
    }
}

impl Aside {
    /// Its name, if `author` wrote it.
    pub fn id(&self, author: &MemberId) -> TextId {
        text_id(author, Audience::One, &self.nonce, &self.text)
    }

    /// The bytes to encrypt.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what was decrypted.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, ASIDE_MAX)
    }
}

impl Wire for Aside {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?.u8(VERSION)?.bytes(&self.nonce)?.u64(self.at)?.str(&self.text).map(|_| ())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 4, VERSION)?;
        Some(Self { nonce: exact(d)?, at: d.u64().ok()?, text: text(d, TEXT_MAX)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_aside_survives(nonce: [u8; 16], at: u64, text in ".{0,200}") {
            let aside = Aside { nonce, at, text };
            prop_assert_eq!(Aside::decode(&aside.encode()), Ok(aside));
        }

        #[test]
        fn what_is_taken_is_written_as_it_came(junk: Vec<u8>, at in any::<prop::sample::Index>(), byte: u8) {
            let _ = Aside::decode(&junk);
            let mut like = Aside { nonce: [1; 16], at: 5, text: "between us".into() }.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(aside) = Aside::decode(&like) {
                prop_assert_eq!(aside.encode(), like);
            }
        }
    }

    #[test]
    fn bounds_hold_and_nothing_of_it_is_logged() {
        let of = |length| Aside { nonce: [1; 16], at: 5, text: "x".repeat(length) };
        assert!(Aside::decode(&of(TEXT_MAX).encode()).is_ok() && Aside::decode(&of(TEXT_MAX + 1).encode()).is_err());
        assert_eq!(format!("{:?}", of(3)), "Aside(..)");
    }
}
