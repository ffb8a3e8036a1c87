//! What works from here, and what would improve it, in plain words. It reads no more than the status says.

use samizdat_api::{ApiError, Finding, FindingState, PeerPath, ReachVerdict, RoleStatus, Status};

use crate::{labels, node::Node};

impl Node {
    /// What works from here, and what would improve it.
    pub(crate) fn doctor(&self) -> Result<Vec<Finding>, ApiError> {
        self.status().map(|status| findings(&status, self.net.port()))
    }
}

/// `port` is the UDP port of the node.
fn findings(status: &Status, port: u16) -> Vec<Finding> {
    let clock = status.clock.iter().map(|why| finding("clock", FindingState::Bad, why, Some(labels::ADVICE_CLOCK)));
    let roles = status.roles.iter().filter(|role| role.on).map(|role| relay_role(role, port));
    [peers(status), reached(status), relays(status), routing(status)].into_iter().chain(clock).chain(roles).collect()
}

fn peers(status: &Status) -> Finding {
    let direct = status.peers.iter().filter(|peer| peer.path != PeerPath::Relayed).count();
    let (state, says, advice) = match (status.peers.len(), direct) {
        (0, _) => (FindingState::Bad, "No other node is connected.".to_owned(), Some(labels::ADVICE_JOIN)),
        (all, 0) => (FindingState::Fair, format!("All {all} connections run through relays."), Some(labels::ADVICE_UDP)),
        (all, direct) => (FindingState::Good, format!("{all} nodes are connected, {direct} of them directly."), None),
    };
    finding("peers", state, &says, advice)
}

fn reached(status: &Status) -> Finding {
    let (state, advice) = match status.reach.verdict {
        ReachVerdict::Reachable => (FindingState::Good, None),
        // As its person wants it.
        _ if status.meeting.proxy.at.is_some() => (FindingState::Fair, None),
        ReachVerdict::Unreachable if status.relays.through.is_empty() => (FindingState::Bad, Some(labels::ADVICE_FORWARD)),
        ReachVerdict::Unreachable => (FindingState::Fair, Some(labels::ADVICE_FORWARD)),
        ReachVerdict::Alone | ReachVerdict::Asking => (FindingState::Fair, Some(labels::ADVICE_WAIT)),
    };
    finding("reached", state, &status.reach.why, advice)
}

fn relays(status: &Status) -> Finding {
    let needless = status.reach.verdict == ReachVerdict::Reachable || !status.relays.through.is_empty();
    let (state, advice) = match (needless, status.relays.allowed) {
        (true, _) => (FindingState::Good, None),
        (false, false) => (FindingState::Fair, Some(labels::ADVICE_ALLOW_RELAYS)),
        (false, true) => (FindingState::Fair, Some(labels::ADVICE_RELAYS)),
    };
    finding("relays", state, &status.relays.why, advice)
}

fn routing(status: &Status) -> Finding {
    let (state, says) = match status.reach.nodes {
        0 => (FindingState::Fair, "The routing knows no node yet: other nodes cannot be looked up.".to_owned()),
        n => (FindingState::Good, format!("The routing knows {n} nodes.")),
    };
    finding("routing", state, &says, None)
}

fn relay_role(role: &RoleStatus, port: u16) -> Finding {
    let state = if role.announced { FindingState::Good } else { FindingState::Fair };
    let ports = role.tcp_port.zip(role.udp_port).filter(|_| !role.announced);
    let advice = ports.map(|(tcp, udp)| {
        format!("Forward TCP port {tcp} and UDP port {udp} on your router, and UDP port {port} for the node itself.")
    });
    finding("relay role", state, &role.why, advice.as_deref())
}

fn finding(what: &str, state: FindingState, says: &str, advice: Option<&str>) -> Finding {
    Finding { what: what.to_owned(), state, says: says.to_owned(), advice: advice.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use samizdat_api::{Peer, Role};

    use super::*;

    /// A node with one neighbour, whom strangers can dial, that knows three nodes.
    fn well() -> Status {
        serde_json::from_value(serde_json::json!({
            "version": "1", "versions": {"protocol": 1, "log_layout": 1, "vault_layout": 1}, "name": "", "identities": [],
            "peers": [{"peer": "p", "path": "direct", "rtt_ms": 1, "since": 0, "dialed": true}], "sessions": [],
            "store": {"envelopes": 0, "bytes": 0, "budget_bytes": 1, "conflicts": 0},
            "outbox": {"waiting": 0, "stamping": 0, "stamped": 0}, "paths": {},
            "reach": {"verdict": "reachable", "why": "others did", "nodes": 3}, "roles": [],
            "relays": {"allowed": true, "through": [], "known": 0, "why": "none is needed"},
            "vault": "key file", "drops": {}, "join": "", "meeting": serde_json::to_value(samizdat_api::Meeting::default()).unwrap(),
        }))
        .unwrap()
    }

    /// The finding about something, once `change` has happened.
    fn about(what: &str, change: impl FnOnce(&mut Status)) -> Option<Finding> {
        let mut status = well();
        change(&mut status);
        let mut found = findings(&status, 4001).into_iter().filter(|finding| finding.what == what);
        let first = found.next();
        assert!(found.next().is_none(), "one finding about each thing");
        first
    }

    fn state(what: &str, change: impl FnOnce(&mut Status)) -> (FindingState, Option<String>) {
        about(what, change).map(|finding| (finding.state, finding.advice)).unwrap()
    }

    fn path(path: PeerPath) -> impl FnOnce(&mut Status) {
        move |status| status.peers.iter_mut().for_each(|peer: &mut Peer| peer.path = path)
    }

    fn verdict(verdict: ReachVerdict) -> impl FnOnce(&mut Status) {
        move |status| status.reach.verdict = verdict
    }

    fn advised(state: FindingState, advice: &str) -> (FindingState, Option<String>) {
        (state, Some(advice.to_owned()))
    }

    const GOOD: (FindingState, Option<String>) = (FindingState::Good, None);

    #[test]
    fn where_all_is_well_nothing_is_advised() {
        let findings = findings(&well(), 4001);
        assert_eq!(
            findings.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>(),
            ["peers", "reached", "relays", "routing"]
        );
        assert!(findings.iter().all(|finding| finding.state == FindingState::Good && finding.advice.is_none()), "{findings:?}");
    }

    #[test]
    fn who_is_connected_to_nobody_is_told_how_to_join() {
        assert_eq!(state("peers", |status| status.peers.clear()), advised(FindingState::Bad, labels::ADVICE_JOIN));
        assert_eq!(state("peers", |_| ()), GOOD);
    }

    #[test]
    fn who_reaches_others_through_relays_alone_hears_of_a_firewall() {
        assert_eq!(state("peers", path(PeerPath::Relayed)), advised(FindingState::Fair, labels::ADVICE_UDP));
        for direct in [PeerPath::Direct, PeerPath::Lan] {
            assert_eq!(state("peers", path(direct)), GOOD);
        }
        let one_of_two = about("peers", |status| {
            status.peers.extend(status.peers.clone());
            status.peers[0].path = PeerPath::Relayed;
        });
        assert_eq!(one_of_two.unwrap().says, "2 nodes are connected, 1 of them directly.");
    }

    #[test]
    fn who_cannot_be_dialled_is_told_to_forward_a_port_and_it_is_worse_without_a_relay() {
        assert_eq!(state("reached", verdict(ReachVerdict::Unreachable)), advised(FindingState::Bad, labels::ADVICE_FORWARD));
        let relayed = state("reached", |status| {
            status.reach.verdict = ReachVerdict::Unreachable;
            status.relays.through = vec!["192.0.2.1:443".to_owned()];
        });
        assert_eq!(relayed, advised(FindingState::Fair, labels::ADVICE_FORWARD));
        assert_eq!(state("reached", |_| ()), GOOD);
    }

    #[test]
    fn nobody_behind_a_proxy_is_told_to_forward_ports() {
        let proxied = state("reached", |status| {
            status.reach.verdict = ReachVerdict::Unreachable;
            status.meeting.proxy.at = Some("127.0.0.1:9050".to_owned());
        });
        assert_eq!(proxied, (FindingState::Fair, None));
    }

    #[test]
    fn what_is_not_known_yet_is_waited_for() {
        for unknown in [ReachVerdict::Alone, ReachVerdict::Asking] {
            assert_eq!(state("reached", verdict(unknown)), advised(FindingState::Fair, labels::ADVICE_WAIT));
        }
    }

    #[test]
    fn who_refuses_relays_and_needs_one_is_told_and_nobody_else() {
        let refusing = |verdict, through: &[&str]| {
            let through = through.iter().map(|at| (*at).to_owned()).collect();
            state("relays", move |status| {
                (status.reach.verdict, status.relays.allowed, status.relays.through) = (verdict, false, through);
            })
        };
        assert_eq!(refusing(ReachVerdict::Unreachable, &[]), advised(FindingState::Fair, labels::ADVICE_ALLOW_RELAYS));
        assert_eq!(refusing(ReachVerdict::Reachable, &[]), GOOD);
    }

    #[test]
    fn who_needs_a_relay_and_knows_none_is_told_who_could_be_one() {
        assert_eq!(state("relays", verdict(ReachVerdict::Unreachable)), advised(FindingState::Fair, labels::ADVICE_RELAYS));
        let relayed = state("relays", |status| {
            (status.reach.verdict, status.relays.through) = (ReachVerdict::Unreachable, vec!["192.0.2.1:443".to_owned()]);
        });
        assert_eq!((relayed, state("relays", |_| ())), (GOOD, GOOD));
    }

    #[test]
    fn a_routing_that_knows_nobody_says_so() {
        let lost = about("routing", |status| status.reach.nodes = 0).unwrap();
        assert_eq!(lost.state, FindingState::Fair);
        assert!(lost.says.contains("knows no node"), "{}", lost.says);
        assert_eq!(about("routing", |_| ()).unwrap().says, "The routing knows 3 nodes.");
    }

    #[test]
    fn a_wrong_clock_is_told_and_a_right_one_is_not_mentioned() {
        let wrong = about("clock", |status| status.clock = Some("An hour ahead.".to_owned())).unwrap();
        assert_eq!((wrong.state, wrong.says.as_str()), (FindingState::Bad, "An hour ahead."));
        assert_eq!(wrong.advice.as_deref(), Some(labels::ADVICE_CLOCK));
        assert_eq!(about("clock", |_| ()), None);
    }

    #[test]
    fn a_relay_that_nobody_comes_through_to_names_its_ports_and_others_do_not() {
        let relay = |on, announced, ports: Option<u16>| {
            let (role, why, means) = (Role::Relay, "why".to_owned(), String::new());
            let (tcp_port, udp_port) = (ports, ports.map(|port| port + 1));
            let row = RoleStatus { role, on, announced, why, means, tcp_port, udp_port, peers: 0, refused: 0 };
            about("relay role", |status| status.roles = vec![row])
        };
        let unproven = relay(true, false, Some(4001)).unwrap();
        let advice = "Forward TCP port 4001 and UDP port 4002 on your router, and UDP port 4001 for the node itself.";
        assert_eq!((unproven.state, unproven.advice.as_deref()), (FindingState::Fair, Some(advice)));
        let announced = relay(true, true, Some(4001)).unwrap();
        assert_eq!((announced.state, announced.advice), GOOD);
        let not_running = relay(true, false, None).unwrap();
        assert_eq!((not_running.state, not_running.advice), (FindingState::Fair, None));
        assert_eq!(relay(false, false, None), None, "nobody is told of what he did not agree to");
    }
}
