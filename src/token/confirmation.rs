//! Proof of possession: tokens that are bound to their owner's key.

use super::TokenError;
use crate::policy::Claim;
use crate::tls::Fingerprint;

/// The member of `cnf` by which a token is bound to a client certificate (RFC 8705 §3.1).
const CERTIFICATE: &str = "x5t#S256";

/// The proof that a client has to give that a token is its own (`cnf`, RFC 7800 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// No proof: it is a bearer token.
    None,
    /// The client certificate of the connection (RFC 8705 §3).
    Certificate(Fingerprint),
    /// A proof that the gateway cannot check: DPoP (`jkt`), a key by value, or a form that it
    /// cannot read.
    Unchecked,
}

impl Confirmation {
    /// Reads `cnf`, if there is one. A token that is bound to a certificate and to something else
    /// needs both proofs, and only one can be checked here.
    pub(super) fn of(claim: Option<&Claim>) -> Self {
        let Some(claim) = claim else {
            return Self::None;
        };
        let Claim::Map(members) = claim else {
            return Self::Unchecked;
        };
        let thumbprint = members
            .get(CERTIFICATE)
            .and_then(Claim::as_text)
            .and_then(Fingerprint::parse);
        match thumbprint {
            Some(thumbprint) if members.iter().count() == 1 => Self::Certificate(thumbprint),
            _ => Self::Unchecked,
        }
    }

    /// Checks the proof of a client that has this certificate, or none.
    ///
    /// # Errors
    /// [`TokenError::ClientCertificate`] or [`TokenError::SenderConstrained`]
    pub(super) fn check(&self, certificate: Option<&Fingerprint>) -> Result<(), TokenError> {
        match self {
            Self::None => Ok(()),
            Self::Certificate(bound) if certificate == Some(bound) => Ok(()),
            Self::Certificate(_) => Err(TokenError::ClientCertificate {
                has_other: certificate.is_some(),
            }),
            Self::Unchecked => Err(TokenError::SenderConstrained),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::parse_object;
    use super::*;

    #[test]
    fn only_a_certificate_and_nothing_besides_can_be_checked() {
        let shown = Fingerprint::of(b"shown");
        let bound = shown.thumbprint();
        let of = |cnf: &str| {
            let claims = parse_object(format!("{{\"cnf\":{cnf}}}").as_bytes()).unwrap();
            Confirmation::of(claims.get("cnf"))
        };
        assert_eq!(Confirmation::of(None), Confirmation::None);
        assert_eq!(
            of(&format!("{{\"x5t#S256\":\"{bound}\"}}")),
            Confirmation::Certificate(shown)
        );
        for cnf in [
            "null".to_owned(),
            "{}".to_owned(),
            format!("\"{bound}\""),
            format!("[{{\"x5t#S256\":\"{bound}\"}}]"),
            format!("{{\"x5t#S256\":[\"{bound}\"]}}"),
            format!("{{\"x5t#S256\":\"{bound}=\"}}"),
            format!("{{\"X5T#S256\":\"{bound}\"}}"),
            format!("{{\"x5t\":\"{bound}\"}}"),
            format!("{{\"jkt\":\"{bound}\"}}"),
            format!("{{\"x5t#S256\":\"{bound}\",\"jkt\":\"{bound}\"}}"),
        ] {
            assert_eq!(of(&cnf), Confirmation::Unchecked, "{cnf}");
        }
    }

    #[test]
    fn a_certificate_is_the_one_that_was_shown_or_none() {
        let (bound, other) = (Fingerprint::of(b"bound"), Fingerprint::of(b"other"));
        for certificate in [None, Some(&bound), Some(&other)] {
            assert_eq!(Confirmation::None.check(certificate), Ok(()));
            let unchecked = Confirmation::Unchecked.check(certificate);
            assert_eq!(unchecked, Err(TokenError::SenderConstrained));
        }
        let check = |certificate| Confirmation::Certificate(bound).check(certificate);
        assert_eq!(check(Some(&bound)), Ok(()));
        let wrong = |has_other| Err(TokenError::ClientCertificate { has_other });
        assert_eq!(check(Some(&other)), wrong(true));
        assert_eq!(check(None), wrong(false));
    }
}
