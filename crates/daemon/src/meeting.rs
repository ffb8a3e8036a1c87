//! How this node meets others whom it does not know yet, in this order: those it remembers or was told to join (the engine dials
//! them), the places of invite links, the entry domains of the person, and last the local network, if that is switched on. Beside
//! them the entry that this node keeps for others.

use samizdat_api as api;
use samizdat_chat::ChatError;
use samizdat_engine::Engine;
use samizdat_entry::{Input, NameServers};
use samizdat_net::{Near, Net};
use tokio::sync::mpsc;

use crate::{
    entries::{Entries, Looked},
    keeping::Keeping,
    labels::ENTRY_MEANS,
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
            entry_means: ENTRY_MEANS.to_owned(),
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
        self.dial_near();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use samizdat_chat::Chat;
    use samizdat_core::{Now, PeerId};
    use samizdat_engine::Output;
    use samizdat_store::{Log, Vault};

    use super::*;
    use crate::{entries::Patience, nearby::Held, places::Places};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Way {
        Remembered,
        Places,
        Entries,
        Nearby,
    }

    /// The ways that a node tries first, one after the other, which remembers Bob, was given a link, has an entry domain and hears
    /// Carol nearby; somebody is there from `met_ms` on.
    fn tries(met_ms: u64) -> Vec<Way> {
        let now = |mono_ms| Now { mono_ms, unix_ms: 1_800_000_000_000 + mono_ms };
        let chat = || Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [1; 32]).unwrap();
        let mut kept = chat();
        kept.keep("places", b"198.51.100.1:443\n").unwrap();
        let (mut places, mut patience, mut held) = (Places::load(&kept), Patience::default(), Held::default());
        let log = Log::in_memory(1 << 20).unwrap();
        let mut engine = Engine::new(log, chat(), [1; 32], PeerId([1; 32]), vec![1], now(0)).unwrap();
        engine.learn(PeerId([2; 32]), vec![2], false, now(0));
        let mut tried = Vec::new();
        for ms in (0..60_000_u64).step_by(100) {
            let neighbours = usize::from(ms >= met_ms);
            engine.handle(samizdat_engine::Input::Timeout, now(ms));
            engine.commit(now(ms));
            let dials = std::iter::from_fn(|| engine.poll_output()).filter(|output| matches!(output, Output::Dial { .. })).count();
            held.heard(PeerId([3; 32]), "192.168.1.3:4001".parse().unwrap());
            let ways = [
                (Way::Remembered, dials > 0),
                (Way::Places, places.are_due(neighbours, ms)),
                (Way::Entries, patience.is_over(neighbours, ms)),
                (Way::Nearby, !held.due(neighbours, ms).is_empty()),
            ];
            for (way, _) in ways.into_iter().filter(|(_, tries)| *tries) {
                if !tried.contains(&way) {
                    tried.push(way);
                }
            }
        }
        tried
    }

    #[test]
    fn who_is_alone_tries_whom_it_remembers_then_places_then_entry_domains_and_the_local_network_last() {
        assert_eq!(tries(u64::MAX), [Way::Remembered, Way::Places, Way::Entries, Way::Nearby]);
    }

    #[test]
    fn who_has_met_somebody_asks_neither_places_nor_domains() {
        assert_eq!(tries(3_000), [Way::Remembered, Way::Nearby], "those nearby are met as well then");
        assert_eq!(tries(5_500), [Way::Remembered, Way::Places, Way::Nearby]);
        assert_eq!(tries(7_000), [Way::Remembered, Way::Places, Way::Entries, Way::Nearby]);
    }
}
