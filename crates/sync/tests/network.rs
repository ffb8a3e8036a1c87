//! Stories of whole networks: who ends up with what, and at which price.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, missing_docs)]

mod world;

use samizdat_core::Hour;
use samizdat_sync::Frame;
use samizdat_sync::draw::Draw;
use samizdat_sync::limits::{ACTIVE_MAX, ACTIVE_TARGET};
use world::{HOUR, World};

#[test]
fn two_nodes_talk_and_the_author_learns_that_it_is_held() {
    let mut world = World::new(2, 1);
    let early = world.publish(0, "written before anybody was there");
    world.join_all();
    assert!(world.run_until(2_000, |w| w.everybody_has(&[early])));
    let late = world.publish(1, "hello");
    assert!(world.run_until(1_000, |w| w.everybody_has(&[late])));
    world.run(500);
    assert!(world.nodes[0].held.contains(&early) && world.nodes[1].held.contains(&late));
}

#[test]
fn in_a_small_network_everybody_is_connected_to_everybody() {
    let mut world = World::new(6, 2);
    world.join_all();
    world.run(60_000);
    for node in 0..6 {
        assert_eq!(world.degree(node), 5, "node {node}");
    }
}

#[test]
fn a_large_network_is_connected_with_capped_degree() {
    let mut world = World::new(200, 3);
    world.join_all();
    world.run(60_000);
    assert!(world.is_connected());
    let degrees: Vec<usize> = (0..200).map(|n| world.degree(n)).collect();
    assert!(degrees.iter().all(|d| *d <= ACTIVE_MAX), "{degrees:?}");
    let low = degrees.iter().filter(|d| **d < ACTIVE_TARGET - 1).count();
    assert!(low <= 10, "{low} nodes have too few neighbours: {degrees:?}");
}

#[test]
fn two_hundred_nodes_get_everything_at_less_than_two_copies_each() {
    let mut world = World::new(200, 4);
    world.join_all();
    world.run(60_000);
    let before: u64 = world.nodes.iter().map(|n| n.copies).sum();
    let mut ids = Vec::new();
    for n in 0..60 {
        let author = world.draw.below(200) as usize;
        ids.push(world.publish(author, &format!("steady {n}")));
        world.run(400);
    }
    world.run(10_000);
    let copies = world.nodes.iter().map(|n| n.copies).sum::<u64>() - before;
    assert!(world.everybody_has(&ids));
    assert!(world.everybody_agrees());
    let per_node = copies as f64 / (60.0 * 199.0);
    println!("copies per node and envelope: {per_node:.3}");
    assert!(per_node <= 1.75, "{per_node}");
}

#[test]
fn a_newcomer_gets_a_long_log_from_one_neighbour_only() {
    let mut world = World::new(8, 5);
    for n in 0..3000 {
        for node in 0..7 {
            world.preload(node, HOUR - 100 + n / 30, &format!("old {n}"));
        }
    }
    (1..7).for_each(|n| world.learn(n, 0));
    world.run(30_000);
    world.nodes.iter_mut().for_each(|n| n.copies = 0);
    world.learn(7, 0);
    assert!(world.run_until(60_000, |w| w.everybody_agrees()));
    world.run(60_000);
    assert_eq!(world.nodes[7].log.len(), 3000);
    let copies = world.nodes[7].copies;
    assert!(copies <= 3300, "{copies} copies of 3000 envelopes");
    let others: u64 = world.nodes[..7].iter().map(|n| n.copies).sum();
    assert!(others <= 300, "{others} useless copies elsewhere");
}

#[test]
fn nothing_is_lost_while_connections_break_and_nodes_come_and_go() {
    let mut world = World::new(40, 6);
    world.join_all();
    world.run(20_000);
    let mut ids = Vec::new();
    for round in 0..20 {
        world.shake(6);
        let leaves = 1 + world.draw.below(39) as usize;
        world.stop(leaves);
        for n in 0..4 {
            let author = (round * 4 + n) % 40;
            if world.nodes[author].up {
                ids.push(world.publish(author, &format!("{round}.{n}")));
            }
            world.run(700);
        }
        world.start(leaves);
        world.run(300);
    }
    assert!(world.run_until(180_000, |w| w.everybody_has(&ids)));
    assert!(world.is_connected());
}

#[test]
fn the_halves_of_a_network_find_each_other_after_a_partition() {
    let mut world = World::new(40, 7);
    world.join_all();
    world.run(60_000);
    world.part(0..20);
    world.run(120_000);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.publish(n, &format!("left {n}")));
        ids.push(world.publish(20 + n, &format!("right {n}")));
        world.run(1_000);
    }
    world.run(20_000);
    assert!(!world.everybody_has(&ids));
    world.heal();
    let start = world.now;
    assert!(world.run_until(400_000, |w| w.everybody_has(&ids)));
    println!("healed after {} s", (world.now - start) / 1000);
}

#[test]
fn a_restarted_node_learns_again_that_its_envelopes_are_held() {
    let mut world = World::new(3, 8);
    world.join_all();
    let held = world.publish(0, "spread before the restart");
    world.run(3_000);
    world.stop(0);
    world.nodes[0].held.clear();
    let alone = world.preload(0, HOUR, "written while nobody was there");
    world.start(0);
    world.nodes[0].gossip.watch(Hour(HOUR), held);
    world.nodes[0].gossip.watch(Hour(HOUR), alone);
    assert!(world.run_until(10_000, |w| w.nodes[0].held.contains(&held) && w.nodes[0].held.contains(&alone)));
    assert!(world.run_until(5_000, |w| w.everybody_has(&[held, alone])));
}

#[test]
fn everybody_finds_everybody_again_after_a_power_cut() {
    let mut world = World::new(12, 9);
    world.join_all();
    world.run(60_000);
    (0..12).for_each(|n| world.stop(n));
    world.run(10_000);
    // Node 0, which all joined by, stays away.
    (1..12).for_each(|n| world.start(n));
    assert!(world.run_until(60_000, |w| w.is_connected()));
    let id = world.publish(5, "still there");
    assert!(world.run_until(5_000, |w| w.everybody_has(&[id])));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::new(15, 10);
        world.join_all();
        for n in 0..10 {
            world.publish(n, &format!("{n}"));
            world.run(500);
        }
        world.nodes.iter().map(|n| (n.frames, n.bytes_in, n.copies)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn one_who_garbles_everything_it_passes_on_does_not_stop_the_others() {
    let mut world = World::new(20, 11);
    let mut draw = Draw::new([11; 32]);
    world.spy = Some(Box::new(move |from, _, bytes| {
        if from == 3 && bytes.len() > 40 {
            match draw.below(3) {
                0 => bytes.reverse(),
                1 => bytes.truncate(20),
                // A well-formed push of an envelope that does not verify.
                _ => *bytes = Frame::Push { envelope: vec![0; 60] }.encode(),
            }
        }
    }));
    world.join_all();
    world.run(30_000);
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(world.publish(if n % 20 == 3 { 4 } else { n % 20 }, &format!("{n}")));
        world.run(500);
    }
    let honest = |w: &World| (0..20).filter(|n| *n != 3).all(|n| ids.iter().all(|id| w.nodes[n].log.contains_key(id)));
    assert!(world.run_until(120_000, honest));
}
