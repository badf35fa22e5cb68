//! `forward`: the claims that an upstream gets as headers.

use std::fmt;

use http::HeaderName;

/// One claim that is forwarded as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedClaim {
    /// The header. Inbound copies of it are removed in all spellings, on all routes.
    pub header: HeaderName,
    /// The claim: a name or a dotted path.
    pub claim: Box<str>,
}

/// Why a name cannot be that of a claim header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedClaimError {
    /// Not a header name.
    Name,
    /// A header that the gateway or the connection itself lives by.
    Reserved(Box<str>),
    /// An empty claim.
    Claim,
}

/// Headers that carry the message, the credentials or the route: a claim in their place would change what the
/// request is.
const RESERVED: [&str; 22] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

impl ForwardedClaim {
    /// Parses one entry of `forward`.
    ///
    /// # Errors
    /// [`ForwardedClaimError`]
    pub fn parse(header: &str, claim: &str) -> Result<Self, ForwardedClaimError> {
        let header: HeaderName = header.parse().map_err(|_| ForwardedClaimError::Name)?;
        if RESERVED.contains(&header.as_str().replace('_', "-").as_str()) {
            return Err(ForwardedClaimError::Reserved(header.as_str().into()));
        }
        if claim.is_empty() {
            return Err(ForwardedClaimError::Claim);
        }
        Ok(Self { header, claim: claim.into() })
    }
}

impl fmt::Display for ForwardedClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("not a header name"),
            Self::Reserved(name) => write!(f, "\"{name}\" is not for claims: the message itself needs it"),
            Self::Claim => f.write_str("the claim is empty"),
        }
    }
}

impl std::error::Error for ForwardedClaimError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_header_is_none_that_the_message_needs() {
        assert!(ForwardedClaim::parse("X-User-Id", "sub").is_ok());
        for header in ["", "a b", "Host", "Content_Length", "authorization"] {
            assert!(ForwardedClaim::parse(header, "sub").is_err(), "{header}");
        }
        assert_eq!(ForwardedClaim::parse("x-a", ""), Err(ForwardedClaimError::Claim));
    }
}
