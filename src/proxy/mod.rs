//! The walk of one request, from its head to its response, in one straight line. Types force its
//! order: `forward` takes a permit, which only the policy makes, from an identity, which comes only
//! from a verified token or a public route.

mod api_route;
mod body_timer;
mod dates;
mod departure;
mod exchange;
mod finish;
mod forward;
mod function;
mod headers;
mod heads;
mod mapped;
mod permitted;
mod profile_ids;
mod reply_body;
mod request_body;
mod respond;
mod token_fields;
mod upgrade;
mod worker;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;

pub use api_route::api_route;
pub use body_timer::BodyError;
pub use dates::http_date;
pub use departure::check_departure;
pub use exchange::UnconfirmedRefusal;
pub use heads::{head_to_client, head_to_upstream};
pub use reply_body::ReplyBody;
pub use request_body::RequestBody;
pub use upgrade::{Tunnel, Upgrades};
pub use worker::{SharedState, View, Worker};

use exchange::Exchange;
use finish::finish;
use forward::Forward;
use reply_body::ReplySource;
use respond::respond;

use crate::decision::{self, Cause, Destination, Refusal};
use crate::net::Peer;
use crate::snapshot::Handler;
use crate::token::RequestContext;

/// A path whose requests panic, in tests of this library only.
#[cfg(test)]
pub const DEFECT: &str = "/defect";

/// Answers one request and records it exactly once, whatever the outcome. If the request became a
/// WebSocket, its tunnel is in `upgrades` when this returns.
pub async fn serve(
    worker: &Rc<Worker>,
    peer: &Peer,
    upgrades: &Upgrades,
    mut request: Request<Incoming>,
) -> Response<ReplyBody> {
    let view = worker.view();
    upgrade::from_connect(&mut request);
    let mut exchange = Exchange::begin(worker, view.clone(), peer, &request);
    let outcome = {
        let walk = pin!(walk(worker, &view, &mut exchange, peer, upgrades, request));
        catch_panic(walk).await
    };
    finish(exchange, outcome, upgrades)
}

/// Turns a panic of the walk into a refusal, so that a defect costs one request only: the
/// connection and the worker live on.
///
/// The walk is already pinned: it is large, and each function that it is moved through would copy
/// it and keep space for the copy.
fn catch_panic<'v, T>(
    mut walk: Pin<&mut impl Future<Output = Result<T, Refusal<'v>>>>,
) -> impl Future<Output = Result<T, Refusal<'v>>> {
    poll_fn(move |cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| walk.as_mut().poll(cx)));
        poll.unwrap_or_else(|_| Poll::Ready(Err(Refusal::unrouted(Cause::Defect))))
    })
}

/// The walk of a request: admit its head, find its route, authorize its caller, forward it.
async fn walk<'v>(
    worker: &Worker,
    view: &'v View,
    exchange: &mut Exchange,
    peer: &Peer,
    upgrades: &Upgrades,
    request: Request<Incoming>,
) -> Result<Response<ReplySource>, Refusal<'v>> {
    #[cfg(test)]
    assert_ne!(request.uri().path(), DEFECT, "made up");
    let limits = &view.snapshot.config.server.limits;
    let (mut head, body) = request.into_parts();
    if worker.is_overloaded(limits.requests) {
        return Err(unrouted(Cause::Overloaded, view, &head, peer));
    }
    let facts = match decision::admit(&mut head, Some(peer), limits.head_fields) {
        Ok(facts) => facts,
        Err(refusal) => return Err(unrouted(refusal.cause, view, &head, peer)),
    };
    let routed = match decision::route(&view.snapshot, facts)? {
        Destination::Route(routed) => routed,
        Destination::Gateway(answer) => {
            return Ok(exchange.answer(answer).map(ReplySource::Own));
        }
    };
    let context = RequestContext {
        now: exchange.began().unix,
        certificate: peer.certificate(),
    };
    let decision = routed.authorize(Some(&worker.cache), context).await?;
    exchange.decided(&decision);
    match &decision.route.handler {
        Handler::Upstream(_) | Handler::Nobody => {
            let mut forward = Forward::begin(decision, view, exchange, peer, upgrades, head, body)?;
            forward.complete(exchange).await
        }
        Handler::Respond(answer) => respond(&decision, answer, exchange, &head),
        Handler::Function(_) => {
            // Boxed: it would make the future of every other request larger.
            let invoke = function::invoke(decision, view, exchange, peer, upgrades, head, body);
            Box::pin(invoke).await
        }
    }
}

/// Returns the refusal of a request whose route is not looked for. Its group has the form of the
/// answer.
#[cold]
fn unrouted<'v>(cause: Cause, view: &'v View, head: &Parts, peer: &Peer) -> Refusal<'v> {
    Refusal::unrouted(cause).in_group_of(&view.snapshot, head, Some(peer))
}

#[cfg(test)]
pub(crate) mod cached_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Reason;

    #[test]
    fn a_panic_is_a_refusal() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let walk = async {
            tokio::task::yield_now().await;
            panic!("a defect")
        };
        let outcome: Result<(), Refusal<'_>> = runtime.block_on(catch_panic(pin!(walk)));
        assert_eq!(outcome.unwrap_err().reason(), Reason::InternalError);
    }
}
