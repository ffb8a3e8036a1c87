//! Start and end of a node.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use samizdat_api::ErrorKind;
use samizdat_chat::{Chat, ChatError};
use samizdat_core::PeerSecret;
use samizdat_engine::{Engine, Network, Networks};
use samizdat_entry::NameServers;
use samizdat_net::{BindError, Contacts, JoinError, Limits, Net, PeerAddr, Proxy, ProxyError, RelayAt, parse_join};
use samizdat_store::{Log, OpenError, StoreError, Vault, vault};
use tokio::{net::TcpListener, sync::oneshot};
use zeroize::Zeroizing;

use crate::{
    behind::PROXY,
    home,
    http::{Config, EndpointFile, NodeHandle, Token, serve, ui_link},
    limits::DISK_BUDGET,
    meeting::Meeting,
    node::{Clock, Node, Peers},
    roles::has_role,
    rotation::{self, Rotation, Term},
};

const PORTS: &str = "ports";

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder.
    pub home: PathBuf,
    /// Where other nodes reach it; otherwise any port, another at each start.
    pub listen: Option<SocketAddr>,
    /// Where the API listens, on the loopback interface; otherwise the port of the last time, or any.
    pub api: Option<SocketAddr>,
    /// Nodes to meet.
    pub join: Vec<String>,
    /// Relays to be reached through.
    pub relays: Vec<RelayAt>,
    /// The name server that is asked for entry domains; otherwise those of the system.
    pub resolver: Option<SocketAddr>,
    /// Whether the local network is told of this node in this run, even where that is not switched on.
    pub lan: bool,
    /// Whether the web UI is served.
    pub ui: bool,
    /// Opens the vault, or seals a new one.
    pub passphrase: Option<String>,
    /// The URL of a SOCKS5 proxy through which everything goes from now on, or `off`; otherwise as it was said last.
    pub proxy: Option<String>,
    /// Changes the transport key more often than usual.
    pub rotate_every: Option<Duration>,
}

/// A node that is up.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Name of the default identity.
    pub name: String,
    /// What another node's `--join` takes.
    pub join: String,
    /// Where the API is.
    pub api: String,
    /// Where the web UI is, with its token.
    pub ui: Option<String>,
}

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The home folder is somebody's for something else.
    #[error("{} holds other files and no node: choose an empty folder, or another --home", .0.display())]
    NotAHome(PathBuf),
    /// Files.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The vault's content.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The port for other nodes.
    #[error("{0}: choose another --listen")]
    Bind(#[from] BindError),
    /// What `--join` was given.
    #[error("--join {given}: {error}")]
    Join {
        /// What was given.
        given: String,
        /// What is wrong with it.
        error: JoinError,
    },
    /// What `--proxy` was given; not repeated, it may hold a password.
    #[error("--proxy: {0}")]
    Proxy(#[from] ProxyError),
    /// Nothing can be listened to behind a proxy.
    #[error("--listen is of no use with a proxy, where nothing listens: leave it away, or give --proxy off")]
    ListenBehindProxy,
    /// The port for the API.
    #[error("cannot listen on {0} for the API: {1}: choose another --api")]
    Api(SocketAddr, io::Error),
    /// The API must not be reachable from outside.
    #[error("the API listens on 127.0.0.1 or [::1] only")]
    ApiNotLocal,
    /// The system.
    #[error("the system failed: {0}")]
    System(#[from] io::Error),
    /// The loop ended by itself.
    #[error("the node ended unexpectedly; start it again, and report this")]
    Ended,
}

impl StartError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Join { .. } | Self::Proxy(_) | Self::ListenBehindProxy | Self::ApiNotLocal => ErrorKind::Usage,
            Self::NotAHome(_) | Self::Open(_) | Self::Bind(_) | Self::Api(..) => ErrorKind::Refused,
            // A full disk is the person's to mend, and so is a program that holds the files.
            Self::Chat(ChatError::Store(StoreError::Full | StoreError::Held(_))) => ErrorKind::Refused,
            Self::System(e) if e.kind() == io::ErrorKind::StorageFull => ErrorKind::Refused,
            Self::Chat(_) | Self::System(_) | Self::Ended => ErrorKind::Internal,
        }
    }

    /// Whether the vault wants a passphrase and none was given.
    pub fn needs_passphrase(&self) -> bool {
        matches!(self, Self::Open(OpenError::NeedsPassphrase))
    }
}

/// Runs a node until `shutdown` resolves or somebody asks it to end. `on_ready` is called once it can be used.
pub async fn run(options: Options, on_ready: impl FnOnce(Ready), shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    if options.api.is_some_and(|api| !api.ip().is_loopback()) {
        return Err(StartError::ApiNotLocal);
    }
    let joins = options
        .join
        .iter()
        .map(|given| parse_join(given).map_err(|error| StartError::Join { given: given.clone(), error }))
        .collect::<Result<Vec<_>, _>>()?;
    let home = home::open(&options.home)?;
    let mut rng = ChaCha20Rng::from_seed(random()?);
    let vault = Vault::open(home.dir(), options.passphrase.as_deref(), Chat::MIGRATIONS, &mut rng)?;
    let mut chat = Chat::open(vault, random()?)?;
    let log = Log::open(&home.file("log.sqlite"), DISK_BUDGET)?;

    let clock = Clock::new();
    // Whoever asked for an address is meant to be found there.
    let asked = options.listen.is_some();
    let settled = asked || has_role(&chat);
    let proxy = proxy(options.proxy.as_deref(), &chat)?;
    if asked && proxy.is_some() {
        return Err(StartError::ListenBehindProxy);
    }
    chat.keep(PROXY, proxy.as_ref().map(Proxy::to_url).unwrap_or_default().as_bytes())?;
    let term = Term::begin(&mut chat, settled, options.rotate_every, clock.now().unix_ms)?;
    let (last_port, last_api) = last_ports(&chat)?;
    let port = if settled { last_port } else { 0 };
    let listen = options.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    let (net, net_events) = Net::bind(rotation::config(&term.secret, listen, options.listen.is_none(), proxy.clone())).await?;
    let again = SocketAddr::new(listen.ip(), if settled { net.port() } else { 0 });
    let (rotation, current) = Rotation::new(&term, (settled, asked), options.rotate_every, again, proxy, net.clone());
    let listener = api_listener(options.api, last_api).await?;
    let api = listener.local_addr()?;
    chat.keep(PORTS, &ports(net.port(), api.port()))?;
    let name = chat.identities()?.first().map(|identity| identity.name.clone()).unwrap_or_default();

    let now = clock.now();
    let addr = net.local_addr().as_bytes().to_vec();
    let mut engine = Engine::new(log, chat, random()?, net.peer_id(), addr, now)?;
    engine.read_networks(Networks::by(networks).passing(passing));
    let peers = Peers::load(&engine)?;
    peers.remembered.into_iter().for_each(|(peer, addr)| engine.learn(peer, addr, false, now));
    joins.into_iter().for_each(|(peer, addr)| engine.learn(peer, addr.as_bytes().to_vec(), true, now));

    let servers = options.resolver.map_or(NameServers::System, |server| NameServers::Given(vec![server]));
    let meeting = Meeting::load(&engine, &net, servers, options.lan)?;
    let join = net.join_string();
    let (handle, calls) = NodeHandle::new();
    let (stop, stopped) = oneshot::channel();
    let (contacts, contact_events) = Contacts::start(Limits::default(), rotation.proxy.clone());
    let secret = PeerSecret(*term.secret);
    let mut node = Node::new(engine, (net, contacts.clone()), secret, rotation, clock, handle.events.clone(), meeting);
    node.given = options.relays;
    let runtime = tokio::runtime::Handle::current();
    // A thread of its own: the engine works synchronously with the disk.
    let (ended, end) = oneshot::channel();
    let thread = thread::Builder::new().name("engine".into()).spawn(move || {
        runtime.block_on(node.run(net_events, contact_events, calls, stopped));
        let _ = ended.send(());
    })?;

    let token = Token::generate()?;
    let _published = EndpointFile::publish(home.dir(), api, &token)?;
    let ui = options.ui.then(|| ui_link(api, &token));
    on_ready(Ready { name, join, api: format!("http://{api}"), ui });

    let (asked_to_end, mut unexpected) = (
        async {
            tokio::select! { () = shutdown => true, _ = end => false }
        },
        false,
    );
    let config = Config { token, home: home.dir().into(), ui: options.ui };
    let served = serve(listener, handle, config, async { unexpected = !asked_to_end.await }).await;
    let _ = stop.send(());
    contacts.close().await;
    let net = current.borrow().clone();
    net.close().await;
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    served?;
    match joined {
        Ok(Ok(())) => Ok(()),
        _ => Err(StartError::Ended),
    }
}

/// Seals the vault in `home` under a new passphrase, or lays its key open with `None`. No node may run there.
pub fn change_passphrase(home: &Path, present: Option<&str>, next: Option<&str>) -> Result<(), StartError> {
    let home = home::open(home)?;
    let mut rng = ChaCha20Rng::from_seed(random()?);
    Ok(vault::change_passphrase(home.dir(), present, next, &mut rng)?)
}

fn random() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| StartError::System(io::Error::other(e.to_string())))?;
    Ok(seed)
}

/// The proxy of this run: the one said now, or else the one said last.
fn proxy(said: Option<&str>, chat: &Chat) -> Result<Option<Proxy>, StartError> {
    let kept = chat.kept(PROXY)?.map(Zeroizing::new).unwrap_or_default();
    match said {
        Some("off") => Ok(None),
        Some(url) => Ok(Some(url.parse()?)),
        None if kept.is_empty() => Ok(None),
        // Never guessed at: a proxy that was forgotten would show where its owner is.
        None => Ok(Some(std::str::from_utf8(&kept).map_err(|_| ProxyError::Form)?.parse()?)),
    }
}

fn ports(net: u16, api: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (net.to_be_bytes(), api.to_be_bytes());
    [a, b, c, d]
}

fn last_ports(chat: &Chat) -> Result<(u16, u16), StartError> {
    Ok(match chat.kept(PORTS)?.as_deref() {
        Some([a, b, c, d]) => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
        _ => (0, 0),
    })
}

/// The networks that an address names.
fn networks(addr: &[u8]) -> Vec<Network> {
    let addr = PeerAddr::decode(addr).unwrap_or_else(|_| PeerAddr::new([]));
    Network::of_claim(addr.sockets().map(|socket| socket.ip()), addr.relays().next().is_some())
}

/// What of an address passes between this node and whoever is there.
fn passing(addr: &[u8], network: Network) -> Vec<u8> {
    let addr = PeerAddr::decode(addr).map(|addr| addr.passing(|ip| network.passes(ip)));
    addr.map(|addr| addr.as_bytes().to_vec()).unwrap_or_default()
}

async fn api_listener(asked: Option<SocketAddr>, last: u16) -> Result<TcpListener, StartError> {
    let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let wanted = asked.unwrap_or(local(last));
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        Err(_) if asked.is_none() => TcpListener::bind(local(0)).await.map_err(|e| StartError::Api(local(0), e)),
        Err(e) => Err(StartError::Api(wanted, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_networks_where_it_is_dialled() {
        let peer = "a".repeat(52);
        let named = |places: &str| networks(parse_join(&format!("{peer}@{places}")).unwrap().1.as_bytes());
        let far = |ip: &str| Network::of_link(Some(ip.parse().unwrap()));
        assert_eq!(named("198.51.100.1:4,10.0.0.1:4,[2001:db8::1]:4"), [far("198.51.100.1"), far("2001:db8::1")]);
        assert_eq!(named(&format!("10.0.0.1:4,203.0.113.1:4/{peer}")), [Network::Hidden], "its relay says not where it is");
        assert_eq!(networks(&[4, 9]), [], "what is not understood");
    }

    #[test]
    fn what_is_in_a_local_network_passes_there_alone() {
        let peer = "a".repeat(52);
        let addr = |places: &str| parse_join(&format!("{peer}@{places}")).unwrap().1.as_bytes().to_vec();
        let of = |ip: &str| Network::of_link(Some(ip.parse().unwrap()));
        let all = addr(&format!("127.0.0.1:4,192.168.3.4:4,203.0.113.1:4,203.0.113.1:4/{peer},192.168.3.9:4/{peer}"));
        let far = addr(&format!("203.0.113.1:4,203.0.113.1:4/{peer}"));
        assert_eq!(passing(&all, Network::Hidden), far);
        assert_eq!(passing(&all, of("198.51.100.1")), far);
        let near = addr(&format!("192.168.3.4:4,203.0.113.1:4,203.0.113.1:4/{peer},192.168.3.9:4/{peer}"));
        assert_eq!(passing(&all, of("192.168.3.1")), near);
        assert_eq!(passing(&far, Network::Hidden), far);
        assert!(passing(&[4, 9], Network::Hidden).is_empty(), "what is not understood");
    }

    #[test]
    fn a_full_disk_refuses_a_start_as_it_refuses_a_message() {
        let full = ChatError::Store(StoreError::Full);
        assert_eq!(StartError::Chat(full).kind(), ErrorKind::Refused);
        assert_eq!(StartError::Chat(ChatError::Store(StoreError::Held(None))).kind(), ErrorKind::Refused);
        assert_eq!(StartError::System(io::ErrorKind::StorageFull.into()).kind(), ErrorKind::Refused);
        assert_eq!(StartError::System(io::ErrorKind::Other.into()).kind(), ErrorKind::Internal);
    }
}
