//! `id`: my identities.

use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, Subcommand};
use samizdat_api::{
    Announced, Client, Event, Identity, Mining,
    call::{NewIdentity, NewMining},
};
use serde_json::json;

use crate::{
    arguments::Context,
    failure::Failure,
    interrupt::on_interrupt,
    output::{Progress, duration, grouped},
    printable::printable,
};

#[derive(Args)]
pub(crate) struct Id {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an identity; nobody can link it to the others.
    New {
        /// What I call it; never leaves this node.
        #[arg(long)]
        label: Option<String>,
    },
    /// Lists my identities.
    List,
    /// Searches for an identity whose name starts as wished; every letter more takes 32 times as long.
    Mine {
        /// What the name shall start with: letters a to z and digits 2 to 7.
        #[arg(long, required_unless_present = "cancel")]
        prefix: Option<String>,
        /// What I call it; never leaves this node.
        #[arg(long)]
        label: Option<String>,
        /// Ends the search that runs, whoever began it.
        #[arg(long, conflicts_with_all = ["prefix", "label"])]
        cancel: bool,
    },
}

impl Id {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.command {
            None => {
                let all = client.identities()?;
                let mine = all.iter().find(|identity| identity.default).or(all.first());
                show(context, mine.ok_or_else(|| Failure::not_found("this node has no identity yet"))?)
            }
            Some(Command::New { label }) => show(context, &client.new_identity(&NewIdentity { label })?),
            Some(Command::List) => client.identities()?.iter().try_for_each(|identity| show(context, identity)),
            Some(Command::Mine { prefix: Some(prefix), label, .. }) => mine(context, &client, NewMining { prefix, label }),
            Some(Command::Mine { prefix: None, .. }) => {
                client.cancel_mine()?;
                context.output.row(&json!({ "cancelled": true }), || "The search has ended.".into())
            }
        }
    }
}

fn show(context: &Context, identity: &Identity) -> Result<(), Failure> {
    context.output.row(identity, || {
        let mut line = context.output.bold(&grouped(&identity.name));
        if !identity.label.is_empty() {
            line.push_str(&format!("  {}", printable(&identity.label)));
        }
        if identity.default {
            line.push_str("  (default)");
        }
        match identity.announced {
            Announced::Published => {}
            Announced::Stamping => line.push_str("  its announcement is being stamped"),
            Announced::Stamped => line.push_str("  its announcement waits for a node to take it"),
            Announced::Waiting => line.push_str("  not announced yet"),
        }
        line
    })
}

fn mine(context: &Context, client: &Client, wish: NewMining) -> Result<(), Failure> {
    // Before the search begins, or its end could be missed.
    let mut events = client.events()?;
    let canceller = context.client()?;
    // Locked until the answer is there: who is interrupted before waits for it, or would end somebody else's search.
    let ours = Arc::new(Mutex::new(false));
    let answered = Arc::clone(&ours);
    let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    on_interrupt(move || {
        if *ours.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = canceller.cancel_mine();
        }
    });
    let search = client.mine(&wish)?;
    *answered = true;
    drop(answered);
    let mut progress = Progress::new();
    progress.show(&line(&search));
    loop {
        match events.next().map_err(|_| Failure::node_ended())? {
            Event::Mining { mining } if mining.id == search.id => progress.show(&line(&mining)),
            Event::Mined { id, identity } if id == search.id => {
                drop(progress);
                return show(context, &identity.ok_or_else(|| Failure::refused("the search was cancelled"))?);
            }
            // The end of the search may be among what was missed.
            Event::Lagged => {
                let found = client.identities()?.into_iter().find(|identity| identity.name.starts_with(&search.prefix));
                if let Some(identity) = found {
                    drop(progress);
                    return show(context, &identity);
                }
            }
            _ => {}
        }
    }
}

fn line(mining: &Mining) -> String {
    let rest = mining.eta_s.map_or_else(String::new, |eta| format!(", about {} left", duration(eta)));
    format!("{}…: {} keys tried, {:.0} per second{rest}; Ctrl-C cancels", mining.prefix, mining.tries, mining.rate)
}
