//! ElGamal on Ristretto with its proofs, of `elastic-elgamal`: here its values are read and written, and nothing is computed but sums
//! and multiples.

use elastic_elgamal::{
    CandidateDecryption, Ciphertext, LogEqualityProof, ProofOfPossession, PublicKey, SecretKey,
    app::{EncryptedChoice, SingleChoice},
    group::Ristretto,
    sharing::{Params, PublicKeySet},
};
use minicbor::{Decoder, Encoder};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::cbor::{Out, Written};

pub(super) type Key = PublicKey<Ristretto>;
pub(super) type Keys = PublicKeySet<Ristretto>;
pub(super) type Secret = SecretKey<Ristretto>;
pub(super) type Sum = Ciphertext<Ristretto>;
pub(super) type Sealed = EncryptedChoice<Ristretto, SingleChoice>;

/// Randomness from a domain, a seed and what it is for, so that a seed that comes twice makes the same only for the same.
pub(super) fn coins(domain: &[u8], parts: &[&[u8]]) -> ChaCha20Rng {
    let digest = parts.iter().fold(Sha256::new().chain_update(domain), |digest, part| digest.chain_update(part));
    let seed = Zeroizing::new(<[u8; 32]>::from(digest.finalize()));
    ChaCha20Rng::from_seed(*seed)
}

/// A polynomial in public, 32 bytes for each coefficient, and the proof that whoever published it knows it in secret.
pub(super) fn dealt(params: Params, polynomial: &[u8], proof: &[u8]) -> Option<Keys> {
    let (coefficients, []) = polynomial.as_chunks::<32>() else { return None };
    let points = coefficients.iter().map(|bytes| Some(Key::from_bytes(bytes).ok()?.as_element())).collect::<Option<Vec<_>>>()?;
    Keys::new(params, points, &possession(proof)?).ok()
}

/// Challenge and responses, 32 bytes each.
pub(super) fn possession_bytes(proof: &ProofOfPossession<Ristretto>) -> Option<Vec<u8>> {
    let encoded = minicbor_serde::to_vec(proof).ok()?;
    let mut d = Decoder::new(&encoded);
    d.map().ok()?;
    d.str().ok()?;
    let mut bytes = d.bytes().ok()?.to_vec();
    d.str().ok()?;
    d.array_iter::<&minicbor::bytes::ByteSlice>().ok()?.try_for_each(|one| one.map(|one| bytes.extend_from_slice(one))).ok()?;
    Some(bytes)
}

fn possession(bytes: &[u8]) -> Option<ProofOfPossession<Ristretto>> {
    let (scalars, []) = bytes.as_chunks::<32>() else { return None };
    let (challenge, responses) = scalars.split_first()?;
    let mut e = Encoder::new(Vec::new());
    write_possession(&mut e, challenge, responses).ok()?;
    minicbor_serde::from_slice(&e.into_writer()).ok()
}

fn write_possession(e: &mut Out, challenge: &[u8; 32], responses: &[[u8; 32]]) -> Written {
    e.map(2)?.str("challenge")?.bytes(challenge)?.str("responses")?;
    crate::cbor::write_list(e, responses, |e, one| e.bytes(one).map(|_| ()))
}

/// A choice in three pieces: ciphertexts, 64 bytes for each option; the proof that each is of 0 or 1, 32 and 64 bytes for each
/// option; the proof that they are of 1 together, 64 bytes.
pub(super) fn sealed_bytes(sealed: &Sealed) -> [Vec<u8>; 3] {
    let ciphertexts = sealed.choices_unchecked().iter().flat_map(|one| one.to_bytes()).collect();
    [ciphertexts, sealed.range_proof().to_bytes(), sealed.sum_proof().to_bytes()]
}

/// The same from those pieces.
pub(super) fn sealed([ciphertexts, ranges, sum]: &[Vec<u8>; 3]) -> Option<Sealed> {
    let (ciphertexts, []) = ciphertexts.as_chunks::<64>() else { return None };
    let (ranges, []) = ranges.as_chunks::<32>() else { return None };
    let (sum, []) = sum.as_chunks::<32>() else { return None };
    let ((common, responses), [challenge, response]) = (ranges.split_first()?, sum) else { return None };
    let mut e = Encoder::new(Vec::new());
    write_sealed(&mut e, ciphertexts, (common, responses), (challenge, response)).ok()?;
    minicbor_serde::from_slice(&e.into_writer()).ok()
}

fn write_sealed(
    e: &mut Out,
    ciphertexts: &[[u8; 64]],
    (common, responses): (&[u8; 32], &[[u8; 32]]),
    (challenge, response): (&[u8; 32], &[u8; 32]),
) -> Written {
    e.map(3)?.str("choices")?;
    crate::cbor::write_list(e, ciphertexts, |e, one| {
        let (random, blinded) = one.split_at(32);
        e.map(2)?.str("random_element")?.bytes(random)?.str("blinded_element")?.bytes(blinded).map(|_| ())
    })?;
    e.str("range_proof")?.map(2)?.str("common_challenge")?.bytes(common)?.str("ring_responses")?;
    crate::cbor::write_list(e, responses, |e, one| e.bytes(one).map(|_| ()))?;
    e.str("sum_proof")?.map(2)?.str("challenge")?.bytes(challenge)?.str("response")?.bytes(response)?;
    Ok(())
}

/// What of a ciphertext a trustee took off, and the proof that it was that: 96 bytes.
pub(super) fn share(bytes: &[u8; 96]) -> Option<(CandidateDecryption<Ristretto>, LogEqualityProof<Ristretto>)> {
    let (element, proof) = bytes.split_at(32);
    Some((CandidateDecryption::from_bytes(element)?, LogEqualityProof::from_bytes(proof)?))
}

/// A ciphertext for `key + offset`, as one for `key` of the same.
#[allow(clippy::arithmetic_side_effects, reason = "in a group nothing overflows")]
pub(super) fn moved(ciphertext: &Sum, offset: &Secret) -> Sum {
    Sum::from_elements(
        *ciphertext.random_element(),
        ciphertext.blinded_element() - ciphertext.random_element() * offset.expose_scalar(),
    )
}

/// `key` and that of `offset` together.
#[allow(clippy::arithmetic_side_effects, reason = "in a group nothing overflows")]
pub(super) fn offset(key: &Key, offset: &Secret) -> Key {
    key.clone() + Key::from(offset)
}

/// Sums, option by option.
#[allow(clippy::arithmetic_side_effects, reason = "in a group nothing overflows")]
pub(super) fn added(sums: &[Sum], more: &[Sum]) -> Vec<Sum> {
    sums.iter().zip(more).map(|(one, other)| *one + *other).collect()
}
