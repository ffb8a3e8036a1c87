//! What a run came to.

use serde::Serialize;

/// Figures of one run. Receivers are the honest nodes that run at the end. Counts begin with the first measured message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Seed of the run.
    pub seed: u64,
    /// Nodes in all.
    pub nodes: usize,
    /// Receivers.
    pub live: usize,
    /// Malicious nodes.
    pub byzantine: usize,
    /// Measured messages.
    pub messages: usize,
    /// Part of all pairs of receiver and message where the one holds the other at the end.
    pub delivery_ratio: f64,
    /// Envelopes that came in per receiver and message, useful or not, pushed or asked for.
    pub copies_per_node: f64,
    /// Of these, those pushed along the tree.
    pub pushes_per_node: f64,
    /// From the author's log to the receiver's.
    pub latency_ms: Latency,
    /// The 99th percentile in delays of one link, without jitter.
    pub t99_link_delays: Option<f64>,
    /// Bytes of all frames that came in per receiver.
    pub bytes_per_node: f64,
    /// Frames that came in per receiver.
    pub frames_per_node: f64,
    /// Neighbours per receiver at the end.
    pub neighbours: f64,
    /// Whether all receivers hold the same envelopes at the end.
    pub converged: bool,
    /// Virtual time of the whole run.
    pub virtual_ms: u64,
    /// SHA-256 over who stored what and when, as hexadecimal.
    pub trace_hash: String,
}

/// Percentiles over all messages and those receivers that ran from the writing on, the author left out; `None` if never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: Option<u64>,
    /// 95th percentile.
    pub p95: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// The last of all.
    pub max: Option<u64>,
}

impl Latency {
    pub(crate) fn of(mut times: Vec<Option<u64>>) -> Self {
        times.sort_by_key(|time| time.unwrap_or(u64::MAX));
        let at = |percent: usize| {
            let index = times.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            times.get(index).copied().flatten()
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

impl Report {
    /// A table for people.
    pub fn table(&self) -> String {
        let ms = |time: Option<u64>| time.map_or("never".into(), |ms| format!("{ms} ms"));
        let t99 = self.t99_link_delays.map_or("never".into(), |delays| format!("{delays:.1} link delays"));
        let rows = [
            ("nodes", format!("{} ({} live and honest, {} malicious)", self.nodes, self.live, self.byzantine)),
            ("messages", self.messages.to_string()),
            ("delivered", format!("{:.4} %", self.delivery_ratio * 100.0)),
            ("copies per node", format!("{:.3} ({:.3} pushed)", self.copies_per_node, self.pushes_per_node)),
            ("latency p50", ms(self.latency_ms.p50)),
            ("latency p95", ms(self.latency_ms.p95)),
            ("latency p99", format!("{} = {t99}", ms(self.latency_ms.p99))),
            ("latency max", ms(self.latency_ms.max)),
            ("received per node", format!("{:.1} kB in {:.0} frames", self.bytes_per_node / 1000.0, self.frames_per_node)),
            ("neighbours", format!("{:.2}", self.neighbours)),
            ("converged", if self.converged { "yes" } else { "no" }.into()),
            ("virtual time", format!("{:.0} s", self.virtual_ms as f64 / 1000.0)),
            ("trace", self.trace_hash.clone()),
        ];
        rows.map(|(name, value)| format!("{name:<18} {value}\n")).concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_counts_as_the_slowest() {
        let times: Vec<_> = (1..=98).map(Some).chain([None, None]).collect();
        let latency = Latency::of(times);
        assert_eq!((latency.p50, latency.p95, latency.p99), (Some(50), Some(95), None));
        assert_eq!(Latency::of(Vec::new()).p50, None);
    }
}
