//! Which file a request's path names. Pure: whatever bytes come, what results names something
//! below the folder, and nothing that is hidden.

use crate::limits::FILE_PATH_BYTES;

/// The longest name of a file (Linux allows no longer one).
const LONGEST_NAME: usize = 255;

/// Names that begin with a dot and are meant for the world (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// A path below the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The names that lead to it, with `/` between them; empty for the folder itself.
    pub path: Vec<u8>,
    /// The request's path ends with `/`: it is a folder's.
    pub is_folder: bool,
}

/// What a request for `path_and_query` wants; none where it can name no file.
///
/// Escapes are resolved once. What is hidden, climbs, has an empty name in its middle, or would be
/// read in another way by the kernel than it is here, names nothing.
pub fn wanted(path_and_query: &[u8]) -> Option<Wanted> {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    let inner = path_and_query[..end].strip_prefix(b"/")?;
    if inner.len() > FILE_PATH_BYTES {
        return None;
    }
    let mut path = Vec::with_capacity(inner.len());
    let mut segments = inner.split(|&byte| byte == b'/').peekable();
    let mut is_folder = false;
    while let Some(segment) = segments.next() {
        if segment.is_empty() {
            // Only behind the last slash.
            return segments.peek().is_none().then_some(Wanted {
                path,
                is_folder: true,
            });
        }
        let start = path.len();
        if start > 0 {
            path.push(b'/');
        }
        let name = path.len();
        decode(segment, &mut path)?;
        if !is_shown(&path[name..], start == 0) {
            return None;
        }
        is_folder = false;
    }
    Some(Wanted { path, is_folder })
}

/// Whether a file of this name may be seen.
fn is_shown(name: &[u8], is_first: bool) -> bool {
    let is_plain = |byte: &u8| !matches!(byte, b'/' | 0..=0x1f | 0x7f);
    let is_hidden = name.first() == Some(&b'.') && !(is_first && name == WELL_KNOWN);
    (1..=LONGEST_NAME).contains(&name.len()) && name.iter().all(is_plain) && !is_hidden
}

/// Appends `segment` with its escapes resolved; none where one is broken.
fn decode(segment: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                out.push(digit(*high)? << 4 | digit(*low)?);
                after
            }
            (b'%', _) => return None,
            _ => {
                out.push(*byte);
                after
            }
        };
    }
    Some(())
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    fn file(path: &str) -> Option<(String, bool)> {
        let wanted = wanted(path.as_bytes())?;
        Some((String::from_utf8(wanted.path).unwrap(), wanted.is_folder))
    }

    #[test]
    fn paths_name_files_below_the_folder() {
        for (path, name, is_folder) in [
            ("/", "", true),
            ("/?a=/../b", "", true),
            ("/a.html", "a.html", false),
            ("/a/b/?c", "a/b", true),
            ("/a%20b/%C3%A9.css", "a b/é.css", false),
            ("/a%2eb/c..d", "a.b/c..d", false),
            (
                "/.well-known/security.txt",
                ".well-known/security.txt",
                false,
            ),
            ("/a+b;c=d,e", "a+b;c=d,e", false),
        ] {
            assert_eq!(file(path), Some((name.to_owned(), is_folder)), "{path}");
        }
    }

    #[test]
    fn what_climbs_hides_or_is_read_in_two_ways_names_nothing() {
        for path in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/..",
            "/../a",
            "/a/..",
            "/%2e%2e/a",
            "/.%2e/a",
            "/%2E%2e",
            "/.",
            "/a/./b",
            "/.env",
            "/a/.git/config",
            "/%2egit",
            "/a/.well-known/b",
            "/.well-known/.a",
            "/.well-knowns",
            "/a%2fb",
            "/a%2Fb",
            "/%00",
            "/a%0ab",
            "/a%7f",
            "/a%",
            "/a%4",
            "/a%zz",
            "/%252e%252e/..",
        ] {
            assert_eq!(wanted(path.as_bytes()), None, "{path}");
        }
        // What is escaped twice is a name with a percent sign.
        assert_eq!(file("/%252e%252e"), Some(("%2e%2e".into(), false)));
        assert_eq!(wanted(format!("/{}", "a".repeat(256)).as_bytes()), None);
        assert_eq!(wanted("/a".repeat(FILE_PATH_BYTES).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_spelling_leads_out_of_the_folder_or_to_what_is_hidden(
            path in "(/|\\.|\\.\\.|%2[eEfF]|%5[cC]|%25|%00|\\\\|[a-c]|;|\\?|\\.well-known){0,12}",
        ) {
            if let Some(wanted) = wanted(format!("/{path}").as_bytes()) {
                let text = String::from_utf8(wanted.path).unwrap();
                let parts: Vec<_> = Path::new(&text).components().collect();
                prop_assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))));
                // The standard library reads it as it is meant, name by name.
                let names: Vec<_> = parts.iter().map(|p| p.as_os_str().to_str().unwrap()).collect();
                prop_assert_eq!(names.join("/"), &text[..]);
                let hidden = names.iter().enumerate().filter(|(_, name)| name.starts_with('.'));
                prop_assert!(hidden.into_iter().all(|(at, name)| at == 0 && *name == ".well-known"));
            }
        }

        #[test]
        fn any_bytes_name_something_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(wanted) = wanted(&bytes) {
                prop_assert!(!wanted.path.contains(&0) && !wanted.path.starts_with(b"/"));
            }
        }
    }
}
