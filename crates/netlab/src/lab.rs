//! The laboratory: a segment with public hosts, and peers, each behind its own router.
//!
//! ```text
//! peer k  10.0.k.2 -- 10.0.k.1  router  203.0.113.(70+k-1) --+-- inet (a bridge, .1) --+-- host 203.0.113.10, 203.0.113.40
//!   eth0      lan link       lan      wan      access link                  access link      wan
//! ```
//! The second host is in 198.51.100.0/24, the third in 192.0.2.0/24, and so on in turn; all of these lie on the segment.
//! With IPv6 the segment is 2001:db8::/64, and 2001:db8:k::/64 is routed to peer k through a stateful firewall.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    forward::{self, Forwarder, Link, LinkId, Pairs},
    limits::{HOSTS_MAX, PATIENCE, PEERS_MAX},
    nat::{self, Kind, Nat},
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

/// What a lab is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    hosts: usize,
    peers: Vec<Nat>,
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
    /// What its router does.
    pub nat: Nat,
    /// What IPv4 packets from it carry as their source outside; its own address when there is no NAT.
    pub outside: Option<Ipv4Addr>,
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
    pub fn peer(mut self, nat: impl Into<Nat>) -> Self {
        self.peers.push(nat.into());
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
        Builder { lab: netns::next_lab(), pairs: Pairs::default(), own: BTreeSet::new(), plan: self }.build()
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

    /// Where packets went that left `station`, whether or not they arrived.
    pub fn destinations(&self, station: &Station) -> BTreeSet<Destination> {
        self.forwarder.destinations(station.link)
    }

    /// Waits until `station` has sent a packet to where `wanted` says.
    pub fn await_destination(&self, station: &Station, wanted: impl Fn(&Destination) -> bool) -> Result<Destination> {
        self.forwarder.await_destination(station.link, wanted, PATIENCE).context("no such packet was sent")
    }

    /// Forgets where packets went.
    pub fn forget_destinations(&self, station: &Station) {
        self.forwarder.forget(station.link);
    }

    /// Of [`Lab::destinations`], those that are neither addresses of this lab nor among [`crate::watch::EXCEPTIONS`].
    pub fn foreign(&self, station: &Station) -> Vec<Destination> {
        let all = self.destinations(station).into_iter();
        all.filter(|destination| !self.own.contains(&destination.address) && excepted(destination).is_none()).collect()
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

/// The segment's own end: where everybody's default route leads, and where what is for nobody in the lab ends.
const NOWHERE_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const NOWHERE_V6: Ipv6Addr = segment_v6(1);

const fn segment_v6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)
}

/// In the prefix that is routed to peer `k`, from 1.
fn inside_v6(k: u8, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, k.into(), 0, 0, 0, 0, host)
}

/// The `n`th address after `first` of the network in which everybody but some hosts is.
fn outside_v4(first: u8, n: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, first.saturating_add(n))
}

/// The networks on the segment (RFC 5737). Hosts are shared out among them, for whoever counts networks and not nodes.
const NETWORKS: [[u8; 3]; 3] = [[203, 0, 113], [198, 51, 100], [192, 0, 2]];

/// The `n`th address after `first` of the network of host `n`.
fn host_v4(first: u8, n: u8) -> Ipv4Addr {
    let [a, b, c] = NETWORKS.into_iter().cycle().nth(n.into()).unwrap_or_default();
    Ipv4Addr::new(a, b, c, first.saturating_add(n))
}

// How the last byte of these addresses is shared out.
const HOST: u8 = 10;
const HOST_SECOND: u8 = 40;
const ROUTER: u8 = 70;
const PUBLIC_PEER: u8 = 150;

struct Builder {
    lab: u32,
    plan: Plan,
    pairs: Pairs,
    own: BTreeSet<IpAddr>,
}

impl Builder {
    fn build(mut self) -> Result<Lab> {
        let segment = self.namespace("inet")?;
        let mut lines = vec!["link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0".to_owned()];
        lines.extend(self.addresses("br0", NOWHERE_V4, 24, NOWHERE_V6));
        lines.push("link set br0 up".to_owned());
        lines.extend(self.networks("br0"));
        segment.ip(&lines)?;
        let hosts = (0..).take(self.plan.hosts).map(|n| self.host(&segment, n)).collect::<Result<_>>()?;
        let nats = self.plan.peers.clone();
        let peers = (0..).zip(nats).map(|(n, nat)| self.peer(&segment, n, nat)).collect::<Result<_>>()?;
        self.own.extend(self.v4().then_some(IpAddr::V4(NOWHERE_V4)));
        self.own.extend(self.v6().then_some(IpAddr::V6(NOWHERE_V6)));
        Ok(Lab { forwarder: Forwarder::start(self.pairs)?, hosts, peers, segment, own: self.own })
    }

    fn v4(&self) -> bool {
        self.plan.family != Family::V6
    }

    fn v6(&self) -> bool {
        self.plan.family != Family::V4
    }

    /// A namespace that speaks what this lab does, on devices made from now on.
    fn namespace(&self, role: &str) -> Result<Namespace> {
        let namespace = Namespace::new(self.lab, role)?;
        // Nobody has the same address, so nobody need wait a second to find out.
        let v6 = if self.v6() { ("accept_dad", "0") } else { ("disable_ipv6", "1") };
        let keys = ["all", "default"].map(|scope| format!("ipv6/conf/{scope}/{}", v6.0));
        namespace.sysctl(&keys.each_ref().map(|key| (key.as_str(), v6.1)))?;
        namespace.ip(&["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// Lines that give `device` the addresses of this lab's family.
    fn addresses(&self, device: &str, v4: Ipv4Addr, length: u8, v6: Ipv6Addr) -> Vec<String> {
        let v4 = self.v4().then(|| format!("addr add {v4}/{length} dev {device}"));
        let v6 = self.v6().then(|| format!("addr add {v6}/64 dev {device} nodad"));
        v4.into_iter().chain(v6).collect()
    }

    /// Lines for the default routes.
    fn routes(&self, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<String> {
        let v4 = self.v4().then(|| format!("route add default via {v4}"));
        let v6 = self.v6().then(|| format!("route add default via {v6}"));
        v4.into_iter().chain(v6).collect()
    }

    /// Lines that make every network of the segment lie on `device`.
    fn networks(&self, device: &str) -> Vec<String> {
        let networks = NETWORKS.into_iter().filter(|_| self.v4());
        networks.map(|[a, b, c]| format!("route replace {a}.{b}.{c}.0/24 dev {device}")).collect()
    }

    /// Lays a link from the device `near`, which it makes on the segment's bridge, to `wan` in `namespace`.
    fn access(&mut self, segment: &Namespace, near: &str, namespace: &Namespace) -> Result<LinkId> {
        let ends = (segment.enter(|| forward::open(near))?, namespace.enter(|| forward::open("wan"))?);
        segment.ip(&[format!("link set {near} master br0 up")])?;
        Ok(self.pairs.join(ends.0, ends.1, self.plan.access, self.plan.seed))
    }

    fn host(&mut self, segment: &Namespace, n: u8) -> Result<Station> {
        let namespace = self.namespace(&format!("host{n}"))?;
        let link = self.access(segment, &format!("host{n}"), &namespace)?;
        let mut lines = vec!["link set wan up".to_owned()];
        let mut addresses = Vec::new();
        for first in [HOST, HOST_SECOND] {
            let v4 = host_v4(first, n);
            let v6 = segment_v6(first.saturating_add(n).into());
            lines.extend(self.addresses("wan", v4, 24, v6));
            addresses.extend(self.of_family(v4, v6));
        }
        lines.extend(self.networks("wan"));
        lines.extend(self.routes(NOWHERE_V4, NOWHERE_V6));
        lines.extend(self.prefixes(None));
        namespace.ip(&lines)?;
        addresses.sort();
        self.own.extend(&addresses);
        Ok(Station { namespace, link, addresses })
    }

    /// Lines for the routes to all peers' prefixes, but for peer `own`.
    fn prefixes(&self, own: Option<u8>) -> Vec<String> {
        let peers = (0u8..).take(if self.v6() { self.plan.peers.len() } else { 0 }).filter(|n| Some(*n) != own);
        peers
            .map(|n| {
                let router = segment_v6(ROUTER.saturating_add(n).into());
                format!("route add {}/64 via {router}", inside_v6(n.saturating_add(1), 0))
            })
            .collect()
    }

    fn of_family(&self, v4: Ipv4Addr, v6: Ipv6Addr) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4().then_some(IpAddr::V4(v4)).into_iter().chain(self.v6().then_some(IpAddr::V6(v6)))
    }

    fn peer(&mut self, segment: &Namespace, n: u8, nat: Nat) -> Result<Peer> {
        let k = n.saturating_add(1);
        let router = self.namespace(&format!("router{k}"))?;
        let inside = self.namespace(&format!("peer{k}"))?;
        let access = self.access(segment, &format!("router{k}"), &router)?;
        let ends = (router.enter(|| forward::open("lan"))?, inside.enter(|| forward::open("eth0"))?);
        let link = self.pairs.join(ends.0, ends.1, Link::WIRE, self.plan.seed);

        let translated = nat.kind != Kind::None;
        let gateway = (Ipv4Addr::new(10, 0, k, 1), inside_v6(k, 1));
        let client = if translated { Ipv4Addr::new(10, 0, k, 2) } else { outside_v4(PUBLIC_PEER, n) };
        let outside = (outside_v4(ROUTER, n), segment_v6(ROUTER.saturating_add(n).into()));

        let mut lines = vec!["link set wan up".to_owned(), "link set lan up".to_owned()];
        lines.extend(self.addresses("wan", outside.0, 24, outside.1));
        lines.extend(self.addresses("lan", gateway.0, 24, gateway.1));
        lines.extend(self.networks("wan"));
        lines.extend(self.routes(NOWHERE_V4, NOWHERE_V6));
        lines.extend(self.prefixes(Some(n)));
        let mut inner = vec!["link set eth0 up".to_owned()];
        inner.extend(self.addresses("eth0", client, if translated { 24 } else { 32 }, inside_v6(k, 2)));
        if self.v4() && !translated {
            // A public address behind a router: the router answers for it outside.
            lines.push(format!("route add {client}/32 dev lan"));
            lines.push(format!("neigh add proxy {client} dev wan"));
            inner.push(format!("route add {}/32 dev eth0", gateway.0));
        }
        inner.extend(self.routes(gateway.0, gateway.1));
        router.ip(&lines)?;
        inside.ip(&inner)?;
        let mut keys = vec![("ipv4/ip_forward", "1"), ("ipv4/neigh/wan/proxy_delay", "0")];
        keys.extend(self.v6().then_some(("ipv6/conf/all/forwarding", "1")));
        router.sysctl(&keys)?;
        router.nft(&nat::rules(nat, client))?;

        let addresses: Vec<IpAddr> = self.of_family(client, inside_v6(k, 2)).collect();
        self.own.extend(&addresses);
        self.own.extend(self.of_family(gateway.0, gateway.1).chain(self.of_family(outside.0, outside.1)));
        let source = if translated { outside.0 } else { client };
        let outside = self.v4().then_some(source);
        Ok(Peer { station: Station { namespace: inside, link, addresses }, router, access, nat, outside })
    }
}
