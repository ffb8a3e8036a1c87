//! The log: every envelope that this node keeps, as received.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use samizdat_core::{
    Envelope, EnvelopeId, EnvelopeIn, Hour, IdentityKey, Kind, Name,
    envelope::{Proof, Signed},
    limits::CLOCK_SLACK_HOURS,
    seal::TAG_LEN,
};

use crate::{
    OpenError, StoreError, home,
    limits::{CONFLICTS_PER_AUTHOR, EVICT_PART, PROOF_HOURS, REOPEN_PART, STATEMENTS},
    migrate::migrate,
    write::{PATIENCE, begin},
};

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE author(
    author INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE
) STRICT;
-- AUTOINCREMENT: readers remember how far they have read, so a row number must never come again.
CREATE TABLE envelope(
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    author INTEGER REFERENCES author,
    seq INTEGER,
    topic BLOB,
    worth INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX envelope_position ON envelope(author, seq) WHERE author IS NOT NULL;
CREATE INDEX envelope_topic ON envelope(topic) WHERE topic IS NOT NULL;
CREATE INDEX envelope_expires ON envelope(expires);
CREATE TABLE conflict(
    id BLOB PRIMARY KEY,
    author INTEGER NOT NULL REFERENCES author,
    seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    body_hash BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conflict_author ON conflict(author);
-- The columns of the first design, for a person with the sqlite3 tool. Offsets: docs/protocol/envelope.md.
CREATE VIEW message AS
SELECT e.seq AS 'Message ID',
       a.name AS 'From',
       hex(e.topic) AS 'To',
       CASE e.kind WHEN 0 THEN 'announcement' WHEN 1 THEN 'post' WHEN 2 THEN 'bell' ELSE 'sealed' END AS 'Kind',
       datetime(e.hour * 3600, 'unixepoch') AS 'Hour',
       e.bytes AS 'Content',
       CASE WHEN e.author IS NOT NULL THEN hex(substr(e.bytes, -74, 64)) END AS 'Signature',
       hex(substr(e.bytes, -8)) AS 'PoW nonce'
FROM envelope e LEFT JOIN author a USING (author);
",
    "
-- Proofs go when no envelope of their time can be alive any more.
ALTER TABLE conflict ADD COLUMN hour INTEGER NOT NULL DEFAULT 0;
CREATE INDEX conflict_hour ON conflict(hour);
",
];

/// What became of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Stored.
    New,
    /// Stored already.
    Duplicate,
    /// Stored, and what lay at the same position of its author went: the lower id wins everywhere (seed 004).
    Replaced {
        /// Hour of the loser.
        hour: Hour,
        /// The loser, of which a proof is kept.
        id: EnvelopeId,
    },
    /// Not stored: another with a lower id lies at its position. A proof is kept.
    Lost,
}

/// One stored envelope for readers of the log.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Position in this log; grows, never comes again.
    pub row: i64,
    /// Its id when it was stored.
    pub id: EnvelopeId,
    /// The envelope as received.
    pub bytes: Arc<[u8]>,
}

impl Stored {
    /// Back through the door that everything came in by.
    pub fn envelope(&self) -> Option<Envelope> {
        EnvelopeIn::decode(&self.bytes).ok()?.recheck().ok()
    }
}

/// Counts for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Envelopes by kind number.
    pub by_kind: [u64; 4],
    /// Bytes of envelopes.
    pub bytes: u64,
    /// Oldest claimed hour.
    pub oldest: Option<u32>,
    /// Newest claimed hour.
    pub newest: Option<u32>,
    /// Proofs of conflicts kept.
    pub conflicts: u64,
}

/// The log. One writer: the engine.
#[derive(Debug)]
pub struct Log {
    conn: Connection,
    /// Whether another program held the file the last time.
    held: bool,
    budget: u64,
    bytes: u64,
    /// The dearest stamp that had to go. Without this, neighbours would bring the evicted again and again.
    floor: u64,
    /// Whether any conflict was ever seen: mostly not, and then nobody need be asked about losers.
    conflicts: bool,
}

impl Log {
    /// Which layout of the file this program writes.
    pub const LAYOUT: usize = MIGRATIONS.len();

    /// Opens or creates the file. `budget` bounds the bytes of envelopes.
    pub fn open(path: &Path, budget: u64) -> Result<Self, OpenError> {
        home::private(path, false).map_err(OpenError::io(path))?;
        let conn = Connection::open(path).map_err(|e| OpenError::database(path, e))?;
        Self::prepare(conn, path, budget)
    }

    /// A log without a file, for the simulator and tests.
    pub fn in_memory(budget: u64) -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        Self::prepare(Connection::open_in_memory().map_err(|e| OpenError::database(path, e))?, path, budget)
    }

    fn prepare(mut conn: Connection, path: &Path, budget: u64) -> Result<Self, OpenError> {
        let failed = |source| OpenError::database(path, source);
        pragmas(&conn).map_err(failed)?;
        migrate(&mut conn, path, MIGRATIONS)?;
        let bytes = conn.query_row("SELECT coalesce(sum(length(bytes)), 0) FROM envelope", [], |row| row.get(0)).map_err(failed)?;
        let conflicts = conn.query_row("SELECT EXISTS (SELECT 1 FROM conflict)", [], |row| row.get(0)).map_err(failed)?;
        Ok(Self { conn, held: false, budget, bytes, floor: 0, conflicts })
    }

    /// Appends a batch durably, all or nothing, and says what became of each.
    pub fn append(&mut self, batch: &[Envelope]) -> Result<Vec<Appended>, StoreError> {
        let tx = begin(&mut self.conn, &mut self.held)?;
        let mut bytes = self.bytes;
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(append_one(&tx, envelope, &mut bytes)?);
        }
        tx.commit()?;
        self.bytes = bytes;
        self.conflicts |= outcomes.iter().any(|outcome| matches!(outcome, Appended::Replaced { .. } | Appended::Lost));
        Ok(outcomes)
    }

    /// Whether it is stored, or was and lost a conflict.
    pub fn knows(&self, id: &EnvelopeId) -> Result<bool, StoreError> {
        let mut stored = self.conn.prepare_cached("SELECT 1 FROM envelope WHERE id = ?1")?;
        if stored.exists([&id.0[..]])? {
            return Ok(true);
        }
        self.lost(id)
    }

    /// Whether it was here and lost a conflict against one that is still here. When the winner is gone, as on a node that
    /// never saw it, the loser is as good as any.
    pub fn lost(&self, id: &EnvelopeId) -> Result<bool, StoreError> {
        if !self.conflicts {
            return Ok(false);
        }
        let mut lost = self
            .conn
            .prepare_cached("SELECT 1 FROM conflict c JOIN envelope e USING (author, seq) WHERE c.id = ?1 AND e.id < c.id")?;
        Ok(lost.exists([&id.0[..]])?)
    }

    /// Those that lost a conflict and are not here.
    pub fn losers(&self) -> Result<Vec<EnvelopeId>, StoreError> {
        let mut statement = self.conn.prepare("SELECT id FROM conflict WHERE id NOT IN (SELECT id FROM envelope)")?;
        let ids = statement.query_map([], |row| Ok(EnvelopeId(row.get(0)?)))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// The bytes of each of `ids`, where it is stored.
    pub fn get(&self, ids: &[EnvelopeId]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT bytes FROM envelope WHERE id = ?1")?;
        ids.iter().map(|id| Ok(statement.query_row([&id.0[..]], blob).optional()?)).collect()
    }

    /// Row and bytes of one envelope.
    pub fn find(&self, id: &EnvelopeId) -> Result<Option<Stored>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT row, id, bytes FROM envelope WHERE id = ?1")?;
        Ok(statement.query_row([&id.0[..]], stored).optional()?)
    }

    /// The envelopes under a one-time tag in the order of arrival, at most `limit`. There is more than one when somebody
    /// copied the tag.
    pub fn by_tag(&self, tag: &[u8], after: i64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT row, id, bytes FROM envelope WHERE topic = ?1 AND kind = 3 AND row > ?2 ORDER BY row LIMIT ?3",
        )?;
        let rows = statement.query_map(params![tag, after, limit], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those of many tags under which anything lies.
    pub fn tags_there<'t>(&self, tags: impl Iterator<Item = &'t [u8; TAG_LEN]>) -> Result<BTreeSet<[u8; TAG_LEN]>, StoreError> {
        // One transaction for all: each would begin and end its own.
        let reading = self.conn.unchecked_transaction()?;
        let mut statement = reading.prepare_cached("SELECT 1 FROM envelope WHERE topic = ?1 AND kind = 3")?;
        let mut there = BTreeSet::new();
        for tag in tags {
            if statement.exists([tag])? {
                there.insert(*tag);
            }
        }
        Ok(there)
    }

    /// Names of authors who were seen to rewrite history, at most `limit`.
    pub fn rewriters(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT DISTINCT name FROM conflict JOIN author USING (author) LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Posts of one room in the order of arrival, at most `limit`.
    pub fn by_room(&self, topic: &[u8], after: i64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT row, id, bytes FROM envelope WHERE topic = ?1 AND kind = 1 AND row > ?2 ORDER BY row LIMIT ?3",
        )?;
        let rows = statement.query_map(params![topic, after, limit], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest announcement of a name.
    pub fn announcement(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT row, id, bytes FROM envelope JOIN author USING (author) WHERE name = ?1 AND kind = 0 ORDER BY seq DESC LIMIT 1",
        )?;
        Ok(statement.query_row([name.compact()], stored).optional()?)
    }

    /// What arrived after `row`, in order, at most `limit`.
    pub fn after(&self, row: i64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT row, id, bytes FROM envelope WHERE row > ?1 ORDER BY row LIMIT ?2")?;
        let rows = statement.query_map(params![row, limit], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest row.
    pub fn last_row(&self) -> Result<i64, StoreError> {
        Ok(self.conn.query_row("SELECT coalesce(max(row), 0) FROM envelope", [], |row| row.get(0))?)
    }

    /// Every (hour, id), for the index of reconciliation.
    pub fn entries(&self) -> Result<Vec<(Hour, EnvelopeId)>, StoreError> {
        let mut statement = self.conn.prepare("SELECT hour, id FROM envelope")?;
        let rows = statement.query_map([], |row| Ok((Hour(row.get(0)?), EnvelopeId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether `author` was seen to sign two contents for one position, and the proofs that are kept.
    pub fn conflicts(&self, author: &IdentityKey) -> Result<Vec<Proof>, StoreError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT head, body_hash, signature FROM conflict JOIN author USING (author) WHERE key = ?1")?;
        let rows = statement
            .query_map([&author.0[..]], |row| Ok(Proof { head: row.get(0)?, body_hash: row.get(1)?, signature: row.get(2)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deletes what is over at `now`, at most `limit`; what went.
    pub fn expire(&mut self, now: Hour, limit: u32) -> Result<Vec<(Hour, EnvelopeId)>, StoreError> {
        let over = now.0.saturating_sub(CLOCK_SLACK_HOURS);
        let forgotten =
            self.conn.prepare_cached("DELETE FROM conflict WHERE hour < ?1")?.execute([over.saturating_sub(PROOF_HOURS)])?;
        if forgotten > 0 {
            self.conn.execute(
                "DELETE FROM author WHERE NOT EXISTS (SELECT 1 FROM envelope e WHERE e.author = author.author)
                 AND NOT EXISTS (SELECT 1 FROM conflict c WHERE c.author = author.author)",
                [],
            )?;
        }
        self.delete("SELECT row, hour, id, length(bytes) FROM envelope WHERE expires < ?1 LIMIT ?2", over.into(), limit)
    }

    /// Whether an envelope with a stamp worth so much would stay.
    pub fn has_room_for(&self, worth: u64) -> bool {
        worth > self.floor || self.bytes < self.budget.saturating_sub(self.budget / REOPEN_PART)
    }

    /// Deletes what is priced lowest until the budget holds again, sparing nothing that `keep` names; what went.
    pub fn evict(&mut self, keep: impl Fn(&EnvelopeId) -> bool) -> Result<Vec<(Hour, EnvelopeId)>, StoreError> {
        if self.bytes <= self.budget {
            return Ok(Vec::new());
        }
        let goal = self.budget.saturating_sub(self.budget / EVICT_PART);
        let tx = self.conn.transaction()?;
        let (mut bytes, mut floor) = (self.bytes, 0);
        let mut gone = Vec::new();
        {
            let mut cheapest = tx.prepare("SELECT row, hour, id, length(bytes), worth FROM envelope ORDER BY worth, hour")?;
            let mut rows = cheapest.query([])?;
            let mut doomed = Vec::new();
            while let (Some(row), true) = (rows.next()?, bytes > goal) {
                let id = EnvelopeId(row.get(2)?);
                if keep(&id) {
                    continue;
                }
                bytes = bytes.saturating_sub(row.get(3)?);
                floor = floor.max(row.get(4)?);
                doomed.push(row.get::<_, i64>(0)?);
                gone.push((Hour(row.get(1)?), id));
            }
            drop(rows);
            for row in doomed {
                remove(&tx, row)?;
            }
        }
        tx.commit()?;
        (self.bytes, self.floor) = (bytes, floor);
        Ok(gone)
    }

    /// Bytes of envelopes stored.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The disk budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Counts for people.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let mut stats = Stats { bytes: self.bytes, ..Stats::default() };
        let mut kinds = self.conn.prepare("SELECT kind, count(*), min(hour), max(hour) FROM envelope GROUP BY kind")?;
        let mut rows = kinds.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(count) = stats.by_kind.get_mut(row.get::<_, usize>(0)?) {
                *count = row.get(1)?;
            }
            let (oldest, newest): (u32, u32) = (row.get(2)?, row.get(3)?);
            stats.oldest = Some(stats.oldest.map_or(oldest, |o| o.min(oldest)));
            stats.newest = Some(stats.newest.map_or(newest, |n| n.max(newest)));
        }
        stats.conflicts = self.conflicts_kept()?;
        Ok(stats)
    }

    /// Proofs of conflicts kept.
    pub fn conflicts_kept(&self) -> Result<u64, StoreError> {
        Ok(self.conn.query_row("SELECT count(*) FROM conflict", [], |row| row.get(0))?)
    }

    fn delete(&mut self, select: &str, first: i64, limit: u32) -> Result<Vec<(Hour, EnvelopeId)>, StoreError> {
        let tx = self.conn.transaction()?;
        let mut bytes = self.bytes;
        let mut gone = Vec::new();
        {
            let mut found = tx.prepare_cached(select)?;
            let rows: Vec<(i64, u32, [u8; 32], u64)> = found
                .query_map(params![first, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            for (row, hour, id, length) in rows {
                remove(&tx, row)?;
                bytes = bytes.saturating_sub(length);
                gone.push((Hour(hour), EnvelopeId(id)));
            }
        }
        tx.commit()?;
        self.bytes = bytes;
        Ok(gone)
    }
}

/// What both files of a node want: durable commits in a write-ahead log, little memory.
pub(crate) fn pragmas(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON;",
    )
}

fn append_one(tx: &Transaction<'_>, envelope: &Envelope, bytes: &mut u64) -> Result<Appended, StoreError> {
    let fields = envelope.fields();
    let id = envelope.id();
    let signed = fields.kind.signed();
    let author = signed.map(|signed| author(tx, &signed.author)).transpose()?;
    let topic = match &fields.kind {
        Kind::Announcement(_) | Kind::Bell { .. } => None,
        Kind::Post(_, topic) => Some(topic),
        Kind::Sealed { tag, .. } => Some(tag),
    };
    let mut insert = tx.prepare_cached(
        "INSERT INTO envelope(id, kind, hour, expires, author, seq, topic, worth, bytes) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO NOTHING",
    )?;
    let added = insert.execute(params![
        id.0,
        fields.kind.number(),
        fields.hour.0,
        fields.expires().0,
        author,
        signed.map(|signed| signed.seq.cast_signed()),
        topic,
        i64::try_from(envelope.worth()).unwrap_or(i64::MAX),
        &envelope.bytes()[..],
    ])?;
    let length = u64::try_from(envelope.bytes().len()).unwrap_or(u64::MAX);
    if added == 1 {
        *bytes = bytes.saturating_add(length);
        return Ok(Appended::New);
    }
    let (Some(author), Some(signed)) = (author, signed) else { return Ok(Appended::Duplicate) };
    settle(tx, envelope, author, signed, bytes)
}

/// Takes one out, and its author when nothing else is known of him.
fn remove(tx: &Transaction<'_>, row: i64) -> rusqlite::Result<()> {
    let author: Option<i64> =
        tx.prepare_cached("DELETE FROM envelope WHERE row = ?1 RETURNING author")?.query_row([row], |row| row.get(0))?;
    if let Some(author) = author {
        tx.prepare_cached(
            "DELETE FROM author WHERE author = ?1
             AND NOT EXISTS (SELECT 1 FROM envelope WHERE author = ?1) AND NOT EXISTS (SELECT 1 FROM conflict WHERE author = ?1)",
        )?
        .execute([author])?;
    }
    Ok(())
}

/// Two envelopes, one position: the lower id stays, and a proof of the other.
fn settle(
    tx: &Transaction<'_>,
    envelope: &Envelope,
    author: i64,
    signed: &Signed,
    bytes: &mut u64,
) -> Result<Appended, StoreError> {
    let there = tx
        .prepare_cached("SELECT row, id, bytes, hour FROM envelope WHERE author = ?1 AND seq = ?2")?
        .query_row(params![author, signed.seq.cast_signed()], |row| Ok((stored(row)?, Hour(row.get(3)?))))
        .optional()?;
    let Some((old, hour)) = there else { return Ok(Appended::Duplicate) };
    if old.id == envelope.id() {
        return Ok(Appended::Duplicate);
    }
    if old.id < envelope.id() {
        keep_proof(tx, envelope, author, signed.seq)?;
        return Ok(Appended::Lost);
    }
    tx.execute("DELETE FROM envelope WHERE row = ?1", [old.row])?;
    *bytes = bytes.saturating_sub(u64::try_from(old.bytes.len()).unwrap_or(u64::MAX));
    if let Some(loser) = old.envelope() {
        keep_proof(tx, &loser, author, signed.seq)?;
    }
    append_one(tx, envelope, bytes)?;
    Ok(Appended::Replaced { hour, id: old.id })
}

fn keep_proof(tx: &Transaction<'_>, loser: &Envelope, author: i64, seq: u64) -> Result<(), StoreError> {
    let Some(proof) = loser.proof() else { return Ok(()) };
    let kept: u32 = tx.prepare_cached("SELECT count(*) FROM conflict WHERE author = ?1")?.query_row([author], |row| row.get(0))?;
    if kept < CONFLICTS_PER_AUTHOR {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO conflict(id, author, seq, head, body_hash, signature, hour) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            loser.id().0,
            author,
            seq.cast_signed(),
            proof.head,
            proof.body_hash,
            proof.signature,
            loser.fields().hour.0
        ])?;
    }
    Ok(())
}

fn author(tx: &Transaction<'_>, key: &IdentityKey) -> Result<i64, StoreError> {
    let known =
        tx.prepare_cached("SELECT author FROM author WHERE key = ?1")?.query_row([&key.0[..]], |row| row.get(0)).optional()?;
    match known {
        Some(author) => Ok(author),
        None => {
            let mut insert = tx.prepare_cached("INSERT INTO author(key, name) VALUES(?1, ?2)")?;
            Ok(insert.insert(params![key.0, key.name().compact()])?)
        }
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { row: row.get(0)?, id: EnvelopeId(row.get(1)?), bytes: row.get_ref(2)?.as_blob()?.into() })
}

fn blob(row: &Row<'_>) -> rusqlite::Result<Arc<[u8]>> {
    Ok(row.get_ref(0)?.as_blob()?.into())
}

#[cfg(test)]
mod tests;
