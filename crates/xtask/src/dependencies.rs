//! docs/dependencies.md says of every direct dependency what it is for and what it costs: no row missing, none left over.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{fuzz, repo::Repo, step::Report};

const TABLE: &str = "docs/dependencies.md";
const WEB: &str = "web/package.json";

/// Compares the manifests with the table.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    let fuzz = repo.crates_of(fuzz::MANIFEST)?;
    let rust = repo.crates.iter().chain(&fuzz).flat_map(|c| c.external.iter().cloned());
    let used: BTreeSet<String> = rust.chain(web(&repo.text(WEB)?.with_context(|| format!("{WEB} is no text"))?)?).collect();
    let table = repo.text(TABLE)?.with_context(|| format!("{TABLE} is no text"))?;
    let rows: Vec<&str> = table.lines().filter_map(row).collect();
    let known: BTreeSet<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    let mut complaints: Vec<String> = used.difference(&known).map(|name| format!("{TABLE}: no row for {name}")).collect();
    complaints.extend(known.difference(&used).map(|name| format!("{TABLE}: nothing depends on {name} any more")));
    if rows.len() != known.len() {
        complaints.push(format!("{TABLE}: a dependency has two rows"));
    }
    Ok(Report::of(complaints))
}

/// The name in a row: `| name | … |` with the name in backquotes.
fn row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split_once("` |").map(|(name, _)| name)
}

fn web(manifest: &str) -> Result<Vec<String>> {
    let manifest: Value = serde_json::from_str(manifest)?;
    let sections = ["dependencies", "devDependencies"].into_iter().filter_map(|section| manifest.get(section)?.as_object());
    Ok(sections.flat_map(|packages| packages.keys().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_packages_are_read() {
        assert_eq!(row("| `axum` | HTTP | … |"), Some("axum"));
        assert_eq!(row("| crate | for |"), None);
        let manifest = r#"{"dependencies": {"a": "1"}, "devDependencies": {"@b/c": "2"}}"#;
        assert_eq!(web(manifest).unwrap(), ["a", "@b/c"]);
    }
}
