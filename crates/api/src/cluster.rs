//! Clusters: groups that decide by votes who is in. What can be asked about them, what a node tells of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::meeting::Secret;

/// One question about clusters. `which` is the number of a membership, the name of its cluster or the beginning of the
/// cluster's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterCall {
    /// My memberships. [`ClusterAnswer::Clusters`]
    List,
    /// Founds one. [`ClusterAnswer::View`]
    Found(NewCluster),
    /// Asks to be let in. [`ClusterAnswer::View`]
    Join(NewMembership),
    /// One membership with its members and motions. [`ClusterAnswer::View`]
    Show {
        /// Which.
        which: String,
    },
    /// Tells the members, or one of them, who I am. [`ClusterAnswer::View`]
    Claim {
        /// Which.
        which: String,
        /// To whom.
        claim: NewClaim,
    },
    /// Whether its members are told what I have read. [`ClusterAnswer::View`]
    Edit {
        /// Which.
        which: String,
        /// What changes.
        edit: ClusterEdit,
    },
    /// Leaves, at once. [`ClusterAnswer::View`]
    Leave {
        /// Which.
        which: String,
    },
    /// Founds another by the same rules and asks members to come along. [`ClusterAnswer::Departure`]
    Split {
        /// Which.
        which: String,
        /// With whom.
        split: NewSplit,
    },
    /// Makes a link by which somebody can ask to be let in. [`ClusterAnswer::Invite`]
    Invite {
        /// To which.
        which: String,
        /// What for.
        invite: NewClusterInvite,
        /// The door, in base32, if a passphrase stands for it; otherwise one is drawn.
        door: Option<Secret>,
    },
    /// Who asks to be let in. [`ClusterAnswer::Requests`]
    Requests {
        /// Into which.
        which: String,
    },
    /// Its motions, the oldest first. [`ClusterAnswer::Motions`]
    Motions {
        /// Of which.
        which: String,
    },
    /// One motion. [`ClusterAnswer::Motion`]
    Motion {
        /// Of which cluster.
        which: String,
        /// The beginning of its id.
        motion: String,
    },
    /// Opens a motion. [`ClusterAnswer::Motion`]
    Open {
        /// In which.
        which: String,
        /// What is moved.
        proposal: Proposal,
    },
    /// Votes. [`ClusterAnswer::Motion`]
    Vote {
        /// The beginning of the motion's id.
        motion: String,
        /// `yes`, `no`, or numbers of options.
        vote: String,
    },
    /// Which members have a message of mine. [`ClusterAnswer::Receipts`]
    Receipts {
        /// Id of the message.
        message: String,
    },
    /// Verifies all that was decided. [`ClusterAnswer::Decisions`]
    Audit {
        /// In which.
        which: String,
    },
}

/// The answer to a [`ClusterCall`]; each variant says which.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum ClusterAnswer {
    Clusters(Vec<Cluster>),
    View(Box<ClusterView>),
    Invite(ClusterInvite),
    Requests(Vec<JoinRequest>),
    Motions(Vec<Motion>),
    Motion(Box<Motion>),
    Decisions(DecisionList),
    Receipts(Vec<Receipt>),
    Departure(Box<Departure>),
}

/// One of my memberships.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Names this membership on this node.
    pub cluster: String,
    /// Names the cluster, the same for all its members; none before I am let in.
    pub id: Option<String>,
    /// What it is called.
    pub name: String,
    /// How I stand with it.
    pub standing: Standing,
    /// Who I am in it, which nothing connects to my names.
    pub member: String,
    /// How I call myself in it.
    pub nick: String,
    /// Its conversation.
    pub conversation: String,
    /// How often its group has changed.
    pub epoch: u64,
    /// Equal on two members exactly when their group is the same.
    pub state: Option<String>,
    /// How many members it has.
    pub size: u64,
    /// How many ask to be let in.
    pub requests: u64,
}

/// How I stand with a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ClusterStanding)]
pub enum Standing {
    /// I have asked to be let in.
    Asking,
    /// I am a member.
    Member,
    /// I have left.
    Left,
    /// The members have removed me.
    Removed,
    /// I was away for too long and am being let back in.
    Away,
}

/// A membership with all that there is to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterView {
    /// The membership.
    #[serde(flatten)]
    pub cluster: Cluster,
    /// The rules of the cluster.
    pub charter: Option<Charter>,
    /// Its members, by nickname.
    pub members: Vec<Member>,
    /// Its motions, the oldest first.
    pub motions: Vec<Motion>,
    /// Links to it that were made here, the newest first; until their time is over.
    pub links: Vec<ClusterLink>,
    /// Whether its members are told what I have read.
    pub receipts: bool,
}

/// A link to a cluster that was made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterLink {
    /// What was given out.
    pub link: String,
    /// What it is for; may be empty.
    pub label: String,
    /// When it closes, ms since 1970.
    pub until: u64,
    /// Whether it was closed before its time: somebody who could read what is asked by it is no member any more, or it made room for
    /// another member's. Nobody is let in by it.
    pub closed: bool,
    /// Whether it is voted in secret on whoever comes by it.
    pub secret: bool,
}

/// The rules that a cluster gave itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Charter {
    /// What the cluster calls itself.
    pub name: String,
    /// Members at most.
    pub cap: u16,
    /// How many must say yes.
    pub quorum: Quorum,
    /// How often everybody's keys are replaced, hours.
    pub rollout_hours: u16,
    /// Who was not heard for so many epochs is silent; 0: nobody ever is.
    pub silent_epochs: u16,
    /// For how many epochs somebody must have been a member to propose that somebody be let in.
    pub sponsor_epochs: u16,
    /// What newcomers may be given of what was written before.
    pub history: History,
    /// For how many epochs a motion stays open.
    pub motion_epochs: u8,
    /// Members vote by themselves to drop those who are silent.
    pub automatic_ballots: bool,
    /// Members tell each other which messages have arrived.
    pub delivery: bool,
}

/// How many of those who may vote must say yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// More than half.
    Majority,
    /// More than two thirds.
    TwoThirds,
}

/// What newcomers may be given of what was written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ClusterHistory)]
pub enum History {
    /// Nothing.
    None,
    /// So many of the last messages.
    Last(u32),
    /// Everything since the founding.
    All,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ClusterMember)]
pub struct Member {
    /// Who.
    pub member: String,
    /// How they call themselves.
    pub nick: String,
    /// The name that they have shown to be behind it, if they chose to.
    pub name: Option<String>,
    /// It is me.
    pub own: bool,
    /// They were heard since the group changed last.
    pub here: bool,
    /// When they were heard last, ms since 1970.
    pub heard: Option<u64>,
    /// The rules call them silent: a motion can drop them.
    pub silent: bool,
    /// It is proven that they told two sets of keys for anonymous messages of one epoch: so as to write twice as much, or from a backup.
    pub two_sets: bool,
}

/// Somebody who asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// Names this request.
    pub request: String,
    /// How they would call themselves.
    pub nick: String,
    /// What they say.
    pub words: String,
    /// Who they would be.
    pub member: String,
    /// When they asked, ms since 1970.
    pub at: u64,
    /// The cluster with which they come, as it calls itself; its members agreed to that, as signatures of theirs show.
    pub from: Option<String>,
}

/// Something that members vote on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Motion {
    /// Names it.
    pub motion: String,
    /// The membership in whose cluster it was moved.
    pub cluster: String,
    /// What it is about.
    pub kind: MotionKind,
    /// Whom or what it is about.
    pub subject: String,
    /// How it stands.
    pub state: MotionState,
    /// It has been carried out.
    pub done: bool,
    /// How many said yes; in a secret vote 0 until the result is there.
    pub yes: u64,
    /// How many said no; in a secret vote 0 until the result is there.
    pub no: u64,
    /// Nicknames of those who said yes.
    pub yes_by: Vec<String>,
    /// Nicknames of those who said no.
    pub no_by: Vec<String>,
    /// How many must say yes.
    pub needed: u64,
    /// How many may vote.
    pub voters: u64,
    /// Last epoch at which it can be carried out.
    pub until: u64,
    /// Nickname of who moved it.
    pub proposer: String,
    /// What I said. In a secret vote `secret` once I have; before that what waits until there is a key: yes, no, or the number of an
    /// option.
    pub ours: Option<String>,
    /// When it came, ms since 1970.
    pub at: u64,
    /// Of a question: what can be answered, and how the answers stand.
    pub options: Vec<MotionOption>,
    /// Of a question: voters rank the options, instead of choosing one.
    pub ranked: bool,
    /// The rules that are moved.
    pub charter: Option<Charter>,
    /// Nicknames of those who have provably said one thing and another.
    pub cheated: Vec<String>,
    /// Everybody sees who voted, and nobody how; experimental. Each option counts nothing until the result is there.
    pub secret: bool,
    /// Of a secret vote: how far it has come.
    pub phase: Option<VotePhase>,
    /// Of a secret vote: nicknames of those who have voted.
    pub voted: Vec<String>,
    /// Of these, whose ballots are not in the result because too many trustees had not heard of them.
    pub left_out: Vec<String>,
    /// Of a secret vote that came to nothing, but for one that was refused by its count: why, and what to do.
    pub why: Option<String>,
    /// Of a decision that has passed in a secret vote: nicknames of those whose nodes verified that and said so, however they voted.
    /// It is carried out by as many as must say yes.
    pub confirmed: Vec<String>,
}

/// How far a secret vote has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VotePhase {
    /// Trustees make the key; what members want to vote waits.
    MakingKey,
    /// Members vote.
    Voting,
    /// Trustees open the sum of the ballots.
    Opening,
    /// It has ended, with a result or without.
    Done,
}

impl VotePhase {
    /// How it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MakingKey => "making_key",
            Self::Voting => "voting",
            Self::Opening => "opening",
            Self::Done => "done",
        }
    }
}

/// One of the answers to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MotionOption {
    /// What it says.
    pub option: String,
    /// How many like it best.
    pub first: u64,
    /// Its place, from 1.
    pub place: u64,
}

/// What a motion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MotionKind {
    /// To let somebody in.
    Admit,
    /// To put a member out.
    Expel,
    /// To drop members of whom nothing is heard.
    Silent,
    /// To take other rules.
    Charter,
    /// To go into another cluster.
    Merge,
    /// To let in those who came with another cluster.
    TakeIn,
    /// To ask something.
    Question,
}

impl MotionKind {
    /// How it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Expel => "expel",
            Self::Silent => "silent",
            Self::Charter => "charter",
            Self::Merge => "merge",
            Self::TakeIn => "take_in",
            Self::Question => "question",
        }
    }
}

/// How a motion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MotionState {
    /// It is being voted on.
    Open,
    /// Enough said yes.
    Passed,
    /// It cannot pass any more.
    Failed,
    /// Its time is over.
    Expired,
}

impl MotionState {
    /// How it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// One step of what a cluster decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// The epoch that began with it.
    pub epoch: u64,
    /// What: `admit bob`, `expel carol`, `leave dave`, `charter nest`, `take_in owls: erin, frank`; or what was answered in
    /// secret to what was moved at that epoch, `answer Where?: here 2, there 1`, `answer admit bob: yes 4, no 1`.
    pub what: Vec<String>,
    /// What of it was voted on in secret while the result is not known here, as to who came later: enough members signed that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What of it was refused in a secret vote, as the transcript here proves: enough members signed falsely that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrue: Vec<String>,
}

/// A link by which somebody can ask to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterInvite {
    /// A `samizdat:cluster/` link.
    pub link: String,
    /// Words that stand for it and can be said on the phone, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub passphrase: Option<Secret>,
}

/// Body of `POST clusters`: what is absent is as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCluster {
    /// What it is called.
    pub name: String,
    /// How I call myself in it; drawn by chance when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// Its rules.
    #[serde(default)]
    pub charter: CharterEdit,
}

/// Rules that differ from what is there, or from the usual ones: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CharterEdit {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Members at most, 2 to 500 (usually 50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u16>,
    /// How many must say yes (usually a majority).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Quorum>,
    /// How often everybody's keys are replaced, hours, 1 to 720 (usually 24).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_hours: Option<u16>,
    /// What newcomers may be given of what was written before (usually nothing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// For how many epochs somebody must have been a member to propose that somebody be let in (usually 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor_epochs: Option<u16>,
    /// For how many epochs a motion stays open, 1 to 64 (usually 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion_epochs: Option<u8>,
    /// Who was not heard for so many epochs is silent (usually 14); 0: nobody ever is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_epochs: Option<u16>,
    /// Whether members vote by themselves to drop those who are silent (usually they do).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_ballots: Option<bool>,
    /// Whether members tell each other which messages have arrived (usually they do).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<bool>,
}

/// Body of `POST join`: a link or a passphrase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMembership {
    /// A `samizdat:cluster/` link.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// The words that stand for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub passphrase: Option<Secret>,
    /// How I want to call myself; drawn by chance when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// What I say to the members.
    #[serde(default)]
    pub words: String,
}

/// Body of `PATCH clusters/{cluster}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterEdit {
    /// Whether its members are told what I have read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
}

/// Body of `POST clusters/{cluster}/invites`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClusterInvite {
    /// What the members are told of it.
    #[serde(default)]
    pub label: String,
    /// For how many days it can be used, 1 to 56 (default 7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Whether another cluster is to come by it: then the link names this one.
    #[serde(default)]
    pub merge: bool,
    /// Whether it is voted in secret on whoever comes by it; experimental.
    #[serde(default)]
    pub secret: bool,
    /// Of how many words, 8 to 12, a passphrase shall stand for it; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_words: Option<u8>,
}

/// Body of `POST clusters/{cluster}/motions`: what is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proposal {
    /// To let somebody in.
    Admit {
        /// The request, or the nickname in it.
        who: String,
        /// Everybody sees who voted, and nobody how. Experimental; not of fewer than three. What has passed so, members confirm
        /// by themselves.
        #[serde(default, skip_serializing_if = "is_open")]
        secret: bool,
    },
    /// To put a member out.
    Expel {
        /// Nickname, or the beginning of the id.
        who: String,
        /// As to let somebody in.
        #[serde(default, skip_serializing_if = "is_open")]
        secret: bool,
    },
    /// To drop members of whom nothing is heard.
    Silent {
        /// Nicknames, or beginnings of ids.
        who: Vec<String>,
        /// As to let somebody in.
        #[serde(default, skip_serializing_if = "is_open")]
        secret: bool,
    },
    /// To take other rules.
    Charter {
        /// Which; what is absent stays.
        charter: CharterEdit,
        /// As to let somebody in.
        #[serde(default, skip_serializing_if = "is_open")]
        secret: bool,
    },
    /// To go into another cluster: once it has passed, those who said yes ask to be let in there.
    Merge {
        /// A link that a member there made for a whole cluster.
        link: String,
        /// What that cluster is called.
        name: String,
    },
    /// To let in, all at once, those who came with another cluster.
    TakeIn {
        /// What that cluster calls itself.
        from: String,
        /// As to let somebody in.
        #[serde(default, skip_serializing_if = "is_open")]
        secret: bool,
    },
    /// To ask something.
    Question {
        /// What.
        text: String,
        /// What can be answered.
        options: Vec<String>,
        /// Voters rank the options, instead of choosing one.
        #[serde(default)]
        ranked: bool,
        /// Everybody sees who voted, and nobody how. Experimental; not where the options are ranked, and not of fewer than three.
        #[serde(default)]
        secret: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_open(secret: &bool) -> bool {
    !secret
}

impl Proposal {
    /// Whether everybody sees who voted, and nobody how.
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Admit { secret, .. }
            | Self::Expel { secret, .. }
            | Self::Silent { secret, .. }
            | Self::Charter { secret, .. }
            | Self::TakeIn { secret, .. }
            | Self::Question { secret, .. } => *secret,
            Self::Merge { .. } => false,
        }
    }
}

/// Body of `POST motions/{motion}/vote`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVote {
    /// `yes` or `no`; for a question the numbers of the options from 1, best first: `2`, or `2,1` where they are ranked.
    pub vote: String,
}

/// Answer to `GET clusters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterList {
    /// My memberships.
    pub clusters: Vec<Cluster>,
}

/// Answer to `GET clusters/{cluster}/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinRequestList {
    /// Who asks to be let in.
    pub requests: Vec<JoinRequest>,
}

/// Answer to `GET clusters/{cluster}/motions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MotionList {
    /// Motions, the oldest first.
    pub motions: Vec<Motion>,
}

/// Answer to `GET clusters/{cluster}/audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionList {
    /// The epoch from which on it is known what was decided; nothing: since the founding.
    pub since: Option<u64>,
    /// What was decided, the oldest first; each of them was verified.
    pub decisions: Vec<Decision>,
}

/// Body of `POST clusters/{cluster}/claim`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClaim {
    /// Only this member is told, by nickname or the beginning of its id; absent: all of today and of later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Body of `POST clusters/{cluster}/split`: at most one of `with` and `without`; without both all are asked. Members are given by
/// nickname or the beginning of their id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSplit {
    /// Only these are asked to come along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// All but these are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// What the new cluster is called; the old name and a number when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A new cluster, and who was asked to come along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Departure {
    /// My membership in the new cluster.
    pub cluster: Cluster,
    /// The link that was sent to each of them.
    pub link: String,
    /// Nicknames of those who were asked.
    pub asked: Vec<String>,
}

/// A member who has a message of mine, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// Who.
    pub member: String,
    /// How they call themselves.
    pub nick: String,
    /// When my node learned of it, ms since 1970.
    pub at: u64,
    /// When it said that a person has read it, if it did; ms since 1970.
    pub read: Option<u64>,
}

/// Answer to `GET messages/{id}/receipts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptList {
    /// Who has it, in the order in which my node learned of it.
    pub receipts: Vec<Receipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_proposals_are_written_as_in_the_contract() {
        let json = |value: History| serde_json::to_string(&value).unwrap();
        assert_eq!([History::None, History::Last(100), History::All].map(json), [r#""none""#, r#"{"last":100}"#, r#""all""#]);
        let charter = CharterEdit { quorum: Some(Quorum::TwoThirds), ..CharterEdit::default() };
        let proposal = Proposal::Charter { charter, secret: false };
        assert_eq!(serde_json::to_string(&proposal).unwrap(), r#"{"kind":"charter","charter":{"quorum":"two-thirds"}}"#);
        assert!(serde_json::from_str::<Proposal>(r#"{"kind":"expel","who":"bob","why":"x"}"#).is_err());
        let expel = |secret| Ok(Proposal::Expel { who: "bob".into(), secret });
        let read = |json| serde_json::from_str::<Proposal>(json).map_err(|_| ());
        assert_eq!(read(r#"{"kind":"expel","who":"bob"}"#), expel(false));
        assert_eq!(read(r#"{"kind":"expel","who":"bob","secret":true}"#), expel(true));
        assert!(read(r#"{"kind":"merge","link":"l","name":"n","secret":true}"#).is_err(), "who goes must be known");
    }

    #[test]
    fn kinds_and_states_are_written_as_on_the_wire() {
        for kind in [
            MotionKind::Admit,
            MotionKind::Expel,
            MotionKind::Silent,
            MotionKind::Charter,
            MotionKind::Merge,
            MotionKind::TakeIn,
            MotionKind::Question,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for state in [MotionState::Open, MotionState::Passed, MotionState::Failed, MotionState::Expired] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for phase in [VotePhase::MakingKey, VotePhase::Voting, VotePhase::Opening, VotePhase::Done] {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }
}
