//! An issuer that goes away and comes back, and that replaces its signing key.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::keys::{Key, Token};
use crate::load::Tokens;

pub(crate) const ISSUER: &str = "https://idp.test/";

/// The seconds from one new signing key to the next.
const ROTATION: usize = 20;

/// An issuer, its keys, and the tokens that are in use.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    published: Arc<Published>,
    keys: Mutex<Keys>,
    tokens: Arc<Mutex<Arc<Tokens>>>,
}

/// What the issuer serves.
struct Published {
    is_up: AtomicBool,
    key_set: Mutex<String>,
}

struct Keys {
    signing: Key,
    /// The key that follows, from its publication to its first use.
    next: Option<Key>,
    rotations: usize,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let signing = Key::p256("key-0");
        let published = Arc::new(Published {
            is_up: AtomicBool::new(true),
            key_set: Mutex::new(key_set(&[&signing])),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = published.clone();
        thread::spawn(move || serve(&listener, &served));
        Self {
            address,
            published,
            tokens: Arc::new(Mutex::new(Arc::new(tokens(&signing)))),
            keys: Mutex::new(Keys {
                signing,
                next: None,
                rotations: 0,
            }),
        }
    }

    /// Returns the place where clients find the tokens of the moment.
    pub(crate) fn tokens(&self) -> Arc<Mutex<Arc<Tokens>>> {
        self.tokens.clone()
    }

    /// Returns how often the signing key has been replaced.
    pub(crate) fn rotations(&self) -> usize {
        self.keys.lock().unwrap().rotations
    }

    /// Goes away for the second half of each ten seconds, and takes one step of a rotation.
    ///
    /// A new key is published at first, used for tokens ten seconds later, when each gateway has
    /// had five seconds to fetch it, and alone in the key set after five more.
    pub(crate) fn trouble(&self, second: usize) {
        let is_up = second % 10 < 5;
        self.published.is_up.store(is_up, Ordering::Relaxed);
        let mut keys = self.keys.lock().unwrap();
        match second % ROTATION {
            0 => {
                let next = Key::p256(&format!("key-{}", keys.rotations + 1));
                self.publish(&[&keys.signing, &next]);
                keys.next = Some(next);
            }
            10 => {
                let Some(next) = keys.next.take() else { return };
                *self.tokens.lock().unwrap() = Arc::new(tokens(&next));
                keys.signing = next;
                keys.rotations += 1;
            }
            15 => self.publish(&[&keys.signing]),
            _ => {}
        }
    }

    fn publish(&self, keys: &[&Key]) {
        *self.published.key_set.lock().unwrap() = key_set(keys);
    }
}

fn key_set(keys: &[&Key]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    serde_json::json!({ "keys": keys }).to_string()
}

fn tokens(key: &Key) -> Tokens {
    Tokens {
        good: Token::of(ISSUER, "orders.read").signed(key),
        denied: Token::of(ISSUER, "orders.reads").signed(key),
        forged: Token::of(ISSUER, "orders.read").signed(&Key::p256(&key.kid)),
    }
}

/// Serves the key set while the issuer is up, and closes connections while it is not.
fn serve(listener: &TcpListener, published: &Published) {
    for mut stream in listener.incoming().flatten() {
        let _ = stream.read(&mut [0; 4096]);
        if !published.is_up.load(Ordering::Relaxed) {
            continue;
        }
        let body = published.key_set.lock().unwrap().clone();
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}
