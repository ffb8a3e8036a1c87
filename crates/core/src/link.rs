//! Invite links: `samizdat:NAME`, `samizdat:NAME/SECRET` or `samizdat:NAME/SECRET/PLACES`.
//!
//! The secret lets a stranger's first message through a closed inbox; it is no key and reveals nothing by itself. The places are
//! relays of others at which a newcomer who knows nobody finds the network; they say nothing about whoever invites.
//! Later parts of a link follow after another `/` and are ignored by readers that do not know them.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use data_encoding::BASE32_NOPAD;

use crate::{
    identity::{Name, NameError},
    limits::{LINK_PLACES_BYTES, LINK_PLACES_MAX},
    record::is_public,
};

/// What every link starts with.
pub const SCHEME: &str = "samizdat:";
/// Length of an invite secret, bytes.
pub const SECRET_LEN: usize = 10;

/// What an invite link says.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteLink {
    /// Who is to be contacted.
    pub name: Name,
    /// Lets a first message through a closed inbox.
    pub secret: Option<[u8; SECRET_LEN]>,
    /// Where relays serve HTTPS, at most [`LINK_PLACES_MAX`] and as many as have room. Written only beside a secret.
    pub places: Vec<SocketAddr>,
}

/// Why something is not an invite link.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum LinkError {
    /// The name in it has a mistake.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part after the name is damaged.
    #[error("the part of the link after the name is damaged: copy the whole link again")]
    Secret,
}

impl fmt::Display for InviteLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.name)?;
        let Some(secret) = &self.secret else { return Ok(()) };
        write!(f, "/{}", lower(secret))?;
        let places = encode(&self.places);
        if places.is_empty() { Ok(()) } else { write!(f, "/{}", lower(&places)) }
    }
}

fn lower(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()
}

/// Each place is 4 or 6 for the family, the address, the port (big-endian). What has no room is left out.
fn encode(places: &[SocketAddr]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for place in places.iter().take(LINK_PLACES_MAX) {
        let port = place.port().to_be_bytes();
        let one = match place.ip() {
            IpAddr::V4(ip) => [&[4][..], &ip.octets(), &port].concat(),
            IpAddr::V6(ip) => [&[6][..], &ip.octets(), &port].concat(),
        };
        if bytes.len().saturating_add(one.len()) <= LINK_PLACES_BYTES {
            bytes.extend_from_slice(&one);
        }
    }
    bytes
}

/// What is not understood, and what no stranger may make us dial, is passed over: the rest of the link is good without it.
fn decode(bytes: &[u8]) -> Vec<SocketAddr> {
    let mut places = Vec::new();
    let mut rest = bytes.get(..bytes.len().min(LINK_PLACES_BYTES)).unwrap_or_default();
    while let Some((place, after)) = split_place(rest) {
        rest = after;
        if is_public(place.ip()) && place.port() != 0 && places.len() < LINK_PLACES_MAX {
            places.push(place);
        }
    }
    places
}

fn split_place(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (family, rest) = bytes.split_first()?;
    let (ip, rest): (IpAddr, _) = match family {
        4 => rest.split_first_chunk::<4>().map(|(ip, rest)| ((*ip).into(), rest))?,
        6 => rest.split_first_chunk::<16>().map(|(ip, rest)| ((*ip).into(), rest))?,
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

impl fmt::Debug for InviteLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteLink(..)")
    }
}

impl FromStr for InviteLink {
    type Err = LinkError;

    /// Takes a link or a bare name.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let rest = text.get(..SCHEME.len()).filter(|s| s.eq_ignore_ascii_case(SCHEME)).and_then(|_| text.get(SCHEME.len()..));
        let mut parts = rest.unwrap_or(text).split('/');
        let name = parts.next().unwrap_or_default().parse()?;
        let secret = match parts.next() {
            None | Some("") => None,
            Some(secret) => Some(bytes_of(secret).and_then(|bytes| bytes.try_into().ok()).ok_or(LinkError::Secret)?),
        };
        let places = parts.next().and_then(bytes_of).map(|bytes| decode(&bytes)).unwrap_or_default();
        Ok(Self { name, secret, places })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::string_slice)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_survives_writing(name: [u8; 20], secret: Option<[u8; SECRET_LEN]>, hosts in proptest::collection::vec(1..255u8, 0..9)) {
            let places = hosts.iter().map(|n| SocketAddr::from(([203, 0, 113, *n], 4001))).collect();
            let link = InviteLink { name: Name(name), secret, places };
            prop_assert!(link.to_string().len() < 120);
            let expected = InviteLink { places: link.places.iter().copied().take(if secret.is_some() { LINK_PLACES_MAX } else { 0 }).collect(), ..link };
            prop_assert_eq!(expected.to_string().parse(), Ok(expected.clone()));
            prop_assert_eq!(expected.to_string().to_uppercase().parse(), Ok(expected));
        }

        #[test]
        fn no_link_makes_us_dial_anything_that_is_not_public(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let places = decode(&bytes);
            prop_assert!(places.len() <= LINK_PLACES_MAX && places.iter().all(|place| is_public(place.ip()) && place.port() != 0));
        }

        #[test]
        fn any_text_parses_without_panic(text in ".{0,200}") {
            let _ = text.parse::<InviteLink>();
        }
    }

    #[test]
    fn damage_is_told_apart() {
        let link = InviteLink { name: Name([1; 20]), secret: Some([2; SECRET_LEN]), places: vec![] }.to_string();
        assert_eq!(link[..link.len() - 1].parse::<InviteLink>(), Err(LinkError::Secret));
        let typed = link.replacen("aeaq", "aeaz", 1);
        assert!(matches!(typed.parse::<InviteLink>(), Err(LinkError::Name(NameError::Group { group: 1, .. }))), "{typed}");
    }
    #[test]
    fn an_address_of_ipv6_has_room_and_a_second_one_has_not() {
        let places: Vec<SocketAddr> =
            ["[2001:db8::1]:443", "[2001:db8::2]:443", "203.0.113.1:443"].map(|place| place.parse().unwrap()).into();
        let link = InviteLink { name: Name([1; 20]), secret: Some([2; SECRET_LEN]), places: places.clone() }.to_string();
        assert!(link.len() < 120);
        assert_eq!(link.parse::<InviteLink>().unwrap().places, [places[0], places[2]]);
    }

    #[test]
    fn private_places_and_those_that_are_cut_short_are_passed_over() {
        let link = |places: &[&str]| InviteLink {
            name: Name([1; 20]),
            secret: Some([2; SECRET_LEN]),
            places: places.iter().map(|place| place.parse().unwrap()).collect(),
        };
        let read = link(&["192.168.1.1:443", "203.0.113.1:443", "127.0.0.1:80"]).to_string().parse::<InviteLink>().unwrap();
        assert_eq!(read, link(&["203.0.113.1:443"]));
        let text = link(&["203.0.113.1:443"]).to_string();
        assert!(text[..text.len() - 4].parse::<InviteLink>().unwrap().places.is_empty());
    }
}
