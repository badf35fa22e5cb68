//! The unverified content of a token, for operators that look for an error in it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::BearerToken;
use super::claims::{client, numeric_date, parse_to_show};
use super::parts::is_jose_header;
use crate::policy::{Claim, Claims, ScopeSet};

/// The parts of a token that a decision depends on, as the token states them. Nothing of it is
/// verified, and it is made of every token that can be read at all, whatever else is wrong with it:
/// a part that cannot be read has no members here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// `alg`
    pub algorithm: Option<Box<str>>,
    /// `kid`
    pub key_id: Option<Box<str>>,
    /// `typ` in the header.
    pub typ: Option<Box<str>>,
    /// `iss`
    pub issuer: Option<Box<str>>,
    /// The first of `client_id`, `azp`, `appid` and `cid` that is a string.
    pub client: Option<Box<str>>,
    /// `token_use`
    pub token_use: Option<Box<str>>,
    /// `jti`
    pub jwt_id: Option<Box<str>>,
    /// `exp`, in seconds since 1970.
    pub expires: Option<u64>,
    /// `nbf`, in seconds since 1970.
    pub not_before: Option<u64>,
    /// `scope` and `scp`, as one string.
    pub scopes: String,
    /// `cnf`: the names of its members, with the values that are strings.
    pub confirmation: Option<String>,
    /// Every member of the header.
    pub header: Claims,
    /// Every claim.
    pub claims: Claims,
}

impl Outline {
    /// Reads a token without a check of its signature, of its form or of its claims; `None` for a
    /// text that is no JWT, such as an opaque token.
    #[must_use]
    pub fn of(token: BearerToken<'_>) -> Option<Self> {
        let text = str::from_utf8(token.as_bytes()).ok()?;
        let text = text.trim_matches(['"', '\'', ' ']);
        if !is_jose_header(text) {
            return None;
        }
        let mut parts = text.split('.');
        // The second part of an encrypted token is its encrypted key, which is no JSON.
        let (header, claims) = (members(parts.next()), members(parts.next()));
        if header.is_none() && claims.is_none() {
            return None;
        }
        let (header, claims) = (header.unwrap_or_default(), claims.unwrap_or_default());
        Some(Self {
            algorithm: text_of(&header, "alg"),
            key_id: text_of(&header, "kid"),
            typ: text_of(&header, "typ"),
            issuer: text_of(&claims, "iss"),
            client: client(&claims).map(Box::from),
            token_use: text_of(&claims, "token_use"),
            jwt_id: text_of(&claims, "jti"),
            expires: claims.get("exp").and_then(numeric_date),
            not_before: claims.get("nbf").and_then(numeric_date),
            scopes: scopes(&claims),
            confirmation: claims.get("cnf").map(confirmation),
            header,
            claims,
        })
    }
}

/// Reads a part as a JSON object, in base64url or in the base64 of other documents.
fn members(part: Option<&str>) -> Option<Claims> {
    let part = part?;
    let bytes = match URL_SAFE_NO_PAD.decode(part) {
        Ok(bytes) => bytes,
        Err(_) => {
            let text = Zeroizing::new(part.replace('+', "-").replace('/', "_"));
            TOLERANT.decode(&*text).ok()?
        }
    };
    parse_to_show(&Zeroizing::new(bytes))
}

/// A decoder of base64url with or without padding.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn text_of(members: &Claims, name: &str) -> Option<Box<str>> {
    members.get(name)?.as_text().map(Box::from)
}

fn scopes(claims: &Claims) -> String {
    let named = ["scope", "scp"].iter().filter_map(|name| claims.get(name));
    ScopeSet::granted_by(named).to_string()
}

/// Lists the members of `cnf`.
fn confirmation(claim: &Claim) -> String {
    let Claim::Map(members) = claim else {
        return "not an object".to_owned();
    };
    let mut text = String::new();
    for (name, value) in members.iter() {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(name);
        if let Some(value) = value.as_text() {
            text.push(' ');
            text.push_str(value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Option<Outline> {
        Outline::of(BearerToken::new(text))
    }

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.c2ln")
    }

    #[test]
    fn a_token_that_is_refused_has_an_outline() {
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","crit":["x"]}"#] {
            let found = outline(&token(header, r#"{"iss":"a","jti":"j","aud":["b"]}"#)).unwrap();
            assert_eq!(found.issuer.as_deref(), Some("a"), "{header}");
            assert_eq!(found.jwt_id.as_deref(), Some("j"), "{header}");
            assert_eq!(found.expires, None, "{header}");
            let audience = found.claims.get("aud").and_then(Claim::as_texts);
            assert_eq!(audience, Some(vec!["b"]), "{header}");
        }
        let good = token(
            r#"{"alg":"RS256","kid":"k","typ":"JWT"}"#,
            r#"{"iss":"a","exp":5}"#,
        );
        let parts: Vec<&str> = good.split('.').collect();
        for text in [
            good.clone(),
            format!("\"{good}\""),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}=.{}==.%", parts[0], parts[1]),
            format!("{good}.x"),
            token(
                r#"{"alg":"RS256","kid":"k","typ":"JWT"}"#,
                r#"{"iss":"a","exp":5,"exp":5}"#,
            ),
        ] {
            let found = outline(&text).unwrap();
            assert_eq!(found.key_id.as_deref(), Some("k"), "{text}");
            assert_eq!(found.typ.as_deref(), Some("JWT"), "{text}");
            assert_eq!(found.issuer.as_deref(), Some("a"), "{text}");
            assert_eq!(found.expires, Some(5), "{text}");
        }
        // A part that cannot be read leaves the other one.
        let cut = format!("{}.{}", parts[0], &parts[1][..5]);
        let found = outline(&cut).unwrap();
        assert_eq!(
            (found.algorithm.as_deref(), found.issuer),
            (Some("RS256"), None)
        );
        let encrypted = format!(
            "{}.a.b.c.d",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A"}"#)
        );
        assert_eq!(
            outline(&encrypted).unwrap().algorithm.as_deref(),
            Some("dir")
        );
        for text in [
            "",
            "opaque",
            "ya29.a0AfH6SMBxyz",
            "\u{e9}",
            "..",
            "eyJ",
            "eyJ.x",
        ] {
            assert_eq!(outline(text), None, "{text}");
        }
    }
}
