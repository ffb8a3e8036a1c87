//! One simulated machine: an engine while it runs, its stores while it does not.

use samizdat_chat::{Chat, ChatError};
use samizdat_core::{EnvelopeId, Now, PeerId};
use samizdat_engine::{Engine, Output};
use samizdat_store::{Log, Vault};
use samizdat_sync::draw::Draw;

use crate::{
    limits::{LOG_BUDGET, READ_AT_ONCE},
    vice::Vice,
    world::{Counts, SimError},
};

/// A peer and its address.
pub(crate) type PeerAt = (PeerId, Vec<u8>);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) addr: Vec<u8>,
    /// Those that the person named; dialled for ever.
    pub(crate) known: Vec<PeerAt>,
    pub(crate) vice: Option<Vice>,
    /// Whether it searches for the stamps that it needs.
    pub(crate) mints: bool,
    pub(crate) counts: Counts,
    /// Running since.
    pub(crate) since: u64,
    /// When the next timeout was asked for.
    pub(crate) timer: Option<u64>,
    life: Life,
    draw: Draw,
    /// Read from the log so far, to see what was stored.
    row: i64,
    held: usize,
}

#[derive(Debug)]
enum Life {
    Runs(Box<Engine>),
    /// The stores, and the peers that were remembered. `None`: it will not come back.
    Rests(Option<Box<(Log, Chat, Vec<PeerAt>)>>),
}

impl Node {
    /// A new node that does not run yet.
    pub(crate) fn new(number: usize, mut draw: Draw) -> Result<Self, SimError> {
        let vault = Vault::in_memory(Chat::MIGRATIONS)?;
        let chat = Chat::open(vault, random(&mut draw))?;
        let log = Log::in_memory(LOG_BUDGET)?;
        Ok(Self {
            peer: PeerId(random(&mut draw)),
            addr: format!("node-{number}").into_bytes(),
            known: Vec::new(),
            vice: None,
            mints: false,
            counts: Counts::default(),
            since: 0,
            timer: None,
            life: Life::Rests(Some(Box::new((log, chat, Vec::new())))),
            draw,
            row: 0,
            held: 0,
        })
    }

    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.life {
            Life::Runs(engine) => Some(engine),
            Life::Rests(_) => None,
        }
    }

    pub(crate) fn engine_mut(&mut self) -> Option<&mut Engine> {
        match &mut self.life {
            Life::Runs(engine) => Some(engine),
            Life::Rests(_) => None,
        }
    }

    /// Starts over its stores, as after a restart of the program; false if it runs or is dead.
    pub(crate) fn start(&mut self, now: Now) -> Result<bool, ChatError> {
        let Life::Rests(stores) = &mut self.life else { return Ok(false) };
        let Some(stores) = stores.take() else { return Ok(false) };
        let (log, chat, remembered) = *stores;
        let mut engine = Engine::new(log, chat, random(&mut self.draw), self.peer, self.addr.clone(), now)?;
        for (peer, addr) in remembered {
            engine.learn(peer, addr, false, now);
        }
        for (peer, addr) in &self.known {
            engine.learn(*peer, addr.clone(), true, now);
        }
        self.held = engine.held();
        self.life = Life::Runs(Box::new(engine));
        self.since = now.mono_ms;
        self.timer = None;
        Ok(true)
    }

    /// Draws another key, and with it another port; the old key.
    pub(crate) fn rotate(&mut self) -> PeerId {
        self.addr = random(&mut self.draw).to_vec();
        std::mem::replace(&mut self.peer, PeerId(random(&mut self.draw)))
    }

    /// Ends the program; without `keep` the stores are gone, too. False if it did not run.
    pub(crate) fn stop(&mut self, keep: bool) -> bool {
        match std::mem::replace(&mut self.life, Life::Rests(None)) {
            Life::Runs(engine) => {
                if keep {
                    let remembered = engine.remembered();
                    let (log, chat) = engine.into_stores();
                    self.life = Life::Rests(Some(Box::new((log, chat, remembered))));
                }
                true
            }
            Life::Rests(stores) => {
                self.life = Life::Rests(stores.filter(|_| keep));
                false
            }
        }
    }

    /// Gives the engine something to do and tells what it wants and what it has stored.
    pub(crate) fn drive(&mut self, now: Now, act: impl FnOnce(&mut Engine)) -> Result<(Vec<Output>, Vec<EnvelopeId>), SimError> {
        let Some(engine) = self.engine_mut() else { return Ok((Vec::new(), Vec::new())) };
        act(engine);
        engine.commit(now);
        let outputs = std::iter::from_fn(|| engine.poll_output()).collect();
        let held = engine.held();
        let stored = if held == self.held { Vec::new() } else { self.read_log()? };
        self.held = held;
        Ok((outputs, stored))
    }

    /// What it sends instead of `frame`.
    pub(crate) fn send(&mut self, frame: Vec<u8>, now: Now) -> Vec<Vec<u8>> {
        match self.vice {
            Some(vice) => vice.pervert(frame, now.hour(), &mut self.draw),
            None => vec![frame],
        }
    }

    /// Whether its timeout is due, and never twice for one asking.
    pub(crate) fn is_due(&mut self, now: u64) -> bool {
        let due = self.timer.is_some_and(|at| at <= now);
        if due {
            self.timer = None;
        }
        due
    }

    /// When to wake it, if that is earlier than what was asked for before.
    pub(crate) fn wake_at(&mut self, now: u64) -> Option<u64> {
        let at = self.engine()?.next_timeout().max(now);
        let earlier = at < u64::MAX && self.timer.is_none_or(|timer| at < timer);
        if earlier {
            self.timer = Some(at);
        }
        earlier.then_some(at)
    }

    fn read_log(&mut self) -> Result<Vec<EnvelopeId>, SimError> {
        let Life::Runs(engine) = &self.life else { return Ok(Vec::new()) };
        let mut ids = Vec::new();
        loop {
            let batch = engine.log().after(self.row, READ_AT_ONCE)?;
            let Some(last) = batch.last() else { return Ok(ids) };
            self.row = last.row;
            ids.extend(batch.iter().map(|stored| stored.id));
        }
    }
}

/// Thirty-two random bytes.
pub(crate) fn random(draw: &mut Draw) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.chunks_mut(4).for_each(|chunk| chunk.copy_from_slice(&draw.number().to_be_bytes()));
    bytes
}
