//! Clusters, told as stories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]

mod nest;
mod people;

use people::{LIFETIME, Person, carry};
use samizdat_chat::{Filter, Proposal, Standing};
use samizdat_cluster::{
    Charter,
    charter::{History, Quorum},
    minutes::MinutesIn,
    tally::Outcome,
};
use samizdat_core::Envelope;

const NEST: &str = "nest";

/// Everybody learns what everybody has, and what is said to that. A minute and a half passes.
fn mingle(people: &mut [&mut Person]) {
    let all: Vec<_> = people.iter().map(|person| person.envelopes()).collect();
    hand_out(people, &all);
    for _ in 0..6 {
        let mut made = Vec::new();
        for person in people.iter_mut() {
            person.now.unix_ms += 15_000;
            person.now.mono_ms += 15_000;
            let ids = person.settle();
            made.push(ids.iter().map(|id| person.log.find(id).unwrap().unwrap().envelope().unwrap()).collect());
        }
        hand_out(people, &made);
    }
}

fn hand_out(people: &mut [&mut Person], envelopes: &[Vec<Envelope>]) {
    for (from, envelopes) in envelopes.iter().enumerate() {
        for (_, person) in people.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            envelopes.iter().for_each(|envelope| person.receive(envelope));
        }
    }
}

/// Alice founded it, the others were let in one after the other, by everybody's yes.
fn nest(names: &[&str]) -> Vec<Person> {
    nest_under(&Charter::new(NEST).unwrap(), names)
}

fn nest_under(charter: &Charter, names: &[&str]) -> Vec<Person> {
    nest::nest(charter, names)
}

fn all(people: &mut [Person]) {
    mingle(&mut people.iter_mut().collect::<Vec<_>>());
}

/// Everybody votes on whatever is open and not theirs to leave.
fn vote_all(people: &mut [Person], what: &str) {
    for person in people {
        let Ok(motions) = person.chat.motions(NEST) else { continue };
        for motion in motions.iter().filter(|motion| motion.state == Outcome::Open && motion.ours.is_none()) {
            let _ = person.chat.vote(&motion.motion, what, person.now);
        }
    }
}

fn state(person: &mut Person) -> Option<String> {
    person.chat.cluster(NEST).unwrap().state
}

fn agree(people: &mut [Person]) {
    let first = state(&mut people[0]);
    assert!(first.is_some());
    people.iter_mut().for_each(|person| assert_eq!(state(person), first));
}

fn nicks(person: &mut Person) -> Vec<String> {
    person.chat.cluster(NEST).unwrap().members.into_iter().map(|member| member.nick).collect()
}

#[test]
fn bob_is_let_in_by_a_link_and_both_talk() {
    let mut people = nest(&["alice", "bob"]);
    agree(&mut people);
    assert_eq!(nicks(&mut people[1]), ["alice", "bob"]);
    let (now, later) = (people[0].now, people[1].now);
    people[0].chat.write_in_cluster(NEST, "welcome", LIFETIME, now).unwrap();
    all(&mut people);
    people[1].chat.write_in_cluster(NEST, "thanks", LIFETIME, later).unwrap();
    all(&mut people);
    for person in &people {
        assert_eq!(person.texts(), ["welcome", "thanks"]);
    }
    for person in &mut people {
        let audit = person.chat.audit_cluster(NEST).unwrap();
        assert_eq!((audit.since, audit.decided.len()), (None, 1), "whoever came later knows it, too");
    }
}

#[test]
fn four_vote_and_the_expelled_is_out_while_the_others_go_on() {
    let mut people = nest(&["alice", "bob", "carol", "dave"]);
    agree(&mut people);
    let now = people[0].now;
    let (_, motion) = people[0].chat.open_motion(NEST, &Proposal::Expel("dave"), now).unwrap();
    all(&mut people);
    let refused = people[3].chat.vote(&motion.to_string(), "no", now).unwrap_err();
    assert!(refused.to_string().contains("nobody in their own case"), "{refused}");
    assert_eq!(nicks(&mut people[1]).len(), 4, "one of three is no majority");
    people[1].chat.vote(&motion.to_string(), "yes", now).unwrap();
    all(&mut people);
    assert_eq!(people[3].chat.cluster(NEST).unwrap().standing, Standing::Removed);
    let mut rest: Vec<Person> = people.drain(..3).collect();
    agree(&mut rest);
    assert_eq!(nicks(&mut rest[2]), ["alice", "bob", "carol"]);
    rest[2].chat.write_in_cluster(NEST, "among us", LIFETIME, now).unwrap();
    all(&mut rest);
    carry(&rest[0], &mut people[0]);
    assert_eq!(rest[1].texts(), ["among us"]);
    assert!(people[0].texts().is_empty());
    rest.iter_mut().for_each(|person| {
        person.chat.audit_cluster(NEST).unwrap();
    });
}

#[test]
fn a_tie_keeps_things_as_they_are() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let now = people[0].now;
    let (_, motion) = people[0].chat.open_motion(NEST, &Proposal::Expel("carol"), now).unwrap();
    all(&mut people);
    people[1].chat.vote(&motion.to_string(), "no", now).unwrap();
    all(&mut people);
    assert_eq!(nicks(&mut people[0]).len(), 3);
    assert_eq!(people[2].chat.motions(NEST).unwrap().last().unwrap().state, Outcome::Failed);
}

#[test]
fn the_rules_change_by_a_motion_only() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let now = people[0].now;
    let charter = Charter { quorum: Quorum::TwoThirds, cap: 3, ..Charter::new(NEST).unwrap() };
    people[0].chat.open_motion(NEST, &Proposal::Charter(charter.clone()), now).unwrap();
    all(&mut people);
    let motion = people[1].chat.motions(NEST).unwrap().last().unwrap().motion.clone();
    people[1].chat.vote(&motion, "yes", now).unwrap();
    all(&mut people);
    agree(&mut people);
    assert_eq!(people[2].chat.cluster(NEST).unwrap().charter, Some(charter));
}

/// Once nobody could carry it out, and whoever tried did nothing else any more (seed 159 of the simulation).
#[test]
fn a_motion_for_the_rules_as_they_are_keeps_nobody_from_going_on() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let (now, before) = (people[0].now, people[0].chat.cluster(NEST).unwrap().epoch);
    people[0].chat.open_motion(NEST, &Proposal::Charter(Charter::new(NEST).unwrap()), now).unwrap();
    all(&mut people);
    vote_all(&mut people, "yes");
    all(&mut people);
    agree(&mut people);
    assert_eq!(people[2].chat.cluster(NEST).unwrap().epoch, before + 1);
    people.iter_mut().for_each(|person| {
        let decided = person.chat.audit_cluster(NEST).unwrap().decided;
        assert_eq!(decided.last().unwrap().what, ["charter nest"]);
    });
}

#[test]
fn who_leaves_is_gone_at_once_and_the_others_take_note() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let now = people[1].now;
    people[1].chat.leave_cluster(NEST, now).unwrap();
    assert_eq!(people[1].chat.cluster(NEST).unwrap().standing, Standing::Left);
    all(&mut people);
    assert_eq!(nicks(&mut people[0]), ["alice", "carol"]);
    assert_eq!(state(&mut people[0]), state(&mut people[2]));
    people[0].chat.audit_cluster(NEST).unwrap();
}

#[test]
fn two_halves_that_decided_apart_agree_again_and_nothing_is_lost() {
    let mut people = nest(&["alice", "bob", "carol", "dave", "erin"]);
    agree(&mut people);
    // A day later the keys are due; each half refreshes them and talks.
    people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
    let mut right: Vec<Person> = people.drain(2..).collect();
    for half in [&mut people, &mut right] {
        all(half);
        for person in half.iter_mut() {
            let (now, nick) = (person.now, person.chat.cluster(NEST).unwrap().nick);
            person.chat.write_in_cluster(NEST, &format!("{nick} is here"), LIFETIME, now).unwrap();
        }
        all(half);
    }
    assert_ne!(state(&mut people[0]), state(&mut right[0]));
    people.append(&mut right);
    all(&mut people);
    agree(&mut people);
    for person in &people {
        let mut texts = person.texts();
        texts.sort();
        assert_eq!(texts, ["alice is here", "bob is here", "carol is here", "dave is here", "erin is here"]);
    }
}

#[test]
fn who_was_away_for_too_long_is_let_back_in_and_what_they_said_is_read() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let mut carol = people.pop().unwrap();
    let member = carol.chat.cluster(NEST).unwrap().member;
    for _ in 0..10 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
        all(&mut people);
    }
    carol.now = people[0].now;
    carol.chat.write_in_cluster(NEST, "anybody?", LIFETIME, carol.now).unwrap();
    // Nothing that tells her where the others went has been kept anywhere.
    let old: usize = people[0].envelopes().len();
    let wait = |carol: &mut Person, people: &mut [Person]| {
        carol.now.unix_ms += 20 * 60 * 1000;
        carol.settle();
        for person in people.iter_mut() {
            person.now.unix_ms = carol.now.unix_ms;
            carry(carol, person);
        }
        all(people);
        let fresh: Vec<_> = people[0].envelopes().split_off(old);
        fresh.iter().for_each(|envelope| carol.receive(envelope));
    };
    for _ in 0..4 {
        wait(&mut carol, &mut people);
    }
    people.push(carol);
    agree(&mut people);
    assert_eq!(people[2].chat.cluster(NEST).unwrap().member, member, "she is who she was");
    all(&mut people);
    assert_eq!(people[0].texts(), ["anybody?"]);
    let now = people[0].now;
    people[0].chat.write_in_cluster(NEST, "welcome back", LIFETIME, now).unwrap();
    all(&mut people);
    assert_eq!(people[2].texts(), ["anybody?", "welcome back"]);
}

/// Once whoever saw how the others exchanged it for itself took that for an expulsion.
#[test]
fn who_asked_to_return_without_need_stays_a_member() {
    let mut people = nest(&["alice", "bob", "carol"]);
    people.iter_mut().for_each(|person| person.now.unix_ms += 40 * 24 * 3_600_000);
    for _ in 0..4 {
        people[2].now.unix_ms += 20 * 60 * 1000;
        people[2].settle();
    }
    let asked = people[2].now.unix_ms;
    for _ in 0..4 {
        people.iter_mut().for_each(|person| person.now.unix_ms = person.now.unix_ms.max(asked) + 20 * 60 * 1000);
        all(&mut people);
    }
    agree(&mut people);
    assert_eq!(people[2].chat.cluster(NEST).unwrap().standing, Standing::Member);
    let told = people[0].chat.audit_cluster(NEST).unwrap().decided;
    assert!(told.iter().all(|decided| decided.what != ["comeback carol"]), "{told:?}");
    let now = people[2].now;
    people[2].chat.write_in_cluster(NEST, "still here", LIFETIME, now).unwrap();
    all(&mut people);
    people.iter().for_each(|person| assert_eq!(person.texts(), ["still here"]));
}

/// Once who was let in on a branch that all others left went on alone for ever: nothing had put it out where they were.
#[test]
fn who_was_let_in_where_nobody_went_on_is_told_by_most_whom_it_knows() {
    let charter = Charter { silent_epochs: 60, ..Charter::new(NEST).unwrap() };
    let mut people = nest_under(&charter, &["alice", "bob", "carol", "erin"]);
    let mut dave = Person::new(9);
    let now = people[0].now;
    dave.now = now;
    let link = people[0].chat.invite_to_cluster(NEST, "", 7, now).unwrap();
    dave.chat.join_cluster(&link, "dave", "hello", dave.now).unwrap();
    dave.settle();
    people.iter_mut().for_each(|person| carry(&dave, person));
    all(&mut people);
    // Three of four want it, of which the third is Carol, who lets him in and goes away.
    vote_all(&mut people[..2], "yes");
    all(&mut people);
    let mut away = people.remove(2);
    vote_all(std::slice::from_mut(&mut away), "yes");
    mingle(&mut [&mut away, &mut dave]);
    assert_eq!(nicks(&mut dave), ["alice", "bob", "carol", "dave", "erin"]);
    for _ in 0..14 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
        all(&mut people);
    }
    assert_eq!(nicks(&mut people[0]), ["alice", "bob", "carol", "erin"], "too late to let him in");
    people.insert(2, away);
    people.push(dave);
    let later = people[1].now.unix_ms;
    let told = (1..8).any(|round| {
        people.iter_mut().for_each(|person| person.now.unix_ms = later + round * 20 * 60 * 1000);
        all(&mut people);
        people[4].chat.cluster(NEST).unwrap().standing == Standing::Removed
    });
    assert!(told);
    agree(&mut people[..4]);
    // He may ask again, and is asked about as anybody is.
    assert!(people[1].chat.cluster_requests(NEST).unwrap().iter().any(|request| request.nick == "dave"));
}

#[test]
fn where_nobody_votes_by_itself_people_see_who_is_silent_and_move() {
    let charter = Charter { silent_epochs: 3, automatic_ballots: false, ..Charter::new(NEST).unwrap() };
    let mut people = nest_under(&charter, &["alice", "bob", "carol"]);
    agree(&mut people);
    people.pop();
    let silent = |person: &mut Person| -> Vec<String> {
        let members = person.chat.cluster(NEST).unwrap().members;
        members.into_iter().filter(|member| member.silent).map(|member| member.nick).collect()
    };
    assert!(silent(&mut people[0]).is_empty());
    for _ in 0..6 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
        all(&mut people);
    }
    people.iter_mut().for_each(|person| assert_eq!(silent(person), ["carol"]));
    assert_eq!(nicks(&mut people[0]), ["alice", "bob", "carol"], "nobody has moved");
    let now = people[0].now;
    people[0].chat.open_motion(NEST, &Proposal::Silent(&["carol".into()]), now).unwrap();
    all(&mut people);
    vote_all(&mut people, "yes");
    all(&mut people);
    people.iter_mut().for_each(|person| assert_eq!(nicks(person), ["alice", "bob"]));
}

#[test]
fn the_silent_are_dropped_by_themselves_and_may_ask_again() {
    let mut people = nest_under(&Charter { silent_epochs: 3, ..Charter::new(NEST).unwrap() }, &["alice", "bob", "carol"]);
    agree(&mut people);
    let mut carol = people.pop().unwrap();
    let member = carol.chat.cluster(NEST).unwrap().member;
    for _ in 0..6 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
        all(&mut people);
    }
    assert_eq!(nicks(&mut people[0]), ["alice", "bob"]);
    let dropped = people[1].chat.motions(NEST).unwrap().into_iter().find(|motion| motion.kind == "silent").unwrap();
    assert_eq!((dropped.subject.as_str(), dropped.state, dropped.ballots.yes.len()), ("carol", Outcome::Passed, 2));
    people[0].chat.audit_cluster(NEST).unwrap();
    // She heard nobody either, asks to be let back in, and is asked about as anybody is.
    carol.now = people[0].now;
    for _ in 0..4 {
        carol.now.unix_ms += 20 * 60 * 1000;
        carol.settle();
    }
    people.iter_mut().for_each(|person| person.now.unix_ms = carol.now.unix_ms);
    let known = people[0].envelopes().len();
    people.iter_mut().for_each(|person| carry(&carol, person));
    all(&mut people);
    assert_eq!(people[0].chat.cluster_requests(NEST).unwrap()[0].nick, "carol");
    let now = people[0].now;
    people[0].chat.open_motion(NEST, &Proposal::Admit("carol"), now).unwrap();
    all(&mut people);
    vote_all(&mut people, "yes");
    all(&mut people);
    people[0].envelopes().split_off(known).iter().for_each(|envelope| carol.receive(envelope));
    people.push(carol);
    all(&mut people);
    agree(&mut people);
    assert_eq!(people[2].chat.cluster(NEST).unwrap().member, member, "she is who she was");
    assert_eq!(people[2].chat.cluster(NEST).unwrap().standing, Standing::Member);
}

/// Nothing of what was said meanwhile reaches her: it has expired everywhere.
#[test]
fn who_is_back_after_a_year_is_let_back_in() {
    let mut people = nest_under(&Charter { silent_epochs: 0, ..Charter::new(NEST).unwrap() }, &["alice", "bob", "carol"]);
    let mut carol = people.pop().unwrap();
    for days in [2, 2, 360, 2] {
        people.iter_mut().for_each(|person| person.now.unix_ms += days * 24 * 3_600_000);
        all(&mut people);
    }
    carol.now = people[0].now;
    for _ in 0..4 {
        carol.now.unix_ms += 20 * 60 * 1000;
        carol.settle();
    }
    people.iter_mut().for_each(|person| person.now.unix_ms = carol.now.unix_ms);
    let known = people[0].envelopes().len();
    people.iter_mut().for_each(|person| carry(&carol, person));
    for _ in 0..2 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 20 * 60 * 1000);
        all(&mut people);
    }
    carol.now.unix_ms = people[0].now.unix_ms;
    people[0].envelopes().split_off(known).iter().for_each(|envelope| carol.receive(envelope));
    people.push(carol);
    (0..2).for_each(|_| all(&mut people));
    agree(&mut people);
    let now = people[2].now;
    people[2].chat.write_in_cluster(NEST, "a year!", LIFETIME, now).unwrap();
    all(&mut people);
    people[..2].iter().for_each(|person| assert_eq!(person.texts(), ["a year!"]));
    people.iter_mut().for_each(|person| assert_eq!(person.chat.audit_cluster(NEST).unwrap().since, None));
}

/// Once nobody could verify what was decided before they came.
#[test]
fn who_comes_late_and_who_comes_back_verify_all_since_the_founding() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let now = people[0].now;
    let (_, motion) = people[0].chat.open_motion(NEST, &Proposal::Expel("carol"), now).unwrap();
    all(&mut people);
    people[1].chat.vote(&motion.to_string(), "yes", now).unwrap();
    all(&mut people);
    people.pop();
    let mut dave = Person::new(4);
    dave.now = people[0].now;
    people.push(dave);
    nest::let_in(&mut people, "dave");
    let known = vec![vec!["admit bob"], vec!["admit carol"], vec!["expel carol"], vec!["admit dave"]];
    let told = |person: &mut Person| {
        let audit = person.chat.audit_cluster(NEST).unwrap();
        assert_eq!(audit.since, None);
        audit.decided.into_iter().map(|step| step.what).collect::<Vec<_>>()
    };
    people.iter_mut().for_each(|person| assert_eq!(told(person), known));
    let conn = people[2].chat.vault().conn();
    let handed: Vec<u8> = conn.query_row("SELECT bytes FROM cluster_decision WHERE parent IS NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(MinutesIn::decode(&handed).unwrap().kept().decisions().len(), 4);
    conn.execute("UPDATE cluster_decision SET bytes = ?1 WHERE parent IS NULL", [&handed[..handed.len() - 1]]).unwrap();
    let damaged = people[2].chat.audit_cluster(NEST).unwrap_err();
    assert!(damaged.to_string().contains("damaged"), "{damaged}");
}

/// One byte of what a decision rested on, wherever it is, or of what was true before.
#[test]
fn a_history_that_was_changed_is_found_by_the_audit() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let conn = people[0].chat.vault().conn();
    // Not what was decided on a branch that was left.
    let sql = "WITH RECURSIVE line(state, parent, bytes) AS (
        SELECT d.state, d.parent, d.bytes FROM cluster_decision d JOIN cluster c ON c.cluster = d.cluster AND c.tip = d.state
        UNION ALL SELECT d.state, d.parent, d.bytes FROM cluster_decision d JOIN line ON d.state = line.parent)
        SELECT state, bytes FROM line";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
    drop(statement);
    assert!(people[0].chat.audit_cluster(NEST).is_ok() && rows.len() >= 3);
    let put = |person: &Person, state: &[u8; 16], bytes: &[u8]| {
        let sql = "UPDATE cluster_decision SET bytes = ?2 WHERE state = ?1";
        assert_eq!(person.chat.vault().conn().execute(sql, (state, bytes)).unwrap(), 1);
    };
    for (state, bytes) in rows.iter().filter(|(_, bytes)| bytes.len() > 100) {
        for at in [bytes.len() / 4, bytes.len() / 2, bytes.len() - 20] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            put(&people[0], state, &changed);
            assert!(people[0].chat.audit_cluster(NEST).is_err(), "byte {at} of {}", bytes.len());
        }
        put(&people[0], state, bytes);
    }
    assert!(people[0].chat.audit_cluster(NEST).is_ok());
}

/// Any member can change its keys as often as it likes, and each newcomer is an epoch.
#[test]
fn nobody_is_silent_because_rollouts_were_hastened() {
    let mut people = nest_under(&Charter { silent_epochs: 3, ..Charter::new(NEST).unwrap() }, &["alice", "bob", "carol"]);
    let mut carol = people.pop().unwrap();
    let epoch = people[0].chat.cluster(NEST).unwrap().epoch;
    for (seed, name) in (20..).zip(["dave", "erin", "frank", "gina", "hans"]) {
        let now = people[0].now;
        let link = people[0].chat.invite_to_cluster(NEST, "", 7, now);
        let link = link.unwrap_or_else(|_| people[1].chat.invite_to_cluster(NEST, "", 7, now).unwrap());
        let mut newcomer = Person::new(seed);
        newcomer.now = now;
        newcomer.chat.join_cluster(&link, name, "", now).unwrap();
        people.push(newcomer);
        all(&mut people);
        vote_all(&mut people, "yes");
        (0..2).for_each(|_| all(&mut people));
    }
    assert!(people[0].chat.cluster(NEST).unwrap().epoch >= epoch + 5, "in less than an hour");
    let members = people[0].chat.cluster(NEST).unwrap().members;
    assert!(members.iter().any(|member| member.nick == "carol" && !member.silent), "{members:?}");
    assert!(people[0].chat.motions(NEST).unwrap().iter().all(|motion| motion.kind != "silent"));
    carol.now = people[0].now;
    people.push(carol);
    (0..2).for_each(|_| all(&mut people));
    assert_eq!(people[7].chat.cluster(NEST).unwrap().standing, Standing::Member);
}

/// The lowest id is among those who are gone: the others ask in vain to be let back in, and go on all the same.
#[test]
fn half_of_the_members_may_be_gone_for_ever() {
    let rules = Charter { silent_epochs: 10, ..Charter::new(NEST).unwrap() };
    let mut people = nest_under(&rules, &["alice", "bob", "carol", "dave"]);
    agree(&mut people);
    people.sort_by_key(|person| {
        person.chat.vault().conn().query_row("SELECT member FROM cluster", [], |row| row.get::<_, [u8; 32]>(0)).unwrap()
    });
    let gone: Vec<Person> = people.drain(..2).collect();
    let epoch = people[0].chat.cluster(NEST).unwrap().epoch;
    for day in 0..8 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
        let now = people[0].now;
        people[day % 2].chat.write_in_cluster(NEST, &format!("day {day}"), LIFETIME, now).unwrap();
        all(&mut people);
    }
    assert!(people[0].chat.cluster(NEST).unwrap().epoch >= epoch + 7, "keys change");
    people.iter().for_each(|person| assert_eq!(person.texts().len(), 8));
    assert_eq!(nicks(&mut people[0]).len(), 4);
    // A question needs most of those who may vote, and a newcomer, too; once the others were dropped, two are enough.
    for _ in 0..6 {
        people.iter_mut().for_each(|person| person.now.unix_ms += 25 * 3_600_000);
        all(&mut people);
    }
    people.iter_mut().for_each(|person| assert_eq!(nicks(person).len(), 2));
    let mut erin = Person::new(30);
    erin.now = people[0].now;
    let link = people[1].chat.invite_to_cluster(NEST, "", 7, erin.now).unwrap();
    erin.chat.join_cluster(&link, "erin", "", erin.now).unwrap();
    people.push(erin);
    all(&mut people);
    vote_all(&mut people, "yes");
    (0..2).for_each(|_| all(&mut people));
    agree(&mut people);
    people.iter_mut().for_each(|person| assert_eq!(person.chat.audit_cluster(NEST).unwrap().since, None));
    drop(gone);
}

#[test]
fn who_says_who_they_are_is_known_to_those_who_come_later_and_nobody_else_is() {
    let mut people = nest(&["alice", "bob"]);
    let name = people[1].name().parse::<samizdat_core::Name>().unwrap().compact();
    let now = people[1].now;
    people[1].chat.claim_in_cluster(NEST, now).unwrap();
    all(&mut people);
    let names = |person: &mut Person| -> Vec<(String, Option<String>)> {
        person.chat.cluster(NEST).unwrap().members.into_iter().map(|member| (member.nick, member.name)).collect()
    };
    let told = [("alice".to_owned(), None), ("bob".to_owned(), Some(name.clone()))];
    people.iter_mut().for_each(|person| assert_eq!(names(person), told));
    let now = people[0].now;
    let link = people[0].chat.invite_to_cluster(NEST, "", 7, now).unwrap();
    let mut carol = Person::new(3);
    carol.now = now;
    carol.chat.join_cluster(&link, "carol", "", now).unwrap();
    people.push(carol);
    all(&mut people);
    vote_all(&mut people, "yes");
    (0..2).for_each(|_| all(&mut people));
    assert_eq!(names(&mut people[2])[..2], told);
}

#[test]
fn a_newcomer_is_told_what_the_charter_gives_and_by_whom() {
    for (history, told) in
        [(History::None, vec![]), (History::Last(2), vec!["two", "three"]), (History::All, vec!["one", "two", "three"])]
    {
        let mut people = vec![Person::new(1)];
        let now = people[0].now;
        people[0].chat.found_cluster(&Charter { history, ..Charter::new(NEST).unwrap() }, "alice", now).unwrap();
        for text in ["one", "two", "three"] {
            people[0].now.unix_ms += 60_000;
            let now = people[0].now;
            people[0].chat.write_in_cluster(NEST, text, LIFETIME, now).unwrap();
            people[0].settle();
        }
        let now = people[0].now;
        let link = people[0].chat.invite_to_cluster(NEST, "", 7, now).unwrap();
        let mut bob = Person::new(2);
        bob.now = now;
        bob.chat.join_cluster(&link, "bob", "", now).unwrap();
        people.push(bob);
        (0..3).for_each(|_| all(&mut people));
        agree(&mut people);
        let now = people[0].now;
        people[0].chat.write_in_cluster(NEST, "welcome @bob", LIFETIME, now).unwrap();
        all(&mut people);
        let read = people[1].chat.messages(&Filter::default()).unwrap();
        let texts: Vec<&str> = read.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, [&told[..], &["welcome @bob"]].concat(), "{history:?}");
        let by: Vec<_> =
            read.iter().map(|message| (message.petname.as_deref(), message.vouched.as_deref(), message.calls)).collect();
        let (last, earlier) = by.split_last().unwrap();
        assert_eq!(*last, (Some("alice"), None, true));
        assert!(earlier.iter().all(|told| *told == (Some("alice"), Some("alice"), false)), "{by:?}");
    }
}

#[test]
fn nobody_votes_twice_and_an_outsider_learns_nothing_from_what_is_stored() {
    let mut people = nest(&["alice", "bob", "carol"]);
    let now = people[0].now;
    let (_, motion) = people[0].chat.open_motion(NEST, &Proposal::Expel("carol"), now).unwrap();
    let again = people[0].chat.vote(&motion.to_string(), "no", now).unwrap_err();
    assert!(again.to_string().contains("you have voted"), "{again}");
    let mut mallory = Person::new(9);
    people.iter().for_each(|person| carry(person, &mut mallory));
    assert!(mallory.chat.clusters().unwrap().is_empty() && mallory.texts().is_empty());
    for envelope in people[0].envelopes() {
        for word in [&b"alice"[..], b"carol", NEST.as_bytes()] {
            assert!(!envelope.bytes().windows(word.len()).any(|window| window == word));
        }
    }
}
