//! A strict parser of JWTs as compact JWS (RFC 7515 §3.1).
//!
//! The JWT library's `decode` is not used: it skips claims that are absent or of the wrong type,
//! ignores `crit`, and takes the last of duplicate members. This module makes the same checks with
//! types that cannot hold an invalid value; `Key::verify` checks the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::claims::{Registered, STRING, parse_object, parse_to_show, required};
use super::error::WrongAlgorithm;
use super::excerpt::Excerpt;
use super::header::Header;
use super::malformation::{Malformation, Part};
use super::placeholder::Placeholder;
use super::{TokenError, parts};
use crate::issuer::Algorithm;
use crate::policy::{Claim, Claims};

/// Header and claims of a token whose signature has not been checked.
#[derive(Debug)]
pub(super) struct Jwt<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Box<str>>,
    /// The meaning of `typ`.
    pub(super) typ: Typ,
    /// `typ` as the header has it.
    pub(super) typ_text: Option<Box<str>>,
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
    /// [`TokenError::Malformed`], [`TokenError::Placeholder`], [`TokenError::Opaque`],
    /// [`TokenError::Encrypted`], or [`TokenError::Algorithm`] if `alg` is none that any issuer may
    /// use.
    pub(super) fn parse(token: &'t str) -> Result<Self, TokenError> {
        let Some((message, signature)) = token.rsplit_once('.') else {
            return Err(other_text(token));
        };
        let Some((header, payload)) = message.split_once('.') else {
            return Err(other_text(token));
        };
        // Five parts are a JWE (requirements.md#d32); more are an attempt to keep a parser busy
        // (attacks.md#row-16).
        if payload.contains('.') {
            return Err(other_text(token));
        }
        let header = match parsed_header(header) {
            Ok(header) => header,
            Err(_) if signature.is_empty() || !parts::is_jose_header(header) => {
                return Err(other_text(token));
            }
            Err(malformation) => return Err(malformation.into()),
        };
        let name = header.algorithm.ok_or(Malformation::Missing {
            part: Part::Header,
            name: "alg",
        })?;
        let Some(algorithm) = Algorithm::parse(&name) else {
            let found = Excerpt::of(&name);
            let allowed = Vec::new();
            return Err(TokenError::Algorithm(
                WrongAlgorithm { found, allowed }.into(),
            ));
        };
        // After `alg`: a token with `none` has an empty signature (RFC 7515 appendix A.5).
        if signature.is_empty() {
            return Err(other_text(token));
        }
        let claims = parse_object(&decoded(payload, Part::Claims)?);
        let claims = claims.map_err(|fault| Malformation::NotJson(Part::Claims, fault))?;
        let issuer = required(&claims, "iss", Claim::as_text, STRING)?.into();
        Ok(Self {
            algorithm,
            key_id: header.key_id,
            typ: Typ::of(header.typ.as_deref()),
            typ_text: header.typ,
            issuer,
            registered: Registered::of(&claims)?,
            claims,
            message: message.as_bytes(),
            signature,
        })
    }

    /// Returns the fault of a signature that does not verify, if it could be that of no key: it is
    /// not base64url, or not as long as the signatures of the key, and was probably cut off.
    pub(super) fn signature_fault(&self, wanted: usize) -> Option<Malformation> {
        match decoded(self.signature, Part::Signature) {
            Ok(bytes) if bytes.len() == wanted => None,
            Ok(bytes) => Some(Malformation::SignatureLength {
                found: bytes.len(),
                wanted,
            }),
            // The last character is missing or wrong, and many more may be missing.
            Err(Malformation::Base64 { at: None, .. }) => Some(Malformation::SignatureCut {
                about: self.signature.len() * 3 / 4,
                wanted,
            }),
            Err(malformation) => Some(malformation),
        }
    }
}

fn parsed_header(text: &str) -> Result<Header, Malformation> {
    Header::parse(&decoded(text, Part::Header)?)
}

/// Returns the error of a text that does not have the form of a signed JWT.
fn other_text(token: &str) -> TokenError {
    if let Some(placeholder) = Placeholder::of(token) {
        return TokenError::Placeholder(placeholder);
    }
    let inner = token.trim_matches(['"', '\'']);
    if inner.len() < token.len() && parts::is_jose_header(inner) {
        return Malformation::Quoted.into();
    }
    if is_scheme_first(token) {
        return Malformation::SchemeTwice.into();
    }
    if token.starts_with(['{', '[']) {
        return Malformation::Json.into();
    }
    if token.contains(|char: char| char.is_ascii_whitespace()) {
        return Malformation::Blank.into();
    }
    if !parts::is_jose_header(token) {
        return if parts::has_prefix(token) {
            Malformation::Prefix.into()
        } else if parts::has_cut_header(token) {
            Malformation::HeaderCut.into()
        } else {
            TokenError::Opaque
        };
    }
    if let Some(at) = token.chars().find(|char| !parts::may_have(*char)) {
        let (part, at) = (Part::Header, Some(at));
        return Malformation::Base64 { part, at }.into();
    }
    match token.split('.').count() {
        // Its third part is empty.
        3 => Malformation::NoSignature.into(),
        5 if has_member(token, "enc") => TokenError::Encrypted,
        count => Malformation::Parts(count).into(),
    }
}

/// Returns whether the header of a token has a member, whatever else is wrong with it.
fn has_member(token: &str, name: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let members = decoded(header, Part::Header).ok();
    let members = members.and_then(|json| parse_to_show(&json));
    members.is_some_and(|members| members.get(name).is_some())
}

fn is_scheme_first(token: &str) -> bool {
    let scheme = token.split_ascii_whitespace().next().unwrap_or_default();
    scheme.len() < token.len() && scheme.trim_end_matches(':').eq_ignore_ascii_case("bearer")
}

/// Decodes a part of a token. The decoded bytes are overwritten when they are dropped.
///
/// # Errors
/// The fault of a part that is not base64url.
fn decoded(text: &str, part: Part) -> Result<Zeroizing<Vec<u8>>, Malformation> {
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(_) => Err(Malformation::Base64 {
            part,
            at: text.chars().find(|char| !parts::is_base64url(*char)),
        }),
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
        } else if typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("application/jwt") {
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
            assert!(matches!(bad(header), TokenError::Algorithm(_)), "{header}");
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
            assert!(matches!(bad(header), TokenError::Malformed(_)), "{header}");
        }
        let good = token(r#"{"alg":"RS256"}"#, CLAIMS);
        assert!(Jwt::parse(&good).is_ok());
        let parts: Vec<&str> = good.split('.').collect();
        for text in [
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{good}.x"),
            format!("{}=.{}.c2ln", parts[0], parts[1]),
            format!(" {good}"),
            format!("{}.{}\n.c2ln", parts[0], parts[1]),
            token(r#"{"alg":"RS256"}"#, r#"{"exp":1}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":["a"],"exp":1}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":1,"exp":1}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":"a"}"#),
            r#"{"payload":"e30","signatures":[]}"#.to_owned(),
        ] {
            let shown = text.get(..80).unwrap_or(&text);
            let error = Jwt::parse(&text).unwrap_err();
            assert!(
                matches!(error, TokenError::Malformed(_)),
                "{shown}: {error}"
            );
        }
    }

    #[test]
    fn a_text_that_is_no_signed_jwt_says_what_it_is() {
        let good = token(r#"{"alg":"RS256"}"#, CLAIMS);
        let parts: Vec<&str> = good.split('.').collect();
        for (text, says) in [
            (String::new(), "the scheme with nothing after it"),
            ("undefined".to_owned(), "the word \"undefined\""),
            ("{{token}}".to_owned(), "a template"),
            ("ya29.a0AfH6SMBxyz".to_owned(), "opaque"),
            ("v4.public.eyJ".to_owned(), "opaque"),
            (format!("bearer:{good}"), "something in front of its header"),
            (good[1..].to_owned(), "cut off at the start"),
            (good[20..].to_owned(), "cut off at the start"),
            (format!("token={}", &good[3..]), "cut off at the start"),
            (format!(".{}.c2ln", parts[1]), "cut off at the start"),
            (format!("token={good}"), "something in front of its header"),
            (format!("s:{good}"), "something in front of its header"),
            (format!(" {good}"), "has a blank in it"),
            (".".repeat(1 << 20), "opaque"),
            (format!("\"{good}\""), "in quotation marks"),
            (format!("'{good}'"), "in quotation marks"),
            (format!("Bearer {good}"), "the scheme was added twice"),
            (
                format!("{{\"access_token\":\"{good}\"}}"),
                "the whole token response",
            ),
            (format!("{} {}", parts[0], parts[1]), "has a blank in it"),
            (
                format!("{}.a.b.c.d", URL_SAFE_NO_PAD.encode(r#"{"enc":"x"}"#)),
                "encrypted",
            ),
            (format!("{good}.x.y"), "has 5 parts"),
            (format!("{good}.x"), "has 4 parts"),
            (parts[0].to_owned(), "has one part"),
            (good.replace('.', "%2E"), "it has the character '%'"),
            (format!("{}.{}", parts[0], parts[1]), "has 2 parts"),
            (format!("{}.{}.", parts[0], parts[1]), "has no signature"),
            (
                format!(
                    "{}.{}.",
                    URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
                    parts[1]
                ),
                "alg is \"none\", which no issuer may use",
            ),
            (
                format!("{}=.{}.c2ln", parts[0], parts[1]),
                "in its header: it has the character '='",
            ),
            (
                format!("{}.{}+.c2ln", parts[0], parts[1]),
                "in its claims: it has the character '+'",
            ),
            (format!("{}.{}a.c2ln", parts[0], parts[1]), "last character"),
            (
                token(r#"{"alg":"RS256","crit":["x"]}"#, CLAIMS),
                "\"crit\" in its header",
            ),
            (
                token(r#"{"alg":1}"#, CLAIMS),
                "has a number for \"alg\" in its header",
            ),
            (
                token(r#"{"kid":"a"}"#, CLAIMS),
                "has no \"alg\" in its header",
            ),
            (
                token(r#"{"alg":"none"}"#, CLAIMS),
                "alg is \"none\", which no issuer may use",
            ),
            (
                token(r#"{"alg":"RS256"}"#, r#"{"iss":"a"}"#),
                "has no \"exp\" in its claims",
            ),
            (
                token(r#"{"alg":"RS256"}"#, r#"{"exp":1}"#),
                "has no \"iss\" in its claims",
            ),
            (
                token(r#"{"alg":"RS256"}"#, "{\"iss\":\"a\","),
                "has no JSON in its claims: EOF",
            ),
            (
                token(r#"{"alg":"RS256"}"#, r#"{"a\n":1,"a\n":2}"#),
                r#"the member "a\n" twice"#,
            ),
        ] {
            let error = Jwt::parse(&text).unwrap_err().to_string();
            let shown = text.get(..80).unwrap_or(&text);
            assert!(error.contains(says), "{shown}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_cut_signature_has_its_length() {
        let signed = |signature: &str| {
            let good = token(r#"{"alg":"ES256"}"#, CLAIMS);
            let text = format!("{}{signature}", good.strip_suffix("c2ln").unwrap());
            let jwt = Jwt::parse(&text).unwrap();
            jwt.signature_fault(64)
                .map(|fault| TokenError::from(fault).to_string())
        };
        let whole = URL_SAFE_NO_PAD.encode([0xff; 64]);
        assert_eq!(signed(&whole), None);
        for (missing, says) in [
            (
                1,
                "a signature of about 63 bytes, and the key makes 64: it may have been cut off",
            ),
            (
                2,
                "a signature of 63 bytes, and the key makes 64: it may have been cut off",
            ),
            (3, "a signature of about 62 bytes,"),
            (4, "a signature of about 61 bytes,"),
            (81, "a signature of about 3 bytes,"),
            (82, "a signature of 3 bytes,"),
        ] {
            let said = signed(&whole[..whole.len() - missing]).unwrap();
            assert!(said.contains(says), "{missing}: {said}");
        }
        let wrong = signed(&format!("{}x", &whole[..85])).unwrap();
        assert!(
            wrong.ends_with("in its signature, where the last character is wrong"),
            "{wrong}"
        );
        let long = signed(&format!("{whole}AAA")).unwrap();
        assert!(
            long.ends_with("of about 66 bytes, and the key makes 64"),
            "{long}"
        );
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
        assert!(of("JWT") == Typ::Untyped && of("application/jwt") == Typ::Untyped);
        for other in ["logout+jwt", "dpop+jwt", "secevent+jwt", "id_token", ""] {
            assert_eq!(of(other), Typ::Other, "{other}");
        }
    }
}
