//! Builds the web UI into `OUT_DIR/ui`, from where it is embedded.
//!
//! Without Node.js the build goes on with a plain page that says what is missing. `SAMIZDAT_UI=skip` asks for that page,
//! `SAMIZDAT_UI=require` makes it an error. Nothing is written into the source tree.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// What the build of the UI reads.
const SOURCES: [&str; 10] = [
    ".npmrc",
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.js",
    "vite.config.ts",
];
const OLDEST_NODE: u32 = 18;
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SAMIZDAT_UI");
    let wish = env::var("SAMIZDAT_UI").unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let built = if wish == "skip" { Err("SAMIZDAT_UI=skip was set".to_owned()) } else { build(&out) };
    match built {
        Ok(()) => Ok(()),
        Err(reason) if wish == "require" => Err(format!("the web UI was required, but {reason}")),
        Err(reason) => {
            println!("cargo:warning=built without the web UI: {reason}");
            plain_page(&out.join("ui"), &reason).map_err(|e| format!("cannot write the plain page: {e}"))
        }
    }
}

/// Builds in `OUT_DIR/web`; says in half a sentence what is missing.
fn build(out: &Path) -> Result<(), String> {
    let source = Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?).join("../../web");
    if !source.join("package-lock.json").exists() {
        println!("cargo:rerun-if-changed={}", source.display());
        return Err("the folder web/ is not there".to_owned());
    }
    let present: Vec<&str> = SOURCES.into_iter().filter(|name| source.join(name).exists()).collect();
    present.iter().for_each(|name| println!("cargo:rerun-if-changed={}", source.join(name).display()));
    check_node()?;

    let work = out.join("web");
    refresh(&source, &work, &present).map_err(|e| format!("its sources could not be copied ({e})"))?;
    install(&work)?;
    npm(&work, &["run", "build"])?;
    let ui = out.join("ui");
    remove(&ui).and_then(|()| fs::rename(work.join("dist"), &ui)).map_err(|e| format!("its build left no dist/ ({e})"))
}

fn check_node() -> Result<(), String> {
    let missing = || format!("Node.js {OLDEST_NODE} or later with npm is not installed");
    let output = Command::new("node").arg("--version").output().map_err(|_| missing())?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST_NODE => {}
        _ => return Err(format!("{} (there is {version})", missing())),
    }
    Command::new(NPM).arg("--version").output().map(drop).map_err(|_| missing())
}

/// Makes `work` a copy of the sources, keeping its `node_modules`.
fn refresh(source: &Path, work: &Path, present: &[&str]) -> io::Result<()> {
    fs::create_dir_all(work)?;
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        if entry.file_name() != OsStr::new("node_modules") {
            remove(&entry.path())?;
        }
    }
    present.iter().try_for_each(|name| copy(&source.join(name), &work.join(name)))
}

/// Installs what the lock file says, unless that is there already.
fn install(work: &Path) -> Result<(), String> {
    let lock = fs::read(work.join("package-lock.json")).map_err(|e| format!("package-lock.json is unreadable ({e})"))?;
    let stamp = work.join("node_modules/.installed-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    npm(work, &["ci", "--no-audit", "--no-fund", "--prefer-offline"])?;
    fs::write(&stamp, lock).map_err(|e| format!("node_modules is not writable ({e})"))
}

fn npm(work: &Path, arguments: &[&str]) -> Result<(), String> {
    let command = format!("`npm {}`", arguments.join(" "));
    let output =
        Command::new(NPM).args(arguments).current_dir(work).output().map_err(|e| format!("{command} did not start ({e})"))?;
    if output.status.success() {
        return Ok(());
    }
    // The whole story is in the build script's output file; the warning has room for one line of it.
    let story = [output.stdout, output.stderr].concat();
    let story = String::from_utf8_lossy(&story).into_owned();
    eprintln!("{story}");
    // Banners are shorter, stack traces begin with "at".
    let telling = |line: &&str| {
        let (words, line) = (line.split_whitespace().count(), line.trim().to_lowercase());
        words > 5 && !line.starts_with("at ") && (line.contains("error") || line.contains("failed"))
    };
    let line = story.lines().find(telling).or(story.lines().last()).unwrap_or_default();
    Err(format!("{command} failed: {}", line.trim()))
}

fn plain_page(ui: &Path, reason: &str) -> io::Result<()> {
    remove(ui)?;
    fs::create_dir_all(ui)?;
    let reason = reason.replace('&', "&amp;").replace('<', "&lt;");
    fs::write(
        ui.join("index.html"),
        format!(
            r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Samizdat</title>
<style>
  :root {{ color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif; }}
  body {{ max-width: 38rem; margin: 4rem auto; padding: 0 1.5rem; }}
</style>
<main>
<h1>Your node is running</h1>
<p>This program was built without its web interface, because {reason}.</p>
<p>To get it, install Node.js {OLDEST_NODE} or later with npm and build again:
<code>cargo clean -p samizdat-daemon</code>, then <code>cargo build --release</code>.</p>
<p>Everything works without it too: see <code>samizdat --help</code>.</p>
</main>
</html>
"#
        ),
    )
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))
    })
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
