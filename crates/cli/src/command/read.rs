//! `read`: messages, once or as they come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use clap::Args;
use samizdat_api::{CallError, Client, ConversationKind, ErrorKind, Event, Message, MessageState, call::MessageQuery};

use crate::{
    arguments::Context,
    failure::Failure,
    output::{short, time},
    printable::{printable, printable_lines},
};

/// Messages asked for at once when all of them are wanted.
const PAGE: u32 = 200;
/// Printed messages that are remembered: one of them will still be there to go on from.
const REMEMBERED: usize = 1000;
const NOTHING_YET: &str = "No messages yet: write one with `samizdat send WHO TEXT`.";

#[derive(Args)]
pub(crate) struct Read {
    /// Only the chat with this petname, name or link, or the cluster of this name, number or id; otherwise all conversations.
    #[arg(conflicts_with_all = ["room", "cluster"])]
    who: Option<String>,
    /// Only this room.
    #[arg(long, value_name = "R")]
    room: Option<String>,
    /// Only this cluster, also where a contact is called the same.
    #[arg(long, value_name = "C", conflicts_with = "room")]
    cluster: Option<String>,
    /// Only what came after the message with this id.
    #[arg(long, value_name = "ID")]
    since: Option<String>,
    /// The newest that came before the message with this id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "follow"])]
    before: Option<String>,
    /// Go on as messages come, until Ctrl-C.
    #[arg(long)]
    follow: bool,
}

impl Read {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let all = MessageQuery { who: self.who, room: self.room, cluster: self.cluster, ..MessageQuery::default() };
        if self.follow {
            return follow(context, &client, &all, self.since);
        }
        if let Some(since) = self.since {
            let mut printed = Printed::after(since);
            return match printed.go_on(context, &client, &all)? {
                0 => context.output.nothing("Nothing new."),
                _ => Ok(()),
            };
        }
        let messages = client.messages(&MessageQuery { before: self.before.clone(), ..all.clone() })?;
        if messages.is_empty() {
            return context.output.nothing(if self.before.is_some() { "Nothing older." } else { NOTHING_YET });
        }
        show(context, &client, &all, &messages)
    }
}

/// Prints what is there (after `since`), then what is new. Events only wake us up: what is new is read again, so that what
/// was missed or came out of order is printed, too.
fn follow(context: &Context, client: &Client, all: &MessageQuery, since: Option<String>) -> Result<(), Failure> {
    let mut events = client.events()?;
    let mut printed = Printed::default();
    match since {
        Some(since) => {
            printed = Printed::after(since);
            printed.go_on(context, client, all)?;
        }
        None => {
            let first = client.messages(all)?;
            show(context, client, all, &first)?;
            printed.remember(&first);
        }
    }
    loop {
        match events.next().map_err(|_| Failure::node_ended())? {
            Event::Message { message } if printed.has(&message.id) => continue,
            Event::Message { .. } | Event::Lagged => {}
            _ => continue,
        }
        printed.go_on(context, client, all)?;
    }
}

/// What was printed last, to go on from there.
#[derive(Default)]
struct Printed {
    /// Where we began.
    since: Option<String>,
    order: VecDeque<String>,
    ids: BTreeSet<String>,
}

impl Printed {
    fn after(id: String) -> Self {
        Self { since: Some(id), ..Self::default() }
    }

    fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn remember(&mut self, messages: &[Message]) {
        for message in messages {
            if self.ids.insert(message.id.clone()) {
                self.order.push_back(message.id.clone());
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(id) = self.order.pop_front() {
                self.ids.remove(&id);
            }
        }
    }

    /// Prints all that came since, page by page; how many that were.
    fn go_on(&mut self, context: &Context, client: &Client, all: &MessageQuery) -> Result<usize, Failure> {
        let mut count: usize = 0;
        loop {
            let (page, more) = self.page(client, all)?;
            let fresh: Vec<Message> = page.into_iter().filter(|message| !self.has(&message.id)).collect();
            show(context, client, all, &fresh)?;
            self.remember(&fresh);
            count = count.saturating_add(fresh.len());
            if !more || fresh.is_empty() {
                return Ok(count);
            }
        }
    }

    /// The next messages, and whether there may be more.
    fn page(&mut self, client: &Client, all: &MessageQuery) -> Result<(Vec<Message>, bool), Failure> {
        let full = |page: &[Message]| page.len() >= PAGE as usize;
        while let Some(last) = self.order.back().or(self.since.as_ref()) {
            match client.messages(&MessageQuery { since: Some(last.clone()), limit: Some(PAGE), ..all.clone() }) {
                // A post whose author rewrote history is gone: what was printed before it will do.
                Err(CallError::Api(error)) if error.kind == ErrorKind::NotFound && !self.order.is_empty() => {
                    self.order.pop_back().map(|id| self.ids.remove(&id));
                }
                page => {
                    let page = page.map_err(gone)?;
                    let more = full(&page);
                    return Ok((page, more));
                }
            }
        }
        // Nothing was there when we began, so everything is new.
        let mut found: VecDeque<Message> = VecDeque::new();
        loop {
            let before = found.front().map(|message| message.id.clone());
            let page = client.messages(&MessageQuery { before, limit: Some(PAGE), ..all.clone() }).map_err(gone)?;
            let more = full(&page);
            page.into_iter().rev().for_each(|message| found.push_front(message));
            if !more {
                return Ok((found.into(), false));
            }
        }
    }
}

/// Prints messages and marks their conversations as read.
fn show(context: &Context, client: &Client, query: &MessageQuery, messages: &[Message]) -> Result<(), Failure> {
    let mixed = query.who.is_none() && query.room.is_none() && query.cluster.is_none();
    let places = if mixed && !context.output.json && !messages.is_empty() { places(client)? } else { BTreeMap::new() };
    for message in messages {
        context.output.row(message, || line(context, message, places.get(&message.conversation)))?;
    }
    // No further than what was printed: more may have come meanwhile.
    let mut last: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
    for message in messages {
        let unread = !message.mine && message.state != MessageState::Read;
        let (up_to, any) = last.entry(&message.conversation).or_insert(("", false));
        (*up_to, *any) = (&message.id, *any || unread);
    }
    for (conversation, (up_to, _)) in last.into_iter().filter(|(_, (_, unread))| *unread) {
        match client.mark_read(conversation, Some(up_to)) {
            // Its author rewrote history in this moment: the next one marks it.
            Err(CallError::Api(error)) if error.kind == ErrorKind::NotFound => {}
            marked => drop(marked.map_err(gone)?),
        }
    }
    Ok(())
}

/// Between two calls nothing but the end of the node makes the second fail.
fn gone(error: CallError) -> Failure {
    match error {
        CallError::Api(error) => error.into(),
        _ => Failure::node_ended(),
    }
}

/// Where the messages of each conversation go, in words.
fn places(client: &Client) -> Result<BTreeMap<String, (ConversationKind, String)>, Failure> {
    let conversations = client.conversations()?;
    Ok(conversations.into_iter().map(|c| (c.id, (c.kind, printable(&c.title)))).collect())
}

/// The author whom nobody knows, or I in that guise.
fn somebody(message: &Message) -> String {
    let ring = message.anonymous.as_ref().map_or(0, |anonymous| anonymous.ring);
    format!("{} (1 of {ring})", if message.mine { "me, as somebody" } else { "somebody" })
}

fn line(context: &Context, message: &Message, place: Option<&(ConversationKind, String)>) -> String {
    let from = match &message.from_petname {
        _ if message.anonymous.is_some() => somebody(message),
        _ if message.mine => "me".to_owned(),
        Some(petname) => printable(petname),
        None => short(&message.from),
    };
    let only = match &message.to_member {
        Some(_) if !message.mine => " to me only".to_owned(),
        Some(member) => format!(" to {} only", printable(member)),
        None => String::new(),
    };
    let place = match place {
        Some((ConversationKind::Room | ConversationKind::Cluster, room)) if only.is_empty() => format!(" in {room}"),
        Some((ConversationKind::Room | ConversationKind::Cluster, room)) => format!("{only}, in {room}"),
        Some((ConversationKind::Direct, title)) if message.mine => format!(" to {title}"),
        _ => only,
    };
    let note = match message.state {
        MessageState::Published | MessageState::Received | MessageState::Read => "",
        state => state.as_str(),
    };
    let note = match (message.request, &message.vouched_by, note) {
        (true, ..) => context.output.dim(" (wants to reach you: samizdat contact requests)"),
        (_, Some(teller), _) => context.output.dim(&format!(" (as told by {})", printable(teller))),
        (_, None, "") => String::new(),
        (_, None, note) => context.output.dim(&format!(" ({note})")),
    };
    format!("{} {}{place}: {}{note}", time(message.at), context.output.bold(&from), printable_lines(&message.text))
}
