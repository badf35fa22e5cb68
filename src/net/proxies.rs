//! The forward proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`, in lower or upper case.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Proxy, ProxyError, Url};

/// The proxy for each scheme, and the hosts that are reached directly.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    exceptions: Vec<Exception>,
    /// Set if loopback addresses go through the proxy as well.
    takes_loopback: bool,
}

/// An item of `NO_PROXY`.
#[derive(Clone, Debug)]
struct Exception {
    hosts: Hosts,
    /// `None` for every port.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    All,
    Network(IpNet),
    /// A name and the names below it.
    Domain(Box<str>),
}

/// A variable of the environment, and the reason why its value is no proxy.
type Unusable = (&'static str, ProxyError);

/// A variable of the environment that names a proxy.
#[derive(Debug)]
struct Named {
    variable: &'static str,
    proxy: Proxy,
}

impl Proxies {
    /// Returns no proxy: every host is reached directly.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns one proxy for every host.
    #[must_use]
    pub fn always(proxy: Proxy) -> Self {
        Self {
            https: Some(proxy.clone()),
            http: Some(proxy),
            exceptions: Vec::new(),
            takes_loopback: true,
        }
    }

    /// Returns the proxies that the environment names, and logs them.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::of(&|name| std::env::var(name).ok(), &report)
    }

    /// Returns the proxies of an environment. `report` is called for each variable that counts.
    fn of(
        environment: &dyn Fn(&str) -> Option<String>,
        report: &dyn Fn(&Result<Named, Unusable>),
    ) -> Self {
        let find = |names: [&'static str; 2]| {
            let (name, text) = variable(environment, names)?;
            let parsed = match parse(&text) {
                Ok(proxy) => Ok(Named {
                    variable: name,
                    proxy,
                }),
                Err(error) => Err((name, error)),
            };
            report(&parsed);
            parsed.ok().map(|named| named.proxy)
        };
        let all = find(["all_proxy", "ALL_PROXY"]);
        let no_proxy = variable(environment, ["no_proxy", "NO_PROXY"]);
        Self {
            https: find(["https_proxy", "HTTPS_PROXY"]).or_else(|| all.clone()),
            http: find(["http_proxy", "HTTP_PROXY"]).or(all),
            exceptions: no_proxy.map_or_else(Vec::new, |(_, text)| exceptions(&text)),
            takes_loopback: false,
        }
    }

    /// Returns the proxy for the host of a URL; `None` if it is reached directly.
    #[must_use]
    pub fn find(&self, url: &Url) -> Option<&Proxy> {
        if url.is_loopback() && !self.takes_loopback {
            return None;
        }
        if self.exceptions.iter().any(|exception| exception.has(url)) {
            return None;
        }
        let proxy = if url.is_tls() {
            &self.https
        } else {
            &self.http
        };
        proxy.as_ref()
    }
}

fn report(found: &Result<Named, Unusable>) {
    match found {
        Ok(Named { variable, proxy }) => tracing::info!(
            variable,
            %proxy,
            "keys of issuers are fetched through the proxy of the environment, but for the hosts in NO_PROXY"
        ),
        Err((variable, error)) => {
            tracing::warn!(variable, %error, "the proxy of the environment is not used");
        }
    }
}

/// Returns the first variable of these names that is set and not empty.
fn variable(
    environment: &dyn Fn(&str) -> Option<String>,
    names: [&'static str; 2],
) -> Option<(&'static str, String)> {
    for name in names {
        match environment(name) {
            Some(text) if !text.trim().is_empty() => return Some((name, text.trim().to_owned())),
            _ => {}
        }
    }
    None
}

/// Parses the value of a variable, in which the scheme may be missing.
fn parse(text: &str) -> Result<Proxy, ProxyError> {
    if text.contains("://") {
        Proxy::parse(text)
    } else {
        Proxy::parse(&format!("http://{text}"))
    }
}

fn exceptions(text: &str) -> Vec<Exception> {
    let items = text.split([',', ' ', '\t']).filter(|item| !item.is_empty());
    items.map(Exception::parse).collect()
}

impl Exception {
    fn parse(text: &str) -> Self {
        if let Some(network) = network(text) {
            return Self {
                hosts: Hosts::Network(network),
                port: None,
            };
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let hosts = match network(host) {
            Some(network) => Hosts::Network(network),
            None if host == "*" => Hosts::All,
            None => {
                let name = host.trim_start_matches('*').trim_matches('.');
                Hosts::Domain(name.to_ascii_lowercase().into())
            }
        };
        Self { hosts, port }
    }

    /// Returns whether the host of a URL is reached directly. Names are not resolved.
    fn has(&self, url: &Url) -> bool {
        if self.port.is_some_and(|port| port != url.port()) {
            return false;
        }
        let host = url.host_name().trim_end_matches('.');
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network) => host
                .parse::<IpAddr>()
                .is_ok_and(|address| network.contains(&address)),
            Hosts::Domain(name) => {
                let above = host.strip_suffix(&**name);
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
                    && !name.is_empty()
            }
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(address)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> (Proxies, Vec<String>) {
        let said = RefCell::new(Vec::new());
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxies = Proxies::of(&environment, &|found| {
            said.borrow_mut().push(match found {
                Ok(named) => format!("{} {}", named.variable, named.proxy),
                Err((variable, error)) => format!("{variable}: {error}"),
            });
        });
        (proxies, said.into_inner())
    }

    fn found(proxies: &Proxies, url: &str) -> String {
        let url = Url::parse(url).unwrap();
        proxies.find(&url).map_or("-".to_owned(), Proxy::to_string)
    }

    #[test]
    fn a_scheme_has_its_variable_or_that_of_all() {
        let (some, said) = proxies(&[
            ("HTTPS_PROXY", "http://user:secret@a:1"),
            ("ALL_PROXY", "b:2"),
            ("https_proxy", ""),
        ]);
        assert_eq!(found(&some, "https://idp.test/"), "http://a:1");
        assert_eq!(found(&some, "http://idp.test/"), "http://b:2");
        assert_eq!(said, ["ALL_PROXY http://b:2", "HTTPS_PROXY http://a:1"]);
        let (lower, _) = proxies(&[("http_proxy", "http://a:1"), ("HTTP_PROXY", "http://b:2")]);
        assert_eq!(found(&lower, "http://idp.test/"), "http://a:1");
        assert_eq!(found(&lower, "https://idp.test/"), "-");
        let (bad, said) = proxies(&[("https_proxy", "socks5://user:secret@a:1")]);
        assert_eq!(found(&bad, "https://idp.test/"), "-");
        assert!(said[0].starts_with("https_proxy: the scheme") && !said[0].contains("secret"));
        assert_eq!(found(&Proxies::none(), "https://idp.test/"), "-");
    }

    #[test]
    fn hosts_of_no_proxy_and_this_machine_are_reached_directly() {
        let direct = |no_proxy: &str, url: &str| {
            let (some, _) = proxies(&[("ALL_PROXY", "http://p:1"), ("no_proxy", no_proxy)]);
            found(&some, url) == "-"
        };
        for (no_proxy, url, is_direct) in [
            ("", "https://idp.test/", false),
            ("*", "https://idp.test/", true),
            ("idp.test", "https://idp.test/", true),
            ("idp.test", "https://a.IDP.test/", true),
            ("idp.test", "https://aidp.test/", false),
            ("idp.test", "https://idp.test.evil.test/", false),
            (".test, other", "https://idp.test/", true),
            ("*.test", "https://a.idp.test/", true),
            ("a b,idp.test", "https://idp.test/", true),
            ("idp.test:443", "https://idp.test/", true),
            ("idp.test:443", "https://idp.test:8443/", false),
            (".", "https://idp.test/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("2001:db8::1", "https://[2001:db8::1]/", true),
            ("[2001:db8::1]:443", "https://[2001:db8::1]/", true),
            ("", "http://127.0.0.1:9000/", true),
            ("", "http://[::1]:9000/", true),
            ("", "http://localhost:9000/", true),
        ] {
            assert_eq!(direct(no_proxy, url), is_direct, "{no_proxy:?} {url}");
        }
        let always = Proxies::always(Proxy::parse("http://p:1").unwrap());
        assert_eq!(found(&always, "http://localhost:9000/"), "http://p:1");
    }
}
