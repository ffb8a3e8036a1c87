//! Who knocks at an endpoint for contacts and is none of them, on real sockets: the machine that answers, the endpoint that carries.
//! Its clock is virtual, so that the moment of refusal is compared and not measured; how soon it answers is measured.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use samizdat_core::session::{NONCE_LEN, PROOF_LEN, SessionSecret, day};
use samizdat_core::{Now, PeerId};
use samizdat_net::{
    Certificate, ContactEvent, Contacts as Endpoint, Endpoints, Limits, PeerAddr, Relay, RelayAt, RelayConfig, RelayLimits,
    Way as NetWay,
};
use samizdat_sync::contact::handshake::{ANSWER_LEN, Channel, Greeted, HELLO_LEN};
use samizdat_sync::contact::{Contact, Contacts, Input, Output, Way, Who};
use samizdat_sync::limits::{CONTACT_HANDSHAKE_MS, CONTACT_TAGS, CONTACTS_MAX};
use support::{LOOPBACK, soon};
use tokio::sync::mpsc;

const BOB: Who = Who(9);
/// How often each door is knocked at.
const KNOCKS: usize = 24;
const START: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };

fn secret(n: u8) -> SessionSecret {
    SessionSecret::new([n; 32])
}

/// An endpoint of somebody.
struct Home {
    way: Way,
    endpoint: Endpoint,
    events: mpsc::Receiver<ContactEvent>,
    peer: PeerId,
    addr: PeerAddr,
}

impl Home {
    /// One that is reached through this relay only.
    async fn behind(relay: RelayAt) -> Self {
        let (endpoint, mut events) = Endpoint::start(Limits::default(), None);
        endpoint.show_nearby(true);
        endpoint.use_relays(&[relay]);
        endpoint.want(Endpoints { relayed: Some(1), direct: None });
        loop {
            match soon(events.recv()).await.unwrap() {
                ContactEvent::Here { peer, addr, .. } if addr.relays().next().is_some() => {
                    return Self { way: Way::Relayed, endpoint, events, peer, addr };
                }
                ContactEvent::Here { .. } => {}
                event => panic!("expected an endpoint, got {event:?}"),
            }
        }
    }

    /// The direct one, on loopback.
    async fn new() -> Self {
        let (endpoint, mut events) = Endpoint::start(Limits::default(), None);
        endpoint.show_nearby(true);
        endpoint.want(Endpoints { relayed: None, direct: Some(1) });
        let (peer, addr) = loop {
            match soon(events.recv()).await.unwrap() {
                ContactEvent::Here { peer, addr, .. } if addr.sockets().any(|socket| socket.ip().is_loopback()) => {
                    break (peer, addr);
                }
                ContactEvent::Here { .. } => {}
                event => panic!("expected an endpoint, got {event:?}"),
            }
        };
        // Other machines' view is of no use here.
        let addr = PeerAddr::new(addr.sockets().filter(|socket| socket.ip().is_loopback()));
        Self { way: Way::Direct, endpoint, events, peer, addr }
    }

    async fn next(&mut self) -> ContactEvent {
        loop {
            match soon(self.events.recv()).await.unwrap() {
                ContactEvent::Here { .. } => {}
                event => return event,
            }
        }
    }
}

/// Alice: her endpoint, and the machine behind it.
struct Door {
    home: Home,
    machine: Contacts,
    now: Now,
}

impl Door {
    async fn new() -> Self {
        Self::of(Home::new().await)
    }

    fn of(home: Home) -> Self {
        let mut machine = Contacts::new([1; 32]);
        machine.set_own(home.way, Some(home.peer), START);
        Self { home, machine, now: START }
    }

    /// From now on sessions are wanted with who holds one of these.
    fn wants(&mut self, secrets: &[SessionSecret]) {
        let contact = |secret: &SessionSecret| Contact { who: BOB, secrets: vec![secret.clone()], direct: true, presence: None };
        self.machine.set_contacts(secrets.iter().map(contact).collect(), self.now);
    }

    /// Takes what happened at the endpoint, and does what the machine wants.
    async fn hear(&mut self) {
        let input = match self.home.next().await {
            ContactEvent::Opened { link, dial, peer, binding, .. } => {
                Input::Opened { link, dial, way: self.home.way, peer, binding }
            }
            ContactEvent::Frame { link, bytes } => Input::Frame { link, bytes },
            ContactEvent::Closed { link } => Input::Closed { link },
            event => panic!("{event:?}"),
        };
        self.machine.handle(input, self.now);
        self.act();
    }

    fn at(&mut self, mono_ms: u64) {
        self.now = Now { mono_ms, unix_ms: START.unix_ms + mono_ms };
        self.machine.handle(Input::Timeout, self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { link, bytes } => self.home.endpoint.send(link, bytes).unwrap(),
                Output::Close { link } => self.home.endpoint.hangup(link),
                Output::Up(who) => assert_eq!(who, BOB),
                output => panic!("{output:?}"),
            }
        }
    }
}

/// What one who knocked got, to the end: lengths of frames, and after how many milliseconds of Alice's clock it was hung up on.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    frames: Vec<usize>,
    after_ms: u64,
}

/// Somebody who dialled, said hello and was answered.
struct Knock {
    guest: Home,
    greeted: Greeted,
    link: u64,
    answer: Vec<u8>,
    /// From the hello to the answer.
    took: Duration,
}

impl Knock {
    async fn at(door: &mut Door, held: &SessionSecret) -> Self {
        Self::by(Home::new().await, door, held).await
    }

    async fn by(mut guest: Home, door: &mut Door, held: &SessionSecret) -> Self {
        let way = if guest.way == Way::Direct { NetWay::Direct } else { NetWay::Relayed };
        guest.endpoint.dial(1, way, door.home.peer, door.home.addr.as_bytes()).unwrap();
        let ContactEvent::Opened { link, binding, .. } = guest.next().await else { panic!("not opened") };
        let channel = Channel { binding, dialler: guest.peer, answerer: door.home.peer };
        let noise = [[4; 16]; CONTACT_TAGS];
        let greeted = Greeted::new(std::slice::from_ref(held), channel, day(START.unix_ms), [3; NONCE_LEN], noise);
        assert_eq!(greeted.hello().len(), HELLO_LEN);
        let said = Instant::now();
        guest.endpoint.send(link, greeted.hello().to_vec()).unwrap();
        // She hears of the connection, and of the hello.
        door.hear().await;
        door.hear().await;
        let ContactEvent::Frame { bytes: answer, .. } = guest.next().await else { panic!("no answer") };
        Self { guest, greeted, link, answer, took: said.elapsed() }
    }

    /// Says this, and waits for whatever comes.
    async fn refused(mut self, door: &mut Door, last: Vec<u8>) -> Refused {
        let began_ms = door.now.mono_ms;
        self.guest.endpoint.send(self.link, last).unwrap();
        door.hear().await;
        let due_ms = door.machine.next_timeout().unwrap();
        // Until then nothing happens: what she did would come before the end.
        door.at(due_ms - 1);
        door.at(due_ms);
        let mut frames = vec![self.answer.len()];
        loop {
            match self.guest.next().await {
                ContactEvent::Frame { bytes, .. } => frames.push(bytes.len()),
                ContactEvent::Closed { .. } => break,
                event => panic!("{event:?}"),
            }
        }
        // Alice's side hears of the end as well.
        door.hear().await;
        assert!(door.machine.sessions().next().is_none());
        Refused { frames, after_ms: due_ms - began_ms }
    }
}

#[tokio::test]
async fn a_wrong_key_nobody_home_and_who_was_switched_off_are_refused_alike() {
    let mut door = Door::new().await;
    let mut seen = Vec::new();
    // Nobody home.
    let knock = Knock::at(&mut door, &secret(7)).await;
    seen.push(("nobody home", knock.refused(&mut door, vec![1; PROOF_LEN]).await));
    // A wrong key, where Bob is expected.
    door.wants(&[secret(7)]);
    let knock = Knock::at(&mut door, &secret(8)).await;
    assert_eq!(knock.greeted.finish(&knock.answer), None);
    seen.push(("a wrong key", knock.refused(&mut door, vec![1; PROOF_LEN]).await));
    // The right tags, which no stranger can make, and not the proof.
    let knock = Knock::at(&mut door, &secret(7)).await;
    seen.push(("a wrong proof", knock.refused(&mut door, vec![1; PROOF_LEN]).await));
    // Bob himself, with everything that he has, after Alice switched him off.
    door.wants(&[]);
    let knock = Knock::at(&mut door, &secret(7)).await;
    assert_eq!(knock.greeted.finish(&knock.answer), None);
    seen.push(("switched off", knock.refused(&mut door, vec![2; PROOF_LEN]).await));
    // One who says nonsense at the end.
    let knock = Knock::at(&mut door, &secret(7)).await;
    seen.push(("nonsense", knock.refused(&mut door, vec![0; 1000]).await));
    for (who, refused) in seen {
        assert_eq!(refused, Refused { frames: vec![ANSWER_LEN], after_ms: CONTACT_HANDSHAKE_MS }, "{who}");
    }
}

#[tokio::test]
async fn with_the_right_key_it_is_a_session() {
    let mut door = Door::new().await;
    door.wants(&[secret(7)]);
    let knock = Knock::at(&mut door, &secret(7)).await;
    assert_eq!(knock.answer.len(), ANSWER_LEN, "as long as for everybody");
    let proof = knock.greeted.finish(&knock.answer).unwrap();
    knock.guest.endpoint.send(knock.link, proof.to_vec()).unwrap();
    door.hear().await;
    assert_eq!(door.machine.sessions().map(|session| (session.who, session.peer)).collect::<Vec<_>>(), [(BOB, knock.guest.peer)]);
    // It does not end when others are hung up on.
    door.at(CONTACT_HANDSHAKE_MS * 2);
    assert!(door.machine.sessions().next().is_some());
}

/// On the endpoint that is reached through relays only, in real time. One who has as many contacts as there can be answers a stranger
/// as soon as one who has none, as far as that can be told: the middle halves of what was measured by turns overlap.
#[tokio::test]
async fn through_a_relay_a_wrong_key_is_answered_as_soon_as_where_nobody_is_expected() {
    let loopback = LOOPBACK.parse().unwrap();
    let certificate = Certificate::generate().unwrap();
    let config = RelayConfig { listen: loopback, discovery: loopback, certificate, limits: RelayLimits::default() };
    let relay = Relay::start(config).await.unwrap();
    let service = relay.service();
    let at = format!("127.0.0.1:{}", service.port).parse().unwrap();
    let at = RelayAt { at, discovery_port: service.discovery_port, certificate: service.certificate };
    let [mut empty, mut full] = [Door::of(Home::behind(at).await), Door::of(Home::behind(at).await)];
    let contact = |n: usize| {
        let [low, high, ..] = n.to_le_bytes();
        let secrets = vec![SessionSecret::new([[low; 16], [high; 16]].concat().try_into().unwrap())];
        Contact { who: Who(n.try_into().unwrap()), secrets, direct: false, presence: None }
    };
    full.machine.set_contacts((0..CONTACTS_MAX).map(contact).collect(), full.now);
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..KNOCKS {
        for (door, took) in [&mut empty, &mut full].into_iter().zip(&mut took) {
            let knock = Knock::by(Home::behind(at).await, door, &secret(255)).await;
            assert_eq!((knock.answer.len(), knock.greeted.finish(&knock.answer)), (ANSWER_LEN, None));
            took.push(knock.took);
            knock.guest.endpoint.close().await;
            door.hear().await;
        }
    }
    took.iter_mut().for_each(|took| took.sort());
    let [empty, full] = took.map(|took| (took[KNOCKS / 4], took[KNOCKS / 2], took[KNOCKS * 3 / 4]));
    println!("quartiles: nobody expected {empty:?}, somebody else {full:?}");
    assert!(empty.0 <= full.2 && full.0 <= empty.2, "{empty:?}, {full:?}");
}
