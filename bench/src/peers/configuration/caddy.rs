//! Caddy: one processor for its goroutines, and as many idle connections to the backend as it
//! may have clients.

use super::place::{CONNECTIONS, Place, Start};
use crate::peers::protocol::Protocol;

pub(super) fn start(place: &Place) -> Start {
    let file = place.folder.join("Caddyfile");
    let words = "run --adapter caddyfile --config";
    let words = words.split(' ').map(str::to_owned);
    let home = place.folder.display().to_string();
    Start {
        arguments: words.chain([file.display().to_string()]).collect(),
        files: vec![(file, text(place))],
        environment: vec![
            ("GOMAXPROCS", "1".into()),
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", home.clone()),
            ("XDG_DATA_HOME", home),
        ],
    }
}

fn text(place: &Place) -> String {
    let certificate = match place.protocol.is_encrypted() {
        true => format!(
            "\ttls {} {}\n",
            place.file("certificate.pem"),
            place.file("key.pem")
        ),
        false => String::new(),
    };
    let (scheme, port) = (place.protocol.scheme(), place.listen.port());
    let (ip, backend) = (place.listen.ip(), place.backend);
    let upstream = match place.protocol {
        Protocol::Grpc => format!("h2c://{backend}"),
        _ => format!("http://{backend}"),
    };
    format!(
        "{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tlog {{\n\t\tlevel ERROR\n\t}}\n\
         \tservers {{\n\t\tprotocols h1 h2 h2c\n\t}}\n}}\n\
         {scheme}://:{port} {{\n\tbind {ip}\n{certificate}\treverse_proxy {upstream} {{\n\
         \t\ttransport http {{\n\t\t\tkeepalive_idle_conns_per_host {CONNECTIONS}\n\t\t}}\n\t}}\n}}\n"
    )
}
