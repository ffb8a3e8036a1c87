//! The command line.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use iroh::EndpointId;
use samizdat_netlab::{
    Bare, Nat, RelayContact, abandon, matrix, obstacle,
    probe::{Verdict, probe},
    sweep,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::bare;

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
    },
    /// The bare engine, iroh by itself: what the matrix starts in its laboratories
    #[command(subcommand)]
    Bare(Role),
    /// Remove what laboratories of killed processes left behind
    Sweep,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Relay for others, until killed
    Relay {
        /// Where
        address: IpAddr,
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
        to: EndpointId,
        /// What the relay printed
        #[arg(long)]
        relay: RelayContact,
        /// How long to wait for a direct path, in milliseconds
        #[arg(long)]
        wait_ms: u64,
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
        Command::Matrix { quick, json, wait_ms, jobs } => {
            permitted()?;
            let engine = Bare { program: std::env::current_exe().context("this program's own place")? };
            // To standard error, so that standard output has the result alone.
            let told = |cell: &matrix::Cell| eprintln!("{}", cell.line());
            let matrix = matrix::run(&engine, &matrix::pairings(quick), Duration::from_millis(wait_ms), jobs, &told);
            if json {
                println!("{}", serde_json::to_string(&matrix)?);
            } else {
                print!("{}", matrix.table());
            }
            Ok(matrix.as_expected())
        }
        Command::Bare(role) => {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(async {
                match role {
                    Role::Relay { address } => bare::relay(address).await,
                    Role::Listen { relay } => bare::listen(relay).await,
                    Role::Dial { to, relay, wait_ms } => bare::dial(relay, to, Duration::from_millis(wait_ms)).await,
                }
            })?;
            Ok(true)
        }
        Command::Sweep => {
            permitted()?;
            println!("{} namespaces removed", sweep()?);
            Ok(true)
        }
    }
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
