//! A client's message on its way into NATS: checked subject, headers and payload.

use super::Moment;
use crate::namespace::Namespace;
use meridian_proto::command::Headers;
use meridian_proto::item::Failure;
use meridian_proto::limits::{HEADER_BYTES_MAX, HEADERS_MAX, MESSAGE_ID_BYTES_MAX};
use meridian_proto::payload::Content;
use meridian_proto::trace::TraceContext;
use meridian_proto::{ErrorCode, Subject};

/// Most bytes of a refused header name that a failure repeats.
const NAME_SHOWN_BYTES_MAX: usize = 64;

/// A message that NATS will take: every byte of it has been checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The subject, without wildcards, in a declared namespace.
    pub subject: Subject,
    /// Header names and values without control characters.
    pub headers: Vec<(String, String)>,
    /// The payload, within the NATS servers' limit.
    pub payload: Vec<u8>,
    /// The client's span, if it named one. Whether it is sampled is not the client's to say: the
    /// edge decides what the message says of its trace.
    pub trace: Option<TraceContext>,
}

/// What a client gave, before it is checked.
pub(super) struct Draft<'a> {
    pub(super) subject: &'a str,
    pub(super) content: Content<'a>,
    pub(super) headers: &'a Headers,
    pub(super) traceparent: Option<&'a str>,
    pub(super) message_id: Option<&'a str>,
}

impl Draft<'_> {
    /// Checks everything but the permission, which `allows` decides.
    pub(super) fn check(
        &self,
        moment: &Moment<'_>,
        allows: impl FnOnce(&Namespace) -> bool,
    ) -> Result<Outbound, Failure> {
        let subject = Subject::parse(self.subject).map_err(|error| {
            Failure::new(ErrorCode::InvalidSubject, format!("subject: {error}"))
        })?;
        let Some(namespace) = moment.policy.namespaces.of_subject(&subject) else {
            let msg = format!("no namespace declares {subject}");
            return Err(Failure::new(ErrorCode::UnknownSubjectSpace, msg));
        };
        if !allows(namespace) {
            let msg = format!("not allowed in {}: {subject}", namespace.name);
            return Err(Failure::new(ErrorCode::Forbidden, msg));
        }
        let Some(payload_bytes_max) = moment.payload_bytes_max else {
            let msg = "this edge has lost its NATS servers";
            return Err(Failure::new(ErrorCode::RegionUnreachable, msg));
        };
        let nats = self
            .content
            .to_nats()
            .map_err(|error| Failure::new(ErrorCode::BadRequest, error.to_string()))?;
        let headers = self.checked_headers(namespace, nats.content_type)?;
        let header_bytes: usize =
            headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if nats.bytes.len() + header_bytes > payload_bytes_max {
            let msg = format!("over the {payload_bytes_max} bytes that the NATS servers take");
            return Err(Failure::new(ErrorCode::PayloadTooLarge, msg));
        }
        Ok(Outbound { subject, headers, payload: nats.bytes.into_owned(), trace: self.trace()? })
    }

    fn trace(&self) -> Result<Option<TraceContext>, Failure> {
        let Some(traceparent) = self.traceparent else { return Ok(None) };
        let context = TraceContext::parse(traceparent).ok_or_else(|| {
            let msg = "tp is not a traceparent (W3C Trace Context, version 00)";
            Failure::new(ErrorCode::BadRequest, msg)
        })?;
        Ok(Some(context))
    }

    fn checked_headers(
        &self,
        namespace: &Namespace,
        content_type: Option<&str>,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, values) in self.headers {
            check_name(name, namespace)?;
            for value in values.iter() {
                check_value(name, value)?;
                headers.push((name.clone(), value.into()));
            }
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            let msg =
                format!("more than {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them");
            return Err(Failure::new(ErrorCode::Limit, msg));
        }
        let is_declared = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let (Some(content_type), false) = (content_type, is_declared) {
            headers.push(("Content-Type".into(), content_type.into()));
        }
        if let Some(message_id) = self.message_id {
            if message_id.is_empty() || message_id.len() > MESSAGE_ID_BYTES_MAX {
                let msg = format!("mid is empty or over {MESSAGE_ID_BYTES_MAX} bytes");
                return Err(Failure::new(ErrorCode::BadRequest, msg));
            }
            check_value("mid", message_id)?;
            headers.push(("Nats-Msg-Id".into(), message_id.into()));
        }
        Ok(headers)
    }
}

fn check_name(name: &str, namespace: &Namespace) -> Result<(), Failure> {
    let is_token =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_token {
        let msg = "a header name that is not letters, digits and hyphens";
        return Err(Failure::new(ErrorCode::BadRequest, msg));
    }
    // The allow-list may not open these: `Nats-*` steers JetStream and message tracing, and a
    // `traceparent` beside `tp` would be sampled without a budget.
    let is_nats = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
    let is_reserved = is_nats || name.eq_ignore_ascii_case("traceparent");
    if is_reserved || !namespace.allows_header(name) {
        return Err(header_forbidden(name, namespace));
    }
    Ok(())
}

/// The failure for a header name that does not pass. A refused name may be as long as a message.
pub(super) fn header_forbidden(name: &str, namespace: &Namespace) -> Failure {
    let shown = name.get(..name.floor_char_boundary(NAME_SHOWN_BYTES_MAX)).unwrap_or_default();
    let msg = format!("header not allowed in {}: {shown}", namespace.name);
    Failure::new(ErrorCode::Forbidden, msg)
}

fn check_value(name: &str, value: &str) -> Result<(), Failure> {
    if value.chars().any(char::is_control) {
        let msg = format!("a control character in the value of {name}");
        return Err(Failure::new(ErrorCode::BadRequest, msg));
    }
    Ok(())
}
