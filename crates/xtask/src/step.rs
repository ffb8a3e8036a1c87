//! One step of a long run: it says how long it took, is silent when all is well and tells everything when it is not.

use std::{
    fs::{self, File},
    io::Write,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::repo::{Repo, Run};

/// No command of a step may take longer: something hangs.
const LIMIT: Duration = Duration::from_secs(45 * 60);
const POLL: Duration = Duration::from_millis(50);

/// How a step ended.
#[derive(Default)]
pub(crate) struct Report {
    /// Tests that passed, by what a test runner printed.
    pub(crate) passed: u64,
    /// Tests that failed, by what a test runner printed.
    pub(crate) failed: u64,
    /// Tests that were not run, by what a test runner printed.
    pub(crate) ignored: u64,
    /// Everything that somebody must know to mend it; empty when all is well.
    pub(crate) complaints: Vec<String>,
}

impl Report {
    /// Of a check that runs no tests.
    pub(crate) fn of(complaints: Vec<String>) -> Self {
        Self { complaints, ..Self::default() }
    }

    /// Adds another.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.ignored = self.ignored.saturating_add(other.ignored);
        self.complaints.extend(other.complaints);
        self
    }

    fn holds(&self) -> bool {
        self.complaints.is_empty()
    }
}

/// A run of steps.
pub(crate) struct Steps<'a> {
    repo: &'a Repo,
    only: &'a [&'a str],
    begun: Instant,
    total: Report,
    lines: Vec<String>,
}

impl<'a> Steps<'a> {
    /// The clock starts. Of the steps to come, those in `only` are done, or all when it is empty.
    pub(crate) fn new(repo: &'a Repo, only: &'a [&'a str]) -> Self {
        Self { repo, only, begun: Instant::now(), total: Report::default(), lines: Vec::new() }
    }

    /// Whether a step is to be done.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }

    /// Does one step, whatever became of those before.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce(&Repo) -> Result<Report>) {
        if !self.wants(name) {
            return;
        }
        print!("{name:9}");
        let _ = std::io::stdout().flush();
        let begun = Instant::now();
        let mut report = work(self.repo).unwrap_or_else(|error| Report::of(vec![format!("{error:#}")]));
        if !report.holds() {
            // A step can fail without a failed test, but never without being counted.
            report.failed = report.failed.max(1);
        }
        let line = format!("{:6} {:7.1} s", if report.holds() { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
        println!("{line}");
        report.complaints.iter().for_each(|complaint| println!("{complaint}"));
        self.lines.push(format!("{name:9}{line}"));
        self.total = std::mem::take(&mut self.total).and(report);
    }

    /// Sums up, with a last remark; whether everything held.
    pub(crate) fn finish(self, remark: &str) -> Result<bool> {
        if self.lines.len() < self.only.len() {
            bail!("some of these are no steps: {}", self.only.join(" "));
        }
        println!();
        self.lines.iter().for_each(|line| println!("{line}"));
        println!("total     {:14.1} s", self.begun.elapsed().as_secs_f64());
        if !self.only.is_empty() {
            println!("not everything: only {}", self.only.join(" "));
        }
        println!("{remark}");
        if self.total.ignored > 0 {
            println!("{} tests were ignored", self.total.ignored);
        }
        println!("{} passed, {} failed", self.total.passed, self.total.failed);
        Ok(self.total.holds())
    }
}

impl Run {
    /// Runs as part of the step `name`. What is printed goes to `xtask/NAME.log` in the target folder, and into the report on failure.
    pub(crate) fn report(self, repo: &Repo, name: &str) -> Result<Report> {
        Ok(self.log(repo, name)?.0)
    }

    /// The same, and what was printed.
    pub(crate) fn log(self, repo: &Repo, name: &str) -> Result<(Report, String)> {
        let log = repo.target.join("xtask").join(format!("{name}.log"));
        fs::create_dir_all(log.parent().context("a log lies nowhere")?)?;
        let file = File::create(&log)?;
        let Run(mut command) = self.env("CARGO_TERM_COLOR", "never").env("NO_COLOR", "1");
        let program = command.get_program().display().to_string();
        command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let begun = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break Some(status),
                None if begun.elapsed() > LIMIT => break None,
                None => thread::sleep(POLL),
            }
        };
        let printed = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let mut report = count(&printed);
        match status {
            Some(status) if status.success() => {}
            Some(status) => report.complaints.extend([printed.clone(), format!("{program} ended with {status}")]),
            None => {
                child.kill()?;
                let stopped = format!("{program} was stopped after {} minutes", LIMIT.as_secs() / 60);
                report.complaints.extend([printed.clone(), stopped]);
            }
        }
        Ok((report, printed))
    }
}

/// Sums what test runners printed: libtest (`test result: ok. 3 passed; 0 failed; 1 ignored; …`), vitest
/// (`Tests  1 failed | 3 passed | 2 skipped (6)`) and the browser's stories (`ok - a title`, `not ok - a title`).
fn count(printed: &str) -> Report {
    let mut sum = Report::default();
    for line in printed.lines().map(str::trim) {
        if line.starts_with("test result: ") || line.starts_with("Tests ") {
            let [passed, failed] = ["passed", "failed"].map(|word| number_before(line, word));
            let ignored = number_before(line, "ignored").saturating_add(number_before(line, "skipped"));
            sum = sum.and(Report { passed, failed, ignored, complaints: Vec::new() });
        }
        sum.passed = sum.passed.saturating_add(line.starts_with("ok - ").into());
        sum.failed = sum.failed.saturating_add(line.starts_with("not ok - ").into());
    }
    sum
}

fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.windows(2).find_map(|pair| if pair.last() == Some(&word) { pair.first()?.parse().ok() } else { None }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runners_print_is_summed() {
        let printed = "\
running 4 tests
test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
 Test Files  5 passed (5)
      Tests  1 failed | 20 passed | 2 skipped (23)
ok - a message appears
not ok - a dialog closes
the words 3 passed, alone, count for nothing
";
        let Report { passed, failed, ignored, complaints } = count(printed);
        assert_eq!((passed, failed, ignored, complaints.len()), (27, 5, 3, 0));
    }
}
