//! `cargo xtask fuzz`: libFuzzer on the decoders. What `cargo test` replays is fuzz/corpus; what a run finds goes to the target folder.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    repo::{Haste, Repo, Run},
    setup,
};

/// The fuzz targets are a workspace of their own: they need a nightly toolchain.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";
const VERSION: &str = "0.13.2";
const SECONDS: u32 = 60;

/// Runs the target that `arguments` name, or all; whether none found anything.
pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Result<bool> {
    let (target, seconds) = match *arguments {
        [] => (None, SECONDS),
        [target] => (Some(target), SECONDS),
        ["--seconds", n] => (None, n.parse().context("how many seconds?")?),
        [target, "--seconds", n] => (Some(target), n.parse().context("how many seconds?")?),
        _ => bail!("cargo xtask fuzz [TARGET] [--seconds N]"),
    };
    let all = targets(repo)?;
    let chosen: Vec<&String> = all.iter().filter(|name| target.is_none_or(|target| target == name.as_str())).collect();
    if chosen.is_empty() {
        bail!("there is no such target; there are: {}", all.join(" "));
    }
    prepare(repo)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        [repo.tool("cargo-fuzz", VERSION, Haste::Now)?.with_file_name("")].into_iter().chain(std::env::split_paths(&path)),
    )?;
    let commands: Result<Vec<Run>> = chosen.into_iter().map(|name| Ok(fuzz(repo, name, seconds)?.env("PATH", &path))).collect();
    repo.all(commands?)
}

fn fuzz(repo: &Repo, name: &str, seconds: u32) -> Result<Run> {
    let found = repo.target.join("fuzz-corpus").join(name);
    fs::create_dir_all(&found)?;
    let cargo = ["run", "nightly", "cargo", "fuzz", "run", "--target-dir"];
    let limit = format!("-max_total_time={seconds}");
    Ok(repo.command("rustup").args(cargo).args([
        repo.target.join("fuzz"),
        name.into(),
        found,
        PathBuf::from("fuzz/corpus").join(name),
        "--".into(),
        limit.into(),
    ]))
}

fn targets(repo: &Repo) -> Result<Vec<String>> {
    let files = repo.files()?.into_iter();
    Ok(files.filter_map(|path| Some(path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs")?.to_owned())).collect())
}

/// The toolchain, and the versions that ship: cargo completes a copy of the workspace's lock file with what fuzzing adds.
fn prepare(repo: &Repo) -> Result<()> {
    if !setup::find("rustup") {
        bail!("fuzzing needs a nightly toolchain, and rustup to run it");
    }
    if repo.command("rustup").args(["run", "nightly", "rustc", "--version"]).read().is_err() {
        println!("installing a nightly toolchain");
        repo.command("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]).read()?;
    }
    fs::copy(repo.root.join("Cargo.lock"), repo.root.join("fuzz/Cargo.lock"))?;
    Ok(())
}
