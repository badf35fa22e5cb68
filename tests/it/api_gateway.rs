//! The parity with Amazon API Gateway, by the ids of its test matrix: tokens. The configuration
//! below is that of a REST API with a Cognito authorizer, and of an HTTP API with a JWT authorizer.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Issuer, Jwks, Key, Request, Token, Upstream, now};

/// The pool of users, as each kind of API reads its tokens.
const POOL: &str = r#"
# A method with scopes in a REST API: access tokens of every client of the pool.
[issuers.access]
issuer    = "POOL"
audience  = "any"
token_use = "access"
KEYS

# A method without scopes in a REST API: ID tokens.
[issuers.identity]
issuer    = "POOL"
audience  = "any"
token_use = "id"
KEYS

# A JWT authorizer of an HTTP API: `aud` decides, or `client_id` where a token has no `aud`.
[issuers.jwt]
issuer          = "POOL"
audience        = ["1example2345678901234abcde", "https://api.example.com"]
audience_claims = ["aud", "client_id"]
typ             = "any"                  # ID tokens as well
leeway          = "0s"
KEYS
"#;

/// The stage: a route is one of a path and a method, and the upstream does not see the prefix.
const STAGE: &str = r#"
[[groups]]
prefix             = "/dev"
issuer             = "ISSUER"
upstream           = "backend"
token_from         = ["authorization:raw", "authorization:bearer"]
method_fallthrough = true
head               = false
"#;

/// The scope of the walk-through.
pub(crate) const SCOPE: &str = "com.test.test/test.read";

/// The app client of the walk-through.
pub(crate) const CLIENT: &str = "1example2345678901234abcde";

/// The route of the walk-through.
pub(crate) const TESTS: &str = r#"
[[groups.routes]]
path    = "/tests"
methods = { GET = "com.test.test/test.read" }
"#;

pub(crate) const UNAUTHORIZED: &str = r#"{"message":"Unauthorized"}"#;
pub(crate) const MISSING: &str = r#"{"message":"Missing Authentication Token"}"#;

/// A gateway in the place of API Gateway, the pool of its users, and the backend.
pub(crate) struct Api {
    pub(crate) gateway: Gateway,
    pub(crate) pool: Issuer,
    pub(crate) backend: Upstream,
}

impl Api {
    /// Starts a REST API with these routes in its stage.
    #[track_caller]
    pub(crate) fn rest(routes: &str) -> Self {
        Self::with("aws-rest", "access", "", routes)
    }

    /// Starts an HTTP API with these routes in its stage.
    #[track_caller]
    pub(crate) fn http(routes: &str) -> Self {
        let rsa = r#"algorithms = ["RS256", "RS384", "RS512"]"#;
        Self::with("aws-http", "jwt", rsa, routes)
    }

    /// Starts an API with a profile, an entry of the pool and settings of its keys.
    #[track_caller]
    pub(crate) fn with(profile: &str, issuer: &str, keys: &str, routes: &str) -> Self {
        let (pool, backend) = (Issuer::with_key(pool_key()), Upstream::start());
        let entries = POOL.replace("POOL", &pool.url()).replace("KEYS", keys);
        let stage = STAGE.replace("ISSUER", issuer);
        let gateway = Gateway::start(&format!(
            "[errors]\nprofile = \"{profile}\"\n{entries}\n{}\n{stage}\n{routes}",
            backend.toml("backend"),
        ));
        gateway.wait_until_ready();
        Self {
            gateway,
            pool,
            backend,
        }
    }

    /// Returns an access token of the pool with this scope.
    pub(crate) fn access(&self, scope: &str) -> Token {
        access(&self.pool, scope)
    }

    /// Sends the token as it is, without a scheme.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str, token: &Token) -> Answer {
        self.ask_with(path, &token.signed(&self.pool.key))
    }

    #[track_caller]
    pub(crate) fn ask_with(&self, path: &str, authorization: &str) -> Answer {
        let request = Request::get(path).field("Authorization", authorization);
        self.gateway.send(&request)
    }
}

/// The key of the pool: its `kid` is base64 and no base64url.
fn pool_key() -> Key {
    Key::rsa("osc6/rEnxY873Hyg7gbKl53iDO6DWtCMHVog7jmhGtI=", 0)
}

/// Returns an access token as Cognito issues it for the grant of client credentials.
fn access(pool: &Issuer, scope: &str) -> Token {
    let claims = json!({
        "sub": CLIENT, "token_use": "access", "scope": scope, "auth_time": now(), "iss": pool.url(),
        "exp": now() + 3600, "iat": now(), "version": 2, "client_id": CLIENT,
        "jti": "8db3b4dd-ecd5-436d-9eeb-a544e39d3e12",
    });
    let header = json!({});
    Token { header, claims }
}

/// Returns an ID token as Cognito issues it.
fn identity(pool: &Issuer) -> Token {
    let claims = json!({
        "sub": "alice", "aud": CLIENT, "token_use": "id", "auth_time": now(), "iss": pool.url(),
        "exp": now() + 3600, "iat": now(), "at_hash": "h", "cognito:username": "alice",
    });
    let header = json!({});
    Token { header, claims }
}

/// Asserts an answer that the gateway of a REST API makes.
#[track_caller]
pub(crate) fn assert_rest(answer: &Answer, status: u16, kind: &str, body: &str) {
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (status, body),
        "{answer:?}"
    );
    assert_eq!(answer.field("x-amzn-errortype"), Some(kind), "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("www-authenticate"), None, "{answer:?}");
    assert!(answer.field("x-amzn-requestid").is_some(), "{answer:?}");
}

#[track_caller]
fn assert_unauthorized(answer: &Answer) {
    assert_rest(answer, 401, "UnauthorizedException", UNAUTHORIZED);
    assert_eq!(answer.field("content-length"), Some("26"));
}

#[test]
fn p01_the_raw_token_of_the_walk_through_reaches_the_backend() {
    let api = Api::rest(TESTS);
    assert_eq!(api.ask("/dev/tests", &api.access(SCOPE)).status, 200);
    assert_eq!(api.backend.last().target, "/tests");
}

#[test]
fn p02_the_same_token_may_stand_behind_a_scheme() {
    let api = Api::rest(TESTS);
    let token = api.access(SCOPE).signed(&api.pool.key);
    assert_eq!(
        api.ask_with("/dev/tests", &format!("Bearer {token}"))
            .status,
        200
    );
}

#[test]
fn p03_without_a_token_the_answer_is_401_in_26_bytes() {
    let api = Api::rest(TESTS);
    assert_unauthorized(&api.gateway.send(&Request::get("/dev/tests")));
    assert_unauthorized(&api.ask_with("/dev/tests", ""));
}

#[test]
fn p04_blanks_in_a_token_and_other_schemes_are_401() {
    let api = Api::rest(TESTS);
    let token = api.access(SCOPE).signed(&api.pool.key);
    let (head, rest) = token.split_at(40);
    for text in [
        &format!("{head} {rest}"),
        "a b",
        "Basic dTpw",
        &format!("Basic {token}"),
    ] {
        assert_unauthorized(&api.ask_with("/dev/tests", text));
    }
}

#[test]
fn p05_a_changed_byte_of_the_signature_is_401() {
    let api = Api::rest(TESTS);
    let token = api.access(SCOPE).signed(&api.pool.key);
    // Not the last character, of which some bits mean nothing.
    let place = token.len() - 20;
    let other = if &token[place..=place] == "A" {
        "B"
    } else {
        "A"
    };
    let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
    assert_unauthorized(&api.ask_with("/dev/tests", &changed));
    assert_eq!(api.ask_with("/dev/tests", &token).status, 200);
}

#[test]
fn p06_an_expired_token_is_told_so() {
    let api = Api::rest(TESTS);
    let answer = api.ask("/dev/tests", &api.access(SCOPE).with("exp", now() - 60));
    let body = r#"{"message":"The incoming token has expired"}"#;
    assert_rest(&answer, 401, "UnauthorizedException", body);
}

/// A method without scopes asks for an ID token, which the same pool issues.
const PROFILE: &str = r#"
[[groups.routes]]
path          = "/profile"
issuer        = "identity"
methods       = ["GET"]
authenticated = true
"#;

#[test]
fn p07_an_access_token_is_401_where_no_scope_is_asked_for() {
    let api = Api::rest(PROFILE);
    assert_unauthorized(&api.ask("/dev/profile", &api.access(SCOPE)));
    assert_eq!(api.ask("/dev/profile", &identity(&api.pool)).status, 200);
}

#[test]
fn p08_an_id_token_is_refused_where_scopes_are_asked_for() {
    let rest = Api::rest(TESTS);
    assert_unauthorized(&rest.ask("/dev/tests", &identity(&rest.pool)));
    let http = Api::http(TESTS);
    let answer = http.ask("/dev/tests", &identity(&http.pool));
    let forbidden = r#"{"message":"Forbidden"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (403, forbidden));
}

/// A list of scopes means any of them.
const ANY_OF: &str = r#"
[[groups.routes]]
path    = "/any"
methods = { GET = { any = ["x/z", "x/y"] } }
"#;

#[test]
fn p09_one_scope_of_several_is_enough() {
    let api = Api::rest(ANY_OF);
    for scope in ["x/y", "x/z", "other x/y", "x/y x/z"] {
        assert_eq!(
            api.ask("/dev/any", &api.access(scope)).status,
            200,
            "{scope}"
        );
    }
}

#[test]
fn p10_a_scope_is_compared_whole() {
    let rest = Api::rest(ANY_OF);
    for scope in ["x/yy", "x", "X/Y", "x/", ""] {
        assert_unauthorized(&rest.ask("/dev/any", &rest.access(scope)));
    }
    let http = Api::http(ANY_OF);
    let answer = http.ask("/dev/any", &http.access("x/yy"));
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (403, r#"{"message":"Forbidden"}"#)
    );
    assert_eq!(
        answer.field("www-authenticate"),
        Some(
            r#"Bearer scope="x/z x/y" error="insufficient_scope" error_description="expected scopes: [x/z x/y]""#
        )
    );
}

#[test]
fn p11_a_token_of_another_pool_is_401() {
    let api = Api::rest(TESTS);
    let stranger = Issuer::with_key(Key::rsa("theirs", 1));
    let token = access(&stranger, SCOPE).signed(&stranger.key);
    assert_unauthorized(&api.ask_with("/dev/tests", &token));
    // Nor does their key sign for this pool, under its own `kid` or under the pool's.
    for kid in ["theirs", &api.pool.key.kid] {
        let forged = api.access(SCOPE).signed(&stranger.key.named(kid));
        assert_unauthorized(&api.ask_with("/dev/tests", &forged));
    }
}

#[test]
fn p12_an_authorizer_of_two_pools_takes_tokens_of_both() {
    let second = Issuer::with_key(Key::rsa("theirs", 1));
    let routes = format!(
        "{TESTS}issuer = [\"access\", \"second\"]\n\
         [issuers.second]\nissuer = \"{}\"\naudience = \"any\"\ntoken_use = \"access\"\n",
        second.url()
    );
    let api = Api::rest(&routes);
    assert_eq!(api.ask("/dev/tests", &api.access(SCOPE)).status, 200);
    let token = access(&second, SCOPE).signed(&second.key);
    assert_eq!(api.ask_with("/dev/tests", &token).status, 200);
}

/// Any token of the authorizer.
const ANY_TOKEN: &str = r#"
[[groups.routes]]
path          = "/open-to-all"
methods       = ["GET"]
authenticated = true
"#;

#[test]
fn p17_the_client_counts_only_where_there_is_no_audience() {
    let api = Api::http(ANY_TOKEN);
    let invalid = r#"Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience""#;
    for (audience, client, status) in [
        (json!("https://api.example.com"), Value::Null, 200),
        (Value::Null, json!(CLIENT), 200),
        (json!("https://other.example.com"), json!(CLIENT), 401),
        (json!("https://api.example.com"), json!("another"), 200),
        (Value::Null, Value::Null, 401),
        (Value::Null, json!("another"), 401),
    ] {
        let token = api
            .access(SCOPE)
            .with("aud", audience)
            .with("client_id", client);
        let answer = api.ask("/dev/open-to-all", &token);
        assert_eq!(answer.status, status, "{:?}: {answer:?}", token.claims);
        let challenge = (status == 401).then_some(invalid);
        assert_eq!(answer.field("www-authenticate"), challenge);
    }
}

#[test]
fn p18_scopes_are_in_scope_or_in_scp() {
    let api = Api::http(TESTS);
    let other = "other";
    for (scope, scp) in [
        (json!(SCOPE), Value::Null),
        (json!(format!("{other} {SCOPE}")), Value::Null),
        (Value::Null, json!(SCOPE)),
        (Value::Null, json!([other, SCOPE])),
    ] {
        let token = api.access("").with("scope", scope).with("scp", scp);
        assert_eq!(
            api.ask("/dev/tests", &token).status,
            200,
            "{:?}",
            token.claims
        );
    }
}

// Whether `iat` is in the future is not judged.
#[test]
fn p19_a_token_is_valid_from_its_nbf_less_the_leeway() {
    let lenient = r#"
[[groups.routes]]
path          = "/lenient"
issuer        = "lenient"
methods       = ["GET"]
authenticated = true
"#;
    let pool = Issuer::with_key(pool_key());
    let backend = Upstream::start();
    let entry = |name: &str, leeway: &str| {
        let url = pool.url();
        format!("[issuers.{name}]\nissuer = \"{url}\"\naudience = \"any\"\nleeway = \"{leeway}\"\n")
    };
    let gateway = Gateway::start(&format!(
        "errors = {{ profile = \"aws-http\" }}\n{}{}{}{}{ANY_TOKEN}{lenient}",
        entry("strict", "0s"),
        entry("lenient", "60s"),
        backend.toml("backend"),
        STAGE.replace("ISSUER", "strict"),
    ));
    let token = access(&pool, SCOPE)
        .with("nbf", now() + 30)
        .with("iat", now() + 30);
    let token = token.signed(&pool.key);
    let ask = |path: &str| gateway.send(&Request::get(path).bearer(&token)).status;
    assert_eq!(ask("/dev/open-to-all"), 401);
    assert_eq!(ask("/dev/lenient"), 200);
}

#[test]
fn p20_an_http_api_takes_signatures_of_rsa_alone() {
    let elliptic = Key::p256("elliptic");
    let api = Api::http(TESTS);
    let usual = Api::with("rfc6750", "access", "", TESTS);
    for (api, status) in [(&api, 401), (&usual, 200)] {
        let keys = vec![api.pool.key.clone(), elliptic.clone()];
        api.pool.serve(Jwks::Keys(keys));
        let token = api.access(SCOPE).signed(&elliptic);
        assert_eq!(api.ask_with("/dev/tests", &token).status, status);
        assert_eq!(api.ask("/dev/tests", &api.access(SCOPE)).status, 200);
    }
}

#[test]
fn p33_a_token_bound_to_a_resource_has_an_audience_and_a_client() {
    let pool = Issuer::with_key(pool_key());
    let backend = Upstream::start();
    let gateway = Gateway::start(&format!(
        "errors = {{ profile = \"aws-rest\" }}\n\
         [issuers.bound]\nissuer = \"{}\"\naudience = \"https://api.example.com\"\n\
         client_ids = [\"{CLIENT}\"]\ntoken_use = \"access\"\n{}{}{TESTS}",
        pool.url(),
        backend.toml("backend"),
        STAGE.replace("ISSUER", "bound"),
    ));
    for (audience, client, status) in [
        ("https://api.example.com", CLIENT, 200),
        ("https://other.example.com", CLIENT, 401),
        ("https://api.example.com", "another", 401),
        (CLIENT, CLIENT, 401),
    ] {
        let token = access(&pool, SCOPE)
            .with("aud", audience)
            .with("client_id", client);
        let request = Request::get("/dev/tests").bearer(&token.signed(&pool.key));
        assert_eq!(gateway.send(&request).status, status, "{audience} {client}");
    }
}

#[test]
fn p34_slashes_may_be_escaped_in_the_json_of_a_token() {
    let api = Api::rest(TESTS);
    let escaped = |value: &Value| value.to_string().replace('/', "\\/");
    let header = json!({ "kid": api.pool.key.kid, "alg": "RS256" });
    let claims = api.access(SCOPE).claims;
    let (header, claims) = (escaped(&header), escaped(&claims));
    assert!(header.contains("osc6\\/rEnx") && claims.contains("http:\\/\\/"));
    let token = Token::signed_text(&header, &claims, &api.pool.key);
    assert_eq!(api.ask_with("/dev/tests", &token).status, 200);
}
