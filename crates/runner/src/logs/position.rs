//! Finding a place in a log without reading all of it.

use std::io;
use std::path::Path;

use super::segments;
use super::{Cursor, Records, Timestamp};

/// How much is read at once when looking backwards.
const BLOCK: usize = 16 * 1024;

/// The end of what is in `folder` now; `None` if nothing is.
pub(super) fn end(folder: &Path) -> io::Result<Option<Cursor>> {
    let Some(&segment) = segments::list(folder)?.last() else {
        return Ok(None);
    };
    Ok(segments::length(folder, segment)?.map(|offset| Cursor { segment, offset }))
}

/// Where the last `most` records between `floor` and `end` begin, and how many there are.
pub(super) fn tail(
    folder: &Path,
    most: usize,
    floor: Cursor,
    end: Cursor,
) -> io::Result<(Cursor, usize)> {
    let (mut start, mut found) = (end, 0);
    while found < most && start > floor {
        let segment = if start.offset > 0 {
            start.segment
        } else {
            start.segment - 1
        };
        let from = if segment == floor.segment {
            floor.offset
        } else {
            0
        };
        let length = if segment == end.segment {
            Some(end.offset)
        } else {
            None
        };
        // A segment that is gone was rotated away meanwhile, and all before it too.
        let Some(length) =
            length.map_or_else(|| segments::length(folder, segment), |l| Ok(Some(l)))?
        else {
            break;
        };
        let (offset, records) = tail_of_segment(folder, segment, most - found, from, length)?;
        start = Cursor { segment, offset };
        found += records;
    }
    Ok((start, found))
}

/// The same within bytes `from` to `to` of one segment; `from` is the beginning of a record.
fn tail_of_segment(
    folder: &Path,
    segment: u64,
    most: usize,
    from: u64,
    to: u64,
) -> io::Result<(u64, usize)> {
    let Some(file) = segments::open(folder, segment)? else {
        return Ok((from, 0));
    };
    let mut block = vec![0; BLOCK];
    let (mut end, mut newlines) = (to, 0);
    while end > from {
        let start = end.saturating_sub(BLOCK as u64).max(from);
        let block = &mut block[..(end - start) as usize];
        let filled = segments::read_at(&file, block, start)?;
        for place in (0..filled).rev().filter(|&place| block[place] == b'\n') {
            if newlines == most {
                return Ok((start + place as u64 + 1, newlines));
            }
            newlines += 1;
        }
        end = start;
    }
    Ok((from, newlines))
}

/// Where the first record that is not older than `since` begins; the end if there is none.
pub(super) fn since(folder: &Path, since: Timestamp) -> io::Result<Cursor> {
    let mut records = Records::open(folder)?;
    // Times only grow within an instance: what is looked for is in the last segment that begins
    // before that time, or at the very beginning of the next.
    for segment in segments::list(folder)?.into_iter().rev() {
        records.seek(Cursor::start_of(segment));
        if records.try_next()?.is_some_and(|first| first.at < since) {
            break;
        }
        records.seek(Cursor::start_of(segment));
    }
    loop {
        let before = records.cursor();
        match records.try_next()? {
            Some(record) if record.at < since => {}
            _ => return Ok(before),
        }
    }
}
