//! Stories that need a look, or a hand, behind the face of the crate.
#![allow(clippy::arithmetic_side_effects)]

use samizdat_cluster::{
    Charter, ClusterId, MemberId, MemberSecret, Past, Roster,
    ballot::BallotIn,
    door::Invite,
    limits::SAID_PER_MEMBER,
    link::OpenDoor,
    motion::{Kind, Method, MotionFields, MotionIn},
    secret::{Panel, ShareIn, StepIn, StepKind, TrusteeSecret},
};
use samizdat_core::{
    Envelope, IdentitySecret, Name, Now, Unstamped,
    announce::Announcement,
    seal::{ContactSecret, door::DoorKey},
    stamp::Mint,
};
use samizdat_store::{Log, Vault};

use crate::{
    Answer, Chat, Filter, Proposal, State,
    content::Content,
    frontier::Frontier,
    limits::{
        ANNOUNCEMENT_AGE, HEADS_AMONG, KEYS_KEPT, MISSED_PATIENCE_MS, MISSING_KEPT, MISSING_MAX, MISSING_MS, PAIRS_MAX,
        PARENT_PATIENCE_MS, REQUESTS_MAX, SHARES_OF_MEMBER_MAX, STEPS_UNKNOWN_MAX, TAG_WINDOW,
    },
    timeline::{MessageId, NewRow},
};

pub(crate) const NOW: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
const LIFETIME: u8 = 0;

pub(crate) fn person(seed: u8) -> Chat {
    Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [seed; 32]).unwrap()
}

pub(crate) fn mint(unstamped: &Unstamped) -> u64 {
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap()
}

/// Alice, and Bob, whom she let into clusters; the log of both.
pub(crate) fn two_in(names: &[&str]) -> (Chat, Chat, Log, Now) {
    let (mut alice, mut bob, mut log, mut now) = (person(1), person(2), Log::in_memory(1 << 30).unwrap(), NOW);
    for name in names {
        alice.found_cluster(&Charter::new(name).unwrap(), "alice", now).unwrap();
        let link = alice.invite_to_cluster(name, "", 7, now).unwrap();
        bob.join_cluster(&link, "bob", "", now).unwrap();
    }
    for _ in 0..8 {
        for who in [&mut alice, &mut bob] {
            who.catch_up(&log, now).unwrap();
            who.work(&log, now).unwrap();
            log.append(&stamp(who)).unwrap();
        }
        now.unix_ms += 15_000;
    }
    (alice, bob, log, now)
}

/// Stamps what waits in the outbox of `who`.
pub(crate) fn stamp(who: &mut Chat) -> Vec<Envelope> {
    let mut stamped = Vec::new();
    while let Some(job) = who.job().unwrap() {
        let mut mint = Mint::new(job.id, job.tries, 0);
        let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
        stamped.push(who.stamp(&job.id, nonce).unwrap().unwrap());
        who.logged(&job.id).unwrap();
    }
    stamped
}

/// Makes the announcement of `who` and puts it into `log`.
fn announce(who: &mut Chat, log: &mut Log) {
    who.work(log, NOW).unwrap();
    log.append(&stamp(who)).unwrap();
}

fn count(who: &Chat, rows: &str) -> u64 {
    who.vault.conn().query_row(&format!("SELECT count(*) FROM {rows}"), [], |row| row.get(0)).unwrap()
}

fn name(who: &Chat) -> String {
    who.identities().unwrap()[0].name.clone()
}

#[test]
fn a_conversation_without_its_epoch_does_not_silence_the_others() {
    let (mut alice, mut bob, mut carol) = (person(1), person(2), person(3));
    let mut log = Log::in_memory(1 << 30).unwrap();
    announce(&mut bob, &mut log);
    announce(&mut carol, &mut log);
    let [to_bob, to_carol] = [&bob, &carol].map(name);
    for who in [&to_bob, &to_carol] {
        alice.write(who, "hello", LIFETIME, NOW).unwrap();
    }
    alice.work(&log, NOW).unwrap();
    let damage = "DELETE FROM epoch WHERE pair IN (SELECT pair FROM pair JOIN contact USING (contact) WHERE name = ?1)";
    assert_eq!(alice.vault.conn().execute(damage, [&to_bob]).unwrap(), 1);
    let [lost, sent] = [&to_bob, &to_carol].map(|who| alice.write(who, "more", LIFETIME, NOW).unwrap());
    alice.work(&log, NOW).unwrap();
    assert_eq!(alice.message(&lost.id).unwrap().state, State::Waiting);
    assert_eq!(alice.message(&sent.id).unwrap().state, State::Stamping);
}

/// A name that nobody has.
fn throwaway(n: u32) -> Name {
    let mut seed = [0; 32];
    seed.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
    IdentitySecret::from_seed(seed).key().name()
}

/// Somebody asks; the number of the request.
fn asks(bob: &mut Chat, name: &Name, invited: bool, at: u64) -> i64 {
    let now = Now { mono_ms: 0, unix_ms: NOW.unix_ms + at };
    bob.transact(|work| work.admit(1, name, invited, true, now)).unwrap().unwrap()
}

#[test]
fn a_crowd_of_throwaway_requests_locks_nobody_out() {
    let mut bob = person(2);
    let invited = asks(&mut bob, &throwaway(9000), true, 0);
    let first = asks(&mut bob, &throwaway(9001), false, 1);
    let second = asks(&mut bob, &throwaway(9002), false, 2);
    bob.answer(&second.to_string(), Answer::Decline).unwrap();
    for n in 0..REQUESTS_MAX {
        asks(&mut bob, &throwaway(n), false, 10 + u64::from(n));
    }
    let open = |bob: &Chat| bob.requests().unwrap().iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(open(&bob).len() as u32, REQUESTS_MAX + 1);
    assert!(open(&bob).contains(&invited) && !open(&bob).contains(&first), "the oldest stranger went");
    assert!(bob.request(second).is_ok(), "what was answered is not touched");

    let late = asks(&mut bob, &throwaway(9003), true, 10_000);
    let again = asks(&mut bob, &throwaway(9002), false, 10_001);
    assert!(open(&bob).contains(&late) && open(&bob).contains(&again));
    assert_eq!(open(&bob).len() as u32, REQUESTS_MAX + 2);
    assert_eq!(count(&bob, "contact"), u64::from(REQUESTS_MAX) + 2, "who went left nothing");
}

#[test]
fn a_contact_who_rings_again_and_again_fills_neither_vault_nor_memory() {
    let (mut bob, mut mallory) = (person(2), person(4));
    let mut log = Log::in_memory(1 << 30).unwrap();
    announce(&mut bob, &mut log);
    let (link, mallory_name) = (bob.invite().unwrap().to_string(), name(&mallory));
    mallory.add_contact(&link, Some("bob")).unwrap();
    let bells: Vec<Envelope> = (0..8)
        .flat_map(|n| {
            let first = Content::Text { id: [n; 16], at: 0, parents: Vec::new(), missing: Vec::new(), text: n.to_string() };
            mallory
                .transact(|work| {
                    let bob = work.find_contact("bob")?;
                    work.ring(&bob, &first, LIFETIME, &log, NOW)
                })
                .unwrap();
            stamp(&mut mallory).pop()
        })
        .collect();
    for bell in &bells {
        bob.ingest(bell, &log, NOW).unwrap();
    }
    bob.answer(&mallory_name, Answer::Accept).unwrap();
    // An old one again, from somebody who kept it.
    bob.ingest(&bells[0], &log, NOW).unwrap();

    let pairs = u64::from(PAIRS_MAX);
    assert_eq!((count(&bob, "pair"), count(&bob, "epoch")), (pairs, pairs));
    assert_eq!((count(&bob, "expected"), bob.expected.len() as u64), (pairs * TAG_WINDOW, pairs * TAG_WINDOW));
    assert_eq!(count(&bob, "(SELECT DISTINCT namespace FROM mls_state WHERE substr(namespace, 1, 4) = x'70616972')"), pairs);
    assert_eq!(bob.messages(&Filter::default()).unwrap().len(), bells.len(), "what was said stays");

    // The pair that they write in is still there on both sides.
    bob.write(&mallory_name, "stop it", LIFETIME, NOW).unwrap();
    bob.work(&log, NOW).unwrap();
    for envelope in stamp(&mut bob) {
        mallory.ingest(&envelope, &log, NOW).unwrap();
    }
    assert_eq!(count(&mallory, "message WHERE text = 'stop it'"), 1);
}

#[test]
fn keys_that_cannot_be_used_leave_no_pair_behind() {
    let (mut alice, mut carol) = (person(1), person(3));
    let mut log = Log::in_memory(1 << 30).unwrap();
    let us = carol.transact(|work| work.identity_secret(1)).unwrap();
    let carols = carol.transact(|work| Ok(work.mls.pairs(work.conn, work.rng).make_key_package(&us)?.bytes)).unwrap();
    let proper = ContactSecret::from_seed([9; 32]).contact_key();
    let mallory = IdentitySecret::from_seed([66; 32]);
    alice.work(&log, NOW).unwrap();
    let before = count(&alice, "mls_state");
    // Mallory announces Carol's KeyPackage; Carol announces a key to which nothing can be sealed.
    for (author, contact_key) in [(mallory, proper), (us, vec![0xff; 1216])] {
        let body = Announcement { contact_key, key_package: carols.clone() }.encode().unwrap();
        let unstamped = Unstamped::sign(&author, 0, None, NOW.hour(), LIFETIME, body).unwrap();
        let nonce = mint(&unstamped);
        log.append(&[unstamped.stamp(nonce).unwrap()]).unwrap();
        let message = alice.write(&author.key().name().compact(), "hello", LIFETIME, NOW).unwrap();
        alice.work(&log, NOW).unwrap();
        assert_eq!(alice.message(&message.id).unwrap().state, State::Waiting);
        assert_eq!((count(&alice, "pair"), count(&alice, "mls_state"), alice.expected.len()), (0, before, 0));
    }
}

#[test]
fn a_clock_that_was_wrong_for_a_minute_makes_nobody_unreachable() {
    let (mut alice, mut bob) = (person(1), person(2));
    let mut log = Log::in_memory(1 << 30).unwrap();
    announce(&mut bob, &mut log);
    let held = log.after(0, 10).unwrap()[0].envelope().unwrap().id();
    bob.held(&held).unwrap();
    let at = |bob: &mut Chat, hours: u64| {
        let now = Now { mono_ms: 0, unix_ms: NOW.unix_ms + hours * 3_600_000 };
        bob.tick(now).unwrap();
        bob.work(&log, now).unwrap();
    };
    at(&mut bob, 10 * 365 * 24);
    assert_eq!(count(&bob, "announced"), 2, "what others know is kept");
    at(&mut bob, 0);
    let hours = "announced WHERE hour = (SELECT min(hour) FROM announced)";
    assert_eq!((count(&bob, "announced"), count(&bob, hours)), (3, 2), "announced anew by the right clock");
    at(&mut bob, 0);
    assert_eq!(count(&bob, "announced"), 3);

    // Alice has only the first announcement.
    alice.add_contact(&bob.invite().unwrap().to_string(), Some("bob")).unwrap();
    alice.write("bob", "are you there?", LIFETIME, NOW).unwrap();
    alice.work(&log, NOW).unwrap();
    stamp(&mut alice).iter().for_each(|envelope| bob.ingest(envelope, &log, NOW).unwrap());
    assert_eq!(bob.requests().unwrap().len(), 1);
}

#[test]
fn keys_are_forgotten_once_others_hold_much_newer_ones() {
    let log = Log::in_memory(1 << 30).unwrap();
    let weeks = u64::from(KEYS_KEPT / ANNOUNCEMENT_AGE) + 8;
    let announced_after = |publish: bool| {
        let mut bob = person(2);
        for week in 0..weeks {
            let now = Now { mono_ms: 0, unix_ms: NOW.unix_ms + week * u64::from(ANNOUNCEMENT_AGE) * 3_600_000 };
            bob.tick(now).unwrap();
            bob.work(&log, now).unwrap();
            if let Some(job) = bob.job().unwrap().filter(|_| publish) {
                bob.logged(&job.id).unwrap();
                bob.held(&job.id).unwrap();
            }
        }
        count(&bob, "announced")
    };
    assert_eq!(announced_after(false), weeks, "offline, nobody knows newer ones");
    assert_eq!(announced_after(true), u64::from(KEYS_KEPT / ANNOUNCEMENT_AGE));
}

/// Alice alone in a cluster, with a text of hers in it.
fn nest() -> (Chat, MessageId) {
    let mut alice = person(1);
    alice.found_cluster(&Charter::new("nest").unwrap(), "alice", NOW).unwrap();
    let said = alice.write_in_cluster("nest", "mine", LIFETIME, NOW).unwrap();
    alice.work(&Log::in_memory(1 << 30).unwrap(), NOW).unwrap();
    (alice, said.id)
}

#[test]
fn what_others_vote_in_our_name_is_no_ballot_of_ours() {
    let question = Proposal::Question { text: "Where?", options: &["here".into(), "there".into()], method: Method::Plurality };
    let ours = |alice: &mut Chat| alice.motions("nest").unwrap()[0].ours.clone();
    // What she would say, had she said it.
    let (mut twin, _) = nest();
    let (_, motion) = twin.open_motion("nest", &question, NOW).unwrap();
    twin.vote(&motion.to_string(), "1", NOW).unwrap();
    let hers: Vec<u8> = twin.vault.conn().query_row("SELECT bytes FROM cluster_ballot", [], |row| row.get(0)).unwrap();

    let (mut alice, _) = nest();
    assert_eq!(alice.open_motion("nest", &question, NOW).unwrap().1, motion);
    for other in 1..=5 {
        let mut forged = hers.clone();
        *forged.last_mut().unwrap() ^= other;
        let forged = BallotIn::decode(&forged).unwrap();
        alice.transact(|work| work.take_ballot(&work.find_cluster("nest")?, &forged)).unwrap();
    }
    assert_eq!((ours(&mut alice), count(&alice, "cluster_ballot")), (None, 0));
    alice.vote(&motion.to_string(), "2", NOW).unwrap();
    assert_eq!(ours(&mut alice).as_deref(), Some("2"));
}

#[test]
fn what_is_said_in_votes_that_nobody_knows_takes_little_room() {
    let (mut alice, _) = nest();
    let dealing = include_bytes!("../../../fuzz/corpus/cluster_dealing/ok-dealing");
    // In an array, after the version, a name of 32 bytes: that of the motion, or of the dealing.
    let about = |mut bytes: Vec<u8>, which: u8| {
        bytes[4] = which;
        bytes
    };
    let step = |which: u8| StepIn::decode(StepKind::Dealing, &about(dealing.to_vec(), which)).unwrap();
    let mallory = step(0).claimed_author();
    let says = |alice: &mut Chat, from: &MemberId, which: u8| {
        alice.transact(|work| work.take_step(&work.find_cluster("nest")?, from, &step(which), NOW)).unwrap();
    };
    (0..40).for_each(|which| says(&mut alice, &mallory, which));
    assert_eq!(count(&alice, "cluster_vote_step"), u64::from(STEPS_UNKNOWN_MAX));
    says(&mut alice, &mallory, 39);
    says(&mut alice, &MemberId([7; 32]), 99);
    assert_eq!(count(&alice, "cluster_vote_step"), u64::from(STEPS_UNKNOWN_MAX), "each speaks for itself, and says a thing once");

    let share = include_bytes!("../../../fuzz/corpus/cluster_share/ok-share");
    for which in 0..200 {
        let share = ShareIn::decode(&about(share.to_vec(), which)).unwrap();
        alice.transact(|work| work.take_share(&work.find_cluster("nest")?, &mallory, &share)).unwrap();
    }
    assert_eq!(count(&alice, "cluster_vote_share"), u64::from(SHARES_OF_MEMBER_MAX));
}

#[test]
fn only_what_is_new_wakes_a_secret_vote_and_a_share_only_its_own() {
    let (mut alice, _) = nest();
    let context: Vec<u8> = alice.vault.conn().query_row("SELECT context FROM cluster_state", [], |row| row.get(0)).unwrap();
    let salt = context[4..36].try_into().unwrap();
    let secrets = [51, 52, 53].map(|who| MemberSecret::from_seed([who; 32]));
    let past = Past::founded(Roster::of(secrets.iter().map(MemberSecret::member)), Charter::new("nest").unwrap());
    let [one, other] = [1, 2].map(|nonce| {
        let kind =
            Kind::Question { text: "Where?".into(), options: ["here".into(), "there".into()].into(), method: Method::Plurality };
        let (cluster, proposer, roster) = (ClusterId([7; 32]), secrets[0].member(), past.roster().hash());
        let fields = MotionFields { cluster, epoch: 0, roster, until: 8, proposer, nonce: [nonce; 16], secret: true, kind };
        let motion = MotionIn::new(fields).unwrap();
        let panel = Panel::of(motion.clone().verify(&cluster, &past).unwrap(), &salt).unwrap();
        let (id, vault) = (panel.motion().id().0, alice.vault.conn());
        let sql = "INSERT INTO cluster_motion(cluster, motion, bytes, at) SELECT cluster, ?1, ?2, 0 FROM cluster";
        vault.execute(sql, (id, motion.encode())).unwrap();
        let sql =
            "INSERT INTO cluster_vote(cluster, motion, context, past, until, began) SELECT cluster, ?1, ?2, ?3, 8, 0 FROM cluster";
        vault.execute(sql, (id, &context, past.encode())).unwrap();
        panel
    });
    let mallory = secrets.iter().find(|secret| secret.member() == one.trustees()[0]).unwrap();
    let from = mallory.member();
    let deal = |panel: &Panel, seed: u8| {
        let (dealing, shares) = TrusteeSecret::new([seed; 32]).deal(panel, mallory).unwrap();
        (StepIn::Dealing(dealing.unverified()), shares[0].1.clone())
    };
    let wakes = |alice: &mut Chat| {
        let woken = [&one, &other].map(|panel| {
            let (sql, id) = ("SELECT due = 0 FROM cluster_vote WHERE motion = ?1", panel.motion().id().0);
            alice.vault.conn().query_row(sql, [id], |row| row.get::<_, bool>(0)).unwrap()
        });
        alice.vault.conn().execute("UPDATE cluster_vote SET due = 9", []).unwrap();
        woken
    };
    let says = |alice: &mut Chat, step: &StepIn| {
        alice.transact(|work| work.take_step(&work.find_cluster("nest")?, &from, step, NOW)).unwrap();
        wakes(alice)
    };
    let gives = |alice: &mut Chat, share: &ShareIn| {
        alice.transact(|work| work.take_share(&work.find_cluster("nest")?, &from, share)).unwrap();
        wakes(alice)
    };
    wakes(&mut alice);
    for seed in 1..5 {
        let (dealing, _) = deal(&one, seed);
        let is_kept = seed <= u8::try_from(SAID_PER_MEMBER).unwrap();
        assert_eq!(says(&mut alice, &dealing), [is_kept, false], "{seed}");
        assert_eq!(says(&mut alice, &dealing), [false, false], "{seed} again");
    }
    says(&mut alice, &deal(&other, 1).0);
    let (_, share) = deal(&one, 1);
    assert_eq!(gives(&mut alice, &share), [true, false]);
    assert_eq!(gives(&mut alice, &share), [false, false], "it is known");
    assert_eq!(gives(&mut alice, &deal(&one, 9).1), [false, false], "of what was never dealt");
    assert_eq!(gives(&mut alice, &deal(&other, 1).1), [false, true]);
}

#[test]
fn what_others_tell_that_we_said_is_not_said_again_by_us() {
    let (mut alice, said) = nest();
    let states = |alice: &Chat| -> Vec<u8> {
        let mut rows = alice.vault.conn().prepare("SELECT state FROM message ORDER BY message").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    alice
        .transact(|work| {
            let row = work.find_cluster("nest")?;
            let (author, conversation) = (row.member.to_string(), work.cluster_conversation(row.cluster)?);
            let told = NewRow {
                id: MessageId([7; 16]),
                conversation,
                author: &author,
                mine: true,
                text: "put into her mouth",
                at: NOW.unix_ms,
                lifetime: 0,
                state: State::Received,
                envelope: None,
                vouched: Some("mallory"),
                aside: None,
                nonce: Some([7; 16]),
            };
            work.insert(&told, NOW)?;
            work.advance(&said, State::Received)?;
            let state = work.state_row(row.cluster, &row.tip.unwrap())?.unwrap();
            work.say_again(&row, &state, Some(NOW.unix_ms))
        })
        .unwrap();
    assert_eq!(states(&alice), [State::Waiting.number(), State::Received.number()]);
}

#[test]
fn a_member_who_names_a_text_twice_is_counted_once() {
    let (mut alice, said) = nest();
    alice
        .transact(|work| {
            work.conn.execute("UPDATE message SET addressed = 2", [])?;
            let row = work.find_cluster("nest")?;
            work.reached(&row, &MemberId([5; 32]), &Frontier::new(&[said.0, said.0], &[]), false, NOW)
        })
        .unwrap();
    assert_eq!(alice.receipts(&said).unwrap().len(), 1);
}

#[test]
fn who_lacks_more_than_can_be_told_has_nothing_but_what_is_named() {
    let (mut alice, first) = nest();
    let second = alice.write_in_cluster("nest", "second", LIFETIME, NOW).unwrap().id;
    alice.work(&Log::in_memory(1 << 30).unwrap(), NOW).unwrap();
    alice.transact(|work| Ok(work.conn.execute("UPDATE message SET addressed = 2", [])?)).unwrap();
    let mut hears = |from: u8, missing: &[[u8; 16]]| {
        let told = Frontier::new(&[second.0], missing);
        alice.transact(|work| work.reached(&work.find_cluster("nest")?, &MemberId([from; 32]), &told, false, NOW)).unwrap();
        [first, second].map(|id| alice.receipts(&id).unwrap().len())
    };
    assert_eq!(hears(5, &[first.0, second.0]), [0, 0], "who has it and lacks it lacks it");
    let lacks: Vec<[u8; 16]> = (0..8).map(|number| [number; 16]).collect();
    assert_eq!(hears(6, &lacks), [0, 1]);
    assert_eq!(hears(7, &lacks[..7]), [1, 2]);
}

#[test]
fn a_text_is_said_again_three_times_for_whoever_goes_on_saying_that_it_lacks_it() {
    let (mut alice, said) = nest();
    let waits = |alice: &Chat| alice.message(&said).unwrap().state == State::Waiting;
    let mut now = NOW;
    let mut again = Vec::new();
    alice.transact(|work| Ok(work.conn.execute("UPDATE message SET addressed = 2", [])?)).unwrap();
    for _ in 0..5 {
        alice
            .transact(|work| {
                work.conn.execute("UPDATE message SET state = ?1", [State::Published.number()])?;
                let row = work.find_cluster("nest")?;
                let state = work.state_row(row.cluster, &row.tip.unwrap())?.unwrap();
                work.reached(&row, &row.member, &Frontier::new(&[], &[said.0, [9; 16]]), false, now)?;
                now.unix_ms += MISSED_PATIENCE_MS - 1;
                work.say_missed(&row, &state, now)
            })
            .unwrap();
        assert!(!waits(&alice), "it may come yet");
        now.unix_ms += 1;
        alice
            .transact(|work| {
                let row = work.find_cluster("nest")?;
                let state = work.state_row(row.cluster, &row.tip.unwrap())?.unwrap();
                work.say_missed(&row, &state, now)
            })
            .unwrap();
        again.push(waits(&alice));
    }
    assert_eq!(again, [true, true, true, false, false]);
}

/// Mallory names what is nowhere: so much is kept in mind, and what is told is the newest.
#[test]
fn what_never_was_is_lacked_within_bounds_and_not_for_ever() {
    let (mut alice, said) = nest();
    let lacks = |alice: &mut Chat, now: Now| {
        let told = alice.transact(|work| {
            let conversation = work.cluster_conversation(work.find_cluster("nest")?.cluster)?;
            work.tell_missing(conversation, now)
        });
        let kept: u32 = alice.vault.conn().query_row("SELECT count(*) FROM missing", [], |row| row.get(0)).unwrap();
        (told.unwrap(), kept)
    };
    for number in 0..100u8 {
        let parents: Vec<[u8; 16]> = (0..8).map(|which| [which, number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]).collect();
        alice
            .transact(|work| {
                let conversation = work.cluster_conversation(work.find_cluster("nest")?.cluster)?;
                work.note_missing(conversation, &MessageId([number; 16]), &parents, NOW)?;
                work.note_missing(conversation, &MessageId([number; 16]), &[said.0], NOW)
            })
            .unwrap();
    }
    let (told, kept) = lacks(&mut alice, NOW);
    assert_eq!((told.len(), kept), (MISSING_MAX, MISSING_KEPT));
    assert!(told.iter().all(|id| id[1] == 99), "{told:?}");
    let later = Now { unix_ms: NOW.unix_ms + MISSING_MS + 1, ..NOW };
    assert_eq!(lacks(&mut alice, later), (Vec::new(), 0));
}

#[test]
fn who_says_the_same_in_two_clusters_learns_nothing_of_who_is_in_both() {
    let (mut alice, _) = nest();
    alice.found_cluster(&Charter::new("club").unwrap(), "somebody", NOW).unwrap();
    let told = |alice: &mut Chat, which: &str| {
        alice
            .transact(|work| {
                let conversation = work.cluster_conversation(work.find_cluster(which)?.cluster)?;
                let new = NewRow { mine: false, state: State::Received, author: "mallory", ..NewRow::ours("here?", NOW) };
                let id = work.insert(&NewRow { id: MessageId([9; 16]), conversation, nonce: Some([9; 16]), ..new }, NOW)?.unwrap();
                work.show(&id)?;
                assert_eq!(work.heads(conversation, 1)?, [[9; 16]], "what she says next builds on it in both");
                Ok(id)
            })
            .unwrap()
    };
    assert_ne!(told(&mut alice, "nest"), told(&mut alice, "club"), "kept apart here");
}

#[test]
fn what_builds_on_something_in_another_conversation_tells_nobody_that_it_is_here() {
    let (mut alice, said) = nest();
    alice.found_cluster(&Charter::new("club").unwrap(), "somebody", NOW).unwrap();
    let text = |alice: &mut Chat, name: u8, parent: [u8; 16], which: &str, now: Now| {
        alice
            .transact(|work| {
                let conversation = work.cluster_conversation(work.find_cluster(which)?.cluster)?;
                let new = NewRow { mine: false, state: State::Received, author: "mallory", ..NewRow::ours("guess", now) };
                let id = work.insert(&NewRow { id: MessageId([name; 16]), conversation, nonce: Some([name; 16]), ..new }, now)?;
                work.set_parents(&id.unwrap(), &[parent])?;
                work.show_when_complete(id.unwrap())?;
                Ok(id.unwrap())
            })
            .unwrap()
    };
    let shown = |alice: &Chat, id: MessageId| {
        let sql = "SELECT position IS NOT NULL FROM message WHERE id = ?1";
        alice.vault.conn().query_row(sql, [id.0], |row| row.get::<_, bool>(0)).unwrap()
    };
    let here = text(&mut alice, 1, said.0, "nest", NOW);
    let elsewhere = text(&mut alice, 2, said.0, "club", NOW);
    assert!(shown(&alice, here) && !shown(&alice, elsewhere));

    // One that builds on itself, and what builds on that.
    let (itself, next) = (text(&mut alice, 3, [3; 16], "nest", NOW), text(&mut alice, 4, [3; 16], "nest", NOW));
    assert!(!shown(&alice, itself) && !shown(&alice, next));
    let later = Now { unix_ms: NOW.unix_ms + 3 * PARENT_PATIENCE_MS, ..NOW };
    alice.transact(|work| work.give_up_on_parents(later)).unwrap();
    assert!([elsewhere, itself, next].into_iter().all(|id| shown(&alice, id)));
}

#[test]
fn doors_have_bounds_and_belong_to_one_cluster() {
    let (mut alice, _) = nest();
    alice.found_cluster(&Charter::new("club").unwrap(), "somebody", NOW).unwrap();
    let hour = NOW.hour().0;
    let door = |n: u8, expires: u32| Invite { open: OpenDoor::new(&[n; 20], DoorKey([n; 32])), label: String::new(), expires };
    let mut take = |which: &str, author: u8, invite: &Invite, now: Now| {
        alice
            .transact(|work| {
                let row = work.find_cluster(which)?;
                let at = work.state_row(row.cluster, &row.tip.unwrap())?.unwrap();
                work.take_invite(&row, &at, &MemberId([author; 32]), invite, now)
            })
            .unwrap()
    };
    assert!(!take("nest", 1, &door(1, hour), NOW) && !take("nest", 1, &door(1, u32::MAX), NOW), "over, or for ever");
    let first: Vec<bool> = (1..=5).map(|n| take("nest", 1, &door(n, hour + 24), NOW)).collect();
    assert_eq!(first, [true, true, true, true, false], "four of one member");
    assert!(!take("club", 2, &door(1, hour + 24), NOW), "what comes by it belongs to the nest");
    let tomorrow = Now { unix_ms: NOW.unix_ms + 25 * 3_600_000, ..NOW };
    assert!(take("nest", 1, &door(6, hour + 48), tomorrow), "the old ones are closed by now");
    let others: Vec<bool> = (0..17).map(|n| take("nest", 10 + n, &door(20 + n, hour + 48), tomorrow)).collect();
    assert_eq!(others.iter().filter(|taken| **taken).count(), 15, "sixteen in all");
}

#[test]
fn four_members_cannot_take_all_doors() {
    let (mut alice, _) = nest();
    let hour = NOW.hour().0;
    let mut take = |author: u8, n: u8| {
        let invite = Invite {
            open: OpenDoor::new(&[10 * author + n; 20], DoorKey([n; 32])),
            label: format!("{author} {n}"),
            expires: hour + 24,
        };
        let taken = alice.transact(|work| {
            let row = work.find_cluster("nest")?;
            let at = work.state_row(row.cluster, &row.tip.unwrap())?.unwrap();
            work.take_invite(&row, &at, &MemberId([author; 32]), &invite, NOW)
        });
        taken.unwrap()
    };
    assert!((1..=4).all(|author| (1..=4).all(|n| take(author, n))));
    assert_eq!([1, 2, 3, 4].map(|n| take(5, n)), [true, true, true, false], "until nobody has two more than she would");
    assert_eq!([1, 2, 3].map(|n| take(6, n)), [true, true, false]);
    let mut left = alice.vault.conn().prepare("SELECT label FROM cluster_door WHERE author IS NOT NULL ORDER BY label").unwrap();
    let left: Vec<String> = left.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let of = |author: &str| left.iter().filter(|label| label.starts_with(author)).count();
    assert_eq!(["1", "2", "3", "4", "5", "6"].map(of), [3, 3, 3, 3, 2, 2], "{left:?}");
}

#[test]
fn the_next_message_builds_on_the_newest_on_which_nothing_does_that_left() {
    let (mut alice, _) = nest();
    let heads = |alice: &mut Chat| {
        alice
            .transact(|work| {
                let conversation = work.cluster_conversation(work.find_cluster("nest")?.cluster)?;
                work.heads(conversation, 8)
            })
            .unwrap()
    };
    let id = |number: u16| [number.to_be_bytes(); 8].concat().try_into().unwrap();
    let put = |alice: &mut Chat, number: u16, parents: &[[u8; 16]]| {
        alice
            .transact(|work| {
                let conversation = work.cluster_conversation(work.find_cluster("nest")?.cluster)?;
                let new = NewRow { state: State::Stamping, ..NewRow::ours("said", NOW) };
                let new = NewRow { id: MessageId(id(number)), conversation, nonce: Some(id(number)), ..new };
                let id = work.insert(&new, NOW)?.unwrap();
                work.set_parents(&id, parents)?;
                work.show(&id)
            })
            .unwrap();
    };
    let fails = |alice: &mut Chat, number: u16| alice.transact(|work| work.advance(&MessageId(id(number)), State::Failed)).unwrap();
    let before = heads(&mut alice);
    put(&mut alice, 1, &before);
    put(&mut alice, 2, &[id(1)]);
    put(&mut alice, 3, &[id(1)]);
    for _ in 0..2 {
        assert_eq!(heads(&mut alice), [id(3), id(2)]);
    }
    fails(&mut alice, 3);
    assert_eq!(heads(&mut alice), [id(2)], "this one built on the first, too");
    fails(&mut alice, 2);
    assert_eq!(heads(&mut alice), [id(1)], "nothing that left builds on it any more");
    let newer = u16::try_from(HEADS_AMONG).unwrap() - 1;
    (4..4 + newer - 2).for_each(|number| put(&mut alice, number, &[id(number - 1)]));
    assert_eq!(heads(&mut alice), [id(newer + 1), id(1)]);
    put(&mut alice, newer + 2, &[id(newer + 1)]);
    assert_eq!(heads(&mut alice), [id(newer + 2)], "only among the newest");
}
