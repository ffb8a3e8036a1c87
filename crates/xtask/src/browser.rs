//! The web UI as people meet it: three real nodes, a real browser, from an empty folder to an answered message.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{repo::Repo, step::Report};

/// Drives the UI that the binary of the tests embeds. The copy of web/ and the binary are there from the steps before.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    let homes = repo.target.join("xtask").join("homes");
    if homes.exists() {
        fs::remove_dir_all(&homes)?;
    }
    let program = repo.target.join("debug").join("samizdat");
    let here = ["--listen", "127.0.0.1:0"];
    let bob = Node::start(&program, &homes.join("bob"), &here)?;
    let home = homes.join("alice");
    let alice = Node::start(&program, &home, &[&here[..], &["--join", &bob.join]].concat())?;
    // Nobody who asked for an address goes behind a proxy.
    let carol = Node::start(&program, &homes.join("carol"), &[])?;
    let run = repo.command("node").args(["e2e/run.mjs"]).within(&repo.target.join("web"));
    let run = run.env("UI_URL", &alice.ui).env("PEER_UI_URL", &bob.ui).env("LONE_UI_URL", &carol.ui);
    let run = run.env("SAMIZDAT", &program).env("SAMIZDAT_HOME", home);
    run.env("SCREENSHOTS", repo.target.join("xtask").join("screenshots")).report(repo, "browser")
}

/// A running node; it ends with the value.
struct Node {
    process: Child,
    join: String,
    ui: String,
}

impl Node {
    fn start(program: &Path, home: &Path, options: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--home").arg(home).args(["--json", "up"]).args(options);
        let mut process = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the node did not say that it is ready")?;
        let text = |key: &str| ready.get(key).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no {key}"));
        Ok(Self { join: text("join")?, ui: text("ui")?, process })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
