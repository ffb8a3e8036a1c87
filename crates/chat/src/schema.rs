//! The tables of the vault.

use crate::{
    cluster::{
        AGREED, ANONYMOUS, ASIDES, CLUSTERS, COMEBACKS, DELIVERY, DOORS_OF_REQUESTS, LACKING, MERGES, NAMES, OUT, RENAMED, SECRET,
        SEEN, TOLD, UNLISTED,
    },
    mls::MLS_SCHEMA,
};

/// Steps for [`samizdat_store::migrate::migrate`].
pub(crate) const MIGRATIONS: &[&str] = &[
    MLS_SCHEMA,
    TABLES,
    FORGOTTEN_PAIRS,
    BEFORE_BLOCK,
    HELD_KEYS,
    PLAUSIBLE_TIMES,
    UNLOOKED,
    RECEIPTS,
    SESSIONS,
    SENT,
    DIRECT,
    CLUSTERS,
    COMEBACKS,
    SEEN,
    MERGES,
    DOORS_OF_REQUESTS,
    DELIVERY,
    ASIDES,
    RENAMED,
    NAMES,
    ANONYMOUS,
    SECRET,
    OUT,
    TOLD,
    AGREED,
    LACKING,
    UNLISTED,
    BUILT,
    IN_SECRET,
    CLAIMS,
];

/// Who one is can be told to one member of a cluster, too: with an aside.
const CLAIMS: &str = "ALTER TABLE message ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;";

/// Decisions can be voted on in secret, too; and nobody is silent because rollouts were hastened.
const IN_SECRET: &str = "
-- Since when somebody is known as a member, ms; 0: for long.
ALTER TABLE cluster_member ADD COLUMN known INTEGER NOT NULL DEFAULT 0;
-- Of a door of ours: on whoever comes by it is voted in secret. Of a request, `ours` is 2 then.
ALTER TABLE cluster_door ADD COLUMN in_secret INTEGER NOT NULL DEFAULT 0;
";

/// Looking for what nothing builds on yet took half of the time of a message.
const BUILT: &str = "
-- Something is known to build on it; if not, that is not known.
ALTER TABLE message ADD COLUMN built INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_head ON message(conversation, position) WHERE built = 0 AND aside IS NULL AND vouched IS NULL AND anonymous = 0;
";

/// Times that authors claimed were once taken as they came.
const PLAUSIBLE_TIMES: &str = "UPDATE message SET at = arrived WHERE mine = 0 AND at > arrived + 3 * 60 * 60 * 1000;";

const TABLES: &str = "
CREATE TABLE setting(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE identity(
    identity INTEGER PRIMARY KEY,
    seed BLOB NOT NULL,
    key BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    label TEXT,
    next_seq INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Announced keys, the newest and those that somebody may still use.
CREATE TABLE announced(
    announced INTEGER PRIMARY KEY,
    identity INTEGER NOT NULL REFERENCES identity,
    seed BLOB NOT NULL,
    key_package BLOB NOT NULL,
    hour INTEGER NOT NULL,
    lifetime INTEGER NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

CREATE TABLE invite(
    invite INTEGER PRIMARY KEY,
    identity INTEGER NOT NULL REFERENCES identity,
    secret BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE contact(
    contact INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identity,
    name TEXT NOT NULL,
    petname TEXT,
    state INTEGER NOT NULL,
    secret BLOB,
    invited INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE(identity, name)
) STRICT;

CREATE TABLE room(
    room INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    topic BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE conversation(
    conversation INTEGER PRIMARY KEY AUTOINCREMENT,
    contact INTEGER UNIQUE REFERENCES contact,
    room INTEGER UNIQUE REFERENCES room,
    read_position INTEGER NOT NULL DEFAULT 0,
    ack_due INTEGER NOT NULL DEFAULT 0,
    last_position INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE message(
    message INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    conversation INTEGER NOT NULL REFERENCES conversation,
    author TEXT NOT NULL,
    mine INTEGER NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    lifetime INTEGER NOT NULL,
    state INTEGER NOT NULL,
    position INTEGER UNIQUE,
    arrived INTEGER NOT NULL,
    envelope BLOB
) STRICT;
CREATE INDEX message_conversation ON message(conversation, position);
CREATE INDEX message_envelope ON message(envelope) WHERE envelope IS NOT NULL;
CREATE INDEX message_hidden ON message(conversation) WHERE position IS NULL;
CREATE INDEX message_waiting ON message(conversation, message) WHERE state = 0;

CREATE TABLE parent(
    child BLOB NOT NULL,
    parent BLOB NOT NULL,
    PRIMARY KEY(child, parent)
) STRICT, WITHOUT ROWID;
CREATE INDEX parent_of ON parent(parent);

CREATE TABLE pair(
    pair BLOB PRIMARY KEY,
    contact INTEGER NOT NULL REFERENCES contact,
    founder_rank BLOB NOT NULL,
    our_rank INTEGER NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pair_contact ON pair(contact);

CREATE TABLE epoch(
    pair BLOB NOT NULL REFERENCES pair,
    epoch INTEGER NOT NULL,
    secret BLOB NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    expected_to INTEGER NOT NULL DEFAULT 0,
    received INTEGER NOT NULL DEFAULT 0,
    hour INTEGER NOT NULL,
    -- What the other side needs to enter this epoch, until something of the epoch comes back: a bell or a Commit.
    entry BLOB,
    entry_expires INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(pair, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE expected(
    tag BLOB PRIMARY KEY,
    pair BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX expected_epoch ON expected(pair, epoch);

-- Finished but for the stamp (state 0), or in our log and not yet known to be anywhere else (state 1).
CREATE TABLE outbox(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL,
    tries INTEGER NOT NULL,
    bell INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    conversation INTEGER,
    expires INTEGER NOT NULL
) STRICT;
";

/// Pairs that were forgotten while the keys that their bells are sealed to are still there.
const FORGOTTEN_PAIRS: &str = "CREATE TABLE forgotten_pair(pair BLOB PRIMARY KEY, hour INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// How we stood with somebody before we blocked them.
const BEFORE_BLOCK: &str = "ALTER TABLE contact ADD COLUMN before_block INTEGER";

/// Whether another node holds the announcement.
const HELD_KEYS: &str = "
ALTER TABLE announced ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
UPDATE announced SET held = 1 WHERE envelope NOT IN (SELECT envelope FROM outbox);
";

/// Whether somebody is told what was read, and in which conversations something was read of which they were not told.
const RECEIPTS: &str = "
ALTER TABLE contact ADD COLUMN receipts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN receipt_due INTEGER NOT NULL DEFAULT 0;
";

/// Sessions with contacts: with whom, what keys them, where they are, and what was handed over before its stamp.
const SESSIONS: &str = "
ALTER TABLE contact ADD COLUMN session INTEGER NOT NULL DEFAULT 0;
ALTER TABLE epoch ADD COLUMN session BLOB;
ALTER TABLE outbox ADD COLUMN handed INTEGER NOT NULL DEFAULT 0;
CREATE TABLE presence(contact INTEGER PRIMARY KEY REFERENCES contact, at INTEGER NOT NULL, place BLOB NOT NULL) STRICT;
";

/// What was sent in which direct conversation, as long as it lives: the outbox forgets it once another node has it.
const SENT: &str = "
CREATE TABLE sent(envelope BLOB PRIMARY KEY, conversation INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX sent_conversation ON sent(conversation);
INSERT INTO sent SELECT envelope, conversation, expires FROM outbox WHERE conversation IS NOT NULL;
INSERT OR IGNORE INTO sent SELECT m.envelope, m.conversation, m.at / 3600000 + 24 * 56 FROM message m JOIN conversation c USING (conversation)
    WHERE m.mine = 1 AND m.envelope IS NOT NULL AND c.contact IS NOT NULL;
";

/// Tags that the log may hold something under from before they were expected, until it has been looked at. Of those that were
/// expected already nobody knows.
const UNLOOKED: &str = "
ALTER TABLE expected ADD COLUMN unlooked INTEGER NOT NULL DEFAULT 1;
CREATE INDEX expected_unlooked ON expected(unlooked) WHERE unlooked = 1;
";

/// What went over a session: messages, and of the outbox what the contact has taken. Of earlier ones nobody knows.
const DIRECT: &str = "
ALTER TABLE message ADD COLUMN direct INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
";
