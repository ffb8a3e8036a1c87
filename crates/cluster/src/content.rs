//! What lies inside the messages of a cluster. Types that this version does not know are unknown, so that a later one can add some;
//! the turn of their author counts all the same.

use minicbor::{Decoder, Encoder};
use samizdat_core::limits::TEXT_MAX;
use sha2::{Digest, Sha256};

use crate::{
    anonymous::SlotsIn,
    ballot::BallotIn,
    cbor::{Malformed, Out, Wire, Written, array, blob, exact, from_bytes, list, text, to_bytes, write_list},
    claim::ClaimIn,
    door::Invite,
    ids::MemberId,
    leave::LeaveIn,
    limits::{DOORS_MAX, MARKS, MEMORIES_MAX, MENTIONS_MAX, MESSAGE_MAX, MISSING_MAX, PARENTS_MAX, SEALED_ASIDE_MAX},
    motion::MotionIn,
    secret::{StepIn, StepKind},
};

/// After 1, of conversations of two.
const VERSION: u8 = 2;
const HERE: u8 = 0;
const TEXT: u8 = 1;
const ACK: u8 = 2;
const MOTION: u8 = 3;
const BALLOT: u8 = 4;
const LEAVE: u8 = 5;
const INVITE: u8 = 6;
const DOORS: u8 = 7;
const CLAIM: u8 = 8;
const HISTORY: u8 = 9;
const ASIDE: u8 = 10;
const SLOTS: u8 = 11;
/// The last type that this version knows.
const LAST: u8 = StepKind::Decision as u8;

/// Names a text. It follows from who wrote what ([`text_id`]): nobody can give two texts one name, nor a text that of another's.
pub type TextId = [u8; 16];

/// What keeps apart two texts of one author that say the same, random.
pub type Nonce = [u8; 16];

/// By which a member tells another, before everybody's eyes, that something came which that one said to it alone.
pub type Mark = [u8; 16];

/// The first half of a SHA-256: of the nonce of what came, which only those two know, and to whom. To all others it is as good as random.
pub fn mark(nonce: &Nonce, to: &MemberId) -> Mark {
    let digest = Sha256::new().chain_update(b"samizdat mark v1\0").chain_update(nonce).chain_update(to.0).finalize();
    core::array::from_fn(|i| digest.get(i).copied().unwrap_or_default())
}

/// The first half of a SHA-256. Texts for all and those for one member never have the same.
pub fn text_id(author: &MemberId, audience: Audience, nonce: &Nonce, text: &str) -> TextId {
    let domain: &[u8] = match audience {
        Audience::All => b"samizdat text v1\0",
        Audience::One => b"samizdat aside v1\0",
    };
    let digest = Sha256::new().chain_update(domain).chain_update(author.0).chain_update(nonce).chain_update(text).finalize();
    core::array::from_fn(|i| digest.get(i).copied().unwrap_or_default())
}

/// For whom a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All members.
    All,
    /// One of them.
    One,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// A number of its author that only grows: where the message with the highest was sent, its author stands.
    pub turn: u64,
    /// What it is about.
    pub body: Body,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing: its author is in this state.
    Here,
    /// Something written.
    Text(Text),
    /// All up to `heads` has arrived; `read` says that a person has read it, too.
    Ack {
        /// The newest texts that have arrived.
        heads: Vec<TextId>,
        /// What these build on and has not arrived.
        missing: Vec<TextId>,
        /// Whether they were read.
        read: bool,
        /// For each of some texts that came for its author alone its [`mark`], and for the rest something random.
        marks: [Mark; MARKS],
    },
    /// Something to vote on.
    Motion(MotionIn),
    /// A vote.
    Ballot(BallotIn),
    /// Its author leaves.
    Leave(LeaveIn),
    /// A door that was opened: requests come in by it.
    Invite(Invite),
    /// The doors that are open and who opened them: for newcomers, on the word of its author.
    Doors(Vec<(MemberId, Invite)>),
    /// Its author says which name it is.
    Claim(ClaimIn),
    /// What was written before somebody came: for newcomers, on the word of its author, the oldest first.
    History(Vec<Memory>),
    /// Something that one member only can read, as the MLS library encrypted it.
    Aside(Vec<u8>),
    /// Keys of its author for anonymous messages of this epoch.
    Slots(SlotsIn),
    /// A step of a secret vote.
    Step(StepIn),
    /// Of a type that this version does not know.
    Unknown,
}

/// Something written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What its name follows from; the same text never counts twice.
    pub nonce: Nonce,
    /// When it was written by its author's clock, milliseconds.
    pub at: u64,
    /// The newest texts that its author had seen.
    pub parents: Vec<TextId>,
    /// What these build on and its author lacks.
    pub missing: Vec<TextId>,
    /// Whom it calls.
    pub mentions: Vec<MemberId>,
    /// What it says.
    pub text: String,
}

/// Something that was written earlier, as somebody remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Who wrote it.
    pub author: MemberId,
    /// What its name follows from.
    pub nonce: Nonce,
    /// When it was written by the clock of who wrote it, milliseconds.
    pub at: u64,
    /// What it says.
    pub text: String,
}

impl Message {
    /// The bytes to encrypt.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what was decrypted.
    ///
    /// # Errors
    /// If it is no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match unknown(bytes) {
            Some(turn) if bytes.len() <= MESSAGE_MAX => Ok(Self { turn, body: Body::Unknown }),
            _ => from_bytes(bytes, MESSAGE_MAX),
        }
    }
}

/// The turn in a message of a type that came later.
fn unknown(bytes: &[u8]) -> Option<u64> {
    let mut d = Decoder::new(bytes);
    d.array().ok()?.filter(|elements| *elements >= 3)?;
    let later = d.u8().ok()? == VERSION && d.u8().ok()? > LAST;
    if later { d.u64().ok() } else { None }
}

impl Body {
    /// Elements of the array, and the type.
    fn head(&self) -> (u64, u8) {
        match self {
            Self::Here => (3, HERE),
            Self::Text(_) => (9, TEXT),
            Self::Ack { .. } => (7, ACK),
            Self::Motion(_) => (4, MOTION),
            Self::Ballot(_) => (4, BALLOT),
            Self::Leave(_) => (4, LEAVE),
            Self::Invite(_) => (4, INVITE),
            Self::Doors(_) => (4, DOORS),
            Self::Claim(_) => (5, CLAIM),
            Self::History(_) => (4, HISTORY),
            Self::Aside(_) => (4, ASIDE),
            Self::Slots(_) => (4, SLOTS),
            Self::Step(step) => (4, step.kind().number()),
            Self::Unknown => (3, u8::MAX),
        }
    }

    fn write(&self, e: &mut Out) -> Written {
        match self {
            Self::Here | Self::Unknown => Ok(()),
            Self::Text(text) => text.write(e),
            Self::Ack { heads, missing, read, marks } => {
                write_ids(e, heads)?;
                write_ids(e, missing)?;
                e.bool(*read)?.array(MARKS as u64)?;
                marks.iter().try_for_each(|mark| e.bytes(mark).map(|_| ()))
            }
            Self::Motion(motion) => motion.write(e),
            Self::Ballot(ballot) => ballot.write(e),
            Self::Leave(leave) => leave.write(e),
            Self::Invite(invite) => invite.write(e),
            Self::Doors(doors) => write_list(e, doors, |e, (author, invite)| {
                e.array(2)?;
                author.write(e)?;
                invite.write(e)
            }),
            Self::Claim(claim) => claim.write(e),
            Self::Aside(sealed) => e.bytes(sealed).map(|_| ()),
            Self::Slots(slots) => slots.write(e),
            Self::Step(step) => step.write(e),
            Self::History(memories) => write_list(e, memories, |e, memory| memory.write(e)),
        }
    }

    fn read(d: &mut Decoder<'_>, kind: u8) -> Option<Self> {
        Some(match kind {
            HERE => Self::Here,
            TEXT => Self::Text(Text::read(d)?),
            ACK => Self::Ack {
                heads: read_ids(d, PARENTS_MAX)?,
                missing: read_ids(d, MISSING_MAX)?,
                read: d.bool().ok()?,
                marks: list(d, MARKS, exact)?.try_into().ok()?,
            },
            MOTION => Self::Motion(MotionIn::read(d)?),
            BALLOT => Self::Ballot(BallotIn::read(d)?),
            LEAVE => Self::Leave(LeaveIn::read(d)?),
            INVITE => Self::Invite(Invite::read(d)?),
            DOORS => Self::Doors(list(d, DOORS_MAX as usize, |d| {
                array(d, 2)?;
                Some((MemberId::read(d)?, Invite::read(d)?))
            })?),
            CLAIM => Self::Claim(ClaimIn::read(d)?),
            ASIDE => Self::Aside(blob(d, SEALED_ASIDE_MAX)?),
            SLOTS => Self::Slots(SlotsIn::read(d)?),
            HISTORY => Self::History(list(d, MEMORIES_MAX, Memory::read)?),
            kind => Self::Step(StepIn::read(d, StepKind::of(kind)?)?),
        })
    }
}

impl Wire for Message {
    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        let (elements, kind) = self.body.head();
        e.array(elements)?.u8(VERSION)?.u8(kind)?.u64(self.turn)?;
        self.body.write(e)
    }

    /// A wrong number of elements does not come out as it went in.
    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        d.array().ok()??;
        (d.u8().ok()? == VERSION).then_some(())?;
        let (kind, turn) = (d.u8().ok()?, d.u64().ok()?);
        Some(Self { turn, body: Body::read(d, kind)? })
    }
}

impl Text {
    /// Its name, if `author` wrote it.
    pub fn id(&self, author: &MemberId) -> TextId {
        text_id(author, Audience::All, &self.nonce, &self.text)
    }
}

impl Memory {
    /// The name of what it tells.
    pub fn id(&self) -> TextId {
        text_id(&self.author, Audience::All, &self.nonce, &self.text)
    }
}

impl Wire for Text {
    fn write(&self, e: &mut Out) -> Written {
        e.bytes(&self.nonce)?.u64(self.at)?;
        write_ids(e, &self.parents)?;
        write_ids(e, &self.missing)?;
        write_list(e, &self.mentions, |e, member| member.write(e))?;
        e.str(&self.text).map(|_| ())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            nonce: exact(d)?,
            at: d.u64().ok()?,
            parents: read_ids(d, PARENTS_MAX)?,
            missing: read_ids(d, MISSING_MAX)?,
            mentions: list(d, MENTIONS_MAX, MemberId::read)?,
            text: text(d, TEXT_MAX)?,
        })
    }
}

impl Wire for Memory {
    fn write(&self, e: &mut Out) -> Written {
        e.array(4)?;
        self.author.write(e)?;
        e.bytes(&self.nonce)?.u64(self.at)?.str(&self.text).map(|_| ())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        array(d, 4)?;
        Some(Self { author: MemberId::read(d)?, nonce: exact(d)?, at: d.u64().ok()?, text: text(d, TEXT_MAX)? })
    }
}

fn write_ids(e: &mut Out, ids: &[TextId]) -> Written {
    write_list(e, ids, |e, id| e.bytes(id).map(|_| ()))
}

fn read_ids(d: &mut Decoder<'_>, most: usize) -> Option<Vec<TextId>> {
    list(d, most, exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        anonymous::SlotSecrets,
        ballot::Choice,
        leave::Leave,
        people::{CLUSTER, admit, circle, invite, member, motion, secret, vote},
    };
    use proptest::prelude::*;
    use samizdat_core::identity::IdentitySecret;

    fn bodies() -> Vec<Body> {
        let motion = motion(&circle(1..=3), 1, admit(9));
        vec![
            Body::Here,
            Body::Text(Text {
                nonce: [1; 16],
                at: 5,
                parents: vec![[2; 16]; PARENTS_MAX],
                missing: vec![[3; 16]; MISSING_MAX],
                mentions: vec![member(2)],
                text: "hello".into(),
            }),
            Body::Ack { heads: vec![[1; 16], [2; 16]], missing: vec![[4; 16]], read: true, marks: [[3; 16]; MARKS] },
            Body::Motion(motion.unverified()),
            Body::Ballot(vote(&motion, 2, Choice::Decision(false)).unverified()),
            Body::Leave(Leave::sign(CLUSTER, &secret(1)).unverified()),
            Body::Invite(invite("the book fair")),
            Body::Invite(Invite { expires: 0, ..invite("") }),
            Body::Doors(vec![(member(1), invite("the book fair")), (member(2), invite(""))]),
            Body::Claim(ClaimIn::sign(&IdentitySecret::from_seed([40; 32]), &CLUSTER, &member(1), None)),
            Body::History(vec![Memory { author: member(3), nonce: [4; 16], at: 6, text: "long ago".into() }; 2]),
            Body::History(Vec::new()),
            Body::Aside(vec![5; 40]),
            Body::Slots(SlotSecrets::new([6; 32], CLUSTER, 4).publish(&secret(1)).unverified()),
        ]
    }

    #[test]
    fn every_body_survives() {
        for body in bodies() {
            let message = Message { turn: u64::MAX, body };
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_name_belongs_to_one_text_of_one_author_for_one_audience() {
        let name = |who, audience, nonce, text| text_id(&member(who), audience, &[nonce; 16], text);
        let mut names = vec![name(1, Audience::All, 1, "yes"), name(2, Audience::All, 1, "yes"), name(1, Audience::One, 1, "yes")];
        names.extend([name(1, Audience::All, 2, "yes"), name(1, Audience::All, 1, "no")]);
        let told = Memory { author: member(1), nonce: [1; 16], at: 9, text: "yes".into() };
        assert_eq!((names[0], names.len()), (told.id(), 5));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 5);
    }

    #[test]
    fn a_type_of_tomorrow_is_unknown_and_its_turn_counts() {
        assert_eq!(Message::decode(&[0x84, 2, 18, 7, 0xf6]), Ok(Message { turn: 7, body: Body::Unknown }));
        assert_eq!(Message::decode(&[0x83, 2, 0x18, 99, 7]), Ok(Message { turn: 7, body: Body::Unknown }));
        assert_eq!(Message::decode(&[0x84, 2, 0, 7, 0xf6]), Err(Malformed), "more than belongs there");
        assert_eq!(Message::decode(&[0x83, 1, 0, 7]), Err(Malformed), "of a conversation of two");
        assert_eq!(Message::decode(&[0x82, 2, 18]), Err(Malformed));
        assert_eq!(Message::decode(&[0x84, 2, 12, 7, 0xf6]), Err(Malformed), "no dealing");
    }

    #[test]
    fn bounds_hold() {
        let text = |change: &dyn Fn(&mut Text)| {
            let mut text =
                Text { nonce: [1; 16], at: 5, parents: Vec::new(), missing: Vec::new(), mentions: Vec::new(), text: String::new() };
            change(&mut text);
            Message::decode(&Message { turn: 1, body: Body::Text(text) }.encode()).is_ok()
        };
        assert!(text(&|text| text.text = "x".repeat(TEXT_MAX)) && !text(&|text| text.text = "x".repeat(TEXT_MAX + 1)));
        assert!(text(&|text| text.parents = vec![[1; 16]; 8]) && !text(&|text| text.parents = vec![[1; 16]; 9]));
        assert!(text(&|text| text.mentions = vec![member(1); 16]) && !text(&|text| text.mentions = vec![member(1); 17]));
        let memory = |count: usize| {
            let memory = Memory { author: member(1), nonce: [1; 16], at: 1, text: String::new() };
            Message::decode(&Message { turn: 1, body: Body::History(vec![memory; count]) }.encode()).is_ok()
        };
        assert!(memory(MEMORIES_MAX) && !memory(MEMORIES_MAX + 1));
        let aside = |length| Message::decode(&Message { turn: 1, body: Body::Aside(vec![0; length]) }.encode()).is_ok();
        assert!(aside(SEALED_ASIDE_MAX) && !aside(SEALED_ASIDE_MAX + 1));
        let label = |label: &str| Message { turn: 1, body: Body::Invite(invite(label)) };
        assert!(Message::decode(&label(&"x".repeat(65)).encode()).is_err() && Message::decode(&label("a\nb").encode()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = Message::decode(&junk);
            let mut like = Message { turn: 7, body: which.get(&bodies()).clone() }.encode();
            let at = at.index(like.len());
            like[at] = byte;
            if let Ok(message) = Message::decode(&like) {
                prop_assert!(message.body == Body::Unknown || message.encode() == like);
            }
        }
    }
}
