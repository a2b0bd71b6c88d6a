//! One connection of HTTP/2 without its socket (RFC 9113): bytes that arrived are given to it, what
//! it wants to send is taken from it, and streams are read and written in between.
//!
//! `frames` follows what arrives, with `heads` for fields and `content` for DATA; `sending` and
//! `taking` are what those who serve a stream do with it.

mod content;
mod frames;
mod heads;
mod sending;
mod stream;
mod taking;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::task::Waker;
use std::time::{Duration, Instant};

pub(crate) use self::heads::Arrived;
pub(crate) use self::stream::Failure;
use self::stream::{Ended, Memory, Stream, wake};
pub(crate) use self::taking::Received;
use super::frame::{self, DEFAULT_WINDOW, LARGEST, PREFACE};
use super::guard::{Excess, Guard};
use super::hpack::{Decoder, Encoder};
use super::reason::Reason;
use super::settings::{self, PeerSettings};
use crate::limits::{
    HEAD_BYTES, HTTP2_BACKEND_WINDOW, HTTP2_CONNECTION_WINDOW, HTTP2_SEND_BUFFER,
    HTTP2_STREAM_WINDOW, HTTP2_STREAMS,
};

/// Which side of a connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What a ping of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ping {
    /// Measures how fast content arrives.
    Probe = 1,
    /// Its answer comes behind all requests that had left before the client knew that we go.
    Shutdown = 2,
    /// Its answer comes behind the other side's settings.
    Opening = 3,
    /// Asks whether the other side is there.
    Alive = 4,
}

impl Ping {
    fn payload(self) -> [u8; 8] {
        [b'r', b'o', b'a', b'd', b'b', b'e', b'd', self as u8]
    }
}

/// How far we are in going away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    No,
    /// The other side was told, and may have sent requests before it knew.
    Announced,
    /// It knows; streams that it opens are not served any more.
    Final,
}

/// A frame of content that has not arrived wholly.
#[derive(Debug, Clone, Copy)]
struct Unfinished {
    stream: u32,
    left: usize,
    padding: usize,
    ends: bool,
}

/// A field block that has not arrived wholly.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
}

/// Stream numbers are spread already.
#[derive(Default)]
struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }
    fn write_u32(&mut self, id: u32) {
        // Tables look at the upper bits and the lower ones.
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// See the module.
pub(crate) struct Connection {
    role: Role,
    guard: Guard,
    decoder: Decoder,
    encoder: Encoder,
    peer: PeerSettings,
    /// How many bytes of the preface are still to come.
    preface_left: usize,
    has_settings: bool,
    streams: HashMap<u32, Stream, BuildHasherDefault<ById>>,
    /// How many streams are not over.
    open: usize,
    memory: Memory,
    /// The highest stream that the client has opened, whichever side that is.
    last: u32,
    block: Option<Block>,
    unfinished: Option<Unfinished>,
    /// Since when something other than content has been arriving that is not whole yet.
    incomplete_since: Option<Instant>,
    /// Requests that nobody has taken yet.
    arrived: VecDeque<Arrived>,
    receive_window: i64,
    unclaimed: u32,
    /// What the window of the whole connection is when nothing is on its way.
    window: u32,
    /// The same for each stream.
    stream_window: u32,
    send_window: i64,
    /// Streams that have something to send and no room for it, in the order of their turns.
    waiting: VecDeque<u32>,
    out: Vec<u8>,
    out_sent: usize,
    going: Going,
    /// The other side takes no more streams.
    is_left: bool,
    /// It is over but for what is still to be sent.
    is_ended: bool,
    /// Pings that were answered, by the bit of their number.
    answered: u8,
    /// How many frames have arrived that were no pings.
    heard: u64,
    /// Wakes whoever moves bytes between this and its socket.
    driver: Option<Waker>,
}

impl Connection {
    /// A connection of which no byte was exchanged.
    pub(crate) fn new(role: Role) -> Self {
        let window = match role {
            Role::Server => HTTP2_CONNECTION_WINDOW,
            Role::Client => HTTP2_BACKEND_WINDOW,
        };
        let mut connection = Self {
            role,
            guard: Guard::new(),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            peer: PeerSettings::default(),
            preface_left: match role {
                Role::Server => PREFACE.len(),
                Role::Client => 0,
            },
            has_settings: false,
            streams: HashMap::default(),
            open: 0,
            memory: Memory::default(),
            last: 0,
            block: None,
            unfinished: None,
            incomplete_since: None,
            arrived: VecDeque::new(),
            receive_window: i64::from(window),
            unclaimed: 0,
            window,
            stream_window: HTTP2_STREAM_WINDOW,
            send_window: i64::from(DEFAULT_WINDOW),
            waiting: VecDeque::new(),
            out: Vec::new(),
            out_sent: 0,
            going: Going::No,
            is_left: false,
            is_ended: false,
            answered: 0,
            heard: 0,
            driver: None,
        };
        connection.greet();
        connection
    }

    /// Says what we are.
    fn greet(&mut self) {
        let common = [
            (settings::INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW),
            (settings::MAX_HEADER_LIST_SIZE, HEAD_BYTES as u32),
        ];
        match self.role {
            Role::Client => {
                self.out.extend_from_slice(PREFACE);
                let own = [common[0], common[1], (settings::ENABLE_PUSH, 0)];
                frame::write_settings(&mut self.out, &own);
            }
            Role::Server => {
                let streams = (settings::MAX_CONCURRENT_STREAMS, HTTP2_STREAMS);
                let websockets = (settings::ENABLE_CONNECT_PROTOCOL, 1);
                let own = [common[0], common[1], streams, websockets];
                frame::write_settings(&mut self.out, &own);
            }
        }
        frame::write_window_update(&mut self.out, 0, self.window - DEFAULT_WINDOW);
    }

    /// Follows bytes that arrived; how many of them. The rest is to be given again with what
    /// comes next.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while !self.is_ended {
            match self.step(&bytes[used..]) {
                Ok(0) => break,
                Ok(count) => used += count,
                Err(reason) => self.fail(reason),
            }
            if let Some(excess) = self.guard.excess() {
                self.fail(excess.reason);
            }
        }
        if self.is_ended {
            return bytes.len();
        }
        self.incomplete_since = match (used == bytes.len(), &self.block) {
            (true, None) => None,
            // The next frame has begun; another one before it is no news of it.
            (false, None) if used > 0 => Some(Instant::now()),
            _ => self.incomplete_since.or_else(|| Some(Instant::now())),
        };
        used
    }

    /// What is to be sent.
    pub(crate) fn output(&self) -> &[u8] {
        &self.out[self.out_sent..]
    }

    /// Notes that so many bytes were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        // What a connection without requests keeps for its next one.
        const KEPT: usize = 4 * 1024;
        self.guard.sent(count);
        self.out_sent += count;
        if self.out_sent > HTTP2_SEND_BUFFER {
            self.out.drain(..self.out_sent);
            self.out_sent = 0;
        }
        if self.out_sent == self.out.len() {
            self.out_sent = 0;
            self.out.clear();
            if self.open == 0 && self.out.capacity() > KEPT {
                self.out = Vec::new();
            }
        }
        self.wake_senders();
    }

    /// Whether so much waits to be sent that nothing more should be read before.
    pub(crate) fn is_clogged(&self) -> bool {
        self.output().len() >= HTTP2_SEND_BUFFER
    }

    /// Whether it is over but for what is still to be sent: it has failed, or has gone away and
    /// served all that it had to.
    pub(crate) fn is_over(&self) -> bool {
        let is_gone = matches!(self.going, Going::Final) && self.open == 0;
        self.is_ended || (is_gone && self.arrived.is_empty())
    }

    /// Notes that a request's answer has begun, after which its client may cancel the rest.
    pub(crate) fn answered(&self) {
        self.guard.answered();
    }

    /// What the other side has overdone, if anything.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.guard.excess()
    }

    /// Whether the other side has been sending one head, or another frame that is no content, for
    /// longer than `limit`.
    pub(crate) fn is_slow(&self, limit: Duration) -> bool {
        self.incomplete_since
            .is_some_and(|since| since.elapsed() > limit)
    }

    /// How much content has arrived in all, in bytes.
    pub(crate) fn content(&self) -> u64 {
        self.guard.content()
    }

    /// Whether a request has arrived that nobody has taken.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// A request that has arrived.
    pub(crate) fn take_arrived(&mut self) -> Option<Arrived> {
        while let Some(arrived) = self.arrived.pop_front() {
            let stream = self.streams.get(&arrived.stream);
            if stream.is_some_and(|stream| stream.failure.is_none()) {
                return Some(arrived);
            }
            // It was given up at once.
            self.release(arrived.stream);
        }
        None
    }

    /// Begins to go away: requests that are on their way are still served.
    pub(crate) fn shut_down(&mut self) {
        if self.going == Going::No && !self.is_ended {
            self.going = Going::Announced;
            frame::write_goaway(&mut self.out, LARGEST, Reason::NO_ERROR);
            self.ping(Ping::Shutdown);
        }
    }

    /// Ends the connection, which is told why.
    pub(crate) fn fail(&mut self, reason: Reason) {
        if !self.is_ended {
            let last = match self.role {
                Role::Server => self.last,
                Role::Client => 0,
            };
            frame::write_goaway(&mut self.out, last, reason);
            self.end(reason);
        }
    }

    /// Notes that the connection's other end is gone, or that ours is about to be.
    pub(crate) fn end(&mut self, reason: Reason) {
        if self.is_ended {
            return;
        }
        self.is_ended = true;
        self.arrived.clear();
        let all: Vec<u32> = self.streams.keys().copied().collect();
        for id in all {
            self.fail_stream(id, Failure::of(reason));
        }
        self.notify();
    }

    /// Sends a ping.
    pub(crate) fn ping(&mut self, ping: Ping) {
        self.answered &= !(1 << ping as u8);
        frame::write_ping(&mut self.out, ping.payload(), false);
        self.notify();
    }

    /// Whether a ping was answered since it was last sent.
    pub(crate) fn is_answered(&self, ping: Ping) -> bool {
        self.answered & (1 << ping as u8) != 0
    }

    /// How many frames have arrived that were no pings.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// Tells the other side of larger windows: of a stream, and of the whole connection.
    pub(crate) fn grow_windows(&mut self, stream: u32, connection: u32) {
        if let Some(more) = stream
            .checked_sub(self.stream_window)
            .filter(|&more| more > 0)
        {
            frame::write_settings(&mut self.out, &[(settings::INITIAL_WINDOW_SIZE, stream)]);
            self.stream_window = stream;
            for stream in self.streams.values_mut() {
                stream.receive_window += i64::from(more);
            }
        }
        if let Some(more) = connection.checked_sub(self.window).filter(|&more| more > 0) {
            frame::write_window_update(&mut self.out, 0, more);
            self.window = connection;
            self.receive_window += i64::from(more);
        }
        self.notify();
    }

    /// Whether no stream can be opened any more: it is over, the other side is about to leave, or
    /// all numbers are used up.
    pub(crate) fn is_closed_to_more(&self) -> bool {
        self.is_ended || self.is_left || self.last >= LARGEST - 1
    }

    /// How many streams the other side allows at a time.
    pub(crate) fn allowed_streams(&self) -> usize {
        self.peer.streams as usize
    }

    /// Whether the other side opens WebSockets (RFC 8441).
    pub(crate) fn opens_websockets(&self) -> bool {
        self.peer.opens_websockets
    }

    /// Has whoever moves bytes woken when there is something to send.
    pub(crate) fn set_driver(&mut self, waker: &Waker) {
        match &mut self.driver {
            Some(driver) => driver.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    /// Has nobody woken: whoever moves bytes looks again anyway.
    pub(crate) fn clear_driver(&mut self) {
        self.driver = None;
    }

    /// Has whoever moves bytes look again.
    pub(crate) fn notify(&mut self) {
        wake(&mut self.driver);
    }

    /// Ends a stream before its time, for everybody here who holds it.
    fn fail_stream(&mut self, id: u32, failure: Failure) {
        if let Some(stream) = self.streams.get_mut(&id) {
            if !stream.is_over() {
                stream.failure = Some(failure);
            }
            stream.wake_all();
        }
        self.settle(id);
    }

    /// Resets a stream, whether it is there or not, that breaks a rule.
    fn reset_stream(&mut self, id: u32, reason: Reason) {
        frame::write_reset(&mut self.out, id, reason);
        if self.role == Role::Server {
            self.guard.reset(reason);
        }
        match self.streams.get_mut(&id) {
            Some(stream) => {
                stream.is_reset_by_us = true;
                let failure = Failure::of(reason);
                self.fail_stream(
                    id,
                    Failure {
                        is_malformed: true,
                        ..failure
                    },
                );
            }
            None => self.memory.remember(id, Ended::ResetByUs),
        }
        self.notify();
    }

    /// Takes note when a stream is over, and forgets it once nobody holds it either.
    fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.is_over() {
            return;
        }
        if std::mem::take(&mut stream.is_counted) {
            self.open -= 1;
            if self.open == 0 && self.going != Going::No {
                wake(&mut self.driver);
            }
        }
        if stream.is_held {
            return;
        }
        let how = match (stream.is_reset_by_us, stream.failure) {
            (true, _) => Ended::ResetByUs,
            (false, Some(_)) => Ended::ResetByPeer,
            (false, None) => Ended::Orderly,
        };
        let owed = stream.owed;
        self.streams.remove(&id);
        self.memory.remember(id, how);
        self.claim(owed);
    }
}
