//! The places that a real relay has for one network.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::{net::Ipv4Addr, time::Duration};

use samizdat_net::{Config, Limits, Net, NetEvent, RelayAt, RelayLimits};
use samizdat_netlab::{Engine, Plan, Program, RelayContact, Station, permitted};
use tokio::{runtime::Runtime, sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(120);

/// A node that has found a place at `at`, the first of these relays that has one for it.
async fn at(relays: &[RelayAt], at: RelayAt) -> (Net, mpsc::Receiver<NetEvent>) {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).unwrap();
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let config = Config { secret, listen, any_port: false, relays: true, proxy: None, limits: Limits::default() };
    let (net, mut events) = Net::bind(config).await.unwrap();
    net.use_relays(relays);
    let reached = async {
        while net.reached_through().first().is_none_or(|via| via.at != at.at) {
            events.recv().await.unwrap();
        }
    };
    timeout(PATIENCE, reached).await.unwrap();
    (net, events)
}

fn on<T: Send>(station: &Station, work: impl AsyncFnOnce() -> T + Send) -> T {
    station.namespace().enter(|| Ok(Runtime::new()?.block_on(work()))).unwrap()
}

#[test]
fn one_network_takes_its_places_at_a_relay_and_no_more_and_others_find_theirs() {
    if !permitted("a relay that one network crowds") {
        return;
    }
    let lab = Plan::new().hosts(3).build().unwrap();
    let [host, crowd, other] = [0, 1, 2].map(|n| lab.host(n).unwrap());
    let program = Program::node(env!("CARGO_BIN_EXE_netlab").into());
    let running = [(); 2].map(|()| program.relay(host).unwrap());
    let relays = running.each_ref().map(|relay| {
        let RelayContact { https, quic, cert } = relay.contact.parse().unwrap();
        RelayAt { at: https, discovery_port: quic, certificate: cert }
    });
    let [crowded, free] = relays;
    on(crowd, async || {
        let mut nodes = Vec::new();
        for _ in 0..RelayLimits::default().per_prefix {
            nodes.push(at(&[crowded], crowded).await);
        }
        // One more, as any key of theirs would be, is turned away, and finds room at the next relay.
        let late = at(&[crowded, free], free).await;
        // Another network has its own.
        on(other, async || drop(at(&[crowded], crowded).await));
        // They are still there, and the place of one who goes is free again.
        assert!(nodes.iter().all(|(net, _)| net.reached_through().len() == 1));
        nodes.pop().unwrap().0.close().await;
        at(&[crowded], crowded).await.0.close().await;
        late.0.close().await;
    });
}
