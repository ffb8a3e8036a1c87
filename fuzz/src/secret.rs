//! What is done with the messages of a secret vote, as in `targets.rs`. `true` means that it was taken by somebody who was told the rest.
//!
//! `cargo test` calls these for the files of `corpus/` by way of `crates/cluster/tests/fuzz_corpus.rs`, which includes this very file.

use std::sync::OnceLock;

use samizdat_cluster::{
    Charter, ClusterId, MemberSecret, Past, Roster,
    motion::{Kind, Method, MotionFields, MotionIn},
    secret::{
        ComplaintIn, DealingIn, DecisionIn, OpeningIn, Panel, Pick, SecretBallot, SecretBallotIn, Setup, Share, ShareIn, Subject,
        Talk, TranscriptIn, TrusteeSecret, Urn, WordIn,
    },
};

/// A target by its name, which is also the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("cluster_complaint", complaint),
    ("cluster_dealing", dealing),
    ("cluster_decision", decision),
    ("cluster_opening", opening),
    ("cluster_secret_ballot", ballot),
    ("cluster_share", share),
    ("cluster_transcript", transcript),
    ("cluster_word", word),
];

const CLUSTER: ClusterId = ClusterId([7; 32]);
const SALT: [u8; 32] = [2; 32];

/// The vote of the vectors: six members are asked something.
pub struct Vote {
    pub past: Past,
    pub setup: Setup,
    pub urn: Urn,
    pub trustees: Vec<(MemberSecret, TrusteeSecret, Vec<Share>)>,
}

/// With a key, and ballots of all, of whom the first four said the first.
pub fn vote() -> Option<&'static Vote> {
    static VOTE: OnceLock<Option<Vote>> = OnceLock::new();
    VOTE.get_or_init(held).as_ref()
}

fn held() -> Option<Vote> {
    let secret = |who: u8| MemberSecret::from_seed([who; 32]);
    let past = Past::founded(Roster::of((1..=6).map(|who| secret(who).member())), Charter::new("reading circle").ok()?);
    let options = ["tea", "coffee"].map(str::to_owned).into();
    let kind = Kind::Question { text: "What shall we drink?".into(), options, method: Method::Plurality };
    let (cluster, proposer, roster) = (CLUSTER, secret(1).member(), past.roster().hash());
    let fields = MotionFields { cluster, epoch: 0, roster, until: 8, proposer, nonce: [5; 16], secret: true, kind };
    let panel = Panel::of(MotionIn::new(fields).ok()?.verify(&CLUSTER, &past).ok()?, &SALT).ok()?;
    let mut setup = Setup::new(panel.clone());
    let seats = panel.trustees().iter().map(|id| (1..=6).find(|who| secret(*who).member() == *id));
    let mut trustees: Vec<(MemberSecret, TrusteeSecret, Vec<Share>)> =
        seats.map(|who| who.map(|who| (secret(who), TrusteeSecret::new([who; 32]), Vec::new()))).collect::<Option<_>>()?;
    for (member, ours, _) in trustees.clone() {
        let (dealing, shares) = ours.deal(&panel, &member).ok()?;
        setup.deal(dealing.unverified()).ok()?;
        for ((to, share), (_, _, held)) in shares.into_iter().zip(&mut trustees) {
            held.push(share.verify(&dealing, &panel, &to).ok()?);
        }
    }
    let pick = trustees.first().and_then(|(_, _, shares)| setup.proposal(shares))?;
    setup.agree(agreed(&panel, &trustees, Subject::Key, &pick)?.1).ok()?;
    let mut urn = Urn::new(setup.key()?);
    for who in 1..=6u8 {
        let ballot = SecretBallot::cast(urn.key(), &secret(who), usize::from(who > 4), &[who; 32]).ok()?;
        urn.add(ballot.unverified()).ok()?;
    }
    urn.agree(agreed(&panel, &trustees, Subject::Count, &urn.proposal(|_| true)?)?.1).ok()?;
    Some(Vote { past, setup, urn, trustees })
}

/// What trustees say, of whom all can take what the first one proposes, and what is decided by that.
pub fn agreed(
    panel: &Panel,
    trustees: &[(MemberSecret, TrusteeSecret, Vec<Share>)],
    subject: Subject,
    pick: &Pick,
) -> Option<(Vec<WordIn>, DecisionIn)> {
    let (mut talk, mut words) = (Talk::new(panel.clone(), subject), Vec::new());
    for (us, _, _) in trustees.iter().chain(trustees) {
        while let Some(word) = talk.next(us, 0, || Some(pick.clone()), |_| true) {
            words.push(word.unverified());
            talk.hear(word.unverified()).ok()?;
        }
    }
    let (us, _, _) = trustees.first()?;
    Some((words, talk.decision(&us.member(), |_| true)?))
}

/// What trustees agreed on for the key.
pub fn decision(bytes: &[u8]) -> bool {
    let Ok(decision) = DecisionIn::decode(bytes) else { return false };
    assert_eq!(decision.encode(), bytes);
    vote().is_some_and(|vote| vote.setup.clone().agree(decision).is_ok())
}

/// What a trustee says so that they agree.
pub fn word(bytes: &[u8]) -> bool {
    let Ok(word) = WordIn::decode(bytes) else { return false };
    assert_eq!(word.encode(), bytes);
    vote().is_some_and(|vote| Talk::new(vote.setup.panel().clone(), Subject::Key).hear(word).is_ok())
}

/// What a trustee complains of.
pub fn complaint(bytes: &[u8]) -> bool {
    let Ok(complaint) = ComplaintIn::decode(bytes) else { return false };
    assert_eq!(complaint.encode(), bytes);
    vote().is_some_and(|vote| vote.setup.clone().complain(complaint).is_ok())
}

/// A part of the key.
pub fn dealing(bytes: &[u8]) -> bool {
    let Ok(dealing) = DealingIn::decode(bytes) else { return false };
    assert_eq!(dealing.encode(), bytes);
    vote().is_some_and(|vote| vote.setup.clone().deal(dealing).is_ok())
}

/// What a trustee took off the sum.
pub fn opening(bytes: &[u8]) -> bool {
    let Ok(opening) = OpeningIn::decode(bytes) else { return false };
    assert_eq!(opening.encode(), bytes);
    vote().is_some_and(|vote| vote.urn.clone().opened(opening).is_ok())
}

/// A ballot that nobody can read.
pub fn ballot(bytes: &[u8]) -> bool {
    let Ok(ballot) = SecretBallotIn::decode(bytes) else { return false };
    assert_eq!(ballot.encode(), bytes);
    vote().is_some_and(|vote| vote.urn.clone().add(ballot).is_ok())
}

/// A share of the first trustee's dealing, to that trustee.
pub fn share(bytes: &[u8]) -> bool {
    let Ok(share) = ShareIn::decode(bytes) else { return false };
    assert_eq!(share.encode(), bytes);
    let Some(vote) = vote() else { return false };
    let Some(dealing) = vote.setup.dealing(&share.claimed_dealing()) else { return false };
    vote.trustees.first().is_some_and(|(us, _, _)| share.verify(dealing, vote.setup.panel(), &us.member()).is_ok())
}

/// All of a vote.
pub fn transcript(bytes: &[u8]) -> bool {
    let Ok(transcript) = TranscriptIn::decode(bytes) else { return false };
    assert_eq!(transcript.encode(), bytes);
    vote().is_some_and(|vote| transcript.verify(&CLUSTER, &vote.past, &SALT).is_ok())
}
