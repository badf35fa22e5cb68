//! What an import has to say beside its output: a closed list, each with its level, its sentence
//! and its advice.

use std::fmt;

use super::document::{Place, shortened};
use crate::config::printable;

/// The weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing has to be done.
    Info,
    /// The output behaves in another way than the API, and is not more open.
    Warning,
    /// An operation is denied that the API serves.
    Error,
}

/// Something of a document that is not, or not wholly, in the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub code: Code,
    /// The place in the document.
    pub place: Place,
    /// The operation that it is about, such as `GET /pets`; `None` for the document as a whole.
    pub operation: Option<Box<str>>,
    /// The names that it is about.
    pub about: Box<str>,
}

/// The reason for which a part of a document could not be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Untranslated {
    pub(super) code: Code,
    pub(super) place: Place,
    pub(super) about: Box<str>,
}

impl Untranslated {
    pub(super) fn new(code: Code, place: Place, about: impl Into<Box<str>>) -> Self {
        let about = about.into();
        Self {
            code,
            place,
            about: shortened(&about).into(),
        }
    }

    /// Returns the finding about an operation.
    pub(super) fn of(&self, operation: &impl fmt::Display) -> Finding {
        Finding {
            code: self.code,
            place: self.place,
            operation: Some(operation.to_string().into()),
            about: self.about.clone(),
        }
    }

    /// Returns the finding about the document.
    pub(super) fn of_document(&self) -> Finding {
        Finding {
            code: self.code,
            place: self.place,
            operation: None,
            about: self.about.clone(),
        }
    }

    /// Returns the sentence, with the names that it is about.
    pub(super) fn sentence(&self) -> String {
        sentence(self.code, &self.about)
    }
}

impl Finding {
    /// Formats the finding for a file of a name: two lines.
    #[must_use]
    pub fn render(&self, file: &str) -> String {
        let level = self.code.level();
        let operation = match &self.operation {
            Some(operation) => format!("{operation}: "),
            None => String::new(),
        };
        let said = sentence(self.code, &self.about);
        let text = format!("{level}: {file}:{}: {operation}{said}", self.place);
        let (name, advice) = (self.code.name(), self.code.advice());
        format!("{}\n  help: {advice} [{name}]", printable(&text))
    }
}

fn sentence(code: Code, about: &str) -> String {
    match about {
        "" => code.sentence().to_owned(),
        about => format!("{}: {about}", code.sentence()),
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Declares [`Code`], so that no code is without its row.
macro_rules! codes {
    ($($code:ident $level:ident $name:literal: $sentence:literal, $advice:literal;)*) => {
        /// What an import can find.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $sentence] $code,)*
        }

        impl Code {
            /// Every code, the errors first.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Returns its name in messages and in the documentation.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// Returns its weight.
            #[must_use]
            pub fn level(self) -> Level {
                match self { $(Self::$code => Level::$level,)* }
            }

            /// Returns what was found.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$code => $sentence,)* }
            }

            /// Returns what to do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice,)* }
            }
        }
    };
}

codes! {
    LambdaAuthorizer Error "lambda-authorizer":
        "denied, because a Lambda authorizer decides who may call it",
        "if the function verifies JWTs, write their issuer and scopes in its place";
    IamAuthorization Error "iam-authorization":
        "denied, because callers sign its requests with AWS credentials",
        "let its callers get a token from an issuer, and write the scopes";
    ApiKey Error "api-key":
        "denied, because it asks for an API key",
        "there are no API keys yet; write the scopes that its callers have instead";
    UnknownAuthorizer Error "unknown-authorizer":
        "denied, because its authorizer is of a type that is not known",
        "write the issuer and the scopes; `--issuer SCHEME=URL` with `--audience SCHEME=VALUE` does so for a scheme of bearer tokens";
    UndefinedScheme Error "undefined-scheme":
        "denied, because its security scheme is not defined",
        "define the scheme in the document, or write the scopes";
    SeveralAuthorizers Error "several-authorizers":
        "denied, because it asks for tokens of several authorizers at once",
        "write the one issuer whose tokens its callers have";
    UnknownIssuer Error "unknown-issuer":
        "denied, because the issuer of its tokens cannot be derived",
        "name it: `--issuer SCHEME=URL`";
    UnknownAudience Error "unknown-audience":
        "denied, because the audience of its tokens is not known",
        "name it: `--audience SCHEME=VALUE`, a client id or the identifier of the API";
    ScopeAsAudience Error "scope-as-audience":
        "denied, because the audience of its authorizer is one of its scopes",
        "write the client ids as `audience` of the authorizer, and the scope at the operation";
    AudiencePattern Error "audience-pattern":
        "denied, because `identityValidationExpression` of its authorizer is a pattern",
        "write the client ids that it matches as `audience` of the issuer";
    TokenSource Error "token-source":
        "denied, because the place of its token cannot be read",
        "write the place as `token_from` of the route, and its scopes";
    BadScope Error "bad-scope":
        "denied, because a text is no scope (RFC 6749 section 3.3)",
        "correct the scope in the document";
    EmptyRequirement Error "empty-requirement":
        "denied, because its `security` holds an empty requirement alone",
        "write `security: []` if everybody may call it";
    UnreadableRequirement Error "unreadable-requirement":
        "denied, because its `security` cannot be read",
        "write it as a list of maps from scheme to scopes";
    UnresolvedFunction Error "unresolved-function":
        "denied, because a CloudFormation function stands in a part that decides about it",
        "export the API that was deployed, where the function has its value";
    ResourcePolicy Error "resource-policy":
        "denied, because the resource policy restricts who may call it",
        "enforce the policy elsewhere, such as in the network, and import with `--accept resource-policy`";
    PrivateEndpoint Error "private-endpoint":
        "denied, because the API is reached from a private network alone",
        "see that the gateway is as private, and import with `--accept resource-policy`";
    DisabledEndpoint Error "disabled-endpoint":
        "denied, because the API's endpoint is turned off and it names no other",
        "import with `--accept resource-policy` if the API is in use under its own domain";
    MissingVariable Error "missing-variable":
        "denied, because a stage variable has no value",
        "give it: `--var NAME=VALUE` (exports hold no values of stage variables)";
    NoIntegration Error "no-integration":
        "denied, because the document has no integration for it",
        "export the API with its extensions, or write the upstream of the route";
    ServiceIntegration Error "service-integration":
        "denied, because it calls a service of AWS with a mapping of its own",
        "put a service of your own in front of it, and write that as upstream";
    CustomFunction Error "custom-function":
        "denied, because its Lambda function gets what a mapping template makes of the request",
        "change the function to the event of the proxy integration, and write it as upstream";
    UnusableUri Error "unusable-uri":
        "denied, because the URI of its integration is none that a request can be forwarded to",
        "write the upstream and the `rewrite` of the route";
    UnusableFunction Error "unusable-function":
        "denied, because the function of its integration cannot be told",
        "write the upstream of the route, with the name of the function";
    UnusableMock Error "unusable-mock":
        "denied, because the answer of its mock integration is computed",
        "write the answer as `respond` of the route";
    GreedyPath Error "greedy-path":
        "denied, because a greedy path with other callers answers first here",
        "write a route for that path, with the upstream and the scopes of this operation";
    ProtectedPreflight Error "protected-preflight":
        "denied, because it answers preflights, and browsers send no token with them",
        "write the origins as `cors` of the route; the gateway answers preflights without a token";

    PolicyAccepted Warning "policy-accepted":
        "the restriction is not enforced by the gateway",
        "enforce it elsewhere, such as in the network";
    UnusedAuthorizer Warning "unused-authorizer":
        "the authorizer protects nothing, because no operation names it",
        "name it in the `security` of the operations that it is for; they are public now, as they are in the API";
    OpenDocument Warning "open-document":
        "every operation is public, as it is in the document",
        "write the scopes that each route requires";
    OpenWrite Warning "open-write":
        "everybody may call this writing method of an API that protects others",
        "if this is not meant, write the scopes that it requires";
    IdTokens Warning "id-tokens":
        "the operation takes ID tokens, because its authorizer stands without scopes",
        "let clients send access tokens, and write the scopes that the route requires";
    Narrowed Warning "narrowed":
        "one of the alternatives of its `security` is left out, so that callers who meet that one alone are refused",
        "give these callers a route of their own, or a scope that all callers have";
    IssuerAudience Warning "issuer-audience":
        "the document does not say for which audience tokens are issued",
        "name it: `--audience SCHEME=VALUE`; the address of the API was written";
    TwinUpstream Warning "twin-upstream":
        "another spelling of its path goes to an operation that admits more callers, on an upstream that may be the same application",
        "API Gateway forwards such requests as well; if one application answers both, give both routes one upstream, and they are refused";
    NoServer Warning "no-server":
        "the document names no server with a host: the upstream is one of this machine",
        "write the address of the upstream";
    UnreadableServer Warning "unreadable-server":
        "the address of the server is not known: the routes have no prefix",
        "give the values of its variables by `--var NAME=VALUE`, or write the `prefix` of the group";
    TokenSourcesDiffer Warning "token-sources-differ":
        "the scheme and its authorizer name different places of the token: that of the scheme is read",
        "see that clients send the token there";
    ComputedCors Warning "computed-cors":
        "the origin that may read the responses is computed, and no `cors` was written",
        "write the origins as `cors` of the route";
    UnusableCors Warning "unusable-cors":
        "the CORS settings are none that browsers act on, and no `cors` was written",
        "write the origins as `cors` of the route";
    MappingTemplate Warning "mapping-template":
        "mapping templates are not translated",
        "let the upstream take the request as the client sends it";
    ResponseMapping Warning "response-mapping":
        "changes of responses are not translated",
        "let the upstream answer as the client expects it, or write `response_headers`";
    MockPart Warning "mock-part":
        "a part of the answer of a mock integration is not translated",
        "write it in `respond` of the route, such as `respond.headers.location`";
    ParameterMapping Warning "parameter-mapping":
        "a parameter mapping is not translated; the client cannot set the parameter either, if it is a field",
        "write it as `request_headers` or `rewrite` of the route";
    Unmapped Warning "unmapped":
        "the integration hands on what it maps alone; the upstream gets the client's fields, query and body as well",
        "see that the upstream trusts none of them, or remove them with `request_headers` and `rewrite`";
    GatewayResponse Warning "gateway-response":
        "a gateway response is not translated",
        "write it as `[[errors.responses]]`";
    ResponsePart Warning "gateway-response-part":
        "a part of a gateway response is not translated",
        "the gateway writes `WWW-Authenticate` and others itself, and `cors` those of CORS; see what the entry of `[[errors.responses]]` lacks";
    UnverifiedTls Warning "unverified-tls":
        "the certificate of the upstream is not verified, as it is in the API",
        "write the CA of the upstream as `ca_file`, and remove `verify`";
    EventFormat Warning "event-format":
        "the format of the function's events is not stated: 1.0 was written",
        "write `event = \"2.0\"` if the function reads events of that format";

    AnyTokens Info "any-tokens":
        "every token of the issuer for this audience passes, ID tokens included, because the authorizer stands without scopes",
        "write the scopes that the route requires";
    UnusedResponse Info "unused-gateway-response":
        "a gateway response is for an answer that the gateway does not give",
        "nothing";
    ResponseCors Info "gateway-response-cors":
        "`cors` writes the fields of CORS that a gateway response sets",
        "nothing";
    PrivateUpstream Info "private-upstream":
        "the API reaches its upstream by a VPC link",
        "see that the gateway reaches it as well";
    Validator Info "validator":
        "a request validator is not translated",
        "let the upstream validate parameters and bodies";
    Role Info "role":
        "the role of the integration is not needed",
        "nothing";
    Caching Info "caching":
        "the cache of the stage is not translated",
        "nothing, or a cache in front of the gateway";
    Setting Info "setting":
        "a setting of the API is not translated",
        "nothing";
    OtherServers Info "other-servers":
        "the first server alone decides about the prefix",
        "`--basepath` changes the prefix";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_finding_has_a_name_of_its_own_and_a_sentence_without_an_end() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(!code.sentence().ends_with('.') && !code.advice().ends_with('.'));
            let is_denied = code.sentence().starts_with("denied, because ");
            assert_eq!(is_denied, code.level() == Level::Error, "{}", code.name());
        }
    }

    #[test]
    fn a_finding_shows_its_place_and_no_control_character() {
        let place = crate::import::document::Document::read(b"a: 1").unwrap();
        let finding = Finding {
            code: Code::ApiKey,
            place: place.root().place,
            operation: Some("GET /a".into()),
            about: "\"k\u{1b}\"".into(),
        };
        assert_eq!(
            finding.render("api.json"),
            "error: api.json:1:1: GET /a: denied, because it asks for an API key: \"k\\u{1b}\"\n  \
             help: there are no API keys yet; write the scopes that its callers have instead [api-key]"
        );
    }

    // The page lists each finding, with its level, its sentence and its advice.
    #[test]
    fn the_documentation_has_a_row_for_each_finding() {
        let page = std::fs::read_to_string("docs/import.md").unwrap_or_default();
        for code in Code::ALL {
            let (name, level) = (code.name(), code.level());
            let row = format!(
                "| `{name}` | {level} | {} | {} |",
                code.sentence(),
                code.advice()
            );
            assert!(page.contains(&row), "docs/import.md lacks:\n{row}");
        }
    }
}
