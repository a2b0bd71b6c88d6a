//! HAProxy: one thread, idle connections to the backend shared by all clients.

use super::place::{CONNECTIONS, Place, Start};
use crate::peers::protocol::Protocol;

pub(super) fn start(place: &Place) -> Start {
    let file = place.folder.join("haproxy.cfg");
    Start {
        arguments: ["-db", "-q", "-f"]
            .map(str::to_owned)
            .into_iter()
            .chain([file.display().to_string()])
            .collect(),
        files: vec![(file, text(place))],
        ..Start::default()
    }
}

fn text(place: &Place) -> String {
    let both = place.file("both.pem");
    let options = match place.protocol {
        Protocol::Http1 => String::new(),
        Protocol::Tls => format!(" ssl crt {both} alpn http/1.1"),
        Protocol::H2 | Protocol::Grpc => " proto h2".into(),
        Protocol::H2Tls => format!(" ssl crt {both} alpn h2,http/1.1"),
    };
    let server_options = match place.protocol {
        Protocol::Grpc => " proto h2",
        _ => "",
    };
    let (listen, backend) = (place.listen, place.backend);
    format!(
        "global\n  nbthread 1\n  maxconn {CONNECTIONS}\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  \
         http-reuse always\n\
         frontend front\n  bind {listen}{options}\n  default_backend back\n\
         backend back\n  server one {backend}{server_options}\n"
    )
}
