//! What a member says to one other member: inside what is encrypted for that one alone.

use minicbor::Decoder;
use samizdat_core::limits::TEXT_MAX;

use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, text, to_bytes},
    claim::ClaimIn,
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
    /// Which name is behind its author, if that tells.
    pub claim: Option<ClaimIn>,
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
        let elements = if self.claim.is_some() { 6 } else { 4 };
        e.array(elements)?.u8(VERSION)?.bytes(&self.nonce)?.u64(self.at)?.str(&self.text)?;
        self.claim.as_ref().map_or(Ok(()), |claim| claim.write(e))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let elements = d.array().ok()??;
        (d.u8().ok()? == VERSION).then_some(())?;
        let (nonce, at, text) = (exact(d)?, d.u64().ok()?, text(d, TEXT_MAX)?);
        let claim = match elements {
            4 => None,
            6 => Some(ClaimIn::read(d)?),
            _ => return None,
        };
        Some(Self { nonce, at, text, claim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{CLUSTER, member};
    use proptest::prelude::*;
    use samizdat_core::IdentitySecret;

    proptest! {
        #[test]
        fn an_aside_survives(nonce: [u8; 16], at: u64, text in ".{0,200}", claims: bool) {
            let claim = claims.then(|| ClaimIn::sign(&IdentitySecret::from_seed([40; 32]), &CLUSTER, &member(1), Some(&member(2))));
            let aside = Aside { nonce, at, text, claim };
            prop_assert_eq!(Aside::decode(&aside.encode()), Ok(aside));
        }

        #[test]
        fn what_is_taken_is_written_as_it_came(junk: Vec<u8>, at in any::<prop::sample::Index>(), byte: u8) {
            let _ = Aside::decode(&junk);
            let mut like = Aside { nonce: [1; 16], at: 5, text: "between us".into(), claim: None }.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(aside) = Aside::decode(&like) {
                prop_assert_eq!(aside.encode(), like);
            }
        }
    }

    #[test]
    fn bounds_hold_and_nothing_of_it_is_logged() {
        let of = |length| Aside { nonce: [1; 16], at: 5, text: "x".repeat(length), claim: None };
        assert!(Aside::decode(&of(TEXT_MAX).encode()).is_ok() && Aside::decode(&of(TEXT_MAX + 1).encode()).is_err());
        assert_eq!(format!("{:?}", of(3)), "Aside(..)");
    }
}
