//! `up`: the node itself.

use std::{
    env, fs,
    future::pending,
    io::{self, BufRead, IsTerminal, Write},
    net::SocketAddr,
    path::{self, Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Args;
use samizdat_api::{Client, ErrorKind};
use samizdat_daemon::{Options, Ready, StartError};
use serde_json::json;
use tokio::{runtime::Runtime, sync::oneshot};
use tracing_subscriber::EnvFilter;

use crate::{arguments::Context, failure::Failure, interrupt, output::grouped};

#[derive(Args, Default)]
pub(crate) struct Up {
    /// Where other nodes reach this one [default: any free port of every interface].
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Where the local API and the web UI listen; 127.0.0.1 or [::1] only [default: any free port].
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    api: Option<SocketAddr>,
    /// A node to meet at the start, as its `join` line says; may be given several times.
    #[arg(long, value_name = "ADDR")]
    join: Vec<String>,
    /// The name server to ask for entry domains [default: those of the system].
    #[arg(long, value_name = "IP:PORT")]
    resolver: Option<SocketAddr>,
    /// Tell the local network that this node is here, and find others there, in this run; `node lan on` keeps it so.
    #[arg(long)]
    lan: bool,
    /// Do not serve the web UI.
    #[arg(long)]
    no_ui: bool,
    /// Read the passphrase of the vault from the first line of a file; otherwise from SAMIZDAT_PASSPHRASE or, when the
    /// vault has one, from the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Reach others through a SOCKS5 proxy only, socks5://[USER:PASSWORD@]IP:PORT, Tor's for instance, from now on at every
    /// start; `off` ends that.
    #[arg(long, value_name = "URL", env = "SAMIZDAT_PROXY", hide_env_values = true)]
    proxy: Option<String>,
    /// Take another transport key so often, in seconds.
    #[arg(long, value_name = "SECONDS", hide = true)]
    rotate_every: Option<u32>,
}

impl Up {
    /// Runs the node until somebody wants it to end.
    pub(crate) fn run(self, context: &Context, open: bool) -> Result<(), Failure> {
        if open && let Ok(client) = context.find_client() {
            return show_running(context, &client);
        }
        let given = passphrase(self.passphrase_file.as_deref())?;
        let _ = tracing_subscriber::fmt()
            .with_env_filter(
                EnvFilter::try_from_env("SAMIZDAT_LOG").unwrap_or_else(|_| EnvFilter::new(samizdat_daemon::LOG_FILTER)),
            )
            .with_ansi(io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
            .with_writer(io::stderr)
            .try_init();
        let runtime = Runtime::new().map_err(|e| Failure::internal(format!("cannot start threads: {e}")))?;
        let start = |passphrase| {
            let options = Options {
                home: context.home.clone(),
                listen: self.listen,
                api: self.api,
                join: self.join.clone(),
                relays: Vec::new(),
                resolver: self.resolver,
                lan: self.lan,
                ui: !self.no_ui,
                passphrase,
                proxy: self.proxy.clone().filter(|url| !url.is_empty()),
                rotate_every: self.rotate_every.map(|seconds| Duration::from_secs(seconds.max(1).into())),
            };
            // Caught before the first word, so that whoever has read it can end the node cleanly; until then there is nothing
            // to end, and Ctrl-C leaves the prompt for the passphrase.
            let (catch, caught) = oneshot::channel();
            let on_ready = |ready| {
                if let Ok(wanted) = interrupt::wanted() {
                    let _ = catch.send(wanted);
                }
                welcome(context, &ready, open);
            };
            let shutdown = async {
                match caught.await {
                    Ok(wanted) => wanted.await,
                    Err(_) => pending().await,
                }
            };
            runtime.block_on(samizdat_daemon::run(options, on_ready, shutdown))
        };
        let ended = match start(given) {
            Err(error) if error.needs_passphrase() && io::stdin().is_terminal() => start(Some(ask("Passphrase of the vault: ")?)),
            ended => ended,
        };
        ended.map_err(Failure::from)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        if error.needs_passphrase() {
            let hint = "the vault has a passphrase: give it in SAMIZDAT_PASSPHRASE or with --passphrase-file";
            return Self::refused(hint);
        }
        match error.kind() {
            ErrorKind::Usage => Self::usage(error.to_string()),
            ErrorKind::NotFound => Self::not_found(error.to_string()),
            ErrorKind::Refused => Self::refused(error.to_string()),
            ErrorKind::Internal => Self::internal(error.to_string()),
        }
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "an address looks like 127.0.0.1:8080".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("the API listens on 127.0.0.1 or [::1] only".to_owned()) }
}

pub(crate) fn passphrase(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(file) = file else {
        return Ok(env::var("SAMIZDAT_PASSPHRASE").ok().filter(|passphrase| !passphrase.is_empty()));
    };
    let mut line = String::new();
    let open = fs::File::open(file).map_err(|e| Failure::file(file, &e))?;
    io::BufReader::new(open).read_line(&mut line).map_err(|e| Failure::file(file, &e))?;
    let passphrase = line.trim_end_matches(['\r', '\n']);
    if passphrase.is_empty() {
        return Err(Failure::usage(format!("{}: the first line is empty", file.display())));
    }
    Ok(Some(passphrase.to_owned()))
}

pub(crate) fn ask(prompt: &str) -> Result<String, Failure> {
    rpassword::prompt_password(prompt).map_err(|e| Failure::refused(format!("no passphrase was given ({e})")))
}

/// The first thing that the node says.
fn welcome(context: &Context, ready: &Ready, open: bool) {
    let row = json!({ "event": "ready", "name": ready.name, "join": ready.join, "api": ready.api, "ui": ready.ui });
    // A closed standard output does not keep a node from running.
    let _ = context.output.row(&row, || start_page(context, ready));
    if open && ready.ui.is_some() && has_display() {
        let home = context.home.clone();
        // In a thread of its own: the API is served by this one.
        thread::spawn(move || Client::connect(&home).map(|client| open_browser(&home, &client)));
    }
}

fn start_page(context: &Context, ready: &Ready) -> String {
    let ui = match &ready.ui {
        Some(link) => format!("  In a browser  {link}\n"),
        None => String::new(),
    };
    let join = if ready.join.is_empty() { String::new() } else { format!("  Others join   samizdat up --join {}\n", ready.join) };
    format!(
        "{title}\n\n  You are       {name}\n{ui}{join}\n\
         Invite somebody  {invite}   (in another terminal)\n\
         Write            {send}\n\
         Stop             Ctrl-C, or {stop}",
        invite = context.command("invite --qr"),
        send = context.command("send NAME 'Hello!'"),
        stop = context.command("stop"),
        title = context.output.bold("Your node is running."),
        name = grouped(&ready.name),
    )
}

fn show_running(context: &Context, client: &Client) -> Result<(), Failure> {
    // The terminal is the person's own, unlike the arguments of a browser.
    let link = client.ui_link();
    if !has_display() {
        return Err(Failure::refused(format!(
            "a node is running in {} already; to see it, open {link} in a browser",
            context.home.display()
        )));
    }
    open_browser(&context.home, client)?;
    let row = json!({ "event": "opened" });
    context.output.row(&row, || {
        format!("Your node was running already; its web UI opens in your browser. If it does not, open this:\n  {link}")
    })
}

/// Opens the UI by a page that only this person can read: everybody on this machine can see the arguments of a browser.
fn open_browser(home: &Path, client: &Client) -> Result<(), Failure> {
    let page = path::absolute(home.join(client.ui_page()?)).map_err(|e| Failure::file(home, &e))?;
    if let Err(e) = open::that_detached(page) {
        let _ = writeln!(io::stderr(), "No browser could be started ({e}): open the link above yourself.");
    }
    Ok(())
}

fn has_display() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
