//! Clients that send requests without pause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::{Client, Request, wait_until};

/// Clients that each send a request as soon as the last one is answered.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts clients that use a new connection for each request, which is a GET.
    #[track_caller]
    pub(crate) fn start(address: SocketAddr, request: &Request, clients: usize) -> Self {
        let client = |_| {
            let request = request.clone();
            move || ask(address, &request)
        };
        Self::of((0..clients).map(client))
    }

    /// Starts clients with these functions.
    #[track_caller]
    pub(crate) fn of<A>(clients: impl IntoIterator<Item = A>) -> Self
    where
        A: FnMut() -> Result<(), String> + Send + 'static,
    {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |mut ask: A| {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    failures.extend(ask().err());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        };
        let clients = clients.into_iter().map(client).collect();
        let load = Self {
            stop,
            answered,
            clients,
        };
        load.goes_on();
        load
    }

    /// Waits for some more answers, good or bad.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        let enough = before + 4 * self.clients.len();
        wait_until("the load goes on", || {
            self.answered.load(Ordering::Relaxed) >= enough
        });
    }

    /// Ends the load and asserts that every request was answered with 200.
    #[track_caller]
    pub(crate) fn must_not_have_failed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> = self
            .clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client ends"))
            .collect();
        let total = self.answered.load(Ordering::Relaxed);
        assert!(
            failures.is_empty(),
            "{} of {total} failed: {failures:?}",
            failures.len()
        );
    }
}

fn ask(address: SocketAddr, request: &Request) -> Result<(), String> {
    let mut client = Client::try_connect(&address.to_string()).ok_or("refused")?;
    client.write_request(request);
    let answer = client.read("GET").ok_or("no answer")?;
    if answer.status == 200 && answer.complete {
        Ok(())
    } else {
        Err(format!("{}", answer.status))
    }
}
