//! A token request (RFC 6749 §4.4.2).

use super::client::Credentials;
use super::form::Form;
use super::grant_error::GrantError;
use crate::issuer::Algorithm;
use crate::policy::Scope;

/// A well-formed client-credentials request whose client is not authenticated yet.
pub(super) struct TokenRequest {
    pub(super) credentials: Credentials,
    /// The requested scopes without repetition; `None` asks for every scope that the client may
    /// have.
    pub(super) scopes: Option<Vec<Scope>>,
    /// The algorithm to sign with, from the non-standard parameter `alg`.
    pub(super) algorithm: Option<Algorithm>,
}

/// The parts of an HTTP request that a token request consists of.
pub(super) struct Parts<'a> {
    /// Every `Authorization` field.
    pub(super) authorization: Vec<&'a [u8]>,
    pub(super) content_type: Option<&'a str>,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

impl TokenRequest {
    /// Parses a request.
    pub(super) fn parse(parts: &Parts<'_>) -> Result<Self, GrantError> {
        let form = parts.form()?;
        let authorization = match parts.authorization.as_slice() {
            [] => None,
            [one] => Some(*one),
            _ => return Err(GrantError::TwoAuthentications),
        };
        match form.value("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(GrantError::GrantType),
            None => return Err(GrantError::NoGrantType),
        }
        let algorithm = form
            .value("alg")
            .map(|name| Algorithm::parse(name).ok_or(GrantError::Algorithm));
        Ok(Self {
            credentials: Credentials::of(authorization, &form)?,
            scopes: form.value("scope").map(parse_scopes).transpose()?,
            algorithm: algorithm.transpose()?,
        })
    }
}

impl Parts<'_> {
    /// Returns the parameters of the query and the body. RFC 6749 §3.2 allows them in the body
    /// only, but Cognito and many instructions use the query. A secret in the query is refused (RFC
    /// 6749 §2.3.1), because URLs end up in logs.
    fn form(&self) -> Result<Form, GrantError> {
        let mut form = Form::default();
        form.add(self.query.as_bytes())
            .map_err(GrantError::Parameters)?;
        if form.value("client_id").is_some() || form.value("client_secret").is_some() {
            return Err(GrantError::CredentialsInQuery);
        }
        if !self.body.is_empty() && !self.content_type.is_some_and(is_form) {
            return Err(GrantError::MediaType);
        }
        form.add(self.body).map_err(GrantError::Parameters)?;
        Ok(form)
    }
}

fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn parse_scopes(text: &str) -> Result<Vec<Scope>, GrantError> {
    let mut scopes = Vec::new();
    for token in text.split(' ').filter(|token| !token.is_empty()) {
        let scope = Scope::parse(token).map_err(|_| GrantError::ScopeSyntax)?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        Err(GrantError::ScopeSyntax)
    } else {
        Ok(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::form::FormError;

    const BASIC: &[u8] = b"Basic ZGV2OmRldi1zZWNyZXQ=";

    fn parse(query: &str, body: &str) -> Result<TokenRequest, GrantError> {
        let content_type = Some("application/x-www-form-urlencoded;charset=UTF-8");
        TokenRequest::parse(&Parts {
            authorization: vec![BASIC],
            content_type,
            query,
            body: body.as_bytes(),
        })
    }

    #[test]
    fn parameters_come_in_the_body_or_in_the_query() {
        let body = parse("", "grant_type=client_credentials&scope=b+a+b&alg=ES256").unwrap();
        let names: Vec<_> = body
            .scopes
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            (names, body.algorithm),
            (vec!["b".into(), "a".into()], Some(Algorithm::ES256))
        );
        let query = parse("grant_type=client_credentials", "").unwrap();
        assert_eq!((query.scopes, query.credentials.id.as_str()), (None, "dev"));
        assert!(
            parse("grant_type=client_credentials&scope=", "unknown=1")
                .unwrap()
                .scopes
                .is_none()
        );
    }

    #[test]
    fn a_body_in_another_format_is_refused() {
        let body = br#"{"grant_type":"client_credentials"}"#;
        for content_type in [None, Some("application/json")] {
            let parts = Parts {
                authorization: vec![BASIC],
                content_type,
                query: "",
                body,
            };
            assert_eq!(
                TokenRequest::parse(&parts).err(),
                Some(GrantError::MediaType)
            );
        }
    }

    #[test]
    fn a_description_keeps_to_the_characters_of_rfc_6749() {
        for error in [
            GrantError::BodyTooLarge,
            GrantError::BodyUnfinished,
            GrantError::MediaType,
            GrantError::Parameters(FormError::Repeated),
            GrantError::Parameters(FormError::Encoding),
            GrantError::CredentialsInQuery,
            GrantError::TwoAuthentications,
            GrantError::NoAuthentication,
            GrantError::Authentication,
            GrantError::NoGrantType,
            GrantError::GrantType,
            GrantError::ScopeSyntax,
            GrantError::Scope(Scope::parse("com.test.test/test.read").unwrap()),
            GrantError::Algorithm,
            GrantError::Signing,
        ] {
            let text = error.to_string();
            assert!(
                text.bytes()
                    .all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{text}"
            );
        }
    }
}
