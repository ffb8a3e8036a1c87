//! Which crate may know which: the arrows of ARCHITECTURE.md. Tests and benchmarks keep to them as well.

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
    // Its tests put the machine that answers contacts behind real sockets.
    ("net", &["core", "sync"]),
    ("entry", &["core"]),
    ("api", &[]),
    ("daemon", &["core", "cluster", "store", "chat", "engine", "net", "entry", "api"]),
    // Its tests start the binary in the laboratory.
    ("cli", &["api", "daemon", "netlab"]),
    ("sim", &["core", "cluster", "sync", "store", "chat", "engine"]),
    // Its program can be one bare node of `net`, to be started in the laboratory.
    ("netlab", &["api", "core", "net"]),
    ("xtask", &[]),
];

/// Complains about every arrow that is not in the table, and about crates that are not.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    Ok(Report::of(repo.crates.iter().flat_map(|c| breaches(&c.folder, &c.ours)).collect()))
}

fn breaches(folder: &str, depends_on: &[String]) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.into_iter().find(|(name, _)| *name == folder) else {
        return vec![format!("crates/{folder} is new: say in crates/xtask/src/layers.rs and in ARCHITECTURE.md what it may know")];
    };
    let forbidden = depends_on.iter().filter(|other| !allowed.contains(&other.as_str()));
    forbidden.map(|other| format!("crates/{folder} must not depend on crates/{other}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_do_not_know_each_other_and_nobody_joins_unnoticed() {
        assert!(breaches("engine", &["core".into(), "sync".into()]).is_empty());
        assert_eq!(breaches("sync", &["core".into(), "store".into()]), ["crates/sync must not depend on crates/store"]);
        assert_eq!(breaches("utils", &[]).len(), 1);
    }
}
