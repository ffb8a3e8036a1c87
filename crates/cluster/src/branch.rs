//! Convergence: which of the states that a group branched into everybody follows. The tip is a function of the states and of where
//! members stand, not of the order in which either became known.

mod prune;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{MemberId, StateId},
    limits::STANDINGS_MAX,
    roster::Roster,
};

/// One state of a group, as far as choosing goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: StateId,
    /// The state that it came from; none for the founding, or for the state that we were let into.
    pub parent: Option<StateId>,
    /// Its epoch.
    pub epoch: u64,
    /// Whose Commit made it.
    pub committer: Option<MemberId>,
    /// Whether members decided the change that made it.
    pub certified: bool,
    /// Its members.
    pub roster: Roster,
    /// [`crate::ids::rank`] of the committer at the epoch of the parent.
    pub rank: [u8; 32],
}

/// All states that are kept, and where members stand.
#[derive(Debug, Clone, Default)]
pub struct Branches {
    states: BTreeMap<StateId, Node>,
    children: BTreeMap<StateId, BTreeSet<StateId>>,
    standing: BTreeMap<MemberId, (u64, StateId)>,
}

/// The way from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The last state that both have in common, if it is kept.
    pub fork: Option<StateId>,
    /// States that are left, the newest first.
    pub left: Vec<StateId>,
    /// States that are entered, the oldest first.
    pub entered: Vec<StateId>,
}

/// How many members stand in a state or below it: all, and those who were members of its parent.
#[derive(Debug, Clone, Copy, Default)]
struct Support {
    all: usize,
    of_parent: usize,
}

impl Branches {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a state; `false` if it is known. Its parent may come later.
    pub fn insert(&mut self, node: Node) -> bool {
        if self.states.contains_key(&node.id) {
            return false;
        }
        if let Some(parent) = node.parent {
            self.children.entry(parent).or_default().insert(node.id);
        }
        self.states.insert(node.id, node);
        true
    }

    /// Notes that `member` sent in `state` as its `turn`-th; `false` if it stands there or elsewhere by a later turn. The highest turn
    /// counts, and of one turn the highest state.
    pub fn stand(&mut self, member: MemberId, turn: u64, state: StateId) -> bool {
        let known = self.standing.get(&member);
        let full = known.is_none() && self.standing.len() >= STANDINGS_MAX;
        if full || known.is_some_and(|known| *known >= (turn, state)) {
            return false;
        }
        self.standing.insert(member, (turn, state));
        true
    }

    /// Where `member` stands, and by which turn.
    pub fn standing(&self, member: &MemberId) -> Option<(u64, StateId)> {
        self.standing.get(member).copied()
    }

    /// A state that is kept.
    pub fn get(&self, state: &StateId) -> Option<&Node> {
        self.states.get(state)
    }

    /// All states that are kept.
    pub fn states(&self) -> impl Iterator<Item = &Node> {
        self.states.values()
    }

    /// How many states are kept.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether no state is kept.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The state that everybody follows who knows the same; none if there is no state.
    pub fn tip(&self) -> Option<StateId> {
        let support = self.support();
        // Of two halves the one that stays is that with the lowest member: the others ask it to be let back in.
        let lowest = self.standing.values().find_map(|(_, state)| self.upwards(state).last());
        let best = |root: &&Node| {
            let tip = self.walk(root, &support);
            let below = support.get(&root.id).map_or(0, |support| support.all);
            let has_lowest = lowest.is_some_and(|lowest| lowest.id == root.id);
            (core::cmp::Reverse(below), !has_lowest, core::cmp::Reverse(tip.epoch), tip.id)
        };
        self.roots().map(|root| best(&root)).min().map(|(.., tip)| tip)
    }

    /// Whether `state` has a quorum: more than half of the members of its parent stand in it or below it.
    pub fn has_quorum(&self, state: &StateId) -> bool {
        self.get(state).is_some_and(|node| self.quorum(node, &self.support()))
    }

    /// Whether `ancestor` is `state` or a state that it came from.
    pub fn is_ancestor(&self, ancestor: &StateId, state: &StateId) -> bool {
        self.upwards(state).any(|node| node.id == *ancestor)
    }

    /// The way between two states. What lies above the oldest state that is kept is not part of it.
    pub fn path_from(&self, old: &StateId, new: &StateId) -> Path {
        let kept: BTreeSet<StateId> = self.upwards(new).map(|node| node.id).collect();
        let left: Vec<StateId> = self.upwards(old).map(|node| node.id).take_while(|id| !kept.contains(id)).collect();
        let fork = self.upwards(old).map(|node| node.id).nth(left.len());
        let mut entered: Vec<StateId> = self.upwards(new).map(|node| node.id).take_while(|id| Some(*id) != fork).collect();
        entered.reverse();
        Path { fork, left, entered }
    }

    /// A state and those that it came from, the newest first. Epochs fall on the way, so it ends whatever was inserted.
    fn upwards(&self, state: &StateId) -> impl Iterator<Item = &Node> {
        let parent = |node: &&Node| self.parent(node);
        core::iter::successors(self.get(state), parent)
    }

    fn parent(&self, node: &Node) -> Option<&Node> {
        self.get(&node.parent?).filter(|parent| parent.epoch < node.epoch)
    }

    fn children(&self, node: &Node) -> impl Iterator<Item = &Node> {
        let ids = self.children.get(&node.id).into_iter().flatten();
        ids.filter_map(|id| self.get(id)).filter(|child| child.epoch > node.epoch)
    }

    fn roots(&self) -> impl Iterator<Item = &Node> {
        self.states.values().filter(|node| self.parent(node).is_none())
    }

    fn support(&self) -> BTreeMap<StateId, Support> {
        let mut support: BTreeMap<StateId, Support> = BTreeMap::new();
        for (member, (_, state)) in &self.standing {
            for node in self.upwards(state) {
                let entry = support.entry(node.id).or_default();
                entry.all = entry.all.saturating_add(1);
                if self.parent(node).is_some_and(|parent| parent.roster.contains(member)) {
                    entry.of_parent = entry.of_parent.saturating_add(1);
                }
            }
        }
        support
    }

    /// Nobody stands in two children of a state, so at most one of them has a quorum.
    fn quorum(&self, node: &Node, support: &BTreeMap<StateId, Support>) -> bool {
        let stand = support.get(&node.id).map_or(0, |support| support.of_parent);
        self.parent(node).is_some_and(|parent| stand > parent.roster.len() / 2)
    }

    /// The lowest is followed.
    fn order(&self, node: &Node, support: &BTreeMap<StateId, Support>) -> (bool, bool, [u8; 32], StateId) {
        (!self.quorum(node, support), !node.certified, node.rank, node.id)
    }

    fn walk<'a>(&'a self, root: &'a Node, support: &BTreeMap<StateId, Support>) -> &'a Node {
        let mut tip = root;
        while let Some(next) = self.children(tip).min_by_key(|child| self.order(child, support)) {
            tip = next;
        }
        tip
    }
}

#[cfg(test)]
mod tests;
