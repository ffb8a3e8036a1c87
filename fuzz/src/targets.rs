//! What is done with hostile bytes, one function for each place where they come in. `true` means that they were taken.
//!
//! libFuzzer calls these by way of `fuzz_targets/`; `cargo test` calls them for every file of `corpus/` by way of
//! `crates/sim/tests/fuzz_corpus.rs`, which includes this very file. What strangers send to the shell is in `net.rs`.

use std::{cell::RefCell, collections::VecDeque};

use samizdat_chat::{
    Chat,
    content::{Bell, Content, Post},
};
use samizdat_core::{
    EnvelopeId, EnvelopeIn, Hour, Kind, Name, Now, PeerId, Unstamped,
    announce::Announcement,
    link::InviteLink,
    pad::{pad, unpad},
    seal::ContactSecret,
    session::SessionSecret,
};
use samizdat_engine::Engine;
use samizdat_store::{Log, Vault};
use samizdat_sync::{
    Config, Frame, Gossip, Input, Output, PeerAddr,
    contact::{
        codec::{self, Presence},
        handshake::{Channel, Greeted, HelloIn},
    },
    limits::CONTACT_TAGS,
    networks::Network,
    reach::{CheckIn, CheckedIn},
    routing::codec::{AnswerIn, QuestionIn, Verified},
};

/// A target by its name, which is also the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 20] = [
    ("announcement", announcement),
    ("answer", answer),
    ("bell", bell),
    ("check", check),
    ("checked", checked),
    ("content", content),
    ("envelope", envelope),
    ("frame", frame),
    ("gossip", gossip),
    ("hello", hello),
    ("import", import),
    ("link", link),
    ("name", name),
    ("padding", padding),
    ("post", post),
    ("presence", presence),
    ("proof", proof),
    ("question", question),
    ("sealed", sealed),
    ("session", session),
];

/// An envelope from the network: bounded, canonical, and refused or taken for good after the tests that follow.
pub fn envelope(bytes: &[u8]) -> bool {
    let Ok(received) = EnvelopeIn::decode(bytes) else { return false };
    // The same bytes without a stamp to speak of: what our own half reads back from the vault.
    let Ok(own) = Unstamped::from_bytes(bytes) else { return false };
    assert_eq!((own.id(), &own.bytes()[..]), (received.id(), bytes));
    let fields = *own.fields();
    let tag = match fields.kind {
        Kind::Sealed { tag, .. } => Some(tag),
        Kind::Bell { .. } | Kind::Announcement(_) | Kind::Post(..) => None,
    };
    if fields.kind.signed().is_none() {
        let again = Unstamped::seal(tag, fields.hour, fields.lifetime, own.body().to_vec());
        assert_eq!(again.map(|again| again.id()), Ok(own.id()), "the fields say everything");
    }
    // Whatever the fields claim, the later tests answer.
    let _ = received.clone().screen(Hour(0));
    let _ = received.clone().screen(fields.hour).map(|stamped| stamped.verify());
    let _ = received.recheck();
    true
}

/// A name as somebody typed it.
pub fn name(bytes: &[u8]) -> bool {
    let Some(name) = text(bytes).and_then(|text| text.parse::<Name>().ok()) else { return false };
    assert_eq!(name.compact().parse(), Ok(name));
    true
}

/// An invite link as somebody pasted it.
pub fn link(bytes: &[u8]) -> bool {
    let Some(link) = text(bytes).and_then(|text| text.parse::<InviteLink>().ok()) else { return false };
    assert_eq!(link.to_string().parse(), Ok(link));
    true
}

/// The body of an announcement.
pub fn announcement(bytes: &[u8]) -> bool {
    let Ok(announcement) = Announcement::decode(bytes) else { return false };
    assert_eq!(announcement.encode().map(|body| Announcement::decode(&body)), Ok(Ok(announcement)));
    true
}

/// What decryption yields before the padding is off.
pub fn padding(bytes: &[u8]) -> bool {
    let Ok(content) = unpad(bytes) else { return false };
    if let Ok(padded) = pad(content, 0) {
        assert_eq!(unpad(&padded), Ok(content));
    }
    true
}

/// The body of a bell, sealed to a key that everybody knows here.
pub fn sealed(bytes: &[u8]) -> bool {
    ContactSecret::from_seed([1; 32]).open(bytes).is_ok()
}

/// What opening a bell yields.
pub fn bell(bytes: &[u8]) -> bool {
    let Ok(bell) = Bell::decode(bytes) else { return false };
    assert_eq!(Bell::decode(&bell.encode()), Ok(bell));
    true
}

/// What decrypting a message of a conversation yields.
pub fn content(bytes: &[u8]) -> bool {
    let Ok(content) = Content::decode(bytes) else { return false };
    // What is unknown has no bytes of ours.
    assert!(content == Content::Unknown || Content::decode(&content.encode()) == Ok(content));
    true
}

/// The body of a post without its padding.
pub fn post(bytes: &[u8]) -> bool {
    let Ok(post) = Post::decode(bytes) else { return false };
    assert_eq!(Post::decode(&post.encode()), Ok(post));
    true
}

/// A frame of a peer.
pub fn frame(bytes: &[u8]) -> bool {
    let Ok(frame) = Frame::decode(bytes) else { return false };
    assert_eq!(frame.encode(), bytes);
    true
}

/// When records of the routing are verified here.
const RECORD_TIME: u64 = 1_800_000_000;

/// A question of the routing.
pub fn question(bytes: &[u8]) -> bool {
    let Ok(question) = QuestionIn::decode(bytes) else { return false };
    assert_eq!(question.encode(), bytes);
    if let Some((record, asked)) = question.verify(&mut Verified::default(), RECORD_TIME) {
        assert!(QuestionIn::decode(&QuestionIn::of(record.as_deref(), &asked).encode()).is_ok(), "what is left can be sent on");
    }
    true
}

/// An answer of the routing.
pub fn answer(bytes: &[u8]) -> bool {
    let Ok(answer) = AnswerIn::decode(bytes) else { return false };
    assert_eq!(answer.encode(), bytes);
    let mut verified = Verified::default();
    let left = answer.clone().verify(&mut verified, RECORD_TIME);
    assert_eq!(answer.verify(&mut verified, RECORD_TIME), left, "what was verified before is verified again");
    assert!(AnswerIn::decode(&AnswerIn::of(&left).encode()).is_ok(), "what is left can be sent on");
    true
}

/// The question whether somebody can be dialled.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(check) = CheckIn::decode(bytes) else { return false };
    assert_eq!(check.encode(), bytes);
    true
}

/// The answer to it.
pub fn checked(bytes: &[u8]) -> bool {
    let Ok(checked) = CheckedIn::decode(bytes) else { return false };
    assert_eq!(checked.encode(), bytes);
    true
}

/// A connection between two contacts, and the secret that they share here.
pub fn channel() -> (Channel, SessionSecret) {
    (Channel { binding: [5; 32], dialler: PeerId([1; 32]), answerer: PeerId([2; 32]) }, SessionSecret::new([7; 32]))
}

/// What somebody says first who dials a contact's endpoint. Whoever it is gets an answer, and is believed nothing yet.
pub fn hello(bytes: &[u8]) -> bool {
    let Some(hello) = HelloIn::decode(bytes) else { return false };
    let (channel, secret) = channel();
    let (answered, answer) = hello.answer(&secret, &channel, [6; 32]);
    assert!(!answered.finish(bytes) && !answered.finish(&answer), "what everybody sees proves nothing");
    assert_eq!(hello.tags().as_flattened(), bytes.get(bytes.len() - hello.tags().as_flattened().len()..).unwrap());
    true
}

/// The second and the third message, to a dialler and an answerer who hold the secret.
pub fn proof(bytes: &[u8]) -> bool {
    let (channel, secret) = channel();
    let greeted = Greeted::new(std::slice::from_ref(&secret), channel, 20_833, [3; 32], [[4; 16]; CONTACT_TAGS]);
    let hello = HelloIn::decode(greeted.hello()).unwrap();
    let (answered, _) = hello.answer(&secret, &channel, [6; 32]);
    greeted.finish(bytes).is_some() || answered.finish(bytes)
}

/// Where a contact is, by its own word.
pub fn presence(bytes: &[u8]) -> bool {
    let Ok(presence) = Presence::decode(bytes) else { return false };
    assert_eq!(presence.encode(), bytes);
    true
}

/// A frame on an open session with a contact.
pub fn session(bytes: &[u8]) -> bool {
    let Some(frame) = codec::Frame::decode(bytes) else { return false };
    // What is unknown has no bytes of ours.
    assert!(frame == codec::Frame::Unknown || frame.encode() == bytes);
    true
}

thread_local! {
    /// One node for all files: nothing hostile stays in it.
    static NODE: RefCell<Engine> = RefCell::new({
        let log = Log::in_memory(1 << 20).unwrap();
        let chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [1; 32]).unwrap();
        Engine::new(log, chat, [1; 32], PeerId([0; 32]), Vec::new(), IMPORT_TIME).unwrap()
    });
}

/// When files are imported here, hour 490,000.
const IMPORT_TIME: Now = Now { mono_ms: 0, unix_ms: 490_000 * 3_600_000 };

/// A file of exported envelopes from a stick, of the whole log or of one conversation. `false` also when any of them was refused.
pub fn import(bytes: &[u8]) -> bool {
    NODE.with_borrow_mut(|node| {
        let taken = node.import(&mut &bytes[..], IMPORT_TIME).is_ok_and(|done| done.refused == 0);
        while node.poll_output().is_some() {}
        taken
    })
}

/// What peers that say and do whatever they like make of a node: the first byte of each step says who (2 bits) and what (the rest),
/// the next two how many bytes follow. `false` when the node hung up on one of them.
pub fn gossip(bytes: &[u8]) -> bool {
    let mut node = Gossip::new(Config::default(), [1; 32], PeerId([0; 32]), PeerAddr::default());
    node.load((0..100).map(|n| (Hour(490_000 + u32::from(n)), EnvelopeId([n; 32]))));
    let mut now = Now::default();
    let mut rest = bytes;
    let mut patient = true;
    while let Some(([step, high, low], tail)) = rest.split_first_chunk() {
        let length = u16::from_be_bytes([*high, *low]);
        let (body, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        let peer = PeerId([step & 3; 32]);
        let input = match step >> 2 {
            0 => Input::Connected { peer, addr: PeerAddr(body.to_vec()), dialed: body.len() % 2 == 0, network: Network::Hidden },
            1 => Input::Disconnected { peer },
            2 => Input::Junk { peer },
            3 => {
                now.mono_ms = now.mono_ms.saturating_add(u64::from(length) << 6);
                Input::Timeout
            }
            _ => Input::Frame { peer, bytes: body.to_vec() },
        };
        patient &= settle(&mut node, input, now);
    }
    patient
}

/// Handles `input` and whatever follows from it at this moment, which must come to an end.
fn settle(node: &mut Gossip, input: Input, now: Now) -> bool {
    let mut patient = true;
    let mut inputs = VecDeque::from([input]);
    for _ in 0..10_000 {
        let due = node.next_timeout().is_some_and(|due| due <= now.mono_ms);
        let Some(input) = inputs.pop_front().or(due.then_some(Input::Timeout)) else { return patient };
        node.handle(input, now);
        while let Some(output) = node.poll_output() {
            match output {
                Output::Send { bytes, .. } => assert!(Frame::decode(&bytes).is_ok(), "what we send can be read"),
                Output::Dial { peer, .. } => inputs.push_back(Input::DialFailed { peer }),
                Output::Hangup { peer, .. } => {
                    patient = false;
                    inputs.push_back(Input::Disconnected { peer });
                }
                Output::Candidates { peer, envelopes } => {
                    inputs.extend(envelopes.into_iter().map(|bytes| match bytes.first_chunk() {
                        Some(id) => {
                            Input::Stored { hour: Hour(490_000), id: EnvelopeId(*id), bytes: bytes.into(), from: Some(peer) }
                        }
                        None => Input::Junk { peer },
                    }))
                }
                Output::Fetch { peer, ids } => {
                    let envelopes = ids.into_iter().map(|id| (id, id.0.into())).collect();
                    inputs.push_back(Input::Payloads { peer, envelopes });
                }
                Output::Held { .. } | Output::Reconciled { .. } => {}
            }
        }
    }
    panic!("a node that never comes to rest");
}

fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}
