//! New paths that have what a route's template has found.

use model::{PathPattern, Segment, Template};
use toml::Spanned;

use crate::findings::{Findings, quoted};
use crate::keys::nearest;

/// The new path under `key.path` of a route whose paths are `route`.
pub(super) fn of_template(
    key: &str,
    written: &Spanned<String>,
    route: Option<&PathPattern>,
    findings: &mut Findings,
) -> Option<Template> {
    let text = written.get_ref().as_str();
    let new = match Template::new(text) {
        Ok(new) => new,
        Err(error) => {
            let message = format!("{} is no path for `{key}.path`: {error}", quoted(text));
            findings.add(written.span(), message);
            return None;
        }
    };
    let found = match route {
        Some(PathPattern::Template { template }) => template,
        // What the path is is reported where it stands.
        None => return Some(new),
        Some(_) => {
            let message =
                format!("`{key}.path` has names in braces, which only a `template` finds");
            let hint = "give the route a `template` with the same names".to_owned();
            findings.add(written.span(), message).hint(hint);
            return None;
        }
    };
    for segment in new.segments() {
        let (Segment::One(name) | Segment::Rest(name)) = segment else {
            continue;
        };
        if found.segments().any(|known| known == segment) {
            continue;
        }
        let kept = found.segments().filter_map(|known| match known {
            Segment::Literal(_) => None,
            Segment::One(name) | Segment::Rest(name) => Some(name),
        });
        let names: Vec<&str> = kept.collect();
        let message = match names.contains(&name) {
            true => format!("{} stands for other segments in `template`", quoted(name)),
            false => format!("`template` has no name {}", quoted(name)),
        };
        let hint = match (names.contains(&name), nearest(name, names.iter().copied())) {
            (true, _) => format!("write it as there, in {}", quoted(&found.to_string())),
            (false, Some(near)) => format!("did you mean {{{near}}}?"),
            (false, None) => format!("it has {}", names.join(", ")),
        };
        findings.add(written.span(), message).hint(hint);
        return None;
    }
    Some(new)
}
