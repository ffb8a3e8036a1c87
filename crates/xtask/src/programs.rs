//! The test programs of the workspace, several at a time: the long ones mostly wait, for disks, clocks and networks.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    repo::{Repo, Run},
    step::Report,
};

/// Programs at a time, for each core.
const PER_CORE: usize = 2;
/// Those that take long, the longest first, as `folder.kind.name`. They begin before all others, so that none of them is alone in the end.
const LONG: [&str; 18] = [
    "chat.test.clusters",
    "cli.test.lab_faults",
    "chat.test.stories",
    "cli.test.disk",
    "cli.test.kill",
    "cli.test.cluster_kills",
    "cli.test.lab",
    "cli.test.lab_entry",
    "chat.test.sessions",
    "daemon.test.sessions",
    "chat.test.bells",
    "cli.test.story",
    "netlab.test.bounds",
    "cli.test.lab_families",
    "cli.test.lab_lan",
    "chat.test.tags",
    "chat.test.receipts",
    "netlab.test.matrix",
];

/// Laboratories of real nodes, by how they are called. What they do takes the time that it takes in a network, and what goes wrong
/// in one is looked at by people: one at a time, beside others that only compute or wait.
const LABS: [&str; 2] = ["cli.test.lab", "netlab.test."];

/// A program that cargo built for tests.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// `folder.kind.name`, as `cli.test.disk`: no two have the same.
    name: String,
    file: PathBuf,
    /// Folder of its crate, where cargo lets it run.
    folder: PathBuf,
}

/// What is run side by side.
struct Job {
    name: String,
    run: Run,
}

/// What is still to be run.
struct Waiting {
    jobs: Vec<Job>,
    lab_is_taken: bool,
}

impl Waiting {
    /// The first that may begin. Laboratories that are left are for whoever runs one now.
    fn next(&mut self) -> Option<Job> {
        let at = self.jobs.iter().position(|job| !(self.lab_is_taken && is_lab(&job.name)))?;
        let job = self.jobs.remove(at);
        self.lab_is_taken |= is_lab(&job.name);
        Some(job)
    }

    fn ended(&mut self, name: &str) {
        self.lab_is_taken &= !is_lab(name);
    }
}

fn is_lab(name: &str) -> bool {
    LABS.iter().any(|lab| name.starts_with(lab))
}

/// Builds the tests and runs them all, those in comments too. `lint` adds to cargo's environment what makes its build that of the lints.
pub(crate) fn check(repo: &Repo, lint: impl Fn(Run) -> Run) -> Result<Report> {
    let build = ["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"];
    let (built, printed) = lint(repo.cargo(build)).log(repo, "tests-build")?;
    if !built.complaints.is_empty() {
        let complaints = built.complaints.into_iter().map(|text| without_messages(&text)).collect();
        return Ok(Report { complaints, ..built });
    }
    let mut programs = printed.lines().filter_map(program).collect::<Result<Vec<Program>>>()?;
    if programs.is_empty() {
        bail!("cargo built no tests");
    }
    programs.sort_by_key(|program| LONG.iter().position(|name| *name == program.name).unwrap_or(LONG.len()));
    let documents = Job { name: "documents".to_owned(), run: lint(repo.cargo(["test", "--workspace", "--doc", "--no-fail-fast"])) };
    let programs = programs.into_iter().map(|program| {
        let run = repo.command(&program.file).within(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
        Job { name: program.name, run }
    });
    side_by_side(repo, [documents].into_iter().chain(programs).collect())
}

/// The test program that a message of cargo tells of, if it does.
fn program(line: &str) -> Option<Result<Program>> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is = |pointer: &str, value: &Value| message.pointer(pointer) == Some(value);
    if !is("/reason", &"compiler-artifact".into()) || !is("/profile/test", &true.into()) {
        return None;
    }
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    let file = text("/executable")?;
    let parts = || {
        let folder = Path::new(text("/manifest_path")?).parent()?;
        let name = format!("{}.{}.{}", folder.file_name()?.to_str()?, text("/target/kind/0")?, text("/target/name")?);
        Some(Program { name, file: file.into(), folder: folder.to_owned() })
    };
    Some(parts().with_context(|| format!("cargo says too little of {file}")))
}

/// What cargo printed for people.
fn without_messages(printed: &str) -> String {
    printed.lines().filter(|line| !line.starts_with("{\"reason\":")).map(|line| format!("{line}\n")).collect()
}

/// Runs all of them, whatever becomes of each. How long each took goes to `xtask/tests.log` in the target folder.
fn side_by_side(repo: &Repo, jobs: Vec<Job>) -> Result<Report> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let waiting = Mutex::new(Waiting { jobs, lab_is_taken: false });
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || lock().next();
    let work = || {
        let mut done = Vec::new();
        while let Some(Job { name, run }) = next() {
            let begun = Instant::now();
            let outcome = run.log(repo, &format!("tests/{name}"));
            lock().ended(&name);
            done.push((begun.elapsed(), judge(&name, outcome), name));
        }
        done
    };
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.saturating_mul(PER_CORE)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().ok()).collect::<Option<Vec<_>>>()
    })
    .context("a thread that ran tests panicked")?;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_by_key(|(took, ..)| std::cmp::Reverse(*took));
    let line = |(took, report, name): &(Duration, Report, String)| {
        format!(
            "{:7.1} s {:6} passed {:3} failed {:3} ignored  {name}\n",
            took.as_secs_f64(),
            report.passed,
            report.failed,
            report.ignored
        )
    };
    fs::write(repo.target.join("xtask").join("tests.log"), done.iter().map(line).collect::<String>())?;
    Ok(done.into_iter().fold(Report::default(), |all, (_, report, _)| all.and(report)))
}

/// What a program comes to. Nobody passes who says nothing.
fn judge(name: &str, outcome: Result<(Report, String)>) -> Report {
    let mut report = match outcome {
        Ok((report, printed)) if !printed.contains("test result: ") && report.complaints.is_empty() => {
            Report { complaints: vec![printed, "it ended without a word of what became of its tests".to_owned()], ..report }
        }
        Ok((report, _)) => report,
        Err(error) => Report::of(vec![format!("{error:#}")]),
    };
    if report.failed > 0 && report.complaints.is_empty() {
        report.complaints.push("it says that tests failed, and ended as if none had".to_owned());
    }
    if !report.complaints.is_empty() {
        // It can fail without a failed test, but never without being counted.
        report.failed = report.failed.max(1);
        report.complaints.insert(0, format!("\n---- {name}"));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, complaints: &[&str], failed: u64) -> Report {
        let complaints = complaints.iter().map(|&text| text.to_owned()).collect();
        judge("a.test.b", Ok((Report { failed, complaints, ..Report::default() }, text.to_owned())))
    }

    #[test]
    fn of_what_cargo_builds_only_test_programs_are_run() {
        let message = r#"{"reason":"compiler-artifact","package_id":"x","manifest_path":"/r/crates/cli/Cargo.toml",
            "target":{"kind":["test"],"crate_types":["bin"],"name":"disk","src_path":"/r/crates/cli/tests/disk.rs"},
            "profile":{"test":true},"filenames":["/t/disk-1"],"executable":"/t/disk-1","fresh":true}"#;
        let disk = Program { name: "cli.test.disk".into(), file: "/t/disk-1".into(), folder: "/r/crates/cli".into() };
        assert_eq!(program(message).unwrap().unwrap(), disk);
        let others = [
            message.replace("true}", "false}"),
            message.replace("\"/t/disk-1\",\"fresh", "null,\"fresh"),
            message.replace("compiler-artifact", "build-script-executed"),
            "{\"reason\":\"build-finished\",\"success\":true}".to_owned(),
            "    Finished `test` profile".to_owned(),
        ];
        assert!(others.iter().all(|other| program(other).is_none()));
        assert!(program(&message.replace("manifest_path", "path")).unwrap().is_err());
        assert_eq!(without_messages("a\n{\"reason\":\"x\"}\nb\n"), "a\nb\n");
    }

    #[test]
    fn laboratories_come_one_after_the_other_and_hold_up_nobody_else() {
        let job = |name: &str| Job { name: name.to_owned(), run: Run(std::process::Command::new("true")) };
        let names = ["cli.test.lab", "netlab.test.nats", "cli.test.disk", "cli.test.lab_lan"];
        let mut waiting = Waiting { jobs: names.map(job).into(), lab_is_taken: false };
        let next = |waiting: &mut Waiting| waiting.next().map(|job| job.name);
        assert_eq!(next(&mut waiting).as_deref(), Some("cli.test.lab"));
        assert_eq!(next(&mut waiting).as_deref(), Some("cli.test.disk"));
        assert_eq!(next(&mut waiting), None);
        waiting.ended("cli.test.disk");
        assert_eq!(next(&mut waiting), None);
        waiting.ended("cli.test.lab");
        assert_eq!(next(&mut waiting).as_deref(), Some("netlab.test.nats"));
        waiting.ended("netlab.test.nats");
        assert_eq!(next(&mut waiting).as_deref(), Some("cli.test.lab_lan"));
        assert!(waiting.jobs.is_empty());
    }

    #[test]
    fn nobody_passes_who_says_nothing_or_contradicts_itself() {
        assert_eq!(said("test result: ok. 1 passed", &[], 0).complaints.len(), 0);
        for report in [
            said("", &[], 0),
            said("running 1 test\n", &[], 0),
            said("test result: FAILED. 1 failed", &[], 1),
            said("a crash", &["it ended with 101"], 0),
            judge("a.test.b", Err(anyhow::anyhow!("cannot run it"))),
        ] {
            assert_eq!(report.failed, 1);
            assert!(report.complaints.len() >= 2 && report.complaints.first().unwrap().ends_with("a.test.b"));
        }
    }
}
