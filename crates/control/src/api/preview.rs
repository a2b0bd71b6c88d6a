//! What a deploy would do, in the shape that users and programs are shown.

use model::App;
use plan::preview::{Action, RouteAction, preview};
use plan::routes::EdgeAddresses;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiError;
use crate::status;

/// What a deploy would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanAnswer {
    /// The app.
    pub app: String,
    /// The release that runs now.
    pub release: Option<u64>,
    /// What would happen to each service.
    pub services: Vec<ServicePlan>,
    /// What would happen to each route that does not stay as it is.
    #[serde(default)]
    pub routes: Vec<RoutePlan>,
    /// Why it would be refused now, where it would.
    pub obstacle: Option<ApiError>,
}

/// What a deploy would do to one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServicePlan {
    /// The service.
    pub service: String,
    /// `start`, `replace` or `stop`.
    pub action: String,
    /// How many instances it has now.
    pub instances_before: u16,
    /// How many it would have.
    pub instances_after: u16,
    /// The services that would be ready before its own instances start.
    pub starts_after: Vec<String>,
    /// Why.
    pub reason: String,
    /// Where it would be reached from outside.
    pub url: Option<String>,
}

/// What a deploy would do to one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutePlan {
    /// Which requests it is for.
    pub route: String,
    /// `add`, `change` or `remove`.
    pub action: String,
    /// Where it leads, or led.
    pub leads_to: String,
}

impl PlanAnswer {
    /// What deploying `app` would do where `running`, a release's number and content, runs and the
    /// edge listens on `edge`. It asks nobody, so it can be told without a server too.
    pub fn new(
        running: Option<(u64, &App)>,
        app: &App,
        edge: EdgeAddresses,
        obstacle: Option<ApiError>,
    ) -> Self {
        let preview = preview(running.map(|(_, app)| app), app);
        let routes = preview.routes.into_iter().map(|route| RoutePlan {
            route: route.route,
            action: match route.action {
                RouteAction::Add => "add".into(),
                RouteAction::Change => "change".into(),
                RouteAction::Remove => "remove".into(),
            },
            leads_to: route.leads_to,
        });
        let services = preview.services.into_iter().map(|service| ServicePlan {
            url: status::url(app, &service.service, edge),
            service: service.service.to_string(),
            action: match service.action {
                Action::Start => "start".into(),
                Action::Replace => "replace".into(),
                Action::Stop => "stop".into(),
            },
            instances_before: service.instances_before,
            instances_after: service.instances_after,
            starts_after: service
                .starts_after
                .iter()
                .map(ToString::to_string)
                .collect(),
            reason: service.reason,
        });
        Self {
            app: app.name.to_string(),
            release: running.map(|(number, _)| number),
            services: services.collect(),
            routes: routes.collect(),
            obstacle,
        }
    }
}
