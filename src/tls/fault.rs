//! The failure of a TLS handshake, as an operator reads it.

use std::fmt::{self, Write as _};
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// The largest number of characters of the TLS library's text that are shown. It may quote the
/// names in a peer's certificate.
const MAX_CHARS: usize = 200;

/// Shows the error of a handshake on one line. The TLS library calls a certificate of an unknown CA
/// `UnknownIssuer`, or `BadSignature` if a trusted CA has the same name, which read like reasons
/// for tokens.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeFault<'a>(pub &'a io::Error);

impl HandshakeFault<'_> {
    /// Returns whether the peer's certificate is signed by no CA that is trusted here.
    #[must_use]
    pub fn is_unknown_ca(self) -> bool {
        matches!(
            library_error(self.0),
            Some(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            ))
        )
    }
}

/// The name by which the TLS library knows that a peer has shown the certificate of a CA.
const CA_SHOWN: &str = "CaUsedAsEndEntity";

/// Shows why a certificate is refused, in words where the TLS library has only the name of its
/// error.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFault<'a>(pub &'a CertificateError);

impl fmt::Display for CertificateFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            CertificateError::BadEncoding => "the certificate is malformed",
            CertificateError::Revoked => "the certificate is revoked",
            CertificateError::InvalidPurpose => "the certificate is for another purpose",
            CertificateError::UnhandledCriticalExtension => {
                "the certificate has a critical extension that is not known here"
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                "the certificate is signed by an algorithm that is not supported"
            }
            CertificateError::Other(error) if error.to_string() == CA_SHOWN => {
                "the certificate shown is that of a CA itself (basicConstraints CA:TRUE), as \
                 \"openssl req -x509\" makes it: show one that the CA has signed, or a self-signed \
                 one with CA:FALSE"
            }
            CertificateError::Other(error) => {
                return write!(f, "the certificate cannot be used: {error}");
            }
            error => return write!(f, "{error}"),
        })
    }
}

fn library_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

impl fmt::Display for HandshakeFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match library_error(self.0) {
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                f.write_str("the certificate is signed by no CA that is trusted here")
            }
            Some(Error::InvalidCertificate(CertificateError::BadSignature)) => f.write_str(
                "the certificate is signed by no CA that is trusted here, though one has its name",
            ),
            Some(Error::AlertReceived(AlertDescription::UnknownCA)) => {
                f.write_str("the peer trusts no CA that has signed the certificate shown to it")
            }
            Some(Error::InvalidCertificate(error)) => {
                write_line(f, &CertificateFault(error).to_string())
            }
            _ => write_line(f, &self.0.to_string()),
        }
    }
}

/// Writes a text that may hold a peer's words, without control characters and cut.
fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut chars = text.chars();
    for char in chars.by_ref().take(MAX_CHARS) {
        match char {
            '"' | '\'' => f.write_char(char)?,
            char => write!(f, "{}", char.escape_debug())?,
        }
    }
    let is_cut = chars.next().is_some();
    f.write_str(if is_cut { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn a_refused_certificate_is_described_in_words() {
        let other = |name: &str| {
            CertificateError::Other(OtherError(Arc::new(io::Error::other(name.to_owned()))))
        };
        for (error, says) in [
            (CertificateError::Revoked, "the certificate is revoked"),
            (
                CertificateError::BadEncoding,
                "the certificate is malformed",
            ),
            (
                other("UnsupportedCertVersion"),
                "the certificate cannot be used: UnsupportedCertVersion",
            ),
            (
                other(CA_SHOWN),
                "the certificate shown is that of a CA itself (basicConstraints CA:TRUE), as \"openssl \
                 req -x509\" makes it: show one that the CA has signed, or a self-signed one with \
                 CA:FALSE",
            ),
        ] {
            assert_eq!(CertificateFault(&error).to_string(), says);
            let refused = Error::InvalidCertificate(error);
            let failed = io::Error::new(io::ErrorKind::InvalidData, refused);
            assert_eq!(HandshakeFault(&failed).to_string(), says);
        }
    }

    #[test]
    fn an_unknown_ca_is_not_called_an_unknown_issuer() {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let other = Error::InvalidCertificate(CertificateError::BadSignature);
        let refused = Error::AlertReceived(AlertDescription::UnknownCA);
        for (error, is_unknown, says) in [
            (
                io::Error::new(io::ErrorKind::InvalidData, unknown),
                true,
                "the certificate is signed by no CA that is trusted here",
            ),
            (
                io::Error::new(io::ErrorKind::InvalidData, other),
                true,
                "the certificate is signed by no CA that is trusted here, though one has its name",
            ),
            (
                io::Error::new(io::ErrorKind::InvalidData, refused),
                false,
                "the peer trusts no CA that has signed the certificate shown to it",
            ),
            (
                io::Error::other("broken\r\npipe"),
                false,
                "broken\\r\\npipe",
            ),
        ] {
            let fault = HandshakeFault(&error);
            assert_eq!(
                (fault.is_unknown_ca(), fault.to_string().as_str()),
                (is_unknown, says)
            );
        }
        let long = io::Error::other("\u{1b}".repeat(10_000));
        assert!(HandshakeFault(&long).to_string().len() < 2000);
    }
}
