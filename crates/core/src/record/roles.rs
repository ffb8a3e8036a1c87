//! What a node does for others. Each role is a consent of its own.

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Carries the packets of peers that cannot reach each other.
    Relay,
    /// Stands in DNS, for those who know nobody.
    Entry,
    /// Keeps copies for readers who are offline.
    Custodian,
    /// Passes on what others send, so that nobody can tell who sent it.
    Mix,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relay, Self::Entry, Self::Custodian, Self::Mix];

    fn bit(self) -> u32 {
        match self {
            Self::Relay => 1,
            Self::Entry => 2,
            Self::Custodian => 4,
            Self::Mix => 8,
        }
    }
}

/// A set of roles. Bits of later versions are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Roles(u32);

impl Roles {
    /// From the wire.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// For the wire.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether it is among them.
    pub fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }
}
