//! Every bound of this crate.

/// Longest name of a cluster, bytes of UTF-8.
pub const NAME_MAX: usize = 64;
/// Longest nickname, bytes of UTF-8.
pub const NICK_MAX: usize = 64;
/// Members that a charter allows at least: with one nobody would ever be admitted.
pub const CAP_MIN: u16 = 2;
/// Members that a charter allows at most: a rollout of all keys then takes 600 KB.
pub const CAP_MAX: u16 = 500;
/// Longest rollout period, hours: keys are fresh every month at the latest.
pub const ROLLOUT_MAX_HOURS: u16 = 720;
/// Longest life of a motion, epochs.
pub const MOTION_EPOCHS_MAX: u8 = 64;
/// Longest time of membership that a charter may ask of sponsors, epochs: past rosters must be known for so long.
pub const SPONSOR_EPOCHS_MAX: u16 = 64;
/// Changes of roster and charter that one [`crate::Past`] holds: one for each epoch that a motion can depend on.
pub const PAST_STEPS_MAX: usize = MOTION_EPOCHS_MAX as usize + SPONSOR_EPOCHS_MAX as usize + 2;

/// Longest text of a question, bytes of UTF-8.
pub const QUESTION_MAX: usize = 2000;
/// Longest option of a question, bytes of UTF-8.
pub const OPTION_MAX: usize = 200;
/// Options of a question at least.
pub const OPTIONS_MIN: usize = 2;
/// Options of a question at most.
pub const OPTIONS_MAX: usize = 16;
/// Members of a cluster that goes into another: their keys and ballots must fit into one motion there.
pub const MERGING_MAX: usize = 200;
/// Members of another cluster whom one motion takes in; the others follow by another.
pub const GUESTS_MAX: usize = 64;
/// Largest encoded consent to go into another cluster, bytes: of [`MERGING_MAX`] members who all said yes it has 27,500.
pub const CONSENT_MAX: usize = 28 * 1024;
/// Largest encoded statement who comes with a cluster, bytes.
pub const GUEST_MAX: usize = 256;
/// Largest encoded motion, bytes: a consent and [`GUESTS_MAX`] guests.
pub const MOTION_MAX: usize = CONSENT_MAX + GUESTS_MAX * GUEST_MAX + 512;
/// Largest encoded ballot, bytes.
pub const BALLOT_MAX: usize = 256;
/// Largest encoded certificate, bytes: the ballots of [`CAP_MAX`] members have 50,000.
pub const CERTIFICATE_MAX: usize = 100 * 1024;
/// Largest encoded statement that somebody leaves, bytes.
pub const LEAVE_MAX: usize = 256;
/// Largest encoded statement that somebody comes back, bytes.
pub const COMEBACK_MAX: usize = 256;
/// Largest encoded statement that somebody is no member, bytes.
pub const UNLISTED_MAX: usize = 256;
/// Motions that one Commit carries out.
pub const CERTIFICATES_MAX: usize = 16;
/// Members whose leaving one Commit carries out.
pub const LEAVES_MAX: usize = 64;
/// Members who come back by one Commit.
pub const COMEBACKS_MAX: usize = 64;

/// States that are kept at once, unless more are in use.
pub const STATES_MAX: usize = 64;
/// Children of one state by one committer that are kept: an honest one makes one.
pub const CHILDREN_MAX: usize = 2;
/// Members whose standing is remembered: those of two branches that have no member in common.
pub const STANDINGS_MAX: usize = 2 * CAP_MAX as usize;

/// Between the moments at which two members next to each other in rank commit: twice what a message takes to reach everybody.
pub const SLOT_MS: u64 = 10_000;
/// How long before a rollout is due fresh keys are proposed for it.
pub const UPDATE_LEAD_MS: u64 = 10 * 60_000;
/// Members that have not spoken in a state say that they are there within this time, at a moment that they draw.
pub const HERE_SPREAD_MS: u64 = 60_000;

/// Largest encoded part, bytes: with the encryption around it, one envelope of the largest size.
pub const PART_MAX: usize = 64_000;
/// What surrounds the bytes of a part in its encoding, at most.
pub const PART_OVERHEAD: usize = 40;
/// Largest payload that travels in parts, bytes: what admits somebody to [`CAP_MAX`] members has 1.4 million, and past rosters.
pub const PAYLOAD_MAX: usize = 4 * 1024 * 1024;
/// Unfinished payloads of one sender; the oldest goes.
pub const PAYLOADS_PER_SENDER: usize = 4;
/// Bytes of all unfinished payloads; the oldest goes.
pub const PARTS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Parts of all unfinished payloads, since small ones cost memory as well; the oldest payload goes.
pub const PARTS_COUNT_MAX: usize = 4096;

/// Parents that a message names.
pub const PARENTS_MAX: usize = 8;
/// What somebody says that it lacks of what these build on. So many say that there may be more.
pub const MISSING_MAX: usize = 8;
/// Marks in an acknowledgement, always as many: how many came to its author alone nobody sees.
pub const MARKS: usize = 4;
/// Members that a message mentions.
pub const MENTIONS_MAX: usize = 16;
/// Largest message inside the encryption, bytes.
pub const MESSAGE_MAX: usize = 48 * 1024;
/// What one member says to another, before it is encrypted: the longest text and what goes with it, bytes.
pub const ASIDE_MAX: usize = 33 * 1024;
/// The same encrypted, bytes: twice a key encapsulation of 1120 bytes, a signature, tags.
pub const SEALED_ASIDE_MAX: usize = 36 * 1024;
/// Texts of the past in one message to newcomers.
pub const MEMORIES_MAX: usize = 512;
/// Longest label of an invitation, bytes of UTF-8.
pub const LABEL_MAX: usize = 64;
/// Longest words to a cluster in a request, bytes of UTF-8.
pub const WORDS_MAX: usize = 500;
/// Largest request, bytes.
pub const REQUEST_MAX: usize = samizdat_core::limits::KEY_PACKAGE_MAX + CONSENT_MAX + 1024;
/// Motions that were carried out and could be again: no branch has more, since none lives longer than [`MOTION_EPOCHS_MAX`].
pub const DONE_MAX: usize = (MOTION_EPOCHS_MAX as usize + 1) * CERTIFICATES_MAX;
/// Largest encoding of what a branch has carried out, bytes.
pub const DONE_BYTES_MAX: usize = 48 * (DONE_MAX + CAP_MAX as usize);
/// Largest encoding of what a group agreed on beyond MLS, bytes.
pub const CONTEXT_MAX: usize = 1024;
/// Minutes that whoever is let in is handed, bytes: of a cluster of fifty some 170 decisions. The older ones stay behind.
pub const MINUTES_MAX: usize = 512 * 1024;
/// Decisions that an audit replays.
pub const DECISIONS_MAX: usize = 100_000;

/// Words of a passphrase at least: 80 random bits.
pub const PHRASE_WORDS_MIN: usize = 8;
/// Words of a passphrase at most: 120 random bits.
pub const PHRASE_WORDS_MAX: usize = 12;
/// Memory of one guess at a passphrase, KiB. Part of the protocol, as are the passes.
pub const PHRASE_KIB: u32 = 64 * 1024;
/// Passes over it.
pub const PHRASE_PASSES: u32 = 3;

/// Doors of one cluster that are open at a time.
pub const DOORS_MAX: u32 = 16;
/// One-time tags of a door for each day: requests that find room there.
pub const DOOR_SLOTS: u8 = 8;

/// Anonymous messages of one member at one epoch.
pub const ANONYMOUS_SLOTS: usize = 4;
/// Members that an anonymous message hides among at least: of two each knows who the other is.
pub const RING_MIN: usize = 3;
/// Members that an anonymous message hides among at most: more the signature does not take.
pub const RING_MAX: usize = 255;
/// Sets of keys for anonymous messages of one member at one epoch that are kept: an honest one makes one.
pub const SETS_PER_MEMBER: usize = 2;
/// Largest encoded set of keys for anonymous messages, bytes.
pub const SLOTS_MAX: usize = 512;
/// Longest body of an anonymous message, bytes: the longest text, encrypted to one member.
pub const ANONYMOUS_BODY_MAX: usize = SEALED_ASIDE_MAX;
/// Largest encoded anonymous message, bytes: 40 for each of those that it hides among.
pub const ANONYMOUS_MAX: usize = ANONYMOUS_BODY_MAX + 40 * RING_MAX + 512;

/// Voters that a secret vote needs at least: of fewer, the result tells each how the other voted.
pub const SECRET_VOTERS_MIN: usize = 3;
/// Ballots that are opened together at least.
pub const SECRET_BALLOTS_MIN: usize = 3;
/// Trustees of a secret vote at most: the shares that they send each other grow with the square of their number.
pub const TRUSTEES_MAX: usize = 21;
/// Things of one kind that one member says in a secret vote and that are kept: an honest one says one.
pub const SAID_PER_MEMBER: usize = 2;
/// The same with those that trustees say again, one each, since somebody who heard two others may lack it.
pub const KEPT_PER_MEMBER: usize = SAID_PER_MEMBER + TRUSTEES_MAX;
/// Words of one trustee at one stage of a round that are kept: an honest one says one.
pub const WORDS_PER_STAGE: usize = SAID_PER_MEMBER;
/// Decisions about one subject that are kept: there is one, unless a third of the trustees lie.
pub const DECISIONS_PER_SUBJECT: usize = 2;
/// How long the first round lasts in which trustees agree, ms: three messages of theirs come within it.
pub const ROUND_MS: u64 = 120_000;
/// Each round lasts twice as long as the one before, so many times: four hours then.
pub const ROUND_DOUBLINGS: u8 = 7;
/// Rounds at most: 15 days.
pub const ROUNDS_MAX: u8 = 96;
/// Largest encoded dealing, bytes: 64 for each of [`TRUSTEES_MAX`].
pub const DEALING_MAX: usize = 64 * TRUSTEES_MAX + 256;
/// Largest encoded share of a dealing, bytes.
pub const SHARE_MAX: usize = 128;
/// Largest encoded complaint, bytes.
pub const COMPLAINT_MAX: usize = 32 * TRUSTEES_MAX + 256;
/// Largest list of dealings or ballots on which trustees agree, bytes: the beginnings of the ids of [`CAP_MAX`] ballots.
pub const NAMES_MAX: usize = 8 * CAP_MAX as usize;
/// Largest encoded word of a trustee, bytes.
pub const WORD_MAX: usize = NAMES_MAX + 256;
/// Largest encoded decision of trustees, bytes.
pub const DECISION_MAX: usize = NAMES_MAX + 72 * TRUSTEES_MAX + 256;
/// Largest encoded secret ballot, bytes: 128 for each of [`OPTIONS_MAX`].
pub const SECRET_BALLOT_MAX: usize = 128 * OPTIONS_MAX + 384;
/// Largest encoded opening, bytes.
pub const OPENING_MAX: usize = 8 * CAP_MAX as usize + 96 * OPTIONS_MAX + 256;
/// Largest encoded transcript of a secret vote, bytes.
pub const TRANSCRIPT_MAX: usize =
    MOTION_MAX + DECISION_MAX + TRUSTEES_MAX * (DEALING_MAX + OPENING_MAX) + CAP_MAX as usize * SECRET_BALLOT_MAX + 64;
