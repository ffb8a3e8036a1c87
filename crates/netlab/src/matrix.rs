//! Which NATs engines get through: peers behind every pairing, dialling each other by way of a relay.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::{
    engine::{Engine, Outcome},
    lab::{Family, Plan},
    limits::RATIO_MAX,
    nat::{Kind, Nat},
};

/// Kinds of NAT that peers are behind.
const KINDS: [Kind; 5] = [Kind::Full, Kind::Addr, Kind::Port, Kind::Eimnp, Kind::Sym];

/// Where a peer is. Written as its NAT, with the versions of IP unless it is IPv4 alone. IPv6 is filtered, not translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What it is behind.
    pub nat: Nat,
    /// What it speaks.
    pub family: Family,
}

impl Place {
    /// Whether there should be a direct path to `other`.
    pub fn meets(self, other: Self) -> bool {
        let v6 = self.family != Family::V4 && other.family != Family::V4;
        let v4 = self.family != Family::V6 && other.family != Family::V6;
        // A firewall without translation lets in who was sent something, as both are where they were seen.
        self.nat.udp && other.nat.udp && (v6 || v4 && self.nat.kind.meets(other.nat.kind))
    }
}

impl From<Nat> for Place {
    fn from(nat: Nat) -> Self {
        Self { nat, family: Family::V4 }
    }
}

impl From<Kind> for Place {
    fn from(kind: Kind) -> Self {
        Nat::from(kind).into()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = match self.family {
            Family::V4 => "",
            Family::V6 => "/v6",
            Family::Dual => "/dual",
        };
        f.pad(&format!("{}{versions}", self.nat))
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A pairing and how it went.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Where the dialler is.
    pub a: Place,
    /// Where the other is.
    pub b: Place,
    /// Whether there should be a direct path.
    pub direct_expected: bool,
    /// How the dial went.
    pub outcome: Option<Outcome>,
    /// What went wrong instead.
    pub error: Option<String>,
}

/// All cells of one engine.
#[derive(Debug, Serialize)]
pub struct Matrix {
    /// Who dialled.
    pub engine: &'static str,
    /// In the order of [`pairings`].
    pub cells: Vec<Cell>,
}

/// What is dialled: five by five kinds, those where UDP is blocked and those with IPv6; or a handful.
pub fn pairings(quick: bool) -> Vec<(Place, Place)> {
    let blocked = Nat::without_udp(Kind::Port);
    let with = |family| move |kind: Kind| Place { nat: kind.into(), family };
    let (v6, dual) = (with(Family::V6), with(Family::Dual));
    if quick {
        let kinds = [(Kind::Port, Kind::Port), (Kind::Port, Kind::Sym), (Kind::Full, Kind::Sym)];
        let rest = [(blocked.into(), Kind::Port.into()), (dual(Kind::Sym), dual(Kind::Sym)), (v6(Kind::Port), Kind::Port.into())];
        return kinds.map(|(a, b)| (a.into(), b.into())).into_iter().chain(rest).collect();
    }
    let grid = KINDS.into_iter().flat_map(|a| KINDS.map(|b| (a.into(), b.into())));
    let one = KINDS.into_iter().flat_map(|kind| [(kind.into(), blocked), (blocked, kind.into())]);
    let both = [(blocked, blocked), (blocked, Nat::without_udp(Kind::Sym))];
    let blocked_in = |family| Place { nat: blocked, family };
    let newer = [
        (v6(Kind::Port), v6(Kind::Port)),
        (dual(Kind::Port), dual(Kind::Port)),
        (dual(Kind::Sym), dual(Kind::Sym)),
        (Kind::Port.into(), dual(Kind::Port)),
        (dual(Kind::Port), Kind::Port.into()),
        (Kind::Sym.into(), dual(Kind::Sym)),
        // Who has nothing in common but a relay that speaks both.
        (v6(Kind::Port), Kind::Port.into()),
        (Kind::Port.into(), v6(Kind::Port)),
        (blocked_in(Family::V6), v6(Kind::Port)),
        (dual(Kind::Port), blocked_in(Family::Dual)),
    ];
    grid.chain(one.chain(both).map(|(a, b)| (a.into(), b.into()))).chain(newer).collect()
}

/// Dials every pairing with every engine, each time in a lab of its own, `jobs` at the same time, and waits up to `wait` for each
/// direct path. Engines take turns, so that what else the machine does meets them alike. `told` hears of each cell when it is done.
pub fn run(
    engines: &[&dyn Engine],
    pairings: &[(Place, Place)],
    wait: Duration,
    jobs: usize,
    told: &(dyn Fn(&'static str, &Cell) + Sync),
) -> Vec<Matrix> {
    let turns = pairings.iter().enumerate().flat_map(|(place, pair)| {
        let mut order: Vec<_> = engines.iter().enumerate().collect();
        // Nobody always comes first.
        order.rotate_left(place.checked_rem(engines.len()).unwrap_or_default());
        order.into_iter().map(move |(engine, dials)| ((engine, place), *dials, pair))
    });
    let next = Mutex::new(turns);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some((place, engine, &(a, b))) = { next.lock().unwrap_or_else(PoisonError::into_inner).next() } {
            let cell = dial(engine, a, b, wait);
            told(engine.name(), &cell);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, cell));
        }
    };
    thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    let of = |wanted| done.iter().filter(move |((engine, _), _)| *engine == wanted).map(|(_, cell)| cell.clone()).collect();
    engines.iter().enumerate().map(|(place, engine)| Matrix { engine: engine.name(), cells: of(place) }).collect()
}

fn dial(engine: &dyn Engine, a: Place, b: Place, wait: Duration) -> Cell {
    let attempt = || -> Result<Outcome> {
        let family = if a.family == b.family { a.family } else { Family::Dual };
        let lab = Plan::new().family(family).peer_of(a.nat, a.family).peer_of(b.nat, b.family).build()?;
        let (from, to) = (lab.peer(0)?.station(), lab.peer(1)?.station());
        let relay = engine.relay(lab.host(0)?)?;
        let listener = engine.listen(to, &relay)?;
        let outcome = engine.dial(from, &relay, &listener, wait)?;
        for station in [from, to, lab.host(0)?] {
            lab.assert_only_lab(station)?;
        }
        Ok(outcome)
    };
    let (outcome, error) = match attempt() {
        Ok(outcome) => (Some(outcome), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Cell { a, b, direct_expected: a.meets(b), outcome, error }
}

/// By how much the second engine's median time to a direct path exceeds the first's, over the pairings in which both have one.
pub fn ratio(first: &Matrix, second: &Matrix) -> Option<f64> {
    let direct = |cell: &Cell| cell.outcome.as_ref().and_then(|outcome| outcome.direct_ms);
    let both = first.cells.iter().zip(&second.cells).filter_map(|(a, b)| Some((direct(a)?, direct(b)?)));
    let (first, second): (Vec<f64>, Vec<f64>) = both.unzip();
    Some(middle(second.into_iter())? / middle(first.into_iter())?)
}

/// What is not as it must be, a sentence each; nothing if all is well.
pub fn failings(matrices: &[Matrix]) -> Vec<String> {
    let mut failings: Vec<String> =
        matrices.iter().flat_map(|matrix| matrix.cells.iter().filter_map(|cell| cell.failing(matrix.engine))).collect();
    if let [first, second] = matrices {
        let ratio = ratio(first, second);
        if ratio.is_none_or(|ratio| ratio > RATIO_MAX) {
            let is =
                ratio.map_or("cannot be told: they have no direct pairing in common".to_owned(), |ratio| format!("is {ratio:.2}"));
            failings.push(format!(
                "the median time to a direct path, {} : {}, {is}; at most {RATIO_MAX} is allowed",
                second.engine, first.engine
            ));
        }
    }
    failings
}

impl Cell {
    fn failing(&self, engine: &str) -> Option<String> {
        let pairing = format!("{engine}: {} x {}", self.a, self.b);
        match &self.outcome {
            None => Some(format!("{pairing} is not connected: {}", self.error.as_deref().unwrap_or("nobody said why"))),
            Some(outcome) if self.direct_expected && outcome.direct_ms.is_none() => {
                Some(format!("{pairing} must become direct and is relayed"))
            }
            Some(_) if !self.as_expected() => {
                Some(format!("{pairing} became direct, so the laboratory is not what it is said to be"))
            }
            Some(_) => None,
        }
    }

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
        let plain = |place: Place| place.nat.udp && place.family == Family::V4;
        for cell in self.cells.iter().filter(|cell| !(plain(cell.a) && plain(cell.b))) {
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

    fn cell(&self, a: Place, b: Place) -> String {
        self.cells.iter().find(|cell| cell.a == a && cell.b == b).map_or("-".to_owned(), Cell::short)
    }
}

fn median(times: impl Iterator<Item = f64>) -> String {
    middle(times).map_or("-".to_owned(), |ms| format!("{ms:.0} ms"))
}

/// The median.
pub(crate) fn middle(times: impl Iterator<Item = f64>) -> Option<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) / 2).copied()
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
        assert!(table.contains("sym/dual x sym/dual"), "{table}");
        assert!(table.contains("6 of 6 connected, 0 directly; medians: connected 90 ms"), "{table}");
    }

    #[test]
    fn the_whole_matrix_has_every_pairing_once_and_says_what_should_be_direct() {
        let all = pairings(false);
        assert_eq!(all.len(), 47);
        assert!((1..all.len()).all(|n| !all[..n].contains(&all[n])));
        // Of the grid, those that need no guessing of ports.
        assert_eq!(all[..25].iter().filter(|(a, b)| a.meets(*b)).count(), 20);
        assert!(all[25..37].iter().all(|(a, b)| !a.meets(*b)));
        // Where both speak IPv6, no NAT is in the way.
        assert_eq!(
            all[37..].iter().map(|(a, b)| a.meets(*b)).collect::<Vec<_>>(),
            [true, true, true, true, true, false, false, false, false, false]
        );
    }

    fn cell(direct_expected: bool, direct_ms: Option<f64>) -> Cell {
        Cell {
            a: Kind::Port.into(),
            b: Kind::Port.into(),
            direct_expected,
            outcome: Some(Outcome { connected_ms: 1.0, first_byte_ms: 1.0, direct_ms, path: String::new() }),
            error: None,
        }
    }

    fn matrix<const N: usize>(engine: &'static str, times: [Option<f64>; N]) -> Matrix {
        Matrix { engine, cells: times.map(|direct_ms| cell(true, direct_ms)).into() }
    }

    #[test]
    fn only_pairings_that_both_went_through_directly_are_compared() {
        let (bare, node) = (matrix("bare", [Some(100.0), Some(1.0), None]), matrix("node", [Some(110.0), None, Some(900.0)]));
        assert_eq!(ratio(&bare, &node), Some(1.1));
        assert_eq!(ratio(&bare, &matrix("node", [None; 3])), None);
    }

    #[test]
    fn a_run_fails_for_what_is_relayed_or_not_connected_or_slow_and_says_so() {
        let well = || [matrix("bare", [Some(100.0), Some(200.0)]), matrix("node", [Some(120.0), Some(200.0)])];
        assert_eq!(failings(&well()), [""; 0]);
        assert_eq!(failings(&well()[..1]), [""; 0], "one engine alone has no ratio");
        let with = |cell: Cell| {
            let [bare, mut node] = well();
            node.cells[1] = cell;
            failings(&[bare, node])
        };
        assert_eq!(with(cell(true, None)), ["node: port x port must become direct and is relayed"]);
        let broken = Cell { outcome: None, error: Some("no relay".to_owned()), ..cell(false, None) };
        assert_eq!(with(broken), ["node: port x port is not connected: no relay"]);
        assert_eq!(with(cell(false, Some(1.0))).len(), 1, "a NAT that lets through what it must not");
        assert_eq!(with(cell(false, None)), [""; 0]);
        let slow = [matrix("bare", [Some(100.0)]), matrix("node", [Some(121.0)])];
        assert_eq!(failings(&slow), ["the median time to a direct path, node : bare, is 1.21; at most 1.2 is allowed"]);
        assert_eq!(failings(&[matrix("bare", [None]), matrix("node", [None])]).len(), 3, "and without any there is no ratio");
    }
}
