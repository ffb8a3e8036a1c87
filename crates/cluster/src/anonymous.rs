//! Messages of some member, nobody can tell which.
//!
//! For each epoch every member publishes a few keys under its name. An anonymous message is signed so that it proves to be by one
//! of many members who published, and which of their keys were used shows in an image that fits no name: so nobody writes more
//! messages than it has keys. Those who collude can rule out themselves as the author and no others, and writing needs nobody's
//! help.
//!
//! The network is not hidden by this: who publishes the envelope can be seen by whom it is published to. What was weighed is in
//! docs/adr/0015-anonymous-and-secret.md; byte by byte in docs/protocol/cluster-secret.md.

mod pool;
mod ring;
mod slots;
mod spent;

use core::fmt;

use minicbor::Decoder;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    cbor::{Malformed, Out, Wire, Written, ascends, blob, exact, from_bytes, to_bytes, versioned},
    ids::MemberId,
    limits::{ANONYMOUS_BODY_MAX, ANONYMOUS_MAX, ANONYMOUS_SLOTS, RING_MAX, RING_MIN},
};

pub use pool::{Pool, Published};
pub use slots::{BadSlots, SlotSecrets, Slots, SlotsId, SlotsIn, TwoSets};
pub use spent::{Counted, Spent};

const VERSION: u8 = 1;

/// What is said, and to whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// To one member, to whom the body is encrypted; or to all.
    pub to: Option<MemberId>,
    /// What is said: an [`Aside`](crate::aside::Aside), or what encrypting one yields.
    pub body: Vec<u8>,
}

/// An anonymous message as received.
#[derive(Clone, PartialEq, Eq)]
pub struct AnonymousIn {
    said: Said,
    signature: ring::Signature,
}

/// A message of some member. There is no other way to one than [`AnonymousIn::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Anonymous {
    received: AnonymousIn,
    id: [u8; 32],
}

/// What is signed.
#[derive(Clone, PartialEq, Eq)]
struct Said {
    epoch: u64,
    slot: u8,
    post: Post,
    ring: Vec<SlotsId>,
}

/// Why an anonymous message is not by a member.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadAnonymous {
    /// Of another epoch than the pool.
    #[error("the anonymous message is of another epoch")]
    OtherEpoch,
    /// To a stranger.
    #[error("the anonymous message is to somebody who was no member")]
    NoSuchMember,
    /// Keys that we have not seen. They may come yet.
    #[error("the anonymous message hides among members of whom {0} have not been heard yet: try again when they are")]
    Unheard(usize),
    /// One member twice.
    #[error("the anonymous message hides among fewer members than it says")]
    Doubled,
    /// Not signed by any of them.
    #[error("the anonymous message is not by a member of those that it hides among")]
    Forged,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CannotWrite {
    /// No such slot.
    #[error("no more anonymous messages can be written at this epoch: wait for the next rollout of keys")]
    NoSuchSlot,
    /// Our own keys are not in the pool, or others of ours are, too.
    #[error("our keys for anonymous messages of this epoch are not published yet: try again in a minute")]
    NotPublished,
    /// Nobody to hide among.
    #[error("fewer than {RING_MIN} members have published keys for anonymous messages: wait for more, or say it by name")]
    TooFew,
    /// Too long, or to a stranger.
    #[error("the anonymous message is too long, or to somebody who is no member")]
    Unsendable,
}

impl SlotSecrets {
    /// Writes a message, which uses `slot` up: draw one of those that are left, whichever, and remember that it is used before the
    /// message is sent. To send it again send the same bytes. `seed` is fresh for each message.
    ///
    /// # Errors
    /// If it would not count, or could not be hidden.
    pub fn write(&self, pool: &Pool, slot: u8, post: Post, seed: [u8; 32]) -> Result<Anonymous, CannotWrite> {
        if usize::from(slot) >= ANONYMOUS_SLOTS {
            return Err(CannotWrite::NoSuchSlot);
        }
        if post.body.len() > ANONYMOUS_BODY_MAX || post.to.is_some_and(|to| !pool.roster().contains(&to)) {
            return Err(CannotWrite::Unsendable);
        }
        let secret = self.secret(slot);
        let ours = pool.owner(slot, &ring::key(&secret)).ok_or(CannotWrite::NotPublished)?;
        let said = Said { epoch: pool.epoch(), slot, post, ring: pool.choose(&ours, &seed) };
        if said.ring.len() < RING_MIN {
            return Err(CannotWrite::TooFew);
        }
        let keys: Vec<[u8; 32]> = said.ring.iter().filter_map(|id| pool.get(id)?.key(slot).copied()).collect();
        let id = said.id(pool);
        // Should the seed come twice, nothing else than the same message is signed with the same randomness.
        let coins = Sha256::new().chain_update(b"samizdat coins v1\0").chain_update(seed).chain_update(id);
        let coins = Zeroizing::new(coins.chain_update(Zeroizing::new(<[u8; 32]>::from(*secret))).finalize().into());
        let signature = ring::sign(&keys, &secret, id, *coins).ok_or(CannotWrite::NotPublished)?;
        Ok(Anonymous { received: AnonymousIn { said, signature }, id })
    }
}

impl Anonymous {
    /// Names it: a hash of all that it says.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// At which epoch its author was a member.
    pub fn epoch(&self) -> u64 {
        self.received.said.epoch
    }

    /// What it says, and to whom.
    pub fn post(&self) -> &Post {
        &self.received.said.post
    }

    /// Of how many members one wrote it.
    pub fn hides_among(&self) -> usize {
        self.received.said.ring.len()
    }

    /// As received.
    pub fn unverified(&self) -> AnonymousIn {
        self.received.clone()
    }

    /// What shows which key was used, and not whose it is.
    pub fn image(&self) -> [u8; 32] {
        self.received.signature.image
    }
}

impl AnonymousIn {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, ANONYMOUS_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Of which epoch it says to be.
    pub fn claimed_epoch(&self) -> u64 {
        self.said.epoch
    }

    /// Whose keys it says that its author is among: what a pool must hold for [`AnonymousIn::verify`].
    pub fn claimed_ring(&self) -> &[SlotsId] {
        &self.said.ring
    }

    /// The only door to an [`Anonymous`].
    ///
    /// # Errors
    /// If no member of the epoch of `pool` wrote it, as far as that can be told from what was published.
    pub fn verify(self, pool: &Pool) -> Result<Anonymous, BadAnonymous> {
        if self.said.epoch != pool.epoch() {
            return Err(BadAnonymous::OtherEpoch);
        }
        if self.said.post.to.is_some_and(|to| !pool.roster().contains(&to)) {
            return Err(BadAnonymous::NoSuchMember);
        }
        let sets: Vec<&Slots> = self.said.ring.iter().filter_map(|id| pool.get(id)).collect();
        let unheard = self.said.ring.len().saturating_sub(sets.len());
        if unheard > 0 {
            return Err(BadAnonymous::Unheard(unheard));
        }
        let mut members: Vec<MemberId> = sets.iter().map(|slots| slots.member()).collect();
        members.sort_unstable();
        if !ascends(&members) {
            return Err(BadAnonymous::Doubled);
        }
        let keys: Vec<[u8; 32]> = sets.iter().filter_map(|slots| slots.key(self.said.slot).copied()).collect();
        let id = self.said.id(pool);
        if !ring::verify(&keys, &id, &self.signature) {
            return Err(BadAnonymous::Forged);
        }
        Ok(Anonymous { received: self, id })
    }
}

impl Said {
    fn id(&self, pool: &Pool) -> [u8; 32] {
        let digest = Sha256::new().chain_update(b"samizdat anonymous v1\0").chain_update(pool.cluster().0);
        digest.chain_update(to_bytes(self)).finalize().into()
    }
}

/// An array of its own where it is signed.
impl Wire for Said {
    fn write(&self, e: &mut Out) -> Written {
        e.array(6)?.u8(VERSION)?.u64(self.epoch)?.u8(self.slot)?;
        match &self.post.to {
            Some(to) => to.write(e)?,
            None => e.null().map(|_| ())?,
        }
        e.bytes(&self.post.body)?.bytes(self.ring.iter().map(|id| id.0).collect::<Vec<_>>().as_flattened())?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 6, VERSION)?;
        let (epoch, slot) = (d.u64().ok()?, d.u8().ok().filter(|slot| usize::from(*slot) < ANONYMOUS_SLOTS)?);
        let to = if d.datatype().ok()? == minicbor::data::Type::Null {
            d.null().ok()?;
            None
        } else {
            Some(MemberId::read(d)?)
        };
        let post = Post { to, body: blob(d, ANONYMOUS_BODY_MAX)? };
        let (ids, []) = d.bytes().ok()?.as_chunks::<8>() else { return None };
        let ring: Vec<SlotsId> = ids.iter().copied().map(SlotsId).collect();
        ((RING_MIN..=RING_MAX).contains(&ring.len()) && ascends(&ring)).then_some(Self { epoch, slot, post, ring })
    }
}

impl Wire for AnonymousIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?;
        self.said.write(e)?;
        e.bytes(&self.signature.image)?.bytes(&self.signature.blinded)?.bytes(&self.signature.proof)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        crate::cbor::array(d, 4)?;
        let said = Said::read(d)?;
        let (image, blinded, length) = (exact(d)?, exact(d)?, said.ring.len().checked_add(2)?.checked_mul(32)?);
        let proof = blob(d, length).filter(|proof| proof.len() == length)?;
        Some(Self { said, signature: ring::Signature { image, blinded, proof } })
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes to {:?}", self.body.len(), self.to)
    }
}

impl fmt::Debug for AnonymousIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by one of {} at {}", self.said.post, self.said.ring.len(), self.said.epoch)
    }
}

impl fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {:?}", self.received)
    }
}

#[cfg(test)]
mod tests;
