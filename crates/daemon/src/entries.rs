//! Entry domains, as their user: while this node is connected to nobody, it looks in DNS for the domains that the person added,
//! and for no others. Whom it remembers and whom it was told to join come first.

use std::collections::BTreeMap;

use samizdat_api::{ApiError, EntryDomain};
use samizdat_core::{Now, PeerId};
use samizdat_engine::Engine;
use samizdat_entry::{Domain, Found, NameServers, lookup, lookup::LookupError};
use samizdat_net::PeerAddr;
use tokio::task::JoinSet;
use tracing::debug;

use crate::{
    convert,
    limits::{ENTRY_DOMAINS_MAX, LONELY_MS, LOOK_AGAIN_MAX_MS, LOOK_AGAIN_MS},
    meeting::{News, Tell},
    node::Node,
};

const DOMAINS: &str = "entry domains";

/// What came of asking DNS.
pub(crate) type Looked = Result<Found, LookupError>;

/// Domains that the person added, and what they said.
pub(crate) struct Entries {
    domains: Vec<String>,
    servers: NameServers,
    last: BTreeMap<String, Last>,
    patience: Patience,
    asking: usize,
    /// What asks.
    lookups: JoinSet<()>,
}

struct Last {
    at_ms: u64,
    nodes: usize,
    why: String,
}

/// When to ask: after a while alone, and then ever more rarely.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    alone_since_ms: Option<u64>,
    next_ms: u64,
    wait_ms: u64,
}

impl Entries {
    pub(crate) fn load(kept: Option<Vec<u8>>, servers: NameServers) -> Self {
        let text = String::from_utf8(kept.unwrap_or_default()).unwrap_or_default();
        let domains = text.lines().filter_map(|line| Domain::new(line).ok()).map(|domain| domain.to_string());
        Self {
            domains: domains.take(ENTRY_DOMAINS_MAX).collect(),
            servers,
            last: BTreeMap::new(),
            patience: Patience::default(),
            asking: 0,
            lookups: JoinSet::new(),
        }
    }

    pub(crate) fn kept(engine: &Engine) -> Result<Option<Vec<u8>>, samizdat_chat::ChatError> {
        engine.chat().kept(DOMAINS)
    }

    /// Asks for all domains if it is time.
    pub(crate) fn look(&mut self, neighbours: usize, now: Now, tell: &Tell) {
        if self.domains.is_empty() || self.asking > 0 || !self.patience.is_over(neighbours, now.mono_ms) {
            return;
        }
        self.asking = self.domains.len();
        while self.lookups.try_join_next().is_some() {}
        for domain in self.domains.clone() {
            let (servers, tell) = (self.servers.clone(), tell.clone());
            self.lookups.spawn(async move {
                let looked = lookup(&domain, &servers, now).await;
                // The node may have ended.
                let _ = tell.send(News::Looked { domain, looked }).await;
            });
        }
    }

    /// Asks nobody any more of what is under way.
    pub(crate) async fn stop(&mut self) {
        self.lookups.shutdown().await;
        self.asking = 0;
    }

    fn looked(&mut self, domain: &str, looked: &Looked, at_ms: u64) {
        self.asking = self.asking.saturating_sub(1);
        // Removed meanwhile.
        if self.domains.iter().any(|known| known == domain) {
            let nodes = looked.as_ref().map_or(0, |found| found.records.len());
            self.last.insert(domain.to_owned(), Last { at_ms, nodes, why: why(looked) });
        }
    }

    pub(crate) fn rows(&self) -> Vec<EntryDomain> {
        self.domains.iter().map(|domain| self.row(domain)).collect()
    }

    fn row(&self, domain: &str) -> EntryDomain {
        let last = self.last.get(domain);
        EntryDomain {
            domain: domain.to_owned(),
            looked_at: last.map(|last| last.at_ms),
            nodes: last.map_or(0, |last| last.nodes as u64),
            why: last.map_or_else(|| NOT_YET.to_owned(), |last| last.why.clone()),
        }
    }
}

impl Patience {
    pub(crate) fn is_over(&mut self, neighbours: usize, now_ms: u64) -> bool {
        if neighbours > 0 {
            *self = Self::default();
            return false;
        }
        if self.alone_since_ms.is_none() {
            (self.alone_since_ms, self.next_ms) = (Some(now_ms), now_ms.saturating_add(LONELY_MS));
        }
        if now_ms < self.next_ms {
            return false;
        }
        self.wait_ms = self.wait_ms.saturating_mul(2).clamp(LOOK_AGAIN_MS, LOOK_AGAIN_MAX_MS);
        self.next_ms = now_ms.saturating_add(self.wait_ms);
        true
    }

    /// There is something new to ask for.
    fn begin_anew(&mut self) {
        if let Some(since) = self.alone_since_ms {
            (self.next_ms, self.wait_ms) = (since.saturating_add(LONELY_MS), 0);
        }
    }
}

impl Node {
    pub(crate) fn add_entry(&mut self, domain: &str) -> Result<EntryDomain, ApiError> {
        let domain = known(domain)?;
        let mut domains = self.meeting.entries.domains.clone();
        if !domains.contains(&domain) {
            if domains.len() >= ENTRY_DOMAINS_MAX {
                return Err(ApiError::refused(format!("there are {ENTRY_DOMAINS_MAX} entry domains already: remove one first")));
            }
            domains.push(domain.clone());
            self.keep_entries(domains)?;
        }
        self.meeting.entries.patience.begin_anew();
        Ok(self.meeting.entries.row(&domain))
    }

    pub(crate) fn remove_entry(&mut self, domain: &str) -> Result<(), ApiError> {
        let domain = known(domain)?;
        let mut domains = self.meeting.entries.domains.clone();
        if !domains.contains(&domain) {
            return Err(ApiError::not_found(format!("{domain} is not among your entry domains")));
        }
        domains.retain(|other| *other != domain);
        self.meeting.entries.last.remove(&domain);
        self.keep_entries(domains)
    }

    fn keep_entries(&mut self, domains: Vec<String>) -> Result<(), ApiError> {
        let now = self.clock.now();
        let text = domains.join("\n");
        self.engine.command(now, |chat, _| chat.keep(DOMAINS, text.as_bytes())).map_err(convert::error)?;
        self.meeting.entries.domains = domains;
        Ok(())
    }

    /// DNS answered. Whatever it said, only what nodes signed is taken.
    pub(crate) fn on_looked(&mut self, domain: &str, looked: Looked) {
        let now = self.clock.now();
        self.meeting.entries.looked(domain, &looked, now.unix_ms);
        self.status_due = true;
        let own: PeerId = self.net.peer_id();
        let records = looked.map(|found| found.records).unwrap_or_default();
        debug!(nodes = records.len(), "an entry domain was looked up");
        for record in records.into_iter().filter(|record| record.peer() != own) {
            let addr = PeerAddr::with_relays(record.fields().addrs.iter().copied(), &record.fields().via);
            self.engine.learn_record(record, addr.as_bytes().to_vec(), now);
        }
    }
}

fn known(domain: &str) -> Result<String, ApiError> {
    let domain = Domain::new(domain).map_err(|_| ApiError::usage("an entry domain is a name in DNS like example.org"))?;
    Ok(domain.to_string())
}

const NOT_YET: &str = "Not looked up yet: it is asked for only while this node is connected to nobody.";

/// What came of a lookup, for people.
fn why(looked: &Looked) -> String {
    match looked {
        Ok(found) => match (found.records.len(), found.hints.len(), found.dropped) {
            (0, 0, 0) => "No node stands there.".to_owned(),
            (0, 0, n) => format!("No node stands there: {n} of the entries are old or not signed by their nodes."),
            (0, _, _) => "Only addresses without a key stand there, and nobody can be recognised by those.".to_owned(),
            (1, _, _) => "One node stands there.".to_owned(),
            (n, _, _) => format!("{n} nodes stand there."),
        },
        Err(error) => format!("The lookup failed: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_is_asked_after_a_while_alone_and_ever_more_rarely() {
        let mut patience = Patience::default();
        let asked: Vec<u64> = (0..7_200).map(|s| s * 1000).filter(|ms| patience.is_over(0, *ms)).collect();
        assert_eq!(asked.first(), Some(&LONELY_MS));
        let waits: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits.first(), Some(&LOOK_AGAIN_MS));
        assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]));
        assert_eq!(waits.last(), Some(&LOOK_AGAIN_MAX_MS));
    }

    #[test]
    fn who_has_neighbours_does_not_ask_and_who_loses_them_waits_again() {
        let mut patience = Patience::default();
        assert!(!patience.is_over(0, 0));
        assert!(!patience.is_over(1, LONELY_MS));
        assert!(!patience.is_over(0, LONELY_MS * 3));
        assert!(!patience.is_over(0, LONELY_MS * 4 - 1));
        assert!(patience.is_over(0, LONELY_MS * 4));
    }

    #[test]
    fn a_new_domain_is_asked_for_at_once_by_who_was_alone_for_long() {
        let mut patience = Patience::default();
        assert!(!patience.is_over(0, 0));
        patience.begin_anew();
        assert!(!patience.is_over(0, LONELY_MS - 1));
        assert!(patience.is_over(0, LONELY_MS));
        assert!(!patience.is_over(0, LONELY_MS + 1));
        patience.begin_anew();
        assert!(patience.is_over(0, LONELY_MS + 2));
    }

    #[test]
    fn domains_are_kept_in_one_spelling_and_bounded() {
        let many: Vec<String> = (0..ENTRY_DOMAINS_MAX + 3).map(|n| format!("d{n}.example")).collect();
        let entries = Entries::load(Some(many.join("\n").into_bytes()), NameServers::System);
        assert_eq!(entries.domains, many[..ENTRY_DOMAINS_MAX]);
        assert_eq!(Entries::load(Some(b"\xff".to_vec()), NameServers::System).domains.len(), 0);
        assert_eq!(known(" Example.ORG. ").unwrap(), "example.org");
        assert_eq!(known("no domain").unwrap_err().kind, samizdat_api::ErrorKind::Usage);
    }

    #[test]
    fn every_outcome_of_a_lookup_is_a_sentence() {
        let empty = Found::default();
        let told = [Ok(empty.clone()), Ok(Found { dropped: 2, ..empty }), Err(LookupError::Unanswered), Err(LookupError::NoServer)];
        let told = told.map(|looked| why(&looked));
        assert_eq!(told[2], "The lookup failed: no name server answers.");
        assert!(told.iter().all(|sentence| sentence.ends_with('.')));
    }
}
