//! The life of one instance: what its process and probes say, turned into phases.

use std::time::Duration;

use model::{
    Asked, Exit, ExitCause, Failure, Hold, ObservedInstance, Phase, Plan, ProcessState, Service,
    Step, Timestamp, Wait,
};

use crate::backoff::{is_crash_loop, restart_delay};
use crate::settings::{ROLLOUT_STREAK, STABLE};

/// What becomes of an instance that is wanted: it starts, becomes ready, fails, ends and is
/// started again.
pub(crate) fn keep(plan: &mut Plan, seen: &ObservedInstance, service: &Service, now: Timestamp) {
    match &seen.process {
        ProcessState::Unknown => {}
        ProcessState::Ended(exit) => ended(plan, seen, service, exit, now),
        ProcessState::Running => running(plan, seen, service, now),
    }
}

fn running(plan: &mut Plan, seen: &ObservedInstance, service: &Service, now: Timestamp) {
    let passing = seen.probe.passing == Some(true);
    let enter = |phase| Step::Enter {
        instance: seen.record.id.clone(),
        phase,
    };
    let ready = enter(Phase::Ready { since: now });
    match seen.record.phase {
        Phase::Starting { .. } | Phase::Failing { .. } if passing => plan.steps.push(ready),
        Phase::Starting { since } | Phase::Failing { since } => {
            let limit = since.after(service.health.deadline);
            if now >= limit {
                if seen.asked < Asked::Kill {
                    plan.steps.push(Step::Kill {
                        instance: seen.record.id.clone(),
                    });
                }
                wait(plan, seen, "being killed: it was not ready in time".into());
            } else {
                wake_at(plan, limit);
                wait(plan, seen, not_ready(seen));
            }
        }
        Phase::Ready { .. } if seen.probe.failures >= u32::from(service.health.failures) => {
            plan.steps.push(enter(Phase::Failing { since: now }));
        }
        // The process runs, so the attempt that was waited for has been made.
        Phase::Waiting { .. } => plan.steps.push(enter(Phase::Starting { since: now })),
        Phase::Ready { .. } | Phase::Leaving { .. } | Phase::Stopping { .. } => {}
    }
}

/// Why an instance that is not well past its deadline is killed.
fn unhealthy(seen: &ObservedInstance, service: &Service) -> Option<String> {
    let limit = service.health.deadline;
    let what = match seen.record.phase {
        Phase::Starting { .. } => format!("not ready within {limit:?}"),
        Phase::Failing { .. } => format!("failed its probes for {limit:?}"),
        _ => return None,
    };
    Some(match &seen.probe.last_failure {
        Some(failure) => format!("{what}; its last probe said: {failure}"),
        None => format!("{what}; no probe was answered"),
    })
}

fn ended(plan: &mut Plan, seen: &ObservedInstance, service: &Service, exit: &Exit, now: Timestamp) {
    let record = &seen.record;
    if let Phase::Waiting { until } = record.phase {
        if now >= until {
            plan.steps.push(Step::Relaunch {
                instance: record.id.clone(),
            });
        } else {
            wake_at(plan, until);
            wait(
                plan,
                seen,
                restarting(record.streak, exit, until.since(now)),
            );
        }
        return;
    }
    let streak = next_streak(seen, now);
    let until = now.after(restart_delay(&record.id, record.attempt, streak));
    let instance = record.id.clone();
    let exit = match (seen.asked, unhealthy(seen, service)) {
        (Asked::Kill, Some(reason)) => Exit {
            cause: ExitCause::Unhealthy { reason },
            ..exit.clone()
        },
        _ => exit.clone(),
    };
    plan.steps.push(Step::RecordExit {
        instance,
        exit,
        streak,
        until,
    });
    wake_at(plan, until);
}

/// How many ends in a row there are with the one that is seen now and not in the record yet.
fn next_streak(seen: &ObservedInstance, now: Timestamp) -> u32 {
    match seen.record.phase {
        Phase::Ready { since } if now.since(since) >= STABLE => 1,
        _ => seen.record.streak.saturating_add(1),
    }
}

/// What becomes of an instance that is not wanted any more: it leaves the routes, finishes what
/// it has begun, is told to stop and is forgotten.
pub(crate) fn remove(plan: &mut Plan, seen: &ObservedInstance, now: Timestamp) {
    let record = &seen.record;
    let instance = record.id.clone();
    if matches!(seen.process, ProcessState::Ended(_)) && record.phase.is_going() {
        plan.steps.push(Step::Forget { instance });
        return;
    }
    match record.phase {
        Phase::Leaving { since } => {
            let limit = since.after(record.drain);
            match &seen.hold {
                Some(Hold::Busy { .. }) if now >= limit => stop(plan, seen, now),
                Some(hold @ Hold::Busy { .. }) => {
                    wake_at(plan, limit);
                    wait(plan, seen, held(hold));
                }
                // No limit here: a proxy that has not acknowledged may still send requests.
                Some(hold) => wait(plan, seen, held(hold)),
                None => stop(plan, seen, now),
            }
        }
        Phase::Stopping { .. } => {
            if seen.process == ProcessState::Running && seen.asked < Asked::Stop {
                plan.steps.push(Step::Terminate { instance });
            }
            let reason = match seen.process {
                ProcessState::Unknown => "stopping: its process is being looked for",
                _ => "stopping: its process has been told to end",
            };
            wait(plan, seen, reason.into());
        }
        _ => plan.steps.push(Step::Enter {
            instance,
            phase: Phase::Leaving { since: now },
        }),
    }
}

fn stop(plan: &mut Plan, seen: &ObservedInstance, now: Timestamp) {
    let instance = seen.record.id.clone();
    plan.steps.push(Step::Enter {
        instance,
        phase: Phase::Stopping { since: now },
    });
}

/// Why this instance of a new release fails its rollout, if it does.
pub(crate) fn rollout_failure(
    seen: &ObservedInstance,
    service: &Service,
    now: Timestamp,
) -> Option<Failure> {
    let record = &seen.record;
    let because = |message: String, exit: Option<Exit>| Failure {
        service: Some(record.id.service.clone()),
        instance: Some(record.id.clone()),
        message,
        exit,
    };
    if seen.process == ProcessState::Unknown {
        // Nothing can be said of what has not been started or found yet.
        return None;
    }
    if let ProcessState::Ended(exit) = &seen.process {
        let streak = match record.phase {
            Phase::Waiting { .. } => record.streak,
            _ => next_streak(seen, now),
        };
        return match &exit.cause {
            ExitCause::NotStarted {
                permanent: true, ..
            } => Some(because(exit.cause.to_string(), Some(exit.clone()))),
            cause if streak >= ROLLOUT_STREAK => {
                let message = format!("{cause}, {streak} times in a row");
                Some(because(message, Some(exit.clone())))
            }
            _ => None,
        };
    }
    match record.phase {
        Phase::Starting { since } if now >= since.after(service.health.deadline) => {
            unhealthy(seen, service).map(|reason| because(reason, None))
        }
        _ => None,
    }
}

fn not_ready(seen: &ObservedInstance) -> String {
    match &seen.probe.last_failure {
        Some(failure) => format!("not ready: {failure}"),
        None => "starting".into(),
    }
}

fn restarting(streak: u32, exit: &Exit, left: Duration) -> String {
    let next = format!("{}; next start in {}", exit.cause, whole_seconds(left));
    match is_crash_loop(streak) {
        true => format!("crash loop ({streak} ends in a row): {next}"),
        false => next,
    }
}

/// A time as users read it: rounded up, for nobody counts milliseconds.
pub(crate) fn whole_seconds(duration: Duration) -> String {
    format!("{}s", duration.as_millis().div_ceil(1000))
}

fn held(hold: &Hold) -> String {
    match hold {
        Hold::Unacknowledged {
            waiting,
            proxies,
            generation,
        } => format!(
            "waiting for {waiting} of {proxies} proxies to acknowledge generation {generation}"
        ),
        Hold::Busy { requests: 1 } => "draining: 1 request in flight".into(),
        Hold::Busy { requests } => format!("draining: {requests} requests in flight"),
    }
}

fn wait(plan: &mut Plan, seen: &ObservedInstance, reason: String) {
    let instance = seen.record.id.clone();
    plan.waits.push(Wait {
        service: Some(instance.service.clone()),
        instance: Some(instance),
        reason,
    });
}

/// Has the plan made again at `at`, if nothing is due sooner.
pub(crate) fn wake_at(plan: &mut Plan, at: Timestamp) {
    plan.wake = Some(plan.wake.map_or(at, |wake| wake.min(at)));
}
