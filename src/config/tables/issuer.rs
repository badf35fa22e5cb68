//! `[issuers.<name>]`: the authorization servers whose tokens are accepted.

use std::sync::Arc;
use std::time::Duration;

use super::algorithms::ALGORITHMS;
use super::issuer_identity::Identities;
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
use crate::config::language::{Choice, DefaultKey, Key, Reader, Str, StrList, Table, Text, Time};
use crate::config::notes::issuers::{
    self as notes, COGNITO_ADVICE, ID_TOKEN_ADVICE, IssuerKeys, is_cognito,
};
use crate::issuer::{Algorithm, IssuerSettings};
use crate::token::{Audience, Rules, ScopeClaim, TypPolicy};
use crate::transform::Place;

/// `[issuers.<name>]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The name in the configuration, logs and metrics; for a tenant `<name>/<tenant>`.
    pub name: Arc<str>,
    /// The `iss` and the keys. Entries with one `iss` have the same.
    pub entry: IssuerSettings,
    /// The conditions on the claims of the issuer's tokens.
    pub rules: Rules,
}

pub(super) static TABLE: Table = Table {
    path: "issuers.*",
    doc: "An authorization server whose tokens are accepted. Its keys come from `jwks_uri`, \
          `jwks_file` or `jwks`; without one of them they are discovered below `issuer` (OpenID \
          Connect Discovery, then RFC 8414).\n\n\
          Several entries may have the same `issuer`, with an audience, clients and other rules of \
          their own, as long as no route names two of them. Their keys are fetched once, so that \
          the keys about key sets, and `algorithms`, are the same in all of them.\n\n\
          A provider with many tenants is one entry, with a placeholder in `issuer` and the list \
          of the accepted tenants in `tenants`. Each tenant is then an issuer of its own, \
          `<name>/<tenant>` in logs and metrics, with its own exact `iss` and its own keys. A \
          route with `issuer = \"<name>\"` accepts the tokens of all of them, and of no other \
          tenant. [issuers.md](issuers.md) has an example, and examples for other providers.",
    keys: &[
        &ISSUER,
        &TENANTS,
        &AUDIENCE,
        &AUDIENCE_CLAIMS,
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

const DISCOVERED: &str = "metadata is found below \"issuer\" by its standard names: leave it out, \
                          or \
                          write the URL of the key set as \"jwks_uri\"";

const INTROSPECTED: &str =
    "tokens are verified here and not asked about: let the issuer issue JWTs";

const NO_PEM: &str = "keys are a JWK Set: write \"jwks_file\" with the name of one, or \"jwks\"";

const NO_SECRET: &str = "the gateway is no client of the issuer and needs its public keys alone; \
                         tokens \
                         signed with a shared secret (HS256) are not accepted";

const NOT_UNVERIFIED: &str = "whoever answers in the issuer's place could forge tokens: \
                              write \"ca_file\" \
                              with the issuer's CA";

const AUDIENCE: Key<StrList> = Key::new("audience", StrList)
    .takes(&Place::SETTING)
    .doc(
        "The accepted audiences (RFC 7519 section 4.1.3): the token's `aud` must have one of them. \
         \"any\" accepts every audience, and `scopegate check` reports it: such tokens may have \
         been issued for another API.",
    )
    .not(&["aud", "audiences"])
    .example(r#""https://api.example.com""#);

const AUDIENCE_CLAIMS: DefaultKey<StrList> = Key::new("audience_claims", StrList)
    .doc(
        "The claims that name the audience, each a name or a dotted path: a string, or a list of \
         strings. The first of them that a token has decides, and the others are not looked at. \
         With `[\"aud\", \"client_id\"]`, as in an HTTP API of Amazon API Gateway, the client of a \
         token without `aud` must be among the accepted audiences.",
    )
    .not(&["audience_claim", "aud_claim", "aud_claims"])
    .example(r#"["aud", "client_id"]"#)
    .or(&["aud"]);

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
    audience_claims: &AUDIENCE_CLAIMS,
    client_ids: &CLIENT_IDS,
    token_use: &TOKEN_USE,
    exact: &[&TENANTS, &TOKEN_USE, &SCOPE_CLAIMS, &AUDIENCE_CLAIMS],
};

pub(super) fn issuers(context: &Context, tables: &[(Text, &document::Table)]) -> Vec<Issuer> {
    let mut identities = Identities::default();
    let mut all = Vec::new();
    for (name, table) in tables {
        all.extend(entry(context, name, table, &mut identities));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Returns the issuers of one entry: one, or one for each of its tenants.
fn entry(
    context: &Context,
    name: &Text,
    table: &document::Table,
    identities: &mut Identities,
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
        identities.check_file(&reader, &full_name, iss.as_ref());
        // A problem of one tenant is a problem of all of them, and is reported once.
        if is_good {
            let problems = context.problem_count();
            if let Some(mut issuer) = issuer(&mut reader, &full_name, iss) {
                issuer.entry = identities.agreed(&reader, &full_name, &table, issuer.entry);
                issuers.push(issuer);
            }
            reader.finish();
            is_good = context.problem_count() == problems;
        }
    }
    issuers
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
        issuer: iss?.text.into(),
        keys: keys?,
        algorithms: algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec()),
        access,
        fetch,
    };
    Some(Issuer {
        name: name.text.as_str().into(),
        entry,
        rules: rules?,
    })
}

fn rules(reader: &mut Reader<'_>) -> Option<Rules> {
    let client_ids = reader.find(&CLIENT_IDS).map(boxed).unwrap_or_default();
    let token_use: Option<Box<str>> = reader.find(&TOKEN_USE).map(|text| text.text.into());
    let leeway = reader.get(&LEEWAY);
    let scope_claims = scope_claims(reader);
    let typ = reader.get(&TYP);
    let takes_id_tokens = token_use.as_deref() == Some("id");
    if typ == TypPolicy::AtJwt && takes_id_tokens {
        let message = "\"typ\" requires access tokens of RFC 9068, and \"token_use\" requires ID \
                       tokens: no token is both";
        reader.problem(reader.value_span(&TYP), message);
    }
    if typ == TypPolicy::Any && !takes_id_tokens {
        let message = "typ is \"any\": an ID token of the same audience is accepted like an access \
                       token";
        reader.note(reader.value_span(&TYP), message);
    }
    let required_claims = required_claims(reader);
    let audience_claims = audience_claims(reader);
    let audience = match takes_id_tokens {
        true => audience_of_id_tokens(reader)?,
        false => audience(reader, !client_ids.is_empty())?,
    };
    if audience == Audience::Any && reader.has(&AUDIENCE_CLAIMS) {
        let message = "\"audience_claims\" has no effect with audience = \"any\"";
        reader.problem(reader.key_span(&AUDIENCE_CLAIMS), message);
    }
    Some(Rules {
        audience,
        audience_claims,
        client_ids,
        token_use,
        typ,
        required_claims,
        leeway,
        scope_claims,
    })
}

fn audience_claims(reader: &mut Reader<'_>) -> Vec<Box<str>> {
    let texts = reader.get(&AUDIENCE_CLAIMS);
    for (index, text) in texts.iter().enumerate() {
        let mut before = texts.iter().take(index);
        if before.any(|other| other.text == text.text) {
            let message = format!("\"audience_claims\" has \"{}\" twice", text.text);
            reader.problem(text.span, message);
        }
    }
    boxed(texts)
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

/// The message for ID tokens without an `audience`.
const NO_AUDIENCE_OF_ID_TOKENS: &str =
    "\"audience\" is missing, and ID tokens have the id of their client in \"aud\"";

fn audience_of_id_tokens(reader: &mut Reader<'_>) -> Option<Audience> {
    if !reader.has(&AUDIENCE) {
        reader.missing_with(&AUDIENCE, NO_AUDIENCE_OF_ID_TOKENS, ID_TOKEN_ADVICE);
        return None;
    }
    let message = format!(
        "audience is \"any\": ID tokens are accepted, whichever client they were issued for; \
         {ID_TOKEN_ADVICE}"
    );
    listed_audience(reader, &message)
}

fn audience(reader: &mut Reader<'_>, has_clients: bool) -> Option<Audience> {
    if !reader.has(&AUDIENCE) && is_user_pool(reader) {
        // An example of an audience would refuse every token of the pool.
        reader.missing_with(&AUDIENCE, NO_AUDIENCE, COGNITO_ADVICE);
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
    listed_audience(reader, message)
}

/// Returns the audience as it is written. `about_any` is the note on every audience.
fn listed_audience(reader: &mut Reader<'_>, about_any: &str) -> Option<Audience> {
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
    reader.note(any.span, about_any);
    Some(Audience::Any)
}

fn is_user_pool(reader: &Reader<'_>) -> bool {
    let issuer = reader.peek(&ISSUER);
    issuer.is_some_and(|issuer| is_cognito(&issuer.text))
}

fn boxed(texts: Vec<Text>) -> Vec<Box<str>> {
    texts.into_iter().map(|text| text.text.into()).collect()
}
