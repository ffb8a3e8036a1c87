//! Which dealings make the key: those that trustees agree on, who hold their shares.

use core::fmt;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use elastic_elgamal::sharing::ActiveParticipant;
use sha2::{Digest, Sha256};

use super::{
    agree::{BadWord, Decision, DecisionIn, Pick, Subject},
    complaint::{BadComplaint, Complaint, ComplaintIn},
    dealing::{BadDealing, Dealing, DealingId, DealingIn, Share, flat, read_flat},
    group,
    panel::Panel,
};
use crate::{
    cbor::ascends,
    ids::{MemberId, MotionId},
    limits::{DECISIONS_PER_SUBJECT, KEPT_PER_MEMBER},
};

/// Names the key of a secret vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 32]);

/// The key of a secret vote. Cheap to clone.
#[derive(Clone)]
pub struct Key(Arc<Inner>);

struct Inner {
    id: KeyId,
    panel: Panel,
    dealings: Vec<DealingId>,
    keys: group::Keys,
}

/// What became of something that a member said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The first of its author.
    New,
    /// It was known.
    Known,
    /// Its author has said something else before, which it is not to do.
    Cheat,
}

/// What trustees have said of a key. The key is the same for everybody who has heard the same, in whatever order.
#[derive(Debug, Clone)]
pub struct Setup {
    panel: Panel,
    dealings: BTreeMap<DealingId, Dealing>,
    /// The first of each trustee.
    complaints: BTreeMap<MemberId, Complaint>,
    decisions: BTreeMap<[u8; 32], Decision>,
}

impl Setup {
    /// Nothing yet.
    pub fn new(panel: Panel) -> Self {
        Self { panel, dealings: BTreeMap::new(), complaints: BTreeMap::new(), decisions: BTreeMap::new() }
    }

    /// Whose key it will be.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// Takes what a trustee dealt.
    ///
    /// # Errors
    /// If it does not count.
    pub fn deal(&mut self, dealing: DealingIn) -> Result<Heard, BadDealing> {
        let dealing = dealing.verify(&self.panel)?;
        let before = self.dealings.values().filter(|other| other.trustee() == dealing.trustee()).count();
        if self.dealings.contains_key(&dealing.id()) {
            return Ok(Heard::Known);
        }
        if before < KEPT_PER_MEMBER {
            self.dealings.insert(dealing.id(), dealing);
        }
        Ok(if before == 0 { Heard::New } else { Heard::Cheat })
    }

    /// Takes a complaint. Only trustees go by it, and only until they have accepted.
    ///
    /// # Errors
    /// If it is not heard.
    pub fn complain(&mut self, complaint: ComplaintIn) -> Result<Heard, BadComplaint> {
        let complaint = complaint.verify(&self.panel)?;
        let before = self.complaints.entry(complaint.trustee());
        Ok(match before {
            Entry::Occupied(known) if *known.get() == complaint => Heard::Known,
            Entry::Occupied(_) => Heard::Cheat,
            Entry::Vacant(first) => {
                first.insert(complaint);
                Heard::New
            }
        })
    }

    /// Takes what the trustees decided.
    ///
    /// # Errors
    /// If it does not count.
    pub fn agree(&mut self, decision: DecisionIn) -> Result<Heard, BadWord> {
        let decision = decision.verify(&self.panel, Subject::Key)?;
        let pick = decision.pick();
        if !self.fits(pick) {
            return Err(BadWord::Unheard);
        }
        if self.decisions.contains_key(&pick.id) {
            return Ok(Heard::Known);
        }
        if self.decisions.len() < DECISIONS_PER_SUBJECT {
            self.decisions.insert(pick.id, decision);
        }
        Ok(Heard::New)
    }

    /// A dealing that was heard.
    pub fn dealing(&self, id: &DealingId) -> Option<&Dealing> {
        self.dealings.get(id)
    }

    /// All dealings that were heard.
    pub fn dealings(&self) -> impl Iterator<Item = &Dealing> {
        self.dealings.values()
    }

    /// Trustees of whom no dealing was heard.
    pub fn awaited(&self) -> impl Iterator<Item = &MemberId> {
        self.panel.trustees().iter().filter(|one| !self.dealings.values().any(|dealing| dealing.trustee() == **one))
    }

    /// What a trustee with these shares proposes, once all have dealt or have had the time: all dealings that it has a share of, but
    /// for those of trustees who dealt twice and those of which somebody complained, as long as enough are left.
    pub fn proposal(&self, shares: &[Share]) -> Option<Pick> {
        let (good, bad) = self.usable(shares);
        let lacking = self.panel.needed().saturating_sub(good.len());
        let mut dealings: Vec<DealingId> = good.into_iter().chain(bad.into_iter().take(lacking)).collect();
        dealings.sort_unstable();
        let names = flat(&dealings);
        (dealings.len() >= self.panel.needed()).then(|| Pick { id: key_id(&self.panel.id(), &names), names })
    }

    /// Whether a trustee with these shares can take what another one proposed: it holds a share of all, nobody dealt twice, and
    /// of none somebody complained, unless there are too few without.
    pub fn takes(&self, pick: &Pick, shares: &[Share]) -> bool {
        let Some(dealings) = read_flat(&pick.names).filter(|_| self.fits(pick)) else {
            return false;
        };
        let (good, bad) = self.usable(shares);
        let disputed = dealings.iter().any(|id| bad.contains(id));
        let usable = dealings.iter().all(|id| good.contains(id) || bad.contains(id));
        let exact = dealings.len() == self.panel.needed() && good.iter().all(|id| dealings.contains(id));
        usable && dealings.len() >= self.panel.needed() && (!disputed || exact)
    }

    /// Whether the names are those of the id.
    pub fn fits(&self, pick: &Pick) -> bool {
        key_id(&self.panel.id(), &pick.names) == pick.id
    }

    /// Dealings of those who dealt once, of which these are the shares: without complaints, and with.
    fn usable(&self, shares: &[Share]) -> (Vec<DealingId>, Vec<DealingId>) {
        let of = |trustee: MemberId| self.dealings.values().filter(move |other| other.trustee() == trustee).count();
        let held = |id: &DealingId| shares.iter().any(|share| share.dealing() == *id);
        let once = self.dealings.iter().filter(|(id, dealing)| held(id) && of(dealing.trustee()) == 1).map(|(id, _)| *id);
        once.partition(|id| !self.complaints.values().any(|complaint| complaint.dealings().contains(id)))
    }

    /// The key, once enough trustees have agreed on its dealings and these are known.
    pub fn key(&self) -> Option<Key> {
        self.decisions.values().find_map(|decision| self.key_of(&read_flat(&decision.pick().names)?))
    }

    /// On what trustees agreed, of which this key is.
    pub(super) fn decision(&self, key: &Key) -> Option<&Decision> {
        self.decisions.get(&key.id().0)
    }

    /// Dealings of this key whose trustees dealt others besides: who heard others first may lack them.
    pub fn doubled(&self, key: &Key) -> impl Iterator<Item = &Dealing> {
        let dealt = key.dealings().iter().filter_map(|id| self.dealings.get(id)).collect::<Vec<_>>();
        dealt
            .into_iter()
            .filter(|one| self.dealings.values().any(|other| other.trustee() == one.trustee() && other.id() != one.id()))
    }

    fn key_of(&self, dealings: &[DealingId]) -> Option<Key> {
        let dealt = dealings.iter().map(|id| self.dealings.get(id)).collect::<Option<Vec<_>>>()?;
        let mut trustees: Vec<MemberId> = dealt.iter().map(|dealing| dealing.trustee()).collect();
        trustees.sort_unstable();
        if !ascends(&trustees) {
            return None;
        }
        let of = |place: usize| dealt.iter().map(move |dealing| dealing.keys().participant_key(place).cloned());
        #[allow(clippy::arithmetic_side_effects, reason = "in a group nothing overflows")]
        let sum = |place: usize| of(place).reduce(|one, other| Some(one? + other?)).flatten();
        let sums = (0..self.panel.trustees().len()).map(sum).collect::<Option<Vec<_>>>()?;
        let keys = group::Keys::from_participants(self.panel.params(), sums).ok()?;
        let id = KeyId(key_id(&self.panel.id(), &flat(dealings)));
        Some(Key(Arc::new(Inner { id, panel: self.panel.clone(), dealings: dealings.to_vec(), keys })))
    }
}

impl Key {
    /// Its name.
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// Whose it is.
    pub fn panel(&self) -> &Panel {
        &self.0.panel
    }

    /// Of which dealings it is made, ascending.
    pub fn dealings(&self) -> &[DealingId] {
        &self.0.dealings
    }

    pub(super) fn keys(&self) -> &group::Keys {
        &self.0.keys
    }

    /// Our part of it: of all the shares of its dealings.
    #[allow(clippy::arithmetic_side_effects, reason = "in a group nothing overflows")]
    pub(super) fn ours(&self, us: &MemberId, shares: &[Share]) -> Option<ActiveParticipant<elastic_elgamal::group::Ristretto>> {
        let place = self.panel().place(us)?;
        let share = |id: &DealingId| shares.iter().find(|share| share.dealing() == *id)?.secret();
        let parts = self.dealings().iter().map(share).collect::<Option<Vec<_>>>()?;
        let secret = parts.into_iter().reduce(|one, other| one + other)?;
        ActiveParticipant::new(self.keys().clone(), place, secret).ok()
    }
}

fn key_id(motion: &MotionId, dealings: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"samizdat key v1\0").chain_update(motion.0).chain_update(dealings).finalize().into()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} dealings for {:?}", self.id(), self.dealings().len(), self.panel().id())
    }
}

#[cfg(test)]
impl Setup {
    /// Whatever these name, however few.
    pub(super) fn picked_by(&self, names: &[u8]) -> Pick {
        Pick { id: key_id(&self.panel.id(), names), names: names.into() }
    }
}
