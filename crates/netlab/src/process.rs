//! Processes inside the lab that say in lines what they do.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use crate::{limits::LINES_MAX, netns::Namespace};

/// A process in a namespace, killed when dropped. Its standard output is read line by line.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `command` in `namespace`.
    pub fn start(namespace: &Namespace, command: &mut Command) -> Result<Self> {
        let mut child = namespace.spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let pipe = child.stdout.take().context("no standard output")?;
        let (sender, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || {
            // Ends with the process, or when nobody reads any more.
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("not a process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Lets it stand still, as a machine that sleeps does.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Memory that it holds now, in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Most memory that it ever held, in KiB.
    pub fn most_resident_kib(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)).context("it has ended")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The next line that it prints.
    pub fn line(&self, patience: Duration) -> Result<String> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("process {} printed nothing for {patience:?}", self.id()),
            Err(RecvTimeoutError::Disconnected) => bail!("process {} ended", self.id()),
        }
    }

    /// The next line that it prints, as JSON.
    pub fn json<T: DeserializeOwned>(&self, patience: Duration) -> Result<T> {
        let line = self.line(patience)?;
        serde_json::from_str(&line).with_context(|| format!("process {} printed {line:?}", self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
