//! The configuration, tokens, and the verdicts that follow from them and from the keys of issuers:
//! worked out without a cache, a signature, or any code of the gateway.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::chance::Chance;
use super::keys::{IssuerKeys, KIDS, Published, algorithms, key_set, rotate, signer};
use crate::issuer::Algorithm;
use crate::issuer::fixture::b64;
use crate::tls::Fingerprint;

/// The verdict that forwards.
pub(super) const ALLOWED: &str = "allowed";

/// The issuers: two whose keys are fetched, one whose keys the configuration holds, and two tenants
/// of one entry.
pub(super) const ISSUERS: [&str; 5] = ["a", "b", "fixed", "multi/x", "multi/y"];
pub(super) const FIXED: &str = "fixed";

/// The entries of the configuration. Two of them have one issuer.
const ENTRIES: [&str; 5] = ["a", "a2", "b", FIXED, "multi"];

/// Returns the name of an entry's issuer, without its tenant.
fn issuer_of(entry: &'static str) -> &'static str {
    match entry {
        "a2" => "a",
        other => other,
    }
}

/// Returns the issuer with this `iss`.
pub(super) fn issuer_with(iss_of_it: &str) -> &'static str {
    let mut issuers = ISSUERS.into_iter();
    issuers.find(|issuer| iss(issuer) == iss_of_it).unwrap()
}

/// The clients with a certificate, and `None` for one without.
const CLIENTS: [Option<&str>; 3] = [Some("mallory"), Some("alice"), None];

/// The settings of an entry. The first three fields identify its issuer, whose entries agree about
/// the second and the third; the others are the entry's own rules, and a change of them makes no
/// other issuer.
#[derive(Clone, Debug)]
struct IssuerSettings {
    is_configured: bool,
    place: usize,
    only_es256: bool,
    audience: &'static str,
    audience_claims: &'static [&'static str],
    leeway: u64,
    client: Option<&'static str>,
    scope_claim: Option<&'static str>,
    tenant: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Demand {
    Public,
    Authenticated,
    Scope(&'static str),
}

/// The configuration.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    entries: BTreeMap<&'static str, IssuerSettings>,
    /// The keys of the issuer whose keys are in the configuration.
    pub(super) fixed: Vec<Published>,
    /// Each path, with the issuers that it accepts if they are configured, and its requirement.
    routes: Vec<(&'static str, Vec<&'static str>, Demand)>,
    token_bytes: usize,
    per_worker: usize,
}

impl Settings {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let entry = IssuerSettings {
            is_configured: true,
            place: 0,
            only_es256: false,
            audience: "api",
            audience_claims: &["aud"],
            leeway: 0,
            client: None,
            scope_claim: None,
            tenant: None,
        };
        let mut fixed = Vec::new();
        rotate(&mut fixed, chance);
        let read = Demand::Scope("read");
        Self {
            entries: ENTRIES.map(|name| (name, entry.clone())).into(),
            fixed,
            routes: vec![
                ("/a", vec!["a"], read),
                ("/b", vec!["b"], Demand::Authenticated),
                ("/multi", vec!["multi"], read),
                ("/all", vec!["a", "b", FIXED, "multi"], read),
                ("/a2", vec!["a2"], read),
                ("/open", vec![], Demand::Public),
            ],
            token_bytes: 4096,
            per_worker: chance.of(&[1, 4, 64]),
        }
    }

    /// Returns a path, mostly one that accepts tokens of this issuer.
    pub(super) fn path_for(&self, token: &Token, chance: &mut Chance) -> &'static str {
        let name = token.issuer.split('/').next().unwrap();
        let fit: Vec<_> = self
            .routes
            .iter()
            .filter(|(_, taken, _)| taken.iter().any(|entry| issuer_of(entry) == name))
            .collect();
        if fit.is_empty() || chance.one_in(6) {
            chance.of(&self.routes).0
        } else {
            chance.of(&fit).0
        }
    }

    /// Changes one setting.
    pub(super) fn change(&mut self, chance: &mut Chance) {
        let name = chance.of(&ENTRIES);
        let entry = self.entries.get_mut(name).unwrap();
        let route = chance.below(5);
        match chance.below(13) {
            0 => entry.is_configured = !chance.one_in(4),
            1 => {
                let place = chance.below(2);
                self.change_all(name, |entry| entry.place = place);
            }
            2 => {
                let only = chance.one_in(2);
                self.change_all(name, |entry| entry.only_es256 = only);
            }
            3 => entry.audience = chance.of(&["api", "api", "any", "other"]),
            11 => {
                let claims: [&[_]; 4] = [&["aud"], &["aud"], &["aud", "client_id"], &["client_id"]];
                entry.audience_claims = chance.of(&claims);
            }
            4 => entry.leeway = chance.of(&[0, 0, 30]),
            5 => entry.client = chance.of(&[None, None, None, Some("app"), Some("another")]),
            6 => entry.scope_claim = chance.of(&[None, None, Some("permissions")]),
            7 => entry.tenant = chance.of(&[None, None, None, Some("acme"), Some("another")]),
            8 => {
                let scopes = [
                    Demand::Scope("read"),
                    Demand::Scope("read"),
                    Demand::Scope("write"),
                ];
                let others = [Demand::Authenticated, Demand::Public];
                self.routes[route].2 = if chance.one_in(3) {
                    chance.of(&others)
                } else {
                    chance.of(&scopes)
                };
            }
            9 => match self.routes[route].1.iter().position(|taken| *taken == name) {
                Some(at) if self.routes[route].1.len() > 1 => drop(self.routes[route].1.remove(at)),
                Some(_) => {}
                None => {
                    let taken = &mut self.routes[route].1;
                    taken.retain(|other| issuer_of(other) != issuer_of(name));
                    taken.push(name);
                }
            },
            10 => self.token_bytes = chance.of(&[4096, 4096, 4096, 520]),
            _ => rotate(&mut self.fixed, chance),
        }
    }

    /// Changes the settings in which all entries of an issuer agree.
    fn change_all(&mut self, name: &'static str, change: impl Fn(&mut IssuerSettings)) {
        for (other, entry) in &mut self.entries {
            if issuer_of(other) == issuer_of(name) {
                change(entry);
            }
        }
    }

    /// Returns the configured issuers, each with its identity: an issuer with the same identity is
    /// the same issuer.
    pub(super) fn issuers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let there = ISSUERS.into_iter().filter_map(|name| {
            let mut entries = self.entries.iter();
            let (_, entry) = entries.find(|(entry, settings)| {
                issuer_of(entry) == name.split('/').next().unwrap() && settings.is_configured
            })?;
            Some((name, entry))
        });
        there.map(|(name, entry)| {
            let keys = if name == FIXED {
                key_set(&self.fixed)
            } else {
                entry.place.to_string()
            };
            (name, format!("{name} {} {keys}", entry.only_es256))
        })
    }

    /// Returns the configured entry of an issuer among those that a route takes.
    fn entry(&self, taken: &[&'static str], issuer: &str) -> Option<&IssuerSettings> {
        let name = issuer.split('/').next().unwrap();
        let mut taken = taken.iter();
        let entry = taken.find(|entry| issuer_of(entry) == name)?;
        Some(&self.entries[*entry]).filter(|entry| entry.is_configured)
    }

    pub(super) fn toml(&self) -> String {
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
             limits = {{ token_bytes = \"{} B\" }}\n\
             [token_cache]\nper_worker = {}\n[upstreams.up]\nurl = \"http://127.0.0.1:9\"\n",
            self.token_bytes, self.per_worker
        );
        for (name, entry) in self.entries.iter().filter(|(_, entry)| entry.is_configured) {
            text += &format!("[issuers.{name}]\nleeway = \"{}s\"\n", entry.leeway);
            text += &match entry.audience {
                "any" => "audience = \"any\"\n".to_owned(),
                audience => format!(
                    "audience = [{audience:?}, \"app\"]\naudience_claims = {:?}\n",
                    entry.audience_claims
                ),
            };
            text += &match *name {
                FIXED => format!(
                    "issuer = {:?}\njwks = '{}'\n",
                    iss(FIXED),
                    key_set(&self.fixed)
                ),
                "multi" => {
                    let issuer = "issuer = \"https://idp.example.com/multi/{tenant}\"\n";
                    format!("{issuer}tenants = [\"x\", \"y\"]\n")
                }
                _ => format!("issuer = {:?}\n", iss(issuer_of(name))),
            };
            if *name != FIXED {
                // Keys are fetched only when the test does so, and no request waits for them.
                let issuer = issuer_of(name);
                let uri = format!("https://keys.example.com/{issuer}/{}", entry.place);
                text += &format!("jwks_uri = {uri:?}\ncooldown = \"1h\"\n");
            }
            text += if entry.only_es256 {
                "algorithms = \"ES256\"\n"
            } else {
                ""
            };
            text += &entry
                .client
                .map_or(String::new(), |client| format!("client_ids = {client:?}\n"));
            text += &entry
                .scope_claim
                .map_or(String::new(), |claim| format!("scope_claims = {claim:?}\n"));
            let tenant = |tenant| format!("required_claims = {{ tenant = {tenant:?} }}\n");
            text += &entry.tenant.map_or(String::new(), tenant);
        }
        for (path, issuers, ask) in &self.routes {
            let issuers: Vec<_> = issuers
                .iter()
                .filter(|name| self.entries[**name].is_configured)
                .collect();
            let stated = match ask {
                Demand::Public => "public = true\n".to_owned(),
                _ if issuers.is_empty() => continue,
                Demand::Authenticated => format!("issuer = {issuers:?}\nauthenticated = true\n"),
                Demand::Scope(scope) => format!("issuer = {issuers:?}\nscopes = {scope:?}\n"),
            };
            text += &format!("[[routes]]\npath = {path:?}\nupstream = \"up\"\n{stated}");
        }
        text
    }
}

/// Returns the certificate of a client.
pub(super) fn certificate(client: &str) -> Fingerprint {
    Fingerprint::of(client.as_bytes())
}

fn iss(issuer: &str) -> String {
    format!("https://idp.example.com/{issuer}")
}

/// A token and its claims.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    issuer: &'static str,
    kid: Option<&'static str>,
    algorithm: Algorithm,
    /// The key that signed it; `None` if it is forged.
    signer: Option<usize>,
    pub(super) expires: u64,
    pub(super) not_before: u64,
    audience: Option<&'static str>,
    client: &'static str,
    tenant: &'static str,
    scope: &'static str,
    permissions: &'static str,
    /// The client to whose certificate it is bound.
    owner: Option<&'static str>,
    /// Set if it is not a JWT.
    is_opaque: bool,
}

impl Token {
    /// Draws a token, mostly a valid one, signed with one of the keys that its issuer publishes.
    pub(super) fn draw(
        published: &BTreeMap<&'static str, Vec<Published>>,
        now: u64,
        chance: &mut Chance,
    ) -> Self {
        let issuer = chance.of(&ISSUERS);
        let keys = published[issuer].as_slice();
        let key = if keys.is_empty() || chance.one_in(5) {
            Published::draw(chance)
        } else {
            chance.of(keys)
        };
        let mut token = Self {
            text: String::new(),
            issuer: if chance.one_in(15) {
                "stranger"
            } else {
                issuer
            },
            kid: match key.kid {
                // A key without an id may have signed a token that names one.
                None => chance.one_in(3).then(|| chance.of(&KIDS)),
                kid => kid.filter(|_| !chance.one_in(4)),
            },
            algorithm: chance.of(algorithms(key.signer)),
            signer: (!chance.one_in(10)).then_some(key.signer),
            expires: (now + chance.of(&[5, 20, 60, 300, 300, 1000]))
                .saturating_sub(chance.of(&[0, 0, 0, 40])),
            not_before: now.saturating_sub(60) + chance.of(&[0, 0, 0, 0, 0, 70, 90]),
            audience: chance.of(&[Some("api"), Some("api"), Some("api"), Some("other"), None]),
            client: chance.of(&["app", "app", "app", "another"]),
            tenant: chance.of(&["acme", "acme", "acme", "another"]),
            scope: chance.of(&["read", "read write", "read write", "write"]),
            permissions: chance.of(&["read", "read", "write"]),
            owner: if chance.one_in(6) {
                chance.of(&CLIENTS)
            } else {
                None
            },
            is_opaque: chance.one_in(20),
        };
        token.text = if token.is_opaque {
            format!(
                "{}{}",
                chance.of(&["opaque", "\u{e9}"]),
                chance.below(1 << 30)
            )
        } else {
            token.signed(chance)
        };
        token
    }

    /// Returns the client that sends it: mostly its owner.
    pub(super) fn sender(&self, chance: &mut Chance) -> Option<&'static str> {
        if chance.one_in(4) {
            chance.of(&CLIENTS)
        } else {
            self.owner
        }
    }

    /// Returns whether it is valid at about this time.
    pub(super) fn is_of(&self, now: u64) -> bool {
        self.not_before < now + 60 && now < self.expires + 60
    }

    /// Describes it without its text.
    pub(super) fn description(&self) -> String {
        format!(
            "{:?}",
            Self {
                text: String::new(),
                ..self.clone()
            }
        )
    }

    fn signed(&self, chance: &mut Chance) -> String {
        let mut header = Map::from_iter([("alg".to_owned(), self.algorithm.name().into())]);
        header.extend(self.kid.map(|kid| ("kid".to_owned(), kid.into())));
        let mut claims = json!({
            "iss": iss(self.issuer), "exp": self.expires, "nbf": self.not_before,
            "client_id": self.client, "tenant": self.tenant,
            "scope": self.scope, "permissions": self.permissions, "jti": chance.below(1 << 30),
            // Some tokens are longer than the shorter limit.
            "filling": "x".repeat(100 * chance.below(3)),
        });
        if let Some(audience) = self.audience {
            claims["aud"] = audience.into();
        }
        if let Some(owner) = self.owner {
            claims["cnf"] = json!({ "x5t#S256": certificate(owner).thumbprint() });
        }
        let part = |value: &Value| b64(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&Value::Object(header)), part(&claims));
        let signature = match self.signer {
            Some(own) => signer(own).sign(self.algorithm, message.as_bytes()),
            // As long as one of its keys would make it: a shorter one was cut off.
            None if matches!(self.algorithm, Algorithm::RS256 | Algorithm::PS256) => b64(&[7; 256]),
            None => b64(&[7; 64]),
        };
        format!("{message}.{signature}")
    }

    /// Returns whether the first claim of an entry that it has names an accepted audience.
    fn has_audience_of(&self, entry: &IssuerSettings) -> bool {
        let mut claims = entry.audience_claims.iter();
        let found = claims.find_map(|claim| match *claim {
            "aud" => self.audience,
            _ => Some(self.client),
        });
        entry.audience == "any"
            || found.is_some_and(|found| [entry.audience, "app"].contains(&found))
    }

    /// Returns the verdict about it at a path: the gateway's reason, or [`ALLOWED`].
    pub(super) fn verdict<'t>(
        &self,
        path: &str,
        settings: &Settings,
        trust: impl Fn(&str) -> &'t IssuerKeys,
        now: u64,
        client: Option<&'static str>,
    ) -> &'static str {
        let (_, taken, ask) = settings
            .routes
            .iter()
            .find(|(known, ..)| *known == path)
            .unwrap();
        if *ask == Demand::Public {
            return ALLOWED;
        }
        if !taken
            .iter()
            .any(|entry| settings.entries[entry].is_configured)
        {
            return "no_route";
        }
        if self.text.len() > settings.token_bytes {
            return "token_too_long";
        }
        if self.is_opaque {
            return match self.text.is_ascii() {
                true => "opaque_token",
                false => "malformed_token",
            };
        }
        let Some(entry) = settings.entry(taken, self.issuer) else {
            return "unknown_issuer";
        };
        if entry.only_es256 && self.algorithm != Algorithm::ES256 {
            return "algorithm_not_allowed";
        }
        let trust = trust(self.issuer);
        let candidates = trust.candidates(self.kid, self.algorithm);
        if candidates.is_empty() {
            return if trust.last_fetch_succeeded {
                "unknown_key"
            } else {
                "keys_unavailable"
            };
        }
        let is_signed = candidates.iter().any(|key| self.signer == Some(key.signer));
        let scopes = if entry.scope_claim.is_some() {
            self.permissions
        } else {
            self.scope
        };
        let lacks = |scope: &str| !scopes.split(' ').any(|one| one == scope);
        match ask {
            _ if !is_signed => "bad_signature",
            _ if now >= self.expires + entry.leeway => "token_expired",
            _ if now + entry.leeway < self.not_before => "token_not_yet_valid",
            _ if !self.has_audience_of(entry) => "wrong_audience",
            _ if entry.client.is_some_and(|client| client != self.client) => "wrong_client",
            _ if entry.tenant.is_some_and(|tenant| tenant != self.tenant) => "required_claim",
            _ if self.owner.is_some() && self.owner != client => "wrong_client_certificate",
            Demand::Scope(scope) if lacks(scope) => "insufficient_scope",
            _ => ALLOWED,
        }
    }
}
