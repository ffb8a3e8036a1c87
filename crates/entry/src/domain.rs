//! Names in DNS.

use core::fmt;

use hickory_proto::rr::{Name, RData, Record};

use crate::text::{LABEL, Txt};

/// A domain that may have entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    plain: Name,
    entries: Name,
}

/// What cannot be a domain.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("this is no domain name")]
pub struct BadDomain;

impl Domain {
    /// Reads what a person wrote. It is always absolute, with a dot at its end or without.
    ///
    /// # Errors
    /// If it cannot be a domain.
    pub fn new(domain: &str) -> Result<Self, BadDomain> {
        let mut plain = Name::from_utf8(domain.trim()).map_err(|_| BadDomain)?.to_lowercase();
        if plain.is_root() || plain.is_wildcard() || plain.num_labels() == 0 {
            return Err(BadDomain);
        }
        plain.set_fqdn(true);
        let entries = plain.prepend_label(LABEL).map_err(|_| BadDomain)?;
        Ok(Self { plain, entries })
    }

    pub(crate) fn plain(&self) -> &Name {
        &self.plain
    }

    /// Where its entries stand.
    pub(crate) fn entries(&self) -> &Name {
        &self.entries
    }
}

/// As a person writes it: without the dot at its end, letters beyond ASCII as they are.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plain.to_utf8().trim_end_matches('.'))
    }
}

impl Txt {
    pub(crate) fn from_dns(record: &Record) -> Option<Self> {
        let RData::TXT(txt) = &record.data else { return None };
        Some(Self::from_strings(txt.txt_data.iter().map(AsRef::as_ref)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_absolute_and_what_is_none_is_refused() {
        for domain in ["example.org", "example.org.", " Example.ORG "] {
            assert_eq!(Domain::new(domain).unwrap().entries().to_ascii(), "_samizdat.example.org.");
        }
        assert_eq!(Domain::new("bücher.example").unwrap().plain().to_ascii(), "xn--bcher-kva.example.");
        for (written, shown) in [("Example.org.", "example.org"), ("BÜCHER.example", "bücher.example")] {
            let domain = Domain::new(written).unwrap();
            assert_eq!(domain.to_string(), shown);
            assert_eq!(Domain::new(shown), Ok(domain));
        }
        let long = "a.".repeat(126);
        for bad in ["", ".", "a..b", "*.example.org", "a b.example", &long] {
            assert_eq!(Domain::new(bad), Err(BadDomain), "{bad}");
        }
    }
}
