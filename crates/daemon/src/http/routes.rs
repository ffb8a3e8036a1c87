//! The table of all calls, from which both the router and the OpenAPI document are made.

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    middleware::from_fn_with_state,
    response::Redirect,
    routing::{delete, get, patch, post},
};
use samizdat_api::{
    ApiError, ErrorBody, Event, Request, Response, Status,
    call::{Done, UiLink},
    limits::MAX_BODY,
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ComponentsBuilder,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{
    answer::{Failure, Failures, Reply, Segment, ask},
    auth, clusters, events, log, meeting, messages, net, people, qr,
    serve::App,
    ui,
};

/// `{method} {path} => {handler}` becomes a route and an operation of the document.
macro_rules! calls {
    ($(with token { $($method:ident $path:literal => $($handler:ident)::+,)* })?
     $(without token { $($open_method:ident $open_path:literal => $($open_handler:ident)::+,)* })?) => {
        fn with_token() -> Router<App> {
            Router::new()$($(.route($path, $method($($handler)::+)))*)?
        }

        fn without_token() -> Router<App> {
            Router::new()$($(.route($open_path, $open_method($($open_handler)::+)))*)?
        }

        #[cfg(test)]
        pub(super) const CALLS: &[(&str, &str)] =
            &[$($((stringify!($method), $path),)*)? $($((stringify!($open_method), $open_path),)*)?];

        #[derive(OpenApi)]
        #[openapi(
            info(title = "Samizdat local API", description = "See docs/protocol/api.md."),
            servers((url = "/api/v1")),
            security(("token" = [])),
            modifiers(&TokenScheme),
            paths($($($($handler)::+,)*)? $($($($open_handler)::+,)*)?),
            components(schemas(ErrorBody, Event)),
        )]
        pub(super) struct Document;
    };
}

calls! {
    with token {
        get "/status" => status,
        get "/identities" => people::identities,
        post "/identities" => people::new_identity,
        post "/mine" => people::mine,
        delete "/mine" => people::cancel_mine,
        post "/invites" => people::new_invite,
        get "/qr.svg" => qr::qr,
        get "/contacts" => people::contacts,
        post "/contacts" => people::add_contact,
        patch "/contacts/{name}" => people::edit_contact,
        get "/requests" => people::requests,
        post "/requests/{id}/accept" => people::accept,
        post "/requests/{id}/decline" => people::decline,
        post "/requests/{id}/block" => people::block,
        get "/conversations" => messages::conversations,
        get "/messages" => messages::messages,
        post "/messages" => messages::send,
        get "/messages/{id}" => messages::message,
        post "/messages/{id}/cancel" => messages::cancel,
        get "/messages/{id}/receipts" => clusters::receipts,
        post "/read" => messages::mark_read,
        get "/rooms" => messages::rooms,
        post "/rooms" => messages::join_room,
        get "/clusters" => clusters::clusters,
        post "/clusters" => clusters::found,
        post "/join" => clusters::join,
        get "/clusters/{cluster}" => clusters::show,
        patch "/clusters/{cluster}" => clusters::edit,
        post "/clusters/{cluster}/claim" => clusters::claim,
        post "/clusters/{cluster}/leave" => clusters::leave,
        post "/clusters/{cluster}/split" => clusters::split,
        post "/clusters/{cluster}/invites" => clusters::invite,
        get "/clusters/{cluster}/requests" => clusters::requests,
        get "/clusters/{cluster}/motions" => clusters::motions,
        post "/clusters/{cluster}/motions" => clusters::open_motion,
        get "/clusters/{cluster}/motions/{motion}" => clusters::motion,
        get "/clusters/{cluster}/audit" => clusters::audit,
        post "/motions/{motion}/vote" => clusters::vote,
        get "/node" => meeting::node,
        patch "/node" => net::edit,
        post "/node/entry" => meeting::set_own_entry,
        delete "/node/entry" => meeting::remove_own_entry,
        get "/entries" => meeting::entries,
        post "/entries" => meeting::add_entry,
        delete "/entries/{name}" => meeting::remove_entry,
        get "/net/table" => net::table,
        get "/net/nodes/{peer}" => net::lookup,
        get "/net/doctor" => net::doctor,
        get "/log/stats" => log::stats,
        post "/log/verify" => log::verify,
        get "/log/export" => log::export,
        post "/log/import" => log::import,
        post "/link" => link,
        post "/shutdown" => shutdown,
    }
    without token {
        get "/events" => events::events,
        get "/openapi.json" => openapi,
    }
}

/// The whole server as a service.
pub(super) fn router(app: App) -> Router {
    let api = with_token()
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), auth::need_token))
        .merge(without_token());
    let pages =
        if app.ui { Router::new().route("/open/{code}", get(open)).fallback(ui::file) } else { Router::new().fallback(ui::none) };
    pages
        .nest("/api/v1", api)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), auth::guard))
        .with_state(app)
}

struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.take().unwrap_or_default();
        document.components = Some(ComponentsBuilder::from(components).security_scheme("token", scheme).build());
        document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    }
}

/// How the node is.
#[utoipa::path(get, path = "/status", responses((status = 200, body = Status), Failures))]
async fn status(State(app): State<App>) -> Reply<Status> {
    ask!(app, Request::Status, Status).map(Json)
}

/// A page in the node's home that opens the web UI once, within two minutes. Unlike the token, and unlike a link, its
/// name may be shown to other programs of this machine, as the arguments of a started browser are: only the owner can
/// read it.
#[utoipa::path(post, path = "/link", responses((status = 200, body = UiLink), Failures))]
async fn link(State(app): State<App>) -> Reply<UiLink> {
    if !app.ui {
        return Err(ApiError::refused("this node was started without the web UI").into());
    }
    Ok(Json(UiLink { page: app.links.issue(&app.home, app.address)? }))
}

/// Ends the node.
#[utoipa::path(post, path = "/shutdown", responses((status = 200, body = Done), Failures))]
async fn shutdown(State(app): State<App>) -> Reply<Done> {
    done(&app, Request::Shutdown).await
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", security(()), responses((status = 200, description = "OpenAPI 3.1")))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

async fn open(State(app): State<App>, Segment(code): Segment) -> Result<Redirect, axum::response::Response> {
    if app.links.redeem(&code) {
        return Ok(Redirect::to(&format!("/#token={}", app.token.reveal())));
    }
    Err(ui::expired_link())
}

async fn unknown() -> Failure {
    ApiError::not_found("there is no such call; /api/v1/openapi.json lists them").into()
}

async fn wrong_method() -> Failure {
    let error = ApiError::usage("this call needs another method; /api/v1/openapi.json says which");
    Failure::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, error)
}

/// Asks for something that has no answer but that it is done.
pub(super) async fn done(app: &App, request: Request) -> Reply<Done> {
    match app.node.call(request).await? {
        Response::Done => Ok(Json(Done {})),
        _ => Err(Failure::mixed_up()),
    }
}
