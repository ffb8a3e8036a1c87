//! `cargo xtask test`: the one command that says whether the repository is in order.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{
    browser, deny, dependencies, fuzz, layers, purity,
    repo::Repo,
    setup,
    step::{Report, Steps},
    tidy, web,
};

/// Installs what is needed, then runs all steps, or those in `only`, the quick ones first. Whether all held.
pub(crate) fn run(repo: &Repo, only: &[&str]) -> Result<bool> {
    setup::ensure(repo)?;
    let mut steps = Steps::new(repo, only);
    steps.step("format", format);
    steps.step("layers", layers::check);
    steps.step("purity", purity::check);
    steps.step("tidy", |repo| Ok(tidy::check(repo)?.and(dependencies::check(repo)?)));
    steps.step("lints", |repo| linted(repo, "lints", &["build", "--workspace", "--all-targets", "--quiet"]));
    steps.step("tests", |repo| linted(repo, "tests", &["test", "--workspace", "--no-fail-fast"]));
    steps.step("web", web::check);
    steps.step("browser", browser::check);
    steps.step("licences", deny::check);
    steps.finish("advisories are not part of this, they need the advisory database: cargo xtask deny")
}

fn format(repo: &Repo) -> Result<Report> {
    let ours = cargo(repo, "format", &["fmt", "--all", "--check", "--", "--color=never"])?;
    Ok(ours.and(cargo(repo, "format-fuzz", &["fmt", "--manifest-path", fuzz::MANIFEST, "--check", "--", "--color=never"])?))
}

fn cargo(repo: &Repo, name: &str, arguments: &[&str]) -> Result<Report> {
    repo.cargo(arguments.iter().copied()).report(repo, name)
}

/// Clippy judges our crates while they are compiled, as `cargo clippy` does while it only checks them: so that everything,
/// OpenSSL and some 500 other crates, is compiled once and not once as metadata and once as code. The web UI is built for
/// real, so that a broken one cannot hide behind the page that stands in for it.
fn linted(repo: &Repo, name: &str, arguments: &[&str]) -> Result<Report> {
    let toolchain = repo.command("rustc").args(["--print", "sysroot"]).read()?;
    let clippy = Path::new(toolchain.trim()).join("bin").join(format!("clippy-driver{}", std::env::consts::EXE_SUFFIX));
    if !clippy.is_file() {
        bail!("clippy is missing: rustup component add clippy");
    }
    let run = repo.cargo(arguments.iter().copied()).env("SAMIZDAT_UI", "require");
    // This is how `cargo clippy -- --deny warnings` hands it on.
    run.env("RUSTC_WORKSPACE_WRAPPER", clippy)
        .env("CLIPPY_ARGS", "--deny__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")
        .report(repo, name)
}
