//! The face of the crate: state outside the vault, and transactions.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use samizdat_cluster::secret::Panel;
use samizdat_core::{EnvelopeId, IdentitySecret, Now, seal::TAG_LEN};
use samizdat_store::{Log, StoreError, Vault, vault::Protection};

use crate::{
    cluster::{ClusterTags, StateRow},
    contact::{Answer, ContactEdit},
    error::ChatError,
    limits::{IDENTITIES_MAX, PANELS_HELD, STATES_HELD},
    mls::{Mls, PairId, Ready, Unit},
    query::{Contact, Filter, Message},
    room::LOBBY,
    schema::MIGRATIONS,
    shelf::Shelf,
    timeline::MessageId,
    work::{CLUSTERS_LOOKED, Changes, PanelKey, StateKey, Work},
};

/// Something that a person may want to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message is new or its state changed.
    Message(MessageId),
    /// Something of a cluster is new or changed.
    Cluster(i64),
    /// Somebody asks to be a contact.
    Request(i64),
    /// A contact is new or changed.
    Contact(i64),
}

/// An envelope that waits for its stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// The envelope.
    pub id: EnvelopeId,
    /// Expected tries.
    pub tries: u64,
    /// Whether somebody waits for it; otherwise it is a copy that lives longer than the one that is out.
    pub urgent: bool,
}

/// A one-time tag that somebody's next messages may lie under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) pair: PairId,
    pub(crate) epoch: u64,
    pub(crate) counter: u64,
}

/// Everything that people mean, as one machine over the vault.
#[derive(Debug)]
pub struct Chat {
    pub(crate) vault: Vault,
    pub(crate) mls: Mls,
    pub(crate) groups: Ready,
    pub(crate) states: Shelf<StateKey, Arc<StateRow>>,
    pub(crate) panels: Shelf<PanelKey, Panel>,
    pub(crate) rng: ChaCha20Rng,
    /// The table `expected`, in memory: it is asked for every sealed envelope of the whole network.
    pub(crate) expected: BTreeMap<[u8; TAG_LEN], Expected>,
    /// Tags that the log has not been looked at for: what lies under them may have come before they were expected. Oldest
    /// first, or the keys of old messages could be gone before their turn.
    pub(crate) fresh: VecDeque<[u8; TAG_LEN]>,
    /// The same for clusters, of which there are more tags and each leads to less.
    pub(crate) cluster_tags: ClusterTags,
    pub(crate) cluster_fresh: VecDeque<[u8; TAG_LEN]>,
    /// Clusters that are to be looked after at once, and when the others want to be, ms since 1970.
    pub(crate) cluster_touched: BTreeSet<i64>,
    pub(crate) cluster_due: BTreeMap<i64, u64>,
    /// Clusters in which we have something to say.
    pub(crate) cluster_spoke: BTreeSet<i64>,
    /// Whether the log is to be searched for messages far ahead, and where that goes on.
    pub(crate) look_ahead_due: bool,
    pub(crate) looked_ahead: usize,
    pub(crate) events: VecDeque<Event>,
    /// Whether [`Chat::work`] may find something to do.
    pub(crate) dirty: bool,
    /// Last row of the log that was looked at.
    pub(crate) cursor: i64,
    pub(crate) saved_cursor: i64,
    pub(crate) sessions_changed: bool,
}

impl Chat {
    /// The steps that bring a vault to the layout of this version.
    pub const MIGRATIONS: &'static [&'static str] = MIGRATIONS;

    /// Takes over an open vault. The first time, an identity is made silently and the lobby is joined.
    pub fn open(vault: Vault, seed: [u8; 32]) -> Result<Self, ChatError> {
        let mut chat = Self {
            vault,
            mls: Mls::new()?,
            groups: Ready::default(),
            states: Shelf::new(STATES_HELD),
            panels: Shelf::new(PANELS_HELD),
            rng: ChaCha20Rng::from_seed(seed),
            expected: BTreeMap::new(),
            fresh: VecDeque::new(),
            cluster_tags: ClusterTags::new(),
            cluster_fresh: VecDeque::new(),
            cluster_touched: BTreeSet::new(),
            cluster_spoke: BTreeSet::new(),
            cluster_due: BTreeMap::new(),
            look_ahead_due: true,
            looked_ahead: 0,
            events: VecDeque::new(),
            dirty: true,
            cursor: 0,
            saved_cursor: 0,
            sessions_changed: true,
        };
        chat.transact(|work| {
            let identities: i64 = work.conn.query_row("SELECT count(*) FROM identity", [], |row| row.get(0))?;
            if identities == 0 {
                let secret = IdentitySecret::generate(work.rng);
                work.add_identity(&secret, None)?;
                work.join_room(LOBBY)?;
            }
            Ok(())
        })?;
        chat.cluster_touched = chat.transact(|work| work.cluster_rows())?.into_iter().map(|row| row.cluster).collect();
        chat.cursor = crate::work::setting(chat.vault.conn(), "cursor")?.unwrap_or(0);
        chat.saved_cursor = chat.cursor;
        chat.expected = crate::work::load_expected(chat.vault.conn())?;
        chat.fresh = crate::work::load_unlooked(chat.vault.conn())?;
        chat.transact(|work| work.expect_again())?;
        if crate::work::setting(chat.vault.conn(), CLUSTERS_LOOKED)?.unwrap_or(false) {
            chat.cluster_fresh.clear();
        }
        chat.cluster_tags.extend(crate::work::load_cluster_tags(chat.vault.conn())?);
        chat.cluster_fresh.extend(crate::work::load_unlooked_in_clusters(chat.vault.conn())?);
        Ok(chat)
    }

    /// How the vault's key is kept.
    pub fn protection(&self) -> Protection {
        self.vault.protection()
    }

    /// The vault, for copies of it.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Another identity, not linkable to the others.
    pub fn new_identity(&mut self, secret: Option<IdentitySecret>, label: Option<&str>) -> Result<i64, ChatError> {
        self.dirty = true;
        self.transact(|work| {
            let count: u32 = work.conn.query_row("SELECT count(*) FROM identity", [], |row| row.get(0))?;
            if count >= IDENTITIES_MAX {
                return Err(ChatError::Refused(format!("a profile holds at most {IDENTITIES_MAX} identities")));
            }
            let secret = secret.unwrap_or_else(|| IdentitySecret::generate(work.rng));
            work.add_identity(&secret, label)
        })
    }

    /// A new invite link of the default identity.
    pub fn invite(&mut self) -> Result<samizdat_core::link::InviteLink, ChatError> {
        self.transact(|work| work.invite())
    }

    /// Adds somebody by link or name; what is known of them already stays.
    pub fn add_contact(&mut self, who: &str, petname: Option<&str>) -> Result<Contact, ChatError> {
        self.dirty = true;
        let contact = self.transact(|work| work.add_contact(who, petname))?;
        self.contact(contact)
    }

    /// Renames, blocks or unblocks.
    pub fn edit_contact(&mut self, who: &str, edit: &ContactEdit<'_>) -> Result<Contact, ChatError> {
        self.dirty = true;
        let contact = self.transact(|work| work.edit_contact(who, edit))?;
        self.contact(contact)
    }

    /// Answers a contact request, by its number or by whose it is.
    pub fn answer(&mut self, which: &str, answer: Answer) -> Result<Contact, ChatError> {
        self.dirty = true;
        let contact = self.transact(|work| work.answer(which, answer))?;
        self.contact(contact)
    }

    /// Writes to somebody. What can be encrypted is encrypted by the next [`Chat::work`].
    pub fn write(&mut self, who: &str, text: &str, lifetime: u8, now: Now) -> Result<Message, ChatError> {
        self.dirty = true;
        let id = self.transact(|work| work.write(who, text, lifetime, now))?;
        self.message(&id)
    }

    /// Posts in a room, which is joined by that.
    pub fn post(&mut self, room: &str, text: &str, lifetime: u8, now: Now) -> Result<Message, ChatError> {
        self.dirty = true;
        let id = self.transact(|work| work.post(room, text, lifetime, now))?;
        self.message(&id)
    }

    /// Joins a room; posts that the log holds already appear.
    pub fn join_room(&mut self, room: &str, log: &Log, now: Now) -> Result<crate::query::Room, ChatError> {
        let id = self.transact(|work| {
            let id = work.join_room(room)?;
            work.catch_up_room(id, log, now)?;
            Ok(id)
        })?;
        self.room(id)
    }

    /// Takes back a message that has not been stamped.
    pub fn cancel(&mut self, id: &MessageId) -> Result<Message, ChatError> {
        self.dirty = true;
        self.transact(|work| work.cancel(id))?;
        self.message(id)
    }

    /// Marks a conversation as read, up to a message of it or whole. Its other side learns of it only where the contact says so.
    pub fn mark_read(&mut self, conversation: i64, up_to: Option<&MessageId>) -> Result<(), ChatError> {
        self.dirty = true;
        self.transact(|work| work.mark_read(conversation, up_to))
    }

    /// Puts what can go out into the outbox: announcements that are due, messages whose reader's keys are known,
    /// acknowledgements. Cheap when nothing changed.
    pub fn work(&mut self, log: &Log, now: Now) -> Result<(), ChatError> {
        let due = self.next_due().is_some_and(|due| due <= now.unix_ms);
        if !std::mem::take(&mut self.dirty) && !due {
            return Ok(());
        }
        let done = self.work_through(log, now);
        self.dirty |= done.is_err();
        done
    }

    /// One transaction for each conversation, so that one whose keys are damaged does not silence the others.
    fn work_through(&mut self, log: &Log, now: Now) -> Result<(), ChatError> {
        self.look(log, now)?;
        if std::mem::take(&mut self.look_ahead_due) {
            while self.look_ahead(log)? {
                self.look(log, now)?;
            }
        }
        self.transact(|work| work.announce(now))?;
        for (conversation, contact) in self.with_waiting()? {
            self.transact(|work| work.encrypt_waiting(conversation, contact, log, now)).or_else(unless_the_vault_fails)?;
        }
        for (conversation, contact) in self.with_ack_due()? {
            self.transact(|work| work.acknowledge(conversation, contact, log, now)).or_else(unless_the_vault_fails)?;
        }
        self.work_in_clusters(log, now)
    }

    /// What a timer does: gives up on parents that never came, rotates announced keys, lets the log be searched further.
    pub fn tick(&mut self, now: Now) -> Result<(), ChatError> {
        self.dirty = true;
        self.look_ahead_due = true;
        // Not one by one, which would be a write for each message.
        let looked = self.fresh.is_empty() && self.cluster_fresh.is_empty();
        self.transact(|work| {
            if looked {
                work.looked()?;
            }
            work.give_up_on_parents(now)
        })?;
        self.save_cursor()
    }

    /// Keeps a small value for the shell in the vault: its transport key, the peers it remembers.
    pub fn keep(&mut self, key: &str, value: &[u8]) -> Result<(), ChatError> {
        self.transact(|work| crate::work::set_setting(work.conn, &format!("shell {key}"), &value))
    }

    /// What [`Chat::keep`] kept.
    pub fn kept(&self, key: &str) -> Result<Option<Vec<u8>>, ChatError> {
        crate::work::setting(self.vault.conn(), &format!("shell {key}"))
    }

    /// What happened, once.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Messages by conversation, oldest first.
    pub fn messages(&self, filter: &Filter<'_>) -> Result<Vec<Message>, ChatError> {
        crate::query::messages(self.vault.conn(), filter)
    }

    /// One transaction: all of `f` or nothing, and events only of what lasted.
    pub(crate) fn transact<T>(&mut self, f: impl FnOnce(&mut Work<'_>) -> Result<T, ChatError>) -> Result<T, ChatError> {
        let tx = self.vault.transaction()?;
        let unit = Unit::new(&self.mls, &self.groups);
        let mut work = Work::new(&tx, unit, self.states.hands(), self.panels.hands(), &mut self.rng);
        let result = f(&mut work)?;
        let Changes {
            events,
            added,
            removed,
            cluster_added,
            cluster_removed,
            forgotten,
            touched,
            spoke,
            sessions,
            groups,
            states,
            panels,
        } = work.finish()?;
        tx.commit().map_err(StoreError::from)?;
        self.groups.keep(groups);
        self.states.keep(states);
        self.panels.keep(panels);
        if !forgotten.is_empty() {
            self.cluster_tags.retain(|_, tag| !tag.state().is_some_and(|state| forgotten.contains(&state)));
        }
        cluster_removed.iter().for_each(|tag| {
            self.cluster_tags.remove(tag);
        });
        let mut fresh: Vec<_> = cluster_added.iter().map(|(tag, expected)| (expected.counter, *tag)).collect();
        fresh.sort_unstable();
        fresh.dedup();
        self.cluster_fresh.extend(fresh.into_iter().map(|(_, tag)| tag));
        self.cluster_tags.extend(cluster_added);
        self.dirty |= !touched.is_empty() || !spoke.is_empty();
        self.cluster_touched.extend(touched);
        self.cluster_spoke.extend(spoke);
        removed.iter().for_each(|tag| {
            self.expected.remove(tag);
        });
        let mut fresh: Vec<_> = added.iter().collect();
        fresh.sort_by_key(|(_, expected)| (expected.epoch, expected.counter));
        self.fresh.extend(fresh.into_iter().map(|(tag, _)| tag));
        self.expected.extend(added);
        self.events.extend(events);
        self.sessions_changed |= sessions;
        Ok(result)
    }

    /// Remembers how far the log was read. Reading a part of it twice changes nothing, so this may lag.
    pub(crate) fn save_cursor(&mut self) -> Result<(), ChatError> {
        let cursor = self.cursor;
        if cursor != self.saved_cursor {
            self.transact(|work| crate::work::set_setting(work.conn, "cursor", &cursor))?;
            self.saved_cursor = cursor;
        }
        Ok(())
    }

    /// Randomness for what is not in the vault.
    pub fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

pub(crate) fn unless_the_vault_fails<T: Default>(error: ChatError) -> Result<T, ChatError> {
    if error.is_vault_failing() { Err(error) } else { Ok(T::default()) }
}
