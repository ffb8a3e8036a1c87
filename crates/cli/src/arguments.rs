//! The command line as clap reads it: what is global, and the list of commands.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use etcetera::base_strategy::{BaseStrategy, Xdg};
use samizdat_api::{Client, ConnectError};

use crate::{
    command::{cluster, contact, entry, id, invite, log, message, motion, net, node, passphrase, read, room, shell, status, up},
    failure::Failure,
    output::Output,
};

/// Private messages without servers.
///
/// Without a command: starts a node and opens its web UI in a browser.
#[derive(Parser)]
#[command(name = "samizdat", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Do not open a browser.
    #[arg(long)]
    pub(crate) no_open: bool,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 not found, 4 refused or not in time, \
                          5 no node is running.";

#[derive(Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Where the node keeps everything [default: ~/.local/share/samizdat].
    #[arg(long, global = true, value_name = "DIR", env = "SAMIZDAT_HOME", hide_env_values = true)]
    home: Option<PathBuf>,
    /// One JSON object per line on standard output, and nothing else there.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Starts a node in the foreground.
    Up(up::Up),
    /// Ends the running node.
    Stop,
    /// Shows how the node is.
    Status,
    /// Shows who I am, or makes another identity.
    Id(id::Id),
    /// Makes a link by which somebody can reach me.
    Invite(invite::Invite),
    /// Whom I know, and who wants to reach me.
    Contact(contact::Contact),
    /// Domains in whose DNS this node looks for others when it is connected to nobody.
    Entry(entry::Entry),
    /// Writes to somebody.
    Send(message::Send),
    /// Writes to a public room, and joins it.
    Post(message::Post),
    /// Takes a message back that has not left yet.
    Cancel(message::Cancel),
    /// Shows messages and marks them as read.
    Read(read::Read),
    /// Lists public rooms.
    Rooms,
    /// Groups that decide by votes who is in.
    Cluster(cluster::Cluster),
    /// What is moved in a cluster.
    Motion(motion::Motion),
    /// Votes on a motion.
    Vote(motion::Vote),
    /// What my node does for others, and what it uses of them.
    Node(node::Node),
    /// How the network looks from here.
    Net(net::Net),
    /// Looks into the log of envelopes, exports and imports it.
    Log(log::Log),
    /// Sets, changes or removes the passphrase of the vault, while no node runs.
    Passphrase(passphrase::Passphrase),
    /// Prints completions for a shell.
    Completions(shell::Completions),
    /// Writes manual pages into a folder.
    Man(shell::Man),
}

impl Command {
    /// Runs every command but `up`, which [`command::run`](crate::command::run) knows.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Up(up) => up.run(context, false),
            Self::Stop => status::stop(context),
            Self::Status => status::show(context),
            Self::Id(id) => id.run(context),
            Self::Invite(invite) => invite.run(context),
            Self::Contact(contact) => contact.run(context),
            Self::Entry(entry) => entry.run(context),
            Self::Send(send) => send.run(context),
            Self::Post(post) => post.run(context),
            Self::Cancel(cancel) => cancel.run(context),
            Self::Read(read) => read.run(context),
            Self::Rooms => room::list(context),
            Self::Cluster(cluster) => cluster.run(context),
            Self::Motion(motion) => motion.run(context),
            Self::Vote(vote) => vote.run(context),
            Self::Net(net) => net.run(context),
            Self::Log(log) => log.run(context),
            Self::Node(node) => node.run(context),
            Self::Passphrase(passphrase) => passphrase.run(context),
            Self::Completions(completions) => completions.run(),
            Self::Man(man) => man.run(),
        }
    }
}

/// What every command needs.
pub(crate) struct Context {
    pub(crate) home: PathBuf,
    /// Another command finds the same home only when it is told.
    must_name_home: bool,
    pub(crate) output: Output,
}

impl Context {
    /// The running node.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.find_client().map_err(|error| match error {
            ConnectError::NoNode(_) => Failure::no_node(&error, &self.command("up")),
            other => other.into(),
        })
    }

    /// A command for the same home, for a person to type.
    pub(crate) fn command(&self, rest: &str) -> String {
        if self.must_name_home { format!("samizdat --home {} {rest}", quoted(&self.home)) } else { format!("samizdat {rest}") }
    }

    pub(crate) fn find_client(&self) -> Result<Client, ConnectError> {
        Client::connect(&self.home)
    }
}

/// Reads the command line; what is wrong with it is said already when this fails.
pub(crate) fn parse() -> Result<(Arguments, Context), ExitCode> {
    let arguments = Arguments::try_parse().map_err(|error| {
        let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if !shown && env::args_os().any(|argument| argument == "--json") {
            return Failure::usage(sentence(&error.to_string())).report(true);
        }
        let _ = error.print();
        let _ = io::stdout().flush();
        if shown { ExitCode::SUCCESS } else { ExitCode::from(2) }
    })?;
    let output = Output::new(arguments.global.json);
    let named = |home: &PathBuf| !home.as_os_str().is_empty();
    let unasked = env::var_os("SAMIZDAT_HOME").map(PathBuf::from).filter(named).map_or_else(default_home, Ok);
    let asked = arguments.global.home.clone().filter(named);
    let must_name_home = asked.is_some() && asked.as_ref() != unasked.as_ref().ok();
    let home = match asked.map_or(unasked, Ok) {
        Ok(home) => home,
        Err(failure) => return Err(failure.report(output.json)),
    };
    Ok((arguments, Context { home, must_name_home, output }))
}

/// What is wrong, without the advice that follows after an empty line. Arguments stand in lines of their own.
fn sentence(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let arguments: Vec<&str> = lines.collect();
    format!("{first} {}", arguments.join(", ")).trim_end().to_owned()
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&b)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn default_home() -> Result<PathBuf, Failure> {
    Xdg::new()
        .map(|base| base.data_dir().join("samizdat"))
        .map_err(|_| Failure::usage("there is no home directory: say with --home where the node shall keep everything"))
}
