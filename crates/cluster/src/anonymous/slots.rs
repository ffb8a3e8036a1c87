//! What a member may write without its name at one epoch: a key for each message, published under its name.

use core::fmt;

use minicbor::Decoder;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::ring;
use crate::{
    cbor::{Malformed, Out, Wire, Written, array, exact, from_bytes, to_bytes, versioned},
    ids::{ClusterId, MemberId, MemberSecret},
    limits::{ANONYMOUS_SLOTS, SLOTS_MAX},
    roster::Roster,
};

const VERSION: u8 = 1;
const KEYS_LEN: usize = 32 * ANONYMOUS_SLOTS;

/// The secrets of our own slots at one epoch. The seed is drawn for this epoch and goes with it: who finds it later can tell what
/// we wrote.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SlotSecrets {
    seed: [u8; 32],
    #[zeroize(skip)]
    cluster: ClusterId,
    #[zeroize(skip)]
    epoch: u64,
}

/// Keys that somebody published, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotsIn {
    pub(super) cluster: ClusterId,
    pub(super) epoch: u64,
    pub(super) member: MemberId,
    pub(super) keys: [u8; KEYS_LEN],
    pub(super) signature: [u8; 64],
}

/// Keys of a member. There is no other way to these than [`SlotsIn::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Slots(SlotsIn);

/// Names published keys: the beginning of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotsId(pub [u8; 8]);

/// Why published keys are not counted.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadSlots {
    /// Of another cluster, or another epoch.
    #[error("the keys for anonymous messages are for another cluster or another epoch")]
    Elsewhere,
    /// By a stranger.
    #[error("the keys for anonymous messages are of somebody who was no member at that epoch")]
    NotMember,
    /// No keys, or one twice.
    #[error("the keys for anonymous messages are no keys, or one is there twice")]
    NotKeys,
    /// Signed by somebody else.
    #[error("the keys for anonymous messages are not signed by the member whose they say they are")]
    Forged,
}

impl SlotSecrets {
    /// From a seed that was drawn for this epoch of this cluster.
    pub fn new(seed: [u8; 32], cluster: ClusterId, epoch: u64) -> Self {
        Self { seed, cluster, epoch }
    }

    /// The keys of all slots, signed by the member whose they are.
    pub fn publish(&self, secret: &MemberSecret) -> Slots {
        let mut keys = [0; KEYS_LEN];
        for (slot, to) in (0..).zip(keys.chunks_mut(32)) {
            to.copy_from_slice(&ring::key(&self.secret(slot)));
        }
        let unsigned = SlotsIn { cluster: self.cluster, epoch: self.epoch, member: secret.member(), keys, signature: [0; 64] };
        Slots(SlotsIn { signature: secret.sign(&unsigned.signed()), ..unsigned })
    }

    pub(super) fn secret(&self, slot: u8) -> ring::Secret {
        let digest = Sha256::new().chain_update(b"samizdat slot v1\0").chain_update(self.seed).chain_update(self.cluster.0);
        ring::secret(digest.chain_update(self.epoch.to_be_bytes()).chain_update([slot]).finalize().into())
    }
}

impl Slots {
    /// Their name.
    pub fn id(&self) -> SlotsId {
        let digest = Sha256::new().chain_update(self.0.signed()).chain_update(self.0.member.0).finalize();
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        SlotsId(id)
    }

    /// Whose they are.
    pub fn member(&self) -> MemberId {
        self.0.member
    }

    /// As received.
    pub fn unverified(&self) -> SlotsIn {
        self.0.clone()
    }

    pub(super) fn check_place(&self, cluster: &ClusterId, epoch: u64, roster: &Roster) -> Result<(), BadSlots> {
        self.0.check_place(cluster, epoch, roster)
    }

    pub(super) fn key(&self, slot: u8) -> Option<&[u8; 32]> {
        self.0.keys().nth(slot.into())
    }
}

impl SlotsIn {
    /// Reads published keys.
    ///
    /// # Errors
    /// If they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, SLOTS_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// For which epoch they say to be.
    pub fn claimed_epoch(&self) -> u64 {
        self.epoch
    }

    /// The only door to [`Slots`]. `roster` is that of `epoch`.
    ///
    /// # Errors
    /// With the first rule that they break.
    pub fn verify(self, cluster: &ClusterId, epoch: u64, roster: &Roster) -> Result<Slots, BadSlots> {
        self.check_place(cluster, epoch, roster)?;
        let twice = self.keys().enumerate().any(|(place, key)| self.keys().take(place).any(|other| other == key));
        if twice || !self.keys().all(ring::is_key) {
            return Err(BadSlots::NotKeys);
        }
        self.check_signature()?;
        Ok(Slots(self))
    }

    fn check_place(&self, cluster: &ClusterId, epoch: u64, roster: &Roster) -> Result<(), BadSlots> {
        if (self.cluster, self.epoch) != (*cluster, epoch) {
            return Err(BadSlots::Elsewhere);
        }
        if roster.contains(&self.member) { Ok(()) } else { Err(BadSlots::NotMember) }
    }

    fn check_signature(&self) -> Result<(), BadSlots> {
        self.member.verify(&self.signed(), &self.signature).map_err(|_| BadSlots::Forged)
    }

    fn keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.keys.as_chunks().0.iter()
    }

    pub(super) fn signed(&self) -> Vec<u8> {
        [&b"samizdat slots v1\0"[..], &self.cluster.0, &self.epoch.to_be_bytes(), &self.keys].concat()
    }
}

/// Two sets of keys of one member for one epoch. Anybody can check that it wanted to write twice as much as others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoSets {
    pub(super) first: SlotsIn,
    pub(super) second: SlotsIn,
}

impl TwoSets {
    pub(super) fn of(first: &Slots, second: &Slots) -> Self {
        Self { first: first.unverified(), second: second.unverified() }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, SLOTS_MAX.saturating_mul(2).saturating_add(1))
    }

    /// To be shown to others.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Who cheated at which epoch of which cluster, if that is proven.
    pub fn culprit(&self) -> Option<(MemberId, ClusterId, u64)> {
        let Self { first, second } = self;
        let about = |slots: &SlotsIn| (slots.member, slots.cluster, slots.epoch);
        let differ = about(first) == about(second) && first.keys != second.keys;
        (differ && first.check_signature().is_ok() && second.check_signature().is_ok()).then(|| about(first))
    }
}

impl Wire for TwoSets {
    fn write(&self, e: &mut Out) -> Written {
        e.array(2)?;
        self.first.write(e)?;
        self.second.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 2)?;
        Some(Self { first: SlotsIn::read(d)?, second: SlotsIn::read(d)? })
    }
}

impl Wire for SlotsIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?;
        self.cluster.write(e)?;
        e.u64(self.epoch)?;
        self.member.write(e)?;
        e.bytes(&self.keys)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        let (cluster, epoch, member) = (ClusterId::read(d)?, d.u64().ok()?, MemberId::read(d)?);
        Some(Self { cluster, epoch, member, keys: exact(d)?, signature: exact(d)? })
    }
}

impl fmt::Debug for SlotSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotSecrets(..)")
    }
}

impl fmt::Debug for SlotsIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slots of {:?} at {}", self.member, self.epoch)
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.0)
    }
}
