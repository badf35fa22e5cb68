//! Nothing that a peer sends can make a line of any output longer than its bound, break it, or put
//! a secret into it: heads, paths, tokens, cookies, certificates, and answers of upstreams.
//!
//! The inputs are random. A failure names its seed: `SCOPEGATE_TEST_SEED=… cargo test --test it
//! hostile`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal, request};
use crate::support::{
    Authority, Chance, Key, PATIENCE, Process, Script, Token, Upstream, encode, scopegate,
};

/// The most bytes of a line of the access log: 8 KiB of a path, of which an escape makes three
/// times as many, and the other members.
const LONGEST_LINE: usize = 32 * 1024;

/// The most bytes of a line of the log of events, and of one that `explain` prints.
const LONGEST_EVENT: usize = 4 * 1024;

/// The shortest secret that is looked for: a shorter one may be a part of anything.
const SHORTEST: usize = 12;

const ISS: &str = "https://idp.test";

impl Chance {
    /// Returns a text that could spoil a line, or that is plain, or long.
    fn text(&mut self) -> String {
        const PARTS: [&str; 14] = [
            "a",
            "é",
            "\r\n",
            "\n{\"time\":\"x\"}",
            "\u{1b}[2J",
            "\u{9b}0m",
            "\u{202e}",
            "\u{2028}",
            "\0",
            "\"",
            "\\",
            "'",
            " INFO faked reason=\"x\"",
            "%0a",
        ];
        let length = self.one_of(&[1, 3, 10, 2000]);
        (0..length).map(|_| self.one_of(&PARTS)).collect()
    }

    /// Returns characters that a target may have.
    fn segment(&mut self) -> String {
        const PARTS: [&str; 10] = [
            "a", "J", "é", "\u{9b}", "\u{202e}", "\"", "\\", "%0a", "{}", "eyJ",
        ];
        let length = self.one_of(&[1, 3, 10, 900]);
        (0..length).map(|_| self.one_of(&PARTS)).collect()
    }
}

/// The texts that no output may have.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    /// Keeps a secret.
    fn keep(&mut self, secret: &str) -> String {
        self.0.insert(secret.to_owned());
        secret.to_owned()
    }

    /// Keeps a token and each of its parts.
    fn keep_token(&mut self, token: String) -> String {
        let parts = token
            .split(['.', ' '])
            .filter(|part| part.len() >= SHORTEST);
        self.0.extend(parts.map(str::to_owned));
        self.0.insert(token.clone());
        token
    }

    #[track_caller]
    fn check(&self, line: &str, longest: usize) {
        assert!(line.len() <= longest, "{} bytes: {line:.300}", line.len());
        let control = line.chars().find(|char| char.is_control());
        assert_eq!(control, None, "{line:?}");
        let is_deceptive =
            |char: &char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}');
        assert_eq!(line.chars().find(is_deceptive), None, "{line:?}");
        for secret in &self.0 {
            assert!(
                !line.contains(secret.as_str()),
                "{secret:.60} is in {line:.600}"
            );
        }
    }
}

/// Everything that a test draws.
struct Draw {
    chance: Chance,
    secrets: Secrets,
    key: Key,
    drawn: usize,
}

impl Draw {
    fn new() -> Self {
        Self {
            chance: Chance::new(),
            secrets: Secrets::default(),
            key: Key::rsa("key", 0),
            drawn: 0,
        }
    }

    fn secret(&mut self, what: &str) -> String {
        self.drawn += 1;
        let number = self.drawn;
        self.secrets.keep(&format!("SECRET-{what}-{number:06}"))
    }

    /// Returns a claim that is as it should be, of another type, or hostile.
    fn claim(&mut self, good: &Value) -> Value {
        let text = self.chance.text();
        let token = Token::of(ISS, "orders.read")
            .with("jti", self.drawn as u64)
            .signed(&self.key);
        let token = self.secrets.keep_token(token);
        match self.chance.below(9) {
            0 => json!(text),
            1 => json!([text, "api", text, token, text, text]),
            2 => json!(token),
            3 => json!(format!("{text}{token}{text}")),
            4 => json!({ text: [1, null] }),
            5 => Value::Null,
            _ => good.clone(),
        }
    }

    /// Returns a token that may be good, wrong, or none at all.
    fn token(&mut self) -> String {
        self.drawn += 1;
        let mut token = Token::of(ISS, "orders.read").with("n", self.drawn as u64);
        let mine = self.secret("claim");
        token = token.with("not_asked_for", mine);
        for name in [
            "iss",
            "aud",
            "client_id",
            "sub",
            "jti",
            "scope",
            "exp",
            "cnf",
        ] {
            if self.chance.below(5) == 0 {
                let good = token.claims[name].clone();
                token.claims[name] = self.claim(&good);
            }
        }
        for name in ["kid", "alg", "typ", "crit", "cty"] {
            if self.chance.below(8) == 0 {
                token.header[name] = self.claim(&json!("JWT"));
            }
        }
        let signed = token.signed(&self.key);
        let secret = self.secret("opaque");
        let text = match self.chance.below(12) {
            0 => secret,
            1 => signed[..signed.len() / 2].to_owned(),
            2 => format!("{}.{}", signed, encode(secret)),
            3 => format!("\"{signed}\""),
            4 => format!("Bearer {signed}"),
            5 => format!(
                "{}.{}.",
                encode(r#"{"alg":"none"}"#),
                encode(token.claims.to_string())
            ),
            6 => Token::signed_text(&self.chance.text(), &self.chance.text(), &self.key),
            7 => Token::signed_text(
                r#"{"alg":"RS256","kid":"key"}"#,
                r#"{"iss":1,"iss":2}"#,
                &self.key,
            ),
            _ => signed,
        };
        self.secrets.keep_token(text)
    }

    /// Returns a JWT, as it may stand in a path: a secret that does not look like one may do so,
    /// too, but nothing can tell it from another name.
    fn jwt(&mut self) -> String {
        self.drawn += 1;
        let token = Token::of(ISS, "orders.read").with("n", self.drawn as u64);
        let blank = self.chance.one_of(&["", " ", "\n\t"]);
        let header = format!("{{{blank}\"alg\":\"RS256\",\"kid\":\"key\"}}");
        let signed = Token::signed_text(&header, &token.claims.to_string(), &self.key);
        self.secrets.keep_token(signed)
    }

    fn target(&mut self, token: &str) -> String {
        let jwt = self.jwt();
        let path = match self.chance.below(10) {
            0 => format!("/orders/{jwt}"),
            1 => format!("/{jwt}/{jwt}/x"),
            2 => format!("//{jwt};a={jwt}"),
            3 => format!("/orders/{}", self.chance.segment()),
            4 => format!("/%2e%2e/{}{jwt}", self.chance.segment()),
            5 => "/public/x".to_owned(),
            6 => "/cookie/x".to_owned(),
            7 => format!("/{}", self.chance.text()),
            _ => "/orders/1".to_owned(),
        };
        let secret = self.secret("query");
        match self.chance.below(3) {
            0 => format!("{path}?access_token={token}&q={secret}"),
            _ => path,
        }
    }

    fn fields(&mut self, token: &str) -> Vec<(&'static str, String)> {
        let basic = self.secret("basic");
        let cookie = self.secret("cookie");
        let text = self.chance.text();
        let all = [
            ("authorization", format!("Bearer {token}")),
            ("authorization", format!("Bearer {token}")),
            ("authorization", token.to_owned()),
            ("authorization", format!("Basic {basic}")),
            ("authorization", format!("DPoP {token}")),
            ("cookie", format!("session={token}; other={cookie}")),
            ("cookie", cookie),
            ("x-request-id", self.jwt()),
            ("x-request-id", self.jwt()[..100].to_owned()),
            ("x-request-id", text.clone()),
            ("x-forwarded-for", format!("{text}, {token}")),
            ("content-type", format!("application/grpc+{token}")),
            ("origin", format!("https://{}", self.jwt())),
            ("te", token.to_owned()),
            ("upgrade", token.to_owned()),
            ("content-length", token.to_owned()),
            ("transfer-encoding", token.to_owned()),
            ("x-a", text),
        ];
        let count = self.chance.below(4);
        (0..count).map(|_| self.chance.one_of(&all)).collect()
    }

    /// Returns bytes of HTTP/1.1 that may be a request.
    fn head(&mut self) -> Vec<u8> {
        let token = self.token();
        let target = self.target(&token);
        let text = self.chance.text();
        let method = match self.chance.below(12) {
            0 => text.clone(),
            1 => self.jwt(),
            2 => "POST".to_owned(),
            _ => "GET".to_owned(),
        };
        let host = match self.chance.below(12) {
            0 => text,
            1 => self.jwt(),
            _ => "a.test".to_owned(),
        };
        let version = match self.chance.below(12) {
            0 => "HTTP/3.0",
            1 => token.as_str(),
            2 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let mut head =
            format!("{method} {target} {version}\r\nHost: {host}\r\nConnection: close\r\n");
        for (name, value) in self.fields(&token) {
            head += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        if self.chance.below(20) == 0 {
            bytes.truncate(self.chance.below(bytes.len()));
        }
        bytes
    }

    /// Returns an answer of an upstream, with what it may have seen.
    fn answer(&mut self) -> Script {
        let text = self.chance.text();
        let token = self.token();
        match self.chance.below(9) {
            0 => Script::Raw(text.into_bytes(), false),
            1 => Script::Raw(
                format!("HTTP/1.1 200 {token}\r\n{token}: {text}\r\n\r\n").into_bytes(),
                false,
            ),
            2 => Script::Raw(format!("{token}\r\n\r\n").into_bytes(), false),
            3 => Script::Raw(format!("HTTP/1.1 {token} OK\r\n\r\n").into_bytes(), false),
            4 => Script::Raw(
                format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{token}\r\n")
                    .into_bytes(),
                false,
            ),
            5 => Script::RawThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg".to_vec()),
            6 => Script::Close,
            _ => Script::Ok,
        }
    }

    fn configuration(&self, upstream: &Upstream) -> String {
        let keys = json!({ "keys": [self.key.jwk()] });
        format!(
            "[log]\naccess = \"all\"\nclaims = \
             [\"iss\", \"aud\", \"client\", \"kid\", \"jti\", \"scope\", \"sub\"]\n\
             [issuers.idp]\nissuer = \"{ISS}\"\naudience = \"api\"\njwks = '{keys}'\n{}\
             [[routes]]\npath = \"/orders/**\"\nupstream = \"orders\"\n\
             methods = {{ GET = \"orders.read\", POST = \"orders.write\" }}\n\
             token_from = [\"authorization:bearer\", \"query:access_token\"]\n\
             [[routes]]\npath = \"/cookie/**\"\nupstream = \"orders\"\n\
             methods = {{ GET = \"orders.read\" }}\ntoken_from = [\"cookie:session\"]\n\
             [[routes]]\npath = \"/public/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\n\
             public = true\n",
            upstream.toml("orders")
        )
    }
}

/// Sends bytes, and reads what comes for them.
fn send(address: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let _ = socket.read_to_end(&mut Vec::new());
}

/// Ends a gateway, and checks all that it has written.
#[track_caller]
fn check(mut process: Process, secrets: &Secrets, at_least: usize) {
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let (out, errors) = (process.out(), process.errors());
    assert!(
        out.lines().count() >= at_least,
        "{} lines",
        out.lines().count()
    );
    assert!(out.is_empty() || out.ends_with('\n'));
    for line in out.split_terminator('\n') {
        secrets.check(line, LONGEST_LINE);
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        assert!(value.is_object(), "{line}");
        // A reader takes the escapes away.
        let mut texts = Vec::new();
        collect(&value, &mut texts);
        for secret in &secrets.0 {
            assert!(
                !texts.iter().any(|text| text.contains(secret)),
                "{secret:.60} is in {line:.600}"
            );
        }
    }
    assert!(errors.ends_with('\n'));
    for line in errors.split_terminator('\n') {
        secrets.check(line, LONGEST_EVENT);
        let is_event = [" INFO ", " WARN ", " ERROR "]
            .iter()
            .any(|level| line.contains(level));
        assert!(line.starts_with("20") && is_event, "{line}");
    }
}

/// Returns as much of a text as a name of a certificate takes.
fn beginning(text: &str) -> String {
    text.chars().take(1000).collect()
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| collect(one, texts)),
        Value::Object(all) => all.values().for_each(|one| collect(one, texts)),
        _ => {}
    }
}

#[cfg(unix)]
#[test]
fn no_request_and_no_answer_spoils_a_line_of_a_log() {
    let mut draw = Draw::new();
    let upstream = Upstream::start();
    let process = Process::run(&draw.configuration(&upstream));
    for _ in 0..300 {
        upstream.play([draw.answer()]);
        send(process.address(), &draw.head());
    }
    for _ in 0..60 {
        let token = draw.token();
        let mut block = request("GET", &draw.target(&token));
        for (name, value) in draw.fields(&token) {
            block.extend(literal(name, &value));
        }
        let mut client = Frames::connect(process.address());
        upstream.play([draw.answer()]);
        client.send(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        // An answer, a reset or the end of the connection.
        let _ = client.wait(|frame| frame.stream == 1 && frame.kind != 8 || frame.kind == 7);
    }
    check(process, &draw.secrets, 100);
}

#[cfg(unix)]
#[test]
fn no_certificate_and_no_handshake_spoils_a_line_of_a_log() {
    let mut draw = Draw::new();
    let upstream = Upstream::start();
    let (root, stranger) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    root.sign(&["a.test"]).write(files.path(), "a");
    std::fs::write(files.path().join("root.pem"), &root.pem).unwrap();
    let file = |name: &str| files.path().join(name).display().to_string();
    let tls = format!(
        "[server.tls]\ncertificates = [{{ cert_file = \"{}\", key_file = \"{}\" }}]\n\
         client_auth = \"optional\"\nclient_ca_file = \"{}\"\n",
        file("a.pem"),
        file("a.key"),
        file("root.pem")
    );
    let process = Process::run(&format!("{tls}{}", draw.configuration(&upstream)));
    for number in 0..40 {
        let (text, token) = (draw.chance.text(), draw.token());
        let hostile = |params: &mut rcgen::CertificateParams| {
            let name = &mut params.distinguished_name;
            name.push(rcgen::DnType::CommonName, beginning(&text));
            name.push(rcgen::DnType::OrganizationName, beginning(&token));
        };
        let authority = if number % 2 == 0 { &root } else { &stranger };
        let own = authority.sign_with(&["caller"], hostile);
        let label: String = token
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(60)
            .collect();
        let label = draw.secrets.keep(&label);
        let asked = draw.chance.one_of(&[
            "a.test".to_owned(),
            format!("x{label}.test"),
            format!("{label}.{label}.{label}.test"),
        ]);
        let mut client =
            crate::support::connect(process.address(), &asked, root.client(Some(&own)));
        let _ = client.write_all(&draw.head());
        let _ = client.read_to_end(&mut Vec::new());
    }
    check(process, &draw.secrets, 0);
}

#[test]
fn no_token_and_no_request_spoils_a_line_of_explain() {
    let mut draw = Draw::new();
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    write("gateway.toml", draw.configuration(&upstream).as_bytes());
    for _ in 0..20 {
        let path = draw
            .chance
            .one_of(&["/orders/1", "/cookie/x", "/public/x", "/other"]);
        write("token", draw.token().as_bytes());
        write("head", &draw.head());
        let by_token = ["explain", "GET", path, "--token-file", "token"];
        let by_head = ["explain", "--request-file", "head"];
        for form in [&by_token[..], &by_head] {
            for more in [&[][..], &["--json"]] {
                let output = scopegate(&[form, more].concat())
                    .current_dir(folder.path())
                    .output()
                    .unwrap();
                let (out, errors) = (output.stdout, output.stderr);
                assert!(
                    !String::from_utf8_lossy(&errors).contains("Usage:"),
                    "{form:?}"
                );
                for text in [out, errors] {
                    let text = String::from_utf8(text).expect("the text is UTF-8");
                    for line in text.split_terminator('\n') {
                        draw.secrets.check(line, LONGEST_EVENT);
                    }
                }
            }
        }
    }
}
