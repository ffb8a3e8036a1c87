//! The forwarder: pairs of TAP devices, and between the two of a pair delay, jitter, loss and interruptions. One thread carries the
//! frames of a whole lab; it stands in for netem, which many kernels lack, and it sees everything.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, btree_map::Entry},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::{
    limits::{BURST, DESTINATIONS_MAX, FRAME_MAX, FRAMES_MAX},
    watch::{Destination, parse},
};

/// How a link behaves, in both directions alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Whether anything passes.
    pub up: bool,
    /// Time that every frame takes.
    pub delay: Duration,
    /// Up to so much more, evenly distributed; frames overtake each other.
    pub jitter: Duration,
    /// Share of frames that get lost, from 0 to 1.
    pub loss: f64,
}

impl Link {
    /// A wire.
    pub const WIRE: Self = Self { up: true, delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0 };
    /// Nothing passes.
    pub const CUT: Self = Self { up: false, ..Self::WIRE };

    /// A link that only takes its time.
    pub const fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::WIRE }
    }
}

/// Names a link of a forwarder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkId(usize);

/// What the thread shares with its owner.
#[derive(Debug, Default)]
struct Shared {
    links: Vec<Link>,
    /// For each link, where packets went that left its far end.
    seen: Vec<BTreeMap<Destination, usize>>,
}

/// [`Shared`] under a lock, and whom to tell when a packet went where none had gone before.
type Board = (Mutex<Shared>, Condvar);

/// The thread, ended when dropped.
#[derive(Debug)]
pub(crate) struct Forwarder {
    board: Arc<Board>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// Links that a forwarder is to carry.
#[derive(Default)]
pub(crate) struct Pairs {
    shared: Shared,
    ends: Vec<End>,
}

struct End {
    tap: SyncDevice,
    link: usize,
    /// What is sent from here is remembered.
    watched: bool,
    /// Delay, jitter and loss of what is sent from here; a stream of its own, so that other links do not change it.
    rng: ChaCha8Rng,
    gone: bool,
}

/// A frame on its way: when it is due, its number among all, the device that gets it, its link.
type Frame = (u64, u64, usize, usize, Vec<u8>);

/// Makes a TAP device in the namespace of the calling thread. It goes when it is dropped.
pub(crate) fn open(name: &str) -> Result<SyncDevice> {
    let tap = DeviceBuilder::new().name(name).layer(Layer::L2).enable(false).build_sync();
    let tap = tap.with_context(|| format!("cannot make the TAP device {name}"))?;
    tap.set_nonblocking(true)?;
    Ok(tap)
}

impl Pairs {
    /// Connects `near` with `far`. What leaves `far` is watched.
    pub(crate) fn join(&mut self, near: SyncDevice, far: SyncDevice, link: Link, seed: u64) -> LinkId {
        let id = self.shared.links.len();
        self.shared.links.push(link);
        self.shared.seen.push(BTreeMap::new());
        for (tap, watched) in [(near, false), (far, true)] {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(self.ends.len() as u64);
            self.ends.push(End { tap, link: id, watched, rng, gone: false });
        }
        LinkId(id)
    }
}

impl Forwarder {
    pub(crate) fn start(pairs: Pairs) -> Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let board = Arc::new((Mutex::new(pairs.shared), Condvar::new()));
        let carrier =
            Carrier { board: Arc::clone(&board), ends: pairs.ends, waiting: BinaryHeap::new(), number: 0, begun: Instant::now() };
        let heard = Arc::clone(&bell);
        let thread = thread::Builder::new().name("netlab".to_owned()).spawn(move || carrier.run(&heard))?;
        Ok(Self { board, bell, thread: Some(thread) })
    }

    pub(crate) fn link(&self, LinkId(id): LinkId) -> Result<Link> {
        lock(&self.board).links.get(id).copied().context("no such link")
    }

    /// Holds from the next frame on; what is under way arrives as it would have, unless the link is cut.
    pub(crate) fn set_link(&self, LinkId(id): LinkId, link: Link) -> Result<()> {
        if !(0.0..=1.0).contains(&link.loss) {
            bail!("loss is a share from 0 to 1");
        }
        *lock(&self.board).links.get_mut(id).context("no such link")? = link;
        Ok(())
    }

    /// Each with the number of those before it.
    pub(crate) fn destinations(&self, LinkId(id): LinkId) -> BTreeMap<Destination, usize> {
        lock(&self.board).seen.get(id).cloned().unwrap_or_default()
    }

    /// Waits until a packet went where `wanted` says.
    pub(crate) fn await_destination(
        &self,
        LinkId(id): LinkId,
        wanted: impl Fn(&Destination) -> bool,
        patience: Duration,
    ) -> Option<Destination> {
        let found = |shared: &Shared| shared.seen.get(id).and_then(|seen| seen.keys().find(|seen| wanted(seen)).copied());
        let waited = self.board.1.wait_timeout_while(lock(&self.board), patience, |shared| found(shared).is_none());
        found(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(crate) fn forget(&self, LinkId(id): LinkId) {
        if let Some(seen) = lock(&self.board).seen.get_mut(id) {
            seen.clear();
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Fails only when it has rung before.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("netlab: the forwarder panicked");
        }
    }
}

fn lock((shared, _): &Board) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Carrier {
    board: Arc<Board>,
    ends: Vec<End>,
    waiting: BinaryHeap<Reverse<Frame>>,
    number: u64,
    begun: Instant,
}

impl Carrier {
    fn run(mut self, bell: &OwnedFd) {
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            let now = self.now();
            let timeout = self.waiting.peek().map(|Reverse(frame)| timespec(frame.0.saturating_sub(now)));
            // Places in the list differ from those of the ends when some are gone.
            let open: Vec<usize> = (0..).zip(&self.ends).filter(|(_, end)| !end.gone).map(|(place, _)| place).collect();
            let ready: Vec<bool> = {
                let taps = self.ends.iter().filter(|end| !end.gone).map(|end| end.tap.as_fd());
                let mut fds: Vec<PollFd<'_>> =
                    std::iter::once(bell.as_fd()).chain(taps).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
                match poll(&mut fds, timeout.as_ref()) {
                    Ok(_) | Err(Errno::INTR) => fds.iter().map(|fd| !fd.revents().is_empty()).collect(),
                    Err(error) => return eprintln!("netlab: the forwarder cannot poll: {error}"),
                }
            };
            if ready.first() == Some(&true) {
                return;
            }
            for (place, _) in open.into_iter().zip(ready.into_iter().skip(1)).filter(|(_, ready)| *ready) {
                self.read(place, &mut buffer);
            }
            self.deliver();
        }
    }

    fn now(&self) -> u64 {
        nanos(self.begun.elapsed())
    }

    /// Takes what one device has, and sends it on its way.
    fn read(&mut self, place: usize, buffer: &mut [u8]) {
        let now = self.now();
        let Some(end) = self.ends.get_mut(place) else { return };
        // Ends are joined in pairs.
        let other = place ^ 1;
        let mut shared = lock(&self.board);
        for _ in 0..BURST {
            let frame = match rustix::io::read(&end.tap, &mut *buffer) {
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => return,
                // Not up yet, or down for a moment.
                Err(Errno::IO) => return,
                Err(_) => {
                    end.gone = true;
                    return;
                }
            };
            if end.watched
                && let Some(destination) = parse(frame)
                && let Some(seen) = shared.seen.get_mut(end.link)
                && seen.len() < DESTINATIONS_MAX
                && let number = seen.len()
                && let Entry::Vacant(first) = seen.entry(destination)
            {
                first.insert(number);
                self.board.1.notify_all();
            }
            let Some(link) = shared.links.get(end.link) else { return };
            // Drawn for every frame, so that a change of one setting does not shift the others' draws.
            let (luck, late) = (share(&mut end.rng), share(&mut end.rng));
            if !link.up || luck < link.loss || self.waiting.len() >= FRAMES_MAX {
                continue;
            }
            let due = now.saturating_add(nanos(link.delay)).saturating_add(nanos(link.jitter.mul_f64(late)));
            self.number = self.number.wrapping_add(1);
            self.waiting.push(Reverse((due, self.number, other, end.link, frame.to_vec())));
        }
    }

    fn deliver(&mut self) {
        let now = self.now();
        let shared = lock(&self.board);
        while let Some(Reverse((due, ..))) = self.waiting.peek()
            && *due <= now
            && let Some(Reverse((_, _, place, link, frame))) = self.waiting.pop()
        {
            if let Some(end) = self.ends.get(place)
                && shared.links.get(link).is_some_and(|link| link.up)
            {
                // A device that is down loses it, as a wire would.
                let _ = rustix::io::write(&end.tap, &frame);
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn timespec(nanos: u64) -> Timespec {
    let wait = Duration::from_nanos(nanos);
    Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() }
}

/// From 0 up to, not including, 1.
fn share(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}
