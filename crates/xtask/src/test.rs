//! `cargo xtask test`: the one command that says whether the repository is in order.

use std::{path::Path, thread};

use anyhow::{Result, bail};

use crate::{
    browser, deny, dependencies, fuzz, layers, programs, purity,
    repo::{Repo, Run},
    setup,
    step::{Report, Steps},
    tidy, web,
};

/// Installs what is needed, then runs all steps, or those in `only`, the quick ones first. Whether all held.
pub(crate) fn run(repo: &Repo, only: &[&str]) -> Result<bool> {
    setup::ensure(repo)?;
    let mut steps = Steps::new(repo, only);
    thread::scope(|scope| {
        // The program that judges licences is compiled beside everything else, out of whatever is left of the cores. What
        // goes wrong there shows in its step, which tries again.
        let early = steps.wants("licences").then(|| scope.spawn(|| deny::install(repo).is_ok()));
        steps.step("format", format);
        steps.step("layers", layers::check);
        steps.step("purity", purity::check);
        steps.step("tidy", |repo| Ok(tidy::check(repo)?.and(dependencies::check(repo)?)));
        steps.step("lints", |repo| {
            let lint = lint(repo)?;
            lint(repo.cargo(["build", "--workspace", "--all-targets", "--quiet"])).report(repo, "lints")
        });
        steps.step("tests", |repo| programs::check(repo, lint(repo)?));
        steps.step("web", web::check);
        steps.step("browser", browser::check);
        steps.step("licences", |repo| {
            early.map(thread::ScopedJoinHandle::join);
            deny::check(repo)
        });
        steps.finish("advisories are not part of this, they need the advisory database: cargo xtask deny")
    })
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
fn lint(repo: &Repo) -> Result<impl Fn(Run) -> Run + use<>> {
    let toolchain = repo.command("rustc").args(["--print", "sysroot"]).read()?;
    let clippy = Path::new(toolchain.trim()).join("bin").join(format!("clippy-driver{}", std::env::consts::EXE_SUFFIX));
    if !clippy.is_file() {
        bail!("clippy is missing: rustup component add clippy");
    }
    Ok(move |run: Run| {
        run.env("SAMIZDAT_UI", "require")
            .env("RUSTC_WORKSPACE_WRAPPER", &clippy)
            // This is how `cargo clippy -- --deny warnings` hands it on.
            .env("CLIPPY_ARGS", "--deny__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")
    })
}
