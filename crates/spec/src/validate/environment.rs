//! The environment of an instance: what the user sets must not hide what Roadbed injects.
//!
//! Injected variables cannot collide with one another: a name of a service or volume has no
//! underscore, so different names have different prefixes, and `_URL`, `_ADDR` and `_DIR` tell
//! the kinds apart. Only the names that Roadbed keeps for itself can be hit.

use std::collections::BTreeMap;

use model::{ServiceName, VolumeName};
use toml::Spanned;

use crate::command::is_variable;
use crate::findings::{Findings, quoted};
use crate::written::{Table, Written};

/// The start of the names of all variables that Roadbed keeps for itself.
const RESERVED_PREFIX: &str = "ROADBED_";

/// The variables that are injected into a service's instances, each with its origin in words.
pub(super) struct Injected(BTreeMap<String, String>);

impl Injected {
    /// What `uses` and `volumes` inject. One that would take a reserved name is reported.
    pub(super) fn of(
        uses: &[Spanned<ServiceName>],
        volumes: &[Spanned<VolumeName>],
        findings: &mut Findings,
    ) -> Self {
        let uses = uses.iter().map(|service| {
            let prefix = service.get_ref().environment_prefix();
            let origin = format!("the address of service \"{}\"", service.get_ref());
            (
                service.span(),
                origin,
                vec![format!("{prefix}_URL"), format!("{prefix}_ADDR")],
            )
        });
        let volumes = volumes.iter().map(|volume| {
            let prefix = volume.get_ref().environment_prefix();
            let origin = format!("the folder of volume \"{}\"", volume.get_ref());
            (volume.span(), origin, vec![format!("{prefix}_DIR")])
        });
        let mut injected = BTreeMap::from([("PORT".into(), "the port to listen on".into())]);
        for (span, origin, variables) in uses.chain(volumes) {
            if let Some(reserved) = variables
                .iter()
                .find(|name| name.starts_with(RESERVED_PREFIX))
            {
                let message = format!("{origin} would be `{reserved}`, which is reserved");
                let hint = format!("rename it: Roadbed keeps `{RESERVED_PREFIX}…` for itself");
                findings.add(span, message).hint(hint);
            }
            injected.extend(
                variables
                    .into_iter()
                    .map(|variable| (variable, origin.clone())),
            );
        }
        Self(injected)
    }
}

/// The variables of a service, where they are valid.
pub(super) fn env(
    written: Written<Table<String>>,
    injected: &Injected,
    source: &str,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let Some(table) = findings.value("env", written) else {
        return BTreeMap::new();
    };
    let mut variables = BTreeMap::new();
    for (key, value) in table.into_inner() {
        if findings.is_full() {
            break;
        }
        let (span, name) = (key.0.span(), key.0.into_inner());
        check_name(&name, span, injected, findings);
        match value {
            Written::Absent => {}
            Written::WrongType(span) => {
                let message = format!("the value of {} is not a string", quoted(&name));
                let hint = as_string(&source[span.clone()]);
                findings.add(span, message).hint(hint);
            }
            Written::Value(value) => {
                if value.get_ref().contains('\0') {
                    let message = format!("the value of {} has a null character", quoted(&name));
                    findings.add(value.span(), message);
                }
                variables.insert(name, value.into_inner());
            }
        }
    }
    variables
}

fn check_name(
    name: &str,
    span: std::ops::Range<usize>,
    injected: &Injected,
    findings: &mut Findings,
) {
    if !is_variable(name) {
        let message = format!("{} cannot name an environment variable", quoted(name));
        let hint = "use letters, digits and underscores, and no digit at the start".to_owned();
        findings.add(span, message).hint(hint);
    } else if name.starts_with(RESERVED_PREFIX) {
        let message = format!("`{name}` is reserved, as is all that begins `{RESERVED_PREFIX}`");
        findings
            .add(span, message)
            .hint("choose another name".to_owned());
    } else if let Some(origin) = injected.0.get(name) {
        let message = format!("Roadbed sets `{name}` itself: {origin}");
        findings
            .add(span, message)
            .hint("remove it, or choose another name".to_owned());
    }
}

/// Suggests the string for a plain value such as `8080` or `true`.
fn as_string(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._:".contains(&b);
    if text.len() <= 40 && text.bytes().all(plain) {
        format!("write it in quotation marks: \"{text}\"")
    } else {
        "write it in quotation marks".to_owned()
    }
}
