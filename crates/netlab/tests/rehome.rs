//! Conversations survive the death of their relay and a change of address.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use samizdat_netlab::{
    Program, permitted,
    rehome::{Loss, trial},
};

fn survives(loss: Loss) {
    if !permitted(loss.name()) {
        return;
    }
    let trial = trial(&Program::node(env!("CARGO_BIN_EXE_netlab").into()), loss).unwrap();
    // How long it took is for `cargo xtask netlab rehome` to say.
    assert!(trial.reports.iter().all(|report| report.lost == 0), "{}\n{:?}", trial.line(), trial.reports);
}

#[test]
fn when_the_relay_between_two_dies_they_go_on_by_the_next() {
    survives(Loss::Relay);
}

#[test]
fn who_is_reached_through_another_relay_finds_out_as_well() {
    survives(Loss::RelayOfOne);
}

#[test]
fn a_relay_whose_machine_falls_silent_is_left_for_the_next() {
    survives(Loss::SilentRelay);
}

#[test]
fn a_relay_that_drops_delays_and_reorders_loses_nothing() {
    survives(Loss::RoughRelay);
}

#[test]
fn who_moves_to_another_network_goes_on_talking() {
    survives(Loss::Network);
}
