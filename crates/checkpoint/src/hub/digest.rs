//! The hashes by which the Hub names files: SHA-256 for large ones, and the one that git gives a blob for small ones.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The name of a file's contents (its ETag), which is also the name of its blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Etag(String);

impl Etag {
    /// As headers have it, perhaps with quotes and the mark of a weak one; `None` where it cannot be the name of a file.
    pub(super) fn parse(text: &str) -> Option<Etag> {
        let text = text.trim().trim_start_matches("W/").trim_matches('"');
        let plain =
            text.len() <= 128 && !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain.then(|| Etag(text.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hash in the making, of the kind that an ETag's length tells.
pub(super) enum Digest {
    Sha256(Sha256),
    Git(Sha1),
    /// The ETag of some mirror, which is no hash: only the size can be checked.
    Unknown,
}

impl Digest {
    pub(super) fn new(etag: &Etag, size: u64) -> Digest {
        let hex = etag.0.bytes().all(|byte| byte.is_ascii_hexdigit());
        match etag.0.len() {
            64 if hex => Digest::sha256(),
            40 if hex => Digest::git(size),
            _ => Digest::Unknown,
        }
    }

    pub(super) fn sha256() -> Digest {
        Digest::Sha256(Sha256::new())
    }

    /// The hash that git gives a blob of `size` bytes.
    pub(super) fn git(size: u64) -> Digest {
        Digest::Git(Sha1::new_with_prefix(format!("blob {size}\0")))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Digest::Sha256(hash) => hash.update(bytes),
            Digest::Git(hash) => hash.update(bytes),
            Digest::Unknown => {}
        }
    }

    /// The hash in hexadecimal digits; empty where there is none.
    pub(super) fn finish(self) -> String {
        match self {
            Digest::Sha256(hash) => hex(&hash.finalize()),
            Digest::Git(hash) => hex(&hash.finalize()),
            Digest::Unknown => String::new(),
        }
    }

    /// The kind and the hash, where it is another than `etag`.
    pub(super) fn differs(self, etag: &Etag) -> Option<(&'static str, String)> {
        let what = match self {
            Digest::Sha256(_) => "sha256",
            Digest::Git(_) => "git hash",
            Digest::Unknown => return None,
        };
        let got = self.finish();
        (!got.eq_ignore_ascii_case(&etag.0)).then_some((what, got))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(etag: &str, bytes: &[u8]) -> Option<(&'static str, String)> {
        let etag = Etag::parse(etag)?;
        let mut digest = Digest::new(&etag, bytes.len() as u64);
        digest.update(bytes);
        digest.differs(&etag)
    }

    #[test]
    fn the_length_of_an_etag_tells_the_hash() {
        // `printf 'hello\n' | git hash-object --stdin` and `printf 'hello\n' | sha256sum`
        assert_eq!(check("\"ce013625030ba8dba906f756967f9e9ca394464a\"", b"hello\n"), None);
        assert_eq!(check("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", b"hello\n"), None);
        assert_eq!(check("W/\"0000-1\"", b"anything"), None);
        assert_eq!(check(&"0".repeat(40), b"hello\n").map(|(what, _)| what), Some("git hash"));
        assert_eq!(check(&"0".repeat(64), b"hello\n").map(|(what, _)| what), Some("sha256"));
    }

    #[test]
    fn an_etag_that_is_no_file_name_is_refused() {
        for etag in ["", "\"\"", "../x", "a/b", "a\\b", "a\0", &"a".repeat(129)] {
            assert_eq!(Etag::parse(etag), None, "{etag}");
        }
    }
}
