//! Tests of the client against servers that misbehave.

use super::super::fake::{Fake, FakeAnswer, json, response};
use super::*;

const BOUNDS: Bounds = Bounds {
    timeout: Duration::from_secs(10),
    max_bytes: 1000,
    allow_http: false,
    nearest: Nearness::Machine,
};

/// The timeout for answers that never come.
const SHORT: Bounds = Bounds {
    timeout: Duration::from_millis(100),
    ..BOUNDS
};

async fn get(fake: &Fake, path: &str, bounds: Bounds) -> Result<Fetched, FetchError> {
    Client::new(Tls::system())
        .get(&fake.url(path), bounds)
        .await
}

#[tokio::test]
async fn a_document_comes_with_its_lifetime() {
    let fake = Fake::start();
    fake.answer(
        "/keys?v=1",
        FakeAnswer::Bytes(response(200, "Cache-Control: max-age=300\r\n", "{}")),
    );
    let fetched = get(&fake, "/keys?v=1", BOUNDS).await.unwrap();
    assert_eq!(
        (&*fetched.body, fetched.lifetime),
        (&b"{}"[..], Some(Duration::from_secs(300)))
    );
    let head = fake.heads().join("").to_ascii_lowercase();
    for line in [
        format!("host: {}\r\n", fake.address()),
        "accept: application/json\r\n".to_owned(),
    ] {
        assert!(head.contains(&line), "{head}");
    }
    assert!(head.contains("user-agent: scopegate/"), "{head}");
}

#[tokio::test]
async fn a_chunked_document_and_one_that_ends_with_the_connection_are_whole() {
    let fake = Fake::start();
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    fake.answer("/chunked", FakeAnswer::Bytes(chunked.to_vec()));
    fake.answer(
        "/closed",
        FakeAnswer::Bytes(b"HTTP/1.1 200 OK\r\n\r\n{}".to_vec()),
    );
    for path in ["/chunked", "/closed"] {
        assert_eq!(
            &*get(&fake, path, BOUNDS).await.unwrap().body,
            b"{}",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_server_that_fails_is_an_error_of_its_own_kind() {
    let fake = Fake::start();
    fake.answer("/500", FakeAnswer::Bytes(response(500, "", "<html>")));
    fake.answer(
        "/204",
        FakeAnswer::Bytes(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
    );
    fake.answer("/html", json("\n <!doctype html>"));
    fake.answer("/hang", FakeAnswer::Hang);
    fake.answer(
        "/drip",
        FakeAnswer::Drip(response(200, "", &"x".repeat(900))),
    );
    fake.answer("/reset", FakeAnswer::Reset);
    fake.answer(
        "/cut",
        FakeAnswer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}".to_vec()),
    );
    fake.answer(
        "/cut-chunk",
        FakeAnswer::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}".to_vec()),
    );
    fake.answer(
        "/junk",
        FakeAnswer::Bytes(b"\x15\x03\x01\x00\x02\x02\x0a".to_vec()),
    );
    let error = async |path, bounds| get(&fake, path, bounds).await.map(|_| ()).unwrap_err();
    assert!(matches!(
        error("/500", BOUNDS).await,
        FetchError::Status(StatusCode::INTERNAL_SERVER_ERROR)
    ));
    assert!(matches!(
        error("/404", BOUNDS).await,
        FetchError::Status(StatusCode::NOT_FOUND)
    ));
    assert!(matches!(
        error("/204", BOUNDS).await,
        FetchError::Status(StatusCode::NO_CONTENT)
    ));
    assert!(matches!(error("/html", BOUNDS).await, FetchError::Html));
    assert!(matches!(error("/hang", SHORT).await, FetchError::Timeout));
    assert!(matches!(error("/drip", SHORT).await, FetchError::Timeout));
    for path in ["/reset", "/cut", "/cut-chunk", "/junk"] {
        let error = error(path, BOUNDS).await;
        assert!(matches!(error, FetchError::Http(_)), "{path}: {error:?}");
    }
}

#[tokio::test]
async fn no_more_is_read_than_the_bound() {
    let fake = Fake::start();
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{".to_vec();
    fake.answer("/exact", json(&"x".repeat(1000)));
    fake.answer("/one-more", json(&"x".repeat(1001)));
    fake.answer("/announced", FakeAnswer::Bytes(huge));
    fake.answer("/endless", FakeAnswer::Endless);
    fake.answer(
        "/head",
        FakeAnswer::Bytes(response(
            200,
            &format!("X-Pad: {}\r\n", "x".repeat(100_000)),
            "{}",
        )),
    );
    assert_eq!(get(&fake, "/exact", BOUNDS).await.unwrap().body.len(), 1000);
    for path in ["/one-more", "/announced", "/endless"] {
        let error = get(&fake, path, BOUNDS).await.unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge(1000)),
            "{path}: {error:?}"
        );
    }
    assert!(matches!(
        get(&fake, "/head", BOUNDS).await,
        Err(FetchError::Http(_))
    ));
}

#[tokio::test]
async fn a_redirect_stays_on_its_origin() {
    let (fake, other) = (Fake::start(), Fake::start());
    other.answer("/keys", json("{}"));
    fake.answer("/keys", json("{}"));
    let to =
        |location: &str| FakeAnswer::Bytes(response(302, &format!("Location: {location}\r\n"), ""));
    fake.answer("/path", to("/keys"));
    fake.answer("/absolute", to(&format!("{}#here", fake.url("/keys"))));
    fake.answer("/thrice", to("/twice"));
    fake.answer("/twice", to("/path"));
    fake.answer("/four", to("/thrice"));
    fake.answer("/round", to("/round"));
    for path in ["/path", "/absolute", "/thrice"] {
        assert!(get(&fake, path, BOUNDS).await.is_ok(), "{path}");
    }
    for path in ["/four", "/round"] {
        assert!(
            matches!(get(&fake, path, BOUNDS).await, Err(FetchError::Redirects)),
            "{path}"
        );
    }
    let host = other.address();
    for location in [
        format!("http://{host}/keys"),
        format!("//{host}/keys"),
        format!("https://{}/keys", fake.address()),
        format!("http://x@{}/keys", fake.address()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "keys".to_owned(),
        String::new(),
    ] {
        fake.answer("/elsewhere", to(&location));
        let error = get(&fake, "/elsewhere", BOUNDS).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Redirect(_)),
            "{location}: {error:?}"
        );
    }
    assert_eq!(other.heads().len(), 0);
    fake.answer("/nowhere", FakeAnswer::Bytes(response(302, "", "")));
    assert!(matches!(
        get(&fake, "/nowhere", BOUNDS).await,
        Err(FetchError::Status(StatusCode::FOUND))
    ));
}

#[tokio::test]
async fn http_is_for_this_machine_unless_it_is_allowed() {
    let client = Client::new(Tls::system());
    let far = Url::parse("http://192.0.2.1:1/keys").unwrap();
    assert!(matches!(
        client.get(&far, BOUNDS).await,
        Err(FetchError::Scheme)
    ));
    let allowed = client
        .get(
            &far,
            Bounds {
                allow_http: true,
                ..SHORT
            },
        )
        .await;
    assert!(
        matches!(allowed, Err(FetchError::Timeout | FetchError::Dial(_))),
        "{allowed:?}"
    );
}

// A host that an issuer chose must not lead to this machine, whatever its form.
#[tokio::test]
async fn a_place_that_may_not_be_this_machine_is_judged_by_its_address() {
    let fake = Fake::start();
    fake.answer("/keys", json("{}"));
    let port = fake.address().port();
    let client = Client::new(Tls::system());
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1.2.3",
        "0.0.0.0",
        "0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
    ] {
        let url = Url::parse(&format!("http://{host}:{port}/keys")).unwrap();
        for (allow_http, nearest) in [
            (true, Nearness::Public),
            (false, Nearness::Private),
            (true, Nearness::Link),
        ] {
            let error = client
                .get(
                    &url,
                    Bounds {
                        allow_http,
                        nearest,
                        ..BOUNDS
                    },
                )
                .await
                .unwrap_err();
            assert!(matches!(error, FetchError::Near(_)), "{host}: {error:?}");
            assert!(error.to_string().contains("set \"jwks_uri\""), "{error}");
        }
    }
    assert!(fake.heads().is_empty(), "nothing was asked");
    // The allowed twins: a URL of the operator may lead to this machine, and so may a URL that an
    // issuer on this machine names.
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::ffff:127.0.0.1]",
        "localhost",
    ] {
        let url = Url::parse(&format!("http://{host}:{port}/keys")).unwrap();
        assert_eq!(
            client.get(&url, BOUNDS).await.unwrap().nearness,
            Nearness::Machine,
            "{host}"
        );
    }
}

fn through(fake: &Fake) -> Client {
    let proxy = Proxy::parse(&format!("http://user:secret@{}", fake.address())).unwrap();
    Client::through(None, Proxies::always(proxy)).unwrap()
}

#[tokio::test]
async fn a_proxy_is_asked_in_absolute_form_or_for_a_tunnel() {
    let proxy = Fake::start();
    proxy.answer("http://idp.test:8080/keys?a=1", json("{}"));
    let client = through(&proxy);
    let url = Url::parse("http://idp.test:8080/keys?a=1").unwrap();
    let clear = Bounds {
        allow_http: true,
        ..BOUNDS
    };
    let fetched = client.get(&url, clear).await.unwrap();
    assert_eq!(fetched.nearness, Nearness::Public, "it is not known");
    let head = proxy.heads().remove(0).to_ascii_lowercase();
    for line in [
        "host: idp.test:8080\r\n",
        "proxy-authorization: basic dxnlcjpzzwnyzxq=\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    // The request to the proxy is as readable as one to the server.
    let error = client.get(&url, BOUNDS).await.unwrap_err();
    assert!(matches!(error.of_server(), FetchError::Scheme), "{error:?}");
    let local = Url::parse("http://127.0.0.1:9/keys").unwrap();
    let error = client.get(&local, BOUNDS).await.unwrap_err();
    assert!(matches!(error.of_server(), FetchError::Scheme), "{error:?}");

    let url = Url::parse("https://idp.test/keys").unwrap();
    let long = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(2000));
    for (answer, says) in [
        (response(407, "", ""), "it asks for a user and a password"),
        (response(502, "", ""), "its answer to CONNECT was 502"),
        (b"SSH-2.0\r\n\r\n".to_vec(), "is not HTTP/1"),
        (long.into_bytes(), "is not HTTP/1"),
        (Vec::new(), "the connection broke at CONNECT"),
    ] {
        proxy.answer("idp.test:443", FakeAnswer::Bytes(answer));
        let error = client.get(&url, BOUNDS).await.unwrap_err().to_string();
        let start = format!("through the proxy http://{}: no tunnel: ", proxy.address());
        assert!(error.starts_with(&start) && error.contains(says), "{error}");
        assert!(
            !error.contains("secret") && !error.contains("dXNl"),
            "{error}"
        );
    }
    assert!(
        proxy
            .heads()
            .last()
            .unwrap()
            .starts_with("CONNECT idp.test:443 HTTP/1.1\r\n")
    );
}

// The proxy resolves names, but an address in a URL that an issuer chose is judged here.
#[tokio::test]
async fn no_proxy_is_asked_for_an_address_that_may_not_be_dialled() {
    let proxy = Fake::start();
    let client = through(&proxy);
    let far = Bounds {
        allow_http: true,
        nearest: Nearness::Public,
        ..BOUNDS
    };
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "LOCALHOST",
    ] {
        let url = Url::parse(&format!("http://{host}/keys")).unwrap();
        let error = client.get(&url, far).await.unwrap_err();
        assert!(
            matches!(error.of_server(), FetchError::Near(_)),
            "{host}: {error:?}"
        );
    }
    assert!(proxy.heads().is_empty());
    // The operator may choose such an address.
    proxy.answer("http://10.0.0.1/keys", json("{}"));
    let url = Url::parse("http://10.0.0.1/keys").unwrap();
    let clear = Bounds {
        allow_http: true,
        ..BOUNDS
    };
    let fetched = client.get(&url, clear).await.unwrap();
    assert_eq!(fetched.nearness, Nearness::Private);
}

#[tokio::test]
async fn a_credential_is_sent_where_no_one_can_read_it() {
    let fake = Fake::start();
    fake.answer("/keys", json("{}"));
    let value = HeaderValue::from_static("Bearer secret");
    let clear = Bounds {
        allow_http: true,
        ..BOUNDS
    };
    let direct = Client::new(Tls::system());
    direct
        .get_as(&fake.url("/keys"), clear, Some(&value))
        .await
        .unwrap();
    assert!(fake.heads()[0].contains("authorization: Bearer secret\r\n"));
    let far = Url::parse("http://192.0.2.1/keys").unwrap();
    for (client, url) in [
        (direct, &far),
        (through(&fake), &far),
        (through(&fake), &fake.url("/keys")),
    ] {
        let error = client.get_as(url, clear, Some(&value)).await.unwrap_err();
        assert!(matches!(error.of_server(), FetchError::Scheme), "{error:?}");
    }
    assert_eq!(fake.heads().len(), 1);
}

#[test]
fn of_several_addresses_those_that_are_far_enough_are_dialled() {
    let addresses = [
        "127.0.0.1:1",
        "192.0.2.1:1",
        "10.0.0.1:1",
        "169.254.169.254:1",
        "[::1]:1",
        "[2001:db8::1]:1",
    ];
    let addresses = addresses.map(|text| text.parse::<SocketAddr>().unwrap());
    let permitted = |url: &str, allow_http, nearest| {
        let found = Bounds {
            allow_http,
            nearest,
            ..BOUNDS
        }
        .permitted(&Url::parse(url).unwrap(), &addresses);
        found.map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (far, near) = (Nearness::Public, Nearness::Machine);
    assert_eq!(
        permitted("https://a/", false, far).unwrap(),
        ["192.0.2.1:1", "[2001:db8::1]:1"]
    );
    let private = permitted("http://a/", true, Nearness::Private).unwrap();
    assert_eq!(private, ["192.0.2.1:1", "10.0.0.1:1", "[2001:db8::1]:1"]);
    assert_eq!(permitted("https://a/", false, near).unwrap().len(), 6);
    // Without TLS only this machine is allowed, by the name `localhost` or by another name.
    assert_eq!(
        permitted("http://localhost/", false, near).unwrap(),
        ["127.0.0.1:1", "[::1]:1"]
    );
    assert!(matches!(
        permitted("http://a/", false, far),
        Err(FetchError::Near(_))
    ));
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address() {
    // Bound, so that no other process gets the port, but not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    let error = Client::new(Tls::system())
        .get(&url, BOUNDS)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Dial(DialError::Connect { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
