//! nginx, as a peer and as the backend of all: one process.

use std::path::Path;

use super::place::{CONNECTIONS, Place, Start};
use crate::peers::protocol::Protocol;

/// What the backend answers: 100 bytes.
const BODY: &str = "0123456789012345678901234567890123456789012345678901234567\
    890123456789012345678901234567890123456789";

pub(super) fn start(place: &Place) -> Start {
    let file = place.folder.join("nginx.conf");
    Start {
        arguments: vec!["-c".into(), file.display().to_string()],
        files: vec![(file, with(&peer(place), place.folder, "nginx"))],
        ..Start::default()
    }
}

fn peer(place: &Place) -> String {
    let options = match place.protocol {
        Protocol::Http1 => "",
        Protocol::Tls => " ssl",
        Protocol::H2 | Protocol::Grpc => " http2",
        Protocol::H2Tls => " ssl http2",
    };
    // Packages before 1.23 leave TLS 1.3 off unless told.
    let certificate = match place.protocol.is_encrypted() {
        true => format!(
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};\n",
            place.file("certificate.pem"),
            place.file("key.pem")
        ),
        false => String::new(),
    };
    let pass = match place.protocol {
        Protocol::Grpc => "grpc_pass grpc://back;",
        _ => "proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection \"\";",
    };
    let (listen, backend) = (place.listen, place.backend);
    format!(
        "upstream back {{ server {backend}; keepalive {CONNECTIONS}; \
         keepalive_requests 100000000; }}\n\
         server {{ listen {listen}{options}; {certificate}location / {{ {pass} }} }}\n"
    )
}

/// The configuration of the backend in HTTP/1.1, in which `@PORT@` is to be replaced. It answers
/// by itself, and with the files of `folder` below `/files/`. At `/sink` it answers when all of a
/// request's body has come; it would not wait for that if it did not have somebody else to ask.
pub(crate) fn backend(folder: &Path) -> String {
    let files = folder.display();
    let server = format!(
        "upstream inner {{ server unix:{files}/inner.sock; keepalive 64; }}\n\
         server {{ listen unix:{files}/inner.sock; location / {{ return 200 \"{BODY}\"; }} }}\n\
         server {{ listen 127.0.0.1:@PORT@; location / {{ return 200 \"{BODY}\"; }} \
         location /files/ {{ alias {files}/; sendfile on; open_file_cache max=10; }} \
         location /sink {{ client_body_buffer_size 1m; proxy_pass http://inner; \
         proxy_http_version 1.1; proxy_pass_request_body off; \
         proxy_set_header Connection \"\"; proxy_set_header Content-Length \"\"; }} }}\n"
    );
    with(&server, folder, "backend")
}

/// An nginx of one process that writes only below `folder`.
fn with(server: &str, folder: &Path, name: &str) -> String {
    let folder = folder.display();
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {folder}/{name}-{what};\n"))
        .collect();
    let connections = 2 * CONNECTIONS;
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/{name}.pid;\nerror_log {folder}/{name}.log;\n\
         events {{ worker_connections {connections}; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 100000000;\n{places}{server}}}\n"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_is_as_long_as_it_is_said_to_be() {
        assert_eq!(super::BODY.len(), 100);
    }
}
