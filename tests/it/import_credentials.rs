//! The credentials that imported documents are tried with: good tokens of every shape, and those
//! that nothing may let pass.

use serde_json::json;

use crate::import_table::{IssuerKind, Place, Table, TableIssuer};
use crate::support::{Key, Request, Token, now};

/// A scope that no document asks for.
const OTHER_SCOPE: &str = "aws.cognito.signin.user.admin";

/// A credential, and what the tables say about it.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) name: String,
    sent: Sent,
    /// Set if it is a token that its issuer signed for the client of the document.
    good: Option<Good>,
}

#[derive(Debug)]
struct Good {
    issuer: String,
    is_id: bool,
    /// Set if the authorizer tells ID tokens and access tokens apart, as Cognito's on REST APIs.
    has_kinds: bool,
    scopes: Vec<String>,
}

#[derive(Debug)]
enum Sent {
    Nothing,
    Token(String),
    Field(&'static str, String),
}

/// The claims of a token under construction.
struct Draft<'a> {
    issuer: &'a TableIssuer,
    is_id: bool,
    scopes: Vec<String>,
}

impl Credential {
    /// Returns whether a table means this credential by `who`.
    pub(crate) fn is(&self, who: &str) -> bool {
        if who == "anyone" {
            return true;
        }
        let (Some(good), Some((issuer, what))) = (&self.good, who.split_once(':')) else {
            return false;
        };
        let is_access = !good.is_id || !good.has_kinds;
        good.issuer == issuer
            && match what {
                "any" => true,
                "id" => good.is_id,
                scopes => is_access && scopes.split('+').all(|scope| good.has(scope)),
            }
    }

    /// Returns whether this is no credential at all.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.sent, Sent::Nothing)
    }

    /// Returns a request with this credential, in each form in which it can be sent.
    pub(crate) fn requests(&self, method: &str, path: &str, place: &Place) -> Vec<Request> {
        let plain = Request::new(method, path);
        match (&self.sent, place) {
            (Sent::Nothing, _) => vec![plain],
            (Sent::Field(name, value), _) => vec![plain.field(name, value)],
            (Sent::Token(token), Place::Authorization) => vec![
                plain.clone().bearer(token),
                plain.field("Authorization", token),
            ],
            (Sent::Token(token), Place::Bearer) => vec![plain.bearer(token)],
            (Sent::Token(token), Place::Header(name)) => vec![plain.field(name, token)],
            (Sent::Token(token), Place::Query(name)) => {
                vec![Request::new(method, &format!("{path}?{name}={token}"))]
            }
        }
    }

    /// Returns requests with this credential where the document does not look for it.
    pub(crate) fn misplaced(&self, method: &str, path: &str, place: &Place) -> Vec<Request> {
        let places = [
            Place::Authorization,
            Place::Header("x-access-token".to_owned()),
            Place::Header("x-authorization".to_owned()),
            Place::Query("access_token".to_owned()),
        ];
        let is_bearer = *place == Place::Bearer;
        let others = places
            .iter()
            .filter(|other| *other != place && !(is_bearer && **other == Place::Authorization));
        others
            .flat_map(|other| self.requests(method, path, other))
            .collect()
    }

    fn bad(name: &str, sent: Sent) -> Self {
        Self {
            name: name.to_owned(),
            sent,
            good: None,
        }
    }
}

impl Good {
    fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

/// The key of an issuer of a table.
pub(crate) fn key_of(table: &Table, url: &str) -> Key {
    let known = table.issuers.iter().position(|issuer| issuer.url == url);
    Key::rsa("key", known.map_or(0, |index| index + 1))
}

/// Returns every credential that a table is tried with.
pub(crate) fn credentials(table: &Table) -> Vec<Credential> {
    let mut all = vec![
        Credential::bad("nothing", Sent::Nothing),
        Credential::bad("junk", Sent::Token("junk".to_owned())),
        field("basic", "Authorization", "Basic YWxpY2U6c2VjcmV0"),
        field("api key", "x-api-key", "0123456789abcdef0123456789abcdef"),
        field("sigv4", "Authorization", SIGNATURE),
    ];
    for issuer in &table.issuers {
        let key = key_of(table, &issuer.url);
        all.extend(good(table, issuer, &key));
        all.extend(bad(table, issuer, &key));
    }
    let stranger = TableIssuer {
        label: "stranger".to_owned(),
        url: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Stranger1".to_owned(),
        kind: IssuerKind::Cognito,
        client: "web".to_owned(),
    };
    for is_id in [true, false] {
        let token = Draft::new(&stranger, is_id, &table.scopes()).token();
        let sent = Sent::Token(token.signed(&Key::rsa("key", 0)));
        all.push(Credential::bad("another pool's token", sent));
    }
    all
}

/// The field of a request that is signed for AWS.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 \
                         Credential=AKIDEXAMPLE/20260105/eu-west-1/execute-api/aws4_request, \
     SignedHeaders=host;x-amz-date, \
     Signature=fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024";

fn field(name: &str, field: &'static str, value: &str) -> Credential {
    Credential::bad(name, Sent::Field(field, value.to_owned()))
}

fn good(table: &Table, issuer: &TableIssuer, key: &Key) -> Vec<Credential> {
    let all = table.scopes();
    let mut drafts = vec![
        Draft::new(issuer, true, &[]),
        Draft::new(issuer, true, &all),
        Draft::new(issuer, false, &[]),
        Draft::new(issuer, false, &all),
    ];
    for scope in &all {
        drafts.push(Draft::new(issuer, false, std::slice::from_ref(scope)));
    }
    // A scope is compared whole (P-10).
    if let Some(scope) = all.first() {
        for other in [format!("{scope}y"), scope.to_uppercase()] {
            drafts.push(Draft::new(issuer, false, &[other]));
        }
    }
    drafts.into_iter().map(|draft| draft.signed(key)).collect()
}

/// Returns tokens that have every scope, and that are expired, of another signer, or for another
/// client.
fn bad(table: &Table, issuer: &TableIssuer, key: &Key) -> Vec<Credential> {
    let mut all = Vec::new();
    for is_id in [true, false] {
        let token = Draft::new(issuer, is_id, &table.scopes()).token();
        let expired = token.clone().with("exp", now() - 3600).signed(key);
        all.push(Credential::bad("expired", Sent::Token(expired)));
        let forged = token.signed(&Key::rsa("key", 0));
        all.push(Credential::bad("forged", Sent::Token(forged)));
        if issuer.kind == IssuerKind::Cognito {
            continue;
        }
        let is_by_client = issuer.kind == IssuerKind::Jwt && !is_id;
        let claim = if is_by_client { "client_id" } else { "aud" };
        let other = token.clone().with(claim, "other").signed(key);
        all.push(Credential::bad("another client's", Sent::Token(other)));
        // Where there is an audience, the client is not looked at (J6).
        let both = token
            .with("aud", "other")
            .with("client_id", issuer.client.as_str());
        let sent = Sent::Token(both.signed(key));
        all.push(Credential::bad("for another audience", sent));
    }
    all
}

impl<'a> Draft<'a> {
    fn new(issuer: &'a TableIssuer, is_id: bool, scopes: &[String]) -> Self {
        Self {
            issuer,
            is_id,
            scopes: scopes.to_vec(),
        }
    }

    /// Returns a token shaped like Cognito's.
    fn token(&self) -> Token {
        let client = self.issuer.client.as_str();
        let mut scopes = self.scopes.clone();
        scopes.push(OTHER_SCOPE.to_owned());
        let token = Token::of(&self.issuer.url, &scopes.join(" "));
        if self.is_id {
            let token = token.with("aud", client).with("client_id", json!(null));
            let token = match self.scopes.is_empty() {
                true => token.with("scope", json!(null)),
                false => token,
            };
            return token
                .with("token_use", "id")
                .with("cognito:username", "alice");
        }
        if self.issuer.kind == IssuerKind::Plain {
            return token.with("aud", client);
        }
        let token = token.with("aud", json!(null)).with("client_id", client);
        token.with("token_use", "access").with("version", 2)
    }

    fn signed(self, key: &Key) -> Credential {
        let kind = if self.is_id { "ID" } else { "access" };
        let scopes = self.scopes.join(" ");
        Credential {
            name: format!("{} token of {} with {scopes:?}", kind, self.issuer.label),
            sent: Sent::Token(self.token().signed(key)),
            good: Some(Good {
                issuer: self.issuer.label.clone(),
                is_id: self.is_id,
                has_kinds: self.issuer.kind == IssuerKind::Cognito,
                scopes: self.scopes,
            }),
        }
    }
}
