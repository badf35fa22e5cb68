//! Lines of the access log in a format of the operator's own, with the variables of Amazon API
//! Gateway.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::chosen::push_value;
use super::{AccessLine, TokenFields};
use crate::telemetry::words::{common_log_time, protocol_name};

/// The beginning of a variable.
const START: &str = "$context.";

/// The variables of claims end in the name of a claim.
const CLAIMS: &str = "authorizer.claims.";

/// The longest line, in bytes: once it is as long, further values are left out.
const MAX_LINE: usize = 64 << 10;

/// The most bytes of a value.
const MAX_VALUE: usize = 8 << 10;

/// The variable whose value is a whole string of JSON, with its quotation marks.
const QUOTED: &str = "error.messageString";

/// The beginning of the variables for the reason and the sentence of a refusal.
const REASONS: &str = "error.";

/// The value of a variable that has none.
const ABSENT: &str = "-";

/// A format of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessFormat(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Variable(&'static str),
    /// The value of a claim.
    Claim(Box<str>),
}

/// A word of a format that is no variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// The position in the format, in bytes.
    pub at: Range<usize>,
    /// The name, without `$context.`.
    pub name: String,
}

/// The facts of a request that only formats of the operator's own show.
#[derive(Clone, Debug, Default)]
pub struct LineContext<'a> {
    /// The time at which the request began, since 1970.
    pub began: Duration,
    /// The id of the request: the one that an API of the same kind has.
    pub api_request_id: &'a str,
    /// The route.
    pub route: Option<LineRoute<'a>>,
    /// The host that the client asked for, without a port.
    pub domain_name: Option<&'a str>,
    /// The first label of that host.
    pub domain_prefix: Option<&'a str>,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The bytes of the answer's body.
    pub response_bytes: u64,
    /// The time until the upstream's answer.
    pub upstream_took: Option<Duration>,
    /// The part that failed, if the request was refused.
    pub failed: Option<FailedPart>,
}

/// The facts of a route that only formats of the operator's own show, as API Gateway names them.
#[derive(Clone, Debug)]
pub struct LineRoute<'a> {
    /// The name of the stage.
    pub stage: &'a str,
    /// The path without the stage.
    pub resource: String,
    /// The method by which the route answers, or `ANY`, and the path. `None` if it does not answer
    /// the method.
    pub key: Option<String>,
    /// The account of the function that the route invokes.
    pub account_id: Option<&'a str>,
    /// The API of that function.
    pub api_id: Option<&'a str>,
}

/// The part of the gateway at which a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedPart {
    /// The token, or what it permits.
    Authorizer,
    /// The upstream.
    Integration,
    /// Another part.
    Other,
}

/// The variables, without `$context.`. The ones whose value the gateway does not know are `-`.
pub const VARIABLES: &[&str] = &[
    "requestId",
    "extendedRequestId",
    "requestTime",
    "requestTimeEpoch",
    "httpMethod",
    "path",
    "resourcePath",
    "routeKey",
    "protocol",
    "status",
    "responseLength",
    "responseLatency",
    "stage",
    "domainName",
    "domainPrefix",
    "dataProcessed",
    "identity.sourceIp",
    "identity.userAgent",
    "authorizer.principalId",
    "authorizer.error",
    "authorize.error",
    "authenticate.error",
    "error.message",
    "error.messageString",
    "error.responseType",
    "integrationErrorMessage",
    "integration.error",
    "integrationLatency",
    "integration.latency",
    "integrationStatus",
    "integration.status",
    "integration.integrationStatus",
    "accountId",
    "apiId",
    // The gateway knows none of these.
    "awsEndpointRequestId",
    "awsEndpointRequestId2",
    "deploymentId",
    "endpointType",
    "isCanaryRequest",
    "resourceId",
    "responseType",
    "tlsVersion",
    "cipherSuite",
    "xrayTraceId",
    "customDomain.basePathMatched",
    "customDomain.routingRuleIdMatched",
    "error.validationErrorString",
    "identity.accountId",
    "identity.apiKey",
    "identity.apiKeyId",
    "identity.caller",
    "identity.clientCert.clientCertPem",
    "identity.clientCert.issuerDN",
    "identity.clientCert.serialNumber",
    "identity.clientCert.subjectDN",
    "identity.clientCert.validity.notAfter",
    "identity.clientCert.validity.notBefore",
    "identity.cognitoAuthenticationProvider",
    "identity.cognitoAuthenticationType",
    "identity.cognitoIdentityId",
    "identity.cognitoIdentityPoolId",
    "identity.principalOrgId",
    "identity.user",
    "identity.userArn",
    "authorizer.integrationLatency",
    "authorizer.integrationStatus",
    "authorizer.latency",
    "authorizer.requestId",
    "authorizer.status",
    "authorize.latency",
    "authorize.status",
    "authenticate.latency",
    "authenticate.status",
    "integration.requestId",
    "integration.responseTransferMode",
    "integration.timeToAllHeaders",
    "integration.timeToFirstContent",
    "waf.error",
    "waf.latency",
    "waf.status",
    "wafResponseCode",
    "webaclArn",
];

impl AccessFormat {
    /// Parses a format. Line breaks become blanks: a request has one line.
    ///
    /// # Errors
    /// The first [`UnknownVariable`].
    pub fn parse(text: &str) -> Result<Self, UnknownVariable> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(START) {
            push_text(&mut pieces, rest.get(..at).unwrap_or_default());
            let start = text.len() - rest.len() + at;
            let after = rest.get(at + START.len()..).unwrap_or_default();
            let name = name_of(after);
            pieces.push(variable(name).ok_or_else(|| UnknownVariable {
                at: start..start + START.len() + name.len(),
                name: name.to_owned(),
            })?);
            rest = after.get(name.len()..).unwrap_or_default();
        }
        push_text(&mut pieces, rest);
        Ok(Self(pieces.into()))
    }

    /// Returns whether lines show the reason or the sentence of every refusal.
    #[must_use]
    pub fn shows_reasons(&self) -> bool {
        let mut pieces = self.0.iter();
        pieces.any(|piece| matches!(piece, Piece::Variable(name) if name.starts_with(REASONS)))
    }

    /// Appends a line with its line feed.
    pub(super) fn write(
        &self,
        line: &AccessLine<'_>,
        context: &LineContext<'_>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        for piece in &self.0 {
            let is_full = out.len() - start > MAX_LINE;
            let value = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                _ if is_full => None,
                Piece::Variable(name) => value(name, line, context),
                Piece::Claim(name) => claim(name, line.token.as_ref()),
            };
            let value = value.filter(|value| !value.is_empty());
            let is_quoted = matches!(piece, Piece::Variable(name) if *name == QUOTED);
            if is_quoted {
                out.push(b'"');
            }
            push_value(out, value.as_deref().unwrap_or(ABSENT), MAX_VALUE);
            if is_quoted {
                out.push(b'"');
            }
        }
        out.push(b'\n');
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        let text = text.replace("\r\n", " ").replace(['\r', '\n'], " ");
        pieces.push(Piece::Text(text.into()));
    }
}

/// Returns the name of a variable at the beginning of a text.
fn name_of(text: &str) -> &str {
    let is_claim = text.starts_with(CLAIMS);
    let is_part = |char: char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '.' | '_')
            || is_claim && matches!(char, ':' | '-')
    };
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    name.trim_end_matches(['.', ':', '-'])
}

fn variable(name: &str) -> Option<Piece> {
    if let Some(claim) = name.strip_prefix(CLAIMS) {
        return Some(Piece::Claim(claim.into()));
    }
    let known = VARIABLES.iter().find(|known| **known == name)?;
    Some(Piece::Variable(known))
}

/// Returns the value of a variable; `None` if the request has none.
fn value(name: &str, line: &AccessLine<'_>, context: &LineContext<'_>) -> Option<String> {
    let text = match name {
        "requestId" => context.api_request_id,
        "extendedRequestId" => line.request_id,
        "httpMethod" => line.method,
        "path" => line.path,
        "domainName" => context.domain_name?,
        "domainPrefix" => context.domain_prefix?,
        "identity.userAgent" => context.user_agent?,
        "stage" => context.route.as_ref()?.stage,
        "resourcePath" => &context.route.as_ref()?.resource,
        "routeKey" => context.route.as_ref()?.key.as_deref()?,
        "accountId" => context.route.as_ref()?.account_id?,
        "apiId" => context.route.as_ref()?.api_id?,
        "protocol" => protocol_name(line.protocol),
        "authorizer.principalId" => return claim("sub", line.token.as_ref()),
        "error.responseType" => line.reason?,
        "error.message" | "error.messageString" => line.detail?,
        "authorizer.error" | "authorize.error" | "authenticate.error" => {
            detail_of(line, context, FailedPart::Authorizer)?
        }
        "integrationErrorMessage" | "integration.error" => {
            detail_of(line, context, FailedPart::Integration)?
        }
        _ => return number(name, line, context),
    };
    Some(text.to_owned())
}

fn number(name: &str, line: &AccessLine<'_>, context: &LineContext<'_>) -> Option<String> {
    Some(match name {
        "requestTime" => common_log_time(context.began),
        "requestTimeEpoch" => context.began.as_millis().to_string(),
        "status" => line.status.to_string(),
        "responseLength" => context.response_bytes.to_string(),
        "responseLatency" => line.took.as_millis().to_string(),
        "integrationLatency" | "integration.latency" => {
            context.upstream_took?.as_millis().to_string()
        }
        "integrationStatus" | "integration.status" | "integration.integrationStatus" => {
            line.upstream_status?.to_string()
        }
        "identity.sourceIp" => source(line)?.to_string(),
        _ => return None,
    })
}

fn source(line: &AccessLine<'_>) -> Option<IpAddr> {
    line.client.or_else(|| Some(line.peer?.ip()))
}

fn detail_of<'l>(
    line: &AccessLine<'l>,
    context: &LineContext<'_>,
    part: FailedPart,
) -> Option<&'l str> {
    line.detail.filter(|_| context.failed == Some(part))
}

/// Returns a claim that the line may show (`[log] claims`), of a token whose signature verified.
fn claim(name: &str, token: Option<&TokenFields<'_>>) -> Option<String> {
    let token = token.filter(|token| !token.is_unverified)?;
    let text = match name {
        "iss" => token.issuer?,
        "client_id" | "azp" | "appid" | "cid" => token.client?,
        "jti" => token.jwt_id?,
        "sub" => token.subject?,
        "scope" => token.scope.as_deref()?,
        "aud" => return Some(token.audience.join(",")),
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn line() -> AccessLine<'static> {
        AccessLine {
            ended: Duration::from_millis(1_767_225_600_250),
            request_id: "id-1",
            peer: "192.0.2.7:1".parse().ok(),
            client: None,
            client_certificate: None,
            protocol: Version::HTTP_11,
            method: "GET",
            path: "/dev/orders/7",
            route: Some("/dev/orders/{id}"),
            status: 200,
            upstream_status: Some(200),
            reason: None,
            detail: None,
            issuer: None,
            token: None,
            skipped: None,
            took: Duration::from_millis(250),
        }
    }

    fn context() -> LineContext<'static> {
        LineContext {
            began: Duration::from_secs(1_767_225_600),
            api_request_id: "id-1",
            route: Some(LineRoute {
                stage: "dev",
                resource: "/orders/{id}".to_owned(),
                key: Some("GET /orders/{id}".to_owned()),
                account_id: None,
                api_id: None,
            }),
            domain_name: Some("api.example.com"),
            domain_prefix: Some("api"),
            response_bytes: 42,
            upstream_took: Some(Duration::from_millis(200)),
            ..LineContext::default()
        }
    }

    fn written(format: &str, line: &AccessLine<'_>, context: &LineContext<'_>) -> String {
        let mut out = Vec::new();
        AccessFormat::parse(format)
            .unwrap()
            .write(line, context, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_formats_of_the_console_work_as_they_are() {
        let rest = r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime] "$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId $context.extendedRequestId"#;
        let context = LineContext {
            api_request_id: "8db3b4dd-ecd5-436d-9eeb-a544e39d3e12",
            ..context()
        };
        assert_eq!(
            written(rest, &line(), &context),
            "192.0.2.7 - - [01/Jan/2026:00:00:00 +0000] \"GET /orders/{id} HTTP/1.1\" 200 42 \
             8db3b4dd-ecd5-436d-9eeb-a544e39d3e12 id-1\n"
        );
        let http = "{ \"requestId\":\"$context.requestId\", \"ip\": \"$context.identity.sourceIp\",\n \
                    \"requestTime\":\"$context.requestTime\", \"routeKey\":\"$context.routeKey\", \
                    \"status\":\"$context.status\", \"stage\":\"$context.stage\", \
                    \"latency\": $context.responseLatency, \"integration\": \
                    $context.integrationLatency }";
        let text = written(http, &line(), &context);
        assert_eq!(text.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["routeKey"], "GET /orders/{id}");
        assert_eq!(
            (&json["stage"], &json["status"]),
            (&"dev".into(), &"200".into())
        );
        assert_eq!(
            (&json["latency"], &json["integration"]),
            (&250.into(), &200.into())
        );
    }

    #[test]
    fn what_a_client_chose_breaks_neither_the_line_nor_the_quotes() {
        let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0.eyJpc3MiOiJhIn0.c2ln";
        let path = format!("/a\"\r\n\u{1b}[31m\\{token}");
        let line = AccessLine {
            path: &path,
            ..line()
        };
        let text = written(
            r#"{"path": "$context.path", "ua": "$context.identity.userAgent"}"#,
            &line,
            &context(),
        );
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}') && !text.contains(token), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["path"], "/a\"\r\n\u{1b}[31m\\(a token)");
        assert_eq!(json["ua"], "-");
    }

    #[test]
    fn a_line_is_bounded() {
        let long = "x".repeat(100_000);
        let line = AccessLine {
            path: &long,
            ..line()
        };
        let format = "$context.path ".repeat(200);
        assert!(written(&format, &line, &context()).len() < 100_000);
    }

    #[test]
    fn a_claim_is_shown_of_a_verified_token_alone() {
        let format = "$context.authorizer.claims.sub $context.authorizer.claims.cognito:username.";
        for (is_unverified, shown) in [(false, "u -.\n"), (true, "- -.\n")] {
            let token = TokenFields {
                is_unverified,
                subject: Some("u"),
                ..TokenFields::default()
            };
            let line = AccessLine {
                token: Some(token),
                ..line()
            };
            assert_eq!(written(format, &line, &context()), shown);
        }
    }

    #[test]
    fn an_error_belongs_to_its_part() {
        let format =
            "$context.authorizer.error|$context.integrationErrorMessage|$context.error.message";
        let line = AccessLine {
            detail: Some("no"),
            reason: Some("r"),
            ..line()
        };
        for (failed, shown) in [
            (FailedPart::Authorizer, "no|-|no\n"),
            (FailedPart::Integration, "-|no|no\n"),
            (FailedPart::Other, "-|-|no\n"),
        ] {
            let context = LineContext {
                failed: Some(failed),
                ..context()
            };
            assert_eq!(written(format, &line, &context), shown);
        }
    }

    // The answer of a function that failed is the gateway's own: no upstream gave its status.
    #[test]
    fn the_status_of_the_integration_is_that_of_an_upstream() {
        let format = "$context.status $context.integrationStatus $context.integration.status";
        for (upstream_status, shown) in [(Some(502), "502 502 502\n"), (None, "502 - -\n")] {
            let line = AccessLine {
                status: 502,
                upstream_status,
                ..line()
            };
            assert_eq!(written(format, &line, &context()), shown);
        }
    }

    #[test]
    fn a_format_shows_reasons_if_it_has_one_of_their_variables() {
        for (format, shows) in [
            ("$context.status $context.requestId", false),
            (
                "$context.authorizer.error $context.integration.error",
                false,
            ),
            ("$context.error.responseType", true),
            ("a $context.error.message b", true),
            ("$context.error.messageString", true),
        ] {
            let parsed = AccessFormat::parse(format).unwrap();
            assert_eq!(parsed.shows_reasons(), shows, "{format}");
        }
    }

    #[test]
    fn the_message_string_is_a_string_of_json() {
        let format = r#"{"a":$context.error.messageString,"b":"$context.error.message"}"#;
        for (detail, shown) in [(Some("no \"x\"\n"), "no \"x\"\n"), (None, "-")] {
            let line = AccessLine { detail, ..line() };
            let text = written(format, &line, &context());
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&json["a"], &json["b"]), (&shown.into(), &shown.into()));
        }
    }

    #[test]
    fn each_variable_is_known_and_others_are_not() {
        for name in VARIABLES {
            let text = format!("{START}{name} x");
            assert!(
                written(&text, &line(), &LineContext::default()).ends_with(" x\n"),
                "{name}"
            );
        }
        let unknown = AccessFormat::parse("a $context.requestID b").unwrap_err();
        assert_eq!((unknown.at, unknown.name.as_str()), (2..20, "requestID"));
        assert!(AccessFormat::parse("$context. x").is_err());
        assert_eq!(
            written("$contextual $ {}", &line(), &context()),
            "$contextual $ {}\n"
        );
    }
}
