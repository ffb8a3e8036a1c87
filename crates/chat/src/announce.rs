//! Announcements of our own identities: the keys with which strangers can write first.
//!
//! Only a last-resort KeyPackage is announced (docs/adr/0003): in a replicated log one-time ones cannot be handed out once.

use rusqlite::OptionalExtension;
use samizdat_core::{
    Hour, IdentitySecret, Now, Unstamped,
    announce::Announcement,
    limits::{CLOCK_SLACK_HOURS, LIFETIMES},
    seal::ContactSecret,
};

use crate::{
    error::ChatError,
    limits::{ANNOUNCEMENT_AGE, ANNOUNCEMENT_LIFETIME, FIRST_ANNOUNCEMENT_AGE, FIRST_ANNOUNCEMENT_LIFETIME, KEYS_KEPT},
    mls::KeyPackageHash,
    work::Work,
};

/// How far the announcement of an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Not made yet.
    Waiting,
    /// Waits for its stamp.
    Stamping,
    /// In our log; waits for a node to take it.
    Stamped,
    /// Another node has it.
    Published,
}

/// Keys that an identity has announced.
#[derive(Debug)]
pub(crate) struct AnnouncedKeys {
    pub(crate) identity: i64,
    pub(crate) secret: ContactSecret,
}

impl Work<'_> {
    /// Announces every identity whose keys are missing or old, and forgets what nobody can use any more.
    pub(crate) fn announce(&mut self, now: Now) -> Result<(), ChatError> {
        let identities: Vec<i64> = self
            .conn
            .prepare_cached("SELECT identity FROM identity")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for identity in identities {
            let newest: Option<(u32, u8)> = self
                .conn
                .prepare_cached("SELECT hour, lifetime FROM announced WHERE identity = ?1 ORDER BY announced DESC LIMIT 1")?
                .query_row([identity], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match newest {
                None => self.announce_one(identity, FIRST_ANNOUNCEMENT_LIFETIME, now)?,
                Some((hour, lifetime)) if is_old(hour, lifetime, now.hour()) => {
                    self.announce_one(identity, ANNOUNCEMENT_LIFETIME, now)?
                }
                Some(_) => {}
            }
        }
        self.forget_old_keys(now)
    }

    /// The secrets that may open a bell, newest first.
    pub(crate) fn announced_keys(&self) -> Result<Vec<AnnouncedKeys>, ChatError> {
        let mut statement = self.conn.prepare_cached("SELECT identity, seed FROM announced ORDER BY announced DESC")?;
        let rows = statement
            .query_map([], |row| Ok(AnnouncedKeys { identity: row.get(0)?, secret: ContactSecret::from_seed(row.get(1)?) }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn announce_one(&mut self, identity: i64, lifetime: u8, now: Now) -> Result<(), ChatError> {
        let us: IdentitySecret = self.identity_secret(identity)?;
        let secret = ContactSecret::generate(self.rng);
        let package = self.mls.pairs(self.conn, self.rng).make_key_package(&us)?;
        let body = Announcement { contact_key: secret.contact_key(), key_package: package.bytes }.encode()?;
        let seq = self.next_seq(identity)?;
        let unstamped = Unstamped::sign(&us, seq, None, now.hour(), lifetime, body).map_err(|_| ChatError::Bug("announcement"))?;
        self.conn.execute(
            "INSERT INTO announced(identity, seed, key_package, hour, lifetime, envelope) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            (identity, secret.seed(), package.hash.0, now.hour().0, lifetime, unstamped.id().0),
        )?;
        self.queue(&unstamped, unstamped.price(), None)
    }

    /// Forgets keys that a much newer announcement has replaced. Only one that other nodes took counts: if our clock is
    /// wrong they refuse what we announce, and people go on writing to the keys they know.
    fn forget_old_keys(&mut self, now: Now) -> Result<(), ChatError> {
        let now = now.hour();
        let known_for = now.0.saturating_sub(ANNOUNCEMENT_AGE);
        let newer_by = KEYS_KEPT.saturating_sub(ANNOUNCEMENT_AGE);
        let old: Vec<(i64, i64, [u8; 32])> = self
            .conn
            .prepare_cached(
                "SELECT announced, identity, key_package FROM announced o WHERE EXISTS
                 (SELECT 1 FROM announced n WHERE n.identity = o.identity AND n.announced > o.announced AND n.held = 1
                  AND n.hour <= ?1 AND (n.hour >= o.hour + ?2 OR (o.held = 0 AND o.hour > ?3)))",
            )?
            .query_map((known_for, newer_by, now.0.saturating_add(CLOCK_SLACK_HOURS)), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        for (announced, identity, hash) in old {
            let us = self.identity_secret(identity)?.key();
            self.mls.pairs(self.conn, self.rng).forget_key_package(&us, &KeyPackageHash(hash))?;
            self.conn.execute("DELETE FROM announced WHERE announced = ?1", [announced])?;
        }
        // Bells to the keys of that time cannot be opened any more.
        self.conn.prepare_cached("DELETE FROM forgotten_pair WHERE hour < (SELECT min(hour) FROM announced)")?.execute([])?;
        Ok(())
    }
}

/// Whether another announcement is due. One from the future was made by a wrong clock, and nobody takes it.
fn is_old(hour: u32, lifetime: u8, now: Hour) -> bool {
    let first = lifetime == FIRST_ANNOUNCEMENT_LIFETIME;
    let age = if first { FIRST_ANNOUNCEMENT_AGE } else { ANNOUNCEMENT_AGE };
    now.0 >= hour.saturating_add(age) || hour > now.0.saturating_add(CLOCK_SLACK_HOURS)
}

const _: () = assert!((LIFETIMES.len() as u8) > ANNOUNCEMENT_LIFETIME);
