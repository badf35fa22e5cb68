//! The tables and keys about listeners: TLS, PROXY headers and Unix-domain sockets.

use super::Absent::{Default, Means, Required};
use super::{Key, Kind, POSITIVE, Table};

const CERTIFICATE_KEYS: &[Key] = &[
    Key::new(
        "cert_file",
        Kind::Text,
        Required,
        r#""tls/api.pem""#,
        "The certificate and its intermediate certificates, in PEM. Its names (SAN) decide for \
         which hosts it is used.",
    )
    .not(&["certificate", "cert"]),
    Key::new(
        "key_file",
        Kind::Text,
        Required,
        r#""tls/api.key""#,
        "The private key of the certificate, in PEM.",
    )
    .not(&["key", "private_key"]),
];

const CLIENT_AUTH: Key = Key::new(
    "client_auth",
    Kind::Choice(&["off", "optional", "required"]),
    Default(r#""off""#),
    r#""required""#,
    "`optional` asks clients for a certificate, `required` also refuses clients without one. A \
     certificate that a client presents is verified in both cases.",
);

const CLIENT_CA_FILE: Key = Key::new(
    "client_ca_file",
    Kind::Text,
    Means("none; required unless `client_auth` is `off`"),
    r#""tls/clients.pem""#,
    "The roots of client certificates, in PEM.",
);

const MIN_VERSION: Key = Key::new(
    "min_version",
    Kind::Choice(&["1.2", "1.3"]),
    Default(r#""1.2""#),
    r#""1.3""#,
    "The lowest version of TLS.",
);

const HANDSHAKE_TIMEOUT: Key = Key::new(
    "handshake_timeout",
    POSITIVE,
    Default(r#""10s""#),
    r#""5s""#,
    "The time limit of a handshake.",
);

pub(super) const PROXY_PROTOCOL_FROM: Key = Key::new(
    "proxy_protocol_from",
    Kind::Texts,
    Means("no connection begins with a PROXY header"),
    r#"["10.0.0.0/8"]"#,
    "Networks of load balancers whose connections begin with a PROXY header (version 1 or 2), \
     which names the client. From these networks the header is required, from others it is not \
     read.",
)
.not(&["proxy_protocol"]);

pub(super) const ADMIN_HOSTS: Key = Key::new(
    "admin_hosts",
    Kind::Texts,
    Means("IP addresses and `localhost`"),
    r#"["gateway", "metrics.internal"]"#,
    "Host names that the admin listener accepts, besides IP addresses and `localhost`. A request \
     for any other host is answered with 421: a web page could have pointed a name of its own to \
     this address (DNS rebinding).",
)
.not(&["admin_host"]);

pub(super) const HANDOVER: Key = Key::new(
    "handover",
    Kind::Text,
    Means("a gateway that starts binds its sockets itself"),
    r#""/run/scopegate/handover.sock""#,
    "The absolute path of a Unix socket on which the running gateway waits for a successor that \
     runs as the same user. The successor takes over the listening sockets; when it is ready, the \
     old gateway drains and ends. A change takes effect at the next start.",
)
.not(&["hand_over"]);

pub(super) const UNIX_MODE: Key = Key::new(
    "unix_mode",
    Kind::Text,
    Default(r#""0660""#),
    r#""0666""#,
    "The file mode of Unix-domain sockets, in octal.",
);

pub(in crate::config) static TLS: Table = Table {
    path: "server.tls",
    doc: "Serves all addresses of `listen` over HTTPS. The files are watched: new connections get \
          new certificates, and a certificate that does not match its key leaves the old pair in \
          use.",
    keys: &[
        Key::new(
            "certificates",
            Kind::Tables("server.tls.certificates[]"),
            Required,
            r#"[{ cert_file = "tls/api.pem", key_file = "tls/api.key" }]"#,
            "Certificates with their keys. A client gets the one with the name that it asks for \
             (SNI), exact or by a wildcard, or else the first.",
        )
        .not(&["certificate"]),
        CLIENT_AUTH,
        CLIENT_CA_FILE,
        MIN_VERSION,
        HANDSHAKE_TIMEOUT,
    ],
    refused: &[],
};

pub(in crate::config) static TLS_CERTIFICATE: Table = Table {
    path: "server.tls.certificates[]",
    doc: "A certificate with its key.",
    keys: CERTIFICATE_KEYS,
    refused: &[],
};

pub(in crate::config) static LISTENER: Table = Table {
    path: "server.listeners[]",
    doc: "A listener with its own settings, for listeners that are not all alike.",
    keys: &[
        Key::new(
            "address",
            Kind::Text,
            Required,
            r#""unix:/run/scopegate/api.sock""#,
            "An IP address with a port, or `unix:` and the path of a socket.",
        )
        .not(&["listen", "bind"]),
        Key::new(
            "tls",
            Kind::Table("server.listeners[].tls"),
            Means("no TLS; `[server.tls]` does not apply"),
            "[server.listeners.tls]",
            "Serves HTTPS on this listener.",
        ),
        PROXY_PROTOCOL_FROM,
        UNIX_MODE,
    ],
    refused: &[],
};

pub(in crate::config) static LISTENER_TLS: Table = Table {
    path: "server.listeners[].tls",
    doc: "TLS of one listener, with the keys of `[server.tls]`.",
    keys: &[
        Key::new(
            "certificates",
            Kind::Tables("server.listeners[].tls.certificates[]"),
            Required,
            r#"[{ cert_file = "tls/api.pem", key_file = "tls/api.key" }]"#,
            "Certificates with their keys.",
        )
        .not(&["certificate"]),
        CLIENT_AUTH,
        CLIENT_CA_FILE,
        MIN_VERSION,
        HANDSHAKE_TIMEOUT,
    ],
    refused: &[],
};

pub(in crate::config) static LISTENER_CERTIFICATE: Table = Table {
    path: "server.listeners[].tls.certificates[]",
    doc: "A certificate of one listener, with the keys of `[[server.tls.certificates]]`.",
    keys: CERTIFICATE_KEYS,
    refused: &[],
};
