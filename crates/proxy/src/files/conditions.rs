//! Whether a request's conditions hold (RFC 9110 section 13).

use std::time::SystemTime;

use crate::http::field_section::FieldSection;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validators<'a> {
    /// A strong entity tag, with its quotation marks.
    pub(crate) tag: &'a str,
    /// When it was changed last, in whole seconds.
    pub(crate) modified: SystemTime,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered as if it had no conditions.
    Serve,
    /// Its client has the file already.
    NotModified,
    /// The file is not what the client takes it for.
    Failed,
}

/// Looks at the conditions in the order of section 13.2.2.
pub(crate) fn judge(fields: &FieldSection, validators: Validators<'_>) -> Verdict {
    let Validators { tag, modified } = validators;
    let any = |name: &[u8], test: fn(&[u8], &str) -> bool| {
        let mut values = fields.all(name).peekable();
        let is_there = values.peek().is_some();
        let found = values.any(|value| test(value, tag));
        is_there.then_some(found)
    };
    match any(b"if-match", has_strong) {
        Some(true) => {}
        Some(false) => return Verdict::Failed,
        None => {
            let since = date(fields, b"if-unmodified-since");
            if since.is_some_and(|since| modified > since) {
                return Verdict::Failed;
            }
        }
    }
    let is_known = any(b"if-none-match", has_weak).unwrap_or_else(|| {
        let since = date(fields, b"if-modified-since");
        since.is_some_and(|since| modified <= since)
    });
    match is_known {
        true => Verdict::NotModified,
        false => Verdict::Serve,
    }
}

/// Whether the part that is asked for is one of the same file as the parts that the client has.
pub(crate) fn may_be_part(fields: &FieldSection, validators: Validators<'_>) -> bool {
    let Some(value) = fields.get(b"if-range") else {
        return true;
    };
    match value.starts_with(b"\"") || value.starts_with(b"W/") {
        true => value == validators.tag.as_bytes(),
        false => date(fields, b"if-range") == Some(validators.modified),
    }
}

fn date(fields: &FieldSection, name: &[u8]) -> Option<SystemTime> {
    let text = str::from_utf8(fields.get(name)?).ok()?;
    httpdate::parse_http_date(text).ok()
}

fn has_strong(list: &[u8], tag: &str) -> bool {
    has(list, |is_weak, other| !is_weak && other == tag.as_bytes())
}

fn has_weak(list: &[u8], tag: &str) -> bool {
    has(list, |_, other| other == tag.as_bytes())
}

/// Whether a list of entity tags is `*` or has one that passes `test`, which is told whether it is
/// weak, and the tag with its quotation marks. Commas within them separate nothing.
fn has(list: &[u8], test: impl Fn(bool, &[u8]) -> bool) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        let start = rest.iter().position(|byte| !b", \t".contains(byte));
        rest = &rest[start.unwrap_or(rest.len())..];
        let (is_weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let Some(inner) = quoted.strip_prefix(b"\"") else {
            return false;
        };
        let Some(end) = memchr::memchr(b'"', inner) else {
            return false;
        };
        if test(is_weak, &quoted[..end + 2]) {
            return true;
        }
        rest = &quoted[end + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn section(fields: &[(&str, &str)]) -> FieldSection {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect()
    }

    fn validators() -> Validators<'static> {
        Validators {
            tag: "\"a,b\"",
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
        }
    }

    #[test]
    fn conditions_are_looked_at_in_their_order() {
        use Verdict::{Failed, NotModified, Serve};
        for (fields, expected) in [
            (&[][..], Serve),
            (&[("if-none-match", "\"a,b\"")], NotModified),
            (&[("if-none-match", "\"x\", W/\"a,b\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"x\"")], Serve),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")],
                NotModified,
            ),
            // A tag that is another counts for more than a date that is not.
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", AFTER)],
                Serve,
            ),
            (&[("if-none-match", "broken, \"a,b\"")], Serve),
            (&[("if-modified-since", THEN)], NotModified),
            (&[("if-modified-since", BEFORE)], Serve),
            (&[("if-modified-since", "yesterday")], Serve),
            (&[("if-match", "\"a,b\"")], Serve),
            (&[("if-match", "*")], Serve),
            (&[("if-match", "W/\"a,b\"")], Failed),
            (&[("if-match", "\"x\"")], Failed),
            (
                &[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)],
                Serve,
            ),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", THEN)], Serve),
            (
                &[("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")],
                NotModified,
            ),
        ] {
            assert_eq!(
                judge(&section(fields), validators()),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_part_is_sent_only_of_the_same_file() {
        for (value, expected) in [
            ("\"a,b\"", true),
            ("W/\"a,b\"", false),
            ("\"x\"", false),
            (THEN, true),
            (AFTER, false),
            ("x", false),
        ] {
            let fields = section(&[("if-range", value)]);
            assert_eq!(may_be_part(&fields, validators()), expected, "{value}");
        }
        assert!(may_be_part(&section(&[]), validators()));
    }
}
