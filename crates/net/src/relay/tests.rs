//! A relay on a loopback socket, and peers who speak its protocol without any manners of iroh.

#![allow(clippy::arithmetic_side_effects)]

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use iroh::{EndpointId, SecretKey};
use iroh_relay::client::{Client, ClientBuilder, ConnectError};
use iroh_relay::protos::relay::{ClientToRelayMsg, RelayToClientMsg};
use n0_future::{SinkExt, StreamExt};
use tokio::sync::mpsc;

use super::{Certificate, Names, Pins, Relay, RelayConfig, url};
use crate::limits::RelayLimits;

const PATIENCE: Duration = Duration::from_secs(300);
/// What Mallory sends: four times what she may at once.
const PIECES: usize = 256;
const PIECE: usize = 1024;

async fn relay(limits: RelayLimits) -> Relay {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let certificate = Certificate::generate().unwrap();
    Relay::start(RelayConfig { listen: loopback, discovery: loopback, certificate, limits }).await.unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

async fn client(relay: &Relay, seed: u8) -> Result<Client, ConnectError> {
    let at = url(format!("127.0.0.1:{}", relay.service().port).parse().unwrap()).unwrap();
    ClientBuilder::new(at, key(seed), Names::new(mpsc::channel(1).0).resolver())
        .tls_client_config(Pins::whoever().unwrap())
        .connect()
        .await
}

async fn say(from: &mut Client, to: EndpointId, bytes: &[u8]) {
    from.send(ClientToRelayMsg::Datagrams { dst_endpoint_id: to, datagrams: bytes.into() }).await.unwrap();
}

/// The first byte of the next datagram.
async fn heard(at: &mut Client) -> u8 {
    loop {
        let next = tokio::time::timeout(PATIENCE, at.next()).await.unwrap().unwrap().unwrap();
        if let RelayToClientMsg::Datagrams { datagrams, .. } = next {
            return datagrams.contents[0];
        }
    }
}

fn kib(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n * 1024).unwrap()
}

/// Those of `floods` send more than they may, from now on.
async fn flood(relay: &Relay, seeds: &[u8], to: EndpointId) {
    for seed in seeds {
        let (mut mallory, pieces) = (client(relay, *seed).await.unwrap(), PIECES / seeds.len());
        tokio::spawn(async move {
            for _ in 0..pieces {
                say(&mut mallory, to, &[b'm'; PIECE]).await;
            }
            // She stays, lest the rest be thrown away with her.
            while mallory.next().await.is_some() {}
        });
    }
}

/// What Bob hears until all of Mallory's pieces have come: how many words of Alice before them, and how long they took.
async fn until_all_have_come(bob: &mut Client) -> (usize, Duration) {
    let (began, mut words, mut pieces) = (Instant::now(), 0, 0);
    while pieces < PIECES {
        match heard(bob).await {
            b'm' => pieces += 1,
            _ => words += 1,
        }
    }
    (words, began.elapsed())
}

#[tokio::test]
async fn a_peer_that_sends_more_than_it_may_is_slowed_and_another_is_served() {
    let limits = RelayLimits { bytes_per_second: kib(64), burst_bytes: kib(64), ..RelayLimits::default() };
    let relay = relay(limits).await;
    let (mut alice, mut bob) = (client(&relay, 1).await.unwrap(), client(&relay, 2).await.unwrap());
    flood(&relay, &[9], key(2).public()).await;
    for _ in 0..10 {
        say(&mut alice, key(2).public(), b"a").await;
    }
    let (words, took) = until_all_have_come(&mut bob).await;
    assert_eq!(words, 10, "Alice does not wait for Mallory");
    assert!(took > Duration::from_secs(2), "256 KiB came in {took:?}");
}

#[tokio::test]
async fn two_keys_of_one_network_do_not_send_more_than_one() {
    let limits = RelayLimits { prefix_bytes_per_second: kib(64), prefix_burst_bytes: kib(64), ..RelayLimits::default() };
    let relay = relay(limits).await;
    let mut bob = client(&relay, 2).await.unwrap();
    flood(&relay, &[8, 9], key(2).public()).await;
    let (_, took) = until_all_have_come(&mut bob).await;
    assert!(took > Duration::from_secs(2), "256 KiB came in {took:?}");
}

#[tokio::test]
async fn a_peer_has_so_many_places_and_no_more() {
    let relay = relay(RelayLimits::default()).await;
    let (_first, second) = (client(&relay, 1).await.unwrap(), client(&relay, 1).await.unwrap());
    assert!(matches!(client(&relay, 1).await, Err(ConnectError::Handshake { .. })));
    assert_eq!((relay.usage().peers, relay.usage().refused), (2, 1));
    drop(second);
    // The place is free once the relay has seen that.
    let freed = async {
        while client(&relay, 1).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
}
