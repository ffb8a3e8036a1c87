//! Motions: what members vote on. Each is bound to an epoch and the hash of its roster, not to a state, so that it outlives the
//! branch on which it was made.

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use crate::{
    cbor::{Malformed, Out, Wire, Written, ascends, exact, from_bytes, is_line, list, text, to_bytes, versioned, write_list},
    charter::{Charter, Quorum},
    ids::{ClusterId, MemberId, MotionId},
    limits::{CAP_MAX, MOTION_MAX, NICK_MAX, OPTION_MAX, OPTIONS_MAX, OPTIONS_MIN, QUESTION_MAX},
    merge::{BadConsent, ConsentIn, GuestIn, Merge, read_guests},
    roster::{Past, Roster},
    secret::NotSecret,
};

const VERSION: u8 = 1;
const ADMIT: u8 = 0;
const EXPEL: u8 = 1;
const SILENT: u8 = 2;
const CHARTER: u8 = 3;
const MERGE: u8 = 4;
const QUESTION: u8 = 5;
const TAKE_IN: u8 = 6;

/// What is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Let somebody in.
    Admit(Admission),
    /// Put somebody out.
    Expel {
        /// Whom.
        member: MemberId,
    },
    /// Drop those of whom nothing is heard.
    Silent {
        /// Whom, by key, none twice.
        members: Vec<MemberId>,
    },
    /// Take other rules.
    Charter(Charter),
    /// Go into another cluster, as far as that one agrees: each who says yes.
    Merge(Merge),
    /// Let in members of another cluster that agreed to come.
    TakeIn {
        /// That it agreed.
        consent: Box<ConsentIn>,
        /// Who of it comes, by key, none twice.
        guests: Vec<GuestIn>,
    },
    /// Ask something. Nothing follows from the answer by itself.
    Question {
        /// What is asked.
        text: String,
        /// What can be answered.
        options: Vec<String>,
        /// How the answers are counted.
        method: Method,
    },
}

/// Somebody, exactly as admitted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Admission {
    /// Whom.
    pub member: MemberId,
    /// SHA-256 of the KeyPackage with which.
    pub key_package: [u8; 32],
    /// Under which nickname.
    pub nick: String,
}

/// How the answers to a question are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One option each; the most named wins.
    Plurality,
    /// Options in the order of one's liking; counted by the method of Schulze.
    Preference,
}

/// What a motion says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MotionFields {
    /// In which cluster.
    pub cluster: ClusterId,
    /// At which epoch it was made.
    pub epoch: u64,
    /// [`Roster::hash`] of the members at that epoch: those who may vote.
    pub roster: [u8; 32],
    /// Last epoch of a state that may be changed by it.
    pub until: u64,
    /// Who moves.
    pub proposer: MemberId,
    /// Random, so that the same can be moved twice.
    pub nonce: [u8; 16],
    /// Whether everybody sees who voted, and nobody how: see [`crate::secret`]. What is decided so, those who may vote
    /// [confirm](crate::ballot::Ballot::confirm).
    pub secret: bool,
    /// What is moved.
    pub kind: Kind,
}

/// A motion as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MotionIn(MotionFields);

/// A motion that is in order, and who may vote on it. There is no other way to one than [`MotionIn::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Motion {
    id: MotionId,
    fields: MotionFields,
    electorate: Roster,
    quorum: Quorum,
}

/// Why a motion is not in order.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadMotion {
    /// Of another cluster.
    #[error("the motion was made in another cluster")]
    ForeignCluster,
    /// The epoch is none of this past.
    #[error("the motion was made at an epoch that this branch does not know")]
    UnknownEpoch,
    /// The members at its epoch were others.
    #[error("the motion was made among other members than this branch had then")]
    UnknownRoster,
    /// The charter does not let it stay open for so long, or it ended before it began.
    #[error("the motion does not end when the charter says: open it again")]
    Until,
    /// Whoever moved was no member.
    #[error("the motion was made by somebody who was no member")]
    ProposerNotMember,
    /// The charter asks for a longer membership.
    #[error("the motion to admit was made by somebody who had not been a member for long enough: let another member open it")]
    MayNotSponsor,
    /// The subject is a member.
    #[error("the motion would admit somebody who is a member already")]
    AlreadyMember,
    /// The subject is none.
    #[error("the motion would remove somebody who is no member")]
    NoSuchMember,
    /// A cluster into itself, or under another name.
    #[error("a cluster goes into another one than itself, and under its own name")]
    IntoItself,
    /// Whom another cluster sends.
    #[error(transparent)]
    Consent(#[from] BadConsent),
    /// Everybody is a subject.
    #[error("nobody would be left to vote on this motion: leave the cluster instead")]
    NobodyVotes,
    /// In secret, and that cannot be.
    #[error(transparent)]
    NotSecret(#[from] NotSecret),
}

impl MotionFields {
    /// Its name: a hash of all that it says.
    pub fn id(&self) -> MotionId {
        MotionId(Sha256::new().chain_update(b"samizdat motion v1\0").chain_update(to_bytes(self)).finalize().into())
    }

    /// Whether somebody is no member any more once it is carried out.
    pub fn puts_out(&self, member: &MemberId) -> bool {
        matches!(self.kind, Kind::Expel { .. } | Kind::Silent { .. }) && self.subjects().contains(member)
    }

    /// Whom it is about. They do not vote on it.
    pub fn subjects(&self) -> &[MemberId] {
        match &self.kind {
            Kind::Admit(Admission { member, .. }) | Kind::Expel { member } => core::slice::from_ref(member),
            Kind::Silent { members } => members,
            Kind::Charter(_) | Kind::Question { .. } | Kind::Merge(_) | Kind::TakeIn { .. } => &[],
        }
    }

    /// Whom it lets in.
    pub fn admissions(&self) -> Vec<&Admission> {
        match &self.kind {
            Kind::Admit(admission) => vec![admission],
            Kind::TakeIn { guests, .. } => guests.iter().map(GuestIn::claimed).collect(),
            _ => Vec::new(),
        }
    }
}

impl MotionIn {
    /// A motion of our own, to be verified as everybody else will.
    ///
    /// # Errors
    /// If nobody could read it: a text too long, no options, no charter.
    pub fn new(fields: MotionFields) -> Result<Self, Malformed> {
        Self::decode(&to_bytes(&fields))
    }

    /// Reads a motion.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, MOTION_MAX)
    }

    /// To be sent.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// What it says.
    pub fn claimed(&self) -> &MotionFields {
        &self.0
    }

    /// The only door to a [`Motion`]: whether it was in order where and when it was made.
    ///
    /// # Errors
    /// With the first rule that it breaks. On another branch the answer can be another.
    pub fn verify(self, cluster: &ClusterId, past: &Past) -> Result<Motion, BadMotion> {
        let fields = self.0;
        if fields.cluster != *cluster {
            return Err(BadMotion::ForeignCluster);
        }
        let (roster, charter) = past.at(fields.epoch).ok_or(BadMotion::UnknownEpoch)?;
        if fields.roster != roster.hash() {
            return Err(BadMotion::UnknownRoster);
        }
        if !(fields.epoch..=fields.epoch.saturating_add(charter.motion_epochs.into())).contains(&fields.until) {
            return Err(BadMotion::Until);
        }
        if !roster.contains(&fields.proposer) {
            return Err(BadMotion::ProposerNotMember);
        }
        check_subjects(&fields, roster)?;
        check_merge(&fields, charter)?;
        let sponsors = matches!(fields.kind, Kind::Admit(_) | Kind::TakeIn { .. });
        if sponsors && !past.was_member(&fields.proposer, fields.epoch, charter.sponsor_epochs) {
            return Err(BadMotion::MayNotSponsor);
        }
        let electorate = roster.without(|member| fields.subjects().contains(member));
        if electorate.is_empty() {
            return Err(BadMotion::NobodyVotes);
        }
        if fields.secret {
            NotSecret::check(&fields.kind, electorate.len())?;
        }
        Ok(Motion { id: fields.id(), electorate, quorum: charter.quorum, fields })
    }
}

fn check_subjects(fields: &MotionFields, roster: &Roster) -> Result<(), BadMotion> {
    match &fields.kind {
        Kind::Admit(_) | Kind::TakeIn { .. } if fields.admissions().iter().any(|admission| roster.contains(&admission.member)) => {
            Err(BadMotion::AlreadyMember)
        }
        Kind::Expel { .. } | Kind::Silent { .. } if !fields.subjects().iter().all(|member| roster.contains(member)) => {
            Err(BadMotion::NoSuchMember)
        }
        _ => Ok(()),
    }
}

fn check_merge(fields: &MotionFields, charter: &Charter) -> Result<(), BadMotion> {
    match &fields.kind {
        Kind::Merge(merge) if merge.into == fields.cluster || merge.from != charter.name => Err(BadMotion::IntoItself),
        Kind::TakeIn { consent, guests } => Ok(consent.verify(&fields.cluster)?.check_guests(guests)?),
        _ => Ok(()),
    }
}

impl Motion {
    /// Its name.
    pub fn id(&self) -> MotionId {
        self.id
    }

    /// What it says.
    pub fn fields(&self) -> &MotionFields {
        &self.fields
    }

    /// Who may vote on it: the members of its epoch without its subjects.
    pub fn electorate(&self) -> &Roster {
        &self.electorate
    }

    /// How many must say yes.
    pub fn needed(&self) -> usize {
        self.quorum.needed(self.electorate.len())
    }

    /// Whether it is a decision, and voted on in secret: that it has passed is confirmed by those who may vote.
    pub fn decides_in_secret(&self) -> bool {
        self.fields.secret && !matches!(self.fields.kind, Kind::Question { .. })
    }

    /// Last epoch at which a secret vote on it is open. Of a decision the second half is left for what follows: the sum is opened,
    /// confirmed, carried out.
    pub fn closes(&self) -> u64 {
        let MotionFields { epoch, until, .. } = self.fields;
        if self.decides_in_secret() { epoch.midpoint(until) } else { until }
    }

    /// As received.
    pub fn unverified(&self) -> MotionIn {
        MotionIn(self.fields.clone())
    }
}

impl Wire for MotionIn {
    fn write(&self, e: &mut Out) -> Written {
        self.0.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        MotionFields::read(d).map(Self)
    }
}

impl Wire for MotionFields {
    fn write(&self, e: &mut Out) -> Written {
        e.array(9)?.u8(VERSION)?;
        self.cluster.write(e)?;
        e.u64(self.epoch)?.bytes(&self.roster)?.u64(self.until)?;
        self.proposer.write(e)?;
        e.bytes(&self.nonce)?.bool(self.secret)?;
        self.kind.write(e)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 9, VERSION)?;
        Some(Self {
            cluster: ClusterId::read(d)?,
            epoch: d.u64().ok()?,
            roster: exact(d)?,
            until: d.u64().ok()?,
            proposer: MemberId::read(d)?,
            nonce: exact(d)?,
            secret: d.bool().ok()?,
            kind: Kind::read(d)?,
        })
    }
}

impl Wire for Admission {
    fn write(&self, e: &mut Out) -> Written {
        self.member.write(e)?;
        e.bytes(&self.key_package)?.str(&self.nick)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let (member, key_package) = (MemberId::read(d)?, exact(d)?);
        Some(Self { member, key_package, nick: text(d, NICK_MAX).filter(|nick| is_line(nick, NICK_MAX))? })
    }
}

impl Wire for Kind {
    fn write(&self, e: &mut Out) -> Written {
        match self {
            Self::Admit(admission) => {
                e.array(4)?.u8(ADMIT)?;
                admission.write(e)
            }
            Self::Expel { member } => {
                e.array(2)?.u8(EXPEL)?;
                member.write(e)
            }
            Self::Silent { members } => {
                e.array(2)?.u8(SILENT)?;
                write_list(e, members, |e, member| member.write(e))
            }
            Self::Charter(charter) => {
                e.array(2)?.u8(CHARTER)?;
                charter.write(e)
            }
            Self::Merge(merge) => {
                e.array(5)?.u8(MERGE)?;
                merge.write(e)
            }
            Self::TakeIn { consent, guests } => {
                e.array(3)?.u8(TAKE_IN)?;
                consent.write(e)?;
                write_list(e, guests, |e, guest| guest.write(e))
            }
            Self::Question { text, options, method } => {
                e.array(4)?.u8(QUESTION)?.str(text)?;
                write_list(e, options, |e, option| e.str(option).map(|_| ()))?;
                e.u8(match method {
                    Method::Plurality => 0,
                    Method::Preference => 1,
                })?;
                Ok(())
            }
        }
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        match (d.array().ok()??, d.u8().ok()?) {
            (4, ADMIT) => Some(Self::Admit(Admission::read(d)?)),
            (2, EXPEL) => Some(Self::Expel { member: MemberId::read(d)? }),
            (2, SILENT) => {
                let members = list(d, CAP_MAX.into(), MemberId::read)?;
                (!members.is_empty() && ascends(&members)).then_some(Self::Silent { members })
            }
            (2, CHARTER) => Some(Self::Charter(Charter::read(d)?)),
            (5, MERGE) => Some(Self::Merge(Merge::read(d)?)),
            (4, QUESTION) => read_question(d),
            (3, TAKE_IN) => Some(Self::TakeIn { consent: Box::new(ConsentIn::read(d)?), guests: read_guests(d)? }),
            _ => None,
        }
    }
}

fn read_question(d: &mut Decoder<'_>) -> Option<Kind> {
    let text =
        text(d, QUESTION_MAX).filter(|text| !text.trim().is_empty() && !text.chars().any(|c| c.is_control() && c != '\n'))?;
    let options = list(d, OPTIONS_MAX, |d| self::text(d, OPTION_MAX).filter(|option| is_line(option, OPTION_MAX)))?;
    let method = match d.u8().ok()? {
        0 => Method::Plurality,
        1 => Method::Preference,
        _ => return None,
    };
    let mut sorted: Vec<&String> = options.iter().collect();
    sorted.sort_unstable();
    (options.len() >= OPTIONS_MIN && ascends(&sorted)).then_some(Kind::Question { text, options, method })
}

#[cfg(test)]
mod tests;
