//! The metrics of the process as a whole.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Registry};

use super::families::{counter, int_gauge, int_gauges};
use super::labels::{CacheResult, ConnectionProtocol, Departure, Reloaded};
use super::{ConnectionError, Counters, Gauge};

/// The metrics of the process as a whole.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Open client connections.
    pub connections: IntGauge,
    /// Parked HTTP/1.1 connections: until their next byte, only the socket is kept.
    pub resting: IntGauge,
    /// Open WebSockets.
    pub tunnels: IntGauge,
    /// Accepted client connections.
    pub accepted: IntCounter,
    /// Client connections that ended in an error, by its reason.
    pub connection_errors: Counters<ConnectionError>,
    /// Client connections by protocol.
    pub protocols: Counters<ConnectionProtocol>,
    /// HTTP/2 streams that were reset because the client did not read the response.
    pub stalled_streams: IntCounter,
    /// HTTP/2 streams that the parser refused, by reason.
    pub refused_streams: Counters<ConnectionError>,
    /// Requests whose client left before the end of the answer, by the moment.
    pub departures: Counters<Departure>,
    /// Requests that are being answered.
    pub requests: Gauge,
    /// Token cache look-ups by result.
    pub cache: Counters<CacheResult>,
    /// Reloads by result.
    pub reloads: Counters<Reloaded>,
    /// 1 if the last reload took effect, otherwise 0.
    pub reload_ok: IntGauge,
    /// Panics that were caught: of requests, and of background tasks.
    pub panics: IntCounter,
    config: IntGaugeVec,
    certificates: IntGaugeVec,
    log_dropped: IntCounter,
}

impl GatewayMetrics {
    /// Shows `hash` as the configuration that is in force.
    pub fn set_config(&self, hash: &str) {
        self.config.reset();
        self.config.with_label_values(&[hash]).set(1);
    }

    /// Shows when the certificate in each file expires, and removes the certificates of other
    /// files.
    pub fn show_certificates<'f>(&self, ends: impl Iterator<Item = (&'f str, u64)>) {
        self.certificates.reset();
        for (file, end) in ends {
            self.certificates
                .with_label_values(&[file])
                .set(i64::try_from(end).unwrap_or(i64::MAX));
        }
    }

    /// Counts lines that the access log had no room for, or could not write.
    pub fn count_dropped_lines(&self, lines: usize) {
        self.log_dropped.inc_by(lines as u64);
    }

    /// Registers the metrics that are no sharded counters.
    pub(super) fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connections: int_gauge(r, "scopegate_connections_open", "Open client connections.")?,
            resting: int_gauge(
                r,
                "scopegate_connections_resting",
                "Idle HTTP/1.1 client connections of which only the socket is kept until their \
                 next byte.",
            )?,
            tunnels: int_gauge(r, "scopegate_websockets_open", "WebSockets that are open.")?,
            accepted: counter(
                r,
                "scopegate_connections_accepted_total",
                "Accepted client connections.",
            )?,
            connection_errors: Counters::new(),
            protocols: Counters::new(),
            stalled_streams: counter(
                r,
                "scopegate_http2_streams_stalled_total",
                "HTTP/2 responses that were given up because the client did not read them.",
            )?,
            refused_streams: Counters::new(),
            departures: Counters::new(),
            requests: Gauge::new(),
            cache: Counters::new(),
            reloads: Counters::new(),
            reload_ok: int_gauge(
                r,
                "scopegate_config_last_reload_successful",
                "1 while the files on disk are in force, 0 while they are not.",
            )?,
            panics: counter(
                r,
                "scopegate_panics_total",
                "Panics that were caught: of a request, which is answered with 500, or of a \
                 background task.",
            )?,
            config: int_gauges(
                r,
                "scopegate_config_info",
                "The configuration in force, by the SHA-256 of its files; always 1.",
                &["hash"],
            )?,
            certificates: int_gauges(
                r,
                "scopegate_certificate_expiry_timestamp_seconds",
                "Time when a certificate of a TLS listener expires, in seconds since 1970, by its \
                 file.",
                &["file"],
            )?,
            log_dropped: counter(
                r,
                "scopegate_access_log_dropped_total",
                "Access log lines that were dropped because standard output was too slow, or \
                 failed.",
            )?,
        })
    }
}
