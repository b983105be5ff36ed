//! The names of the mesh's internal subjects.
//!
//! All begin with one reserved token, so that "unreachable from a browser" is one rule, both in the
//! edge and in the permissions of its NATS user.

/// The first token of every internal subject. No namespace may begin with it.
pub const INTERNAL_ROOT: &str = "_mrd";

/// Every region's heartbeat.
pub const HEARTBEATS: &str = "_mrd.hb.*";

const HEARTBEAT_PREFIX: &str = "_mrd.hb.";

/// Where a region says once a second that it is alive. The region is one subject token.
pub fn heartbeat(region: &str) -> String {
    format!("{HEARTBEAT_PREFIX}{region}")
}

/// What the subject of every revocation begins with. Behind it stands whom it is about.
pub const REVOKE: &str = "_mrd.auth.revoke";

/// Every revocation.
pub const REVOCATIONS: &str = "_mrd.auth.revoke.>";

/// Where an authorization service is asked who a client is.
pub const AUTH_CONNECT: &str = "_mrd.auth.connect";

/// Where it is asked whether a client may subscribe.
pub const AUTH_SUBSCRIBE: &str = "_mrd.auth.subscribe";

/// What was purged, of any stream.
pub const PURGES: &str = "_mrd.purged.*";

const PURGE_PREFIX: &str = "_mrd.purged.";

/// Where a purge tells edges up to which sequence of a stream they must show nothing any more but
/// what the stream itself still shows. A stream's name is one subject token.
pub fn purged(stream: &str) -> String {
    format!("{PURGE_PREFIX}{stream}")
}

/// Which stream was purged; None for any other subject.
pub fn purged_stream(subject: &str) -> Option<&str> {
    let stream = subject.strip_prefix(PURGE_PREFIX)?;
    (!stream.is_empty() && !stream.contains('.')).then_some(stream)
}

/// The only subject of a stream that must take nothing any more. Nobody publishes on it.
pub fn retired(stream: &str) -> String {
    format!("{INTERNAL_ROOT}.retired.{stream}")
}

/// Whose heartbeat a subject is; None for any other subject.
pub fn heartbeat_region(subject: &str) -> Option<&str> {
    let region = subject.strip_prefix(HEARTBEAT_PREFIX)?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

/// Where a shard of an edge takes commands for the streams that it holds, from whichever edge a
/// load balancer gave them to. The edge's id is one subject token.
pub fn edge_commands(edge: &str, shard: usize) -> String {
    format!("_mrd.edge.{edge}.{shard}.cmd")
}

/// Every region's trace events of nats-server.
pub const TRACE_EVENTS: &str = "_mrd.trace.*";

/// Where the servers of a region publish their trace events: `msg_trace.dest` of the account.
pub fn trace_events(region: &str) -> String {
    format!("{INTERNAL_ROOT}.trace.{region}")
}

/// What operators ask of one edge.
pub fn edge_orders(edge: &str) -> String {
    format!("_mrd.edge.{edge}.op")
}

/// What operators ask of all edges of a region. Not below `_mrd.edge.`, where edges may publish.
pub fn region_orders(region: &str) -> String {
    format!("_mrd.ops.{region}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_names_its_region_and_nothing_else_does() {
        assert_eq!(heartbeat_region(&heartbeat("eu")), Some("eu"));
        for other in ["_mrd.hb", "_mrd.hb.", "_mrd.hb.eu.1", "_mrd.hbx.eu", "x_mrd.hb.eu", ""] {
            assert_eq!(heartbeat_region(other), None, "{other}");
        }
    }

    #[test]
    fn a_purge_names_its_stream() {
        assert_eq!(purged_stream(&purged("ORDERS_1_us")), Some("ORDERS_1_us"));
        for other in ["_mrd.purged", "_mrd.purged.", "_mrd.purged.a.b", "_mrd.hb.eu"] {
            assert_eq!(purged_stream(other), None, "{other}");
        }
    }

    #[test]
    fn every_internal_subject_begins_with_the_root() {
        let (retired, commands) = (retired("ORDERS_1"), edge_commands("e", 0));
        let (edge, region) = (edge_orders("e"), region_orders("eu"));
        for subject in [&edge, &region] {
            assert_eq!(subject.split('.').next(), Some(INTERNAL_ROOT));
        }
        let purged = purged("ORDERS_1");
        for subject in [HEARTBEATS, PURGES, &heartbeat("eu"), &retired, &commands, &purged] {
            assert_eq!(subject.split('.').next(), Some(INTERNAL_ROOT));
        }
    }
}
