//! A function behind an Invoke API, with a script of what it returns.

use serde_json::Value;

use super::{Arrival, Gateway, Script, Upstream};

/// A function, and a gateway whose routes lead to it.
pub(crate) struct Function {
    pub(crate) invoke_api: Upstream,
    pub(crate) gateway: Gateway,
}

impl Function {
    /// Starts a function with a public route for every path. `format` is that of its events.
    #[track_caller]
    pub(crate) fn open(format: &str) -> Self {
        Self::with(format, "", "")
    }

    /// Starts a function with further keys of its upstream and of its route.
    #[track_caller]
    pub(crate) fn with(format: &str, upstream: &str, route: &str) -> Self {
        let routes = format!(
            "[[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n\
             {route}"
        );
        Self::behind(format, upstream, &routes)
    }

    /// Starts a function with routes of the test's own, to the upstream `f`.
    #[track_caller]
    pub(crate) fn behind(format: &str, upstream: &str, routes: &str) -> Self {
        let invoke_api = Upstream::start();
        let toml = format!(
            "{}lambda = {{ function = \"function\", event = \"{format}\" }}\n{upstream}\n{routes}",
            invoke_api.toml("f"),
        );
        let function = Self {
            gateway: Gateway::start(&toml),
            invoke_api,
        };
        function.always("{\"statusCode\": 200, \"body\": \"ok\"}");
        function
    }

    /// Sets what the function returns from now on.
    pub(crate) fn always(&self, payload: &str) {
        self.invoke_api
            .always(Self::returning("", payload.as_bytes()));
    }

    /// Sets what the function returns next.
    pub(crate) fn returns(&self, payload: &str) {
        self.invoke_api
            .play([Self::returning("", payload.as_bytes())]);
    }

    /// Returns the script of an Invoke API that answers with these fields and a payload.
    pub(crate) fn returning(fields: &str, payload: &[u8]) -> Script {
        let length = payload.len();
        let head = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n");
        Script::Raw([head.as_bytes(), payload].concat(), true)
    }

    /// Returns the last event.
    #[track_caller]
    pub(crate) fn event(&self) -> Value {
        event_of(&self.invoke_api.last())
    }

    /// Returns the number of invocations so far.
    pub(crate) fn invocations(&self) -> usize {
        self.invoke_api.arrivals().len()
    }
}

#[track_caller]
fn event_of(invocation: &Arrival) -> Value {
    let path = "/2015-03-31/functions/function/invocations";
    assert_eq!(invocation.target, path);
    assert_eq!(invocation.field("content-type"), Some("application/json"));
    serde_json::from_slice(&invocation.body).expect("an event is JSON")
}
