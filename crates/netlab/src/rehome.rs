//! Whether a conversation goes on when what carries it goes away: its relay, or the network in which one of both is.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::{
    engine::{Engine, Program},
    forward::Link,
    lab::Plan,
    limits::GAP_MAX,
    matrix::middle,
    nat::Kind,
    talk::{Report, Talker},
};

/// A line that drops one frame in twenty each way, and lets others overtake them.
const ROUGH: Link = Link { delay: Duration::from_millis(50), jitter: Duration::from_millis(50), loss: 0.05, ..Link::WIRE };

/// What goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The relay between two behind symmetric NATs, which both are reached through. They know of a second one.
    Relay,
    /// The same, but the one who dialled is reached through the second one.
    RelayOfOne,
    /// The machine of the relay that both are reached through falls silent: nothing is refused, nothing is answered.
    SilentRelay,
    /// The same, but the one who dialled is reached through the second one.
    SilentRelayOfOne,
    /// The good line of the relay of both: from then on frames are lost, late, and overtake each other.
    RoughRelay,
    /// The network of one of two who talk directly: it moves behind another router, to another address, until they do so again.
    Network,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Relay, Self::RelayOfOne, Self::SilentRelay, Self::SilentRelayOfOne, Self::RoughRelay, Self::Network];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "death of the relay of both",
            Self::RelayOfOne => "death of the relay of one",
            Self::SilentRelay => "silence of the relay of both",
            Self::SilentRelayOfOne => "silence of the relay of one",
            Self::RoughRelay => "bad line of the relay of both",
            Self::Network => "change of address",
        }
    }
}

/// How a conversation went, as each of both saw it.
#[derive(Debug, Serialize)]
pub struct Trial {
    /// What went away.
    pub loss: Loss,
    /// The one who had dialled, and the other.
    pub reports: [Report; 2],
}

impl Trial {
    /// The longer of both gaps: from the last word before to the first one after.
    pub fn gap_ms(&self) -> f64 {
        self.reports.iter().map(|report| report.longest_gap_ms).fold(0.0, f64::max)
    }

    /// Nothing lost, and no gap too long.
    pub fn passed(&self) -> bool {
        self.gap_ms() < GAP_MAX.as_secs_f64() * 1e3 && self.reports.iter().all(|report| report.lost == 0)
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let sum = |of: fn(&Report) -> u64| self.reports.iter().map(of).fold(0, u64::saturating_add);
        let mark = if self.passed() { "" } else { "  TOO LONG OR LOST" };
        format!(
            "{}: gap {:.0} ms, of {} words {} lost, {} sent again, of these {} for nothing{mark}",
            self.loss.name(),
            self.gap_ms(),
            sum(|report| report.said),
            sum(|report| report.lost),
            sum(|report| report.repeated),
            sum(|report| report.superfluous),
        )
    }
}

/// What is not as it must be, a sentence each; nothing if all is well.
pub fn failings(trials: &[Trial]) -> Vec<String> {
    let failing = |trial: &Trial| {
        let lost: u64 = trial.reports.iter().map(|report| report.lost).fold(0, u64::saturating_add);
        let name = trial.loss.name();
        let slow = trial.gap_ms() >= GAP_MAX.as_secs_f64() * 1e3;
        let slow =
            slow.then(|| format!("{name}: nothing arrived for {:.0} ms, less than {GAP_MAX:?} is asked for", trial.gap_ms()));
        slow.into_iter().chain((lost > 0).then(|| format!("{name}: {lost} words were lost"))).collect::<Vec<_>>()
    };
    trials.iter().flat_map(failing).collect()
}

/// Two talk, something goes away, and they come to an end. All that is said after that moment, and what was under way, can only
/// arrive by another path.
pub fn trial(program: &Program, loss: Loss) -> Result<Trial> {
    let plan = Plan::new().hosts(2);
    let plan = match loss {
        Loss::Network => plan.roamer(Kind::Port, Kind::Port),
        _ => plan.peer(Kind::Sym),
    };
    let other = if loss == Loss::Network { Kind::Port } else { Kind::Sym };
    let lab = plan.peer(other).build()?;
    let (first, second) = (program.relay(lab.host(0)?)?, program.relay(lab.host(1)?)?);
    let bob = Talker::start(program, lab.peer(1)?.station(), &[&first, &second], None)?;
    let of_one = matches!(loss, Loss::RelayOfOne | Loss::SilentRelayOfOne);
    let relays = if of_one { [&second, &first] } else { [&first, &second] };
    let alice = Talker::start(program, lab.peer(0)?.station(), &relays, Some(&bob))?;
    let path = if loss == Loss::Network { "direct" } else { "relayed" };
    [&alice, &bob].iter().try_for_each(|talker| talker.hears_by(path))?;
    match loss {
        Loss::Network => lab.roam(0)?,
        Loss::Relay | Loss::RelayOfOne => drop(first),
        Loss::SilentRelay | Loss::SilentRelayOfOne => lab.set_up(lab.host(0)?.link(), false)?,
        Loss::RoughRelay => lab.set_link(lab.host(0)?.link(), ROUGH)?,
    }
    if loss == Loss::Network {
        // She takes another port for that, some seconds later.
        [&alice, &bob].iter().try_for_each(|talker| talker.hears_by(path))?;
    }
    [&alice, &bob].iter().try_for_each(|talker| talker.end())?;
    Ok(Trial { loss, reports: [alice.report()?, bob.report()?] })
}

/// What all trials of one kind came to, for people.
pub fn summary(trials: &[Trial]) -> String {
    let mut text = String::new();
    for loss in Loss::ALL {
        let of_it: Vec<&Trial> = trials.iter().filter(|trial| trial.loss == loss).collect();
        if let Some(middle) = middle(of_it.iter().map(|trial| trial.gap_ms())) {
            let worst = of_it.iter().map(|trial| trial.gap_ms()).fold(0.0, f64::max);
            let passed = of_it.iter().filter(|trial| trial.passed()).count();
            let name = loss.name();
            text.push_str(&format!(
                "{name}: {passed} of {} passed, gap {middle:.0} ms (median), {worst:.0} ms (worst)\n",
                of_it.len()
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_of_five_seconds_or_a_lost_word_fails_and_is_named() {
        let report = |longest_gap_ms, lost| Report { longest_gap_ms, lost, ..Report::default() };
        let trial = |reports| Trial { loss: Loss::Relay, reports };
        let well = trial([report(100.0, 0), report(4999.0, 0)]);
        assert!(well.passed() && failings(&[well]).is_empty());
        let slow = trial([report(100.0, 0), report(5000.0, 0)]);
        assert!(!slow.passed());
        let named = failings(&[slow, trial([report(1.0, 2), report(1.0, 1)])]);
        let relay = Loss::Relay.name();
        assert_eq!(named[0], format!("{relay}: nothing arrived for 5000 ms, less than 5s is asked for"));
        assert_eq!((named.len(), named[1].as_str()), (2, format!("{relay}: 3 words were lost").as_str()));
    }
}
