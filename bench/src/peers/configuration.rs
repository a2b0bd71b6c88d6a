//! What the peers are told: one worker, connections kept on both sides, no log.

use std::net::SocketAddr;
use std::path::Path;

/// What the backend answers: 100 bytes.
const BACKEND_BODY: &str = "0123456789012345678901234567890123456789012345678901234567\
    890123456789012345678901234567890123456789";

pub(super) fn haproxy(address: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4200\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  \
         http-reuse always\n\
         frontend front\n  bind {address}\n  default_backend back\n\
         backend back\n  server one {backend}\n"
    )
}

pub(super) fn nginx(address: SocketAddr, backend: SocketAddr, folder: &Path) -> String {
    let server = format!(
        "upstream back {{ server {backend}; keepalive 128; keepalive_requests 100000000; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://back; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}\n"
    );
    nginx_with(&server, folder, "nginx")
}

/// The declaration of an app whose one service is an nginx that answers by itself, and the
/// configuration of that, in which `$PORT` is to be replaced.
pub(crate) fn backend_app(folder: &Path) -> (String, String) {
    let core = super::LOAD_CORE;
    let declaration = format!(
        r#"
app = "peers"

[services.backend]
run    = ["sh", "-c", "sed s/@PORT@/$PORT/ backend.conf > running.conf; exec taskset -c {core} nginx -c $$(pwd)/running.conf"]
expose = {{ host = "peers.localhost" }}
"#
    );
    let server = format!(
        "server {{ listen 127.0.0.1:@PORT@; location / {{ return 200 \"{BACKEND_BODY}\"; }} }}\n"
    );
    (declaration, nginx_with(&server, folder, "backend"))
}

/// An nginx of one process that writes only below `folder`.
fn nginx_with(server: &str, folder: &Path, name: &str) -> String {
    let folder = folder.display();
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {folder}/{name}-{what};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/{name}.pid;\nerror_log {folder}/{name}.log;\n\
         events {{ worker_connections 10000; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 100000000;\n{places}{server}}}\n"
    )
}
