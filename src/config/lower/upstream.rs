//! `[upstreams.<name>]`

use std::sync::Arc;

use super::super::catalogue::UPSTREAM;
use super::super::document::Table;
use super::super::load::Context;
use super::super::reader::{Reader, Text};
use super::check_name;
use crate::net::{Tls, Url};
use crate::upstream::{HostHeader, Settings};

pub(super) fn upstreams(context: &Context, tables: &[(Text, Table)]) -> Vec<Settings> {
    let mut all: Vec<_> = tables.iter().filter_map(|(name, table)| upstream(context, name, table)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn upstream(context: &Context, name: &Text, table: &Table) -> Option<Settings> {
    let mut reader = Reader::new(context, &UPSTREAM, table, format!("upstream \"{}\"", name.text));
    check_name(&reader, name);
    let url = url(&mut reader);
    let host = match reader.choice("host") {
        Some("preserve") => HostHeader::Preserve,
        _ => HostHeader::Upstream,
    };
    let connect_timeout = reader.duration("connect_timeout").unwrap_or_default();
    let response_timeout = reader.duration("response_timeout").unwrap_or_default();
    let idle_timeout = reader.duration("idle_timeout").unwrap_or_default();
    let max_idle = reader.count("max_idle").unwrap_or_default();
    let ca = ca(&mut reader, url.as_ref());
    reader.finish();
    let name = name.text.as_str().into();
    Some(Settings { name, url: url?, host, connect_timeout, response_timeout, idle_timeout, max_idle, ca })
}

/// A URL that is no good, unless it may hold a password: messages go to logs.
pub(super) fn quoted_url(text: &str) -> String {
    if text.contains('@') { "a URL with \"@\"".to_owned() } else { format!("\"{text}\"") }
}

fn url(reader: &mut Reader<'_>) -> Option<Url> {
    let text = reader.text("url")?;
    let url = match Url::parse(&text.text) {
        Ok(url) => url,
        Err(error) => {
            reader.problem(text.place, format!("\"url\" is {}: {error}", quoted_url(&text.text)));
            return None;
        }
    };
    if url.path_and_query() != "/" {
        let message = format!(
            "\"url\" ends in \"{}\", and what is forwarded is the request's own path",
            url.path_and_query()
        );
        let problem = reader.problem_at(text.place, message);
        reader.context.problem(problem.hint(format!("write url = \"{}\"", url.with_path(""))));
    }
    Some(url)
}

fn ca(reader: &mut Reader<'_>, url: Option<&Url>) -> Option<Arc<str>> {
    let path = reader.text("ca_file")?;
    if url.is_some_and(|url| !url.is_tls()) {
        reader.problem(
            reader.key_place("ca_file"),
            "\"ca_file\" has no effect: the \"url\" is http, not https",
        );
        return None;
    }
    if reader.context.has_stand_ins() {
        return None;
    }
    let pem = reader.context.read_named(path.place, &path.text);
    let pem = pem.map_err(|error| reader.problem(path.place, format!("\"ca_file\": {error}"))).ok()?;
    match Tls::with_roots(&pem) {
        Ok(_) => Some(pem.into()),
        Err(error) => {
            reader.problem(path.place, format!("\"ca_file\" is \"{}\": {error}", path.text));
            None
        }
    }
}
