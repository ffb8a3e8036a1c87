//! Parts are gathered until they make a whole. A large Commit comes in many that are read in one transaction: they, and the whole until
//! it is followed, stay in memory for as long as that lasts, since what is written there and not needed any more would be
//! encrypted, zeroed and encrypted again.

use std::collections::BTreeMap;

use samizdat_cluster::parts::{Part, Parts};
use sha2::{Digest, Sha256};

use super::outer::{ClusterTag, Kind, decode, source_key};
use crate::{error::ChatError, limits::CLUSTER_PARTS_MAX, work::Work};

/// Of what a part is one: cluster, where it lay, and the object.
type Object = (i64, Vec<u8>, [u8; 16]);

/// What this transaction received and may need no more at its end.
#[derive(Default)]
pub(crate) struct Gathered {
    parts: BTreeMap<Object, BTreeMap<[u8; 32], Vec<u8>>>,
    /// Changes, by the number of their row.
    changes: BTreeMap<i64, Vec<u8>>,
}

impl Work<'_> {
    /// Takes a part; the whole, once all are there. Who sends more than [`CLUSTER_PARTS_MAX`] loses the oldest.
    pub(crate) fn take_part(&mut self, tag: &ClusterTag, bytes: &[u8]) -> Result<Option<(Kind, Vec<u8>)>, ChatError> {
        let Ok(part) = Part::decode(bytes) else { return Ok(None) };
        let object = (tag.cluster, source_key(&tag.source), part.object());
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let key = (object.0, &object.1, object.2);
        let written = "SELECT 1 FROM cluster_part WHERE cluster = ?1 AND source = ?2 AND object = ?3 AND digest = ?4";
        if !self.conn.prepare_cached(written)?.exists((key.0, key.1, key.2, digest))? {
            self.gathered.parts.entry(object.clone()).or_default().insert(digest, bytes.to_vec());
        }
        let count = "SELECT count(*) FROM cluster_part WHERE cluster = ?1 AND source = ?2 AND object = ?3";
        let written: usize = self.conn.prepare_cached(count)?.query_row(key, |row| row.get(0))?;
        let fresh = self.gathered.parts.get(&object).map_or(0, BTreeMap::len);
        if written.saturating_add(fresh) < usize::from(part.place().1) {
            return Ok(None);
        }
        let held: Vec<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT part FROM cluster_part WHERE cluster = ?1 AND source = ?2 AND object = ?3")?
            .query_map(key, |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut parts = Parts::<()>::default();
        let mut whole = None;
        let fresh = self.gathered.parts.get(&object).into_iter().flat_map(BTreeMap::values);
        for part in held.iter().chain(fresh).filter_map(|bytes| Part::decode(bytes).ok()) {
            whole = whole.or(parts.add((), part).ok().flatten());
        }
        if whole.is_some() {
            self.gathered.parts.remove(&object);
            if written > 0 {
                let sql = "DELETE FROM cluster_part WHERE cluster = ?1 AND source = ?2 AND object = ?3";
                self.conn.prepare_cached(sql)?.execute(key)?;
            }
        }
        Ok(whole.and_then(|whole| decode(&whole)).filter(|(kind, _)| *kind != Kind::Part))
    }

    /// A change waits in that row, whose bytes are written at the end.
    pub(crate) fn gather_change(&mut self, number: i64, bytes: &[u8]) {
        self.gathered.changes.insert(number, bytes.to_vec());
    }

    /// A change that came in this transaction.
    pub(crate) fn gathered_change(&self, number: i64) -> Option<&Vec<u8>> {
        self.gathered.changes.get(&number)
    }

    /// It needs not be written any more.
    pub(crate) fn done_with_change(&mut self, number: i64) {
        self.gathered.changes.remove(&number);
    }

    /// Writes what still waits.
    pub(crate) fn write_gathered(&mut self) -> Result<(), ChatError> {
        let Gathered { parts, changes } = std::mem::take(&mut self.gathered);
        for ((cluster, source, object), parts) in parts {
            let sql = "INSERT OR IGNORE INTO cluster_part(cluster, source, object, digest, part) VALUES(?1, ?2, ?3, ?4, ?5)";
            let mut insert = self.conn.prepare_cached(sql)?;
            parts.iter().try_for_each(|(digest, part)| insert.execute((cluster, &source, object, digest, part)).map(|_| ()))?;
            self.conn
                .prepare_cached(
                    "DELETE FROM cluster_part WHERE cluster = ?1 AND source = ?2 AND number <=
                     (SELECT number FROM cluster_part WHERE cluster = ?1 AND source = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3)",
                )?
                .execute((cluster, &source, CLUSTER_PARTS_MAX))?;
        }
        for (number, bytes) in changes {
            let sql = "UPDATE cluster_pending SET bytes = ?2 WHERE number = ?1 AND settled = 0";
            self.conn.prepare_cached(sql)?.execute((number, bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use samizdat_cluster::{StateId, parts::cut};

    use super::*;
    use crate::{
        Chat,
        cluster::outer::{Source, encode},
        tests::two_in,
    };

    const FROM: ClusterTag = ClusterTag { cluster: 1, source: Source::State(StateId([5; 16]), 3), counter: 0 };

    fn large() -> (Vec<u8>, Vec<Vec<u8>>) {
        let bytes: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_be_bytes()).collect();
        let parts = cut(&encode(Kind::Change, &bytes)).unwrap();
        assert!(parts.len() > 8);
        (bytes, parts)
    }

    fn take(chat: &mut Chat, parts: &[&Vec<u8>]) -> Vec<(Kind, Vec<u8>)> {
        let took = chat.transact(|work| parts.iter().map(|part| work.take_part(&FROM, part)).collect::<Result<Vec<_>, _>>());
        took.unwrap().into_iter().flatten().collect()
    }

    fn rows(chat: &mut Chat) -> u32 {
        chat.transact(|work| Ok(work.conn.query_row("SELECT count(*) FROM cluster_part", [], |row| row.get(0))?)).unwrap()
    }

    #[test]
    fn parts_make_a_whole_however_they_are_spread_over_transactions() {
        let (mut chat, _, _, _) = two_in(&["nest"]);
        let (bytes, parts) = large();
        let last = parts.len() - 1;
        let whole = [(Kind::Change, bytes)];
        assert!(take(&mut chat, &parts.iter().collect::<Vec<_>>()) == whole, "in one");
        assert_eq!(rows(&mut chat), 0, "nothing was written");
        for part in &parts[..last] {
            assert!(take(&mut chat, &[part]).is_empty());
        }
        assert!(take(&mut chat, &[&parts[last]]) == whole, "each in its own");
        assert_eq!(rows(&mut chat), 0);
        let half = last / 2;
        let first: Vec<_> = parts[..half].iter().chain(&parts[..half]).collect();
        assert!(take(&mut chat, &first).is_empty());
        assert_eq!(usize::try_from(rows(&mut chat)).unwrap(), half, "each once");
        assert!(take(&mut chat, &parts[..last].iter().rev().collect::<Vec<_>>()).is_empty(), "what is written counts once");
        assert!(take(&mut chat, &[&parts[0], &parts[last]]) == whole);
        assert_eq!(rows(&mut chat), 0);
    }

    #[test]
    fn a_failed_transaction_leaves_no_part_and_no_more_are_kept_than_may() {
        let (mut chat, _, _, _) = two_in(&["nest"]);
        let (_, parts) = large();
        let failed = chat.transact(|work| {
            work.take_part(&FROM, &parts[0])?;
            Err::<(), _>(crate::ChatError::Bug("test"))
        });
        assert!(failed.is_err());
        assert_eq!(rows(&mut chat), 0);
        for n in 0..CLUSTER_PARTS_MAX + 10 {
            let other = cut(&[&n.to_be_bytes()[..], &[0; 100_000]].concat()).unwrap();
            assert!(take(&mut chat, &[&other[0]]).is_empty());
        }
        assert_eq!(rows(&mut chat), CLUSTER_PARTS_MAX);
    }

    #[test]
    fn a_change_that_waits_is_written_when_its_transaction_ends_and_only_then() {
        let (mut chat, _, _, _) = two_in(&["nest"]);
        let lengths = |work: &Work<'_>| -> Result<Vec<usize>, ChatError> {
            let mut waiting = work.conn.prepare("SELECT length(bytes) FROM cluster_pending WHERE settled = 0")?;
            Ok(waiting.query_map([], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?)
        };
        let within = chat.transact(|work| {
            let row = work.find_cluster("nest")?;
            let (_, tip) = row.place()?;
            work.take_handshake(row.cluster, &tip, 0, Kind::Change, &[7; 999])?;
            lengths(work)
        });
        assert_eq!(within.unwrap(), [0]);
        assert_eq!(chat.transact(|work| lengths(work)).unwrap(), [999]);
    }
}
