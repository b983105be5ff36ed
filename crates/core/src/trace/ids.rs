//! Span ids that two processes derive alike without asking each other: an edge knows the id of its
//! nats-server's span of a message before anybody has recorded that span.

use meridian_proto::trace::{SpanId, TraceContext};

/// Which of the spans at a place of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The way to a server from the one before it.
    Link,
    /// A server, from the message's arrival to its last departure.
    Server,
    /// What a server's stream did with it.
    Store,
}

/// The id of the span at a place. The publisher must have made a span for this message alone
/// (NATS.md f): `context` is its span, `hop` what nats-server numbers the way there with.
#[must_use]
pub fn derived_id(context: TraceContext, place: Place, server: &str, hop: &str) -> SpanId {
    let place = match place {
        Place::Link => b'l',
        Place::Server => b's',
        Place::Store => b'j',
    };
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(&context.trace_id.0.to_be_bytes());
    hash.write(&context.span_id.0.to_be_bytes());
    hash.write(&[place]);
    hash.write(server.as_bytes());
    hash.write(&[0]);
    hash.write(hop.as_bytes());
    SpanId(hash.end())
}

/// The id of the span of the server that handed a message over, where `hop` is the message's
/// `Nats-Trace-Hop`, or empty if it was published there.
#[must_use]
pub fn server_span_id(context: TraceContext, server: &str, hop: &str) -> SpanId {
    derived_id(context, Place::Server, server, hop)
}

/// The hop before a hop: `1.2` came by `1`, and `1` from where the message was published.
pub(super) fn hop_before(hop: &str) -> &str {
    hop.rsplit_once('.').map_or("", |(before, _)| before)
}

/// FNV-1a of 64 bits, its bits mixed at the end (the finalizer of MurmurHash3).
struct Fnv(u64);

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Never zero, which is no span.
    fn end(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        (hash ^ (hash >> 33)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_an_id_of_its_own_and_always_the_same() {
        let context =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let other = context.with_span(SpanId(1));
        let ids = [
            derived_id(context, Place::Server, "eu-1", ""),
            derived_id(context, Place::Link, "eu-1", ""),
            derived_id(context, Place::Server, "eu-2", ""),
            derived_id(context, Place::Server, "eu-1", "1"),
            derived_id(other, Place::Server, "eu-1", ""),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{ids:?}");
        }
        assert_eq!(server_span_id(context, "eu-1", ""), ids[0]);
    }

    #[test]
    fn the_hop_before_is_the_prefix() {
        assert_eq!([hop_before("1.2"), hop_before("1"), hop_before("")], ["1", "", ""]);
    }
}
