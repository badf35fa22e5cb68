//! `[server.http2]`: limits of client connections that use HTTP/2.

use crate::config::language::{Count, DefaultKey, GIB, KIB, Key, Reader, Size, Table};

/// `[server.http2]`: limits of client connections that use HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Streams that a client may have open at a time.
    pub streams: u32,
    /// Bytes that a client may send on a stream before the gateway has consumed them.
    pub stream_window: u32,
    /// Bytes that a client may send on all streams of a connection before they are consumed.
    pub connection_window: u32,
    /// Streams that a client may reset before the gateway has processed them.
    pub pending_resets: usize,
    /// Streams that the gateway has to reset because of errors of the client.
    pub error_resets: usize,
}

pub(super) static TABLE: Table = Table {
    path: "server.http2",
    doc: "HTTP/2 is served on the same addresses as HTTP/1.1: the first bytes of a client tell \
          which it uses. The limits on heads and bodies hold for both.",
    keys: &[
        &STREAMS,
        &STREAM_WINDOW,
        &CONNECTION_WINDOW,
        &PENDING_RESETS,
        &ERROR_RESETS,
    ],
    refused: &[],
};

const STREAMS: DefaultKey<Count<u32>> = Key::new("streams", Count::new(1, 10_000))
    .doc("Requests that a client may have in progress on a connection.")
    .not(&["max_concurrent_streams"])
    .or(100);

const STREAM_WINDOW: DefaultKey<Size<u32>> = Key::new("stream_window", Size::new(KIB, GIB))
    .doc("Bytes of a request body that a client may send before the upstream has accepted them.")
    .example(r#""256 KiB""#)
    .or("64 KiB");

const CONNECTION_WINDOW: DefaultKey<Size<u32>> =
    Key::new("connection_window", Size::new(64 * KIB, GIB))
        .doc("The same for all requests of a connection together.")
        .example(r#""4 MiB""#)
        .or("1 MiB");

const PENDING_RESETS: DefaultKey<Count<usize>> = Key::new("pending_resets", Count::new(1, 10_000))
    .doc(
        "Requests that a client may reset before the gateway has processed them. The connection \
         ends if there are more.",
    )
    .or(20);

const ERROR_RESETS: DefaultKey<Count<usize>> = Key::new("error_resets", Count::new(1, 100_000))
    .doc(
        "Requests that the gateway has to reset because of errors of the client. The connection \
         ends if there are more.",
    )
    .or(1024);

pub(super) fn http2(mut reader: Reader<'_>) -> Http2 {
    let http2 = Http2 {
        streams: reader.get(&STREAMS),
        stream_window: reader.get(&STREAM_WINDOW),
        connection_window: reader.get(&CONNECTION_WINDOW),
        pending_resets: reader.get(&PENDING_RESETS),
        error_resets: reader.get(&ERROR_RESETS),
    };
    note_stream_window(&reader, &http2);
    reader.finish();
    http2
}

/// Notes a window of a stream that the window of its connection makes useless.
fn note_stream_window(reader: &Reader<'_>, http2: &Http2) {
    if reader.has(&STREAM_WINDOW) && http2.stream_window > http2.connection_window {
        let message = "\"stream_window\" cannot be reached: \"connection_window\" is smaller";
        reader.note(reader.value_span(&STREAM_WINDOW), message);
    }
}
