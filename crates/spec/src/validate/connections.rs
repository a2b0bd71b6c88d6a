//! How many requests are with the instances of a service at a time, and how long connections to them
//! are kept.

use model::Connections;
use toml::Spanned;

use super::values;
use crate::app_file;
use crate::findings::Findings;
use crate::limits;
use crate::written::Written;

/// What a service says of it.
pub(super) fn connections(
    written: Written<app_file::resilience::Connections>,
    findings: &mut Findings,
) -> Connections {
    let Some(value) = findings.value("connections", written) else {
        return Connections::default();
    };
    let span = value.span();
    let app_file::resilience::Connections {
        most,
        waiting,
        wait,
        idle,
        lifetime,
    } = value.into_inner();
    let is_there = !matches!(most, Written::Absent);
    let waits = !matches!((&waiting, &wait), (Written::Absent, Written::Absent));
    let rest = matches!((&idle, &lifetime), (Written::Absent, Written::Absent));
    if !is_there && waits {
        let message = "`connections` has no `most`: nothing waits for its turn";
        let hint = "say how many there may be, such as most = 20".to_owned();
        findings.add(span, message).hint(hint);
    } else if !is_there && rest {
        let hint = "say how many there may be, such as { most = 20 }".to_owned();
        findings.add_absence(span, "`connections` says nothing".into(), Some(hint));
    }
    let most = is_there.then(|| {
        let bounds = &limits::CONNECTIONS;
        values::number("connections.most", most, bounds, findings).into()
    });
    let waiting = values::number("connections.waiting", waiting, &limits::WAITING, findings);
    let mut time = |key, written, bounds| {
        let time = values::duration(key, written, bounds, findings);
        time.map(Spanned::into_inner)
    };
    let wait = time("connections.wait", wait, &limits::CONNECTION_WAIT);
    let idle = time("connections.idle", idle, &limits::CONNECTION_IDLE);
    Connections {
        most,
        waiting: waiting.into(),
        wait: wait.unwrap_or(limits::CONNECTION_WAIT.usual),
        idle: idle.unwrap_or(limits::CONNECTION_IDLE.usual),
        lifetime: time(
            "connections.lifetime",
            lifetime,
            &limits::CONNECTION_LIFETIME,
        ),
    }
}
