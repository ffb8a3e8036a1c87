//! Inputs in, outputs out.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_chat::{Chat, ChatError, Event};
use samizdat_core::record::CERTIFICATE_HASH_LEN;
use samizdat_core::{EnvelopeId, Now, PeerId};
use samizdat_store::Log;
use samizdat_sync::contact::{Input as ContactInput, Way, codec::Place};
use samizdat_sync::networks::{Network, Networks};
use samizdat_sync::relays::Chosen;
use samizdat_sync::{Config, Gossip, Input as GossipInput, Output as GossipOutput, PeerAddr, PeerStatus};

use crate::contact::Sessions;
use crate::routing::{Found, Routing, Whom};
use crate::{drops::Drops, inbound::Candidate, upkeep::Upkeep};

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Input {
    /// A connection stands; the peer has proven its key.
    Connected {
        /// Who.
        peer: PeerId,
        /// How it can be reached, in the shell's own encoding; empty if unknown.
        addr: Vec<u8>,
        /// Whether we dialled.
        dialed: bool,
        /// Where it is seen, unless a relay lies between.
        ip: Option<IpAddr>,
    },
    /// A dial came to nothing.
    DialFailed {
        /// Who.
        peer: PeerId,
    },
    /// A connection is gone.
    Disconnected {
        /// With whom.
        peer: PeerId,
    },
    /// A whole frame came.
    Frame {
        /// From whom.
        peer: PeerId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A stamp asked for by [`Output::Mint`] was found.
    Stamped {
        /// The envelope.
        id: EnvelopeId,
        /// The nonce.
        nonce: u64,
    },
    /// Somebody asks; [`Output::Reply`] may follow.
    Asked {
        /// Names the question.
        token: u64,
        /// Who.
        peer: PeerId,
        /// Where the question came from, unless a relay lies between.
        from: Option<IpAddr>,
        /// What.
        question: Vec<u8>,
    },
    /// The answer to [`Output::Ask`].
    Answered {
        /// Names the question.
        ticket: u64,
        /// Where the answerer was reached, unless a relay lies between.
        from: Option<IpAddr>,
        /// What.
        answer: Vec<u8>,
    },
    /// There will be no answer to [`Output::Ask`].
    AskFailed {
        /// Names the question.
        ticket: u64,
    },
    /// What [`Output::Check`] found out.
    Checked {
        /// Names the question.
        token: u64,
        /// The endpoint answered, and proved its key.
        endpoint: bool,
        /// The relay answered, with the right certificate.
        relay: bool,
    },
    /// Something happened at an endpoint for contacts.
    Contact(ContactInput),
    /// The time of [`Engine::next_timeout`] has come.
    Timeout,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Connect.
    Dial {
        /// To whom.
        peer: PeerId,
        /// Where, in the shell's own encoding.
        addr: Vec<u8>,
    },
    /// End a connection.
    Hangup {
        /// With whom.
        peer: PeerId,
    },
    /// Search for a stamp, off this thread. One search at a time.
    Mint {
        /// For which envelope.
        id: EnvelopeId,
        /// Expected tries.
        tries: u64,
        /// Whether somebody may be waiting for it; otherwise everything else on the machine goes first.
        urgent: bool,
    },
    /// Stop the search.
    CancelMint {
        /// For which envelope.
        id: EnvelopeId,
    },
    /// Ask a question on a connection of its own.
    Ask {
        /// Names the question.
        ticket: u64,
        /// Whom.
        whom: Whom,
        /// What.
        question: Vec<u8>,
    },
    /// Answer a question.
    Reply {
        /// Names the question.
        token: u64,
        /// What.
        answer: Vec<u8>,
    },
    /// Dial from a socket that never sent anything there before; [`Input::Checked`] follows.
    Check {
        /// Names the question.
        token: u64,
        /// Who must be there.
        peer: PeerId,
        /// Where.
        at: SocketAddr,
        /// Where its relay must be, with which certificate.
        relay: Option<(SocketAddr, [u8; CERTIFICATE_HASH_LEN])>,
    },
    /// A search is over.
    Found(Found),
    /// What [`Engine::probe`] found out.
    Probed {
        /// Whose record it was.
        peer: PeerId,
        /// Whether that node answered; `None` if it could not be asked.
        answered: Option<bool>,
    },
    /// [`Engine::standing`] changed.
    Standing,
    /// Be reached through these relays, the first that works; [`Engine::relay_connected`] hears whether one does.
    Relays(Vec<Chosen>),
    /// Dial a contact; [`ContactInput::Opened`] or [`ContactInput::DialFailed`] follows.
    ContactDial {
        /// Names this dial.
        dial: u64,
        /// From which of our endpoints.
        way: Way,
        /// Where to.
        to: Place,
    },
    /// Send a frame to a contact, or to a stranger who may be one.
    ContactSend {
        /// On which connection.
        link: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Send what is queued and end a connection.
    ContactClose {
        /// Which.
        link: u64,
    },
    /// Which endpoints for contacts there are to be; [`Engine::set_contact_endpoint`] tells when they are there.
    ContactEndpoints {
        /// The one that is reached through relays only. Another number is another endpoint, under another key.
        relayed: Option<u64>,
        /// The one that shows addresses, likewise.
        direct: Option<u64>,
    },
    /// A session with this contact began, goes on over another connection, or ended.
    Session {
        /// Number of the contact.
        contact: i64,
    },
    /// Something for people.
    Chat(Event),
    /// The number of neighbours changed.
    Peers(usize),
}

/// A node.
#[derive(Debug)]
pub struct Engine {
    pub(crate) log: Log,
    pub(crate) chat: Chat,
    pub(crate) gossip: Gossip,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) drops: Drops,
    pub(crate) minting: Option<EnvelopeId>,
    /// When the conversations want to be looked after, on the monotonic clock, ms.
    pub(crate) chat_due: u64,
    /// A stamp that could not be written down yet.
    pub(crate) stamped: Option<(EnvelopeId, u64)>,
    /// The log holds what the conversations have not seen: reading on failed.
    pub(crate) behind: bool,
    pub(crate) upkeep: Upkeep,
    pub(crate) routing: Routing,
    pub(crate) sessions: Sessions,
    pub(crate) out: VecDeque<Output>,
    neighbours: usize,
}

impl Engine {
    /// Starts a node over open stores: reads what the conversations have not seen, and finishes what a crash interrupted.
    /// `own` and `addr` are the transport key and how it can be reached.
    pub fn new(log: Log, chat: Chat, seed: [u8; 32], own: PeerId, addr: Vec<u8>, now: Now) -> Result<Self, ChatError> {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut gossip_seed = [0; 32];
        rng.fill_bytes(&mut gossip_seed);
        let mut gossip = Gossip::new(Config::default(), gossip_seed, own, peer_addr(addr));
        gossip.load(log.entries()?);
        let routing = Routing::new(&mut rng, own);
        let sessions = Sessions::new(&mut rng);
        let mut engine = Self {
            log,
            chat,
            gossip,
            rng,
            candidates: Vec::new(),
            drops: Drops::default(),
            minting: None,
            chat_due: 0,
            stamped: None,
            behind: false,
            upkeep: Upkeep::new(now),
            routing,
            sessions,
            out: VecDeque::new(),
            neighbours: 0,
        };
        engine.chat.catch_up(&engine.log, now)?;
        // A crash may have come between the log's verdict and the screen.
        for id in engine.log.losers()? {
            engine.chat.replaced(&id)?;
        }
        engine.watch_unpublished()?;
        engine.commit(now);
        Ok(engine)
    }

    /// How the networks are read out of the shell's addresses; to be told before anybody is learned.
    pub fn read_networks(&mut self, networks: Networks) {
        self.gossip.read_networks(networks);
    }

    /// Ends the node; another can be started over the same stores.
    pub fn into_stores(self) -> (Log, Chat) {
        (self.log, self.chat)
    }

    /// Takes one input. What it brings from peers is looked at by the next [`Engine::commit`].
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Connected { peer, addr, dialed, ip } => {
                self.routing.meet(peer, addr.clone(), ip);
                let network = Network::of_link(ip);
                self.feed(GossipInput::Connected { peer, addr: peer_addr(addr), dialed, network }, now)
            }
            Input::DialFailed { peer } => self.feed(GossipInput::DialFailed { peer }, now),
            Input::Disconnected { peer } => self.feed(GossipInput::Disconnected { peer }, now),
            Input::Frame { peer, bytes } => self.feed(GossipInput::Frame { peer, bytes }, now),
            Input::Stamped { id, nonce } => self.stamped(id, nonce, now),
            Input::Asked { token, peer, from, question } => self.routing.asked(token, peer, from, &question, now),
            Input::Answered { ticket, from, answer } => self.routing.answered(ticket, from, &answer, now),
            Input::AskFailed { ticket } => {
                let connected = self.gossip.peers().next().is_some();
                self.routing.ask_failed(ticket, connected, now)
            }
            Input::Checked { token, endpoint, relay } => self.routing.checked(token, endpoint, relay),
            Input::Contact(input) => self.sessions.handle(input, now),
            Input::Timeout => {
                self.routing.step(now);
                self.sessions.handle(ContactInput::Timeout, now);
                self.feed(GossipInput::Timeout, now);
            }
        }
    }

    /// Looks at what came from peers, all in one transaction, and lets out what can go. Call it after a batch of inputs.
    pub fn commit(&mut self, now: Now) {
        while !self.candidates.is_empty() {
            let candidates = std::mem::take(&mut self.candidates);
            // What could not be written was declined and comes again.
            let _ = self.admit(candidates, now);
        }
        self.keep_up(now);
        self.meet_contacts(now);
        self.send_out(now);
        self.hand_over();
        let neighbours = self.gossip.peers().count();
        if neighbours != self.neighbours {
            self.neighbours = neighbours;
            self.out.push_back(Output::Peers(neighbours));
        }
    }

    /// What is to be done, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        let machines = || self.routing.poll().or_else(|| self.sessions.poll());
        self.out.pop_front().or_else(machines).or_else(|| self.chat.poll_event().map(Output::Chat))
    }

    /// When to call with [`Input::Timeout`], on the monotonic clock, milliseconds.
    pub fn next_timeout(&self) -> u64 {
        self.gossip
            .next_timeout()
            .unwrap_or(u64::MAX)
            .min(self.upkeep.next())
            .min(self.routing.next_timeout())
            .min(self.sessions.next_timeout())
            .min(self.chat_due)
    }

    /// A peer that the person or an earlier run named; it is dialled for ever, with patience.
    pub fn learn(&mut self, peer: PeerId, addr: Vec<u8>, trusted: bool, now: Now) {
        self.gossip.learn(peer, peer_addr(addr), trusted, now);
        self.drain_gossip(now);
    }

    /// From now on this node has another transport key, on another endpoint: neighbours are dialled anew, and what was asked
    /// on the old one, or promised to somebody there, is gone. Say then what runs here by [`Engine::serve`].
    pub fn renew(&mut self, own: PeerId, addr: Vec<u8>, now: Now) {
        self.gossip.renew(own, peer_addr(addr), now);
        self.drain_gossip(now);
        self.routing.renew(&mut self.rng, own, now);
    }

    /// Our own address changed.
    pub fn set_addr(&mut self, addr: Vec<u8>) {
        self.gossip.set_own_addr(peer_addr(addr));
    }

    /// Something that a person asked for. The conversations may change; what follows from it happens at once.
    pub fn command<T>(&mut self, now: Now, f: impl FnOnce(&mut Chat, &Log) -> Result<T, ChatError>) -> Result<T, ChatError> {
        let result = f(&mut self.chat, &self.log)?;
        self.commit(now);
        Ok(result)
    }

    /// The conversations, for reading.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Reads from the conversations what takes a transaction to read.
    pub fn read<T>(&mut self, f: impl FnOnce(&mut Chat) -> Result<T, ChatError>) -> Result<T, ChatError> {
        f(&mut self.chat)
    }

    /// The log, for reading.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Neighbours.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.gossip.peers()
    }

    /// Peers worth remembering for the next start.
    pub fn remembered(&self) -> Vec<(PeerId, Vec<u8>)> {
        self.gossip.remembered().into_iter().map(|(peer, addr)| (peer, addr.0)).collect()
    }

    /// What was not taken, since the start.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// How many envelopes are held.
    pub fn held(&self) -> usize {
        self.gossip.len()
    }

    /// Equal on two nodes that hold the same envelopes.
    pub fn root(&self) -> [u8; 16] {
        self.gossip.root()
    }

    pub(crate) fn feed(&mut self, input: GossipInput, now: Now) {
        self.gossip.handle(input, now);
        self.drain_gossip(now);
    }

    fn drain_gossip(&mut self, now: Now) {
        while let Some(output) = self.gossip.poll_output() {
            match output {
                GossipOutput::Send { peer, bytes } => self.out.push_back(Output::Send { peer, bytes }),
                GossipOutput::Dial { peer, addr } => self.out.push_back(Output::Dial { peer, addr: addr.0 }),
                GossipOutput::Hangup { peer, .. } => self.out.push_back(Output::Hangup { peer }),
                GossipOutput::Candidates { peer, envelopes } => {
                    self.candidates.extend(envelopes.into_iter().map(|bytes| Candidate { peer: Some(peer), bytes }));
                }
                GossipOutput::Fetch { peer, ids } => {
                    // A log that cannot be read gives nothing; the peer will ask again.
                    let envelopes = self.log.get(&ids).unwrap_or_default();
                    let envelopes = ids.into_iter().zip(envelopes).filter_map(|(id, bytes)| Some((id, bytes?))).collect();
                    self.gossip.handle(GossipInput::Payloads { peer, envelopes }, now);
                }
                GossipOutput::Held { ids, .. } => self.published(&ids),
                GossipOutput::Reconciled { .. } => {}
            }
        }
    }
}

fn peer_addr(bytes: Vec<u8>) -> PeerAddr {
    PeerAddr(bytes)
}
