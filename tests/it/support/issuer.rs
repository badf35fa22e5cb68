//! An issuer whose endpoints follow a script.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use super::{Key, Token, wait_until};

/// An issuer with a key set, discovery, and a count of its requests.
pub(crate) struct Issuer {
    pub(crate) key: Key,
    state: Arc<State>,
}

struct State {
    address: SocketAddr,
    jwks: Mutex<Jwks>,
    fetches: AtomicUsize,
    heads: Mutex<Vec<String>>,
    released: AtomicBool,
}

/// The behaviour of the key set endpoint.
#[derive(Clone)]
pub(crate) enum Jwks {
    /// Serves these keys.
    Keys(Vec<Key>),
    /// Answers with this status, these header lines and this body.
    Raw(u16, String, Vec<u8>),
    /// Serves these keys after [`Issuer::release`].
    Held(Vec<Key>),
    /// Takes the request and sends no answer.
    Hang,
    /// Closes the connection without an answer.
    Reset,
}

impl Issuer {
    /// Starts an issuer with one RSA key.
    pub(crate) fn start() -> Self {
        Self::with_key(Key::rsa("key-1", 0))
    }

    /// Starts an issuer with this key.
    pub(crate) fn with_key(key: Key) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            address: listener.local_addr().unwrap(),
            jwks: Mutex::new(Jwks::Keys(vec![key.clone()])),
            fetches: AtomicUsize::new(0),
            heads: Mutex::default(),
            released: AtomicBool::new(false),
        });
        thread::spawn({
            let state = state.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    thread::spawn(move || answer(&state, stream));
                }
            }
        });
        Self { key, state }
    }

    /// Returns the `iss` of its tokens; discovery is below this URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.state.address)
    }

    /// Returns its entry in a configuration, under the name `idp`, with discovery.
    pub(crate) fn toml(&self) -> String {
        self.toml_named("idp")
    }

    /// Returns its entry under another name.
    pub(crate) fn toml_named(&self, name: &str) -> String {
        format!(
            "[issuers.{name}]\nissuer = \"{}\"\naudience = \"api\"\n",
            self.url()
        )
    }

    /// Returns a good token with these scopes.
    pub(crate) fn token(&self, scope: &str) -> String {
        self.sign(&self.claims(scope))
    }

    /// Signs claims with the key of the issuer.
    pub(crate) fn sign(&self, claims: &Token) -> String {
        claims.signed(&self.key)
    }

    /// Returns the claims of a good token, unsigned.
    pub(crate) fn claims(&self, scope: &str) -> Token {
        Token::of(&self.url(), scope)
    }

    /// Changes the behaviour of the key set endpoint.
    pub(crate) fn serve(&self, jwks: Jwks) {
        *self.state.jwks.lock().unwrap() = jwks;
    }

    /// Releases the answers of [`Jwks::Held`], present and future.
    pub(crate) fn release(&self) {
        self.state.released.store(true, Ordering::SeqCst);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// Returns the heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    /// Returns the number of requests for the key set.
    pub(crate) fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }
}

fn answer(state: &State, stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let mut head = line.clone();
    let mut field = String::new();
    while reader.read_line(&mut field).is_ok_and(|read| read > 2) {
        head.push_str(&field);
        field.clear();
    }
    state.heads.lock().unwrap().push(head);
    let mut stream = stream;
    let path = line.split(' ').nth(1).unwrap_or_default();
    if path != "/jwks" {
        let found = path == "/.well-known/openid-configuration";
        let url = format!("http://{}", state.address);
        let body = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")}).to_string();
        write(
            &mut stream,
            if found { 200 } else { 404 },
            "",
            body.as_bytes(),
        );
        return;
    }
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let jwks = state.jwks.lock().unwrap().clone();
    match jwks {
        Jwks::Keys(keys) => write_keys(&mut stream, &keys),
        Jwks::Held(keys) => {
            wait_until("the keys are released", || {
                state.released.load(Ordering::SeqCst)
            });
            write_keys(&mut stream, &keys);
        }
        Jwks::Raw(status, fields, body) => write(&mut stream, status, &fields, &body),
        // Blocks until the other side gives up.
        Jwks::Hang => drop(reader.read_line(&mut field)),
        Jwks::Reset => {}
    }
}

fn write_keys(stream: &mut TcpStream, keys: &[Key]) {
    let keys: Vec<_> = keys.iter().map(Key::jwk).collect();
    write(
        stream,
        200,
        "",
        json!({ "keys": keys }).to_string().as_bytes(),
    );
}

fn write(stream: &mut TcpStream, status: u16, fields: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{fields}\r\n",
        body.len()
    );
    // The other side may have closed the connection.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}
