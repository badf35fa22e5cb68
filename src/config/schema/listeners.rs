//! The tables and keys about listeners: TLS, PROXY headers and Unix-domain sockets.

use super::Absent::{Default, Means, Required};
use super::{Key, Kind, POSITIVE, Table};

const CERTIFICATE_KEYS: &[Key] = &[
    Key::new(
        "cert_file",
        Kind::Text,
        Required,
        r#""tls/api.pem""#,
        "The certificate and those between it and a root, in PEM. Its names (SAN) say for which hosts it is shown.",
    )
    .not(&["certificate", "cert"]),
    Key::new("key_file", Kind::Text, Required, r#""tls/api.key""#, "Its private key, in PEM.")
        .not(&["key", "private_key"]),
];

const CLIENT_AUTH: Key = Key::new(
    "client_auth",
    Kind::Choice(&["off", "optional", "required"]),
    Default(r#""off""#),
    r#""required""#,
    "Whether clients are asked for a certificate, and whether those without one are turned away. A certificate that is \
     shown is verified in either case.",
);

const CLIENT_CA_FILE: Key = Key::new(
    "client_ca_file",
    Kind::Text,
    Means("none; needed where clients are asked for a certificate"),
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
    "For a whole handshake.",
);

pub(super) const PROXY_PROTOCOL_FROM: Key = Key::new(
    "proxy_protocol_from",
    Kind::Texts,
    Means("no connection begins with one"),
    r#"["10.0.0.0/8"]"#,
    "Networks of balancers whose connections begin with a PROXY header (version 1 or 2), which names the client. From \
     there it is required, from elsewhere it is not looked at.",
)
.not(&["proxy_protocol"]);

pub(super) const ADMIN_HOSTS: Key = Key::new(
    "admin_hosts",
    Kind::Texts,
    Means("IP addresses and `localhost` alone"),
    r#"["gateway", "metrics.internal"]"#,
    "Names by which the admin listener may be asked, besides IP addresses and `localhost`. A request for any other host \
     is answered with 421: a page in a browser could have pointed a name of its own here (DNS rebinding).",
)
.not(&["admin_host"]);

pub(super) const HANDOVER: Key = Key::new(
    "handover",
    Kind::Text,
    Means("a gateway that starts binds its addresses itself"),
    r#""/run/scopegate/handover.sock""#,
    "An absolute path where the running gateway waits for the next one of the same user. That one takes over its \
     listening sockets; when it serves, the first drains and ends. A change takes effect at the next start.",
)
.not(&["hand_over"]);

pub(super) const UNIX_MODE: Key = Key::new(
    "unix_mode",
    Kind::Text,
    Default(r#""0660""#),
    r#""0666""#,
    "The mode of the files of Unix-domain sockets, in octal.",
);

pub(in crate::config) static TLS: Table = Table {
    path: "server.tls",
    doc: "Makes all of `listen` HTTPS. The files are watched: new certificates are shown to new connections, and a pair \
          that does not fit leaves the old one in force.",
    keys: &[
        Key::new(
            "certificates",
            Kind::Tables("server.tls.certificates[]"),
            Required,
            r#"[{ cert_file = "tls/api.pem", key_file = "tls/api.key" }]"#,
            "Certificates with their keys. A client is shown the one that has the name it asks for (SNI), exactly or by \
             a wildcard, and else the first.",
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
    doc: "A listener of its own kind, where those of `listen` are not all alike.",
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
            Means("no TLS, whatever `[server.tls]` says"),
            "[server.listeners.tls]",
            "Makes it HTTPS.",
        ),
        PROXY_PROTOCOL_FROM,
        UNIX_MODE,
    ],
    refused: &[],
};

pub(in crate::config) static LISTENER_TLS: Table = Table {
    path: "server.listeners[].tls",
    doc: "TLS of one listener, as in `[server.tls]`.",
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
