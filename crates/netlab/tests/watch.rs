//! Nothing leaves a peer unseen.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use samizdat_netlab::{
    Family, Kind, Lab, Link, Nat, Plan, Station, permitted,
    watch::{Destination, EXCEPTIONS, Protocol, excepted},
};

fn send(lab: &Lab, from: &Station, to: &str) {
    let to: SocketAddr = to.parse().unwrap();
    let any: SocketAddr = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().unwrap();
    from.namespace().enter(|| Ok(UdpSocket::bind(any)?.send_to(b"word", to)?)).unwrap();
    lab.await_destination(from, |seen| seen.address == to.ip() && seen.port == to.port()).unwrap();
}

#[test]
fn who_only_talks_to_the_lab_passes_and_who_does_not_is_named() {
    if !permitted("strangers are named") {
        return;
    }
    // Neither a router that drops UDP nor a cut access link hides what a peer tried.
    let plan = Plan::new().family(Family::Dual).peer(Nat::without_udp(Kind::Port)).peer(Kind::Sym);
    let lab = plan.build().unwrap();
    let (alice, bob) = (lab.peer(0).unwrap(), lab.peer(1).unwrap());
    lab.set_link(alice.access(), Link::CUT).unwrap();
    let host = lab.host(0).unwrap();
    for address in host.addresses.iter().chain(&bob.station().addresses) {
        send(&lab, alice.station(), &SocketAddr::new(*address, 7000).to_string());
    }
    lab.assert_only_lab(alice.station()).unwrap();
    // A connection that stands may look for him behind his router; nobody dials him there.
    let inside = SocketAddr::new(bob.station().v4().unwrap().into(), 7001);
    alice.station().namespace().enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?.send_to(&[0xc3, 0, 0, 0, 1], inside)?)).unwrap();
    lab.await_destination(alice.station(), |seen| seen.dials).unwrap();
    assert_eq!(lab.foreign(alice.station()).iter().map(|to| to.address).collect::<Vec<_>>(), [inside.ip()]);
    lab.forget_destinations(alice.station());
    send(&lab, bob.station(), "192.0.2.1:53");
    send(&lab, bob.station(), "[2001:db8:ffff::1]:443");
    send(&lab, bob.station(), "224.0.0.251:5353");
    let error = lab.assert_only_lab(bob.station()).unwrap_err().to_string();
    assert!(error.contains("udp 192.0.2.1 53, udp 224.0.0.251 5353, udp 2001:db8:ffff::1 443"), "{error}");
    lab.assert_only_lab(alice.station()).unwrap();
    lab.forget_destinations(bob.station());
    lab.assert_only_lab(bob.station()).unwrap();

    // Public hosts are watched as well.
    send(&lab, host, "198.18.0.7:7");
    assert_eq!(lab.foreign(host).len(), 1);
}

#[test]
fn tcp_is_seen_before_anybody_answers() {
    if !permitted("TCP is seen") {
        return;
    }
    let lab = Plan::new().peer(Kind::Port).build().unwrap();
    let peer = lab.peer(0).unwrap().station();
    let nobody: SocketAddr = "192.0.2.1:443".parse().unwrap();
    peer.namespace().enter(|| Ok(TcpStream::connect_timeout(&nobody, Duration::from_millis(1)).is_err())).unwrap();
    let seen = lab.await_destination(peer, |seen| seen.protocol == Protocol::Tcp).unwrap();
    assert_eq!(seen, Destination { protocol: Protocol::Tcp, address: nobody.ip(), port: nobody.port(), dials: true });
}

#[test]
fn the_kernels_own_packets_are_exceptions_with_a_reason() {
    if !permitted("the kernel's own packets are exceptions") {
        return;
    }
    let lab = Plan::new().family(Family::Dual).peer(Kind::Port).build().unwrap();
    let peer = lab.peer(0).unwrap().station();
    // The kernel announces that it joins groups as soon as a device is up.
    let seen = lab.await_destination(peer, |seen| excepted(seen).is_some()).unwrap();
    assert!(seen.address.is_ipv6(), "{seen}");
    lab.assert_only_lab(peer).unwrap();
    assert!(EXCEPTIONS.iter().all(|exception| !exception.reason.is_empty()));
}
