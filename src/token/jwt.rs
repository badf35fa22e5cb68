//! A strict parser of JWTs as compact JWS (RFC 7515 §3.1).
//!
//! The JWT library's `decode` is not used: it skips claims that are absent or of the wrong type,
//! ignores `crit`, and takes the last of duplicate members. This module makes the same checks with
//! types that cannot hold an invalid value; `Key::verify` checks the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::TokenError;
use super::claims::{Registered, parse_object};
use super::header::Header;
use crate::issuer::Algorithm;
use crate::policy::{Claim, Claims};

/// Header and claims of a token whose signature has not been checked.
#[derive(Debug)]
pub(super) struct Jwt<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Box<str>>,
    /// The meaning of `typ`.
    pub(super) typ: Typ,
    pub(super) issuer: Box<str>,
    pub(super) claims: Claims,
    pub(super) registered: Registered,
    /// The signed bytes: header and payload as they are in the token.
    pub(super) message: &'t [u8],
    /// The third part of the token, in base64url.
    pub(super) signature: &'t str,
}

impl<'t> Jwt<'t> {
    /// Parses a token.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], or [`TokenError::Algorithm`] if `alg` is none that any issuer may
    /// use.
    pub(super) fn parse(token: &'t str) -> Result<Self, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        // Five parts are a JWE (requirements.md#d32); more are an attempt to keep a parser busy
        // (attacks.md#row-16).
        if payload.contains('.') || signature.is_empty() {
            return Err(TokenError::Malformed);
        }
        let header = decoded(header)?;
        let header = Header::parse(&header).ok_or(TokenError::Malformed)?;
        let algorithm = header.algorithm.ok_or(TokenError::Malformed)?;
        let algorithm = Algorithm::parse(&algorithm).ok_or(TokenError::Algorithm)?;
        let claims = decoded(payload)?;
        let claims = parse_object(&claims).ok_or(TokenError::Malformed)?;
        let issuer = claims
            .get("iss")
            .and_then(Claim::as_text)
            .ok_or(TokenError::Malformed)?
            .into();
        Ok(Self {
            algorithm,
            key_id: header.key_id,
            typ: Typ::of(header.typ.as_deref()),
            issuer,
            registered: Registered::of(&claims).ok_or(TokenError::Malformed)?,
            claims,
            message: message.as_bytes(),
            signature,
        })
    }
}

/// Decodes a part of a token. The decoded bytes are overwritten when they are dropped.
///
/// # Errors
/// [`TokenError::Malformed`]
fn decoded(part: &str) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    match URL_SAFE_NO_PAD.decode(part) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(_) => Err(TokenError::Malformed),
    }
}

/// The use of a token as its `typ` states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typ {
    /// RFC 9068 §2.1: an access token.
    AtJwt,
    /// No type, or `JWT`: the issuer does not type its tokens.
    Untyped,
    /// Another kind of token: a logout token, a DPoP proof, a security event (RFC 8725 §3.11).
    Other,
}

impl Typ {
    fn of(typ: Option<&str>) -> Self {
        let Some(typ) = typ else {
            return Self::Untyped;
        };
        if typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt") {
            Self::AtJwt
        } else if typ.eq_ignore_ascii_case("jwt") {
            Self::Untyped
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        )
    }

    const CLAIMS: &str = r#"{"iss":"a","exp":1}"#;

    #[test]
    fn cognitos_quirks_are_ordinary_json() {
        let token = token(
            r#"{"kid":"ab\/c+d=","alg":"RS256"}"#,
            r#"{"iss":"https:\/\/idp\/pool","exp":1}"#,
        );
        let jwt = Jwt::parse(&token).unwrap();
        assert_eq!(jwt.key_id.as_deref(), Some("ab/c+d="));
        assert_eq!(&*jwt.issuer, "https://idp/pool");
        assert_eq!(jwt.typ, Typ::Untyped);
    }

    #[test]
    fn what_is_not_a_plain_jws_is_refused() {
        let bad = |header: &str| Jwt::parse(&token(header, CLAIMS)).unwrap_err();
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"ES256K"}"#,
        ] {
            assert_eq!(bad(header), TokenError::Algorithm, "{header}");
        }
        for header in [
            "{}",
            r#"{"alg":1}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","typ":1}"#,
            r#"{"alg":"RS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","b64":false}"#,
            r#"{"alg":"RS256","enc":"A256GCM"}"#,
            r#"{"alg":"RS256","zip":"DEF"}"#,
        ] {
            assert_eq!(bad(header), TokenError::Malformed, "{header}");
        }
        let good = token(r#"{"alg":"RS256"}"#, CLAIMS);
        assert!(Jwt::parse(&good).is_ok());
        let parts: Vec<&str> = good.split('.').collect();
        for text in [
            String::new(),
            ".".repeat(1 << 20),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{good}.x"),
            format!("{good}.x.y"),
            format!("{}=.{}.c2ln", parts[0], parts[1]),
            format!(" {good}"),
            format!("{}.{}\n.c2ln", parts[0], parts[1]),
            token(r#"{"alg":"RS256"}"#, r#"{"exp":1}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":["a"],"exp":1}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":1,"exp":1}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":"a"}"#),
            r#"{"payload":"e30","signatures":[]}"#.to_owned(),
        ] {
            assert_eq!(
                Jwt::parse(&text).unwrap_err(),
                TokenError::Malformed,
                "{}",
                text.get(..80).unwrap_or(&text)
            );
        }
    }

    #[test]
    fn the_type_tells_access_tokens_from_others() {
        let of = |typ: &str| {
            Jwt::parse(&token(
                &format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#),
                CLAIMS,
            ))
            .unwrap()
            .typ
        };
        assert!(of("at+jwt") == Typ::AtJwt && of("application/AT+JWT") == Typ::AtJwt);
        assert_eq!(of("JWT"), Typ::Untyped);
        for other in ["logout+jwt", "dpop+jwt", "secevent+jwt", "id_token", ""] {
            assert_eq!(of(other), Typ::Other, "{other}");
        }
    }
}
