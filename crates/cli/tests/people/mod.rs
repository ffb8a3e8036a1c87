//! People with real nodes: processes of the binary that ships, each with a home of its own.
#![allow(dead_code)] // Each test uses a part.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything should take on a slow and busy machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(600);

/// Somebody with a home, whose node may run.
pub(crate) struct Person {
    disk: Option<SmallDisk>,
    dir: TempDir,
    node: Option<Child>,
    pub(crate) name: String,
    pub(crate) join: String,
    pub(crate) passphrase: Option<String>,
    /// What `up` is told besides.
    pub(crate) told: &'static [&'static str],
}

impl Person {
    pub(crate) fn new(who: &str) -> Self {
        let dir = tempfile::Builder::new().prefix(who).tempdir().unwrap();
        Self { disk: None, dir, node: None, name: String::new(), join: String::new(), passphrase: None, told: &[] }
    }

    /// Somebody whose home is on a file system of `size`, as `mount` understands it. `None` where one cannot be mounted, and
    /// then that is said where nobody captures it.
    pub(crate) fn on_a_small_disk(who: &str, size: &str) -> Option<Self> {
        let mut person = Self::new(who);
        match SmallDisk::mount(person.dir.path(), size) {
            Ok(disk) => person.disk = Some(disk),
            Err(why) => {
                let _ =
                    writeln!(std::io::stderr(), "\nNOT RUN: this test mounts a small file system, as root on Linux; here: {why}\n");
                return None;
            }
        }
        Some(person)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Starts the node and waits until it says that it is ready.
    pub(crate) fn start(mut self, joins: &[&str]) -> Self {
        self.restart(joins);
        self
    }

    pub(crate) fn restart(&mut self, joins: &[&str]) {
        let options: Vec<&str> = joins.iter().flat_map(|join| ["--join", join]).collect();
        self.start_with(&options);
    }

    /// Starts the node with these options of `up`.
    pub(crate) fn start_with(&mut self, options: &[&str]) {
        let mut command = self.command(&["up", "--no-ui", "--listen", "127.0.0.1:0"]);
        // A port that others remember stays the same.
        if let Some(port) = self.join.rsplit(':').next().filter(|_| !self.join.is_empty()) {
            command = self.command(&["up", "--no-ui", "--listen", &format!("127.0.0.1:{port}")]);
        }
        command.args(options);
        self.up(command);
    }

    /// Starts the node as one that nobody looks for at an address; its join line.
    pub(crate) fn start_at_home(&mut self) -> String {
        self.up(self.command(&["up", "--no-ui"]));
        std::mem::take(&mut self.join)
    }

    fn up(&mut self, mut command: Command) {
        command.args(self.told);
        let mut node = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.node = Some(node);
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("not ready: {line:?} {e}"));
        assert_eq!(ready["event"], "ready");
        self.name = ready["name"].as_str().unwrap().to_owned();
        self.join = ready["join"].as_str().unwrap().to_owned();
    }

    /// UDP sockets that the node has, as Linux tells.
    pub(crate) fn udp_sockets(&self) -> usize {
        let process = format!("/proc/{}", self.node.as_ref().unwrap().id());
        let links =
            std::fs::read_dir(format!("{process}/fd")).unwrap().filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        let held: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
        let tables = ["udp", "udp6"].map(|table| std::fs::read_to_string(format!("{process}/net/{table}")).unwrap_or_default());
        let inodes = tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(|line| line.split_whitespace().nth(9));
        inodes.filter(|inode| held.contains(&format!("socket:[{inode}]"))).count()
    }

    /// Ends the node as a person would.
    pub(crate) fn stop(&mut self) {
        self.run(&["stop"]);
        let status = self.node.take().unwrap().wait().unwrap();
        assert!(status.success(), "the node ended with {status}");
    }

    /// Ends the node as a power cut would, while others may be using it.
    pub(crate) fn kill_now(&self) {
        let pid = self.node.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }

    /// Starts the node again after it was killed.
    pub(crate) fn revive(&mut self, joins: &[&str]) {
        self.node.take().unwrap().wait().unwrap();
        self.restart(joins);
    }

    /// One command that must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
        output
    }

    /// A command that goes on beside the test.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The rows that a command prints.
    pub(crate) fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that was written with somebody; `read` prints the newest page.
    pub(crate) fn read_all(&self, with: &str) -> Vec<Value> {
        let mut rows = self.rows(&["read", with]);
        while let Some(first) = rows.first() {
            let mut older = self.rows(&["read", with, "--before", first["id"].as_str().unwrap()]);
            if older.is_empty() {
                break;
            }
            older.append(&mut rows);
            rows = older;
        }
        rows
    }

    /// The one row that a command prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut rows = self.rows(arguments);
        assert_eq!(rows.len(), 1, "{arguments:?}: {rows:?}");
        rows.remove(0)
    }

    /// The one row that a command prints to which this is typed.
    pub(crate) fn json_given(&self, arguments: &[&str], typed: &str) -> Value {
        let mut child = self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code of a command.
    pub(crate) fn code(&self, arguments: &[&str]) -> i32 {
        self.command(arguments).output().unwrap().status.code().unwrap()
    }

    /// Exit code and error of a node that cannot start.
    pub(crate) fn up_fails(&self, arguments: &[&str]) -> (i32, String) {
        let mut all = vec!["up", "--no-ui"];
        all.extend(arguments);
        let output = self.command(&all).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) fn wait_announced(&self) {
        eventually("the announcement to be published", || {
            let status = self.json(&["status"]);
            (status["identities"][0]["announced"] == "published").then_some(())
        });
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_samizdat"));
        command.arg("--home").arg(self.home()).arg("--json").args(arguments);
        command.env_remove("SAMIZDAT_HOME").env_remove("SAMIZDAT_PASSPHRASE").env_remove("SAMIZDAT_PROXY");
        if let Some(passphrase) = &self.passphrase {
            command.env("SAMIZDAT_PASSPHRASE", passphrase);
        }
        command
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if let Some(node) = &mut self.node {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

/// A file system that goes when this is dropped, also when a test fails.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Result<Self, String> {
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        let output = mount.map_err(|error| format!("mount: {error}"))?;
        if output.status.success() { Ok(Self(at.into())) } else { Err(String::from_utf8_lossy(&output.stderr).trim().into()) }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let umount = |more: &[&str]| Command::new("umount").args(more).arg(&self.0).status().is_ok_and(|status| status.success());
        // Detached at least, if somebody still looks at it.
        let _ = umount(&[]) || umount(&["-l"]);
    }
}

/// Asks again and again until there is an answer. Each question is a process of its own, which is pause enough.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
    }
}

/// A little generator: the moments must differ, nothing more. The seed makes a failure easier to follow.
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Whether what `who` asks was done although `victim` is killed at some moment from then on.
pub(crate) fn done_though_killed(who: &Person, victim: &Person, arguments: &[&str], moments: &mut Moments) -> bool {
    done_though_killed_within(60, who, victim, arguments, moments)
}

/// The same where what is asked takes longer, some milliseconds.
pub(crate) fn done_though_killed_within(
    within: u64,
    who: &Person,
    victim: &Person,
    arguments: &[&str],
    moments: &mut Moments,
) -> bool {
    let (done, finished) = mpsc::channel();
    thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let succeeded = who.code(arguments) == 0;
            let _ = done.send(());
            succeeded
        });
        // Either the command has ended, or it is cut off somewhere in between, or the node is at work with it.
        let _ = finished.recv_timeout(Duration::from_millis(moments.next(within)));
        victim.kill_now();
        asking.join().unwrap()
    })
}

/// Takes all the space that is left.
pub(crate) fn fill(path: &Path) {
    let mut junk = File::create(path).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while junk.write_all(&vec![7; size]).is_ok() {}
    }
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
