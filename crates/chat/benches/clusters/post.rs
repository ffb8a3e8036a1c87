//! Envelopes of a cluster as its members would make them, with real stamps.

use minicbor::{Decoder, Encoder};
use rand_chacha::ChaCha20Rng;
use samizdat_cluster::{limits::PART_MAX, parts};
use samizdat_core::{Envelope, EnvelopeId, Unstamped, seal::StateSecret, stamp::Mint};

use crate::NOW;

/// Kinds of pieces (docs/protocol/cluster.md).
pub const MESSAGE: u8 = 0;
pub const UPDATE: u8 = 1;
pub const CHANGE: u8 = 2;
pub const ANSWER: u8 = 4;
const PART: u8 = 5;
/// The cheapest.
const LIFETIME: u8 = 0;

/// Seals for whoever holds `secret`, in parts where it is large.
pub fn seal(secret: &[u8; 32], leaf: u32, first: u64, kind: u8, bytes: &[u8], rng: &mut ChaCha20Rng) -> Vec<Unstamped> {
    let whole = piece(kind, bytes);
    let pieces = if whole.len() <= PART_MAX {
        vec![whole]
    } else {
        parts::cut(&whole).unwrap().iter().map(|part| piece(PART, part)).collect()
    };
    let secret = StateSecret::new(*secret);
    let sealed = pieces.iter().zip(first..).map(|(piece, counter)| {
        let body = secret.seal(leaf, counter, piece, rng).unwrap();
        Unstamped::seal(Some(secret.tag(leaf, counter)), NOW.hour(), LIFETIME, body).unwrap()
    });
    sealed.collect()
}

/// The kind and content of a piece.
pub fn open(piece: &[u8]) -> (u8, Vec<u8>) {
    let mut d = Decoder::new(piece);
    d.array().unwrap();
    d.u8().unwrap();
    (d.u8().unwrap(), d.bytes().unwrap().to_vec())
}

fn piece(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(3).unwrap().u8(1).unwrap().u8(kind).unwrap().bytes(bytes).unwrap();
    e.into_writer()
}

/// Finds stamps, on two cores.
pub fn stamped(unstamped: Vec<Unstamped>) -> Vec<Envelope> {
    let (even, odd): (Vec<_>, Vec<_>) = unstamped.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let stamp = |some: Vec<(usize, Unstamped)>| -> Vec<(usize, Envelope)> {
        some.into_iter().map(|(n, one)| (n, one.clone().stamp(nonce(&one.id(), one.price())).unwrap())).collect()
    };
    let mut all = std::thread::scope(|threads| {
        let other = threads.spawn(|| stamp(odd));
        let mut all = stamp(even);
        all.extend(other.join().unwrap());
        all
    });
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, envelope)| envelope).collect()
}

pub fn nonce(id: &EnvelopeId, tries: u64) -> u64 {
    let mut mint = Mint::new(*id, tries, 0);
    std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap()
}
