//! What a group agreed on beyond MLS, in an extension of its context: whoever shares its keys shares this.

use minicbor::Decoder;

use crate::{
    cbor::{Malformed, Out, Wire, Written, exact, from_bytes, to_bytes, versioned},
    charter::Charter,
    grounds::Grounds,
    limits::CONTEXT_MAX,
    minutes::MinutesHash,
};

const VERSION: u8 = 2;

/// What a group agreed on beyond MLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Drawn when the cluster was founded; ranks follow from it.
    pub salt: [u8; 32],
    /// The rules.
    pub charter: Charter,
    /// All that was decided.
    pub minutes: MinutesHash,
}

impl Context {
    /// That of a child of the state with this one, at `epoch`; nothing if the change rests on nothing, and so sets none.
    pub fn after(&self, epoch: u64, grounds: &Grounds, charter: Option<&Charter>) -> Option<Self> {
        let minutes = self.minutes.after(epoch, grounds);
        let charter = charter.unwrap_or(&self.charter).clone();
        (!grounds.is_empty()).then_some(Self { salt: self.salt, charter, minutes })
    }

    /// The bytes of the extension.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads the extension.
    ///
    /// # Errors
    /// If it is no such context.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, CONTEXT_MAX)
    }
}

impl Wire for Context {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?.u8(VERSION)?.bytes(&self.salt)?.bytes(&self.charter.encode())?.bytes(&self.minutes.0)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 4, VERSION)?;
        let salt = exact(d)?;
        let charter = Charter::decode(d.bytes().ok()?).ok()?;
        Some(Self { salt, charter, minutes: MinutesHash(exact(d)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{certificate, circle, expel};
    use proptest::prelude::*;

    fn context() -> Context {
        Context { salt: [1; 32], charter: Charter::new("circle").unwrap(), minutes: MinutesHash([2; 32]) }
    }

    #[test]
    fn what_was_agreed_is_read_as_it_was_written_and_of_another_version_not() {
        let mut bytes = context().encode();
        assert_eq!(Context::decode(&bytes), Ok(context()));
        bytes[1] ^= 1;
        assert!(Context::decode(&bytes).is_err());
    }

    #[test]
    fn what_rests_on_nothing_changes_nothing() {
        assert_eq!(context().after(3, &Grounds::default(), None), None);
        let certificates = vec![certificate(&circle(1..=3), 1, expel(3), 1..=2)];
        let grounds = Grounds { certificates, ..Grounds::default() };
        let next = context().after(3, &grounds, None).unwrap();
        assert!(next.minutes == context().minutes.after(3, &grounds) && next.minutes != context().minutes);
        assert_eq!((next.salt, &next.charter), (context().salt, &context().charter));
        let other = Charter { cap: 9, ..context().charter };
        assert_eq!(context().after(3, &grounds, Some(&other)).unwrap().charter, other);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = Context::decode(&junk);
            let mut like = context().encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(context) = Context::decode(&like) {
                prop_assert_eq!(context.encode(), like);
            }
        }
    }
}
