//! Clusters that schedules begin with, each made once: everybody came by one link, and nobody has said anything yet.

use std::collections::{BTreeMap, btree_map::Entry};

use samizdat_chat::{Chat, Standing};
use samizdat_cluster::Charter;
use samizdat_store::{Log, Vault};
use samizdat_sync::draw::Draw;

use super::member::{CLUSTER, Letter, Member};
use crate::{
    limits::{CLUSTER_BUILD_STEP_MS, CLUSTER_BUILD_STEPS_MAX, CLUSTER_ROLLOUT_HOURS, CLUSTER_SKEW_MS, LOG_BUDGET},
    node::random,
    world::SimError,
};

/// One cluster at rest.
#[derive(Debug)]
struct Crowd {
    vaults: Vec<Vault>,
    at: u64,
}

/// Clusters by size.
#[derive(Debug, Default)]
pub(super) struct Crowds(BTreeMap<usize, Crowd>);

impl Crowds {
    /// Another copy of the cluster of so many, and the virtual time at which it was at rest.
    pub(super) fn copy(&mut self, size: usize, draw: &mut Draw) -> Result<(Vec<Member>, u64), SimError> {
        let crowd = match self.0.entry(size) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(none) => none.insert(Crowd::gather(size)?),
        };
        let members = crowd.vaults.iter().map(|vault| {
            let ahead = draw.below(CLUSTER_SKEW_MS);
            Member::new(vault.copy()?, Draw::new(random(draw)), ahead)
        });
        Ok((members.collect::<Result<_, SimError>>()?, crowd.at))
    }
}

impl Crowd {
    fn gather(size: usize) -> Result<Self, SimError> {
        let mut draw = Draw::new([u8::try_from(size).unwrap_or(0); 32]);
        let log = Log::in_memory(LOG_BUDGET)?;
        let mut letters = Vec::new();
        let mut members = Vec::new();
        for _ in 0..size {
            members.push(Member::new(Vault::in_memory(Chat::MIGRATIONS)?, Draw::new(random(&mut draw)), 0)?);
        }
        let mut now = 0;
        let Some((founder, others)) = members.split_first_mut() else { return Err(SimError::Node(0)) };
        let charter = charter()?;
        founder.chat.found_cluster(&charter, "m0", founder.now(now))?;
        let link = founder.chat.invite_to_cluster(CLUSTER, "", 7, founder.now(now))?;
        for (number, other) in others.iter_mut().enumerate() {
            let nick = format!("m{}", number.saturating_add(1));
            other.chat.join_cluster(&link, &nick, "", other.now(now))?;
        }
        for _ in 0..CLUSTER_BUILD_STEPS_MAX {
            mingle(&mut members, &log, &mut letters, now)?;
            if at_rest(&mut members)? {
                let vaults = members.iter().map(|member| member.chat.vault().copy()).collect::<Result<_, _>>()?;
                return Ok(Self { vaults, at: now });
            }
            now = now.saturating_add(CLUSTER_BUILD_STEP_MS);
        }
        Err(SimError::Node(size))
    }
}

fn charter() -> Result<Charter, SimError> {
    let charter = Charter::new("nest").map_err(|_| SimError::Text)?;
    // Nobody is dropped for being away: what became of them is what is asked here.
    Ok(Charter { rollout_hours: CLUSTER_ROLLOUT_HOURS, cap: 100, automatic_ballots: false, ..charter })
}

/// Everybody gets everything at once, until nobody has anything to say. Copies that live longer are left out.
fn mingle(members: &mut [Member], log: &Log, letters: &mut Vec<Letter>, now: u64) -> Result<(), SimError> {
    loop {
        let from = letters.len();
        for member in members.iter_mut() {
            member.work(log, letters, now)?;
            for waiting in member.outbox()? {
                if let Some(letter) = member.stamped(&waiting.id)? {
                    member.chat.held(&waiting.id)?;
                    if waiting.urgent {
                        member.has.insert(letters.len());
                        letters.push(letter);
                    }
                }
            }
        }
        for number in from..letters.len() {
            members.iter_mut().try_for_each(|member| member.receive(number, letters, now).map(|_| ()))?;
        }
        if letters.len() == from {
            return Ok(());
        }
    }
}

/// Whether all are in, in one state, and have spoken in it.
fn at_rest(members: &mut [Member]) -> Result<bool, SimError> {
    let size = members.len();
    let mut state = None;
    for member in members {
        let cluster = member.chat.cluster(CLUSTER)?;
        let here = cluster.members.iter().filter(|member| member.here).count();
        let same = *state.get_or_insert_with(|| cluster.state.clone()) == cluster.state;
        if !same || cluster.standing != Standing::Member || here < size {
            return Ok(false);
        }
    }
    Ok(true)
}
