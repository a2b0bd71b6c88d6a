//! The planner against a small world, whatever is deployed and however it behaves.

use std::collections::BTreeMap;

use model::*;
use proptest::prelude::*;

use crate::routes;
use crate::world::{Behaviour, World, app, service};

fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        4 => Just(Behaviour::Works),
        1 => Just(Behaviour::Crashes),
        1 => Just(Behaviour::NeverReady),
        1 => Just(Behaviour::Missing),
    ]
}

fn any_app() -> impl Strategy<Value = App> {
    let graph = proptest::collection::vec((0..5usize, 0..5usize), 0..8);
    let replicas = proptest::collection::vec(1..4u16, 5);
    let exposed = proptest::option::of((0..5usize, any::<bool>()));
    (1..5usize, graph, replicas, exposed).prop_map(|(count, uses, replicas, exposed)| {
        let names = ["a", "b", "c", "d", "e"];
        let mut app = app(&names[..count]
            .iter()
            .map(|n| (*n, &[][..]))
            .collect::<Vec<_>>());
        for (from, to) in uses {
            if from < count && to < count {
                let caller = app.services.get_mut(&service(names[from])).unwrap();
                caller.uses.insert(service(names[to]));
            }
        }
        for (declared, replicas) in app.services.values_mut().zip(replicas) {
            declared.replicas = replicas;
        }
        // Always the same host, so that the services of different releases take it over.
        if let Some((exposed, in_tls)) = exposed.filter(|(exposed, _)| *exposed < count) {
            let declared = app.services.get_mut(&service(names[exposed])).unwrap();
            declared.expose = Some(Exposure {
                host: Host::new("shop.localhost").unwrap(),
                path: PathPrefix::root(),
                certificate: in_tls.then(|| CertificateFiles {
                    certificate: FilePath::new("shop.pem").unwrap(),
                    key: FilePath::new("shop.key").unwrap(),
                }),
                compress: false,
                security_headers: false,
            });
        }
        app
    })
}

fn snapshot(world: &World) -> Snapshot {
    let edge = routes::EdgeAddresses {
        plain: ([127, 0, 0, 1], 8080).into(),
        tls: ([127, 0, 0, 1], 8443).into(),
    };
    routes::snapshot([&world.seen()], &BTreeMap::new(), edge)
}

/// Whether the edge serves anything in TLS at present.
fn serves_tls(world: &World) -> bool {
    let snapshot = snapshot(world);
    let listens = snapshot.listeners.contains_key(routes::EDGE_TLS);
    assert_eq!(listens, !snapshot.certificates.is_empty());
    listens
}

/// The endpoints of what the edge serves at present, if it serves anything.
fn served(world: &World) -> Option<usize> {
    let snapshot = snapshot(world);
    let route = snapshot.routes.values().next()?;
    let upstream = snapshot.upstreams.get(route.services().next()?);
    Some(upstream.map_or(0, |upstream| upstream.endpoints.len()))
}

fn exposes(app: &App) -> bool {
    app.is_exposed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is deployed and however it behaves, the world ends in one release, ready in full
    /// (or halted, if none ever worked), and a confirmed release never loses ready capacity
    /// below what both releases declare, nor its place at the edge, in TLS too where both have
    /// it, whichever service holds it.
    #[test]
    fn every_history_of_deploys_ends_in_exactly_one_release(
        history in proptest::collection::vec((any_app(), any_behaviour()), 1..5)
    ) {
        let mut world = World::new(history[0].0.clone());
        world.behaviour.insert(1, history[0].1);
        world.settle();
        for (app, behaviour) in &history[1..] {
            let halted = world.desired.intent == Intent::Halted;
            let before = world.releases[&world.desired.target].app.clone();
            let number = world.deploy(app.clone());
            world.behaviour.insert(number, *behaviour);
            for _ in 0..10_000 {
                let plan = world.step();
                for (name, old) in before.services.iter().filter(|_| !halted) {
                    if let Some(new) = app.services.get(name) {
                        let least = usize::from(old.replicas.min(new.replicas));
                        prop_assert!(world.ready(name.as_str()).len() >= least);
                    }
                }
                if !halted && exposes(&before) && exposes(app) {
                    prop_assert!(served(&world).is_some_and(|endpoints| endpoints > 0));
                }
                let in_tls = |app: &App| !app.certificates().is_empty();
                if !halted && in_tls(&before) && in_tls(app) {
                    prop_assert!(serves_tls(&world));
                }
                match (plan.steps.is_empty(), plan.wake) {
                    (true, Some(wake)) => world.now = wake,
                    (true, None) => break,
                    _ => {}
                }
            }
        }
        if world.desired.intent == Intent::Halted {
            prop_assert!(world.instances.is_empty());
            return Ok(());
        }
        let target = &world.releases[&world.desired.target];
        prop_assert_eq!(world.desired.confirmed, Some(target.number));
        for (name, declared) in &target.app.services {
            prop_assert_eq!(world.ready(name.as_str()).len(), usize::from(declared.replicas));
        }
        prop_assert!(world.instances.keys().all(|id| id.release == target.number));
    }
}
