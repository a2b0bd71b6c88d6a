//! Where a browser finds what is at the edge.

use model::{App, Host, ServiceName};
use plan::routes::EdgeAddresses;

/// Where a browser finds a service of an app, where it is exposed.
pub(crate) fn url(app: &App, service: &ServiceName, edge: EdgeAddresses) -> Option<String> {
    let exposure = app.services.get(service)?.expose.as_ref()?;
    let is_secure = app.certificates().contains_key(&exposure.host);
    let (host, path) = (&exposure.host, exposure.path.as_str());
    Some(url_of(host, path, is_secure, edge))
}

/// The URL of a host and path at the edge.
pub(super) fn url_of(host: &Host, path: &str, is_secure: bool, edge: EdgeAddresses) -> String {
    let (scheme, address, usual) = match is_secure {
        true => ("https", edge.tls, 443),
        false => ("http", edge.plain, 80),
    };
    let port = match address.port() {
        port if port == usual => String::new(),
        port => format!(":{port}"),
    };
    format!("{scheme}://{host}{port}{path}")
}
