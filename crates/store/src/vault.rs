//! The vault: secrets and what people wrote, encrypted at rest as a whole file (SQLCipher with a random raw key).
//!
//! The key lies in `vault.key` beside it (0600), in the clear or sealed under a passphrase (Argon2id, then
//! ChaCha20-Poly1305). Changing the passphrase rewrites that small file only.

use std::{fs, path::Path};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::Aead};
use data_encoding::HEXLOWER;
use minicbor::{Decoder, Encoder};
use rand_core::CryptoRng;
use rusqlite::{Connection, Transaction, backup::Backup};
use zeroize::Zeroizing;

use crate::{OpenError, StoreError, home, log::pragmas, migrate::migrate, write::begin};

const KEY_FILE_VERSION: u8 = 1;
/// Memory of one guess at the passphrase, KiB, and passes over it.
const ARGON2_MEMORY_KIB: u32 = 64 * 1024;
const ARGON2_PASSES: u32 = 3;
/// What a key file may ask of us at most, so that a damaged one cannot eat the memory.
const ARGON2_MEMORY_MAX_KIB: u32 = 1024 * 1024;
const ARGON2_PASSES_MAX: u32 = 16;

/// How the key of the vault is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// In a file beside it: whoever can read the folder can read the vault.
    KeyFile,
    /// Under a passphrase.
    Passphrase,
}

/// An open vault.
#[derive(Debug)]
pub struct Vault {
    conn: Connection,
    /// Whether another program held the file the last time.
    held: bool,
    protection: Protection,
}

impl Vault {
    /// Opens `vault.sqlite` in `dir`, or creates it; a passphrase given at creation seals the key.
    pub fn open(dir: &Path, passphrase: Option<&str>, migrations: &[&str], rng: &mut impl CryptoRng) -> Result<Self, OpenError> {
        let path = dir.join("vault.sqlite");
        let (key, protection) = load_or_make_key(dir, passphrase, rng)?;
        home::private(&path, false).map_err(OpenError::io(&path))?;
        let conn = Connection::open(&path).map_err(|e| OpenError::database(&path, e))?;
        // SQLCipher would write its own words about a damaged file to stderr.
        conn.execute_batch("PRAGMA cipher_log_level = NONE").map_err(|e| OpenError::database(&path, e))?;
        let pragma = Zeroizing::new(format!("PRAGMA key = \"x'{}'\";", *Zeroizing::new(HEXLOWER.encode(&key[..]))));
        conn.execute_batch(&pragma).map_err(|e| OpenError::database(&path, e))?;
        Self::prepare(conn, &path, protection, migrations)
    }

    /// A vault without a file, for the simulator and tests.
    pub fn in_memory(migrations: &[&str]) -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let conn = Connection::open_in_memory().map_err(|e| OpenError::database(path, e))?;
        Self::prepare(conn, path, Protection::KeyFile, migrations)
    }

    /// The same in memory, as a backup holds it: what happens to one does not happen to the other.
    pub fn copy(&self) -> Result<Self, StoreError> {
        let mut conn = Connection::open_in_memory()?;
        {
            let backup = Backup::new(&self.conn, &mut conn)?;
            // All pages in one step: nobody else writes here.
            backup.step(-1)?;
        }
        pragmas(&conn)?;
        Ok(Self { conn, held: false, protection: self.protection })
    }

    fn prepare(mut conn: Connection, path: &Path, protection: Protection, migrations: &[&str]) -> Result<Self, OpenError> {
        pragmas(&conn).map_err(|e| OpenError::database(path, e))?;
        migrate(&mut conn, path, migrations)?;
        Ok(Self { conn, held: false, protection })
    }

    /// How its key is kept.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// One transaction that may write. Dropping it undoes everything.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        begin(&mut self.conn, &mut self.held)
    }

    /// For reading.
    pub fn conn(&self) -> &Connection {
        &self.conn
    }
}

/// Seals the key of the vault in `dir` under a new passphrase, or lays it open with `None`. Needs the present one, if any.
pub fn change_passphrase(dir: &Path, present: Option<&str>, next: Option<&str>, rng: &mut impl CryptoRng) -> Result<(), OpenError> {
    let path = dir.join("vault.key");
    let bytes = fs::read(&path).map_err(OpenError::io(&path))?;
    let (key, _) = read_key(&path, &bytes, present)?;
    write_key(&path, &key, next, rng)
}

type Key = Zeroizing<[u8; 32]>;

fn load_or_make_key(dir: &Path, passphrase: Option<&str>, rng: &mut impl CryptoRng) -> Result<(Key, Protection), OpenError> {
    let path = dir.join("vault.key");
    match fs::read(&path) {
        Ok(bytes) => read_key(&path, &bytes, passphrase),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut key[..]);
            write_key(&path, &key, passphrase, rng)?;
            let protection = if passphrase.is_some() { Protection::Passphrase } else { Protection::KeyFile };
            Ok((key, protection))
        }
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// `[1, key]` or `[1, memory KiB, passes, salt 16, sealed key 48]`.
fn write_key(path: &Path, key: &Key, passphrase: Option<&str>, rng: &mut impl CryptoRng) -> Result<(), OpenError> {
    let mut e = Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = match passphrase {
        None => e.array(2).and_then(|e| e.u8(KEY_FILE_VERSION)).and_then(|e| e.bytes(&key[..])).map(|_| ()),
        Some(passphrase) => {
            let mut salt = [0; 16];
            rng.fill_bytes(&mut salt);
            let sealed = cipher(path, passphrase, &salt, ARGON2_MEMORY_KIB, ARGON2_PASSES)?
                .encrypt(&[0; 12].into(), &key[..])
                .map_err(|_| OpenError::Corrupt(path.into()))?;
            e.array(5)
                .and_then(|e| e.u8(KEY_FILE_VERSION))
                .and_then(|e| e.u32(ARGON2_MEMORY_KIB))
                .and_then(|e| e.u32(ARGON2_PASSES))
                .and_then(|e| e.bytes(&salt))
                .and_then(|e| e.bytes(&sealed))
                .map(|_| ())
        }
    };
    home::write_private(path, &Zeroizing::new(e.into_writer())).map_err(OpenError::io(path))
}

fn read_key(path: &Path, bytes: &[u8], passphrase: Option<&str>) -> Result<(Key, Protection), OpenError> {
    let corrupt = || OpenError::Corrupt(path.into());
    let mut d = Decoder::new(bytes);
    let elements = d.array().map_err(|_| corrupt())?;
    if d.u8().map_err(|_| corrupt())? != KEY_FILE_VERSION {
        return Err(corrupt());
    }
    let exact = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map(Zeroizing::new).map_err(|_| corrupt());
    match elements {
        Some(2) => Ok((exact(d.bytes().map_err(|_| corrupt())?)?, Protection::KeyFile)),
        Some(5) => {
            let memory = d.u32().map_err(|_| corrupt())?;
            let passes = d.u32().map_err(|_| corrupt())?;
            let salt = d.bytes().map_err(|_| corrupt())?;
            let sealed = d.bytes().map_err(|_| corrupt())?;
            if memory > ARGON2_MEMORY_MAX_KIB || passes > ARGON2_PASSES_MAX {
                return Err(corrupt());
            }
            let passphrase = passphrase.ok_or(OpenError::NeedsPassphrase)?;
            let key = cipher(path, passphrase, salt, memory, passes)?
                .decrypt(&[0; 12].into(), sealed)
                .map(Zeroizing::new)
                .map_err(|_| OpenError::WrongPassphrase)?;
            Ok((exact(&key)?, Protection::Passphrase))
        }
        _ => Err(corrupt()),
    }
}

/// A fresh salt makes a fresh key, so the nonce can be constant.
fn cipher(path: &Path, passphrase: &str, salt: &[u8], memory: u32, passes: u32) -> Result<ChaCha20Poly1305, OpenError> {
    let params = Params::new(memory, passes, 1, Some(32)).map_err(|_| OpenError::Corrupt(path.into()))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key[..])
        .map_err(|_| OpenError::Corrupt(path.into()))?;
    Ok(ChaCha20Poly1305::new(&(*key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    const STEPS: &[&str] = &["CREATE TABLE note(text TEXT NOT NULL) STRICT"];

    fn rng() -> rand_chacha::ChaCha20Rng {
        rand_chacha::ChaCha20Rng::from_seed([5; 32])
    }

    fn open(dir: &Path, passphrase: Option<&str>) -> Result<Vault, OpenError> {
        Vault::open(dir, passphrase, STEPS, &mut rng())
    }

    fn note(vault: &mut Vault) {
        let tx = vault.transaction().unwrap();
        tx.execute("INSERT INTO note VALUES('meet me at the old bridge')", []).unwrap();
        tx.commit().unwrap();
    }

    fn notes(vault: &Vault) -> i64 {
        vault.conn().query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn nothing_on_the_disk_shows_what_is_inside() {
        let dir = tempfile::tempdir().unwrap();
        note(&mut open(dir.path(), None).unwrap());
        for file in fs::read_dir(dir.path()).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(10).any(|w| w == b"old bridge") && !bytes.starts_with(b"SQLite format"));
        }
        let vault = open(dir.path(), None).unwrap();
        assert_eq!((notes(&vault), vault.protection()), (1, Protection::KeyFile));
    }

    #[test]
    fn a_copy_goes_its_own_way() {
        let mut vault = Vault::in_memory(STEPS).unwrap();
        note(&mut vault);
        let mut copy = vault.copy().unwrap();
        assert_eq!(notes(&copy), 1);
        note(&mut copy);
        assert_eq!((notes(&vault), notes(&copy)), (1, 2));
    }

    #[test]
    fn a_passphrase_guards_the_vault_and_can_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        note(&mut open(dir.path(), None).unwrap());
        change_passphrase(dir.path(), None, Some("correct horse"), &mut rng()).unwrap();
        assert!(matches!(open(dir.path(), None), Err(OpenError::NeedsPassphrase)));
        assert!(matches!(open(dir.path(), Some("wrong")), Err(OpenError::WrongPassphrase)));
        let vault = open(dir.path(), Some("correct horse")).unwrap();
        assert_eq!((notes(&vault), vault.protection()), (1, Protection::Passphrase));
        assert!(matches!(change_passphrase(dir.path(), Some("wrong"), None, &mut rng()), Err(OpenError::WrongPassphrase)));
        change_passphrase(dir.path(), Some("correct horse"), None, &mut rng()).unwrap();
        assert_eq!(notes(&open(dir.path(), None).unwrap()), 1);
    }

    #[test]
    fn a_damaged_vault_or_key_is_told() {
        let dir = tempfile::tempdir().unwrap();
        note(&mut open(dir.path(), None).unwrap());
        let mut key = fs::read(dir.path().join("vault.key")).unwrap();
        key[10] ^= 1;
        fs::write(dir.path().join("vault.key"), &key).unwrap();
        assert!(matches!(open(dir.path(), None), Err(OpenError::Corrupt(_))));
        fs::write(dir.path().join("vault.key"), b"x").unwrap();
        assert!(matches!(open(dir.path(), None), Err(OpenError::Corrupt(_))));
    }

    #[test]
    fn another_program_that_holds_the_vault_is_told_and_writing_goes_on_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut vault = open(dir.path(), None).unwrap();
        note(&mut vault);
        let path = dir.path().join("vault.sqlite");
        let mallory = Connection::open(&path).unwrap();
        let (key, _) = load_or_make_key(dir.path(), None, &mut rng()).unwrap();
        mallory.execute_batch(&format!("PRAGMA key = \"x'{}'\"; BEGIN EXCLUSIVE", HEXLOWER.encode(&key[..]))).unwrap();
        for _ in 0..2 {
            let held = vault.transaction().unwrap_err();
            assert!(held.is_of_the_disk() && held.to_string().contains(&path.display().to_string()), "{held}");
            assert_eq!(notes(&vault), 1, "what is there can be read");
        }
        mallory.execute_batch("ROLLBACK").unwrap();
        note(&mut vault);
        assert_eq!(notes(&vault), 2);
    }

    #[cfg(unix)]
    #[test]
    fn every_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mut vault = open(dir.path(), None).unwrap();
        note(&mut vault);
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
        }
    }
}
