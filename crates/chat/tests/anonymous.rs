//! What is said in a cluster by somebody of whom it is known only that it is one of the members.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, let_in, mingle, nest, pass, say, swap, texts};
use people::{LIFETIME, Person, mint};
use rand_core::SeedableRng;
use samizdat_chat::{ChatError, Filter, Message, Proposal, State};
use samizdat_cluster::{
    Charter, ClusterId, MemberId, MemberSecret, Roster,
    anonymous::{AnonymousIn, Pool, Post, Published, SlotSecrets, SlotsIn},
    aside::Aside,
    charter::History,
};
use samizdat_core::{Envelope, Kind, Unstamped, seal::StateSecret};

const DAY_MS: u64 = 25 * 3_600_000;
/// After so long everybody looks again at what is due.
const LATER_MS: u64 = 11 * 60_000;
/// The leaf that no member has.
const NOBODY: u32 = u32::MAX;

/// Everybody has heard of everybody's keys.
fn circle(names: &[&str]) -> Vec<Person> {
    let mut people = nest(&charter(), names);
    mingle(&mut people);
    people
}

fn whisper(person: &mut Person, to: Option<&str>, text: &str) -> Result<Message, ChatError> {
    person.chat.write_anonymously(NEST, to, text, LIFETIME, person.now)
}

/// Text, among how many its author hides, for whom alone it is, and whether it is theirs, of all that somebody sees.
fn seen(person: &Person) -> Vec<(String, Option<u32>, Option<String>, bool)> {
    let messages = person.chat.messages(&Filter::default()).unwrap();
    messages.into_iter().map(|message| (message.text, message.anonymous, message.to, message.mine)).collect()
}

fn unsigned(text: &str, ring: u32) -> (String, Option<u32>, Option<String>, bool) {
    (text.into(), Some(ring), None, false)
}

fn run(person: &Person, sql: &str) {
    person.chat.vault().conn().execute_batch(sql).unwrap();
}

fn number(person: &Person, sql: &str) -> i64 {
    person.chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A new epoch, of which everybody has told keys.
fn roll(people: &mut [Person]) {
    let epoch = people[0].chat.cluster(NEST).unwrap().epoch;
    pass(people, DAY_MS);
    mingle(people);
    assert!(people.iter_mut().all(|person| person.chat.cluster(NEST).unwrap().epoch == epoch + 1));
}

#[test]
fn everybody_learns_that_a_member_wrote_it_and_nobody_which() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let said = whisper(&mut people[0], None, "the treasurer lies").unwrap();
    assert_eq!((said.from.as_str(), said.mine, said.anonymous), ("", true, Some(3)));
    mingle(&mut people);
    assert_eq!(people[0].state(&said), State::Stamped, "nobody says that they have it");
    for person in &people[1..] {
        assert_eq!(seen(person), [unsigned("the treasurer lies", 3)]);
        let [message] = &person.chat.messages(&Filter::default()).unwrap()[..] else { panic!("one") };
        assert_eq!((message.from.as_str(), &message.petname, message.id), ("", &None, said.id), "all call it the same");
        assert!(message.at <= person.now.unix_ms && message.at >= said.at - 60_000, "about when it came");
    }
    let refused = people[0].chat.receipts(&said.id).unwrap_err().to_string();
    assert!(refused.contains("under your name"), "{refused}");
    let oneself = whisper(&mut people[0], Some("alice"), "me").unwrap_err().to_string();
    assert!(oneself.contains("that is you"), "{oneself}");
    // Whoever reads the log once more sees nothing twice.
    let again = people[0].envelopes();
    for person in &mut people {
        again.iter().for_each(|envelope| person.chat.ingest(envelope, &person.log, person.now).unwrap());
        assert_eq!(texts(person), ["the treasurer lies"]);
    }
}

#[test]
fn what_is_for_one_member_only_that_one_reads() {
    let mut people = circle(&["alice", "bob", "carol"]);
    whisper(&mut people[0], Some("bob"), "leave while you can").unwrap();
    mingle(&mut people);
    let to_bob = |mine| ("leave while you can".to_owned(), Some(3), Some("bob".to_owned()), mine);
    assert_eq!((seen(&people[0]), seen(&people[1])), (vec![to_bob(true)], vec![to_bob(false)]));
    assert_eq!(seen(&people[2]), []);
    assert_eq!(number(&people[2], "SELECT count(*) FROM cluster_spent"), 1, "carol knows that a key was used");
}

#[test]
fn a_member_writes_four_and_more_after_the_next_rollout() {
    let mut people = circle(&["alice", "bob", "carol"]);
    for text in ["one", "two", "three", "four"] {
        whisper(&mut people[0], None, text).unwrap();
    }
    let fifth = whisper(&mut people[0], None, "five").unwrap_err().to_string();
    assert!(fifth.contains("which is all") && fifth.contains("in about 2"), "{fifth}");
    mingle(&mut people);
    assert_eq!(texts(&people[1]), ["one", "two", "three", "four"]);
    assert_eq!(number(&people[2], "SELECT count(DISTINCT image) FROM cluster_spent"), 4);
    roll(&mut people);
    whisper(&mut people[0], None, "five").unwrap();
    mingle(&mut people);
    assert_eq!(texts(&people[2]).last().map(String::as_str), Some("five"));
}

#[test]
fn secrets_go_with_the_epochs_whose_states_are_forgotten() {
    let mut people = circle(&["alice", "bob", "carol"]);
    whisper(&mut people[0], None, "soon forgotten").unwrap();
    let epoch = people[0].chat.cluster(NEST).unwrap().epoch;
    // Of an epoch to which a branch came that is forgotten: another that comes to it must find the same.
    run(&people[0], "INSERT INTO cluster_slot_secret SELECT cluster, 99, seed, 1 FROM cluster_slot_secret LIMIT 1");
    for _ in 0..9 {
        roll(&mut people);
    }
    for person in &people {
        for table in ["cluster_slot_secret", "cluster_slots", "cluster_spent"] {
            let oldest = number(person, &format!("SELECT coalesce(min(epoch), 1000) FROM {table}"));
            assert!(oldest > epoch.cast_signed(), "{table}");
        }
    }
    assert_eq!(number(&people[0], "SELECT used FROM cluster_slot_secret WHERE epoch = 99"), 1);
    assert_eq!(texts(&people[0]), ["soon forgotten"], "what was read stays");
}

#[test]
fn two_alone_cannot_hide_and_tell_no_keys() {
    let mut people = circle(&["alice", "bob"]);
    let refused = whisper(&mut people[0], None, "guess who").unwrap_err().to_string();
    assert!(refused.contains("fewer than 3 members"), "{refused}");
    assert_eq!(number(&people[1], "SELECT count(*) FROM cluster_slots"), 0);
}

/// What would be said there just before the first message of an epoch would tell whose it is.
#[test]
fn nobody_writes_before_its_keys_are_told() {
    let mut people = circle(&["alice", "bob", "carol", "dave"]);
    run(&people[0], "UPDATE cluster_state SET slots_told = 0");
    let refused = whisper(&mut people[0], None, "me first").unwrap_err().to_string();
    assert!(refused.contains("not published"), "{refused}");
    pass(&mut people, LATER_MS);
    mingle(&mut people);
    whisper(&mut people[0], None, "me first").unwrap();
    assert_eq!(number(&people[1], "SELECT count(*) FROM cluster_two_sets"), 0, "they were told again, and are the same");
}

#[test]
fn who_only_asks_to_be_let_in_cannot_write_so() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let mut dave = Person::new(9);
    let now = people[0].now;
    let link = people[0].chat.invite_to_cluster(NEST, "", 7, now).unwrap();
    dave.chat.join_cluster(&link, "dave", "", dave.now).unwrap();
    let refused = dave.chat.write_anonymously("1", None, "hello", LIFETIME, dave.now).unwrap_err().to_string();
    assert!(refused.contains("not a member yet"), "{refused}");
    people[0].chat.leave_cluster(NEST, now).unwrap();
    assert!(whisper(&mut people[0], None, "still here").is_err());
    assert_eq!(number(&people[0], "SELECT count(*) FROM cluster_slot_secret"), 0, "who leaves takes no secrets along");
}

#[test]
fn a_message_that_came_before_the_keys_is_shown_once_they_are_there() {
    let mut people = circle(&["alice", "bob", "carol", "dave"]);
    let mut dave = people.pop().unwrap();
    pass(&mut people, DAY_MS);
    dave.now = people[0].now;
    let known = people[0].envelopes().len();
    mingle(&mut people);
    mingle(&mut people);
    let mut since = people[0].envelopes().split_off(known);
    let said = whisper(&mut people[0], None, "early").unwrap();
    assert_eq!(said.anonymous, Some(3), "dave has told none");
    let made = people[0].settle();
    let early = people[0].log.find(made.last().unwrap()).unwrap().unwrap().envelope().unwrap();
    // The change and the message first, of the keys nothing.
    let slots: Vec<Envelope> = since.extract_if(.., |envelope| is_message(&people[0], envelope)).collect();
    assert_eq!(slots.iter().map(|envelope| envelope.bytes().len()).collect::<Vec<_>>(), [552; 3], "docs/adr/0015 counts with it");
    since.iter().chain([&early]).for_each(|envelope| dave.receive(envelope));
    dave.settle();
    assert_eq!((texts(&dave), number(&dave, "SELECT count(*) FROM cluster_unheard")), (vec![], 1));
    for envelope in &slots {
        dave.receive(envelope);
        dave.settle();
    }
    assert_eq!(seen(&dave), [unsigned("early", 3)]);
    assert_eq!(number(&dave, "SELECT count(*) FROM cluster_unheard"), 0);
}

/// Whether it lies under a tag of a member, and not of nobody, in the state that somebody follows.
fn is_message(person: &Person, envelope: &Envelope) -> bool {
    let Kind::Sealed { tag, .. } = envelope.fields().kind else { return false };
    (0..8).any(|leaf| (0..16).any(|counter| secret(person).tag(leaf, counter) == tag))
}

/// Of the state that somebody follows.
fn secret(person: &Person) -> StateSecret {
    let sql = "SELECT secret FROM cluster_state s JOIN cluster c ON c.tip = s.state";
    StateSecret::new(person.chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap())
}

#[test]
fn what_waits_for_keys_that_never_come_has_a_bound() {
    let mut people = circle(&["alice", "bob", "carol", "dave"]);
    // Dave hears of nobody's keys.
    run(
        &people[3],
        "CREATE TRIGGER deaf BEFORE INSERT ON cluster_slots BEGIN SELECT RAISE(IGNORE); END; DELETE FROM cluster_slots;",
    );
    run(
        &people[3],
        "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 200)
         INSERT INTO cluster_unheard(cluster, state, epoch, envelope, hour, digest, bytes)
         SELECT c.cluster, s.state, s.epoch, randomblob(32), 0, randomblob(32), x'00' FROM up, cluster c JOIN cluster_state s ON s.state = c.tip",
    );
    whisper(&mut people[0], None, "hello").unwrap();
    mingle(&mut people);
    assert_eq!(number(&people[3], "SELECT count(*) FROM cluster_unheard"), 64);
    assert_eq!(number(&people[3], "SELECT count(*) FROM cluster_unheard WHERE length(bytes) > 1"), 1, "the newest is there");
}

/// Mallory's program forgets what it has used: of two by one key all show the same one, whatever came first.
#[test]
fn a_second_message_by_one_key_counts_once() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let forget = "DELETE FROM cluster_spent; UPDATE cluster_slot_secret SET used = 14";
    let mut made = Vec::new();
    for text in ["one", "two", "three"] {
        run(&people[2], forget);
        whisper(&mut people[2], None, text).unwrap();
        let id = people[2].settle().pop().unwrap();
        made.push(people[2].log.find(&id).unwrap().unwrap().envelope().unwrap());
    }
    made.iter().for_each(|envelope| people[0].receive(envelope));
    made.iter().rev().for_each(|envelope| people[1].receive(envelope));
    let shown = [0, 1].map(|who| texts(&people[who]));
    assert_eq!(shown[0].len(), 1);
    assert_eq!(shown[0], shown[1]);
    // The keys of others are not touched by that.
    whisper(&mut people[0], None, "so what").unwrap();
    mingle(&mut people);
    assert_eq!(texts(&people[1]).len(), 2);
}

/// Once the first could have gone: Mallory repeats what another said under a key of her own, and then says something else by that key.
#[test]
fn who_repeats_what_another_said_cannot_take_it_back() {
    let mut people = circle(&["alice", "bob", "mallory"]);
    whisper(&mut people[0], None, "the treasurer lies").unwrap();
    let id = people[0].settle().pop().unwrap();
    let envelope = people[0].log.find(&id).unwrap().unwrap().envelope().unwrap();
    let (secrets, pool) = machines(&people[2]);
    let said = opened(&people[2], &envelope).verify(&pool).unwrap();
    let by = |slot, post: Post| secrets.write(&pool, slot, post, [1; 32]).unwrap();
    let (slot, copy) = (0..4).map(|slot| (slot, by(slot, said.post().clone()))).find(|(_, copy)| copy.id() == said.id()).unwrap();
    let aside = |n: u8| Aside { nonce: [n; 16], at: 0, text: "nothing happened".into(), claim: None }.encode();
    let lower = (0..=255).map(|n| by(slot, Post { to: None, body: aside(n) })).find(|other| other.id() < said.id()).unwrap();
    people[1].receive(&envelope);
    for forged in [&copy, &lower] {
        let envelope = posted(&people[2], &forged.unverified());
        people[1].receive(&envelope);
    }
    assert_eq!(texts(&people[1]), ["the treasurer lies", "nothing happened"]);
}

/// What somebody's program could do with what is in the vault.
fn machines(person: &Person) -> (SlotSecrets, Pool) {
    let (cluster, epoch) = place(person);
    let seed = "SELECT seed FROM cluster_slot_secret WHERE epoch = ?1";
    let seed = person.chat.vault().conn().query_row(seed, [epoch], |row| row.get(0)).unwrap();
    (SlotSecrets::new(seed, cluster, epoch), among(person, &[]).1)
}

/// What lies in an envelope of nobody.
fn opened(person: &Person, envelope: &Envelope) -> AnonymousIn {
    let Kind::Sealed { tag, .. } = envelope.fields().kind else { panic!("sealed") };
    let counter = (0..128).find(|counter| secret(person).tag(NOBODY, *counter) == tag).unwrap();
    let piece = secret(person).open(NOBODY, counter, envelope.body()).unwrap();
    let mut d = minicbor::Decoder::new(&piece);
    assert_eq!((d.array().unwrap(), d.u8().unwrap(), d.u8().unwrap()), (Some(3), 1, 6), "a piece of kind 6");
    AnonymousIn::decode(d.bytes().unwrap()).unwrap()
}

fn posted(person: &Person, message: &AnonymousIn) -> Envelope {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(3).unwrap().u8(1).unwrap().u8(6).unwrap().bytes(&message.encode()).unwrap();
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([9; 32]);
    let body = secret(person).seal(NOBODY, 5, &e.into_writer(), &mut rng).unwrap();
    let unstamped = Unstamped::seal(Some(secret(person).tag(NOBODY, 5)), person.now.hour(), LIFETIME, body).unwrap();
    let nonce = mint(&unstamped.id(), unstamped.price());
    unstamped.stamp(nonce).unwrap()
}

/// What is under a tag of nobody and no message of a member, or one of another epoch, changes nothing; nor what is nobody's under the
/// tag of a member.
#[test]
fn mallory_who_is_no_member_any_more_writes_nothing_in_states_without_her() {
    let mut people = circle(&["alice", "bob", "carol", "mallory"]);
    let (secrets, pool) = machines(&people[3]);
    let aside = Aside { nonce: [1; 16], at: 0, text: "still here".into(), claim: None }.encode();
    let late = secrets.write(&pool, 0, Post { to: None, body: aside }, [1; 32]).unwrap();
    let now = people[0].now;
    people[0].chat.open_motion(NEST, &Proposal::Expel("mallory"), now).unwrap();
    mingle(&mut people);
    nest::vote_all(&mut people[..3]);
    mingle(&mut people);
    mingle(&mut people);
    assert_eq!(people[0].chat.cluster(NEST).unwrap().members.len(), 3);
    let envelope = posted(&people[1], &late.unverified());
    people[0].receive(&envelope);
    assert!(texts(&people[0]).is_empty(), "it is of an epoch before");
    // By keys of this epoch that she tells nevertheless, and that somebody even kept.
    let (secrets, pool) = among(&people[1], &[99]);
    let aside = Aside { nonce: [2; 16], at: 0, text: "still here".into(), claim: None }.encode();
    let forged = secrets[0].write(&pool, 0, Post { to: None, body: aside.clone() }, [2; 32]).unwrap();
    assert_eq!(forged.hides_among(), 4);
    let envelope = posted(&people[1], &forged.unverified());
    people[0].receive(&envelope);
    keep_set_of(&people[0], &secrets[0], 99);
    run(&people[0], "UPDATE cluster_unheard SET due = 1; UPDATE cluster_vote SET due = 0");
    pass(&mut people, LATER_MS);
    people[0].settle();
    assert!(texts(&people[0]).is_empty(), "she is no member of it");
    // By the keys of a member the same bytes are shown.
    let (bob, pool) = machines(&people[1]);
    let good = bob.write(&pool, 0, Post { to: None, body: aside }, [3; 32]).unwrap();
    let envelope = posted(&people[1], &good.unverified());
    people[0].receive(&envelope);
    assert_eq!(texts(&people[0]), ["still here"]);
    assert_eq!(whisper(&mut people[0], None, "she is gone").unwrap().anonymous, Some(3));
}

/// The keys of strangers for the epoch that somebody follows, and a pool in which they are members beside those whom that one knows.
fn among(person: &Person, strangers: &[u8]) -> (Vec<SlotSecrets>, Pool) {
    let (cluster, epoch) = place(person);
    let conn = person.chat.vault().conn();
    let mut sets = conn.prepare("SELECT member, bytes FROM cluster_slots WHERE epoch = ?1").unwrap();
    let sets = sets.query_map([epoch], |row| Ok((MemberId(row.get(0)?), row.get(1)?))).unwrap();
    let mut sets: Vec<(MemberId, Vec<u8>)> = sets.map(Result::unwrap).collect();
    let mut secrets = Vec::new();
    for who in strangers {
        let (secret, slots) = (MemberSecret::from_seed([*who; 32]), SlotSecrets::new([*who; 32], cluster, epoch));
        sets.push((secret.member(), slots.publish(&secret).unverified().encode()));
        secrets.push(slots);
    }
    let mut pool = Pool::new(cluster, epoch, Roster::of(sets.iter().map(|(member, _)| *member)));
    sets.iter().for_each(|(_, bytes)| assert_eq!(pool.add(SlotsIn::decode(bytes).unwrap()), Ok(Published::New)));
    (secrets, pool)
}

fn place(person: &Person) -> (ClusterId, u64) {
    let sql = "SELECT id, epoch FROM cluster c JOIN cluster_state s ON c.tip = s.state";
    person.chat.vault().conn().query_row(sql, [], |row| Ok((ClusterId(row.get(0)?), row.get(1)?))).unwrap()
}

/// Somebody's vault holds what a stranger told.
fn keep_set_of(person: &Person, slots: &SlotSecrets, who: u8) {
    let slots = slots.publish(&MemberSecret::from_seed([who; 32]));
    let sql = "INSERT INTO cluster_slots(cluster, epoch, id, member, bytes) SELECT cluster, ?1, ?2, ?3, ?4 FROM cluster";
    let (epoch, bytes) = (place(person).1, slots.unverified().encode());
    person.chat.vault().conn().execute(sql, (epoch, slots.id().0, slots.member().0, bytes)).unwrap();
}

/// Once each of them was looked at again, keys and all, whenever anybody told keys: minutes at 200 members.
#[test]
fn invented_rings_cost_nothing_when_keys_come_that_they_do_not_name() {
    let mut people = circle(&["alice", "bob", "mallory"]);
    let (secrets, pool) = among(&people[2], &[97, 98, 99]);
    for n in 0..9 {
        let post = Post { to: None, body: vec![n; 40] };
        let forged = secrets[usize::from(n % 3)].write(&pool, n % 4, post, [n; 32]).unwrap();
        let envelope = posted(&people[2], &forged.unverified());
        people[0].receive(&envelope);
    }
    let waits = |person: &Person| number(person, "SELECT count(*) * 1000 + sum(number) FROM cluster_unheard");
    let before = waits(&people[0]);
    assert_eq!(number(&people[0], "SELECT count(*) FROM cluster_unheard"), 9);
    // Bob's keys come once more.
    run(&people[0], "DELETE FROM cluster_slots WHERE member != (SELECT member FROM cluster)");
    run(&people[1], "UPDATE cluster_state SET slots_told = 0");
    pass(&mut people, LATER_MS);
    mingle(&mut people);
    assert_eq!(number(&people[0], "SELECT count(*) FROM cluster_slots"), 2, "they came");
    assert_eq!(waits(&people[0]), before, "none was touched");
    // What they do name has come: a few are tried at once, and then all have been.
    for (secrets, who) in secrets.iter().zip(97..) {
        keep_set_of(&people[0], secrets, who);
    }
    run(&people[0], "UPDATE cluster_unheard SET due = 1");
    pass(&mut people, LATER_MS);
    people[0].settle();
    assert_eq!(number(&people[0], "SELECT count(*) FROM cluster_unheard WHERE due = 1"), 0);
    assert!(texts(&people[0]).is_empty());
}

#[test]
fn nothing_uses_a_key_but_what_is_in_the_outbox() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let alice = &mut people[0];
    let left = |person: &Person| {
        let used = number(person, "SELECT used FROM cluster_slot_secret ORDER BY epoch DESC LIMIT 1");
        (used, number(person, "SELECT count(*) FROM cluster_spent"), number(person, "SELECT count(*) FROM message"))
    };
    // The disk fails at each of the steps.
    for table in ["outbox", "cluster_spent", "message"] {
        run(alice, &format!("CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"));
        assert!(whisper(alice, None, "now").is_err());
        assert_eq!(left(alice), (0, 0, 0), "{table}");
        run(alice, "DROP TRIGGER full");
    }
    for text in ["one", "two", "three", "four"] {
        whisper(alice, None, text).unwrap();
    }
    assert_eq!(left(alice), (15, 4, 4));
    // A vault from a backup does not know what was used, and reads it in the log.
    alice.settle();
    run(alice, "UPDATE cluster_slot_secret SET used = 0");
    assert!(whisper(alice, None, "five").unwrap_err().to_string().contains("which is all"));
}

#[test]
fn what_was_taken_back_is_sent_to_nobody() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let said = whisper(&mut people[0], None, "hasty").unwrap();
    people[0].chat.cancel(&said.id).unwrap();
    mingle(&mut people);
    assert_eq!(people[0].state(&said), State::Cancelled);
    assert!(texts(&people[1]).is_empty());
}

#[test]
fn who_tells_two_sets_of_keys_hides_nobody_any_more() {
    let mut people = circle(&["alice", "bob", "carol", "mallory"]);
    let before = whisper(&mut people[0], None, "before").unwrap();
    assert_eq!(before.anonymous, Some(4));
    run(&people[3], "UPDATE cluster_slot_secret SET seed = randomblob(32); UPDATE cluster_state SET slots_told = 0");
    pass(&mut people, LATER_MS);
    mingle(&mut people);
    let culprit = people[3].chat.cluster(NEST).unwrap().member;
    for person in &mut people[..3] {
        let proof = number(person, "SELECT count(*) FROM cluster_two_sets");
        assert_eq!(proof, 1);
        let cheats: Vec<String> = person
            .chat
            .cluster(NEST)
            .unwrap()
            .members
            .into_iter()
            .filter(|member| member.two_sets)
            .map(|member| member.member)
            .collect();
        assert_eq!(cheats, std::slice::from_ref(&culprit));
    }
    let after = whisper(&mut people[0], None, "after").unwrap();
    assert_eq!(after.anonymous, Some(3));
    // In its ring is neither of her sets, and both are known.
    let id = people[0].settle().pop().unwrap();
    let envelope = people[0].log.find(&id).unwrap().unwrap().envelope().unwrap();
    let ring: Vec<_> = opened(&people[1], &envelope).claimed_ring().iter().map(|id| id.0).collect();
    let hers: MemberId = culprit.parse().unwrap();
    let sets: Vec<([u8; 8], MemberId)> = {
        let mut sets = people[1].chat.vault().conn().prepare("SELECT id, member FROM cluster_slots WHERE epoch = ?1").unwrap();
        let sets = sets.query_map([place(&people[1]).1], |row| Ok((row.get(0)?, MemberId(row.get(1)?)))).unwrap();
        sets.map(Result::unwrap).collect()
    };
    let (of_hers, of_others): (Vec<_>, Vec<_>) = sets.into_iter().partition(|(_, member)| *member == hers);
    assert_eq!((of_hers.len(), of_others.len()), (2, 3));
    assert!(of_others.iter().all(|(id, _)| ring.contains(id)) && of_hers.iter().all(|(id, _)| !ring.contains(id)));
    mingle(&mut people);
    assert_eq!(seen(&people[1]), [unsigned("before", 4), unsigned("after", 3)]);
    let refused = whisper(&mut people[3], None, "by mallory").unwrap_err().to_string();
    assert!(refused.contains("not published"), "{refused}");
    // Of the next epoch she is one of four again.
    roll(&mut people);
    assert_eq!(whisper(&mut people[0], None, "forgiven").unwrap().anonymous, Some(4));
}

#[test]
fn newcomers_are_not_told_and_who_cannot_hide_them_says_so() {
    let mut people = nest(&Charter { history: History::All, ..charter() }, &["alice", "bob", "carol"]);
    mingle(&mut people);
    whisper(&mut people[0], None, "before you came").unwrap();
    say(&mut people[1], "by bob");
    mingle(&mut people);
    let mut dave = Person::new(9);
    dave.now = people[0].now;
    people.push(dave);
    let_in(&mut people, "dave");
    assert_eq!(texts(&people[3]), ["by bob"]);
    mingle(&mut people);
    whisper(&mut people[3], None, "I am new").unwrap();
    mingle(&mut people);
    assert_eq!(seen(&people[0]).pop(), Some(unsigned("I am new", 4)));
}

/// Two halves that could not hear each other: each reads what the other said meanwhile, whichever is followed then.
#[test]
fn what_halves_said_apart_all_read() {
    let mut people = circle(&["alice", "bob", "carol", "dave", "erin"]);
    let mut frank = Person::new(9);
    frank.now = people[1].now;
    let link = people[1].chat.invite_to_cluster(NEST, "", 7, frank.now).unwrap();
    frank.chat.join_cluster(&link, "frank", "", frank.now).unwrap();
    people.push(frank);
    mingle(&mut people);
    nest::vote_all(&mut people);
    mingle(&mut people);
    mingle(&mut people);
    pass(&mut people, DAY_MS);
    let mut right: Vec<Person> = people.drain(3..).collect();
    for (half, text) in [(&mut people, "left"), (&mut right, "right")] {
        mingle(half);
        assert_eq!(whisper(&mut half[0], None, text).unwrap().anonymous, Some(3));
        half[0].settle();
        swap(half);
    }
    people.append(&mut right);
    mingle(&mut people);
    for person in &people {
        let mut texts = texts(person);
        texts.sort();
        assert_eq!(texts, ["left", "right"]);
    }
    assert_eq!(number(&people[0], "SELECT count(*) FROM cluster_two_sets"), 0, "keys are of an epoch, not of a state");
}

/// It would be said again in the moment in which its author's node comes to the others, and so tell who it is.
#[test]
fn what_not_all_can_have_any_more_is_not_said_again_by_itself() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let said = whisper(&mut people[0], None, "on a branch that loses").unwrap();
    people[0].settle();
    run(&people[0], "UPDATE message SET state_sent = x'00112233445566778899aabbccddeeff' WHERE anonymous > 0");
    run(
        &people[0],
        "INSERT INTO cluster_decision(cluster, state, parent, epoch, bytes)
         SELECT cluster, x'00112233445566778899aabbccddeeff', parent, epoch, x'' FROM cluster_decision WHERE state = (SELECT tip FROM cluster)",
    );
    run(
        &people[0],
        "UPDATE cluster_stand SET state = x'00112233445566778899aabbccddeeff' WHERE member = (SELECT member FROM cluster)",
    );
    pass(&mut people, DAY_MS);
    mingle(&mut people);
    assert_eq!(people[0].state(&said), State::Failed);
    assert_eq!(number(&people[0], "SELECT count(*) FROM message WHERE anonymous > 0"), 1);
}

/// Its stamp was not found yet: it would go out in the moment in which its author's node comes from there.
#[test]
fn what_was_not_stamped_when_its_branch_was_left_does_not_go_out() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let said = whisper(&mut people[0], None, "on a branch that loses").unwrap();
    let waits = "SELECT count(*) FROM outbox WHERE envelope = (SELECT envelope FROM message WHERE anonymous > 0)";
    assert_eq!(number(&people[0], waits), 1);
    run(
        &people[0],
        "UPDATE message SET state_sent = x'00112233445566778899aabbccddeeff' WHERE anonymous > 0;
         INSERT INTO cluster_decision(cluster, state, parent, epoch, bytes)
         SELECT cluster, x'00112233445566778899aabbccddeeff', parent, epoch, x'' FROM cluster_decision WHERE state = (SELECT tip FROM cluster);
         UPDATE cluster_stand SET state = x'00112233445566778899aabbccddeeff' WHERE member = (SELECT member FROM cluster)",
    );
    let mut others = people.split_off(1);
    pass(&mut others, DAY_MS);
    mingle(&mut others);
    people[0].now = others[0].now;
    people.append(&mut others);
    mingle(&mut people);
    assert_eq!((people[0].state(&said), number(&people[0], waits)), (State::Failed, 0));
    assert!(texts(&people[1]).is_empty());
}

/// By the hour that it names its author could be known: nobody else's clock was wrong.
#[test]
fn what_was_written_by_a_wrong_clock_is_not_dated_anew() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let right = people[0].now;
    people[0].now.unix_ms += 30 * 3_600_000;
    let said = whisper(&mut people[0], None, "what time is it?").unwrap();
    people[0].now = right;
    assert_eq!(people[0].chat.redate(right.hour()).unwrap().len(), 1);
    let waits = "SELECT count(*) FROM outbox WHERE envelope = (SELECT envelope FROM message WHERE anonymous > 0)";
    assert_eq!((people[0].state(&said), number(&people[0], waits)), (State::Failed, 0));
    mingle(&mut people);
    assert!(texts(&people[1]).is_empty());
}

/// The one that it takes the place of was read.
#[test]
fn what_takes_the_place_of_another_is_unread() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let mut made = Vec::new();
    for text in ["one", "two", "three"] {
        run(&people[2], "DELETE FROM cluster_spent; UPDATE cluster_slot_secret SET used = 14");
        whisper(&mut people[2], None, text).unwrap();
        let id = people[2].settle().pop().unwrap();
        made.push(people[2].log.find(&id).unwrap().unwrap().envelope().unwrap());
    }
    let (_, pool) = machines(&people[0]);
    made.sort_by_key(|envelope| opened(&people[0], envelope).verify(&pool).unwrap().id());
    let unread =
        "SELECT count(*) FROM message m JOIN conversation v USING (conversation) WHERE m.mine = 0 AND m.position > v.read_position";
    for envelope in made.iter().rev() {
        people[0].receive(envelope);
        assert_eq!((texts(&people[0]).len(), number(&people[0], unread)), (1, 1));
        run(&people[0], "UPDATE conversation SET read_position = (SELECT max(position) FROM message)");
    }
}

/// All that others could see of a person: envelopes by size and lifetime, and what a member's vault knows of each.
fn traces(people: &mut [Person], who: usize) -> (Vec<(usize, u8)>, Vec<String>) {
    whisper(&mut people[who], None, "guess who").unwrap();
    mingle(people);
    for person in people.iter_mut() {
        let nick = person.chat.cluster(NEST).unwrap().nick;
        say(person, &format!("{nick} was here"));
        person.settle();
    }
    mingle(people);
    for who in 0..people.len() {
        let nick = people[who].chat.cluster(NEST).unwrap().nick;
        say(&mut people[who], &format!("{nick} still is"));
        people[who].settle();
        swap(people);
    }
    mingle(people);
    let carol = people.last().unwrap();
    let mut sizes: Vec<(usize, u8)> =
        carol.envelopes().iter().map(|envelope| (envelope.body().len(), envelope.fields().lifetime)).collect();
    sizes.sort_unstable();
    let lines = |sql: &str| -> Vec<String> {
        let mut statement = carol.chat.vault().conn().prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let told = [
        "SELECT format('%s|%s|%d|%d|%d', author, text, anonymous, aside IS NULL, nonce IS NULL) FROM message ORDER BY text, author",
        "SELECT format('%s stands at %d', hex(member), epoch) FROM cluster_stand ORDER BY member",
        "SELECT format('%s builds on %s', c.text, m.text) FROM parent p JOIN message c ON c.id = p.child JOIN message m ON m.id = p.parent ORDER BY c.text, m.text",
        "SELECT format('%d has %d', leaf, count(*)) FROM cluster_seen WHERE state = (SELECT tip FROM cluster) GROUP BY leaf ORDER BY leaf",
    ];
    (sizes, told.iter().flat_map(|sql| lines(sql)).collect())
}

/// Whether Alice or Bob wrote it: what Carol knows afterwards is the same, also by what both say under their names.
#[test]
fn nothing_else_in_the_cluster_tells_who_wrote_it() {
    let names = ["alice", "bob", "carol"];
    let (by_alice, by_bob) = (traces(&mut circle(&names), 0), traces(&mut circle(&names), 1));
    assert!(by_alice.1.iter().any(|line| line == "|guess who|3|1|1"), "{:?}", by_alice.1);
    assert!(by_alice.1.iter().any(|line| line.contains("still is builds on ")), "{:?}", by_alice.1);
    assert!(!by_alice.1.iter().any(|line| line.ends_with("builds on guess who") || line.starts_with("guess who builds")));
    assert_eq!(by_alice, by_bob);
}

/// The bytes themselves: the tag, the leaf and the kind are nobody's, and all that is said in the clear within the group is the same.
/// Once her node showed it at once, and said so, while the others waited for what it builds on.
#[test]
fn who_builds_on_what_nobody_signed_does_not_see_who_has_it() {
    let mut people = circle(&["alice", "bob", "mallory"]);
    // Newcomers see all at once.
    people.iter().for_each(|person| run(person, "UPDATE cluster SET joined_at = 0"));
    let said = whisper(&mut people[0], Some("mallory"), "leave while you can").unwrap();
    mingle(&mut people);
    let trap = say(&mut people[2], "who has read this?");
    let lure = "UPDATE message SET state_sent = zeroblob(16) WHERE id = ?1";
    let conn = people[2].chat.vault().conn();
    assert_eq!(conn.execute(lure, [trap.id.0]).unwrap(), 1);
    conn.execute("INSERT INTO parent(child, parent) VALUES(?1, ?2)", (trap.id.0, said.id.0)).unwrap();
    mingle(&mut people);
    let sees = |person: &Person| texts(person).contains(&trap.text);
    assert_eq!(people[..2].iter().map(sees).collect::<Vec<_>>(), [false, false], "it builds on something that nobody has");
    assert_eq!(people[0].state(&said), State::Stamped, "nobody can say that somebody has it");
    pass(&mut people, LATER_MS);
    people.iter_mut().for_each(|person| person.chat.tick(person.now).unwrap());
    assert_eq!(people[..2].iter().map(sees).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn on_the_wire_it_is_by_nobody_whoever_wrote_it() {
    let mut people = circle(&["alice", "bob", "carol"]);
    let mut said = Vec::new();
    for person in &mut people {
        whisper(person, None, "guess who").unwrap();
        let id = person.settle().pop().unwrap();
        let envelope = person.log.find(&id).unwrap().unwrap().envelope().unwrap();
        let bundle: Vec<_> = {
            let conversation = person.chat.find_cluster_conversation(NEST).unwrap();
            person.chat.bundle(conversation).unwrap()
        };
        assert!(!bundle.contains(&id), "a file of what one sent would tell that one sent it");
        let message = opened(person, &envelope);
        said.push((envelope.body().len(), message.encode().len(), message));
    }
    let (length, inside, first) = said[0].clone();
    for (body, bytes, message) in &said {
        assert_eq!((*body, *bytes, message.claimed_ring()), (length, inside, first.claimed_ring()));
        assert_eq!((message.claimed_epoch(), format!("{message:?}")), (first.claimed_epoch(), format!("{first:?}")));
    }
    swap(&mut people);
    assert_eq!(texts(&people[0]), ["guess who"; 3]);
}
