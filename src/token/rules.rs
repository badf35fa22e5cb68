//! The rules for the tokens of an issuer, beyond their signature.

use std::time::Duration;

use super::claims::{CLIENT_CLAIMS, STRING, optional};
use super::excerpt::kind;
use super::kind::AcceptedKind;
use super::malformation::Malformation;
use super::scope_claim::ScopeClaim;
use crate::policy::{Claim, Claims};

/// The rules of one issuer. Each of them is checked for each request, from the current snapshot,
/// for cached tokens as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The accepted audiences.
    pub audience: Audience,
    /// The claims that name the audience, by name or dotted path: the first that is present
    /// decides. Never empty.
    pub audience_claims: Vec<Box<str>>,
    /// The clients whose tokens are accepted (`client_id`, or else `azp`, `appid` or `cid`); empty
    /// for every client.
    pub client_ids: Vec<Box<str>>,
    /// The exact value that `token_use` must have (`access` for Cognito), if any.
    pub token_use: Option<Box<str>>,
    /// The marks by which a token is recognised as an access token.
    pub typ: TypPolicy,
    /// The claims that a token must have, all of them.
    pub required_claims: Vec<RequiredClaim>,
    /// The tolerated difference of clocks for `exp` and `nbf`; at most [`Rules::MAX_LEEWAY`].
    pub leeway: Duration,
    /// The claims that hold scopes. Never empty.
    pub scope_claims: Vec<ScopeClaim>,
}

impl Rules {
    /// The largest leeway. A clock that differs by more than five minutes is broken.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

    /// Returns the kind of token that the rules accept.
    #[must_use]
    pub fn accepted_kind(&self) -> AcceptedKind {
        match (self.token_use.as_deref(), self.typ) {
            (Some("id"), _) => AcceptedKind::Id,
            (None, TypPolicy::Any) => AcceptedKind::Any,
            _ => AcceptedKind::Access,
        }
    }

    /// Checks the types of the claims that these rules ask for. The others may have any type.
    ///
    /// # Errors
    /// The fault of a claim with the wrong type.
    pub(super) fn check_types(&self, claims: &Claims) -> Result<(), Malformation> {
        if self.audience != Audience::Any
            && let Some((name, claim)) = self.audience_claim(claims)
        {
            check_texts(name, claim)?;
        }
        if self.token_use.is_some() {
            optional(claims, "token_use", Claim::as_text, STRING)?;
        }
        if !self.client_ids.is_empty() {
            // The first one that is there decides: another one is no substitute for it.
            let mut names = CLIENT_CLAIMS.into_iter();
            if let Some(name) = names.find(|name| claims.get(name).is_some()) {
                optional(claims, name, Claim::as_text, STRING)?;
            }
        }
        Ok(())
    }

    /// Returns the claim that names the audience, with its name: the first of
    /// [`Rules::audience_claims`] that is present, whatever its type.
    #[must_use]
    pub fn audience_claim<'c>(&self, claims: &'c Claims) -> Option<(&str, &'c Claim)> {
        let mut names = self.audience_claims.iter();
        names.find_map(|name| Some((&**name, claims.find(name)?)))
    }

    /// Returns the audience of a token; empty if it names none, or none is asked for.
    pub(super) fn audience_of(&self, claims: &Claims) -> Vec<Box<str>> {
        if self.audience == Audience::Any {
            return Vec::new();
        }
        let claim = self.audience_claim(claims);
        let texts = claim.and_then(|(_, claim)| claim.as_texts());
        let texts = texts.unwrap_or_default();
        texts.into_iter().map(Box::from).collect()
    }

    /// Returns whether the claims have a scope claim that is not `null`.
    pub(super) fn has_scope_claim(&self, claims: &Claims) -> bool {
        let named = self.scope_claims.iter();
        let mut found = named.filter_map(|claim| claims.find(&claim.path));
        found.any(|claim| claim.as_texts().is_some())
    }

    /// Returns whether tokens of a client are accepted.
    pub(super) fn accepts_client(&self, client: Option<&str>) -> bool {
        if self.client_ids.is_empty() {
            return true;
        }
        match client {
            Some(client) => self.client_ids.iter().any(|one| **one == *client),
            None => false,
        }
    }
}

/// The marks by which a token is recognised as an access token, and not as another token of the
/// same issuer (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypPolicy {
    /// RFC 9068: `typ` is `at+jwt`, and the claims of its §2.2 are present.
    AtJwt,
    /// `at+jwt`; or a token without a type (or `JWT`) that has a claim of access tokens, such as a
    /// scope or a client, and none that only ID tokens have.
    Access,
    /// `at+jwt`; or any token without a type that has no claim that only ID tokens have.
    Untyped,
    /// `at+jwt`; or any token without a type, even one that is built like an ID token.
    Any,
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredClaim {
    /// A name or a dotted path.
    pub claim: Box<str>,
    /// The value that it must have.
    pub demand: ClaimDemand,
}

/// The value that a required claim must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimDemand {
    /// Anything but `null`.
    Present,
    /// One of these scalars, or a list that holds one of them. Never empty.
    OneOf(Vec<Claim>),
}

impl RequiredClaim {
    /// Returns whether the claims have it.
    #[must_use]
    pub fn is_met(&self, claims: &Claims) -> bool {
        let Some(found) = claims.find(&self.claim) else {
            return false;
        };
        match (&self.demand, found) {
            (ClaimDemand::Present, found) => *found != Claim::Null,
            (ClaimDemand::OneOf(wanted), Claim::List(items)) => {
                items.iter().any(|item| is_among(item, wanted))
            }
            (ClaimDemand::OneOf(wanted), found) => is_among(found, wanted),
        }
    }
}

/// Checks that a claim is a string or a list of strings.
fn check_texts(name: &str, claim: &Claim) -> Result<(), Malformation> {
    let name = name.into();
    match claim {
        claim if claim.as_texts().is_some() => Ok(()),
        Claim::List(_) => Err(Malformation::Item { name }),
        claim => {
            let found = kind(claim);
            Err(Malformation::Texts { name, found })
        }
    }
}

fn is_among(found: &Claim, wanted: &[Claim]) -> bool {
    wanted.iter().any(|one| one.is_worth(found))
}

/// The accepted audiences (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All of them: the audience is not checked. The configuration has to state `"any"`.
    Any,
    /// The token must name one of these. Never empty.
    OneOf(Vec<Box<str>>),
}

impl Audience {
    /// Returns whether a token of this audience names an accepted one.
    pub(super) fn is_named_by(&self, audience: &[Box<str>]) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(accepted) => accepted.iter().any(|one| audience.contains(one)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::malformation::Part;
    use super::*;

    #[test]
    fn a_required_claim_has_one_of_the_values_or_is_present() {
        let text = |text: &str| Claim::Text(text.into());
        let claims = Claims::of(vec![
            ("tenant".into(), text("a")),
            ("groups".into(), Claim::List(vec![text("x"), text("y")])),
            ("nothing".into(), Claim::Null),
            ("level".into(), Claim::Number("2.0".into())),
        ]);
        let claims = claims.unwrap();
        let met = |claim: &str, demand: ClaimDemand| {
            RequiredClaim {
                claim: claim.into(),
                demand,
            }
            .is_met(&claims)
        };
        assert!(met(
            "tenant",
            ClaimDemand::OneOf(vec![text("b"), text("a")])
        ));
        assert!(!met("tenant", ClaimDemand::OneOf(vec![text("A")])));
        assert!(met("groups", ClaimDemand::OneOf(vec![text("y")])));
        assert!(!met("groups", ClaimDemand::OneOf(vec![text("z")])));
        assert!(met(
            "level",
            ClaimDemand::OneOf(vec![Claim::Number("2".into())])
        ));
        assert!(!met("level", ClaimDemand::OneOf(vec![text("2")])));
        assert!(met("groups", ClaimDemand::Present));
        assert!(!met("nothing", ClaimDemand::Present) && !met("absent", ClaimDemand::Present));
    }

    fn rules() -> Rules {
        Rules {
            audience: Audience::OneOf(vec!["api".into()]),
            audience_claims: vec!["resource".into(), "aud".into()],
            client_ids: vec!["web".into()],
            token_use: Some("access".into()),
            leeway: Duration::ZERO,
            typ: TypPolicy::Access,
            required_claims: Vec::new(),
            scope_claims: vec!["scope".into()],
        }
    }

    fn claims(members: &[(&str, Claim)]) -> Claims {
        let members = members
            .iter()
            .map(|(name, claim)| ((*name).into(), claim.clone()));
        Claims::of(members.collect()).unwrap()
    }

    #[test]
    fn the_claims_that_are_asked_for_have_their_types() {
        let (text, number) = (Claim::Text("a".into()), Claim::Number("1".into()));
        let list = Claim::List(vec![text.clone()]);
        let mixed = Claim::List(vec![text.clone(), number.clone()]);
        let name = || "aud".into();
        let wrong = |name| Malformation::Type {
            part: Part::Claims,
            name,
            found: "a number",
            wanted: "a string",
        };
        for (member, claim, expected) in [
            ("aud", &text, Ok(())),
            ("aud", &list, Ok(())),
            ("aud", &mixed, Err(Malformation::Item { name: name() })),
            (
                "aud",
                &number,
                Err(Malformation::Texts {
                    name: name(),
                    found: "a number",
                }),
            ),
            ("token_use", &text, Ok(())),
            ("token_use", &number, Err(wrong("token_use"))),
            ("client_id", &text, Ok(())),
            ("client_id", &number, Err(wrong("client_id"))),
            ("another", &number, Ok(())),
        ] {
            let claims = claims(&[(member, claim.clone())]);
            assert_eq!(rules().check_types(&claims), expected, "{member}");
        }
        // The first claim of the audience decides, and so does the first one of the client.
        let both = claims(&[("resource", text.clone()), ("aud", number.clone())]);
        assert_eq!(rules().check_types(&both), Ok(()));
        let clients = claims(&[("client_id", text), ("azp", number.clone())]);
        assert_eq!(rules().check_types(&clients), Ok(()));
        let lenient = Rules {
            audience: Audience::Any,
            client_ids: Vec::new(),
            token_use: None,
            ..rules()
        };
        let all = claims(&[
            ("aud", number.clone()),
            ("client_id", number.clone()),
            ("token_use", number),
        ]);
        assert_eq!(lenient.check_types(&all), Ok(()));
    }

    #[test]
    fn a_token_without_a_client_is_none_of_the_clients() {
        assert!(rules().accepts_client(Some("web")));
        assert!(!rules().accepts_client(Some("Web")) && !rules().accepts_client(None));
        let all = Rules {
            client_ids: Vec::new(),
            ..rules()
        };
        assert!(all.accepts_client(None) && all.accepts_client(Some("other")));
    }
}
