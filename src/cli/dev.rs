//! `scopegate dev`: runs any configuration on one machine. This command is the only user of
//! [`crate::dev`].

use std::collections::HashSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;

use super::failure::Failure;
use super::output::print;
use super::settings::Settings;
use super::{logging, routes};
use crate::config::{Config, Errors, Problems, did_you_mean, printable};
use crate::decision::{Reason, answer};
pub(super) use crate::dev::{CLIENT_ID, CLIENT_SECRET, SERVER_NAME};
use crate::dev::{
    LocalUpstream, Refusals, Sandbox, SandboxSettings, examples, keep_to_loopback,
    named_redirect_uri,
};
use crate::gateway::{Gateway, Signals};
use crate::net::Url;

#[derive(Args, Debug)]
#[command(after_help = "\
Every issuer of the configuration is replaced by the embedded one, whose tokens satisfy its \
settings, and every upstream by an echo that shows what was forwarded, or the event that a \
function gets. The client dev with the secret dev-secret may have every scope that the routes \
name; [dev.clients] adds other clients. \
Pages and other clients get tokens by authorization codes with PKCE, and may register themselves. \
Everything listens on this machine only, whatever the file says; --listen, --admin and \
--issuer-listen are used as given.

Example, with an MCP server on port 3000 as the upstream \"mcp\":
  scopegate dev -c mcp.toml --upstream mcp=http://127.0.0.1:3000")]
pub(super) struct Arguments {
    /// Address of the embedded issuer
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "SCOPEGATE_ISSUER_LISTEN",
        default_value = "127.0.0.1:9400"
    )]
    issuer_listen: SocketAddr,
    /// Another redirect URI to which the embedded issuer sends a browser, in full; may be repeated
    #[arg(long, value_name = "URI", value_parser = named_redirect_uri)]
    redirect_uri: Vec<Box<str>>,
    /// A server on this machine in place of the echo for an upstream, whose other settings stay as
    /// they are in the file; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = local_upstream)]
    upstream: Vec<LocalUpstream>,
}

impl Arguments {
    fn sandbox(&self) -> SandboxSettings {
        SandboxSettings {
            issuer: self.issuer_listen,
            redirect_uris: self.redirect_uri.clone(),
            upstreams: self.upstream.clone(),
        }
    }
}

fn local_upstream(text: &str) -> Result<LocalUpstream, String> {
    let Some((name, url)) = text.split_once('=') else {
        return Err("not a name and a URL like mcp=http://127.0.0.1:3000".into());
    };
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    // Any client can have a token of the sandbox, so that it must not lead to a real upstream.
    if url.is_tls() || !url.is_loopback() || url.path_and_query() != "/" {
        return Err("only an address of this machine, like http://127.0.0.1:3000".into());
    }
    Ok(LocalUpstream {
        name: name.into(),
        url,
    })
}

pub(super) fn dev(settings: &Settings, arguments: &Arguments) -> Result<(), Failure> {
    // The file is checked before anything starts, because most errors are in it.
    let config = settings.load_in_place()?;
    check_upstreams(&config, arguments)?;
    let log = logging::start(config.log.level).map_err(Failure::Runtime)?;
    log.note_panics();
    let signals = Signals::take().map_err(Failure::Runtime)?;
    let sandbox =
        Sandbox::start(arguments.sandbox()).map_err(|error| Failure::Sandbox(error.into()))?;
    let sandbox = Arc::new(sandbox);
    let load = {
        let (settings, sandbox) = (settings.clone(), Arc::clone(&sandbox));
        move || load(&settings, &sandbox)
    };
    let config = load()?;
    let gateway = Gateway::start(Box::new(load)).map_err(Failure::Start)?;
    let welcome = Welcome {
        file: settings.name(),
        gateway: gateway.addresses(),
        admin: gateway.admin_address(),
        issuer: sandbox.issuer_address(),
        echo: sandbox.echo_address(),
    };
    print(&welcome.text(&config))?;
    gateway.run_until_signal(signals).map_err(Failure::Runtime)
}

/// Loads the configuration, at the start and at each reload, and passes the scopes of its routes to
/// the embedded issuer.
fn load(settings: &Settings, sandbox: &Sandbox) -> Result<Config, Problems> {
    let config = keep_to_loopback(settings.load_in_place()?);
    Ok(sandbox.rewire(settings.replace_addresses(config)))
}

/// Checks that the configuration has the upstreams that the command line replaces, and that each of
/// them is replaced once.
fn check_upstreams(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let mut replaced = HashSet::new();
    for named in &arguments.upstream {
        let known = config.upstreams.iter().map(|upstream| &*upstream.name);
        if !known.clone().any(|name| *name == *named.name) {
            return Err(Failure::NoUpstream {
                name: named.name.clone(),
                suggestion: did_you_mean(&named.name, known),
            });
        }
        if !replaced.insert(&named.name) {
            return Err(Failure::UpstreamTwice(named.name.clone()));
        }
    }
    Ok(())
}

/// The greatest number of notes that are shown.
const MAX_NOTES: usize = 8;

/// The text that the command prints first.
struct Welcome<'a> {
    file: String,
    gateway: &'a [SocketAddr],
    admin: Option<SocketAddr>,
    issuer: SocketAddr,
    echo: SocketAddr,
}

/// The statuses with which the gateway refuses requests.
const REFUSALS: Refusals = Refusals {
    without_token,
    without_scope,
};

fn without_token(errors: &Errors) -> u16 {
    answer::status(errors, Reason::MissingToken).as_u16()
}

fn without_scope(errors: &Errors) -> u16 {
    answer::status(errors, Reason::InsufficientScope).as_u16()
}

/// Writes the number of routes that have denied methods.
fn write_denied(text: &mut String, config: &Config) {
    let routes = config.routes.iter();
    let denied = routes.filter(|route| {
        let mut methods = route.methods.iter();
        methods.any(|(_, requirement)| requirement.is_denied())
    });
    let _ = match denied.count() {
        0 => Ok(()),
        1 => writeln!(
            text,
            "\n1 route has methods that are denied, whatever the token"
        ),
        many => writeln!(
            text,
            "\n{many} routes have methods that are denied, whatever the token"
        ),
    };
}

/// Writes the notes of `scopegate check`.
fn write_notes(text: &mut String, config: &Config) {
    if config.notes.is_empty() {
        return;
    }
    text.push_str("\nWhat \"scopegate check\" notes about the file, as \"run\" serves it:\n");
    for note in config.notes.iter().take(MAX_NOTES) {
        let _ = writeln!(text, "note: {}", printable(note));
    }
    let more = config.notes.len().saturating_sub(MAX_NOTES);
    if more > 0 {
        let _ = writeln!(text, "and {more} more, which \"scopegate check\" shows");
    }
}

impl Welcome<'_> {
    fn text(&self, config: &Config) -> String {
        let mut text = format!(
            "scopegate dev: {}, with an embedded issuer and an echo for its issuers and \
             upstreams\n\n",
            self.file
        );
        self.write_addresses(&mut text);
        let _ = write!(text, "\n{}", routes::table(config));
        write_denied(&mut text, config);
        write_notes(&mut text, config);
        if let Some(gateway) = self.gateway.first() {
            text.push_str("\nTo paste into another terminal, one line after the other:\n");
            for example in examples(config, *gateway, self.issuer, REFUSALS) {
                let _ = write!(text, "\n{}:\n\n  {}\n", example.about, example.line);
            }
        }
        for exposed in self.exposed() {
            let _ = write!(
                text,
                "\nwarning: {exposed} can be reached from other machines, and any client there \
                 can get a token\n"
            );
        }
        text.push_str("\nCtrl-C ends it; a change of the file takes effect at once.\n\n");
        text
    }

    fn write_addresses(&self, text: &mut String) {
        for address in self.gateway {
            let _ = writeln!(text, "  gateway   http://{address}");
        }
        if let Some(admin) = self.admin {
            let _ = writeln!(text, "  admin     http://{admin}/metrics, /policy");
        }
        let credentials = format!("client {CLIENT_ID}, secret {CLIENT_SECRET}");
        let _ = writeln!(text, "  issuer    http://{}, {credentials}", self.issuer);
        let _ = writeln!(text, "  echo      http://{}", self.echo);
    }

    fn exposed(&self) -> impl Iterator<Item = SocketAddr> {
        let all = self
            .gateway
            .iter()
            .copied()
            .chain(self.admin)
            .chain([self.issuer]);
        all.filter(|address| !address.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
                        [upstreams.a]\nurl = \"http://a\"\n\
                        [[routes]]\npath = \"/a\"\nupstream = \"a\"\n\
                        methods = { GET = \"a.read\" }\n";

    fn text(gateway: &str) -> String {
        let welcome = Welcome {
            file: "gateway.toml".into(),
            gateway: &[gateway.parse().unwrap()],
            admin: Some("127.0.0.1:9090".parse().unwrap()),
            issuer: "127.0.0.1:9400".parse().unwrap(),
            echo: "127.0.0.1:5".parse().unwrap(),
        };
        welcome.text(&Config::parse(FILE, "gateway.toml").unwrap())
    }

    #[test]
    fn a_person_sees_addresses_routes_and_lines_to_paste() {
        let text = text("127.0.0.1:8080");
        for part in [
            "  gateway   http://127.0.0.1:8080\n",
            "  admin     http://127.0.0.1:9090/metrics, /policy\n",
            "  issuer    http://127.0.0.1:9400, client dev, secret dev-secret\n",
            "GET     /a    a.read    a\n",
            "\n200:\n\n  curl -i -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/a\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        assert!(!text.contains("warning"), "{text}");
    }

    #[test]
    fn what_check_notes_and_what_is_denied_is_seen() {
        let welcome = |text: &str| {
            let welcome = Welcome {
                file: "gateway.toml".into(),
                gateway: &[],
                admin: None,
                issuer: "127.0.0.1:9400".parse().unwrap(),
                echo: "127.0.0.1:5".parse().unwrap(),
            };
            welcome.text(&Config::parse(text, "gateway.toml").unwrap())
        };
        let text = welcome(FILE);
        assert!(!text.contains("note: ") && !text.contains("den"), "{text}");
        let denied = "[[routes]]\npath = \"/b\"\ndeny = true\nmethods = [\"GET\"]\n";
        let noted = format!("[server]\nadmin = \"0.0.0.0:9090\"\n{FILE}{denied}");
        let config = Config::parse(&noted, "gateway.toml").unwrap();
        let [note] = config.notes.as_slice() else {
            panic!("{:?}", config.notes);
        };
        let text = welcome(&noted);
        let expected = "\n1 route has methods that are denied, whatever the token\n\n\
                        What \"scopegate check\" notes about the file, as \"run\" serves it:\n\
                        note: ";
        assert!(text.contains(&format!("{expected}{note}\n")), "{text}");
        // A file with many of them is read with `check`.
        let mut many = config;
        many.notes = vec![note_of(&many); MAX_NOTES + 2];
        let mut text = String::new();
        write_notes(&mut text, &many);
        assert_eq!(text.matches("note: ").count(), MAX_NOTES);
        assert!(
            text.ends_with("and 2 more, which \"scopegate check\" shows\n"),
            "{text}"
        );
    }

    fn note_of(config: &Config) -> String {
        config.notes.first().cloned().unwrap_or_default()
    }

    #[test]
    fn only_a_server_on_this_machine_replaces_the_echo() {
        let upstream = local_upstream("mcp=http://127.0.0.1:3000").unwrap();
        assert_eq!(upstream.url.to_string(), "http://127.0.0.1:3000/");
        assert_eq!(&*upstream.name, "mcp");
        for text in [
            "mcp",
            "mcp=",
            "mcp=127.0.0.1:3000",
            "mcp=http://example.com",
            "mcp=http://127.0.0.1.example.com",
            "mcp=https://127.0.0.1",
            "mcp=http://127.0.0.1/path",
        ] {
            assert!(local_upstream(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_has_the_status_of_the_profile_in_force() {
        let other = "[[routes]]\npath = \"/b\"\nupstream = \"a\"\nmethods = { GET = \"b.read\" }\n";
        let rest = "[errors]\nprofile = \"aws-rest\"\n";
        let own = "[[errors.responses]]\nfor = \"insufficient_scope\"\nstatus = 418\n\
                   [[errors.responses]]\nfor = \"missing_token\"\nstatus = 420\n";
        for (errors, scope, token) in [
            (String::new(), 403, 401),
            (rest.to_owned(), 401, 401),
            (rest.replace("rest", "http"), 403, 401),
            (format!("{rest}{own}"), 418, 420),
        ] {
            let config = Config::parse(&format!("{FILE}{other}{errors}"), "gateway.toml").unwrap();
            let at = |text: &str| text.parse().unwrap();
            let found = examples(
                &config,
                at("127.0.0.1:8080"),
                at("127.0.0.1:9400"),
                REFUSALS,
            );
            let mut abouts = Vec::new();
            for example in found {
                abouts.push(example.about);
            }
            assert_eq!(
                abouts[2..],
                [
                    format!("{scope}, because the token lacks b.read"),
                    format!("{token}, without a token"),
                ],
                "{errors}"
            );
        }
    }

    #[test]
    fn an_address_that_others_reach_is_named() {
        let text = text("0.0.0.0:8080");
        assert!(
            text.contains("warning: 0.0.0.0:8080 can be reached from other machines"),
            "{text}"
        );
        assert!(
            text.contains("http://127.0.0.1:8080/a"),
            "the lines are for this machine: {text}"
        );
    }

    // The configuration that a new user tries first.
    #[test]
    fn the_example_at_the_root_shows_everything_there_is_to_see() {
        let config = Config::parse(include_str!("../../gateway.toml"), "gateway.toml");
        let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let at = |text: &str| text.parse().unwrap();
        let examples = examples(
            &config,
            at("127.0.0.1:8080"),
            at("127.0.0.1:9400"),
            REFUSALS,
        );
        let abouts: Vec<_> = examples
            .iter()
            .map(|example| example.about.as_str())
            .collect();
        assert_eq!(
            abouts,
            [
                "a token with orders.read",
                "200",
                "403, because the token lacks orders.write",
                "401, without a token",
                "200, because the route is public",
                "a token for /dev/tests, requested as from Cognito",
                "200, with the bare token",
            ]
        );
    }
}
