//! Services that are a folder of files.

use std::ops::Range;

use model::{FieldValue, FilePath, StaticFiles};
use toml::Spanned;

use super::Together;
use crate::app_file::Service;
use crate::app_file::static_files::{Static, StaticTable};
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::Written;

/// The files of a service.
pub(super) fn files(
    written: Spanned<Static>,
    together: &mut Together,
    findings: &mut Findings,
) -> Option<StaticFiles> {
    let span = written.span();
    let usual = || FieldValue::new(limits::CACHE_CONTROL).ok();
    match written.into_inner() {
        Static::Folder(text) => Some(StaticFiles {
            folder: folder("static", &Spanned::new(span, text), together, findings)?,
            fallback: None,
            cache_control: usual()?,
        }),
        Static::Table(StaticTable {
            folder: written,
            fallback,
            cache_control,
        }) => {
            if matches!(written, Written::Absent) {
                let hint = "add one, such as folder = \"dist\"".to_owned();
                findings.add_absence(span, "`static` has no `folder`".into(), Some(hint));
            }
            let folder = findings
                .value("static.folder", written)
                .and_then(|text| folder("static.folder", &text, together, findings));
            let fallback = findings
                .value("static.fallback", fallback)
                .and_then(|text| below("static.fallback", &text, "that is served", findings));
            let cache_control = match findings.value("static.cache_control", cache_control) {
                None => usual(),
                Some(text) => value(&text, findings),
            };
            Some(StaticFiles {
                folder: folder?,
                fallback,
                cache_control: cache_control?,
            })
        }
    }
}

fn value(text: &Spanned<String>, findings: &mut Findings) -> Option<FieldValue> {
    match FieldValue::new(text.get_ref()) {
        Ok(value) => Some(value),
        Err(error) => {
            let shown = quoted(text.get_ref());
            let message = format!("{shown} cannot be a value of Cache-Control: {error}");
            findings.add(text.span(), message);
            None
        }
    }
}

fn folder(
    key: &str,
    written: &Spanned<String>,
    together: &mut Together,
    findings: &mut Findings,
) -> Option<FilePath> {
    let path = below(key, written, "of the app", findings)?;
    let has_name = |part: &str| !matches!(part, "" | ".");
    if !path.as_str().split('/').any(has_name) {
        let message = format!("`{key}` is the app's own folder, with all that nobody should see");
        let hint = "put what is served into a folder of its own, such as \"public\"".to_owned();
        findings.add(written.span(), message).hint(hint);
        return None;
    }
    together.folders.add(path.clone(), written.span());
    Some(path)
}

/// A path below another, which it cannot leave.
pub(super) fn below(
    key: &str,
    written: &Spanned<String>,
    which: &str,
    findings: &mut Findings,
) -> Option<FilePath> {
    let text = written.get_ref().as_str();
    let problem = match FilePath::new(text) {
        Ok(_) if text.starts_with('/') => "it is absolute".to_owned(),
        Ok(path) => return Some(path),
        Err(error) => error.to_string(),
    };
    let message = format!("{} is no path for `{key}`: {problem}", quoted(text));
    let hint = format!("name it as it is called below the folder {which}");
    findings.add(written.span(), message).hint(hint);
    None
}

/// Reports what says something of instances, of which there are none.
pub(super) fn refuse_others(written: &Service, findings: &mut Findings) {
    fn place<T>(written: &Written<T>) -> Option<Range<usize>> {
        match written {
            Written::Absent => None,
            Written::WrongType(span) => Some(span.clone()),
            Written::Value(value) => Some(value.span()),
        }
    }
    let others = [
        ("run", place(&written.run)),
        ("replicas", place(&written.replicas)),
        ("uses", place(&written.uses)),
        ("env", place(&written.env)),
        ("health", place(&written.health)),
        ("protocol", place(&written.protocol)),
        ("tls", place(&written.tls)),
        ("timeout", place(&written.timeout)),
        ("drain", place(&written.drain)),
        ("volumes", place(&written.volumes)),
    ];
    for (key, place) in others {
        if let Some(place) = place {
            let message = format!("`{key}` is about instances, and with `static` there are none");
            let hint = "remove one of the two".to_owned();
            findings.add(place, message).hint(hint);
        }
    }
}
