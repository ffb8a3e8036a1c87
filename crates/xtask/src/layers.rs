//! Which crate may know which: the arrows of ARCHITECTURE.md. Tests and benchmarks keep to them as well, but for
//! those of [`IN_TESTS`].

use anyhow::Result;

use crate::{repo::Repo, step::Report};

/// Every crate, by its folder, and all that it may depend on.
const ARROWS: [(&str, &[&str]); 14] = [
    ("core", &[]),
    ("cluster", &["core"]),
    ("sync", &["core"]),
    ("store", &["core"]),
    ("chat", &["core", "cluster", "store"]),
    ("engine", &["core", "sync", "store", "chat"]),
    ("net", &["core"]),
    ("entry", &["core"]),
    ("api", &[]),
    ("daemon", &["core", "cluster", "store", "chat", "engine", "net", "entry", "api"]),
    ("cli", &["api", "daemon"]),
    ("sim", &["core", "cluster", "sync", "store", "chat", "engine"]),
    // Its program can be one bare node of `net`, to be started in the laboratory.
    ("netlab", &["api", "core", "net"]),
    ("xtask", &[]),
];

/// What beyond that only the tests of a crate may depend on.
const IN_TESTS: [(&str, &str); 2] = [
    // They put the machine that answers contacts behind real sockets.
    ("net", "sync"),
    // They start the binary in the laboratory.
    ("cli", "netlab"),
];

/// Complains about every arrow that is not in the table, and about crates that are not.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    Ok(Report::of(repo.crates.iter().flat_map(|c| breaches(&c.folder, &c.ours, &c.ours_in_tests)).collect()))
}

fn breaches(folder: &str, depends_on: &[String], in_tests: &[String]) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.into_iter().find(|(name, _)| *name == folder) else {
        return vec![format!("crates/{folder} is new: say in crates/xtask/src/layers.rs and in ARCHITECTURE.md what it may know")];
    };
    let forbidden = |other: &&String| !allowed.contains(&other.as_str());
    let for_tests = |other: &&String| !IN_TESTS.contains(&(folder, other.as_str()));
    let forbidden = depends_on.iter().filter(forbidden).chain(in_tests.iter().filter(forbidden).filter(for_tests));
    forbidden.map(|other| format!("crates/{folder} must not depend on crates/{other}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_do_not_know_each_other_and_nobody_joins_unnoticed() {
        assert!(breaches("engine", &["core".into(), "sync".into()], &["store".into()]).is_empty());
        assert_eq!(breaches("sync", &["core".into(), "store".into()], &[]), ["crates/sync must not depend on crates/store"]);
        assert_eq!(breaches("utils", &[], &[]).len(), 1);
    }

    #[test]
    fn what_is_for_tests_is_for_nothing_else() {
        assert!(breaches("net", &["core".into()], &["sync".into()]).is_empty());
        assert_eq!(breaches("net", &["core".into(), "sync".into()], &[]), ["crates/net must not depend on crates/sync"]);
        assert_eq!(breaches("net", &["core".into()], &["store".into()]), ["crates/net must not depend on crates/store"]);
    }
}
