//! Relays on real loopback sockets: certificates, quotas, the death of one.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use samizdat_core::record::Via;
use samizdat_net::{Certificate, Config, DialError, Limits, NetEvent, PeerAddr, Relay, RelayAt, RelayConfig, RelayLimits};
use support::{LOOPBACK, Node, bind, config, node};

async fn relay(limits: RelayLimits) -> (Relay, RelayAt) {
    relay_on(LOOPBACK.parse().unwrap(), limits).await
}

async fn relay_on(listen: SocketAddr, limits: RelayLimits) -> (Relay, RelayAt) {
    let certificate = Certificate::generate().unwrap();
    let discovery = LOOPBACK.parse().unwrap();
    let relay = Relay::start(RelayConfig { listen, discovery, certificate, limits }).await.unwrap();
    let service = relay.service();
    let at = format!("127.0.0.1:{}", service.port).parse().unwrap();
    (relay, RelayAt { at, discovery_port: service.discovery_port, certificate: service.certificate })
}

fn via(relay: &RelayAt) -> Via {
    Via { at: relay.at, certificate: relay.certificate }
}

async fn reached_through(node: &mut Node, relay: &RelayAt) {
    let via = via(relay);
    node.moved(|addr| addr.relays().next() == Some(via)).await;
}

/// Dials with nothing but a relay known.
fn dial_through(from: &Node, to: &Node, via: Via) -> Result<(), DialError> {
    from.net.dial(to.id(), PeerAddr::with_relays([], &[via]).as_bytes())
}

#[tokio::test]
async fn alice_reaches_bob_through_carols_relay() {
    let (carol, at) = relay(RelayLimits::default()).await;
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    bob.net.use_relays(&[at]);
    reached_through(&mut bob, &at).await;
    assert_eq!((bob.net.reached_through(), carol.usage().peers), (vec![via(&at)], 1));
    dial_through(&alice, &bob, via(&at)).unwrap();
    assert!(alice.connected(&bob).await && !bob.connected(&alice).await);
    alice.net.send(bob.id(), b"through Carol".to_vec()).unwrap();
    assert_eq!(bob.frame().await, b"through Carol");
}

#[tokio::test]
async fn a_relay_with_the_certificate_of_another_is_not_used() {
    let (mallory, mallorys) = relay(RelayLimits::default()).await;
    let (_carol, carols) = relay(RelayLimits::default()).await;
    let (forged, borrowed) =
        (RelayAt { certificate: [9; 32], ..mallorys }, RelayAt { certificate: carols.certificate, ..mallorys });
    let mut bob = node(2, Limits::default()).await;
    bob.net.use_relays(&[forged, borrowed, carols]);
    reached_through(&mut bob, &carols).await;
    assert_eq!(mallory.usage().peers, 0);

    let limits = Limits { handshake: Duration::from_secs(2), ..Limits::default() };
    let mut alice = node(1, limits).await;
    dial_through(&alice, &bob, via(&forged)).unwrap();
    assert_eq!(alice.next().await, NetEvent::DialFailed { peer: bob.id() });
}

#[tokio::test]
async fn when_a_relay_dies_the_next_takes_over_and_others_know_which_that_is() {
    let (first, first_at) = relay(RelayLimits::default()).await;
    let (_second, second_at) = relay(RelayLimits::default()).await;
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    bob.net.use_relays(&[first_at, second_at]);
    reached_through(&mut bob, &first_at).await;
    let known = bob.net.local_addr();
    assert_eq!(known.relays().collect::<Vec<_>>(), [via(&first_at), via(&second_at)]);
    drop(first);
    reached_through(&mut bob, &second_at).await;
    // Alice knows what Bob told before.
    alice.net.dial(bob.id(), PeerAddr::with_relays([], &known.relays().collect::<Vec<_>>()).as_bytes()).unwrap();
    assert!(alice.connected(&bob).await);
}

#[tokio::test]
async fn a_relay_that_is_full_turns_away_and_is_not_waited_for() {
    let (full, full_at) = relay(RelayLimits { loopback: 1, ..RelayLimits::default() }).await;
    let (_free, free_at) = relay(RelayLimits::default()).await;
    let (mut alice, mut bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    alice.net.use_relays(&[full_at]);
    reached_through(&mut alice, &full_at).await;
    bob.net.use_relays(&[full_at, free_at]);
    reached_through(&mut bob, &free_at).await;
    assert_eq!(full.usage().peers, 1);
    assert!(full.usage().refused > 0);
}

#[tokio::test]
async fn who_refuses_relays_uses_none() {
    let (carol, at) = relay(RelayLimits::default()).await;
    let refusing = Config { relays: false, ..config(1, LOOPBACK, Limits::default()) };
    let (alice, mut bob) = (bind(refusing).await, node(2, Limits::default()).await);
    alice.net.use_relays(&[at]);
    bob.net.use_relays(&[at]);
    reached_through(&mut bob, &at).await;
    assert_eq!(dial_through(&alice, &bob, via(&at)), Err(DialError::NoAddress));
    assert_eq!((alice.net.reached_through(), carol.usage().peers), (vec![], 1));
}

#[tokio::test]
async fn a_relay_that_is_switched_off_lets_everybody_go_and_its_port() {
    let (carol, at) = relay(RelayLimits::default()).await;
    let mut bob = node(2, Limits::default()).await;
    bob.net.use_relays(&[at]);
    reached_through(&mut bob, &at).await;
    drop(carol);
    bob.moved(|addr| addr.relays().next().is_none()).await;
    // She comes back with another certificate.
    let (_carol, again) = relay_on(at.at.first(), RelayLimits::default()).await;
    bob.net.use_relays(&[again]);
    reached_through(&mut bob, &again).await;
}

/// The contacts' endpoint prefers another relay than the main one, and stayed for good with the one that was known first.
#[tokio::test]
async fn an_only_relay_gives_way_to_one_put_before_it_and_one_that_was_chosen_does_not() {
    let ((_first, first_at), (_second, second_at), (_third, third_at)) =
        (relay(RelayLimits::default()).await, relay(RelayLimits::default()).await, relay(RelayLimits::default()).await);
    let mut bob = node(2, Limits::default()).await;
    bob.net.use_relays(&[first_at]);
    reached_through(&mut bob, &first_at).await;
    bob.net.use_relays(&[second_at, first_at]);
    reached_through(&mut bob, &second_at).await;
    bob.net.use_relays(&[third_at, second_at, first_at]);
    bob.moved(|addr| addr.relays().collect::<Vec<_>>() == [via(&second_at), via(&first_at)]).await;
}

#[tokio::test]
async fn a_relay_that_is_known_at_another_address_too_stays_in_use() {
    let (carol, at) = relay(RelayLimits::default()).await;
    let mut bob = node(2, Limits::default()).await;
    bob.net.use_relays(&[at]);
    reached_through(&mut bob, &at).await;
    let both = RelayAt { at: format!("{}+[::1]:{}", at.at, at.at.first().port()).parse().unwrap(), ..at };
    bob.net.use_relays(&[both]);
    reached_through(&mut bob, &both).await;
    assert_eq!((bob.net.reached_through(), carol.usage().peers), (vec![via(&both)], 1));
}
