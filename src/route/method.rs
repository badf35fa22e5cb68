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

/// The closeness of a pattern to a method: of the patterns of a path, the closest one answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// `ANY`.
    Any,
    /// `GET`, for a `HEAD`.
    GetForHead,
    /// The method itself.
    Named,
}

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
    /// Returns how closely the pattern fits a method; `None` if it does not answer it. `head` is
    /// set if `GET` answers `HEAD`.
    #[inline]
    #[must_use]
    pub fn fit(&self, method: &Method, head: bool) -> Option<Fit> {
        match self {
            Self::One(own) if own == method => Some(Fit::Named),
            Self::One(own) if head && *method == Method::HEAD && *own == Method::GET => {
                Some(Fit::GetForHead)
            }
            Self::Any if ANY.contains(method) => Some(Fit::Any),
            Self::One(_) | Self::Any => None,
        }
    }

    /// Returns the pattern as the configuration writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::One(method) => method.as_str(),
            Self::Any => "ANY",
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
        f.write_str(self.as_str())
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
    fn a_pattern_fits_its_method_and_get_or_any_others() {
        let fit = |pattern: &str, method: &Method, head: bool| {
            MethodPattern::parse(pattern).unwrap().fit(method, head)
        };
        let unknown = Method::from_bytes(b"PROPFIND").unwrap();
        for head in [true, false] {
            assert_eq!(fit("GET", &Method::GET, head), Some(Fit::Named));
            assert_eq!(fit("HEAD", &Method::HEAD, head), Some(Fit::Named));
            assert_eq!(fit("PROPFIND", &unknown, head), Some(Fit::Named));
            assert_eq!(fit("ANY", &Method::HEAD, head), Some(Fit::Any));
            assert_eq!(fit("ANY", &unknown, head), None);
            assert_eq!(fit("GET", &Method::PUT, head), None);
            assert_eq!(fit("HEAD", &Method::GET, head), None);
            assert_eq!(fit("POST", &Method::HEAD, head), None);
        }
        assert_eq!(fit("GET", &Method::HEAD, true), Some(Fit::GetForHead));
        assert_eq!(fit("GET", &Method::HEAD, false), None);
        assert!(Fit::Any < Fit::GetForHead && Fit::GetForHead < Fit::Named);
    }
}
