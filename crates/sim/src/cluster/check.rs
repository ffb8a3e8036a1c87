//! Whether a schedule ended well.

use std::collections::{BTreeMap, BTreeSet};

use samizdat_chat::{ChatError, Cluster, Standing};
use sha2::{Digest, Sha256};

use super::{
    member::CLUSTER,
    town::{Town, Written},
};
use crate::{hex, limits::CLUSTER_ROWS_MAX, world::SimError};

/// What one schedule came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) members: usize,
    /// Whether all honest members are in one state, and nobody else takes itself for one.
    pub(super) converged: bool,
    pub(super) texts: usize,
    /// Pairs of text and reader.
    pub(super) due: usize,
    /// Texts that somebody should have read and has not, with the reason why not, if it is one that is known.
    pub(super) lost: usize,
    /// Of these, written by a copy that was restored, under keys that had been used; or written while the reader lived on whom an old
    /// copy then replaced.
    pub(super) lost_by_restored: usize,
    /// Not read by somebody who was away beyond the window, and let in again.
    pub(super) lost_to_returned: usize,
    pub(super) doubled: usize,
    pub(super) reused: usize,
    pub(super) guarded: usize,
    pub(super) forks: usize,
    pub(super) deepest: usize,
    pub(super) epochs: u64,
    pub(super) returned: usize,
    pub(super) restored: usize,
    /// Members whose replay of what was decided failed, or differs from who is there.
    pub(super) uncertified: usize,
    /// Decisions that were voted on in secret, and carried out.
    pub(super) in_secret: usize,
    /// The most rows that clusters take in one vault.
    pub(super) rows: u64,
    pub(super) trace: String,
    pub(super) why: Vec<String>,
}

/// Why somebody did not read something.
pub(super) enum Missing {
    /// For no good reason.
    Lost(String),
    Restored,
    Returned,
}

/// Whether all honest members are in one state, and those who think that they are members are those who are.
pub(super) fn is_converged(town: &mut Town) -> Result<bool, SimError> {
    Ok(disagreement(town)?.is_none())
}

fn disagreement(town: &mut Town) -> Result<Option<String>, SimError> {
    let mut shown: Vec<(usize, Cluster)> = Vec::new();
    for (number, member) in town.members.iter_mut().enumerate().filter(|(_, member)| !member.malicious) {
        shown.push((number, member.chat.cluster(CLUSTER)?));
    }
    let Some((_, first)) = shown.iter().find(|(_, cluster)| cluster.standing == Standing::Member) else { return Ok(None) };
    let roster: BTreeSet<&str> = first.members.iter().map(|member| member.member.as_str()).collect();
    for (number, cluster) in &shown {
        let (standing, listed) = (cluster.standing, roster.contains(cluster.member.as_str()));
        if (standing == Standing::Member) != listed {
            return Ok(Some(format!("m{number} is {standing:?}, listed: {listed}")));
        }
        if standing == Standing::Member && cluster.state != first.state {
            return Ok(Some(format!("m{number} is in {}, another in {}", place(cluster), place(first))));
        }
    }
    Ok(None)
}

fn place(cluster: &Cluster) -> String {
    let state = cluster.state.as_ref().and_then(|state| state.get(..6)).unwrap_or("nothing");
    format!("{state} of epoch {} with {}", cluster.epoch, cluster.members.len())
}

/// What was not read by whom it should have been.
pub(super) fn missing(town: &mut Town) -> Result<Vec<Missing>, SimError> {
    let mut missing = Vec::new();
    each_due(town, |town, written, reader, count| {
        if count > 0 {
            return;
        }
        let author = town.members.get(written.author);
        let restored = author.is_some_and(|author| author.restored.iter().any(|(from, _)| written.at >= *from));
        let member = town.members.get(reader);
        // It may have read it before an old copy took its place.
        let forgot = member.is_some_and(|member| member.restored.iter().any(|(from, to)| (*from..*to).contains(&written.at)));
        let returned = member.is_some_and(|member| member.returned.iter().any(|at| written.at <= *at));
        missing.push(match (restored || forgot, returned) {
            (true, _) => Missing::Restored,
            (_, true) => Missing::Returned,
            _ => Missing::Lost(format!("{} of m{} at {} ms, m{reader}", written.text, written.author, written.at)),
        });
    })?;
    Ok(missing)
}

/// Every text that somebody should have read, and how often it is there.
fn each_due(town: &mut Town, mut f: impl FnMut(&Town, &Written, usize, usize)) -> Result<(), SimError> {
    let there = town.honest_members()?;
    let mut ids = BTreeMap::new();
    let mut read: BTreeMap<usize, BTreeMap<String, usize>> = BTreeMap::new();
    for number in there {
        let Some(member) = town.members.get_mut(number) else { continue };
        ids.insert(number, member.chat.cluster(CLUSTER)?.member);
        let texts: Vec<String> = member.rows("SELECT text FROM message")?;
        let counts = read.entry(number).or_default();
        for text in texts {
            let count = counts.entry(text).or_default();
            *count = count.saturating_add(1);
        }
    }
    for written in town.written.iter().filter(|written| ids.contains_key(&written.author)) {
        for (reader, id) in ids.iter().filter(|(reader, id)| **reader != written.author && written.readers.contains(*id)) {
            let count = read.get(reader).and_then(|texts| texts.get(&written.text)).copied().unwrap_or(0);
            let _ = id;
            f(town, written, *reader, count);
        }
    }
    Ok(())
}

/// All there is to say about a schedule that is over.
pub(super) fn outcome(town: &mut Town, mut hash: Sha256) -> Result<Outcome, SimError> {
    let mut outcome = Outcome { members: town.size, texts: town.written.len(), ..Outcome::default() };
    let disagreement = disagreement(town)?;
    outcome.converged = disagreement.is_none();
    outcome.why.extend(disagreement);
    each_due(town, |_, _, _, count| {
        outcome.due = outcome.due.saturating_add(1);
        outcome.doubled = outcome.doubled.saturating_add(usize::from(count > 1));
    })?;
    for missing in missing(town)? {
        let count = match missing {
            Missing::Lost(why) => {
                outcome.why.push(why);
                &mut outcome.lost
            }
            Missing::Restored => &mut outcome.lost_by_restored,
            Missing::Returned => &mut outcome.lost_to_returned,
        };
        *count = count.saturating_add(1);
    }
    (outcome.reused, outcome.guarded) = (town.seals.reused, town.seals.guarded);
    outcome.returned = town.members.iter().map(|member| member.returned.len()).sum();
    outcome.restored = town.members.iter().map(|member| member.restored.len()).sum();
    decided(town, &mut outcome)?;
    outcome.in_secret = in_secret(town)?;
    branched(town, &mut outcome)?;
    for number in town.honest_members()? {
        let Some(member) = town.members.get_mut(number) else { continue };
        hash.update(member.chat.cluster(CLUSTER)?.epoch.to_be_bytes());
        let mut rows = 0;
        for table in [
            "cluster_state",
            "cluster_pending",
            "cluster_motion",
            "cluster_ballot",
            "cluster_leave",
            "cluster_request",
            "cluster_part",
        ] {
            let counted: Vec<u64> = member.rows(&format!("SELECT count(*) FROM {table}"))?;
            rows = counted.first().map_or(rows, |counted| counted.saturating_add(rows));
        }
        outcome.rows = outcome.rows.max(rows);
    }
    if outcome.rows > CLUSTER_ROWS_MAX {
        outcome.why.push(format!("{} rows in one vault", outcome.rows));
    }
    outcome.trace = hex(&hash.finalize());
    Ok(outcome)
}

/// Whether every change of who is there was decided, or somebody left: by the audit, and by what it tells.
fn decided(town: &mut Town, outcome: &mut Outcome) -> Result<(), SimError> {
    for number in town.honest_members()? {
        let size = town.size;
        let Some(member) = town.members.get_mut(number) else { continue };
        let told = match member.chat.audit_cluster(CLUSTER) {
            Ok(told) => told,
            Err(ChatError::Refused(why)) => {
                outcome.uncertified = outcome.uncertified.saturating_add(1);
                outcome.why.push(format!("audit of m{number}: {why}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let lines: BTreeSet<String> = told.decided.into_iter().flat_map(|decided| decided.what).collect();
        let there: BTreeSet<String> = member.chat.cluster(CLUSTER)?.members.into_iter().map(|member| member.nick).collect();
        // What the founder called itself no decision tells, to whom came when it was gone.
        let first = usize::from(number >= size);
        let gone = (first..size).map(|number| format!("m{number}")).filter(|nick| !there.contains(nick));
        let unlawful = gone.filter(|nick| !["expel", "leave"].iter().any(|kind| lines.contains(&format!("{kind} {nick}"))));
        let came = there.iter().filter(|nick| nick.get(1..).and_then(|n| n.parse().ok()).is_none_or(|n: usize| n >= size));
        let unasked = came.filter(|nick| !lines.contains(&format!("admit {nick}"))).cloned();
        for nick in unlawful.chain(unasked) {
            outcome.uncertified = outcome.uncertified.saturating_add(1);
            outcome.why.push(format!("nobody decided about {nick}, as m{number} knows it"));
        }
    }
    Ok(())
}

/// How many decisions were voted on in secret and carried out, by what anybody knows.
fn in_secret(town: &mut Town) -> Result<usize, SimError> {
    let mut done = BTreeSet::new();
    for number in town.honest_members()? {
        let Some(member) = town.members.get_mut(number) else { continue };
        let secret =
            member.chat.motions(CLUSTER)?.into_iter().filter(|motion| motion.secret.is_some() && motion.kind != "question");
        done.extend(secret.filter(|motion| motion.done).map(|motion| motion.motion));
    }
    Ok(done.len())
}

/// How often, and how far, the states branched.
fn branched(town: &mut Town, outcome: &mut Outcome) -> Result<(), SimError> {
    let mut parents: BTreeMap<[u8; 16], ([u8; 16], u64)> = BTreeMap::new();
    let mut line: BTreeSet<[u8; 16]> = BTreeSet::new();
    let there = town.honest_members()?;
    for number in &there {
        let Some(member) = town.members.get_mut(*number) else { continue };
        parents.extend(member.steps()?);
        let mut at = member.tip()?;
        while let Some(state) = at.filter(|state| line.insert(*state)) {
            at = parents.get(&state).map(|(parent, _)| *parent);
        }
    }
    let mut children: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    for (parent, _) in parents.values() {
        let count = children.entry(*parent).or_default();
        *count = count.saturating_add(1);
    }
    outcome.forks = children.values().filter(|count| **count > 1).count();
    let depth = |state: &[u8; 16]| {
        let up = std::iter::successors(Some(*state), |state| parents.get(state).map(|(parent, _)| *parent));
        up.take_while(|state| !line.contains(state)).count()
    };
    outcome.deepest = parents.keys().map(depth).max().unwrap_or(0);
    let epochs = |f: fn(u64, u64) -> u64| parents.values().map(|(_, epoch)| *epoch).reduce(f).unwrap_or(0);
    outcome.epochs = epochs(u64::max).saturating_sub(epochs(u64::min));
    Ok(())
}

impl Outcome {
    /// Whether there is nothing to complain about.
    pub(super) fn is_good(&self) -> bool {
        self.converged && self.why.is_empty() && self.doubled == 0 && self.reused == 0
    }
}
