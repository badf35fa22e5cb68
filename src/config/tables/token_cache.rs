//! `[token_cache]`: the cache of verified tokens.

use crate::config::language::{Count, DefaultKey, GIB, Key, Reader, Size, Table};

/// `[token_cache]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    /// Bytes of the level that all workers share; 0 turns the whole cache off.
    pub bytes: u64,
    /// Tokens that each worker keeps in its own level.
    pub per_worker: usize,
}

pub(super) static TABLE: Table = Table {
    path: "token_cache",
    doc: "Verified tokens are cached, so that each is verified once. The requirement of a route \
          is checked for every request. An entry ends with its token, its key and the \
          configuration of its issuer, and the memory of its text is overwritten. The buffers \
          into which requests are read, and copies in the libraries for HTTP and TLS, are not \
          overwritten. A change of this table takes effect at the next start.",
    keys: &[&BYTES, &PER_WORKER],
    refused: &[],
};

const BYTES: DefaultKey<Size<u64>> = Key::new("bytes", Size::new(0, 64 * GIB))
    .doc("Bytes of the level that all workers share; 0 turns the whole cache off.")
    .not(&["size"])
    .example(r#""16 MiB""#)
    .or("64 MiB");

const PER_WORKER: DefaultKey<Count<usize>> = Key::new("per_worker", Count::new(0, 1_000_000))
    .doc("Tokens that each worker keeps in its own level, in front of the shared level.")
    .or(1024);

pub(super) fn token_cache(mut reader: Reader<'_>) -> TokenCache {
    let cache = TokenCache {
        bytes: reader.get(&BYTES),
        per_worker: reader.get(&PER_WORKER),
    };
    reader.finish();
    cache
}
