//! Encryption to whoever opened a door, for those who have the link to it.
//!
//! HPKE (RFC 9180) in PSK mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, single shot, `encapsulation |
//! ciphertext`. A key of X-Wing would make links 1,200 bytes longer. The pre-shared secret is that of the door, which whoever only
//! keeps the envelopes does not have: against them this is as good as a symmetric cipher, today and against a quantum computer.
//! X25519 keeps out the others who have the same link.

use core::fmt;

use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, PskBundle, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::SealError;

const INFO: &[u8] = b"samizdat door v1\0";
const PSK_ID: &[u8] = b"door";
/// Length of the public key of a door, bytes.
pub const DOOR_KEY_LEN: usize = 32;
const ENCAPSULATION_LEN: usize = 32;

type Key = <X25519HkdfSha256 as hpke::Kem>::PublicKey;

/// What opens requests at a door: the seed of an X25519 key pair.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct DoorKey(pub [u8; 32]);

impl fmt::Debug for DoorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoorKey(..)")
    }
}

impl DoorKey {
    /// The public half.
    pub fn public(&self) -> [u8; DOOR_KEY_LEN] {
        X25519HkdfSha256::derive_keypair(&self.0).1.to_bytes().into()
    }

    /// Opens what [`seal`] made.
    ///
    /// # Errors
    /// If it was sealed to another door, or is nothing of that kind.
    pub fn open(&self, secret: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (encapsulation, ciphertext) = sealed.split_at_checked(ENCAPSULATION_LEN).ok_or(SealError::Open)?;
        let encapsulation = <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(encapsulation).map_err(|_| SealError::Open)?;
        let key = X25519HkdfSha256::derive_keypair(&self.0).0;
        let mode = OpModeR::Psk(bundle(secret)?);
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(&mode, &key, &encapsulation, INFO, ciphertext, &[])
            .map_err(|_| SealError::Open)
    }
}

/// Seals something to the door with the public key `to` and `secret`. It is not padded: what it travels in is.
///
/// # Errors
/// If that is no public key.
pub fn seal(to: &[u8; DOOR_KEY_LEN], secret: &[u8; 32], content: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
    let key = Key::from_bytes(to).map_err(|_| SealError::Key)?;
    let mode = OpModeS::Psk(bundle(secret)?);
    let (encapsulation, ciphertext) =
        single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(&mode, &key, INFO, content, &[], rng)
            .map_err(|_| SealError::Key)?;
    let mut sealed = encapsulation.to_bytes().to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

fn bundle(secret: &[u8; 32]) -> Result<PskBundle<'_>, SealError> {
    PskBundle::new(secret, PSK_ID).map_err(|_| SealError::Key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn only_whoever_opened_the_door_reads_and_only_what_came_by_the_link() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (door, secret) = (DoorKey([2; 32]), [3; 32]);
        let sealed = seal(&door.public(), &secret, b"let me in", &mut rng).unwrap();
        assert_eq!(sealed.len(), 32 + 9 + 16);
        assert_eq!(door.open(&secret, &sealed).unwrap(), b"let me in");
        assert_eq!(DoorKey([4; 32]).open(&secret, &sealed), Err(SealError::Open), "another who has the link");
        assert_eq!(door.open(&[4; 32], &sealed), Err(SealError::Open), "somebody who has the key and not the link");
        assert_ne!(seal(&door.public(), &secret, b"let me in", &mut rng).unwrap(), sealed);
        assert_eq!(format!("{door:?}"), "DoorKey(..)");
    }

    proptest! {
        #[test]
        fn what_was_changed_does_not_open(at in any::<prop::sample::Index>(), bit in 0..8u8, junk: Vec<u8>) {
            let mut rng = ChaCha20Rng::from_seed([1; 32]);
            let (door, secret) = (DoorKey([2; 32]), [3; 32]);
            let mut sealed = seal(&door.public(), &secret, b"let me in", &mut rng).unwrap();
            let at = at.index(sealed.len());
            // The highest bit of an X25519 key is ignored (RFC 7748, section 5); HPKE binds the bytes as they are.
            sealed[at] ^= 1 << bit;
            prop_assert!(door.open(&secret, &sealed).is_err());
            prop_assert!(door.open(&secret, &junk).is_err());
        }
    }
}
