//! The event stream.

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code},
    },
    http::StatusCode,
    response::Response,
};
use samizdat_api::{ApiError, Event, limits::TOKEN_WITHIN};
use serde::Deserialize;
use tokio::{sync::broadcast::error::RecvError, time::timeout};

use super::{
    answer::{Failure, Failures},
    limits::{EVENT_WITHIN, MAX_FRAME},
    serve::App,
};

/// A WebSocket: the first frame of the client is `{"token":…}`; then every text frame of the node is an `Event`, the
/// first of them `ready`.
#[utoipa::path(
    get, path = "/events", security(()),
    responses((status = 101, description = "WebSocket; frames are of the schema Event"), Failures)
)]
pub(super) async fn events(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|e| Failure::usage(format!("this is a WebSocket: {}", e.body_text())))?;
    let Ok(place) = app.listeners.clone().try_acquire_owned() else {
        let error = ApiError::internal("too many programs listen to the events of this node");
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, error));
    };
    Ok(upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).on_upgrade(async move |socket| {
        listen(&app, socket).await;
        drop(place);
    }))
}

async fn listen(app: &App, mut socket: WebSocket) {
    let reason = tokio::select! {
        reason = stream(app, &mut socket) => reason,
        () = app.stopped() => Some((close_code::AWAY, "the node is ending")),
    };
    if let Some((code, reason)) = reason {
        let close = Frame::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(EVENT_WITHIN, socket.send(close)).await;
    }
}

/// Streams until the client leaves, or there is a reason to close.
async fn stream(app: &App, socket: &mut WebSocket) -> Option<(u16, &'static str)> {
    match timeout(TOKEN_WITHIN, socket.recv()).await {
        Ok(Some(Ok(Frame::Text(text)))) if has_token(app, &text) => {}
        Ok(None | Some(Err(_) | Ok(Frame::Close(_)))) => return None,
        Ok(_) => return Some((close_code::POLICY, "the first frame must be the token of this node")),
        Err(_) => return Some((close_code::POLICY, "the token did not come in time")),
    }
    let mut events = app.node.events.subscribe();
    let mut next = Event::Ready;
    loop {
        let text = serde_json::to_string(&next).ok()?;
        timeout(EVENT_WITHIN, socket.send(Frame::Text(text.into()))).await.ok()?.ok()?;
        next = loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => break event,
                    Err(RecvError::Lagged(_)) => {
                        // It will read everything again, so nothing older than this is of use to it.
                        events = events.resubscribe();
                        break Event::Lagged;
                    }
                    Err(RecvError::Closed) => return Some((close_code::AWAY, "the node is ending")),
                },
                frame = socket.recv() => match frame {
                    None | Some(Err(_) | Ok(Frame::Close(_))) => return None,
                    Some(Ok(_)) => {}
                },
            }
        };
    }
}

fn has_token(app: &App, text: &str) -> bool {
    #[derive(Deserialize)]
    struct First {
        token: String,
    }
    serde_json::from_str(text).is_ok_and(|first: First| app.token.is(&first.token))
}
