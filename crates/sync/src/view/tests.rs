//! What one view does: with peers that fail, move, crowd in or fall silent.
#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::limits::VIEW_PER_PREFIX;

const HIDDEN: Network = Network::Hidden;

fn id(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn addr(n: u8) -> PeerAddr {
    PeerAddr(vec![n])
}

/// Runs the view for so long; every dial fails at once. Returns the times of the dials.
fn dials_in_vain(view: &mut View, draw: &mut Draw, until: u64) -> Vec<u64> {
    let (mut now, mut dials) = (1, Vec::new());
    while now < until {
        view.poll(now, draw);
        for act in view.take_acts() {
            if let Act::Dial(peer, _) = act {
                dials.push(now);
                view.dial_failed(peer, now, draw);
            }
        }
        match view.next_timeout() {
            Some(at) => now = now.max(at),
            None => break,
        }
    }
    dials
}

#[test]
fn a_peer_that_cannot_be_reached_is_tried_ever_more_rarely_and_forgotten() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.learn(id(1), addr(1), false, &mut draw);
    let dials = dials_in_vain(&mut view, &mut draw, 86_400_000);
    assert_eq!(dials.len(), usize::from(FAILURES_MAX));
    assert!(dials.windows(3).all(|w| w[2] - w[1] > (w[1] - w[0]) * 9 / 10));
    assert!(view.remembered().is_empty());
}

#[test]
fn a_trusted_peer_is_tried_for_ever_and_at_once_when_named_again() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.learn(id(1), addr(1), true, &mut draw);
    let dials = dials_in_vain(&mut view, &mut draw, 86_400_000);
    assert!(dials.len() > 500 && dials.windows(2).all(|w| w[1] - w[0] <= BACKOFF_MAX_MS * 5 / 4));
    view.learn(id(1), addr(2), true, &mut draw);
    view.poll(dials[dials.len() - 1] + 1, &mut draw);
    assert_eq!(view.take_acts(), [Act::Dial(id(1), addr(2))]);
}

#[test]
fn a_lost_neighbour_is_replaced_from_the_passive_view() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    (1..=20).for_each(|n| view.learn(id(n), addr(n), false, &mut draw));
    let mut now = 1;
    let mut settle = |view: &mut View, draw: &mut Draw| {
        for _ in 0..20 {
            now += 1_000;
            view.poll(now, draw);
            for act in view.take_acts() {
                if let Act::Dial(peer, at) = act {
                    view.connected(peer, at, true, HIDDEN, now, draw);
                    view.handle(peer, Frame::Welcome, now, draw);
                }
            }
        }
        now
    };
    settle(&mut view, &mut draw);
    assert_eq!(view.active().count(), ACTIVE_TARGET);
    let first = *view.active().next().unwrap().0;
    let now = settle(&mut view, &mut draw);
    view.disconnected(first, now, &mut draw);
    settle(&mut view, &mut draw);
    assert_eq!(view.active().count(), ACTIVE_TARGET);
}

#[test]
fn whoever_is_somewhere_else_now_is_dialled_there_at_once() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.learn(id(1), addr(1), false, &mut draw);
    let dials = dials_in_vain(&mut view, &mut draw, 10_000);
    let now = dials[dials.len() - 1] + 1;
    view.learn(id(1), addr(1), false, &mut draw);
    view.poll(now, &mut draw);
    assert!(view.take_acts().is_empty(), "nothing new");
    view.learn(id(1), addr(2), false, &mut draw);
    view.poll(now + 1, &mut draw);
    assert_eq!(view.take_acts(), [Act::Dial(id(1), addr(2))]);
}

#[test]
fn whoever_moves_tells_all_neighbours_and_they_tell_others() {
    let (mut alice, mut bob, mut draw) = (View::new(id(0), addr(0)), View::new(id(1), addr(1)), Draw::new([1; 32]));
    (1..=5).for_each(|n| {
        alice.connected(id(n), addr(n), true, HIDDEN, 1, &mut draw);
        alice.handle(id(n), Frame::Welcome, 1, &mut draw);
    });
    bob.connected(id(0), addr(0), false, HIDDEN, 1, &mut draw);
    bob.handle(id(0), Frame::Join { addr: addr(0) }, 1, &mut draw);
    alice.poll(40_000, &mut draw);
    alice.take_acts();
    alice.set_own_addr(addr(9));
    alice.poll(40_001, &mut draw);
    assert!(alice.take_acts().is_empty(), "whoever was told something just now would not listen");
    let at = alice.next_timeout().unwrap_or_default();
    assert!((45_001..50_000).contains(&at));
    alice.poll(at, &mut draw);
    let told = alice.take_acts();
    let shuffles = told.into_iter().filter_map(|act| match act {
        Act::Send(_, frame @ Frame::Shuffle { .. }) => Some(frame),
        _ => None,
    });
    let shuffles: Vec<Frame> = shuffles.collect();
    assert_eq!(shuffles.len(), 5);
    shuffles.into_iter().take(1).for_each(|frame| assert!(bob.handle(id(0), frame, at, &mut draw)));
    assert!(bob.remembered().contains(&(id(0), addr(9))));
    alice.set_own_addr(addr(9));
    alice.poll(at + 1, &mut draw);
    assert!(alice.take_acts().is_empty(), "nothing changed");
}

#[test]
fn under_another_key_nobody_is_told_whom_the_old_one_met() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    (1..=3).for_each(|n| {
        view.connected(id(n), addr(n), true, HIDDEN, 1, &mut draw);
        view.handle(id(n), Frame::Welcome, 1, &mut draw);
    });
    view.disconnected(id(3), 2, &mut draw);
    assert_eq!(view.sample(&id(1), HIDDEN, &mut draw).len(), 2, "the neighbour, and the one that was there");

    view.take_acts();
    view.renew(id(9), addr(9));
    let downs = view.take_acts();
    assert_eq!(downs, [Act::Down(id(1)), Act::Down(id(2))], "nothing is said to those of the old key");
    view.connected(id(1), addr(1), true, HIDDEN, 10_000, &mut draw);
    view.handle(id(1), Frame::Welcome, 10_000, &mut draw);
    let joins = |act: &Act| matches!(act, Act::Send(_, Frame::Join { addr: told }) if *told == addr(9));
    assert!(view.take_acts().iter().any(joins));
    assert_eq!(view.sample(&id(1), HIDDEN, &mut draw), []);
    assert_eq!(view.remembered().len(), 3, "but they are known, and dialled");
}

/// Alice has neighbours far away and beside her, and an address for each; those of whom Mallory tells are beside her, too.
#[test]
fn what_is_in_a_local_network_is_not_told_far_away_nor_dialled_when_it_is_named_there() {
    let beside = Network::of_link(Some(core::net::Ipv4Addr::LOCALHOST.into()));
    // A byte above 99 is an address there.
    let networks = Networks::default().passing(|addr, network| {
        let there = matches!(network, Network::Near(_));
        addr.iter().copied().filter(|byte| there || *byte < 100).collect()
    });
    let both = |n: u8| PeerAddr(vec![n, n + 100]);
    for (place, told, dialled) in [(HIDDEN, addr(0), vec![]), (far(1), addr(0), vec![]), (beside, both(0), vec![id(9)])] {
        let (mut view, mut draw) = (View::new(id(0), both(0)), Draw::new([1; 32]));
        view.read_networks(networks);
        for (n, network) in [(1, beside), (2, place)] {
            view.connected(id(n), both(n), true, network, 1, &mut draw);
            view.handle(id(n), Frame::Welcome, 1, &mut draw);
        }
        let mallory = id(2);
        view.handle(mallory, Frame::Shuffle { peers: vec![(id(9), addr(109))] }, 1, &mut draw);
        // A newcomer beside her is introduced to those beside her alone.
        view.connected(id(3), addr(103), false, beside, 1, &mut draw);
        view.handle(id(3), Frame::Join { addr: both(3) }, 1, &mut draw);
        view.poll(2, &mut draw);
        let acts = view.take_acts();
        let mut dials = Vec::new();
        for act in acts {
            match act {
                Act::Dial(peer, _) => dials.push(peer),
                Act::Send(to, Frame::Join { addr } | Frame::Neighbor { addr, .. }) if to == mallory => assert_eq!(addr, told),
                Act::Send(to, Frame::Walk { addr, .. }) if to == mallory => assert_eq!(addr.0.len(), told.0.len()),
                Act::Send(to, Frame::Shuffle { peers } | Frame::ShuffleReply { peers }) if to == mallory => {
                    assert!(peers.iter().all(|(_, addr)| addr.0.len() == told.0.len()), "{peers:?}");
                }
                _ => {}
            }
        }
        assert_eq!(dials, dialled, "{place:?}");
    }
}

/// Once the new key waited for as long as the old one would have had to.
#[test]
fn under_another_key_who_turned_the_old_one_away_is_asked_at_once() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.learn(id(1), addr(1), true, &mut draw);
    view.poll(1, &mut draw);
    view.connected(id(1), addr(1), true, HIDDEN, 1, &mut draw);
    view.handle(id(1), Frame::Disconnect { others: Vec::new() }, 1, &mut draw);
    view.take_acts();
    view.poll(2, &mut draw);
    assert_eq!(view.take_acts(), [], "not yet");
    view.renew(id(9), addr(9));
    view.poll(3, &mut draw);
    assert_eq!(view.take_acts(), [Act::Dial(id(1), addr(1))]);
}

fn far(n: u8) -> Network {
    Network::of_link(Some(core::net::Ipv4Addr::new(198, 51, n, 1).into()))
}

/// Somebody from that network comes, at that time, and becomes a neighbour or not.
fn meet(view: &mut View, n: u8, network: Network, now: u64, draw: &mut Draw) -> bool {
    view.connected(id(n), PeerAddr::default(), false, network, now, draw);
    view.handle(id(n), Frame::Neighbor { urgent: false, addr: addr(n) }, now, draw);
    view.active().any(|(peer, _)| *peer == id(n))
}

#[test]
fn of_one_network_many_are_let_in_and_few_stay_when_others_come() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    (1..=12).for_each(|n| assert!(meet(&mut view, n, far(7), n.into(), &mut draw), "there is room"));
    assert_eq!(view.counted(), VIEW_PER_PREFIX);
    assert!(!meet(&mut view, 13, far(7), 13, &mut draw));
    let settled = SETTLED_MS + 100;
    (21..=29).for_each(|n| assert!(meet(&mut view, n, far(n), settled, &mut draw), "nobody settles beyond the share"));
    let stayed: Vec<PeerId> = view.active().map(|(p, _)| *p).filter(|p| p.0[0] <= 12).collect();
    assert_eq!(stayed, [id(1), id(2), id(3)], "those who came first");
    assert!(!meet(&mut view, 30, far(30), settled, &mut draw));
}

#[test]
fn those_who_came_leave_places_to_those_whom_the_node_chooses() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    (1..=12).for_each(|n| assert!(meet(&mut view, n, far(n), n.into(), &mut draw)));
    let now = SETTLED_MS + 100;
    for n in 21..=25 {
        assert_eq!(view.wants_more(), n < 25);
        view.connected(id(n), addr(n), true, HIDDEN, now, &mut draw);
        view.handle(id(n), Frame::Welcome, now, &mut draw);
    }
    assert_eq!(view.chosen(), CHOSEN_MIN);
}

#[test]
fn whom_the_person_named_is_not_asked_where_he_is() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    (1..=9).for_each(|n| view.learn(id(n), addr(n), true, &mut draw));
    (1..=9).for_each(|n| assert!(meet(&mut view, n, far(7), 1, &mut draw)));
    assert!(!view.wants_more());
    (11..=13).for_each(|n| assert!(meet(&mut view, n, far(7), 1, &mut draw), "and takes no share"));
    assert_eq!(view.surplus(far(7)), 0);
}

#[test]
fn one_network_does_not_hold_all_who_are_being_greeted_nor_keep_our_dials_out() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    assert!((1..=10).all(|n| !meet_in_silence(&mut view, n, far(n), &mut draw)));
    assert!((11..=60).any(|n| meet_in_silence(&mut view, n, far(99), &mut draw)));
    assert!((1..=10).all(|n| view.link(&id(n)).is_some()), "her own make room for her");
    view.connected(id(61), addr(61), true, HIDDEN, 2, &mut draw);
    view.handle(id(61), Frame::Welcome, 2, &mut draw);
    assert_eq!(view.active().count(), 1);
}

fn stranger(a: u8, b: u8) -> PeerId {
    let mut key = [0xee; 32];
    (key[0], key[1]) = (a, b);
    PeerId(key)
}

/// Somebody comes and says nothing; whether somebody had to go for him.
fn meet_in_silence(view: &mut View, n: u8, network: Network, draw: &mut Draw) -> bool {
    view.take_acts();
    view.connected(id(n), PeerAddr::default(), false, network, 1, draw);
    assert!(view.link(&id(n)).is_some());
    view.take_acts().iter().any(|act| matches!(act, Act::Hangup(_, HangupReason::Silent)))
}

#[test]
fn what_one_network_names_does_not_drive_out_those_remembered() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    (1..=60).for_each(|n| view.learn(id(n), addr(n), false, &mut draw));
    (61..=72).for_each(|n| assert!(meet(&mut view, n, HIDDEN, 1, &mut draw)));
    assert_eq!(view.remembered().len(), 72, "all have room");
    view.disconnected(id(72), 1, &mut draw);
    assert!(meet(&mut view, 73, far(7), 1, &mut draw));
    for round in 0..50_u8 {
        let peers = (0..8).map(|k| (stranger(round, k), addr(1))).collect();
        view.handle(id(73), Frame::Shuffle { peers }, u64::from(round) * 6_000 + 1, &mut draw);
    }
    let remembered = view.remembered();
    assert!((1..=60).filter(|n| remembered.iter().any(|(p, _)| *p == id(*n))).count() >= 60 - KNOWN_PER_NETWORK);
}

#[test]
fn those_said_to_be_in_one_network_do_not_fill_the_memory_whoever_says_so() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.read_networks(Networks::by(|addr| addr.first().filter(|n| **n > 99).map(|n| far(*n)).into_iter().collect()));
    (1..=76).for_each(|n| view.learn(id(n), addr(n), false, &mut draw));
    (100..=250).for_each(|n| view.learn(id(n), addr(100), false, &mut draw));
    let there = view.known.values().filter(|known| known.addr == addr(100)).count();
    assert!(there <= KNOWN_PER_NETWORK + 1, "{there}");
}

#[test]
fn whoever_turns_us_away_is_asked_ever_more_rarely() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.learn(id(1), addr(1), false, &mut draw);
    let (mut now, mut dials) = (1, Vec::new());
    while dials.len() < 8 {
        view.poll(now, &mut draw);
        for act in view.take_acts() {
            if let Act::Dial(peer, at) = act {
                dials.push(now);
                view.connected(peer, at, true, HIDDEN, now, &mut draw);
                view.handle(peer, Frame::Disconnect { others: Vec::new() }, now, &mut draw);
            }
        }
        now = view.next_timeout().map_or(now + 1, |at| at.max(now + 1));
    }
    let waits: Vec<u64> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= REFUSED_MS * 3 / 4 && waits[6] >= REFUSED_MAX_MS * 3 / 4, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= REFUSED_MAX_MS * 5 / 4), "{waits:?}");
}

#[test]
fn oneself_is_never_a_neighbour() {
    let (mut view, mut draw) = (View::new(id(0), addr(0)), Draw::new([1; 32]));
    view.learn(id(0), addr(0), true, &mut draw);
    view.connected(id(0), addr(0), true, HIDDEN, 1, &mut draw);
    view.poll(1, &mut draw);
    assert_eq!(view.take_acts(), [Act::Hangup(id(0), HangupReason::Full)]);
}
