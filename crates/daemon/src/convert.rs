//! From what the engine holds to what the API shows. Nothing else knows both.

use data_encoding::HEXLOWER;
use samizdat_api as api;
use samizdat_chat::{self as chat, Chat, ChatError, ContactState, MessageId, SessionChoice, State};
use samizdat_core::{EnvelopeId, Now, limits::ENVELOPE_VERSION};
use samizdat_engine::{Engine, SessionState, Verdict};
use samizdat_store::{Log, StoreError};

use crate::{clusters, labels};

pub(crate) fn error(error: ChatError) -> api::ApiError {
    let kind = match &error {
        ChatError::Usage(_) | ChatError::Link(_) | ChatError::TooLong(_) => api::ErrorKind::Usage,
        ChatError::NotFound(_) => api::ErrorKind::NotFound,
        ChatError::Refused(_) | ChatError::Store(StoreError::Full | StoreError::Held(_)) => api::ErrorKind::Refused,
        ChatError::Store(_) | ChatError::Bug(_) => api::ErrorKind::Internal,
    };
    api::ApiError::new(kind, error.to_string())
}

pub(crate) fn versions() -> api::Versions {
    let layout = |steps: usize| u32::try_from(steps).unwrap_or(u32::MAX);
    api::Versions {
        protocol: ENVELOPE_VERSION.into(),
        log_layout: layout(Log::LAYOUT),
        vault_layout: layout(Chat::MIGRATIONS.len()),
    }
}

pub(crate) fn message_id(text: &str) -> Result<MessageId, api::ApiError> {
    HEXLOWER
        .decode(text.trim().to_ascii_lowercase().as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .map(MessageId)
        .ok_or_else(|| api::ApiError::usage("a message id has 32 hexadecimal digits"))
}

pub(crate) fn identity(identity: &chat::Identity) -> api::Identity {
    api::Identity {
        name: identity.name.clone(),
        label: identity.label.clone().unwrap_or_default(),
        default: identity.default,
        announced: match identity.announced {
            chat::Announced::Waiting => api::Announced::Waiting,
            chat::Announced::Stamping => api::Announced::Stamping,
            chat::Announced::Stamped => api::Announced::Stamped,
            chat::Announced::Published => api::Announced::Published,
        },
    }
}

pub(crate) fn contact(engine: &Engine, contact: chat::Contact) -> api::Contact {
    let known = contact.known || engine.chat().is_announced(&contact.name, engine.log()).unwrap_or(false);
    api::Contact {
        name: contact.name,
        petname: contact.petname,
        state: match contact.state {
            ContactState::Accepted => api::ContactState::Accepted,
            ContactState::Blocked => api::ContactState::Blocked,
            ContactState::Added | ContactState::Requested | ContactState::Declined => api::ContactState::Added,
        },
        known,
        receipts: contact.receipts,
        session: match contact.session {
            SessionChoice::Off => api::SessionChoice::Off,
            SessionChoice::Relayed => api::SessionChoice::Relayed,
            SessionChoice::Direct => api::SessionChoice::Direct,
        },
        session_state: match (contact.session, engine.session_state(contact.contact)) {
            (SessionChoice::Off, _) => api::SessionState::Off,
            (_, SessionState::Declined) => api::SessionState::Declined,
            (_, SessionState::Open) => api::SessionState::Open,
            // Also as long as they have not agreed to be a contact.
            (_, SessionState::Off | SessionState::Waiting) => api::SessionState::Waiting,
        },
    }
}

pub(crate) fn session_choice(choice: api::SessionChoice) -> SessionChoice {
    match choice {
        api::SessionChoice::Off => SessionChoice::Off,
        api::SessionChoice::Relayed => SessionChoice::Relayed,
        api::SessionChoice::Direct => SessionChoice::Direct,
    }
}

pub(crate) fn reach(engine: &Engine, now: Now) -> api::Reach {
    let (verdict, why) = match engine.standing().verdict {
        Verdict::Alone => (api::ReachVerdict::Alone, labels::ALONE),
        Verdict::Asking => (api::ReachVerdict::Asking, labels::ASKING),
        Verdict::Reachable => (api::ReachVerdict::Reachable, labels::REACHABLE),
        Verdict::Unreachable => (api::ReachVerdict::Unreachable, labels::UNREACHABLE),
    };
    api::Reach { verdict, why: why.to_owned(), nodes: engine.nodes(now).len() as u64 }
}

pub(crate) fn request(request: chat::Request) -> api::ContactRequest {
    api::ContactRequest {
        id: request.id.to_string(),
        name: request.name,
        text: request.text,
        at: request.at,
        invited: request.invited,
    }
}

pub(crate) fn message(message: chat::Message) -> api::Message {
    api::Message {
        id: HEXLOWER.encode(&message.id.0),
        conversation: message.conversation.to_string(),
        from: message.from,
        from_petname: message.petname,
        mine: message.mine,
        text: message.text,
        at: message.at,
        state: match message.state {
            State::Waiting => api::MessageState::Waiting,
            State::Stamping => api::MessageState::Stamping,
            State::Stamped => api::MessageState::Stamped,
            State::Published => api::MessageState::Published,
            State::Received => api::MessageState::Received,
            State::Read => api::MessageState::Read,
            State::Cancelled => api::MessageState::Cancelled,
            State::Failed => api::MessageState::Failed,
        },
        path: if message.direct { api::MessagePath::Direct } else { api::MessagePath::Cast },
        request: message.request,
        vouched_by: message.vouched,
        mentions_me: message.calls,
        to_member: message.to,
        delivery: message.delivery.map(|delivery| api::Delivery { to: delivery.to.into(), of: delivery.of.into() }),
        anonymous: message.anonymous.map(|ring| api::Anonymous { ring: ring.into(), label: labels::ANONYMOUS.to_owned() }),
    }
}

pub(crate) fn conversation(engine: &Engine, conversation: chat::Conversation) -> api::Conversation {
    use chat::ConversationKind::{Cluster, Direct, Room};
    let kind = conversation.kind;
    let known = || {
        conversation.last.is_some() && conversation.state == ContactState::Accepted
            || engine.chat().is_announced(&conversation.who, engine.log()).unwrap_or(false)
    };
    let label = match conversation.state {
        _ if kind == Room => labels::room(),
        _ if kind == Cluster => labels::cluster(),
        ContactState::Requested => labels::request(),
        _ => labels::direct(known(), conversation.session, engine.remembered().len()),
    };
    let title = match (&conversation.petname, kind) {
        (Some(petname), _) => petname.clone(),
        (None, Room) => format!("#{}", conversation.who),
        (None, Cluster) => conversation.who.clone(),
        (None, Direct) => conversation.who.chars().take(8).collect(),
    };
    api::Conversation {
        id: conversation.id.to_string(),
        kind: match kind {
            Direct => api::ConversationKind::Direct,
            Room => api::ConversationKind::Room,
            Cluster => api::ConversationKind::Cluster,
        },
        who: conversation.who,
        title,
        last: conversation.last.map(message),
        unread: conversation.unread,
        label: label.to_owned(),
    }
}

pub(crate) fn room(engine: &Engine, room: chat::Room) -> api::Room {
    /// Authors looked at; a room with more liars than this has other problems.
    const REWRITERS: u32 = 1000;
    let rewriters = engine.log().rewriters(REWRITERS).unwrap_or_default();
    let rewritten = room.authors.into_iter().filter(|author| rewriters.contains(author)).collect();
    api::Room { room: room.name, joined: true, unread: room.unread, rewritten }
}

/// What a change means for those who watch: the thing itself, and the line of its conversation.
pub(crate) fn event(engine: &mut Engine, event: chat::Event) -> Result<Vec<api::Event>, ChatError> {
    match event {
        chat::Event::Message(id) => {
            // A post that lost a conflict is gone by now.
            let Ok(found) = engine.chat().message(&id) else { return Ok(Vec::new()) };
            let of = found.conversation;
            let message = api::Event::Message { message: message(found) };
            Ok([message].into_iter().chain(line(engine, of)?).collect())
        }
        chat::Event::Request(contact) => Ok(vec![api::Event::Request { request: request(engine.chat().request(contact)?) }]),
        chat::Event::Contact(of) => {
            let found = engine.chat().contact(of)?;
            Ok(vec![api::Event::Contact { contact: contact(engine, found) }])
        }
        chat::Event::Cluster(number) => {
            let found = engine.read(|chat| chat.cluster_of(number))?;
            let cluster = api::Event::Cluster { cluster: clusters::cluster(&found) };
            Ok([cluster].into_iter().chain(line(engine, found.conversation)?).collect())
        }
    }
}

fn line(engine: &Engine, id: i64) -> Result<Option<api::Event>, ChatError> {
    let found = engine.chat().conversation(id)?;
    Ok(found.map(|found| api::Event::Conversation { conversation: conversation(engine, found) }))
}

/// Progress of a stamp for the message that waits for it, if a message does.
pub(crate) fn stamp_progress(chat: &Chat, id: &EnvelopeId, tries: u64, expected: u64, rate: f64) -> Option<api::Event> {
    let message = chat.carried_by(id).ok().flatten()?;
    // Without memory: however long it took, as much is to be expected.
    let eta_s = (rate > 0.0).then(|| expected as f64 / rate);
    Some(api::Event::Stamp { id: HEXLOWER.encode(&message.0), tries, expected_tries: expected, rate, eta_s })
}
