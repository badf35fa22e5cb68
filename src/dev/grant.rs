//! A token request (RFC 6749 §4.1.3 and §4.4.2).

use super::changes::Changes;
use super::client::{Credentials, Purpose};
use super::form::Form;
use super::grant_error::GrantError;
use crate::policy::Scope;

/// A well-formed token request whose client is not authenticated yet.
pub(super) struct TokenRequest {
    pub(super) credentials: Credentials,
    pub(super) grant: Grant,
    /// The resource that the token is for (RFC 8707 §2).
    pub(super) resource: Option<Box<str>>,
    pub(super) changes: Changes,
}

/// The grant by which a client asks for a token.
pub(super) enum Grant {
    ClientCredentials {
        /// The requested scopes without repetition; `None` asks for every scope that the client may
        /// have.
        scopes: Option<Vec<Scope>>,
    },
    Code(CodeGrant),
}

/// An authorization code with what proves that the client asked for it.
pub(super) struct CodeGrant {
    pub(super) code: Box<str>,
    /// The redirect URI of the authorization request, which OAuth 2.1 leaves out.
    pub(super) redirect_uri: Option<Box<str>>,
    /// The verifier of PKCE (RFC 7636 §4.5).
    pub(super) verifier: Box<str>,
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
        let grant = match form.value("grant_type") {
            Some("client_credentials") => Grant::ClientCredentials {
                scopes: form.value("scope").map(parse_scopes).transpose()?,
            },
            Some("authorization_code") => Grant::Code(CodeGrant::parse(&form)?),
            Some(_) => return Err(GrantError::GrantType),
            None => return Err(GrantError::NoGrantType),
        };
        Ok(Self {
            credentials: Credentials::of(authorization, &form)?,
            grant,
            resource: form.value("resource").map(Box::from),
            changes: Changes::parse(&form)?,
        })
    }
}

impl Grant {
    /// Returns the purpose for which the client authenticates.
    pub(super) fn purpose(&self) -> Purpose {
        match self {
            Self::ClientCredentials { .. } => Purpose::OwnToken,
            Self::Code(_) => Purpose::Code,
        }
    }
}

impl CodeGrant {
    fn parse(form: &Form) -> Result<Self, GrantError> {
        let (Some(code), Some(verifier)) = (form.value("code"), form.value("code_verifier")) else {
            return Err(GrantError::NoCode);
        };
        Ok(Self {
            code: code.into(),
            redirect_uri: form.value("redirect_uri").map(Box::from),
            verifier: verifier.into(),
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

/// Parses a list of scopes, each once.
pub(super) fn parse_scopes(text: &str) -> Result<Vec<Scope>, GrantError> {
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
    use super::super::changes::Signature;
    use super::super::form::FormError;
    use super::*;
    use crate::issuer::Algorithm;

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

    /// Returns the requested scopes; none if there is no parameter.
    fn names(request: &TokenRequest) -> Vec<&str> {
        let Grant::ClientCredentials { scopes } = &request.grant else {
            panic!("another grant");
        };
        scopes.iter().flatten().map(Scope::as_str).collect()
    }

    #[test]
    fn a_code_comes_with_its_verifier() {
        let ask = "grant_type=authorization_code&code=c&redirect_uri=http://127.0.0.1/";
        let request = parse("", &format!("{ask}&code_verifier=v&resource=r")).unwrap();
        assert_eq!(request.resource.as_deref(), Some("r"));
        assert_eq!(request.grant.purpose(), Purpose::Code);
        let Grant::Code(grant) = request.grant else {
            panic!("another grant");
        };
        assert_eq!((&*grant.code, &*grant.verifier), ("c", "v"));
        assert_eq!(grant.redirect_uri.as_deref(), Some("http://127.0.0.1/"));
        assert_eq!(parse("", ask).err(), Some(GrantError::NoCode));
    }

    #[test]
    fn parameters_come_in_the_body_or_in_the_query() {
        let body = parse("", "grant_type=client_credentials&scope=b+a+b&alg=ES256").unwrap();
        assert_eq!(names(&body), ["b", "a"]);
        let signature = Some(Signature::Key(Algorithm::ES256));
        assert_eq!(body.changes.signature, signature);
        let query = parse("grant_type=client_credentials", "").unwrap();
        assert_eq!(query.credentials.id, "dev");
        assert!(names(&query).is_empty());
        let empty = parse("grant_type=client_credentials&scope=", "unknown=1").unwrap();
        assert!(names(&empty).is_empty());
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
            GrantError::NoScope,
            GrantError::Algorithm,
            GrantError::Changes("claims is not a JSON object"),
            GrantError::Resource,
            GrantError::NoClient,
            GrantError::NoRedirectUri,
            GrantError::RedirectUri,
            GrantError::ResponseType,
            GrantError::ResponseMode,
            GrantError::Challenge,
            GrantError::NoCode,
            GrantError::Code,
            GrantError::Verifier,
            GrantError::Registration,
            GrantError::RegistrationBody,
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
