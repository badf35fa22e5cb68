//! The errors in the form of a token.

use std::fmt;

use super::excerpt::Excerpt;

/// The reason for which a text is no token that can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformation {
    /// The text has characters beyond ASCII.
    NotAscii,
    /// The token stands in quotation marks.
    Quoted,
    /// The token begins with the scheme, which stands in the field twice.
    SchemeTwice,
    /// Something stands in front of the header, such as `token=`.
    Prefix,
    /// The text ends like a JWT and does not begin like one.
    HeaderCut,
    /// The text has a blank or a line break in the middle.
    Blank,
    /// The text is JSON, such as the whole response of a token endpoint.
    Json,
    /// The token does not have the three parts of a JWS (RFC 7515 §3.1).
    Parts(usize),
    /// A part is not base64url without padding (RFC 7515 §2).
    Base64 {
        /// The part.
        part: Part,
        /// The first character that base64url does not have; `None` if the last one is missing.
        at: Option<char>,
    },
    /// A part is not JSON, or not the JSON that is accepted.
    NotJson(Part, JsonFault),
    /// The header has a member that changes the meaning of the token (RFC 7515 §4.1.11, RFC 7797,
    /// RFC 7516 §4.1).
    Extension(&'static str),
    /// The header has more members than are read.
    TooManyMembers,
    /// A member that every token needs is absent.
    Missing {
        /// The part.
        part: Part,
        /// The name of the member.
        name: &'static str,
    },
    /// A member has another type than its name requires.
    Type {
        /// The part.
        part: Part,
        /// The name of the member.
        name: &'static str,
        /// The kind that it has.
        found: &'static str,
        /// The kind that it must have.
        wanted: &'static str,
    },
    /// The third part is empty.
    NoSignature,
    /// The signature is not base64url, since its last character is missing or wrong.
    SignatureCut {
        /// The number of bytes that its characters stand for.
        about: usize,
        /// The number of bytes that it must have.
        wanted: usize,
    },
    /// A claim that the configuration names is neither a string nor a list.
    Texts {
        /// The name or path of the claim.
        name: Box<str>,
        /// The kind that it has.
        found: &'static str,
    },
    /// A claim that the configuration names is a list with an item that is no string.
    Item {
        /// The name or path of the claim.
        name: Box<str>,
    },
    /// The signature does not have the length of the key's signatures.
    SignatureLength {
        /// The number of bytes that it has.
        found: usize,
        /// The number of bytes that it must have.
        wanted: usize,
    },
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first part.
    Header,
    /// The second part.
    Claims,
    /// The third part.
    Signature,
}

/// The reason for which a part of a token is not accepted as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// A syntax error: the parser's message, which names the place and quotes nothing.
    Syntax(Box<str>),
    /// The text is another JSON value than an object.
    NotAnObject,
    /// A member occurs twice in one object (requirements.md#d10, #d27).
    Twice(Excerpt),
    /// Objects and lists are nested too deeply.
    TooDeep,
}

impl Malformation {
    /// Writes a clause that begins with a verb: "has 2 parts and not the 3 of a JWT". It has the
    /// texts of the token if they are shown.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, is_shown: bool) -> fmt::Result {
        match self {
            Self::NotAscii => f.write_str("has characters that no token has"),
            Self::Quoted => f.write_str("stands in quotation marks"),
            Self::SchemeTwice => f.write_str("begins with \"Bearer\": the scheme was added twice"),
            Self::Prefix => f.write_str("has something in front of its header"),
            Self::HeaderCut => f.write_str(
                "does not begin with the header of a JWT: it may have been cut off at the start",
            ),
            Self::Blank => f.write_str("has a blank in it: more than one word follows the scheme"),
            Self::Json => f.write_str(
                "is JSON and not a JWT: the client may have sent the whole token response",
            ),
            Self::Parts(1) => {
                f.write_str("has one part and not the 3 of a JWT: it may have been cut off")
            }
            Self::Parts(2) => {
                f.write_str("has 2 parts and not the 3 of a JWT: it may have been cut off")
            }
            Self::Parts(parts) => write!(f, "has {parts} parts and not the 3 of a JWT"),
            Self::Base64 { part, at: Some(_) } if !is_shown => {
                write!(
                    f,
                    "is not base64url in its {part}: it has another character"
                )
            }
            Self::Base64 {
                part,
                at: Some(char),
            } => write!(
                f,
                "is not base64url in its {part}: it has the character {char:?}"
            ),
            Self::Base64 { part, at: None } => write!(
                f,
                "is not base64url in its {part}, where the last character is missing or wrong: it \
                 may have been cut off"
            ),
            Self::NotJson(part, JsonFault::Twice(_)) if !is_shown => {
                write!(f, "has a member twice in its {part}")
            }
            Self::NotJson(part, fault) => write_json_fault(f, *part, fault),
            Self::Extension(name) => write!(
                f,
                "has \"{name}\" in its header, an extension that is not supported"
            ),
            Self::TooManyMembers => f.write_str("has more members in its header than are read"),
            Self::Missing { part, name } => write!(f, "has no \"{name}\" in its {part}"),
            Self::Type {
                part,
                name,
                found,
                wanted,
            } => write!(
                f,
                "has {found} for \"{name}\" in its {part}, which must be {wanted}"
            ),
            Self::Texts { name, found } => write!(
                f,
                "has {found} for \"{name}\" in its claims, which must be a string or a list of \
                 strings"
            ),
            Self::NoSignature => f.write_str("has no signature: its third part is empty"),
            Self::Item { name } => write!(
                f,
                "has a list for \"{name}\" in its claims with an item that is no string"
            ),
            Self::SignatureCut { about, wanted } if about == wanted => {
                f.write_str("is not base64url in its signature, where the last character is wrong")
            }
            Self::SignatureCut { about, wanted } => {
                write!(f, "has a signature of about {about} bytes")?;
                write_key_length(f, *about, *wanted)
            }
            Self::SignatureLength { found, wanted } => {
                write!(f, "has a signature of {found} bytes")?;
                write_key_length(f, *found, *wanted)
            }
        }
    }
}

/// Writes how long the signatures of the key are.
fn write_key_length(f: &mut fmt::Formatter<'_>, found: usize, wanted: usize) -> fmt::Result {
    write!(f, ", and the key makes {wanted}")?;
    match found < wanted {
        true => f.write_str(": it may have been cut off"),
        false => Ok(()),
    }
}

fn write_json_fault(f: &mut fmt::Formatter<'_>, part: Part, fault: &JsonFault) -> fmt::Result {
    match fault {
        JsonFault::Syntax(message) => write!(f, "has no JSON in its {part}: {message}"),
        JsonFault::NotAnObject => write!(f, "has no JSON object in its {part}"),
        JsonFault::Twice(name) => write!(f, "has the member {name} twice in its {part}"),
        JsonFault::TooDeep => write!(
            f,
            "has lists or objects in its {part} that are nested too deeply"
        ),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::TokenError;
    use super::super::logged_claims::LoggedClaims;
    use super::*;

    fn sentence(fault: Malformation, shown: LoggedClaims) -> String {
        TokenError::from(fault).sentence(shown).to_string()
    }

    #[test]
    fn each_malformation_has_its_sentence() {
        let (header, claims, signature) = (Part::Header, Part::Claims, Part::Signature);
        let name = || "roles".into();
        for (fault, expected) in [
            (Malformation::Parts(4), "has 4 parts and not the 3 of a JWT"),
            (
                Malformation::Base64 {
                    part: signature,
                    at: Some('+'),
                },
                "is not base64url in its signature: it has the character '+'",
            ),
            (
                Malformation::NotJson(header, JsonFault::NotAnObject),
                "has no JSON object in its header",
            ),
            (
                Malformation::NotJson(claims, JsonFault::TooDeep),
                "has lists or objects in its claims that are nested too deeply",
            ),
            (
                Malformation::TooManyMembers,
                "has more members in its header than are read",
            ),
            (
                Malformation::Type {
                    part: claims,
                    name: "exp",
                    found: "a string",
                    wanted: "a number",
                },
                "has a string for \"exp\" in its claims, which must be a number",
            ),
            (
                Malformation::Texts {
                    name: name(),
                    found: "an object",
                },
                "has an object for \"roles\" in its claims, which must be a string or a list of strings",
            ),
            (
                Malformation::Item { name: name() },
                "has a list for \"roles\" in its claims with an item that is no string",
            ),
        ] {
            let said = sentence(fault, LoggedClaims::ALL);
            assert_eq!(said, format!("the token {expected}"));
        }
    }

    #[test]
    fn without_claims_a_sentence_has_no_character_of_the_token() {
        let part = Part::Header;
        let fault = Malformation::Base64 {
            part,
            at: Some('~'),
        };
        let expected = "the token is not base64url in its header: it has another character";
        assert_eq!(sentence(fault, LoggedClaims::NONE), expected);
        let twice = Malformation::NotJson(part, JsonFault::Twice(Excerpt::of("alg")));
        let expected = "the token has a member twice in its header";
        assert_eq!(sentence(twice, LoggedClaims::NONE), expected);
    }
}
