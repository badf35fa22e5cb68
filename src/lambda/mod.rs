//! Lambda functions as upstreams: the event that a function gets for a request, and the answer that
//! it returns.
//!
//! The room is pure. It makes bytes of facts and facts of bytes, and knows neither connections nor
//! bodies of `hyper`. [`event`] writes what API Gateway sends with its proxy integration, in the
//! format of a REST API (1.0) or of an HTTP API (2.0); [`Answer::parse`] reads what a function
//! returns. Nothing of a function's error is in an [`Answer`], so that none of it reaches a client.

mod answer;
mod answer_error;
mod api_route;
mod body;
mod claims;
mod event_source;
mod facts;
mod field_names;
mod fields;
mod function_name;
mod http_event;
mod media;
mod members;
mod path;
mod query;
mod rest_event;
mod settings;

use std::io;

pub use answer::{Answer, AnswerLimits};
pub use answer_error::AnswerError;
pub use api_route::{ApiRoute, domain_name, domain_prefix};
pub use facts::{Caller, EventFacts};
pub use function_name::{FunctionName, NameError};
pub use media::{MediaError, MediaRange};
pub use settings::{EventFormat, Function, MAX_PAYLOAD};

use self::body::EventBody;
use self::event_source::EventSource;
use self::http_event::HttpEvent;
use self::rest_event::RestEvent;
use crate::route::MethodPattern;

/// The event would be longer than the limit of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLong;

/// Room for an event without its body, so that the buffer of most events does not grow.
const EVENT_CAPACITY: usize = 4 * 1024;

/// Returns the event of a request, in the format of the function.
///
/// # Errors
/// [`EventTooLong`], if the event would have more than `event_bytes`.
pub fn event(function: &Function, facts: &EventFacts<'_>) -> Result<Vec<u8>, EventTooLong> {
    let body = EventBody::of(facts, &function.binary);
    let expected = EVENT_CAPACITY + body.as_ref().map_or(0, EventBody::len);
    let mut out = Bounded {
        bytes: Vec::with_capacity(expected.min(function.event_bytes)),
        limit: function.event_bytes,
    };
    let source = EventSource {
        function,
        facts,
        body,
    };
    let written = match function.event {
        EventFormat::Rest => serde_json::to_writer(&mut out, &RestEvent(source)),
        EventFormat::Http => serde_json::to_writer(&mut out, &HttpEvent(source)),
    };
    // Nothing but the limit makes the writer fail, and every name of a map is a text.
    match written {
        Ok(()) => Ok(out.bytes),
        Err(_) => Err(EventTooLong),
    }
}

/// Returns the name of a route in its events: the resource in version 1.0, the route key in 2.0.
#[must_use]
pub fn route_name(event: EventFormat, route: &ApiRoute<'_>, rule: &MethodPattern) -> String {
    match event {
        EventFormat::Rest => route.resource(),
        EventFormat::Http => route.key(rule),
    }
}

/// A buffer that takes no more bytes than its limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod fuzz;
