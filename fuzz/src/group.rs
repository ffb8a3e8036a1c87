//! What is done with what MLS reads of a cluster, by a member of a group of three and by somebody who waits to be let in. `true`
//! means that somebody took it.
//!
//! `cargo test` calls this for the files of `corpus/` by way of `crates/chat/tests/fuzz_corpus.rs`, which includes this very file.

use std::cell::OnceCell;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rusqlite::Connection;
use samizdat_chat::mls::{Groups, MLS_SCHEMA, MemberKeys, Mls, Plan};
use samizdat_cluster::{ClusterId, MemberId, StateId};

const CLUSTER: ClusterId = ClusterId([7; 32]);

/// Somebody with keys and a vault.
pub struct Person {
    conn: Connection,
    mls: Mls,
    rng: ChaCha20Rng,
    pub keys: MemberKeys,
}

impl Person {
    fn new(seed: u8, nick: &str) -> Option<Self> {
        let conn = Connection::open_in_memory().ok()?;
        conn.execute_batch(MLS_SCHEMA).ok()?;
        let (mls, mut rng) = (Mls::new().ok()?, ChaCha20Rng::from_seed([seed; 32]));
        let keys = mls.groups(&conn, &mut rng).make_keys(nick).ok()?;
        Some(Self { conn, mls, rng, keys })
    }

    pub fn groups(&mut self) -> Groups<'_> {
        self.mls.groups(&self.conn, &mut self.rng)
    }

    /// Nothing of it stays.
    fn tries<T>(&mut self, work: impl FnOnce(&Groups<'_>) -> T) -> Option<T> {
        self.conn.execute_batch("SAVEPOINT attempt").ok()?;
        let done = work(&self.mls.groups(&self.conn, &mut self.rng));
        self.conn.execute_batch("ROLLBACK TO attempt; RELEASE attempt").ok()?;
        Some(done)
    }
}

/// Alice founded it and let in Bob and Carol; Dave is let in by a Commit of Bob that she does not know.
pub struct World {
    pub alice: Person,
    pub bob: Person,
    pub carol: Person,
    pub dave: Person,
    pub state: StateId,
}

impl World {
    pub fn new() -> Option<Self> {
        let (mut alice, mut bob, mut carol, dave) =
            (Person::new(1, "alice")?, Person::new(2, "bob")?, Person::new(3, "carol")?, Person::new(4, "dave")?);
        let keys = alice.keys.clone();
        let founded = alice.groups().found(&CLUSTER, &keys, "alice", b"charter").ok()?;
        let add = vec![bob.keys.bytes.clone(), carol.keys.bytes.clone()];
        let committed = alice.groups().commit(&CLUSTER, &founded.state, &keys.member, &Plan { add, ..Plan::default() }).ok()?;
        for other in [&mut bob, &mut carol] {
            let us = other.keys.member;
            other.groups().join(&CLUSTER, &us, committed.welcome.as_ref()?).ok()?;
        }
        Some(Self { alice, bob, carol, dave, state: committed.snapshot.state })
    }

    /// What can come to Alice or Dave, by what it is.
    pub fn messages(&mut self) -> Option<Vec<(&'static str, Vec<u8>)>> {
        let (state, bob, carol, alice) = (self.state, self.bob.keys.member, self.carol.keys.member, self.alice.keys.member);
        let update = self.carol.groups().propose_update(&CLUSTER, &state, &carol).ok()?;
        let text = self.bob.groups().encrypt(&CLUSTER, &state, &bob, b"hello").ok()?;
        let aside = self.bob.groups().encrypt_to(&CLUSTER, &state, &bob, &alice, b"for you alone").ok()?;
        let unsigned = self.bob.groups().seal_to(&CLUSTER, &state, &alice, b"from somebody").ok()?;
        let plan = Plan { add: vec![self.dave.keys.bytes.clone()], ..Plan::default() };
        let committed = self.bob.groups().commit(&CLUSTER, &state, &bob, &plan).ok()?;
        let keys = self.dave.keys.bytes.clone();
        let named = [("update", update), ("text", text), ("aside", aside), ("unsigned", unsigned), ("commit", committed.commit)];
        Some(named.into_iter().chain([("welcome", committed.welcome?), ("keys", keys)]).collect())
    }
}

thread_local! {
    static WORLD: OnceCell<Option<std::cell::RefCell<World>>> = const { OnceCell::new() };
}

/// Everything that reads MLS, with these bytes.
pub fn group(bytes: &[u8]) -> bool {
    WORLD.with(|world| {
        let world = world.get_or_init(|| World::new().map(std::cell::RefCell::new));
        world.as_ref().is_some_and(|world| reads(&mut world.borrow_mut(), bytes))
    })
}

fn reads(World { alice, dave, state, .. }: &mut World, bytes: &[u8]) -> bool {
    let dave_is: MemberId = dave.keys.member;
    let inspected = alice.mls.inspect_member(bytes).is_ok();
    let by_alice = alice.tries(|groups| {
        [
            groups.handshake_of(&CLUSTER, state, bytes).is_ok(),
            groups.process(&CLUSTER, state, bytes, &[]).is_ok(),
            groups.decrypt(&CLUSTER, state, bytes).is_ok(),
            groups.decrypt_to_us(&CLUSTER, state, bytes).is_ok(),
            groups.open_to_us(&CLUSTER, state, bytes).is_ok(),
        ]
        .contains(&true)
    });
    let by_dave = dave.tries(|groups| groups.join(&CLUSTER, &dave_is, bytes).is_ok());
    inspected || by_alice == Some(true) || by_dave == Some(true)
}
