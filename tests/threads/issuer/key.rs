use super::Algorithm;
use super::liveness::Liveness;

/// A key without numbers, for one algorithm.
#[derive(Debug)]
pub(crate) struct Key {
    kid: Box<str>,
    liveness: Liveness,
}

impl Key {
    pub(crate) const ALGORITHM: Algorithm = Algorithm::ES256;

    pub(crate) fn new(kid: &str) -> Self {
        Self {
            kid: kid.into(),
            liveness: Liveness::new(),
        }
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        Some(&self.kid)
    }

    pub(crate) fn allows(&self, algorithm: Algorithm) -> bool {
        algorithm == Self::ALGORITHM
    }

    pub(crate) fn is_live(&self) -> bool {
        self.liveness.is_live()
    }

    pub(super) fn retire(&self) {
        self.liveness.retire();
    }

    pub(super) fn thumbprint(&self) -> &str {
        &self.kid
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.kid == other.kid
    }
}
