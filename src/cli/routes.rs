//! `scopegate routes`: prints the route table in match order.

use std::fmt::Write;

use crate::config::{self, Config, Route};
use crate::route::Table;

/// The space between columns.
const GAP: &str = "  ";

/// Formats one line for each method of each route, in the order in which they match.
pub(super) fn table(config: &Config) -> String {
    let table = Table::new(config::rules(&config.routes));
    let table = table.expect("the configuration has no two routes that conflict");
    let hosts = config.routes.iter().any(|route| route.host.is_some());
    let titles = ["METHOD", "HOST", "PATH", "REQUIRES", "UPSTREAM"];
    let mut lines = vec![line(hosts, titles.map(String::from))];
    for rule in table.in_match_order() {
        let host = match &rule.host {
            Some(host) => host.to_string(),
            None => "any".to_owned(),
        };
        let upstream = match config.routes.get(rule.value.route) {
            Some(route) => answerer(config, route),
            None => String::new(),
        };
        let columns = [
            rule.method.to_string(),
            host,
            rule.pattern.to_string(),
            rule.value.requirement.to_string(),
            upstream,
        ];
        lines.push(line(hosts, columns));
    }
    align(&lines)
}

/// Returns what answers the requests of a route: the upstream, with the function that it is, or the
/// gateway itself.
fn answerer(config: &Config, route: &Route) -> String {
    let mut upstreams = config.upstreams.iter();
    let named = route.upstream();
    let upstream = upstreams.find(|upstream| named.is_some_and(|name| **name == *upstream.name));
    match upstream.and_then(|upstream| upstream.lambda.as_ref()) {
        Some(function) => {
            let (name, format) = (function.name.as_str(), function.event.as_str());
            format!("{} (function \"{name}\", event {format})", route.handler)
        }
        None => route.handler.to_string(),
    }
}

/// Leaves out the column of hosts if no route names one, since every row would say "any".
fn line(hosts: bool, columns: [String; 5]) -> Vec<String> {
    let [method, host, path, requirement, upstream] = columns;
    if hosts {
        vec![method, host, path, requirement, upstream]
    } else {
        vec![method, path, requirement, upstream]
    }
}

fn align(lines: &[Vec<String>]) -> String {
    let widths = widths(lines);
    let mut out = String::new();
    for line in lines {
        let mut padded = String::new();
        for (text, width) in line.iter().zip(&widths) {
            let _ = write!(padded, "{text:<width$}{GAP}");
        }
        out.push_str(&config::printable(padded.trim_end()));
        out.push('\n');
    }
    out
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for line in lines {
        widths.resize(line.len().max(widths.len()), 0);
        for (width, text) in widths.iter_mut().zip(line) {
            *width = text.chars().count().max(*width).min(config::MAX_WIDTH);
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\n\
                          audience = \"api\"\n\
                          [upstreams.orders]\nurl = \"http://orders\"\n";

    fn shown(routes: &str) -> String {
        table(&Config::parse(&format!("{ISSUER}{routes}"), "gateway.toml").unwrap())
    }

    #[test]
    fn the_more_specific_route_stands_first_whatever_the_file_says() {
        let routes = "[[routes]]\npath = \"/orders/{id}\"\nupstream = \"orders\"\n\
                      authenticated = true\nmethods = \"ANY\"\n\
                      [[routes]]\npath = \"/orders/new\"\nupstream = \"orders\"\n\
                      methods = { GET = { any = [\"orders.read\", \"orders.admin\"] } }\n";
        assert_eq!(
            shown(routes),
            "METHOD  PATH          REQUIRES                     UPSTREAM\n\
             GET     /orders/new   orders.read or orders.admin  orders\n\
             ANY     /orders/{id}  any valid token              orders\n"
        );
    }

    #[test]
    fn functions_answers_and_denied_methods_are_seen() {
        let routes = "[upstreams.f]\nurl = \"http://127.0.0.1:9000\"\n\
                      lambda = { function = \"hello\", event = \"2.0\" }\n\
                      [[routes]]\npath = \"/f\"\nupstream = \"f\"\n\
                      methods = { GET = \"r\", POST = { deny = true } }\n\
                      [[routes]]\npath = \"/old\"\nmethods = [\"GET\"]\npublic = true\n\
                      respond = { status = 301, headers = { Location = \"https://new.example.com\" \
                      } }\n\
                      [[routes]]\npath = \"/x\"\ndeny = true\nmethods = \"ANY\"\n";
        assert_eq!(
            shown(routes),
            "METHOD  PATH  REQUIRES  UPSTREAM\n\
             GET     /f    r         f (function \"hello\", event 2.0)\n\
             POST    /f    denied    f (function \"hello\", event 2.0)\n\
             GET     /old  public    answer 301 with location\n\
             ANY     /x    denied    nobody\n"
        );
    }

    #[test]
    fn hosts_have_a_column_where_a_route_names_one() {
        let routes = "[[routes]]\npath = \"/a\"\nupstream = \"orders\"\npublic = true\n\
                      methods = [\"GET\"]\n\
                      [[routes]]\nhost = \"api.example.com\"\npath = \"/b\"\n\
                      upstream = \"orders\"\n\
                      methods = { GET = \"b\" }\n";
        assert_eq!(
            shown(routes),
            "METHOD  HOST             PATH  REQUIRES  UPSTREAM\n\
             GET     api.example.com  /b    b         orders\n\
             GET     any              /a    public    orders\n"
        );
    }
}
