//! What is packed into releases although it is no part of the source.

use std::collections::BTreeSet;

use model::FilePath;
use toml::Spanned;

use super::Together;
use super::static_files::below;
use crate::findings::Findings;
use crate::limits::MOST_INCLUDED;
use crate::written::Written;

/// The paths of `include`, each once.
pub(super) fn include(
    written: Written<Vec<Written<String>>>,
    together: &mut Together,
    findings: &mut Findings,
) -> BTreeSet<FilePath> {
    let Some(list) = findings.value("include", written) else {
        return BTreeSet::new();
    };
    let span = list.span();
    let list = list.into_inner();
    if list.len() > MOST_INCLUDED {
        let message = format!("`include` has at most {MOST_INCLUDED} paths");
        let hint = "name the folder that they are in".to_owned();
        findings.add(span, message).hint(hint);
        return BTreeSet::new();
    }
    let items: Vec<_> = list
        .into_iter()
        .filter_map(|item| findings.item("include", item))
        .collect();
    items
        .into_iter()
        .filter_map(|item| path(&item, together, findings))
        .collect()
}

fn path(
    written: &Spanned<String>,
    together: &mut Together,
    findings: &mut Findings,
) -> Option<FilePath> {
    let path = below("include", written, "of the app", findings)?;
    let has_name = |part: &str| !matches!(part, "" | ".");
    if !path.as_str().split('/').any(has_name) {
        let message = "`include` names the app's own folder".to_owned();
        let hint = "name what has to be in it beside what `.gitignore` leaves".to_owned();
        findings.add(written.span(), message).hint(hint);
        return None;
    }
    together.included.add(path.clone(), written.span());
    Some(path)
}
