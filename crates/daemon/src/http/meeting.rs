//! Calls about how the node meets others.

use axum::{Json, extract::State};
use samizdat_api::{
    EntryDomain, Meeting, Request,
    call::Done,
    meeting::{EntryDomainList, NewEntryDomain, NewOwnEntry},
};

use super::{
    answer::{Body, Failures, Reply, Segment, ask},
    routes::done,
    serve::App,
};

/// Domains in whose DNS this node looks for others while it is connected to nobody. None unless I add some.
#[utoipa::path(get, path = "/entries", responses((status = 200, body = EntryDomainList), Failures))]
pub(super) async fn entries(State(app): State<App>) -> Reply<EntryDomainList> {
    ask!(app, Request::Entries, Entries).map(|entries| Json(EntryDomainList { entries }))
}

/// Adds one. Who operates the name servers that are asked sees that this address asks for it.
#[utoipa::path(post, path = "/entries", request_body = NewEntryDomain, responses((status = 200, body = EntryDomain), Failures))]
pub(super) async fn add_entry(State(app): State<App>, Body(body): Body<NewEntryDomain>) -> Reply<EntryDomain> {
    ask!(app, Request::AddEntry { domain: body.domain }, Entry).map(Json)
}

/// Removes one.
#[utoipa::path(
    delete, path = "/entries/{name}", params(("name" = String, Path, description = "The domain")),
    responses((status = 200, body = Done), Failures)
)]
pub(super) async fn remove_entry(State(app): State<App>, Segment(domain): Segment) -> Reply<Done> {
    done(&app, Request::RemoveEntry { domain }).await
}

/// How this node meets others.
#[utoipa::path(get, path = "/node", responses((status = 200, body = Meeting), Failures))]
pub(super) async fn node(State(app): State<App>) -> Reply<Meeting> {
    ask!(app, Request::Meeting, Meeting).map(Json)
}

/// Keeps this node's record in a domain, while strangers can dial it, instead of in any other.
#[utoipa::path(post, path = "/node/entry", request_body = NewOwnEntry, responses((status = 200, body = Meeting), Failures))]
pub(super) async fn set_own_entry(State(app): State<App>, Body(wish): Body<NewOwnEntry>) -> Reply<Meeting> {
    ask!(app, Request::SetOwnEntry(Box::new(wish)), Meeting).map(Json)
}

/// Takes it away.
#[utoipa::path(delete, path = "/node/entry", responses((status = 200, body = Meeting), Failures))]
pub(super) async fn remove_own_entry(State(app): State<App>) -> Reply<Meeting> {
    ask!(app, Request::RemoveOwnEntry, Meeting).map(Json)
}
