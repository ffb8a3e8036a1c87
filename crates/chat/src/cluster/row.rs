//! Clusters and their states as rows.

use std::sync::Arc;

use minicbor::{Decoder, Encoder};
use rusqlite::{OptionalExtension, Row};
use samizdat_cluster::{
    ClusterId, Context, Done, MemberId, Past, PastIn, Roster, StateId,
    branch::{Branches, Node},
    ids::rank,
};
use samizdat_core::{Now, seal::StateSecret};

use crate::{error::ChatError, mls::Leaf, work::Work};

/// How we stand with a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// We have asked to be let in.
    Asking,
    /// We are a member.
    Member,
    /// We have left.
    Left,
    /// The members have removed us.
    Removed,
    /// We are a member whom others exchanged for itself, and wait for the keys of where they are.
    Away,
}

impl Standing {
    const ALL: [Self; 5] = [Self::Asking, Self::Member, Self::Left, Self::Removed, Self::Away];

    pub(crate) fn number(self) -> u8 {
        Self::ALL.iter().position(|standing| *standing == self).and_then(|i| u8::try_from(i).ok()).unwrap_or_default()
    }

    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Removed)
    }
}

/// One of our memberships.
#[derive(Debug, Clone)]
pub(crate) struct ClusterRow {
    pub(crate) cluster: i64,
    pub(crate) id: Option<ClusterId>,
    pub(crate) member: MemberId,
    pub(crate) nick: String,
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) tip: Option<StateId>,
    pub(crate) door: Option<[u8; 32]>,
}

impl ClusterRow {
    /// The cluster and the state that we follow, once we are in.
    pub(crate) fn place(&self) -> Result<(ClusterId, StateId), ChatError> {
        match (self.standing, self.id, self.tip) {
            (Standing::Member, Some(id), Some(tip)) => Ok((id, tip)),
            (Standing::Asking, ..) => Err(ChatError::Refused("you are not a member yet: the cluster has not decided".into())),
            (Standing::Away, ..) => {
                Err(ChatError::Refused("you were away for too long: wait until a member has let you back in".into()))
            }
            _ => Err(ChatError::Refused("you are not a member of this cluster any more".into())),
        }
    }
}

/// A state that is kept.
#[derive(Debug, Clone)]
pub(crate) struct StateRow {
    pub(crate) state: StateId,
    pub(crate) parent: Option<StateId>,
    pub(crate) epoch: u64,
    pub(crate) committer: Option<MemberId>,
    pub(crate) certified: bool,
    pub(crate) members: Vec<Leaf>,
    pub(crate) context: Context,
    pub(crate) past: Past,
    pub(crate) done: Done,
    pub(crate) secret: StateSecret,
    /// Nothing: we are not in it.
    pub(crate) own_leaf: Option<u32>,
    /// When it became known, ms.
    pub(crate) began: u64,
}

impl StateRow {
    pub(crate) fn roster(&self) -> &Roster {
        self.past.roster()
    }

    pub(crate) fn leaf(&self, leaf: u32) -> Option<&Leaf> {
        self.members.iter().find(|member| member.leaf == leaf)
    }

    fn node(&self) -> Node {
        let parent_epoch = self.epoch.saturating_sub(1);
        let place = self.committer.map_or([0; 32], |committer| rank(&self.context.salt, parent_epoch, &committer));
        Node {
            id: self.state,
            parent: self.parent,
            epoch: self.epoch,
            committer: self.committer,
            certified: self.certified,
            roster: self.roster().clone(),
            rank: place,
        }
    }
}

const CLUSTER: &str = "cluster, id, member, nick, name, standing, tip, door";
const STATE: &str = "state, parent, epoch, committer, certified, members, context, past, done, secret, own_leaf, began";

impl Work<'_> {
    pub(crate) fn cluster_row(&self, cluster: i64) -> Result<ClusterRow, ChatError> {
        let sql = format!("SELECT {CLUSTER} FROM cluster WHERE cluster = ?1");
        let row = self.conn.prepare_cached(&sql)?.query_row([cluster], cluster_row).optional()?;
        row.ok_or(ChatError::Bug("cluster"))
    }

    /// A cluster by its name, the beginning of its id, or its number.
    pub(crate) fn find_cluster(&self, which: &str) -> Result<ClusterRow, ChatError> {
        let which = which.trim();
        let all = self.cluster_rows()?;
        let by_id =
            |row: &&ClusterRow| row.id.is_some_and(|id| which.len() >= 6 && id.to_string().starts_with(&which.to_lowercase()));
        // A number is a number, whatever somebody calls a cluster.
        let numbered: Vec<&ClusterRow> = all.iter().filter(|row| row.cluster.to_string() == which).collect();
        let named: Vec<&ClusterRow> = all.iter().filter(|row| row.name == which).collect();
        let found = [numbered, named].into_iter().find(|found| !found.is_empty());
        let found: Vec<&ClusterRow> = found.unwrap_or_else(|| all.iter().filter(by_id).collect());
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(ChatError::NotFound(format!("you are in no cluster called \"{which}\": see `cluster list`"))),
            _ => Err(ChatError::Usage(format!(
                "several clusters are called \"{which}\": use the number or the id that `cluster list` shows"
            ))),
        }
    }

    pub(crate) fn cluster_rows(&self) -> Result<Vec<ClusterRow>, ChatError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT {CLUSTER} FROM cluster ORDER BY cluster"))?;
        let rows = statement.query_map([], cluster_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn state_row(&self, cluster: i64, state: &StateId) -> Result<Option<StateRow>, ChatError> {
        Ok(self.shared_state(cluster, state)?.map(|row| (*row).clone()))
    }

    /// The same without a copy. What is in a [`StateRow`] never changes while the state is kept, so it stays in memory:
    /// whoever deletes a row of `cluster_state`, or changes one of these columns, must make `states` forget it.
    pub(crate) fn shared_state(&self, cluster: i64, state: &StateId) -> Result<Option<Arc<StateRow>>, ChatError> {
        let key = (cluster, *state);
        let found = match self.states.take(&key) {
            Some(row) => Some(row),
            None => self.read_state(cluster, state)?.map(Arc::new),
        };
        if let Some(row) = &found {
            // What finds no room is read again.
            let _ = self.states.put(key, Arc::clone(row));
        }
        Ok(found)
    }

    fn read_state(&self, cluster: i64, state: &StateId) -> Result<Option<StateRow>, ChatError> {
        let sql = format!("SELECT {STATE} FROM cluster_state WHERE cluster = ?1 AND state = ?2");
        let found = self.conn.prepare_cached(&sql)?.query_row((cluster, state.0), state_row).optional()?;
        found.map(|row| row.ok_or(ChatError::Bug("state of a cluster"))).transpose()
    }

    /// Keeps a state, and how its members call themselves.
    pub(crate) fn put_state(&self, cluster: i64, row: &StateRow) -> Result<(), ChatError> {
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_state(cluster, state, parent, epoch, committer, certified, members, context, past, done, secret, own_leaf, began)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute((
                cluster,
                row.state.0,
                row.parent.map(|parent| parent.0),
                row.epoch,
                row.committer.map(|committer| committer.0),
                row.certified,
                encode_leaves(&row.members),
                row.context.encode(),
                row.past.encode(),
                row.done.encode(),
                row.secret.bytes(),
                row.own_leaf,
                ms(row.began),
            ))?;
        let mut member = self.conn.prepare_cached(
            "INSERT INTO cluster_member(cluster, member, nick, author, since, known) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET nick = excluded.nick WHERE nick <> excluded.nick",
        )?;
        let named = row.members.iter().filter(|leaf| !leaf.nick.is_empty());
        named.into_iter().try_for_each(|leaf| {
            let author = leaf.member.to_string();
            member.execute((cluster, leaf.member.0, &leaf.nick, author, ms(row.epoch), ms(row.began))).map(|_| ())
        })?;
        Ok(())
    }

    /// All states that are kept, and where members stand, for choosing among them.
    pub(crate) fn branches(&self, cluster: i64) -> Result<Branches, ChatError> {
        let mut branches = Branches::new();
        let mut statement = self.conn.prepare_cached("SELECT state FROM cluster_state WHERE cluster = ?1")?;
        for state in statement.query_map([cluster], |row| Ok(StateId(row.get(0)?)))? {
            branches.insert(self.shared_state(cluster, &state?)?.ok_or(ChatError::Bug("state of a cluster"))?.node());
        }
        let mut statement = self.conn.prepare_cached("SELECT member, turn, state FROM cluster_stand WHERE cluster = ?1")?;
        let rows =
            statement.query_map([cluster], |row| Ok((MemberId(row.get(0)?), row.get::<_, i64>(1)?, StateId(row.get(2)?))))?;
        for row in rows {
            let (member, turn, state) = row?;
            branches.stand(member, turn.unsigned_abs(), state);
        }
        Ok(branches)
    }

    /// Notes that a member was heard, wherever it stands.
    pub(crate) fn heard(&self, cluster: i64, member: &MemberId, now: Now) -> Result<(), ChatError> {
        self.conn
            .prepare_cached("UPDATE cluster_stand SET heard = max(heard, ?3) WHERE cluster = ?1 AND member = ?2")?
            .execute((cluster, member.0, ms(now.unix_ms)))?;
        Ok(())
    }

    /// Notes where a member stands, and that it was heard.
    pub(crate) fn stand(&self, cluster: i64, member: &MemberId, turn: u64, state: &StateId, now: Now) -> Result<(), ChatError> {
        self.conn
            .prepare_cached(
                "INSERT INTO cluster_stand(cluster, member, turn, state, heard, epoch)
                 SELECT ?1, ?2, ?3, ?4, ?5, coalesce((SELECT epoch FROM cluster_state WHERE cluster = ?1 AND state = ?4), 0) WHERE true
                 ON CONFLICT DO UPDATE SET heard = max(heard, excluded.heard), epoch = max(epoch, excluded.epoch),
                 state = CASE WHEN (excluded.turn, excluded.state) > (turn, state) THEN excluded.state ELSE state END,
                 turn = max(turn, excluded.turn)",
            )?
            .execute((cluster, member.0, ms(turn), state.0, ms(now.unix_ms)))?;
        Ok(())
    }
}

/// What fits into a column.
pub(crate) fn ms(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn cluster_row(row: &Row<'_>) -> rusqlite::Result<ClusterRow> {
    Ok(ClusterRow {
        cluster: row.get(0)?,
        id: row.get::<_, Option<[u8; 32]>>(1)?.map(ClusterId),
        member: MemberId(row.get(2)?),
        nick: row.get(3)?,
        name: row.get(4)?,
        standing: Standing::from_number(row.get(5)?),
        tip: row.get::<_, Option<[u8; 16]>>(6)?.map(StateId),
        door: row.get(7)?,
    })
}

fn state_row(row: &Row<'_>) -> rusqlite::Result<Option<StateRow>> {
    let (members, context): (Vec<u8>, Vec<u8>) = (row.get(5)?, row.get(6)?);
    let (past, done): (Vec<u8>, Vec<u8>) = (row.get(7)?, row.get(8)?);
    let began: i64 = row.get(11)?;
    let (state, parent, epoch) = (StateId(row.get(0)?), row.get::<_, Option<[u8; 16]>>(1)?.map(StateId), row.get(2)?);
    let (committer, certified) = (row.get::<_, Option<[u8; 32]>>(3)?.map(MemberId), row.get(4)?);
    let (secret, own_leaf) = (StateSecret::new(row.get(9)?), row.get(10)?);
    let read = || {
        let context = Context::decode(&context).ok()?;
        let members = decode_leaves(&members)?;
        let roster = Roster::of(members.iter().map(|leaf| leaf.member));
        let past = PastIn::decode(&past).ok()?.verify(epoch, &roster, &context.charter).ok()?;
        Some(StateRow {
            state,
            parent,
            epoch,
            committer,
            certified,
            members,
            past,
            context,
            done: Done::decode(&done).ok()?,
            secret,
            own_leaf,
            began: u64::try_from(began).unwrap_or_default(),
        })
    };
    Ok(read())
}

fn encode_leaves(leaves: &[Leaf]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = e.array(leaves.len() as u64).and_then(|e| {
        leaves.iter().try_for_each(|leaf| e.array(3)?.bytes(&leaf.member.0)?.u32(leaf.leaf)?.str(&leaf.nick).map(|_| ()))
    });
    e.into_writer()
}

fn decode_leaves(bytes: &[u8]) -> Option<Vec<Leaf>> {
    let mut d = Decoder::new(bytes);
    let count = d.array().ok()??;
    (0..count)
        .map(|_| {
            d.array().ok()?;
            let member = MemberId(d.bytes().ok()?.try_into().ok()?);
            Some(Leaf { member, leaf: d.u32().ok()?, nick: d.str().ok()?.to_owned() })
        })
        .collect()
}
