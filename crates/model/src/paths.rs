//! Paths of the edge's rules: prefixes, one path, and templates of paths.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest pattern of a path, in bytes.
const LONGEST: usize = 1024;
/// How many segments a template may have: what fits it is looked for segment by segment.
pub const MOST_SEGMENTS: usize = 32;

/// Whether `segment` can be part of a path that is compared byte by byte.
pub(crate) fn is_segment(segment: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
}

/// A path that begins with `/` and does not end with one, unless it is `/` itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(String);

/// A text is not a path prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path begins with \"/\" and has no empty, \".\" or \"..\" segment, query, fragment, \
     space or control character"
)]
pub struct BadPath;

impl PathPrefix {
    /// Checks `text`; one `/` at its end is dropped, since `/api` and `/api/` match alike.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        let inner = text.strip_prefix('/').ok_or(BadPath)?;
        if inner.is_empty() {
            return Ok(Self::root());
        }
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if text.len() > 1024 || !inner.split('/').all(is_segment) {
            return Err(BadPath);
        }
        Ok(Self(format!("/{inner}")))
    }

    /// The prefix of every path.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` is this prefix or lies below it, by whole segments: `/api` matches `/api`
    /// and `/api/1`, not `/apis`.
    pub fn matches(&self, path: &str) -> bool {
        if self.0 == "/" {
            return path.starts_with('/');
        }
        match path.strip_prefix(&self.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = BadPath;
    fn try_from(text: String) -> Result<Self, BadPath> {
        Self::new(&text)
    }
}

impl From<PathPrefix> for String {
    fn from(path: PathPrefix) -> Self {
        path.0
    }
}

/// One path. It may end in `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExactPath(String);

impl ExactPath {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        let inner = text.strip_prefix('/').ok_or(BadPath)?;
        let segments = inner.strip_suffix('/').unwrap_or(inner);
        let is_root = inner.is_empty();
        if text.len() > LONGEST || !(is_root || segments.split('/').all(is_segment)) {
            return Err(BadPath);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ExactPath {
    type Error = BadPath;
    fn try_from(text: String) -> Result<Self, BadPath> {
        Self::new(&text)
    }
}

impl From<ExactPath> for String {
    fn from(path: ExactPath) -> Self {
        path.0
    }
}

/// Paths of certain segments, some of which may be anything: `/users/{id}/files/{rest...}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(String);

/// One segment of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// This text.
    Literal(&'a str),
    /// Any one segment that is not empty, `{name}`.
    One(&'a str),
    /// All that follows, also nothing, `{name...}`. Only the last.
    Rest(&'a str),
}

/// A text is not a template of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// It would be no path without its names.
    #[error("{0}")]
    Path(BadPath),
    /// A brace is not at the edge of a segment, or has no counterpart.
    #[error("a name in braces stands for a whole segment, as in \"/users/{{id}}\"")]
    Braces,
    /// A name has other letters.
    #[error("a name in braces has 1 to 40 lower-case letters, digits and \"_\", a letter first")]
    Name,
    /// A name is there twice.
    #[error("each name in braces stands once")]
    Twice,
    /// Something follows the rest.
    #[error("\"{{name...}}\" stands for all that follows and so is the last segment")]
    Rest,
    /// No segment has a name.
    #[error("no segment has a name in braces")]
    Plain,
    /// It has more than [`MOST_SEGMENTS`].
    #[error("a template has at most 32 segments")]
    TooMany,
}

impl Template {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, BadTemplate> {
        let inner = text.strip_prefix('/').ok_or(BadTemplate::Path(BadPath))?;
        if text.len() > LONGEST {
            return Err(BadTemplate::Path(BadPath));
        }
        let count = inner.split('/').count();
        if count > MOST_SEGMENTS {
            return Err(BadTemplate::TooMany);
        }
        let mut names = BTreeSet::new();
        for (index, segment) in inner.split('/').enumerate() {
            let name = match check(segment)? {
                Segment::Literal(_) => continue,
                Segment::Rest(_) if index + 1 < count => return Err(BadTemplate::Rest),
                Segment::One(name) | Segment::Rest(name) => name,
            };
            if !names.insert(name) {
                return Err(BadTemplate::Twice);
            }
        }
        match names.is_empty() {
            true => Err(BadTemplate::Plain),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// Its segments in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        // The first is what is in front of the first slash.
        self.0.split('/').skip(1).map(read)
    }

    /// Itself without its names, which matter to no request.
    pub(crate) fn shape(&self) -> String {
        let segments = self.segments().map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::One(_) => "/{}".to_owned(),
            Segment::Rest(_) => "/{...}".to_owned(),
        });
        segments.collect()
    }
}

fn read(segment: &str) -> Segment<'_> {
    let inner = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    match inner.map(|name| (name, name.strip_suffix("..."))) {
        None => Segment::Literal(segment),
        Some((_, Some(name))) => Segment::Rest(name),
        Some((name, None)) => Segment::One(name),
    }
}

fn check(segment: &str) -> Result<Segment<'_>, BadTemplate> {
    let read = read(segment);
    match read {
        Segment::Literal(text) if text.contains(['{', '}']) => Err(BadTemplate::Braces),
        Segment::Literal(text) if !is_segment(text) => Err(BadTemplate::Path(BadPath)),
        Segment::Literal(_) => Ok(read),
        Segment::One(name) | Segment::Rest(name) => {
            let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
            match begins && name.len() <= 40 && name.bytes().all(letters) {
                true => Ok(read),
                false if name.contains(['{', '}']) => Err(BadTemplate::Braces),
                false => Err(BadTemplate::Name),
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Template {
    type Error = BadTemplate;
    fn try_from(text: String) -> Result<Self, BadTemplate> {
        Self::new(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments() {
        let api = PathPrefix::new("/api/").unwrap();
        assert_eq!(api.as_str(), "/api");
        assert!(api.matches("/api") && api.matches("/api/1"));
        assert!(!api.matches("/apis") && !api.matches("/"));
        assert!(PathPrefix::root().matches("/anything"));
    }

    #[test]
    fn a_prefix_cannot_climb_or_carry_a_query() {
        for bad in ["", "api", "/a/../b", "/a//b", "/a?b", "/a#b", "/a b", "/."] {
            assert!(PathPrefix::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_path_is_one_path() {
        for good in ["/", "/a", "/a/", "/a/b.txt", "/{a}"] {
            assert_eq!(ExactPath::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a", "//", "/a//", "/a/../b", "/a?b", "/a b", "/é"] {
            assert!(ExactPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_template_has_names_for_whole_segments() {
        let template = Template::new("/users/{id}/files/{path...}").unwrap();
        let segments: Vec<_> = template.segments().collect();
        let (users, files) = (Segment::Literal("users"), Segment::Literal("files"));
        assert_eq!(
            segments,
            [users, Segment::One("id"), files, Segment::Rest("path")]
        );
        assert_eq!(template.shape(), "/users/{}/files/{...}");
        for (bad, error) in [
            ("users/{id}", BadTemplate::Path(BadPath)),
            ("/users//{id}", BadTemplate::Path(BadPath)),
            ("/users/{id}/", BadTemplate::Path(BadPath)),
            ("/{a}/../b", BadTemplate::Path(BadPath)),
            ("/users/v{id}", BadTemplate::Braces),
            ("/users/{id", BadTemplate::Braces),
            ("/users/{{id}}", BadTemplate::Braces),
            ("/users/{}", BadTemplate::Name),
            ("/users/{Id}", BadTemplate::Name),
            ("/users/{...}", BadTemplate::Name),
            ("/users/{id}/{id}", BadTemplate::Twice),
            ("/{rest...}/users", BadTemplate::Rest),
            ("/users", BadTemplate::Plain),
            (&"/{a}".repeat(33), BadTemplate::TooMany),
        ] {
            assert_eq!(Template::new(bad), Err(error), "{bad:?}");
        }
    }
}
