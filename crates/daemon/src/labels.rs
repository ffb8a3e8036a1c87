//! The honest sentences: what is visible to whom, as things are in this version.

/// Path of everything in this version.
pub(crate) const CAST: &str = "Broadcast without a stem: the nodes you are connected to can guess that what you send first comes from you; \
     nobody learns for whom it is, and only its reader can read it.";

pub(crate) fn direct(known: bool) -> &'static str {
    if known {
        "End-to-end encrypted, post-quantum. Your contact does not learn your internet address; the nodes you are connected to can guess \
         when you write, not to whom."
    } else {
        "Not connected yet: their keys have not been seen. What you write waits here and goes out by itself."
    }
}

pub(crate) fn request() -> &'static str {
    "Somebody who is not your contact. They do not learn whether you have read this until you accept."
}

pub(crate) fn room() -> &'static str {
    "Public: everybody who knows the name of this room can read it, and every post shows your name."
}
