//! `send`, `post`, `cluster say` and `cancel`: messages on their way out.

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use samizdat_api::{
    CallError, Client, Event, Message, MessageState,
    call::{Goal, NewMessage, WaitQuery},
    limits::{DEFAULT_WAIT_S, MAX_BODY, MAX_WAIT_S},
};

use crate::{
    arguments::Context,
    failure::Failure,
    interrupt::on_interrupt,
    output::{Progress, duration},
    printable::printable,
};

#[derive(Args)]
pub(crate) struct Send {
    /// A petname, a name or a link.
    who: String,
    #[command(flatten)]
    letter: Letter,
}

#[derive(Args)]
pub(crate) struct Post {
    #[command(flatten)]
    letter: Letter,
    /// Which room.
    #[arg(long, value_name = "R", default_value = "lobby")]
    room: String,
}

#[derive(Args)]
pub(crate) struct Say {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    /// To this member only; the others see that I say something to it, and not what.
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// So that members can tell that one of them wrote it, and not which: of three members at least, and four times between two
    /// rollouts of keys. Whoever sees the traffic of my node may tell.
    #[arg(long)]
    anonymous: bool,
    #[command(flatten)]
    letter: Letter,
}

#[derive(Args)]
struct Letter {
    /// What to say; `-` reads standard input.
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// Wait until another node has stored it, or until the reader's node has it.
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(["published", "received"]).map(|s| goal(&s)))]
    wait: Option<Goal>,
    /// How long to wait, seconds.
    #[arg(long, value_name = "S", default_value_t = DEFAULT_WAIT_S, value_parser = clap::value_parser!(u64).range(..=MAX_WAIT_S))]
    timeout: u64,
    /// How long nodes keep it; the longer, the longer its stamp takes [default: 14].
    #[arg(long, value_name = "N", value_parser = PossibleValuesParser::new(["1", "3", "7", "14", "28"]).try_map(|s| s.parse::<u32>()))]
    days: Option<u32>,
}

#[derive(Args)]
pub(crate) struct Cancel {
    /// Id of the message.
    id: String,
}

impl Send {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let message = NewMessage { who: Some(self.who), ..self.letter.body()? };
        self.letter.deliver(context, client, &message)
    }
}

impl Post {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.letter.wait == Some(Goal::Received) {
            return Err(Failure::usage("nobody acknowledges a post in a room: wait for `published`"));
        }
        let client = context.client()?;
        let message = NewMessage { room: Some(self.room.clone()), ..self.letter.body()? };
        client.join_room(&self.room)?;
        self.letter.deliver(context, client, &message)
    }
}

impl Say {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.anonymous && self.letter.wait == Some(Goal::Received) {
            return Err(Failure::usage("nobody acknowledges what nobody signed: wait for `published`"));
        }
        let client = context.client()?;
        let message = NewMessage { cluster: Some(self.cluster), member: self.to, anonymous: self.anonymous, ..self.letter.body()? };
        self.letter.deliver(context, client, &message)
    }
}

impl Cancel {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let message = context.client()?.cancel_message(&self.id)?;
        show(context, &message)
    }
}

impl Letter {
    fn body(&self) -> Result<NewMessage, Failure> {
        let text = if self.text == "-" { read_text()? } else { self.text.clone() };
        if text.trim().is_empty() {
            return Err(Failure::usage("there is nothing to say: the text is empty"));
        }
        Ok(NewMessage { text, days: self.days, ..NewMessage::default() })
    }

    /// Sends first and waits then, so that whoever interrupts the wait knows the message's id.
    fn deliver(&self, context: &Context, client: Client, message: &NewMessage) -> Result<(), Failure> {
        let sent = client.send(message)?;
        // In JSON it is a field.
        if let Some(anonymous) = sent.anonymous.as_ref().filter(|_| !context.output.json) {
            let _ = writeln!(io::stderr(), "{}", printable(&anonymous.label));
        }
        let Some(goal) = self.wait else {
            return show(context, &sent);
        };
        let progress = watch(context, &sent.id);
        let (row, output, shown) = (sent.clone(), context.output, Arc::clone(&progress));
        let cancel = context.command(&format!("cancel {}", printable(&sent.id)));
        on_interrupt(move || {
            clear(&shown);
            let _ = output.row(&row, || line(&row));
            let _ = writeln!(
                io::stderr(),
                "Not waiting any longer. The message stays in the outbox and goes on by itself; `{cancel}` takes it \
                 back while it is not stamped."
            );
        });
        let wait = WaitQuery { wait: Some(goal), timeout_s: Some(self.timeout) };
        let now = client.message(&sent.id, &wait);
        clear(&progress);
        // Whoever's wait failed wants to know which message to ask for.
        let Ok(now) = now else {
            show(context, &sent)?;
            return now.map(drop).map_err(Failure::from);
        };
        show(context, &now)?;
        if now.state.reached(goal.state()) {
            return Ok(());
        }
        // The likeliest reason, if there is one.
        let clock = client.status().ok().and_then(|status| status.clock);
        let excuse = self.excuse(now.state, goal);
        Err(Failure::refused(clock.map_or(excuse.clone(), |clock| format!("{excuse}. {clock}"))))
    }

    fn excuse(&self, state: MessageState, goal: Goal) -> String {
        let goal = goal.state().as_str();
        match state {
            MessageState::Cancelled => "the message was cancelled".to_owned(),
            MessageState::Failed => "the message can never be delivered".to_owned(),
            _ => format!(
                "the message is {} and was not {goal} within {} s; it stays in the outbox and goes on by itself",
                state.as_str(),
                self.timeout
            ),
        }
    }
}

/// Says on a terminal how far the message is, until it is cleared.
fn watch(context: &Context, id: &str) -> Arc<Mutex<Option<Progress>>> {
    let progress = Arc::new(Mutex::new(Some(Progress::new()).filter(Progress::is_watched)));
    if lock(&progress).is_some()
        && let Ok(client) = context.client()
    {
        let (shown, mine) = (Arc::clone(&progress), id.to_owned());
        thread::spawn(move || {
            let mut events = client.events()?;
            loop {
                let text = match events.next()? {
                    Event::Message { message } if message.id == mine => line(&message),
                    Event::Stamp { id, eta_s: Some(eta), .. } if id == mine => {
                        format!("{id}  being stamped, about {} left", duration(eta))
                    }
                    _ => continue,
                };
                match lock(&shown).as_mut() {
                    Some(progress) => progress.show(&text),
                    None => return Ok::<(), CallError>(()),
                }
            }
        });
    }
    progress
}

fn clear(progress: &Mutex<Option<Progress>>) {
    lock(progress).take();
}

fn lock(progress: &Mutex<Option<Progress>>) -> MutexGuard<'_, Option<Progress>> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn goal(text: &str) -> Goal {
    if text == "received" { Goal::Received } else { Goal::Published }
}

fn read_text() -> Result<String, Failure> {
    let mut text = Vec::new();
    // One byte more, to tell what is too long from what just fits.
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX).saturating_add(1);
    let unreadable = |e: &dyn core::fmt::Display| Failure::usage(format!("standard input is no text: {e}"));
    io::stdin().take(limit).read_to_end(&mut text).map_err(|e| unreadable(&e))?;
    if text.len() > MAX_BODY {
        return Err(Failure::usage("standard input is too long for a message"));
    }
    let text = String::from_utf8(text).map_err(|e| unreadable(&e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn show(context: &Context, message: &Message) -> Result<(), Failure> {
    context.output.row(message, || line(message))
}

fn line(message: &Message) -> String {
    let what = match message.state {
        MessageState::Waiting => "waiting for the other side's keys, or for a peer",
        MessageState::Stamping => "being stamped",
        MessageState::Stamped => "stamped, not published yet",
        MessageState::Published => "published",
        MessageState::Received => "received",
        MessageState::Read => "read",
        MessageState::Cancelled => "cancelled",
        MessageState::Failed => "failed",
    };
    format!("{}  {what}", printable(&message.id))
}
