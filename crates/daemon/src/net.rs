//! What `samizdat net` shows: whom the routing knows, and where a node is.

use std::collections::BTreeMap;

use data_encoding::BASE32_NOPAD;
use samizdat_api::{self as api, ApiError, Request, Response};
use samizdat_core::record::Role;
use samizdat_core::{NodeRecord, PeerId};
use samizdat_engine::{Found, LookupId};
use tokio::sync::oneshot;
use tracing::debug;

use crate::{node::Node, requests::Answered};

/// Who waits for the end of which search. The engine bounds them.
#[derive(Default)]
pub(crate) struct Searches(BTreeMap<LookupId, (PeerId, oneshot::Sender<Answered>)>);

impl Node {
    /// Takes a request that is a search; gives back any other.
    pub(crate) fn search(
        &mut self,
        request: Request,
        answer: oneshot::Sender<Answered>,
    ) -> Option<(Request, oneshot::Sender<Answered>)> {
        let Request::NetLookup { peer } = &request else { return Some((request, answer)) };
        let now = self.clock.now();
        let begun = read_peer(peer).and_then(|peer| {
            let lookup = self.engine.lookup(&peer, now);
            lookup
                .map(|lookup| (peer, lookup))
                .ok_or_else(|| ApiError::refused("too many searches are under way: try again when one is done"))
        });
        match begun {
            Ok((peer, lookup)) => drop(self.searches.0.insert(lookup, (peer, answer))),
            // Whoever asked may have gone.
            Err(error) => drop(answer.send(Err(error))),
        }
        None
    }

    /// A search is over.
    pub(crate) fn found(&mut self, found: Found) {
        debug!(asked = found.asked, hops = found.hops, "a search is over");
        if let Some((peer, answer)) = self.searches.0.remove(&found.lookup) {
            let answered = api::NetFound {
                peer: show_peer(&peer),
                node: found.record.as_deref().map(row),
                closest: found.closest.iter().map(|record| row(record)).collect(),
                hops: found.hops,
                asked: found.asked as u64,
            };
            let _ = answer.send(Ok(Response::NetFound(answered)));
        }
    }

    /// The routing begins anew and counts its searches anew: nobody may get the answer to another's.
    pub(crate) fn end_searches(&mut self) {
        for (_, answer) in std::mem::take(&mut self.searches.0).into_values() {
            let error = ApiError::refused("the node has taken another transport key meanwhile: search again");
            let _ = answer.send(Err(error));
        }
    }

    /// The nodes that the routing knows, the closest to our own position first.
    pub(crate) fn table(&self) -> Vec<api::NodeRow> {
        self.engine.nodes(self.clock.now()).iter().map(|record| row(record)).collect()
    }
}

fn row(record: &NodeRecord) -> api::NodeRow {
    let fields = record.fields();
    let lifetime = u64::from(fields.lifetime_s);
    api::NodeRow {
        peer: show_peer(&record.peer()),
        addrs: fields.addrs.iter().map(ToString::to_string).collect(),
        roles: Role::ALL.into_iter().filter(|role| fields.roles.has(*role)).map(role_of).collect(),
        via: fields.via.iter().map(|via| via.at.to_string()).collect(),
        expires: fields.issued.saturating_add(lifetime).saturating_mul(1000),
    }
}

fn role_of(role: Role) -> api::Role {
    match role {
        Role::Relay => api::Role::Relay,
        Role::Entry => api::Role::Entry,
        Role::Custodian => api::Role::Custodian,
        Role::Mix => api::Role::Mix,
    }
}

/// As the status shows it.
pub(crate) fn show_peer(peer: &PeerId) -> String {
    BASE32_NOPAD.encode(&peer.0).to_ascii_lowercase()
}

fn read_peer(text: &str) -> Result<PeerId, ApiError> {
    let bytes = BASE32_NOPAD.decode(text.trim().to_ascii_uppercase().as_bytes()).ok();
    let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(PeerId);
    id.ok_or_else(|| ApiError::usage("a transport key has 52 letters and digits, as `samizdat net table` shows them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_key_is_read_as_it_is_shown() {
        let peer = PeerId([0xa5; 32]);
        assert_eq!(read_peer(&format!(" {}\n", show_peer(&peer))), Ok(peer));
        for wrong in ["", "abc", &"a".repeat(53), &"1".repeat(52)] {
            assert!(read_peer(wrong).is_err(), "{wrong}");
        }
    }
}
