//! The limits of an upstream, and the state of its endpoints.

#[allow(dead_code)]
#[path = "../../src/upstream/bounded_count.rs"]
mod bounded_count;
#[allow(dead_code, unused_imports)]
#[path = "../../src/upstream/connection_limit.rs"]
mod connection_limit;
#[allow(dead_code, unused_imports)]
#[path = "../../src/upstream/endpoint_state.rs"]
mod endpoint_state;
#[allow(dead_code, unused_imports)]
#[path = "../../src/upstream/outlier_detection.rs"]
mod outlier_detection;
#[path = "../../src/upstream/request_limit.rs"]
mod request_limit;

mod models;

use std::sync::Arc;

use scopegate::upstream::Fault;

use connection_limit::ConnectionLimit;
use endpoint_state::EndpointState;

pub(crate) use models::MODELS;

/// An upstream, as its limits know it.
struct Upstream {
    settings: Settings,
    connection_limit: Arc<ConnectionLimit>,
}

struct Settings {
    max_requests: Option<usize>,
}

/// An endpoint, as the detection of outliers knows it.
#[derive(Debug)]
struct Endpoint {
    state: EndpointState,
}

impl Endpoint {
    /// The tests of the included files, which are not compiled here, name this function.
    fn new(_: impl Sized) -> Self {
        Self {
            state: EndpointState::new(),
        }
    }
}
