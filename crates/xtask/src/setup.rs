//! What a machine needs for the tests. Root on Debian gets it installed; anybody else is told what is missing.

use anyhow::{Context, Result, bail};

use crate::repo::Repo;

/// Programs, and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 12] = [
    ("cc", "build-essential"),
    ("make", "build-essential"),
    ("perl", "perl"),
    ("pkg-config", "pkg-config"),
    ("git", "git"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("chromium", "chromium"),
    ("sqlite3", "sqlite3"),
    ("tmux", "tmux"),
    ("named", "bind9"),
    ("tsig-keygen", "bind9"),
];
/// The same, for what only Linux has: network namespaces, and what runs in them.
const LINUX: [(&str, &str); 4] = [("ip", "iproute2"), ("nft", "nftables"), ("microsocks", "microsocks"), ("faketime", "faketime")];
/// Where programs for root are; not on everybody's search path.
const SYSTEM: &str = "/usr/sbin";
/// Oldest Node.js that builds the web UI.
const NODE: u32 = 18;
/// Parts of the toolchain, and the subcommands that they bring. rustup puts a stub for each on the path, so only running one tells.
const COMPONENTS: [(&str, &str); 2] = [("clippy", "clippy"), ("rustfmt", "fmt")];

/// Installs what is missing, or fails and names it.
pub(crate) fn ensure(repo: &Repo) -> Result<()> {
    let packages = missing_packages(repo);
    if !packages.is_empty() {
        let list = packages.join(" ");
        if !(is_root(repo) && find("apt-get")) {
            bail!("missing: {list}\nas root, on Debian: apt-get update && apt-get install --no-install-recommends {list}");
        }
        println!("installing {list}");
        let apt = |arguments: &[&str]| repo.command("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").read();
        apt(&["update"])?;
        apt(&[&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat())?;
        let still = missing_packages(repo);
        if !still.is_empty() {
            bail!("installed, and still missing or too old: {}", still.join(" "));
        }
    }
    let lacks = |subcommand: &str| repo.cargo([subcommand, "--version"]).read().is_err();
    let components: Vec<&str> = COMPONENTS.into_iter().filter(|(_, sub)| lacks(sub)).map(|(name, _)| name).collect();
    if !components.is_empty() {
        let list = components.join(" ");
        if !find("rustup") {
            bail!("missing: {list} of the Rust toolchain");
        }
        println!("installing {list}");
        repo.command("rustup").args(["component", "add"]).args(&components).read()?;
    }
    Ok(())
}

/// Whether `program` is on the search path, or where those for root are.
pub(crate) fn find(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([SYSTEM.into()]).any(|folder| folder.join(program).is_file())
}

fn missing_packages(repo: &Repo) -> Vec<&'static str> {
    let missing = |program: &str| !find(program) || program == "node" && node(repo).unwrap_or(0) < NODE;
    let programs = PROGRAMS.into_iter().chain(LINUX.into_iter().filter(|_| cfg!(target_os = "linux")));
    let mut packages: Vec<&str> = programs.filter(|(program, _)| missing(program)).map(|(_, package)| package).collect();
    packages.dedup();
    packages
}

fn node(repo: &Repo) -> Result<u32> {
    let version = repo.command("node").args(["--version"]).read()?;
    let major = version.trim_start_matches('v').split('.').next().context("no version")?;
    Ok(major.parse()?)
}

fn is_root(repo: &Repo) -> bool {
    repo.command("id").args(["-u"]).read().is_ok_and(|id| id.trim() == "0")
}
