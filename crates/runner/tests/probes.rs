//! Verdicts of probes, in time whatever the other side does.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{Probe, Protocol};
use runner::probe::{ProbeFailure, Target, check};
use support::{Home, lives};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

const LIMIT: Duration = Duration::from_secs(10);

fn target(address: SocketAddr) -> Target {
    Target {
        address,
        protocol: Protocol::Http,
        tls: None,
        host: "web.localhost".to_owned(),
        folder: "/".into(),
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
    }
}

fn http(path: &str) -> Probe {
    Probe::Http {
        path: path.to_owned(),
    }
}

/// Answers every connection with `answer`, and hands out what was asked.
async fn serve(answer: &'static [u8]) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, asks) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            request.truncate(length);
            // A probe that has its verdict need not read the rest.
            let _ = stream.write_all(answer).await;
            if asked
                .send(String::from_utf8(request).unwrap())
                .await
                .is_err()
            {
                return;
            }
        }
    });
    (address, asks)
}

#[tokio::test]
async fn a_good_status_is_a_good_verdict() {
    for good in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.0 302 Found\r\nA: b\r\n\r\nbody",
    ] {
        let (address, mut asks) = serve(good).await;
        check(&http("/healthz?full=1"), &target(address), LIMIT)
            .await
            .unwrap();
        let asked = asks.recv().await.unwrap();
        assert!(asked.starts_with("GET /healthz?full=1 HTTP/1.1\r\nHost: web.localhost\r\n"));
        assert!(
            asked.ends_with("\r\nConnection: close\r\n\r\n"),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_failure_reads_as_a_sentence() {
    let cases: [(&'static [u8], &str); 4] = [
        (b"HTTP/1.1 503 Busy\r\n\r\n", "GET /healthz answered 503"),
        (
            b"SSH-2.0-OpenSSH\r\n",
            "GET /healthz was not answered in HTTP/1.1: its first line is not a status line",
        ),
        (
            b"",
            "GET /healthz was not answered in HTTP/1.1: the connection was closed without an answer",
        ),
        (
            &[b'x'; 100_000],
            "GET /healthz was not answered in HTTP/1.1: its first line is too long",
        ),
    ];
    for (answer, expected) in cases {
        let (address, _asks) = serve(answer).await;
        let failure = check(&http("/healthz"), &target(address), LIMIT)
            .await
            .unwrap_err();
        assert_eq!(failure.to_string(), expected);
    }
}

#[tokio::test]
async fn a_closed_port_is_refused_at_once() {
    // Bound, so that nobody else listens there, and closed until it listens itself.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    for probe in [Probe::Tcp, http("/")] {
        let failure = check(&probe, &target(address), LIMIT).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            format!("connection refused at {address}")
        );
    }
    let _listener = socket.listen(1).unwrap();
    check(&Probe::Tcp, &target(address), LIMIT).await.unwrap();
}

#[tokio::test]
async fn silence_and_trickles_end_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            held.push(tokio::spawn(async move {
                loop {
                    if stream.write_all(b"H").await.is_err() {
                        return;
                    }
                    // The trickle itself: nobody waits for this.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }));
        }
    });
    let begun = Instant::now();
    let limit = Duration::from_millis(200);
    let failure = check(&http("/"), &target(address), limit)
        .await
        .unwrap_err();
    assert_eq!(failure.to_string(), "no answer within 200ms");
    assert!(
        begun.elapsed() >= limit && begun.elapsed() < LIMIT,
        "{:?}",
        begun.elapsed()
    );
}

fn command(words: &[&str]) -> Probe {
    let words = words.iter().map(|word| word.to_string()).collect();
    Probe::Command(model::Command::new(words).unwrap())
}

async fn ask(
    probe: &Probe,
    environment: &[(&str, &str)],
    limit: Duration,
) -> Result<(), ProbeFailure> {
    let mut target = target(([127, 0, 0, 1], 1).into());
    let added = environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    target.environment.extend(added);
    check(probe, &target, limit).await
}

#[tokio::test]
async fn a_commands_exit_code_is_its_verdict() {
    ask(
        &command(&["sh", "-c", "test $$1 = 7", "sh", "$PORT"]),
        &[("PORT", "7")],
        LIMIT,
    )
    .await
    .unwrap();
    let cases = [
        (
            &["sh", "-c", "exit 3"][..],
            "the health command sh -c 'exit 3' exited with code 3",
        ),
        (
            &["sh", "-c", "kill -TERM $$$$"],
            "the health command sh -c 'kill -TERM $$$$' killed by signal 15 (SIGTERM)",
        ),
        (
            &["/no/such"],
            "the health command could not be started: /no/such does not exist",
        ),
    ];
    for (words, expected) in cases {
        let failure = ask(&command(words), &[], LIMIT).await.unwrap_err();
        assert_eq!(failure.to_string(), expected);
    }
}

#[tokio::test]
async fn a_command_is_ended_with_all_its_group_at_the_limit() {
    let home = Home::new();
    let script = "sleep 621 & echo $! > $HOME_FOLDER/inner; sleep 622";
    let environment = [
        ("HOME_FOLDER", home.path().to_str().unwrap()),
        ("SCRIPT", script),
    ];
    let probe = command(&["sh", "-c", "$SCRIPT"]);
    let failure = ask(&probe, &environment, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(matches!(failure, ProbeFailure::Late(_)), "{failure}");
    let inner = home.pid("inner").await;
    support::until("the group is gone", || !lives(inner)).await;

    // One that succeeds and leaves something behind leaves nothing behind either.
    let script = "sleep 623 & echo $! > $HOME_FOLDER/second";
    let environment = [environment[0], ("SCRIPT", script)];
    ask(&probe, &environment, LIMIT).await.unwrap();
    let second = home.pid("second").await;
    support::until("the group is gone", || !lives(second)).await;
}
