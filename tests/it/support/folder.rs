//! A folder with a configuration, in which commands run that start no gateway.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::json;

use super::{Key, Token, scopegate};

const ISS: &str = "https://idp.test";

/// A folder with a configuration whose keys are its own, for commands that start no gateway.
pub(crate) struct Folder {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) key: Key,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self {
            directory: tempfile::tempdir().unwrap(),
            key: Key::rsa("key", 0),
        };
        let keys = json!({ "keys": [folder.key.jwk()] });
        folder.write(
            "gateway.toml",
            &format!(
                "[server]\nlisten = \"10.0.0.1:1001\"\nadmin = \"10.0.0.1:2001\"\nworkers = 1\n\
             [issuers.idp]\nissuer = \"{ISS}\"\naudience = \"api\"\njwks = '{keys}'\n\
             [upstreams.orders]\nurl = \"http://orders:8080\"\n\
             [[routes]]\npath = \"/orders/{{id}}\"\nupstream = \"orders\"\n\
             methods = {{ GET = \"orders.read\", DELETE = [\"orders.write\", \"orders.delete\"] \
             }}\n\
             [[routes]]\npath = \"/orders/new\"\nupstream = \"orders\"\n\
             methods = {{ GET = {{ any = [\"orders.write\", \"orders.admin\"] }} }}\n\
             [[routes]]\npath = \"/health\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n\
             public = true\n\
             [[groups]]\nprefix = \"/dev\"\nupstream = \"orders\"\n\
             token_from = [\"authorization:raw\"]\n\
             [[groups.routes]]\npath = \"/tests\"\nmethods = {{ GET = \"orders.read\" }}\n"
            ),
        );
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn token(&self, change: impl FnOnce(Token) -> Token) -> String {
        change(Token::of(ISS, "orders.read")).signed(&self.key)
    }

    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = scopegate(arguments);
        command
            .current_dir(self.directory.path())
            .envs(environment.iter().copied());
        command.output().unwrap()
    }

    /// Runs a command with this text on its standard input.
    #[track_caller]
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = scopegate(arguments);
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Returns what a command prints that succeeds.
    #[track_caller]
    pub(crate) fn print(&self, arguments: &[&str]) -> String {
        self.print_with(arguments, &[])
    }

    #[track_caller]
    pub(crate) fn print_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(arguments, environment);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Explains a request, and returns the exit code and the text.
    #[track_caller]
    pub(crate) fn explain(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(&[&["explain"], arguments].concat(), &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    }

    /// Explains a request with this content of a token file.
    #[track_caller]
    pub(crate) fn explain_token(&self, content: &str) -> (Option<i32>, String) {
        self.write("token", content);
        self.explain(&["GET", "/orders/1", "--token-file", "token"])
    }
}
