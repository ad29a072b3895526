//! Framing of Amazon's event streams (`application/vnd.amazon.eventstream`, Smithy's event stream
//! specification), on pieces cut anywhere.
//!
//! ```text
//! length of the frame  length of the headers  CRC of these two    4 bytes each, big endian
//! headers              payload                CRC of all before it
//! ```
//!
//! A frame that lies whole in one piece is read in place; of one that is cut, only what it says to have is
//! held, as it arrives. A frame over a limit is passed over in constant memory, however long it says it is.
//! A checksum that is wrong, lengths that cannot be, or headers that do not fit break the stream: where the
//! next frame starts is not known any more.

use crate::Event;
use crate::framing::{Cut, Held};
use crate::sse::MAX_EVENT_NAME_BYTES;

/// Cuts a stream into events.
#[derive(Debug)]
pub(crate) struct Framer {
    /// The most bytes that a payload may have.
    limit: usize,
    /// The start of the frame that the last piece broke off in.
    held: Held,
    /// How long the held frame is; `None` before its prelude is whole.
    whole: Option<usize>,
    /// How many bytes are still to come of a frame that is passed over.
    passing: u64,
}

/// The lengths at the start of a frame.
struct Prelude {
    /// Of the frame, from its first byte to its last.
    total: u32,
    headers: u32,
}

/// The headers that tell what a frame is.
#[derive(Default)]
struct Headers<'f> {
    message_type: &'f [u8],
    event_type: &'f [u8],
    exception_type: &'f [u8],
    error_code: &'f [u8],
}

/// Something that a frame says cannot be.
struct Broken;

/// The most bytes of headers in a frame that is read; the format allows no more.
const MAX_HEADER_BYTES: u32 = 128 * 1024;

const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// The shortest frame: no headers, no payload.
const MIN_FRAME_BYTES: u32 = 16;

// === impl Framer ===

impl Framer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Held::default(),
            whole: None,
            passing: 0,
        }
    }

    /// As [`framing::Framer::feed`](crate::framing::Framer::feed).
    pub(super) fn feed(
        &mut self,
        piece: &[u8],
        mut on_event: impl FnMut(&Event<'_>) -> bool,
    ) -> Cut {
        match self.frames(piece, &mut on_event) {
            Ok(()) => Cut::Open,
            Err(Broken) => {
                // Nobody reads on from here.
                self.held = Held::default();
                Cut::Broken
            }
        }
    }

    fn frames(
        &mut self,
        mut rest: &[u8],
        on_event: &mut impl FnMut(&Event<'_>) -> bool,
    ) -> Result<(), Broken> {
        while !rest.is_empty() {
            if self.passing > 0 {
                let passed = usize::try_from(self.passing)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                self.passing -= passed as u64;
                rest = &rest[passed..];
            } else if self.held.0.is_empty() {
                let Some(prelude) = rest.first_chunk() else {
                    self.held.0.extend_from_slice(rest);
                    return Ok(());
                };
                let Some(total) = self.begin(prelude)? else {
                    continue;
                };
                let Some((frame, after)) = rest.split_at_checked(total) else {
                    self.whole = Some(total);
                    self.held.0.extend_from_slice(rest);
                    return Ok(());
                };
                rest = after;
                if !read(frame, on_event)? {
                    return Ok(());
                }
            } else {
                rest = self.fill(rest);
                match self.whole {
                    None => {
                        let Some(&prelude) = self.held.0.first_chunk() else {
                            return Ok(());
                        };
                        self.whole = self.begin(&prelude)?;
                        if self.whole.is_none() {
                            self.held.0.clear();
                            self.passing -= PRELUDE_BYTES as u64;
                        }
                    }
                    Some(whole) if self.held.0.len() == whole => {
                        let go_on = read(&self.held.0, on_event)?;
                        self.held.0.clear();
                        self.whole = None;
                        if !go_on {
                            return Ok(());
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// How long the frame is that starts so; `None` if it is to be passed over.
    fn begin(&mut self, prelude: &[u8; PRELUDE_BYTES]) -> Result<Option<usize>, Broken> {
        let prelude = Prelude::read(prelude)?;
        if prelude.headers <= MAX_HEADER_BYTES && prelude.payload() as usize <= self.limit {
            return Ok(Some(prelude.total as usize));
        }
        self.passing = u64::from(prelude.total);
        Ok(None)
    }

    /// Holds what is missing of the prelude, or of the frame, and gives back what is left.
    fn fill<'f>(&mut self, piece: &'f [u8]) -> &'f [u8] {
        let wanted = self.whole.unwrap_or(PRELUDE_BYTES);
        let missing = wanted.saturating_sub(self.held.0.len());
        let (taken, rest) = piece.split_at(missing.min(piece.len()));
        self.held.0.extend_from_slice(taken);
        rest
    }
}

/// Reads a whole frame. Whether to go on is for `on_event` to say.
fn read(frame: &[u8], on_event: &mut impl FnMut(&Event<'_>) -> bool) -> Result<bool, Broken> {
    let (start, sum) = frame.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Broken)?;
    let (prelude, rest) = start.split_first_chunk().ok_or(Broken)?;
    if crc32fast::hash(start) != u32::from_be_bytes(*sum) {
        return Err(Broken);
    }
    let headers = Prelude::read(prelude)?.headers as usize;
    let (headers, payload) = rest.split_at_checked(headers).ok_or(Broken)?;
    let headers = Headers::read(headers)?;
    let name = headers.name();
    Ok(on_event(&Event {
        name: &name[..name.len().min(MAX_EVENT_NAME_BYTES)],
        data: payload,
        exception: headers.is_exception(),
    }))
}

// === impl Prelude ===

impl Prelude {
    fn read(bytes: &[u8; PRELUDE_BYTES]) -> Result<Self, Broken> {
        let [t0, t1, t2, t3, h0, h1, h2, h3, sum @ ..] = *bytes;
        let prelude = Self {
            total: u32::from_be_bytes([t0, t1, t2, t3]),
            headers: u32::from_be_bytes([h0, h1, h2, h3]),
        };
        let sum_is_right = crc32fast::hash(&bytes[..8]) == u32::from_be_bytes(sum);
        let room = prelude.total.checked_sub(MIN_FRAME_BYTES);
        if sum_is_right && room.is_some_and(|room| prelude.headers <= room) {
            Ok(prelude)
        } else {
            Err(Broken)
        }
    }

    fn payload(&self) -> u32 {
        self.total - MIN_FRAME_BYTES - self.headers
    }
}

// === impl Headers ===

impl<'f> Headers<'f> {
    fn read(mut rest: &'f [u8]) -> Result<Self, Broken> {
        let mut headers = Self::default();
        while !rest.is_empty() {
            let length = take(&mut rest, 1)?[0];
            let name = take(&mut rest, usize::from(length))?;
            let kind = take(&mut rest, 1)?[0];
            let value = match kind {
                // True, false.
                0 | 1 => &[],
                // Numbers of 1, 2, 4 and 8 bytes.
                2 => take(&mut rest, 1)?,
                3 => take(&mut rest, 2)?,
                4 => take(&mut rest, 4)?,
                // The second is a time.
                5 | 8 => take(&mut rest, 8)?,
                // Bytes and text.
                6 | 7 => {
                    let length = take(&mut rest, 2)?;
                    take(
                        &mut rest,
                        usize::from(length[0]) << 8 | usize::from(length[1]),
                    )?
                }
                // A UUID.
                9 => take(&mut rest, 16)?,
                _ => return Err(Broken),
            };
            if kind != 7 {
                continue;
            }
            match name {
                b":message-type" => headers.message_type = value,
                b":event-type" => headers.event_type = value,
                b":exception-type" => headers.exception_type = value,
                b":error-code" => headers.error_code = value,
                _ => {}
            }
        }
        Ok(headers)
    }

    /// An exception is one of the service's model; an error is not, and names itself in another header.
    fn is_exception(&self) -> bool {
        matches!(self.message_type, b"exception" | b"error")
            || !self.exception_type.is_empty()
            || !self.error_code.is_empty()
    }

    fn name(&self) -> &'f [u8] {
        [self.exception_type, self.error_code]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or(self.event_type)
    }
}

fn take<'f>(rest: &mut &'f [u8], length: usize) -> Result<&'f [u8], Broken> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Broken)?;
    *rest = left;
    Ok(taken)
}
