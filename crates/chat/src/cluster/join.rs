//! Founding, inviting, asking to be let in, being let in, leaving.

use rand_core::Rng;
use rusqlite::OptionalExtension;
use samizdat_cluster::{
    Charter, ClusterId, Done, MemberId, Past, Roster, StateId,
    branch::Branches,
    comeback::{Comeback, ComebackIn},
    content::Body,
    door::{DoorSecret, Invite},
    leave::LeaveIn,
    limits::DOORS_MAX,
    link::{ClusterLink, LINK_LEN, LinkError, OpenDoor, SECRET_LEN},
    merge::ConsentIn,
    motion::{Admission, Kind, MotionFields},
    request::{Answer, Purpose, Request},
};
use samizdat_core::{
    Hour, Now,
    seal::{self, StateSecret, door::DoorKey},
};

use super::{
    query::ClusterDoor,
    row::{ClusterRow, Context, Standing, StateRow, ms},
};
use crate::{
    chat::Chat,
    content::plausible_time,
    error::ChatError,
    limits::{
        ASK_AGAIN_MS, CLUSTER_REQUESTS_MAX, CLUSTERS_MAX, DECIDING_LIFETIMES, DOOR_DAYS_MAX, DOOR_REQUESTS_MAX,
        DOORS_OF_MEMBER_MAX, GUEST_MOTIONS_MAX,
    },
    mls::Snapshot,
    work::Work,
};

/// What the door for members who were away is called in the table: nobody can call another so.
const RETURN: &str = "\u{1}return";

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

    /// A link by which somebody can ask to be let in, for so many days. What it is for, `label` says to the members.
    pub fn invite_to_cluster(&mut self, which: &str, label: &str, days: u32, now: Now) -> Result<String, ChatError> {
        self.dirty = true;
        self.transact(|work| work.invite_to_cluster(which, label, days, now))
    }

    /// The same by a door that was made elsewhere, because a passphrase stands for it.
    pub fn invite_by_door(&mut self, which: &str, door: &OpenDoor, label: &str, days: u32, now: Now) -> Result<(), ChatError> {
        self.dirty = true;
        self.transact(|work| work.open_door(which, door, label, days, now))
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
        let context = Context { salt, charter: charter.clone() };
        let groups = self.mls.groups(self.conn, self.rng);
        let keys = groups.make_keys(nick)?;
        let snapshot = groups.found(&id, &keys, nick, &context.encode())?;
        let cluster = self.add_cluster(&keys.member, nick, &charter.name, Standing::Member)?;
        let past = Past::founded(Roster::of([keys.member]), charter.clone());
        let state = first_state(&snapshot, context, past, Done::default(), now);
        self.begin(cluster, &id, &state, door, now)?;
        self.stand(cluster, &keys.member, now.unix_ms, &state.state, now)?;
        Ok(cluster)
    }

    pub(crate) fn invite_to_cluster(&mut self, which: &str, label: &str, days: u32, now: Now) -> Result<String, ChatError> {
        let mut secret = [0; SECRET_LEN];
        self.rng.fill_bytes(&mut secret);
        let door = OpenDoor::new(&secret, DoorKey(self.secret()));
        self.open_door(which, &door, label, days, now)?;
        Ok(door.link.to_string())
    }

    fn open_door(&mut self, which: &str, open: &OpenDoor, label: &str, days: u32, now: Now) -> Result<(), ChatError> {
        let row = self.find_cluster(which)?;
        let (_, tip) = row.place()?;
        let state = self.shared_state(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        let expires = now.hour().0.saturating_add(days.clamp(1, DOOR_DAYS_MAX).saturating_mul(24));
        let invite = Invite { open: open.clone(), label: label.to_owned(), expires };
        if !self.take_invite(&row, &state, &row.member, &invite, now)? {
            return Err(ChatError::Refused(format!(
                "{DOORS_OF_MEMBER_MAX} links of yours to this cluster are open, or {DOORS_MAX} of all members: wait until one expires"
            )));
        }
        self.send_message(&row, &tip, Body::Invite(invite), &DECIDING_LIFETIMES, now)?;
        Ok(())
    }

    /// A member opened a door, as was told in a state; whether there is room for it, and nobody knows it who is out by now.
    pub(crate) fn take_invite(
        &mut self,
        row: &ClusterRow,
        at: &StateRow,
        author: &MemberId,
        invite: &Invite,
        now: Now,
    ) -> Result<bool, ChatError> {
        let (cluster, hour, door) = (row.cluster, now.hour().0, invite.open.link.door());
        // What came by the door of another cluster must not come to this one.
        if self.conn.prepare_cached("SELECT 1 FROM cluster_door WHERE secret = ?1 AND cluster <> ?2")?.exists((door.0, cluster))? {
            return Ok(false);
        }
        if self.conn.prepare_cached("SELECT 1 FROM cluster_door WHERE secret = ?1")?.exists([door.0])? {
            return Ok(true);
        }
        let tip = row.tip.map(|tip| self.shared_state(cluster, &tip)).transpose()?.flatten();
        let is_old = tip.is_some_and(|tip| at.epoch < tip.epoch && !at.roster().iter().all(|member| tip.roster().contains(member)));
        let last = hour.saturating_add(DOOR_DAYS_MAX.saturating_add(1).saturating_mul(24));
        if is_old || !(hour.saturating_add(1)..=last).contains(&invite.expires) || !self.make_room(cluster, author, hour)? {
            return Ok(false);
        }
        self.conn.execute(
            "INSERT INTO cluster_door(cluster, secret, link, label, expires, key, author, state)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                cluster,
                door.0,
                (*author == row.member).then_some(invite.open.link.0),
                &invite.label,
                invite.expires,
                invite.open.secret().as_slice(),
                author.0,
                at.state.0,
            ),
        )?;
        self.watch_new_door(cluster, &door, now)?;
        Ok(true)
    }

    /// Whether there is room for one more door of a member. Where all are taken, whoever has two more than it closes its newest:
    /// a few cannot keep the others from inviting anybody.
    fn make_room(&mut self, cluster: i64, author: &MemberId, hour: u32) -> Result<bool, ChatError> {
        let count = "SELECT count(*), count(*) FILTER (WHERE author = ?2) FROM cluster_door
                     WHERE cluster = ?1 AND key IS NOT NULL AND expires > ?3";
        let (all, theirs): (u32, u32) =
            self.conn.prepare_cached(count)?.query_row((cluster, author.0, hour), |row| Ok((row.get(0)?, row.get(1)?)))?;
        if theirs >= DOORS_OF_MEMBER_MAX {
            return Ok(false);
        }
        if all < DOORS_MAX {
            return Ok(true);
        }
        let newest: Option<[u8; 32]> = self
            .conn
            .prepare_cached(
                "SELECT secret FROM cluster_door WHERE cluster = ?1 AND key IS NOT NULL AND expires > ?2 AND author =
                 (SELECT author FROM cluster_door WHERE cluster = ?1 AND key IS NOT NULL AND expires > ?2
                  GROUP BY author HAVING count(*) > ?3 + 1 ORDER BY count(*) DESC, author DESC LIMIT 1)
                 ORDER BY door DESC LIMIT 1",
            )?
            .query_row((cluster, hour, theirs), |row| row.get(0))
            .optional()?;
        newest.map(|secret| self.close_door(cluster, secret, true)).transpose().map(|closed| closed.is_some())
    }

    /// Closes the doors that somebody knows who is no member any more, since whoever has the key of one reads what is asked by it, and
    /// how that is answered: all that were told in a state of theirs or before it.
    pub(crate) fn close_known_doors(&mut self, row: &ClusterRow, branches: &Branches, tip: &StateRow) -> Result<(), ChatError> {
        let doors: Vec<([u8; 32], Option<[u8; 16]>)> = self
            .conn
            .prepare_cached("SELECT secret, state FROM cluster_door WHERE cluster = ?1 AND key IS NOT NULL")?
            .query_map([row.cluster], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let is_out = |member: &MemberId| !tip.roster().contains(member);
        // What comes after the tip counts once it is the tip.
        let with_others: Vec<StateId> = branches
            .states()
            .filter(|node| node.epoch <= tip.epoch && node.roster.iter().any(is_out))
            .map(|node| node.id)
            .collect();
        for (secret, told) in doors {
            let told = told.map(StateId).filter(|told| branches.get(told).is_some());
            let knew = |state: &StateId| told.is_none_or(|told| told == *state || branches.is_ancestor(&told, state));
            if with_others.iter().any(knew) {
                self.close_door(row.cluster, secret, true)?;
            }
        }
        Ok(())
    }

    /// Tells those who came by a Commit of ours which doors are open, or they would not see who else comes. Not in what they are
    /// answered: who was expelled can read that of those who return.
    pub(crate) fn tell_doors(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let doors = {
            let mut doors = self.conn.prepare_cached(
                "SELECT author, key, label, expires FROM cluster_door WHERE cluster = ?1 AND key IS NOT NULL AND expires > ?2
                 ORDER BY door LIMIT ?3",
            )?;
            let rows = doors.query_map((row.cluster, now.hour().0, DOORS_MAX), |row| {
                let invite = Invite { open: OpenDoor::restore(&row.get(1)?), label: row.get(2)?, expires: row.get(3)? };
                Ok((MemberId(row.get(0)?), invite))
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        if !doors.is_empty() {
            self.send_message(row, &state.state, Body::Doors(doors), &DECIDING_LIFETIMES, now)?;
        }
        Ok(())
    }

    /// What somebody tells us of the doors that were opened before we came.
    pub(crate) fn take_doors(
        &mut self,
        row: &ClusterRow,
        at: &StateRow,
        doors: &[(MemberId, Invite)],
        now: Now,
    ) -> Result<(), ChatError> {
        if !self.is_new_here(row, now)? {
            return Ok(());
        }
        for (author, invite) in doors.iter().filter(|(author, _)| at.roster().contains(author)) {
            self.take_invite(row, at, author, invite, now)?;
        }
        Ok(())
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
        self.expect_reply(cluster, reply)?;
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
        let (label, ours): (String, bool) =
            self.conn.query_row("SELECT label, link IS NOT NULL FROM cluster_door WHERE door = ?1", [door], |row| {
                Ok((row.get(0)?, row.get(1)?))
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
                ours && guest.is_none(),
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

    /// Whether so many wait who came by this door that others must use another. The first count: whoever floods a door keeps neither
    /// those out who were there before, nor those who come by other doors.
    fn door_is_full(&self, door: i64, hash: &[u8; 32]) -> Result<bool, ChatError> {
        let sql = "SELECT count(*) FROM cluster_request WHERE door = ?1 AND answered = 0 AND hash <> ?2";
        let waiting: u32 = self.conn.prepare_cached(sql)?.query_row((door, hash), |row| row.get(0))?;
        Ok(waiting >= DOOR_REQUESTS_MAX)
    }

    /// Whoever came by a door of ours is moved for: that is what we opened it for.
    pub(crate) fn move_for_guests(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        let guests: Vec<(i64, Admission)> = self
            .conn
            .prepare_cached(
                "SELECT request, member, hash, nick FROM cluster_request WHERE cluster = ?1 AND ours = 1 AND answered = 0 ORDER BY request",
            )?
            .query_map([row.cluster], |row| {
                Ok((row.get(0)?, Admission { member: MemberId(row.get(1)?), key_package: row.get(2)?, nick: row.get(3)? }))
            })?
            .collect::<Result<_, _>>()?;
        if guests.is_empty() {
            return Ok(());
        }
        let room = GUEST_MOTIONS_MAX.saturating_sub(self.own_admissions(row, state)?);
        for (request, admission) in guests.into_iter().take(usize::try_from(room).unwrap_or(0)) {
            self.conn.execute("UPDATE cluster_request SET ours = 0 WHERE request = ?1", [request])?;
            match self.open_motion(row, state, Kind::Admit(admission), false, now) {
                // One who is a member, or whom we may not sponsor: others can.
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
        let context = Context::decode(&snapshot.context);
        let past = context.as_ref().and_then(|context| answer.past.verify(snapshot.epoch, &roster, &context.charter).ok());
        let (Some(context), Some(past), false) = (context, past, known) else {
            if !known {
                self.mls.groups(self.conn, self.rng).forget(&answer.cluster, &snapshot.state)?;
            }
            return Ok(());
        };
        let state = first_state(&snapshot, context, past, answer.done, now);
        self.begin(cluster, &answer.cluster, &state, answer.door.0, now)?;
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
    fn begin(&mut self, cluster: i64, id: &ClusterId, state: &StateRow, door: [u8; 32], now: Now) -> Result<(), ChatError> {
        self.put_state(cluster, state)?;
        self.put_root(cluster, state)?;
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

    /// Watches all doors for another day, and closes those whose time is over.
    pub(crate) fn watch_doors(&mut self, row: &ClusterRow, now: Now) -> Result<(), ChatError> {
        let doors: Vec<(i64, [u8; 32], u32, u32, bool)> = self
            .conn
            .prepare_cached("SELECT door, secret, expires, watched, closed FROM cluster_door WHERE cluster = ?1")?
            .query_map([row.cluster], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
            .collect::<Result<_, _>>()?;
        for (door, secret, expires, watched, closed) in doors {
            if expires <= now.hour().0 {
                self.close_door(row.cluster, secret, false)?;
            } else if watched <= samizdat_cluster::door::day(now.hour()) && !closed {
                self.watch_door(row.cluster, door, now)?;
            }
        }
        Ok(())
    }

    fn watch_new_door(&mut self, cluster: i64, secret: &DoorSecret, now: Now) -> Result<(), ChatError> {
        let sql = "SELECT door FROM cluster_door WHERE cluster = ?1 AND secret = ?2";
        let door: i64 = self.conn.query_row(sql, (cluster, secret.0), |row| row.get(0))?;
        self.watch_door(cluster, door, now)
    }

    /// Nothing comes by this door any more. Of one of ours that is closed before its time we keep that it was, to be seen.
    fn close_door(&mut self, cluster: i64, secret: [u8; 32], early: bool) -> Result<(), ChatError> {
        let door: Option<i64> = self
            .conn
            .query_row(
                "SELECT door FROM cluster_door WHERE cluster = ?1 AND secret = ?2 AND label <> ?3",
                (cluster, secret, RETURN),
                |row| row.get(0),
            )
            .optional()?;
        let Some(door) = door else { return Ok(()) };
        for tag in self.tags_where("cluster = ?1 AND source = 1 AND leaf = ?2", (cluster, door))? {
            self.unexpect_in_cluster(tag)?;
        }
        self.conn.execute("UPDATE cluster_door SET closed = 1, key = NULL WHERE door = ?1", [door])?;
        self.conn.execute("DELETE FROM cluster_door WHERE door = ?1 AND (?2 = 0 OR link IS NULL)", (door, early))?;
        self.touch(cluster);
        Ok(())
    }

    /// Links that we gave out, the newest first.
    pub(crate) fn own_doors(&self, row: &ClusterRow) -> Result<Vec<ClusterDoor>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT link, label, expires, closed FROM cluster_door WHERE cluster = ?1 AND link IS NOT NULL ORDER BY door DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((row.cluster, DOORS_MAX), |row| {
            Ok(ClusterDoor {
                link: ClusterLink(row.get(0)?).to_string(),
                label: row.get(1)?,
                until: u64::from(row.get::<_, u32>(2)?).saturating_mul(60 * 60 * 1000),
                closed: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
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
        let all = rows.collect::<Result<Vec<JoinRequest>, _>>()?;
        Ok(all.into_iter().filter(|request| !is_member(&request.member)).collect())
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
            self.answer_request(reply, &answer.encode(), &DECIDING_LIFETIMES, now)?;
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
