//! The reply to `history`: a page of stored messages.

use super::super::fields::{Fields, Malformed};
use super::super::payload::{
    add_header, content_parts, headers, kind_of, read_traceparent, spelling, traceparent,
};
use super::super::writer;
use crate::item::{HistoryGap, HistoryMessage, HistoryReply};
use crate::payload::Kind;

pub(super) fn read(bytes: &[u8]) -> Result<HistoryReply, Malformed> {
    let (m, gaps, e) = (Vec::new(), Vec::new(), String::new());
    let mut reply = HistoryReply { m, e, after: 0, before: 0, more: false, thinned: false, gaps };
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => reply.m.push(message(value.bytes(1)?)?),
            2 => reply.e = value.text(2)?,
            3 => reply.after = value.number(3)?,
            4 => reply.before = value.number(4)?,
            5 => reply.more = value.flag(5)?,
            6 => reply.thinned = value.flag(6)?,
            7 => reply.gaps.push(gap(value.bytes(7)?)?),
            _ => {}
        }
    }
    Ok(reply)
}

fn message(bytes: &[u8]) -> Result<HistoryMessage, Malformed> {
    let (mut s, mut q, mut h, mut tp) = (String::new(), 0, Default::default(), None);
    let (mut payload, mut kind) = (&b""[..], Kind::Unsaid);
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => s = value.text(1)?,
            2 => q = value.number(2)?,
            3 => payload = value.bytes(3)?,
            4 => kind = kind_of(value.number(4)?),
            5 => add_header(&mut h, value.bytes(5)?)?,
            6 => tp = read_traceparent(value.bytes(6)?),
            _ => {}
        }
    }
    let (d, t, b) = spelling(payload, kind)?;
    Ok(HistoryMessage { s, q, d, t, b, h, tp })
}

fn gap(bytes: &[u8]) -> Result<HistoryGap, Malformed> {
    let mut gap = HistoryGap { after: 0, upto: 0, why: String::new() };
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => gap.after = value.number(1)?,
            (2, value) => gap.upto = value.number(2)?,
            (3, value) => gap.why = value.text(3)?,
            _ => {}
        }
    }
    Ok(gap)
}

pub(super) fn write(out: &mut Vec<u8>, reply: &HistoryReply) {
    for message in &reply.m {
        writer::nested(out, 1, |out| write_message(out, message));
    }
    writer::text(out, 2, Some(&reply.e));
    writer::number(out, 3, reply.after);
    writer::number(out, 4, reply.before);
    writer::number(out, 5, reply.more.into());
    writer::number(out, 6, reply.thinned.into());
    for gap in &reply.gaps {
        writer::nested(out, 7, |out| {
            writer::number(out, 1, gap.after);
            writer::number(out, 2, gap.upto);
            writer::text(out, 3, Some(&gap.why));
        });
    }
}

fn write_message(out: &mut Vec<u8>, message: &HistoryMessage) {
    let (payload, kind) = content_parts(message.content());
    writer::text(out, 1, Some(&message.s));
    writer::number(out, 2, message.q);
    writer::bytes(out, 3, payload);
    writer::number(out, 4, kind);
    headers(out, 5, &message.h);
    traceparent(out, 6, message.tp.as_deref());
}
