//! The program as it is run: started on a port, asked over sockets, ended by a signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

struct Trivial {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Trivial {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        // The port is free again once the listener is dropped here.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut process = Command::new(env!("CARGO_BIN_EXE_trivial"))
            .args(arguments)
            .env("PORT", port.to_string())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(
            line,
            format!("started on port {port} as process {}\n", process.id())
        );
        Self {
            process,
            output,
            port,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Sends bytes and reads all that comes back until the connection ends.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
    }
}

impl Drop for Trivial {
    fn drop(&mut self) {
        // It may have ended already, as some tests want.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let trivial = Trivial::start(&[], &[("COLOUR", "green")]);
    let answers = trivial.ask(
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         POST /ignored HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody\
         POST /sink HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345\
         GET /env?name=COLOUR HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 4, "{answers}");
    assert!(answers.contains("3\r\nabc\r\n0\r\n\r\n") && answers.contains("\r\n\r\n5\n"));
    assert!(answers.ends_with("green"), "{answers}");
}

#[test]
fn many_bytes_come() {
    let answer = Trivial::start(&[], &[]).get("/bytes?n=3000000");
    assert_eq!(body(&answer).len(), 3_000_000);
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let trivial = Trivial::start(&[], &[]);
    for bad in ["GET\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n"] {
        assert!(trivial.ask(bad).starts_with("HTTP/1.1 400 "), "{bad:?}");
    }
}

#[test]
fn a_request_goes_on_to_another_service_and_its_connection_is_kept() {
    let back = Trivial::start(&[], &[]);
    let url = format!("http://127.0.0.1:{}", back.port);
    let front = Trivial::start(&[], &[("THE_BACK_URL", &url)]);
    let answers = front.ask(
        "GET /via/the-back/ HTTP/1.1\r\n\r\n\
         POST /via/the-back/sink HTTP/1.1\r\nContent-Length: 6\r\n\r\n123456\
         GET /via/the-back/bytes?n=9 HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    assert!(
        answers.contains(&format!("\r\n\r\n{}\n", back.process.id())),
        "{answers}"
    );
    assert!(
        answers.contains("\r\n\r\n6\n") && answers.ends_with("xxxxxxxxx"),
        "{answers}"
    );
    drop(back);
    assert!(front.get("/via/the-back/").starts_with("HTTP/1.1 502 "));
    let unknown = front.get("/via/nobody/");
    assert!(
        body(&unknown).contains("NOBODY_URL is not set"),
        "{unknown}"
    );
}

#[test]
fn a_websocket_echoes() {
    let trivial = Trivial::start(&[], &[]);
    let mut stream = trivial.connect();
    let open = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(open.as_bytes()).unwrap();
    // "hi" and then a close frame, both with a mask of zeros.
    stream
        .write_all(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    assert!(answer.ends_with(b"\x81\x02hi\x88\x00"), "{answer:?}");
}

#[test]
fn it_ends_as_told() {
    let mut trivial = Trivial::start(&[], &[]);
    assert_eq!(body(&trivial.get("/exit?code=7")), "exiting with code 7\n");
    assert_eq!(trivial.process.wait().unwrap().code(), Some(7));

    let mut trivial = Trivial::start(&[], &[]);
    let _idle = trivial.connect();
    let killed = Command::new("kill")
        .arg(trivial.process.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(trivial.process.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    trivial.output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "stopped by signal 15\n");
}
