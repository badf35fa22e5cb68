//! The sentences of errors, with the values of the token and without them.

use super::*;
use crate::policy::Claim;
use crate::token::{AcceptedKind, KindFault};

const NOW: UnixTime = UnixTime(1_700_000_000);

fn expired(at: u64) -> TokenError {
    TokenError::Expired {
        at: UnixTime(at),
        now: UnixTime(NOW.0.max(at)),
    }
}

fn not_yet_valid(from: u64) -> TokenError {
    TokenError::NotYetValid {
        from: UnixTime(from),
        now: NOW,
    }
}

fn audience(claims: &[&str]) -> TokenError {
    let mismatch = Mismatch {
        found: Excerpts::of(["API", "other"]),
        wanted: Excerpts::of(["api"]),
        near: NearMiss::find("API", ["api"]),
    };
    let claims = claims.iter().map(|claim| (*claim).into()).collect();
    TokenError::Audience(Box::new(WrongAudience { claims, mismatch }))
}

fn client() -> TokenError {
    TokenError::Client(Box::new(Mismatch {
        found: Excerpts::default(),
        wanted: Excerpts::of(["app"]),
        near: None,
    }))
}

fn required(claim: &str, found: Option<&str>, wanted: Option<&str>) -> TokenError {
    let shown = |text: &str| ShownClaim::of(&Claim::Text(text.into()));
    TokenError::RequiredClaim(Box::new(UnmetClaim {
        claim: claim.into(),
        found: found.map(shown),
        wanted: wanted.map(shown),
    }))
}

fn unknown_key(key_id: Option<&str>, others: &[&'static str], present: &[&str]) -> TokenError {
    TokenError::UnknownKey(Box::new(AbsentKey {
        key_id: key_id.map(Excerpt::of),
        algorithm: "RS256",
        present: Excerpts::of(present.iter().copied()),
        others: others.to_vec(),
    }))
}

fn other_kind(fault: KindFault) -> TokenError {
    let accepted = AcceptedKind::Access;
    TokenError::NotAccessToken(Box::new(OtherKind { accepted, fault }))
}

fn said(error: &TokenError) -> [String; 2] {
    [LoggedClaims::ALL, LoggedClaims::NONE].map(|shown| error.sentence(shown).to_string())
}

#[test]
fn a_sentence_has_the_values_that_it_may_show() {
    for (error, all, none) in [
        (
            expired(NOW.0 - 60),
            "the token expired 1m ago, at 2023-11-14T22:12:20Z",
            "the token has expired",
        ),
        (
            expired(LAST_DATE),
            "the token expired 0s ago, at 9999-12-31T23:59:59Z",
            "the token has expired",
        ),
        (
            expired(LAST_DATE + 1),
            "the token expired 0s ago, at 253402300800, after the year 9999",
            "the token has expired",
        ),
        (
            not_yet_valid(NOW.0 + 60),
            "the token is valid in 1m, from 2023-11-14T22:14:20Z",
            "the token is not valid yet",
        ),
        (
            not_yet_valid(NOW.0 * 1000),
            "the token's nbf is 1700000000000, which looks like milliseconds and must be seconds",
            "the token is not valid yet",
        ),
        (
            audience(&["aud"]),
            "the token's aud is \"API\", \"other\", and the issuer's entry accepts \"api\": it differs from \"api\" by upper and lower case only",
            "the token's aud is another, and the issuer's entry accepts \"api\"",
        ),
        (
            client(),
            "the token has no client, and the issuer's entry accepts \"app\"",
            "the token has no client, and the issuer's entry accepts \"app\"",
        ),
        (
            required("tenant", Some("a"), Some("b")),
            "the required claim \"tenant\" is \"a\", and the issuer's entry accepts \"b\"",
            "the required claim \"tenant\" is another, and the issuer's entry accepts \"b\"",
        ),
        (
            required("tenant", None, None),
            "the required claim \"tenant\" is absent",
            "the required claim \"tenant\" is absent",
        ),
        (
            unknown_key(Some("a"), &[], &["b", "c"]),
            "no key of the issuer has the token's kid \"a\" and alg RS256; the issuer has \"b\", \"c\"",
            "no key of the issuer has the token's kid and its alg; the issuer has \"b\", \"c\"",
        ),
        (
            unknown_key(Some("a"), &["ES256"], &["a"]),
            "no key of the issuer has the token's kid \"a\" and alg RS256: the key with this kid is for ES256",
            "no key of the issuer has the token's kid and its alg: the key with this kid is for ES256",
        ),
        (
            unknown_key(None, &[], &[]),
            "the token has no kid, and the issuer has not one key for alg RS256; the issuer's keys have no kid",
            "the token has no kid, and the issuer has not one key for its alg; the issuer's keys have no kid",
        ),
        (
            other_kind(KindFault::HeaderTyp(Excerpt::of("x"))),
            "the token is not an access token: \"typ\" in its header is \"x\"",
            "the token is not an access token: \"typ\" in its header is that of another kind",
        ),
        (
            other_kind(KindFault::ClaimTyp(Excerpt::of("x"))),
            "the token is not an access token: its claim \"typ\" is \"x\"",
            "the token is not an access token: its claim \"typ\" is that of another kind",
        ),
        (
            other_kind(KindFault::NotAtJwt(Some(Excerpt::of("x")))),
            "the token is not an access token: the issuer's entry requires \"typ\" \"at+jwt\" in the header, and it is \"x\"",
            "the token is not an access token: the issuer's entry requires \"typ\" \"at+jwt\" in the header, and it is another",
        ),
        (
            other_kind(KindFault::NotAtJwt(None)),
            "the token is not an access token: the issuer's entry requires \"typ\" \"at+jwt\" in the header, and there is none",
            "the token is not an access token: the issuer's entry requires \"typ\" \"at+jwt\" in the header, and there is none",
        ),
    ] {
        assert_eq!(said(&error), [all, none]);
    }
    // A list of claims is shown if each of them may be.
    let shown = LoggedClaims::of([LoggedClaim::Audience]);
    let sentence = audience(&["aud", "client_id"]).sentence(shown).to_string();
    let hidden = "the token's aud and no client_id is another";
    assert!(sentence.starts_with(hidden), "{sentence}");
}

#[test]
fn a_near_miss_differs_by_a_slash_or_by_case() {
    let find = |found, accepted: [&'static str; 2]| NearMiss::find(found, accepted);
    let near = |wanted: &str, by| {
        let wanted = Excerpt::of(wanted);
        Some(NearMiss { wanted, by })
    };
    let slash = "the final slash";
    assert_eq!(
        find("https://a/", ["b", "https://a"]),
        near("https://a", slash)
    );
    assert_eq!(
        find("https://a", ["https://a/", "b"]),
        near("https://a/", slash)
    );
    let case = "upper and lower case";
    assert_eq!(
        find("https://A", ["b", "https://a"]),
        near("https://a", case)
    );
    assert_eq!(find("https://a", ["b", "https://a//"]), None);
    assert_eq!(find("a", ["b", "c/"]), None);
}
