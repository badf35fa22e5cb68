//! What a token of an issuer must say, beyond its signature.

use std::time::Duration;

/// The rules of one issuer. Each is decided per request, from the current snapshot, for cached tokens as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which `aud` is ours.
    pub audience: Audience,
    /// The clients whose tokens are taken (`client_id`, or else `azp`, or else `appid`); empty for every client.
    pub client_ids: Vec<Box<str>>,
    /// The exact `token_use` that is asked for (Cognito's `access`), if any.
    pub token_use: Option<Box<str>>,
    /// Difference of clocks that `exp` and `nbf` are forgiven; at most [`Rules::MAX_LEEWAY`].
    pub leeway: Duration,
    /// The claims that hold scopes, each a name or a dotted path, string or list of strings. Never empty.
    pub scope_claims: Vec<Box<str>>,
}

impl Rules {
    /// More than five minutes of forgiveness is a broken clock, not a difference.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(300);
}

/// Which `aud` is ours (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// `"any"`, written out: `aud` is not looked at.
    Any,
    /// One of these must be in `aud`; never empty.
    OneOf(Vec<Box<str>>),
}
