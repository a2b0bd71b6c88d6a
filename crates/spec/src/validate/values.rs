//! Single values: numbers and durations within their bounds, lists without repetition, hosts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use model::Host;
use toml::Spanned;

use crate::app_file::DurationText;
use crate::duration::{self, BadDuration};
use crate::findings::{Findings, quoted};
use crate::limits::Bounds;
use crate::written::Written;

/// The number under `key`, or the usual one.
pub(super) fn number(
    key: &str,
    written: Written<i64>,
    bounds: &Bounds<u16>,
    findings: &mut Findings,
) -> u16 {
    let (span, found) = match written {
        Written::Absent => return bounds.usual,
        // Also a whole number that is too large to be read.
        Written::WrongType(span) => (span, None),
        Written::Value(value) => (value.span(), u16::try_from(value.into_inner()).ok()),
    };
    match found.filter(|found| (bounds.least..=bounds.most).contains(found)) {
        Some(number) => number,
        None => {
            let (least, most) = (bounds.least, bounds.most);
            findings.add(
                span,
                format!("`{key}` takes a whole number from {least} to {most}"),
            );
            bounds.usual
        }
    }
}

/// The duration under `key` with its place, where there is a valid one.
pub(super) fn duration(
    key: &str,
    written: Written<DurationText>,
    bounds: &Bounds<Duration>,
    findings: &mut Findings,
) -> Option<Spanned<Duration>> {
    let value = findings.value(key, written)?;
    let text = value.get_ref().0.as_str();
    let range = format!(
        "{} to {}",
        duration::text(bounds.least),
        duration::text(bounds.most)
    );
    match duration::parse(text) {
        Ok(duration) if (bounds.least..=bounds.most).contains(&duration) => {
            return Some(Spanned::new(value.span(), duration));
        }
        Ok(_) => {
            let message = format!(
                "`{key}` takes a duration from {range}, not {}",
                quoted(text)
            );
            findings.add(value.span(), message);
        }
        Err(error) => {
            let message = format!("{} is no duration for `{key}`: {error}", quoted(text));
            let hint = match error {
                BadDuration::NoUnit => format!("write \"{text}s\" for seconds"),
                BadDuration::Shape => "write it as \"250ms\", \"2s\" or \"1m30s\"".to_owned(),
                BadDuration::Overflow => format!("`{key}` takes {range}"),
            };
            findings.add(value.span(), message).hint(hint);
        }
    }
    None
}

/// The flag under `key`, which is off unless it is written.
pub(super) fn flag(key: &str, written: Written<bool>, findings: &mut Findings) -> bool {
    let value = findings.value(key, written);
    value.is_some_and(Spanned::into_inner)
}

/// The strings of the list under `key`, each once; a repetition is reported.
pub(super) fn distinct(
    key: &str,
    written: Written<Vec<Written<String>>>,
    findings: &mut Findings,
) -> Vec<Spanned<String>> {
    let Some(list) = findings.value(key, written) else {
        return Vec::new();
    };
    let mut seen = BTreeMap::new();
    for item in list.into_inner() {
        if findings.is_full() {
            break;
        }
        let Some(item) = findings.item(key, item) else {
            continue;
        };
        let span = item.span();
        match seen.entry(item.into_inner()) {
            Entry::Vacant(entry) => {
                entry.insert(span);
            }
            Entry::Occupied(entry) => {
                let message = format!("{} is in `{key}` twice", quoted(entry.key()));
                findings
                    .add(span, message)
                    .hint("remove one of the two".to_owned());
            }
        }
    }
    seen.into_iter()
        .map(|(text, span)| Spanned::new(span, text))
        .collect()
}

/// The host that is written under `key`.
pub(super) fn read_host(
    key: &str,
    written: &Spanned<String>,
    findings: &mut Findings,
) -> Option<Host> {
    let text = written.get_ref().as_str();
    match Host::new(text) {
        Ok(host) => Some(host),
        Err(error) => {
            let finding = findings.add(
                written.span(),
                format!("{} is no host: {error}", quoted(text)),
            );
            // A scheme, a port or a path around a good host is the usual mistake.
            let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
            let bare = bare.split(['/', ':']).next().unwrap_or_default();
            let name = key.rsplit('.').next().unwrap_or(key);
            finding.hint(
                Host::new(bare)
                    .ok()
                    .map(|host| format!("write {name} = \"{host}\"")),
            );
            None
        }
    }
}
