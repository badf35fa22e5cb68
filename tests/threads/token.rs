//! The token cache: what workers insert while its keys are retired.

#[allow(dead_code)]
#[path = "../../src/token/cache.rs"]
mod cache;
#[allow(dead_code, unused_imports)]
#[path = "../../src/token/secret.rs"]
mod secret;
#[allow(dead_code, unused_imports)]
#[path = "../../src/token/verifier_id.rs"]
mod verifier_id;

mod models;

pub(crate) use models::MODELS;

mod claims {
    /// The only claim that the cache reads.
    #[derive(Debug)]
    pub(super) struct Registered {
        pub(super) expires: u64,
    }
}

mod kind {
    pub(super) use scopegate::token::OtherKind;
}
