//! Whether a NAT does what it is said to: an exchange in the manner of STUN (RFC 5780).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::{
    forward::Link,
    lab::{Family, Lab, Plan},
    limits::PATIENCE,
    nat::{Kind, Nat},
};

/// What a peer sees of its router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How it maps UDP sockets; nothing when UDP does not pass.
    pub mapping: Option<Mapping>,
    /// Which answers it lets in; nothing when UDP does not pass.
    pub filtering: Option<Filtering>,
}

/// How a socket inside appears outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// As itself.
    Untranslated,
    /// At the router's address with the same port, whomever it talks to.
    SamePort,
    /// At the router's address with another port, whomever it talks to.
    OtherPort,
    /// With another port for each destination.
    PerDestination,
}

/// Who may send to a socket inside that has sent to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Anybody.
    Nobody,
    /// Whoever has that address.
    Address,
    /// Only that address and port.
    AddressAndPort,
}

impl Verdict {
    /// What `nat` should look like.
    pub fn expected(nat: Nat, v6: bool) -> Self {
        let mapping = match nat.kind {
            Kind::None => Mapping::Untranslated,
            _ if v6 => Mapping::Untranslated,
            Kind::Full | Kind::Addr | Kind::Port => Mapping::SamePort,
            Kind::Eimnp => Mapping::OtherPort,
            Kind::Sym => Mapping::PerDestination,
        };
        let filtering = match nat.kind {
            Kind::None | Kind::Full => Filtering::Nobody,
            Kind::Addr if !v6 => Filtering::Address,
            _ => Filtering::AddressAndPort,
        };
        Self { mapping: nat.udp.then_some(mapping), filtering: nat.udp.then_some(filtering) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(mapping), Some(filtering)) = (self.mapping, self.filtering) else { return write!(f, "no UDP") };
        let mapping = match mapping {
            Mapping::Untranslated => "no translation",
            Mapping::SamePort => "endpoint-independent mapping that keeps the port",
            Mapping::OtherPort => "endpoint-independent mapping to another port",
            Mapping::PerDestination => "a mapping for each destination",
        };
        let filtering = match filtering {
            Filtering::Nobody => "no filtering",
            Filtering::Address => "filtering by address",
            Filtering::AddressAndPort => "filtering by address and port",
        };
        write!(f, "{mapping}, {filtering}")
    }
}

/// A port on the public host, and the next.
const PORT: u16 = 5001;
/// The port inside.
const INSIDE: u16 = 4001;
/// What was overtaken by a TCP connection gets this long to arrive after all.
const LATE: Duration = Duration::from_millis(200);

/// Builds a lab with one peer behind `nat`, and looks.
pub fn probe(nat: Nat, v6: bool) -> Result<Verdict> {
    let family = if v6 { Family::V6 } else { Family::V4 };
    look(&Plan::new().family(family).access(Link::WIRE).peer(nat).build()?, 0, v6)
}

/// Looks at the router of peer `k` from public host 0. Nothing waits for an answer that does not come: what is sent last arrives
/// last, as links that neither jitter nor lose keep the order.
pub fn look(lab: &Lab, k: usize, v6: bool) -> Result<Verdict> {
    let host = lab.host(0)?;
    let peer = lab.peer(k)?.station();
    let ours = |address: &&IpAddr| address.is_ipv6() == v6;
    let mut addresses = host.addresses.iter().filter(ours).copied();
    let (Some(first), Some(second)) = (addresses.next(), addresses.next()) else {
        bail!("the lab does not speak that version of IP")
    };
    let (here, elsewhere, beside) =
        (SocketAddr::new(first, PORT), SocketAddr::new(second, PORT), SocketAddr::new(first, PORT.saturating_add(1)));
    let (here_socket, elsewhere_socket, beside_socket, listener) = host
        .namespace()
        .enter(|| Ok((UdpSocket::bind(here)?, UdpSocket::bind(elsewhere)?, UdpSocket::bind(beside)?, TcpListener::bind(here)?)))?;
    let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let client = peer.namespace().enter(|| {
        let client = UdpSocket::bind(SocketAddr::new(any, INSIDE))?;
        client.send_to(b"first", here)?;
        // When this is through, the packet before it is as well, or never.
        TcpStream::connect_timeout(&here, PATIENCE).context("TCP does not pass")?;
        Ok(client)
    })?;
    listener.accept()?;
    let Some(mapped) = source(&here_socket, LATE)? else { return Ok(Verdict { mapping: None, filtering: None }) };

    elsewhere_socket.send_to(b"elsewhere", mapped)?;
    beside_socket.send_to(b"beside", mapped)?;
    here_socket.send_to(b"here", mapped)?;
    let (mut from_elsewhere, mut from_beside) = (false, false);
    client.set_read_timeout(Some(PATIENCE))?;
    loop {
        let (_, from) = client.recv_from(&mut [0; 16]).context("not even the one who was asked may answer")?;
        from_elsewhere |= from == elsewhere;
        from_beside |= from == beside;
        if from == here {
            break;
        }
    }
    let filtering = match (from_elsewhere, from_beside) {
        (true, _) => Filtering::Nobody,
        (false, true) => Filtering::Address,
        (false, false) => Filtering::AddressAndPort,
    };

    client.send_to(b"second", beside)?;
    client.send_to(b"third", elsewhere)?;
    let others = [source(&beside_socket, PATIENCE)?, source(&elsewhere_socket, PATIENCE)?];
    let mapping = match mapped {
        _ if others.iter().any(|other| *other != Some(mapped)) => Mapping::PerDestination,
        mapped if peer.addresses.contains(&mapped.ip()) => Mapping::Untranslated,
        mapped if mapped.port() == INSIDE => Mapping::SamePort,
        _ => Mapping::OtherPort,
    };
    Ok(Verdict { mapping: Some(mapping), filtering: Some(filtering) })
}

/// Where the next packet comes from, if there is one.
fn source(socket: &UdpSocket, patience: Duration) -> Result<Option<SocketAddr>> {
    socket.set_read_timeout(Some(patience))?;
    match socket.recv_from(&mut [0; 16]) {
        Ok((_, from)) => Ok(Some(from)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
