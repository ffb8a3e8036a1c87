//! Accepts connections, within bounds, and lets them end when the node does.

use std::{future::Future, io, net::SocketAddr, path::PathBuf, pin::pin, sync::Arc};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Duration, sleep, timeout},
};

use super::{
    auth::Token,
    limits::{GRACE, HEAD_WITHIN, MAX_CONNECTIONS, MAX_HEAD, MAX_HEADERS, MAX_LISTENERS},
    node::NodeHandle,
    routes, tmp,
    ui::UiLinks,
};

/// After a failed `accept` (no file descriptors left), time for others to give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the server needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What callers must know.
    pub token: Token,
    /// The node's home; temporary files lie in it.
    pub home: PathBuf,
    /// Whether the web UI is served at `/`.
    pub ui: bool,
}

/// State of the handlers.
#[derive(Clone)]
pub(super) struct App {
    pub(super) node: NodeHandle,
    pub(super) token: Token,
    pub(super) address: SocketAddr,
    pub(super) ui: bool,
    /// Where files lie that are needed for a while.
    pub(super) home: Arc<PathBuf>,
    pub(super) links: Arc<UiLinks>,
    /// Places for clients of the event stream.
    pub(super) listeners: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl App {
    /// Resolves when the node ends.
    pub(super) async fn stopped(&self) {
        // An error means that the server is gone, which is the same.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

/// Serves the API on `listener`, which must be bound to the loopback interface, until `shutdown` resolves; then lets
/// open calls end for a few seconds.
pub async fn serve(listener: TcpListener, node: NodeHandle, config: Config, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let app = app(listener.local_addr()?, node, config, stopping.clone())?;
    let links = Arc::clone(&app.links);
    let app = routes::router(app);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let place = tokio::select! {
            () = &mut shutdown => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = serve_one(stream, app.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(e) => {
                    tracing::warn!("cannot accept a connection to the API: {e}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(true);
    links.clear();
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

pub(super) fn app(address: SocketAddr, node: NodeHandle, config: Config, stopping: watch::Receiver<bool>) -> io::Result<App> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the API listens on the loopback interface only"));
    }
    tmp::sweep(&config.home)?;
    Ok(App {
        node,
        token: config.token,
        address,
        ui: config.ui,
        home: Arc::new(config.home),
        links: Arc::default(),
        listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
        stopping,
    })
}

pub(super) async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades();
    let mut connection = pin!(connection);
    // A connection that breaks is the client's affair.
    tokio::select! {
        _ = &mut connection => {}
        () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
