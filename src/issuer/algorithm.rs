//! The signature algorithms that a token may use (RFC 7518 §3.1, RFC 8037). `none` and the HMAC
//! algorithms have no variant here, so no token can select them.

use std::fmt;

/// An asymmetric JWS algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are RFC 7518's own")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

impl Algorithm {
    /// Every algorithm; the default of an issuer without `algorithms`.
    pub const ALL: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The algorithms of RSA keys.
    pub(super) const RSA: [Self; 6] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
    ];

    /// Returns the algorithm with exactly this case-sensitive name, as a JWS header or a JWK spells
    /// it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        // RFC 9864 §2.2 names EdDSA by its curve. Ed448 has no variant: no key of it is usable.
        if name == "Ed25519" {
            return Some(Self::EdDSA);
        }
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// Returns the name, as a JWS header and the configuration spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Converts to the type of the JWT library, which has no ES512.
    #[must_use]
    pub fn jsonwebtoken(self) -> Option<jsonwebtoken::Algorithm> {
        use jsonwebtoken::Algorithm as Library;
        Some(match self {
            Self::RS256 => Library::RS256,
            Self::RS384 => Library::RS384,
            Self::RS512 => Library::RS512,
            Self::PS256 => Library::PS256,
            Self::PS384 => Library::PS384,
            Self::PS512 => Library::PS512,
            Self::ES256 => Library::ES256,
            Self::ES384 => Library::ES384,
            Self::ES512 => return None,
            Self::EdDSA => Library::EdDSA,
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_asymmetric_algorithms_have_a_name() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
            if let Some(library) = algorithm.jsonwebtoken() {
                assert_eq!(format!("{library:?}"), algorithm.name());
            }
        }
        for name in [
            "none", "None", "nOnE", "HS256", "HS384", "HS512", "rs256", "ES521", "ES256K", "Ed448",
            "",
        ] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }

    // RFC 9864
    #[test]
    fn ed25519_is_another_name_of_eddsa() {
        assert_eq!(Algorithm::parse("Ed25519"), Some(Algorithm::EdDSA));
        assert_eq!(Algorithm::parse("ed25519"), None);
    }
}
