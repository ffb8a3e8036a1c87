//! How far somebody has come in a conversation: the newest messages that they have, and what they lack of what these build on. Without
//! the latter whoever named a message would seem to have all that it builds on, also what never came (ADR 17).

use std::collections::{BTreeSet, VecDeque};

use samizdat_core::Now;

use crate::{
    content::ID_LEN,
    error::ChatError,
    limits::{MISSING_KEPT, MISSING_MAX, MISSING_MS, PARENTS_MAX},
    timeline::MessageId,
    work::Work,
};

/// As somebody tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frontier {
    /// The newest messages that they have.
    pub(crate) heads: Vec<MessageId>,
    /// What these build on and has not come to them. As many as there can be say that there may be more.
    pub(crate) missing: Vec<MessageId>,
}

impl Frontier {
    pub(crate) fn new(heads: &[[u8; ID_LEN]], missing: &[[u8; ID_LEN]]) -> Self {
        let ids = |ids: &[[u8; ID_LEN]]| ids.iter().copied().map(MessageId).collect();
        Self { heads: ids(heads), missing: ids(missing) }
    }

    /// What was seen on a walk that is about to begin, and where it begins: it comes to nothing that is missing.
    pub(crate) fn walk(&self) -> (BTreeSet<MessageId>, VecDeque<MessageId>) {
        // Somebody hostile may name one twice.
        let heads: BTreeSet<MessageId> = self.heads.iter().copied().filter(|id| !self.missing.contains(id)).collect();
        let next = heads.iter().copied().collect();
        (heads.into_iter().chain(self.missing.iter().copied()).collect(), next)
    }

    /// Whether they have all that the heads build on, but for what is missing.
    pub(crate) fn goes_back(&self) -> bool {
        self.missing.len() < MISSING_MAX
    }
}

/// Whether a message is there on which `missing.child` can build: in its conversation, for all, and signed by somebody.
const IS_THERE: &str =
    "EXISTS (SELECT 1 FROM message m WHERE m.conversation = missing.conversation AND m.aside IS NULL AND m.anonymous = 0
     AND (m.id = missing.parent AND m.name IS NULL OR m.name = missing.parent))";

impl Work<'_> {
    /// Keeps in mind what has not come of what a message of somebody else builds on.
    pub(crate) fn note_missing(
        &mut self,
        conversation: i64,
        child: &MessageId,
        parents: &[[u8; ID_LEN]],
        now: Now,
    ) -> Result<(), ChatError> {
        let mut insert = self
            .conn
            .prepare_cached("INSERT OR IGNORE INTO missing(conversation, child, parent, arrived) VALUES(?1, ?2, ?3, ?4)")?;
        let arrived = i64::try_from(now.unix_ms).unwrap_or(i64::MAX);
        parents.iter().try_for_each(|parent| insert.execute((conversation, child.0, parent, arrived)).map(|_| ()))?;
        let sql = format!("DELETE FROM missing WHERE conversation = ?1 AND child = ?2 AND {IS_THERE}");
        self.conn.prepare_cached(&sql)?.execute((conversation, child.0))?;
        self.conn
            .prepare_cached(
                "DELETE FROM missing WHERE conversation = ?1 AND number <=
                 (SELECT number FROM missing WHERE conversation = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute((conversation, MISSING_KEPT))?;
        Ok(())
    }

    /// What we tell that we lack: the newest.
    pub(crate) fn tell_missing(&mut self, conversation: i64, now: Now) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let old = i64::try_from(now.unix_ms.saturating_sub(MISSING_MS)).unwrap_or(i64::MAX);
        self.conn.prepare_cached("DELETE FROM missing WHERE conversation = ?1 AND arrived < ?2")?.execute((conversation, old))?;
        let sql = format!("DELETE FROM missing WHERE conversation = ?1 AND told = 0 AND {IS_THERE}");
        self.conn.prepare_cached(&sql)?.execute([conversation])?;
        let sql = format!(
            "SELECT parent FROM missing WHERE conversation = ?1 AND NOT {IS_THERE} GROUP BY parent ORDER BY max(number) DESC LIMIT ?2"
        );
        let missing: Vec<[u8; ID_LEN]> =
            self.conn.prepare_cached(&sql)?.query_map((conversation, MISSING_MAX), |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut told = self.conn.prepare_cached("UPDATE missing SET told = 1 WHERE conversation = ?1 AND parent = ?2")?;
        missing.iter().try_for_each(|parent| told.execute((conversation, parent)).map(|_| ()))?;
        Ok(missing)
    }

    /// The newest messages, and what came after we had told that we lack it: that is to be named by itself, since what we named
    /// meanwhile builds on it. It counts as named.
    pub(crate) fn with_late(&mut self, conversation: i64, mut heads: Vec<[u8; ID_LEN]>) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let mut named = self.conn.prepare_cached("DELETE FROM missing WHERE conversation = ?1 AND parent = ?2")?;
        for late in self.came_late(conversation)? {
            if heads.len() < PARENTS_MAX {
                named.execute((conversation, late))?;
                heads.extend(Some(late).filter(|late| !heads.contains(late)));
            }
        }
        Ok(heads)
    }

    /// What we told that we lack, and that has come since.
    pub(crate) fn came_late(&self, conversation: i64) -> Result<Vec<[u8; ID_LEN]>, ChatError> {
        let sql = format!("SELECT DISTINCT parent FROM missing WHERE conversation = ?1 AND told = 1 AND {IS_THERE} LIMIT ?2");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map((conversation, MISSING_MAX), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
