//! What is done with what strangers send to the network's shell, as in `targets.rs`. `true` means that it was taken.
//!
//! `cargo test` calls these for the files of `corpus/` by way of `crates/net/tests/fuzz_corpus.rs`, which includes this very file.

use samizdat_net::{
    PeerAddr, format_join,
    lan::hello::{HELLO_LEN, HelloIn},
    limits::{ADDR_BYTES_MAX, ADDRS_MAX, FRAME_MAX},
    parse_join,
    script::Script,
};

/// A target by its name, which is also the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 4] = [("address", address), ("join", join), ("lan", lan), ("stream", stream)];

/// Where somebody says that a peer can be dialled.
pub fn address(bytes: &[u8]) -> bool {
    let Ok(addr) = PeerAddr::decode(bytes) else { return false };
    assert!(bytes.len() <= ADDR_BYTES_MAX);
    assert_eq!(addr.as_bytes(), bytes);
    let sockets: Vec<_> = addr.sockets().collect();
    assert!(sockets.len() <= ADDRS_MAX);
    // Written anew it has each address once and nothing from the future.
    let ours = PeerAddr::new(sockets.iter().copied());
    assert_eq!(PeerAddr::decode(ours.as_bytes()), Ok(ours.clone()));
    assert!(sockets.iter().all(|socket| ours.sockets().any(|other| other == *socket)));
    for socket in sockets {
        let ip = socket.ip();
        assert!(socket.port() != 0 && !ip.is_unspecified() && !ip.is_multicast(), "nobody listens there");
    }
    true
}

/// A join string as somebody pasted it.
pub fn join(bytes: &[u8]) -> bool {
    let Some((peer, addr)) = core::str::from_utf8(bytes).ok().and_then(|text| parse_join(text).ok()) else { return false };
    assert!((1..=ADDRS_MAX).contains(&addr.sockets().count()), "somewhere to dial");
    assert_eq!(parse_join(&format_join(&peer, &addr)), Ok((peer, addr)));
    true
}

/// A packet of the local network.
pub fn lan(bytes: &[u8]) -> bool {
    let Ok(hello) = HelloIn::decode(bytes) else { return false };
    assert!(bytes.len() == HELLO_LEN && hello.port != 0);
    assert_eq!(hello.encode(), bytes);
    true
}

/// All that a stranger says on a connection: the hello and frames. `false` when the framing is broken anywhere.
pub fn stream(bytes: &[u8]) -> bool {
    let Some(said) = Script::read(bytes) else { return false };
    assert!(said.frames.iter().all(|frame| (1..=FRAME_MAX).contains(&frame.len())));
    assert!(said.frames.iter().map(Vec::len).sum::<usize>() < bytes.len(), "no byte comes from nowhere");
    let again = said.write().expect("what was read can be written");
    assert_eq!(Script::read(&again), Some(Script { whole: true, ..said.clone() }));
    said.whole
}
