//! `net`: how the network looks from here.

use clap::{Args, Subcommand};
use samizdat_api::{Finding, FindingState, NetFound, NodeRow, Role};

use crate::{
    arguments::Context,
    failure::Failure,
    output::{count, time},
    printable::printable,
};

#[derive(Args)]
pub(crate) struct Net {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says what works from here, and what would improve it.
    Doctor,
    /// Looks for a node by its transport key.
    Lookup {
        /// As `net table` and `status` show it.
        key: String,
    },
    /// Lists the nodes that the routing knows.
    Table,
}

impl Net {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.command {
            Command::Doctor => {
                client.net_doctor()?.iter().try_for_each(|finding| context.output.row(finding, || finding_lines(context, finding)))
            }
            Command::Table => {
                let nodes = client.net_table()?;
                if nodes.is_empty() {
                    return context.output.nothing("None yet: only nodes that strangers can dial are known to the routing.");
                }
                nodes.iter().try_for_each(|node| context.output.row(node, || node_lines(node)))
            }
            Command::Lookup { key } => {
                let found = client.net_lookup(&key)?;
                context.output.row(&found, || found_lines(&found))?;
                match found.node {
                    Some(_) => Ok(()),
                    None => {
                        Err(Failure::not_found("no node with this key was found: it may be offline, or have another key by now"))
                    }
                }
            }
        }
    }
}

fn finding_lines(context: &Context, finding: &Finding) -> String {
    let mark = match finding.state {
        FindingState::Good => "good",
        FindingState::Fair => "fair",
        FindingState::Bad => "bad ",
    };
    let what = context.output.bold(&format!("{:<10}", printable(&finding.what)));
    let advice = finding.advice.as_deref().map(|advice| format!("\n                  {}", printable(advice))).unwrap_or_default();
    format!("{mark}  {what}  {}{advice}", printable(&finding.says))
}

fn node_lines(node: &NodeRow) -> String {
    let list = |what: &str, items: &[String]| match items {
        [] => String::new(),
        items => format!("\n    {what} {}", printable(&items.join(", "))),
    };
    let roles: Vec<String> = node.roles.iter().map(|role| role_name(*role).to_owned()).collect();
    let places = [list("at", &node.addrs), list("through", &node.via), list("is", &roles)].concat();
    format!("{}{places}\n    until {}", printable(&node.peer), time(node.expires))
}

fn found_lines(found: &NetFound) -> String {
    let asked = format!("{} asked, {}", count(found.asked, "node"), count(found.hops.into(), "hop"));
    match &found.node {
        Some(node) => format!("{}\n    {asked}", node_lines(node)),
        None => format!("not found; {asked}"),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Relay => "relay",
        Role::Entry => "entry point",
        Role::Custodian => "custodian",
        Role::Mix => "mix",
    }
}
