//! Unknown keys: found in the syntax tree, reported with a suggestion, and taken out, so that
//! the rest can be read. Which keys are known is asked of the as-written types.

use schemars::{JsonSchema, SchemaGenerator};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::app_file::error_pages::PageTable;
use crate::app_file::mirror::Mirror;
use crate::app_file::rate_limit::RateLimit;
use crate::app_file::resilience::{Connections, Hedge, Overload, Sticky};
use crate::app_file::route::{Condition, HeaderChanges, Redirect, Rewrite, Route, Share};
use crate::app_file::static_files::StaticTable;
use crate::app_file::{AppFile, Expose, Health, Service, Tls};
use crate::findings::{Findings, quoted};

/// Keys of a service that the design has and this version does not, each with what to do today.
const LATER: [(&str, &str); 5] = [
    ("image", "start a program with `run`"),
    ("secrets", "pass what is not secret in `env`"),
    ("limits", "remove it: instances run without limits"),
    ("deploy", "remove it: instances are replaced one by one"),
    ("retries", "remove it: a failed connection is retried once"),
];

/// What messages call the outermost table.
const FILE: &str = "the file";

/// The keys of one kind of table.
struct Known {
    keys: Vec<String>,
    later: &'static [(&'static str, &'static str)],
}

impl Known {
    /// The keys of `T`, as its schema lists them.
    fn of<T: JsonSchema>() -> Self {
        let schema = SchemaGenerator::default().into_root_schema_for::<T>();
        let properties = schema.get("properties").and_then(|keys| keys.as_object());
        let keys = properties
            .map(|keys| keys.keys().cloned().collect())
            .unwrap_or_default();
        Self { keys, later: &[] }
    }

    /// Takes all other keys out of `table`, which stands at `place`.
    fn keep(&self, table: &mut DeTable<'_>, place: &str, findings: &mut Findings) {
        let all = std::mem::take(table);
        *table = all
            .into_iter()
            .filter(|(key, _)| self.knows(key, place, findings))
            .collect();
    }

    /// Whether `key` is known; reports it where it is not.
    fn knows(&self, key: &Spanned<DeString<'_>>, place: &str, findings: &mut Findings) -> bool {
        let name: &str = key.get_ref();
        if self.keys.iter().any(|known| known == name) {
            return true;
        }
        // A table header that could not be read leaves its keys to the file itself.
        if findings.is_full() || (place == FILE && findings.is_incomplete()) {
            return false;
        }
        if let Some((_, advice)) = self.later.iter().find(|(later, _)| *later == name) {
            let message = format!("this version of Roadbed does not support `{name}` yet");
            findings.add(key.span(), message).hint((*advice).to_owned());
            return false;
        }
        // A name is what others call it.
        if place == FILE && name == "name" {
            let hint = "the name of the app is written app = \"…\"".to_owned();
            let message = format!("unknown key {} in {place}", quoted(name));
            findings.add(key.span(), message).hint(hint);
            return false;
        }
        let hint = match nearest(name, self.keys.iter().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("the keys here are `{}`", self.keys.join("`, `")),
        };
        findings
            .add(
                key.span(),
                format!("unknown key {} in {place}", quoted(name)),
            )
            .hint(hint);
        false
    }
}

/// Reports the unknown keys of the whole file and takes them out.
pub(crate) fn keep_known(file: &mut DeTable<'_>, findings: &mut Findings) {
    Known::of::<AppFile>().keep(file, FILE, findings);
    keep_known_of_services(file, findings);
    keep_known_of_routes(file, findings);
    keep_known_of_pages(file, findings);
}

fn keep_known_of_pages(file: &mut DeTable<'_>, findings: &mut Findings) {
    let page = Known::of::<PageTable>();
    let pages = table_at(file, "error_pages");
    for (status, value) in pages.into_iter().flat_map(|pages| pages.iter_mut()) {
        if let DeValue::Table(table) = value.get_mut() {
            let place = format!("`error_pages.{}`", status.get_ref().escape_debug());
            page.keep(table, &place, findings);
        }
    }
}

fn keep_known_of_services(file: &mut DeTable<'_>, findings: &mut Findings) {
    let service = Known {
        later: &LATER,
        ..Known::of::<Service>()
    };
    let inner = [
        ("expose", Known::of::<Expose>()),
        ("health", Known::of::<Health>()),
        ("static", Known::of::<StaticTable>()),
        ("tls", Known::of::<Tls>()),
        ("balance", Known::of::<Sticky>()),
        ("overload", Known::of::<Overload>()),
        ("connections", Known::of::<Connections>()),
        ("hedge", Known::of::<Hedge>()),
    ];

    let Some(services) = table_at(file, "services") else {
        return;
    };
    for (name, value) in services.iter_mut() {
        let DeValue::Table(table) = value.get_mut() else {
            continue;
        };
        let place = format!("service {}", quoted(name.get_ref()));
        service.keep(table, &place, findings);
        for (key, known) in &inner {
            if let Some(table) = table_at(table, key) {
                known.keep(table, &format!("`{key}` of {place}"), findings);
            }
        }
    }
}

fn keep_known_of_routes(file: &mut DeTable<'_>, findings: &mut Findings) {
    let route = Known::of::<Route>();
    let (condition, share) = (Known::of::<Condition>(), Known::of::<Share>());
    let inner = [
        ("redirect", Known::of::<Redirect>()),
        ("rewrite", Known::of::<Rewrite>()),
        ("request_headers", Known::of::<HeaderChanges>()),
        ("response_headers", Known::of::<HeaderChanges>()),
        ("rate_limit", Known::of::<RateLimit>()),
        ("mirror", Known::of::<Mirror>()),
    ];
    for table in tables_at(file, "routes") {
        route.keep(table, "this route", findings);
        for key in ["headers", "query", "cookies"] {
            let Some(conditions) = table_at(table, key) else {
                continue;
            };
            for (name, value) in conditions.iter_mut() {
                if let DeValue::Table(table) = value.get_mut() {
                    let place = format!("`{key}.{}`", quoted(name.get_ref()));
                    condition.keep(table, &place, findings);
                }
            }
        }
        for (key, known) in &inner {
            if let Some(table) = table_at(table, key) {
                known.keep(table, &format!("`{key}`"), findings);
            }
        }
        for table in tables_at(table, "to") {
            share.keep(table, "`to`", findings);
        }
    }
}

/// The tables of the list under `key`.
fn tables_at<'a, 'i>(
    table: &'a mut DeTable<'i>,
    key: &str,
) -> impl Iterator<Item = &'a mut DeTable<'i>> {
    let list = match table.get_mut(key).map(Spanned::get_mut) {
        Some(DeValue::Array(list)) => Some(list),
        _ => None,
    };
    let items = list.into_iter().flat_map(|list| list.iter_mut());
    items.filter_map(|item| match item.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    })
}

fn table_at<'a, 'i>(table: &'a mut DeTable<'i>, key: &str) -> Option<&'a mut DeTable<'i>> {
    match table.get_mut(key)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The candidate that `text` most likely is a misspelling of.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the letters may differ; with more, a guess confuses more than it helps. Lengths
    // are compared first, which also keeps a very long text from costing time.
    let most = |candidate: &str| (candidate.len().max(text.len()) / 3).clamp(1, 4);
    candidates
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= most(candidate))
        .map(|candidate| (strsim::osa_distance(text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= most(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_keys_are_those_of_the_types() {
        assert_eq!(
            Known::of::<AppFile>().keys,
            ["app", "error_pages", "include", "routes", "services"]
        );
        assert_eq!(
            Known::of::<Expose>().keys,
            [
                "certificate",
                "compress",
                "host",
                "key",
                "path",
                "security_headers"
            ]
        );
        assert!(Known::of::<Service>().keys.contains(&"replicas".to_owned()));
        assert!(Known::of::<Health>().keys.contains(&"deadline".to_owned()));
    }

    #[test]
    fn a_key_for_later_is_not_known_today() {
        let known = Known::of::<Service>().keys;
        assert!(
            LATER
                .iter()
                .all(|(later, _)| !known.contains(&(*later).to_owned()))
        );
    }

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["run", "replicas", "uses", "protocol"];
        let suggested = |text| nearest(text, known.into_iter());
        assert_eq!(suggested("replica"), Some("replicas"));
        assert_eq!(suggested("replcias"), Some("replicas"));
        assert_eq!(suggested("use"), Some("uses"));
        assert_eq!(suggested("rum"), Some("run"));
        assert_eq!(suggested("port"), None);
        assert_eq!(suggested(""), None);
    }
}
