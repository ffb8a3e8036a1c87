//! The honest sentences: what is visible to whom, as things are in this version.

use samizdat_chat::SessionChoice;

/// Path of everything in this version.
pub(crate) const CAST: &str = "Broadcast without a stem: the nodes you are connected to can guess that what you send first comes from you; \
     nobody learns for whom it is, and only its reader can read it.";

/// Path of what goes over sessions.
pub(crate) const DIRECT: &str = "Over a connection to the contact, while there is one: it arrives at once. It is broadcast as well, so this hides \
     no more; what the connection shows to whom stands beside each contact.";

/// Whether strangers can dial this node.
pub(crate) const ALONE: &str =
    "Not known yet: it takes nodes in two other networks to find out whether strangers can dial this one.";
pub(crate) const ASKING: &str = "Not known yet: others are being asked to dial this node.";
pub(crate) const REACHABLE: &str = "Strangers can dial this node: two others in different networks did.";
pub(crate) const UNREACHABLE: &str = "Others cannot dial this node: a router or a firewall is in the way. It still reaches them; \
     forwarding its UDP port on the router would help.";
pub(crate) const PROXIED: &str = "Others cannot dial this node: everything goes through your proxy, and nothing else leaves this computer. \
     It meets others through their relays, which see the address of the proxy and not yours.";

/// The role of a relay.
pub(crate) const RELAY_MEANS: &str = "Carries the packets of people who cannot reach each other directly, up to 256 kB/s for each of at most \
     512 and 1 MB/s for all of one network. What they say stays encrypted; their internet addresses, and when and how much they talk, your node sees. Your own address \
     becomes known as a relay's.";
pub(crate) const BESIDE_PROXY: &str = "this would go beside the proxy: leave the proxy with `samizdat node proxy off` first";
pub(crate) const RELAY_PROXIED: &str =
    "nobody can reach a relay behind a proxy: leave the proxy with `samizdat node proxy off` first";
pub(crate) const RELAY_OFF: &str = "Off: this node relays for nobody.";
pub(crate) const RELAY_ANNOUNCED: &str = "Others came through to it, so it is announced.";
pub(crate) const RELAY_UNPROVEN: &str = "Not announced until two nodes in different networks came through to it from outside; on a home router \
     its ports must be forwarded.";

/// Relays of others.
pub(crate) const RELAYS_REFUSED: &str = "Refused: whoever cannot be reached directly is not reached at all, contacts included.";
pub(crate) const RELAYS_USED: &str = "Whoever cannot reach this node directly does so through a relay. The relay sees both addresses, when and how \
     much; not what, and not who.";
pub(crate) const RELAYS_CONNECTING: &str = "Connecting to a relay.";
pub(crate) const RELAYS_NEEDLESS: &str = "None is needed: strangers can dial this node.";
pub(crate) const RELAYS_UNKNOWN: &str = "No node is known that relays for others.";

/// What `samizdat net doctor` advises.
pub(crate) const ADVICE_JOIN: &str = "Check that this machine is online, then name a node with `samizdat up --join ADDR`.";
pub(crate) const ADVICE_UDP: &str =
    "A firewall seems to block UDP; where it can be opened for this program, connections become faster.";
pub(crate) const ADVICE_FORWARD: &str =
    "Forward the node's UDP port on your router, if you may; otherwise relays do what is needed.";
pub(crate) const ADVICE_WAIT: &str = "Nothing needs to be done: it is found out as soon as enough nodes are known.";
pub(crate) const ADVICE_ALLOW_RELAYS: &str =
    "Allow relays with `samizdat node relays on`, if their seeing your address is no danger to you.";
pub(crate) const ADVICE_RELAYS: &str =
    "Somebody you trust who has a public address can switch one on with `samizdat node role relay on`.";

/// A proxy.
pub(crate) const PROXY_ON: &str = "On: nothing leaves this computer but to the proxy. What it cannot carry is off: direct connections, being \
     dialled, the local network, entry domains.";
pub(crate) const PROXY_OFF: &str = "Off: others see the internet address of this computer.";
pub(crate) const LISTEN_BESIDE_PROXY: &str =
    "this node was told to listen, and behind a proxy nothing listens: start it again without --listen, then say this again";
pub(crate) const ENTRY_BESIDE_PROXY: &str = "this node keeps an entry in a domain, which would go beside the proxy: take it away with \
     `samizdat node entry off` first, which takes a moment";

/// The role of an entry point.
pub(crate) const ENTRY_MEANS: &str = "Newcomers who know nothing but your domain find this node in its DNS and meet others through it; it sees \
     their internet addresses. Everybody can read there at which address this node is and under which key, and that it is the \
     domain's. It stands there only while strangers can dial it.";

/// Discovery in the local network.
pub(crate) const LAN_ON: &str = "On: everybody in the local network can see that this node is here, not whose it is. Contacts with \
     whom both of you chose a straight connection learn its addresses there.";
pub(crate) const LAN_OFF: &str = "Off: the local network is not told of this node.";

/// Below so many known nodes nobody is hidden among them.
const CROWD: usize = 30;

/// `known`: whether their keys are; `session`: what the person chose; `nodes`: how many nodes we have heard of.
pub(crate) fn direct(known: bool, session: SessionChoice, nodes: usize) -> &'static str {
    if !known {
        "Not connected yet: their keys have not been seen. What you write waits here and goes out by itself."
    } else if session == SessionChoice::Direct {
        "End-to-end encrypted, post-quantum. Your internet address is visible to your contact, if they chose a straight connection too."
    } else if nodes < CROWD {
        "End-to-end encrypted, post-quantum. Not anonymous here: the network is too small. Whoever is connected to you, perhaps your \
         contact, can guess that what you send comes from your internet address."
    } else {
        "End-to-end encrypted, post-quantum. Your contact is not told your internet address; the nodes you are connected to can guess \
         when you write, not to whom."
    }
}

pub(crate) fn request() -> &'static str {
    "Somebody who is not your contact. They do not learn whether you have read this until you accept."
}

pub(crate) fn cluster() -> &'static str {
    "End-to-end encrypted among the members, under nicknames that nothing connects to your names. Whoever is a member can read it, show it \
     to others, and see who votes how, but in secret votes; the nodes you are connected to can guess when you write."
}

/// What is written in a cluster without a name.
pub(crate) const ANONYMOUS: &str = "No single member can tell which of them wrote it; those who put together what they know can \
     rule themselves out. Whoever sees your node's traffic may know. It proves that its author was a member at that epoch.";

pub(crate) fn room() -> &'static str {
    "Public: everybody who knows the name of this room can read it, and every post shows your name."
}

pub(crate) const ADVICE_CLOCK: &str = "Let the system set its clock by the network, or set date, time and time zone by hand.";

/// A clock that is wrong by more than others take; negative if it is behind.
pub(crate) fn clock(ahead_s: i64) -> String {
    let hours = ahead_s.unsigned_abs().saturating_add(1800) / 3600;
    let (which, meanwhile) = if ahead_s > 0 {
        (
            "ahead of",
            "others refuse what is written with it, and what you wrote meanwhile is sent again, but for posts in rooms, once others confirm that it is right",
        )
    } else {
        ("behind", "what is written with it may expire before it arrives")
    };
    format!("The clock of this machine seems to be about {hours} hours {which} those of others: set it right, for {meanwhile}.")
}
