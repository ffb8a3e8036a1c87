//! Passphrases: a link to a cluster as words that can be said on the phone. They are drawn, never chosen by people, because whoever
//! stored the envelopes of a door can try passphrases for ever. Bytes and figures: docs/protocol/cluster.md and ADR 12.

use core::{fmt, str::FromStr};

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    limits::{PHRASE_KIB, PHRASE_PASSES, PHRASE_WORDS_MAX, PHRASE_WORDS_MIN},
    link::{LINK_LEN, OpenDoor},
};

/// The English words of BIP 39, in ascending order: no two begin with the same four letters.
const WORDS: &str = include_str!("phrase/words.txt");
/// The same for everybody, since the passphrase is all that is handed over. With passphrases that people choose, one table of
/// guesses would then do for all clusters; of drawn ones there are too many for any table.
const SALT: &[u8] = b"samizdat cluster phrase v2";
const CHECK_DOMAIN: &[u8] = b"samizdat phrase v1\0";
/// Random bits of each word; the lowest bit of its number is a check bit.
const WORD_BITS: u32 = 10;

/// Words that stand for a link to a cluster.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Phrase(Vec<u16>);

/// Why something is no passphrase.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PhraseError {
    /// Too few or too many words.
    #[error("a passphrase has {PHRASE_WORDS_MIN} to {PHRASE_WORDS_MAX} words, this has {0}: ask for all of them")]
    Count(usize),
    /// A word that none has.
    #[error("word {0} of the passphrase, \"{1}\", is none of the words that there are: ask how it is spelled")]
    Unknown(usize, String),
    /// Words that exist, but not together.
    #[error(
        "these words do not belong together: one was misheard, is missing, or two changed places; ask for the passphrase again"
    )]
    Check,
    /// Argon2id failed.
    #[error("the passphrase could not be computed on this machine: ask for a link instead")]
    Derivation,
}

impl Phrase {
    /// So many words from 32 random bytes, of which two are used for each.
    ///
    /// # Errors
    /// If there are no passphrases of so many words.
    pub fn draw(words: usize, seed: &[u8; 32]) -> Result<Self, PhraseError> {
        if !(PHRASE_WORDS_MIN..=PHRASE_WORDS_MAX).contains(&words) {
            return Err(PhraseError::Count(words));
        }
        let pairs = seed.chunks_exact(2).take(words);
        let drawn = pairs.map(|pair| pair.iter().fold(0u16, |number, byte| number << 8 | u16::from(*byte)) >> (16 - WORD_BITS));
        let drawn = Zeroizing::new(drawn.collect::<Vec<u16>>());
        Ok(Self(drawn.iter().zip(check_bits(&drawn)).map(|(number, check)| number << 1 | check).collect()))
    }

    /// The door for which it stands: whoever has the passphrase has its key, too. Takes [`PHRASE_KIB`] of memory and a good part of
    /// a second.
    ///
    /// # Errors
    /// If Argon2id fails.
    pub fn door(&self) -> Result<OpenDoor, PhraseError> {
        let params = Params::new(PHRASE_KIB, PHRASE_PASSES, 1, Some(LINK_LEN)).map_err(|_| PhraseError::Derivation)?;
        let mut derived = Zeroizing::new([0; LINK_LEN]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.text().as_bytes(), SALT, derived.as_mut())
            .map_err(|_| PhraseError::Derivation)?;
        Ok(OpenDoor::restore(&derived))
    }

    /// The words with one space between two of them.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len().saturating_mul(WORD_LEN_MAX.saturating_add(1))));
        for (place, word) in self.0.iter().filter_map(|number| WORDS.lines().nth(usize::from(*number))).enumerate() {
            if place > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }
}

/// Letters of the longest word.
const WORD_LEN_MAX: usize = 8;

/// One for each word.
fn check_bits(drawn: &[u16]) -> impl Iterator<Item = u16> {
    let digest =
        drawn.iter().fold(Sha256::new().chain_update(CHECK_DOMAIN), |digest, number| digest.chain_update(number.to_be_bytes()));
    let bits = |byte: u8| (0..8).rev().map(move |place| u16::from(byte >> place & 1));
    let bytes: [u8; 32] = digest.finalize().into();
    bytes.into_iter().flat_map(bits)
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}

impl FromStr for Phrase {
    type Err = PhraseError;

    /// Upper case, and whatever stands between words, do not matter.
    fn from_str(text: &str) -> Result<Self, PhraseError> {
        let said = || text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let count = said().count();
        if !(PHRASE_WORDS_MIN..=PHRASE_WORDS_MAX).contains(&count) {
            return Err(PhraseError::Count(count));
        }
        let mut phrase = Self(Vec::with_capacity(count));
        for (word, place) in said().zip(1..) {
            let known = || WORDS.lines().position(|known| known.eq_ignore_ascii_case(word));
            let number = known().and_then(|number| u16::try_from(number).ok());
            phrase.0.push(number.ok_or_else(|| PhraseError::Unknown(place, shortened(word)))?);
        }
        let drawn = Zeroizing::new(phrase.0.iter().map(|number| number >> 1).collect::<Vec<u16>>());
        let fits = phrase.0.iter().zip(check_bits(&drawn)).all(|(number, check)| number & 1 == check);
        if fits { Ok(phrase) } else { Err(PhraseError::Check) }
    }
}

/// As much of it as an error shows: somebody may have pasted a book.
fn shortened(word: &str) -> String {
    word.chars().take(2 * WORD_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn drawn() -> Phrase {
        Phrase::draw(PHRASE_WORDS_MIN, &[77; 32]).unwrap()
    }

    #[test]
    fn the_list_is_the_one_of_bip_39() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!((words.len(), words[0], words[2047]), (2048, "abandon", "zoo"));
        assert!(words.is_sorted() && words.iter().all(|word| word.len() <= WORD_LEN_MAX));
        let starts: std::collections::BTreeSet<String> = words.iter().map(|word| word.chars().take(4).collect()).collect();
        assert_eq!(starts.len(), 2048, "the first four letters tell words apart");
    }

    proptest! {
        #[test]
        fn a_passphrase_survives_saying(seed: [u8; 32], words in PHRASE_WORDS_MIN..=PHRASE_WORDS_MAX) {
            let phrase = Phrase::draw(words, &seed).unwrap();
            let text = phrase.text();
            prop_assert_eq!(text.split(' ').count(), words);
            prop_assert!(text.len() <= words * (WORD_LEN_MAX + 1));
            prop_assert_eq!(text.parse(), Ok(phrase.clone()));
            let sloppy = format!("  {}.\n", text.to_uppercase().replace(' ', ",  "));
            prop_assert_eq!(sloppy.parse(), Ok(phrase));
        }

        #[test]
        fn any_text_parses_without_panic(text in ".{0,200}") {
            let _ = text.parse::<Phrase>();
        }
    }

    #[test]
    fn each_word_that_was_misheard_for_its_neighbour_is_noticed() {
        let phrase = drawn();
        for place in 0..phrase.0.len() {
            let mut heard = phrase.clone();
            heard.0[place] ^= 1;
            assert_eq!(heard.text().parse::<Phrase>(), Err(PhraseError::Check));
        }
    }

    #[test]
    fn of_other_mistakes_few_are_not_noticed() {
        let seeds = (0..=255u8).map(|byte| Phrase::draw(8, &[byte; 32]).unwrap());
        let mistakes: Vec<Phrase> = seeds
            .map(|mut phrase| {
                phrase.0[3] = (phrase.0[3] + 2) % 2048;
                phrase
            })
            .collect();
        let unnoticed = mistakes.iter().filter(|phrase| phrase.text().parse::<Phrase>().is_ok()).count();
        assert!(unnoticed <= 5, "one of 256 is expected: {unnoticed}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = drawn().text().to_string();
        let first = text.split(' ').next().unwrap();
        assert_eq!("".parse::<Phrase>(), Err(PhraseError::Count(0)));
        assert_eq!(text.replacen(first, "", 1).parse::<Phrase>(), Err(PhraseError::Count(7)));
        assert_eq!(format!("{text} {text}").parse::<Phrase>(), Err(PhraseError::Count(16)));
        assert_eq!(text.replacen(first, "brigde", 1).parse::<Phrase>(), Err(PhraseError::Unknown(1, "brigde".into())));
        let long = "x".repeat(10_000);
        assert_eq!(text.replacen(first, &long, 1).parse::<Phrase>(), Err(PhraseError::Unknown(1, "x".repeat(16))));
        assert_eq!([7, 13].map(|words| Phrase::draw(words, &[1; 32])), [7, 13].map(|words| Err(PhraseError::Count(words))));
        assert_eq!(format!("{:?}", drawn()), "Phrase(..)");
    }

    #[test]
    fn two_passphrases_are_two_doors() {
        let (one, other) = (drawn().door().unwrap(), Phrase::draw(8, &[78; 32]).unwrap().door().unwrap());
        assert!(one != other && one == drawn().door().unwrap());
        assert_eq!(one.link.key(), one.key.public());
    }
}
