//! `cargo xtask test`: the one command that says whether the repository is in order.

use anyhow::Result;

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
    // Lints and tests compile the dependencies twice (as metadata, as code), but run the build scripts, and so OpenSSL, once.
    steps.step("lints", |repo| {
        cargo(repo, "lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])
    });
    steps.step("tests", |repo| cargo(repo, "tests", &["test", "--workspace", "--no-fail-fast"]));
    steps.step("web", web::check);
    steps.step("browser", browser::check);
    steps.step("licences", deny::check);
    steps.finish("advisories are not part of this, they need the advisory database: cargo xtask deny")
}

fn format(repo: &Repo) -> Result<Report> {
    let ours = cargo(repo, "format", &["fmt", "--all", "--check", "--", "--color=never"])?;
    Ok(ours.and(cargo(repo, "format-fuzz", &["fmt", "--manifest-path", fuzz::MANIFEST, "--check", "--", "--color=never"])?))
}

/// The web UI is built for real, so that a broken one cannot hide behind the page that stands in for it.
fn cargo(repo: &Repo, name: &str, arguments: &[&str]) -> Result<Report> {
    repo.cargo(arguments.iter().copied()).env("SAMIZDAT_UI", "require").report(repo, name)
}
