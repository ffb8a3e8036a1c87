//! A real node on a station of the laboratory.
#![allow(dead_code)] // Each test uses a part.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use samizdat_netlab::{Process, Station};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Node<'a> {
    pub(crate) station: &'a Station,
    home: TempDir,
    pub(crate) name: String,
    pub(crate) join: String,
    _process: Process,
}

impl<'a> Node<'a> {
    /// With these options of `up`.
    pub(crate) fn start(station: &'a Station, options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = samizdat(&home);
        command.args(["up", "--no-ui", "--listen", "0.0.0.0:4001"]).args(options);
        let process = station.start(&mut command).unwrap();
        let ready: Value = process.json(PATIENCE).unwrap();
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self { station, home, name: text("name"), join: text("join"), _process: process }
    }

    /// The same, told of these nodes.
    pub(crate) fn joining(station: &'a Station, joins: &[&str]) -> Self {
        let options: Vec<&str> = joins.iter().flat_map(|join| ["--join", join]).collect();
        Self::start(station, &options)
    }

    pub(crate) fn row(&self, arguments: &[&str]) -> Option<Value> {
        self.rows(arguments).into_iter().next()
    }

    pub(crate) fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let mut command = samizdat(&self.home);
        let child = self.station.namespace().spawn(command.args(arguments).stdout(Stdio::piped())).unwrap();
        let output = child.wait_with_output().unwrap();
        // A search that finds nothing says so in its code.
        assert!([Some(0), Some(3)].contains(&output.status.code()), "{arguments:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asks until the answer is as wished. Each question is a process of its own, which is pause enough.
    pub(crate) fn until(&self, arguments: &[&str], wished: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            match self.row(arguments) {
                Some(row) if wished(&row) => return row,
                row => assert!(start.elapsed() < PATIENCE, "waited too long for {arguments:?}, got {row:?}"),
            }
        }
    }

    pub(crate) fn reach(&self, verdict: &str) {
        self.until(&["status"], |status| status["reach"]["verdict"] == verdict);
    }
}

pub(crate) fn samizdat(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samizdat"));
    command.arg("--home").arg(home.path().join("home")).arg("--json");
    command.env_remove("SAMIZDAT_HOME").env_remove("SAMIZDAT_PASSPHRASE");
    command
}
