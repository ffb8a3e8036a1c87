//! Node records: what a transport key says of itself, for a short time. Byte by byte in docs/protocol/node.md.
//!
//! Whatever names a node to a stranger is one: answers of the routing, DNS, links. Where it came from means nothing, its
//! signature decides.

mod address;
mod roles;

use core::fmt;
use core::net::SocketAddr;

use ed25519_zebra::{Signature, SigningKey, VerificationKey};
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use address::{BadDual, Dual, Families, Prefix, is_public};
pub use roles::{Role, Roles};

use crate::{
    ids::PeerId,
    limits::{CLOCK_SLACK_HOURS, RECORD_ADDRS_MAX, RECORD_LIFETIME_MAX_S, RECORD_MAX, RECORD_VIA_MAX},
};

const DOMAIN: &[u8] = b"samizdat node record v1\0";
const POSITION_DOMAIN: &[u8] = b"samizdat position v1\0";
const VERSION: u8 = 1;
const SIGNATURE_LEN: usize = 64;
/// How long a record of ours holds, seconds.
pub const RECORD_LIFETIME_S: u16 = 3600;
/// Length of the SHA-256 hash of a certificate, bytes.
pub const CERTIFICATE_HASH_LEN: usize = 32;

/// What a record says of a certificate (DER).
pub fn certificate_hash(der: &[u8]) -> [u8; CERTIFICATE_HASH_LEN] {
    Sha256::digest(der).into()
}

/// The secret half of a [`PeerId`]: an Ed25519 seed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PeerSecret(pub [u8; 32]);

impl PeerSecret {
    /// The public half.
    pub fn peer(&self) -> PeerId {
        PeerId(SigningKey::from(self.0).verification_key().into())
    }
}

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerSecret(..)")
    }
}

/// The relay that a node runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RelayService {
    /// TCP port of HTTPS.
    pub port: u16,
    /// UDP port at which it tells who asks their address.
    pub discovery_port: u16,
    /// SHA-256 of its certificate (DER).
    pub certificate: [u8; CERTIFICATE_HASH_LEN],
}

/// The relay that a node says it runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RelayOffer {
    /// On which ports, with which certificate.
    pub service: RelayService,
    /// Strangers come through to it at the node's first address of each of these.
    pub families: Families,
}

impl RelayOffer {
    /// At the first of each kind of these addresses.
    pub fn on(service: RelayService, addrs: &[SocketAddr]) -> Self {
        Self { service, families: Families::of(addrs.iter().map(SocketAddr::ip)) }
    }
}

/// A relay through which a node is reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Via {
    /// Where its HTTPS listens.
    pub at: Dual,
    /// SHA-256 of its certificate (DER).
    pub certificate: [u8; CERTIFICATE_HASH_LEN],
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFields {
    /// Seconds since 1970 by its clock. Of two records of a node the later one counts.
    pub issued: u64,
    /// How long it holds, seconds, at most [`RECORD_LIFETIME_MAX_S`].
    pub lifetime_s: u16,
    /// What it does for others.
    pub roles: Roles,
    /// Public addresses at which it can be dialled, UDP, at most [`RECORD_ADDRS_MAX`], none twice.
    pub addrs: Vec<SocketAddr>,
    /// Its relay, if it has that role.
    pub relay: Option<RelayOffer>,
    /// Relays through which it is reached, at most [`RECORD_VIA_MAX`].
    pub via: Vec<Via>,
}

/// A record that is well formed and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeRecordIn(NodeRecord);

/// A record that its node signed and that held when it was verified. There is no other way to one.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeRecord {
    peer: PeerId,
    fields: NodeFields,
    bytes: Vec<u8>,
    /// Kept, for the routing needs it each time it hears of the record.
    position: [u8; 32],
}

/// Where a node stands in the routing, docs/protocol/routing.md. A hash, so that a place near another one must be searched for.
pub fn position(peer: &PeerId) -> [u8; 32] {
    Sha256::new().chain_update(POSITION_DOMAIN).chain_update(peer.0).finalize().into()
}

/// Why something is no record of use.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadRecord {
    /// Not the encoding of a record.
    #[error("malformed node record")]
    Malformed,
    /// An address that is not of the public internet.
    #[error("the node record names a private address")]
    Address,
    /// A relay without the role, or the role without a relay, or a relay without an address.
    #[error("the node record contradicts itself")]
    Contradiction,
    /// Issued later than clocks may differ.
    #[error("the node record is from the future")]
    Future,
    /// It holds no more.
    #[error("the node record has expired")]
    Expired,
    /// Not signed by its node.
    #[error("the signature of the node record does not verify")]
    Signature,
}

impl NodeRecord {
    /// Signs what a node says of itself.
    ///
    /// # Errors
    /// If nobody would take it.
    pub fn sign(secret: &PeerSecret, fields: NodeFields) -> Result<Self, BadRecord> {
        fields.check()?;
        let peer = secret.peer();
        let mut bytes = encode(&peer, &fields);
        bytes.extend_from_slice(&SigningKey::from(secret.0).sign(&signed(&bytes)).to_bytes());
        if bytes.len() > RECORD_MAX {
            return Err(BadRecord::Malformed);
        }
        Ok(Self { peer, fields, bytes, position: position(&peer) })
    }

    /// Whose it is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Where its node stands: [`position`].
    pub fn position(&self) -> &[u8; 32] {
        &self.position
    }

    /// What it says.
    pub fn fields(&self) -> &NodeFields {
        &self.fields
    }

    /// As on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it still holds, by a clock that may be wrong, seconds since 1970.
    pub fn holds(&self, unix_s: u64) -> bool {
        self.fields.timely(unix_s).is_ok()
    }

    /// Whether this one counts where `other`, of the same node, is known. Of two of one second the greater bytes do, so that
    /// everybody agrees.
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.fields.issued, &self.bytes) > (other.fields.issued, &other.bytes)
    }

    /// The network that it is in: of its first address, or else of the relay through which it is reached.
    pub fn prefix(&self) -> Option<Prefix> {
        let via = self.fields.via.iter().map(|via| via.at.first());
        self.fields.addrs.iter().copied().chain(via).next().map(|addr| Prefix::of(addr.ip()))
    }
}

impl NodeRecordIn {
    /// Reads a record.
    ///
    /// # Errors
    /// If it is not one, or names what no record may name.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        if bytes.len() > RECORD_MAX {
            return Err(BadRecord::Malformed);
        }
        let length = bytes.len().checked_sub(SIGNATURE_LEN).ok_or(BadRecord::Malformed)?;
        let (content, _) = bytes.split_at_checked(length).ok_or(BadRecord::Malformed)?;
        let (peer, fields) = decode(content).ok_or(BadRecord::Malformed)?;
        // One encoding for one meaning.
        if encode(&peer, &fields) != content {
            return Err(BadRecord::Malformed);
        }
        fields.check()?;
        Ok(Self(NodeRecord { peer, fields, bytes: bytes.to_vec(), position: position(&peer) }))
    }

    /// The only door to a [`NodeRecord`]. `unix_s` is now, seconds since 1970.
    ///
    /// # Errors
    /// If it does not hold now, or is not signed by its node.
    pub fn verify(self, unix_s: u64) -> Result<NodeRecord, BadRecord> {
        self.0.fields.timely(unix_s)?;
        let (content, signature) = self.0.bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(BadRecord::Malformed)?;
        VerificationKey::try_from(self.0.peer.0)
            .and_then(|key| key.verify(&Signature::from(*signature), &signed(content)))
            .map_err(|_| BadRecord::Signature)?;
        Ok(self.0)
    }

    /// Whose it says to be.
    pub fn claimed_peer(&self) -> PeerId {
        self.0.peer
    }

    /// When it says that it was issued, seconds since 1970: verified at this time, it tells whose an expired record was.
    pub fn claimed_issued(&self) -> u64 {
        self.0.fields.issued
    }
}

impl fmt::Debug for NodeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record of {:?}", self.peer)
    }
}

impl fmt::Debug for NodeRecordIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unverified {:?}", self.0)
    }
}

impl NodeFields {
    /// Where HTTPS of its relay listens.
    pub fn relay_at(&self) -> Option<Dual> {
        let relay = self.relay?;
        let ips = self.addrs.iter().map(SocketAddr::ip).filter(|ip| relay.families.has(*ip));
        Dual::of(ips.map(|ip| SocketAddr::new(ip, relay.service.port)))
    }

    fn check(&self) -> Result<(), BadRecord> {
        let Self { lifetime_s, roles, addrs, relay, via, .. } = self;
        if *lifetime_s == 0 || *lifetime_s > RECORD_LIFETIME_MAX_S || addrs.len() > RECORD_ADDRS_MAX || via.len() > RECORD_VIA_MAX {
            return Err(BadRecord::Malformed);
        }
        let places = || addrs.iter().copied().chain(via.iter().flat_map(|via| via.at.iter()));
        let twice = |i: usize, addr: &SocketAddr| addrs.iter().skip(i.saturating_add(1)).any(|other| other == addr);
        if addrs.iter().enumerate().any(|(i, addr)| twice(i, addr)) || places().any(|addr| !address::is_canonical(&addr)) {
            return Err(BadRecord::Malformed);
        }
        if places().any(|addr| addr.port() == 0 || !is_public(addr.ip())) {
            return Err(BadRecord::Address);
        }
        let ports = relay.is_none_or(|relay| relay.service.port != 0 && relay.service.discovery_port != 0);
        let there =
            self.relay_at().map(Dual::families).unwrap_or_default() == relay.map(|relay| relay.families).unwrap_or_default();
        let agrees = roles.has(Role::Relay) == relay.is_some() && relay.is_none_or(|relay| !relay.families.is_empty());
        if ports && there && agrees { Ok(()) } else { Err(BadRecord::Contradiction) }
    }

    fn timely(&self, unix_s: u64) -> Result<(), BadRecord> {
        let slack = u64::from(CLOCK_SLACK_HOURS).saturating_mul(3600);
        if self.issued > unix_s.saturating_add(slack) {
            return Err(BadRecord::Future);
        }
        let last = self.issued.saturating_add(u64::from(self.lifetime_s)).saturating_add(slack);
        if last < unix_s { Err(BadRecord::Expired) } else { Ok(()) }
    }
}

fn signed(content: &[u8]) -> Vec<u8> {
    [DOMAIN, content].concat()
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn encode(peer: &PeerId, fields: &NodeFields) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = write(&mut e, peer, fields);
    e.into_writer()
}

fn write(e: &mut Encoder<Vec<u8>>, peer: &PeerId, fields: &NodeFields) -> Written {
    e.array(8)?.u8(VERSION)?.bytes(&peer.0)?.u64(fields.issued)?.u16(fields.lifetime_s)?.u32(fields.roles.bits())?;
    e.array(fields.addrs.len() as u64)?;
    for addr in &fields.addrs {
        e.bytes(&address::encode(addr))?;
    }
    match &fields.relay {
        None => e.null()?,
        Some(RelayOffer { service, families }) => {
            e.array(4)?.u16(service.port)?.u16(service.discovery_port)?.bytes(&service.certificate)?.u8(families.bits())?
        }
    };
    e.array(fields.via.len() as u64)?;
    for via in &fields.via {
        e.array(2)?.array(via.at.iter().count() as u64)?;
        for addr in via.at.iter() {
            e.bytes(&address::encode(&addr))?;
        }
        e.bytes(&via.certificate)?;
    }
    Ok(())
}

/// What lies before the signature. Shapes only: [`NodeFields::check`] has the rest.
fn decode(content: &[u8]) -> Option<(PeerId, NodeFields)> {
    let mut d = Decoder::new(content);
    if d.array().ok()? != Some(8) || d.u8().ok()? != VERSION {
        return None;
    }
    let peer = PeerId(exact(&mut d)?);
    let issued = d.u64().ok()?;
    let lifetime_s = d.u16().ok()?;
    let roles = Roles::from_bits(d.u32().ok()?);
    let addrs = list(&mut d, RECORD_ADDRS_MAX, |d| address::decode(d.bytes().ok()?))?;
    let relay = if d.datatype().ok()? == minicbor::data::Type::Null {
        d.null().ok()?;
        None
    } else {
        d.array().ok().filter(|length| *length == Some(4))?;
        let service = RelayService { port: d.u16().ok()?, discovery_port: d.u16().ok()?, certificate: exact(&mut d)? };
        Some(RelayOffer { service, families: Families::from_bits(d.u8().ok()?)? })
    };
    let via = list(&mut d, RECORD_VIA_MAX, |d| {
        d.array().ok().filter(|length| *length == Some(2))?;
        // Of two of a kind the second is lost here, and the encoding is not the same then.
        let at = Dual::of(list(d, 2, |d| address::decode(d.bytes().ok()?))?)?;
        Some(Via { at, certificate: exact(d)? })
    })?;
    let fields = NodeFields { issued, lifetime_s, roles, addrs, relay, via };
    (d.position() == content.len()).then_some((peer, fields))
}

fn list<T>(d: &mut Decoder<'_>, most: usize, one: impl Fn(&mut Decoder<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = d.array().ok()?.filter(|count| *count <= most as u64)?;
    (0..count).map(|_| one(d)).collect()
}

fn exact<const N: usize>(d: &mut Decoder<'_>) -> Option<[u8; N]> {
    d.bytes().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
