//! CLSAG, the linkable ring signature of Monero, behind three functions: a key, a signature, its verification.
//!
//! Beside the key of each ring member CLSAG signs for a commitment, of which Monero makes use for amounts. Here it is the same for
//! all and says nothing; the signer blinds it anew each time, as a sender of Monero does.

use monero_clsag::{Clsag, ClsagContext, Decoys};
use monero_ed25519::{Commitment, CompressedPoint, Point, Scalar};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

/// The secret of one key.
pub(super) type Secret = Zeroizing<Scalar>;

/// A signature, with what it needs to be verified but the ring and what is signed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// The same for all signatures by one key, and only for those.
    pub(super) image: [u8; 32],
    /// The commitment, blinded.
    pub(super) blinded: [u8; 32],
    /// Responses, first challenge, and the image of the blinding: 32 bytes for each of the ring, and 64.
    pub(super) proof: Vec<u8>,
}

/// A secret drawn from `seed`.
pub(super) fn secret(seed: [u8; 32]) -> Secret {
    Zeroizing::new(Scalar::random(&mut Coins::new(seed)))
}

/// The key of a secret.
pub(super) fn key(secret: &Secret) -> [u8; 32] {
    // A commitment to nothing is a multiple of the generator, which is what a key is.
    Commitment::new(**secret, 0).commit().compress().to_bytes()
}

/// Whether these bytes are a key: a point, not the neutral one, written in the only way, in the group of prime order.
pub(super) fn is_key(bytes: &[u8; 32]) -> bool {
    CompressedPoint::from(*bytes).decompress().and_then(Point::key_image).is_some()
}

/// Signs `hash` with the secret of one of `ring`. `seed` is fresh for each signature.
pub(super) fn sign(ring: &[[u8; 32]], secret: &Secret, hash: [u8; 32], seed: [u8; 32]) -> Option<Signature> {
    let ours = key(secret);
    let place = ring.iter().position(|key| *key == ours).and_then(|place| u8::try_from(place).ok())?;
    let commitment = commitment();
    let point = |key: &[u8; 32]| Some([CompressedPoint::from(*key).decompress()?, commitment.commit()]);
    // Where Monero would find the keys: it is not looked at, only ascends.
    let decoys = Decoys::new(vec![1; ring.len()], place, ring.iter().map(point).collect::<Option<_>>()?)?;
    let context = ClsagContext::new(decoys, commitment).ok()?;
    let mut coins = Coins::new(seed);
    let blinding = Zeroizing::new(Scalar::random(&mut coins));
    let (clsag, blinded) = Clsag::sign(&mut coins, vec![(secret.clone(), context)], *blinding, hash).ok()?.pop()?;
    let mut proof = Vec::new();
    clsag.write(&mut proof).ok()?;
    Some(Signature { image: image(secret, &ours), blinded: blinded.compress().to_bytes(), proof })
}

/// Whether somebody who has the secret of one of `ring` signed `hash`.
pub(super) fn verify(ring: &[[u8; 32]], hash: &[u8; 32], signature: &Signature) -> bool {
    let mut rest = &signature.proof[..];
    let Ok(clsag) = Clsag::read(ring.len(), &mut rest) else { return false };
    let commitment = commitment().commit().compress();
    let ring = ring.iter().map(|key| [CompressedPoint::from(*key), commitment]).collect();
    rest.is_empty() && clsag.verify(ring, &signature.image.into(), &signature.blinded.into(), hash).is_ok()
}

/// What stands beside every key.
fn commitment() -> Commitment {
    Commitment::new(Scalar::ONE, 0)
}

/// By which two signatures of one key are known: the secret times a point that only the key determines.
#[allow(clippy::arithmetic_side_effects, reason = "in a group nothing overflows")]
fn image(secret: &Secret, key: &[u8; 32]) -> [u8; 32] {
    let scalar = Zeroizing::new((**secret).into());
    Point::from(Point::biased_hash(*key).into() * *scalar).compress().to_bytes()
}

/// ChaCha20 by the traits that the library takes, which are those of an older generation.
struct Coins(ChaCha20Rng);

impl Coins {
    fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }
}

impl rand_core_06::RngCore for Coins {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Coins {}
