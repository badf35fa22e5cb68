//! The trusted proxies: peers whose forwarding headers are believed.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// The trusted proxies in front of the gateway; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl TrustedProxies {
    /// Adds an address, a network, or `unix`: every peer on a Unix socket of the gateway. Returns
    /// false if the text is none of them.
    #[must_use]
    pub fn add(&mut self, text: &str) -> bool {
        if text == "unix" {
            self.unix = true;
            return true;
        }
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        self.networks.extend(network);
        network.is_some()
    }

    /// Returns the networks and addresses.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Returns whether no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Returns whether a peer is a trusted proxy. The address is `None` for a peer on a Unix
    /// socket.
    #[must_use]
    pub fn trusts(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => {
                let address = address.to_canonical();
                self.networks
                    .iter()
                    .any(|network| network.contains(&address))
            }
            None => self.unix,
        }
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<_> = self.networks.iter().map(ToString::to_string).collect();
        parts.extend(self.unix.then(|| "unix".to_owned()));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_in_one_of_the_networks() {
        let mut proxies = TrustedProxies::default();
        assert!(
            ["10.0.0.0/8", "192.0.2.1", "::1", "2001:db8::/32"]
                .iter()
                .all(|text| proxies.add(text))
        );
        for (address, trusted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::1", true),
            ("2001:db8:1::", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(
                proxies.trusts(Some(address.parse().unwrap())),
                trusted,
                "{address}"
            );
        }
        assert!(!proxies.trusts(None));
        assert!(proxies.add("unix") && proxies.trusts(None));
        assert_eq!(
            proxies.to_string(),
            "10.0.0.0/8, 192.0.2.1/32, ::1/128, 2001:db8::/32, unix"
        );
        assert!(!proxies.add("10.0.0.0/33") && !proxies.add("proxy.internal") && !proxies.add(""));
    }
}
