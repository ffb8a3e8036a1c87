//! One member: its vault, what its log would hold, and what of that nobody has expected so far.

use std::collections::{BTreeMap, BTreeSet};

use samizdat_chat::{Chat, Standing, mls::watch};
use samizdat_core::{EnvelopeId, Kind, Now, Unstamped};
use samizdat_store::{Log, StoreError, Vault};
use samizdat_sync::draw::Draw;

use crate::{
    limits::{CLUSTER_ROUNDS_MAX, UNIX_START_MS},
    node::random,
    world::SimError,
};

/// The only membership of each.
pub(super) const CLUSTER: &str = "1";

/// An envelope, for which nobody has paid.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) id: EnvelopeId,
    pub(super) tag: [u8; 16],
    /// The first hour in which it is over.
    pub(super) expires: u32,
    pub(super) unstamped: Unstamped,
}

impl Letter {
    /// What an outbox holds; nothing if it is of another kind.
    pub(super) fn read(unstamped: Unstamped) -> Option<Self> {
        let Kind::Sealed { tag, .. } = unstamped.fields().kind else { return None };
        Some(Self { id: unstamped.id(), tag, expires: unstamped.fields().expires().0, unstamped })
    }
}

/// What waits in an outbox.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: EnvelopeId,
    pub(super) urgent: bool,
}

/// A state, its parent and its epoch.
pub(super) type Step = ([u8; 16], ([u8; 16], u64));

/// A vault and a log at one moment.
#[derive(Debug)]
pub(super) struct Backup {
    vault: Vault,
    has: BTreeSet<usize>,
    /// When it was made.
    pub(super) at: u64,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) chat: Chat,
    /// Its log, by number.
    pub(super) has: BTreeSet<usize>,
    /// In the log, under tags that were not expected when it was looked at.
    unread: BTreeMap<[u8; 16], Vec<usize>>,
    /// Came since the place in the log was noted, and would be read again after a start.
    recent: Vec<usize>,
    /// Those that are being stamped.
    pub(super) stamping: BTreeSet<EnvelopeId>,
    pub(super) online: bool,
    /// Switched off.
    pub(super) asleep: bool,
    /// With whom it is connected: those of the same number.
    pub(super) part: u64,
    /// How far its clock is ahead, ms.
    pub(super) ahead: u64,
    /// When it is woken next, virtual ms.
    pub(super) wake: u64,
    /// Does what it likes.
    pub(super) malicious: bool,
    /// From when to when what it did was forgotten by a restored copy.
    pub(super) restored: Vec<(u64, u64)>,
    /// When it was let in once more.
    pub(super) returned: Vec<u64>,
    roots: u64,
    /// The next step is undone by a crash.
    pub(super) doomed: bool,
    draw: Draw,
}

impl Member {
    pub(super) fn new(vault: Vault, mut draw: Draw, ahead: u64) -> Result<Self, SimError> {
        let chat = Chat::open(vault, random(&mut draw))?;
        Ok(Self {
            chat,
            has: BTreeSet::new(),
            unread: BTreeMap::new(),
            recent: Vec::new(),
            stamping: BTreeSet::new(),
            online: true,
            asleep: false,
            part: 0,
            ahead,
            wake: u64::MAX,
            malicious: false,
            restored: Vec::new(),
            returned: Vec::new(),
            roots: 0,
            doomed: false,
            draw,
        })
    }

    /// What its clock shows.
    pub(super) fn now(&self, now: u64) -> Now {
        Now { mono_ms: now, unix_ms: UNIX_START_MS.saturating_add(now).saturating_add(self.ahead) }
    }

    pub(super) fn standing(&mut self) -> Result<Standing, SimError> {
        Ok(self.chat.cluster(CLUSTER)?.standing)
    }

    /// Takes an envelope into the log and reads it if it is for it; whether it was new.
    pub(super) fn receive(&mut self, number: usize, letters: &[Letter], now: u64) -> Result<bool, SimError> {
        if !self.has.insert(number) {
            return Ok(false);
        }
        self.recent.push(number);
        self.read(number, letters, now)
    }

    fn read(&mut self, number: usize, letters: &[Letter], now: u64) -> Result<bool, SimError> {
        let Some(letter) = letters.get(number) else { return Ok(false) };
        if self.chat.expects_in_clusters(&letter.tag) {
            let now = self.now(now);
            return Ok(self.chat.take_in_clusters(letter.unstamped.bytes(), now)?);
        }
        self.unread.entry(letter.tag).or_default().push(number);
        Ok(false)
    }

    /// Does what is to be done, and reads what came before it was expected, until there is nothing more of either. What the MLS
    /// library encrypted meanwhile.
    pub(super) fn work(&mut self, log: &Log, letters: &[Letter], now: u64) -> Result<Vec<watch::Sealed>, SimError> {
        let doomed = std::mem::take(&mut self.doomed);
        let before = if doomed { Some((self.chat.vault().copy()?, self.unread.clone())) } else { None };
        for _ in 0..CLUSTER_ROUNDS_MAX {
            let at = self.now(now);
            self.chat.work(log, at)?;
            while self.chat.poll_event().is_some() {}
            let known = |tag: &&[u8; 16]| self.chat.expects_in_clusters(tag);
            let expected: Vec<[u8; 16]> = self.unread.keys().filter(known).copied().collect();
            // By number: tags follow from bytes that the MLS library does not make alike in every run.
            let numbers: BTreeSet<usize> = expected.iter().flat_map(|tag| self.unread.remove(tag).unwrap_or_default()).collect();
            if numbers.is_empty() {
                break;
            }
            for number in numbers {
                self.read(number, letters, now)?;
            }
        }
        self.note_roots(now)?;
        let sealed = watch::take();
        let Some((vault, unread)) = before else { return Ok(sealed) };
        // Nothing of it has left the vault.
        self.unread = unread;
        self.reopen(vault, letters, now)?;
        Ok(Vec::new())
    }

    /// Each state without a parent was entered by a Welcome.
    fn note_roots(&mut self, now: u64) -> Result<(), SimError> {
        let roots: Vec<u64> = self.rows("SELECT count(*) FROM cluster_decision WHERE parent IS NULL")?;
        let roots = roots.first().copied().unwrap_or(0);
        if roots > self.roots && self.roots > 0 {
            self.returned.push(now);
        }
        self.roots = roots;
        Ok(())
    }

    /// All states that were ever kept, with their parents and epochs.
    pub(super) fn steps(&self) -> Result<Vec<Step>, SimError> {
        let read = || {
            let conn = self.chat.vault().conn();
            let mut statement =
                conn.prepare_cached("SELECT state, parent, epoch FROM cluster_decision WHERE parent IS NOT NULL ORDER BY state")?;
            statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.collect::<Result<_, rusqlite::Error>>()
        };
        Ok(read().map_err(StoreError::from)?)
    }

    /// The state that it follows.
    pub(super) fn tip(&self) -> Result<Option<[u8; 16]>, SimError> {
        let tips: Vec<Option<[u8; 16]>> = self.rows("SELECT tip FROM cluster")?;
        Ok(tips.first().copied().flatten())
    }

    /// Starts anew from what is in the vault.
    pub(super) fn restart(&mut self, letters: &[Letter], now: u64) -> Result<(), SimError> {
        let vault = self.chat.vault().copy()?;
        self.reopen(vault, letters, now)
    }

    fn reopen(&mut self, vault: Vault, letters: &[Letter], now: u64) -> Result<(), SimError> {
        self.chat = Chat::open(vault, random(&mut self.draw))?;
        self.stamping.clear();
        let again = std::mem::take(&mut self.recent);
        // As the daemon looks into its log for all that is expected.
        let expects = |number: &usize| letters.get(*number).is_some_and(|letter| self.chat.expects_in_clusters(&letter.tag));
        let looked_for = self.has.iter().filter(|number| expects(number));
        let again: BTreeSet<usize> = again.into_iter().chain(looked_for.copied()).collect();
        for numbers in self.unread.values_mut() {
            numbers.retain(|number| !again.contains(number));
        }
        self.unread.retain(|_, numbers| !numbers.is_empty());
        again.into_iter().try_for_each(|number| {
            self.recent.push(number);
            self.read(number, letters, now).map(|_| ())
        })
    }

    /// One column of a query on the vault.
    pub(super) fn rows<T: rusqlite::types::FromSql, C: FromIterator<T>>(&self, sql: &str) -> Result<C, SimError> {
        let read = || {
            let mut statement = self.chat.vault().conn().prepare_cached(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<Result<C, rusqlite::Error>>()
        };
        Ok(read().map_err(StoreError::from)?)
    }

    /// What a timer does in the daemon.
    pub(super) fn tick(&mut self, now: u64) -> Result<(), SimError> {
        self.recent.clear();
        let now = self.now(now);
        Ok(self.chat.tick(now)?)
    }

    pub(super) fn back_up(&self, now: u64) -> Result<Backup, SimError> {
        Ok(Backup { vault: self.chat.vault().copy()?, has: self.has.clone(), at: now })
    }

    /// Goes on from an old copy of everything.
    pub(super) fn restore(&mut self, backup: Backup, letters: &[Letter], now: u64) -> Result<(), SimError> {
        let Backup { vault, has, at } = backup;
        self.restored.push((at, now));
        self.recent = has.iter().copied().collect();
        self.has = has;
        self.unread.clear();
        self.reopen(vault, letters, now)
    }

    /// What waits for its stamp and is not being stamped; what is for nobody here is got out of the way.
    pub(super) fn outbox(&mut self) -> Result<Vec<Waiting>, SimError> {
        let read = || {
            let conn = self.chat.vault().conn();
            let mut statement = conn.prepare_cached("SELECT envelope, background FROM outbox WHERE state = 0 ORDER BY number")?;
            let rows =
                statement.query_map([], |row| Ok(Waiting { id: EnvelopeId(row.get(0)?), urgent: !row.get::<_, bool>(1)? }))?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        };
        let mut waiting = read().map_err(StoreError::from)?;
        waiting.retain(|waiting| self.stamping.insert(waiting.id));
        Ok(waiting)
    }

    /// An envelope that has its stamp now; nothing if it is not to go out any more.
    pub(super) fn stamped(&mut self, id: &EnvelopeId) -> Result<Option<Letter>, SimError> {
        self.stamping.remove(id);
        let read = || {
            let conn = self.chat.vault().conn();
            let mut statement = conn.prepare_cached("SELECT bytes FROM outbox WHERE envelope = ?1 AND state = 0")?;
            statement.query_map([id.0], |row| row.get::<_, Vec<u8>>(0))?.next().transpose()
        };
        let bytes = read().map_err(StoreError::from)?;
        let Some(unstamped) = bytes.and_then(|bytes| Unstamped::from_bytes(&bytes).ok()) else { return Ok(None) };
        self.chat.logged(id)?;
        let letter = Letter::read(unstamped);
        if letter.is_none() {
            self.chat.held(id)?;
        }
        Ok(letter)
    }
}
