#![allow(clippy::arithmetic_side_effects)]
use proptest::prelude::*;
use rand_core::SeedableRng;

use super::*;
use crate::{limits::CLOCK_SLACK_HOURS, pad::pad, stamp::Mint};

const NOW: Hour = Hour(500_000);

fn rng() -> rand_chacha::ChaCha20Rng {
    rand_chacha::ChaCha20Rng::from_seed([5; 32])
}

fn alice() -> IdentitySecret {
    IdentitySecret::from_seed([1; 32])
}

fn body(text: &[u8]) -> Vec<u8> {
    pad(text, 0).unwrap()
}

fn mint(unstamped: Unstamped) -> Envelope {
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    let nonce = loop {
        if let Some(nonce) = mint.step(100_000) {
            break nonce;
        }
    };
    unstamped.stamp(nonce).unwrap()
}

fn post(seq: u64, text: &[u8]) -> Envelope {
    mint(Unstamped::sign(&alice(), seq, Some([9; 16]), NOW, 0, body(text)).unwrap())
}

fn stamped(envelope: &Envelope) -> Stamped<'_> {
    EnvelopeIn::decode(envelope.bytes()).unwrap().screen(NOW).unwrap()
}

fn receive(bytes: &[u8]) -> Result<Envelope, Reject> {
    EnvelopeIn::decode(bytes)?.screen(NOW)?.verify()
}

#[test]
fn what_alice_makes_bob_accepts_unchanged() {
    let announcement = mint(Unstamped::sign(&alice(), 0, None, NOW, 0, body(b"keys")).unwrap());
    let bell = mint(Unstamped::seal(None, NOW, 0, body(b"ding")).unwrap());
    let sealed = mint(Unstamped::seal(Some([4; 16]), NOW, 0, body(b"secret")).unwrap());
    for made in [announcement, post(1, b"hello"), bell, sealed] {
        let received = receive(made.bytes()).unwrap();
        assert_eq!(
            (received.id(), received.fields(), received.body(), received.bytes()),
            (made.id(), made.fields(), made.body(), made.bytes())
        );
        assert!(received.worth() >= stamp::price(made.bytes().len(), 6));
    }
}

#[test]
fn a_changed_byte_is_refused_wherever_it_is() {
    let made = post(1, b"hello");
    for i in 0..made.bytes().len() {
        let mut bytes = made.bytes().to_vec();
        bytes[i] ^= 1;
        assert!(receive(&bytes).is_err(), "byte {i}");
    }
}

#[test]
fn a_truncated_or_extended_envelope_is_refused() {
    let made = post(1, b"hello");
    for length in 0..made.bytes().len() {
        assert!(EnvelopeIn::decode(&made.bytes()[..length]).is_err());
    }
    let mut longer = made.bytes().to_vec();
    longer.push(0);
    assert_eq!(EnvelopeIn::decode(&longer).unwrap_err(), DecodeError::Malformed);
    assert_eq!(EnvelopeIn::decode(&vec![0; ENVELOPE_MAX + 1]).unwrap_err(), DecodeError::TooLong);
}

#[test]
fn only_the_shortest_encoding_is_taken() {
    let made = post(1, b"hello");
    // The hour as a 64-bit number says the same in more bytes.
    let at = 3;
    assert_eq!(made.bytes()[at], 0x1a);
    let mut bytes = made.bytes()[..at].to_vec();
    bytes.push(0x1b);
    bytes.extend_from_slice(&u64::from(NOW.0).to_be_bytes());
    bytes.extend_from_slice(&made.bytes()[at + 5..]);
    assert_eq!(EnvelopeIn::decode(&bytes).unwrap_err(), DecodeError::NotCanonical);
}

#[test]
fn the_future_and_the_past_are_refused_with_slack() {
    let made = post(1, b"hello");
    let at = |hour| EnvelopeIn::decode(made.bytes()).unwrap().screen(Hour(hour)).map(|_| ());
    assert_eq!(at(NOW.0 - CLOCK_SLACK_HOURS), Ok(()));
    assert_eq!(at(NOW.0 - CLOCK_SLACK_HOURS - 1), Err(Reject::Future));
    assert_eq!(at(NOW.0 + 6 + CLOCK_SLACK_HOURS), Ok(()));
    assert_eq!(at(NOW.0 + 6 + CLOCK_SLACK_HOURS + 1), Err(Reject::Expired));
}

#[test]
fn an_unpaid_envelope_is_refused_before_its_signature_is_looked_at() {
    let unstamped = Unstamped::sign(&alice(), 1, Some([9; 16]), NOW, 5, body(b"hello")).unwrap();
    assert_eq!(EnvelopeIn::decode(unstamped.bytes()).unwrap().screen(NOW).unwrap_err(), Reject::Stamp);
}

#[test]
fn a_batch_finds_exactly_the_forged_ones() {
    let posts: Vec<Envelope> = (1..20).map(|seq| post(seq, b"x")).collect();
    let mut batch: Vec<Stamped> = posts.iter().map(stamped).collect();
    for forged in [0, 7, 18] {
        if let Kind::Post(signed, _) = &mut batch[forged].0.fields.kind {
            signed.signature[5] ^= 1;
        }
    }
    let bad: Vec<usize> = verify_batch(batch, &mut rng()).iter().enumerate().filter(|(_, r)| r.is_err()).map(|(i, _)| i).collect();
    assert_eq!(bad, [0, 7, 18]);
}

/// Adding a point of small order to R makes a signature that some verifiers take alone and others only in a batch. The
/// generator of the trap that is described in the performance notes; here both answers must agree.
#[test]
fn single_and_batch_verification_agree_on_torsion_signatures() {
    use curve25519_dalek::{constants::EIGHT_TORSION, edwards::CompressedEdwardsY, scalar::Scalar};
    use sha2::Sha512;

    let secret = alice();
    let key = secret.key();
    let expanded = Sha512::digest(secret.seed());
    let mut low: [u8; 32] = expanded[..32].try_into().unwrap();
    low[0] &= 248;
    low[31] = (low[31] & 127) | 64;
    let a = Scalar::from_bytes_mod_order(low);
    let mut accepted = 0;
    for i in 0..64u64 {
        let honest = post(1, b"x");
        let mut forged = stamped(&honest);
        let r = Scalar::from(1_000_003 * (i + 1));
        let point = curve25519_dalek::EdwardsPoint::mul_base(&r) + EIGHT_TORSION[(i % 8) as usize];
        let big_r: CompressedEdwardsY = point.compress();
        let challenge = Sha512::new().chain_update(big_r.0).chain_update(key.0).chain_update(forged.0.signed_hash()).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&challenge.as_slice().try_into().unwrap());
        let s = k * a + r;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&big_r.0);
        signature[32..].copy_from_slice(s.as_bytes());
        if let Kind::Post(signed, _) = &mut forged.0.fields.kind {
            signed.signature = signature;
        }
        let single = forged.clone().verify().is_ok();
        let alone = verify_batch(vec![forged.clone()], &mut rng())[0].is_ok();
        let among = verify_batch(vec![stamped(&honest), forged], &mut rng())[1].is_ok();
        assert_eq!((single, single), (alone, among), "signature {i}");
        accepted += usize::from(single);
    }
    assert!(accepted > 0, "ZIP 215 takes these");
}

#[test]
fn both_sides_of_a_conflict_can_be_proven() {
    let (first, second) = (post(1, b"yes"), post(1, b"no"));
    assert_ne!(first.id(), second.id());
    for envelope in [&first, &second] {
        let proof = envelope.proof().unwrap();
        assert!(proof.holds(&alice().key()));
        assert!(!Proof { body_hash: [0; 32], ..proof.clone() }.holds(&alice().key()));
        assert!(!proof.holds(&IdentitySecret::from_seed([2; 32]).key()));
    }
}

#[test]
fn a_second_stamp_keeps_the_id() {
    let unstamped = Unstamped::seal(None, NOW, 0, body(b"ding")).unwrap();
    let id = unstamped.id();
    assert_eq!(mint(unstamped).id(), id);
}

proptest! {
    #[test]
    fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        let _ = EnvelopeIn::decode(&bytes);
    }

    #[test]
    fn mutations_decode_to_themselves_or_not_at_all(at in 0usize..700, value: u8) {
        let made = Unstamped::sign(&alice(), 1, Some([9; 16]), NOW, 0, body(b"hello")).unwrap();
        let mut bytes = made.bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(decoded) = EnvelopeIn::decode(&bytes) {
            let mut again = encode(&decoded.0.fields, decoded.0.body());
            *again.last_chunk_mut().unwrap() = decoded.0.nonce.to_be_bytes();
            prop_assert_eq!(again, bytes);
        }
    }
}
