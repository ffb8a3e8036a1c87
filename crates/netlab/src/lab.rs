//! The laboratory: a segment with public hosts, and peers, each behind its own router.
//!
//! ```text
//! peer k  10.0.k.2 -- 10.0.k.1  router  203.0.113.(70+k-1) --+-- inet (a bridge, .1) --+-- host 203.0.113.10, 203.0.113.40
//!   eth0      lan link       lan      wan      access link                  access link      wan
//! ```
//! The second host is in 198.51.100.0/24, the third in 192.0.2.0/24, and so on in turn; all of these lie on the segment.
//! With IPv6 the routers' ends are in 2001:db8::/64, the hosts in 2001:db8:100::/64, 2001:db8:101::/64 and 2001:db8:102::/64 in
//! turn on the same segment, and 2001:db8:k::/64 is routed to peer k through a stateful firewall.

mod build;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use samizdat_core::record::is_public;

use crate::{
    forward::{Forwarder, Link, LinkId},
    limits::{CROWD_MAX, HOSTS_MAX, PATIENCE, PEERS_MAX},
    nat::Nat,
    netns::{self, Namespace},
    process::Process,
    watch::{Destination, excepted},
};

/// Which versions of IP there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Dual,
}

/// How a peer is connected.
#[derive(Debug, Clone, Copy)]
struct Access {
    nat: Nat,
    /// What it speaks of what the lab does.
    family: Family,
    /// Behind what it can move.
    second: Option<Nat>,
}

/// What a lab is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    hosts: usize,
    peers: Vec<Access>,
    family: Family,
    access: Link,
    seed: u64,
}

/// A laboratory. Dropping it ends all that runs in it and removes all that it is made of.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order.
    forwarder: Forwarder,
    hosts: Vec<Station>,
    peers: Vec<Peer>,
    segment: Namespace,
    own: BTreeSet<IpAddr>,
}

/// A machine in the lab.
#[derive(Debug)]
pub struct Station {
    namespace: Namespace,
    link: LinkId,
    /// Its addresses. A public host has two of each kind.
    pub addresses: Vec<IpAddr>,
}

/// A machine behind a router.
#[derive(Debug)]
pub struct Peer {
    station: Station,
    router: Namespace,
    access: LinkId,
    /// Lines that connect it to its router.
    plug: Vec<String>,
    second: Option<Second>,
    /// What its router does.
    pub nat: Nat,
    /// What IPv4 packets from it carry as their source outside; its own address when there is no NAT.
    pub outside: Option<Ipv4Addr>,
}

/// Where a peer can move.
#[derive(Debug)]
struct Second {
    // It stands there, whether or not the peer does.
    _router: Namespace,
    /// Lines that connect the peer to it.
    plug: Vec<String>,
}

impl Default for Plan {
    /// One public host, no peer, IPv4, access links that take 10 ms.
    fn default() -> Self {
        Self { hosts: 1, peers: Vec::new(), family: Family::V4, access: Link::slow(Duration::from_millis(10)), seed: 0 }
    }
}

impl Plan {
    /// As [`Plan::default`].
    pub fn new() -> Self {
        Self::default()
    }

    /// So many public hosts.
    pub fn hosts(mut self, hosts: usize) -> Self {
        self.hosts = hosts;
        self
    }

    /// One more peer, behind `nat`.
    pub fn peer(self, nat: impl Into<Nat>) -> Self {
        self.peer_of(nat, Family::Dual)
    }

    /// One more peer, behind `nat`, that speaks no more than `family` of what the lab does.
    pub fn peer_of(mut self, nat: impl Into<Nat>, family: Family) -> Self {
        self.peers.push(Access { nat: nat.into(), family, second: None });
        self
    }

    /// One more peer, behind `first`, that can move behind `second` ([`Lab::roam`]). In labs of IPv4 alone.
    pub fn roamer(mut self, first: impl Into<Nat>, second: impl Into<Nat>) -> Self {
        self.peers.push(Access { nat: first.into(), family: Family::V4, second: Some(second.into()) });
        self
    }

    /// These versions of IP.
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// How each access link behaves at first.
    pub fn access(mut self, link: Link) -> Self {
        self.access = link;
        self
    }

    /// Where jitter and loss begin.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Builds it, after removing what labs of dead processes left behind.
    pub fn build(self) -> Result<Lab> {
        if self.hosts > HOSTS_MAX || self.peers.len() > PEERS_MAX {
            bail!("a lab has at most {HOSTS_MAX} public hosts and {PEERS_MAX} peers");
        }
        netns::sweep()?;
        let roams = self.peers.iter().any(|access| access.second.is_some());
        if roams && (self.family != Family::V4 || self.peers.len().saturating_mul(2) > PEERS_MAX) {
            bail!("peers can move only in labs of IPv4 alone with at most half as many of them");
        }
        build::build(self)
    }
}

impl Lab {
    /// Public host `k`, from 0.
    pub fn host(&self, k: usize) -> Result<&Station> {
        self.hosts.get(k).with_context(|| format!("no public host {k}"))
    }

    /// Peer `k`, from 0.
    pub fn peer(&self, k: usize) -> Result<&Peer> {
        self.peers.get(k).with_context(|| format!("no peer {k}"))
    }

    /// How a link behaves.
    pub fn link(&self, link: LinkId) -> Result<Link> {
        self.forwarder.link(link)
    }

    /// Changes how a link behaves, from the next frame on.
    pub fn set_link(&self, id: LinkId, link: Link) -> Result<()> {
        self.forwarder.set_link(id, link)
    }

    /// Cuts a link, or mends it.
    pub fn set_up(&self, id: LinkId, up: bool) -> Result<()> {
        self.set_link(id, Link { up, ..self.link(id)? })
    }

    /// Pulls the plug of peer `k`, for its kernel to see.
    pub fn unplug(&self, k: usize) -> Result<()> {
        self.peer(k)?.station.namespace.ip(&["link set eth0 down".to_owned()])
    }

    /// Puts it in again.
    pub fn plug(&self, k: usize) -> Result<()> {
        let peer = self.peer(k)?;
        peer.station.namespace.ip(&peer.plug)
    }

    /// Moves peer `k` behind its second router, under another address.
    pub fn roam(&self, k: usize) -> Result<()> {
        let second = self.peer(k)?.second.as_ref().context("this peer has nowhere to move")?;
        self.unplug(k)?;
        self.peer(k)?.station.namespace.ip(&second.plug)
    }

    /// Gives host `k` one more address in each of `networks` networks of which nobody else is a part, as if it were as many machines.
    pub fn crowd(&self, k: usize, networks: u8) -> Result<Vec<Ipv4Addr>> {
        if networks > CROWD_MAX {
            bail!("a crowd has at most {CROWD_MAX} networks");
        }
        let addresses: Vec<Ipv4Addr> = (0..networks).map(|n| Ipv4Addr::new(198, 18, n, 1)).collect();
        let host = self.host(k)?;
        host.namespace.ip(&addresses.iter().map(|address| format!("addr add {address}/32 dev wan")).collect::<Vec<_>>())?;
        for other in self.hosts.iter().filter(|other| other.link != host.link) {
            other.namespace.ip(&["route add 198.18.0.0/16 dev wan".to_owned()])?;
        }
        Ok(addresses)
    }

    /// Where packets went that left `station`, whether or not they arrived.
    pub fn destinations(&self, station: &Station) -> BTreeSet<Destination> {
        self.forwarder.destinations(station.link).into_keys().collect()
    }

    /// The same in the order in which packets first went there.
    pub fn destinations_in_order(&self, station: &Station) -> Vec<Destination> {
        let seen = self.forwarder.destinations(station.link).into_iter().map(|(destination, number)| (number, destination));
        seen.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Waits until `station` has sent a packet to where `wanted` says.
    pub fn await_destination(&self, station: &Station, wanted: impl Fn(&Destination) -> bool) -> Result<Destination> {
        self.forwarder.await_destination(station.link, wanted, PATIENCE).context("no such packet was sent")
    }

    /// Forgets where packets went.
    pub fn forget_destinations(&self, station: &Station) {
        self.forwarder.forget(station.link);
    }

    /// Of [`Lab::destinations`], those that are neither addresses of this lab nor among [`crate::watch::EXCEPTIONS`]; and those where
    /// another peer was dialled inside, behind its router, where nobody outside has any business.
    pub fn foreign(&self, station: &Station) -> Vec<Destination> {
        let others = self.peers.iter().map(|peer| &peer.station).filter(|other| other.link != station.link);
        let inside: BTreeSet<IpAddr> = others.flat_map(|other| &other.addresses).filter(|ip| !is_public(**ip)).copied().collect();
        let strange = |to: &Destination| !self.own.contains(&to.address) || to.dials && inside.contains(&to.address);
        self.destinations(station).into_iter().filter(|to| strange(to) && excepted(to).is_none()).collect()
    }

    /// Fails and names the strangers when `station` tried to reach anybody outside the lab.
    pub fn assert_only_lab(&self, station: &Station) -> Result<()> {
        let foreign: Vec<String> = self.foreign(station).iter().map(ToString::to_string).collect();
        if !foreign.is_empty() {
            bail!("packets left for addresses outside the lab: {}", foreign.join(", "));
        }
        Ok(())
    }

    /// The namespace of the segment.
    pub fn segment(&self) -> &Namespace {
        &self.segment
    }
}

impl Station {
    /// Where it runs.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Starts a program on it.
    pub fn start(&self, command: &mut Command) -> Result<Process> {
        Process::start(&self.namespace, command)
    }

    /// Its link: for a public host the access link, for a peer the one to its router.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Its first IPv4 address.
    pub fn v4(&self) -> Result<Ipv4Addr> {
        let found = self.addresses.iter().find_map(|address| if let IpAddr::V4(v4) = address { Some(*v4) } else { None });
        found.context("there is no IPv4 here")
    }

    /// Its first IPv6 address.
    pub fn v6(&self) -> Result<Ipv6Addr> {
        let found = self.addresses.iter().find_map(|address| if let IpAddr::V6(v6) = address { Some(*v6) } else { None });
        found.context("there is no IPv6 here")
    }

    /// Its first address, IPv4 if it has one.
    pub fn address(&self) -> Result<IpAddr> {
        self.addresses.first().copied().context("a station without an address")
    }
}

impl Peer {
    /// The machine itself.
    pub fn station(&self) -> &Station {
        &self.station
    }

    /// Where its router runs.
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// The link between its router and the segment.
    pub fn access(&self) -> LinkId {
        self.access
    }
}
