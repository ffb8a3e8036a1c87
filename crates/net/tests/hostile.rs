//! Peers that break the rules lose their connection and nothing else happens.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use samizdat_core::PeerId;
use samizdat_net::limits::{EVENTS_MAX, FRAME_MAX, QUEUE_BYTES_MAX, RECEIVE_WINDOW, SEND_WINDOW};
use samizdat_net::{DisconnectReason, Limits, NetEvent, SendError};
use support::{Node, Stranger, node, patient, soon};

const IMPATIENT: Duration = Duration::from_millis(300);
/// Long enough to say hello on a slow and busy machine.
const HANDSHAKE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_frame_of_a_wrong_size_drops_the_peer() {
    for length in [0, FRAME_MAX as u32 + 1, u32::MAX] {
        let mut node = node(1, Limits::default()).await;
        let stranger = Stranger::new(2).await;
        let (connection, mut send, _recv) = stranger.greet(&node).await;
        assert!(!node.connected_to(stranger.id).await);
        send.write_all(&length.to_be_bytes()).await.unwrap();
        assert_eq!(node.disconnected(stranger.id).await, DisconnectReason::Misbehaved);
        soon(connection.closed()).await;
    }
}

#[tokio::test]
async fn a_frame_that_is_cut_short_drops_the_peer() {
    let mut node = node(1, Limits::default()).await;
    let stranger = Stranger::new(2).await;
    let (_connection, mut send, _recv) = stranger.greet(&node).await;
    assert!(!node.connected_to(stranger.id).await);
    send.write_all(&[0, 0, 0, 9, 1, 2, 3]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(node.disconnected(stranger.id).await, DisconnectReason::Misbehaved);
}

#[tokio::test]
async fn a_frame_that_never_ends_drops_the_peer() {
    let mut node = node(1, Limits { stall: IMPATIENT, ..Limits::default() }).await;
    let stranger = Stranger::new(2).await;
    let (_connection, mut send, _recv) = stranger.greet(&node).await;
    assert!(!node.connected_to(stranger.id).await);
    send.write_all(&[0, 0, 0, 9, 1, 2, 3]).await.unwrap();
    assert_eq!(node.disconnected(stranger.id).await, DisconnectReason::Stalled);
}

#[tokio::test]
async fn a_peer_that_takes_no_frame_is_cut_by_time() {
    let mut node = node(1, Limits { stall: IMPATIENT, ..Limits::default() }).await;
    let stranger = Stranger::new(2).await;
    let (_connection, _send, _recv) = stranger.greet(&node).await;
    assert!(!node.connected_to(stranger.id).await);
    for _ in 0..8 {
        node.net.send(stranger.id, vec![0; FRAME_MAX]).unwrap();
    }
    assert_eq!(node.disconnected(stranger.id).await, DisconnectReason::Stalled);
}

/// The reader's owner takes no events. What the sender can push into the whole pipe before it is cut is bounded, and
/// somebody else is served all the while.
#[tokio::test]
async fn a_stalled_reader_is_cut_with_bounded_memory() {
    const SIZE: usize = 64 * 1024;
    let mut alice = node(1, Limits::default()).await;
    let mut sleeper = node(2, Limits::default()).await;
    let mut awake = node(3, Limits::default()).await;
    for other in [&mut sleeper, &mut awake] {
        alice.dial(other);
        assert!(alice.connected(other).await);
        other.connected(&alice).await;
    }

    let mut pushed = 0;
    loop {
        let outcome = alice.net.send(sleeper.id(), vec![0; SIZE]);
        if outcome == Err(SendError::Stalled) {
            break;
        }
        outcome.unwrap();
        pushed += SIZE;
        // One round trip with the other peer paces the loop.
        alice.net.send(awake.id(), vec![1]).unwrap();
        assert_eq!(awake.frame().await, [1]);
    }
    assert_eq!(alice.disconnected(sleeper.id()).await, DisconnectReason::Stalled);
    assert_eq!(alice.net.send(sleeper.id(), vec![1]), Err(SendError::NotConnected));

    let in_flight = RECEIVE_WINDOW as usize + SEND_WINDOW as usize;
    let bound = QUEUE_BYTES_MAX + in_flight + (EVENTS_MAX + 3) * SIZE;
    assert!(pushed <= bound, "{pushed} bytes went into a pipe that should hold {bound}");

    let mut taken = 0;
    let reason = loop {
        match sleeper.next().await {
            NetEvent::Frame { bytes, .. } => taken += bytes.len(),
            NetEvent::Disconnected { reason, .. } => break reason,
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(reason, DisconnectReason::Closed);
    assert!(taken <= pushed);
}

#[tokio::test]
async fn a_stranger_without_hello_is_cut_and_never_reported() {
    let limits = Limits { handshake: HANDSHAKE, inbound: 1, ..Limits::default() };
    let mut node = node(1, limits).await;
    let stranger = Stranger::new(2).await;
    let silent = stranger.connect(&node, b"samizdat/1").await.unwrap();
    soon(silent.closed()).await;

    let chatty = stranger.connect(&node, b"samizdat/1").await.unwrap();
    let (mut send, _recv) = chatty.open_bi().await.unwrap();
    send.write_all(&1000u32.to_be_bytes()).await.unwrap();
    soon(chatty.closed()).await;

    // The place of the one who was cut is given back a moment later.
    let mut honest = support::node(3, Limits::default()).await;
    meet_at_last(&mut honest, &node).await;
    assert!(!node.connected(&honest).await);
}

#[tokio::test]
async fn a_peer_that_falls_silent_below_the_frames_is_lost() {
    // Shorter than the interval of keep-alives, so that even a healthy connection is silent for too long.
    let mut node = node(1, Limits { idle: HANDSHAKE, ..Limits::default() }).await;
    let stranger = Stranger::new(2).await;
    let (_connection, _send, _recv) = stranger.greet(&node).await;
    assert!(!node.connected_to(stranger.id).await);
    assert_eq!(node.disconnected(stranger.id).await, DisconnectReason::Lost);
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let mut alice = node(1, Limits::default()).await;
    let stranger = Stranger::new(2).await;
    assert!(stranger.connect(&alice, b"samizdat/2").await.is_none());
    assert!(stranger.connect(&alice, b"h3").await.is_none());
    let bob = node(3, Limits::default()).await;
    bob.dial(&alice);
    assert!(!alice.connected(&bob).await, "nothing was reported before");
}

#[tokio::test]
async fn a_second_stream_or_a_datagram_is_not_possible() {
    let mut node = node(1, Limits::default()).await;
    let stranger = Stranger::new(2).await;
    let (connection, _send, _recv) = stranger.greet(&node).await;
    assert!(!node.connected_to(stranger.id).await);
    assert_eq!(connection.max_datagram_size(), None);
    assert!(tokio::time::timeout(IMPATIENT, connection.open_bi()).await.is_err());
    assert!(tokio::time::timeout(IMPATIENT, connection.open_uni()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_strangers_meet_a_cap() {
    const CAP: usize = 10;
    // All of them shake hands on the cores of this machine: whoever has a place must not lose it by that.
    let limits = Limits { inbound_loopback: CAP, handshakes: CAP, retry_from: 2, ..patient() };
    let mut host = node(200, limits).await;
    let mut strangers = Vec::new();
    for seed in 0..100 {
        let stranger = node(seed, patient()).await;
        stranger.dial(&host);
        strangers.push(stranger);
    }
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for mut stranger in strangers {
        match stranger.next().await {
            NetEvent::Connected { .. } => inside.push(stranger),
            NetEvent::DialFailed { .. } => outside.push(stranger),
            event => panic!("{event:?}"),
        }
    }
    assert!((1..=CAP).contains(&inside.len()), "{} are inside", inside.len());
    // Whose connection the busy machine cost left the place to another.
    while inside.len() < CAP {
        let mut late = outside.pop().unwrap();
        meet_at_last(&mut late, &host).await;
        inside.push(late);
    }
    let guests: BTreeSet<PeerId> = inside.iter().map(Node::id).collect();
    let mut known = BTreeSet::new();
    while known != guests {
        match host.next().await {
            NetEvent::Connected { peer, dialed: false, .. } => assert!(known.insert(peer) && known.len() <= CAP),
            NetEvent::Disconnected { peer, .. } => assert!(known.remove(&peer)),
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(host.net.paths().len(), CAP);

    // One leaves, one may come.
    let leaver = inside.pop().unwrap();
    leaver.net.close().await;
    assert_eq!(host.disconnected(leaver.id()).await, DisconnectReason::Closed);
    let mut late = outside.pop().unwrap();
    meet_at_last(&mut late, &host).await;
    assert!(!host.connected(&late).await);
}

/// Dials until there is a place.
async fn meet_at_last(guest: &mut Node, host: &Node) {
    loop {
        guest.dial(host);
        if let NetEvent::Connected { .. } = guest.next().await {
            return;
        }
    }
}
