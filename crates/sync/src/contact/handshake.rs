//! The three messages by which two contacts recognise each other, of fixed length; docs/protocol/contact.md.
//!
//! ```text
//! dialler  -> answerer   hello:  version, nonce, tags       which secret, for who holds it; noise for everybody else
//! answerer -> dialler    answer: nonce, proof               noise where no tag was known
//! dialler  -> answerer   proof
//! ```

use samizdat_core::{
    PeerId,
    seal::TAG_LEN,
    session::{BINDING_LEN, NONCE_LEN, PROOF_LEN, SessionSecret, Side, Transcript},
};

use crate::limits::CONTACT_TAGS;

const VERSION: u8 = 1;
/// Length of the first message, bytes.
pub const HELLO_LEN: usize = 1 + NONCE_LEN + CONTACT_TAGS * TAG_LEN;
/// Length of the second, bytes. The third is a proof alone.
pub const ANSWER_LEN: usize = NONCE_LEN + PROOF_LEN;

/// One connection, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// What its TLS exports.
    pub binding: [u8; BINDING_LEN],
    /// The endpoint that dialled.
    pub dialler: PeerId,
    /// The endpoint that was dialled.
    pub answerer: PeerId,
}

/// The first message as received. Anybody can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloIn {
    bytes: [u8; HELLO_LEN],
    tags: [[u8; TAG_LEN]; CONTACT_TAGS],
}

impl HelloIn {
    /// Reads it; a later version may mean something else by other bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; HELLO_LEN] = bytes.try_into().ok()?;
        let (version, rest) = bytes.split_first()?;
        let (_, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut tags = [[0; TAG_LEN]; CONTACT_TAGS];
        let (read, _) = rest.as_chunks::<TAG_LEN>();
        tags.iter_mut().zip(read).for_each(|(tag, read)| *tag = *read);
        (*version == VERSION).then_some(Self { bytes, tags })
    }

    /// Under what the dialler thinks that we know its secret, the one it would rather use first.
    pub fn tags(&self) -> &[[u8; TAG_LEN]; CONTACT_TAGS] {
        &self.tags
    }

    /// Answers with the secret that belongs to one of the tags, or with any other: who does not know it sees no difference.
    pub fn answer(&self, secret: &SessionSecret, channel: &Channel, nonce: [u8; NONCE_LEN]) -> (Answered, [u8; ANSWER_LEN]) {
        let transcript = Transcript::new(&channel.binding, &channel.dialler, &channel.answerer, &self.bytes, &nonce);
        let proof = secret.prove(Side::Answerer, &transcript);
        let mut answer = [0; ANSWER_LEN];
        answer.iter_mut().zip(nonce.iter().chain(&proof)).for_each(|(to, from)| *to = *from);
        (Answered { secret: secret.clone(), transcript }, answer)
    }
}

/// What the answerer waits with.
#[derive(Debug, Clone)]
pub struct Answered {
    secret: SessionSecret,
    transcript: Transcript,
}

impl Answered {
    /// Whether the third message proves that the dialler holds the secret too.
    pub fn finish(&self, proof: &[u8]) -> bool {
        proof.try_into().is_ok_and(|proof| self.secret.holds(Side::Dialler, &self.transcript, proof))
    }
}

/// What the dialler waits with.
#[derive(Debug, Clone)]
pub struct Greeted {
    secrets: Vec<SessionSecret>,
    channel: Channel,
    hello: [u8; HELLO_LEN],
}

impl Greeted {
    /// The first message: `nonce`, then a tag for each of the first [`CONTACT_TAGS`] secrets, and `noise` in place of those
    /// that there are not.
    pub fn new(
        secrets: &[SessionSecret],
        channel: Channel,
        day: u32,
        nonce: [u8; NONCE_LEN],
        noise: [[u8; TAG_LEN]; CONTACT_TAGS],
    ) -> Self {
        let secrets: Vec<SessionSecret> = secrets.iter().take(CONTACT_TAGS).cloned().collect();
        let mut tags = noise;
        tags.iter_mut().zip(&secrets).for_each(|(tag, secret)| *tag = secret.tag(day, &channel.answerer));
        let mut hello = [0; HELLO_LEN];
        let written = core::iter::once(&VERSION).chain(&nonce).chain(tags.as_flattened());
        hello.iter_mut().zip(written).for_each(|(to, from)| *to = *from);
        Self { secrets, channel, hello }
    }

    /// The bytes to send.
    pub fn hello(&self) -> &[u8; HELLO_LEN] {
        &self.hello
    }

    /// The third message, if the second proves that the answerer holds one of the secrets.
    pub fn finish(&self, answer: &[u8]) -> Option<[u8; PROOF_LEN]> {
        let answer: &[u8; ANSWER_LEN] = answer.try_into().ok()?;
        let (nonce, proof) = answer.split_first_chunk::<NONCE_LEN>()?;
        let proof = proof.try_into().ok()?;
        let Channel { binding, dialler, answerer } = &self.channel;
        let transcript = Transcript::new(binding, dialler, answerer, &self.hello, nonce);
        let secret = self.secrets.iter().find(|secret| secret.holds(Side::Answerer, &transcript, proof))?;
        Some(secret.prove(Side::Dialler, &transcript))
    }
}
