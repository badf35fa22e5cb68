//! Fuzz target: the responses of upstreams, compared with hyper's client.

use tokio::runtime::Builder;
use tokio::task::LocalSet;

use super::hyper_tests::{judge, read_by_hyper, read_here};
use super::tests::{in_time, upstream};
use super::*;
use crate::fuzz::check;

const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

#[test]
fn http1_response() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = upstream();
    check("http1_response", |input| {
        let Some((first, bytes)) = input.split_first() else {
            return;
        };
        let method = &METHODS[usize::from(*first) % METHODS.len()];
        let both = async {
            let here = in_time("read here", read_here(&upstream, method, bytes)).await;
            let there = in_time("read by hyper", read_by_hyper(method, bytes)).await;
            if let Err(what) = judge(method, bytes, &here, &there) {
                panic!("{method}: {what}: {here:?}, {there:?}");
            }
        };
        LocalSet::new().block_on(&runtime, both);
    });
}
