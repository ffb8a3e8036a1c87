//! The repository on disk, and the commands that are run in it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup;

/// Runs a program behind all others.
const NICE: &str = "nice";

/// Where everything lies.
pub(crate) struct Repo {
    /// Top folder.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// The workspace's crates in the order of the root manifest.
    pub(crate) crates: Vec<Crate>,
}

/// One crate of ours as its manifest describes it.
pub(crate) struct Crate {
    /// Name of the package.
    pub(crate) name: String,
    /// Name of its folder.
    pub(crate) folder: String,
    /// Folders of our crates that it depends on.
    pub(crate) ours: Vec<String>,
    /// Those that only its tests depend on.
    pub(crate) ours_in_tests: Vec<String>,
    /// Packages from elsewhere that it depends on, for whatever purpose.
    pub(crate) external: Vec<String>,
}

/// How urgently something is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// Somebody waits for it.
    Now,
    /// Nobody does; others go first.
    Idle,
}

impl Repo {
    /// The repository from which cargo runs this program.
    pub(crate) fn open() -> Result<Self> {
        let own = std::env::var("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = Path::new(&own).ancestors().nth(2).context("xtask is not in crates/")?.to_path_buf();
        let metadata = metadata(&root, "Cargo.toml")?;
        let target = text(&metadata, "target_directory").into();
        Ok(Self { crates: crates(&metadata), root, target })
    }

    /// The crates behind another manifest, which lies at `manifest` below the top folder.
    pub(crate) fn crates_of(&self, manifest: &str) -> Result<Vec<Crate>> {
        Ok(crates(&metadata(&self.root, manifest)?))
    }

    /// `program`, to be run in the top folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        Run(command)
    }

    /// Cargo, to be run in the top folder.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        let mut run = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(arguments);
        // What cargo told this program about itself. Build scripts (ring's) run again when it changes, so without this, cargo called
        // by hand and by us would rebuild half of all crates in turn.
        for (key, _) in std::env::vars_os() {
            if key.to_str().is_some_and(|key| key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_")) {
                run.0.env_remove(key);
            }
        }
        run
    }

    /// The path of a program from the registry, at `version`, after installing it into the target folder when it is not there.
    pub(crate) fn tool(&self, name: &str, version: &str, haste: Haste) -> Result<PathBuf> {
        // A folder for each version, so that a newer one here is installed there.
        let folder = self.target.join("tools").join(format!("{name}-{version}"));
        let program = folder.join("bin").join(name);
        if !program.is_file() {
            // It runs for seconds: compiling it fast matters more than its speed.
            let build = ["install", name, "--version", version, "--locked", "--debug", "--quiet", "--root"];
            let run = self.cargo(build).args([&folder]).env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
            // Not the caller's own target folder, which would keep gigabytes of intermediate results.
            let run = run.env("CARGO_TARGET_DIR", self.target.join("tools").join("build"));
            if haste == Haste::Idle { run.idle() } else { run }.read()?;
            fs::remove_dir_all(self.target.join("tools").join("build"))?;
        }
        Ok(program)
    }

    /// Runs one after the other on the caller's terminal until one fails; whether none did.
    pub(crate) fn all(&self, commands: impl IntoIterator<Item = Run>) -> Result<bool> {
        for Run(mut command) in commands {
            if !command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?.success() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Files that are in the repository, or would be if one added everything. Paths are relative to the top folder.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let list = self.command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).read()?;
        let present = |path: &&str| !path.is_empty() && self.root.join(path).is_file();
        Ok(list.split('\0').filter(present).map(str::to_owned).collect())
    }

    /// A text file below the top folder; `None` when it is not UTF-8.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>> {
        let bytes = fs::read(self.root.join(path)).with_context(|| format!("cannot read {path}"))?;
        Ok(String::from_utf8(bytes).ok())
    }
}

/// A command that is put together.
pub(crate) struct Run(pub(crate) Command);

impl Run {
    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Lets all other programs go first, where there is a way to say so.
    fn idle(self) -> Self {
        if !setup::find(NICE) {
            return self;
        }
        let mut command = Command::new(NICE);
        command.args(["-n", "19"]).arg(self.0.get_program()).args(self.0.get_args());
        if let Some(folder) = self.0.get_current_dir() {
            command.current_dir(folder);
        }
        for (key, value) in self.0.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        Self(command)
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Runs in `folder` instead of the top folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// What it prints; an error with what it complained about when it fails.
    pub(crate) fn read(mut self) -> Result<String> {
        let program = self.0.get_program().display().to_string();
        let output = self.0.output().with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            bail!("{program} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn metadata(root: &Path, manifest: &str) -> Result<Value> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["metadata", "--format-version=1", "--no-deps", "--manifest-path", manifest]);
    Ok(serde_json::from_str(&Run(command).read()?)?)
}

fn crates(metadata: &Value) -> Vec<Crate> {
    list(metadata, "packages").map(describe).collect()
}

fn describe(package: &Value) -> Crate {
    let (mut ours, mut ours_in_tests, mut external) = (Vec::new(), Vec::new(), Vec::new());
    for dependency in list(package, "dependencies") {
        match text(dependency, "path") {
            "" => external.push(text(dependency, "name").to_owned()),
            path if text(dependency, "kind") == "dev" => ours_in_tests.push(last(Path::new(path))),
            path => ours.push(last(Path::new(path))),
        }
    }
    let manifest = Path::new(text(package, "manifest_path"));
    let folder = manifest.parent().map(last).unwrap_or_default();
    Crate { name: text(package, "name").to_owned(), folder, ours, ours_in_tests, external }
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
