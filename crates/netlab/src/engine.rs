//! What carries connections between peers, as programs that are started in the lab: iroh by itself, and our own node.

use std::{fmt, path::PathBuf, process::Command, str::FromStr, time::Duration};

use anyhow::{Context, Result};
use samizdat_core::record::Dual;
use serde::{Deserialize, Serialize};

use crate::{lab::Station, limits::PATIENCE, process::Process};

/// Programs of one kind that find each other. Contacts are texts that only the engine understands.
pub trait Engine: Sync {
    /// What it is called in tables.
    fn name(&self) -> &'static str;

    /// Starts a relay, and waits until it is ready.
    fn relay(&self, host: &Station) -> Result<Running>;

    /// Starts somebody who can be dialled, and waits until he is registered with `relay`.
    fn listen(&self, peer: &Station, relay: &Running) -> Result<Running>;

    /// Dials `to`, and waits up to `wait` for a direct path.
    fn dial(&self, peer: &Station, relay: &Running, to: &Running, wait: Duration) -> Result<Outcome>;
}

/// A process that is ready.
#[derive(Debug)]
pub struct Running {
    /// It.
    pub process: Process,
    /// How others reach it.
    pub contact: String,
}

/// What a process prints when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// How others reach it.
    pub contact: String,
}

/// How a dial went. Times run from its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// When there was a connection, in milliseconds.
    pub connected_ms: f64,
    /// When the first byte came back.
    pub first_byte_ms: f64,
    /// When packets went directly; nothing when they never did.
    pub direct_ms: Option<f64>,
    /// Where packets went at last.
    pub path: String,
}

/// The engines of this crate's own program, as its subcommands.
#[derive(Debug)]
pub struct Program {
    subcommand: &'static str,
    program: PathBuf,
}

impl Program {
    /// iroh by itself; `program` is where this crate's program is.
    pub fn bare(program: PathBuf) -> Self {
        Self { subcommand: "bare", program }
    }

    /// The network shell of our nodes, as the daemon uses it.
    pub fn node(program: PathBuf) -> Self {
        Self { subcommand: "node", program }
    }

    /// It, with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.subcommand).args(arguments);
        command
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&self, station: &Station, arguments: &[&str]) -> Result<Running> {
        let process = station.start(&mut self.command(arguments))?;
        let Ready { contact } =
            process.json(PATIENCE).with_context(|| format!("{} {arguments:?} is not ready", self.subcommand))?;
        Ok(Running { process, contact })
    }
}

impl Engine for Program {
    fn name(&self) -> &'static str {
        self.subcommand
    }

    fn relay(&self, host: &Station) -> Result<Running> {
        let addresses: Vec<String> =
            host.v4().map(|v4| v4.to_string()).into_iter().chain(host.v6().map(|v6| v6.to_string())).collect();
        let arguments: Vec<&str> = ["relay"].into_iter().chain(addresses.iter().map(String::as_str)).collect();
        self.start(host, &arguments)
    }

    fn listen(&self, peer: &Station, relay: &Running) -> Result<Running> {
        self.start(peer, &["listen", "--relay", &relay.contact])
    }

    fn dial(&self, peer: &Station, relay: &Running, to: &Running, wait: Duration) -> Result<Outcome> {
        let wait_ms = wait.as_millis().to_string();
        let process = peer.start(&mut self.command(&["dial", &to.contact, "--relay", &relay.contact, "--wait-ms", &wait_ms]))?;
        process.json(PATIENCE.saturating_mul(3).saturating_add(wait)).context("the dial failed")
    }
}

/// What must be known of a relay; written `ADDRESS:PORT/UDP-PORT/HASH`, with `+ADDRESS:PORT` after an IPv4 address if it has both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayContact {
    /// Where it serves HTTPS.
    pub https: Dual,
    /// At which UDP port it tells everybody his address.
    pub quic: u16,
    /// SHA-256 of its certificate.
    pub cert: [u8; 32],
}

impl fmt::Display for RelayContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.https, self.quic)?;
        self.cert.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for RelayContact {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (https, rest) = text.split_once('/').context("no UDP port")?;
        let (quic, hash) = rest.split_once('/').context("no hash")?;
        let bytes = data_encoding::HEXLOWER.decode(hash.as_bytes())?;
        Ok(Self { https: https.parse()?, quic: quic.parse()?, cert: bytes.try_into().ok().context("a hash has 32 bytes")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_contact_is_read_as_it_is_written() {
        for https in ["[2001:db8::10]:443", "203.0.113.10:443+[2001:db8::10]:443"] {
            let contact = RelayContact { https: https.parse().unwrap(), quic: 7842, cert: [0xa5; 32] };
            assert_eq!(contact.to_string().parse::<RelayContact>().unwrap(), contact);
        }
        assert!("203.0.113.10:443/7842/a5".parse::<RelayContact>().is_err());
    }
}
