//! Which dealings make the key: those that enough trustees say they hold the shares of.

use core::fmt;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use elastic_elgamal::sharing::ActiveParticipant;
use minicbor::Decoder;
use sha2::{Digest, Sha256};

use super::{
    complaint::{BadComplaint, Complaint, ComplaintIn},
    dealing::{BadDealing, Dealing, DealingId, DealingIn, Share, flat, read_flat},
    group,
    panel::Panel,
};
use crate::{
    cbor::{Malformed, Out, Wire, Written, ascends, exact, from_bytes, to_bytes, versioned},
    ids::{MemberId, MemberSecret, MotionId},
    limits::{ACCEPT_MAX, DEALINGS_PER_TRUSTEE},
};

const VERSION: u8 = 1;

/// A trustee says of which dealings it holds the shares, and that it takes no others. As received.
#[derive(Clone, PartialEq, Eq)]
pub struct AcceptIn {
    motion: MotionId,
    trustee: MemberId,
    dealings: Vec<DealingId>,
    signature: [u8; 64],
}

/// What a trustee accepted. There is no other way to this than [`AcceptIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept(AcceptIn);

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

/// Why an acceptance does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadAccept {
    /// For another motion.
    #[error("the word of the trustee is for another motion")]
    OtherMotion,
    /// By somebody who is no trustee.
    #[error("the word is not by a trustee of this motion")]
    NotTrustee,
    /// Too few dealings, so that liars alone might have made them.
    #[error("the trustee accepts too few parts of the key")]
    TooFew,
    /// Signed by somebody else.
    #[error("the word is not signed by the trustee whose it says it is")]
    Forged,
}

/// What became of a dealing or an acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The first of its trustee.
    New,
    /// It was known.
    Known,
    /// Its trustee has said something else before, which it is not to do. The key can still be made of either.
    Cheat,
}

/// What trustees have said of a key. The same for everybody who has heard the same, in whatever order, as long as nobody says more
/// than two different things.
#[derive(Debug, Clone)]
pub struct Setup {
    panel: Panel,
    dealings: BTreeMap<DealingId, Dealing>,
    accepts: BTreeMap<MemberId, Vec<Accept>>,
    /// The first of each trustee.
    complaints: BTreeMap<MemberId, Complaint>,
}

impl Setup {
    /// Nothing yet.
    pub fn new(panel: Panel) -> Self {
        Self { panel, dealings: BTreeMap::new(), accepts: BTreeMap::new(), complaints: BTreeMap::new() }
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
        if before < DEALINGS_PER_TRUSTEE {
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

    /// Takes what a trustee accepted.
    ///
    /// # Errors
    /// If it does not count.
    pub fn accept(&mut self, accept: AcceptIn) -> Result<Heard, BadAccept> {
        let accept = accept.verify(&self.panel)?;
        let before = self.accepts.entry(accept.0.trustee).or_default();
        // Signed anew it says the same.
        if before.iter().any(|known| known.0.dealings == accept.0.dealings) {
            return Ok(Heard::Known);
        }
        let heard = if before.is_empty() { Heard::New } else { Heard::Cheat };
        if before.len() < DEALINGS_PER_TRUSTEE {
            before.push(accept);
        }
        Ok(heard)
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

    /// What a trustee with these shares says, once all have dealt or have had the time. It takes what the trustee with the lowest
    /// rank took, if it can and nobody complained of that; and else all dealings that it has a share of, but for those of trustees
    /// who dealt twice and those of which somebody complained, as long as enough are left. Said once for a motion: what we have
    /// said we say again.
    ///
    /// # Errors
    /// If it is no trustee, or has too few shares yet.
    pub fn say(&self, shares: &[Share], secret: &MemberSecret) -> Result<Accept, BadAccept> {
        if let Some(said) = self.accepts.get(&secret.member()).and_then(|said| said.first()) {
            return Ok(said.clone());
        }
        let held = |id: &DealingId| shares.iter().any(|share| share.dealing() == *id);
        let undisputed = |id: &DealingId| !self.complaints.values().any(|complaint| complaint.dealings().contains(id));
        let said = self.panel.trustees().iter().filter_map(|one| self.accepts.get(one)?.first());
        let known = said.map(|accept| &accept.0.dealings).find(|ids| ids.iter().all(|id| held(id) && undisputed(id))).cloned();
        let dealings = known.unwrap_or_else(|| {
            let of = |trustee: MemberId| self.dealings.values().filter(move |other| other.trustee() == trustee).count();
            let once = self.dealings.iter().filter(|(id, dealing)| held(id) && of(dealing.trustee()) == 1).map(|(id, _)| *id);
            let (good, bad): (Vec<DealingId>, Vec<DealingId>) = once.partition(undisputed);
            let lacking = self.panel.needed().saturating_sub(good.len());
            let mut dealings: Vec<DealingId> = good.into_iter().chain(bad.into_iter().take(lacking)).collect();
            dealings.sort_unstable();
            dealings
        });
        let unsigned = AcceptIn { motion: self.panel.id(), trustee: secret.member(), dealings, signature: [0; 64] };
        AcceptIn { signature: secret.sign(&unsigned.signed()), ..unsigned }.verify(&self.panel)
    }

    /// The key, once enough trustees have accepted the same dealings and these are known. There is one, unless a third of the
    /// trustees cheat.
    pub fn key(&self) -> Option<Key> {
        let said = self.accepts.values().flatten().map(|accept| &accept.0.dealings);
        let mut enough: Vec<&Vec<DealingId>> = said.filter(|one| self.accepts(one).count() >= self.panel.needed()).collect();
        enough.sort_unstable();
        enough.into_iter().find_map(|dealings| self.key_of(dealings))
    }

    /// The acceptances of these dealings, one of each trustee.
    pub(super) fn accepts(&self, dealings: &[DealingId]) -> impl Iterator<Item = &Accept> {
        self.accepts.values().filter_map(move |said| said.iter().find(|accept| accept.0.dealings == dealings))
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
        let id = KeyId(hash(b"samizdat key v1\0", &self.panel.id(), dealings));
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

impl Accept {
    /// By whom.
    pub fn trustee(&self) -> MemberId {
        self.0.trustee
    }

    /// Which dealings, ascending.
    pub fn dealings(&self) -> &[DealingId] {
        &self.0.dealings
    }

    /// As received.
    pub fn unverified(&self) -> AcceptIn {
        self.0.clone()
    }
}

impl AcceptIn {
    /// Reads an acceptance.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, ACCEPT_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// For which motion it says to be.
    pub fn claimed_motion(&self) -> MotionId {
        self.motion
    }

    /// Whose it says to be.
    pub fn claimed_trustee(&self) -> MemberId {
        self.trustee
    }

    /// The only door to an [`Accept`].
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn verify(self, panel: &Panel) -> Result<Accept, BadAccept> {
        if self.motion != panel.id() {
            return Err(BadAccept::OtherMotion);
        }
        if panel.place(&self.trustee).is_none() {
            return Err(BadAccept::NotTrustee);
        }
        if self.dealings.len() < panel.needed() {
            return Err(BadAccept::TooFew);
        }
        self.trustee.verify(&self.signed(), &self.signature).map_err(|_| BadAccept::Forged)?;
        Ok(Accept(self))
    }

    fn signed(&self) -> Vec<u8> {
        [&b"samizdat trustee v1\0"[..], &self.motion.0, &flat(&self.dealings)].concat()
    }
}

fn hash(domain: &[u8], motion: &MotionId, dealings: &[DealingId]) -> [u8; 32] {
    Sha256::new().chain_update(domain).chain_update(motion.0).chain_update(flat(dealings)).finalize().into()
}

impl Wire for AcceptIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(5)?.u8(VERSION)?;
        self.motion.write(e)?;
        self.trustee.write(e)?;
        e.bytes(&flat(&self.dealings))?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 5, VERSION)?;
        let (motion, trustee) = (MotionId::read(d)?, MemberId::read(d)?);
        Some(Self { motion, trustee, dealings: read_flat(d)?, signature: exact(d)? })
    }
}

impl fmt::Debug for AcceptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} accepts {} dealings for {:?}", self.trustee, self.dealings.len(), self.motion)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} dealings for {:?}", self.id(), self.dealings().len(), self.panel().id())
    }
}
