//! Calls about the node among others: its roles, whom it knows, where a node is.

use axum::{Json, extract::State};
use samizdat_api::{
    NetFound, Request, Status,
    call::{FindingList, NodeEdit, NodeList},
};

use super::{
    answer::{Body, Failures, Reply, Segment, ask},
    serve::App,
};

/// Changes what this node does for others, what it uses of them, and what it shows; what is absent stays. With `lan`, everybody in the
/// local network can see that this node is here.
#[utoipa::path(patch, path = "/node", request_body = NodeEdit, responses((status = 200, body = Status), Failures))]
pub(super) async fn edit(State(app): State<App>, Body(body): Body<NodeEdit>) -> Reply<Status> {
    ask!(app, Request::EditNode(body), Status).map(Json)
}

/// The nodes that the routing knows.
#[utoipa::path(get, path = "/net/table", responses((status = 200, body = NodeList), Failures))]
pub(super) async fn table(State(app): State<App>) -> Reply<NodeList> {
    ask!(app, Request::NetTable, NetTable).map(|nodes| Json(NodeList { nodes }))
}

/// Looks for a node by its transport key, for as long as a minute.
#[utoipa::path(
    get, path = "/net/nodes/{peer}", params(("peer" = String, Path, description = "Its transport key")),
    responses((status = 200, body = NetFound), Failures)
)]
pub(super) async fn lookup(State(app): State<App>, Segment(peer): Segment) -> Reply<NetFound> {
    ask!(app, Request::NetLookup { peer }, NetFound).map(Json)
}

/// What works from here, and what would improve it.
#[utoipa::path(get, path = "/net/doctor", responses((status = 200, body = FindingList), Failures))]
pub(super) async fn doctor(State(app): State<App>) -> Reply<FindingList> {
    ask!(app, Request::NetDoctor, NetDoctor).map(|findings| Json(FindingList { findings }))
}
