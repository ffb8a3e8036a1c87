//! Minting on threads of its own. One search at a time, on every core, in steps short enough to cancel at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use samizdat_core::{EnvelopeId, IdentitySecret, stamp::Mint};
use tokio::sync::mpsc;

use crate::limits::LANES_MAX;

/// Tries between two looks at whether somebody cancelled: about a millisecond.
const STEP: u32 = 20_000;
/// Of Linux: what has it runs in what others leave.
#[cfg(target_os = "linux")]
const LOWEST_PRIORITY: i32 = 19;
/// Between two reports of progress.
const REPORT: Duration = Duration::from_millis(250);

/// What the threads say.
#[derive(Debug)]
pub(crate) enum Minted {
    /// A stamp was found.
    Stamp { id: EnvelopeId, nonce: u64 },
    /// A search goes on.
    StampProgress { id: EnvelopeId, tries: u64, expected: u64, rate: f64 },
    /// The search for a name goes on.
    NameProgress(samizdat_api::Mining),
    /// A name was found.
    Name { id: String, secret: IdentitySecret, label: Option<String> },
}

/// The search that runs, if one does.
pub(crate) struct Minter {
    results: mpsc::Sender<Minted>,
    stop: Arc<AtomicBool>,
}

impl Minter {
    pub(crate) fn new(results: mpsc::Sender<Minted>) -> Self {
        Self { results, stop: Arc::default() }
    }

    /// Begins a search; one that still runs ends. One that is not urgent takes half of the lanes, and on them what is left over.
    pub(crate) fn start(&mut self, id: EnvelopeId, tries: u64, urgent: bool) {
        self.cancel();
        self.stop = Arc::default();
        let made = Arc::new(AtomicU64::new(0));
        let mut start = [0; 8];
        // Without randomness the stamp is as good.
        let _ = getrandom::fill(&mut start);
        let lanes = if urgent { lanes() } else { lanes().div_ceil(2) };
        for lane in 0..lanes {
            let start = u64::from_be_bytes(start).wrapping_add(u64::from(lane).wrapping_shl(48));
            let (stop, made, results) = (Arc::clone(&self.stop), Arc::clone(&made), self.results.clone());
            let search = move || {
                if !urgent {
                    yield_to_others();
                }
                search(Mint::new(id, tries, start), id, lane, &stop, &made, &results);
            };
            // Without a thread there is no stamp now; the upkeep of the engine will not ask again, so try here.
            if thread::Builder::new().name(format!("mint {lane}")).spawn(search).is_err() && lane == 0 {
                tracing::warn!("no thread for a stamp: messages wait until the node is started again");
            }
        }
    }

    /// Ends the search within a millisecond or so.
    pub(crate) fn cancel(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Minter {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// How many threads search.
pub(crate) fn lanes() -> u16 {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX);
    u16::try_from(cores).unwrap_or(1)
}

/// The last copies of what clusters say cost a minute of a core: nothing else is to wait for them.
#[cfg(target_os = "linux")]
fn yield_to_others() {
    use rustix::{process::setpriority_process, thread::gettid};
    // Refused, it is minted as ever.
    let _ = setpriority_process(Some(gettid()), LOWEST_PRIORITY);
}

/// Where no priority can be given to one thread alone.
#[cfg(not(target_os = "linux"))]
fn yield_to_others() {}

fn search(mut mint: Mint, id: EnvelopeId, lane: u16, stop: &AtomicBool, made: &AtomicU64, results: &mpsc::Sender<Minted>) {
    let start = Instant::now();
    let mut reported = start;
    while !stop.load(Ordering::Relaxed) {
        let found = mint.step(STEP);
        let total = made.fetch_add(u64::from(STEP), Ordering::Relaxed).saturating_add(u64::from(STEP));
        if let Some(nonce) = found {
            // The first to find ends the others.
            if !stop.swap(true, Ordering::Relaxed) {
                let _ = results.blocking_send(Minted::Stamp { id, nonce });
            }
            return;
        }
        if lane == 0 && reported.elapsed() >= REPORT {
            reported = Instant::now();
            let rate = total as f64 / start.elapsed().as_secs_f64().max(0.001);
            let _ = results.try_send(Minted::StampProgress { id, tries: total, expected: mint.expected(), rate });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EnvelopeId = EnvelopeId([3; 32]);

    #[tokio::test]
    async fn a_search_finds_one_stamp() {
        finds_one(true).await;
    }

    #[tokio::test]
    async fn so_does_one_that_lets_all_others_go_first() {
        finds_one(false).await;
    }

    async fn finds_one(urgent: bool) {
        let (results, mut minted) = mpsc::channel(8);
        let mut minter = Minter::new(results);
        minter.start(ID, 100_000, urgent);
        loop {
            match minted.recv().await {
                Some(Minted::Stamp { id, nonce }) => {
                    assert!(samizdat_core::stamp::check(&id, nonce, 100_000));
                    break;
                }
                Some(_) => {}
                None => panic!("no stamp"),
            }
        }
        drop(minter);
        assert!(!matches!(minted.recv().await, Some(Minted::Stamp { .. })), "one is enough");
    }

    #[tokio::test]
    async fn a_cancelled_search_ends_its_threads() {
        let (results, mut minted) = mpsc::channel(8);
        let mut minter = Minter::new(results);
        minter.start(ID, u64::MAX, true);
        drop(minter);
        // The channel closes when the last thread has let go of it.
        while let Some(found) = minted.recv().await {
            assert!(!matches!(found, Minted::Stamp { .. }));
        }
    }
}
