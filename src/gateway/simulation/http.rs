//! HTTP/1.1 by hand, for the actors of a simulation: heads are text, and bodies have a length.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::TcpStream;

/// A message: the lines of its head, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) head: String,
    pub(super) body: String,
}

impl Message {
    /// Returns the value of the first field with this name, which is in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns a word of the first line.
    pub(super) fn word(&self, index: usize) -> &str {
        self.head.split_whitespace().nth(index).unwrap_or_default()
    }

    /// Returns the status of a response.
    pub(super) fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }

    /// Returns whether its sender closes the connection after it.
    pub(super) fn is_last(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// A connection, and the bytes of it that were read too far.
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    /// Reads the next message; `None` if the peer has closed the connection before it.
    pub(super) async fn next(&mut self) -> io::Result<Option<Message>> {
        let Some(head) = self.head().await? else {
            return Ok(None);
        };
        self.with_body(head).await.map(Some)
    }

    /// Reads the head of the next message.
    pub(super) async fn head(&mut self) -> io::Result<Option<Message>> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await? {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end);
        Ok(Some(Message {
            head,
            body: String::new(),
        }))
    }

    /// Reads the body of a message.
    pub(super) async fn with_body(&mut self, mut message: Message) -> io::Result<Message> {
        let length = match message.field("content-length") {
            Some(length) => length.parse().map_err(io::Error::other)?,
            None => 0,
        };
        while self.read.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        message.body = String::from_utf8_lossy(&self.read[..length]).into_owned();
        self.read.drain(..length);
        Ok(message)
    }

    /// Reads more bytes; false at the end.
    async fn more(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        let count = self.stream.read(&mut piece).await?;
        self.read.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }
}

/// Returns the text of a response; `fields` are whole lines.
pub(super) fn response(status: u16, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}
