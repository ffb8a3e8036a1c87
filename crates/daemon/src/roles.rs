//! What the owner of this node agreed to: to be a relay for others, and to use those of others. Each is a consent of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use samizdat_api::{self as api, ApiError};
use samizdat_chat::Chat;
use samizdat_core::record::RelayService;
use samizdat_net::{Certificate, PathKind, Relay, RelayAt, RelayConfig, RelayLimits};
use tracing::debug;

use crate::{behind::Events, convert, keeping::Keeping, labels, node::Node};

const CONSENT: &str = "consent";
const CERTIFICATE: &str = "relay certificate";
/// Between two attempts to start a relay whose ports were taken.
const AGAIN_MS: u64 = 60_000;

/// What was agreed to, and what runs because of it.
pub(crate) struct Roles {
    consent: Consent,
    relay: Option<Relay>,
    /// Why it does not run, and when to try again.
    failed: Option<(String, u64)>,
}

/// What the owner agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Consent {
    /// To be a relay. Nobody is asked to, and nobody is by default.
    relay: bool,
    /// To be reached, and to reach others, through relays.
    use_relays: bool,
}

impl Consent {
    fn read(bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some([relay, use_relays]) => Self { relay: *relay == 1, use_relays: *use_relays == 1 },
            _ => Self { relay: false, use_relays: true },
        }
    }

    fn bytes(self) -> [u8; 2] {
        [self.relay.into(), self.use_relays.into()]
    }
}

/// Whether its owner agreed that this node does something for others at its address.
pub(crate) fn has_role(chat: &Chat) -> bool {
    Roles::load(chat).wants_relay() || Keeping::is_kept(chat)
}

impl Roles {
    /// What was agreed to in an earlier run.
    pub(crate) fn load(chat: &Chat) -> Self {
        // A vault that cannot be read agrees to nothing new; the next start asks it again.
        let kept = chat.kept(CONSENT).ok().flatten();
        Self { consent: Consent::read(kept.as_deref()), relay: None, failed: None }
    }

    pub(crate) fn wants_relay(&self) -> bool {
        self.consent.relay
    }

    /// Ends what runs; [`Node::apply_consent`] begins it again, where it can be.
    pub(crate) fn stop(&mut self) {
        (self.relay, self.failed) = (None, None);
    }

    pub(crate) fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// The relay that runs here, whether anybody comes through to it or not.
    pub(crate) fn service(&self) -> Option<RelayService> {
        self.relay.as_ref().map(Relay::service)
    }
}

impl Node {
    /// Changes what is given, at once and for every later start.
    pub(crate) async fn edit_node(&mut self, edit: api::call::NodeEdit, events: Events<'_>) -> Result<api::Status, ApiError> {
        if let Some(proxy) = &edit.proxy {
            self.set_proxy(proxy.reveal(), events).await?;
        }
        if edit.relay == Some(true) && self.is_proxied() {
            return Err(ApiError::refused(labels::RELAY_PROXIED));
        }
        edit.lan.map_or(Ok(()), |on| self.set_lan(on))?;
        let before = self.roles.consent;
        let consent =
            Consent { relay: edit.relay.unwrap_or(before.relay), use_relays: edit.use_relays.unwrap_or(before.use_relays) };
        if consent != before {
            let now = self.clock.now();
            self.engine.command(now, |chat, _| chat.keep(CONSENT, &consent.bytes())).map_err(convert::error)?;
            self.roles.consent = consent;
            self.roles.failed = None;
            self.apply_consent().await;
            self.status_changed();
        }
        self.status()
    }

    /// Does what was agreed to.
    pub(crate) async fn apply_consent(&mut self) {
        let now = self.clock.now();
        let Consent { relay, use_relays } = self.roles.consent;
        self.net.allow_relays(use_relays);
        self.contacts.allow_relays(use_relays);
        self.engine.speak(self.net.families(), now);
        self.engine.allow_relays(use_relays, now);
        self.use_relays();
        if !use_relays {
            let relayed = self.net.paths().into_iter().filter(|path| path.kind == PathKind::Relayed);
            relayed.for_each(|path| self.net.hangup(path.peer));
        }
        self.settle();
        if relay && self.is_proxied() {
            self.roles.failed = Some((labels::RELAY_PROXIED.to_owned(), u64::MAX));
        } else if relay && self.roles.relay.is_none() {
            match self.start_relay().await {
                Ok(relay) => self.roles.relay = Some(relay),
                Err(error) => {
                    debug!(%error, "no relay");
                    self.roles.failed = Some((error, now.mono_ms.saturating_add(AGAIN_MS)));
                }
            }
        } else if !relay && self.roles.relay.take().is_some() {
            // Should it be one again some day, elsewhere, nothing links the two.
            let forgotten = self.engine.command(now, |chat, _| chat.keep(CERTIFICATE, &[]));
            forgotten.unwrap_or_else(|error| debug!(%error, "the certificate was kept"));
        }
        self.engine.serve(self.net.port(), self.roles.service(), now);
        self.presence.hurry();
        // Withdrawn at once, not with the next tick.
        self.renew_record();
    }

    /// Starts a relay that could not be started before, when it is time to try again.
    pub(crate) async fn retry_relay(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        if self.roles.failed.as_ref().is_some_and(|(_, at)| *at <= now_ms) {
            self.roles.failed = None;
            self.apply_consent().await;
        }
    }

    /// HTTPS has the number of the node's own port, TCP instead of UDP; address discovery has the next one, unless another program
    /// has it. So whoever forwards ports on a router knows which.
    async fn start_relay(&mut self) -> Result<Relay, String> {
        let certificate = self.certificate()?;
        let port = self.net.port();
        let next = port.checked_add(1).unwrap_or_default();
        let asked = Some(self.rotation.listen.ip()).filter(|ip| !ip.is_unspecified());
        // A socket for both IPv6 and IPv4, where there is IPv6.
        let everywhere = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let ips = asked.map_or(everywhere.to_vec(), |ip| vec![ip]);
        let mut error = String::new();
        for (ip, discovery_port) in ips.into_iter().flat_map(|ip| [(ip, next), (ip, 0)]) {
            let [listen, discovery] = [port, discovery_port].map(|port| SocketAddr::new(ip, port));
            let config = RelayConfig { listen, discovery, certificate: certificate.clone(), limits: RelayLimits::default() };
            match Relay::start(config).await {
                Ok(relay) => return Ok(relay),
                Err(failed) => error = failed.to_string(),
            }
        }
        Err(error)
    }

    /// The one of the last time, so that the records that name it stay true.
    fn certificate(&mut self) -> Result<Certificate, String> {
        let kept = self.engine.chat().kept(CERTIFICATE).map_err(|error| error.to_string())?;
        if let Some(certificate) = kept.and_then(|bytes| Certificate::from_bytes(&bytes).ok()) {
            return Ok(certificate);
        }
        let made = Certificate::generate().map_err(|error| error.to_string())?;
        let now = self.clock.now();
        self.engine.command(now, |chat, _| chat.keep(CERTIFICATE, &made.to_bytes())).map_err(|error| error.to_string())?;
        Ok(made)
    }

    /// The relays that the engine chose: for strangers only where they cannot dial this node, for contacts in any case, but others
    /// first.
    pub(crate) fn use_relays(&mut self) {
        let chosen = self.engine.relays().0.iter().map(|relay| RelayAt {
            at: relay.at,
            discovery_port: relay.discovery_port,
            certificate: relay.certificate,
        });
        let all: Vec<RelayAt> = self.given.iter().copied().chain(chosen).filter(|_| self.roles.consent.use_relays).collect();
        self.net.use_relays(if self.is_reachable() { &[] } else { &all });
        self.contacts.use_relays(&apart(&all));
        self.status_changed();
    }

    /// For `status`.
    pub(crate) fn role_rows(&self) -> Vec<api::RoleStatus> {
        let service = self.roles.service();
        let usage = self.roles.relay.as_ref().map(Relay::usage).unwrap_or_default();
        let announced = self.presence.announces_relay();
        let why = match (&self.roles.failed, self.roles.consent.relay) {
            (_, false) => labels::RELAY_OFF.to_owned(),
            (Some((error, u64::MAX)), true) => format!("Not running: {error}."),
            (Some((error, _)), true) => format!("Not running: {error}. It is tried again every minute."),
            (None, true) if announced => labels::RELAY_ANNOUNCED.to_owned(),
            (None, true) => labels::RELAY_UNPROVEN.to_owned(),
        };
        vec![api::RoleStatus {
            role: api::Role::Relay,
            on: self.roles.consent.relay,
            announced,
            why,
            means: labels::RELAY_MEANS.to_owned(),
            tcp_port: service.map(|service| service.port),
            udp_port: service.map(|service| service.discovery_port),
            peers: usage.peers as u64,
            refused: usage.refused,
        }]
    }

    /// For `status`.
    pub(crate) fn relays_row(&self) -> api::RelaysStatus {
        let (chosen, known) = self.engine.relays();
        let through: Vec<String> = self.net.reached_through().iter().map(|via| via.at.to_string()).collect();
        let why = match (self.roles.consent.use_relays, through.is_empty(), chosen.is_empty()) {
            (false, _, _) => labels::RELAYS_REFUSED,
            (true, false, _) => labels::RELAYS_USED,
            (true, true, false) => labels::RELAYS_CONNECTING,
            (true, true, true) if self.is_reachable() => labels::RELAYS_NEEDLESS,
            (true, true, true) => labels::RELAYS_UNKNOWN,
        };
        api::RelaysStatus { allowed: self.roles.consent.use_relays, through, known: known as u64, why: why.to_owned() }
    }

    /// Whether strangers can dial this node.
    pub(crate) fn is_reachable(&self) -> bool {
        self.engine.standing().verdict == samizdat_engine::Verdict::Reachable
    }
}

/// In which order contacts are met through them: the other way round, so that, where more than one works, none sees that a PeerId and
/// an endpoint for contacts are at one place.
fn apart(relays: &[RelayAt]) -> Vec<RelayAt> {
    relays.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay that served both could link them.
    #[test]
    fn strangers_and_contacts_are_met_through_different_relays_where_two_are_known() {
        let at =
            |n: u8| RelayAt { at: SocketAddr::from(([198, 51, n, 1], 443)).into(), discovery_port: 7842, certificate: [n; 32] };
        for count in 0..5 {
            let relays: Vec<RelayAt> = (0..count).map(at).collect();
            let contacts = apart(&relays);
            assert!(contacts.len() == relays.len() && relays.iter().all(|relay| contacts.contains(relay)));
            assert_eq!(contacts.first() == relays.first(), count < 2);
            // The one in use and the next are told.
            assert!(count < 4 || relays[..2].iter().all(|told| !contacts[..2].contains(told)));
        }
    }

    #[test]
    fn nothing_is_agreed_to_unasked_and_what_was_is_remembered() {
        assert_eq!(Consent::read(None), Consent { relay: false, use_relays: true });
        assert_eq!(Consent::read(Some(&[1])), Consent::read(None), "whatever is not understood is no consent");
        for relay in [false, true] {
            for use_relays in [false, true] {
                let consent = Consent { relay, use_relays };
                assert_eq!(Consent::read(Some(&consent.bytes())), consent);
            }
        }
    }
}
