//! What a rollout takes on the wire, and what it would take if one leader made new keys for all and sent each member all of them
//! (the scheme that this project began with), in the same envelopes and under the same kind of keys.

use hpke::{Kem, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::XWing, single_shot_seal_with_rng};
use rand_chacha::ChaCha20Rng;
use samizdat_core::Unstamped;

use crate::{cluster::MEMBERS, post};

/// How often what decides is published.
pub const COPIES: usize = samizdat_chat::limits::DECIDING_LIFETIMES.len();

pub fn bytes(envelopes: &[Unstamped]) -> usize {
    envelopes.iter().map(|envelope| envelope.bytes().len()).sum()
}

/// Bytes of the naive scheme if all is published once: every other member sends the leader a fresh public key, and the leader
/// sends each of them the key of the cluster and all public keys with whose they are.
pub fn naive(rng: &mut ChaCha20Rng) -> usize {
    let members: Vec<_> = (0..MEMBERS).map(|_| XWing::gen_keypair_with_rng(rng).1).collect();
    let mut all = vec![7; 32];
    for (n, key) in members.iter().enumerate() {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        all.extend(id);
        all.extend(key.to_bytes());
    }
    let fresh = all[32..32 + 32 + members[0].to_bytes().len()].to_vec();
    let mut wrapped = |to, content: &[u8]| {
        let (key, sealed) =
            single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(&OpModeS::Base, to, b"", content, b"", rng).unwrap();
        let content = [&key.to_bytes()[..], &sealed].concat();
        bytes(&post::seal(&[1; 32], 0, 0, post::MESSAGE, &content, rng))
    };
    let leader = &members[0];
    let up: usize = members[1..].iter().map(|_| wrapped(leader, &fresh)).sum();
    let down: usize = members[1..].iter().map(|member| wrapped(member, &all)).sum();
    up + down
}
