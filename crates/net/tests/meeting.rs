//! Peers find each other, talk, and part.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use samizdat_net::{BindError, Config, DialError, DisconnectReason, Limits, NetEvent, PathKind, PeerAddr, SendError, parse_join};
use support::{Node, bind, config, node, pair, patient, soon};

#[tokio::test]
async fn a_newcomer_needs_nothing_but_the_join_string() {
    // Under pressure (here: always) the newcomer must also prove its address, whichever of them it dials.
    let limits = Limits { retry_from: 0, ..patient() };
    let mut host = bind(config(1, "0.0.0.0:0", limits)).await;
    let mut newcomer = bind(config(2, "[::]:0", patient())).await;
    let (peer, addr) = parse_join(&host.net.join_string()).unwrap();
    assert_eq!(peer, host.id());
    assert!(addr.sockets().last().unwrap().ip().is_loopback(), "works without any network");

    newcomer.net.dial(peer, addr.as_bytes()).unwrap();
    let NetEvent::Connected { addr: seen, dialed: true, .. } = newcomer.next().await else { panic!("not connected") };
    assert_eq!(seen.sockets().next().unwrap().port(), host.net.port());
    assert!(!host.connected(&newcomer).await);

    let path = newcomer.net.paths()[0];
    assert_eq!((path.peer, path.dialed), (host.id(), true));
    assert!(matches!(path.kind, PathKind::Loopback | PathKind::Lan | PathKind::Direct));
    assert!(Duration::from_millis(path.rtt_ms.into()) < Limits::default().idle);
}

/// Two machines that use the same port, seen from the newcomer: loopback leads to the wrong node.
#[tokio::test]
async fn another_node_on_this_machine_does_not_spoil_a_dial() {
    let mut host = bind(config(1, "0.0.0.0:0", patient())).await;
    let neighbour = node(2, patient()).await;
    let mut newcomer = bind(config(3, "0.0.0.0:0", patient())).await;
    let addr = host.net.local_addr();
    let far = addr.sockets().filter(|s| !s.ip().is_loopback());
    let misleading = PeerAddr::new(far.chain(neighbour.net.local_addr().sockets()));
    if misleading.sockets().count() > 1 {
        newcomer.net.dial(host.id(), misleading.as_bytes()).unwrap();
        assert!(newcomer.connected(&host).await);
        assert!(!host.connected(&newcomer).await);
    }
}

#[tokio::test]
async fn a_thousand_frames_pass_both_ways_in_order() {
    let (alice, bob) = pair().await;
    let (a, b) = (alice.id(), bob.id());
    tokio::join!(exchange(alice, b), exchange(bob, a));

    async fn exchange(mut node: Node, other: samizdat_core::PeerId) {
        for i in 0..1000u32 {
            let mut frame = i.to_be_bytes().to_vec();
            frame.resize(4 + (i as usize * 37) % 1500, 9);
            node.net.send(other, frame).unwrap();
        }
        for i in 0..1000u32 {
            let frame = node.frame().await;
            assert_eq!(frame[..4], i.to_be_bytes());
            assert_eq!(frame.len(), 4 + (i as usize * 37) % 1500);
        }
    }
}

#[tokio::test]
async fn the_largest_frame_passes_and_a_larger_one_is_not_taken() {
    let (alice, mut bob) = pair().await;
    let max = samizdat_net::limits::FRAME_MAX;
    alice.net.send(bob.id(), vec![5; max]).unwrap();
    assert_eq!(bob.frame().await, vec![5; max]);
    assert_eq!(alice.net.send(bob.id(), vec![5; max + 1]), Err(SendError::Size));
    assert_eq!(alice.net.send(bob.id(), vec![]), Err(SendError::Size));
    assert_eq!(alice.net.send(alice.id(), vec![1]), Err(SendError::NotConnected));
}

/// Fifty times: one connection on each side, the same one, no other event, and every frame sent on it arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dial_at_once_and_keep_the_same_connection() {
    let (mut alice, mut bob) = (node(1, patient()).await, node(2, patient()).await);
    let (a, b) = (alice.id(), bob.id());
    for round in 0..50u8 {
        alice.dial(&bob);
        bob.dial(&alice);
        let (by_alice, by_bob) = tokio::join!(alice.connected_to(b), bob.connected_to(a));
        assert_ne!(by_alice, by_bob, "round {round}: two connections");
        for i in 0..20 {
            alice.net.send(b, vec![round, i]).unwrap();
            bob.net.send(a, vec![round, i]).unwrap();
        }
        for i in 0..20 {
            assert_eq!(alice.frame().await, [round, i]);
            assert_eq!(bob.frame().await, [round, i]);
        }
        let (first, second) = if round % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        first.net.hangup(second.id());
        assert_eq!(first.disconnected(second.id()).await, DisconnectReason::HungUp);
        assert_eq!(second.disconnected(first.id()).await, DisconnectReason::Closed);
    }
}

#[tokio::test]
async fn a_restarted_peer_is_taken_at_once() {
    for (host_seed, guest_seed) in [(1, 2), (2, 1)] {
        let mut host = node(host_seed, patient()).await;
        let mut guest = node(guest_seed, patient()).await;
        guest.dial(&host);
        assert!(!host.connected(&guest).await);
        assert!(guest.connected(&host).await);

        // The first life of the guest says no goodbye.
        let mut again = node(guest_seed, patient()).await;
        again.dial(&host);
        assert_eq!(host.disconnected(guest.id()).await, DisconnectReason::Replaced);
        assert!(!host.connected(&again).await);
        assert!(again.connected(&host).await);
        host.net.send(again.id(), vec![1]).unwrap();
        assert_eq!(again.frame().await, [1]);
    }
}

#[tokio::test]
async fn what_was_queued_arrives_before_a_hangup() {
    let (mut alice, mut bob) = pair().await;
    for i in 0..200u8 {
        alice.net.send(bob.id(), vec![i; 1000]).unwrap();
    }
    alice.net.hangup(bob.id());
    assert_eq!(alice.net.send(bob.id(), vec![1]), Err(SendError::NotConnected));
    for i in 0..200u8 {
        assert_eq!(bob.frame().await, vec![i; 1000]);
    }
    assert_eq!(bob.disconnected(alice.id()).await, DisconnectReason::Closed);
    assert_eq!(alice.disconnected(bob.id()).await, DisconnectReason::HungUp);

    alice.dial(&bob);
    assert!(alice.connected(&bob).await, "and they can meet again");
    alice.net.hangup(bob.id());
    alice.dial(&bob);
    assert_eq!(alice.disconnected(bob.id()).await, DisconnectReason::HungUp);
    assert!(alice.connected(&bob).await, "even when ordered in one breath");
}

#[tokio::test]
async fn a_closed_node_says_goodbye_and_frees_its_port() {
    let (mut alice, mut bob) = pair().await;
    let port = alice.net.port();
    alice.net.send(bob.id(), vec![1]).unwrap();
    soon(alice.net.close()).await;
    assert_eq!(bob.frame().await, [1]);
    assert_eq!(bob.disconnected(alice.id()).await, DisconnectReason::Closed);
    assert_eq!(alice.disconnected(bob.id()).await, DisconnectReason::HungUp);
    assert_eq!(soon(alice.events.recv()).await, None);
    assert_eq!(alice.net.dial(bob.id(), bob.net.local_addr().as_bytes()), Err(DialError::Closed));
    // Although Alice's node is still held.
    let again = config(3, &format!("127.0.0.1:{port}"), Limits::default());
    soon(async { while samizdat_net::Net::bind(again.clone()).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_port_that_is_only_a_preference_may_be_taken() {
    let first = node(1, Limits::default()).await;
    let wanted = config(2, &format!("127.0.0.1:{}", first.net.port()), Limits::default());
    let refused = samizdat_net::Net::bind(wanted.clone()).await.map(drop);
    assert!(matches!(refused, Err(BindError::PortInUse(port)) if port == first.net.port()));
    let second = bind(Config { any_port: true, ..wanted }).await;
    assert_ne!(second.net.port(), 0);
    assert_ne!(second.net.port(), first.net.port());
}

#[tokio::test]
async fn a_dial_to_nobody_fails_in_bounded_time() {
    let mut alice = node(1, Limits { handshake: Duration::from_millis(300), ..Limits::default() }).await;
    let bob = node(2, Limits::default()).await;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = PeerAddr::new([silent.local_addr().unwrap()]);
    alice.net.dial(bob.id(), addr.as_bytes()).unwrap();
    assert_eq!(alice.next().await, NetEvent::DialFailed { peer: bob.id() });
}

#[tokio::test]
async fn senseless_dials_are_refused_at_once() {
    let alice = node(1, Limits { dials: 0, ..Limits::default() }).await;
    let bob = node(2, Limits::default()).await;
    let dial = |peer, addr: &PeerAddr| alice.net.dial(peer, addr.as_bytes());
    assert_eq!(dial(alice.id(), &bob.net.local_addr()), Err(DialError::Own));
    assert_eq!(dial(bob.id(), &alice.net.local_addr()), Err(DialError::NoAddress));
    assert_eq!(dial(bob.id(), &PeerAddr::new([])), Err(DialError::NoAddress));
    assert_eq!(dial(bob.id(), &bob.net.local_addr()), Err(DialError::Busy));
    assert!(matches!(alice.net.dial(bob.id(), &[4]), Err(DialError::Addr(_))));
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_taken_for_the_peer() {
    let (mut alice, bob) = (node(1, Limits::default()).await, node(2, Limits::default()).await);
    let carol = node(3, Limits::default()).await;
    alice.net.dial(carol.id(), bob.net.local_addr().as_bytes()).unwrap();
    assert_eq!(alice.next().await, NetEvent::DialFailed { peer: carol.id() });
}
