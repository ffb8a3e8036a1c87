//! The stamp: proof of work over a finished envelope (seed 004; pricing after Bitmessage).
//!
//! `SHA-256("szstamp" | id | nonce u64 BE)`, read as a big-endian number in its first eight bytes, must not exceed
//! `2^64 / tries`. The nonce is no part of the id: a dearer stamp can be made later without a new envelope.

use sha2::block_api::compress256;

use crate::{
    ids::EnvelopeId,
    limits::{STAMP_BASE, STAMP_CEILING, STAMP_FLOOR, STAMP_PRICE},
};

/// The only algorithm of this protocol version: SHA-256 hashcash.
pub const ALGORITHM: u8 = 1;
const DOMAIN: &[u8; 7] = b"szstamp";
/// What SHA-256 starts from (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// How it fills up a block after 47 bytes (FIPS 180-4, 5.1.1): a one, zeros, and how many bits there were.
const PADDING: [u8; 17] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x78];

/// Expected number of tries that an envelope of `length` bytes must have cost to live `lifetime_hours`.
pub fn price(length: usize, lifetime_hours: u32) -> u64 {
    u64::try_from(length)
        .unwrap_or(u64::MAX)
        .saturating_add(STAMP_BASE)
        .saturating_mul(u64::from(lifetime_hours))
        .saturating_mul(STAMP_PRICE)
        .clamp(STAMP_FLOOR, STAMP_CEILING)
}

/// Whether `nonce` is worth at least `tries` for `id`.
pub fn check(id: &EnvelopeId, nonce: u64, tries: u64) -> bool {
    draw(id, nonce) <= target(tries)
}

/// What a stamp is worth: the expected number of tries for one at least as good.
pub fn worth(id: &EnvelopeId, nonce: u64) -> u64 {
    u64::MAX.checked_div(draw(id, nonce)).unwrap_or(u64::MAX)
}

/// Minting in steps, so that the caller decides threads, progress and when to stop.
///
/// Several threads share one search by starting far from each other.
#[derive(Clone, Debug)]
pub struct Mint {
    id: EnvelopeId,
    tries: u64,
    next: u64,
    made: u64,
}

impl Mint {
    /// A search for a stamp worth `tries` from the nonce `start` on. Everybody sees the nonce: a random start hides how
    /// many tries and threads it took, which could tell machines apart.
    pub fn new(id: EnvelopeId, tries: u64, start: u64) -> Self {
        Self { id, tries, next: start, made: 0 }
    }

    /// Makes up to `steps` tries; the nonce when one was found.
    pub fn step(&mut self, steps: u32) -> Option<u64> {
        let target = target(self.tries);
        for _ in 0..steps {
            let nonce = self.next;
            self.next = nonce.wrapping_add(1);
            self.made = self.made.saturating_add(1);
            if draw(&self.id, nonce) <= target {
                return Some(nonce);
            }
        }
        None
    }

    /// Tries that a stamp costs on average.
    pub fn expected(&self) -> u64 {
        self.tries
    }

    /// Tries made so far in this lane.
    pub fn made(&self) -> u64 {
        self.made
    }
}

fn target(tries: u64) -> u64 {
    u64::MAX.checked_div(tries).unwrap_or(u64::MAX)
}

/// The hash, read as a number. Domain, id and nonce fit into one block of SHA-256 with its padding: the library's compression
/// of that block takes two thirds of the time of its digest, and minting does nothing else.
fn draw(id: &EnvelopeId, nonce: u64) -> u64 {
    let mut block = [0u8; 64];
    let (domain, rest) = block.split_at_mut(DOMAIN.len());
    let (hash, rest) = rest.split_at_mut(id.0.len());
    domain.copy_from_slice(DOMAIN);
    hash.copy_from_slice(&id.0);
    let (tail, padding) = rest.split_at_mut(8);
    tail.copy_from_slice(&nonce.to_be_bytes());
    padding.copy_from_slice(&PADDING);
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    let [high, low, ..] = state;
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn what_is_drawn_is_the_hash() {
        for nonce in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let digest = Sha256::new().chain_update(DOMAIN).chain_update(ID.0).chain_update(nonce.to_be_bytes()).finalize();
            assert_eq!(draw(&ID, nonce).to_be_bytes(), digest[..8]);
        }
    }

    const ID: EnvelopeId = EnvelopeId([3; 32]);

    #[test]
    fn a_minted_stamp_checks_and_another_id_does_not() {
        let mut mint = Mint::new(ID, 500, 0);
        let nonce = loop {
            if let Some(nonce) = mint.step(10) {
                break nonce;
            }
        };
        assert!(check(&ID, nonce, 500));
        assert!(worth(&ID, nonce) >= 500);
        assert!(!check(&EnvelopeId([4; 32]), nonce, 1 << 40));
        assert!(mint.made() >= 1);
    }

    #[test]
    fn the_price_grows_with_size_and_lifetime_between_floor_and_ceiling() {
        assert!(price(600, 336) > price(600, 24));
        assert!(price(8000, 336) > price(600, 336));
        assert_eq!(price(0, 0), STAMP_FLOOR);
        assert_eq!(price(usize::MAX, u32::MAX), STAMP_CEILING);
    }

    #[test]
    fn minting_takes_about_the_expected_number_of_tries() {
        let total: u64 = (0..64u8)
            .map(|i| {
                let mut mint = Mint::new(EnvelopeId([i; 32]), 256, 0);
                while mint.step(1).is_none() {}
                mint.made()
            })
            .sum();
        assert!((64 * 128..64 * 512).contains(&total), "{total}");
    }
}
