//! The escapes by which a value is written into its place, so that no client can end the place or
//! begin another.

use std::borrow::Cow;

use http::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::url;

/// The value of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'f> {
    /// A text, which need not be UTF-8.
    Text(Cow<'f, [u8]>),
    /// The items of a list, which are joined by commas.
    List(Vec<Cow<'f, [u8]>>),
    /// The value of a header field.
    Field(&'f [u8]),
    /// A part of the path of the request, percent-encoded as it came.
    Path(&'f str),
    /// The query of the request, as it came.
    Query(&'f str),
}

/// The rule by which values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// A header value, as `forward` writes claims: characters that are not visible ASCII are
    /// percent-encoded as UTF-8, and so are `%`, `,`, and blanks at both ends. Different texts have
    /// different values. The value of a header field keeps its `%` and `,`.
    Header,
    /// A URL that is the whole header value, such as that of `Location`. A value is one segment. A
    /// part of the request's path stays as it came, if it stands in the path of the URL, and does
    /// not fit if it could begin a host there. `${header:host}` directly behind `://` is an
    /// authority.
    Url,
    /// A URL between other texts of a header value, such as that of `Link`: as [`Escape::Url`], and
    /// the characters that end such a URL are percent-encoded.
    Link,
    /// A part of a cookie: one percent-encoded segment, for a part of the request's path as well.
    Cookie,
    /// One segment of a path, percent-encoded. A part of the request's path stays as it came. A
    /// segment that is empty, `.`, `..`, or has a control character does not fit.
    Path,
    /// The value of a parameter of a query (`application/x-www-form-urlencoded`). The query of the
    /// request stays as it came.
    Form,
    /// The content of a string of JSON. Bytes that are not UTF-8 become U+FFFD, here and below.
    Json,
    /// Text of HTML, also inside a quoted attribute.
    Html,
    /// The text without its control characters.
    Plain,
}

/// The characters of a path's segment that are not `unreserved` (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The characters that a form's value percent-encodes; a blank becomes `+`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b' ');

/// The characters of a query that some reader takes for the end of its URL (RFC 3986 §3.4).
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The characters that end a URL between other texts.
const LINK: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b',')
    .add(b';');

impl Escape {
    /// Returns the rule for the values in a header field of this name: most fields hold a text, and
    /// some hold a URL or a cookie, in which a value must not begin another component.
    #[must_use]
    pub fn of_field(name: &HeaderName) -> Self {
        match name.as_str() {
            "location" | "content-location" | "x-accel-redirect" | "x-sendfile" => Self::Url,
            "refresh" | "link" => Self::Link,
            "cookie" | "set-cookie" => Self::Cookie,
            _ => Self::Header,
        }
    }

    /// Returns the rule for the values in a body of this content type.
    #[must_use]
    pub fn of_content(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
        match subtype {
            "json" => Self::Json,
            "html" | "xml" => Self::Html,
            _ if subtype.ends_with("+json") => Self::Json,
            _ if subtype.ends_with("+xml") => Self::Html,
            _ => Self::Plain,
        }
    }

    /// Appends a value. Returns `false`, and may have appended a part, if it does not fit.
    pub(super) fn write(self, out: &mut String, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Header, Value::Field(bytes)) => push_field(out, bytes),
            (Self::Header, Value::List(items)) => push_items(out, items),
            (Self::Header, _) => push_strict(out, &value.bytes()),
            (Self::Path, Value::Path(path)) => {
                out.push_str(path);
                return is_fit_path(path);
            }
            (Self::Url, Value::Path(path)) if url::is_in_path(out) => {
                push_field(out, path.as_bytes());
                return is_fit_path(path) && url::is_plain(path);
            }
            (Self::Link, Value::Path(path)) if url::is_in_path(url::last(out)) => {
                out.extend(percent_encode(path.as_bytes(), LINK));
                return is_fit_path(path) && url::is_plain(path);
            }
            (Self::Path | Self::Url | Self::Link | Self::Cookie, _) => {
                let bytes = value.bytes();
                out.extend(percent_encode(&bytes, SEGMENT));
                return is_fit(&bytes);
            }
            (Self::Form, Value::Query(query)) => {
                out.extend(percent_encode(query.as_bytes(), QUERY));
            }
            (Self::Form, _) => push_form(out, &value.bytes()),
            (Self::Json, _) => push_json(out, &value.text()),
            (Self::Html, _) => push_html(out, &value.text()),
            (Self::Plain, _) => out.extend(value.text().chars().filter(|c| !c.is_control())),
        }
        true
    }

    /// Returns whether `${header:host}` behind this text is the host of a URL.
    pub(super) fn takes_authority(self, out: &str) -> bool {
        let url = self.url(out);
        out.ends_with("//") && url.is_some_and(|url| url::authority(url) == Some(""))
    }

    /// Returns whether a value behind this text would be a part of the host of a URL.
    pub(super) fn is_in_authority(self, out: &str) -> bool {
        self.url(out).is_some_and(url::is_in_authority)
    }

    /// Returns the URL that is being written.
    fn url(self, out: &str) -> Option<&str> {
        match self {
            Self::Url => Some(out),
            Self::Link => Some(url::last(out)),
            _ => None,
        }
    }

    /// Returns whether the text is, or ends with, the first slash of a URL without a host.
    pub(super) fn is_at_root(self, out: &str) -> bool {
        match self {
            Self::Url => out == "/",
            Self::Link => url::last(out) == "/",
            _ => false,
        }
    }
}

impl Escape {
    /// Returns a text as the value of a parameter of a query.
    pub(in crate::transform) fn form(text: &str) -> String {
        let mut out = String::new();
        push_form(&mut out, text.as_bytes());
        out
    }
}

impl Value<'_> {
    /// Appends the value as the host of a URL, with its port. Returns `false` if it is none.
    pub(super) fn write_authority(&self, out: &mut String) -> bool {
        let text = self.text();
        out.push_str(&text);
        url::is_authority(&text)
    }

    /// Returns the decoded value, the items of a list joined by commas.
    fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Field(bytes) => Cow::Borrowed(bytes),
            Self::Query(query) => Cow::Borrowed(query.as_bytes()),
            Self::Path(path) => percent_decode_str(path).into(),
            Self::List(items) => items.join(&b',').into(),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// Returns whether a decoded text is a segment that every reader takes for one.
fn is_fit(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..") && !segment.iter().any(u8::is_ascii_control)
}

/// Returns whether each segment of a raw part of a path is one. A part with an open end may end in
/// a slash.
fn is_fit_path(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').all(|segment| {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        !matches!(&*decoded, b"." | b"..") && !decoded.iter().any(u8::is_ascii_control)
    })
}

fn push_byte(out: &mut String, byte: u8, is_kept: bool) {
    if is_kept {
        out.push(char::from(byte));
    } else {
        out.extend(percent_encode(&[byte], NON_ALPHANUMERIC));
    }
}

/// Appends the value of a field; what is neither visible ASCII nor a blank is percent-encoded.
fn push_field(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        push_byte(out, *byte, matches!(byte, b' '..=b'~'));
    }
}

fn push_items(out: &mut String, items: &[Cow<'_, [u8]>]) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_strict(out, item);
    }
}

/// Appends a text so that different texts, and different lists of them, have different values.
fn push_strict(out: &mut String, bytes: &[u8]) {
    let leading = bytes.len() - bytes.trim_ascii_start().len();
    let trailing = bytes.trim_ascii_end().len();
    for (index, byte) in bytes.iter().enumerate() {
        let is_inside = (leading..trailing).contains(&index);
        let is_kept = match byte {
            b'%' | b',' => false,
            b' ' => is_inside,
            _ => byte.is_ascii_graphic(),
        };
        push_byte(out, *byte, is_kept);
    }
}

fn push_form(out: &mut String, bytes: &[u8]) {
    for part in percent_encode(bytes, FORM) {
        out.push_str(&part.replace(' ', "+"));
    }
}

fn push_json(out: &mut String, text: &str) {
    let quoted = serde_json::Value::from(text).to_string();
    let inside = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    out.push_str(inside.unwrap_or_default());
}

fn push_html(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}
