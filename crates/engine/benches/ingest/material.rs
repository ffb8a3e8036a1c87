//! Envelopes to take in. Their stamps are real and therefore kept from run to run.

use std::{fs, path::PathBuf};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_chat::content::Post;
use samizdat_core::{IdentitySecret, Unstamped, pad::pad, stamp::Mint};

use crate::NOW;

const POSTS: usize = 2048;
const SEALED: usize = 1024;
const FORGED: usize = 256;
const AUTHORS: usize = 200;
/// The cheapest.
const LIFETIME: u8 = 0;
const MAGIC: &[u8] = b"samizdat log v1\n";

pub struct Material {
    /// Posts of 200 authors.
    pub posts: Vec<Vec<u8>>,
    pub sealed: Vec<Vec<u8>>,
    /// Posts whose stamp is worth nothing.
    pub unpaid: Vec<Vec<u8>>,
    /// Paid for, but not signed by their author.
    pub forged: Vec<Vec<u8>>,
}

impl Material {
    pub fn load() -> Self {
        let posts = kept("posts-1", || (0..POSTS).map(|n| minted(&post(n), true)).collect());
        let sealed = kept("sealed-1", || (0..SEALED).map(|n| minted(&sealed(n), true)).collect());
        let forged = kept("forged-1", || (0..FORGED).map(|n| minted(&forged(n), false)).collect());
        let unpaid = posts.iter().map(|bytes| with_nonce(bytes, 1)).collect();
        Self { posts, sealed, unpaid, forged }
    }
}

/// A file as [`samizdat_engine::Engine::import`] reads it.
pub fn file(envelopes: &[Vec<u8>]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for bytes in envelopes {
        file.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

fn kept(name: &str, make: impl FnOnce() -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ingest-{name}"));
    if let Ok(bytes) = fs::read(&path) {
        return unfile(&bytes);
    }
    eprintln!("finding stamps for {}", path.display());
    let made = make();
    fs::write(&path, file(&made)).unwrap();
    made
}

fn unfile(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[MAGIC.len()..];
    let mut envelopes = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (bytes, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        envelopes.push(bytes.to_vec());
        rest = after;
    }
    envelopes
}

fn post(n: usize) -> Unstamped {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&((n % AUTHORS) as u64).to_be_bytes());
    let content = Post { room: "bench".into(), at: NOW.unix_ms, text: format!("{n} ").repeat(60) }.encode();
    let secret = IdentitySecret::from_seed(seed);
    Unstamped::sign(&secret, (n / AUTHORS) as u64, Some([3; 16]), NOW.hour(), LIFETIME, pad(&content, 0).unwrap()).unwrap()
}

fn sealed(n: usize) -> Unstamped {
    let mut rng = ChaCha20Rng::seed_from_u64(n as u64);
    let (mut tag, mut body) = ([0; 16], vec![0; 512]);
    rng.fill_bytes(&mut tag);
    rng.fill_bytes(&mut body);
    Unstamped::seal(Some(tag), NOW.hour(), LIFETIME, body).unwrap()
}

/// The signature lies before the ten bytes of the stamp.
fn forged(n: usize) -> Unstamped {
    let mut bytes = post(POSTS + n).bytes().to_vec();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    Unstamped::from_bytes(&bytes).unwrap()
}

fn minted(unstamped: &Unstamped, good: bool) -> Vec<u8> {
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    let nonce = loop {
        if let Some(nonce) = mint.step(1 << 20) {
            break nonce;
        }
    };
    assert_eq!(unstamped.clone().stamp(nonce).is_ok(), good);
    with_nonce(unstamped.bytes(), nonce)
}

fn with_nonce(bytes: &[u8], nonce: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() - 8;
    bytes[at..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}
