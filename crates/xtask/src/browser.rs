//! The web UI as people meet it: two real nodes, a real browser, from an empty folder to an answered message.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
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
    let bob = Node::start(&program, homes.join("bob"), None)?;
    let alice = Node::start(&program, homes.join("alice"), Some(&bob.join))?;
    let run = repo.command("node").args(["e2e/run.mjs"]).within(&repo.target.join("web"));
    let run =
        run.env("UI_URL", &alice.ui).env("PEER_UI_URL", &bob.ui).env("SCREENSHOTS", repo.target.join("xtask").join("screenshots"));
    run.report(repo, "browser")
}

/// A running node; it ends with the value.
struct Node {
    process: Child,
    join: String,
    ui: String,
}

impl Node {
    fn start(program: &Path, home: PathBuf, join: Option<&str>) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--home").arg(home).args(["--json", "up", "--listen", "127.0.0.1:0"]);
        command.args(join.map(|join| ["--join", join]).into_iter().flatten());
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
