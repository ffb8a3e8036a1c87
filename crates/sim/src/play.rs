//! Plays a scenario.

use samizdat_core::EnvelopeId;

use crate::{
    limits::{CHURN_TICK_MS, QUIET_MS},
    network::chance,
    report::{Latency, Report},
    scenario::Scenario,
    vice::Vice,
    world::{SimError, World},
};

/// What the scenario does at some moment.
#[derive(Debug, Clone, Copy)]
enum Act {
    WarmUp,
    Kill,
    Measure,
    Write,
    Churn,
    Rotate,
    Part(f64),
    Heal,
}

/// Plays a scenario and measures.
pub fn play(scenario: &Scenario) -> Result<Report, SimError> {
    let mut story = Story::new(scenario)?;
    let (script, end) = script(scenario);
    for (at, act) in script {
        story.world.run_to(at)?;
        story.act(act)?;
    }
    story.world.run_to(end)?;
    Ok(story.report())
}

struct Story<'a> {
    scenario: &'a Scenario,
    world: World,
    doomed: Vec<usize>,
    messages: Vec<Written>,
}

struct Written {
    id: EnvelopeId,
    author: usize,
    at: u64,
}

/// Everything that is going to happen, in order, and when the run ends.
fn script(scenario: &Scenario) -> (Vec<(u64, Act)>, u64) {
    let seconds = |s: u64| s.saturating_mul(1_000);
    let writing = |count: usize| scenario.messages.interval_ms.saturating_mul(count as u64);
    let write = |from: u64, count: usize, act: Act| (0..count).map(move |n| (from.saturating_add(writing(n)), act));

    let warm_up = seconds(scenario.times.settle_s);
    let kill = warm_up.saturating_add(writing(scenario.messages.warmup)).saturating_add(QUIET_MS);
    let measure = kill.saturating_add(seconds(scenario.times.dead_s));
    let written = measure.saturating_add(writing(scenario.messages.count));
    let mut script = vec![(kill, Act::Kill), (measure, Act::Measure)];
    for partition in &scenario.partition {
        script.push((measure.saturating_add(seconds(partition.from_s)), Act::Part(partition.share)));
        script.push((measure.saturating_add(seconds(partition.to_s)), Act::Heal));
    }
    let ticks = (written.saturating_sub(measure) / CHURN_TICK_MS).max(1);
    let mut at_each_tick =
        |act: Act| script.extend((0..ticks).map(|n| (measure.saturating_add(n.saturating_mul(CHURN_TICK_MS)), act)));
    if scenario.churn.is_some() {
        at_each_tick(Act::Churn);
    }
    if scenario.rotation.is_some() {
        at_each_tick(Act::Rotate);
    }
    script.extend(write(warm_up, scenario.messages.warmup, Act::WarmUp));
    script.extend(write(measure, scenario.messages.count, Act::Write));
    script.sort_by_key(|(at, _)| *at);
    let last = script.last().map_or(written, |(at, _)| written.max(*at));
    (script, last.saturating_add(seconds(scenario.times.after_s)))
}

impl<'a> Story<'a> {
    fn new(scenario: &'a Scenario) -> Result<Self, SimError> {
        let mut world = World::new(scenario.link, scenario.seed);
        let starting = scenario.times.settle_s.saturating_mul(500);
        for n in 0..scenario.nodes {
            let known = world.draw().sample(0..n, scenario.known);
            let start = starting.saturating_mul(n as u64).checked_div(scenario.nodes as u64).unwrap_or(0);
            world.add(&known, start)?;
        }
        let part = |share: f64| (scenario.nodes as f64 * share) as usize;
        let (dead, malicious) = (part(scenario.dead), part(scenario.byzantine));
        let mut doomed = world.draw().sample(0..scenario.nodes, dead.saturating_add(malicious));
        let bad = doomed.split_off(dead.min(doomed.len()));
        bad.into_iter().zip(Vice::ALL.into_iter().cycle()).for_each(|(node, vice)| world.tempt(node, vice));
        Ok(Self { scenario, world, doomed, messages: Vec::new() })
    }

    fn act(&mut self, act: Act) -> Result<(), SimError> {
        match act {
            Act::WarmUp => {
                let author = self.author();
                self.write(author)?;
            }
            Act::Kill => self.doomed.iter().for_each(|node| self.world.kill(*node)),
            Act::Measure => {
                self.world.count_anew();
                self.messages.clear();
            }
            Act::Write => {
                let author = self.author();
                self.write(author)?;
            }
            Act::Churn => self.churn(),
            Act::Rotate => self.rotate()?,
            Act::Part(share) => {
                let first = (self.scenario.nodes as f64 * share) as usize;
                self.world.part(|node| node < first);
            }
            Act::Heal => self.world.heal(),
        }
        Ok(())
    }

    /// An honest node that runs and will go on.
    fn author(&mut self) -> Option<usize> {
        let able = |n: &usize| self.is_receiver(*n) && !self.doomed.contains(n);
        let able: Vec<usize> = (0..self.scenario.nodes).filter(able).collect();
        self.world.draw().pick(able)
    }

    fn write(&mut self, author: Option<usize>) -> Result<(), SimError> {
        let Some(author) = author else { return Ok(()) };
        let id = self.world.publish(author, &"x".repeat(self.scenario.messages.size))?;
        self.messages.push(Written { id, author, at: self.world.now() });
        Ok(())
    }

    fn churn(&mut self) {
        let Some(churn) = &self.scenario.churn else { return };
        let leaves = churn.per_minute * (CHURN_TICK_MS as f64) / 60_000.0;
        for node in 0..self.scenario.nodes {
            if self.is_receiver(node) && chance(self.world.draw(), leaves) {
                let away = self.world.draw().around(churn.away_s.saturating_mul(1_000));
                self.world.stop(node);
                self.world.start_in(node, away);
            }
        }
    }

    fn rotate(&mut self) -> Result<(), SimError> {
        let Some(rotation) = &self.scenario.rotation else { return Ok(()) };
        let rotate = rotation.per_minute * (CHURN_TICK_MS as f64) / 60_000.0;
        for node in 0..self.scenario.nodes {
            if self.is_receiver(node) && chance(self.world.draw(), rotate) {
                self.world.rotate(node)?;
            }
        }
        Ok(())
    }

    fn is_receiver(&self, node: usize) -> bool {
        self.world.vice(node).is_none() && self.world.engine(node).is_some()
    }

    fn report(&self) -> Report {
        let receivers: Vec<usize> = (0..self.scenario.nodes).filter(|n| self.is_receiver(*n)).collect();
        let mut held = 0usize;
        let mut times = Vec::new();
        for message in &self.messages {
            let stored = self.world.stored(&message.id);
            for node in &receivers {
                let at = stored.and_then(|stored| stored.get(node)).copied();
                held = held.saturating_add(usize::from(at.is_some()));
                let was_there = self.world.running_since(*node).is_some_and(|since| since <= message.at);
                if *node != message.author && was_there {
                    times.push(at.map(|at| at.saturating_sub(message.at)));
                }
            }
        }
        let pairs = (receivers.len() as f64) * (self.messages.len() as f64);
        let sum = |count: &dyn Fn(usize) -> u64| receivers.iter().map(|n| count(*n)).fold(0u64, u64::saturating_add) as f64;
        let pushed = sum(&|n| self.world.counts(n).pushed);
        let filled = sum(&|n| self.world.counts(n).filled);
        let live = receivers.len() as f64;
        let latency_ms = Latency::of(times);
        Report {
            seed: self.scenario.seed,
            nodes: self.scenario.nodes,
            live: receivers.len(),
            byzantine: (0..self.scenario.nodes).filter(|n| self.world.vice(*n).is_some()).count(),
            messages: self.messages.len(),
            delivery_ratio: held as f64 / pairs,
            copies_per_node: (pushed + filled) / pairs,
            pushes_per_node: pushed / pairs,
            t99_link_delays: latency_ms.p99.map(|ms| ms as f64 / self.scenario.link.delay_ms as f64),
            latency_ms,
            bytes_per_node: sum(&|n| self.world.counts(n).bytes) / live,
            frames_per_node: sum(&|n| self.world.counts(n).frames) / live,
            neighbours: sum(&|n| self.world.engine(n).map_or(0, |engine| engine.peers().count() as u64)) / live,
            converged: self.world.converged(|n| self.world.vice(n).is_none()),
            virtual_ms: self.world.now(),
            trace_hash: self.world.trace_hash(),
        }
    }
}
