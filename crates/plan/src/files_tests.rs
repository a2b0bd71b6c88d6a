//! Services that are files, from one release to the next.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use model::{
    App, Exposure, FieldValue, FilePath, Host, PathPrefix, ServiceName, StaticFiles, Work,
};

use crate::routes::{EdgeAddresses, snapshot};
use crate::world::{World, app, service};

fn edge() -> EdgeAddresses {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    EdgeAddresses {
        plain: address(8080),
        tls: address(8443),
    }
}

/// An app of `web` at the edge, which calls `api`, and of `docs` if that is asked for.
fn with(web: Option<&str>, docs: Option<&str>) -> App {
    let mut all = match docs {
        Some(_) => app(&[("web", &["docs"]), ("docs", &[])]),
        None => app(&[("web", &[])]),
    };
    for (name, folder) in [("web", web), ("docs", docs)] {
        let Some(declared) = all.services.get_mut(&service(name)) else {
            continue;
        };
        declared.expose = Some(Exposure {
            host: Host::new(&format!("{name}.test")).unwrap(),
            path: PathPrefix::root(),
            certificate: None,
            compress: false,
            security_headers: false,
        });
        if let Some(folder) = folder {
            declared.replicas = 0;
            declared.work = Work::Static(StaticFiles {
                folder: FilePath::new(folder).unwrap(),
                fallback: None,
                cache_control: FieldValue::new("no-cache").unwrap(),
            });
        }
    }
    all
}

/// What serves each service that is at the edge: its files, or `instances`.
fn served(world: &World) -> BTreeMap<ServiceName, String> {
    let snapshot = snapshot([&world.seen()], &BTreeMap::new(), edge());
    let served = snapshot.routes.values().flat_map(|route| route.services());
    let served = served.map(|id| {
        let upstream = &snapshot.upstreams[id];
        let by = match &upstream.files {
            Some(files) => files.root().display().to_string(),
            None if upstream.endpoints.is_empty() => "nothing".to_owned(),
            None => "instances".to_owned(),
        };
        (id.service.clone(), by)
    });
    served.collect()
}

fn by<const N: usize>(expected: [(&str, &str); N]) -> BTreeMap<ServiceName, String> {
    let expected = expected.into_iter();
    expected
        .map(|(name, by)| (service(name), by.to_owned()))
        .collect()
}

#[test]
fn files_are_served_without_instances_and_nobody_waits_for_them() {
    let mut world = World::new(with(None, Some("pages")));
    assert_eq!(served(&world)[&service("docs")], "/app/pages");
    let before = world.now;
    world.run_until_complete();
    assert_eq!(world.now, before, "its caller waited for it");
    assert_eq!(
        served(&world),
        by([("docs", "/app/pages"), ("web", "instances")])
    );
}

#[test]
fn what_changes_from_files_to_a_program_and_back_is_served_all_the_time() {
    let mut world = World::new(with(Some("old"), None));
    world.run_until_complete();
    assert_eq!(served(&world), by([("web", "/app/old")]));
    world.deploy(with(None, None));
    for _ in 0..50 {
        assert_ne!(served(&world), by([("web", "nothing")]));
        world.step();
    }
    world.run_until_complete();
    assert_eq!(served(&world), by([("web", "instances")]));
    world.deploy(with(Some("new"), None));
    assert_eq!(served(&world), by([("web", "/app/new")]));
    world.run_until_complete();
    assert_eq!(served(&world), by([("web", "/app/new")]));
    assert!(world.instances.is_empty());
}

#[test]
fn files_that_are_not_declared_any_more_are_served_until_all_else_is_ready() {
    let mut world = World::new(with(None, Some("pages")));
    world.run_until_complete();
    world.deploy(with(None, None));
    assert_eq!(
        served(&world),
        by([("docs", "/app/pages"), ("web", "instances")])
    );
    world.run_until_complete();
    assert_eq!(served(&world), by([("web", "instances")]));
}
