//! The file with the token that a key set asks for, such as that of a Kubernetes service account.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use http::HeaderValue;
use zeroize::Zeroizing;

/// The largest size of the file in bytes. A larger head would be refused by most servers.
const MAX_BYTES: u64 = 16 * 1024;

/// The reason for which a file has no token. It quotes nothing of the file.
#[derive(Debug)]
pub(super) enum TokenFileError {
    /// The file cannot be read.
    Read(io::Error),
    /// It is not a regular file, or larger than a token.
    Size,
    /// It is empty, or has more than one word or characters that no header may have.
    Content,
}

/// Reads the token and returns it as a value of `Authorization` (RFC 6750 §2.1).
///
/// # Errors
/// [`TokenFileError`]
pub(super) fn authorization(path: &Path) -> Result<HeaderValue, TokenFileError> {
    // Any other kind of file could block the control thread.
    let metadata = fs::metadata(path).map_err(TokenFileError::Read)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(TokenFileError::Size);
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize));
    File::open(path)
        .map_err(TokenFileError::Read)?
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(TokenFileError::Read)?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFileError::Content);
    }
    let value = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&value).map_err(|_| TokenFileError::Content)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Size => f.write_str("it is not a regular file, or has more than 16 KiB"),
            Self::Content => f.write_str("it holds not exactly one word of ASCII"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(matches!(authorization(&file), Err(TokenFileError::Read(_))));
        assert!(matches!(
            authorization(folder.path()),
            Err(TokenFileError::Size)
        ));
        fs::write(&file, "  eyJ.a.b\r\n").unwrap();
        let value = authorization(&file).unwrap();
        assert_eq!(value, "Bearer eyJ.a.b");
        assert!(value.is_sensitive());
        for text in ["", "\n", "Bearer eyJ", "a\nb", "ä", "a\u{0}b"] {
            fs::write(&file, text).unwrap();
            let error = authorization(&file).unwrap_err();
            assert!(matches!(error, TokenFileError::Content), "{text:?}");
        }
        fs::write(&file, "x".repeat(20_000)).unwrap();
        assert!(matches!(authorization(&file), Err(TokenFileError::Size)));
    }
}
