//! Issuers, and the addresses of their metadata.

use crate::net::Url;

/// Returns the issuer whose metadata is at a URL.
pub(super) fn issuer_of(url: &str) -> Option<&str> {
    url.strip_suffix("/.well-known/openid-configuration")
}

/// Returns whether a text can be the `iss` of tokens whose keys are fetched safely.
pub(super) fn is_issuer(text: &str) -> bool {
    let is_plain = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}' | b'?'));
    is_plain && Url::parse(text).is_ok_and(|url| url.is_tls())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_address_of_https() {
        for (text, is) in [
            ("https://idp.example.com/", true),
            ("https://idp.example.com:8443/a/b", true),
            ("http://idp.example.com", false),
            ("idp.example.com", false),
            ("/relative", false),
            ("https://idp.example.com/{tenant}", false),
            ("https://idp.example.com/a b", false),
            ("https://u@idp.example.com", false),
            ("", false),
        ] {
            assert_eq!(is_issuer(text), is, "{text}");
        }
        let url = "https://idp.example.com/a/.well-known/openid-configuration";
        assert_eq!(issuer_of(url), Some("https://idp.example.com/a"));
        assert_eq!(issuer_of("https://idp.example.com/keys"), None);
    }
}
