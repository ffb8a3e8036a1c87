//! An entry of this node's own, as its operator: while strangers can dial this node, its record stands in a domain. What is to be
//! done, and when, is decided by `samizdat_entry::Keeper`; here it gets name servers, other nodes and a clock.

use std::{net::SocketAddr, sync::Arc};

use samizdat_api::{ApiError, OwnEntry, meeting::NewOwnEntry};
use samizdat_chat::Chat;
use samizdat_core::{
    NodeRecord, PeerId,
    record::{Role, Roles},
};
use samizdat_engine::{Engine, Verdict};
use samizdat_entry::{
    Domain, Dyndns2, Input, Keeper, Output, Publisher, Rfc2136, Said, TsigKey,
    limits::{ENTRIES_MAX, KEY_FILE_MAX},
};
use tokio::time::{Duration, sleep, timeout};
use tracing::debug;
use zeroize::Zeroizing;

use crate::{
    convert,
    labels::BESIDE_PROXY,
    limits::WITHDRAW_PATIENCE,
    meeting::{News, Tell},
    node::Node,
};

const OWN_ENTRY: &str = "own entry";

/// The entry that the operator wants, and the work for it.
#[derive(Default)]
pub(crate) struct Keeping {
    wanted: Option<NewOwnEntry>,
    /// For what is wanted, or on its way out for what was.
    work: Option<Work>,
    stands: bool,
    why: Option<String>,
}

struct Work {
    keeper: Keeper,
    publisher: Arc<dyn Publisher>,
    domain: String,
    told: Option<Arc<NodeRecord>>,
    stopping: bool,
}

impl Keeping {
    pub(crate) fn load(engine: &Engine) -> Result<Self, samizdat_chat::ChatError> {
        let kept = Zeroizing::new(engine.chat().kept(OWN_ENTRY)?.unwrap_or_default());
        Ok(Self { wanted: serde_json::from_slice(&kept).ok(), ..Self::default() })
    }

    /// Whether there shall be an entry.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether nothing stands, and nothing is being done about it.
    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.is_none() && self.work.is_none()
    }

    pub(crate) fn is_kept(chat: &Chat) -> bool {
        let kept = chat.kept(OWN_ENTRY).ok().flatten().map(Zeroizing::new);
        kept.is_some_and(|kept| !kept.is_empty())
    }

    pub(crate) fn row(&self) -> Option<OwnEntry> {
        let wanted = self.wanted.as_ref()?;
        let why = match (&self.work, &self.why) {
            (None, _) => "Waiting until others have found that strangers can dial this node.".to_owned(),
            (Some(work), _) if work.stopping => "The entry is being taken away.".to_owned(),
            (Some(_), Some(why)) => why.clone(),
            (Some(_), None) => "Waiting for a place: the domain is looked at every few minutes.".to_owned(),
        };
        Some(OwnEntry { domain: wanted.domain.clone(), stands: self.stands, why })
    }

    /// These roles, and that of an entry while it stands.
    pub(crate) fn roles(&self, roles: Roles) -> Roles {
        if self.stands { roles.with(Role::Entry) } else { roles }
    }

    /// Hands the keeper what happened, and does what it wants. Says whether [`Keeping::roles`] changed.
    fn drive(&mut self, input: Option<Input>, engine: &mut Engine, tell: &Tell, now: samizdat_core::Now) -> bool {
        let stood = self.stands;
        let Some(work) = &mut self.work else { return false };
        match input {
            Some(input) => work.keeper.input(input, now),
            None => work.keeper.tick(now),
        }
        while let Some(output) = work.keeper.output() {
            match output {
                Output::Look => {
                    let (publisher, tell) = (Arc::clone(&work.publisher), tell.clone());
                    tokio::spawn(async move { tell.send(News::Kept(Input::Looked(publisher.look().await))).await });
                }
                Output::Swap(swap) => {
                    let (publisher, tell) = (Arc::clone(&work.publisher), tell.clone());
                    tokio::spawn(async move { tell.send(News::Kept(Input::Swapped(publisher.swap(&swap, now).await))).await });
                }
                Output::Probe(record) => engine.probe(record),
                Output::Say(said) => {
                    debug!("the entry of this node changed");
                    self.stands = match said {
                        Said::Published | Said::TookOver(_) => true,
                        Said::Withdrawn | Said::NotWithdrawn => false,
                        Said::Trouble(_) | Said::Crowded | Said::NoRecord | Said::Unsure | Said::Well => self.stands,
                    };
                    self.why = Some(sentence(&said, &work.domain, self.stands));
                }
                Output::Stopped => {
                    (self.work, self.stands) = (None, false);
                    return stood;
                }
            }
        }
        stood != self.stands
    }
}

/// What a keeper said, for its operator.
fn sentence(said: &Said, domain: &str, stands: bool) -> String {
    match said {
        Said::Published => format!("The entry stands in {domain}."),
        Said::TookOver(_) => format!("The entry stands in {domain}, where another node had died."),
        Said::Withdrawn => format!("The entry was taken out of {domain}."),
        Said::NotWithdrawn => format!("The entry could not be taken out of {domain}; it expires within two hours."),
        Said::Trouble(error) => format!("The entry cannot be kept: {error}."),
        Said::Crowded => format!("{domain} holds far more TXT records than entries can be, so nothing is changed there."),
        Said::NoRecord => {
            "This node has no record that could stand in DNS: others must find first that strangers can dial it.".into()
        }
        Said::Unsure => format!(
            "Waiting for a place in {domain}: a node that stands there may be dead, but no other node that this one knows has shown \
             that our own line works, so it is asked again within a minute."
        ),
        Said::Well if stands => format!("The entry stands in {domain} again."),
        Said::Well => format!("Waiting for a place in {domain}."),
    }
}

/// What writes to the domain, or what is wrong with the wish.
fn publisher(wish: &NewOwnEntry) -> Result<Arc<dyn Publisher>, ApiError> {
    let domain = Domain::new(&wish.domain).map_err(|_| ApiError::usage("an entry stands in a domain like example.org"))?;
    if !(1..=ENTRIES_MAX).contains(&slots(wish)) {
        return Err(ApiError::usage(format!("a domain has 1 to {ENTRIES_MAX} entries")));
    }
    let usage = |error: &dyn core::fmt::Display| ApiError::usage(error.to_string());
    match (&wish.server, &wish.dyndns) {
        (Some(server), None) => {
            let server: SocketAddr =
                server.parse().map_err(|_| ApiError::usage("a name server is given by its address, like 192.0.2.1:53"))?;
            let secret = wish.secret.reveal();
            let key = match &wish.key {
                Some(name) => TsigKey::new(name, secret.trim()),
                None if secret.len() > KEY_FILE_MAX => return Err(ApiError::usage("the file is too long for that of a key")),
                None => TsigKey::read(secret),
            };
            Ok(Arc::new(Rfc2136::new(server, domain, key.map_err(|error| usage(&error))?)))
        }
        (None, Some(service)) => {
            let user = wish.user.as_deref().unwrap_or_default();
            let dyndns = Dyndns2::new(service, &wish.domain, user, wish.secret.reveal().trim());
            Ok(Arc::new(dyndns.map_err(|error| usage(&error))?))
        }
        _ => Err(ApiError::usage("say where the entry is kept: at a name server or at a dyndns2 service, one of them")),
    }
}

fn slots(wish: &NewOwnEntry) -> usize {
    wish.slots.map_or(ENTRIES_MAX, usize::from)
}

impl Node {
    pub(crate) fn set_own_entry(&mut self, wish: NewOwnEntry) -> Result<(), ApiError> {
        if self.is_proxied() {
            return Err(ApiError::refused(BESIDE_PROXY));
        }
        publisher(&wish)?;
        let text = Zeroizing::new(serde_json::to_vec(&wish).map_err(|error| ApiError::internal(error.to_string()))?);
        self.keep_own_entry(&text)?;
        self.meeting.keeping.wanted = Some(wish);
        self.settle();
        self.keep_entry_standing();
        self.status_changed();
        Ok(())
    }

    pub(crate) fn remove_own_entry(&mut self) -> Result<(), ApiError> {
        if self.meeting.keeping.wanted.is_none() {
            return Err(ApiError::not_found("this node is no entry point"));
        }
        self.keep_own_entry(&[])?;
        self.meeting.keeping.wanted = None;
        self.settle();
        self.status_changed();
        Ok(())
    }

    /// Whatever stood for an earlier wish goes first.
    fn keep_own_entry(&mut self, text: &[u8]) -> Result<(), ApiError> {
        let now = self.clock.now();
        self.engine.command(now, |chat, _| chat.keep(OWN_ENTRY, text)).map_err(convert::error)?;
        self.stop_keeper();
        Ok(())
    }

    fn stop_keeper(&mut self) {
        if let Some(work) = &mut self.meeting.keeping.work
            && !std::mem::replace(&mut work.stopping, true)
        {
            self.drive_keeper(Some(Input::Stop));
        }
    }

    /// Once a second: an entry is for a node that strangers can dial, and whose record says so.
    pub(crate) fn keep_entry_standing(&mut self) {
        let now = self.clock.now();
        let verdict = self.engine.standing().verdict;
        let record = self.engine.record().filter(|record| !record.fields().addrs.is_empty()).cloned();
        let keeping = &mut self.meeting.keeping;
        let reachable = verdict == Verdict::Reachable && record.is_some();
        match (&mut keeping.work, &keeping.wanted) {
            (None, Some(wish)) if reachable => {
                let mut seed = [0; 32];
                // Both were looked at when the wish was made; a system without randomness is tried again.
                let (Ok(publisher), Ok(())) = (publisher(wish), getrandom::fill(&mut seed)) else { return };
                let (keeper, domain) = (Keeper::new(slots(wish), seed, now), wish.domain.clone());
                keeping.why = None;
                keeping.work = Some(Work { keeper, publisher, domain, told: None, stopping: false });
            }
            (Some(work), _) if !work.stopping && verdict == Verdict::Unreachable => return self.stop_keeper(),
            (Some(work), _) if work.stopping || reachable => {}
            // Nothing is known for the moment: the entry expires by itself if that lasts.
            _ => return,
        }
        if let Some(work) = &mut self.meeting.keeping.work
            && !work.stopping
            && work.told != record
            && let Some(record) = record
        {
            work.told = Some(Arc::clone(&record));
            self.drive_keeper(Some(Input::Own(NodeRecord::clone(&record))));
        }
        self.drive_keeper(None);
    }

    /// Somebody whose place may be taken was asked.
    pub(crate) fn on_probed(&mut self, peer: PeerId, answered: Option<bool>) {
        self.drive_keeper(Some(Input::Probed { peer, answered }));
    }

    pub(crate) fn drive_keeper(&mut self, input: Option<Input>) {
        let now = self.clock.now();
        let shown = self.meeting.keeping.row();
        if self.meeting.keeping.drive(input, &mut self.engine, &self.meeting.tell, now) {
            self.presence.hurry();
            self.status_changed();
        }
        if self.meeting.keeping.row() != shown {
            self.status_changed();
        }
    }

    /// The node ends: nobody shall look for it here.
    pub(crate) async fn withdraw(&mut self) {
        if !self.meeting.keeping.stands {
            return;
        }
        self.stop_keeper();
        let withdrawn = async {
            while let Some(work) = &self.meeting.keeping.work {
                let now = self.clock.now().mono_ms;
                let pause =
                    work.keeper.next_timeout().map_or(WITHDRAW_PATIENCE, |at| Duration::from_millis(at.saturating_sub(now)));
                tokio::select! {
                    Some(news) = self.meeting.news.recv() => if let News::Kept(input) = news { self.drive_keeper(Some(input)) },
                    () = sleep(pause) => self.drive_keeper(None),
                }
            }
        };
        if timeout(WITHDRAW_PATIENCE, withdrawn).await.is_err() {
            debug!("the entry was not taken away in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use samizdat_api::{ErrorKind, meeting::Secret};
    use samizdat_entry::PublishError;

    use super::*;

    fn wish() -> NewOwnEntry {
        NewOwnEntry {
            domain: "entry.example".into(),
            server: Some("192.0.2.1:53".into()),
            key: Some("node-key".into()),
            dyndns: None,
            user: None,
            secret: Secret::new("8cHxgGcHHdFzMEKHm5H1jAw0U7tzSRiDQl4B1cRXkOc=\n"),
            slots: None,
        }
    }

    #[test]
    fn a_wish_that_cannot_be_met_is_told_why() {
        assert!(publisher(&wish()).is_ok());
        let file = "key \"k\" { algorithm hmac-sha256; secret \"8cHxgGcHHdFzMEKHm5H1jAw0U7tzSRiDQl4B1cRXkOc=\"; };";
        assert!(publisher(&NewOwnEntry { key: None, secret: Secret::new(file), ..wish() }).is_ok());
        let dyndns = NewOwnEntry { server: None, key: None, dyndns: Some("https://dyn.example".into()), ..wish() };
        assert!(publisher(&NewOwnEntry { user: Some("carol".into()), ..dyndns.clone() }).is_ok());
        let bad = [
            NewOwnEntry { domain: "no domain".into(), ..wish() },
            NewOwnEntry { server: Some("ns.example".into()), ..wish() },
            NewOwnEntry { server: None, ..wish() },
            NewOwnEntry { dyndns: Some("https://dyn.example".into()), ..wish() },
            NewOwnEntry { secret: Secret::new("c2hvcnQ="), ..wish() },
            NewOwnEntry { key: None, ..wish() },
            NewOwnEntry { slots: Some(0), ..wish() },
            NewOwnEntry { slots: Some(9), ..wish() },
            NewOwnEntry { dyndns: Some("http://dyn.example".into()), ..dyndns },
        ];
        for wish in bad {
            let error = publisher(&wish).map(drop).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage, "{}", error.message);
        }
    }

    #[test]
    fn a_wish_is_kept_with_its_secret_and_shown_without() {
        let kept = serde_json::to_vec(&wish()).unwrap();
        assert_eq!(serde_json::from_slice::<NewOwnEntry>(&kept).unwrap(), wish());
        assert!(!format!("{:?}", wish()).contains("8cHx"));
    }

    #[test]
    fn an_operator_with_a_wrong_key_reads_what_is_wrong() {
        let said = sentence(&Said::Trouble(PublishError::Key), "entry.example", false);
        assert_eq!(said, "The entry cannot be kept: the name server does not accept this key.");
        let said = sentence(&Said::Unsure, "entry.example", false);
        assert!(said.starts_with("Waiting for a place in entry.example: a node that stands there may be dead"), "{said}");
    }
}
