use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::{LocalSet, yield_now};
use tokio::time::timeout;

use super::super::http1::tests::{Script, connection, upstream};
use super::*;
use crate::upstream::fixture::wait_until;

type Idle = (Rc<Connections<Script>>, Vec<UnixStream>);

/// A pool with `count` idle connections, and their other ends.
async fn idle(count: usize) -> Idle {
    let upstream = upstream();
    let pool = Connections::new(upstream.clone(), upstream.endpoints[0].clone());
    watch(&pool);
    yield_now().await;
    let mut ends = Vec::new();
    for _ in 0..count {
        let (connection, end) = connection(&upstream);
        pool.keep(Box::new(connection));
        ends.push(end);
    }
    assert_eq!(pool.idle_count(), count);
    (pool, ends)
}

#[tokio::test]
async fn idle_connections_leave_with_their_upstream() {
    let test = async {
        let (pool, mut ends) = idle(400).await;
        // One, many, and more than the budget of a task allows it to read at once.
        for left in [399, 300, 0] {
            ends.truncate(left);
            wait_until("the closed ones are gone", || pool.idle_count() == left).await;
            assert_eq!(
                pool.upstream.metrics.open.get(),
                i64::try_from(left).unwrap()
            );
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn who_looks_after_a_pool_ends_with_it() {
    let test = async {
        let (pool, ends) = idle(2).await;
        let upstream = Arc::downgrade(&pool.upstream);
        drop(pool);
        wait_until("nobody holds on to the upstream", || {
            upstream.strong_count() == 0
        })
        .await;
        for end in ends {
            let mut byte = [0];
            assert_eq!(
                timeout(
                    Duration::from_secs(20),
                    tokio::io::AsyncReadExt::read(&mut { end }, &mut byte)
                )
                .await
                .unwrap()
                .unwrap(),
                0
            );
        }
    };
    LocalSet::new().run_until(test).await;
}
