//! What `samizdat net` shows: whom the routing knows, where a node is, and what would help.

use std::collections::BTreeMap;

use data_encoding::BASE32_NOPAD;
use samizdat_api::{self as api, ApiError, FindingState, Request, Response};
use samizdat_core::record::Role;
use samizdat_core::{NodeRecord, PeerId};
use samizdat_engine::{Found, LookupId, Verdict};
use tokio::sync::oneshot;
use tracing::debug;

use crate::{labels, node::Node, requests::Answered};

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

    /// What works from here, and what would improve it.
    pub(crate) fn doctor(&self) -> Result<Vec<api::Finding>, ApiError> {
        let status = self.status()?;
        let verdict = self.engine.standing().verdict;
        let direct = status.peers.iter().filter(|peer| peer.path != api::PeerPath::Relayed).count();
        let peers = match (status.peers.len(), direct) {
            (0, _) => (FindingState::Bad, "No other node is connected.".to_owned(), Some(labels::ADVICE_JOIN)),
            (all, 0) => (FindingState::Fair, format!("All {all} connections run through relays."), Some(labels::ADVICE_UDP)),
            (all, direct) => (FindingState::Good, format!("{all} nodes are connected, {direct} of them directly."), None),
        };
        let reach = match verdict {
            Verdict::Reachable => (FindingState::Good, None),
            Verdict::Unreachable if status.relays.through.is_empty() => (FindingState::Bad, Some(labels::ADVICE_FORWARD)),
            Verdict::Unreachable => (FindingState::Fair, Some(labels::ADVICE_FORWARD)),
            Verdict::Alone | Verdict::Asking => (FindingState::Fair, Some(labels::ADVICE_WAIT)),
        };
        let relays = match (status.relays.allowed, status.relays.through.is_empty()) {
            (_, false) => (FindingState::Good, None),
            (_, true) if verdict == Verdict::Reachable => (FindingState::Good, None),
            (false, true) => (FindingState::Fair, Some(labels::ADVICE_ALLOW_RELAYS)),
            (true, true) => (FindingState::Fair, Some(labels::ADVICE_RELAYS)),
        };
        let routing = match status.reach.nodes {
            0 => (FindingState::Fair, "The routing knows no node yet: other nodes cannot be looked up.".to_owned()),
            n => (FindingState::Good, format!("The routing knows {n} nodes.")),
        };
        let finding = |what: &str, (state, says, advice): (FindingState, String, Option<&str>)| api::Finding {
            what: what.to_owned(),
            state,
            says,
            advice: advice.map(str::to_owned),
        };
        let mut findings = vec![
            finding("peers", peers),
            finding("reached", (reach.0, status.reach.why, reach.1)),
            finding("relays", (relays.0, status.relays.why, relays.1)),
            finding("routing", (routing.0, routing.1, None)),
        ];
        if let Some(why) = status.clock {
            findings.push(finding("clock", (FindingState::Bad, why, Some(labels::ADVICE_CLOCK))));
        }
        for role in status.roles.into_iter().filter(|role| role.on) {
            let state = if role.announced { FindingState::Good } else { FindingState::Fair };
            let ports = role.tcp_port.zip(role.udp_port);
            let advice = ports.filter(|_| !role.announced).map(|(tcp, udp)| {
                format!(
                    "Forward TCP port {tcp} and UDP port {udp} on your router, and UDP port {} for the node itself.",
                    self.net.port()
                )
            });
            findings.push(finding("relay role", (state, role.why, advice.as_deref())));
        }
        Ok(findings)
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
