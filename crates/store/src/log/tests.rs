#![allow(clippy::arithmetic_side_effects)]
use samizdat_core::{IdentitySecret, Unstamped, pad::pad, stamp::Mint};

use super::*;

const NOW: Hour = Hour(500_000);

fn alice() -> IdentitySecret {
    IdentitySecret::from_seed([1; 32])
}

fn mint(unstamped: Unstamped) -> Envelope {
    let mut mint = Mint::new(unstamped.id(), unstamped.price(), 0);
    let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
    unstamped.stamp(nonce).unwrap()
}

fn post(seq: u64, text: &str) -> Envelope {
    mint(Unstamped::sign(&alice(), seq, Some([9; 16]), NOW, 0, pad(text.as_bytes(), 0).unwrap()).unwrap())
}

fn sealed(tag: u8, lifetime: u8) -> Envelope {
    mint(Unstamped::seal(Some([tag; 16]), NOW, lifetime, pad(b"x", 0).unwrap()).unwrap())
}

fn log() -> Log {
    Log::in_memory(1 << 30).unwrap()
}

#[test]
fn what_is_appended_is_found_again_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sqlite");
    let (first, second) = (post(1, "hello"), sealed(4, 0));
    {
        let mut log = Log::open(&path, 1 << 30).unwrap();
        assert_eq!(
            log.append(&[first.clone(), second.clone(), first.clone()]).unwrap(),
            [Appended::New, Appended::New, Appended::Duplicate]
        );
    }
    let log = Log::open(&path, 1 << 30).unwrap();
    assert!(log.knows(&first.id()).unwrap());
    assert_eq!(log.get(&[second.id(), EnvelopeId([0; 32])]).unwrap(), [Some(second.bytes().clone()), None]);
    assert_eq!(log.by_tag(&[4; 16], 0, 9).unwrap()[0].envelope().unwrap().id(), second.id());
    assert_eq!(log.tags_there([[3; 16], [4; 16]].iter()).unwrap().into_iter().collect::<Vec<_>>(), [[4; 16]]);
    assert_eq!(log.by_room(&[9; 16], 0, 10).unwrap().len(), 1);
    assert_eq!(log.bytes(), (first.bytes().len() + second.bytes().len()) as u64);
    assert_eq!(log.entries().unwrap().len(), 2);
    assert_eq!(log.stats().unwrap().by_kind, [0, 1, 0, 1]);
}

#[test]
fn all_logs_agree_on_a_conflict_whatever_the_order_and_keep_the_proof() {
    let versions = [post(1, "yes"), post(1, "no"), post(1, "perhaps")];
    let lowest = versions.iter().map(Envelope::id).min().unwrap();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let mut log = log();
        for i in order {
            log.append(&[versions[i].clone()]).unwrap();
        }
        let ids: Vec<EnvelopeId> = log.entries().unwrap().into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids, [lowest]);
        let proofs = log.conflicts(&alice().key()).unwrap();
        assert_eq!(proofs.len(), 2);
        assert!(proofs.iter().all(|proof| proof.holds(&alice().key())));
        assert!(versions.iter().all(|v| log.knows(&v.id()).unwrap()), "losers are known, so that they are not asked for again");
    }
}

#[test]
fn proofs_per_author_are_bounded() {
    let mut log = log();
    for i in 0..CONFLICTS_PER_AUTHOR + 8 {
        log.append(&[post(1, &i.to_string())]).unwrap();
    }
    assert_eq!(log.conflicts(&alice().key()).unwrap().len(), CONFLICTS_PER_AUTHOR as usize);
    assert_eq!(log.entries().unwrap().len(), 1);
}

#[test]
fn the_newest_announcement_counts() {
    let mut log = log();
    let announce = |seq, text: &[u8]| mint(Unstamped::sign(&alice(), seq, None, NOW, 0, pad(text, 0).unwrap()).unwrap());
    log.append(&[announce(5, b"new"), announce(0, b"old"), post(9, "later")]).unwrap();
    let found = log.announcement(&alice().key().name()).unwrap().unwrap().envelope().unwrap();
    assert_eq!(found.fields().kind.signed().unwrap().seq, 5);
}

#[test]
fn the_expired_go_and_rows_never_come_again() {
    let mut log = log();
    log.append(&[sealed(1, 0), sealed(2, 1)]).unwrap();
    let before = log.last_row().unwrap();
    assert_eq!(log.expire(Hour(NOW.0 + 6), 100).unwrap().len(), 0);
    assert_eq!(log.expire(Hour(NOW.0 + 9), 100).unwrap().len(), 1);
    assert_eq!(log.expire(Hour(NOW.0 + 99), 100).unwrap().len(), 1);
    assert_eq!(log.bytes(), 0);
    log.append(&[sealed(3, 0)]).unwrap();
    assert!(log.after(before, 10).unwrap().len() == 1);
}

#[test]
fn over_budget_the_cheapest_go_and_the_kept_stay() {
    let mut log = Log::in_memory(3000).unwrap();
    let mine = sealed(1, 0);
    log.append(&[mine.clone(), sealed(2, 0), sealed(3, 1), sealed(4, 0), sealed(5, 1), sealed(6, 0)]).unwrap();
    let gone = log.evict(|id| *id == mine.id()).unwrap();
    assert!(!gone.is_empty() && log.bytes() <= 3000);
    assert!(log.knows(&mine.id()).unwrap());
    assert!([3, 5].iter().all(|tag| log.by_tag(&[*tag; 16], 0, 9).unwrap().len() == 1), "dearer ones stay");
    assert!(!log.has_room_for(1), "what was just evicted is not taken again");
    assert!(log.has_room_for(u64::MAX));
    log.expire(Hour(NOW.0 + 99), 100).unwrap();
    assert!(log.has_room_for(1));
}

#[test]
fn a_damaged_file_is_told_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sqlite");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    assert!(matches!(Log::open(&path, 1), Err(OpenError::Corrupt(_))));
    assert_eq!(std::fs::read(&path).unwrap(), vec![7; 8192]);
}

#[test]
fn a_full_disk_rolls_back_and_is_told() {
    let mut log = log();
    log.conn.pragma_update(None, "max_page_count", 14).unwrap();
    let batch: Vec<Envelope> = (1..100).map(|i| post(i, "x")).collect();
    assert!(matches!(log.append(&batch), Err(StoreError::Full)));
    assert_eq!((log.entries().unwrap().len(), log.bytes()), (0, 0));
    log.conn.pragma_update(None, "max_page_count", 10_000).unwrap();
    assert_eq!(log.append(&batch).unwrap().len(), 99);
}

/// The sqlite3 tool with `BEGIN EXCLUSIVE`: it was an internal error that named no file, and of what had been read before
/// it was not waited for.
#[test]
fn another_program_that_holds_the_log_is_told_and_writing_goes_on_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sqlite");
    let mut log = Log::open(&path, 1 << 30).unwrap();
    log.append(&[post(1, "before")]).unwrap();
    let mallory = Connection::open(&path).unwrap();
    mallory.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let held = log.append(&[post(2, "meanwhile"), sealed(4, 0)]).unwrap_err();
    assert!(held.is_of_the_disk() && held.to_string().contains(&path.display().to_string()), "{held}");
    assert!(matches!(log.append(&[sealed(4, 0)]), Err(StoreError::Held(_))));
    assert!(log.knows(&post(1, "before").id()).unwrap(), "what is there can be read");
    mallory.execute_batch("COMMIT").unwrap();
    assert_eq!(log.append(&[post(2, "meanwhile"), sealed(4, 0)]).unwrap(), [Appended::New, Appended::New]);
}

/// A program that lets go soon is waited for, also after it has written.
#[test]
fn another_program_that_lets_go_soon_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sqlite");
    let mut log = Log::open(&path, 1 << 30).unwrap();
    log.append(&[post(1, "before")]).unwrap();
    let program = Connection::open(&path).unwrap();
    program.execute_batch("BEGIN EXCLUSIVE; CREATE TABLE note(text)").unwrap();
    let (start, started) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let appended = scope.spawn(|| {
            start.send(()).unwrap();
            log.append(&[post(2, "meanwhile")])
        });
        started.recv().unwrap();
        program.execute_batch("COMMIT").unwrap();
        assert_eq!(appended.join().unwrap().unwrap(), [Appended::New]);
    });
}

#[test]
fn a_person_sees_the_columns_of_the_first_design() {
    let mut log = log();
    let hello = post(7, "hello");
    log.append(std::slice::from_ref(&hello)).unwrap();
    let row: (i64, String, String, String) = log
        .conn
        .query_row("SELECT \"Message ID\", \"From\", \"Signature\", \"PoW nonce\" FROM message", [], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .unwrap();
    assert_eq!((row.0, row.1.as_str()), (7, alice().key().name().compact().as_str()));
    let signature = hello.fields().kind.signed().unwrap().signature;
    assert_eq!(row.2, data_encoding::HEXUPPER.encode(&signature));
    assert_eq!(row.3.len(), 16);
}

#[test]
fn an_author_goes_with_his_last_envelope() {
    let mut log = log();
    log.append(&[post(1, "yes"), post(1, "no"), post(2, "more")]).unwrap();
    let authors = |log: &Log| log.conn.query_row("SELECT count(*) FROM author", [], |row| row.get::<_, u32>(0)).unwrap();
    log.expire(Hour(NOW.0 + 99), 100).unwrap();
    assert_eq!((authors(&log), log.conflicts_kept().unwrap()), (1, 1), "the proof outlives the envelopes");
    log.expire(Hour(NOW.0 + PROOF_HOURS + 99), 100).unwrap();
    assert_eq!((authors(&log), log.conflicts_kept().unwrap()), (0, 0));
}

/// Nodes that had seen a short-lived winner refused the longer-lived loser for ever, and newcomers took it.
#[test]
fn a_loser_is_taken_when_its_winner_is_gone() {
    let mut log = log();
    let versions: Vec<Envelope> = (0..8).map(|n| post(1, &n.to_string())).collect();
    let winner = versions.iter().min_by_key(|v| v.id()).unwrap();
    let loser = versions.iter().max_by_key(|v| v.id()).unwrap();
    log.append(&[winner.clone(), loser.clone()]).unwrap();
    assert!(log.lost(&loser.id()).unwrap());
    assert_eq!(log.losers().unwrap(), [loser.id()]);
    log.expire(Hour(NOW.0 + 99), 100).unwrap();
    assert!(!log.lost(&loser.id()).unwrap());
    assert_eq!(log.append(std::slice::from_ref(loser)).unwrap(), [Appended::New]);
}
