//! A secret vote, as a member sees it who is no trustee: what the trustees say until there is a key, and the ballots, each looked after
//! when it comes.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use samizdat_cluster::{
    MemberId,
    content::{Body, Message},
    motion::{Kind, Method, MotionFields, MotionIn},
    secret::{Panel, SecretBallot, Setup, Share, StepIn, Subject, Talk, TrusteeSecret},
};
use samizdat_core::Envelope;

use crate::{
    NOW, ROUNDS, Samples,
    cluster::{CLUSTER, Circle, Member, NAME, OPEN_EPOCHS, SALT},
    post::{self, MESSAGE},
};

const OPTIONS: usize = 2;

/// Bob reads along.
pub fn vote(circle: &mut Circle, samples: &mut Samples, rng: &mut ChaCha20Rng) {
    let motion = MotionIn::new(MotionFields {
        cluster: CLUSTER,
        epoch: circle.at.epoch,
        roster: circle.past.roster().hash(),
        until: circle.at.epoch + u64::from(OPEN_EPOCHS),
        proposer: circle.crowd[0].id(),
        nonce: [6; 16],
        secret: true,
        kind: Kind::Question {
            text: "Which?".into(),
            options: (0..OPTIONS).map(|n| n.to_string()).collect(),
            method: Method::Plurality,
        },
    })
    .unwrap();
    let panel = Panel::of(motion.clone().verify(&CLUSTER, &circle.past).unwrap(), &SALT).unwrap();
    let bob = circle.bob.chat.cluster(NAME).unwrap().member;
    assert!(!panel.trustees().iter().any(|trustee| trustee.to_string() == bob), "who reads along must be no trustee");
    let moved = said(circle, vec![(0, Body::Motion(motion))], rng);
    circle.bob.log(&moved);
    circle.bob.read(&moved);

    let mut setup = Setup::new(panel.clone());
    let steps = agree(circle, &panel, &mut setup);
    read_each(circle, samples, ("secret vote: a step of the key", steps), rng);
    let key = setup.key().unwrap();
    let ballots = quiet(circle).map(|(n, member)| {
        let ballot = SecretBallot::cast(&key, &member.secret(), n % OPTIONS, &[n as u8; 32]).unwrap();
        (n, Body::Step(StepIn::Ballot(ballot.unverified())))
    });
    let ballots: Vec<_> = ballots.collect();
    for some in ballots.chunks(ballots.len().div_ceil(ROUNDS)) {
        read_each(circle, samples, ("secret vote: a ballot", some.to_vec()), rng);
    }
}

/// Those of the crowd who have not committed: of the others the first tags are used.
fn quiet(circle: &mut Circle) -> impl Iterator<Item = (usize, &mut Member)> {
    circle.crowd.iter_mut().enumerate().filter(|(n, _)| *n == 0 || *n > 2 * ROUNDS)
}

/// Dealings, words and the decision of those of the trustees who are of the crowd.
fn agree(circle: &mut Circle, panel: &Panel, setup: &mut Setup) -> Vec<(usize, Body)> {
    let mut steps = Vec::new();
    let mut shares: BTreeMap<MemberId, Vec<Share>> = BTreeMap::new();
    let mut trustees = quiet(circle).filter(|(_, member)| panel.trustees().contains(&member.id())).collect::<Vec<_>>();
    for (n, trustee) in &mut trustees {
        let (dealing, given) = TrusteeSecret::new([*n as u8; 32]).deal(panel, &trustee.secret()).unwrap();
        for (to, share) in given {
            shares.entry(to).or_default().push(share.verify(&dealing, panel, &to).unwrap());
        }
        setup.deal(dealing.unverified()).unwrap();
        steps.push((*n, Body::Step(StepIn::Dealing(dealing.unverified()))));
    }
    let mut talk = Talk::new(panel.clone(), Subject::Key);
    // Who leads proposes, all back that and bind themselves: by turns, until nobody has anything to say.
    loop {
        let before = steps.len();
        for (n, trustee) in &mut trustees {
            let shares = &shares[&trustee.id()];
            while let Some(word) = talk.next(&trustee.secret(), 0, || setup.proposal(shares), |pick| setup.takes(pick, shares)) {
                talk.hear(word.unverified()).unwrap();
                steps.push((*n, Body::Step(StepIn::Word(word.unverified()))));
            }
        }
        if steps.len() == before {
            break;
        }
    }
    let (n, teller) = &trustees[0];
    let decision = talk.decision(&teller.id(), |pick| setup.fits(pick)).unwrap();
    setup.agree(decision.clone()).unwrap();
    steps.push((*n, Body::Step(StepIn::Decision(decision))));
    steps
}

/// What some of the crowd say, one after the other.
fn said(circle: &mut Circle, bodies: Vec<(usize, Body)>, rng: &mut ChaCha20Rng) -> Vec<Envelope> {
    let sealed = bodies.into_iter().flat_map(|(who, body)| {
        let member = &mut circle.crowd[who];
        let counter = member.counter();
        let message = member.say(&circle.at, &Message { turn: NOW.unix_ms + counter, body }.encode());
        post::seal(&circle.at.secret, member.leaf(&circle.at), counter, MESSAGE, &message, rng)
    });
    post::stamped(sealed.collect())
}

fn read_each(
    circle: &mut Circle,
    samples: &mut Samples,
    (name, bodies): (&'static str, Vec<(usize, Body)>),
    rng: &mut ChaCha20Rng,
) {
    let envelopes = said(circle, bodies, rng);
    circle.bob.log(&envelopes);
    samples.take(name, envelopes.len(), || {
        envelopes.iter().for_each(|envelope| circle.bob.read(std::slice::from_ref(envelope)));
    });
}
