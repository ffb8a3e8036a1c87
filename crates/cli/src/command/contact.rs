//! `contact`: whom I know, and who wants to reach me.

use clap::{Args, Subcommand, ValueEnum};
use samizdat_api::{
    Answer, Client, Contact as Row, ContactRequest, ContactState, SessionChoice, SessionState,
    call::{ContactEdit, NewContact},
};

use crate::{
    arguments::Context,
    failure::Failure,
    output::{grouped, time},
    printable::{printable, printable_lines},
};

#[derive(Args)]
pub(crate) struct Contact {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Adds somebody by their invite link or name.
    Add {
        /// A `samizdat:` link or a name.
        #[arg(value_name = "LINK|NAME")]
        who: String,
        /// What I call them; never leaves this node.
        #[arg(long = "as", value_name = "PETNAME")]
        petname: Option<String>,
    },
    /// Lists whom I know.
    List,
    /// Lists who wants to reach me.
    Requests,
    /// Lets somebody write to me.
    Accept {
        /// Id of the request, or who asks.
        #[arg(value_name = "ID|WHO")]
        who: String,
    },
    /// Declines a request; they may ask again.
    Decline {
        /// Id of the request, or who asks.
        #[arg(value_name = "ID|WHO")]
        who: String,
    },
    /// Declines a request, or ends a contact, for good.
    Block {
        /// Id of the request, or whom.
        #[arg(value_name = "ID|WHO")]
        who: String,
    },
    /// Lets a blocked contact write again.
    Unblock {
        /// A petname, a name or a link.
        who: String,
    },
    /// Calls a contact otherwise.
    Rename {
        /// A petname, a name or a link.
        who: String,
        /// The new petname.
        petname: String,
    },
    /// Says whether a contact is told what I have read; at first nobody is.
    Receipts {
        /// A petname, a name or a link.
        who: String,
        /// Whether they are told.
        receipts: Switch,
    },
    /// Says whether my node connects to that of a contact when both are there; at first to nobody's. Messages then need
    /// no detour.
    Session {
        /// A petname, a name or a link.
        who: String,
        /// What that may show.
        choice: SessionSwitch,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum SessionSwitch {
    /// They are not connected.
    Off,
    /// Through relays: the relay sees that two addresses talk, not who; the contact sees when I am online.
    Relayed,
    /// Straight, if they allow it as well: the contact learns my internet address, and may learn those in my local network,
    /// all of them while `node lan` is on. Otherwise as relayed.
    Direct,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Contact {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.command {
            Command::Add { who, petname } => show(context, &client.add_contact(&NewContact { who, petname })?),
            Command::List => {
                let contacts = client.contacts()?;
                if contacts.is_empty() {
                    return context.output.nothing("Nobody yet: add somebody with `samizdat contact add LINK`.");
                }
                contacts.iter().try_for_each(|contact| show(context, contact))
            }
            Command::Requests => {
                let requests = client.requests()?;
                if requests.is_empty() {
                    return context.output.nothing("Nobody asks: give out a link with `samizdat invite`.");
                }
                requests.iter().try_for_each(|request| show_request(context, "", request))
            }
            Command::Accept { who } => answer(context, &client, &who, Answer::Accept),
            Command::Decline { who } => answer(context, &client, &who, Answer::Decline),
            Command::Block { who } => match answer(context, &client, &who, Answer::Block) {
                // Not a request, so it must be somebody I know.
                Err(failure) if failure.is_not_found() => {
                    edit(context, &client, &who, ContactEdit { blocked: Some(true), ..ContactEdit::default() })
                }
                answered => answered,
            },
            Command::Unblock { who } => {
                edit(context, &client, &who, ContactEdit { blocked: Some(false), ..ContactEdit::default() })
            }
            Command::Rename { who, petname } => {
                edit(context, &client, &who, ContactEdit { petname: Some(petname), ..ContactEdit::default() })
            }
            Command::Receipts { who, receipts } => {
                let receipts = Some(matches!(receipts, Switch::On));
                edit(context, &client, &who, ContactEdit { receipts, ..ContactEdit::default() })
            }
            Command::Session { who, choice } => {
                let session = Some(match choice {
                    SessionSwitch::Off => SessionChoice::Off,
                    SessionSwitch::Relayed => SessionChoice::Relayed,
                    SessionSwitch::Direct => SessionChoice::Direct,
                });
                edit(context, &client, &who, ContactEdit { session, ..ContactEdit::default() })
            }
        }
    }
}

fn answer(context: &Context, client: &Client, who: &str, answer: Answer) -> Result<(), Failure> {
    let done = match answer {
        Answer::Accept => "accepted: ",
        Answer::Decline => "declined: ",
        Answer::Block => "blocked: ",
    };
    show_request(context, done, &client.answer_request(who, answer)?)
}

fn edit(context: &Context, client: &Client, who: &str, edit: ContactEdit) -> Result<(), Failure> {
    show(context, &client.edit_contact(who, &edit)?)
}

fn show(context: &Context, contact: &Row) -> Result<(), Failure> {
    context.output.row(contact, || {
        let petname = context.output.bold(&printable(contact.petname.as_deref().unwrap_or("(no petname)")));
        let state = match contact.state {
            ContactState::Blocked => "blocked",
            ContactState::Accepted => "accepted",
            ContactState::Added if contact.known => "added",
            ContactState::Added => "added; not heard of yet, messages to them wait",
        };
        let receipts = if contact.receipts { "; told what I have read" } else { "" };
        let session = match contact.session {
            SessionChoice::Off => "",
            SessionChoice::Relayed => "; connected through relays when both are there",
            SessionChoice::Direct => "; connected straight when both are there and they allow it",
        };
        let now = match contact.session_state {
            SessionState::Off => "",
            SessionState::Waiting => ", not now",
            SessionState::Declined => ": they do not want it",
            SessionState::Open => ", as now",
        };
        format!("{petname}  {}  {state}{receipts}{session}{now}", grouped(&contact.name))
    })
}

fn show_request(context: &Context, done: &str, request: &ContactRequest) -> Result<(), Failure> {
    context.output.row(request, || {
        let invited = if request.invited { "  (used your invite link)" } else { "" };
        let head = format!("{done}{}  {}{invited}", grouped(&request.name), time(request.at));
        format!("{head}\n    {}\n    {}", printable_lines(&request.text), context.output.dim(&request.id))
    })
}
