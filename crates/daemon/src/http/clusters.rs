//! Calls about clusters, their motions and votes.

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
};
use samizdat_api::{
    ClusterAnswer, ClusterCall, Request, Response,
    cluster::{
        ClusterEdit, ClusterInvite, ClusterList, ClusterView, DecisionList, Departure, JoinRequestList, Motion, MotionList,
        NewClaim, NewCluster, NewClusterInvite, NewMembership, NewSplit, NewVote, Proposal, ReceiptList,
    },
};

use super::{
    answer::{Body, Failure, Failures, Reply, Segment},
    phrases,
    serve::App,
};

/// Asks the loop something about clusters, and takes the answer that belongs to the question.
macro_rules! ask {
    ($app:expr, $call:expr, $variant:ident) => {
        match $app.node.call(Request::Cluster($call)).await? {
            Response::Cluster(ClusterAnswer::$variant(answer)) => Ok(answer),
            _ => Err(Failure::mixed_up()),
        }
    };
}

/// The two variable segments of the path of a motion.
pub(super) struct MotionPath {
    which: String,
    motion: String,
}

impl<S: Send + Sync> FromRequestParts<S> for MotionPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path((which, motion))| Self { which, motion })
            .map_err(|e| Failure::usage(format!("the path was not understood: {}", e.body_text())))
    }
}

/// My memberships.
#[utoipa::path(get, path = "/clusters", responses((status = 200, body = ClusterList), Failures))]
pub(super) async fn clusters(State(app): State<App>) -> Reply<ClusterList> {
    ask!(app, ClusterCall::List, Clusters).map(|clusters| Json(ClusterList { clusters }))
}

/// Founds a cluster with nobody in it but me.
#[utoipa::path(post, path = "/clusters", request_body = NewCluster, responses((status = 200, body = ClusterView), Failures))]
pub(super) async fn found(State(app): State<App>, Body(body): Body<NewCluster>) -> Reply<ClusterView> {
    view(&app, ClusterCall::Found(body)).await
}

/// Asks to be let into a cluster, by a link or by a passphrase. Its members vote; nobody in particular need be online.
#[utoipa::path(post, path = "/join", request_body = NewMembership, responses((status = 200, body = ClusterView), Failures))]
pub(super) async fn join(State(app): State<App>, Body(mut body): Body<NewMembership>) -> Reply<ClusterView> {
    match (body.passphrase.take(), body.link.is_empty()) {
        (Some(passphrase), true) => body.link = phrases::link_of(passphrase).await?,
        (None, false) => {}
        (Some(_), false) => return Err(Failure::usage("ask by a link or by a passphrase, not by both")),
        (None, true) => return Err(Failure::usage("give the link or the passphrase that you have from a member")),
    }
    view(&app, ClusterCall::Join(body)).await
}

/// One membership with its members and motions.
#[utoipa::path(
    get, path = "/clusters/{cluster}",
    params(("cluster" = String, Path, description = "Number of the membership, name of the cluster, or the beginning of its id")),
    responses((status = 200, body = ClusterView), Failures)
)]
pub(super) async fn show(State(app): State<App>, Segment(which): Segment) -> Reply<ClusterView> {
    view(&app, ClusterCall::Show { which }).await
}

/// Tells the members of a cluster, or one of them, which name is behind my membership. It cannot be taken back.
#[utoipa::path(
    post, path = "/clusters/{cluster}/claim", params(("cluster" = String, Path, description = "As above")),
    responses((status = 200, body = ClusterView), Failures)
)]
pub(super) async fn claim(State(app): State<App>, Segment(which): Segment, Body(claim): Body<NewClaim>) -> Reply<ClusterView> {
    view(&app, ClusterCall::Claim { which, claim }).await
}

/// Changes how I am in a cluster; what is absent stays.
#[utoipa::path(
    patch, path = "/clusters/{cluster}", params(("cluster" = String, Path, description = "As above")),
    request_body = ClusterEdit, responses((status = 200, body = ClusterView), Failures)
)]
pub(super) async fn edit(State(app): State<App>, Segment(which): Segment, Body(body): Body<ClusterEdit>) -> Reply<ClusterView> {
    view(&app, ClusterCall::Edit { which, edit: body }).await
}

/// Leaves a cluster, at once; the others are told, and need not consent.
#[utoipa::path(
    post, path = "/clusters/{cluster}/leave", params(("cluster" = String, Path, description = "As above")),
    responses((status = 200, body = ClusterView), Failures)
)]
pub(super) async fn leave(State(app): State<App>, Segment(which): Segment) -> Reply<ClusterView> {
    view(&app, ClusterCall::Leave { which }).await
}

/// Founds a cluster by the rules of this one, and sends members of this one a link to it, each by itself. Nobody need consent.
#[utoipa::path(
    post, path = "/clusters/{cluster}/split", params(("cluster" = String, Path, description = "As above")),
    request_body = NewSplit, responses((status = 200, body = Departure), Failures)
)]
pub(super) async fn split(State(app): State<App>, Segment(which): Segment, Body(split): Body<NewSplit>) -> Reply<Departure> {
    ask!(app, ClusterCall::Split { which, split }, Departure).map(|departure| Json(*departure))
}

/// Makes a link by which somebody can ask to be let in, and a passphrase for it if one is wanted. Whoever has it can ask; the
/// members decide.
#[utoipa::path(
    post, path = "/clusters/{cluster}/invites", params(("cluster" = String, Path, description = "As above")),
    request_body = NewClusterInvite, responses((status = 200, body = ClusterInvite), Failures)
)]
pub(super) async fn invite(
    State(app): State<App>,
    Segment(which): Segment,
    Body(invite): Body<NewClusterInvite>,
) -> Reply<ClusterInvite> {
    let drawn = match invite.passphrase_words {
        Some(words) => Some(phrases::draw(words).await?),
        None => None,
    };
    let (passphrase, door) = drawn.unzip();
    let made = ask!(app, ClusterCall::Invite { which, invite, door }, Invite)?;
    Ok(Json(ClusterInvite { passphrase, ..made }))
}

/// Who asks to be let in.
#[utoipa::path(
    get, path = "/clusters/{cluster}/requests", params(("cluster" = String, Path, description = "As above")),
    responses((status = 200, body = JoinRequestList), Failures)
)]
pub(super) async fn requests(State(app): State<App>, Segment(which): Segment) -> Reply<JoinRequestList> {
    ask!(app, ClusterCall::Requests { which }, Requests).map(|requests| Json(JoinRequestList { requests }))
}

/// Motions of a cluster, the oldest first.
#[utoipa::path(
    get, path = "/clusters/{cluster}/motions", params(("cluster" = String, Path, description = "As above")),
    responses((status = 200, body = MotionList), Failures)
)]
pub(super) async fn motions(State(app): State<App>, Segment(which): Segment) -> Reply<MotionList> {
    ask!(app, ClusterCall::Motions { which }, Motions).map(|motions| Json(MotionList { motions }))
}

/// Opens a motion. Whoever moves a decision says yes to it.
#[utoipa::path(
    post, path = "/clusters/{cluster}/motions", params(("cluster" = String, Path, description = "As above")),
    request_body = Proposal, responses((status = 200, body = Motion), Failures)
)]
pub(super) async fn open_motion(State(app): State<App>, Segment(which): Segment, Body(proposal): Body<Proposal>) -> Reply<Motion> {
    ask!(app, ClusterCall::Open { which, proposal }, Motion).map(|motion| Json(*motion))
}

/// One motion.
#[utoipa::path(
    get, path = "/clusters/{cluster}/motions/{motion}",
    params(
        ("cluster" = String, Path, description = "As above"),
        ("motion" = String, Path, description = "The beginning of its id"),
    ),
    responses((status = 200, body = Motion), Failures)
)]
pub(super) async fn motion(State(app): State<App>, MotionPath { which, motion }: MotionPath) -> Reply<Motion> {
    ask!(app, ClusterCall::Motion { which, motion }, Motion).map(|motion| Json(*motion))
}

/// What was decided since the founding, or as far back as I was told; an error if any step does not verify.
#[utoipa::path(
    get, path = "/clusters/{cluster}/audit", params(("cluster" = String, Path, description = "As above")),
    responses((status = 200, body = DecisionList), Failures)
)]
pub(super) async fn audit(State(app): State<App>, Segment(which): Segment) -> Reply<DecisionList> {
    ask!(app, ClusterCall::Audit { which }, Decisions).map(Json)
}

/// Which members have a message of mine, where the charter of its cluster lets them say so.
#[utoipa::path(
    get, path = "/messages/{id}/receipts", params(("id" = String, Path, description = "Id of the message")),
    responses((status = 200, body = ReceiptList), Failures)
)]
pub(super) async fn receipts(State(app): State<App>, Segment(message): Segment) -> Reply<ReceiptList> {
    ask!(app, ClusterCall::Receipts { message }, Receipts).map(|receipts| Json(ReceiptList { receipts }))
}

/// Votes on a motion. Whoever votes twice, and not the same, proves to all that they cheat.
#[utoipa::path(
    post, path = "/motions/{motion}/vote", params(("motion" = String, Path, description = "The beginning of its id")),
    request_body = NewVote, responses((status = 200, body = Motion), Failures)
)]
pub(super) async fn vote(State(app): State<App>, Segment(motion): Segment, Body(body): Body<NewVote>) -> Reply<Motion> {
    ask!(app, ClusterCall::Vote { motion, vote: body.vote }, Motion).map(|motion| Json(*motion))
}

async fn view(app: &App, call: ClusterCall) -> Reply<ClusterView> {
    ask!(app, call, View).map(|view| Json(*view))
}
