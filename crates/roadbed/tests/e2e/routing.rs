//! `[[routes]]` from the file to what the edge does.

use crate::support::{AppFolder, Machine};

const SERVICES: &str = r#"
app = "routed"
[services.web]
run    = "./trivial"
expose = { host = "routed.localhost" }
[services.api]
run = "./trivial"
"#;

fn routes(table: &str) -> String {
    format!("{SERVICES}{table}")
}

/// The service that answers.
fn service(machine: &Machine, host: &str, path: &str) -> String {
    let answer = machine.get(host, &format!("{path}?name=ROADBED_SERVICE"));
    assert_eq!(answer.status, 200, "{host}{path}: {answer:?}");
    answer.body
}

#[test]
fn routes_do_what_the_file_says_and_follow_the_release() {
    let machine = Machine::new();
    let app = AppFolder::new(&routes(
        r#"
[[routes]]
host     = "routed.localhost"
template = "/api/{name}"
to       = "api"
rewrite  = { path = "/env" }

[[routes]]
host             = "*.routed.localhost"
path             = "/v1"
to               = "api"
rewrite          = { prefix = "/" }
request_headers  = { set = { X-Told = "by the route" } }
response_headers = { set = { X-Served-By = "edge" } }

[[routes]]
host     = "routed.localhost"
path     = "/old"
redirect = { prefix = "/new", status = 308 }
"#,
    ));
    machine.up(&app);
    assert_eq!(service(&machine, "routed.localhost", "/env"), "web");
    assert_eq!(
        service(&machine, "routed.localhost", "/api/anything"),
        "api"
    );
    assert_eq!(service(&machine, "any.routed.localhost", "/v1/env"), "api");
    let told = machine.get("any.routed.localhost", "/v1/headers");
    assert!(
        told.body.starts_with("GET /headers HTTP/1.1"),
        "{}",
        told.body
    );
    assert!(
        told.body
            .to_ascii_lowercase()
            .contains("x-told: by the route"),
        "{}",
        told.body
    );
    assert_eq!(told.header("x-served-by"), Some("edge"));
    let moved = machine.get("routed.localhost", "/old/page?a=b");
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some("/new/page?a=b"))
    );
    assert_eq!(machine.get("any.routed.localhost", "/").status, 404);

    // Another release has other routes.
    app.declare(&routes(
        "[[routes]]\nhost = \"*\"\npath = \"/env\"\nto = \"api\"\n",
    ));
    let plan = machine.ok(&["plan", app.path()]);
    for line in [
        "  add route */env, to api\n",
        "  remove route *.routed.localhost/v1, to api\n",
        "  remove route routed.localhost/old, to a redirect\n",
        "  remove route routed.localhost/api/{name}, to api\n",
    ] {
        assert!(plan.contains(line), "{line:?} is not in {plan}");
    }
    machine.ok(&["deploy", app.path()]);
    assert_eq!(service(&machine, "routed.localhost", "/env"), "web");
    assert_eq!(service(&machine, "other.localhost", "/env"), "api");
    assert_eq!(machine.get("any.routed.localhost", "/v1/env").status, 404);
    assert_eq!(machine.get("routed.localhost", "/old").status, 200);
}

#[test]
fn requests_that_another_app_has_are_refused() {
    let machine = Machine::new();
    let route = "[[routes]]\nhost = \"*.localhost\"\nmethods = [\"GET\"]\nto = \"api\"\n";
    machine.up(&AppFolder::new(&routes(route)));
    let other = "app = \"other\"\n[services.api]\nrun = \"./trivial\"\n";
    let app = AppFolder::new(&format!("{other}{route}"));
    machine
        .run(&["deploy", app.path()])
        .failed(&["error: routed is exposed at *.localhost/ already"]);
    app.declare(&format!("{other}{}", route.replace("GET", "PUT")));
    machine.ok(&["deploy", app.path()]);
}
