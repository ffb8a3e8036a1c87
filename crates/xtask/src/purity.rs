//! Machines get time, randomness and bytes as arguments. Lints ban the calls; this looks at what lints do not see: the crates
//! behind ours, and every mention of the outside world in our own source.

use anyhow::Result;

use crate::{repo::Repo, step::Report};

/// Crates that must run under a virtual clock and network.
const PURE: [&str; 5] = ["core", "cluster", "sync", "chat", "engine"];
/// Nothing behind a pure crate may bring a runtime or a socket.
const RUNTIMES: [&str; 12] =
    ["async-io", "async-std", "axum", "hyper", "iroh", "mio", "quinn", "reqwest", "smol", "socket2", "tokio", "ureq"];
/// The outside world as source code spells it.
const OUTSIDE: [&str; 11] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "SysRng",
    "getrandom::",
    "println!",
    "eprint",
];

/// Complains about every way out of a pure crate.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    let mut complaints = Vec::new();
    for crate_ in repo.crates.iter().filter(|c| PURE.contains(&c.folder.as_str())) {
        let tree =
            repo.cargo(["tree", "--package", &crate_.name, "--edges", "normal", "--prefix", "none", "--format", "{lib}"]).read()?;
        let runtimes = RUNTIMES.into_iter().filter(|runtime| tree.lines().any(|line| line.replace('_', "-") == *runtime));
        complaints.extend(runtimes.map(|runtime| {
            let (folder, name) = (&crate_.folder, &crate_.name);
            format!("crates/{folder} must stay pure, but {runtime} is behind it: cargo tree -p {name} -e normal -i {runtime}")
        }));
    }
    for path in repo.files()? {
        let pure = PURE.iter().any(|folder| path.starts_with(&format!("crates/{folder}/src/")));
        if pure && path.ends_with(".rs") && !path.ends_with("/tests.rs") {
            let text = repo.text(&path)?.unwrap_or_default();
            complaints.extend(ways_out(&text).map(|(number, line)| format!("{path}:{number}: a pure crate must not say: {line}")));
        }
    }
    Ok(Report::of(complaints))
}

/// Lines of code, up to the tests, that name the outside world. Comments may.
fn ways_out(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().map(str::trim).zip(1..).take_while(|(line, _)| *line != "#[cfg(test)]");
    let bad = |line: &str| !line.starts_with("//") && OUTSIDE.iter().any(|word| line.contains(word));
    code.filter(move |(line, _)| bad(line)).map(|(line, number)| (number, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_is_found_in_code_and_neither_in_comments_nor_in_tests() {
        let text = "//! std::fs\nuse std::fs;\nlet x = 1; // fine\n#[cfg(test)]\nuse std::env;\n";
        assert_eq!(ways_out(text).collect::<Vec<_>>(), [(2, "use std::fs;")]);
    }
}
