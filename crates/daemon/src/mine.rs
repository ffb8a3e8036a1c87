//! Mining of names that start as somebody likes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use samizdat_api::{ApiError, Event, Mining};
use samizdat_chat::ChatError;
use samizdat_core::{
    IdentitySecret,
    identity::{mine, prefix_error},
};
use tokio::sync::mpsc;
use tracing::debug;

use crate::{
    convert,
    mint::{Minted, lanes},
    node::Node,
};

/// Keys between two looks at whether somebody cancelled: some milliseconds.
const STEP: u32 = 200;
const REPORT: Duration = Duration::from_millis(500);

/// A search that runs; it ends when this is dropped.
pub(crate) struct Miner {
    id: String,
    stop: Arc<AtomicBool>,
    /// Found, and not in the vault yet.
    found: Option<(IdentitySecret, Option<String>)>,
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Node {
    pub(crate) fn start_mining(&mut self, prefix: &str, label: Option<String>) -> Result<Mining, ApiError> {
        let prefix = prefix.trim().to_ascii_lowercase();
        if let Some(error) = prefix_error(&prefix) {
            return Err(ApiError::usage(error.to_string()));
        }
        if prefix.is_empty() {
            return Err(ApiError::usage("say what the name shall start with"));
        }
        if self.miner.is_some() {
            return Err(ApiError::refused("a search is running already: wait for it, or end it with `samizdat id mine --cancel`"));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| ApiError::internal(format!("no randomness: {e}")))?;
        let id = HEXLOWER.encode(seed.get(..8).unwrap_or_default());
        // Before the threads: if one cannot be started, the others end with it.
        let miner = Miner { id: id.clone(), stop: Arc::default(), found: None };
        let search = Search {
            id: id.clone(),
            prefix: prefix.clone(),
            label,
            stop: Arc::clone(&miner.stop),
            tries: Arc::default(),
            results: self.results.clone(),
        };
        for lane in 0..lanes() {
            let (search, mut start) = (search.clone(), seed);
            start.iter_mut().zip(lane.to_be_bytes()).for_each(|(a, b)| *a ^= b);
            thread::Builder::new()
                .name(format!("mine {lane}"))
                .spawn(move || search.run(&start, lane == 0))
                .map_err(|e| ApiError::internal(format!("no thread: {e}")))?;
        }
        self.miner = Some(miner);
        Ok(Mining { id, prefix, tries: 0, rate: 0.0, eta_s: None })
    }

    /// A name was found, or the search ended without.
    pub(crate) fn on_name(&mut self, id: String, secret: IdentitySecret, label: Option<String>) {
        if let Some(miner) = self.miner.as_mut().filter(|miner| miner.id == id) {
            miner.found = Some((secret, label));
            self.keep_found();
        }
    }

    /// Puts what was found into the vault. A full disk or another program may be in the way: then it is tried again.
    pub(crate) fn keep_found(&mut self) {
        let Some((id, (secret, label))) = self.miner.as_ref().and_then(|miner| Some((miner.id.clone(), miner.found.clone()?)))
        else {
            return;
        };
        let now = self.clock.now();
        let made = self.engine.command(now, |chat, _| {
            chat.new_identity(Some(secret), label.as_deref())?;
            chat.identities()
        });
        let identity = match made {
            Err(ChatError::Store(error)) => return debug!(%error, "a name that was found waits for the vault"),
            made => made.ok().and_then(|identities| identities.last().map(convert::identity)),
        };
        self.miner = None;
        self.tell(Event::Mined { id, identity });
    }

    /// Ends a search whose asker was killed: it takes every core, and nobody would hear of its end.
    pub(crate) fn end_abandoned_mining(&mut self) {
        if self.nobody_listens() && self.miner.as_ref().is_some_and(|miner| miner.found.is_none()) {
            self.miner = None;
        }
    }

    pub(crate) fn cancel_mining(&mut self) -> Result<(), ApiError> {
        let miner = self.miner.take().ok_or_else(|| ApiError::not_found("no search is running"))?;
        self.tell(Event::Mined { id: miner.id.clone(), identity: None });
        Ok(())
    }
}

#[derive(Clone)]
struct Search {
    id: String,
    prefix: String,
    label: Option<String>,
    stop: Arc<AtomicBool>,
    tries: Arc<AtomicU64>,
    results: mpsc::Sender<Minted>,
}

impl Search {
    fn run(self, seed: &[u8; 32], reports: bool) {
        let (start, mut counter) = (Instant::now(), 0);
        let mut reported = start;
        let expected = 32f64.powi(i32::try_from(self.prefix.len()).unwrap_or(i32::MAX));
        while !self.stop.load(Ordering::Relaxed) {
            let found = mine(seed, &mut counter, &self.prefix, STEP);
            let tries = self.tries.fetch_add(u64::from(STEP), Ordering::Relaxed).saturating_add(u64::from(STEP));
            if let Some(secret) = found {
                if !self.stop.swap(true, Ordering::Relaxed) {
                    let _ = self.results.blocking_send(Minted::Name { id: self.id, secret, label: self.label });
                }
                return;
            }
            if reports && reported.elapsed() >= REPORT {
                reported = Instant::now();
                let rate = tries as f64 / start.elapsed().as_secs_f64().max(0.001);
                // Without memory: however long it took, as much is to be expected.
                let eta_s = (rate > 0.0).then(|| expected / rate);
                let mining = Mining { id: self.id.clone(), prefix: self.prefix.clone(), tries, rate, eta_s };
                let _ = self.results.try_send(Minted::NameProgress(mining));
            }
        }
    }
}
