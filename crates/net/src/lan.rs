//! Finding nodes in the local network: a packet to a multicast group that no router passes on, answered by a packet back.
//!
//! Off unless somebody starts it, since it shows presence. A packet holds a transport key and a port and nothing else;
//! docs/protocol/lan.md has the bytes. [`machine::Machine`] decides, [`Lan`] has the sockets.

pub mod hello;
pub mod machine;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iroh::Watcher;
use netwatch::interfaces::IpNet;
use netwatch::netmon::{Monitor, State};
use samizdat_core::PeerId;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::debug;

use crate::Net;
use crate::limits::{LAN_HEARD_MAX, LAN_POSTS_MAX};
use crate::peers::Here;
use hello::{GROUP_V4, GROUP_V6, HELLO_LEN, PORT};
use machine::{Act, Machine, Post, Reach};

/// A node in the local network; only a connection proves who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Near {
    /// Who it says it is.
    pub peer: PeerId,
    /// Where its packet came from, with the port that it says.
    pub at: SocketAddr,
}

/// Discovery in the local network, until it is dropped.
#[derive(Debug)]
pub struct Lan(JoinHandle<()>);

impl Lan {
    /// Tells the local networks of `net`, and tells `met` who is there. Must be called inside a tokio runtime.
    pub fn start(net: &Net, seed: [u8; 32], met: impl Fn(Near) + Send + 'static) -> Self {
        let here = net.peers.watch_here();
        let machine = Machine::new(net.peer_id(), seed);
        Self(tokio::spawn(async move {
            match Monitor::new().await {
                Ok(monitor) => run(machine, here, monitor, met).await,
                Err(_) => debug!("the network interfaces cannot be watched"),
            }
        }))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A packet that came.
struct Heard {
    from: SocketAddr,
    /// To the group: it wants an answer.
    asks: bool,
    bytes: Vec<u8>,
}

async fn run(mut machine: Machine, mut here: watch::Receiver<Option<Here>>, monitor: Monitor, met: impl Fn(Near)) {
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (tell, mut heard) = mpsc::channel(LAN_HEARD_MAX);
    let mut interfaces = monitor.interface_state();
    let bound = |here: &Option<Here>| here.as_ref().map(|here| here.endpoint.bound_sockets()).unwrap_or_default();
    let mut sockets = Sockets::open(posts(&interfaces.get(), &bound(&here.borrow_and_update())), &tell);
    machine.moved(sockets.posts(), now());
    loop {
        while let Some(act) = machine.poll() {
            match act {
                Act::Send { post, to, bytes } => sockets.send(post, to, &bytes).await,
                Act::Met(near) => met(near),
            }
        }
        let wait = Duration::from_millis(machine.next_timeout().saturating_sub(now()));
        tokio::select! {
            Some(Heard { from, asks, bytes }) = heard.recv() => {
                machine.heard(from, asks, &bytes, now());
                continue;
            }
            changed = interfaces.updated() => if changed.is_err() { return },
            changed = here.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {
                machine.tick(now());
                continue;
            }
        }
        let posts = posts(&interfaces.get(), &bound(&here.borrow_and_update()));
        if posts != sockets.wanted {
            sockets = Sockets::open(posts, &tell);
            machine.moved(sockets.posts(), now());
        }
    }
}

/// Where to stand: at each IPv4 address of this machine, and at one IPv6 address of each network, as far as the endpoint listens
/// there. Not at link-local IPv6 addresses: iroh drops their scope, so nobody could be answered.
pub(crate) fn posts(state: &State, bound: &[SocketAddr]) -> Vec<Post> {
    let port = |ip: IpAddr| {
        let listens =
            |socket: &&SocketAddr| socket.is_ipv4() == ip.is_ipv4() && (socket.ip().is_unspecified() || socket.ip() == ip);
        bound.iter().find(listens).map(SocketAddr::port)
    };
    let mut posts: Vec<Post> = Vec::new();
    for interface in state.interfaces.values().filter(|interface| interface.is_up()) {
        // What multicast goes by is the number of the interface, and only its link-local address tells it.
        let scope = interface.addrs().find_map(|network| match network {
            IpNet::V6 { scope_id, .. } if scope_id != 0 => Some(scope_id),
            _ => None,
        });
        posts.extend(interface.addrs().filter_map(|network| {
            let ip = network.addr();
            let reach = match network {
                IpNet::V4(net) if !ip.is_loopback() => Reach::V4 { ip: net.addr(), prefix: net.prefix_len() },
                IpNet::V6 { net, flags, .. }
                    if !ip.is_loopback() && !net.addr().is_unicast_link_local() && !flags.tentative && !flags.deprecated =>
                {
                    Reach::V6 { ip: net.addr(), prefix: net.prefix_len(), scope: scope? }
                }
                _ => return None,
            };
            Some(Post { reach, port: port(ip)? })
        }));
    }
    posts.sort();
    posts.dedup_by(|later, earlier| earlier.reach.is_the_network_of(&later.reach));
    posts.truncate(LAN_POSTS_MAX);
    posts
}

/// The sockets of all posts, and those of the groups.
#[derive(Default)]
struct Sockets {
    wanted: Vec<Post>,
    open: Vec<(Post, Arc<UdpSocket>)>,
    _readers: JoinSet<()>,
}

impl Sockets {
    /// What cannot be opened is left out: an interface may have gone.
    fn open(wanted: Vec<Post>, tell: &mpsc::Sender<Heard>) -> Self {
        let mut readers = JoinSet::new();
        let open: Vec<(Post, Arc<UdpSocket>)> = wanted
            .iter()
            .filter_map(|post| match post_socket(&post.reach) {
                Ok(socket) => Some((*post, Arc::new(socket))),
                Err(error) => {
                    debug!(%error, "a local network cannot be told of this node");
                    None
                }
            })
            .collect();
        open.iter().for_each(|(_, socket)| drop(readers.spawn(read(Arc::clone(socket), false, tell.clone()))));
        // One for IPv4; for IPv6 one on each interface, since the group is another one there.
        let mut groups: BTreeMap<SocketAddr, Vec<Reach>> = BTreeMap::new();
        open.iter().for_each(|(post, _)| groups.entry(post.reach.group()).or_default().push(post.reach));
        for (group, reaches) in groups {
            match group_socket(group, &reaches) {
                Ok(socket) => drop(readers.spawn(read(Arc::new(socket), true, tell.clone()))),
                Err(error) => debug!(kind = ?error.kind(), "a local network cannot be listened to"),
            }
        }
        Self { wanted, open, _readers: readers }
    }

    fn posts(&self) -> Vec<Post> {
        self.open.iter().map(|(post, _)| *post).collect()
    }

    async fn send(&self, post: Post, to: Option<SocketAddr>, bytes: &[u8]) {
        let Some((_, socket)) = self.open.iter().find(|(open, _)| *open == post) else { return };
        let to = to.unwrap_or(post.reach.group());
        if let Err(error) = socket.send_to(bytes, to).await {
            debug!(kind = ?error.kind(), "the local network was not told");
        }
    }
}

/// Speaks to the group on one interface, and hears the answers. Nothing it sends passes a router.
fn post_socket(reach: &Reach) -> io::Result<UdpSocket> {
    let socket = match reach {
        Reach::V4 { ip, .. } => {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_multicast_if_v4(ip)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.set_ttl_v4(1)?;
            socket.bind(&SocketAddr::new((*ip).into(), 0).into())?;
            socket
        }
        Reach::V6 { ip, scope, .. } => {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_only_v6(true)?;
            socket.set_multicast_if_v6(*scope)?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_unicast_hops_v6(1)?;
            socket.bind(&SocketAddr::new((*ip).into(), 0).into())?;
            socket
        }
    };
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Hears what is said to the group; several nodes of one machine share its port.
fn group_socket(group: SocketAddr, reaches: &[Reach]) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
    socket.set_reuse_port(true)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Bound to the group, it hears nothing else; Windows does not know that.
    let everything: IpAddr = if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let here = if cfg!(windows) { SocketAddr::new(everything, PORT) } else { group };
    socket.bind(&here.into())?;
    for reach in reaches {
        let joined = match reach {
            Reach::V4 { ip, .. } => socket.join_multicast_v4(&GROUP_V4, ip),
            Reach::V6 { scope, .. } => socket.join_multicast_v6(&GROUP_V6, *scope),
        };
        // Of two addresses on one interface the second finds that it has joined; one that has gone is no reason to leave the others.
        if let Err(error) = joined {
            debug!(kind = ?error.kind(), "a local network is listened to already, or cannot be");
        }
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

async fn read(socket: Arc<UdpSocket>, asks: bool, tell: mpsc::Sender<Heard>) {
    // One more than a packet has, so that longer ones are known as such.
    let mut bytes = [0; HELLO_LEN + 1];
    loop {
        match socket.recv_from(&mut bytes).await {
            Ok((length, from)) => {
                let bytes = bytes.get(..length).unwrap_or_default().to_vec();
                // Who floods us is not waited for.
                if let Err(mpsc::error::TrySendError::Closed(_)) = tell.try_send(Heard { from, asks, bytes }) {
                    return;
                }
            }
            // An answer to one who has gone meanwhile, or an interface that has.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
