//! The fingerprint of a certificate.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The SHA-256 hash of a certificate in DER. Logs show it in hexadecimal; tokens that are bound to
/// a certificate have it in base64url.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Returns the fingerprint of the first certificate of a PEM text. In a chain, this is the
    /// client's own certificate. Returns `None` if the text has no certificate.
    #[must_use]
    pub fn of_pem(text: &str) -> Option<Self> {
        CertificateDer::from_pem_slice(text.as_bytes())
            .ok()
            .map(|certificate| Self::of(&certificate))
    }

    /// Reads the value of `x5t#S256` (RFC 8705 §3.1): base64url without padding, of 32 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Returns the value of `x5t#S256`.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Writes hexadecimal digits. They are in the log line of each request with a client certificate;
/// the standard formatter takes ten times as long.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_its_hash() {
        let made = rcgen::generate_simple_self_signed(vec!["caller".to_owned()]).unwrap();
        let fingerprint = Fingerprint::of(made.cert.der());
        assert_eq!(Fingerprint::of_pem(&made.cert.pem()), Some(fingerprint));
        assert_eq!(Fingerprint::of_pem(&made.signing_key.serialize_pem()), None);
        assert_eq!(
            Fingerprint::parse(&fingerprint.thumbprint()),
            Some(fingerprint)
        );
        // FIPS 180-4: the hash of nothing.
        let empty = Fingerprint::of(b"");
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), digits);
        assert_eq!(
            empty.thumbprint(),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
    }

    #[test]
    fn a_thumbprint_is_read_in_its_one_spelling() {
        let right = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        assert_eq!(Fingerprint::parse(right), Some(Fingerprint::of(b"")));
        for wrong in [
            "",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            // Bits beyond the last byte.
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuF",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFUA",
            " 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        ] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }
}
