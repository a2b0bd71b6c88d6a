//! The proxy as a process of its own, for tests: `proxy-under-test HOME WORKERS [LIMIT=MS …]
//! [descriptors=N] [metrics=ADDRESS]`.

use std::time::Duration;

use proxy::Settings;
use rustix::process::{Resource, Rlimit, setrlimit};

fn main() {
    // A panic ends a task and no more; here it must not go unnoticed.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let mut arguments = std::env::args().skip(1);
    let home = arguments.next().expect("HOME");
    let mut settings = Settings::new(home);
    settings.workers = arguments
        .next()
        .expect("WORKERS")
        .parse()
        .expect("a number");
    for argument in arguments {
        let (name, milliseconds) = argument.split_once('=').expect("LIMIT=MILLISECONDS");
        if name == "descriptors" {
            let most = Some(milliseconds.parse().expect("a number"));
            let limit = Rlimit {
                current: most,
                maximum: most,
            };
            setrlimit(Resource::Nofile, limit).expect("a lower limit is allowed");
            continue;
        }
        if name == "metrics" {
            settings.metrics = Some(milliseconds.parse().expect("an address"));
            continue;
        }
        let limits = &mut settings.limits;
        let limit = match name {
            "head" => &mut limits.head,
            "keep-alive" => &mut limits.keep_alive,
            "body-idle" => &mut limits.body_idle,
            "pool-idle" => &mut limits.pool_idle,
            "first-request" => &mut limits.first_request,
            "linger" => &mut limits.linger,
            "drain" => &mut limits.drain,
            "eject" => &mut limits.eject,
            "slow-start" => &mut limits.slow_start,
            "ping" => &mut limits.ping,
            _ => panic!("no limit is called {name}"),
        };
        *limit = Duration::from_millis(milliseconds.parse().expect("a number"));
    }
    if let Err(error) = proxy::run(settings) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
