//! Meridian: proto.
