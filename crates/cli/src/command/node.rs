//! `node`: what my node does for others, what it uses of them, and what it shows.

use clap::{Args, Subcommand, ValueEnum};
use samizdat_api::{RoleStatus, Status, call::NodeEdit, later::NO_SUCH_ROLE};

use super::{entry::Keep, proxy::Behind};
use crate::{arguments::Context, failure::Failure, output::count, printable::printable};

#[derive(Args)]
pub(crate) struct Node {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What my node does for others; nothing unless I say so.
    Role {
        /// What.
        #[arg(requires = "switch")]
        role: Option<Role>,
        /// Whether it does.
        switch: Option<Switch>,
    },
    /// Whether my node may use the relays of others, and which it uses.
    Relays {
        /// Whether it may.
        switch: Option<Switch>,
    },
    /// Whether the local network is told that this node is here, and others are found there; at first not.
    Lan {
        /// Whether it is; shows how it is when left out.
        lan: Option<Switch>,
    },
    /// Whether everything goes through a SOCKS5 proxy.
    Proxy(Behind),
    /// Keeps this node's record in a domain, where those look who know nobody.
    Entry(Keep),
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Carries the packets of people who cannot reach each other.
    Relay,
    /// Has its place in the protocol and comes with a later version; who asks for it learns that.
    #[value(hide = true)]
    Custodian,
    /// The same.
    #[value(hide = true)]
    Mix,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Node {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Role { role, switch } => {
                let status = match role.zip(switch) {
                    Some((Role::Custodian | Role::Mix, _)) => return Err(Failure::usage(NO_SUCH_ROLE)),
                    Some((Role::Relay, switch)) => {
                        let edit = NodeEdit { relay: Some(switch == Switch::On), ..NodeEdit::default() };
                        context.client()?.edit_node(&edit)?
                    }
                    None => context.client()?.status()?,
                };
                status.roles.iter().try_for_each(|role| context.output.row(role, || role_page(role)))
            }
            Command::Relays { switch } => {
                let client = context.client()?;
                let use_relays = switch.map(|switch| switch == Switch::On);
                let status = match use_relays {
                    Some(_) => client.edit_node(&NodeEdit { use_relays, ..NodeEdit::default() })?,
                    None => client.status()?,
                };
                context.output.row(&status.relays, || relays_line(&status))
            }
            Command::Lan { lan } => {
                let client = context.client()?;
                let lan = lan.map(|switch| switch == Switch::On);
                let status = match lan {
                    Some(_) => client.edit_node(&NodeEdit { lan, ..NodeEdit::default() })?,
                    None => client.status()?,
                };
                context.output.row(&status.meeting.lan, || printable(&status.meeting.lan.why))
            }
            Command::Proxy(behind) => behind.run(context),
            Command::Entry(keep) => keep.run(context),
        }
    }
}

fn role_page(role: &RoleStatus) -> String {
    let (switch, other) = if role.on { ("on", "off") } else { ("off", "on") };
    let mut lines = vec![format!("relay  {switch}"), format!("  {}", printable(&role.why))];
    if let Some((tcp, udp)) = role.tcp_port.zip(role.udp_port) {
        lines.push(format!(
            "  TCP port {tcp} and UDP port {udp}; {} served, {} turned away",
            count(role.peers, "peer"),
            role.refused
        ));
    }
    lines.push(format!("  What it does: {}", printable(&role.means)));
    lines.push(format!("  Switch it {other} with `samizdat node role relay {other}`."));
    lines.join("\n")
}

fn relays_line(status: &Status) -> String {
    let relays = &status.relays;
    let switch = if relays.allowed { "on" } else { "off" };
    let through = match relays.through.as_slice() {
        [] => String::new(),
        all => format!("; reached through {}", printable(&all.join(", "))),
    };
    format!("relays  {switch}; {} known{through}\n  {}", relays.known, printable(&relays.why))
}
