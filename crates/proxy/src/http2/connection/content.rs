//! DATA as it arrives, and the windows that it fills (RFC 9113 sections 5.2 and 6.1).

use super::stream::{Ended, wake};
use super::{Connection, Unfinished};
use crate::http2::frame::{self, FrameHeader, flag};
use crate::http2::reason::Reason;

impl Connection {
    /// Begins to follow a frame of content, of which `padding` is as much as it says where it is
    /// padded.
    pub(super) fn begin_content(
        &mut self,
        header: &FrameHeader,
        padding: Option<u8>,
    ) -> Result<(), Reason> {
        if header.stream == 0 || self.is_idle(header.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.receive_window -= header.length as i64;
        if self.receive_window < 0 {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let beside = padding.map_or(0, |padding| 1 + usize::from(padding));
        let left = header.length.checked_sub(beside);
        let left = left.ok_or(Reason::PROTOCOL_ERROR)?;
        if let Some(reason) = self.refuses_content(header, left) {
            self.reset_stream(header.stream, reason);
        }
        self.unfinished = Some(Unfinished {
            stream: header.stream,
            left,
            padding: padding.map_or(0, usize::from),
            ends: header.has(flag::END_STREAM),
        });
        // What pads it is passed on to nobody.
        self.claim(beside as u32);
        self.claim_stream(header.stream, beside as u32);
        if header.length == beside {
            self.content_arrived(&[]);
        }
        Ok(())
    }

    /// Counts a frame on its stream; why the stream is to be reset, if it is.
    fn refuses_content(&mut self, header: &FrameHeader, content: usize) -> Option<Reason> {
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            let how = self.memory.recall(header.stream);
            return (how != Some(Ended::ResetByUs)).then_some(Reason::STREAM_CLOSED);
        };
        if stream.failure.is_some() {
            return (!stream.is_reset_by_us).then_some(Reason::STREAM_CLOSED);
        }
        if stream.is_received {
            return Some(Reason::STREAM_CLOSED);
        }
        if !stream.has_head {
            return Some(Reason::PROTOCOL_ERROR);
        }
        stream.receive_window -= header.length as i64;
        if stream.receive_window < 0 {
            return Some(Reason::FLOW_CONTROL_ERROR);
        }
        match &mut stream.length {
            Some(left) => match left.checked_sub(content as u64) {
                Some(rest) => {
                    *left = rest;
                    None
                }
                None => Some(Reason::PROTOCOL_ERROR),
            },
            None => None,
        }
    }

    /// Passes on what `bytes` have of the frame that has begun; how many of them.
    pub(super) fn content_arrived(&mut self, bytes: &[u8]) -> usize {
        let Some(mut frame) = self.unfinished.take() else {
            return 0;
        };
        let content = frame.left.min(bytes.len());
        let padding = frame.padding.min(bytes.len() - content);
        (frame.left, frame.padding) = (frame.left - content, frame.padding - padding);
        if content > 0 {
            self.deliver(frame.stream, &bytes[..content]);
        }
        match frame.left + frame.padding {
            0 if frame.ends => self.received(frame.stream),
            0 => {}
            _ => self.unfinished = Some(frame),
        }
        content + padding
    }

    fn deliver(&mut self, id: u32, content: &[u8]) {
        let count = content.len() as u32;
        match self.streams.get_mut(&id) {
            Some(stream) if !stream.is_ignored && stream.failure.is_none() => {
                stream.content.extend_from_slice(content);
                stream.owed += count;
                wake(&mut stream.wakers.receiving);
            }
            // Nobody wants it.
            _ => self.claim(count),
        }
    }

    /// Notes that the other side has ended a stream.
    pub(super) fn received(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.failure.is_some() {
            return;
        }
        if stream.length.is_some_and(|left| left > 0) && !stream.is_bodiless {
            // It has less content than it said (RFC 9113 section 8.1.1).
            return self.reset_stream(id, Reason::PROTOCOL_ERROR);
        }
        stream.is_received = true;
        wake(&mut stream.wakers.receiving);
        self.settle(id);
    }

    /// Gives bytes back to the window of the connection, in updates of some size.
    pub(super) fn claim(&mut self, count: u32) {
        self.unclaimed += count;
        if self.unclaimed >= self.window / 2 {
            let count = std::mem::take(&mut self.unclaimed);
            frame::write_window_update(&mut self.out, 0, count);
            self.receive_window += i64::from(count);
            self.notify();
        }
    }

    /// The same for a stream.
    pub(super) fn claim_stream(&mut self, id: u32, count: u32) {
        let half = self.stream_window / 2;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.unclaimed += count;
        if stream.unclaimed >= half && !stream.is_received && stream.failure.is_none() {
            let count = std::mem::take(&mut stream.unclaimed);
            stream.receive_window += i64::from(count);
            frame::write_window_update(&mut self.out, id, count);
            self.notify();
        }
    }
}
