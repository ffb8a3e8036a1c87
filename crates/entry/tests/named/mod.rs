//! A real BIND 9 with one zone, for one test.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use samizdat_entry::{Domain, Rfc2136, TsigKey};
use tempfile::TempDir;

/// The zone that the server keeps.
pub(crate) const ZONE: &str = "samizdat.test";
const STARTS: usize = 5;

/// Ends with it.
pub(crate) struct Named {
    process: Child,
    /// Where it listens, UDP and TCP.
    pub(crate) addr: SocketAddr,
    key: String,
    _folder: TempDir,
}

impl Named {
    /// A server whose key may change the entries of `entry.samizdat.test`, with these records in its zone.
    pub(crate) fn start(records: &str) -> Self {
        // The port is free when it is chosen, and may be taken by another test when it is used.
        let mut tries = (0..STARTS).map(|_| Self::try_start(records));
        tries.find_map(Result::ok).unwrap_or_else(|| {
            let log = Self::try_start(records).err().unwrap_or_default();
            panic!("named does not start (does AppArmor forbid it the folder for temporary files?):\n{log}")
        })
    }

    fn try_start(records: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |file: &str| folder.path().join(file);
        let key = keygen("node-key");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(addr).map_err(|error| error.to_string())?;
        let head = format!("$TTL 60\n@ SOA ns.{ZONE}. admin.{ZONE}. 1 60 60 3600 60\n@ NS ns.{ZONE}.\nns A 127.0.0.1\n");
        std::fs::write(at("zone"), head + records).unwrap();
        let (home, port) = (folder.path().display(), addr.port());
        let configuration = format!(
            r#"{key}
options {{
    directory "{home}"; managed-keys-directory "{home}"; pid-file none; session-keyfile none; lock-file none;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; notify no; allow-transfer {{ none; }};
}};
controls {{ }};
zone "{ZONE}" {{ type primary; file "zone"; update-policy {{ grant node-key name _samizdat.entry.{ZONE}. TXT; }}; }};
"#
        );
        std::fs::write(at("conf"), configuration).unwrap();
        drop((tcp, udp));
        let mut process = Command::new(program("named"))
            .args(["-g", "-n", "1", "-c"])
            .arg(at("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let named = Self { process, addr, key, _folder: folder };
        let mut told = String::new();
        let runs = log.any(|line| {
            told += &format!("{line}\n");
            line.trim_end().ends_with(" running")
        });
        // Somebody must read on, or it blocks when the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        if runs && !told.contains("address in use") { Ok(named) } else { Err(told) }
    }

    /// A publisher with the key that it knows.
    pub(crate) fn publisher(&self, domain: &str) -> Rfc2136 {
        self.publisher_with(domain, TsigKey::read(&self.key).unwrap())
    }

    /// A publisher with any key.
    pub(crate) fn publisher_with(&self, domain: &str, key: TsigKey) -> Rfc2136 {
        Rfc2136::new(self.addr, Domain::new(domain).unwrap(), key)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A key file as operators make it.
pub(crate) fn keygen(name: &str) -> String {
    let made = Command::new(program("tsig-keygen")).args(["-a", "hmac-sha256", name]).output().unwrap();
    String::from_utf8(made.stdout).unwrap()
}

/// Debian keeps servers where only root's search path leads.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: install the package bind9 (cargo xtask test does)"))
}
