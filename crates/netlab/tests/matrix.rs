//! Both engines get through what can be got through, and stay on the relay elsewhere.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::{path::PathBuf, time::Duration};

use samizdat_netlab::{Engine, Family, Kind, Link, Nat, Plan, Program, matrix, permitted};

/// A direct path comes within a third of a second. The whole of it is waited only where there is none.
const WAIT: Duration = Duration::from_secs(5);

fn engines() -> [Program; 2] {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_netlab"));
    [Program::bare(program.clone()), Program::node(program)]
}

#[test]
fn a_handful_of_pairings_comes_out_as_expected() {
    if !permitted("pairings of NATs are dialled") {
        return;
    }
    let [bare, node] = engines();
    let matrices = matrix::run(&[&bare, &node], &matrix::pairings(true), WAIT, 4, &|_, _| ());
    assert_eq!(matrices.iter().map(|matrix| (matrix.engine, matrix.cells.len())).collect::<Vec<_>>(), [("bare", 6), ("node", 6)]);
    for matrix in matrices {
        assert!(matrix.as_expected(), "{}\n{:?}", matrix.table(), matrix.cells);
        assert!(matrix.cells.iter().any(|cell| cell.a == Nat::without_udp(Kind::Port).into()));
    }
}

#[test]
fn a_connection_comes_about_over_a_bad_link_and_over_ipv6() {
    if !permitted("connections over bad links and IPv6") {
        return;
    }
    let ms = Duration::from_millis;
    for (family, engine) in [Family::V4, Family::V6].into_iter().flat_map(|family| engines().map(|engine| (family, engine))) {
        let bad = Link { up: true, delay: ms(10), jitter: ms(10), loss: 0.02 };
        let plan = Plan::new().family(family).access(bad).seed(7).peer(Kind::Port).peer(Kind::Port);
        let lab = plan.build().unwrap();
        let (alice, bob) = (lab.peer(0).unwrap().station(), lab.peer(1).unwrap().station());
        let relay = engine.relay(lab.host(0).unwrap()).unwrap();
        let listener = engine.listen(bob, &relay).unwrap();
        // What was lost is repeated, so only patience is needed.
        let outcome = engine.dial(alice, &relay, &listener, WAIT * 6).unwrap();
        assert!(outcome.direct_ms.is_some(), "{} {family:?}: {outcome:?}", engine.name());
        lab.assert_only_lab(alice).unwrap();
        lab.assert_only_lab(bob).unwrap();
    }
}
