//! Errors of tokens for unit tests.

use std::time::Duration;

use super::*;
use crate::clock::UnixTime;
use crate::policy::Claim;

/// A text that tokens have in the errors.
pub(crate) const FOUND: &str = "found-in-token";

/// A text that the configuration has in the errors.
pub(crate) const WANTED: &str = "wanted-by-entry";

/// Returns errors of every kind, with the longest and the worst texts that they can have.
pub(crate) fn token_errors() -> Vec<TokenError> {
    let found = || Excerpt::of(FOUND);
    let founds = || Excerpts::of([FOUND]);
    let wanted = || Excerpts::of([WANTED]);
    let key_id = || Some(found());
    let now = UnixTime(1);
    let part = Part::Claims;
    let name = "exp";
    vec![
        TokenError::Missing(Box::default()),
        TokenError::WrongScheme(Box::new(OtherCredential::Bare(true))),
        TokenError::WrongScheme(Box::new(OtherCredential::Scheme(Some("Basic")))),
        TokenError::Several,
        TokenError::TooLong { bytes: 2, limit: 1 },
        TokenError::Placeholder(Placeholder::Nothing),
        TokenError::Opaque,
        TokenError::Encrypted,
        Malformation::Quoted.into(),
        Malformation::Missing { part, name }.into(),
        Malformation::NotJson(part, JsonFault::Twice(found())).into(),
        TokenError::Algorithm(Box::new(WrongAlgorithm {
            found: found(),
            allowed: vec!["RS256"],
        })),
        TokenError::UnknownIssuer(Box::new(OtherIssuer {
            found: found(),
            accepted: wanted(),
            near: None,
            elsewhere: Vec::new(),
        })),
        TokenError::UnknownKey(Box::new(AbsentKey {
            key_id: key_id(),
            algorithm: "RS256",
            present: wanted(),
            others: Vec::new(),
        })),
        TokenError::Signature(Box::new(WrongSignature {
            key_id: key_id(),
            is_of_none: false,
            algorithm: "RS256",
        })),
        TokenError::KeysUnavailable {
            retry_after: Duration::ZERO,
        },
        TokenError::Expired {
            at: UnixTime(0),
            now,
        },
        TokenError::NotYetValid {
            from: UnixTime(u64::MAX),
            now,
        },
        TokenError::Audience(Box::new(WrongAudience {
            claims: vec!["aud".into()],
            mismatch: Mismatch {
                found: founds(),
                wanted: wanted(),
                near: None,
            },
        })),
        TokenError::Client(Box::new(Mismatch {
            found: Excerpts::default(),
            wanted: wanted(),
            near: None,
        })),
        other_kind(KindFault::HeaderTyp(found())),
        other_kind(KindFault::Unmarked),
        TokenError::RequiredClaim(Box::new(UnmetClaim {
            claim: "tenant".into(),
            found: Some(ShownClaim::of(&Claim::Text(FOUND.into()))),
            wanted: Some(ShownClaim::of(&Claim::Text(WANTED.into()))),
        })),
        TokenError::SenderConstrained,
        TokenError::ClientCertificate { has_other: true },
    ]
}

fn other_kind(fault: KindFault) -> TokenError {
    let accepted = AcceptedKind::Access;
    TokenError::NotAccessToken(Box::new(OtherKind { accepted, fault }))
}

/// Returns whether an error of [`token_errors`] has one of the texts.
pub(crate) fn has_texts(error: &TokenError) -> bool {
    match error {
        TokenError::Algorithm(_)
        | TokenError::UnknownIssuer(_)
        | TokenError::UnknownKey(_)
        | TokenError::Signature(_)
        | TokenError::Audience(_)
        | TokenError::Client(_)
        | TokenError::RequiredClaim(_) => true,
        TokenError::Malformed(fault) => matches!(**fault, Malformation::NotJson(..)),
        TokenError::NotAccessToken(other) => matches!(other.fault, KindFault::HeaderTyp(_)),
        _ => false,
    }
}

/// Returns whether the error is found before the signature has verified.
pub(crate) fn is_unverified(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::TooLong { .. }
            | TokenError::Placeholder(_)
            | TokenError::Opaque
            | TokenError::Encrypted
            | TokenError::Malformed(_)
            | TokenError::Algorithm(_)
            | TokenError::UnknownIssuer(_)
            | TokenError::UnknownKey(_)
            | TokenError::Signature(_)
    )
}
