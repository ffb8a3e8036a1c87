//! Every bound of this crate.

use samizdat_core::limits::LIFETIMES;

/// States of clusters in memory, a few dozen kilobytes each where there are 200 members.
pub(crate) const STATES_HELD: usize = 128;
/// Motions that are voted on in secret and kept in memory, verified: one to take in others has 50 KB.
pub(crate) const PANELS_HELD: usize = 32;
/// One-time tags expected ahead of the newest message of a sender, per epoch. Messages further ahead wait in the log.
pub const TAG_WINDOW: u64 = 64;
/// Tags beyond the expected ones that the log is searched for from time to time, per epoch: as far as the library decrypts.
pub const LOOK_AHEAD: u64 = crate::mls::limits::MAX_FORWARD as u64 - TAG_WINDOW;
/// So many times [`TAG_WINDOW`] of them are searched for at once, over all epochs, so that it takes milliseconds.
pub const LOOK_AHEAD_WINDOWS: usize = 64;
/// Tags still expected behind the newest message of a sender, where more was skipped: the library keeps no more keys.
pub const LOOK_BEHIND: u64 = crate::mls::limits::OUT_OF_ORDER as u64;
/// Epochs of a conversation whose tags are still expected.
pub const EPOCHS_KEPT: u64 = crate::mls::limits::PAST_EPOCHS as u64;
/// Parents that a message names.
pub const PARENTS_MAX: usize = 8;
/// What we tell that we lack of what these build on: so many say that there may be more.
pub const MISSING_MAX: usize = samizdat_cluster::limits::MISSING_MAX;
/// What has not come that is kept in mind, in one conversation.
pub const MISSING_KEPT: u32 = 256;
/// For how long it is told that something has not come, since something came that builds on it, ms.
pub const MISSING_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Newest messages among which a new one looks for those that nothing builds on yet.
pub const HEADS_AMONG: usize = 256;
/// How far back an acknowledgement is followed, messages.
pub const ANCESTORS_MAX: usize = 10_000;
/// How long a message waits for a parent that has not come, milliseconds. Then it is shown without.
pub const PARENT_PATIENCE_MS: u64 = 10 * 60 * 1000;
/// Open contact requests of those with an invite link, and as many of those without; beyond that the oldest go.
pub const REQUESTS_MAX: u32 = 256;
/// Pairs with one contact. Two when both wrote first, one more when somebody lost their vault; beyond that the oldest go.
pub const PAIRS_MAX: u32 = 4;
/// Invite secrets that are remembered per identity; the oldest go.
pub const INVITES_MAX: u32 = 64;
/// Messages that wait to be sent; a person who is offline for weeks writes less.
pub const OUTBOX_MAX: u32 = 10_000;
/// Messages in one answer unless asked otherwise.
pub const QUERY_DEFAULT: u32 = 200;
/// Messages in one answer.
pub const QUERY_MAX: u32 = 1000;
/// How long a message may have waited for the keys of its reader before it was put into an envelope, hours. What claims to
/// be older than that is shown as so old.
pub const WAITING_HOURS: u32 = 8 * 7 * 24;
/// Longest statement of where we are that is taken from a contact, bytes.
pub const PLACE_MAX: usize = 768;
/// Lifetime of such a statement: 6 hours. Who comes later than that tells where it is itself.
pub const PRESENCE_LIFETIME: u8 = 0;
/// Contacts with whom sessions are held.
pub const SESSIONS_MAX: u32 = 256;
/// Clusters of one profile.
pub const CLUSTERS_MAX: u32 = 32;
/// One-time tags expected ahead of the newest message of each member, per state.
pub const CLUSTER_TAG_WINDOW: u64 = 16;
/// Tags of a state under which anonymous messages lie, drawn by chance: two are seldom under the same, which strangers could see.
pub const ANONYMOUS_TAGS: u64 = 128;
/// Anonymous messages of one cluster that wait for the keys of those among whom they hide; the oldest go.
pub const UNHEARD_MAX: u32 = 64;
/// Of these, so many are tried again at once when the keys have come: at 200 members each takes a fifth of a second.
pub const HEARD_AT_ONCE: usize = 4;
/// One-time tags expected for the answer to a request: as many envelopes as the largest answer takes.
pub const REPLY_TAGS: u64 = 80;
/// Envelopes of clusters that are read in one transaction: two MB at most, and not for long enough that anybody notices.
pub const LETTERS_TOGETHER: usize = 32;
/// Parts that one sender may have under way.
pub const CLUSTER_PARTS_MAX: u32 = 160;
/// Changes and proposals of one member for one state that wait.
pub const PENDING_MAX: u32 = 4;
/// Requests to one cluster that are kept; of those that nobody took up the oldest go.
pub const CLUSTER_REQUESTS_MAX: u32 = samizdat_cluster::limits::DOORS_MAX * DOOR_REQUESTS_MAX;
/// Motions of one cluster that are kept open by one member: some are left to the person when guests take all of theirs.
pub const MOTIONS_MAX: usize = GUEST_MOTIONS_MAX as usize + 16;
/// Of these, to take in those who come with another cluster.
pub const TAKE_INS_MAX: usize = 2;
/// Motions to let somebody in that our node opens by itself, for those who came by doors of ours.
pub const GUEST_MOTIONS_MAX: u32 = DOOR_REQUESTS_MAX;
/// Of these, secret votes that have not ended: each makes work for many.
pub const SECRET_MOTIONS_MAX: usize = 4;
/// The same of another, of whose votes we may not know yet that they have ended.
pub const SECRET_MOTIONS_HEARD_MAX: usize = 2 * SECRET_MOTIONS_MAX;
/// How long the second half of the epochs of a secret decision must last at least, hours: for an hour ballots are waited for.
pub const SECRET_CONFIRM_HOURS: u64 = 3;
/// What one member says in secret votes that we do not know, steps; the oldest go.
pub const STEPS_UNKNOWN_MAX: u32 = 16;
/// Shares that one member gave us as a trustee, of all secret votes; the oldest go.
pub const SHARES_OF_MEMBER_MAX: u32 = 128;
/// How long trustees wait for others to deal, where some can be done without, ms.
pub const SECRET_DEALING_MS: u64 = 24 * 60 * 60 * 1000;
/// How long they wait for complaints then, ms.
pub const SECRET_COMPLAINTS_MS: u64 = 60 * 1000;
/// How long they wait for ballots that are under way once nobody can vote any more, ms: three times what a message takes at most.
pub const SECRET_SETTLE_MS: u64 = 60 * 60 * 1000;
/// How long everybody waits for them to open the sum then, ms: what is said lives no longer.
pub const SECRET_OPENING_MS: u64 = 14 * 24 * 60 * 60 * 1000;
/// Letters of an id that are enough to name somebody by its beginning.
pub const ID_LETTERS_MIN: usize = 4;
/// Doors of one cluster that one member opened: others can invite, too.
pub const DOORS_OF_MEMBER_MAX: u32 = 4;
/// A door closes after so many days at most: whatever is put under it may live as long.
pub const DOOR_DAYS_MAX: u32 = 56;
/// Requests by one door that wait; more are not taken. A cluster of the usual size can gather by one link.
pub const DOOR_REQUESTS_MAX: u32 = 64;
/// Epochs behind the tip whose states are kept: a stolen device shows what was said in them.
pub const WINDOW_EPOCHS: u64 = 8;
/// States younger than this are kept whatever their epoch, ms.
pub const WINDOW_MS: u64 = 3 * 24 * 60 * 60 * 1000;
/// Lifetimes of what decides: the first copy is for those who are there, the second for those who come later.
pub const DECIDING_LIFETIMES: [u8; 2] = [0, MESSAGE_LIFETIME];
/// Texts of the past that newcomers are told in one message, bytes.
pub const HISTORY_PIECE: usize = 40_000;
/// Messages in which newcomers are told the past: the newest of it.
pub const HISTORY_PIECES: usize = 6;
/// For how long after we came we believe what others tell of the time before, ms.
pub const HISTORY_PATIENCE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Lifetimes of what says no more than that we are there.
pub const HERE_LIFETIMES: [u8; 2] = [0, ACK_LIFETIME];
/// Within so much for each member of a cluster it is said what has come, drawn by chance so that not all speak at once, ms.
pub const ACK_SPREAD_MS: u64 = 2_000;
/// For so much for each member nothing more is said about it then: all members together say it four times a minute, at most, ms.
pub const ACK_PAUSE_MS: u64 = 15_000;
/// The same where members are few, ms.
pub const ACK_PAUSE_MIN_MS: u64 = 3 * 60 * 1000;
/// Texts of ours of which it is known who has them: the newest of all clusters.
pub const DELIVERIES_KEPT: u32 = 512;
/// How far back it is followed what a member has, messages.
pub const CLUSTER_ANCESTORS_MAX: usize = 2_000;
/// In so many acknowledgements it is marked that something came for us alone: one of them may be lost.
pub const MARK_TIMES: u8 = 2;
/// What we said to one member, and it has not marked, that is looked for among the marks of an acknowledgement: the newest.
pub const UNMARKED_MAX: u32 = 256;
/// Texts of one member's acknowledgements that have not come, for which we wait.
pub const AHEAD_MAX: u32 = 8;
/// Who goes away with others gives them so many days to come along.
pub const COME_ALONG_DAYS: u32 = 28;
/// Time before somebody who asks to be let back in, and is out, is told so again: less than from one question to the next, ms.
pub const TELL_AGAIN_MS: u64 = 3 * 24 * 60 * 60 * 1000;
/// After so long we ask again, ms.
pub const ASK_AGAIN_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// A cluster is looked after at least so often, ms.
pub const LOOK_AGAIN_MS: u64 = 10 * 60 * 1000;
/// Rollouts of which we heard nothing, after which the others must have gone on without us.
pub const ROLLOUTS_MISSED: u64 = 4;
/// The same in time, where rollouts are frequent, ms.
pub const MISSED_MS: u64 = 2 * 24 * 60 * 60 * 1000;
/// States besides the one that is followed in which whoever leaves says so.
pub const LEAVING_MAX: u32 = 4;
/// In a branch that was left for so long is said again what somebody is not known to have, ms.
pub const LEFT_MS: u64 = 30 * 60 * 1000;
/// How long we wait for the log to fill before we ask to be let back in, ms.
pub const RETURN_GRACE_MS: u64 = 15 * 60 * 1000;
/// What nobody has acknowledged is said again by whoever was away, if it is younger than this, ms.
pub const SAY_AGAIN_MS: u64 = 28 * 24 * 60 * 60 * 1000;
/// Who says that it lacks a text of ours has so long to say that it has come, ms. Then it is said again.
pub const MISSED_PATIENCE_MS: u64 = 10 * 60 * 1000;
/// How often a text is said again because somebody says that it lacks it.
pub const MISSED_TIMES: u32 = 3;
/// What was said so long before parts of a cluster lost each other may not have reached the other any more, ms.
pub const APART_MARGIN_MS: u64 = 24 * 60 * 60 * 1000;
/// A member that was heard within this time counts when it is drawn who commits first, ms.
pub const HEARD_LATELY_MS: u64 = 3 * 24 * 60 * 60 * 1000;

/// Petname and label, bytes.
pub const LABEL_MAX: usize = 64;
/// Identities of one profile: each costs a trial decryption per bell.
pub const IDENTITIES_MAX: u32 = 16;

/// Lifetime that a bell without the secret of an invite link must declare, or a closed inbox ignores it: the longest, so that
/// every node demands the dearest stamp for it. Four times the price of a bell with the usual lifetime.
pub const UNINVITED_LIFETIME: u8 = 6;

/// Lifetime of messages unless asked otherwise, index into [`LIFETIMES`]: 14 days.
pub const MESSAGE_LIFETIME: u8 = 4;
/// Lifetime of acknowledgements: 3 days. Every later message acknowledges too.
pub const ACK_LIFETIME: u8 = 2;
/// Lifetime of the first announcement of an identity, cheap so that one can be reached within a second: 3 days.
pub const FIRST_ANNOUNCEMENT_LIFETIME: u8 = 2;
/// Lifetime of later announcements: 28 days.
pub const ANNOUNCEMENT_LIFETIME: u8 = 5;
/// Age at which the first announcement is replaced, hours.
pub const FIRST_ANNOUNCEMENT_AGE: u32 = 1;
/// Age at which announced keys are replaced, hours.
pub const ANNOUNCEMENT_AGE: u32 = 7 * 24;
/// Age at which replaced keys are forgotten, hours: whoever used them must have been heard by then. Counted by announcements
/// that other nodes hold, since our own clock may be wrong.
pub const KEYS_KEPT: u32 = 12 * 7 * 24;
/// Own messages after which an epoch is old enough to rotate.
pub const ROTATE_MESSAGES: u64 = 20;
/// Hours after which an epoch is old enough to rotate.
pub const ROTATE_HOURS: u32 = 24;

/// The lifetime class of so many days.
pub fn lifetime_of_days(days: u32) -> Option<u8> {
    let hours = days.checked_mul(24)?;
    LIFETIMES.iter().position(|h| *h == hours).and_then(|i| u8::try_from(i).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_what_their_names_say() {
        let hours = |class: u8| LIFETIMES[usize::from(class)];
        assert_eq!((hours(MESSAGE_LIFETIME), hours(ACK_LIFETIME), hours(ANNOUNCEMENT_LIFETIME)), (336, 72, 672));
        assert_eq!(hours(UNINVITED_LIFETIME), *LIFETIMES.iter().max().unwrap());
        assert_eq!(hours(UNINVITED_LIFETIME), 4 * hours(MESSAGE_LIFETIME));
        assert_eq!(lifetime_of_days(14), Some(MESSAGE_LIFETIME));
        assert_eq!(lifetime_of_days(2), None);
    }
}
