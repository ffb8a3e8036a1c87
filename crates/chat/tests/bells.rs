//! Mallory rings as he likes: he founds pairs with the library's own calls and seals what he pleases.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use people::{LIFETIME, Person, acquainted, carry, meet, mint};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use samizdat_chat::{
    State,
    content::{Bell, Content},
    mls::{MLS_SCHEMA, Mls, PairId},
};
use samizdat_core::{
    Envelope, IdentitySecret, Unstamped,
    announce::Announcement,
    link::{InviteLink, SECRET_LEN},
    seal::seal_bell,
};
use samizdat_store::rusqlite::Connection;

/// Somebody who speaks the protocol and keeps no rule of ours.
struct Mallory {
    mls: Mls,
    db: Connection,
    rng: ChaCha20Rng,
    secret: IdentitySecret,
    invite: Option<[u8; SECRET_LEN]>,
}

impl Mallory {
    fn new(seed: u8, link: &str) -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(MLS_SCHEMA).unwrap();
        Self {
            mls: Mls::new().unwrap(),
            db,
            rng: ChaCha20Rng::from_seed([seed; 32]),
            secret: IdentitySecret::from_seed([seed; 32]),
            invite: link.parse::<InviteLink>().unwrap().secret,
        }
    }

    fn name(&self) -> String {
        self.secret.key().name().compact()
    }

    fn without_link(seed: u8) -> Self {
        Self { invite: None, ..Self::new(seed, &Person::new(seed).name()) }
    }

    /// A bell for Bob in a new pair, with what `first` makes of the pair inside.
    fn rings(&mut self, bob: &Person, first: impl FnOnce(&mut Self, &PairId) -> Vec<u8>) -> Envelope {
        let bob_name = bob.name();
        let is_bobs = |e: &Envelope| e.fields().kind.signed().is_some_and(|signed| signed.author.name().compact() == bob_name);
        let announced = bob.envelopes().into_iter().rfind(is_bobs).unwrap();
        let keys = Announcement::decode(announced.body()).unwrap();
        let created = self.mls.pairs(&self.db, &mut self.rng).create(&self.secret, &keys.key_package).unwrap();
        let first = first(self, &created.pair);
        let content = Bell { welcome: created.welcome, first, secret: self.invite }.encode();
        let body = seal_bell(&keys.contact_key, &content, &mut self.rng).unwrap();
        let unstamped = Unstamped::seal(None, bob.now.hour(), LIFETIME, body).unwrap();
        let nonce = mint(&unstamped.id(), unstamped.price());
        unstamped.stamp(nonce).unwrap()
    }

    fn says(&mut self, pair: &PairId, text: &str) -> Vec<u8> {
        let content =
            Content::Text { id: rand_id(&mut self.rng), at: 0, parents: Vec::new(), missing: Vec::new(), text: text.into() };
        self.mls.pairs(&self.db, &mut self.rng).encrypt(pair, &content.encode()).unwrap()
    }
}

fn rand_id(rng: &mut ChaCha20Rng) -> [u8; 16] {
    let mut id = [0; 16];
    rand_chacha::rand_core::Rng::fill_bytes(rng, &mut id);
    id
}

#[test]
fn a_bell_with_a_commit_inside_does_not_stop_what_bob_writes_to_others() {
    let (mut alice, mut bob) = acquainted();
    let (alice_name, link) = (alice.name(), bob.link());
    // Somebody whose turn it is in the first epoch.
    let (mut mallory, bell) = (60..)
        .find_map(|seed| {
            let mut mallory = Mallory::new(seed, &link);
            let mut turn = false;
            let bell = mallory.rings(&bob, |m, pair| match m.mls.pairs(&m.db, &mut m.rng).rotate(pair) {
                Ok(commit) => {
                    turn = true;
                    commit
                }
                Err(_) => Vec::new(),
            });
            turn.then_some((mallory, bell))
        })
        .unwrap();
    let mallory_name = mallory.name();
    bob.receive(&bell);
    assert!(bob.chat.requests().unwrap().is_empty(), "it says nothing, so it leaves nothing");

    // A proper bell later; now Bob answers her, and then Alice.
    let proper = mallory.rings(&bob, |m, pair| m.says(pair, "hello bob"));
    bob.receive(&proper);
    assert_eq!(bob.chat.requests().unwrap().len(), 1);
    let to_mallory = bob.write(&mallory_name, "who are you?");
    let to_alice = bob.write(&alice_name, "somebody writes to me");
    meet(&mut alice, &mut bob);
    assert_eq!((bob.state(&to_mallory), bob.state(&to_alice)), (State::Stamped, State::Received));
}

#[test]
fn a_relay_cannot_make_the_stamp_of_a_stranger_too_cheap_for_bob() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    carry(&bob, &mut alice);
    let bob_name = bob.name();
    // She chose a short life for her messages; without a secret her program makes the dear bell by itself.
    alice.write(&bob_name, "we met at the market");
    alice.chat.work(&alice.log, alice.now).unwrap();
    let job = alice.chat.job().unwrap().unwrap();
    // Mallory, through whom alone the bell goes, can swap the stamp for the cheapest that is valid. That is enough.
    assert!(alice.chat.stamp(&job.id, 1).unwrap().is_none(), "no node takes less than the price of the declared lifetime");
    let bell = alice.chat.stamp(&job.id, mint(&job.id, job.tries)).unwrap().unwrap();
    assert_eq!(job.tries, samizdat_core::stamp::price(bell.bytes().len(), bell.fields().lifetime_hours()));
    bob.receive(&bell);
    assert_eq!(bob.chat.requests().unwrap().len(), 1);
    assert!(!bob.chat.requests().unwrap()[0].invited);

    // She pays no more than the network asks for a short life.
    let mut mallory = Mallory::without_link(4);
    let bell = mallory.rings(&bob, |m, pair| m.says(pair, "buy now"));
    bob.receive(&bell);
    assert_eq!(bob.chat.requests().unwrap().len(), 1);
}
