//! `cargo xtask TASK`: what is done to this repository besides building it.

mod browser;
mod deny;
mod dependencies;
mod fuzz;
mod layers;
mod programs;
mod purity;
mod repo;
mod setup;
mod step;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::repo::Repo;

const HELP: &str = "\
cargo xtask TASK

  test [STEP]...                everything that must hold, or some of it: format layers purity tidy lints tests web browser licences
  fmt                           formats all Rust code
  bless                         runs the tests and accepts the vectors, snapshots and corpora they make
  bench                         runs the benchmarks
  deny                          licences, bans, sources and advisories of all dependencies (needs the advisory database)
  fuzz [TARGET] [--seconds N]   feeds a decoder, or each in turn, with hostile bytes (needs a nightly toolchain; 60 s each)
  netlab ...                    real processes behind real NATs in network namespaces (Linux, as root): see `netlab --help`
";

fn main() -> ExitCode {
    match task() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the command line asks for; `false` means that something does not hold and has been told.
fn task() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let repo = Repo::open()?;
    match *arguments.as_slice() {
        ["test", ref steps @ ..] => test::run(&repo, steps),
        ["fmt"] => repo.all([repo.cargo(["fmt", "--all"]), repo.cargo(["fmt", "--manifest-path", fuzz::MANIFEST])]),
        ["bless"] => repo.all([repo.cargo(["test", "--workspace"]).env("BLESS", "1").env("INSTA_UPDATE", "always")]),
        ["bench"] => repo.all([repo.cargo(["bench", "--workspace"])]),
        ["deny"] => repo.all([deny::command(&repo, &["advisories", "bans", "licenses", "sources"])?]),
        ["fuzz", ref rest @ ..] => fuzz::run(&repo, rest),
        ["netlab", ref rest @ ..] => repo.all([repo.cargo(["run", "--quiet", "--package", "samizdat-netlab", "--"]).args(rest)]),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        _ => bail!("no such task\n\n{HELP}"),
    }
}
