//! Motions and ballots: what members move, how they vote, what has passed.

use std::collections::BTreeSet;

use rand_core::Rng;
use samizdat_cluster::{
    Charter, MemberId, MotionId,
    ballot::{Ballot, BallotIn, Choice},
    certificate::CertificateIn,
    content::Body,
    leave::LeaveIn,
    motion::{Admission, Kind, Method, Motion, MotionFields, MotionIn},
    tally::Tally,
};
use samizdat_core::Now;

use super::row::{ClusterRow, StateRow, ms};
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{
        DECIDING_LIFETIMES, ID_LETTERS_MIN, MOTIONS_MAX, SECRET_CONFIRM_HOURS, SECRET_MOTIONS_HEARD_MAX, SECRET_MOTIONS_MAX,
        TAKE_INS_MAX,
    },
    mls::Leaf,
    work::Work,
};

/// What a person moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal<'a> {
    /// To let somebody in: the number of the request, or the nickname in it.
    Admit(&'a str),
    /// To put a member out: nickname, or the beginning of the id.
    Expel(&'a str),
    /// To drop members of whom nothing is heard.
    Silent(&'a [String]),
    /// To take other rules.
    Charter(Charter),
    /// To go into another cluster.
    Merge {
        /// By this link, which a member there made for it.
        link: &'a str,
        /// What that cluster is called.
        name: &'a str,
    },
    /// To let in those who came with a cluster that calls itself so.
    TakeIn(&'a str),
    /// To ask something.
    Question {
        /// What.
        text: &'a str,
        /// What can be answered.
        options: &'a [String],
        /// How the answers are counted.
        method: Method,
    },
}

impl Chat {
    /// Opens a motion. Whoever moves a decision says yes to it.
    pub fn open_motion(&mut self, which: &str, proposal: &Proposal<'_>, now: Now) -> Result<(i64, MotionId), ChatError> {
        self.propose(which, proposal, false, now)
    }

    /// Opens a motion on which everybody sees who voted, and nobody how: whoever moves it votes like all others.
    pub fn open_secret_motion(&mut self, which: &str, proposal: &Proposal<'_>, now: Now) -> Result<(i64, MotionId), ChatError> {
        self.propose(which, proposal, true, now)
    }

    fn propose(&mut self, which: &str, proposal: &Proposal<'_>, secret: bool, now: Now) -> Result<(i64, MotionId), ChatError> {
        self.transact(|work| {
            let row = work.find_cluster(which)?;
            let (_, tip) = row.place()?;
            let state = work.state_row(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
            let kind = work.kind_of(&row, &state, proposal)?;
            Ok((row.cluster, work.open_motion(&row, &state, kind, secret, now)?))
        })
    }

    /// Votes on a motion: of whichever cluster, by the beginning of its id. For a question, the options in the order of one's
    /// liking, from 1.
    pub fn vote(&mut self, motion: &str, vote: &str, now: Now) -> Result<(i64, MotionId), ChatError> {
        self.transact(|work| {
            let (cluster, motion) = work.find_motion(motion)?;
            let row = work.cluster_row(cluster)?;
            let (_, tip) = row.place()?;
            let state = work.state_row(cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
            work.vote(&row, &state, &motion, &choice(vote)?, now)?;
            Ok((cluster, motion))
        })
    }
}

fn choice(vote: &str) -> Result<Choice, ChatError> {
    match vote.trim().to_lowercase().as_str() {
        "yes" | "y" => Ok(Choice::Decision(true)),
        "no" | "n" => Ok(Choice::Decision(false)),
        options => {
            let options = options.split(',').map(|option| option.trim().parse::<u8>().ok()?.checked_sub(1)).collect::<Option<_>>();
            options.map(Choice::Options).ok_or_else(|| {
                ChatError::Usage("vote yes or no, or for a question the numbers of the options you like, best first: 2,1".into())
            })
        }
    }
}

impl Work<'_> {
    fn kind_of(&mut self, row: &ClusterRow, state: &StateRow, proposal: &Proposal<'_>) -> Result<Kind, ChatError> {
        Ok(match proposal {
            Proposal::Admit(who) => Kind::Admit(self.admission(row, who)?),
            Proposal::Expel(who) => Kind::Expel { member: find_member(state, who)? },
            Proposal::Silent(who) => {
                let mut members = who.iter().map(|who| find_member(state, who)).collect::<Result<Vec<_>, _>>()?;
                members.sort_unstable();
                members.dedup();
                Kind::Silent { members }
            }
            Proposal::Charter(charter) => Kind::Charter(charter.clone()),
            Proposal::Merge { link, name } => self.merge_by(row, state, link, name)?,
            Proposal::TakeIn(name) => self.take_in(row, state, name)?,
            Proposal::Question { text, options, method } => {
                Kind::Question { text: (*text).to_owned(), options: options.to_vec(), method: *method }
            }
        })
    }

    /// Moves something, to be voted on by those who are members now. Whoever moves a decision openly says yes to it.
    pub(crate) fn open_motion(
        &mut self,
        row: &ClusterRow,
        state: &StateRow,
        kind: Kind,
        secret: bool,
        now: Now,
    ) -> Result<MotionId, ChatError> {
        let Some(cluster) = row.id else { return Err(ChatError::Bug("cluster without id")) };
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        let until = state.epoch.saturating_add(state.context.charter.motion_epochs.into());
        let (epoch, roster, proposer) = (state.epoch, state.roster().hash(), row.member);
        let fields = MotionFields { cluster, epoch, roster, until, proposer, nonce, secret, kind };
        let wrong = |_| {
            ChatError::Usage(
                "the motion is too long or says nothing: a question wants a text and 2 to 16 answers, a cluster a name of one line"
                    .into(),
            )
        };
        let motion = MotionIn::new(fields).map_err(wrong)?;
        let verified = motion.clone().verify(&cluster, &state.past).map_err(|why| ChatError::Refused(why.to_string()))?;
        self.check_secrecy(row, state, &verified)?;
        self.put_motion(row, &motion, now)?;
        self.begin_vote(row, state, &verified, now)?;
        self.send_message(row, &state.state, Body::Motion(motion), &DECIDING_LIFETIMES, now)?;
        let decides = !matches!(verified.fields().kind, Kind::Question { .. });
        if decides && !secret && verified.electorate().contains(&row.member) {
            self.vote(row, state, &verified.id(), &Choice::Decision(true), now)?;
        }
        self.touch(row.cluster);
        Ok(verified.id())
    }

    /// Whether a vote can be secret that we would open, and would not show what another one hides.
    fn check_secrecy(&self, row: &ClusterRow, state: &StateRow, motion: &Motion) -> Result<(), ChatError> {
        let fields = motion.fields();
        if !fields.secret {
            let same = |open: &&(MotionIn, u64)| {
                let open = open.0.claimed();
                open.secret && open.kind == fields.kind && open.until >= state.epoch && !state.done.has(&open.id())
            };
            let people = matches!(fields.kind, Kind::Admit(_) | Kind::Expel { .. });
            return match self.motions(row)?.iter().find(same).filter(|_| people) {
                Some((open, _)) if self.secret_votes_of(row, core::slice::from_ref(open))? > 0 => Err(ChatError::Refused(
                    "this is being voted on in secret: an open vote would show who is for it; wait for the result".into(),
                )),
                _ => Ok(()),
            };
        }
        if !self.may_open_in_secret(row, state)? {
            let why = format!(
                "{SECRET_MOTIONS_MAX} secret votes that you opened are going on: wait for one to end, or have it voted on openly"
            );
            return Err(ChatError::Refused(why));
        }
        let left = fields.until.saturating_sub(motion.closes()).saturating_mul(state.context.charter.rollout_hours.into());
        if motion.decides_in_secret() && left < SECRET_CONFIRM_HOURS {
            let why = "by the rules of this cluster motions end too soon to open and confirm a secret vote: have it voted on openly, \
                       or give motions more epochs";
            return Err(ChatError::Refused(why.into()));
        }
        Ok(())
    }

    /// Whether there is room for one more secret vote of ours.
    pub(crate) fn may_open_in_secret(&self, row: &ClusterRow, state: &StateRow) -> Result<bool, ChatError> {
        Ok(self.secret_votes_of(row, &self.open_of(row, state, &row.member)?)? < SECRET_MOTIONS_MAX)
    }

    pub(crate) fn vote(
        &mut self,
        row: &ClusterRow,
        state: &StateRow,
        motion: &MotionId,
        choice: &Choice,
        now: Now,
    ) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Err(ChatError::Bug("cluster without id")) };
        let bytes: Vec<u8> = self.conn.query_row(
            "SELECT bytes FROM cluster_motion WHERE cluster = ?1 AND motion = ?2",
            (row.cluster, motion.0),
            |row| row.get(0),
        )?;
        let motion = MotionIn::decode(&bytes).map_err(|_| ChatError::Bug("motion"))?;
        // In secret it is voted on by whom it asked, whichever branch is followed since.
        if motion.claimed().secret {
            return self.vote_in_secret(row, state, &motion.claimed().id(), choice, now);
        }
        let motion = motion.verify(&cluster, &state.past).map_err(|why| ChatError::Refused(why.to_string()))?;
        if state.epoch > motion.fields().until || state.done.has(&motion.id()) {
            return Err(ChatError::Refused("the time to vote on this motion is over".into()));
        }
        if self.own_ballot(row, &motion.id())?.is_some_and(|cast| cast != *choice) {
            return Err(ChatError::Refused("you have voted: whoever votes twice proves to everybody that they cheated".into()));
        }
        let secret = self.member_secret(row)?;
        let ballot = Ballot::cast(&motion, &secret, choice.clone()).map_err(|why| ChatError::Refused(why.to_string()))?;
        let ballot = ballot.unverified();
        self.take_ballot(row, &ballot)?;
        self.send_message(row, &state.state, Body::Ballot(ballot), &DECIDING_LIFETIMES, now)?;
        Ok(())
    }

    /// A motion that a member sent from a state.
    pub(crate) fn take_motion(&mut self, row: &ClusterRow, at: &StateRow, motion: &MotionIn, now: Now) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Ok(()) };
        let Ok(verified) = motion.clone().verify(&cluster, &at.past) else { return Ok(()) };
        let takes_in = |motion: &MotionIn| matches!(motion.claimed().kind, Kind::TakeIn { .. });
        let open = self.open_of(row, at, &motion.claimed().proposer)?;
        // These are large, and hundreds of signatures are looked at for each.
        let full = takes_in(motion) && open.iter().filter(|open| takes_in(open)).count() >= TAKE_INS_MAX;
        let others: Vec<MotionIn> = open.iter().filter(|open| open.claimed().id() != verified.id()).cloned().collect();
        let in_secret = verified.fields().secret && self.secret_votes_of(row, &others)? >= SECRET_MOTIONS_HEARD_MAX;
        if open.len() < MOTIONS_MAX && !full && !in_secret {
            self.put_motion(row, motion, now)?;
            self.begin_vote(row, at, &verified, now)?;
        }
        Ok(())
    }

    /// What a member moved that is open.
    fn open_of(&self, row: &ClusterRow, at: &StateRow, proposer: &MemberId) -> Result<Vec<MotionIn>, ChatError> {
        let mut open: Vec<MotionIn> = self.motions(row)?.into_iter().map(|(motion, _)| motion).collect();
        open.retain(|open| open.claimed().proposer == *proposer && open.claimed().until >= at.epoch);
        Ok(open)
    }

    fn put_motion(&mut self, row: &ClusterRow, motion: &MotionIn, now: Now) -> Result<(), ChatError> {
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_motion(cluster, motion, bytes, at) VALUES(?1, ?2, ?3, ?4)",
            (row.cluster, motion.claimed().id().0, motion.encode(), ms(now.unix_ms)),
        )?;
        self.touch(row.cluster);
        Ok(())
    }

    /// A ballot, be its motion known or not: the two may come in any order. Of one voter at most three are kept, which prove enough;
    /// none that others made in his name, or he would have none left.
    pub(crate) fn take_ballot(&mut self, row: &ClusterRow, ballot: &BallotIn) -> Result<(), ChatError> {
        if ballot.check_signature().is_err() {
            return Ok(());
        }
        let (motion, voter) = (ballot.claimed_motion(), ballot.claimed_voter());
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO cluster_ballot(cluster, motion, voter, bytes) SELECT ?1, ?2, ?3, ?4
                 WHERE (SELECT count(*) FROM cluster_ballot WHERE cluster = ?1 AND motion = ?2 AND voter = ?3) < 3",
            )?
            .execute((row.cluster, motion.0, voter.0, ballot.encode()))?;
        self.touch(row.cluster);
        Ok(())
    }

    /// Notes which motions have passed, and since when.
    pub(crate) fn count(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        for (motion, passed) in self.motions(row)? {
            let open = passed == 0 && motion.claimed().until >= state.epoch && !state.done.has(&motion.claimed().id());
            if open
                && self.may_have_passed(row, state, &motion)?
                && self.tally(row, state, &motion)?.is_some_and(|tally| tally.has_passed())
            {
                self.conn.execute(
                    "UPDATE cluster_motion SET passed = ?3 WHERE cluster = ?1 AND motion = ?2",
                    (row.cluster, motion.claimed().id().0, ms(now.unix_ms)),
                )?;
            }
        }
        Ok(())
    }

    /// Whether as many seem to have said yes as it takes. Each ballot that comes asks this again, so no signature is looked at.
    fn may_have_passed(&self, row: &ClusterRow, state: &StateRow, motion: &MotionIn) -> Result<bool, ChatError> {
        let Some(motion) = row.id.and_then(|cluster| motion.clone().verify(&cluster, &state.past).ok()) else { return Ok(false) };
        let said_yes = |ballot: &BallotIn| *ballot.claimed_choice() == Choice::Decision(true);
        let yes = self.ballots(row, &motion.id())?.into_iter().filter(said_yes);
        let voters: BTreeSet<MemberId> = yes.map(|ballot| ballot.claimed_voter()).collect();
        Ok(voters.len() >= motion.needed())
    }

    /// What was said to a motion, whether it counts or not.
    fn ballots(&self, row: &ClusterRow, motion: &MotionId) -> Result<Vec<BallotIn>, ChatError> {
        let mut statement = self.conn.prepare_cached("SELECT bytes FROM cluster_ballot WHERE cluster = ?1 AND motion = ?2")?;
        let rows = statement.query_map((row.cluster, motion.0), |row| row.get::<_, Vec<u8>>(0))?;
        let mut ballots = Vec::new();
        for bytes in rows {
            ballots.extend(BallotIn::decode(&bytes?).ok());
        }
        Ok(ballots)
    }

    /// What has passed, is not carried out, and can be, with the time since when it waits.
    pub(crate) fn passed(&self, row: &ClusterRow, state: &StateRow) -> Result<Vec<(CertificateIn, u64)>, ChatError> {
        let mut passed = Vec::new();
        for (motion, at) in self.motions(row)? {
            if at == 0 || motion.claimed().until < state.epoch || state.done.has(&motion.claimed().id()) {
                continue;
            }
            let certificate = self.tally(row, state, &motion)?.and_then(|tally| CertificateIn::of(&tally));
            passed.extend(certificate.map(|certificate| (certificate, at)));
        }
        passed.sort_by_key(|(_, at)| *at);
        Ok(passed)
    }

    /// All motions, the oldest first, with the time since when they have passed.
    pub(crate) fn motions(&self, row: &ClusterRow) -> Result<Vec<(MotionIn, u64)>, ChatError> {
        let mut statement =
            self.conn.prepare_cached("SELECT bytes, passed FROM cluster_motion WHERE cluster = ?1 ORDER BY at, motion")?;
        let rows = statement.query_map([row.cluster], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u64>(1)?)))?;
        let mut motions = Vec::new();
        for found in rows {
            let (bytes, passed) = found?;
            motions.extend(MotionIn::decode(&bytes).ok().map(|motion| (motion, passed)));
        }
        Ok(motions)
    }

    /// How a motion stands, as the branch of `state` sees it; nothing if it is none of its motions.
    pub(crate) fn tally(&self, row: &ClusterRow, state: &StateRow, motion: &MotionIn) -> Result<Option<Tally>, ChatError> {
        let Some(cluster) = row.id else { return Ok(None) };
        let Ok(verified) = motion.clone().verify(&cluster, &state.past) else { return Ok(None) };
        let ballots = self.ballots(row, &verified.id())?;
        let mut tally = Tally::new(verified);
        for ballot in ballots {
            if let Ok(ballot) = ballot.verify(tally.motion()) {
                tally.add(ballot);
            }
        }
        Ok(Some(tally))
    }

    /// What we have voted.
    pub(crate) fn own_ballot(&self, row: &ClusterRow, motion: &MotionId) -> Result<Option<Choice>, ChatError> {
        let sql = "SELECT bytes FROM cluster_ballot WHERE cluster = ?1 AND motion = ?2 AND voter = ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map((row.cluster, motion.0, row.member.0), |row| row.get::<_, Vec<u8>>(0))?;
        for bytes in rows {
            // Earlier versions kept what others made in our name.
            if let Some(ours) = BallotIn::decode(&bytes?).ok().filter(|ballot| ballot.check_signature().is_ok()) {
                return Ok(Some(ours.claimed_choice().clone()));
            }
        }
        Ok(None)
    }

    pub(crate) fn leaves(&self, row: &ClusterRow) -> Result<Vec<(LeaveIn, u64)>, ChatError> {
        let mut statement =
            self.conn.prepare_cached("SELECT bytes, at FROM cluster_leave WHERE cluster = ?1 ORDER BY at, member")?;
        let rows = statement.query_map([row.cluster], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u64>(1)?)))?;
        let mut leaves = Vec::new();
        for found in rows {
            let (bytes, at) = found?;
            leaves.extend(LeaveIn::decode(&bytes).ok().map(|leave| (leave, at)));
        }
        Ok(leaves)
    }

    /// A motion by the beginning of its id.
    fn find_motion(&self, which: &str) -> Result<(i64, MotionId), ChatError> {
        let which = which.trim().to_lowercase();
        let mut statement = self.conn.prepare_cached("SELECT cluster, motion FROM cluster_motion")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, MotionId(row.get(1)?))))?;
        let all = rows.collect::<Result<Vec<_>, _>>()?;
        let found: Vec<_> = all.into_iter().filter(|(_, id)| which.len() >= 4 && id.to_string().starts_with(&which)).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(ChatError::NotFound(format!("there is no motion \"{which}\": see `motion list`"))),
            _ => Err(ChatError::Usage(format!("several motions begin with \"{which}\": give more of it"))),
        }
    }

    fn admission(&self, row: &ClusterRow, who: &str) -> Result<Admission, ChatError> {
        let requests = self.join_requests(row)?;
        // Nicknames are chosen, and may be numbers.
        let numbered = requests.iter().find(|request| request.id.to_string() == who);
        let called = || requests.iter().filter(|request| request.nick == who).collect();
        let found: Vec<_> = numbered.map_or_else(called, |request| vec![request]);
        match found.as_slice() {
            [one] => Ok(Admission { member: one.member, key_package: one.hash, nick: one.nick.clone() }),
            [] => Err(ChatError::NotFound(format!("nobody called \"{who}\" asks to be let in: see `cluster requests`"))),
            _ => Err(ChatError::Usage(format!("several ask under \"{who}\": use the number that `cluster requests` shows"))),
        }
    }
}

/// A member by nickname, or by the beginning of its id. Nicknames are chosen, so one may be the beginning of another's id: only a
/// whole id is beyond doubt.
pub(crate) fn find_member(state: &StateRow, who: &str) -> Result<MemberId, ChatError> {
    let who = who.trim();
    let id = who.to_lowercase();
    let whole = state.members.iter().find(|leaf| leaf.member.to_string() == id);
    let fits = |leaf: &&Leaf| leaf.nick == who || (id.len() >= ID_LETTERS_MIN && leaf.member.to_string().starts_with(&id));
    let found: Vec<&Leaf> = whole.map_or_else(|| state.members.iter().filter(fits).collect(), |leaf| vec![leaf]);
    match found.as_slice() {
        [one] => Ok(one.member),
        [] => Err(ChatError::NotFound(format!("there is no member \"{who}\": see `cluster show`"))),
        _ => Err(ChatError::Usage(format!("\"{who}\" fits several members: use the whole id that `cluster show` shows"))),
    }
}
