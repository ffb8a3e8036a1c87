//! The protocol of most dynamic DNS services: one address for one host name, over HTTP.

use core::{fmt, net::IpAddr, time::Duration};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use samizdat_core::{NodeRecord, Now};
use ureq::{Agent, http::Uri};
use zeroize::Zeroizing;

use super::{Answer, PublishError, Publisher, Swap, Swapped};
use crate::{
    domain::{BadDomain, Domain},
    limits::{FAULT_WAIT_MAX, FAULT_WAIT_MIN, HTTP_ANSWER_MAX, HTTP_TIMEOUT},
    text::Txt,
};

/// Services ask for a name by which they can tell programs apart.
const USER_AGENT: &str = concat!("samizdat/", env!("CARGO_PKG_VERSION"));

/// A host name at a service. It keeps in mind what was answered, so that nothing is asked that a service forbids to ask again:
/// make one for each host name, and a new one when a person has changed something.
#[derive(Clone)]
pub struct Dyndns2 {
    account: Arc<Account>,
    memory: Arc<Mutex<Memory>>,
}

struct Account {
    agent: Agent,
    service: String,
    host: String,
    authorization: Zeroizing<String>,
}

#[derive(Default)]
struct Memory {
    published: Option<(IpAddr, NodeRecord)>,
    /// Nothing is sent any more.
    over: Option<PublishError>,
    faults: u32,
    not_before_ms: u64,
}

impl Dyndns2 {
    /// `service` is `https://host`; without TLS it may be only of this computer.
    ///
    /// # Errors
    /// If the password would travel in the clear, or the host name is none.
    pub fn new(service: &str, host: &str, user: &str, password: &str) -> Result<Self, PublishError> {
        let host = Domain::new(host).map_err(|BadDomain| PublishError::NotFqdn)?.plain().to_ascii();
        let uri: Uri = service.parse().map_err(|_| PublishError::Service)?;
        let at_home = || uri.host().and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback());
        let safe = uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && at_home();
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if !safe || authority.contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() || user.contains(':') {
            return Err(PublishError::Service);
        }
        let login = Zeroizing::new([user, ":", password].concat());
        let login = Zeroizing::new(BASE64.encode(login.as_bytes()));
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(HTTP_TIMEOUT))
            .user_agent(USER_AGENT)
            .proxy(None)
            .build()
            .new_agent();
        let account = Account {
            agent,
            service: service.trim_end_matches('/').to_owned(),
            host: host.trim_end_matches('.').to_owned(),
            authorization: Zeroizing::new(["Basic ", &login].concat()),
        };
        Ok(Self { account: Arc::new(account), memory: Arc::default() })
    }

    async fn swap_now(&self, swap: &Swap, now: Now) -> Result<Swapped, PublishError> {
        let record = swap.add.clone().ok_or(PublishError::Stays)?;
        let account = Arc::clone(&self.account);
        self.with_memory(move |memory| memory.publish(&account, record, now)).await
    }

    /// One after the other, and to its end even if nobody waits any more: an answer must not be forgotten.
    async fn with_memory<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Memory) -> Result<T, PublishError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let memory = Arc::clone(&self.memory);
        let task = move || task(&mut memory.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(task).await.map_err(|_| PublishError::ServiceUnanswered)?
    }
}

impl Publisher for Dyndns2 {
    /// A service shows no records: this is what we last published.
    fn look(&self) -> Answer<'_, Vec<Txt>> {
        Box::pin(self.with_memory(|memory| Ok(memory.published.iter().map(|(_, record)| Txt::of(record)).collect())))
    }

    fn swap<'a>(&'a self, swap: &'a Swap, now: Now) -> Answer<'a, Swapped> {
        Box::pin(self.swap_now(swap, now))
    }
}

impl fmt::Debug for Dyndns2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dyndns2(..)")
    }
}

/// Most services hold one, and IPv4 reaches more people.
fn address(record: &NodeRecord) -> Option<IpAddr> {
    let addrs = &record.fields().addrs;
    addrs.iter().find(|addr| addr.is_ipv4()).or(addrs.first()).map(|addr| addr.ip())
}

impl Memory {
    fn publish(&mut self, account: &Account, record: NodeRecord, now: Now) -> Result<Swapped, PublishError> {
        let ip = address(&record).ok_or(PublishError::NoAddress)?;
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        if let Some((published, known)) = &mut self.published
            && *published == ip
        {
            *known = record;
            return Ok(Swapped::Done);
        }
        if now.mono_ms < self.not_before_ms {
            return Err(PublishError::Fault);
        }
        match account.update(ip) {
            Ok(()) => {
                *self = Self { published: Some((ip, record)), ..Self::default() };
                Ok(Swapped::Done)
            }
            Err(error) => {
                if error.needs_a_person() {
                    self.over = Some(error.clone());
                }
                if error == PublishError::Fault {
                    let wait = FAULT_WAIT_MIN.saturating_mul(1 << self.faults.min(8)).min(FAULT_WAIT_MAX);
                    self.faults = self.faults.saturating_add(1);
                    self.not_before_ms = now.mono_ms.saturating_add(millis(wait));
                }
                Err(error)
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Account {
    fn update(&self, ip: IpAddr) -> Result<(), PublishError> {
        let request = self
            .agent
            .get(format!("{}/nic/update", self.service))
            .query("hostname", &self.host)
            .query("myip", ip.to_string())
            .header("Authorization", self.authorization.as_str());
        let mut answer = request.call().map_err(|_| PublishError::ServiceUnanswered)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(HTTP_ANSWER_MAX).read_to_string();
        match (status, text.map_err(|_| PublishError::ServiceMalformed).and_then(|text| meaning(&text))) {
            (200, meaning) => meaning,
            (500..600, _) => Err(PublishError::Fault),
            // Many say the reason with the status beside it.
            (400..500, Err(error)) if error != PublishError::ServiceMalformed => Err(error),
            (401 | 403, _) => Err(PublishError::Password),
            _ => Err(PublishError::ServiceMalformed),
        }
    }
}

/// The first word of the answer says it, what follows is the address.
fn meaning(text: &str) -> Result<(), PublishError> {
    match text.split_whitespace().next().unwrap_or_default() {
        "good" | "nochg" => Ok(()),
        "badauth" => Err(PublishError::Password),
        "nohost" | "!yours" | "numhost" => Err(PublishError::NoHost),
        "notfqdn" => Err(PublishError::NotFqdn),
        "abuse" => Err(PublishError::Abuse),
        "badagent" | "!donator" => Err(PublishError::Unwelcome),
        "911" | "dnserr" => Err(PublishError::Fault),
        _ => Err(PublishError::ServiceMalformed),
    }
}
