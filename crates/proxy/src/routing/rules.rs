//! What a rule changes in requests and their answers.

use std::time::Duration;

use model::{FieldChanges, PathPattern, Treatment};

use crate::http::message::{Body, RequestFacts};

/// What is changed in the requests of one rule.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The path that the service sees.
    pub(crate) path: Option<PathChange>,
    /// Fields of the request.
    pub(crate) request: FieldChanges,
    /// Fields of the answer.
    pub(crate) response: FieldChanges,
    /// How long a request waits for the head of its answer.
    pub(crate) timeout: Option<Duration>,
    /// How many bytes the content of a request may have.
    pub(crate) body_limit: u64,
    /// Answers are compressed for clients that take that.
    pub(crate) compress: bool,
    /// Answers have fields that make browsers careful.
    pub(crate) security: bool,
}

impl Rules {
    /// The changes of a rule for `path`, where it has any.
    pub(crate) fn of(path: &PathPattern, treatment: &Treatment) -> Option<Self> {
        let rewrite = treatment.rewrite.as_ref();
        (*treatment != Treatment::default()).then(|| Self {
            path: rewrite.map(|change| PathChange::of(path, change)),
            request: treatment.request_headers.clone(),
            response: treatment.response_headers.clone(),
            timeout: treatment.timeout,
            body_limit: treatment.body_limit.unwrap_or(u64::MAX),
            compress: treatment.compress,
            security: treatment.security_headers,
        })
    }

    /// Whether a request is known to have more content than it may before any of it has come.
    pub(crate) fn refuses(&self, body: Body) -> bool {
        matches!(body, Body::Length(length) if length > self.body_limit)
    }
}

/// How much content a request may have by these rules; what follows an upgrade is not content.
pub(crate) fn body_limit(rules: Option<&Rules>, facts: RequestFacts) -> u64 {
    match rules {
        Some(rules) if !facts.upgrade => rules.body_limit,
        _ => u64::MAX,
    }
}

/// What becomes of a path.
#[derive(Debug)]
pub(crate) struct PathChange {
    /// How much of it goes; none for all of it.
    cut: Option<usize>,
    /// What stands in place of that, without a slash at its end where the rest begins with one.
    text: Box<str>,
}

impl PathChange {
    /// The change of paths that fit `pattern`.
    pub(crate) fn of(pattern: &PathPattern, change: &model::PathChange) -> Self {
        let bare = |prefix: &str| prefix.trim_end_matches('/').into();
        match (change, pattern) {
            (model::PathChange::Whole(path), _) => Self {
                cut: None,
                text: path.as_str().into(),
            },
            (model::PathChange::Prefix(prefix), PathPattern::Prefix(replaced)) => Self {
                cut: Some(replaced.as_str().trim_end_matches('/').len()),
                text: bare(prefix.as_str()),
            },
            // The spec has no such rule: in front of other paths there is nothing to replace.
            (model::PathChange::Prefix(prefix), _) => Self {
                cut: Some(0),
                text: bare(prefix.as_str()),
            },
        }
    }

    /// The new path and query, in two parts.
    pub(crate) fn apply<'a>(&'a self, path_and_query: &'a [u8]) -> [&'a [u8]; 2] {
        let Some(cut) = self.cut else {
            let query = memchr::memchr(b'?', path_and_query);
            let query = query.map_or(&b""[..], |at| &path_and_query[at..]);
            return [self.text.as_bytes(), query];
        };
        let rest = match path_and_query {
            // About the whole host, which has no part to replace.
            b"*" => return [path_and_query, b""],
            path => path.get(cut..).unwrap_or_default(),
        };
        if !self.text.is_empty() {
            return [self.text.as_bytes(), rest];
        }
        // A path with two slashes in front names a host where a URL is read.
        let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
        [b"/", &rest[slashes..]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ExactPath, PathPrefix};

    #[test]
    fn a_prefix_is_replaced_or_stripped_and_the_query_stays() {
        let prefix = |path: &str| PathPrefix::new(path).unwrap();
        let changed = |from: &str, to: &str, path: &str| {
            let pattern = PathPattern::Prefix(prefix(from));
            let change = PathChange::of(&pattern, &model::PathChange::Prefix(prefix(to)));
            String::from_utf8(change.apply(path.as_bytes()).concat()).unwrap()
        };
        for (from, to, path, expected) in [
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2", "/api/a/b?c=/api", "/v2/a/b?c=/api"),
            ("/api", "/v2", "/api?c", "/v2?c"),
            ("/api", "/", "/api", "/"),
            ("/api", "/", "/api/", "/"),
            ("/api", "/", "/api?c", "/?c"),
            ("/api", "/", "/api/a", "/a"),
            ("/api", "/", "/api//evil.test/a", "/evil.test/a"),
            ("/", "/v2", "/a?b", "/v2/a?b"),
            ("/", "/v2", "/", "/v2/"),
            ("/", "/v2", "*", "*"),
            ("/", "/", "//evil.test", "/evil.test"),
        ] {
            assert_eq!(changed(from, to, path), expected, "{from} {to} {path}");
        }
        let whole = model::PathChange::Whole(ExactPath::new("/x/").unwrap());
        let change = PathChange::of(&PathPattern::Prefix(prefix("/")), &whole);
        assert_eq!(change.apply(b"/a/b?c").concat(), b"/x/?c");
        assert_eq!(change.apply(b"/a").concat(), b"/x/");
    }

    #[test]
    fn a_rule_that_changes_nothing_costs_nothing() {
        let path = PathPattern::Prefix(PathPrefix::root());
        assert!(Rules::of(&path, &Treatment::default()).is_none());
    }
}
