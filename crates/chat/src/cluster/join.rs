//! Founding, asking to be let in, being let in, coming back.

use std::collections::BTreeMap;

use rand_core::Rng;
use rusqlite::OptionalExtension;
use samizdat_cluster::{
    Charter, ClusterId, Context, Done, MemberId, Past, Roster, StateId,
    comeback::{Comeback, ComebackIn},
    door::DoorSecret,
    leave::LeaveIn,
    link::{ClusterLink, LINK_LEN, LinkError, OpenDoor},
    merge::ConsentIn,
    minutes::{End, Minutes, MinutesHash, MinutesIn},
    motion::{Admission, Kind, MotionFields},
    request::{Answer, Purpose, Request},
};
use samizdat_core::{
    Hour, Now,
    seal::{self, StateSecret},
};

use super::{
    doors::RETURN,
    row::{ClusterRow, Standing, StateRow, ms},
};
use crate::{
    chat::Chat,
    content::plausible_time,
    error::ChatError,
    limits::{ASK_AGAIN_MS, CLUSTER_REQUESTS_MAX, CLUSTERS_MAX, DECIDING_LIFETIMES, GUEST_MOTIONS_MAX, REPLY_TAGS},
    mls::Snapshot,
    work::Work,
};

/// Somebody who asks to be let in.
#[derive(Debug, Clone)]
pub(crate) struct JoinRequest {
    pub(crate) id: i64,
    pub(crate) member: MemberId,
    pub(crate) hash: [u8; 32],
    pub(crate) nick: String,
    pub(crate) words: String,
    pub(crate) at: u64,
    /// What the cluster calls itself with which they come.
    pub(crate) from: Option<String>,
}

impl Chat {
    /// Founds a cluster with nobody in it but us.
    pub fn found_cluster(&mut self, charter: &Charter, nick: &str, now: Now) -> Result<i64, ChatError> {
        self.dirty = true;
        self.transact(|work| work.found_cluster(charter, nick, now))
    }

    /// Asks to be let in.
    pub fn join_cluster(&mut self, link: &str, nick: &str, words: &str, now: Now) -> Result<i64, ChatError> {
        self.dirty = true;
        self.transact(|work| work.join_cluster(link, nick, words, now))
    }
}

fn parsed(link: &str) -> Result<ClusterLink, ChatError> {
    link.parse().map_err(|why: LinkError| ChatError::Usage(why.to_string()))
}

impl Work<'_> {
    pub(crate) fn found_cluster(&mut self, charter: &Charter, nick: &str, now: Now) -> Result<i64, ChatError> {
        charter.check().map_err(|why| ChatError::Usage(why.to_string()))?;
        let nick = self.good_nick(nick)?;
        self.room_for_one_more()?;
        let (id, salt, door) = (ClusterId(self.secret()), self.secret(), self.secret());
        let groups = self.mls.groups(self.conn, self.rng);
        let keys = groups.make_keys(nick)?;
        let past = Past::founded(Roster::of([keys.member]), charter.clone());
        let minutes = MinutesHash::founded(&id, &salt, &past);
        let context = Context { salt, charter: charter.clone(), minutes };
        let snapshot = groups.found(&id, &keys, nick, &context.encode())?;
        let cluster = self.add_cluster(&keys.member, nick, &charter.name, Standing::Member)?;
        let minutes = Minutes::from(&context, past.clone(), Done::default());
        let state = first_state(&snapshot, context, past, Done::default(), now);
        self.begin(cluster, &id, &state, &minutes, door, now)?;
        self.stand(cluster, &keys.member, now.unix_ms, &state.state, now)?;
        Ok(cluster)
    }

    /// Asks by a link; nobody else who has it can read what.
    pub(crate) fn knock_by(&mut self, link: &ClusterLink, request: &Request, now: Now) -> Result<(), ChatError> {
        let sealed = seal::door::seal(&link.key(), &link.door().0, &request.encode(), self.rng);
        let sealed = sealed.map_err(|_| ChatError::Usage("nobody can be behind this link: ask a member for another".into()))?;
        self.knock(link.door().0, &sealed, now)
    }

    /// What came by a door; nothing if it was not sealed to it.
    fn opened(&self, door: i64, bytes: &[u8]) -> Result<Option<Request>, ChatError> {
        let sql = "SELECT secret, key FROM cluster_door WHERE door = ?1";
        let (secret, open): ([u8; 32], Option<[u8; LINK_LEN]>) =
            self.conn.prepare_cached(sql)?.query_row([door], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(match open {
            None => Request::decode(bytes).ok(),
            Some(open) => OpenDoor::restore(&open).key.open(&secret, bytes).ok().and_then(|opened| Request::decode(&opened).ok()),
        })
    }

    fn join_cluster(&mut self, link: &str, nick: &str, words: &str, now: Now) -> Result<i64, ChatError> {
        let link = parsed(link)?;
        let nick = self.good_nick(nick)?;
        if words.len() > samizdat_cluster::limits::WORDS_MAX {
            return Err(ChatError::Usage(format!(
                "words to the cluster have at most {} bytes",
                samizdat_cluster::limits::WORDS_MAX
            )));
        }
        if self.conn.prepare_cached("SELECT 1 FROM cluster WHERE link = ?1 AND standing IN (0, 1)")?.exists([link.0])? {
            return Err(ChatError::Refused("you have used this link: see `cluster list`".into()));
        }
        self.room_for_one_more()?;
        let keys = self.mls.groups(self.conn, self.rng).make_keys(nick)?;
        let reply = self.secret();
        let name = format!("asked as {nick}");
        let cluster = self.add_cluster(&keys.member, nick, &name, Standing::Asking)?;
        self.conn.execute(
            "UPDATE cluster SET link = ?2, reply = ?3, words = ?4, asked_at = ?5 WHERE cluster = ?1",
            (cluster, link.0, reply, words, ms(now.unix_ms)),
        )?;
        self.expect_reply(cluster, reply, 0..REPLY_TAGS)?;
        let purpose = Purpose::Join { nick: nick.to_owned(), words: words.to_owned() };
        let request = Request { reply: DoorSecret(reply), key_package: keys.bytes, purpose };
        self.knock_by(&link, &request, now)?;
        self.touch(cluster);
        Ok(cluster)
    }

    /// While nobody has answered, we ask again; when next.
    pub(crate) fn ask_again(&mut self, row: &ClusterRow, now: Now) -> Result<u64, ChatError> {
        let (asked_at, link, reply, words): (u64, [u8; LINK_LEN], [u8; 32], String) =
            self.conn.query_row("SELECT asked_at, link, reply, words FROM cluster WHERE cluster = ?1", [row.cluster], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let due = asked_at.saturating_add(ASK_AGAIN_MS);
        // Unless our clock was ahead then: nobody saw that.
        if asked_at <= now.unix_ms && now.unix_ms < due {
            return Ok(due);
        }
        if let Some(next) = self.ask_again_with(row, reply, now)? {
            return Ok(next);
        }
        let keys = self.mls.groups(self.conn, self.rng).renew_keys(&row.member, &row.nick)?;
        let purpose = Purpose::Join { nick: row.nick.clone(), words };
        let request = Request { reply: DoorSecret(reply), key_package: keys.bytes, purpose };
        self.knock_by(&ClusterLink(link), &request, now)?;
        self.conn.execute("UPDATE cluster SET asked_at = ?2 WHERE cluster = ?1", (row.cluster, ms(now.unix_ms)))?;
        Ok(now.unix_ms.saturating_add(ASK_AGAIN_MS))
    }

    /// Somebody came by a door.
    pub(crate) fn take_request(&mut self, cluster: i64, door: i64, bytes: &[u8], hour: Hour, now: Now) -> Result<(), ChatError> {
        if let Ok(leave) = LeaveIn::decode(bytes) {
            return self.take_leave(&self.cluster_row(cluster)?, &leave, now);
        }
        let Some(request) = self.opened(door, bytes)? else { return Ok(()) };
        let Ok(seen) = self.mls.inspect_member(&request.key_package) else { return Ok(()) };
        let (label, ours, in_secret): (String, bool, bool) =
            self.conn.query_row("SELECT label, link IS NOT NULL, in_secret FROM cluster_door WHERE door = ?1", [door], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let keys = Admission { member: seen.member, key_package: seen.hash.0, nick: seen.nick.clone() };
        let is_sent = self.is_sent(&self.cluster_row(cluster)?, door, &request.purpose, &keys)?;
        let (nick, words, comeback, sent) = match request.purpose {
            Purpose::Join { nick, words } => (nick, words, None, None),
            Purpose::Return(comeback) => (seen.nick.clone(), String::new(), Some(comeback), None),
            Purpose::Merge { consent, guest } if is_sent => (seen.nick.clone(), String::new(), None, Some((consent, guest))),
            Purpose::Merge { .. } => return Ok(()),
        };
        let (consent, guest) = sent.map(|(consent, guest)| (consent.encode(), guest.encode())).unzip();
        // Each door is for one thing, and everybody comes back for themselves.
        let about = (seen.member, seen.hash.0);
        let theirs = |back: &Comeback| (back.member(), back.key_package()) == about;
        let forged = match (&comeback, self.cluster_row(cluster)?.id) {
            (None, _) => false,
            (Some(comeback), Some(id)) => !comeback.verify(&id).is_ok_and(|back| theirs(&back)),
            (Some(_), None) => true,
        };
        if nick != seen.nick || forged || comeback.is_some() != (label == RETURN && !ours) {
            return Ok(());
        }
        let told = match &comeback {
            None if self.door_is_full(door, &seen.hash.0)? => None,
            None => Some(0),
            Some(comeback) => self.may_return(&self.cluster_row(cluster)?, door, &seen.hash.0, comeback)?,
        };
        let Some(told) = told else { return Ok(()) };
        let at = plausible_time(now.unix_ms, hour, 0);
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_request(cluster, member, key_package, hash, nick, words, reply, returns, comeback, ours, at, door,
                 consent, guest, told)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            rusqlite::params![
                cluster,
                seen.member.0,
                &request.key_package,
                seen.hash.0,
                nick,
                words,
                request.reply.0,
                comeback.is_some(),
                comeback.map(|comeback| comeback.encode()),
                // Those who come with a cluster are moved for together.
                match (ours && guest.is_none(), in_secret) {
                    (false, _) => 0,
                    (true, false) => 1,
                    (true, true) => 2,
                },
                ms(at),
                door,
                consent,
                guest,
                ms(told)
            ],
        )?;
        self.conn.execute(
            "DELETE FROM cluster_request WHERE cluster = ?1 AND request NOT IN
             (SELECT request FROM cluster_request WHERE cluster = ?1 ORDER BY answered, request DESC LIMIT ?2)",
            (cluster, CLUSTER_REQUESTS_MAX),
        )?;
        self.touch(cluster);
        Ok(())
    }

    /// If it is the last that somebody asked, what it asked before is forgotten, but for when it was told that it is out. The door for
    /// returning is known to all who ever were members; who is none any more finds it as full as any other.
    fn may_return(
        &mut self,
        row: &ClusterRow,
        door: i64,
        hash: &[u8; 32],
        comeback: &ComebackIn,
    ) -> Result<Option<u64>, ChatError> {
        let member = comeback.claimed_member();
        let tip = row.tip.map(|tip| self.state_row(row.cluster, &tip)).transpose()?.flatten();
        if !tip.is_some_and(|state| state.roster().contains(&member)) && self.door_is_full(door, hash)? {
            return Ok(None);
        }
        let held = self.returning(row)?.into_iter().find(|held| held.comeback.claimed_member() == member);
        if held.as_ref().is_some_and(|held| held.comeback.claimed_turn() >= comeback.claimed_turn()) {
            return Ok(None);
        }
        self.conn.execute(
            "DELETE FROM cluster_request WHERE cluster = ?1 AND member = ?2 AND comeback IS NOT NULL",
            (row.cluster, member.0),
        )?;
        Ok(Some(held.map_or(0, |held| held.told)))
    }

    /// Whoever came by a door of ours is moved for: that is what we opened it for.
    pub(crate) fn move_for_guests(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let guests: Vec<(i64, bool, Admission)> = self
            .conn
            .prepare_cached(
                "SELECT request, ours = 2, member, hash, nick FROM cluster_request WHERE cluster = ?1 AND ours > 0 AND answered = 0 ORDER BY request",
            )?
            .query_map([row.cluster], |row| {
                let admission = Admission { member: MemberId(row.get(2)?), key_package: row.get(3)?, nick: row.get(4)? };
                Ok((row.get(0)?, row.get(1)?, admission))
            })?
            .collect::<Result<_, _>>()?;
        if guests.is_empty() {
            return Ok(());
        }
        let room = GUEST_MOTIONS_MAX.saturating_sub(self.own_admissions(row, state)?);
        for (request, secret, admission) in guests.into_iter().take(usize::try_from(room).unwrap_or(0)) {
            // Until there is room for one more secret vote.
            if secret && !self.may_open_in_secret(row, state)? {
                continue;
            }
            self.conn.execute("UPDATE cluster_request SET ours = 0 WHERE request = ?1", [request])?;
            match self.open_motion(row, state, Kind::Admit(admission), secret, now) {
                // One who is a member, or whom we may not sponsor: others can. Or too few are left to vote in secret: then nobody
                // moves it openly but a person.
                Ok(_) | Err(ChatError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Newcomers whom we moved to let in, and about whom nothing was carried out yet.
    fn own_admissions(&self, row: &ClusterRow, state: &StateRow) -> Result<u32, ChatError> {
        let motions = self.motions(row)?;
        let waits = |motion: &MotionFields| {
            let ours = motion.proposer == row.member && matches!(motion.kind, Kind::Admit(_));
            ours && motion.until >= state.epoch && !state.done.has(&motion.id())
        };
        Ok(u32::try_from(motions.iter().filter(|(motion, _)| waits(motion.claimed())).count()).unwrap_or(u32::MAX))
    }

    /// We are let in, or let in once more.
    pub(crate) fn take_answer(&mut self, cluster: i64, bytes: &[u8], now: Now) -> Result<(), ChatError> {
        let row = self.cluster_row(cluster)?;
        let Ok(answer) = Answer::decode(bytes) else { return self.learn_that_we_are_out(&row, bytes, now) };
        let expected = row.id.or(self.sent_into(&row)?);
        let elsewhere = expected.is_some_and(|id| id != answer.cluster) || row.standing == Standing::Left;
        if elsewhere || self.is_in(&answer.cluster, cluster)? {
            return Ok(());
        }
        let joined = self.mls.groups(self.conn, self.rng).join(&answer.cluster, &row.member, &answer.welcome);
        let snapshot = match joined {
            Ok(snapshot) => snapshot,
            Err(crate::mls::GroupError::State(error)) if crate::error::is_database(&error) => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        let roster = Roster::of(snapshot.members.iter().map(|leaf| leaf.member));
        let known = self.state_row(cluster, &snapshot.state)?.is_some();
        let told = Context::decode(&snapshot.context).ok().and_then(|context| {
            let minutes = StateSecret::new(snapshot.secret).disclose(&answer.minutes).ok()?;
            let end = End { cluster: answer.cluster, epoch: snapshot.epoch, roster: &roster, context: &context };
            let (minutes, past, done) = MinutesIn::decode(&minutes).ok()?.verify(&end).ok()?;
            Some((minutes, first_state(&snapshot, context, past, done, now)))
        });
        let (Some((minutes, state)), false) = (told, known) else {
            if !known {
                self.mls.groups(self.conn, self.rng).forget(&answer.cluster, &snapshot.state)?;
            }
            return Ok(());
        };
        self.begin(cluster, &answer.cluster, &state, &minutes, answer.door.0, now)?;
        self.conn.execute("UPDATE cluster SET joined_at = ?2 WHERE cluster = ?1", (cluster, ms(now.unix_ms)))?;
        if row.standing == Standing::Asking { Ok(()) } else { self.come_back(&row, &state) }
    }

    /// We were away for too long, and are a member again: what we had said to nobody is said once more, and the states in which
    /// nobody is any more are forgotten.
    fn come_back(&mut self, row: &ClusterRow, state: &StateRow) -> Result<(), ChatError> {
        let Some(id) = row.id else { return Ok(()) };
        // Several may let us in at once: of these states each may be the one that is followed.
        let branches = self.branches(row.cluster)?;
        let mut old: Vec<StateId> = branches.states().filter(|node| node.epoch < state.epoch).map(|node| node.id).collect();
        // The state that we are now in, as we saw it while we had no keys of it.
        for node in branches.states().filter(|node| node.epoch >= state.epoch && node.roster.contains(&row.member)) {
            if self.state_row(row.cluster, &node.id)?.is_some_and(|seen| seen.own_leaf.is_none()) {
                old.push(node.id);
            }
        }
        let conversation = self.cluster_conversation(row.cluster)?;
        // Alone we went on and forgot states, too, in which we had said something.
        self.say_again(row, state, self.apart_since(row, state)?)?;
        for left in old {
            self.conn.execute(
                "UPDATE message SET state = 0 WHERE conversation = ?1 AND mine = 1 AND state_sent = ?2 AND state IN (1, 2, 3)
                 AND nonce IS NOT NULL",
                (conversation, left.0),
            )?;
            self.left_unsaid(row, &left)?;
            self.forget_state(row.cluster, &id, &left)?;
            self.conn.execute("DELETE FROM cluster_stand WHERE cluster = ?1 AND state = ?2", (row.cluster, left.0))?;
            self.conn
                .execute("UPDATE cluster SET tip = ?3 WHERE cluster = ?1 AND tip = ?2", (row.cluster, left.0, state.state.0))?;
        }
        self.conn.execute("UPDATE cluster SET asked_at = 0 WHERE cluster = ?1", [row.cluster])?;
        Ok(())
    }

    /// Enters a cluster by a state that has no parent here.
    fn begin(
        &mut self,
        cluster: i64,
        id: &ClusterId,
        state: &StateRow,
        minutes: &Minutes,
        door: [u8; 32],
        now: Now,
    ) -> Result<(), ChatError> {
        self.put_state(cluster, state)?;
        self.put_root(cluster, state, minutes)?;
        self.conn.execute(
            "UPDATE cluster SET id = ?2, door = ?3, standing = ?4, name = ?5, tip = coalesce(tip, ?6) WHERE cluster = ?1",
            (cluster, id.0, door, Standing::Member.number(), &state.context.charter.name, state.state.0),
        )?;
        self.conn.execute(
            "INSERT OR IGNORE INTO cluster_door(cluster, secret, label, expires) VALUES(?1, ?2, ?3, ?4)",
            (cluster, door, RETURN, u32::MAX),
        )?;
        self.watch_new_door(cluster, &DoorSecret(door), now)?;
        self.expect_from_all(cluster, state)?;
        self.touch(cluster);
        Ok(())
    }

    /// Who asks to be let in and was not. Who wants to come back and is no member any more asks for that, too.
    pub(crate) fn join_requests(&self, row: &ClusterRow) -> Result<Vec<JoinRequest>, ChatError> {
        let state = row.tip.map(|tip| self.state_row(row.cluster, &tip)).transpose()?.flatten();
        let is_member = |member: &MemberId| state.as_ref().is_some_and(|state| state.roster().contains(member));
        let mut statement = self.conn.prepare_cached(
            "SELECT request, member, hash, nick, words, at, consent FROM cluster_request
             WHERE cluster = ?1 AND answered = 0 ORDER BY request",
        )?;
        let rows = statement.query_map([row.cluster], |row| {
            Ok(JoinRequest {
                id: row.get(0)?,
                member: MemberId(row.get(1)?),
                hash: row.get(2)?,
                nick: row.get(3)?,
                words: row.get(4)?,
                at: row.get(5)?,
                from: row
                    .get::<_, Option<Vec<u8>>>(6)?
                    .and_then(|bytes| Some(ConsentIn::decode(&bytes).ok()?.claimed().from.clone())),
            })
        })?;
        let mut all = rows.collect::<Result<Vec<JoinRequest>, _>>()?;
        all.retain(|request| !is_member(&request.member));
        // Whoever asked again, with keys that will hold longer, asks once.
        let newest: BTreeMap<MemberId, i64> = all.iter().map(|request| (request.member, request.id)).collect();
        all.retain(|request| newest.get(&request.member) == Some(&request.id));
        Ok(all)
    }

    /// Whoever is in, or back, asks no more, whichever member let them in.
    pub(crate) fn note_answered(&self, row: &ClusterRow, state: &StateRow) -> Result<(), ChatError> {
        let mut open = self
            .conn
            .prepare_cached("SELECT request, member, comeback FROM cluster_request WHERE cluster = ?1 AND answered = 0")?;
        let rows = open.query_map([row.cluster], |row| {
            Ok((row.get::<_, i64>(0)?, MemberId(row.get(1)?), row.get::<_, Option<Vec<u8>>>(2)?))
        })?;
        for found in rows.collect::<Result<Vec<_>, _>>()? {
            let (request, member, comeback) = found;
            let answered = match comeback.map(|bytes| ComebackIn::decode(&bytes)) {
                None => state.roster().contains(&member),
                Some(comeback) => comeback.is_ok_and(|back| state.done.is_back(&member, back.claimed_turn())),
            };
            if answered {
                self.conn.execute("UPDATE cluster_request SET answered = 1 WHERE request = ?1", [request])?;
            }
        }
        Ok(())
    }

    /// The request with a KeyPackage, answered or not: who was added on a branch that is left is added again.
    pub(crate) fn request_of(&self, row: &ClusterRow, hash: &[u8; 32]) -> Result<Option<(i64, Vec<u8>)>, ChatError> {
        let sql = "SELECT request, key_package FROM cluster_request WHERE cluster = ?1 AND hash = ?2";
        Ok(self.conn.query_row(sql, (row.cluster, hash), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// Tells those who asked how they get in.
    pub(crate) fn answer_all(&mut self, row: &ClusterRow, requests: &[i64], answer: &Answer, now: Now) -> Result<(), ChatError> {
        for request in requests {
            let reply: [u8; 32] =
                self.conn.query_row("SELECT reply FROM cluster_request WHERE request = ?1", [request], |row| row.get(0))?;
            self.answer_request(reply, 0, &answer.encode(), &DECIDING_LIFETIMES, now)?;
            self.conn.execute("UPDATE cluster_request SET answered = 1 WHERE request = ?1", [request])?;
        }
        self.touch(row.cluster);
        Ok(())
    }

    pub(crate) fn add_cluster(&mut self, member: &MemberId, nick: &str, name: &str, standing: Standing) -> Result<i64, ChatError> {
        self.conn.execute(
            "INSERT INTO cluster(member, nick, name, standing) VALUES(?1, ?2, ?3, ?4)",
            (member.0, nick, name, standing.number()),
        )?;
        let cluster = self.conn.last_insert_rowid();
        self.conn.execute("INSERT INTO conversation(cluster) VALUES(?1)", [cluster])?;
        Ok(cluster)
    }

    /// Whether another membership of ours is in the same cluster: two would get in each other's way.
    fn is_in(&self, id: &ClusterId, besides: i64) -> Result<bool, ChatError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM cluster WHERE id = ?1 AND cluster <> ?2 AND standing = 1")?
            .exists((id.0, besides))?)
    }

    pub(crate) fn room_for_one_more(&self) -> Result<(), ChatError> {
        let count: u32 = self.conn.query_row("SELECT count(*) FROM cluster WHERE standing IN (0, 1)", [], |row| row.get(0))?;
        if count < CLUSTERS_MAX {
            Ok(())
        } else {
            Err(ChatError::Refused(format!("a profile is in at most {CLUSTERS_MAX} clusters")))
        }
    }

    fn good_nick<'n>(&self, nick: &'n str) -> Result<&'n str, ChatError> {
        let nick = nick.trim();
        let good = !nick.is_empty() && nick.len() <= samizdat_cluster::limits::NICK_MAX && !nick.chars().any(char::is_control);
        if good { Ok(nick) } else { Err(ChatError::Usage("a nickname is one line of 1 to 64 bytes: choose another".into())) }
    }

    pub(crate) fn secret(&mut self) -> [u8; 32] {
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        secret
    }
}

fn first_state(snapshot: &Snapshot, context: Context, past: Past, done: Done, now: Now) -> StateRow {
    StateRow {
        state: snapshot.state,
        parent: None,
        epoch: snapshot.epoch,
        committer: None,
        certified: false,
        members: snapshot.members.clone(),
        context,
        past,
        done,
        secret: StateSecret::new(snapshot.secret),
        own_leaf: Some(snapshot.own_leaf),
        began: now.unix_ms,
    }
}
