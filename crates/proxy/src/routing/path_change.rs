//! What a rule makes of a request's path. Segments are taken over byte for byte, so nothing that was
//! escaped is read in another way further on.

use model::{PathPattern, Segment, Template};

/// What becomes of a path; the query stays.
#[derive(Debug)]
pub(crate) enum PathChange {
    /// Its first bytes give way to this, which has no slash at its end where the rest begins with one.
    Prefix { cut: usize, text: Box<str> },
    /// This stands in place of all of it.
    Whole(Box<str>),
    /// These do.
    Parts(Box<[Part]>),
}

/// A part of a new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Box<str>),
    /// The segment of this number of the old path.
    Segment(usize),
    /// All that begins with the slash in front of it.
    From(usize),
}

impl PathChange {
    /// The change of paths that fit `pattern`.
    pub(crate) fn of(pattern: &PathPattern, change: &model::PathChange) -> Self {
        let bare = |prefix: &str| prefix.trim_end_matches('/').into();
        match (change, pattern) {
            (model::PathChange::Whole(path), _) => Self::Whole(path.as_str().into()),
            (model::PathChange::Prefix(prefix), PathPattern::Prefix(replaced)) => Self::Prefix {
                cut: replaced.as_str().trim_end_matches('/').len(),
                text: bare(prefix.as_str()),
            },
            // The spec has no such rule: in front of other paths there is nothing to replace.
            (model::PathChange::Prefix(prefix), _) => Self::Prefix {
                cut: 0,
                text: bare(prefix.as_str()),
            },
            (model::PathChange::Template(new), pattern) => Self::Parts(parts(pattern, new)),
        }
    }

    /// Writes the new path and query.
    pub(crate) fn write<'a>(&'a self, path_and_query: &'a [u8], out: &mut impl FnMut(&'a [u8])) {
        // About the whole host, which has no part to replace.
        if path_and_query == b"*" && !matches!(self, Self::Whole(_)) {
            return out(path_and_query);
        }
        let query = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at(query);
        match self {
            Self::Whole(text) => out(text.as_bytes()),
            Self::Prefix { cut, text } => {
                let rest = path.get(*cut..).unwrap_or_default();
                match text.is_empty() {
                    true => write_at_root(rest, out),
                    false => {
                        out(text.as_bytes());
                        out(rest);
                    }
                }
            }
            Self::Parts(parts) => match &**parts {
                [Part::From(number)] => write_at_root(from(path, *number), out),
                parts => parts.iter().for_each(|part| match part {
                    Part::Text(text) => out(text.as_bytes()),
                    Part::Segment(number) => out(segment(path, *number)),
                    Part::From(number) => out(from(path, *number)),
                }),
            },
        }
        out(query);
    }

    /// The new path and query.
    pub(crate) fn apply(&self, path_and_query: &[u8]) -> Vec<u8> {
        let mut new = Vec::with_capacity(path_and_query.len() + 32);
        self.write(path_and_query, &mut |part| new.extend_from_slice(part));
        new
    }
}

/// Writes what is left of a path as a whole one. With two slashes in front it would name a host where
/// a URL is read.
fn write_at_root<'a>(rest: &'a [u8], out: &mut impl FnMut(&'a [u8])) {
    let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
    out(b"/");
    out(&rest[slashes..]);
}

/// The parts of `new` in paths that fit `pattern`.
fn parts(pattern: &PathPattern, new: &Template) -> Box<[Part]> {
    // The spec has no rule that names what its pattern does not have: that would be nothing.
    let place = |name: &str| {
        match pattern {
        PathPattern::Template { template } => template.segments().position(|segment| {
            matches!(segment, Segment::One(known) | Segment::Rest(known) if known == name)
        }),
        _ => None,
    }
    };
    let (mut parts, mut text) = (Vec::new(), String::new());
    let flush = |parts: &mut Vec<Part>, text: &mut String| {
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(text).into()));
        }
    };
    for segment in new.segments() {
        match segment {
            Segment::Literal(literal) => text.extend(["/", literal]),
            Segment::One(name) => {
                text.push('/');
                flush(&mut parts, &mut text);
                parts.extend(place(name).map(Part::Segment));
            }
            Segment::Rest(name) => {
                flush(&mut parts, &mut text);
                parts.extend(place(name).map(Part::From));
            }
        }
    }
    flush(&mut parts, &mut text);
    parts.into()
}

/// The segment of this number, from 0.
fn segment(path: &[u8], number: usize) -> &[u8] {
    // The first is what is in front of the first slash.
    let mut segments = path.split(|&byte| byte == b'/').skip(1);
    segments.nth(number).unwrap_or_default()
}

/// All from the slash in front of that segment.
fn from(path: &[u8], number: usize) -> &[u8] {
    let start = memchr::memchr_iter(b'/', path).nth(number);
    start.map_or(&b""[..], |start| &path[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ExactPath, PathPrefix};

    fn text(change: &PathChange, path: &str) -> String {
        String::from_utf8(change.apply(path.as_bytes())).unwrap()
    }

    #[test]
    fn a_prefix_is_replaced_or_stripped_and_the_query_stays() {
        let prefix = |path: &str| PathPrefix::new(path).unwrap();
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
            let pattern = PathPattern::Prefix(prefix(from));
            let change = PathChange::of(&pattern, &model::PathChange::Prefix(prefix(to)));
            assert_eq!(text(&change, path), expected, "{from} {to} {path}");
        }
        let whole = model::PathChange::Whole(ExactPath::new("/x/").unwrap());
        let change = PathChange::of(&PathPattern::Prefix(prefix("/")), &whole);
        assert_eq!(text(&change, "/a/b?c"), "/x/?c");
        assert_eq!(text(&change, "/a"), "/x/");
    }

    #[test]
    fn what_a_template_has_found_stands_where_its_name_does() {
        for (from, to, path, expected) in [
            ("/u/{id}", "/users/{id}", "/u/7?x=/u/8", "/users/7?x=/u/8"),
            ("/{a}/{b}", "/{b}/{a}", "/1/2", "/2/1"),
            ("/{a}/{b}", "/x/{b}/y", "/1/2", "/x/2/y"),
            ("/u/{id}", "/users/{id}", "/u/%2e%2F", "/users/%2e%2F"),
            (
                "/f/{rest...}",
                "/files/{rest...}",
                "/f/a/b/?c",
                "/files/a/b/?c",
            ),
            ("/f/{rest...}", "/files/{rest...}", "/f/", "/files/"),
            ("/f/{rest...}", "/{rest...}", "/f/", "/"),
            ("/f/{rest...}", "/{rest...}", "/f//evil.test", "/evil.test"),
            (
                "/f/{rest...}",
                "/{rest...}",
                "/f///evil.test?a",
                "/evil.test?a",
            ),
            ("/{n}/{rest...}", "/x/{n}/{rest...}", "/1/2/3", "/x/1/2/3"),
            ("/{n}/x/{rest...}", "/{n}/{rest...}", "/1/x/2", "/1/2"),
            ("/{rest...}", "/v/{rest...}", "*", "*"),
        ] {
            let template = |text: &str| Template::new(text).unwrap();
            let pattern = PathPattern::Template {
                template: template(from),
            };
            let change = PathChange::of(&pattern, &model::PathChange::Template(template(to)));
            assert_eq!(text(&change, path), expected, "{from} {to} {path}");
        }
    }
}
