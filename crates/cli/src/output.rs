//! What goes to standard output: rows as JSON for programs, or lines for people.

use std::{
    env,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::failure::Failure;

/// On a pipe, progress is told only this often.
const PROGRESS_PAUSE: Duration = Duration::from_secs(10);

/// How to print.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    /// Rows are JSON.
    pub(crate) json: bool,
    styled: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let plain = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { json, styled: !json && !dumb && !plain("NO_COLOR") && io::stdout().is_terminal() }
    }

    /// Prints one row; `line` says it for people and is called only for them.
    pub(crate) fn row(&self, row: &impl Serialize, line: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = if self.json { serde_json::to_string(row).map_err(io::Error::from)? } else { line() };
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        // Somebody may be reading along.
        out.flush()?;
        Ok(())
    }

    /// Says that there is nothing to list; programs see that by themselves.
    pub(crate) fn nothing(&self, sentence: &str) -> Result<(), Failure> {
        if !self.json {
            writeln!(io::stdout(), "{sentence}")?;
        }
        Ok(())
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.style("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.style("2", text)
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.styled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One line on standard error that says how far something is.
pub(crate) struct Progress {
    terminal: bool,
    last: Instant,
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), last: Instant::now(), shown: false }
    }

    /// Whether somebody is likely to be looking.
    pub(crate) fn is_watched(&self) -> bool {
        self.terminal
    }

    pub(crate) fn show(&mut self, line: &str) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        } else if self.last.elapsed() >= PROGRESS_PAUSE {
            self.last = Instant::now();
            let _ = writeln!(io::stderr(), "{line}");
        }
        self.shown = true;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal && self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A written name in groups of four, as people compare it.
pub(crate) fn grouped(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && i.is_multiple_of(4) {
            out.push('-');
        }
        out.push(c);
    }
    out
}

/// Enough of a name to tell people apart who have no petname.
pub(crate) fn short(name: &str) -> String {
    grouped(&name.chars().take(8).collect::<String>())
}

/// `3 messages`, `1 message`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1} {name}", bytes as f64 / unit)
}

/// A number of seconds for people.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5_400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// A claimed time in the time zone of the person: `2026-11-21 14:03`.
pub(crate) fn time(ms: u64) -> String {
    let zone = jiff::tz::TimeZone::system();
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "????-??-?? ??:??".to_owned(), |at| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_like_prose() {
        assert_eq!(grouped("abcdefghij"), "abcd-efgh-ij");
        assert_eq!(short("abcdefghij"), "abcd-efgh");
        assert_eq!((count(1, "peer"), count(0, "peer")), ("1 peer".into(), "0 peers".into()));
        assert_eq!((size(999), size(1_260_000), size(u64::MAX)), ("999 B".into(), "1.3 MB".into(), "18446744073.7 GB".into()));
        assert_eq!((duration(3.2), duration(600.0), duration(1e9)), ("3 s".into(), "10 min".into(), "11574 days".into()));
        assert_eq!(time(u64::MAX), "????-??-?? ??:??");
    }
}
