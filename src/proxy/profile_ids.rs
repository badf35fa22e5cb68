//! The fields in which the profiles `aws-rest` and `aws-http` show the id of a request, in refusals
//! and in forwarded answers alike.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::ErrorProfile;

/// The id that a client of a REST API may choose: a UUID.
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The id that the client of a REST API cannot choose.
const AMZ_APIGW_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");

/// The id of a request to an HTTP API.
const APIGW_REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

/// Returns the id that the client chose in the field of a REST API, if it is one UUID.
pub(super) fn of_client(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(AMZN_REQUEST_ID).iter();
    let id = values.next().filter(|id| is_uuid(id))?;
    values.next().is_none().then(|| id.clone())
}

/// Returns whether a value has the form of a UUID (RFC 9562 §4).
pub(super) fn is_uuid(value: &HeaderValue) -> bool {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let mut bytes = value.as_bytes().iter().enumerate();
    value.len() == 36
        && bytes.all(|(at, byte)| match HYPHENS.contains(&at) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// The ids of one request.
pub(super) struct Ids<'a> {
    /// The value of `x-request-id`.
    pub(super) request: &'a HeaderValue,
    /// The value of `x-amzn-requestid`; `None` in other profiles than that of a REST API.
    pub(super) amzn: Option<&'a HeaderValue>,
}

impl<'a> Ids<'a> {
    /// Returns the id that an API of this profile has: `$context.requestId`.
    pub(super) fn of_api(&self) -> &'a HeaderValue {
        self.amzn.unwrap_or(self.request)
    }
}

/// Sets the fields of a profile, in place of those of an upstream.
pub(super) fn add(profile: ErrorProfile, ids: &Ids<'_>, headers: &mut HeaderMap) {
    match profile {
        ErrorProfile::Rfc6750 => {}
        ErrorProfile::AwsRest => {
            headers.insert(AMZN_REQUEST_ID, ids.of_api().clone());
            headers.insert(AMZ_APIGW_ID, ids.request.clone());
        }
        ErrorProfile::AwsHttp => {
            headers.insert(APIGW_REQUEST_ID, ids.request.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8db3b4dd-ecd5-436d-9eeb-a544e39d3e12";

    fn chosen(values: &[&str]) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AMZN_REQUEST_ID, value.parse().unwrap());
        }
        of_client(&headers)
    }

    #[test]
    fn a_client_may_choose_one_uuid() {
        assert_eq!(chosen(&[ID]).unwrap(), ID);
        let upper = ID.to_uppercase();
        assert_eq!(chosen(&[&upper]).unwrap(), upper.as_str());
        for values in [
            &[][..],
            &[""],
            &["abc"],
            &[ID, ID],
            &["8db3b4ddecd5436d9eeba544e39d3e12"],
            &["8db3b4dd-ecd5-436d-9eeb-a544e39d3e1g"],
            &["8db3b4dd-ecd5-436d-9eeb-a544e39d3e123"],
            &["8db3b4ddeecd5-436d-9eeb-a544e39d3e12"],
            &["-8db3b4d-ecd5-436d-9eeb-a544e39d3e12"],
        ] {
            assert_eq!(chosen(values), None, "{values:?}");
        }
    }
}
