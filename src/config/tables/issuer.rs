//! `[issuers.<name>]`: the authorization servers whose tokens are accepted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::time::Duration;

use super::jwks::{
    ALLOW_HTTP, COOLDOWN, FETCH_TIMEOUT, ISSUER, JWKS, JWKS_FILE, JWKS_URI, KEEP_FILE, KEEP_STALE,
    MAX_BYTES, MAX_KEYS, REFRESH, REFRESH_MAX, REFRESH_MIN, WAIT, fetch_policy, key_source,
};
use super::key_access::{CA_FILE, JWKS_TOKEN_FILE, PROXY, check_access, key_access};
use super::names::check_name;
use super::required_claims::{REQUIRED_CLAIMS, required_claims};
use super::tenants::{self, TENANTS};
use crate::config::context::Context;
use crate::config::language::document;
use crate::config::language::{
    Choice, DefaultKey, Key, Reader, Span, Str, StrList, Table, Text, Time, Words,
};
use crate::config::notes::issuers::{self as notes, COGNITO_ADVICE, IssuerKeys, is_cognito};
use crate::issuer::{Algorithm, IssuerSettings};
use crate::token::{Audience, Rules, ScopeClaim, TypPolicy};
use crate::transform::Place;

/// `[issuers.<name>]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The name, the `iss` and the keys.
    pub entry: IssuerSettings,
    /// The conditions on the claims of the issuer's tokens.
    pub rules: Rules,
}

pub(super) static TABLE: Table = Table {
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
        &ISSUER,
        &TENANTS,
        &AUDIENCE,
        &JWKS_URI,
        &JWKS_FILE,
        &JWKS,
        &CLIENT_IDS,
        &TOKEN_USE,
        &TYP,
        &REQUIRED_CLAIMS,
        &ALGORITHMS,
        &LEEWAY,
        &SCOPE_CLAIMS,
        &FETCH_TIMEOUT,
        &COOLDOWN,
        &WAIT,
        &REFRESH,
        &REFRESH_MIN,
        &REFRESH_MAX,
        &KEEP_STALE,
        &KEEP_FILE,
        &MAX_BYTES,
        &MAX_KEYS,
        &ALLOW_HTTP,
        &CA_FILE,
        &PROXY,
        &JWKS_TOKEN_FILE,
    ],
    refused: &[
        (
            "scopes",
            "routes require scopes, not issuers: write \"scopes\" in the route",
        ),
        ("discovery_url", DISCOVERED),
        ("metadata_url", DISCOVERED),
        ("well_known", DISCOVERED),
        ("openid_configuration", DISCOVERED),
        ("introspection", INTROSPECTED),
        ("introspection_endpoint", INTROSPECTED),
        ("introspection_url", INTROSPECTED),
        ("introspect_url", INTROSPECTED),
        ("public_key", NO_PEM),
        ("public_key_file", NO_PEM),
        ("public_keys", NO_PEM),
        ("pem_file", NO_PEM),
        ("cert_file", NO_PEM),
        ("secret", NO_SECRET),
        ("client_secret", NO_SECRET),
        ("shared_secret", NO_SECRET),
        ("verify", NOT_UNVERIFIED),
        ("insecure", NOT_UNVERIFIED),
        ("insecure_skip_verify", NOT_UNVERIFIED),
        ("tls_skip_verify", NOT_UNVERIFIED),
    ],
};

const DISCOVERED: &str = "metadata is found below \"issuer\" by its standard names: leave it out, or \
                          write the URL of the key set as \"jwks_uri\"";

const INTROSPECTED: &str =
    "tokens are verified here and not asked about: let the issuer issue JWTs";

const NO_PEM: &str = "keys are a JWK Set: write \"jwks_file\" with the name of one, or \"jwks\"";

const NO_SECRET: &str = "the gateway is no client of the issuer and needs its public keys alone; tokens \
                         signed with a shared secret (HS256) are not accepted";

const NOT_UNVERIFIED: &str = "whoever answers in the issuer's place could forge tokens: write \"ca_file\" \
                              with the issuer's CA";

const ALL_ALGORITHMS: Words<Algorithm> = Words {
    all: || {
        Algorithm::ALL
            .map(|algorithm| (algorithm.name(), algorithm))
            .to_vec()
    },
    refusal: never_algorithm,
};

const AUDIENCE: Key<StrList> = Key::new("audience", StrList)
    .takes(&Place::SETTING)
    .doc(
        "The accepted values of `aud` (RFC 7519 section 4.1.3): a token must have one of them. \
         \"any\" accepts every audience, and `scopegate check` reports it: such tokens may have \
         been issued for another API.",
    )
    .not(&["aud", "audiences"])
    .example(r#""https://api.example.com""#);

const CLIENT_IDS: Key<StrList> = Key::new("client_ids", StrList)
    .absent("every client")
    .doc("The clients whose tokens are accepted, by `client_id`, or else `azp`, `appid` or `cid`.")
    .not(&["client_id", "clients"])
    .example(r#"["1example2345678901234abcde"]"#);

const TOKEN_USE: Key<Str> = Key::new("token_use", Str)
    .absent("`token_use` is not checked")
    .doc(
        "The required value of `token_use`, by which Amazon Cognito distinguishes access tokens \
         from ID tokens.",
    )
    .example(r#""access""#);

const TYP: DefaultKey<Choice<TypPolicy>> = Key::new(
    "typ",
    Choice(&[
        ("at+jwt", TypPolicy::AtJwt),
        ("access", TypPolicy::Access),
        ("untyped", TypPolicy::Untyped),
        ("any", TypPolicy::Any),
    ]),
)
.doc(
    "The proof that a token is an access token (RFC 8725 section 3.11). `at+jwt`: the type \
     and the claims of RFC 9068. `access`: that type, or no type but a scope or a client, and \
     neither `at_hash` nor `c_hash`, nor a `nonce` without `scope` or `scp`, which only ID tokens \
     have. `untyped`: like `access`, but also accepted without a scope and a client. `any`: no \
     proof, for issuers whose access tokens are built like ID tokens (Dex, authentik); an ID token \
     of the same audience is accepted as well, and `scopegate check` reports it. A token whose \
     header has another `typ`, such as `logout+jwt`, is refused by each of them.",
)
.example(r#""at+jwt""#)
.or(TypPolicy::Access);

const ALGORITHMS: Key<Words<Algorithm>> = Key::new("algorithms", ALL_ALGORITHMS)
    .absent("all of them")
    .doc(
        "The signature algorithms that its tokens may use (RFC 7518 section 3.1, RFC 8037). \
         `EdDSA` means Ed25519; tokens may also use the name that RFC 9864 gives it. `none` and \
         the HMAC algorithms are not supported.",
    )
    .not(&["algorithm", "alg", "algs"])
    .example(r#"["RS256"]"#);

const LEEWAY: DefaultKey<Time> = Key::new("leeway", Time::new(Duration::ZERO, Rules::MAX_LEEWAY))
    .doc("The clock difference that is tolerated in `exp` and `nbf` (RFC 7519 section 4.1.4).")
    .not(&["clock_skew"])
    .example(r#""30s""#)
    .or("10s");

const SCOPE_CLAIMS: DefaultKey<StrList> = Key::new("scope_claims", StrList)
    .doc(
        "The claims that hold scopes, each a name or a dotted path: a space-delimited string, or \
         a list whose items are scopes (RFC 8693 section 4.2, RFC 9068 section 2.2.3). A name in a \
         path may have dots itself. With `.*` at its end, an entry takes the names of the members \
         of an object as scopes, but for members that are `null`, `false` or empty.",
    )
    .not(&["scope_claim"])
    .example(r#"["scope", "permissions"]"#)
    .or(&["scope", "scp"]);

/// The keys that the notes on an issuer are about.
static NOTED: IssuerKeys = IssuerKeys {
    issuer: &ISSUER,
    jwks_uri: &JWKS_URI,
    tenants: &TENANTS,
    audience: &AUDIENCE,
    client_ids: &CLIENT_IDS,
    exact: &[&TENANTS, &TOKEN_USE, &SCOPE_CLAIMS],
};

/// The values that no two issuers may share, with the first issuer that has each of them.
#[derive(Default)]
struct UniqueValues {
    /// By `iss`.
    issuers: HashMap<String, Owner>,
    files: HashMap<PathBuf, Owner>,
}

/// The issuer that has a value, with the position of the value.
struct Owner {
    name: String,
    span: Span,
}

pub(super) fn issuers(context: &Context, tables: &[(Text, &document::Table)]) -> Vec<Issuer> {
    let mut unique = UniqueValues::default();
    let mut all = Vec::new();
    for (name, table) in tables {
        all.extend(entry(context, name, table, &mut unique));
    }
    all.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    all
}

/// Returns the issuers of one entry: one, or one for each of its tenants.
fn entry(
    context: &Context,
    name: &Text,
    table: &document::Table,
    unique: &mut UniqueValues,
) -> Vec<Issuer> {
    let mut issuers = Vec::new();
    let mut is_good = true;
    let subject = format!("issuer \"{}\"", name.text);
    let reader = Reader::new(context, &TABLE, table, subject.as_str());
    notes::note(&reader, &NOTED);
    for (full_name, table) in tenants::expand(reader, name, table) {
        let mut reader = Reader::new(context, &TABLE, &table, subject.as_str());
        check_name(&reader, name);
        let iss = reader.find(&ISSUER);
        unique.check(&reader, &full_name, iss.as_ref());
        // A problem of one tenant is a problem of all of them, and is reported once.
        if is_good {
            let problems = context.problem_count();
            issuers.extend(issuer(&mut reader, &full_name, iss));
            reader.finish();
            is_good = context.problem_count() == problems;
        }
    }
    issuers
}

impl Owner {
    fn new(name: &str, span: Span) -> Self {
        Self {
            name: name.to_owned(),
            span,
        }
    }
}

impl UniqueValues {
    fn check(&mut self, reader: &Reader<'_>, name: &Text, iss: Option<&Text>) {
        if let Some(iss) = iss {
            self.check_issuer(reader, iss, &name.text);
        }
        if let Some(file) = reader.peek(&KEEP_FILE) {
            let path = reader.context.path_named(file.span, &file.text);
            self.check_file(reader, path, file.span, &name.text);
        }
    }

    /// Checks that no other issuer has this `iss`. It identifies the issuer of a token, so that two
    /// issuers cannot share one.
    fn check_issuer(&mut self, reader: &Reader<'_>, iss: &Text, name: &str) {
        match self.issuers.entry(iss.text.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Owner::new(name, iss.span));
            }
            Entry::Occupied(entry) => {
                let owner = entry.get();
                let message = format!(
                    "\"{}\" is already the issuer of \"{}\": \"iss\" identifies the issuer of a \
                     token",
                    iss.text, owner.name
                );
                reader.problem_with_related(iss.span, message, owner.span, "first defined here");
            }
        }
    }

    /// Checks that no other issuer has this `keep_file`. Of two issuers with one file, each would
    /// overwrite the keys of the other.
    fn check_file(&mut self, reader: &Reader<'_>, file: PathBuf, span: Span, name: &str) {
        match self.files.entry(file) {
            Entry::Vacant(entry) => {
                entry.insert(Owner::new(name, span));
            }
            // For tenants of one entry the position is the same, and the problem was reported
            // where the placeholder was filled in.
            Entry::Occupied(entry) if entry.get().span == span => {}
            Entry::Occupied(entry) => {
                let owner = entry.get();
                let message = format!(
                    "\"keep_file\" is already the file of \"{}\": each issuer needs its own",
                    owner.name
                );
                reader.problem_with_related(span, message, owner.span, "first named here");
            }
        }
    }
}

fn issuer(reader: &mut Reader<'_>, name: &Text, iss: Option<Text>) -> Option<Issuer> {
    // The value was checked where the placeholder was filled in.
    reader.value(&TENANTS);
    let fetch = fetch_policy(reader);
    let keys = key_source(reader, iss.as_ref(), &fetch);
    let access = key_access(reader);
    if let Some(keys) = &keys {
        check_access(reader, &access, keys);
    }
    let algorithms = reader.find(&ALGORITHMS);
    let rules = rules(reader);
    let entry = IssuerSettings {
        name: name.text.as_str().into(),
        issuer: iss?.text.into(),
        keys: keys?,
        algorithms: algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec()),
        access,
        fetch,
    };
    Some(Issuer {
        entry,
        rules: rules?,
    })
}

/// Returns why an algorithm is never accepted.
fn never_algorithm(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if name == "none" {
        return Some("a token without a signature can be forged (RFC 8725 section 3.1)");
    }
    let is_hmac = name.starts_with("hs");
    is_hmac.then_some(
        "a key that verifies an HMAC can also create one: let the issuer sign with RS256, ES256 \
         or EdDSA",
    )
}

fn rules(reader: &mut Reader<'_>) -> Option<Rules> {
    let client_ids = reader.find(&CLIENT_IDS).map(boxed).unwrap_or_default();
    let token_use: Option<Box<str>> = reader.find(&TOKEN_USE).map(|text| text.text.into());
    let leeway = reader.get(&LEEWAY);
    let scope_claims = scope_claims(reader);
    let typ = reader.get(&TYP);
    if typ == TypPolicy::AtJwt && token_use.as_deref() == Some("id") {
        let message = "\"typ\" requires access tokens of RFC 9068, and \"token_use\" requires ID \
                       tokens: no token is both";
        reader.problem(reader.value_span(&TYP), message);
    }
    if typ == TypPolicy::Any {
        let message = "typ is \"any\": an ID token of the same audience is accepted like an access \
                       token";
        reader.note(reader.value_span(&TYP), message);
    }
    let required_claims = required_claims(reader);
    let audience = audience(reader, !client_ids.is_empty())?;
    Some(Rules {
        audience,
        client_ids,
        token_use,
        typ,
        required_claims,
        leeway,
        scope_claims,
    })
}

fn scope_claims(reader: &mut Reader<'_>) -> Vec<ScopeClaim> {
    let mut claims = Vec::new();
    for text in reader.get(&SCOPE_CLAIMS) {
        let claim = ScopeClaim::from(text.text.as_str());
        if claim.path.is_empty() {
            let message = "\"scope_claims\" has no claim before \".*\"";
            reader.problem(text.span, message);
        }
        claims.push(claim);
    }
    claims
}

/// The message for a Cognito user pool without an `audience`.
const NO_AUDIENCE: &str =
    "\"audience\" is missing, and access tokens of a Cognito user pool have none";

fn audience(reader: &mut Reader<'_>, has_clients: bool) -> Option<Audience> {
    if !reader.has(&AUDIENCE) && is_user_pool(reader) {
        // An example of an audience would refuse every token of the pool.
        reader.missing_with(&AUDIENCE, NO_AUDIENCE, COGNITO_ADVICE);
        return None;
    }
    let texts = reader.find(&AUDIENCE)?;
    let Some(any) = texts.iter().find(|text| text.text == "any") else {
        return Some(Audience::OneOf(boxed(texts)));
    };
    if texts.len() > 1 {
        reader.problem(
            any.span,
            "\"any\" beside other audiences: write audience = \"any\" alone, or leave it out",
        );
        return None;
    }
    let message = match has_clients {
        true => {
            "audience is \"any\": tokens of its \"client_ids\" are accepted, whichever API they \
             were issued for"
        }
        false => {
            "audience is \"any\": tokens are accepted, whichever API and client they were issued \
             for; \"client_ids\" would name the clients"
        }
    };
    reader.note(any.span, message);
    Some(Audience::Any)
}

fn is_user_pool(reader: &Reader<'_>) -> bool {
    let issuer = reader.peek(&ISSUER);
    issuer.is_some_and(|issuer| is_cognito(&issuer.text))
}

fn boxed(texts: Vec<Text>) -> Vec<Box<str>> {
    texts.into_iter().map(|text| text.text.into()).collect()
}
