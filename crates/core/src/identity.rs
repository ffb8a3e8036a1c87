//! Identities: a signing key, and the name that authenticates itself (seed 004, widened from 80 to 160 bits).

use core::{fmt, str::FromStr};

use bech32::{
    Bech32m, Fe32, Hrp,
    primitives::checksum::{Engine, PackedFe32},
};
use data_encoding::BASE32_NOPAD;
use ed25519_zebra::{Signature, SigningKey, VerificationKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

const NAME_DOMAIN: &[u8] = b"samizdat name v1\0";
/// Length of the hash inside a name, bytes.
pub const NAME_LEN: usize = 20;
/// Length of a written name without separators: 32 characters of hash and 6 of checksum.
pub const NAME_CHARS: usize = 38;
const HASH_CHARS: usize = 32;
const GROUP: usize = 4;

/// The secret half of an identity: an Ed25519 seed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct IdentitySecret([u8; 32]);

impl IdentitySecret {
    /// A fresh identity.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self(seed)
    }

    /// Restores a stored identity.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// For the vault only.
    pub fn seed(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn key(&self) -> IdentityKey {
        IdentityKey(SigningKey::from(self.0).verification_key().into())
    }

    /// Signs `message`; callers put a domain tag first.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from(self.0).sign(message).to_bytes()
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentitySecret(..)")
    }
}

/// The public half of an identity: an Ed25519 verification key as it is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey(pub [u8; 32]);

/// A signature that does not verify. Which part is wrong is of no use to anybody.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl IdentityKey {
    /// The name of this key.
    pub fn name(&self) -> Name {
        let digest = Sha256::new().chain_update(NAME_DOMAIN).chain_update(self.0).finalize();
        let mut name = [0; NAME_LEN];
        name.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Name(name)
    }

    /// Checks one signature under the rules of ZIP 215, which agree with batch verification.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        VerificationKey::try_from(self.0)
            .and_then(|key| key.verify(&Signature::from(*signature), message))
            .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key of {:?}", self.name())
    }
}

/// A self-authenticating name: the first 160 bits of a hash of the identity key.
///
/// Written as 32 characters of lower-case base32 (RFC 4648) and 6 of checksum, in groups of four. The checksum is the
/// BCH code of Bech32m (BIP 350) over the same 5-bit symbols, which tells *where* a single mistake is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub [u8; NAME_LEN]);

/// Why something typed is not a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum NameError {
    /// Not 38 characters.
    #[error("a name has {NAME_CHARS} letters and digits, this has {0}: compare it with the original")]
    Length(usize),
    /// A character outside the alphabet.
    #[error("'{0}' cannot be in a name (only a to z and 2 to 7): look at group {1}")]
    Character(char, usize),
    /// The checksum places a single mistake, counting groups of four from 1.
    #[error("there is a typing error in group {group} (\"{text}\"): compare it with the original")]
    Group {
        /// Which group, from 1.
        group: usize,
        /// What was typed there.
        text: String,
    },
    /// The checksum fails and no single mistake explains it.
    #[error("there are typing errors in this name: compare it with the original, group by group")]
    Checksum,
}

impl Name {
    /// The whole written form without separators.
    pub fn compact(&self) -> String {
        let mut text = BASE32_NOPAD.encode(&self.0).to_ascii_lowercase();
        let mut engine = engine();
        symbols(&text).for_each(|(_, s)| engine.input_fe(s));
        engine.input_target_residue();
        let residue = *engine.residue();
        text.extend((0..6).rev().map(|i| letter(residue.unpack(i))));
        text
    }

    /// The first group, enough for a label beside a petname.
    pub fn short(&self) -> String {
        self.compact().chars().take(GROUP.saturating_mul(2)).collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.compact())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(..)")
    }
}

/// Shows a written name in groups of four.
pub fn grouped(compact: &str) -> String {
    let mut out = String::new();
    for (i, c) in compact.chars().enumerate() {
        if i > 0 && i.is_multiple_of(GROUP) {
            out.push('-');
        }
        out.push(c);
    }
    out
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(typed: &str) -> Result<Self, NameError> {
        let text: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .take(NAME_CHARS.saturating_mul(4))
            .collect();
        if let Some((i, c)) = text.chars().enumerate().find(|(_, c)| symbol(*c).is_none()) {
            return Err(NameError::Character(c, group_of(i)));
        }
        if text.len() != NAME_CHARS {
            return Err(NameError::Length(text.len()));
        }
        let typed: Vec<Fe32> = symbols(&text).map(|(_, s)| s).collect();
        if !valid(&typed) {
            return Err(locate(&text, &typed));
        }
        let hash: String = text.chars().take(HASH_CHARS).collect();
        BASE32_NOPAD
            .decode(hash.to_ascii_uppercase().as_bytes())
            .ok()
            .and_then(|bytes| <[u8; NAME_LEN]>::try_from(bytes.as_slice()).ok())
            .map(Name)
            .ok_or(NameError::Checksum)
    }
}

/// Steps of vanity mining: tries `tries` keys of the sequence that `start` and `counter` name, and stops at the first
/// whose name starts with `prefix` (lower-case base32, checked by [`prefix_error`]).
pub fn mine(start: &[u8; 32], counter: &mut u64, prefix: &str, tries: u32) -> Option<IdentitySecret> {
    for _ in 0..tries {
        let seed =
            Sha256::new().chain_update(b"samizdat mine v1\0").chain_update(start).chain_update(counter.to_be_bytes()).finalize();
        *counter = counter.wrapping_add(1);
        let secret = IdentitySecret(seed.into());
        if BASE32_NOPAD.encode(&secret.key().name().0).to_ascii_lowercase().starts_with(prefix) {
            return Some(secret);
        }
    }
    None
}

/// Why `prefix` cannot be mined, if it cannot.
pub fn prefix_error(prefix: &str) -> Option<NameError> {
    prefix
        .chars()
        .enumerate()
        .find(|(_, c)| symbol(*c).is_none())
        .map(|(i, c)| NameError::Character(c, group_of(i)))
        .or_else(|| (prefix.len() > HASH_CHARS).then_some(NameError::Length(prefix.len())))
}

fn engine() -> Engine<Bech32m> {
    let mut engine = Engine::<Bech32m>::new();
    // Any fixed human-readable part separates our names from Bitcoin addresses.
    engine.input_hrp(Hrp::parse_unchecked("samizdat"));
    engine
}

fn valid(name: &[Fe32]) -> bool {
    let mut engine = engine();
    name.iter().for_each(|s| engine.input_fe(*s));
    engine.residue() == &<Bech32m as bech32::Checksum>::TARGET_RESIDUE
}

/// Finds the one symbol, or the one swap of neighbours, whose correction makes the checksum hold.
fn locate(text: &str, typed: &[Fe32]) -> NameError {
    for position in 0..typed.len() {
        let mut corrected = typed.to_vec();
        let wrong = (0..32).filter_map(|v| Fe32::try_from(v).ok()).any(|s| {
            if let Some(slot) = corrected.get_mut(position) {
                *slot = s;
            }
            valid(&corrected)
        });
        let mut swapped = typed.to_vec();
        let next = position.saturating_add(1);
        if next < swapped.len() {
            swapped.swap(position, next);
        }
        if wrong || valid(&swapped) {
            let group = group_of(position);
            let text = grouped(text).split('-').nth(group.saturating_sub(1)).unwrap_or_default().to_owned();
            return NameError::Group { group, text };
        }
    }
    NameError::Checksum
}

fn group_of(position: usize) -> usize {
    (position / GROUP).saturating_add(1)
}

fn symbol(c: char) -> Option<Fe32> {
    let value = match c {
        'a'..='z' => u32::from(c).checked_sub(u32::from('a')),
        '2'..='7' => u32::from(c).checked_sub(u32::from('2')).and_then(|v| v.checked_add(26)),
        _ => None,
    }?;
    Fe32::try_from(u8::try_from(value).ok()?).ok()
}

fn symbols(text: &str) -> impl Iterator<Item = (char, Fe32)> + '_ {
    text.chars().filter_map(|c| symbol(c).map(|s| (c, s)))
}

fn letter(value: u8) -> char {
    char::from(*b"abcdefghijklmnopqrstuvwxyz234567".get(usize::from(value & 31)).unwrap_or(&b'a'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    fn alice() -> Name {
        IdentitySecret::from_seed([1; 32]).key().name()
    }

    #[test]
    fn a_name_survives_writing_and_typing() {
        let name = alice();
        assert_eq!(name.compact().len(), NAME_CHARS);
        assert_eq!(name.compact().parse(), Ok(name));
        assert_eq!(grouped(&name.compact()).to_uppercase().parse(), Ok(name));
        assert_eq!(format!(" {} ", grouped(&name.compact()).replace('-', " ")).parse(), Ok(name));
    }

    #[test]
    fn every_single_typing_error_is_placed_in_its_group() {
        let text = alice().compact();
        for i in 0..NAME_CHARS {
            let mut typed: Vec<char> = text.chars().collect();
            typed[i] = if typed[i] == 'q' { 'r' } else { 'q' };
            let error = typed.iter().collect::<String>().parse::<Name>().unwrap_err();
            assert!(matches!(error, NameError::Group { group, .. } if group == i / 4 + 1), "position {i}: {error}");
        }
    }

    #[test]
    fn swapped_neighbours_are_placed() {
        let text = alice().compact();
        for i in 0..NAME_CHARS - 1 {
            let mut typed: Vec<char> = text.chars().collect();
            typed.swap(i, i + 1);
            if typed[i] == typed[i + 1] {
                continue;
            }
            let error = typed.iter().collect::<String>().parse::<Name>().unwrap_err();
            assert!(matches!(error, NameError::Group { group, .. } if group == i / 4 + 1), "position {i}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_told_plainly() {
        assert_eq!("abc".parse::<Name>(), Err(NameError::Length(3)));
        assert_eq!("abcd-e1".parse::<Name>(), Err(NameError::Character('1', 2)));
    }

    #[test]
    fn mining_finds_the_prefix_and_can_be_stopped_and_resumed() {
        let mut counter = 0;
        let mut steps = 0;
        let secret = loop {
            steps += 1;
            if let Some(found) = mine(&[7; 32], &mut counter, "b", 4) {
                break found;
            }
        };
        assert!(steps > 0 && secret.key().name().compact().starts_with('b'));
        assert!(prefix_error("bob").is_none());
        assert!(prefix_error("b0b").is_some());
    }

    #[test]
    fn signatures_verify_only_for_their_key_and_message() {
        let secret = IdentitySecret::from_seed([2; 32]);
        let signature = secret.sign(b"hello");
        assert_eq!(secret.key().verify(b"hello", &signature), Ok(()));
        assert_eq!(secret.key().verify(b"hellp", &signature), Err(BadSignature));
        assert_eq!(IdentityKey([9; 32]).verify(b"hello", &signature), Err(BadSignature));
    }
}
