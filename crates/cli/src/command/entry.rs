//! `entry`: domains in whose DNS this node looks for others; `node entry`: the domain in which it stands itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use samizdat_api::{
    EntryDomain, OwnEntry,
    meeting::{NewOwnEntry, Secret},
};
use serde_json::json;

use crate::{arguments::Context, failure::Failure, output::time, printable::printable};

#[derive(Args)]
pub(crate) struct Entry {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Adds a domain.
    Add {
        /// A name in DNS, from somebody whom you trust to keep nodes there.
        domain: String,
    },
    /// Lists them, and what their last lookup said.
    List,
    /// Removes a domain.
    Remove {
        /// Which.
        domain: String,
    },
}

/// What whoever adds a domain must know.
const SEEN: &str = "Only while your node is connected to nobody, it asks your name server for this domain; whoever runs that server, \
                    or the domain, sees that your internet address asks.";

impl Entry {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.command {
            Command::Add { domain } => {
                let row = client.add_entry(&domain)?;
                context.output.row(&row, || format!("added: {}\n{SEEN}", context.output.bold(&printable(&row.domain))))
            }
            Command::List => {
                let entries = client.entries()?;
                if entries.is_empty() {
                    return context.output.nothing("No domains: add one with `samizdat entry add DOMAIN`.");
                }
                entries.iter().try_for_each(|entry| context.output.row(entry, || line(context, entry)))
            }
            Command::Remove { domain } => {
                client.remove_entry(&domain)?;
                context.output.row(&json!({ "removed": domain }), || format!("removed: {}", printable(&domain)))
            }
        }
    }
}

fn line(context: &Context, entry: &EntryDomain) -> String {
    let at = entry.looked_at.map(|at| format!("{}  ", time(at))).unwrap_or_default();
    format!("{}  {at}{}", context.output.bold(&printable(&entry.domain)), printable(&entry.why))
}

#[derive(Args)]
pub(crate) struct Keep {
    #[command(subcommand)]
    command: Option<KeepCommand>,
}

#[derive(Subcommand)]
enum KeepCommand {
    /// Puts this node's record into a domain, as soon as strangers can dial it, and keeps it there.
    Set(Set),
    /// Takes it away.
    Off,
}

#[derive(Args)]
struct Set {
    /// The domain.
    domain: String,
    /// The primary name server of its zone, which takes updates by RFC 2136.
    #[arg(long, value_name = "IP:PORT", required_unless_present = "dyndns", conflicts_with = "dyndns")]
    server: Option<String>,
    /// Name of the TSIG key (HMAC-SHA256), when the file holds the secret alone.
    #[arg(long, value_name = "NAME", requires = "server")]
    key: Option<String>,
    /// A dyndns2 service.
    #[arg(long, value_name = "URL", requires = "user")]
    dyndns: Option<String>,
    /// Name of the user there.
    #[arg(long, value_name = "USER", requires = "dyndns")]
    user: Option<String>,
    /// A key file as tsig-keygen prints it, the secret of --key in base64, or the password of --user.
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// How many entries the domain has [default: 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    slots: Option<u8>,
}

impl Keep {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let meeting = match self.command {
            None => client.meeting()?,
            Some(KeepCommand::Off) => client.remove_own_entry()?,
            Some(KeepCommand::Set(set)) => {
                let secret = secret(&set.secret_file)?;
                let Set { domain, server, key, dyndns, user, slots, .. } = set;
                client.set_own_entry(&NewOwnEntry { domain, server, key, dyndns, user, secret, slots })?
            }
        };
        match &meeting.own_entry {
            Some(entry) => context.output.row(entry, || own(context, entry)),
            None => context.output.nothing(&format!(
                "This node is no entry point: `samizdat node entry set` makes it one. {}",
                printable(&meeting.entry_means)
            )),
        }
    }
}

fn own(context: &Context, entry: &OwnEntry) -> String {
    format!("{}  {}", context.output.bold(&printable(&entry.domain)), printable(&entry.why))
}

fn secret(file: &Path) -> Result<Secret, Failure> {
    fs::read_to_string(file).map(Secret::new).map_err(|error| Failure::file(file, &error))
}
