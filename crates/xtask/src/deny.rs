//! Licences, bans and sources of all dependencies, by cargo-deny with deny.toml.

use anyhow::Result;

use crate::{
    repo::{Repo, Run},
    step::Report,
};

const VERSION: &str = "0.20.2";

/// The part that needs no advisory database.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    command(repo, &["bans", "licenses", "sources"])?.report(repo, "licences")
}

/// The named checks, by a cargo-deny that is installed into the target folder when it is not there.
pub(crate) fn command(repo: &Repo, checks: &[&str]) -> Result<Run> {
    let program = repo.tool("cargo-deny", VERSION)?;
    Ok(repo.command(program).args(["--workspace", "check", "--hide-inclusion-graph"]).args(checks))
}
