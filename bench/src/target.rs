//! Where a load goes: a URL taken apart and resolved.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

/// A URL cannot be used for a load.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// It is not of the form that is understood.
    #[error("a load goes to http://HOST[:PORT][/PATH], not to {0:?}")]
    Shape(String),
    /// Its host has no address.
    #[error("{host:?} has no address: {source}")]
    Host {
        /// The host and port of the URL.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
}

/// A URL, resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Host and port as written.
    pub(crate) authority: String,
    /// Path and query, beginning with `/`.
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn resolve(url: &str) -> Result<Self, BadUrl> {
        let shape = || BadUrl::Shape(url.to_owned());
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(shape());
        }
        let rest = url.strip_prefix("http://").ok_or_else(shape)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // A colon within brackets belongs to an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| shape())?)
            }
            _ => (authority, 80),
        };
        if host.is_empty() || host.contains('@') {
            return Err(shape());
        }
        let path = if path.starts_with('/') {
            path.into()
        } else {
            format!("/{path}")
        };
        let address = resolve(host, port).map_err(|source| BadUrl::Host {
            host: authority.to_owned(),
            source,
        })?;
        Ok(Self {
            address,
            authority: authority.to_owned(),
            path,
        })
    }
}

fn resolve(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    // Every name below "localhost" is this machine (RFC 6761), which not all resolvers know.
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (host, port).to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| std::io::Error::other("the resolver knows none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, address, authority, path) in [
            ("http://127.0.0.1:81", "127.0.0.1:81", "127.0.0.1:81", "/"),
            (
                "http://shop.localhost/a?b#c",
                "127.0.0.1:80",
                "shop.localhost",
                "/a?b",
            ),
            ("http://[::1]:82?x", "[::1]:82", "[::1]:82", "/?x"),
            ("http://[::1]/", "[::1]:80", "[::1]", "/"),
        ] {
            let target = Target::resolve(url).unwrap();
            assert_eq!(target.address, address.parse().unwrap());
            assert_eq!(
                (target.authority.as_str(), target.path.as_str()),
                (authority, path)
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "",
            "127.0.0.1",
            "https://a",
            "http://",
            "http://a:b",
            "http://a b/",
            "http://u@h/",
        ] {
            assert!(
                matches!(Target::resolve(bad), Err(BadUrl::Shape(_))),
                "{bad:?}"
            );
        }
    }
}
