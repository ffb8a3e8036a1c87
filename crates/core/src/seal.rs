//! Encryption to one recipient (bells) and the outer layer of conversations.
//!
//! Bells: HPKE (RFC 9180) base mode with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305, single shot, `encapsulation | ciphertext`.
//! Outer layer: every message of a conversation lies under a one-time tag and a one-time key, both HMAC-SHA256 outputs
//! under a secret that the MLS group exports per epoch, so that what is stored shows neither group, nor sender, nor epoch.

use core::fmt;

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305 as HpkeChaCha, kdf::HkdfSha256, kem::XWing,
    single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::pad::{TooLong, pad, unpad};

pub mod door;

const BELL_INFO: &[u8] = b"samizdat bell v1\0";
/// Length of an X-Wing encapsulation key, bytes.
pub const CONTACT_KEY_LEN: usize = 1216;
const ENCAPSULATION_LEN: usize = 1120;
const AEAD_TAG: usize = 16;
/// Bytes that sealing a bell adds.
pub const BELL_OVERHEAD: usize = ENCAPSULATION_LEN + AEAD_TAG;
/// Length of the salt of a body within a cluster.
const SALT_LEN: usize = 16;
/// Length of a one-time tag, bytes.
pub const TAG_LEN: usize = 16;

/// The secret that opens bells: the seed of an X-Wing key pair.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ContactSecret([u8; 32]);

impl fmt::Debug for ContactSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactSecret(..)")
    }
}

/// What cannot be sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum SealError {
    /// The recipient's key is malformed.
    #[error("the contact key is malformed")]
    Key,
    /// Not for us, or tampered with.
    #[error("not sealed to this key")]
    Open,
    /// More than one envelope can carry.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl ContactSecret {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self(seed)
    }

    /// Restores a stored key.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// For the vault only.
    pub fn seed(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half, [`CONTACT_KEY_LEN`] bytes.
    pub fn contact_key(&self) -> Vec<u8> {
        XWing::derive_keypair(&self.0).1.to_bytes().to_vec()
    }

    /// Opens the body of a bell.
    pub fn open(&self, body: &[u8]) -> Result<Vec<u8>, SealError> {
        let (encapsulation, ciphertext) = body.split_at_checked(ENCAPSULATION_LEN).ok_or(SealError::Open)?;
        let encapsulation = <XWing as hpke::Kem>::EncappedKey::from_bytes(encapsulation).map_err(|_| SealError::Open)?;
        let secret = XWing::derive_keypair(&self.0).0;
        let padded =
            single_shot_open::<HpkeChaCha, HkdfSha256, XWing>(&OpModeR::Base, &secret, &encapsulation, BELL_INFO, ciphertext, &[])
                .map_err(|_| SealError::Open)?;
        unpad(&padded).map(<[u8]>::to_vec).map_err(|_| SealError::Open)
    }
}

/// Seals `content` into the body of a bell for the holder of `contact_key`.
pub fn seal_bell(contact_key: &[u8], content: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
    let key = <XWing as hpke::Kem>::PublicKey::from_bytes(contact_key).map_err(|_| SealError::Key)?;
    let padded = pad(content, BELL_OVERHEAD)?;
    let (encapsulation, ciphertext) =
        single_shot_seal_with_rng::<HpkeChaCha, HkdfSha256, XWing>(&OpModeS::Base, &key, BELL_INFO, &padded, &[], rng)
            .map_err(|_| SealError::Key)?;
    let mut body = encapsulation.to_bytes().to_vec();
    body.extend_from_slice(&ciphertext);
    Ok(body)
}

/// The secret of one epoch of a conversation, exported from its MLS group.
#[derive(Clone, Zeroize, ZeroizeOnDrop, PartialEq, Eq)]
pub struct OuterSecret([u8; 32]);

impl fmt::Debug for OuterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OuterSecret(..)")
    }
}

impl OuterSecret {
    /// Wraps what the group exported.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// For the vault only.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The one-time tag under which message `counter` of the member with rank `sender` lies.
    pub fn tag(&self, sender: u8, counter: u64) -> [u8; TAG_LEN] {
        let long = self.derive(b"samizdat tag v1\0", sender, counter);
        let mut tag = [0; TAG_LEN];
        tag.iter_mut().zip(long).for_each(|(to, from)| *to = from);
        tag
    }

    /// Seals `content` for message `counter` of `sender`. Sealing two contents with one counter would reuse a key:
    /// the caller persists the counter in the transaction that produces `content`.
    pub fn seal(&self, sender: u8, counter: u64, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let padded = pad(content, AEAD_TAG)?;
        let tag = self.tag(sender, counter);
        self.cipher(sender, counter).encrypt(&[0; 12].into(), Payload { msg: &padded, aad: &tag }).map_err(|_| SealError::Key)
    }

    /// Opens what [`OuterSecret::seal`] made.
    pub fn open(&self, sender: u8, counter: u64, body: &[u8]) -> Result<Vec<u8>, SealError> {
        let tag = self.tag(sender, counter);
        let padded =
            self.cipher(sender, counter).decrypt(&[0; 12].into(), Payload { msg: body, aad: &tag }).map_err(|_| SealError::Open)?;
        unpad(&padded).map(<[u8]>::to_vec).map_err(|_| SealError::Open)
    }

    fn cipher(&self, sender: u8, counter: u64) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.derive(b"samizdat key v1\0", sender, counter).into())
    }

    fn derive(&self, label: &[u8], sender: u8, counter: u64) -> [u8; 32] {
        // HMAC takes keys of any length, so this constructor cannot fail; were it to, the derived value would be useless, not unsafe.
        let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(label);
        mac.update(&[sender]);
        mac.update(&counter.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// The secret of one state of a cluster, or of a door to it. Sealing twice under one counter is not a catastrophe here: each body
/// has a salt of its own, because a vault from a backup counts anew.
#[derive(Clone, Zeroize, ZeroizeOnDrop, PartialEq, Eq)]
pub struct StateSecret([u8; 32]);

impl fmt::Debug for StateSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateSecret(..)")
    }
}

impl StateSecret {
    /// Wraps what the group exported, or what opens a door.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// For the vault only.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The one-time tag under which message `counter` of whoever is at `leaf` lies.
    pub fn tag(&self, leaf: u32, counter: u64) -> [u8; TAG_LEN] {
        self.tags(leaf)(counter)
    }

    /// All tags of whoever is at `leaf`, by counter: keyed once, which is half of the work for one.
    pub fn tags(&self, leaf: u32) -> impl Fn(u64) -> [u8; TAG_LEN] + use<> {
        let keyed = self.keyed(b"samizdat cluster tag v1\0", leaf);
        move |counter| {
            let long = derived(keyed.clone(), counter, &[]);
            let mut tag = [0; TAG_LEN];
            tag.iter_mut().zip(long).for_each(|(to, from)| *to = from);
            tag
        }
    }

    /// Seals `content` for message `counter` of whoever is at `leaf`: salt, then ciphertext.
    pub fn seal(&self, leaf: u32, counter: u64, content: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let padded = pad(content, SALT_LEN.saturating_add(AEAD_TAG))?;
        let tag = self.tag(leaf, counter);
        let payload = Payload { msg: &padded, aad: &tag };
        let sealed = self.cipher(leaf, counter, &salt).encrypt(&[0; 12].into(), payload).map_err(|_| SealError::Key)?;
        Ok([&salt[..], &sealed].concat())
    }

    /// Opens what [`StateSecret::seal`] made.
    pub fn open(&self, leaf: u32, counter: u64, body: &[u8]) -> Result<Vec<u8>, SealError> {
        let (salt, sealed) = body.split_first_chunk::<SALT_LEN>().ok_or(SealError::Open)?;
        let tag = self.tag(leaf, counter);
        let payload = Payload { msg: sealed, aad: &tag };
        let padded = self.cipher(leaf, counter, salt).decrypt(&[0; 12].into(), payload).map_err(|_| SealError::Open)?;
        unpad(&padded).map(<[u8]>::to_vec).map_err(|_| SealError::Open)
    }

    /// Seals what somebody is handed with an invitation into this state, of any length: salt, then ciphertext. Padding is for whoever
    /// cuts it in pieces.
    pub fn enclose(&self, content: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let sealed = self.enclosure(&salt).encrypt(&[0; 12].into(), content).map_err(|_| SealError::Key)?;
        Ok([&salt[..], &sealed].concat())
    }

    /// Opens what [`StateSecret::enclose`] made.
    pub fn disclose(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (salt, sealed) = sealed.split_first_chunk::<SALT_LEN>().ok_or(SealError::Open)?;
        self.enclosure(salt).decrypt(&[0; 12].into(), sealed).map_err(|_| SealError::Open)
    }

    fn enclosure(&self, salt: &[u8]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&derived(self.keyed(b"samizdat cluster enclosure v1\0", 0), 0, salt).into())
    }

    fn cipher(&self, leaf: u32, counter: u64, salt: &[u8]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&derived(self.keyed(b"samizdat cluster key v1\0", leaf), counter, salt).into())
    }

    fn keyed(&self, label: &[u8], leaf: u32) -> Option<Hmac<Sha256>> {
        // See `OuterSecret`.
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0).ok()?;
        mac.update(label);
        mac.update(&leaf.to_be_bytes());
        Some(mac)
    }
}

fn derived(keyed: Option<Hmac<Sha256>>, counter: u64, salt: &[u8]) -> [u8; 32] {
    let Some(mut mac) = keyed else { return [0; 32] };
    mac.update(&counter.to_be_bytes());
    mac.update(salt);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SIZE_CLASSES;
    use rand_core::SeedableRng;

    fn rng() -> rand_chacha::ChaCha20Rng {
        rand_chacha::ChaCha20Rng::from_seed([5; 32])
    }

    #[test]
    fn a_bell_opens_for_its_recipient_only() {
        let mut rng = rng();
        let bob = ContactSecret::generate(&mut rng);
        let mallory = ContactSecret::generate(&mut rng);
        assert_eq!(bob.contact_key().len(), CONTACT_KEY_LEN);
        let body = seal_bell(&bob.contact_key(), b"hello bob", &mut rng).unwrap();
        assert!(SIZE_CLASSES.contains(&body.len()));
        assert_eq!(bob.open(&body).unwrap(), b"hello bob");
        assert_eq!(mallory.open(&body), Err(SealError::Open));
        let mut tampered = body.clone();
        tampered[1500] ^= 1;
        assert_eq!(bob.open(&tampered), Err(SealError::Open));
        assert_eq!(bob.open(&body[..100]), Err(SealError::Open));
        assert_eq!(seal_bell(&[1; 10], b"x", &mut rng), Err(SealError::Key));
    }

    #[test]
    fn the_outer_layer_opens_with_the_right_sender_and_counter_only() {
        let secret = OuterSecret::new([8; 32]);
        let body = secret.seal(0, 7, b"inner").unwrap();
        assert!(SIZE_CLASSES.contains(&body.len()));
        assert_eq!(secret.open(0, 7, &body).unwrap(), b"inner");
        assert_eq!(secret.open(1, 7, &body), Err(SealError::Open));
        assert_eq!(secret.open(0, 8, &body), Err(SealError::Open));
        assert_ne!(secret.tag(0, 7), secret.tag(0, 8));
        assert_ne!(secret.tag(0, 7), secret.tag(1, 7));
        assert_ne!(secret.tag(0, 7), OuterSecret::new([9; 32]).tag(0, 7));
    }

    #[test]
    fn what_is_sealed_twice_under_one_counter_of_a_state_is_not_the_same() {
        let (secret, mut rng) = (StateSecret::new([8; 32]), rng());
        let (one, two) = (secret.seal(3, 7, b"inner", &mut rng).unwrap(), secret.seal(3, 7, b"inner", &mut rng).unwrap());
        assert!(SIZE_CLASSES.contains(&one.len()));
        assert_ne!(one, two);
        assert_eq!((secret.open(3, 7, &one).unwrap(), secret.open(3, 7, &two).unwrap()), (b"inner".to_vec(), b"inner".to_vec()));
        assert_eq!(secret.open(2, 7, &one), Err(SealError::Open));
        assert_eq!(secret.open(3, 8, &one), Err(SealError::Open));
        assert_eq!(secret.open(3, 7, &one[..9]), Err(SealError::Open));
        assert_ne!(secret.tag(3, 7), secret.tag(3, 8));
        assert_ne!(secret.tag(3, 7), secret.tag(2, 7));
    }

    #[test]
    fn what_goes_with_an_invitation_opens_in_its_state_only() {
        let (secret, mut rng) = (StateSecret::new([8; 32]), rng());
        let long = vec![1; 100_000];
        let (one, two) = (secret.enclose(&long, &mut rng).unwrap(), secret.enclose(&long, &mut rng).unwrap());
        assert!(one != two && secret.disclose(&one).unwrap() == long && secret.disclose(&two).unwrap() == long);
        assert_eq!(StateSecret::new([9; 32]).disclose(&one), Err(SealError::Open));
        assert_eq!(secret.disclose(&one[..10]), Err(SealError::Open));
        assert_eq!(secret.disclose(&[&one[..], &[0]].concat()), Err(SealError::Open));
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        assert_eq!(format!("{:?} {:?}", ContactSecret([1; 32]), OuterSecret([1; 32])), "ContactSecret(..) OuterSecret(..)");
    }
}
