//! What an instance is started with: its environment, and the rest of its launch.

use std::collections::BTreeMap;

use model::{InstanceRecord, Protocol, Release, Service, ServiceName};
use runner::{Launch, Restart, UnitName};

use crate::home::Home;

/// Variables that instances inherit from the server. The rest of its environment is its own:
/// what a user exported for other reasons must not leak into services.
const INHERITED: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR",
];

/// Where a service finds those that it uses: their protocol and the port of its own listener.
pub(crate) type Addresses = BTreeMap<ServiceName, (Protocol, u16)>;

/// What every process starts from.
pub(crate) fn base_environment() -> BTreeMap<String, String> {
    INHERITED
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

/// The complete environment of one instance; the later of two values for a name wins: inherited,
/// declared, injected (which the spec does not allow to be declared).
pub(super) fn of_instance(
    base: &BTreeMap<String, String>,
    home: &Home,
    record: &InstanceRecord,
    service: &Service,
    addresses: &Addresses,
) -> BTreeMap<String, String> {
    let id = &record.id;
    let mut all = base.clone();
    all.extend(service.env.clone());
    for (used, (protocol, port)) in addresses {
        let prefix = used.environment_prefix();
        let scheme = match protocol.is_http() {
            true => "http",
            false => "tcp",
        };
        all.insert(
            format!("{prefix}_URL"),
            format!("{scheme}://127.0.0.1:{port}"),
        );
        all.insert(format!("{prefix}_ADDR"), format!("127.0.0.1:{port}"));
    }
    for volume in &service.volumes {
        let path = home.volume(&id.app, &id.service, volume);
        all.insert(
            format!("{}_DIR", volume.environment_prefix()),
            path.display().to_string(),
        );
    }
    let own = [
        ("PORT", record.port.to_string()),
        ("ROADBED_APP", id.app.to_string()),
        ("ROADBED_SERVICE", id.service.to_string()),
        ("ROADBED_INSTANCE", id.to_string()),
        ("ROADBED_RELEASE", id.release.to_string()),
    ];
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// How the present attempt of `record` is launched; none where its service has no program.
pub(super) fn launch(
    home: &Home,
    record: &InstanceRecord,
    release: &Release,
    service: &Service,
    environment: BTreeMap<String, String>,
) -> Option<Launch> {
    Some(Launch {
        unit: UnitName::from(&record.id),
        attempt: record.attempt,
        command: service.work.command()?.clone(),
        folder: release.root.clone(),
        environment,
        stop_limit: service.drain,
        logs: home.instance_logs(&record.id),
        restart: Restart::Never,
    })
}
