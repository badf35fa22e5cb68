//! The token of a request, and the places that hold it.

use http::request::Parts;

use super::checks::Passing;
use super::claims::TokenView;
use crate::snapshot::Route;
use crate::token::{BearerToken, RequestContext, TokenError, Verifier};

/// The token of a request, as its route finds it.
pub(super) struct FoundToken<'a> {
    /// The places of the request that hold a token.
    pub(super) places: String,
    pub(super) view: Option<TokenView<'a>>,
}

impl<'a> FoundToken<'a> {
    pub(super) fn of(head: &Parts, route: &'a Route, context: RequestContext<'a>) -> Self {
        let sources = &route.config.token_from;
        let query = head.uri.query();
        let mut places = Vec::new();
        for source in sources {
            let one = std::slice::from_ref(source);
            match BearerToken::find(one, &head.headers, query) {
                Ok(_) => places.push(source.to_string()),
                Err(TokenError::Several) => places.push(format!("{source}, more than once")),
                Err(_) => {}
            }
        }
        let view = match BearerToken::find(sources, &head.headers, query) {
            Ok(token) => TokenView::of(token, route, context),
            Err(_) => None,
        };
        Self {
            places: places.join(" and "),
            view,
        }
    }

    pub(super) fn passing<'t>(&'t self, verifier: Option<&'t Verifier>) -> Passing<'t> {
        Passing {
            places: &self.places,
            view: self.view.as_ref(),
            verifier,
        }
    }
}
