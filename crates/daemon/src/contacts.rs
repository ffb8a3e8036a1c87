//! Sessions with contacts: between the engine, which decides, and the endpoints, which connect.

use data_encoding::BASE32_NOPAD;
use samizdat_api as api;
use samizdat_engine::{ContactInput, Input, Place, Way};
use samizdat_net::{self as net, ContactEvent, Endpoints, PathKind};
use tracing::debug;

use crate::node::Node;

impl Node {
    pub(crate) fn on_contact(&mut self, event: ContactEvent) {
        let now = self.clock.now();
        let input = match event {
            ContactEvent::Here { way, peer, addr } => {
                if way == net::Way::Relayed {
                    self.contacts_are_reached = !addr.as_bytes().is_empty();
                    self.hear_of_relay();
                }
                let place = Place { peer, addr: samizdat_engine::PeerAddr(addr.as_bytes().to_vec()) };
                return self.engine.set_contact_endpoint(way_of(way), Some(place), now);
            }
            ContactEvent::Gone { way } => {
                self.contacts_are_reached &= way != net::Way::Relayed;
                return self.engine.set_contact_endpoint(way_of(way), None, now);
            }
            ContactEvent::Opened { link, dial, way, peer, binding } => {
                ContactInput::Opened { link, dial, way: way_of(way), peer, binding }
            }
            ContactEvent::DialFailed { dial } => ContactInput::DialFailed { dial },
            ContactEvent::Frame { link, bytes } => ContactInput::Frame { link, bytes },
            ContactEvent::Closed { link } => ContactInput::Closed { link },
        };
        self.engine.handle(Input::Contact(input), now);
    }

    pub(crate) fn dial_contact(&mut self, dial: u64, way: Way, to: &Place) {
        let way = match way {
            Way::Relayed => net::Way::Relayed,
            Way::Direct => net::Way::Direct,
        };
        if let Err(error) = self.contacts.dial(dial, way, to.peer, &to.addr.0) {
            debug!(%error, "a contact was not dialled");
            self.engine.handle(Input::Contact(ContactInput::DialFailed { dial }), self.clock.now());
        }
    }

    pub(crate) fn want_endpoints(&mut self, relayed: Option<u64>, direct: Option<u64>) {
        if relayed.is_none() {
            self.contacts_are_reached = false;
        }
        self.engine.need_relays(relayed.is_some(), self.clock.now());
        self.contacts.want(Endpoints { relayed, direct });
    }

    /// What `samizdat status` shows of sessions.
    pub(crate) fn sessions(&self) -> Vec<api::Session> {
        let paths = self.contacts.paths();
        let row = |session: samizdat_engine::Session| {
            let contact = self.engine.chat().contact(session.contact).ok()?;
            let path = paths.iter().find(|(link, _)| *link == session.link).map(|(_, path)| path);
            Some(api::Session {
                peer: BASE32_NOPAD.encode(&session.peer.0).to_ascii_lowercase(),
                contact: contact.petname.unwrap_or_else(|| contact.name.clone()),
                name: contact.name,
                path: match path.map(|path| path.kind) {
                    Some(PathKind::Lan | PathKind::Loopback) => api::PeerPath::Lan,
                    Some(PathKind::Direct) => api::PeerPath::Direct,
                    _ => api::PeerPath::Relayed,
                },
                rtt_ms: path.map(|path| u64::from(path.rtt_ms)),
                since: self.clock.unix_of(session.since_ms),
            })
        };
        self.engine.sessions().filter_map(row).collect()
    }
}

fn way_of(way: net::Way) -> Way {
    match way {
        net::Way::Relayed => Way::Relayed,
        net::Way::Direct => Way::Direct,
    }
}
