//! A node that is visited, friends who visit it, and a crowd of strangers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use samizdat_core::PeerId;
use samizdat_net::{Limits, NetEvent, PeerAddr};
use samizdat_netlab::{
    flood::{Served, Strangers, Visit},
    limits::{SILENT_MAX, STRANGERS_AT_ONCE},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::interval,
};

use crate::node::{Node, connected, millis, peer, ready};

const WORD: &[u8] = b"hello";
/// Between two words of a friend.
const PACE: Duration = Duration::from_millis(50);
/// How long a stranger stays where he is let in.
const STAY: Duration = Duration::from_secs(2);

/// Echoes every frame until it is killed. Of those who say nothing it keeps as many as our nodes do that have not greeted, and hangs
/// up on the others. On SIGUSR1 it says how many came.
pub(crate) async fn serve(port: u16) -> Result<()> {
    let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let mut node = Node::bind_at(listen, &[], Limits::default()).await?;
    let mut end = signal(SignalKind::user_defined1())?;
    ready(&node.contact())?;
    let mut served = Served { most: 0, all: 0 };
    let mut now: u64 = 0;
    let mut silent: Vec<PeerId> = Vec::new();
    loop {
        tokio::select! {
            Some(event) = node.events.recv() => match event {
                NetEvent::Connected { peer, .. } => {
                    now = now.saturating_add(1);
                    served.all = served.all.saturating_add(1);
                    served.most = served.most.max(now);
                    silent.push(peer);
                    if silent.len() > SILENT_MAX {
                        node.net.hangup(silent.remove(0));
                    }
                }
                NetEvent::Disconnected { peer, .. } => {
                    now = now.saturating_sub(1);
                    silent.retain(|other| *other != peer);
                }
                NetEvent::Frame { peer, bytes } => {
                    silent.retain(|other| *other != peer);
                    // He may have gone.
                    let _ = node.net.send(peer, bytes);
                }
                _ => {}
            },
            _ = end.recv() => println!("{}", serde_json::to_string(&served)?),
        }
    }
}

/// Visits `to` until it is killed, dialling again at once when that comes to nothing. Ready when it is connected; on SIGUSR1 it says
/// how that went.
pub(crate) async fn visit(to: &str, at: SocketAddr) -> Result<()> {
    let mut node = Node::bind(&[], Limits::default()).await?;
    let (to, addr) = (peer(to)?, PeerAddr::new([at]));
    let mut end = signal(SignalKind::user_defined1())?;
    let mut pace = interval(PACE);
    let mut visit = Visit { connected_ms: 0.0, failed: 0, answers: 0, longest_gap_ms: 0.0, links_lost: 0 };
    let mut last = None;
    let begun = Instant::now();
    node.net.dial(to, addr.as_bytes())?;
    loop {
        tokio::select! {
            Some(event) = node.events.recv() => match event {
                NetEvent::Connected { .. } => {
                    if visit.connected_ms == 0.0 {
                        visit.connected_ms = millis(begun);
                        ready(&node.contact())?;
                    }
                    let _ = node.net.send(to, WORD.to_vec());
                }
                NetEvent::DialFailed { .. } => {
                    visit.failed = visit.failed.saturating_add(1);
                    node.net.dial(to, addr.as_bytes())?;
                }
                NetEvent::Disconnected { .. } => {
                    visit.links_lost = visit.links_lost.saturating_add(1);
                    node.net.dial(to, addr.as_bytes())?;
                }
                NetEvent::Frame { .. } => {
                    visit.answers = visit.answers.saturating_add(1);
                    let gap = last.replace(Instant::now()).map_or(0.0, millis);
                    visit.longest_gap_ms = visit.longest_gap_ms.max(gap);
                }
                _ => {}
            },
            _ = pace.tick() => drop(node.net.send(to, WORD.to_vec())),
            _ = end.recv() => println!("{}", serde_json::to_string(&visit)?),
        }
    }
}

/// So many strangers visit `to`, from these addresses in turn; each is a node of its own. Ready when the first was turned away.
pub(crate) async fn strangers(to: &str, at: SocketAddr, from: &[IpAddr], count: usize) -> Result<()> {
    let to = peer(to)?;
    let places = Arc::new(Semaphore::new(STRANGERS_AT_ONCE));
    let let_in = Arc::new(AtomicU64::new(0));
    let turned_away = Arc::new(Notify::new());
    let mut crowd = JoinSet::new();
    for (_, from) in (0..count).zip(from.iter().cycle().copied()) {
        let (places, let_in, turned_away) = (places.clone(), let_in.clone(), turned_away.clone());
        crowd.spawn(async move {
            let _place = places.acquire().await?;
            let mut node = Node::bind_at(SocketAddr::new(from, 0), &[], Limits::default()).await?;
            node.net.dial(to, PeerAddr::new([at]).as_bytes())?;
            if node.until(|event| connected(event, to)).await.is_ok() {
                let_in.fetch_add(1, Ordering::Relaxed);
                // Until he is thrown out.
                let gone = node.until(|event| matches!(event, NetEvent::Disconnected { .. }));
                let _ = tokio::time::timeout(STAY, gone).await;
            }
            turned_away.notify_one();
            node.net.close().await;
            anyhow::Ok(())
        });
    }
    turned_away.notified().await;
    ready(&"strangers")?;
    while let Some(stranger) = crowd.join_next().await {
        stranger??;
    }
    let came = count.try_into()?;
    println!("{}", serde_json::to_string(&Strangers { came, let_in: let_in.load(Ordering::Relaxed) })?);
    std::future::pending().await
}
