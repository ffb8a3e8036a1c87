//! How long a node takes to answer a stranger who dials its endpoint for contacts, by whom it knows: it must not tell.
//! `cargo bench -p samizdat-sync --bench stranger`
#![allow(missing_docs, clippy::disallowed_methods)]
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Instant;

use samizdat_core::{
    Now, PeerId,
    session::{BINDING_LEN, NONCE_LEN, SessionSecret, day},
};
use samizdat_sync::{
    contact::{
        Contact, Contacts, Input, Output, Way, Who,
        handshake::{Channel, Greeted},
    },
    limits::{CONTACT_TAGS, CONTACTS_MAX},
};

const TRIALS: usize = 20_001;
/// Far less than packets differ by that a relay passes on.
const GOAL_US: f64 = 50.0;
const NOW: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
const ALICE: PeerId = PeerId([1; 32]);
const MALLORY: PeerId = PeerId([66; 32]);

/// Whom Alice knows, and what Mallory says.
struct Case {
    name: &'static str,
    alice: Contacts,
    contacts: Vec<Contact>,
    /// Whether something about a contact changes before each visit.
    changes: bool,
    secret: SessionSecret,
    times: Vec<f64>,
}

fn secret(n: usize) -> SessionSecret {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SessionSecret::new(bytes)
}

impl Case {
    fn new(name: &'static str, count: usize, changes: bool, secret: SessionSecret) -> Self {
        let secrets = |n| (0..CONTACT_TAGS).map(|epoch| self::secret(n * CONTACT_TAGS + epoch)).collect();
        let contact = |n| Contact { who: Who(i64::try_from(n).unwrap()), secrets: secrets(n), direct: false, presence: None };
        let contacts: Vec<Contact> = (0..count).map(contact).collect();
        let mut alice = Contacts::new([1; 32]);
        alice.set_own(Way::Relayed, Some(ALICE), NOW);
        alice.set_contacts(contacts.clone(), NOW);
        Self { name, alice, contacts, changes, secret, times: Vec::new() }
    }

    /// Mallory says hello; the time until there is an answer, microseconds.
    fn visit(&mut self, link: u64) {
        let channel = Channel { binding: [5; BINDING_LEN], dialler: MALLORY, answerer: ALICE };
        let secrets = std::slice::from_ref(&self.secret);
        let greeted = Greeted::new(secrets, channel, day(NOW.unix_ms), [3; NONCE_LEN], [[4; 16]; CONTACT_TAGS]);
        let hello = greeted.hello().to_vec();
        if self.changes {
            self.alice.set_contacts(self.contacts.clone(), NOW);
        }
        let opened = Input::Opened { link, dial: None, way: Way::Relayed, peer: MALLORY, binding: channel.binding };
        let start = Instant::now();
        self.alice.handle(opened, NOW);
        self.alice.handle(Input::Frame { link, bytes: hello }, NOW);
        let answer = self.alice.poll_output();
        self.times.push(start.elapsed().as_secs_f64() * 1e6);
        assert!(matches!(answer, Some(Output::Send { .. })));
        self.alice.handle(Input::Closed { link }, NOW);
    }

    fn median(&mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }
}

fn main() {
    let wrong = || secret(usize::MAX);
    let mut cases = [
        Case::new("nobody is known", 0, false, wrong()),
        Case::new("one contact, wrong key", 1, false, wrong()),
        Case::new("one contact, its tag and not its proof", 1, false, secret(0)),
        Case::new("as many as there may be, wrong key", CONTACTS_MAX, false, wrong()),
        Case::new("as many, and one changed just now", CONTACTS_MAX, true, wrong()),
    ];
    // By turns, so that what else the machine does hits all alike.
    for trial in 0..TRIALS {
        // A change computes for milliseconds, outside of what is measured.
        let all = trial.is_multiple_of(100);
        cases.iter_mut().filter(|case| all || !case.changes).for_each(|case| case.visit(trial as u64));
    }
    let nobody = cases[0].median();
    let mut worst: f64 = 0.0;
    for case in &mut cases {
        let median = case.median();
        worst = worst.max((median - nobody).abs());
        println!("{:<42} {median:>8.2} us", case.name);
    }
    let [.., many] = &mut cases;
    let start = Instant::now();
    many.alice.set_contacts(many.contacts.clone(), NOW);
    let change = start.elapsed().as_secs_f64() * 1e6;
    println!("a change of contacts, which nobody waits for {change:>6.2} us");
    println!(
        "{{\"figure\":\"stranger_difference_us\",\"value\":{worst:.2},\"goal\":\"<= {GOAL_US}\",\"reached\":{}}}",
        worst <= GOAL_US
    );
}
