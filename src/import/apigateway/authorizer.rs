//! The security schemes of an export, as issuers.

use std::collections::BTreeSet;

use super::arn::{Pool, pool, pool_of_issuer};
use super::variables;
use crate::import::document::{Node, Place};
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::openapi::{AUTHORIZER, Scheme};
use crate::import::options::{Options, is_audience};
use crate::import::url::{is_issuer, issuer_of};
use crate::token::Source;

/// The extension of a scheme for its kind of authorization.
const AUTHTYPE: &str = "x-amazon-apigateway-authtype";

/// An authorizer whose tokens can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authorizer {
    pub(super) kind: Kind,
    /// The places of the token, as the configuration has them.
    pub(super) from: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

/// The tokens of an authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tokens of user pools, with the audience that `identityValidationExpression` names.
    Cognito {
        pools: Vec<Pool>,
        audience: Vec<String>,
    },
    /// Tokens of an issuer, for one of the audiences.
    Jwt {
        issuer: String,
        audience: Vec<String>,
    },
}

/// Returns the authorizer of a scheme. `scopes` are those that operations name with it.
///
/// # Errors
/// Returns the reason for which operations with this scheme are denied.
pub(super) fn authorizer(
    scheme: &Scheme<'_>,
    scopes: &BTreeSet<&str>,
    options: &Options,
) -> Result<Authorizer, Untranslated> {
    let fail = |code| Untranslated::new(code, scheme.place, format!("{:?}", scheme.name));
    let authtype = scheme
        .text(AUTHTYPE)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if authtype == "awssigv4" {
        return Err(fail(Code::IamAuthorization));
    }
    let mut parts = [AUTHTYPE, "type", "name", "in"].into_iter();
    let is_computed = |key| scheme.node.get(key).is_some_and(is_elsewhere);
    if !scheme.is_known || parts.any(is_computed) {
        return Err(fail(Code::UnresolvedFunction));
    }
    let reading = Reading {
        scheme,
        scopes,
        options,
    };
    let Some(node) = scheme.node.get(AUTHORIZER) else {
        return match (authtype.as_str(), scheme.kind()) {
            ("", Some("apiKey")) => Err(fail(Code::ApiKey)),
            ("", Some("oauth2" | "openIdConnect" | "http")) => reading.plain(),
            ("custom", _) => Err(fail(Code::LambdaAuthorizer)),
            _ => Err(fail(Code::UnknownAuthorizer)),
        };
    };
    if is_elsewhere(node) || node.get("type").is_some_and(is_elsewhere) {
        return Err(fail(Code::UnresolvedFunction));
    }
    let kind = node.get("type").and_then(Node::text).unwrap_or_default();
    match kind.to_ascii_lowercase().as_str() {
        "cognito_user_pools" => reading.cognito(node),
        "jwt" => reading.jwt(node),
        "token" | "request" => Err(fail(Code::LambdaAuthorizer)),
        _ if node.get("authorizerUri").is_some() => Err(fail(Code::LambdaAuthorizer)),
        _ => Err(fail(Code::UnknownAuthorizer)),
    }
}

/// The limit on the user pools of an authorizer, which are written for each operation.
const MAX_POOLS: usize = 100;

/// The limit on the audiences of an authorizer.
const MAX_AUDIENCES: usize = 200;

fn is_elsewhere(node: &Node) -> bool {
    node.elsewhere().is_some()
}

/// A scheme that is being read.
struct Reading<'r> {
    scheme: &'r Scheme<'r>,
    scopes: &'r BTreeSet<&'r str>,
    options: &'r Options,
}

impl Reading<'_> {
    fn fail(&self, code: Code, place: Place, about: &str) -> Untranslated {
        let about = match about {
            "" => format!("{:?}", self.scheme.name),
            about => format!("{:?}, {about}", self.scheme.name),
        };
        Untranslated::new(code, place, about)
    }

    /// Returns the text of a node, with the values of its stage variables. Another value that is no
    /// function is `wrong`.
    fn text(&self, node: &Node, wrong: Code) -> Result<String, Untranslated> {
        if let Some(text) = node.text() {
            return variables::filled(text, &self.options.variables, node.place);
        }
        match node.elsewhere() {
            Some(name) => Err(self.fail(Code::UnresolvedFunction, node.place, name)),
            None => Err(self.fail(wrong, node.place, node.scalar().unwrap_or_default())),
        }
    }

    fn cognito(&self, node: &Node) -> Result<Authorizer, Untranslated> {
        let arns = node.get("providerARNs").unwrap_or(node);
        if let Some(name) = arns.elsewhere() {
            return Err(self.fail(Code::UnresolvedFunction, arns.place, name));
        }
        if arns.items().len() > MAX_POOLS {
            let about = format!("more than {MAX_POOLS} user pools");
            return Err(self.fail(Code::UnknownIssuer, arns.place, &about));
        }
        // The caller names the pool where the document does not.
        let stated = self.options.issuers.get(self.scheme.name);
        let stated = stated.and_then(|issuer| pool_of_issuer(issuer));
        let mut pools = Vec::with_capacity(arns.items().len());
        for arn in arns.items() {
            let found = match (self.pool(arn), &stated) {
                (Err(_), Some(stated)) => stated.clone(),
                (found, _) => found?,
            };
            if !pools.contains(&found) {
                pools.push(found);
            }
        }
        if pools.is_empty() {
            return Err(self.fail(Code::UnknownIssuer, arns.place, "no user pool"));
        }
        let (from, findings) = self.field(node)?;
        Ok(Authorizer {
            kind: Kind::Cognito {
                pools,
                audience: self.audience_of_pattern(node)?,
            },
            from,
            findings,
        })
    }

    fn pool(&self, arn: &Node) -> Result<Pool, Untranslated> {
        let text = self.text(arn, Code::UnknownIssuer)?;
        let fail = || self.fail(Code::UnknownIssuer, arn.place, &format!("{text:?}"));
        pool(&text).ok_or_else(fail)
    }

    /// Returns the place of the token: the field that the scheme names.
    fn field(&self, node: &Node) -> Result<(Vec<String>, Vec<Finding>), Untranslated> {
        let name = self.scheme.text("name").unwrap_or("Authorization");
        if self
            .scheme
            .text("in")
            .is_some_and(|place| place != "header")
        {
            return Err(self.fail(Code::TokenSource, self.scheme.place, ""));
        }
        let mut findings = Vec::new();
        if let Some(source) = node.get("identitySource") {
            let stated = source.text().unwrap_or_default();
            let other = stated.strip_prefix("method.request.header.");
            if !other.is_some_and(|other| other.eq_ignore_ascii_case(name)) {
                let code = Code::TokenSourcesDiffer;
                findings.push(self.fail(code, source.place, stated).of_document());
            }
        }
        let from = header(name);
        let from = from.ok_or_else(|| self.fail(Code::TokenSource, self.scheme.place, name))?;
        Ok((from, findings))
    }

    /// Returns the audiences of `identityValidationExpression`, if that is a list of plain texts.
    fn audience_of_pattern(&self, node: &Node) -> Result<Vec<String>, Untranslated> {
        let Some(pattern) = node.get("identityValidationExpression") else {
            return Ok(Vec::new());
        };
        let text = self.text(pattern, Code::AudiencePattern)?;
        let plain = text.strip_prefix('^').unwrap_or(&text);
        let plain = plain.strip_suffix('$').unwrap_or(plain);
        let is_plain = |text: &str| {
            let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            !text.is_empty() && text.bytes().all(is_part)
        };
        if !is_plain(plain) {
            let about = format!("{text:?}");
            return Err(self.fail(Code::AudiencePattern, pattern.place, &about));
        }
        Ok(vec![plain.to_owned()])
    }

    fn jwt(&self, node: &Node) -> Result<Authorizer, Untranslated> {
        let configuration = node.get("jwtConfiguration");
        let issuer = self.issuer(configuration)?;
        let stated = self.options.audiences.get(self.scheme.name);
        let audience = match (stated, self.part(configuration, "audience")?) {
            (Some(stated), _) => stated.clone(),
            (None, Some(node)) => self.audience(node)?,
            (None, None) => return Err(self.fail(Code::UnknownAudience, node.place, "")),
        };
        Ok(Authorizer {
            kind: Kind::Jwt { issuer, audience },
            from: self.identity_source(node)?,
            findings: Vec::new(),
        })
    }

    /// Returns the tokens of a scheme without an authorizer: those that the caller names.
    fn plain(&self) -> Result<Authorizer, Untranslated> {
        let name = self.scheme.name;
        let issuer = self.options.issuers.get(name);
        let audience = self.options.audiences.get(name);
        let code = match (issuer, audience) {
            (Some(issuer), Some(_)) if !is_issuer(issuer) => Code::UnknownIssuer,
            (Some(issuer), Some(audience)) => {
                return Ok(Authorizer {
                    kind: Kind::Jwt {
                        issuer: issuer.clone(),
                        audience: audience.clone(),
                    },
                    from: authorization(),
                    findings: Vec::new(),
                });
            }
            (Some(_), None) => Code::UnknownAudience,
            (None, _) => Code::UnknownAuthorizer,
        };
        Err(self.fail(code, self.scheme.place, ""))
    }

    fn issuer(&self, configuration: Option<&Node>) -> Result<String, Untranslated> {
        if let Some(stated) = self.options.issuers.get(self.scheme.name) {
            let fail = || {
                self.fail(
                    Code::UnknownIssuer,
                    self.scheme.place,
                    &format!("{stated:?}"),
                )
            };
            return is_issuer(stated).then(|| stated.clone()).ok_or_else(fail);
        }
        let own = self.part(configuration, "issuer")?;
        let of_metadata = self.scheme.node.get("openIdConnectUrl");
        let Some(node) = own.or(of_metadata) else {
            return Err(self.fail(Code::UnknownIssuer, self.scheme.place, ""));
        };
        let text = self.text(node, Code::UnknownIssuer)?;
        let issuer = match own {
            Some(_) => Some(&*text),
            None => issuer_of(&text),
        };
        match issuer.filter(|issuer| is_issuer(issuer)) {
            Some(issuer) => Ok(issuer.to_owned()),
            None => Err(self.fail(Code::UnknownIssuer, node.place, &format!("{text:?}"))),
        }
    }

    /// Returns a part of the configuration of a JWT authorizer, in whose place a function may stand.
    fn part<'n>(
        &self,
        configuration: Option<&'n Node>,
        key: &str,
    ) -> Result<Option<&'n Node>, Untranslated> {
        let Some(node) = configuration else {
            return Ok(None);
        };
        let is_stated = match key {
            "issuer" => self.options.issuers.contains_key(self.scheme.name),
            _ => self.options.audiences.contains_key(self.scheme.name),
        };
        match node.elsewhere() {
            Some(name) if !is_stated => Err(self.fail(Code::UnresolvedFunction, node.place, name)),
            _ => Ok(node.get(key)),
        }
    }

    fn audience(&self, node: &Node) -> Result<Vec<String>, Untranslated> {
        let nodes = match node.is_list() {
            true => node.items(),
            false => std::slice::from_ref(node),
        };
        if nodes.len() > MAX_AUDIENCES {
            let about = format!("more than {MAX_AUDIENCES}");
            return Err(self.fail(Code::UnknownAudience, node.place, &about));
        }
        let mut audience = Vec::with_capacity(nodes.len());
        for node in nodes {
            let text = self.text(node, Code::UnknownAudience)?;
            if self.scopes.contains(&*text) {
                let about = format!("{text:?}");
                return Err(self.fail(Code::ScopeAsAudience, node.place, &about));
            }
            if !is_audience(&text) {
                let about = format!("{text:?}");
                return Err(self.fail(Code::UnknownAudience, node.place, &about));
            }
            if !audience.contains(&text) {
                audience.push(text);
            }
        }
        match audience.is_empty() {
            true => Err(self.fail(Code::UnknownAudience, node.place, "")),
            false => Ok(audience),
        }
    }

    fn identity_source(&self, node: &Node) -> Result<Vec<String>, Untranslated> {
        let Some(source) = node.get("identitySource") else {
            return Ok(authorization());
        };
        let only = match source.items() {
            [only] => only.text(),
            [] => source.text(),
            _ => None,
        };
        let only = only.unwrap_or_default();
        let from = match only.strip_prefix("$request.header.") {
            Some(name) => header(name),
            None => only.strip_prefix("$request.querystring.").and_then(query),
        };
        from.ok_or_else(|| self.fail(Code::TokenSource, source.place, &format!("{only:?}")))
    }
}

fn authorization() -> Vec<String> {
    vec!["authorization:raw".into(), "authorization:bearer".into()]
}

fn header(name: &str) -> Option<Vec<String>> {
    if name.eq_ignore_ascii_case("authorization") {
        return Some(authorization());
    }
    source(format!("header:{}", name.to_ascii_lowercase()))
}

fn query(name: &str) -> Option<Vec<String>> {
    source(format!("query:{name}"))
}

fn source(text: String) -> Option<Vec<String>> {
    Source::parse(&text).is_ok().then(|| vec![text])
}
