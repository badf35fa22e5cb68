use bytes::Bytes;
use http::HeaderMap;

use super::{Answer, AnswerError, AnswerLimits, EventFormat};

const LIMITS: AnswerLimits = AnswerLimits {
    field_bytes: 1000,
    fields: 10,
};

fn parse(format: EventFormat, text: &str) -> Result<Answer, AnswerError> {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    Answer::parse(&payload, false, format, LIMITS)
}

fn list(fields: &HeaderMap) -> Vec<(&str, &str)> {
    let mut list = Vec::new();
    for (name, value) in fields {
        list.push((name.as_str(), value.to_str().unwrap()));
    }
    list.sort_unstable();
    list
}

/// An answer of both formats.
fn both(text: &str) -> Answer {
    let rest = parse(EventFormat::Rest, text);
    assert_eq!(rest, parse(EventFormat::Http, text), "{text}");
    rest.unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn an_answer_becomes_a_response() {
    for (text, status, fields, body) in [
        (
            r#"{"statusCode":200,"body":"{\"a\":1}"}"#,
            200,
            &[("content-type", "application/json")][..],
            &br#"{"a":1}"#[..],
        ),
        (
            r#" {"statusCode":"404","headers":{"Content-Type":"text/plain","X-A":1.50,"x-b":true,"x-c":null},
               "body":null,"isBase64Encoded":false} "#,
            404,
            &[
                ("content-type", "text/plain"),
                ("x-a", "1.50"),
                ("x-b", "true"),
            ],
            b"",
        ),
        (
            r#"{"statusCode":200,"isBase64Encoded":true,"body":"/v8=","headers":{"content-type":"image/png"}}"#,
            200,
            &[("content-type", "image/png")],
            b"\xfe\xff",
        ),
        (
            r#"{"statusCode":200,"isBase64Encoded":true,"body":"/v8","headers":null}"#,
            200,
            &[("content-type", "application/json")],
            b"\xfe\xff",
        ),
        (
            r#"{"statusCode":302,"headers":{"Location":" /a ","Set-Cookie":"a=1"},
               "multiValueHeaders":{"set-cookie":["a=1","b=2"],"x-none":[],"x-null":null}}"#,
            302,
            &[
                ("content-type", "application/json"),
                ("location", "/a"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
            ],
            b"",
        ),
        (r#"{"statusCode":204}"#, 204, &[], b""),
        (r#"{"statusCode":204,"body":"a"}"#, 204, &[], b""),
        (r#"{"statusCode":205,"body":"a"}"#, 205, &[], b""),
        (r#"{"statusCode":304,"body":"a"}"#, 304, &[], b""),
        (
            r#"{"statusCode":204,"headers":{"Set-Cookie":"a=1","set-cookie":"b=2"}}"#,
            204,
            &[("set-cookie", "a=1"), ("set-cookie", "b=2")],
            b"",
        ),
        (
            r#"{"statusCode":206,"body":"a","headers":{"x-a":"\t b\tc "}}"#,
            206,
            &[("content-type", "application/json"), ("x-a", "b\tc")],
            b"a",
        ),
        (
            r#"{"statusCode":304,"headers":{"etag":"\"a\""}}"#,
            304,
            &[("etag", "\"a\"")],
            b"",
        ),
        (
            r#"{"statusCode":null,"body":"ä"}"#,
            200,
            &[("content-type", "application/json")],
            "ä".as_bytes(),
        ),
        (
            r#"{"statusCode":599,"headers":{"__proto__":"x"}}"#,
            599,
            &[("__proto__", "x"), ("content-type", "application/json")],
            b"",
        ),
    ] {
        let answer = both(text);
        assert_eq!(answer.status.as_u16(), status, "{text}");
        assert_eq!(list(&answer.fields), fields, "{text}");
        assert_eq!(&*answer.body, body, "{text}");
    }
}

#[test]
fn a_rest_answer_needs_no_status_and_no_body() {
    for text in ["{}", r#"{"headers":{}}"#, r#"{"isBase64Encoded":true}"#] {
        let answer = parse(EventFormat::Rest, text).unwrap();
        assert_eq!(
            (answer.status.as_u16(), &*answer.body),
            (200, &b""[..]),
            "{text}"
        );
    }
}

#[test]
fn in_format_2_a_value_without_a_status_is_the_body() {
    for text in [
        "null",
        r#""text""#,
        "5",
        "[1, 2]",
        "true",
        "{}",
        r#"{"message": "hello", "body": {}}"#,
        r#"{"headers":5,"errorType":"a"}"#,
    ] {
        let answer = parse(EventFormat::Http, &format!("\n{text} ")).unwrap();
        assert_eq!(answer.status.as_u16(), 200, "{text}");
        assert_eq!(
            list(&answer.fields),
            [("content-type", "application/json")],
            "{text}"
        );
        assert_eq!(&*answer.body, text.as_bytes());
    }
    let cookies = r#"{"statusCode":200,"cookies":["a=1; Secure","b=2"],"other":1}"#;
    let answer = parse(EventFormat::Http, cookies).unwrap();
    assert_eq!(
        list(&answer.fields),
        [
            ("content-type", "application/json"),
            ("set-cookie", "a=1; Secure"),
            ("set-cookie", "b=2"),
        ]
    );
}

fn mistyped(member: &'static str, expected: &'static str) -> AnswerError {
    AnswerError::Mistyped { member, expected }
}

#[test]
fn an_answer_of_another_form_is_refused_in_both_formats() {
    let fields = "an object of strings, numbers and booleans";
    let lists = "an object of lists of strings, numbers and booleans";
    let many: String = (0..11).map(|number| format!(",\"x-{number}\":1")).collect();
    let many = format!(r#"{{"statusCode":200,"headers":{{{}}}}}"#, &many[1..]);
    let long = format!(
        r#"{{"statusCode":200,"headers":{{"x":"{}"}}}}"#,
        "a".repeat(1000)
    );
    for (text, error) in [
        ("", AnswerError::NotJson),
        ("<html>", AnswerError::NotJson),
        (r#"{"statusCode":200"#, AnswerError::NotJson),
        (r#"{"statusCode":200} {}"#, AnswerError::NotJson),
        (r#"{"statusCode":200,}"#, AnswerError::NotJson),
        ("[1", AnswerError::NotJson),
        (r#"{"statusCode":199}"#, AnswerError::Status("199".into())),
        (r#"{"statusCode":600}"#, AnswerError::Status("600".into())),
        (r#"{"statusCode":"20x"}"#, AnswerError::Status("20x".into())),
        (
            r#"{"statusCode":200.5}"#,
            AnswerError::Status("200.5".into()),
        ),
        (r#"{"statusCode":-200}"#, AnswerError::Status("-200".into())),
        (
            r#"{"statusCode":65736}"#,
            AnswerError::Status("65736".into()),
        ),
        (
            r#"{"statusCode":[200]}"#,
            mistyped("statusCode", "a number"),
        ),
        (r#"{"statusCode":true}"#, mistyped("statusCode", "a number")),
        (
            r#"{"statusCode":200,"body":{"a":1}}"#,
            mistyped("body", "a string"),
        ),
        (
            r#"{"statusCode":200,"body":5}"#,
            mistyped("body", "a string"),
        ),
        (
            r#"{"statusCode":200,"isBase64Encoded":"yes"}"#,
            mistyped("isBase64Encoded", "true or false"),
        ),
        (
            r#"{"statusCode":200,"body":"*","isBase64Encoded":true}"#,
            AnswerError::Base64,
        ),
        (
            r#"{"statusCode":200,"headers":[]}"#,
            mistyped("headers", fields),
        ),
        (
            r#"{"statusCode":200,"headers":{"a":["b"]}}"#,
            mistyped("headers", fields),
        ),
        (
            r#"{"statusCode":200,"multiValueHeaders":{"a":"b"}}"#,
            mistyped("multiValueHeaders", lists),
        ),
        (
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            AnswerError::FieldName("a b".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"":"c"}}"#,
            AnswerError::FieldName("".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"A":"b\r\nset-cookie: c=1"}}"#,
            AnswerError::FieldValue("a".into()),
        ),
        (
            r#"{"statusCode":200,"multiValueHeaders":{"a":["b\u0000c"]}}"#,
            AnswerError::FieldValue("a".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"A":"b\n"}}"#,
            AnswerError::FieldValue("a".into()),
        ),
        (
            r#"{"statusCode":200,"multiValueHeaders":{"a":["\r\nb"]}}"#,
            AnswerError::FieldValue("a".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"A":"\fb"}}"#,
            AnswerError::FieldValue("a".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"Content-Type":"a","content-type":"b"}}"#,
            AnswerError::FieldTwice("content-type".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"a":"b","a":"b"}}"#,
            AnswerError::FieldTwice("a".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"A":"b","a":"c"},"multiValueHeaders":{"a":["b"]}}"#,
            AnswerError::FieldTwice("a".into()),
        ),
        (
            r#"{"statusCode":200,"multiValueHeaders":{"Content-Type":["a","b"]}}"#,
            AnswerError::FieldTwice("content-type".into()),
        ),
        (
            r#"{"statusCode":200,"multiValueHeaders":{"location":["a"],"Location":["a"]}}"#,
            AnswerError::FieldTwice("location".into()),
        ),
        (
            r#"{"statusCode":200,"headers":{"etag":"a"},"multiValueHeaders":{"ETag":["b"]}}"#,
            AnswerError::FieldTwice("etag".into()),
        ),
        (
            r#"{"statusCode":200,"statusCode":201}"#,
            AnswerError::Twice("statusCode"),
        ),
        (
            r#"{"statusCode":200,"body":"a","body":"b"}"#,
            AnswerError::Twice("body"),
        ),
        (&many, AnswerError::TooManyFields),
        (&long, AnswerError::FieldsTooLong),
    ] {
        for format in [EventFormat::Rest, EventFormat::Http] {
            assert_eq!(parse(format, text), Err(error.clone()), "{text}");
        }
    }
    let payload = Bytes::from_static(b"\xff");
    let parsed = Answer::parse(&payload, false, EventFormat::Http, LIMITS);
    assert_eq!(parsed, Err(AnswerError::NotJson));
}

#[test]
fn a_rest_answer_is_an_object_of_known_members() {
    for (text, error) in [
        ("null", AnswerError::NotAnObject("null")),
        ("\"text\"", AnswerError::NotAnObject("a string")),
        ("-5", AnswerError::NotAnObject("a number")),
        ("[]", AnswerError::NotAnObject("a list")),
        ("false", AnswerError::NotAnObject("a boolean")),
        (
            r#"{"statusCode":200,"status":1,"other":2}"#,
            AnswerError::UnknownMember("status".into()),
        ),
        (
            r#"{"statusCode":200,"cookies":[]}"#,
            AnswerError::UnknownMember("cookies".into()),
        ),
        (
            r#"{"errorMessage":"a"}"#,
            AnswerError::UnknownMember("errorMessage".into()),
        ),
    ] {
        assert_eq!(parse(EventFormat::Rest, text), Err(error), "{text}");
    }
    let cookies = r#"{"statusCode":200,"cookies":[1]}"#;
    let error = mistyped("cookies", "a list of strings");
    assert_eq!(parse(EventFormat::Http, cookies), Err(error));
}

#[test]
fn a_function_that_failed_has_no_answer() {
    let failed = |kind: Option<&str>, message: Option<&str>| AnswerError::Failed {
        kind: kind.map(Into::into),
        message: message.map(Into::into),
    };
    let error = r#"{"errorMessage":"no","errorType":"Error","stackTrace":["a"],"requestId":"b"}"#;
    let answer = r#"{"statusCode":200,"body":"a"}"#;
    for format in [EventFormat::Rest, EventFormat::Http] {
        // The runtime emulator states the error in the payload alone.
        let expected = failed(Some("Error"), Some("no"));
        assert_eq!(parse(format, error), Err(expected.clone()));
        for (payload, expected) in [
            (error, expected),
            (answer, failed(None, None)),
            ("", failed(None, None)),
            ("null", failed(None, None)),
            ("{", failed(None, None)),
            (r#"{"errorMessage":5}"#, failed(None, Some(""))),
        ] {
            let payload = Bytes::copy_from_slice(payload.as_bytes());
            let parsed = Answer::parse(&payload, true, format, LIMITS);
            assert_eq!(parsed, Err(expected));
        }
        // An answer that carries the members of an error by itself is an answer.
        let both = r#"{"statusCode":200,"errorType":"a","errorMessage":"b"}"#;
        match (format, parse(format, both)) {
            (EventFormat::Http, parsed) => assert!(parsed.is_ok()),
            (EventFormat::Rest, parsed) => {
                assert_eq!(parsed, Err(AnswerError::UnknownMember("errorType".into())));
            }
        }
    }
}

#[test]
fn the_log_has_the_beginning_of_a_functions_texts_in_one_line() {
    let long = "x\n".repeat(10_000);
    let error = serde_json::json!({ "errorType": long, "errorMessage": long }).to_string();
    let text = parse(EventFormat::Rest, &error).unwrap_err().to_string();
    assert!(text.len() < 700 && !text.contains('\n'), "{text}");
    let named = AnswerError::Failed {
        kind: Some("Runtime.ImportModuleError".into()),
        message: None,
    };
    assert_eq!(
        named.to_string(),
        "the function failed with \"Runtime.ImportModuleError\""
    );
    let name = AnswerError::FieldName("a\r\nb".into()).to_string();
    assert_eq!(
        name,
        "the function's answer cannot be forwarded: \"a\\r\\nb\" is no name of a header field"
    );
}

#[test]
fn an_answer_of_many_small_values_is_no_tree() {
    let text = format!("[{}0]", "0,".repeat(3_000_000));
    let answer = parse(EventFormat::Http, &text).unwrap();
    assert_eq!(answer.body.len(), text.len());
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    assert_eq!(
        parse(EventFormat::Http, &deep).unwrap().body.len(),
        2_000_000
    );
    let nested = format!(r#"{{"statusCode":200,"body":{deep}}}"#);
    assert_eq!(
        parse(EventFormat::Rest, &nested),
        Err(mistyped("body", "a string"))
    );
}

#[test]
fn no_change_of_a_byte_makes_an_answer_that_http_does_not_allow() {
    let answer = r#"{"statusCode":"200","headers":{"a":"b\t"},"multiValueHeaders":{"c":[1,null]},
                    "cookies":["d"],"body":"ZQ==","isBase64Encoded":true}"#;
    let mut parsed = 0;
    for at in 0..answer.len() {
        for byte in [
            b'"', b'{', b'}', b'[', b',', b':', b'\\', b'0', b'\n', b'\r', 0, 0x80, b'x',
        ] {
            let mut bytes = answer.as_bytes().to_vec();
            bytes[at] = byte;
            for payload in [
                Bytes::from(bytes.clone()),
                Bytes::from(bytes[..at].to_vec()),
            ] {
                for format in [EventFormat::Rest, EventFormat::Http] {
                    let Ok(answer) = Answer::parse(&payload, false, format, LIMITS) else {
                        continue;
                    };
                    parsed += 1;
                    assert!((200..600).contains(&answer.status.as_u16()));
                    for value in answer.fields.values() {
                        assert!(!value.as_bytes().contains(&b'\n'));
                    }
                }
            }
        }
    }
    assert!(parsed > 0, "no change left an answer");
}
