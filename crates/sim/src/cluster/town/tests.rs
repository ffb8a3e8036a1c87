//! What schedules found, told alone.

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
