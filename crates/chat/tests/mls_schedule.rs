//! Random schedules: two people write and rotate, the network drops, delays, repeats and reorders.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rusqlite::Connection;
use samizdat_chat::mls::{DecryptError, Decrypted, MLS_SCHEMA, Mls, PairId, limits::PAST_EPOCHS};
use samizdat_core::identity::IdentitySecret;

const STEPS: usize = 300;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// One side writes.
    Write(bool),
    /// One side rotates if it is its turn.
    Rotate(bool),
    /// The network hands over the one in flight at this position.
    Deliver(usize),
    /// The network loses a message (a Commit it can only delay: its author sends it again).
    Drop(usize),
    /// The network hands over a copy and keeps the original.
    Repeat(usize),
    /// One side crashes in the middle of writing: the transaction is rolled back.
    Crash(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Write),
        1 => any::<bool>().prop_map(Step::Rotate),
        6 => any::<usize>().prop_map(Step::Deliver),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => any::<usize>().prop_map(Step::Repeat),
        1 => any::<bool>().prop_map(Step::Crash),
    ]
}

struct Side {
    mls: Mls,
    db: Connection,
    rng: ChaCha20Rng,
    secret: IdentitySecret,
    written: u32,
    read: BTreeSet<(u64, u32)>,
}

impl Side {
    fn new(seed: u8) -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(MLS_SCHEMA).unwrap();
        Self {
            mls: Mls::new().unwrap(),
            db,
            rng: ChaCha20Rng::from_seed([seed; 32]),
            secret: IdentitySecret::from_seed([seed; 32]),
            written: 0,
            read: BTreeSet::new(),
        }
    }
}

#[derive(Clone)]
struct Flight {
    to: usize,
    /// The message's number and its epoch; none for a Commit.
    message: Option<(u64, u32)>,
    bytes: Vec<u8>,
}

struct World {
    sides: [Side; 2],
    pair: PairId,
    flights: Vec<Flight>,
}

impl World {
    fn new() -> Self {
        let (mut alice, mut bob) = (Side::new(1), Side::new(2));
        let package = bob.mls.pairs(&bob.db, &mut bob.rng).make_key_package(&bob.secret).unwrap();
        let created = alice.mls.pairs(&alice.db, &mut alice.rng).create(&alice.secret, &package.bytes).unwrap();
        bob.mls.pairs(&bob.db, &mut bob.rng).join(&bob.secret.key(), &created.welcome).unwrap();
        Self { sides: [alice, bob], pair: created.pair, flights: Vec::new() }
    }

    fn write(&mut self, from: usize, crash: bool) {
        let side = &mut self.sides[from];
        let transaction = side.db.transaction().unwrap();
        let number = side.written;
        let pairs = side.mls.pairs(&transaction, &mut side.rng);
        let bytes = pairs.encrypt(&self.pair, &number.to_be_bytes()).unwrap();
        let epoch = pairs.epoch(&self.pair).unwrap();
        if crash {
            transaction.rollback().unwrap();
            return;
        }
        transaction.commit().unwrap();
        side.written += 1;
        self.flights.push(Flight { to: 1 - from, message: Some((epoch, number)), bytes });
    }

    fn rotate(&mut self, from: usize) {
        let side = &mut self.sides[from];
        let pairs = side.mls.pairs(&side.db, &mut side.rng);
        if pairs.may_rotate(&self.pair).unwrap() {
            let bytes = pairs.rotate(&self.pair).unwrap();
            self.flights.push(Flight { to: 1 - from, message: None, bytes });
        }
    }

    /// Hands over one; true when it is done with.
    fn deliver(&mut self, flight: &Flight) -> bool {
        let side = &mut self.sides[flight.to];
        let transaction = side.db.transaction().unwrap();
        let pairs = side.mls.pairs(&transaction, &mut side.rng);
        let current = pairs.epoch(&self.pair).unwrap();
        let result = pairs.decrypt(&self.pair, &flight.bytes);
        let done = match (result, flight.message) {
            (Ok(Decrypted::Application { epoch, plaintext, .. }), Some((written, number))) => {
                assert_eq!((epoch, plaintext), (written, number.to_be_bytes().to_vec()));
                assert!(side.read.insert((epoch, number)), "read twice");
                true
            }
            (Ok(Decrypted::EpochChanged { epoch }), None) => {
                assert_eq!(epoch, current + 1);
                true
            }
            (Err(DecryptError::FutureEpoch(epoch)), Some((written, _))) => {
                assert_eq!(epoch, written);
                assert_eq!(epoch, current + 1, "nobody runs ahead by more than one epoch");
                false
            }
            (Err(DecryptError::Spent), Some(message)) => {
                assert!(side.read.contains(&message), "only a repeated message may be unreadable");
                true
            }
            (Err(DecryptError::PastEpoch(epoch)), Some((written, _))) => {
                assert_eq!(epoch, written);
                assert!(written + (PAST_EPOCHS as u64) < current, "unreadable although recent");
                true
            }
            (Err(DecryptError::PastEpoch(_) | DecryptError::Spent), None) => true,
            (other, message) => panic!("{message:?}: {other:?}"),
        };
        transaction.commit().unwrap();
        done
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            for flight in std::mem::take(&mut self.flights) {
                if !self.deliver(&flight) {
                    self.flights.push(flight);
                }
            }
        }
        assert!(self.flights.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn two_people_never_lose_each_other(steps in proptest::collection::vec(step(), STEPS)) {
        let mut world = World::new();
        for step in steps {
            let at = |position: usize, world: &World| (!world.flights.is_empty()).then(|| position % world.flights.len());
            match step {
                Step::Write(second) => world.write(usize::from(second), false),
                Step::Crash(second) => world.write(usize::from(second), true),
                Step::Rotate(second) => world.rotate(usize::from(second)),
                Step::Deliver(position) => {
                    if let Some(at) = at(position, &world) {
                        let flight = world.flights.remove(at);
                        if !world.deliver(&flight) {
                            world.flights.push(flight);
                        }
                    }
                }
                Step::Repeat(position) => {
                    if let Some(at) = at(position, &world) {
                        let flight = world.flights[at].clone();
                        world.deliver(&flight);
                    }
                }
                Step::Drop(position) => {
                    if let Some(at) = at(position, &world).filter(|at| world.flights[*at].message.is_some()) {
                        world.flights.remove(at);
                    }
                }
            }
        }
        world.settle();
        let epochs = [0, 1].map(|i| {
            let side = &mut world.sides[i];
            side.mls.pairs(&side.db, &mut side.rng).outer(&world.pair).unwrap()
        });
        prop_assert_eq!(&epochs[0], &epochs[1]);
        for from in [0, 1] {
            world.write(from, false);
        }
        world.settle();
    }
}
