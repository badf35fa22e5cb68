//! What a peer wrote, as the commands show it: on one line, escaped and cut, so that it neither
//! reaches the terminal as a control sequence nor passes for a line of the command.

use std::io::{self, BufRead as _, BufReader, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Output;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Issuer, Jwks, Key, Token, scopegate};

/// A value that clears the screen, changes the title and the direction of the text, and adds lines
/// that look like those of `explain` and of the log.
const HOSTILE: &str = "x\nok  verdict   forwarded to u\r\n\
                       2026-01-01T00:00:00Z ERROR \
                       fake\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{7f}\u{202e}\u{2028}\u{feff}";

/// The longest line that a command may make of values of peers.
const LONGEST: usize = 12_000;

/// A folder with the configuration of one issuer whose keys are fetched.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(issuer: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(
            "gateway.toml",
            &format!(
                "{issuer}[upstreams.u]\nurl = \"http://127.0.0.1:1\"\n\
                 [[routes]]\npath = \"/orders\"\nupstream = \"u\"\nscopes = \"orders.read\"\n"
            ),
        );
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = scopegate(arguments);
        command.current_dir(self.0.path()).output().unwrap()
    }

    /// Explains a request with this token, and returns everything that was printed.
    #[track_caller]
    fn explain(&self, token: &str) -> String {
        self.write("token", token);
        shown(&self.run(&["explain", "GET", "/orders", "--token-file", "token"]))
    }
}

/// Returns all output of a command, in which a terminal acts on nothing but line feeds.
#[track_caller]
fn shown(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    for char in text.chars() {
        let is_format =
            matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}');
        assert!(
            char == '\n' || !char.is_control() && !is_format,
            "{char:?} in {text:?}"
        );
    }
    for line in text.lines() {
        assert!(line.len() <= LONGEST, "{} bytes: {line:.300}", line.len());
        assert!(!line.starts_with("2026-01-01"), "a faked line: {text}");
    }
    text
}

/// Starts a server that answers each request with these fields and this body, and returns its URL.
fn answering(fields: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n{fields}content-length: {length}\r\n\r\n{body}"
    );
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = BufReader::new(&stream).lines();
            while head
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let _ = stream.write_all(answer.as_bytes());
            // A connection that is closed with unread bytes is reset, and its answer may be lost.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    url
}

#[track_caller]
fn has_one_verdict(text: &str) {
    let verdicts = text
        .lines()
        .filter(|line| line[4.min(line.len())..].starts_with("verdict"));
    assert_eq!(verdicts.count(), 1, "{text}");
}

#[test]
fn no_claim_of_a_token_reaches_the_terminal_as_it_is() {
    let issuer = Issuer::start();
    let folder = Folder::new(&issuer.toml());
    let good = issuer.claims("orders.read");
    let long = format!("{HOSTILE}{}", "y".repeat(5000));
    let list: Vec<Value> = (0..400).map(|n| json!(format!("{n} {HOSTILE}"))).collect();
    for name in [
        "iss",
        "aud",
        "client_id",
        "azp",
        "token_use",
        "scope",
        "scp",
        "sub",
        "typ",
        "cnf",
        "roles",
    ] {
        for value in [
            json!(HOSTILE),
            json!(long),
            json!(list),
            json!({HOSTILE: HOSTILE}),
        ] {
            // With the issuer's signature and without.
            for key in [&issuer.key, &Key::rsa("other", 1).named(HOSTILE)] {
                let text = folder.explain(&good.clone().with(name, value.clone()).signed(key));
                has_one_verdict(&text);
            }
        }
    }
    for name in ["kid", "typ", "alg", "crit", "jku"] {
        let token = good.clone().header(name, HOSTILE).signed(&issuer.key);
        has_one_verdict(&folder.explain(&token));
    }
    // A name of a claim, and texts that are no token.
    let token = good.with(HOSTILE, HOSTILE).signed(&issuer.key);
    has_one_verdict(&folder.explain(&token));
    let no_json = Token::signed_text("{\"alg\":\"RS256\"}", HOSTILE, &issuer.key);
    for text in [
        HOSTILE,
        &long,
        &no_json,
        &format!("{}.{HOSTILE}", "a".repeat(20)),
    ] {
        has_one_verdict(&folder.explain(text));
    }
}

#[test]
fn no_answer_of_an_issuer_reaches_the_terminal_as_it_is() {
    let issuer = Issuer::start();
    let folder = Folder::new(&issuer.toml());
    let token = issuer.token("orders.read");
    let key = |name: &str| {
        let mut key = issuer.key.jwk();
        key[name] = json!(HOSTILE);
        json!({ "keys": [key] }).to_string().into_bytes()
    };
    let answers = [
        Jwks::Raw(200, String::new(), HOSTILE.into()),
        Jwks::Raw(
            500,
            format!("x: {}\r\n", "\u{9b}".repeat(9)),
            HOSTILE.into(),
        ),
        Jwks::Raw(302, "location: http://\u{9b}/\r\n".into(), Vec::new()),
        Jwks::Raw(
            200,
            String::new(),
            json!({ "keys": HOSTILE }).to_string().into(),
        ),
        Jwks::Raw(
            200,
            String::new(),
            json!({ HOSTILE: HOSTILE }).to_string().into(),
        ),
        Jwks::Raw(200, String::new(), key("kid")),
        Jwks::Raw(200, String::new(), key("kty")),
        Jwks::Raw(200, String::new(), key("alg")),
        Jwks::Raw(200, String::new(), key("use")),
        Jwks::Raw(200, String::new(), key("n")),
        Jwks::Raw(200, String::new(), key("d")),
    ];
    for answer in answers {
        issuer.serve(answer);
        has_one_verdict(&folder.explain(&token));
    }
}

#[test]
fn no_metadata_of_an_issuer_reaches_the_terminal_as_it_is() {
    for body in [
        HOSTILE.to_owned(),
        json!({ "issuer": HOSTILE, "jwks_uri": "http://127.0.0.1:1/" }).to_string(),
        json!({ "jwks_uri": HOSTILE }).to_string(),
        json!({ HOSTILE: HOSTILE }).to_string(),
    ] {
        let url = answering("", &body);
        let folder = Folder::new(&format!(
            "[issuers.idp]\nissuer = \"{url}\"\naudience = \"api\"\n"
        ));
        let text = folder.explain(&Token::of(&url, "orders.read").signed(&Key::rsa("key", 0)));
        has_one_verdict(&text);
        assert!(text.contains("keys_unavailable"), "{text}");
    }
}

#[test]
fn no_text_of_a_file_reaches_the_terminal_as_it_is() {
    let text = json!(HOSTILE).to_string().replace('\u{7f}', "\\u007f");
    let good = "[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\n\
                jwks = '{\"keys\":[]}'\n";
    // A valid file, with the text wherever one may have any.
    let folder = Folder::new(&format!(
        "[issuers.idp]\nissuer = \"https://idp.test\"\naudience = [{text}, \"api\"]\n\
         client_ids = [{text}]\ntoken_use = {text}\nrequired_claims = {{ {text} = {text} }}\n\
         scope_claims = [{text}, \"scope\"]\njwks_uri = \"http://127.0.0.1:1/\"\n"
    ));
    for command in ["check", "routes"] {
        let output = folder.run(&[command]);
        let text = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(!text.contains("\nok"), "{text}");
    }
    let token = folder.explain("eyJ.a.b");
    has_one_verdict(&token);
    // Files with problems, of which the messages quote names and values.
    for wrong in [
        format!("{good}[upstreams.{text}]\nurl = \"http://a\"\n"),
        format!("{good}{text} = 1\n"),
        format!("[issuers.{text}]\nissuer = {text}\n"),
        format!("{good}[upstreams.v]\nurl = {text}\n"),
        format!(
            "{good}[[routes]]\npath = {text}\nupstream = {text}\nscopes = {text}\nhost = {text}\n\
             methods = [{text}]\n"
        ),
        format!("# {HOSTILE:?} \u{9b} \u{202e}\n[issuers.a] \u{9b}\u{202e}\n"),
    ] {
        let folder = Folder::new(&wrong);
        for command in ["check", "routes", "explain"] {
            let more: &[&str] = if command == "explain" {
                &["GET", "/"]
            } else {
                &[]
            };
            let output = folder.run(&[&[command], more].concat());
            let text = shown(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.contains("error: "), "{text}");
            assert!(!text.contains("\nok"), "{text}");
        }
    }
}

#[test]
fn no_answer_to_scopegate_token_reaches_the_terminal_as_it_is() {
    let folder = Folder::new("");
    for (body, says) in [
        (json!({ "error": HOSTILE }), "refuses"),
        (json!({ "error_description": HOSTILE }), "refuses"),
        (json!({ "access_token": HOSTILE }), "is not a dev issuer"),
        (
            json!({ "error": "not_found", "token_endpoints": [format!("/{HOSTILE}/oauth2/token")] }),
            "--issuer",
        ),
    ] {
        let url = answering("server: scopegate-dev\r\n", &body.to_string());
        let output = folder.run(&["token", "--scope", "a", "--url", &url]);
        let text = shown(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(output.stdout.is_empty() && text.contains(says), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
