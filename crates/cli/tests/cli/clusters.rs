//! Clusters as people and programs see them.

use insta::assert_snapshot;
use samizdat_api::{
    ApiError, ClusterAnswer, ClusterCall, Destination, Request, Response,
    call::MessageQuery,
    cluster::{
        Charter, CharterEdit, Cluster, ClusterEdit, ClusterInvite, ClusterLink, ClusterView, Decision, DecisionList, Departure,
        History, JoinRequest, Member, Motion, MotionKind, MotionOption, MotionState, NewClaim, NewCluster, NewClusterInvite,
        NewMembership, Proposal, Quorum, Receipt, Standing, VotePhase,
    },
};
use serde_json::{Value, json};

use crate::node::{NOON, Node, Reply};

/// What Alice's node answers.
pub(crate) fn answer(call: &ClusterCall) -> Reply {
    Ok(Response::Cluster(match call {
        ClusterCall::List => ClusterAnswer::Clusters(vec![nest(), asked()]),
        ClusterCall::Join(_) => ClusterAnswer::View(Box::new(ClusterView {
            cluster: asked(),
            charter: None,
            members: vec![],
            motions: vec![],
            links: vec![],
            receipts: false,
        })),
        ClusterCall::Show { which } if which == "nowhere" => {
            return Err(ApiError::not_found("you are in no cluster called \"nowhere\": see `cluster list`"));
        }
        ClusterCall::Found(_) | ClusterCall::Show { .. } | ClusterCall::Edit { .. } => ClusterAnswer::View(Box::new(view())),
        ClusterCall::Claim { .. } => {
            let me = Member { name: Some("alicesname".into()), ..view().members.into_iter().find(|member| member.own).unwrap() };
            ClusterAnswer::View(Box::new(ClusterView { members: vec![me], ..view() }))
        }
        ClusterCall::Leave { .. } => {
            ClusterAnswer::View(Box::new(ClusterView { cluster: Cluster { standing: Standing::Left, ..nest() }, ..view() }))
        }
        ClusterCall::Invite { .. } => {
            ClusterAnswer::Invite(ClusterInvite { link: "samizdat:cluster/abc".into(), passphrase: None })
        }
        ClusterCall::Split { split, .. } => ClusterAnswer::Departure(Box::new(Departure {
            cluster: Cluster { name: "nest 2".into(), size: 1, requests: 0, ..nest() },
            link: "samizdat:cluster/abc".into(),
            asked: if split.with.is_empty() { vec!["bob".into(), "carol".into()] } else { split.with.clone() },
        })),
        ClusterCall::Requests { .. } => ClusterAnswer::Requests(vec![JoinRequest {
            request: "3".into(),
            nick: "carol".into(),
            words: "It's me,\nfrom the library".into(),
            member: "carolsmember".into(),
            at: NOON,
            from: None,
        }]),
        ClusterCall::Motions { .. } => ClusterAnswer::Motions(motions()),
        ClusterCall::Motion { motion, .. } => ClusterAnswer::Motion(Box::new(match motion.as_str() {
            "making" => secret_question(VotePhase::MakingKey),
            "voting" => secret_question(VotePhase::Voting),
            "opened" => secret_question(VotePhase::Done),
            "decision" => secret_decision(VotePhase::MakingKey),
            "decided" => secret_decision(VotePhase::Done),
            "failed" => Motion {
                state: MotionState::Failed,
                why: Some("too few trustees agreed on a key in time: ask again".into()),
                ..secret_question(VotePhase::Done)
            },
            _ => question(),
        })),
        ClusterCall::Open { .. } | ClusterCall::Vote { .. } => ClusterAnswer::Motion(Box::new(admission())),
        ClusterCall::Receipts { .. } => {
            ClusterAnswer::Receipts(vec![Receipt { member: "bobsmember".into(), nick: "bob".into(), at: NOON, read: Some(NOON) }])
        }
        ClusterCall::Audit { which } => {
            let mut decided = vec![decision(1, &["admit bob"]), decision(3, &["expel dave", "leave erin"])];
            if which != "nest" {
                decided[0].unknown = vec!["admit bob".into()];
            }
            if which == "liars" {
                decided[1].untrue = vec!["expel dave".into()];
            }
            let since = (which == "club").then_some(17);
            ClusterAnswer::Decisions(DecisionList { since, decisions: decided })
        }
    }))
}

fn nest() -> Cluster {
    Cluster {
        cluster: "1".into(),
        id: Some("nestnestnest".into()),
        name: "nest".into(),
        standing: Standing::Member,
        member: "alicesmember".into(),
        nick: "alice".into(),
        conversation: "c3".into(),
        epoch: 4,
        state: Some("stateofthenest".into()),
        size: 2,
        requests: 1,
    }
}

fn asked() -> Cluster {
    Cluster {
        cluster: "2".into(),
        id: None,
        name: "asked as al".into(),
        standing: Standing::Asking,
        nick: "al".into(),
        conversation: "c4".into(),
        epoch: 0,
        state: None,
        size: 0,
        requests: 0,
        ..nest()
    }
}

fn charter() -> Charter {
    Charter {
        name: "nest".into(),
        cap: 50,
        quorum: Quorum::Majority,
        rollout_hours: 24,
        silent_epochs: 14,
        sponsor_epochs: 0,
        history: History::None,
        motion_epochs: 8,
        automatic_ballots: true,
        delivery: true,
    }
}

fn view() -> ClusterView {
    let member = |nick: &str, own, here, heard| Member {
        member: format!("{nick}smember"),
        nick: nick.into(),
        name: None,
        own,
        here,
        heard,
        silent: false,
        two_sets: false,
    };
    let gone = Member { silent: true, two_sets: true, ..member("dave", false, false, Some(NOON)) };
    ClusterView {
        cluster: nest(),
        charter: Some(charter()),
        members: vec![member("alice", true, true, Some(NOON)), member("bob", false, false, Some(NOON)), gone],
        motions: motions(),
        links: vec![link("the poster", true), link("", false)],
        receipts: true,
    }
}

fn link(label: &str, closed: bool) -> ClusterLink {
    ClusterLink { link: "samizdat:cluster/abc".into(), label: label.into(), until: NOON, closed, secret: false }
}

fn decision(epoch: u64, what: &[&str]) -> Decision {
    Decision { epoch, what: what.iter().map(|what| (*what).to_owned()).collect(), unknown: vec![], untrue: vec![] }
}

fn motions() -> Vec<Motion> {
    vec![admission(), question()]
}

fn admission() -> Motion {
    Motion {
        motion: "abcdefghijkl".into(),
        cluster: "1".into(),
        kind: MotionKind::Admit,
        subject: "carol".into(),
        state: MotionState::Open,
        done: false,
        yes: 1,
        no: 0,
        yes_by: vec!["alice".into()],
        no_by: vec![],
        needed: 2,
        voters: 2,
        until: 12,
        proposer: "alice".into(),
        ours: Some("yes".into()),
        at: NOON,
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

fn question() -> Motion {
    let option = |option: &str, first, place| MotionOption { option: option.into(), first, place };
    Motion {
        motion: "mnopqrstuvwx".into(),
        kind: MotionKind::Question,
        subject: "Where do we meet?".into(),
        ours: None,
        yes: 0,
        yes_by: vec![],
        options: vec![option("at the bridge", 2, 1), option("at home", 1, 2)],
        ranked: true,
        cheated: vec!["bob".into()],
        ..admission()
    }
}

/// Before there is a key ours waits; then Alice and Bob have voted; in the end all have, and the ballot of one came too late.
fn secret_question(phase: VotePhase) -> Motion {
    let option = |option: &str, first, place| MotionOption { option: option.into(), first, place };
    let (early, done) = (phase == VotePhase::MakingKey, phase == VotePhase::Done);
    let voted: &[&str] = if early { &[] } else { &["alice", "bob"] };
    Motion {
        ours: Some(if early { "2" } else { "secret" }.into()),
        options: if done { question().options } else { vec![option("at the bridge", 0, 1), option("at home", 0, 2)] },
        state: if done { MotionState::Passed } else { MotionState::Open },
        secret: true,
        phase: Some(phase),
        voted: voted.iter().map(|nick| (*nick).to_owned()).collect(),
        left_out: if done { vec!["bob".into()] } else { vec![] },
        voters: 3,
        ranked: false,
        cheated: vec![],
        ..question()
    }
}

/// Before there is a key what Alice said waits; then it has passed, and one of two has confirmed that.
fn secret_decision(phase: VotePhase) -> Motion {
    let done = phase == VotePhase::Done;
    Motion {
        kind: MotionKind::Expel,
        subject: "mallory".into(),
        ours: Some(if done { "secret" } else { "no" }.into()),
        state: if done { MotionState::Passed } else { MotionState::Open },
        options: vec![],
        yes: if done { 2 } else { 0 },
        no: u64::from(done),
        left_out: vec![],
        confirmed: if done { vec!["bob".into()] } else { vec![] },
        ..secret_question(phase)
    }
}

fn asked_of(node: &Node, arguments: &[&str]) -> ClusterCall {
    node.samizdat(arguments).assert().success();
    match node.asked().pop() {
        Some(Request::Cluster(call)) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clusters_for_people() {
    let node = Node::alice();
    for (name, arguments) in [
        ("cluster_list", &["cluster", "list"][..]),
        ("cluster_show", &["cluster", "show", "nest"]),
        ("cluster_requests", &["cluster", "requests", "nest"]),
        ("cluster_charter", &["cluster", "charter", "nest"]),
        ("cluster_audit", &["cluster", "audit", "nest"]),
        ("cluster_split", &["cluster", "split", "nest", "--with", "bob"]),
        ("cluster_reboot", &["cluster", "reboot", "nest", "--without", "mallory"]),
        ("cluster_delivery", &["cluster", "delivery", "00ff"]),
        ("motion_list", &["motion", "list", "nest"]),
        ("motion_show", &["motion", "show", "nest", "mnop"]),
        ("motion_show_making_key", &["motion", "show", "nest", "making"]),
        ("motion_show_secret", &["motion", "show", "nest", "voting"]),
        ("motion_show_opened", &["motion", "show", "nest", "opened"]),
        ("motion_show_decision", &["motion", "show", "nest", "decision"]),
        ("motion_show_decided", &["motion", "show", "nest", "decided"]),
        ("motion_show_no_key", &["motion", "show", "nest", "failed"]),
    ] {
        assert_snapshot!(name, node.prints(arguments));
    }
}

#[test]
fn an_audit_says_what_it_cannot_prove_and_fails_where_members_lied() {
    let node = Node::alice();
    let told = node.prints(&["cluster", "audit", "club"]);
    assert!(told.contains("admit bob (voted on in secret, result not known here)"), "{told}");
    let lied = node.samizdat(&["cluster", "audit", "liars"]).assert().code(4).get_output().clone();
    let (told, why) = (String::from_utf8(lied.stdout).unwrap(), String::from_utf8(lied.stderr).unwrap());
    assert!(told.contains("expel dave (REFUSED in a secret vote), leave erin"), "{told}");
    assert!(why.contains("which a secret vote refused"), "{why}");
}

#[test]
fn clusters_for_programs() {
    let node = Node::alice();
    let row = |arguments: &[&str]| -> Value {
        let printed = node.prints(&[arguments, &["--json"]].concat());
        serde_json::from_str(printed.lines().next().unwrap()).unwrap()
    };
    assert_eq!(row(&["cluster", "found", "nest"])["cluster"], "1");
    assert_eq!(row(&["cluster", "join", "samizdat:cluster/abc"])["standing"], "asking");
    let shown = row(&["cluster", "show", "nest"]);
    assert_eq!((&shown["epoch"], &shown["state"]), (&json!(4), &json!("stateofthenest")));
    assert_eq!(
        shown["members"][1],
        json!({"member":"bobsmember","nick":"bob","name":null,"own":false,"here":false,"heard":NOON,"silent":false,"two_sets":false})
    );
    assert_eq!(shown["motions"][0]["motion"], "abcdefghijkl");
    let motion = row(&["motion", "list", "nest"]);
    for (field, value) in
        [("motion", json!("abcdefghijkl")), ("kind", json!("admit")), ("subject", json!("carol")), ("state", json!("open"))]
    {
        assert_eq!(motion[field], value);
    }
    assert_eq!((&motion["yes"], &motion["no"]), (&json!(1), &json!(0)));
    let secret = row(&["motion", "show", "nest", "voting"]);
    assert_eq!((&secret["secret"], &secret["phase"], &secret["voted"]), (&json!(true), &json!("voting"), &json!(["alice", "bob"])));
    assert_eq!((&secret["ours"], &secret["options"][0]["first"]), (&json!("secret"), &json!(0)));
    assert_eq!((&motion["secret"], &motion["phase"]), (&json!(false), &Value::Null));
    assert_eq!(row(&["cluster", "audit", "nest"]), json!({"epoch":1,"what":["admit bob"]}));
}

#[test]
fn a_cluster_is_founded_by_its_rules() {
    let node = Node::alice();
    let arguments = [
        "cluster",
        "found",
        "nest",
        "--nick",
        "al",
        "--cap",
        "9",
        "--quorum",
        "two-thirds",
        "--rollout",
        "12h",
        "--history",
        "100",
        "--silent-after",
        "30",
        "--automatic-ballots",
        "false",
        "--sponsor-after",
        "3",
        "--motion-life",
        "5",
    ];
    let charter = CharterEdit {
        cap: Some(9),
        quorum: Some(Quorum::TwoThirds),
        rollout_hours: Some(12),
        history: Some(History::Last(100)),
        silent_epochs: Some(30),
        automatic_ballots: Some(false),
        sponsor_epochs: Some(3),
        motion_epochs: Some(5),
        ..CharterEdit::default()
    };
    let found = NewCluster { name: "nest".into(), nick: Some("al".into()), charter };
    assert_eq!(asked_of(&node, &arguments), ClusterCall::Found(found));
    let usual = NewCluster { name: "nest".into(), ..NewCluster::default() };
    assert_eq!(asked_of(&node, &["cluster", "found", "nest"]), ClusterCall::Found(usual));
}

#[test]
fn people_are_invited_and_ask() {
    let node = Node::alice();
    let which = || "nest".to_owned();
    let invite = NewClusterInvite { label: "for carol".into(), days: Some(3), ..NewClusterInvite::default() };
    let arguments = ["cluster", "invite", "nest", "--label", "for carol", "--days", "3"];
    assert_eq!(asked_of(&node, &arguments), ClusterCall::Invite { which: which(), invite, door: None });
    let invite = NewClusterInvite { secret: true, ..NewClusterInvite::default() };
    let asked = asked_of(&node, &["cluster", "invite", "nest", "--secret"]);
    assert_eq!(asked, ClusterCall::Invite { which: "nest".into(), invite, door: None });
    let invite = NewClusterInvite { merge: true, ..NewClusterInvite::default() };
    let whole = ClusterCall::Invite { which: which(), invite, door: None };
    assert_eq!(asked_of(&node, &["cluster", "invite", "nest", "--merge"]), whole);
    assert_eq!(node.prints(&["cluster", "invite", "nest"]), "samizdat:cluster/abc\n");
    let wish = NewMembership { link: "l".into(), passphrase: None, nick: Some("al".into()), words: "hello".into() };
    assert_eq!(asked_of(&node, &["cluster", "join", "l", "--nick", "al", "--words", "hello"]), ClusterCall::Join(wish));
    let to = |to: Option<&str>| ClusterCall::Claim { which: which(), claim: NewClaim { to: to.map(str::to_owned) } };
    assert_eq!(asked_of(&node, &["cluster", "claim", "nest"]), to(None));
    assert_eq!(asked_of(&node, &["cluster", "claim", "nest", "--to", "bob"]), to(Some("bob")));
    assert_eq!(node.prints(&["cluster", "claim", "nest"]), "The members of nest are told that alice is alicesname.\n");
    let edit = ClusterEdit { receipts: Some(true) };
    assert_eq!(asked_of(&node, &["cluster", "receipts", "nest", "on"]), ClusterCall::Edit { which: which(), edit });
    assert_eq!(asked_of(&node, &["cluster", "leave", "nest"]), ClusterCall::Leave { which: which() });
}

#[test]
fn a_passphrase_is_said_and_typed() {
    let node = Node::alice();
    let said = node.prints(&["cluster", "invite", "nest", "--passphrase", "--words", "9"]);
    assert_eq!(said.split_whitespace().count(), 9, "{said}");
    let made: Value = serde_json::from_str(&node.prints(&["cluster", "invite", "nest", "--passphrase", "--json"])).unwrap();
    let words = made["passphrase"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 8);
    let Some(Request::Cluster(ClusterCall::Invite { door: Some(door), .. })) = node.asked().pop() else { panic!("no door") };
    let pictured = node.prints(&["cluster", "invite", "nest", "--passphrase", "--qr"]);
    assert!(pictured.contains("\nsamizdat:cluster/"), "the code has a text that says the same: {pictured}");

    let join = ["cluster", "join", "--passphrase", "--nick", "al"];
    node.samizdat(&join).write_stdin(format!("{}\n", words.to_uppercase())).assert().success();
    let Some(Request::Cluster(ClusterCall::Join(wish))) = node.asked().pop() else { panic!("no wish") };
    // Of the door the link holds the first twenty bytes, and the public half of the rest.
    let secret = door.reveal().get(..32).unwrap().to_lowercase();
    assert!(wish.link.starts_with(&format!("samizdat:cluster/{secret}")), "{} {}", wish.link, door.reveal());
    assert_eq!((wish.nick.as_deref(), wish.passphrase), (Some("al"), None));

    let wrong = words.replacen(' ', " brigde ", 1);
    let output = node.samizdat(&join).write_stdin(wrong).assert().code(2).get_output().stderr.clone();
    assert!(String::from_utf8(output).unwrap().contains("word 2 of the passphrase, \"brigde\""));
    node.samizdat(&join).write_stdin("\n").assert().code(2);
    node.samizdat(&["cluster", "join"]).assert().code(2);
    node.samizdat(&["cluster", "join", "samizdat:cluster/abc", "--passphrase"]).assert().code(2);
    node.samizdat(&["cluster", "invite", "nest", "--words", "9"]).assert().code(2);
}

#[test]
fn motions_are_opened_and_voted_on() {
    let node = Node::alice();
    let opens = |arguments: &[&str], proposal: Proposal| {
        let arguments = [&["motion", "open", "nest"], arguments].concat();
        assert_eq!(asked_of(&node, &arguments), ClusterCall::Open { which: "nest".into(), proposal });
    };
    opens(&["admit", "carol"], Proposal::Admit { who: "carol".into(), secret: false });
    opens(&["expel", "bob"], Proposal::Expel { who: "bob".into(), secret: false });
    opens(&["expel", "bob", "--secret"], Proposal::Expel { who: "bob".into(), secret: true });
    opens(&["silent", "bob", "dave"], Proposal::Silent { who: vec!["bob".into(), "dave".into()], secret: false });
    let charter = CharterEdit { cap: Some(9), name: Some("den".into()), delivery: Some(false), ..CharterEdit::default() };
    opens(&["charter", "--cap", "9", "--name", "den", "--delivery", "false"], Proposal::Charter { charter, secret: false });
    opens(&["merge", "l", "den"], Proposal::Merge { link: "l".into(), name: "den".into() });
    opens(&["take-in", "den"], Proposal::TakeIn { from: "den".into(), secret: false });
    let (text, options) = ("Where?".to_owned(), vec!["here".to_owned(), "there".to_owned()]);
    opens(
        &["question", "Where?", "--option", "here", "--option", "there", "--preference"],
        Proposal::Question { text: text.clone(), options: options.clone(), ranked: true, secret: false },
    );
    opens(
        &["question", "Where?", "--option", "here", "--option", "there", "--secret"],
        Proposal::Question { text, options, ranked: false, secret: true },
    );
    node.samizdat(&["motion", "open", "nest", "question", "Where?", "--option", "a", "--option", "b", "--secret", "--preference"])
        .assert()
        .code(2);
    let vote = ClusterCall::Vote { motion: "abcd".into(), vote: "2,1".into() };
    assert_eq!(asked_of(&node, &["vote", "abcd", "2,1"]), vote);
}

#[test]
fn a_cluster_is_written_to_and_read() {
    let node = Node::alice();
    node.samizdat(&["cluster", "say", "nest", "hi", "--days", "1"]).assert().success();
    let to = Destination::Cluster("nest".into());
    assert_eq!(node.asked(), [Request::Send { to, text: "hi".into(), days: Some(1) }]);
    node.samizdat(&["cluster", "say", "nest", "hi", "--to", "bob"]).assert().success();
    let to = Destination::Member { cluster: "nest".into(), member: "bob".into() };
    assert_eq!(node.asked().pop(), Some(Request::Send { to, text: "hi".into(), days: None }));
    let said = node.samizdat(&["cluster", "say", "nest", "hi", "--anonymous"]).assert().success();
    assert_eq!(String::from_utf8_lossy(&said.get_output().stderr), "Nobody can tell.\n", "what that hides");
    let to = Destination::Anonymous { cluster: "nest".into(), member: None };
    assert_eq!(node.asked().pop(), Some(Request::Send { to, text: "hi".into(), days: None }));
    let said = node.samizdat(&["--json", "cluster", "say", "nest", "hi", "--anonymous", "--to", "bob"]).assert().success();
    let row: serde_json::Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
    assert_eq!(row["anonymous"], serde_json::json!({ "ring": 7, "label": "Nobody can tell." }));
    let to = Destination::Anonymous { cluster: "nest".into(), member: Some("bob".into()) };
    assert_eq!(node.asked().pop(), Some(Request::Send { to, text: "hi".into(), days: None }));
    node.samizdat(&["cluster", "say", "nest", "hi", "--anonymous", "--wait", "received"]).assert().code(2);
    let read = node.prints(&["read", "--cluster", "nest"]);
    assert!(read.contains("bob to me only: psst") && read.contains("me to bob only: what?"), "{read}");
    assert!(read.contains("somebody (1 of 7): the treasurer lies"), "{read}");
    assert!(read.contains("me, as somebody (1 of 7): the treasurer lies"), "{read}");
    let query = MessageQuery { cluster: Some("nest".into()), ..MessageQuery::default() };
    assert!(node.asked().contains(&Request::Messages(query)));
}

#[test]
fn what_is_not_there_and_what_is_not_understood() {
    let node = Node::alice();
    node.samizdat(&["cluster", "show", "nowhere"]).assert().code(3);
    for wrong in [
        &["cluster", "found"][..],
        &["cluster", "found", "nest", "--rollout", "soon"],
        &["cluster", "found", "nest", "--history", "some"],
        &["motion", "open", "nest"],
        &["motion", "open", "nest", "silent"],
        &["motion", "open", "nest", "question", "Where?"],
        &["vote", "abcd"],
    ] {
        node.samizdat(wrong).assert().code(2);
    }
}
