//! Following what arrives, a frame at a time (RFC 9113 sections 4 to 6).

use super::stream::{Ended, Failure};
use super::{Block, Connection, Going, Ping, Role};
use crate::http2::frame::{
    self, FrameHeader, HEADER_BYTES, LARGEST, PAYLOAD_BYTES, PREFACE, flag, kind, without_padding,
};
use crate::http2::reason::Reason;
use crate::limits::HEAD_BYTES;

/// The longest field block, compressed. What is longer is too long whatever it says.
const BLOCK_BYTES: usize = 2 * HEAD_BYTES;

impl Connection {
    /// Follows what `bytes` begin with; how many of them, 0 when they are too few.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        if self.preface_left > 0 {
            return self.preface(bytes);
        }
        if self.unfinished.is_some() {
            return Ok(self.content_arrived(bytes));
        }
        let Some(header) = FrameHeader::parse(bytes) else {
            return Ok(0);
        };
        if header.length > PAYLOAD_BYTES {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if header.kind == kind::DATA {
            // Its content is passed on as it arrives, once it is known how long it is.
            let head = HEADER_BYTES + usize::from(header.has(flag::PADDED));
            let Some(head) = bytes.get(..head) else {
                return Ok(0);
            };
            self.check_order(&header)?;
            self.begin_content(&header, head.get(HEADER_BYTES).copied())?;
            return Ok(head.len());
        }
        let whole = HEADER_BYTES + header.length;
        let Some(frame) = bytes.get(..whole) else {
            return Ok(0);
        };
        self.check_order(&header)?;
        self.frame(&header, &frame[HEADER_BYTES..])?;
        Ok(whole)
    }

    fn preface(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let expected = &PREFACE[PREFACE.len() - self.preface_left..];
        let count = expected.len().min(bytes.len());
        if bytes[..count] != expected[..count] {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.preface_left -= count;
        Ok(count)
    }

    /// Whether a frame may come now, and whether its sender has not overdone it.
    fn check_order(&mut self, header: &FrameHeader) -> Result<(), Reason> {
        let continues = header.kind == kind::CONTINUATION;
        let awaited = self.block.as_ref().map(|block| block.stream);
        let is_due = match awaited {
            Some(stream) => continues && header.stream == stream,
            None => !continues,
        };
        if !is_due {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.heard += u64::from(header.kind != kind::PING);
        if !std::mem::replace(&mut self.has_settings, true) {
            // RFC 9113 section 3.4. The one that has to be there costs nothing.
            let is_settings = header.kind == kind::SETTINGS && !header.has(flag::ACK);
            return is_settings.then_some(()).ok_or(Reason::PROTOCOL_ERROR);
        }
        if self.role == Role::Client {
            // Backends are trusted with as much work as they like to make.
            return Ok(());
        }
        self.guard.frame(header);
        Ok(())
    }

    fn frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        match header.kind {
            kind::HEADERS => self.headers(header, payload),
            kind::CONTINUATION => self.continuation(header, payload),
            kind::PRIORITY => priority(header, payload),
            kind::RST_STREAM => self.reset_arrived(header, payload),
            kind::SETTINGS => self.settings(header, payload),
            // We push nothing, and let nobody else.
            kind::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            kind::PING => self.ping_arrived(header, payload),
            kind::GOAWAY => self.goaway(header, payload),
            kind::WINDOW_UPDATE => self.window_update(header, payload),
            // RFC 9113 section 4.1: what is not known is ignored.
            _ => Ok(()),
        }
    }

    fn headers(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        if header.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let mut block = without_padding(header, payload).ok_or(Reason::PROTOCOL_ERROR)?;
        if header.has(flag::PRIORITY) {
            let (priority, rest) = block.split_at_checked(5).ok_or(Reason::FRAME_SIZE_ERROR)?;
            check_dependency(header.stream, priority)?;
            block = rest;
        }
        let ends = header.has(flag::END_STREAM);
        if header.has(flag::END_HEADERS) {
            return self.block_arrived(header.stream, ends, block);
        }
        self.block = Some(Block {
            stream: header.stream,
            ends,
            bytes: block.to_vec(),
        });
        Ok(())
    }

    fn continuation(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        let Some(mut block) = self.block.take() else {
            return Err(Reason::PROTOCOL_ERROR);
        };
        block.bytes.extend_from_slice(payload);
        if block.bytes.len() > BLOCK_BYTES {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        if header.has(flag::END_HEADERS) {
            return self.block_arrived(block.stream, block.ends, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    fn reset_arrived(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        let code = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        if self.is_idle(header.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let reason = Reason(u32::from_be_bytes(code));
        let failure = Failure {
            is_unprocessed: reason == Reason::REFUSED_STREAM,
            ..Failure::of(reason)
        };
        self.fail_stream(header.stream, failure);
        Ok(())
    }

    fn settings(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if header.has(flag::ACK) {
            return payload
                .is_empty()
                .then_some(())
                .ok_or(Reason::FRAME_SIZE_ERROR);
        }
        let before = i64::from(self.peer.window);
        self.peer.follow(payload, self.role == Role::Client)?;
        let more = i64::from(self.peer.window) - before;
        // One that has failed may be in somebody's hands still, and has no window any more.
        let streams = self.streams.values_mut();
        for stream in streams.filter(|stream| stream.failure.is_none()) {
            // It may become negative (RFC 9113 section 6.9.2).
            stream.send_window += more;
            if stream.send_window > i64::from(LARGEST) {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
        }
        if std::mem::take(&mut self.peer.has_announced_table) {
            self.encoder.table_size_announced();
        }
        frame::write_settings_ack(&mut self.out);
        self.wake_senders();
        Ok(())
    }

    fn ping_arrived(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        let payload = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if !header.has(flag::ACK) {
            frame::write_ping(&mut self.out, payload, true);
            return Ok(());
        }
        for ping in [Ping::Probe, Ping::Shutdown, Ping::Opening, Ping::Alive] {
            if ping.payload() == payload {
                self.answered |= 1 << ping as u8;
            }
        }
        if self.going == Going::Announced && self.is_answered(Ping::Shutdown) {
            self.going = Going::Final;
            frame::write_goaway(&mut self.out, self.last, Reason::NO_ERROR);
        }
        Ok(())
    }

    /// The other side takes no more streams, and has not looked at those beyond the one it names
    /// (RFC 9113 section 6.8).
    fn goaway(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        let last = payload.first_chunk::<8>().ok_or(Reason::FRAME_SIZE_ERROR)?;
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.is_left = true;
        let [last @ .., _, _, _, _] = *last;
        let last = u32::from_be_bytes(last) & LARGEST;
        if self.role == Role::Client {
            let beyond: Vec<u32> = self
                .streams
                .keys()
                .copied()
                .filter(|&id| id > last)
                .collect();
            let unseen = Failure {
                is_unprocessed: true,
                ..Failure::of(Reason::NO_ERROR)
            };
            for id in beyond {
                self.fail_stream(id, unseen);
            }
        }
        Ok(())
    }

    fn window_update(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
        let by = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        let by = u32::from_be_bytes(by) & LARGEST;
        if header.stream == 0 {
            self.send_window += i64::from(by);
            match by {
                0 => return Err(Reason::PROTOCOL_ERROR),
                _ if self.send_window > i64::from(LARGEST) => {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
                _ => self.wake_senders(),
            }
            return Ok(());
        }
        if self.is_idle(header.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let stream = self.streams.get_mut(&header.stream);
        // What comes for one that has failed was on its way.
        let Some(stream) = stream.filter(|stream| stream.failure.is_none()) else {
            return Ok(());
        };
        let window = stream.send_window + i64::from(by);
        if by == 0 {
            self.reset_stream(header.stream, Reason::PROTOCOL_ERROR);
        } else if window > i64::from(LARGEST) {
            self.reset_stream(header.stream, Reason::FLOW_CONTROL_ERROR);
        } else {
            stream.send_window = window;
            if stream.is_waiting {
                self.wake_senders();
            }
        }
        Ok(())
    }

    /// Whether nobody has opened a stream of this number.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        // Only clients open streams, whose numbers are odd.
        id.is_multiple_of(2) || id > self.last
    }

    /// How a stream ended that is not there.
    pub(super) fn recall(&self, id: u32) -> Option<Ended> {
        self.memory.recall(id)
    }
}

fn priority(header: &FrameHeader, payload: &[u8]) -> Result<(), Reason> {
    match payload.len() {
        _ if header.stream == 0 => Err(Reason::PROTOCOL_ERROR),
        5 => check_dependency(header.stream, payload),
        _ => Err(Reason::FRAME_SIZE_ERROR),
    }
}

/// Priorities are not followed, but one that makes no sense is an error still (RFC 7540 section
/// 5.3.1).
fn check_dependency(stream: u32, priority: &[u8]) -> Result<(), Reason> {
    let on = priority.first_chunk().map(|on| u32::from_be_bytes(*on));
    match on {
        Some(on) if on & LARGEST == stream => Err(Reason::PROTOCOL_ERROR),
        _ => Ok(()),
    }
}
