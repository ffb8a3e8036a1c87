//! What a conversation of two costs: bytes on the wire, bytes at rest, time. Figures: `cargo test --release -p
//! samizdat-chat --test mls_cost -- --nocapture`.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::time::Instant;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rusqlite::Connection;
use samizdat_chat::mls::{MLS_SCHEMA, Mls, PairId, limits};
use samizdat_core::identity::IdentitySecret;

struct Person {
    mls: Mls,
    db: Connection,
    rng: ChaCha20Rng,
    secret: IdentitySecret,
}

impl Person {
    fn new(seed: u8, file: &std::path::Path) -> Self {
        let db = Connection::open(file).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;").unwrap();
        db.execute_batch(MLS_SCHEMA).unwrap();
        let (mls, rng) = (Mls::new().unwrap(), ChaCha20Rng::from_seed([seed; 32]));
        Self { mls, db, rng, secret: IdentitySecret::from_seed([seed; 32]) }
    }

    fn stored(&self, what: &str) -> u64 {
        let sql = format!("SELECT total(length(value)) FROM mls_state WHERE {what}");
        self.db.query_row(&sql, [], |row| row.get::<_, f64>(0)).unwrap() as u64
    }
}

/// Runs `work` once per transaction; microseconds of wall time each, which is CPU time on an idle machine.
fn timed<T>(person: &mut Person, times: usize, mut work: impl FnMut(&samizdat_chat::mls::Pairs<'_>, usize) -> T) -> (Vec<T>, f64) {
    let start = Instant::now();
    let results = (0..times)
        .map(|i| {
            let transaction = person.db.transaction().unwrap();
            let result = work(&person.mls.pairs(&transaction, &mut person.rng), i);
            transaction.commit().unwrap();
            result
        })
        .collect();
    (results, start.elapsed().as_secs_f64() * 1e6 / times as f64)
}

fn converse(alice: &mut Person, bob: &mut Person, pair: &PairId, label: &str) {
    const N: usize = 500;
    let (sent, encrypt) = timed(alice, N, |pairs, _| pairs.encrypt(pair, &[7; 256]).unwrap());
    let (_, decrypt) = timed(bob, N, |pairs, i| pairs.decrypt(pair, &sent[i]).unwrap());
    println!(
        "{label}: overhead {} B, encrypt {encrypt:.0} us, decrypt {decrypt:.0} us, state {} B, of it rewritten per message {} B",
        sent[0].len() - 256,
        bob.stored("substr(namespace, 1, 4) = x'70616972'"),
        bob.stored("label = 7"),
    );
    assert_eq!(sent[0].len(), 256 + 146);
}

#[test]
fn costs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut alice, mut bob) = (Person::new(1, &dir.path().join("alice")), Person::new(2, &dir.path().join("bob")));
    let secrets = [alice.secret.clone(), bob.secret.clone()];

    let (packages, time) = timed(&mut bob, 20, |pairs, _| pairs.make_key_package(&secrets[1]).unwrap());
    let package = packages[0].bytes.clone();
    println!("KeyPackage {} B, {time:.0} us; private half at rest {} B", package.len(), bob.stored("1") / 20);
    assert!(package.len() < 2800);
    let start = Instant::now();
    alice.mls.inspect_key_package(&package).unwrap();
    println!("inspect {:.0} us", start.elapsed().as_secs_f64() * 1e6);

    let (created, create) = timed(&mut alice, 20, |pairs, _| pairs.create(&secrets[0], &package).unwrap());
    let (joined, join) = timed(&mut bob, 20, |pairs, i| pairs.join(&secrets[1].key(), &created[i].welcome).unwrap());
    println!("Welcome {} B, create {create:.0} us, join {join:.0} us", created[0].welcome.len());
    assert!(created[0].welcome.len() < 4400);
    for other in &joined[1..] {
        bob.mls.pairs(&bob.db, &mut bob.rng).delete(&other.pair).unwrap();
    }
    let pair = joined[0].pair;

    converse(&mut alice, &mut bob, &pair, "first epoch");
    for _ in 0..limits::PAST_EPOCHS + 2 {
        let turn = alice.mls.pairs(&alice.db, &mut alice.rng).may_rotate(&pair).unwrap();
        let (first, second) = if turn { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let (commit, rotate) = timed(first, 1, |pairs, _| pairs.rotate(&pair).unwrap());
        let (_, process) = timed(second, 1, |pairs, _| pairs.decrypt(&pair, &commit[0]).unwrap());
        println!("rotate: Commit {} B, {rotate:.0} us, processed {process:.0} us", commit[0].len());
        assert!(commit[0].len() < 4200);
    }
    converse(&mut alice, &mut bob, &pair, "with past epochs");

    // The worst a peer can do to our state: leave as many gaps as the window holds.
    let (sent, _) = timed(&mut alice, limits::OUT_OF_ORDER as usize + 1, |pairs, _| pairs.encrypt(&pair, b"").unwrap());
    let (_, jump) = timed(&mut bob, 1, |pairs, _| pairs.decrypt(&pair, sent.last().unwrap()).unwrap());
    println!("jump over {} messages {jump:.0} us, leaves {} B of message secrets", limits::OUT_OF_ORDER, bob.stored("label = 7"));
    converse(&mut alice, &mut bob, &pair, "after the jump");
    let (_, load) = timed(&mut bob, 100, |pairs, _| pairs.outer(&pair).unwrap());
    println!("outer secret {load:.0} us");
}
