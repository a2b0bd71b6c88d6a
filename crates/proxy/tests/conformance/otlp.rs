//! Spans, at a receiver of OTLP that the OpenTelemetry project generates from its own definition.

use crate::others::{installed, run};
use crate::support::{Builder, Setup, free_address};

#[test]
fn spans_of_edge_mesh_and_a_service_that_passes_the_context_on_are_one_tree() {
    let Some(python) = installed("a receiver of OTLP", "python3/bin/python") else {
        return;
    };
    let [edge, front, back, mesh, collector] = [(); 5].map(|()| free_address());
    let mut builder = Builder::generation(1)
        .edge(edge)
        .mesh(mesh, "back")
        .http("front", &[front])
        .http("back", &[back])
        .route("a.test", "/", "front");
    builder.0.telemetry.tracing = Some(model::Tracing {
        collector: format!("http://{collector}").parse().unwrap(),
        share: model::SampledShare::ALL,
    });
    let _setup = Setup::serving(&builder.0, &[]);
    let addresses = [front, back, mesh, collector].map(|address| address.to_string());
    run(&python, "otlp/spans.py", edge, &addresses, 14);
}
