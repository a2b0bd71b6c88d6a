//! The plan for one app: which instances are wanted, which are not, and whether the rollout of
//! its newest release has ended.

use std::collections::BTreeSet;

use model::{
    App, Failure, InstanceId, Intent, ObservedApp, ObservedInstance, Phase, Plan, Release,
    RolloutState, ServiceName, Step, Timestamp, Wait,
};

use crate::instance::{self, whole_seconds};
use crate::order;
use crate::settings::{LISTENER_LIMIT, MOST_STARTING, PROXY_LIMIT, START_ORDER_LIMIT, SURGE};

/// The steps that bring `seen` closer to what is desired, and why everything else waits.
pub fn plan(seen: &ObservedApp, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match (seen.desired.intent, seen.releases.get(&seen.desired.target)) {
        (Intent::Run, Some(target)) => run(&mut plan, seen, target, now),
        // A target that is not kept cannot be run; the server never lets that happen, and to
        // stop everything would be the worst answer to its mistake.
        (Intent::Run, None) => plan.waits.push(Wait {
            service: None,
            instance: None,
            reason: format!("release {} is not in the store", seen.desired.target),
        }),
        (Intent::Down | Intent::Halted, _) => down(&mut plan, seen, now),
    }
    plan
}

fn run(plan: &mut Plan, seen: &ObservedApp, target: &Release, now: Timestamp) {
    let progressing = seen.desired.rollout.state == RolloutState::Progressing;
    if progressing && let Some(failure) = failure(plan, seen, target, now) {
        plan.steps.push(Step::Abandon {
            release: target.number,
            failure,
        });
        return;
    }
    let retired = retired(seen, target);
    for (id, observed) in &seen.instances {
        if observed.record.phase.is_going() || retired.contains(id) {
            instance::remove(plan, observed, now);
        } else if let Some(service) = seen
            .releases
            .get(&id.release)
            .and_then(|release| release.app.services.get(&id.service))
        {
            instance::keep(plan, observed, service, now);
        }
    }
    launch(plan, seen, target, now);
    if !progressing || !is_full(seen, target) {
        return;
    }
    if is_complete(seen, target) {
        plan.steps.push(Step::Confirm {
            release: target.number,
        });
    } else if let Some(reason) = &seen.unacknowledged {
        plan.waits.push(Wait {
            service: None,
            instance: None,
            reason: reason.clone(),
        });
    }
}

/// Why the rollout of `target` has to be given up, if it has.
fn failure(
    plan: &mut Plan,
    seen: &ObservedApp,
    target: &Release,
    now: Timestamp,
) -> Option<Failure> {
    let of_instance = seen.instances.iter().find_map(|(id, observed)| {
        let service = target.app.services.get(&id.service)?;
        let concerned = id.release == target.number && !observed.record.phase.is_going();
        concerned
            .then(|| instance::rollout_failure(observed, service, now))
            .flatten()
    });
    of_instance
        .or_else(|| listener_failure(plan, seen, now))
        .or_else(|| proxy_failure(plan, seen, now))
}

/// A listener that has been one that cannot be opened for too long.
fn listener_failure(plan: &mut Plan, seen: &ObservedApp, now: Timestamp) -> Option<Failure> {
    let of_edge = seen.edge_failure.iter().map(|failure| (None, failure));
    let of_services = seen.listener_failures.iter();
    let of_services = of_services.map(|(service, failure)| (Some(service.clone()), failure));
    for (service, failure) in of_edge.chain(of_services) {
        let limit = failure.since.after(LISTENER_LIMIT);
        if now >= limit {
            return Some(Failure {
                service,
                instance: None,
                message: failure.error.clone(),
                exit: None,
            });
        }
        instance::wake_at(plan, limit);
    }
    None
}

/// No proxy for too long: nothing that is rolled out could be reached.
fn proxy_failure(plan: &mut Plan, seen: &ObservedApp, now: Timestamp) -> Option<Failure> {
    let limit = seen.without_proxy_since?.after(PROXY_LIMIT);
    if now < limit {
        instance::wake_at(plan, limit);
        return None;
    }
    Some(Failure {
        service: None,
        instance: None,
        message: format!("no proxy has been connected for {PROXY_LIMIT:?}"),
        exit: None,
    })
}

/// The instances that are not going yet and should be.
fn retired(seen: &ObservedApp, target: &Release) -> BTreeSet<InstanceId> {
    let mut retired = BTreeSet::new();
    for (name, service) in &target.app.services {
        let (fresh, old) = split(seen, name, target.number);
        let wanted = usize::from(service.replicas);
        let ready = |list: &[&ObservedInstance]| {
            list.iter()
                .filter(|observed| observed.record.phase.is_ready())
                .count()
        };
        // An old instance that is not ready carries nothing and is in the way of a mend.
        let mut spare = (ready(&fresh) + ready(&old)).saturating_sub(wanted);
        for observed in &old {
            if observed.record.phase.is_ready() {
                if spare == 0 {
                    continue;
                }
                spare -= 1;
            }
            retired.insert(observed.record.id.clone());
        }
        retired.extend(
            fresh
                .iter()
                .skip(wanted)
                .map(|observed| observed.record.id.clone()),
        );
    }
    // What a release no longer declares may still be called by its predecessor's instances, and
    // the edge still sends it what goes elsewhere only when all is ready there.
    let old_callers = seen
        .instances
        .keys()
        .any(|id| id.release != target.number && target.app.services.contains_key(&id.service));
    let progressing = seen.desired.rollout.state == RolloutState::Progressing;
    if !old_callers && (is_full(seen, target) || !progressing) {
        let undeclared = |id: &&InstanceId| !target.app.services.contains_key(&id.service);
        retired.extend(seen.instances.keys().filter(undeclared).cloned());
    }
    retired
}

/// The instances of a service that count as copies of it: of `release`, and of others.
fn split<'a>(
    seen: &'a ObservedApp,
    service: &ServiceName,
    release: u64,
) -> (Vec<&'a ObservedInstance>, Vec<&'a ObservedInstance>) {
    seen.instances
        .values()
        .filter(|observed| observed.record.id.service == *service)
        .filter(|observed| !observed.record.phase.is_going())
        .partition(|observed| observed.record.id.release == release)
}

fn launch(plan: &mut Plan, seen: &ObservedApp, target: &Release, now: Timestamp) {
    let starting =
        |observed: &&ObservedInstance| matches!(observed.record.phase, Phase::Starting { .. });
    let mut room = MOST_STARTING.saturating_sub(seen.instances.values().filter(starting).count());
    for (name, service) in &target.app.services {
        let (fresh, old) = split(seen, name, target.number);
        let wanted = usize::from(service.replicas);
        let missing = wanted.saturating_sub(fresh.len());
        if missing == 0 {
            continue;
        }
        if let Some(reason) = obstacle(plan, seen, target, name, now) {
            plan.waits.push(Wait {
                service: Some(name.clone()),
                instance: None,
                reason,
            });
            continue;
        }
        let surge = (wanted + SURGE).saturating_sub(fresh.len() + old.len());
        let count = missing.min(surge).min(room);
        room -= count;
        let ids = free_ordinals(seen, target, name).take(count);
        plan.steps
            .extend(ids.map(|instance| Step::Launch { instance }));
        if count < missing {
            let reason = format!("{missing} more instances start when others are done");
            plan.waits.push(Wait {
                service: Some(name.clone()),
                instance: None,
                reason,
            });
        }
    }
}

/// What keeps a service's instances from being launched now.
fn obstacle(
    plan: &mut Plan,
    seen: &ObservedApp,
    target: &Release,
    service: &ServiceName,
    now: Timestamp,
) -> Option<String> {
    if let Some(reason) = seen.unserved.get(service) {
        return Some(reason.clone());
    }
    let limit = seen.desired.rollout.started.after(START_ORDER_LIMIT);
    if now >= limit {
        return None;
    }
    let is_up = |used: &ServiceName| {
        let service = target.app.services.get(used);
        if service.is_some_and(|service| service.work.files().is_some()) {
            return true;
        }
        let (fresh, _) = split(seen, used, target.number);
        fresh
            .iter()
            .any(|observed| observed.record.phase.is_ready())
    };
    let missing = order::started_before(&target.app, service)
        .into_iter()
        .find(|used| !is_up(used))?;
    instance::wake_at(plan, limit);
    Some(format!(
        "starts when {missing} is ready, or in {} anyway",
        whole_seconds(limit.since(now))
    ))
}

/// Names for new instances of a service, smallest ordinal first.
fn free_ordinals(
    seen: &ObservedApp,
    target: &Release,
    service: &ServiceName,
) -> impl Iterator<Item = InstanceId> {
    (1..)
        .map(|ordinal| InstanceId {
            app: target.app.name.clone(),
            service: service.clone(),
            release: target.number,
            ordinal,
        })
        .filter(|id| !seen.instances.contains_key(id))
}

/// Whether the release runs in full, nothing else does, and every proxy serves it.
fn is_complete(seen: &ObservedApp, target: &Release) -> bool {
    is_full(seen, target)
        && seen.edge_failure.is_none()
        && seen.unacknowledged.is_none()
        && seen.instances.keys().all(|id| id.release == target.number)
}

/// Whether all instances of the release are ready.
pub(crate) fn is_full(seen: &ObservedApp, target: &Release) -> bool {
    let full = |(name, service): (&ServiceName, &model::Service)| {
        let (fresh, _) = split(seen, name, target.number);
        let ready = fresh
            .iter()
            .filter(|observed| observed.record.phase.is_ready())
            .count();
        ready >= usize::from(service.replicas)
    };
    target.app.services.iter().all(full)
}

/// Stops everything, callers before what they call, and then forgets the app if its user said so.
fn down(plan: &mut Plan, seen: &ObservedApp, now: Timestamp) {
    if seen.instances.is_empty() && seen.desired.intent == Intent::Down {
        plan.steps.push(Step::ForgetApp);
    }
    let present: BTreeSet<&ServiceName> = seen.instances.keys().map(|id| &id.service).collect();
    let declared: Option<&App> = seen.releases.get(&seen.desired.target).map(|r| &r.app);
    for (id, observed) in &seen.instances {
        let caller = declared
            .and_then(|app| {
                order::stopped_before(app, &id.service)
                    .into_iter()
                    .find(|c| present.contains(c))
            })
            .filter(|_| !observed.record.phase.is_going());
        match caller {
            Some(caller) => plan.waits.push(Wait {
                service: Some(id.service.clone()),
                instance: Some(id.clone()),
                reason: format!("stops when {caller}, which calls it, is gone"),
            }),
            None => instance::remove(plan, observed, now),
        }
    }
}

#[cfg(test)]
#[path = "app_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
