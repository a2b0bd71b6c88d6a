//! `roadbed plan`: what a deploy would do, and why.

use std::process::ExitCode;

use control::{PlanAnswer, RoutePlan, ServicePlan, file_obstacle};

use crate::api_client::ApiFailure;
use crate::arguments::Plan;
use crate::commands::{request, runtime, wrap};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{print_json, print_result};

pub(crate) fn run(plan: &Plan, context: &Context) -> Result<ExitCode, Failure> {
    let app = spec::load(&plan.app.path)?;
    let answer = runtime()?.block_on(async {
        match request::plan(&context.client(), &app, false).await {
            // Where neither server nor proxy runs nothing does that would be replaced.
            Err(ApiFailure::NoServer(_)) if !proxy::is_running(context.home.path()) => {
                let obstacle = file_obstacle(&app.app, &app.folder);
                let edge = context.edge(None, None);
                Ok(PlanAnswer::new(None, &app.app, edge, obstacle))
            }
            other => other.map_err(Failure::from),
        }
    })?;
    if plan.json {
        return print_json(&answer);
    }
    print_result(&render(&answer))
}

fn render(answer: &PlanAnswer) -> String {
    let mut text = match answer.release {
        Some(release) => format!("{} runs release {release}; a deploy would\n", answer.app),
        None => format!("{} does not run; a deploy would\n", answer.app),
    };
    for service in &answer.services {
        text.push_str(&render_service(service));
    }
    for route in &answer.routes {
        text.push_str(&render_route(route));
    }
    if let Some(obstacle) = &answer.obstacle {
        text.push_str(&wrap::wrap(
            &format!("refused now: {}", obstacle.message),
            0,
        ));
        if let Some(hint) = &obstacle.hint {
            text.push_str(&wrap::wrap(&format!("hint: {hint}"), 0));
        }
    }
    text
}

fn render_route(route: &RoutePlan) -> String {
    let RoutePlan {
        route,
        action,
        leads_to,
    } = route;
    wrap::wrap(&format!("{action} route {route}, to {leads_to}"), 2)
}

fn render_service(service: &ServicePlan) -> String {
    let instances = match (service.instances_before, service.instances_after) {
        (0, after) => format!("{after}"),
        (before, after) if before == after => format!("{after}"),
        (before, after) => format!("{before} -> {after}"),
    };
    let mut text = wrap::wrap(
        &format!(
            "{} {} ({instances}): {}",
            service.action, service.service, service.reason
        ),
        2,
    );
    if !service.starts_after.is_empty() {
        text.push_str(&wrap::wrap(
            &format!("when {} is ready", service.starts_after.join(", ")),
            6,
        ));
    }
    if let Some(url) = &service.url {
        text.push_str(&format!("      at {url}\n"));
    }
    text
}
