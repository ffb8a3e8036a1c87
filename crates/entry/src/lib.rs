//! Entry points in DNS: signed node records as TXT, how people find them and how operators keep them there.
//!
//! It knows node records and DNS. DNS is a hint: whatever it says, the signature of a record decides.

pub mod domain;
pub mod keeper;
pub mod key;
pub mod limits;
pub mod lookup;
pub mod publish;
pub mod text;

pub use domain::Domain;
pub use keeper::{Input, Keeper, Output, Said};
pub use key::TsigKey;
pub use lookup::{Found, Hint, NameServers, lookup};
pub use publish::{Dyndns2, PublishError, Publisher, Rfc2136, Swap, Swapped};
pub use text::{Slot, Txt};
