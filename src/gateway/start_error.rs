//! The reasons for which a gateway does not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::Problems;
use crate::net::Address;
use crate::server::DescriptorError;
use crate::snapshot::CompileError;

/// The reason for which a gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration has problems.
    Config(Problems),
    /// The configuration cannot be compiled.
    Compile(CompileError),
    /// An address cannot be listened on.
    Bind(BindError),
    /// The running gateway does not hand over its sockets, or the socket for the next hand-over
    /// cannot be made.
    Handover(PathBuf, io::Error),
    /// The control socket cannot be made.
    Control(PathBuf, io::Error),
    /// The limit of open files is too low.
    Descriptors(DescriptorError),
    /// A thread or a runtime cannot be created.
    System(io::Error),
    /// A metric is defined wrongly, which is a defect that tests find.
    Metrics(Box<str>),
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: Address,
    /// The setting that has it, for the operator who changes it.
    pub setting: &'static str,
    /// The error of the system.
    pub error: io::Error,
}

/// The setting of the addresses for traffic, and that of the admin listener.
pub(super) const LISTEN: &str = "server.listen";
pub(super) const ADMIN: &str = "server.admin";

impl From<Problems> for StartError {
    fn from(problems: Problems) -> Self {
        Self::Config(problems)
    }
}

impl From<CompileError> for StartError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error)
    }
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<DescriptorError> for StartError {
    fn from(error: DescriptorError) -> Self {
        Self::Descriptors(error)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            setting,
            error,
        } = self;
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: another process does already; \
                 stop it, or choose another address in {setting}"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot listen on {address}: not permitted; \
                 ports below 1024 need CAP_NET_BIND_SERVICE"
            ),
            _ => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => problems.fmt(f),
            Self::Compile(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Handover(path, error) => write!(f, "no hand-over at {}: {error}", path.display()),
            Self::Control(path, error) => {
                write!(f, "no control socket at {}: {error}", path.display())
            }
            Self::Descriptors(error) => error.fmt(f),
            Self::System(error) => {
                write!(f, "a thread or an event loop cannot be created: {error}")
            }
            Self::Metrics(error) => write!(f, "the metrics are defined wrongly: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
