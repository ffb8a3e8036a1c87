//! Under which keys and nonces the MLS library encrypts, as hashes. Only built for simulations, and only on threads that ask.

use std::cell::RefCell;

use sha2::{Digest, Sha256};

/// One encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sealed {
    /// Names the key.
    pub key: [u8; 16],
    /// The nonce.
    pub nonce: [u8; 12],
    /// Names what was encrypted, with what it is bound to.
    pub content: [u8; 16],
}

thread_local! {
    static SEALED: RefCell<Option<Vec<Sealed>>> = const { RefCell::new(None) };
}

/// Watches this thread from now on.
pub fn begin() {
    SEALED.with_borrow_mut(|sealed| *sealed = Some(Vec::new()));
}

/// What was encrypted on this thread since the last time.
pub fn take() -> Vec<Sealed> {
    SEALED.with_borrow_mut(|sealed| sealed.as_mut().map(std::mem::take)).unwrap_or_default()
}

pub(super) fn note(key: &[u8], nonce: &[u8], data: &[u8], aad: &[u8]) {
    SEALED.with_borrow_mut(|sealed| {
        let (Some(sealed), Ok(nonce)) = (sealed, nonce.try_into()) else { return };
        let length = (aad.len() as u64).to_be_bytes();
        sealed.push(Sealed { key: short(&[key]), nonce, content: short(&[&length, aad, data]) });
    });
}

fn short(bytes: &[&[u8]]) -> [u8; 16] {
    let digest = bytes.iter().fold(Sha256::new(), |hash, bytes| hash.chain_update(bytes)).finalize();
    let mut short = [0; 16];
    short.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    short
}
