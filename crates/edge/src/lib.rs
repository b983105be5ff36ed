//! Meridian: edge.
