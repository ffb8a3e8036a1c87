//! The command line.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use samizdat_netlab::{
    Nat, obstacle,
    probe::{Verdict, probe},
    sweep,
};

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
    /// Remove what laboratories of killed processes left behind
    Sweep,
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
        Command::Sweep => {
            permitted()?;
            println!("{} namespaces removed", sweep()?);
            Ok(true)
        }
    }
}

fn permitted() -> Result<()> {
    obstacle().map_or(Ok(()), |obstacle| bail!("no laboratory can be built here: {obstacle}"))
}
