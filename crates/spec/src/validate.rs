//! From the file as written to a valid app: what one value alone cannot show is checked here and
//! in the modules below. A value that is wrong is reported and stands as its default from then
//! on, so that one run finds everything; the app that results is dropped if anything was found.

mod attempts;
mod conditions;
mod connections;
mod environment;
mod error_pages;
mod exposure;
mod files;
mod health;
mod hedge;
mod include;
mod new_path;
mod paths;
mod rate_limit;
mod resilience;
mod routes;
mod service;
mod static_files;
mod treatment;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::names::NameError;
use model::{App, AppName, Service as ValidService, ServiceName};
use toml::Spanned;

use crate::app_file::{AppFile, Service};
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::{Table, Written};

use exposure::Exposures;
use files::Files;

/// A valid app, and where in the source the programs and files of its services are named.
#[derive(Debug)]
pub(crate) struct Valid {
    /// The app.
    pub(crate) app: App,
    /// The place of each service's program.
    pub(crate) programs: BTreeMap<ServiceName, Range<usize>>,
    /// The files that have to be there when the app is deployed.
    pub(crate) files: Files,
    /// The folders whose files are served.
    pub(crate) folders: Files,
    /// The pages that have to be there when the app is deployed.
    pub(crate) pages: Files,
    /// What is packed into a release in any case.
    pub(crate) included: Files,
}

/// What concerns all services together.
#[derive(Default)]
struct Together {
    exposures: Exposures,
    files: Files,
    folders: Files,
    included: Files,
}

/// Validates `file`; `None` only where something was found.
pub(crate) fn app(file: AppFile, source: &str, findings: &mut Findings) -> Option<Valid> {
    let name = app_name(file.app, findings);
    let table = services(file.services, findings);
    let names: BTreeSet<String> = table
        .iter()
        .map(|(name, _)| name.get_ref().clone())
        .collect();

    let mut together = Together::default();
    let mut services = BTreeMap::new();
    let mut programs = BTreeMap::new();
    for (name, written) in table {
        if findings.is_full() {
            return None;
        }
        let place = name.span();
        let valid_name = service_name(&name, findings);
        let key = format!("services.{}", quoted(name.get_ref()));
        let Some(written) = findings.value(&key, written) else {
            continue;
        };
        let context = service::Context {
            name: &name,
            names: &names,
            source,
        };
        let program = match &written.get_ref().run {
            Written::Value(run) => run.span(),
            _ => place,
        };
        let service = service::service(written, &context, &mut together, findings);
        if let (Some(name), Some(service)) = (valid_name, service) {
            programs.insert(name.clone(), program);
            services.insert(name, service);
        }
    }
    let routes = {
        let valid = |name: &String| -> Option<&ValidService> {
            let name = ServiceName::new(name.as_str()).ok()?;
            services.get(&name)
        };
        let context = routes::Context {
            services: &names
                .iter()
                .map(|name| (name.clone(), valid(name)))
                .collect(),
            source,
        };
        routes::routes(file.routes, &context, &together.exposures, findings)
    };
    let mut pages = Files::default();
    let error_pages = error_pages::error_pages(file.error_pages, &mut pages, findings);
    let include = include::include(file.include, &mut together, findings);
    findings.is_empty().then_some(())?;
    Some(Valid {
        app: App {
            name: name?,
            services,
            routes,
            error_pages,
            include,
        },
        programs,
        files: together.files,
        folders: together.folders,
        pages,
        included: together.included,
    })
}

fn app_name(written: Written<String>, findings: &mut Findings) -> Option<AppName> {
    if matches!(written, Written::Absent) {
        let hint = "begin the file with a line such as: app = \"shop\"".to_owned();
        findings.add_absence(0..0, "the app has no name".into(), Some(hint));
    }
    let written = findings.value("app", written)?;
    match AppName::new(written.get_ref()) {
        Ok(name) => Some(name),
        Err(error) => {
            bad_name("an app", &written, &error, findings);
            None
        }
    }
}

fn service_name(written: &Spanned<String>, findings: &mut Findings) -> Option<ServiceName> {
    match ServiceName::new(written.get_ref()) {
        Ok(name) => Some(name),
        Err(error) => {
            bad_name("a service", written, &error, findings);
            None
        }
    }
}

/// Reports that `written` cannot name `what`.
fn bad_name(what: &str, written: &Spanned<String>, error: &NameError, findings: &mut Findings) {
    let text = written.get_ref();
    let message = format!("{} cannot name {what}: {error}", quoted(text));
    // Often only capitals and underscores are wrong; then the right name is easily told.
    let lower = text.to_lowercase().replace('_', "-");
    let hint = (lower != *text && AppName::new(&lower).is_ok())
        .then(|| format!("write it as {}", quoted(&lower)));
    findings.add(written.span(), message).hint(hint);
}

/// The services in the order of the file.
fn services(
    written: Written<Table<Service>>,
    findings: &mut Findings,
) -> Vec<(Spanned<String>, Written<Service>)> {
    let example = || Some("add one, such as: [services.web] with run = \"./web\"".to_owned());
    let message = || "the app has no services".to_owned();
    if matches!(written, Written::Absent) {
        findings.add_absence(0..0, message(), example());
    }
    let Some(table) = findings.value("services", written) else {
        return Vec::new();
    };
    let span = table.span();
    let mut services: Vec<_> = table
        .into_inner()
        .into_iter()
        .map(|(key, service)| (key.0, service))
        .collect();
    services.sort_by_key(|(name, _)| name.span().start);
    if services.is_empty() {
        findings.add_absence(span, message(), example());
    }
    if let Some((first_too_many, _)) = services.get(limits::MOST_SERVICES) {
        let message = format!(
            "an app has at most {} services, this one has {}",
            limits::MOST_SERVICES,
            services.len()
        );
        findings
            .add(first_too_many.span(), message)
            .hint("split the app in two".to_owned());
    }
    services
}
