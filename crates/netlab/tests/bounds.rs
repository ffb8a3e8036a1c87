//! Floods and outages leave a node as it was.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use samizdat_net::Limits;
use samizdat_netlab::{
    Program,
    absence::{Away, absence},
    flap::flap,
    flood::flood,
    permitted,
};

fn node() -> Program {
    Program::node(env!("CARGO_BIN_EXE_netlab").into())
}

#[test]
fn strangers_do_not_push_out_who_is_known() {
    if !permitted("a node is flooded") {
        return;
    }
    // A thousand by `cargo xtask netlab flood`.
    let flood = flood(&node(), 100).unwrap();
    assert!(flood.passed(Limits::default().inbound as u64), "{}", flood.text());
    assert_eq!(flood.strangers.came, 100);
}

#[test]
fn a_network_that_goes_down_and_up_costs_neither_words_nor_tasks() {
    if !permitted("a network goes down and up") {
        return;
    }
    // A hundred times by `cargo xtask netlab flap`.
    let flap = flap(&node(), 6).unwrap();
    assert!(flap.passed(), "{}\n{:?}", flap.text(), flap.reports);
}

#[test]
fn who_is_cut_off_while_relayed_for_longer_than_a_link_lives_comes_back_and_nothing_is_lost() {
    if !permitted("an outage while relayed") {
        return;
    }
    let absence = absence(&node(), Away::Network).unwrap();
    assert!(absence.passed(), "{}\n{:?}", absence.line(), absence.reports);
}

#[test]
fn who_punches_and_vanishes_is_given_up_and_leaves_nothing_behind() {
    if !permitted("a peer that punches and vanishes") {
        return;
    }
    let absence = absence(&node(), Away::Puncher).unwrap();
    assert!(absence.passed(), "{}\n{:?}", absence.line(), absence.reports);
}
