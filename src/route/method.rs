//! The methods of a route.

use std::fmt;

use http::Method;

/// A method of the route table, or all usual ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MethodPattern {
    /// This method only. `GET` also answers `HEAD` where no route of the same path names `HEAD`,
    /// unless its route says otherwise.
    One(Method),
    /// Each of [`ANY`] that no route of the same path names.
    Any,
}

/// The methods that `ANY` stands for, the same as in API Gateway. A wildcard never matches an
/// unknown method (attacks.md#row-7).
pub const ANY: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// An error in a method of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodError {
    /// Not a method token.
    Syntax,
    /// Not in upper case; this method was probably meant. Methods are case-sensitive (RFC 9110
    /// §9.1).
    Case(Box<str>),
    /// `CONNECT` or `TRACE`, which are never forwarded: `CONNECT` opens a tunnel, and `TRACE`
    /// echoes credentials.
    Never(Box<str>),
}

impl MethodPattern {
    /// Returns the method that one of the patterns of a path names for a request of this method;
    /// `None` if `ANY` answers it.
    pub fn named_for<'m>(
        patterns: impl Iterator<Item = &'m Self> + Clone,
        method: &Method,
    ) -> Option<&'m Method> {
        let mut named = patterns.clone().filter_map(Self::method);
        match named.find(|named| *named == method) {
            None if *method == Method::HEAD => Self::named_for(patterns, &Method::GET),
            found => found,
        }
    }

    fn method(&self) -> Option<&Method> {
        match self {
            Self::One(method) => Some(method),
            Self::Any => None,
        }
    }

    /// Parses a method name or `ANY`.
    ///
    /// # Errors
    /// [`MethodError`]
    pub fn parse(text: &str) -> Result<Self, MethodError> {
        if text == "ANY" {
            return Ok(Self::Any);
        }
        let upper = text.to_ascii_uppercase();
        let known = upper == "ANY" || ANY.iter().any(|method| method.as_str() == upper);
        if known && upper != text {
            return Err(MethodError::Case(upper.into()));
        }
        if upper == "CONNECT" || upper == "TRACE" {
            return Err(MethodError::Never(upper.into()));
        }
        Method::from_bytes(text.as_bytes())
            .map(Self::One)
            .map_err(|_| MethodError::Syntax)
    }
}

impl fmt::Display for MethodPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(method) => f.write_str(method.as_str()),
            Self::Any => f.write_str("ANY"),
        }
    }
}

impl fmt::Display for MethodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("a method is a token like \"GET\""),
            Self::Case(meant) => write!(f, "methods are case-sensitive: write \"{meant}\""),
            Self::Never(method) => write!(f, "\"{method}\" is never forwarded"),
        }
    }
}

impl std::error::Error for MethodError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_exact_tokens() {
        assert_eq!(
            MethodPattern::parse("GET"),
            Ok(MethodPattern::One(Method::GET))
        );
        assert_eq!(MethodPattern::parse("ANY"), Ok(MethodPattern::Any));
        assert!(matches!(
            MethodPattern::parse("PROPFIND"),
            Ok(MethodPattern::One(_))
        ));
        assert_eq!(
            MethodPattern::parse("get"),
            Err(MethodError::Case("GET".into()))
        );
        assert_eq!(
            MethodPattern::parse("any"),
            Err(MethodError::Case("ANY".into()))
        );
        assert_eq!(
            MethodPattern::parse("CONNECT"),
            Err(MethodError::Never("CONNECT".into()))
        );
        assert_eq!(MethodPattern::parse("A B"), Err(MethodError::Syntax));
    }

    #[test]
    fn a_method_is_named_by_itself_or_by_get_for_head() {
        let named = |patterns: &[&str], method: Method| {
            let patterns: Vec<_> = patterns
                .iter()
                .map(|text| MethodPattern::parse(text).unwrap())
                .collect();
            MethodPattern::named_for(patterns.iter(), &method).cloned()
        };
        let get = Some(Method::GET);
        assert_eq!(named(&["POST", "GET", "ANY"], Method::GET), get);
        assert_eq!(named(&["GET", "ANY"], Method::HEAD), get);
        assert_eq!(named(&["GET", "HEAD"], Method::HEAD), Some(Method::HEAD));
        assert_eq!(named(&["POST", "ANY"], Method::HEAD), None);
        assert_eq!(named(&["GET", "ANY"], Method::PUT), None);
    }
}
