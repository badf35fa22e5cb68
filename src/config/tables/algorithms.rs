//! `algorithms` of `[issuers.<name>]`.

use crate::config::language::{Key, Words};
use crate::issuer::Algorithm;

pub(super) const ALGORITHMS: Key<Words<Algorithm>> = Key::new("algorithms", ALL_ALGORITHMS)
    .absent("all of them")
    .doc(
        "The signature algorithms that its tokens may use (RFC 7518 section 3.1, RFC 8037). \
         `EdDSA` means Ed25519; tokens may also use the name that RFC 9864 gives it. `none` and \
         the HMAC algorithms are not supported.",
    )
    .not(&["algorithm", "alg", "algs"])
    .example(r#"["RS256"]"#);

const ALL_ALGORITHMS: Words<Algorithm> = Words {
    all: || {
        Algorithm::ALL
            .map(|algorithm| (algorithm.name(), algorithm))
            .to_vec()
    },
    refusal: never_algorithm,
};

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
