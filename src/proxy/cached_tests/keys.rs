//! The keys that issuers publish, and those that the gateway has of them.

use std::sync::OnceLock;

use serde_json::Value;

use super::chance::Chance;
use super::model::{FIXED, Settings};
use crate::issuer::Algorithm;
use crate::issuer::fixture::{Signer, jwks};

/// The number of private keys. All issuers share them, so that two may publish the same one.
const SIGNERS: usize = 5;
const RSA: usize = 4;
pub(super) const KIDS: [&str; 3] = ["k1", "k2", "k3"];

pub(super) fn signer(index: usize) -> &'static Signer {
    static SIGNERS: OnceLock<[Signer; 4]> = OnceLock::new();
    let made = || {
        [
            Signer::p256(),
            Signer::p256(),
            Signer::p256(),
            Signer::ed25519(),
        ]
    };
    if index == RSA {
        Signer::rsa()
    } else {
        &SIGNERS.get_or_init(made)[index]
    }
}

/// The algorithms that tokens of a signer use.
pub(super) fn algorithms(signer: usize) -> &'static [Algorithm] {
    match signer {
        RSA => &[Algorithm::RS256, Algorithm::PS256],
        3 => &[Algorithm::EdDSA],
        _ => &[Algorithm::ES256],
    }
}

/// A key as an issuer publishes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    pub(super) kid: Option<&'static str>,
    pub(super) signer: usize,
    /// The JWK's `alg`.
    only: Option<Algorithm>,
}

impl Published {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let signer = chance.below(SIGNERS);
        let only = (signer == RSA && chance.one_in(2)).then(|| chance.of(algorithms(RSA)));
        let kid = (!chance.one_in(5)).then(|| chance.of(&KIDS));
        Self { kid, signer, only }
    }

    fn allows(&self, algorithm: Algorithm) -> bool {
        algorithms(self.signer).contains(&algorithm)
            && self.only.is_none_or(|only| only == algorithm)
    }

    /// Returns whether a key set keeps only the first of the two.
    fn is_like(&self, other: &Self) -> bool {
        let meant = algorithms(self.signer)
            .iter()
            .any(|one| self.allows(*one) && other.allows(*one));
        self == other || self.kid.is_some() && self.kid == other.kid && meant
    }

    fn jwk(&self) -> Value {
        let mut jwk = signer(self.signer).jwk(self.kid.unwrap_or_default());
        if self.kid.is_none() {
            jwk.as_object_mut().unwrap().remove("kid");
        }
        if let Some(only) = self.only {
            jwk["alg"] = only.name().into();
        }
        jwk
    }
}

/// A JWK Set, as text.
pub(super) fn key_set(keys: &[Published]) -> String {
    jwks(&keys.iter().map(Published::jwk).collect::<Vec<_>>())
}

/// Changes the keys that an issuer publishes: a key more or less, another one with the same id,
/// another use of it, another order.
pub(super) fn rotate(keys: &mut Vec<Published>, chance: &mut Chance) {
    let mut drawn = Published::draw(chance);
    match (chance.below(6), keys.len()) {
        (0, 2..) => drop(keys.remove(chance.below(keys.len()))),
        (1 | 2, 1..) => {
            let replaced = keys.remove(chance.below(keys.len()));
            drawn.kid = replaced.kid;
        }
        (3, 1..) => keys.reverse(),
        (4, 1..) => keys
            .iter_mut()
            .filter(|key| key.signer == RSA)
            .for_each(|key| key.only = drawn.only),
        _ => {}
    }
    if keys.len() < 4 {
        keys.insert(chance.below(keys.len() + 1), drawn);
    }
    // A key set keeps the first of two keys that the same token could name.
    for place in (1..keys.len()).rev() {
        let (before, rest) = keys.split_at(place);
        if before.iter().any(|key| key.is_like(&rest[0])) {
            keys.remove(place);
        }
    }
}

/// The keys of an issuer as the gateway has them, since the issuer was configured.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    pub(super) identity: String,
    pub(super) keys: Vec<Published>,
    pub(super) is_fetched: bool,
    /// Set if the last fetch succeeded.
    pub(super) last_fetch_succeeded: bool,
}

impl IssuerKeys {
    pub(super) fn new(name: &str, identity: String, settings: &Settings) -> Self {
        let is_fetched = name != FIXED;
        let keys = if is_fetched {
            Vec::new()
        } else {
            settings.fixed.clone()
        };
        Self {
            identity,
            keys,
            is_fetched,
            last_fetch_succeeded: !is_fetched,
        }
    }

    /// Returns the keys that a token is tried with: the one with its key id, else the only one
    /// without an id; for a token without an id all.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&Published> {
        let fit = || self.keys.iter().filter(|key| key.allows(algorithm));
        if kid.is_none() {
            return fit().collect();
        }
        if let Some(named) = fit().find(|key| key.kid == kid) {
            return vec![named];
        }
        let nameless: Vec<_> = fit().filter(|key| key.kid.is_none()).collect();
        if nameless.len() == 1 {
            nameless
        } else {
            Vec::new()
        }
    }
}
