//! The head of a request in a file, as a proxy logs it or `curl -v` shows it.
//!
//! A copied head differs from the sent one in a few ways. They are undone here, each with a note.
//! The parser of connections judges all else.

use http::Method;
use zeroize::Zeroizing;

/// A head as a client sends it.
#[derive(Debug, Default)]
pub(super) struct RequestFile {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// The things that were done to the text, in order.
    pub(super) changes: Vec<&'static str>,
}

/// The mark that curl puts in front of each line that it sends.
const SENT: &[u8] = b"> ";

impl RequestFile {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut file = Self::default();
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let marked = match begins_with_request(text) {
            true => None,
            false => sent_lines(text),
        };
        let mut head = match marked {
            Some(sent) => {
                file.changes.push("the lines that curl marks with \">\"");
                sent
            }
            None => Zeroizing::new(text.to_vec()),
        };
        if set_version(&mut head) {
            file.changes
                .push("judged as HTTP/1.1, the only version whose heads are text");
        }
        if !head.is_empty() && !has_end(&head) {
            file.changes.push("with the empty line that ends a head");
            if !head.ends_with(b"\n") {
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"\r\n");
        }
        file.bytes = head;
        file
    }
}

/// Returns whether a text begins with the first line of a request, as it is or with a part that is
/// missing. Then no later line is a mark of curl: a connection reads all lines as they are.
fn begins_with_request(text: &[u8]) -> bool {
    // The parser skips empty lines in front of a head.
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.find(|line| !is_empty(line)).unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    if Method::from_bytes(method).is_err() {
        return false;
    }
    let has_path = words.clone().next().is_some_and(|it| it.starts_with(b"/"));
    // curl puts "*" in front of its remarks, one of which is "using HTTP/1.1".
    let has_version = method != b"*" && words.any(|word| word.starts_with(b"HTTP/"));
    has_path || has_version
}

/// Returns the first head in the output of `curl -v`; `None` for any other text.
fn sent_lines(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut head = Zeroizing::new(Vec::with_capacity(text.len()));
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if let Some(sent) = line.strip_prefix(SENT) {
            head.extend_from_slice(sent);
        } else if line.trim_ascii() == b">" {
            head.extend_from_slice(b"\r\n");
        } else {
            continue;
        }
        // An answer may lead to another request.
        if has_end(&head) {
            break;
        }
    }
    (!head.is_empty()).then_some(head)
}

/// Returns whether a head has the empty line at its end.
fn has_end(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    // The parser skips empty lines in front of a head.
    let first = lines.find(|line| !is_empty(line));
    // The text after the last line feed is no line.
    first.is_some() && lines.rev().skip(1).any(is_empty)
}

fn is_empty(line: &[u8]) -> bool {
    matches!(line, b"" | b"\r")
}

/// Replaces the version of a head of HTTP/2 or HTTP/3, which exists as text only where a tool shows
/// it, and returns whether it did.
fn set_version(head: &mut Vec<u8>) -> bool {
    let end = head.iter().position(|byte| *byte == b'\n');
    let line = head.get(..end.unwrap_or(head.len())).unwrap_or_default();
    let line = line.trim_ascii_end();
    for version in ["HTTP/2", "HTTP/2.0", "HTTP/3", "HTTP/3.0"] {
        let Some(before) = line.strip_suffix(version.as_bytes()) else {
            continue;
        };
        if before.ends_with(b" ") {
            let range = before.len()..line.len();
            head.splice(range, *b"HTTP/1.1");
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Vec<&'static str>) {
        let file = RequestFile::of(text.as_bytes());
        (
            String::from_utf8(file.bytes.to_vec()).unwrap(),
            file.changes,
        )
    }

    const HEAD: &str = "GET /orders HTTP/1.1\r\nHost: a.test\r\nCookie: a=1\r\n\r\n";

    #[test]
    fn a_head_stays_as_it_is() {
        for head in [
            HEAD,
            "\r\nGET / HTTP/1.1\nHost: a\n\nbody\n",
            "GET / HTTP/1.1\r\n X: a\r\n\r\n",
            "GET /> HTTP/1.0\r\n\r\n",
            "\u{1}\r\n\r\n",
            "",
            "GET /a HTTP/1.1\r\nHost: x\r\n\r\n\r\n> GET /b HTTP/1.1\r\n> Host: x\r\n>\r\n",
            "GET /a HTTP/1.1\r\n> GET /b HTTP/1.1\r\n> Host: x\r\n>\r\n\r\n",
            "\r\n\r\nget a HTTP/2x\n> GET /b HTTP/1.1\n>\n\n",
            "GET /a\r\n> GET /b HTTP/1.1\r\n>\r\n\r\n",
            "* /a HTTP/1.1\r\n> GET /b HTTP/1.1\r\n>\r\n\r\n",
        ] {
            assert_eq!(read(head), (head.to_owned(), vec![]), "{head:?}");
        }
        assert_eq!(read(&format!("\u{feff}{HEAD}")).0, HEAD);
    }

    #[test]
    fn the_first_request_of_curl_is_taken_out_of_its_output() {
        let shown = "* Connected to a.test\n} [5 bytes data]\n> GET /orders HTTP/1.1\r\n\
                     > Host: a.test\r\n\
                     * a word between\n> Cookie: a=1\r\n> \r\n< HTTP/1.1 302 Found\r\n< \r\n\
                     > GET /other HTTP/1.1\r\n> \r\n";
        assert_eq!(read(shown).0, HEAD);
        for before in [
            "* using HTTP/1.1\n",
            "$ curl -v http://a.test/orders\n",
            "Note: x\n",
            "\n",
        ] {
            assert_eq!(read(&format!("{before}{shown}")).0, HEAD, "{before}");
        }
        let copied = shown.replace('\r', "").replace("> \n", ">\n");
        assert_eq!(
            read(&copied).0,
            HEAD.replace("\r\n", "\n").replace("\n\n", "\n\r\n")
        );
    }

    #[test]
    fn what_a_copy_lacks_is_added_and_said() {
        for cut in ["", "\r\n"] {
            let text = format!("GET /orders HTTP/1.1\r\nHost: a.test\r\nCookie: a=1{cut}");
            assert_eq!(
                read(&text),
                (
                    HEAD.to_owned(),
                    vec!["with the empty line that ends a head"]
                )
            );
        }
        for version in ["HTTP/2", "HTTP/2.0", "HTTP/3"] {
            let (head, changes) = read(&HEAD.replace("HTTP/1.1", version));
            assert_eq!((head.as_str(), changes.len()), (HEAD, 1));
        }
    }
}
