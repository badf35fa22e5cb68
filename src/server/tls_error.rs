//! The cause of a TLS handshake that failed.

use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::telemetry::ConnectionError;
use crate::tls::CertificateFault;

/// The failure of a TLS handshake.
#[derive(Debug)]
pub(super) struct TlsError {
    pub(super) error: ConnectionError,
    /// What the library says, where that tells more than the reason.
    pub(super) cause: Option<Box<str>>,
}

impl From<ConnectionError> for TlsError {
    fn from(error: ConnectionError) -> Self {
        Self { error, cause: None }
    }
}

impl TlsError {
    /// Returns the cause of an error of the handshake. Any error that is not of the library is one
    /// of the connection.
    pub(super) fn of(error: &io::Error) -> Self {
        let source = error.get_ref();
        let Some(error) = source.and_then(|source| source.downcast_ref::<Error>()) else {
            return ConnectionError::LeftInHandshake.into();
        };
        let cause = match error {
            Error::AlertReceived(alert) => Some(format!("{alert:?}")),
            Error::PeerIncompatible(cause) => Some(format!("{cause:?}")),
            Error::InvalidCertificate(error) => cause_of_certificate(error),
            Error::NoCertificatesPresented | Error::NoApplicationProtocol => None,
            error => Some(error.to_string()),
        };
        Self {
            error: reason(error),
            cause: cause.map(String::into_boxed_str),
        }
    }
}

fn reason(error: &Error) -> ConnectionError {
    match error {
        Error::PeerIncompatible(cause) if is_version(cause) => ConnectionError::TlsVersion,
        Error::PeerIncompatible(_) => ConnectionError::TlsCipher,
        Error::NoApplicationProtocol => ConnectionError::TlsProtocol,
        Error::NoCertificatesPresented => ConnectionError::TlsClientCertificateMissing,
        Error::InvalidCertificate(error) => reason_of_certificate(error),
        Error::AlertReceived(alert) if is_about_certificate(*alert) => {
            ConnectionError::TlsCertificateRefused
        }
        Error::AlertReceived(_) => ConnectionError::TlsAlert,
        _ => ConnectionError::TlsMalformed,
    }
}

fn is_version(cause: &PeerIncompatible) -> bool {
    matches!(
        cause,
        PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
    )
}

/// Returns whether a client that refuses the gateway's certificate sends the alert (RFC 8446 §6.2).
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnrecognisedName
            | AlertDescription::AccessDenied
            // A signature of the chain does not verify.
            | AlertDescription::DecryptError
            | AlertDescription::BadCertificateStatusResponse
    )
}

fn reason_of_certificate(error: &CertificateError) -> ConnectionError {
    match error {
        // The signature is bad where another authority has the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ConnectionError::TlsClientCertificateUntrusted
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            ConnectionError::TlsClientCertificateExpired
        }
        _ => ConnectionError::TlsClientCertificateInvalid,
    }
}

/// Returns what the library says about a certificate. The name of its error for an unknown
/// authority could be taken for the reason `unknown_issuer`, which is about tokens.
fn cause_of_certificate(error: &CertificateError) -> Option<String> {
    match error {
        CertificateError::UnknownIssuer => None,
        CertificateError::ExpiredContext { time, not_after } => {
            Some(format!("expired {} ago", between(*not_after, *time)))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            Some(format!("valid in {}", between(*time, *not_before)))
        }
        error => Some(CertificateFault(error).to_string()),
    }
}

fn between(from: UnixTime, to: UnixTime) -> humantime::FormattedDuration {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    humantime::format_duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionError::*;
    use rustls::InvalidMessage;

    fn of(error: Error) -> (ConnectionError, Option<String>) {
        let found = TlsError::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        (found.error, found.cause.map(Into::into))
    }

    #[test]
    fn an_error_of_the_library_has_its_reason() {
        use PeerIncompatible as Peer;
        for (error, reason, cause) in [
            (
                Error::PeerIncompatible(Peer::Tls12NotOfferedOrEnabled),
                TlsVersion,
                Some("Tls12NotOfferedOrEnabled"),
            ),
            (
                Error::PeerIncompatible(Peer::NoCipherSuitesInCommon),
                TlsCipher,
                Some("NoCipherSuitesInCommon"),
            ),
            (Error::NoApplicationProtocol, TlsProtocol, None),
            (
                Error::NoCertificatesPresented,
                TlsClientCertificateMissing,
                None,
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                TlsClientCertificateUntrusted,
                None,
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidYet),
                TlsClientCertificateExpired,
                Some("NotValidYet"),
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                TlsCertificateRefused,
                Some("UnknownCA"),
            ),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                TlsAlert,
                Some("ProtocolVersion"),
            ),
        ] {
            assert_eq!(of(error), (reason, cause.map(str::to_owned)));
        }
        let (reason, _) = of(Error::InvalidMessage(InvalidMessage::InvalidContentType));
        assert_eq!(reason, TlsMalformed);
    }

    #[test]
    fn an_expired_certificate_tells_since_when() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (reason, cause) = of(Error::InvalidCertificate(
            CertificateError::ExpiredContext {
                time: at(1_000),
                not_after: at(400),
            },
        ));
        assert_eq!(reason, TlsClientCertificateExpired);
        assert_eq!(cause.as_deref(), Some("expired 10m ago"));
    }

    #[test]
    fn a_connection_that_ends_is_a_client_that_left() {
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
            let found = TlsError::of(&kind.into());
            assert_eq!((found.error, found.cause), (LeftInHandshake, None));
        }
    }
}
