//! The routes of an app, as users and programs are shown them.

use model::{App, PathPattern};
use plan::preview::{leads_to, shown};
use plan::routes::EdgeAddresses;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::url_of;

/// One of `[[routes]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteStatus {
    /// Which requests it is for.
    pub route: String,
    /// Where it is reached, if it is for one host and for paths that can be written down.
    pub url: Option<String>,
    /// Where it leads.
    pub leads_to: String,
}

/// The routes of `app` in the order of its file.
pub(super) fn routes(app: &App, edge: EdgeAddresses) -> Vec<RouteStatus> {
    let routes = app.routes.iter().map(|rule| {
        let host = rule.matching.host.exact();
        let path = match &rule.matching.path {
            PathPattern::Prefix(path) => Some(path.as_str()),
            PathPattern::Exact { exact } => Some(exact.as_str()),
            PathPattern::Template { .. } => None,
        };
        // One that is for requests in the clear is not reached in TLS.
        let is_secure = |host| !rule.matching.in_clear && app.certificates().contains_key(host);
        RouteStatus {
            route: shown(&rule.matching),
            url: host
                .zip(path)
                .map(|(host, path)| url_of(host, path, is_secure(host), edge)),
            leads_to: leads_to(rule),
        }
    });
    routes.collect()
}
