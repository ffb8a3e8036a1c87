//! One schedule: members, the network between them, and what happens when.

use std::collections::{BTreeMap, BTreeSet};

use samizdat_chat::mls::watch;
use samizdat_core::EnvelopeId;
use samizdat_store::Log;
use samizdat_sync::draw::Draw;
use sha2::{Digest, Sha256};

use super::{
    check::{self, Missing, Outcome},
    crowd::Crowds,
    mallory::Mallory,
    member::{Backup, CLUSTER, Letter, Member},
    plan::ClusterPlan,
    seals::Seals,
};
use crate::{
    limits::{
        CLUSTER_CALM_MS, CLUSTER_HEAL_STEPS_MAX, CLUSTER_LONG_SIZE_MAX, CLUSTER_LOSS_MAX, CLUSTER_NAP_MS, CLUSTER_NEAR_MS, HOUR_MS,
        LOG_BUDGET, UNIX_START_MS,
    },
    queue::Queue,
    world::SimError,
};

#[derive(Debug)]
pub(super) enum Event {
    Wake(usize),
    Deliver { to: usize, letter: usize },
    Stamped { member: usize, id: EnvelopeId },
    Meet(usize),
    Act,
}

/// A text, and who was there when it was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) author: usize,
    pub(super) text: String,
    pub(super) at: u64,
    /// Members by their ids.
    pub(super) readers: BTreeSet<String>,
}

pub(super) struct Town {
    pub(super) members: Vec<Member>,
    pub(super) letters: Vec<Letter>,
    pub(super) now: u64,
    pub(super) draw: Draw,
    pub(super) written: Vec<Written>,
    pub(super) seals: Seals,
    pub(super) backup: Option<(usize, Backup)>,
    /// Members at the start.
    pub(super) size: usize,
    /// The last virtual ms of the storm.
    pub(super) end: u64,
    pub(super) mallory: Mallory,
    log: Log,
    ids: BTreeMap<EnvelopeId, usize>,
    queue: Queue<Event>,
    loss: u64,
    storm: bool,
    hash: Sha256,
}

/// Plays the schedule of a seed.
pub(super) fn play(plan: &ClusterPlan, seed: u64, crowds: &mut Crowds) -> Result<Outcome, SimError> {
    let mut town = Town::new(plan, seed, crowds)?;
    town.storm()?;
    town.heal()
}

impl Town {
    fn new(plan: &ClusterPlan, seed: u64, crowds: &mut Crowds) -> Result<Self, SimError> {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(seed.to_be_bytes()).for_each(|(to, from)| *to = from);
        let mut draw = Draw::new(bytes);
        let lots = plan.sizes().flat_map(|(size, weight)| (0..weight).map(move |_| size));
        let size = draw.pick(lots).ok_or(SimError::Node(0))?;
        let (mut members, now) = crowds.copy(size, &mut draw)?;
        watch::begin();
        let percent = usize::try_from(plan.byzantine).unwrap_or(0);
        let malicious = size.saturating_mul(percent).div_ceil(100);
        members.iter_mut().rev().take(malicious).for_each(|member| member.malicious = true);
        // Beyond the window, which only few can afford.
        let long = size <= CLUSTER_LONG_SIZE_MAX && draw.percent(5);
        let hours = if long { 90_u64.saturating_add(draw.below(30)) } else { 8_u64.saturating_add(draw.below(22)) };
        let end = now.saturating_add(hours.saturating_mul(HOUR_MS));
        let loss = draw.below(CLUSTER_LOSS_MAX);
        let mut town = Self {
            members,
            letters: Vec::new(),
            now,
            draw,
            written: Vec::new(),
            seals: Seals::default(),
            backup: None,
            size,
            end,
            mallory: Mallory::default(),
            log: Log::in_memory(LOG_BUDGET)?,
            ids: BTreeMap::new(),
            queue: Queue::new(),
            loss,
            storm: true,
            hash: Sha256::new(),
        };
        if long {
            let away = usize::try_from(town.draw.below(size.saturating_sub(malicious) as u64)).unwrap_or(0);
            let asleep = town.draw.percent(50);
            town.with(away, |member| (member.online, member.asleep) = (false, asleep));
        }
        Ok(town)
    }

    pub(super) fn with<T>(&mut self, member: usize, f: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.members.get_mut(member).map(f)
    }

    /// Everything goes wrong that may.
    fn storm(&mut self) -> Result<(), SimError> {
        let acts = 16_u64.saturating_add(self.draw.below(32));
        let length = self.end.saturating_sub(self.now);
        for _ in 0..acts {
            let at = self.now.saturating_add(self.draw.below(length));
            self.queue.push(at, Event::Act);
        }
        for member in 0..self.members.len() {
            self.wake(member, self.now)?;
            self.meet_again(member);
        }
        self.run_to(self.end)
    }

    /// Everybody reaches everybody, until nothing more happens.
    fn heal(mut self) -> Result<Outcome, SimError> {
        self.bring_together()?;
        let hash = self.hash.clone();
        check::outcome(&mut self, hash)
    }

    fn bring_together(&mut self) -> Result<(), SimError> {
        self.mallory_shows_what_it_held_back()?;
        self.storm = false;
        self.loss = 0;
        for member in 0..self.members.len() {
            self.with(member, |member| (member.online, member.asleep, member.part) = (true, false, 0));
            self.wake(member, self.now)?;
            self.queue.push(self.now, Event::Meet(member));
        }
        let mut calm = false;
        for _ in 0..CLUSTER_HEAL_STEPS_MAX {
            let until = self.now.saturating_add(CLUSTER_CALM_MS);
            self.run_to(until)?;
            // What is not read for a known reason never will be.
            let waits = |missing: &Missing| matches!(missing, Missing::Lost(_));
            let good = check::is_converged(self)? && !check::missing(self)?.iter().any(waits);
            if good && calm {
                break;
            }
            calm = good;
        }
        Ok(())
    }

    fn run_to(&mut self, end: u64) -> Result<(), SimError> {
        while let Some((at, event)) = self.queue.pop_until(end) {
            self.now = self.now.max(at);
            self.happen(event)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), SimError> {
        match event {
            Event::Act => self.act(),
            Event::Meet(member) => self.meet(member),
            Event::Wake(member) => self.woken(member),
            Event::Stamped { member, id } => self.stamped(member, &id),
            Event::Deliver { to, letter } => self.deliver(to, letter),
        }
    }

    /// Wakes a member at a moment, unless it wakes before.
    pub(super) fn wake(&mut self, member: usize, at: u64) -> Result<(), SimError> {
        let Some(asleep) = self.members.get_mut(member) else { return Ok(()) };
        if !asleep.asleep && at < asleep.wake {
            asleep.wake = at;
            self.queue.push(at, Event::Wake(member));
        }
        Ok(())
    }

    fn woken(&mut self, number: usize) -> Result<(), SimError> {
        let now = self.now;
        let Some(member) = self.members.get_mut(number).filter(|member| member.wake <= now) else { return Ok(()) };
        member.wake = u64::MAX;
        if member.asleep {
            return Ok(());
        }
        let sealed = member.work(&self.log, &self.letters, now)?;
        self.seals.inner(&sealed);
        for waiting in member.outbox()? {
            let spread = if waiting.urgent { 3_000 } else { 600_000 };
            let at = now.saturating_add(self.draw.below(spread));
            self.queue.push(at, Event::Stamped { member: number, id: waiting.id });
        }
        let begins = UNIX_START_MS.saturating_add(member.ahead);
        let due = member.chat.next_due().map_or(u64::MAX, |due| due.saturating_sub(begins).max(now.saturating_add(1)));
        // A machine that is looked at now and then; but who has something to do does it.
        let nap = if due.saturating_sub(now) > CLUSTER_NEAR_MS && self.storm { self.draw.below(CLUSTER_NAP_MS) } else { 0 };
        if due < u64::MAX {
            self.wake(number, due.saturating_add(nap))?;
        }
        Ok(())
    }

    fn stamped(&mut self, number: usize, id: &EnvelopeId) -> Result<(), SimError> {
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        if member.asleep {
            // Once it is awake it is stamped anew.
            member.stamping.remove(id);
            return Ok(());
        }
        if let Some(letter) = member.stamped(id)? {
            self.publish(number, letter)?;
        }
        self.wake(number, self.now.saturating_add(1_000))
    }

    /// Puts an envelope into its author's log, and pushes it to whoever is connected.
    pub(super) fn publish(&mut self, author: usize, letter: Letter) -> Result<(), SimError> {
        self.seals.outer(letter.tag, letter.unstamped.body());
        let id = letter.id;
        let number = *self.ids.entry(id).or_insert(self.letters.len());
        if number == self.letters.len() {
            self.letters.push(letter);
        }
        let Some(member) = self.members.get_mut(author) else { return Ok(()) };
        member.has.insert(number);
        let (part, online) = (member.part, member.online);
        let others = if online { self.connected(author, part) } else { Vec::new() };
        if !others.is_empty() {
            self.with(author, |member| member.chat.held(&id)).transpose()?;
        }
        for to in others {
            if !self.draw.percent(self.loss) {
                let slow = if self.draw.percent(10) { 60_000 } else { 4_000 };
                let at = self.now.saturating_add(50).saturating_add(self.draw.below(slow));
                self.queue.push(at, Event::Deliver { to, letter: number });
            }
        }
        Ok(())
    }

    fn connected(&self, number: usize, part: u64) -> Vec<usize> {
        let there = self.members.iter().enumerate();
        let there = there.filter(move |(other, member)| *other != number && member.online && member.part == part);
        there.map(|(other, _)| other).collect()
    }

    fn deliver(&mut self, to: usize, letter: usize) -> Result<(), SimError> {
        let now = self.now;
        let Some(member) = self.members.get_mut(to).filter(|member| member.online) else { return Ok(()) };
        if member.receive(letter, &self.letters, now)? {
            self.hash.update(now.to_be_bytes());
            self.hash.update((to as u64).to_be_bytes());
            self.hash.update((letter as u64).to_be_bytes());
            let soon = self.draw.below(2_000);
            self.wake(to, now.saturating_add(soon))?;
        }
        Ok(())
    }

    /// Two logs become one, but for what is over.
    fn meet(&mut self, number: usize) -> Result<(), SimError> {
        self.meet_again(number);
        let Some(member) = self.members.get(number).filter(|member| member.online) else { return Ok(()) };
        let part = member.part;
        let others = self.connected(number, part);
        let Some(other) = self.draw.pick(others) else { return Ok(()) };
        for id in self.with(number, |member| member.chat.unpublished()).transpose()?.unwrap_or_default() {
            self.with(number, |member| member.chat.held(&id)).transpose()?;
        }
        let hour = u32::try_from(UNIX_START_MS.saturating_add(self.now) / HOUR_MS).unwrap_or(u32::MAX);
        for (to, from) in [(number, other), (other, number)] {
            let (Some(reader), Some(giver)) = (self.members.get(to), self.members.get(from)) else { continue };
            let alive = |number: &usize| self.letters.get(*number).is_some_and(|letter| letter.expires > hour);
            let missing: Vec<usize> = giver.has.difference(&reader.has).copied().filter(alive).collect();
            for letter in missing {
                let at = self.now.saturating_add(self.draw.below(2_000));
                self.queue.push(at, Event::Deliver { to, letter });
            }
        }
        Ok(())
    }

    pub(super) fn meet_again(&mut self, member: usize) {
        let every = if self.storm { 15 * 60_000 } else { 60_000 };
        let at = self.now.saturating_add(self.draw.around(every));
        self.queue.push(at, Event::Meet(member));
    }

    /// Who stays to be asked: honest, and a member by its own account.
    pub(super) fn honest_members(&mut self) -> Result<Vec<usize>, SimError> {
        let mut there = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate().filter(|(_, member)| !member.malicious) {
            if member.chat.cluster(CLUSTER)?.standing == samizdat_chat::Standing::Member {
                there.push(number);
            }
        }
        Ok(there)
    }
}

#[cfg(test)]
mod tests;
