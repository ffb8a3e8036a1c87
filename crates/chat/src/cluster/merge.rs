//! A cluster goes into another: those who said yes ask there, and are let in by one motion.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    ClusterId, MemberId, MemberSecret,
    ballot::Choice,
    door::DoorSecret,
    limits::{GUESTS_MAX, MERGING_MAX},
    link::{LinkError, MergeLink},
    merge::{Consent, ConsentIn, Guest, GuestIn, Merge},
    motion::{Admission, Kind, MotionIn},
    request::{Purpose, Request},
};
use samizdat_core::Now;

use super::row::{ClusterRow, Standing, StateRow, ms};
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{ASK_AGAIN_MS, ID_LETTERS_MIN, REPLY_TAGS},
    mls::{MemberKeys, Taken},
    work::Work,
};

/// A request that is taken up, with its KeyPackage.
pub(crate) type Asked = (i64, Vec<u8>);

/// A request that came with a cluster.
struct Coming {
    consent: ConsentIn,
    guest: GuestIn,
}

impl Chat {
    /// A link by which another cluster can come into this one, for so many days.
    pub fn invite_cluster(&mut self, which: &str, label: &str, days: u32, now: Now) -> Result<String, ChatError> {
        let link = self.invite_to_cluster(which, label, days, now)?;
        self.transact(|work| {
            let (cluster, _) = work.find_cluster(which)?.place()?;
            let link = link.parse().map_err(|_| ChatError::Bug("own link to a cluster"))?;
            Ok(MergeLink { link, cluster }.to_string())
        })
    }
}

impl Work<'_> {
    /// To go into the cluster to which `link` leads.
    pub(crate) fn merge_by(&self, row: &ClusterRow, state: &StateRow, link: &str, name: &str) -> Result<Kind, ChatError> {
        let MergeLink { link, cluster: into } = link.parse().map_err(|why: LinkError| ChatError::Usage(why.to_string()))?;
        let members = state.roster().len();
        if members > MERGING_MAX {
            return Err(ChatError::Refused(format!(
                "a cluster of {members} is too large to go into another, at most {MERGING_MAX} can: invite its members one by one"
            )));
        }
        if row.id == Some(into) {
            return Err(ChatError::Usage("this link leads to the cluster itself: ask for one to another".into()));
        }
        Ok(Kind::Merge(Merge { into, link, name: name.trim().to_owned(), from: state.context.charter.name.clone() }))
    }

    /// To let in those who came with the cluster that calls itself `name`, or whose motion to come begins so, as many as one motion takes.
    /// Anybody can say it is of any cluster; but the motion binds who decided it.
    pub(crate) fn take_in(&mut self, row: &ClusterRow, state: &StateRow, name: &str) -> Result<Kind, ChatError> {
        let all = self.coming(row, state)?;
        let (name, id) = (name.trim(), name.trim().to_lowercase());
        let motion = |coming: &Coming| coming.consent.motion().to_string();
        let is_whole = all.iter().any(|coming| motion(coming) == id);
        let begins = |coming: &Coming| id.len() >= ID_LETTERS_MIN && motion(coming).starts_with(&id);
        let is_named = |coming: &&Coming| begins(coming) || (!is_whole && coming.consent.claimed().from == name);
        let named: Vec<&Coming> = all.iter().filter(is_named).collect();
        let first = named
            .first()
            .ok_or_else(|| ChatError::NotFound(format!("nobody came with a cluster called \"{name}\": see `cluster requests`")))?;
        let consent = &first.consent;
        if named.iter().any(|coming| coming.consent.motion() != consent.motion()) {
            let ids: BTreeSet<String> = named.iter().map(|coming| motion(coming)).collect();
            let ids: Vec<&str> = ids.iter().filter_map(|id| id.get(..2 * ID_LETTERS_MIN)).collect();
            return Err(ChatError::Refused(format!(
                "several decisions to come are called \"{name}\": ask a member of the cluster that you mean how the id of its motion \
                 begins, and name it by that ({})",
                ids.join(", ")
            )));
        }
        let verified = row.id.and_then(|id| consent.verify(&id).ok()).ok_or(ChatError::Bug("consent of a cluster"))?;
        let mut guests = self.guests_among(row, state, &named, &verified)?;
        guests.sort_by_key(|guest| guest.claimed().member);
        let (after, cap) = (state.roster().len().saturating_add(guests.len()), state.context.charter.cap);
        if after > cap.into() {
            return Err(ChatError::Refused(format!(
                "with them the cluster would have {after} members, and its charter allows {cap}: change the charter first"
            )));
        }
        Ok(Kind::TakeIn { consent: Box::new(consent.clone()), guests })
    }

    /// Those who can come together: of two requests of one member the newer; of two who would be the same member, or who have a key in
    /// common that a group takes once only, who came first. Somebody who copied it must not keep out the others.
    fn guests_among(
        &mut self,
        row: &ClusterRow,
        state: &StateRow,
        named: &[&Coming],
        consent: &Consent,
    ) -> Result<Vec<GuestIn>, ChatError> {
        let mut sent = BTreeSet::new();
        let latest = named.iter().filter(|coming| coming.guest.verify(consent).is_ok_and(|guest| sent.insert(guest.of())));
        let latest: Vec<&&Coming> = latest.collect();
        let (mut guests, mut members) = (Vec::new(), BTreeSet::new());
        let mut taken = self.keys_of_members(row, state)?;
        for coming in latest.into_iter().rev() {
            let admission = coming.guest.claimed();
            let Some(asked) = self.request_of(row, &admission.key_package)? else { continue };
            if guests.len() < GUESTS_MAX && !members.contains(&admission.member) && self.fit(&mut taken, &[asked]) {
                members.insert(admission.member);
                guests.push(coming.guest.clone());
            }
        }
        Ok(guests)
    }

    /// Who came with a cluster and is not in yet, the newest first.
    fn coming(&self, row: &ClusterRow, state: &StateRow) -> Result<Vec<Coming>, ChatError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT consent, guest FROM cluster_request WHERE cluster = ?1 AND answered = 0 AND guest IS NOT NULL ORDER BY request DESC",
        )?;
        let rows = statement.query_map([row.cluster], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let mut all = Vec::new();
        for found in rows {
            let (consent, guest) = found?;
            if let (Ok(consent), Ok(guest)) = (ConsentIn::decode(&consent), GuestIn::decode(&guest))
                && !state.roster().contains(&guest.claimed().member)
            {
                all.push(Coming { consent, guest });
            }
        }
        Ok(all)
    }

    /// Whether whoever came by a door was sent by a cluster that agreed to come by it, as the one that the keys are of.
    pub(crate) fn is_sent(&self, row: &ClusterRow, door: i64, purpose: &Purpose, keys: &Admission) -> Result<bool, ChatError> {
        let (Purpose::Merge { consent, guest }, Some(id)) = (purpose, row.id) else { return Ok(false) };
        let door: [u8; 32] = self.conn.query_row("SELECT secret FROM cluster_door WHERE door = ?1", [door], |row| row.get(0))?;
        let verified = consent.verify(&id).ok().filter(|consent| consent.door() == DoorSecret(door));
        Ok(verified.is_some_and(|consent| guest.verify(&consent).is_ok_and(|guest| guest.admission() == keys)))
    }

    /// Asks where our cluster decided to go, if we said yes to it.
    pub(crate) fn go_along(&mut self, row: &ClusterRow, state: &StateRow, now: Now) -> Result<(), ChatError> {
        for (motion, passed) in self.motions(row)? {
            let Kind::Merge(merge) = &motion.claimed().kind else { continue };
            if passed == 0 || self.has_gone(&motion, &merge.into)? {
                continue;
            }
            if self.own_ballot(row, &motion.claimed().id())? != Some(Choice::Decision(true)) {
                continue;
            }
            let consent = self.tally(row, state, &motion)?.and_then(|tally| ConsentIn::of(&tally));
            match consent.map(|consent| self.go(row, &consent, now)) {
                // Who is in too many clusters stays.
                None | Some(Ok(()) | Err(ChatError::Refused(_))) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether we have asked by this motion, or are there already.
    fn has_gone(&self, motion: &MotionIn, into: &ClusterId) -> Result<bool, ChatError> {
        Ok(self.conn.prepare_cached("SELECT 1 FROM cluster WHERE merge = ?1 OR (id = ?2 AND standing = ?3)")?.exists((
            motion.claimed().id().0,
            into.0,
            Standing::Member.number(),
        ))?)
    }

    fn go(&mut self, row: &ClusterRow, consent: &ConsentIn, now: Now) -> Result<(), ChatError> {
        self.room_for_one_more()?;
        let keys = self.mls.groups(self.conn, self.rng).make_keys(&row.nick)?;
        let reply = self.secret();
        let merge = consent.claimed();
        let cluster = self.add_cluster(&keys.member, &row.nick, &merge.name, Standing::Asking)?;
        self.conn.execute(
            "UPDATE cluster SET link = ?2, reply = ?3, words = '', asked_at = ?4, merge = ?5, consent = ?6 WHERE cluster = ?1",
            (cluster, merge.link.0, reply, ms(now.unix_ms), consent.motion().0, consent.encode()),
        )?;
        self.expect_reply(cluster, reply, 0..REPLY_TAGS)?;
        self.knock_with(row, consent, reply, keys, now)?;
        self.touch(cluster);
        Ok(())
    }

    /// Into which cluster that of ours went with which we ask.
    pub(crate) fn sent_into(&self, row: &ClusterRow) -> Result<Option<ClusterId>, ChatError> {
        let sql = "SELECT consent FROM cluster WHERE cluster = ?1";
        let consent: Option<Vec<u8>> = self.conn.prepare_cached(sql)?.query_row([row.cluster], |row| row.get(0))?;
        Ok(consent.and_then(|bytes| ConsentIn::decode(&bytes).ok()).map(|consent| consent.claimed().into))
    }

    /// The same once more with fresh keys, as long as we are in the cluster that sent us; when next, if this is such a request.
    pub(crate) fn ask_again_with(&mut self, row: &ClusterRow, reply: [u8; 32], now: Now) -> Result<Option<u64>, ChatError> {
        let sent: Option<(Option<i64>, Option<Vec<u8>>)> = self
            .conn
            .prepare_cached(
                "SELECT (SELECT m.cluster FROM cluster_motion m WHERE m.motion = c.merge), consent FROM cluster c
                 WHERE cluster = ?1 AND merge IS NOT NULL",
            )?
            .query_row([row.cluster], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((from, consent)) = sent else { return Ok(None) };
        let consent = consent.and_then(|bytes| ConsentIn::decode(&bytes).ok());
        if let (Some(from), Some(consent)) = (from, consent) {
            let from = self.cluster_row(from)?;
            if from.standing == Standing::Member {
                let keys = self.mls.groups(self.conn, self.rng).renew_keys(&row.member, &row.nick)?;
                self.knock_with(&from, &consent, reply, keys, now)?;
            }
        }
        self.conn.execute("UPDATE cluster SET asked_at = ?2 WHERE cluster = ?1", (row.cluster, ms(now.unix_ms)))?;
        Ok(Some(now.unix_ms.saturating_add(ASK_AGAIN_MS)))
    }

    fn knock_with(
        &mut self,
        from: &ClusterRow,
        consent: &ConsentIn,
        reply: [u8; 32],
        keys: MemberKeys,
        now: Now,
    ) -> Result<(), ChatError> {
        let seed = self.mls.groups(self.conn, self.rng).signer(&from.member)?;
        let admission = Admission { member: keys.member, key_package: keys.hash.0, nick: from.nick.clone() };
        let guest = Guest::sign(consent, &MemberSecret::from_seed(*seed.seed()), admission).unverified();
        let purpose = Purpose::Merge { consent: Box::new(consent.clone()), guest };
        let request = Request { reply: DoorSecret(reply), key_package: keys.bytes, purpose };
        self.knock_by(&consent.claimed().link, &request, now)
    }

    /// The keys that nobody may have who comes into a state.
    pub(crate) fn keys_of_members(&mut self, row: &ClusterRow, state: &StateRow) -> Result<Taken, ChatError> {
        let id = row.id.ok_or(ChatError::Bug("cluster without id"))?;
        Ok(self.mls.groups(self.conn, self.rng).taken(&id, &state.state)?)
    }

    /// Whether all who asked have keys that are free, which are theirs then.
    pub(crate) fn fit(&self, taken: &mut Taken, asked: &[Asked]) -> bool {
        let seen: Result<Vec<_>, _> = asked.iter().map(|(_, key_package)| self.mls.inspect_member(key_package)).collect();
        seen.is_ok_and(|seen| taken.take(seen.iter().map(|seen| &seen.keys)))
    }

    /// Requests by which those whom a motion lets in asked, with their KeyPackages; nothing if one of them did not come to us.
    pub(crate) fn requests_of(
        &self,
        row: &ClusterRow,
        state: &StateRow,
        admissions: &[&Admission],
    ) -> Result<Option<Vec<Asked>>, ChatError> {
        let is_missing = |member: &MemberId| !state.roster().contains(member);
        let wanted = admissions.iter().filter(|admission| is_missing(&admission.member));
        wanted.map(|admission| self.request_of(row, &admission.key_package)).collect()
    }
}
