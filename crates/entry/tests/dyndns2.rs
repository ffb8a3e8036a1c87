//! A dynamic DNS service, as its customers know them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

mod service;

use std::net::TcpListener;

use samizdat_core::{NodeRecord, Now, PeerSecret, record::NodeFields};
use samizdat_entry::{Dyndns2, PublishError, Publisher, Swap, Swapped, Txt};
use service::{HOST, PASSWORD, Service, USER};

const MINUTE: u64 = 60_000;

fn start() -> Service {
    Service::start(TcpListener::bind("127.0.0.1:0").unwrap())
}

fn customer(service: &Service, password: &str) -> Dyndns2 {
    Dyndns2::new(&service.url(), HOST, USER, password).unwrap()
}

fn record(last: u8) -> NodeRecord {
    let addrs = [format!("[2001:db8::{last}]:4001"), format!("203.0.113.{last}:4001")];
    let fields = NodeFields {
        issued: 1_800_000_000 + u64::from(last),
        lifetime_s: 7200,
        roles: Default::default(),
        addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
        relay: None,
        via: Vec::new(),
    };
    NodeRecord::sign(&PeerSecret([1; 32]), fields).unwrap()
}

async fn publish(client: &Dyndns2, last: u8, mono_ms: u64) -> Result<Swapped, PublishError> {
    let swap = Swap { seen: Vec::new(), remove: Vec::new(), add: Some(record(last)) };
    client.swap(&swap, Now { mono_ms, unix_ms: 0 }).await
}

#[tokio::test]
async fn an_address_is_sent_when_it_changed_and_never_again() {
    let service = start();
    let client = customer(&service, PASSWORD);
    assert_eq!(client.look().await, Ok(vec![]));
    for (last, requests) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3)] {
        assert_eq!(publish(&client, last, 0).await, Ok(Swapped::Done));
        assert_eq!(service.requests().len(), requests);
    }
    assert_eq!(client.look().await, Ok(vec![Txt::of(&record(1))]));
    let first = service.requests().remove(0);
    assert!(first.starts_with("GET /nic/update?hostname=home.example.org&myip=203.0.113.1 HTTP/1.1"), "{first}");
    // A node that was restarted does not know; the service says that nothing changed, and once is enough.
    let again = customer(&service, PASSWORD);
    for _ in 0..3 {
        assert_eq!(publish(&again, 1, 0).await, Ok(Swapped::Done));
    }
    assert_eq!(service.requests().len(), 4);
    let withdraw = Swap { seen: Vec::new(), remove: Vec::new(), add: None };
    assert_eq!(again.swap(&withdraw, Now::default()).await, Err(PublishError::Stays));
}

#[tokio::test]
async fn a_wrong_password_is_sent_once() {
    let service = start();
    let client = customer(&service, "wrong");
    for last in 1..5 {
        let error = publish(&client, last, 0).await.unwrap_err();
        assert_eq!(error.to_string(), "the service does not accept this user name and password");
    }
    assert_eq!(service.requests().len(), 1);
    assert!(!format!("{client:?}").contains("wrong"));
}

#[tokio::test]
async fn what_a_person_must_mend_is_not_repeated() {
    let service = start();
    let answers = [
        (200, "nohost", PublishError::NoHost),
        (200, "!yours", PublishError::NoHost),
        (200, "notfqdn", PublishError::NotFqdn),
        (200, "abuse", PublishError::Abuse),
        (403, "abuse", PublishError::Abuse),
        (403, "good", PublishError::Password),
        (401, "", PublishError::Password),
        (400, "abuse\n", PublishError::Abuse),
        (200, "badagent", PublishError::Unwelcome),
    ];
    for (status, text, error) in answers {
        let client = customer(&service, PASSWORD);
        service.feels(Some((status, text)));
        let before = service.requests().len();
        assert_eq!(publish(&client, 1, 0).await, Err(error.clone()), "{text}");
        service.feels(None);
        assert_eq!(publish(&client, 2, 90 * MINUTE).await, Err(error), "{text}");
        assert_eq!(service.requests().len(), before + 1, "{text}");
    }
}

#[tokio::test]
async fn a_service_with_a_fault_is_left_alone_longer_each_time() {
    let service = start();
    let client = customer(&service, PASSWORD);
    service.feels(Some((200, "911")));
    assert_eq!(publish(&client, 1, 0).await, Err(PublishError::Fault));
    assert_eq!(publish(&client, 2, 29 * MINUTE).await, Err(PublishError::Fault));
    assert_eq!(service.requests().len(), 1);
    service.feels(Some((503, "")));
    assert_eq!(publish(&client, 1, 30 * MINUTE).await, Err(PublishError::Fault));
    service.feels(None);
    assert_eq!(publish(&client, 1, 89 * MINUTE).await, Err(PublishError::Fault));
    assert_eq!(service.requests().len(), 2);
    assert_eq!(publish(&client, 1, 90 * MINUTE).await, Ok(Swapped::Done));
}

#[tokio::test]
async fn nonsense_and_silence_are_told_and_may_be_tried_again() {
    let service = start();
    let client = customer(&service, PASSWORD);
    let long: &'static str = "good ".repeat(10_000).leak();
    for (status, text) in [(200, "<html>"), (200, ""), (302, "good"), (404, ""), (200, long)] {
        service.feels(Some((status, text)));
        assert_eq!(publish(&client, 1, 0).await, Err(PublishError::ServiceMalformed), "{status} {text:.9}");
    }
    service.feels(None);
    assert_eq!(publish(&client, 1, 0).await, Ok(Swapped::Done));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Dyndns2::new(&format!("http://{nobody}"), HOST, "alice", "right").unwrap();
    assert_eq!(publish(&client, 1, 0).await, Err(PublishError::ServiceUnanswered));
}

#[test]
fn a_password_does_not_travel_in_the_clear() {
    let open = |service: &str| Dyndns2::new(service, HOST, "alice", "secret").map(|_| ());
    for fine in ["https://dyn.example.org", "https://dyn.example.org:8443/", "http://127.0.0.1:80"] {
        assert_eq!(open(fine), Ok(()), "{fine}");
    }
    let bad =
        ["http://dyn.example.org", "http://192.0.2.1", "https://a:b@dyn.example.org", "https://dyn.example.org/nic", "dyn", ""];
    for bad in bad {
        assert_eq!(open(bad), Err(PublishError::Service), "{bad}");
    }
    assert_eq!(Dyndns2::new("https://dyn.example.org", "a..b", "u", "p").map(|_| ()), Err(PublishError::NotFqdn));
}
