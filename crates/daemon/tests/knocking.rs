//! Mallory names addresses on Alice's own machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod nodes;
#[path = "../../net/tests/support/socks.rs"]
mod socks;

use std::net::UdpSocket;

use nodes::{Node, PATIENCE, relay};
use samizdat_core::{PeerId, PeerSecret};
use samizdat_net::{Config, Limits, Net, NetEvent, PeerAddr, parse_join};
use socks::Proxy;
use tokio::{runtime::Runtime, time::timeout};

/// Frames of docs/protocol/sync.md: a Join without an address, the head of Welcome, of a Shuffle and of its answer.
const JOIN: [u8; 3] = [0x82, 1, 0x40];
const WELCOME: [u8; 2] = [0x81, 4];
const SHUFFLE: [u8; 2] = [0x82, 6];
const REPLY: [u8; 2] = [0x82, 7];

/// Tells Alice that somebody is at `named`; what she told, when she has dealt with it.
async fn told_by_mallory(secret: u8, proxy: Option<samizdat_net::Proxy>, alice: (PeerId, &PeerAddr), named: &UdpSocket) -> Vec<u8> {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config { secret: [secret; 32], listen, any_port: false, relays: true, proxy, limits: Limits::default() };
    let (net, mut events) = Net::bind(config).await.unwrap();
    net.dial(alice.0, alice.1.as_bytes()).unwrap();
    let somebody = PeerSecret([secret.wrapping_add(1); 32]).peer();
    let at = PeerAddr::new([named.local_addr().unwrap()]);
    let shuffle = [&SHUFFLE, &[0x81, 0x82, 0x58, 32][..], &somebody.0, &[0x48], at.as_bytes()].concat();
    let mut told = Vec::new();
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            NetEvent::Connected { .. } => net.send(alice.0, JOIN.to_vec()).unwrap(),
            NetEvent::Frame { bytes, .. } => {
                if bytes == WELCOME {
                    net.send(alice.0, shuffle.clone()).unwrap();
                }
                let done = bytes.starts_with(&REPLY);
                told.extend(bytes);
                if done {
                    break;
                }
            }
            NetEvent::Disconnected { reason, .. } => panic!("{reason:?}"),
            NetEvent::DialFailed { .. } => panic!("not reached"),
            // She looks for nodes and for relays.
            _ => {}
        }
    }
    net.close().await;
    told
}

/// Every stranger was told the addresses in her local network and on her machine, and made her knock at others there.
#[test]
fn nobody_far_away_learns_what_is_near_alice_or_makes_her_knock_there() {
    let runtime = Runtime::new().unwrap();
    let proxy = runtime.block_on(Proxy::start());
    let (_carol, at) = relay(&runtime);
    let alice = Node::start(&[], &[at]);
    let join = alice.status(|status| !status.relays.through.is_empty()).join;
    let (peer, addr) = parse_join(&join).unwrap();
    let near = |told: &[u8]| told.windows(4).any(|ip| ip == [127, 0, 0, 1]);
    let [far, beside] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());

    // Whom a relay hides may be anywhere.
    let through = PeerAddr::with_relays([], &addr.relays().collect::<Vec<_>>());
    let proxy = format!("socks5://{}", proxy.at).parse().unwrap();
    let told = runtime.block_on(told_by_mallory(3, Some(proxy), (peer, &through), &far));
    assert!(!near(&told));

    // On this very machine it is otherwise.
    let told = runtime.block_on(told_by_mallory(7, None, (peer, &PeerAddr::new(addr.sockets())), &beside));
    assert!(near(&told));
    beside.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut packet = [0; 2048];
    beside.recv(&mut packet).unwrap();
    far.set_nonblocking(true).unwrap();
    assert!(far.recv(&mut packet).is_err(), "she knocked");
}
