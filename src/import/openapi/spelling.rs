//! Keys that differ from known ones by case alone.

use super::error::{ApiError, ApiFault};
use super::extension::{AUTH, AUTHORIZER, CORS, ENDPOINT, EXTENSION, RESPONSES};
use crate::import::document::Node;

/// The keys of a part of a document that decide about routes and their callers.
pub(super) struct Keys {
    known: &'static [&'static str],
    /// The keys of the values of some keys.
    below: &'static [(&'static str, &'static Self)],
    /// The keys of every value of a map whose own keys are names, or of every item of a list.
    each: Option<&'static Self>,
}

/// The root.
pub(super) const ROOT: Keys = Keys {
    known: &[
        "basePath",
        "components",
        "host",
        "openapi",
        "paths",
        "schemes",
        "security",
        "securityDefinitions",
        "servers",
        "swagger",
    ],
    below: &[
        ("components", &COMPONENTS),
        ("servers", &EACH_SERVER),
        (CORS, &CORS_SETTING),
        (ENDPOINT, &ENDPOINT_SETTING),
        (RESPONSES, &EACH_RESPONSE),
    ],
    each: None,
};

/// A path. The case of its methods does not count.
pub(super) const PATH: Keys = Keys::flat(&["$ref", "parameters", "security", "servers"]);

/// An operation, without its integration.
pub(super) const OPERATION: Keys = Keys {
    known: &["$ref", "parameters", "security", "servers"],
    below: &[(AUTH, &Keys::flat(&["type"]))],
    each: None,
};

/// An integration.
pub(super) const INTEGRATION_KEYS: Keys = Keys {
    known: &[
        "connectionType",
        "contentHandling",
        "credentials",
        "httpMethod",
        "integrationSubtype",
        "payloadFormatVersion",
        "requestParameters",
        "requestTemplates",
        "responseParameters",
        "responses",
        "timeoutInMillis",
        "tlsConfig",
        "type",
        "uri",
    ],
    below: &[
        ("responses", &EACH_RESPONSE),
        (
            "tlsConfig",
            &Keys::flat(&["insecureSkipVerification", "serverNameToVerify"]),
        ),
    ],
    each: None,
};

/// A security scheme.
pub(super) const SCHEME: Keys = Keys {
    known: &[
        "flow",
        "flows",
        "in",
        "name",
        "openIdConnectUrl",
        "scheme",
        "scopes",
        "type",
    ],
    below: &[("flows", &FLOWS), (AUTHORIZER, &AUTHORIZER_KEYS)],
    each: None,
};

const COMPONENTS: Keys = Keys::flat(&["securitySchemes"]);

const FLOWS: Keys = Keys {
    known: &[
        "authorizationCode",
        "clientCredentials",
        "implicit",
        "password",
    ],
    below: &[],
    each: Some(&Keys::flat(&["scopes"])),
};

const AUTHORIZER_KEYS: Keys = Keys {
    known: &[
        "authorizerUri",
        "identitySource",
        "identityValidationExpression",
        "jwtConfiguration",
        "providerARNs",
        "type",
    ],
    below: &[("jwtConfiguration", &Keys::flat(&["audience", "issuer"]))],
    each: None,
};

const EACH_SERVER: Keys = Keys {
    known: &[],
    below: &[],
    each: Some(&Keys {
        known: &["url", "variables"],
        below: &[
            (
                "variables",
                &Keys {
                    known: &[],
                    below: &[],
                    each: Some(&Keys::flat(&["default"])),
                },
            ),
            (ENDPOINT, &ENDPOINT_SETTING),
        ],
        each: None,
    }),
};

const EACH_RESPONSE: Keys = Keys {
    known: &[],
    below: &[],
    each: Some(&Keys::flat(&[
        "responseParameters",
        "responseTemplates",
        "statusCode",
    ])),
};

/// Its other keys are read in any case: templates spell them in another one than exports.
const ENDPOINT_SETTING: Keys = Keys::flat(&["disableExecuteApiEndpoint"]);

const CORS_SETTING: Keys = Keys::flat(&[
    "allowCredentials",
    "allowHeaders",
    "allowMethods",
    "allowOrigins",
    "exposeHeaders",
    "maxAge",
]);

impl Keys {
    const fn flat(known: &'static [&'static str]) -> Self {
        Self {
            known,
            below: &[],
            each: None,
        }
    }

    /// Refuses a key of a node, or below it, that differs from a known one by case alone: readers
    /// differ about whether it counts, and one that does not leaves open what it protects.
    pub(super) fn refuse_other_case(&self, node: &Node) -> Result<(), ApiError> {
        for entry in node.entries() {
            if let Some(meant) = self.meant(&entry.key) {
                let fault = ApiFault::OtherCase(entry.key.clone(), meant.into());
                return Err(ApiError::at(entry.place, fault));
            }
        }
        for (key, keys) in self.below {
            if let Some(below) = node.get(key) {
                keys.refuse_other_case(below)?;
            }
        }
        if let Some(each) = self.each {
            let values = node.entries().iter().map(|entry| &entry.value);
            for value in values.chain(node.items()) {
                each.refuse_other_case(value)?;
            }
        }
        Ok(())
    }

    /// Returns the key that one in another case seems to be. Extensions are in lower case.
    fn meant(&self, key: &str) -> Option<String> {
        let lower = key.to_ascii_lowercase();
        if lower.starts_with(EXTENSION) {
            return (key != lower).then_some(lower);
        }
        let mut known = self.known.iter();
        let meant = known.find(|own| own.eq_ignore_ascii_case(key))?;
        (key != *meant).then(|| (*meant).to_owned())
    }
}
