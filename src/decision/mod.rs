//! The refusals of requests, and the answers to them.

pub mod answer;
pub mod forwarded;
pub mod grpc;
mod refusal;

pub use refusal::{Barred, Cause, REASONS, Refusal};
