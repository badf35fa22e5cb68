//! The kind of a token: an access token, or another one of the same issuer (RFC 8725 §3.11).

use super::excerpt::Excerpt;
use super::jwt::{Jwt, Typ};
use super::kind::{AcceptedKind, KindFault, OtherKind};
use super::{Rules, TypPolicy};
use crate::policy::{Claim, Claims, Scope, ScopeSet};

/// The claims that an access token of RFC 9068 §2.2 has.
const RFC_9068_CLAIMS: [&str; 7] = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];

/// The claims that only ID tokens have (OpenID Connect Core §3.3.2.11): hashes of what was issued
/// beside them.
const HASH_CLAIMS: [&str; 3] = ["at_hash", "c_hash", "s_hash"];

/// The claim by which an ID token is bound to a login (OpenID Connect Core §2). Some issuers copy
/// it into access tokens, which have a scope as well.
const NONCE: &str = "nonce";

/// The claims of which an access token has one that grants a scope, and an ID token never has any,
/// whatever else it has.
const SCOPE_CLAIMS: [&str; 2] = ["scope", "scp"];

/// The claims that state the scope of the access, as a string or a list of strings. One of them
/// marks an access token of an issuer that does not type its tokens, since an ID token has none.
/// `roles` is Entra's, and `permissions` is Auth0's.
const ACCESS_CLAIMS: [&str; 4] = ["scope", "scp", "roles", "permissions"];

/// The claims that state the client that has the access, as a string, and mark an access token as
/// well. An ID token has none of them but `azp`, which is therefore not listed. `cid` is Okta's,
/// and
/// `appid` is Entra's.
const MARKING_CLIENTS: [&str; 3] = ["client_id", "cid", "appid"];

/// The event of a logout token (OpenID Connect Back-Channel Logout §2.4), which an issuer may leave
/// without a type.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Returns why a token is not of the kind that the rules accept; `None` if it is of that kind. The
/// result cannot change while the rules live, so that the cache keeps it.
pub(super) fn other_kind(jwt: &Jwt<'_>, rules: &Rules) -> Option<OtherKind> {
    Some(OtherKind {
        accepted: rules.accepted_kind(),
        fault: kind_fault(jwt, rules)?,
    })
}

fn kind_fault(jwt: &Jwt<'_>, rules: &Rules) -> Option<KindFault> {
    let token_use = jwt.registered.token_use.as_deref();
    if let Some(wanted) = &rules.token_use
        && token_use != Some(&**wanted)
    {
        return Some(KindFault::TokenUse {
            found: token_use.map(Excerpt::of),
            wanted: Excerpt::of(wanted),
        });
    }
    let typ = jwt.typ_text.as_deref().map(Excerpt::of);
    match jwt.typ {
        Typ::Other => typ.map(KindFault::HeaderTyp),
        Typ::Untyped if rules.accepted_kind() == AcceptedKind::Id => None,
        Typ::Untyped if rules.typ == TypPolicy::AtJwt => Some(KindFault::NotAtJwt(typ)),
        Typ::Untyped => of_untyped(&jwt.claims, rules),
        Typ::AtJwt if rules.typ == TypPolicy::AtJwt => absent_rfc_9068_claim(&jwt.claims),
        Typ::AtJwt => None,
    }
}

/// Returns why the claims of a token without a type are not those of an access token.
fn of_untyped(claims: &Claims, rules: &Rules) -> Option<KindFault> {
    if is_logout(claims) {
        return Some(KindFault::Logout);
    }
    let accepts_all = rules.typ == TypPolicy::Any;
    match claims.get("typ").and_then(Claim::as_text) {
        // Keycloak states the type in the claims.
        Some("Bearer") => return None,
        Some("ID") if accepts_all => return None,
        Some(typ @ ("ID" | "Refresh" | "Offline" | "Logout")) => {
            return Some(KindFault::ClaimTyp(Excerpt::of(typ)));
        }
        _ if accepts_all => return None,
        _ => {}
    }
    if let Some(name) = HASH_CLAIMS.into_iter().find(|name| is_there(claims, name)) {
        return Some(KindFault::IdToken(name));
    }
    if is_there(claims, NONCE) && !has_scope(claims) {
        return Some(KindFault::Nonce);
    }
    let is_marked =
        rules.typ == TypPolicy::Untyped || rules.has_scope_claim(claims) || states_access(claims);
    (!is_marked).then_some(KindFault::Unmarked)
}

/// Returns whether the claims state the scope of an access or the client that has it. A claim of
/// another type states nothing.
fn states_access(claims: &Claims) -> bool {
    let mut access = ACCESS_CLAIMS.iter().filter_map(|name| claims.get(name));
    let mut clients = MARKING_CLIENTS.iter().filter_map(|name| claims.get(name));
    access.any(|claim| claim.as_texts().is_some()) || clients.any(|claim| claim.as_text().is_some())
}

/// Returns whether the claims have a member that is not `null`.
fn is_there(claims: &Claims, name: &str) -> bool {
    !matches!(claims.get(name), None | Some(Claim::Null))
}

/// Returns whether a scope claim grants a scope. One that is empty or of another type shows
/// nothing: an issuer may write it into each of its tokens.
fn has_scope(claims: &Claims) -> bool {
    let found = SCOPE_CLAIMS.iter().filter_map(|name| claims.get(name));
    let granted = ScopeSet::granted_by(found);
    granted.iter().any(|scope| Scope::parse(scope).is_ok())
}

fn is_logout(claims: &Claims) -> bool {
    match claims.get("events") {
        Some(Claim::Map(events)) => events.get(LOGOUT_EVENT).is_some(),
        _ => false,
    }
}

/// Finds a claim that RFC 9068 §2.2 requires and that is absent or not of its type. Those that
/// every token needs were checked already.
fn absent_rfc_9068_claim(claims: &Claims) -> Option<KindFault> {
    for name in RFC_9068_CLAIMS {
        let is_good = match (name, claims.get(name)) {
            (_, None | Some(Claim::Null)) => false,
            ("aud", Some(claim)) => claim.as_texts().is_some(),
            ("client_id", Some(claim)) => claim.as_text().is_some(),
            (_, Some(_)) => true,
        };
        if !is_good {
            return Some(KindFault::Rfc9068(name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::Audience;
    use super::*;

    fn rules(typ: TypPolicy) -> Rules {
        Rules {
            audience: Audience::Any,
            audience_claims: Vec::new(),
            client_ids: Vec::new(),
            token_use: None,
            leeway: Duration::ZERO,
            typ,
            required_claims: Vec::new(),
            scope_claims: vec!["scope".into()],
        }
    }

    /// Judges a token with this `typ` in its header, or without one, and these claims besides those
    /// that every token has.
    fn fault_of(rules: &Rules, typ: Option<&str>, claims: &str) -> Option<KindFault> {
        let typ = typ.map(|typ| format!(r#","typ":"{typ}""#));
        let header = format!(r#"{{"alg":"RS256"{}}}"#, typ.unwrap_or_default());
        let comma = if claims.is_empty() { "" } else { "," };
        let claims = format!(r#"{{"iss":"a","exp":1{comma}{claims}}}"#);
        let [header, claims] = [header, claims].map(|text| URL_SAFE_NO_PAD.encode(text));
        let text = format!("{header}.{claims}.c2ln");
        kind_fault(&Jwt::parse(&text).unwrap(), rules)
    }

    fn claim_typ(typ: &str) -> Option<KindFault> {
        Some(KindFault::ClaimTyp(Excerpt::of(typ)))
    }

    #[test]
    fn a_token_without_a_type_has_a_mark_of_access_tokens_and_none_of_others() {
        let rules = rules(TypPolicy::Access);
        let logout =
            r#""scope":"a","events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#;
        for (claims, expected) in [
            (r#""scope":"a""#, None),
            (r#""scp":["a"]"#, None),
            (r#""roles":["a"]"#, None),
            (r#""permissions":"a""#, None),
            (r#""client_id":"c""#, None),
            (r#""cid":"c""#, None),
            (r#""appid":"c""#, None),
            ("", Some(KindFault::Unmarked)),
            (r#""azp":"c""#, Some(KindFault::Unmarked)),
            (r#""scope":1,"client_id":["c"]"#, Some(KindFault::Unmarked)),
            // What Keycloak says in the claims.
            (r#""typ":"Bearer""#, None),
            (r#""typ":"another","scope":"a""#, None),
            (r#""typ":"ID","scope":"a""#, claim_typ("ID")),
            (r#""typ":"Refresh","scope":"a""#, claim_typ("Refresh")),
            (r#""typ":"Offline","scope":"a""#, claim_typ("Offline")),
            (r#""typ":"Logout","scope":"a""#, claim_typ("Logout")),
            (
                r#""scope":"a","at_hash":"h""#,
                Some(KindFault::IdToken("at_hash")),
            ),
            (
                r#""scope":"a","c_hash":"h""#,
                Some(KindFault::IdToken("c_hash")),
            ),
            (
                r#""scope":"a","s_hash":"h""#,
                Some(KindFault::IdToken("s_hash")),
            ),
            (r#""scope":"a","at_hash":null"#, None),
            (r#""scope":"a","nonce":"n""#, None),
            (r#""scp":["a"],"nonce":"n""#, None),
            (r#""scope":"","nonce":"n""#, Some(KindFault::Nonce)),
            (r#""client_id":"c","nonce":"n""#, Some(KindFault::Nonce)),
            (r#""client_id":"c","nonce":null"#, None),
            (logout, Some(KindFault::Logout)),
            (r#""scope":"a","events":{"another":{}}"#, None),
        ] {
            assert_eq!(fault_of(&rules, None, claims), expected, "{claims}");
        }
    }

    #[test]
    fn each_policy_accepts_more_than_the_one_before() {
        use TypPolicy::{Access, Any, AtJwt, Untyped};
        let full = r#""aud":"a","sub":"s","client_id":"c","iat":1,"jti":"j""#;
        let policies = [AtJwt, Access, Untyped, Any];
        // The first policy by which the token is accepted.
        for (typ, claims, first) in [
            (Some("at+jwt"), full, Some(AtJwt)),
            (Some("at+jwt"), "", Some(Access)),
            (Some("JWT"), full, Some(Access)),
            (None, r#""scope":"a""#, Some(Access)),
            (None, "", Some(Untyped)),
            (None, r#""nonce":"n""#, Some(Any)),
            (None, r#""at_hash":"h""#, Some(Any)),
            (None, r#""typ":"ID""#, Some(Any)),
            (None, r#""typ":"Refresh""#, None),
            (Some("logout+jwt"), full, None),
        ] {
            let is_accepted = |typ_policy| fault_of(&rules(typ_policy), typ, claims).is_none();
            let accepted: Vec<_> = policies
                .into_iter()
                .filter(|one| is_accepted(*one))
                .collect();
            let start = policies.iter().position(|one| Some(*one) == first);
            assert_eq!(
                accepted,
                policies[start.unwrap_or(policies.len())..],
                "{typ:?} {claims}"
            );
        }
    }

    #[test]
    fn a_typed_token_has_the_claims_of_its_type() {
        let rules = rules(TypPolicy::AtJwt);
        let members = [
            ("aud", r#""aud":["a"]"#),
            ("sub", r#""sub":"s""#),
            ("client_id", r#""client_id":"c""#),
            ("iat", r#""iat":1"#),
            ("jti", r#""jti":"j""#),
        ];
        for (missing, _) in members {
            let others = members.iter().filter(|(name, _)| *name != missing);
            let others: Vec<_> = others.map(|(_, member)| *member).collect();
            let (others, expected) = (others.join(","), Some(KindFault::Rfc9068(missing)));
            assert_eq!(fault_of(&rules, Some("at+jwt"), &others), expected);
            // The types of these are checked for every token.
            if matches!(missing, "sub" | "iat") {
                continue;
            }
            let null = format!(r#"{others},"{missing}":null"#);
            assert_eq!(fault_of(&rules, Some("at+jwt"), &null), expected);
            let number = format!(r#"{others},"{missing}":1"#);
            let is_bad = missing != "jti";
            assert_eq!(
                fault_of(&rules, Some("at+jwt"), &number),
                expected.filter(|_| is_bad)
            );
        }
        let untyped = fault_of(&rules, None, r#""scope":"a""#);
        assert_eq!(untyped, Some(KindFault::NotAtJwt(None)));
        let jwt = Some(KindFault::NotAtJwt(Some(Excerpt::of("JWT"))));
        assert_eq!(fault_of(&rules, Some("JWT"), r#""scope":"a""#), jwt);
        let other = Some(KindFault::HeaderTyp(Excerpt::of("dpop+jwt")));
        assert_eq!(fault_of(&rules, Some("dpop+jwt"), ""), other);
    }

    #[test]
    fn token_use_goes_before_the_other_marks() {
        let with = |token_use: &str| Rules {
            token_use: Some(token_use.into()),
            ..rules(TypPolicy::Access)
        };
        let other = |found: Option<&str>, wanted| KindFault::TokenUse {
            found: found.map(Excerpt::of),
            wanted: Excerpt::of(wanted),
        };
        for (wanted, claims, expected) in [
            ("access", r#""token_use":"access","scope":"a""#, None),
            (
                "access",
                r#""token_use":"access""#,
                Some(KindFault::Unmarked),
            ),
            (
                "access",
                r#""token_use":"id","scope":"a""#,
                Some(other(Some("id"), "access")),
            ),
            ("access", r#""scope":"a""#, Some(other(None, "access"))),
            // An ID token has no marks of access tokens, and is accepted with its own.
            ("id", r#""token_use":"id","at_hash":"h","nonce":"n""#, None),
            (
                "id",
                r#""token_use":"access","scope":"a""#,
                Some(other(Some("access"), "id")),
            ),
        ] {
            assert_eq!(
                fault_of(&with(wanted), None, claims),
                expected,
                "{wanted} {claims}"
            );
        }
    }
}
