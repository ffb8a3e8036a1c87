//! Invite links: `samizdat:NAME` or `samizdat:NAME/SECRET`.
//!
//! The secret lets a stranger's first message through a closed inbox; it is no key and reveals nothing by itself.
//! Later parts of a link follow after another `/` and are ignored by readers that do not know them.

use core::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;

use crate::identity::{Name, NameError};

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
        match &self.secret {
            Some(secret) => write!(f, "/{}", BASE32_NOPAD.encode(secret).to_ascii_lowercase()),
            None => Ok(()),
        }
    }
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
            Some(secret) => Some(
                BASE32_NOPAD
                    .decode(secret.to_ascii_uppercase().as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or(LinkError::Secret)?,
            ),
        };
        Ok(Self { name, secret })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::string_slice)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_survives_writing(name: [u8; 20], secret: Option<[u8; SECRET_LEN]>) {
            let link = InviteLink { name: Name(name), secret };
            prop_assert!(link.to_string().len() < 120);
            prop_assert_eq!(link.to_string().parse(), Ok(link.clone()));
            prop_assert_eq!(link.to_string().to_uppercase().parse(), Ok(link));
        }

        #[test]
        fn any_text_parses_without_panic(text in ".{0,200}") {
            let _ = text.parse::<InviteLink>();
        }
    }

    #[test]
    fn damage_is_told_apart() {
        let link = InviteLink { name: Name([1; 20]), secret: Some([2; SECRET_LEN]) }.to_string();
        assert_eq!(link[..link.len() - 1].parse::<InviteLink>(), Err(LinkError::Secret));
        let typed = link.replacen("aeaq", "aeaz", 1);
        assert!(matches!(typed.parse::<InviteLink>(), Err(LinkError::Name(NameError::Group { group: 1, .. }))), "{typed}");
    }
}
