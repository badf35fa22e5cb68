//! WebSockets: the handshake over HTTP/1.1 (RFC 6455 §4) and HTTP/2 (RFC 8441), and the tunnel
//! after it.
//!
//! A handshake is routed and authorized like any other GET until its upstream has switched
//! protocols. `Upgrade` is forwarded only on a route with `websocket`, and only with the value
//! `websocket`; no bytes are relayed before the upstream's 101 (attacks.md#row-18).

mod frames;
#[cfg(test)]
mod fuzz;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::Body;
use hyper::ext::Protocol;

pub use tunnel::Tunnel;

use super::exchange::UnconfirmedRefusal;
use super::headers;
use crate::net::random;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// The text that a server appends to the key before it hashes it (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The channel from a request to its connection, in which the connection finds the tunnel that the
/// request became. A connection has one tunnel at most: after it there is no more HTTP.
#[derive(Default)]
pub struct Upgrades {
    tunnel: RefCell<Option<Tunnel>>,
    unconfirmed: RefCell<Option<UnconfirmedRefusal>>,
    bodies: Weak<()>,
    response_timeout: Option<Rc<Cell<Option<Duration>>>>,
}

impl Upgrades {
    /// Makes the channel of a connection that tracks unread request bodies and the upstream's
    /// response timeout.
    #[must_use]
    pub fn counting(bodies: &Rc<()>, response_timeout: &Rc<Cell<Option<Duration>>>) -> Self {
        Self {
            tunnel: RefCell::default(),
            unconfirmed: RefCell::default(),
            bodies: Rc::downgrade(bodies),
            response_timeout: Some(response_timeout.clone()),
        }
    }

    /// Tells the connection the time that the upstream has to answer.
    pub(super) fn set_response_timeout(&self, response_timeout: Duration) {
        if let Some(cell) = &self.response_timeout {
            cell.set(Some(response_timeout));
        }
    }

    /// Returns the guard of which the body of a request holds a reference until its end; the
    /// connection counts these references.
    pub(super) fn bodies(&self) -> &Weak<()> {
        &self.bodies
    }

    pub(super) fn open(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(tunnel));
    }

    /// Takes the tunnel out.
    #[must_use]
    pub fn take(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }

    pub(super) fn confirm_later(&self, refusal: UnconfirmedRefusal) {
        self.unconfirmed.replace(Some(refusal));
    }

    /// Takes out the refusal of the last request, if only the end of the connection shows whether
    /// the client received it.
    #[must_use]
    pub fn take_unconfirmed(&self) -> Option<UnconfirmedRefusal> {
        self.unconfirmed.take()
    }
}

/// The form of the handshake by which a client asks for a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// `Upgrade` of HTTP/1.1. The client checks the upstream's answer against its own key.
    Http1,
    /// An extended CONNECT of HTTP/2. The gateway makes the key for the upstream, and checks the
    /// upstream's answer.
    Http2 {
        /// The value of `Sec-WebSocket-Key`.
        key: HeaderValue,
    },
}

impl Handshake {
    /// Returns the handshake that a request begins, if it does: a GET of HTTP/1.1 without a body
    /// that asks for `websocket` alone, or the GET that [`from_connect`] made of an extended
    /// CONNECT.
    pub(super) fn of(head: &Parts, body: &impl Body) -> Option<Self> {
        if is_connect(head) {
            return Some(Self::Http2 { key: key() });
        }
        let fields = &head.headers;
        let is_handshake = head.method == Method::GET
            && head.version == Version::HTTP_11
            && body.is_end_stream()
            && is_only(fields, &UPGRADE, WEBSOCKET.as_bytes())
            && headers::lists(fields, &CONNECTION, UPGRADE.as_str())
            && fields.contains_key(SEC_WEBSOCKET_KEY);
        is_handshake.then_some(Self::Http1)
    }

    /// Adds the fields of the handshake to the upstream's request.
    pub(super) fn to_upstream(&self, headers: &mut HeaderMap) {
        add_upgrade(headers);
        if let Self::Http2 { key } = self {
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
    }

    /// Returns whether a response with 101 answers this handshake. Over HTTP/1.1 the client itself
    /// checks the key.
    pub(super) fn is_answered_by(&self, headers: &HeaderMap) -> bool {
        let accepted = match self {
            Self::Http1 => true,
            Self::Http2 { key } => headers.get(SEC_WEBSOCKET_ACCEPT) == Some(&accept(key)),
        };
        accepted && is_only(headers, &UPGRADE, WEBSOCKET.as_bytes())
    }

    /// Adds the fields and the status of the handshake to the client's response: 101, or 200 for a
    /// CONNECT (RFC 8441 §5.1).
    pub(super) fn to_client(&self, status: &mut StatusCode, headers: &mut HeaderMap) {
        match self {
            Self::Http1 => add_upgrade(headers),
            Self::Http2 { .. } => {
                *status = StatusCode::OK;
                headers.remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
    }
}

/// Turns an extended CONNECT for a WebSocket into the GET that it stands for (RFC 8441 §5): routes
/// match it as a GET. Other methods and protocols stay unchanged, and are refused later.
pub(super) fn from_connect<B>(request: &mut Request<B>) {
    if request.method() == Method::CONNECT
        && let Some(protocol) = request.extensions().get::<Protocol>()
        && protocol.as_str() == "websocket"
    {
        *request.method_mut() = Method::GET;
    }
}

/// Returns whether a request is the GET that [`from_connect`] made of an extended CONNECT.
pub(super) fn is_connect(head: &Parts) -> bool {
    head.extensions.get::<Protocol>().is_some()
}

fn add_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

/// Returns whether a field occurs exactly once, with this value in any case.
fn is_only(headers: &HeaderMap, name: &HeaderName, value: &[u8]) -> bool {
    let mut fields = headers.get_all(name).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    field.as_bytes().eq_ignore_ascii_case(value)
}

/// Returns a key for one handshake (RFC 6455 §4.1). It distinguishes responses and protects no
/// secret.
fn key() -> HeaderValue {
    let nonce = [random(), random()].map(u64::to_be_bytes).concat();
    // Base64 is visible ASCII, so it always makes a header value.
    HeaderValue::try_from(STANDARD.encode(nonce)).unwrap_or(WEBSOCKET)
}

/// Returns the value of `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2).
fn accept(key: &HeaderValue) -> HeaderValue {
    let text = [key.as_bytes(), GUID.as_bytes()].concat();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::try_from(STANDARD.encode(hash)).unwrap_or(WEBSOCKET)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    fn request(
        edit: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> Request<Empty<Bytes>> {
        let builder = Request::get("/")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-key", "k");
        edit(builder).body(Empty::new()).unwrap()
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_rfc_6455() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn handshake_of(request: Request<impl Body>) -> Option<Handshake> {
        let (head, body) = request.into_parts();
        Handshake::of(&head, &body)
    }

    #[test]
    fn a_handshake_asks_for_a_websocket_and_nothing_else() {
        let plain = request(|r| r.header("connection", "keep-alive, Upgrade"));
        assert_eq!(handshake_of(plain.clone()), Some(Handshake::Http1));
        for (why, other) in [
            ("Connection does not name it", request(|r| r)),
            (
                "another protocol too",
                request(|r| r.header("connection", "upgrade").header("upgrade", "h2c")),
            ),
            (
                "another method",
                request(|r| r.header("connection", "upgrade").method("POST")),
            ),
            (
                "HTTP/1.0",
                request(|r| r.header("connection", "upgrade").version(Version::HTTP_10)),
            ),
        ] {
            assert_eq!(handshake_of(other), None, "{why}");
        }
        let with_body = plain.map(|_| Full::new(Bytes::from_static(b"x")));
        assert_eq!(handshake_of(with_body), None);
    }

    #[test]
    fn over_http_2_the_answer_is_checked_here() {
        let handshake = Handshake::Http2 {
            key: HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        };
        let mut headers = HeaderMap::new();
        add_upgrade(&mut headers);
        assert!(!handshake.is_answered_by(&headers));
        assert!(Handshake::Http1.is_answered_by(&headers));
        headers.insert(
            SEC_WEBSOCKET_ACCEPT,
            HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        );
        assert!(handshake.is_answered_by(&headers));
    }
}
