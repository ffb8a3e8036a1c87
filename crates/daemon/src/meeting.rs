//! How this node meets others whom it does not know yet, in this order: those it remembers or was told to join (the engine dials
//! them), then the entry domains of the person. Beside them the local network, if that is switched on; and the entry that this node
//! keeps for others.

use samizdat_api as api;
use samizdat_chat::ChatError;
use samizdat_engine::Engine;
use samizdat_entry::{Input, NameServers};
use samizdat_net::{Near, Net};
use tokio::sync::mpsc;

use crate::{
    entries::{Entries, Looked},
    keeping::Keeping,
    limits::NEWS,
    nearby::Nearby,
    node::Node,
};

/// What happened outside.
pub(crate) enum News {
    /// DNS answered, or did not.
    Looked { domain: String, looked: Looked },
    /// A node says that it is in the local network.
    Near(Near),
    /// The name server of our own entry answered, or did not.
    Kept(Input),
}

pub(crate) type Tell = mpsc::Sender<News>;

/// Everything that brings strangers.
pub(crate) struct Meeting {
    pub(crate) entries: Entries,
    pub(crate) nearby: Nearby,
    pub(crate) keeping: Keeping,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) tell: Tell,
}

impl Meeting {
    /// `lan`: whether the local network is told in this run, whatever the vault says.
    pub(crate) fn load(engine: &Engine, net: &Net, servers: NameServers, lan: bool) -> Result<Self, ChatError> {
        let (tell, news) = mpsc::channel(NEWS);
        let nearby = Nearby::load(Nearby::kept(engine)?, lan, net, &tell);
        let entries = Entries::load(Entries::kept(engine)?, servers);
        Ok(Self { entries, nearby, keeping: Keeping::load(engine)?, news, tell })
    }

    pub(crate) fn row(&self) -> api::Meeting {
        api::Meeting {
            entries: self.entries.rows(),
            lan: self.nearby.row(),
            own_entry: self.keeping.row(),
            ..api::Meeting::default()
        }
    }
}

impl Node {
    /// Once a second.
    pub(crate) fn meet(&mut self) {
        // DNS and the local network are beside the proxy.
        if self.is_proxied() {
            return;
        }
        let now = self.clock.now();
        let neighbours = self.engine.peers().count();
        let Meeting { entries, tell, .. } = &mut self.meeting;
        entries.look(neighbours, now, tell);
        self.keep_entry_standing();
    }

    pub(crate) fn on_news(&mut self, news: News) {
        match news {
            News::Looked { domain, looked } => self.on_looked(&domain, looked),
            News::Near(near) => self.on_near(near),
            News::Kept(input) => self.drive_keeper(Some(input)),
        }
    }
}
