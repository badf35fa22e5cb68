//! The fields that upstreams believe because a proxy in front of them writes them, by families.
//!
//! A client that sends such a field impersonates the gateway: it names another user, another
//! address or another path. No such field of a client reaches an upstream: on no route, in no
//! spelling (`is_twin`), and not in trailers. The table in `docs/traffic.md` is a copy of the table
//! here, and a test compares them.

use super::field_names::{is_twin, starts_with_twin};

/// A field, or all fields whose names have the same prefix.
#[derive(Clone, Copy, Debug)]
struct Family {
    /// The name, or the prefix of the names.
    stem: &'static str,
    /// Set when `stem` is a prefix.
    is_prefix: bool,
    meaning: Meaning,
}

/// The meaning of a family's fields to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The origin of the request.
    Origin,
    /// Another statement that a proxy vouches for.
    Vouched,
    /// Another method, path or host than the request's own.
    Override,
    /// The certificate of a client, as sent by a proxy that terminates TLS.
    Certificate,
    /// The proxy of programs that run as CGI: `Proxy` becomes `HTTP_PROXY` ("httpoxy",
    /// CVE-2016-5385).
    ProxyVariable,
    /// The id of the request.
    RequestId,
    /// The framing of the message.
    Framing,
    /// Fields about one connection (RFC 9110 §7.6.1).
    Connection,
    /// Fields a client may send in the head with exactly this name. Other spellings and trailers
    /// are removed: the gateway did not check them.
    Message,
}

/// All families. A family stands before the narrower ones that it covers, so that
/// [`is_impersonation`] finds a match early.
const FAMILIES: [Family; 55] = {
    use Meaning::{
        Certificate, Connection, Framing, Message, Origin, Override, ProxyVariable, RequestId,
        Vouched,
    };
    [
        family("x-forwarded-*", Vouched),
        family("forwarded", Origin),
        family("x-forwarded-by", Origin),
        family("x-forwarded-for", Origin),
        family("x-forwarded-host", Origin),
        family("x-forwarded-port", Origin),
        family("x-forwarded-proto", Origin),
        family("x-forwarded-protocol", Origin),
        family("x-forwarded-scheme", Origin),
        family("x-forwarded-server", Origin),
        family("x-forwarded-ssl", Origin),
        family("x-real-ip", Origin),
        family("x-original-*", Override),
        family("x-rewrite-*", Override),
        family("x-envoy-original-*", Override),
        family("x-override-url", Override),
        family("x-forwarded-method", Override),
        family("x-forwarded-path", Override),
        family("x-forwarded-prefix", Override),
        family("x-forwarded-uri", Override),
        family("x-forwarded-url", Override),
        family("x-http-method", Override),
        family("x-http-method-override", Override),
        family("x-method-override", Override),
        family("x-host-override", Override),
        family("x-http-host-override", Override),
        // Flask and gunicorn cut this prefix from the path.
        family("x-script-name", Override),
        family("script-name", Override),
        family("path-info", Override),
        // The files that a Rack application asks the proxy to send (CVE-2025-61780).
        family("x-accel-*", Override),
        family("x-sendfile-type", Override),
        family("client-cert*", Certificate),
        family("x-client-cert*", Certificate),
        family("ssl-client-*", Certificate),
        family("x-ssl-client-*", Certificate),
        family("x-forwarded-client-cert*", Certificate),
        family("x-forwarded-tls-client-cert*", Certificate),
        family("proxy", ProxyVariable),
        family("x-request-id", RequestId),
        family("expect", Framing),
        family("content-length", Framing),
        family("transfer-encoding", Framing),
        family("connection", Connection),
        family("http2-settings", Connection),
        family("keep-alive", Connection),
        family("proxy-authenticate", Connection),
        family("proxy-authorization", Connection),
        family("proxy-connection", Connection),
        family("te", Connection),
        family("upgrade", Connection),
        family("authorization", Message),
        family("content-type", Message),
        family("cookie", Message),
        family("host", Message),
        family("via", Message),
    ]
};

/// Makes the family of a pattern. A `*` at its end makes it a prefix.
const fn family(pattern: &'static str, meaning: Meaning) -> Family {
    match pattern.as_bytes() {
        [stem @ .., b'*'] => Family {
            stem: pattern.split_at(stem.len()).0,
            is_prefix: true,
            meaning,
        },
        _ => Family {
            stem: pattern,
            is_prefix: false,
            meaning,
        },
    }
}

impl Family {
    fn holds(&self, name: &str) -> bool {
        if self.is_prefix {
            starts_with_twin(name, self.stem)
        } else {
            is_twin(name, self.stem)
        }
    }
}

impl Meaning {
    /// Returns the reason why no claim and no constant may be written into such a field; `None` for
    /// the fields by which the gateway may inform an upstream.
    #[must_use]
    pub fn objection(self) -> Option<&'static str> {
        match self {
            Self::Origin => Some("the gateway itself says where a request came from"),
            Self::Override => Some(
                "the upstream would read another method or path than the one that was authorized",
            ),
            Self::ProxyVariable => {
                Some("CGI programs would send their own requests to the proxy that it names")
            }
            Self::RequestId => Some("the gateway writes it itself"),
            Self::Framing => Some("the gateway frames the body itself"),
            Self::Connection => Some("it is about one connection, and goes no further"),
            Self::Message => Some("the message itself needs it"),
            Self::Vouched | Self::Certificate => None,
        }
    }
}

/// The number of groups into which names are sorted by their first bytes.
const SLOTS: usize = 128;

/// Returns the group of a name, by its first and third byte, or by the third and fifth where it
/// begins with `x-`, as most stems do. These bytes are letters in every stem, so twins are in the
/// same group.
const fn slot(name: &[u8]) -> usize {
    match name {
        [b'x', separator, one, _, other, ..] if !separator.is_ascii_alphanumeric() => {
            64 + mixed(*one, *other)
        }
        [one, _, other, ..] => mixed(*one, *other),
        [one, ..] => mixed(*one, 0),
        [] => 0,
    }
}

/// Combines two letters so that few of the usual fields share a group with a family.
const fn mixed(one: u8, other: u8) -> usize {
    (((one & 31) + ((other & 7) << 3)) & 63) as usize
}

/// The families that a name may belong to, by group: a bit for each family. Most groups have none.
struct Candidates([u64; SLOTS]);

/// The candidates of all fields.
static CANDIDATES: Candidates = Candidates::of(&FAMILIES, true);

/// The candidates of fields in a head. It leaves out the fields that a client may send there and
/// that have no twin because their name is one word.
static CANDIDATES_IN_HEADS: Candidates = Candidates::of(&FAMILIES, false);

static TABLE: [Family; FAMILIES.len()] = FAMILIES;

// Each family has one bit, and a search starts at most one bit beyond the last.
const _: () = assert!(FAMILIES.len() < 64);

impl Candidates {
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated when the crate is compiled"
    )]
    const fn of(families: &[Family], with_words: bool) -> Self {
        let mut slots = [0; SLOTS];
        let mut index = 0;
        while index < families.len() {
            let family = &families[index];
            if with_words
                || !matches!(family.meaning, Meaning::Message)
                || has_separator(family.stem)
            {
                slots[slot(family.stem.as_bytes())] |= 1 << index;
            }
            index += 1;
        }
        Self(slots)
    }

    /// Returns the first family that a name belongs to and its index, beginning at index `from`.
    fn first(&self, name: &str, from: usize) -> Option<(usize, &'static Family)> {
        let mut left = self.0.get(slot(name.as_bytes()))? >> from << from;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            let family = TABLE.get(index)?;
            if family.holds(name) {
                return Some((index, family));
            }
            left &= left - 1;
        }
        None
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when the crate is compiled"
)]
const fn has_separator(name: &str) -> bool {
    let mut index = 0;
    while index < name.len() {
        if !name.as_bytes()[index].is_ascii_alphanumeric() {
            return true;
        }
        index += 1;
    }
    false
}

/// Returns whether the gateway removes a field of this name from the head of a request of a client.
#[must_use]
pub fn is_impersonation(name: &str) -> bool {
    let family = CANDIDATES_IN_HEADS.first(name, 0);
    family.is_some_and(|(_, family)| family.meaning != Meaning::Message || family.stem != name)
}

/// Returns whether the gateway removes a trailer of this name: upstreams may add trailers to the
/// head.
#[must_use]
pub fn is_impersonation_in_trailers(name: &str) -> bool {
    CANDIDATES.first(name, 0).is_some()
}

/// Returns the meaning of a field of this name or of a twin, if it belongs to a family. Of several
/// families the narrowest counts, which stands last in the table.
#[must_use]
pub fn meaning(name: &str) -> Option<Meaning> {
    let mut narrowest = None;
    let mut from = 0;
    while let Some((index, family)) = CANDIDATES.first(name, from) {
        narrowest = Some(family.meaning);
        from = index + 1;
    }
    narrowest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of `docs/traffic.md` for each meaning.
    const ROWS: [(Meaning, &str); 9] = [
        (
            Meaning::Origin,
            "where the request came from; the gateway writes what it saw, and keeps what a trusted \
             proxy says as [above](#forwarding-fields-and-trusted-proxies)",
        ),
        (
            Meaning::Vouched,
            "what else a proxy vouches for, such as a user or a group; for claims",
        ),
        (
            Meaning::Override,
            "another method, path or host than the one that was authorized",
        ),
        (Meaning::Certificate, "a client certificate; for claims"),
        (
            Meaning::ProxyVariable,
            "`HTTP_PROXY` of CGI programs (httpoxy)",
        ),
        (
            Meaning::RequestId,
            "the id of the request; a client's is kept if it is one that can be logged as it is",
        ),
        (
            Meaning::Framing,
            "where a body ends; the gateway frames it anew",
        ),
        (
            Meaning::Connection,
            "one connection (RFC 9110, section 7.6.1); the gateway writes its own, such as \
             `TE: trailers`",
        ),
        (
            Meaning::Message,
            "the message itself: these names pass in the head by the rules for each; other \
             spellings, and trailers, are removed",
        ),
    ];

    fn table() -> String {
        let mut text = "| fields | what an upstream reads in them |\n|---|---|\n".to_owned();
        for (meaning, says) in ROWS {
            let pattern = |family: &Family| {
                format!(
                    "`{}{}`",
                    family.stem,
                    if family.is_prefix { "*" } else { "" }
                )
            };
            let names: Vec<_> = FAMILIES
                .iter()
                .filter(|family| family.meaning == meaning)
                .map(pattern)
                .collect();
            text += &format!("| {} | {says} |\n", names.join(", "));
        }
        text
    }

    #[test]
    fn the_page_about_traffic_has_this_table() {
        let page = include_str!("../../docs/traffic.md");
        assert!(
            page.contains(&table()),
            "put this table into docs/traffic.md:\n{}",
            table()
        );
    }

    #[test]
    fn every_family_is_found_in_every_spelling() {
        for family in FAMILIES {
            for separator in "!#$%&'*+-.^_`|~".chars() {
                let name = family.stem.replace('-', &separator.to_string());
                let is_itself = family.meaning == Meaning::Message && name == family.stem;
                assert_eq!(is_impersonation(&name), !is_itself, "{name}");
                assert!(is_impersonation_in_trailers(&name), "{name}");
                assert!(meaning(&name).is_some(), "{name}");
                let longer = format!("{name}more");
                let is_covered = FAMILIES
                    .iter()
                    .any(|other| other.is_prefix && other.holds(&longer));
                assert_eq!(meaning(&longer).is_some(), is_covered, "{longer}");
            }
            assert_eq!(meaning(family.stem), Some(family.meaning), "{family:?}");
        }
    }

    #[test]
    fn a_wide_family_stands_first() {
        for (index, family) in FAMILIES
            .iter()
            .enumerate()
            .filter(|(_, family)| family.is_prefix)
        {
            let before = FAMILIES.iter().take(index);
            let covered: Vec<_> = before.filter(|other| family.holds(other.stem)).collect();
            assert!(covered.is_empty(), "{family:?} after {covered:?}");
        }
    }

    #[test]
    fn the_names_of_the_table_mean_what_they_say() {
        for (name, expected) in [
            ("x-forwarded-for", Meaning::Origin),
            ("x-forwarded-user", Meaning::Vouched),
            ("x.forwarded.preferred.username", Meaning::Vouched),
            ("x-forwarded-uri", Meaning::Override),
            ("x-forwarded-client-cert", Meaning::Certificate),
            ("x-forwarded-tls-client-cert-info", Meaning::Certificate),
            ("x-original-anything", Meaning::Override),
            ("x_rewrite_uri", Meaning::Override),
            ("x-ssl-client-cn", Meaning::Certificate),
            ("client-cert-chain", Meaning::Certificate),
            ("x-client-certificate", Meaning::Certificate),
            ("proxy", Meaning::ProxyVariable),
            ("script_name", Meaning::Override),
        ] {
            assert_eq!(meaning(name), Some(expected), "{name}");
        }
        for name in [
            "",
            "x",
            "x-",
            "-",
            "accept",
            "x-forwarded",
            "x-original",
            "xforwarded-for",
            "x-real-ips",
            "proxy-",
            "ssl-client",
            "client-cer",
            "x-user-id",
            "remote-user",
            "expected",
            "hosts",
            "cookie2",
            "user-agent",
        ] {
            assert_eq!(meaning(name), None, "{name}");
        }
        assert!(!is_impersonation("content-type") && is_impersonation("content_type"));
    }
}
