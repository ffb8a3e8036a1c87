//! Endpoints for contacts on real loopback sockets, through a relay.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use samizdat_core::PeerId;
use samizdat_core::record::Via;
use samizdat_net::{
    Certificate, ContactEvent, Contacts, DialError, Endpoints, Limits, PathKind, PeerAddr, Relay, RelayAt, RelayConfig,
    RelayLimits, Way,
};
use support::{LOOPBACK, soon};
use tokio::sync::mpsc;

/// What a dead relay may cost on a slow and busy machine: less than the silence after which a connection is lost anyway. How soon it is
/// measured by the laboratory (docs/netlab.md).
const REHOMED: Duration = Duration::from_secs(20);

async fn relay() -> (Relay, RelayAt) {
    relay_at(LOOPBACK).await
}

async fn relay_at(loopback: &str) -> (Relay, RelayAt) {
    let loopback: SocketAddr = loopback.parse().unwrap();
    let certificate = Certificate::generate().unwrap();
    let config = RelayConfig { listen: loopback, discovery: loopback, certificate, limits: RelayLimits::default() };
    let relay = Relay::start(config).await.unwrap();
    let service = relay.service();
    let at = SocketAddr::new(loopback.ip(), service.port).into();
    (relay, RelayAt { at, discovery_port: service.discovery_port, certificate: service.certificate })
}

struct Node {
    contacts: Contacts,
    events: mpsc::Receiver<ContactEvent>,
}

impl Node {
    fn new(limits: Limits) -> Self {
        let (contacts, events) = Contacts::start(limits, None);
        Self { contacts, events }
    }

    /// With its relayed endpoint, reached through `relay`.
    async fn reached_through(relay: &RelayAt) -> (Self, PeerId, PeerAddr) {
        let mut node = Self::new(Limits::default());
        node.contacts.use_relays(&[*relay]);
        node.contacts.want(Endpoints { relayed: Some(0), direct: None });
        let (peer, addr) = node.here(|_, addr| addr.relays().next().is_some()).await;
        (node, peer, addr)
    }

    async fn next(&mut self) -> ContactEvent {
        soon(self.events.recv()).await.unwrap()
    }

    async fn here(&mut self, wished: impl Fn(Way, &PeerAddr) -> bool) -> (PeerId, PeerAddr) {
        loop {
            match self.next().await {
                ContactEvent::Here { way, peer, addr } if wished(way, &addr) => return (peer, addr),
                ContactEvent::Here { .. } => {}
                event => panic!("expected an endpoint, got {event:?}"),
            }
        }
    }

    /// What comes next but for changes of the own address.
    async fn beyond(&mut self) -> ContactEvent {
        loop {
            match self.next().await {
                ContactEvent::Here { .. } => {}
                event => return event,
            }
        }
    }
}

#[tokio::test]
async fn contacts_meet_through_a_relay_and_see_no_address() {
    let (carol, at) = relay().await;
    let (mut alice, alices, _) = Node::reached_through(&at).await;
    let (mut bob, bobs, addr) = Node::reached_through(&at).await;
    assert_eq!((addr.sockets().count(), carol.usage().peers), (0, 2));
    alice.contacts.dial(7, Way::Relayed, bobs, addr.as_bytes()).unwrap();
    let ContactEvent::Opened { link, dial: Some(7), way: Way::Relayed, peer, binding } = alice.beyond().await else {
        panic!("not opened")
    };
    assert_eq!(peer, bobs);
    alice.contacts.send(link, b"hello".to_vec()).unwrap();
    let ContactEvent::Opened { link: theirs, dial: None, way: Way::Relayed, peer, binding: same } = bob.beyond().await else {
        panic!("not opened")
    };
    assert_eq!((peer, same), (alices, binding), "both ends see one connection");
    assert_eq!(bob.beyond().await, ContactEvent::Frame { link: theirs, bytes: b"hello".to_vec() });
    bob.contacts.send(theirs, b"and you".to_vec()).unwrap();
    assert_eq!(alice.beyond().await, ContactEvent::Frame { link, bytes: b"and you".to_vec() });
    for node in [&alice, &bob] {
        assert_eq!(node.contacts.paths().into_iter().map(|(_, path)| path.kind).collect::<Vec<_>>(), [PathKind::Relayed]);
    }
    alice.contacts.hangup(link);
    assert_eq!((alice.beyond().await, bob.beyond().await), (ContactEvent::Closed { link }, ContactEvent::Closed { link: theirs }));
}

#[tokio::test]
async fn each_connection_has_a_binding_of_its_own() {
    let (_carol, at) = relay().await;
    let (mut alice, _, _) = Node::reached_through(&at).await;
    let (_bob, bobs, addr) = Node::reached_through(&at).await;
    let mut bindings = Vec::new();
    for dial in [1, 2] {
        alice.contacts.dial(dial, Way::Relayed, bobs, addr.as_bytes()).unwrap();
        if let ContactEvent::Opened { binding, .. } = alice.beyond().await {
            bindings.push(binding);
        }
    }
    assert!(bindings.len() == 2 && bindings[0] != bindings[1]);
}

/// Once our own were left and those of contacts were used.
#[tokio::test]
async fn whoever_refuses_relays_uses_none_of_a_contact_either() {
    let (carol, at) = relay().await;
    let (mut alice, _, _) = Node::reached_through(&at).await;
    let (mut bob, bobs, addr) = Node::reached_through(&at).await;
    alice.contacts.dial(1, Way::Relayed, bobs, addr.as_bytes()).unwrap();
    let ContactEvent::Opened { link, .. } = alice.beyond().await else { panic!("not opened") };
    alice.contacts.send(link, b"hello".to_vec()).unwrap();
    assert!(matches!(bob.beyond().await, ContactEvent::Opened { .. }));
    assert!(matches!(bob.beyond().await, ContactEvent::Frame { .. }));
    alice.contacts.allow_relays(false);
    let ended = [alice.beyond().await, alice.beyond().await];
    assert!(ended.contains(&ContactEvent::Closed { link }) && ended.contains(&ContactEvent::Gone { way: Way::Relayed }));
    assert!(matches!(bob.beyond().await, ContactEvent::Closed { .. }));
    assert_eq!(alice.contacts.dial(2, Way::Relayed, bobs, addr.as_bytes()), Err(DialError::Closed));

    // Nor is there one beside a direct connection.
    bob.contacts.want(Endpoints { relayed: Some(0), direct: Some(0) });
    bob.contacts.show_nearby(true);
    let (directs, direct) =
        bob.here(|way, addr| way == Way::Direct && addr.sockets().next().is_some() && addr.relays().next().is_some()).await;
    alice.contacts.show_nearby(true);
    alice.contacts.want(Endpoints { relayed: Some(0), direct: Some(0) });
    let (_, own) = alice.here(|way, _| way == Way::Direct).await;
    assert_eq!(own.relays().count(), 0);
    let only_relays = PeerAddr::with_relays([], &direct.relays().collect::<Vec<_>>());
    assert_eq!(alice.contacts.dial(3, Way::Direct, directs, only_relays.as_bytes()), Err(DialError::NoAddress));
    alice.contacts.dial(4, Way::Direct, directs, direct.as_bytes()).unwrap();
    let ContactEvent::Opened { dial: Some(4), .. } = alice.beyond().await else { panic!("not opened") };
    assert_eq!(carol.usage().peers, 2, "both are bob's");

    alice.contacts.allow_relays(true);
    let (_, addr) = alice.here(|way, addr| way == Way::Relayed && addr.relays().next().is_some()).await;
    assert_eq!(addr.sockets().count(), 0);
}

/// Bob's relay is in both; in IPv4, to which there is a route, nobody answers.
#[tokio::test]
async fn a_contact_is_dialled_in_the_version_of_ip_in_which_our_own_relay_works() {
    if TcpListener::bind("[::1]:0").is_err() {
        // Not eprintln!, which the test runner keeps to itself when a test passes.
        let _ = writeln!(std::io::stderr(), "\n*** NOT RUN: dialling in IPv6: this machine has none ***\n");
        return;
    }
    let (_carol, at) = relay_at("[::1]:0").await;
    let (mut alice, _, _) = Node::reached_through(&at).await;
    let (_bob, bobs, _) = Node::reached_through(&at).await;
    let closed = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let both = Via { at: format!("{closed}+{}", at.at).parse().unwrap(), certificate: at.certificate };
    alice.contacts.dial(1, Way::Relayed, bobs, PeerAddr::with_relays([], &[both]).as_bytes()).unwrap();
    let ContactEvent::Opened { dial: Some(1), peer, .. } = alice.beyond().await else { panic!("not opened") };
    assert_eq!(peer, bobs);
}

#[tokio::test]
async fn the_relayed_endpoint_dials_no_address() {
    let (_carol, at) = relay().await;
    let (alice, _, _) = Node::reached_through(&at).await;
    let (_bob, bobs, _) = Node::reached_through(&at).await;
    let somewhere = PeerAddr::new(["203.0.113.7:4001".parse().unwrap()]);
    assert_eq!(alice.contacts.dial(1, Way::Relayed, bobs, somewhere.as_bytes()), Err(DialError::NoAddress));
    assert_eq!(alice.contacts.dial(1, Way::Direct, bobs, somewhere.as_bytes()), Err(DialError::Closed));
}

/// Somebody could else say that a relay of his is in her local network, and learn what answers there.
#[tokio::test]
async fn nobody_makes_us_knock_at_a_relay_that_is_near_while_that_is_not_wanted() {
    let (_carol, at) = relay().await;
    let (_bob, bobs, addr) = Node::reached_through(&at).await;
    let mut alice = Node::new(Limits::default());
    alice.contacts.want(Endpoints { relayed: Some(0), direct: None });
    alice.here(|_, _| true).await;
    let dial = |alice: &Node| alice.contacts.dial(1, Way::Relayed, bobs, addr.as_bytes());
    assert_eq!(dial(&alice), Err(DialError::NoAddress));
    alice.contacts.show_nearby(true);
    dial(&alice).unwrap();
    let ContactEvent::Opened { dial: Some(1), peer, .. } = alice.beyond().await else { panic!("not opened") };
    assert_eq!(peer, bobs);
}

#[tokio::test]
async fn direct_endpoints_meet_without_a_relay_and_have_no_key_in_common_with_others() {
    let (mut alice, mut bob) = (Node::new(Limits::default()), Node::new(Limits::default()));
    [&alice, &bob].iter().for_each(|node| node.contacts.show_nearby(true));
    let both = Endpoints { relayed: Some(0), direct: Some(1) };
    alice.contacts.want(both);
    bob.contacts.want(both);
    let (relayed, _) = bob.here(|way, _| way == Way::Relayed).await;
    let (direct, addr) = bob.here(|way, addr| way == Way::Direct && addr.sockets().next().is_some()).await;
    assert_ne!(relayed, direct);
    alice.here(|way, _| way == Way::Direct).await;
    alice.contacts.dial(1, Way::Direct, direct, addr.as_bytes()).unwrap();
    let ContactEvent::Opened { link, way: Way::Direct, .. } = alice.beyond().await else { panic!("not opened") };
    alice.contacts.send(link, b"hello".to_vec()).unwrap();
    let ContactEvent::Opened { way: Way::Direct, .. } = bob.beyond().await else { panic!("not opened") };
    assert!(matches!(bob.beyond().await, ContactEvent::Frame { .. }));

    // Somebody may not have the addresses any more: another endpoint, and the connections of the old one go.
    bob.contacts.want(Endpoints { direct: Some(2), ..both });
    let mut closed = false;
    let again = loop {
        match bob.next().await {
            ContactEvent::Closed { .. } => closed = true,
            ContactEvent::Here { way: Way::Direct, peer, .. } if peer != direct => break peer,
            _ => {}
        }
    };
    assert!(again != direct);
    while !closed {
        closed = matches!(bob.next().await, ContactEvent::Closed { .. });
    }
    assert_eq!(alice.beyond().await, ContactEvent::Closed { link });
    bob.contacts.want(Endpoints::default());
    let mut gone = Vec::new();
    while gone.len() < 2 {
        if let ContactEvent::Gone { way } = bob.next().await {
            gone.push(way);
        }
    }
    assert_eq!(gone, [Way::Relayed, Way::Direct]);
}

/// Of Bob's direct endpoint, as told to contacts, once it is there.
async fn direct_of(bob: &mut Node) -> (PeerId, PeerAddr) {
    bob.here(|way, _| way == Way::Direct).await
}

#[tokio::test]
async fn what_is_near_is_told_and_dialled_only_while_that_is_wanted() {
    let near = |addr: &PeerAddr| {
        addr.sockets().any(|socket| match socket.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
        })
    };
    let (mut alice, mut bob) = (Node::new(Limits::default()), Node::new(Limits::default()));
    let wanted = Endpoints { relayed: None, direct: Some(1) };
    [&alice, &bob].iter().for_each(|node| node.contacts.want(wanted));
    direct_of(&mut alice).await;
    let (before, addr) = direct_of(&mut bob).await;
    assert!(!near(&addr));

    // His is another endpoint from then on.
    bob.contacts.show_nearby(true);
    let (direct, addr) = bob.here(|_, addr| near(addr)).await;
    assert_ne!(direct, before);
    let knock = |alice: &Node, to: PeerId, addr: &PeerAddr| alice.contacts.dial(1, Way::Direct, to, addr.as_bytes());
    let loopback = PeerAddr::new(addr.sockets().filter(|socket| socket.ip().is_loopback()));
    assert_eq!(knock(&alice, direct, &loopback), Err(DialError::NoAddress), "nobody makes her knock in her local network");
    alice.contacts.show_nearby(true);
    alice.here(|_, addr| near(addr)).await;
    knock(&alice, direct, &loopback).unwrap();
    let ContactEvent::Opened { link, .. } = alice.beyond().await else { panic!("not opened") };

    // And another when he shows himself no longer: what was told of the old one leads nowhere.
    alice.contacts.send(link, b"hello".to_vec()).unwrap();
    let ContactEvent::Opened { .. } = bob.beyond().await else { panic!("not opened") };
    bob.contacts.show_nearby(false);
    assert_eq!(alice.beyond().await, ContactEvent::Closed { link });
    let (after, addr) = loop {
        match bob.next().await {
            ContactEvent::Here { peer, addr, .. } if peer != direct => break (peer, addr),
            _ => {}
        }
    };
    assert!(after != before && !near(&addr));
}

#[tokio::test]
async fn nobody_there_and_nothing_said_come_to_nothing_in_time() {
    let (_carol, at) = relay().await;
    let limits = Limits { handshake: Duration::from_secs(1), ..Limits::default() };
    let mut alice = Node::new(limits);
    alice.contacts.use_relays(&[at]);
    alice.contacts.want(Endpoints { relayed: Some(0), direct: None });
    alice.here(|_, addr| addr.relays().next().is_some()).await;
    let nobody = PeerId(*iroh::SecretKey::from_bytes(&[9; 32]).public().as_bytes());
    let via = PeerAddr::with_relays([], &[Via { at: at.at, certificate: at.certificate }]);
    alice.contacts.dial(3, Way::Relayed, nobody, via.as_bytes()).unwrap();
    assert_eq!(alice.beyond().await, ContactEvent::DialFailed { dial: 3 });
}

#[tokio::test]
async fn when_a_relay_dies_its_connections_end_at_once_and_the_next_carries_them() {
    let ((first, first_at), (_second, second_at)) = (relay().await, relay().await);
    let (mut alice, mut bob) = (Node::new(Limits::default()), Node::new(Limits::default()));
    for node in [&alice, &bob] {
        node.contacts.use_relays(&[first_at, second_at]);
        node.contacts.want(Endpoints { relayed: Some(0), direct: None });
    }
    let reached = |at: RelayAt| move |_: Way, addr: &PeerAddr| addr.relays().next().is_some_and(|via| via.at == at.at);
    alice.here(reached(first_at)).await;
    let (bobs, known) = bob.here(reached(first_at)).await;
    alice.contacts.dial(1, Way::Relayed, bobs, known.as_bytes()).unwrap();
    let ContactEvent::Opened { link, .. } = alice.beyond().await else { panic!("not opened") };
    // So that Bob hears of it.
    alice.contacts.send(link, b"hello".to_vec()).unwrap();
    let ContactEvent::Opened { link: theirs, .. } = bob.beyond().await else { panic!("not opened") };

    let died = Instant::now();
    drop(first);
    assert_eq!(alice.beyond().await, ContactEvent::Closed { link });
    // Alice knows what Bob told before, and his node may need another moment than hers.
    let again = loop {
        alice.contacts.dial(2, Way::Relayed, bobs, known.as_bytes()).unwrap();
        match alice.beyond().await {
            ContactEvent::Opened { link, .. } => break link,
            ContactEvent::DialFailed { .. } => {}
            event => panic!("{event:?}"),
        }
    };
    alice.contacts.send(again, b"again".to_vec()).unwrap();
    let mut closed = false;
    loop {
        match bob.beyond().await {
            ContactEvent::Closed { link } if link == theirs => closed = true,
            ContactEvent::Frame { link, bytes } if link != theirs => {
                assert_eq!(bytes, b"again");
                break;
            }
            _ => {}
        }
    }
    assert!(closed && died.elapsed() < REHOMED, "{:?}", died.elapsed());
}

#[tokio::test]
async fn closing_ends_everything() {
    let (_carol, at) = relay().await;
    let (mut alice, _, _) = Node::reached_through(&at).await;
    soon(alice.contacts.close()).await;
    assert!(alice.contacts.dial(1, Way::Relayed, PeerId([1; 32]), &[]).is_err());
    // The receiver ends with the last of the tasks.
    while soon(alice.events.recv()).await.is_some() {}
}
