//! Which rule a request is for: host first, then path, then everything else. Pure: it knows
//! neither sockets nor upstreams, and fuzz targets drive it against [`reference`].
//!
//! A request costs one look-up for its host, one more for each wildcard that may cover it, one for
//! its path and one for each of its segments, however many rules there are. Only rules of one
//! place that differ in nothing but their conditions are gone through one by one.

mod candidates;
mod conditions;
pub mod reference;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
mod trie;

use std::collections::HashMap;

use model::{HostPattern, Matching, PathPattern, Segment};

use self::candidates::{Candidate, Candidates};
pub(crate) use self::conditions::cookie;
use self::trie::Node;
use crate::http::split_port;

/// What a request says that rules look at.
pub trait Asked {
    /// The host that it names, in any case, with or without a port.
    fn host(&self) -> &[u8];
    /// Its path and query, or `*`.
    fn path_and_query(&self) -> &[u8];
    /// Its method.
    fn method(&self) -> &[u8];
    /// Whether it came in TLS.
    fn is_secure(&self) -> bool {
        false
    }
    /// Whether one of its fields of this name, which is in lower case, passes `test`.
    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// A request that came in TLS.
pub(crate) struct InTls<'a>(pub(crate) &'a dyn Asked);

impl Asked for InTls<'_> {
    fn host(&self) -> &[u8] {
        self.0.host()
    }
    fn path_and_query(&self) -> &[u8] {
        self.0.path_and_query()
    }
    fn method(&self) -> &[u8] {
        self.0.method()
    }
    fn is_secure(&self) -> bool {
        true
    }
    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.any_field(name, test)
    }
}

/// The longest host name there is, without a dot at its end.
const LONGEST_HOST: usize = 253;
/// More labels than a host can have.
const MOST_LABELS: usize = 128;

/// Values under rules, each under a key of its own too.
#[derive(Debug)]
pub struct Table<T> {
    hosts: HashMap<Box<[u8]>, Paths<T>>,
    /// Rules for all hosts below a domain, by the domain.
    domains: HashMap<Box<[u8]>, Paths<T>>,
    /// How many labels the longest of them has.
    most_labels: usize,
    any: Paths<T>,
    /// Where the rule of each key is.
    places: HashMap<String, (HostPattern, PathPattern)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            domains: HashMap::new(),
            most_labels: 0,
            any: Paths::default(),
            places: HashMap::new(),
        }
    }
}

impl<T> Table<T> {
    /// Sets the rule of `key`; of those that are equally specific the lowest `order` is first.
    pub fn set(&mut self, key: &str, matching: &Matching, order: u32, value: T) {
        self.remove(key);
        let place = (matching.host.clone(), matching.path.clone());
        let candidate = Candidate::new(key, matching, order, value);
        let paths = match &place.0 {
            HostPattern::Exact(host) => self.hosts.entry(host.as_str().as_bytes().into()),
            HostPattern::Below(host) => self.domains.entry(host.as_str().as_bytes().into()),
            HostPattern::Any => {
                self.any.insert(&place.1, candidate);
                self.places.insert(key.to_owned(), place);
                return;
            }
        };
        paths.or_default().insert(&place.1, candidate);
        self.places.insert(key.to_owned(), place);
        self.count_labels();
    }

    /// Removes the rule of `key`, if there is one.
    pub fn remove(&mut self, key: &str) {
        let Some((host, path)) = self.places.remove(key) else {
            return;
        };
        let (map, host) = match &host {
            HostPattern::Exact(host) => (&mut self.hosts, host),
            HostPattern::Below(host) => (&mut self.domains, host),
            HostPattern::Any => return self.any.remove(&path, key),
        };
        let host = host.as_str().as_bytes();
        if let Some(paths) = map.get_mut(host) {
            paths.remove(&path, key);
            if paths.is_empty() {
                map.remove(host);
            }
        }
        self.count_labels();
    }

    fn count_labels(&mut self) {
        let labels = |domain: &[u8]| memchr::memchr_iter(b'.', domain).count() + 1;
        let counts = self.domains.keys().map(|domain| labels(domain));
        self.most_labels = counts.max().unwrap_or_default();
    }

    /// The value of the rule that `asked` is for.
    pub fn find(&self, asked: &dyn Asked) -> Option<&T> {
        let (host, _) = split_port(asked.host());
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut lower = [0; LONGEST_HOST];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let path = path(asked.path_and_query());
        let in_host = self.hosts.get(&*lower).and_then(|p| p.find(path, asked));
        in_host
            .or_else(|| self.find_below(lower, path, asked))
            .or_else(|| self.any.find(path, asked))
    }

    /// The value among the rules of the domains that `host` is below, the longest first.
    fn find_below(&self, host: &[u8], path: &[u8], asked: &dyn Asked) -> Option<&T> {
        let mut starts = [0; MOST_LABELS];
        let mut count = 0;
        let dots = memchr::memrchr_iter(b'.', host).take(self.most_labels);
        for (start, dot) in starts.iter_mut().zip(dots) {
            (*start, count) = (dot + 1, count + 1);
        }
        let mut domains = starts[..count].iter().rev().map(|start| &host[*start..]);
        domains.find_map(|domain| self.domains.get(domain)?.find(path, asked))
    }
}

/// The path, without query. `OPTIONS *` asks about the whole host, like its root.
fn path(path_and_query: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    match &path_and_query[..end] {
        b"*" => b"/",
        path => path,
    }
}

/// The rules of one host.
#[derive(Debug)]
struct Paths<T> {
    exact: HashMap<Box<[u8]>, Candidates<T>>,
    templates: Node<T>,
    prefixes: Node<T>,
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            templates: Node::default(),
            prefixes: Node::default(),
        }
    }
}

/// The segments of a prefix.
fn literals(prefix: &str) -> Vec<Segment<'_>> {
    let segments = prefix.split('/').filter(|segment| !segment.is_empty());
    segments.map(Segment::Literal).collect()
}

impl<T> Paths<T> {
    fn insert(&mut self, path: &PathPattern, candidate: Candidate<T>) {
        match path {
            PathPattern::Exact { exact } => {
                let path = exact.as_str().as_bytes().into();
                self.exact.entry(path).or_default().insert(candidate);
            }
            PathPattern::Template { template } => {
                let segments: Vec<_> = template.segments().collect();
                self.templates.insert(&segments, candidate);
            }
            PathPattern::Prefix(prefix) => {
                self.prefixes.insert(&literals(prefix.as_str()), candidate);
            }
        }
    }

    fn remove(&mut self, path: &PathPattern, key: &str) {
        match path {
            PathPattern::Exact { exact } => {
                let path = exact.as_str().as_bytes();
                if let Some(candidates) = self.exact.get_mut(path) {
                    candidates.remove(key);
                    if candidates.is_empty() {
                        self.exact.remove(path);
                    }
                }
            }
            PathPattern::Template { template } => {
                let segments: Vec<_> = template.segments().collect();
                self.templates.remove(&segments, key);
            }
            PathPattern::Prefix(prefix) => {
                self.prefixes.remove(&literals(prefix.as_str()), key);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.templates.is_empty() && self.prefixes.is_empty()
    }

    fn find(&self, path: &[u8], asked: &dyn Asked) -> Option<&T> {
        let exact = self.exact.get(path).and_then(|c| c.first(asked));
        let found = exact
            .or_else(|| self.templates.best(path, asked))
            .or_else(|| self.prefixes.longest(path, asked));
        found.map(|candidate| &candidate.value)
    }
}
