//! The key by which a name server knows who may change a zone.

use core::fmt;

use data_encoding::BASE64;
use hickory_proto::rr::{Name, TSigner, rdata::tsig::TsigAlgorithm};
use zeroize::Zeroizing;

use crate::limits::{KEY_FILE_MAX, KEY_MAX, KEY_MIN, TSIG_FUDGE_S};

const ALGORITHM: &str = "hmac-sha256";

/// A TSIG key, HMAC-SHA256.
#[derive(Clone)]
pub struct TsigKey {
    name: Name,
    secret: Zeroizing<Vec<u8>>,
}

/// Why something is no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum BadKey {
    /// Not one `key "name" { algorithm ...; secret "..."; };`.
    #[error("this is no file of one key, as tsig-keygen prints it")]
    File,
    /// Another algorithm.
    #[error("the key is not of the algorithm hmac-sha256, which is the only one supported here")]
    Algorithm,
    /// Its name cannot be in DNS.
    #[error("the name of the key is no name")]
    Name,
    /// Not base64, or of no sensible length.
    #[error("the secret of the key is not 16 to 64 bytes in base64")]
    Secret,
}

impl TsigKey {
    /// A key of the name by which the server knows it, and its secret in base64.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn new(name: &str, secret: &str) -> Result<Self, BadKey> {
        let mut name = Name::from_ascii(name).map_err(|_| BadKey::Name)?;
        if name.is_root() || name.num_labels() == 0 {
            return Err(BadKey::Name);
        }
        name.set_fqdn(true);
        let secret = Zeroizing::new(BASE64.decode(secret.as_bytes()).map_err(|_| BadKey::Secret)?);
        if !(KEY_MIN..=KEY_MAX).contains(&secret.len()) {
            return Err(BadKey::Secret);
        }
        Ok(Self { name, secret })
    }

    /// Reads a key file of BIND.
    ///
    /// # Errors
    /// If there is not exactly one key of a kind that we know in it.
    pub fn read(file: &str) -> Result<Self, BadKey> {
        let tokens = (file.len() <= KEY_FILE_MAX).then(|| tokens(file)).flatten().ok_or(BadKey::File)?;
        let ["key", name, "{", inner @ .., "}", ";"] = tokens.as_slice() else { return Err(BadKey::File) };
        let (algorithm, secret) = match inner {
            ["algorithm", algorithm, ";", "secret", secret, ";"] | ["secret", secret, ";", "algorithm", algorithm, ";"] => {
                (algorithm, secret)
            }
            _ => return Err(BadKey::File),
        };
        if !algorithm.eq_ignore_ascii_case(ALGORITHM) {
            return Err(BadKey::Algorithm);
        }
        Self::new(name, secret)
    }

    /// What signs messages. The library keeps a copy of the secret for as long as that lives, and does not wipe it.
    pub(crate) fn signer(&self) -> Option<TSigner> {
        TSigner::new(self.secret.to_vec(), TsigAlgorithm::HmacSha256, self.name.clone(), TSIG_FUDGE_S).ok()
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TsigKey(..)")
    }
}

/// Words, quoted or not, and the marks between them, without the three kinds of comments.
fn tokens(file: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    let mut rest = file.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("/*") {
            rest = after.split_once("*/")?.1;
        } else if first == '#' || rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(after) = rest.strip_prefix('"') {
            let (word, after) = after.split_once('"')?;
            tokens.push(word);
            rest = after;
        } else {
            let mark = "{};".contains(first);
            let end = if mark { 1 } else { rest.find(|c: char| c.is_whitespace() || "{};\"".contains(c)).unwrap_or(rest.len()) };
            let (word, after) = rest.split_at_checked(end)?;
            tokens.push(word);
            rest = after;
        }
        rest = rest.trim_start();
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "8cHxgGcHHdFzMEKHm5H1jAw0U7tzSRiDQl4B1cRXkOc=";

    #[test]
    fn what_tsig_keygen_prints_is_read_and_comments_are_not() {
        let printed = format!("key \"node-key\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n");
        let by_hand = format!("# ours\n/* of }} 2026 */ key node-key. {{secret {SECRET}; // safe\n algorithm HMAC-SHA256;}};");
        for file in [printed, by_hand] {
            let key = TsigKey::read(&file).unwrap();
            assert_eq!((key.name.to_ascii().as_str(), key.secret.len()), ("node-key.", 32));
            assert_eq!(format!("{key:?}"), "TsigKey(..)");
        }
    }

    #[test]
    fn what_is_no_key_is_told_why() {
        let file = |name: &str, algorithm: &str, secret: &str| {
            TsigKey::read(&format!("key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};")).map(|_| ())
        };
        assert_eq!(file("k", "hmac-sha256", SECRET), Ok(()));
        assert_eq!(file("k", "hmac-md5", SECRET), Err(BadKey::Algorithm));
        assert_eq!(file("k", "hmac-sha256", "c2hvcnQ="), Err(BadKey::Secret));
        assert_eq!(file("k", "hmac-sha256", "no base64"), Err(BadKey::Secret));
        assert_eq!(file("a..b", "hmac-sha256", SECRET), Err(BadKey::Name));
        let one = format!("key k {{ algorithm hmac-sha256; secret {SECRET}; }};");
        for file in ["", "key", "\"", "/*", "key k { };", &one.repeat(2), &one.replace("};", "}"), &" ".repeat(KEY_FILE_MAX + 1)] {
            assert_eq!(TsigKey::read(file).map(|_| ()), Err(BadKey::File), "{file}");
        }
    }
}
