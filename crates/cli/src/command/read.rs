//! `read`: messages, once or as they come.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use samizdat_api::{Client, ConversationKind, Event, Message, MessageState, call::MessageQuery};

use crate::{
    arguments::Context,
    failure::Failure,
    output::{short, time},
    printable::{printable, printable_lines},
};

const NOTHING_YET: &str = "No messages yet: write one with `samizdat send WHO TEXT`.";

#[derive(Args)]
pub(crate) struct Read {
    /// Only the chat with this petname, name or link; otherwise all conversations.
    #[arg(conflicts_with = "room")]
    who: Option<String>,
    /// Only this room.
    #[arg(long, value_name = "R")]
    room: Option<String>,
    /// Only what came after the message with this id.
    #[arg(long, value_name = "ID")]
    since: Option<String>,
    /// Go on as messages come, until Ctrl-C.
    #[arg(long)]
    follow: bool,
}

impl Read {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let all = MessageQuery { who: self.who, room: self.room, ..MessageQuery::default() };
        let wanted = MessageQuery { since: self.since, ..all.clone() };
        if self.follow {
            return follow(context, &client, &all, &wanted);
        }
        let messages = client.messages(&wanted)?;
        if messages.is_empty() {
            let sentence = if wanted.since.is_some() { "Nothing new." } else { NOTHING_YET };
            return context.output.nothing(sentence);
        }
        show(context, &client, &all, &messages)
    }
}

/// Prints `wanted`, then what is new in `all`. Events only wake us up: what is new is read again, so that what was missed
/// or came out of order is printed, too.
fn follow(context: &Context, client: &Client, all: &MessageQuery, wanted: &MessageQuery) -> Result<(), Failure> {
    let mut events = client.events()?;
    let before = client.messages(all)?;
    let first = client.messages(wanted)?;
    let mut seen: BTreeSet<String> = before.iter().chain(&first).map(|message| message.id.clone()).collect();
    show(context, client, all, &first)?;
    loop {
        match events.next().map_err(|_| Failure::node_ended())? {
            Event::Message { message } if seen.contains(&message.id) => continue,
            Event::Message { .. } | Event::Lagged => {}
            _ => continue,
        }
        let listed = client.messages(all).map_err(|_| Failure::node_ended())?;
        let now: BTreeSet<String> = listed.iter().map(|message| message.id.clone()).collect();
        let fresh: Vec<Message> = listed.into_iter().filter(|message| !seen.contains(&message.id)).collect();
        show(context, client, all, &fresh)?;
        // What is listed is bounded, so what is remembered is.
        seen = now;
    }
}

/// Prints messages and marks their conversations as read.
fn show(context: &Context, client: &Client, query: &MessageQuery, messages: &[Message]) -> Result<(), Failure> {
    let mixed = query.who.is_none() && query.room.is_none();
    let places = if mixed && !context.output.json && !messages.is_empty() { places(client)? } else { BTreeMap::new() };
    for message in messages {
        context.output.row(message, || line(context, message, places.get(&message.conversation)))?;
    }
    let unread: BTreeSet<&str> = messages
        .iter()
        .filter(|message| !message.mine && message.state != MessageState::Read)
        .map(|message| message.conversation.as_str())
        .collect();
    for conversation in unread {
        client.mark_read(conversation)?;
    }
    Ok(())
}

/// Where the messages of each conversation go, in words.
fn places(client: &Client) -> Result<BTreeMap<String, (ConversationKind, String)>, Failure> {
    let conversations = client.conversations()?;
    Ok(conversations.into_iter().map(|c| (c.id, (c.kind, printable(&c.title)))).collect())
}

fn line(context: &Context, message: &Message, place: Option<&(ConversationKind, String)>) -> String {
    let from = match &message.from_petname {
        _ if message.mine => "me".to_owned(),
        Some(petname) => printable(petname),
        None => short(&message.from),
    };
    let place = match place {
        Some((ConversationKind::Room, room)) => format!(" in {room}"),
        Some((ConversationKind::Direct, title)) if message.mine => format!(" to {title}"),
        _ => String::new(),
    };
    let note = match message.state {
        MessageState::Published | MessageState::Received | MessageState::Read => "",
        state => state.as_str(),
    };
    let note = match (message.request, note) {
        (true, _) => context.output.dim(" (wants to reach you: samizdat contact requests)"),
        (false, "") => String::new(),
        (false, note) => context.output.dim(&format!(" ({note})")),
    };
    format!("{} {}{place}: {}{note}", time(message.at), context.output.bold(&from), printable_lines(&message.text))
}
