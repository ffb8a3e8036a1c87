//! `status` and `stop`.

use std::{thread, time::Duration};

use samizdat_api::{Endpoint, PeerPath, Session, Status, Vault};
use serde_json::json;

use crate::{
    arguments::Context,
    failure::Failure,
    output::{count, grouped, size},
    printable::printable,
};

/// How often to look whether the node has ended, and how often at most.
const STOP_LOOKS: (Duration, u32) = (Duration::from_millis(50), 400);

pub(crate) fn show(context: &Context) -> Result<(), Failure> {
    let status = context.client()?.status()?;
    context.output.row(&status, || page(context, &status))
}

/// Asks the node to end, and waits until another could be started.
pub(crate) fn stop(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    client.shutdown()?;
    let (pause, looks) = STOP_LOOKS;
    for _ in 0..looks {
        // Its file goes last, when everything is on disk.
        if !Endpoint::read(&context.home).is_ok_and(|endpoint| endpoint.is_alive()) {
            return context.output.row(&json!({ "stopped": true }), || "Your node has stopped.".into());
        }
        thread::sleep(pause);
    }
    Err(Failure::refused("the node was asked to stop and is still running"))
}

fn page(context: &Context, status: &Status) -> String {
    let [direct, relayed, lan] = [PeerPath::Direct, PeerPath::Relayed, PeerPath::Lan]
        .map(|path| status.peers.iter().filter(|peer| peer.path == path).count());
    let peers = match status.peers.len() {
        0 => format!("none: join another node with `{}`, or add a contact by an invite link", context.command("up --join ADDR")),
        n => format!("{n} ({direct} direct, {relayed} relayed, {lan} in the local network)"),
    };
    let vault = match status.vault {
        Vault::KeyFile => "key file: whoever copies the node's home can read everything",
        Vault::Passphrase => "passphrase",
    };
    let store = &status.store;
    let mut rows = vec![
        ("You are", grouped(&status.name)),
        ("Peers", peers),
        ("Reached", printable(&status.reach.why)),
        ("Relays", printable(&status.relays.why)),
        ("Store", format!("{}, {} of {}", count(store.envelopes, "envelope"), size(store.bytes), size(store.budget_bytes))),
        (
            "Outbox",
            format!(
                "{} waiting, {} being stamped, {} stamped",
                status.outbox.waiting, status.outbox.stamping, status.outbox.stamped
            ),
        ),
        ("Vault", vault.to_owned()),
        ("Join", if status.join.is_empty() { "there is no way to this node yet".to_owned() } else { printable(&status.join) }),
        (
            "Version",
            format!(
                "{} (protocol {}, layout of the log {}, of the vault {})",
                printable(&status.version),
                status.versions.protocol,
                status.versions.log_layout,
                status.versions.vault_layout
            ),
        ),
    ];
    if let Some(clock) = &status.clock {
        rows.insert(1, ("Clock", printable(clock)));
    }
    if !status.sessions.is_empty() {
        rows.push(("Contacts", status.sessions.iter().map(session).collect::<Vec<_>>().join(", ")));
    }
    rows.extend(status.meeting.entries.iter().map(|entry| ("Entry", printable(&format!("{}: {}", entry.domain, entry.why)))));
    if status.meeting.lan.on {
        rows.push(("Nearby", printable(&status.meeting.lan.why)));
    }
    if let Some(entry) = &status.meeting.own_entry {
        rows.push(("Entry of", printable(&format!("{}: {}", entry.domain, entry.why))));
    }
    if store.conflicts > 0 {
        rows.push(("Rewritten", format!("{} of authors who rewrote their history", count(store.conflicts, "proof"))));
    }
    for role in status.roles.iter().filter(|role| role.on) {
        rows.push(("Relaying", format!("{} now. {}", count(role.peers, "peer"), printable(&role.why))));
    }
    rows.extend(status.paths.iter().map(|(path, sentence)| (path.as_str(), printable(sentence))));
    let drops: Vec<String> =
        status.drops.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{n} {}", printable(reason))).collect();
    if !drops.is_empty() {
        rows.push(("Refused", drops.join(", ")));
    }
    let lines: Vec<String> =
        rows.into_iter().map(|(key, value)| format!("{}  {value}", context.output.dim(&format!("{key:<9}")))).collect();
    lines.join("\n")
}

/// A contact to whom there is a connection.
fn session(session: &Session) -> String {
    let path = match session.path {
        PeerPath::Direct => "direct",
        PeerPath::Relayed => "relayed",
        PeerPath::Lan => "in the local network",
    };
    let rtt = session.rtt_ms.map(|ms| format!(", {ms} ms")).unwrap_or_default();
    format!("{} ({path}{rtt})", printable(&session.contact))
}
