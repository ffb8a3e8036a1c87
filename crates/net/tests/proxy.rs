//! Everything through a SOCKS5 proxy, a little real one on a loopback socket.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/socks.rs"]
mod socks;
mod support;

use samizdat_core::record::Via;
use samizdat_net::{
    Certificate, Config, DialError, Limits, NetEvent, PathKind, PeerAddr, Relay, RelayAt, RelayConfig, RelayLimits,
};
use socks::Proxy;
use support::{LOOPBACK, Node, bind, config, node, soon};
use tokio::net::TcpListener;

async fn relay() -> (Relay, RelayAt) {
    let loopback = LOOPBACK.parse().unwrap();
    let (certificate, limits) = (Certificate::generate().unwrap(), RelayLimits::default());
    let relay = Relay::start(RelayConfig { listen: loopback, discovery: loopback, certificate, limits }).await.unwrap();
    let service = relay.service();
    let at = format!("127.0.0.1:{}", service.port).parse().unwrap();
    (relay, RelayAt { at, discovery_port: service.discovery_port, certificate: service.certificate })
}

fn via(relay: &RelayAt) -> Via {
    Via { at: relay.at, certificate: relay.certificate }
}

fn behind(url: &str, seed: u8) -> Config {
    Config { proxy: Some(url.parse().unwrap()), ..config(seed, LOOPBACK, Limits::default()) }
}

async fn reached_through(node: &mut Node, relay: &RelayAt) {
    let via = via(relay);
    node.moved(|addr| addr.relays().next() == Some(via)).await;
}

#[tokio::test]
async fn alice_talks_to_bob_and_the_proxy_alone_sees_where_she_is() {
    let (proxy, (carol, at)) = (Proxy::start().await, relay().await);
    let mut alice = bind(behind(&format!("socks5://{}", proxy.at), 1)).await;
    let mut bob = node(2, Limits::default()).await;
    bob.net.use_relays(&[at]);
    reached_through(&mut bob, &at).await;
    assert_eq!(proxy.asked(), [], "nothing before there is something to do");

    // Bob's addresses are known as well, and not dialled.
    let known = PeerAddr::with_relays(bob.net.local_addr().sockets(), &[via(&at)]);
    assert!(known.sockets().count() > 0);
    alice.net.dial(bob.id(), known.as_bytes()).unwrap();
    assert!(alice.connected(&bob).await && !bob.connected(&alice).await);
    alice.net.send(bob.id(), b"from nowhere".to_vec()).unwrap();
    assert_eq!(bob.frame().await, b"from nowhere");
    bob.net.send(alice.id(), b"to nowhere".to_vec()).unwrap();
    assert_eq!(alice.frame().await, b"to nowhere");

    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|(_, to)| *to == at.at.first()), "{asked:?}");
    assert!(asked.windows(2).all(|two| two[0].0 == two[1].0), "one way for one key");
    assert_eq!(alice.net.paths()[0].kind, PathKind::Relayed);
    assert_eq!(bob.net.paths()[0].kind, PathKind::Relayed, "and Bob is told no address to try");
    assert_eq!((alice.net.port(), alice.net.local_addr().sockets().count()), (0, 0), "nothing listens");
    assert_eq!(carol.usage().peers, 2);
}

#[tokio::test]
async fn alice_is_reached_through_a_relay_of_her_own() {
    let (proxy, (_carol, at)) = (Proxy::start().await, relay().await);
    let mut alice = bind(behind(&format!("socks5://{}", proxy.at), 1)).await;
    alice.net.use_relays(&[at]);
    reached_through(&mut alice, &at).await;
    let mut bob = node(2, Limits::default()).await;
    bob.net.dial(alice.id(), alice.net.local_addr().as_bytes()).unwrap();
    assert!(bob.connected(&alice).await && !alice.connected(&bob).await);
    assert!(proxy.asked().iter().all(|(_, to)| *to == at.at.first()), "{:?}", proxy.asked());
}

#[tokio::test]
async fn each_start_takes_another_way_unless_a_login_was_given() {
    let (proxy, (_carol, at)) = (Proxy::start().await, relay().await);
    let mut logins = Vec::new();
    for (seed, url) in
        [(1, format!("socks5://{}", proxy.at)), (2, format!("socks5://{}", proxy.at)), (3, format!("socks5://me:pw@{}", proxy.at))]
    {
        let mut alice = bind(behind(&url, seed)).await;
        alice.net.use_relays(&[at]);
        reached_through(&mut alice, &at).await;
        logins.push(proxy.asked().last().unwrap().0.clone());
        soon(alice.net.close()).await;
    }
    assert_ne!(logins[0], logins[1]);
    assert_eq!(logins[2], "me:pw:");
}

#[tokio::test]
async fn what_the_proxy_cannot_carry_is_not_done() {
    let proxy = Proxy::start().await;
    let mut alice = bind(behind(&format!("socks5://{}", proxy.at), 1)).await;
    let mut bob = node(2, Limits::default()).await;
    let addr = bob.net.local_addr();
    assert_eq!(alice.net.dial(bob.id(), addr.as_bytes()), Err(DialError::NoAddress));
    assert!(alice.net.ask(7, bob.id(), &addr, vec![1]).is_err());
    // Bob wants to know whether he can be dialled. Who cannot find out does not say no.
    alice.net.check(9, bob.id(), addr.sockets().next().unwrap(), None);
    soon(alice.net.close()).await;
    assert_eq!(alice.events.recv().await, None);
    bob.dial(&node(3, Limits::default()).await);
    assert!(matches!(bob.next().await, NetEvent::Connected { .. } | NetEvent::DialFailed { .. }), "nobody came to Bob before");
    assert_eq!(proxy.asked(), []);
}

/// The proxy is gone: nothing is tried any other way.
#[tokio::test]
async fn without_its_proxy_a_node_stays_alone() {
    let gone = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let (carol, at) = relay().await;
    let short = Limits { handshake: std::time::Duration::from_secs(2), ..Limits::default() };
    let mut alice = bind(Config { limits: short, ..behind(&format!("socks5://{gone}"), 1) }).await;
    let mut bob = node(2, Limits::default()).await;
    bob.net.use_relays(&[at]);
    reached_through(&mut bob, &at).await;
    alice.net.dial(bob.id(), bob.net.local_addr().as_bytes()).unwrap();
    assert_eq!(alice.next().await, NetEvent::DialFailed { peer: bob.id() });
    assert_eq!(carol.usage().peers, 1);
}
