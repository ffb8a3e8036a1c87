//! The one place that builds an iroh endpoint.
//!
//! Nobody is contacted but the peers that are dialled, those that dial us, and the relays that this node was told to use
//! or through which a peer is dialled: no address lookup, no captive-portal check, no port mapping.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use iroh::endpoint::{BindError, BindOpts, IdleTimeout, NetReportConfig, PortmapperConfig, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, RelayMap, RelayMode, SecretKey};
use samizdat_core::record::Via;

use crate::addr::{PeerAddr, canonical};
use crate::frame::ALPN;
use crate::hybrid;
use crate::limits::{ADDRS_MAX, Limits, PATH_IDLE_MAX, RECEIVE_WINDOW, SEND_WINDOW, TLS_TICKETS_MAX};
use crate::question;
use crate::relay::{Names, Pins};

/// Binds `listen`; an unspecified address means every interface, IPv4 and, where it exists, IPv6.
/// `pins` are the certificates of relays; without them no relay is ever used. `names` are theirs, nobody else's. With `proxy`, the
/// address of our bridge, nothing is bound at all, and relays are reached through it.
pub(crate) async fn build(
    secret: &[u8; 32],
    listen: SocketAddr,
    limits: &Limits,
    pins: Option<&Pins>,
    names: &Names,
    proxy: Option<&str>,
) -> Result<Endpoint, io::Error> {
    let builder = Endpoint::builder(presets::Minimal)
        .crypto_provider(hybrid::provider())
        .secret_key(SecretKey::from_bytes(secret))
        .alpns(vec![ALPN.to_vec(), question::ALPN.to_vec()])
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
    let builder = if let Some(proxy) = proxy {
        Ok(builder.proxy_url(proxy.parse().map_err(io::Error::other)?))
    } else if listen.ip().is_unspecified() {
        let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port());
        let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), listen.port());
        builder.bind_addr(v4).and_then(|b| b.bind_addr_with_opts(v6, BindOpts::default().set_is_required(false)))
    } else {
        builder.bind_addr(listen)
    };
    builder.map_err(io::Error::other)?.bind().await.map_err(|error| match error {
        BindError::Sockets { source, .. } => source,
        other => io::Error::other(other),
    })
}

/// Where others can dial this node: other machines' view first, this machine's own (loopback) last.
pub(crate) fn local_addr(endpoint: &Endpoint, relays: &[Via]) -> PeerAddr {
    let mut far: Vec<SocketAddr> = endpoint.addr().ip_addrs().copied().filter(|s| !needs_scope(s)).collect();
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
