//! Licences, bans and sources of all dependencies, by cargo-deny with deny.toml.

use anyhow::Result;

use crate::{
    repo::{Haste, Repo, Run},
    step::Report,
};

const VERSION: &str = "0.20.2";

/// The part that needs no advisory database.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    command(repo, &["bans", "licenses", "sources"])?.report(repo, "licences")
}

/// Puts the program where the check finds it. Nobody waits for that yet, so it gets what others leave of the cores.
pub(crate) fn install(repo: &Repo) -> Result<()> {
    repo.tool("cargo-deny", VERSION, Haste::Idle).map(drop)
}

/// The named checks, by a cargo-deny that is installed into the target folder when it is not there.
pub(crate) fn command(repo: &Repo, checks: &[&str]) -> Result<Run> {
    let program = repo.tool("cargo-deny", VERSION, Haste::Now)?;
    Ok(repo.command(program).args(["--workspace", "check", "--hide-inclusion-graph"]).args(checks))
}
