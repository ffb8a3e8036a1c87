//! What somebody outside puts under a door, and what it is answered. What comes by a link is sealed to the key of its door; only who
//! returns asks openly, among those who are or were members.

use core::fmt;

use minicbor::Decoder;
use samizdat_core::limits::KEY_PACKAGE_MAX;

use crate::{
    cbor::{Malformed, Out, Wire, Written, blob, from_bytes, is_line, text, to_bytes, versioned},
    comeback::ComebackIn,
    door::DoorSecret,
    ids::ClusterId,
    limits::{NICK_MAX, PAYLOAD_MAX, REQUEST_MAX, WORDS_MAX},
    merge::{ConsentIn, GuestIn},
};

const VERSION: u8 = 1;
const JOIN: u8 = 0;
const RETURN: u8 = 1;
const MERGE: u8 = 2;

/// Somebody outside asks. Whoever can read this can open the answer by the secret in it, but not what the group says.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Under which the answer comes.
    pub reply: DoorSecret,
    /// With which it will be added.
    pub key_package: Vec<u8>,
    /// What for.
    pub purpose: Purpose,
}

/// What somebody outside asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To be admitted.
    Join {
        /// Under which nickname, one line.
        nick: String,
        /// What it says to the members; may be empty.
        words: String,
    },
    /// To be let back in: it is a member, but was away for too long. With its statement about this KeyPackage.
    Return(ComebackIn),
    /// To come with a cluster that agreed to.
    Merge {
        /// That it did.
        consent: Box<ConsentIn>,
        /// Who it was there, and will be here.
        guest: GuestIn,
    },
}

/// What lets somebody in. It travels in parts.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Into which cluster.
    pub cluster: ClusterId,
    /// The Welcome of the group.
    pub welcome: Vec<u8>,
    /// The door of the cluster for members who were away.
    pub door: DoorSecret,
    /// [`Minutes`](crate::minutes::Minutes), sealed under the secret of the state that the Welcome leads into: whoever was a member once
    /// can read the answer to somebody who comes back, and is not to read these.
    pub minutes: Vec<u8>,
}

impl Request {
    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what lay under a door.
    ///
    /// # Errors
    /// If it is no request.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, REQUEST_MAX)
    }
}

impl Answer {
    /// The payload to cut in parts.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what the parts make.
    ///
    /// # Errors
    /// If it is no answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        from_bytes(bytes, PAYLOAD_MAX)
    }
}

impl Wire for Request {
    fn write(&self, e: &mut Out) -> Written {
        let (elements, kind) = match self.purpose {
            Purpose::Join { .. } => (6, JOIN),
            Purpose::Return(_) => (5, RETURN),
            Purpose::Merge { .. } => (6, MERGE),
        };
        e.array(elements)?.u8(VERSION)?.u8(kind)?;
        self.reply.write(e)?;
        e.bytes(&self.key_package)?;
        match &self.purpose {
            Purpose::Join { nick, words } => {
                e.str(nick)?.str(words)?;
                Ok(())
            }
            Purpose::Return(comeback) => comeback.write(e),
            Purpose::Merge { consent, guest } => {
                consent.write(e)?;
                guest.write(e)
            }
        }
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let elements = d.array().ok()??;
        (d.u8().ok()? == VERSION).then_some(())?;
        let kind = d.u8().ok()?;
        let (reply, key_package) = (DoorSecret::read(d)?, blob(d, KEY_PACKAGE_MAX)?);
        let purpose = match (elements, kind) {
            (6, JOIN) => {
                Purpose::Join { nick: text(d, NICK_MAX).filter(|nick| is_line(nick, NICK_MAX))?, words: text(d, WORDS_MAX)? }
            }
            (5, RETURN) => Purpose::Return(ComebackIn::read(d)?),
            (6, MERGE) => Purpose::Merge { consent: Box::new(ConsentIn::read(d)?), guest: GuestIn::read(d)? },
            _ => return None,
        };
        Some(Self { reply, key_package, purpose })
    }
}

impl Wire for Answer {
    fn write(&self, e: &mut Out) -> Written {
        e.array(5)?.u8(VERSION)?;
        self.cluster.write(e)?;
        e.bytes(&self.welcome)?;
        self.door.write(e)?;
        e.bytes(&self.minutes)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        versioned(d, 5, VERSION)?;
        Some(Self {
            cluster: ClusterId::read(d)?,
            welcome: blob(d, PAYLOAD_MAX)?,
            door: DoorSecret::read(d)?,
            minutes: blob(d, PAYLOAD_MAX)?,
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(..)")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        comeback::Comeback,
        people::{self, CLUSTER, secret},
    };
    use proptest::prelude::*;

    fn join() -> Request {
        let purpose = Purpose::Join { nick: "carol".into(), words: "We met\nat the fair.".into() };
        Request { reply: DoorSecret([1; 32]), key_package: vec![2; 40], purpose }
    }

    fn answer() -> Answer {
        Answer { cluster: CLUSTER, welcome: vec![3; 50], door: DoorSecret([4; 32]), minutes: vec![5; 60] }
    }

    #[test]
    fn requests_and_answers_survive() {
        let comeback = Comeback::sign(CLUSTER, &secret(1), 1, [2; 32]).unverified();
        let back = Request { purpose: Purpose::Return(comeback), ..join() };
        let consent = people::consent(people::merge(), 21..=25).unwrap();
        let guest = people::guest(&consent, 21, 9);
        let come = Request { purpose: Purpose::Merge { consent: Box::new(consent), guest }, ..join() };
        for request in [join(), back, come] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        assert_eq!(Answer::decode(&answer().encode()), Ok(answer()));
        assert_eq!(format!("{:?} {:?}", join(), answer()), "Request(..) Answer(..)");
    }

    #[test]
    fn bounds_hold() {
        let taken = |change: &dyn Fn(&mut Request)| {
            let mut request = join();
            change(&mut request);
            Request::decode(&request.encode()).is_ok()
        };
        let says = |nick: &str, words: &str| Purpose::Join { nick: nick.into(), words: words.into() };
        assert!(taken(&|r| r.key_package = vec![0; KEY_PACKAGE_MAX]) && !taken(&|r| r.key_package = vec![0; KEY_PACKAGE_MAX + 1]));
        assert!(
            taken(&|r| r.purpose = says("c", &"x".repeat(WORDS_MAX)))
                && !taken(&|r| r.purpose = says("c", &"x".repeat(WORDS_MAX + 1)))
        );
        assert!(!taken(&|r| r.purpose = says("", "")) && !taken(&|r| r.purpose = says("a\tb", "")));
        assert!(!taken(&|r| r.purpose = says(&"x".repeat(NICK_MAX + 1), "")));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_as_it_came(at in any::<prop::sample::Index>(), byte: u8, junk: Vec<u8>) {
            let _ = (Request::decode(&junk), Answer::decode(&junk));
            for mut like in [join().encode(), answer().encode()] {
                let at = at.index(like.len());
                like[at] = byte;
                let again = [Request::decode(&like).map(|r| r.encode()), Answer::decode(&like).map(|a| a.encode())];
                prop_assert!(again.into_iter().flatten().all(|bytes| bytes == like));
            }
        }
    }
}
