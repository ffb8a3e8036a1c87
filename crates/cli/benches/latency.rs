//! How long a message is under way between two nodes on one machine: real processes, real sockets, real files, as two people
//! who run `samizdat up`. The stamp is the author's choice of lifetime and therefore counted apart.
//! `cargo bench -p samizdat`.
#![allow(missing_docs, clippy::disallowed_methods, unreachable_pub)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

#[path = "../tests/people/mod.rs"]
mod people;

use std::{
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use people::{Person, eventually};
use samizdat_api::{
    Client, Event,
    call::NewMessage,
    shape::{Message, MessageState},
};

const MESSAGES: usize = 21;
const GOAL_MS: f64 = 150.0;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let bob = Person::new("bob").start(&[]);
    let alice = Person::new("alice").start(&[&bob.join]);
    bob.wait_announced();
    let link = bob.json(&["invite"])["link"].as_str().unwrap().to_owned();
    alice.run(&["contact", "add", &link, "--as", "bob"]);
    alice.run(&["send", "bob", "hello", "--days", "1"]);
    let request = eventually("the request", || bob.rows(&["contact", "requests"]).into_iter().next());
    bob.run(&["contact", "accept", request["id"].as_str().unwrap()]);
    // His answer makes it a conversation of two.
    bob.run(&["send", &alice.name, "hello back", "--days", "1", "--wait", "received"]);

    let (at_alice, at_bob) = (messages(&alice), messages(&bob));
    let client = Client::connect(&alice.home()).unwrap();
    let (mut delivery, mut whole, mut stamps) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..MESSAGES {
        let text = format!("message {n}");
        let body = NewMessage { who: Some("bob".into()), text: text.clone(), days: Some(1), ..NewMessage::default() };
        let sent = Instant::now();
        client.send(&body).unwrap();
        let stamped = wait(&at_alice, |m| m.mine && m.text == text && m.state.reached(MessageState::Stamped));
        let read = wait(&at_bob, |m| m.text == text);
        delivery.push(ms(read.saturating_duration_since(stamped)));
        whole.push(ms(read - sent));
        stamps.push(ms(stamped - sent));
    }
    println!("{MESSAGES} messages, each for a day, from one node to another on this machine");
    for (what, times) in [("sent to stamped", &stamps), ("stamped to received", &delivery), ("sent to received", &whole)] {
        println!("{what:<20} median {:>7.1} ms, worst {:>7.1} ms", median(times), times.iter().copied().fold(0.0, f64::max));
    }
    let (value, reached) = (median(&delivery), median(&delivery) < GOAL_MS);
    println!("{{\"figure\":\"stamped_to_received_ms\",\"value\":{value:.1},\"goal\":\"< {GOAL_MS}\",\"reached\":{reached}}}");
}

/// What a node says about messages, with the moment at which it was heard.
fn messages(person: &Person) -> Receiver<(Instant, Message)> {
    let mut events = Client::connect(&person.home()).unwrap().events().unwrap();
    let (said, heard) = channel();
    thread::spawn(move || {
        while let Ok(event) = events.next() {
            if let Event::Message { message } = event
                && said.send((Instant::now(), message)).is_err()
            {
                return;
            }
        }
    });
    heard
}

fn wait(heard: &Receiver<(Instant, Message)>, is_it: impl Fn(&Message) -> bool) -> Instant {
    loop {
        let (at, message) = heard.recv_timeout(PATIENCE).expect("the message");
        if is_it(&message) {
            return at;
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
