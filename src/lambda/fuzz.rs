//! Fuzz target: the answers of functions.

use bytes::Bytes;
use http::header::SET_COOKIE;
use serde_json::Value;

use super::{Answer, AnswerLimits, EventFormat};
use crate::fuzz::check;

const LIMITS: AnswerLimits = AnswerLimits {
    field_bytes: 512,
    fields: 16,
};

#[test]
fn lambda_answer() {
    check("lambda_answer", |input| {
        let Some((bits, rest)) = input.split_first() else {
            return;
        };
        let (is_error, format) = (
            bits & 1 == 1,
            match bits & 2 {
                0 => EventFormat::Rest,
                _ => EventFormat::Http,
            },
        );
        let payload = Bytes::copy_from_slice(rest);
        match Answer::parse(&payload, is_error, format, LIMITS) {
            Ok(answer) => {
                assert!(!is_error);
                is_within_limits(&answer);
                let value: Value =
                    serde_json::from_slice(rest.trim_ascii()).expect("only JSON is an answer");
                is_what_it_says(&answer, &value, format, rest);
            }
            Err(error) => {
                let message = error.to_string();
                assert!(!message.is_empty() && message.len() < 2048);
                assert!(!message.contains(char::is_control), "{message:?}");
            }
        }
    });
}

fn is_within_limits(answer: &Answer) {
    assert!((200..=599).contains(&answer.status.as_u16()));
    // One more than the limit: the content type of an answer that states none.
    assert!(answer.fields.len() <= LIMITS.fields + 1);
    let bytes = answer
        .fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    assert!(bytes.sum::<usize>() <= LIMITS.field_bytes + "content-typeapplication/json".len());
}

/// The status, the body and the fields are those that another parser of JSON finds.
fn is_what_it_says(answer: &Answer, value: &Value, format: EventFormat, payload: &[u8]) {
    let is_object = value.is_object();
    let stated = &value["statusCode"];
    if !is_object
        || format == EventFormat::Http && stated.is_null() && value.get("statusCode").is_none()
    {
        assert_eq!(format, EventFormat::Http);
        assert_eq!(
            (answer.status.as_u16(), &*answer.body),
            (200, payload.trim_ascii())
        );
        return;
    }
    let status = match stated {
        Value::Null => 200.to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    assert_eq!(
        status.parse().ok(),
        Some(answer.status.as_u16()),
        "{status}"
    );
    let has_content = !matches!(answer.status.as_u16(), 204 | 205 | 304);
    if !has_content {
        assert!(answer.body.is_empty());
    } else if value["isBase64Encoded"] != true {
        assert_eq!(
            &*answer.body,
            value["body"].as_str().unwrap_or_default().as_bytes()
        );
    }
    for cookie in value["cookies"].as_array().into_iter().flatten() {
        let cookie = cookie.as_str().unwrap().trim_matches([' ', '\t']);
        let mut cookies = answer.fields.get_all(SET_COOKIE).iter();
        assert!(
            cookies.any(|own| own.as_bytes() == cookie.as_bytes()),
            "{cookie}"
        );
    }
    for (name, text) in value["headers"].as_object().into_iter().flatten() {
        if let Some(text) = text.as_str() {
            let mut own = answer.fields.get_all(name).iter();
            let text = text.trim_matches([' ', '\t']);
            assert!(own.any(|own| own.as_bytes() == text.as_bytes()), "{name}");
        }
    }
}
