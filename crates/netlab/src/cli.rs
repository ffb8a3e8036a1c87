//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use samizdat_net::Limits;
use samizdat_netlab::{
    Engine, Nat, Program, RelayContact, abandon, absence, flap, flood, matrix, obstacle,
    probe::{Verdict, probe},
    rehome, sweep,
};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{bare, node, talker, visit};

/// Exit code of what was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// A laboratory of network namespaces, in which real processes run behind real NATs.
#[derive(Debug, Parser)]
#[command(name = "netlab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look whether a NAT maps and filters as it is said to
    Probe {
        /// none, full, addr, port, eimnp or sym; each also with -noudp
        nat: Nat,
        /// Look at the firewall for IPv6 instead
        #[arg(long)]
        v6: bool,
        /// Print one JSON object instead of a sentence
        #[arg(long)]
        json: bool,
    },
    /// Dial through every pairing of NATs and tell what became direct
    Matrix {
        /// Only a handful of pairings
        #[arg(long)]
        quick: bool,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// How long to wait for a direct path, in milliseconds
        #[arg(long, default_value_t = 5000)]
        wait_ms: u64,
        /// How many laboratories at the same time
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Who dials
        #[arg(long, value_enum, default_value_t = Engines::Both)]
        engine: Engines,
    },
    /// Kill or silence the relay of two who talk, move one of two who talk, and tell how long nothing arrived
    Rehome {
        /// How often each
        #[arg(long, default_value_t = 20)]
        trials: usize,
        /// Only what goes away in this way
        #[arg(long, value_enum)]
        only: Option<rehome::Loss>,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Flood a node with strangers, and tell how it and its friends fare
    Flood {
        /// How many
        #[arg(long, default_value_t = 1000)]
        strangers: usize,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Let the network of one of two who talk go down and up, and tell whether something was lost or piled up
    Flap {
        /// How often
        #[arg(long, default_value_t = 100)]
        times: usize,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Let one of two who talk be away for longer than a link lives, and tell how soon the other noticed and when he was back
    Absence {
        /// How often each
        #[arg(long, default_value_t = 5)]
        trials: usize,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// The bare engine, iroh by itself: what is started in laboratories
    #[command(subcommand)]
    Bare(Role),
    /// The network shell of our nodes: what is started in laboratories
    #[command(subcommand)]
    Node(Role),
    /// Remove what laboratories of killed processes left behind
    Sweep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engines {
    /// iroh by itself
    Bare,
    /// The network shell of our nodes
    Node,
    /// One after the other in turn, and their ratio
    Both,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Relay for others, until killed
    Relay {
        /// Where: an address, or one of each version of IP
        #[arg(required = true)]
        address: Vec<IpAddr>,
    },
    /// Echo what dialers send, until killed
    Listen {
        /// What the relay printed
        #[arg(long)]
        relay: RelayContact,
    },
    /// Dial, and print how that went
    Dial {
        /// What the listener printed
        to: String,
        /// What the relay printed
        #[arg(long)]
        relay: RelayContact,
        /// How long to wait for a direct path, in milliseconds
        #[arg(long)]
        wait_ms: u64,
    },
    /// Talk to one other, until killed
    Talk {
        /// What relays printed, the best first
        #[arg(long)]
        relay: Vec<RelayContact>,
        /// What the other printed
        #[arg(long)]
        to: Option<String>,
    },
    /// Be visited, until killed
    Serve {
        /// At which port
        #[arg(long)]
        port: u16,
    },
    /// Visit somebody, until killed
    Visit {
        /// What he printed
        to: String,
        /// Where he is
        #[arg(long)]
        at: SocketAddr,
    },
    /// Visit somebody as many who have nothing to say
    Strangers {
        /// What he printed
        to: String,
        /// Where he is
        #[arg(long)]
        at: SocketAddr,
        /// Addresses of this machine from which they come
        #[arg(long)]
        from: Vec<IpAddr>,
        /// How many
        #[arg(long)]
        count: usize,
    },
}

pub(crate) fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does it; `false` means that something is not as it should be, and has been told.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Probe { nat, v6, json } => {
            permitted()?;
            let verdict = probe(nat, v6)?;
            let right = verdict == Verdict::expected(nat, v6);
            if json {
                println!("{}", serde_json::to_string(&verdict)?);
            } else {
                println!("{nat}: {verdict}{}", if right { "" } else { ": NOT WHAT IT IS SAID TO BE" });
            }
            Ok(right)
        }
        Command::Matrix { quick, json, wait_ms, jobs, engine } => {
            permitted()?;
            let (bare, node) = (Program::bare(myself()?), Program::node(myself()?));
            let engines: Vec<&dyn Engine> = match engine {
                Engines::Bare => vec![&bare],
                Engines::Node => vec![&node],
                Engines::Both => vec![&bare, &node],
            };
            // To standard error, so that standard output has the result alone.
            let told = |engine: &str, cell: &matrix::Cell| eprintln!("{engine}: {}", cell.line());
            let matrices = matrix::run(&engines, &matrix::pairings(quick), Duration::from_millis(wait_ms), jobs, &told);
            if json {
                println!("{}", serde_json::to_string(&matrices)?);
            } else {
                matrices.iter().for_each(|matrix| println!("{}", matrix.table()));
                if let [first, second] = matrices.as_slice()
                    && let Some(ratio) = matrix::ratio(first, second)
                {
                    println!("median time to direct, {} : {} = {ratio:.2}", second.engine, first.engine);
                }
            }
            Ok(fail(&matrix::failings(&matrices)))
        }
        Command::Rehome { trials, only, json } => {
            permitted()?;
            let program = Program::node(myself()?);
            let mut done = Vec::new();
            let each = rehome::Loss::ALL.into_iter().filter(|loss| only.is_none_or(|only| only == *loss));
            for loss in (0..trials).flat_map(|_| each.clone()) {
                let trial = rehome::trial(&program, loss)?;
                eprintln!("{}", trial.line());
                done.push(trial);
            }
            tell(&done, json, |done| rehome::summary(done))?;
            Ok(fail(&rehome::failings(&done)))
        }
        Command::Flood { strangers, json } => {
            permitted()?;
            let flood = flood::flood(&Program::node(myself()?), strangers)?;
            tell(&flood, json, flood::Flood::text)?;
            Ok(flood.passed(Limits::default().inbound.try_into()?))
        }
        Command::Flap { times, json } => {
            permitted()?;
            let flap = flap::flap(&Program::node(myself()?), times)?;
            tell(&flap, json, flap::Flap::text)?;
            Ok(flap.passed())
        }
        Command::Absence { trials, json } => {
            permitted()?;
            let program = Program::node(myself()?);
            let kinds = (0..trials).flat_map(|_| [absence::Away::Network, absence::Away::Puncher]);
            let done = kinds.map(|away| absence::absence(&program, away)).collect::<Result<Vec<_>>>()?;
            tell(&done, json, |done| done.iter().map(|absence| absence.line() + "\n").collect())?;
            Ok(done.iter().all(absence::Absence::passed))
        }
        Command::Bare(role) => play(async {
            match role {
                Role::Relay { address } => bare::relay(&address).await,
                Role::Listen { relay } => bare::listen(relay).await,
                Role::Dial { to, relay, wait_ms } => bare::dial(relay, to.parse()?, Duration::from_millis(wait_ms)).await,
                _ => bail!("the bare engine does not play that role"),
            }
        }),
        Command::Node(role) => play(async {
            match role {
                Role::Relay { address } => node::relay(&address).await,
                Role::Listen { relay } => node::listen(&[relay], Limits::default()).await,
                Role::Dial { to, relay, wait_ms } => node::dial(relay, &to, Duration::from_millis(wait_ms)).await,
                Role::Talk { relay, to } => talker::talk(&relay, to.as_deref()).await,
                Role::Serve { port } => visit::serve(port).await,
                Role::Visit { to, at } => visit::visit(&to, at).await,
                Role::Strangers { to, at, from, count } => visit::strangers(&to, at, &from, count).await,
            }
        }),
        Command::Sweep => {
            permitted()?;
            println!("{} namespaces removed", sweep()?);
            Ok(true)
        }
    }
}

fn myself() -> Result<PathBuf> {
    std::env::current_exe().context("this program's own place")
}

fn tell<T: Serialize>(what: &T, json: bool, text: impl Fn(&T) -> String) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(what)?);
    } else {
        print!("{}", text(what));
    }
    Ok(())
}

/// Says what is not as it must be, after all else; whether it is.
fn fail(failings: &[String]) -> bool {
    failings.iter().for_each(|failing| eprintln!("FAILED: {failing}"));
    failings.is_empty()
}

/// Runs something to its end.
fn play(role: impl Future<Output = Result<()>>) -> Result<bool> {
    tokio::runtime::Runtime::new()?.block_on(role)?;
    Ok(true)
}

fn permitted() -> Result<()> {
    if let Some(obstacle) = obstacle() {
        bail!("no laboratory can be built here: {obstacle}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::spawn(move || runtime.block_on(tidy_up_when_told_to_stop()));
    Ok(())
}

/// Nothing is dropped when a signal ends a process, so it is removed here.
async fn tidy_up_when_told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    if let Err(error) = abandon() {
        eprintln!("{error:#}");
    }
    std::process::exit(INTERRUPTED);
}
