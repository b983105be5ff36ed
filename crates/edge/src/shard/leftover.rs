//! What a socket did not take of a batch, on its way into the outbox: cut into frames again, so
//! that single messages can give way. Nothing of this runs for a client that reads.

use super::fanout::EncodedFrame;
use meridian_core::outbox::{Full, Label, Shed};
use meridian_core::{Outbox, SlowClient};

/// The bytes of a batch that its frames are ranges of.
#[derive(Clone, Copy)]
pub(super) struct BatchBytes<'a> {
    pub(super) frames: &'a [u8],
    pub(super) subjects: &'a [u8],
}

/// How much may wait for a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) bytes_max: usize,
    /// So much of it says nothing of the client: it would have gone into a bare socket's buffer.
    pub(super) slack_bytes: usize,
}

/// Frames that stay together: a range of the batch, of which the socket has taken a beginning.
struct Piece {
    start: usize,
    end: usize,
    written: usize,
}

/// Adds frames of a batch to an outbox but for the first `taken` bytes. Neighbours that must leave
/// stay one piece.
///
/// # Errors
/// [`Full`], when the client is too slow.
pub(super) fn queue<'f>(
    outbox: &mut Outbox,
    bytes: BatchBytes<'_>,
    frames: impl Iterator<Item = &'f EncodedFrame>,
    mut taken: usize,
    room: Room,
) -> Result<Shed, Full> {
    let Room { bytes_max, slack_bytes } = room;
    let mut shed = Shed::default();
    let mut firm: Option<Piece> = None;
    for frame in frames {
        let EncodedFrame { start, end, .. } = *frame;
        let written = taken.min(end - start);
        taken -= written;
        if written == end - start {
            continue;
        }
        // What has begun to leave must be finished.
        let waiting = outbox.bytes() + firm.as_ref().map_or(0, |piece| piece.end - piece.start);
        let is_firm = written > 0
            || match frame.slow_client {
                SlowClient::Disconnect => true,
                SlowClient::DropOldest => false,
                // What waits does not make a client slow yet.
                SlowClient::Conflate => waiting < slack_bytes,
            };
        match &mut firm {
            Some(piece) if is_firm && piece.end == start => piece.end = end,
            _ => {
                shed += push_piece(outbox, bytes, firm.take(), bytes_max)?;
                if is_firm {
                    firm = Some(Piece { start, end, written });
                } else {
                    let label = label(frame, bytes.subjects);
                    shed += outbox.push_message(&bytes.frames[start..end], &label, bytes_max)?;
                }
            }
        }
    }
    shed += push_piece(outbox, bytes, firm, bytes_max)?;
    Ok(shed)
}

fn push_piece(
    outbox: &mut Outbox,
    bytes: BatchBytes<'_>,
    piece: Option<Piece>,
    bytes_max: usize,
) -> Result<Shed, Full> {
    let Some(Piece { start, end, written }) = piece else { return Ok(Shed::default()) };
    outbox.push(&bytes.frames[start..end], written, bytes_max)
}

fn label<'a>(frame: &EncodedFrame, subjects: &'a [u8]) -> Label<'a> {
    let (start, end) = frame.subject;
    Label {
        subscription: frame.group + 1,
        slow_client: frame.slow_client,
        sequence: frame.sequence,
        subject: &subjects[start..end],
    }
}
