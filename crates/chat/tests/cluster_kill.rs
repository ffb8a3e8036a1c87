//! Members whose processes die between any two writes to their vaults: all end in one state, everything is read once, and nothing
//! that left a process was encrypted twice under one key.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod people;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use people::{LIFETIME, mint};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_chat::{Chat, ChatError, Filter, Standing};
use samizdat_cluster::{Charter, tally::Outcome};
use samizdat_core::{Envelope, Now, envelope::Kind};
use samizdat_store::{Appended, Log, Vault};
use tempfile::TempDir;

const NEST: &str = "nest";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What is on the disk of a vault: the database, and what was written since, in the order in which it was.
struct Disk {
    database: Vec<u8>,
    written: Vec<u8>,
}

/// Somebody whose process dies now and then.
struct Mortal {
    chat: Option<Chat>,
    log: Log,
    now: Now,
    home: TempDir,
    moments: ChaCha20Rng,
    /// One of so many steps is cut off; 0: none.
    danger: u32,
    /// What left the process.
    made: Vec<Envelope>,
    deaths: usize,
    /// Deaths of which some of what the step had written was left, and not all.
    halves: usize,
}

impl Mortal {
    fn new(seed: u8) -> Self {
        let now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
        let (log, home, moments) =
            (Log::in_memory(1 << 30).unwrap(), tempfile::tempdir().unwrap(), ChaCha20Rng::from_seed([seed; 32]));
        let mut mortal = Self { chat: None, log, now, home, moments, danger: 0, made: Vec::new(), deaths: 0, halves: 0 };
        mortal.start();
        mortal.settle();
        mortal
    }

    fn file(&self, end: &str) -> PathBuf {
        self.home.path().join(format!("vault.sqlite{end}"))
    }

    fn disk(&self) -> Disk {
        Disk { database: fs::read(self.file("")).unwrap(), written: fs::read(self.file("-wal")).unwrap_or_default() }
    }

    /// A process begins, with randomness of its own.
    fn start(&mut self) {
        let vault = Vault::open(self.home.path(), None, Chat::MIGRATIONS, &mut self.moments).unwrap();
        let mut seed = [0; 32];
        self.moments.fill_bytes(&mut seed);
        let mut chat = Chat::open(vault, seed).unwrap();
        chat.catch_up(&self.log, self.now).unwrap();
        self.chat = Some(chat);
    }

    fn chat(&mut self) -> &mut Chat {
        self.chat.as_mut().unwrap()
    }

    /// Does something, or dies while doing it; then nobody learns what came of it.
    fn step<T>(&mut self, step: impl FnOnce(&mut Chat, &Log, Now) -> T) -> Option<T> {
        if self.danger == 0 || !self.moments.next_u32().is_multiple_of(self.danger) {
            return Some(step(self.chat.as_mut().unwrap(), &self.log, self.now));
        }
        let before = self.disk();
        step(self.chat.as_mut().unwrap(), &self.log, self.now);
        let after = self.disk();
        // Closing cleans up, which a process that is killed does not.
        self.chat = None;
        let left = if before.database == after.database { self.cut(&before.written, &after.written) } else { after.written };
        fs::write(self.file(""), &after.database).unwrap();
        fs::write(self.file("-wal"), left).unwrap();
        let _ = fs::remove_file(self.file("-shm"));
        self.deaths += 1;
        self.start();
        None
    }

    /// The first of what was written, as much as it happens to be.
    fn cut(&mut self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let from = before.iter().zip(after).take_while(|(before, after)| before == after).count();
        let to = from + self.moments.next_u32() as usize % (after.len() - from + 1);
        self.halves += usize::from(from < to && to < after.len());
        let old = before.get(to..).unwrap_or_default();
        [&after[..to], old].concat()
    }

    /// Encrypts, stamps and logs until nothing is left to do that anybody waits for.
    fn settle(&mut self) {
        loop {
            if self.step(|chat, log, now| chat.work(log, now).unwrap()).is_none() {
                continue;
            }
            let Some(job) = self.chat().job().unwrap().filter(|job| job.urgent) else { return };
            let nonce = mint(&job.id, job.tries);
            let Some(stamped) = self.step(|chat, _, _| chat.stamp(&job.id, nonce).unwrap()) else { continue };
            let stamped = stamped.unwrap();
            self.log.append(std::slice::from_ref(&stamped)).unwrap();
            self.made.push(stamped);
            self.step(|chat, _, _| chat.logged(&job.id).unwrap());
        }
    }

    /// Learns what others have.
    fn receive(&mut self, envelopes: &[Envelope]) {
        let new = self.log.append(envelopes).unwrap();
        if new.iter().any(|appended| matches!(appended, Appended::New | Appended::Replaced { .. })) {
            self.step(|chat, log, now| chat.catch_up(log, now).unwrap());
        }
    }

    fn envelopes(&self) -> Vec<Envelope> {
        self.log.after(0, 100_000).unwrap().iter().map(|stored| stored.envelope().unwrap()).collect()
    }

    /// Says it, and again if it is not there after the process died.
    fn say(&mut self, text: &str) {
        loop {
            if self.texts().contains_key(text) {
                return;
            }
            self.step(|chat, _, now| chat.write_in_cluster(NEST, text, LIFETIME, now).map(drop).unwrap());
        }
    }

    fn texts(&mut self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for message in self.chat().messages(&Filter { limit: Some(10_000), ..Filter::default() }).unwrap() {
            *counts.entry(message.text).or_default() += 1;
        }
        counts
    }

    fn is_in(&mut self) -> bool {
        self.chat().cluster(NEST).is_ok_and(|cluster| cluster.standing == Standing::Member)
    }

    /// Says yes to whatever is open.
    fn vote(&mut self) {
        let Ok(motions) = self.chat().motions(NEST) else { return };
        for motion in motions.into_iter().filter(|motion| motion.state == Outcome::Open && motion.ours.is_none()) {
            // Who died after it had been written has voted.
            self.step(|chat, _, now| chat.vote(&motion.motion, "yes", now).map(drop));
        }
    }
}

fn pass(people: &mut [Mortal], ms: u64) {
    for person in people {
        person.now.unix_ms += ms;
        person.now.mono_ms += ms;
    }
}

fn mingle(people: &mut [Mortal]) {
    for _ in 0..8 {
        pass(people, 15_000);
        people.iter_mut().for_each(Mortal::settle);
        for from in 0..people.len() {
            let envelopes = people[from].envelopes();
            for to in (0..people.len()).filter(|to| *to != from) {
                people[to].receive(&envelopes);
            }
        }
    }
}

/// What somebody asks of the program, asked again until it was done.
fn until_done<T>(person: &mut Mortal, mut ask: impl FnMut(&mut Chat, Now) -> Result<T, ChatError>) -> T {
    std::iter::repeat_with(|| person.step(|chat, _, now| ask(chat, now).unwrap())).flatten().next().unwrap()
}

/// Nobody used a counter of the outer layer for two contents. Two members may answer one who asks, each under a key of its own.
fn nothing_is_encrypted_twice(people: &[Mortal]) {
    let mut salts = BTreeMap::<_, BTreeSet<Vec<u8>>>::new();
    for person in people {
        let mut counters: BTreeMap<[u8; 16], BTreeSet<Vec<u8>>> = BTreeMap::new();
        for envelope in &person.made {
            if let Kind::Sealed { tag, .. } = envelope.fields().kind {
                let body = envelope.body().to_vec();
                salts.entry((tag, body[..16].to_vec())).or_default().insert(body.clone());
                counters.entry(tag).or_default().insert(body);
            }
        }
        assert!(counters.len() > 10 && counters.values().all(|bodies| bodies.len() == 1));
    }
    assert!(salts.values().all(|bodies| bodies.len() == 1));
}

#[test]
fn who_is_killed_between_any_two_writes_ends_where_the_others_are() {
    let mut people = vec![Mortal::new(1)];
    until_done(&mut people[0], |chat, now| chat.found_cluster(&Charter::new(NEST).unwrap(), "alice", now).map(drop));
    let mut said = Vec::new();
    for (name, seed) in ["bob", "carol", "dave"].iter().zip(2..) {
        let mut newcomer = Mortal::new(seed);
        newcomer.now = people[0].now;
        people.push(newcomer);
        people.iter_mut().for_each(|person| person.danger = 4);
        let link = until_done(&mut people[0], |chat, now| chat.invite_to_cluster(NEST, name, 7, now));
        let newcomer = people.last_mut().unwrap();
        // Whoever died after it was written has asked already.
        newcomer.step(|chat, _, now| chat.join_cluster(&link, name, "hello", now).map(drop));
        if newcomer.chat().clusters().unwrap().is_empty() {
            newcomer.danger = 0;
            until_done(newcomer, |chat, now| chat.join_cluster(&link, name, "hello", now).map(drop));
        }
        for _ in 0..10 {
            mingle(&mut people);
            people.iter_mut().for_each(Mortal::vote);
            if people.iter_mut().all(|person| person.is_in()) {
                break;
            }
        }
        assert!(people.iter_mut().all(|person| person.is_in()), "{name} was let in");
        for (person, who) in people.iter_mut().zip(["alice", "bob", "carol", "dave"]) {
            let text = format!("{who}, when {name} had come");
            person.say(&text);
            said.push((text, people_then(seed)));
        }
        mingle(&mut people);
    }
    // The keys are renewed, while some are cut off.
    for day in 0..2 {
        pass(&mut people, DAY_MS);
        let away = day % people.len();
        let mut one = people.remove(away);
        mingle(&mut people);
        people.iter_mut().chain([&mut one]).for_each(Mortal::settle);
        people.insert(away, one);
        for (person, who) in people.iter_mut().zip(["alice", "bob", "carol", "dave"]) {
            let text = format!("{who} on day {day}");
            person.say(&text);
            said.push((text, 4));
        }
        mingle(&mut people);
    }
    let deaths: usize = people.iter().map(|person| person.deaths).sum();
    let halves: usize = people.iter().map(|person| person.halves).sum();
    people.iter_mut().for_each(|person| person.danger = 0);
    for _ in 0..2 {
        pass(&mut people, DAY_MS);
        mingle(&mut people);
    }

    let states: BTreeSet<_> = people.iter_mut().map(|person| person.chat().cluster(NEST).unwrap().state).collect();
    assert_eq!(states.len(), 1, "after {deaths} deaths all are in one state");
    for (number, person) in people.iter_mut().enumerate() {
        let texts = person.texts();
        let due = said.iter().filter(|(_, then)| number < *then);
        let wrong: Vec<_> = due.filter(|(text, _)| texts.get(text) != Some(&1)).map(|(text, _)| text).collect();
        assert!(wrong.is_empty(), "not once for {number}: {wrong:?} of {texts:?}");
        assert!(person.chat().audit_cluster(NEST).is_ok(), "what was decided holds for {number}");
    }
    nothing_is_encrypted_twice(&people);
    assert!(deaths > 100 && halves > 50, "{deaths} deaths, {halves} of them in the midst of something");
}

/// How many had come when the one of this seed had.
fn people_then(seed: u8) -> usize {
    usize::from(seed)
}
