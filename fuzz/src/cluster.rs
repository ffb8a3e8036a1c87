//! What is done with what members of clusters, and strangers at their doors, send, as in `targets.rs`. `true` means that it was taken.
//!
//! `cargo test` calls these for the files of `corpus/` by way of `crates/cluster/tests/fuzz_corpus.rs`, which includes this very file.

use samizdat_cluster::{
    Charter, ClusterId, Context, MemberId, MemberSecret, Past, Roster, StateId,
    anonymous::{AnonymousIn, Pool, SlotSecrets, SlotsIn},
    aside::Aside,
    ballot::Equivocation,
    branch::{Branches, Node},
    bundle::Bundle,
    certificate::CertificateIn,
    content::{Body, Message},
    lawful::{Change, Parent, judge},
    leave::LeaveIn,
    link::{ClusterLink, MergeLink, OpenDoor},
    minutes::{End, MinutesHash, MinutesIn},
    parts::{Part, Parts},
    request::{Answer, Request},
    unlisted::UnlistedIn,
};
use samizdat_core::seal::door::DoorKey;

/// A target by its name, which is also the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 17] = [
    ("cluster_anonymous", anonymous),
    ("cluster_answer", answer),
    ("cluster_aside", aside),
    ("cluster_branches", branches),
    ("cluster_bundle", bundle),
    ("cluster_charter", charter),
    ("cluster_context", context),
    ("cluster_link", link),
    ("cluster_merge_link", merge_link),
    ("cluster_message", message),
    ("cluster_minutes", minutes),
    ("cluster_out", out),
    ("cluster_part", part),
    ("cluster_proof", proof),
    ("cluster_request", request),
    ("cluster_sealed", sealed),
    ("cluster_slots", slots),
];

const CLUSTER: ClusterId = ClusterId([7; 32]);

fn past() -> Option<Past> {
    Some(Past::founded(Roster::of((0..3).map(|n| MemberId([n; 32]))), Charter::new("circle").ok()?))
}

/// The epoch of the vectors, at which three members published keys for anonymous messages.
fn pool() -> Option<Pool> {
    let secret = |who: u8| MemberSecret::from_seed([who; 32]);
    let mut pool = Pool::new(CLUSTER, 258, Roster::of((1..=3).map(|who| secret(who).member())));
    for who in 1..=3u8 {
        pool.add(SlotSecrets::new([who + 100; 32], CLUSTER, 258).publish(&secret(who)).unverified()).ok()?;
    }
    Some(pool)
}

/// A message of some member.
pub fn anonymous(bytes: &[u8]) -> bool {
    let Ok(message) = AnonymousIn::decode(bytes) else { return false };
    assert_eq!(message.encode(), bytes);
    pool().is_some_and(|pool| message.verify(&pool).is_ok())
}

/// Keys for anonymous messages.
pub fn slots(bytes: &[u8]) -> bool {
    let Ok(slots) = SlotsIn::decode(bytes) else { return false };
    assert_eq!(slots.encode(), bytes);
    pool().is_some_and(|mut pool| pool.add(slots).is_ok())
}

/// What one member says to another.
pub fn aside(bytes: &[u8]) -> bool {
    let Ok(aside) = Aside::decode(bytes) else { return false };
    assert_eq!(aside.encode(), bytes);
    true
}

/// What lets somebody in.
pub fn answer(bytes: &[u8]) -> bool {
    let Ok(answer) = Answer::decode(bytes) else { return false };
    assert_eq!(answer.encode(), bytes);
    true
}

/// What was decided, for whoever is let in.
pub fn minutes(bytes: &[u8]) -> bool {
    let Ok(minutes) = MinutesIn::decode(bytes) else { return false };
    let whole = minutes.clone().kept();
    assert_eq!(whole.encode(), bytes);
    assert!(whole.clone().fitting(CLUSTER, 0).is_ok_and(|rest| rest.decisions().is_empty()) || !whole.decisions().is_empty());
    let Some(past) = past() else { return false };
    let context = Context { salt: *whole.salt(), charter: past.charter().clone(), minutes: MinutesHash([0; 32]) };
    minutes.verify(&End { cluster: CLUSTER, epoch: past.epoch(), roster: past.roster(), context: &context }).is_err()
}

/// What a group agreed on beyond MLS.
pub fn context(bytes: &[u8]) -> bool {
    let Ok(context) = Context::decode(bytes) else { return false };
    assert_eq!(context.encode(), bytes);
    true
}

/// What shows somebody that it is no member.
pub fn out(bytes: &[u8]) -> bool {
    if let Ok(leave) = LeaveIn::decode(bytes) {
        assert_eq!(leave.encode(), bytes);
        return leave.verify(&CLUSTER).is_ok();
    }
    if let Ok(said) = UnlistedIn::decode(bytes) {
        assert_eq!(said.encode(), bytes);
        return said.verify(&CLUSTER).is_ok();
    }
    let Ok(certificate) = CertificateIn::decode(bytes) else { return false };
    assert_eq!(certificate.encode(), bytes);
    past().is_some_and(|past| !certificate.shows_out(&CLUSTER, &MemberId([0; 32]), past.roster()))
}

/// A Commit with what makes it lawful.
pub fn bundle(bytes: &[u8]) -> bool {
    let Ok(bundle) = Bundle::decode(bytes) else { return false };
    assert_eq!(bundle.encode(), bytes);
    if let Some(past) = past() {
        let change = Change { committer: MemberId([0; 32]), added: Vec::new(), removed: Vec::new(), charter: None };
        let parent = Parent { cluster: CLUSTER, past: &past, done: &Default::default() };
        let judged = judge(&parent, &change, &bundle.grounds);
        assert!(judged.is_ok() == bundle.grounds.is_empty(), "nobody here has a key");
    }
    true
}

/// A charter as it stands in a group.
pub fn charter(bytes: &[u8]) -> bool {
    let Ok(charter) = Charter::decode(bytes) else { return false };
    assert_eq!(charter.encode(), bytes);
    assert_eq!(charter.check(), Ok(()));
    true
}

/// A link to a cluster as somebody pasted it.
pub fn link(bytes: &[u8]) -> bool {
    let Some(link) = core::str::from_utf8(bytes).ok().and_then(|text| text.parse::<ClusterLink>().ok()) else { return false };
    assert_eq!(link.to_string().parse(), Ok(link));
    true
}

/// A link for a whole cluster as somebody pasted it.
pub fn merge_link(bytes: &[u8]) -> bool {
    let Some(link) = core::str::from_utf8(bytes).ok().and_then(|text| text.parse::<MergeLink>().ok()) else { return false };
    assert_eq!(link.to_string().parse(), Ok(link));
    true
}

/// What decrypting a message yields, and what is in it.
pub fn message(bytes: &[u8]) -> bool {
    let Ok(message) = Message::decode(bytes) else { return false };
    assert!(message.body == Body::Unknown || message.encode() == bytes);
    let Some(past) = past() else { return false };
    match message.body {
        Body::Motion(motion) => drop(motion.verify(&CLUSTER, &past)),
        Body::Leave(leave) => drop(leave.verify(&CLUSTER)),
        Body::Slots(slots) => drop(slots.verify(&CLUSTER, 258, past.roster())),
        Body::Claim(claim) => drop(claim.verify(&CLUSTER, &MemberId([0; 32]), None)),
        _ => {}
    }
    true
}

/// A part of something larger.
pub fn part(bytes: &[u8]) -> bool {
    let Ok(part) = Part::decode(bytes) else { return false };
    assert_eq!(part.encode(), bytes);
    let (index, count) = part.place();
    assert!(index < count);
    let whole = Parts::default().add((), part);
    assert!(count == 1 || whole == Ok(None));
    true
}

/// Two ballots that shall prove a fraud.
pub fn proof(bytes: &[u8]) -> bool {
    let Ok(proof) = Equivocation::decode(bytes) else { return false };
    assert_eq!(proof.encode(), bytes);
    proof.culprit().is_some()
}

/// What somebody outside puts under a door.
pub fn request(bytes: &[u8]) -> bool {
    let Ok(request) = Request::decode(bytes) else { return false };
    assert_eq!(request.encode(), bytes);
    true
}

/// The same as it lies there, to the door of the vectors.
pub fn sealed(bytes: &[u8]) -> bool {
    let door = OpenDoor::new(&[9; 20], DoorKey([8; 32]));
    door.key.open(&door.link.door().0, bytes).is_ok()
}

/// States and standings, four bytes each: what; which state; below which, or whose turn; who. `false` if there was no state.
pub fn branches(bytes: &[u8]) -> bool {
    let (mut forwards, mut backwards) = (Branches::new(), Branches::new());
    let id = |n: u8| StateId([n; 16]);
    let steps: Vec<[u8; 4]> = bytes.chunks_exact(4).filter_map(|step| step.try_into().ok()).collect();
    let node = |[what, state, parent, who]: [u8; 4]| Node {
        id: id(state),
        parent: (what & 2 == 0).then(|| id(parent)),
        epoch: u64::from(state >> 3),
        committer: Some(MemberId([who; 32])),
        certified: what & 4 != 0,
        roster: Roster::of((0..=who & 7).map(|n| MemberId([n; 32]))),
        rank: [who; 32],
    };
    // One state is always the same.
    let mut nodes: Vec<Node> = steps.iter().filter(|step| step[0] & 1 == 0).map(|step| node(*step)).collect();
    nodes.sort_by_key(|node| node.id);
    nodes.dedup_by_key(|node| node.id);
    let stands: Vec<(MemberId, u64, StateId)> =
        steps.iter().filter(|step| step[0] & 1 == 1).map(|step| (MemberId([step[3]; 32]), step[2].into(), id(step[1]))).collect();
    nodes.iter().for_each(|node| assert!(forwards.insert(node.clone())));
    for (who, turn, state) in &stands {
        forwards.stand(*who, *turn, *state);
    }
    for (who, turn, state) in stands.iter().rev() {
        backwards.stand(*who, *turn, *state);
    }
    nodes.iter().rev().for_each(|node| assert!(backwards.insert(node.clone())));
    assert_eq!(forwards.tip(), backwards.tip(), "the order means nothing");
    let Some(tip) = forwards.tip() else { return false };
    for node in &nodes {
        let path = forwards.path_from(&node.id, &tip);
        assert!(path.entered.last().is_none_or(|last| *last == tip));
    }
    let gone = forwards.prune(8, |_| false);
    assert!(!gone.contains(&tip) && forwards.get(&tip).is_some());
    true
}
