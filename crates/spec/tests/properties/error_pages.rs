//! Pages of errors that are drawn at random, and how they are written.

use model::{ErrorPage, ErrorPages, ErrorStatus, FilePath};
use proptest::collection::btree_map;
use proptest::option::of;
use proptest::prelude::*;
use toml::{Table, Value};

fn status() -> impl Strategy<Value = ErrorStatus> {
    let text = prop_oneof!["[45][0-9]{2}", "[45]xx"];
    text.prop_map(|text| ErrorStatus::new(&text).unwrap())
}

fn file(ending: &'static str) -> impl Strategy<Value = FilePath> {
    "/?[a-zé]{1,5}(/[a-z .]{1,5}[a-z])?".prop_map(move |path| FilePath::new(path + ending).unwrap())
}

fn page() -> impl Strategy<Value = ErrorPage<FilePath>> {
    let html = prop_oneof![file(".html"), file(".htm")];
    let files = prop_oneof![
        (html, of(file(".json"))).prop_map(|(html, json)| (Some(html), json)),
        file(".json").prop_map(|json| (None, Some(json))),
    ];
    (files, any::<bool>()).prop_map(|((html, json), services)| ErrorPage {
        html,
        json,
        services,
    })
}

pub(crate) fn drawn() -> impl Strategy<Value = ErrorPages<FilePath>> {
    btree_map(status(), page(), 0..5).prop_map(ErrorPages)
}

/// As the file has it: in short where that is possible and wanted.
pub(crate) fn written(pages: &ErrorPages<FilePath>, in_short: bool) -> Value {
    let text = |file: &FilePath| Value::String(file.as_str().to_owned());
    let pages = pages.0.iter().map(|(status, page)| {
        let value = match (&page.html, &page.json, page.services) {
            (Some(only), None, false) | (None, Some(only), false) if in_short => text(only),
            (html, json, services) => {
                let html = html.as_ref().map(|file| ("html".to_owned(), text(file)));
                let json = json.as_ref().map(|file| ("json".to_owned(), text(file)));
                let services = ("services".to_owned(), Value::Boolean(services));
                let keys = html.into_iter().chain(json).chain([services]);
                Value::Table(keys.collect::<Table>())
            }
        };
        (status.to_string(), value)
    });
    Value::Table(pages.collect::<Table>())
}
