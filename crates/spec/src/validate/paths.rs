//! The paths of a route.

use model::{BadTemplate, ExactPath, PathPattern, PathPrefix, Template};
use toml::Spanned;

use crate::findings::{Findings, quoted};
use crate::written::Written;

/// The one of the three that is there; all paths without any.
pub(super) fn path(
    prefix: Written<String>,
    exact: Written<String>,
    template: Written<String>,
    findings: &mut Findings,
) -> Option<PathPattern> {
    let is_there = |written: &Written<String>| !matches!(written, Written::Absent);
    let count = [&prefix, &exact, &template]
        .into_iter()
        .filter(|w| is_there(w))
        .count();
    let prefix = findings.value("path", prefix);
    let exact = findings.value("exact", exact);
    let template = findings.value("template", template);
    let found = [&prefix, &exact, &template];
    if let Some(one) = found
        .into_iter()
        .flatten()
        .max_by_key(|one| one.span().start)
        && count > 1
    {
        let message = "a route has one of `path`, `exact` and `template`";
        let hint = "write another route for the other".to_owned();
        findings.add(one.span(), message).hint(hint);
        return None;
    }
    match (prefix, exact, template) {
        (Some(prefix), ..) => read_prefix(&prefix, findings),
        (_, Some(exact), _) => read_exact(&exact, findings),
        (.., Some(template)) => read_template(&template, findings),
        _ if count > 0 => None,
        _ => Some(PathPattern::Prefix(PathPrefix::root())),
    }
}

fn read_prefix(written: &Spanned<String>, findings: &mut Findings) -> Option<PathPattern> {
    let text = written.get_ref().as_str();
    if text.contains(['{', '}']) {
        let message = format!("`path` is the beginning of a path, not {}", quoted(text));
        let hint = format!("write template = {}", quoted(text));
        findings.add(written.span(), message).hint(hint);
        return None;
    }
    match PathPrefix::new(text) {
        Ok(prefix) => Some(PathPattern::Prefix(prefix)),
        Err(error) => {
            no_path("path", written, &error.to_string(), findings);
            None
        }
    }
}

fn read_exact(written: &Spanned<String>, findings: &mut Findings) -> Option<PathPattern> {
    match ExactPath::new(written.get_ref()) {
        Ok(exact) => Some(PathPattern::Exact { exact }),
        Err(error) => {
            no_path("exact", written, &error.to_string(), findings);
            None
        }
    }
}

fn read_template(written: &Spanned<String>, findings: &mut Findings) -> Option<PathPattern> {
    let text = written.get_ref().as_str();
    let error = match Template::new(text) {
        Ok(template) => return Some(PathPattern::Template { template }),
        Err(error) => error,
    };
    let hint = match error {
        BadTemplate::Path(_) if Template::new(&format!("/{text}")).is_ok() => {
            Some(format!("write template = {}", quoted(&format!("/{text}"))))
        }
        BadTemplate::Path(_) => text
            .strip_suffix('/')
            .filter(|shorter| Template::new(shorter).is_ok())
            .map(|shorter| format!("write template = {}", quoted(shorter))),
        BadTemplate::Plain => Some(format!("write exact = {}", quoted(text))),
        BadTemplate::Name => {
            let lower = text.to_ascii_lowercase().replace('-', "_");
            let is_good = Template::new(&lower).is_ok();
            is_good.then(|| format!("write template = {}", quoted(&lower)))
        }
        _ => None,
    };
    let message = format!("{} is no template of paths: {error}", quoted(text));
    findings.add(written.span(), message).hint(hint);
    None
}

fn no_path(key: &str, written: &Spanned<String>, error: &str, findings: &mut Findings) {
    let text = written.get_ref().as_str();
    let message = format!("{} is no path: {error}", quoted(text));
    let rooted = format!("/{text}");
    let hint = ExactPath::new(&rooted).is_ok();
    let hint = hint.then(|| format!("write {key} = {}", quoted(&rooted)));
    findings.add(written.span(), message).hint(hint);
}
