//! Calls about identities, contacts and contact requests.

use axum::{Json, extract::State};
use samizdat_api::{
    Answer, Contact, ContactRequest, Identity, Invite, Mining, Request,
    call::{ContactEdit, ContactList, Done, IdentityList, NewContact, NewIdentity, NewMining, RequestList},
};

use super::{
    answer::{Body, Failures, Reply, Segment, ask},
    routes::done,
    serve::App,
};

/// My identities.
#[utoipa::path(get, path = "/identities", responses((status = 200, body = IdentityList), Failures))]
pub(super) async fn identities(State(app): State<App>) -> Reply<IdentityList> {
    ask!(app, Request::Identities, Identities).map(|identities| Json(IdentityList { identities }))
}

/// Makes an identity.
#[utoipa::path(post, path = "/identities", request_body = NewIdentity, responses((status = 200, body = Identity), Failures))]
pub(super) async fn new_identity(State(app): State<App>, Body(body): Body<NewIdentity>) -> Reply<Identity> {
    ask!(app, Request::NewIdentity { label: body.label }, Identity).map(Json)
}

/// Begins to search for an identity whose name starts as wished; progress and result come as events.
#[utoipa::path(post, path = "/mine", request_body = NewMining, responses((status = 200, body = Mining), Failures))]
pub(super) async fn mine(State(app): State<App>, Body(body): Body<NewMining>) -> Reply<Mining> {
    ask!(app, Request::Mine { prefix: body.prefix, label: body.label }, Mining).map(Json)
}

/// Ends the search.
#[utoipa::path(delete, path = "/mine", responses((status = 200, body = Done), Failures))]
pub(super) async fn cancel_mine(State(app): State<App>) -> Reply<Done> {
    done(&app, Request::CancelMine).await
}

/// Makes an invite link.
#[utoipa::path(post, path = "/invites", responses((status = 200, body = Invite), Failures))]
pub(super) async fn new_invite(State(app): State<App>) -> Reply<Invite> {
    ask!(app, Request::NewInvite, Invite).map(Json)
}

/// Whom I know.
#[utoipa::path(get, path = "/contacts", responses((status = 200, body = ContactList), Failures))]
pub(super) async fn contacts(State(app): State<App>) -> Reply<ContactList> {
    ask!(app, Request::Contacts, Contacts).map(|contacts| Json(ContactList { contacts }))
}

/// Adds somebody.
#[utoipa::path(post, path = "/contacts", request_body = NewContact, responses((status = 200, body = Contact), Failures))]
pub(super) async fn add_contact(State(app): State<App>, Body(body): Body<NewContact>) -> Reply<Contact> {
    ask!(app, Request::AddContact { who: body.who, petname: body.petname }, Contact).map(Json)
}

/// Changes what I say about somebody; what is absent stays.
#[utoipa::path(
    patch, path = "/contacts/{name}", request_body = ContactEdit,
    params(("name" = String, Path, description = "A petname, a name or a link")),
    responses((status = 200, body = Contact), Failures)
)]
pub(super) async fn edit_contact(State(app): State<App>, Segment(who): Segment, Body(body): Body<ContactEdit>) -> Reply<Contact> {
    ask!(app, Request::EditContact { who, edit: body }, Contact).map(Json)
}

/// Who wants to reach me.
#[utoipa::path(get, path = "/requests", responses((status = 200, body = RequestList), Failures))]
pub(super) async fn requests(State(app): State<App>) -> Reply<RequestList> {
    ask!(app, Request::Requests, Requests).map(|requests| Json(RequestList { requests }))
}

/// Accepts a contact request.
#[utoipa::path(
    post, path = "/requests/{id}/accept", params(("id" = String, Path, description = "Id of the request, or who asks")),
    responses((status = 200, body = ContactRequest), Failures)
)]
pub(super) async fn accept(State(app): State<App>, Segment(id): Segment) -> Reply<ContactRequest> {
    ask!(app, Request::AnswerRequest { id, answer: Answer::Accept }, Request).map(Json)
}

/// Declines a contact request; they may ask again.
#[utoipa::path(
    post, path = "/requests/{id}/decline", params(("id" = String, Path, description = "Id of the request, or who asks")),
    responses((status = 200, body = ContactRequest), Failures)
)]
pub(super) async fn decline(State(app): State<App>, Segment(id): Segment) -> Reply<ContactRequest> {
    ask!(app, Request::AnswerRequest { id, answer: Answer::Decline }, Request).map(Json)
}

/// Declines a contact request, and hears nothing from them again.
#[utoipa::path(
    post, path = "/requests/{id}/block", params(("id" = String, Path, description = "Id of the request, or who asks")),
    responses((status = 200, body = ContactRequest), Failures)
)]
pub(super) async fn block(State(app): State<App>, Segment(id): Segment) -> Reply<ContactRequest> {
    ask!(app, Request::AnswerRequest { id, answer: Answer::Block }, Request).map(Json)
}
