//! `log.claims`: the claims that logs may show.

/// A claim that logs can show, by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedClaim {
    /// `iss`
    Issuer,
    /// `aud`
    Audience,
    /// `client_id`, or else `azp`, `appid` or `cid`.
    Client,
    /// `kid`, a member of the header.
    KeyId,
    /// `jti`
    JwtId,
    /// The scopes that the token grants.
    Scope,
    /// `sub`
    Subject,
}

impl LoggedClaim {
    /// Every claim, with its name in the configuration and in a line.
    pub const ALL: [(&'static str, Self); 7] = [
        ("iss", Self::Issuer),
        ("aud", Self::Audience),
        ("client", Self::Client),
        ("kid", Self::KeyId),
        ("jti", Self::JwtId),
        ("scope", Self::Scope),
        ("sub", Self::Subject),
    ];
}

/// A set of claims that logs may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedClaims(u8);

impl LoggedClaims {
    /// No claim.
    pub const NONE: Self = Self(0);
    /// Every claim.
    pub const ALL: Self = Self(u8::MAX);

    /// Makes the set of these claims.
    #[must_use]
    pub fn of(claims: impl IntoIterator<Item = LoggedClaim>) -> Self {
        let mut set = Self::NONE;
        for claim in claims {
            set.0 |= bit(claim);
        }
        set
    }

    /// Returns whether logs may show the claim.
    #[must_use]
    pub fn has(self, claim: LoggedClaim) -> bool {
        self.0 & bit(claim) != 0
    }

    /// Returns whether logs may show nothing of a token.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Returns whether logs may show the value of a claim that names the audience.
    pub(super) fn has_audience(self, name: &str) -> bool {
        match name {
            "client_id" | "azp" | "appid" | "cid" => self.has(LoggedClaim::Client),
            "sub" => self.has(LoggedClaim::Subject),
            _ => self.has(LoggedClaim::Audience),
        }
    }

    /// Returns whether logs may show the value of a claim that the configuration compares. A
    /// person's name is shown only on request.
    pub(super) fn has_compared(self, name: &str) -> bool {
        match name {
            "sub" => self.has(LoggedClaim::Subject),
            _ => !self.is_empty(),
        }
    }
}

fn bit(claim: LoggedClaim) -> u8 {
    1 << claim as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_claims_that_were_named() {
        let set = LoggedClaims::of([LoggedClaim::Issuer, LoggedClaim::Scope]);
        for (name, claim) in LoggedClaim::ALL {
            assert_eq!(set.has(claim), ["iss", "scope"].contains(&name), "{name}");
            assert!(LoggedClaims::ALL.has(claim) && !LoggedClaims::NONE.has(claim));
        }
        assert!(set.has_compared("tenant") && !set.has_compared("sub"));
        assert!(LoggedClaims::NONE.is_empty() && !LoggedClaims::NONE.has_compared("tenant"));
    }
}
