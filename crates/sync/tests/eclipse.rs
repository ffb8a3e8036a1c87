//! Somebody who owns one network, or hides behind relays, and has as many keys as he likes does not surround the others.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, missing_docs)]

mod world;

use std::net::Ipv4Addr;

use samizdat_sync::limits::{ACTIVE_MAX, ACTIVE_TARGET, CHOSEN_MIN};
use samizdat_sync::networks::{Network, Networks};
use world::{World, peer};

const HONEST: usize = 40;
/// Keys of Mallory that are there at the same time.
const KEYS: usize = 200;
const MINUTE: u64 = 60_000;

/// The honest live each in a network of his own, all of Mallory's keys in one.
fn apart(node: usize) -> Network {
    let ip = match u8::try_from(node) {
        Ok(node) if usize::from(node) < HONEST => Ipv4Addr::new(198, 51, node, 1),
        _ => Ipv4Addr::new(203, 0, 113, 9),
    };
    Network::of_link(Some(ip.into()))
}

/// Every third of the honest can be seen, the others and Mallory are behind relays.
fn mixed(node: usize) -> Network {
    if node.is_multiple_of(3) { apart(node) } else { Network::Hidden }
}

fn hidden(_: usize) -> Network {
    Network::Hidden
}

fn number(addr: &[u8]) -> Option<usize> {
    std::str::from_utf8(addr).ok()?.strip_prefix("node-")?.parse().ok()
}

/// A network of the honest that has been there for a while.
fn settled(place: fn(usize) -> Network, networks: Networks, seed: u8, ms: u64) -> World {
    let mut world = World::new(HONEST, seed);
    world.place = place;
    world.nodes.iter_mut().for_each(|node| node.gossip.read_networks(networks));
    world.join_all();
    world.run(ms);
    world
}

/// All her keys come within a few seconds, each to one of the honest, follow the protocol, press, and tell of each other.
fn flood(world: &mut World) {
    for n in 0..KEYS {
        let node = world.add();
        world.learn(node, n % HONEST);
        world.run(20);
    }
}

/// Neighbours of a node: honest, hers.
fn sides(world: &World, node: usize) -> (usize, usize) {
    let honest = |of: &samizdat_core::PeerId| (0..HONEST).any(|n| peer(n) == *of);
    let all = world.nodes[node].gossip.peers().count();
    let honest = world.nodes[node].gossip.peers().filter(|status| honest(&status.peer)).count();
    (honest, all - honest)
}

fn all_sides(world: &World) -> Vec<(usize, usize)> {
    (0..HONEST).map(|node| sides(world, node)).collect()
}

/// The honest among all neighbours of the honest, in a hundred.
fn share(sides: &[(usize, usize)]) -> usize {
    let (honest, hers) = sides.iter().fold((0, 0), |(a, b), (honest, hers)| (a + honest, b + hers));
    100 * honest / (honest + hers).max(1)
}

/// What one of the honest says comes to all of them, by themselves if need be.
fn still_talk(world: &mut World) {
    let id = world.publish(3, "still here");
    world.run(5_000);
    assert!((0..HONEST).all(|node| world.has(node, &id)));
}

#[test]
fn two_hundred_keys_of_one_network_do_not_surround_anybody() {
    let networks = Networks::by(|addr| number(addr).map(apart).into_iter().collect());
    let mut world = settled(apart, networks, 7, MINUTE);
    flood(&mut world);
    world.run(20 * MINUTE);
    let sides = all_sides(&world);
    println!("{}% honest: {sides:?}", share(&sides));
    assert!(share(&sides) >= 75, "{sides:?}");
    assert!(sides.iter().all(|(honest, _)| *honest >= CHOSEN_MIN), "{sides:?}");
    still_talk(&mut world);
}

#[test]
fn whoever_starts_while_one_network_floods_finds_the_honest() {
    let networks = Networks::by(|addr| number(addr).map(apart).into_iter().collect());
    let mut world = settled(apart, networks, 8, MINUTE);
    flood(&mut world);
    for node in 5..15 {
        world.stop(node);
        world.run(1_000);
        world.start(node);
        world.nodes[node].gossip.read_networks(networks);
    }
    world.run(10 * MINUTE);
    let sides = all_sides(&world);
    println!("{}% honest: {sides:?}", share(&sides));
    assert!(sides.iter().all(|(honest, _)| *honest >= CHOSEN_MIN - 1), "{sides:?}");
    still_talk(&mut world);
}

#[test]
fn two_hundred_keys_behind_relays_do_not_push_out_those_who_were_there() {
    for (seed, place, least) in [(9, hidden as fn(usize) -> Network, 75), (10, mixed, 75)] {
        let networks =
            Networks::by(if seed == 9 { |_| vec![Network::Hidden] } else { |addr| number(addr).map(mixed).into_iter().collect() });
        let mut world = settled(place, networks, seed, 15 * MINUTE);
        flood(&mut world);
        world.run(20 * MINUTE);
        let sides = all_sides(&world);
        println!("{}% honest: {sides:?}", share(&sides));
        assert!(share(&sides) >= least, "{sides:?}");
        assert!(sides.iter().all(|(honest, _)| *honest >= CHOSEN_MIN), "{sides:?}");
        still_talk(&mut world);
    }
}

#[test]
fn where_all_are_hidden_they_form_one_network_and_find_each_other_again() {
    let mut world = World::new(100, 11);
    world.nodes.iter_mut().for_each(|node| node.gossip.read_networks(Networks::by(|_| vec![Network::Hidden])));
    world.join_all();
    world.run(2 * MINUTE);
    assert!(world.is_connected());
    let degrees: Vec<usize> = (0..100).map(|n| world.degree(n)).collect();
    println!("{degrees:?}");
    assert!(degrees.iter().all(|degree| *degree <= ACTIVE_MAX), "{degrees:?}");
    let low = degrees.iter().filter(|degree| **degree < ACTIVE_TARGET - 1).count();
    assert!(low <= 5, "{low} have too few neighbours: {degrees:?}");

    world.part(0..50);
    world.run(3 * MINUTE);
    let ids: Vec<_> = (0..10).map(|n| world.publish(n * 10, &format!("of part {}", n / 5))).collect();
    world.run(5_000);
    assert!(!world.everybody_has(&ids));
    world.heal();
    let start = world.now;
    assert!(world.run_until(10 * MINUTE, |world| world.everybody_has(&ids)));
    println!("healed after {} s", (world.now - start) / 1000);
}
