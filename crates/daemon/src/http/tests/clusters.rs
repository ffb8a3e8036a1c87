//! Clusters through the typed client.

use data_encoding::BASE32_NOPAD;
use samizdat_api::{
    ClusterAnswer, ClusterCall,
    cluster::{
        Cluster, ClusterEdit, ClusterInvite, ClusterView, DecisionList, Departure, JoinRequest, Motion, MotionKind, MotionState,
        NewClaim, NewCluster, NewClusterInvite, NewMembership, NewSplit, Proposal, Receipt, Standing,
    },
    meeting::Secret,
};
use samizdat_cluster::link::OpenDoor;

use super::{client::with_node, *};

fn cluster(name: &str) -> Cluster {
    Cluster {
        cluster: "1".into(),
        id: None,
        name: name.into(),
        standing: Standing::Asking,
        member: "m".into(),
        nick: "al".into(),
        conversation: "4".into(),
        epoch: 0,
        state: None,
        size: 0,
        requests: 0,
    }
}

fn motion(id: &str) -> Motion {
    Motion {
        motion: id.into(),
        cluster: "1".into(),
        kind: MotionKind::Expel,
        subject: "bob".into(),
        state: MotionState::Open,
        done: false,
        yes: 0,
        no: 0,
        yes_by: vec![],
        no_by: vec![],
        needed: 1,
        voters: 1,
        until: 2,
        proposer: "al".into(),
        ours: None,
        at: 3,
        options: vec![],
        ranked: false,
        charter: None,
        cheated: vec![],
        secret: false,
        phase: None,
        voted: vec![],
        left_out: vec![],
        why: None,
        confirmed: vec![],
    }
}

/// Everything that was in the call comes back in the answer.
pub(super) fn answer(call: ClusterCall) -> ClusterAnswer {
    let view = |name: &str| {
        ClusterAnswer::View(Box::new(ClusterView {
            cluster: cluster(name),
            charter: None,
            members: vec![],
            motions: vec![],
            links: vec![],
            receipts: false,
        }))
    };
    match call {
        ClusterCall::List => ClusterAnswer::Clusters(vec![cluster("a")]),
        ClusterCall::Found(wish) => view(&wish.name),
        ClusterCall::Join(wish) => view(&wish.link),
        ClusterCall::Show { which } | ClusterCall::Leave { which } => view(&which),
        ClusterCall::Claim { which, claim } => view(&format!("{which} claimed {:?}", claim.to)),
        ClusterCall::Edit { which, edit } => view(&format!("{which} {:?}", edit.receipts)),
        ClusterCall::Split { which, split } => {
            ClusterAnswer::Departure(Box::new(Departure { cluster: cluster(&which), link: "l".into(), asked: split.with }))
        }
        ClusterCall::Invite { which, invite, door } => {
            let drawn = format!("{which} {} {:?}", invite.label, invite.days);
            let open =
                |door: Secret| OpenDoor::restore(&BASE32_NOPAD.decode(door.reveal().as_bytes()).unwrap().try_into().unwrap());
            let link = door.map_or(drawn, |door| open(door).link.to_string());
            ClusterAnswer::Invite(ClusterInvite { link, passphrase: None })
        }
        ClusterCall::Requests { which } => {
            let (request, nick) = ("1".into(), which);
            ClusterAnswer::Requests(vec![JoinRequest {
                request,
                nick,
                words: String::new(),
                member: "m".into(),
                at: 1,
                from: None,
            }])
        }
        ClusterCall::Motions { which } => ClusterAnswer::Motions(vec![motion(&which)]),
        ClusterCall::Motion { which, motion: id } => ClusterAnswer::Motion(Box::new(motion(&format!("{which} {id}")))),
        ClusterCall::Open { which, proposal } => ClusterAnswer::Motion(Box::new(motion(&format!("{which} {proposal:?}")))),
        ClusterCall::Vote { motion: id, vote } => ClusterAnswer::Motion(Box::new(motion(&format!("{id} {vote}")))),
        ClusterCall::Receipts { message } => {
            ClusterAnswer::Receipts(vec![Receipt { member: "m".into(), nick: message, at: 1, read: None }])
        }
        ClusterCall::Audit { .. } => ClusterAnswer::Decisions(DecisionList { since: Some(3), decisions: vec![] }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_stands_for_a_link() {
    let brain = |request| match request {
        Request::Cluster(call) => Ok(Response::Cluster(answer(call))),
        other => panic!("{other:?}"),
    };
    with_node(brain, |client, _| {
        let invite = NewClusterInvite { passphrase_words: Some(8), ..NewClusterInvite::default() };
        let made = client.invite_to_cluster("a", &invite).unwrap();
        let passphrase = made.passphrase.unwrap();
        assert_eq!(passphrase.reveal().split(' ').count(), 8);
        assert!(made.link.starts_with("samizdat:cluster/"), "{}", made.link);
        let said = Secret::new(passphrase.reveal().to_uppercase().replace(' ', " - "));
        let wish = NewMembership { passphrase: Some(said), ..NewMembership::default() };
        assert_eq!(client.join_cluster(&wish).unwrap().cluster.name, made.link, "the loop is asked by the same link");

        let refused = |wish: NewMembership| client.join_cluster(&wish).unwrap_err().to_string();
        let both = NewMembership { link: made.link.clone(), passphrase: Some(passphrase.clone()), ..NewMembership::default() };
        assert!(refused(both).contains("not by both"));
        assert!(refused(NewMembership::default()).contains("the link or the passphrase"));
        let misspelled = Secret::new(format!("brigde {}", passphrase.reveal().split_once(' ').unwrap().1));
        let misspelled = NewMembership { passphrase: Some(misspelled), ..NewMembership::default() };
        assert!(refused(misspelled).contains("word 1 of the passphrase, \"brigde\""));
        let few = NewClusterInvite { passphrase_words: Some(7), ..NewClusterInvite::default() };
        assert!(client.invite_to_cluster("a", &few).unwrap_err().to_string().contains("8 to 12 words"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_about_clusters_is_understood() {
    let brain = |request| match request {
        Request::Cluster(call) => Ok(Response::Cluster(answer(call))),
        other => panic!("{other:?}"),
    };
    with_node(brain, |client, node| {
        assert_eq!(client.clusters().unwrap(), [cluster("a")]);
        let found = NewCluster { name: "nest".into(), ..NewCluster::default() };
        assert_eq!(client.found_cluster(&found).unwrap().cluster.name, "nest");
        let wish = NewMembership { link: "l".into(), ..NewMembership::default() };
        assert_eq!(client.join_cluster(&wish).unwrap().cluster.name, "l");
        assert_eq!(client.cluster("a nest/b").unwrap().cluster.name, "a nest/b");
        assert_eq!(client.claim_in_cluster("a", &NewClaim::default()).unwrap().cluster.name, "a claimed None");
        let to = NewClaim { to: Some("bob".into()) };
        assert_eq!(client.claim_in_cluster("a", &to).unwrap().cluster.name, "a claimed Some(\"bob\")");
        let edit = ClusterEdit { receipts: Some(true) };
        assert_eq!(client.edit_cluster("a", &edit).unwrap().cluster.name, "a Some(true)");
        assert_eq!(client.leave_cluster("a").unwrap().cluster.name, "a");
        let split = NewSplit { with: vec!["bob".into()], ..NewSplit::default() };
        assert_eq!(client.split_cluster("a", &split).unwrap().asked, ["bob"]);
        let invite = NewClusterInvite { label: "b".into(), days: Some(3), ..NewClusterInvite::default() };
        assert_eq!(client.invite_to_cluster("a", &invite).unwrap().link, "a b Some(3)");
        assert_eq!(client.cluster_requests("a").unwrap()[0].nick, "a");
        assert_eq!(client.motions("a").unwrap(), [motion("a")]);
        assert_eq!(client.motion("a/b", "c/d").unwrap(), motion("a/b c/d"));
        let proposal = Proposal::Expel { who: "bob".into(), secret: false };
        assert_eq!(client.open_motion("a", &proposal).unwrap(), motion(&format!("a {proposal:?}")));
        assert_eq!(client.vote("m", "2,1").unwrap(), motion("m 2,1"));
        assert_eq!(client.receipts("a b").unwrap()[0].nick, "a b");
        assert_eq!(client.audit_cluster("a").unwrap(), DecisionList { since: Some(3), decisions: vec![] });
        let mut events = client.events().unwrap();
        node.events.send(Event::Cluster { cluster: cluster("a") }).unwrap();
        assert_eq!(events.next().unwrap(), Event::Cluster { cluster: cluster("a") });
    })
    .await;
}
