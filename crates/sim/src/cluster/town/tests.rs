//! What schedules found, told alone.

use samizdat_chat::{Proposal, Standing};
use samizdat_cluster::Charter;

use super::*;

/// Five members at rest, and nothing happens by chance.
fn town() -> Town {
    let plan = ClusterPlan { members: (5, 5), ..ClusterPlan::default() };
    let mut town = Town::new(&plan, 1, &mut Crowds::default()).unwrap();
    town.loss = 0;
    for member in 0..town.members.len() {
        town.with(member, |member| (member.online, member.asleep, member.part) = (true, false, 0));
        town.wake(member, town.now).unwrap();
        town.meet_again(member);
    }
    town
}

fn pass(town: &mut Town, hours: u64) {
    let until = town.now.saturating_add(hours.saturating_mul(HOUR_MS));
    town.run_to(until).unwrap();
}

fn is_well(outcome: &Outcome) {
    assert!(outcome.is_good() && outcome.lost == 0 && outcome.due > 0, "{outcome:?}");
}

#[test]
fn what_somebody_said_who_went_on_alone_beyond_the_window_is_read() {
    let mut town = town();
    town.with(4, |member| member.online = false);
    for _ in 0..5 {
        town.write(4).unwrap();
        pass(&mut town, 20);
    }
    is_well(&town.heal().unwrap());
}

#[test]
fn what_somebody_says_on_waking_after_a_week_is_read() {
    let mut town = town();
    town.with(4, |member| (member.online, member.asleep) = (false, true));
    pass(&mut town, 120);
    town.with(4, |member| member.asleep = false);
    town.write(4).unwrap();
    pass(&mut town, 1);
    is_well(&town.heal().unwrap());
}

/// Once both went on apart for ever, since in each somebody was heard.
#[test]
fn of_two_parts_that_were_apart_beyond_the_window_the_smaller_comes_back() {
    let mut town = town();
    for member in [3, 4] {
        town.with(member, |member| member.part = 1);
    }
    for _ in 0..6 {
        (0..5).for_each(|member| town.write(member).unwrap());
        pass(&mut town, 24);
    }
    is_well(&town.heal().unwrap());
}

/// Somebody says yes to whatever is open of a kind.
fn agree(town: &mut Town, number: usize, kind: &str) {
    let now = town.now;
    let member = &mut town.members[number];
    let at = member.now(now);
    let open = member.chat.motions(CLUSTER).unwrap().into_iter().filter(|motion| motion.kind == kind && motion.ours.is_none());
    for motion in open.collect::<Vec<_>>() {
        let _ = member.chat.vote(&motion.motion, "yes", at);
    }
    town.wake(number, now).unwrap();
}

fn open(town: &mut Town, number: usize, proposal: &Proposal<'_>) {
    let now = town.now;
    let member = &mut town.members[number];
    let at = member.now(now);
    member.chat.open_motion(CLUSTER, proposal, at).unwrap();
    town.wake(number, now).unwrap();
}

/// Once that one went on alone for ever: it cannot read who stands where it is not, so its own change seemed to be the better one.
#[test]
fn who_is_put_out_while_it_makes_a_change_of_its_own_learns_that_it_is_out() {
    let mut went_on = 0;
    for out in 0..5 {
        let mut town = town();
        pass(&mut town, 1);
        let (first, second) = ((out + 1) % 5, (out + 2) % 5);
        let shown = town.members[out].chat.cluster(CLUSTER).unwrap();
        let charter = Charter { cap: 77, ..shown.charter.unwrap() };
        open(&mut town, first, &Proposal::Charter(charter));
        open(&mut town, first, &Proposal::Expel(&shown.member));
        pass(&mut town, 1);
        agree(&mut town, second, "charter");
        pass(&mut town, 1);
        assert_eq!(town.members[out].chat.cluster(CLUSTER).unwrap().state, shown.state, "nothing has passed yet");
        town.with(out, |member| member.part = 1);
        for member in 0..5 {
            agree(&mut town, member, if member == out { "charter" } else { "expel" });
        }
        pass(&mut town, 4);
        town.with(out, |member| member.part = 0);
        pass(&mut town, 2);
        went_on += usize::from(town.members[out].chat.cluster(CLUSTER).unwrap().standing == Standing::Member);
        let outcome = town.heal().unwrap();
        assert!(outcome.is_good(), "{outcome:?}");
    }
    assert!(went_on > 0, "some of them led before the others did");
}

/// Takes an old copy of somebody's vault; puts it in the place of the vault after so many hours, and goes on for as many.
fn go_back(town: &mut Town, number: usize, hours: u64) {
    let backup = town.members[number].back_up(town.now).unwrap();
    pass(town, hours);
    for member in 0..5 {
        town.write(member).unwrap();
    }
    pass(town, 1);
    let now = town.now;
    town.members[number].restore(backup, &town.letters, now).unwrap();
    town.members[number].wake = u64::MAX;
    town.wake(number, now).unwrap();
    pass(town, hours);
}

/// Once it was not: the others could read what it said on its own branch, and so took it for one of them.
#[test]
fn who_lost_its_keys_to_a_backup_is_let_in_again() {
    let mut returned = 0;
    for number in 0..3 {
        let mut town = town();
        pass(&mut town, 1);
        go_back(&mut town, number, 13);
        town.write(4).unwrap();
        let outcome = town.heal().unwrap();
        assert!(outcome.is_good() && outcome.restored == 1, "{outcome:?}");
        returned += outcome.returned;
    }
    assert!(returned > 0, "some of them could not follow");
}

/// Once the others never heard of it: they kept no state any more in which it was said.
#[test]
fn who_leaves_on_waking_after_a_week_is_gone() {
    let mut town = town();
    town.with(4, |member| (member.online, member.asleep) = (false, true));
    pass(&mut town, 120);
    town.with(4, |member| member.asleep = false);
    let (now, member) = (town.now, &mut town.members[4]);
    let at = member.now(now);
    member.chat.leave_cluster(CLUSTER, at).unwrap();
    town.wake(4, now).unwrap();
    town.write(0).unwrap();
    is_well(&town.heal().unwrap());
}

/// The others put somebody out, who hears of nothing for so many days. What it is in the end.
fn put_out(hours: u64) -> Standing {
    let mut town = town();
    pass(&mut town, 1);
    town.with(4, |member| member.online = false);
    let out = town.members[4].chat.cluster(CLUSTER).unwrap().member;
    open(&mut town, 0, &Proposal::Expel(&out));
    pass(&mut town, 1);
    (1..4).for_each(|member| agree(&mut town, member, "expel"));
    pass(&mut town, hours);
    assert_eq!(town.members[0].chat.cluster(CLUSTER).unwrap().members.len(), 4);
    assert_eq!(town.members[4].chat.cluster(CLUSTER).unwrap().standing, Standing::Member);
    town.write(0).unwrap();
    town.bring_together().unwrap();
    let standing = town.members[4].chat.cluster(CLUSTER).unwrap().standing;
    town.members[4].chat.audit_cluster(CLUSTER).unwrap();
    is_well(&check::outcome(&mut town, Sha256::new()).unwrap());
    standing
}

/// Once it asked for ever to be let back in, and nobody answered.
#[test]
fn who_is_put_out_while_it_is_away_learns_it_however_long_it_was_away() {
    for hours in [20, 120] {
        assert_eq!(put_out(hours), Standing::Removed, "after {hours} hours");
    }
}

/// Once an old copy of who had left asked for ever to be let back in.
#[test]
fn who_has_left_and_comes_from_an_old_copy_learns_that_it_left() {
    let mut town = town();
    pass(&mut town, 1);
    let (now, member) = (town.now, &mut town.members[4]);
    let (backup, at) = (member.back_up(now).unwrap(), member.now(now));
    member.chat.leave_cluster(CLUSTER, at).unwrap();
    town.wake(4, now).unwrap();
    pass(&mut town, 120);
    let now = town.now;
    town.members[4].restore(backup, &town.letters, now).unwrap();
    town.members[4].wake = u64::MAX;
    town.wake(4, now).unwrap();
    town.write(0).unwrap();
    is_well(&town.heal().unwrap());
}

/// Once they let each other in again and again, since each forgot states in which others had just come.
#[test]
fn when_all_parts_were_apart_beyond_the_window_one_cluster_comes_of_them() {
    for parts in [[0, 0, 1, 1, 2], [0, 1, 2, 3, 4], [0, 0, 1, 2, 3]] {
        let mut town = town();
        pass(&mut town, 1);
        for (member, part) in parts.into_iter().enumerate() {
            town.with(member, |member| member.part = part);
        }
        for _ in 0..5 {
            (0..5).for_each(|member| town.write(member).unwrap());
            pass(&mut town, 24);
        }
        let outcome = town.heal().unwrap();
        assert!(outcome.is_good() && outcome.lost == 0, "{parts:?} {outcome:?}");
    }
}
