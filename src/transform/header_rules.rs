//! The rules by which a route changes the fields of a request or a response. The fields that the
//! gateway writes itself have no rules.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_names::{FieldPattern, is_twin, starts_with_twin};
use super::impersonation::{Meaning, meaning};
use super::template::{Escape, Facts, ReferenceKind, Template};

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the upstream.
    Request,
    /// To the client.
    Response,
}

/// Changes to the fields of a message. No name is in two of the lists, but `remove` may have a
/// prefix of a name in another list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// The fields to remove.
    pub remove: Vec<FieldPattern>,
    /// The fields to write in place of all fields of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// The fields to write beside other fields of the same name.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// The fields whose values depend on the request.
    pub templates: Vec<FieldTemplate>,
}

/// A field whose value depends on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTemplate {
    /// The name of the field.
    pub name: HeaderName,
    /// The value, with at least one reference.
    pub value: Template,
    /// Set if the field replaces all fields of the same name.
    pub replaces: bool,
}

/// An error in a header rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRuleError {
    /// Not a field name.
    Name,
    /// Not a field value: it has a control character, or white space around it.
    Value,
    /// A `*` in a place where no wildcard is allowed.
    Wildcard,
    /// A field that the gateway writes itself; the text gives the reason, or the key that
    /// controls the field.
    Owned(&'static str),
}

impl HeaderRules {
    /// Returns whether the rules change no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.set.is_empty()
            && self.add.is_empty()
            && self.templates.is_empty()
    }

    /// Returns the fields that are removed from every message before the rules write their own.
    pub fn claimed(&self) -> impl Iterator<Item = FieldPattern> {
        let templates = self.templates.iter().filter(|field| field.replaces);
        self.remove
            .iter()
            .cloned()
            .chain(self.set.iter().map(|(name, _)| name.clone().into()))
            .chain(templates.map(|field| field.name.clone().into()))
    }

    /// Returns every field that a rule names.
    pub fn names(&self) -> impl Iterator<Item = FieldPattern> {
        let templates = self.templates.iter().filter(|field| !field.replaces);
        self.claimed()
            .chain(self.add.iter().map(|(name, _)| name.clone().into()))
            .chain(templates.map(|field| field.name.clone().into()))
    }

    /// Returns the fields that hold claims.
    pub fn with_claims(&self) -> impl Iterator<Item = &HeaderName> {
        let fields = self.templates.iter();
        fields
            .filter(|field| field.has_claim())
            .map(|field| &field.name)
    }

    /// Returns the fields whose values depend on the request, with their values for one request. A
    /// field that refers to an absent value is left out.
    #[must_use]
    pub fn render(&self, facts: &impl Facts) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::new();
        for field in &self.templates {
            let escape = Escape::of_field(&field.name);
            let text = field.value.render(escape, facts).ok();
            // An escaped text is a field value.
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                fields.push((field.name.clone(), value));
            }
        }
        fields
    }

    /// Changes a message, except for the fields of [`Self::render`], which the caller adds. A field
    /// that is removed or set is removed in every spelling: an upstream may read `x_env` as
    /// `x-env`.
    pub fn apply(&self, direction: Direction, headers: &mut HeaderMap) {
        if !self.is_empty() {
            self.change(direction, headers);
        }
    }

    fn change(&self, direction: Direction, headers: &mut HeaderMap) {
        self.remove_claimed(direction, headers);
        for (name, value) in self.set.iter().chain(&self.add) {
            headers.append(name.clone(), value.clone());
        }
    }

    /// Removes the fields of `set` and `remove` from a message, in every spelling.
    pub fn remove_claimed(&self, direction: Direction, headers: &mut HeaderMap) {
        let names = headers
            .keys()
            .filter(|name| self.removes(direction, name.as_str()));
        for name in names.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
    }

    fn removes(&self, direction: Direction, name: &str) -> bool {
        self.set.iter().any(|(set, _)| is_twin(name, set.as_str()))
            || self.is_replaced(name)
            || self
                .remove
                .iter()
                .any(|pattern| pattern.matches(name) && direction.may_remove(pattern, name))
    }

    /// Returns whether a template writes a field in place of one of this name.
    fn is_replaced(&self, name: &str) -> bool {
        let mut templates = self.templates.iter();
        templates.any(|field| field.replaces && is_twin(name, field.name.as_str()))
    }

    /// Adds the fields of `set` and `add` to an answer of the gateway itself. A field that the
    /// answer has already stays as it is.
    pub fn complete(&self, headers: &mut HeaderMap) {
        for (name, value) in self.set.iter().chain(&self.add) {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

impl FieldTemplate {
    /// Returns whether the value refers to a claim.
    #[must_use]
    pub fn has_claim(&self) -> bool {
        let mut references = self.value.references();
        references.any(|(reference, _)| reference.kind() == ReferenceKind::Claim)
    }
}

impl Direction {
    /// Parses the name of a field that rules may set or add.
    ///
    /// # Errors
    /// [`HeaderRuleError`]
    pub fn name(self, text: &str) -> Result<HeaderName, HeaderRuleError> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| HeaderRuleError::Name)?;
        if text.contains('*') {
            return Err(HeaderRuleError::Wildcard);
        }
        if let Some(reason) = self.owned(name.as_str()) {
            return Err(HeaderRuleError::Owned(reason));
        }
        if let Some(reason) = self.misleading(name.as_str()) {
            return Err(HeaderRuleError::Owned(reason));
        }
        Ok(name)
    }

    /// Parses the name of a field that rules may remove, or a prefix such as `x-amzn-oidc-*`.
    ///
    /// # Errors
    /// [`HeaderRuleError`]
    pub fn pattern(self, text: &str) -> Result<FieldPattern, HeaderRuleError> {
        let (stem, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('-') => (prefix, true),
            _ => (text, false),
        };
        let name = HeaderName::from_bytes(stem.as_bytes()).map_err(|_| HeaderRuleError::Name)?;
        if name.as_str().contains('*') {
            return Err(HeaderRuleError::Wildcard);
        }
        if let Some(reason) = self.owned(name.as_str()) {
            return Err(HeaderRuleError::Owned(reason));
        }
        Ok(if is_prefix {
            FieldPattern::Prefix(name)
        } else {
            FieldPattern::Name(name)
        })
    }

    /// Returns whether a pattern that matches a field may remove it. A prefix such as `x-*` does
    /// not remove the fields that the gateway writes itself, such as the request id.
    fn may_remove(self, pattern: &FieldPattern, name: &str) -> bool {
        matches!(pattern, FieldPattern::Name(_)) || self.owned(name).is_none()
    }

    /// Returns the reason why a field has no rules, if the gateway writes it itself.
    fn owned(self, name: &str) -> Option<&'static str> {
        match meaning(name) {
            Some(meaning @ (Meaning::Connection | Meaning::Framing | Meaning::RequestId)) => {
                meaning.objection()
            }
            _ if is_twin(name, "trailer") => Meaning::Connection.objection(),
            _ if name == "via" => Meaning::RequestId.objection(),
            _ if starts_with_twin(name, "sec-websocket-") => Some("it belongs to the handshake"),
            meaning => match self {
                Self::Request => owned_in_requests(name, meaning),
                Self::Response => owned_in_responses(name),
            },
        }
    }

    /// Returns the reason why rules may not set a field of requests that they may remove: the
    /// upstream would take another method, path or proxy from it.
    fn misleading(self, name: &str) -> Option<&'static str> {
        match (self, meaning(name)?) {
            (Self::Request, meaning @ (Meaning::Override | Meaning::ProxyVariable)) => {
                meaning.objection()
            }
            _ => None,
        }
    }
}

fn owned_in_requests(name: &str, meaning: Option<Meaning>) -> Option<&'static str> {
    let describes_client =
        matches!(meaning, Some(Meaning::Origin)) || starts_with_twin(name, "x-forwarded-");
    match name {
        "host" => Some("the upstream's \"host\" sets it"),
        "authorization" => Some("\"forward_token\" says whether the upstream gets the token"),
        _ if !describes_client => None,
        _ if is_kept_from_proxies(name) => {
            Some("\"server.trusted_proxies\" lists the proxies whose field is kept")
        }
        _ => Some("the gateway removes it from every request"),
    }
}

/// Returns whether the gateway keeps this field of a request when a trusted proxy sent it.
fn is_kept_from_proxies(name: &str) -> bool {
    [
        "forwarded",
        "x-forwarded-",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    ]
    .iter()
    .any(|kept| is_twin(name, kept))
}

fn owned_in_responses(name: &str) -> Option<&'static str> {
    if is_twin(name, "www-authenticate") {
        return Some("the gateway writes its challenges itself");
    }
    starts_with_twin(name, "access-control-").then_some("\"cors\" writes it")
}

/// Parses the value of a rule: printable ASCII, without spaces at its start and end.
///
/// # Errors
/// [`HeaderRuleError::Value`]
pub fn header_rule_value(text: &str) -> Result<HeaderValue, HeaderRuleError> {
    let is_printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if !is_printable || text.trim() != text {
        return Err(HeaderRuleError::Value);
    }
    HeaderValue::from_str(text).map_err(|_| HeaderRuleError::Value)
}

impl fmt::Display for HeaderRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "this is no field name",
            Self::Value => "a value is printable ASCII without white space around it",
            Self::Wildcard => "a \"*\" stands in \"remove\" alone, at the end and after a hyphen",
            Self::Owned(reason) => reason,
        })
    }
}

impl std::error::Error for HeaderRuleError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    }

    // A rule that sets a field replaces every other spelling of it.
    #[test]
    fn what_is_set_or_removed_goes_in_every_spelling() {
        let rules = HeaderRules {
            remove: vec![HeaderName::from_static("x-debug").into()],
            set: vec![pair("x-env", "prod")],
            add: vec![pair("x-hop", "2")],
            templates: Vec::new(),
        };
        let mut headers: HeaderMap = [
            pair("x_debug", "1"),
            pair("x.debug", "1"),
            pair("x_env", "dev"),
            pair("x~env", "dev"),
            pair("x-env", "dev"),
            pair("x-hop", "1"),
        ]
        .into_iter()
        .collect();
        rules.apply(Direction::Request, &mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["x-env"], "prod");
        assert_eq!(
            headers.get_all("x-hop").iter().collect::<Vec<_>>(),
            ["1", "2"]
        );
    }

    #[test]
    fn a_prefix_takes_all_that_begins_with_it_but_what_the_gateway_says() {
        let remove = vec![Direction::Response.pattern("x-*").unwrap()];
        let rules = HeaderRules {
            remove,
            ..HeaderRules::default()
        };
        let mut headers: HeaderMap = [
            pair("x-powered-by", "a"),
            pair("x.debug", "b"),
            pair("x-request-id", "c"),
            pair("xs", "d"),
        ]
        .into_iter()
        .collect();
        rules.apply(Direction::Response, &mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["x-request-id", "xs"]);
    }

    #[test]
    fn a_star_stands_at_the_end_of_what_is_removed() {
        let pattern = Direction::Request.pattern("X-Amzn-Oidc-*").unwrap();
        assert_eq!(
            pattern,
            FieldPattern::Prefix(HeaderName::from_static("x-amzn-oidc-"))
        );
        assert_eq!(pattern.to_string(), "x-amzn-oidc-*");
        for text in ["*", "x*", "x_*", "x-*-*", "*-x", "x-*-y", "x-**"] {
            assert_eq!(
                Direction::Request.pattern(text),
                Err(HeaderRuleError::Wildcard),
                "{text}"
            );
        }
        assert_eq!(
            Direction::Request.name("x-amzn-oidc-*"),
            Err(HeaderRuleError::Wildcard)
        );
        assert_eq!(
            Direction::Request.pattern("a b-*"),
            Err(HeaderRuleError::Name)
        );
        for owned in ["x-forwarded-*", "sec-websocket-*", "X_Forwarded-*"] {
            assert!(
                matches!(
                    Direction::Request.pattern(owned),
                    Err(HeaderRuleError::Owned(_))
                ),
                "{owned}"
            );
        }
        assert!(matches!(
            Direction::Response.pattern("access-control-*"),
            Err(HeaderRuleError::Owned(_))
        ));
    }

    // A rule may remove a field that is removed from every request, but not set it.
    #[test]
    fn no_rule_puts_another_method_or_path_into_a_request() {
        for name in [
            "x-original-url",
            "X.Original.Uri",
            "x_http_method_override",
            "script_name",
            "proxy",
        ] {
            assert!(
                matches!(
                    Direction::Request.name(name),
                    Err(HeaderRuleError::Owned(_))
                ),
                "{name}"
            );
            assert!(
                Direction::Request.pattern(name).is_ok() && Direction::Response.name(name).is_ok(),
                "{name}"
            );
        }
        assert!(Direction::Request.name("ssl-client-verify").is_ok());
    }

    #[test]
    fn an_answer_of_the_gateways_own_keeps_what_it_says() {
        let rules = HeaderRules {
            set: vec![
                pair("content-type", "text/html"),
                pair("strict-transport-security", "max-age=1"),
            ],
            ..HeaderRules::default()
        };
        let mut headers: HeaderMap = [pair("content-type", "application/problem+json")]
            .into_iter()
            .collect();
        rules.complete(&mut headers);
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["strict-transport-security"], "max-age=1");
    }

    #[test]
    fn what_the_gateway_owns_has_no_rule() {
        use Direction::{Request, Response};
        for name in [
            "Host",
            "Content.Length",
            "TE",
            "via",
            "x_request_id",
            "connection",
            "Upgrade",
            "Trailer",
        ] {
            assert!(
                matches!(Request.name(name), Err(HeaderRuleError::Owned(_))),
                "{name}"
            );
        }
        for name in [
            "X-Forwarded-Anything",
            "forwarded",
            "authorization",
            "x-original-url",
        ] {
            assert!(
                matches!(Request.name(name), Err(HeaderRuleError::Owned(_))),
                "{name}"
            );
            assert!(Response.name(name).is_ok(), "{name}");
        }
        assert!(Response.name("access-control-allow-origin").is_err());
        assert!(
            Request.name("x-env").is_ok() && Response.name("strict-transport-security").is_ok()
        );
        assert_eq!(Request.name("a b"), Err(HeaderRuleError::Name));
        assert!(header_rule_value("max-age=63072000; preload").is_ok());
        for value in ["a\r\nb: c", " a", "é", "a\0"] {
            assert_eq!(
                header_rule_value(value),
                Err(HeaderRuleError::Value),
                "{value:?}"
            );
        }
    }
}
