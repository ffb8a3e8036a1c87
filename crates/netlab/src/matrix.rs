//! Which NATs an engine gets through: peers behind every pairing, dialling each other by way of a relay.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    engine::{Engine, Outcome},
    lab::Plan,
    nat::{Kind, Nat},
};

/// Kinds of NAT that peers are behind.
const KINDS: [Kind; 5] = [Kind::Full, Kind::Addr, Kind::Port, Kind::Eimnp, Kind::Sym];

/// A pairing and how it went.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// What the dialler is behind.
    #[serde(serialize_with = "display")]
    pub a: Nat,
    /// What the other is behind.
    #[serde(serialize_with = "display")]
    pub b: Nat,
    /// Whether there should be a direct path.
    pub direct_expected: bool,
    /// How the dial went.
    pub outcome: Option<Outcome>,
    /// What went wrong instead.
    pub error: Option<String>,
}

fn display<S: serde::Serializer>(nat: &Nat, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(nat)
}

/// All cells.
#[derive(Debug, Serialize)]
pub struct Matrix {
    /// Who dialled.
    pub engine: &'static str,
    /// In the order of [`pairings`].
    pub cells: Vec<Cell>,
}

/// What is dialled: five by five kinds and those where UDP is blocked, or a handful.
pub fn pairings(quick: bool) -> Vec<(Nat, Nat)> {
    let blocked = Nat::without_udp(Kind::Port);
    if quick {
        let kinds = [(Kind::Port, Kind::Port), (Kind::Port, Kind::Sym), (Kind::Full, Kind::Sym)];
        return kinds.map(|(a, b)| (a.into(), b.into())).into_iter().chain([(blocked, Kind::Port.into())]).collect();
    }
    let grid = KINDS.into_iter().flat_map(|a| KINDS.map(|b| (a.into(), b.into())));
    let port = Kind::Port.into();
    let rest = [(port, blocked), (blocked, port), (blocked, blocked), (blocked, Nat::without_udp(Kind::Sym))];
    grid.chain(rest).collect()
}

/// Dials every pairing in a lab of its own, `jobs` at the same time, and waits up to `wait` for each direct path. `told` hears of
/// each cell when it is done.
pub fn run(engine: &dyn Engine, pairings: &[(Nat, Nat)], wait: Duration, jobs: usize, told: &(dyn Fn(&Cell) + Sync)) -> Matrix {
    let next = Mutex::new(pairings.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some((place, &(a, b))) = { next.lock().unwrap_or_else(PoisonError::into_inner).next() } {
            let cell = dial(engine, a, b, wait);
            told(&cell);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, cell));
        }
    };
    thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    Matrix { engine: engine.name(), cells: done.into_iter().map(|(_, cell)| cell).collect() }
}

fn dial(engine: &dyn Engine, a: Nat, b: Nat, wait: Duration) -> Cell {
    let attempt = || -> Result<Outcome> {
        let lab = Plan::new().peer(a).peer(b).build()?;
        let (from, to) = (lab.peer(0)?.station(), lab.peer(1)?.station());
        let relay = engine.relay(lab.host(0)?)?;
        let listener = engine.listen(to, &relay)?;
        let outcome = engine.dial(from, &relay, &listener, wait)?;
        for station in [from, to, lab.host(0)?] {
            lab.assert_only_lab(station)?;
        }
        Ok(outcome)
    };
    let direct_expected = a.udp && b.udp && a.kind.meets(b.kind);
    let (outcome, error) = match attempt() {
        Ok(outcome) => (Some(outcome), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Cell { a, b, direct_expected, outcome, error }
}

impl Cell {
    /// Whether it came out as it should.
    pub fn as_expected(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.direct_ms.is_some() == self.direct_expected)
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let what = match (&self.outcome, &self.error) {
            (Some(Outcome { connected_ms, first_byte_ms, direct_ms, path }), _) => {
                let direct = direct_ms.map_or("relayed".to_owned(), |ms| format!("direct after {ms:.0} ms"));
                format!("{direct:<20} connected {connected_ms:.0} ms, first byte {first_byte_ms:.0} ms, {path}")
            }
            (None, error) => format!("failed: {}", error.as_deref().unwrap_or_default()),
        };
        let mark = if self.as_expected() { "" } else { "  NOT AS EXPECTED" };
        format!("{:>11} x {:<11} {what}{mark}", self.a, self.b)
    }

    fn short(&self) -> String {
        let direct = self.outcome.as_ref().map(|outcome| outcome.direct_ms);
        let text = direct.map_or("failed".to_owned(), |ms| ms.map_or("relayed".to_owned(), |ms| format!("{ms:.0} ms")));
        if self.as_expected() { text } else { format!("{text} !") }
    }
}

impl Matrix {
    /// Whether all came out as they should.
    pub fn as_expected(&self) -> bool {
        self.cells.iter().all(Cell::as_expected)
    }

    /// A table for people: when packets went directly, and the medians.
    pub fn table(&self) -> String {
        let mut text = format!("{}: dialler at the left, `!` where it is not as expected\n\n", self.engine);
        let mut write = |line: &str| {
            text.push_str(line.trim_end());
            text.push('\n');
        };
        let head: String = KINDS.iter().map(|kind| format!("{:<12}", Nat::from(*kind))).collect();
        write(&format!("{:>11}   {head}", ""));
        for a in KINDS {
            let row: String = KINDS.iter().map(|b| format!("{:<12}", self.cell(a.into(), (*b).into()))).collect();
            write(&format!("{:>11}   {row}", Nat::from(a)));
        }
        for cell in self.cells.iter().filter(|cell| !(cell.a.udp && cell.b.udp)) {
            write(&cell.line());
        }
        let outcomes = || self.cells.iter().filter_map(|cell| cell.outcome.as_ref());
        write(&format!(
            "\n{} of {} connected, {} directly; medians: connected {}, first byte {}, direct {}",
            outcomes().count(),
            self.cells.len(),
            outcomes().filter(|outcome| outcome.direct_ms.is_some()).count(),
            median(outcomes().map(|outcome| outcome.connected_ms)),
            median(outcomes().map(|outcome| outcome.first_byte_ms)),
            median(outcomes().filter_map(|outcome| outcome.direct_ms)),
        ));
        text
    }

    fn cell(&self, a: Nat, b: Nat) -> String {
        self.cells.iter().find(|cell| cell.a == a && cell.b == b).map_or("-".to_owned(), Cell::short)
    }
}

fn median(times: impl Iterator<Item = f64>) -> String {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) / 2).map_or("-".to_owned(), |ms| format!("{ms:.0} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_every_cell_and_marks_surprises() {
        let outcome = Outcome { connected_ms: 90.0, first_byte_ms: 180.0, direct_ms: None, path: "the relay".to_owned() };
        let relayed = |(a, b)| Cell { a, b, direct_expected: a == b, outcome: Some(outcome.clone()), error: None };
        let matrix = Matrix { engine: "test", cells: pairings(true).into_iter().map(relayed).collect() };
        assert!(!matrix.as_expected());
        let table = matrix.table();
        assert!(table.contains("relayed !") && table.contains("port-noudp x port"), "{table}");
        assert!(table.contains("4 of 4 connected, 0 directly; medians: connected 90 ms"), "{table}");
    }

    #[test]
    fn the_whole_matrix_has_every_pairing_once() {
        let all = pairings(false);
        assert_eq!(all.len(), 29);
        assert!((1..all.len()).all(|n| !all[..n].contains(&all[n])));
    }
}
