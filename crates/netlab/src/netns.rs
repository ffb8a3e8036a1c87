//! Network namespaces that go when they are dropped, and what runs in them.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::{
    process::{Pid, Signal},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::limits::REAP;

/// Where iproute2 keeps the names.
const NAMES: &str = "/run/netns";
/// What all namespaces of labs are called; the process that made them follows.
const PREFIX: &str = "samizdat-";

/// A network namespace with a name. Dropping it kills whatever runs in it and removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// Whether this process makes no more namespaces. Locked while it makes one.
static ABANDONED: Mutex<bool> = Mutex::new(false);

/// A number for each lab of this process, for the names of its namespaces.
pub(crate) fn next_lab() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Namespace {
    /// Makes the namespace of `role` in a lab of this process.
    pub(crate) fn new(lab: u32, role: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{lab}-{role}", std::process::id());
        let abandoned = ABANDONED.lock().unwrap_or_else(PoisonError::into_inner);
        if *abandoned {
            bail!("this process is about to end");
        }
        run(Command::new("ip").args(["netns", "add", &name]), "")?;
        Ok(Self { name })
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does `work` in a thread inside the namespace. What it opens there, sockets and devices, stays there wherever it is used.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let door = File::open(format!("{NAMES}/{}", self.name)).with_context(|| format!("namespace {}", self.name))?;
        let inside = || {
            move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network)).context("cannot enter a namespace")?;
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).map_err(|_| anyhow!("a thread in {} panicked", self.name))?
    }

    /// Starts `command` inside.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_owned();
        self.enter(|| command.spawn().with_context(|| format!("cannot run {}", program.display())))
    }

    /// Feeds lines to `ip -batch`.
    pub(crate) fn ip(&self, lines: &[String]) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), &lines.join("\n"))
    }

    /// Loads rules into the packet filter.
    pub(crate) fn nft(&self, rules: &str) -> Result<()> {
        self.enter(|| run(Command::new("nft").args(["-f", "-"]), rules))
    }

    /// Sets what lies below /proc/sys/net; these files belong to the namespace of who opens them.
    pub(crate) fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (key, value) in settings {
                fs::write(format!("/proc/sys/net/{key}"), value).with_context(|| format!("cannot set {key}"))?;
            }
            Ok(())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("netlab: {error:#}");
        }
    }
}

/// Runs a program of the system with `input`; an error with what it complained about when it fails.
fn run(command: &mut Command, input: &str) -> Result<()> {
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {:?} failed: {}", command.get_args().collect::<Vec<_>>(), told.trim());
    }
    written.with_context(|| format!("{program} did not read its input"))
}

fn remove(name: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let pids = pids(name)?;
        if pids.is_empty() || begun.elapsed() > REAP {
            break;
        }
        for pid in pids {
            // One that ends by itself meanwhile is no error.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
    run(Command::new("ip").args(["netns", "del", name]), "")
}

fn pids(name: &str) -> Result<Vec<Pid>> {
    let output = Command::new("ip").args(["netns", "pids", name]).output().context("cannot run ip")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect())
}

/// Removes what labs of processes that are no more left behind; how many namespaces that were.
pub fn sweep() -> Result<usize> {
    remove_of(|pid| !is_alive(pid))
}

/// Removes what all labs of this process are made of, for when it is about to end without dropping them. From then on it can build
/// no more.
pub fn abandon() -> Result<usize> {
    *ABANDONED.lock().unwrap_or_else(PoisonError::into_inner) = true;
    remove_of(|pid| u32::try_from(pid) == Ok(std::process::id()))
}

fn remove_of(whose: impl Fn(i32) -> bool) -> Result<usize> {
    let mut swept: usize = 0;
    let names = match fs::read_dir(NAMES) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    for name in names {
        let name = name?.file_name().to_string_lossy().into_owned();
        // Somebody else may be sweeping as well.
        if owner(&name).is_some_and(&whose) && remove(&name).is_ok() {
            swept = swept.saturating_add(1);
        }
    }
    Ok(swept)
}

/// The process that made the namespace called `name`, when it is one of a lab.
fn owner(name: &str) -> Option<i32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn is_alive(pid: i32) -> bool {
    // Who has ended and was not waited for is still listed, but runs no program.
    !fs::read_link(format!("/proc/{pid}/exe")).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Why no lab can be built on this machine, if so. It tries.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let attempt = || {
        let namespace = Namespace::new(next_lab(), "try")?;
        namespace.nft("table inet try { }")?;
        namespace.enter(|| crate::forward::open("try").map(drop))
    };
    attempt().err().map(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_labs_have_an_owner() {
        assert_eq!(owner("samizdat-4711-0-inet"), Some(4711));
        assert_eq!(owner("samizdat-inet"), None);
        assert_eq!(owner("nat-4711-0-inet"), None);
        assert!(is_alive(std::process::id().try_into().unwrap()));
    }
}
