//! Services that are files, through the real proxy, for clients of HTTP/1.1 and HTTP/2 alike.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use http::Request;
use model::{ServedFiles, Upstream};
use serde_json::json;
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::http2::{ask, connect, run};
use crate::support::{Builder, Setup, free_address, upstream_id};

/// An edge in front of a folder.
struct Site {
    folder: TempDir,
    address: SocketAddr,
    mesh: SocketAddr,
    setup: Setup,
}

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Told {
    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, mesh) = (free_address(), free_address());
        fs::create_dir_all(folder.path().join("public/sub")).unwrap();
        let files: ServedFiles = serde_json::from_value(json!({
            "app_folder": folder.path(),
            "folder": "public",
            "cache_control": "no-cache",
        }))
        .unwrap();
        let mut single = files.clone();
        single.files.fallback = Some(model::FilePath::new("index.html").unwrap());
        let mut builder = Builder::generation(1)
            .edge(address)
            .mesh(mesh, "site")
            .route("a.test", "/", "site")
            .route("single.test", "/", "single");
        for (name, files) in [("site", files), ("single", single)] {
            let upstream = Upstream {
                protocol: model::Protocol::Http,
                timeout: Duration::from_secs(5),
                resilience: Default::default(),
                endpoints: Default::default(),
                files: Some(files),
            };
            builder.0.upstreams.insert(upstream_id(name), upstream);
        }
        let rule = json!({"host": "a.test", "path": "/docs", "upstream": "app/site",
            "rewrite": {"prefix": "/sub"}, "response_headers": {"set": {"cache-control": "max-age=9"}}});
        let rule = serde_json::from_value(rule).unwrap();
        builder.0.routes.insert("docs".into(), rule);
        let setup = Setup::serving(&builder.0, &[]);
        let site = Self {
            folder,
            address,
            mesh,
            setup,
        };
        site.write("index.html", "<p>page</p>");
        site.write("sub/index.html", "<p>sub</p>");
        site.write("text.txt", "0123456789");
        site
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("public").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// What clients of both versions are answered, which is the same but for what is of one version.
    #[track_caller]
    fn ask(&self, method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> Told {
        let is_same = |name: &str| !["date", "x-request-id", "connection"].contains(&name);
        let mut client = Client::connect(self.address);
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.collect();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        client.send(head);
        let (head, body) = match method {
            "HEAD" => (client.head(), Vec::new()),
            _ => {
                let answer = client.answer();
                (answer.head, answer.body)
            }
        };
        let names = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        let names = names.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let old = Told {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            fields: names.filter(|(name, _)| is_same(name)).collect(),
            body,
        };
        let mut new = None;
        run(async {
            let client = connect(self.address).await;
            let request = Request::builder().method(method);
            let request = request.uri(format!("http://{host}{target}"));
            let request = fields.iter().fold(request, |request, (name, value)| {
                request.header(*name, *value)
            });
            let answer = ask(&client, request, None).await.unwrap();
            let fields = answer.head.headers.iter();
            let fields =
                fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            new = Some(Told {
                status: answer.head.status.as_u16(),
                fields: fields.filter(|(name, _)| is_same(name)).collect(),
                body: answer.body.clone(),
            });
        });
        let sorted = |mut told: Told| {
            told.fields.sort();
            told
        };
        let (old, new) = (sorted(old), sorted(new.unwrap()));
        assert_eq!(old, new, "{method} {target} {fields:?}");
        old
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Told {
        self.ask("GET", "a.test", target, fields)
    }

    #[track_caller]
    fn refused(&self, target: &str, status: u16, reason: &str) {
        let told = self.get(target, &[]);
        assert_eq!(
            (told.status, told.field("roadbed-reason")),
            (status, reason),
            "{target}"
        );
    }
}

#[test]
fn a_file_is_served_with_all_that_a_browser_needs_to_know_of_it() {
    let site = Site::new();
    let told = site.get("/", &[]);
    assert_eq!((told.status, &told.body[..]), (200, &b"<p>page</p>"[..]));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "11"),
        ("cache-control", "no-cache"),
        ("vary", "accept-encoding"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(told.field(name), value, "{name}");
    }
    assert!(told.field("etag").starts_with('"'), "{told:?}");
    assert!(told.field("last-modified").ends_with(" GMT"), "{told:?}");
    let head = site.ask("HEAD", "a.test", "/", &[]);
    assert_eq!(
        (head.status, head.fields, head.body),
        (200, told.fields, vec![])
    );
    site.write("empty.css", "");
    let empty = site.get("/empty.css", &[]);
    assert_eq!(
        (empty.status, empty.field("content-length"), &empty.body[..]),
        (200, "0", &b""[..])
    );
    // Between services too.
    assert_eq!(
        Client::connect(site.mesh).get("any", "/text.txt").text(),
        "0123456789"
    );
}

#[test]
fn a_client_that_has_a_file_is_told_so() {
    let site = Site::new();
    let told = site.get("/text.txt", &[]);
    let (tag, date) = (told.field("etag"), told.field("last-modified"));
    for fields in [
        &[("if-none-match", tag)][..],
        &[("if-modified-since", date)],
    ] {
        let again = site.get("/text.txt", fields);
        assert_eq!(
            (again.status, &again.body[..]),
            (304, &b""[..]),
            "{fields:?}"
        );
        assert_eq!(
            (again.field("etag"), again.field("cache-control")),
            (tag, "no-cache")
        );
    }
    assert_eq!(site.get("/text.txt", &[("if-match", "\"x\"")]).status, 412);
    assert_eq!(site.get("/text.txt", &[("if-match", tag)]).status, 200);
    site.write("text.txt", "another");
    let changed = site.get("/text.txt", &[("if-none-match", tag)]);
    assert_eq!((changed.status, &changed.body[..]), (200, &b"another"[..]));
}

#[test]
fn a_part_is_served_of_the_same_file_alone() {
    let site = Site::new();
    let part = |fields: &[(&str, &str)]| {
        let told = site.get("/text.txt", fields);
        (
            told.status,
            told.field("content-range").to_owned(),
            String::from_utf8(told.body).unwrap(),
        )
    };
    let expect = |status, range: &str, body: &str| (status, range.to_owned(), body.to_owned());
    assert_eq!(
        part(&[("range", "bytes=2-4")]),
        expect(206, "bytes 2-4/10", "234")
    );
    assert_eq!(
        part(&[("range", "bytes=-1")]),
        expect(206, "bytes 9-9/10", "9")
    );
    assert_eq!(
        part(&[("range", "bytes=10-")]),
        expect(416, "bytes */10", "")
    );
    assert_eq!(
        part(&[("range", "bytes=0-1,4-5")]),
        expect(200, "", "0123456789")
    );
    let tag = site.get("/text.txt", &[]).field("etag").to_owned();
    let with = |tag: &str| part(&[("range", "bytes=2-4"), ("if-range", tag)]);
    assert_eq!(with(&tag).0, 206);
    assert_eq!(with("\"x\""), expect(200, "", "0123456789"));
    let head = site.ask("HEAD", "a.test", "/text.txt", &[("range", "bytes=2-4")]);
    assert_eq!((head.status, head.field("content-length")), (200, "10"));
}

#[test]
fn what_was_compressed_before_is_served_to_whoever_takes_it() {
    let site = Site::new();
    site.write("app.js", "let plain = 1;");
    site.write("app.js.br", "brotli");
    site.write("app.js.gz", "gzip");
    let told = |accept: &str| site.get("/app.js", &[("accept-encoding", accept)]);
    let (plain, brotli, gzip) = (told(""), told("gzip, br"), told("gzip"));
    assert_eq!(
        (&plain.body[..], plain.field("content-encoding")),
        (&b"let plain = 1;"[..], "")
    );
    assert_eq!(
        (&brotli.body[..], brotli.field("content-encoding")),
        (&b"brotli"[..], "br")
    );
    assert_eq!(
        (&gzip.body[..], gzip.field("content-encoding")),
        (&b"gzip"[..], "gzip")
    );
    for told in [&plain, &brotli, &gzip] {
        assert_eq!(told.field("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(told.field("vary"), "accept-encoding");
    }
    assert_ne!(plain.field("etag"), gzip.field("etag"));
    assert_ne!(brotli.field("etag"), gzip.field("etag"));
    let fields = [
        ("accept-encoding", "gzip"),
        ("if-none-match", gzip.field("etag")),
    ];
    assert_eq!(site.get("/app.js", &fields).status, 304);
}

#[test]
fn folders_lead_to_their_page_and_pages_of_an_app_to_its_one_page() {
    let site = Site::new();
    assert_eq!(site.get("/sub/", &[]).body, b"<p>sub</p>");
    let told = site.get("/sub?a=b", &[]);
    assert_eq!((told.status, told.field("location")), (308, "./sub/?a=b"));
    // A route that calls the folder otherwise, and keeps what it says of answers.
    let told = site.get("/docs", &[]);
    assert_eq!((told.status, told.field("location")), (308, "./docs/"));
    let told = site.get("/docs/", &[]);
    assert_eq!(
        (&told.body[..], told.field("cache-control")),
        (&b"<p>sub</p>"[..], "max-age=9")
    );
    let single = |target| site.ask("GET", "single.test", target, &[]);
    assert_eq!(single("/users/1").body, b"<p>page</p>");
    assert_eq!(single("/users/").body, b"<p>page</p>");
    assert_eq!(
        (single("/app.1.js").status, single("/text.txt").status),
        (404, 200)
    );
}

#[test]
fn nothing_else_of_the_machine_can_be_had() {
    let site = Site::new();
    fs::write(site.folder.path().join("secret"), "secret").unwrap();
    symlink("../secret", site.path("out")).unwrap();
    symlink("/etc", site.path("etc")).unwrap();
    symlink("text.txt", site.path("within")).unwrap();
    site.write(".env", "secret");
    site.write("locked", "secret");
    fs::create_dir(site.path("bare")).unwrap();
    for target in [
        "/out",
        "/etc/passwd",
        "/.env",
        "/%2eenv",
        "/a%2f..%2f..%2fsecret",
        "/bare",
        "/bare/",
        "/none",
        "/text.txt/",
        "/text.txt/x",
        "//text.txt",
        "/sub//index.html",
        "/%00",
        "/./text.txt",
    ] {
        // Some of them are refused for their spelling before they are looked for.
        let told = site.get(target, &[]);
        assert!([400, 404].contains(&told.status), "{target}: {told:?}");
        assert!(
            !String::from_utf8_lossy(&told.body).contains("secret"),
            "{target}"
        );
    }
    site.refused("/out", 404, "no-file");
    assert_eq!(site.get("/within", &[]).body, b"0123456789");
    fs::set_permissions(site.path("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(site.path("locked")).is_err() {
        site.refused("/locked", 500, "file-unreadable");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let told = site.ask(method, "a.test", "/text.txt", &[]);
        let got = (
            told.status,
            told.field("roadbed-reason"),
            told.field("allow"),
        );
        assert_eq!(got, (405, "method-not-allowed", "GET, HEAD"), "{method}");
    }
}

#[test]
fn a_folder_that_is_built_anew_is_served_from_then_on() {
    let site = Site::new();
    fs::rename(
        site.folder.path().join("public"),
        site.folder.path().join("old"),
    )
    .unwrap();
    site.refused("/", 404, "no-file");
    fs::create_dir(site.folder.path().join("public")).unwrap();
    site.write("index.html", "new");
    assert_eq!(site.get("/", &[]).body, b"new");
}

#[test]
fn large_files_stream_whole_and_in_bounded_memory() {
    const MEBIBYTES: usize = 200;
    let site = Site::new();
    let piece: Vec<u8> = (0..1 << 20).map(|n| (n / 251) as u8).collect();
    let large = piece.repeat(MEBIBYTES);
    site.write("large.bin", &large);
    let before = site.setup.proxy.resident();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let output = Command::new("curl")
            .args(["-sS", "--fail", version, "-H", "Host: a.test"])
            .arg(format!("http://{}/large.bin", site.address))
            .output()
            .expect("curl is there");
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout == large, "{version}: not what is in the file");
    }
    let grown = site.setup.proxy.resident().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more than before");
}

#[test]
fn a_file_that_becomes_shorter_never_looks_whole() {
    let site = Site::new();
    let name = site.path("shrinks.bin");
    fs::write(&name, vec![b'x'; 64 << 20]).unwrap();
    let mut client = Client::connect(site.address);
    client.send("GET /shrinks.bin HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // It is under way, and nobody has read the rest.
    assert!(client.hears_within(Duration::from_secs(5)));
    fs::File::options()
        .write(true)
        .open(&name)
        .unwrap()
        .set_len(1)
        .unwrap();
    let (heard, end) = client.rest();
    assert!(heard.len() < 64 << 20);
    assert_eq!(end, crate::support::client::End::Reset);
}

#[test]
fn a_tag_is_another_when_the_content_may_be() {
    let site = Site::new();
    let tag = || site.get("/text.txt", &[]).field("etag").to_owned();
    let before = tag();
    assert_eq!(tag(), before);
    touch(&site.path("text.txt"), Duration::from_nanos(1));
    assert_ne!(tag(), before);
}

/// Changes when a file says it was changed.
fn touch(path: &Path, later: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let modified: SystemTime = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified + later).unwrap();
}
