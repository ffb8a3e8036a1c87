//! The one door: whatever is thrown at it, what comes in is good and what stays out is counted.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use samizdat_chat::Chat;
use samizdat_core::{Envelope, EnvelopeId, Hour, IdentitySecret, Now, PeerId, Unstamped, pad::pad, stamp::Mint};
use samizdat_engine::{Drops, Engine, FileError, Imported, Input, Output};
use samizdat_store::{Log, Vault, rusqlite::Connection};
use samizdat_sync::{Frame, PeerAddr};

const NOW: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };

fn node(budget: u64) -> Engine {
    let chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [1; 32]).unwrap();
    Engine::new(Log::in_memory(budget).unwrap(), chat, [2; 32], PeerId([3; 32]), Vec::new(), NOW).unwrap()
}

fn mint(unstamped: Unstamped) -> Envelope {
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
    unstamped.stamp(nonce).unwrap()
}

fn post(author: u8, seq: u64, hour: Hour, text: &str) -> Envelope {
    let secret = IdentitySecret::from_seed([author; 32]);
    mint(Unstamped::sign(&secret, seq, Some([9; 16]), hour, 0, pad(text.as_bytes(), 0).unwrap()).unwrap())
}

fn file(envelopes: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"samizdat log v1\n".to_vec();
    for envelope in envelopes {
        bytes.extend((envelope.len() as u32).to_be_bytes());
        bytes.extend(*envelope);
    }
    bytes
}

fn import(engine: &mut Engine, envelopes: &[&[u8]]) -> Imported {
    engine.import(&mut file(envelopes).as_slice(), NOW).unwrap()
}

fn ids(engine: &Engine) -> Vec<EnvelopeId> {
    engine.log().entries().unwrap().into_iter().map(|(_, id)| id).collect()
}

#[test]
fn every_kind_of_bad_envelope_is_counted_and_none_is_stored() {
    let hour = NOW.hour();
    let good = post(5, 1, hour, "good");
    let mut mutated = good.bytes().to_vec();
    mutated[100] ^= 1;
    let mut forged = good.bytes().to_vec();
    // A valid stamp needs the id, and the id covers the signature: a forger pays for his forgery.
    let at = forged.len() - 20;
    forged[at] ^= 1;
    let forged = repaid(&forged);
    let truncated = &good.bytes()[..good.bytes().len() - 1];
    let oversized = vec![0; samizdat_core::limits::ENVELOPE_MAX];
    let future = post(5, 2, Hour(hour.0 + 5), "future");
    let expired = post(5, 3, Hour(hour.0 - 20), "expired");
    let unpaid = Unstamped::sign(&IdentitySecret::from_seed([5; 32]), 4, Some([9; 16]), hour, 5, pad(b"x", 0).unwrap()).unwrap();

    let mut engine = node(1 << 30);
    let all: [&[u8]; 9] =
        [good.bytes(), &mutated, &forged, truncated, &oversized, future.bytes(), expired.bytes(), unpaid.bytes(), good.bytes()];
    let done = import(&mut engine, &all);
    assert_eq!(done, Imported { new: 1, duplicate: 1, refused: 7 });
    assert_eq!(ids(&engine), [good.id()]);
    let expected = Drops { malformed: 2, future: 1, expired: 1, stamp: 2, signature: 1, duplicate: 1, ..Drops::default() };
    assert_eq!(engine.drops(), expected);
}

/// The bytes with a new, valid stamp.
fn repaid(bytes: &[u8]) -> Vec<u8> {
    let unstamped = Unstamped::from_bytes(bytes).unwrap();
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
    let mut paid = bytes.to_vec();
    let at = paid.len() - 8;
    paid[at..].copy_from_slice(&nonce.to_be_bytes());
    paid
}

#[test]
fn two_nodes_agree_about_a_rewritten_history_whatever_came_first() {
    let (first, second) = (post(5, 1, NOW.hour(), "yes"), post(5, 1, NOW.hour(), "no"));
    let (mut a, mut b) = (node(1 << 30), node(1 << 30));
    import(&mut a, &[first.bytes(), second.bytes()]);
    import(&mut b, &[second.bytes()]);
    import(&mut b, &[first.bytes()]);
    assert_eq!((ids(&a), a.root()), (ids(&b), b.root()));
    assert_eq!((a.drops().conflict, b.drops().conflict), (1, 1));
}

#[test]
fn a_full_log_keeps_what_is_dear_and_does_not_take_the_evicted_again() {
    let mut engine = node(4000);
    let posts: Vec<Envelope> = (1..12).map(|seq| post(5, seq, NOW.hour(), "x")).collect();
    let bytes: Vec<&[u8]> = posts.iter().map(|p| &p.bytes()[..]).collect();
    import(&mut engine, &bytes);
    let later = Now { mono_ms: 60_000, ..NOW };
    engine.handle(Input::Timeout, later);
    engine.commit(later);
    assert!(engine.log().bytes() <= 4000);
    let gone: Vec<&[u8]> = posts.iter().filter(|p| !ids(&engine).contains(&p.id())).map(|p| &p.bytes()[..]).collect();
    assert!(!gone.is_empty());
    assert_eq!(import(&mut engine, &gone).new, 0);
    assert_eq!(engine.drops().budget, gone.len() as u64);
}

#[test]
fn a_damaged_file_is_told_and_what_came_before_is_kept() {
    let good = post(5, 1, NOW.hour(), "good");
    let mut engine = node(1 << 30);
    assert!(matches!(engine.import(&mut &b"hello"[..], NOW), Err(FileError::NotALog)));
    let whole = file(&[good.bytes(), good.bytes()]);
    let cut = &whole[..whole.len() - 7];
    assert!(matches!(engine.import(&mut &cut[..], NOW), Err(FileError::Truncated(Imported { new: 1, .. }))));
    let mut exported = Vec::new();
    assert_eq!(engine.export(&mut exported).unwrap(), 1);
    assert_eq!(exported, file(&[good.bytes()]));
    assert_eq!(engine.verify_log().unwrap(), (1, Vec::new()));
}

#[test]
fn a_stamp_for_what_was_cancelled_or_never_asked_for_does_nothing() {
    let mut engine = node(1 << 30);
    let asked = std::iter::from_fn(|| engine.poll_output()).find_map(|output| match output {
        Output::Mint { id, .. } => Some(id),
        _ => None,
    });
    assert!(asked.is_some(), "the first identity is announced without being asked");
    engine.handle(Input::Stamped { id: EnvelopeId([9; 32]), nonce: 1 }, NOW);
    engine.handle(Input::Stamped { id: asked.unwrap(), nonce: 0 }, NOW);
    engine.commit(NOW);
    assert!(ids(&engine).is_empty(), "a worthless stamp is no stamp");
    let again =
        std::iter::from_fn(|| engine.poll_output()).any(|output| matches!(output, Output::Mint { id, .. } if Some(id) == asked));
    assert!(again, "and is asked for again");
}

#[test]
fn expired_envelopes_leave_log_and_index() {
    let mut engine = node(1 << 30);
    let old = post(5, 1, NOW.hour(), "old");
    import(&mut engine, &[old.bytes()]);
    assert_eq!(engine.held(), 1);
    let later = Now { mono_ms: 60_000, unix_ms: NOW.unix_ms + 10 * 3_600_000 };
    engine.handle(Input::Timeout, later);
    engine.commit(later);
    assert_eq!((engine.held(), ids(&engine).len()), (0, 0));
}

/// A node without room, or whose clock differs, used to acknowledge what it did not keep, and authors saw it as published.
#[test]
fn what_is_not_kept_is_declined_not_acknowledged() {
    let pushed = |mut node: Engine, envelope: &Envelope, now: Now| {
        let peer = PeerId([4; 32]);
        node.handle(Input::Connected { peer, addr: Vec::new(), dialed: false, ip: None }, now);
        node.handle(Input::Frame { peer, bytes: Frame::Join { addr: PeerAddr::default() }.encode() }, now);
        node.handle(Input::Frame { peer, bytes: Frame::Push { envelope: envelope.bytes().to_vec() }.encode() }, now);
        node.commit(now);
        let mut frames = Vec::new();
        while let Some(output) = node.poll_output() {
            if let Output::Send { bytes, .. } = output {
                frames.push(Frame::decode(&bytes).unwrap());
            }
        }
        let acked = frames.iter().any(|f| matches!(f, Frame::Ack { ids } if ids == &[envelope.id()]));
        let declined = frames.iter().any(|f| matches!(f, Frame::Decline { ids } if ids == &[envelope.id()]));
        (acked, declined, node.log().knows(&envelope.id()).unwrap())
    };
    let posts: Vec<Envelope> = (1..12).map(|seq| post(7, seq, NOW.hour(), "x")).collect();
    assert_eq!(pushed(node(1 << 20), &posts[0], NOW), (true, false, true));
    let late = Now { unix_ms: NOW.unix_ms + 48 * 3_600_000, ..NOW };
    assert_eq!(pushed(node(1 << 20), &posts[0], late), (false, true, false));
    let mut full = node(4000);
    import(&mut full, &posts.iter().map(|p| &p.bytes()[..]).collect::<Vec<_>>());
    let later = Now { mono_ms: 60_000, ..NOW };
    full.handle(Input::Timeout, later);
    full.commit(later);
    let evicted = posts.iter().find(|p| !ids(&full).contains(&p.id())).unwrap();
    assert_eq!(pushed(full, evicted, later), (false, true, false));
}

/// A copy that came twice at once, by Push and by Fill, was acknowledged as a duplicate although neither was kept.
#[test]
fn two_copies_at_once_are_both_declined_where_there_is_no_room() {
    let posts: Vec<Envelope> = (1..12).map(|seq| post(7, seq, NOW.hour(), "x")).collect();
    let mut full = node(4000);
    import(&mut full, &posts.iter().map(|p| &p.bytes()[..]).collect::<Vec<_>>());
    let later = Now { mono_ms: 60_000, ..NOW };
    full.commit(later);
    let gone = posts.iter().find(|p| !ids(&full).contains(&p.id())).unwrap();
    let told = import(&mut full, &[gone.bytes(), gone.bytes()]);
    assert_eq!((told.new, told.duplicate), (0, 0));
}

/// The import said that all is well and had stored nothing.
#[test]
fn an_import_that_cannot_be_written_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sqlite");
    let log = Log::open(&path, 1 << 30).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON envelope BEGIN SELECT raise(ABORT, 'no'); END";
    Connection::open(&path).unwrap().execute_batch(refuse).unwrap();
    let chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [1; 32]).unwrap();
    let mut engine = Engine::new(log, chat, [2; 32], PeerId([3; 32]), Vec::new(), NOW).unwrap();
    let posts: Vec<Envelope> = (1..3).map(|seq| post(7, seq, NOW.hour(), "x")).collect();
    let bytes: Vec<&[u8]> = posts.iter().map(|p| &p.bytes()[..]).collect();
    let failed = engine.import(&mut file(&bytes).as_slice(), NOW);
    assert!(matches!(failed, Err(FileError::Store(_))), "{failed:?}");
}

/// Somebody has the log open in the sqlite3 tool and does not let go: what comes is declined, what was stamped waits.
#[test]
fn a_log_that_another_program_holds_is_written_when_it_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sqlite");
    let log = Log::open(&path, 1 << 30).unwrap();
    let chat = Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [1; 32]).unwrap();
    let mut engine = Engine::new(log, chat, [2; 32], PeerId([3; 32]), Vec::new(), NOW).unwrap();
    let (id, tries) = std::iter::from_fn(|| engine.poll_output())
        .find_map(|output| match output {
            Output::Mint { id, tries, .. } => Some((id, tries)),
            _ => None,
        })
        .unwrap();
    let mut mint = Mint::new(id, tries, 0);
    let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();

    let program = Connection::open(&path).unwrap();
    program.execute_batch("BEGIN EXCLUSIVE").unwrap();
    engine.handle(Input::Stamped { id, nonce }, NOW);
    let theirs = post(5, 1, NOW.hour(), "hello");
    let failed = engine.import(&mut file(&[theirs.bytes()]).as_slice(), NOW).unwrap_err();
    assert!(failed.to_string().contains(&path.display().to_string()), "{failed}");
    assert_eq!((engine.drops().disk, ids(&engine).len()), (1, 0));

    program.execute_batch("COMMIT").unwrap();
    assert_eq!(import(&mut engine, &[theirs.bytes()]).new, 1);
    let later = Now { mono_ms: 60_000, ..NOW };
    engine.handle(Input::Timeout, later);
    engine.commit(later);
    let mut both = [id, theirs.id()];
    both.sort();
    let mut kept = ids(&engine);
    kept.sort();
    assert_eq!(kept, both);
}
