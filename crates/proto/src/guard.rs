//! The frame guard: follows the frame headers of one client's byte stream and refuses what
//! the WebSocket library behind it would let through.
//!
//! fastwebsockets 0.10 accepts unmasked client frames, long pongs and closes, a second start
//! frame inside a fragmented message (and loses the first part), any sum and any number of
//! fragments, and it reserves memory for whatever a header announces. The guard sees each
//! byte first, so a refused header never reaches the library whole.
//!
//! Not for: payloads. UTF-8, close codes, what follows a close frame, how long a message may
//! take and how many control frames a second are allowed is decided by the edge, which calls
//! the guard from the connection's reader. No I/O, no clock, no allocation.

use crate::limits::{CLIENT_MESSAGE_BYTES_MAX, FRAGMENTS_MAX};

mod violation;

pub use violation::Violation;

/// The longest payload of a control frame, and the longest that the 7-bit length can tell.
const SHORT_LENGTH_MAX: u64 = 125;
/// A 64-bit length must tell more than this, or it is not the shortest form.
const LENGTH_16_MAX: u64 = u16::MAX as u64;
/// The highest bit of a 64-bit length must be 0.
const LENGTH_64_MAX: u64 = i64::MAX as u64;
/// The 7-bit length that announces a 16-bit one.
const LENGTH_CODE_16: u8 = 126;
/// The 7-bit length that announces a 64-bit one.
const LENGTH_CODE_64: u8 = 127;
/// The masking key stands between header and payload and is skipped together with the payload.
const MASK_KEY_BYTES: u64 = 4;

/// What a client may send, the same for every connection of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Largest payload of one message, in bytes, summed over its fragments. A message of
    /// exactly this size is accepted. Control frames do not count.
    pub message_bytes_max: u32,
    /// Most frames that one message may consist of. An unfragmented message counts as one, so
    /// 0 refuses every message.
    pub fragments_max: u32,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { message_bytes_max: CLIENT_MESSAGE_BYTES_MAX as u32, fragments_max: FRAGMENTS_MAX }
    }
}

/// What one call of [`FrameGuard::inspect`] saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Frames whose last byte was among the inspected bytes, control frames included.
    pub frames_completed: u32,
    /// Those of them that were control frames (for the caller's rate limit).
    pub control_frames: u32,
    /// Messages whose last fragment was completed.
    pub messages_completed: u32,
    /// Offset just past the last frame that was completed, 0 if none was. If it is the length
    /// of the inspected bytes and not 0, they ended at a frame boundary.
    pub boundary_bytes: usize,
}

/// Which byte of the stream comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Header(HeaderStep),
    /// Masking key and payload, `pending` bytes in all.
    Body,
}

/// Which byte of a frame header comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderStep {
    /// FIN, reserved bits, opcode.
    First,
    /// Mask bit and 7-bit length.
    Second,
    /// One of `missing` bytes of a 16-bit length; `pending` holds those before it.
    Length16 { missing: u8 },
    /// One of `missing` bytes of a 64-bit length; `pending` holds those before it.
    Length64 { missing: u8 },
}

/// What the first header byte said about the frame being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Close, ping or pong.
    Control,
    /// A fragment after which its message goes on.
    Fragment,
    /// The last (or only) fragment of its message.
    LastFragment,
}

/// Follows one client's byte stream after the upgrade. Owned by the connection's reader.
///
/// Small on purpose (24 bytes, held to 32 by a test), because every idle connection keeps one;
/// therefore the limits are passed in and not stored.
#[derive(Clone, Debug)]
pub struct FrameGuard {
    /// In a long length: its bytes so far. In the body: how many bytes are still to come, so
    /// that it is 0 again when the next frame begins.
    pending: u64,
    /// Payload bytes announced for the open message so far.
    message_bytes: u32,
    /// Fragments begun in the open message; 0 if no message is open.
    fragments: u32,
    step: Step,
    /// Of the frame being received; meaningless before its first header byte.
    kind: Kind,
    /// Set once and for good: a stream that broke the rules has no frame boundaries any more.
    violation: Option<Violation>,
}

impl Default for FrameGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameGuard {
    /// A guard for a stream that has just been upgraded. Bytes that the HTTP server read past
    /// the upgrade request belong to the stream and must be inspected first.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: 0,
            message_bytes: 0,
            fragments: 0,
            step: Step::Header(HeaderStep::First),
            kind: Kind::LastFragment,
            violation: None,
        }
    }

    /// Inspects the next bytes of the stream; all of them may be passed on if it returns `Ok`.
    ///
    /// The verdict on a stream does not depend on how it was cut into calls.
    ///
    /// # Errors
    ///
    /// The first [`Violation`], as soon as the header byte that commits it was seen, and the
    /// same one on every later call. None of `bytes` should be passed on then; a caller that
    /// wants the good frames ahead of the bad one uses [`FrameGuard::inspect_prefix`].
    pub fn inspect(&mut self, limits: &GuardLimits, bytes: &[u8]) -> Result<Inspected, Violation> {
        let (inspected, violation) = self.inspect_prefix(limits, bytes);
        violation.map_or(Ok(inspected), Err)
    }

    /// As [`FrameGuard::inspect`], but also tells what was good before the violation: with one,
    /// exactly the first [`Inspected::boundary_bytes`] of `bytes` may still be passed on.
    pub fn inspect_prefix(
        &mut self,
        limits: &GuardLimits,
        bytes: &[u8],
    ) -> (Inspected, Option<Violation>) {
        let mut inspected = Inspected::default();
        let mut offset = 0;
        while self.violation.is_none() && offset < bytes.len() {
            match self.step {
                Step::Header(step) => {
                    match self.header_byte(limits, step, bytes[offset]) {
                        Ok(next) => self.step = next,
                        Err(violation) => self.violation = Some(violation),
                    }
                    offset += 1;
                }
                Step::Body => {
                    offset += self.skip_body(bytes.len() - offset);
                    if self.pending == 0 {
                        self.finish_frame(&mut inspected);
                        inspected.boundary_bytes = offset;
                    }
                }
            }
        }
        (inspected, self.violation)
    }

    /// True where one frame has ended and the next has not begun. Never true after a violation.
    #[must_use]
    pub fn is_at_frame_boundary(&self) -> bool {
        self.step == Step::Header(HeaderStep::First) && self.violation.is_none()
    }

    /// True at a frame boundary where no fragmented message is open: nothing is half received,
    /// so the reader may give its buffer back. Never true after a violation.
    #[must_use]
    pub fn is_at_message_boundary(&self) -> bool {
        self.is_at_frame_boundary() && self.fragments == 0
    }

    /// Skips what is there of masking key and payload. Returns the number of bytes skipped.
    fn skip_body(&mut self, available_bytes: usize) -> usize {
        let wanted_bytes = usize::try_from(self.pending).unwrap_or(usize::MAX);
        let skipped_bytes = wanted_bytes.min(available_bytes);
        self.pending -= skipped_bytes as u64;
        skipped_bytes
    }

    fn finish_frame(&mut self, inspected: &mut Inspected) {
        inspected.frames_completed += 1;
        match self.kind {
            Kind::Control => inspected.control_frames += 1,
            Kind::Fragment => {}
            Kind::LastFragment => {
                inspected.messages_completed += 1;
                self.message_bytes = 0;
                self.fragments = 0;
            }
        }
        self.step = Step::Header(HeaderStep::First);
    }

    /// Judges one header byte. Returns what comes after it.
    fn header_byte(
        &mut self,
        limits: &GuardLimits,
        step: HeaderStep,
        byte: u8,
    ) -> Result<Step, Violation> {
        match step {
            HeaderStep::First => {
                self.kind = self.first_byte(limits, byte)?;
                Ok(Step::Header(HeaderStep::Second))
            }
            HeaderStep::Second => self.second_byte(limits, byte),
            HeaderStep::Length16 { missing } => {
                self.pending = self.pending << 8 | u64::from(byte);
                if missing > 1 {
                    return Ok(Step::Header(HeaderStep::Length16 { missing: missing - 1 }));
                }
                if self.pending <= SHORT_LENGTH_MAX {
                    return Err(Violation::LengthNotMinimal);
                }
                self.begin_body(limits, self.pending)
            }
            HeaderStep::Length64 { missing } => {
                self.pending = self.pending << 8 | u64::from(byte);
                if missing > 1 {
                    return Ok(Step::Header(HeaderStep::Length64 { missing: missing - 1 }));
                }
                if self.pending > LENGTH_64_MAX {
                    return Err(Violation::LengthOverflow);
                }
                if self.pending <= LENGTH_16_MAX {
                    return Err(Violation::LengthNotMinimal);
                }
                self.begin_body(limits, self.pending)
            }
        }
    }

    /// Judges FIN, reserved bits and opcode, and counts the fragment if the frame is one.
    fn first_byte(&mut self, limits: &GuardLimits, byte: u8) -> Result<Kind, Violation> {
        if byte & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let is_final = byte & 0x80 != 0;
        match byte & 0x0f {
            0x0 if self.fragments == 0 => return Err(Violation::UnexpectedContinuation),
            0x0 => {}
            0x1 | 0x2 if self.fragments > 0 => return Err(Violation::StartInsideMessage),
            0x1 | 0x2 => {}
            0x8..=0xa if is_final => return Ok(Kind::Control),
            0x8..=0xa => return Err(Violation::ControlFragmented),
            _ => return Err(Violation::UnknownOpcode),
        }
        if self.fragments >= limits.fragments_max {
            return Err(Violation::TooManyFragments);
        }
        self.fragments += 1;
        Ok(if is_final { Kind::LastFragment } else { Kind::Fragment })
    }

    /// Judges the mask bit, and the length if seven bits tell it.
    fn second_byte(&mut self, limits: &GuardLimits, byte: u8) -> Result<Step, Violation> {
        if byte & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let length_code = byte & 0x7f;
        if self.kind == Kind::Control && u64::from(length_code) > SHORT_LENGTH_MAX {
            return Err(Violation::ControlTooLong);
        }
        match length_code {
            LENGTH_CODE_16 => Ok(Step::Header(HeaderStep::Length16 { missing: 2 })),
            LENGTH_CODE_64 => Ok(Step::Header(HeaderStep::Length64 { missing: 8 })),
            length => self.begin_body(limits, u64::from(length)),
        }
    }

    /// Adds the announced payload to its message, and waits for masking key and payload.
    fn begin_body(&mut self, limits: &GuardLimits, payload_bytes: u64) -> Result<Step, Violation> {
        if self.kind != Kind::Control {
            self.message_bytes = u64::from(self.message_bytes)
                .checked_add(payload_bytes)
                .and_then(|sum_bytes| u32::try_from(sum_bytes).ok())
                .filter(|sum_bytes| *sum_bytes <= limits.message_bytes_max)
                .ok_or(Violation::MessageTooBig)?;
        }
        self.pending = MASK_KEY_BYTES + payload_bytes;
        Ok(Step::Body)
    }
}
