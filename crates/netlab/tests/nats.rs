//! Every kind of NAT maps and filters as its name says, and its packet filter for IPv6 as well.
#![cfg(target_os = "linux")]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use samizdat_netlab::{
    Nat, permitted,
    probe::{Verdict, probe},
};

fn as_said(v6: bool) {
    for nat in Nat::all() {
        assert_eq!(probe(nat, v6).unwrap_or_else(|error| panic!("{nat}: {error:#}")), Verdict::expected(nat, v6), "{nat}");
    }
}

#[test]
fn every_kind_of_nat_is_what_it_is_said_to_be() {
    if permitted("NATs are probed") {
        as_said(false);
    }
}

#[test]
fn the_firewall_for_ipv6_is_what_it_is_said_to_be() {
    if permitted("firewalls are probed") {
        as_said(true);
    }
}
