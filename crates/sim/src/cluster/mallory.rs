//! A member who means no good: it has all keys that a member has, and keeps no rule.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rusqlite::Connection;
use samizdat_chat::{
    Chat, ChatError, Proposal,
    mls::{GroupError, Mls, Plan, watch},
};
use samizdat_cluster::{
    ClusterId, Context, Grounds, MemberId, StateId,
    ballot::BallotIn,
    bundle::Bundle,
    certificate::CertificateIn,
    comeback::ComebackIn,
    content::{Body, Message},
    leave::LeaveIn,
    limits::PART_MAX,
    motion::Method,
    parts,
    tally::Outcome,
};
use samizdat_core::{Unstamped, seal::StateSecret};
use samizdat_store::StoreError;
use samizdat_sync::draw::Draw;

use super::{
    member::{CLUSTER, Letter},
    town::Town,
};
use crate::{
    limits::{CLUSTER_FLOOD, UNIX_START_MS},
    node::random,
    world::SimError,
};

const MESSAGE: u8 = 0;
const CHANGE: u8 = 2;
const PART: u8 = 5;
/// Tags that others expect ahead of each member.
const AHEAD: u64 = 16;
/// Lifetime of what it sends: 14 days.
const LIFETIME: u8 = 4;

/// What malicious members keep for later.
#[derive(Debug, Default)]
pub(super) struct Mallory {
    withheld: Vec<(usize, Letter)>,
    flooded: bool,
}

/// A state that a member is in, with all that it takes to write there.
struct Place {
    cluster: ClusterId,
    member: MemberId,
    state: StateId,
    secret: StateSecret,
    leaf: u32,
    sent: u64,
    epoch: u64,
    context: Context,
}

impl Place {
    /// The state that it follows, or another one that it keeps.
    fn of(conn: &Connection, draw: &mut Draw) -> Result<Option<Self>, SimError> {
        let read = || {
            let mut statement = conn.prepare_cached(
                "SELECT c.id, c.member, s.state, s.secret, s.own_leaf,
                 coalesce((SELECT expected_to FROM cluster_reach r WHERE r.cluster = s.cluster AND r.state = s.state AND r.leaf = s.own_leaf), 0),
                 s.state = c.tip, s.epoch, s.context FROM cluster c JOIN cluster_state s USING (cluster)
                 WHERE c.id IS NOT NULL AND s.own_leaf IS NOT NULL ORDER BY s.state",
            )?;
            let rows = statement.query_map([], |row| {
                let place = Self {
                    cluster: ClusterId(row.get(0)?),
                    member: MemberId(row.get(1)?),
                    state: StateId(row.get(2)?),
                    secret: StateSecret::new(row.get(3)?),
                    leaf: row.get(4)?,
                    sent: row.get(5)?,
                    epoch: row.get(7)?,
                    context: Context::decode(&row.get::<_, Vec<u8>>(8)?).map_err(|_| rusqlite::Error::InvalidQuery)?,
                };
                Ok((place, row.get::<_, bool>(6)?))
            })?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        };
        let places = read().map_err(StoreError::from)?;
        let any = draw.percent(25);
        Ok(draw.pick(places.into_iter().filter(|(_, tip)| any || *tip).map(|(place, _)| place)))
    }

    /// So many more of its tags are used.
    fn has_sent(&self, conn: &Connection, more: u64) -> Result<(), SimError> {
        conn.execute(
            "INSERT INTO cluster_reach(cluster, state, leaf, expected_to) SELECT cluster, state, ?2, ?3 FROM cluster_state WHERE state = ?1
             ON CONFLICT DO UPDATE SET expected_to = expected_to + excluded.expected_to",
            (self.state.0, self.leaf, more),
        )
        .map_err(StoreError::from)?;
        Ok(())
    }

    /// Envelopes with pieces under the tags of `leaf` from `first` on.
    fn seal(&self, leaf: u32, first: u64, pieces: &[Vec<u8>], hour: samizdat_core::Hour, rng: &mut ChaCha20Rng) -> Vec<Letter> {
        let sealed = pieces.iter().zip(first..).filter_map(|(piece, counter)| {
            let body = self.secret.seal(leaf, counter, piece, rng).ok()?;
            Letter::read(Unstamped::seal(Some(self.secret.tag(leaf, counter)), hour, LIFETIME, body).ok()?)
        });
        sealed.collect()
    }
}

fn piece(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = e.array(3).and_then(|e| e.u8(1)?.u8(kind)?.bytes(bytes));
    e.into_writer()
}

fn pieces(kind: u8, bytes: &[u8]) -> Vec<Vec<u8>> {
    let whole = piece(kind, bytes);
    if whole.len() <= PART_MAX {
        return vec![whole];
    }
    parts::cut(&whole).unwrap_or_default().iter().map(|part| piece(PART, part)).collect()
}

impl Town {
    pub(super) fn do_mischief(&mut self, number: usize) -> Result<(), SimError> {
        let done = match self.draw.below(100) {
            0..45 => self.commit_as_it_likes(number),
            45..57 => self.vote_twice(number),
            57..60 => self.confirm_falsely(number),
            60..75 => self.put_under_the_tags_of_others(number),
            75..85 => self.say_nonsense(number),
            85..90 => self.flood(number),
            _ => self.write(number),
        };
        // What it encrypts twice is its own affair.
        let _ = watch::take();
        done
    }

    /// Several Commits for one state, of which some are shown later; with too few votes, with those of others, with none.
    fn commit_as_it_likes(&mut self, number: usize) -> Result<(), SimError> {
        let mut rng = ChaCha20Rng::from_seed(random(&mut self.draw));
        let hour = self.hour();
        let mut out = Vec::new();
        {
            let Some(member) = self.members.get(number) else { return Ok(()) };
            let conn = member.chat.vault().conn();
            let Some(place) = Place::of(conn, &mut self.draw)? else { return Ok(()) };
            let others: Vec<[u8; 32]> = member.rows("SELECT member FROM cluster_stand ORDER BY member")?;
            let certificates = shown(&member.chat, &mut self.draw)?;
            let packages: Vec<Vec<u8>> = member.rows("SELECT key_package FROM cluster_request ORDER BY request")?;
            let leaves: Vec<Vec<u8>> = member.rows("SELECT bytes FROM cluster_leave ORDER BY member")?;
            let comebacks: Vec<Vec<u8>> =
                member.rows("SELECT comeback FROM cluster_request WHERE comeback IS NOT NULL ORDER BY request")?;
            let mls = Mls::new().map_err(ChatError::from)?;
            let count = 1_u64.saturating_add(self.draw.below(4));
            for n in 0..count {
                let copy = member.chat.vault().copy()?;
                let mut plan = Plan::default();
                if self.draw.percent(40) {
                    plan.remove.extend(
                        self.draw.pick(others.iter().filter(|other| **other != place.member.0)).map(|other| MemberId(*other)),
                    );
                }
                if self.draw.percent(20) {
                    plan.add.extend(self.draw.pick(packages.iter()).cloned());
                }
                let some = self.draw.percent(50);
                let leaves = leaves.iter().filter(|_| some).filter_map(|bytes| LeaveIn::decode(bytes).ok()).take(4).collect();
                let certificates = if self.draw.percent(60) { certificates.clone() } else { Vec::new() };
                let comebacks = comebacks.iter().filter_map(|bytes| ComebackIn::decode(bytes).ok()).take(4).collect();
                let grounds = Grounds { certificates, leaves, comebacks };
                // It says so in the context of the group, or says something else.
                let says = if self.draw.percent(80) { &grounds } else { &Grounds::default() };
                plan.context = place.context.after(place.epoch, says, None).map(|context| context.encode());
                let committed = mls.groups(copy.conn(), &mut rng).commit(&place.cluster, &place.state, &place.member, &plan);
                let Ok(committed) = committed else { continue };
                // Sometimes with grounds that it was not signed with, to some first and to others later.
                let other = if self.draw.percent(30) { Grounds::default() } else { grounds.clone() };
                for (place_of, grounds) in [(0, grounds), (4, other)] {
                    let bundle = Bundle { commit: committed.commit.clone(), grounds }.encode();
                    let first = place.sent.saturating_add(n.saturating_mul(8)).saturating_add(place_of);
                    out.extend(place.seal(place.leaf, first, &pieces(CHANGE, &bundle), hour, &mut rng));
                }
            }
            place.has_sent(conn, 32)?;
        }
        for letter in out {
            if self.draw.percent(40) {
                self.mallory.withheld.push((number, letter));
            } else {
                self.publish(number, letter)?;
            }
        }
        Ok(())
    }

    pub(super) fn mallory_shows_what_it_held_back(&mut self) -> Result<(), SimError> {
        let withheld = std::mem::take(&mut self.mallory.withheld);
        withheld.into_iter().try_for_each(|(number, letter)| self.publish(number, letter))
    }

    /// Yes and no to one motion.
    fn vote_twice(&mut self, number: usize) -> Result<(), SimError> {
        let now = self.now;
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        let at = member.now(now);
        let mut open =
            member.chat.motions(CLUSTER)?.into_iter().filter(|motion| motion.state == Outcome::Open && motion.ours.is_none());
        let Some(motion) = open.next_back() else { return Ok(()) };
        let mut other = Chat::open(member.chat.vault().copy()?, random(&mut self.draw))?;
        let votes = if motion.kind == "question" { ["1", "2"] } else { ["yes", "no"] };
        for (chat, vote) in [&mut other, &mut member.chat].into_iter().zip(votes) {
            match chat.vote(&motion.motion, vote, at) {
                Ok(_) | Err(ChatError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let sql = "SELECT bytes FROM cluster_ballot WHERE voter = (SELECT member FROM cluster)";
        let read = |chat: &Chat| {
            let mut statement = chat.vault().conn().prepare_cached(sql)?;
            statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<Vec<u8>>, rusqlite::Error>>()
        };
        let (cast, ours) = (read(&other).map_err(StoreError::from)?, read(&member.chat).map_err(StoreError::from)?);
        self.wake(number, now)?;
        for ballot in cast.iter().filter(|ballot| !ours.contains(ballot)).filter_map(|bytes| BallotIn::decode(bytes).ok()) {
            self.say(number, Body::Ballot(ballot), 0)?;
        }
        Ok(())
    }

    /// Says that all that is voted on in secret has passed.
    fn confirm_falsely(&mut self, number: usize) -> Result<(), SimError> {
        let Some(member) = self.members.get(number) else { return Ok(()) };
        // A thousand yes and no: its program believes it, and does the rest.
        let lie = "UPDATE cluster_vote SET phase = 3, counts = x'00000000000003e80000000000000000' WHERE phase < 3";
        member.chat.vault().conn().execute(lie, []).map_err(StoreError::from)?;
        self.wake(number, self.now)
    }

    /// What others wrote, and garbage, under the tags that somebody's next messages will have.
    fn put_under_the_tags_of_others(&mut self, number: usize) -> Result<(), SimError> {
        let mut rng = ChaCha20Rng::from_seed(random(&mut self.draw));
        let hour = self.hour();
        let mut out = Vec::new();
        {
            let Some(member) = self.members.get(number) else { return Ok(()) };
            let conn = member.chat.vault().conn();
            let Some(place) = Place::of(conn, &mut self.draw)? else { return Ok(()) };
            let read = || {
                let mut statement = conn
                    .prepare_cached("SELECT leaf, expected_to FROM cluster_reach WHERE state = ?1 AND leaf <> ?2 ORDER BY leaf")?;
                let rows = statement.query_map((place.state.0, place.leaf), |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<Vec<(u32, u64)>, rusqlite::Error>>()
            };
            let reach = read().map_err(StoreError::from)?;
            let others = (0..u32::try_from(self.members.len()).unwrap_or(0)).filter(|leaf| *leaf != place.leaf);
            let to = |leaf: u32| reach.iter().find(|(known, _)| *known == leaf).map_or(AHEAD, |(_, to)| *to);
            let next = |leaf: u32| (to(leaf).saturating_sub(AHEAD)..to(leaf)).map(move |counter| (leaf, counter));
            let expected: Vec<(u32, u64)> = others.flat_map(next).collect();
            let heard: Vec<Vec<u8>> = self
                .letters
                .iter()
                .rev()
                .take(200)
                .filter_map(|letter| {
                    let body = letter.unstamped.body();
                    (0..u32::try_from(self.members.len()).unwrap_or(0)).find_map(|leaf| {
                        (0..24).find_map(|counter| {
                            (place.secret.tag(leaf, counter) == letter.tag).then(|| place.secret.open(leaf, counter, body).ok())?
                        })
                    })
                })
                .take(8)
                .collect();
            for (leaf, counter) in self.draw.sample(expected, 12) {
                let junk = piece(u8::try_from(self.draw.below(6)).unwrap_or(0), &random(&mut self.draw));
                let chosen = if self.draw.percent(60) { self.draw.pick(heard.iter().cloned()) } else { None };
                out.extend(place.seal(leaf, counter, &[chosen.unwrap_or(junk)], hour, &mut rng));
            }
        }
        out.into_iter().try_for_each(|letter| self.publish(number, letter))
    }

    /// Statements in the name of others, and a turn that nobody can outdo.
    fn say_nonsense(&mut self, number: usize) -> Result<(), SimError> {
        let cluster: Vec<[u8; 32]> = self
            .members
            .get(number)
            .map(|member| member.rows("SELECT id FROM cluster WHERE id IS NOT NULL"))
            .transpose()?
            .unwrap_or_default();
        let others: Vec<[u8; 32]> = self
            .members
            .get(number)
            .map(|member| member.rows("SELECT member FROM cluster_stand ORDER BY member"))
            .transpose()?
            .unwrap_or_default();
        let turn = if self.draw.percent(50) { i64::MAX.unsigned_abs() } else { 0 };
        let body = match (cluster.first(), self.draw.pick(others)) {
            (Some(cluster), Some(other)) if turn == 0 => {
                let mut e = minicbor::Encoder::new(Vec::new());
                let _ = e.array(4).and_then(|e| e.u8(1)?.bytes(cluster)?.bytes(&other)?.bytes(&[7; 64]));
                LeaveIn::decode(&e.into_writer()).map_or(Body::Here, Body::Leave)
            }
            _ => Body::Here,
        };
        self.say(number, body, turn)
    }

    /// More motions than anybody keeps, once.
    fn flood(&mut self, number: usize) -> Result<(), SimError> {
        if std::mem::replace(&mut self.mallory.flooded, true) {
            return Ok(());
        }
        let now = self.now;
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        let at = member.now(now);
        let options = ["a".to_owned(), "b".to_owned()];
        for _ in 0..CLUSTER_FLOOD {
            let proposal = Proposal::Question { text: "again?", options: &options, method: Method::Plurality };
            match member.chat.open_motion(CLUSTER, &proposal, at) {
                Ok(_) | Err(ChatError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.wake(number, now)
    }

    /// Something of its own device, as a member's message.
    fn say(&mut self, number: usize, body: Body, turn: u64) -> Result<(), SimError> {
        let mut rng = ChaCha20Rng::from_seed(random(&mut self.draw));
        let (hour, now) = (self.hour(), UNIX_START_MS.saturating_add(self.now));
        let Some(member) = self.members.get(number) else { return Ok(()) };
        let conn = member.chat.vault().conn();
        let Some(place) = Place::of(conn, &mut self.draw)? else { return Ok(()) };
        let message = Message { turn: turn.max(now), body }.encode();
        let mls = Mls::new().map_err(ChatError::from)?;
        let encrypted = match mls.groups(conn, &mut rng).encrypt(&place.cluster, &place.state, &place.member, &message) {
            Ok(encrypted) => encrypted,
            Err(GroupError::State(error)) => return Err(ChatError::from(error).into()),
            Err(_) => return Ok(()),
        };
        place.has_sent(conn, 1)?;
        let letters = place.seal(place.leaf, place.sent, &pieces(MESSAGE, &encrypted), hour, &mut rng);
        letters.into_iter().try_for_each(|letter| self.publish(number, letter))
    }

    fn hour(&self) -> samizdat_core::Hour {
        samizdat_core::Now { mono_ms: 0, unix_ms: UNIX_START_MS.saturating_add(self.now) }.hour()
    }
}

/// Certificates of motions, whether they passed or not: with all votes, with one twice, with those for something else.
fn shown(chat: &Chat, draw: &mut Draw) -> Result<Vec<CertificateIn>, SimError> {
    let read = || {
        let mut statement = chat.vault().conn().prepare_cached("SELECT m.bytes, b.voter, b.bytes FROM cluster_motion m JOIN cluster_ballot b USING (cluster) ORDER BY m.motion, b.voter")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<Result<Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>, rusqlite::Error>>()
    };
    let all = read().map_err(StoreError::from)?;
    let Some((motion, ..)) = draw.pick(all.iter()) else { return Ok(Vec::new()) };
    let mut votes: Vec<(&[u8], &[u8])> = all
        .iter()
        .filter(|(of, ..)| of == motion)
        .filter_map(|(_, voter, ballot)| Some((&voter[..], ballot.last_chunk::<64>()?.as_slice())))
        .collect();
    votes.sort_unstable();
    votes.dedup_by_key(|(voter, _)| *voter);
    if let (true, Some(first)) = (draw.percent(30), votes.first().copied()) {
        votes.insert(0, first);
    }
    let mut e = minicbor::Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = e.array(3).and_then(|e| e.u8(1).map(|_| ()));
    e.writer_mut().extend_from_slice(motion);
    let _ = e
        .array(votes.len() as u64)
        .and_then(|e| votes.iter().try_for_each(|(voter, signature)| e.array(2)?.bytes(voter)?.bytes(signature).map(|_| ())));
    Ok(CertificateIn::decode(&e.into_writer()).into_iter().collect())
}
