//! Rules of the edge: which requests one is for, and what is done with them.
//!
//! An `expose` of the spec is the rule of a host and a path prefix without conditions. In an app a
//! rule leads to services by name, in a snapshot to upstreams.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::fields::FieldName;
use crate::host::Host;
use crate::mirror::Mirror;
use crate::paths::{ExactPath, PathPrefix, Template};
use crate::treatment::{Redirect, Treatment};

/// Requests of one kind and what is done with them; `S` is what names a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule<S> {
    /// Which requests it is for.
    #[serde(flatten)]
    pub matching: Matching,
    /// Its place among rules that are as specific as it is, the lower first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order: u32,
    /// What is done with them.
    #[serde(flatten)]
    pub action: Action<S>,
    /// What is changed on the way.
    #[serde(flatten)]
    pub treatment: Treatment,
    /// Where copies of requests go.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror<S>>,
    /// What is shown in place of errors, in a snapshot: a key of its `error_pages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_pages: Option<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action<S> {
    /// It goes to this service.
    Upstream(S),
    /// It goes to one of these services, at random.
    Split(Vec<Share<S>>),
    /// Its client is told to ask elsewhere.
    Redirect(Redirect),
}

/// One of the services that share the requests of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share<S> {
    /// The service.
    pub service: S,
    /// How much of the sum of all weights it gets.
    pub weight: u16,
}

impl<S> Rule<S> {
    /// All requests for `host` whose path begins with `path` go to one service: what `expose` says.
    pub fn exposing(host: Host, path: PathPrefix, service: S) -> Self {
        Self {
            matching: Matching::of(HostPattern::Exact(host), PathPattern::Prefix(path)),
            order: 0,
            action: Action::Upstream(service),
            treatment: Treatment::default(),
            mirror: None,
            error_pages: None,
        }
    }

    /// The same rule with other names for the services that it leads to.
    pub fn map<T>(&self, name: impl Fn(&S) -> T) -> Rule<T> {
        let name = &name;
        let action = match &self.action {
            Action::Upstream(service) => Action::Upstream(name(service)),
            Action::Split(shares) => {
                let shares = shares.iter();
                let share = |share: &Share<S>| Share {
                    service: name(&share.service),
                    weight: share.weight,
                };
                Action::Split(shares.map(share).collect())
            }
            Action::Redirect(redirect) => Action::Redirect(redirect.clone()),
        };
        Rule {
            matching: self.matching.clone(),
            order: self.order,
            action,
            treatment: self.treatment.clone(),
            mirror: self.mirror.as_ref().map(|mirror| mirror.map(name)),
            error_pages: self.error_pages.clone(),
        }
    }

    /// The services that requests may be sent to, without that of copies.
    pub fn services(&self) -> impl Iterator<Item = &S> {
        let (one, shares) = match &self.action {
            Action::Upstream(service) => (Some(service), &[][..]),
            Action::Split(shares) => (None, &shares[..]),
            Action::Redirect(_) => (None, &[][..]),
        };
        let used = shares.iter().filter(|share| share.weight > 0);
        one.into_iter().chain(used.map(|share| &share.service))
    }
}

/// Which requests a rule is for: those that fulfil all that it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching {
    /// The hosts that they name, compared without case and port.
    pub host: HostPattern,
    /// Their paths, without query.
    pub path: PathPattern,
    /// Their methods; any, if it is empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<Method>,
    /// Fields that they have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<FieldName, Test>,
    /// Parameters of their query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Test>,
    /// Cookies that they have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cookies: BTreeMap<String, Test>,
    /// They come in the clear, not in TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_clear: bool,
}

/// What is asked of a field, parameter or cookie. Where there are several of one name, one of them
/// has to pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// It has this value.
    Exact(String),
    /// Its value begins so.
    Prefix(String),
    /// It is there.
    Present,
}

impl Test {
    /// Whether everything that passes `self` passes `other` too.
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Present) => true,
            (Self::Exact(text), Self::Exact(other)) => text == other,
            (Self::Exact(text) | Self::Prefix(text), Self::Prefix(start)) => {
                text.starts_with(start.as_str())
            }
            (Self::Prefix(_) | Self::Present, _) => false,
        }
    }
}

impl Matching {
    /// All requests for a host and path.
    pub fn of(host: HostPattern, path: PathPattern) -> Self {
        Self {
            host,
            path,
            methods: BTreeSet::new(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            cookies: BTreeMap::new(),
            in_clear: false,
        }
    }

    /// How many conditions there are beside host and path.
    pub fn conditions(&self) -> usize {
        let simple = [!self.methods.is_empty(), self.in_clear];
        let simple = simple.into_iter().filter(|is_there| *is_there).count();
        simple + self.headers.len() + self.query.len() + self.cookies.len()
    }

    /// Host and path as text, alike where they are for the same requests.
    pub fn place(&self) -> String {
        format!("{}{}", self.host, self.path.shape())
    }

    /// Whether every request that this is for is one of `earlier` too, which comes first where
    /// both are equally specific: then this never has one.
    pub fn is_shadowed_by(&self, earlier: &Self) -> bool {
        let tests = |mine: &BTreeMap<_, _>, others: &BTreeMap<_, _>| implied(mine, others);
        self.host == earlier.host
            && self.path.shape() == earlier.path.shape()
            && self.conditions() == earlier.conditions()
            && (earlier.methods.is_empty()
                || !self.methods.is_empty() && self.methods.is_subset(&earlier.methods))
            && (self.in_clear || !earlier.in_clear)
            && implied(&self.headers, &earlier.headers)
            && tests(&self.query, &earlier.query)
            && tests(&self.cookies, &earlier.cookies)
    }

    /// Whether the two are for exactly the same requests.
    pub fn is_same(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Whether who passes all of `tests` passes all of `others`.
fn implied<K: Ord>(tests: &BTreeMap<K, Test>, others: &BTreeMap<K, Test>) -> bool {
    let mut others = others.iter();
    others.all(|(name, other)| tests.get(name).is_some_and(|test| test.implies(other)))
}

/// Alike for two that are for the same requests, and for no others.
impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        let mut separator = ' ';
        for method in &self.methods {
            write!(f, "{separator}{method}")?;
            separator = ',';
        }
        if self.in_clear {
            f.write_str(" in the clear")?;
        }
        let headers = self
            .headers
            .iter()
            .map(|(name, test)| (name.as_str(), test));
        write_tests(f, "header", headers)?;
        let plain = |tests: &BTreeMap<String, Test>| -> Vec<(String, Test)> {
            tests.clone().into_iter().collect()
        };
        for (kind, tests) in [
            ("query", plain(&self.query)),
            ("cookie", plain(&self.cookies)),
        ] {
            write_tests(f, kind, tests.iter().map(|(name, test)| (&name[..], test)))?;
        }
        Ok(())
    }
}

fn write_tests<'a>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    tests: impl Iterator<Item = (&'a str, &'a Test)>,
) -> fmt::Result {
    for (name, test) in tests {
        // Quoted where they might run into what follows.
        match test {
            Test::Exact(text) => write!(f, " {kind} {name:?}={text:?}")?,
            Test::Prefix(text) => write!(f, " {kind} {name:?}={text:?}…")?,
            Test::Present => write!(f, " {kind} {name:?}")?,
        }
    }
    Ok(())
}

/// The hosts of a rule: one, those below a domain, or any. Written `a.test`, `*.a.test`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// This one.
    Exact(Host),
    /// All that have one or more labels in front of this.
    Below(Host),
    /// All.
    Any,
}

/// A text is not a pattern of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHostPattern {
    /// `*` is somewhere within it.
    #[error("\"*\" stands for whole labels at the beginning, as in \"*.example.com\", or alone")]
    Wildcard,
    /// What is no wildcard is no host.
    #[error("{0}")]
    Host(#[from] crate::host::BadHost),
}

impl HostPattern {
    /// Checks `text`, which may be in any case.
    pub fn new(text: &str) -> Result<Self, BadHostPattern> {
        match text.strip_prefix("*.") {
            _ if text == "*" => Ok(Self::Any),
            Some(rest) if rest.contains('*') => Err(BadHostPattern::Wildcard),
            Some(rest) => Ok(Self::Below(Host::new(rest)?)),
            None if text.contains('*') => Err(BadHostPattern::Wildcard),
            None => Ok(Self::Exact(Host::new(text)?)),
        }
    }

    /// The one host that it is for, where there is only one.
    pub fn exact(&self) -> Option<&Host> {
        match self {
            Self::Exact(host) => Some(host),
            Self::Below(_) | Self::Any => None,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Any => f.write_char('*'),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = BadHostPattern;
    fn try_from(text: String) -> Result<Self, BadHostPattern> {
        Self::new(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// The paths of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PathPattern {
    /// Those that begin so, by whole segments.
    Prefix(PathPrefix),
    /// This one.
    Exact {
        /// The path.
        exact: ExactPath,
    },
    /// Those that have these segments.
    Template {
        /// The segments.
        template: Template,
    },
}

impl PathPattern {
    /// Itself as text, alike where it is for the same paths.
    fn shape(&self) -> String {
        match self {
            Self::Prefix(prefix) => prefix.to_string(),
            Self::Exact { exact } => format!("={exact}"),
            Self::Template { template } => format!("~{}", template.shape()),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Exact { exact } => exact.fmt(f),
            Self::Template { template } => template.fmt(f),
        }
    }
}

/// A method of HTTP: capitals and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

/// A text is not a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method is 1 to 32 capital letters and hyphens, and not CONNECT")]
pub struct BadMethod;

impl Method {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, BadMethod> {
        let letters = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        match letters && (1..=32).contains(&text.len()) && text != "CONNECT" {
            true => Ok(Self(text.to_owned())),
            false => Err(BadMethod),
        }
    }

    /// The method as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Method {
    type Error = BadMethod;
    fn try_from(text: String) -> Result<Self, BadMethod> {
        Self::new(&text)
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(host: &str, path: &str) -> Matching {
        let path = PathPattern::Prefix(PathPrefix::new(path).unwrap());
        Matching::of(HostPattern::new(host).unwrap(), path)
    }

    #[test]
    fn a_pattern_of_hosts_has_its_wildcard_in_front() {
        for good in ["a.test", "*.a.test", "*"] {
            assert_eq!(HostPattern::new(good).unwrap().to_string(), good);
        }
        for bad in [
            "", "*.", "**", "a.*", "*a.test", "*.*.test", "a*.test", "*.a:80",
        ] {
            assert!(HostPattern::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_route_of_an_older_snapshot_is_read_as_it_was_meant() {
        let old = r#"{"host":"a.test","path":"/x","upstream":"app/web"}"#;
        let rule: Rule<crate::UpstreamId> = serde_json::from_str(old).unwrap();
        let id = crate::UpstreamId::try_from("app/web".to_owned()).unwrap();
        let host = Host::new("a.test").unwrap();
        let expected = Rule::exposing(host, PathPrefix::new("/x").unwrap(), id);
        assert_eq!(rule, expected);
        assert_eq!(serde_json::to_string(&rule).unwrap(), old);
    }

    #[test]
    fn a_rule_is_shadowed_by_one_that_takes_all_of_its_requests() {
        let with = |name: &str, test: Test| {
            let mut matching = matching("a.test", "/x");
            matching.query.insert(name.to_owned(), test);
            matching
        };
        let exact = |text: &str| Test::Exact(text.to_owned());
        let prefix = |text: &str| Test::Prefix(text.to_owned());
        let one = with("v", exact("12"));
        for earlier in [exact("12"), prefix("1"), Test::Present] {
            assert!(one.is_shadowed_by(&with("v", earlier)));
        }
        for earlier in [exact("1"), prefix("2")] {
            assert!(!one.is_shadowed_by(&with("v", earlier)));
        }
        assert!(!with("v", Test::Present).is_shadowed_by(&one));
        assert!(!one.is_shadowed_by(&with("w", exact("12"))));
        // One with fewer conditions is asked later, wherever it stands.
        assert!(!one.is_shadowed_by(&matching("a.test", "/x")));
        let mut get = matching("a.test", "/x");
        get.methods.insert(Method::new("GET").unwrap());
        let mut both = get.clone();
        both.methods.insert(Method::new("PUT").unwrap());
        assert!(get.is_shadowed_by(&both) && !both.is_shadowed_by(&get));
        assert!(!get.is_shadowed_by(&one) && !one.is_shadowed_by(&get));
    }
}
