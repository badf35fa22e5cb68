//! Everything around the gateway: its files, its upstreams and its issuer.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::backend::{Backend, Mode, Posts};
use crate::issuer::{ISSUER, Issuer};

/// The length of a pause. It is shorter than the response timeout, so that waiting requests are
/// answered.
const PAUSE: Duration = Duration::from_millis(700);

/// Everything around the gateway.
pub(crate) struct Scene {
    directory: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) backends: Vec<Backend>,
    /// The POSTs that arrived at any backend.
    pub(crate) posts: Arc<Mutex<Posts>>,
    pub(crate) issuer: Issuer,
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
}

impl Scene {
    pub(crate) fn new(directory: &Path) -> Self {
        let posts = Arc::new(Mutex::new(Posts::default()));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self {
            directory: directory.to_owned(),
            address: free_address(),
            backends: (0..3).map(|_| Backend::start(posts.clone())).collect(),
            posts,
            issuer: Issuer::start(),
            authority,
        }
    }

    /// Writes a new certificate.
    pub(crate) fn write_certificate(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        replace(&self.directory.join("tls.key"), &key.serialize_pem());
        replace(&self.directory.join("tls.pem"), &certificate.pem());
    }

    /// Writes a configuration with the same verdicts as all others; every third one is invalid.
    pub(crate) fn write_config(&self, number: usize) {
        let endpoints: Vec<_> = self
            .backends
            .iter()
            .map(|backend| format!("\"http://{}\"", backend.address))
            .collect();
        let broken = if number % 3 == 2 {
            "[[routes]]\npath = \"/broken\"\nscops = \"x\"\n"
        } else {
            ""
        };
        let text = format!(
            "[server]\nlisten = \"{}\"\nadmin = \"off\"\nworkers = 2\n\
             [server.tls]\ncertificates = [{{ cert_file = \"tls.pem\", key_file = \"tls.key\" }}]\n\
             [issuers.idp]\nissuer = \"{ISSUER}\"\njwks_uri = \"http://{}/keys\"\n\
             audience = \"api\"\n\
             refresh = \"1s\"\nrefresh_min = \"1s\"\ncooldown = \"1s\"\n\
             [upstreams.orders]\nendpoints = [{}]\nretries = 2\nretry_percent = 100\n\
             response_timeout = \"5s\"\n\
             [defaults]\nupstream = \"orders\"\n\
             [[routes]]\npath = \"/orders\"\n\
             methods = {{ GET = \"orders.read\", POST = \"orders.read\" }}\n\
             [[routes]]\npath = \"/number/{number}\"\npublic = true\n{broken}",
            self.address,
            self.issuer.address,
            endpoints.join(", "),
        );
        replace(&self.directory.join("gateway.toml"), &text);
    }

    /// Makes one backend after the other fail in each way in turn, with one change a second.
    pub(crate) fn trouble(&self, second: usize) {
        let modes = [Mode::Dead, Mode::Serve, Mode::Reset, Mode::Serve];
        let backend = &self.backends[second / modes.len() % self.backends.len()];
        backend.set(modes[second % modes.len()]);
        if modes[second % modes.len()] == Mode::Serve {
            let next = &self.backends[(second / modes.len() + 1) % self.backends.len()];
            next.set(Mode::Pause);
            thread::sleep(PAUSE);
            next.set(Mode::Serve);
        }
        self.issuer.trouble(second);
        self.write_config(second);
        if second.is_multiple_of(2) {
            self.write_certificate();
        }
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}
