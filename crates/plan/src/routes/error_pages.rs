//! What routes show in place of errors: what the files said when their release was deployed.

use std::collections::BTreeMap;

use model::snapshot::ErrorPagesId;
use model::{Release, Route, Snapshot};

/// The key of what a release shows, where it shows anything of its own.
pub(super) fn id(release: &Release) -> Option<ErrorPagesId> {
    (!release.error_pages.is_empty()).then(|| format!("{}/{}", release.app.name, release.number))
}

/// Adds the pages of those `releases` that some of the routes are of.
pub(super) fn add_error_pages<'a>(
    snapshot: &mut Snapshot,
    releases: impl Iterator<Item = &'a Release>,
    routes: &BTreeMap<String, Route>,
) {
    for release in releases {
        let Some(id) = id(release) else { continue };
        let is_used = |route: &Route| route.error_pages.as_ref() == Some(&id);
        if routes.values().any(is_used) {
            let pages = release.error_pages.clone();
            snapshot.error_pages.insert(id, pages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{EdgeAddresses, snapshot};
    use crate::world::{World, app};
    use model::{ErrorPage, ErrorPages, ErrorStatus, Exposure, Host, PageText, PathPrefix};
    use std::sync::Arc;

    #[test]
    fn each_route_has_the_pages_of_its_own_release() {
        let exposed = |path: &str| {
            let mut app = app(&[("web", &[])]);
            app.services.values_mut().next().unwrap().expose = Some(Exposure {
                host: Host::new("a.test").unwrap(),
                path: PathPrefix::new(path).unwrap(),
                certificate: None,
                compress: false,
                security_headers: false,
            });
            app
        };
        let mut world = World::new(exposed("/old"));
        world.settle();
        world.deploy(exposed("/new"));
        for (number, text) in [(1, "old"), (2, "new")] {
            let release = Arc::make_mut(world.releases.get_mut(&number).unwrap());
            let page = ErrorPage {
                html: Some(PageText::new(text).unwrap()),
                json: None,
                services: false,
            };
            release.error_pages = ErrorPages([(ErrorStatus::Class(5), page)].into());
        }
        let edge = EdgeAddresses {
            plain: ([127, 0, 0, 1], 1).into(),
            tls: ([127, 0, 0, 1], 2).into(),
        };
        let shown = |world: &World| -> Vec<_> {
            let snapshot = snapshot([&world.seen()], &BTreeMap::new(), edge);
            let ids = snapshot.routes.values();
            let ids: Vec<_> = ids
                .map(|route| route.error_pages.clone().unwrap())
                .collect();
            let known: Vec<_> = snapshot.error_pages.keys().cloned().collect();
            assert!(ids.iter().all(|id| known.contains(id)));
            assert_eq!(ids.len(), known.len());
            known
        };
        let name = world.seen().releases[&1].app.name.clone();
        assert_eq!(shown(&world), [format!("{name}/1"), format!("{name}/2")]);
        world.settle();
        assert_eq!(shown(&world), [format!("{name}/2")]);
    }
}
