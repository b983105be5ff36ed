//! Reading: lines to commands (at the edge) and to items (at the client).

use crate::codes::ErrorCode;
use crate::command::{Body, Command};
use crate::decode_error::{DecodeError, refuse, shorten};
use crate::item::{Item, Reply};
use crate::limits::COMMANDS_PER_FRAME_MAX;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The fields of a line in order of appearance, repeated ones included: a map would hide them.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

/// Commands of the protocol that this version answers with 108.
const UNSERVED: [&str; 2] = ["presence", "presence_stats"];

/// Reads the commands of one frame, in order. Blank lines are skipped.
pub fn commands(frame: &str) -> impl Iterator<Item = Result<Command, DecodeError>> {
    lines(frame).enumerate().map(|(index, line)| {
        if index >= COMMANDS_PER_FRAME_MAX {
            return Err(DecodeError::TooManyCommands);
        }
        command(line)
    })
}

/// Reads the items of one frame, in order. Blank lines are skipped.
pub fn items(frame: &str) -> impl Iterator<Item = Result<Item, DecodeError>> {
    lines(frame).map(item)
}

fn lines(frame: &str) -> impl Iterator<Item = &str> {
    frame.split('\n').map(str::trim).filter(|line| !line.is_empty())
}

fn fields(line: &str) -> Result<Fields<'_>, DecodeError> {
    serde_json::from_str(line).map_err(|error| DecodeError::NotAnObject(shorten(error.to_string())))
}

fn command(line: &str) -> Result<Command, DecodeError> {
    let mut fields = fields(line)?;
    let id = take_id(&mut fields)?;
    let Some((name, raw)) = fields.take_first() else {
        return match id {
            None => Ok(Command { id, body: Body::Heartbeat }),
            Some(_) => refuse(id, ErrorCode::BadRequest, "an id without a command".into()),
        };
    };
    if let Some((second, _)) = fields.take_first() {
        let detail = format!("two commands in one object: {name} and {second}");
        return refuse(id, ErrorCode::BadRequest, detail);
    }
    let body = match name.as_str() {
        "connect" => body(id, &name, raw).map(Body::Connect),
        "subscribe" => body(id, &name, raw).map(Body::Subscribe),
        "unsubscribe" => body(id, &name, raw).map(Body::Unsubscribe),
        "publish" => body(id, &name, raw).map(Body::Publish),
        "request" => body(id, &name, raw).map(Body::Request),
        "history" => body(id, &name, raw).map(Body::History),
        "receipt" => body(id, &name, raw).map(Body::Receipt),
        "refresh" => body(id, &name, raw).map(Body::Refresh),
        other => match UNSERVED.into_iter().find(|unserved| *unserved == other) {
            Some(unserved) => Ok(Body::Unserved(unserved)),
            None => {
                let shown: String = other.chars().take(32).collect();
                refuse(id, ErrorCode::UnknownCommand, format!("unknown command: {shown}"))
            }
        },
    }?;
    Ok(Command { id, body })
}

/// Reads one line as an item.
///
/// # Errors
/// [`DecodeError`] when the line is not an object, or a known item is malformed.
pub fn item(line: &str) -> Result<Item, DecodeError> {
    let mut fields = fields(line)?;
    let id = take_id(&mut fields)?;
    let Some((name, raw)) = fields.take_first() else {
        return Ok(match id {
            None => Item::Heartbeat,
            Some(id) => Item::Reply(id, Reply::Unsubscribe),
        });
    };
    Ok(match (name.as_str(), id) {
        ("error", id) => Item::Error(id, body(id, &name, raw)?),
        ("m", None) => Item::Message(body(id, &name, raw)?),
        ("gap", None) => Item::Gap(body(id, &name, raw)?),
        ("live", None) => Item::Live(body(id, &name, raw)?),
        ("pos", None) => Item::Position(body(id, &name, raw)?),
        ("unsub", None) => Item::Unsubscribed(body(id, &name, raw)?),
        ("goaway", None) => Item::GoAway(body(id, &name, raw)?),
        ("mesh", None) => Item::Mesh(body(id, &name, raw)?),
        ("expire", None) => Item::Expire(body(id, &name, raw)?),
        ("connect", Some(id)) => Item::Reply(id, Reply::Connect(body(Some(id), &name, raw)?)),
        ("subscribe", Some(id)) => Item::Reply(id, Reply::Subscribe(body(Some(id), &name, raw)?)),
        ("publish", Some(id)) => Item::Reply(id, Reply::Publish(body(Some(id), &name, raw)?)),
        ("request", Some(id)) => Item::Reply(id, Reply::Request(body(Some(id), &name, raw)?)),
        ("history", Some(id)) => Item::Reply(id, Reply::History(body(Some(id), &name, raw)?)),
        ("refresh", Some(id)) => Item::Reply(id, Reply::Refresh(body(Some(id), &name, raw)?)),
        _ => Item::Unknown(name),
    })
}

fn take_id(fields: &mut Fields<'_>) -> Result<Option<u32>, DecodeError> {
    let Some(raw) = fields.take("id") else { return Ok(None) };
    if fields.take("id").is_some() {
        return refuse(None, ErrorCode::BadRequest, "more than one id".into());
    }
    match raw.get().parse::<u32>() {
        Ok(id) if id > 0 => Ok(Some(id)),
        _ => {
            refuse(None, ErrorCode::BadRequest, "id is not a whole number from 1 to 2^32-1".into())
        }
    }
}

fn body<T: DeserializeOwned>(
    id: Option<u32>,
    name: &str,
    raw: &RawValue,
) -> Result<T, DecodeError> {
    // serde reads a struct from an array too, by the order of its fields.
    if !raw.get().starts_with('{') {
        return refuse(id, ErrorCode::BadRequest, format!("malformed {name}: not an object"));
    }
    serde_json::from_str(raw.get())
        .or_else(|error| refuse(id, ErrorCode::BadRequest, format!("malformed {name}: {error}")))
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let position = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(position).1)
    }

    fn take_first(&mut self) -> Option<(String, &'a RawValue)> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Command, DecodeError> {
        commands(line).next().expect("one line")
    }

    fn refusal(line: &str) -> (Option<u32>, ErrorCode) {
        match one(line) {
            Err(DecodeError::Refused(id, failure)) => (id, failure.code),
            other => panic!("{line} gave {other:?}"),
        }
    }

    #[test]
    fn several_commands_in_a_frame_come_in_order() {
        let frame = "{\"id\":1,\"connect\":{}}\n\r\n{\"id\":2,\"subscribe\":{\"f\":\"a.>\"}}\n{}\n";
        let bodies: Vec<Command> = commands(frame).map(Result::unwrap).collect();
        assert!(matches!(bodies[0], Command { id: Some(1), body: Body::Connect(_) }));
        assert!(matches!(bodies[1], Command { id: Some(2), body: Body::Subscribe(_) }));
        assert!(matches!(bodies[2], Command { id: None, body: Body::Heartbeat }));
        assert_eq!(bodies.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_told_to_the_command_that_was_wrong() {
        assert_eq!(refusal(r#"{"id":3,"sing":{}}"#), (Some(3), ErrorCode::UnknownCommand));
        assert_eq!(refusal(r#"{"id":3,"subscribe":{}}"#), (Some(3), ErrorCode::BadRequest));
        assert_eq!(refusal(r#"{"id":3,"publish":{"s":1}}"#), (Some(3), ErrorCode::BadRequest));
        assert_eq!(refusal(r#"{"id":3}"#), (Some(3), ErrorCode::BadRequest));
        assert_eq!(refusal(r#"{"id":0,"connect":{}}"#), (None, ErrorCode::BadRequest));
        let two = r#"{"id":3,"connect":{},"publish":{"s":"a"}}"#;
        assert_eq!(refusal(two), (Some(3), ErrorCode::BadRequest));
        let twice = r#"{"id":3,"publish":{"s":"a"},"publish":{"s":"b"}}"#;
        assert_eq!(refusal(twice), (Some(3), ErrorCode::BadRequest));
        let two_ids = r#"{"id":3,"id":4,"publish":{"s":"a"}}"#;
        assert_eq!(refusal(two_ids), (None, ErrorCode::BadRequest));
    }

    #[test]
    fn what_is_no_object_is_fatal() {
        for line in ["x", "[]", "1", "{\"id\":1", "{} {}"] {
            assert!(matches!(one(line), Err(DecodeError::NotAnObject(_))), "{line}");
        }
    }

    #[test]
    fn the_sixty_fifth_command_of_a_frame_is_refused() {
        let frame = "{}\n".repeat(COMMANDS_PER_FRAME_MAX + 1);
        let results: Vec<_> = commands(&frame).collect();
        assert!(results[COMMANDS_PER_FRAME_MAX - 1].is_ok());
        assert_eq!(results.last().unwrap().as_ref().unwrap_err(), &DecodeError::TooManyCommands);
    }

    #[test]
    fn unserved_commands_are_known() {
        let command = one(r#"{"id":4,"presence":{"f":"a"}}"#).unwrap();
        assert!(matches!(command.body, Body::Unserved("presence")));
    }
}
