//! What the rules of a cluster do to people: who may sponsor and who not yet, until when one can vote, and whoever
//! votes twice.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod nest;
mod people;

use nest::{NEST, charter, mingle, nest, pass, swap, vote_all};
use people::{Person, carry};
use samizdat_chat::{MotionRow, Proposal, Standing};
use samizdat_cluster::{Charter, MemberId, MotionId, ballot::Equivocation, tally::Outcome};
use samizdat_core::Envelope;

fn motion(person: &mut Person, id: &str) -> MotionRow {
    person.chat.motions(NEST).unwrap().into_iter().find(|row| row.motion == id).unwrap()
}

fn opened(person: &mut Person, proposal: &Proposal<'_>) -> String {
    person.chat.open_motion(NEST, proposal, person.now).unwrap().1.to_string()
}

/// So many times the keys are refreshed.
fn epochs(people: &mut [Person], many: u64) {
    let until = people[0].chat.cluster(NEST).unwrap().epoch + many;
    while people[0].chat.cluster(NEST).unwrap().epoch < until {
        pass(people, 25 * 60 * 60 * 1000);
        mingle(people);
    }
    agree(people);
}

fn agree(people: &mut [Person]) {
    let states: Vec<_> = people.iter_mut().map(|person| person.chat.cluster(NEST).unwrap().state).collect();
    assert!(states[0].is_some() && states.iter().all(|state| *state == states[0]), "{states:?}");
}

/// Erin asks by a link of Alice's, who goes on without her: nobody has moved yet to let her in.
fn erin_asks(people: &mut [Person]) -> Person {
    let now = people[0].now;
    let link = people[0].chat.invite_to_cluster(NEST, "", 30, now).unwrap();
    mingle(people);
    let mut erin = Person::new(9);
    erin.now = people[0].now;
    erin.chat.join_cluster(&link, "erin", "", erin.now).unwrap();
    erin.settle();
    erin
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}

#[test]
fn who_came_lately_sponsors_nobody_until_the_epochs_of_the_rules_are_over() {
    let rules = Charter { sponsor_epochs: 2, ..charter() };
    let mut people = nest(&rules, &["alice", "bob", "mallory"]);
    let erin = erin_asks(&mut people);
    people[1..].iter_mut().for_each(|person| carry(&erin, person));
    let (admit, now) = (Proposal::Admit("erin"), people[2].now);
    let refused = people[2].chat.open_motion(NEST, &admit, now).unwrap_err().to_string();
    assert!(refused.contains("had not been a member for long enough: let another member open it"), "{refused}");
    assert!(people[2].chat.motions(NEST).unwrap().iter().all(|row| row.subject != "erin"), "no trace");

    // Her program believes that there is no such rule; those of the others do not.
    let lax = Charter { sponsor_epochs: 0, ..rules.clone() };
    let conn = people[2].chat.vault().conn();
    let sql = "SELECT s.state, past, context FROM cluster_state s JOIN cluster c ON s.cluster = c.cluster AND s.state = c.tip";
    let [state, past, context] = conn.query_row(sql, [], |row| Ok([row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?])).unwrap();
    let believe = "UPDATE cluster_state SET past = ?2, context = ?3 WHERE state = ?1";
    let [forged, with] = [&past, &context].map(|bytes| replaced(bytes, &rules.encode(), &lax.encode()));
    conn.execute(believe, [&state, &forged, &with]).unwrap();
    people[2] = people[2].again();
    let forgery = opened(&mut people[2], &admit);
    mingle(&mut people);
    let known = |person: &mut Person| person.chat.motions(NEST).unwrap().iter().any(|row| row.motion == forgery);
    assert!(known(&mut people[2]) && !known(&mut people[0]) && !known(&mut people[1]));
    people[2].chat.vault().conn().execute(believe, [&state, &past, &context]).unwrap();
    people[2] = people[2].again();

    epochs(&mut people, 2);
    opened(&mut people[2], &admit);
    mingle(&mut people);
    vote_all(&mut people);
    mingle(&mut people);
    assert!(people[0].chat.cluster(NEST).unwrap().members.iter().any(|member| member.nick == "erin"));
    agree(&mut people);
    people.iter_mut().for_each(|person| drop(person.chat.audit_cluster(NEST).unwrap()));
}

#[test]
fn a_motion_lives_as_long_as_the_rules_of_its_epoch_say() {
    let mut people = nest(&Charter { motion_epochs: 1, ..charter() }, &["alice", "bob", "carol"]);
    let expel = Proposal::Expel("carol");
    let late = opened(&mut people[0], &expel);
    mingle(&mut people);
    epochs(&mut people, 2);
    people.iter_mut().for_each(|person| assert_eq!(motion(person, &late).state, Outcome::Expired));
    let now = people[1].now;
    let refused = people[1].chat.vote(&late, "yes", now).unwrap_err().to_string();
    assert!(refused.contains("time to vote on this motion is over") || refused.contains("does not know"), "{refused}");

    let longer = Charter { motion_epochs: 3, ..charter() };
    let rules = opened(&mut people[0], &Proposal::Charter(longer.clone()));
    mingle(&mut people);
    people[1].chat.vote(&rules, "yes", now).unwrap();
    mingle(&mut people);
    agree(&mut people);
    assert_eq!(people[2].chat.cluster(NEST).unwrap().charter, Some(longer));
    let slow = opened(&mut people[0], &expel);
    mingle(&mut people);
    epochs(&mut people, 2);
    people.iter_mut().for_each(|person| assert_eq!(motion(person, &slow).state, Outcome::Open));
    people[1].chat.vote(&slow, "yes", now).unwrap();
    mingle(&mut people);
    people[..2].iter_mut().for_each(|person| assert_eq!(person.chat.cluster(NEST).unwrap().members.len(), 2));
    assert_eq!(people[2].chat.cluster(NEST).unwrap().standing, Standing::Removed);
}

/// What everybody makes of it: the state, who said what, and who cheated.
fn came_out(person: &mut Person, id: &str) -> (Outcome, bool, [Vec<String>; 3]) {
    let row = motion(person, id);
    let mut ballots = [row.ballots.yes, row.ballots.no, row.ballots.cheated];
    ballots.iter_mut().for_each(|nicks| nicks.sort());
    (row.state, row.done, ballots)
}

/// Both ballots of hers, each as it was published.
fn yes_and_no(mallory: &mut Person, id: &str) -> [Vec<Envelope>; 2] {
    ["yes", "no"].map(|choice| {
        let forget = "DELETE FROM cluster_ballot WHERE voter = (SELECT member FROM cluster)";
        mallory.chat.vault().conn().execute_batch(forget).unwrap();
        mallory.chat.vote(id, choice, mallory.now).unwrap();
        let made = mallory.settle();
        made.iter().map(|id| mallory.log.find(id).unwrap().unwrap().envelope().unwrap()).collect()
    })
}

/// What convinces a stranger, of what somebody kept.
fn proof(person: &Person, culprit: &str, id: &str) -> Equivocation {
    let (culprit, id): (MemberId, MotionId) = (culprit.parse().unwrap(), id.parse().unwrap());
    let conn = person.chat.vault().conn();
    let mut statement = conn.prepare("SELECT bytes FROM cluster_ballot WHERE voter = ?1 AND motion = ?2").unwrap();
    let rows = statement.query_map((culprit.0, id.0), |row| row.get(0)).unwrap();
    let ballots: Vec<Vec<u8>> = rows.collect::<Result<_, _>>().unwrap();
    let proofs = [[0, 1], [1, 0]].map(|order| [&[0x82][..], &ballots[order[0]], &ballots[order[1]]].concat());
    proofs.iter().find_map(|proof| Equivocation::decode(proof).ok()).unwrap()
}

#[test]
fn whoever_votes_twice_is_convicted_by_all_and_counted_alike_whatever_came_first() {
    for round in 0..2 {
        let mut people = nest(&charter(), &["alice", "bob", "carol", "mallory"]);
        let id = opened(&mut people[0], &Proposal::Charter(Charter { cap: 40, ..charter() }));
        mingle(&mut people);
        let ballots = yes_and_no(&mut people[3], &id);
        for (place, person) in people[..3].iter_mut().enumerate() {
            ballots[(place + round) % 2].iter().for_each(|envelope| person.receive(envelope));
        }
        let now = people[3].now;
        let refused = people[3].chat.vote(&id, "yes", now).unwrap_err().to_string();
        assert!(refused.contains("proves to everybody that they cheated"), "{refused}");
        // Of four three are enough: with hers it may have passed where her yes came first.
        people[1].chat.vote(&id, "yes", now).unwrap();
        mingle(&mut people);
        swap(&mut people);
        mingle(&mut people);
        agree(&mut people);
        let all = came_out(&mut people[0], &id);
        assert_eq!(all.2[2], ["mallory"]);
        people[..3].iter_mut().for_each(|person| assert_eq!(came_out(person, &id), all));
        let culprit = people[3].chat.cluster(NEST).unwrap().member;
        for person in &mut people[..3] {
            assert_eq!(proof(person, &culprit, &id).culprit().unwrap().0.to_string(), culprit);
            person.chat.audit_cluster(NEST).unwrap();
        }
    }
}
