//! Doors: where people knock who have a link. Who may open one, which are watched, and when they close.

use rand_core::Rng;
use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberId, StateId,
    branch::Branches,
    content::Body,
    door::{DoorSecret, Invite},
    limits::{DOORS_MAX, SECRET_VOTERS_MIN},
    link::{ClusterLink, OpenDoor, SECRET_LEN},
    secret::NotSecret,
};
use samizdat_core::{Now, seal::door::DoorKey};

use super::{
    query::ClusterDoor,
    row::{ClusterRow, StateRow},
};
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{DECIDING_LIFETIMES, DOOR_DAYS_MAX, DOOR_REQUESTS_MAX, DOORS_OF_MEMBER_MAX},
    work::Work,
};

/// What the door for members who were away is called in the table: nobody can call another so.
pub(super) const RETURN: &str = "\u{1}return";

impl Chat {
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

    /// A link, or one for a door that was made elsewhere: on whoever comes by it is voted in secret, so that nobody sees who was against
    /// them.
    pub fn invite_to_secret_vote(
        &mut self,
        which: &str,
        door: Option<&OpenDoor>,
        label: &str,
        days: u32,
        now: Now,
    ) -> Result<String, ChatError> {
        self.dirty = true;
        self.transact(|work| {
            let link = match door {
                Some(door) => work.open_door(which, door, label, days, now).map(|()| door.link.to_string())?,
                None => work.invite_to_cluster(which, label, days, now)?,
            };
            work.vote_on_guests_in_secret(which, &link).map(|()| link)
        })
    }
}

impl Work<'_> {
    pub(crate) fn invite_to_cluster(&mut self, which: &str, label: &str, days: u32, now: Now) -> Result<String, ChatError> {
        let mut secret = [0; SECRET_LEN];
        self.rng.fill_bytes(&mut secret);
        let door = OpenDoor::new(&secret, DoorKey(self.secret()));
        self.open_door(which, &door, label, days, now)?;
        Ok(door.link.to_string())
    }

    fn vote_on_guests_in_secret(&mut self, which: &str, link: &str) -> Result<(), ChatError> {
        let row = self.find_cluster(which)?;
        let (_, tip) = row.place()?;
        let state = self.shared_state(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        if state.roster().len() < SECRET_VOTERS_MIN {
            return Err(ChatError::Refused(NotSecret::TooFew.to_string()));
        }
        let link: ClusterLink = link.parse().map_err(|_| ChatError::Bug("own link"))?;
        let sql = "UPDATE cluster_door SET in_secret = 1 WHERE cluster = ?1 AND link = ?2";
        self.conn.execute(sql, (row.cluster, link.0))?;
        Ok(())
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

    pub(crate) fn watch_new_door(&mut self, cluster: i64, secret: &DoorSecret, now: Now) -> Result<(), ChatError> {
        let sql = "SELECT door FROM cluster_door WHERE cluster = ?1 AND secret = ?2";
        let door: i64 = self.conn.query_row(sql, (cluster, secret.0), |row| row.get(0))?;
        self.watch_door(cluster, door, now)
    }

    /// Nothing comes by this door any more. Of one of ours that is closed before its time we keep that it was, to be seen.
    pub(crate) fn close_door(&mut self, cluster: i64, secret: [u8; 32], early: bool) -> Result<(), ChatError> {
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
            "SELECT link, label, expires, closed, in_secret FROM cluster_door WHERE cluster = ?1 AND link IS NOT NULL ORDER BY door DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((row.cluster, DOORS_MAX), |row| {
            Ok(ClusterDoor {
                link: ClusterLink(row.get(0)?).to_string(),
                label: row.get(1)?,
                until: u64::from(row.get::<_, u32>(2)?).saturating_mul(60 * 60 * 1000),
                closed: row.get(3)?,
                secret: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether so many wait who came by this door that others must use another. The first count: whoever floods a door keeps neither
    /// those out who were there before, nor those who come by other doors.
    pub(crate) fn door_is_full(&self, door: i64, hash: &[u8; 32]) -> Result<bool, ChatError> {
        let sql = "SELECT count(*) FROM cluster_request WHERE door = ?1 AND answered = 0 AND hash <> ?2";
        let waiting: u32 = self.conn.prepare_cached(sql)?.query_row((door, hash), |row| row.get(0))?;
        Ok(waiting >= DOOR_REQUESTS_MAX)
    }
}
