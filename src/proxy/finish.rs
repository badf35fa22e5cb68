//! The end of the walk: the client's response, whose body owns the exchange from now on.

use http::Response;

use super::exchange::{Exchange, UnconfirmedRefusal};
use super::reply_body::{ReplyBody, ReplySource};
use super::upgrade::{Tunnel, Upgrades};
use crate::decision::{Cause, Refusal};

/// Completes the exchange: makes the client's response of the walk's outcome.
pub(super) fn finish(
    exchange: Box<Exchange>,
    outcome: Result<Response<ReplySource>, Refusal<'_>>,
    upgrades: &Upgrades,
) -> Response<ReplyBody> {
    match outcome {
        Ok(response) => respond(exchange, response, upgrades),
        Err(refusal) => refuse(exchange, refusal, upgrades),
    }
}

fn respond(
    mut exchange: Box<Exchange>,
    mut response: Response<ReplySource>,
    upgrades: &Upgrades,
) -> Response<ReplyBody> {
    exchange.answered(&mut response);
    response.map(|source| match source {
        ReplySource::Switched(upstream, idle) => {
            upgrades.open(Tunnel::new(upstream, exchange, idle));
            ReplyBody::switching()
        }
        source => ReplyBody::new(source, exchange),
    })
}

fn refuse(
    mut exchange: Box<Exchange>,
    refusal: Refusal<'_>,
    upgrades: &Upgrades,
) -> Response<ReplyBody> {
    let response = exchange.refused(&refusal);
    if matches!(refusal.cause, Cause::BodyCut) {
        upgrades.confirm_later(UnconfirmedRefusal::new(exchange, refusal.cause));
        return response.map(ReplyBody::unrecorded);
    }
    response.map(|bytes| ReplyBody::new(ReplySource::Own(Some(bytes)), exchange))
}
