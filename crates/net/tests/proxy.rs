//! Everything through a SOCKS5 proxy, a little real one on a loopback socket.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use samizdat_core::record::Via;
use samizdat_net::{
    Certificate, Config, DialError, Limits, NetEvent, PathKind, PeerAddr, Relay, RelayAt, RelayConfig, RelayLimits,
};
use support::{LOOPBACK, Node, bind, config, node, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy, and what was asked of it: with which login, for which address.
struct Proxy {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<(String, SocketAddr)>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, heard.clone()));
            }
        });
        Self { at, asked }
    }

    fn asked(&self) -> Vec<(String, SocketAddr)> {
        self.asked.lock().unwrap().clone()
    }
}

/// As Tor does, it takes a login where one is offered.
async fn carry(mut near: TcpStream, heard: Arc<Mutex<Vec<(String, SocketAddr)>>>) -> Option<()> {
    let count = usize::from(read::<2>(&mut near).await?[1]);
    let mut methods = vec![0; count];
    near.read_exact(&mut methods).await.ok()?;
    assert!(methods.contains(&2), "a login is always offered");
    near.write_all(&[5, 2]).await.ok()?;
    let mut login = String::new();
    for part in 0..2 {
        let length = if part == 0 { read::<2>(&mut near).await?[1] } else { read::<1>(&mut near).await?[0] };
        let mut text = vec![0; length.into()];
        near.read_exact(&mut text).await.ok()?;
        login += &format!("{}:", String::from_utf8(text).unwrap());
    }
    near.write_all(&[1, 0]).await.ok()?;
    let [5, 1, 0, 1] = read(&mut near).await? else { panic!("a connection to an IPv4 address was expected") };
    let ip: IpAddr = read::<4>(&mut near).await?.into();
    let to = SocketAddr::new(ip, u16::from_be_bytes(read(&mut near).await?));
    heard.lock().unwrap().push((login, to));
    let mut far = TcpStream::connect(to).await.ok()?;
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    copy_bidirectional(&mut near, &mut far).await.ok().map(|_| ())
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn relay() -> (Relay, RelayAt) {
    let loopback = LOOPBACK.parse().unwrap();
    let (certificate, limits) = (Certificate::generate().unwrap(), RelayLimits::default());
    let relay = Relay::start(RelayConfig { listen: loopback, discovery: loopback, certificate, limits }).await.unwrap();
    let service = relay.service();
    let addr = format!("127.0.0.1:{}", service.port).parse().unwrap();
    (relay, RelayAt { addr, discovery_port: service.discovery_port, certificate: service.certificate })
}

fn via(relay: &RelayAt) -> Via {
    Via { addr: relay.addr, certificate: relay.certificate }
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
    assert!(!asked.is_empty() && asked.iter().all(|(_, to)| *to == at.addr), "{asked:?}");
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
    assert!(proxy.asked().iter().all(|(_, to)| *to == at.addr), "{:?}", proxy.asked());
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
