//! The web UI's own tests, in a copy, so that the source tree stays as it was checked out.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    repo::{Repo, Run},
    step::Report,
};

const LOCK: &str = "package-lock.json";

/// Type check, unit tests and the browser against a mock server.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    let copy = repo.target.join("web");
    if let Ok(entries) = fs::read_dir(&copy) {
        for entry in entries {
            let entry = entry?;
            // The packages are kept: the stamp below says whether they still fit.
            match entry.file_type()? {
                _ if entry.file_name() == "node_modules" => {}
                kind if kind.is_dir() => fs::remove_dir_all(entry.path())?,
                _ => fs::remove_file(entry.path())?,
            }
        }
    }
    let files = repo.files()?;
    for path in files.iter().filter_map(|path| path.strip_prefix("web/")) {
        let to = copy.join(path);
        fs::create_dir_all(to.parent().context("a file lies nowhere")?)?;
        fs::copy(repo.root.join("web").join(path), &to).with_context(|| format!("cannot copy web/{path}"))?;
    }
    let npm = |arguments: &[&str]| repo.command("npm").args(arguments).within(&copy);
    let installed = install(repo, &copy, npm(&["ci", "--no-audit", "--no-fund"]))?;
    Ok(installed.and(npm(&["test"]).report(repo, "web")?))
}

/// Installs the packages unless those of the same lock file are there.
fn install(repo: &Repo, copy: &Path, npm: Run) -> Result<Report> {
    let lock = fs::read(copy.join(LOCK))?;
    let stamp = copy.join("node_modules").join("installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(Report::default());
    }
    let report = npm.report(repo, "web-install")?;
    if report.complaints.is_empty() {
        fs::write(stamp, lock)?;
    }
    Ok(report)
}
