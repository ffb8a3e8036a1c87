//! How a node meets others whom it does not know yet: domains with entries in DNS, the local network, an entry of its own.

use core::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroize;

/// A domain in whose DNS this node looks for others when it is connected to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryDomain {
    /// Which.
    pub domain: String,
    /// When it was last looked up, ms since 1970.
    pub looked_at: Option<u64>,
    /// Nodes that the last lookup found.
    pub nodes: u64,
    /// One sentence on what came of it.
    pub why: String,
}

/// How a node meets others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Meeting {
    /// Domains that I added.
    pub entries: Vec<EntryDomain>,
    /// The local network.
    pub lan: Lan,
    /// The entry that this node keeps as an operator's, if it shall.
    pub own_entry: Option<OwnEntry>,
    /// One sentence on what being an entry point means.
    pub entry_means: String,
    /// What everything goes through, if anything.
    pub proxy: Proxy,
}

/// The SOCKS5 proxy through which everything goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proxy {
    /// Which, without its login; none when there is none.
    pub at: Option<String>,
    /// One sentence on what that means.
    pub why: String,
}

/// Whether this node tells the local network that it is here, and finds others there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lan {
    /// It does.
    pub on: bool,
    /// One sentence on what that shows.
    pub why: String,
}

/// The entry of this node in a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnEntry {
    /// Which domain.
    pub domain: String,
    /// It stands there.
    pub stands: bool,
    /// One sentence on how that is.
    pub why: String,
}

/// Body of `POST node/entry`: `server`, and `key` unless the secret is a key file; or `dyndns` and `user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOwnEntry {
    /// The domain in which this node shall stand.
    pub domain: String,
    /// `IP:PORT` of the primary name server of its zone, for updates by RFC 2136.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Name of the TSIG key, HMAC-SHA256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `https://HOST` of a dyndns2 service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dyndns: Option<String>,
    /// Name of the user there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The key in base64, a key file as `tsig-keygen` prints it, or the password of the service.
    pub secret: Secret,
    /// How many entries the domain has (1 to 8, default 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u8>,
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Body of `POST entries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEntryDomain {
    /// A name in DNS.
    pub domain: String,
}

/// Answer to `GET entries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryDomainList {
    /// Domains that I added.
    pub entries: Vec<EntryDomain>,
}
