//! The four services together, with nothing between them: started on free ports and asked over
//! sockets, as Roadbed starts and asks them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// One instance; it is killed when dropped.
struct Instance {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Instance {
    fn start(program: &str, environment: &[(&str, String)]) -> Self {
        Self::start_on(free_port(), program, environment)
    }

    fn start_on(port: u16, program: &str, environment: &[(&str, String)]) -> Self {
        let mut process = Command::new(program)
            .env("PORT", port.to_string())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(
            line.ends_with(&format!("listening on 127.0.0.1:{port}\n")),
            "{line:?}"
        );
        Self {
            process,
            output,
            port,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).unwrap()
    }

    /// Sends bytes and reads all that comes back until the connection ends.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, kind: &str, body: &str) -> String {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn order(&self, product: &str, quantity: u32) -> String {
        let wish = format!(r#"{{"product":"{product}","quantity":{quantity}}}"#);
        self.post("/orders", "application/json", &wish)
    }

    fn terminate(&self) {
        let kill = Command::new("kill")
            .arg(self.process.id().to_string())
            .status()
            .unwrap();
        assert!(kill.success());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended already, as some tests want.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A new folder for one test's data.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "data-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn catalog() -> Instance {
    Instance::start(env!("CARGO_BIN_EXE_catalog"), &[])
}

fn orders(catalog: &str, data: &Path) -> Instance {
    let data = data.to_str().unwrap().to_owned();
    let environment = [("CATALOG_URL", catalog.to_owned()), ("DATA_DIR", data)];
    Instance::start(env!("CARGO_BIN_EXE_orders"), &environment)
}

fn counter(data: &Path) -> Instance {
    let data = data.to_str().unwrap().to_owned();
    Instance::start(env!("CARGO_BIN_EXE_counter"), &[("DATA_DIR", data)])
}

fn web(catalog: String, orders: String, counter: String) -> Instance {
    let environment = [
        ("CATALOG_URL", catalog),
        ("ORDERS_URL", orders),
        ("COUNTER_ADDR", counter),
    ];
    Instance::start(env!("CARGO_BIN_EXE_web"), &environment)
}

fn assert_has(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.contains(part), "{part:?} is missing in {answer}");
    }
}

#[test]
fn a_visitor_orders_and_sees_it() {
    let (catalog, data) = (catalog(), folder());
    let (orders, counter) = (orders(&catalog.url(), &data), counter(&data));
    let web = web(catalog.url(), orders.url(), counter.address());

    assert_has(
        &web.get("/"),
        &[
            "200 OK",
            "Storm lantern",
            "40 left",
            "None yet",
            "seen 1 times",
        ],
    );
    assert_has(
        &web.get("/products/lantern"),
        &["200 OK", "Storm lantern", "seen 1 times"],
    );
    let form = "application/x-www-form-urlencoded";
    let placed = web.post("/orders", form, "product=lantern&quantity=3");
    assert_has(&placed, &["303 See Other", "location: /?placed=1"]);
    let page = web.get("/?placed=1");
    assert_has(
        &page,
        &[
            "Order 1 is placed.",
            "37 left",
            "147.00 €",
            "seen 1 times",
            "seen 2 times",
        ],
    );

    assert_has(&web.get("/products/nothing"), &["404 Not Found"]);
    assert_has(&web.get("/products/..%2forders"), &["404 Not Found"]);
    assert_has(
        &web.post("/orders", form, "product=compass&quantity=3"),
        &["409", "only 2 of"],
    );
    assert_has(
        &web.post("/orders", form, "product=rope&quantity=0"),
        &["422", "1 to 100"],
    );
    assert_has(
        &web.post("/orders", form, "product=rope"),
        &["422", "not an order"],
    );
}

#[test]
fn a_page_comes_also_when_everything_else_is_down() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{nobody}");
    let web = web(url.clone(), url.clone(), nobody);
    assert_has(&web.get("/healthz"), &["200 OK"]);
    let missing = [
        "catalog does not answer",
        "orders does not answer",
        "counter does not answer",
        "refused",
    ];
    assert_has(&web.get("/"), &missing);
    assert_has(&web.get("/"), &["200 OK"]);
    assert_has(
        &web.get("/products/rope"),
        &["503", "catalog does not answer"],
    );

    let orders = orders(&url, &folder());
    let answer = orders.order("rope", 1);
    assert_has(
        &answer,
        &[
            "503",
            "no order can be taken now",
            "catalog does not answer",
        ],
    );
}

#[test]
fn data_outlives_a_kill_and_a_line_that_was_cut_off() {
    let (catalog, data) = (catalog(), folder());
    let first = orders(&catalog.url(), &data);
    assert_has(&first.order("rope", 2), &["201", r#""number":1"#]);
    let tally = counter(&data);
    let mut stream = tally.connect();
    stream.write_all(b"INCR a\nINCR a\n").unwrap();
    let mut counts = [0; 10];
    stream.read_exact(&mut counts).unwrap();
    assert_eq!(&counts, b"OK 1\nOK 2\n");
    drop((first, tally));

    let path = data.join("orders.jsonl");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(br#"{"number":2,"prod"#).unwrap();
    let second = orders(&catalog.url(), &data);
    assert_has(&second.get("/orders"), &[r#""count":1"#]);
    assert_has(&second.order("rope", 1), &["201", r#""number":2"#]);
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept.lines().count(), 2, "{kept}");
    assert_has(
        &orders(&catalog.url(), &data).get("/orders"),
        &[r#""sold":{"rope":3}"#],
    );

    let tally = counter(&data);
    let mut stream = tally.connect();
    stream
        .write_all(b"GET a\nGET b\nINCR a\nINCR B\nSUM a\n")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut counts = String::new();
    stream.read_to_string(&mut counts).unwrap();
    assert!(
        counts.starts_with("OK 2\nOK 0\nOK 3\nERR a name is"),
        "{counts}"
    );
    assert!(
        counts.ends_with("ERR a request is INCR or GET and a name\n"),
        "{counts}"
    );
}

#[test]
fn instances_that_share_a_folder_sell_no_more_than_there_is() {
    let (catalog, data) = (catalog(), folder());
    let instances = [orders(&catalog.url(), &data), orders(&catalog.url(), &data)];
    let placed = AtomicU32::new(0);
    // 64 customers want a lantern, there are 40.
    thread::scope(|scope| {
        for customer in 0..64 {
            let (instance, placed) = (&instances[customer % 2], &placed);
            scope.spawn(move || {
                let answer = instance.order("lantern", 1);
                if answer.starts_with("HTTP/1.1 201 ") {
                    placed.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert_has(&answer, &["409", "sold out"]);
                }
            });
        }
    });
    assert_eq!(placed.into_inner(), 40);
    for instance in &instances {
        assert_has(
            &instance.get("/orders"),
            &[r#""count":40"#, r#""sold":{"lantern":40}"#],
        );
    }
    let kept = std::fs::read_to_string(data.join("orders.jsonl")).unwrap();
    for (index, line) in kept.lines().enumerate() {
        assert_has(line, &[&format!(r#"{{"number":{},"#, index + 1)]);
    }
}

#[test]
fn instances_that_share_a_folder_count_every_event() {
    let data = folder();
    let instances = [counter(&data), counter(&data)];
    thread::scope(|scope| {
        for client in 0..8 {
            let instance = &instances[client % 2];
            scope.spawn(move || {
                let mut stream = instance.connect();
                let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
                for round in 0..250 {
                    writeln!(stream, "INCR shared\nINCR of-{}", round % 10).unwrap();
                    for _ in 0..2 {
                        assert!(answers.next().unwrap().unwrap().starts_with("OK "));
                    }
                }
            });
        }
    });
    for instance in &instances {
        let mut stream = instance.connect();
        stream.write_all(b"GET shared\nGET of-3\n").unwrap();
        let mut counts = [0; 15];
        stream.read_exact(&mut counts).unwrap();
        assert_eq!(&counts, b"OK 2000\nOK 200\n");
    }
}

#[test]
fn what_was_begun_is_finished_after_sigterm() {
    // A catalog that answers when the test says so.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", slow.local_addr().unwrap());
    let mut orders = orders(&url, &folder());
    let _never_used = orders.connect();
    let mut kept = orders.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n")
        .unwrap();
    let mut kept = BufReader::new(kept);
    let mut line = String::new();
    kept.read_line(&mut line).unwrap();
    assert_has(&line, &["200 OK"]);

    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let (mut stream, _) = slow.accept().unwrap();
            // The request is under way once its first byte is here.
            stream.read_exact(&mut [0]).unwrap();
            stream
        });
        let under_way = &orders;
        let answer = scope.spawn(move || under_way.order("rope", 1));
        let mut stream = asked.join().unwrap();
        orders.terminate();
        let mut rest = String::new();
        kept.read_to_string(&mut rest).unwrap();
        let body = r#"{"id":"rope","name":"R","description":"","price_cents":1,"stock":null}"#;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .unwrap();
        assert_has(
            &answer.join().unwrap(),
            &["201 Created", "connection: close"],
        );
    });
    assert!(orders.process.wait().unwrap().success());
    let mut rest = String::new();
    orders.output.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("orders: done\n"), "{rest}");
}

#[test]
fn bad_surroundings_are_told_in_a_line() {
    let run = |environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
        let output = command
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(run(&[]), "orders: DATA_DIR is not set in the environment\n");
    let data = folder();
    let good = [
        ("DATA_DIR", data.to_str().unwrap()),
        ("CATALOG_URL", "http://127.0.0.1:1"),
    ];
    assert_has(
        &run(&[good[0], good[1], ("PORT", "x")]),
        &["PORT is \"x\", which is no port"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_has(
        &run(&[good[0], good[1], ("PORT", &port)]),
        &["cannot listen on 127.0.0.1:"],
    );
    std::fs::write(data.join("orders.jsonl"), "not an order\n").unwrap();
    assert_has(&run(&[good[0]]), &["orders.jsonl: line 1 is damaged"]);
}
