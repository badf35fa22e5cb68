//! The error for a key that is missing.

use std::fmt;
use std::time::Duration;

/// The reason why a key is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The issuer's current key set has no such key: the token is not valid.
    Unknown,
    /// The key set could not be fetched or is empty: the token cannot be judged.
    Unavailable {
        /// The delay before another attempt is useful.
        retry_after: Duration,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the issuer has no such key"),
            Self::Unavailable { .. } => f.write_str("the issuer's keys are not available"),
        }
    }
}

impl std::error::Error for KeyError {}
