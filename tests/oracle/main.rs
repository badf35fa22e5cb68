//! The oracle: `decide`, written a second time from the documents, and compared with the gateway's
//! on every configuration and request of a small alphabet.
//!
//!     cargo test --test oracle                                            # the slice of CI
//!     ORACLE_PAIRS=120000000 cargo test --release --test oracle -- --nocapture

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

mod compare;
mod decide;
#[path = "../it/support/keys.rs"]
#[allow(dead_code)]
mod keys;
mod page;
mod reading;
mod scopes;
mod shadows;
mod space;

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use compare::{Actors, Count};
use reading::Path;
use space::Layer;

/// The pairs of the slice in CI.
const SLICE: u64 = 1_000_000;

/// The share of the sets of routes, in percent, that are at least configurations of their own:
/// others rename another one, or have two routes for one request.
const VALID: u64 = 60;

/// The answers of which each is at least a thousandth of all.
const KINDS: [&str; 8] = [
    "forwarded",
    "ambiguous_path",
    "missing_token",
    "insufficient_scope",
    "route_denied",
    "no_route",
    "shadowed_path",
    "method_not_allowed",
];

/// The configurations of a layer with this number of routes, and the pairs that are compared of
/// them.
struct Cell<'l> {
    layer: &'l Layer,
    routes: usize,
    quota: u64,
}

impl Cell<'_> {
    fn pairs(&self) -> u64 {
        self.layer.sets(self.routes) * self.layer.requests()
    }
}

#[test]
fn the_gateway_decides_as_the_documents_say() {
    let wanted = number("ORACLE_PAIRS", SLICE);
    let threads = number("ORACLE_THREADS", 2);
    let layers = space::layers();
    let actors = Arc::new(Actors::new());
    let mut all = Count::default();
    println!(
        "layer       routes             sets         run     renamed     invalid        pairs  \
         differences  seconds"
    );
    for cell in cells(&layers, wanted) {
        let start = Instant::now();
        let count = run(&cell, threads, &actors);
        println!(
            "{:12}{:6}{:17}{:12}{:12}{:12}{:13}{:13}{:9}",
            cell.layer.name,
            cell.routes,
            cell.layer.sets(cell.routes),
            count.configurations,
            count.renamed,
            count.invalid,
            count.pairs,
            count.differences,
            start.elapsed().as_secs()
        );
        all.add(count);
    }
    println!(
        "{} configurations, {} requests, {} pairs, {} differences",
        all.configurations, all.requests, all.pairs, all.differences
    );
    println!("{:?}", all.kinds);
    assert_eq!(all.differences, 0, "{}", all.report);
    for kind in KINDS {
        let number = all.kinds.get(kind).copied().unwrap_or_default();
        assert!(number * 1000 > all.pairs, "{number} are {kind}");
    }
    assert!(all.pairs >= wanted, "{} pairs are too few", all.pairs);
}

fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

/// Returns the cells of all layers, with equal quotas of the pairs. What a small cell does not need
/// is left to the others.
fn cells(layers: &[Layer], pairs: u64) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    for layer in layers {
        for routes in 1..=layer.most {
            cells.push(Cell {
                layer,
                routes,
                quota: 0,
            });
        }
    }
    cells.sort_by_key(Cell::pairs);
    let mut left = pairs * 100 / VALID;
    let number = cells.len() as u64;
    for (cell, others) in cells.iter_mut().zip((0..number).rev()) {
        cell.quota = cell.pairs().min(left / (others + 1));
        left -= cell.quota;
    }
    cells
}

/// Compares the configurations of a cell, at even distances, up to its quota of pairs.
fn run(cell: &Cell<'_>, threads: u64, actors: &Arc<Actors>) -> Count {
    let (layer, routes) = (cell.layer, cell.routes);
    let sets = layer.sets(routes);
    let wanted = (cell.quota / layer.requests()).max(1);
    let stride = (sets / wanted).max(1);
    let paths: Vec<_> = layer
        .paths
        .iter()
        .map(|path| Path::of_request(path))
        .collect();
    let one = |first: u64| {
        let mut count = Count::default();
        let mut stage = compare::Stage::new(layer, &paths, actors);
        let mut number = first * stride;
        while number < sets {
            // Not always the first of a stride, so that sets of every kind have their turn.
            let shift = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) % stride;
            stage.compare(routes, (number + shift).min(sets - 1), &mut count);
            number += stride * threads;
        }
        count
    };
    let mut all = Count::default();
    thread::scope(|scope| {
        let one = &one;
        let handles: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || one(first)))
            .collect();
        for handle in handles {
            all.add(handle.join().unwrap());
        }
    });
    all
}
