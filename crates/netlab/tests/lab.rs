//! The lab itself: what it is made of works, and is gone afterwards.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use samizdat_netlab::{Family, Kind, Lab, Link, Nat, Plan, permitted, sweep};

const PATIENCE: Duration = Duration::from_secs(20);

/// A UDP socket of public host 0 and one of peer 0, and the first's address.
fn sockets(lab: &Lab) -> (UdpSocket, UdpSocket, SocketAddr) {
    let host = lab.host(0).unwrap();
    let address = SocketAddr::new(host.address().unwrap(), 7000);
    let there = host.namespace().enter(|| Ok(UdpSocket::bind(address)?)).unwrap();
    let any = SocketAddr::new(if address.is_ipv6() { "::".parse().unwrap() } else { Ipv4Addr::UNSPECIFIED.into() }, 4001);
    let here = lab.peer(0).unwrap().station().namespace().enter(|| Ok(UdpSocket::bind(any)?)).unwrap();
    there.set_read_timeout(Some(PATIENCE)).unwrap();
    here.set_read_timeout(Some(PATIENCE)).unwrap();
    (here, there, address)
}

/// How long a packet takes there and back.
fn echo(here: &UdpSocket, there: &UdpSocket, address: SocketAddr, word: &[u8]) -> Duration {
    let begun = Instant::now();
    here.send_to(word, address).unwrap();
    let mut buffer = [0; 64];
    let (length, from) = there.recv_from(&mut buffer).unwrap();
    there.send_to(&buffer[..length], from).unwrap();
    let length = here.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], word);
    begun.elapsed()
}

fn namespaces_of(prefix: &str) -> Vec<String> {
    let names = fs::read_dir("/run/netns").into_iter().flatten();
    names.map(|name| name.unwrap().file_name().into_string().unwrap()).filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn a_peer_reaches_a_public_host_through_its_router_in_both_families() {
    if !permitted("a peer reaches a public host") {
        return;
    }
    for family in [Family::V4, Family::V6, Family::Dual] {
        let delay = Duration::from_millis(15);
        let lab = Plan::new().family(family).access(Link::slow(delay)).peer(Kind::Port).peer(Kind::None).build().unwrap();
        let (here, there, address) = sockets(&lab);
        echo(&here, &there, address, b"hello");
        // The first needed addresses resolved as well. Two access links, there and back.
        let round_trip = echo(&here, &there, address, b"again");
        assert!(round_trip >= delay * 4, "{family:?}: {round_trip:?}");
        // Who has no NAT is reached from outside, who has one is not.
        let open = lab.peer(1).unwrap().station();
        let door = SocketAddr::new(open.address().unwrap(), 7001);
        let listener = open.namespace().enter(|| Ok(TcpListener::bind(door)?)).unwrap();
        let inside = lab.peer(0).unwrap().station();
        inside.namespace().enter(|| Ok(TcpStream::connect_timeout(&door, PATIENCE)?)).unwrap();
        let (_, from) = listener.accept().unwrap();
        if family == Family::V6 {
            assert_eq!(from.ip(), inside.address().unwrap());
        } else {
            assert_eq!(from.ip(), lab.peer(0).unwrap().outside.unwrap());
        }
    }
}

#[test]
fn links_change_while_they_run() {
    if !permitted("links change while they run") {
        return;
    }
    let lab = Plan::new().access(Link::WIRE).peer(Kind::Port).build().unwrap();
    let (here, there, address) = sockets(&lab);
    let access = lab.peer(0).unwrap().access();
    echo(&here, &there, address, b"a wire");
    lab.set_link(access, Link::slow(Duration::from_millis(50))).unwrap();
    let slow = echo(&here, &there, address, b"slow");
    assert!(slow >= Duration::from_millis(100), "{slow:?}");

    lab.set_link(access, Link::WIRE).unwrap();

    // On the link to the router, where it is known what the forwarder has dealt with.
    let peer = lab.peer(0).unwrap().station();
    let marked = |port| {
        here.send_to(b"mark", SocketAddr::new(address.ip(), port)).unwrap();
        lab.await_destination(peer, |destination| destination.port == port).unwrap();
    };
    lab.set_up(peer.link(), false).unwrap();
    here.send_to(b"lost", address).unwrap();
    marked(7002);
    lab.set_up(peer.link(), true).unwrap();
    echo(&here, &there, address, b"found");

    lab.set_link(peer.link(), Link { loss: 0.5, ..Link::WIRE }).unwrap();
    (0..100u8).for_each(|number| assert_eq!(here.send_to(&[number], address).unwrap(), 1));
    marked(7003);
    lab.set_link(peer.link(), Link::WIRE).unwrap();
    here.send_to(b"end", address).unwrap();
    let (mut arrived, mut buffer) = (0, [0; 64]);
    while there.recv(&mut buffer).unwrap() == 1 {
        arrived += 1;
    }
    assert!((20..=80).contains(&arrived), "{arrived}");
    assert!(lab.set_link(access, Link { loss: 2.0, ..Link::WIRE }).is_err());
}

#[test]
fn jitter_reorders_and_loses_nothing() {
    if !permitted("jitter reorders") {
        return;
    }
    let lab = Plan::new().access(Link::WIRE).peer(Kind::Port).build().unwrap();
    let (here, there, address) = sockets(&lab);
    echo(&here, &there, address, b"hello");
    let jitter = Link { jitter: Duration::from_millis(50), ..Link::WIRE };
    lab.set_link(lab.peer(0).unwrap().access(), jitter).unwrap();
    (0..50u8).for_each(|number| assert_eq!(here.send_to(&[number], address).unwrap(), 1));
    let mut buffer = [0; 64];
    let arrived: Vec<u8> = (0..50).map(|_| there.recv(&mut buffer).map(|_| buffer[0]).unwrap()).collect();
    assert!(!arrived.is_sorted(), "{arrived:?}");
    let mut sorted = arrived;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..50));
}

#[test]
fn nothing_is_left_after_a_panic() {
    if !permitted("nothing is left after a panic") {
        return;
    }
    let (mut name, mut pid) = (String::new(), 0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let lab = Plan::new().peer(Kind::Sym).build().unwrap();
        let peer = lab.peer(0).unwrap().station();
        name = peer.namespace().name().to_owned();
        // A child of a child, which nobody holds a handle of.
        let process = peer.start(Command::new("sh").args(["-c", "sleep 1000 & echo $!; wait"])).unwrap();
        pid = process.line(PATIENCE).unwrap().parse().unwrap();
        assert!(fs::exists(format!("/proc/{pid}")).unwrap());
        panic!("the test fails here");
    }));
    assert!(panicked.is_err());
    let lab = name.strip_suffix("peer1").unwrap();
    assert_eq!(namespaces_of(lab), Vec::<String>::new());
    // Killed; whoever inherits it may not have reaped it yet.
    let left = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!left.contains("sleep"), "{left:?}");
}

#[test]
fn what_a_killed_lab_left_is_swept_and_a_living_ones_is_not() {
    if !permitted("leftovers are swept") {
        return;
    }
    let lab = Plan::new().hosts(1).build().unwrap();
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    // It has ended when its output has. Nobody has waited for it yet, as when a shell's child is killed.
    assert_eq!(child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap(), 0);
    let dead = format!("samizdat-{}-0-inet", child.id());
    assert!(Command::new("ip").args(["netns", "add", &dead]).status().unwrap().success());
    sweep().unwrap();
    child.wait().unwrap();
    // Another test's lab, maybe of another process, may be sweeping it at this very moment.
    let begun = Instant::now();
    while !namespaces_of(&dead).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{dead} is still there");
    }
    assert!(!namespaces_of(lab.segment().name()).is_empty());
}

#[test]
fn a_crowd_fits() {
    if !permitted("a crowd fits") {
        return;
    }
    let plan = Nat::all().fold(Plan::new().hosts(3).family(Family::Dual), Plan::peer);
    let lab = plan.build().unwrap();
    let host = lab.host(2).unwrap();
    let address = SocketAddr::new(host.address().unwrap(), 7000);
    let listener = host.namespace().enter(|| Ok(TcpListener::bind(address)?)).unwrap();
    for k in 0..Nat::all().count() {
        let peer = lab.peer(k).unwrap();
        peer.station().namespace().enter(|| Ok(TcpStream::connect_timeout(&address, PATIENCE)?)).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), peer.outside.unwrap());
    }
}
