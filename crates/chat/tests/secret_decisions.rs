//! What is decided in secret, told as stories: nobody sees who was for it, and it is carried out as what is decided openly.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, mingle, nest, pass, say, texts};
use people::Person;
use samizdat_chat::{MotionRow, Phase, Proposal, Standing};
use samizdat_cluster::{
    Charter, MotionId,
    ballot::{BallotIn, Choice},
    tally::Outcome,
};

const HOUR_MS: u64 = 60 * 60 * 1000;
const FOUR: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// There is a key.
fn moved(people: &mut [Person], proposal: &Proposal<'_>) -> String {
    let now = people[0].now;
    let motion = people[0].chat.open_secret_motion(NEST, proposal, now).unwrap().1;
    (0..2).for_each(|_| mingle(people));
    motion.to_string()
}

fn vote(person: &mut Person, motion: &str, vote: &str) {
    person.chat.vote(motion, vote, person.now).unwrap();
}

fn refused(person: &mut Person, motion: &str) -> String {
    person.chat.vote(motion, "no", person.now).unwrap_err().to_string()
}

fn shown(person: &mut Person, motion: &str) -> MotionRow {
    person.chat.motions(NEST).unwrap().into_iter().find(|row| row.motion == motion).unwrap()
}

fn members(person: &mut Person) -> String {
    let members = person.chat.cluster(NEST).unwrap().members;
    members.into_iter().map(|member| member.nick).collect::<Vec<_>>().join(" ")
}

fn state(person: &mut Person) -> Option<String> {
    person.chat.cluster(NEST).unwrap().state
}

fn audited(person: &mut Person) -> Vec<String> {
    person.chat.audit_cluster(NEST).unwrap().decided.into_iter().flat_map(|step| step.what).collect()
}

/// What was signed openly for a motion, as a vault has it.
fn signed(person: &Person, motion: &str) -> Vec<Choice> {
    let motion: MotionId = motion.parse().unwrap();
    let mut statement = person.chat.vault().conn().prepare("SELECT bytes FROM cluster_ballot WHERE motion = ?1").unwrap();
    let rows = statement.query_map([motion.0], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    rows.map(|bytes| BallotIn::decode(&bytes.unwrap()).unwrap().claimed_choice().clone()).collect()
}

/// A number that a vault knows.
fn rows(person: &Person, sql: &str) -> i64 {
    person.chat.vault().conn().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn most_put_somebody_out_and_nobody_sees_who_was_against_it() {
    let mut people = nest(&charter(), &["alice", "bob", "carol", "dave", "erin"]);
    let motion = moved(&mut people, &Proposal::Expel("erin"));
    let open = shown(&mut people[1], &motion);
    assert_eq!((open.kind, open.state, open.needed, open.voters, open.ours), ("expel", Outcome::Open, 3, 4, None));
    assert!(shown(&mut people[0], &motion).ours.is_none(), "whoever moves it has not voted");
    let why = refused(&mut people[4], &motion);
    assert!(why.contains("nobody in their own case"), "{why}");
    for (person, choice) in people.iter_mut().zip(["yes", "no", "yes", "yes"]) {
        assert!(signed(person, &motion).is_empty());
        vote(person, &motion, choice);
        let again = refused(person, &motion);
        assert!(again.contains("you have voted"), "{again}");
    }
    (0..2).for_each(|_| mingle(&mut people));
    let first = state(&mut people[0]);
    for person in &mut people[..4] {
        assert_eq!((members(person), state(person)), ("alice bob carol dave".into(), first.clone()));
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.done, seen.ours.as_deref()), (Outcome::Passed, true, Some("secret")));
        assert!(seen.ballots.yes.is_empty() && seen.ballots.no.is_empty(), "{:?}", seen.ballots);
        let vote = seen.secret.unwrap();
        assert_eq!((vote.phase, vote.said, vote.voted.join(" ")), (Phase::Done, Some((3, 1)), "alice bob carol dave".into()));
        assert_eq!(vote.confirmed, ["alice", "bob", "carol", "dave"], "also by whoever was against it");
        assert_eq!(signed(person, &motion), vec![Choice::Decision(true); 4]);
        assert!(
            person.chat.audit_cluster(NEST).unwrap().decided.iter().all(|step| step.unknown.is_empty() && step.untrue.is_empty())
        );
        let audited = audited(person);
        let at = audited.iter().position(|what| what == "answer expel erin: yes 3, no 1").unwrap();
        assert!(audited[at..].iter().any(|what| what == "expel erin"), "{audited:?}");
    }
    assert_eq!(people[4].chat.cluster(NEST).unwrap().standing, Standing::Removed);
    say(&mut people[1], "she is gone");
    mingle(&mut people);
    assert!(texts(&people[0]).contains(&"she is gone".to_owned()) && !texts(&people[4]).contains(&"she is gone".to_owned()));
}

#[test]
fn a_tie_in_secret_keeps_what_is() {
    let mut people = nest(&charter(), &FOUR);
    let motion = moved(&mut people, &Proposal::Charter(Charter { cap: 9, ..charter() }));
    for (person, choice) in people.iter_mut().zip(["yes", "no", "yes", "no"]) {
        vote(person, &motion, choice);
    }
    (0..2).for_each(|_| mingle(&mut people));
    for person in &mut people {
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.done), (Outcome::Failed, false));
        let vote = seen.secret.unwrap();
        assert_eq!((vote.phase, vote.said, vote.confirmed.len(), vote.why), (Phase::Done, Some((2, 2)), 0, None));
        assert!(signed(person, &motion).is_empty());
        assert_ne!(person.chat.cluster(NEST).unwrap().charter.unwrap().cap, 9);
        assert!(audited(person).contains(&"answer charter nest: yes 2, no 2".to_owned()));
    }
}

#[test]
fn who_comes_by_a_link_for_that_is_voted_on_in_secret() {
    let mut people = nest(&charter(), &["alice", "bob"]);
    let now = people[0].now;
    let few = people[0].chat.invite_to_secret_vote(NEST, None, "", 7, now).unwrap_err().to_string();
    assert!(few.contains("fewer than 3 voters"), "{few}");
    let open = people[0].chat.cluster(NEST).unwrap().links.iter().filter(|link| !link.closed).count();
    assert_eq!(open, rows(&people[0], "SELECT count(*) FROM cluster_door WHERE link IS NOT NULL AND closed = 0") as usize);
    assert_eq!(rows(&people[0], "SELECT count(*) FROM cluster_door WHERE in_secret = 1"), 0, "no link is left open by that");

    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let now = people[0].now;
    let link = people[0].chat.invite_to_secret_vote(NEST, None, "poster", 7, now).unwrap();
    assert!(people[0].chat.cluster(NEST).unwrap().links.iter().any(|ours| ours.link == link && ours.secret));
    let mut dave = Person::new(9);
    dave.now = now;
    dave.chat.join_cluster(&link, "dave", "hello", now).unwrap();
    people.push(dave);
    (0..3).for_each(|_| mingle(&mut people));
    let motions = people[1].chat.motions(NEST).unwrap();
    let motion = motions.iter().find(|motion| motion.subject == "dave").unwrap().clone();
    assert_eq!((motion.kind, motion.secret.map(|vote| vote.phase)), ("admit", Some(Phase::Voting)));
    // Nobody has said anything by opening the door.
    for (person, choice) in people.iter_mut().zip(["no", "yes", "yes"]) {
        vote(person, &motion.motion, choice);
    }
    (0..3).for_each(|_| mingle(&mut people));
    assert_eq!(people[3].chat.cluster(NEST).unwrap().standing, Standing::Member);
    let first = state(&mut people[0]);
    for person in &mut people {
        assert_eq!((members(person), state(person)), ("alice bob carol dave".into(), first.clone()));
    }
    assert!(audited(&mut people[2]).contains(&"answer admit dave: yes 2, no 1".to_owned()));
}

/// Half of the epochs that a motion has are for the vote; in the other half it is opened, confirmed and carried out.
#[test]
fn what_not_all_voted_on_is_decided_before_the_motion_outlives_itself() {
    let mut people = nest(&Charter { motion_epochs: 4, ..charter() }, &FOUR);
    let rules = Charter { cap: 9, motion_epochs: 4, ..charter() };
    let motion = moved(&mut people, &Proposal::Charter(rules));
    let (epoch, until) = (people[0].chat.cluster(NEST).unwrap().epoch, shown(&mut people[0], &motion).until);
    assert_eq!(until, epoch + 4);
    people[..3].iter_mut().for_each(|person| vote(person, &motion, "yes"));
    for _ in 0..2 {
        pass(&mut people, 24 * HOUR_MS);
        mingle(&mut people);
        assert_eq!(shown(&mut people[0], &motion).secret.unwrap().phase, Phase::Voting);
    }
    pass(&mut people, 24 * HOUR_MS);
    mingle(&mut people);
    let late = refused(&mut people[3], &motion);
    assert!(late.contains("is over"), "{late}");
    pass(&mut people, HOUR_MS);
    (0..2).for_each(|_| mingle(&mut people));
    for person in &mut people {
        let cluster = person.chat.cluster(NEST).unwrap();
        assert!(cluster.epoch <= until + 1, "{} of {until}", cluster.epoch);
        assert_eq!((cluster.charter.unwrap().cap, shown(person, &motion).done), (9, true));
        let confirmed = shown(person, &motion).secret.unwrap().confirmed;
        assert!(confirmed.contains(&"dave".to_owned()), "who did not vote says, too, that it passed: {confirmed:?}");
    }
}

/// It is opened so late that nothing follows from it.
#[test]
fn a_result_that_comes_too_late_is_shown_and_not_carried_out() {
    let mut people = nest(&Charter { motion_epochs: 1, ..charter() }, &FOUR);
    let motion = moved(&mut people, &Proposal::Charter(Charter { cap: 9, motion_epochs: 1, ..charter() }));
    people[..3].iter_mut().for_each(|person| vote(person, &motion, "yes"));
    for _ in 0..2 {
        pass(&mut people, 24 * HOUR_MS);
        mingle(&mut people);
    }
    assert_eq!(shown(&mut people[0], &motion).state, Outcome::Expired);
    let late = refused(&mut people[3], &motion);
    assert!(late.contains("is over"), "{late}");
    pass(&mut people, HOUR_MS);
    (0..2).for_each(|_| mingle(&mut people));
    for person in &mut people {
        let seen = shown(person, &motion);
        assert_eq!((seen.state, seen.secret.unwrap().said), (Outcome::Expired, Some((3, 0))));
        assert!(signed(person, &motion).is_empty());
        assert_ne!(person.chat.cluster(NEST).unwrap().charter.unwrap().cap, 9);
    }
}

/// With enough of them they could have voted for it as well; but not in secret, and not unseen.
#[test]
fn most_who_say_falsely_that_something_passed_are_found_by_the_audit() {
    let mut people = nest(&charter(), &FOUR[..3]);
    let motion = moved(&mut people, &Proposal::Charter(Charter { cap: 9, ..charter() }));
    for (person, choice) in people.iter_mut().zip(["no", "no", "yes"]) {
        vote(person, &motion, choice);
    }
    (0..2).for_each(|_| mingle(&mut people));
    assert_eq!(shown(&mut people[2], &motion).secret.unwrap().said, Some((1, 2)));
    for liar in &people[..2] {
        let lie = "UPDATE cluster_vote SET counts = x'00000000000000040000000000000000'";
        assert_eq!(liar.chat.vault().conn().execute(lie, []).unwrap(), 1);
    }
    say(&mut people[0], "it passed");
    (0..2).for_each(|_| mingle(&mut people));
    assert_eq!(people[2].chat.cluster(NEST).unwrap().charter.unwrap().cap, 9, "a majority decides");
    say(&mut people[0], "and on");
    mingle(&mut people);
    let audited = people[2].chat.audit_cluster(NEST).unwrap().decided;
    let untrue: Vec<&String> = audited.iter().flat_map(|step| &step.untrue).collect();
    assert_eq!(untrue, ["charter nest"]);
    assert!(audited.iter().all(|step| step.unknown.is_empty()));
}

/// Each door has room for many, and only so many secret votes go on at a time.
#[test]
fn a_fifth_guest_by_a_secret_link_is_moved_for_when_a_vote_has_ended() {
    let mut people = nest(&charter(), &["alice", "bob", "carol"]);
    let now = people[0].now;
    let link = people[0].chat.invite_to_secret_vote(NEST, None, "poster", 7, now).unwrap();
    let mut guests: Vec<Person> = (20..25).map(Person::new).collect();
    for (guest, name) in guests.iter_mut().zip(["dave", "erin", "frank", "gina", "hans"]) {
        guest.now = now;
        guest.chat.join_cluster(&link, name, "", now).unwrap();
        people.append(&mut vec![std::mem::replace(guest, Person::new(99))]);
    }
    (0..2).for_each(|_| mingle(&mut people));
    let moved = |person: &mut Person| -> Vec<MotionRow> {
        let motions = person.chat.motions(NEST).unwrap();
        motions.into_iter().filter(|motion| motion.secret.is_some()).collect()
    };
    let open = moved(&mut people[1]);
    assert_eq!(open.len(), 4);
    people[..3].iter_mut().for_each(|person| vote(person, &open[0].motion, "yes"));
    (0..3).for_each(|_| mingle(&mut people));
    let open = moved(&mut people[1]);
    assert_eq!((open.len(), open.iter().filter(|motion| motion.done).count()), (5, 1));
}

#[test]
fn what_was_confirmed_is_said_again_where_a_branch_is_left_and_counts_once() {
    let mut people = nest(&charter(), &FOUR[..3]);
    let motion = moved(&mut people, &Proposal::Charter(Charter { cap: 9, ..charter() }));
    people.iter_mut().for_each(|person| vote(person, &motion, "yes"));
    (0..2).for_each(|_| mingle(&mut people));
    let confirmed = shown(&mut people[0], &motion).secret.unwrap().confirmed;
    assert!(shown(&mut people[0], &motion).done && confirmed.len() >= 2);
    let bob = people.iter().position(|person| rows(person, "SELECT count(*) FROM cluster_vote_said WHERE kind = 1") > 0).unwrap();
    let (envelopes, ballots) = (people[bob].envelopes().len(), signed(&people[0], &motion).len());
    // What is done with all that was said on a branch that is left.
    people[bob].chat.vault().conn().execute("UPDATE cluster_vote_said SET state = NULL WHERE kind = 1", []).unwrap();
    pass(&mut people, 24 * HOUR_MS);
    mingle(&mut people);
    assert_eq!(rows(&people[bob], "SELECT count(*) FROM cluster_vote_said WHERE kind = 1 AND state IS NOT NULL"), 1);
    assert!(people[bob].envelopes().len() > envelopes);
    assert_eq!((shown(&mut people[0], &motion).secret.unwrap().confirmed, signed(&people[0], &motion).len()), (confirmed, ballots));
}

/// She has missed how the key was made, or what was opened.
#[test]
fn who_knows_no_result_sees_that_enough_others_do() {
    let mut people = nest(&charter(), &FOUR);
    let motion = moved(&mut people, &Proposal::Charter(Charter { cap: 9, ..charter() }));
    // The others need every trustee.
    let is_trustee = |person: &Person| rows(person, "SELECT count(*) FROM cluster_vote WHERE seed IS NOT NULL") > 0;
    let lost = people.iter().position(|person| !is_trustee(person)).unwrap();
    people[lost].chat.vault().conn().execute("UPDATE cluster_vote SET phase = 4", []).unwrap();
    let seen = shown(&mut people[lost], &motion);
    assert_eq!((seen.state, seen.secret.unwrap().why.is_some()), (Outcome::Failed, true));
    for (_, person) in people.iter_mut().enumerate().filter(|(place, _)| *place != lost) {
        vote(person, &motion, "yes");
    }
    for _ in 0..6 {
        pass(&mut people, 24 * HOUR_MS);
        (0..2).for_each(|_| mingle(&mut people));
    }
    let seen = shown(&mut people[lost], &motion);
    assert_eq!((seen.state, seen.done), (Outcome::Passed, true));
    let vote = seen.secret.unwrap();
    assert_eq!((vote.said, vote.why, vote.confirmed.contains(&FOUR[lost].to_owned())), (None, None, false));
    let unknown = |person: &mut Person| -> Vec<String> {
        person.chat.audit_cluster(NEST).unwrap().decided.into_iter().flat_map(|step| step.unknown).collect()
    };
    let knows = usize::from(lost == 0);
    assert_eq!((unknown(&mut people[lost]), unknown(&mut people[knows])), (vec!["charter nest".to_owned()], vec![]));
}

#[test]
fn what_would_undo_a_secret_vote_or_cannot_end_in_time_is_refused() {
    let mut people = nest(&charter(), &FOUR);
    moved(&mut people, &Proposal::Expel("dave"));
    let now = people[1].now;
    let openly = people[1].chat.open_motion(NEST, &Proposal::Expel("dave"), now).unwrap_err().to_string();
    assert!(openly.contains("is being voted on in secret"), "{openly}");
    assert!(people[1].chat.open_motion(NEST, &Proposal::Expel("carol"), now).is_ok());

    let mut people = nest(&Charter { motion_epochs: 2, rollout_hours: 1, ..charter() }, &FOUR[..3]);
    let (now, rules) = (people[0].now, Proposal::Charter(Charter { cap: 9, ..charter() }));
    let short = people[0].chat.open_secret_motion(NEST, &rules, now).unwrap_err().to_string();
    assert!(short.contains("motions end too soon"), "{short}");
}

/// Of six epochs three are for the vote; where rollouts were hastened it ends in the fifth, whatever the clock says.
#[test]
fn what_is_left_of_the_epochs_is_for_what_follows_the_vote() {
    let mut people = nest(&Charter { motion_epochs: 6, ..charter() }, &FOUR);
    let motion = moved(&mut people, &Proposal::Charter(Charter { cap: 40, motion_epochs: 6, ..charter() }));
    people[..3].iter_mut().for_each(|person| vote(person, &motion, "yes"));
    let began = people[0].chat.cluster(NEST).unwrap().epoch;
    for cap in 41..46 {
        assert_ne!(shown(&mut people[0], &motion).secret.unwrap().phase, Phase::Opening);
        decide_openly(&mut people, &Proposal::Charter(Charter { cap, motion_epochs: 6, ..charter() }), &motion);
    }
    assert_eq!(people[0].chat.cluster(NEST).unwrap().epoch, began + 5);
    pass(&mut people, HOUR_MS);
    (0..4).for_each(|_| mingle(&mut people));
    assert!(shown(&mut people[0], &motion).done, "{:?}", shown(&mut people[0], &motion));
}

/// By an open vote, in which nobody says anything in the secret one.
fn decide_openly(people: &mut [Person], proposal: &Proposal<'_>, secret: &str) {
    let now = people[0].now;
    people[0].chat.open_motion(NEST, proposal, now).unwrap();
    mingle(people);
    for person in people.iter_mut() {
        let motions = person.chat.motions(NEST).unwrap();
        for motion in motions.iter().filter(|row| row.state == Outcome::Open && row.ours.is_none() && row.motion != secret) {
            let _ = person.chat.vote(&motion.motion, "yes", person.now);
        }
    }
    mingle(people);
}

/// Nobody votes by itself in secret, to drop the silent neither.
#[test]
fn programs_do_not_vote_by_themselves_in_secret() {
    let rules = Charter { silent_epochs: 2, automatic_ballots: true, ..charter() };
    let mut people = nest(&rules, &FOUR);
    let dave = people.pop().unwrap();
    pass(&mut people, 24 * HOUR_MS);
    mingle(&mut people);
    let motion = moved(&mut people, &Proposal::Silent(&["dave".to_owned()]));
    assert_eq!(shown(&mut people[1], &motion).secret.unwrap().phase, Phase::Voting);
    for _ in 0..2 {
        pass(&mut people, 24 * HOUR_MS);
        (0..2).for_each(|_| mingle(&mut people));
    }
    assert_eq!(members(&mut people[1]), "alice bob carol", "an open motion of their own dropped him");
    assert_eq!(rows(&people[1], "SELECT count(*) FROM cluster_vote_step WHERE kind = 15"), 0);
    assert!(shown(&mut people[1], &motion).secret.unwrap().voted.is_empty());
    drop(dave);
}
