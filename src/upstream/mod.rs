//! Where a permitted request goes: endpoints, and each worker's pool of connections to them.

mod settings;

pub use settings::{HostHeader, Settings};
