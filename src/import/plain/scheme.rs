//! Security schemes whose credentials are tokens of an issuer.

use crate::import::finding::{Code, Untranslated};
use crate::import::names::slug;
use crate::import::openapi::Scheme;
use crate::import::options::Options;
use crate::import::plan::Issuer;
use crate::import::url::{is_issuer, issuer_of};
use crate::token::Source;

/// The tokens of a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) issuer: Issuer,
    /// The places of the token, as the configuration has them.
    pub(super) from: Vec<String>,
    /// Whether the audience is the address of the API, since the document does not say it.
    pub(super) has_guessed_audience: bool,
}

/// Returns the tokens of a scheme. `address` is that of the API.
///
/// # Errors
/// Returns the reason for which they are not known.
pub(super) fn bearer(
    scheme: &Scheme<'_>,
    options: &Options,
    address: Option<&str>,
) -> Result<Bearer, Untranslated> {
    let fail = |code| Untranslated::new(code, scheme.place, format!("{:?}", scheme.name));
    if !scheme.is_known {
        return Err(fail(Code::UnresolvedFunction));
    }
    let stated = options.issuers.get(scheme.name);
    let kind = scheme.kind().unwrap_or_default();
    let form = scheme.text("scheme").unwrap_or_default();
    let from = match kind {
        "oauth2" | "openIdConnect" => Some("authorization:bearer".to_owned()),
        "http" if form.eq_ignore_ascii_case("bearer") => Some("authorization:bearer".to_owned()),
        // In Swagger 2.0 a bearer token is an API key in `Authorization`.
        "apiKey" if stated.is_some() => key_source(scheme),
        "apiKey" => return Err(fail(Code::ApiKey)),
        _ => return Err(fail(Code::UnknownAuthorizer)),
    };
    let from = from.ok_or_else(|| fail(Code::TokenSource))?;
    let metadata = scheme.text("openIdConnectUrl").and_then(issuer_of);
    let issuer = stated.map(String::as_str).or(metadata);
    let issuer = issuer.filter(|issuer| is_issuer(issuer));
    let issuer = issuer.ok_or_else(|| fail(Code::UnknownIssuer))?;
    let audience = options.audiences.get(scheme.name).cloned();
    let has_guessed_audience = audience.is_none();
    let guess = || address.map(|address| vec![address.to_owned()]);
    let audience = audience.or_else(guess);
    Ok(Bearer {
        issuer: Issuer {
            name: slug(issuer.split('/').nth(2).unwrap_or_default()),
            comment: String::new(),
            issuer: issuer.to_owned(),
            audience: audience.ok_or_else(|| fail(Code::UnknownAudience))?,
            has_client_as_audience: false,
            token_use: None,
            takes_any_type: false,
            algorithms: &[],
        },
        from: vec![from],
        has_guessed_audience,
    })
}

fn key_source(scheme: &Scheme<'_>) -> Option<String> {
    let name = scheme.text("name")?;
    let source = match scheme.text("in")? {
        "header" if name.eq_ignore_ascii_case("authorization") => "authorization:bearer".to_owned(),
        "header" => format!("header:{}", name.to_ascii_lowercase()),
        place @ ("query" | "cookie") => format!("{place}:{name}"),
        _ => return None,
    };
    Source::parse(&source).is_ok().then_some(source)
}
