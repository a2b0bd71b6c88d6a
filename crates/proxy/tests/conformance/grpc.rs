//! gRPC by grpcio's own client and server.

use model::Protocol;

use crate::others::{installed, run};
use crate::support::free_address;
use crate::support::stage::Stage;

#[test]
fn calls_of_grpcio_are_as_they_are_without_a_proxy() {
    let Some(python) = installed("calls of grpcio", "python3/bin/python") else {
        return;
    };
    let server = free_address();
    let stage = Stage::new(&[(server, Protocol::Grpc)], &[]);
    let port = server.port().to_string();
    run(&python, "grpc/calls.py", stage.edge, &[port], 20);
}
