//! The content of a token beside what the issuer's entry accepts.
//!
//! Nothing of it is verified here: the rows are made of every token that can be read at all.

use std::sync::Arc;

use super::report::ClaimRow;
use super::shown::{all_quoted, kind_of, list, moment, quoted, value_of};
use crate::clock::UnixTime;
use crate::config::printable;
use crate::issuer::{Algorithm, Key};
use crate::policy::{Claim, Claims};
use crate::snapshot::Route;
use crate::telemetry::Quoted;
use crate::tls::Fingerprint;
use crate::token::{
    Audience, BearerToken, ClaimDemand, Outline, RequestContext, Rules, ScopeClaim, TypPolicy,
    Verifier,
};

/// The claims that hold scopes unless the issuer's entry names others.
const USUAL_SCOPE_CLAIMS: [&str; 2] = ["scope", "scp"];

/// A token that can be read, and the entry of the issuer that it names.
#[derive(Debug)]
pub(super) struct TokenView<'a> {
    pub(super) outline: Outline,
    /// The verifier of the issuer in `iss`, or else the only one of the route.
    pub(super) verifier: Option<&'a Verifier>,
    route: &'a Route,
    context: RequestContext<'a>,
}

impl<'a> TokenView<'a> {
    /// Reads a token of a route; `None` if it cannot be read.
    pub(super) fn of(
        token: BearerToken<'_>,
        route: &'a Route,
        context: RequestContext<'a>,
    ) -> Option<Self> {
        let outline = Outline::of(token)?;
        let mut verifiers = route.verifiers.iter().map(AsRef::as_ref);
        let is_named = |verifier: &&Verifier| {
            outline.issuer.as_deref() == Some(&*verifier.issuer().entry().issuer)
        };
        let verifier = match (verifiers.clone().find(is_named), verifiers.len()) {
            (Some(verifier), _) => Some(verifier),
            (None, 1) => verifiers.next(),
            (None, _) => None,
        };
        Some(Self {
            outline,
            verifier,
            route,
            context,
        })
    }

    /// Returns whether the token has expired, by the rules of its issuer.
    pub(super) fn is_expired(&self) -> bool {
        let leeway = self.rules().map_or(0, |rules| rules.leeway.as_secs());
        self.outline
            .expires
            .is_some_and(|expires| self.context.now.0 >= expires.saturating_add(leeway))
    }

    /// Returns a row for each member and claim that a decision depends on.
    pub(super) fn rows(&self) -> Vec<ClaimRow> {
        let mut rows = self.header_rows();
        rows.extend(self.registered_rows());
        if let Some(rules) = self.rules() {
            rows.extend(self.required_rows(rules));
        }
        rows.extend(self.scope_rows());
        rows.extend(self.binding_rows());
        rows
    }

    pub(super) fn rules(&self) -> Option<&'a Rules> {
        self.verifier.map(Verifier::rules)
    }

    pub(super) fn now(&self) -> UnixTime {
        self.context.now
    }

    fn header_rows(&self) -> Vec<ClaimRow> {
        let header = &self.outline.header;
        let entry = self.verifier.map(|verifier| verifier.issuer().entry());
        let algorithms = entry.map(|entry| list(entry.algorithms.iter().map(|one| one.name())));
        let mut rows = vec![row("alg", value_of(header.get("alg")), algorithms)];
        let algorithm = match header.get("alg") {
            Some(Claim::Text(name)) => Algorithm::parse(name),
            _ => None,
        };
        let kids = self.verifier.and_then(|verifier| kids(verifier, algorithm));
        rows.push(row("kid", value_of(header.get("kid")), kids));
        let policy = self.rules().map(|rules| typ_policy(rules.typ).to_owned());
        rows.push(row("typ", value_of(header.get("typ")), policy));
        for name in ["crit", "b64", "enc", "zip"] {
            if let Some(value) = header.get(name) {
                rows.push(row(name, value_of(Some(value)), Some("none".to_owned())));
            }
        }
        rows
    }

    fn registered_rows(&self) -> Vec<ClaimRow> {
        let Outline {
            expires,
            not_before,
            client,
            claims,
            ..
        } = &self.outline;
        let rules = self.rules();
        let issuers = self.route.verifiers.iter();
        let issuers = all_quoted(issuers.map(|verifier| &*verifier.issuer().entry().issuer));
        let mut rows = vec![row("iss", value_of(claims.get("iss")), Some(issuers))];
        rows.extend(self.audience_rows());
        if let Some(subject) = claims.get("sub") {
            rows.push(row("sub", value_of(Some(subject)), None));
        }
        let clients = rules.and_then(clients);
        rows.push(row("client", quoted(client.as_deref()), clients));
        let token_use = rules.and_then(|rules| rules.token_use.as_deref());
        let found = claims.get("token_use");
        if found.is_some() || token_use.is_some() {
            let wanted = token_use.map(|wanted| quoted(Some(wanted)));
            rows.push(row("token_use", value_of(found), wanted));
        }
        let now = self.context.now;
        let mut expiry = match expires {
            Some(at) => moment(*at, now),
            None => value_of(claims.get("exp")),
        };
        if self.is_expired() {
            expiry.push_str(": expired");
        }
        rows.push(row("exp", expiry, None));
        if let Some(found) = claims.get("nbf") {
            let start = match not_before {
                Some(at) => moment(*at, now),
                None => value_of(Some(found)),
            };
            rows.push(row("nbf", start, None));
        }
        rows
    }

    /// Returns a row for each claim that may name the audience. The first that is present decides.
    fn audience_rows(&self) -> Vec<ClaimRow> {
        let claims = &self.outline.claims;
        let Some(rules) = self.rules() else {
            return vec![row("aud", value_of(claims.get("aud")), None)];
        };
        let deciding = rules.audience_claim(claims).map(|(name, _)| name);
        let mut rows = Vec::new();
        for name in &rules.audience_claims {
            let found = value_of(claims.find(name));
            rows.push(match deciding {
                Some(deciding) if *deciding != **name => {
                    row(name, format!("{found}, not read: {deciding} decides"), None)
                }
                _ => row(name, found, audience(rules)),
            });
        }
        rows
    }

    fn required_rows(&self, rules: &Rules) -> Vec<ClaimRow> {
        let mut rows = Vec::new();
        for required in &rules.required_claims {
            let found = value_of(self.outline.claims.find(&required.claim));
            let wanted = match &required.demand {
                ClaimDemand::Present => "any value".to_owned(),
                ClaimDemand::OneOf(values) => {
                    list(values.iter().map(|value| value_of(Some(value))))
                }
            };
            rows.push(row(&required.claim, found, Some(wanted)));
        }
        rows
    }

    /// Returns the claims that hold scopes by the issuer's entry, and those that hold scopes
    /// elsewhere and are not read.
    fn scope_rows(&self) -> Vec<ClaimRow> {
        let claims = &self.outline.claims;
        let named = self.scope_claims();
        let mut rows = Vec::new();
        for scope_claim in &named {
            if let Some(claim) = claims.find(&scope_claim.path) {
                let name = scope_claim.to_string();
                rows.push(row(&name, granted(scope_claim, claim, claims), None));
            }
        }
        if rows.is_empty() {
            let found = "none, so that no scope is granted".to_owned();
            rows.push(row(&list(&named), found, None));
        }
        for name in USUAL_SCOPE_CLAIMS {
            if !named.iter().any(|one| *one.path == *name)
                && let Some(claim) = claims.get(name)
            {
                let found = value_of(Some(claim));
                let found = format!("{found}, not read: scope_claims names others");
                rows.push(row(name, found, None));
            }
        }
        rows
    }

    /// Returns the claims that hold scopes.
    fn scope_claims(&self) -> Vec<ScopeClaim> {
        match self.rules() {
            Some(rules) => rules.scope_claims.clone(),
            None => USUAL_SCOPE_CLAIMS.map(ScopeClaim::from).to_vec(),
        }
    }

    fn binding_rows(&self) -> Vec<ClaimRow> {
        let Some(confirmation) = &self.outline.confirmation else {
            return Vec::new();
        };
        let shown = match self.context.certificate.map(Fingerprint::thumbprint) {
            Some(thumbprint) => format!("the client's certificate, \"x5t#S256 {thumbprint}\""),
            None => "a client's certificate, and there is none".to_owned(),
        };
        vec![row("cnf", Quoted(confirmation).to_string(), Some(shown))]
    }
}

fn row(name: &str, found: String, wanted: Option<String>) -> ClaimRow {
    ClaimRow {
        name: printable(name).into_owned(),
        found,
        wanted,
    }
}

/// Returns the scopes of a claim, or the kind of a claim that has none.
fn granted(scope_claim: &ScopeClaim, claim: &Claim, claims: &Claims) -> String {
    let scopes = scope_claim.granted_by(claims);
    if scopes.iter().next().is_some() {
        return all_quoted(scopes.iter());
    }
    let kind = kind_of(claim);
    match (claim, scope_claim.takes_names) {
        (Claim::Map(_), true) => "an object without a name that is granted".to_owned(),
        (_, true) => format!("{kind}, which has no names of members"),
        (Claim::Map(_), false) => {
            format!("{kind}, which grants nothing; \"{scope_claim}.*\" takes the names of members")
        }
        (Claim::Text(_), false) => "empty".to_owned(),
        (claim, false) if claim.as_texts().is_some() => "an empty list".to_owned(),
        (_, false) => format!("{kind}, which grants nothing"),
    }
}

fn audience(rules: &Rules) -> Option<String> {
    match &rules.audience {
        Audience::Any => None,
        Audience::OneOf(accepted) => Some(all_quoted(accepted.iter().map(AsRef::as_ref))),
    }
}

fn clients(rules: &Rules) -> Option<String> {
    let accepted = &rules.client_ids;
    (!accepted.is_empty()).then(|| all_quoted(accepted.iter().map(AsRef::as_ref)))
}

/// Returns the `kid`s of the issuer's keys for an algorithm, or of all if a token has none that is
/// known; `None` if there are no keys (yet).
fn kids(verifier: &Verifier, algorithm: Option<Algorithm>) -> Option<String> {
    let set = verifier.issuer().keys();
    let fits = |key: &&Arc<Key>| algorithm.is_none_or(|algorithm| key.allows(algorithm));
    let keys: Vec<_> = set.keys.iter().filter(fits).collect();
    let mut kids: Vec<&str> = keys.iter().filter_map(|key| key.kid()).collect();
    kids.dedup();
    match (kids.len(), keys.len()) {
        (_, 0) if set.keys.is_empty() => None,
        (_, 0) => Some("none: no key is for this alg".to_owned()),
        (0, without) => Some(format!("none: {without} keys without a kid")),
        _ => Some(all_quoted(kids)),
    }
}

/// Returns the header's types that a policy accepts.
fn typ_policy(policy: TypPolicy) -> &'static str {
    match policy {
        TypPolicy::AtJwt => "\"at+jwt\" (typ = \"at+jwt\")",
        TypPolicy::Access => "\"at+jwt\", \"JWT\" or none (typ = \"access\")",
        TypPolicy::Untyped => "\"at+jwt\", \"JWT\" or none (typ = \"untyped\")",
        TypPolicy::Any => "\"at+jwt\", \"JWT\" or none (typ = \"any\")",
    }
}
