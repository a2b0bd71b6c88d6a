//! What a deploy would do to the routes of an app. What services expose is part of the services.

use std::collections::BTreeMap;

use model::{Action, App, Matching, PathPattern, Rule, ServiceName};
use serde::Serialize;

/// What a deploy would do to one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoutePreview {
    /// Which requests it is for.
    pub route: String,
    /// What happens to it.
    pub action: RouteAction,
    /// Where it leads, or led.
    pub leads_to: String,
}

/// What happens to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteAction {
    /// It is new.
    Add,
    /// It is for the same requests, and does something else with them.
    Change,
    /// It goes.
    Remove,
}

/// What deploying `new` over `old` would do to routes: those that stay as they are are left out.
pub(super) fn routes(old: Option<&App>, new: &App) -> Vec<RoutePreview> {
    let by_requests = |app: &App| -> BTreeMap<String, Rule<ServiceName>> {
        let rules = app.routes.iter();
        let keyed = rules.map(|rule| (rule.matching.to_string(), rule.clone()));
        keyed.collect()
    };
    let (before, after) = (old.map(by_requests).unwrap_or_default(), by_requests(new));
    let kept = after.iter().filter_map(|(route, rule)| {
        let action = match before.get(route) {
            None => RouteAction::Add,
            Some(other) if is_same(other, rule) => return None,
            Some(_) => RouteAction::Change,
        };
        Some(preview(rule, action))
    });
    let gone = before
        .iter()
        .filter(|(route, _)| !after.contains_key(*route));
    let gone = gone.map(|(_, rule)| preview(rule, RouteAction::Remove));
    let mut all: Vec<_> = kept.chain(gone).collect();
    all.sort_by(|one, other| one.route.cmp(&other.route));
    all
}

/// Whether two rules for the same requests do the same. Their places in the file do not matter.
fn is_same(one: &Rule<ServiceName>, other: &Rule<ServiceName>) -> bool {
    one.action == other.action && one.treatment == other.treatment && one.mirror == other.mirror
}

fn preview(rule: &Rule<ServiceName>, action: RouteAction) -> RoutePreview {
    RoutePreview {
        route: shown(&rule.matching),
        action,
        leads_to: leads_to(rule),
    }
}

/// Which requests a rule is for, in words for the user.
pub fn shown(matching: &Matching) -> String {
    let Matching { host, path, .. } = matching;
    let is_exact = matches!(path, PathPattern::Exact { .. });
    let exact = if is_exact { " exactly" } else { "" };
    let all = matching.to_string();
    // What stands in front is for machines.
    let conditions = all.strip_prefix(&matching.place()).unwrap_or_default();
    format!("{host}{path}{exact}{conditions}")
}

/// Where a rule leads, in words for the user.
pub fn leads_to(rule: &Rule<ServiceName>) -> String {
    match &rule.action {
        Action::Redirect(_) => "a redirect".to_owned(),
        Action::Upstream(_) | Action::Split(_) => {
            let names: Vec<&str> = rule.services().map(ServiceName::as_str).collect();
            names.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::app;

    #[test]
    fn what_is_new_other_and_gone_is_told_and_what_stays_is_not() {
        let with = |routes: &str| {
            let mut app = app(&[("web", &[]), ("api", &[])]);
            app.routes = serde_json::from_str(routes).unwrap();
            app
        };
        let old = with(
            r#"[{"host": "a.test", "path": "/", "upstream": "web"},
                {"host": "b.test", "path": "/", "order": 1, "upstream": "web"},
                {"host": "c.test", "path": {"exact": "/x"}, "order": 2, "upstream": "web"}]"#,
        );
        let new = with(
            r#"[{"host": "c.test", "path": {"template": "/{id}"}, "methods": ["GET"],
                 "split": [{"service": "web", "weight": 1}, {"service": "api", "weight": 1}]},
                {"host": "b.test", "path": "/", "order": 1, "upstream": "web", "body_limit": 1},
                {"host": "a.test", "path": "/", "order": 2, "upstream": "web"}]"#,
        );
        let told = |old: Option<&App>, new: &App| -> Vec<(String, RouteAction, String)> {
            let routes = routes(old, new).into_iter();
            routes.map(|r| (r.route, r.action, r.leads_to)).collect()
        };
        let line = |route: &str, action, to: &str| (route.to_owned(), action, to.to_owned());
        assert_eq!(
            told(Some(&old), &new),
            [
                line("b.test/", RouteAction::Change, "web"),
                line("c.test/x exactly", RouteAction::Remove, "web"),
                line("c.test/{id} GET", RouteAction::Add, "web, api"),
            ]
        );
        assert_eq!(told(Some(&old), &old), []);
        assert_eq!(told(None, &old).len(), 3);
    }
}
