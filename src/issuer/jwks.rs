//! Parses a JWK Set (RFC 7517 §5) into its usable keys and the reasons why the others are skipped.
//!
//! A key that is broken, unknown or dangerous is skipped and reported; it never makes the set
//! unusable and is never repaired. Keys are read one at a time, so that a large set of unusable
//! keys needs no memory.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_json::error::Category;

use super::Key;
use super::jwk::{self, Members, Skipped};
use super::key::Thumbprint;

/// The number of skipped keys that are reported one by one; the rest is only counted.
const MAX_REPORTED: usize = 16;

/// The usable keys of an issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    /// The keys, in the order of the document.
    pub keys: Vec<Arc<Key>>,
    /// The keys that were skipped.
    pub skips: Skips,
}

/// The skipped keys of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    /// The first of them, up to a limit.
    pub reported: Vec<Skip>,
    /// The number of all of them but the keys for encryption.
    pub total: usize,
    /// The number of keys for encryption, which are usual beside signing keys.
    pub encryption: usize,
    /// The number of keys that contained a private key.
    pub private: usize,
}

/// One key that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Its position in the document, from 0.
    pub index: usize,
    /// Its key id, if it is a string.
    pub kid: Option<Box<str>>,
    /// The reason.
    pub reason: Skipped,
}

/// An error in a document that should be a key set. It quotes nothing of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksError {
    /// The document is not JSON.
    Json {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error, from 1.
        column: usize,
    },
    /// The document is not an object with one array `keys`.
    Shape,
    /// The array is empty but for keys for encryption: the issuer has withdrawn all of its signing
    /// keys.
    Empty,
    /// The array has keys that may be meant for signatures, but none of them is usable.
    NoUsableKey(Skips),
}

impl KeySet {
    /// Parses a document and keeps at most `max_keys` keys.
    ///
    /// # Errors
    /// [`JwksError`]
    pub fn parse(bytes: &[u8], max_keys: usize) -> Result<Self, JwksError> {
        let mut reading = Reading {
            max_keys,
            ..Reading::default()
        };
        let mut json = serde_json::Deserializer::from_slice(bytes);
        Document(&mut reading)
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| JwksError::of(&error))?;
        let set = reading.finish();
        if !set.keys.is_empty() {
            Ok(set)
        } else if set.skips.total == 0 {
            Err(JwksError::Empty)
        } else {
            Err(JwksError::NoUsableKey(set.skips))
        }
    }
}

/// A key set that is being read.
#[derive(Default)]
struct Reading {
    keys: Vec<Entered>,
    skips: Skips,
    max_keys: usize,
    /// The keys whose private part is in the set. The length of the document bounds them.
    leaked: HashSet<Thumbprint>,
}

/// A key and its position in the document.
struct Entered {
    index: usize,
    key: Arc<Key>,
}

impl Reading {
    fn add(&mut self, index: usize, Entry(members): Entry) {
        let kid = match &members {
            Ok(members) => members.get("kid").and_then(Value::as_str).map(Box::from),
            Err(_) => None,
        };
        match self.read(members) {
            Ok(key) => self.keys.push(Entered {
                index,
                key: Arc::new(key),
            }),
            Err(reason) => self.skips.add(Skip { index, kid, reason }),
        }
    }

    fn read(&mut self, members: Result<Members, Skipped>) -> Result<Key, Skipped> {
        let members = members?;
        let key = jwk::read(&members);
        if let Err(Skipped::Private) = key {
            self.leaked.extend(jwk::public_thumbprint(&members));
        }
        self.admit(key?)
    }

    /// Returns the key if it may join the set. Two keys with the same `kid` and a common algorithm
    /// are ambiguous: the first one stays, so that an appended key never replaces an earlier one.
    fn admit(&self, key: Key) -> Result<Key, Skipped> {
        for Entered { key: known, .. } in &self.keys {
            if known.is_same(&key) || known.is_confusable(&key) {
                return Err(Skipped::Duplicate);
            }
        }
        if self.keys.len() >= self.max_keys {
            Err(Skipped::TooMany)
        } else {
            Ok(key)
        }
    }

    /// Returns the set without the public copies of private keys, which may come before these.
    fn finish(self) -> KeySet {
        let mut set = KeySet {
            keys: Vec::with_capacity(self.keys.len()),
            skips: self.skips,
        };
        for Entered { index, key } in self.keys {
            if self.leaked.contains(&key.thumbprint()) {
                let kid = key.kid().map(Box::from);
                let reason = Skipped::Leaked;
                set.skips.add(Skip { index, kid, reason });
            } else {
                set.keys.push(key);
            }
        }
        set
    }
}

impl Skips {
    fn add(&mut self, skip: Skip) {
        if skip.reason == Skipped::Encryption {
            self.encryption += 1;
            return;
        }
        self.total += 1;
        self.private += usize::from(skip.reason == Skipped::Private);
        if self.reported.len() < MAX_REPORTED {
            self.reported.push(skip);
        }
    }
}

impl JwksError {
    /// The library's own message may quote the document, so only the position is taken from it.
    fn of(error: &serde_json::Error) -> Self {
        match error.classify() {
            Category::Data => Self::Shape,
            Category::Io | Category::Syntax | Category::Eof => Self::Json {
                line: error.line(),
                column: error.column(),
            },
        }
    }
}

/// The whole document: an object with one array `keys`. Other members are ignored.
struct Document<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JWK Set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            if name != "keys" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if found {
                return Err(A::Error::duplicate_field("keys"));
            }
            found = true;
            map.next_value_seed(Keys(self.0))?;
        }
        if found {
            Ok(())
        } else {
            Err(A::Error::missing_field("keys"))
        }
    }
}

/// The array `keys`.
struct Keys<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(entry) = seq.next_element::<Entry>()? {
            self.0.add(index, entry);
            index += 1;
        }
        Ok(())
    }
}

/// One element of the array: the members of a JWK, each of them once, or the reason why it is
/// skipped.
struct Entry(Result<Members, Skipped>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JWK")
    }

    /// A member that occurs twice gives the key two meanings (RFC 7517 §4), so the key is skipped.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut members = BTreeMap::new();
        let mut repeated = false;
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            repeated |= members.insert(name, value).is_some();
        }
        // `null` is how many libraries write a member that a key does not have.
        members.retain(|_, value| !value.is_null());
        Ok(Entry(if repeated {
            Err(Skipped::RepeatedMember)
        } else {
            Ok(members)
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry(Err(Skipped::NotAnObject)))
    }

    fn visit_unit<E: Error>(self) -> Result<Entry, E> {
        Ok(Entry(Err(Skipped::NotAnObject)))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Entry, E> {
        self.visit_unit()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Entry, E> {
        self.visit_unit()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Entry, E> {
        self.visit_unit()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Entry, E> {
        self.visit_unit()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Entry, E> {
        self.visit_unit()
    }
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { line, column } => {
                write!(f, "the key set is not JSON (line {line}, column {column})")
            }
            Self::Shape => f.write_str("the key set is not an object with one array \"keys\""),
            Self::Empty => f.write_str("the key set has no key for signatures"),
            Self::NoUsableKey(skips) => {
                let skipped = skips.total + skips.encryption;
                write!(
                    f,
                    "no key of the key set is usable; skipped {skipped}: {skips}"
                )
            }
        }
    }
}

impl std::error::Error for JwksError {}

impl fmt::Display for Skips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, skip) in self.reported.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{skip}")?;
        }
        let more = self.total - self.reported.len();
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        let separator = if self.total == 0 { "" } else { "; " };
        match self.encryption {
            0 => Ok(()),
            keys => write!(f, "{separator}{keys} for encryption"),
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "{}: {}", jwk::Name(kid), self.reason),
            None => write!(f, "key {}: {}", self.index, self.reason),
        }
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
