//! What two contacts prove to each other when they meet: bytes in docs/protocol/contact.md.
//!
//! Both hold a secret that their MLS group exports per epoch. Whoever does not hold it cannot tell what is made with it
//! from random bytes.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{ids::PeerId, seal::TAG_LEN};

/// Length of a proof, bytes.
pub const PROOF_LEN: usize = 32;
/// Length of what each side draws for a handshake, bytes.
pub const NONCE_LEN: usize = 32;
/// Length of what names a connection and nothing else, bytes: keying material that its TLS exports.
pub const BINDING_LEN: usize = 32;

const TAG_LABEL: &[u8] = b"samizdat contact tag v1\0";
const DIALLER_LABEL: &[u8] = b"samizdat contact dialler v1\0";
const ANSWERER_LABEL: &[u8] = b"samizdat contact answerer v1\0";
const TRANSCRIPT_DOMAIN: &[u8] = b"samizdat contact transcript v1\0";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Who of the two speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who opened the connection.
    Dialler,
    /// The other.
    Answerer,
}

/// The secret of one epoch of a pair that keys the handshake of its sessions.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionSecret([u8; 32]);

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

impl SessionSecret {
    /// Wraps what the group exported.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// By which the answerer at the endpoint `answerer` finds this secret among all of its own. Another endpoint cannot
    /// use what it was told.
    pub fn tag(&self, day: u32, answerer: &PeerId) -> [u8; TAG_LEN] {
        let long = self.mac(&[TAG_LABEL, &day.to_be_bytes(), &answerer.0]).map(|mac| mac.finalize().into_bytes());
        let mut tag = [0; TAG_LEN];
        tag.iter_mut().zip(long.unwrap_or_default()).for_each(|(to, from)| *to = from);
        tag
    }

    /// Proves that `side` holds this secret on the connection of the transcript.
    pub fn prove(&self, side: Side, transcript: &Transcript) -> [u8; PROOF_LEN] {
        self.mac(&[label(side), &transcript.0]).map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
    }

    /// Whether `side` proved it. Takes the same time whatever the proof is.
    pub fn holds(&self, side: Side, transcript: &Transcript, proof: &[u8; PROOF_LEN]) -> bool {
        self.mac(&[label(side), &transcript.0]).is_some_and(|mac| mac.verify_slice(proof).is_ok())
    }

    /// HMAC takes keys of any length, so this cannot fail.
    fn mac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(mac)
    }
}

/// Everything that both sides must have seen alike: the connection, whose it is, and what was said on it before the proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

impl Transcript {
    /// `hello` are the bytes of the first message, `nonce` is what the answerer drew.
    pub fn new(binding: &[u8; BINDING_LEN], dialler: &PeerId, answerer: &PeerId, hello: &[u8], nonce: &[u8; NONCE_LEN]) -> Self {
        let hash = Sha256::new().chain_update(TRANSCRIPT_DOMAIN).chain_update(binding);
        let hash = hash.chain_update(dialler.0).chain_update(answerer.0).chain_update(nonce).chain_update(hello);
        Self(hash.finalize().into())
    }
}

/// The day on a wall clock, counted since 1970.
pub fn day(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX)
}

/// How long that day goes on, ms, at least 1.
pub fn day_left(unix_ms: u64) -> u64 {
    DAY_MS.saturating_sub(unix_ms % DAY_MS)
}

fn label(side: Side) -> &'static [u8] {
    match side {
        Side::Dialler => DIALLER_LABEL,
        Side::Answerer => ANSWERER_LABEL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: PeerId = PeerId([1; 32]);
    const BOB: PeerId = PeerId([2; 32]);

    #[test]
    fn a_proof_holds_for_its_side_its_secret_and_its_connection_only() {
        let (secret, other) = (SessionSecret::new([7; 32]), SessionSecret::new([8; 32]));
        let transcript = Transcript::new(&[3; 32], &ALICE, &BOB, b"hello", &[4; 32]);
        let proof = secret.prove(Side::Dialler, &transcript);
        assert!(secret.holds(Side::Dialler, &transcript, &proof));
        assert!(!secret.holds(Side::Answerer, &transcript, &proof));
        assert!(!other.holds(Side::Dialler, &transcript, &proof));
        for changed in [
            Transcript::new(&[9; 32], &ALICE, &BOB, b"hello", &[4; 32]),
            Transcript::new(&[3; 32], &BOB, &ALICE, b"hello", &[4; 32]),
            Transcript::new(&[3; 32], &ALICE, &BOB, b"hallo", &[4; 32]),
            Transcript::new(&[3; 32], &ALICE, &BOB, b"hello", &[5; 32]),
        ] {
            assert!(!secret.holds(Side::Dialler, &changed, &proof));
        }
    }

    #[test]
    fn a_tag_is_of_one_day_and_one_endpoint() {
        let secret = SessionSecret::new([7; 32]);
        assert_ne!(secret.tag(1, &BOB), secret.tag(2, &BOB));
        assert_ne!(secret.tag(1, &BOB), secret.tag(1, &ALICE));
        assert_ne!(secret.tag(1, &BOB), SessionSecret::new([8; 32]).tag(1, &BOB));
        assert_eq!((day(0), day(DAY_MS - 1), day(DAY_MS), day(u64::MAX)), (0, 0, 1, u32::MAX));
        assert_eq!((day_left(0), day_left(DAY_MS - 1), day_left(DAY_MS + 1)), (DAY_MS, 1, DAY_MS - 1));
    }

    #[test]
    fn the_secret_does_not_show_in_debug() {
        assert_eq!(format!("{:?}", SessionSecret::new([7; 32])), "SessionSecret(..)");
    }
}
