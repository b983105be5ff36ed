//! The bytes that were read and not yet taken, in one buffer that operations borrow from.
//!
//! Pure; owned by the reader, which puts bytes in. It is large only while a large message is under
//! way.

use crate::defaults::{READ_BUFFER_BYTES, READ_SPACE_BYTES_MIN};
use crate::error::Error;
use crate::operation::Op;
use crate::parse::{Parsed, parse};

/// Unread bytes at `start..end` of a buffer that is always initialised to its whole length. Owned
/// by the reader.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The operation at `start` cannot be whole with fewer bytes than this.
    bytes_needed: usize,
    /// The last read did not fill the space that it was given: nothing more was waiting.
    was_drained: bool,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; READ_BUFFER_BYTES],
            start: 0,
            end: 0,
            bytes_needed: 0,
            was_drained: false,
        }
    }

    /// Where the next bytes go; never empty. Moves unread bytes, grows and shrinks, each only when
    /// needed.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        let unread = self.end - self.start;
        if unread == 0 {
            (self.start, self.end) = (0, 0);
            if self.was_drained && self.bytes.len() > READ_BUFFER_BYTES {
                // Both a smaller length and a smaller allocation: an idle connection pins no
                // megabytes.
                self.bytes = vec![0; READ_BUFFER_BYTES];
            }
        }
        let wanted = self.bytes_needed.saturating_sub(unread).max(READ_SPACE_BYTES_MIN);
        if self.bytes.len() - self.end < wanted && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, unread);
        }
        if self.bytes.len() - self.end < wanted {
            let length = (self.end + wanted).next_multiple_of(READ_BUFFER_BYTES);
            self.bytes.reserve_exact(length - self.bytes.len());
            self.bytes.resize(length, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Whether everything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// So many bytes were put into the space.
    pub(crate) fn filled(&mut self, count: usize) {
        let end = self.end + count;
        assert!(end <= self.bytes.len(), "more bytes than space were put in");
        self.was_drained = end < self.bytes.len();
        self.end = end;
    }

    /// The next whole operation, or None when more bytes are needed.
    pub(crate) fn take(&mut self, max_payload: usize) -> Result<Option<Op<'_>>, Error> {
        let unread = &self.bytes[self.start..self.end];
        if unread.is_empty() || unread.len() < self.bytes_needed {
            return Ok(None);
        }
        match parse(unread, max_payload)? {
            Parsed::Whole(op, used) => {
                self.start += used;
                self.bytes_needed = 0;
                Ok(Some(op))
            }
            Parsed::Incomplete { bytes_needed } => {
                self.bytes_needed = bytes_needed;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::defaults::{ADDED_HEADERS_BYTES_MAX, CONTROL_LINE_IN_BYTES_MAX};

    const MAX_PAYLOAD: usize = 1024 * 1024;

    /// All that a server may send, one after another.
    const MIXED: &[u8] =
        b"INFO {\"server_id\":\"N\",\"max_payload\":1000}\r\nPING\r\nPONG\r\n+OK\r\n\
        MSG a.b 1 5\r\nhello\r\nMSG a.b 1 _INBOX.r 0\r\n\r\n-ERR 'Permissions Violation'\r\n\
        HMSG c 22 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG d.e 333 r.r 23 25\r\nNATS/1.0\r\nA: \
        b\r\nC:d\r\n\r\n\r\n\r\nPING\r\n";

    fn put(buffer: &mut ReadBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = buffer.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            buffer.filled(count);
            bytes = &bytes[count..];
        }
    }

    fn take_all(buffer: &mut ReadBuffer, seen: &mut Vec<String>) {
        while let Some(op) = buffer.take(MAX_PAYLOAD).unwrap() {
            seen.push(format!("{op:?}"));
        }
    }

    #[test]
    fn every_split_of_a_mixed_stream_gives_the_same_operations() {
        let mut whole = Vec::new();
        let mut buffer = ReadBuffer::new();
        put(&mut buffer, MIXED);
        take_all(&mut buffer, &mut whole);
        assert_eq!(whole.len(), 10, "{whole:#?}");
        for first in 0..MIXED.len() {
            for second in first..MIXED.len() {
                let mut seen = Vec::new();
                let mut buffer = ReadBuffer::new();
                for part in [&MIXED[..first], &MIXED[first..second], &MIXED[second..]] {
                    put(&mut buffer, part);
                    take_all(&mut buffer, &mut seen);
                }
                assert_eq!(seen, whole, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn large_message_grows_the_buffer_to_its_size_and_idleness_gives_it_back() {
        let payload = vec![b'x'; MAX_PAYLOAD + ADDED_HEADERS_BYTES_MAX];
        let mut buffer = ReadBuffer::new();
        for _ in 0..3 {
            let line = format!("MSG a 1 {}\r\n", payload.len());
            for part in [b"PING\r\n", line.as_bytes(), &payload, b"\r\n"] {
                put(&mut buffer, part);
                while let Some(op) = buffer.take(MAX_PAYLOAD).unwrap() {
                    if let Op::Message(message) = op {
                        assert!(message.payload == payload);
                    }
                }
            }
            let most = payload.len() + CONTROL_LINE_IN_BYTES_MAX + 2 * READ_BUFFER_BYTES;
            assert!(buffer.bytes.len() > payload.len() && buffer.bytes.capacity() <= most);
        }
        put(&mut buffer, b"PING\r\n");
        assert_eq!(buffer.bytes.capacity(), READ_BUFFER_BYTES);
        assert_eq!(buffer.take(MAX_PAYLOAD).unwrap(), Some(Op::Ping));
    }

    #[test]
    fn small_messages_stay_whole_and_never_grow_the_buffer() {
        let mut buffer = ReadBuffer::new();
        let mut count = 0;
        let lines = (0..10_000).map(|at| format!("MSG a.b.c {at} 11\r\nhello {at:05}\r\n"));
        let stream = lines.collect::<String>().into_bytes();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            // As the reader does it: one read into all the space there is, then everything is
            // taken.
            let space = buffer.space();
            let read = space.len().min(rest.len());
            space[..read].copy_from_slice(&rest[..read]);
            buffer.filled(read);
            rest = &rest[read..];
            while let Some(op) = buffer.take(MAX_PAYLOAD).unwrap() {
                let Op::Message(message) = op else { panic!("{op:?}") };
                assert_eq!(message.sid, count);
                assert_eq!(message.payload, format!("hello {count:05}").as_bytes());
                count += 1;
            }
        }
        assert_eq!(count, 10_000);
        assert_eq!(buffer.bytes.capacity(), READ_BUFFER_BYTES);
    }

    #[test]
    fn error_is_repeated_because_the_place_in_the_stream_is_lost() {
        let mut buffer = ReadBuffer::new();
        put(&mut buffer, b"PING\r\nrubbish\r\nPING\r\n");
        assert_eq!(buffer.take(MAX_PAYLOAD).unwrap(), Some(Op::Ping));
        assert!(buffer.take(MAX_PAYLOAD).is_err());
        assert!(buffer.take(MAX_PAYLOAD).is_err());
    }

    /// What one message is made of, owned.
    type Parts = (String, u64, Option<String>, Option<Vec<(String, String)>>, Vec<u8>);

    fn token() -> impl Strategy<Value = String> {
        "[!-)+-=?-~]{1,12}(\\.[!-)+-=?-~]{1,12}){0,3}"
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let header = ("[A-Za-z0-9-]{1,16}", "[!-~]([ -~]{0,20}[!-~])?");
        (
            token(),
            any::<u64>(),
            proptest::option::of(token()),
            proptest::option::of(proptest::collection::vec(header, 0..5)),
            proptest::collection::vec(any::<u8>(), 0..600),
        )
    }

    fn append((subject, sid, reply, headers, payload): &Parts, wire: &mut Vec<u8>) {
        let reply = reply.as_ref().map_or(String::new(), |reply| format!(" {reply}"));
        let size = payload.len();
        match headers {
            None => wire.extend(format!("MSG {subject} {sid}{reply} {size}\r\n").bytes()),
            Some(headers) => {
                let lines: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let block = format!("NATS/1.0\r\n{lines}\r\n");
                let (header, all) = (block.len(), block.len() + size);
                wire.extend(format!("HMSG {subject} {sid}{reply} {header} {all}\r\n").bytes());
                wire.extend(block.bytes());
            }
        }
        wire.extend(payload);
        wire.extend(b"\r\n");
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            messages in proptest::collection::vec(parts(), 1..8),
            cut in 1_usize..200,
        ) {
            let mut wire = Vec::new();
            messages.iter().for_each(|message| append(message, &mut wire));
            let mut buffer = ReadBuffer::new();
            let mut seen: Vec<Parts> = Vec::new();
            for part in wire.chunks(cut) {
                put(&mut buffer, part);
                while let Some(Op::Message(message)) = buffer.take(MAX_PAYLOAD).unwrap() {
                    let headers = message.headers.iter();
                    let headers = headers.map(|(name, value)| (text(name), text(value))).collect();
                    seen.push((
                        text(message.subject),
                        message.sid,
                        message.reply.map(text),
                        (!message.headers.is_empty()).then_some(headers),
                        message.payload.to_vec(),
                    ));
                }
            }
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn rubbish_is_an_error_or_awaits_more_but_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            verb in prop::sample::select(vec!["", "MSG ", "HMSG ", "INFO ", "-ERR ", "HMSG a 1 "]),
        ) {
            let mut buffer = ReadBuffer::new();
            put(&mut buffer, verb.as_bytes());
            put(&mut buffer, &bytes);
            while let Ok(Some(_)) = buffer.take(MAX_PAYLOAD) {}
        }
    }
}
