//! The text of a token in the cache.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize as _;

/// The text of a token, which is overwritten when it is dropped: freed memory can be read through a
/// memory error, or from a core dump. It has no `Display`, and `Debug` shows only its length.
pub(super) struct Secret(Box<str>);

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns whether a part of `text` is at this address of the process's memory. Other users of
    /// freed memory never write such a text, and this function does not allocate.
    #[cfg(target_os = "linux")]
    pub(in super::super) fn is_at(at: usize, text: &str) -> bool {
        use std::os::unix::fs::FileExt as _;
        const PIECE: usize = 32;
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut found = [0; PIECE];
        text.as_bytes()
            .chunks_exact(PIECE)
            .enumerate()
            .any(|(index, piece)| {
                let place = (at + index * PIECE) as u64;
                memory.read_exact_at(&mut found, place).is_ok() && found == piece
            })
    }

    /// Returns a text that occurs nowhere else: without blanks, and as long as a token.
    #[cfg(target_os = "linux")]
    pub(in super::super) fn unique(seed: u64) -> String {
        (0..64)
            .map(|part| {
                format!(
                    "{:032x}",
                    (seed + 1) as u128 * 0x9e37_79b9_7f4a_7c15_f39c_c060 + part
                )
            })
            .collect()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_secret_that_is_dropped_is_not_in_memory_any_more() {
        let text = unique(1);
        let secret = Secret::from(&*text);
        let at = secret.as_ptr() as usize;
        assert!(is_at(at, &text), "it is found while it is there");
        drop(secret);
        assert!(!is_at(at, &text));
        // The counterpart: a text that is freed without being overwritten is found.
        let freed: Box<str> = (*text).into();
        let at = freed.as_ptr() as usize;
        drop(freed);
        assert!(is_at(at, &text), "freed memory still has what it had");
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::from("secret")), "Secret(6 bytes)");
    }
}
