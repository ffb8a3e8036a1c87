//! What a lab is made of, from its plan.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::Result;

use super::{Access, Family, Lab, Peer, Plan, Second, Station};
use crate::{
    forward::{self, Forwarder, Link, LinkId, Pairs},
    nat::{self, Kind, Nat},
    netns::{self, Namespace},
};

pub(super) fn build(plan: Plan) -> Result<Lab> {
    let speaks = Speaks::of(plan.family);
    Builder { lab: netns::next_lab(), pairs: Pairs::default(), own: BTreeSet::new(), speaks, plan }.build()
}

/// The segment's own end: where everybody's default route leads, and where what is for nobody in the lab ends.
const NOWHERE_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const NOWHERE_V6: Ipv6Addr = segment_v6(1);

const fn segment_v6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)
}

/// The same for IPv6.
fn host_v6(first: u8, n: u8) -> Ipv6Addr {
    let network = (0x100_u16..).take(NETWORKS.len()).cycle().nth(n.into()).unwrap_or_default();
    Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, first.saturating_add(n).into())
}

/// The networks of all hosts, and that of the routers.
const ON_SEGMENT_V6: [&str; 2] = ["2001:db8:100::/40", "2001:db8::/64"];

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

/// Versions of IP.
#[derive(Clone, Copy)]
struct Speaks {
    v4: bool,
    v6: bool,
}

impl Speaks {
    fn of(family: Family) -> Self {
        Self { v4: family != Family::V6, v6: family != Family::V4 }
    }

    fn and(self, other: Self) -> Self {
        Self { v4: self.v4 && other.v4, v6: self.v6 && other.v6 }
    }

    /// Lines that give `device` these addresses.
    fn addresses(self, device: &str, v4: Ipv4Addr, length: u8, v6: Ipv6Addr) -> Vec<String> {
        let v4 = self.v4.then(|| format!("addr replace {v4}/{length} dev {device}"));
        let v6 = self.v6.then(|| format!("addr replace {v6}/64 dev {device} nodad"));
        v4.into_iter().chain(v6).collect()
    }

    /// Lines for the default routes.
    fn routes(self, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<String> {
        let v4 = self.v4.then(|| format!("route replace default via {v4}"));
        let v6 = self.v6.then(|| format!("route replace default via {v6}"));
        v4.into_iter().chain(v6).collect()
    }

    fn which(self, v4: Ipv4Addr, v6: Ipv6Addr) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.then_some(IpAddr::V4(v4)).into_iter().chain(self.v6.then_some(IpAddr::V6(v6)))
    }
}

struct Builder {
    lab: u32,
    speaks: Speaks,
    plan: Plan,
    pairs: Pairs,
    own: BTreeSet<IpAddr>,
}

impl Builder {
    fn build(mut self) -> Result<Lab> {
        let segment = self.namespace("inet", self.speaks)?;
        let mut lines = vec!["link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0".to_owned()];
        lines.extend(self.speaks.addresses("br0", NOWHERE_V4, 24, NOWHERE_V6));
        lines.push("link set br0 up".to_owned());
        lines.extend(self.networks("br0"));
        segment.ip(&lines)?;
        let hosts = (0..).take(self.plan.hosts).map(|n| self.host(&segment, n)).collect::<Result<_>>()?;
        let plans = self.plan.peers.clone();
        let peers = (0..).zip(plans).map(|(n, access)| self.peer(&segment, n, access)).collect::<Result<_>>()?;
        self.own.extend(self.speaks.which(NOWHERE_V4, NOWHERE_V6));
        Ok(Lab { forwarder: Forwarder::start(self.pairs)?, hosts, peers, segment, own: self.own })
    }

    /// A namespace that speaks this, on devices made from now on.
    fn namespace(&self, role: &str, speaks: Speaks) -> Result<Namespace> {
        let namespace = Namespace::new(self.lab, role)?;
        // Nobody has the same address, so nobody need wait a second to find out.
        let v6 = if speaks.v6 { ("accept_dad", "0") } else { ("disable_ipv6", "1") };
        let keys = ["all", "default"].map(|scope| format!("ipv6/conf/{scope}/{}", v6.0));
        namespace.sysctl(&keys.each_ref().map(|key| (key.as_str(), v6.1)))?;
        namespace.ip(&["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// Lines that make every network of the segment lie on `device`.
    fn networks(&self, device: &str) -> Vec<String> {
        let v4 = NETWORKS.into_iter().filter(|_| self.speaks.v4).map(|[a, b, c]| format!("{a}.{b}.{c}.0/24"));
        let v6 = ON_SEGMENT_V6.into_iter().filter(|_| self.speaks.v6).map(str::to_owned);
        v4.chain(v6).map(|network| format!("route replace {network} dev {device}")).collect()
    }

    /// Lays a link from the device `near`, which it makes on the segment's bridge, to `wan` in `namespace`.
    fn access(&mut self, segment: &Namespace, near: &str, namespace: &Namespace) -> Result<LinkId> {
        let ends = (segment.enter(|| forward::open(near))?, namespace.enter(|| forward::open("wan"))?);
        segment.ip(&[format!("link set {near} master br0 up")])?;
        Ok(self.pairs.join(ends.0, ends.1, self.plan.access, self.plan.seed))
    }

    fn host(&mut self, segment: &Namespace, n: u8) -> Result<Station> {
        let namespace = self.namespace(&format!("host{n}"), self.speaks)?;
        let link = self.access(segment, &format!("host{n}"), &namespace)?;
        let mut lines = vec!["link set wan up".to_owned()];
        let mut addresses = Vec::new();
        for first in [HOST, HOST_SECOND] {
            let v4 = host_v4(first, n);
            let v6 = host_v6(first, n);
            lines.extend(self.speaks.addresses("wan", v4, 24, v6));
            addresses.extend(self.speaks.which(v4, v6));
        }
        lines.extend(self.networks("wan"));
        lines.extend(self.speaks.routes(NOWHERE_V4, NOWHERE_V6));
        lines.extend(self.prefixes(None));
        namespace.ip(&lines)?;
        addresses.sort();
        self.own.extend(&addresses);
        Ok(Station { namespace, link, addresses })
    }

    /// Lines for the routes to all peers' prefixes, but for peer `own`.
    fn prefixes(&self, own: Option<u8>) -> Vec<String> {
        let peers = (0u8..).take(if self.speaks.v6 { self.plan.peers.len() } else { 0 }).filter(|n| Some(*n) != own);
        peers
            .map(|n| {
                let router = segment_v6(ROUTER.saturating_add(n).into());
                format!("route add {}/64 via {router}", inside_v6(n.saturating_add(1), 0))
            })
            .collect()
    }

    fn peer(&mut self, segment: &Namespace, n: u8, access: Access) -> Result<Peer> {
        let speaks = self.speaks.and(Speaks::of(access.family));
        let inside = self.namespace(&format!("peer{}", n.saturating_add(1)), speaks)?;
        let Network { router, access: link_outside, link, addresses, outside, plug } =
            self.network(segment, &inside, ("eth0", n), access.nat, speaks)?;
        inside.ip(&plug)?;
        // Counted on after those that peers are behind at first.
        let spare = u8::try_from(self.plan.peers.len())?.saturating_add(n);
        let second = match access.second {
            Some(nat) => {
                let Network { router, plug, .. } = self.network(segment, &inside, ("eth1", spare), nat, speaks)?;
                Some(Second { _router: router, plug })
            }
            None => None,
        };
        let station = Station { namespace: inside, link, addresses };
        Ok(Peer { station, router, access: link_outside, plug, second, nat: access.nat, outside })
    }

    /// Router `n`, and what is between it and `device` of who is inside.
    fn network(
        &mut self,
        segment: &Namespace,
        inside: &Namespace,
        (device, n): (&str, u8),
        nat: Nat,
        speaks: Speaks,
    ) -> Result<Network> {
        let k = n.saturating_add(1);
        let router = self.namespace(&format!("router{k}"), self.speaks)?;
        let access = self.access(segment, &format!("router{k}"), &router)?;
        let ends = (router.enter(|| forward::open("lan"))?, inside.enter(|| forward::open(device))?);
        let link = self.pairs.join(ends.0, ends.1, Link::WIRE, self.plan.seed);

        let translated = nat.kind != Kind::None;
        let gateway = (Ipv4Addr::new(10, 0, k, 1), inside_v6(k, 1));
        let client = if translated { Ipv4Addr::new(10, 0, k, 2) } else { outside_v4(PUBLIC_PEER, n) };
        let outside = (outside_v4(ROUTER, n), segment_v6(ROUTER.saturating_add(n).into()));

        let mut lines = vec!["link set wan up".to_owned(), "link set lan up".to_owned()];
        lines.extend(self.speaks.addresses("wan", outside.0, 24, outside.1));
        lines.extend(self.speaks.addresses("lan", gateway.0, 24, gateway.1));
        lines.extend(self.networks("wan"));
        lines.extend(self.speaks.routes(NOWHERE_V4, NOWHERE_V6));
        lines.extend(self.prefixes(Some(n)));
        let mut plug = vec![format!("link set {device} up")];
        plug.extend(speaks.addresses(device, client, if translated { 24 } else { 32 }, inside_v6(k, 2)));
        if speaks.v4 && !translated {
            // A public address behind a router: the router answers for it outside.
            lines.push(format!("route add {client}/32 dev lan"));
            lines.push(format!("neigh add proxy {client} dev wan"));
            plug.push(format!("route replace {}/32 dev {device}", gateway.0));
        }
        plug.extend(speaks.routes(gateway.0, gateway.1));
        router.ip(&lines)?;
        let mut keys = vec![("ipv4/ip_forward", "1"), ("ipv4/neigh/wan/proxy_delay", "0")];
        keys.extend(self.speaks.v6.then_some(("ipv6/conf/all/forwarding", "1")));
        router.sysctl(&keys)?;
        router.nft(&nat::rules(nat, client))?;

        let addresses: Vec<IpAddr> = speaks.which(client, inside_v6(k, 2)).collect();
        self.own.extend(&addresses);
        self.own.extend(self.speaks.which(gateway.0, gateway.1).chain(self.speaks.which(outside.0, outside.1)));
        let outside = speaks.v4.then_some(if translated { outside.0 } else { client });
        Ok(Network { router, access, link, addresses, outside, plug })
    }
}

/// A router, and how somebody is connected to it.
struct Network {
    router: Namespace,
    access: LinkId,
    link: LinkId,
    addresses: Vec<IpAddr>,
    outside: Option<Ipv4Addr>,
    plug: Vec<String>,
}
