//! Node records as TXT records, byte by byte in docs/protocol/entry.md.

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use samizdat_core::{NodeRecord, NodeRecordIn, record::BadRecord};

use crate::limits::{ENCODED_MAX, ENTRIES_MAX, TXT_READ_MAX, TXT_STRING_MAX};

/// How the text of an entry begins.
pub const PREFIX: &[u8] = b"v=samizdat1 ";
/// The label under which a domain keeps its entries.
pub const LABEL: &str = "_samizdat";

/// One TXT record as it stands in a domain: its strings, exactly. Two that read the same and are cut differently are two.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Txt(Vec<Vec<u8>>);

/// What a TXT record is to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slot {
    /// Somebody else's text.
    Foreign,
    /// It says that it is an entry, and is none.
    Junk,
    /// Signed by its node, but not of this time by our clock.
    Lapsed(NodeRecord),
    /// An entry.
    Holds(NodeRecord),
}

/// What was found among TXT records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selected {
    /// Verified records, one per node, in the order in which they came.
    pub records: Vec<NodeRecord>,
    /// Entries that were dropped: malformed, forged, expired, superseded or too many.
    pub dropped: usize,
}

impl Txt {
    /// An entry for a domain.
    pub fn of(record: &NodeRecord) -> Self {
        let text = [PREFIX, BASE64URL_NOPAD.encode(record.bytes()).as_bytes()].concat();
        Self(text.chunks(TXT_STRING_MAX).map(<[u8]>::to_vec).collect())
    }

    /// As DNS gave it.
    pub fn from_strings<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(strings.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The strings as they stand in DNS.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether it says that it is an entry.
    pub fn claims_entry(&self) -> bool {
        self.0.iter().flatten().take(PREFIX.len()).eq(PREFIX)
    }

    /// Reads it at `unix_s`, seconds since 1970.
    pub fn read(&self, unix_s: u64) -> Slot {
        if !self.claims_entry() {
            return Slot::Foreign;
        }
        let text: Vec<u8> = self.0.iter().flatten().skip(PREFIX.len()).take(ENCODED_MAX.saturating_add(1)).copied().collect();
        let Some(record) = decode(&text) else { return Slot::Junk };
        let issued = record.claimed_issued();
        match record.clone().verify(unix_s) {
            Ok(record) => Slot::Holds(record),
            // Whose it is still matters: before its place is taken, its node is asked.
            Err(BadRecord::Expired | BadRecord::Future) => record.verify(issued).map_or(Slot::Junk, Slot::Lapsed),
            Err(_) => Slot::Junk,
        }
    }
}

fn decode(text: &[u8]) -> Option<NodeRecordIn> {
    let text = (text.len() <= ENCODED_MAX).then_some(text)?;
    NodeRecordIn::decode(&BASE64URL_NOPAD.decode(text).ok()?).ok()
}

impl fmt::Debug for Txt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TXT of {} bytes", self.0.iter().flatten().count())
    }
}

/// The records that users get: verified at `unix_s`, of each node the one that counts.
pub fn select<'a>(answer: impl IntoIterator<Item = &'a Txt>, unix_s: u64) -> Selected {
    let mut found = Selected::default();
    for txt in answer.into_iter().take(TXT_READ_MAX) {
        let record = match txt.read(unix_s) {
            Slot::Foreign => continue,
            Slot::Holds(record) => record,
            Slot::Junk | Slot::Lapsed(_) => {
                found.dropped = found.dropped.saturating_add(1);
                continue;
            }
        };
        let room = found.records.len() < ENTRIES_MAX;
        let known = found.records.iter_mut().find(|known| known.peer() == record.peer());
        let dropped = match known {
            Some(known) => {
                if record.supersedes(known) {
                    *known = record;
                }
                true
            }
            None if room => {
                found.records.push(record);
                false
            }
            None => true,
        };
        found.dropped = found.dropped.saturating_add(dropped.into());
    }
    found
}

#[cfg(test)]
mod tests;
