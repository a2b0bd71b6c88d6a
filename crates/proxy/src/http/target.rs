//! Request targets (RFC 9112 section 3.2) and `Host` (RFC 9110 section 7.2).

use super::refusal::Refusal;
use crate::limits::TARGET_BYTES;

/// A request target, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// What replaces `Host`, from a target in absolute form.
    pub(crate) authority: Option<&'a str>,
    /// Path and query as they are sent on; `*` in asterisk form.
    pub(crate) path_and_query: &'a str,
}

/// Takes a request target apart.
pub(crate) fn parse<'a>(method: &str, target: &'a str) -> Result<Target<'a>, Refusal> {
    if target.len() > TARGET_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    if target.starts_with('/') {
        check_path_and_query(target)?;
        return Ok(Target {
            authority: None,
            path_and_query: target,
        });
    }
    if target == "*" {
        return match method {
            "OPTIONS" => Ok(Target {
                authority: None,
                path_and_query: target,
            }),
            _ => Err(Refusal::Target("only OPTIONS can ask for \"*\"")),
        };
    }
    absolute(target)
}

fn absolute(target: &str) -> Result<Target<'_>, Refusal> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(Refusal::Target(
            "it is neither a path, nor \"*\", nor an http URL",
        ));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Refusal::Target("its scheme is neither http nor https"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(end);
    check_host(authority.as_bytes())?;
    let path_and_query = match path_and_query {
        // What is returned is part of the target, whose position is asked for later.
        "" => &target[scheme.len() + 2..scheme.len() + 3],
        path if path.starts_with('/') => path,
        _ => return Err(Refusal::Target("an absolute URL has a query but no path")),
    };
    check_path_and_query(path_and_query)?;
    Ok(Target {
        authority: Some(authority),
        path_and_query,
    })
}

/// What a target may not have because somebody behind us may read it otherwise than we do.
/// Bytes that RFC 3986 wants escaped but that browsers send raw (such as `|` and `{`) pass.
fn check_path_and_query(text: &str) -> Result<(), Refusal> {
    let mut in_path = true;
    for byte in text.bytes() {
        match byte {
            b'?' => in_path = false,
            b'#' => return Err(Refusal::Target("it has a fragment")),
            b'\\' if in_path => return Err(Refusal::Target("its path has a backslash")),
            b'"' | b'<' | b'>' => return Err(Refusal::Target("it has an unescaped delimiter")),
            0x21..=0x7e => {}
            _ => return Err(Refusal::Target("it has a byte that is not printable ASCII")),
        }
    }
    if climbs(text) {
        return Err(Refusal::Target("its path has a \"..\" segment"));
    }
    Ok(())
}

/// Whether a segment of the path is ".." in any spelling that some server resolves: escaped, with
/// escaped slashes around it, or with parameters. A route exposes what is below its prefix, and
/// such a path would lead out of it. Clients resolve these segments before they send.
fn climbs(path_and_query: &str) -> bool {
    // How many dots the segment consists of so far; none when it has other bytes.
    let mut dots = Some(0);
    let mut rest = path_and_query.as_bytes();
    while let [byte, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'%', b'2', b'e' | b'E', after @ ..] => (b'.', after),
            [b'%', b'2', b'f' | b'F', after @ ..] => (b'/', after),
            [b'%', b'5', b'c' | b'C', after @ ..] => (b'/', after),
            _ => (*byte, after),
        };
        match byte {
            b'/' | b';' | b'?' if dots == Some(2) => return true,
            b'?' => return false,
            b'/' => dots = Some(0),
            b'.' => dots = dots.map(|count| count + 1),
            _ => dots = None,
        }
        rest = after;
    }
    dots == Some(2)
}

/// Checks `host [":" port]`: a name of letters, digits and `-._~%`, or an IP literal.
pub(crate) fn check_host(value: &[u8]) -> Result<(), Refusal> {
    const INVALID: Refusal = Refusal::Host("Host is not a host name with an optional port");
    let (host, port) = split_port(value);
    let valid_host = match host {
        [b'[', literal @ .., b']'] => {
            !literal.is_empty()
                && literal
                    .iter()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        name => {
            !name.is_empty()
                && name
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(b))
        }
    };
    let valid_port = port.is_none_or(|p| p.len() <= 5 && p.iter().all(u8::is_ascii_digit));
    if valid_host && valid_port && host.len() <= 255 {
        Ok(())
    } else {
        Err(INVALID)
    }
}

/// Checks what is to cross between HTTP/1.1 and HTTP/2 as a host: [`check_host`], less what
/// readers of `:authority` do not take for one, which are escapes and more groups than an address
/// has.
pub(crate) fn check_authority(value: &[u8]) -> Result<(), Refusal> {
    check_host(value)?;
    let (host, _) = split_port(value);
    let colons = host.iter().filter(|&&byte| byte == b':').count();
    if colons > 8 || host.contains(&b'%') {
        return Err(Refusal::Host("Host cannot be sent in HTTP/2"));
    }
    Ok(())
}

/// Checks a path with its query, taken from a target that was parsed, that is to cross between
/// HTTP/1.1 and HTTP/2: readers of `:path` do not take a backtick in the path itself.
pub(crate) fn check_crossing(path_and_query: &str) -> Result<(), Refusal> {
    match memchr::memchr2(b'`', b'?', path_and_query.as_bytes()) {
        Some(at) if path_and_query.as_bytes()[at] == b'`' => {
            Err(Refusal::Target("it cannot be sent in HTTP/2"))
        }
        _ => Ok(()),
    }
}

/// Separates a host from its port.
pub(crate) fn split_port(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let name_end = match value.first() {
        Some(b'[') => value
            .iter()
            .position(|&b| b == b']')
            .map_or(value.len(), |at| at + 1),
        _ => value.iter().position(|&b| b == b':').unwrap_or(value.len()),
    };
    match value[name_end..].split_first() {
        Some((b':', port)) => (&value[..name_end], Some(port)),
        Some(_) => (value, None),
        None => (value, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_taken_apart() {
        let origin = parse("GET", "/a/b?c=|{}").unwrap();
        assert_eq!(
            (origin.authority, origin.path_and_query),
            (None, "/a/b?c=|{}")
        );
        let absolute = parse("GET", "HTTP://Shop.test:80/a?b").unwrap();
        assert_eq!(
            (absolute.authority, absolute.path_and_query),
            (Some("Shop.test:80"), "/a?b")
        );
        assert_eq!(parse("GET", "http://a").unwrap().path_and_query, "/");
        let bare = "https://a.test";
        let path = parse("GET", bare).unwrap().path_and_query;
        assert!(bare.as_bytes().as_ptr_range().contains(&path.as_ptr()));
        assert_eq!(parse("OPTIONS", "*").unwrap().path_and_query, "*");
    }

    #[test]
    fn other_targets_are_refused() {
        for bad in [
            "*",
            "a",
            "a/b",
            "//",
            "/a#b",
            "/a\\b",
            "/\"",
            "/<",
            "/é",
            "ftp://a/",
            "http://",
            "http:///a",
            "http://u@a/",
            "http://a?b",
            "http://a#b",
            "http://a b/",
        ] {
            let refused = parse("GET", bad);
            assert!(refused.is_err() || bad == "//", "{bad:?} gave {refused:?}");
        }
        assert_eq!(parse("CONNECT", "a:443"), Err(Refusal::Connect));
        let long = format!("/{}", "a".repeat(TARGET_BYTES));
        assert_eq!(parse("GET", &long), Err(Refusal::TargetTooLong));
    }

    #[test]
    fn a_path_that_climbs_is_refused_in_any_spelling() {
        for bad in [
            "/..",
            "/../a",
            "/a/..",
            "/a/..?b",
            "/a/%2e./b",
            "/a/.%2E/b",
            "/a/%2e%2e",
            "/a/..;x=1/b",
            "/a/..%2fb",
            "/a%2F..%5Cb",
            "http://a/..",
        ] {
            assert!(parse("GET", bad).is_err(), "{bad}");
        }
        let dots = ".".repeat(1000);
        for good in [
            "/...",
            "/a..",
            "/..a",
            "/.",
            "/a/./b",
            "/.well-known",
            "/a?/../b",
            "/%252e%252e",
            "/;..",
            &format!("/{dots}"),
        ] {
            assert!(parse("GET", good).is_ok(), "{good}");
        }
    }

    #[test]
    fn hosts_are_names_or_literals_with_an_optional_port() {
        for good in [
            "a",
            "a.b:80",
            "a_b",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "a:",
        ] {
            assert_eq!(check_host(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a,b", "a/b", "u@a", "a:b", "a:123456", "[::1", "[]", "[::1]x",
            "a:1:2",
        ] {
            assert!(check_host(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn less_crosses_between_versions() {
        for good in [
            "a",
            "a.b:80",
            "[::1]:80",
            "[1:2:3:4:5:6:7:8]:80",
            "[1:2:3:4:5:6:7::]",
        ] {
            assert_eq!(check_authority(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a\tb",
            "a\0",
            "a\r\nb",
            "u@a",
            "u:p@a:1",
            "a#b",
            "a\"b",
            "a<b",
            "a>b",
            "a/b",
            "a?b",
            "\u{e9}",
            "a\u{7f}",
            "a%41",
            "%",
            "[::%25a]",
            "[:::::::::]",
            "[1:2:3:4:5:6:7:8:9:a]",
            "a:b",
            "a\\b",
            "a`b",
        ] {
            assert!(check_authority(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for good in ["/", "*", "/a?`", "/a|{}^?b|{}^`"] {
            assert_eq!(check_crossing(good), Ok(()), "{good}");
        }
        for bad in ["/`", "/a`?b"] {
            assert!(check_crossing(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_crosses_that_a_library_for_urls_does_not_take() {
        for pair in 0..=u16::MAX {
            let pair = pair.to_be_bytes();
            for around in [["a", "b"], ["", ""], ["[:", ":]"], ["a:", "1"]] {
                let host = [around[0].as_bytes(), &pair, around[1].as_bytes()].concat();
                let known = http::uri::Authority::try_from(&host[..]);
                let known = known.is_ok_and(|known| known.as_str().as_bytes() == host);
                assert!(known || check_authority(&host).is_err(), "{host:?}");
            }
            let Ok(pair) = str::from_utf8(&pair) else {
                continue;
            };
            for before in ["", "/", "/?", "/a/"] {
                let path = format!("{before}{pair}");
                let ours = path.starts_with('/')
                    && parse("GET", &path).is_ok()
                    && check_crossing(&path).is_ok();
                let known = http::uri::PathAndQuery::try_from(&path[..]);
                let known = known.is_ok_and(|known| known.as_str() == path);
                assert!(known || !ours, "{path:?}");
            }
        }
    }
}
