//! `samizdat-sim run scenarios/broadcast.toml --nodes 1000 --seed 1 --json`

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::{Parser, Subcommand};
use samizdat_sim::{Scenario, play};

/// Plays scenarios in a simulated network of real nodes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play one scenario and print its figures
    Run {
        /// The scenario, a TOML file
        scenario: PathBuf,
        /// How many nodes, instead of what the scenario says
        #[arg(long)]
        nodes: Option<usize>,
        /// The seed, instead of what the scenario says: equal seeds give equal runs
        #[arg(long)]
        seed: Option<u64>,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let Command::Run { scenario: path, nodes, seed, json } = Arguments::parse().command;
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut scenario = Scenario::read(&text).with_context(|| format!("{} is no scenario", path.display()))?;
    scenario.nodes = nodes.unwrap_or(scenario.nodes);
    scenario.seed = seed.unwrap_or(scenario.seed);
    scenario.check()?;
    let report = play(&scenario)?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
