//! Forgetting states: those out of the window, and those that somebody made to fill our memory. A state in which
//! anybody stands is never dropped for want of room: nobody stands in two, and choosing would go by less than before.

use std::collections::{BTreeMap, BTreeSet};

use super::{Branches, Node};
use crate::{
    ids::{MemberId, StateId},
    limits::{CHILDREN_MAX, STATES_MAX},
};

impl Branches {
    /// Forgets what lies more than `window` epochs behind the tip, and with it the branches that forked off there, and makes room if
    /// there are too many states. A state that `is_young` is in the window whatever its epoch. Returns what is gone.
    pub fn prune(&mut self, window: u64, is_young: impl Fn(&StateId) -> bool) -> Vec<StateId> {
        // One tip throughout: what is forgotten may take weight from its root, and with several roots another would be followed then.
        let Some(tip) = self.tip() else { return Vec::new() };
        let mut gone = self.drop_old(&tip, window, is_young);
        gone.extend(self.drop_repeated(&tip));
        gone.extend(self.drop_excess(&tip));
        self.forget_strangers();
        gone
    }

    fn drop_old(&mut self, tip: &StateId, window: u64, is_young: impl Fn(&StateId) -> bool) -> Vec<StateId> {
        let floor = self.get(tip).map_or(0, |tip| tip.epoch.saturating_sub(window));
        let within = |node: &&Node| node.epoch >= floor || is_young(&node.id);
        let line: Vec<&Node> = self.upwards(tip).collect();
        // No gaps: whatever is younger than something that stays, stays.
        let stay = line.iter().rposition(within).map_or(0, |oldest| oldest.saturating_add(1));
        let mut kept: BTreeSet<StateId> = BTreeSet::new();
        if let Some(oldest) = line.get(stay.saturating_sub(1)) {
            kept.extend(self.subtree(oldest));
        }
        let strange = |root: &&Node| !line.iter().any(|node| node.id == root.id);
        for root in self.roots().filter(strange) {
            let tree = self.subtree(root);
            if tree.iter().filter_map(|id| self.get(id)).any(|node| within(&node)) {
                kept.extend(tree);
            }
        }
        let gone = self.states.keys().filter(|id| !kept.contains(id)).copied().collect();
        self.remove(gone)
    }

    /// Somebody that makes more and more children of one state: the best stay, and those in which others stand.
    fn drop_repeated(&mut self, tip: &StateId) -> Vec<StateId> {
        let support = self.support();
        let mut groups: BTreeMap<(StateId, MemberId), Vec<&Node>> = BTreeMap::new();
        for node in self.states.values() {
            if let (Some(parent), Some(committer)) = (node.parent, node.committer) {
                groups.entry((parent, committer)).or_default().push(node);
            }
        }
        let mut gone = BTreeSet::new();
        for mut group in groups.into_values() {
            group.sort_by_key(|node| self.order(node, &support));
            let surplus = group.into_iter().skip(CHILDREN_MAX).filter(|node| !self.is_ancestor(&node.id, tip));
            for node in surplus {
                let tree = self.subtree(node);
                if !tree.iter().any(|id| self.is_used(id)) {
                    gone.extend(tree);
                }
            }
        }
        self.remove(gone.into_iter().collect())
    }

    /// Ends of branches that nobody follows, the oldest first.
    fn drop_excess(&mut self, tip: &StateId) -> Vec<StateId> {
        let mut gone = Vec::new();
        while self.len() > STATES_MAX {
            let ends = self.states.values().filter(|node| node.id != *tip && self.children(node).next().is_none());
            let idle = ends.filter(|node| !self.is_used(&node.id));
            let Some(worst) = idle.max_by_key(|node| (core::cmp::Reverse(node.epoch), !node.certified, node.rank, node.id)) else {
                break;
            };
            let worst = worst.id;
            gone.extend(self.remove(vec![worst]));
        }
        while self.len() > STATES_MAX {
            let Some(oldest) = self.upwards(tip).last().filter(|oldest| oldest.id != *tip) else { break };
            if self.is_used(&oldest.id) || self.children(oldest).count() > 1 {
                break;
            }
            let oldest = oldest.id;
            gone.extend(self.remove(vec![oldest]));
        }
        gone
    }

    /// Whether anybody stands in it.
    fn is_used(&self, state: &StateId) -> bool {
        self.standing.values().any(|(_, stand)| stand == state)
    }

    fn subtree(&self, top: &Node) -> BTreeSet<StateId> {
        let mut tree = BTreeSet::new();
        let mut next = vec![top];
        while let Some(node) = next.pop() {
            tree.insert(node.id);
            next.extend(self.children(node));
        }
        tree
    }

    fn remove(&mut self, gone: Vec<StateId>) -> Vec<StateId> {
        for id in &gone {
            let Some(parent) = self.states.remove(id).and_then(|node| node.parent) else { continue };
            if let Some(children) = self.children.get_mut(&parent) {
                children.remove(id);
                if children.is_empty() {
                    self.children.remove(&parent);
                }
            }
        }
        gone
    }

    /// Where people stand who are members of no state any more says nothing.
    fn forget_strangers(&mut self) {
        let Self { states, standing, .. } = self;
        standing.retain(|member, _| states.values().any(|node| node.roster.contains(member)));
    }
}
