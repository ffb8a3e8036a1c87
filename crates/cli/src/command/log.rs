//! `log`: the replicated envelopes, and carrying them by hand.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use samizdat_api::{CallError, Client, call::ExportQuery};
use serde_json::json;

use crate::{
    arguments::Context,
    failure::Failure,
    output::{Progress, count, size, time},
};

const HOUR_MS: u64 = 3_600_000;
/// Bytes between two lines of progress.
const SHOWN_EVERY: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what the log holds.
    Stats,
    /// Checks every envelope again.
    Verify,
    /// Writes the log into a file, for a node that this one cannot reach.
    Export {
        /// The file; replaced if it exists.
        file: PathBuf,
        /// Only what somebody needs of what I sent to them: a petname, a name or a link.
        #[arg(long = "for", value_name = "WHO", conflicts_with = "room")]
        who: Option<String>,
        /// Only the posts of a room.
        #[arg(long)]
        room: Option<String>,
    },
    /// Takes in what another node exported; every envelope is checked.
    Import {
        /// The file.
        file: PathBuf,
    },
}

impl Log {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.command {
            Command::Stats => stats(context, &client),
            Command::Verify => verify(context, &client),
            Command::Export { file, who, room } => export(context, &client, &ExportQuery { who, room }, &file),
            Command::Import { file } => import(context, &client, &file),
        }
    }
}

fn stats(context: &Context, client: &Client) -> Result<(), Failure> {
    let stats = client.log_stats()?;
    context.output.row(&stats, || {
        let kinds = &stats.by_kind;
        let mut text = format!(
            "{}, {}\n{}, {}, {}, {} sealed",
            count(stats.envelopes, "envelope"),
            size(stats.bytes),
            count(kinds.announcement, "announcement"),
            count(kinds.post, "post"),
            count(kinds.bell, "bell"),
            kinds.sealed,
        );
        if let (Some(oldest), Some(newest)) = (stats.oldest_hour, stats.newest_hour) {
            let [oldest, newest] = [oldest, newest].map(|hour| time(hour.saturating_mul(HOUR_MS)));
            text.push_str(&format!("\nfrom {oldest} to {newest}"));
        }
        if stats.conflicts > 0 {
            text.push_str(&format!("\n{} of authors who rewrote their history", count(stats.conflicts, "proof")));
        }
        text
    })
}

fn verify(context: &Context, client: &Client) -> Result<(), Failure> {
    let check = client.log_verify()?;
    context.output.row(&check, || format!("{} checked, {} bad", count(check.checked, "envelope"), check.bad.len()))?;
    if check.bad.is_empty() {
        return Ok(());
    }
    Err(Failure::internal("the log is damaged: export it, remove it and import it again to drop what is bad"))
}

fn export(context: &Context, client: &Client, of: &ExportQuery, file: &Path) -> Result<(), Failure> {
    // Half a log must not look like a whole one.
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut out = File::create(&part).map_err(|e| Failure::file(&part, &e))?;
    let written = client.log_export(of, &mut Counted::new(&mut out, None, shown())).map_err(|error| match error {
        CallError::File(e) => Failure::file(&part, &e),
        other => other.into(),
    });
    let written = written.and_then(|bytes| {
        out.sync_all().and_then(|()| fs::rename(&part, file)).map_err(|e| Failure::file(file, &e)).map(|()| bytes)
    });
    let bytes = written.inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })?;
    let row = json!({ "file": file.display().to_string(), "bytes": bytes });
    context.output.row(&row, || format!("{} in {}", size(bytes), file.display()))
}

fn import(context: &Context, client: &Client, file: &Path) -> Result<(), Failure> {
    let slice = File::open(file).map_err(|e| Failure::file(file, &e))?;
    let length = slice.metadata().map_err(|e| Failure::file(file, &e))?.len();
    let report = client.log_import(&mut Counted::new(BufReader::new(slice), Some(length), shown()))?;
    context.output.row(&report, || format!("{} new, {} known already, {} refused", report.new, report.duplicate, report.refused))
}

/// A file that says how much of it has passed.
struct Counted<F, S> {
    file: F,
    done: u64,
    of: Option<u64>,
    show: S,
}

impl<F, S: FnMut(&str)> Counted<F, S> {
    fn new(file: F, of: Option<u64>, show: S) -> Self {
        Self { file, done: 0, of, show }
    }

    fn passed(&mut self, bytes: usize) {
        let before = self.done;
        self.done = self.done.saturating_add(bytes as u64);
        if bytes == 0 || before / SHOWN_EVERY == self.done / SHOWN_EVERY && self.of != Some(self.done) {
            return;
        }
        match self.of {
            // What the node does with it then may take as long.
            Some(of) if self.done >= of => (self.show)(&format!("{} given to the node, which checks it", size(of))),
            Some(of) => (self.show)(&format!("{} of {}", size(self.done), size(of))),
            None => (self.show)(&size(self.done)),
        }
    }
}

/// Shows each line in the place of the one before.
fn shown() -> impl FnMut(&str) {
    let mut progress = Progress::new();
    move |line| progress.show(line)
}

impl<F: Read, S: FnMut(&str)> Read for Counted<F, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes).inspect(|count| self.passed(*count))
    }
}

impl<F: Write, S: FnMut(&str)> Write for Counted<F, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect(|count| self.passed(*count))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// What is shown while so many bytes pass in pieces of `piece`.
    fn shown_of(length: usize, piece: usize, of: Option<u64>) -> Vec<String> {
        let (bytes, mut lines) = (vec![7; length], Vec::new());
        let mut counted = Counted::new(&bytes[..], of, |line: &str| lines.push(line.to_owned()));
        let mut buffer = vec![0; piece];
        while counted.read(&mut buffer).unwrap() > 0 {}
        assert_eq!(counted.done, length as u64);
        lines
    }

    #[test]
    fn an_import_shows_how_much_of_the_file_was_given_and_then_that_it_is_checked() {
        let length = 3 * MIB + MIB / 2;
        let of = size(length as u64);
        let part = |mib: usize| format!("{} of {of}", size((mib * MIB) as u64));
        let last = format!("{of} given to the node, which checks it");
        assert_eq!(shown_of(length, MIB / 4, Some(length as u64)), [part(1), part(2), part(3), last.clone()]);
        assert_eq!(shown_of(length, 100, Some(length as u64)).len(), 4, "and no more often in smaller pieces");
        assert_eq!(shown_of(length, length, Some(length as u64)), [last]);
        assert_eq!(shown_of(0, 10, Some(0)), [""; 0]);
    }

    #[test]
    fn an_export_shows_how_much_came_for_nobody_knows_how_much_comes() {
        let mut lines = Vec::new();
        let mut counted = Counted::new(Vec::new(), None, |line: &str| lines.push(line.to_owned()));
        for _ in 0..10 {
            counted.write_all(&[7; MIB / 4]).unwrap();
        }
        assert_eq!(counted.file.len(), 10 * MIB / 4);
        assert_eq!(lines, [size(MIB as u64), size(2 * MIB as u64)]);
    }
}
