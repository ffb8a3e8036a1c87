//! What members do, and what is done to them.

use samizdat_chat::{Chat, ChatError, Proposal, Standing, limits::MESSAGE_LIFETIME};
use samizdat_cluster::{motion::Method, tally::Outcome};
use samizdat_store::Vault;
use samizdat_sync::draw::Draw;

use super::{
    member::{CLUSTER, Member},
    town::{Town, Written},
};
use crate::{
    limits::{CLUSTER_LEAST, CLUSTER_SKEW_MS},
    node::random,
    world::SimError,
};

impl Town {
    /// Something of all that may happen.
    pub(super) fn act(&mut self) -> Result<(), SimError> {
        let member = self.somebody();
        if self.members.get(member).is_some_and(|member| member.malicious) && self.draw.percent(70) {
            return self.do_mischief(member);
        }
        match self.draw.below(100) {
            0..36 => self.write(member),
            36..54 => self.vote(member),
            54..66 => self.propose(member),
            66..76 => self.come_and_go(member),
            76..84 => self.part(),
            84..90 => self.restart(member),
            90..93 => {
                self.with(member, |member| member.doomed = true);
                self.wake(member, self.now)
            }
            93..95 => self.leave(member),
            95..97 => self.admit(member),
            97..99 => self.restore(member),
            _ => self.part(),
        }
    }

    fn somebody(&mut self) -> usize {
        let awake: Vec<usize> =
            self.members.iter().enumerate().filter(|(_, member)| !member.asleep).map(|(number, _)| number).collect();
        self.draw.pick(awake).unwrap_or(0)
    }

    pub(super) fn write(&mut self, number: usize) -> Result<(), SimError> {
        let texts = 1_u64.saturating_add(self.draw.below(3));
        for _ in 0..texts {
            let serial = self.written.len();
            let now = self.now;
            let Some(member) = self.members.get_mut(number) else { return Ok(()) };
            let cluster = member.chat.cluster(CLUSTER)?;
            if cluster.standing != Standing::Member {
                return Ok(());
            }
            let text = format!("text {serial}");
            let at = member.now(now);
            member.chat.write_in_cluster(CLUSTER, &text, MESSAGE_LIFETIME, at)?;
            let readers = cluster.members.into_iter().map(|member| member.member).collect();
            self.written.push(Written { author: number, text, at: now, readers });
        }
        self.wake(number, self.now)
    }

    fn vote(&mut self, _: usize) -> Result<(), SimError> {
        // Most who are asked say something.
        for number in 0..self.members.len() {
            let (asked, yes) = (self.draw.percent(60), self.draw.percent(75));
            let now = self.now;
            let Some(member) = self.members.get_mut(number).filter(|member| asked && !member.asleep) else { continue };
            let at = member.now(now);
            for motion in
                member.chat.motions(CLUSTER)?.iter().filter(|motion| motion.state == Outcome::Open && motion.ours.is_none())
            {
                let vote = if motion.kind == "question" {
                    "1"
                } else if yes {
                    "yes"
                } else {
                    "no"
                };
                match member.chat.vote(&motion.motion, vote, at) {
                    Ok(_) | Err(ChatError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.wake(number, now)?;
        }
        Ok(())
    }

    fn propose(&mut self, number: usize) -> Result<(), SimError> {
        let (kind, drawn) = (self.draw.below(10), self.draw.word());
        let now = self.now;
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        let cluster = member.chat.cluster(CLUSTER)?;
        let (Standing::Member, Some(mut charter)) = (cluster.standing, cluster.charter) else { return Ok(()) };
        let others: Vec<_> = cluster.members.iter().filter(|other| !other.own).collect();
        let other = usize::try_from(drawn).ok().and_then(|drawn| others.get(drawn.checked_rem(others.len())?));
        charter.cap = 100_u16.saturating_add(u16::try_from(drawn % 100).unwrap_or(0));
        let (yes, no) = ("yes".to_owned(), "no".to_owned());
        let options = [yes, no];
        let proposal = match (kind, other) {
            (0..4, Some(other)) if cluster.members.len() > CLUSTER_LEAST => Proposal::Expel(&other.member),
            (4..7, _) => Proposal::Charter(charter),
            _ => Proposal::Question { text: "and now?", options: &options, method: Method::Plurality },
        };
        let at = member.now(now);
        let secret = drawn.is_multiple_of(if matches!(proposal, Proposal::Question { .. }) { 2 } else { 3 });
        let moved = if secret {
            member.chat.open_secret_motion(CLUSTER, &proposal, at)
        } else {
            member.chat.open_motion(CLUSTER, &proposal, at)
        };
        match moved {
            Ok(_) | Err(ChatError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.wake(number, now)
    }

    fn come_and_go(&mut self, number: usize) -> Result<(), SimError> {
        let asleep = self.draw.percent(50);
        // Whoever was away comes back first.
        let away = (0..self.size).filter(|number| self.members.get(*number).is_some_and(|member| !member.online));
        let back = if self.draw.percent(60) { self.draw.pick(away.collect::<Vec<_>>()) } else { None };
        // Who is away for long stays so.
        let long = self.end.saturating_sub(self.now) > 60 * crate::limits::HOUR_MS;
        match back {
            Some(back) if !long => {
                self.with(back, |member| (member.online, member.asleep) = (true, false));
                self.wake(back, self.now)
            }
            _ => {
                self.with(number, |member| (member.online, member.asleep) = (false, asleep));
                Ok(())
            }
        }
    }

    fn part(&mut self) -> Result<(), SimError> {
        let parts = 1_u64.saturating_add(self.draw.below(4));
        for member in &mut self.members {
            // One large part and small ones, or equal ones.
            member.part = if self.draw.percent(30) { 0 } else { self.draw.below(parts) };
        }
        Ok(())
    }

    fn restart(&mut self, number: usize) -> Result<(), SimError> {
        let (now, tick) = (self.now, self.draw.percent(50));
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        if tick {
            member.tick(now)?;
        }
        member.restart(&self.letters, now)?;
        member.wake = u64::MAX;
        self.wake(number, now)
    }

    fn leave(&mut self, number: usize) -> Result<(), SimError> {
        let now = self.now;
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        let cluster = member.chat.cluster(CLUSTER)?;
        if cluster.standing == Standing::Member && cluster.members.len() > CLUSTER_LEAST {
            let at = member.now(now);
            member.chat.leave_cluster(CLUSTER, at)?;
            self.wake(number, now)?;
        }
        Ok(())
    }

    /// Somebody else comes by a link of a member's.
    fn admit(&mut self, number: usize) -> Result<(), SimError> {
        let now = self.now;
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        if member.standing()? != Standing::Member {
            return Ok(());
        }
        let at = member.now(now);
        let link = match member.chat.invite_to_cluster(CLUSTER, "", 7, at) {
            Err(ChatError::Refused(_)) => return Ok(()),
            link => link?,
        };
        let part = member.part;
        let ahead = self.draw.below(CLUSTER_SKEW_MS);
        let mut newcomer = Member::new(Vault::in_memory(Chat::MIGRATIONS)?, Draw::new(random(&mut self.draw)), ahead)?;
        newcomer.part = part;
        let nick = format!("m{}", self.members.len());
        let at = newcomer.now(now);
        newcomer.chat.join_cluster(&link, &nick, "", at)?;
        self.members.push(newcomer);
        let last = self.members.len().saturating_sub(1);
        self.meet_again(last);
        self.wake(last, now)?;
        self.wake(number, now)
    }

    /// An old copy of a vault is made, or takes the place of the vault.
    fn restore(&mut self, number: usize) -> Result<(), SimError> {
        let now = self.now;
        match self.backup.take() {
            Some((number, backup)) => {
                let letters = &self.letters;
                let Some(member) = self.members.get_mut(number) else { return Ok(()) };
                member.restore(backup, letters, now)?;
                member.wake = u64::MAX;
                self.wake(number, now)
            }
            None => {
                let backup = self.members.get(number).map(|member| member.back_up(now)).transpose()?;
                self.backup = backup.map(|backup| (number, backup));
                Ok(())
            }
        }
    }
}
