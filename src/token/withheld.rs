//! The places of a request whose credentials are not forwarded to the upstream.

use http::HeaderName;

use super::source::{is_any_cookie, is_any_field, is_any_parameter};
use super::{Source, cookie, parameter};

/// The places whose credentials are removed from a request, in every spelling that an upstream
/// could take for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withheld<'s> {
    places: &'s [Source],
    kept: &'s [Source],
}

impl<'s> Withheld<'s> {
    /// Withholds the credentials in these places.
    #[must_use]
    pub fn new(places: &'s [Source]) -> Self {
        Self { places, kept: &[] }
    }

    /// Lets through the credentials in other places, even if those are spellings of a withheld one.
    #[must_use]
    pub fn except(self, kept: &'s [Source]) -> Self {
        Self { kept, ..self }
    }

    /// Returns whether any field but `Cookie` is withheld.
    #[must_use]
    pub fn has_fields(self) -> bool {
        self.places.iter().any(is_header)
    }

    /// Returns whether any cookie is withheld.
    #[must_use]
    pub fn has_cookies(self) -> bool {
        self.places.iter().any(is_cookie)
    }

    fn has_parameters(self) -> bool {
        self.places.iter().any(is_parameter)
    }

    /// Returns whether a field is withheld.
    #[must_use]
    pub fn is_field(self, name: &HeaderName) -> bool {
        is_any_field(self.places, name) && !is_any_field(self.kept, name)
    }

    /// Returns a `Cookie` field without the cookies that are withheld; `None` where it has none of
    /// them.
    #[must_use]
    pub fn without_cookies(self, field: &[u8]) -> Option<Vec<u8>> {
        cookie::without(field, |name| {
            is_any_cookie(self.places, name) && !is_any_cookie(self.kept, name)
        })
    }

    /// Returns a query without the parameters that are withheld; `None` where it has none of them.
    #[must_use]
    pub fn without_parameters(self, query: &str) -> Option<String> {
        if !self.has_parameters() {
            return None;
        }
        parameter::without(query, |name| {
            is_any_parameter(self.places, name) && !is_any_parameter(self.kept, name)
        })
    }
}

fn is_header(place: &Source) -> bool {
    matches!(place, Source::Header(_))
}

fn is_cookie(place: &Source) -> bool {
    matches!(place, Source::Cookie(_))
}

fn is_parameter(place: &Source) -> bool {
    matches!(place, Source::Query(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> Vec<Source> {
        texts
            .iter()
            .map(|text| Source::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn a_kept_place_is_not_a_spelling_of_a_withheld_one() {
        let all = sources(&[
            "cookie:session",
            "cookie:sid",
            "header:x-token",
            "header:x-key",
            "query:t",
        ]);
        let kept = sources(&["cookie:Session", "header:x_token"]);
        let withheld = Withheld::new(&all).except(&kept);
        let cookies = |field: &str| {
            withheld
                .without_cookies(field.as_bytes())
                .map(|kept| String::from_utf8(kept).unwrap())
        };
        assert_eq!(
            cookies("session=t; sid=x; a=b").as_deref(),
            Some("session=t; a=b")
        );
        assert_eq!(cookies("SESSION=t; Sid =x").as_deref(), Some("SESSION=t"));
        assert_eq!(cookies("session=t; a=b"), None);
        // Python's parser reads both in one pair.
        assert_eq!(cookies("sid=x session=t; a=b").as_deref(), Some("a=b"));
        for (name, expected) in [
            ("x-token", false),
            ("x.token", false),
            ("x-key", true),
            ("x_key", true),
            ("x-keys", false),
        ] {
            assert_eq!(
                withheld.is_field(&HeaderName::from_static(name)),
                expected,
                "{name}"
            );
        }
        assert_eq!(
            withheld.without_parameters("a=b&T=x").as_deref(),
            Some("a=b")
        );
    }

    #[test]
    fn nothing_is_withheld_where_no_place_is_named() {
        let withheld = Withheld::default();
        assert!(!withheld.has_fields() && !withheld.has_cookies());
        assert_eq!(withheld.without_cookies(b"session=t"), None);
        assert_eq!(withheld.without_parameters("t=x"), None);
    }
}
