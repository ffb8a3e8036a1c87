//! The file `api.json` in the node's home, by which callers find the API.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use samizdat_api::{Endpoint, client::ENDPOINT_FILE};

use super::auth::Token;

/// The published endpoint; the file goes when this is dropped.
#[must_use = "the file goes when this is dropped"]
#[derive(Debug)]
pub struct EndpointFile {
    path: PathBuf,
    token: Token,
}

impl EndpointFile {
    /// Says in `home` that the API is at `address`. Readers see the whole file or none.
    pub fn publish(home: &Path, address: SocketAddr, token: &Token) -> io::Result<Self> {
        let endpoint = Endpoint { api: format!("http://{address}"), token: token.reveal().to_owned(), pid: std::process::id() };
        let path = home.join(ENDPOINT_FILE);
        let draft = home.join(format!(".{ENDPOINT_FILE}.new"));
        // A draft that a crash left behind may have another mode.
        if let Err(e) = fs::remove_file(&draft)
            && e.kind() != io::ErrorKind::NotFound
        {
            return Err(e);
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(serde_json::to_string(&endpoint)?.as_bytes())?;
        fs::rename(&draft, &path)?;
        Ok(Self { path, token: token.clone() })
    }
}

impl Drop for EndpointFile {
    fn drop(&mut self) {
        // Not the file of a node that was started since.
        let ours = self.path.parent().and_then(|home| Endpoint::read(home).ok());
        if ours.is_some_and(|endpoint| self.token.is(&endpoint.token)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The link to the UI that a person can open as often as they like. The fragment never reaches a server.
pub fn ui_link(address: SocketAddr, token: &Token) -> String {
    format!("http://{address}/#token={}", token.reveal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_and_goes_with_the_node() {
        let home = tempfile::tempdir().unwrap();
        let token = Token::generate().unwrap();
        let address = "127.0.0.1:4444".parse().unwrap();
        let file = EndpointFile::publish(home.path(), address, &token).unwrap();
        let endpoint = Endpoint::read(home.path()).unwrap();
        assert_eq!((endpoint.api.as_str(), endpoint.token.as_str()), ("http://127.0.0.1:4444", token.reveal()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(home.path().join(ENDPOINT_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(file);
        assert!(Endpoint::read(home.path()).is_err());
    }

    #[test]
    fn the_file_of_a_later_node_stays() {
        let home = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:4444".parse().unwrap();
        let early = EndpointFile::publish(home.path(), address, &Token::generate().unwrap()).unwrap();
        let _late = EndpointFile::publish(home.path(), address, &Token::generate().unwrap()).unwrap();
        drop(early);
        assert!(Endpoint::read(home.path()).is_ok());
    }
}
