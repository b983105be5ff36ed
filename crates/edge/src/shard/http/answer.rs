//! Responses: what hyper is given to send.

use super::body::StreamBody;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use meridian_proto::Wire;
use meridian_proto::item::{Failure, Item};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response of the public listener.
pub(crate) type Answer = Response<AnswerBody>;

/// What follows a response's head. Owned by hyper.
pub(crate) enum AnswerBody {
    /// All of it is there; None once it was taken.
    Whole(Option<Bytes>),
    /// It comes as it comes.
    Stream(StreamBody),
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::new(Bytes::new().into());
    *answer.status_mut() = status;
    answer
}

/// Why a request failed, as the item that a connection would get.
pub(super) fn failure(status: StatusCode, failure: Failure) -> Answer {
    let mut line = Vec::new();
    Wire::JsonLine.item(&mut line, &Item::Error(None, failure), None);
    let mut answer = Answer::new(Bytes::from(line).into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A line of text for people.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Bytes::from_static(text.as_bytes()).into());
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(body) => body.poll(context).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
