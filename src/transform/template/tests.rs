//! Tests of templates: what is a reference, and that no value leaves its place.

use std::borrow::Cow;

use http::HeaderName;

use super::*;

/// A request with one value of each kind.
struct Request(Vec<(Reference, Value<'static>)>);

impl Facts for Request {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        let found = self.0.iter().find(|(own, _)| own == reference);
        found.map(|(_, value)| value.clone())
    }
}

fn parameter(name: &str) -> Reference {
    Reference::Parameter {
        name: name.into(),
        is_open: false,
    }
}

fn text(text: &'static str) -> Value<'static> {
    Value::Text(Cow::Borrowed(text.as_bytes()))
}

fn references(text: &str, place: &Place) -> Vec<String> {
    let template = Template::parse(text, place).unwrap();
    let mut references = Vec::new();
    for (reference, at) in template.references() {
        assert_eq!(reference.to_string(), text[at.clone()], "{text}");
        references.push(reference.to_string());
    }
    references
}

fn fault(text: &str, place: &Place) -> (String, String) {
    let error = Template::parse(text, place).unwrap_err();
    (text[error.at.clone()].to_owned(), error.to_string())
}

/// Returns `a${claim:x}b` with this value.
fn rendered(escape: Escape, value: Value<'static>) -> Option<String> {
    let template = Template::parse("a${claim:x}b", &Place::REQUEST).unwrap();
    let request = Request(vec![(Reference::Claim("x".into()), value)]);
    template.render(escape, &request).ok()
}

/// Returns the value between `a` and `b`.
fn written(escape: Escape, value: Value<'static>) -> String {
    let text = rendered(escape, value).unwrap();
    let inside = text.strip_prefix('a').unwrap().strip_suffix('b');
    inside.unwrap().to_owned()
}

#[test]
fn a_reference_names_its_source() {
    let all = "${a}${A_1}${request_id}${claim:sub}${claim:cognito:groups}\
               ${claim:realm_access.roles}${header:x-a}${query:a b}{id}{rest+}{a-b}";
    let found = references(all, &Place::REQUEST);
    let expected = [
        "${a}",
        "${A_1}",
        "${request_id}",
        "${claim:sub}",
        "${claim:cognito:groups}",
        "${claim:realm_access.roles}",
        "${header:x-a}",
        "${query:a b}",
        "{id}",
        "{rest+}",
        "{a-b}",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_reference_is_text() {
    for (text, expected) in [
        ("", ""),
        ("$", "$"),
        ("$5 and $$5", "$5 and $5"),
        ("$${a}", "${a}"),
        ("$$$$", "$$"),
        ("$$$", "$$"),
        ("{}", "{}"),
        ("{", "{"),
        ("{ id }", "{ id }"),
        ("{\"id\": {\"a\": 1}}", "{\"id\": {\"a\": 1}}"),
        ("{a.b}", "{a.b}"),
        ("{a++}", "{a++}"),
        ("{+}", "{+}"),
        ("é{ü}$", "é{ü}$"),
        ("}", "}"),
    ] {
        let template = Template::parse(text, &Place::REQUEST).unwrap();
        assert_eq!(template.literal(), Some(expected), "{text}");
    }
    // Where no parameter may stand, braces are text.
    for place in [&Place::SETTING, &Place::BODY, &Place::ERROR] {
        let template = Template::parse("{id} {rest+}", place).unwrap();
        assert_eq!(template.literal(), Some("{id} {rest+}"));
    }
}

#[test]
fn nested_braces_are_read_from_the_inside() {
    assert_eq!(references("{{id}}", &Place::REQUEST), ["{id}"]);
    assert_eq!(references("$${${a}}", &Place::REQUEST), ["${a}"]);
    assert_eq!(references("$$${a}", &Place::REQUEST), ["${a}"]);
}

#[test]
fn an_error_says_where_and_what() {
    let place = &Place::REQUEST;
    for (text, at, words) in [
        ("x ${a", "${", "without \"}\""),
        ("x ${}", "${}", "is no reference"),
        ("x ${a-b} y", "${a-b}", "is no reference"),
        ("é ${a b}", "${a b}", "is no reference"),
        ("${claim:}", "${claim:}", "is no reference"),
        ("${header:a b}", "${header:a b}", "is no reference"),
        ("${header:}", "${header:}", "is no reference"),
        ("${query:a\nb}", "${query:a\nb}", "is no reference"),
        ("${claims:sub}", "${claims:sub}", "\"claims:\" is no source"),
        ("${Claim:sub}", "${Claim:sub}", "\"Claim:\" is no source"),
        ("${:sub}", "${:sub}", "is no source"),
        ("${reason}", "${reason}", "\"${reason}\" cannot stand here"),
    ] {
        let (found, message) = fault(text, place);
        assert_eq!(found, at, "{text}");
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn a_place_takes_its_own_references_alone() {
    let (_, message) = fault("${claim:sub}", &Place::SETTING);
    assert_eq!(
        message,
        "\"${claim:sub}\" cannot stand here; this place takes ${variable}"
    );
    for text in ["${header:x}", "${reason}", "${route}"] {
        assert!(Template::parse(text, &Place::BODY).is_err(), "{text}");
    }
    for text in ["${header:x}", "${query:x}", "${detail}"] {
        assert!(Template::parse(text, &Place::RESPONSE).is_err(), "{text}");
    }
    for text in ["${header:x}", "${query:x}", "{id}", "${pool}"] {
        assert!(Template::parse(text, &Place::RESPOND).is_ok(), "{text}");
    }
    let error = "${reason} ${route} ${detail} ${request_id}";
    assert!(Template::parse(error, &Place::ERROR).is_ok());
    assert!(Template::parse("${pool}", &Place::ERROR).is_err());
    assert!(Template::parse(error, &Place::ERROR_FIELD).is_ok());
    assert!(Template::parse("${pool}", &Place::ERROR_FIELD).is_ok());
    for text in ["${claim:sub}", "${header:x}", "${query:x}"] {
        assert!(
            Template::parse(text, &Place::ERROR_FIELD).is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_variable_is_filled_in_once() {
    let template = Template::parse("-${a}${b}{id}", &Place::REQUEST).unwrap();
    let filled = template.filled(|name| (name == "a").then_some("${b}{id}$$"));
    let left: Vec<_> = filled.references().map(|(name, _)| name.clone()).collect();
    assert_eq!(left, [Reference::Variable("b".into()), parameter("id")]);
    assert_eq!(filled.texts().collect::<Vec<_>>(), ["-${b}{id}$$"]);
    let whole = Template::parse("x${a}y", &Place::SETTING).unwrap();
    assert_eq!(whole.filled(|_| Some("${a}")).literal(), Some("x${a}y"));
    assert_eq!(whole.filled(|_| Some("")).literal(), Some("xy"));
    // A variable that was not filled in has no value.
    let facts = Request(Vec::new());
    assert!(whole.render(Escape::Header, &facts).is_err());
}

#[test]
fn reserved_names_are_no_variables_in_any_case() {
    for name in ["request_id", "Request_ID", "reason", "ROUTE", "detail"] {
        assert!(is_reserved(name), "{name}");
    }
    assert!(!is_reserved("requestid") && !is_reserved("pool"));
}

#[test]
fn values_stand_between_the_text_of_the_template() {
    let facts = Request(vec![
        (Reference::RequestId, text("r1")),
        (parameter("id"), Value::Path("a%20b")),
        (
            Reference::Header(HeaderName::from_static("x-a")),
            Value::Field(b"1, 2"),
        ),
    ]);
    let template = Template::parse("<${request_id}|{id}|${header:x-a}>", &Place::REQUEST).unwrap();
    let shown = template.render(Escape::Header, &facts);
    assert_eq!(shown.as_deref(), Ok("<r1|a b|1, 2>"));
    let template = Template::parse("${request_id}${claim:sub}", &Place::REQUEST).unwrap();
    let absent = Reference::Claim("sub".into());
    assert_eq!(
        template.render(Escape::Header, &facts),
        Err(RenderError::Absent(&absent))
    );
}

#[test]
fn no_value_ends_a_header_field() {
    for (value, expected) in [
        ("a b", "a b"),
        ("a\r\nx: y\0%é", "a%0D%0Ax: y%00%25%C3%A9"),
        ("Doe, John", "Doe%2C John"),
        (" a ", "%20a%20"),
        ("  ", "%20%20"),
        ("", ""),
    ] {
        assert_eq!(written(Escape::Header, text(value)), expected, "{value:?}");
    }
    let items = vec![Cow::Borrowed(&b"a,b"[..]), Cow::Borrowed(b" c")];
    assert_eq!(written(Escape::Header, Value::List(items)), "a%2Cb,%20c");
    // The value of a field is copied, so that a user agent stays one.
    let agent = Value::Field(b"Mozilla (KHTML, 5%)\t\xe9");
    assert_eq!(written(Escape::Header, agent), "Mozilla (KHTML, 5%)%09%E9");
}

#[test]
fn a_value_is_one_segment_of_a_path() {
    for (value, expected) in [
        ("a b", "a%20b"),
        ("a/b?c#d;e\\%2F", "a%2Fb%3Fc%23d%3Be%5C%252F"),
        ("é", "%C3%A9"),
        ("-._~", "-._~"),
        ("...", "..."),
        (" ", "%20"),
    ] {
        assert_eq!(written(Escape::Path, text(value)), expected, "{value:?}");
    }
    for value in ["", ".", "..", "a\nb", "\0", "\u{7f}"] {
        assert_eq!(rendered(Escape::Path, text(value)), None, "{value:?}");
        assert_eq!(rendered(Escape::Url, text(value)), None, "{value:?}");
    }
    // A part of the request's path stays as it came.
    for path in ["a%20b", "a/b/", "a%2Fb;c=d", "", "é", "a//b"] {
        assert_eq!(written(Escape::Path, Value::Path(path)), path);
    }
    for path in [".", "..", "%2e%2E", "a/../b", "a%00", "a%0A", "a\n"] {
        assert_eq!(rendered(Escape::Path, Value::Path(path)), None, "{path:?}");
        for name in ["location", "refresh"] {
            assert_eq!(field(name, "/{rest}", path), None, "{path:?}");
        }
    }
}

#[test]
fn a_value_does_not_leave_its_component_of_a_url() {
    let location = HeaderName::from_static("location");
    assert_eq!(Escape::of_field(&location), Escape::Url);
    assert_eq!(
        Escape::of_field(&HeaderName::from_static("x-a")),
        Escape::Header
    );
    for (value, expected) in [
        (text("evil.example?"), "evil.example%3F"),
        (text("//evil"), "%2F%2Fevil"),
        (Value::Path("a:b"), "a%3Ab"),
    ] {
        assert_eq!(written(Escape::Url, value), expected);
    }
}

/// Returns the value of a field for a path.
fn field(name: &'static str, text: &str, path: &'static str) -> Option<String> {
    let facts = Request(vec![(parameter("rest"), Value::Path(path))]);
    let template = Template::parse(text, &Place::RESPONSE).unwrap();
    let escape = Escape::of_field(&HeaderName::from_static(name));
    template.render(escape, &facts).ok()
}

#[test]
fn no_path_begins_another_part_of_a_field() {
    for (name, text, path, expected) in [
        ("location", "/{rest}", "a%3Fb/c,d;e", Some("/a%3Fb/c,d;e")),
        ("location", "/{rest}", "é", Some("/%C3%A9")),
        ("location", "/{rest}", "", Some("/")),
        (
            "location",
            "https://a.test/{rest}",
            "b/c",
            Some("https://a.test/b/c"),
        ),
        ("location", "/x?{rest}", "a&b=c", Some("/x?a%26b%3Dc")),
        ("location", "https://a.test{rest}", ".b/c@d", None),
        ("location", "//{rest}", "b/c", None),
        ("location", "{rest}", "a:b/c", Some("a%3Ab%2Fc")),
        ("location", "/{rest}", "/evil.test", None),
        ("location", "/{rest}", "a\\evil.test", None),
        ("location", "/{rest}/x", "", None),
        (
            "location",
            "https://a.test/{rest}/x",
            "",
            Some("https://a.test//x"),
        ),
        ("content-location", "/{rest}", "/evil.test", None),
        ("x-accel-redirect", "/{rest}", "/evil", None),
        ("refresh", "0; url=/{rest}", "a/b=c", Some("0; url=/a/b=c")),
        (
            "refresh",
            "0; url=/{rest}",
            "a;b,c",
            Some("0; url=/a%3Bb%2Cc"),
        ),
        (
            "refresh",
            "0; url='/{rest}'",
            "a'b\"c",
            Some("0; url='/a%27b%22c'"),
        ),
        ("refresh", "0; url={rest}", "a:b", Some("0; url=a%3Ab")),
        ("refresh", "0; url=/{rest}", "/evil.test", None),
        ("refresh", "0; url=/{rest}/x", "", None),
        (
            "link",
            "</{rest}>; rel=next",
            "a/b",
            Some("</a/b>; rel=next"),
        ),
        (
            "link",
            "</{rest}>; rel=next",
            "a>;<b",
            Some("</a%3E%3B%3Cb>; rel=next"),
        ),
        (
            "link",
            "</x>; title={rest}",
            "a;b",
            Some("</x>; title=a%3Bb"),
        ),
        ("link", "</{rest}>", "/evil.test", None),
        ("link", "</{rest}>", "\\evil.test", None),
        (
            "set-cookie",
            "t={rest}",
            "a;Domain=b",
            Some("t=a%3BDomain%3Db"),
        ),
        (
            "set-cookie",
            "t={rest}; Path=/{rest}",
            "a%3Bb/c",
            Some("t=a%3Bb%2Fc; Path=/a%3Bb%2Fc"),
        ),
        ("set-cookie", "t={rest}", "a%0A", None),
        ("cookie", "t={rest}", "a; b", Some("t=a%3B%20b")),
    ] {
        let found = field(name, text, path);
        assert_eq!(found.as_deref(), expected, "{name}: {text} {path}");
    }
}

#[test]
fn the_host_behind_a_scheme_is_an_authority_and_nothing_else() {
    let host = |text: &str, value: &'static [u8]| {
        let facts = Request(vec![(Reference::Header(HOST), Value::Field(value))]);
        let template = Template::parse(text, &Place::RESPOND).unwrap();
        template.render(Escape::Url, &facts).ok()
    };
    for value in [
        "a.test",
        "a_b.test:8443",
        "192.0.2.1:1",
        "[2001:db8::1]",
        "[::1]:443",
    ] {
        let expected = format!("https://{value}/");
        assert_eq!(
            host("https://${header:host}/", value.as_bytes()),
            Some(expected)
        );
    }
    for value in [
        "", ":80", "a:", "a:b", "a:65536", "a:+1", "a@b", "a/b", "a?b", "a#b", "a\\b", "a%2Fb",
        "[::1", "[::1]a", "[a]", "::1", "a b", "é", "a:1:2",
    ] {
        assert_eq!(
            host("https://${header:host}/", value.as_bytes()),
            None,
            "{value}"
        );
    }
    // Elsewhere it is a value as any other.
    assert_eq!(host("/${header:host}", b"a:1").as_deref(), Some("/a%3A1"));
}

#[test]
fn a_value_is_one_value_of_a_form() {
    for (value, expected) in [
        ("a b", "a+b"),
        ("a+b&c=d#%", "a%2Bb%26c%3Dd%23%25"),
        ("é\n", "%C3%A9%0A"),
        ("*-._~", "*-._%7E"),
        ("", ""),
    ] {
        assert_eq!(written(Escape::Form, text(value)), expected, "{value:?}");
    }
    assert_eq!(
        written(Escape::Form, Value::Path("a%20b%2B/c")),
        "a+b%2B%2Fc"
    );
}

#[test]
fn a_value_stays_in_its_string_of_json() {
    let value = Value::Text(Cow::Borrowed(b"\"}\\\n\x01\xff\xc3\xa9</script>"));
    let json = format!("\"{}\"", written(Escape::Json, value));
    let parsed: String = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed, "\"}\\\n\u{1}\u{fffd}é</script>");
}

#[test]
fn a_value_is_text_in_html_and_has_no_controls_elsewhere() {
    let value = text("<a href='x' b=\"y\">&\r\né");
    assert_eq!(
        written(Escape::Html, value),
        "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;é"
    );
    assert_eq!(
        written(Escape::Plain, text("a\r\n\tb\u{85}\u{7f}<é")),
        "ab<é"
    );
}

/// Returns pieces of which values are made: what ends a place, and what begins a reference.
fn pieces() -> Vec<String> {
    let text = include_str!("../../../tests/vectors/template_pieces.json");
    serde_json::from_str(text).unwrap()
}

// All values of up to three of these pieces, in every place.
#[test]
fn no_value_leaves_its_place_or_is_read_as_a_template() {
    let mut values = vec![String::new()];
    let pieces = pieces();
    for first in &pieces {
        values.push(first.clone());
        for second in &pieces {
            values.push(format!("{first}{second}"));
            values.extend(pieces.iter().map(|third| format!("{first}{second}{third}")));
        }
    }
    let template = Template::parse("a${claim:x}b", &Place::REQUEST).unwrap();
    for value in values {
        let bytes = value.clone().into_bytes();
        let facts = Request(vec![(
            Reference::Claim("x".into()),
            Value::Text(bytes.into()),
        )]);
        let render = |escape| template.render(escape, &facts).ok();
        let field = render(Escape::Header).unwrap();
        assert!(field.bytes().all(|b| matches!(b, b' '..=b'~')), "{value:?}");
        assert!(!field.contains(','), "{value:?}");
        if let Some(path) = render(Escape::Path) {
            let decoded = percent_encoding::percent_decode_str(&path);
            assert_eq!(decoded.decode_utf8().unwrap(), format!("a{value}b"));
            assert!(!path.contains(['/', '?', '#', ';', '\\']), "{value:?}");
        }
        let form = render(Escape::Form).unwrap();
        assert!(!form.contains(['&', '=', '#', ';', ' ']), "{value:?}");
        let json = format!("\"{}\"", render(Escape::Json).unwrap());
        let parsed: String = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed, format!("a{value}b"));
        assert!(!render(Escape::Html).unwrap().contains(['<', '"', '\'']));
        assert!(!render(Escape::Plain).unwrap().contains(char::is_control));
    }
}

#[test]
fn no_value_continues_a_host() {
    let rest = |template: &str, escape: Escape, value: Value<'static>| {
        let template = Template::parse(template, &Place::RESPONSE).unwrap();
        let reference = Reference::Parameter {
            name: "rest".into(),
            is_open: false,
        };
        let is_told = template.in_host(escape).is_some();
        let rendered = template.render(escape, &Request(vec![(reference, value)]));
        assert!(!is_told || rendered.is_err(), "{template:?}");
        rendered.ok()
    };
    for template in [
        "https://a.test{rest}",
        "https://{rest}",
        "https://{rest}/x",
        "https:{rest}",
        "https:/{rest}",
        "https:///{rest}",
        "https:\\{rest}",
        "HTTPS:{rest}",
        "//{rest}",
        "//a.test{rest}",
        "/\\{rest}",
        "\\\\{rest}",
        "custom://{rest}",
        "https://a.test:{rest}/",
        "https://a@{rest}",
    ] {
        for value in [".evil.test", "@evil.test", ":80", "evil.test"] {
            for value in [Value::Path(value), text(value)] {
                assert_eq!(
                    rest(template, Escape::Url, value.clone()),
                    None,
                    "{template}"
                );
                let refresh = format!("0; url={template}");
                assert_eq!(
                    rest(&refresh, Escape::Link, value.clone()),
                    None,
                    "{refresh}"
                );
                let link = format!("<{template}>; rel=next");
                assert_eq!(rest(&link, Escape::Link, value), None, "{link}");
            }
        }
    }
    for (template, expected) in [
        ("https://a.test/{rest}", "https://a.test/x"),
        ("https://a.test?a={rest}", "https://a.test?a=x"),
        ("https://a.test#{rest}", "https://a.test#x"),
        ("/{rest}", "/x"),
        ("{rest}", "x"),
        ("urn:orders:{rest}", "urn:orders:x"),
    ] {
        let found = rest(template, Escape::Url, Value::Path("x"));
        assert_eq!(found.as_deref(), Some(expected), "{template}");
        let link = rest(&format!("<{template}>"), Escape::Link, Value::Path("x"));
        assert_eq!(link, Some(format!("<{expected}>")), "{template}");
    }
}
