//! Alice goes behind a proxy while her node runs, and leaves it again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod nodes;
#[path = "../../net/tests/support/socks.rs"]
mod socks;

use nodes::{Node, acquaint, relay};
use samizdat_api::{
    MessageState, PeerPath,
    call::{Goal, NodeEdit},
    meeting::Secret,
};
use socks::Proxy;
use tokio::runtime::Runtime;

fn say(node: &Node, proxy: &str) -> samizdat_api::Status {
    node.client.edit_node(&NodeEdit { proxy: Some(Secret::new(proxy)), ..NodeEdit::default() }).unwrap()
}

#[test]
fn alice_goes_on_behind_a_proxy_as_another_and_her_messages_come_through() {
    let runtime = Runtime::new().unwrap();
    let proxy = runtime.block_on(Proxy::start());
    let (_carol, at) = relay(&runtime);
    let bob = Node::start(&[], &[at]);
    bob.status(|status| !status.relays.through.is_empty());
    let alice = Node::start_at_home(&[&bob.client.status().unwrap().join], &[]);
    acquaint(&alice, &bob);
    assert_eq!(proxy.asked(), [], "not yet");

    let status = say(&alice, &format!("socks5://me:secret@{}", proxy.at));
    assert_eq!((status.join.as_str(), status.meeting.proxy.at), ("", Some(format!("socks5://{}", proxy.at))));
    alice.status(|status| status.peers.iter().any(|peer| peer.path == PeerPath::Relayed));
    assert_eq!(alice.send("bob", "from nowhere", Some(Goal::Received)), MessageState::Received);
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|(login, to)| login == "me:secret:" && *to == at.at.first()), "{asked:?}");

    let status = say(&alice, "off");
    assert_eq!(status.meeting.proxy.at, None);
    alice.status(|status| status.peers.iter().any(|peer| peer.path == PeerPath::Lan));
    assert_eq!(alice.send("bob", "from here again", Some(Goal::Received)), MessageState::Received);
    let refused = bob.client.edit_node(&NodeEdit { proxy: Some(Secret::new("socks5://127.0.0.1:9")), ..NodeEdit::default() });
    assert!(refused.unwrap_err().to_string().contains("--listen"), "what was told to listen goes on listening");
}
