//! A token as the access log describes it.

use super::{BearerToken, Excerpt, Outline};
use crate::policy::SharedPrincipal;

/// The token of a request, as far as it was read.
#[derive(Clone, Debug)]
pub enum SeenToken {
    /// The signature verified.
    Verified(SharedPrincipal),
    /// The signature did not verify, or was not checked: any sender can have written the token.
    Unverified(Box<UnverifiedToken>),
}

/// The statements of a token about itself that help to find out why it was refused, as beginnings
/// of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedToken {
    /// `alg`
    pub algorithm: Option<Box<str>>,
    /// `typ`
    pub typ: Option<Box<str>>,
    /// `kid`
    pub key_id: Option<Box<str>>,
    /// `iss`
    pub issuer: Option<Box<str>>,
}

impl SeenToken {
    /// Describes a token without a check of its signature; `None` for a text that is no JWT. A
    /// scheme or another text may stand in front of the JWT.
    #[must_use]
    pub fn unverified(token: BearerToken<'_>) -> Option<Self> {
        let outline = match Outline::of(token) {
            Some(outline) => outline,
            None => Outline::of(within(token)?)?,
        };
        Some(Self::Unverified(Box::new(UnverifiedToken {
            algorithm: bounded(outline.algorithm),
            typ: bounded(outline.typ),
            key_id: bounded(outline.key_id),
            issuer: bounded(outline.issuer),
        })))
    }
}

/// Returns the JWT at the end of a text. Three parts must follow: claims begin like a header.
fn within(token: BearerToken<'_>) -> Option<BearerToken<'_>> {
    let text = token.as_str().ok()?;
    let jwt = text.get(text.find("eyJ")?..)?;
    (jwt.split('.').count() == 3).then(|| BearerToken::new(jwt))
}

fn bounded(text: Option<Box<str>>) -> Option<Box<str>> {
    Some(Excerpt::of(&text?).into_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0";
    const CLAIMS: &str = "eyJpc3MiOiJhIiwidHlwIjoiQmVhcmVyIn0";

    fn seen(text: &str) -> Option<UnverifiedToken> {
        match SeenToken::unverified(BearerToken::new(text))? {
            SeenToken::Unverified(token) => Some(*token),
            SeenToken::Verified(_) => None,
        }
    }

    #[test]
    fn a_token_behind_another_text_is_seen() {
        let jwt = format!("{HEADER}.{CLAIMS}.c2ln");
        for text in [
            jwt.clone(),
            format!("\"{jwt}\""),
            format!("Bearer {jwt}"),
            format!("Bearer: \"{jwt}\""),
            format!("token={jwt}"),
            format!("{{\"access_token\":\"{jwt}\"}}"),
        ] {
            let seen = seen(&text).unwrap();
            assert_eq!(seen.key_id.as_deref(), Some("k1"), "{text}");
            assert_eq!(seen.issuer.as_deref(), Some("a"), "{text}");
        }
        // The claims of a token without a header are no header.
        for text in [
            format!("{}.{CLAIMS}.c2ln", &HEADER[1..]),
            "Basic dTpw".to_owned(),
            "opaque".to_owned(),
        ] {
            assert_eq!(seen(&text), None, "{text}");
        }
    }
}
