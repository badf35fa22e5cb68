//! The addresses of an endpoint's name come and go without a restart: the control thread asks for them again and again.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Endpoint, Upstream};
use crate::net::{DialError, Stage, Stream, Url};

/// How long the resolver may take for one name.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the resolver last said of a name; nothing before its first answer.
#[derive(Debug, Default)]
pub(super) struct Addresses(ArcSwapOption<Vec<SocketAddr>>);

impl Addresses {
    fn publish(&self, addresses: Vec<SocketAddr>) {
        self.0.store(Some(Arc::new(addresses)));
    }

    /// All of them, each time with another at the head: of the family that the resolver prefers (RFC 8305 section 4).
    pub(super) fn in_turn(&self, turn: usize) -> Option<Vec<SocketAddr>> {
        let all = self.0.load();
        let all = all.as_deref()?;
        let is_preferred = |one: &&SocketAddr| all.first().is_some_and(|it| it.is_ipv6() == one.is_ipv6());
        let mut first: Vec<_> = all.iter().filter(is_preferred).copied().collect();
        let places = turn.checked_rem(first.len())?;
        first.rotate_left(places);
        first.extend(all.iter().filter(|one| !is_preferred(one)));
        Some(first)
    }

    /// Whether an address is one of them, as far as is known.
    fn have(&self, address: SocketAddr) -> bool {
        let is_it = |one: &SocketAddr| one.ip() == address.ip() && one.port() == address.port();
        self.0.load().as_deref().is_none_or(|all| all.iter().any(is_it))
    }
}

/// For how long a connection is used: up to an age, and while its peer is an address of the endpoint.
pub(super) struct Term {
    retires: Instant,
    peer: Option<SocketAddr>,
    endpoint: Arc<Endpoint>,
}

impl Term {
    pub(super) fn new(endpoint: &Arc<Endpoint>, stream: &Stream, retires: Instant) -> Self {
        let peer = peer_of(stream).filter(|_| is_name(&endpoint.url));
        Self { retires, peer, endpoint: endpoint.clone() }
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.retires && self.peer.is_none_or(|peer| self.endpoint.addresses.have(peer))
    }
}

/// Whom a connection goes to; a Unix socket has no address.
fn peer_of(stream: &Stream) -> Option<SocketAddr> {
    match stream {
        Stream::Plain(stream) => stream.peer_addr().ok(),
        Stream::Tls(stream) => stream.get_ref().0.peer_addr().ok(),
        Stream::Unix(_) => None,
    }
}

fn is_name(url: &Url) -> bool {
    url.socket().is_none() && url.host_name().parse::<IpAddr>().is_err()
}

/// Resolves the names of an upstream until it is dropped.
pub(super) async fn follow_names<R>(weak: Weak<Upstream>, resolve: R)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError> + Clone + 'static,
{
    let mut tasks = JoinSet::new();
    if let Some(upstream) = weak.upgrade() {
        for endpoint in upstream.endpoints.iter().filter(|endpoint| is_name(&endpoint.url)) {
            tasks.spawn_local(follow(weak.clone(), endpoint.clone(), resolve.clone()));
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn follow<R>(weak: Weak<Upstream>, endpoint: Arc<Endpoint>, resolve: R)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError>,
{
    let mut fails = false;
    while let Some(every) = weak.upgrade().map(|upstream| upstream.settings.dns_refresh) {
        refresh(&endpoint, &resolve, &mut fails).await;
        sleep(every).await;
    }
}

/// Asks once. A failure leaves everything as it was.
async fn refresh<R>(endpoint: &Endpoint, resolve: &R, fails: &mut bool)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError>,
{
    let url = &endpoint.url;
    let late = |_| Err(DialError::Timeout { authority: url.authority().into(), stage: Stage::Resolving });
    match timeout(PATIENCE, resolve(url.host_name(), url.port())).await.unwrap_or_else(late) {
        Ok(addresses) => {
            if std::mem::take(fails) {
                tracing::info!(endpoint = %url, "the name resolves again");
            }
            endpoint.addresses.publish(addresses);
        }
        Err(error) => {
            if !std::mem::replace(fails, true) {
                tracing::warn!(endpoint = %url, %error, "the name does not resolve: its last addresses serve on");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|one| one.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_failure_keeps_the_last_addresses_and_an_answer_replaces_them() {
        let endpoint = Endpoint::new(Url::parse("http://orders.internal:80/").unwrap());
        let [old, new] = ["10.0.0.1:80", "10.0.0.2:80"].map(|one| one.parse::<SocketAddr>().unwrap());
        assert!(endpoint.addresses.in_turn(0).is_none() && endpoint.addresses.have(old), "nothing is known");
        let answers = RefCell::new(vec![Some(vec![new]), None, Some(vec![old])]);
        let resolve = async |host: &str, _: u16| {
            let failed =
                || DialError::Resolve { host: host.into(), error: std::io::ErrorKind::NotFound.into() };
            answers.borrow_mut().pop().unwrap().ok_or_else(failed)
        };
        let mut fails = false;
        refresh(&endpoint, &resolve, &mut fails).await;
        assert!(endpoint.addresses.have(old) && !endpoint.addresses.have(new));
        refresh(&endpoint, &resolve, &mut fails).await;
        assert!(fails && endpoint.addresses.have(old));
        refresh(&endpoint, &resolve, &mut fails).await;
        assert!(!fails && endpoint.addresses.have(new) && !endpoint.addresses.have(old));
    }

    #[test]
    fn each_address_of_the_preferred_family_has_its_turn() {
        let all = Addresses::default();
        all.publish(addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1"]));
        let turns = [0, 1, 2].map(|turn| all.in_turn(turn).unwrap());
        assert_eq!(turns[0], addresses(&["[::1]:1", "[::2]:1", "10.0.0.1:1"]));
        assert_eq!(turns[1], addresses(&["[::2]:1", "[::1]:1", "10.0.0.1:1"]));
        assert_eq!(turns[2], turns[0]);
    }

    // A connection to an address that is gone is not used again, and one to an address that stayed is.
    #[tokio::test]
    async fn the_term_of_a_connection_ends_with_its_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let stream = Stream::Plain(tokio::net::TcpStream::connect(peer).await.unwrap());
        let now = crate::clock::monotonic();
        let term = |url: &str| {
            let endpoint = Arc::new(Endpoint::new(Url::parse(url).unwrap()));
            Term::new(&endpoint, &stream, now + Duration::from_secs(60))
        };
        let term_of_name = term("http://orders.internal:80/");
        term_of_name.endpoint.addresses.publish(vec![peer]);
        assert!(term_of_name.holds(now));
        assert!(!term_of_name.holds(now + Duration::from_secs(60)), "it is old");
        term_of_name.endpoint.addresses.publish(addresses(&["10.0.0.1:80"]));
        assert!(!term_of_name.holds(now));
        assert!(term("http://127.0.0.1:80/").holds(now), "an address is no name");
    }
}
