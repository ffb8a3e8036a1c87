//! A cluster of 200: two whole people (`Chat` over a vault and a log on disk), one who is the bare library, and a crowd that
//! knows MLS and the envelopes only.

use std::path::Path;

use minicbor::Encoder;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use samizdat_chat::{
    Chat, Standing,
    mls::{Committed, Groups, MLS_SCHEMA, MemberKeys, Mls, Plan, Snapshot},
};
use samizdat_cluster::{
    Charter, ClusterId, Context, Done, MemberId, MemberSecret, Past, PastIn, Roster,
    door::{self, DoorSecret},
    link::OpenDoor,
    minutes::{Minutes, MinutesHash},
    request::{Answer, Request},
};
use samizdat_core::{
    Envelope, Kind,
    seal::{StateSecret, door::DoorKey},
};
use samizdat_store::{Log, Vault, rusqlite::Connection};

use crate::{
    NOW,
    bare::Bare,
    post::{self, ANSWER},
};

pub const MEMBERS: usize = 200;
pub const CLUSTER: ClusterId = ClusterId([7; 32]);
pub const NAME: &str = "circle";
/// With this one Bob is no trustee of a secret vote.
pub const SALT: [u8; 32] = [6; 32];
/// For how many epochs a motion can be open.
pub const OPEN_EPOCHS: u8 = 16;

/// Of the crowd.
pub struct Member {
    conn: Connection,
    mls: Mls,
    rng: ChaCha20Rng,
    keys: MemberKeys,
    sent: u64,
}

impl Member {
    fn new(n: usize, nick: &str) -> Self {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MLS_SCHEMA).unwrap();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let (mls, mut rng) = (Mls::new().unwrap(), ChaCha20Rng::from_seed(seed));
        let keys = mls.groups(&conn, &mut rng).make_keys(nick).unwrap();
        Self { conn, mls, rng, keys, sent: 0 }
    }

    fn groups(&mut self) -> Groups<'_> {
        self.mls.groups(&self.conn, &mut self.rng)
    }

    pub fn propose(&mut self, at: &Snapshot) -> Vec<u8> {
        let us = self.keys.member;
        self.groups().propose_update(&CLUSTER, &at.state, &us).unwrap()
    }

    pub fn commit(&mut self, at: &Snapshot, updates: &[Vec<u8>]) -> Committed {
        let us = self.keys.member;
        self.groups().commit(&CLUSTER, &at.state, &us, &Plan { updates: updates.to_vec(), ..Plan::default() }).unwrap()
    }

    pub fn follow(&mut self, at: &Snapshot, commit: &[u8]) {
        self.groups().process(&CLUSTER, &at.state, commit, &[]).unwrap();
    }

    pub fn say(&mut self, at: &Snapshot, content: &[u8]) -> Vec<u8> {
        let us = self.keys.member;
        self.groups().encrypt(&CLUSTER, &at.state, &us, content).unwrap()
    }

    pub fn id(&self) -> MemberId {
        self.keys.member
    }

    /// Signs what is signed beside MLS.
    pub fn secret(&mut self) -> MemberSecret {
        let us = self.keys.member;
        MemberSecret::from_seed(*self.groups().signer(&us).unwrap().seed())
    }

    /// Of the next message.
    pub fn counter(&mut self) -> u64 {
        self.sent += 1;
        self.sent - 1
    }

    pub fn leaf(&self, at: &Snapshot) -> u32 {
        at.members.iter().find(|leaf| leaf.member == self.keys.member).unwrap().leaf
    }
}

/// Somebody with all that the program has.
pub struct Person {
    pub chat: Chat,
    pub log: Log,
}

impl Person {
    fn new(dir: &Path, seed: u8) -> Self {
        std::fs::create_dir(dir).unwrap();
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let vault = Vault::open(dir, None, Chat::MIGRATIONS, &mut rng).unwrap();
        Self { chat: Chat::open(vault, [seed; 32]).unwrap(), log: Log::open(&dir.join("log.sqlite"), 1 << 40).unwrap() }
    }

    /// What waits for its stamp is stamped and taken out.
    pub fn post(&mut self) -> Vec<Envelope> {
        let mut posted = Vec::new();
        while let Some(job) = self.chat.job().unwrap().filter(|job| job.urgent) {
            posted.push(self.chat.stamp(&job.id, post::nonce(&job.id, job.tries)).unwrap().unwrap());
            self.chat.logged(&job.id).unwrap();
        }
        posted
    }

    /// As the engine does: first all of it into the log, then it is read.
    pub fn log(&mut self, envelopes: &[Envelope]) {
        self.log.append(envelopes).unwrap();
        self.chat.read_up_to(self.log.last_row().unwrap());
    }

    pub fn read(&mut self, envelopes: &[Envelope]) {
        self.take(envelopes);
        self.work();
    }

    pub fn take(&mut self, envelopes: &[Envelope]) {
        self.chat.ingest_all(envelopes.iter(), &self.log, NOW).unwrap();
    }

    pub fn work(&mut self) {
        self.chat.work(&self.log, NOW).unwrap();
    }
}

pub struct Circle {
    pub alice: Person,
    pub bob: Person,
    pub bare: Bare,
    pub crowd: Vec<Member>,
    /// The state that all are in.
    pub at: Snapshot,
    pub past: Past,
}

impl Circle {
    pub fn new(dir: &Path) -> Self {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut alice, mut bob) = (Person::new(&dir.join("alice"), 201), Person::new(&dir.join("bob"), 202));
        let door = OpenDoor::new(&[3; 20], DoorKey([4; 32]));
        let requests = [(&mut alice, "alice"), (&mut bob, "bob")].map(|(person, nick)| ask(person, &door, nick));
        let (mut bare, key_package) = Bare::new(&CLUSTER.0, "bare");
        let mut crowd: Vec<Member> = (0..MEMBERS - 3).map(|n| Member::new(n, &format!("member {n}"))).collect();

        let mut charter = Charter::new(NAME).unwrap();
        (charter.cap, charter.motion_epochs) = (500, OPEN_EPOCHS);
        let context = Context { salt: SALT, charter: charter.clone(), minutes: MinutesHash([0; 32]) };
        let founder = &mut crowd[0];
        let keys = founder.keys.clone();
        let founded = founder.groups().found(&CLUSTER, &keys, "member 0", &context.encode()).unwrap();
        let mut add: Vec<Vec<u8>> = requests.iter().map(|request| request.key_package.clone()).collect();
        add.push(key_package);
        add.extend(crowd[1..].iter().map(|member| member.keys.bytes.clone()));
        let us = crowd[0].keys.member;
        let plan = Plan { add, ..Plan::default() };
        let committed = crowd[0].groups().commit(&CLUSTER, &founded.state, &us, &plan).unwrap();
        let (welcome, at) = (committed.welcome.unwrap(), committed.snapshot);
        bare.join(&welcome);
        for member in &mut crowd[1..] {
            let us = member.keys.member;
            member.groups().join(&CLUSTER, &us, &welcome).unwrap();
        }

        let roster = Roster::of(at.members.iter().map(|leaf| leaf.member));
        let past = past(&roster, &charter);
        let past = past.verify(at.epoch, &roster, &charter).unwrap();
        let minutes = Minutes::from(&context, past.clone(), Done::default()).encode();
        let minutes = StateSecret::new(at.secret).enclose(&minutes, &mut rng).unwrap();
        let answer = Answer { cluster: CLUSTER, welcome, door: DoorSecret([4; 32]), minutes };
        for (person, request) in [&mut alice, &mut bob].into_iter().zip(&requests) {
            let envelopes = post::stamped(post::seal(&request.reply.0, 1, 0, ANSWER, &answer.encode(), &mut rng));
            person.log(&envelopes);
            person.read(&envelopes);
            let cluster = person.chat.cluster(NAME).unwrap();
            assert_eq!((cluster.standing, cluster.members.len()), (Standing::Member, MEMBERS));
        }
        Self { alice, bob, bare, crowd, at, past }
    }
}

/// Asks to be let in; what is asked.
fn ask(person: &mut Person, door: &OpenDoor, nick: &str) -> Request {
    person.chat.join_cluster(&door.link.to_string(), nick, "", NOW).unwrap();
    person.chat.work(&person.log, NOW).unwrap();
    let secret = StateSecret::new(door.link.door().0);
    let opened = person.post().into_iter().find_map(|envelope| {
        let Kind::Sealed { tag, .. } = envelope.fields().kind else { return None };
        let counter = door::watched(NOW.hour()).find(|counter| secret.tag(0, *counter) == tag)?;
        secret.open(0, counter, envelope.body()).ok()
    });
    let sealed = post::open(&opened.unwrap()).1;
    Request::decode(&door.key.open(&door.link.door().0, &sealed).unwrap()).unwrap()
}

fn past(roster: &Roster, charter: &Charter) -> PastIn {
    let mut e = Encoder::new(Vec::new());
    e.array(2).unwrap().u64(1).unwrap().array(1).unwrap().array(3).unwrap().u64(1).unwrap();
    e.array(roster.iter().count() as u64).unwrap();
    roster.iter().for_each(|member| {
        e.bytes(&member.0).unwrap();
    });
    let mut bytes = e.into_writer();
    bytes.extend(charter.encode());
    PastIn::decode(&bytes).unwrap()
}

/// What the kept states take in the vault in `dir`.
pub fn tell_sizes(dir: &Path) {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let vault = Vault::open(dir, None, Chat::MIGRATIONS, &mut rng).unwrap();
    let one = |sql: &str| vault.conn().query_row(sql, [], |row| row.get::<_, f64>(0)).unwrap();
    let states = one("SELECT count(*) FROM cluster_state");
    let size = |table: &str| one(&format!("SELECT total(pgsize) FROM dbstat WHERE name LIKE '{table}%'")) / states;
    println!("{states} states, each in the vault: keys {:.0} B", size("mls_state"));
    println!("rows {:.0} B, tags {:.0} B", size("cluster_state"), size("cluster_tag"));
    let mut labels =
        vault.conn().prepare("SELECT label, total(length(value)) FROM mls_state GROUP BY label ORDER BY 2 DESC").unwrap();
    let rows = labels.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?))).unwrap();
    rows.flatten().take(4).for_each(|(label, bytes)| println!("label {label}: {:.0} B", bytes / states));
}
