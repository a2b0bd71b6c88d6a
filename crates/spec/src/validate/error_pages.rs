//! What is shown in place of errors. What is in the files is the server's to read, when it deploys.

use std::collections::BTreeMap;

use model::error_pages::MOST_PAGES;
use model::{BadFilePath, ErrorPage, ErrorPages, ErrorStatus, FilePath};
use toml::Spanned;

use super::files::Files;
use super::values;
use crate::app_file::error_pages::{Page, PageTable};
use crate::findings::{Findings, quoted};
use crate::written::{Table, Written};

/// How the names of pages end, with what they are then.
const HTML: [&str; 2] = [".html", ".htm"];
const JSON: [&str; 1] = [".json"];

/// The pages of an app; their files are noted in `files`.
pub(super) fn error_pages(
    written: Written<Table<Page>>,
    files: &mut Files,
    findings: &mut Findings,
) -> ErrorPages<FilePath> {
    let mut pages = BTreeMap::new();
    let Some(table) = findings.value("error_pages", written) else {
        return ErrorPages::default();
    };
    let (span, table) = (table.span(), table.into_inner());
    if table.len() > MOST_PAGES {
        let message = format!("`error_pages` has pages for at most {MOST_PAGES} statuses");
        let hint = "4xx and 5xx stand for all of a class".to_owned();
        findings.add(span, message).hint(hint);
        return ErrorPages::default();
    }
    for (key, page) in table {
        if findings.is_full() {
            break;
        }
        let key = key.0;
        let status = match ErrorStatus::new(key.get_ref()) {
            Ok(status) => Some(status),
            Err(error) => {
                let message = format!("there is no page for {}: {error}", quoted(key.get_ref()));
                findings.add(key.span(), message);
                None
            }
        };
        let shown = format!("error_pages.{}", key.get_ref().escape_debug());
        if let (Some(page), Some(status)) = (findings.value(&shown, page), status) {
            pages.extend(read(&shown, page, files, findings).map(|page| (status, page)));
        }
    }
    ErrorPages(pages)
}

fn read(
    key: &str,
    written: Spanned<Page>,
    files: &mut Files,
    findings: &mut Findings,
) -> Option<ErrorPage<FilePath>> {
    let span = written.span();
    match written.into_inner() {
        Page::File(text) => {
            let is_json = text.ends_with(JSON[0]);
            let endings: &[&str] = if is_json { &JSON } else { &HTML };
            let text = Spanned::new(span, text);
            let file = file(key, &text, endings, files, findings)?;
            let (html, json) = match is_json {
                true => (None, Some(file)),
                false => (Some(file), None),
            };
            Some(ErrorPage {
                html,
                json,
                services: false,
            })
        }
        Page::Table(PageTable {
            html,
            json,
            services,
        }) => {
            if matches!((&html, &json), (Written::Absent, Written::Absent)) {
                let hint = "add one, such as html = \"errors/5xx.html\"".to_owned();
                let message = format!("`{key}` names no page");
                findings.add_absence(span, message, Some(hint));
            }
            let mut named = |kind: &str, written, endings| {
                let key = format!("{key}.{kind}");
                let text = findings.value(&key, written)?;
                file(&key, &text, endings, files, findings)
            };
            Some(ErrorPage {
                html: named("html", html, &HTML[..]),
                json: named("json", json, &JSON[..]),
                services: values::flag(&format!("{key}.services"), services, findings),
            })
        }
    }
}

/// The file that `written` names under `key`, whose name ends in one of `endings`.
fn file(
    key: &str,
    written: &Spanned<String>,
    endings: &[&str],
    files: &mut Files,
    findings: &mut Findings,
) -> Option<FilePath> {
    let text = written.get_ref().as_str();
    let shown = quoted(text);
    let path = match FilePath::new(text) {
        Ok(path) => path,
        Err(error) => {
            let message = format!("{shown} is no file for `{key}`: {error}");
            let hint = matches!(error, BadFilePath::Leaves)
                .then(|| "move the file into the app's folder".to_owned());
            findings.add(written.span(), message).hint(hint);
            return None;
        }
    };
    if !endings.iter().any(|ending| text.ends_with(ending)) {
        let message = format!("{shown} is no page for `{key}`: its name has another ending");
        let hint = match endings == JSON {
            true => "pages in JSON end in .json".to_owned(),
            false => "pages for people end in .html, those for programs in .json".to_owned(),
        };
        findings.add(written.span(), message).hint(hint);
        return None;
    }
    files.add(path.clone(), written.span());
    Some(path)
}
