//! Cluster links: `samizdat:cluster/`, twenty random bytes and the public key of the door in base32. It names neither the cluster nor
//! anybody in it. Later parts follow after another `/` and are ignored by readers that do not know them.

use core::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use samizdat_core::seal::door::{DOOR_KEY_LEN, DoorKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{door::DoorSecret, ids::ClusterId};

/// What every cluster link starts with.
pub const SCHEME: &str = "samizdat:cluster/";
/// Length of the secret in a link, bytes.
pub const SECRET_LEN: usize = 20;
/// Length of what a link holds, bytes: its secret, then the public key to which requests are sealed.
pub const LINK_LEN: usize = SECRET_LEN + DOOR_KEY_LEN;
const LINK_CHARS: usize = 84;

/// A link by which anybody can ask to be admitted.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ClusterLink(pub [u8; LINK_LEN]);

/// A link, and what opens the requests that come by it: for members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDoor {
    /// For whoever is to come.
    pub link: ClusterLink,
    /// Not for them.
    pub key: DoorKey,
}

/// A link that names its cluster, for another that would go into it: `…/` and the cluster's id after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeLink {
    /// The door.
    pub link: ClusterLink,
    /// Whose.
    pub cluster: ClusterId,
}

/// Why something is no cluster link.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum LinkError {
    /// It begins otherwise.
    #[error("this is no link to a cluster, which starts with {SCHEME}: ask a member for one")]
    NotCluster,
    /// A link for people.
    #[error("this link does not say to which cluster it leads: ask a member there for one that is made for a whole cluster")]
    NoCluster,
    /// Too short or too long.
    #[error(
        "the link to the cluster is not whole: after {SCHEME} it has {LINK_CHARS} letters and digits, this has {0}: copy all of it"
    )]
    Length(usize),
    /// A letter that cannot be there.
    #[error("'{0}' cannot be in a link to a cluster (only a to z and 2 to 7): copy the whole link again")]
    Character(char),
}

impl ClusterLink {
    /// The door that it is.
    pub fn door(&self) -> DoorSecret {
        DoorSecret(Sha256::new().chain_update(b"samizdat door v2\0").chain_update(self.0).finalize().into())
    }

    /// To which requests are sealed.
    pub fn key(&self) -> [u8; DOOR_KEY_LEN] {
        self.0.last_chunk().copied().unwrap_or_default()
    }
}

impl OpenDoor {
    /// What [`OpenDoor::secret`] gave.
    pub fn restore(secret: &[u8; LINK_LEN]) -> Self {
        let (link, key) = (secret.first_chunk().copied(), secret.last_chunk().copied());
        Self::new(&link.unwrap_or_default(), DoorKey(key.unwrap_or_default()))
    }

    /// All that it follows from: the secret of the link and the key.
    pub fn secret(&self) -> Zeroizing<[u8; LINK_LEN]> {
        let mut secret = Zeroizing::new([0; LINK_LEN]);
        let link = self.link.0.iter().take(SECRET_LEN);
        secret.iter_mut().zip(link.chain(&self.key.0)).for_each(|(to, from)| *to = *from);
        secret
    }

    /// The door of a secret and the key that opens it.
    pub fn new(secret: &[u8; SECRET_LEN], key: DoorKey) -> Self {
        let mut link = ClusterLink([0; LINK_LEN]);
        link.0.iter_mut().zip(secret.iter().chain(&key.public())).for_each(|(to, from)| *to = *from);
        Self { link, key }
    }
}

impl fmt::Display for MergeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.link, self.cluster)
    }
}

impl FromStr for MergeLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let link = text.parse()?;
        let cluster = text.trim().split('/').nth(2).and_then(|id| id.parse().ok());
        Ok(Self { link, cluster: cluster.ok_or(LinkError::NoCluster)? })
    }
}

impl fmt::Display for ClusterLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for ClusterLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterLink(..)")
    }
}

impl FromStr for ClusterLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let (scheme, rest) = text.split_at_checked(SCHEME.len()).ok_or(LinkError::NotCluster)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(LinkError::NotCluster);
        }
        let secret = rest.split('/').next().unwrap_or_default();
        if let Some(wrong) = secret.chars().find(|c| !matches!(c.to_ascii_lowercase(), 'a'..='z' | '2'..='7')) {
            return Err(LinkError::Character(wrong));
        }
        let bytes = BASE32_NOPAD.decode(secret.to_ascii_uppercase().as_bytes());
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(LinkError::Length(secret.len()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::string_slice)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_survives_writing(secret: [u8; SECRET_LEN], key: [u8; 32]) {
            let OpenDoor { link, key } = OpenDoor::new(&secret, DoorKey(key));
            prop_assert_eq!((&link.0[..SECRET_LEN], link.key()), (&secret[..], key.public()));
            prop_assert_eq!(OpenDoor::restore(&OpenDoor { link: link.clone(), key: key.clone() }.secret()).link, link.clone());
            prop_assert_eq!(link.to_string().len(), SCHEME.len() + LINK_CHARS);
            prop_assert_eq!(link.to_string().parse(), Ok(link.clone()));
            prop_assert_eq!(format!(" {} ", link.to_string().to_uppercase()).parse(), Ok(link.clone()));
            prop_assert_eq!(format!("{link}/more/of/it").parse(), Ok(link));
        }

        #[test]
        fn any_text_parses_without_panic(text in ".{0,80}") {
            let _ = text.parse::<ClusterLink>();
            let _ = format!("{SCHEME}{text}").parse::<ClusterLink>();
        }
    }

    #[test]
    fn damage_is_told_apart() {
        let link = ClusterLink([7; LINK_LEN]).to_string();
        assert_eq!("samizdat:abc".parse::<ClusterLink>(), Err(LinkError::NotCluster));
        assert_eq!("".parse::<ClusterLink>(), Err(LinkError::NotCluster));
        assert_eq!(link[..link.len() - 1].parse::<ClusterLink>(), Err(LinkError::Length(83)));
        assert_eq!(format!("{link}aa").parse::<ClusterLink>(), Err(LinkError::Length(86)));
        assert_eq!(link.replacen("/a", "/1", 1).parse::<ClusterLink>(), Err(LinkError::Character('1')));
    }

    #[test]
    fn a_link_for_a_whole_cluster_says_which_it_leads_to_and_is_good_for_people_too() {
        let link = MergeLink { link: ClusterLink([7; LINK_LEN]), cluster: ClusterId([8; 32]) };
        assert_eq!(link.to_string().parse(), Ok(link.clone()));
        assert_eq!(link.to_string().parse(), Ok(link.link.clone()));
        assert_eq!(link.link.to_string().parse::<MergeLink>(), Err(LinkError::NoCluster));
        assert_eq!(format!("{}/me", link.link).parse::<MergeLink>(), Err(LinkError::NoCluster));
    }

    #[test]
    fn two_links_are_two_doors() {
        assert_ne!(ClusterLink([1; LINK_LEN]).door(), ClusterLink([2; LINK_LEN]).door());
        assert_eq!(
            format!("{:?} {:?}", ClusterLink([1; LINK_LEN]), ClusterLink([1; LINK_LEN]).door()),
            "ClusterLink(..) DoorSecret(..)"
        );
    }
}
