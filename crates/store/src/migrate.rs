//! Schema versions: `PRAGMA user_version` counts the steps that a file has seen.

use std::path::Path;

use rusqlite::Connection;

use crate::OpenError;

/// Brings a database to the newest layout, each step in a transaction of its own.
pub fn migrate(conn: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), OpenError> {
    let failed = |source| OpenError::database(path, source);
    let found: usize = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if found > steps.len() {
        return Err(OpenError::TooNew { path: path.into(), found, known: steps.len() });
    }
    for (index, step) in steps.iter().enumerate().skip(found) {
        let tx = conn.transaction().map_err(failed)?;
        tx.execute_batch(step).map_err(failed)?;
        tx.pragma_update(None, "user_version", index.saturating_add(1)).map_err(failed)?;
        tx.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_once_and_a_newer_file_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        let path = Path::new("x");
        migrate(&mut conn, path, &["CREATE TABLE a(x INTEGER) STRICT"]).unwrap();
        migrate(&mut conn, path, &["CREATE TABLE a(x INTEGER) STRICT", "CREATE TABLE b(x INTEGER) STRICT"]).unwrap();
        assert!(matches!(migrate(&mut conn, path, &[]), Err(OpenError::TooNew { found: 2, known: 0, .. })));
    }

    #[test]
    fn a_failing_step_leaves_the_version_before_it() {
        let mut conn = Connection::open_in_memory().unwrap();
        let path = Path::new("x");
        assert!(migrate(&mut conn, path, &["CREATE TABLE a(x INTEGER) STRICT", "nonsense"]).is_err());
        migrate(&mut conn, path, &["CREATE TABLE a(x INTEGER) STRICT", "CREATE TABLE b(x INTEGER) STRICT"]).unwrap();
    }
}
