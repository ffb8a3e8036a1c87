//! States of a cluster: every Commit leads to a state of its own, and none is lost by another.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rusqlite::Connection;
use samizdat_chat::mls::{Committed, GroupError, Groups, MLS_SCHEMA, MemberKeys, Mls, Plan, Snapshot};
use samizdat_cluster::{ClusterId, StateId};

const CLUSTER: ClusterId = ClusterId([7; 32]);

struct Person {
    conn: Connection,
    mls: Mls,
    rng: ChaCha20Rng,
    keys: MemberKeys,
    nick: &'static str,
}

impl Person {
    fn new(seed: u8, nick: &'static str) -> Self {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MLS_SCHEMA).unwrap();
        let (mls, mut rng) = (Mls::new().unwrap(), ChaCha20Rng::from_seed([seed; 32]));
        let keys = mls.groups(&conn, &mut rng).make_keys(nick).unwrap();
        Self { conn, mls, rng, keys, nick }
    }

    fn groups(&mut self) -> Groups<'_> {
        self.mls.groups(&self.conn, &mut self.rng)
    }

    fn found(&mut self) -> Snapshot {
        let keys = self.keys.clone();
        let nick = self.nick;
        self.groups().found(&CLUSTER, &keys, nick, b"charter").unwrap()
    }

    fn commit(&mut self, at: &Snapshot, plan: &Plan) -> Committed {
        let us = self.keys.member;
        self.groups().commit(&CLUSTER, &at.state, &us, plan).unwrap()
    }

    fn add(&mut self, at: &Snapshot, others: &[&Self]) -> Committed {
        self.commit(at, &Plan { add: others.iter().map(|other| other.keys.bytes.clone()).collect(), ..Plan::default() })
    }

    fn join(&mut self, committed: &Committed) -> Snapshot {
        let us = self.keys.member;
        self.groups().join(&CLUSTER, &us, committed.welcome.as_ref().unwrap()).unwrap()
    }

    fn follow(&mut self, at: &Snapshot, committed: &Committed, updates: &[Vec<u8>]) -> Snapshot {
        self.groups().process(&CLUSTER, &at.state, &committed.commit, updates).unwrap().snapshot.unwrap()
    }

    fn say(&mut self, state: &StateId, text: &str) -> Vec<u8> {
        let us = self.keys.member;
        self.groups().encrypt(&CLUSTER, state, &us, text.as_bytes()).unwrap()
    }

    fn read(&mut self, state: &StateId, message: &[u8]) -> String {
        String::from_utf8(self.groups().decrypt(&CLUSTER, state, message).unwrap().plaintext).unwrap()
    }
}

/// Alice founded it and added Bob and Carol.
fn three() -> (Person, Person, Person, Snapshot) {
    let (mut alice, mut bob, mut carol) = (Person::new(1, "alice"), Person::new(2, "bob"), Person::new(3, "carol"));
    let founded = alice.found();
    let committed = alice.add(&founded, &[&bob, &carol]);
    let state = committed.snapshot.clone();
    assert_eq!((agreed(&bob.join(&committed)), agreed(&carol.join(&committed))), (agreed(&state), agreed(&state)));
    (alice, bob, carol, state)
}

fn agreed(snapshot: &Snapshot) -> (StateId, u64, Vec<String>, Vec<u8>, [u8; 32]) {
    let nicks = snapshot.members.iter().map(|leaf| leaf.nick.clone()).collect();
    (snapshot.state, snapshot.epoch, nicks, snapshot.context.clone(), snapshot.secret)
}

#[test]
fn a_founder_adds_others_and_all_talk() {
    let (mut alice, mut bob, mut carol, state) = three();
    assert_eq!((state.epoch, state.members.len()), (1, 3));
    let hello = bob.say(&state.state, "hello");
    assert_eq!((alice.read(&state.state, &hello), carol.read(&state.state, &hello)), ("hello".into(), "hello".into()));
    let said = alice.groups().decrypt(&CLUSTER, &state.state, &hello);
    assert!(matches!(said, Err(GroupError::Spent)), "a replay says nothing: {said:?}");
    assert!(matches!(bob.groups().decrypt(&CLUSTER, &state.state, &hello), Err(GroupError::Own)));
}

#[test]
fn of_two_commits_for_one_state_each_can_be_followed_and_the_state_stays() {
    let (mut alice, mut bob, mut carol, state) = three();
    let (by_alice, by_bob) = (alice.commit(&state, &Plan::default()), bob.commit(&state, &Plan::default()));
    for committed in [&by_bob, &by_alice] {
        let followed = carol.follow(&state, committed, &[]);
        assert_eq!(agreed(&followed), agreed(&committed.snapshot));
    }
    assert_eq!(agreed(&alice.follow(&state, &by_bob, &[])), agreed(&by_bob.snapshot));
    // All three states are alive, for Carol and for whoever else has them.
    let (old, left, right) = (state.state, by_alice.snapshot.state, by_bob.snapshot.state);
    for at in [old, left, right] {
        let message = alice.say(&at, "anybody here?");
        assert_eq!(carol.read(&at, &message), "anybody here?");
    }
    let again = bob.groups().commit(&CLUSTER, &state.state, &by_bob.changed.committer, &Plan::default());
    assert!(matches!(again, Err(GroupError::Committed)), "{again:?}");
    // What comes of one's own Commit can be ended once more.
    bob.commit(&by_bob.snapshot, &Plan::default());
}

/// What one Commit adds to what is kept is little, and what it builds on may be forgotten before it.
#[test]
fn a_state_of_many_is_written_by_what_is_new_and_outlives_the_one_before() {
    let mut alice = Person::new(1, "alice");
    let mut others: Vec<Person> = (2..26).map(|seed| Person::new(seed, "another")).collect();
    let founded = alice.found();
    let first = alice.add(&founded, &others.iter().collect::<Vec<_>>());
    let mut bob = others.remove(0);
    let at = bob.join(&first);
    let kept = |bob: &Person| {
        let sql = "SELECT total(length(value)) FROM mls_state";
        bob.conn.query_row(sql, [], |row| row.get::<_, f64>(0)).unwrap()
    };
    let one = kept(&bob);
    let second = alice.commit(&first.snapshot, &Plan::default());
    bob.follow(&at, &second, &[]);
    assert!(kept(&bob) < 1.5 * one, "{} {one}", kept(&bob));

    bob.groups().forget(&CLUSTER, &at.state).unwrap();
    let message = alice.say(&second.snapshot.state, "still here?");
    assert_eq!(bob.read(&second.snapshot.state, &message), "still here?");
    let third = alice.commit(&second.snapshot, &Plan::default());
    let at = bob.follow(&second.snapshot, &third, &[]);
    let last = bob.commit(&at, &Plan::default());
    assert_eq!(agreed(&alice.follow(&third.snapshot, &last, &[])), agreed(&last.snapshot));
    for state in [second.snapshot.state, third.snapshot.state, last.snapshot.state] {
        bob.groups().forget(&CLUSTER, &state).unwrap();
    }
    let left = "SELECT count(*) FROM mls_state WHERE namespace NOT IN (SELECT namespace FROM mls_state WHERE label = 64)";
    assert_eq!(bob.conn.query_row(left, [], |row| row.get::<_, u32>(0)).unwrap(), 0, "nothing of any state is left");
}

#[test]
fn updates_that_wait_do_not_keep_anybody_from_talking_and_come_with_the_commit_of_another() {
    let (mut alice, mut bob, mut carol, state) = three();
    let (us, they) = (bob.keys.member, carol.keys.member);
    let by_bob = bob.groups().propose_update(&CLUSTER, &state.state, &us).unwrap();
    let by_carol = carol.groups().propose_update(&CLUSTER, &state.state, &they).unwrap();
    let message = bob.say(&state.state, "still here");
    assert_eq!(alice.read(&state.state, &message), "still here");
    let committed =
        alice.commit(&state, &Plan { updates: vec![by_bob.clone(), by_carol.clone(), b"junk".to_vec()], ..Plan::default() });
    let missing = bob.groups().process(&CLUSTER, &state.state, &committed.commit, &[]);
    assert!(matches!(missing, Err(GroupError::MissingProposal)), "{missing:?}");
    for (who, others) in [(&mut bob, by_carol), (&mut carol, by_bob)] {
        assert_eq!(agreed(&who.follow(&state, &committed, &[others])), agreed(&committed.snapshot));
    }
    let message = carol.say(&committed.snapshot.state, "with fresh keys");
    assert_eq!(bob.read(&committed.snapshot.state, &message), "with fresh keys");
}

#[test]
fn whoever_proposed_an_update_may_commit_instead() {
    let (mut alice, mut bob, mut carol, state) = three();
    let us = bob.keys.member;
    let update = bob.groups().propose_update(&CLUSTER, &state.state, &us).unwrap();
    let committed = bob.commit(&state, &Plan::default());
    for who in [&mut alice, &mut carol] {
        assert_eq!(agreed(&who.follow(&state, &committed, std::slice::from_ref(&update))), agreed(&committed.snapshot));
    }
}

#[test]
fn the_removed_learn_it_and_can_be_added_anew_as_who_they_were() {
    let (mut alice, mut bob, mut carol, state) = three();
    let removal = alice.commit(&state, &Plan { remove: vec![carol.keys.member], ..Plan::default() });
    assert_eq!(removal.changed.removed, [carol.keys.member]);
    assert!(carol.groups().process(&CLUSTER, &state.state, &removal.commit, &[]).unwrap().snapshot.is_none());
    let after = bob.follow(&state, &removal, &[]);
    assert_eq!(after.members.len(), 2);

    let us = carol.keys.member;
    carol.keys = carol.groups().renew_keys(&us, "carol").unwrap();
    assert_eq!(carol.keys.member, us);
    let back = bob.add(&after, &[&carol]);
    assert_eq!((back.changed.added[0].member, back.changed.added[0].key_package), (us, carol.keys.hash.0));
    assert_eq!(agreed(&carol.join(&back)), agreed(&alice.follow(&removal.snapshot, &back, &[])));
}

#[test]
fn whoever_lost_track_is_exchanged_for_themselves_in_one_commit() {
    let (mut alice, mut bob, mut carol, state) = three();
    let us = carol.keys.member;
    carol.keys = carol.groups().renew_keys(&us, "carol").unwrap();
    let plan = Plan { add: vec![carol.keys.bytes.clone()], remove: vec![us], ..Plan::default() };
    let committed = alice.commit(&state, &plan);
    assert_eq!((committed.changed.removed.clone(), committed.changed.added[0].member), (vec![us], us));
    let (joined, followed) = (carol.join(&committed), bob.follow(&state, &committed, &[]));
    assert_eq!(agreed(&joined), agreed(&followed));
    let message = carol.say(&joined.state, "back");
    assert_eq!(bob.read(&followed.state, &message), "back");
}

#[test]
fn the_charter_changes_with_a_commit_and_is_the_same_for_all() {
    let (mut alice, mut bob, _, state) = three();
    let committed = alice.commit(&state, &Plan { context: Some(b"another".to_vec()), ..Plan::default() });
    let processed = bob.groups().process(&CLUSTER, &state.state, &committed.commit, &[]).unwrap();
    assert_eq!(processed.changed.context.as_deref(), Some(&b"another"[..]));
    assert_eq!((processed.snapshot.unwrap().context.clone(), state.context.clone()), (b"another".to_vec(), b"charter".to_vec()));
}

#[test]
fn a_welcome_is_for_whom_it_is_for_and_for_its_cluster() {
    let (mut alice, bob, mut mallory) = (Person::new(1, "alice"), Person::new(2, "bob"), Person::new(3, "mallory"));
    let founded = alice.found();
    let committed = alice.add(&founded, &[&bob]);
    let (us, welcome) = (mallory.keys.member, committed.welcome.unwrap());
    assert!(matches!(mallory.groups().join(&CLUSTER, &us, &welcome), Err(GroupError::NoKeyPackage)));
    let (mut bob, us) = (bob, committed.changed.added[0].member);
    let elsewhere = bob.groups().join(&ClusterId([8; 32]), &us, &welcome);
    assert!(matches!(elsewhere, Err(GroupError::Elsewhere)), "{elsewhere:?}");
    assert!(matches!(bob.groups().join(&CLUSTER, &us, &welcome[..welcome.len() - 1]), Err(GroupError::Malformed)));
}

#[test]
fn what_was_tried_and_given_up_leaves_no_row() {
    let (mut alice, mut bob, _, state) = three();
    let rows = |who: &Person| who.conn.query_row("SELECT count(*) FROM mls_state", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = rows(&bob);
    let committed = alice.commit(&state, &Plan::default());
    let mut forged = committed.commit.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(bob.groups().process(&CLUSTER, &state.state, &forged, &[]), Err(GroupError::Invalid(_) | GroupError::Spent)));
    assert_eq!(rows(&bob), before);
    let followed = bob.follow(&state, &committed, &[]);
    bob.groups().forget(&CLUSTER, &followed.state).unwrap();
    assert_eq!(rows(&bob), before);
}

#[test]
fn what_is_said_to_one_member_no_other_reads_repeats_or_changes() {
    let (mut alice, mut bob, mut carol, state) = three();
    let (from, to) = (alice.keys.member, bob.keys.member);
    let sealed = alice.groups().encrypt_to(&CLUSTER, &state.state, &from, &to, b"between us").unwrap();
    let said = bob.groups().decrypt_to_us(&CLUSTER, &state.state, &sealed).unwrap();
    assert_eq!((said.member, said.plaintext), (from, b"between us".to_vec()));
    let refused = carol.groups().decrypt_to_us(&CLUSTER, &state.state, &sealed);
    assert!(matches!(refused, Err(GroupError::Elsewhere)), "{refused:?}");
    for at in [60, sealed.len() / 2, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(bob.groups().decrypt_to_us(&CLUSTER, &state.state, &changed).is_err(), "byte {at}");
    }
    // Keys of the next state are others, also of whoever made it.
    let next = bob.commit(&state, &Plan::default());
    alice.follow(&state, &next, &[]);
    assert!(bob.groups().decrypt_to_us(&CLUSTER, &next.snapshot.state, &sealed).is_err());
    for at in [&state, &next.snapshot] {
        let answer = bob.groups().encrypt_to(&CLUSTER, &at.state, &to, &from, b"so be it").unwrap();
        assert_eq!(alice.groups().decrypt_to_us(&CLUSTER, &at.state, &answer).unwrap().member, to);
        let again = alice.groups().encrypt_to(&CLUSTER, &at.state, &from, &to, b"well").unwrap();
        assert_eq!(bob.groups().decrypt_to_us(&CLUSTER, &at.state, &again).unwrap().plaintext, b"well");
    }
    let nobody = alice.groups().encrypt_to(&CLUSTER, &state.state, &from, &samizdat_cluster::MemberId([1; 32]), b"?");
    assert!(matches!(nobody, Err(GroupError::NoMember)), "{nobody:?}");
}
