//! Models of what threads of the gateway share, in every order in which their steps can happen.
//!
//! The source files are the gateway's own, each compiled a second time with the types of `sync.rs` in the place of those of
//! `src/sync.rs`; what they use of other files is a stand-in here, if it has a part in what the threads share. `loom` runs
//! a model again and again, each time with another order of steps, and with another value that a load may return by the rules
//! of memory. A model without a bound is all of them; one with a bound is all with at most so many switches from a thread that
//! could have gone on.
//!
//!     cargo test --test threads                        # all models, as in CI
//!     cargo test --test threads -- a_slot              # those whose names have this in them
//!     THREADS_SWITCHES=4 cargo test --test threads     # another bound where there is one; `all` is none

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout
)]

mod clock;
mod issuer;
mod snapshot;
mod sync;
mod telemetry;
mod token;
mod upstream;

/// The rooms whose types have no part in what threads share.
mod net {
    pub(crate) use scopegate::net::Url;
}
mod policy {
    pub(crate) use scopegate::policy::{Principal, SharedPrincipal};
}

use std::env;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use loom::model::Builder;

/// The most steps of one execution: a model that has more does not end.
const MOST_STEPS: usize = 10_000;

/// The steps of a few threads, and what has to hold in every order of them.
struct Model {
    name: &'static str,
    /// The most switches from a thread that could have gone on; `None` for every order.
    switches: Option<usize>,
    steps: fn(),
}

fn main() {
    let wanted = env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let rooms = [
        telemetry::MODELS,
        snapshot::MODELS,
        issuer::MODELS,
        token::MODELS,
        upstream::MODELS,
    ];
    // `timeout` asks for a runtime. No model waits for it: a task that waits blocks its thread.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let _guard = runtime.enter();
    let mut total = 0;
    let began = Instant::now();
    for model in rooms.into_iter().flatten() {
        if wanted
            .as_deref()
            .is_none_or(|part| model.name.contains(part))
        {
            total += run(model);
        }
    }
    println!("{total} executions, {:.1} s", began.elapsed().as_secs_f64());
}

/// Runs a model, and returns the number of its executions. Panics if one of them breaks it.
fn run(model: &Model) -> u64 {
    let executions = Arc::new(AtomicU64::new(0));
    let mut builder = Builder::new();
    builder.max_branches = MOST_STEPS;
    builder.preemption_bound = switches(model);
    let (steps, counted) = (model.steps, executions.clone());
    let began = Instant::now();
    println!("{}", model.name);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        clock::set(0);
        steps();
    });
    let count = executions.load(Ordering::Relaxed);
    let bound = match builder.preemption_bound {
        Some(bound) => format!("at most {bound} switches"),
        None => "every order".to_owned(),
    };
    println!(
        "    {count} executions, {bound}, {:.1} s",
        began.elapsed().as_secs_f64()
    );
    count
}

/// Returns the bound of a model, or the one of the environment in its place.
fn switches(model: &Model) -> Option<usize> {
    let bound = model.switches?;
    match env::var("THREADS_SWITCHES") {
        Ok(all) if all == "all" => None,
        Ok(number) => Some(
            number
                .parse()
                .expect("THREADS_SWITCHES is a number or `all`"),
        ),
        Err(_) => Some(bound),
    }
}

/// Runs a task that blocks its thread where it would wait.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the task waits for something that is no part of the model"),
    }
}
