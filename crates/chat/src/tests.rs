//! Stories that need a look, or a hand, behind the face of the crate.

use samizdat_core::{IdentitySecret, Name, Now, stamp::Mint};
use samizdat_store::{Log, Vault};

use crate::{Answer, Chat, State, limits::REQUESTS_MAX};

const NOW: Now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
const LIFETIME: u8 = 0;

fn person(seed: u8) -> Chat {
    Chat::open(Vault::in_memory(Chat::MIGRATIONS).unwrap(), [seed; 32]).unwrap()
}

/// Makes the announcement of `who` and puts it into `log`.
fn announce(who: &mut Chat, log: &mut Log) {
    who.work(log, NOW).unwrap();
    let job = who.job().unwrap().unwrap();
    let mut mint = Mint::new(job.id, job.tries, 0);
    let nonce = std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap();
    log.append(&[who.stamp(&job.id, nonce).unwrap().unwrap()]).unwrap();
    who.logged(&job.id).unwrap();
}

fn name(who: &Chat) -> String {
    who.identities().unwrap()[0].name.clone()
}

#[test]
fn a_conversation_without_its_epoch_does_not_silence_the_others() {
    let (mut alice, mut bob, mut carol) = (person(1), person(2), person(3));
    let mut log = Log::in_memory(1 << 30).unwrap();
    announce(&mut bob, &mut log);
    announce(&mut carol, &mut log);
    let [to_bob, to_carol] = [&bob, &carol].map(name);
    for who in [&to_bob, &to_carol] {
        alice.write(who, "hello", LIFETIME, NOW).unwrap();
    }
    alice.work(&log, NOW).unwrap();
    let damage = "DELETE FROM epoch WHERE pair IN (SELECT pair FROM pair JOIN contact USING (contact) WHERE name = ?1)";
    assert_eq!(alice.vault.conn().execute(damage, [&to_bob]).unwrap(), 1);
    let [lost, sent] = [&to_bob, &to_carol].map(|who| alice.write(who, "more", LIFETIME, NOW).unwrap());
    alice.work(&log, NOW).unwrap();
    assert_eq!(alice.message(&lost.id).unwrap().state, State::Waiting);
    assert_eq!(alice.message(&sent.id).unwrap().state, State::Stamping);
}

/// A name that nobody has.
fn throwaway(n: u32) -> Name {
    let mut seed = [0; 32];
    seed.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
    IdentitySecret::from_seed(seed).key().name()
}

/// Somebody asks; the number of the request.
fn asks(bob: &mut Chat, name: &Name, invited: bool, at: u64) -> i64 {
    let now = Now { mono_ms: 0, unix_ms: NOW.unix_ms + at };
    bob.transact(|work| work.admit(1, name, invited, true, now)).unwrap().unwrap()
}

#[test]
fn a_crowd_of_throwaway_requests_locks_nobody_out() {
    let mut bob = person(2);
    let invited = asks(&mut bob, &throwaway(9000), true, 0);
    let first = asks(&mut bob, &throwaway(9001), false, 1);
    let second = asks(&mut bob, &throwaway(9002), false, 2);
    bob.answer(&second.to_string(), Answer::Decline).unwrap();
    for n in 0..REQUESTS_MAX {
        asks(&mut bob, &throwaway(n), false, 10 + u64::from(n));
    }
    let open = |bob: &Chat| bob.requests().unwrap().iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(open(&bob).len() as u32, REQUESTS_MAX + 1);
    assert!(open(&bob).contains(&invited) && !open(&bob).contains(&first), "the oldest stranger went");
    assert!(bob.request(second).is_ok(), "what was answered is not touched");

    let late = asks(&mut bob, &throwaway(9003), true, 10_000);
    let again = asks(&mut bob, &throwaway(9002), false, 10_001);
    assert!(open(&bob).contains(&late) && open(&bob).contains(&again));
    assert_eq!(open(&bob).len() as u32, REQUESTS_MAX + 2);
    let contacts: u32 = bob.vault.conn().query_row("SELECT count(*) FROM contact", [], |row| row.get(0)).unwrap();
    assert_eq!(contacts, REQUESTS_MAX + 2, "who went left nothing");
}
