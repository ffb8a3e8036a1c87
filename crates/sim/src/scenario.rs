//! A story for the simulator, as it stands in a TOML file.

use samizdat_core::limits::TEXT_MAX;
use serde::Deserialize;

use crate::limits::{MESSAGES_MAX, NODES_MAX};

/// What a scenario file says. All but `nodes`, `link` and `messages` may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// How many nodes.
    pub nodes: usize,
    /// How many nodes that were there before it each one is told of at its first start.
    #[serde(default = "three")]
    pub known: usize,
    /// Everything that is left to chance follows from it.
    #[serde(default)]
    pub seed: u64,
    /// Part of the nodes that die before the measured messages, without a goodbye.
    #[serde(default)]
    pub dead: f64,
    /// Part of the nodes that are malicious, each with one of the vices of [`crate::Vice`].
    #[serde(default)]
    pub byzantine: f64,
    /// Connections.
    pub link: Link,
    /// Messages.
    pub messages: Messages,
    /// When what happens.
    #[serde(default)]
    pub times: Times,
    /// Nodes leave and come back while the messages are written.
    pub churn: Option<Churn>,
    /// Nodes change their transport keys while the messages are written.
    pub rotation: Option<Rotation>,
    /// Partitions.
    #[serde(default)]
    pub partition: Vec<Partition>,
}

/// Every connection.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// One way, milliseconds.
    pub delay_ms: u64,
    /// At most so much more, drawn for each frame.
    #[serde(default)]
    pub jitter_ms: u64,
    /// Part of the packets that is lost.
    #[serde(default)]
    pub loss: f64,
    /// Part of the lost packets that take their connection with them.
    #[serde(default)]
    pub breaks: f64,
    /// What a node can send, kilobit per second, all connections together; without it there is no bound.
    pub kbit_per_s: Option<u64>,
}

/// Posts in a public room, by random honest nodes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// How many are measured.
    pub count: usize,
    /// How many before those, so that the broadcast tree forms.
    #[serde(default)]
    pub warmup: usize,
    /// Text of each, bytes.
    pub size: usize,
    /// Between two of them, milliseconds.
    pub interval_ms: u64,
}

/// Seconds of virtual time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// In the first half of this time the nodes start, one after the other; in the second half they find each other.
    pub settle_s: u64,
    /// From the deaths to the first measured message. Connections to the dead are given up after 30 s.
    pub dead_s: u64,
    /// After the last message.
    pub after_s: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { settle_s: 120, dead_s: 60, after_s: 60 }
    }
}

/// Coming and going, with all stores kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Part of the nodes that leave per minute.
    pub per_minute: f64,
    /// How long they stay away, give or take a quarter, seconds.
    pub away_s: u64,
}

/// Other transport keys, without a restart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Part of the nodes that rotate per minute.
    pub per_minute: f64,
}

/// The first part of the nodes and the rest cannot reach each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Seconds after the first measured message.
    pub from_s: u64,
    /// Seconds after the first measured message.
    pub to_s: u64,
    /// Size of the first part, of 1.
    pub share: f64,
}

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML, or not the fields of a scenario.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A number that makes no sense.
    #[error("{0}")]
    Range(&'static str),
}

impl Scenario {
    /// Reads a scenario file.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether its numbers make sense; to be asked again when some were changed.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let parts = [self.dead, self.byzantine, self.link.loss, self.link.breaks];
        let shares = self.partition.iter().map(|partition| partition.share);
        let churn = self.churn.iter().map(|churn| churn.per_minute / 60.0);
        let churn = churn.chain(self.rotation.iter().map(|rotation| rotation.per_minute / 60.0));
        let holds = |holds: bool, otherwise: &'static str| if holds { Ok(()) } else { Err(ScenarioError::Range(otherwise)) };
        holds((2..=NODES_MAX).contains(&self.nodes), "nodes: 2 to 20000")?;
        holds(parts.into_iter().chain(shares).chain(churn).all(|part| (0.0..=1.0).contains(&part)), "a part lies between 0 and 1")?;
        holds(self.dead + self.byzantine < 0.9, "dead and byzantine: somebody honest must be left")?;
        holds(self.link.loss <= 0.5, "loss: at most 0.5, no connection lives through more")?;
        holds(self.link.delay_ms > 0, "delay_ms: more than 0")?;
        holds(self.link.kbit_per_s != Some(0), "kbit_per_s: more than 0")?;
        holds(self.messages.count.saturating_add(self.messages.warmup) <= MESSAGES_MAX, "messages: at most 10000")?;
        holds(self.messages.size <= TEXT_MAX, "size: at most 32768")
    }
}

fn three() -> usize {
    3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let text = "nodes = 5\n[link]\ndelay_ms = 10\n[messages]\ncount = 1\nsize = 10\ninterval_ms = 10\n";
        assert!(Scenario::read(text).is_ok());
        let with = |from: &str, to: &str| Scenario::read(&text.replace(from, to)).is_err();
        assert!(with("nodes = 5", "nodes = 1"));
        assert!(with("nodes = 5", "nodes = 5\ndead = 2.0"));
        assert!(with("nodes = 5", "nodes = 5\nnods = 1"));
        assert!(with("delay_ms = 10", "delay_ms = 10\nloss = 0.6"));
    }
}
