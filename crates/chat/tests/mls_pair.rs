//! Conversations of two, told as stories. Mallory writes his own MLS with the library underneath.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialType, CredentialWithKey, GroupId, KeyPackage as MlsKeyPackage,
    KeyPackageIn, LeafNodeParameters, Lifetime, MlsGroup, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut,
    PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProtocolVersion, SignatureScheme, tls_codec::DeserializeBytes,
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::{
    OpenMlsProvider,
    signatures::{Signer, SignerError},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rusqlite::Connection;
use samizdat_chat::mls::{
    CreateError, Created, CredentialError, DecryptError, Decrypted, JoinError, Joined, KeyPackage, KeyPackageError, MLS_SCHEMA,
    Mls, PairId, Pairs, RotateError, StateError, limits,
};
use samizdat_core::identity::{IdentityKey, IdentitySecret};

struct Person {
    mls: Mls,
    db: Connection,
    rng: ChaCha20Rng,
    secret: IdentitySecret,
}

impl Person {
    fn new(seed: u8) -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(MLS_SCHEMA).unwrap();
        Self {
            mls: Mls::new().unwrap(),
            db,
            rng: ChaCha20Rng::from_seed([seed; 32]),
            secret: IdentitySecret::from_seed([seed; 32]),
        }
    }

    fn key(&self) -> IdentityKey {
        self.secret.key()
    }

    fn pairs(&mut self) -> Pairs<'_> {
        self.mls.pairs(&self.db, &mut self.rng)
    }

    fn announce(&mut self) -> KeyPackage {
        let secret = self.secret.clone();
        self.pairs().make_key_package(&secret).unwrap()
    }

    fn invite(&mut self, package: &KeyPackage) -> Created {
        let secret = self.secret.clone();
        self.pairs().create(&secret, &package.bytes).unwrap()
    }

    fn join(&mut self, welcome: &[u8]) -> Result<Joined, JoinError> {
        let key = self.key();
        self.pairs().join(&key, welcome)
    }

    fn write(&mut self, pair: &PairId, text: &str) -> Vec<u8> {
        self.pairs().encrypt(pair, text.as_bytes()).unwrap()
    }

    fn read(&mut self, pair: &PairId, ciphertext: &[u8]) -> Result<Decrypted, DecryptError> {
        self.pairs().decrypt(pair, ciphertext)
    }

    fn reads(&mut self, pair: &PairId, ciphertext: &[u8], text: &str) {
        match self.read(pair, ciphertext).unwrap() {
            Decrypted::Application { plaintext, .. } => assert_eq!(plaintext, text.as_bytes()),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    fn epoch(&mut self, pair: &PairId) -> u64 {
        self.pairs().epoch(pair).unwrap()
    }
}

/// Alice and Bob in a pair that Alice founded.
fn talking() -> (Person, Person, PairId) {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let package = bob.announce();
    let created = alice.invite(&package);
    bob.join(&created.welcome).unwrap();
    (alice, bob, created.pair)
}

/// The one whose turn it is, and the other.
fn by_turn(mut a: Person, mut b: Person, pair: &PairId) -> (Person, Person) {
    let (first, second) = (a.pairs().may_rotate(pair).unwrap(), b.pairs().may_rotate(pair).unwrap());
    assert_ne!(first, second, "exactly one of them may rotate");
    if first { (a, b) } else { (b, a) }
}

mod contact {
    use super::*;

    #[test]
    fn bob_need_not_be_there_when_alice_writes_first() {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        let package = bob.announce();
        let inspected = alice.mls.inspect_key_package(&package.bytes).unwrap();
        assert_eq!((inspected.hash, inspected.identity), (package.hash, bob.key()));

        let created = alice.invite(&package);
        assert_eq!((created.peer, created.key_package), (bob.key(), package.hash));
        let hello = alice.write(&created.pair, "hello");
        let still_there = alice.write(&created.pair, "are you there?");

        let joined = bob.join(&created.welcome).unwrap();
        assert_eq!(joined, Joined { pair: created.pair, peer: alice.key(), key_package: package.hash });
        bob.reads(&joined.pair, &hello, "hello");
        bob.reads(&joined.pair, &still_there, "are you there?");
        let yes = bob.write(&joined.pair, "yes");
        assert_eq!(
            alice.read(&created.pair, &yes).unwrap(),
            Decrypted::Application { sender: bob.key(), epoch: 1, plaintext: b"yes".to_vec() }
        );
        assert_eq!(alice.pairs().peer(&created.pair).unwrap(), bob.key());
        assert_eq!(bob.pairs().peer(&created.pair).unwrap(), alice.key());
    }

    #[test]
    fn many_people_use_the_same_announced_key() {
        let mut bob = Person::new(2);
        let package = bob.announce();
        for seed in 3..6 {
            let mut other = Person::new(seed);
            let created = other.invite(&package);
            let hello = other.write(&created.pair, "hello");
            assert_eq!(bob.join(&created.welcome).unwrap().peer, other.key());
            bob.reads(&created.pair, &hello, "hello");
        }
    }

    #[test]
    fn both_may_begin_at_once_and_read_both() {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        let (of_alice, of_bob) = (alice.announce(), bob.announce());
        let (from_alice, from_bob) = (alice.invite(&of_bob), bob.invite(&of_alice));
        let (one, two) = (alice.write(&from_alice.pair, "one"), bob.write(&from_bob.pair, "two"));
        bob.join(&from_alice.welcome).unwrap();
        alice.join(&from_bob.welcome).unwrap();
        bob.reads(&from_alice.pair, &one, "one");
        alice.reads(&from_bob.pair, &two, "two");
    }

    #[test]
    fn a_forgotten_key_opens_no_new_invitation_but_old_conversations_go_on() {
        let (mut alice, mut bob, mut carol) = (Person::new(1), Person::new(2), Person::new(3));
        let package = bob.announce();
        let (first, second) = (alice.invite(&package), carol.invite(&package));
        bob.join(&first.welcome).unwrap();
        let key = bob.key();
        bob.pairs().forget_key_package(&key, &package.hash).unwrap();
        assert!(matches!(bob.join(&second.welcome), Err(JoinError::NoKeyPackage)));
        let rows: u32 = bob
            .db
            .query_row("SELECT count(*) FROM mls_state WHERE substr(namespace, 1, 4) = x'6B657973'", [], |r| r.get(0))
            .unwrap();
        assert_eq!(rows, 0, "nothing of the key is left");
        let hello = alice.write(&first.pair, "hello");
        bob.reads(&first.pair, &hello, "hello");
        let hello = bob.write(&first.pair, "hello back");
        alice.reads(&first.pair, &hello, "hello back");
    }

    #[test]
    fn an_invitation_for_one_name_of_a_person_does_not_open_under_another() {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        let package = bob.announce();
        let other_name = IdentitySecret::from_seed([9; 32]).key();
        let created = alice.invite(&package);
        assert!(matches!(bob.pairs().join(&other_name, &created.welcome), Err(JoinError::NoKeyPackage)));
        bob.join(&created.welcome).unwrap();
    }

    #[test]
    fn an_invitation_is_accepted_once() {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        let package = bob.announce();
        let created = alice.invite(&package);
        bob.join(&created.welcome).unwrap();
        let hello = alice.write(&created.pair, "hello");
        assert!(matches!(bob.join(&created.welcome), Err(JoinError::Known)));
        bob.reads(&created.pair, &hello, "hello");
    }

    #[test]
    fn the_same_seeds_make_the_same_bytes() {
        let run = || {
            let (mut alice, mut bob) = (Person::new(1), Person::new(2));
            let package = bob.announce();
            let created = alice.invite(&package);
            bob.join(&created.welcome).unwrap();
            let hello = alice.write(&created.pair, "hello");
            let (mut first, _) = by_turn(alice, bob, &created.pair);
            let commit = first.pairs().rotate(&created.pair).unwrap();
            [package.bytes, created.welcome, hello, commit]
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn nobody_invites_oneself() {
        let mut alice = Person::new(1);
        let package = alice.announce();
        let secret = alice.secret.clone();
        assert!(matches!(alice.pairs().create(&secret, &package.bytes), Err(CreateError::Oneself)));
    }

    #[test]
    fn a_deleted_conversation_leaves_nothing() {
        let (mut alice, _, pair) = talking();
        alice.pairs().delete(&pair).unwrap();
        assert!(matches!(alice.pairs().encrypt(&pair, b"x"), Err(StateError::UnknownPair)));
        assert!(matches!(alice.pairs().may_rotate(&pair), Err(StateError::UnknownPair)));
        assert!(matches!(alice.pairs().outer(&pair), Err(StateError::UnknownPair)));
        let rows: u32 = alice.db.query_row("SELECT count(*) FROM mls_state", [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 0);
    }
}

mod messages {
    use super::*;

    #[test]
    fn arrive_in_any_order_within_the_window() {
        let (mut alice, mut bob, pair) = talking();
        let sent: Vec<_> = (0..60).map(|i| (alice.write(&pair, &format!("{i}")), format!("{i}"))).collect();
        for (ciphertext, text) in sent.iter().rev() {
            bob.reads(&pair, ciphertext, text);
        }
    }

    #[test]
    fn beyond_the_window_are_lost_and_do_no_harm() {
        let (mut alice, mut bob, pair) = talking();
        let first = alice.write(&pair, "first");
        let second = alice.write(&pair, "second");
        for _ in 2..limits::OUT_OF_ORDER {
            alice.write(&pair, "");
        }
        let last = alice.write(&pair, "last");
        bob.reads(&pair, &last, "last");
        assert!(matches!(bob.read(&pair, &first), Err(DecryptError::Spent)));
        bob.reads(&pair, &second, "second");
    }

    #[test]
    fn are_read_once() {
        let (mut alice, mut bob, pair) = talking();
        let hello = alice.write(&pair, "hello");
        bob.reads(&pair, &hello, "hello");
        assert!(matches!(bob.read(&pair, &hello), Err(DecryptError::Spent)));
        assert!(matches!(alice.read(&pair, &hello), Err(DecryptError::Own)));
    }

    #[test]
    fn of_another_conversation_are_told_apart() {
        let (mut alice, mut bob, pair) = talking();
        let package = alice.announce();
        let other = bob.invite(&package).pair;
        let hello = alice.write(&pair, "hello");
        assert!(matches!(bob.read(&other, &hello), Err(DecryptError::OtherGroup)));
        assert!(matches!(bob.read(&PairId([0; 16]), &hello), Err(DecryptError::OtherGroup)));
    }

    #[test]
    fn with_any_byte_changed_are_refused_and_the_true_one_is_still_read() {
        let (mut alice, mut bob, pair) = talking();
        let hello = alice.write(&pair, "hello");
        for at in 0..hello.len() {
            let mut forged = hello.clone();
            forged[at] ^= 0x41;
            assert!(bob.read(&pair, &forged).is_err(), "byte {at}");
        }
        for cut in 0..hello.len() {
            assert!(bob.read(&pair, &hello[..cut]).is_err(), "cut at {cut}");
        }
        assert!(matches!(bob.read(&pair, &vec![0; limits::MAX_CIPHERTEXT + 1]), Err(DecryptError::Malformed)));
        bob.reads(&pair, &hello, "hello");
    }
}

mod rotation {
    use super::*;

    #[test]
    fn takes_turns() {
        let (alice, bob, pair) = talking();
        let (mut first, mut second) = by_turn(alice, bob, &pair);
        for epoch in 2..8 {
            assert!(matches!(second.pairs().rotate(&pair), Err(RotateError::OutOfTurn)));
            let commit = first.pairs().rotate(&pair).unwrap();
            assert!(!first.pairs().may_rotate(&pair).unwrap());
            assert_eq!(second.read(&pair, &commit).unwrap(), Decrypted::EpochChanged { epoch });
            assert_eq!((first.epoch(&pair), second.epoch(&pair)), (epoch, epoch));
            let (a, b) = (first.write(&pair, "a"), second.write(&pair, "b"));
            first.reads(&pair, &b, "b");
            second.reads(&pair, &a, "a");
            (first, second) = (second, first);
        }
    }

    #[test]
    fn late_messages_of_the_last_epochs_are_read_and_older_ones_are_not() {
        let (mut alice, mut bob, pair) = talking();
        let mut late = Vec::new();
        for epoch in 1.. {
            late.push((epoch, alice.write(&pair, "to bob"), bob.write(&pair, "to alice")));
            if late.len() > limits::PAST_EPOCHS + 1 {
                break;
            }
            let turn = alice.pairs().may_rotate(&pair).unwrap();
            let (first, second) = if turn { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            let commit = first.pairs().rotate(&pair).unwrap();
            second.read(&pair, &commit).unwrap();
        }
        for (epoch, for_bob, for_alice) in late {
            for (person, ciphertext) in [(&mut bob, for_bob), (&mut alice, for_alice)] {
                match person.read(&pair, &ciphertext) {
                    Err(DecryptError::PastEpoch(1)) => assert_eq!(epoch, 1),
                    Ok(Decrypted::Application { epoch: written, .. }) => assert_eq!(written, epoch),
                    other => panic!("epoch {epoch}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn messages_of_the_new_epoch_wait_for_their_commit() {
        let (alice, bob, pair) = talking();
        let (mut first, mut second) = by_turn(alice, bob, &pair);
        let before = first.write(&pair, "before");
        let commit = first.pairs().rotate(&pair).unwrap();
        let after = first.write(&pair, "after");
        assert!(matches!(second.read(&pair, &after), Err(DecryptError::FutureEpoch(2))));
        second.read(&pair, &commit).unwrap();
        second.reads(&pair, &after, "after");
        second.reads(&pair, &before, "before");
        assert!(matches!(second.read(&pair, &commit), Err(DecryptError::PastEpoch(1) | DecryptError::Spent)));
    }

    #[test]
    fn both_derive_the_same_secrets_and_new_ones_in_every_epoch() {
        let (alice, bob, pair) = talking();
        let (mut first, mut second) = by_turn(alice, bob, &pair);
        let old = first.pairs().outer(&pair).unwrap();
        assert_eq!(old, second.pairs().outer(&pair).unwrap());
        assert_eq!(old.epoch, 1);
        assert_ne!(old.secret, first.pairs().session(&pair).unwrap().secret);
        let commit = first.pairs().rotate(&pair).unwrap();
        second.read(&pair, &commit).unwrap();
        let new = first.pairs().outer(&pair).unwrap();
        assert_eq!(new, second.pairs().outer(&pair).unwrap());
        assert_eq!(new.epoch, 2);
        assert_ne!(old.secret, new.secret);
        assert!(!format!("{new:?}").contains("secret: ["), "secrets are not shown");
    }
}

mod storage {
    use super::*;

    #[test]
    fn a_rolled_back_transaction_leaves_the_ratchet_as_it_was() {
        let (mut alice, mut bob, pair) = talking();
        let lost = {
            let transaction = alice.db.transaction().unwrap();
            let lost = alice.mls.pairs(&transaction, &mut alice.rng).encrypt(&pair, b"lost").unwrap();
            transaction.rollback().unwrap();
            lost
        };
        let kept = alice.write(&pair, "kept");
        assert_ne!(lost, kept);
        bob.reads(&pair, &kept, "kept");
        // Same generation, so it must never have been sent: nobody could read it any more.
        assert!(matches!(bob.read(&pair, &lost), Err(DecryptError::Spent)));

        {
            let transaction = bob.db.transaction().unwrap();
            let hello = alice.write(&pair, "hello");
            bob.mls.pairs(&transaction, &mut bob.rng).decrypt(&pair, &hello).unwrap();
            transaction.rollback().unwrap();
            bob.reads(&pair, &hello, "hello");
        }
    }

    #[test]
    fn an_encryption_after_a_rollback_uses_another_nonce() {
        // The message key of a generation is used again after a rollback. The reuse guard (RFC 9420, 6.3.1) is drawn
        // from the caller's randomness, which a rollback does not rewind: equal plaintexts encrypt differently.
        let (mut alice, _, pair) = talking();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let transaction = alice.db.transaction().unwrap();
            let ciphertext = alice.mls.pairs(&transaction, &mut alice.rng).encrypt(&pair, b"same").unwrap();
            transaction.rollback().unwrap();
            assert!(seen.insert(ciphertext));
        }
    }

    #[test]
    fn a_failed_operation_changes_nothing_in_the_callers_transaction() {
        let (mut alice, mut bob, pair) = talking();
        let hello = alice.write(&pair, "hello");
        let mut forged = hello.clone();
        *forged.last_mut().unwrap() ^= 1;
        bob.db.execute_batch("CREATE TABLE inbox (body BLOB) STRICT").unwrap();
        let transaction = bob.db.transaction().unwrap();
        {
            let pairs = bob.mls.pairs(&transaction, &mut bob.rng);
            assert!(pairs.decrypt(&pair, &forged).is_err());
            transaction.execute("INSERT INTO inbox VALUES (x'00')", []).unwrap();
            assert!(pairs.decrypt(&pair, &hello).is_ok());
            assert!(pairs.decrypt(&pair, &hello).is_err());
        }
        transaction.commit().unwrap();
        let rows: u32 = bob.db.query_row("SELECT count(*) FROM inbox", [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 1);
        let again = alice.write(&pair, "again");
        bob.reads(&pair, &again, "again");
    }

    #[test]
    fn conversations_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bob.sqlite");
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        bob.db = Connection::open(&file).unwrap();
        bob.db.execute_batch(MLS_SCHEMA).unwrap();
        let package = bob.announce();
        let created = alice.invite(&package);
        let hello = alice.write(&created.pair, "hello");
        bob.join(&created.welcome).unwrap();
        {
            // The machine dies in the middle of a transaction.
            let transaction = bob.db.transaction().unwrap();
            bob.mls.pairs(&transaction, &mut bob.rng).decrypt(&created.pair, &hello).unwrap();
        }
        let mut bob = Person { db: Connection::open(&file).unwrap(), ..Person::new(2) };
        bob.reads(&created.pair, &hello, "hello");
        let back = bob.write(&created.pair, "back");
        alice.reads(&created.pair, &back, "back");
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let (mut alice, _, pair) = talking();
        alice.db.execute_batch("UPDATE mls_state SET value = x'ff00ff' WHERE label = 7").unwrap();
        assert!(matches!(alice.pairs().encrypt(&pair, b"x"), Err(StateError::Storage(_))));
    }
}

mod mallory {
    use super::*;

    const SUITE: Ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;

    struct LeafKey(IdentitySecret);

    impl Signer for LeafKey {
        fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
            Ok(self.0.sign(payload).to_vec())
        }

        fn signature_scheme(&self) -> SignatureScheme {
            SignatureScheme::ED25519
        }
    }

    /// One who speaks MLS as he likes.
    struct Mallory {
        provider: Provider,
        leaf: LeafKey,
        credential: CredentialWithKey,
    }

    fn credential(claims: &IdentityKey, signed_by: &IdentitySecret, leaf: &[u8; 32]) -> Vec<u8> {
        let signature = signed_by.sign(&[b"samizdat leaf v1\0".as_slice(), leaf].concat());
        [&[0x83, 0x01, 0x58, 0x20], claims.0.as_slice(), &[0x58, 0x40], &signature].concat()
    }

    impl Mallory {
        fn claiming(claims: &IdentityKey, signed_by: &IdentitySecret) -> Self {
            let leaf = LeafKey(IdentitySecret::from_seed([77; 32]));
            let public = leaf.0.key().0;
            let credential = CredentialWithKey {
                credential: BasicCredential::new(credential(claims, signed_by, &public)).into(),
                signature_key: public.as_slice().into(),
            };
            Self { provider: Provider::new().unwrap(), leaf, credential }
        }

        fn himself() -> Self {
            let secret = IdentitySecret::from_seed([66; 32]);
            Self::claiming(&secret.key(), &secret)
        }

        fn key() -> IdentityKey {
            IdentitySecret::from_seed([66; 32]).key()
        }

        fn package(&self, suite: Ciphersuite) -> (Vec<u8>, MlsKeyPackage) {
            let bundle = MlsKeyPackage::builder()
                .leaf_node_capabilities(Capabilities::new(None, Some(&[suite, SUITE]), None, None, Some(&[CredentialType::Basic])))
                .build(suite, &self.provider, &self.leaf, self.credential.clone())
                .unwrap();
            let package = bundle.key_package().clone();
            (MlsMessageOut::from(package.clone()).to_bytes().unwrap(), package)
        }

        fn group(&self, suite: Ciphersuite) -> MlsGroup {
            MlsGroup::builder()
                .with_group_id(GroupId::from_slice(&[5; 16]))
                .ciphersuite(suite)
                .lifetime(Lifetime::init(0, u64::MAX))
                .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
                .use_ratchet_tree_extension(true)
                .build(&self.provider, &self.leaf, self.credential.clone())
                .unwrap()
        }

        /// A group with the owners of `packages`, and the Welcome for them.
        fn invites(&self, packages: &[MlsKeyPackage]) -> (MlsGroup, Vec<u8>) {
            let mut group = self.group(SUITE);
            let (_, welcome, _) = group.add_members(&self.provider, &self.leaf, packages).unwrap();
            group.merge_pending_commit(&self.provider).unwrap();
            (group, welcome.to_bytes().unwrap())
        }
    }

    fn parsed(package: &KeyPackage) -> MlsKeyPackage {
        let MlsMessageBodyIn::KeyPackage(package) = MlsMessageIn::tls_deserialize_exact_bytes(&package.bytes).unwrap().extract()
        else {
            panic!("not a KeyPackage")
        };
        let package: KeyPackageIn = package;
        package.validate(Provider::new().unwrap().crypto(), ProtocolVersion::Mls10).unwrap()
    }

    const PAIR: PairId = PairId([5; 16]);

    #[test]
    fn is_welcome_as_long_as_he_is_himself() {
        let mut bob = Person::new(2);
        let package = bob.announce();
        let mallory = Mallory::himself();
        let (mut group, welcome) = mallory.invites(&[parsed(&package)]);
        assert_eq!(bob.join(&welcome).unwrap().peer, Mallory::key());
        let hello = group.create_message(&mallory.provider, &mallory.leaf, b"hello").unwrap().to_bytes().unwrap();
        bob.reads(&PAIR, &hello, "hello");
    }

    #[test]
    fn cannot_announce_a_key_in_the_name_of_alice() {
        let (alice, mut bob) = (Person::new(1), Person::new(2));
        let forged = Mallory::claiming(&alice.key(), &IdentitySecret::from_seed([66; 32])).package(SUITE).0;
        assert!(matches!(bob.mls.inspect_key_package(&forged), Err(KeyPackageError::Credential(CredentialError::Forged))));
        let secret = bob.secret.clone();
        assert!(matches!(bob.pairs().create(&secret, &forged), Err(CreateError::KeyPackage(_))));
    }

    #[test]
    fn cannot_invite_in_the_name_of_alice_nor_of_bob_himself() {
        let (alice, mut bob) = (Person::new(1), Person::new(2));
        let package = parsed(&bob.announce());
        let mallory = Mallory::claiming(&alice.key(), &IdentitySecret::from_seed([66; 32]));
        let (_, welcome) = mallory.invites(std::slice::from_ref(&package));
        assert!(matches!(bob.join(&welcome), Err(JoinError::Credential(CredentialError::Forged))));

        let mallory = Mallory::claiming(&bob.key(), &bob.secret.clone());
        let (_, welcome) = mallory.invites(&[package]);
        assert!(matches!(bob.join(&welcome), Err(JoinError::Members)));
        assert!(matches!(bob.pairs().epoch(&PAIR), Err(StateError::UnknownPair)), "nothing is left of the attempts");
    }

    #[test]
    fn cannot_bring_a_third_into_a_conversation_of_two() {
        let (mut bob, mut carol) = (Person::new(2), Person::new(3));
        let packages = [parsed(&bob.announce()), parsed(&carol.announce())];
        let mallory = Mallory::himself();
        let (_, welcome) = mallory.invites(&packages);
        assert!(matches!(bob.join(&welcome), Err(JoinError::NotAPair(3))));

        let (_, welcome) = Mallory::himself().invites(&packages[..1]);
        bob.join(&welcome).unwrap();
    }

    #[test]
    fn cannot_begin_at_an_epoch_of_his_choice() {
        for before in [1, i64::MAX as u64, u64::MAX - 1] {
            let mut bob = Person::new(2);
            let package = parsed(&bob.announce());
            let mallory = Mallory::himself();
            let group = mallory.group(SUITE);
            mallory.provider.storage().values.write().unwrap().values_mut().for_each(|value| {
                let text = String::from_utf8_lossy(value).replace("\"epoch\":0", &format!("\"epoch\":{before}"));
                *value = text.into_bytes();
            });
            let mut group = MlsGroup::load(mallory.provider.storage(), group.group_id()).unwrap().unwrap();
            let (_, welcome, _) = group.add_members(&mallory.provider, &mallory.leaf, &[package]).unwrap();
            let welcome = welcome.to_bytes().unwrap();
            assert!(matches!(bob.join(&welcome), Err(JoinError::Epoch)), "{before}");
            assert!(matches!(bob.pairs().epoch(&PAIR), Err(StateError::UnknownPair)), "nothing is left of the attempt");
        }
    }

    #[test]
    fn cannot_add_a_third_later_nor_throw_bob_out() {
        let (mut bob, mut carol) = (Person::new(2), Person::new(3));
        let (for_bob, for_carol) = (parsed(&bob.announce()), parsed(&carol.announce()));
        let mallory = Mallory::himself();
        let (mut group, welcome) = mallory.invites(&[for_bob]);
        bob.join(&welcome).unwrap();
        if bob.pairs().may_rotate(&PAIR).unwrap() {
            let commit = bob.pairs().rotate(&PAIR).unwrap();
            accept(&mut group, &mallory, &commit);
        }
        // Each attempt is a fresh Commit of the same epoch.
        let (commit, ..) = group.add_members(&mallory.provider, &mallory.leaf, &[for_carol]).unwrap();
        assert!(matches!(bob.read(&PAIR, &commit.to_bytes().unwrap()), Err(DecryptError::Forbidden)));
        group.clear_pending_commit(mallory.provider.storage()).unwrap();
        let out = group.members().find(|m| m.index != group.own_leaf_index()).unwrap().index;
        let (commit, ..) = group.remove_members(&mallory.provider, &mallory.leaf, &[out]).unwrap();
        assert!(matches!(bob.read(&PAIR, &commit.to_bytes().unwrap()), Err(DecryptError::Forbidden)));
        group.clear_pending_commit(mallory.provider.storage()).unwrap();
        let (proposal, _) = group.propose_remove_member(&mallory.provider, &mallory.leaf, out).unwrap();
        assert!(matches!(bob.read(&PAIR, &proposal.to_bytes().unwrap()), Err(DecryptError::Forbidden)));
        group.clear_pending_proposals(mallory.provider.storage()).unwrap();

        let hello = group.create_message(&mallory.provider, &mallory.leaf, b"hello").unwrap().to_bytes().unwrap();
        bob.reads(&PAIR, &hello, "hello");
        let back = bob.write(&PAIR, "back");
        accept(&mut group, &mallory, &back);
    }

    #[test]
    fn cannot_rotate_out_of_turn() {
        let mut bob = Person::new(2);
        let mallory = Mallory::himself();
        let (mut group, welcome) = mallory.invites(&[parsed(&bob.announce())]);
        bob.join(&welcome).unwrap();
        if !bob.pairs().may_rotate(&PAIR).unwrap() {
            let commit = update(&mut group, &mallory);
            bob.read(&PAIR, &commit).unwrap();
        }
        let epoch = bob.epoch(&PAIR);
        let commit = update(&mut group, &mallory);
        assert!(matches!(bob.read(&PAIR, &commit), Err(DecryptError::OutOfTurn)));
        assert_eq!(bob.epoch(&PAIR), epoch);
        assert!(bob.pairs().rotate(&PAIR).is_ok());
    }

    #[test]
    fn cannot_make_his_leaf_anothers_by_a_rotation() {
        let (alice, mut bob) = (Person::new(1), Person::new(2));
        let mallory = Mallory::himself();
        let (mut group, welcome) = mallory.invites(&[parsed(&bob.announce())]);
        bob.join(&welcome).unwrap();
        if bob.pairs().may_rotate(&PAIR).unwrap() {
            let commit = bob.pairs().rotate(&PAIR).unwrap();
            accept(&mut group, &mallory, &commit);
        }
        let posing = Mallory::claiming(&alice.key(), &IdentitySecret::from_seed([66; 32]));
        let parameters = LeafNodeParameters::builder().with_credential_with_key(posing.credential.clone()).build();
        let bundle = group.self_update(&mallory.provider, &mallory.leaf, parameters).unwrap();
        let commit = bundle.into_commit().to_bytes().unwrap();
        assert!(matches!(bob.read(&PAIR, &commit), Err(DecryptError::Credential(CredentialError::Forged))));
    }

    #[test]
    fn cannot_lower_the_suite() {
        let bob = Person::new(2);
        let classic = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
        let (bytes, _) = Mallory::himself().package(classic);
        assert!(matches!(bob.mls.inspect_key_package(&bytes), Err(KeyPackageError::Suite)));
    }

    #[test]
    fn gets_nowhere_with_damaged_bytes() {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        let package = bob.announce();
        let created = alice.invite(&package);
        for at in (0..package.bytes.len()).step_by(7) {
            let mut bytes = package.bytes.clone();
            bytes[at] ^= 0x10;
            assert!(alice.mls.inspect_key_package(&bytes).is_err(), "byte {at} of the KeyPackage");
            assert!(alice.mls.inspect_key_package(&package.bytes[..at]).is_err());
        }
        for at in (0..created.welcome.len()).step_by(7) {
            let mut bytes = created.welcome.clone();
            bytes[at] ^= 0x10;
            assert!(bob.join(&bytes).is_err(), "byte {at} of the Welcome");
            assert!(bob.join(&created.welcome[..at]).is_err());
        }
        assert!(matches!(bob.join(&vec![0; limits::MAX_WELCOME + 1]), Err(JoinError::Malformed)));
        bob.join(&created.welcome).unwrap();
    }

    fn update(group: &mut MlsGroup, mallory: &Mallory) -> Vec<u8> {
        let bundle = group.self_update(&mallory.provider, &mallory.leaf, LeafNodeParameters::default()).unwrap();
        group.merge_pending_commit(&mallory.provider).unwrap();
        bundle.into_commit().to_bytes().unwrap()
    }

    fn accept(group: &mut MlsGroup, mallory: &Mallory, bytes: &[u8]) {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().try_into_protocol_message().unwrap();
        let processed = group.process_message(&mallory.provider, message).unwrap();
        if let openmls::prelude::ProcessedMessageContent::StagedCommitMessage(commit) = processed.into_content() {
            group.merge_staged_commit(&mallory.provider, *commit).unwrap();
        }
    }
}
