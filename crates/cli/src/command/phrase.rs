//! Passphrases of clusters: from the terminal or standard input, never from the command line, which other programs can see.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use samizdat_api::meeting::Secret;

use crate::failure::Failure;

/// Words of a passphrase where nobody says how many.
pub(crate) const WORDS: u8 = 8;
/// More of a line is not read, bytes: twelve words need a hundred.
const LINE_MAX: u64 = 4096;

/// The first line. It is seen while it is typed: whoever reads along can ask to be let in, no more, and eight words are hard to
/// type unseen.
pub(crate) fn read() -> Result<Secret, Failure> {
    if io::stdin().is_terminal() {
        // Without a prompt one can type as well.
        let _ = io::stderr().write_all(b"Passphrase: ");
    }
    let mut line = String::new();
    let read = io::stdin().lock().take(LINE_MAX).read_line(&mut line);
    read.map_err(|e| Failure::refused(format!("no passphrase was given ({e})")))?;
    if line.trim().is_empty() {
        return Err(Failure::usage("no passphrase was given: type the words that you have from a member, or pipe them in"));
    }
    Ok(Secret::new(line))
}
