//! Which addresses contacts are told: those of the local network only while that is switched on.

use std::net::{IpAddr, SocketAddr};

use iroh::Endpoint;
use netwatch::netmon::State;
use samizdat_core::record::Via;

use crate::addr::PeerAddr;
use crate::endpoint;
use crate::lan;
use crate::path::PathKind;

/// Whether packets to this address stay on this machine or in the local network.
pub(super) fn is_near(ip: IpAddr) -> bool {
    matches!(PathKind::of_ip(ip.to_canonical()), PathKind::Lan | PathKind::Loopback)
}

/// Where an endpoint is in the local networks of this machine. Not what iroh says of itself: it leaves out the addresses that
/// systems give themselves as soon as any interface has another.
pub(super) fn near(state: &State, bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let posts = lan::posts(state, bound).into_iter();
    posts.map(|post| SocketAddr::new(post.reach.ip(), post.port)).filter(|socket| is_near(socket.ip())).collect()
}

/// What a contact is told of the direct endpoint: what strangers far away see of it and, unless that is `None`, what is near.
pub(super) fn shown(endpoint: &Endpoint, near: Option<&[SocketAddr]>, relays: &[Via]) -> PeerAddr {
    let addr = endpoint.addr();
    let far = addr.ip_addrs().copied().filter(|socket| !is_near(socket.ip()));
    match near {
        Some(near) => endpoint::addr_of(endpoint, far.chain(near.iter().copied()), relays),
        None => PeerAddr::with_relays(far, relays),
    }
}
