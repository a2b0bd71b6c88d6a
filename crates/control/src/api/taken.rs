//! What another app has already: a place at the edge, the say on which certificate a host has, or the
//! ports that this one would need.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::StatusCode;
use model::{App, AppName, Desired, Intent, Matching};

use super::records::release;
use super::{ApiError, Context};
use crate::ports;
use crate::state::{decode, keys};

/// What an app in `folder` would take from another one, if anything: something that this serves, or
/// that it may go back to.
pub(super) async fn by_another(
    context: &Context,
    app: &App,
    folder: &Path,
) -> Result<Option<ApiError>, ApiError> {
    let mut taken_ports = 0;
    for entry in context.store.list(keys::DESIRED).await?.entries {
        let other = &entry.key[keys::DESIRED.len()..];
        let desired: Desired = decode(&entry.key, &entry.value)?;
        if other == app.name.as_str() || desired.intent == Intent::Halted {
            continue;
        }
        let name = AppName::new(other)
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let mut of_releases = 0;
        let releases: BTreeSet<u64> = desired
            .confirmed
            .into_iter()
            .chain([desired.target])
            .collect();
        for number in releases {
            let Some(release) = release(context, &name, number).await? else {
                continue;
            };
            let of_other = (&release.app, release.folder.as_path());
            if let Some(error) = route(app, of_other.0).or(certificate((app, folder), of_other)) {
                return Ok(Some(error));
            }
            of_releases = uses(&release.app).max(of_releases);
        }
        taken_ports += of_releases;
    }
    Ok(ports(app, taken_ports, ports::LISTENERS.len()))
}

/// How many services an app's services use: each use has a port, by which it is known who calls.
fn uses(app: &App) -> usize {
    app.services
        .values()
        .map(|service| service.uses.len())
        .sum()
}

/// Without a port, a service that uses another would never start.
fn ports(app: &App, taken: usize, all: usize) -> Option<ApiError> {
    let needed = uses(app);
    (taken + needed > all).then(|| {
        let message = format!(
            "{} needs {needed} ports, one for each service that one of its services uses; \
             other apps need {taken}, and there are {all} on a machine",
            app.name
        );
        let hint = "name in `uses` only what is called, or run apps that need less at a time";
        ApiError::new(StatusCode::CONFLICT, message).hint(hint)
    })
}

fn route(app: &App, other: &App) -> Option<ApiError> {
    let wanted: Vec<_> = app.rules().map(|rule| rule.matching).collect();
    let is_wanted = |taken: &Matching| wanted.iter().any(|wanted| wanted.is_same(taken));
    let both = other.rules().map(|rule| rule.matching).find(is_wanted)?;
    let name = &other.name;
    let message = format!("{name} is exposed at {}{} already", both.host, both.path);
    Some(ApiError::new(StatusCode::CONFLICT, message).hint(format!(
        "choose another host or path, or `roadbed down {name}`"
    )))
}

/// Two apps can share a host, but the host has one certificate.
fn certificate(app: (&App, &Path), other: (&App, &Path)) -> Option<ApiError> {
    let taken = other.0.certificates();
    for (host, wanted) in app.0.certificates() {
        let Some(files) = taken.get(host) else {
            continue;
        };
        let same = files.certificate.within(other.1) == wanted.certificate.within(app.1)
            && files.key.within(other.1) == wanted.key.within(app.1);
        if !same {
            let path = files.certificate.within(other.1);
            let message = format!(
                "{} has a certificate for {host} already: {}",
                other.0.name,
                path.display()
            );
            return Some(ApiError::new(StatusCode::CONFLICT, message).hint(
                "it holds for this app too: remove `certificate` and `key`, or name the same files",
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_for_which_there_are_not_enough_ports_is_told_so() {
        let text = "app = \"a\"\n[services.x]\nrun = \"x\"\nuses = [\"y\", \"z\"]\n\
                    [services.y]\nrun = \"y\"\nuses = [\"z\"]\n[services.z]\nrun = \"z\"\n";
        let app = spec::parse("roadbed.toml", text).unwrap();
        assert!(ports(&app, 7, 10).is_none());
        let refused = ports(&app, 8, 10).unwrap();
        let text = format!("{refused:?}");
        assert!(
            text.contains("a needs 3 ports") && text.contains("other apps need 8"),
            "{text}"
        );
    }
}
