//! Roles that have their bits in node records and nothing else yet.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What whoever wants to be one is told.
pub const NO_SUCH_ROLE: &str = "this version has no such role yet: a node can be a relay (`samizdat node role relay on`) or an entry \
     point (`samizdat node entry`); nothing was changed";

/// The switch of such a role. There is no value of it, on or off: what is not there cannot be agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaterRole {}

impl<'de> Deserialize<'de> for LaterRole {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(NO_SUCH_ROLE))
    }
}

impl Serialize for LaterRole {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}
