//! Finding entry points, as a user: over the system's name servers, or given ones.

use core::{net::SocketAddr, time::Duration};
use std::net::IpAddr;

use hickory_resolver::{
    Resolver,
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, Record, RecordType},
    system_conf::read_system_conf,
};
use samizdat_core::{NodeRecord, Now, record::is_public};

use crate::{
    domain::{BadDomain, Domain},
    limits::{HINTS_MAX, LOOKUP_TIMEOUT, NAME_SERVERS_MAX, QUERY_TIMEOUT, QUERY_TRIES, UDP_ANSWER_MAX},
    text::{Txt, select},
};

/// Whom to ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum NameServers {
    /// Those of the system.
    #[default]
    System,
    /// These.
    Given(Vec<SocketAddr>),
}

/// Something to try that nobody signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hint {
    /// A node may listen there.
    Address(IpAddr),
}

/// What a domain says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Verified records, one per node.
    pub records: Vec<NodeRecord>,
    /// Addresses of a domain that has no entries at all.
    pub hints: Vec<Hint>,
    /// Entries that were dropped: malformed, forged, expired, superseded or too many.
    pub dropped: usize,
}

/// Why nothing can be said of a domain.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum LookupError {
    /// It cannot be in DNS.
    #[error(transparent)]
    Domain(#[from] BadDomain),
    /// The settings of the system cannot be read, or none are given.
    #[error("no name server is known")]
    NoServer,
    /// Nobody answered in time.
    #[error("no name server answers")]
    Unanswered,
    /// Servers answered that they cannot or do not want to.
    #[error("the name servers cannot say anything about this domain")]
    Failed,
}

/// Asks what entries `domain` has. Nothing is remembered from one call to the next.
///
/// # Errors
/// If nothing can be said of it. A domain without entries is no error.
pub async fn lookup(domain: &str, servers: &NameServers, now: Now) -> Result<Found, LookupError> {
    let domain = Domain::new(domain)?;
    let resolver = resolver(servers)?;
    tokio::time::timeout(LOOKUP_TIMEOUT, ask(&resolver, &domain, now)).await.map_err(|_| LookupError::Unanswered)?
}

async fn ask(resolver: &Resolver<TokioRuntimeProvider>, domain: &Domain, now: Now) -> Result<Found, LookupError> {
    let answers = query(resolver, domain.entries(), RecordType::TXT).await?;
    let txts: Vec<Txt> = answers.iter().filter_map(Txt::from_dns).collect();
    if txts.iter().any(Txt::claims_entry) {
        let found = select(&txts, now.unix_ms / 1000);
        return Ok(Found { records: found.records, hints: Vec::new(), dropped: found.dropped });
    }
    let mut hints = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let answers = query(resolver, domain.plain(), kind).await?;
        // A name that points into somebody's own network is an attack on that network.
        hints.extend(answers.iter().filter_map(|record| record.data.ip_addr()).filter(|ip| is_public(*ip)).map(Hint::Address));
    }
    hints.truncate(HINTS_MAX);
    Ok(Found { hints, ..Found::default() })
}

async fn query(resolver: &Resolver<TokioRuntimeProvider>, name: &Name, kind: RecordType) -> Result<Vec<Record>, LookupError> {
    match resolver.lookup(name.clone(), kind).await {
        Ok(answer) => Ok(answer.answers().to_vec()),
        Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok(Vec::new()),
        Err(NetError::Dns(_)) => Err(LookupError::Failed),
        Err(_) => Err(LookupError::Unanswered),
    }
}

fn resolver(servers: &NameServers) -> Result<Resolver<TokioRuntimeProvider>, LookupError> {
    let mut servers = match servers {
        // The servers, and neither search domains nor options.
        NameServers::System => read_system_conf().map_err(|_| LookupError::NoServer)?.0.name_servers,
        NameServers::Given(addrs) => addrs.iter().map(|addr| name_server(*addr)).collect(),
    };
    servers.truncate(NAME_SERVERS_MAX);
    if servers.is_empty() {
        return Err(LookupError::NoServer);
    }
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options();
    builder.build().map_err(|_| LookupError::NoServer)
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_TRIES;
    options.cache_size = 0;
    // An answer that was just fetched is not to be served again, whatever its time to live.
    options.positive_max_ttl = Some(Duration::ZERO);
    options.negative_max_ttl = Some(Duration::ZERO);
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.edns_payload_len = UDP_ANSWER_MAX;
    options.try_tcp_on_error = true;
    options
}

fn name_server(addr: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = addr.port();
        connection
    });
    NameServerConfig::new(addr.ip(), true, connections.to_vec())
}
