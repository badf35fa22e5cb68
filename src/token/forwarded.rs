//! `forward`: the claims that an upstream gets as header fields.

use std::fmt;

use http::HeaderName;

use crate::transform::{is_twin, meaning};

/// A claim that is forwarded as a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedClaim {
    /// The header field. Copies of it in requests are removed in all spellings, on all routes.
    pub header: HeaderName,
    /// The claim: a name or a dotted path.
    pub claim: Box<str>,
}

/// An error in an entry of `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedClaimError {
    /// The name is not a header name.
    Name,
    /// The header has another meaning: its name, and the reason why it may not hold a claim.
    Reserved(Box<str>, &'static str),
    /// The claim is empty.
    Claim,
}

/// The headers that describe the message, besides those that the gateway itself writes or checks.
const DESCRIPTIONS: [&str; 3] = ["content-encoding", "date", "trailer"];

impl ForwardedClaim {
    /// Parses one entry of `forward`.
    ///
    /// # Errors
    /// [`ForwardedClaimError`]
    pub fn parse(header: &str, claim: &str) -> Result<Self, ForwardedClaimError> {
        let Ok(header) = header.parse::<HeaderName>() else {
            return Err(ForwardedClaimError::Name);
        };
        if let Some(why) = objection(header.as_str()) {
            return Err(ForwardedClaimError::Reserved(header.as_str().into(), why));
        }
        if claim.is_empty() {
            return Err(ForwardedClaimError::Claim);
        }
        Ok(Self {
            header,
            claim: claim.into(),
        })
    }
}

/// Returns the reason why a header may not hold a claim, if there is one: a claim in its place
/// would change the meaning of the request, or contradict the gateway.
fn objection(header: &str) -> Option<&'static str> {
    if DESCRIPTIONS.iter().any(|name| is_twin(header, name)) {
        return Some("the message itself needs it");
    }
    meaning(header)?.objection()
}

impl fmt::Display for ForwardedClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("not a header name"),
            Self::Reserved(name, why) => write!(f, "\"{name}\" is not for claims: {why}"),
            Self::Claim => f.write_str("the claim is empty"),
        }
    }
}

impl std::error::Error for ForwardedClaimError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_header_is_not_one_that_the_message_needs() {
        assert!(ForwardedClaim::parse("X-User-Id", "sub").is_ok());
        for header in [
            "",
            "a b",
            "Host",
            "Content_Length",
            "Content.Type",
            "authorization",
            "Date",
        ] {
            assert!(ForwardedClaim::parse(header, "sub").is_err(), "{header}");
        }
        assert_eq!(
            ForwardedClaim::parse("x-a", ""),
            Err(ForwardedClaimError::Claim)
        );
    }

    #[test]
    fn a_claim_header_is_not_one_that_the_gateway_writes() {
        for header in [
            "X-Forwarded-For",
            "x_forwarded_host",
            "x.forwarded.proto",
            "X-Forwarded-Port",
            "Forwarded",
            "X-Real-IP",
            "X-Request-Id",
            "X-HTTP-Method-Override",
            "x-original-url",
            "X-Rewrite-Uri",
            "x-forwarded-uri",
            "Proxy",
        ] {
            let error = ForwardedClaim::parse(header, "sub").unwrap_err();
            assert!(
                matches!(error, ForwardedClaimError::Reserved(..)),
                "{header}: {error}"
            );
        }
        for header in [
            "x-forwarded-user",
            "X-Forwarded-Email",
            "x-forwarded-groups",
            "X-SSL-Client-CN",
            "remote-user",
        ] {
            assert!(ForwardedClaim::parse(header, "sub").is_ok(), "{header}");
        }
    }
}
