//! Writing to a domain, as an operator: two back ends.

mod dyndns2;
mod rfc2136;

use core::pin::Pin;

use samizdat_core::{NodeRecord, Now};

pub use dyndns2::Dyndns2;
pub use rfc2136::Rfc2136;

use crate::text::Txt;

/// A change of the entries of a domain that counts only if they are still what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swap {
    /// All TXT records as the last look showed them, other people's too.
    pub seen: Vec<Txt>,
    /// Those of them that go.
    pub remove: Vec<Txt>,
    /// What comes.
    pub add: Option<NodeRecord>,
}

/// How a change ended that somebody was able to decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swapped {
    /// It was made.
    Done,
    /// The entries were not what was seen any more; nothing was changed.
    Raced,
}

/// Why a domain could not be read or changed, each as a sentence for its operator.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PublishError {
    /// Unknown key, or another secret.
    #[error("the name server does not accept this key")]
    Key,
    /// Signatures carry the time.
    #[error("the name server does not accept our time: its clock or ours is wrong by more than five minutes")]
    Clock,
    /// Its policy says no.
    #[error("the name server does not let this key change the entries of this domain")]
    Refused,
    /// Another server has the domain.
    #[error("the name server is not the one that keeps this domain")]
    NotOurs,
    /// Timed out, or no connection.
    #[error("the name server does not answer")]
    Unanswered,
    /// Not signed as it must be.
    #[error("the answer of the name server is not signed with this key: somebody may be in between")]
    Forged,
    /// Not a message of DNS, or not the answer to what was asked.
    #[error("the answer of the name server makes no sense")]
    Malformed,
    /// Some other code.
    #[error("the name server answers with the error {0}")]
    Code(u16),
    /// Not `https://host`.
    #[error("the address of the service must be https://... without a path: the password would be readable on its way")]
    Service,
    /// badauth.
    #[error("the service does not accept this user name and password")]
    Password,
    /// nohost, !yours, numhost.
    #[error("the service knows no such host name of this user")]
    NoHost,
    /// notfqdn.
    #[error("the service says that the host name is not a full domain name")]
    NotFqdn,
    /// abuse.
    #[error("the service has blocked this host name for too many updates")]
    Abuse,
    /// badagent, !donator.
    #[error("the service refuses such updates")]
    Unwelcome,
    /// 911, dnserr.
    #[error("the service has a fault of its own; it is left alone for a while")]
    Fault,
    /// Timed out, or no connection.
    #[error("the service does not answer")]
    ServiceUnanswered,
    /// Some other answer.
    #[error("the service answers something that makes no sense")]
    ServiceMalformed,
    /// The record has only relays.
    #[error("this node has no public address that could stand in DNS")]
    NoAddress,
    /// dyndns2 has no word for it.
    #[error("the service cannot take an address back: the name leads here until another node takes it")]
    Stays,
}

impl PublishError {
    /// Whether trying again is of no use until a person has changed something.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Key | Self::Refused | Self::NotOurs | Self::Service => true,
            Self::Password | Self::NoHost | Self::NotFqdn | Self::Abuse | Self::Unwelcome => true,
            Self::Clock | Self::Unanswered | Self::Forged | Self::Malformed | Self::Code(_) => false,
            Self::Fault | Self::ServiceUnanswered | Self::ServiceMalformed | Self::NoAddress | Self::Stays => false,
        }
    }
}

/// What comes of asking.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, PublishError>> + Send + 'a>>;

/// Where entries are kept. Every answer comes in bounded time.
pub trait Publisher: Send + Sync {
    /// The TXT records as whoever decides about changes has them now.
    fn look(&self) -> Answer<'_, Vec<Txt>>;

    /// Makes a change. After an error it may have been made or not: the next look tells.
    fn swap<'a>(&'a self, swap: &'a Swap, now: Now) -> Answer<'a, Swapped>;
}
