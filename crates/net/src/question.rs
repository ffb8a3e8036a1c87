//! Questions: one stream on a connection of its own, a question out, an answer back. For what is asked of nodes that are
//! no neighbours, and must not wait behind envelopes. What is asked is the owner's business.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iroh::endpoint::Connection;
use iroh::{EndpointAddr, EndpointId, TransportAddr};
use samizdat_core::PeerId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use crate::addr::PeerAddr;
use crate::limits::{ANSWER_MAX, ASKED_MAX, ASKS_MAX, QUESTION_MAX, QUESTION_PATIENCE};
use crate::peers::Peers;
use crate::{AskError, DialError, NetEvent};

/// ALPN of questions.
pub(crate) const ALPN: &[u8] = b"samizdat/routing/1";

/// Questions under way, both ways.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    asking: usize,
    next: u64,
    asked: BTreeMap<u64, oneshot::Sender<Vec<u8>>>,
}

impl Questions {
    /// Hands the answer to whoever asked; too late does nothing.
    pub(crate) fn reply(&self, token: u64, answer: Vec<u8>) {
        let asker = self.table().asked.remove(&token);
        if let Some(asker) = asker.filter(|_| answer.len() <= ANSWER_MAX) {
            // He may have gone.
            let _ = asker.send(answer);
        }
    }

    fn begin_asking(&self) -> Result<(), AskError> {
        let mut table = self.table();
        if table.asking >= ASKS_MAX {
            return Err(AskError::Dial(DialError::Busy));
        }
        table.asking = table.asking.saturating_add(1);
        Ok(())
    }

    fn end_asking(&self) {
        let mut table = self.table();
        table.asking = table.asking.saturating_sub(1);
    }

    fn take_in(&self) -> Option<(u64, oneshot::Receiver<Vec<u8>>)> {
        let mut table = self.table();
        if table.asked.len() >= ASKED_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        table.next = table.next.saturating_add(1);
        let token = table.next;
        table.asked.insert(token, sender);
        Some((token, receiver))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    /// Asks; `Answered` or `AskFailed` follows within [`QUESTION_PATIENCE`].
    pub(crate) fn ask(self: &Arc<Self>, ticket: u64, peer: PeerId, addr: &PeerAddr, question: Vec<u8>) -> Result<(), AskError> {
        if question.is_empty() || question.len() > QUESTION_MAX {
            return Err(AskError::Size);
        }
        let id = EndpointId::from_bytes(&peer.0).map_err(|_| DialError::Peer)?;
        if peer == self.me {
            return Err(AskError::Dial(DialError::Own));
        }
        let mut ways = self.ways(addr);
        if ways.is_empty() {
            // Whom a relay hides has no address, and is reached as he is now.
            ways.extend(self.link(&peer).and_then(|link| link.way()));
        }
        if ways.is_empty() {
            return Err(AskError::Dial(DialError::NoAddress));
        }
        let events = self.events().ok_or(DialError::Closed)?;
        self.questions.begin_asking()?;
        let peers = self.clone();
        self.runtime.spawn(async move {
            let answer = timeout(QUESTION_PATIENCE, peers.ask_now(id, ways, &question)).await.ok().flatten();
            peers.questions.end_asking();
            let event = match answer {
                Some((from, answer)) => NetEvent::Answered { ticket, from, answer },
                None => NetEvent::AskFailed { ticket },
            };
            let _ = events.send(event).await;
        });
        Ok(())
    }

    async fn ask_now(&self, id: EndpointId, ways: Vec<TransportAddr>, question: &[u8]) -> Option<(Option<IpAddr>, Vec<u8>)> {
        let connection = self.endpoint()?.connect(EndpointAddr::from_parts(id, ways), ALPN).await.ok()?;
        let (mut send, mut recv) = connection.open_bi().await.ok()?;
        send.write_all(question).await.ok()?;
        send.finish().ok()?;
        let answer = recv.read_to_end(ANSWER_MAX).await.ok().filter(|answer| !answer.is_empty());
        let from = remote_ip(&connection);
        connection.close(0u32.into(), b"");
        answer.map(|answer| (from, answer))
    }

    /// Takes one question of a stranger and brings him the answer.
    pub(crate) async fn be_asked(&self, connection: Connection) {
        let done = timeout(QUESTION_PATIENCE, self.be_asked_now(&connection)).await;
        debug!(answered = matches!(done, Ok(Some(()))), "a question");
        connection.close(0u32.into(), b"");
    }

    async fn be_asked_now(&self, connection: &Connection) -> Option<()> {
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        let question = recv.read_to_end(QUESTION_MAX).await.ok().filter(|question| !question.is_empty())?;
        let events: mpsc::Sender<NetEvent> = self.events()?;
        let (token, answer) = self.questions.take_in()?;
        let asked = Asked { questions: &self.questions, token };
        let peer = PeerId(*connection.remote_id().as_bytes());
        events.send(NetEvent::Asked { token, peer, from: remote_ip(connection), question }).await.ok()?;
        let answer = answer.await.ok()?;
        drop(asked);
        send.write_all(&answer).await.ok()?;
        send.finish().ok()?;
        // He closes once he has read it.
        connection.closed().await;
        Some(())
    }
}

/// A question that was taken in; dropping it forgets it.
struct Asked<'a> {
    questions: &'a Questions,
    token: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.questions.table().asked.remove(&self.token);
    }
}

fn remote_ip(connection: &Connection) -> Option<IpAddr> {
    let paths = connection.paths();
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    match path.remote_addr() {
        TransportAddr::Ip(socket) => Some(socket.ip().to_canonical()),
        _ => None,
    }
}
