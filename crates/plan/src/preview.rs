//! What a deploy would do, told before it is done.

mod routes;

use model::{App, Service, ServiceName};
use serde::Serialize;

pub use self::routes::{RouteAction, RoutePreview, leads_to, shown};

/// What a deploy would do to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Each service and what happens to it, in the order of their names.
    pub services: Vec<ServicePreview>,
    /// Each route that does not stay as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RoutePreview>,
}

/// What a deploy would do to one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServicePreview {
    /// The service.
    pub service: ServiceName,
    /// What happens.
    pub action: Action,
    /// How many instances it has now.
    pub instances_before: u16,
    /// How many it will have.
    pub instances_after: u16,
    /// The keys of its declaration that differ.
    pub changed: Vec<&'static str>,
    /// The services that are ready before its own instances start.
    pub starts_after: Vec<ServiceName>,
    /// Why it happens so, in words for the user.
    pub reason: String,
}

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is new: its instances are started.
    Start,
    /// Each instance is replaced, the new one ready before the old one drains.
    Replace,
    /// It is not declared any more: its instances drain and stop after their callers.
    Stop,
}

/// What deploying `new` over `old` would do.
pub fn preview(old: Option<&App>, new: &App) -> Preview {
    let before = |name: &ServiceName| old.and_then(|app| app.services.get(name));
    let declared = new.services.iter().map(|(name, service)| {
        let starts_after = crate::order::started_before(new, name)
            .into_iter()
            .cloned()
            .collect();
        kept_or_started(name, before(name), service, starts_after)
    });
    let dropped = old
        .into_iter()
        .flat_map(|app| &app.services)
        .filter(|(name, _)| !new.services.contains_key(*name))
        .map(|(name, service)| stopped(name, service));
    let mut services: Vec<_> = declared.chain(dropped).collect();
    services.sort_by(|a, b| a.service.cmp(&b.service));
    Preview {
        services,
        routes: routes::routes(old, new),
    }
}

fn kept_or_started(
    name: &ServiceName,
    before: Option<&Service>,
    after: &Service,
    starts_after: Vec<ServiceName>,
) -> ServicePreview {
    let changed = before
        .map(|before| changed_keys(before, after))
        .unwrap_or_default();
    let (action, reason) = match before {
        None => (Action::Start, "new in this release".to_owned()),
        Some(_) if changed.is_empty() => (
            Action::Replace,
            "same settings; its files may differ".to_owned(),
        ),
        Some(_) => (Action::Replace, format!("changed: {}", changed.join(", "))),
    };
    ServicePreview {
        service: name.clone(),
        action,
        instances_before: before.map_or(0, |service| service.replicas),
        instances_after: after.replicas,
        changed,
        starts_after,
        reason,
    }
}

fn stopped(name: &ServiceName, service: &Service) -> ServicePreview {
    ServicePreview {
        service: name.clone(),
        action: Action::Stop,
        instances_before: service.replicas,
        instances_after: 0,
        changed: Vec::new(),
        starts_after: Vec::new(),
        reason: "no longer declared; stops after its callers are replaced".to_owned(),
    }
}

fn changed_keys(before: &Service, after: &Service) -> Vec<&'static str> {
    let Service {
        work,
        build,
        replicas,
        uses,
        expose,
        env,
        health,
        protocol,
        tls,
        timeout,
        resilience,
        drain,
        volumes,
    } = before;
    [
        ("run", work.command() != after.work.command()),
        ("static", work.files() != after.work.files()),
        ("build", *build != after.build),
        ("replicas", *replicas != after.replicas),
        ("uses", *uses != after.uses),
        ("expose", *expose != after.expose),
        ("env", *env != after.env),
        ("health", *health != after.health),
        ("protocol", *protocol != after.protocol),
        ("tls", *tls != after.tls),
        ("timeout", *timeout != after.timeout),
        ("balance", resilience.balance != after.resilience.balance),
        ("overload", resilience.overload != after.resilience.overload),
        (
            "connections",
            resilience.connections != after.resilience.connections,
        ),
        ("hedge", resilience.hedge != after.resilience.hedge),
        ("drain", *drain != after.drain),
        ("volumes", *volumes != after.volumes),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::app;

    #[test]
    fn says_what_happens_to_each_service_and_why() {
        let old = app(&[("web", &["api"]), ("api", &[]), ("mail", &[])]);
        let mut new = app(&[("web", &["api", "db"]), ("api", &[]), ("db", &[])]);
        new.services
            .get_mut(&ServiceName::new("api").unwrap())
            .unwrap()
            .replicas = 3;
        insta::assert_json_snapshot!(preview(Some(&old), &new));
    }
}
