//! Somebody who owns one network and as many keys as he likes does not surround those who live in many.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, missing_docs)]

mod world;

use std::net::Ipv4Addr;

use samizdat_core::PeerId;
use samizdat_sync::limits::{ACTIVE_TARGET, KNOWN_PER_PREFIX, VIEW_PER_PREFIX};
use samizdat_sync::networks::{Network, Networks};
use world::{World, peer};

const HONEST: usize = 20;
const KEYS: usize = 1_000;
/// So many of them are there at the same time; who leaves makes room for a fresh one.
const AT_ONCE: usize = 100;

/// The honest live each in a network of his own, all of Mallory's keys in one.
fn home(node: usize) -> Network {
    let ip = match u8::try_from(node) {
        Ok(node) if usize::from(node) < HONEST => Ipv4Addr::new(198, 51, node, 1),
        _ => Ipv4Addr::new(203, 0, 113, 9),
    };
    Network::of_link(Some(ip.into()))
}

fn networks() -> Networks {
    Networks::by(|addr| {
        let node = std::str::from_utf8(addr).ok().and_then(|text| text.strip_prefix("node-")?.parse().ok());
        node.map(home).into_iter().collect()
    })
}

fn mallorys(peers: impl Iterator<Item = PeerId>) -> usize {
    peers.filter(|known| (HONEST..HONEST + KEYS).any(|n| peer(n) == *known)).count()
}

#[test]
fn a_thousand_keys_of_one_network_do_not_take_over_the_neighbourhood() {
    let mut world = World::new(HONEST, 7);
    world.place = home;
    world.nodes.iter_mut().for_each(|node| node.gossip.read_networks(networks()));
    world.join_all();
    world.run(30_000);
    // They follow the protocol, and each comes to one of the honest, urgently, and tells of the others.
    for n in 0..KEYS {
        let node = world.add();
        world.learn(node, n % HONEST);
        if n >= AT_ONCE {
            world.stop(node - AT_ONCE);
        }
        world.run(20);
    }
    world.run(30_000);
    for node in 0..HONEST {
        let gossip = &world.nodes[node].gossip;
        let (all, hers) = (gossip.peers().count(), mallorys(gossip.peers().map(|status| status.peer)));
        assert!(hers <= VIEW_PER_PREFIX, "node {node} has {hers} neighbours of hers");
        assert!(all - hers >= ACTIVE_TARGET - VIEW_PER_PREFIX, "node {node} has {} honest neighbours", all - hers);
        let remembered = mallorys(gossip.remembered().into_iter().map(|(peer, _)| peer));
        assert!(remembered <= KNOWN_PER_PREFIX + VIEW_PER_PREFIX, "node {node} remembers {remembered} of hers");
    }
    // And what the honest say among themselves arrives.
    let id = world.publish(3, "still here");
    world.run(5_000);
    assert!((0..HONEST).all(|node| world.has(node, &id)));
}
