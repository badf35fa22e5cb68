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
    doc: "An authorization server whose tokens are accepted. Its keys come from `jwks_uri`, \
          `jwks_file` or `jwks`; without one of them they are discovered below `issuer` (OpenID \
          Connect Discovery, then RFC 8414).\n\n\
          A provider with many tenants is one entry, with a placeholder in `issuer` and the list \
          of the accepted tenants in `tenants`. Each tenant is then an issuer of its own, \
          `<name>/<tenant>` in logs and metrics, with its own exact `iss` and its own keys. A \
          route with `issuer = \"<name>\"` accepts the tokens of all of them, and of no other \
          tenant. [issuers.md](issuers.md) has an example, and examples for other providers.",
    keys: &[
        Key::new(
            "issuer",
            Kind::Text,
            Required,
            r#""https://idp.example.com/""#,
            "The exact `iss` of its tokens (RFC 7519 section 4.1.1), compared byte by byte, with \
             its final slash if it has one. One whole segment of its path may be a placeholder, \
             such as `{tenant}`, for each of `tenants`.",
        )
        .not(&["iss", "url"]),
        Key::new(
            "tenants",
            Kind::Texts,
            Means("`issuer` holds no placeholder"),
            r#"["9122040d-6c67-4c5b-b112-36a304b66dad"]"#,
            "The tenants that the placeholder of `issuer` stands for, spelled as in their `iss`; \
             at most 256. There is no value for every tenant.",
        )
        .not(&["tenant", "tenant_ids"]),
        Key::new(
            "audience",
            Kind::Texts,
            Required,
            r#""https://api.example.com""#,
            "The accepted values of `aud` (RFC 7519 section 4.1.3): a token must have one of them. \
             \"any\" accepts every audience, and `scopegate check` reports it: such tokens may \
             have been issued for another API.",
        )
        .not(&["aud", "audiences"]),
        Key::new(
            "jwks_uri",
            Kind::Text,
            Means("discovery"),
            r#""https://idp.example.com/keys""#,
            "The URL of its JWK Set (RFC 7517 section 5). With `tenants` it may hold the same \
             placeholder; without the placeholder all tenants have the same key set.",
        )
        .not(&["jwks_url"]),
        Key::new(
            "jwks_file",
            Kind::Text,
            Means("discovery"),
            r#""keys/idp.json""#,
            "A file with its JWK Set, relative to the file that names it. The file is watched for \
             changes.",
        ),
        Key::new(
            "jwks",
            Kind::KeySet,
            Means("discovery"),
            r#"'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"3OUoeSiO6l70KNFuDyQbhERT3wq3Bv_M9d5xgfGt2kA"}]}'"#,
            "The JWK Set itself: a string of JSON, or a table with `keys`.",
        ),
        Key::new(
            "client_ids",
            Kind::Texts,
            Means("every client"),
            r#"["4h16e1l0kgotla1c0j8vvjgitt"]"#,
            "The clients whose tokens are accepted, by `client_id`, or else `azp`, `appid` or \
             `cid`.",
        )
        .not(&["client_id", "clients"]),
        Key::new(
            "token_use",
            Kind::Text,
            Means("`token_use` is not checked"),
            r#""access""#,
            "The required value of `token_use`, by which Amazon Cognito distinguishes access \
             tokens from ID tokens.",
        ),
        Key::new(
            "typ",
            Kind::Choice(&["at+jwt", "access", "untyped"]),
            Default(r#""access""#),
            r#""at+jwt""#,
            "The proof that a token is an access token (RFC 8725 section 3.11). `at+jwt`: the type \
             and the claims of RFC 9068. `access`: that type, or no type but a scope or a client, \
             and none of `nonce`, `at_hash` and `c_hash`, which only ID tokens have. `untyped`: \
             like `access`, but also accepted without a scope and a client.",
        ),
        Key::new(
            "required_claims",
            Kind::RequiredClaims,
            Means("no further claims are required"),
            r#"{ tenant = "acme", groups = ["staff", "admin"], email = { present = true } }"#,
            "Claims (names or dotted paths) that a token must have, all of them: a value, a list \
             of accepted values, or `{ present = true }`. A claim that is a list must contain an \
             accepted value.",
        ),
        Key::new(
            "algorithms",
            Kind::Choices(algorithms),
            Means("all of them"),
            r#"["RS256"]"#,
            "The signature algorithms that its tokens may use (RFC 7518 section 3.1, RFC 8037). \
             `EdDSA` means Ed25519; tokens may also use the name that RFC 9864 gives it. `none` \
             and the HMAC algorithms are not supported.",
        )
        .not(&["algorithm", "alg", "algs"]),
        Key::new(
            "leeway",
            Kind::Duration {
                min: std::time::Duration::ZERO,
                max: Rules::MAX_LEEWAY,
            },
            Default(r#""10s""#),
            r#""30s""#,
            "The clock difference that is tolerated in `exp` and `nbf` (RFC 7519 section 4.1.4).",
        )
        .not(&["clock_skew"]),
        Key::new(
            "scope_claims",
            Kind::Texts,
            Default(r#"["scope", "scp"]"#),
            r#"["scope", "permissions"]"#,
            "The claims that hold scopes, each a name or a dotted path: a space-delimited string, \
             or a list whose items are scopes (RFC 8693 section 4.2, RFC 9068 section 2.2.3).",
        )
        .not(&["scope_claim"]),
        Key::new(
            "fetch_timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""5s""#,
            "The time limit of one fetch of metadata or keys, from connecting to the last byte.",
        ),
        Key::new(
            "cooldown",
            POSITIVE,
            Default(r#""10s""#),
            r#""30s""#,
            "The time after a fetch in which an unknown key id starts no other fetch, so that \
             forged key ids cannot flood the issuer.",
        ),
        Key::new(
            "wait",
            ANY_DURATION,
            Default(r#""2s""#),
            r#""1s""#,
            "The time for which a request with an unknown key id waits for the fetch in progress.",
        ),
        Key::new(
            "refresh",
            POSITIVE,
            Default(r#""5m""#),
            r#""15m""#,
            "The interval between fetches if the response has no cache headers.",
        ),
        Key::new(
            "refresh_min",
            POSITIVE,
            Default(r#""60s""#),
            r#""60s""#,
            "The shortest interval that cache headers can set.",
        ),
        Key::new(
            "refresh_max",
            POSITIVE,
            Default(r#""24h""#),
            r#""24h""#,
            "The longest interval that cache headers can set.",
        ),
        Key::new(
            "keep_stale",
            ANY_DURATION,
            Default(r#""24h""#),
            r#""1h""#,
            "The time for which the last valid keys stay in use while fetches fail.",
        ),
        Key::new(
            "keep_file",
            Kind::Text,
            Means("after a restart there are no keys until the first fetch"),
            r#""/var/lib/scopegate/idp.keys""#,
            "A file that the gateway writes after a successful fetch, readable only by the \
             gateway's user (mode 0600), and reads when it starts. Until the first successful \
             fetch, and no longer than `keep_stale` after they were fetched, the keys in the file \
             are used, so that a restart survives an outage of the issuer. A process that can \
             write the file can forge tokens. A file that is broken, too old, or of another issuer \
             or `jwks_uri` gives a warning in the log. With `tenants` its name must hold the \
             placeholder.",
        ),
        Key::new(
            "max_bytes",
            Kind::Size { min: KIB, max: GIB },
            Default(r#""512 KiB""#),
            r#""512 KiB""#,
            "The limit on the bytes of one metadata document or key set.",
        ),
        Key::new(
            "max_keys",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            Default("64"),
            "64",
            "The limit on the usable keys of one set; further keys are skipped and reported.",
        ),
        Key::new(
            "allow_http",
            Kind::Flag,
            Default("false"),
            "true",
            "If true, keys are fetched over `http` from hosts other than this machine too. An \
             attacker on the network can then replace the keys and forge tokens.",
        ),
    ],
    refused: &[(
        "scopes",
        "routes require scopes, not issuers: write \"scopes\" in the route",
    )],
};
