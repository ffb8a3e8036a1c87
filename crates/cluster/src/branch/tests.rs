#![allow(clippy::arithmetic_side_effects)]
use super::*;
use crate::{
    ids::rank,
    limits::{CHILDREN_MAX, STATES_MAX},
};
use proptest::prelude::*;

fn id(n: u8) -> StateId {
    StateId([n; 16])
}

fn member(n: u8) -> MemberId {
    MemberId([n; 32])
}

fn roster(people: impl IntoIterator<Item = u8>) -> Roster {
    Roster::of(people.into_iter().map(member))
}

/// The rank of a committer is its number.
fn child(n: u8, parent: u8, epoch: u64, committer: u8) -> Node {
    Node { parent: Some(id(parent)), committer: Some(member(committer)), rank: [committer; 32], ..root(n, epoch) }
}

fn root(n: u8, epoch: u64) -> Node {
    Node { id: id(n), parent: None, epoch, committer: None, certified: false, roster: roster(0..5), rank: [0; 32] }
}

fn certified(node: Node) -> Node {
    Node { certified: true, ..node }
}

fn of(nodes: impl IntoIterator<Item = Node>) -> Branches {
    let mut branches = Branches::new();
    nodes.into_iter().for_each(|node| assert!(branches.insert(node)));
    branches
}

fn all_stand(branches: &mut Branches, people: impl IntoIterator<Item = u8>, turn: u64, state: u8) {
    people.into_iter().for_each(|who| {
        branches.stand(member(who), turn, id(state));
    });
}

/// Once the tip itself was dropped for want of room, because forgetting its root had made another one weigh more.
#[test]
fn pruning_keeps_the_tip_though_its_root_loses_weight() {
    let line = (1..12).map(|n| child(n + 1, n, u64::from(n), 0));
    let others = (0..STATES_MAX).map(|n| child(100 + u8::try_from(n).unwrap(), 99, 30, u8::try_from(n).unwrap()));
    let mut branches = of([root(1, 0), root(99, 29)].into_iter().chain(line).chain(others));
    all_stand(&mut branches, 0..2, 1, 1);
    all_stand(&mut branches, 2..3, 1, 99);
    assert_eq!(branches.tip(), Some(id(12)), "two stand in its root, one in the other");
    let gone = branches.prune(4, |_| false);
    assert!(gone.contains(&id(1)) && branches.get(&id(12)).is_some());
}

#[test]
fn a_line_is_followed_to_its_end() {
    assert_eq!(Branches::new().tip(), None);
    let branches = of([root(1, 0), child(2, 1, 1, 0), child(3, 2, 2, 1)]);
    assert_eq!(branches.tip(), Some(id(3)));
    assert!(branches.is_ancestor(&id(1), &id(3)) && branches.is_ancestor(&id(3), &id(3)) && !branches.is_ancestor(&id(3), &id(1)));
}

#[test]
fn quorum_comes_first_then_certificates_then_rank_then_the_lower_state() {
    let mut branches = of([root(1, 0), child(5, 1, 1, 3), child(4, 1, 1, 3)]);
    assert_eq!(branches.tip(), Some(id(4)), "the lower id of one committer");
    branches.insert(child(9, 1, 1, 2));
    assert_eq!(branches.tip(), Some(id(9)), "the lower rank, whatever the id");
    branches.insert(certified(child(8, 1, 1, 4)));
    assert_eq!(branches.tip(), Some(id(8)), "what members decided");
    all_stand(&mut branches, 0..2, 1, 5);
    assert_eq!(branches.tip(), Some(id(8)), "two of five are no quorum");
    all_stand(&mut branches, 2..3, 1, 5);
    assert_eq!(branches.tip(), Some(id(5)), "three are");
    assert!(branches.has_quorum(&id(5)) && !branches.has_quorum(&id(8)) && !branches.has_quorum(&id(1)));
}

#[test]
fn half_is_no_quorum() {
    let even = |node: Node| Node { roster: roster(0..4), ..node };
    let mut branches = of([root(1, 0), child(2, 1, 1, 0), child(3, 1, 1, 1)].map(even));
    all_stand(&mut branches, 0..2, 1, 3);
    assert_eq!(branches.tip(), Some(id(2)));
    all_stand(&mut branches, 2..3, 1, 3);
    assert_eq!(branches.tip(), Some(id(3)));
}

#[test]
fn who_stands_below_stands_here_too_if_it_was_a_member_before() {
    let mut branches = of([root(1, 0), child(2, 1, 1, 0), child(3, 1, 1, 1), child(4, 3, 2, 2)]);
    all_stand(&mut branches, 0..3, 1, 4);
    assert_eq!(branches.tip(), Some(id(4)));
    let newcomers = |node: Node| Node { roster: roster(0..9), ..node };
    let mut branches = of([root(1, 0), child(2, 1, 1, 0), newcomers(child(3, 1, 1, 1))]);
    all_stand(&mut branches, 5..9, 1, 3);
    assert_eq!(branches.tip(), Some(id(2)), "newcomers do not decide how they came in");
}

#[test]
fn what_is_known_stays_as_it_is_and_what_is_not_has_no_quorum() {
    let mut branches = of([root(1, 0)]);
    assert!(!branches.insert(child(1, 9, 3, 2)) && branches.get(&id(1)) == Some(&root(1, 0)));
    assert!(!branches.has_quorum(&id(2)));
    assert!(!branches.is_empty() && Branches::new().is_empty());
}

#[test]
fn the_last_turn_counts_and_of_one_turn_the_higher_state() {
    let mut branches = of([root(1, 0), child(2, 1, 1, 0), child(3, 1, 1, 1)]);
    assert!(branches.stand(member(0), 5, id(2)));
    assert!(!branches.stand(member(0), 4, id(3)) && !branches.stand(member(0), 5, id(1)) && !branches.stand(member(0), 5, id(2)));
    assert!(branches.stand(member(0), 5, id(3)) && branches.stand(member(0), 6, id(2)));
    assert_eq!(branches.standing(&member(0)), Some((6, id(2))));
}

#[test]
fn of_two_trees_the_one_with_more_people_then_the_longer_then_the_lower() {
    let mut branches = of([root(1, 5), root(2, 5)]);
    assert_eq!(branches.tip(), Some(id(1)));
    branches.insert(child(3, 2, 6, 1));
    assert_eq!(branches.tip(), Some(id(3)));
    all_stand(&mut branches, 0..1, 1, 1);
    assert_eq!(branches.tip(), Some(id(1)));
}

/// The other half asks it to be let back in: whoever of that is, and reads both, would stay by the longer branch for ever.
#[test]
fn of_two_halves_that_with_the_lowest_member_is_followed_by_whoever_knows_both() {
    let lowest = (0..4).min_by_key(|who| member(*who)).unwrap();
    let others = (0..4).filter(|who| *who != lowest).collect::<Vec<u8>>();
    let mut branches = of([root(1, 5), root(2, 5), child(3, 2, 6, 1)]);
    all_stand(&mut branches, [lowest, others[0]], 1, 1);
    all_stand(&mut branches, others[1..].iter().copied(), 1, 3);
    assert_eq!(branches.tip(), Some(id(1)), "shorter as it is");
    let fourth = (4..9).find(|who| member(*who) > member(lowest)).unwrap();
    all_stand(&mut branches, [fourth], 1, 3);
    assert_eq!(branches.tip(), Some(id(3)), "more are more");
}

#[test]
fn a_child_may_be_known_before_its_parent() {
    let branches = of([child(3, 2, 2, 1), root(1, 0), child(2, 1, 1, 0)]);
    assert_eq!(branches.tip(), Some(id(3)));
    assert_eq!(branches.path_from(&id(1), &id(3)).entered, [id(2), id(3)]);
}

#[test]
fn epochs_that_do_not_grow_make_no_family() {
    let branches = of([child(1, 2, 1, 0), child(2, 1, 1, 0), child(3, 3, 5, 0)]);
    assert_eq!(branches.tip(), Some(id(3)));
    assert!(!branches.is_ancestor(&id(1), &id(2)));
}

#[test]
fn the_way_leads_over_the_fork() {
    let branches = of([root(1, 0), child(2, 1, 1, 0), child(3, 2, 2, 1), child(4, 1, 1, 1), child(5, 4, 2, 1), root(9, 0)]);
    let way = |old, new| branches.path_from(&id(old), &id(new));
    assert_eq!(way(3, 5), Path { fork: Some(id(1)), left: vec![id(3), id(2)], entered: vec![id(4), id(5)] });
    assert_eq!(way(1, 3), Path { fork: Some(id(1)), left: vec![], entered: vec![id(2), id(3)] });
    assert_eq!(way(3, 3), Path { fork: Some(id(3)), left: vec![], entered: vec![] });
    assert_eq!(way(3, 9), Path { fork: None, left: vec![id(3), id(2), id(1)], entered: vec![id(9)] });
}

fn line(length: u8) -> Branches {
    of((1..length).map(|n| child(n, n - 1, n.into(), 1)).chain([root(0, 0)]))
}

#[test]
fn what_is_older_than_the_window_goes_with_its_branches() {
    let mut branches = line(10);
    branches.insert(child(100, 3, 4, 2));
    branches.insert(child(101, 100, 5, 2));
    branches.insert(child(102, 5, 6, 2));
    branches.insert(child(103, 102, 7, 2));
    assert_eq!(branches.tip(), Some(id(9)));
    let mut gone = branches.prune(4, |_| false);
    gone.sort();
    assert_eq!(gone, [0, 1, 2, 3, 4, 100, 101].map(id));
    assert_eq!(branches.tip(), Some(id(9)));
    assert!(branches.prune(4, |_| false).is_empty());
}

#[test]
fn what_is_young_stays_and_all_after_it() {
    let mut branches = line(10);
    let gone = branches.prune(2, |state| *state == id(4));
    assert_eq!(gone, [0, 1, 2, 3].map(id));
    assert_eq!(line(10).prune(200, |_| false), []);
}

#[test]
fn another_tree_goes_when_all_of_it_is_old() {
    let mut branches = line(10);
    all_stand(&mut branches, 0..3, 1, 9);
    branches.insert(root(100, 2));
    branches.insert(root(110, 4));
    branches.insert(child(111, 110, 8, 1));
    let mut gone = branches.prune(4, |_| false);
    gone.sort();
    assert_eq!(gone, [0, 1, 2, 3, 4, 100].map(id));
}

#[test]
fn somebody_who_makes_state_after_state_fills_no_memory() {
    let mut branches = of([root(1, 0)]);
    (2..200).for_each(|n| {
        branches.insert(child(n, 1, 1, 3));
    });
    all_stand(&mut branches, [3], 1, 150);
    all_stand(&mut branches, [0], 1, 100);
    branches.prune(8, |_| false);
    let mut kept: Vec<StateId> = branches.states().map(|node| node.id).collect();
    kept.sort();
    assert_eq!(kept, [1, 2, 3, 100, 150].map(id), "the best of them, and where people stand");
    assert_eq!(CHILDREN_MAX, 2);
}

#[test]
fn what_is_repeated_stays_where_somebody_stands_below_it() {
    let mut branches = of([root(1, 0), child(2, 1, 1, 3), child(3, 1, 1, 3), child(4, 1, 1, 3), child(5, 4, 2, 1)]);
    all_stand(&mut branches, [0], 1, 5);
    assert!(branches.prune(8, |_| false).is_empty());
}

#[test]
fn of_ends_that_nobody_uses_the_oldest_go_and_of_these_what_nobody_decided_and_the_higher_rank() {
    let mut branches = line(60);
    all_stand(&mut branches, 0..3, 1, 59);
    let old = [child(100, 4, 5, 2), child(101, 4, 5, 3), certified(child(102, 4, 5, 4))];
    let later = [child(103, 50, 51, 2), child(104, 50, 51, 3), certified(child(105, 50, 51, 4))];
    old.into_iter().chain(later).for_each(|node| assert!(branches.insert(node)));
    assert_eq!(branches.prune(100, |_| false), [101, 100].map(id));
    assert_eq!((branches.len(), branches.tip()), (STATES_MAX, Some(id(59))));
}

#[test]
fn too_many_states_are_cut_at_ends_that_nobody_uses() {
    let mut branches = line(60);
    (0..20u8).for_each(|n| {
        branches.insert(child(100 + n, n, u64::from(n) + 1, 2 + n % 3));
    });
    all_stand(&mut branches, [0], 1, 105);
    let gone = branches.prune(100, |_| false);
    assert_eq!(branches.len(), STATES_MAX);
    assert!(gone.iter().all(|gone| gone.0[0] >= 100 && *gone != id(105)));
    assert_eq!(branches.tip(), Some(id(59)));
}

#[test]
fn a_line_that_is_too_long_is_cut_at_its_beginning() {
    let mut branches = line(100);
    all_stand(&mut branches, [0], 1, 99);
    branches.prune(200, |_| false);
    assert_eq!((branches.len(), branches.tip()), (STATES_MAX, Some(id(99))));
    let mut branches = line(100);
    all_stand(&mut branches, [0], 1, 0);
    assert!(branches.prune(200, |_| false).is_empty(), "somebody stands there");
}

#[test]
fn standings_are_bounded_and_those_of_strangers_forgotten() {
    let mut branches = of([root(1, 0)]);
    for n in 0..STANDINGS_MAX + 10 {
        let mut key = [9; 32];
        key[..8].copy_from_slice(&(n as u64).to_be_bytes());
        assert_eq!(branches.stand(MemberId(key), 1, id(1)), n < STANDINGS_MAX);
    }
    branches.prune(8, |_| false);
    assert!(branches.stand(member(0), 1, id(1)) && branches.stand(member(0), 2, id(1)));
    branches.insert(Node { roster: roster(5..7), ..child(2, 1, 1, 0) });
    branches.stand(member(5), 1, id(2));
    branches.prune(8, |_| false);
    assert!(branches.standing(&member(0)).is_some() && branches.standing(&member(5)).is_some(), "each is a member of one state");
}

/// Trees of up to 24 states among five members, with standings.
fn worlds() -> impl Strategy<Value = (Vec<Node>, Vec<(MemberId, u64, StateId)>)> {
    let node = (any::<prop::sample::Index>(), 0..5u8, any::<bool>(), any::<u8>());
    let stand = (0..6u8, 0..4u64, any::<prop::sample::Index>());
    (prop::collection::vec(node, 1..24), prop::collection::vec(stand, 0..12)).prop_map(|(drawn, stands)| {
        let mut nodes = vec![root(1, 0)];
        for (parent, committer, certified, salt) in drawn {
            let id = StateId::of(&[salt, nodes.len() as u8]);
            let parent = parent.get(&nodes).clone();
            let rank = rank(&[1; 32], parent.epoch, &member(committer));
            let epoch = parent.epoch + 1;
            let roster = if certified { roster(0..6) } else { parent.roster };
            let committer = Some(member(committer));
            nodes.push(Node { id, parent: Some(parent.id), epoch, committer, certified, roster, rank });
        }
        let stands = stands.into_iter().map(|(who, turn, state)| (member(who), turn, state.get(&nodes).id)).collect();
        (nodes, stands)
    })
}

proptest! {
    #[test]
    fn the_tip_does_not_depend_on_the_order((nodes, stands) in worlds(), seed in any::<u64>()) {
        let mut one = of(nodes.clone());
        stands.iter().for_each(|(who, turn, state)| { one.stand(*who, *turn, *state); });
        // Another order of everything: sorted by hashes of a seed.
        let key = |id: &[u8]| rank(&[3; 32], seed, &MemberId(rank(&[4; 32], id.iter().fold(0, |sum, b| sum * 31 + u64::from(*b)) % 1_000_003, &member(0))));
        let (mut nodes, mut stands) = (nodes, stands);
        nodes.sort_by_key(|node| key(&node.id.0[..6]));
        stands.sort_by_key(|(who, turn, state)| key(&[who.0[0], *turn as u8, state.0[0], state.0[1]]));
        let mut two = Branches::new();
        let half = stands.len() / 2;
        stands[..half].iter().for_each(|(who, turn, state)| { two.stand(*who, *turn, *state); });
        nodes.iter().for_each(|node| { two.insert(node.clone()); });
        stands[half..].iter().for_each(|(who, turn, state)| { two.stand(*who, *turn, *state); });
        prop_assert_eq!(one.tip(), two.tip());
        let (mut gone_one, mut gone_two) = (one.prune(3, |_| false), two.prune(3, |_| false));
        gone_one.sort();
        gone_two.sort();
        prop_assert_eq!(gone_one, gone_two);
    }

    #[test]
    fn at_most_one_child_has_a_quorum_and_it_is_on_the_way((nodes, stands) in worlds()) {
        let mut branches = of(nodes.clone());
        stands.iter().for_each(|(who, turn, state)| { branches.stand(*who, *turn, *state); });
        let tip = branches.tip().unwrap();
        for node in &nodes {
            let with: Vec<StateId> = nodes.iter().filter(|child| child.parent == Some(node.id) && branches.has_quorum(&child.id)).map(|child| child.id).collect();
            prop_assert!(with.len() <= 1);
            if branches.is_ancestor(&node.id, &tip) {
                prop_assert!(with.iter().all(|child| branches.is_ancestor(child, &tip)));
            }
        }
    }

    /// Whatever ids a committer finds by trying, a better rank wins, and so does what members decided.
    #[test]
    fn ranks_cannot_be_beaten_by_ids(ids in prop::collection::btree_set(any::<[u8; 16]>(), 3..20), best in any::<prop::sample::Index>(), certify: bool) {
        let ids: Vec<[u8; 16]> = ids.into_iter().collect();
        let best = best.index(ids.len());
        let node = |at: usize, id: &[u8; 16]| {
            let honest = at == best;
            let node = Node { id: StateId(*id), ..child(0, 1, 1, if honest != certify { 1 } else { 2 }) };
            if honest && certify { certified(node) } else { node }
        };
        let nodes: Vec<Node> = ids.iter().enumerate().map(|(at, id)| node(at, id)).collect();
        prop_assert_eq!(of([root(1, 0)].into_iter().chain(nodes)).tip(), Some(StateId(ids[best])));
    }

    #[test]
    fn pruning_keeps_the_tip_and_where_people_stand((nodes, stands) in worlds(), window in 0..5u64) {
        let mut branches = of(nodes);
        stands.iter().for_each(|(who, turn, state)| { branches.stand(*who, *turn, *state); });
        let tip = branches.tip();
        let before = branches.clone();
        let gone = branches.prune(window, |_| false);
        prop_assert_eq!(branches.tip(), tip);
        let floor = before.get(&tip.unwrap()).unwrap().epoch.saturating_sub(window);
        for (who, _, state) in &stands {
            let stood = before.standing(who).unwrap().1 == *state;
            let fork = before.path_from(state, &tip.unwrap()).fork.unwrap();
            if stood && before.get(&fork).unwrap().epoch >= floor {
                prop_assert!(!gone.contains(state));
            }
        }
    }
}
