//! Whether a folder may become a node's home. It is made private and written into, so somebody else's is left alone.

use std::{fs, io, path::Path};

use samizdat_store::{Home, OpenError};

use crate::run::StartError;

/// Any of these says that a node lives there.
const OURS: [&str; 3] = ["vault.key", "vault.sqlite", "log.sqlite"];
/// What a first start that was cut short leaves behind, and what a fresh file system has.
const HARMLESS: [&str; 3] = ["lock", "vault.new", "lost+found"];

/// Locks the home of a node, or makes one of a folder that is empty or not there yet.
pub(crate) fn open(dir: &Path) -> Result<Home, StartError> {
    match is_free(dir) {
        Ok(true) => Ok(Home::open(dir)?),
        Ok(false) => Err(StartError::NotAHome(dir.into())),
        Err(source) => Err(OpenError::Io { path: dir.into(), source }.into()),
    }
}

fn is_free(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    let mut foreign = false;
    for entry in entries {
        let name = entry?.file_name();
        if OURS.iter().any(|ours| name == *ours) {
            return Ok(true);
        }
        foreign |= !HARMLESS.iter().any(|harmless| name == *harmless);
    }
    Ok(!foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_persons_own_files_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let thesis = dir.path().join("tmp").join("important").join("thesis.txt");
        fs::create_dir_all(thesis.parent().unwrap()).unwrap();
        fs::write(&thesis, "years").unwrap();
        #[cfg(unix)]
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(matches!(open(dir.path()), Err(StartError::NotAHome(_))));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
        }
        assert_eq!(fs::read_to_string(thesis).unwrap(), "years");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_home_is_known_by_our_files_and_an_empty_folder_becomes_one() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(&dir.path().join("new").join("home")).unwrap());
        let home = dir.path().join("new").join("home");
        // The lock of a start that got no further.
        drop(open(&home).unwrap());
        fs::write(home.join("vault.key"), "x").unwrap();
        fs::write(home.join("notes.txt"), "x").unwrap();
        drop(open(&home).unwrap());
    }
}
