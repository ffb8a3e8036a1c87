//! Behind a proxy, or no longer, while the node runs. Whatever sends packets of its own ends before anything goes through the proxy,
//! and nothing that goes beside it begins again before the proxy is off.

use samizdat_api::{self as api, ApiError};
use samizdat_net::{ContactEvent, NetEvent, Proxy, ProxyError};
use tokio::sync::mpsc;

use crate::{
    convert,
    labels::{ENTRY_BESIDE_PROXY, LISTEN_BESIDE_PROXY, PROXY_OFF, PROXY_ON},
    node::Node,
};

/// Under which name the vault keeps it.
pub(crate) const PROXY: &str = "proxy";

/// Where the endpoints tell what happens.
pub(crate) struct Events<'a> {
    pub(crate) net: &'a mut mpsc::Receiver<NetEvent>,
    pub(crate) contacts: &'a mut mpsc::Receiver<ContactEvent>,
}

impl Node {
    /// Whether nothing may leave but through a proxy.
    pub(crate) fn is_proxied(&self) -> bool {
        self.rotation.proxy.is_some()
    }

    /// Goes behind a proxy or leaves it, at once and for every later start. The node comes again as another: one key at two
    /// addresses would say whose they are.
    pub(crate) async fn set_proxy(&mut self, said: &str, events: Events<'_>) -> Result<(), ApiError> {
        let proxy = read(said).map_err(|error| ApiError::usage(error.to_string()))?;
        if proxy == self.rotation.proxy {
            return Ok(());
        }
        if proxy.is_some() && self.rotation.asked {
            return Err(ApiError::refused(LISTEN_BESIDE_PROXY));
        }
        if proxy.is_some() && !self.meeting.keeping.is_idle() {
            return Err(ApiError::refused(ENTRY_BESIDE_PROXY));
        }
        let (now, url) = (self.clock.now(), proxy.as_ref().map(Proxy::to_url).unwrap_or_default());
        self.engine.command(now, |chat, _| chat.keep(PROXY, url.as_bytes())).map_err(convert::error)?;
        self.rotation.proxy.clone_from(&proxy);
        self.roles.stop();
        if proxy.is_some() {
            self.meeting.nearby.stop();
            self.meeting.entries.stop().await;
        }
        self.leave(events.net).await;
        let contacts = self.contacts.clone();
        let mut gone = std::pin::pin!(contacts.use_proxy(proxy));
        loop {
            tokio::select! {
                () = &mut gone => break,
                Some(event) = events.contacts.recv() => self.on_contact(event),
            }
        }
        self.change_endpoint(events.net).await;
        self.status_changed();
        Ok(())
    }

    /// For `status`.
    pub(crate) fn meeting_row(&self) -> api::Meeting {
        let at = self.rotation.proxy.as_ref().map(Proxy::to_string);
        let why = if at.is_some() { PROXY_ON } else { PROXY_OFF }.to_owned();
        api::Meeting { proxy: api::Proxy { at, why }, ..self.meeting.row() }
    }
}

fn read(said: &str) -> Result<Option<Proxy>, ProxyError> {
    if said.trim() == "off" { Ok(None) } else { said.parse().map(Some) }
}
