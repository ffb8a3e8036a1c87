//! The one place that builds an iroh endpoint.
//!
//! Nobody is contacted but the peers that are dialled, those that dial us, and the relays that this node was told to use
//! or through which a peer is dialled: no address lookup, no captive-portal check, no port mapping.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use iroh::endpoint::{
    BindError, BindOpts, Connection, IdleTimeout, NetReportConfig, PortmapperConfig, QuicTransportConfig, VarInt, presets,
};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMap, RelayMode, SecretKey, TransportAddr};
use samizdat_core::record::Via;
use tokio::time::timeout;

use crate::addr::{PeerAddr, canonical};
use crate::hybrid;
use crate::limits::{ADDRS_MAX, LOOPBACK_DELAY, Limits, PATH_IDLE_MAX, RECEIVE_WINDOW, SEND_WINDOW, TLS_TICKETS_MAX};
use crate::relay::{Names, Pins};

/// Where an endpoint has sockets of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Listen {
    /// An unspecified address means every interface, IPv4 and, where it exists, IPv6.
    At(SocketAddr),
    /// It has none, knows no address of its own and so can tell nobody one: whatever it says goes through relays.
    Nowhere,
}

/// Binds an endpoint that takes connections for these `alpns`. `pins` are the certificates of relays; without them no relay is ever
/// used. `names` are theirs, nobody else's. With `proxy`, the address of our bridge, nothing is bound at all, and relays are reached
/// through it.
pub(crate) async fn build(
    secret: &[u8; 32],
    listen: Listen,
    alpns: &[&[u8]],
    limits: &Limits,
    pins: Option<&Pins>,
    names: &Names,
    proxy: Option<&str>,
) -> Result<Endpoint, io::Error> {
    let builder = Endpoint::builder(presets::Minimal)
        .crypto_provider(hybrid::provider())
        .secret_key(SecretKey::from_bytes(secret))
        .alpns(alpns.iter().map(|alpn| alpn.to_vec()).collect())
        .clear_address_lookup()
        .dns_resolver(names.resolver())
        .portmapper_config(PortmapperConfig::Disabled)
        .transport_config(transport(limits))
        .max_tls_tickets(TLS_TICKETS_MAX)
        .clear_ip_transports();
    let mut report = NetReportConfig::minimal();
    let builder = match pins {
        None => builder.relay_mode(RelayMode::Disabled).net_report_config(report),
        Some(pins) => {
            // Where UDP is blocked, this is the only way to find out that a relay works.
            report.https_probes = true;
            builder.relay_mode(RelayMode::Custom(RelayMap::empty())).net_report_config(report).ca_tls_config(pins.tls_config())
        }
    };
    let builder = match (proxy, listen) {
        (Some(proxy), _) => Ok(builder.proxy_url(proxy.parse().map_err(io::Error::other)?)),
        (None, Listen::Nowhere) => Ok(builder),
        (None, Listen::At(listen)) if listen.ip().is_unspecified() => {
            let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port());
            let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), listen.port());
            builder.bind_addr(v4).and_then(|b| b.bind_addr_with_opts(v6, BindOpts::default().set_is_required(false)))
        }
        (None, Listen::At(listen)) => builder.bind_addr(listen),
    };
    builder.map_err(io::Error::other)?.bind().await.map_err(|error| match error {
        BindError::Sockets { source, .. } => source,
        other => io::Error::other(other),
    })
}

/// Connects, by other machines' addresses first: what listens on the same port of this machine may be another node.
pub(crate) async fn connect(endpoint: &Endpoint, id: EndpointId, ways: Vec<TransportAddr>, alpn: &[u8]) -> Option<Connection> {
    let to = async |ways| endpoint.connect(EndpointAddr::from_parts(id, ways), alpn).await.ok();
    let loopback = |way: &TransportAddr| matches!(way, TransportAddr::Ip(socket) if socket.ip().is_loopback());
    let (near, far): (Vec<_>, Vec<_>) = ways.into_iter().partition(loopback);
    if far.is_empty() {
        return to(near).await;
    }
    if near.is_empty() {
        return to(far).await;
    }
    match timeout(LOOPBACK_DELAY, to(far)).await {
        Ok(Some(connection)) => Some(connection),
        _ => to(near).await,
    }
}

/// Where others can dial this node: other machines' view first, this machine's own (loopback) last.
pub(crate) fn local_addr(endpoint: &Endpoint, relays: &[Via]) -> PeerAddr {
    addr_of(endpoint, endpoint.addr().ip_addrs().copied().filter(|s| !needs_scope(s)), relays)
}

/// The same with these for the view of other machines.
pub(crate) fn addr_of(endpoint: &Endpoint, far: impl Iterator<Item = SocketAddr>, relays: &[Via]) -> PeerAddr {
    let mut far: Vec<SocketAddr> = far.collect();
    far.sort_by_key(|s| (s.is_ipv6(), s.ip().is_loopback(), *s));
    far.truncate(ADDRS_MAX.saturating_sub(1));
    let near = endpoint.bound_sockets().into_iter().filter(|s| s.ip().is_unspecified()).map(loopback_of);
    PeerAddr::with_relays(far.into_iter().chain(near.min()), relays)
}

/// Whether a packet to `socket` would come back to `endpoint` itself.
pub(crate) fn is_own(endpoint: &Endpoint, socket: SocketAddr) -> bool {
    let socket = canonical(socket);
    endpoint.bound_sockets().iter().any(|bound| *bound == socket || loopback_of(*bound) == socket)
        || endpoint.addr().ip_addrs().any(|own| *own == socket)
}

fn transport(limits: &Limits) -> QuicTransportConfig {
    let idle = u32::try_from(limits.idle.as_millis()).unwrap_or(u32::MAX);
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .default_path_max_idle_timeout(limits.idle.min(PATH_IDLE_MAX))
        // The spin bit would let every router on the way read the round-trip time.
        .allow_spin(false)
        .build()
}

fn loopback_of(bound: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, bound.port())
}

/// Link-local addresses mean nothing without the name of an interface, which differs between machines.
fn needs_scope(socket: &SocketAddr) -> bool {
    match socket.ip() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
