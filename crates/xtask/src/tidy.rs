//! Rules about the files themselves.

use anyhow::Result;

use crate::{repo::Repo, step::Report};

/// Nobody finds anything in a longer file.
const LINES_MAX: usize = 900;
/// What is left to do is an issue, not a comment. Spelled so that this file keeps its own rule.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// Folders of somebody's machine.
const PLACES: [&str; 4] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tmp/", "target")];
/// Tests wait for events, or for virtual time.
const SLEEPS: [&str; 3] = [concat!("thread::", "sleep"), concat!("time::", "sleep"), concat!("waitFor", "Timeout(")];

/// Complains about every breach, with its place.
pub(crate) fn check(repo: &Repo) -> Result<Report> {
    let mut complaints = Vec::new();
    for path in repo.files()? {
        if let Some(text) = repo.text(&path)? {
            complaints.extend(breaches(&path, &text).into_iter().map(|(line, breach)| format!("{path}:{line}: {breach}")));
        }
    }
    Ok(Report::of(complaints))
}

/// Line numbers and what is wrong there.
fn breaches(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let length = text.lines().count();
    if is_source(path) && length > LINES_MAX {
        found.push((length, format!("longer than {LINES_MAX} lines: split it by the data that its parts own")));
    }
    if path.starts_with("crates/") && path.ends_with("/src/lib.rs") && !text.starts_with("//!") {
        found.push((1, "a crate begins with a sentence about itself (//!)".to_owned()));
    }
    let lock = path.ends_with(".lock") || path.ends_with("package-lock.json");
    let mut test = is_test(path);
    for (line, number) in text.lines().zip(1..) {
        let mut breach = |what: String| found.push((number, what));
        test |= path.ends_with(".rs") && line.trim() == "#[cfg(test)]";
        if lock {
            if line.contains("\"resolved\":")
                || line.starts_with("source = ") && !line.contains("github.com/rust-lang/crates.io-index")
            {
                breach("a lock file names no host: take the package from the public registry".to_owned());
            }
            continue;
        }
        UNFINISHED
            .into_iter()
            .filter(|word| is_word(line, word))
            .for_each(|word| breach(format!("{word}: do it, or open an issue")));
        PLACES
            .into_iter()
            .filter(|place| begins_path(line, place))
            .for_each(|place| breach(format!("a path of one machine: {place}…")));
        if test && SLEEPS.iter().any(|sleep| line.contains(sleep)) {
            breach("a test must not sleep: wait for the event, or use virtual time".to_owned());
        }
    }
    found
}

fn is_source(path: &str) -> bool {
    path.starts_with("crates/") && path.ends_with(".rs") || path.starts_with("web/src/")
}

fn is_test(path: &str) -> bool {
    let in_tests = path.contains("/tests/") || path.ends_with("/tests.rs");
    in_tests && path.starts_with("crates/") || path.starts_with("web/e2e/") || path.contains(".test.ts")
}

fn is_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    around(line, word).any(|(before, after)| !part(before) && !part(after))
}

/// Whether a path in `line` begins with `place`, rather than containing it further on.
fn begins_path(line: &str, place: &str) -> bool {
    around(line, place).any(|(before, _)| !before.is_some_and(|c| c.is_alphanumeric() || "._-~/}*".contains(c)))
}

/// The characters before and after each place where `part` is in `line`.
fn around<'a>(line: &'a str, part: &'a str) -> impl Iterator<Item = (Option<char>, Option<char>)> + 'a {
    line.match_indices(part).map(move |(at, _)| {
        let (before, rest) = line.split_at(at);
        (before.chars().next_back(), rest.strip_prefix(part).and_then(|after| after.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> Vec<usize> {
        breaches(path, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn unfinished_work_and_paths_of_a_machine_are_found() {
        let [word, place] = [UNFINISHED[0], PLACES[0]];
        assert_eq!(told("README.md", &format!("fine\n# {word}: this\nSEVENTY{word}S\n")), [2]);
        assert_eq!(told("README.md", &format!("see {place}alice/x\nsee https://host{place}x\nsee ~{place}\n")), [1]);
    }

    #[test]
    fn sleep_is_for_programs_not_for_tests() {
        let sleep = format!("std::{}(x);\n", SLEEPS[0]);
        assert!(told("crates/net/src/a.rs", &sleep).is_empty());
        assert_eq!(told("crates/net/src/a.rs", &format!("#[cfg(test)]\n{sleep}")), [2]);
        assert_eq!(told("crates/net/tests/a.rs", &sleep), [1]);
        assert_eq!(told("crates/net/src/a/tests.rs", &sleep), [1]);
    }

    #[test]
    fn long_files_and_silent_crates_are_found() {
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(told("crates/net/src/a.rs", &long), [LINES_MAX + 1]);
        assert!(told("docs/a.md", &long).is_empty());
        assert_eq!(told("crates/net/src/lib.rs", "mod a;\n"), [1]);
    }

    #[test]
    fn lock_files_name_no_host() {
        assert_eq!(told("web/package-lock.json", "{\n\"resolved\": \"https://x\",\n"), [2]);
        let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://x\"\n";
        assert_eq!(told("Cargo.lock", lock), [2]);
    }
}
