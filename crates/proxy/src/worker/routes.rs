//! The edge's routes: by host in one step, then by the longest path prefix of that host.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use model::{Host, PathPrefix};

use super::upstream::Upstream;
use crate::http::split_port;

/// Where requests from outside go.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_host: HashMap<Box<[u8]>, Vec<Entry>>,
    hosts: BTreeMap<String, Host>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    path: PathPrefix,
    upstream: Rc<Upstream>,
}

/// The longest host name there is, with a dot at its end.
const LONGEST_HOST: usize = 254;

impl Routes {
    /// Sets the route of `key`.
    pub(crate) fn set(&mut self, key: &str, host: &Host, path: &PathPrefix, to: Rc<Upstream>) {
        self.remove(key);
        self.hosts.insert(key.to_owned(), host.clone());
        let entries = self
            .by_host
            .entry(host.as_str().as_bytes().into())
            .or_default();
        let entry = Entry {
            key: key.to_owned(),
            path: path.clone(),
            upstream: to,
        };
        // Longest first, so that the first match is the longest.
        let length = |path: &PathPrefix| path.as_str().len();
        let at = entries.partition_point(|e| length(&e.path) >= length(&entry.path));
        entries.insert(at, entry);
    }

    /// Removes the route of `key`, if there is one.
    pub(crate) fn remove(&mut self, key: &str) {
        let Some(host) = self.hosts.remove(key) else {
            return;
        };
        let host = host.as_str().as_bytes();
        if let Some(entries) = self.by_host.get_mut(host) {
            entries.retain(|entry| entry.key != key);
            if entries.is_empty() {
                self.by_host.remove(host);
            }
        }
    }

    /// Where a request for `host` (in any case, with or without a port) and `path_and_query` goes.
    pub(crate) fn find(&self, host: &[u8], path_and_query: &[u8]) -> Option<Rc<Upstream>> {
        let (host, _) = split_port(host);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut lower = [0; LONGEST_HOST];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        let path = std::str::from_utf8(&path_and_query[..end]).ok()?;
        // `OPTIONS *` asks about the whole host, like its root.
        let path = if path == "*" { "/" } else { path };
        let entries = self.by_host.get(&*lower)?;
        entries
            .iter()
            .find(|entry| entry.path.matches(path))
            .map(|entry| entry.upstream.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppName, ServiceName, UpstreamId};

    fn routes(list: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (index, (host, path)) in list.iter().enumerate() {
            let id = UpstreamId {
                app: AppName::new("app").unwrap(),
                service: ServiceName::new(format!("s{index}")).unwrap(),
            };
            let (host, path) = (Host::new(host).unwrap(), PathPrefix::new(path).unwrap());
            routes.set(&index.to_string(), &host, &path, Upstream::absent(id));
        }
        routes
    }

    fn found(routes: &Routes, host: &str, path: &str) -> Option<String> {
        routes
            .find(host.as_bytes(), path.as_bytes())
            .map(|u| u.id.service.to_string())
    }

    #[test]
    fn the_longest_prefix_by_whole_segments_wins() {
        let routes = routes(&[("a.test", "/"), ("a.test", "/api"), ("a.test", "/api/v2")]);
        for (path, service) in [
            ("/", "s0"),
            ("/apis", "s0"),
            ("/api", "s1"),
            ("/api?x=/v2", "s1"),
            ("/api/v2/x", "s2"),
            ("*", "s0"),
            ("/API", "s0"),
        ] {
            assert_eq!(
                found(&routes, "a.test", path).as_deref(),
                Some(service),
                "{path}"
            );
        }
    }

    #[test]
    fn a_host_is_found_without_case_port_and_final_dot() {
        let routes = routes(&[("a.test", "/x")]);
        for host in ["a.test", "A.Test:8080", "a.test.", "a.test:"] {
            assert!(found(&routes, host, "/x/y").is_some(), "{host}");
        }
        for host in ["b.test", "", "xa.test", "[::1]:80", &"a".repeat(300)] {
            assert!(found(&routes, host, "/x").is_none(), "{host}");
        }
        assert!(found(&routes, "a.test", "/").is_none());
    }

    #[test]
    fn a_removed_or_moved_route_is_gone() {
        let mut routes = routes(&[("a.test", "/"), ("b.test", "/")]);
        routes.remove("0");
        assert!(found(&routes, "a.test", "/").is_none() && found(&routes, "b.test", "/").is_some());
        let upstream = routes.find(b"b.test", b"/").unwrap();
        routes.set(
            "1",
            &Host::new("c.test").unwrap(),
            &PathPrefix::root(),
            upstream,
        );
        assert!(found(&routes, "b.test", "/").is_none() && found(&routes, "c.test", "/").is_some());
    }
}
