#![allow(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use ml_kem::{Decapsulate, Encapsulate, KeyExport, MlKem768, kem::Kem};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::{Certificate, Config, Limits, Net, NetEvent};

const CLIENT_SHARE: usize = 1216;
const SERVER_SHARE: usize = 1120;

fn secret(shared: SharedSecret) -> Vec<u8> {
    shared.secret_bytes().to_vec()
}

#[test]
fn both_sides_have_one_secret_and_shares_of_the_drafts_lengths() {
    let client = X25519MlKem768.start().unwrap();
    let server = X25519MlKem768.start_and_complete(client.pub_key()).unwrap();
    assert_eq!((client.pub_key().len(), server.pub_key.len()), (CLIENT_SHARE, SERVER_SHARE));
    assert_eq!((client.group(), server.group), (NamedGroup::X25519MLKEM768, NamedGroup::X25519MLKEM768));
    let (ours, theirs) = (secret(client.complete(&server.pub_key).unwrap()), secret(server.secret));
    assert_eq!((ours.len(), &ours), (64, &theirs));
}

/// Another implementation of ML-KEM, put together as the draft says: ML-KEM first, in shares and secret.
#[test]
fn another_library_agrees_as_server_and_as_client() {
    let mut rng = ChaCha20Rng::from_seed([4; 32]);

    let client = X25519MlKem768.start().unwrap();
    let (key, theirs) = client.pub_key().split_at(ENCAPSULATION_KEY_LEN);
    let key = ml_kem::EncapsulationKey::<MlKem768>::new(key.try_into().unwrap()).unwrap();
    let (ciphertext, post_quantum) = key.encapsulate_with_rng(&mut rng);
    let classical = X25519.start_and_complete(theirs).unwrap();
    let share = [ciphertext.as_slice(), &classical.pub_key].concat();
    let expected = [post_quantum.as_slice(), classical.secret.secret_bytes()].concat();
    assert_eq!(secret(client.complete(&share).unwrap()), expected);

    let (key, encapsulation_key) = MlKem768::generate_keypair_from_rng(&mut rng);
    let classical = X25519.start().unwrap();
    let share = [encapsulation_key.to_bytes().as_slice(), classical.pub_key()].concat();
    let server = X25519MlKem768.start_and_complete(&share).unwrap();
    let (ciphertext, theirs) = server.pub_key.split_at(CIPHERTEXT_LEN);
    let post_quantum = key.decapsulate(ciphertext.try_into().unwrap());
    let expected = [post_quantum.as_slice(), classical.complete(theirs).unwrap().secret_bytes()].concat();
    assert_eq!(secret(server.secret), expected);
}

#[test]
fn whoever_knows_x25519_alone_completes_with_that_half() {
    let client = X25519MlKem768.start().unwrap();
    let (group, share) = client.hybrid_component().unwrap();
    assert_eq!(group, NamedGroup::X25519);
    assert_eq!(share, &client.pub_key()[ENCAPSULATION_KEY_LEN..]);
    let server = X25519.start_and_complete(share).unwrap();
    assert_eq!(secret(client.complete_hybrid_component(&server.pub_key).unwrap()), secret(server.secret));
}

#[test]
fn shares_of_another_length_are_refused() {
    for length in [0, 31, 32, 1119, 1120, 1121, 1184, 1215, 1217, 4096] {
        assert_eq!(X25519MlKem768.start_and_complete(&vec![0; length]).map(|_| ()), Err(INVALID), "{length}");
    }
    for length in [0, 32, 1088, 1119, 1121, 1216] {
        let client = X25519MlKem768.start().unwrap();
        assert_eq!(client.complete(&vec![9; length]).map(|_| ()), Err(INVALID), "{length}");
    }
}

/// Mallory gives an X25519 key whose secret everybody knows, or an encapsulation key that is none.
#[test]
fn keys_that_agree_on_nothing_are_refused() {
    let order_8: [u8; 32] = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb,
        0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ];
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one, order_8] {
        let mallory = X25519MlKem768.start().unwrap();
        let share = [&mallory.pub_key()[..ENCAPSULATION_KEY_LEN], &point].concat();
        assert!(X25519MlKem768.start_and_complete(&share).is_err(), "{point:02x?}");

        let alice = X25519MlKem768.start().unwrap();
        let answer = X25519MlKem768.start_and_complete(alice.pub_key()).unwrap();
        let share = [&answer.pub_key[..CIPHERTEXT_LEN], &point].concat();
        assert!(alice.complete(&share).is_err(), "{point:02x?}");
    }
    let mallory = X25519MlKem768.start().unwrap();
    // A coefficient that is not below q (FIPS 203, 7.2).
    let share = [&[0xff; 3], &mallory.pub_key()[3..]].concat();
    assert_eq!(X25519MlKem768.start_and_complete(&share).map(|_| ()), Err(INVALID));
}

#[test]
fn a_ciphertext_that_was_changed_on_the_way_gives_another_secret() {
    let client = X25519MlKem768.start().unwrap();
    let server = X25519MlKem768.start_and_complete(client.pub_key()).unwrap();
    let mut share = server.pub_key;
    share[500] ^= 1;
    assert_ne!(secret(client.complete(&share).unwrap()), secret(server.secret));
}

fn config(seed: u8, limits: Limits) -> Config {
    Config { secret: [seed; 32], listen: "127.0.0.1:0".parse().unwrap(), any_port: false, relays: false, proxy: None, limits }
}

fn group_of(connection: &Connection) -> NamedGroup {
    let data = connection.handshake_data().unwrap().downcast::<noq::crypto::rustls::HandshakeData>().unwrap();
    data.negotiated_key_exchange_group.unwrap()
}

/// Also when the first packets, two now, must come a second time with a proof of the address.
#[tokio::test]
async fn two_nodes_negotiate_it() {
    for retry_from in [Limits::default().retry_from, 0] {
        let (alice, mut events) = Net::bind(config(1, Limits::default())).await.unwrap();
        let (bob, _events) = Net::bind(config(2, Limits { retry_from, ..Limits::default() })).await.unwrap();
        alice.dial(bob.peer_id(), bob.local_addr().as_bytes()).unwrap();
        while !matches!(events.recv().await.unwrap(), NetEvent::Connected { .. }) {}
        let link = alice.peers.link(&bob.peer_id()).unwrap();
        assert_eq!(group_of(&link.connection), NamedGroup::X25519MLKEM768);
        alice.close().await;
    }
}

async fn stranger(provider: CryptoProvider) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .crypto_provider(Arc::new(provider))
        .secret_key(SecretKey::from_bytes(&[3; 32]))
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
        .alpns(vec![crate::frame::ALPN.to_vec()])
        .bind()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_peer_that_knows_only_x25519_connects_both_ways() {
    let (alice, mut events) = Net::bind(config(1, Limits::default())).await.unwrap();
    let old = stranger(ring::default_provider()).await;
    let ways = alice.local_addr().sockets().map(TransportAddr::Ip).collect::<Vec<_>>();
    let alice_at = EndpointAddr::from_parts(EndpointId::from_bytes(&alice.peer_id().0).unwrap(), ways);
    let connection = old.connect(alice_at, crate::frame::ALPN).await.unwrap();
    assert_eq!(group_of(&connection), NamedGroup::X25519);

    let at = crate::PeerAddr::new(old.bound_sockets());
    alice.dial(samizdat_core::PeerId(*old.id().as_bytes()), at.as_bytes()).unwrap();
    let connection = old.accept().await.unwrap().await.unwrap();
    assert_eq!(group_of(&connection), NamedGroup::X25519);
    events.close();
}

#[test]
fn a_relay_and_its_clients_negotiate_it() {
    let certificate = Certificate::generate().unwrap();
    let pins = crate::relay::Pins::default();
    let ip: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    pins.add(ip, certificate.hash());
    let client = Arc::new(pins.client_config().unwrap());
    let mut client = rustls::ClientConnection::new(client, ip.into()).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(certificate.server_config().unwrap())).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    for group in [client.negotiated_key_exchange_group(), server.negotiated_key_exchange_group()] {
        assert_eq!(group.map(|group| group.name()), Some(NamedGroup::X25519MLKEM768));
    }
}
