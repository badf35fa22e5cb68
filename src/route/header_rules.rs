//! What a route changes about the fields of a request or a response, beyond what the gateway itself owns.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the upstream.
    Request,
    /// To the client.
    Response,
}

/// Changes of a message's fields. No name is in two of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Taken away.
    pub remove: Vec<HeaderName>,
    /// Put in place of whatever is there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Put beside whatever is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// Why there is no rule for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRuleError {
    /// Not a field name.
    Name,
    /// Not a field value: a control character, or white space around it.
    Value,
    /// The gateway's own; this is why, or what does it instead.
    Owned(&'static str),
}

impl HeaderRules {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Names under which a message says nothing but what the rules say.
    pub fn claimed(&self) -> impl Iterator<Item = &HeaderName> {
        self.remove.iter().chain(self.set.iter().map(|(name, _)| name))
    }

    /// Every name that a rule is about.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.claimed().chain(self.add.iter().map(|(name, _)| name))
    }

    /// Changes a message. What is removed or set goes in every spelling: an upstream may read `x_env` as `x-env`.
    pub fn apply(&self, headers: &mut HeaderMap) {
        if !self.is_empty() {
            self.change(headers);
        }
    }

    fn change(&self, headers: &mut HeaderMap) {
        for name in self.claimed() {
            headers.remove(name);
            let twins = headers.keys().filter(|other| is_twin(other.as_str(), name.as_str()));
            for twin in twins.cloned().collect::<Vec<_>>() {
                headers.remove(twin);
            }
        }
        for (name, value) in self.set.iter().chain(&self.add) {
            headers.append(name.clone(), value.clone());
        }
    }

    /// Completes an answer of the gateway's own: what the answer says itself stays.
    pub fn complete(&self, headers: &mut HeaderMap) {
        for (name, value) in self.set.iter().chain(&self.add) {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

impl Direction {
    /// The name of a field that rules may change.
    ///
    /// # Errors
    /// [`HeaderRuleError`]
    pub fn name(self, text: &str) -> Result<HeaderName, HeaderRuleError> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| HeaderRuleError::Name)?;
        match self.owned(&name.as_str().replace('_', "-")) {
            Some(why) => Err(HeaderRuleError::Owned(why)),
            None => Ok(name),
        }
    }

    fn owned(self, name: &str) -> Option<&'static str> {
        Some(match name {
            "connection"
            | "keep-alive"
            | "proxy-connection"
            | "upgrade"
            | "te"
            | "trailer"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization" => "it is about one connection, and goes no further",
            "content-length" | "transfer-encoding" | "expect" => "the gateway frames the body itself",
            "via" | "x-request-id" => "the gateway writes it itself",
            name if name.starts_with("sec-websocket-") => "it belongs to the handshake",
            _ => return self.owned_one_way(name),
        })
    }

    fn owned_one_way(self, name: &str) -> Option<&'static str> {
        match (self, name) {
            (Self::Request, "host") => Some("the upstream's \"host\" says what it is"),
            (Self::Request, "authorization") => {
                Some("\"forward_token\" says whether the upstream gets the token")
            }
            (Self::Request, "forwarded" | "x-real-ip") => {
                Some("\"server.trusted_proxies\" says whose is kept")
            }
            (Self::Request, name) if name.starts_with("x-forwarded-") => {
                Some("\"server.trusted_proxies\" says whose is kept")
            }
            (
                Self::Request,
                "x-http-method"
                | "x-http-method-override"
                | "x-method-override"
                | "x-original-url"
                | "x-rewrite-url",
            ) => Some("the upstream would read another method or path than the one that was authorized"),
            (Self::Response, "www-authenticate") => Some("the gateway writes its challenges itself"),
            (Self::Response, name) if name.starts_with("access-control-") => Some("\"cors\" writes it"),
            _ => None,
        }
    }
}

/// A value of a rule: visible ASCII, with spaces inside.
///
/// # Errors
/// [`HeaderRuleError::Value`]
pub fn header_rule_value(text: &str) -> Result<HeaderValue, HeaderRuleError> {
    let plain = text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text;
    let value = plain.then(|| HeaderValue::from_str(text).ok()).flatten();
    value.ok_or(HeaderRuleError::Value)
}

/// Whether an upstream may take two field names for one: every byte that is no letter and no digit equals every other such
/// byte. CGI, FastCGI and WSGI servers make a variable of a name and write `_` for `-`; lighttpd does so for each of these
/// bytes, PHP for `.`. None of them drops or adds a byte, so twins have one length. Field names are in lower case already.
#[must_use]
pub fn is_twin(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| is_same_to_upstreams(a, b))
}

fn is_same_to_upstreams(a: u8, b: u8) -> bool {
    a == b || !a.is_ascii_alphanumeric() && !b.is_ascii_alphanumeric()
}

impl fmt::Display for HeaderRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "this is no field name",
            Self::Value => "a value is printable ASCII without white space around it",
            Self::Owned(why) => why,
        })
    }
}

impl std::error::Error for HeaderRuleError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    }

    // attacks.md row 9: who sets a field means that nobody else does.
    #[test]
    fn what_is_set_or_removed_goes_in_every_spelling() {
        let rules = HeaderRules {
            remove: vec![HeaderName::from_static("x-debug")],
            set: vec![pair("x-env", "prod")],
            add: vec![pair("x-hop", "2")],
        };
        let mut headers: HeaderMap =
            [pair("x_debug", "1"), pair("x_env", "dev"), pair("x-env", "dev"), pair("x-hop", "1")]
                .into_iter()
                .collect();
        rules.apply(&mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["x-env"], "prod");
        assert_eq!(headers.get_all("x-hop").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn twins_are_names_that_an_upstream_takes_for_one() {
        for separator in "!#$%&'*+-.^_`|~".chars() {
            assert!(is_twin(&format!("x{separator}auth-subject"), "x-auth-subject"), "{separator}");
            assert!(is_twin("x-auth-subject", &format!("x-auth{separator}subject")), "{separator}");
        }
        assert!(is_twin("x.auth|subject", "x_auth~subject"));
        for other in
            ["x-auth-subjec", "x-auth-subject-", "x--auth-subject", "xaauth-subject", "x-auth0subject", ""]
        {
            assert!(!is_twin(other, "x-auth-subject"), "{other}");
        }
    }

    #[test]
    fn an_answer_of_the_gateways_own_keeps_what_it_says() {
        let rules = HeaderRules {
            set: vec![pair("content-type", "text/html"), pair("strict-transport-security", "max-age=1")],
            ..HeaderRules::default()
        };
        let mut headers: HeaderMap = [pair("content-type", "application/problem+json")].into_iter().collect();
        rules.complete(&mut headers);
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["strict-transport-security"], "max-age=1");
    }

    #[test]
    fn what_the_gateway_owns_has_no_rule() {
        use Direction::{Request, Response};
        for name in ["Host", "Content-Length", "TE", "via", "x_request_id", "connection", "Upgrade"] {
            assert!(matches!(Request.name(name), Err(HeaderRuleError::Owned(_))), "{name}");
        }
        for name in ["X-Forwarded-Anything", "forwarded", "authorization", "x-original-url"] {
            assert!(matches!(Request.name(name), Err(HeaderRuleError::Owned(_))), "{name}");
            assert!(Response.name(name).is_ok(), "{name}");
        }
        assert!(Response.name("access-control-allow-origin").is_err());
        assert!(Request.name("x-env").is_ok() && Response.name("strict-transport-security").is_ok());
        assert_eq!(Request.name("a b"), Err(HeaderRuleError::Name));
        assert!(header_rule_value("max-age=63072000; preload").is_ok());
        for value in ["a\r\nb: c", " a", "é", "a\0"] {
            assert_eq!(header_rule_value(value), Err(HeaderRuleError::Value), "{value:?}");
        }
    }
}
