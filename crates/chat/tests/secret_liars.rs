//! Secret votes in which somebody says two things, or says something when it is too late for all to hear of it: everybody comes to the
//! same, whatever came first.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, mingle, nest, pass, swap};
use people::Person;
use samizdat_chat::{Phase, Proposal};
use samizdat_cluster::{Charter, MemberId, ids::rank, motion::Method, tally::Outcome};
use samizdat_core::Envelope;

const HOUR_MS: u64 = 60 * 60 * 1000;
const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "mallory"];

fn six() -> Vec<Person> {
    nest(&Charter { motion_epochs: 2, ..charter() }, &NAMES)
}

fn ask(person: &mut Person) -> String {
    let options = ["tea", "coffee"].map(str::to_owned);
    let question = Proposal::Question { text: "What?", options: &options, method: Method::Plurality };
    person.chat.open_secret_motion(NEST, &question, person.now).unwrap().1.to_string()
}

/// There is a key.
fn asked(people: &mut [Person]) -> String {
    let motion = ask(&mut people[0]);
    mingle(people);
    mingle(people);
    assert!(people.iter_mut().all(|person| phase(person, &motion) == Phase::Voting));
    motion
}

fn phase(person: &mut Person, motion: &str) -> Phase {
    person.chat.motions(NEST).unwrap().into_iter().find(|row| row.motion == motion).unwrap().secret.unwrap().phase
}

/// State, counts, who voted twice, and whose ballots were not counted.
fn result(person: &mut Person, motion: &str) -> (Outcome, Vec<usize>, Vec<String>, Vec<String>) {
    let row = person.chat.motions(NEST).unwrap().into_iter().find(|row| row.motion == motion).unwrap();
    let counts = row.ballots.options.into_iter().map(|(_, count, _)| count).collect();
    (row.state, counts, row.ballots.cheated, row.secret.unwrap().left_out)
}

fn vote(person: &mut Person, motion: &str, option: &str) {
    person.chat.vote(motion, option, person.now).unwrap();
}

fn run(person: &Person, sql: &str) {
    person.chat.vault().conn().execute_batch(sql).unwrap();
}

/// What somebody says now.
fn said(person: &mut Person) -> Vec<Envelope> {
    let ids = person.settle();
    ids.iter().map(|id| person.log.find(id).unwrap().unwrap().envelope().unwrap()).collect()
}

/// As many ballots as options; her program forgets that she has voted.
fn ballots(mallory: &mut Person, motion: &str, options: &[&str]) -> Vec<Vec<Envelope>> {
    let forget = "DELETE FROM cluster_vote_step WHERE kind = 15 AND author = (SELECT member FROM cluster);
                  UPDATE cluster_vote SET phase = 1, full = 0";
    let one = |option: &&str| {
        run(mallory, forget);
        vote(mallory, motion, option);
        said(mallory)
    };
    options.iter().map(one).collect()
}

fn hear(person: &mut Person, envelopes: &[Envelope]) {
    envelopes.iter().for_each(|envelope| person.receive(envelope));
}

/// Who will hold the key of what is asked now: places among `people`, by rank.
fn trustees(people: &mut [Person]) -> Vec<usize> {
    let cluster = people[0].chat.cluster(NEST).unwrap();
    let sql = "SELECT context FROM cluster_state s JOIN cluster c ON s.cluster = c.cluster AND s.state = c.tip";
    let context: Vec<u8> = people[0].chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap();
    let salt: [u8; 32] = context[4..36].try_into().unwrap();
    let mut members: Vec<MemberId> = cluster.members.iter().map(|member| member.member.parse().unwrap()).collect();
    members.sort_by_key(|member| rank(&salt, cluster.epoch, member));
    let ours: Vec<String> = people.iter_mut().map(|person| person.chat.cluster(NEST).unwrap().member).collect();
    let place = |member: &MemberId| ours.iter().position(|ours| *ours == member.to_string()).unwrap();
    members.iter().take(members.len() / 2 + 1).map(place).collect()
}

/// Some hear one ballot of hers first, the others another, when everybody else has voted.
#[test]
fn two_ballots_at_once_do_not_keep_a_vote_from_being_opened() {
    for first in [[0, 1], [1, 3]] {
        let mut people = six();
        let motion = asked(&mut people);
        people[..5].iter_mut().for_each(|person| vote(person, &motion, "1"));
        mingle(&mut people);
        let made = ballots(&mut people[5], &motion, &["1", "2"]);
        for (place, person) in people[..5].iter_mut().enumerate() {
            hear(person, &made[usize::from(first.contains(&place))]);
            person.settle();
        }
        (0..4).for_each(|_| mingle(&mut people));
        let came_out = result(&mut people[0], &motion);
        assert_eq!((came_out.0, &came_out.2[..]), (Outcome::Passed, &["mallory".to_owned()][..]));
        assert!(came_out.1.iter().sum::<usize>() >= 5 && came_out.1[0] >= 5, "{came_out:?}");
        people[..5].iter_mut().for_each(|person| assert_eq!(result(person, &motion).1, came_out.1));
        assert!(people[..5].iter_mut().all(|person| phase(person, &motion) == Phase::Done));
        assert!(people[..5].iter_mut().all(|person| person.chat.audit_cluster(NEST).is_ok()));
    }
}

/// Two of three came first, and there is no room for the one that was counted, until trustees say it again.
#[test]
fn who_heard_two_other_ballots_comes_to_the_same_result() {
    let mut people = six();
    let trustees = trustees(&mut people);
    let motion = asked(&mut people);
    people[..5].iter_mut().for_each(|person| vote(person, &motion, "1"));
    mingle(&mut people);
    let made = ballots(&mut people[5], &motion, &["1", "2", "1"]);
    let apart = (0..5).rev().find(|place| !trustees.contains(place)).unwrap_or(4);
    let mut bob = people.remove(apart);
    made[1..].iter().for_each(|ballot| hear(&mut bob, ballot));
    let mut mallory = people.pop().unwrap();
    people.iter_mut().for_each(|person| hear(person, &made[0]));
    (0..4).for_each(|_| mingle(&mut people));
    assert!(people.iter_mut().all(|person| phase(person, &motion) == Phase::Done));
    people.iter_mut().for_each(|person| assert_eq!(result(person, &motion).1, [6, 0]));
    bob.now = people[0].now;
    mallory.now = people[0].now;
    people.extend([bob, mallory]);
    mingle(&mut people);
    mingle(&mut people);
    let came_out = result(&mut people[4], &motion);
    assert_eq!((came_out.0, came_out.1, came_out.2), (Outcome::Passed, vec![6, 0], vec!["mallory".to_owned()]));
    assert_eq!(result(&mut people[0], &motion).2, ["mallory"], "also who had the result before");
}

/// Some hear one dealing of hers first, the others another.
#[test]
fn two_dealings_at_once_do_not_keep_a_key_from_being_made() {
    for first in [0, 2] {
        let mut people = six();
        let trustees = trustees(&mut people);
        let (mallory, honest) = (trustees[3], &trustees[..3]);
        let motion = ask(&mut people[trustees[0]]);
        let moved = said(&mut people[trustees[0]]);
        people.iter_mut().for_each(|person| hear(person, &moved));
        let one = said(&mut people[mallory]);
        run(
            &people[mallory],
            "UPDATE cluster_vote SET seed = NULL; DELETE FROM cluster_vote_step WHERE kind = 12 AND author = (SELECT member FROM cluster);
             DELETE FROM cluster_vote_share WHERE author = (SELECT member FROM cluster); UPDATE cluster_vote SET due = 0",
        );
        pass(&mut people, 11 * 60_000);
        let two = said(&mut people[mallory]);
        for place in honest {
            hear(&mut people[*place], if *place == honest[first] { &two } else { &one });
            people[*place].settle();
        }
        (0..3).for_each(|_| mingle(&mut people));
        assert!(people.iter_mut().all(|person| phase(person, &motion) == Phase::Voting), "{first}");
        people.iter_mut().for_each(|person| vote(person, &motion, "2"));
        mingle(&mut people);
        mingle(&mut people);
        people.iter_mut().for_each(|person| assert_eq!(result(person, &motion).1, [0, 6]));
    }
}

/// A ballot that one trustee hears of at the very end, and the others do not, is opened by all or by none.
#[test]
fn a_ballot_at_the_last_moment_keeps_nothing_from_being_opened() {
    for minutes in [21, 59] {
        let mut people = six();
        let trustees = trustees(&mut people);
        let motion = asked(&mut people);
        let others: Vec<usize> = (0..6).filter(|place| *place != trustees[0]).collect();
        let late = others[0];
        others[1..].iter().for_each(|place| vote(&mut people[*place], &motion, "1"));
        mingle(&mut people);
        vote(&mut people[late], &motion, "2");
        let ballot = said(&mut people[late]);
        let mut away = people.remove(late);
        for _ in 0..3 {
            pass(&mut people, 24 * HOUR_MS);
            mingle(&mut people);
        }
        pass(&mut people, minutes * 60_000);
        let leader = if trustees[0] > late { trustees[0] - 1 } else { trustees[0] };
        hear(&mut people[leader], &ballot);
        people[leader].settle();
        pass(&mut people, HOUR_MS - minutes * 60_000);
        people.iter_mut().for_each(|person| drop(person.settle()));
        away.now = people[0].now;
        people.push(away);
        swap(&mut people);
        (0..8).for_each(|_| mingle(&mut people));
        let came_out = result(&mut people[leader], &motion);
        assert_eq!((came_out.0, came_out.1[0]), (Outcome::Passed, 4), "{minutes}");
        people.iter_mut().for_each(|person| assert_eq!(result(person, &motion).1, came_out.1, "{minutes}"));
    }
}

/// They hear no more of the vote, and keep nothing of it.
#[test]
fn who_is_expelled_keeps_neither_seed_nor_shares_nor_choice() {
    let mut people = six();
    let motion = ask(&mut people[0]);
    for _ in 0..2 {
        people.iter_mut().for_each(|person| drop(person.settle()));
        swap(&mut people);
    }
    vote(&mut people[5], &motion, "1");
    let now = people[0].now;
    people[0].chat.open_motion(NEST, &Proposal::Expel("mallory"), now).unwrap();
    mingle(&mut people);
    for person in &mut people[..5] {
        for row in person.chat.motions(NEST).unwrap() {
            if row.kind == "expel" && row.ours.is_none() {
                person.chat.vote(&row.motion, "yes", person.now).unwrap();
            }
        }
    }
    mingle(&mut people);
    assert_eq!(people[0].chat.cluster(NEST).unwrap().members.len(), 5);
    let rows = |sql: &str| -> i64 { people[5].chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(rows("SELECT count(*) FROM cluster_vote WHERE seed IS NOT NULL OR choice IS NOT NULL"), 0);
    for table in ["cluster_vote_step", "cluster_vote_share", "cluster_vote_said"] {
        assert_eq!(rows(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}

/// Of what was never dealt in public, too.
#[test]
fn no_share_is_kept_after_the_end() {
    let mut people = six();
    let motion = asked(&mut people);
    run(
        &people[0],
        "INSERT INTO cluster_vote_share(cluster, author, dealing, bytes) SELECT cluster, member, randomblob(32), x'00' FROM cluster",
    );
    people.iter_mut().for_each(|person| vote(person, &motion, "1"));
    mingle(&mut people);
    mingle(&mut people);
    assert_eq!(phase(&mut people[0], &motion), Phase::Done);
    let left: i64 =
        people[0].chat.vault().conn().query_row("SELECT count(*) FROM cluster_vote_share", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
