//! `samizdat-sim run scenarios/broadcast.toml --nodes 1000 --seed 1 --json`,
//! `samizdat-sim route --nodes 10000 --churn 30 --byzantine 10 --seed 1 --json`,
//! `samizdat-sim clusters --schedules 1000 --seed 1 --byzantine 20 --json`

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use samizdat_sim::{ClusterPlan, Plan, Scenario, clusters, play, route};
use serde::Serialize;

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
    /// Let a network of routers live, look for nodes in it, and print the figures
    Route {
        /// What to simulate, a TOML file
        plan: Option<PathBuf>,
        /// How many nodes
        #[arg(long)]
        nodes: Option<usize>,
        /// So many of a hundred nodes die in an hour, and as many others come
        #[arg(long, value_name = "PERCENT_PER_HOUR")]
        churn: Option<f64>,
        /// So many of a hundred nodes are malicious
        #[arg(long, value_name = "PERCENT")]
        byzantine: Option<f64>,
        /// So many of a hundred nodes cannot be dialled
        #[arg(long, value_name = "PERCENT")]
        hidden: Option<f64>,
        /// Virtual hours before the lookups
        #[arg(long)]
        hours: Option<f64>,
        /// How many lookups are measured
        #[arg(long)]
        lookups: Option<usize>,
        /// The seed: equal seeds give equal runs
        #[arg(long)]
        seed: Option<u64>,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Play schedules of clusters whose members are cut off from each other, go and come back, and print what came of them
    Clusters {
        /// How many schedules, with seeds one after the other
        #[arg(long, default_value_t = 100)]
        schedules: u64,
        /// The seed of the first
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many members they begin with: a number, or a range as 5..50
        #[arg(long, value_name = "FROM..TO", default_value = "5..50", value_parser = range)]
        members: (usize, usize),
        /// So many of a hundred members are malicious
        #[arg(long, value_name = "PERCENT", default_value_t = 0)]
        byzantine: u64,
        /// Tell after each schedule how it stands
        #[arg(long)]
        progress: bool,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
}

fn range(text: &str) -> Result<(usize, usize), std::num::ParseIntError> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    Ok((from.parse()?, to.trim_start_matches('=').parse()?))
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run { scenario: path, nodes, seed, json } => {
            let mut scenario = Scenario::read(&text(&path)?).with_context(|| format!("{} is no scenario", path.display()))?;
            scenario.nodes = nodes.unwrap_or(scenario.nodes);
            scenario.seed = seed.unwrap_or(scenario.seed);
            scenario.check()?;
            let report = play(&scenario)?;
            print(json, &report, || report.table())
        }
        Command::Route { plan: path, nodes, churn, byzantine, hidden, hours, lookups, seed, json } => {
            let plan = match path {
                Some(path) => Plan::read(&text(&path)?).with_context(|| format!("{} is no plan", path.display()))?,
                None => Plan::default(),
            };
            let plan = Plan {
                nodes: nodes.unwrap_or(plan.nodes),
                churn: churn.unwrap_or(plan.churn),
                byzantine: byzantine.unwrap_or(plan.byzantine),
                hidden: hidden.unwrap_or(plan.hidden),
                hours: hours.unwrap_or(plan.hours),
                lookups: lookups.unwrap_or(plan.lookups),
                seed: seed.unwrap_or(plan.seed),
                ..plan
            };
            let report = route(&plan)?;
            print(json, &report, || report.table())
        }
        Command::Clusters { schedules, seed, members, byzantine, progress, json } => {
            let plan = ClusterPlan { schedules, seed, members, byzantine };
            plan.check()?;
            let report = clusters(&plan, |report| {
                if progress {
                    let last = report.failures.last().map(|failure| format!("{failure:?}")).unwrap_or_default();
                    eprintln!("{} of {schedules}: {} failed, {} lost. {last}", report.schedules, report.failed, report.lost);
                }
            })?;
            print(json, &report, || report.table())
        }
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn print(json: bool, report: &impl Serialize, table: impl Fn() -> String) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{}", table());
    }
    Ok(())
}
