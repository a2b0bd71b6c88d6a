//! What a route answers itself, and what it changes in requests and answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::{
    ExactPath, FieldChanges, FieldName, FieldValue, PathChange, PathPattern, PathPrefix, Redirect,
    RedirectStatus,
};
use toml::Spanned;

use super::conditions::field_name;
use super::new_path;
use super::values::{self, read_host};
use crate::app_file::SizeText;
use crate::app_file::route::{self, HeaderChanges};
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::size::{self, BadSize};
use crate::written::{Table, Written};

/// Where clients are told to ask; `route` is the path of the route.
pub(super) fn redirect(
    written: Spanned<route::Redirect>,
    route: Option<&PathPattern>,
    findings: &mut Findings,
) -> Option<Redirect> {
    let span = written.span();
    let written = written.into_inner();
    let changes = [
        matches!(written.https, Written::Absent),
        matches!(written.host, Written::Absent),
        matches!(written.port, Written::Absent),
        matches!(written.prefix, Written::Absent),
        matches!(written.path, Written::Absent),
    ];
    if changes.into_iter().all(|is_absent| is_absent) {
        let hint = "add `https`, `host`, `port`, `prefix` or `path`".to_owned();
        let message = "this redirect leads to where the request came from".to_owned();
        findings.add_absence(span.clone(), message, Some(hint));
    }
    let status = match findings.value("redirect.status", written.status) {
        None => Some(RedirectStatus::Found),
        Some(status) => {
            let number = u16::try_from(*status.get_ref()).unwrap_or_default();
            let read = RedirectStatus::try_from(number);
            read.map_err(|error| findings.add(status.span(), error.to_string()))
                .ok()
        }
    };
    let https = findings.value("redirect.https", written.https);
    if let Some(no) = https.as_ref().filter(|https| !https.get_ref()) {
        let message = "`redirect.https` is `true`: the scheme stays without it";
        findings
            .add(no.span(), message)
            .hint("remove it".to_owned());
    }
    let host = findings.value("redirect.host", written.host);
    let host = host.and_then(|host| read_host("redirect.host", &host, findings));
    let port = findings.value("redirect.port", written.port);
    let port = port.and_then(|port| match u16::try_from(*port.get_ref()) {
        Ok(number) if number > 0 => Some(number),
        _ => {
            let message = "`redirect.port` takes a whole number from 1 to 65535";
            findings.add(port.span(), message);
            None
        }
    });
    let paths = (written.prefix, written.path);
    let path = path_change("redirect", paths, span, route, findings);
    Some(Redirect {
        status: status?,
        https: https.is_some(),
        host,
        port,
        path,
    })
}

/// The path that the service sees.
pub(super) fn rewrite(
    written: Written<route::Rewrite>,
    route: Option<&PathPattern>,
    findings: &mut Findings,
) -> Option<PathChange> {
    let written = findings.value("rewrite", written)?;
    let span = written.span();
    let route::Rewrite { prefix, path } = written.into_inner();
    if matches!((&prefix, &path), (Written::Absent, Written::Absent)) {
        let hint = "add prefix = \"/\" to strip the route's `path`".to_owned();
        let message = "`rewrite` has neither `prefix` nor `path`".to_owned();
        findings.add_absence(span.clone(), message, Some(hint));
    }
    path_change("rewrite", (prefix, path), span, route, findings)
}

/// What becomes of a path, by what the table under `key` says, which stands at `span`.
fn path_change(
    key: &str,
    (prefix, path): (Written<String>, Written<String>),
    span: Range<usize>,
    route: Option<&PathPattern>,
    findings: &mut Findings,
) -> Option<PathChange> {
    let prefix = findings.value(&format!("{key}.prefix"), prefix);
    let path = findings.value(&format!("{key}.path"), path);
    if prefix.is_some() && path.is_some() {
        let message = format!("`{key}` has both `prefix` and `path`");
        findings
            .add(span, message)
            .hint("remove one of the two".to_owned());
        return None;
    }
    if let Some(prefix) = prefix {
        if matches!(
            route,
            Some(PathPattern::Exact { .. } | PathPattern::Template { .. })
        ) {
            let message = format!("`{key}.prefix` stands in place of `path`, which is not there");
            let hint = format!("give the route a `path`, or write {key}.path = \"/…\"");
            findings.add(prefix.span(), message).hint(hint);
        }
        return read_path(&prefix, findings, |text| {
            Some(PathChange::Prefix(PathPrefix::new(text).ok()?))
        });
    }
    let path = path?;
    if path.get_ref().contains(['{', '}']) {
        return new_path::of_template(key, &path, route, findings).map(PathChange::Template);
    }
    read_path(&path, findings, |text| {
        Some(PathChange::Whole(ExactPath::new(text).ok()?))
    })
}

fn read_path(
    written: &Spanned<String>,
    findings: &mut Findings,
    read: impl Fn(&str) -> Option<PathChange>,
) -> Option<PathChange> {
    let text = written.get_ref().as_str();
    let change = read(text);
    if change.is_none() {
        let message = format!("{} is no path: {}", quoted(text), model::paths::BadPath);
        let rooted = format!("/{text}");
        let hint = read(&rooted).map(|_| format!("write {}", quoted(&rooted)));
        findings.add(written.span(), message).hint(hint);
    }
    change
}

/// What is changed in fields, by the table under `key`.
pub(super) fn header_changes(
    key: &str,
    written: Written<HeaderChanges>,
    findings: &mut Findings,
) -> FieldChanges {
    let Some(written) = findings.value(key, written) else {
        return FieldChanges::default();
    };
    let (span, HeaderChanges { set, add, remove }) = (written.span(), written.into_inner());
    if matches!(
        (&set, &add, &remove),
        (Written::Absent, Written::Absent, Written::Absent)
    ) {
        let hint = "add `set`, `add` or `remove`".to_owned();
        findings.add_absence(span.clone(), format!("`{key}` changes nothing"), Some(hint));
    }
    let set = values_of(&format!("{key}.set"), set, findings);
    let add = values_of(&format!("{key}.add"), add, findings);
    let shown = format!("{key}.remove");
    let mut removed = BTreeSet::new();
    for item in values::distinct(&shown, remove, findings) {
        removed.extend(field_name(&shown, &item, findings));
    }
    let changes = FieldChanges {
        set,
        add,
        remove: removed,
    };
    let most = limits::MOST_CHANGES;
    if changes.set.len() + changes.add.len() + changes.remove.len() > most {
        findings.add(span, format!("`{key}` changes at most {most} fields"));
    } else if let Some(name) = changes
        .set
        .keys()
        .find(|name| changes.remove.contains(*name) || changes.add.contains_key(*name))
    {
        let message = format!(
            "`{key}` has {} in `set` and elsewhere",
            quoted(name.as_str())
        );
        let hint = "`set` leaves out all others of the name: name it there only".to_owned();
        findings.add(span, message).hint(hint);
    }
    changes
}

/// Names and values of the table under `key`.
fn values_of(
    key: &str,
    written: Written<Table<String>>,
    findings: &mut Findings,
) -> BTreeMap<FieldName, FieldValue> {
    let mut fields = BTreeMap::new();
    let table = findings.value(key, written).map(Spanned::into_inner);
    for (name, written) in table.into_iter().flatten() {
        if findings.is_full() {
            break;
        }
        let name = name.0;
        let field = field_name(key, &name, findings);
        let shown = format!("{key}.{}", quoted(name.get_ref()));
        let Some(written) = findings.value(&shown, written) else {
            continue;
        };
        let value = match FieldValue::new(written.get_ref()) {
            Ok(value) => value,
            Err(error) => {
                let message = format!(
                    "{} is no value of a field: {error}",
                    quoted(written.get_ref())
                );
                findings.add(written.span(), message);
                continue;
            }
        };
        if field.is_some_and(|field| fields.insert(field, value).is_some()) {
            let message = format!("{} is in `{key}` twice", quoted(name.get_ref()));
            let hint = "remove one of the two: case makes no difference".to_owned();
            findings.add(name.span(), message).hint(hint);
        }
    }
    fields
}

/// The number of bytes under `key`, at most `most`; `without` says what holds where it is not there.
pub(super) fn size(
    key: &str,
    written: Written<SizeText>,
    (most, without): (u64, &str),
    findings: &mut Findings,
) -> Option<u64> {
    let value = findings.value(key, written)?;
    let text = value.get_ref().0.as_str();
    match size::parse(text) {
        Ok(size) if size <= most => return Some(size),
        Ok(_) | Err(BadSize::Overflow) => {
            let shown = size::text(most);
            let message = format!("`{key}` takes at most {shown}, not {}", quoted(text));
            findings.add(value.span(), message).hint(without.to_owned());
        }
        Err(error) => {
            let message = format!("{} is no size for `{key}`: {error}", quoted(text));
            let hint = match error {
                BadSize::NoUnit => format!("write \"{text}B\" for bytes"),
                _ => "write it as \"512B\", \"64KiB\" or \"10MiB\"".to_owned(),
            };
            findings.add(value.span(), message).hint(hint);
        }
    }
    None
}

/// How much content a request may have.
pub(super) fn body_limit(written: Written<SizeText>, findings: &mut Findings) -> Option<u64> {
    let most = (limits::MOST_BODY, "without it, there is no limit");
    size("body_limit", written, most, findings)
}
