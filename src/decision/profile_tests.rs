//! What holds for the answers of every profile.

use bytes::Bytes;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};

use super::{Cause, Reason, Refusal, answer, aws_http, aws_rest};
use crate::config::{Config, ErrorProfile};
use crate::policy::Denial;
use crate::snapshot::Snapshot;
use crate::telemetry::{Label as _, Metrics};
use crate::token::fixture::{FOUND, WANTED, is_unverified, token_errors};
use crate::token::{Malformation, TokenError};

const PROFILES: [ErrorProfile; 3] = [
    ErrorProfile::Rfc6750,
    ErrorProfile::AwsRest,
    ErrorProfile::AwsHttp,
];

fn snapshot(profile: ErrorProfile, detail: &str) -> Snapshot {
    let file = format!(
        "[errors]\nprofile = \"{}\"\ndetail = \"{detail}\"\n[upstreams.up]\n\
         url = \"http://127.0.0.1:9\"\n[[routes]]\npath = \"/open\"\nupstream = \"up\"\n\
         methods = [\"GET\"]\npublic = true\n",
        profile.name()
    );
    let config = Config::parse(&file, "gateway.toml").unwrap();
    let metrics = Metrics::new(Reason::NAMES).unwrap();
    Snapshot::compile(config, &metrics, None).unwrap()
}

fn answered(snapshot: &Snapshot, cause: Cause) -> Response<Bytes> {
    let id = HeaderValue::from_static("id-1");
    answer::to(snapshot, &Refusal::unrouted(cause), &id, None)
}

fn about(error: &TokenError) -> Cause {
    Cause::Token {
        error: error.clone(),
        needed: Vec::new(),
    }
}

/// Returns what a client sees of an answer.
fn seen(response: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(response.body());
    format!("{} {:?} {body}", response.status(), response.headers())
}

/// Returns whether the text does not have three parts, which its sender can count.
fn has_other_parts(error: &TokenError) -> bool {
    match error {
        TokenError::Placeholder(_) | TokenError::Opaque | TokenError::Encrypted => true,
        TokenError::Malformed(malformation) => matches!(**malformation, Malformation::Parts(_)),
        _ => false,
    }
}

#[test]
fn until_the_signature_has_verified_all_errors_have_one_wording() {
    for profile in PROFILES {
        for detail in ["full", "minimal"] {
            let snapshot = snapshot(profile, detail);
            let errors: Vec<_> = token_errors().into_iter().filter(is_unverified).collect();
            let first = errors.iter().find(|error| !has_other_parts(error)).unwrap();
            let first = seen(&answered(&snapshot, about(first)));
            for error in &errors {
                let counts = profile == ErrorProfile::AwsHttp && detail == "full";
                let found = seen(&answered(&snapshot, about(error)));
                if counts && has_other_parts(error) {
                    assert!(found.contains("invalid number of segments"), "{found}");
                } else {
                    assert_eq!(found, first, "{profile:?} {error:?}");
                }
            }
        }
    }
}

#[test]
fn no_answer_has_the_values_of_a_token() {
    for profile in PROFILES {
        let snapshot = snapshot(profile, "full");
        for error in token_errors() {
            let found = seen(&answered(&snapshot, about(&error)));
            assert!(!found.contains(FOUND) && !found.contains(WANTED), "{found}");
        }
    }
}

#[test]
fn the_delay_of_a_retry_is_in_every_profile() {
    for profile in PROFILES {
        let snapshot = snapshot(profile, "full");
        for error in token_errors() {
            let response = answered(&snapshot, about(&error));
            let is_unavailable = matches!(error, TokenError::KeysUnavailable { .. });
            assert_eq!(response.headers().contains_key(RETRY_AFTER), is_unavailable);
            assert_eq!(response.status() == 503, is_unavailable);
        }
        let response = answered(&snapshot, Cause::Overloaded);
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (503, &HeaderValue::from(1))
        );
    }
}

#[test]
fn a_rest_api_never_has_a_challenge() {
    let snapshot = snapshot(ErrorProfile::AwsRest, "full");
    let mut causes: Vec<_> = token_errors().iter().map(about).collect();
    causes.push(Cause::CrossSite);
    causes.push(Cause::Denied(Denial::Anonymous));
    for cause in causes {
        let response = answered(&snapshot, cause);
        assert_eq!(response.headers().get(WWW_AUTHENTICATE), None);
    }
}

// An operator who sorts answers into 4xx and 5xx sorts them alike in each profile.
#[test]
fn each_reason_has_an_answer_of_the_same_class_in_each_profile() {
    for reason in Reason::ALL {
        let (rest, http) = (aws_rest::row(*reason), aws_http::row(*reason));
        let class = reason.status().as_u16() / 100;
        for status in [rest.status, http.status] {
            assert_eq!(status.as_u16() / 100, class, "{reason:?}");
        }
        for body in [rest.body.shown(), http.shown()] {
            let is_text = matches!(reason, Reason::BodyTooLarge | Reason::TargetTooLong);
            let parsed = serde_json::from_str::<serde_json::Value>(&body);
            let message = parsed
                .ok()
                .and_then(|body| Some(body["message"].as_str()?.len()));
            assert!(
                message.is_some_and(|length| length > 0) || is_text,
                "{reason:?}: {body}"
            );
        }
    }
}

#[test]
fn the_reasons_before_the_signature_have_one_code() {
    for reason in Reason::ALL {
        let is_unverified = Reason::UNVERIFIED.contains(reason);
        assert_eq!(
            reason.code() == "invalid_token",
            is_unverified,
            "{reason:?}"
        );
    }
}
