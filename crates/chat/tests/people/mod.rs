//! People for the stories. The network is a function that copies envelopes from one log to another.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{LazyLock, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use rusqlite::Connection;
use samizdat_chat::{
    Answer, Chat, ContactEdit, Filter, Message, State,
    mls::{MLS_SCHEMA, MemberKeys, Mls},
};
use samizdat_cluster::{door, link::ClusterLink, request::Request};
use samizdat_core::{
    Envelope, EnvelopeId, Now, Unstamped,
    seal::{self, StateSecret},
    stamp::Mint,
};
use samizdat_store::{Appended, Log, Vault};

/// Short, so that stamps are cheap.
pub const LIFETIME: u8 = 0;

pub struct Person {
    pub chat: Chat,
    pub log: Log,
    pub now: Now,
    /// Whose copy it is: each draws what no other of its line has drawn.
    seed: u8,
    copies: u8,
}

/// Those whom some test has met: the stamp of what people first say of themselves takes longer than most of what is told of them.
static MET: LazyLock<Mutex<Vec<Person>>> = LazyLock::new(|| {
    // MLS encrypts on several threads, which draw from one generator: on one thread a test sees the same each time.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    Mutex::default()
});

impl Person {
    pub fn new(seed: u8) -> Self {
        let mut met = MET.lock().unwrap();
        if !met.iter().any(|person| person.seed == seed) {
            met.push(Self::whose_program_was_changed(seed, ""));
        }
        // A copy for the first, too: what a test sees must not depend on which of them comes first.
        met.iter().find(|person| person.seed == seed).unwrap().again()
    }

    /// The same, started anew: what happens to one does not happen to the other.
    pub fn again(&self) -> Self {
        let vault = self.chat.vault().copy().unwrap();
        // How far it has read is told by rows, and a new log counts them anew.
        let has_read: i64 =
            vault.conn().query_row("SELECT value FROM setting WHERE key = 'cursor'", [], |row| row.get(0)).unwrap_or(0);
        let stored = self.log.after(0, 10_000).unwrap();
        let rows = stored.iter().filter(|stored| stored.row <= has_read).count();
        vault.conn().execute("UPDATE setting SET value = ?1 WHERE key = 'cursor'", [i64::try_from(rows).unwrap()]).unwrap();
        let mut log = Log::in_memory(1 << 30).unwrap();
        log.append(&self.envelopes()).unwrap();
        assert_eq!(log.last_row().unwrap(), i64::try_from(stored.len()).unwrap());
        let copies = self.copies + 1;
        let mut draw = [self.seed; 32];
        draw[0] = copies;
        Self { chat: Chat::open(vault, draw).unwrap(), log, now: self.now, seed: self.seed, copies }
    }

    /// `sql` changes the tables before the program uses them.
    pub fn whose_program_was_changed(seed: u8, sql: &str) -> Self {
        let vault = Vault::in_memory(Chat::MIGRATIONS).unwrap();
        vault.conn().execute_batch(sql).unwrap();
        let now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
        let mut person =
            Self { chat: Chat::open(vault, [seed; 32]).unwrap(), log: Log::in_memory(1 << 30).unwrap(), now, seed, copies: 0 };
        person.settle();
        person
    }

    pub fn name(&self) -> String {
        self.chat.identities().unwrap()[0].name.clone()
    }

    pub fn link(&mut self) -> String {
        self.chat.invite().unwrap().to_string()
    }

    /// Encrypts, stamps and logs until nothing is left to do that anybody waits for; what is new in the log.
    pub fn settle(&mut self) -> Vec<EnvelopeId> {
        let mut made = Vec::new();
        loop {
            self.chat.work(&self.log, self.now).unwrap();
            let Some(job) = self.chat.job().unwrap().filter(|job| job.urgent) else { return made };
            let envelope = self.chat.stamp(&job.id, mint(&job.id, job.tries)).unwrap().unwrap();
            self.log.append(&[envelope]).unwrap();
            self.chat.logged(&job.id).unwrap();
            made.push(job.id);
        }
    }

    pub fn receive(&mut self, envelope: &Envelope) {
        if matches!(self.log.append(std::slice::from_ref(envelope)).unwrap()[0], Appended::New | Appended::Replaced { .. }) {
            self.chat.catch_up(&self.log, self.now).unwrap();
        }
    }

    pub fn envelopes(&self) -> Vec<Envelope> {
        self.log.after(0, 10_000).unwrap().iter().map(|stored| stored.envelope().unwrap()).collect()
    }

    pub fn write(&mut self, who: &str, text: &str) -> Message {
        self.chat.write(who, text, LIFETIME, self.now).unwrap()
    }

    pub fn block(&mut self, who: &str, blocked: bool) {
        self.chat.edit_contact(who, &ContactEdit { blocked: Some(blocked), ..ContactEdit::default() }).unwrap();
    }

    pub fn texts(&self) -> Vec<String> {
        self.chat.messages(&Filter::default()).unwrap().into_iter().map(|m| m.text).collect()
    }

    pub fn state(&self, message: &Message) -> State {
        self.chat.message(&message.id).unwrap().state
    }
}

pub fn mint(id: &EnvelopeId, tries: u64) -> u64 {
    let mut mint = Mint::new(*id, tries, 0);
    std::iter::repeat_with(|| mint.step(100_000)).flatten().next().unwrap()
}

/// Everybody learns what the first one has.
pub fn carry(from: &Person, to: &mut Person) {
    from.envelopes().iter().for_each(|envelope| to.receive(envelope));
}

pub fn meet(a: &mut Person, b: &mut Person) {
    for _ in 0..4 {
        a.settle();
        b.settle();
        carry(a, b);
        carry(b, a);
    }
}

/// Alice, and Bob, who has not answered what she wrote.
pub fn asked() -> (Person, Person, Message) {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let link = bob.link();
    carry(&bob, &mut alice);
    alice.chat.add_contact(&link, Some("bob")).unwrap();
    let message = alice.write("bob", "hello bob");
    meet(&mut alice, &mut bob);
    (alice, bob, message)
}

/// Alice and Bob, who agreed to talk.
pub fn acquainted() -> (Person, Person) {
    let (mut alice, mut bob, _) = asked();
    let name = alice.name();
    bob.chat.answer(&name, Answer::Accept).unwrap();
    meet(&mut alice, &mut bob);
    (alice, bob)
}

/// Two whose leaves would have one encryption key: anybody can copy that of another.
pub fn with_the_same_keys(nicks: [&str; 2]) -> [MemberKeys; 2] {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(MLS_SCHEMA).unwrap();
    let (mls, drawn) = (Mls::new().unwrap(), |seed| ChaCha20Rng::from_seed([seed; 32]));
    let one = mls.groups(&conn, &mut drawn(77)).make_keys(nicks[0]).unwrap();
    let other = mls.groups(&conn, &mut drawn(78)).make_keys(nicks[1]).unwrap();
    let mut same = drawn(77);
    same.fill_bytes(&mut [0; 32]);
    let other = mls.groups(&conn, &mut same).renew_keys(&other.member, nicks[1]).unwrap();
    [one, other]
}

/// What a program of Mallory's puts under a door.
pub fn knock(link: &ClusterLink, request: &Request, now: Now) -> Envelope {
    let (mut rng, door) = (ChaCha20Rng::from_seed([79; 32]), link.door());
    let sealed = seal::door::seal(&link.key(), &door.0, &request.encode(), &mut rng).unwrap();
    let mut piece = minicbor::Encoder::new(Vec::new());
    piece.array(3).unwrap().u8(1).unwrap().u8(3).unwrap().bytes(&sealed).unwrap();
    let counter = door::counter(door::day(now.hour()), u8::try_from(rng.next_u32() % 8).unwrap()).unwrap();
    let secret = StateSecret::new(door.0);
    let body = secret.seal(0, counter, &piece.into_writer(), &mut rng).unwrap();
    let unstamped = Unstamped::seal(Some(secret.tag(0, counter)), now.hour(), LIFETIME, body).unwrap();
    let (id, price) = (unstamped.id(), unstamped.price());
    unstamped.stamp(mint(&id, price)).unwrap()
}
