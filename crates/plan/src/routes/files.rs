//! What proxies serve by themselves: the files of services that have no instances.

use std::collections::BTreeMap;

use model::{Release, ServedFiles, Service, Snapshot, Upstream};

use super::upstream_id;

/// What a proxy serves itself of a service.
pub(super) fn served_files(release: &Release, service: &Service) -> Option<ServedFiles> {
    Some(ServedFiles {
        app_folder: release.root.clone(),
        files: service.work.files()?.clone(),
    })
}

/// Files of the release before the target are served until what takes their place is ready: they
/// have no instances that would be kept for that long.
pub(super) fn keep_files(snapshot: &mut Snapshot, before: &Release) {
    for (name, service) in &before.app.services {
        let Some(files) = served_files(before, service) else {
            continue;
        };
        let id = upstream_id(before, name);
        let upstream = snapshot.upstreams.entry(id).or_insert_with(|| Upstream {
            protocol: service.protocol,
            timeout: service.timeout,
            resilience: service.resilience.clone(),
            endpoints: BTreeMap::new(),
            files: None,
        });
        if upstream.endpoints.is_empty() {
            upstream.files.get_or_insert(files);
        }
    }
}
