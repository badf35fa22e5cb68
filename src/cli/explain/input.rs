//! The files that the command reads.

use std::fs::File;
use std::io::{self, Error, ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::tls::Fingerprint;

/// The largest size of a file in bytes. The largest limits of a head and of a token are 1 MiB, so
/// that a larger file is neither.
const MAX_BYTES: usize = 2 << 20;

/// Reads a file, or standard input for `-`. The bytes are overwritten after use, and the buffer has
/// its full capacity from the start because growing would leave copies behind.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    match read_to(file, &mut bytes) {
        Ok(()) if bytes.len() > MAX_BYTES => {
            let error = Error::new(ErrorKind::InvalidData, "it has more than 2 MiB");
            Err(Failure::InputFile(file.to_owned(), error))
        }
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::InputFile(file.to_owned(), error)),
    }
}

fn read_to(file: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let most = MAX_BYTES as u64 + 1;
    if file == Path::new("-") {
        io::stdin().take(most).read_to_end(bytes)?;
    } else {
        File::open(file)?.take(most).read_to_end(bytes)?;
    }
    Ok(())
}

/// Returns the fingerprint of the certificate in a file.
pub(super) fn read_certificate(file: &Path) -> Result<Fingerprint, Failure> {
    let error = match std::fs::read_to_string(file) {
        Ok(text) => match Fingerprint::of_pem(&text) {
            Some(fingerprint) => return Ok(fingerprint),
            None => Error::new(ErrorKind::InvalidData, "there is no certificate in PEM"),
        },
        Err(error) => error,
    };
    Err(Failure::CertificateFile(file.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "x".repeat(MAX_BYTES)).unwrap();
        assert_eq!(read(&file).unwrap().len(), MAX_BYTES);
        std::fs::write(&file, "x".repeat(MAX_BYTES + 1)).unwrap();
        for wrong in [&file, folder.path()] {
            assert!(matches!(read(wrong), Err(Failure::InputFile(..))));
        }
    }
}
