//! The envelope: the unit that is replicated (DESIGN section 4, seed 004; bytes in docs/protocol/envelope.md).
//!
//! ```text
//! bytes --decode--> EnvelopeIn --screen(now)--> Stamped --verify--> Envelope      from others
//! content --sign or seal--> Unstamped --mint, stamp--> Envelope                   our own
//! ```
//! `Envelope` has no decoder: who holds one holds something verified. The store takes nothing else. What is not verified
//! only borrows the bytes that came in, so junk costs no memory.

use std::{ops::Range, sync::Arc};

use ed25519_zebra::batch;
use minicbor::{
    Decoder, Encoder,
    encode::{Write, write::Cursor},
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use crate::{
    identity::{IdentityKey, IdentitySecret},
    ids::{EnvelopeId, Hour},
    limits::{BUCKET_DEPTH, ENVELOPE_MAX, ENVELOPE_VERSION, InTime, LIFETIMES, SIZE_CLASSES, in_time},
    seal::TAG_LEN,
    stamp,
};

const SIGN_DOMAIN: &[u8] = b"samizdat sign v1\0";
const ID_DOMAIN: &[u8] = b"samizdat id v1\0";
/// The stamp ends every envelope: one byte of algorithm and a byte string of eight.
const STAMP_LEN: usize = 10;
/// Longest encoding of the fields before the body.
const HEAD_MAX: usize = 96;
/// Length of the hash that says which room a post is in.
pub const TOPIC_LEN: usize = 16;

/// What kind of envelope, and the fields that only this kind has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Keys of a name; everybody can read it.
    Announcement(Signed),
    /// A post in a public room; everybody can read it.
    Post(Signed, [u8; TOPIC_LEN]),
    /// Sealed to one contact key: contact request or invitation.
    Bell {
        /// Where it lies; see [`BUCKET_DEPTH`].
        bucket: u16,
    },
    /// A message inside a conversation.
    Sealed {
        /// Where it lies; see [`BUCKET_DEPTH`].
        bucket: u16,
        /// One-time tag that only the members of the conversation expect.
        tag: [u8; TAG_LEN],
    },
}

/// Fields of the signed kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signed {
    /// Who signed.
    pub author: IdentityKey,
    /// Position in the author's own sequence, which announcements and posts share.
    pub seq: u64,
    /// Signature over the head and the hash of the body.
    pub signature: [u8; 64],
}

impl Kind {
    /// The number on the wire.
    pub fn number(&self) -> u8 {
        match self {
            Self::Announcement(_) => 0,
            Self::Post(..) => 1,
            Self::Bell { .. } => 2,
            Self::Sealed { .. } => 3,
        }
    }

    /// The signed fields of the kinds that have them.
    pub fn signed(&self) -> Option<&Signed> {
        match self {
            Self::Announcement(signed) | Self::Post(signed, _) => Some(signed),
            Self::Bell { .. } | Self::Sealed { .. } => None,
        }
    }
}

/// What an envelope says before its body, whoever claims it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fields {
    /// Kind and its own fields.
    pub kind: Kind,
    /// When it was made, by its maker's claim.
    pub hour: Hour,
    /// Index into [`LIFETIMES`].
    pub lifetime: u8,
}

impl Fields {
    /// Declared lifetime in hours.
    pub fn lifetime_hours(&self) -> u32 {
        LIFETIMES.get(usize::from(self.lifetime)).copied().unwrap_or_default()
    }

    /// The first hour in which it is over.
    pub fn expires(&self) -> Hour {
        Hour(self.hour.0.saturating_add(self.lifetime_hours()))
    }
}

/// Bytes that are not an envelope.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum DecodeError {
    /// Longer than [`ENVELOPE_MAX`].
    #[error("longer than an envelope may be")]
    TooLong,
    /// Of a version that this program does not know.
    #[error("unknown version")]
    Version,
    /// Not the layout of any kind.
    #[error("malformed")]
    Malformed,
    /// Decodes, but somebody else would encode it otherwise.
    #[error("not canonical")]
    NotCanonical,
    /// A body length that is no size class.
    #[error("the body is in no size class")]
    SizeClass,
    /// A lifetime, bucket or stamp algorithm that does not exist.
    #[error("a field is out of range")]
    Range,
}

/// Why an envelope is not taken. Nobody tells its sender.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum Reject {
    /// Does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Claims an hour that has not come.
    #[error("from the future")]
    Future,
    /// Its lifetime is over.
    #[error("expired")]
    Expired,
    /// The stamp is worth less than size and lifetime cost.
    #[error("the stamp is too cheap")]
    Stamp,
    /// The signature is wrong.
    #[error("the signature does not verify")]
    Signature,
}

/// The bytes, borrowed or kept, and where in them is what.
#[derive(Clone, Debug)]
struct Layout<B> {
    bytes: B,
    fields: Fields,
    head: usize,
    body: Range<usize>,
    body_hash: [u8; 32],
    id: EnvelopeId,
    nonce: u64,
}

impl<B: AsRef<[u8]>> Layout<B> {
    /// The fields before the body, as they are on the wire.
    fn head(&self) -> &[u8] {
        self.bytes.as_ref().get(..self.head).unwrap_or_default()
    }

    fn body(&self) -> &[u8] {
        self.bytes.as_ref().get(self.body.clone()).unwrap_or_default()
    }

    fn signed_hash(&self) -> [u8; 32] {
        signed_hash(self.head(), &self.body_hash)
    }

    fn price(&self) -> u64 {
        stamp::price(self.bytes.as_ref().len(), self.fields.lifetime_hours())
    }

    fn keep(self) -> Layout<Arc<[u8]>> {
        let Self { bytes, fields, head, body, body_hash, id, nonce } = self;
        Layout { bytes: bytes.as_ref().into(), fields, head, body, body_hash, id, nonce }
    }
}

/// Received and decoded; nothing in it is to be believed.
#[derive(Clone, Debug)]
pub struct EnvelopeIn<'a>(Layout<&'a [u8]>);

impl<'a> EnvelopeIn<'a> {
    /// Decodes one envelope, which must fill `bytes` exactly.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > ENVELOPE_MAX {
            return Err(DecodeError::TooLong);
        }
        let layout = parse(bytes)?;
        if !SIZE_CLASSES.contains(&layout.body.len()) {
            return Err(DecodeError::SizeClass);
        }
        if !is_canonical(&layout) {
            return Err(DecodeError::NotCanonical);
        }
        let body_hash = Sha256::digest(layout.body()).into();
        let id = id(layout.head(), &body_hash, &layout.fields);
        Ok(Self(Layout { body_hash, id, ..layout }))
    }

    /// What it claims to be.
    pub fn id(&self) -> EnvelopeId {
        self.0.id
    }

    /// The tests that cost next to nothing: stamp and time. `now` is the hour on our clock. What is out of time must be paid
    /// for too, or it would be junk for nothing.
    pub fn screen(self, now: Hour) -> Result<Stamped<'a>, Reject> {
        let stamped = self.check_stamp()?;
        match in_time(stamped.0.fields.hour, stamped.0.fields.lifetime_hours(), now) {
            InTime::Yes => Ok(stamped),
            InTime::Future => Err(Reject::Future),
            InTime::Expired => Err(Reject::Expired),
        }
    }

    /// The test of time alone, for what a contact hands over for us to read: nobody else sees it, so it need not be paid for.
    pub fn hand_over(self, now: Hour) -> Result<Handed<'a>, Reject> {
        match in_time(self.0.fields.hour, self.0.fields.lifetime_hours(), now) {
            InTime::Yes => Ok(Handed(self.0)),
            InTime::Future => Err(Reject::Future),
            InTime::Expired => Err(Reject::Expired),
        }
    }

    /// All tests but the one of time, for what our own log holds.
    pub fn recheck(self) -> Result<Envelope, Reject> {
        self.check_stamp()?.verify()
    }

    fn check_stamp(self) -> Result<Stamped<'a>, Reject> {
        if stamp::check(&self.0.id, self.0.nonce, self.0.price()) { Ok(Stamped(self.0)) } else { Err(Reject::Stamp) }
    }
}

/// Decoded and in time, from a contact. It may be read; it never becomes an [`Envelope`], so no log takes it.
#[derive(Clone, Debug)]
pub struct Handed<'a>(Layout<&'a [u8]>);

impl Handed<'_> {
    /// The hash that names it.
    pub fn id(&self) -> EnvelopeId {
        self.0.id
    }

    /// What it says before the body.
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// Padded content.
    pub fn body(&self) -> &[u8] {
        self.0.body()
    }
}

/// Decoded, in time and paid for; its author is not proven yet.
#[derive(Clone, Debug)]
pub struct Stamped<'a>(Layout<&'a [u8]>);

impl Stamped<'_> {
    /// For the duplicate lookup, which comes before the signature because it is much cheaper.
    pub fn id(&self) -> EnvelopeId {
        self.0.id
    }

    /// Position in the order of reconciliation.
    pub fn hour(&self) -> Hour {
        self.0.fields.hour
    }

    /// What its stamp is worth, expected tries.
    pub fn worth(&self) -> u64 {
        stamp::worth(&self.0.id, self.0.nonce)
    }

    /// The last test, alone.
    pub fn verify(self) -> Result<Envelope, Reject> {
        match self.0.fields.kind.signed() {
            Some(signed) => match signed.author.verify(&self.0.signed_hash(), &signed.signature) {
                Ok(()) => Ok(Envelope(self.0.keep())),
                Err(_) => Err(Reject::Signature),
            },
            None => Ok(Envelope(self.0.keep())),
        }
    }
}

/// The last test for many at once: half the cost of [`Stamped::verify`], the same answers (ZIP 215). When a batch fails,
/// each is checked alone, so junk costs its sender a stamp and us three times what a good one costs.
pub fn verify_batch(batch: Vec<Stamped<'_>>, rng: &mut impl CryptoRng) -> Vec<Result<Envelope, Reject>> {
    let mut verifier = batch::Verifier::new();
    let mut signed = Vec::with_capacity(batch.len());
    for stamped in &batch {
        let item = stamped
            .0
            .fields
            .kind
            .signed()
            .map(|signed| batch::Item::from((signed.author.0.into(), signed.signature.into(), &stamped.0.signed_hash())));
        if let Some(item) = &item {
            verifier.queue(item.clone());
        }
        signed.push(item);
    }
    let all_good = signed.iter().all(Option::is_none) || verifier.verify(&mut *rng).is_ok();
    let verified = batch.into_iter().zip(signed).map(|(stamped, item)| {
        let good = all_good || item.is_none_or(|item| item.verify_single().is_ok());
        if good { Ok(Envelope(stamped.0.keep())) } else { Err(Reject::Signature) }
    });
    verified.collect()
}

/// Verified. Made only by [`Stamped::verify`], [`verify_batch`] and [`Unstamped::stamp`].
#[derive(Clone, Debug)]
pub struct Envelope(Layout<Arc<[u8]>>);

impl Envelope {
    /// The hash that names it.
    pub fn id(&self) -> EnvelopeId {
        self.0.id
    }

    /// What it says before the body.
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// Padded content, of a length in [`SIZE_CLASSES`].
    pub fn body(&self) -> &[u8] {
        self.0.body()
    }

    /// As received, to be stored and sent on unchanged.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0.bytes
    }

    /// What its stamp is worth, expected tries.
    pub fn worth(&self) -> u64 {
        stamp::worth(&self.0.id, self.0.nonce)
    }

    /// Proof that its author signed this position: head, hash of the body, signature.
    pub fn proof(&self) -> Option<Proof> {
        let signed = self.0.fields.kind.signed()?;
        Some(Proof { head: self.0.head().to_vec(), body_hash: self.0.body_hash, signature: signed.signature })
    }
}

/// What is kept of the loser of a conflict: enough for anybody to check that the author signed both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Encoded fields before the body.
    pub head: Vec<u8>,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
    /// Signature over both.
    pub signature: [u8; 64],
}

impl Proof {
    /// Whether `author` signed this.
    pub fn holds(&self, author: &IdentityKey) -> bool {
        author.verify(&signed_hash(&self.head, &self.body_hash), &self.signature).is_ok()
    }
}

/// Our own envelope before its stamp. Kept in the vault while minting, so that nothing is encrypted twice.
#[derive(Clone, Debug)]
pub struct Unstamped(Layout<Arc<[u8]>>);

impl Unstamped {
    /// A signed envelope; `topic` is there for posts and absent for announcements.
    pub fn sign(
        secret: &IdentitySecret,
        seq: u64,
        topic: Option<[u8; TOPIC_LEN]>,
        hour: Hour,
        lifetime: u8,
        body: Vec<u8>,
    ) -> Result<Self, DecodeError> {
        let kind = |signature| {
            let signed = Signed { author: secret.key(), seq, signature };
            topic.map_or(Kind::Announcement(signed), |topic| Kind::Post(signed, topic))
        };
        let unsigned = Fields { kind: kind([0; 64]), hour, lifetime };
        let hash = signed_hash(&head(&unsigned), &Sha256::digest(&body).into());
        Self::from_bytes(&encode(&Fields { kind: kind(secret.sign(&hash)), ..unsigned }, &body))
    }

    /// A bell or a sealed envelope.
    pub fn seal(tag: Option<[u8; TAG_LEN]>, hour: Hour, lifetime: u8, body: Vec<u8>) -> Result<Self, DecodeError> {
        let kind = tag.map_or(Kind::Bell { bucket: 0 }, |tag| Kind::Sealed { bucket: 0, tag });
        Self::from_bytes(&encode(&Fields { kind, hour, lifetime }, &body))
    }

    /// Restores what [`Unstamped::bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        EnvelopeIn::decode(bytes).map(|envelope| Self(envelope.0.keep()))
    }

    /// For the vault: the encoding with an empty stamp.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0.bytes
    }

    /// The id, which the stamp does not change.
    pub fn id(&self) -> EnvelopeId {
        self.0.id
    }

    /// What it says before the body.
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// Padded content.
    pub fn body(&self) -> &[u8] {
        self.0.body()
    }

    /// Expected tries that the network asks.
    pub fn price(&self) -> u64 {
        self.0.price()
    }

    /// Finishes it, by the same tests that others will make.
    pub fn stamp(self, nonce: u64) -> Result<Envelope, Reject> {
        let mut bytes = self.0.bytes.to_vec();
        if let Some(end) = bytes.last_chunk_mut() {
            *end = nonce.to_be_bytes();
        }
        EnvelopeIn::decode(&bytes)?.recheck()
    }
}

/// Whether another encoder would have made the same bytes. Behind the head there are only byte strings of definite length
/// and one small number, so a longer form than the shortest shows in the length of the whole.
fn is_canonical(layout: &Layout<&[u8]>) -> bool {
    let string = |length: usize| {
        let prefix = match length {
            0..24 => 1,
            24..256 => 2,
            256..65_536 => 3,
            _ => 5,
        };
        length.saturating_add(prefix)
    };
    let mut shortest = [0; HEAD_MAX];
    let mut e = Encoder::new(Cursor::new(&mut shortest[..]));
    let written = write_head(&mut e, &layout.fields).is_ok();
    let length = e.into_writer().position();
    let signature = layout.fields.kind.signed().map_or(0, |signed| string(signed.signature.len()));
    let whole = layout.head.saturating_add(string(layout.body.len())).saturating_add(signature).saturating_add(STAMP_LEN);
    written && shortest.get(..length) == Some(layout.head()) && layout.bytes.len() == whole
}

fn id(head: &[u8], body_hash: &[u8; 32], fields: &Fields) -> EnvelopeId {
    let id = Sha256::new().chain_update(ID_DOMAIN).chain_update(head).chain_update(body_hash);
    let id = match fields.kind.signed() {
        Some(signed) => id.chain_update(signed.signature),
        None => id,
    };
    EnvelopeId(id.finalize().into())
}

fn signed_hash(head: &[u8], body_hash: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(SIGN_DOMAIN).chain_update(head).chain_update(body_hash).finalize().into()
}

fn head(fields: &Fields) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(HEAD_MAX));
    // Writing into a Vec cannot fail.
    let _ = write_head(&mut e, fields);
    e.into_writer()
}

fn write_head<W: Write>(e: &mut Encoder<W>, fields: &Fields) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(if fields.kind.signed().is_some() { 11 } else { 9 })?;
    e.u8(ENVELOPE_VERSION)?.u8(fields.kind.number())?.u32(fields.hour.0)?.u8(fields.lifetime)?;
    match &fields.kind {
        Kind::Announcement(s) => e.bytes(&s.author.0)?.u64(s.seq)?.bytes(&[])?,
        Kind::Post(s, topic) => e.bytes(&s.author.0)?.u64(s.seq)?.bytes(topic)?,
        Kind::Bell { bucket } => e.u16(*bucket)?.bytes(&[])?,
        Kind::Sealed { bucket, tag } => e.u16(*bucket)?.bytes(tag)?,
    };
    Ok(())
}

/// The whole with an empty stamp.
fn encode(fields: &Fields, body: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(body.len().saturating_add(256)));
    let _ = write(&mut e, fields, body);
    e.into_writer()
}

fn write<W: Write>(e: &mut Encoder<W>, fields: &Fields, body: &[u8]) -> Result<(), minicbor::encode::Error<W::Error>> {
    write_head(e, fields)?;
    e.bytes(body)?;
    if let Some(signed) = fields.kind.signed() {
        e.bytes(&signed.signature)?;
    }
    e.u8(stamp::ALGORITHM)?.bytes(&[0; 8])?;
    Ok(())
}

/// Everything but the hashes.
fn parse(bytes: &[u8]) -> Result<Layout<&[u8]>, DecodeError> {
    let malformed = |_: minicbor::decode::Error| DecodeError::Malformed;
    let mut d = Decoder::new(bytes);
    let elements = d.array().map_err(malformed)?;
    if d.u8().map_err(malformed)? != ENVELOPE_VERSION {
        return Err(DecodeError::Version);
    }
    let number = d.u8().map_err(malformed)?;
    let hour = Hour(d.u32().map_err(malformed)?);
    let lifetime = d.u8().map_err(malformed)?;
    if usize::from(lifetime) >= LIFETIMES.len() {
        return Err(DecodeError::Range);
    }
    let (kind, head, body) = match (number, elements) {
        (0 | 1, Some(11)) => {
            let author = IdentityKey(exact(&mut d)?);
            let seq = d.u64().map_err(malformed)?;
            // Databases count in signed 64-bit numbers.
            i64::try_from(seq).map_err(|_| DecodeError::Range)?;
            let topic = d.bytes().map_err(malformed)?;
            let head = d.position();
            let body = body(&mut d)?;
            let signed = Signed { author, seq, signature: exact(&mut d)? };
            let kind = match (number, topic) {
                (0, []) => Kind::Announcement(signed),
                (1, topic) => Kind::Post(signed, topic.try_into().map_err(|_| DecodeError::Malformed)?),
                _ => return Err(DecodeError::Malformed),
            };
            (kind, head, body)
        }
        (2 | 3, Some(9)) => {
            let bucket = d.u16().map_err(malformed)?;
            if u32::from(bucket) >= 1u32.wrapping_shl(BUCKET_DEPTH) {
                return Err(DecodeError::Range);
            }
            let tag = d.bytes().map_err(malformed)?;
            let kind = match (number, tag) {
                (2, []) => Kind::Bell { bucket },
                (3, tag) => Kind::Sealed { bucket, tag: tag.try_into().map_err(|_| DecodeError::Malformed)? },
                _ => return Err(DecodeError::Malformed),
            };
            (kind, d.position(), body(&mut d)?)
        }
        _ => return Err(DecodeError::Malformed),
    };
    if d.u8().map_err(malformed)? != stamp::ALGORITHM {
        return Err(DecodeError::Range);
    }
    let nonce = u64::from_be_bytes(exact(&mut d)?);
    if d.position() != bytes.len() {
        return Err(DecodeError::Malformed);
    }
    let fields = Fields { kind, hour, lifetime };
    Ok(Layout { bytes, fields, head, body, body_hash: [0; 32], id: EnvelopeId([0; 32]), nonce })
}

/// Where the body lies.
fn body(d: &mut Decoder<'_>) -> Result<Range<usize>, DecodeError> {
    let length = d.bytes().map_err(|_| DecodeError::Malformed)?.len();
    Ok(d.position().saturating_sub(length)..d.position())
}

fn exact<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], DecodeError> {
    d.bytes().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(DecodeError::Malformed)
}

// The stamp must stay the last thing of the encoding: the sizes below are part of the specification.
const _: () = assert!(STAMP_LEN == 1 + 1 + 8);

#[cfg(test)]
mod tests;
