//! `scopegate token`: tokens of a running `scopegate dev` that pass, and those that ought to be
//! refused, each for its own reason.

use crate::support::{Answer, Process, Request, scopegate, wait_until};

const FILE: &str = r#"
[server]
listen = "127.0.0.1:0"

[log]
access = "all"

[issuers.idp]
issuer          = "https://idp.example.com/"
audience        = "https://api.example.com"
algorithms      = ["ES256"]
client_ids      = ["web"]
required_claims = { tenant = ["acme", "globex"], level = 3, amr = { present = true } }

[issuers.strict]
issuer     = "https://strict.example.com/"
audience   = "any"
algorithms = ["EdDSA"]
typ        = "at+jwt"

# An issuer whose clients are its audiences, as those of an HTTP API may be.
[issuers.clients]
issuer          = "https://clients.example.com/"
audience        = ["app-1"]
audience_claims = ["client_id"]
algorithms      = ["EdDSA"]

[upstreams.up]
url = "https://up.example.com"

[[routes]]
path     = "/idp"
upstream = "up"
issuer   = "idp"
scopes   = ["read", "write"]

[[routes]]
path          = "/clients"
upstream      = "up"
issuer        = "clients"
authenticated = true

[[routes]]
path     = "/strict"
upstream = "up"
issuer   = "strict"
scopes   = "read"
"#;

/// Runs `scopegate token` and returns the token.
#[track_caller]
fn token(process: &Process, issuer: &str, options: &[&str]) -> String {
    let url = format!("http://{}", process.place("issuer"));
    let fixed = ["token", "--url", &url, "--issuer", issuer];
    let output = scopegate(&[&fixed, options].concat()).output().unwrap();
    assert!(output.status.success(), "{options:?}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

fn ask(process: &Process, issuer: &str, options: &[&str]) -> Answer {
    let token = token(process, issuer, options);
    process.send(&Request::get(&format!("/{issuer}")).bearer(&token))
}

/// Returns the reason in the log for an answer.
fn reason(process: &Process, answer: &Answer) -> String {
    let id = answer.field("x-request-id").unwrap().to_owned();
    let line = || {
        let log = process.out();
        let mut lines = log.lines().filter(|line| line.contains(&id));
        lines.next().map(str::to_owned)
    };
    wait_until("the request is in the log", || line().is_some());
    let line: serde_json::Value = serde_json::from_str(&line().unwrap()).unwrap();
    line["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_token_passes_whatever_its_issuers_entry_asks_for() {
    let process = Process::dev(FILE);
    for (issuer, options) in [
        ("idp", &["--scope", "read", "--scope", "write"][..]),
        ("idp", &["--claim", "extra=1"]),
        (
            "idp",
            &["--aud", "https://api.example.com", "--aud", "other"],
        ),
        ("idp", &["--claim", "tenant=globex"]),
        ("strict", &["--scope", "read"]),
    ] {
        let answer = ask(&process, issuer, options);
        assert_eq!(answer.status, 200, "{options:?}: {answer:?}");
    }
}

#[test]
fn each_change_is_refused_for_its_own_reason() {
    let process = Process::dev(FILE);
    for (options, expected) in [
        (&["--expired"][..], "token_expired"),
        (&["--not-yet-valid"], "token_not_yet_valid"),
        (&["--aud", "https://other.example.com"], "wrong_audience"),
        (&["--without", "aud"], "wrong_audience"),
        (&["--iss", "https://other.example.com/"], "unknown_issuer"),
        (&["--claim", "client_id=other"], "wrong_client"),
        (&["--claim", "tenant=other"], "required_claim"),
        (&["--without", "level"], "required_claim"),
        (&["--typ", "dpop+jwt"], "not_an_access_token"),
        (&["--kid", "other"], "unknown_key"),
        (&["--other-key"], "bad_signature"),
        (&["--alg", "HS256"], "algorithm_not_allowed"),
        (&["--alg", "HS512"], "algorithm_not_allowed"),
        (&["--alg", "EdDSA"], "algorithm_not_allowed"),
        (&["--scope", "read"], "insufficient_scope"),
        (&["--claim", "scope=read"], "insufficient_scope"),
    ] {
        // Each differs from a good token in this alone.
        let answer = ask(&process, "idp", options);
        assert_eq!(
            reason(&process, &answer),
            expected,
            "{options:?}: {answer:?}"
        );
    }
    // What an issuer never leaves out or adds has reasons of its own.
    for options in [
        &["--alg", "none"][..],
        &["--without", "exp"],
        &["--claim", "exp=soon"],
        &["--header", "crit=[\"exp\"]"],
    ] {
        let answer = ask(&process, "idp", options);
        assert_eq!(answer.status, 401, "{options:?}: {answer:?}");
    }
    // Where another claim decides about the audience, it is the one that is changed.
    let answer = ask(&process, "clients", &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = ask(&process, "clients", &["--aud", "other"]);
    assert_eq!(reason(&process, &answer), "wrong_audience", "{answer:?}");
    let other_issuer = token(&process, "strict", &["--scope", "read"]);
    let answer = process.send(&Request::get("/idp").bearer(&other_issuer));
    assert_eq!(answer.status, 401);
}

#[test]
fn the_dev_issuer_says_what_it_cannot_change() {
    let process = Process::dev(FILE);
    let url = format!("http://{}", process.place("issuer"));
    let line = ["token", "--url", &url, "--issuer", "idp", "--alg", "RS1"];
    let output = scopegate(&line).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("alg is no algorithm of JSON Web Signature"),
        "{errors}"
    );
}

#[test]
fn dev_takes_no_upstream_that_the_file_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, FILE).unwrap();
    for (upstream, says) in [
        ("down=http://127.0.0.1:1", "no upstream \"down\""),
        (
            "up=http://up.example.com",
            "only an address of this machine",
        ),
    ] {
        let line = ["dev", "-c", file.to_str().unwrap(), "--upstream", upstream];
        let output = scopegate(&line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{upstream}: {output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(says), "{errors}");
    }
}
