//! An exchange whose answer is read as a whole, by a task that goes on when its client has left.
//!
//! The functions behind an Invoke API run to their end whether or not their connection is still
//! there, and some runtimes fail on a second invocation meanwhile. So a request that was sent keeps
//! its connection and its permits until it is answered, although no client waits any longer.

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{StatusCode, response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout_at;

use super::balance::{UpstreamClient, capped};
use super::exchange::Outgoing;
use super::reply::Reply;
use super::{Fault, RequestPermit, UploadProgress};
use crate::clock;
use crate::net::{DialError, Stage};

/// The limits of an exchange with a whole answer.
#[derive(Clone, Copy, Debug)]
pub struct WholeLimits {
    /// The most bytes of the answer's body.
    pub bytes: usize,
    /// The time from the request to the end of its answer.
    pub answer: Duration,
    /// The deadline of the client's request, if it has one.
    pub until: Option<Instant>,
    /// The time for which a request that was sent keeps its connection when no client waits for its
    /// answer.
    pub abandoned: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub struct WholeAnswer {
    /// Its status and its fields.
    pub head: response::Parts,
    /// Its body, which is empty unless the status is 200; `None` if it is too long.
    pub body: Option<Bytes>,
    /// The time from the request to the head of the answer.
    pub took: Duration,
    /// The permit of the request, which is to be held for as long as the body is in memory; `None`
    /// if the upstream has no limit of requests.
    pub permit: Option<RequestPermit>,
}

/// The task of an exchange.
struct Exchange<B> {
    client: Rc<UpstreamClient<B>>,
    request: Outgoing<B>,
    /// The endpoint to which the request is sent.
    asked: Rc<Cell<Option<usize>>>,
    sent: UploadProgress,
    limits: WholeLimits,
}

impl<B> UpstreamClient<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Sends a request and waits for its whole answer. `sent` tells when the connection has taken
    /// the request's body.
    ///
    /// The caller may stop to wait: a request that was not sent is not sent then, and for one that
    /// was sent a task waits in its place. Its answer is dropped.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn exchange_whole(
        self: &Rc<Self>,
        request: Outgoing<B>,
        sent: UploadProgress,
        limits: WholeLimits,
    ) -> Result<WholeAnswer, Fault> {
        let deadline = capped(request.departed() + limits.answer, limits.until);
        let asked = Rc::new(Cell::new(None));
        let exchange = Exchange {
            client: self.clone(),
            request,
            asked: asked.clone(),
            sent: sent.clone(),
            limits,
        };
        let (answered, mut answer) = oneshot::channel();
        spawn_local(exchange.run(answered));
        let timer = self.timer();
        let in_time = poll_fn(|cx| match Pin::new(&mut answer).poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => timer.poll_deadline(cx, deadline).map(|_| None),
        });
        let result = match in_time.await {
            Some(Ok(result)) => result,
            // The task panicked.
            Some(Err(_)) => Err(Fault::Protocol("its exchange has failed".into())),
            None if sent.has_ended() => {
                let is_late = limits.until.is_none_or(|until| until > deadline);
                if is_late {
                    self.note_late(asked.get());
                }
                Err(Fault::AnswerTimeout(limits.answer))
            }
            None => Err(Fault::of_dial(DialError::Timeout {
                authority: self.upstream().settings.url.authority().into(),
                stage: Stage::Waiting,
            })),
        };
        if let Err(fault) = &result {
            self.upstream().metrics.faults.increment(fault.kind());
        }
        result
    }
}

impl<B> Exchange<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Runs the exchange to its end, and hands its result to the client's future, if that still
    /// waits.
    async fn run(mut self, mut answered: oneshot::Sender<Result<WholeAnswer, Fault>>) {
        let limit = self.limits.abandoned;
        let upstream = self.client.upstream().clone();
        let sent = self.sent.clone();
        let mut answer = pin!(self.answer());
        let result = tokio::select! {
            biased;
            result = &mut answer => Some(result),
            () = answered.closed() => None,
        };
        if let Some(result) = result {
            // An error means that the client has left at this moment.
            let _ = answered.send(result);
            return;
        }
        let Some(since) = sent.ended_at() else {
            return;
        };
        if timeout_at((since + limit).into(), answer).await.is_err() {
            tracing::warn!(
                upstream = %upstream.settings.name,
                "a function has not answered for {limit:?}, and no client waits for it: its \
                 connection is closed"
            );
        }
    }

    async fn answer(&mut self) -> Result<WholeAnswer, Fault> {
        let response = self.client.exchange(&mut self.request, &self.asked).await?;
        let took = clock::monotonic() - self.request.departed();
        let (head, mut reply) = response.into_parts();
        let body = match head.status {
            StatusCode::OK => self.read(&mut reply).await?,
            _ => Some(Bytes::new()),
        };
        let permit = reply.take_permit();
        Ok(WholeAnswer {
            head,
            body,
            took,
            permit,
        })
    }

    /// Reads the whole body; `None` if it is too long.
    async fn read(&self, reply: &mut Reply<B>) -> Result<Option<Bytes>, Fault> {
        let most = self.limits.bytes;
        let expected = usize::try_from(reply.size_hint().lower()).unwrap_or(usize::MAX);
        if expected > most {
            return Ok(None);
        }
        let mut body = BytesMut::with_capacity(expected);
        while let Some(frame) = reply.frame().await {
            let frame = frame.map_err(Fault::Closed)?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if data.len() > most - body.len() {
                return Ok(None);
            }
            body.extend_from_slice(data);
        }
        Ok(Some(body.freeze()))
    }
}
