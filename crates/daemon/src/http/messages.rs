//! Calls about conversations, messages and rooms, and waiting for a message to get on.

use axum::{Json, extract::State};
use samizdat_api::{
    Destination, Event, Message, MessageState, Request, Room,
    call::{ConversationList, Done, Goal, MessageList, MessageQuery, NewMessage, NewRoom, ReadMark, RoomList, WaitQuery},
    limits::{DEFAULT_WAIT_S, MAX_WAIT_S},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Duration, Instant, timeout_at},
};

use super::{
    answer::{Body, Failure, Failures, Params, Reply, Segment, ask},
    node::CallError,
    routes::done,
    serve::App,
};

/// My conversations, newest first.
#[utoipa::path(get, path = "/conversations", responses((status = 200, body = ConversationList), Failures))]
pub(super) async fn conversations(State(app): State<App>) -> Reply<ConversationList> {
    ask!(app, Request::Conversations, Conversations).map(|conversations| Json(ConversationList { conversations }))
}

/// Messages, oldest first; without `who`, `room` and `cluster` those of all conversations.
#[utoipa::path(get, path = "/messages", params(MessageQuery), responses((status = 200, body = MessageList), Failures))]
pub(super) async fn messages(State(app): State<App>, Params(query): Params<MessageQuery>) -> Reply<MessageList> {
    if [&query.who, &query.room, &query.cluster].into_iter().flatten().count() > 1 {
        return Err(Failure::usage("give one of `who`, `room` and `cluster`, not several"));
    }
    ask!(app, Request::Messages(query), Messages).map(|messages| Json(MessageList { messages }))
}

/// Writes a message; with `wait` the answer comes when it has got that far, never will, or the time is over.
#[utoipa::path(post, path = "/messages", request_body = NewMessage, responses((status = 200, body = Message), Failures))]
pub(super) async fn send(State(app): State<App>, Body(body): Body<NewMessage>) -> Reply<Message> {
    let to = match (body.who, body.room, body.cluster, body.member) {
        (None, None, Some(cluster), member) if body.anonymous => Destination::Anonymous { cluster, member },
        _ if body.anonymous => {
            return Err(Failure::usage("only in a cluster something can be written anonymously: give `cluster`"));
        }
        (Some(who), None, None, None) => Destination::Who(who),
        (None, Some(room), None, None) => Destination::Room(room),
        (None, None, Some(cluster), None) => Destination::Cluster(cluster),
        (None, None, Some(cluster), Some(member)) => Destination::Member { cluster, member },
        _ => return Err(Failure::usage("give one of `who`, `room` and `cluster`")),
    };
    let acknowledged = !matches!(to, Destination::Room(_) | Destination::Anonymous { .. });
    if body.wait == Some(Goal::Received) && !acknowledged {
        return Err(Failure::usage(
            "nobody acknowledges a post in a room, and in a cluster what nobody signed: wait for `published`",
        ));
    }
    // Listening begins before the call, or an early event would be missed.
    let wait = Wait::begin(&app, body.wait, body.timeout_s)?;
    let message = ask!(app, Request::Send { to, text: body.text, days: body.days }, Message)?;
    // It was taken, also when the node ends now: an error would make its writer write it again.
    finish(&app, wait, message.clone()).await.or_else(|failure| if failure.is_end() { Ok(Json(message)) } else { Err(failure) })
}

/// One message; with `wait` the answer comes when it has got that far, never will, or the time is over.
#[utoipa::path(
    get, path = "/messages/{id}", params(("id" = String, Path), WaitQuery),
    responses((status = 200, body = Message), Failures)
)]
pub(super) async fn message(State(app): State<App>, Segment(id): Segment, Params(query): Params<WaitQuery>) -> Reply<Message> {
    let wait = Wait::begin(&app, query.wait, query.timeout_s)?;
    let message = ask!(app, Request::Message { id }, Message)?;
    finish(&app, wait, message).await
}

/// Takes a message back that is not stamped yet.
#[utoipa::path(
    post, path = "/messages/{id}/cancel", params(("id" = String, Path)),
    responses((status = 200, body = Message), Failures)
)]
pub(super) async fn cancel(State(app): State<App>, Segment(id): Segment) -> Reply<Message> {
    ask!(app, Request::CancelMessage { id }, Message).map(Json)
}

/// Marks a conversation as read, up to a message of it or whole.
#[utoipa::path(post, path = "/read", request_body = ReadMark, responses((status = 200, body = Done), Failures))]
pub(super) async fn mark_read(State(app): State<App>, Body(body): Body<ReadMark>) -> Reply<Done> {
    done(&app, Request::MarkRead { conversation: body.conversation, up_to: body.up_to }).await
}

/// Rooms that I have joined or heard of.
#[utoipa::path(get, path = "/rooms", responses((status = 200, body = RoomList), Failures))]
pub(super) async fn rooms(State(app): State<App>) -> Reply<RoomList> {
    ask!(app, Request::Rooms, Rooms).map(|rooms| Json(RoomList { rooms }))
}

/// Joins a room.
#[utoipa::path(post, path = "/rooms", request_body = NewRoom, responses((status = 200, body = Room), Failures))]
pub(super) async fn join_room(State(app): State<App>, Body(body): Body<NewRoom>) -> Reply<Room> {
    ask!(app, Request::JoinRoom { room: body.room }, Room).map(Json)
}

struct Wait {
    goal: MessageState,
    until: Instant,
    events: Receiver<Event>,
}

impl Wait {
    fn begin(app: &App, goal: Option<Goal>, timeout_s: Option<u64>) -> Result<Option<Self>, Failure> {
        let Some(goal) = goal else {
            return Ok(None);
        };
        let seconds = timeout_s.unwrap_or(DEFAULT_WAIT_S);
        let until = Instant::now()
            .checked_add(Duration::from_secs(seconds))
            .filter(|_| seconds <= MAX_WAIT_S)
            .ok_or_else(|| Failure::usage(format!("`timeout_s` is at most {MAX_WAIT_S}")))?;
        Ok(Some(Self { goal: goal.state(), until, events: app.node.events.subscribe() }))
    }
}

async fn finish(app: &App, wait: Option<Wait>, message: Message) -> Reply<Message> {
    let Some(mut wait) = wait else {
        return Ok(Json(message));
    };
    if message.state.settles(wait.goal) {
        return Ok(Json(message));
    }
    loop {
        let event = tokio::select! {
            () = app.stopped() => return Err(CallError::Gone.into()),
            event = timeout_at(wait.until, wait.events.recv()) => event,
        };
        match event {
            Ok(Ok(Event::Message { message: now })) if now.id == message.id && now.state.settles(wait.goal) => {
                return Ok(Json(now));
            }
            Ok(Ok(_)) => {}
            Ok(Err(RecvError::Lagged(_))) => {
                // What was missed may be what is waited for.
                let now = ask!(app, Request::Message { id: message.id.clone() }, Message)?;
                if now.state.settles(wait.goal) {
                    return Ok(Json(now));
                }
            }
            Ok(Err(RecvError::Closed)) => return Err(CallError::Gone.into()),
            Err(_) => return ask!(app, Request::Message { id: message.id }, Message).map(Json),
        }
    }
}
