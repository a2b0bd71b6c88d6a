//! Every bound of the proxy, with its reason. Constants are facts of the protocol or of memory;
//! [`Limits`] are times and sizes that a test must be able to shorten.

use std::time::Duration;

/// Longest head of a request or answer, in bytes. Larger than any browser sends (cookies of one
/// host stay below 16 KiB) and small enough to buffer for every active connection.
pub const HEAD_BYTES: usize = 32 * 1024;

/// Most fields in a head. More than any real client sends; a bitmask of them fits one `u128`.
pub const HEAD_FIELDS: usize = 100;

/// Longest request target, in bytes (RFC 9110 section 4.1 asks for at least 8,000).
pub const TARGET_BYTES: usize = 16 * 1024;

/// Shortest content that is compressed, in bytes: what fits a packet arrives no sooner for it.
pub const LEAST_COMPRESSED: u64 = 1024;

/// Answers that a worker compresses at a time. Each takes 1 MiB at most in gzip, and 3 MiB in Brotli
/// and zstd; those beyond are sent as they are.
pub const COMPRESSED_AT_A_TIME: usize = 64;

/// How much compressed content is gathered before it is sent, while more comes without a pause.
pub const COMPRESSED_PIECE: usize = 16 * 1024;

/// How much of an answer is compressed before the worker's other connections have their turn.
pub const COMPRESSED_TURN: usize = 128 * 1024;

/// Longest path of a file that is served, in bytes (Linux allows 4,096 in one call).
pub const FILE_PATH_BYTES: usize = 4000;

/// Threads of a worker that wait for the disk, at most. What the kernel has in memory needs none.
pub const DISK_THREADS: usize = 8;

/// Longest method, in bytes. The longest registered one has 17.
pub const METHOD_BYTES: usize = 24;

/// Longest line that announces a chunk, extensions and CRLF included. Nobody sends extensions.
pub const CHUNK_LINE_BYTES: usize = 256;

/// Longest trailer section of a chunked body. It is read whole before it is passed on, so it
/// must fit a buffer.
pub const TRAILER_BYTES: usize = 8 * 1024;

/// Informational answers (1xx) before the final one. A backend that sends more is broken.
pub const INTERIM_ANSWERS: usize = 16;

/// Size of a pooled buffer. A whole usual request and answer fit one.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Size of a buffer for the head of a request without body, which is all that a request holds
/// while it waits for its answer. Most heads fit.
pub const HEAD_BUFFER_BYTES: usize = 4 * 1024;

/// Size of a buffer that a long body flows through: fewer system calls per megabyte.
pub const LARGE_BUFFER_BYTES: usize = 64 * 1024;

/// Content up to this size is copied behind its head sooner than the kernel takes a list of both.
pub const COPIED_BYTES: usize = 1024;

/// Free buffers that a worker keeps of each size; what is returned beyond is freed.
pub const SPARE_BUFFERS: usize = 128;

/// Encrypted bytes of a connection that may wait to be sent.
pub const TLS_PENDING_BYTES: usize = 64 * 1024;

/// How much of a body is relayed before the worker's other connections have their turn, where
/// neither side ever makes it wait.
pub const TURN_BYTES: usize = 1024 * 1024;

/// Streams that a client may have open on one HTTP/2 connection.
pub const HTTP2_STREAMS: u32 = 128;

/// Streams that we open on one HTTP/2 connection to a backend before we open another, where the
/// backend allows that many.
pub const HTTP2_STREAMS_TO_BACKEND: usize = 100;

/// What a peer may send of a body on one HTTP/2 stream before we have passed it on.
pub const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;

/// What that grows to on a line that is fast and long.
pub const HTTP2_LARGEST_WINDOW: u32 = 1024 * 1024;

/// The same for all streams of a client's connection. It grows as that of a stream does.
pub const HTTP2_CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Bodies on a client's connection that may wait for slow backends while its other streams go on.
pub const HTTP2_WAITING_BODIES: u32 = 16;

/// The same for all streams of a connection to a backend: as much as all of them together may
/// have. Clients share it, and one who does not read its answers must not stop the others.
pub const HTTP2_BACKEND_WINDOW: u32 = HTTP2_STREAM_WINDOW * HTTP2_STREAMS_TO_BACKEND as u32;

/// What waits to be sent on an HTTP/2 connection before its streams wait, and before more is read.
pub const HTTP2_SEND_BUFFER: usize = 64 * 1024;

/// Window updates that a peer may send without having been sent anything.
pub const FRAMES_WINDOW: u32 = 2000;

/// Pings, settings and the like that a peer may send without asking for anything.
pub const FRAMES_CONTROL: u32 = 1000;

/// Requests that a peer may cancel, before their answers begin, beyond half of those it makes.
pub const FRAMES_RESET: u32 = 250;

/// What time earns of window updates: no more work than as many requests would be.
pub const FRAMES_WINDOW_PER_SECOND: u32 = 1000;

/// The same for pings, settings and cancelled requests. Connections that are kept alive for days
/// without a request send a few.
pub const FRAMES_PER_SECOND: u32 = 10;

/// Copies of requests that a worker has under way. Enough for a service that answers as fast as the
/// one that is copied; one that does not is spared.
pub const MIRRORS_AT_ONCE: usize = 128;

/// How much of a service's answer is read to its end when a page of errors stands in its place, in
/// bytes. What is longer costs the connection to the instance.
pub const REPLACED_BYTES: usize = 64 * 1024;

/// How much of the answer to a copy is read, to keep its connection.
pub const MIRROR_ANSWER_BYTES: u64 = 1024 * 1024;

/// How long a copy may take, from its beginning to the end of its answer.
pub const MIRROR_TIME: Duration = Duration::from_secs(30);

/// Places that the bucket of a rate limit's key may have: so many are looked at for a request.
pub const RATE_LIMIT_WAYS: usize = 8;

/// Sets of such places that memory is taken for at once: 8 KiB.
pub const RATE_LIMIT_SETS: usize = 64;

/// How often it is taken for one route. Makes 65,536 keys whose buckets are not full, in 1 MiB;
/// keys beyond that share the buckets of others.
pub const RATE_LIMIT_SEGMENTS: usize = 128;

/// What is kept of a request's body in case a backend refuses to look at it.
pub const REPLAY_BYTES: usize = 64 * 1024;

/// What is read and dropped of an answer that was not passed on, to keep its connection.
pub const PASSED_OVER_BYTES: u64 = 64 * 1024;

/// Idle connections that a worker keeps to one endpoint.
pub const IDLE_PER_ENDPOINT: usize = 1024;

/// Connections waiting in a listening socket to be accepted. The kernel's own limit
/// (`net.core.somaxconn`) is 4096 too.
pub const BACKLOG: i32 = 4096;

/// Further endpoints tried when one cannot be connected to.
pub const CONNECT_RETRIES: usize = 1;

/// How long ago what an endpoint's average knows counts for a third (Finagle's decay). Long enough
/// to remember a slow endpoint between two tries, short enough to forget a pause.
pub const AVERAGE_DECAY: Duration = Duration::from_secs(10);

/// How long an endpoint is believed to be as slow as it was, as a multiple of how slow that is. One
/// that is avoided is tried again after that: by the decay alone, one slow answer among fast ones
/// keeps an endpoint of two idle for half a minute. An endpoint that stays slow is given one request
/// in so many of its own times.
pub const AVERAGE_TRUST: u32 = 100;

/// It is believed for so long at least.
pub const AVERAGE_LEAST_TRUST: Duration = Duration::from_secs(1);

/// An answer that takes longer to begin is waiting for something to happen. An average that looks
/// back no further can say nothing of it; what is in flight does.
pub const LONG_POLL: Duration = AVERAGE_DECAY;

/// Endpoints that are faster than this differ by the noise of the machine, not by their load.
pub const INDISTINGUISHABLE: Duration = Duration::from_micros(200);

/// What a new endpoint gets at first of the share that others have (Envoy's least weight).
pub const SLOW_START_LEAST_SHARE: f64 = 0.1;

/// Requests a second and endpoint, on one worker, from which slow start lasts its full time. With
/// fewer a new endpoint has time between requests, and the time is shorter in proportion.
pub const SLOW_START_REQUESTS_PER_SECOND: f64 = 50.0;

/// Endpoints from which slow start lasts its full time. With fewer, what a new one does not take is
/// more than a little for each of the others, and the time is shorter in proportion.
pub const SLOW_START_ENDPOINTS: usize = 10;

/// How much sooner a connection may reach its age by chance.
pub const LIFETIME_JITTER: f64 = 0.1;

/// How often, in times of [`Limits::ping`], a backend of HTTP/2 is given to answer a ping before its
/// connection is taken for dead: 15 s. One that is busy for so long is not told from that.
pub const PING_PATIENCE: u32 = 3;

/// How long after an answered ping there is another, while nothing else arrives. Servers of gRPC end
/// connections on which pings alone come more often than twice in five minutes.
pub const PING_AGAIN: Duration = Duration::from_secs(300);

/// Failures in a row for which an endpoint is ejected (Envoy's `consecutive_gateway_failure`).
pub const EJECT_AFTER: u32 = 5;

/// The longest ejection, in times of the first: 300 s of 30 s (Envoy).
pub const EJECT_LONGEST: u32 = 10;

/// How much shorter an ejection may be by chance, so that workers and proxies do not all come back
/// to an endpoint in the same moment.
pub const EJECT_JITTER: f64 = 0.2;

/// How many of an upstream's endpoints may be ejected at a time, one in any case (Envoy).
pub const EJECT_PERCENT: usize = 10;

/// With more endpoints than this, a worker uses a part of them. With fewer, all connections are in use
/// often enough.
pub const SUBSET_ABOVE: usize = 100;

/// How many it uses at least (Finagle's aperture has 12): of two that chance names, there is a good
/// one nearly always, and the end of one is no loss.
pub const SUBSET_LEAST: usize = 20;

/// Second attempts that requests earn, and those that there may be besides, for upstreams with few
/// requests (Finagle).
pub const RETRY_PERCENT: u64 = 20;
/// See [`RETRY_PERCENT`].
pub const RETRIES_PER_SECOND: u64 = 10;

/// How far back both are counted (Finagle): the few besides may all be used at once, which
/// is what the end of an endpoint needs.
pub const RETRY_WINDOW_SECONDS: usize = 10;

/// The shortest wait after which a request is sent a second time because of a percentile: timers
/// know no less.
pub const HEDGE_LEAST: Duration = Duration::from_millis(1);

/// After how many answers a percentile of how long they take is known, and looked at once more.
pub const HEDGE_KNOWN: u32 = 50;

/// How many it is of, of which the older half is then forgotten.
pub const HEDGE_REMEMBERS: u32 = 4_096;

/// When half of them is forgotten in any case.
pub const HEDGE_FORGETS: Duration = Duration::from_secs(60);

/// What answers may take on average before requests are refused, as a part of the service's timeout,
/// or of [`LONG_POLL`] where that is shorter. Whoever waits so long for everything is not served
/// well, whatever the service does; what it does cannot be told from its being slow before.
pub const OVERLOAD_SHARE_OF_TIMEOUT: u32 = 4;

/// But not less than this, or half of a timeout that is short: a machine that is busy for a moment is
/// no reason.
pub const OVERLOAD_LEAST_LATENCY: Duration = Duration::from_millis(100);

/// Which part of that the last of all that wait may have before it, where it is clear that there are
/// too many: a second with the usual timeout.
pub const OVERLOAD_EARLY: f64 = 0.4;

/// But not less than so many times what answers take at best: when far more are asked all of a sudden,
/// answers to those come after as long.
pub const OVERLOAD_EARLY_TOLERANCE: f64 = 10.0;

/// How many more come than are answered where there are too many. A service that is only busy
/// answers nearly as many as come.
pub const OVERLOAD_SURPLUS: f64 = 1.2;

/// Which part of what the last would wait those have waited that are answered by then, where there are
/// too many: half of it when twice as many come as are answered, a quarter with four times as many.
pub const OVERLOAD_WAITED: f64 = 0.25;

/// How many times longer than at best they may take in any case.
pub const OVERLOAD_TOLERANCE: f64 = 2.0;

/// Requests that may always wait for a service, on all workers together.
pub const OVERLOAD_LEAST: usize = 8;

/// The same on one worker: with fewer, one slow request would stand for all.
pub const OVERLOAD_LEAST_OF_WORKER: usize = 2;

/// How long is looked at what answers take before the limit is changed, at least.
pub const OVERLOAD_WINDOW: Duration = Duration::from_millis(250);

/// How many answers that needs, unless there are few.
pub const OVERLOAD_ANSWERS: u32 = 10;

/// The least part of itself that a limit falls to at once (Netflix' gradient).
pub const OVERLOAD_STEEPEST: f64 = 0.5;

/// How long the shortest time that answers took is remembered, at least.
pub const OVERLOAD_BASE: Duration = Duration::from_secs(30);

/// How long a limit stays after it was last needed.
pub const OVERLOAD_CALM: Duration = Duration::from_secs(10);

/// Descriptors that are not for clients: the runtime's own, the link, files, standard streams.
pub const RESERVED_DESCRIPTORS: u64 = 128;

/// Entries for which the table of descriptors has room from the start: 128 KiB of the kernel's
/// memory, enough for 8,000 clients at once.
pub const RESERVED_TABLE: u64 = 16 * 1024;

/// Largest message between server and proxy, in bytes.
pub const FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Journal size from which it is folded into a new base, unless the base itself is larger.
pub const JOURNAL_BYTES: u64 = 256 * 1024;

/// Wait after an accept that failed for want of descriptors or memory, instead of spinning.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Shortest and longest wait before the server is tried again; doubled in between.
pub const RECONNECT_WAIT: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(500));

/// Time between two attempts to bind an address that could not be bound.
pub const REBIND_INTERVAL: Duration = Duration::from_millis(250);

/// How often, and how far apart, the lock of the state folder is tried before another proxy must
/// be what holds it.
pub const LOCK_ATTEMPTS: u32 = 5;
/// See [`LOCK_ATTEMPTS`].
pub const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// A message to the server must be taken within this time, or the link is given up.
pub const LINK_WRITE: Duration = Duration::from_secs(5);

/// A connection that has been idle for less is safe to use for a request that cannot be sent
/// twice: backends keep idle connections for at least 2 s (gunicorn), most for 5 s (node).
pub const FRESH_ENOUGH: Duration = Duration::from_secs(1);

/// Routes that are gone of which the numbers are kept and shown; those that went first are forgotten.
pub const PAST_ROUTES: usize = 256;

/// Releases of a service without an instance of which the numbers are kept and shown.
pub const PAST_RELEASES: usize = 4;

/// Routes with requests up to which each has its buckets on the page of metrics in text.
pub const ROUTES_WITH_BUCKETS: usize = 1000;

/// Connections at a time on which the proxy shows what it measures; others wait.
pub const METRICS_CONNECTIONS: usize = 16;

/// Longest head of a request for that.
pub const METRICS_HEAD_BYTES: usize = 8 * 1024;

/// How long such a connection may take, from its beginning to its end.
pub const METRICS_TIME: Duration = Duration::from_secs(10);

/// Lines of the access log, or spans, that a worker hands over at a time, in bytes.
pub const TELEMETRY_BATCH_BYTES: usize = 64 * 1024;

/// How many of these may wait to be written or sent: at 64 KiB some 4,000 requests, and 1 MiB.
pub const TELEMETRY_BATCHES: usize = 16;

/// After how long a worker hands over what it has, be it little.
pub const TELEMETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long what was handed over may still be written or sent when the proxy ends.
pub const TELEMETRY_END: Duration = Duration::from_secs(1);

/// What is kept of a request's host or path for its line.
pub const TELEMETRY_TEXT_BYTES: usize = 1024;

/// Unused records of requests that a worker keeps.
pub const SPARE_RECORDS: usize = 128;

/// How long a file of the access log may become, and how many there may be: 128 MiB in all.
pub const ACCESS_LOG_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// See [`ACCESS_LOG_FILE_BYTES`].
pub const ACCESS_LOG_FILES: usize = 8;

/// How long a collector of spans may take for each step of an exchange.
pub const COLLECTOR_TIME: Duration = Duration::from_secs(5);

/// What is read of its answer.
pub const COLLECTOR_ANSWER_BYTES: u64 = 16 * 1024;

/// How often connections that have been idle too long are looked for.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Times and sizes of one proxy.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte of a request's head to its last. Stops heads sent a byte at a time.
    pub head: Duration,
    /// How long a client's connection may wait for its next request. Above the 60 s that most
    /// load balancers keep theirs, so that they close first.
    pub keep_alive: Duration,
    /// Longest silence within a body, in either direction.
    pub body_idle: Duration,
    /// Time to connect to an endpoint. They are on this machine or in this site.
    pub connect: Duration,
    /// How long a connection to an endpoint is kept for the next request, at most.
    pub pool_idle: Duration,
    /// How long a connection whose listener is gone may still begin its first request: its client
    /// connected while we listened and may be about to send.
    pub first_request: Duration,
    /// How long what a client still sends is read and dropped after an answer that closes.
    pub linger: Duration,
    /// How much of it, in bytes.
    pub linger_bytes: usize,
    /// How long requests may take to finish once the proxy was told to stop.
    pub drain: Duration,
    /// How long an endpoint is ejected the first time. Longer than most restarts take, and short
    /// enough that a mistake costs little.
    pub eject: Duration,
    /// How long a new endpoint takes, at most, to get its whole share.
    pub slow_start: Duration,
    /// How long a backend of HTTP/2 may be silent while requests wait for it before it is asked
    /// whether it is there.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(60),
            connect: Duration::from_secs(1),
            pool_idle: Duration::from_secs(3600),
            first_request: Duration::from_secs(1),
            linger: Duration::from_secs(2),
            linger_bytes: 1024 * 1024,
            drain: Duration::from_secs(10),
            eject: Duration::from_secs(30),
            slow_start: Duration::from_secs(30),
            ping: Duration::from_secs(5),
        }
    }
}
