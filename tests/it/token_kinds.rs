//! The sentences for clients, which name the kind of token that the route accepts.

use crate::support::{Answer, Gateway, Issuer, Request, Token, Upstream, now};

/// A gateway whose route accepts tokens of one kind.
struct Setting {
    gateway: Gateway,
    issuer: Issuer,
}

/// The kind of token of a route, and its name in sentences.
struct Kind {
    /// The keys of the issuer's entry.
    entry: &'static str,
    /// The token with its article.
    needs: &'static str,
    /// The token alone, at the begin of a sentence.
    subject: &'static str,
    /// What a token of another kind is told.
    other: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        entry: "",
        needs: "an access token",
        subject: "The access token",
        other: "The token is not an access token.",
    },
    Kind {
        entry: "token_use = \"id\"\n",
        needs: "an ID token",
        subject: "The ID token",
        other: "The token is not an ID token.",
    },
    Kind {
        entry: "typ = \"any\"\n",
        needs: "a token",
        subject: "The token",
        other: "The token is neither an access token nor an ID token.",
    },
];

impl Setting {
    fn start(entry: &str) -> Self {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        let gateway = Gateway::start(&format!(
            "{}{entry}{}[[routes]]\npath = \"/x\"\nupstream = \"u\"\nscopes = \"read\"\n",
            issuer.toml(),
            upstream.toml("u"),
        ));
        Self { gateway, issuer }
    }

    /// Returns the claims of a token that the entry accepts.
    fn claims(&self, scope: &str) -> Token {
        self.issuer.claims(scope).with("token_use", "id")
    }

    fn ask(&self, token: &Token) -> Answer {
        let token = self.issuer.sign(token);
        self.gateway.send(&Request::get("/x").bearer(&token))
    }
}

/// Asserts a sentence, in the problem and, if there is one, in the challenge.
#[track_caller]
fn says(answer: &Answer, sentence: &str) {
    assert_eq!(answer.problem()["detail"], sentence);
    if let Some(description) = answer.challenge("error_description") {
        assert_eq!(description, sentence);
    }
}

#[test]
fn a_refusal_names_the_kind_of_token_that_the_route_accepts() {
    for kind in &KINDS {
        let setting = Setting::start(kind.entry);
        let Kind { needs, subject, .. } = kind;
        let send = |request: Request| setting.gateway.send(&request);
        let get = || Request::get("/x");
        assert_eq!(setting.ask(&setting.claims("read")).status, 200, "{needs}");
        let missing = format!("This needs {needs}, and the request has none.");
        says(&send(get()), &missing);
        says(&send(get().field("Authorization", "Basic YTpi")), &missing);
        let noun = subject.trim_start_matches("The ");
        let both = send(get().bearer("a").bearer("b"));
        says(&both, &format!("The request holds more than one {noun}."));
        says(
            &send(get().bearer("x")),
            &format!("{subject} is not valid."),
        );
        let expired = setting.claims("read").with("exp", now() - 3600);
        says(&setting.ask(&expired), &format!("{subject} has expired."));
        let other = setting.claims("read").with("aud", "other");
        says(
            &setting.ask(&other),
            &format!("{subject} is for another audience."),
        );
        let poor = setting.ask(&setting.claims("other"));
        assert_eq!(poor.problem()["detail"], format!("{subject} lacks: read."));
        assert_eq!(
            poor.challenge("error_description"),
            Some(format!(
                "{subject} does not carry the scopes that this needs."
            ))
        );
        let logout = setting.claims("read").header("typ", "logout+jwt");
        says(&setting.ask(&logout), kind.other);
    }
}

// A token of one issuer would be told otherwise what the other accepts.
#[test]
fn a_route_of_issuers_with_different_kinds_names_none() {
    let (access, id, upstream) = (Issuer::start(), Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}token_use = \"id\"\n{}[[routes]]\npath = \"/x\"\nupstream = \"u\"\nscopes = \"read\"\n\
         issuer = [\"idp\", \"other\"]\n",
        access.toml(),
        id.toml_named("other"),
        upstream.toml("u"),
    ));
    let get = || Request::get("/x");
    let expired = access.sign(&access.claims("read").with("exp", now() - 3600));
    says(
        &gateway.send(&get().bearer(&expired)),
        "The token has expired.",
    );
    says(
        &gateway.send(&get()),
        "This needs a token, and the request has none.",
    );
    // After the signature a token hears what its own issuer's entry accepts.
    let use_of_access = id.sign(&id.claims("read").with("token_use", "access"));
    says(
        &gateway.send(&get().bearer(&use_of_access)),
        "The token is not an ID token.",
    );
}
