//! The keys for anonymous messages of an epoch: ours, told once in each of its states, and those of others.

use rusqlite::OptionalExtension;
use samizdat_cluster::{
    MemberSecret, StateId,
    anonymous::{Pool, Published, SlotSecrets, SlotsId, SlotsIn},
    content::Body,
    limits::{ANONYMOUS_SLOTS, RING_MIN},
};
use samizdat_core::Now;
use zeroize::Zeroizing;

use super::row::{ClusterRow, StateRow, ms};
use crate::{
    error::ChatError,
    limits::{DECIDING_LIFETIMES, HERE_LIFETIMES},
    work::Work,
};

/// Our own keys of an epoch.
pub(crate) struct OwnSlots {
    pub(crate) secrets: SlotSecrets,
    /// One bit for each that was used.
    used: u8,
}

impl OwnSlots {
    /// Those that were not used.
    pub(crate) fn left(&self) -> Vec<u8> {
        let slots = 0..u8::try_from(ANONYMOUS_SLOTS).unwrap_or(u8::MAX);
        slots.filter(|slot| self.used & bit(*slot) == 0).collect()
    }
}

fn bit(slot: u8) -> u8 {
    1u8.checked_shl(slot.into()).unwrap_or(0)
}

impl Work<'_> {
    /// Says that we are in a state: by our keys, if they are not told there yet.
    pub(crate) fn say_here(&mut self, row: &ClusterRow, state: &StateId, now: Now) -> Result<(), ChatError> {
        if !self.tell_slots(row, state, now)? {
            self.send_message(row, state, Body::Here, &HERE_LIFETIMES, now)?;
        }
        Ok(())
    }

    /// Whether our keys are to be told in a state. Where members are too few to hide among, nobody tells any.
    pub(crate) fn slots_are_due(&self, row: &ClusterRow, state: &StateId) -> Result<bool, ChatError> {
        let told = "SELECT slots_told FROM cluster_state WHERE cluster = ?1 AND state = ?2";
        let told = self.conn.prepare_cached(told)?.query_row((row.cluster, state.0), |row| row.get(0)).optional()?;
        Ok(told == Some(false) && self.shared_state(row.cluster, state)?.is_some_and(|at| at.members.len() >= RING_MIN))
    }

    /// Tells our keys in a state, if that is due. In all states of an epoch they are the same, or they would prove that we cheat.
    pub(crate) fn tell_slots(&mut self, row: &ClusterRow, state: &StateId, now: Now) -> Result<bool, ChatError> {
        if !self.slots_are_due(row, state)? {
            return Ok(false);
        }
        let at = self.shared_state(row.cluster, state)?.ok_or(ChatError::Bug("state of a cluster"))?;
        let seed = Zeroizing::new(self.secret());
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO cluster_slot_secret(cluster, epoch, seed) VALUES(?1, ?2, ?3)")?
            .execute((row.cluster, ms(at.epoch), *seed))?;
        self.conn
            .prepare_cached("UPDATE cluster_state SET slots_told = 1 WHERE cluster = ?1 AND state = ?2")?
            .execute((row.cluster, state.0))?;
        let own = self.own_slots(row, at.epoch)?.ok_or(ChatError::Bug("keys for anonymous messages"))?;
        let signer = self.mls.groups(self.conn, self.rng).signer(&row.member)?;
        let slots = own.secrets.publish(&MemberSecret::from_seed(*signer.seed())).unverified();
        self.take_slots(row, &at, &slots)?;
        // As long as what decides: who comes later than what hides among these keys must know them.
        self.send_message(row, state, Body::Slots(slots), &DECIDING_LIFETIMES, now)?;
        Ok(true)
    }

    /// Our keys of an epoch; nothing if we have told none.
    pub(crate) fn own_slots(&self, row: &ClusterRow, epoch: u64) -> Result<Option<OwnSlots>, ChatError> {
        let Some(cluster) = row.id else { return Ok(None) };
        let sql = "SELECT seed, used FROM cluster_slot_secret WHERE cluster = ?1 AND epoch = ?2";
        let found = self.conn.prepare_cached(sql)?.query_row((row.cluster, ms(epoch)), |row| {
            let seed: Zeroizing<[u8; 32]> = Zeroizing::new(row.get(0)?);
            Ok(OwnSlots { secrets: SlotSecrets::new(*seed, cluster, epoch), used: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    /// A key of ours is used up.
    pub(crate) fn use_slot(&self, row: &ClusterRow, epoch: u64, slot: u8) -> Result<(), ChatError> {
        self.conn
            .prepare_cached("UPDATE cluster_slot_secret SET used = used | ?3 WHERE cluster = ?1 AND epoch = ?2")?
            .execute((row.cluster, ms(epoch), bit(slot)))?;
        Ok(())
    }

    /// Keys that somebody told in a state. Two sets of one member are kept, and the proof that it cheats for ever.
    pub(crate) fn take_slots(&mut self, row: &ClusterRow, at: &StateRow, slots: &SlotsIn) -> Result<(), ChatError> {
        let Some(cluster) = row.id else { return Ok(()) };
        let Ok(slots) = slots.clone().verify(&cluster, at.epoch, at.roster()) else { return Ok(()) };
        let mut pool = Pool::new(cluster, at.epoch, at.roster().clone());
        let mut known =
            self.conn.prepare_cached("SELECT bytes FROM cluster_slots WHERE cluster = ?1 AND epoch = ?2 AND member = ?3")?;
        let known = known.query_map((row.cluster, ms(at.epoch), slots.member().0), |row| row.get::<_, Vec<u8>>(0))?;
        for bytes in known {
            let _ = SlotsIn::decode(&bytes?).ok().map(|slots| pool.add(slots));
        }
        let proof = match pool.add_verified(slots.clone()) {
            Ok(Published::New) => None,
            Ok(Published::Cheat(proof)) => Some(proof),
            Ok(Published::Known | Published::TooMany) | Err(_) => return Ok(()),
        };
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO cluster_slots(cluster, epoch, id, member, bytes) VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute((row.cluster, ms(at.epoch), slots.id().0, slots.member().0, slots.unverified().encode()))?;
        if let Some(proof) = proof {
            self.conn.execute(
                "INSERT OR IGNORE INTO cluster_two_sets(cluster, member, epoch, proof) VALUES(?1, ?2, ?3, ?4)",
                (row.cluster, slots.member().0, ms(at.epoch), proof.encode()),
            )?;
            self.touch(row.cluster);
        }
        self.heard_slots(row, at.epoch, &slots.id())
    }

    /// What members published for the epoch of a state, as that knows who they are: all of it, or what has these names.
    pub(crate) fn pool(&self, row: &ClusterRow, at: &StateRow, only: Option<&[SlotsId]>) -> Result<Pool, ChatError> {
        let cluster = row.id.ok_or(ChatError::Bug("cluster without id"))?;
        let mut pool = Pool::new(cluster, at.epoch, at.roster().clone());
        let mut statement = self.conn.prepare_cached("SELECT id, bytes FROM cluster_slots WHERE cluster = ?1 AND epoch = ?2")?;
        let mut rows = statement.query((row.cluster, ms(at.epoch)))?;
        while let Some(found) = rows.next()? {
            let (id, bytes) = (SlotsId(found.get(0)?), found.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
            if only.is_none_or(|only| only.contains(&id))
                && let Ok(slots) = SlotsIn::decode(bytes)
            {
                // Of whoever is in another state of the epoch, and not in this one.
                let _ = pool.add(slots);
            }
        }
        Ok(pool)
    }

    /// Forgets the keys of epochs before all whose states are kept, and what hid among them. Those of later ones stay, also where a
    /// branch went: what another one comes to is to find the same.
    pub(crate) fn forget_slots(&self, cluster: i64) -> Result<(), ChatError> {
        for table in ["cluster_slot_secret", "cluster_slots", "cluster_spent", "cluster_unheard"] {
            let sql = format!(
                "DELETE FROM {table} WHERE cluster = ?1 AND epoch < coalesce((SELECT min(epoch) FROM cluster_state WHERE cluster = ?1), ?2)"
            );
            self.conn.prepare_cached(&sql)?.execute((cluster, i64::MAX))?;
        }
        Ok(())
    }
}
