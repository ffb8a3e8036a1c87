//! The honest sentences: what is visible to whom, as things are in this version.

/// Path of everything in this version.
pub(crate) const CAST: &str = "Broadcast without a stem: the nodes you are connected to can guess that what you send first comes from you; \
     nobody learns for whom it is, and only its reader can read it.";

/// Whether strangers can dial this node.
pub(crate) const ALONE: &str =
    "Not known yet: it takes nodes in two other networks to find out whether strangers can dial this one.";
pub(crate) const ASKING: &str = "Not known yet: others are being asked to dial this node.";
pub(crate) const REACHABLE: &str = "Strangers can dial this node: two others in different networks did.";
pub(crate) const UNREACHABLE: &str = "Others cannot dial this node: a router or a firewall is in the way. It still reaches them; \
     forwarding its UDP port on the router would help.";

/// Below so many known nodes nobody is hidden among them.
const CROWD: usize = 30;

/// `known`: whether their keys are; `nodes`: how many nodes we have heard of.
pub(crate) fn direct(known: bool, nodes: usize) -> &'static str {
    if !known {
        "Not connected yet: their keys have not been seen. What you write waits here and goes out by itself."
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

pub(crate) fn room() -> &'static str {
    "Public: everybody who knows the name of this room can read it, and every post shows your name."
}
