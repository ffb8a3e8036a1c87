//! The tables of clusters, in the vault beside those of everything else.

/// One step of the migrations.
pub(crate) const CLUSTERS: &str = "
-- Clusters that we are in, were in, or ask to be let into (then without id and tip).
CREATE TABLE cluster(
    cluster INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB,
    member BLOB NOT NULL UNIQUE,
    nick TEXT NOT NULL,
    name TEXT NOT NULL,
    standing INTEGER NOT NULL,
    tip BLOB,
    turn INTEGER NOT NULL DEFAULT 0,
    -- For those who were away for too long.
    door BLOB,
    -- While we ask: where, what, and under which secret the answer comes.
    link BLOB,
    words TEXT NOT NULL DEFAULT '',
    reply BLOB,
    asked_at INTEGER NOT NULL DEFAULT 0
) STRICT;

ALTER TABLE conversation ADD COLUMN cluster INTEGER REFERENCES cluster;
CREATE UNIQUE INDEX conversation_cluster ON conversation(cluster) WHERE cluster IS NOT NULL;

-- One instance of an epoch each. The keys are in mls_state.
CREATE TABLE cluster_state(
    cluster INTEGER NOT NULL REFERENCES cluster,
    state BLOB NOT NULL,
    parent BLOB,
    epoch INTEGER NOT NULL,
    committer BLOB,
    certified INTEGER NOT NULL,
    members BLOB NOT NULL,
    context BLOB NOT NULL,
    past BLOB NOT NULL,
    done BLOB NOT NULL,
    secret BLOB NOT NULL,
    own_leaf INTEGER,
    sent INTEGER NOT NULL DEFAULT 0,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0,
    proposed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(cluster, state)
) STRICT, WITHOUT ROWID;

-- Where each member sent the message with its highest turn.
CREATE TABLE cluster_stand(
    cluster INTEGER NOT NULL,
    member BLOB NOT NULL,
    turn INTEGER NOT NULL,
    state BLOB NOT NULL,
    heard INTEGER NOT NULL,
    PRIMARY KEY(cluster, member)
) STRICT, WITHOUT ROWID;

-- How members call themselves, also those who are gone.
CREATE TABLE cluster_member(
    cluster INTEGER NOT NULL,
    member BLOB NOT NULL,
    nick TEXT NOT NULL,
    -- As it stands in the column `author` of messages.
    author TEXT NOT NULL,
    PRIMARY KEY(cluster, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_member_author ON cluster_member(cluster, author);

-- One-time tags: of the member at a leaf of a state, of a door (0), of the answer to what we asked for (1).
CREATE TABLE cluster_tag(
    tag BLOB PRIMARY KEY,
    cluster INTEGER NOT NULL,
    source INTEGER NOT NULL,
    state BLOB NOT NULL,
    leaf INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    unlooked INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_tag_state ON cluster_tag(cluster, state, leaf);
CREATE INDEX cluster_tag_unlooked ON cluster_tag(unlooked) WHERE unlooked = 1;

-- How far the tags of a leaf are expected.
CREATE TABLE cluster_reach(
    cluster INTEGER NOT NULL,
    state BLOB NOT NULL,
    leaf INTEGER NOT NULL,
    expected_to INTEGER NOT NULL,
    PRIMARY KEY(cluster, state, leaf)
) STRICT, WITHOUT ROWID;

-- Changes that may follow, and proposals of others (kind 1) that they may build on.
CREATE TABLE cluster_pending(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    state BLOB NOT NULL,
    leaf INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0,
    UNIQUE(cluster, state, bytes)
) STRICT;

CREATE TABLE cluster_part(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    source BLOB NOT NULL,
    object BLOB NOT NULL,
    part BLOB NOT NULL,
    UNIQUE(cluster, source, part)
) STRICT;

CREATE TABLE cluster_door(
    door INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL REFERENCES cluster,
    secret BLOB NOT NULL,
    -- What the link says, if it is ours.
    link BLOB,
    label TEXT NOT NULL,
    expires INTEGER NOT NULL,
    -- The last day whose tags are watched.
    watched INTEGER NOT NULL DEFAULT 0,
    UNIQUE(cluster, secret)
) STRICT;

CREATE TABLE cluster_request(
    request INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL REFERENCES cluster,
    member BLOB NOT NULL,
    key_package BLOB NOT NULL,
    hash BLOB NOT NULL,
    nick TEXT NOT NULL,
    words TEXT NOT NULL,
    reply BLOB NOT NULL,
    returns INTEGER NOT NULL,
    -- Whether they came by a door that we opened, and nobody has moved to let them in.
    ours INTEGER NOT NULL,
    at INTEGER NOT NULL,
    answered INTEGER NOT NULL DEFAULT 0,
    UNIQUE(cluster, hash)
) STRICT;

CREATE TABLE cluster_motion(
    cluster INTEGER NOT NULL REFERENCES cluster,
    motion BLOB NOT NULL,
    bytes BLOB NOT NULL,
    at INTEGER NOT NULL,
    -- Since when it has passed; 0 if it has not.
    passed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(cluster, motion)
) STRICT, WITHOUT ROWID;

CREATE TABLE cluster_ballot(
    cluster INTEGER NOT NULL,
    motion BLOB NOT NULL,
    voter BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY(cluster, motion, voter, bytes)
) STRICT, WITHOUT ROWID;

CREATE TABLE cluster_leave(
    cluster INTEGER NOT NULL,
    member BLOB NOT NULL,
    bytes BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY(cluster, member)
) STRICT, WITHOUT ROWID;

-- What each state rested on, without the keys, for whoever wants to check: kept for ever. The first that we know has no parent,
-- and instead says who was there, and what they had agreed on until then.
CREATE TABLE cluster_decision(
    cluster INTEGER NOT NULL,
    state BLOB NOT NULL,
    parent BLOB,
    epoch INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY(cluster, state)
) STRICT, WITHOUT ROWID;

-- In which state a message of ours was sent: if nobody follows that any more, it is sent again.
ALTER TABLE message ADD COLUMN state_sent BLOB;
ALTER TABLE outbox ADD COLUMN background INTEGER NOT NULL DEFAULT 0;
";

/// The step after it: who comes back says so under its own key; what newcomers are told; whom a message calls.
pub(crate) const COMEBACKS: &str = "
ALTER TABLE cluster_request ADD COLUMN comeback BLOB;
ALTER TABLE cluster_motion ADD COLUMN carried INTEGER NOT NULL DEFAULT 0;
-- The epoch of the state in which a member stands, which stays known when the state is forgotten.
ALTER TABLE cluster_stand ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
UPDATE cluster_stand AS t SET epoch = coalesce(
    (SELECT epoch FROM cluster_state s WHERE s.cluster = t.cluster AND s.state = t.state),
    (SELECT max(epoch) FROM cluster_state s WHERE s.cluster = t.cluster), 0);
-- When others let us in, ms; 0 for who founded it.
ALTER TABLE cluster ADD COLUMN joined_at INTEGER NOT NULL DEFAULT 0;
-- The epoch after the one in which we said who we are; 0 if we did not.
ALTER TABLE cluster ADD COLUMN claimed INTEGER NOT NULL DEFAULT 0;
-- The name that has shown to be behind a member.
ALTER TABLE cluster_member ADD COLUMN name TEXT;
-- Which member told us of it, if not its author.
ALTER TABLE message ADD COLUMN vouched TEXT;
-- Whether it calls us.
ALTER TABLE message ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;
";

/// By which door somebody came: of each, so many are heard.
pub(crate) const DOORS_OF_REQUESTS: &str = "
ALTER TABLE cluster_request ADD COLUMN door INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cluster_request_door ON cluster_request(door);
";

/// The tags of states follow from their secrets and need no rows: of 200 members there are thousands in each state. Instead of what
/// is expected, `cluster_seen` holds what is not any more.
pub(crate) const SEEN: &str = "
CREATE TABLE cluster_seen(
    cluster INTEGER NOT NULL,
    state BLOB NOT NULL,
    leaf INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    PRIMARY KEY(cluster, state, leaf, counter)
) STRICT, WITHOUT ROWID;
WITH RECURSIVE up(counter) AS
    (SELECT 0 UNION ALL SELECT counter + 1 FROM up WHERE counter < (SELECT max(expected_to) FROM cluster_reach))
INSERT INTO cluster_seen SELECT cluster, state, leaf, counter FROM cluster_reach r JOIN up ON counter < expected_to
    WHERE NOT EXISTS (SELECT 1 FROM cluster_tag t WHERE (t.cluster, t.state, t.leaf, t.counter) = (r.cluster, r.state, r.leaf, up.counter)
                      AND t.source = 0);
DELETE FROM cluster_tag WHERE source = 0;
-- Of our own leaf, cluster_reach says how far we have sent: the row of a state is long, and was written for each message.
INSERT INTO cluster_reach SELECT cluster, state, own_leaf, sent FROM cluster_state WHERE own_leaf IS NOT NULL AND sent > 0;
ALTER TABLE cluster_state DROP COLUMN sent;
-- Once more, since what was under way is forgotten below.
UPDATE cluster_tag SET unlooked = 1;
-- What is large is in a table once: that it is there, its digest says.
DROP TABLE cluster_part;
CREATE TABLE cluster_part(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    source BLOB NOT NULL,
    object BLOB NOT NULL,
    digest BLOB NOT NULL,
    part BLOB NOT NULL,
    UNIQUE(cluster, source, object, digest)
) STRICT;
ALTER TABLE cluster_pending RENAME TO cluster_pending_before;
CREATE TABLE cluster_pending(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    state BLOB NOT NULL,
    leaf INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    digest BLOB NOT NULL,
    bytes BLOB NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0,
    UNIQUE(cluster, state, digest)
) STRICT;
-- Whoever sends these again is followed to where they led: that changes nothing.
INSERT INTO cluster_pending SELECT number, cluster, state, leaf, kind, randomblob(32), bytes, settled FROM cluster_pending_before;
DROP TABLE cluster_pending_before;
DROP INDEX cluster_tag_state;
CREATE INDEX cluster_tag_source ON cluster_tag(cluster, source, leaf);
";

/// The step after it: clusters that go into another.
pub(crate) const MERGES: &str = "
-- By which motion of another cluster of ours we ask, and that it passed.
ALTER TABLE cluster ADD COLUMN merge BLOB;
ALTER TABLE cluster ADD COLUMN consent BLOB;
-- The cluster with which somebody comes, and that they were a member of it.
ALTER TABLE cluster_request ADD COLUMN consent BLOB;
ALTER TABLE cluster_request ADD COLUMN guest BLOB;
";

/// Which members have which text of ours.
pub(crate) const DELIVERY: &str = "
-- How many members a text of ours went to, where the charter lets them tell that they have it (0: nobody counts), how many have it,
-- and the epoch of the state in which it was said.
ALTER TABLE message ADD COLUMN addressed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN epoch_sent INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_addressed ON message(message) WHERE addressed > 0;
CREATE INDEX message_undelivered ON message(conversation, message) WHERE delivered < addressed;
CREATE TABLE delivery(
    message INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    member BLOB NOT NULL,
    -- When we learned of it, ms.
    got INTEGER NOT NULL,
    PRIMARY KEY(message, member)
) STRICT, WITHOUT ROWID;
-- Texts that a member has, by its word, and we have not.
CREATE TABLE cluster_ahead(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL,
    member BLOB NOT NULL,
    text BLOB NOT NULL,
    UNIQUE(conversation, text, member)
) STRICT;
-- The epoch in which a member came, or came back, as far as we know.
ALTER TABLE cluster_member ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
-- When we are to say what has come, ms, 0 if nothing has; when we last did.
ALTER TABLE cluster ADD COLUMN ack_due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cluster ADD COLUMN acked INTEGER NOT NULL DEFAULT 0;
";

/// The only member who can read a message.
pub(crate) const ASIDES: &str = "ALTER TABLE message ADD COLUMN aside BLOB;";

/// Texts that are kept under another id than their authors gave them, which nobody else knows.
pub(crate) const RENAMED: &str = "ALTER TABLE message ADD COLUMN renamed INTEGER NOT NULL DEFAULT 0;";

/// What everybody else calls a text that is kept under another id; what the names of texts of clusters follow from. The keys of doors,
/// and who opened them.
pub(crate) const NAMES: &str = "
ALTER TABLE message DROP COLUMN renamed;
ALTER TABLE message ADD COLUMN name BLOB;
ALTER TABLE message ADD COLUMN nonce BLOB;
ALTER TABLE cluster_door ADD COLUMN key BLOB;
ALTER TABLE cluster_door ADD COLUMN author BLOB;
DELETE FROM cluster_door WHERE label <> char(1) || 'return';
UPDATE cluster SET standing = 2 WHERE standing = 0;
UPDATE message SET state = 7 WHERE state = 0 AND conversation IN (SELECT conversation FROM conversation WHERE cluster IS NOT NULL);
CREATE INDEX message_name ON message(conversation, name) WHERE name IS NOT NULL;
";

/// Messages of some member, nobody can tell which.
pub(crate) const ANONYMOUS: &str = "
-- Among how many members the author of a message hides; 0 for everybody who does not.
ALTER TABLE message ADD COLUMN anonymous INTEGER NOT NULL DEFAULT 0;
-- Whether we have told our keys in a state.
ALTER TABLE cluster_state ADD COLUMN slots_told INTEGER NOT NULL DEFAULT 0;
-- What our own keys of an epoch follow from, and one bit for each that was used.
CREATE TABLE cluster_slot_secret(
    cluster INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seed BLOB NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(cluster, epoch)
) STRICT, WITHOUT ROWID;
-- What members published for an epoch. Two sets of one of them prove that it could write twice as much.
CREATE TABLE cluster_slots(
    cluster INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    id BLOB NOT NULL,
    member BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY(cluster, epoch, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE cluster_two_sets(
    cluster INTEGER NOT NULL,
    member BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    proof BLOB NOT NULL,
    PRIMARY KEY(cluster, member)
) STRICT, WITHOUT ROWID;
-- By the image of a key that was used, the message that counts, and a digest of its bytes.
CREATE TABLE cluster_spent(
    cluster INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    image BLOB NOT NULL,
    id BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY(cluster, epoch, image)
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_spent_digest ON cluster_spent(cluster, digest);
-- Messages that hide among members whose keys have not come; due: some have come since.
CREATE TABLE cluster_unheard(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    state BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    hour INTEGER NOT NULL,
    digest BLOB NOT NULL,
    bytes BLOB NOT NULL,
    due INTEGER NOT NULL DEFAULT 0,
    UNIQUE(cluster, digest)
) STRICT;
";

/// Who knows a door, and what one member said to us.
pub(crate) const TOLD: &str = "
-- In which state a door was told, and whether one of ours was closed before its time.
ALTER TABLE cluster_door ADD COLUMN state BLOB;
ALTER TABLE cluster_door ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
-- Of what a member said to us alone: in how many acknowledgements it is still to be marked as received.
ALTER TABLE message ADD COLUMN unmarked INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_unmarked ON message(conversation, message) WHERE unmarked > 0;
-- Whether somebody said something to one member since we last said what has come: all acknowledge that, so that nobody sees who has it.
ALTER TABLE cluster ADD COLUMN cover INTEGER NOT NULL DEFAULT 0;
-- Whether members are told what we have read, and whether there is something to tell; when they said that they have read a text, ms,
-- or 0.
ALTER TABLE cluster ADD COLUMN receipts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cluster ADD COLUMN receipt_due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN read INTEGER NOT NULL DEFAULT 0;
";

/// Secret votes.
pub(crate) const SECRET: &str = "
-- Motions that are voted on in secret, and how far that has come.
CREATE TABLE cluster_vote(
    cluster INTEGER NOT NULL REFERENCES cluster,
    motion BLOB NOT NULL,
    -- The members and rules of its epoch, from which voters and trustees follow.
    context BLOB NOT NULL,
    past BLOB NOT NULL,
    until INTEGER NOT NULL,
    -- As a trustee, until the end: what our dealing is made of. What we want to vote, until there is a key.
    seed BLOB,
    choice INTEGER,
    -- When we came to know of it; since when we have the shares that we can hope for; since when nobody can vote any more; when it is
    -- to be looked after next. In ms.
    began INTEGER NOT NULL,
    ready INTEGER NOT NULL DEFAULT 0,
    over INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL DEFAULT 0,
    phase INTEGER NOT NULL DEFAULT 0,
    -- What came out: for each option 8 bytes, whether enough answered, whose ballots were counted and whose were not, and what proves it.
    counts BLOB NOT NULL DEFAULT x'',
    answered INTEGER NOT NULL DEFAULT 0,
    voters BLOB NOT NULL DEFAULT x'',
    left_out BLOB NOT NULL DEFAULT x'',
    transcript BLOB,
    PRIMARY KEY(cluster, motion)
) STRICT;

-- What members say in them, until the end; of ballots, whether they were verified.
CREATE TABLE cluster_vote_step(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    motion BLOB NOT NULL,
    kind INTEGER NOT NULL,
    author BLOB NOT NULL,
    bytes BLOB NOT NULL,
    checked INTEGER NOT NULL DEFAULT 0,
    UNIQUE(cluster, motion, kind, author, bytes)
) STRICT;
CREATE INDEX cluster_vote_step_author ON cluster_vote_step(cluster, author);

-- Shares of dealings that we were given, the first of each.
CREATE TABLE cluster_vote_share(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    author BLOB NOT NULL,
    dealing BLOB NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE(cluster, author, dealing)
) STRICT;

-- What we say, to all or to one member, and in which state we said it; if in none, it waits.
CREATE TABLE cluster_vote_said(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster INTEGER NOT NULL,
    motion BLOB NOT NULL,
    kind INTEGER NOT NULL,
    member BLOB,
    bytes BLOB NOT NULL,
    state BLOB
) STRICT;
CREATE INDEX cluster_vote_said_state ON cluster_vote_said(cluster, state);
";

/// When somebody who asked to be let back in was told why not, ms; 0: never.
pub(crate) const OUT: &str = "ALTER TABLE cluster_request ADD COLUMN told INTEGER NOT NULL DEFAULT 0;";

/// The step after it: trustees agree in rounds, and a trustee may say again what somebody else dealt or cast.
pub(crate) const AGREED: &str = "
-- Since when everybody has voted who may, ms.
ALTER TABLE cluster_vote ADD COLUMN full INTEGER NOT NULL DEFAULT 0;
-- Whether we said things in it that we have forgotten: we say no more, or we would say two things.
ALTER TABLE cluster_vote ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;
-- What is opened is enough.
ALTER TABLE cluster_vote DROP COLUMN answered;
-- Of which round and stage a word is; who said again what its author had said, if not they; when it came, ms.
ALTER TABLE cluster_vote_step ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cluster_vote_step ADD COLUMN teller BLOB;
ALTER TABLE cluster_vote_step ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
-- Of what waits for keys, the first set that has not come.
ALTER TABLE cluster_unheard ADD COLUMN lacking BLOB NOT NULL DEFAULT x'';
UPDATE cluster_unheard SET due = 1;
-- Acceptances, which nobody reads any more.
DELETE FROM cluster_vote_step WHERE kind = 14;
DELETE FROM cluster_vote_said WHERE kind = 14;
";

/// Who says that we are no member where they stand, and to which of our statements of coming back.
pub(crate) const UNLISTED: &str = "
CREATE TABLE cluster_unlisted(
    cluster INTEGER NOT NULL,
    author BLOB NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY(cluster, author)
) STRICT, WITHOUT ROWID;
";

/// What has not come although something that builds on it has, and what members say they lack of what we said.
pub(crate) const LACKING: &str = "
-- In any conversation. Told: somebody was told that we lack it.
CREATE TABLE missing(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL,
    child BLOB NOT NULL,
    parent BLOB NOT NULL,
    arrived INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    UNIQUE(conversation, child, parent)
) STRICT;
CREATE INDEX missing_parent ON missing(conversation, parent);
-- Due, ms: then it is said again.
CREATE TABLE cluster_missed(
    cluster INTEGER NOT NULL,
    message INTEGER NOT NULL,
    member BLOB NOT NULL,
    due INTEGER NOT NULL,
    PRIMARY KEY(cluster, message, member)
) STRICT, WITHOUT ROWID;
-- How often it was said again since somebody lacked it.
ALTER TABLE message ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;
-- What a member said that it lacks, when it named what has not come to us.
ALTER TABLE cluster_ahead ADD COLUMN missing BLOB NOT NULL DEFAULT x'';
-- What is waited for now. What was given up before nobody remembers.
INSERT INTO missing(conversation, child, parent, arrived)
    SELECT c.conversation, c.id, p.parent, c.arrived FROM message c JOIN parent p ON p.child = c.id WHERE c.position IS NULL AND c.mine = 0;
";
