//! `[issuers.<name>]`: the authorization servers whose tokens are accepted.

use super::Absent::{Default, Means, Required};
use super::{ANY_DURATION, GIB, KIB, Key, Kind, POSITIVE, Table};
use crate::issuer::Algorithm;
use crate::token::Rules;

fn algorithms() -> Vec<&'static str> {
    Algorithm::ALL.map(Algorithm::name).to_vec()
}

pub(in crate::config) static ISSUER: Table = Table {
    path: "issuers.*",
    doc: "An authorization server whose tokens are taken. Its keys come from `jwks_uri`, `jwks_file` or `jwks`; \
          without one of them they are discovered below `issuer` (OpenID Connect Discovery, then RFC 8414).\n\n\
          A provider of many tenants is one entry, with a placeholder in `issuer` and the list of those whose tokens are \
          taken, `tenants`. Each tenant is then an issuer of its own, `<name>/<tenant>` in logs and metrics, with its \
          own exact `iss` and its own keys; a route with `issuer = \"<name>\"` takes the tokens of all of them, and of no \
          other. [issuers.md](issuers.md) has an example, among those of other providers.",
    keys: &[
        Key::new(
            "issuer",
            Kind::Text,
            Required,
            r#""https://idp.example.com/""#,
            "The exact `iss` of its tokens (RFC 7519 section 4.1.1), compared byte by byte, its final slash included. One \
             whole segment of its path may be a placeholder, such as `{tenant}`, for each of `tenants`.",
        )
        .not(&["iss", "url"]),
        Key::new(
            "tenants",
            Kind::Texts,
            Means("`issuer` holds no placeholder"),
            r#"["9122040d-6c67-4c5b-b112-36a304b66dad"]"#,
            "The tenants that the placeholder of `issuer` stands for, spelled as in their `iss`; at most 256, and never \
             all there are.",
        )
        .not(&["tenant", "tenant_ids"]),
        Key::new(
            "audience",
            Kind::Texts,
            Required,
            r#""https://api.example.com""#,
            "Which `aud` is ours (RFC 7519 section 4.1.3): one of these must be in the token. \"any\" looks at none, \
             and `scopegate check` reports it: such tokens may have been meant for another API.",
        )
        .not(&["aud", "audiences"]),
        Key::new(
            "jwks_uri",
            Kind::Text,
            Means("discovery"),
            r#""https://idp.example.com/keys""#,
            "Where its JWK Set is fetched (RFC 7517 section 5). With `tenants` it may hold the same placeholder; without it \
             all tenants have their keys from there.",
        )
        .not(&["jwks_url"]),
        Key::new(
            "jwks_file",
            Kind::Text,
            Means("discovery"),
            r#""keys/idp.json""#,
            "A file with its JWK Set, relative to the file that names it. It is watched.",
        ),
        Key::new(
            "jwks",
            Kind::KeySet,
            Means("discovery"),
            r#"'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"3OUoeSiO6l70KNFuDyQbhERT3wq3Bv_M9d5xgfGt2kA"}]}'"#,
            "Its JWK Set itself: a string of JSON, or a table with `keys`.",
        ),
        Key::new(
            "client_ids",
            Kind::Texts,
            Means("every client"),
            r#"["4h16e1l0kgotla1c0j8vvjgitt"]"#,
            "The clients whose tokens are taken: `client_id`, or else `azp`, `appid` or `cid`.",
        )
        .not(&["client_id", "clients"]),
        Key::new(
            "token_use",
            Kind::Text,
            Means("`token_use` is not looked at"),
            r#""access""#,
            "The exact `token_use` that is asked for, by which Amazon Cognito tells access tokens from ID tokens.",
        ),
        Key::new(
            "typ",
            Kind::Choice(&["at+jwt", "access", "untyped"]),
            Default(r#""access""#),
            r#""at+jwt""#,
            "How a token has to show that it is an access token (RFC 8725 section 3.11). `at+jwt`: by RFC 9068, its type and \
             its claims. `access`: by that type, or without a type by a scope or a client and by having no `nonce`, \
             `at_hash` or `c_hash`, which only ID tokens have. `untyped`: also without a scope and a client.",
        ),
        Key::new(
            "required_claims",
            Kind::RequiredClaims,
            Means("no other claim is asked for"),
            r#"{ tenant = "acme", groups = ["staff", "admin"], email = { present = true } }"#,
            "Claims (names or dotted paths) that have to be there, all of them: a value, a list of values of which one \
             will do, or `{ present = true }`. A claim that is a list has to hold such a value.",
        ),
        Key::new(
            "algorithms",
            Kind::Choices(algorithms),
            Means("all of them"),
            r#"["RS256"]"#,
            "The signature algorithms its tokens may use (RFC 7518 section 3.1, RFC 8037). `EdDSA` is that of Ed25519, \
             by this name or by the one that RFC 9864 gives it. `none` and the HMAC ones have no name here.",
        )
        .not(&["algorithm", "alg", "algs"]),
        Key::new(
            "leeway",
            Kind::Duration { min: std::time::Duration::ZERO, max: Rules::MAX_LEEWAY },
            Default(r#""10s""#),
            r#""30s""#,
            "Difference of clocks that `exp` and `nbf` are forgiven (RFC 7519 section 4.1.4).",
        )
        .not(&["clock_skew"]),
        Key::new(
            "scope_claims",
            Kind::Texts,
            Default(r#"["scope", "scp"]"#),
            r#"["scope", "permissions"]"#,
            "The claims that hold scopes, each a name or a dotted path: a space-delimited string, or a list whose items \
             are scopes (RFC 8693 section 4.2, RFC 9068 section 2.2.3).",
        )
        .not(&["scope_claim"]),
        Key::new(
            "fetch_timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""5s""#,
            "For one fetch of metadata or keys, from dialling to the last byte.",
        ),
        Key::new(
            "cooldown",
            POSITIVE,
            Default(r#""10s""#),
            r#""30s""#,
            "For so long after a fetch an unknown key starts no other, so that forged key ids cannot flood the issuer.",
        ),
        Key::new(
            "wait",
            ANY_DURATION,
            Default(r#""2s""#),
            r#""1s""#,
            "How long a request whose key is unknown waits for the fetch in flight.",
        ),
        Key::new(
            "refresh",
            POSITIVE,
            Default(r#""5m""#),
            r#""15m""#,
            "How often keys are fetched where the answer's cache headers are silent.",
        ),
        Key::new(
            "refresh_min",
            POSITIVE,
            Default(r#""60s""#),
            r#""60s""#,
            "The shortest interval that cache headers can ask for.",
        ),
        Key::new(
            "refresh_max",
            POSITIVE,
            Default(r#""24h""#),
            r#""24h""#,
            "The longest interval that cache headers can ask for.",
        ),
        Key::new(
            "keep_stale",
            ANY_DURATION,
            Default(r#""24h""#),
            r#""1h""#,
            "How long the last good keys serve while fetches fail.",
        ),
        Key::new(
            "keep_file",
            Kind::Text,
            Means("a restart begins without keys"),
            r#""/var/lib/scopegate/idp.keys""#,
            "A file that the gateway writes after a good fetch, for itself alone (mode 0600), and reads when it starts: \
             until the first good fetch, and no longer than `keep_stale` after they were fetched, the keys in it serve, \
             so that a restart survives the issuer's outage. Whoever can write it makes tokens. A file that is broken, \
             too old, or of another issuer or `jwks_uri` is a warning in the log. With `tenants` its name holds the \
             placeholder.",
        ),
        Key::new(
            "max_bytes",
            Kind::Size { min: KIB, max: GIB },
            Default(r#""512 KiB""#),
            r#""512 KiB""#,
            "Bytes of one metadata document or key set.",
        ),
        Key::new(
            "max_keys",
            Kind::Count { min: 1, max: 10_000 },
            Default("64"),
            "64",
            "Usable keys of one set; the rest is skipped and reported.",
        ),
        Key::new(
            "allow_http",
            Kind::Flag,
            Default("false"),
            "true",
            "Whether `http` is fetched from hosts other than this machine: whoever can change those answers makes \
             tokens.",
        ),
    ],
    refused: &[(
        "scopes",
        "an issuer says which tokens are good, a route which scopes it asks: write \"scopes\" in the route",
    )],
};
