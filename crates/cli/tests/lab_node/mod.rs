//! A real node on a station of the laboratory.
#![allow(dead_code)] // Each test uses a part.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use samizdat_netlab::{Lab, Process, Station};
use serde_json::Value;
use tempfile::TempDir;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Node<'a> {
    pub(crate) station: &'a Station,
    home: TempDir,
    pub(crate) name: String,
    pub(crate) join: String,
    pub(crate) process: Process,
}

impl<'a> Node<'a> {
    /// With these options of `up`.
    pub(crate) fn start(station: &'a Station, options: &[&str]) -> Self {
        Self::at_home(station, tempfile::tempdir().unwrap(), &[&["--listen", "0.0.0.0:4001"], options].concat(), &[])
    }

    /// With these options and no others, and these variables in its environment.
    pub(crate) fn at_home(station: &'a Station, home: TempDir, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = samizdat(&home);
        command.args(["up", "--no-ui"]).args(options).envs(environment.iter().copied());
        let process = station.start(&mut command).unwrap();
        let ready: Value = process.json(PATIENCE).unwrap();
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self { station, home, name: text("name"), join: text("join"), process }
    }

    /// Kills it without a word to anybody, and starts it again with what is on its disk.
    pub(crate) fn killed_and_started(self, joins: &[&str]) -> Self {
        let Self { station, home, process, .. } = self;
        drop(process);
        let options: Vec<&str> = joins.iter().flat_map(|join| ["--join", join]).collect();
        Self::at_home(station, home, &[&["--listen", "0.0.0.0:4001"], options.as_slice()].concat(), &[])
    }

    /// Tells it to end, and starts it again with what is on its disk and these options.
    pub(crate) fn stopped_and_started(self, options: &[&str]) -> Self {
        self.row(&["stop"]);
        let Self { station, home, process, .. } = self;
        // Its output ends with it.
        while process.line(PATIENCE).is_ok() {}
        Self::at_home(station, home, &[&["--listen", "0.0.0.0:4001"], options].concat(), &[])
    }

    /// The same, told of these nodes.
    pub(crate) fn joining(station: &'a Station, joins: &[&str]) -> Self {
        let options: Vec<&str> = joins.iter().flat_map(|join| ["--join", join]).collect();
        Self::start(station, &options)
    }

    /// As people start it at home, who were told of these nodes: it listens wherever it likes.
    pub(crate) fn unsettled(station: &'a Station, joins: &[&str]) -> Self {
        let options: Vec<&str> = joins.iter().flat_map(|join| ["--join", join]).collect();
        Self::at_home(station, tempfile::tempdir().unwrap(), &options, &[])
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

    /// Starts a command that goes on.
    pub(crate) fn starts(&self, arguments: &[&str]) -> Process {
        self.station.start(samizdat(&self.home).args(arguments)).unwrap()
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

    /// Agrees to be a relay, and waits until it says so to others.
    pub(crate) fn relay(&self) {
        self.row(&["node", "role", "relay", "on"]);
        self.until(&["node", "role"], |role| role["announced"] == true);
    }

    /// Waits until a session runs by such a path.
    pub(crate) fn in_session(&self, path: &str) {
        self.until(&["status"], |status| status["sessions"][0]["path"] == path);
    }

    /// Sends somebody a word, and waits until his node has it.
    pub(crate) fn says(&self, who: &str, text: &str) {
        let sent = self.row(&["send", who, text, "--days", "1", "--wait", "received"]).unwrap();
        assert_eq!(sent["state"], "received", "{sent}");
    }

    pub(crate) fn reach(&self, verdict: &str) {
        self.until(&["status"], |status| status["reach"]["verdict"] == verdict);
    }
}

/// Nodes on the first three public hosts, which are in three networks, once they found out that strangers can dial them.
pub(crate) fn public(lab: &Lab) -> [Node<'_>; 3] {
    let [first, second, third] = [0, 1, 2].map(|n| lab.host(n).unwrap());
    let carol = Node::joining(first, &[]);
    let dave = Node::joining(second, &[&carol.join]);
    let erin = Node::joining(third, &[&carol.join, &dave.join]);
    [&carol, &dave, &erin].iter().for_each(|node| node.reach("reachable"));
    [carol, dave, erin]
}

/// The two write to each other for the first time.
pub(crate) fn befriend(alice: &Node<'_>, bob: &Node<'_>) {
    let invite = bob.row(&["invite"]).unwrap();
    alice.row(&["contact", "add", invite["link"].as_str().unwrap(), "--as", "bob"]);
    alice.row(&["send", "bob", "may I", "--days", "1"]);
    bob.until(&["contact", "requests"], |request| request["text"] == "may I");
    bob.row(&["contact", "accept", &alice.name]);
}

pub(crate) fn samizdat(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samizdat"));
    command.arg("--home").arg(home.path().join("home")).arg("--json");
    command.env_remove("SAMIZDAT_HOME").env_remove("SAMIZDAT_PASSPHRASE");
    command
}
