//! What stands between a peer and the rest: kinds of NAT, and the packet filter rules that make them.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use anyhow::{Result, bail};

/// How a router translates addresses, and whether UDP passes it. Written `port`, `sym-noudp` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// How it maps and filters.
    pub kind: Kind,
    /// Whether UDP passes.
    pub udp: bool,
}

/// Kinds of NAT, by RFC 4787's terms. IPv6 is never translated: there `None` and `Full` let everything in, and the others what was
/// asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No NAT and no filter: the peer has a public address.
    None,
    /// Endpoint-independent mapping and filtering ("full cone").
    Full,
    /// Endpoint-independent mapping, address-dependent filtering ("restricted cone").
    Addr,
    /// Endpoint-independent mapping, address-and-port-dependent filtering ("port-restricted cone").
    Port,
    /// As [`Kind::Port`], but the port outside differs from the one inside.
    Eimnp,
    /// A fresh random port for each destination ("symmetric").
    Sym,
}

impl Kind {
    /// All of them, the most open first.
    pub const ALL: [Self; 6] = [Self::None, Self::Full, Self::Addr, Self::Port, Self::Eimnp, Self::Sym];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Full => "full",
            Self::Addr => "addr",
            Self::Port => "port",
            Self::Eimnp => "eimnp",
            Self::Sym => "sym",
        }
    }

    /// Whether unasked packets from outside get in.
    pub fn is_open(self) -> bool {
        matches!(self, Self::None | Self::Full)
    }

    /// Whether two peers behind these can send each other packets once each has sent one to where a third has seen the other.
    pub fn meets(self, other: Self) -> bool {
        // A symmetric one is not where it was seen; only who does not look at the port lets it in.
        let strict = |kind| matches!(kind, Self::Port | Self::Eimnp | Self::Sym);
        !(self == Self::Sym && strict(other) || other == Self::Sym && strict(self))
    }
}

impl From<Kind> for Nat {
    fn from(kind: Kind) -> Self {
        Self { kind, udp: true }
    }
}

impl Nat {
    /// The same, with UDP blocked.
    pub const fn without_udp(kind: Kind) -> Self {
        Self { kind, udp: false }
    }

    /// All of them, with and without UDP.
    pub fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().flat_map(|kind| [Self::from(kind), Self::without_udp(kind)])
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", self.kind.name(), if self.udp { "" } else { NO_UDP }))
    }
}

const NO_UDP: &str = "-noudp";

impl FromStr for Nat {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, udp) = text.strip_suffix(NO_UDP).map_or((text, true), |name| (name, false));
        match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => Ok(Self { kind, udp }),
            None => bail!("no such NAT: {text}; there are none, full, addr, port, eimnp, sym, each also with {NO_UDP}"),
        }
    }
}

/// Ports outside of a NAT that changes them.
const CHANGED_FIRST: u16 = 20_000;
/// How many of them.
const CHANGED: u16 = 4096;

/// Rules for nft on a router with a device `lan` towards its only `client` and `wan` towards the rest.
///
/// What arrives unasked for the router itself is dropped, as home routers do. Otherwise the kernel would take a peer's early packet
/// for one of the router's own flows, and move the client's mapping to another port.
pub(crate) fn rules(nat: Nat, client: Ipv4Addr) -> String {
    let both = "meta l4proto { tcp, udp }";
    let (mut sets, mut before, mut seen) = (String::new(), String::new(), String::new());
    let mut after = "oifname wan masquerade".to_owned();
    match nat.kind {
        Kind::None => after.clear(),
        Kind::Full => before = format!("iifname wan {both} dnat to {client}"),
        Kind::Addr => {
            "set seen { type ipv4_addr; flags dynamic,timeout; timeout 120s; }".clone_into(&mut sets);
            before = format!("iifname wan ip saddr @seen {both} dnat to {client}");
            // Rules that fill a set must be in its table.
            "chain seen { type filter hook forward priority -10; policy accept\n oifname wan update @seen { ip daddr }\n }"
                .clone_into(&mut seen);
        }
        Kind::Port => {}
        Kind::Eimnp => {
            // A function of the port inside, so that one socket keeps one mapping.
            let ports: Vec<String> = (0..CHANGED).map(|slot| format!("{slot} : {}", CHANGED_FIRST.saturating_add(slot))).collect();
            let map = ports.join(", ");
            after = format!("oifname wan {both} masquerade to : jhash th sport mod {CHANGED} seed 0x7 map {{ {map} }}\n {after}");
        }
        Kind::Sym => after.push_str(" random,fully-random"),
    }
    let udp = if nat.udp { "" } else { "meta l4proto udp drop" };
    let through = if nat.kind.is_open() { "accept" } else { "drop" };
    format!(
        "table ip nat {{
           {sets}
           chain after {{ type nat hook postrouting priority srcnat; policy accept
             {after}
           }}
           chain before {{ type nat hook prerouting priority dstnat; policy accept
             {before}
           }}
           {seen}
         }}
         table inet gate {{
           chain self {{ type filter hook input priority 0; policy drop
             ct state established,related accept
             iifname {{ lan, lo }} accept
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
           }}
           chain through {{ type filter hook forward priority 0; policy {through}
             {udp}
             ct state established,related accept
             ct status dnat accept
             iifname lan accept
           }}
         }}
        "
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for nat in Nat::all() {
            assert_eq!(nat.to_string().parse::<Nat>().unwrap(), nat);
        }
        assert_eq!("sym-noudp".parse::<Nat>().unwrap(), Nat::without_udp(Kind::Sym));
        assert!("cone".parse::<Nat>().is_err());
    }

    #[test]
    fn symmetric_ones_meet_only_who_does_not_look_at_the_port() {
        assert!(Kind::Full.meets(Kind::Sym) && Kind::Sym.meets(Kind::Addr) && Kind::Port.meets(Kind::Eimnp));
        assert!(!Kind::Sym.meets(Kind::Sym) && !Kind::Sym.meets(Kind::Port) && !Kind::Eimnp.meets(Kind::Sym));
    }
}
