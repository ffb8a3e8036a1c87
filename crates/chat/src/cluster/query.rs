//! What people can see of clusters, as plain rows.

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    Charter, MemberId, MotionId,
    ballot::Choice,
    motion::{Kind, Method, MotionIn},
    tally::Outcome,
};

use super::{
    row::{ClusterRow, Standing, StateRow},
    secret::SecretVote,
};
use crate::{chat::Chat, error::ChatError, work::Work};

/// One of our memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its number here.
    pub number: i64,
    /// Its id, once we are in.
    pub id: Option<String>,
    /// What it is called.
    pub name: String,
    /// How we stand with it.
    pub standing: Standing,
    /// Who we are in it.
    pub member: String,
    /// How we call ourselves in it.
    pub nick: String,
    /// Its conversation.
    pub conversation: i64,
    /// The epoch of the state that we follow.
    pub epoch: u64,
    /// That state: equal among members exactly when their group is the same.
    pub state: Option<String>,
    /// Its rules.
    pub charter: Option<Charter>,
    /// Its members, by nickname.
    pub members: Vec<ClusterMember>,
    /// How many ask to be let in.
    pub requests: usize,
    /// Links to it that we gave out, the newest first.
    pub links: Vec<ClusterDoor>,
    /// Whether its members are told what we have read.
    pub receipts: bool,
}

/// A link to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDoor {
    /// What was given out.
    pub link: String,
    /// What it is for.
    pub label: String,
    /// When it closes, ms since 1970.
    pub until: u64,
    /// Whether it was closed before: somebody who knew its key is no member any more, or others had no room for theirs.
    pub closed: bool,
    /// Whether it is voted in secret on whoever comes by it.
    pub secret: bool,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    /// Who.
    pub member: String,
    /// How they call themselves.
    pub nick: String,
    /// The name that they have shown to be behind it, if they chose to.
    pub name: Option<String>,
    /// Whether it is us.
    pub own: bool,
    /// Whether they have spoken in the state that we follow.
    pub here: bool,
    /// When they were heard last, ms since 1970; 0 if never.
    pub heard: u64,
    /// Whether the charter calls them silent.
    pub silent: bool,
    /// Whether it is proven that they told two sets of keys for anonymous messages of one epoch.
    pub two_sets: bool,
}

/// Somebody who asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRequest {
    /// Its number.
    pub request: i64,
    /// Under which nickname.
    pub nick: String,
    /// What they say.
    pub words: String,
    /// Who they would be.
    pub member: String,
    /// When they asked, ms since 1970.
    pub at: u64,
    /// What the cluster calls itself with which they come, by what its members signed.
    pub from: Option<String>,
}

/// A motion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MotionRow {
    /// Its id.
    pub motion: String,
    /// Number of its cluster.
    pub cluster: i64,
    /// admit, expel, silent, charter, merge, `take_in`, question.
    pub kind: &'static str,
    /// Whom or what it is about.
    pub subject: String,
    /// How it stands.
    pub state: Outcome,
    /// Whether it was carried out.
    pub done: bool,
    /// Who says what.
    pub ballots: Ballots,
    /// How many must say yes.
    pub needed: usize,
    /// How many may vote.
    pub voters: usize,
    /// Last epoch at which it can be carried out.
    pub until: u64,
    /// Who moved it.
    pub proposer: String,
    /// What we said. In a secret vote `secret` once we have, before that what waits for the key: the number of an option, yes or no.
    pub ours: Option<String>,
    /// When it came, ms since 1970.
    pub at: u64,
    /// The rules that are moved.
    pub charter: Option<Charter>,
    /// Of a question: voters rank the options.
    pub ranked: bool,
    /// If everybody sees who voted, and nobody how.
    pub secret: Option<SecretVote>,
}

/// What was said to a motion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ballots {
    /// Nicknames of those who said yes.
    pub yes: Vec<String>,
    /// Of those who said no.
    pub no: Vec<String>,
    /// For a question: each option, how often it was named first, and its rank from 1.
    pub options: Vec<(String, usize, usize)>,
    /// Nicknames of those who said one thing and another, which is proven.
    pub cheated: Vec<String>,
}

impl Chat {
    /// All our memberships.
    pub fn clusters(&mut self) -> Result<Vec<Cluster>, ChatError> {
        self.transact(|work| work.cluster_rows()?.iter().map(|row| work.show_cluster(row)).collect())
    }

    /// One of them, by name, number, or the beginning of its id.
    pub fn cluster(&mut self, which: &str) -> Result<Cluster, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            work.show_cluster(&row)
        })
    }

    /// One of them, by its number.
    pub fn cluster_of(&mut self, number: i64) -> Result<Cluster, ChatError> {
        self.transact(|work| {
            let row = work.cluster_row(number)?;
            work.show_cluster(&row)
        })
    }

    /// Motions of the membership with this number, the oldest first.
    pub fn motions_of(&mut self, number: i64) -> Result<Vec<MotionRow>, ChatError> {
        self.transact(|work| {
            let row = work.cluster_row(number)?;
            work.show_motions(&row)
        })
    }

    /// Who asks to be let in.
    pub fn cluster_requests(&mut self, which: &str) -> Result<Vec<ClusterRequest>, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            let requests = work.join_requests(&row)?.into_iter().map(|request| ClusterRequest {
                request: request.id,
                nick: request.nick,
                words: request.words,
                member: request.member.to_string(),
                at: request.at,
                from: request.from,
            });
            Ok(requests.collect())
        })
    }

    /// Motions of a cluster, the oldest first.
    pub fn motions(&mut self, which: &str) -> Result<Vec<MotionRow>, ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            work.show_motions(&row)
        })
    }

    /// One motion.
    pub fn motion(&mut self, cluster: i64, id: &MotionId) -> Result<MotionRow, ChatError> {
        self.transact(|work| {
            let row = work.cluster_row(cluster)?;
            let found = work.show_motions(&row)?.into_iter().find(|motion| motion.motion == id.to_string());
            found.ok_or_else(|| ChatError::NotFound("there is no such motion".into()))
        })
    }
}

impl Work<'_> {
    fn show_cluster(&self, row: &ClusterRow) -> Result<Cluster, ChatError> {
        let state = match row.tip {
            Some(tip) => self.state_row(row.cluster, &tip)?,
            None => None,
        };
        let silent = state.as_ref().map(|state| self.silent(row, state)).transpose()?.unwrap_or_default();
        let mut members = Vec::new();
        for leaf in state.iter().flat_map(|state| &state.members) {
            let stand: Option<([u8; 16], u64)> = self
                .conn
                .prepare_cached("SELECT state, heard FROM cluster_stand WHERE cluster = ?1 AND member = ?2")?
                .query_row((row.cluster, leaf.member.0), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let name = self
                .conn
                .prepare_cached("SELECT name FROM cluster_member WHERE cluster = ?1 AND member = ?2")?
                .query_row((row.cluster, leaf.member.0), |row| row.get(0))
                .optional()?;
            let two_sets = self
                .conn
                .prepare_cached("SELECT 1 FROM cluster_two_sets WHERE cluster = ?1 AND member = ?2")?
                .exists((row.cluster, leaf.member.0))?;
            members.push(ClusterMember {
                member: leaf.member.to_string(),
                nick: leaf.nick.clone(),
                name: name.flatten(),
                own: leaf.member == row.member,
                here: stand.is_some_and(|(at, _)| row.tip.is_some_and(|tip| tip.0 == at)),
                heard: stand.map_or(0, |(_, heard)| heard),
                silent: silent.contains(&leaf.member),
                two_sets,
            });
        }
        members.sort_by(|a, b| (&a.nick, &a.member).cmp(&(&b.nick, &b.member)));
        Ok(Cluster {
            number: row.cluster,
            id: row.id.map(|id| id.to_string()),
            name: row.name.clone(),
            standing: row.standing,
            member: row.member.to_string(),
            nick: row.nick.clone(),
            conversation: self.cluster_conversation(row.cluster)?,
            epoch: state.as_ref().map_or(0, |state| state.epoch),
            state: state.as_ref().map(|state| state.state.to_string()),
            charter: state.map(|state| state.context.charter),
            members,
            requests: self.join_requests(row)?.len(),
            links: self.own_doors(row)?,
            receipts: self.conn.query_row("SELECT receipts FROM cluster WHERE cluster = ?1", [row.cluster], |row| row.get(0))?,
        })
    }

    fn show_motions(&self, row: &ClusterRow) -> Result<Vec<MotionRow>, ChatError> {
        let Some(tip) = row.tip else { return Ok(Vec::new()) };
        let Some(state) = self.state_row(row.cluster, &tip)? else { return Ok(Vec::new()) };
        let told: std::collections::BTreeMap<[u8; 32], (u64, bool)> = self
            .conn
            .prepare_cached("SELECT motion, at, carried FROM cluster_motion WHERE cluster = ?1")?
            .query_map([row.cluster], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
            .collect::<Result<_, _>>()?;
        let mut shown = Vec::new();
        for (motion, _) in self.motions(row)? {
            let (at, carried) = told.get(&motion.claimed().id().0).copied().unwrap_or_default();
            // The branch remembers for as long as it matters; later we remember what it did.
            let done = state.done.has(&motion.claimed().id()) || (carried && motion.claimed().until < state.epoch);
            shown.push(self.show_motion(row, &state, &motion, at, done)?);
        }
        Ok(shown)
    }

    fn show_motion(
        &self,
        row: &ClusterRow,
        state: &StateRow,
        motion: &MotionIn,
        at: u64,
        done: bool,
    ) -> Result<MotionRow, ChatError> {
        let (id, claimed) = (motion.claimed().id(), motion.claimed());
        let tally = self.tally(row, state, motion)?;
        let (tally, confirmed) = if claimed.secret { (None, tally) } else { (tally, None) };
        let mut ballots = Ballots::default();
        for ballot in tally.iter().flat_map(|tally| tally.ballots()) {
            let nick = self.nick(row, &ballot.voter())?;
            match ballot.choice() {
                Choice::Decision(true) => ballots.yes.push(nick),
                Choice::Decision(false) => ballots.no.push(nick),
                Choice::Options(_) => {}
            }
        }
        for proof in tally.iter().flat_map(|tally| tally.equivocations()) {
            if let Some((culprit, _)) = proof.culprit() {
                ballots.cheated.push(self.nick(row, &culprit)?);
            }
        }
        if let (Kind::Question { options, .. }, Some(tally)) = (&claimed.kind, &tally) {
            let (firsts, ranking) = (tally.firsts(), tally.ranking());
            let place = |option: usize| {
                ranking.iter().position(|ranked| usize::from(*ranked) == option).map_or(0, |place| place.saturating_add(1))
            };
            let counted =
                options.iter().enumerate().map(|(i, option)| (option.clone(), firsts.get(i).copied().unwrap_or(0), place(i)));
            ballots.options = counted.collect();
        }
        let (kind, subject) = self.subject(row, &claimed.kind)?;
        let ours = self.own_ballot(row, &id)?.map(|choice| match choice {
            Choice::Decision(yes) => if yes { "yes" } else { "no" }.to_owned(),
            Choice::Options(order) => {
                order.iter().map(|option| u16::from(*option).saturating_add(1).to_string()).collect::<Vec<_>>().join(",")
            }
        });
        // Of motions whose epoch lies too far back, what they came to is all that is known.
        let over = if done { Outcome::Passed } else { Outcome::Expired };
        let mut shown = MotionRow {
            motion: id.to_string(),
            cluster: row.cluster,
            kind,
            subject,
            state: tally.as_ref().map_or(over, |tally| tally.outcome(state.epoch, done)),
            done,
            ballots,
            needed: tally.as_ref().map_or(0, |tally| tally.motion().needed()),
            voters: tally.as_ref().map_or(0, |tally| tally.motion().electorate().len()),
            until: claimed.until,
            proposer: self.nick(row, &claimed.proposer)?,
            ours,
            at,
            charter: if let Kind::Charter(charter) = &claimed.kind { Some(charter.clone()) } else { None },
            ranked: matches!(claimed.kind, Kind::Question { method: Method::Preference, .. }),
            secret: None,
        };
        if claimed.secret {
            self.show_vote(row, &id, &mut shown, (confirmed.as_ref(), state.epoch))?;
        }
        Ok(shown)
    }

    pub(super) fn subject(&self, row: &ClusterRow, kind: &Kind) -> Result<(&'static str, String), ChatError> {
        Ok(match kind {
            Kind::Admit(admission) => ("admit", admission.nick.clone()),
            Kind::Expel { member } => ("expel", self.nick(row, member)?),
            Kind::Silent { members } => {
                ("silent", members.iter().map(|member| self.nick(row, member)).collect::<Result<Vec<_>, _>>()?.join(", "))
            }
            Kind::Charter(charter) => ("charter", charter.name.clone()),
            Kind::Merge(merge) => ("merge", merge.name.clone()),
            Kind::TakeIn { consent, guests } => {
                let nicks: Vec<&str> = guests.iter().map(|guest| guest.claimed().nick.as_str()).collect();
                ("take_in", format!("{}: {}", consent.claimed().from, nicks.join(", ")))
            }
            Kind::Question { text, .. } => ("question", text.clone()),
        })
    }

    /// How somebody who is or was a member calls themselves.
    pub(crate) fn nick(&self, row: &ClusterRow, member: &MemberId) -> Result<String, ChatError> {
        let sql = "SELECT nick FROM cluster_member WHERE cluster = ?1 AND member = ?2";
        let nick = self.conn.prepare_cached(sql)?.query_row((row.cluster, member.0), |row| row.get(0)).optional()?;
        Ok(nick.unwrap_or_else(|| member.to_string().chars().take(8).collect()))
    }
}
