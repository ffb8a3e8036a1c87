//! Files that lie in the node's home for a while. Their names begin as nobody else's do, so that what a crash left
//! behind can be told from a person's own files.

use std::{fs, io, path::Path};

use tempfile::{Builder, NamedTempFile};

pub(super) const PREFIX: &str = ".samizdat-tmp-";

/// A fresh file, for its owner only; it goes with the value.
pub(super) fn file(home: &Path, suffix: &str) -> io::Result<NamedTempFile> {
    Builder::new().prefix(PREFIX).suffix(suffix).tempfile_in(home)
}

/// Removes what a crash left behind.
pub(super) fn sweep(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if ours && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_own_files_survive_a_start() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("tmp").join("important")).unwrap();
        let thesis = home.path().join("tmp").join("important").join("thesis.txt");
        fs::write(&thesis, "years").unwrap();
        let left_behind = file(home.path(), "").unwrap().into_temp_path().keep().unwrap();
        sweep(home.path()).unwrap();
        assert!(thesis.exists() && !left_behind.exists());
    }
}
