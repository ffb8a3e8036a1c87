//! One open transaction, with all that an operation needs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use rand_chacha::ChaCha20Rng;
use rusqlite::{
    Connection, OptionalExtension, Row,
    types::{FromSql, ToSql},
};
use samizdat_cluster::{MotionId, StateId, secret::Panel};
use samizdat_core::{IdentitySecret, Name, seal::TAG_LEN};

use crate::{
    chat::{Event, Expected},
    cluster::{ClusterTag, ClusterTags, Gathered, StateRow, TAG, tag_row},
    error::ChatError,
    limits::LABEL_MAX,
    mls::{self, PairId},
    shelf::Hands,
};

/// Expected tags as the table holds them.
pub(crate) type Tags = BTreeMap<[u8; TAG_LEN], Expected>;

/// Whether the log was looked at for all tags of the states of clusters.
pub(crate) const CLUSTERS_LOOKED: &str = "clusters looked";

/// A state of a cluster by the number of the cluster and its name.
pub(crate) type StateKey = (i64, StateId);

/// A motion by the number of the cluster and its id.
pub(crate) type PanelKey = (i64, MotionId);

/// The operations are in the modules of what they are about.
pub(crate) struct Work<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) mls: mls::Unit<'a>,
    pub(crate) rng: &'a mut ChaCha20Rng,
    /// States of clusters that are in memory.
    pub(crate) states: Hands<'a, StateKey, Arc<StateRow>>,
    /// Who votes in secret, and who holds the key, by motion: verified once.
    pub(crate) panels: Hands<'a, PanelKey, Panel>,
    events: Vec<Event>,
    added: Tags,
    removed: Vec<[u8; TAG_LEN]>,
    cluster_added: Vec<([u8; TAG_LEN], ClusterTag)>,
    cluster_removed: Vec<[u8; TAG_LEN]>,
    forgotten: BTreeSet<StateKey>,
    touched: BTreeSet<i64>,
    spoke: BTreeSet<i64>,
    /// Clusters to which a change has come.
    pub(crate) changed: BTreeSet<i64>,
    sessions_changed: bool,
    pub(crate) gathered: Gathered,
}

/// What memory must learn once a transaction has lasted.
pub(crate) struct Changes {
    pub(crate) events: Vec<Event>,
    pub(crate) added: Tags,
    pub(crate) removed: Vec<[u8; TAG_LEN]>,
    pub(crate) cluster_added: Vec<([u8; TAG_LEN], ClusterTag)>,
    pub(crate) cluster_removed: Vec<[u8; TAG_LEN]>,
    pub(crate) forgotten: BTreeSet<StateKey>,
    pub(crate) touched: BTreeSet<i64>,
    /// Clusters in which something waits to be said.
    pub(crate) spoke: BTreeSet<i64>,
    pub(crate) sessions: bool,
    pub(crate) groups: mls::Finished,
    pub(crate) states: BTreeMap<StateKey, Arc<StateRow>>,
    pub(crate) panels: BTreeMap<PanelKey, Panel>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        conn: &'a Connection,
        mls: mls::Unit<'a>,
        states: Hands<'a, StateKey, Arc<StateRow>>,
        panels: Hands<'a, PanelKey, Panel>,
        rng: &'a mut ChaCha20Rng,
    ) -> Self {
        Self {
            conn,
            mls,
            rng,
            states,
            panels,
            events: Vec::new(),
            added: Tags::new(),
            removed: Vec::new(),
            cluster_added: Vec::new(),
            cluster_removed: Vec::new(),
            forgotten: BTreeSet::new(),
            touched: BTreeSet::new(),
            spoke: BTreeSet::new(),
            changed: BTreeSet::new(),
            sessions_changed: false,
            gathered: Gathered::default(),
        }
    }

    /// Writes what is left to write; what memory must learn once this has lasted.
    pub(crate) fn finish(mut self) -> Result<Changes, ChatError> {
        self.write_gathered()?;
        Ok(Changes {
            groups: self.mls.finish(self.conn, self.rng)?,
            states: self.states.into_taken(),
            panels: self.panels.into_taken(),
            events: self.events,
            added: self.added,
            removed: self.removed,
            cluster_added: self.cluster_added,
            cluster_removed: self.cluster_removed,
            forgotten: self.forgotten,
            touched: self.touched,
            spoke: self.spoke,
            sessions: self.sessions_changed,
        })
    }

    /// A cluster is to be looked after.
    pub(crate) fn touched_cluster(&mut self, cluster: i64) {
        self.touched.insert(cluster);
    }

    /// Something is to be said in a cluster.
    pub(crate) fn spoke_in_cluster(&mut self, cluster: i64) {
        self.spoke.insert(cluster);
    }

    /// A tag of a cluster is expected from now on, once the transaction has lasted.
    pub(crate) fn expected_in_cluster(&mut self, tag: [u8; TAG_LEN], expected: ClusterTag) {
        self.cluster_added.push((tag, expected));
    }

    /// It is not any more.
    pub(crate) fn unexpected_in_cluster(&mut self, tag: [u8; TAG_LEN]) {
        self.cluster_added.retain(|(added, _)| *added != tag);
        self.cluster_removed.push(tag);
    }

    /// Nothing is expected any more in a state, once the transaction has lasted.
    pub(crate) fn forgotten_state(&mut self, state: StateKey) {
        self.cluster_added.retain(|(_, tag)| tag.state() != Some(state));
        self.forgotten.insert(state);
    }

    /// The log is to be looked at for tags of states, which is noted so that a crash changes nothing.
    pub(crate) fn unlooked(&mut self) -> Result<(), ChatError> {
        if setting(self.conn, CLUSTERS_LOOKED)?.unwrap_or(false) {
            set_setting(self.conn, CLUSTERS_LOOKED, &false)?;
        }
        Ok(())
    }

    /// With whom there are sessions, or by what they are keyed, is not as before.
    pub(crate) fn sessions_changed(&mut self) {
        self.sessions_changed = true;
    }

    pub(crate) fn event(&mut self, event: Event) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    pub(crate) fn expect(&mut self, tag: [u8; TAG_LEN], expected: Expected) -> Result<(), ChatError> {
        self.conn.prepare_cached("INSERT OR IGNORE INTO expected(tag, pair, epoch, counter) VALUES(?1, ?2, ?3, ?4)")?.execute((
            tag,
            expected.pair.0,
            expected.epoch,
            expected.counter,
        ))?;
        self.added.insert(tag, expected);
        Ok(())
    }

    pub(crate) fn unexpect(&mut self, tag: [u8; TAG_LEN]) -> Result<(), ChatError> {
        self.conn.prepare_cached("DELETE FROM expected WHERE tag = ?1")?.execute([tag])?;
        self.added.remove(&tag);
        self.removed.push(tag);
        Ok(())
    }

    /// What a contact sent is looked for in the log once more: while they were blocked nothing of it was read.
    pub(crate) fn look_again(&mut self, contact: i64) -> Result<(), ChatError> {
        let mut statement = self.conn.prepare_cached(
            "UPDATE expected SET unlooked = 1 WHERE pair IN (SELECT pair FROM pair WHERE contact = ?1) RETURNING tag, pair, epoch, counter",
        )?;
        for row in statement.query_map([contact], expected_row)? {
            let (tag, expected) = row?;
            self.added.insert(tag, expected);
        }
        Ok(())
    }

    /// The log was looked at for all tags.
    pub(crate) fn looked(&self) -> Result<(), ChatError> {
        self.conn.prepare_cached("UPDATE expected SET unlooked = 0 WHERE unlooked = 1")?.execute([])?;
        self.conn.prepare_cached("UPDATE cluster_tag SET unlooked = 0 WHERE unlooked = 1")?.execute([])?;
        if !setting(self.conn, CLUSTERS_LOOKED)?.unwrap_or(false) {
            set_setting(self.conn, CLUSTERS_LOOKED, &true)?;
        }
        Ok(())
    }

    pub(crate) fn add_identity(&mut self, secret: &IdentitySecret, label: Option<&str>) -> Result<i64, ChatError> {
        let key = secret.key();
        let label = label.map(short_label).transpose()?;
        self.conn.execute(
            "INSERT INTO identity(seed, key, name, label) VALUES(?1, ?2, ?3, ?4)",
            (secret.seed(), key.0, key.name().compact(), label),
        )?;
        Ok(self.conn.last_insert_rowid())
    }

    pub(crate) fn default_identity(&self) -> Result<i64, ChatError> {
        Ok(self.conn.query_row("SELECT min(identity) FROM identity", [], |row| row.get(0))?)
    }

    pub(crate) fn identity_secret(&self, identity: i64) -> Result<IdentitySecret, ChatError> {
        Ok(self.conn.query_row("SELECT seed FROM identity WHERE identity = ?1", [identity], |row| {
            Ok(IdentitySecret::from_seed(row.get(0)?))
        })?)
    }

    pub(crate) fn is_own_name(&self, name: &Name) -> Result<bool, ChatError> {
        Ok(self.conn.prepare_cached("SELECT 1 FROM identity WHERE name = ?1")?.exists([name.compact()])?)
    }

    /// The next position of an identity in its own sequence.
    pub(crate) fn next_seq(&self, identity: i64) -> Result<u64, ChatError> {
        Ok(self.conn.query_row(
            "UPDATE identity SET next_seq = next_seq + 1 WHERE identity = ?1 RETURNING next_seq - 1",
            [identity],
            |row| row.get(0),
        )?)
    }
}

/// A petname or label that can be shown and typed.
pub(crate) fn short_label(text: &str) -> Result<&str, ChatError> {
    let text = text.trim();
    if text.is_empty() || text.len() > LABEL_MAX || text.chars().any(char::is_control) {
        return Err(ChatError::Usage(format!("a label has 1 to {LABEL_MAX} bytes and no control characters")));
    }
    Ok(text)
}

pub(crate) fn setting<T: FromSql>(conn: &Connection, key: &str) -> Result<Option<T>, ChatError> {
    Ok(conn.prepare_cached("SELECT value FROM setting WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()?)
}

pub(crate) fn set_setting(conn: &Connection, key: &str, value: &dyn ToSql) -> Result<(), ChatError> {
    let sql = "INSERT INTO setting(key, value) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    conn.prepare_cached(sql)?.execute((key, value))?;
    Ok(())
}

pub(crate) fn load_expected(conn: &Connection) -> Result<Tags, ChatError> {
    let mut statement = conn.prepare("SELECT tag, pair, epoch, counter FROM expected")?;
    let rows = statement.query_map([], expected_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Tags that the log was not looked at for, if the process died in between.
pub(crate) fn load_unlooked(conn: &Connection) -> Result<VecDeque<[u8; TAG_LEN]>, ChatError> {
    let mut statement = conn.prepare("SELECT tag FROM expected WHERE unlooked = 1 ORDER BY epoch, counter")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is expected in clusters from outside their states.
pub(crate) fn load_cluster_tags(conn: &Connection) -> Result<ClusterTags, ChatError> {
    let mut statement = conn.prepare(&format!("SELECT {TAG} FROM cluster_tag"))?;
    let rows = statement.query_map([], tag_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Of these, what the log was not looked at for.
pub(crate) fn load_unlooked_in_clusters(conn: &Connection) -> Result<VecDeque<[u8; TAG_LEN]>, ChatError> {
    let mut statement = conn.prepare("SELECT tag FROM cluster_tag WHERE unlooked = 1 ORDER BY counter")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn expected_row(row: &Row<'_>) -> rusqlite::Result<([u8; TAG_LEN], Expected)> {
    Ok((row.get(0)?, Expected { pair: PairId(row.get(1)?), epoch: row.get(2)?, counter: row.get(3)? }))
}
