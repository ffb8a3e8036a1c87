//! How trustees agree on one thing: of which dealings the key is made, and later which ballots are opened. Each opens once, so they
//! must not be led to two things by who heard what first.
//!
//! This is Tendermint (Buchman, Kwon, Milosevic: The latest gossip on BFT consensus, 2018) for one value, without its empty votes.
//! In each round one trustee proposes; who can take that backs it; who hears that enough back it binds itself, and from then on backs
//! nothing else unless enough backed that later. Enough who bound themselves in one round have decided. As long as fewer than a third
//! lie nothing else is ever decided, whenever messages come; and they decide in the first round that an honest trustee leads and that
//! lasts longer than its messages are under way.

use core::fmt;
use std::collections::BTreeMap;

use minicbor::Decoder;

use super::{panel::Panel, setup::Heard};
use crate::{
    cbor::{Malformed, Out, Wire, Written, array, ascends, blob, exact, from_bytes, list, to_bytes, versioned, write_list},
    ids::{MemberId, MemberSecret, MotionId},
    limits::{DECISION_MAX, NAMES_MAX, ROUND_DOUBLINGS, ROUND_MS, ROUNDS_MAX, TRUSTEES_MAX, WORD_MAX, WORDS_PER_STAGE},
};

const VERSION: u8 = 1;

/// On what trustees agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Subject {
    /// Of which dealings the key is made.
    Key = 0,
    /// Which ballots are opened.
    Count = 1,
}

/// How far a trustee goes in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// It leads the round and proposes something.
    Propose = 0,
    /// It can take what was proposed.
    Back = 1,
    /// Enough can, and from now on it backs nothing else.
    Bind = 2,
}

/// What is proposed: dealings or ballots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Names all of it: the id of the key, or of the count.
    pub id: [u8; 32],
    /// What it is made of: ids of dealings, or the beginnings of ids of ballots.
    pub names: Vec<u8>,
}

/// What a trustee says in a round, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct WordIn {
    motion: MotionId,
    trustee: MemberId,
    subject: Subject,
    round: u8,
    stage: Stage,
    /// The names are said by who proposes.
    pick: Pick,
    signature: [u8; 64],
}

/// What a trustee says in a round. There is no other way to this than [`WordIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(WordIn);

/// That enough trustees bound themselves to one thing in one round, told by somebody: as received.
#[derive(Clone, PartialEq, Eq)]
pub struct DecisionIn {
    motion: MotionId,
    teller: MemberId,
    subject: Subject,
    round: u8,
    pick: Pick,
    /// By the places of trustees, ascending.
    votes: Vec<(u8, [u8; 64])>,
}

/// What trustees decided. There is no other way to this than [`DecisionIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision(DecisionIn);

/// Why a word or a decision does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadWord {
    /// For another motion, or about something else.
    #[error("the word of the trustee is about something else")]
    Elsewhere,
    /// By somebody who is no trustee.
    #[error("the word is not by a trustee of this motion")]
    NotTrustee,
    /// Only who leads a round proposes something, and says of what it is made.
    #[error("the word is of a round that another trustee leads, or of none")]
    OutOfTurn,
    /// Too few trustees.
    #[error("too few trustees agreed")]
    TooFew,
    /// The names are not those of what was decided, or not all are known.
    #[error("what the trustees decided is not what was told with it, or has not all been heard yet: try again when it is")]
    Unheard,
    /// Signed by somebody else.
    #[error("the word is not signed by the trustee whose it says it is")]
    Forged,
}

/// What trustees said about one subject. Who says more than two things at one stage of a round is heard no further there, and backs each.
#[derive(Debug, Clone)]
pub struct Talk {
    panel: Panel,
    subject: Subject,
    words: BTreeMap<(u8, Stage, MemberId), Vec<Word>>,
}

/// Which round it is so long after the first one began, and for how long still, in ms. Each takes twice as long as the one before, up
/// to hours: at some time that is longer than messages are under way.
pub fn round_after(elapsed: u64) -> (u8, u64) {
    let mut left = elapsed;
    for round in 0..ROUNDS_MAX.saturating_sub(1) {
        let doubled = 1u64.checked_shl(round.min(ROUND_DOUBLINGS).into()).unwrap_or(1);
        let lasts = ROUND_MS.saturating_mul(doubled);
        match left.checked_sub(lasts) {
            Some(rest) => left = rest,
            None => return (round, lasts.saturating_sub(left)),
        }
    }
    (ROUNDS_MAX.saturating_sub(1), u64::MAX)
}

impl Talk {
    /// Nothing yet.
    pub fn new(panel: Panel, subject: Subject) -> Self {
        Self { panel, subject, words: BTreeMap::new() }
    }

    /// Takes a word.
    ///
    /// # Errors
    /// If it does not count.
    pub fn hear(&mut self, word: WordIn) -> Result<Heard, BadWord> {
        if word.subject != self.subject {
            return Err(BadWord::Elsewhere);
        }
        let word = word.verify(&self.panel)?;
        let before = self.words.entry((word.0.round, word.0.stage, word.0.trustee)).or_default();
        if before.iter().any(|known| known.0.pick == word.0.pick) {
            return Ok(Heard::Known);
        }
        let heard = if before.is_empty() { Heard::New } else { Heard::Cheat };
        if before.len() < WORDS_PER_STAGE {
            before.push(word);
        }
        Ok(heard)
    }

    /// What we say next as a trustee, if anything: it is heard, and then asked again. `clock` is the round [by our clock](round_after);
    /// `fresh` is what we would propose, `takes` what we can take. What was said before is to have been heard, or we say two things.
    pub fn next(
        &self,
        us: &MemberSecret,
        clock: u8,
        fresh: impl FnOnce() -> Option<Pick>,
        takes: impl Fn(&Pick) -> bool,
    ) -> Option<Word> {
        let me = us.member();
        let place = self.panel.place(&me)?;
        let ours = self.words.keys().filter(|(_, _, by)| *by == me).map(|(round, _, _)| *round).max();
        let round = clock.max(self.round_of_others()).max(ours.unwrap_or(0));
        let said = |stage| self.words.contains_key(&(round, stage, me));
        let say = |stage, pick: &Pick| WordIn::sign(&self.panel, us, (self.subject, round, stage), pick).verify(&self.panel).ok();
        if !said(Stage::Bind)
            && let Some(id) = self.backed(round)
        {
            return say(Stage::Bind, &Pick { id, names: Vec::new() });
        }
        let bound = self.bound(&me);
        let free = |pick: &&Pick| match bound {
            Some((at, id)) => pick.id == id || (at.saturating_add(1)..round).any(|later| self.backed(later) == Some(pick.id)),
            None => true,
        };
        if !said(Stage::Back)
            && let Some(pick) = self.proposed(round).filter(free).find(|pick| takes(pick))
        {
            return say(Stage::Back, pick);
        }
        if leads(&self.panel, round, place) && !said(Stage::Propose) {
            let known = (0..round).rev().find_map(|before| self.pick(&self.backed(before)?, &takes)).cloned();
            return say(Stage::Propose, &known.or_else(fresh)?);
        }
        None
    }

    /// What is decided, told by us, if we know of what it is made: `fits` says whether the names are those of the id.
    pub fn decision(&self, us: &MemberId, fits: impl Fn(&Pick) -> bool) -> Option<DecisionIn> {
        let mut rounds: Vec<u8> = self.words.keys().map(|(round, _, _)| *round).collect();
        rounds.dedup();
        rounds.into_iter().find_map(|round| {
            let id = self.decided(round)?;
            let word =
                |trustee: &MemberId| self.words.get(&(round, Stage::Bind, *trustee))?.iter().find(|word| word.0.pick.id == id);
            let votes =
                self.panel.trustees().iter().zip(0..).filter_map(|(trustee, place)| Some((place, word(trustee)?.0.signature)));
            let votes = votes.take(self.panel.needed()).collect();
            let (motion, pick) = (self.panel.id(), self.pick(&id, &fits)?.clone());
            Some(DecisionIn { motion, teller: *us, subject: self.subject, round, pick, votes })
        })
    }

    /// The last round to which one trustee came, at least, who does not lie.
    fn round_of_others(&self) -> u8 {
        let mut last: BTreeMap<MemberId, u8> = BTreeMap::new();
        for (round, _, trustee) in self.words.keys() {
            last.entry(*trustee).and_modify(|last| *last = (*last).max(*round)).or_insert(*round);
        }
        let mut rounds: Vec<u8> = last.into_values().collect();
        rounds.sort_unstable_by(|one, other| other.cmp(one));
        rounds.get(self.panel.spare()).copied().unwrap_or(0)
    }

    /// To what we bound ourselves last.
    fn bound(&self, us: &MemberId) -> Option<(u8, [u8; 32])> {
        let ours = self.words.iter().rev().find(|((_, stage, by), _)| *stage == Stage::Bind && by == us);
        ours.and_then(|((round, _, _), words)| Some((*round, words.first()?.0.pick.id)))
    }

    /// What enough trustees back in a round. Who backs two things there counts for each: of all that a liar says everybody keeps two
    /// words, but not the same two, and whoever bound itself would otherwise know of what others will never see to be backed.
    fn backed(&self, round: u8) -> Option<[u8; 32]> {
        let liars = self.said(round, Stage::Back).filter(|words| words.len() > 1).count();
        let truthful = self.said(round, Stage::Back).filter(|words| words.len() == 1);
        self.most(truthful).filter(|(_, count)| count.saturating_add(liars) >= self.panel.needed()).map(|(id, _)| id)
    }

    /// To what as many trustees as are needed bound themselves in a round.
    fn decided(&self, round: u8) -> Option<[u8; 32]> {
        self.most(self.said(round, Stage::Bind)).filter(|(_, count)| *count >= self.panel.needed()).map(|(id, _)| id)
    }

    /// What each trustee said at a stage of a round.
    fn said(&self, round: u8, stage: Stage) -> impl Iterator<Item = &Vec<Word>> {
        self.panel.trustees().iter().filter_map(move |one| self.words.get(&(round, stage, *one)))
    }

    /// What most say, and how many.
    fn most<'a>(&self, said: impl Iterator<Item = &'a Vec<Word>>) -> Option<([u8; 32], usize)> {
        let mut counts: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for word in said.flatten() {
            let count = counts.entry(word.0.pick.id).or_default();
            *count = count.saturating_add(1);
        }
        counts.into_iter().max_by_key(|(_, count)| *count)
    }

    fn proposed(&self, round: u8) -> impl Iterator<Item = &Pick> {
        let words = self.words.range((round, Stage::Propose, MemberId([0; 32]))..=(round, Stage::Propose, MemberId([0xff; 32])));
        words.flat_map(|(_, words)| words).map(|word| &word.0.pick)
    }

    /// Somebody may propose the id of one thing with the names of another.
    fn pick(&self, id: &[u8; 32], fits: impl Fn(&Pick) -> bool) -> Option<&Pick> {
        (0..ROUNDS_MAX).find_map(|round| self.proposed(round).find(|pick| pick.id == *id && fits(pick)))
    }
}

/// They lead one after the other, from the lowest rank.
fn leads(panel: &Panel, round: u8, place: usize) -> bool {
    usize::from(round).checked_rem(panel.trustees().len()) == Some(place)
}

impl WordIn {
    /// Reads a word.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, WORD_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// For which motion it says to be.
    pub fn claimed_motion(&self) -> MotionId {
        self.motion
    }

    /// Whose it says to be.
    pub fn claimed_trustee(&self) -> MemberId {
        self.trustee
    }

    /// About what it says to be.
    pub fn claimed_subject(&self) -> Subject {
        self.subject
    }

    /// Of which round and stage it says to be: each is said once.
    pub fn claimed_turn(&self) -> (u8, Stage) {
        (self.round, self.stage)
    }

    /// Of our own, as a trustee.
    pub(super) fn sign(panel: &Panel, us: &MemberSecret, (subject, round, stage): (Subject, u8, Stage), pick: &Pick) -> Self {
        let names = if stage == Stage::Propose { pick.names.clone() } else { Vec::new() };
        let pick = Pick { id: pick.id, names };
        let unsigned = Self { motion: panel.id(), trustee: us.member(), subject, round, stage, pick, signature: [0; 64] };
        Self { signature: us.sign(&unsigned.signed()), ..unsigned }
    }

    /// The only door to a [`Word`].
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn verify(self, panel: &Panel) -> Result<Word, BadWord> {
        if self.motion != panel.id() {
            return Err(BadWord::Elsewhere);
        }
        let place = panel.place(&self.trustee).ok_or(BadWord::NotTrustee)?;
        let in_turn = match self.stage {
            Stage::Propose => leads(panel, self.round, place),
            Stage::Back | Stage::Bind => self.pick.names.is_empty(),
        };
        if !in_turn || self.round >= ROUNDS_MAX {
            return Err(BadWord::OutOfTurn);
        }
        self.trustee.verify(&self.signed(), &self.signature).map_err(|_| BadWord::Forged)?;
        Ok(Word(self))
    }

    fn signed(&self) -> Vec<u8> {
        signed(&self.motion, (self.subject, self.round, self.stage), &self.pick)
    }
}

fn signed(motion: &MotionId, (subject, round, stage): (Subject, u8, Stage), pick: &Pick) -> Vec<u8> {
    [&b"samizdat trustee v2\0"[..], &motion.0, &[subject as u8, round, stage as u8], &pick.id, &pick.names].concat()
}

impl Word {
    /// As received.
    pub fn unverified(&self) -> WordIn {
        self.0.clone()
    }

    /// In which round it was said, and at which stage.
    pub fn turn(&self) -> (u8, Stage) {
        (self.0.round, self.0.stage)
    }
}

impl DecisionIn {
    /// Reads a decision.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, DECISION_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// For which motion it says to be.
    pub fn claimed_motion(&self) -> MotionId {
        self.motion
    }

    /// Who tells it, by what it says.
    pub fn claimed_teller(&self) -> MemberId {
        self.teller
    }

    /// About what it says to be.
    pub fn claimed_subject(&self) -> Subject {
        self.subject
    }

    /// The only door to a [`Decision`]. Who tells it proves nothing, and that the names are those of what was decided sees who knows
    /// what they name.
    ///
    /// # Errors
    /// With the first rule that it breaks.
    pub fn verify(self, panel: &Panel, subject: Subject) -> Result<Decision, BadWord> {
        if (self.motion, self.subject) != (panel.id(), subject) {
            return Err(BadWord::Elsewhere);
        }
        if self.votes.len() != panel.needed() {
            return Err(BadWord::TooFew);
        }
        let bare = Pick { id: self.pick.id, names: Vec::new() };
        let said = signed(&self.motion, (subject, self.round, Stage::Bind), &bare);
        for (place, signature) in &self.votes {
            let trustee = panel.trustees().get(usize::from(*place)).ok_or(BadWord::NotTrustee)?;
            trustee.verify(&said, signature).map_err(|_| BadWord::Forged)?;
        }
        Ok(Decision(self))
    }
}

impl Decision {
    /// What was decided.
    pub fn pick(&self) -> &Pick {
        &self.0.pick
    }

    /// As received.
    pub fn unverified(&self) -> DecisionIn {
        self.0.clone()
    }
}

impl Subject {
    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        [Self::Key, Self::Count].get(usize::from(d.u8().ok()?)).copied()
    }
}

impl Stage {
    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        [Self::Propose, Self::Back, Self::Bind].get(usize::from(d.u8().ok()?)).copied()
    }
}

impl Wire for Pick {
    fn write(&self, e: &mut Out) -> Written {
        e.array(2)?.bytes(&self.id)?.bytes(&self.names)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 2)?;
        Some(Self { id: exact(d)?, names: blob(d, NAMES_MAX)? })
    }
}

impl Wire for WordIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(8)?.u8(VERSION)?;
        self.motion.write(e)?;
        self.trustee.write(e)?;
        e.u8(self.subject as u8)?.u8(self.round)?.u8(self.stage as u8)?;
        self.pick.write(e)?;
        e.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 8, VERSION)?;
        let (motion, trustee, subject) = (MotionId::read(d)?, MemberId::read(d)?, Subject::read(d)?);
        let (round, stage) = (d.u8().ok()?, Stage::read(d)?);
        Some(Self { motion, trustee, subject, round, stage, pick: Pick::read(d)?, signature: exact(d)? })
    }
}

impl Wire for DecisionIn {
    fn write(&self, e: &mut Out) -> Written {
        e.array(7)?.u8(VERSION)?;
        self.motion.write(e)?;
        self.teller.write(e)?;
        e.u8(self.subject as u8)?.u8(self.round)?;
        self.pick.write(e)?;
        write_list(e, &self.votes, |e, (place, signature)| e.array(2)?.u8(*place)?.bytes(signature).map(|_| ()))
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 7, VERSION)?;
        let (motion, teller, subject) = (MotionId::read(d)?, MemberId::read(d)?, Subject::read(d)?);
        let (round, pick) = (d.u8().ok()?, Pick::read(d)?);
        let votes = list(d, TRUSTEES_MAX, |d| array(d, 2).and_then(|()| Some((d.u8().ok()?, exact(d)?))))?;
        let places: Vec<u8> = votes.iter().map(|(place, _)| *place).collect();
        ascends(&places).then_some(Self { motion, teller, subject, round, pick, votes })
    }
}

impl fmt::Debug for WordIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?} in round {} of {:?} for {:?}", self.stage, self.subject, self.round, self.trustee, self.motion)
    }
}

impl fmt::Debug for DecisionIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trustees decided in round {} on the {:?} for {:?}", self.votes.len(), self.round, self.subject, self.motion)
    }
}

#[cfg(test)]
impl DecisionIn {
    /// With a vote less.
    pub(super) fn fewer(mut self) -> Self {
        self.votes.pop();
        self
    }
}
