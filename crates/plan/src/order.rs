//! The order that `uses` gives to starting and stopping, cycles aside.

use std::collections::BTreeSet;

use model::{App, ServiceName};

/// The services that should be ready before `service` is started: those that it uses, except
/// where they, directly or not, use it in turn.
pub(crate) fn started_before<'a>(app: &'a App, service: &ServiceName) -> Vec<&'a ServiceName> {
    let Some(declared) = app.services.get(service) else {
        return Vec::new();
    };
    declared
        .uses
        .iter()
        .filter(|used| !reaches(app, used, service))
        .collect()
}

/// The services that should be gone before `service` is stopped: those that use it, except where
/// it, directly or not, uses them in turn.
pub(crate) fn stopped_before<'a>(app: &'a App, service: &ServiceName) -> Vec<&'a ServiceName> {
    app.services
        .iter()
        .filter(|(_, caller)| caller.uses.contains(service))
        .map(|(name, _)| name)
        .filter(|name| !reaches(app, service, name))
        .collect()
}

/// Whether `from` is `to`, or uses it directly or through others.
fn reaches(app: &App, from: &ServiceName, to: &ServiceName) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        for used in app
            .services
            .get(name)
            .into_iter()
            .flat_map(|service| &service.uses)
        {
            if seen.insert(used) {
                open.push(used);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{app, service};

    fn names(list: Vec<&ServiceName>) -> Vec<&str> {
        list.into_iter().map(ServiceName::as_str).collect()
    }

    #[test]
    fn a_chain_starts_from_its_end_and_stops_from_its_beginning() {
        let app = app(&[("web", &["api"]), ("api", &["db"]), ("db", &[])]);
        assert_eq!(names(started_before(&app, &service("web"))), ["api"]);
        assert_eq!(names(started_before(&app, &service("db"))), [""; 0]);
        assert_eq!(names(stopped_before(&app, &service("db"))), ["api"]);
        assert_eq!(names(stopped_before(&app, &service("web"))), [""; 0]);
    }

    #[test]
    fn members_of_a_cycle_do_not_wait_for_each_other() {
        let app = app(&[
            ("a", &["b", "db"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("db", &[]),
        ]);
        assert_eq!(names(started_before(&app, &service("a"))), ["db"]);
        assert_eq!(names(started_before(&app, &service("b"))), [""; 0]);
        assert_eq!(names(stopped_before(&app, &service("c"))), [""; 0]);
        assert_eq!(names(stopped_before(&app, &service("db"))), ["a"]);
    }

    #[test]
    fn a_service_that_uses_itself_waits_for_nobody() {
        let app = app(&[("a", &["a"])]);
        assert!(started_before(&app, &service("a")).is_empty());
    }
}
