//! A public key that is parsed for one algorithm and kept in that form: parsing costs a third of
//! what a verification does.
//!
//! The JWT library's own check parses the key again for each token. Its `DecodingKey` supplies the
//! numbers of the key; the verification uses the same primitive with the same parameters.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use zeroize::Zeroizing;

use super::Algorithm;

/// A key for the verification of signatures of one algorithm.
pub(super) struct VerificationKey {
    pub(super) algorithm: Algorithm,
    key: ParsedPublicKey,
}

/// The error for numbers that are not a key for the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnfitKey;

/// The parameters of an algorithm for the crypto library.
enum Scheme {
    Rsa(&'static RsaParameters),
    /// A key that is a point in the encoding of its curve.
    Curve(&'static dyn VerificationAlgorithm),
}

impl VerificationKey {
    /// Parses the numbers of a key.
    ///
    /// # Errors
    /// [`UnfitKey`]
    pub(super) fn parse(algorithm: Algorithm, material: &DecodingKey) -> Result<Self, UnfitKey> {
        let parsed = match (Scheme::of(algorithm), material.kind()) {
            (Scheme::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)
            }
            (Scheme::Curve(curve), DecodingKeyKind::SecretOrDer(point)) => {
                ParsedPublicKey::new(curve, point)
            }
            (Scheme::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (Scheme::Curve(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                return Err(UnfitKey);
            }
        };
        Ok(Self {
            algorithm,
            key: parsed.map_err(|_| UnfitKey)?,
        })
    }

    /// Returns whether `signature`, in base64url without padding (RFC 7515 §2), is a signature of
    /// `message` with this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        // The decoder is strict, so that a signature, and so a token, has only one spelling.
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature).map(Zeroizing::new) else {
            return false;
        };
        self.key.verify_sig(message, &signature).is_ok()
    }
}

impl Scheme {
    /// Returns the parameters of RFC 7518 §3.3 to §3.5: PSS with a salt as long as the hash, which
    /// these constants imply; ECDSA as `r || s` of fixed length, never in DER.
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Self::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Self::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Self::Rsa(&RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Self::Rsa(&RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Self::Rsa(&RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => Self::Curve(&ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Self::Curve(&ECDSA_P384_SHA384_FIXED),
            Algorithm::ES512 => Self::Curve(&ECDSA_P521_SHA512_FIXED),
            Algorithm::EdDSA => Self::Curve(&ED25519),
        }
    }
}

/// Leaves out the numbers of the key.
impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, KeyPair as _};

    use super::super::fixture::{Signer, b64};
    use super::*;

    const MESSAGE: &[u8] = b"header.claims";

    fn signers() -> Vec<(Signer, Algorithm)> {
        vec![
            (Signer::p256(), Algorithm::ES256),
            (Signer::p384(), Algorithm::ES384),
            (Signer::p521(), Algorithm::ES512),
            (Signer::ed25519(), Algorithm::EdDSA),
        ]
    }

    /// A good signature, and its variants from attackers and careless encoders.
    fn spellings(signature: &str) -> Vec<String> {
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            b64(&bytes)
        };
        // In most lengths the last character has unused bits: a decoder that ignores them accepts
        // two spellings.
        let sibling = signature.chars().next_back().map(|last| match last {
            'A' => 'B',
            _ => char::from(last as u8 + 1),
        });
        vec![
            signature.to_owned(),
            changed(&|bytes| bytes[0] ^= 1),
            changed(&|bytes| *bytes.last_mut().unwrap() ^= 1),
            changed(&|bytes| bytes.push(0)),
            changed(&|bytes| bytes.insert(0, 0)),
            changed(&|bytes| bytes.truncate(bytes.len() - 1)),
            changed(&|bytes| bytes.fill(0)),
            changed(&|bytes| bytes.fill(0xff)),
            format!("{signature}="),
            format!("{signature}=="),
            format!(" {signature}"),
            format!("{signature}\n"),
            format!("{}{}", &signature[..signature.len() - 1], sibling.unwrap()),
            signature.replacen(|c: char| c.is_ascii_alphanumeric(), "+", 1),
            String::new(),
        ]
    }

    /// Asserts that this module and the JWT library agree on every spelling.
    fn agrees(signer: &Signer, algorithm: Algorithm, made_with: Algorithm) {
        let material = signer.decoding_key();
        let key = VerificationKey::parse(algorithm, &material).unwrap();
        let mut good = 0;
        for signature in spellings(&signer.sign(made_with, MESSAGE)) {
            let verdict = key.verifies(MESSAGE, &signature);
            // The library has no ES512.
            if let Some(library) = algorithm.jsonwebtoken() {
                let library = jsonwebtoken::crypto::verify(&signature, MESSAGE, &material, library);
                assert_eq!(
                    verdict,
                    library.unwrap_or(false),
                    "{made_with} as {algorithm}: {signature:?}"
                );
            }
            good += usize::from(verdict);
        }
        assert_eq!(
            good,
            usize::from(algorithm == made_with),
            "{made_with} as {algorithm}"
        );
    }

    // Keeping a key parsed must not change a verdict.
    #[test]
    fn a_kept_key_judges_as_the_jwt_library_does() {
        for (signer, algorithm) in signers() {
            agrees(&signer, algorithm, algorithm);
        }
        for algorithm in Algorithm::RSA {
            for made_with in Algorithm::RSA {
                agrees(Signer::rsa(), algorithm, made_with);
            }
        }
    }

    // RFC 7518 §3.4: the DER form of X.509 is another signature format.
    #[test]
    fn an_ecdsa_signature_in_der_is_none() {
        let signer = Signer::p256();
        let key = VerificationKey::parse(Algorithm::ES256, &signer.decoding_key()).unwrap();
        let fixed = URL_SAFE_NO_PAD
            .decode(signer.sign(Algorithm::ES256, MESSAGE))
            .unwrap();
        let integer = |number: &[u8]| {
            let number = [&[0], number].concat();
            let zeros = number
                .windows(2)
                .take_while(|pair| pair[0] == 0 && pair[1] < 0x80)
                .count();
            let number = &number[zeros..];
            [&[0x02, u8::try_from(number.len()).unwrap()], number].concat()
        };
        let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
        let der = [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
        assert!(key.verifies(MESSAGE, &b64(&fixed)) && !key.verifies(MESSAGE, &b64(&der)));
        let Signer::Ec(pair, _) = &signer else {
            panic!()
        };
        let other = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key()).unwrap();
        other
            .verify_sig(MESSAGE, &der)
            .expect("the DER itself is right");
    }

    #[test]
    fn a_key_of_another_kind_cannot_be_parsed_for_an_algorithm() {
        for (signer, own) in signers() {
            for algorithm in Algorithm::ALL {
                let parsed = VerificationKey::parse(algorithm, &signer.decoding_key());
                assert_eq!(parsed.is_ok(), algorithm == own, "{own} for {algorithm}");
            }
        }
        for algorithm in Algorithm::ALL {
            let parsed = VerificationKey::parse(algorithm, &Signer::rsa().decoding_key());
            assert_eq!(
                parsed.is_ok(),
                Algorithm::RSA.contains(&algorithm),
                "{algorithm}"
            );
        }
    }
}
