//! What a run came to.

use serde::Serialize;

use crate::report::Latency;

/// Figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteReport {
    /// Seed of the run.
    pub seed: u64,
    /// Nodes at the end.
    pub nodes: usize,
    /// Of these, malicious.
    pub byzantine: usize,
    /// Of these, behind a router.
    pub hidden: usize,
    /// Percent of the nodes that die in an hour.
    pub churn: f64,
    /// Nodes in a bucket.
    pub k: usize,
    /// Questions of a search under way.
    pub alpha: usize,
    /// Disjoint paths.
    pub paths: usize,
    /// Measured lookups: by live honest nodes, for live honest nodes that published their record.
    pub lookups: usize,
    /// Part of them that found the record that is the live one.
    pub lookup_success: f64,
    /// Part of them that found an older record of the node.
    pub lookup_stale: f64,
    /// Nodes that led to the record one after the other, where one was found.
    pub hops: Hops,
    /// From the start of a lookup to its end, virtual milliseconds, where a record was found.
    pub latency_ms: Latency,
    /// Nodes asked in one lookup.
    pub questions_per_lookup: f64,
    /// Nodes in the table of an honest node, on average.
    pub entries_mean: f64,
    /// The most.
    pub entries_max: usize,
    /// 20 log2(nodes): what the most should not exceed.
    pub entries_goal: f64,
    /// Part of these entries that are dead.
    pub entries_dead: f64,
    /// Part of these entries that are malicious.
    pub entries_byzantine: f64,
    /// Records kept for others by an honest node that can be dialled, on average.
    pub stored_mean: f64,
    /// The most.
    pub stored_max: usize,
    /// Keepers of a record when it was published, on average, as they said.
    pub keepers_mean: f64,
    /// Questions that an honest node asked in an hour without the measured lookups, newcomers' joining and publishing included.
    pub questions_per_node_hour: f64,
    /// Bytes of all questions and answers that an honest node sent in that hour, without what carries them.
    pub bytes_per_node_hour: f64,
    /// Questions that nobody answered in that hour because their asker asked too many.
    pub refused: u64,
    /// Virtual time of the whole run.
    pub virtual_ms: u64,
    /// SHA-256 over who came, published, found and died, and when, as hexadecimal.
    pub trace_hash: String,
}

/// Percentiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hops {
    /// Median.
    pub p50: Option<u64>,
    /// 95th percentile.
    pub p95: Option<u64>,
    /// The most.
    pub max: Option<u64>,
}

impl RouteReport {
    /// A table for people.
    pub fn table(&self) -> String {
        let or_never = |value: Option<u64>| value.map_or("never".into(), |value| value.to_string());
        let percent = |part: f64| format!("{:.2} %", part * 100.0);
        let spread = |p50, p95, max| format!("p50 {}, p95 {}, max {}", or_never(p50), or_never(p95), or_never(max));
        let Self { hops, latency_ms: latency, .. } = self;
        let rows = [
            ("nodes", format!("{} ({} malicious, {} behind a router)", self.nodes, self.byzantine, self.hidden)),
            ("churn", format!("{} % per hour", self.churn)),
            ("k, alpha, paths", format!("{}, {}, {}", self.k, self.alpha, self.paths)),
            ("lookups", format!("{}, found {}, stale {}", self.lookups, percent(self.lookup_success), percent(self.lookup_stale))),
            ("hops", spread(hops.p50, hops.p95, hops.max)),
            ("latency, ms", spread(latency.p50, latency.p95, latency.max)),
            ("asked per lookup", format!("{:.1}", self.questions_per_lookup)),
            (
                "entries",
                format!("{:.1} on average, {} at most; goal {:.0}", self.entries_mean, self.entries_max, self.entries_goal),
            ),
            ("of these", format!("{} dead, {} malicious", percent(self.entries_dead), percent(self.entries_byzantine))),
            ("records kept", format!("{:.1} on average, {} at most", self.stored_mean, self.stored_max)),
            ("keepers", format!("{:.1} of a record", self.keepers_mean)),
            ("per node and hour", {
                format!("{:.0} questions, {:.0} kB", self.questions_per_node_hour, self.bytes_per_node_hour / 1000.0)
            }),
            ("virtual time", format!("{:.0} s", self.virtual_ms as f64 / 1000.0)),
            ("trace", self.trace_hash.clone()),
        ];
        rows.map(|(name, value)| format!("{name:<18} {value}\n")).concat()
    }
}
