//! Networking that upstreams, issuers and clients have in common: addresses, URLs, dialling, byte
//! streams with layers over them, the frames of HTTP/2, and timers.

mod address;
mod dial;
pub(crate) mod frames;
mod layer;
mod nearness;
mod peer;
mod presence;
mod proxies;
mod proxy;
mod random;
#[cfg(test)]
pub(crate) mod simulated;
mod stream;
pub mod timer_wheel;
mod trusted;
mod tunnel;
mod url;

pub use address::{Address, AddressError};
pub use dial::{DialError, DialTimeouts, Stage, dial, dial_addresses, resolve};
pub use layer::{Layer, Layered, Output, Unread};
pub use nearness::Nearness;
pub use peer::{Peer, Session};
pub use presence::Presence;
pub use proxies::Proxies;
pub use proxy::{Proxy, ProxyError, TunnelFault};
pub use random::random;
pub use stream::Stream;
pub use trusted::TrustedProxies;
pub use tunnel::dial_through;
pub use url::{Url, UrlError};
