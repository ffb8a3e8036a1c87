//! Stories that need a look, or a hand, behind the face of the crate.

use samizdat_core::{Now, stamp::Mint};
use samizdat_store::{Log, Vault};

use crate::{Chat, State};

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
