//! `scopegate routes`: prints the route table in match order.

use crate::config::{self, Config};
use crate::route::Table;

/// The space between columns.
const GAP: &str = "  ";

/// Formats one line for each method of each route, in the order in which they match.
pub(super) fn table(config: &Config) -> String {
    let table = Table::new(config::rules(&config.routes));
    let table = table.expect("the configuration has no two routes that conflict");
    let hosts = config.routes.iter().any(|route| route.host.is_some());
    let mut lines = vec![line(
        hosts,
        ["METHOD", "HOST", "PATH", "REQUIRES", "UPSTREAM"].map(String::from),
    )];
    for rule in table.in_match_order() {
        let host = rule
            .host
            .as_ref()
            .map_or("any".to_owned(), ToString::to_string);
        let requirement = rule.value.requirement.to_string();
        let upstream = config
            .routes
            .get(rule.value.route)
            .map_or_else(String::new, |route| route.upstream.to_string());
        let columns = [
            rule.method.to_string(),
            host,
            rule.pattern.to_string(),
            requirement,
            upstream,
        ];
        lines.push(line(hosts, columns));
    }
    align(&lines)
}

/// Leaves out the column of hosts if no route names one, since every row would say "any".
fn line(hosts: bool, columns: [String; 5]) -> Vec<String> {
    columns
        .into_iter()
        .enumerate()
        .filter(|(index, _)| hosts || *index != 1)
        .map(|(_, text)| text)
        .collect()
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|text: &String| text.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut out = String::new();
    for line in lines {
        let padded = line
            .iter()
            .zip(&widths)
            .map(|(text, width)| format!("{text:<width$}"));
        out.push_str(padded.collect::<Vec<_>>().join(GAP).trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
                          [upstreams.orders]\nurl = \"http://orders\"\n";

    fn shown(routes: &str) -> String {
        table(&Config::parse(&format!("{ISSUER}{routes}"), "gateway.toml").unwrap())
    }

    #[test]
    fn the_more_specific_route_stands_first_whatever_the_file_says() {
        let routes = "[[routes]]\npath = \"/orders/{id}\"\nupstream = \"orders\"\nauthenticated = true\nmethods = \"ANY\"\n\
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
    fn hosts_have_a_column_where_a_route_names_one() {
        let routes = "[[routes]]\npath = \"/a\"\nupstream = \"orders\"\npublic = true\nmethods = [\"GET\"]\n\
                      [[routes]]\nhost = \"api.example.com\"\npath = \"/b\"\nupstream = \"orders\"\n\
                      methods = { GET = \"b\" }\n";
        assert_eq!(
            shown(routes),
            "METHOD  HOST             PATH  REQUIRES  UPSTREAM\n\
             GET     api.example.com  /b    b         orders\n\
             GET     any              /a    public    orders\n"
        );
    }
}
