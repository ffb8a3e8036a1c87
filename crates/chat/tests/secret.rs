//! Secret votes, told as stories.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, let_in, mingle, nest, pass, swap};
use people::Person;
use samizdat_chat::{MotionRow, Phase, Proposal};
use samizdat_cluster::{Charter, MemberId, ids::rank, motion::Method, secret::TranscriptIn, tally::Outcome};

const HOUR_MS: u64 = 60 * 60 * 1000;
const OPTIONS: [&str; 2] = ["tea", "coffee"];

/// Alice asks something in secret; everybody hears of it, and there is a key if nobody is away.
fn asked(people: &mut [Person]) -> String {
    let motion = ask(&mut people[0]);
    make_key(people);
    motion
}

fn make_key(people: &mut [Person]) {
    mingle(people);
    mingle(people);
}

fn ask(person: &mut Person) -> String {
    let options = OPTIONS.map(str::to_owned);
    let question = Proposal::Question { text: "What?", options: &options, method: Method::Plurality };
    person.chat.open_secret_motion(NEST, &question, person.now).unwrap().1.to_string()
}

fn vote(person: &mut Person, motion: &str, option: &str) {
    person.chat.vote(motion, option, person.now).unwrap();
}

fn refused(person: &mut Person, motion: &str, option: &str) -> String {
    person.chat.vote(motion, option, person.now).unwrap_err().to_string()
}

fn shown(person: &mut Person, motion: &str) -> MotionRow {
    person.chat.motions(NEST).unwrap().into_iter().find(|row| row.motion == motion).unwrap()
}

fn phase(person: &mut Person, motion: &str) -> Phase {
    shown(person, motion).secret.unwrap().phase
}

fn counts(person: &mut Person, motion: &str) -> Vec<usize> {
    shown(person, motion).ballots.options.into_iter().map(|(_, count, _)| count).collect()
}

/// A number that the vault knows.
fn rows(person: &Person, sql: &str) -> i64 {
    person.chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn change(person: &Person, sql: &str) {
    assert!(person.chat.vault().conn().execute(sql, []).unwrap() > 0, "{sql}");
}

/// Who will hold the key of what is asked now: places among `people`, by rank.
fn trustees(people: &mut [Person]) -> Vec<usize> {
    let cluster = people[0].chat.cluster(NEST).unwrap();
    let sql = "SELECT context FROM cluster_state s JOIN cluster c ON s.cluster = c.cluster AND s.state = c.tip";
    let context: Vec<u8> = people[0].chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap();
    // An array of three, 1, and 32 bytes.
    let salt: [u8; 32] = context[4..36].try_into().unwrap();
    let mut members: Vec<MemberId> = cluster.members.iter().map(|member| member.member.parse().unwrap()).collect();
    members.sort_by_key(|member| rank(&salt, cluster.epoch, member));
    let ours: Vec<String> = people.iter_mut().map(|person| person.chat.cluster(NEST).unwrap().member).collect();
    let place = |member: &MemberId| ours.iter().position(|ours| *ours == member.to_string()).unwrap();
    members.iter().take(members.len() / 2 + 1).map(place).collect()
}

/// Keys are fresh so many times.
fn roll_over(people: &mut [Person], times: usize) {
    for _ in 0..times {
        pass(people, 24 * HOUR_MS);
        mingle(people);
    }
}

fn brief() -> Charter {
    Charter { motion_epochs: 2, ..charter() }
}

#[test]
fn three_vote_in_secret_and_all_see_who_voted_what_came_out_and_nothing_else() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let motion = ask(&mut people[0]);
    // Before there is a key a vote waits, and may be changed.
    vote(&mut people[0], &motion, "2");
    vote(&mut people[0], &motion, "1");
    let waits = shown(&mut people[0], &motion);
    assert_eq!((waits.ours.as_deref(), waits.secret.map(|vote| (vote.phase, vote.waits))), (Some("1"), Some((Phase::Key, true))));
    make_key(&mut people);
    let seen = shown(&mut people[2], &motion);
    assert_eq!((seen.state, seen.needed, seen.voters), (Outcome::Open, 2, 3));
    let secret = seen.secret.unwrap();
    assert_eq!((secret.phase, &secret.voted[..]), (Phase::Voting, &["alice".to_owned()][..]), "cast as soon as there was a key");
    assert_eq!(counts(&mut people[2], &motion), [0, 0]);
    vote(&mut people[1], &motion, "2");
    let again = refused(&mut people[1], &motion, "1");
    assert!(again.contains("you have voted"), "{again}");
    assert_eq!(shown(&mut people[1], &motion).ours.as_deref(), Some("secret"), "not even the own vault says how");
    vote(&mut people[2], &motion, "1");
    mingle(&mut people);
    for person in &mut people {
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.ours.as_deref()), (Outcome::Passed, Some("secret")));
        let secret = seen.secret.unwrap();
        assert_eq!((secret.phase, secret.voted.join(" "), secret.why), (Phase::Done, "alice bob carol".into(), None));
        let options: Vec<_> = seen.ballots.options.iter().map(|(option, count, place)| (option.as_str(), *count, *place)).collect();
        assert_eq!(options, [("tea", 2, 1), ("coffee", 1, 2)]);
        let audited = person.chat.audit_cluster(NEST).unwrap().decided;
        assert_eq!(audited.last().unwrap().what, ["answer What?: tea 2, coffee 1"]);
        assert_eq!(rows(person, "SELECT count(*) FROM cluster_vote WHERE seed IS NOT NULL OR choice IS NOT NULL"), 0);
        assert_eq!(
            rows(person, "SELECT count(*) FROM cluster_vote_share") + rows(person, "SELECT count(*) FROM cluster_vote_step"),
            0
        );
        assert_eq!(rows(person, "SELECT count(*) FROM cluster_ballot WHERE motion IN (SELECT motion FROM cluster_vote)"), 0);
    }
}

#[test]
fn what_cannot_be_asked_in_secret_is_refused_with_a_reason() {
    let mut people = nest(&charter(), &["alice", "bob"]);
    let (now, options) = (people[0].now, OPTIONS.map(str::to_owned));
    let question = |method| Proposal::Question { text: "What?", options: &options, method };
    let few = people[0].chat.open_secret_motion(NEST, &question(Method::Plurality), now).unwrap_err();
    assert!(few.to_string().contains("fewer than 3 voters"), "{few}");
    let ranked = people[0].chat.open_secret_motion(NEST, &question(Method::Preference), now).unwrap_err();
    assert!(ranked.to_string().contains("order of preference"), "{ranked}");
    assert!(people[0].chat.motions(NEST).unwrap().iter().all(|motion| motion.secret.is_none()), "nothing of it is left");

    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let motion = asked(&mut people);
    for wrong in ["yes", "3", "1,2"] {
        let why = refused(&mut people[1], &motion, wrong);
        assert!(why.contains("does not answer"), "{why}");
    }
    (1..4).for_each(|_| drop(ask(&mut people[0])));
    let now = people[0].now;
    let many = people[0].chat.open_secret_motion(NEST, &question(Method::Plurality), now).unwrap_err();
    assert!(many.to_string().contains("wait for one to end"), "{many}");
}

#[test]
fn what_not_all_voted_on_is_opened_some_time_after_its_end_unless_it_would_show_who_voted_how() {
    let mut people = nest(&brief(), &["alice", "bob", "carol", "dave", "erin", "frank"]);
    let few = ask(&mut people[1]);
    let motion = asked(&mut people);
    for (who, option) in [(0, "1"), (2, "2"), (4, "2"), (5, "2")] {
        vote(&mut people[who], &motion, option);
    }
    // Half of them do not decide.
    for who in [0, 2, 4] {
        vote(&mut people[who], &few, "1");
    }
    roll_over(&mut people, 3);
    let late = refused(&mut people[1], &motion, "1");
    assert!(late.contains("is over"), "{late}");
    people.iter_mut().for_each(|person| assert_eq!(phase(person, &motion), Phase::Voting, "ballots may be under way"));
    pass(&mut people, HOUR_MS);
    mingle(&mut people);
    for person in &mut people {
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.secret.unwrap().voted.join(" ")), (Outcome::Passed, "alice carol erin frank".into()));
        assert_eq!(counts(person, &motion), [1, 3]);
        let seen = shown(person, &few);
        let secret = seen.secret.unwrap();
        assert_eq!((seen.state, secret.phase, secret.voted.join(" ")), (Outcome::Failed, Phase::TooFew, "alice carol erin".into()));
        assert!(secret.why.unwrap().contains("than the charter needs, or so few that the result would show how"));
        assert_eq!(
            rows(person, "SELECT count(*) FROM cluster_vote_step") + rows(person, "SELECT count(*) FROM cluster_vote_share"),
            0
        );
    }
    // When the members of then are long forgotten, what came out is still there, and proven.
    roll_over(&mut people[..2], 4);
    assert_eq!((counts(&mut people[1], &motion), shown(&mut people[1], &motion).voters), (vec![1, 3], 6));
    assert!(people[1].chat.audit_cluster(NEST).unwrap().decided.iter().any(|step| step.what == ["answer What?: tea 1, coffee 3"]));
}

#[test]
fn without_enough_trustees_there_is_no_key_and_all_are_told_why() {
    let mut people = nest(&brief(), &["alice", "bob", "carol"]);
    let trustees = trustees(&mut people);
    let away = people.remove(trustees[1]);
    let motion = asked(&mut people);
    vote(&mut people[1], &motion, "1");
    roll_over(&mut people, 3);
    assert!(people.iter_mut().all(|person| phase(person, &motion) == Phase::Key));
    pass(&mut people, HOUR_MS);
    mingle(&mut people);
    for person in &mut people {
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.ours, phase(person, &motion)), (Outcome::Failed, None, Phase::NoKey));
        assert!(seen.secret.unwrap().why.unwrap().contains("too few trustees"));
    }
    drop(away);
}

#[test]
fn one_trustee_of_four_may_be_away() {
    let mut people = nest(&brief(), &["alice", "bob", "carol", "dave", "erin", "frank"]);
    let trustees = trustees(&mut people);
    let mut away = people.remove(trustees[3]);
    let motion = asked(&mut people);
    assert_eq!(phase(&mut people[0], &motion), Phase::Key, "others are waited for");
    roll_over(&mut people, 1);
    mingle(&mut people);
    assert!(people.iter_mut().all(|person| phase(person, &motion) == Phase::Voting));
    for (person, option) in people.iter_mut().zip(["1", "1", "2", "1", "2"]) {
        vote(person, &motion, option);
    }
    mingle(&mut people);
    // Who comes back can still vote, and then all have.
    away.now = people[0].now;
    people.push(away);
    mingle(&mut people);
    vote(&mut people[5], &motion, "2");
    mingle(&mut people);
    for person in &mut people {
        assert_eq!((phase(person, &motion), counts(person, &motion)), (Phase::Done, vec![3, 3]));
    }
}

#[test]
fn a_trustee_who_deals_badly_is_complained_of_and_left_out() {
    let mut people = nest(&charter(), &["alice", "bob", "carol", "dave", "erin", "frank"]);
    let trustees = trustees(&mut people);
    let (victim, mallory) = (trustees[0], trustees[2]);
    let motion = ask(&mut people[victim]);
    for _ in 0..2 {
        people.iter_mut().for_each(|person| drop(person.settle()));
        swap(&mut people);
    }
    let by = people[mallory].chat.cluster(NEST).unwrap().member.parse::<MemberId>().unwrap();
    let vault = people[victim].chat.vault().conn();
    let sql = "SELECT bytes FROM cluster_vote_share WHERE author = ?1";
    let mut share: Vec<u8> = vault.query_row(sql, [by.0], |row| row.get(0)).unwrap();
    let end = share.len() - 2;
    share[end] ^= 1;
    vault.execute("UPDATE cluster_vote_share SET bytes = ?2 WHERE author = ?1", (by.0, share)).unwrap();
    let sql = "SELECT dealing FROM cluster_vote_share WHERE author = ?1";
    let dealt: [u8; 32] = people[victim].chat.vault().conn().query_row(sql, [by.0], |row| row.get(0)).unwrap();
    make_key(&mut people);
    for person in &mut people {
        assert_eq!(phase(person, &motion), Phase::Voting);
        assert_eq!(rows(person, "SELECT count(*) FROM cluster_vote_step WHERE kind = 13"), 1, "one complains");
        let sql = "SELECT count(*) FROM cluster_vote_step WHERE kind = 17 AND instr(bytes, ?1) > 0";
        let with: i64 = person.chat.vault().conn().query_row(sql, [dealt], |row| row.get(0)).unwrap();
        assert_eq!((rows(person, "SELECT count(*) FROM cluster_vote_step WHERE kind = 17") > 0, with), (true, 0));
    }
    for (person, option) in people.iter_mut().zip(["1", "2", "2", "2", "2", "2"]) {
        vote(person, &motion, option);
    }
    mingle(&mut people);
    assert!(people.iter_mut().all(|person| counts(person, &motion) == [1, 5]));
}

#[test]
fn nobody_deals_twice_whatever_fails_in_between() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let first = trustees(&mut people)[0];
    let vault = people[first].chat.vault().conn();
    vault
        .execute_batch(
            "CREATE TEMP TRIGGER crash BEFORE UPDATE OF state ON cluster_vote_said BEGIN SELECT raise(ABORT, 'crash'); END",
        )
        .unwrap();
    let motion = asked(&mut people);
    let seeds = "SELECT count(*) FROM cluster_vote WHERE seed IS NOT NULL";
    assert_eq!(rows(&people[first], seeds) + rows(&people[first], "SELECT count(*) FROM cluster_vote_said"), 0, "all or nothing");
    people[first].chat.vault().conn().execute_batch("DROP TRIGGER crash").unwrap();
    vote(&mut people[first], &motion, "1");
    make_key(&mut people);
    assert_eq!(rows(&people[first], seeds), 1);
    // Said again, as after a fork, it is the same.
    change(&people[first], "UPDATE cluster_vote_said SET state = NULL");
    mingle(&mut people);
    for person in &mut people {
        assert_eq!(phase(person, &motion), Phase::Voting);
        assert_eq!(rows(person, "SELECT count(*) FROM cluster_vote_step WHERE kind = 12"), 2, "one dealing of each trustee");
    }
}

#[test]
fn a_result_that_somebody_made_up_is_found_by_the_audit() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let motion = asked(&mut people);
    for (person, option) in people.iter_mut().zip(["1", "2", "2"]) {
        vote(person, &motion, option);
    }
    mingle(&mut people);
    let vault = people[0].chat.vault().conn();
    let good: Vec<u8> = vault.query_row("SELECT transcript FROM cluster_vote", [], |row| row.get(0)).unwrap();
    assert!(people[0].chat.audit_cluster(NEST).is_ok());
    for at in [good.len() - 10, good.len() / 2, good.len() / 3, 300] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        people[0].chat.vault().conn().execute("UPDATE cluster_vote SET transcript = ?1", [forged]).unwrap();
        let found = people[0].chat.audit_cluster(NEST).unwrap_err().to_string();
        assert!(found.contains("is not proven") || found.contains("damaged"), "{found}");
    }
}

#[test]
fn an_audit_passes_over_a_vote_whose_motion_is_not_in_order_here() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let motion = asked(&mut people);
    people.iter_mut().for_each(|person| vote(person, &motion, "1"));
    mingle(&mut people);
    let answers = |person: &mut Person| {
        let audited = person.chat.audit_cluster(NEST).unwrap().decided;
        audited.iter().filter(|step| step.what == ["answer What?: tea 3, coffee 0"]).count()
    };
    assert_eq!(answers(&mut people[0]), 1);
    // The epoch and its members are known, and whoever moved it was none of them.
    let vault = people[0].chat.vault().conn();
    let mut told: Vec<u8> = vault.query_row("SELECT transcript FROM cluster_vote", [], |row| row.get(0)).unwrap();
    let proposer = TranscriptIn::decode(&told).unwrap().motion().claimed().proposer.0;
    let at = told.windows(32).position(|bytes| bytes == proposer).unwrap();
    told[at] ^= 1;
    let elsewhere = TranscriptIn::decode(&told).unwrap().motion().claimed().id().0;
    vault.execute("UPDATE cluster_vote SET motion = ?1, transcript = ?2", (elsewhere, told)).unwrap();
    assert_eq!(answers(&mut people[0]), 0, "the rest is audited");
}

/// Any member can hasten rollouts, and so the end by epochs.
#[test]
fn a_secret_vote_does_not_end_before_half_of_its_time_however_many_rollouts_there_were() {
    let mut people = nest(&brief(), &["alice", "bob", "carol"]);
    let motion = asked(&mut people);
    let (began, epoch) = (people[0].now.unix_ms, people[0].chat.cluster(NEST).unwrap().epoch);
    people[..2].iter_mut().for_each(|person| vote(person, &motion, "1"));
    for (name, seed) in ["dave", "erin", "frank"].iter().zip(10..) {
        let mut newcomer = Person::new(seed);
        newcomer.now = people[0].now;
        people.push(newcomer);
        let_in(&mut people, name);
    }
    let now = people[0].chat.cluster(NEST).unwrap().epoch;
    assert!(now > epoch + 2 && people[0].now.unix_ms < began + HOUR_MS, "{epoch} to {now}: more epochs than it has, in minutes");
    assert_eq!(phase(&mut people[2], &motion), Phase::Voting);
    pass(&mut people, 22 * HOUR_MS);
    mingle(&mut people);
    assert_eq!(phase(&mut people[2], &motion), Phase::Voting);
    pass(&mut people, 2 * HOUR_MS);
    mingle(&mut people);
    let late = refused(&mut people[2], &motion, "2");
    assert!(late.contains("the time to vote on this motion is over"), "{late}");
}

#[test]
fn who_was_out_during_a_vote_and_is_back_says_nothing_in_it() {
    let mut people = nest(&charter(), &["alice", "bob", "carol", "dave"]);
    let back = trustees(&mut people)[1];
    let asks = (back + 1) % people.len();
    let motion = ask(&mut people[asks]);
    people[asks].settle();
    swap(&mut people);
    // What is done to whoever is out.
    change(&people[back], "UPDATE cluster_vote SET seed = NULL, choice = NULL, silent = 1");
    make_key(&mut people);
    assert_eq!(rows(&people[back], "SELECT count(*) FROM cluster_vote_said"), 0, "no dealing, no share, no word");
    let why = refused(&mut people[back], &motion, "1");
    assert!(why.contains("you were out of the cluster during this vote"), "{why}");
}

#[test]
fn a_vote_goes_on_over_a_fork_and_those_who_leave_keep_nothing_of_it() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let motion = asked(&mut people);
    let state = |person: &mut Person| person.chat.cluster(NEST).unwrap().state;
    let (most, carol) = people.split_at_mut(2);
    for part in [most, carol] {
        pass(part, 24 * HOUR_MS);
        mingle(part);
        part.iter_mut().for_each(|person| vote(person, &motion, "2"));
        mingle(part);
    }
    assert_ne!(state(&mut people[0]), state(&mut people[2]), "each part went on by itself");
    assert_eq!(shown(&mut people[0], &motion).secret.unwrap().voted, ["alice", "bob"]);
    let other = ask(&mut people[2]);
    make_key(&mut people);
    assert_eq!(state(&mut people[0]), state(&mut people[2]));
    people.iter_mut().for_each(|person| assert_eq!(counts(person, &motion), [0, 3]));

    vote(&mut people[0], &other, "1");
    let now = people[0].now;
    people[0].chat.leave_cluster(NEST, now).unwrap();
    assert_eq!(rows(&people[0], "SELECT count(*) FROM cluster_vote WHERE seed IS NOT NULL OR choice IS NOT NULL"), 0);
    for table in ["cluster_vote_step", "cluster_vote_share", "cluster_vote_said"] {
        assert_eq!(rows(&people[0], &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}

#[test]
fn who_may_vote_stays_as_it_was_whoever_comes_and_goes() {
    let mut people = nest(&charter(), &["alice", "bob", "carol", "dave"]);
    let trustees = trustees(&mut people);
    let leaves = (0..4).find(|place| !trustees.contains(place)).unwrap();
    let motion = ask(&mut people[trustees[0]]);
    make_key(&mut people);
    people.iter_mut().for_each(|person| assert_eq!(phase(person, &motion), Phase::Voting));
    vote(&mut people[leaves], &motion, "2");
    mingle(&mut people);
    let (now, gone) = (people[0].now, people[leaves].chat.cluster(NEST).unwrap().member);
    people[trustees[0]].chat.open_motion(NEST, &Proposal::Expel(&gone), now).unwrap();
    mingle(&mut people);
    vote_all_open(&mut people);
    mingle(&mut people);
    people.remove(leaves);
    assert_eq!(people[0].chat.cluster(NEST).unwrap().members.len(), 3);
    let mut frank = Person::new(9);
    frank.now = people[0].now;
    people.push(frank);
    let_in(&mut people, "frank");
    assert!(people[3].chat.vote(&motion, "1", now).is_err(), "who came later does not vote");
    for person in &mut people[..3] {
        if shown(person, &motion).ours.is_none() {
            vote(person, &motion, "1");
        }
    }
    mingle(&mut people);
    for person in &mut people[..3] {
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.voters, counts(person, &motion)), (Outcome::Passed, 4, vec![3, 1]));
        assert!(person.chat.audit_cluster(NEST).is_ok());
    }
}

/// Everybody says yes to the decisions that are open.
fn vote_all_open(people: &mut [Person]) {
    for person in people {
        for motion in person.chat.motions(NEST).unwrap() {
            if motion.kind == "expel" && motion.ours.is_none() {
                let _ = person.chat.vote(&motion.motion, "yes", person.now);
            }
        }
    }
}
