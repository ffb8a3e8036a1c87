//! Posts as a person's node would make them, signed and stamped, without the announcement that a new identity starts with.

use samizdat_chat::content::Post;
use samizdat_core::{EnvelopeId, IdentitySecret, Now, Unstamped, envelope::TOPIC_LEN, pad::pad, stamp::Mint};
use sha2::{Digest, Sha256};

use crate::world::SimError;

/// The cheapest lifetime class: stamps are real.
const LIFETIME: u8 = 0;
const MINT_STEP: u32 = 1 << 16;
/// A room that no node joins by itself, as most rooms are to most nodes.
const ROOM: &str = "simulation";

/// One identity and how much it has written.
#[derive(Debug)]
pub(crate) struct Author {
    secret: IdentitySecret,
    next: u64,
}

impl Author {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { secret: IdentitySecret::from_seed(seed), next: 0 }
    }

    /// Id and bytes of a new post.
    pub(crate) fn post(&mut self, text: &str, now: Now) -> Result<(EnvelopeId, Vec<u8>), SimError> {
        let content = Post { room: ROOM.into(), at: now.unix_ms, text: text.into() }.encode();
        let body = pad(&content, 0).map_err(|_| SimError::Text)?;
        let digest = Sha256::digest([&b"samizdat room v1\0"[..], ROOM.as_bytes()].concat());
        let topic = digest.first_chunk::<TOPIC_LEN>().copied();
        let unstamped = Unstamped::sign(&self.secret, self.next, topic, now.hour(), LIFETIME, body).map_err(|_| SimError::Text)?;
        self.next = self.next.saturating_add(1);
        let nonce = mint(&unstamped.id(), unstamped.price());
        let envelope = unstamped.stamp(nonce).map_err(|_| SimError::Text)?;
        Ok((envelope.id(), envelope.bytes().to_vec()))
    }
}

/// Finds a real stamp.
pub(crate) fn mint(id: &EnvelopeId, tries: u64) -> u64 {
    let mut mint = Mint::new(*id, tries, 0);
    loop {
        if let Some(nonce) = mint.step(MINT_STEP) {
            return nonce;
        }
    }
}
