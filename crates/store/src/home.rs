//! The folder of one node: readable by its owner only, used by one process at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use crate::OpenError;

/// A locked home folder. The lock goes with the value, and with the process however that ends.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Creates the folder (0700) where needed and locks it.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(OpenError::io(dir))?;
        owner_only(dir).map_err(OpenError::io(dir))?;
        let path = dir.join("lock");
        let lock = private(&path, false).map_err(OpenError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.into())),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
        }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Replaces a file at once and for its owner only (0600): readers see the old content or the new, never half.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let next = path.with_extension("new");
    let mut file = private(&next, true)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&next, path)
}

/// Opens a file for its owner only, creating it where needed.
pub(crate) fn private(path: &Path, truncate: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn owner_only(dir: &Path) -> std::io::Result<()> {
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))
}

#[cfg(not(unix))]
fn owner_only(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_cannot_share_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::open(dir.path()).unwrap();
        assert!(matches!(Home::open(dir.path()), Err(OpenError::InUse(_))));
        drop(first);
        Home::open(dir.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(&dir.path().join("home")).unwrap();
        write_private(&home.file("token"), b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.dir()), mode(&home.file("token"))), (0o700, 0o600));
    }
}
